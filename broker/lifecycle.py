"""What a job and a lease can be, and what may happen to them. Tables, not code.

A pair that is not listed is refused. The database repeats the states as CHECK constraints; a test compares both and
walks the whole product of states and events.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"  # waits for a round to place it
    LEASED = "leased"  # placed on named cards; its agent has not reported the start yet
    RUNNING = "running"  # its processes run
    SUCCEEDED = "succeeded"  # final: every task exited with 0
    FAILED = "failed"  # final: ended otherwise
    CANCELLED = "cancelled"  # final: cancelled (confirmed by the agent if placed), or an upstream job failed
    EXPIRED = "expired"  # final: it still waited at its `start_by`, or could no longer end by its `finish_by`


class JobEvent(StrEnum):
    """What can happen to a job; each one is an event in its city's stream."""

    SUBMITTED = "submitted"  # it came into being, as PENDING
    LEASED = "leased"  # a round's placement was committed
    STARTED = "started"  # the agent reported that it runs
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    CANCEL_REQUESTED = "cancel_requested"  # placed already: the agent has to confirm
    LOST = "lost"  # the agent fell silent; the cards stay held
    FOUND = "found"  # the agent came back and the job still runs
    REQUEUED = "requeued"  # an attempt ended without success and another one is due
    UPDATED = "updated"  # its priority was changed
    DATA_READY = "data_ready"  # it told that the data are there which jobs after it wait for
    STOP_ORDERED = "stop_ordered"  # others need its cards: it is stopped, with its grace, and waits again


JOB: Final[Mapping[tuple[JobState, JobEvent], JobState]] = {
    (JobState.PENDING, JobEvent.LEASED): JobState.LEASED,
    (JobState.PENDING, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.PENDING, JobEvent.EXPIRED): JobState.EXPIRED,
    (JobState.PENDING, JobEvent.UPDATED): JobState.PENDING,
    (JobState.LEASED, JobEvent.STARTED): JobState.RUNNING,
    (JobState.LEASED, JobEvent.SUCCEEDED): JobState.SUCCEEDED,  # so short that its run was never seen
    (JobState.LEASED, JobEvent.FAILED): JobState.FAILED,
    (JobState.LEASED, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.LEASED, JobEvent.CANCEL_REQUESTED): JobState.LEASED,
    (JobState.LEASED, JobEvent.LOST): JobState.LEASED,
    (JobState.LEASED, JobEvent.FOUND): JobState.LEASED,
    (JobState.LEASED, JobEvent.REQUEUED): JobState.PENDING,
    (JobState.LEASED, JobEvent.STOP_ORDERED): JobState.LEASED,
    (JobState.LEASED, JobEvent.DATA_READY): JobState.LEASED,  # its run was not seen yet
    (JobState.RUNNING, JobEvent.SUCCEEDED): JobState.SUCCEEDED,
    (JobState.RUNNING, JobEvent.FAILED): JobState.FAILED,
    (JobState.RUNNING, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.RUNNING, JobEvent.CANCEL_REQUESTED): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.LOST): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.FOUND): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.REQUEUED): JobState.PENDING,
    (JobState.RUNNING, JobEvent.STOP_ORDERED): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.DATA_READY): JobState.RUNNING,
}

JOB_FINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class LeaseState(StrEnum):
    """Where a lease (one attempt's committed, fenced right to named cards) is."""

    OFFERED = "offered"  # in a committed plan; the agent has not answered yet
    ACTIVE = "active"  # the agent runs it
    LOST = "lost"  # the agent fell silent; its cards stay held until it answers
    ENDED = "ended"  # final: its cards are free


class LeaseEvent(StrEnum):
    """What can happen to a lease."""

    STARTED = "started"  # the agent reports that every task runs
    STOPPED = "stopped"  # the agent reports that nothing of it runs (it ended, was refused, or never started)
    SILENT = "silent"  # the agent was not heard for too long
    WRITTEN_OFF = "written_off"  # an operator vouches that nothing runs
    KILLED_BY_TERMS = "killed_by_terms"  # `if_lost: restart`: its agent must have killed it by now


LEASE: Final[Mapping[tuple[LeaseState, LeaseEvent], LeaseState]] = {
    (LeaseState.OFFERED, LeaseEvent.STARTED): LeaseState.ACTIVE,
    (LeaseState.OFFERED, LeaseEvent.STOPPED): LeaseState.ENDED,
    (LeaseState.OFFERED, LeaseEvent.SILENT): LeaseState.LOST,  # its reply may be lost and the job running
    (LeaseState.ACTIVE, LeaseEvent.STOPPED): LeaseState.ENDED,
    (LeaseState.ACTIVE, LeaseEvent.SILENT): LeaseState.LOST,
    (LeaseState.LOST, LeaseEvent.STARTED): LeaseState.ACTIVE,  # it came back and the job runs
    (LeaseState.LOST, LeaseEvent.STOPPED): LeaseState.ENDED,
    (LeaseState.LOST, LeaseEvent.WRITTEN_OFF): LeaseState.ENDED,
    (LeaseState.LOST, LeaseEvent.KILLED_BY_TERMS): LeaseState.ENDED,
}


