"""What a world document may say. Every figure names its source; a source has a date; doubt is written down.

Figures are integers in the unit that their name ends with. A figure without a public source says so: its source's
text begins with "assumed", and then it must be marked `doubtful`.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from broker.ids import SLUG
from broker.worlds.quotas import LEVELS
from broker.worlds.rates import Curve, HourlyAsk

BUNDLED_CATALOGUES: Final = ("models",)
"""What `catalogue:` may name."""

ASSUMED: Final = "assumed"
"""How the text of a source begins that is no source."""

DIFFERENCE_PERCENT: Final = 1
"""Pools may count this much more or less than the reported capacity before the difference must be explained."""

PUE_MILLI_MAX: Final = 4000
CARD_WATTS_MAX: Final = 10_000
"""Of a card and its share of the host together."""

HUB_FIGURES_MAX: Final[Mapping[str, int]] = {
    "power_kilowatts_max": 10**9,
    "energy_kilowatt_hours_per_year": 10**12,
    "micro_yuan_per_kilowatt_hour": 10**8,
}
"""Largest figures of a hub that operators set."""

_HUB_MOST: Final = {**HUB_FIGURES_MAX, "green_share_ppm": 10**6, "green_line_ppm": 10**6, "rack_line_ppm": 10**6}

QUOTA_MILLI_PFLOPS_MAX: Final = 10**12

_INT32 = 2**31 - 1
_MICRO_YUAN_MAX = 10**12

Slug = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$", strict=True)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512, strict=True)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, strict=True)]
Natural = Annotated[int, Field(strict=True, ge=0, le=10**15)]
Positive = Annotated[int, Field(strict=True, ge=1, le=10**15)]
Flag = Annotated[bool, Field(strict=True)]
QuotaAmount = Annotated[int, Field(strict=True, ge=0, le=QUOTA_MILLI_PFLOPS_MAX)]


class Entry(BaseModel):
    """Base of everything in a world: unknown keys are refused with a suggestion, text is printable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise PydanticCustomError(
                "not_a_mapping", "must be a mapping with keys: {keys}", {"keys": _listed(cls.model_fields)}
            )
        for key in values:
            if key not in cls.model_fields:
                near = get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                way_out = f"did you mean '{near[0]}'?" if near else f"allowed are {_listed(cls.model_fields)}"
                raise PydanticCustomError(
                    "unknown_key", "unknown key: {way_out}", {"key": str(key)[:64], "way_out": way_out}
                )
        return values

    @field_validator("*", mode="after")
    @classmethod
    def _printable(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isprintable():
            raise PydanticCustomError("not_printable", "must be printable text on one line")
        return value


class Source(Entry):
    """Where figures are from."""

    text: Annotated[Text, Field(description="Who said it and where. Begins with 'assumed' when nobody did.")]
    date: Annotated[datetime.date, Field(description="When it was published.")]
    address: Annotated[Text | None, Field(description="Address of the page.")] = None

    @property
    def assumed(self) -> bool:
        """Whether nobody has said it and it is an assumption."""
        return self.text.startswith(ASSUMED)


class Title(Entry):
    """A name for people."""

    zh: Annotated[Word, Field(description="In Chinese.")]
    en: Annotated[Word, Field(description="In English.")]

    def __str__(self) -> str:
        return f"{self.zh} {self.en}"


class Sourced(Entry):
    """Anything that says where it is from."""

    source: Annotated[Slug, Field(description="Key in `sources`.")]
    doubtful: Annotated[Flag, Field(description="Assumed, in doubt, or sources disagree.")] = False
    note: Annotated[Text | None, Field(description="What should be known about it.")] = None


class Figure(Sourced):
    """A number with its source."""

    value: Annotated[Natural, Field(description="In the unit that the figure's name ends with.")]


class Capacity(Sourced):
    """Capacity as it was reported or planned. What was not reported is left out."""

    date: Annotated[datetime.date, Field(description="The day that it holds for.")]
    fp16_milli_pflops: Annotated[Natural, Field(description="FP16 PFLOPS, in thousandths.")] = 0
    cards: Annotated[Natural, Field(description="Accelerator cards.")] = 0
    racks: Annotated[Natural, Field(description="Standard racks of 2.5 kW.")] = 0
    planned: Annotated[Flag, Field(description="Announced, not yet there.")] = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.fp16_milli_pflops or self.cards or self.racks):
            raise PydanticCustomError("no_figure", "give at least one of fp16_milli_pflops, cards, racks")
        return self


