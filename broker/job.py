"""What a job is, independent of wire and tables: the words that rpc, market, store and loops share.

`JobSpec` is complete and valid: the conversion layer has filled in defaults and checked every limit. It and its parts
are structs of msgspec, made in a quarter of a dataclass's time and written in half of it: bulk submissions pass here.
Without cycles, they are none of the garbage collector's business.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from operator import attrgetter
from typing import Any, Final, Self

import msgspec

from broker.ids import JobId, LeaseId
from broker.lifecycle import EndReason, JobEvent, JobState, LeaseState


class PriorityClass(StrEnum):
    """How urgent a job is; the order of definition is the order of rank."""

    DEFERRABLE = "deferrable"
    STANDARD = "standard"
    URGENT = "urgent"
    EMERGENCY = "emergency"

    @property
    def rank(self) -> int:
        """0 for the lowest class, growing with urgency."""
        return _RANKS[self]


_RANKS: Final = {member: rank for rank, member in enumerate(PriorityClass)}


class WorkloadClass(StrEnum):
    """What kind of work a job is; voucher programmes and sector reports are by these classes."""

    TRAINING = "training"
    INFERENCE = "inference"
    SPEECH = "speech"
    IMAGE = "image"
    AUTONOMOUS_DRIVING = "autonomous_driving"
    RESEARCH = "research"
    AGRICULTURE = "agriculture"
    INDUSTRY = "industry"
    LOW_ALTITUDE = "low_altitude"
    OTHER = "other"


class IfLost(StrEnum):
    """What happens when the agent that runs a job falls silent."""

    HOLD = "hold"
    RESTART = "restart"


class Within(StrEnum):
    """Where all nodes of a gang must be; the order of definition is from wide to narrow."""

    POOL = "pool"
    DOMAIN = "domain"
    NODE = "node"


class GreenPreference(StrEnum):
    """Whether a job waits for hours in which energy is green."""

    NONE = "none"
    PREFER = "prefer"


class Build(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One way to run a job: a program for one software stack."""

    stack: str
    command: tuple[str, ...]
    models: tuple[str, ...] = ()  # sorted; empty: every model of the stack
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    speed_ppm: int = 1_000_000


