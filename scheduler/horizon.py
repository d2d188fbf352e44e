"""What is known about the time after now: when running work ends, when nodes close, and which starts are promised.

A snapshot is one instant; a horizon is what a round knows beyond it. Times are epoch seconds. Indices are those of the
snapshot that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

import numpy as np

from scheduler import snapshot_file
from scheduler.arrays import check_range, frozen
from scheduler.errors import BadSnapshot
from scheduler.snapshot import Bools, Ints, Snapshot

TIME_MAX: Final = 2**41
"""Starts and ends lie before it: the latest time of a snapshot and the longest walltime after it."""
NEVER: Final = 2**62
"""A time that does not come."""
_AMOUNT_MAX: Final = 2**34
_COUNT_MAX: Final = 2**50


def _none(dtype: type[np.generic] = np.int64) -> Any:
    return field(default_factory=lambda: np.zeros(0, dtype=dtype))


@dataclass(frozen=True)
class Promise:
    """A gang of whole cards that is sure to start at `start_s` or earlier, on these nodes unless better ones are found.

    The nodes may be named anew while the time stands.
    """

    job_id: str
    start_s: int  # the latest start
    end_s: int  # the start, the transfer and the walltime: until then the cards are its own
    pool: int
    build: int  # position in the job's own list of builds
    nodes: tuple[int, ...]  # ascending
    tasks: tuple[int, ...]  # on each of these nodes
    worth_micro_yuan_per_hour: int  # once it runs; as of the round that promised it
    cards_per_task: int
    cpu_milli_per_task: int
    memory_mib_per_task: int
    level: int  # WITHIN_POOL, WITHIN_DOMAIN or WITHIN_NODE, should it get other nodes
    not_before_s: int = 0  # a window that was booked begins then; 0: as soon as it can
    promised_s: int = 0  # the start that was promised first; differs from `start_s` where a promise had to be moved

    @property
    def cards(self) -> int:
        """Cards of the gang."""
        return sum(self.tasks) * self.cards_per_task


class Fate(StrEnum):
    """What a round made of a promise."""

    STARTED = "STARTED"
    KEPT = "KEPT"  # it stands, or was brought forward
    MOVED = "MOVED"  # to a later start
    BROKEN = "BROKEN"  # it cannot be kept at any time: its job waits like others
    GONE = "GONE"  # its job does not wait any more


class Cause(StrEnum):
    """Why a promise was moved or broken."""

    NODES_GONE = "NODES_GONE"  # nodes failed or were closed, or what runs there does not end
    POWER_SHORT = "POWER_SHORT"
    QUOTA_SHORT = "QUOTA_SHORT"


@dataclass(frozen=True, slots=True)
class News:
    """What happened to one promise in a round."""

    job_id: str
    fate: Fate
    promised_s: int  # the latest start as it stood before the round
    start_s: int  # as it stands now; the round's own time for STARTED, NEVER for BROKEN and GONE
    cause: Cause | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Horizon:
    """What is known beyond now. R leases, X entries of what they hold, W closed times of nodes.

    Raises: BadSnapshot: on construction, naming the array and the way out.
    """

    lease_id: tuple[str, ...] = ()  # [R] unique
    lease_ends_at_s: Ints = _none()  # [R] start and walltime; one that should have ended counts as ending soon
    lease_preemptible: Bools = _none(np.bool_)  # [R] it may be stopped for others, and starts again later
    lease_lost_card_seconds: Ints = _none()  # [R] work that would have to be done again: since the last checkpoint
    lease_tier: Ints = _none()  # [R] as `Snapshot.job_tier`: only work of tiers above, or guarantees, may stop it
    lease_quota: Ints = _none()  # [R] quota that it counts to, -1: none
    lease_quota_use: Ints = _none()  # [R] milli-TFLOPS that it counts there
    lease_moved: Bools = _none(np.bool_)  # [R] stopped once before, and no checkpoint since: not again
    lease_micro_yuan_per_card_hour: Ints = _none()  # [R] what a card of it is worth while it runs
    lease_grace_seconds: Ints = _none()  # [R] between the order to stop and the end, for a last checkpoint

    held_lease: Ints = _none()  # [X] index of the lease, ascending
    held_node: Ints = _none()  # [X] index of the node
    held_cards: Ints = _none()  # [X] whole cards that are free when it has ended; a split card: of the last to end
    held_cpu_milli: Ints = _none()  # [X]
    held_memory_mib: Ints = _none()  # [X]

    closed_node: Ints = _none()  # [W] index of the node
    closed_from_s: Ints = _none()  # [W] all work on it must have ended by then
    closed_until_s: Ints = _none()  # [W] later than that

    promises: tuple[Promise, ...] = ()
    make_room_for: tuple[str, ...] = ()  # waiting jobs for which running work may be moved, if that pays

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name != "promises":
                object.__setattr__(self, each.name, frozen(each.name, str(each.type), getattr(self, each.name)))
        self._fill()
        self._check()

    def _fill(self) -> None:
        """Give what was left out its neutral value: nothing may be preempted, nothing is counted."""
        for name in _NEUTRAL:
            if not getattr(self, name).size:
                value = np.full(len(self.lease_id), _NEUTRAL[name], dtype=getattr(self, name).dtype)
                value.flags.writeable = False
                object.__setattr__(self, name, value)

    def _check(self) -> None:
        sizes = {"lease": len(self.lease_id), "held": self.held_node.size, "closed": self.closed_node.size}
        for each in fields(self):
            value, size = getattr(self, each.name), sizes.get(each.name.split("_", 1)[0], 0)
            if isinstance(value, np.ndarray) and value.shape != (size,):
                raise BadSnapshot(each.name, f"has shape {value.shape}, must be ({size},)")
        if len(set(self.lease_id)) != len(self.lease_id):
            raise BadSnapshot("lease_id", "names a lease twice")
        if len({promise.job_id for promise in self.promises}) != len(self.promises):
            raise BadSnapshot("promises", "promise a job twice")
        for name in ("lease_ends_at_s", "closed_from_s", "closed_until_s"):
            check_range(name, getattr(self, name), 0, TIME_MAX)
        for name in ("held_cards", "held_cpu_milli", "held_memory_mib"):
            check_range(name, getattr(self, name), 0, _AMOUNT_MAX)
        counts = ("lease_lost_card_seconds", "lease_quota_use", "lease_grace_seconds", "lease_micro_yuan_per_card_hour")
        for name in counts:
            check_range(name, getattr(self, name), 0, _COUNT_MAX)
        if np.any(self.closed_until_s <= self.closed_from_s):
            raise BadSnapshot("closed_until_s", "must be later than closed_from_s")
        if np.any(np.diff(self.held_lease) < 0):
            raise BadSnapshot("held_lease", "must ascend: sort the entries by lease")
        check_range("held_lease", self.held_lease, 0, len(self.lease_id) - 1)
        for promise in self.promises:
            _check_promise(promise)

    def check_against(self, world: Snapshot) -> None:
        """Raise BadSnapshot unless all nodes, pools and quotas are those of this world."""
        nodes, pools = len(world.node_names), len(world.pool_names)
        check_range("held_node", self.held_node, 0, nodes - 1)
        check_range("closed_node", self.closed_node, 0, nodes - 1)
        check_range("lease_quota", self.lease_quota, -1, len(world.quota_names) - 1)
        for promise in self.promises:
            inside = 0 <= promise.pool < pools and all(0 <= node < nodes for node in promise.nodes)
            if not inside or any(world.node_pool[node] != promise.pool for node in promise.nodes):
                raise BadSnapshot("promises", f"that of {promise.job_id[:80]} names nodes that are not in its pool")

    def to_bytes(self) -> bytes:
        """Return it as an uncompressed .npz file: the same horizon gives the same bytes."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "promises"}
        return snapshot_file.write(arrays | _columns(self.promises))

    @classmethod
    def from_bytes(cls, data: bytes) -> Horizon:
        """Read what `to_bytes` wrote, now or before arrays that may be left out came. Raise BadSnapshot for others."""
        columns = list(_columns(()))
        names = [each.name for each in fields(cls) if each.name != "promises"] + columns
        needed = [name for name in names if name not in _NEUTRAL and name != "make_room_for"]
        given: dict[str, Any] = snapshot_file.read(data, names, needed)
        promises = _promises({name: given.pop(name) for name in columns})
        given |= {name: tuple(map(str, given[name])) for name in ("lease_id", "make_room_for") if name in given}
        return cls(**given, promises=promises)


