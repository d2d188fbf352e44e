"""Where a task goes among nodes that cost the same: the rule that keeps cards usable for what usually comes.

    score(node, card) = 300 + floor(100 sigmoid((F before - F after) / 1000)) - round(300 waste) + points(pool)

F is the idle card milli of the node that a typical task cannot use, expected over the mix (`fragmentation.py`; Weng
et al., "Beware of Fragmentation", USENIX ATC 2023, whose score is the second term). `waste`, for shares of a card
alone, is what the card loses in worth beyond the price of the share, in cards from 0 to 1 (`card_worth.py`). The points
are below 0 where others will need the pool or its cores more (`pressure.py`).

The highest score wins, ties by the order that the caller gives. CPU counts, memory only as to whether the task fits.
Scores depend on the node alone, so they are kept until it changes, and the best node of a pool until one of its nodes
does: a decision costs one look at every pool, and at the nodes of those that changed since the last one of its need.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import borrowing, inlined
from scheduler.fields import MILLI_PER_CARD
from scheduler.mix import Mix
from scheduler.packing import open_card, take_share
from scheduler.pressure import Gauge, Pressure, Usual
from scheduler.snapshot import Bools, Ints, Snapshot
from scheduler.terrain import (
    FIRST_NODE,
    FIRST_SLOT,
    MILLI_LEFT,
    NEED_SHARE,
    NEW_SLOT,
    SHARES_MAX,
    TASKS_LEFT,
    UNSPLIT,
    Free,
    Land,
)

WASTE_POINTS: Final = 300
"""What wasting a whole card costs, beside scores of 0 to 100."""
NEW_CARD: Final = -1
"""Instead of a slot: a card that is whole, or no card at all."""
TOLD_EVERY: Final = 200
"""Arrivals between two looks at what is left, for the points."""
_NO_FIT: Final = -1
NEEDS_KEPT: Final = 256
"""Needs whose scores are kept from jobs to jobs; when more come together, theirs are not kept."""

Floats = NDArray[np.float64]


class Rule(NamedTuple):
    """What scores go by."""

    usual: Usual
    pressure: Pressure
    worth: Floats  # [1001] of the milli left on a card, in cards
    price: Floats  # [1001] of a share, in cards
    open: Bools  # [N] others take nothing, not even a task without cards
    rank: Ints  # [N] the lowest wins a tie
    changes: Ints  # [N] counts the changes of each node, from 1
    pool_changes: Ints  # [P] counts those of all nodes of a pool, from 1


class Known(NamedTuple):
    """Scores by need and node without the points; below 0: it does not fit.

    They are true while `changes` is that of the node; the best of a pool is while `pool_changes` is that of the pool.
    """

    row: Ints  # [U] of each need of some jobs in the tables that follow
    score: NDArray[np.int16]  # [R, N]
    slot: NDArray[np.int32]  # [R, N] of the split card for a share, or NEW_CARD
    changes: NDArray[np.int32]  # [R, N]
    best: NDArray[np.int32]  # [R, P] node with the highest score, -1: the need fits nowhere
    highest: NDArray[np.int16]  # [R, P]
    pool_changes: Ints  # [R, P]


class Steering:
    """The rule for one world, and what it must remember: what was asked for, which nodes changed."""

    def __init__(self, mix: Mix, world: Snapshot, land: Land, tie_order: Ints) -> None:
        """`tie_order`: [N], all nodes; of equal ones the first in this order takes a task."""
        nodes = len(world.node_names)
        rank = np.empty(nodes, dtype=np.int64)
        rank[tie_order] = np.arange(nodes)
        self._gauge = Gauge(mix, world)
        usual, pressure = self._gauge.usual, self._gauge.pressure
        changes = np.ones(nodes, dtype=np.int64)
        pool_changes = np.ones(len(world.pool_names), dtype=np.int64)
        self.rule = Rule(usual, pressure, mix.worth, mix.price, world.node_open, rank, changes, pool_changes)
        self.points = np.zeros(len(world.pool_names), dtype=np.int64)
        self._open, self._pool = world.node_open, world.node_pool
        self._slot_pool = np.repeat(world.node_pool, np.diff(land.slots[:, FIRST_SLOT]))
        self._asked_milli = self._arrivals = 0
        self._kept = nothing_known(0, nodes, len(self.points))
        self._row_of: dict[tuple[int, ...], int] = {}

    def look(self, free: Free) -> int:
        """Look at what is left, if it is time, and return how many arrivals may be decided on until the next look."""
        if self._arrivals % TOLD_EVERY == 0:
            left = np.maximum(free.slots[:, MILLI_LEFT], 0)
            card = MILLI_PER_CARD * self._by_pool(self._pool, free.nodes[:, 0]) + self._by_pool(self._slot_pool, left)
            cpu = self._by_pool(self._pool, np.where(self._open, free.nodes[:, 1], 0))
            self._asked_milli = self._gauge.tell(card, cpu, self._asked_milli)
        return TOLD_EVERY - self._arrivals % TOLD_EVERY

    def arrived(self, milli: Ints) -> None:
        """Count tasks or gangs that were decided on since the last look, by the card milli that each asked for."""
        self._arrivals += milli.size
        self._asked_milli += int(milli.sum())

    def changed(self, nodes: Ints) -> None:
        """Hear that something was taken from these nodes, or given back, by others than `take_unit`."""
        self.rule.changes[nodes] += 1
        self.rule.pool_changes[self._pool[nodes]] += 1

    def known(self, needs: Ints) -> Known:
        """Return the tables for needs as in `Land.needs`, [U, *], with what is known of them from jobs before.

        They stay right whatever is asked for after them.
        """
        wanted = [tuple(need[: NEED_SHARE + 1]) for need in needs.tolist()]
        nodes, pools = len(self.rule.rank), len(self.points)
        if len(wanted) > NEEDS_KEPT:
            return nothing_known(len(wanted), nodes, pools)._replace(row=np.arange(len(wanted)))
        if len(self._row_of.keys() | wanted) > len(self._kept.score):
            self._kept = nothing_known(NEEDS_KEPT, nodes, pools)
            self._row_of.clear()
        rows = [self._row_of.setdefault(need, len(self._row_of)) for need in wanted]
        return self._kept._replace(row=np.array(rows, dtype=np.int64))

    def _by_pool(self, pool: Ints, amount: Ints) -> Ints:
        return np.bincount(pool, weights=amount, minlength=len(self.points)).astype(np.int64)


def nothing_known(rows: int, nodes: int, pools: int) -> Known:
    """Return tables without any score; their pages cost nothing until a node is looked at."""
    return Known(
        row=np.zeros(0, np.int64),
        score=np.zeros((rows, nodes), np.int16),
        slot=np.zeros((rows, nodes), np.int32),
        changes=np.zeros((rows, nodes), np.int32),
        best=np.zeros((rows, pools), np.int32),
        highest=np.zeros((rows, pools), np.int16),
        pool_changes=np.zeros((rows, pools), np.int64),
    )


@borrowing
def best_node(land: Land, free: Free, rule: Rule, known: Known, row: int, need: Ints, pool: int) -> tuple[int, int]:
    """Return the pool's node with the highest score and that score, without the points; -1 if the need fits nowhere.

    Args:
        row: of `known` for this need.
        need: [*] whole cards, CPU milli, memory MiB, share milli, as in `Land.needs`.
    """
    if known.pool_changes[row, pool] == rule.pool_changes[pool]:
        return int(known.best[row, pool]), int(known.highest[row, pool])
    found, highest, like = -1, _NO_FIT, -1
    for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
        if known.changes[row, node] != rule.changes[node]:
            known.changes[row, node] = rule.changes[node]
            if like >= 0 and alike(land, free, rule, like, node):
                known.score[row, node], known.slot[row, node] = known.score[row, like], NEW_CARD
            else:
                known.score[row, node], known.slot[row, node] = score_of(land, free, rule, need, pool, node)
                like = node
        score = int(known.score[row, node])
        if score != _NO_FIT and beats(rule, node, score, found, highest):
            found, highest = node, score
    known.best[row, pool], known.highest[row, pool] = found, highest
    known.pool_changes[row, pool] = rule.pool_changes[pool]
    return found, highest


@borrowing
def alike(land: Land, free: Free, rule: Rule, one: int, other: int) -> bool:
    """Return whether two nodes of a pool have as much free, and neither has a card that is split: they score alike."""
    of, than = free.nodes[one], free.nodes[other]
    if of[0] != than[0] or of[1] != than[1] or of[2] != than[2] or rule.open[one] != rule.open[other]:
        return False
    for node in (one, other):
        for slot in range(land.slots[node, FIRST_SLOT], land.slots[node + 1, FIRST_SLOT]):
            if free.slots[slot, MILLI_LEFT] != UNSPLIT:
                return False
    return True


@inlined
def beats(rule: Rule, node: int, score: int, found: int, highest: int) -> bool:
    """Return whether a node with this score goes before the one found so far; -1 instead of a node: there is none."""
    if node < 0 or (found >= 0 and score < highest):
        return False
    return bool(found < 0 or score > highest or rule.rank[node] < rule.rank[found])


@borrowing
def score_of(land: Land, free: Free, rule: Rule, need: Ints, pool: int, node: int) -> tuple[int, int]:
    """Return the score of one unit on a node without the points, and the slot for a share; -1 where it does not fit."""
    whole, cpu, share = free.nodes[node, 0], free.nodes[node, 1] - need[1], need[NEED_SHARE]
    if not rule.open[node] or whole < need[0] or cpu < 0 or free.nodes[node, 2] < need[2]:
        return _NO_FIT, NEW_CARD
    before = unusable(land, free, rule.usual, pool, node, free.nodes[node, 1], whole, -1, 0)
    if share == 0:
        after = unusable(land, free, rule.usual, pool, node, cpu, whole - need[0], -1, 0)
        return WASTE_POINTS + _gained(before - after), NEW_CARD
    best, best_slot = _NO_FIT, NEW_CARD
    for slot in range(land.slots[node, FIRST_SLOT], land.slots[node + 1, FIRST_SLOT]):
        left = free.slots[slot, MILLI_LEFT]
        if left < share or free.slots[slot, TASKS_LEFT] <= 0:
            continue
        after = unusable(land, free, rule.usual, pool, node, cpu, whole, slot, left - share)
        value = WASTE_POINTS + _gained(before - after) - _wasted(rule, left, share)
        if value > best:
            best, best_slot = value, slot
    if whole > 0 and land.pools[pool, SHARES_MAX] > 0:
        after = unusable(land, free, rule.usual, pool, node, cpu, whole - 1, NEW_CARD, MILLI_PER_CARD - share)
        value = WASTE_POINTS + _gained(before - after) - _wasted(rule, MILLI_PER_CARD, share)
        if value > best:
            best, best_slot = value, NEW_CARD
    return best, best_slot


@borrowing
def _gained(drop: float) -> int:
    return int(100.0 / (1.0 + math.exp(-drop / 1000.0)))


@borrowing
def _wasted(rule: Rule, left: int, share: int) -> int:
    waste = rule.worth[left] - rule.worth[left - share] - rule.price[share]
    return int(WASTE_POINTS * min(max(waste, 0.0), 1.0) + 0.5)


@borrowing
def unusable(
    land: Land, free: Free, usual: Usual, pool: int, node: int, cpu: int, whole: int, slot: int, milli: int
) -> float:
    """Return F of a node with so much CPU and so many whole cards left: milli that a typical task cannot use.

    Args:
        slot: of a split card that has `milli` left instead of what it has; -1: a card more that has so much left.
    """
    first, last = land.slots[node, FIRST_SLOT], land.slots[node + 1, FIRST_SLOT]
    idle = MILLI_PER_CARD * whole + (milli if slot < 0 else 0)
    for at in range(first, last):
        idle += milli if at == slot else max(int(free.slots[at, MILLI_LEFT]), 0)
    if idle == 0:
        return 0.0
    lost = 0.0
    for s in range(len(usual.cpu)):
        unused, wanted = idle, usual.milli[s]
        if usual.cards[s] > 0 and usual.cpu[s] <= cpu and usual.model[s, pool]:
            enough, small = whole, 0
            if slot < 0 and milli >= wanted:
                enough += 1
            elif slot < 0:
                small += milli
            for at in range(first, last):
                left = milli if at == slot else max(int(free.slots[at, MILLI_LEFT]), 0)
                if left >= wanted and free.slots[at, TASKS_LEFT] > 0:
                    enough += 1
                else:
                    small += left
            if enough >= usual.cards[s]:
                unused = small
        lost += usual.share[s] * unused
    return lost


@borrowing
def take_unit(land: Land, free: Free, rule: Rule, need: Ints, pool: int, node: int, slot: int) -> int:
    """Take one unit from a node where it fits. Return the slot of a share's card, opened if it is new."""
    for resource in range(3):
        free.nodes[node, resource] -= need[resource]
    free.total[pool] -= need[0]
    share = need[NEED_SHARE]
    if share > 0:
        if slot == NEW_CARD:
            slot = int(land.slots[node, NEW_SLOT])
            while free.slots[slot, MILLI_LEFT] != UNSPLIT:
                slot += 1
            open_card(land, free, pool, node, slot)
        take_share(land, free, pool, node, slot, share, 1)
    rule.changes[node] += 1
    rule.pool_changes[pool] += 1
    return slot
