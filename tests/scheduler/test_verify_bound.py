"""The bound that the verifier derives from prices: by hand, against all that can be reached, and at hostile prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exhaustive import no_prices, optimal_plan, optimum, reachable, sealed, tier_names
from planning_worlds import random_ruled_world, snapshot
from test_verify import PLACEMENTS, POLICY, sound, with_prices, world

from scheduler.plan import Placement, Prices
from scheduler.snapshot import Snapshot
from scheduler.verify import Rule, violations
from scheduler.verify_bound import Bounds, Wanted, complaint
from scheduler.verify_worth import Market

MEANT_FOR_ALL = 1_200_000
"""Worth of a job of `planning_worlds.arrays`: 10 * 0.32 - 2 yuan, priority standard."""


def bound(here: Snapshot, prices: Prices, **changes: Any) -> int:
    """Return the bound of one tier."""
    market = Market(here, POLICY)
    level = (0,) * len(here.quota_names)
    tier = replace(Wanted("worth-0", 0, (), level, prices), **changes)
    assert complaint(market, tier) is None
    return Bounds(market, [tier]).values[0]


def priced(here: Snapshot, **changes: Any) -> Prices:
    return replace(no_prices(here), **changes)


def test_at_no_price_every_job_runs() -> None:
    """The bound is then the sum of the best worths; a job that runs nowhere counts nothing."""
    here = snapshot(jobs=3, job_priority=[1, 2, 1], job_ceiling_micro_yuan_per_pflops_hour=[10**7, 10**7, 10**6])

    assert bound(here, no_prices(here)) == 5 * MEANT_FOR_ALL


def test_cards_cpu_and_memory_by_hand() -> None:
    """Two free cards on one node: jobs pay for card, core and GiB, and the node is rented out whole.

    A core costs 1,001: the job's is 1,001, of 64 cores 64,064. A GiB costs 7: of 500 GiB that is 3,500. The node
    without a free card is no capacity.
    """
    here = snapshot(jobs=3, node_free_cards=[2, 0])
    prices = priced(
        here,
        block_cards=(1, 4),
        cards_micro_yuan_per_block_hour=((1_000_000, 5),),
        cpu_micro_yuan_per_core_hour=(1_001,),
        memory_micro_yuan_per_gib_hour=(7,),
    )

    assert bound(here, prices) == 3 * (MEANT_FOR_ALL - 1_000_000 - 1_001 - 7) + 2 * 1_000_000 + 64_064 + 3_500


@pytest.mark.parametrize(
    ("changes", "units"),
    [
        ({"block_cards": (2,), "cards_micro_yuan_per_block_hour": ((100,),)}, (2 * 2, 4 + 2)),  # within the domain
        ({"block_cards": (3,), "cards_micro_yuan_per_block_hour": ((100,),)}, (2 * 1, 2 + 1)),
        ({"domain_blocks": ((1, 4),), "domains_micro_yuan_per_hour": ((100,),)}, (10 // 4, 13 // 4)),
        ({"domain_blocks": ((4, 2),), "domains_micro_yuan_per_hour": ((100,),)}, ((1 + 1) // 2, (2 + 1) // 2)),
        ({"slice_milli": (300,), "slices_micro_yuan_per_slice_hour": ((100,),)}, (10 * 3, 13 * 3 + 650 // 300)),
    ],
)
def test_rows_of_a_gang_in_a_domain_by_hand(changes: dict[str, Any], units: tuple[int, int]) -> None:
    """Two tasks of five cards within a domain; free are 8 and 5 cards there, and 650 milli of a split card."""
    here = snapshot(
        jobs=1,
        shape_tasks=[2],
        shape_cards_per_task=[5],
        shape_within=[1],
        node_free_cards=[8, 5],
        split_node=[1],
        split_free_milli=[650],
        split_shares=[1],
    )
    needs, has = units

    assert bound(here, priced(here, **changes)) == 10 * MEANT_FOR_ALL - needs * 100 + has * 100


@pytest.mark.parametrize(
    ("within", "unit"),
    [(0, {"blocks": 2, "domains": 0}), (1, {"blocks": 2, "domains": 1}), (2, {"blocks": 1, "domains": 1})],
)
def test_how_close_a_gang_must_be_decides_what_it_pays(within: int, unit: dict[str, int]) -> None:
    """Two tasks of two cards: two blocks of two cards on nodes, or one of four; across domains no block of four."""
    here = snapshot(jobs=1, shape_tasks=[2], shape_cards_per_task=[2], shape_within=[within])
    size = 4 if within == 2 else 2
    blocks = priced(here, block_cards=(size,), cards_micro_yuan_per_block_hour=((100,),))
    domains = priced(here, domain_blocks=((1, 4),), domains_micro_yuan_per_hour=((100,),))

    assert bound(here, blocks) == 4 * MEANT_FOR_ALL - unit["blocks"] * 100 + 2 * (8 // size) * 100
    assert bound(here, domains) == 4 * MEANT_FOR_ALL - unit["domains"] * 100 + 4 * 100


def test_shares_pay_for_slices_only() -> None:
    """Three tasks of 300 milli: three slices of 250 each; of 16 whole cards and 600 milli there are 66 slices."""
    here = snapshot(
        jobs=1,
        pool_ask_micro_yuan_per_card_hour=[0],
        shape_tasks=[3],
        shape_share_milli=[300],
        slice_start=[0, 1],
        slice_milli=[300],
        node_cards=[9, 8],
        split_node=[0],
        split_free_milli=[600],
        split_shares=[1],
    )
    prices = priced(
        here,
        cards_micro_yuan_per_block_hour=((0,),),
        slice_milli=(250, 300),
        slices_micro_yuan_per_slice_hour=((100, 1),),
        domain_blocks=((1, 1),),
        domains_micro_yuan_per_hour=((0,),),
    )

    assert bound(here, prices) == 3 * 960_000 - 3 * 101 + 66 * 100 + (16 * 3 + 2) * 1


def test_power_and_quotas_by_hand() -> None:
    """One job of one card: 500 W with cooling 600 W, 320,000 milli-TFLOPS.

    A kWh costs 1,001, so 600 W are 600 (rounded down), and 2,000 free W are rented for 2,002. A PFLOPS of the leaf
    costs 11, of the root 7, and its guarantee pays 3: a job pays 15 * 0.32, that is 4. The rent of 5 and 1.5 PFLOPS
    is rounded up; of the guarantee 0.3 PFLOPS are reached, which is taken off, rounded down.
    """
    here = snapshot(
        jobs=1,
        model_card_watts=[500],
        hub_pue_ppm=[1_200_000],
        hub_pace_watts=[2_500],
        hub_used_watts=[500],
        quota_names=("root", "leaf"),
        quota_parent=[-1, 0],
        quota_guaranteed_milli_tflops=[4_500_000, 1_000_000],
        quota_borrow_milli_tflops=[1_000_000, 1_000_000],
        quota_lend_milli_tflops=[-1, -1],
        quota_used_milli_tflops=[500_000, 500_000],
        tenant_names=("city",),
        tenant_quota=[[1]],
        job_tenant=[0],
    )
    prices = priced(
        here,
        power_micro_yuan_per_kwh=(1_001,),
        quota_micro_yuan_per_pflops_hour=(7, 11),
        guarantee_micro_yuan_per_pflops_hour=(0, 3),
    )

    found = bound(here, prices, level=(0, 300_000))

    assert found == (MEANT_FOR_ALL - 600 - 4) + 2_002 + 7 * 5 + 17 - 0
    # a guarantee that pays more than the quotas cost: the job is paid 98,988 * 0.32, rounded up
    dear = replace(prices, guarantee_micro_yuan_per_pflops_hour=(99_000, 6))
    assert bound(here, dear, level=(10, 300_000)) == (MEANT_FOR_ALL - 600 + 31_677) + 2_002 + 35 + 17 - 0 - 1


def test_the_bound_of_guarantees_by_hand() -> None:
    """Guaranteed and unused are 4.5, 2 and 2 PFLOPS. At a price of a quarter, job-0 adds a quarter of its use."""
    here = world()
    prices = priced(here, guarantee_micro_yuan_per_pflops_hour=(0, 250_000, 0))
    wanted = {"name": "guarantee", "number": -1}

    assert bound(here, no_prices(here), **wanted) == 8_500_000
    assert bound(here, prices, **wanted) == 4_500_000 + 1_500_000 + 2_000_000 + 2_560_000 // 4


@pytest.mark.parametrize(("ppm", "expected"), [(0, MEANT_FOR_ALL), (10**6, 0), (2 * 10**6, 0), (999_999, 2)])
def test_worth_above_is_not_bought_twice(ppm: int, expected: int) -> None:
    """One card at the worth of either of two jobs; the first is of the higher tier, and placed.

    If its worth counts fully, nothing is left to gain: twice counted, it gains 1.2, and 2.4 are taken off. At 999,999
    millionths it is worth no more than the card costs, and 1,199,998.8 are taken off, rounded down.
    """
    here = snapshot(jobs=2, job_tier=[0, 1], node_free_cards=[1, 0])
    prices = priced(here, cards_micro_yuan_per_block_hour=((MEANT_FOR_ALL,),), tier_ppm=(ppm,))

    assert bound(here, prices, name="worth-1", number=1, above=((0, MEANT_FOR_ALL),)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"block_cards": (2, 1)},
        {"block_cards": (0,)},
        {"block_cards": (1, 2)},
        {"block_cards": (2**70,)},
        {"cards_micro_yuan_per_block_hour": ((0,),)},
        {"cards_micro_yuan_per_block_hour": ((0,), (-1,))},
        {"cpu_micro_yuan_per_core_hour": (-1, 0)},
        {"cpu_micro_yuan_per_core_hour": (0,)},
        {"memory_micro_yuan_per_gib_hour": (0, 0, 0)},
        {"slice_milli": (250,)},
        {"slice_milli": (250,), "slices_micro_yuan_per_slice_hour": ((1,), (-1,))},
        {"slices_micro_yuan_per_slice_hour": ((), ())},
        {"domain_blocks": ((1, 4), (1, 4)), "domains_micro_yuan_per_hour": ((1, 1), (1, 1))},
        {"domain_blocks": ((1, 4),), "domains_micro_yuan_per_hour": ((1,), ())},
        {"domain_blocks": ((4,),), "domains_micro_yuan_per_hour": ((1,), (1,))},
        {"domain_blocks": ((0, 4),), "domains_micro_yuan_per_hour": ((1,), (1,))},
        {"power_micro_yuan_per_kwh": ()},
        {"power_micro_yuan_per_kwh": (-1, 0)},
        {"power_micro_yuan_per_kwh": (0, 1)},  # the second hub has neither cap nor pace
        {"quota_micro_yuan_per_pflops_hour": ()},
        {"quota_micro_yuan_per_pflops_hour": (0, -1, 0)},
        {"quota_micro_yuan_per_pflops_hour": (0, 0, 1)},  # the third quota has no limit
        {"guarantee_micro_yuan_per_pflops_hour": (0, 0)},
        {"guarantee_micro_yuan_per_pflops_hour": (0, -1, 0)},
        {"tier_ppm": (0,)},
    ],
)
def test_prices_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    """Of the wrong length, negative, or of a rule that there is not."""
    assert Rule.BAD_PRICES in {violation.rule for violation in violations(world(), with_prices(**changes))}


@pytest.mark.parametrize(
    ("tier", "changes"),
    [
        (0, {"guarantee_micro_yuan_per_pflops_hour": (0, 1_000_001, 0)}),  # would count for more than itself
        (0, {"tier_ppm": (0,)}),
        (2, {"tier_ppm": ()}),
        (2, {"tier_ppm": (-1,)}),
    ],
)
def test_prices_of_tiers_that_cannot_be_are_refused(tier: int, changes: dict[str, Any]) -> None:
    assert Rule.BAD_PRICES in {violation.rule for violation in violations(world(), with_prices(tier, **changes))}


def test_a_guarantee_in_use_has_no_price() -> None:
    """A price on what cannot be added to would be a gift to its tenants' jobs."""
    full = world(quota_used_milli_tflops=[2_000_000, 2_000_000, 0], quota_borrow_milli_tflops=[0, 3_000_000, -1])
    plan = sealed(full, POLICY, PLACEMENTS[3:])
    prices = replace(plan.tiers[1].prices, guarantee_micro_yuan_per_pflops_hour=(0, 1, 0))
    tiers = (plan.tiers[0], replace(plan.tiers[1], prices=prices), plan.tiers[2])

    assert violations(full, plan) == []
    assert [v.rule for v in violations(full, replace(plan, tiers=tiers))] == [Rule.BAD_PRICES]


