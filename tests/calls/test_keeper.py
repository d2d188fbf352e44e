"""A process that cannot be started for now is started later, and nothing of the attempt is left."""

import asyncio
import os
from typing import Any

import psutil
import pytest

from broker.calls import keeper
from broker.calls.bus import Bus
from broker.calls.keeper import CallProcesses

READY = """
import socket, sys
line = socket.socket(fileno=int(sys.argv[1]))
line.send(b'["ready",null]\\n')
line.recv(1 << 20), line.recv(1)
"""


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_start_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may have no process left for a moment, also when one that was killed is to be started again."""
    real, attempts = asyncio.create_subprocess_exec, list[str]()

    async def start(program: str, _p: str, _m: str, module: str, fd: str, **more: Any) -> Any:
        attempts.append(module)
        if len(attempts) < 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await real(program, "-c", READY, fd, **more)

    monkeypatch.setattr(keeper, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    before = files()
    processes = CallProcesses(Bus(), 1, {"settings": {}})

    async with processes.running(asyncio.Event()):
        [pid] = processes.pids()
        assert psutil.pid_exists(pid)

    assert attempts == [keeper.CALL_PROGRAM] * 3
    assert not psutil.pid_exists(pid)
    assert files() <= before + 1  # the loop's own watch of children
