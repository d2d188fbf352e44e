"""The worlds that the allocator is measured on are hard, come from their seed alone, and their plans keep the rules."""

from __future__ import annotations

import pytest

from benchmarks import rivals
from benchmarks.worlds.national import changed, national
from benchmarks.worlds.summary import hardness
from benchmarks.worlds.trace import real_jobs
from scheduler.choices import choose
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.verify import violations


@pytest.mark.parametrize("seed", [1, 2])
def test_a_national_world_is_hard(seed: int) -> None:
    """An easy world proves nothing: demand, gangs and builds are as promised."""
    world = national(seed, 4_000, 24, 10_000, real_jobs(None))

    hard = hardness(choose(world, Policy()))

    assert hard.demand_over_free >= 3
    assert hard.gang_worth_share >= 0.3
    assert hard.two_builds_share >= 0.5


def test_a_national_world_comes_from_its_seed() -> None:
    """Equal seed, equal bytes; a moment later only some jobs are others."""
    first, again = (national(3, 50, 5, 200, real_jobs(None)) for _ in range(2))
    later = changed(first, 3, 0.01)

    assert first.to_bytes() == again.to_bytes()
    assert sum(a != b for a, b in zip(first.job_id, later.job_id, strict=True)) == 2


def test_a_large_plan_keeps_the_rules_and_beats_the_rivals() -> None:
    """Large enough for the compiled code, with its default settings."""
    world = national(5, 1_500, 12, 40_000, real_jobs(None))
    choices = choose(world, Policy(compiled_from_pairs=0))

    found = plan(world, Policy(effort=8))

    assert violations(world, found) == []
    assert found.objective > rivals.density(choices).objective > rivals.first_come(choices).objective
    assert found.gap_ppm < 30_000
