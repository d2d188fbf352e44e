"""The verifier catches every kind of broken plan, each planted here in a sound one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from planning_worlds import arrays, random_world

from scheduler.plan import Placement, Plan, PlanStatus, Prices, Refusal
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.snapshot import Snapshot
from scheduler.verify import Rule, violations

POLICY = Policy(effort=4)


def world(**changes: Any) -> Snapshot:
    """Two pools in two hubs; job-0 is a gang of two, job-1 is alone, job-2 asks for more than there is."""
    plain = arrays(
        pools=2,
        jobs=3,
        hub_names=("qingyang", "guian"),
        round_trip_micros=[[20_000, 30_000]],
        pool_hub=[0, 1],
        model_names=("ascend-910b", "a800"),
        model_stack=("cann", "cuda"),
        model_origin=("domestic", "foreign"),
        model_fp16_programme_milli_tflops=[320_000, 312_000],
        model_fp16_nameplate_milli_tflops=[-1, -1],
        model_fp16_measured_milli_tflops=[-1, -1],
        shape_tasks=[2, 1, 1],
        shape_cards_per_task=[6, 2, 9],
        shape_cpu_milli_per_task=[8_000] * 3,
        shape_memory_mib_per_task=[64_000] * 3,
        shape_round_trip_micros_max=[25_000] * 3,
        shape_hub_allowed=[[True, True]] * 3,
        build_start=[0, 2, 4, 6],
        build_stack=("cann", "cuda") * 3,
        build_models=[[True, True]] * 6,
        build_speed_ppm=[1_000_000] * 6,
        job_shape=[0, 1, 2],
    )
    return Snapshot(**(plain | changes))


def sound() -> Plan:
    found = plan(world(), POLICY)
    assert [p.job_id for p in found.placements] == ["job-0", "job-1"]
    assert violations(world(), found) == []
    return found


def with_gang(**changes: Any) -> Plan:
    """Return the sound plan with the gang's placement changed."""
    base = sound()
    return replace(base, placements=(replace(base.placements[0], **changes), *base.placements[1:]))


def with_prices(**changes: Any) -> Plan:
    base = sound()
    return replace(base, prices=replace(base.prices, **changes))


def _doubled() -> Plan:
    base = sound()
    again = Placement("job-1", 0, 0, (0,), (1,), base.placements[1].worth_micro_yuan_per_hour)
    return replace(base, placements=(*base.placements, again))


PLANTED: list[tuple[Rule, Callable[[], Plan]]] = [
    (Rule.OTHER_SNAPSHOT, lambda: replace(sound(), snapshot_hash="0" * 64)),
    (Rule.UNKNOWN_JOB, lambda: with_gang(job_id="job-9")),
    (Rule.JOB_TWICE, _doubled),
    (Rule.JOB_TWICE, lambda: replace(sound(), refusals=(*sound().refusals, Refusal("job-0", Reason.OUTBID, 0)))),
    (Rule.JOB_UNDECIDED, lambda: replace(sound(), refusals=())),
    (Rule.DANGLING_INDEX, lambda: with_gang(pool=2)),
    (Rule.DANGLING_INDEX, lambda: with_gang(pool=-1)),
    (Rule.DANGLING_INDEX, lambda: with_gang(build=2)),
    (Rule.DANGLING_INDEX, lambda: with_gang(nodes=(0, 4))),
    (Rule.DANGLING_INDEX, lambda: replace(sound(), refusals=(Refusal("job-2", Reason.GANG_TOO_LARGE, 2),))),
    (Rule.REFUSED_WITHOUT_REASON, lambda: replace(sound(), refusals=(Refusal("job-2", Reason.CHOSEN, 0),))),
    (Rule.GANG_SPLIT, lambda: with_gang(nodes=(0,), tasks=(1,))),
    (Rule.GANG_SPLIT, lambda: with_gang(tasks=(1, 2))),
    (Rule.GANG_SPLIT, lambda: with_gang(tasks=(3, -1))),
    (Rule.GANG_SPLIT, lambda: with_gang(tasks=(2,))),
    (Rule.NODE_OUTSIDE_POOL, lambda: with_gang(nodes=(1, 2))),
    (Rule.NODE_OUTSIDE_POOL, lambda: with_gang(nodes=(0, 0))),
    (Rule.CARDS_OVER, lambda: with_gang(nodes=(0, 0))),
    (Rule.WRONG_BUILD, lambda: with_gang(build=1)),
    (Rule.WRONG_WORTH, lambda: with_gang(worth_micro_yuan_per_hour=1)),
    (Rule.WRONG_OBJECTIVE, lambda: replace(sound(), objective_micro_yuan_per_hour=1)),
    (Rule.WRONG_BOUND, lambda: replace(sound(), bound_micro_yuan_per_hour=sound().bound + 1)),
    (Rule.BOUND_BELOW_OBJECTIVE, lambda: replace(sound(), objective_micro_yuan_per_hour=sound().bound + 1)),
    (Rule.WRONG_STATUS, lambda: replace(sound(), bound_micro_yuan_per_hour=sound().bound + 1)),
    (Rule.WRONG_STATUS, lambda: replace(sound(), status=PlanStatus.FEASIBLE)),
    (Rule.WRONG_EFFORT, lambda: replace(sound(), effort_spent=3)),
    (Rule.BAD_PRICES, lambda: replace(sound(), prices=Prices((), (), (), ()))),
    (Rule.BAD_PRICES, lambda: with_prices(block_cards=(2, 1, 4))),
    (Rule.BAD_PRICES, lambda: with_prices(cards_micro_yuan_per_block_hour=((0,), (0,)))),
    (Rule.BAD_PRICES, lambda: with_prices(cpu_micro_yuan_per_core_hour=(-1, 0))),
    (Rule.WRONG_BOUND, lambda: with_prices(memory_micro_yuan_per_gib_hour=(10**30, 0))),
]


