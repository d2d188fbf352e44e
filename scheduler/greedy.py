"""Construct a plan in one pass, best worth per scarcity first, each gang whole on named nodes: always feasible.

A pair (group, pool) scores `worth / (cost at the given prices + cards)`: with all prices zero this is worth per card,
with good prices it is worth per micro-yuan of what the gang takes from others. Pairs are tried best first; where the
descent has voted, the groups that it wanted to run most often come before all others, and in the pools it chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from scheduler.choices import Choices
from scheduler.ground import Batch, Ground
from scheduler.prices import Rows, gang_cards, gang_costs
from scheduler.snapshot import Bools, Ints, Votes

if TYPE_CHECKING:
    from scheduler.large import Packed

_POOLS_TRIED_FIRST: Final = 32
_NEVER: Final = -(2**62)
_GROUPS_PER_SORT: Final = 1024
_PAIRS_PER_LOOK: Final = 20_000


class Admitted(NamedTuple):
    """Gangs of a group that shall run in a pool, not yet on nodes."""

    group: int
    pool: int
    gangs: int


@dataclass
class Answer:
    """A feasible set of placements while it is being improved."""

    ground: Ground
    left: list[int]  # [G] jobs not placed
    batches: list[Batch] = field(default_factory=list)
    objective: int = 0

    def copy(self) -> Answer:
        """Return an independent copy."""
        return Answer(self.ground.copy(), list(self.left), list(self.batches), self.objective)

    def put(self, choices: Choices, group: int, pool: int, gangs: int) -> int:
        """Place up to so many gangs of a group, and return how many fitted."""
        batch = self.ground.put(group, int(choices.shape[group]), pool, min(gangs, self.left[group]))
        if batch is None:
            return 0
        self._add(choices, batch)
        return batch.gangs

    def put_at(self, choices: Choices, batch: Batch) -> None:
        """Take over a batch whose nodes are known to have room."""
        self.ground.put_at(batch, int(choices.shape[batch.group]))
        self._add(choices, batch)

    def clear(self, choices: Choices, pools: Iterable[int]) -> list[Batch]:
        """Take everything out of these pools, and return what was there."""
        chosen = set(pools)
        out = [batch for batch in self.batches if batch.pool in chosen]
        self.batches = [batch for batch in self.batches if batch.pool not in chosen]
        for batch in out:
            self.left[batch.group] += batch.gangs
            self.objective -= batch.gangs * int(choices.worth[batch.group, batch.pool])
        for pool in sorted(chosen):
            self.ground.clear(pool)
        return out

    def _add(self, choices: Choices, batch: Batch) -> None:
        self.left[batch.group] -= batch.gangs
        self.objective += batch.gangs * int(choices.worth[batch.group, batch.pool])
        self.batches.append(batch)


def empty(choices: Choices) -> Answer:
    """Return the answer that places nothing."""
    return Answer(Ground(choices.snapshot), choices.count.tolist())


def construct(choices: Choices, rows: Rows, prices: Ints, votes: Votes | None = None) -> Answer | Packed:
    """Build a plan by these prices [P, R]; zero prices give the plain greedy plan.

    Gangs are first admitted by counting, best score first, as long as every capacity row holds. Only then are they put
    on nodes, large tasks first: a small task put early would break a block that a large one needs.
    """
    if votes is None:
        votes = np.zeros(choices.worth.shape, dtype=np.int16)
    if choices.large:
        return _construct_large(choices, rows, prices, votes)
    answer = empty(choices)
    pack(choices, answer, _admit(choices, rows, *_pairs(choices, rows, prices, votes)))
    fill(choices, answer)
    return answer


def named(choices: Choices, plan: Answer | Packed) -> Answer:
    """Return a plan that can be improved further, whatever form it was constructed in."""
    if isinstance(plan, Answer):
        return plan
    answer = empty(choices)
    first = plan.lines[:, 3].tolist()
    nodes, tasks = plan.nodes.tolist(), plan.tasks.tolist()
    for (group, pool, gangs, low), high in zip(plan.lines.tolist(), [*first, len(nodes)][1:], strict=True):
        answer.batches.append(Batch(group, pool, gangs, tuple(nodes[low:high]), tuple(tasks[low:high])))
    answer.left = plan.left.tolist()
    answer.objective = plan.objective
    answer.ground.take_all(answer.batches, choices.shape)
    return answer


def _construct_large(choices: Choices, rows: Rows, prices: Ints, votes: Votes) -> Packed:
    """Do the same on arrays, with the compiled kernels."""
    from scheduler import kernels
    from scheduler.large import Packing, sorted_pairs

    pairs, shape = choices.pairs, choices.shape
    snapshot, cards = choices.snapshot, gang_cards(choices)
    top = np.empty((shape.size, min(_POOLS_TRIED_FIRST, rows.capacity.shape[0])), dtype=np.int32)
    score = np.full(shape.size, -1.0)
    gang = snapshot.shape_tasks * snapshot.shape_cards_per_task
    kernels.favourites(
        pairs.start, pairs.pool, pairs.worth, shape, gang_costs(rows, prices), gang, votes, top, score
    )  # fmt: skip
    order = np.lexsort((-cards, -snapshot.shape_cards_per_task[shape], -score, -_in_favour(votes)))
    admitted = np.empty((top.size, 3), dtype=np.int64)
    lines = kernels.admit(order, top, shape, rows.use, choices.count.copy(), rows.capacity.copy(), admitted)
    group, pool, gangs = admitted[:lines].T
    large_first = np.lexsort(
        (group, pool, -snapshot.shape_tasks[shape[group]], -snapshot.shape_cards_per_task[shape[group]])
    )
    packing = Packing(choices.terrain, shape, choices.count)
    packing.place(group[large_first], pool[large_first], gangs[large_first])
    density = choices.worth.max(axis=1, initial=0) // cards
    group, pool = sorted_pairs(pairs, packing.hopeful(pairs), density)
    packing.place(group, pool, np.full(group.size, 2**31))
    return packing.result(choices.worth)


def pack(choices: Choices, answer: Answer, admitted: Iterable[Admitted]) -> None:
    """Put admitted gangs on nodes, large tasks first; what the nodes cannot hold stays out."""
    snapshot, shape = choices.snapshot, choices.shape
    cards = snapshot.shape_cards_per_task.tolist()
    tasks = snapshot.shape_tasks.tolist()
    shapes = shape.tolist()

    def largest_first(item: Admitted) -> tuple[int, int, int, int]:
        return -cards[shapes[item.group]], -tasks[shapes[item.group]], item.pool, item.group

    for item in sorted(admitted, key=largest_first):
        answer.put(choices, item.group, item.pool, item.gangs)


def _admit(choices: Choices, rows: Rows, groups: Ints, pools: Ints) -> list[Admitted]:
    """Admit gangs pair by pair while the capacity rows hold."""
    left = choices.count.tolist()
    rest: list[list[int]] = rows.capacity.tolist()
    shapes = choices.shape.tolist()
    uses = [[(r, use) for r, use in enumerate(row) if use] for row in rows.use.tolist()]
    admitted: list[Admitted] = []
    for group, pool in zip(groups.tolist(), pools.tolist(), strict=True):
        gangs = left[group]
        room = rest[pool]
        for row, use in uses[shapes[group]]:
            if use * gangs > room[row]:
                gangs = room[row] // use
        if gangs > 0:
            left[group] -= gangs
            for row, use in uses[shapes[group]]:
                room[row] -= use * gangs
            admitted.append(Admitted(group, pool, gangs))
    return admitted


def fill(choices: Choices, answer: Answer) -> None:
    """Place what still fits anywhere, most worth per card first: afterwards no refused gang fits by itself."""
    hopeful = _Hopeful(choices)
    group, pool = hopeful.pairs(answer)
    density = choices.worth.max(axis=1, initial=0) // gang_cards(choices)
    order = np.lexsort((pool, -choices.worth[group, pool], group, -density[group]))
    for low in range(0, order.size, _PAIRS_PER_LOOK):  # free cards only shrink: most later pairs need no try at all
        part = order[low : low + _PAIRS_PER_LOOK]
        part = part[hopeful.still(answer, group[part], pool[part])]
        for at, where in zip(group[part].tolist(), pool[part].tolist(), strict=True):
            if answer.left[at]:
                answer.put(choices, at, where, answer.left[at])


class _Hopeful:
    """Tells which pairs have cards enough, counted task by task; CPU and memory only a try can tell."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._sizes, at = np.unique(choices.snapshot.shape_cards_per_task, return_inverse=True)
        self._size_of = at.reshape(-1)
        self._tasks = choices.snapshot.shape_tasks

    def pairs(self, answer: Answer) -> tuple[Ints, Ints]:
        """Return the hopeful groups and pools among all eligible pairs of jobs still out."""
        choices = self._choices
        enough = answer.ground.card_slots(self._sizes)[self._size_of] >= self._tasks[:, None]
        waiting = np.flatnonzero(np.array(answer.left, dtype=np.int64))
        found = [np.zeros((2, 0), dtype=np.int64)]
        for low in range(0, waiting.size, _GROUPS_PER_SORT):
            part = waiting[low : low + _GROUPS_PER_SORT]
            at, pool = np.nonzero((choices.worth[part] > 0) & enough[choices.shape[part]])
            found.append(np.stack([part[at], pool]))
        group, pool = np.concatenate(found, axis=1)
        return group, pool

    def still(self, answer: Answer, group: Ints, pool: Ints) -> Bools:
        """Return which of these pairs are still hopeful."""
        shape = self._choices.shape[group]
        slots = answer.ground.card_slots(self._sizes)
        waiting = np.array(answer.left, dtype=np.int64)[group] > 0
        hopeful: Bools = waiting & (slots[self._size_of[shape], pool] >= self._tasks[shape])
        return hopeful


