"""Backfill as a rule of places: nodes that are promised later are pools of their own, open to what ends in time.

A node whose free cards somebody needs from a certain time on joins the *zone* of its pool with that time
(`Snapshot.pool_until_s`). The planner then fills it like any pool, with jobs whose walltime ends before: no promised
start can move, the bound counts these cards for exactly those who may have them, and they get a price of their own.
A gang does not stretch over two zones of a pool.

CPU and memory that a promise will need beside cards that stay free are taken off the node from now on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from scheduler.horizon import NEVER, Horizon
from scheduler.plan import Placement
from scheduler.profile import CPU, MEMORY, Profile
from scheduler.snapshot import UNKNOWN, Ints, Snapshot

GRID_SECONDS: Final = 60
"""Times of zones are rounded down to it, so that promises a few seconds apart share a zone."""


@dataclass(frozen=True, eq=False)
class Zoned:
    """A world cut into zones, and what its indices stand for in the world as it was."""

    world: Snapshot
    pool_of: Ints  # [P of the zoned world] index of the pool as it was
    node_of: Ints  # [N]
    split_of: Ints  # [X]

    @property
    def has_zones(self) -> bool:
        """Whether any node is promised or will close."""
        return len(self.world.pool_names) > len(np.unique(self.pool_of))

    def unzoned(self, placement: Placement) -> Placement:
        """Return a placement in the zoned world as one in the world as it was."""
        nodes = self.node_of[list(placement.nodes)].tolist()
        cards = placement.cards
        if cards:
            cards = tuple(self.split_of.item(card) if card >= 0 else card for card in cards)
        order = sorted(range(len(nodes)), key=nodes.__getitem__)
        if order != list(range(len(nodes))):
            cards = _reordered(cards, placement.tasks, order)
            nodes = [nodes[at] for at in order]
        tasks = tuple(placement.tasks[at] for at in order)
        return placement._replace(pool=self.pool_of.item(placement.pool), nodes=tuple(nodes), tasks=tasks, cards=cards)


def zoned(world: Snapshot, profile: Profile, margin_seconds: int) -> Zoned:
    """Return the world with every promised or closing node in a zone of its own time.

    `margin_seconds`: as of the profile. What starts in a zone becomes a lease, which may hold its cards so long after
    its end: it ends so much before the zone is needed, or the promise would have to move.
    """
    until, kept = profile.kept_until()
    shared = np.unique(world.split_node)
    until[shared] = np.minimum(until[shared], [_first_need(profile, node) for node in shared.tolist()])
    ends = (until - margin_seconds) // GRID_SECONDS * GRID_SECONDS
    until = np.where(until < NEVER, np.maximum(ends, world.taken_at_s), UNKNOWN)
    takes = world.node_free_cards > 0
    takes[shared] = True
    until = np.where(world.node_open & takes, until, UNKNOWN)  # nothing to take: no zone
    cpu = np.where(until < 0, np.minimum(world.node_free_cpu_milli, kept[:, CPU]), world.node_free_cpu_milli)
    memory = np.where(until < 0, np.minimum(world.node_free_memory_mib, kept[:, MEMORY]), world.node_free_memory_mib)
    pools = np.arange(len(world.pool_names))
    if not (until >= 0).any():
        node_of = np.arange(len(world.node_names))
        less = _less(world, cpu, memory)
        same = world.with_free(node_free_cpu_milli=cpu, node_free_memory_mib=memory) if less else world
        return Zoned(same, pools, node_of, np.arange(world.split_node.size))
    # every pool stays, be it empty, so that prices keep their names; zones follow their pool by time
    pairs = np.stack([np.append(world.node_pool, pools), np.append(until, np.full(pools.size, UNKNOWN))], axis=1)
    zones, zone_of = np.unique(pairs, axis=0, return_inverse=True)
    zone_of = zone_of.reshape(-1)[: until.size]
    node_of = np.lexsort((np.arange(until.size), zone_of))
    position = np.empty_like(node_of)
    position[node_of] = np.arange(node_of.size)
    splits = position[world.split_node]
    split_of = np.argsort(splits, kind="stable")
    pool_of = zones[:, 0]
    names = [world.pool_names[pool] for pool in pool_of.tolist()]
    changes: dict[str, Any] = {
        name: value[pool_of] for name, value in vars(world).items() if name.startswith("pool_") and _is_array(value)
    }
    changes |= {
        name: value[node_of] for name, value in vars(world).items() if name.startswith("node_") and _is_array(value)
    }
    changes |= {
        "pool_names": [
            name if time < 0 else f"{name} until {time}" for name, time in zip(names, zones[:, 1], strict=True)
        ],
        "pool_cluster": [world.pool_cluster[pool] for pool in pool_of.tolist()],
        "pool_until_s": _earlier(world.pool_until_s[pool_of], zones[:, 1]),
        "node_names": [world.node_names[node] for node in node_of.tolist()],
        "node_pool": zone_of[node_of],
        "node_free_cpu_milli": cpu[node_of],
        "node_free_memory_mib": memory[node_of],
        "split_node": splits[split_of],
        "split_free_milli": world.split_free_milli[split_of],
        "split_shares": world.split_shares[split_of],
    }
    return Zoned(replace(world, **changes), pool_of, node_of, split_of)


def _earlier(first: Ints, second: Ints) -> Ints:
    """Return the earlier of two times where both are known, else the one that is."""
    both: Ints = np.where(np.minimum(first, second) < 0, np.maximum(first, second), np.minimum(first, second))
    return both


def open_world(world: Snapshot, horizon: Horizon, margin_seconds: int) -> Zoned:
    """Return the world as it is open to whoever is promised nothing. `margin_seconds`: as of `Profile`."""
    profile = Profile(world, horizon, margin_seconds)
    for promise in horizon.promises:
        profile.take(promise)
    return zoned(world, profile, margin_seconds)


def _first_need(profile: Profile, node: int) -> int:
    """Return when anything of a node is needed first; NEVER if nothing is.

    A share that joins a split card needs nothing that is free, and holds the card for longer all the same.
    """
    table, found = profile.table, NEVER
    span = int(table.head[node])
    while span >= 0:
        begin, end = table.span[span, :2].tolist()
        if end > table.now[0]:
            found = min(found, begin)
        span = int(table.following[span])
    return found


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def _less(world: Snapshot, cpu: Ints, memory: Ints) -> bool:
    return bool((cpu < world.node_free_cpu_milli).any() or (memory < world.node_free_memory_mib).any())


def _reordered(cards: tuple[int, ...], tasks: tuple[int, ...], order: list[int]) -> tuple[int, ...]:
    """Return the cards of tasks, node by node, in another order of the nodes."""
    if not cards:
        return ()
    ends = np.cumsum(tasks).tolist()
    return tuple(card for at in order for card in cards[ends[at] - tasks[at] : ends[at]])
