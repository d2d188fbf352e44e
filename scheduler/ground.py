"""The free resources of every node while a plan is being built, and gangs put on named nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scheduler.snapshot import Ints, Snapshot


@dataclass(frozen=True)
class Batch:
    """Gangs of one group in one pool. Tasks are dealt to the gangs in the order of the nodes."""

    group: int
    pool: int
    gangs: int
    nodes: tuple[int, ...]
    tasks: tuple[int, ...]  # on each node, summing to gangs x tasks of the shape


class Ground:
    """Free cards, CPU and memory by node. Only `put` takes, only `clear` gives back: nothing goes below zero."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._start = np.searchsorted(snapshot.node_pool, np.arange(len(snapshot.pool_names) + 1)).tolist()
        self._cards = np.where(snapshot.node_open, snapshot.node_free_cards, 0)
        self._cpu = snapshot.node_free_cpu_milli.copy()
        self._memory = snapshot.node_free_memory_mib.copy()
        self._tasks: list[int] = snapshot.shape_tasks.tolist()
        self._need: list[tuple[int, int, int]] = list(
            zip(
                snapshot.shape_cards_per_task.tolist(),
                snapshot.shape_cpu_milli_per_task.tolist(),
                snapshot.shape_memory_mib_per_task.tolist(),
                strict=True,
            )
        )
        # the largest free block and the free cards of each pool: most refusals need no look at the nodes
        self._largest = [0] * len(snapshot.pool_names)
        self._total = [0] * len(snapshot.pool_names)
        for pool in range(len(snapshot.pool_names)):
            self._count(pool)

    def copy(self) -> Ground:
        """Return an independent copy."""
        other = object.__new__(Ground)
        other.__dict__.update(self.__dict__)
        other._cards, other._cpu, other._memory = self._cards.copy(), self._cpu.copy(), self._memory.copy()
        other._largest, other._total = list(self._largest), list(self._total)
        return other

    def may_hold(self, shape: int, pool: int) -> bool:
        """Return False when one gang surely does not fit any more; True promises nothing."""
        cards = self._need[shape][0]
        return self._largest[pool] >= cards and self._total[pool] >= cards * self._tasks[shape]

    def card_slots(self, sizes: Ints) -> Ints:
        """Return [sizes, pools]: how many tasks of so many cards the free cards could hold, CPU and memory apart."""
        slots = np.zeros((sizes.size, len(self._total)), dtype=np.int64)
        for row, cards in enumerate(sizes.tolist()):
            upto = np.concatenate([[0], np.cumsum(self._cards // cards)])
            slots[row] = np.diff(upto[self._start])
        return slots

    def put(self, group: int, shape: int, pool: int, gangs: int) -> Batch | None:
        """Place as many whole gangs as fit, up to `gangs`; None when not even one does.

        Tasks go to the nodes with the fewest free cards that still hold one, so that large free blocks last.
        """
        if gangs < 1 or not self.may_hold(shape, pool):
            return None
        low, high = self._start[pool], self._start[pool + 1]
        need = self._need[shape]
        held = self._held(low, high, need)
        size = self._tasks[shape]
        if size == 1 and gangs == 1:
            return self._put_one(group, pool, low, held, need)
        wanted = min(gangs, int(held.sum()) // size) * size
        if wanted == 0:
            return None
        here = np.flatnonzero(held)
        here = here[np.argsort(self._cards[low + here], kind="stable")]
        upto = np.cumsum(held[here])
        used = int(np.searchsorted(upto, wanted)) + 1
        here, tasks = here[:used] + low, held[here[:used]]
        tasks[-1] -= upto[used - 1] - wanted
        self._take(here, tasks, need)
        self._count(pool)
        return Batch(group, pool, wanted // size, tuple(here.tolist()), tuple(tasks.tolist()))

    def put_at(self, batch: Batch, shape: int) -> None:
        """Take what a batch uses. The caller knows that it fits, for example because a solver said so."""
        nodes, tasks = np.array(batch.nodes, dtype=np.int64), np.array(batch.tasks, dtype=np.int64)
        self._take(nodes, tasks, self._need[shape])
        self._count(batch.pool)

    def take_all(self, batches: Iterable[Batch], shape: Ints) -> None:
        """Take what all these batches use; they fit, and nothing was taken before. `shape` is by group."""
        batches = list(batches)
        entries = [len(batch.nodes) for batch in batches]
        needs = np.array(self._need, dtype=np.int64).reshape(-1, 3)
        need = np.repeat(needs[shape[[batch.group for batch in batches]]], entries, axis=0) if batches else needs[:0]
        nodes = np.array([node for batch in batches for node in batch.nodes], dtype=np.int64)
        tasks = np.array([count for batch in batches for count in batch.tasks], dtype=np.int64)
        for column, free in enumerate((self._cards, self._cpu, self._memory)):
            np.subtract.at(free, nodes, tasks * need[:, column])
        for pool in range(len(self._total)):
            self._count(pool)

    def clear(self, pool: int) -> None:
        """Give back everything that was put into the pool."""
        part = slice(self._start[pool], self._start[pool + 1])
        self._cards[part] = np.where(self._snapshot.node_open[part], self._snapshot.node_free_cards[part], 0)
        self._cpu[part] = self._snapshot.node_free_cpu_milli[part]
        self._memory[part] = self._snapshot.node_free_memory_mib[part]
        self._count(pool)

    def _put_one(self, group: int, pool: int, low: int, held: Ints, need: tuple[int, int, int]) -> Batch | None:
        here = np.flatnonzero(held)
        if not here.size:
            return None
        node = low + int(here[np.argmin(self._cards[low + here])])
        self._cards[node] -= need[0]
        self._cpu[node] -= need[1]
        self._memory[node] -= need[2]
        self._count(pool)
        return Batch(group, pool, 1, (node,), (1,))

    def _held(self, low: int, high: int, need: tuple[int, int, int]) -> Ints:
        """Return how many tasks each node of the pool could take."""
        held = self._cards[low:high] // need[0]
        if need[1]:
            held = np.minimum(held, self._cpu[low:high] // need[1])
        if need[2]:
            held = np.minimum(held, self._memory[low:high] // need[2])
        return held

    def _take(self, nodes: Ints, tasks: Ints, need: tuple[int, int, int]) -> None:
        self._cards[nodes] -= tasks * need[0]
        self._cpu[nodes] -= tasks * need[1]
        self._memory[nodes] -= tasks * need[2]

    def _count(self, pool: int) -> None:
        cards = self._cards[self._start[pool] : self._start[pool + 1]]
        self._largest[pool] = int(cards.max(initial=0))
        self._total[pool] = int(cards.sum())
