"""Use cases of prices: what cards cost now, what they cost before, and how that is kept.

Spot price = ask of now + scarcity, the shadow price of the last committed round. A committed round hands its prices
over (`heard`); they are written beside it, where something has changed, and rolled up by the hour.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from broker.errors import ClusterNotFound, PoolNotFound
from broker.ids import RoundId
from broker.store import nodes, prices, rates
from broker.store.database import Connection, Database
from broker.store.prices import HOUR, BySize, HourRow, PoolPlace, PriceRow
from broker.worlds.rates import NO_ASK, AskNow
from scheduler.policy import OpeningPrice
from scheduler.snapshot import Snapshot
from scheduler.spot import PoolSpot, Size, spot_prices

UNKNOWN_YET: Final[BySize] = (None,) * len(Size)
HOURS_PER_RUN_MAX: Final = 48
"""Hours that are rolled up at once, after a long time without a broker."""

MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RoundPrices:
    """The prices of a committed round, and the world that they are of."""

    round: RoundId
    world: Snapshot
    pool_ids: tuple[int, ...]  # of the world's pools
    prices: tuple[OpeningPrice, ...]  # of the last tier of its plan
    zones: tuple[str, ...]
    pool_of: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoolPrice:
    """What cards of a pool cost now."""

    place: PoolPlace
    ask: AskNow
    changed: PriceRow | None  # when scarcity or ask changed last; None: no prices yet

    @property
    def scarcity(self) -> BySize:
        """Micro-yuan per card-hour beyond the ask, by size; None: no round has dealt in it."""
        return UNKNOWN_YET if self.changed is None else self.changed.scarcity_micro_yuan_per_card_hour

    def spot(self, size: Size) -> int | None:
        """Return ask and scarcity together, micro-yuan per card-hour."""
        scarcity = self.scarcity[size]
        return None if scarcity is None else self.ask.micro_yuan_per_card_hour + scarcity


class Prices:
    """What everybody may know of prices. `wake` lets the loop write what a round has left."""

    def __init__(
        self, database: Database, *, changes_days: int, hours_days: int, wake: Callable[[], None] = lambda: None
    ) -> None:
        """`changes_days`, `hours_days`: for how long changes, and hours, are kept."""
        self._database = database
        self._changes_kept = timedelta(days=changes_days)
        self._hours_kept = timedelta(days=hours_days)
        self._wake = wake
        self._heard: RoundPrices | None = None

    def heard(self, found: RoundPrices) -> None:
        """Take the prices of a round that was committed here; of two before they are written the newer one counts."""
        self._heard = found
        self._wake()

    async def record(self, now: datetime) -> int:
        """Write where asks, or the prices of the last round, have changed. Return in how many pools."""
        heard, self._heard = self._heard, None
        try:
            spot = {} if heard is None else await asyncio.to_thread(_spot, heard)
            async with self._database.hub() as tx:
                await prices.lock(tx)
                before = await prices.last(tx)
                asks = await rates.asks_at(tx, now)
                places = await prices.pools(tx)
                round_id = None if heard is None else heard.round
                rows = changes(places, before, asks, spot, round_id, now)
                await prices.add(tx, rows)
        except BaseException:
            self._heard = self._heard or heard  # the next run writes it
            raise
        return len(rows)

    async def roll_up(self, now: datetime) -> int:
        """Sum up hours that are over, and forget what is older than it is kept. Return how many hours were over."""
        async with self._database.hub() as tx:
            await prices.lock(tx)
            begin = await prices.rolled_up_until(tx)
            over = 0
            while begin is not None and begin + HOUR <= now and over < HOURS_PER_RUN_MAX:
                await self._hour(tx, begin)
                begin += HOUR
                over += 1
            if over and begin is not None:
                changes_before = min(now - self._changes_kept, begin)
                await prices.forget(tx, changes_before, now - self._hours_kept)
        return over

    async def _hour(self, tx: Connection, begin: datetime) -> None:
        rows = await prices.between(tx, begin, begin + HOUR)
        before = await prices.last(tx, begin) if rows else {}
        found = [
            hour_of(before.get(pool_id), list(changed), begin)
            for pool_id, changed in groupby(rows, key=lambda row: row.pool_id)
        ]
        await prices.roll_up(tx, found, begin + HOUR)

    async def page(
        self, hub: str, cluster: str, model: str, after: tuple[str, str], limit: int, *, now: datetime
    ) -> list[PoolPrice]:
        """Return what cards cost now, by cluster and pool, from the first one after `after`."""
        async with self._database.hub() as tx:
            places = await prices.pools(tx, hub, cluster, model, after, limit)
            asks = await rates.asks_at(tx, now)
            newest = await prices.last(tx)
        return [PoolPrice(p, asks.get((p.cluster, p.model), NO_ASK), newest.get(p.pool_id)) for p in places]

    async def history(
        self, cluster: str, pool: str, after: datetime, until: datetime, limit: int
    ) -> tuple[PoolPlace, list[PriceRow]]:
        """Return changes of a pool's prices after a time, oldest first. Raise ClusterNotFound or PoolNotFound."""
        async with self._database.hub() as tx:
            place = await _place(tx, cluster, pool)
            return place, await prices.history(tx, place.pool_id, after, until, limit)

    async def hours(
        self, cluster: str, pool: str, after: datetime, until: datetime, limit: int
    ) -> tuple[PoolPlace, list[HourRow]]:
        """Return hours of a pool's prices that begin after a time. Raise ClusterNotFound or PoolNotFound."""
        async with self._database.hub() as tx:
            place = await _place(tx, cluster, pool)
            return place, await prices.hours(tx, place.pool_id, after, until, limit)


