"""All rules together on tiny worlds, against trying everything: the plan, its tiers, and what is proven of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exhaustive import optimum, reachable
from planning_worlds import random_ruled_world

from scheduler.opening import prices_of, seats_of
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import violations
from scheduler.workers import Threads

QUICK = Policy(effort=24, price_steps_max=4, solver_work_ms_per_step=20, idle_steps_max=3, upper_tier_tolerance_ppm=0)

SEATED = replace(QUICK, seats_from_pairs=0)  # as large instances are planned: seats by the solver before all else


def reached(found: Plan) -> tuple[int, ...]:
    """The objectives of the tiers: plans compare as these do."""
    return tuple(tier.objective for tier in found.tiers)


@pytest.mark.parametrize("policy", [QUICK, SEATED], ids=["quick", "seated"])
@pytest.mark.parametrize("block", range(6))
def test_greedy_plan_optimum_stand_in_this_order(block: int, policy: Policy) -> None:
    """Shares, domains, sizes, data, power, quotas, tiers: no rule broken, none below greedy, none above its bound."""
    best_found = 0
    for seed in range(block * 50, block * 50 + 50):
        world = random_ruled_world(seed)

        best = optimum(world, policy)
        greedy, found = plan(world, Policy(effort=0)), plan(world, policy)

        assert violations(world, greedy) == violations(world, found) == [], seed
        assert reached(greedy) <= reached(found) <= best, seed
        most = reachable(world, policy, found)
        for tier, at_most in zip(found.tiers, most, strict=True):
            assert tier.objective <= at_most <= tier.bound, (seed, tier.name)
        best_found += reached(found) == best
    assert best_found >= 40  # of 50: the solver is allowed little, and a guarantee is served by counting first


def timed(world: Snapshot, seed: int) -> Snapshot:
    """Return the world with times until which pools are free, and by which jobs must be done, about as long as jobs."""
    draw = np.random.default_rng((seed, 11))
    walltimes, now = world.job_walltime_seconds, world.taken_at_s
    until = now + draw.choice(walltimes, len(world.pool_names)) + draw.integers(-1, 2, len(world.pool_names))
    by = now + walltimes + draw.choice([-1, 0, 1, 40, 4_000], walltimes.size)
    return replace(
        world,
        pool_until_s=np.where(draw.random(until.size) < 0.5, until, -1),
        job_finish_by_s=np.where(draw.random(by.size) < 0.5, by, -1),
    )


@pytest.mark.parametrize("policy", [QUICK, SEATED], ids=["quick", "seated"])
def test_times_are_kept_among_all_other_rules(policy: Policy) -> None:
    """Cold, and from its own prices and seats; a second more or less decides, and data on their way count."""
    for seed in range(100):
        world = timed(random_ruled_world(seed), seed)

        best = optimum(world, policy)
        greedy, found = plan(world, Policy(effort=0)), plan(world, policy)
        opened = replace(policy, opening_prices=prices_of(world, found), opening_seats=seats_of(world, found))
        warm = plan(world, opened)

        assert violations(world, greedy) == violations(world, found) == violations(world, warm) == [], seed
        assert reached(greedy) <= reached(found) <= best, seed
        assert reached(warm) <= best, seed
        for tier, at_most in zip(found.tiers, reachable(world, policy, found), strict=True):
            assert at_most <= tier.bound, (seed, tier.name)


@pytest.mark.parametrize("policy", [QUICK, SEATED], ids=["quick", "seated"])
def test_the_same_ruled_world_gives_the_same_bytes(policy: Policy) -> None:
    """Bit for bit, whoever scans, and from opening prices as well."""
    for seed in range(5):
        world = random_ruled_world(seed)
        cold = plan(world, policy)
        warm_policy = replace(
            policy, effort=6, opening_prices=prices_of(world, cold), opening_seats=seats_of(world, cold)
        )

        assert plan(random_ruled_world(seed), policy, workers=Threads(2)).to_bytes() == cold.to_bytes()
        assert Plan.from_bytes(cold.to_bytes()) == cold
        warm = plan(world, warm_policy)
        assert violations(world, warm) == []
        assert plan(world, Policy.from_json(warm_policy.to_json())).to_bytes() == warm.to_bytes()


def test_a_round_may_end_after_any_step() -> None:
    """Bounds are those of what the plan has reached, also where the next step had more in view."""
    for seed in range(12):
        world = random_ruled_world(seed)
        for effort in range(6):
            found = plan(world, replace(SEATED, effort=effort))
            assert violations(world, found) == [], (seed, effort)
