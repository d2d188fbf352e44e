"""A national exchange on which an allocator has something to decide.

Demand is at least three times the free cards; sizes and walltimes are those of real jobs, and beside them stand gangs
of 16 to 1,024 cards with more than 30 % of the worth; at least half of the jobs can run on two software stacks or more.
Every rule of the model has jobs that it binds: what can be had (`supply.py`), what is asked for (`demand.py`), what
binds a hub (`hubs.py`). `rule_sets.py` takes rules away again, `later.py` moves on in time.
"""

from typing import Any, Final

import numpy as np

from benchmarks.worlds import demand, hubs, makes, supply
from benchmarks.worlds.trace import RealJobs
from scheduler.snapshot import Snapshot

DEMAND_OVER_FREE: Final = 4.0  # some jobs can run nowhere: what can run must still ask for three times the free cards
DEMAND_FOR_FEW_POOLS: Final = 30  # over the pools, on top: the fewer there are, the more jobs can run nowhere
FREE_SHARE_MAX: Final = 0.55


def national(seed: int, nodes: int, pools: int, jobs: int, real: RealJobs, *, cities: int = demand.CITIES) -> Snapshot:
    """Return the world of this seed. With few jobs fewer cards are free, so that demand is always a multiple.

    Args:
        nodes: in all, at least one for each pool. pools: at least 1. jobs: pending. cities: that they come from.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    pool_nodes = supply.sizes(draw, nodes, pools)
    shape_count = demand.shape_count(jobs)
    shapes = demand.shapes(draw, shape_count, real, int(pool_nodes.max()) * supply.NODE_CARDS, len(hubs.HUBS))
    job = demand.jobs(draw, jobs, shape_count, real, cities)
    task_milli = np.where(shapes["shape_share_milli"] > 0, shapes["shape_share_milli"], 1000)
    milli = shapes["shape_tasks"] * shapes["shape_cards_per_task"] * task_milli
    asked = int(milli[job["job_shape"]].sum()) / 1000
    over_free = DEMAND_OVER_FREE + DEMAND_FOR_FEW_POOLS / pools
    free_share = min(FREE_SHARE_MAX, asked / over_free / (nodes * supply.NODE_CARDS))
    world: dict[str, Any] = {"taken_at_s": demand.NOW_S, "hub_names": hubs.HUBS}
    world |= makes.models() | shapes | job
    world |= supply.pools(draw, pools, len(hubs.HUBS))
    world |= supply.nodes(draw, pool_nodes, free_share)
    world |= supply.splits(draw, world["pool_model"], world["node_pool"], world["node_free_cards"])
    world |= hubs.ways(draw, cities)
    world |= hubs.power(draw, world)
    for rule in (hubs.cities, hubs.quotas):
        world |= rule(draw, world, cities)
    return Snapshot(**world)
