"""The catalogue as it is stored, and what a world changes in it. Pure: rows in, differences out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Final, TypeAlias

from broker.worlds.quotas import QuotaRow
from broker.worlds.rates import Curve
from broker.worlds.schema import AcceleratorModel, Capacity, City, Cluster, Figure, Hub, Quota, Sourced, World

METERED: Final = "metered"
"""How cities pay where nothing is stated."""


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """A figure as it was reported; 0 where it was not."""

    date: date
    fp16_milli_pflops: int
    cards: int
    racks: int
    planned: bool
    doubtful: bool
    source: str


@dataclass(frozen=True, slots=True)
class HubRow:
    """A hub; 0 where a figure is not known."""

    hub: str
    title: str
    power_kilowatts_max: int
    pue_milli: int
    energy_kilowatt_hours_per_year: int = 0
    micro_yuan_per_kilowatt_hour: int = 0
    capacity: tuple[CapacityRow, ...] = ()  # by date, then source
    green_hours: tuple[int, ...] = ()  # of the day, UTC+8, ascending; empty: never
    green_share_ppm: int = 0  # of the power outside of them
    pue_line_milli: int = 0  # the highest PUE; 0: no line
    green_line_ppm: int = 0  # the least green part of its energy; 0: no line
    rack_line_ppm: int = 0  # the least used part of its racks; 0: no line
    pue_line_source: str = ""  # who has drawn the line
    green_line_source: str = ""
    rack_line_source: str = ""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """An accelerator model; 0 where a figure is not known."""

    model: str
    vendor: str
    stack: str
    origin: str
    fp16_nameplate_milli_tflops: int
    fp16_programme_milli_tflops: int
    fp16_measured_milli_tflops: int
    memory_mib: int
    watts: int
    source: str  # of each figure, with its doubts
    host_watts: int = 0
    slices_milli: tuple[int, ...] = ()  # ascending; empty: a card is never split
    shares_per_card_max: int = 0  # 0: as many as fit


@dataclass(frozen=True, slots=True)
class RoundTripRow:
    """A round trip with its source."""

    micros: int
    source: str


@dataclass(frozen=True, slots=True)
class TransferRow:
    """The way of data between a city and a hub with its source; 0 MiB/s where nobody measured it."""

    mib_per_second: int
    micro_yuan_per_gib: int
    source: str


@dataclass(frozen=True, slots=True)
class CityRow:
    """A city with its terms."""

    city: str
    title: str
    weight_ppm: int
    pending_jobs_max: int
    calls_per_second_max: int
    ceiling_micro_yuan_per_pflops_hour: int
    billing: str = METERED  # how it pays
    round_trips: Mapping[str, RoundTripRow] = field(default_factory=dict)  # by hub
    transfers: Mapping[str, TransferRow] = field(default_factory=dict)  # by hub


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster with what its owner asks as long as no dated rate card says otherwise."""

    cluster: str
    hub: str
    owner: str
    title: str
    asks: Mapping[str, Curve] = field(default_factory=dict)  # by model: of the rate cards that stand


Row: TypeAlias = HubRow | ModelRow | CityRow | ClusterRow | QuotaRow


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All rows, by name."""

    hubs: Mapping[str, HubRow] = field(default_factory=dict)
    models: Mapping[str, ModelRow] = field(default_factory=dict)
    cities: Mapping[str, CityRow] = field(default_factory=dict)
    clusters: Mapping[str, ClusterRow] = field(default_factory=dict)
    quotas: Mapping[str, QuotaRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a world does to one row, and the line that says it."""

    row: Row | None  # as it will be stored; None: it stays as it is
    line: str


_KINDS: Final = (
    ("hubs", "hub"),
    ("models", "accelerator model"),
    ("cities", "city"),
    ("clusters", "cluster"),
    ("quotas", "quota"),
)


def catalogue_of(world: World) -> Catalogue:
    """Return the rows that the world describes. Planned pools are not among them: agents say what there is."""
    return Catalogue(
        hubs={hub.hub: _hub(world, hub) for hub in world.hubs},
        models={model.model: _model(world, model) for model in world.accelerator_models},
        cities={city.city: _city(world, city) for city in world.cities},
        clusters={cluster.cluster: _cluster(cluster) for cluster in world.clusters},
        quotas={quota.quota: quota_row(quota) for quota in world.quotas},
    )


def differences(stored: Catalogue, wanted: Catalogue) -> list[Difference]:
    """Return what has to be written so that the stored catalogue says what the wanted one says, in writing order.

    Nothing is ever removed: jobs, leases and keys refer to names. A stored row that the wanted catalogue does not name
    is kept, and a line says so.
    """
    found: list[Difference] = []
    for rows, kind in _KINDS:
        old: Mapping[str, Row] = getattr(stored, rows)
        new: Mapping[str, Row] = {name: _keeping(old.get(name), row) for name, row in getattr(wanted, rows).items()}
        for name in sorted(new):
            if name not in old:
                found.append(Difference(new[name], f"{kind} {name}: added"))
            elif old[name] != new[name]:
                found.append(Difference(new[name], f"{kind} {name}: {'; '.join(_changes(old[name], new[name]))}"))
        unnamed = sorted(old.keys() - new.keys())
        found += [Difference(None, f"{kind} {name}: kept, this world does not name it") for name in unnamed]
    return found


