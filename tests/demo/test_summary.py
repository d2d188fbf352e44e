"""The figures at the end of a demo, against sums done by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.client import Job
from broker.demo.summary import RoundFigures, percentile, summarise
from broker.wire.v1 import job_pb2

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def a_job(
    submitted: float, started: float | None, ended: float | None, *, tasks: int = 1, cards: int = 1, **more: object
) -> Job:
    """Return a job with its times in seconds after noon."""
    wire = job_pb2.Job(
        job_id="job-1",
        city=str(more.get("city", "ganzhou")),
        state=f"JOB_STATE_{more.get('state', 'SUCCEEDED')}",
        attempt=int(str(more.get("attempt", 1))),
        spec=job_pb2.JobSpec(tasks=tasks, cards_per_task=cards),
    )
    for name, seconds in (("submitted_at", submitted), ("started_at", started), ("ended_at", ended)):
        if seconds is not None:
            getattr(wire, name).FromDatetime(NOON + timedelta(seconds=seconds))
    return Job.of(wire)


def test_the_figures_of_a_small_demo_are_those_of_a_sum_by_hand() -> None:
    """8 cards for 10 seconds are 80 card-seconds; 2 x 2 cards for 10 and 1 card for 5 use 45 of them."""
    jobs = [
        a_job(0, 1, 11, tasks=2, cards=2),
        a_job(2, 6, 11, state="FAILED", city="nanjing", attempt=3),
        a_job(4, None, 5, state="CANCELLED", city="nanjing"),
    ]
    rounds = [RoundFigures(1, 0, 30), RoundFigures(1, 20_000, 50), RoundFigures(0, 10_000, 90)]

    made = summarise(jobs, rounds, cards=8)

    assert made.jobs_by_state == {"cancelled": 1, "failed": 1, "succeeded": 1}
    assert made.jobs_by_city == {"ganzhou": 1, "nanjing": 2}
    assert (made.wait_p50_seconds, made.wait_p99_seconds) == (1.0, 4.0)
    assert made.makespan_seconds == 10.0
    assert made.utilisation == pytest.approx(45 / 80)
    assert (made.rounds, made.gap_ppm_p50, made.gap_ppm_max, made.round_millis_p50) == (3, 10_000, 20_000, 50)
    assert made.attempts_beyond_first == 2


def test_a_demo_in_which_nothing_started_has_figures_too() -> None:
    made = summarise([a_job(0, None, 1, state="EXPIRED")], [], cards=0)

    assert (made.utilisation, made.makespan_seconds, made.wait_p99_seconds, made.gap_ppm_max) == (0.0, 0.0, 0.0, 0.0)


@given(values=st.lists(st.floats(0, 1e9), min_size=1), percent=st.floats(0.1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], percent: float) -> None:
    found = percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-6
    assert sum(value < found for value in values) < len(values) * percent / 100 + 1e-6
