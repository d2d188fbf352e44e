"""Green hours of a hub: a span of time cut where they begin and end, and the months that it lies in. Pure.

In its green hours all power of a hub counts as green; outside of them the share that its world file states does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from broker.worlds.rates import PROGRAMME_TIME, hour_of

PPM: Final = 1_000_000
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Slice:
    """A span of time in which one share of a hub's power is green; it lies in one month of UTC+8."""

    begin: datetime
    end: datetime
    month: date  # its first day
    green_ppm: int


def slices(green_hours: Sequence[int], green_share_ppm: int, begin: datetime, end: datetime) -> list[Slice]:
    """Return the span from `begin` to `end` in slices as long as they can be, in order; none when it is empty.

    Args:
        green_hours: hours of the day (UTC+8) in which all power is green.
        green_share_ppm: of the power outside of them.
        begin: aware.
        end: aware.
    """
    found: list[Slice] = []
    for at, until in _hours(begin, end):
        month = month_of(at)
        green_ppm = PPM if hour_of(at) in green_hours else green_share_ppm
        last = found[-1] if found else None
        if last is not None and (last.month, last.green_ppm) == (month, green_ppm):
            found[-1] = Slice(last.begin, until, month, green_ppm)
        else:
            found.append(Slice(at, until, month, green_ppm))
    return found


def month_of(at: datetime) -> date:
    """Return the first day of the month of UTC+8 that a moment lies in."""
    return at.astimezone(PROGRAMME_TIME).date().replace(day=1)


def start_of(month: date) -> datetime:
    """Return the moment at which a month of UTC+8 begins; `month` is its first day."""
    return datetime(month.year, month.month, 1, tzinfo=PROGRAMME_TIME)


def next_hour(at: datetime) -> datetime:
    """Return the first full hour after a moment."""
    return at.replace(minute=0, second=0, microsecond=0) + HOUR


def it_joules(computed: int, measured: int | None = None) -> int:
    """Return what cards and hosts of a lease have drawn: what a meter has measured goes before what was computed."""
    return computed if measured is None else measured


def _hours(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    at = begin
    while at < end:
        until = min(next_hour(at), end)
        yield at, until
        at = until
