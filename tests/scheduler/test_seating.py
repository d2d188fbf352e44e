"""Seats: what the solver decides about large gangs holds every row, and is better than filling pool by pool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from planning_worlds import gangs, random_ruled_world, snapshot

from scheduler.admission import DUE, admitted, wishes_at
from scheduler.choices import Choices, choose, of_upper_tiers
from scheduler.ground import Terrain
from scheduler.limits import LEFT, NO_LIMIT
from scheduler.linear import chain_uses
from scheduler.opening import known_seats, prices_of, seats_of
from scheduler.planner import plan
from scheduler.policy import OpeningSeat, Policy
from scheduler.rows import Costs, PriceVector, Rows, capacity_rows
from scheduler.seating import Seating
from scheduler.verify import violations

PLAIN = Policy()


def no_prices(rows: Rows, above: int = 0) -> PriceVector:
    """Prices of 0; worth of tiers above counts as it is."""
    sizes = (rows.hub_free_watts.size, rows.headroom.size, rows.headroom.size)
    zeros = (np.zeros(size, dtype=np.int64) for size in sizes)
    return PriceVector(np.zeros_like(rows.capacity), *zeros, np.full(above, 10**6))


def tiers_of_worth(choices: Choices) -> tuple[int, ...]:
    return tuple(sorted(set(choices.groups.tier.tolist()))) or (0,)


def test_seats_fill_a_pool_where_the_best_gang_alone_would_leave_a_hole() -> None:
    """Five nodes: gangs of three nodes pay most for a card, but two and three fill it, and two threes do not fit."""
    world = gangs((3, 8), (3, 8), (2, 8), ceilings=[10_000_000, 9_900_000, 9_000_000], pools=1, nodes_per_pool=5)
    choices = choose(world, PLAIN)
    rows = capacity_rows(choices)

    seats = Seating(choices, rows, (0,), 0).seats(no_prices(rows))

    assert seats is not None
    assert choices.groups.shape[choices.pairs.group[seats.pairs]].tolist() == [0, 2]


def test_seats_of_random_worlds_hold_all_rows_power_and_quotas() -> None:
    seated = 0
    for seed in range(60):
        choices = choose(random_ruled_world(seed), PLAIN)
        rows, tiers = capacity_rows(choices), tiers_of_worth(choices)
        seating = Seating(choices, rows, tiers, 0)
        for tier in tiers[:-1]:
            level = seating.level(tier)
            assert level is None or level >= 0

        seats = seating.seats(no_prices(rows, len(tiers) - 1))

        assert seats is not None
        pair, gangs_of = np.unique(seats.pairs, return_counts=True)
        kind, pool = choices.pairs.kind[pair], choices.pairs.pool[pair]
        used = np.zeros_like(rows.capacity)
        np.add.at(used, pool, rows.use[kind] * gangs_of[:, None])
        assert (used <= rows.capacity).all(), seed
        taken = np.bincount(choices.pairs.group[pair], weights=gangs_of, minlength=choices.groups.count.size)
        assert (taken <= choices.groups.count).all(), seed
        if rows.meter.size:
            hub = choices.limits.pool_hub[pool]
            watts = np.bincount(hub, weights=rows.meter[kind, pool] * gangs_of, minlength=rows.hub_free_watts.size)
            assert (watts <= rows.hub_free_watts).all(), seed
        if choices.limits.parent.size:
            at, quota, use = chain_uses(choices, pair)
            counted = np.bincount(quota, weights=use * gangs_of[at], minlength=choices.limits.parent.size)
            room = np.maximum(choices.limits.account[:, LEFT], 0)
            assert (counted <= np.where(room < NO_LIMIT, room, np.inf)).all(), seed
        seated += seats.pairs.size
    assert seated > 60


def test_the_level_of_a_tier_above_is_kept() -> None:
    """An emergency takes two of three nodes; the gang that pays most would need them, so the smaller one is seated."""
    world = gangs(
        (2, 8), (3, 8), (1, 8), ceilings=[8_000_000, 10_000_000, 9_000_000], nodes_per_pool=3, job_tier=[0, 1, 1]
    )
    choices = choose(world, PLAIN)
    rows = capacity_rows(choices)
    seating = Seating(choices, rows, (0, 1), 0)
    level = seating.level(0)
    assert level is not None
    assert level > 0

    seats = seating.seats(no_prices(rows, 1))

    assert seats is not None
    assert seats.worth[0] == level
    assert choices.groups.shape[choices.pairs.group[seats.pairs]].tolist() == [0]


def test_the_groups_of_upper_tiers_stand_first() -> None:
    choices = choose(gangs((1, 1), (1, 2), (1, 4), job_tier=[1, 0, 2]), PLAIN)

    upper = of_upper_tiers(choices, 1)

    assert upper.groups.tier.tolist() == [0, 1]
    assert upper.pairs.pool.size == int(upper.pairs.start[-1]) == 2
    assert upper.kinds is choices.kinds


def test_a_guarantee_is_served_by_who_loses_least_by_it() -> None:
    """Both tenants' jobs are due half of what they ask for; those who can have it where they are best come first."""
    one_quota = {
        "quota_names": ("q",),
        "quota_parent": [-1],
        "quota_guaranteed_milli_tflops": [320_000],
        "quota_borrow_milli_tflops": [-1],
        "quota_lend_milli_tflops": [-1],
        "quota_used_milli_tflops": [0],
        "tenant_names": ("t",),
        "tenant_quota": [[0]],
    }
    world = snapshot(
        jobs=3,
        pools=2,
        nodes_per_pool=1,
        cards=1,
        job_tenant=[0, 0, -1],
        job_ceiling_micro_yuan_per_pflops_hour=[8_000_000, 9_000_000, 20_000_000],
        **one_quota,
    )
    choices = choose(world, PLAIN)
    rows, terrain = capacity_rows(choices), Terrain(choices)
    votes = np.zeros(choices.pairs.pool.size, dtype=np.int16)
    wishes = wishes_at(choices, terrain, Costs.none(choices), votes)

    group, _, gang, why = admitted(choices, terrain, rows, wishes, np.zeros(0, dtype=np.int64)).T

    due = group[why == DUE]
    assert gang[why == DUE].tolist() == [1]
    assert choices.groups.ceiling[due].tolist() == [9_000_000]
    assert choices.groups.ceiling[group].tolist()[1:] == [20_000_000]


