"""A national exchange on which an allocator has something to decide.

Demand is at least three times the free cards; sizes and walltimes are those of real jobs, and beside them stand gangs
of 16 to 1,024 cards with more than 30 % of the worth; at least half of the jobs can run on two software stacks or more;
round trips, allowed hubs, ceilings, CPU and memory each shut some pools for some jobs.
"""

from typing import Any, Final

import numpy as np

from benchmarks.worlds.trace import RealJobs
from scheduler.snapshot import Ints, Snapshot

DEMAND_OVER_FREE: Final = 4.4  # some jobs can run nowhere: what can run must still ask for three times the free cards
FREE_SHARE_MAX: Final = 0.55
GANG_SHARE: Final = 0.085  # of the jobs; with gangs of 57 cards on average that is most of the cards asked for
NODE_CARDS: Final = 8
CPU_MILLI_PER_CARD: Final = 16_000
MEMORY_MIB_PER_CARD: Final = 128_000
JOBS_PER_SHAPE: Final = 25  # cities submit from templates
HUBS: Final = (
    "qingyang",
    "guian",
    "zhongwei",
    "horinger",
    "chengdu",
    "chongqing",
    "wuhu",
    "zhangjiakou",
)  # the eight national hubs with capacity for other regions
# stack, programme-counted FP16 milli-TFLOPS of one card: eight makes of unlike speed, as real cards are
MODELS: Final = (
    ("cuda", 312_000), ("cuda", 989_000), ("cann", 320_000), ("cann", 752_000),
    ("neuware", 314_000), ("dtk", 196_000), ("musa", 98_000), ("maca", 240_000),
)  # fmt: skip
CITIES: Final = 34
CLUSTERS_MAX: Final = 40
NOW_S: Final = 1_800_000_000
_YUAN: Final = 1_000_000
_Rng = np.random.Generator


