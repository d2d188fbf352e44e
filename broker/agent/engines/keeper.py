"""Keep one lease of the local engine: start its supervisor, know when that ends, and bury the lease if it must be."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from broker.agent.engines.burial import bury
from broker.agent.engines.lease_folder import LeaseFolder
from broker.agent.engines.processes import open_exactly, signal_exactly
from broker.agent.orders import Phase

_CODE_ROOT: Final = Path(__file__).resolve().parents[3]
_LAUNCH: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from broker.agent.engines.supervisor import main; sys.exit(main(sys.argv[2]))"
)
_SUPERVISORS_MAX: Final = 3
"""Supervisors that are started for one lease before it is given up: the first may have had bad luck (out of memory)."""

_BURY_AGAIN_SECONDS: Final = 1.0
_DEFAULT_SIGNALS: Final = [one for one in signal.valid_signals() if one not in (signal.SIGKILL, signal.SIGSTOP)]


def supervisor_command(folder: Path) -> list[str]:
    """Return the command of a lease's supervisor: this Python, without site packages and anybody's settings."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(_CODE_ROOT), str(folder)]


class LeaseKeeper:
    """One lease that is not settled. Its files are the truth; `seen` is what they said last."""

    def __init__(self, folder: LeaseFolder, boot: str, changed: Callable[[], None]) -> None:
        self.folder = folder
        self.seen = folder.seen()
        self._boot = boot
        self._changed = changed
        self._handle: int | None = None  # pidfd of its supervisor
        self._spawned = 0
        self._burial: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it lives."""
        return self.seen.phase is Phase.ENDED

    def adopt(self) -> None:
        """Carry on with a lease that another agent has left behind."""
        if self.ended:
            return
        supervisor = self.folder.supervisor()
        if self.folder.damaged:
            self._bury()
        elif supervisor is None:  # the agent was killed around its start; a second one finds the first one's lock
            self.spawn()
        elif (handle := open_exactly(supervisor, self._boot)) is not None:
            self._watch(handle)
        else:
            self._bury()

    def spawn(self) -> None:
        """Start its supervisor. When even that is impossible, the lease ends as one whose start failed."""
        self._spawned += 1
        try:
            handle = self._spawn()
        except OSError:  # no more processes or files
            self._bury()
        else:
            self._watch(handle)

    def _spawn(self) -> int:
        """Start its supervisor in a session of its own, so that it outlives us; return a handle of it."""
        log = os.path.join(self.folder.path, "supervisor.log")
        pid = os.posix_spawn(
            sys.executable,
            supervisor_command(self.folder.path),
            {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
        return os.pidfd_open(pid)  # our child, not reaped yet: the number still means it

    def refresh(self) -> bool:
        """Look at its files again; cheap while it runs. Return whether they say something new."""
        before = self.seen
        if before.phase is Phase.STARTING or (not self.ended and self.folder.has_ended()):
            self.seen = self.folder.seen()
        elif before.phase is Phase.RUNNING and not before.data_ready and self.folder.data_ready():
            self.seen = replace(before, data_ready=True)
        return self.seen != before

    def stop(self, grace_seconds: int, reason: str) -> None:
        """Tell the supervisor to end it."""
        self.folder.write_stop(grace_seconds, reason)
        # A supervisor that has not made itself known yet looks for the word when it has.
        supervisor = self.folder.supervisor()
        if supervisor is not None:
            signal_exactly(supervisor, self._boot, signal.SIGTERM)
        self.seen = self.folder.seen()

    async def let_go(self) -> None:
        """Stop watching; what runs, runs on."""
        if self._burial is not None:
            self._burial.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._burial
        self._unwatch()

    def _watch(self, handle: int) -> None:
        self._unwatch()
        self._handle = handle
        asyncio.get_running_loop().add_reader(handle, self._on_supervisor_end)

    def _unwatch(self) -> None:
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None

    def _on_supervisor_end(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(ChildProcessError):  # an adopted one is somebody else's to reap
                os.waitid(os.P_PIDFD, self._handle, os.WEXITED | os.WNOHANG)
        self._unwatch()
        if self.refresh():
            self._changed()
        if self.ended:
            return
        supervisor = self.folder.supervisor()
        if supervisor is not None and (handle := open_exactly(supervisor, self._boot)) is not None:
            self._watch(handle)  # the one that ended found this one at work
        elif supervisor is None and self._spawned < _SUPERVISORS_MAX:
            self.spawn()
        else:
            self._bury()

    def _bury(self) -> None:
        self._burial = asyncio.create_task(self._bury_in_the_end())

    async def _bury_in_the_end(self) -> None:
        while not self.ended:
            try:
                await bury(self.folder)
            except OSError:  # a full disk: the cards stay taken until the end can be written
                await asyncio.sleep(_BURY_AGAIN_SECONDS)
            self.refresh()
        self._burial = None
        self._changed()
