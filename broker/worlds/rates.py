"""What owners ask, hour by hour: curves, rate cards in versions, and which one holds when. Pure.

A rate card is for one cluster and accelerator model. A *standing* one holds from its `valid_from` until the next
standing one begins; a *dated* one has an end, and goes before the standing one for its time. So at any moment one card
holds, or none yet: then nothing is asked. Cards are added and never changed; two standing ones that begin at the same
time, or two dated ones that meet, overlap and are refused. Hours of the day are those of the programme (UTC+8, without
summer time).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

PROGRAMME_TIME: Final = timezone(timedelta(hours=8))
"""Days and years of the programme, hours of rate cards; written down so that no time zone tables are needed."""

HOURS: Final = 24
ASK_MICRO_YUAN_MAX: Final = 10**12
_SPAN: Final = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class Curve:
    """Asks of the 24 hours of a day, micro-yuan per card-hour."""

    asks: tuple[int, ...]
    green: tuple[int, ...] = ()  # in hours of green energy; empty: as in the others

    @classmethod
    def flat(cls, ask: int) -> Self:
        """Return the curve that asks the same in every hour."""
        return cls((ask,) * HOURS)

    def at(self, hour: int, *, green: bool) -> int:
        """Return what is asked in an hour of the day."""
        return (self.green or self.asks)[hour] if green else self.asks[hour]

    @property
    def least(self) -> int:
        """The lowest ask of any hour."""
        return min(self.asks + self.green)

    @property
    def most(self) -> int:
        """The highest ask of any hour."""
        return max(self.asks + self.green)

    def __str__(self) -> str:
        return spans_text(self.asks) + (f", green {spans_text(self.green)}" if self.green else "")


@dataclass(frozen=True, slots=True)
class RateCard:
    """One version of what an owner asks for a model in a cluster."""

    cluster: str
    model: str
    version: int  # from 1, for each cluster and model; 0: not stored yet
    curve: Curve
    valid_from: datetime
    valid_until: datetime | None  # None: until the next standing one begins
    source: str  # who says so
    set_at: datetime
    set_by: str = ""  # id of the key


@dataclass(frozen=True, slots=True)
class AskBounds:
    """What owners may ask for a model, micro-yuan per card-hour."""

    model: str
    floor_micro_yuan_per_card_hour: int = 0
    cap_micro_yuan_per_card_hour: int | None = None  # None: as much as they like


@dataclass(frozen=True, slots=True)
class AskNow:
    """What is asked for a card at one moment, and by which version of the rate card; 0: there is none yet."""

    micro_yuan_per_card_hour: int = 0
    version: int = 0
    since: datetime | None = field(default=None, compare=False)  # it has been asked at least; None: nothing is


NO_ASK: Final = AskNow()


def hour_of(at: datetime) -> int:
    """Return the hour of the day, 0 to 23, in the programme's time."""
    return at.astimezone(PROGRAMME_TIME).hour


def in_force(cards: Iterable[RateCard], at: datetime) -> RateCard | None:
    """Return which of the cards of one cluster and model holds at a time; None when none does yet."""
    begun = [card for card in cards if card.valid_from <= at and (card.valid_until is None or at < card.valid_until)]
    return max(begun, key=lambda card: (card.valid_until is not None, card.valid_from), default=None)


def ask_of(card: RateCard | None, green_hours: Sequence[int], at: datetime, resumed: datetime | None = None) -> AskNow:
    """Return what a card asks at a time.

    Args:
        card: that holds; None: there is none yet.
        green_hours: those of its hub, 0 to 23.
        at: aware UTC.
        resumed: when the last dated card before it was over, if one was.
    """
    if card is None:
        return NO_ASK
    hour = hour_of(at)
    asked = card.curve.at(hour, green=hour in green_hours)
    local = at.astimezone(PROGRAMME_TIME)
    begun = local.replace(minute=0, second=0, microsecond=0)
    for back in range(1, HOURS):  # the hours before that asked the same
        earlier = (hour - back) % HOURS
        if card.curve.at(earlier, green=earlier in green_hours) != asked:
            break
        begun -= timedelta(hours=1)
    return AskNow(asked, card.version, max(begun, card.valid_from, resumed or card.valid_from))


def overlapping(known: Iterable[RateCard], card: RateCard) -> RateCard | None:
    """Return one of the cards of the same cluster and model that this one would overlap; None: it overlaps none."""
    for other in known:
        if card.valid_until is None or other.valid_until is None:
            if (card.valid_until, card.valid_from) == (other.valid_until, other.valid_from):
                return other
        elif card.valid_from < other.valid_until and other.valid_from < card.valid_until:
            return other
    return None


def outside(bounds: AskBounds | None, curve: Curve) -> str:
    """Return how a curve leaves the bounds of its model; empty when it does not."""
    if bounds is None:
        return ""
    floor, cap = bounds.floor_micro_yuan_per_card_hour, bounds.cap_micro_yuan_per_card_hour
    if curve.least < floor:
        return f"asks {curve.least}, below the floor of {floor}"
    return f"asks {curve.most}, above the cap of {cap}" if cap is not None and curve.most > cap else ""


def spans_text(asks: Sequence[int]) -> str:
    """Return hourly asks as a rate card's document writes them: "3500000", or "0-8: 2500000, 8-24: 3500000"."""
    if len(set(asks)) == 1:
        return str(asks[0])
    spans = [[hour for hour, _ in group] for _, group in groupby(enumerate(asks), key=lambda each: each[1])]
    return ", ".join(f"{hours[0]}-{hours[-1] + 1}: {asks[hours[0]]}" for hours in spans)


def _hourly(value: Any) -> tuple[int, ...]:
    """Return 24 asks: of one figure, or of a mapping from spans of hours such as "8-22"."""
    if isinstance(value, tuple) and len(value) == HOURS:
        return value
    if not isinstance(value, Mapping):
        return (_ask(value, ""),) * HOURS
    found: list[int | None] = [None] * HOURS
    for key, ask in value.items():
        span = _SPAN.fullmatch(str(key))
        begin, end = (int(span[1]), int(span[2])) if span else (0, 0)
        if not begin < end <= HOURS:
            raise PydanticCustomError("hours", "{key} is no span of hours: write 0-8 or 8-24", {"key": str(key)[:64]})
        for hour in range(begin, end):
            if found[hour] is not None:
                raise PydanticCustomError("hours", "hour {hour} is named twice: each hour once", {"hour": hour})
            found[hour] = _ask(ask, f"{key}: ")
    if None in found:
        raise PydanticCustomError("hours", "hour {hour} is not named: each hour once", {"hour": found.index(None)})
    return tuple(ask for ask in found if ask is not None)


def _ask(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= ASK_MICRO_YUAN_MAX:
        raise PydanticCustomError(
            "ask",
            "{place}must be a whole number of micro-yuan, 0 to {most}",
            {"place": place, "most": ASK_MICRO_YUAN_MAX},
        )
    return value


_ASK_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": ASK_MICRO_YUAN_MAX}
HourlyAsk = Annotated[
    tuple[int, ...],
    BeforeValidator(_hourly),
    WithJsonSchema(
        {
            "anyOf": [
                _ASK_SCHEMA,
                {
                    "type": "object",
                    "propertyNames": {"pattern": "^[0-9]{1,2}-[0-9]{1,2}$"},
                    "additionalProperties": _ASK_SCHEMA,
                },
            ]
        }
    ),
]
"""One figure for all hours, or spans of hours ("0-8", "8-24") that name each hour once; 24 figures when it is read."""
