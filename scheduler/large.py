"""Scan and construction for large instances, on the compiled kernels: equal to the plain ones, decision by decision.

A construction that is not the best so far is thrown away; so it stays a set of arrays, and only the plan that is kept
becomes an `Answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler import kernels
from scheduler.snapshot import Bools, Ints, Snapshot

Floats = NDArray[np.float64]
_UNKNOWN_FIT: Final = 2**62


@dataclass(frozen=True, eq=False)
class Pairs:
    """The eligible pairs of group and pool, row by row."""

    start: Ints  # [G + 1]
    pool: NDArray[np.int32]
    worth: Ints


def pairs_of(worth: Ints) -> Pairs:
    """Return the pairs with a worth above 0."""
    start = np.append(0, np.cumsum(np.count_nonzero(worth, axis=1))).astype(np.int64)
    pairs = Pairs(start, np.empty(start[-1], dtype=np.int32), np.empty(start[-1], dtype=np.int64))
    kernels.pairs_of(worth, pairs.start, pairs.pool, pairs.worth)
    return pairs


class Terrain:
    """What packing needs to know of nodes and shapes, as arrays."""

    def __init__(self, snapshot: Snapshot) -> None:
        needs = np.stack(
            [snapshot.shape_cards_per_task, snapshot.shape_cpu_milli_per_task, snapshot.shape_memory_mib_per_task],
            axis=1,
        )
        self.needs, kind = np.unique(needs, axis=0, return_inverse=True)
        self.kind: Ints = kind.reshape(-1).astype(np.int64)
        self.tasks = snapshot.shape_tasks
        self.pools = len(snapshot.pool_names)
        self.node_start: Ints = np.searchsorted(snapshot.node_pool, np.arange(self.pools + 1)).astype(np.int64)
        cards = np.where(snapshot.node_open, snapshot.node_free_cards, 0)
        self.free = np.stack([cards, snapshot.node_free_cpu_milli, snapshot.node_free_memory_mib], axis=1)
        self.total = self.by_pool(cards)

    def by_pool(self, by_node: Ints) -> Ints:
        """Return the sums of each pool's nodes."""
        upto = np.append(0, np.cumsum(by_node))
        sums: Ints = np.diff(upto[self.node_start]).astype(np.int64)
        return sums


class Packing:
    """Gangs on nodes while a plan is being built: only `place` takes, nothing gives back."""

    def __init__(self, terrain: Terrain, shape: Ints, count: Ints) -> None:
        self._terrain = terrain
        self._shape = shape
        self._free = terrain.free.copy()
        self._total = terrain.total.copy()
        self._fits = np.full((len(terrain.needs), terrain.pools), _UNKNOWN_FIT, dtype=np.int64)
        room = int(terrain.total.sum()) + 1  # every line takes a card at least
        self._nodes = np.empty(room, dtype=np.int64)
        self._on = np.empty(room, dtype=np.int64)
        self._lines = np.empty((room, 4), dtype=np.int64)
        self._end = np.zeros(2, dtype=np.int64)
        self.left = count.copy()

    def place(self, group: Ints, pool: Ints, most: Ints) -> None:
        """Place up to so many gangs of each pair, in this order, as far as they fit."""
        at = self._terrain
        kernels.place(
            group, pool, most, self._shape, at.kind, at.needs, at.tasks, at.node_start, self.left, self._free,
            self._total, self._fits, self._lines, self._nodes, self._on, self._end,
        )  # fmt: skip

    def hopeful(self, pairs: Pairs) -> Bools:
        """Return which pairs are still worth a try."""
        at = self._terrain
        sizes, size = np.unique(at.needs[:, 0], return_inverse=True)
        by_size = np.stack([at.by_pool(self._free[:, 0] // cards) for cards in sizes.tolist()])
        slots = np.minimum(by_size[size.reshape(-1)], self._fits)
        found = np.zeros(pairs.pool.size, dtype=bool)
        kernels.hopeful(pairs.start, pairs.pool, self._shape, at.kind, at.tasks, slots, self.left, found)
        return found

    def result(self, choices_worth: Ints) -> Packed:
        """Return what was placed."""
        lines, entries = self._end.tolist()
        placed = self._lines[:lines].copy()
        worth = choices_worth[placed[:, 0], placed[:, 1]]
        objective = sum(value * gangs for value, gangs in zip(worth.tolist(), placed[:, 2].tolist(), strict=True))
        return Packed(placed, self._nodes[:entries].copy(), self._on[:entries].copy(), self.left, objective)


@dataclass(frozen=True, eq=False)
class Packed:
    """A feasible set of placements as arrays."""

    lines: Ints  # [L, 4] group, pool, gangs, first entry of `nodes`
    nodes: Ints
    tasks: Ints  # on each of `nodes`
    left: Ints  # [G] jobs not placed
    objective: int


def sorted_pairs(pairs: Pairs, chosen: Bools, density: Ints) -> tuple[Ints, Ints]:
    """Return groups and pools of the chosen pairs: most worth per card first, then the group's best pool first."""
    at = np.flatnonzero(chosen)
    group = np.searchsorted(pairs.start, at, side="right") - 1
    order = np.lexsort((pairs.pool[at], -pairs.worth[at], group, -density[group]))
    return group[order], pairs.pool[at][order].astype(np.int64)
