"""Worlds at the ends of what is allowed: a plan, never an untyped error. Each broke the planner once."""

from __future__ import annotations

import resource
from dataclasses import replace

import numpy as np
import pytest
from planning_worlds import gangs, random_ruled_world

from benchmarks.worlds.national import national
from benchmarks.worlds.trace import real_jobs
from scheduler.opening import prices_of, seats_of
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import violations

SEATED = Policy(seats_from_pairs=0)
HEAVY = replace(
    SEATED,
    priority_percent=(1, 100, 400, 10_000),
    ageing_steps_max=0,
    ageing_steps_max_of_shares=0,
    fair_share_percent=0,
)


def checked(world: Snapshot, policy: Policy) -> Plan:
    made = plan(world, policy)
    assert violations(world, made) == []
    return made


def test_a_tier_may_be_worth_more_than_solvers_can_count() -> None:
    """Emergencies worth 10^13 times what stands below them: whatever the solver refuses, there is a plan."""
    sizes = [(1024, 8), (1023, 8), (1022, 8), *[(2, 8), (3, 8), (4, 8), (1, 8)] * 2]
    world = gangs(
        *sizes,
        ceilings=[10**12] * 3 + [4, 5, 4, 6] * 2,
        nodes_per_pool=1030,
        job_priority=[3] * 3 + [0] * 8,
        job_tier=[0] * 3 + [1] * 4 + [2] * 4,
        pool_ask_micro_yuan_per_card_hour=[0],
    )

    for effort in range(5):
        checked(world, replace(SEATED, effort=effort))


@pytest.mark.parametrize("effort", [0, 3])
def test_worths_of_a_tier_add_up_beyond_64_bits(effort: int) -> None:
    world = gangs(
        *[(16, 2**16)] * 10,
        ceilings=[10**12] * 10,
        nodes_per_pool=160,
        cards=2**16,
        job_priority=[3] * 10,
        job_tier=[0] * 9 + [1],
        model_fp16_programme_milli_tflops=[10**9],
    )
    fast = replace(world, build_speed_ppm=np.full(10, 10**7))

    made = checked(fast, replace(HEAVY, effort=effort))

    assert made.tiers[0].objective > 2**62


def test_a_job_that_nobody_can_run_costs_nothing() -> None:
    """A gang of 2^20 cards on one node is refused; before, it made a table of a gigabyte."""
    count = 400
    world = gangs(
        *[(1, 1)] * count,
        (2**20, 1),
        ceilings=[5_000_000 + 1_000 * job for job in range(count + 1)],
        pools=150,
        nodes_per_pool=1,
        cards=1,
        shape_within=[0] * count + [2],
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    checked(world, Policy(effort=0))

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # KiB


def test_steps_never_loosen_the_bound_that_the_same_plan_had_at_first() -> None:
    """Prices found with other levels in view do not displace better ones for the levels that were reached."""
    for seed in range(40):
        world = random_ruled_world(seed, jobs=25, pools=4)
        first = checked(world, replace(SEATED, effort=0))
        for effort in range(1, 5):
            made = checked(world, replace(SEATED, effort=effort))
            if [t.objective for t in first.tiers] == [t.objective for t in made.tiers]:
                assert all(new.bound <= old.bound for new, old in zip(made.tiers, first.tiers, strict=True)), seed


def test_absurd_opening_prices_are_cut_to_what_a_row_can_cost() -> None:
    world = random_ruled_world(0)
    quotas = tuple(OpeningPrice("worth-1", quota, "quota", 2**62) for quota in world.quota_names)
    blocks = tuple(OpeningPrice("worth-1", pool, "block 1", 2**62) for pool in world.pool_names)

    for effort in (0, 4):
        checked(world, replace(SEATED, effort=effort, opening_prices=quotas + blocks))


def test_seats_that_make_the_plan_worse_are_forgotten() -> None:
    """Here guarantees stand against large gangs: the round goes on by prices, and gets better."""
    world = national(1, 400, 24, 3000, real_jobs(None))
    greedy, made = checked(world, replace(SEATED, effort=0)), checked(world, replace(SEATED, effort=10))

    assert made.gap_ppm < greedy.gap_ppm


def test_seats_without_prices_do_not_stand_for_a_settled_round() -> None:
    world = national(0, 400, 24, 3000, real_jobs(None))
    cold = checked(world, Policy(effort=8))
    known = seats_of(world, cold)[:1]
    assert known
    assert prices_of(world, cold)

    warm = checked(world, Policy(effort=8, opening_seats=known))

    assert warm.gap_ppm < 1.2 * cold.gap_ppm


def test_more_sizes_within_a_domain_than_have_a_price() -> None:
    """Sixteen sizes, none dividing all others: rows for the most wanted ones, and the bound still holds."""
    sizes = [(tasks, cards) for tasks in (2, 3, 5, 7) for cards in (1, 3, 5, 7)]
    world = gangs(
        *sizes,
        ceilings=[9_000_000 + 1_000 * job for job in range(len(sizes))],
        pools=2,
        nodes_per_pool=12,
        node_domain=[node // 3 for node in range(12)] * 2,
        shape_within=[1] * len(sizes),
    )

    for policy in (SEATED, Policy()):
        made = checked(world, policy)
        assert 0 < len(made.prices.domain_blocks) < len(sizes)


def test_seats_of_gangs_that_shrank_open_a_world_of_half_the_nodes() -> None:
    world = gangs(
        (4, 8),
        (4, 8),
        (2, 8),
        nodes_per_pool=6,
        size_start=[0, 1, 2, 2],
        size_tasks=[2, 2],
        size_speed_ppm=[600_000] * 2,
    )
    first = checked(world, Policy(effort=10))
    half = replace(world, node_open=np.array([True, False] * 3))
    opened = replace(SEATED, opening_seats=seats_of(world, first), opening_prices=prices_of(world, first))

    for effort in (0, 5):
        assert len(checked(half, replace(opened, effort=effort)).placements) == 1


def test_one_core_too_few_is_too_few() -> None:
    """Thirty jobs that want one card and four cores; one node has them, another lacks a thousandth, two have none."""
    many = gangs(*[(1, 1)] * 30, nodes_per_pool=4, ceilings=[9_000_000 + job for job in range(30)])
    world = replace(many, shape_cpu_milli_per_task=np.full(30, 4000), node_free_cpu_milli=np.array([0, 4000, 3999, 0]))

    for policy in (SEATED, Policy()):
        assert [each.job_id for each in checked(world, policy).placements] == ["job-29"]
