"""What waits takes the place of what is worth less, one for one, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from books import Books
from planning_worlds import gangs, random_ruled_world

from scheduler.admission import Gains
from scheduler.choices import Choices, choose
from scheduler.exchange import exchange
from scheduler.ground import Ground, Terrain
from scheduler.limits import NEW
from scheduler.policy import Policy
from scheduler.rows import Costs
from scheduler.snapshot import Snapshot

PLAIN = Policy()


def by_worth(choices: Choices, ground: Ground) -> tuple[int, ...]:
    """Return what the plan serves of guarantees, and its worth tier by tier."""
    served = np.minimum(ground.account[:, NEW], choices.limits.headroom)
    return (int(served.sum()), *ground.objectives)


def full(world: Snapshot, first: list[str]) -> tuple[Choices, Ground]:
    """Return a ground on which only these jobs run."""
    choices = choose(world, PLAIN)
    ground = Ground(Terrain(choices))
    for group in range(choices.groups.count.size):
        for job in choices.groups.members[choices.groups.member_start[group] : choices.groups.member_start[group + 1]]:
            if world.job_id[job] in first:
                pair = np.array([choices.pairs.start[group]])
                ground.place(np.array([group]), pair, np.array([1]))
    return choices, ground


def running(choices: Choices, ground: Ground) -> set[str]:
    """Return the ids of the jobs that run; every group here has one job."""
    jobs = choices.groups.members[choices.groups.member_start[ground.lines[:, 0]]]
    return {choices.snapshot.job_id[job] for job in jobs.tolist()}


def test_who_pays_more_takes_the_place_of_who_pays_least() -> None:
    world = gangs((1, 1), (1, 1), (1, 1), ceilings=[9_000_000, 8_000_000, 10_000_000], nodes_per_pool=1, cards=2)
    choices, ground = full(world, ["job-0", "job-1"])

    exchange(ground, np.flatnonzero(ground.left > 0))

    assert running(choices, ground) == {"job-0", "job-2"}
    Books(choices, ground).agree(ground)


@pytest.mark.parametrize(("cpu_milli", "taken"), [(40_000, True), (41_000, False)])
def test_enough_cpu_must_stay_for_the_newcomer(cpu_milli: int, taken: bool) -> None:
    """The node has 64 cores; one job holds 24 and stays, the other holds 16 and would go: 40 are to be had."""
    three = gangs((1, 1), (1, 1), (1, 1), ceilings=[9_500_000, 8_000_000, 9_000_000], nodes_per_pool=1, cards=2)
    world = replace(three, shape_cpu_milli_per_task=np.array([24_000, 16_000, cpu_milli]))
    choices, ground = full(world, ["job-0", "job-1"])

    exchange(ground, np.flatnonzero(ground.left > 0))

    assert ("job-2" in running(choices, ground)) is taken
    Books(choices, ground).agree(ground)


def test_a_higher_tier_takes_the_place_of_a_lower_one_and_never_the_other_way_round() -> None:
    world = gangs((1, 1), (1, 1), ceilings=[9_900_000, 8_000_000], nodes_per_pool=1, cards=1, job_tier=[1, 0])
    for first, left in (("job-0", "job-1"), ("job-1", "job-1")):
        choices, ground = full(world, [first])

        exchange(ground, np.flatnonzero(ground.left > 0))

        assert running(choices, ground) == {left}


@pytest.mark.parametrize("block", range(4))
def test_no_rule_breaks_and_no_tier_falls(block: int) -> None:
    """On random worlds under every rule, half filled in any order: the books agree, and the order of goals holds."""
    changed = 0
    for seed in range(block * 40, block * 40 + 40):
        choices = choose(random_ruled_world(seed), PLAIN)
        ground = Ground(Terrain(choices))
        draw = np.random.Generator(np.random.PCG64(seed))
        pairs = draw.permutation(choices.pairs.pool.size)
        group = choices.pairs.group[pairs]
        ground.place(group, pairs, np.ones(pairs.size, dtype=np.int64))
        before, lines = by_worth(choices, ground), ground.lines.copy()
        waits = np.flatnonzero(ground.left > 0)

        gains = Gains.at(ground.terrain, Costs.none(choices)).best
        exchange(ground, waits[np.argsort(-gains[waits], kind="stable")])

        books = Books(choices, ground)
        books.agree(ground)
        assert books.within_limits(), seed
        assert by_worth(choices, ground) >= before, seed
        changed += not np.array_equal(lines, ground.lines)
    assert changed > 0