async def _place(tx: Connection, cluster: str, pool: str) -> PoolPlace:
    found = [place for place in await prices.pools(tx, cluster=cluster) if place.pool == pool]
    if found:
        return found[0]
    if not await nodes.cluster_exists(tx, cluster):
        raise ClusterNotFound(cluster=cluster)
    raise PoolNotFound(cluster=cluster, pool=pool)


def _spot(heard: RoundPrices) -> dict[int, PoolSpot]:
    found = spot_prices(heard.world, heard.prices, heard.zones, heard.pool_of)
    return dict(zip(heard.pool_ids, found, strict=True))


def changes(
    places: Iterable[PoolPlace],
    before: Mapping[int, PriceRow],
    asks: Mapping[tuple[str, str], AskNow],
    spot: Mapping[int, PoolSpot],
    round_id: RoundId | None,
    now: datetime,
) -> list[PriceRow]:
    """Return a row for each pool whose ask or scarcity is not what its last row says.

    What a round has not dealt in keeps the price that it had. Without any price and ask nothing is told.
    """
    found = []
    for place in places:
        last, dealt = before.get(place.pool_id), spot.get(place.pool_id)
        old = last or PriceRow(place.pool_id, now - MICROSECOND, None, 0, 0, UNKNOWN_YET)
        scarcity = old.scarcity_micro_yuan_per_card_hour
        if dealt is not None:
            new = dealt.scarcity_micro_yuan_per_card_hour
            scarcity = tuple(a if a is not None else b for a, b in zip(new, scarcity, strict=True))
        row = replace(
            old,
            node_cards=old.node_cards if dealt is None else dealt.node_cards,
            ask_micro_yuan_per_card_hour=asks.get((place.cluster, place.model), NO_ASK).micro_yuan_per_card_hour,
            scarcity_micro_yuan_per_card_hour=scarcity,
        )
        if row != old:
            at = max(now, old.at + MICROSECOND)  # clocks are set back, rows keep their order
            found.append(replace(row, at=at, round=round_id or old.round))
    return found


def hour_of(before: PriceRow | None, rows: Sequence[PriceRow], begin: datetime) -> HourRow:
    """Return an hour of a pool's prices.

    Args:
        before: what held when the hour began; None: nothing yet.
        rows: what changed in it, at least one, by time.
        begin: of the hour.
    """
    held = [] if before is None or rows[0].at == begin else [(begin, before)]
    series = held + [(row.at, row) for row in rows]
    ends = [*(at for at, _ in series[1:]), begin + HOUR]
    spans = [(row, (end - at) // MICROSECOND) for (at, row), end in zip(series, ends, strict=True)]
    told = _told([(row.spot_micro_yuan_per_card_hour, micros) for row, micros in spans])
    scarce = _told([(row.scarcity_micro_yuan_per_card_hour, micros) for row, micros in spans])
    return HourRow(
        pool_id=rows[0].pool_id,
        hour=begin,
        least=tuple(min((spot for spot, _ in size), default=None) for size in told),
        mean=tuple(_mean(size) for size in told),
        most=tuple(max((spot for spot, _ in size), default=None) for size in told),
        closing=rows[-1].spot_micro_yuan_per_card_hour,
        mean_scarcity=tuple(_mean(size) for size in scarce),
        closing_scarcity=rows[-1].scarcity_micro_yuan_per_card_hour,
    )


def _told(spans: Sequence[tuple[BySize, int]]) -> list[list[tuple[int, int]]]:
    """Return by size what was told of it, and for how many microseconds."""
    return [[(found, micros) for each, micros in spans if (found := each[size]) is not None] for size in Size]


def _mean(told: Sequence[tuple[int, int]]) -> int | None:
    return sum(spot * micros for spot, micros in told) // sum(micros for _, micros in told) if told else None
