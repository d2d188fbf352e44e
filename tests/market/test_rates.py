"""Rate cards on a real database: added and never changed, refused whole, and asked in the rounds of their hour."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from broker.caller import Caller, Role
from broker.errors import AskOutOfBounds, BrokerError, InvalidRequest, RateCardOverlaps, RoleRefused
from broker.market.identity import Identity
from broker.market.operations import Operations
from broker.market.rates import Rates
from broker.market.snapshot import prepare
from broker.market.worlds import Worlds
from broker.store import rates as store
from broker.store import snapshots
from broker.store.database import Database
from broker.worlds.catalogue import ClusterRow
from broker.worlds.rates import Curve, in_force
from tests.small_world import OPERATOR, T0, asked, lay_out
from tests.worlds.small import WORLD, changed

OWNER = Caller("key-owner", Role.OWNER, "longdong")
STRANGER = Caller("key-stranger", Role.OWNER, "kingsoft")


def document(*cards: str, bounds: str = "") -> str:
    lines = [f"  - {{cluster: longdong, model: ascend-910b, {card}}}" for card in cards]
    return "\n".join(["rate_cards:", *lines] if lines else []) + (f"\nbounds:\n  - {bounds}" if bounds else "")


def ask(amount: object, begin: int | None = None, end: int | None = None) -> str:
    """A card's text; times in hours from T0 on."""
    text = f"micro_yuan_per_card_hour: {amount}"
    for name, hours in (("valid_from", begin), ("valid_until", end)):
        if hours is not None:
            text += f", {name}: '{(T0 + timedelta(hours=hours)).isoformat()}'"
    return text


