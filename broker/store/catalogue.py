"""Hubs, accelerator models, cities and clusters as rows: read whole, written row by row, never removed."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Final, LiteralString, TypeVar

from broker.store import quotas, rates, rules
from broker.store.database import Connection
from broker.worlds.catalogue import (
    CapacityRow,
    Catalogue,
    CityRow,
    ClusterRow,
    HubRow,
    ModelRow,
    RoundTripRow,
    Row,
    TransferRow,
)
from broker.worlds.quotas import QuotaRow
from broker.worlds.rates import RateCard

R = TypeVar("R", HubRow, ModelRow, CityRow, ClusterRow, QuotaRow)

_LOCK_KEY: Final = 0x776F726C64  # "world"
ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock($1)"


async def lock(tx: Connection) -> None:
    """Let only this transaction compare and write the catalogue until it ends."""
    await tx.execute(ONE_AT_A_TIME, _LOCK_KEY)


HUBS: Final[LiteralString] = """
    SELECT hub, title, power_kilowatts_max, pue_milli, energy_kilowatt_hours_per_year, micro_yuan_per_kilowatt_hour,
           green_hours, green_share_ppm, pue_line_milli, green_line_ppm, rack_line_ppm, pue_line_source,
           green_line_source, rack_line_source
      FROM hubs ORDER BY hub
"""
CAPACITY: Final[LiteralString] = """
    SELECT hub, date, fp16_milli_pflops, cards, racks, planned, doubtful, source FROM hub_capacity
     ORDER BY hub, date, source COLLATE "C"
"""
MODELS: Final[LiteralString] = """
    SELECT model, vendor, stack, origin, fp16_nameplate_milli_tflops, fp16_programme_milli_tflops,
           fp16_measured_milli_tflops, memory_mib, watts, source, host_watts, slices_milli, shares_per_card_max
      FROM accelerator_models ORDER BY model
"""
CITIES: Final[LiteralString] = """
    SELECT city, title, weight_ppm, pending_jobs_max, calls_per_second_max, ceiling_micro_yuan_per_pflops_hour,
           billing
      FROM cities ORDER BY city
"""
ROUND_TRIPS: Final[LiteralString] = "SELECT city, hub, micros, source FROM round_trips ORDER BY city, hub"
TRANSFERS: Final[LiteralString] = """
    SELECT city, hub, mib_per_second, micro_yuan_per_gib, source FROM transfers ORDER BY city, hub
"""
CLUSTERS: Final[LiteralString] = "SELECT cluster, hub, owner, title FROM clusters ORDER BY cluster"


async def read(tx: Connection, now: datetime) -> Catalogue:
    """Return the stored catalogue, with the rate cards that stand at `now`."""
    capacity: dict[str, list[CapacityRow]] = {}
    for r in await tx.fetch(CAPACITY):
        capacity.setdefault(r["hub"], []).append(CapacityRow(*r[1:]))
    trips: dict[str, dict[str, RoundTripRow]] = {}
    for r in await tx.fetch(ROUND_TRIPS):
        trips.setdefault(r["city"], {})[r["hub"]] = RoundTripRow(r["micros"], r["source"])
    transfers: dict[str, dict[str, TransferRow]] = {}
    for r in await tx.fetch(TRANSFERS):
        transfers.setdefault(r["city"], {})[r["hub"]] = TransferRow(*r[2:])
    asks = await rates.standing(tx, now)
    return Catalogue(
        hubs={
            r["hub"]: HubRow(
                **(dict(r) | {"green_hours": tuple(r["green_hours"])}), capacity=tuple(capacity.get(r["hub"], ()))
            )
            for r in await tx.fetch(HUBS)
        },
        models={
            r["model"]: ModelRow(**(dict(r) | {"slices_milli": tuple(r["slices_milli"])}))
            for r in await tx.fetch(MODELS)
        },
        cities={
            r["city"]: CityRow(
                **dict(r),
                round_trips=trips.get(r["city"], {}),
                transfers=transfers.get(r["city"], {}),
            )
            for r in await tx.fetch(CITIES)
        },
        clusters={
            r["cluster"]: ClusterRow(**dict(r), asks=asks.get(r["cluster"], {})) for r in await tx.fetch(CLUSTERS)
        },
        quotas={row.quota: row for row in await quotas.all_quotas(tx)},
    )


async def write(tx: Connection, rows: Sequence[Row], *, now: datetime, key_id: str, source: str = "") -> None:
    """Add the rows or make the stored ones equal to them, with what belongs to them: capacity, round trips, asks.

    Asks that differ from what stands become new rate cards from `now` on. `key_id`, `source`: who sets them, and why.

    Limits are among them, so the version of the rules goes up (see store/rules.py), except for clusters alone.
    """
    if len(_of(rows, ClusterRow)) < len(rows):
        await rules.change(tx)
    await _write_hubs(tx, _of(rows, HubRow))
    await _write_models(tx, _of(rows, ModelRow))
    await _write_cities(tx, _of(rows, CityRow))
    await _write_clusters(tx, _of(rows, ClusterRow), now, key_id, source)
    await quotas.put(tx, _of(rows, QuotaRow))


PUT_HUB: Final[LiteralString] = """
    INSERT INTO hubs (hub, title, power_kilowatts_max, pue_milli, energy_kilowatt_hours_per_year,
                      micro_yuan_per_kilowatt_hour, green_hours, green_share_ppm, pue_line_milli, green_line_ppm,
                      rack_line_ppm, pue_line_source, green_line_source, rack_line_source)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (hub) DO UPDATE
       SET title = excluded.title, power_kilowatts_max = excluded.power_kilowatts_max, pue_milli = excluded.pue_milli,
           energy_kilowatt_hours_per_year = excluded.energy_kilowatt_hours_per_year,
           micro_yuan_per_kilowatt_hour = excluded.micro_yuan_per_kilowatt_hour, green_hours = excluded.green_hours,
           green_share_ppm = excluded.green_share_ppm, pue_line_milli = excluded.pue_line_milli,
           green_line_ppm = excluded.green_line_ppm, rack_line_ppm = excluded.rack_line_ppm,
           pue_line_source = excluded.pue_line_source, green_line_source = excluded.green_line_source,
           rack_line_source = excluded.rack_line_source
