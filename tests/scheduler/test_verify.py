"""The verifier catches every kind of broken plan, each planted here in a sound one, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from exhaustive import no_prices, optimal_plan, sealed
from planning_worlds import arrays, random_ruled_world, snapshot

from scheduler.plan import Placement, Plan, PlanStatus, Prices, Tier
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.refusals import Refusal
from scheduler.snapshot import Snapshot
from scheduler.verify import Rule, violations

POLICY = Policy(effort=0)


SUPPLY: dict[str, Any] = {
    "pools": 2,
    "jobs": 5,
    "model_names": ("ascend-910b", "a800"),
    "model_stack": ("cann", "cuda"),
    "model_origin": ("domestic", "foreign"),
    "model_fp16_programme_milli_tflops": [320_000, 312_000],
    "model_fp16_nameplate_milli_tflops": [-1, -1],
    "model_fp16_measured_milli_tflops": [-1, -1],
    "model_card_watts": [500, 400],
    "model_shares_per_card_max": [3, -1],
    "slice_start": [0, 2, 2],
    "slice_milli": [250, 500],
    "hub_names": ("qingyang", "guian"),
    "hub_pue_ppm": [1_200_000, 1_250_000],
    "hub_power_cap_watts": [10_000, -1],
    "hub_used_watts": [1_000, 0],
    "hub_micro_yuan_per_kwh": [500_000, 300_000],
    "round_trip_micros": [[20_000, 30_000]],
    "transfer_micro_yuan_per_gib": [[1_000, 1_000]],
    "transfer_mib_per_second": [[100, 100]],
    "pool_hub": [0, 1],
    "pool_model": [0, 1],
    "owner_names": ("park", "telecom"),
    "pool_owner": [0, 1],
    "pool_ask_micro_yuan_per_card_hour": [2_000_000, 1_500_000],
    "node_names": tuple(f"node-{n}" for n in range(5)),
    "node_pool": [0, 0, 0, 1, 1],
    "node_domain": [0, 0, 1, 0, 0],
    "node_open": [True, True, True, True, False],
    "node_cards": [8] * 5,
    "node_cpu_milli": [64_000] * 5,
    "node_memory_mib": [512_000] * 5,
    "node_free_cards": [8, 7, 8, 8, 8],
    "node_free_cpu_milli": [64_000] * 5,
    "node_free_memory_mib": [512_000] * 5,
    "split_node": [1],
    "split_free_milli": [500],
    "split_shares": [1],
}

DEMAND: dict[str, Any] = {
    "shape_tasks": [2, 3, 4, 2, 1],
    "shape_cards_per_task": [4, 1, 2, 2, 9],
    "shape_share_milli": [0, 200, 0, 0, 0],
    "shape_within": [1, 0, 0, 2, 0],
    "shape_spread_speed_ppm": [10**6, 10**6, 900_000, 10**6, 10**6],
    "size_start": [0, 0, 0, 1, 1, 1],
    "size_tasks": [2],
    "size_speed_ppm": [600_000],
    "shape_cpu_milli_per_task": [8_000] * 5,
    "shape_memory_mib_per_task": [64_000] * 5,
    "shape_round_trip_micros_max": [25_000, 25_000, 25_000, -1, -1],
    "shape_hub_allowed": [[True, True]] * 5,
    "shape_owner_allowed": [[True, True]] * 5,
    "shape_domestic_only": [True, False, False, False, False],
    "shape_input_gib": [100, 0, 0, 0, 0],
    "shape_output_gib": [20, 0, 0, 0, 0],
    "shape_transfer_seconds_max": [1_024, -1, -1, -1, -1],
    "build_start": [0, 2, 4, 6, 8, 10],
    "build_stack": ("cann", "cuda") * 5,
    "build_models": [[True, True]] * 10,
    "build_speed_ppm": [10**6] * 10,
    "job_shape": [0, 1, 2, 3, 4],
    "job_priority": [1, 1, 2, 1, 1],
    "job_tier": [0, 0, 0, 1, 1],
    "job_tenant": [0, -1, 1, -1, -1],
    "tenant_names": ("nanjing-works", "wuhan-works"),
    "tenant_quota": [[1, 1], [2, 2]],
    "quota_names": ("all", "nanjing", "wuhan"),
    "quota_parent": [-1, 0, 0],
    "quota_guaranteed_milli_tflops": [4_500_000, 2_000_000, 2_000_000],
    "quota_borrow_milli_tflops": [0, 1_000_000, -1],
    "quota_lend_milli_tflops": [-1, -1, 500_000],
    "quota_used_milli_tflops": [0, 0, 0],
}


def world(**changes: Any) -> Snapshot:
    """Two pools in two hubs, and every rule in use.

    Pool 0: nodes 0 and 1 in one fabric domain, 2 in another; a card of node 1 is split. Pool 1: node 3; 4 is closed.
    job-0 is a gang of one domain, job-1 of shares, job-2 elastic, job-3 of one node and of a lower tier; job-4 is too
    large. Tenants of job-0 and job-2 have quotas under "all".
    """
    return Snapshot(**(arrays(**SUPPLY, **DEMAND) | changes))


# the worths are worked out in test_verify_worth.py
PLACEMENTS = (
    Placement("job-0", 0, 0, (0, 1), (1, 1), 7_080_000),
    Placement("job-1", 0, 0, (1,), (3,), 195_000, (0, 0, -1)),
    Placement("job-2", 0, 0, (2,), (2,), 24_640_000),
    Placement("job-3", 1, 1, (3,), (2,), 5_880_000),
)


def sound() -> Plan:
    found = sealed(world(), POLICY, PLACEMENTS)
    assert violations(world(), found) == []
    return found


def with_job(number: int, **changes: Any) -> Plan:
    """Return the sound plan with one placement changed."""
    base = sound()
    kept = list(base.placements)
    kept[number] = kept[number]._replace(**changes)
    return replace(base, placements=tuple(kept))


def with_tier(number: int, **changes: Any) -> Plan:
    base = sound()
    kept = list(base.tiers)
    kept[number] = replace(kept[number], **changes)
    return replace(base, tiers=tuple(kept))


def with_prices(number: int = 1, **changes: Any) -> Plan:
    return with_tier(number, prices=replace(sound().tiers[number].prices, **changes))


def refused(job: int, reason: Reason) -> Plan:
    """Return the sound plan with one job refused for this reason, whatever it was before."""
    base = sound()
    name = f"job-{job}"
    kept = tuple(p for p in base.placements if p.job_id != name)
    return replace(
        base,
        placements=kept,
        refusals=(*(r for r in base.refusals if r.job_id != name), Refusal(name, reason, 0)),
    )


PLANTED: list[tuple[Rule, Callable[[], Plan]]] = [
    (Rule.OTHER_SNAPSHOT, lambda: replace(sound(), snapshot_hash="0" * 64)),
    (Rule.MALFORMED, lambda: with_job(0, worth_micro_yuan_per_hour=7_080_000.0)),
    (Rule.MALFORMED, lambda: with_tier(0, bound="8500000")),
    (Rule.MALFORMED, lambda: with_prices(cpu_micro_yuan_per_core_hour=(None, 0))),
    (Rule.MALFORMED, lambda: replace(sound(), effort_spent=False)),
    (Rule.UNKNOWN_JOB, lambda: with_job(0, job_id="job-9")),
    (Rule.JOB_TWICE, lambda: replace(sound(), placements=(*PLACEMENTS, PLACEMENTS[3]))),
    (Rule.JOB_TWICE, lambda: replace(sound(), refusals=(*sound().refusals, Refusal("job-0", Reason.OUTBID, 0)))),
    (Rule.JOB_UNDECIDED, lambda: replace(sound(), refusals=())),
    (Rule.DANGLING_INDEX, lambda: with_job(0, pool=2)),
    (Rule.DANGLING_INDEX, lambda: with_job(0, pool=-1)),
    (Rule.DANGLING_INDEX, lambda: with_job(0, build=2)),
    (Rule.DANGLING_INDEX, lambda: with_job(0, nodes=(0, 5))),
    (Rule.DANGLING_INDEX, lambda: with_job(1, cards=(0, 1, -1))),
    (Rule.DANGLING_INDEX, lambda: with_job(1, cards=(0, 0, -(2**40)))),
    (Rule.DANGLING_INDEX, lambda: replace(sound(), refusals=(Refusal("job-4", Reason.GANG_TOO_LARGE, 2),))),
    (Rule.REFUSED_WITHOUT_REASON, lambda: refused(4, Reason.CHOSEN)),
    (Rule.REFUSED_WITHOUT_REASON, lambda: refused(4, "because")),  # type: ignore[arg-type]
    (Rule.WRONG_REASON, lambda: refused(4, Reason.OUTBID)),
    (Rule.WRONG_REASON, lambda: refused(3, Reason.CARDS_SHORT)),
    (Rule.GANG_SPLIT, lambda: with_job(0, nodes=(0,), tasks=(1,))),
    (Rule.GANG_SPLIT, lambda: with_job(0, tasks=(1, 2))),
    (Rule.GANG_SPLIT, lambda: with_job(0, tasks=(3, -1))),
    (Rule.GANG_SPLIT, lambda: with_job(0, tasks=(2,))),
    (Rule.GANG_SPLIT, lambda: with_job(0, nodes=(), tasks=())),
    (Rule.GANG_SPLIT, lambda: with_job(0, tasks=(2**60, 2**60))),
    (Rule.WRONG_SIZE, lambda: with_job(2, tasks=(3,))),
    (Rule.FABRIC_SPLIT, lambda: with_job(0, nodes=(0, 2))),
    (Rule.FABRIC_SPLIT, lambda: with_job(3, nodes=(3, 4), tasks=(1, 1))),
    (Rule.NODE_OUTSIDE_POOL, lambda: with_job(0, nodes=(1, 3))),
    (Rule.NODE_OUTSIDE_POOL, lambda: with_job(0, nodes=(0, 0))),
    (Rule.NODE_CLOSED, lambda: with_job(3, nodes=(4,))),
    (Rule.WRONG_BUILD, lambda: with_job(0, build=1)),
    (Rule.FOREIGN_MODEL, lambda: with_job(0, pool=1, build=1, nodes=(3,), tasks=(2,))),
    (Rule.CARD_NOT_SHARED, lambda: with_job(1, pool=1, build=1, nodes=(3,), cards=(-1, -1, -1))),
    (Rule.TOO_FAR, lambda: with_job(2, pool=1, build=1, nodes=(3,))),
    (Rule.WRONG_WORTH, lambda: with_job(0, worth_micro_yuan_per_hour=1)),
    (Rule.WRONG_WORTH, lambda: with_job(0, worth_micro_yuan_per_hour=-(2**80))),
    (Rule.WRONG_WORTH, lambda: with_job(2, tasks=(4,))),  # the full size does more
    (Rule.CARDS_OVER, lambda: with_job(2, nodes=(1,))),
    (Rule.CARDS_UNNAMED, lambda: with_job(1, cards=(0, 0))),
    (Rule.CARDS_UNNAMED, lambda: with_job(1, cards=())),
    (Rule.CARDS_UNNAMED, lambda: with_job(0, cards=(-1, -1))),
    (Rule.CARD_ELSEWHERE, lambda: with_job(1, nodes=(2,))),
    (Rule.SPLIT_NUMBERS, lambda: with_job(1, cards=(0, 0, -2))),
    (Rule.SHARES_OVER, lambda: with_job(1, cards=(0, 0, 0))),
    (Rule.SHARE_COUNT_OVER, lambda: with_job(1, cards=(0, 0, 0))),
    (Rule.WRONG_BROKEN_BEFORE, lambda: replace(sound(), broken_before=("power: qingyang",))),
    (Rule.WRONG_TIERS, lambda: replace(sound(), tiers=())),
    (Rule.WRONG_TIERS, lambda: replace(sound(), tiers=sound().tiers[1:])),
    (Rule.WRONG_TIERS, lambda: replace(sound(), tiers=sound().tiers[::-1])),
    (Rule.WRONG_OBJECTIVE, lambda: replace(sound(), objective_micro_yuan_per_hour=1)),
    (Rule.WRONG_OBJECTIVE, lambda: with_tier(0, objective=0)),
    (Rule.WRONG_OBJECTIVE, lambda: with_tier(1, objective=sound().tiers[1].objective - 1)),
    (Rule.WRONG_BOUND, lambda: replace(sound(), bound_micro_yuan_per_hour=sound().bound + 1)),
    (Rule.WRONG_BOUND, lambda: with_tier(0, bound=sound().tiers[0].bound - 1)),
    (Rule.WRONG_BOUND, lambda: with_tier(2, bound=sound().tiers[2].bound + 1)),
    (Rule.WRONG_BOUND, lambda: with_prices(memory_micro_yuan_per_gib_hour=(10**30, 0))),
    (Rule.BOUND_BELOW_OBJECTIVE, lambda: with_tier(1, objective=sound().tiers[1].bound + 1)),
    (Rule.BOUND_BELOW_OBJECTIVE, lambda: with_tier(1, bound=0)),
    (Rule.WRONG_STATUS, lambda: replace(sound(), status=PlanStatus.OPTIMAL)),
    (Rule.WRONG_STATUS, lambda: replace(sound(), tiers=tuple(replace(t, bound=t.objective) for t in sound().tiers))),
    (Rule.WRONG_EFFORT, lambda: replace(sound(), effort_spent=3)),
    (Rule.BAD_PRICES, lambda: with_tier(1, prices=Prices((), (), (), ()))),
]

KINDER_WORLDS: list[tuple[Rule, dict[str, Any]]] = [
    (Rule.NODE_CLOSED, {"node_open": [True, False, True, True, False]}),
    (Rule.FABRIC_SPLIT, {"node_domain": [0, 1, 1, 0, 0]}),
    (Rule.CARDS_OVER, {"node_free_cards": [8, 4, 8, 8, 8]}),  # four whole ones, and one newly split
    (Rule.CPU_OVER, {"node_free_cpu_milli": [64_000, 31_999, 64_000, 64_000, 64_000]}),
    (Rule.MEMORY_OVER, {"node_free_memory_mib": [512_000, 255_999, 512_000, 512_000, 512_000]}),
    (Rule.SHARES_OVER, {"split_free_milli": [499]}),
    (Rule.SHARES_OVER, {"slice_milli": [400, 500]}),
    (Rule.SHARE_COUNT_OVER, {"model_shares_per_card_max": [2, -1]}),
    (Rule.CARD_NOT_SHARED, {"slice_start": [0, 0, 2]}),
    (Rule.WRONG_BUILD, {"build_models": [[False, True]] * 10}),
    (Rule.WRONG_BUILD, {"model_stack": ("dtk", "cuda")}),
    (Rule.FOREIGN_MODEL, {"model_origin": ("foreign", "foreign")}),
    (Rule.OWNER_FORBIDDEN, {"shape_owner_allowed": [[False, True]] * 5}),
    (Rule.HUB_FORBIDDEN, {"shape_hub_allowed": [[False, True]] * 5}),
    (Rule.TOO_FAR, {"shape_round_trip_micros_max": [19_999] * 5}),
    (Rule.TOO_FAR, {"round_trip_micros": [[-1, 30_000]]}),
    (Rule.TRANSFER_TOO_LONG, {"shape_transfer_seconds_max": [1_023, -1, -1, -1, -1]}),
    (Rule.TRANSFER_TOO_LONG, {"transfer_mib_per_second": [[-1, 100]]}),
    (Rule.TRANSFER_TOO_LONG, {"transfer_mib_per_second": [[0, 100]]}),
    (Rule.TOO_LATE, {"job_finish_by_s": [1_003_599, -1, -1, -1, -1]}),
    (Rule.STILL_THERE, {"pool_until_s": [1_003_599, -1]}),
    (Rule.NOT_WORTH_IT, {"pool_ask_micro_yuan_per_card_hour": [10**10, 2_000_000]}),
    (Rule.NOT_WORTH_IT, {"hub_micro_yuan_per_kwh": [2_100_000, 300_000]}),
    (Rule.NOT_WORTH_IT, {"model_fp16_programme_milli_tflops": [-1, 312_000]}),
    (Rule.WRONG_WORTH, {"job_priority": [2, 1, 1, 1, 1]}),
    (Rule.WRONG_WORTH, {"job_submitted_at_s": [0, 999_999, 999_999, 999_999, 999_999]}),
    (Rule.WRONG_WORTH, {"shape_staged": [[True, False]] * 5}),
    (Rule.WRONG_WORTH, {"size_speed_ppm": [600_001]}),
    (Rule.POWER_OVER, {"hub_power_cap_watts": [8_649, -1]}),
    (Rule.POWER_OVER, {"hub_pace_watts": [8_649, -1]}),
    (Rule.POWER_OVER, {"hub_used_watts": [20_000, 0]}),
    (Rule.QUOTA_OVER, {"quota_borrow_milli_tflops": [0, 559_999, -1]}),
    (Rule.QUOTA_OVER, {"quota_used_milli_tflops": [9_000_000, 0, 0]}),
    (Rule.LENT_OVER, {"quota_lend_milli_tflops": [-1, -1, 0]}),
    (Rule.WRONG_BROKEN_BEFORE, {"quota_used_milli_tflops": [9_000_000, 0, 0]}),
    (Rule.WRONG_TIERS, {"quota_used_milli_tflops": [18_000_000, 9_000_000, 9_000_000]}),
    (Rule.WRONG_TIERS, {"job_tier": [0, 0, 0, 1, 2]}),
    (Rule.WRONG_REASON, {"node_cards": [9] * 5, "node_free_cards": [9, 7, 8, 8, 8]}),
    (Rule.WRONG_BOUND, {"job_ceiling_micro_yuan_per_pflops_hour": [10_000_000, 20_000_000] + [10_000_000] * 3}),
]


@pytest.mark.parametrize(("rule", "broken"), PLANTED, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(PLANTED)])
def test_a_planted_violation_is_caught(rule: Rule, broken: Callable[[], Plan]) -> None:
    """A check that nothing can trip is no check."""
    assert rule in {violation.rule for violation in violations(world(), broken())}


@pytest.mark.parametrize(
    ("rule", "changes"), KINDER_WORLDS, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(KINDER_WORLDS)]
)
def test_a_plan_for_a_kinder_world_is_caught(rule: Rule, changes: dict[str, Any]) -> None:
    """The world behind a plan may have changed in each of these ways before the plan is committed."""
    assert rule in {violation.rule for violation in violations(world(**changes), sound())}


def test_every_rule_has_been_planted() -> None:
    """A new rule needs a test that trips it."""
    assert {rule for rule, _ in PLANTED} | {rule for rule, _ in KINDER_WORLDS} == set(Rule)


def test_a_violation_alone_is_the_only_one_told() -> None:
    """Whoever reads the list should see what is wrong, and nothing beside it."""
    moved = with_job(1, cards=(0, 0, -2))

    assert [violation.rule for violation in violations(world(), moved)] == [Rule.SPLIT_NUMBERS]


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": (1, 2), "tasks": (1, 1), "worth_micro_yuan_per_hour": 18_496_000},  # spread, so at 0.9 of the speed
        {"nodes": (0,), "worth_micro_yuan_per_hour": 24_640_000},
        {
            "nodes": (2,),
            "worth_micro_yuan_per_hour": 18_496_000,
        },  # close together, and content with the worth of spread
    ],
)
def test_the_worth_may_be_that_of_any_form_that_is_satisfied(changes: dict[str, Any]) -> None:
    """job-2 is faster within a fabric domain: (15.36 * 0.9 - 8 - 1.2) * 4 = 18.496 yuan when it spreads."""
    placements = (*PLACEMENTS[:2], PLACEMENTS[2]._replace(**changes), PLACEMENTS[3])

    assert violations(world(), sealed(world(), POLICY, placements)) == []


def test_spread_work_cannot_claim_the_worth_of_work_close_together() -> None:
    spread = with_job(2, nodes=(1, 2), tasks=(1, 1))

    assert [violation.rule for violation in violations(world(), spread)] == [Rule.WRONG_WORTH]


def test_a_rule_broken_before_may_stand_and_must_be_told() -> None:
    """Nothing is added to it, so nothing got worse."""
    over = world(hub_used_watts=[10_001, 0], hub_pace_watts=[9_000, -1])
    found = sealed(over, POLICY, PLACEMENTS[3:])

    assert found.broken_before == (
        "power: qingyang draws 10001 W, its cap is 10000 W",
        "energy: qingyang draws 10001 W, its pace is 9000 W",
    )
    assert violations(over, found) == []


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_world_without_pools_has_an_empty_plan(jobs: int) -> None:
    """Nothing to place, nothing to price."""
    nothing = snapshot(pools=0, nodes_per_pool=0, jobs=jobs)

    assert violations(nothing, sealed(nothing, POLICY, ())) == []


JUNK: tuple[Any, ...] = (
    None, True, -1, 2**70, 10**5000, 1.5, "x", (), [], {}, (None,), (1.0,), (-1,), (2**70,), ((1,),), ((None,),) * 2,
    ((2**70,),) * 2, b"", object(),
)  # fmt: skip


def _spoilt(value: Any) -> list[Any]:
    """Return copies of a dataclass or named tuple, each with one field that holds junk."""
    named = isinstance(value, tuple)
    content: dict[str, Any] = value._asdict() if named else vars(value)
    return [
        value._replace(**{name: junk}) if named else replace(value, **{name: junk})
        for name, held in content.items()
        for junk in JUNK
        if held != junk or type(held) is not type(junk)
    ]


def test_whatever_a_plan_holds_is_a_violation_and_no_exception() -> None:
    """A plan may come from a file; no number in it may wrap around, and no field may be taken on trust."""
    base = sound()
    first, shared, *rest = base.placements
    *above, last = base.tiers
    spoilt = [replace(base, placements=(first, each, *rest)) for each in _spoilt(shared)]
    spoilt += [replace(base, refusals=(each,)) for each in _spoilt(base.refusals[0])]
    spoilt += [replace(base, tiers=(*above, each)) for each in _spoilt(last)]
    spoilt += [replace(base, tiers=(*above, replace(last, prices=each))) for each in _spoilt(last.prices)]
    world_now = world()

    for plan in spoilt:
        assert violations(world_now, plan)


@pytest.mark.parametrize("seed", range(40))
def test_the_best_plan_of_a_tiny_world_breaks_no_rule(seed: int) -> None:
    """The exhaustive search puts tasks on cards by its own rules; the verifier finds nothing against them."""
    tiny = random_ruled_world(seed)

    assert violations(tiny, optimal_plan(tiny, POLICY)) == []


def test_a_sound_plan_has_the_tiers_of_its_world() -> None:
    """Guarantees first, then worth by tier of job; prices of 0 say that every job could run."""
    tiers = sound().tiers

    # of quota "nanjing" 2,000,000 are guaranteed and 2,560,000 used; of "wuhan" and "all" all that is new counts
    assert tiers[0] == Tier("guarantee", 2_000_000 + 1_280_000 + 3_840_000, 8_500_000, no_prices(world()))
    assert [tier.objective for tier in tiers[1:]] == [7_080_000 + 195_000 + 24_640_000, 5_880_000]
