"""The loops over jobs x pools and over nodes, compiled: the same decisions as the plain code, a hundred times faster.

`choices.py`, `prices.py`, `greedy.py` and `ground.py` say what is computed and why; here it is only done quickly, on
arrays, for instances where that pays. Pairs (group, pool) are stored row by row: those of group g are
`start[g] .. start[g + 1] - 1`. Everything that is decided is integer arithmetic, but for two things that are floats in
the plain code as well and come out the same: the load that steers the descent, and the score that orders the gangs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import compiled
from scheduler.snapshot import Bools, Codes, Ints, Votes

Floats = NDArray[np.float64]
_LOW = 0x7FFFFFFF


@compiled
def judge(
    shape: Ints, city: Ints, ceiling: Ints, weight: Ints, by_shape: Codes, fit: Codes, speed: Ints, ask: Ints,
    gang: Ints, limit: Ints, trip: Ints, settings: Ints, code: Codes, worth: Ints,
) -> None:  # fmt: skip
    """Fill code and worth [G, P]. `settings`: the codes outbid, too far and below ask, then VALUE_MAX, 10^6."""
    outbid, far, below, value_max, ppm = settings[0], settings[1], settings[2], settings[3], settings[4]
    for g in range(shape.size):
        s = shape[g]
        for p in range(ask.size):
            worth[g, p] = 0
            if by_shape[s, p] != outbid:
                code[g, p] = by_shape[s, p]
                continue
            there = trip[city[g], p]
            if limit[s] >= 0 and (there < 0 or there > limit[s]):
                code[g, p] = far
                continue
            fast = max(speed[s, p], 0)
            enough = value_max * ppm // max(fast, 1) + 1
            rate = min(min(ceiling[g], enough) * fast // ppm, value_max) - ask[p]
            if rate <= 0:
                code[g, p] = below
                continue
            code[g, p] = fit[s, p]
            if fit[s, p] == outbid:
                worth[g, p] = gang[s] * max(rate * weight[g] // 100, 1)


@compiled
def pairs_of(worth: Ints, start: Ints, pool: NDArray[np.int32], value: Ints) -> None:
    """Store the pairs with worth row by row; `start` is given."""
    for g in range(worth.shape[0]):
        at = start[g]
        for p in range(worth.shape[1]):
            if worth[g, p] > 0:
                pool[at] = p
                value[at] = worth[g, p]
                at += 1


@compiled
def best_pools(
    start: Ints, pool: NDArray[np.int32], value: Ints, shape: Ints, count: Ints, cost: Ints, use: Ints,
    best: Ints, surplus: Ints, load: Floats, sums: Ints,
) -> None:  # fmt: skip
    """Give every group its best pool, add up what they would use, and sum count * surplus in two parts.

    The sum is sums[0] + 2^31 * sums[1]: it need not fit in 64 bits.
    """
    for g in range(shape.size):
        s = shape[g]
        most = np.int64(0)
        where = -1
        for at in range(start[g], start[g + 1]):
            gain = value[at] - cost[s, pool[at]]
            if gain > most:
                most = gain
                where = pool[at]
        best[g] = max(where, 0)
        surplus[g] = most
        if where >= 0:
            sums[0] += (most & _LOW) * count[g]
            sums[1] += (most >> 31) * count[g]
            for r in range(use.shape[1]):
                load[where, r] += np.float64(count[g] * use[s, r])


@compiled
def favourites(
    start: Ints, pool: NDArray[np.int32], value: Ints, shape: Ints, cost: Ints, gang: Ints, votes: Votes,
    top: NDArray[np.int32], score: Floats,
) -> None:  # fmt: skip
    """Fill the pools to try of each group (most votes, then largest surplus; -1: no more), and its score."""
    gains = np.zeros(top.shape[1], dtype=np.int64)
    voted = np.zeros(top.shape[1], dtype=np.int64)
    for g in range(shape.size):
        s = shape[g]
        found = 0
        for at in range(start[g], start[g + 1]):
            gain = value[at] - cost[s, pool[at]]
            vote = np.int64(votes[g, pool[at]])
            if found == top.shape[1] and (vote, gain) <= (voted[found - 1], gains[found - 1]):
                continue
            if found < top.shape[1]:
                found += 1
            slot = found - 1
            while slot > 0 and (voted[slot - 1], gains[slot - 1]) < (vote, gain):
                voted[slot] = voted[slot - 1]
                gains[slot] = gains[slot - 1]
                top[g, slot] = top[g, slot - 1]
                slot -= 1
            voted[slot] = vote
            gains[slot] = gain
            top[g, slot] = pool[at]
        for slot in range(found, top.shape[1]):
            top[g, slot] = -1
        if found:
            paid = cost[s, top[g, 0]]
            score[g] = np.float64(gains[0] + paid) / np.float64(paid + gang[s])


@compiled
def admit(order: Ints, top: NDArray[np.int32], shape: Ints, use: Ints, left: Ints, room: Ints, admitted: Ints) -> int:
    """Admit gangs in this order of groups while the capacity rows hold; return how many lines were written."""
    written = 0
    for g in order:
        s = shape[g]
        for slot in range(top.shape[1]):
            p = top[g, slot]
            if p < 0 or left[g] == 0:
                break
            gangs = left[g]
            for r in range(use.shape[1]):
                if use[s, r] * gangs > room[p, r]:
                    gangs = room[p, r] // use[s, r]
            if gangs <= 0:
                continue
            left[g] -= gangs
            for r in range(use.shape[1]):
                room[p, r] -= use[s, r] * gangs
            admitted[written, 0] = g
            admitted[written, 1] = p
            admitted[written, 2] = gangs
            written += 1
    return written


@compiled
def held_by(node: int, need: Ints, free: Ints) -> int:
    """Return how many tasks of this need [3] the node could take; free is [N, 3]."""
    held = int(free[node, 0] // need[0])
    if need[1] > 0:
        held = min(held, int(free[node, 1] // need[1]))
    if need[2] > 0:
        held = min(held, int(free[node, 2] // need[2]))
    return held


@compiled
def put_one(low: int, high: int, need: Ints, free: Ints) -> int:
    """Return the node with the fewest free cards that holds one task, -1 when none does."""
    found = -1
    for node in range(low, high):
        fits = free[node, 0] >= need[0] and free[node, 1] >= need[1] and free[node, 2] >= need[2]
        if fits and (found < 0 or free[node, 0] < free[found, 0]):
            found = node
            if free[node, 0] == need[0]:
                break
    return found


@compiled
def put(
    low: int, high: int, need: Ints, tasks: int, gangs: int, free: Ints, nodes: Ints, on: Ints, at: int
) -> tuple[int, int]:
    """Place up to so many gangs on nodes low .. high - 1 and write nodes and tasks from `at` on.

    Returns: gangs placed and lines written; when none fitted, 0 and minus the tasks that would fit.
    """
    if tasks == 1 and gangs == 1:
        node = put_one(low, high, need, free)
        if node < 0:
            return 0, 0
        free[node] -= need
        nodes[at] = node
        on[at] = 1
        return 1, 1
    held = np.empty(high - low, dtype=np.int64)
    total = 0
    for node in range(low, high):
        room = held_by(node, need, free)
        held[node - low] = room
        total += room
    wanted = min(gangs, total // tasks) * tasks
    if wanted == 0:
        return 0, -total
    placed = wanted // tasks
    here = np.flatnonzero(held)
    here = here[np.argsort(free[here + low, 0], kind="mergesort")]
    written = 0
    for index in here:
        taken = min(int(held[index]), wanted)
        free[index + low] -= need * taken
        nodes[at + written] = index + low
        on[at + written] = taken
        written += 1
        wanted -= taken
        if wanted == 0:
            break
    return placed, written


@compiled
def place(
    group: Ints, pool: Ints, most: Ints, shape: Ints, kind: Ints, needs: Ints, tasks: Ints, node_start: Ints,
    left: Ints, free: Ints, total: Ints, fits: Ints, lines: Ints, nodes: Ints, on: Ints, end: Ints,
) -> None:  # fmt: skip
    """Place gangs pair by pair in this order, as many as fit and are left.

    Free cards only shrink while this runs, so what once did not fit needs no second look: `fits` [kinds, P] keeps an
    upper bound on the tasks that a pool can take. `total` [P]: free cards. `lines` [*, 4]: group, pool, gangs, first
    node line; `end`: lines and node lines written so far.
    """
    for i in range(group.size):
        g = group[i]
        s = shape[g]
        p = pool[i]
        gangs = min(left[g], most[i])
        need = needs[kind[s]]
        if gangs == 0 or fits[kind[s], p] < tasks[s] or total[p] < need[0] * tasks[s]:
            continue
        low, high = node_start[p], node_start[p + 1]
        placed, written = put(low, high, need, tasks[s], gangs, free, nodes, on, end[1])
        if placed == 0:
            fits[kind[s], p] = -written
            continue
        left[g] -= placed
        total[p] -= placed * tasks[s] * need[0]
        lines[end[0], 0] = g
        lines[end[0], 1] = p
        lines[end[0], 2] = placed
        lines[end[0], 3] = end[1]
        end[0] += 1
        end[1] += written


@compiled
def hopeful(
    start: Ints, pool: NDArray[np.int32], shape: Ints, kind: Ints, tasks: Ints, slots: Ints, left: Ints, found: Bools
) -> None:
    """Mark the pairs of waiting groups whose gang the free nodes could still hold; `slots` is [kinds, P]."""
    for g in range(shape.size):
        s = shape[g]
        for at in range(start[g], start[g + 1]):
            found[at] = left[g] > 0 and slots[kind[s], pool[at]] >= tasks[s]