"""
FORGET_CAPACITY: Final[LiteralString] = "DELETE FROM hub_capacity WHERE hub = ANY($1)"
PUT_CAPACITY: Final[LiteralString] = """
    INSERT INTO hub_capacity (hub, date, fp16_milli_pflops, cards, racks, planned, doubtful, source)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


async def _write_hubs(tx: Connection, rows: Sequence[HubRow]) -> None:
    await tx.executemany(
        PUT_HUB,
        [
            (
                r.hub,
                r.title,
                r.power_kilowatts_max,
                r.pue_milli,
                r.energy_kilowatt_hours_per_year,
                r.micro_yuan_per_kilowatt_hour,
                list(r.green_hours),
                r.green_share_ppm,
                r.pue_line_milli,
                r.green_line_ppm,
                r.rack_line_ppm,
                r.pue_line_source,
                r.green_line_source,
                r.rack_line_source,
            )
            for r in rows
        ],
    )
    await tx.execute(FORGET_CAPACITY, [r.hub for r in rows])
    await tx.executemany(
        PUT_CAPACITY,
        [
            (r.hub, c.date, c.fp16_milli_pflops, c.cards, c.racks, c.planned, c.doubtful, c.source)
            for r in rows
            for c in r.capacity
        ],
    )


PUT_MODEL: Final[LiteralString] = """
    INSERT INTO accelerator_models (model, vendor, stack, origin, fp16_nameplate_milli_tflops,
                                    fp16_programme_milli_tflops, fp16_measured_milli_tflops, memory_mib, watts, source,
                                    host_watts, slices_milli, shares_per_card_max)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (model) DO UPDATE
       SET vendor = excluded.vendor, stack = excluded.stack, origin = excluded.origin,
           fp16_nameplate_milli_tflops = excluded.fp16_nameplate_milli_tflops,
           fp16_programme_milli_tflops = excluded.fp16_programme_milli_tflops,
           fp16_measured_milli_tflops = excluded.fp16_measured_milli_tflops,
           memory_mib = excluded.memory_mib, watts = excluded.watts, source = excluded.source,
           host_watts = excluded.host_watts, slices_milli = excluded.slices_milli,
           shares_per_card_max = excluded.shares_per_card_max
"""


async def _write_models(tx: Connection, rows: Sequence[ModelRow]) -> None:
    await tx.executemany(
        PUT_MODEL,
        [
            (
                r.model,
                r.vendor,
                r.stack,
                r.origin,
                r.fp16_nameplate_milli_tflops,
                r.fp16_programme_milli_tflops,
                r.fp16_measured_milli_tflops,
                r.memory_mib,
                r.watts,
                r.source,
                r.host_watts,
                r.slices_milli,
                r.shares_per_card_max,
            )
            for r in rows
        ],
    )


PUT_CITY: Final[LiteralString] = """
    INSERT INTO cities (city, title, weight_ppm, pending_jobs_max, calls_per_second_max,
                        ceiling_micro_yuan_per_pflops_hour, billing)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (city) DO UPDATE
       SET title = excluded.title, weight_ppm = excluded.weight_ppm, pending_jobs_max = excluded.pending_jobs_max,
           calls_per_second_max = excluded.calls_per_second_max,
           ceiling_micro_yuan_per_pflops_hour = excluded.ceiling_micro_yuan_per_pflops_hour, billing = excluded.billing
"""
FORGET_ROUND_TRIPS: Final[LiteralString] = "DELETE FROM round_trips WHERE city = ANY($1)"
PUT_ROUND_TRIP: Final[LiteralString] = """
    INSERT INTO round_trips (city, hub, micros, source) VALUES ($1, $2, $3, $4)
"""
FORGET_TRANSFERS: Final[LiteralString] = "DELETE FROM transfers WHERE city = ANY($1)"
PUT_TRANSFER: Final[LiteralString] = """
    INSERT INTO transfers (city, hub, mib_per_second, micro_yuan_per_gib, source) VALUES ($1, $2, $3, $4, $5)
"""


