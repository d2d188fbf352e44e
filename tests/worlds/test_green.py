"""Green hours: a span of time is cut where they begin and end, and nothing of it is lost."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.worlds.green import PPM, it_joules, month_of, slices, start_of

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # twelve o'clock in Qingyang


def test_a_span_is_cut_where_green_hours_begin_and_end() -> None:
    found = slices((12, 13), 250_000, NOON - timedelta(minutes=30), NOON + timedelta(hours=3))

    assert [(s.begin - NOON, s.end - NOON, s.green_ppm) for s in found] == [
        (timedelta(minutes=-30), timedelta(0), 250_000),
        (timedelta(0), timedelta(hours=2), PPM),
        (timedelta(hours=2), timedelta(hours=3), 250_000),
    ]


def test_a_span_is_cut_where_a_month_of_the_programme_begins() -> None:
    """In Qingyang December begins while Greenwich still has November."""
    new = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)

    found = slices((), 0, new - timedelta(seconds=1), new + timedelta(seconds=1))

    assert [(s.month, s.end) for s in found] == [
        (date(2026, 11, 1), new),
        (date(2026, 12, 1), new + timedelta(seconds=1)),
    ]
    assert (start_of(date(2026, 12, 1)), month_of(new)) == (new, date(2026, 12, 1))


@given(
    hours=st.sets(st.integers(0, 23)),
    begin=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001 - becomes aware below
    seconds=st.floats(0, 200 * 3600),
)
def test_slices_follow_each_other_without_a_gap(hours: set[int], begin: datetime, seconds: float) -> None:
    first = begin.replace(tzinfo=UTC)
    last = first + timedelta(seconds=seconds)

    found = slices(tuple(sorted(hours)), 1, first, last)

    assert [s.begin for s in found] + [last] * bool(found) == [first] * bool(found) + [s.end for s in found]
    assert bool(found) == (first < last)
    assert all((a.month, a.green_ppm) != (b.month, b.green_ppm) for a, b in pairwise(found))


def test_what_a_meter_has_measured_goes_before_what_is_computed() -> None:
    assert (it_joules(7), it_joules(7, 9), it_joules(7, 0)) == (7, 9, 0)
