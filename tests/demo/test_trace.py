"""What the demo submits is the trace: in its order, with its sizes, compressed, and the same for the same seed."""

import re
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.demo import trace
from broker.demo.trace import RUN_SECONDS_MAX, RUN_SECONDS_MIN, Submission, TraceRow
from broker.worlds.loader import bundled, load

WORLD = load(bundled("laptop"))
CITIES = tuple(city.city for city in WORLD.cities)
STACKS = ("cann", "cuda", "neuware")
DAY_SECONDS = 24 * 3600

rows = st.lists(
    st.builds(
        TraceRow,
        submit_seconds=st.integers(0, DAY_SECONDS),
        duration_seconds=st.integers(0, 30 * DAY_SECONDS),
        gpus=st.sampled_from([1, 2, 4, 8, 16, 32]),
        virtual_cluster=st.sampled_from(["a", "b", "c", "d"]),
    ),
    min_size=1,
    max_size=40,
).map(lambda found: sorted(found, key=lambda row: row.submit_seconds))


def planned(given_rows: list[TraceRow], *, seconds: float = 35.0, seed: int = 1) -> list[Submission]:
    return trace.submissions(given_rows, cities=CITIES, stacks=STACKS, replay_seconds=seconds, seed=seed)


@given(rows=rows, seconds=st.floats(1, 10_000), seed=st.integers(0, 2**32))
@settings(max_examples=200)
def test_order_span_and_sizes_are_the_traces(rows: list[TraceRow], seconds: float, seed: int) -> None:
    made = planned(rows, seconds=seconds, seed=seed)

    times = [submission.at_seconds for submission in made]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] <= seconds * (1 + 1e-9)
    assert [s.tasks * s.cards_per_task for s in made] == [row.gpus for row in rows]
    assert len({submission.name for submission in made}) == len(rows)


@given(rows=rows, seconds=st.floats(1, 10_000), seed=st.integers(0, 2**32))
@settings(max_examples=200)
def test_every_job_can_be_asked_for_and_run(rows: list[TraceRow], seconds: float, seed: int) -> None:
    """A known city, a stack that has cards, room for each task on a node, and more walltime than it will run."""
    for submission in planned(rows, seconds=seconds, seed=seed):
        assert submission.city in CITIES
        assert 1 <= submission.cards_per_task <= trace.NODE_CARDS
        assert RUN_SECONDS_MIN <= submission.run_seconds <= RUN_SECONDS_MAX
        assert submission.walltime_seconds > submission.run_seconds
        assert submission.stacks
        assert set(submission.stacks) <= set(STACKS)
        assert len(set(submission.stacks)) == len(submission.stacks)


def test_the_bundled_day_is_a_day_with_all_kinds_of_jobs() -> None:
    day = trace.load()

    assert len(day) > 100
    assert day == sorted(day, key=lambda row: row.submit_seconds)
    assert 0 <= day[0].submit_seconds < day[-1].submit_seconds <= DAY_SECONDS
    assert {1, 8}.issubset({row.gpus for row in day})
    assert max(row.gpus for row in day) > trace.NODE_CARDS


def test_equal_seeds_give_equal_demos_and_another_seed_another() -> None:
    day = trace.load()

    assert planned(day, seed=7) == planned(day, seed=7)
    assert planned(day, seed=7) != planned(day, seed=8)


def test_every_city_has_work_and_some_of_it_fails() -> None:
    made = planned(trace.load())

    assert {submission.city for submission in made} == set(CITIES)
    assert 0 < sum(submission.fails for submission in made) < len(made) / 10
    assert {submission.priority for submission in made} == {"deferrable", "standard", "urgent"}


@pytest.mark.parametrize("words", ["CC-BY 4.0", "Philly", "Microsoft", "Changes made here"])
def test_the_trace_is_attributed_as_its_licence_wants(words: str) -> None:
    told = resources.files("broker.demo").joinpath("PHILLY.md").read_text()

    assert re.search(words, told)