class GreenHours(Sourced):
    """When a hub's energy is green."""

    hours: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0, le=23)], ...],
        Field(max_length=24, description="Hours of the day (UTC+8), ascending."),
    ]

    @field_validator("hours")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(low >= high for low, high in pairwise(value)):
            raise PydanticCustomError("hours", "must ascend, each hour once")
        return value


class Hub(Entry):
    """A park of data centres."""

    hub: Slug
    title: Title
    power_kilowatts_max: Annotated[Figure | None, Field(description="Power that may be used.")] = None
    pue_milli: Annotated[
        Figure | None, Field(description="Power usage effectiveness in thousandths, 1000 to 4000.")
    ] = None
    energy_kilowatt_hours_per_year: Annotated[
        Figure | None, Field(description="Energy quota of a calendar year (UTC+8) at the meter.")
    ] = None
    micro_yuan_per_kilowatt_hour: Annotated[Figure | None, Field(description="Price of energy at the meter.")] = None
    green_hours: Annotated[GreenHours | None, Field(description="When its energy is green; left out: never.")] = None
    green_share_ppm: Annotated[
        Figure | None, Field(description="Green part of its power outside green_hours, in millionths; left out: none.")
    ] = None
    pue_line_milli: Annotated[
        Figure | None, Field(description="Policy line: the PUE may not be higher, in thousandths; left out: no line.")
    ] = None
    green_line_ppm: Annotated[
        Figure | None, Field(description="Policy line: least green part of its energy, in millionths; left out: none.")
    ] = None
    rack_line_ppm: Annotated[
        Figure | None, Field(description="Policy line: least used part of its racks, in millionths; left out: none.")
    ] = None
    data_centres: Annotated[Figure | None, Field(description="How many data centres it has.")] = None
    capacity: Annotated[tuple[Capacity, ...], Field(max_length=256)] = ()
    difference: Annotated[
        Text | None, Field(description="Why its clusters' pools count more or less than its newest reported capacity.")
    ] = None

    @field_validator("pue_milli", "pue_line_milli")
    @classmethod
    def _pue_at_least_one(cls, value: Figure | None) -> Figure | None:
        if value is not None and not 1000 <= value.value <= PUE_MILLI_MAX:
            raise PydanticCustomError("pue", "value must be 1000 to 4000: 1200 is a PUE of 1.2")
        return value

    @field_validator(*_HUB_MOST)
    @classmethod
    def _within_limits(cls, value: Figure | None, info: ValidationInfo) -> Figure | None:
        most = _HUB_MOST[str(info.field_name)]
        if value is not None and value.value > most:
            raise PydanticCustomError("too_large", "value must be at most {most}", {"most": most})
        return value


class Shares(Sourced):
    """How one card may be split between tasks."""

    slices_milli: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1, le=999)], ...],
        Field(min_length=1, max_length=32, description="Thousandths of a card that a task can get, ascending."),
    ]
    per_card_max: Annotated[
        int | None, Field(strict=True, ge=1, le=1000, description="Most tasks on one card; left out: as many as fit.")
    ] = None

    @field_validator("slices_milli")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(low >= high for low, high in pairwise(value)):
            raise PydanticCustomError("slices", "must ascend, each slice once")
        return value


class AcceleratorModel(Entry):
    """An accelerator. Three FP16 figures, because they differ by up to three times."""

    model: Slug
    vendor: Word
    stack: Annotated[Slug, Field(description="Software stack that its builds are made for.")]
    origin: Literal["domestic", "foreign"]
    fp16_nameplate_milli_tflops: Annotated[Figure | None, Field(description="Dense FP16 by the data sheet.")] = None
    fp16_programme_milli_tflops: Annotated[Figure, Field(description="What the programme counts for one card.")]
    fp16_measured_milli_tflops: Annotated[Figure | None, Field(description="Measured matrix product.")] = None
    memory_mib: Annotated[Figure | None, Field(description="Card memory.")] = None
    watts: Annotated[Figure | None, Field(description="Power of one card.")] = None
    host_watts: Annotated[Figure | None, Field(description="Power of its host for each busy card.")] = None
    shares: Annotated[Shares | None, Field(description="How a card may be split; left out: never.")] = None
    note: Text | None = None

    @field_validator("fp16_programme_milli_tflops")
    @classmethod
    def _counts(cls, value: Figure) -> Figure:
        if value.value < 1:
            raise PydanticCustomError(
                "programme", "value must be at least 1: a card that counts nothing cannot be priced"
            )
        return value

    @field_validator("watts", "host_watts")
    @classmethod
    def _fits(cls, value: Figure | None) -> Figure | None:
        if value is not None and value.value > CARD_WATTS_MAX // 2:
            raise PydanticCustomError("watts", "value must be at most 5000 watts")
        return value