@pytest.mark.parametrize("scale", [1, 10**3, 10**9, 10**18, 10**40])
@pytest.mark.parametrize(
    "name",
    [
        "cards_micro_yuan_per_block_hour",
        "cpu_micro_yuan_per_core_hour",
        "power_micro_yuan_per_kwh",
        "quota_micro_yuan_per_pflops_hour",
        "guarantee_micro_yuan_per_pflops_hour",
        "tier_ppm",
    ],
)
def test_absurd_prices_are_counted_to_the_last_integer(name: str, scale: int) -> None:
    """Whatever the prices, the plan sealed at them is sound, one more is not, and no bound is below what it bounds."""
    here = world()
    factor: Any = {
        "cards_micro_yuan_per_block_hour": ((7 * scale,), (3 * scale,)),
        "power_micro_yuan_per_kwh": (7 * scale, 0),
        "quota_micro_yuan_per_pflops_hour": (7 * scale, 3 * scale, 0),
        "guarantee_micro_yuan_per_pflops_hour": (7 * scale, 3 * scale, scale),
        "tier_ppm": (7 * scale,),
    }.get(name, (7 * scale, 3 * scale))
    last = replace(no_prices(here, 1), **{name: factor})

    plan = sealed(here, POLICY, PLACEMENTS, (no_prices(here), no_prices(here), last))
    off = (*plan.tiers[:2], replace(plan.tiers[2], bound=plan.tiers[2].bound + 1))

    assert violations(here, plan) == []
    assert {v.rule for v in violations(here, replace(plan, tiers=off))} == {Rule.WRONG_BOUND}
    assert plan.tiers[2].bound >= reachable(here, POLICY, plan)[2]