def test_a_gang_that_came_later_takes_the_seat_of_one_that_is_worth_less() -> None:
    """What is seated comes first; the first step asks whether those who wait are worth more."""
    before = gangs((2, 8), (1, 8), ceilings=[8_000_000, 9_000_000], pools=1, nodes_per_pool=3)
    made = plan(before, Policy(effort=8))
    seated = Policy(opening_prices=prices_of(before, made), opening_seats=seats_of(before, made))
    after = gangs((2, 8), (1, 8), (2, 8), ceilings=[8_000_000, 9_000_000, 10_000_000], pools=1, nodes_per_pool=3)

    first, found = (plan(after, replace(seated, effort=effort)) for effort in (0, 1))

    assert [each.job_id for each in first.placements] == ["job-0", "job-1"]
    assert [each.job_id for each in found.placements] == ["job-1", "job-2"]
    assert violations(after, found) == []
    assert plan(after, found.policy).to_bytes() == found.to_bytes()


def test_seats_of_a_round_are_found_again_by_name_and_what_is_gone_is_dropped() -> None:
    world = gangs((2, 8), (1, 8), (2, 8), nodes_per_pool=4)
    made = plan(world, Policy(effort=5))
    seats = seats_of(world, made)
    odd = (OpeningSeat("nobody", "cluster/pool-0", 2, 0), OpeningSeat("job-0", "nowhere", 2, 0), *seats, *seats)
    odd = (*odd, OpeningSeat("job-1", "cluster/pool-0", 2**70, 2**70))

    found = known_seats(choose(world, PLAIN), replace(PLAIN, opening_seats=odd))

    assert {seat.job for seat in seats} == {each.job_id for each in made.placements}
    assert found.size == np.unique(found).size == len(seats)
    warm = plan(world, Policy(effort=0, opening_seats=odd))
    assert violations(world, warm) == []
    assert Policy.from_json(warm.policy.to_json()) == warm.policy
