"""A change of the world is previewed by planning it beside the world as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, random_world

from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.preview import Move, difference, preview
from scheduler.snapshot import Snapshot

POLICY = Policy(effort=10, solver_work_ms_per_step=20)


def closed(world: Snapshot, *nodes: int) -> Snapshot:
    still_open = world.node_open.copy()
    still_open[list(nodes)] = False
    return replace(world, node_open=still_open)


def test_a_world_that_does_not_change_looks_the_same() -> None:
    world = random_world(5, jobs=30, pools=3, nodes_per_pool=3)

    found = preview(world, world, POLICY)

    assert (found.starts, found.waits, found.moves, found.prices) == ((), (), (), ())
    assert found.worth_before_micro_yuan_per_hour == found.worth_after_micro_yuan_per_hour


def test_who_loses_the_cards_that_are_closed_waits() -> None:
    """Two nodes for two gangs; without the second node the one that pays less waits, and cards have a price."""
    world = gangs((1, 8), (1, 8), ceilings=[9_000_000, 10_000_000])

    found = preview(world, closed(world, 1), POLICY)

    assert (found.waits, found.starts, found.moves) == (("job-0",), (), ())
    assert found.worth_after_micro_yuan_per_hour < found.worth_before_micro_yuan_per_hour
    assert [price.pool for price in found.prices] == [world.pool_names[0]]
    assert found.prices[0].after > found.prices[0].before


def test_without_those_who_pay_more_others_start() -> None:
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[9_000_000, 10_000_000])

    found = preview(world, world.of_jobs([0]), POLICY)

    assert (found.starts, found.waits) == (("job-0",), ("job-1",))


def test_a_job_that_finds_another_pool_moves() -> None:
    world = gangs((1, 8), pools=2, nodes_per_pool=1, pool_ask_micro_yuan_per_card_hour=[1_000_000, 2_000_000])

    found = preview(world, closed(world, 0), POLICY)

    assert found.moves == (Move("job-0", *world.pool_names),)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_job_is_told_once_and_the_numbers_add_up(seed: int) -> None:
    world = random_ruled_world(seed, jobs=14, nodes_per_pool=3)
    changed = closed(world, *np.flatnonzero(world.node_pool == 0).tolist())
    before, after = plan(world, Policy(effort=1)), plan(changed, Policy(effort=1))

    found = difference(world, before, changed, after)

    told = [*found.starts, *found.waits, *(move.job_id for move in found.moves)]
    assert len(told) == len(set(told))
    assert len(after.placements) - len(before.placements) == len(found.starts) - len(found.waits)
    assert all(move.before != move.after for move in found.moves)
    assert all(move.after != world.pool_names[0] for move in found.moves)
