"""What a broker that leads tells of its rounds."""

from collections.abc import Mapping
from typing import Final

from broker.lifecycle import Held
from broker.metrics.registry import counter, gauge, histogram
from scheduler.reasons import REFUSALS

STAGES: Final = ("snapshot", "plan", "verify", "commit")
REASONS: Final = tuple(reason.value for reason in (*REFUSALS, *Held))
"""Why jobs wait."""

MILLIS_PER_SECOND: Final = 1000

LEADS: Final = gauge("broker_leads", "1 while this broker leads the rounds and tells of the hub's state, else 0.")
ROUND_SECONDS: Final = histogram(
    "broker_round_seconds",
    "Wall time of one scheduling round, from the reading of the snapshot to the end of the commit.",
    (0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
    {"outcome": ("committed", "rejected", "failed")},
)
ROUND_STAGE_SECONDS: Final = histogram(
    "broker_round_stage_seconds",
    "Wall time of one stage of a committed round.",
    (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
    {"stage": STAGES},
)
ROUND_GAP_RATIO: Final = gauge(
    "broker_round_gap_ratio", "Proven gap of the last verified round: (bound - objective) / bound."
)
ROUND_OBJECTIVE: Final = gauge(
    "broker_round_objective_micro_yuan_per_hour", "Worth of what the last committed round placed, per hour."
)
ROUND_BOUND: Final = gauge(
    "broker_round_bound_micro_yuan_per_hour", "What no plan of the last committed round's world can be worth more than."
)
ROUND_JOBS: Final = counter(
    "broker_round_jobs_total",
    "Jobs that committed rounds looked at, each once a round: placed, stale (planned, but the world had moved on), or "
    "left waiting.",
    {"fate": ("placed", "stale", "left")},
)
ROUND_REFUSED: Final = gauge(
    "broker_round_refused_jobs", "Jobs that the last committed round left waiting, by reason.", {"reason": REASONS}
)
ROUND_AT: Final = gauge(
    "broker_round_at_seconds", "When this broker committed its last round, in seconds since 1970; 0: never."
)


def round_done(outcome: str, seconds: float, gap_ppm: int) -> None:
    """Count a round. The gap is published only for one whose plan was verified."""
    ROUND_SECONDS.labels(outcome).observe(seconds)
    if outcome == "committed":
        ROUND_GAP_RATIO.set(gap_ppm / 1_000_000)


def round_committed(
    at_seconds: float,
    *,
    millis: tuple[int, int, int, int],
    objective: int,
    bound: int,
    jobs: Mapping[str, int],
    refused: Mapping[str, int],
) -> None:
    """Tell of a committed round: `millis` by stage, worths in micro-yuan per hour, jobs by fate and by reason."""
    for stage, took in zip(STAGES, millis, strict=True):
        ROUND_STAGE_SECONDS.labels(stage).observe(took / MILLIS_PER_SECOND)
    ROUND_OBJECTIVE.set(objective)
    ROUND_BOUND.set(bound)
    for fate, times in jobs.items():
        ROUND_JOBS.labels(fate).inc(max(0, times))
    for reason in REASONS:
        ROUND_REFUSED.labels(reason).set(refused.get(reason, 0))
    ROUND_AT.set(at_seconds)


def leads(yes: bool) -> None:
    """Tell whether this broker leads."""
    LEADS.set(yes)
