"""Exchange what runs for what is worth more, one for one, on the same node.

Counting admits more than nodes can hold where CPU or memory decide: what finds no place then is whatever came last,
not what is worth least. So every job that waits and fits on one node looks for one that runs there with as many cards,
is worth less, and leaves enough behind. A higher tier takes the place of a lower one whatever the worth, never the
other way round; guarantees that are served stay served.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.compiled import borrowing, inlined
from scheduler.ground import Ground
from scheduler.limits import NEW
from scheduler.packing import allowed, charge, quota_of, wide
from scheduler.snapshot import Ints
from scheduler.terrain import NEED, NEED_SHARE, TASKS, UNITS, UNKNOWN_FIT, Free, Land

_TRIED: Final = 24
"""So many of the least worthy jobs of a pool are asked for each job that waits."""


def exchange(ground: Ground, order: Ints) -> None:
    """Let the waiting groups, in this order, take the place of what is worth less."""
    land, tier = ground.terrain.land, ground.terrain.choices.groups.tier
    lines, entries, _ = ground.book()
    lines, entries = lines[: ground.end[0]], entries[: ground.end[1]]
    whole = land.needs[land.kinds[:, NEED], NEED_SHARE] == 0
    kind = land.kind[lines[:, 1]]
    size = np.diff(np.append(lines[:, 3], len(entries)))
    alone = np.flatnonzero((lines[:, 2] == 1) & (size == 1) & whole[kind] & (land.kinds[kind, UNITS] == 1))
    if not alone.size:
        return
    pool, cards = land.pool[lines[alone, 1]].astype(np.int64), land.needs[land.kinds[kind[alone], NEED], 0]
    least = np.lexsort((land.worth[lines[alone, 1]], -tier[lines[alone, 0]], cards, pool))
    sizes = np.unique(cards)  # those that occur: a need may ask for more cards than any node has
    place = np.full(len(land.needs), -1)
    at = np.minimum(np.searchsorted(sizes, land.needs[:, 0]), sizes.size - 1)
    known = sizes[at] == land.needs[:, 0]
    place[known] = at[known]
    slot = pool * sizes.size + np.searchsorted(sizes, cards)
    start = np.searchsorted(slot[least], np.arange((len(land.pools) - 1) * sizes.size + 1))
    if _exchange(land, ground.free, tier, order, lines, entries, alone[least], start, place, sizes.size):
        ground.free.fits[:] = UNKNOWN_FIT


@borrowing
def _exchange(
    land: Land, free: Free, tier: Ints, order: Ints, lines: Ints, entries: Ints, alone: Ints, start: Ints,
    place: Ints, width: int,
) -> int:  # fmt: skip
    """Exchange in place; lines alone[start[s]] .. of slot s = pool * width + place[need] stand least worthy first.

    Return how often. `place` [U]: position among the numbers of cards that run; -1: nobody runs with as many.
    """
    changed = 0
    for group in order:
        if free.left[group] == 0:
            continue
        best, best_pair, best_gain = -1, -1, 0
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            need = land.kinds[kind, NEED]
            if land.kinds[kind, UNITS] != 1 or land.needs[need, NEED_SHARE] > 0 or place[need] < 0:
                continue
            slot = pool * width + place[need]
            for at in range(start[slot], min(start[slot + 1], start[slot] + _TRIED)):
                line = alone[at]
                gain = _gain(land, tier, group, pair, lines[line, 0], lines[line, 1])
                if gain <= best_gain:
                    continue
                if _fits(land, free, need, entries[lines[line, 3], 0], wide(land.kind, lines[line, 1])):
                    best, best_pair, best_gain = line, pair, gain
                    break
        if best >= 0 and _swap(land, free, group, best_pair, best, lines, entries):
            changed += 1
    return changed


@inlined
def _gain(land: Land, tier: Ints, group: int, pair: int, other: int, other_pair: int) -> int:
    """Return what the exchange is worth; not above 0: nothing."""
    if tier[group] > tier[other]:
        return 0
    if tier[group] < tier[other]:
        return int(land.worth[pair]) + 2**61
    return int(land.worth[pair] - land.worth[other_pair])


@inlined
def _fits(land: Land, free: Free, need: int, node: int, other_kind: int) -> bool:
    """Return whether the node holds the need once the other has left."""
    other = land.kinds[other_kind, NEED]
    for resource in range(3):
        if land.needs[need, resource] > free.nodes[node, resource] + land.needs[other, resource]:
            return False
    return True


@borrowing
def _swap(land: Land, free: Free, group: int, pair: int, line: int, lines: Ints, entries: Ints) -> bool:
    """Exchange if power, quotas and guarantees agree."""
    other, other_pair = lines[line, 0], lines[line, 1]
    kind, other_kind = wide(land.kind, pair), wide(land.kind, other_pair)
    pool = wide(land.pool, pair)
    served = _served(land, free.account, group, pool) + _served(land, free.account, other, pool)
    charge(land, free.watts, free.account, other, other_kind, pool, -1)
    if allowed(land, free.watts, free.account, group, kind, pool, 1) < 1:
        charge(land, free.watts, free.account, other, other_kind, pool, 1)
        return False
    charge(land, free.watts, free.account, group, kind, pool, 1)
    if _served(land, free.account, group, pool) + _served(land, free.account, other, pool) < served:
        charge(land, free.watts, free.account, group, kind, pool, -1)
        charge(land, free.watts, free.account, other, other_kind, pool, 1)
        return False
    node = entries[lines[line, 3], 0]
    for resource in range(3):
        free.nodes[node, resource] += land.needs[land.kinds[other_kind, NEED], resource]
        free.nodes[node, resource] -= land.needs[land.kinds[kind, NEED], resource]
    free.left[other] += 1
    free.left[group] -= 1
    lines[line, 0], lines[line, 1] = group, pair
    entries[lines[line, 3], 1] = land.kinds[kind, TASKS]
    return True


@borrowing
def _served(land: Land, account: Ints, group: int, pool: int) -> int:
    """Return what is served of the guarantees on the group's chain of quotas."""
    quota, served = quota_of(land, group, pool), np.int64(0)
    while quota >= 0:
        served += min(account[quota, NEW], land.headroom[quota])
        quota = land.parent[quota]
    return int(served)
