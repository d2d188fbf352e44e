"""What is free while a plan is being built, and what has been placed: an answer that can grow and be taken back.

A *line* is some gangs of one pair; its *entries* say how many of their tasks are on which node, and the card of each
share. Tasks are dealt to the gangs of a line in the order of its entries (`deal`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from scheduler.choices import Choices
from scheduler.compiled import borrowing, compiled
from scheduler.errors import SchedulerError
from scheduler.fields import TIERS_MAX
from scheduler.limits import NEW
from scheduler.packing import card_of, charge, open_card, put, take_share, wide
from scheduler.snapshot import Bools, Ints
from scheduler.terrain import (
    FIRST_SLOT,
    FIRST_SPLIT,
    MILLI_LEFT,
    NEW_SLOT,
    SHARE,
    TASK_CARDS,
    TASKS,
    TASKS_LEFT,
    UNKNOWN_FIT,
    UNSPLIT,
    Free,
    Land,
    Terrain,
)

__all__ = ["Dealt", "DoesNotFit", "Ground", "Terrain", "deal"]

_LOW: Final = 0x7FFFFFFF
_FIRST_NEW: Final = -2  # in entries: the first card that this plan splits on a node


class DoesNotFit(SchedulerError):
    """Lines were to be placed on named nodes that have no room for them."""


class Ground:
    """Free resources and placed lines. Only `place` and `place_at` take, only `remove` gives back."""

    def __init__(self, terrain: Terrain) -> None:
        self.terrain = terrain
        self.free = _copy(terrain.free)
        self._lines = np.empty((64, 4), dtype=np.int64)
        self._entries = np.empty((64, 3), dtype=np.int64)
        self.end = np.zeros(2, dtype=np.int64)

    def copy(self) -> Ground:
        """Return an independent copy."""
        other = object.__new__(Ground)
        other.terrain, other.free, other.end = self.terrain, _copy(self.free), self.end.copy()
        other._lines, other._entries = self.lines.copy(), self.entries.copy()
        return other

    @property
    def lines(self) -> Ints:
        """What is placed, [L, 4]: group, pair, gangs, first entry."""
        return self._lines[: self.end[0]]

    @property
    def entries(self) -> Ints:
        """Where, [E, 3]: node, tasks there, and card.

        The card is -1 for whole cards. Of shares each task has an entry, with a card of the snapshot's `split_node`
        or -2 - i: the i-th of the node's new split cards, in a numbering that may have holes.
        """
        return self._entries[: self.end[1]]

    @property
    def left(self) -> Ints:
        """Jobs not placed, [G]."""
        return self.free.left

    @property
    def watts(self) -> Ints:
        """Power left at each hub, [H]; NO_LIMIT where there is no cap and no pace."""
        return self.free.watts

    @property
    def account(self) -> Ints:
        """Quota accounts with all that is placed, [Q, 4] as in `limits`."""
        return self.free.account

    @property
    def objectives(self) -> list[int]:
        """Worth by job tier, [TIERS_MAX], micro-yuan per hour."""
        choices, lines = self.terrain.choices, self.lines
        worth, gangs = choices.pairs.worth[lines[:, 1]], lines[:, 2]
        tier = choices.groups.tier[lines[:, 0]]
        found = []
        for each in range(TIERS_MAX):  # in two parts: the sum need not fit in 64 bits
            low, high = ((part * gangs)[tier == each].sum() for part in (worth & _LOW, worth >> 31))
            found.append(int(low) + (int(high) << 31))
        return found

    @property
    def objective(self) -> int:
        """Worth of all tiers, micro-yuan per hour."""
        return sum(self.objectives)

    @property
    def guaranteed(self) -> int:
        """Guaranteed FP16 that new work uses, milli-TFLOPS."""
        return int(np.minimum(self.account[:, NEW], self.terrain.land.headroom).sum())

    def place(self, group: Ints, pair: Ints, most: Ints) -> None:
        """Place up to `most` gangs of each pair in this order, as many as fit and are left."""
        # one layout: for another the loops would be compiled again
        group, pair, most = (np.ascontiguousarray(column, dtype=np.int64) for column in (group, pair, most))
        self.keep(*_place(self.terrain.land, self.free, group, pair, most, *self.book()))

    def place_at(self, lines: Ints, entries: Ints) -> None:
        """Place lines on nodes named by the caller, who knows that there is room.

        Args:
            lines: [*, 4] as `self.lines`, with first entries counted in `entries`.
            entries: [*, 3] as `self.entries`; a card -2 - i means the i-th free card of
                the node that these lines split.
        Raises: DoesNotFit: something is taken that is not free; this ground must not be used any more.
        """
        lines = np.ascontiguousarray(lines, dtype=np.int64)
        added = np.array(entries, dtype=np.int64, order="C")  # a copy: cards get the numbers of this ground
        short = _take_at(self.terrain.land, self.free, lines, added)
        if short >= 0:
            raise DoesNotFit("lines", f"line {short} takes what is not free; empty the pools first")
        moved = lines + np.array([0, 0, 0, self.end[1]])
        self.keep(np.concatenate([self.lines, moved]), np.concatenate([self.entries, added]))
        self.end += (len(lines), len(added))

    def remove(self, pools: Iterable[int]) -> None:
        """Take everything out of these pools and give it back."""
        chosen = np.zeros(len(self.free.total), dtype=bool)
        chosen[list(pools)] = True
        self.remove_lines(np.flatnonzero(chosen[self.terrain.land.pool[self.lines[:, 1]]]))

    def remove_lines(self, positions: Ints) -> None:
        """Take these lines out and give back what they took; the others keep their order."""
        chosen = np.zeros(len(self.lines), dtype=bool)
        chosen[positions] = True
        _give_back(self.terrain.land, self.free, chosen, self._lines, self._entries, self.end)

    def book(self) -> tuple[Ints, Ints, Ints]:
        """Return the tables of lines and entries and what counts both, for compiled loops that write to them."""
        return self._lines, self._entries, self.end

    def keep(self, lines: Ints, entries: Ints) -> None:
        """Take over tables that compiled loops have grown."""
        self._lines, self._entries = lines, entries


class Dealt(NamedTuple):
    """Where one job runs."""

    job: int  # position in the snapshot
    pair: int
    nodes: tuple[int, ...]  # ascending
    tasks: tuple[int, ...]  # on each of them
    cards: tuple[int, ...]  # of shares: the card of each task, as in `plan.Placement`


def deal(choices: Choices, ground: Ground) -> list[Dealt]:
    """Deal the placed gangs to jobs: of equal jobs those that wait longest are served first, and best."""
    groups, pairs = choices.groups, choices.pairs
    lines = ground.lines
    order = np.lexsort((lines[:, 1], -pairs.worth[lines[:, 1]], lines[:, 0]))
    first = np.append(lines[:, 3], ground.end[1])
    shared, size = choices.kinds.share > 0, choices.kinds.tasks
    kind = pairs.kind[lines[:, 1]]
    next_member, members = groups.member_start[:-1].tolist(), groups.members.tolist()
    node, count, card = (column.tolist() for column in (ground.entries[:, 0], ground.entries[:, 1], _numbered(ground)))
    found = []
    for group, pair, low, high, tasks, of_cards in zip(
        lines[order, 0].tolist(),
        lines[order, 1].tolist(),
        first[order].tolist(),
        first[order + 1].tolist(),
        size[kind[order]].tolist(),
        shared[kind[order]].tolist(),
        strict=True,
    ):
        gangs: Iterable[Gang]
        if of_cards:
            gangs = _shares(node[low:high], card[low:high], tasks)
        elif high - low == 1 and count[low] == tasks:  # most lines: one gang, on one node
            gangs = (((node[low],), (tasks,), ()),)
        else:
            gangs = _cut(node[low:high], count[low:high], tasks)
        for gang in gangs:
            found.append(Dealt(members[next_member[group]], pair, *gang))
            next_member[group] += 1
    return found


Gang = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _cut(nodes: list[int], counts: list[int], size: int) -> Iterator[Gang]:
    """Cut the tasks of a line into gangs of `size` tasks, each as its nodes and the tasks on each."""
    hand: dict[int, int] = {}
    missing = size
    for node, count in zip(nodes, counts, strict=True):
        rest = count
        while rest >= missing:
            rest -= missing
            hand[node] = hand.get(node, 0) + missing
            held = tuple(sorted(hand))
            yield held, tuple(hand[each] for each in held), ()
            hand, missing = {}, size
        if rest:
            hand[node] = rest
            missing -= rest


def _shares(nodes: list[int], cards: list[int], size: int) -> Iterator[Gang]:
    """Cut a line of shares, which has an entry for each task."""
    for low in range(0, len(nodes), size):
        if size == 1:
            yield (nodes[low],), (1,), (cards[low],)
            continue
        gang = sorted(zip(nodes[low : low + size], cards[low : low + size], strict=True), key=itemgetter(0))
        tasks = Counter(node for node, _ in gang)
        yield tuple(tasks), tuple(tasks.values()), tuple(card for _, card in gang)


def _numbered(ground: Ground) -> Ints:
    """Return the card of each entry with the new split cards of a node numbered -1, -2, ... without holes."""
    node, card = ground.entries[:, 0], ground.entries[:, 2]
    cards = card.copy()
    new = card <= _FIRST_NEW
    if new.any():
        split, at = np.unique(np.stack([node[new], -card[new]], axis=1), axis=0, return_inverse=True)
        before = np.searchsorted(split[:, 0], split[:, 0])
        cards[new] = -1 - (np.arange(len(split)) - before)[at.reshape(-1)]
    return cards


def _copy(free: Free) -> Free:
    return Free(*(part.copy() for part in free))


@compiled
def _place(
    land: Land, free: Free, group: Ints, pair: Ints, most: Ints, lines: Ints, entries: Ints, end: Ints
) -> tuple[Ints, Ints]:
    """Put gangs pair by pair."""
    for i in range(group.size):
        if free.left[group[i]] > 0:
            lines, entries = put(land, free, group[i], pair[i], most[i], lines, entries, end)
    return lines, entries


@borrowing
def _slot_at(land: Land, free: Free, pool: int, node: int, card: int, opened: Ints) -> int:
    """Return the slot of a card as entries name it; a new card is split first. -1: there is no such card."""
    if card >= 0:
        known = land.slots[node, FIRST_SPLIT] <= card < land.slots[node + 1, FIRST_SPLIT]
        return int(land.slots[node, FIRST_SLOT] + card - land.slots[node, FIRST_SPLIT]) if known else -1
    wanted = land.slots[node, NEW_SLOT] - 2 - card
    if wanted < land.slots[node, NEW_SLOT] or wanted >= land.slots[node + 1, FIRST_SLOT]:
        return -1
    if opened[wanted] < 0:
        slot = land.slots[node, NEW_SLOT]
        while slot < land.slots[node + 1, FIRST_SLOT] and free.slots[slot, MILLI_LEFT] != UNSPLIT:
            slot += 1
        if slot == land.slots[node + 1, FIRST_SLOT]:
            return -1
        open_card(land, free, pool, node, slot)
        opened[wanted] = slot
    return int(opened[wanted])


@compiled
def _take_at(land: Land, free: Free, lines: Ints, entries: Ints) -> int:
    """Take what the lines say, and name new cards by slot. Return the first line that has no room, -1: all have."""
    opened = np.full(free.slots.shape[0], -1, dtype=np.int64)
    for line in range(lines.shape[0]):
        group, pair, gangs = lines[line, 0], lines[line, 1], lines[line, 2]
        pool, kind = wide(land.pool, pair), wide(land.kind, pair)
        last = lines[line + 1, 3] if line + 1 < lines.shape[0] else entries.shape[0]
        missing = gangs * land.kinds[kind, TASKS]
        for at in range(lines[line, 3], last):
            node, tasks = entries[at, 0], entries[at, 1]
            missing -= tasks
            for resource in range(3):
                free.nodes[node, resource] -= tasks * land.kinds[kind, TASK_CARDS + resource]
            free.total[pool] -= tasks * land.kinds[kind, TASK_CARDS]
            if land.kinds[kind, SHARE] > 0:
                slot = _slot_at(land, free, pool, node, entries[at, 2], opened)
                if slot < 0:
                    return line
                take_share(land, free, pool, node, slot, land.kinds[kind, SHARE], tasks)
                entries[at, 2] = card_of(land, node, slot)
                if free.slots[slot, MILLI_LEFT] < 0 or free.slots[slot, TASKS_LEFT] < 0:
                    return line
            if min(free.nodes[node, 0], free.nodes[node, 1], free.nodes[node, 2]) < 0:
                return line
        free.left[group] -= gangs
        charge(land, free.watts, free.account, group, kind, pool, gangs)
        if missing != 0 or free.left[group] < 0:
            return line
    return -1


@borrowing
def _release(land: Land, free: Free, pool: int, kind: int, node: int, tasks: int, card: int) -> None:
    """Give back what one entry took."""
    for resource in range(3):
        free.nodes[node, resource] += tasks * land.kinds[kind, TASK_CARDS + resource]
    free.total[pool] += tasks * land.kinds[kind, TASK_CARDS]
    if land.kinds[kind, SHARE] > 0:
        slot = (
            land.slots[node, FIRST_SLOT] + card - land.slots[node, FIRST_SPLIT]
            if card >= 0
            else land.slots[node, NEW_SLOT] - 2 - card
        )
        take_share(land, free, pool, node, slot, land.kinds[kind, SHARE], -tasks)


@compiled
def _give_back(land: Land, free: Free, chosen: Bools, lines: Ints, entries: Ints, end: Ints) -> None:
    """Take the chosen lines out of the tables and give back what they took."""
    more = np.zeros(free.total.size, dtype=np.bool_)  # pools in which more may fit than was known
    kept_lines, kept_entries, first = 0, 0, 0
    for line in range(end[0]):
        last = lines[line + 1, 3] if line + 1 < end[0] else end[1]
        group, pair, gangs = lines[line, 0], lines[line, 1], lines[line, 2]
        pool, kind = wide(land.pool, pair), wide(land.kind, pair)
        if chosen[line]:
            more[pool] = True
            for at in range(first, last):
                _release(land, free, pool, kind, entries[at, 0], entries[at, 1], entries[at, 2])
            free.left[group] += gangs
            charge(land, free.watts, free.account, group, kind, pool, -gangs)
        else:
            lines[kept_lines, 0], lines[kept_lines, 1], lines[kept_lines, 2] = group, pair, gangs
            lines[kept_lines, 3] = kept_entries
            kept_lines += 1
            for at in range(first, last):
                for column in range(3):
                    entries[kept_entries, column] = entries[at, column]
                kept_entries += 1
        first = last
    end[0], end[1] = kept_lines, kept_entries
    for need in range(free.fits.shape[0]):
        for pool in range(more.size):
            if more[pool]:
                free.fits[need, pool] = UNKNOWN_FIT