@pytest.mark.parametrize(("rule", "broken"), PLANTED, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(PLANTED)])
def test_a_planted_violation_is_caught(rule: Rule, broken: Callable[[], Plan]) -> None:
    """A check that nothing can trip is no check."""
    assert rule in {violation.rule for violation in violations(world(), broken())}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (Rule.NODE_CLOSED, {"node_open": [True, False, True, True]}),
        (Rule.CARDS_OVER, {"node_free_cards": [8, 5, 8, 8]}),
        (Rule.CPU_OVER, {"node_free_cpu_milli": [64_000, 7_999, 64_000, 64_000]}),
        (Rule.MEMORY_OVER, {"node_free_memory_mib": [512_000, 63_999, 512_000, 512_000]}),
        (Rule.WRONG_BUILD, {"build_models": [[False, True]] * 6}),
        (Rule.WRONG_BUILD, {"model_stack": ("dtk", "cuda")}),
        (Rule.HUB_FORBIDDEN, {"shape_hub_allowed": [[False, True]] * 3}),
        (Rule.TOO_FAR, {"shape_round_trip_micros_max": [19_999] * 3}),
        (Rule.TOO_FAR, {"round_trip_micros": [[-1, 30_000]]}),
        (Rule.NOT_WORTH_IT, {"pool_ask_micro_yuan_per_card_hour": [10**10, 2_000_000]}),
        (Rule.NOT_WORTH_IT, {"model_fp16_programme_milli_tflops": [-1, 312_000]}),
        (Rule.WRONG_WORTH, {"job_priority": [2, 1, 1]}),
        (Rule.WRONG_WORTH, {"job_submitted_at_s": [0, 999_999, 999_999]}),
        (Rule.WRONG_BOUND, {"job_ceiling_micro_yuan_per_pflops_hour": [10_000_000, 20_000_000, 10_000_000]}),
    ],
)
def test_a_plan_for_a_kinder_world_is_caught(rule: Rule, changes: dict[str, Any]) -> None:
    """The world behind a plan may have changed in each of these ways before the plan is committed."""
    assert rule in {violation.rule for violation in violations(world(**changes), sound())}


def test_every_rule_has_been_planted() -> None:
    """A new rule needs a test that trips it."""
    by_world = {
        Rule.NODE_CLOSED, Rule.CPU_OVER, Rule.MEMORY_OVER, Rule.HUB_FORBIDDEN, Rule.TOO_FAR, Rule.NOT_WORTH_IT,
    }  # fmt: skip

    assert {rule for rule, _ in PLANTED} | by_world == set(Rule)


@pytest.mark.parametrize("price", [0, 1, 10**5, 10**7, 10**13])
def test_any_prices_give_a_bound(price: int) -> None:
    """L(lambda) bounds every plan at any prices; the verifier computes the same integer as the planner or says so."""
    crowded = random_world(4, jobs=60, pools=3, nodes_per_pool=3)
    found = plan(crowded, POLICY)
    blocks = len(found.prices.block_cards)
    prices = replace(
        found.prices,
        cards_micro_yuan_per_block_hour=((price,) * blocks,) * 3,
        cpu_micro_yuan_per_core_hour=(price,) * 3,
    )

    rules = {v.rule for v in violations(crowded, replace(found, prices=prices))}

    assert rules <= {Rule.WRONG_BOUND}  # another bound, but none below the objective