class GangSize(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A smaller size that would do for an elastic job."""

    tasks: int
    speed_ppm: int  # of the whole gang against the full one


class JobSpec(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a city asks for: a gang of tasks, and the builds it can run as. What fields mean: job.proto."""

    name: str
    tasks: int
    cards_per_task: int
    walltime_seconds: int
    builds: tuple[Build, ...]
    ceiling_micro_yuan_per_pflops_hour: int  # 0 as submitted: the city's standard ceiling; in a stored `Job` never 0
    job_set: str = ""
    cpu_milli_per_task: int = 0
    memory_mib_per_task: int = 0
    priority: PriorityClass = PriorityClass.STANDARD
    workload_class: WorkloadClass = WorkloadClass.OTHER
    allowed_hubs: tuple[str, ...] = ()  # sorted; empty: every hub
    round_trip_micros_max: int = 0  # 0: no limit
    start_by: datetime | None = None
    if_lost: IfLost = IfLost.HOLD
    attempts_max: int = 1
    grace_seconds: int = 0
    share_milli: int = 0  # 0: whole cards
    smaller_sizes: tuple[GangSize, ...] = ()  # descending, less than `tasks`
    within: Within = Within.POOL
    spread_speed_ppm: int = 1_000_000
    input_gib: int = 0
    output_gib: int = 0
    staged_hubs: tuple[str, ...] = ()  # sorted
    transfer_seconds_max: int = 0  # 0: no limit
    domestic_only: bool = False
    allowed_owners: tuple[str, ...] = ()  # sorted; empty: every owner
    enterprise: str = ""  # empty: the city itself
    earliest_start: datetime | None = None
    finish_by: datetime | None = None
    after: tuple[JobId, ...] = ()  # sorted
    after_request_keys: tuple[str, ...] = ()  # sorted
    after_any_end: bool = False
    preemptible: bool = False
    checkpoint_interval_seconds: int = 0  # 0: all work is lost when it is stopped
    ceiling_micro_yuan_per_job: int = 0  # for one run of its whole walltime; 0: no such ceiling
    after_data_ready: bool = False  # it need not wait for more than the data of the jobs of `after`
    vouchers: tuple[str, ...] = ()  # of its city, in the order in which they are drawn on
    green: GreenPreference = GreenPreference.NONE

    @property
    def latest_start(self) -> datetime | None:
        """The last moment at which it may start: its `start_by`, or what its `finish_by` leaves if that is earlier."""
        last = self.finish_by and self.finish_by - timedelta(seconds=self.walltime_seconds)
        return min((at for at in (self.start_by, last) if at is not None), default=None)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Every number of tasks that it may run with, descending."""
        return (self.tasks, *(size.tasks for size in self.smaller_sizes))

    @property
    def characters(self) -> int:
        """How many characters the commands and environments of all builds have: nearly all that a spec weighs."""
        return sum(
            sum(map(len, b.command)) + sum(len(name) + len(value) for name, value in b.environment.items())
            for b in self.builds
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, the form in which it is stored and compared."""
        return _plain(self._body())

    def body_text(self) -> str:
        """Return the canonical text of `to_json`: what is stored and hashed."""
        return canonical_text(self._body())

    def _body(self) -> dict[str, Any]:
        """Return what is stored of it, by name; a later field only where it says something.

        Without them a body keeps the form and the hash that it had when it was stored first.
        """
        values: dict[str, Any] = dict(zip(_FIRST_FIELDS, _first_values(self), strict=True))
        if self.start_by is not None:
            values["start_by"] = _time_text(self.start_by)
        return values if _later_values(self) == _LATER_NEUTRAL else values | self._later()

    def _later(self) -> dict[str, Any]:
        """Return the later fields that say something."""
        said = {name: getattr(self, name) for name, neutral in _LATER.items() if getattr(self, name) != neutral}
        return {name: _time_text(value) if isinstance(value, datetime) else value for name, value in said.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec that `to_json` wrote; fields that are newer than the stored form take their defaults."""
        return msgspec.convert(values, cls)

    def sha256(self) -> bytes:
        """Return the hash by which a repeated submission is recognised."""
        return text_sha256(self.body_text())

    @property
    def needs(self) -> Hashable:
        """What `requirement` is made of: equal where requirements are equal, and known sooner."""
        return _needed_values(self), tuple([(b.stack, b.models, b.speed_ppm) for b in self.builds])

    def requirement(self) -> dict[str, Any]:
        """Return what the planner needs to know, without worth and time: equal requirements share a shape.

        Of the later fields only those that say something, as `to_json` has them; none of whose it is and when.
        """
        later = {name: value for name, value in self._later().items() if name not in _NO_REQUIREMENT}
        return _plain(later) | {
            "tasks": self.tasks,
            "cards_per_task": self.cards_per_task,
            "cpu_milli_per_task": self.cpu_milli_per_task,
            "memory_mib_per_task": self.memory_mib_per_task,
            "round_trip_micros_max": self.round_trip_micros_max,
            "allowed_hubs": list(self.allowed_hubs),
            "builds": [{"stack": b.stack, "models": list(b.models), "speed_ppm": b.speed_ppm} for b in self.builds],
        }


_FIRST_FIELDS: Final = tuple(takewhile(lambda name: name != "share_milli", JobSpec.__struct_fields__))
_LATER_FIELDS: Final = JobSpec.__struct_fields__[len(_FIRST_FIELDS) :]
_LATER: Final[Mapping[str, Any]] = dict(
    zip(_LATER_FIELDS, JobSpec.__struct_defaults__[-len(_LATER_FIELDS) :], strict=True)
)
"""Fields that came after the first release, with the value by which they say nothing."""

_LATER_NEUTRAL: Final = tuple(_LATER.values())
_first_values: Final = attrgetter(*_FIRST_FIELDS)
_later_values: Final = attrgetter(*_LATER)

_NO_REQUIREMENT: Final = frozenset(
    {
        "enterprise",
        "earliest_start",
        "finish_by",
        "after",
        "after_request_keys",
        "after_any_end",
        "preemptible",
        "checkpoint_interval_seconds",
        "ceiling_micro_yuan_per_job",
        "after_data_ready",
        "vouchers",
        "green",
    }
)
"""Later fields that say nothing about where a job can run."""

_needed_values: Final = attrgetter(
    "tasks",
    "cards_per_task",
    "cpu_milli_per_task",
    "memory_mib_per_task",
    "round_trip_micros_max",
    "allowed_hubs",
    *(name for name in _LATER if name not in _NO_REQUIREMENT),
)


_SORTED: Final = msgspec.json.Encoder(order="sorted")
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical_text(values: Mapping[str, Any]) -> str:
    """Return the one text for equal JSON values: what is hashed.

    It is what `json` writes with sorted keys and without blanks, with anything but printable ASCII escaped. Structs
    count as what they hold; no value is a fraction.
    """
    text = _SORTED.encode(values).decode()  # in half of the time or less, and the same where there is nothing to escape
    if text.isascii() and text.isprintable():
        return text
    return _CANONICAL.encode(msgspec.to_builtins(values))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them: structs and tuples become objects and lists."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
    return plain


def _time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def text_sha256(canonical: str) -> bytes:
    """Return the hash of a canonical text."""
    return hashlib.sha256(canonical.encode()).digest()


def differences(mine: Mapping[str, Any], other: Mapping[str, Any], path: str = "spec") -> list[str]:
    """Return the paths of the fields in which two JSON forms differ, such as "spec.builds[0].command"."""
    found: list[str] = []
    for key in sorted(set(mine) | set(other)):
        a, b, here = mine.get(key), other.get(key), f"{path}.{key}"
        if a == b:
            continue
        if key == "builds" and isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                found += differences(x, y, f"{here}[{i}]")
        else:
            found.append(here)
    return found


@dataclass(frozen=True, slots=True)
class NodeCards:
    """The cards that one lease holds on one node."""

    node: str
    cards: tuple[int, ...]  # indices, ascending; of shares one for each task
    tasks: int
    share_milli: int = 0  # of its card for each task; 0: whole cards


@dataclass(frozen=True, slots=True)
class LeasePrice:
    """What a lease pays, fixed at its start; shares of a card pay their part."""

    ask_micro_yuan_per_card_hour: int
    scarcity_micro_yuan_per_card_hour: int
    rate_card_version: int  # of what asks; 0: there was no rate card


@dataclass(frozen=True, slots=True)
class Placement:
    """The right of one attempt to named cards."""

    lease: LeaseId
    epoch: int
    cluster: str
    pool: str
    model: str
    build: int  # index in JobSpec.builds
    nodes: tuple[NodeCards, ...]
    price: LeasePrice | None = None  # None: it started under a release that had none

    @property
    def tasks(self) -> int:
        """The size that the gang runs with."""
        return sum(node.tasks for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job or an attempt ended."""

    reason: EndReason
    exit_code: int = 0
    signal: int = 0
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, as events store it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the ending that `to_json` wrote."""
        return cls(**{**values, "reason": EndReason(values["reason"])})


@dataclass(frozen=True, slots=True)
class Promised:
    """A start that a waiting job is promised."""

    starts_at: datetime  # at the latest
    first_starts_at: datetime  # as it was promised first; earlier where the promise had to be moved
    cluster: str
    pool: str


@dataclass(frozen=True, slots=True)
class ExpectedStart:
    """When a waiting job is likely to start, as a round has told it: an estimate, not a promise."""

    p50_at: datetime | None  # half of the jobs like it have started by then; None: that time has passed
    p90_at: datetime  # nine of ten have

    def ahead(self, now: datetime) -> Self | None:
        """Return what of it lies ahead; None when nothing does: rounds have not told it anew, so nothing is known."""
        if self.p90_at <= now:
            return None
        passed = self.p50_at is not None and self.p50_at <= now
        return replace(self, p50_at=None) if passed else self


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the broker knows it."""

    job: JobId
    city: str
    spec: JobSpec
    state: JobState
    attempt: int
    submitted_at: datetime
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    ended_at: datetime | None = None
    ending: Ending | None = None
    waiting_reason: str = ""
    placement: Placement | None = None
    promised: Promised | None = None
    preemptions: int = 0  # attempts that were stopped for other work
    stop_ordered_at: datetime | None = None  # of the live attempt: it is stopped for other work
    expected_start: ExpectedStart | None = None  # of one that is promised none; see `ExpectedStart.ahead`
    data_ready_at: datetime | None = None  # when it told that its data are ready for the jobs after it
    held_until: datetime | None = None  # rounds do not look at it before: its `earliest_start`, or a green hour


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one job, numbered in its city's gap-free sequence."""

    cursor: int
    job: JobId
    kind: JobEvent
    at: datetime
    attempt: int
    placement: Placement | None = None
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease with what operators want to see of it."""

    placement: Placement
    job: JobId
    city: str
    state: LeaseState
    offered_at: datetime
    started_at: datetime | None = None
