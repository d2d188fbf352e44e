"""What is counted as it happens: jobs, leases, promises, stops, waits."""

from typing import Final

from broker.ledger.usage import UsageProblem
from broker.lifecycle import JobEvent, PromiseCause, PromiseFate, StopClaim
from broker.metrics.registry import counter, histogram

CLASSES: Final = ("deferrable", "standard", "urgent", "emergency")
"""Priority classes of jobs."""

CITY: Final = "cities of the catalogue"
CLAIMS: Final = tuple(claim.value for claim in StopClaim)

JOB_EVENTS: Final = counter(
    "broker_job_events_total",
    "Events of jobs, when they are numbered: each of them once, whichever broker numbers.",
    {"city": CITY, "event": tuple(event.value for event in JobEvent)},
)
WAIT_SECONDS: Final = histogram(
    "broker_wait_seconds",
    "Time from a job's submission, or from its earliest start where that is later, to its first committed lease.",
    (0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600, 14400, 86400),
    {"class": CLASSES},
)
PLACEMENTS: Final = counter(
    "broker_placements_total",
    "Jobs that were leased, by what decided: a round, or the fast lane beside the rounds.",
    {"path": ("round", "fast")},
)
FAST_PLACEMENT_SECONDS: Final = histogram(
    "broker_fast_placement_seconds",
    "Time from a job's submission to its committed lease, of jobs leased by the fast lane.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10),
)
POLICY_REJECTIONS: Final = counter(
    "broker_policy_rejections_total",
    "Leases that their agent did not start because the signed placement policy does not hold at its place.",
)
USAGE_REFUSED: Final = counter(
    "broker_usage_refused_total",
    "Reports of one lease's usage that were not taken, by why: an unknown lease, another epoch, one that never ran, "
    "other cards, minutes behind the walltime, or minutes ahead of the broker's clock. Nothing of them was counted.",
    {"why": tuple(why.value for why in UsageProblem)},
)
QUOTES: Final = counter(
    "broker_quotes_total",
    "Quotes by what became of them: asked (an option was handed out), accepted, gone (not accepted: others took the "
    "room), kept (leased within its window), missed (not, so a part of its price was given back where it was paid "
    "in advance), cancelled (by its city before the start).",
    {"event": ("asked", "accepted", "gone", "kept", "missed", "cancelled")},
)
PROMISES: Final = counter(
    "broker_promises_total",
    "Promised starts by what became of them in a committed round, and why where one was moved or broken: made, kept "
    "(started in time), late (started after its time), moved (to a later time), broken (cannot be kept), gone (its job "
    "does not wait any more).",
    {
        "fate": tuple(fate.value for fate in PromiseFate),
        "cause": ("none", *(cause.value for cause in PromiseCause)),
    },
)
STOPS: Final = counter(
    "broker_stops_total",
    "Leases that were ordered to stop: for other work with a right to their cards (guarantee, tier), to be moved "
    "(defragmentation), or for maintenance.",
    {"claim": CLAIMS},
)
STOPPED_CARD_SECONDS: Final = counter(
    "broker_stopped_card_seconds_total",
    "Work since the last checkpoints of those leases, in seconds times cards: it has to be done again.",
    {"claim": CLAIMS},
)
EXPECTED_STARTS: Final = counter(
    "broker_expected_starts_total",
    "Waits that were given an expected start, by quantile and whether their job was leased by the first time that they "
    "were given: in_time counts at the lease, late as soon as that time has passed. Of P90 nine of ten are to be in "
    "time, of P50 half. A wait that ends without a lease before that time is not counted.",
    {"quantile": ("p50", "p90"), "outcome": ("in_time", "late")},
)


def job_event(city: str, event: str, times: int) -> None:
    """Count events of one kind that were numbered for a city."""
    JOB_EVENTS.labels(city, event).inc(times)


def waited(priority: str, seconds: float) -> None:
    """Count a job's first lease after such a wait."""
    WAIT_SECONDS.labels(priority).observe(max(0.0, seconds))


def placed_by_round(jobs: int) -> None:
    """Count jobs that a committed round has leased."""
    PLACEMENTS.labels("round").inc(jobs)


def placed_at_once(seconds: float) -> None:
    """Count a job that the fast lane has leased so long after its submission."""
    PLACEMENTS.labels("fast").inc()
    FAST_PLACEMENT_SECONDS.observe(seconds)


def promise_told(fate: PromiseFate, cause: PromiseCause | None) -> None:
    """Count what a committed round made of a promised start."""
    PROMISES.labels(fate.value, "none" if cause is None else cause.value).inc()


def quote_told(event: str, count: int = 1) -> None:
    """Count what became of quotes; `event` as the metric has it."""
    QUOTES.labels(event).inc(count)


def usage_refused(why: UsageProblem, reports: int) -> None:
    """Count usage that was not taken."""
    USAGE_REFUSED.labels(why.value).inc(reports)


def stop_ordered(claim: StopClaim, lost_card_seconds: int) -> None:
    """Count a lease that was ordered to stop, and what it costs."""
    STOPS.labels(claim.value).inc()
    STOPPED_CARD_SECONDS.labels(claim.value).inc(lost_card_seconds)


def expected_start_came(quantile: str, *, late: bool) -> None:
    """Count a wait whose first P50 or P90 has come true or not; `quantile` is "p50" or "p90"."""
    EXPECTED_STARTS.labels(quantile, "late" if late else "in_time").inc()


def policy_rejected() -> None:
    """Count a lease that an agent has rejected."""
    POLICY_REJECTIONS.inc()
