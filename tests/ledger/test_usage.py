"""Minutes count once, in whatever order and however often they are told; what cannot be true is not taken."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ledger.usage import Metered, Usage, UsageProblem, merged, minutes, of_times, problem
from tests.small_world import T0

MINUTES = st.frozensets(st.integers(0, 40), max_size=30)


def ranges(told: frozenset[int]) -> tuple[tuple[int, int], ...]:
    return minutes((m, m + 1) for m in told)


@given(MINUTES, MINUTES)
def test_minutes_are_a_set(one: frozenset[int], other: frozenset[int]) -> None:
    known = merged(Usage(ranges(one)), Usage(ranges(other)))

    assert known.minutes == ranges(one | other)
    assert known.count == len(one | other)
    assert merged(known, Usage(ranges(one))) == known


@given(st.lists(st.tuples(MINUTES, st.integers(0, 59), st.booleans()), max_size=8))
def test_what_counts_never_becomes_less(told: list[tuple[frozenset[int], int, bool]]) -> None:
    """Also where an agent contradicts itself: a minute told as a whole stays whole, and behind an end comes nothing."""
    known, seconds, end = Usage(), 0, None
    for found, cut, complete in told:
        known = merged(known, Usage(ranges(found), cut if complete else 0, complete=complete))

        assert known.seconds(10**9) >= seconds
        seconds = known.seconds(10**9)
        assert end is None or known.end == end
        end = known.end if known.complete else None


@given(st.integers(0, 10_000), st.integers(0, 999_999))
def test_times_stand_for_usage_to_the_second_that_was_begun(full: int, more_micros: int) -> None:
    until, seconds = T0 + timedelta(seconds=full, microseconds=more_micros), full + (more_micros > 0)

    ended, running = of_times(T0, until, ended=True), of_times(T0, until, ended=False)

    assert (ended.seconds(10**9), ended.whole) == (seconds, True)
    assert running.seconds(10**9) == full // 60 * 60
    assert merged(running, ended) == ended


def test_all_is_known_when_nothing_before_the_end_is_missing() -> None:
    assert not Usage(((0, 5),)).whole
    assert not Usage(((0, 2), (3, 5)), complete=True).whole
    assert Usage(((0, 5),), complete=True).whole
    assert Usage(complete=True).whole


RUNNING = Metered(epoch=2, milli_cards=8000, seconds_max=660, started_at=T0, ended_at=None)
WRONG: list[tuple[UsageProblem, Metered | None, dict[str, Any]]] = [
    (UsageProblem.UNKNOWN_LEASE, None, {}),
    (UsageProblem.OTHER_EPOCH, RUNNING, {"epoch": 1}),
    (UsageProblem.NOT_STARTED, replace(RUNNING, started_at=None), {}),
    (UsageProblem.OTHER_CARDS, RUNNING, {"milli_cards": 8001}),
    (UsageProblem.BEYOND_WALLTIME, RUNNING, {"told": Usage(((0, 14),)), "now": T0 + timedelta(hours=1)}),
    (UsageProblem.AHEAD_OF_CLOCK, RUNNING, {"told": Usage(((4, 8),))}),
    (UsageProblem.AHEAD_OF_CLOCK, replace(RUNNING, ended_at=T0), {"now": T0 + timedelta(hours=1)}),
]


@pytest.mark.parametrize(("wrong", "lease", "changes"), WRONG)
def test_what_cannot_be_is_not_taken(wrong: UsageProblem, lease: Metered | None, changes: dict[str, Any]) -> None:
    """Another lease, epoch or size, minutes beyond the walltime, ahead of our clock or behind the lease's end."""
    right: dict[str, Any] = {
        "epoch": 2,
        "milli_cards": 8000,
        "told": Usage(((0, 5),)),
        "now": T0 + timedelta(minutes=5),
        "skew_seconds": 120,
    }

    assert problem(RUNNING, **right) is None
    assert problem(lease, **right | changes) is wrong


def test_clocks_may_differ_a_little() -> None:
    told = Usage(((0, 7),))

    assert problem(RUNNING, 2, 8000, told, T0 + timedelta(minutes=5), 120) is None
    assert problem(RUNNING, 2, 8000, told, T0 + timedelta(minutes=5), 119) is UsageProblem.AHEAD_OF_CLOCK


def test_a_lease_that_never_ran_may_say_that_nothing_was_used() -> None:
    never = replace(RUNNING, started_at=None)

    assert problem(never, 2, 8000, Usage(complete=True), T0, 0) is None