def _keeping(old: Row | None, new: Row) -> Row:
    """Return the new row with what is never taken back: rate cards of models that it does not name."""
    if isinstance(old, ClusterRow) and isinstance(new, ClusterRow):
        return replace(new, asks={**old.asks, **new.asks})
    return new


def _changes(old: Row, new: Row) -> Iterator[str]:
    for item in fields(new):
        before, after = getattr(old, item.name), getattr(new, item.name)
        if before == after:
            continue
        if isinstance(after, Mapping):
            yield from _changed_keys(item.name, before, after)
        elif isinstance(after, tuple):
            gone, come = len(set(before) - set(after)), len(set(after) - set(before))
            yield f"{item.name} {come} entries added, {gone} removed"
        else:
            yield f"{item.name} {_short(before)} -> {_short(after)}"


def _changed_keys(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            yield f"{name} {key} added"
        elif key not in after:
            yield f"{name} {key} removed"
        elif before[key] != after[key]:
            yield f"{name} {key} changed"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hub(world: World, hub: Hub) -> HubRow:
    capacity = sorted((_capacity(world, entry) for entry in hub.capacity), key=lambda row: (row.date, row.source))
    return HubRow(
        hub=hub.hub,
        title=str(hub.title),
        power_kilowatts_max=_value(hub.power_kilowatts_max),
        pue_milli=_value(hub.pue_milli),
        energy_kilowatt_hours_per_year=_value(hub.energy_kilowatt_hours_per_year),
        micro_yuan_per_kilowatt_hour=_value(hub.micro_yuan_per_kilowatt_hour),
        capacity=tuple(capacity),
        green_hours=() if hub.green_hours is None else hub.green_hours.hours,
        green_share_ppm=_value(hub.green_share_ppm),
        pue_line_milli=_value(hub.pue_line_milli),
        green_line_ppm=_value(hub.green_line_ppm),
        rack_line_ppm=_value(hub.rack_line_ppm),
        pue_line_source=_source_of(world, hub.pue_line_milli),
        green_line_source=_source_of(world, hub.green_line_ppm),
        rack_line_source=_source_of(world, hub.rack_line_ppm),
    )


def _capacity(world: World, entry: Capacity) -> CapacityRow:
    return CapacityRow(
        date=entry.date,
        fp16_milli_pflops=entry.fp16_milli_pflops,
        cards=entry.cards,
        racks=entry.racks,
        planned=entry.planned,
        doubtful=entry.doubtful,
        source=_told(world, entry),
    )


def _model(world: World, model: AcceleratorModel) -> ModelRow:
    figures = {
        "nameplate": model.fp16_nameplate_milli_tflops,
        "programme": model.fp16_programme_milli_tflops,
        "measured": model.fp16_measured_milli_tflops,
        "memory": model.memory_mib,
        "power": model.watts,
        "host power": model.host_watts,
        "shares": model.shares,
    }
    told = [
        f"{name}{' (doubtful)' if figure.doubtful else ''}: {_told(world, figure)}"
        for name, figure in figures.items()
        if figure is not None
    ]
    return ModelRow(
        model=model.model,
        vendor=model.vendor,
        stack=model.stack,
        origin=model.origin,
        fp16_nameplate_milli_tflops=_value(model.fp16_nameplate_milli_tflops),
        fp16_programme_milli_tflops=_value(model.fp16_programme_milli_tflops),
        fp16_measured_milli_tflops=_value(model.fp16_measured_milli_tflops),
        memory_mib=_value(model.memory_mib),
        watts=_value(model.watts),
        source="; ".join(told),
        host_watts=_value(model.host_watts),
        slices_milli=() if model.shares is None else model.shares.slices_milli,
        shares_per_card_max=0 if model.shares is None else model.shares.per_card_max or 0,
    )


def _city(world: World, city: City) -> CityRow:
    return CityRow(
        city=city.city,
        title=str(city.title),
        weight_ppm=world.term(city, "weight_ppm"),
        pending_jobs_max=world.term(city, "pending_jobs_max"),
        calls_per_second_max=world.term(city, "calls_per_second_max"),
        ceiling_micro_yuan_per_pflops_hour=world.term(city, "ceiling_micro_yuan_per_pflops_hour").value,
        billing=city.billing or world.city_defaults.billing or METERED,
        round_trips={hub: RoundTripRow(trip.micros, _told(world, trip)) for hub, trip in city.round_trips.items()},
        transfers={
            hub: TransferRow(way.mib_per_second or 0, way.micro_yuan_per_gib, _told(world, way))
            for hub, way in world.transfers(city).items()
        },
    )


def _cluster(cluster: Cluster) -> ClusterRow:
    asks = {model: ask.curve for model, ask in cluster.asks.items()}
    return ClusterRow(cluster.cluster, cluster.hub, cluster.owner, str(cluster.title), asks)


def quota_row(quota: Quota) -> QuotaRow:
    """Return a quota of a world as it is stored."""
    return QuotaRow(quota.quota, quota.guaranteed_milli_pflops, quota.borrow_milli_pflops, quota.lend_milli_pflops)


def _told(world: World, sourced: Sourced) -> str:
    """Return where a figure is from, as people read it."""
    source = world.source(sourced)
    note = f" ({sourced.note})" if sourced.note else ""
    return f"{source.text}, {source.date.isoformat()}{note}"


def _source_of(world: World, figure: Figure | None) -> str:
    return "" if figure is None else _told(world, figure)


def _value(figure: Figure | None) -> int:
    return 0 if figure is None else figure.value
