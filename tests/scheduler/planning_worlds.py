"""Instances for the planner's tests: small ones drawn from a seed, large ones in the shape of real demand."""

from __future__ import annotations

from typing import Any

import numpy as np

from scheduler.snapshot import Snapshot


def arrays(*, pools: int = 1, nodes_per_pool: int = 2, cards: int = 8, jobs: int = 3, **changes: Any) -> dict[str, Any]:
    """Return a plain world as keyword arguments of Snapshot: one model, one hub, equal one-card jobs."""
    nodes = pools * nodes_per_pool
    world: dict[str, Any] = {
        "taken_at_s": 1_000_000,
        "model_names": ("ascend-910b",),
        "model_stack": ("cann",),
        "model_origin": ("domestic",),
        "model_fp16_programme_milli_tflops": [320_000],
        "model_fp16_nameplate_milli_tflops": [376_000],
        "model_fp16_measured_milli_tflops": [-1],
        "hub_names": ("qingyang",),
        "city_names": ("nanjing",),
        "city_weight_ppm": [1_000_000],
        "round_trip_micros": [[20_000]],
        "pool_names": tuple(f"cluster/pool-{p}" for p in range(pools)),
        "pool_cluster": ("cluster",) * pools,
        "pool_hub": [0] * pools,
        "pool_model": [0] * pools,
        "pool_ask_micro_yuan_per_card_hour": [2_000_000] * pools,
        "node_names": tuple(f"node-{n}" for n in range(nodes)),
        "node_pool": [n // nodes_per_pool for n in range(nodes)],
        "node_open": [True] * nodes,
        "node_cards": [cards] * nodes,
        "node_cpu_milli": [64_000] * nodes,
        "node_memory_mib": [512_000] * nodes,
        "node_free_cards": [cards] * nodes,
        "node_free_cpu_milli": [64_000] * nodes,
        "node_free_memory_mib": [512_000] * nodes,
        "shape_tasks": [1],
        "shape_cards_per_task": [1],
        "shape_cpu_milli_per_task": [1_000],
        "shape_memory_mib_per_task": [1_024],
        "shape_round_trip_micros_max": [-1],
        "shape_hub_allowed": [[True]],
        "build_start": [0, 1],
        "build_stack": ("cann",),
        "build_models": [[True]],
        "build_speed_ppm": [1_000_000],
        "job_id": tuple(f"job-{j}" for j in range(jobs)),
        "job_city": [0] * jobs,
        "job_shape": [0] * jobs,
        "job_priority": [1] * jobs,
        "job_ceiling_micro_yuan_per_pflops_hour": [10_000_000] * jobs,
        "job_submitted_at_s": [999_999] * jobs,
        "job_walltime_seconds": [3_600] * jobs,
    }
    return world | changes


def snapshot(**changes: Any) -> Snapshot:
    """Return `arrays(...)` as a snapshot."""
    return Snapshot(**arrays(**changes))


def gangs(*shapes: tuple[int, int], ceilings: list[int] | None = None, **changes: Any) -> Snapshot:
    """Return a world with one job for each (tasks, cards per task)."""
    count = len(shapes)
    return snapshot(
        jobs=count,
        shape_tasks=[tasks for tasks, _ in shapes],
        shape_cards_per_task=[cards for _, cards in shapes],
        shape_cpu_milli_per_task=[0] * count,
        shape_memory_mib_per_task=[0] * count,
        shape_round_trip_micros_max=[-1] * count,
        shape_hub_allowed=[[True]] * count,
        build_start=list(range(count + 1)),
        build_stack=("cann",) * count,
        build_models=[[True]] * count,
        build_speed_ppm=[1_000_000] * count,
        job_shape=list(range(count)),
        **({"job_ceiling_micro_yuan_per_pflops_hour": ceilings} if ceilings else {}),
        **changes,
    )


THREE_MODELS: dict[str, Any] = {
    "model_names": ("a800", "ascend-910b", "ascend-910c"),
    "model_stack": ("cuda", "cann", "cann"),
    "model_origin": ("foreign", "domestic", "domestic"),
    "model_fp16_programme_milli_tflops": [312_000, 320_000, 752_000],
    "model_fp16_nameplate_milli_tflops": [312_000, 376_000, 800_000],
    "model_fp16_measured_milli_tflops": [-1, -1, -1],
}


def random_world(
    seed: int,
    *,
    jobs: int,
    pools: int,
    nodes_per_pool: int,
    sizes: tuple[int, ...] = (1, 2, 4, 8),
    tasks: tuple[int, ...] = (1, 1, 1, 2, 3),
    node_cards: int = 8,
    cities: int = 3,
    cpu_milli_per_card: int = 12_000,
    busy: float = 0.45,
    empty: float = 0.3,
    shapes: int | None = None,
) -> Snapshot:
    """Return a world with three models, two hubs, unlike asks and ceilings, half of the shapes with two builds."""
    draw = np.random.Generator(np.random.PCG64(seed))
    nodes = pools * nodes_per_pool
    count = shapes or max(1, jobs // 2)
    per_task = draw.choice(sizes, count)
    builds: list[tuple[str, list[bool], int]] = []
    start = [0]
    for _ in range(count):
        first = str(draw.choice(["cuda", "cann"]))
        offered = [first] if draw.random() < 0.5 else [first, "cann" if first == "cuda" else "cuda"]
        builds += [
            (stack, (draw.random(3) < 0.85).tolist(), int(draw.integers(500_000, 1_500_000))) for stack in offered
        ]
        start.append(len(builds))
    whole = np.full(nodes, node_cards)
    taken = np.where(draw.random(nodes) < empty, 0, draw.binomial(node_cards, busy, nodes))
    hubs_allowed = draw.random((count, 2)) < 0.9
    return Snapshot(
        taken_at_s=1_000_000,
        **THREE_MODELS,
        hub_names=("qingyang", "guian"),
        city_names=tuple(f"city-{c}" for c in range(cities)),
        city_weight_ppm=[1_000_000] * cities,
        round_trip_micros=draw.integers(5_000, 45_000, (cities, 2)),
        pool_names=tuple(f"c{p // 2}/p{p}" for p in range(pools)),
        pool_cluster=tuple(f"c{p // 2}" for p in range(pools)),
        pool_hub=np.arange(pools) % 2,
        pool_model=draw.integers(0, 3, pools),
        pool_ask_micro_yuan_per_card_hour=draw.integers(1_000_000, 6_000_000, pools),
        node_names=tuple(f"n{n}" for n in range(nodes)),
        node_pool=np.repeat(np.arange(pools), nodes_per_pool),
        node_open=draw.random(nodes) < 0.97,
        node_cards=whole,
        node_cpu_milli=whole * 12_000,
        node_memory_mib=whole * 128_000,
        node_free_cards=whole - taken,
        node_free_cpu_milli=(whole - taken) * 12_000,
        node_free_memory_mib=(whole - taken) * 128_000,
        shape_tasks=draw.choice(tasks, count),
        shape_cards_per_task=per_task,
        shape_cpu_milli_per_task=per_task * draw.integers(cpu_milli_per_card // 3, cpu_milli_per_card + 1, count),
        shape_memory_mib_per_task=per_task * draw.integers(16_000, 140_000, count),
        shape_round_trip_micros_max=np.where(draw.random(count) < 0.3, draw.integers(10_000, 45_000, count), -1),
        shape_hub_allowed=hubs_allowed,
        build_start=start,
        build_stack=tuple(stack for stack, _, _ in builds),
        build_models=[models for _, models, _ in builds],
        build_speed_ppm=[speed for _, _, speed in builds],
        **_random_jobs(draw, jobs, cities, count),
    )


def _random_jobs(draw: np.random.Generator, jobs: int, cities: int, shapes: int) -> dict[str, Any]:
    return {
        "job_id": tuple(f"job-{j}" for j in range(jobs)),
        "job_city": draw.integers(0, cities, jobs),
        "job_shape": draw.integers(0, shapes, jobs),
        "job_priority": draw.choice(4, jobs, p=[0.2, 0.6, 0.15, 0.05]),
        "job_ceiling_micro_yuan_per_pflops_hour": draw.integers(5_000_000, 40_000_000, jobs),
        "job_submitted_at_s": draw.integers(900_000, 1_000_000, jobs),
        "job_walltime_seconds": draw.integers(600, 86_400, jobs),
    }


def random_ruled_world(
    seed: int, *, jobs: int = 5, pools: int = 2, nodes_per_pool: int = 2, node_cards: int = 4, shapes: int = 4
) -> Snapshot:
    """Return a tiny world in which every rule is in use: shares with slices and split cards, domains, elastic gangs,
    owners, data, power, tenants with a tree of quotas that lend, two tiers of jobs. Some seeds begin with broken rules.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    nodes = pools * nodes_per_pool
    world = arrays(pools=pools, nodes_per_pool=nodes_per_pool, cards=node_cards, jobs=jobs)
    world |= THREE_MODELS | {
        "hub_names": ("qingyang", "guian"),
        "city_names": ("nanjing", "wuhan"),
        "city_weight_ppm": draw.integers(1, 4, 2) * 10**6,
        "city_used_milli_tflops": draw.integers(0, 10**7, 2) * int(draw.integers(0, 2)),
        "round_trip_micros": draw.integers(5_000, 45_000, (2, 2)),
        "pool_hub": np.arange(pools) % 2,
        "pool_model": draw.integers(0, 3, pools),
        "pool_ask_micro_yuan_per_card_hour": draw.integers(500_000, 4_000_000, pools),
        "owner_names": ("park", "telecom"),
        "pool_owner": draw.integers(0, 2, pools),
    }
    world |= _ruled_nodes(draw, nodes, nodes_per_pool, node_cards)
    world |= _ruled_shapes(draw, shapes)
    world |= _ruled_limits(draw)
    world |= {
        "job_city": draw.integers(0, 2, jobs),
        "job_shape": draw.integers(0, shapes, jobs),
        "job_priority": draw.choice(4, jobs, p=[0.2, 0.6, 0.15, 0.05]),
        "job_ceiling_micro_yuan_per_pflops_hour": draw.integers(4_000_000, 30_000_000, jobs),
        "job_submitted_at_s": draw.integers(900_000, 1_000_000, jobs),
        "job_walltime_seconds": draw.integers(600, 86_400, jobs),
        "job_tenant": draw.integers(-1, 3, jobs),
        "job_tier": draw.integers(0, 2, jobs),
    }
    return Snapshot(**world)


def _ruled_nodes(draw: np.random.Generator, nodes: int, nodes_per_pool: int, cards: int) -> dict[str, Any]:
    free = np.minimum(draw.integers(1, cards + 2, nodes), cards)
    split = np.flatnonzero((free < cards) & (draw.random(nodes) < 0.6))
    return {
        "node_open": draw.random(nodes) < 0.95,
        "node_cards": [cards] * nodes,
        "node_free_cards": free,
        "node_free_cpu_milli": draw.integers(20_000, 64_001, nodes),
        "node_free_memory_mib": draw.integers(200_000, 512_001, nodes),
        "node_domain": np.tile(np.arange(nodes_per_pool) // 2, nodes // nodes_per_pool),
        "slice_start": [0, 2, 4, 4],
        "slice_milli": [250, 500, 125, 600],
        "model_shares_per_card_max": [-1, 3, -1],
        "split_node": split,
        "split_free_milli": draw.integers(100, 900, split.size),
        "split_shares": draw.integers(1, 3, split.size),
    }


def _ruled_shapes(draw: np.random.Generator, shapes: int) -> dict[str, Any]:
    share = np.where(draw.random(shapes) < 0.4, draw.integers(50, 650, shapes), 0)
    tasks = draw.choice([1, 2, 3], shapes)
    gang = (share == 0) & (tasks > 1)
    within = np.where(gang, draw.integers(0, 3, shapes), 0)
    elastic = (tasks > 1) & (draw.random(shapes) < 0.5)
    return {
        "shape_tasks": tasks,
        "shape_cards_per_task": np.where(share > 0, 1, draw.choice([1, 1, 2, 3], shapes)),
        "shape_cpu_milli_per_task": draw.integers(0, 16_000, shapes),
        "shape_memory_mib_per_task": draw.integers(0, 120_000, shapes),
        "shape_round_trip_micros_max": np.where(draw.random(shapes) < 0.2, 30_000, -1),
        "shape_hub_allowed": draw.random((shapes, 2)) < 0.95,
        "shape_share_milli": share,
        "shape_within": within,
        "shape_spread_speed_ppm": np.where(gang & (within == 0) & (draw.random(shapes) < 0.5), 800_000, 10**6),
        "size_start": np.append(0, np.cumsum(elastic)),
        "size_tasks": (tasks - 1)[elastic],
        "size_speed_ppm": draw.integers(300_000, 700_000, int(elastic.sum())),
        "shape_owner_allowed": draw.random((shapes, 2)) < 0.9,
        "shape_domestic_only": draw.random(shapes) < 0.1,
        "shape_input_gib": draw.choice([0, 100, 10_000], shapes),
        "shape_output_gib": draw.choice([0, 50], shapes),
        "shape_staged": draw.random((shapes, 2)) < 0.3,
        "shape_transfer_seconds_max": draw.choice([-1, -1, 3_600], shapes),
        "build_start": np.arange(shapes + 1) * 2,
        "build_stack": ("cuda", "cann") * shapes,
        "build_models": draw.random((2 * shapes, 3)) < 0.9,
        "build_speed_ppm": draw.integers(500_000, 1_500_000, 2 * shapes),
    }


def _ruled_limits(draw: np.random.Generator) -> dict[str, Any]:
    """Two hubs, the second without cap; the tree "all" over two cities, the first of which has an enterprise."""
    return {
        "model_card_watts": [500, 400, 600],
        "hub_pue_ppm": [1_250_000, 1_100_000],
        "hub_power_cap_watts": [int(draw.integers(2_000, 7_000)), -1],
        "hub_pace_watts": [-1, int(draw.choice([-1, 900, 5_000], p=[0.4, 0.1, 0.5]))],
        "hub_used_watts": draw.integers(0, 1_500, 2),
        "hub_micro_yuan_per_kwh": [400_000, 300_000],
        "transfer_micro_yuan_per_gib": draw.integers(0, 2_000, (2, 2)),
        "transfer_mib_per_second": draw.choice([-1, 100, 1_000], (2, 2)),
        "tenant_names": ("a", "b", "c"),
        "tenant_quota": [[1, 1], [2, 2], [3, -1]],
        "quota_names": ("all", "nanjing", "wuhan", "works"),
        "quota_parent": [-1, 0, 0, 1],
        "quota_guaranteed_milli_tflops": [3_000_000, 1_200_000, 1_000_000, 600_000],
        "quota_borrow_milli_tflops": [int(draw.choice([0, 2_000_000])), 1_000_000, -1, 500_000],
        "quota_lend_milli_tflops": [-1, int(draw.choice([-1, 500_000])), 0, 100_000],
        "quota_used_milli_tflops": _used(draw),
    }


def _used(draw: np.random.Generator) -> list[int]:
    """Return what the tree of `_ruled_limits` uses, children included."""
    everybody = int(draw.choice([0, 1_500_000, 3_200_000], p=[0.5, 0.35, 0.15]))
    nanjing, wuhan, works = (int(draw.choice(each)) for each in ([0, 400_000, 900_000], [0, 700_000], [0, 300_000]))
    nanjing = max(nanjing, works)
    return [max(everybody, nanjing + wuhan), nanjing, wuhan, works]
