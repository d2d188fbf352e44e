"""What is known beyond now in a world that is drawn from a seed: leases that end, and windows of nodes."""

from typing import Final

import numpy as np

from scheduler.horizon import Horizon
from scheduler.snapshot import Snapshot

CARDS_OF_LEASE: Final = 2
"""What is in use on a node belongs to leases of so many cards each."""
WINDOWS_PERCENT: Final = 2
"""Of the nodes so many close within a day, for four hours."""
_DAY: Final = 86_400


def ahead(world: Snapshot, seed: int) -> Horizon:
    """Return a horizon in which all that is in use ends: within walltimes like those of the jobs that wait.

    CPU and memory go with the cards. Split cards, and what is in use on nodes with such, end as far as is known never.
    """
    draw = np.random.Generator(np.random.PCG64((seed, 7)))
    in_use = world.node_cards - world.node_free_cards
    in_use[np.unique(world.split_node)] = 0
    node = np.repeat(np.arange(in_use.size), -(-in_use // CARDS_OF_LEASE))
    first = np.searchsorted(node, node)
    cards = np.minimum(CARDS_OF_LEASE, in_use[node] - CARDS_OF_LEASE * (np.arange(node.size) - first))
    walltime = world.job_walltime_seconds[draw.integers(0, len(world.job_id), node.size)]
    closed = np.flatnonzero(draw.random(in_use.size) * 100 < WINDOWS_PERCENT)
    begin = world.taken_at_s + draw.integers(1, _DAY, closed.size)
    rest = {
        name: (getattr(world, f"node_{name}") - getattr(world, f"node_free_{name}"))[node] * cards // in_use[node]
        for name in ("cpu_milli", "memory_mib")
    }
    return Horizon(
        lease_id=tuple(f"lease-{at}" for at in range(node.size)),
        lease_ends_at_s=world.taken_at_s + (walltime * draw.random(node.size)).astype(np.int64),
        held_lease=np.arange(node.size),
        held_node=node,
        held_cards=cards,
        held_cpu_milli=rest["cpu_milli"],
        held_memory_mib=rest["memory_mib"],
        closed_node=closed,
        closed_from_s=begin,
        closed_until_s=begin + 4 * 3_600,
    )
