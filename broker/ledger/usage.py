"""Minutes that a lease has used, counted since its start: each is in the set or it is not, so none counts twice.

Whoever measures tells whole minutes while a lease runs; with its end also the last one, and by how many seconds it is
shorter. What is told again or in another order changes nothing, and what counts never becomes less.

A second that was begun counts whole: the cards were nobody else's in it, and work that ends at once is not free.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

MINUTE_SECONDS: Final = 60
_SECOND: Final = timedelta(seconds=1)

Ranges = tuple[tuple[int, int], ...]
"""Minutes since the start: begins and ends, the ends excluded; apart from each other and ascending."""


class UsageProblem(StrEnum):
    """Why usage is not taken; stable codes on the wire. Nothing of such a report is counted."""

    UNKNOWN_LEASE = "UNKNOWN_LEASE"  # this cluster never had such a lease
    OTHER_EPOCH = "OTHER_EPOCH"  # the lease has another epoch
    NOT_STARTED = "NOT_STARTED"  # the lease has never run
    OTHER_CARDS = "OTHER_CARDS"  # the lease holds more or fewer cards
    BEYOND_WALLTIME = "BEYOND_WALLTIME"  # minutes after the end of walltime and grace
    AHEAD_OF_CLOCK = "AHEAD_OF_CLOCK"  # minutes that have not been yet, or that lie behind the lease's end


@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of a lease's use, or told of it.

    Attributes:
        minutes: since its start.
        cut_seconds: so much is missing of the last one, 0 to 59.
        joules: measured in all of them; 0: nobody measures.
        complete: the lease has ended, and no later minute comes.
    """

    minutes: Ranges = ()
    cut_seconds: int = 0
    joules: int = 0
    complete: bool = False

    @property
    def count(self) -> int:
        """How many minutes there are, the last one counted as a whole."""
        return sum(end - begin for begin, end in self.minutes)

    @property
    def end(self) -> int:
        """The first minute behind all of them."""
        return self.minutes[-1][1] if self.minutes else 0

    @property
    def whole(self) -> bool:
        """Whether everything is known: it has ended, and no minute before its end is missing."""
        return self.complete and self.count == self.end

    def seconds(self, seconds_max: int) -> int:
        """Return how long it was used; never more than a lease may run."""
        return min(self.count * MINUTE_SECONDS - self.cut_seconds, seconds_max)


NOTHING: Final = Usage()


def minutes(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the minutes that any of these ranges has."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(each for each in ranges if each[0] < each[1]):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return tuple(found)


def merged(known: Usage, told: Usage) -> Usage:
    """Return what is known after something was told.

    Behind a known end nothing comes any more, and a last minute that was told as a whole stays whole.
    """
    news = minutes((b, min(e, known.end)) for b, e in told.minutes) if known.complete else told.minutes
    cut = known.cut_seconds
    if told.complete and not known.complete and told.end > known.end:
        cut = told.cut_seconds
    return Usage(
        minutes=minutes((*known.minutes, *news)),
        cut_seconds=cut,
        joules=max(known.joules, told.joules),
        complete=known.complete or told.complete,
    )


def of_times(started_at: datetime, until: datetime, *, ended: bool) -> Usage:
    """Return what the times of a lease say of its use: its whole minutes, and the last one when it has ended."""
    seconds = max(0, -((started_at - until) // _SECOND))
    if not ended:
        seconds = max(0, (until - started_at) // _SECOND)  # of the last one nothing is known yet
        return Usage(minutes(((0, seconds // MINUTE_SECONDS),)))
    return Usage(minutes(((0, -(-seconds // MINUTE_SECONDS)),)), cut_seconds=-seconds % MINUTE_SECONDS, complete=True)


@dataclass(frozen=True, slots=True)
class Metered:
    """A lease as usage is judged by it; times by the broker's clock."""

    epoch: int
    milli_cards: int
    seconds_max: int  # by walltime and grace
    started_at: datetime | None
    ended_at: datetime | None


def problem(
    lease: Metered | None, epoch: int, milli_cards: int, told: Usage, now: datetime, skew_seconds: int
) -> UsageProblem | None:
    """Return why usage cannot be taken, None when it can.

    Args:
        lease: None: the cluster never had it.
        epoch, milli_cards: as the agent has them.
        told: what it tells.
        now: by the broker's clock.
        skew_seconds: how far the clocks, and the times that a report takes on its way, may lie apart.
    """
    if lease is None:
        return UsageProblem.UNKNOWN_LEASE
    if lease.epoch != epoch:
        return UsageProblem.OTHER_EPOCH
    if lease.started_at is None:
        return None if told.complete and not told.minutes else UsageProblem.NOT_STARTED
    if lease.milli_cards != milli_cards:
        return UsageProblem.OTHER_CARDS
    last_second = told.end * MINUTE_SECONDS - told.cut_seconds
    if last_second > lease.seconds_max + skew_seconds:
        return UsageProblem.BEYOND_WALLTIME
    until = now if lease.ended_at is None else min(now, lease.ended_at)
    if last_second > (until - lease.started_at).total_seconds() + skew_seconds:
        return UsageProblem.AHEAD_OF_CLOCK
    return None
