"""A round opened up: who won what, what cards were worth, who waits on. Read from the record that replays it."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.ids import RoundId
from broker.store import rounds
from broker.store.database import Database
from broker.store.rounds import RoundRecord
from scheduler.decided import Decided
from scheduler.errors import BadPlan, BadSnapshot
from scheduler.plan import Plan
from scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Won:
    """A job that the round placed. Worth is micro-yuan per hour."""

    job: str
    pool: str  # cluster/pool
    nodes: int
    tasks: int
    worth_micro_yuan_per_hour: int


@dataclass(frozen=True, slots=True)
class Left:
    """A job that waits on; `pool` came nearest, "" when none did."""

    job: str
    reason: str
    pool: str


@dataclass(frozen=True, slots=True)
class Promised:
    """A start that stands after the round."""

    job: str
    pool: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class PoolPrices:
    """What a card-hour of a pool was worth beyond its costs, by size of the task in cards; of a zone of it."""

    pool: str
    micro_yuan_per_card_hour: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenedRound:
    """What is inside a round. Lists are cut at the limit that was asked for; `won_jobs`, `left_jobs` count all."""

    block_cards: tuple[int, ...]
    prices: tuple[PoolPrices, ...]
    power_micro_yuan_per_kwh: tuple[tuple[str, int], ...]  # by hub
    won: tuple[Won, ...]
    won_jobs: int
    left: tuple[Left, ...]
    left_jobs: int
    left_by_reason: tuple[tuple[str, int], ...]  # most first
    promises: tuple[Promised, ...]


class RoundsOpened:
    """Opens rounds, one at a time: a record of national size takes a second and some hundred megabytes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._last: tuple[RoundId, int, OpenedRound] | None = None

    async def open(self, round_id: RoundId, limit: int) -> OpenedRound | None:
        """Return what is inside a round; None when its record is not kept, or was written in another form."""
        async with self._turn:
            if self._last is not None and self._last[:2] == (round_id, limit):
                return self._last[2]
            async with self._database.hub() as tx:
                record = await rounds.record(tx, round_id)
            if record is None:
                return None
            try:
                opened = await asyncio.to_thread(_opened, record, limit)
            except (BadPlan, BadSnapshot):
                return None
            self._last = round_id, limit, opened
            return opened


def _opened(record: RoundRecord, limit: int) -> OpenedRound:
    world = Snapshot.from_bytes(record.snapshot)
    decided = None if record.decision is None else Decided.from_bytes(record.plan, record.decision)
    plan = Plan.from_bytes(record.plan) if decided is None else decided.plan
    placements, refusals = (
        (plan.placements, plan.refusals) if decided is None else (decided.placements, decided.refusals)
    )
    promises = () if decided is None else decided.promises
    pools = world.pool_names
    zones = pools if decided is None else decided.zones

    def named(pool: int) -> str:
        return pools[pool] if 0 <= pool < len(pools) else ""

    prices = plan.prices
    by_worth = sorted(placements, key=lambda each: -each.worth_micro_yuan_per_hour)
    return OpenedRound(
        block_cards=prices.block_cards,
        prices=tuple(
            PoolPrices(zone, _per_card(prices.block_cards, blocks))
            for zone, blocks in zip(zones, prices.cards_micro_yuan_per_block_hour, strict=False)
        ),
        power_micro_yuan_per_kwh=tuple(zip(world.hub_names, prices.power_micro_yuan_per_kwh, strict=False)),
        won=tuple(
            Won(p.job_id, named(p.pool), len(p.nodes), sum(p.tasks), p.worth_micro_yuan_per_hour)
            for p in by_worth[:limit]
        ),
        won_jobs=len(placements),
        left=tuple(Left(r.job_id, r.reason.value, named(r.pool)) for r in refusals[:limit]),
        left_jobs=len(refusals),
        left_by_reason=tuple(Counter(r.reason.value for r in refusals).most_common()),
        promises=tuple(
            Promised(p.job_id, named(p.pool), datetime.fromtimestamp(p.start_s, UTC)) for p in promises[:limit]
        ),
    )


def _per_card(block_cards: tuple[int, ...], blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Return what each card of a task pays, for tasks as large as each block: larger ones pay for smaller, too."""
    return tuple(
        sum(size // block * price for block, price in zip(block_cards, blocks, strict=True)) // size
        for size in block_cards
    )
