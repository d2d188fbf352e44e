"""A small world in which everything happens once: planned, it has all of the scheduler's machine code made or loaded.

Compiling takes some minutes in all the first time on a machine, and a plan is not to wait for it piece by piece. The
world is drawn from a seed, no user's, and nothing is kept of what comes out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from scheduler.explain import explain
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.horizon import Horizon, Promise
from scheduler.mix import Mix, UsualTask, mix_of
from scheduler.placer import Placer, large_gangs
from scheduler.policy import Policy
from scheduler.rounds import round_violations, run_round
from scheduler.snapshot import Snapshot

_NOW_S: Final = 1_000_000
_POOLS: Final = 4
_NODES: Final = 6
"""Of each pool."""
_CARDS: Final = 8
"""Of each node."""
_RUNNING: Final = 10
"""Leases: each has half of one node of the first pools."""
_JOBS: Final = 40
_SHAPES: Final = (  # tasks, cards of each, share of a card, where the gang must be
    (1, 1, 0, WITHIN_POOL),
    (1, 2, 0, WITHIN_POOL),
    (1, 8, 0, WITHIN_POOL),
    (1, 1, 250, WITHIN_POOL),
    (2, 4, 0, WITHIN_NODE),
    (2, 8, 0, WITHIN_DOMAIN),
    (3, 8, 0, WITHIN_POOL),
    (6, 8, 0, WITHIN_POOL),
    (16, 1, 0, WITHIN_POOL),
    (40, 8, 0, WITHIN_POOL),
)


def rehearse() -> None:
    """Decide, verify and place in the small world, and forget it. Raise RuntimeError: a verifier found something."""
    world, ahead = waiting_world(), horizon()
    # few steps of each kind, with seats for large gangs as only large worlds have them
    few = Policy(effort=12, price_steps_max=1, upper_tier_steps_max=1, seats_from_pairs=1, solver_work_ms_per_step=10)
    policy = replace(few, promises_max=4, churn_card_seconds_max=10**6)
    made = run_round(world, ahead, policy)
    if found := round_violations(world, ahead, policy, made):
        raise RuntimeError(f"the rehearsal's own plan breaks rules: {found[:3]}")
    plan, started = made.decision.plan, made.decision.placements
    explain(world, plan, next(iter(plan.refusals)).job_id)
    for mix in (None, usual_mix()):
        placer = Placer(world, policy, mix=mix)
        placer.warm()
        placer.set_aside(large_gangs(world, 4), 2)
        placer.place(world)
        placer.within_limits(world, started)
        for each in placer.placements:
            placer.release(each.job_id)
        if mix is not None:
            placer.place_without_cards(1_000, 1_024)
        placer.place(world)
        whole = [each for each in started if not each.cards]
        placer.settle(world, plan, whole)  # beside what was placed, as if that had ended meanwhile


def waiting_world() -> Snapshot:
    """Return more work than fits: shares, single cards and gangs of two cities and tiers, under quotas and power."""
    draw = np.random.default_rng(1)
    shapes, nodes = np.array(_SHAPES), _POOLS * _NODES
    free = np.full(nodes, _CARDS)
    free[:_RUNNING] -= _CARDS // 2
    free[-1] -= 1  # one card of it is split
    arrays: dict[str, Any] = dict(  # noqa: C408  reads as the arguments that it becomes
        taken_at_s=_NOW_S,
        model_names=("a", "b"), model_stack=("cuda", "cann"), model_origin=("foreign", "domestic"),
        model_fp16_programme_milli_tflops=[312_000, 320_000], model_fp16_nameplate_milli_tflops=[312_000, 376_000],
        model_fp16_measured_milli_tflops=[-1, -1],
        slice_start=[0, 1, 3], slice_milli=[500, 250, 500],
        hub_names=("h", "i"), hub_power_cap_watts=[-1, 60_000], model_card_watts=[700, 600],
        city_names=("c", "d"), city_weight_ppm=[10**6] * 2, round_trip_micros=[[20_000, 30_000], [25_000, 15_000]],
        pool_names=tuple(f"{p}" for p in range(_POOLS)), pool_cluster=tuple(f"{p // 2}" for p in range(_POOLS)),
        pool_hub=[0, 0, 1, 1], pool_model=[0, 1, 0, 1], pool_ask_micro_yuan_per_card_hour=[2_000_000] * _POOLS,
        node_names=tuple(f"{n}" for n in range(nodes)), node_pool=np.repeat(np.arange(_POOLS), _NODES),
        node_domain=np.tile(np.arange(_NODES) // 3, _POOLS), node_open=[True] * nodes, node_cards=[_CARDS] * nodes,
        node_free_cards=free, node_cpu_milli=[96_000] * nodes, node_free_cpu_milli=free * 12_000,
        node_memory_mib=[512_000] * nodes, node_free_memory_mib=free * 64_000,
        split_node=[nodes - 1], split_free_milli=[500], split_shares=[1],
        shape_tasks=shapes[:, 0], shape_cards_per_task=shapes[:, 1], shape_share_milli=shapes[:, 2],
        shape_within=shapes[:, 3], shape_cpu_milli_per_task=shapes[:, 1] * 4_000,
        shape_memory_mib_per_task=shapes[:, 1] * 8_000, shape_round_trip_micros_max=[-1] * len(shapes),
        shape_hub_allowed=np.ones((len(shapes), 2), np.bool_),
        build_start=np.arange(len(shapes) + 1) * 2, build_stack=("cuda", "cann") * len(shapes),
        build_models=[[True, False], [False, True]] * len(shapes), build_speed_ppm=[10**6, 900_000] * len(shapes),
        tenant_names=("t",), tenant_quota=[[1, -1]], quota_names=("q", "r"), quota_parent=[-1, 0],
        quota_guaranteed_milli_tflops=[2_000_000, 1_000_000], quota_borrow_milli_tflops=[-1, -1],
        quota_lend_milli_tflops=[-1, -1], quota_used_milli_tflops=[0, 0],
        job_id=tuple(f"{j}" for j in range(_JOBS)), job_city=draw.integers(0, 2, _JOBS),
        job_shape=np.arange(_JOBS) % len(shapes), job_priority=draw.integers(0, 3, _JOBS),
        job_tier=draw.integers(0, 2, _JOBS), job_tenant=draw.integers(-1, 1, _JOBS),
        job_ceiling_micro_yuan_per_pflops_hour=draw.integers(8, 20, _JOBS) * 1_000_000,
        job_submitted_at_s=_NOW_S - draw.integers(0, 10_000, _JOBS),
        job_walltime_seconds=draw.integers(600, 90_000, _JOBS),
    )  # fmt: skip
    return Snapshot(**arrays)


def horizon() -> Horizon:
    """Return what runs in that world and may be stopped, and a gang to which nodes are promised after it."""
    ends = _NOW_S + 3_600
    return Horizon(
        lease_id=tuple(f"l{r}" for r in range(_RUNNING)), lease_ends_at_s=np.full(_RUNNING, ends),
        lease_preemptible=np.ones(_RUNNING, np.bool_), lease_lost_card_seconds=np.full(_RUNNING, 100),
        lease_tier=np.ones(_RUNNING, np.int64),
        held_lease=np.arange(_RUNNING), held_node=np.arange(_RUNNING), held_cards=np.full(_RUNNING, _CARDS // 2),
        held_cpu_milli=np.full(_RUNNING, 48_000), held_memory_mib=np.full(_RUNNING, 256_000),
        closed_node=np.array([_NODES]), closed_from_s=np.array([ends]), closed_until_s=np.array([ends + 3_600]),
        promises=(
            Promise("5", ends, ends + 90_000, 0, 0, (0, 1), (1, 1), 1_000_000, 8, 32_000, 64_000, WITHIN_DOMAIN),
        ),
    )  # fmt: skip


def usual_mix() -> Mix:
    """Return a mix in which there are whole cards, shares, and tasks without a card."""
    return mix_of({UsualTask(8_000, 1, 1_000, ()): 5, UsualTask(4_000, 1, 250, ()): 3, UsualTask(2_000, 0, 0, ()): 1})


if __name__ == "__main__":
    rehearse()
