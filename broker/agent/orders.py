"""The agent's own words: what it was told, and what it sees. Complete and checked: the conversion has done that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from broker.ids import JobId, LeaseId, lease_text
from broker.policy.keys import SignedPolicy


class LeaseKey(NamedTuple):
    """Names one attempt of one job: the id of its lease and the fence."""

    lease: LeaseId
    epoch: int

    def __str__(self) -> str:
        return f"{lease_text(self.lease)} (epoch {self.epoch})"


class TaskPlace(NamedTuple):
    """Where one task runs: a node and its own cards there, ascending."""

    node: str
    cards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """A lease to start."""

    key: LeaseKey
    job: JobId
    city: str
    name: str
    stack: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    tasks: tuple[TaskPlace, ...]
    walltime_seconds: int
    grace_seconds: int
    renewed: bool  # `if_lost: restart`: it must die when the broker's word no longer stands
    share_milli: int = 0  # of its card for each task; 0: whole cards
    policy: SignedPolicy | None = None  # not checked yet; None: the order carries none


class EndReason(StrEnum):
    """Why a lease ended; the reasons that an engine can know."""

    COMPLETED = "completed"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    WALLTIME = "walltime"
    CANCELLED = "cancelled"
    START_FAILED = "start_failed"
    LOST = "lost"
    VANISHED = "vanished"
    POLICY_REJECTED = "policy_rejected"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order that is not carried out: it makes no sense (a start that failed), or its policy does not hold here."""

    key: LeaseKey
    job: JobId
    why: str
    reason: EndReason = EndReason.START_FAILED


@dataclass(frozen=True, slots=True)
class Stop:
    """A lease to end."""

    key: LeaseKey
    grace_seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """What became of what one lease has used, by the broker's word.

    Attributes:
        minutes_end: the first minute behind those that it knows.
        complete: it need not be told again.
        refused: why it is not taken, a stable code; empty: it is.
    """

    key: LeaseKey
    minutes_end: int = 0
    complete: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """What should be, as the broker says."""

    report_sequence: int = 0
    start: tuple[Order, ...] = ()
    refused: tuple[Refusal, ...] = ()
    stop: tuple[Stop, ...] = ()
    settled: frozenset[LeaseKey] = frozenset()
    usage: tuple[UsageAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """The broker's terms for one stream, in seconds."""

    session_epoch: int
    report_interval_seconds: float
    suspect_after_seconds: float
    kill_after_seconds: float
    usage_interval_seconds: float = 0.0  # between two reports of usage; 0: it takes none
    policy_key_id: str = ""  # with which the broker signs placement policies; empty: it signs none


class LogStream(StrEnum):
    """An output of a task."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class LogWish:
    """A piece of output that somebody wants to read."""

    request_id: int
    key: LeaseKey
    task: int
    stream: LogStream
    offset: int
    length_max: int


class Phase(StrEnum):
    """Where a lease is, as the engine sees it."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class End:
    """How a lease ended."""

    reason: EndReason
    exit_code: int = 0
    signal: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """One lease, as the engine sees it."""

    key: LeaseKey
    job: JobId | None  # None: only the lease's name is known, and nothing of it ever ran here
    phase: Phase
    stopping: bool = False  # it was told to end
    started_at: datetime | None = None
    ended_at: datetime | None = None
    end: End | None = None
    data_ready: bool = False  # its job has told that its data are ready for the jobs after it


@dataclass(frozen=True, slots=True)
class Used:
    """What a lease has used since its start, as the engine's record proves it.

    Attributes:
        milli_cards: that it holds, in thousandths of a card.
        minutes: from its start on; while it runs whole ones only.
        cut_seconds: the last minute is so much shorter; only of a lease that has ended.
        joules: measured in all of them; 0: the engine does not measure.
        complete: it has ended.
    """

    key: LeaseKey
    milli_cards: int
    minutes: int
    cut_seconds: int = 0
    joules: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node that is not simply free."""

    node: str
    down: bool = False
    foreign_cards: tuple[int, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is true now: every lease with a trace, and every node that is not as the inventory says."""

    leases: tuple[LeaseSeen, ...] = ()
    nodes: tuple[NodeSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeStock:
    """One node of the inventory."""

    node: str
    cards: int
    cpu_milli: int
    memory_mib: int
    domain: str = ""  # fabric domain; empty: not known


@dataclass(frozen=True, slots=True)
class PoolStock:
    """Equal nodes of the inventory."""

    pool: str
    model: str
    nodes: tuple[NodeStock, ...] = field(default_factory=tuple)
