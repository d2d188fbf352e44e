"""Processes are kept alive whatever happens to them, and nothing of an attempt is left."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import structlog

from broker.calls.bus import Bus
from broker.calls.keeper import CallProcesses, CannotStart
from tests.deadlines import eventually

STAND_IN = "tests.calls.stand_in"


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[psutil.Process]:
    """Processes that stand in, and run."""
    found = psutil.Process().children()
    return [each for each in found if each.status() != psutil.STATUS_ZOMBIE and STAND_IN in each.cmdline()]


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing more, as a machine that has run out of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_what_runs_ends_with_the_block_and_leaves_no_file_open() -> None:
    for _ in range(2):  # the first one leaves the loop's own watch of children
        before = files()
        processes = CallProcesses(Bus(), 2, {}, program=STAND_IN)
        async with processes.running(asyncio.Event()):
            assert len(children()) == 2
            assert processes.any_ready()

    assert children() == []
    assert files() == before


async def test_a_process_that_cannot_be_started_for_now_is_started_later() -> None:
    processes = CallProcesses(Bus(), 1, {}, program=STAND_IN)

    async def ready() -> bool:
        return processes.any_ready()

    async with processes.running(asyncio.Event()):
        [first] = children()
        with structlog.testing.capture_logs() as told, no_more_files():
            os.kill(first.pid, signal.SIGKILL)

            async def failed_twice() -> bool:
                return [each["event"] for each in told].count("call_process_not_started") == 2

            await eventually(failed_twice)
        await eventually(ready)
        [second] = children()

    assert second.pid != first.pid


async def test_a_process_that_hangs_is_replaced() -> None:
    """Its connections stay, and nobody answers on them: the kernel goes on giving it its share of new ones."""
    processes = CallProcesses(Bus(), 1, {}, program=STAND_IN, pings_max=2)

    async with processes.running(asyncio.Event()):
        [first] = children()
        first.send_signal(signal.SIGSTOP)

        async def another() -> bool:
            return processes.any_ready() and [each.pid for each in children()] not in ([], [first.pid])

        await eventually(another)


async def test_a_program_that_ends_at_once_is_said_not_to_start_only_when_the_time_is_over() -> None:
    """And who is told to stop meanwhile does not wait for that time."""
    stop = asyncio.Event()
    processes = CallProcesses(Bus(), 1, {}, program="tests.calls.no_such_program")
    asyncio.get_running_loop().call_later(0.2, stop.set)

    async with asyncio.timeout(20), processes.running(stop):
        assert not processes.any_ready()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_time_that_is_over_says_which_process_takes_no_calls(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.calls.keeper.START_SECONDS_MAX", 0.3)
    processes = CallProcesses(Bus(), count, {}, program="tests.calls.no_such_program")

    with pytest.raises(CannotStart, match="call process 1 takes no calls"):
        async with processes.running(asyncio.Event()):
            pass

    assert children() == []
