"""What to do when a supervisor has died without a word: nothing of its lease may live before it is called ended."""

import asyncio
import fcntl
import os
import signal
from typing import Final

from broker.agent.engines import files
from broker.agent.engines.lease_folder import LeaseFolder, ending
from broker.agent.engines.processes import (
    Identity,
    Stat,
    all_processes,
    boot_id,
    boottime_ns,
    carries,
    is_alive,
    signal_exactly,
)
from broker.agent.engines.supervisor import record_line
from broker.agent.orders import EndReason

_AGAIN_SECONDS_FIRST: Final = 0.01
_AGAIN_SECONDS_MAX: Final = 1.0


def leftovers(folder: LeaseFolder, boot: str) -> list[Stat]:
    """Return what still lives of a lease without a supervisor: its tasks' sessions, and whoever carries its cookie."""
    sessions = {task.pid for task in folder.tasks() if task.boot == boot and _owns_its_number(task, boot)}
    cookie = folder.cookie
    return [
        one for one in all_processes() if one.session in sessions or (cookie is not None and carries(one.pid, cookie))
    ]


def _owns_its_number(task: Identity, boot: str) -> bool:
    """Return whether the number still means the task's session.

    The kernel does not give a number away while a session of that name has members; so it is ours when the task
    itself lives, or when no process has it.
    """
    return is_alive(task, boot) or not os.path.exists(f"/proc/{task.pid}")


async def kill_leftovers(folder: LeaseFolder) -> None:
    """Return when nothing of the lease lives any more, however long that takes."""
    boot = boot_id()
    wait_seconds = _AGAIN_SECONDS_FIRST
    while living := leftovers(folder, boot):
        for one in living:
            signal_exactly(Identity(one.pid, one.started_ticks, boot), boot, signal.SIGKILL)
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 2, _AGAIN_SECONDS_MAX)


async def bury(folder: LeaseFolder) -> None:
    """End a lease whose supervisor is dead. Raise OSError when the end cannot be written.

    The supervisor's lock is taken and kept meanwhile, so that a supervisor that is still to come finds it held.
    """
    lock = os.open(folder.path / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        wait_seconds = _AGAIN_SECONDS_FIRST
        while not _locked(lock):  # its unreleased tasks inherited it, and are about to end
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, _AGAIN_SECONDS_MAX)
        if folder.has_ended():
            return
        await kill_leftovers(folder)
        _record(folder)
        folder.write_end(ending(*_verdict(folder), started=folder.started()))
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _verdict(folder: LeaseFolder) -> tuple[EndReason, str]:
    supervisor, tasks = folder.supervisor(), folder.tasks()
    if folder.damaged:
        return EndReason.VANISHED, "its files are damaged, as by a power failure"
    if supervisor is not None and supervisor.boot != boot_id():
        return EndReason.VANISHED, "the machine was restarted"
    if tasks:
        return EndReason.VANISHED, "its supervisor was killed; what was left of its tasks was killed then"
    return EndReason.START_FAILED, f"its supervisor died before a task started: {_last_words(folder)}"


def _last_words(folder: LeaseFolder) -> str:
    try:
        text = (folder.path / "supervisor.log").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "it left no word"
    return text[-512:] or "it left no word"


def _record(folder: LeaseFolder) -> None:
    """Complete the engine's record; a line that the supervisor had written is repeated then, and the first counts."""
    tasks = folder.tasks()
    if not tasks or folder.damaged:
        return
    unknown = {"exit_code": None, "signal": None, "by": "agent"}
    lines = [record_line(folder.spec, "end", index, task) | unknown for index, task in enumerate(tasks)]
    closed = {name: folder.spec[name] for name in ("lease", "epoch", "job")}
    now = {"at": files.now_text(), "boot_ns": boottime_ns(), "boot": boot_id()}
    lines.append({"kind": "closed", **closed, **now, "by": "agent"})
    files.append_lines(folder.spec["record"], lines)
