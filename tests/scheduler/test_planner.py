"""A plan breaks no rule, is never worse than greedy, never better than its bound, and comes out the same again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from exhaustive import optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_world, snapshot

from scheduler.opening import prices_of
from scheduler.plan import Plan, PlanStatus
from scheduler.planner import plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.reasons import Reason
from scheduler.replay import replay
from scheduler.snapshot import Snapshot
from scheduler.verify import violations

QUICK = Policy(effort=30, solver_work_ms_per_step=50, idle_steps_max=4)
SIZES = ((1, 2, 4, 8), (3, 5, 7), (1, 2, 3), (1, 4, 6))


def tiny_world(seed: int) -> Snapshot:
    draw = np.random.Generator(np.random.PCG64(seed))
    return random_world(
        seed,
        jobs=int(draw.integers(1, 7)),
        pools=int(draw.integers(1, 4)),
        nodes_per_pool=int(draw.integers(1, 4)),
        sizes=SIZES[seed % len(SIZES)],
        busy=float(draw.choice([0.0, 0.3, 0.6])),
    )


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize("block", range(4))
def test_greedy_plan_optimum_bound_stand_in_this_order(block: int) -> None:
    """Hundreds of tiny worlds against trying everything; on these the solver finds the optimum itself."""
    for seed in range(block * 60, block * 60 + 60):
        world = tiny_world(seed)

        (best,) = optimum(world, QUICK)
        greedy = plan(world, Policy(effort=0))
        found = plan(world, QUICK)

        assert violations(world, greedy) == violations(world, found) == [], seed
        assert greedy.objective <= found.objective == best <= found.bound <= greedy.bound, seed


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    jobs=st.integers(0, 60),
    pools=st.integers(0, 5),
    nodes=st.integers(1, 6),
    sizes=st.sampled_from(SIZES),
    cpu=st.integers(3, 40_000),
    busy=st.floats(0, 1),
)
def test_no_plan_breaks_a_rule(
    seed: int, jobs: int, pools: int, nodes: int, sizes: tuple[int, ...], cpu: int, busy: float
) -> None:
    """Whatever the world, every plan passes the verifier, its bound included."""
    world = random_world(
        seed, jobs=jobs, pools=pools, nodes_per_pool=nodes, sizes=sizes, cpu_milli_per_card=cpu, busy=busy
    )

    for policy in (Policy(effort=0), QUICK):
        found = plan(world, policy)

        assert violations(world, found) == []
        assert found.objective <= found.bound


@pytest.mark.parametrize("cards", [3, 5, 7])
def test_sizes_that_divide_nothing_are_packed(cards: int) -> None:
    """Eight-card nodes hold one such task each beside its complement: counting cards alone would promise more."""
    world = gangs((3, cards), (3, 8 - cards), (3, cards), nodes_per_pool=3)

    found = plan(world, QUICK)

    assert violations(world, found) == []
    assert (found.objective,) == optimum(world, QUICK)
    assert len(found.placements) == 2


def test_all_ties_are_broken_by_waiting_time() -> None:
    """Equal jobs are one group; those that came first go first."""
    world = snapshot(nodes_per_pool=1, cards=2, jobs=4, job_submitted_at_s=[999_990, 999_970, 999_980, 999_960])

    found = plan(world, QUICK)

    assert [p.job_id for p in found.placements] == ["job-1", "job-3"]
    assert found.status is PlanStatus.OPTIMAL


def test_an_empty_world_has_an_empty_plan() -> None:
    """No jobs, no nodes, no pools: a plan all the same, and it is proven."""
    for world in (
        snapshot(jobs=0),
        random_world(1, jobs=0, pools=0, nodes_per_pool=1),
        random_world(1, jobs=5, pools=2, nodes_per_pool=0),
    ):
        found = plan(world, QUICK)

        assert found.placements == ()
        assert found.objective == found.bound == 0 == found.gap_ppm
        assert found.status is PlanStatus.OPTIMAL
        assert violations(world, found) == []


def test_without_pools_every_job_is_refused() -> None:
    """A broker whose first cluster has not attached yet still answers every job."""
    found = plan(random_world(1, jobs=5, pools=0, nodes_per_pool=1), QUICK)

    assert [(r.reason, r.pool) for r in found.refusals] == [(Reason.NO_MATCHING_MODEL, -1)] * 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"build_stack": ("cuda",)}, Reason.NO_MATCHING_MODEL),
        ({"build_models": [[False]]}, Reason.NO_MATCHING_MODEL),
        ({"model_fp16_programme_milli_tflops": [-1]}, Reason.MODEL_WITHOUT_FIGURE),
        ({"shape_hub_allowed": [[False]]}, Reason.HUB_NOT_ALLOWED),
        ({"shape_round_trip_micros_max": [19_999]}, Reason.ROUND_TRIP_TOO_LONG),
        ({"shape_round_trip_micros_max": [19_999], "round_trip_micros": [[-1]]}, Reason.ROUND_TRIP_TOO_LONG),
        ({"job_finish_by_s": [1_003_599]}, Reason.TOO_LATE),
        ({"pool_until_s": [1_003_599]}, Reason.RESERVED),
        ({"job_ceiling_micro_yuan_per_pflops_hour": [6_250_000]}, Reason.PRICE_BELOW_ASK),
        ({"shape_cards_per_task": [9]}, Reason.GANG_TOO_LARGE),
        ({"shape_tasks": [17]}, Reason.GANG_TOO_LARGE),
        ({"shape_cpu_milli_per_task": [64_001]}, Reason.GANG_TOO_LARGE),
        ({"shape_tasks": [9], "node_open": [True, False]}, Reason.POOL_CLOSED),
        ({"shape_tasks": [2], "shape_cards_per_task": [5], "node_free_cards": [8, 4]}, Reason.CARDS_SHORT),
        ({"node_free_cpu_milli": [999, 0]}, Reason.CPU_SHORT),
        ({"node_free_memory_mib": [1_023, 0]}, Reason.MEMORY_SHORT),
    ],
)
def test_a_refusal_names_what_stands_in_the_way(changes: dict[str, object], reason: Reason) -> None:
    """One reason for one job, of the pool that came nearest."""
    world = snapshot(jobs=1, **changes)

    found = plan(world, QUICK)

    assert [(r.job_id, r.reason, r.pool) for r in found.refusals] == [("job-0", reason, 0)]
    assert found.bound == 0  # a job that cannot run anywhere does not blur the bound
    assert violations(world, found) == []


def test_a_job_that_others_outbid_is_told_so() -> None:
    """Two jobs, room for one: the higher ceiling wins."""
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[9_000_000, 10_000_000])

    found = plan(world, QUICK)

    assert [p.job_id for p in found.placements] == ["job-1"]
    assert [(r.job_id, r.reason) for r in found.refusals] == [("job-0", Reason.OUTBID)]


def test_a_ceiling_must_exceed_the_ask() -> None:
    """320 TFLOPS at 2 yuan an hour are 6.25 yuan for a PFLOPS-hour: a micro-yuan more for the card is enough."""
    world = snapshot(jobs=2, job_ceiling_micro_yuan_per_pflops_hour=[6_250_000, 6_250_004])

    found = plan(world, QUICK)

    assert [(p.job_id, p.worth_micro_yuan_per_hour) for p in found.placements] == [("job-1", 1)]


def test_the_faster_build_is_taken_and_worth_follows_its_speed() -> None:
    """Choosing the build is part of the plan."""
    world = snapshot(
        jobs=1,
        build_start=[0, 3],
        build_stack=("cuda", "cann", "cann"),
        build_models=[[True], [True], [True]],
        build_speed_ppm=[9_000_000, 1_000_000, 1_500_000],
    )

    placement = plan(world, QUICK).placements[0]

    assert placement.build == 2
    assert placement.worth_micro_yuan_per_hour == 10_000_000 * 320 * 3 // 2 // 1000 - 2_000_000


def test_priority_and_waiting_raise_a_job_above_a_higher_ceiling() -> None:
    """An urgent job, or one that waited long, beats one that pays a little more."""
    ceilings = [10_000_000, 11_000_000]
    urgent = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=ceilings, job_priority=[2, 1])
    waiting = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=ceilings, job_submitted_at_s=[0, 999_999])

    for world in (urgent, waiting):
        assert [p.job_id for p in plan(world, QUICK).placements] == ["job-0"]


def test_an_absurd_ceiling_wins_but_overflows_nothing() -> None:
    """The largest figures that a snapshot may hold stay exact integers far inside 64 bits."""
    world = gangs(
        (2**16, 16), (1, 1), nodes_per_pool=2**12, cards=2**8, ceilings=[10**12, 10**12],
        model_fp16_programme_milli_tflops=[10**9], job_priority=[3, 3], job_submitted_at_s=[0, 0],
    )  # fmt: skip

    found = plan(world, QUICK)

    assert violations(world, found) == []
    assert 2**58 < found.objective < 2**62


def test_a_hundred_thousand_equal_jobs_are_one_group() -> None:
    """Work grows with the kinds of jobs, not with their number: this takes about a second."""
    world = snapshot(pools=4, nodes_per_pool=100, jobs=100_000)

    found = plan(world, Policy())

    assert found.status is PlanStatus.OPTIMAL
    assert len(found.placements) == 3_200
    assert Counter(r.reason for r in found.refusals) == {Reason.OUTBID: 96_800}
    assert violations(world, found) == []


def test_more_effort_never_makes_a_plan_worse() -> None:
    """Each step keeps the better of two plans, and the lower of two bounds."""
    world = random_world(5, jobs=120, pools=4, nodes_per_pool=8)

    plans = [plan(world, Policy(effort=effort, solver_work_ms_per_step=20)) for effort in (0, 1, 4, 16, 20, 24)]

    for before, after in pairwise(plans):
        assert before.objective <= after.objective <= after.bound <= before.bound
        assert violations(world, after) == []
    assert plans[-1].gap_ppm < plans[0].gap_ppm


def test_the_same_input_gives_the_same_bytes() -> None:
    """Bit for bit, prices and bound included."""
    policy = Policy(effort=24, solver_work_ms_per_step=20)
    worlds = [random_world(11, jobs=150, pools=5, nodes_per_pool=8) for _ in range(2)]

    first, second = (plan(world, policy).to_bytes() for world in worlds)

    assert first == second


@pytest.mark.parametrize("steps", [0, 3, 17, 21])
def test_a_round_that_was_stopped_replays_bit_for_bit(steps: int) -> None:
    """Production stops by the clock; the number of steps done is all that a replay needs."""
    world = random_world(12, jobs=200, pools=8, nodes_per_pool=6)
    policy = Policy(effort=1000, solver_work_ms_per_step=20)

    stopped = plan(world, policy, stop=stop_after(steps))
    again = replay(world.to_bytes(), policy.to_json(), stopped.effort_spent)

    assert stopped.effort_spent == steps
    assert again.to_bytes() == stopped.to_bytes()


def test_a_stored_plan_is_the_plan() -> None:
    """Bytes are canonical: two plans are equal when their bytes are."""
    found = plan(random_world(13, jobs=40, pools=3, nodes_per_pool=3), QUICK)

    assert Plan.from_bytes(found.to_bytes()) == found


def test_a_round_that_knows_the_last_prices_starts_near_the_end() -> None:
    """Prices travel in the policy: the first step of the next round is as good as the last one's many, and replays."""
    world = random_world(21, jobs=400, pools=8, nodes_per_pool=10)
    cold = plan(world, Policy(effort=16))
    policy = Policy(effort=1, opening_prices=prices_of(world, cold))

    warm = plan(world, policy)

    assert violations(world, warm) == []
    assert warm.bound <= cold.bound < plan(world, Policy(effort=1)).bound
    assert replay(world.to_bytes(), policy.to_json(), warm.effort_spent).to_bytes() == warm.to_bytes()


def test_prices_of_other_pools_are_no_start() -> None:
    """A pool that is gone has no price to offer: the round is the cold one."""
    world = random_world(22, jobs=30, pools=2, nodes_per_pool=3)
    gone = (OpeningPrice("worth-0", "other/pool", "block 1", 5),)

    found = plan(world, replace(QUICK, opening_prices=gone))

    assert violations(world, found) == []
    assert found.objective == plan(world, QUICK).objective


def test_a_short_job_ages_faster_than_a_long_one() -> None:
    """Both have waited for an hour; the long one offers a tenth more, the short one has waited six times its length."""
    world = gangs((1, 8), (1, 8), ceilings=[8_000_000, 8_800_000], nodes_per_pool=1)
    world = replace(
        world, job_walltime_seconds=np.array([600, 86_400]), job_submitted_at_s=np.array([1_000_000 - 3_600] * 2)
    )
    assert [each.job_id for each in plan(world, Policy(effort=4)).placements] == ["job-0"]
    even = Policy(effort=4, ageing_step_seconds=600, ageing_step_walltime_percent=0)
    assert [each.job_id for each in plan(world, even).placements] == ["job-1"]
