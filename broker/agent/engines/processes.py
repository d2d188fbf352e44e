"""Processes by identity: a pid alone says nothing; with its start time and the boot id it names one process for ever.

Standard library only and light to import: the supervisor starts with it.
"""

import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_MORTAL_STATES = frozenset("ZXx")  # a zombie holds nothing any more; it only waits to be reaped


class Identity(NamedTuple):
    """One process of one boot.

    Attributes:
        pid: its number, reused by the kernel after its end.
        started_ticks: its start in clock ticks since boot, as /proc/<pid>/stat says.
        boot: id of the boot; after a reboot nothing of an older boot lives.
    """

    pid: int
    started_ticks: int
    boot: str


class Stat(NamedTuple):
    """What /proc/<pid>/stat says of a living process."""

    pid: int
    parent: int
    session: int
    started_ticks: int
    state: str

    @property
    def alive(self) -> bool:
        """Whether it can still do something."""
        return self.state not in _MORTAL_STATES


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def raise_open_files() -> int:
    """Let this process open as many files as it may at all; return how many it was limited to before."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return before


def boottime_ns() -> int:
    """Return nanoseconds since boot, suspended time included: the clock for every deadline of a process."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def stat_of(pid: int) -> Stat | None:
    """Return what the kernel says of the process, None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command may hold spaces and brackets: what follows the last bracket is numbers.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0].decode())


def identity_of(pid: int, boot: str) -> Identity | None:
    """Return the identity of the process that has this pid now, None when there is none."""
    found = stat_of(pid)
    return None if found is None else Identity(pid, found.started_ticks, boot)


def is_alive(identity: Identity, boot: str) -> bool:
    """Return whether exactly this process still lives (a zombie does not)."""
    if identity.boot != boot:
        return False
    found = stat_of(identity.pid)
    return found is not None and found.alive and found.started_ticks == identity.started_ticks


def all_processes() -> Iterator[Stat]:
    """Yield every living process that can be seen, zombies left out."""
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            found = stat_of(int(name))
        except PermissionError:  # /proc is mounted so that strangers are hidden; our own are never among them
            continue
        if found is not None and found.alive:
            yield found


def descendants(root: int, processes: Iterable[Stat]) -> list[Stat]:
    """Return the processes that stem from `root`, itself left out, parents before children."""
    children: dict[int, list[Stat]] = {}
    for one in processes:
        children.setdefault(one.parent, []).append(one)
    found: list[Stat] = []
    queue = [root]
    for parent in queue:  # grows while it is walked
        for child in children.pop(parent, []):
            found.append(child)
            queue.append(child.pid)
    return found


def open_exactly(identity: Identity, boot: str) -> int | None:
    """Return a pidfd of exactly this process, None when it has ended. The caller closes it."""
    if identity.boot != boot:
        return None
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    # The handle pins one process; only now is it certain which: the start time is read while the pid is pinned.
    if is_alive(identity, boot):
        return handle
    os.close(handle)
    return None


def signal_exactly(identity: Identity, boot: str, number: int) -> bool:
    """Send a signal to exactly this process; return False when it has ended."""
    handle = open_exactly(identity, boot)
    if handle is None:
        return False
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def carries(pid: int, cookie: bytes) -> bool:
    """Return whether the process was started with `cookie` as one entry (NAME=value) of its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return cookie in file.read().split(b"\0")
    except OSError:  # it has just ended, or belongs to somebody whom we may not look at
        return False