async def _write_cities(tx: Connection, rows: Sequence[CityRow]) -> None:
    await tx.executemany(
        PUT_CITY,
        [
            (
                r.city,
                r.title,
                r.weight_ppm,
                r.pending_jobs_max,
                r.calls_per_second_max,
                r.ceiling_micro_yuan_per_pflops_hour,
                r.billing,
            )
            for r in rows
        ],
    )
    await tx.execute(FORGET_ROUND_TRIPS, [r.city for r in rows])
    trips = [(r.city, hub, trip.micros, trip.source) for r in rows for hub, trip in r.round_trips.items()]
    await tx.executemany(PUT_ROUND_TRIP, trips)
    await tx.execute(FORGET_TRANSFERS, [r.city for r in rows])
    ways = [
        (r.city, hub, way.mib_per_second, way.micro_yuan_per_gib, way.source)
        for r in rows
        for hub, way in r.transfers.items()
    ]
    await tx.executemany(PUT_TRANSFER, ways)


PUT_CLUSTER: Final[LiteralString] = """
    INSERT INTO clusters (cluster, hub, owner, title) VALUES ($1, $2, $3, $4)
    ON CONFLICT (cluster) DO UPDATE SET hub = excluded.hub, owner = excluded.owner, title = excluded.title
"""


async def _write_clusters(tx: Connection, rows: Sequence[ClusterRow], now: datetime, key_id: str, source: str) -> None:
    await tx.executemany(PUT_CLUSTER, [(r.cluster, r.hub, r.owner, r.title) for r in rows])
    stands = await rates.standing(tx, now)
    cards = [
        RateCard(r.cluster, model, 0, curve, now, None, source, now, key_id)
        for r in rows
        for model, curve in r.asks.items()
        if stands.get(r.cluster, {}).get(model) != curve
    ]
    await rates.add(tx, cards)


BUSY: Final[LiteralString] = """
    SELECT DISTINCT cluster FROM leases WHERE cluster = ANY($1) AND state <> 'ended' ORDER BY cluster
"""


async def busy(tx: Connection, clusters: Sequence[str]) -> list[str]:
    """Return those of the clusters where leases live."""
    return [r["cluster"] for r in await tx.fetch(BUSY, clusters)]


@dataclass(frozen=True, slots=True)
class HubPower:
    """What operators set of a hub's power and energy; 0: not known, no limit."""

    power_kilowatts_max: int
    pue_milli: int
    energy_kilowatt_hours_per_year: int
    micro_yuan_per_kilowatt_hour: int


HUB_POWER: Final[LiteralString] = """
    SELECT power_kilowatts_max, pue_milli, energy_kilowatt_hours_per_year, micro_yuan_per_kilowatt_hour
      FROM hubs WHERE hub = $1
"""
PUT_HUB_POWER: Final[LiteralString] = """
    UPDATE hubs SET power_kilowatts_max = $2, pue_milli = $3, energy_kilowatt_hours_per_year = $4,
                    micro_yuan_per_kilowatt_hour = $5
     WHERE hub = $1
"""
HUB_EXISTS: Final[LiteralString] = "SELECT EXISTS (SELECT FROM hubs WHERE hub = $1)"
CITY_EXISTS: Final[LiteralString] = "SELECT EXISTS (SELECT FROM cities WHERE city = $1)"


async def hub_power(tx: Connection, hub: str) -> HubPower | None:
    """Return power and energy of a hub as they are set, None when there is no such hub."""
    row = await tx.fetchrow(HUB_POWER, hub)
    return None if row is None else HubPower(*row.values())


async def put_hub_power(tx: Connection, hub: str, power: HubPower) -> None:
    """Set power and energy of a hub."""
    await tx.execute(PUT_HUB_POWER, hub, *astuple(power))


async def hub_exists(tx: Connection, hub: str) -> bool:
    """Tell whether the catalogue has the hub."""
    return bool(await tx.fetchval(HUB_EXISTS, hub))


async def city_exists(tx: Connection, city: str) -> bool:
    """Tell whether the catalogue has the city."""
    return bool(await tx.fetchval(CITY_EXISTS, city))


def _of(rows: Iterable[Row], kind: type[R]) -> list[R]:
    return [row for row in rows if isinstance(row, kind)]
