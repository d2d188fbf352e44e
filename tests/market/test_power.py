"""The pace of a year's energy quota: it is used up at the end of the year and not before, whatever runs."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.market.power import WATTS_MAX, meter_watts, pace_watts
from broker.store.energy import year_of
from broker.store.rules import Energy
from broker.worlds.rates import PROGRAMME_TIME

HOUR = 3600


@pytest.mark.parametrize(
    ("card_watts", "pue_milli", "shown"),
    [(1000, 1200, 1200), (1, 1200, 2), (0, 1200, 0), (1000, 0, 1000), (7, 1000, 7)],
)
def test_a_meter_shows_what_cards_draw_times_pue_rounded_up(card_watts: int, pue_milli: int, shown: int) -> None:
    assert meter_watts(card_watts, pue_milli) == shown


def test_what_is_left_is_spread_over_the_rest_of_the_year() -> None:
    energy = Energy(quota_joules=1_000 * HOUR, used_joules=400 * HOUR, committed_joules=0)

    assert pace_watts(energy, 0, 60 * HOUR) == 10


def test_running_work_below_the_pace_lies_within_it() -> None:
    """Its energy is not taken off once more: the planner takes its watts off the pace."""
    energy = Energy(quota_joules=600 * HOUR, used_joules=0, committed_joules=6 * 50 * HOUR)

    assert pace_watts(energy, 6, 60 * HOUR) == 10


def test_running_work_above_the_pace_leaves_the_rest_to_the_time_after_it() -> None:
    """20 W for 20 of 60 hours use 400 of 600: what is left is 200 over 40 hours."""
    energy = Energy(quota_joules=600 * HOUR, used_joules=0, committed_joules=20 * 20 * HOUR)

    assert pace_watts(energy, 20, 60 * HOUR) == 5


@pytest.mark.parametrize(
    ("energy", "used", "seconds"),
    [
        (Energy(100, 100, 0), 0, HOUR),
        (Energy(100, 200, 0), 5, HOUR),
        (Energy(100 * HOUR, 0, 5 * 100 * HOUR), 5, 100 * HOUR),  # running work uses it all up, and more
        (Energy(0, 0, 0), 0, 0),
    ],
)
def test_a_quota_that_is_used_up_has_no_pace(energy: Energy, used: int, seconds: int) -> None:
    assert pace_watts(energy, used, seconds) == 0


def test_the_last_second_of_a_year_has_no_endless_pace() -> None:
    assert pace_watts(Energy(10**18, 0, 0), 0, 0) == WATTS_MAX


@given(
    quota=st.integers(0, 10**16),
    used=st.integers(0, 10**16),
    watts=st.integers(0, 10**6),
    runs=st.integers(0, 400 * 86_400),
    left=st.integers(1, 366 * 86_400),
)
def test_a_pace_never_leads_beyond_the_quota(quota: int, used: int, watts: int, runs: int, left: int) -> None:
    """Held up to the end of the year it uses at most what is left, or nothing new is let in at all."""
    committed = watts * min(runs, left)
    energy = Energy(quota, used, committed)

    level = pace_watts(energy, watts, left)

    if level >= watts:  # there is room: running work and new work together draw the level
        assert level * left <= max(0, quota - used) or level == 0
    else:
        assert watts * left > max(0, quota - used)


def test_a_year_is_one_of_the_programmes_calendar() -> None:
    """UTC+8: in Qingyang the new year begins while Greenwich still has the old one."""
    last = datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)

    old, new = year_of(last), year_of(last + timedelta(seconds=1))

    assert (old.number, new.number) == (2026, 2027)
    assert old.end == new.start == datetime(2027, 1, 1, tzinfo=PROGRAMME_TIME)