def test_wide_and_narrow_arithmetic_agree() -> None:
    """A price so large that 64 bits do not do, on a row that nobody can use, changes the way but not the result."""
    here = snapshot(jobs=2, cards=8, shape_cards_per_task=[2])
    narrow = priced(here, block_cards=(1, 2), cards_micro_yuan_per_block_hour=((3, 50_000),))
    wide = priced(here, block_cards=(1, 2, 9), cards_micro_yuan_per_block_hour=((3, 50_000, 10**30),))

    assert bound(here, wide) == bound(here, narrow)


def _random_prices(draw: np.random.Generator, here: Snapshot, above: int) -> Prices:
    pools, hubs, quotas = len(here.pool_names), len(here.hub_names), len(here.quota_names)
    market = Market(here, POLICY)
    top = int(draw.choice([10, 10**4, 10**6]))

    def some(number: int, most: int = top) -> tuple[int, ...]:
        return tuple((draw.integers(0, most, number) * (draw.random(number) < 0.6)).tolist())

    def where(prices: tuple[int, ...], rule: list[Any]) -> tuple[int, ...]:
        return tuple(price if there else 0 for price, there in zip(prices, rule, strict=True))

    capped = [watts is not None for watts in market.free_watts]
    return Prices(
        block_cards=(1, 2, 3),
        cards_micro_yuan_per_block_hour=tuple(some(3) for _ in range(pools)),
        cpu_micro_yuan_per_core_hour=some(pools),
        memory_micro_yuan_per_gib_hour=some(pools),
        slice_milli=(125, 250, 500),
        slices_micro_yuan_per_slice_hour=tuple(some(3) for _ in range(pools)),
        domain_blocks=((1, 4), (2, 2)),
        domains_micro_yuan_per_hour=tuple(some(2) for _ in range(pools)),
        power_micro_yuan_per_kwh=where(some(hubs), capped) if any(capped) else (),
        quota_micro_yuan_per_pflops_hour=where(some(quotas), [x is not None for x in market.quotas.limit]),
        guarantee_micro_yuan_per_pflops_hour=where(some(quotas, 10**6), market.quotas.headroom),
        tier_ppm=some(above, 3 * 10**6),
    )


