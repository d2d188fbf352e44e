"""Worlds in which leases run that may be stopped for others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from planning_worlds import random_ruled_world
from timed_worlds import with_windows

from scheduler.decide import Decision
from scheduler.horizon import Horizon
from scheduler.policy import Policy
from scheduler.preemption import preempt
from scheduler.reclaim import Reclaim
from scheduler.snapshot import Snapshot
from scheduler.verify_preemption import PreemptionViolation, Terms, preemption_violations

NOW = 1_000_000


@dataclass(frozen=True)
class Lease:
    """One lease: cards by node, and what is known of it."""

    cards: dict[int, int]
    lost: int = 0
    tier: int = 1
    ends_s: int = NOW + 50_000
    preemptible: bool = True
    moved: bool = False
    grace: int = 0
    quota: int = -1
    use: int = 0


def running(*leases: Lease, **more: object) -> Horizon:
    """Return the horizon of these leases, `lease-0` first; CPU and memory are not counted."""
    held = [(at, node, cards) for at, each in enumerate(leases) for node, cards in sorted(each.cards.items())]
    table = np.array(held, dtype=np.int64).reshape(-1, 3)
    return Horizon(
        lease_id=tuple(f"lease-{at}" for at in range(len(leases))),
        lease_ends_at_s=np.array([each.ends_s for each in leases], dtype=np.int64),
        lease_preemptible=np.array([each.preemptible for each in leases], dtype=np.bool_),
        lease_lost_card_seconds=np.array([each.lost for each in leases], dtype=np.int64),
        lease_tier=np.array([each.tier for each in leases], dtype=np.int64),
        lease_quota=np.array([each.quota for each in leases], dtype=np.int64),
        lease_quota_use=np.array([each.use for each in leases], dtype=np.int64),
        lease_moved=np.array([each.moved for each in leases], dtype=np.bool_),
        lease_grace_seconds=np.array([each.grace for each in leases], dtype=np.int64),
        held_lease=table[:, 0],
        held_node=table[:, 1],
        held_cards=table[:, 2],
        held_cpu_milli=np.zeros(len(table), dtype=np.int64),
        held_memory_mib=np.zeros(len(table), dtype=np.int64),
        **more,  # type: ignore[arg-type]
    )


def ruled_and_running(seed: int) -> tuple[Snapshot, Horizon]:
    """Return a tiny world in which every rule is in use, full of leases of one or two nodes, and closed times."""
    draw = np.random.default_rng((seed, 17))
    world = random_ruled_world(seed, jobs=7, nodes_per_pool=3)
    split = np.bincount(world.split_node, minlength=len(world.node_names))
    taken = draw.random(split.size) < 0.85  # nodes that are full
    factor, zero = int(draw.integers(1, 4)), np.zeros(2, dtype=np.int64)
    world = replace(
        world,
        node_free_cards=np.where(taken, 0, world.node_free_cards),
        quota_guaranteed_milli_tflops=factor * world.quota_guaranteed_milli_tflops,
        quota_used_milli_tflops=zero.repeat(2) if draw.random() < 0.7 else world.quota_used_milli_tflops,
        hub_used_watts=zero if draw.random() < 0.7 else world.hub_used_watts,
    )
    busy = world.node_cards - world.node_free_cards - split
    leases: list[Lease] = []
    for node in np.flatnonzero(busy > 0).tolist():
        rest = int(busy[node])
        while rest > 0 and draw.random() < 0.9:
            cards = int(draw.integers(1, rest + 1))
            rest -= cards
            last = leases[-1] if leases else None
            together = last is not None and draw.random() < 0.2 and node not in last.cards
            if last is not None and together and world.node_pool[min(last.cards)] == world.node_pool[node]:
                leases[-1] = replace(last, cards=last.cards | {node: cards})
                continue
            leases.append(
                Lease(
                    {node: cards},
                    lost=int(draw.integers(0, 20_000)),
                    tier=int(draw.integers(0, 3)),
                    ends_s=NOW + int(draw.integers(-60, 60_000)),
                    preemptible=bool(draw.random() < 0.85),
                    moved=bool(draw.random() < 0.1),
                    grace=int(draw.choice([0, 30, 300, 1_200])),
                    quota=int(draw.integers(-1, len(world.quota_names))),
                )
            )
    flops = world.model_fp16_programme_milli_tflops[world.pool_model[world.node_pool]]
    leases = [
        replace(each, use=sum(int(flops[node]) * cards for node, cards in each.cards.items()) if each.quota >= 0 else 0)
        for each in leases
    ]
    horizon = _closing(running(*leases), draw, split.size)
    return with_windows(_counted(world, leases), horizon), horizon


def _closing(horizon: Horizon, draw: np.random.Generator, nodes: int) -> Horizon:
    closed = np.flatnonzero(draw.random(nodes) < 0.15)
    begin = NOW + draw.integers(-3_600, 86_400, closed.size)
    until = np.maximum(begin + draw.integers(60, 40_000, closed.size), NOW + 1)
    return replace(horizon, closed_node=closed, closed_from_s=begin, closed_until_s=until)


def _counted(world: Snapshot, leases: list[Lease]) -> Snapshot:
    """Return the world in which power and quotas count what these leases use."""
    used, watts = world.quota_used_milli_tflops.copy(), world.hub_used_watts.copy()
    for each in leases:
        quota, pool = each.quota, int(world.node_pool[min(each.cards)])
        while quota >= 0:
            used[quota] += each.use
            quota = int(world.quota_parent[quota])
        hub = int(world.pool_hub[pool])
        cards = sum(each.cards.values()) * int(world.model_card_watts[world.pool_model[pool]])
        watts[hub] += -(-cards * int(world.hub_pue_ppm[hub]) // 10**6)
    return replace(world, taken_at_s=NOW, quota_used_milli_tflops=used, hub_used_watts=watts)


def preempted(
    world: Snapshot, horizon: Horizon, made: Decision, policy: Policy, budget: int = 10**9
) -> tuple[Reclaim, list[PreemptionViolation]]:
    """Return what is stopped after a decision, and what that breaks."""
    reclaim = preempt(world, horizon, made, policy, budget)
    terms = Terms(policy.lease_end_margin_seconds, policy.reclaim_seconds_max, budget)
    return reclaim, preemption_violations(world, horizon, terms, made.placements, made.promises, reclaim)