class EndReason(StrEnum):
    """Why a job or one attempt of it ended."""

    COMPLETED = "completed"  # every task exited with 0
    EXIT_CODE = "exit_code"  # a task exited with another code
    SIGNAL = "signal"  # a task was killed by a signal that we did not send
    WALLTIME = "walltime"  # it ran for its whole walltime and was killed
    CANCELLED = "cancelled"  # cancelled on request
    START_FAILED = "start_failed"  # it could not be started
    LOST = "lost"  # the agent fell silent and the lease ended by its terms
    WRITTEN_OFF = "written_off"  # an operator vouched that nothing runs any more
    EXPIRED = "expired"  # it still waited at its `start_by`
    VANISHED = "vanished"  # the engine no longer knows it and cannot tell how it ended
    POLICY_REJECTED = "policy_rejected"  # not started: its signed placement policy does not hold at the agent's place
    TOO_LATE = "too_late"  # it could no longer end by its `finish_by`
    UPSTREAM_FAILED = "upstream_failed"  # a job of its `after` ended without success
    PREEMPTED = "preempted"  # stopped for other work, after its grace


class StopClaim(StrEnum):
    """Why preemptible work is stopped while it runs."""

    GUARANTEE = "guarantee"  # a quota has less in use than it is guaranteed, and others hold the cards
    TIER = "tier"  # work of a tier above, such as an emergency, needs them
    DEFRAGMENTATION = "defragmentation"  # it is moved, so that a gang gets the nodes that it is on
    MAINTENANCE = "maintenance"  # a window begins in which its nodes are closed


ENDS_THE_JOB_WELL: Final = frozenset({EndReason.COMPLETED})
RESTARTS_UNCOUNTED: Final = frozenset(
    {EndReason.LOST, EndReason.WRITTEN_OFF, EndReason.VANISHED, EndReason.POLICY_REJECTED}
)
"""Not the job's fault: it waits again, and `attempts_max` is not charged (but see `restarts_max` in the settings)."""


class Held(StrEnum):
    """What a waiting job waits for beside the reasons of rounds; shown where others show why they were not placed."""

    NOT_YET = "NOT_YET"  # its `earliest_start` has not come
    UPSTREAM_RUNS = "UPSTREAM_RUNS"  # a job of its `after` has not ended (or told that its data are ready)
    GREEN_WAITS = "GREEN_WAITS"  # it prefers green hours, and waits for one that saves enough
    PROMISED = "PROMISED"  # it is promised a start, and starts then at the latest
    QUEUE_PAUSED = "QUEUE_PAUSED"  # operators have paused the queue of its city
    FUNDS_SHORT = "FUNDS_SHORT"  # who pays for it in advance has less than must be held for its whole walltime


class QuoteState(StrEnum):
    """Where a quote is. Who accepts one is sure of its start and its price; until then it holds nothing."""

    OPEN = "open"  # it can be accepted for as long as it is valid
    ACCEPTED = "accepted"  # its job waits for the start that it is promised
    KEPT = "kept"  # final: the job was leased within the window
    MISSED = "missed"  # final: it was not, and a part of the price is given back
    CANCELLED = "cancelled"  # final: its city cancelled the job before it started


class PromiseFate(StrEnum):
    """What became of a promised start in a round; while nothing is told, it stands or was brought forward."""

    MADE = "made"  # a waiting job is promised a start
    KEPT = "kept"  # it has started in time
    LATE = "late"  # it has started, but after its promised time
    MOVED = "moved"  # it starts later than was promised
    BROKEN = "broken"  # it cannot be kept at any time: its job waits like others
    GONE = "gone"  # its job does not wait any more


class PromiseCause(StrEnum):
    """Why a promised start was moved or broken."""

    NODES_GONE = "nodes_gone"  # nodes failed or were closed, or what runs there does not end
    POWER_SHORT = "power_short"  # others use the hub's power
    QUOTA_SHORT = "quota_short"  # others use the quota of its city or enterprise


class AgentState(StrEnum):
    """How the broker sees an agent."""

    NEVER = "never"  # none has ever attached
    LIVE = "live"  # it reports in time
    SUSPECT = "suspect"  # silent for a while: no new work
    LOST = "lost"  # silent for long: its leases are LOST


class NodeMode(StrEnum):
    """Whether a node takes work; operators decide."""

    OPEN = "open"
    CORDONED = "cordoned"  # no new work
    DRAINING = "draining"  # no new work, waits for what runs
    DRAINED = "drained"  # empty after a drain


class Refused(ValueError):
    """A state table does not list this pair of state and event."""

    def __init__(self, state: StrEnum, event: StrEnum) -> None:
        super().__init__(f"{type(state).__name__} {state!s} does not allow {event!s}")


def next_job(state: JobState, event: JobEvent) -> JobState:
    """Return the job's state after the event. Raise Refused when the table does not list the pair."""
    try:
        return JOB[state, event]
    except KeyError:
        raise Refused(state, event) from None


def next_lease(state: LeaseState, event: LeaseEvent) -> LeaseState:
    """Return the lease's state after the event. Raise Refused when the table does not list the pair."""
    try:
        return LEASE[state, event]
    except KeyError:
        raise Refused(state, event) from None


def job_sources(event: JobEvent) -> list[JobState]:
    """Return the states from which the event is allowed: the guard of a store method's WHERE."""
    return [state for state, listed in JOB if listed is event]


def lease_sources(event: LeaseEvent) -> list[LeaseState]:
    """Return the states from which the event is allowed: the guard of a store method's WHERE."""
    return [state for state, listed in LEASE if listed is event]