@pytest.mark.parametrize("seed", range(60))
def test_no_plan_as_good_above_exceeds_the_bound_of_a_tier(seed: int) -> None:
    """At any prices, and whatever a plan reaches above: exhaustive search finds nothing better than the bound."""
    here = random_ruled_world(seed)
    draw = np.random.Generator(np.random.PCG64(seed))
    best = optimal_plan(here, POLICY)
    names = tier_names(here)
    # new split cards are numbered in a row, so placements that name cards stay
    worse: list[Placement] = [each for each in best.placements if each.cards or draw.random() < 0.6]

    for placements in (list(best.placements), worse):
        for _ in range(3):
            above = [max(0, at - names.count("guarantee")) for at in range(len(names))]
            prices = [_random_prices(draw, here, number) for number in above]
            plan = sealed(here, POLICY, placements, prices)
            most = reachable(here, POLICY, plan)

            assert violations(here, plan) == []
            for tier, reached in zip(plan.tiers, most, strict=True):
                assert tier.objective <= reached <= tier.bound
    assert optimum(here, POLICY) == tuple(tier.objective for tier in best.tiers)


def test_the_plan_by_hand_is_bounded_by_what_can_be_reached() -> None:
    """job-2 could run at its full size, and the guarantees would be used more."""
    most = reachable(world(), POLICY, sound())

    assert all(tier.objective <= reached <= tier.bound for tier, reached in zip(sound().tiers, most, strict=True))
