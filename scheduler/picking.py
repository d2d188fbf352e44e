"""By which of its pairs, and on which node, each of single gangs is put: the compiled loops behind `spare.Spare`."""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.compiled import borrowing, compiled, inlined
from scheduler.limits import NEW
from scheduler.packing import allowed, card_of, charge, grown, put, quota_of, room_for, wide
from scheduler.pressure import tell_points
from scheduler.snapshot import Bools, Ints
from scheduler.steering import NEW_CARD, Known, Rule, beats, best_node, take_unit
from scheduler.terrain import MILLI, NEED, NEED_SHARE, TASKS, UNITS, UNKNOWN_FIT, Free, Land

TOO_DEAR: Final = -1
NO_ROOM: Final = -2
"""What is found instead of a pair: none that pays, or none of those that pay has room."""


@inlined
def pays(land: Land, free: Free, group: int, pair: int, gain: Ints) -> bool:
    """Return whether the gain is above 0, or within what is guaranteed to the tenant and not in use."""
    if gain[pair] > 0:
        return True
    pool, kind = wide(land.pool, pair), wide(land.kind, pair)
    leaf = quota_of(land, group, pool)
    if leaf < 0:
        return False
    return bool(land.quota_use[kind, pool] <= land.headroom[leaf] - free.account[leaf, NEW])


@compiled
def put_first(
    land: Land, free: Free, group: int, order: Ints, gain: Ints, lines: Ints, entries: Ints, end: Ints
) -> tuple[int, Ints]:
    """Put the gang by the first pair, in this order, that pays and has room; return the pair, or what stands above."""
    found = TOO_DEAR
    for pair in order:
        if not pays(land, free, group, pair, gain):
            continue
        found = NO_ROOM
        lines, entries = put(land, free, group, pair, 1, lines, entries, end)
        if end[0] > 0:
            return int(pair), entries
    return found, entries


@compiled
def put_steered(
    land: Land, free: Free, rule: Rule, known: Known, points: Ints, group: int, order: Ints, gain: Ints,
    lines: Ints, entries: Ints, end: Ints,
) -> tuple[int, Ints]:  # fmt: skip
    """Do as `put_first`, but let the rule choose the node among neighbours that gain the same and stay on one.

    Entries are added from `end[1]` on.
    """
    found, at, first = TOO_DEAR, 0, end[1]
    while at < order.size:
        pair = order[at]
        if not pays(land, free, group, pair, gain):
            at += 1
            continue
        found = NO_ROOM
        if land.kinds[wide(land.kind, pair), UNITS] > 1:
            lines, entries = put(land, free, group, pair, 1, lines, entries, end)
            if end[0] > 0:
                _count_changes(rule, wide(land.pool, pair), entries[first : end[1], 0])
                return int(pair), entries
            at += 1
            continue
        last = at + 1
        while last < order.size and gain[order[last]] == gain[pair]:
            if land.kinds[wide(land.kind, order[last]), UNITS] > 1:
                break
            last += 1
        best, node = _best_of(land, free, rule, known, points, group, order[at:last], gain)
        if best >= 0:
            pool, kind = wide(land.pool, best), wide(land.kind, best)
            need = land.kinds[kind, NEED]
            slot = int(known.slot[known.row[need], node])
            slot = take_unit(land, free, rule, land.needs[need], pool, node, slot)
            charge(land, free.watts, free.account, group, kind, pool, 1)
            card = card_of(land, node, slot) if land.needs[need, NEED_SHARE] > 0 else -1
            entries = grown(entries, first + 1)
            entries[first, 0], entries[first, 1], entries[first, 2] = node, land.kinds[kind, TASKS], card
            end[0], end[1] = 1, first + 1
            return int(best), entries
        at = last
    return found, entries


