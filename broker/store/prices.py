"""Spot prices of pools as rows: one where something changed, and by the hour. Arrays are by `scheduler.spot.Size`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from broker.ids import RoundId
from broker.store.database import Connection

BySize = tuple[int | None, ...]
"""Micro-yuan per card-hour by size; None: no round has dealt in it."""

HOUR: Final = timedelta(hours=1)
POOLS_MAX: Final = 2**31
_LOCK_KEY: Final = 0x707269636573  # "prices"


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What cards of a pool cost from a time on."""

    pool_id: int
    at: datetime
    round: RoundId | None  # whose prices they are; None: before any round
    node_cards: int  # of its largest node
    ask_micro_yuan_per_card_hour: int
    scarcity_micro_yuan_per_card_hour: BySize

    @property
    def spot_micro_yuan_per_card_hour(self) -> BySize:
        """Ask and scarcity together."""
        ask = self.ask_micro_yuan_per_card_hour
        return tuple(None if each is None else ask + each for each in self.scarcity_micro_yuan_per_card_hour)


@dataclass(frozen=True, slots=True)
class HourRow:
    """What cards of a pool cost in an hour, ask and scarcity together; the mean is by time, rounded down."""

    pool_id: int
    hour: datetime  # its begin
    least: BySize
    mean: BySize
    most: BySize
    closing: BySize
    mean_scarcity: BySize | None = None  # beyond the ask; None: of a release before
    closing_scarcity: BySize | None = None


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """A pool with what its prices are told by."""

    pool_id: int
    hub: str
    cluster: str
    pool: str
    model: str
    programme_milli_tflops: int  # of a card, as the programme counts it


ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock($1)"
COLUMNS: Final[LiteralString] = """
    pool_id, at, round_id, node_cards, ask_micro_yuan_per_card_hour AS ask,
    scarcity_micro_yuan_per_card_hour AS scarcity
"""
LAST: Final[LiteralString] = (
    "SELECT l.* FROM pools p CROSS JOIN LATERAL (SELECT "
    + COLUMNS
    + " FROM pool_prices WHERE pool_id = p.pool_id AND ($1::timestamptz IS NULL OR at < $1) ORDER BY at DESC LIMIT 1) l"
)
POOLS: Final[LiteralString] = """
    SELECT p.pool_id, c.hub, p.cluster, p.pool, p.model, m.fp16_programme_milli_tflops
      FROM pools p JOIN clusters c USING (cluster) JOIN accelerator_models m USING (model)
     WHERE ($1 = '' OR c.hub = $1) AND ($2 = '' OR p.cluster = $2) AND ($3 = '' OR p.model = $3)
       AND (p.cluster, p.pool) > ($4, $5)
     ORDER BY p.cluster, p.pool LIMIT $6
"""
ADD: Final[LiteralString] = """
    INSERT INTO pool_prices (pool_id, at, round_id, node_cards, ask_micro_yuan_per_card_hour,
                             scarcity_micro_yuan_per_card_hour)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
BETWEEN: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM pool_prices WHERE at >= $1 AND at < $2 ORDER BY pool_id, at"
)
HISTORY: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM pool_prices WHERE pool_id = $1 AND at > $2 AND at <= $3 ORDER BY at LIMIT $4"
)
HOURS: Final[LiteralString] = """
    SELECT * FROM pool_price_hours WHERE pool_id = $1 AND hour > $2 AND hour <= $3 ORDER BY hour LIMIT $4
"""
# What holds at the begin is what the last hour before it closed with.
HOURS_OF_ALL: Final[LiteralString] = """
    SELECT h.* FROM pool_price_hours h WHERE hour >= $1 AND hour < $2 UNION ALL
    SELECT l.* FROM pools p CROSS JOIN LATERAL (
        SELECT * FROM pool_price_hours q WHERE q.pool_id = p.pool_id AND hour < $1 ORDER BY hour DESC LIMIT 1) l
     ORDER BY pool_id, hour
"""
ROLLED_UP: Final[LiteralString] = """
    SELECT coalesce((SELECT until FROM price_roll_up), (SELECT date_trunc('hour', min(at), 'UTC') FROM pool_prices))
"""
ADD_HOUR: Final[LiteralString] = """
    INSERT INTO pool_price_hours VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (pool_id, hour) DO NOTHING
"""
ROLL_UP: Final[LiteralString] = """
    INSERT INTO price_roll_up (until) VALUES ($1) ON CONFLICT (one) DO UPDATE SET until = excluded.until