class Pool(Sourced):
    """Equal nodes that a cluster has or is to have. Free cards are what its agent measures; this is the plan."""

    pool: Slug
    model: Slug
    nodes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    cards_per_node: Annotated[int, Field(strict=True, ge=1, le=64)]
    cpu_milli_per_node: Annotated[int, Field(strict=True, ge=0, le=_INT32)]
    memory_mib_per_node: Annotated[int, Field(strict=True, ge=0, le=_INT32)]

    @property
    def cards(self) -> int:
        """Cards of all its nodes."""
        return self.nodes * self.cards_per_node


class Ask(Sourced):
    """What the owner asks: a rate card that stands from the day on which the world is applied."""

    micro_yuan_per_card_hour: Annotated[HourlyAsk, Field(description="One figure, or by spans of hours (UTC+8).")]
    green_micro_yuan_per_card_hour: Annotated[
        HourlyAsk | None, Field(description="In hours of green energy; left out: as in the others.")
    ] = None

    @property
    def curve(self) -> Curve:
        """The asks of the 24 hours."""
        return Curve(self.micro_yuan_per_card_hour, self.green_micro_yuan_per_card_hour or ())


class Cluster(Entry):
    """What one owner has in one hub."""

    cluster: Slug
    hub: Slug
    owner: Slug
    title: Title
    asks: Annotated[dict[Slug, Ask], Field(description="By accelerator model.", max_length=256)] = {}
    pools: Annotated[tuple[Pool, ...], Field(max_length=64)] = ()
    capacity: Annotated[tuple[Capacity, ...], Field(max_length=256)] = ()
    difference: Annotated[
        Text | None, Field(description="Why its pools count more or less than its newest reported capacity.")
    ] = None


class RoundTrip(Sourced):
    """Round trip between a city and a hub."""

    micros: Annotated[int, Field(strict=True, ge=1, le=_INT32)]


class Transfer(Sourced):
    """The way of data between a city and a hub."""

    mib_per_second: Annotated[
        int | None, Field(strict=True, ge=1, le=10**9, description="What gets through; left out: nobody measured it.")
    ] = None
    micro_yuan_per_gib: Annotated[int, Field(strict=True, ge=0, le=10**9, description="Price, there or back.")] = 0


class CityTerms(Entry):
    """What a city may do and what it pays; stated for a city or for all of them."""

    weight_ppm: Annotated[int | None, Field(strict=True, ge=1, le=_INT32, description="Weight of its share.")] = None
    pending_jobs_max: Annotated[
        int | None, Field(strict=True, ge=0, le=_INT32, description="Most jobs that may wait at once.")
    ] = None
    calls_per_second_max: Annotated[int | None, Field(strict=True, ge=1, le=1_000_000)] = None
    ceiling_micro_yuan_per_pflops_hour: Annotated[
        Figure | None, Field(description="Most it pays for one FP16 PFLOPS-hour when a job does not say.")
    ] = None
    billing: Annotated[
        Literal["metered", "prepaid"] | None,
        Field(
            description="metered (where none is stated): its use is known and costs nothing; prepaid: nothing starts "
            "that its accounts do not cover."
        ),
    ] = None
    transfers: Annotated[
        dict[Slug, Transfer],
        Field(description="Ways of data by hub; a city's own go before the defaults.", max_length=64),
    ] = {}

    TERMS: ClassVar[tuple[str, ...]] = (
        "weight_ppm",
        "pending_jobs_max",
        "calls_per_second_max",
        "ceiling_micro_yuan_per_pflops_hour",
    )

    @field_validator("ceiling_micro_yuan_per_pflops_hour")
    @classmethod
    def _in_range(cls, value: Figure | None) -> Figure | None:
        if value is not None and not 1 <= value.value <= _MICRO_YUAN_MAX:
            raise PydanticCustomError("ceiling", "value must be 1 to 1000000000000 micro-yuan")
        return value