def national(seed: int, nodes: int, pools: int, jobs: int, real: RealJobs) -> Snapshot:
    """Return the world of this seed. With few jobs fewer cards are free, so that demand is always a multiple.

    Args:
        nodes: in all, at least one for each pool. pools: at least 1. jobs: pending.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    pool_nodes = _sizes(draw, nodes, pools)
    shapes = _shapes(draw, max(1, jobs // JOBS_PER_SHAPE), real, int(pool_nodes.max()) * NODE_CARDS)
    job = _jobs(draw, jobs, shapes, real)
    gang = np.array(shapes["shape_tasks"]) * np.array(shapes["shape_cards_per_task"])
    demand = int(gang[job["job_shape"]].sum())
    free_share = min(FREE_SHARE_MAX, demand / DEMAND_OVER_FREE / (nodes * NODE_CARDS))
    content: dict[str, Any] = dict(
        taken_at_s=NOW_S,
        model_names=[f"{stack}-{milli // 1000}" for stack, milli in MODELS],
        model_stack=[stack for stack, _ in MODELS],
        model_origin=["foreign" if stack == "cuda" else "domestic" for stack, _ in MODELS],
        model_fp16_programme_milli_tflops=[milli for _, milli in MODELS],
        model_fp16_nameplate_milli_tflops=[-1] * len(MODELS),
        model_fp16_measured_milli_tflops=[-1] * len(MODELS),
        hub_names=HUBS,
        city_names=[f"city-{city}" for city in range(CITIES)],
        city_weight_ppm=[10**6] * CITIES,
        round_trip_micros=draw.integers(5_000, 45_000, (CITIES, len(HUBS))),
        **_pools(draw, pools),
        **_nodes(draw, pool_nodes, free_share),
        **shapes,
        **job,
    )
    return Snapshot(**content)


def changed(snapshot: Snapshot, seed: int, share: float) -> Snapshot:
    """Return the world a moment later: this share of the jobs has other ids and ceilings, all else is the same."""
    draw = np.random.Generator(np.random.PCG64(seed))
    count = round(len(snapshot.job_id) * share)
    which = draw.choice(len(snapshot.job_id), count, replace=False)
    ids, ceilings = list(snapshot.job_id), snapshot.job_ceiling_micro_yuan_per_pflops_hour.copy()
    submitted = snapshot.job_submitted_at_s.copy()
    ceilings[which] = ceilings[draw.permutation(which)]
    submitted[which] = snapshot.taken_at_s
    for job in which.tolist():
        ids[job] = f"{ids[job]}-later"
    content = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
    content |= {"job_id": ids, "job_ceiling_micro_yuan_per_pflops_hour": ceilings, "job_submitted_at_s": submitted}
    return Snapshot(**content)


def _sizes(draw: _Rng, nodes: int, pools: int) -> Ints:
    """Split the nodes over pools of unlike sizes, at least one each."""
    share = draw.lognormal(0, 0.8, pools)
    sizes: Ints = 1 + np.floor((nodes - pools) * share / share.sum()).astype(np.int64)
    sizes[: nodes - int(sizes.sum())] += 1
    return sizes


def _pools(draw: _Rng, pools: int) -> dict[str, Any]:
    clusters = min(CLUSTERS_MAX, pools)
    cluster = np.arange(pools) % clusters
    model = np.arange(pools) % len(MODELS)
    pflops = np.array([milli for _, milli in MODELS])[model] / 10**6
    return {
        "pool_names": [f"cluster-{cluster[pool]}/pool-{pool}" for pool in range(pools)],
        "pool_cluster": [f"cluster-{number}" for number in cluster],
        "pool_hub": cluster % len(HUBS),
        "pool_model": model,
        "pool_ask_micro_yuan_per_card_hour": np.rint(pflops * draw.uniform(5, 9, pools) * _YUAN).astype(np.int64),
    }


def _nodes(draw: _Rng, pool_nodes: Ints, free_share: float) -> dict[str, Any]:
    """Draw what is free: some nodes empty, some full, the rest in part; about 1 % closed."""
    nodes = int(pool_nodes.sum())
    empty = draw.random(nodes) < free_share * 0.6
    rest = (free_share - free_share * 0.6) / (1 - free_share * 0.6)
    free = np.where(empty, NODE_CARDS, draw.binomial(NODE_CARDS, rest, nodes))
    # the jobs that run there took CPU and memory as they pleased, so cards can be free without either
    beside = draw.uniform(0.7, 1.3, (2, nodes))
    cpu, memory = NODE_CARDS * CPU_MILLI_PER_CARD, NODE_CARDS * MEMORY_MIB_PER_CARD
    return {
        "node_names": [f"node-{node}" for node in range(nodes)],
        "node_pool": np.repeat(np.arange(pool_nodes.size), pool_nodes),
        "node_open": draw.random(nodes) < 0.99,
        "node_cards": [NODE_CARDS] * nodes,
        "node_cpu_milli": [cpu] * nodes,
        "node_memory_mib": [memory] * nodes,
        "node_free_cards": free,
        "node_free_cpu_milli": np.where(
            empty, cpu, np.minimum(free * CPU_MILLI_PER_CARD * beside[0], cpu).astype(np.int64)
        ),
        "node_free_memory_mib": np.where(
            empty, memory, np.minimum(free * MEMORY_MIB_PER_CARD * beside[1], memory).astype(np.int64)
        ),
    }


def _shapes(draw: _Rng, count: int, real: RealJobs, pool_cards_max: int) -> dict[str, Any]:
    sizes = np.array([size for size in (16, 32, 64, 128, 256, 512, 1024) if size * 3 <= pool_cards_max] or [8])
    large = draw.choice(sizes, count, p=(1 / sizes) / (1 / sizes).sum())
    total = np.where(draw.random(count) < GANG_SHARE, large, draw.choice(real.cards, count))
    tasks = np.where(total > NODE_CARDS, -(-total // NODE_CARDS), 1)
    cards = np.where(total > NODE_CARDS, NODE_CARDS, total)
    start, stacks, models, speeds = [0], [], [], []
    names = list(dict.fromkeys(stack for stack, _ in MODELS))
    for _ in range(count):
        offered = draw.choice(len(names), int(draw.choice([1, 2, 3], p=[0.4, 0.4, 0.2])), replace=False)
        for stack in offered.tolist():
            stacks.append(names[stack])
            models.append(draw.random(len(MODELS)) < 0.95)
            speeds.append(int(draw.integers(700_000, 1_200_001)))
        start.append(len(stacks))
    return {
        "shape_tasks": tasks,
        "shape_cards_per_task": cards,
        "shape_cpu_milli_per_task": cards * draw.choice([4_000, 8_000, 12_000, 16_000], count, p=[0.3, 0.4, 0.2, 0.1]),
        "shape_memory_mib_per_task": cards
        * draw.choice([32_000, 64_000, 96_000, 128_000], count, p=[0.3, 0.4, 0.2, 0.1]),
        "shape_round_trip_micros_max": np.where(draw.random(count) < 0.3, draw.integers(15_000, 45_000, count), -1),
        "shape_hub_allowed": draw.random((count, len(HUBS))) < 0.8,
        "build_start": start,
        "build_stack": stacks,
        "build_models": np.array(models),
        "build_speed_ppm": speeds,
    }


def _jobs(draw: _Rng, jobs: int, shapes: dict[str, Any], real: RealJobs) -> dict[str, Any]:
    # people ask for more time than they need: up to four times, at most two weeks
    walltime = draw.choice(real.duration_seconds, jobs) * draw.uniform(1, 4, jobs)
    return {
        "job_id": [f"job-{job}" for job in range(jobs)],
        "job_city": draw.integers(0, CITIES, jobs),
        "job_shape": draw.integers(0, len(shapes["shape_tasks"]), jobs),
        "job_priority": draw.choice(4, jobs, p=[0.2, 0.7, 0.08, 0.02]),
        "job_ceiling_micro_yuan_per_pflops_hour": np.rint(draw.lognormal(np.log(12), 0.4, jobs) * _YUAN).astype(
            np.int64
        ),
        "job_submitted_at_s": NOW_S - draw.exponential(7_200, jobs).astype(np.int64),
        "job_walltime_seconds": np.clip(walltime, 60, 14 * 86_400).astype(np.int64),
    }