"""
# What holds at the limit stays, whenever it began.
FORGET: Final[LiteralString] = """
    DELETE FROM pool_prices p WHERE at < $1
       AND EXISTS (SELECT FROM pool_prices q WHERE q.pool_id = p.pool_id AND q.at > p.at AND q.at <= $1)
"""
FORGET_HOURS: Final[LiteralString] = "DELETE FROM pool_price_hours WHERE hour < $1"


async def lock(tx: Connection) -> None:
    """Let only this transaction write prices until it ends."""
    await tx.execute(ONE_AT_A_TIME, _LOCK_KEY)


async def last(tx: Connection, before: datetime | None = None) -> dict[int, PriceRow]:
    """Return the newest row of each pool that has one, of those before a time; by pool_id."""
    return {row.pool_id: row for row in map(_row, await tx.fetch(LAST, before))}


async def pools(
    tx: Connection,
    hub: str = "",
    cluster: str = "",
    model: str = "",
    after: tuple[str, str] = ("", ""),
    limit: int = 2**31,
) -> list[PoolPlace]:
    """Return pools by cluster and name, from the first one after `after`; "" lets everything pass."""
    return [PoolPlace(*r.values()) for r in await tx.fetch(POOLS, hub, cluster, model, *after, limit)]


async def add(tx: Connection, rows: Sequence[PriceRow]) -> None:
    """Store what has changed. The caller holds the lock."""
    await tx.executemany(
        ADD,
        [
            (
                r.pool_id,
                r.at,
                r.round,
                r.node_cards,
                r.ask_micro_yuan_per_card_hour,
                list(r.scarcity_micro_yuan_per_card_hour),
            )
            for r in rows
        ],
    )


async def between(tx: Connection, begin: datetime, end: datetime) -> list[PriceRow]:
    """Return what changed at or after a time and before another, by pool, then time."""
    return list(map(_row, await tx.fetch(BETWEEN, begin, end)))


async def history(tx: Connection, pool_id: int, after: datetime, until: datetime, limit: int) -> list[PriceRow]:
    """Return what changed of a pool after a time and not after another, oldest first."""
    return list(map(_row, await tx.fetch(HISTORY, pool_id, after, until, limit)))


async def hours(tx: Connection, pool_id: int, after: datetime, until: datetime, limit: int) -> list[HourRow]:
    """Return hours of a pool that begin after a time and not after another, oldest first."""
    rows = await tx.fetch(HOURS, pool_id, after, until, limit)
    return [_hour(r) for r in rows]


async def hours_of_all(tx: Connection, begin: datetime, end: datetime) -> dict[int, list[HourRow]]:
    """Return by pool_id the hours that begin in a span, by time, behind the last one before it."""
    found: dict[int, list[HourRow]] = {}
    for row in map(_hour, await tx.fetch(HOURS_OF_ALL, begin, end)):
        found.setdefault(row.pool_id, []).append(row)
    return found


async def rolled_up_until(tx: Connection) -> datetime | None:
    """Return the begin of the first hour that is not rolled up; None while there are no prices."""
    found: datetime | None = await tx.fetchval(ROLLED_UP)
    return found


async def roll_up(tx: Connection, rows: Sequence[HourRow], until: datetime) -> None:
    """Store hours, and up to where they are there. The caller holds the lock."""
    values = [(r.pool_id, r.hour, *map(_list, _by_size(r))) for r in rows]
    await tx.executemany(ADD_HOUR, values)
    await tx.execute(ROLL_UP, until)


async def forget(tx: Connection, before: datetime, hours_before: datetime) -> None:
    """Remove changes, and hours, of before these times. What held then stays."""
    await tx.execute(FORGET, before)
    await tx.execute(FORGET_HOURS, hours_before)


def _by_size(r: HourRow) -> tuple[BySize | None, ...]:
    return r.least, r.mean, r.most, r.closing, r.mean_scarcity, r.closing_scarcity


def _list(by_size: BySize | None) -> list[int | None] | None:
    return None if by_size is None else list(by_size)


def _hour(r: Any) -> HourRow:
    known: list[Any] = [None if each is None else tuple(each) for each in list(r.values())[2:]]
    return HourRow(r[0], r[1], *known)


def _row(r: Any) -> PriceRow:
    return PriceRow(r["pool_id"], r["at"], r["round_id"], r["node_cards"], r["ask"], tuple(r["scarcity"]))
