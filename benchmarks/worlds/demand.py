"""What cities ask for: templates (shapes) with builds, sizes, fabric, data and lists of owners, and their jobs.

Sizes, walltimes and shares are those of real jobs. Figures of data, speed curves and lists are assumed: nobody
published how large inputs are, or how many jobs refuse an owner.
"""

from typing import Any, Final

import numpy as np

from benchmarks.worlds.makes import MAKES, SLICES_MILLI
from benchmarks.worlds.supply import NODE_CARDS, OWNERS
from benchmarks.worlds.trace import RealJobs
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.snapshot import Bools, Ints

CITIES: Final = 34
TENANTS_PER_CITY: Final = 3
JOBS_PER_SHAPE: Final = 25  # cities submit from templates ...
SHAPES_MIN: Final = 200  # ... but a small world is not a simple one
GANG_SHARE: Final = 0.115  # of the jobs; with gangs of 57 cards on average that is most of the cards asked for
GANG_CARDS: Final = (16, 32, 64, 128, 256, 512, 1024)
SHARING_SHARE: Final = 0.4  # of the shapes, before those that ask for too much of a card; openb: 38 % of the tasks
DOMAIN_CARDS_MAX: Final = 128  # a gang that must stay within a domain is no larger: the smallest has 16 nodes
ELASTIC_SHARE: Final = 0.35  # of the gangs would run with half or a quarter of their tasks
DOMESTIC_SHARE: Final = 0.2
OWNER_LIST_SHARE: Final = 0.15
INPUT_SHARE: Final = 0.5
TENANT_SHARE: Final = 0.7
NOW_S: Final = 1_800_000_000
_YUAN: Final = 1_000_000
_MILLION: Final = 10**6
_Rng = np.random.Generator