class City(CityTerms):
    """A client city, the tenant."""

    city: Slug
    title: Title
    source: Annotated[Slug, Field(description="Who says that it is a client: key in `sources`.")]
    doubtful: Annotated[Flag, Field(description="Assumed to be a client.")] = False
    round_trips: Annotated[dict[Slug, RoundTrip], Field(description="By hub.", max_length=64)] = {}


class Quota(Sourced):
    """What a hub, a city there or an enterprise of that city is guaranteed. Figures are programme-counted FP16."""

    quota: Annotated[
        str,
        Field(
            strict=True,
            description='"hub", "hub/city" or "hub/city/enterprise"; what stands above must have a quota too.',
            json_schema_extra={"pattern": f"^{SLUG.pattern}(/{SLUG.pattern}){{0,2}}$"},
        ),
    ]
    guaranteed_milli_pflops: Annotated[QuotaAmount, Field(description="Served before anybody's market worth.")]
    borrow_milli_pflops: Annotated[
        QuotaAmount | None, Field(description="How much more it may use; left out: no limit.")
    ] = None
    lend_milli_pflops: Annotated[
        QuotaAmount | None, Field(description="How much of it others may use meanwhile; left out: all.")
    ] = None

    @field_validator("quota")
    @classmethod
    def _is_path(cls, value: str) -> str:
        if not is_quota_path(value):
            raise PydanticCustomError("quota_path", "must be hub, hub/city or hub/city/enterprise, each a slug")
        return value


class ModelCatalogue(Entry):
    """A bundled list of accelerator models that worlds include by `catalogue:`."""

    sources: Annotated[dict[Slug, Source], Field(max_length=1024)]
    accelerator_models: Annotated[tuple[AcceleratorModel, ...], Field(max_length=256)]


class World(Entry):
    """Hubs, accelerator models, clusters and cities: what there is to match."""

    world: Annotated[Slug, Field(description="Its name.")]
    title: Title
    catalogue: Annotated[
        Literal["models"] | None, Field(description="Bundled list of accelerator models to include.")
    ] = None
    sources: Annotated[dict[Slug, Source], Field(max_length=1024)] = {}
    hubs: Annotated[tuple[Hub, ...], Field(max_length=64)] = ()
    accelerator_models: Annotated[tuple[AcceleratorModel, ...], Field(max_length=256)] = ()
    clusters: Annotated[tuple[Cluster, ...], Field(max_length=1024)] = ()
    city_defaults: Annotated[CityTerms, Field(description="Terms of cities that state none.")] = CityTerms()
    cities: Annotated[tuple[City, ...], Field(max_length=1024)] = ()
    quotas: Annotated[tuple[Quota, ...], Field(max_length=4096)] = ()

    def source(self, sourced: Sourced) -> Source:
        """Return where a figure is from."""
        return self.sources[sourced.source]

    def term(self, city: City, name: str) -> Any:
        """Return the city's own term or the default; one of `CityTerms.TERMS`, checked to exist."""
        own = getattr(city, name)
        return own if own is not None else getattr(self.city_defaults, name)

    def transfers(self, city: City) -> dict[str, Transfer]:
        """Return the ways of data of a city by hub: the defaults, with its own before them."""
        return {**self.city_defaults.transfers, **city.transfers}


def is_quota_path(text: str) -> bool:
    """Tell whether a text names a quota: one to three slugs with "/" between them."""
    parts = text.split("/", 3)
    return len(parts) <= len(LEVELS) and all(SLUG.fullmatch(part) for part in parts)


def newest_reported(capacity: Sequence[Capacity]) -> Capacity | None:
    """Return the entry that pools are compared with: the newest reported one, else the newest planned one."""
    return max(capacity, key=lambda entry: (not entry.planned, entry.date, not entry.doubtful), default=None)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the way out for a name that is not known."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known are {_listed(names[:20])}" if names else "none is defined: add it"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