def _in_favour(votes: Votes) -> Ints:
    """Return, for each group, how often it was to run anywhere."""
    total: Ints = votes.sum(axis=1, dtype=np.int64)
    return total


def _pairs(choices: Choices, rows: Rows, prices: Ints, votes: Votes) -> tuple[Ints, Ints]:
    """Return groups and pools to try, best score first: for each group the few pools with the largest surplus."""
    cost = gang_costs(rows, prices)
    cards = gang_cards(choices)
    pools = choices.worth.shape[1]
    tried = min(_POOLS_TRIED_FIRST, pools)
    found: list[tuple[Ints, Ints, Ints, Ints]] = []
    for low in range(0, choices.shape.size if pools else 0, _GROUPS_PER_SORT):
        part = slice(low, low + _GROUPS_PER_SORT)
        worth = choices.worth[part]
        gain = np.where(worth > 0, worth - cost[choices.shape[part]], _NEVER)
        top = np.lexsort((-gain, -votes[part].astype(np.int64)), axis=1)[:, :tried]
        worthy = np.take_along_axis(gain, top, axis=1) > _NEVER
        group, rank = np.nonzero(worthy)
        pool = top[worthy]
        first = top[group, 0]
        paid = cost[choices.shape[low + group], first] + cards[low + group]
        score = worth[group, first] / paid
        found.append((low + group, pool, score, rank))
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    group, pool, score, rank = (np.concatenate(parts) for parts in zip(*found, strict=True))
    size = choices.snapshot.shape_cards_per_task[choices.shape[group]]
    # among equals large gangs first, while their blocks are free; then position, so that ties never depend on luck
    order = np.lexsort((rank, group, -cards[group], -size, -score, -_in_favour(votes)[group]))
    return group[order], pool[order]
