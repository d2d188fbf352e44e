"""Spot prices and the prices of gangs that start are those of the bound, rounded as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, snapshot

from scheduler.placer import last_prices
from scheduler.plan import Placement
from scheduler.planner import plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.spot import Size, StartPrice, spot_prices, start_prices
from scheduler.worth_split import worth_split

POOL = "cluster/pool-0"


def price(row: str, amount: int, owner: str = POOL) -> OpeningPrice:
    return OpeningPrice("worth-1", owner, row, amount)


def spot(world: object, *prices: OpeningPrice) -> tuple[int | None, ...]:
    """Return the scarcity of the only pool, by size."""
    [found] = spot_prices(world, prices, world.pool_names, [0])  # type: ignore[attr-defined,arg-type]
    return found.scarcity_micro_yuan_per_card_hour


def test_a_card_in_a_larger_block_is_dearer() -> None:
    """A card pays 100; a task of eight pays for eight cards and one block of eight: 100 + 80 / 8."""
    assert spot(snapshot(), price("block 1", 100), price("block 8", 80)) == (100, 100, 100, 110, 110, 110)


def test_prices_are_rounded_up_for_everybody() -> None:
    assert spot(snapshot(), price("block 8", 81)) == (0, 0, 0, 11, 11, 11)


def test_whole_nodes_close_together_pay_for_their_domain() -> None:
    assert spot(snapshot(), price("domain 2 x 8", 160))[Size.LARGER] == 10
    assert spot(snapshot(), price("domain 2 x 8", 160))[Size.NODE] == 0


def test_what_no_free_nodes_hold_has_no_price() -> None:
    """Nobody has dealt in it: it is not free of charge."""
    world = snapshot(node_free_cards=[4, 0], node_open=[True, True])

    assert spot(world, price("block 1", 100)) == (100, 100, 100, None, None, None)
    assert spot(snapshot(node_open=[False, False]), price("block 1", 100)) == (None,) * 6
    assert spot(snapshot(cards=4), price("block 4", 4))[Size.EIGHT] is None  # no node has eight at all
    assert spot(snapshot(cards=4), price("block 4", 4))[Size.NODE] == 1


def test_of_zones_the_dearest_counts() -> None:
    found = spot_prices(
        snapshot(), [price("block 1", 5), price("block 1", 9, f"{POOL} until 7")], [POOL, f"{POOL} until 7"], [0, 0]
    )

    assert found[0].scarcity_micro_yuan_per_card_hour[Size.ONE] == 9


def test_without_prices_or_pools_nothing_is_scarce() -> None:
    assert spot(snapshot()) == (0,) * 6
    assert start_prices(snapshot(), (), ()) == ()


def test_power_is_scarce_too() -> None:
    """A card of 400 W at a PUE of 1 draws 0.4 kW."""
    world = replace(
        snapshot(),
        hub_power_cap_watts=np.array([10_000]),
        model_card_watts=np.array([400]),
        hub_pue_ppm=np.array([1_000_000]),
    )

    assert spot(world, price("power", 1_000, "qingyang"))[Size.ONE] == 400


def test_a_gang_never_pays_more_than_its_ceiling() -> None:
    """10 yuan per PFLOPS-hour are 3.2 yuan for a card of 320 TFLOPS: 1.2 above the ask of 2."""
    world = gangs((1, 8), ceilings=[10_000_000])
    placed = [Placement("job-0", 0, 0, (0,), (1,), 1)]

    assert start_prices(world, [price("block 8", 4_000_000)], placed) == (StartPrice(2_000_000, 500_000),)
    assert start_prices(world, [price("block 8", 80_000_000)], placed) == (StartPrice(2_000_000, 1_200_000),)


def test_a_promised_gang_that_starts_when_more_is_asked_pays_its_ceiling() -> None:
    """Its start was promised in a cheaper hour; 6 yuan for a PFLOPS-hour are 1.92 yuan for a card, and 2 are asked."""
    world = gangs((1, 8), ceilings=[6_000_000])
    placed = [Placement("job-0", 0, 0, (0,), (1,), 1)]

    assert start_prices(world, [price("block 8", 4_000_000)], placed) == (StartPrice(1_920_000, 0),)


def test_prices_beyond_all_sense_overflow_nothing() -> None:
    world = gangs((1, 8), ceilings=[10**12])
    found = start_prices(world, [price("block 8", 2**70)], [Placement("job-0", 0, 0, (0,), (1,), 1)])

    assert 0 <= found[0].scarcity_micro_yuan_per_card_hour <= 10**10
    assert all(each is not None and each >= 0 for each in spot(world, price("block 1", 2**70)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_a_gang_pays_is_what_others_would_within_what_its_city_pays(seed: int) -> None:
    """Against the split of its worth, which is derived part by part for one job."""
    world = random_ruled_world(seed, jobs=14, nodes_per_pool=3)
    made = plan(world, Policy(effort=1))

    found = start_prices(world, last_prices(world, made), made.placements)

    for each, start in zip(made.placements, found, strict=True):
        tasks, shape = sum(each.tasks), int(world.job_shape[world.job_id.index(each.job_id)])
        split = worth_split(world, made.policy, made.prices, each.job_id, each.nodes, tasks, world.taken_at_s)
        assert split is not None
        left = split.gross - split.asks - split.energy - split.transfer
        cost = split.cost.blocks + split.cost.slices + split.cost.domains + split.cost.power
        share = int(world.shape_share_milli[shape])
        paid = max(0, min(cost, left))
        if share:
            assert start.scarcity_micro_yuan_per_card_hour * tasks * share // 1000 <= paid
        else:
            cards = tasks * int(world.shape_cards_per_task[shape])
            assert start.scarcity_micro_yuan_per_card_hour == paid // cards
        assert start.ask_micro_yuan_per_card_hour == world.pool_ask_micro_yuan_per_card_hour[each.pool]