_NEUTRAL: Final = {
    "lease_preemptible": False,
    "lease_lost_card_seconds": 0,
    "lease_tier": 0,
    "lease_quota": -1,
    "lease_quota_use": 0,
    "lease_moved": False,
    "lease_micro_yuan_per_card_hour": 0,
    "lease_grace_seconds": 0,
}
_PROMISE_NUMBERS: Final = tuple(each.name for each in fields(Promise) if each.name not in ("job_id", "nodes", "tasks"))


def _check_promise(promise: Promise) -> None:
    said = f"that of {promise.job_id[:80]}"
    if not 0 <= promise.not_before_s <= promise.start_s < promise.end_s <= TIME_MAX:
        raise BadSnapshot("promises", f"{said}: not before {promise.not_before_s}, {promise.start_s}, {promise.end_s}")
    if not promise.nodes or len(promise.nodes) != len(promise.tasks) or min(promise.tasks) < 1:
        raise BadSnapshot("promises", f"{said} must have at least one task on each of its nodes")
    if list(promise.nodes) != sorted(set(promise.nodes)):
        raise BadSnapshot("promises", f"{said} must name its nodes in ascending order, once each")
    if min(promise.cards_per_task, promise.cpu_milli_per_task + 1, promise.memory_mib_per_task + 1) < 1:
        raise BadSnapshot("promises", f"{said} must hold at least one card for each task")


def _columns(promises: tuple[Promise, ...]) -> dict[str, Any]:
    """Return promises as plain arrays: numbers by promise, nodes and tasks one after the other."""
    columns: dict[str, Any] = {"promise_job_id": tuple(promise.job_id for promise in promises)}
    for name in _PROMISE_NUMBERS:
        columns[f"promise_{name}"] = np.array([getattr(promise, name) for promise in promises], dtype=np.int64)
    columns["promise_parts"] = np.array([len(promise.nodes) for promise in promises], dtype=np.int64)
    for name in ("nodes", "tasks"):
        flat = [value for promise in promises for value in getattr(promise, name)]
        columns[f"promise_{name}"] = np.array(flat, dtype=np.int64)
    return columns


def _promises(columns: dict[str, Any]) -> tuple[Promise, ...]:
    try:
        ends = np.cumsum(columns["promise_parts"])[:-1]
        nodes, tasks = (np.split(np.array(columns[f"promise_{name}"]), ends) for name in ("nodes", "tasks"))
        return tuple(
            Promise(
                job_id=str(job_id),
                nodes=tuple(nodes[at].tolist()),
                tasks=tuple(tasks[at].tolist()),
                **{name: int(columns[f"promise_{name}"][at]) for name in _PROMISE_NUMBERS},
            )
            for at, job_id in enumerate(columns["promise_job_id"])
        )
    except (IndexError, TypeError, ValueError) as error:
        raise BadSnapshot("promises", f"are not what was stored ({error})") from error
