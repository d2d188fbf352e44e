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
