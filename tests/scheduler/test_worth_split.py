"""The parts of a placed job's worth are those that the plan counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world

from scheduler.errors import UnknownJob
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.worth_split import worth_split


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_parts_make_what_the_plan_says(seed: int) -> None:
    world = random_ruled_world(seed, jobs=14, nodes_per_pool=3)
    world = replace(world, shape_spread_speed_ppm=world.shape_spread_speed_ppm * 0 + 10**6)
    made, now = plan(world, Policy(effort=1)), world.taken_at_s

    for each in made.placements:
        found = worth_split(world, made.policy, made.prices, each.job_id, each.nodes, sum(each.tasks), now)

        assert found is not None
        assert found.worth == each.worth_micro_yuan_per_hour
        net = found.gross - found.asks - found.energy - found.transfer
        assert found.worth == max(net * found.weight_percent // 100, 1)
        assert found.gain == found.worth - found.cost.total


def test_waiting_counts_up_to_the_start() -> None:
    """A job grows in worth while it waits, and no more once it runs."""
    world = gangs((1, 8))
    made = plan(world, Policy(effort=0))

    first, later = (
        worth_split(world, made.policy, made.prices, "job-0", [0], 1, world.taken_at_s + seconds)
        for seconds in (0, 86_400)
    )

    assert first is not None
    assert later is not None
    assert (first.gross, first.asks) == (later.gross, later.asks)
    assert first.weight_percent < later.weight_percent


def test_a_size_that_the_job_does_not_have_has_no_worth() -> None:
    world = gangs((2, 4))
    made = plan(world, Policy(effort=1))

    assert worth_split(world, made.policy, made.prices, "job-0", [0], 1, 0) is None
    assert worth_split(world, made.policy, made.prices, "job-0", [0], 2, 0) is not None


def test_a_job_that_is_not_there_is_refused_by_name() -> None:
    world = gangs((2, 4))

    with pytest.raises(UnknownJob):
        worth_split(world, Policy(), plan(world, Policy(effort=0)).prices, "nobody", [0], 2, 0)
