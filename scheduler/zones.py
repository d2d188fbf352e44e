"""Backfill as a rule of places: nodes that are promised later are pools of their own, open to what ends in time.

A node whose free cards somebody needs from a certain time on joins the *zone* of its pool with that time
(`Snapshot.pool_until_s`). The planner then fills it like any pool, with jobs whose walltime ends before: no promised
start can move, the bound counts these cards for exactly those who may have them, and they get a price of their own.
A gang does not stretch over two zones of a pool.

CPU and memory that a promise will need beside cards that stay free are taken off the node from now on.

**Power** is a rule of places too. Where promised gangs will draw what is free now at a hub, only so many of its free
cards stay open beyond that time as have power then, whatever runs on them; the nodes of the others are zones until
then. So new work may use all power that is free now, as far as it ends in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from scheduler.fields import MILLI_PER_CARD
from scheduler.horizon import NEVER, Horizon
from scheduler.limits import limits_of
from scheduler.plan import Placement
from scheduler.power_ahead import Level
from scheduler.profile import CPU, MEMORY, Profile
from scheduler.snapshot import UNKNOWN, Ints, Snapshot

GRID_SECONDS: Final = 60
"""Times of zones are rounded down to it, so that promises a few seconds apart share a zone."""
POWER_LEVELS_MAX: Final = 4
"""Times by which a hub's power may fall, as far as zones know: others count as the next earlier one."""
_PPM: Final = 10**6


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
    takes = world.node_free_cards > 0
    takes[shared] = True
    takes &= world.node_open  # nothing to take: no zone
    for_good = ~takes | (until == NEVER)
    cpu = np.where(for_good, np.minimum(world.node_free_cpu_milli, kept[:, CPU]), world.node_free_cpu_milli)
    memory = np.where(for_good, np.minimum(world.node_free_memory_mib, kept[:, MEMORY]), world.node_free_memory_mib)
    until = np.minimum(until, _power_until(world, profile, np.where(takes, until, 0)))
    ends = (until - margin_seconds) // GRID_SECONDS * GRID_SECONDS
    until = np.where(takes & (until < NEVER), np.maximum(ends, world.taken_at_s), UNKNOWN)
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


def _power_until(world: Snapshot, profile: Profile, until: Ints) -> Ints:
    """Return until when each node may be worked on by the power that its hub will have, [N]; NEVER: for good.

    Those that stay open longest come first, of equal ones the first of each pool: what is left is shared by the pools
    as they are large. `until`: when cards of each node are needed; 0 where nothing is free.
    """
    found = np.full(until.size, NEVER, dtype=np.int64)
    hub_of = world.pool_hub[world.node_pool]
    for hub in sorted(profile.power.hubs_with_spans):
        levels = _fewer(profile.power.levels(hub))
        nodes = np.flatnonzero((hub_of == hub) & (until > 0))
        if not levels or not nodes.size:
            continue
        draw = _draw(world, nodes)
        first = np.searchsorted(world.node_pool[nodes], world.node_pool[nodes])
        size = np.bincount(world.node_pool[nodes], minlength=len(world.pool_names))[world.node_pool[nodes]]
        place = (np.arange(nodes.size) - first) * _PPM // size
        order = np.lexsort((nodes, place, -until[nodes]))
        together = np.cumsum(draw[order])
        for level in reversed(levels):
            found[nodes[order[together > level.watts]]] = level.from_s
    return found


def _draw(world: Snapshot, nodes: Ints) -> Ints:
    """Return what each of these nodes draws at the meter, at most, more than now: everything that is free at work."""
    limits, pool, model = limits_of(world), world.node_pool[nodes], world.pool_model[world.node_pool[nodes]]
    split = np.zeros(len(world.node_names), dtype=np.int64)
    np.add.at(split, world.split_node, world.split_free_milli)
    milli = split[nodes] + MILLI_PER_CARD * world.node_free_cards[nodes]
    watts = -(-milli * limits.pool_watts[pool] // MILLI_PER_CARD)
    slices = np.append(world.slice_milli, MILLI_PER_CARD)  # ascending for each model; without any no card is split
    least = np.where(np.diff(world.slice_start) > 0, slices[world.slice_start[:-1]], 0)[model]
    shares = np.where(least > 0, milli // np.maximum(least, 1), 0)
    pue = limits.pool_pue_ppm[pool]
    # that of each share is rounded up, twice
    draw: Ints = np.asarray(-(-watts * pue // _PPM) + shares * (1 - (-pue // _PPM)), dtype=np.int64)
    return draw


def _fewer(levels: list[Level]) -> list[Level]:
    """Return at most `POWER_LEVELS_MAX` levels that leave no more at any time: each stands for those after it."""
    if len(levels) <= POWER_LEVELS_MAX:
        return levels
    cuts = [len(levels) * part // POWER_LEVELS_MAX for part in range(POWER_LEVELS_MAX + 1)]
    return [Level(levels[begin].from_s, levels[end - 1].watts) for begin, end in pairwise(cuts)]


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
