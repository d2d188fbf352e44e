"""The bound is exact, holds at any prices, and comes close to the best plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_world, snapshot

from scheduler.choices import Choices, choose
from scheduler.linear import duals
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.rows import Rows, capacity_rows
from scheduler.scan import scaled_up, shards_of
from scheduler.search import Aim, Relaxation, Search
from scheduler.snapshot import Snapshot
from scheduler.workers import Inline

MARKET = Aim(tier=0, above=(), worth_above=(), served=np.zeros(0, dtype=np.int64))


@contextmanager
def relaxed(world: Snapshot) -> Iterator[tuple[Choices, Rows, Relaxation]]:
    choices = choose(world, Policy())
    rows = capacity_rows(choices)
    with Inline().team(shards_of(choices, rows)) as team:
        yield choices, rows, Relaxation(choices, rows, team)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0, 1, 10**3, 10**6, 10**8]))
def test_no_plan_is_worth_more_than_the_bound_at_any_prices(seed: int, scale: int) -> None:
    """Weak duality, in integers."""
    world = random_world(seed, jobs=30, pools=3, nodes_per_pool=3, sizes=(1, 2, 3, 5, 8))
    draw = np.random.Generator(np.random.PCG64(seed))
    with relaxed(world) as (_, rows, relaxation):
        zero = relaxation.zero(MARKET)
        pool = np.minimum(draw.integers(0, scale + 1, rows.capacity.shape), rows.price_max)

        bound = relaxation.scan(MARKET, replace(zero, pool=pool)).bound

    assert bound >= plan(world, Policy(effort=0)).objective


def test_the_descent_comes_close_to_the_best_prices() -> None:
    """The linear program has the best prices; four hundred cheap iterations get within half a per cent."""
    with relaxed(random_world(3, jobs=400, pools=8, nodes_per_pool=10)) as (choices, rows, relaxation):
        votes = np.zeros(choices.pairs.pool.size, dtype=np.int16)
        search = Search(relaxation, MARKET, relaxation.zero(MARKET), votes)

        search.descend(400)

        exact = duals(choices, rows, MARKET)
        assert exact is not None
        best = relaxation.scan(MARKET, exact).bound
    assert best <= search.best_scan.bound <= best * 1.005


def test_small_worlds_are_proven_optimal() -> None:
    """Where sizes divide each other and nothing else binds, bound and plan meet."""
    world = gangs(
        (2, 4), (1, 8), (4, 2), (1, 1), nodes_per_pool=2, ceilings=[9_000_000, 12_000_000, 8_000_000, 7_000_000]
    )

    found = plan(world, Policy())

    assert found.gap_ppm == 0
    assert found.objective == found.bound


def test_equal_jobs_are_one_group() -> None:
    """A group is what shape, city, ceiling and weight make equal."""
    world = snapshot(jobs=5, job_priority=[1, 1, 2, 1, 1], job_ceiling_micro_yuan_per_pflops_hour=[9, 9, 9, 8, 9])

    choices = choose(world, Policy())

    assert sorted(choices.groups.count.tolist()) == [1, 1, 3]
    assert sorted(choices.groups.members.tolist()) == [0, 1, 2, 3, 4]


@given(worth=st.integers(0, 2**60), ppm=st.integers(0, 10**6))
def test_worth_of_a_tier_above_is_scaled_exactly(worth: int, ppm: int) -> None:
    """A bound that wraps around is no bound."""
    assert scaled_up(worth, ppm) == -(-worth * ppm // 10**6)


@pytest.mark.parametrize("ceiling", [10**12, 10**11])
def test_sums_are_exact_beyond_64_bits(ceiling: int) -> None:
    """Two thousand gangs of a million cards at the dearest price: their sum does not fit in 64 bits."""
    world = snapshot(
        jobs=2_000,
        nodes_per_pool=1,
        node_cards=[2**16],
        node_free_cards=[2**16],
        shape_cards_per_task=[2**16],
        shape_cpu_milli_per_task=[0],
        shape_memory_mib_per_task=[0],
        job_ceiling_micro_yuan_per_pflops_hour=[ceiling] * 2_000,
        job_priority=[3] * 2_000,
        job_submitted_at_s=[0] * 2_000,
    )
    with relaxed(world) as (choices, _, relaxation):
        (worth,) = set(choices.pairs.worth.tolist())

        assert relaxation.scan(MARKET, relaxation.zero(MARKET)).bound == 2_000 * worth > 2**63