def shape_count(jobs: int) -> int:
    """Return how many templates so many jobs come from."""
    return max(jobs // JOBS_PER_SHAPE, min(jobs, SHAPES_MIN))


def shapes(draw: _Rng, count: int, real: RealJobs, pool_cards_max: int, hubs: int) -> dict[str, Any]:
    """Return the arrays of shapes, sizes and builds."""
    tasks, cards, share = _sizes(draw, count, real, pool_cards_max)
    milli = np.where(share > 0, share, cards * 1000)
    content: dict[str, Any] = {
        "shape_tasks": tasks,
        "shape_cards_per_task": cards,
        "shape_share_milli": share,
        "shape_cpu_milli_per_task": milli
        * draw.choice([4_000, 8_000, 12_000, 16_000], count, p=[0.3, 0.4, 0.2, 0.1])
        // 1000,
        "shape_memory_mib_per_task": milli
        * draw.choice([32_000, 64_000, 96_000, 128_000], count, p=[0.3, 0.4, 0.2, 0.1])
        // 1000,
        "shape_round_trip_micros_max": np.where(draw.random(count) < 0.3, draw.integers(15_000, 45_000, count), -1),
        "shape_hub_allowed": draw.random((count, hubs)) < 0.8,
        "shape_owner_allowed": (draw.random((count, OWNERS)) < 0.6) | (draw.random((count, 1)) >= OWNER_LIST_SHARE),
    }
    builds, domestic_build = _builds(draw, count)
    content |= builds | _fabric(draw, tasks, cards, share) | _smaller_sizes(draw, tasks)
    content["shape_domestic_only"] = (draw.random(count) < DOMESTIC_SHARE) & domestic_build
    return content | _data(draw, tasks * milli, hubs)


def jobs(draw: _Rng, count: int, shape_count: int, real: RealJobs, cities: int = CITIES) -> dict[str, Any]:
    """Return the arrays of jobs. Emergencies are a tier of their own, above all else."""
    # people ask for more time than they need: up to four times, at most two weeks
    walltime = draw.choice(real.duration_seconds, count) * draw.uniform(1, 4, count)
    priority = draw.choice(4, count, p=[0.2, 0.7, 0.09, 0.01])
    city = draw.integers(0, cities, count)
    tenant = city * TENANTS_PER_CITY + draw.integers(0, TENANTS_PER_CITY, count)
    return {
        "job_id": [f"job-{job}" for job in range(count)],
        "job_city": city,
        "job_tenant": np.where(draw.random(count) < TENANT_SHARE, tenant, -1),
        "job_shape": draw.integers(0, shape_count, count),
        "job_priority": priority,
        "job_tier": np.where(priority == 3, 0, 1),
        "job_ceiling_micro_yuan_per_pflops_hour": np.rint(draw.lognormal(np.log(12), 0.4, count) * _YUAN).astype(
            np.int64
        ),
        "job_submitted_at_s": NOW_S - draw.exponential(7_200, count).astype(np.int64),
        "job_walltime_seconds": np.clip(walltime, 60, 14 * 86_400).astype(np.int64),
    }


def _sizes(draw: _Rng, count: int, real: RealJobs, pool_cards_max: int) -> tuple[Ints, Ints, Ints]:
    """Return tasks, cards of a task, and the share of one card that a task asks for (0: whole cards)."""
    large = np.array([size for size in GANG_CARDS if size * 3 <= pool_cards_max] or [NODE_CARDS])
    weight = 1 / large**1.5
    drawn = draw.choice(large, count, p=weight / weight.sum())
    total = np.where(draw.random(count) < GANG_SHARE, drawn, draw.choice(real.cards, count))
    share = np.where(draw.random(count) < SHARING_SHARE, draw.choice(real.share_milli, count), 0)
    share[total > NODE_CARDS] = 0
    sharing = share > 0
    # who wants more of a card than any vendor cuts off takes the whole card
    share[share > SLICES_MILLI[-1]] = 0
    # small gangs of single cards, beside tasks that need all their cards on one node
    single = (draw.random(count) < 0.25) & (total <= NODE_CARDS)
    tasks = np.where(total > NODE_CARDS, -(-total // NODE_CARDS), np.where(single, total, 1))
    cards = np.where(total > NODE_CARDS, NODE_CARDS, np.where(single, 1, total))
    replicas = draw.choice([1, 2, 4, 8], count, p=[0.8, 0.1, 0.06, 0.04])
    return np.where(sharing, replicas, tasks), np.where(sharing, 1, cards), share


def _fabric(draw: _Rng, tasks: Ints, cards: Ints, share: Ints) -> dict[str, Any]:
    gang = (tasks > 1) & (share == 0)
    luck, total = draw.random(tasks.size), tasks * cards
    on_node = gang & (total <= NODE_CARDS) & (luck < 0.4)
    in_domain = gang & ~on_node & (total <= DOMAIN_CARDS_MAX) & (luck < 0.3)
    slower = gang & ~on_node & ~in_domain & (luck < 0.8)
    return {
        "shape_within": np.where(on_node, WITHIN_NODE, np.where(in_domain, WITHIN_DOMAIN, WITHIN_POOL)),
        "shape_spread_speed_ppm": np.where(slower, draw.integers(700_000, 950_000, tasks.size), _MILLION),
    }


def _smaller_sizes(draw: _Rng, tasks: Ints) -> dict[str, Any]:
    """Return the speed curves: n of N tasks run at (n / N) ** alpha, as communication costs something."""
    elastic = (tasks > 1) & (draw.random(tasks.size) < ELASTIC_SHARE)
    alpha = draw.uniform(0.75, 0.95, tasks.size)
    parts = np.array([2, 4])
    offered = elastic[:, None] & (tasks[:, None] >= parts)
    shape, part = np.nonzero(offered)
    fewer = tasks[shape] // parts[part]
    return {
        "size_start": np.append(0, np.cumsum(offered.sum(axis=1))),
        "size_tasks": fewer,
        "size_speed_ppm": ((fewer / tasks[shape]) ** alpha[shape] * _MILLION).astype(np.int64),
    }


def _builds(draw: _Rng, count: int) -> tuple[dict[str, Any], Bools]:
    """Return the arrays of builds, and which shapes have one for a domestic make."""
    names = list(dict.fromkeys(make.stack for make in MAKES))
    at_home = np.array([any(m.origin == "domestic" for m in MAKES if m.stack == name) for name in names])
    offers = draw.choice([1, 2, 3], count, p=[0.4, 0.4, 0.2])
    order = np.argsort(draw.random((count, len(names))), axis=1)
    stack = order[np.arange(len(names)) < offers[:, None]]
    start = np.append(0, np.cumsum(offers))
    return {
        "build_start": start,
        "build_stack": [names[number] for number in stack.tolist()],
        "build_models": draw.random((stack.size, len(MAKES))) < 0.95,
        "build_speed_ppm": draw.integers(700_000, 1_200_001, stack.size),
    }, np.logical_or.reduceat(at_home[stack], start[:-1])


def _data(draw: _Rng, milli: Ints, hubs: int) -> dict[str, Any]:
    """Return inputs and outputs (assumed): some GiB for each card at the median, now and then a hundred times that."""
    count = milli.size
    given = draw.random(count) < INPUT_SHARE
    gib = np.ceil(draw.lognormal(np.log(4), 1.3, count) * np.sqrt(milli / 1000)).astype(np.int64)
    limited = given & (draw.random(count) < 0.4)
    return {
        "shape_input_gib": np.where(given, np.minimum(gib, 2**20), 0),
        "shape_output_gib": np.where(given, gib // 10, 0),
        "shape_staged": (draw.random((count, hubs)) < 0.2) & given[:, None],
        "shape_transfer_seconds_max": np.where(limited, draw.integers(30, 600, count), -1),
    }
