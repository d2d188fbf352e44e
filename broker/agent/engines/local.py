"""The local engine: real processes on this machine, on cards that are emulated.

The agent writes what to run into the lease's folder and starts one supervisor for it (`supervisor.py`), which lives on
without the agent. Files are the truth and survive everything; the bell (a pipe that supervisors write into) and the
supervisors' process handles only say when to look.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from broker.agent.engines import files
from broker.agent.engines.accounts import AccountRefused, Accounts, choose_accounts
from broker.agent.engines.cards import EmulatedCards, OwnProcesses
from broker.agent.engines.keeper import LeaseKeeper
from broker.agent.engines.lease_folder import LeaseFolder, ending
from broker.agent.engines.places import Retention, choose_work_root, own_folder
from broker.agent.engines.processes import boot_id, boottime_ns, raise_open_files
from broker.agent.engines.protocol import Capability, EngineError, LogPiece, UnknownLog
from broker.agent.engines.spec import WHOLE_MILLI, empty_spec, folder_name, lease_spec
from broker.agent.memory import EpochMemory
from broker.agent.orders import (
    EndReason,
    LeaseKey,
    LogStream,
    NodeSeen,
    Observation,
    Order,
    PoolStock,
    Refusal,
    Used,
)
from broker.clock import Clock
from broker.ids import JobId

_OPEN_FILES_MAX: Final = 65_536
"""Most that a job starts with; some programs close every number up to the limit, one by one."""

_RENEWAL_STEP_NS: Final = 500_000_000
"""A renewal that adds less is not written: the deadline is tens of seconds away."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How the local engine works.

    Attributes:
        state_dir: its memory; belongs to the agent alone.
        work_dir: where jobs' working directories are made; None: beside the state where jobs can reach that.
        run_as: "auto", "each-lease", or the name of an account.
        log_bytes_max: most bytes that are kept of one output of one task.
        tasks_max: largest gang that it starts.
        foreign_scan_seconds: how old the look at foreign processes may be.
        retention: how long output and working directories of settled leases are kept.
    """

    state_dir: Path
    pools: tuple[PoolStock, ...]
    work_dir: Path | None = None
    run_as: str = "auto"
    log_bytes_max: int = 64 * 1024 * 1024
    tasks_max: int = 1024
    foreign_scan_seconds: float = 2.0
    retention: Retention = field(default_factory=Retention)


class LocalEngine:
    """See the protocol for what each method promises."""

    name = "local"

    def __init__(self, settings: LocalSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._state = settings.state_dir
        self._folders = settings.state_dir / "leases"
        self._cards = EmulatedCards(settings.state_dir / "cards", settings.pools)
        self._leases: dict[LeaseKey, LeaseKeeper] = {}
        self._changed = asyncio.Event()
        self._boot = boot_id()
        self._nodes: tuple[NodeSeen, ...] = ()
        self._scanned_at = float("-inf")
        self._renewed_until_ns = 0
        self._lock: int | None = None
        self._bell: int | None = None
        self._open_files = 0
        self._accounts: Accounts
        self._work_root: Path
        self._memory: EpochMemory
        self._memory_id: str

    # --- life ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take possession of the state folder and adopt what runs from before. Raise EngineError."""
        try:
            self._accounts = choose_accounts(self._settings.run_as)
        except AccountRefused as error:
            raise EngineError(str(error)) from error
        self._open_files = min(raise_open_files(), _OPEN_FILES_MAX)  # we hold a handle for each lease
        for folder in (self._state, self._folders):
            own_folder(folder, "state_dir")  # a job may pass through to its own folder, and list nothing
        self._take_lock()
        self._memory_id = self._read_memory_id()
        self._work_root = choose_work_root(self._settings.work_dir, self._state, self._accounts)
        self._cards.create()
        self._memory = EpochMemory(self._state / "epochs.jsonl", now=self._clock.now())
        self._open_bell()
        for path in sorted(self._folders.iterdir()):
            lease = LeaseFolder.load(path)
            if lease is not None and not lease.settled():
                self._adopt(lease)
        self._changed.set()

    async def close(self) -> None:
        """Let go; supervisors and their jobs run on."""
        for lease in self._leases.values():
            await lease.let_go()
        self._leases.clear()
        if self._bell is not None:
            asyncio.get_running_loop().remove_reader(self._bell)
            os.close(self._bell)
            self._bell = None
        if self._lock is not None:
            # Unlocked, not only closed: a supervisor that was spawned just now may hold a copy for a moment more.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        lock = os.open(self._state / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EngineError(
                f"state_dir: another agent works with {self._state}: end it, or give this one a folder of its own"
            ) from None
        self._lock = lock

    def _open_bell(self) -> None:
        path = self._state / "bell"
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Opened for both ways: then it never reads as closed when no supervisor has it open.
        self._bell = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._bell, self._on_bell)

    def _on_bell(self) -> None:
        if self._bell is not None:
            os.read(self._bell, 65536)  # whose bell it was does not matter: everything alive is looked at
        self._changed.set()

    def _adopt(self, folder: LeaseFolder) -> None:
        lease = self._keep(folder)
        self._remember(folder)
        lease.adopt()

    def _keep(self, folder: LeaseFolder) -> LeaseKeeper:
        lease = LeaseKeeper(folder, self._boot, self._changed.set)
        self._leases[folder.key] = lease
        return lease

    def _remember(self, folder: LeaseFolder) -> None:
        if folder.job is not None:
            # On a full disk the folder remembers, and whatever was decided here has to go on.
            with contextlib.suppress(OSError):
                self._memory.remember(folder.job, folder.key.epoch, now=self._clock.now())

    def _read_memory_id(self) -> str:
        path = str(self._state / "memory-id.json")
        try:
            found = files.read_json(path)
        except ValueError:  # a power failure took it, and perhaps more: better another memory than a wrong one
            found = None
        if not isinstance(found, str):
            found = secrets.token_hex(16)
            files.write_json(path, found)
        return found

    # --- what there is -------------------------------------------------------------------------------------------

    def memory_id(self) -> str:
        """Return the id of what its state folder remembers."""
        return self._memory_id

    def inventory(self) -> tuple[PoolStock, ...]:
        """Return the pools of the settings."""
        return self._settings.pools

    def capabilities(self) -> list[Capability]:
        """Return what it can do on this machine; complete after `open`."""
        root = os.geteuid() == 0
        own = self._accounts.of_lease(1).user is None
        return [
            Capability("unprivileged_user", not own, self._accounts.detail),
            Capability("isolated_jobs", self._accounts.isolated, self._accounts.detail),
            Capability("working_directories", True, f"under {self._work_root}"),
            Capability(
                "foreign_use",
                root,
                "every process that has a card open is seen"
                if root
                else "only processes of the agent's own user are seen",
            ),
            Capability(
                "adoption", True, "supervisors outlive the agent and are known by process id, start time and boot"
            ),
            Capability("cpu_and_memory_limits", False, "CPU and memory of a task are planned for, not enforced"),
            Capability(
                "share_limits", False, "shares of a card are planned for and told (XISUAN_SHARE_MILLI), not enforced"
            ),
            Capability("accelerators", False, "cards are emulated: files that count as used while they are open"),
        ]

    def latest_epoch(self, job: JobId) -> int:
        """Return the highest epoch of this job that was ever taken, 0 when none was."""
        return self._memory.latest(job)

    async def observe(self) -> Observation:
        """Return what is true now."""
        for lease in self._leases.values():
            lease.refresh()
        if time.monotonic() - self._scanned_at >= self._settings.foreign_scan_seconds:
            self._scanned_at = time.monotonic()
            self._nodes = await asyncio.to_thread(self._cards.survey, self._own_processes)
        return Observation(tuple(lease.seen for lease in self._leases.values()), self._nodes)

    async def used(self) -> tuple[Used, ...]:
        """Return what leases have used by their supervisors' records. Energy is not measured: cards are emulated."""
        now_ns = boottime_ns()
        found = (lease.folder.used(now_ns) for lease in self._leases.values())
        return tuple(one for one in found if one is not None)

    def _own_processes(self) -> OwnProcesses:
        living = [lease.folder for lease in tuple(self._leases.values()) if not lease.ended]
        return OwnProcesses(
            supervisors=frozenset(found.pid for folder in living if (found := folder.supervisor()) is not None),
            sessions=frozenset(task.pid for folder in living for task in folder.tasks()),
        )

    async def wait_changed(self) -> None:
        """Return when a supervisor rang, one ended, or something was done here."""
        await self._changed.wait()
        self._changed.clear()

    # --- what should be ------------------------------------------------------------------------------------------

    async def start(self, order: Order) -> None:
        """Start the gang, or record why not. An order that was taken before, or is older than one, does nothing."""
        if not self._is_new(order.key, order.job):
            return
        problem = self._problem_of(order)
        if problem is not None:
            await self.refuse(Refusal(order.key, order.job, problem))
            return
        folder = LeaseFolder.create(self._folders, order.key, self.spec_of(order))
        self._take(folder).spawn()

    async def refuse(self, refusal: Refusal) -> None:
        """Record that the order cannot be carried out."""
        if self._is_new(refusal.key, refusal.job):
            end = ending(refusal.reason, refusal.why)
            self._take(LeaseFolder.create(self._folders, refusal.key, empty_spec(refusal.key, refusal.job), end))

    async def lose(self, key: LeaseKey, job: JobId) -> None:
        """Record that nothing is left of a lease that was taken once; see the protocol."""
        if key not in self._leases:
            end = ending(EndReason.VANISHED, "it was taken here once, and its files are gone")
            self._show_again(key, empty_spec(key, job), end)

    async def stop(self, key: LeaseKey, *, grace_seconds: int, reason: str) -> None:
        """Tell the supervisor to end the lease; see the protocol for one without a trace."""
        lease = self._leases.get(key)
        if lease is None:
            end = ending(EndReason.CANCELLED, f"nothing of it ever ran here ({reason})")
            self._show_again(key, empty_spec(key, None), end)
        elif not lease.ended:
            lease.stop(grace_seconds, reason)

    def _show_again(self, key: LeaseKey, spec: dict[str, Any], end: dict[str, Any]) -> None:
        """Report the end of a lease that is not reported: its own where its folder is there, else this one."""
        folder = LeaseFolder.load(self._folders / folder_name(key))
        if folder is None:
            folder = LeaseFolder.create(self._folders, key, spec, end)
        folder.settle(False)  # the broker asks again, so it has not recorded the end after all
        self._take(folder)

    async def settle(self, key: LeaseKey) -> None:
        """Stop reporting the lease; its output stays for as long as the settings say."""
        lease = self._leases.get(key)
        if lease is None or not lease.ended:
            return
        lease.folder.settle(True)
        await lease.let_go()
        del self._leases[key]
        await self._settings.retention.prune(self._folders, self._work_root)

    async def renew(self, until_boot_ns: int) -> None:
        """Let leases that have to be renewed live until then."""
        if until_boot_ns - self._renewed_until_ns >= _RENEWAL_STEP_NS:
            files.write_json(str(self._state / "renewal.json"), {"boot": self._boot, "until_ns": until_boot_ns})
            self._renewed_until_ns = until_boot_ns

    async def read_log(self, key: LeaseKey, task: int, stream: LogStream, offset: int, length_max: int) -> LogPiece:
        """Return a piece of a task's output, also of a settled lease. Raise UnknownLog."""
        folder = LeaseFolder.load(self._folders / folder_name(key))
        if folder is None:
            raise UnknownLog("LOG_UNKNOWN_LEASE")
        if not 0 <= task < len(folder.spec["tasks"]):
            raise UnknownLog("LOG_UNKNOWN_TASK")
        return LogPiece(*folder.read_log(task, stream, offset, length_max))

    # --- taking orders -------------------------------------------------------------------------------------------

    def _is_new(self, key: LeaseKey, job: JobId) -> bool:
        known = key in self._leases or (self._folders / folder_name(key)).exists()
        return not known and key.epoch > self._memory.latest(job)

    def _take(self, folder: LeaseFolder) -> LeaseKeeper:
        """Know the lease from now on. Its folder came first: an epoch without one would block the job for ever."""
        lease = self._keep(folder)
        self._remember(folder)
        self._changed.set()
        return lease

    def _problem_of(self, order: Order) -> str | None:
        if len(order.tasks) > self._settings.tasks_max:
            return f"{len(order.tasks)} tasks are more than the {self._settings.tasks_max} that this engine starts"
        wanted = order.share_milli or WHOLE_MILLI
        used = Counter[tuple[str, int]]()
        holders: dict[tuple[str, int], list[str]] = {}
        for lease in self._living():
            for place, milli in lease.folder.places.items():
                used[place] += milli
                holders.setdefault(place, []).append(str(lease.folder.key))
        for task in order.tasks:
            why_down = self._cards.why_down(task.node) if self._cards.has(task.node, 0) else None
            if why_down is not None:
                return f"node {task.node} is down: {why_down}"
            for card in task.cards:
                if not self._cards.has(task.node, card):
                    return f"there is no card {card} on a node {task.node!r} here"
                used[task.node, card] += wanted
                if used[task.node, card] > WHOLE_MILLI:
                    there = " and ".join(holders.get((task.node, card), ["other tasks of its own"]))
                    left = WHOLE_MILLI - used[task.node, card] + wanted
                    return f"card {card} of node {task.node} has {left} of 1000 milli left, in use by {there}"
        return None

    def _living(self) -> Iterable[LeaseKeeper]:
        for lease in self._leases.values():
            lease.refresh()
            if not lease.ended:
                yield lease

    def spec_of(self, order: Order) -> dict[str, Any]:
        """Return what the supervisor of this order is told."""
        return lease_spec(
            order,
            account=self._accounts.of_lease(order.key.lease),
            state=self._state,
            work_root=self._work_root,
            log_bytes_max=self._settings.log_bytes_max,
            open_files=self._open_files,
        )
