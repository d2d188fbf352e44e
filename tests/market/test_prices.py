"""Prices on a real database: what a round leaves is written where it changed, summed up by the hour, and forgotten."""

from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ClusterNotFound, PoolNotFound
from broker.ids import RoundId
from broker.market.capacity import Capacity
from broker.market.prices import PoolPrice, Prices, changes, hour_of
from broker.store import rates
from broker.store.clusters import NodeCondition
from broker.store.database import Database
from broker.store.prices import HOUR, HourRow, PoolPlace, PriceRow
from broker.worlds.rates import AskNow, Curve, RateCard
from scheduler.spot import PoolSpot, Size
from tests.cluster_world import START, ClusterWorld, inventory
from tests.conftest import Dsns
from tests.market.test_rounds import RICH, Table
from tests.small_world import asked

PLACE = PoolPlace(1, "qingyang", "east", "main", "ascend-910b", 320_000)
BEGIN = START.replace(minute=0)
NONE = (None,) * 6


def row(minute: float, ask: int, *scarcity: int | None, round_: int | None = 7) -> PriceRow:
    """A row of the pool by minutes from BEGIN on; sizes that are not told have no price."""
    by_size = (*scarcity, *NONE)[:6]
    return PriceRow(1, BEGIN + timedelta(minutes=minute), round_ and RoundId(round_), 8, ask, by_size)


# What has changed


def changed(last: PriceRow | None, ask: int, spot: PoolSpot | None, minute: float = 30) -> list[PriceRow]:
    return changes(
        [PLACE],
        {} if last is None else {1: last},
        {("east", "ascend-910b"): AskNow(ask, 1)} if ask else {},
        {} if spot is None else {1: spot},
        None if spot is None else RoundId(8),
        BEGIN + timedelta(minutes=minute),
    )


def test_only_what_changed_is_written() -> None:
    last = row(0, 5, 1, 2)

    assert changed(None, 0, None) == []
    assert changed(None, 5, None) == [PriceRow(1, BEGIN + timedelta(minutes=30), None, 0, 5, NONE)]
    assert changed(last, 5, None) == []
    assert changed(last, 5, PoolSpot(8, (1, 2, *NONE[2:]))) == []
    assert changed(last, 6, None) == [row(30, 6, 1, 2)]  # a new hour; the round is still the same
    assert changed(last, 5, PoolSpot(8, (1, 3, *NONE[2:]))) == [row(30, 5, 1, 3, round_=8)]


def test_what_a_round_has_not_dealt_in_keeps_its_price() -> None:
    """A full pool is not free of charge."""
    assert changed(row(0, 5, 1, 2), 5, PoolSpot(8, NONE)) == []
    assert changed(row(0, 5, 1, 2), 5, PoolSpot(8, (0, *NONE[1:]))) == [row(30, 5, 0, 2, round_=8)]


def test_rows_keep_their_order_when_a_clock_is_set_back() -> None:
    [found] = changed(row(40, 5), 6, None, minute=30)

    assert found.at == BEGIN + timedelta(minutes=40, microseconds=1)


# Hours


