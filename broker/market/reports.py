"""What an agent says is, compared with what should be. Pure: the same words give the same answer."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from broker.ids import LeaseId
from broker.job import Ending
from broker.ledger.usage import Usage, UsageProblem
from broker.lifecycle import EndReason, LeaseState
from broker.store.clusters import NodeCondition, PoolInventory
from broker.store.leases import LeaseRef, Started, Stopped
from broker.store.orders import LeaseOrder, LiveLease

UNKNOWN_GRACE_SECONDS: Final = 30
"""Time between TERM and KILL for work that is not ours to know: its job's own figure is not at hand."""


class LeasePhase(StrEnum):
    """Where a lease is, as the engine sees it."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


class StopReason(StrEnum):
    """Why an agent is told to end a lease; stable codes on the wire."""

    CANCELLED = "CANCELLED"  # its job is to be cancelled
    PREEMPTED = "PREEMPTED"  # other work needs its cards; its job waits again
    UNKNOWN_LEASE = "UNKNOWN_LEASE"  # the broker has never had such a lease on this cluster
    STALE_EPOCH = "STALE_EPOCH"  # it has ended for the broker, or the epoch is another one's


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the agent is and what it has."""

    cluster: str
    instance: str
    agent_version: str
    engine: str
    pools: tuple[PoolInventory, ...]
    meters_usage: bool = False  # its reports carry usage


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """One lease, as the engine sees it; times by the agent's clock. `ending` is there when it has ended.

    `data_ready`: its job has told that its data are ready for the jobs after it.
    """

    ref: LeaseRef
    phase: LeasePhase
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ending: Ending | None = None
    data_ready: bool = False


@dataclass(frozen=True, slots=True)
class UsageTold:
    """What one lease has used, by the agent's word."""

    ref: LeaseRef
    milli_cards: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """What became of one lease's usage: what is known of it now, or why it is not taken."""

    ref: LeaseRef
    minutes_end: int = 0
    complete: bool = False
    refused: UsageProblem | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What is true on the cluster: complete, not a difference.

    Attributes:
        measured_at: by the agent's clock, None when it does not say.
        usage: of leases; each at most once.
    """

    sequence: int
    measured_at: datetime | None
    nodes: tuple[NodeCondition, ...]
    leases: Mapping[LeaseRef, LeaseSeen]
    usage: tuple[UsageTold, ...] = ()

    def says_the_same_as(self, other: "Report") -> bool:
        """Tell whether both describe the same cluster, and this one has no usage to be taken."""
        return not self.usage and self.leases == other.leases and self.nodes == other.nodes


def by_ref(leases: Iterable[LeaseSeen]) -> dict[LeaseRef, LeaseSeen]:
    """Return them as a report has them."""
    return {lease.ref: lease for lease in leases}


@dataclass(frozen=True, slots=True)
class LeaseStop:
    """A lease to end; `grace_seconds` lie between TERM and KILL."""

    ref: LeaseRef
    grace_seconds: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Desired:
    """What should be. Leases that the agent reported and that are not mentioned go on as they are."""

    report_sequence: int = 0
    start: tuple[LeaseOrder, ...] = ()
    stop: tuple[LeaseStop, ...] = ()
    settled: tuple[LeaseRef, ...] = ()
    usage: tuple[UsageAnswer, ...] = ()  # to the report that it answers


@dataclass(frozen=True, slots=True)
class Changes:
    """What a report tells that the tables do not have yet."""

    started: tuple[Started, ...]
    stopped: tuple[Stopped, ...]
    ready: tuple[LeaseRef, ...] = ()  # their jobs' data are ready for the jobs after them


VANISHED: Final = Ending(EndReason.VANISHED, detail="the agent reported it before and no longer does")


def changes(live: Mapping[LeaseRef, LiveLease], report: Report, at: datetime) -> Changes:
    """Return which live leases have started, which have ended, and whose data are ready; times by our clock.

    `at` is when the report came: by as much as its own time differs from that, the agent's clock differs from ours.

    Reports of a stream are judged in their order and each is complete, and an agent reports a lease until its end is
    settled. So one that ran and is no longer named has vanished. One that was never seen to run is different: its order
    may be on the way, so it is ordered again.
    """
    shift = timedelta(0) if report.measured_at is None else at - report.measured_at

    def ours(theirs: datetime | None) -> datetime | None:
        return None if theirs is None else theirs + shift

    started: list[Started] = []
    stopped: list[Stopped] = []
    ready: list[LeaseRef] = []
    seen, running, ended, active = report.leases.get, LeasePhase.RUNNING, LeasePhase.ENDED, LeaseState.ACTIVE
    for ref, lease in live.items():  # thousands, in each exchange
        now = seen(ref)
        if now is None:
            if lease.ran:
                stopped.append(Stopped(ref, VANISHED))
            continue
        if now.phase is running:
            if lease.state is not active:
                started.append(Started(ref, ours(now.started_at)))
        elif now.phase is ended:
            stopped.append(Stopped(ref, now.ending or VANISHED, ours(now.started_at), ours(now.ended_at)))
        if now.data_ready and not lease.data_ready:
            ready.append(ref)
    return Changes(tuple(started), tuple(stopped), tuple(ready))


def to_start(live: Mapping[LeaseRef, LiveLease], report: Report) -> list[LeaseRef]:
    """Return the leases of which the agent has no trace, oldest first."""
    return sorted([ref for ref in live if ref not in report.leases])


def to_stop(
    live: Mapping[LeaseRef, LiveLease], unknown: Collection[LeaseRef], known: Collection[LeaseId]
) -> list[LeaseStop]:
    """Return what has to end: leases of jobs to be cancelled, or of which others need the cards, and strangers.

    A lease to be stopped of which the agent has no trace is ordered to start and to stop at once: its order may be
    on the way, so it has to come to an end that the agent has confirmed, and a stop alone says nothing to an agent
    that has not seen the order.

    Args:
        unknown: the strangers that the report names.
        known: leases that the cluster has or once had.
    """
    stops = [
        LeaseStop(ref, lease.stop_grace_seconds, StopReason.CANCELLED if lease.cancelled else StopReason.PREEMPTED)
        for ref, lease in live.items()
        if lease.stop_grace_seconds is not None
    ]
    stops += [
        LeaseStop(
            ref,
            UNKNOWN_GRACE_SECONDS,
            StopReason.STALE_EPOCH if ref.lease in known else StopReason.UNKNOWN_LEASE,
        )
        for ref in unknown
    ]
    return stops


def not_live(live: Mapping[LeaseRef, LiveLease], report: Report) -> tuple[list[LeaseRef], tuple[LeaseRef, ...]]:
    """Return what the report names that is not live here, oldest first.

    The strangers, that are up or coming up; and the ended ones, that need not be reported again.
    """
    rest = sorted([ref for ref in report.leases if ref not in live])
    ended = tuple([ref for ref in rest if report.leases[ref].phase is LeasePhase.ENDED])
    return [ref for ref in rest if report.leases[ref].phase is not LeasePhase.ENDED], ended