@compiled
def put_each(
    land: Land, free: Free, rule: Rule, known: Known, points: Ints, first: int, last: int, order: Ints, gain: Ints
) -> tuple[Ints, Ints, Ints]:
    """Do as `put_steered` for groups first .. last - 1 in turn, and stop after one that is put nowhere.

    Return of each that was looked at what it was put by, where its entries end, and the entries of all.

    Args:
        order: [A], all pairs, of each group in the order in which they are tried.
    """
    found, ends = np.empty(last - first, dtype=np.int64), np.empty(last - first, dtype=np.int64)
    lines, entries = np.empty((1, 4), dtype=np.int64), np.empty((last - first, 3), dtype=np.int64)
    end, done = np.zeros(2, dtype=np.int64), 0
    for group in range(first, last):
        pairs = order[land.start[group] : land.start[group + 1]]
        end[0] = 0
        for pair in pairs:
            if land.kinds[wide(land.kind, pair), UNITS] > 1:  # what was told of a pool's room is of groups before
                free.fits[:] = UNKNOWN_FIT
                break
        pair, entries = put_steered(land, free, rule, known, points, group, pairs, gain, lines, entries, end)
        found[done], ends[done] = pair, end[1]
        done += 1
        if pair < 0:
            break
    return found[:done], ends[:done], entries


@borrowing
def _count_changes(rule: Rule, pool: int, nodes: Ints) -> None:
    for node in nodes:
        rule.changes[node] += 1
    rule.pool_changes[pool] += 1


@borrowing
def _best_of(
    land: Land, free: Free, rule: Rule, known: Known, points: Ints, group: int, pairs: Ints, gain: Ints
) -> tuple[int, int]:
    """Return the pair and node with the highest score; pair -1: none pays and has room."""
    best, found, highest, told = -1, -1, 0, -1
    for pair in pairs:
        pool, kind = wide(land.pool, pair), wide(land.kind, pair)
        if not pays(land, free, group, pair, gain):
            continue
        if allowed(land, free.watts, free.account, group, kind, pool, 1) < 1:
            continue
        need = land.kinds[kind, NEED]
        if told != need:
            told = need
            tell_points(rule.pressure, land.needs[need, 1], land.kinds[kind, MILLI], points)
        node, score = best_node(land, free, rule, known, known.row[need], land.needs[need], pool)
        score += points[pool]
        if beats(rule, node, score, found, highest):
            best, found, highest = pair, node, score
    return best, found


@compiled
def put_without_cards(land: Land, free: Free, rule: Rule, known: Known, points: Ints, need: Ints, pools: Bools) -> int:
    """Take CPU and memory of the node with the highest score in these pools [P]; return it, -1 if none has room."""
    tell_points(rule.pressure, need[1], 0, points)
    found, highest, where = -1, 0, -1
    for pool in range(pools.size):
        if pools[pool]:
            node, score = best_node(land, free, rule, known, known.row[0], need, pool)
            score += points[pool]
            if beats(rule, node, score, found, highest):
                found, highest, where = node, score, pool
    if found >= 0:
        take_unit(land, free, rule, need, where, found, NEW_CARD)
    return found


@compiled
def has_room(land: Land, free: Free, group: int, order: Ints, gain: Ints) -> bool:
    """Return whether any of the pairs pays and has room."""
    for pair in order:
        pool, kind = wide(land.pool, pair), wide(land.kind, pair)
        if pays(land, free, group, pair, gain) and allowed(land, free.watts, free.account, group, kind, pool, 1):
            units = land.kinds[kind, UNITS]
            if room_for(land, free, land.kinds[kind, NEED], pool, units) >= units:
                return True
    return False


@compiled
def holds(land: Land, free: Free, low: int, high: int) -> bool:
    """Return whether any of the pairs low .. high - 1 has room on the nodes, whatever it pays."""
    for pair in range(low, high):
        pool, kind = wide(land.pool, pair), wide(land.kind, pair)
        units = land.kinds[kind, UNITS]
        if room_for(land, free, land.kinds[kind, NEED], pool, units) >= units:
            return True
    return False
