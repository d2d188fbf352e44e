"""What a demo comes to: jobs by state, waiting, utilisation, gaps. Pure: jobs and rounds in, rows out."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.client.results import Job


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """One round, as much as the summary needs."""

    placed: int
    gap_ppm: int
    millis: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo in figures; seconds are real ones, not compressed ones."""

    jobs_by_state: dict[str, int]
    jobs_by_city: dict[str, int]
    wait_p50_seconds: float
    wait_p99_seconds: float
    utilisation: float  # card-seconds used / card-seconds there, from the first start to the last end
    makespan_seconds: float
    rounds: int
    gap_ppm_p50: float
    gap_ppm_max: float
    round_millis_p50: float
    attempts_beyond_first: int


def summarise(jobs: Sequence[Job], rounds: Sequence[RoundFigures], cards: int) -> Summary:
    """Return the figures.

    Args:
        jobs: every job of the demo.
        rounds: every round that had something to plan.
        cards: cards in the world.
    """
    started = [job for job in jobs if job.started_at is not None and job.ended_at is not None]
    waits = [_seconds(job.submitted_at, job.started_at) for job in started]
    first = min((job.started_at for job in started if job.started_at), default=None)
    last = max((job.ended_at for job in started if job.ended_at), default=None)
    span = _seconds(first, last)
    used = sum(_seconds(job.started_at, job.ended_at) * _cards(job) for job in started)
    gaps = [float(r.gap_ppm) for r in rounds]
    return Summary(
        jobs_by_state=dict(sorted(Counter(job.state.value for job in jobs).items())),
        jobs_by_city=dict(sorted(Counter(job.city for job in jobs).items())),
        wait_p50_seconds=percentile(waits, 50),
        wait_p99_seconds=percentile(waits, 99),
        utilisation=used / (span * cards) if span and cards else 0.0,
        makespan_seconds=span,
        rounds=len(rounds),
        gap_ppm_p50=percentile(gaps, 50),
        gap_ppm_max=max(gaps, default=0.0),
        round_millis_p50=percentile([float(r.millis) for r in rounds], 50),
        attempts_beyond_first=sum(max(0, job.attempt - 1) for job in jobs),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of the values do not exceed (nearest rank); 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return 0.0 if start is None or end is None else max(0.0, (end - start).total_seconds())


def _cards(job: Job) -> int:
    return job.wire.spec.tasks * job.wire.spec.cards_per_task
