"""What a document of rates may say: new rate cards of owners, and the bounds that operators set for asks."""

from datetime import date, datetime, time
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from broker.worlds.document import parse
from broker.worlds.loader import validated
from broker.worlds.rates import ASK_MICRO_YUAN_MAX, PROGRAMME_TIME, Curve, HourlyAsk
from broker.worlds.schema import Entry, Slug

YEARS: Final = (2000, 2100)


def _moment(value: Any) -> datetime:
    """Return a time with its zone; of a date alone its first moment in the programme's time."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == len("2026-12-01") else datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), PROGRAMME_TIME)
    if not isinstance(value, datetime) or value.tzinfo is None or not YEARS[0] <= value.year < YEARS[1]:
        raise PydanticCustomError(
            "moment", "must be a date, or a time with its zone such as 2026-12-01T08:00+08:00, of 2000 to 2099"
        )
    return value


Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "description": "RFC 3339, or a date."})
]
AskFigure = Annotated[int, Field(strict=True, ge=0, le=ASK_MICRO_YUAN_MAX)]


class RateCardEntry(Entry):
    """A rate card to add."""

    cluster: Slug
    model: Slug
    micro_yuan_per_card_hour: Annotated[HourlyAsk, Field(description="One figure, or by spans of hours (UTC+8).")]
    green_micro_yuan_per_card_hour: Annotated[
        HourlyAsk | None, Field(description="In green hours of the hub; left out: as in the others.")
    ] = None
    valid_from: Annotated[Moment | None, Field(description="From when on, not in the past; left out: now.")] = None
    valid_until: Annotated[
        Moment | None, Field(description="Left out: until the next such card begins. One with an end goes before it.")
    ] = None
    source: Annotated[str, StringConstraints(min_length=1, max_length=256, strict=True)] = "its owner"

    @property
    def curve(self) -> Curve:
        """The asks of the 24 hours."""
        return Curve(self.micro_yuan_per_card_hour, self.green_micro_yuan_per_card_hour or ())


class BoundsEntry(Entry):
    """What owners may ask for a model."""

    model: Slug
    floor_micro_yuan_per_card_hour: AskFigure = 0
    cap_micro_yuan_per_card_hour: Annotated[AskFigure | None, Field(description="Left out: none.")] = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        floor, cap = self.floor_micro_yuan_per_card_hour, self.cap_micro_yuan_per_card_hour
        if cap is not None and floor > cap:
            raise PydanticCustomError("bounds", "floor {floor} is above cap {cap}", {"floor": floor, "cap": cap})
        return self


class RateFile(Entry):
    """Rate cards and bounds."""

    bounds: Annotated[tuple[BoundsEntry, ...], Field(max_length=256)] = ()
    rate_cards: Annotated[tuple[RateCardEntry, ...], Field(max_length=4096)] = ()


def load_rates(document: str) -> RateFile:
    """Return what a YAML or JSON document says.

    Raises: InvalidRequest: each problem names its path, such as "rate_cards[3].valid_from", and the way out.
    """
    return validated(RateFile, parse(document))