class Market:
    """Rates on a small world, and what is asked at a time."""

    def __init__(self, database: Database) -> None:
        self.database, self.woken = database, 0
        self.rates = Rates(database, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def set(self, *cards: str, caller: Caller = OPERATOR, dry_run: bool = False, bounds: str = "") -> list[str]:
        return await self.rates.set(caller, document(*cards, bounds=bounds), now=T0, dry_run=dry_run)

    async def asked(self, hours: float = 0) -> tuple[int, int]:
        """Return what a round of that time sees: the ask, and the version of the card."""
        at = T0 + timedelta(hours=hours)
        async with self.database.hub() as tx:
            view = await snapshots.read(tx, at, 10)
        snapshot = prepare(view, at).snapshot
        [pool] = view.pools
        assert snapshot.pool_ask_micro_yuan_per_card_hour.tolist() == [pool.ask_micro_yuan_per_card_hour]
        return pool.ask_micro_yuan_per_card_hour, pool.rate_card

    async def stored(self) -> int:
        async with self.database.hub() as tx:
            return int(await tx.fetchval("SELECT count(*) FROM rate_cards"))


@pytest.fixture
async def market(database: Database) -> Market:
    return Market(await lay_out(database))


async def test_without_a_card_nothing_is_asked(market: Market) -> None:
    assert await market.asked() == (0, 0)


async def test_a_round_asks_what_its_hour_asks(market: Market) -> None:
    """T0 is four o'clock in the afternoon at Qingyang; noon and one o'clock are green there."""
    async with market.database.hub() as tx:
        await tx.execute("UPDATE hubs SET green_hours = '{12, 13}' WHERE hub = 'qingyang'")

    await market.set(ask("{0-8: 2, 8-24: 3}, green_micro_yuan_per_card_hour: 1"))

    assert [await market.asked(hours) for hours in (0, 7.99, 8, 15.99, 16, 20, 21.99, 22)] == [
        (3, 1), (3, 1), (2, 1), (2, 1), (3, 1), (1, 1), (1, 1), (3, 1),
    ]  # fmt: skip
    assert market.woken == 1


async def test_versions_follow_each_other_and_dated_ones_go_before(market: Market) -> None:
    await market.set(ask(5))

    lines = await market.set(ask(4, 10, 20), ask(6, 15), ask(4, 20, 21))

    assert [await market.asked(hours) for hours in (0, 10, 19.9, 20, 21)] == [(5, 1), (4, 3), (4, 3), (4, 4), (6, 2)]
    assert lines == [
        "rate card of longdong for ascend-910b: 6 from 2026-03-02T07:00+08:00 on",
        "rate card of longdong for ascend-910b: 4 from 2026-03-02T02:00+08:00 until 2026-03-02T12:00+08:00",
        "rate card of longdong for ascend-910b: 4 from 2026-03-02T12:00+08:00 until 2026-03-02T13:00+08:00",
    ]


async def test_the_same_again_changes_nothing(market: Market) -> None:
    cards = (ask(5), ask(6, 30), ask(4, 10, 20))
    bounds = "{model: ascend-910b, floor_micro_yuan_per_card_hour: 4}"
    first = await market.set(*cards, bounds=bounds)

    again = await market.set(*cards, bounds=bounds)
    later = await market.rates.set(OPERATOR, document(ask(5)), now=T0 + timedelta(hours=12))  # it stands then as well

    assert (len(first), again, later) == (4, [], [])
    assert await market.stored() == 3


async def test_a_dry_run_says_it_and_changes_nothing(market: Market) -> None:
    lines = await market.set(ask(5), dry_run=True)

    assert lines == ["rate card of longdong for ascend-910b: 5 from 2026-03-01T16:00+08:00 on"]
    assert (await market.stored(), market.woken) == (0, 0)


REFUSED: dict[str, tuple[tuple[str, ...], type[BrokerError], str]] = {
    "it begins when another one does": ((ask(7, 15),), RateCardOverlaps, "rate_cards[0].valid_from"),
    "it meets a dated one": ((ask(8, 3, 11),), RateCardOverlaps, "rate_cards[0].valid_until"),
    "two of a document meet": ((ask(8, 30, 32), ask(8, 31, 33)), RateCardOverlaps, "rate_cards[1].valid_until"),
    "a right one beside a wrong one": ((ask(8, 40), ask(7, 15)), RateCardOverlaps, "rate_cards[1].valid_from"),
    "below the floor": ((ask("{0-1: 1, 1-24: 9}"),), AskOutOfBounds, "rate_cards[0]"),
    "above the cap": ((ask("9, green_micro_yuan_per_card_hour: 21"),), AskOutOfBounds, "rate_cards[0]"),
    "the past": ((ask(5, -1),), InvalidRequest, "rate_cards[0].valid_from"),
    "no length": ((ask(5, 3, 3),), InvalidRequest, "rate_cards[0].valid_until"),
    "negative": ((ask(-5),), InvalidRequest, "rate_cards[0].micro_yuan_per_card_hour"),
    "beyond what is counted": ((ask(10**12 + 1),), InvalidRequest, "rate_cards[0].micro_yuan_per_card_hour"),
}


@pytest.mark.parametrize(("cards", "kind", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_refused_changes_nothing(
    market: Market, cards: tuple[str, ...], kind: type[BrokerError], field: str
) -> None:
    bounds = "{model: ascend-910b, floor_micro_yuan_per_card_hour: 2, cap_micro_yuan_per_card_hour: 20}"
    await market.set(ask(5), ask(6, 15), ask(4, 10, 20), bounds=bounds)

    with pytest.raises(kind) as refused:
        await market.set(*cards)

    assert [each.field for each in refused.value.fields] == [field]
    assert await market.stored() == 3


async def test_unknown_names_are_told_with_the_nearest(market: Market) -> None:
    text = "rate_cards: [{cluster: longdnog, model: ascend-910, micro_yuan_per_card_hour: 1}]\nbounds: [{model: a80}]"

    with pytest.raises(InvalidRequest, match="did you mean 'longdong'") as refused:
        await market.rates.set(OPERATOR, text, now=T0)

    assert [each.field for each in refused.value.fields] == [
        "bounds[0].model", "rate_cards[0].cluster", "rate_cards[0].model",
    ]  # fmt: skip


async def test_a_dated_card_needs_one_that_stands(market: Market) -> None:
    """Else a card would cost nothing before and after it."""
    with pytest.raises(InvalidRequest, match="add one without valid_until first"):
        await market.set(ask(5, 1, 2))


async def test_owners_set_their_own_cards_and_no_bounds(market: Market) -> None:
    await market.set(ask(5), caller=OWNER)

    with pytest.raises(RoleRefused, match="is not kingsoft's"):
        await market.set(ask(6), caller=STRANGER)
    with pytest.raises(RoleRefused, match="set by operators"):
        await market.set(bounds="{model: ascend-910b}", caller=OWNER)
    seen = [len((await market.rates.page(who, "", "", ("", "", 0), 9, now=T0)).cards) for who in (OWNER, STRANGER)]

    assert await market.stored() == 1
    assert seen == [1, 0]


async def test_new_bounds_keep_cards_and_name_those_that_they_would_refuse(market: Market) -> None:
    await market.set(ask(5), ask(1, 9))

    lines = await market.set(bounds="{model: ascend-910b, floor_micro_yuan_per_card_hour: 3}")

    assert lines == [
        "bounds of ascend-910b: floor 3, cap none",
        "kept: version 2 of longdong for ascend-910b asks 1, below the floor of 3",
    ]
    assert await market.asked(9) == (1, 2)


async def test_cards_cannot_be_changed_by_any_role_of_the_broker(market: Market) -> None:
    await market.set(ask(5))

    for statement in ("UPDATE rate_cards SET version = 2", "DELETE FROM rate_cards"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with market.database.hub() as tx:
                await tx.execute(statement)


async def test_the_store_and_the_rule_agree_which_card_holds(market: Market) -> None:
    await market.set(ask(5), ask(6, 15), ask(4, 10, 20), ask(3, 25, 30))
    async with market.database.hub() as tx:
        cards = (await store.of_clusters(tx, ["longdong"]))["longdong", "ascend-910b"]
        for half_hours in range(80):
            at = T0 + timedelta(minutes=30 * half_hours)
            assert (await store.in_force(tx, at))["longdong", "ascend-910b"] == in_force(cards, at)


async def test_a_world_adds_a_card_only_where_it_asks_otherwise(market: Market) -> None:
    worlds = Worlds(market.database, wake=lambda: None)
    await worlds.apply(OPERATOR, WORLD, now=T0)

    again = await worlds.apply(OPERATOR, WORLD, now=T0 + timedelta(hours=1))
    silent = changed(lambda w: w["clusters"][0].pop("asks"))
    await worlds.apply(OPERATOR, silent, now=T0 + timedelta(hours=2))
    other = changed(
        lambda w: w["clusters"][0]["asks"]["ascend-910b"].update(micro_yuan_per_card_hour={"0-12": 1, "12-24": 2})
    )
    lines = await worlds.apply(OPERATOR, other, now=T0 + timedelta(hours=3))

    assert [line for line in again if "kept" not in line] == []
    assert "cluster longdong: asks ascend-910b changed" in lines
    assert [await market.asked(hours) for hours in (0, 2.5, 3, 9)] == [(3_500_000, 1), (3_500_000, 1), (2, 2), (1, 2)]


async def test_worlds_and_registrations_keep_the_bounds_too(market: Market) -> None:
    await market.set(bounds="{model: ascend-910b, cap_micro_yuan_per_card_hour: 9}")
    operations = Operations(market.database, Identity(market.database), wake=lambda: None)
    row = ClusterRow("north", "qingyang", "kingsoft", "North", {"ascend-910b": Curve.flat(10)})

    with pytest.raises(AskOutOfBounds) as world:
        await Worlds(market.database, wake=lambda: None).apply(OPERATOR, WORLD, now=T0)
    with pytest.raises(AskOutOfBounds) as registration:
        await operations.register_cluster(OPERATOR, row, now=T0)

    assert [each.field for each in world.value.fields] == ["clusters[0].asks.ascend-910b"]
    assert [each.field for each in registration.value.fields] == ["ask_micro_yuan_per_card_hour[ascend-910b]"]
    assert await market.stored() == 0
    await operations.register_cluster(OPERATOR, replace(row, asks={"ascend-910b": Curve.flat(9)}), now=T0)


async def test_a_card_that_begins_at_the_same_time_is_refused_by_the_database_as_well(market: Market) -> None:
    async with market.database.hub() as tx:
        await asked(tx, "longdong", "ascend-910b", 1)

    with pytest.raises(RateCardOverlaps):
        async with market.database.hub() as tx:
            await asked(tx, "longdong", "ascend-910b", 2)