def test_an_hour_is_summed_up_by_time() -> None:
    found = hour_of(row(-90, 4, 0), [row(15, 5, 1), row(30, 5, 5), row(45, 5, 1, 9)], BEGIN)

    assert found == HourRow(
        1,
        BEGIN,
        least=(4, 14, *NONE[2:]),
        mean=((4 + 6 + 10 + 6) // 4, 14, *NONE[2:]),
        most=(10, 14, *NONE[2:]),
        closing=(6, 14, *NONE[2:]),
        mean_scarcity=((0 + 1 + 5 + 1) // 4, 9, *NONE[2:]),
        closing_scarcity=(1, 9, *NONE[2:]),
    )


@given(
    st.lists(st.tuples(st.integers(0, 3_599), st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=9)
)
def test_the_mean_lies_between_the_least_and_the_most(told: list[tuple[int, int, int]]) -> None:
    rows = [row(second / 60, ask, beyond) for second, ask, beyond in sorted(told)]

    found = hour_of(None, rows, BEGIN)

    least, mean, most = found.least[0], found.mean[0], found.most[0]
    assert least is not None
    assert mean is not None
    assert most is not None
    assert least <= mean <= most
    assert found.closing == rows[-1].spot_micro_yuan_per_card_hour


# Rounds, and the database


class Exchange:
    """Rounds of the cluster world, and prices that are kept of them."""

    def __init__(self, table: Table) -> None:
        self.table, self.world, self.woken = table, table.world, 0
        self.prices = Prices(table.world.database, changes_days=2, hours_days=10, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def round(self) -> int:
        """Commit a round and write its prices; return how many pools have new ones."""
        await self.table.round()
        self.prices.heard(self.table.priced[-1])
        return await self.prices.record(self.world.now)

    async def now(self) -> PoolPrice:
        [found] = await self.prices.page("", "", "", ("", ""), 9, now=self.world.now)
        return found

    async def history(self, of: Callable[[PriceRow], object]) -> list[object]:
        _, rows = await self.prices.history("east", "main", START - HOUR, self.world.now + HOUR, 99)
        return [of(each) for each in rows]


@pytest.fixture
async def exchange(database: Database) -> Exchange:
    exchange = Exchange(Table(await ClusterWorld(database).lay()))
    await exchange.world.attach("east", "one", inventory("n1", "n2"))
    async with database.hub() as tx:
        await asked(tx, "east", "ascend-910b", 100_000)
    return exchange


async def test_a_pool_that_all_want_is_dear_and_one_that_nobody_wants_costs_its_ask(exchange: Exchange) -> None:
    """Two nodes, and three gangs that want one each: the card costs what the one who stays out would pay for it."""
    before = await exchange.now()
    for percent in (100, 90, 50):
        await exchange.table.submit(cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH * percent // 100)

    written = await exchange.round()

    now = await exchange.now()
    assert (before.ask.micro_yuan_per_card_hour, before.changed) == (100_000, None)
    assert (written, exchange.woken) == (1, 1)
    spot = now.spot(Size.EIGHT)
    assert spot is not None
    assert 500_000 <= spot <= 900_000
    assert now.spot(Size.NODE) == spot
    assert now.changed is not None
    assert now.changed.round == exchange.table.priced[-1].round


async def test_the_same_prices_again_are_not_written_again(exchange: Exchange) -> None:
    await exchange.table.submit(cards_per_task=1)

    written = [await exchange.round()]
    await exchange.table.submit(cards_per_task=1)
    exchange.world.advance(60)
    written += [await exchange.round(), await exchange.prices.record(exchange.world.now)]

    assert written == [1, 0, 0]
    assert (await exchange.now()).scarcity == (0,) * 6


async def test_a_new_hour_is_written_without_a_round(exchange: Exchange) -> None:
    async with exchange.world.database.hub() as tx:
        curve = Curve(tuple(range(24)))
        await rates.add(tx, [RateCard("east", "ascend-910b", 0, curve, START, None, "test", START)])

    for _ in range(4):  # START is four o'clock in the afternoon of UTC+8
        await exchange.prices.record(exchange.world.now)
        exchange.world.advance(1800)

    assert await exchange.history(lambda each: each.ask_micro_yuan_per_card_hour) == [16, 17]


async def test_a_round_that_could_not_be_written_is_written_by_the_next_run(exchange: Exchange, dsns: Dsns) -> None:
    await exchange.table.submit(cards_per_task=8)
    await exchange.table.round()
    exchange.prices.heard(exchange.table.priced[-1])
    owner = await asyncpg.connect(dsns.owner)
    await owner.execute("REVOKE INSERT ON pool_prices FROM xisuan_hub")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await exchange.prices.record(exchange.world.now)
    await owner.execute("GRANT INSERT ON pool_prices TO xisuan_hub")

    assert await exchange.prices.record(exchange.world.now) == 1
    assert (await exchange.now()).scarcity == (0,) * 6
    await owner.close()


async def test_hours_are_summed_up_once_and_old_changes_are_forgotten(exchange: Exchange) -> None:
    async def ask(amount: int, at: datetime) -> None:
        async with exchange.world.database.hub() as tx:
            card = RateCard("east", "ascend-910b", 0, Curve.flat(amount), at, None, "test", at)
            await rates.add(tx, [card])
        await exchange.prices.record(at)

    await exchange.table.submit(cards_per_task=8)
    await exchange.round()
    await ask(200_000, exchange.world.advance(1800))

    early = await exchange.prices.roll_up(exchange.world.now)
    over = await exchange.prices.roll_up(exchange.world.advance(1800))
    again = await exchange.prices.roll_up(exchange.world.now)
    await ask(300_000, exchange.world.advance(86_400))
    for _ in range(3):
        await exchange.prices.roll_up(exchange.world.advance(86_400))

    assert (early, over, again) == (0, 1, 0)
    _, hours = await exchange.prices.hours("east", "main", START - HOUR, exchange.world.now, 9)
    assert [(each.hour, each.least[0], each.mean[0], each.most[0], each.closing[0]) for each in hours] == [
        (START, 100_000, 150_000, 200_000, 200_000),
        (START + 25 * HOUR, 300_000, 300_000, 300_000, 300_000),
    ]
    assert await exchange.history(lambda each: each.ask_micro_yuan_per_card_hour) == [300_000]
    assert (await exchange.now()).scarcity == (0,) * 6


async def test_unknown_pools_are_refused_by_name(exchange: Exchange) -> None:
    with pytest.raises(ClusterNotFound):
        await exchange.prices.history("mars", "main", START, START, 1)
    with pytest.raises(PoolNotFound, match="has no pool side"):
        await exchange.prices.hours("east", "side", START, START, 1)


# What is free


async def test_what_is_free_counts_by_the_node(database: Database) -> None:
    """n1: two leased, one foreign; n2: whole; n3: down; n4: cordoned. Half of one leased card is left."""
    world = await ClusterWorld(database).lay()
    session = await world.attach("east", "one", inventory("n1", "n2", "n3", "n4"))
    await world.offer(await world.submit(cards_per_task=2), {"n1": [0, 1]})
    await world.report(session, 1, nodes=(NodeCondition("n1", foreign_cards=(1, 5)), NodeCondition("n3", down=True)))
    async with database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned' WHERE node = 'n4'")
        lease = await tx.fetchrow("SELECT node_id, lease_id FROM held_cards WHERE card = 0")
        await tx.execute("DELETE FROM held_cards WHERE card = 0")
        await tx.execute("INSERT INTO held_cards (node_id, card, milli, lease_id) VALUES ($1, 0, 500, $2)", *lease)

    _, [found] = await Capacity(database).page("", "", "", ("", ""), 9, now=world.now)
    nobody = await Capacity(database).page("guian", "", "", ("", ""), 9, now=world.now)

    assert (found.nodes, found.cards, found.cards_free) == (4, 32, 5 + 8)
    assert found.nodes_by_free_cards == {5: 1, 8: 1}
    assert [found.tasks(cards) for cards in (1, 2, 4, 5, 8)] == [13, 6, 3, 2, 1]
    assert found.split_free_milli == 500
    assert nobody[1] == []


async def test_what_is_free_is_read_once_for_all_who_ask(database: Database) -> None:
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1"))
    capacity = Capacity(database, fresh_seconds=60)

    first, _ = await capacity.page("", "", "", ("", ""), 9, now=world.now)
    await world.offer(await world.submit(), {"n1": [0]})
    second, [pool] = await capacity.page("", "", "", ("", ""), 9, now=world.advance(5))

    assert (first, second, pool.cards_free) == (START, START, 8)
