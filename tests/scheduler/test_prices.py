"""The bound is exact, holds at any prices, and comes close to the best plan."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_world, snapshot

from scheduler.choices import choose
from scheduler.linear import duals
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.prices import Search, capacity_rows, exact_dot, scan


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0, 1, 10**3, 10**6, 10**8]))
def test_no_plan_is_worth_more_than_the_bound_at_any_prices(seed: int, scale: int) -> None:
    """Weak duality, in integers."""
    world = random_world(seed, jobs=30, pools=3, nodes_per_pool=3, sizes=(1, 2, 3, 5, 8))
    choices = choose(world, Policy())
    rows = capacity_rows(choices)
    draw = np.random.Generator(np.random.PCG64(seed))
    prices = np.minimum(draw.integers(0, scale + 1, rows.capacity.shape), rows.price_max)

    bound = scan(choices, rows, prices).bound

    assert bound >= plan(world, Policy(effort=0)).objective


def test_the_descent_comes_close_to_the_best_prices() -> None:
    """The linear program has the best prices; four hundred cheap iterations get within half a per cent."""
    choices = choose(random_world(3, jobs=400, pools=8, nodes_per_pool=10), Policy())
    rows = capacity_rows(choices)
    search = Search(choices, rows, np.zeros(rows.capacity.shape, dtype=np.int64))

    search.descend(400)

    exact = duals(choices, rows)
    assert exact is not None
    best = scan(choices, rows, exact).bound
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

    assert sorted(choices.count.tolist()) == [1, 1, 3]
    assert sorted(choices.members.tolist()) == [0, 1, 2, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**20)), max_size=50))
def test_sums_are_exact_beyond_64_bits(pairs: list[tuple[int, int]]) -> None:
    """A bound that wraps around is no bound."""
    values = np.array([value for value, _ in pairs], dtype=np.int64)
    counts = np.array([count for _, count in pairs], dtype=np.int64)

    assert exact_dot(values, counts) == sum(value * count for value, count in pairs)
