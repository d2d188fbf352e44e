"""Every metric of the broker. Names carry units, helps say exactly when they count, labels are closed sets.

Closed labels exist from the start, so that "never" reads 0. No ids in labels: those go to the logs.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from broker.ledger.usage import UsageProblem
from broker.lifecycle import AgentState, JobState, PromiseCause, PromiseFate, StopClaim

REGISTRY: Final = CollectorRegistry(auto_describe=True)

ROUND_SECONDS: Final = Histogram(
    "broker_round_seconds",
    "Wall time of one scheduling round, from the reading of the snapshot to the end of the commit.",
    ["outcome"],
    buckets=(0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
    registry=REGISTRY,
)
for _outcome in ("committed", "rejected", "failed"):
    ROUND_SECONDS.labels(_outcome)
ROUND_GAP_RATIO: Final = Gauge(
    "broker_round_gap_ratio", "Proven gap of the last verified round: (bound - objective) / bound.", registry=REGISTRY
)
PLACEMENTS: Final = Counter(
    "broker_placements_total",
    "Jobs that were leased, by what decided: a round, or the fast lane beside the rounds.",
    ["path"],
    registry=REGISTRY,
)
for _path in ("round", "fast"):
    PLACEMENTS.labels(_path)
FAST_PLACEMENT_SECONDS: Final = Histogram(
    "broker_fast_placement_seconds",
    "Time from a job's submission to its committed lease, of jobs leased by the fast lane.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10),
    registry=REGISTRY,
)
POLICY_REJECTIONS: Final = Counter(
    "broker_policy_rejections_total",
    "Leases that their agent did not start because the signed placement policy does not hold at its place.",
    registry=REGISTRY,
)
USAGE_REFUSED: Final = Counter(
    "broker_usage_refused_total",
    "Reports of one lease's usage that were not taken, by why: an unknown lease, another epoch, one that never ran, "
    "other cards, minutes behind the walltime, or minutes ahead of the broker's clock. Nothing of them was counted.",
    ["why"],
    registry=REGISTRY,
)
for _why in UsageProblem:
    USAGE_REFUSED.labels(_why.value)
PROMISES: Final = Counter(
    "broker_promises_total",
    "Promised starts by what became of them in a committed round, and why where one was moved or broken: made, kept "
    "(started in time), late (started after its time), moved (to a later time), broken (cannot be kept), gone (its job "
    "does not wait any more).",
    ["fate", "cause"],
    registry=REGISTRY,
)
for _fate in PromiseFate:
    if _fate in (PromiseFate.MOVED, PromiseFate.BROKEN):
        for _cause in PromiseCause:
            PROMISES.labels(_fate.value, _cause.value)
    else:
        PROMISES.labels(_fate.value, "none")
QUOTES: Final = Counter(
    "broker_quotes_total",
    "Quotes by what became of them: asked (an option was handed out), accepted, gone (not accepted: others took the "
    "room), kept (leased within its window), missed (not, so a part of its price was given back where it was paid "
    "in advance), cancelled (by its city before the start).",
    ["event"],
    registry=REGISTRY,
)
for _event in ("asked", "accepted", "gone", "kept", "missed", "cancelled"):
    QUOTES.labels(_event)
STOPS: Final = Counter(
    "broker_stops_total",
    "Leases that were ordered to stop: for other work with a right to their cards (guarantee, tier), to be moved "
    "(defragmentation), or for maintenance.",
    ["claim"],
    registry=REGISTRY,
)
STOPPED_CARD_SECONDS: Final = Counter(
    "broker_stopped_card_seconds_total",
    "Work since the last checkpoints of those leases, in seconds times cards: it has to be done again.",
    ["claim"],
    registry=REGISTRY,
)
for _claim in StopClaim:
    STOPS.labels(_claim.value)
    STOPPED_CARD_SECONDS.labels(_claim.value)
EXPECTED_STARTS: Final = Counter(
    "broker_expected_starts_total",
    "Waits that were given an expected start, by quantile and whether their job was leased by the first time that they "
    "were given: in_time counts at the lease, late as soon as that time has passed. Of P90 nine of ten are to be in "
    "time, of P50 half. A wait that ends without a lease before that time is not counted.",
    ["quantile", "outcome"],
    registry=REGISTRY,
)
for _quantile in ("p50", "p90"):
    for _outcome in ("in_time", "late"):
        EXPECTED_STARTS.labels(_quantile, _outcome)
JOBS: Final = Gauge("broker_jobs", "Jobs by state, as last counted.", ["state"], registry=REGISTRY)
for _state in JobState:
    JOBS.labels(_state.value)
AGENTS: Final = Gauge(
    "broker_agents", "Clusters by the state of their agent, as last counted.", ["state"], registry=REGISTRY
)
for _agent in AgentState:
    AGENTS.labels(_agent.value)
CARDS: Final = Gauge(
    "broker_cards", "Cards by hub and use, as last counted; 'closed' take no work.", ["hub", "use"], registry=REGISTRY
)
CARD_USES: Final = ("leased", "foreign", "closed", "free")


def round_done(outcome: str, seconds: float, gap_ppm: int) -> None:
    """Count a round. The gap is published only for one whose plan was verified."""
    ROUND_SECONDS.labels(outcome).observe(seconds)
    if outcome == "committed":
        ROUND_GAP_RATIO.set(gap_ppm / 1_000_000)


def placed_by_round(jobs: int) -> None:
    """Count jobs that a committed round has leased."""
    PLACEMENTS.labels("round").inc(jobs)


def promise_told(fate: PromiseFate, cause: PromiseCause | None) -> None:
    """Count what a committed round made of a promised start."""
    PROMISES.labels(fate.value, "none" if cause is None else cause.value).inc()


def quote_told(event: str, count: int = 1) -> None:
    """Count what became of quotes; `event` as the metric has it."""
    QUOTES.labels(event).inc(count)


def stop_ordered(claim: StopClaim, lost_card_seconds: int) -> None:
    """Count a lease that was ordered to stop, and what it costs."""
    STOPS.labels(claim.value).inc()
    STOPPED_CARD_SECONDS.labels(claim.value).inc(lost_card_seconds)


def expected_start_came(quantile: str, *, late: bool) -> None:
    """Count a wait whose first P50 or P90 has come true or not; `quantile` is "p50" or "p90"."""
    EXPECTED_STARTS.labels(quantile, "late" if late else "in_time").inc()


def placed_at_once(seconds: float) -> None:
    """Count a job that the fast lane has leased so long after its submission."""
    PLACEMENTS.labels("fast").inc()
    FAST_PLACEMENT_SECONDS.observe(seconds)


def policy_rejected() -> None:
    """Count a lease that an agent has rejected."""
    POLICY_REJECTIONS.inc()


def usage_refused(why: UsageProblem, reports: int) -> None:
    """Count usage that was not taken."""
    USAGE_REFUSED.labels(why.value).inc(reports)
