"""What the broker answers, in plain Python. Each result keeps its message, with everything else, in `wire`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from broker.client.errors import XisuanError
from broker.wire.v1 import job_pb2, job_service_pb2


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # a state that this client is too old to know


FINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
"""States that a job never leaves."""


class EventKind(StrEnum):
    """What can happen to a job; the final states have the same names."""

    SUBMITTED = "submitted"
    LEASED = "leased"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    CANCEL_REQUESTED = "cancel_requested"
    LOST = "lost"
    FOUND = "found"
    REQUEUED = "requeued"
    UPDATED = "updated"
    STOP_ORDERED = "stop_ordered"
    DATA_READY = "data_ready"
    UNKNOWN = "unknown"  # a kind that this client is too old to know


class EndReason(StrEnum):
    """Why a job or one attempt of it ended."""

    COMPLETED = "completed"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    WALLTIME = "walltime"
    CANCELLED = "cancelled"
    START_FAILED = "start_failed"
    LOST = "lost"
    WRITTEN_OFF = "written_off"
    EXPIRED = "expired"
    VANISHED = "vanished"
    POLICY_REJECTED = "policy_rejected"
    TOO_LATE = "too_late"
    UPSTREAM_FAILED = "upstream_failed"
    PREEMPTED = "preempted"
    UNKNOWN = "unknown"  # a reason that this client is too old to know


@dataclass(frozen=True, slots=True)
class Receipt:
    """The job is stored and survives any crash.

    Attributes:
        job_id: such as "job-42".
        duplicate: the caller's request key had been used for the same body before, so nothing new was stored.
    """

    job_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """Answer to one item of a bulk submission: either a job or an error.

    Attributes:
        index: position of the item in what was submitted, from 0.
        request_key: its key.
        job_id: id of the job; empty when the item was refused.
        duplicate: the caller's key had been used for the same body before (by an earlier run, or by a call that broke).
        error: why the item was refused; None when it was stored.
    """

    index: int
    request_key: str
    job_id: str
    duplicate: bool
    error: XisuanError | None


@dataclass(frozen=True, slots=True)
class Placement:
    """The right of one attempt to named cards.

    Attributes:
        cards: node → indices of its cards; of shares one for each task.
        build: index of the chosen build in the job's list.
        tasks: size that the gang runs with.
        share_milli: share of its card that each task holds, in thousandths; 0 for whole cards.
        ask_micro_yuan_per_card_hour: what the owner asked at its start; None when no price was fixed.
        scarcity_micro_yuan_per_card_hour: what it pays beyond that.
    """

    lease_id: str
    epoch: int
    cluster: str
    pool: str
    model: str
    build: int
    cards: dict[str, tuple[int, ...]]
    tasks: int
    share_milli: int
    ask_micro_yuan_per_card_hour: int | None = None
    scarcity_micro_yuan_per_card_hour: int | None = None

    @classmethod
    def of(cls, wire: job_pb2.Placement) -> Self:
        """Return what the message says."""
        return cls(
            lease_id=wire.lease_id,
            epoch=wire.epoch,
            cluster=wire.cluster,
            pool=wire.pool,
            model=wire.model,
            build=wire.build,
            cards={node.node: tuple(node.cards) for node in wire.nodes},
            tasks=sum(node.tasks for node in wire.nodes),  # a broker of the first release sends no sum
            share_milli=max((node.share_milli for node in wire.nodes), default=0),
            ask_micro_yuan_per_card_hour=wire.price.ask_micro_yuan_per_card_hour if wire.HasField("price") else None,
            scarcity_micro_yuan_per_card_hour=wire.price.scarcity_micro_yuan_per_card_hour
            if wire.HasField("price")
            else None,
        )


@dataclass(frozen=True, slots=True)
class End:
    """How a job or an attempt ended."""

    reason: EndReason
    exit_code: int
    signal: int
    detail: str

    @classmethod
    def of(cls, wire: job_pb2.End) -> Self:
        """Return what the message says."""
        reason = named(EndReason, job_pb2.EndReason.Name, "END_REASON_", wire.reason)
        return cls(reason, wire.exit_code, wire.signal, wire.detail)

    def __str__(self) -> str:
        told = {EndReason.EXIT_CODE: f"exit code {self.exit_code}", EndReason.SIGNAL: f"signal {self.signal}"}
        return told.get(self.reason, self.reason.replace("_", " ")) + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Promised:
    """A start that a waiting job is promised.

    Attributes:
        starts_at: at the latest.
        first_starts_at: as it was promised first; earlier where the promise had to be moved.
    """

    starts_at: datetime
    first_starts_at: datetime
    cluster: str
    pool: str

    @classmethod
    def of(cls, wire: job_pb2.Promised) -> Self:
        """Return what the message says."""
        return cls(moment(wire.starts_at), moment(wire.first_starts_at), wire.cluster, wire.pool)


@dataclass(frozen=True, slots=True)
class ExpectedStart:
    """When a waiting job is likely to start: an estimate, not a promise.

    Attributes:
        p50_at: half of the jobs like it have started by then; None when that time has passed.
        p90_at: nine of ten have.
    """

    p50_at: datetime | None
    p90_at: datetime

    @classmethod
    def of(cls, wire: job_pb2.ExpectedStart) -> Self:
        """Return what the message says."""
        return cls(moment(wire.p50_at) if wire.HasField("p50_at") else None, moment(wire.p90_at))


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the broker knows it; times are aware UTC."""

    job_id: str
    city: str
    name: str
    state: JobState
    attempt: int
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested: bool
    waiting_reason: str
    placement: Placement | None
    end: End | None
    wire: job_pb2.Job = field(repr=False, compare=False)
    promised: Promised | None = None
    preemptions: int = 0
    stop_ordered_at: datetime | None = None
    data_ready_at: datetime | None = None
    expected_start: ExpectedStart | None = None

    @classmethod
    def of(cls, wire: job_pb2.Job) -> Self:
        """Return what the message says."""
        return cls(
            job_id=wire.job_id,
            city=wire.city,
            name=wire.spec.name,
            state=named(JobState, job_pb2.JobState.Name, "JOB_STATE_", wire.state),
            attempt=wire.attempt,
            submitted_at=moment(wire.submitted_at),
            started_at=moment(wire.started_at) if wire.HasField("started_at") else None,
            ended_at=moment(wire.ended_at) if wire.HasField("ended_at") else None,
            cancel_requested=wire.cancel_requested,
            waiting_reason=wire.waiting_reason,
            placement=Placement.of(wire.placement) if wire.HasField("placement") else None,
            end=End.of(wire.end) if wire.HasField("end") else None,
            wire=wire,
            promised=Promised.of(wire.promised) if wire.HasField("promised") else None,
            preemptions=wire.preemptions,
            stop_ordered_at=moment(wire.stop_ordered_at) if wire.HasField("stop_ordered_at") else None,
            data_ready_at=moment(wire.data_ready_at) if wire.HasField("data_ready_at") else None,
            expected_start=ExpectedStart.of(wire.expected_start) if wire.HasField("expected_start") else None,
        )

    @property
    def final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in FINAL

    def __str__(self) -> str:
        where = f" on {self.placement.cluster}/{self.placement.pool}" if self.placement else ""
        why = f" ({self.end})" if self.end else f" ({self.waiting_reason})" if self.waiting_reason else ""
        return f"{self.job_id} {self.name!r}: {self.state}{where}{why}"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one job, numbered in its city's gap-free sequence."""

    cursor: int
    job_id: str
    kind: EventKind
    at: datetime
    attempt: int
    placement: Placement | None
    end: End | None
    wire: job_service_pb2.JobEvent = field(repr=False, compare=False)

    @classmethod
    def of(cls, wire: job_service_pb2.JobEvent) -> Self:
        """Return what the message says."""
        return cls(
            cursor=wire.cursor,
            job_id=wire.job_id,
            kind=named(EventKind, job_service_pb2.JobEventKind.Name, "JOB_EVENT_KIND_", wire.kind),
            at=moment(wire.at),
            attempt=wire.attempt,
            placement=Placement.of(wire.placement) if wire.HasField("placement") else None,
            end=End.of(wire.end) if wire.HasField("end") else None,
            wire=wire,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one pool says to one job: a stable reason ("FITS" when it would fit now), and a sentence for people.

    Attributes:
        build: index of the build that was judged; None when none matches.
        cards_short: how many more free cards it would need there now; 0 when that is not the reason.
        clearing_micro_yuan_per_pflops_hour: what the last round cleared at for this job there; None when unknown.
    """

    cluster: str
    pool: str
    hub: str
    model: str
    reason: str
    build: int | None
    cards_short: int
    clearing_micro_yuan_per_pflops_hour: int | None
    detail: str

    @classmethod
    def of(cls, wire: job_service_pb2.PoolVerdict) -> Self:
        """Return what the message says."""
        return cls(
            cluster=wire.cluster,
            pool=wire.pool,
            hub=wire.hub,
            model=wire.model,
            reason=wire.reason,
            build=None if wire.build < 0 else wire.build,
            cards_short=wire.cards_short,
            clearing_micro_yuan_per_pflops_hour=wire.clearing_micro_yuan_per_pflops_hour or None,
            detail=wire.detail,
        )


@dataclass(frozen=True, slots=True)
class JobChange:
    """A single change that would start a waiting job, proved by the broker.

    Attributes:
        lever: what is changed, such as "CEILING"; the reference lists them with the units of before and after.
        effect: "STARTS_NOW": there is free room for it at the last round's prices; "PLANNED": the last round, planned
            again with it, starts it.
        before: how it stands now; None for no limit.
        after: how it would have to be; None for no limit.
        name: the hub, owner or quota that it is about; empty for other levers.
        extra_micro_yuan_per_hour: what the city may have to pay more at most; of a ceiling only.
        instead_of_jobs: jobs that the round started and would not start then.
        starts_at: when it could start then, where a time was asked for.
    """

    lever: str
    effect: str
    before: int | None
    after: int | None
    name: str
    extra_micro_yuan_per_hour: int
    cluster: str
    pool: str
    instead_of_jobs: int
    detail: str
    starts_at: datetime | None

    @classmethod
    def of(cls, wire: job_service_pb2.JobChange) -> Self:
        """Return what the message says."""
        return cls(
            lever=wire.lever,
            effect=wire.effect,
            before=None if wire.before < 0 else wire.before,
            after=None if wire.after < 0 else wire.after,
            name=wire.name,
            extra_micro_yuan_per_hour=wire.extra_micro_yuan_per_hour,
            cluster=wire.cluster,
            pool=wire.pool,
            instead_of_jobs=wire.instead_of_jobs,
            detail=wire.detail,
            starts_at=moment(wire.starts_at) if wire.HasField("starts_at") else None,
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits, or what its choices are: one verdict for each pool, the nearest to starting first.

    Attributes:
        round: the round whose prices were used; None when there was none yet.
        changes: single changes that would start a job that waits, the cheapest first.
        earliest_start: when it could start as it is, where a time was asked for and one is known.
    """

    job: Job
    verdicts: tuple[Verdict, ...]
    round: int | None
    summary: str
    changes: tuple[JobChange, ...]
    earliest_start: datetime | None
    wire: job_service_pb2.ExplainJobResponse = field(repr=False, compare=False)

    @classmethod
    def of(cls, wire: job_service_pb2.ExplainJobResponse) -> Self:
        """Return what the message says."""
        verdicts = tuple(Verdict.of(v) for v in wire.verdicts)
        changes = tuple(JobChange.of(c) for c in wire.changes)
        known = wire.HasField("earliest") and wire.earliest.HasField("starts_at")
        earliest = moment(wire.earliest.starts_at) if known else None
        return cls(Job.of(wire.job), verdicts, wire.round or None, wire.summary, changes, earliest, wire)


@dataclass(frozen=True, slots=True)
class CancelledSet:
    """How many jobs the cancellation of a set touched.

    Attributes:
        cancelled: jobs that were cancelled at once.
        cancel_requested: placed jobs whose agents were asked to stop them.
    """

    cancelled: int
    cancel_requested: int


Named = TypeVar("Named", bound=StrEnum)


def named(kind: type[Named], name_of: Callable[[int], str], prefix: str, number: int) -> Named:
    """Return the word for a number of a wire enum; UNKNOWN for numbers that a newer broker has added."""
    try:
        return kind(name_of(number).removeprefix(prefix).lower())
    except ValueError:
        return kind("unknown")


def moment(at: Timestamp) -> datetime:
    """Return a time as aware UTC."""
    return at.ToDatetime(tzinfo=UTC)
