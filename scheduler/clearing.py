"""What would be free on the nodes of a pool at a time if some leases were stopped before it.

The profile says what is free over time as things stand. Here single leases are taken out of it: what one holds is free
from the time that it is stopped until the time at which it would have ended, and was free from then on anyway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from operator import add
from typing import Final

import numpy as np

from scheduler.horizon import Horizon
from scheduler.profile import Gang, Profile, Table, held_until_s
from scheduler.snapshot import Ints, Snapshot

NOTHING: Final[frozenset[int]] = frozenset()
_SEVERAL: Final = -1


class Clearing:
    """The leases of a round on their nodes, and those of them that are already to be stopped."""

    def __init__(self, world: Snapshot, horizon: Horizon, profile: Profile, margin_seconds: int) -> None:
        """`profile`: of the same world and horizon; it is read anew each time, so promises may be taken meanwhile."""
        count = len(horizon.lease_id)
        self.profile, self.world = profile, world
        self.ends_s: Ints = held_until_s(horizon, world.taken_at_s, margin_seconds)
        self.ends: list[int] = self.ends_s.tolist()
        self.held = np.stack([horizon.held_cards, horizon.held_cpu_milli, horizon.held_memory_mib], axis=1)
        self.first = np.searchsorted(horizon.held_lease, np.arange(count + 1))
        self.held_node = horizon.held_node
        self.cards = np.zeros(count, dtype=np.int64)
        np.add.at(self.cards, horizon.held_lease, horizon.held_cards)
        self.pool = self._pools(count)
        self.pool_start = np.searchsorted(world.node_pool, np.arange(len(world.pool_names) + 1))
        self.holds: dict[tuple[int, int], tuple[int, ...]] = {}  # of a lease on a node: cards, CPU, memory
        self.on_node: dict[int, list[int]] = defaultdict(list)
        held = zip(horizon.held_lease.tolist(), horizon.held_node.tolist(), self.held.tolist(), strict=True)
        for lease, node, amount in held:
            before = self.holds.get((lease, node))
            if before is None:
                self.on_node[node].append(lease)
            self.holds[lease, node] = tuple(map(add, amount, before or (0, 0, 0)))
        self._nodes: dict[int, tuple[int, ...]] = defaultdict(tuple)
        for lease, node in self.holds:
            self._nodes[lease] += (node,)
        self.stopped: dict[int, int] = {}  # lease -> when its room is free

    def nodes(self, lease: int) -> tuple[int, ...]:
        """Return the nodes that a lease holds."""
        return self._nodes[lease]

    def stop(self, leases: Iterable[int], free_from_s: int) -> None:
        """Count leases as stopped: from that time on their room is free."""
        self.stopped |= dict.fromkeys(leases, free_from_s)

    def run_on(self, leases: Iterable[int]) -> None:
        """Undo `stop`."""
        for lease in leases:
            del self.stopped[lease]

    def rooms(self, pool: int, gang: Gang, at_s: int) -> Rooms:
        """Return what each node of the pool holds of such a gang that starts at a time."""
        low, high = int(self.pool_start[pool]), int(self.pool_start[pool + 1])
        return Rooms(self, low, high, gang, at_s)

    def whole(self) -> Ints:
        """Return the leases whose cards are free when they are stopped, all in one pool.

        A card that shares split is free when the last of them ends, whoever is stopped: nodes with such are left alone.
        """
        split = np.zeros(len(self.world.node_names), dtype=bool)
        split[self.world.split_node] = True
        count = self.pool.size
        lease = np.repeat(np.arange(count), np.diff(self.first))
        beside = np.bincount(lease[split[self.held_node]], minlength=count) > 0
        found: Ints = np.flatnonzero((self.pool >= 0) & ~beside & (self.cards > 0))
        return found

    def _pools(self, count: int) -> Ints:
        """Return [R]: the pool of each lease; below 0 for one that holds nothing, or nodes of several pools."""
        pool = np.full(count, _SEVERAL, dtype=np.int64)
        holds = np.flatnonzero(np.diff(self.first) > 0)
        if holds.size:
            of = self.world.node_pool[self.held_node]
            least = np.minimum.reduceat(of, self.first[holds])
            most = np.maximum.reduceat(of, self.first[holds])
            pool[holds] = np.where(least == most, least, _SEVERAL)
        return pool


class Rooms:
    """Tasks of one gang that the nodes of a pool hold from a time on, for as long as the gang runs.

    Room is needed at the start, and whenever something else is promised or closes before the gang has ended.
    """

    def __init__(self, clearing: Clearing, low: int, high: int, gang: Gang, at_s: int) -> None:
        table = clearing.profile.table
        spans = _spans(table, low, high)
        later = np.unique(spans[(spans[:, 1] > at_s) & (spans[:, 1] < at_s + gang.seconds), 1])
        self.low, self.at_s = low, at_s
        self._clearing, self._need = clearing, gang.need.tolist()
        self._times = [at_s, *later.tolist()]
        self._usable = table.usable[low:high]
        self._free = np.stack([_free(table, spans, low, high, at) for at in self._times])  # [times, nodes, 3]
        for lease, from_s in clearing.stopped.items():
            self._add(lease, from_s, high)
        need = np.maximum(gang.need, 1)
        fit = np.where(gang.need > 0, np.maximum(self._free, 0) // need, np.iinfo(np.int64).max).min(axis=(0, 2))
        self.base: Ints = np.where(self._usable, fit, 0)  # [nodes] with what is stopped already, and nothing else
        self._known: dict[tuple[int, frozenset[int]], int] = {}

    def of(self, node: int, victims: frozenset[int]) -> int:
        """Return how many tasks the node (by its index in the world) holds if these leases are stopped too."""
        there = victims.intersection(self._clearing.on_node.get(node, ()))
        if not there:
            return int(self.base[node - self.low])
        if not self._usable[node - self.low]:
            return 0
        key = node, there
        if key not in self._known:
            self._known[key] = self._count(node, there)
        return self._known[key]

    def _count(self, node: int, victims: frozenset[int]) -> int:
        clearing = self._clearing
        amounts = [(clearing.ends[lease], clearing.holds[lease, node]) for lease in victims]
        fit = 2**62
        for at, free in zip(self._times, self._free[:, node - self.low].tolist(), strict=True):
            for resource, need in enumerate(self._need):
                if need > 0:
                    more = sum(held[resource] for ends, held in amounts if ends > at)
                    fit = min(fit, max(free[resource] + more, 0) // need)
        return fit

    def _add(self, lease: int, from_s: int, high: int) -> None:
        clearing = self._clearing
        for node in clearing.nodes(lease):
            if self.low <= node < high:
                for column, at in enumerate(self._times):
                    if from_s <= at < clearing.ends[lease]:
                        self._free[column, node - self.low] += clearing.holds[lease, node]


def filled(room: dict[int, int], tasks: int) -> dict[int, int]:
    """Return tasks by node: few nodes, the last one the smallest that holds the rest; nothing if they do not fit."""
    order = sorted((node for node in room if room[node] > 0), key=lambda node: (-room[node], node))
    chosen: dict[int, int] = {}
    left = tasks
    for at, node in enumerate(order):
        if room[node] >= left:
            last = min(order[at:], key=lambda other: (room[other] < left, room[other], other))
            chosen[last] = left
            return dict(sorted(chosen.items()))
        chosen[node] = room[node]
        left -= room[node]
    return {}


def _spans(table: Table, low: int, high: int) -> Ints:
    """Return the spans of these nodes, one row each: node, from, until, cards, CPU, memory."""
    found = []
    for node in (np.flatnonzero(table.head[low:high] >= 0) + low).tolist():
        span = int(table.head[node])
        while span >= 0:
            found.append((node, *table.span[span].tolist()))
            span = int(table.following[span])
    return np.array(found, dtype=np.int64).reshape(-1, 6)


def _free(table: Table, spans: Ints, low: int, high: int, at_s: int) -> Ints:
    """Return what is free on these nodes at a time, [nodes, 3]; below 0 where more is promised than there is."""
    free: Ints = table.free[low:high].copy()
    releases = slice(int(table.release_start[low]), int(table.release_start[high]))
    ended = table.release_at[releases] <= at_s
    np.add.at(free, table.release_node[releases][ended] - low, table.released[releases][ended])
    covers = (spans[:, 1] <= at_s) & (at_s < spans[:, 2])
    np.subtract.at(free, spans[covers, 0] - low, spans[covers, 3:])
    return free
