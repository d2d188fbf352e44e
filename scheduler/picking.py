"""By which of its pairs, and on which node, a single gang is put: the compiled loops behind `spare.Spare`."""

from __future__ import annotations

from typing import Final

from scheduler.compiled import borrowing, compiled, inlined
from scheduler.limits import NEW
from scheduler.packing import allowed, card_of, charge, put, quota_of, room_for, wide
from scheduler.pressure import tell_points
from scheduler.snapshot import Bools, Ints
from scheduler.steering import NEW_CARD, Known, Rule, beats, best_node, take_unit
from scheduler.terrain import MILLI, NEED, NEED_SHARE, TASKS, UNITS, Free, Land

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
    """Do as `put_first`, but let the rule choose the node among neighbours that gain the same and stay on one."""
    found, at = TOO_DEAR, 0
    while at < order.size:
        pair = order[at]
        if not pays(land, free, group, pair, gain):
            at += 1
            continue
        found = NO_ROOM
        if land.kinds[wide(land.kind, pair), UNITS] > 1:
            lines, entries = put(land, free, group, pair, 1, lines, entries, end)
            if end[0] > 0:
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
            slot = take_unit(land, free, rule, land.needs[need], pool, node, int(known.slot[need, node]))
            charge(land, free.watts, free.account, group, kind, pool, 1)
            card = card_of(land, node, slot) if land.needs[need, NEED_SHARE] > 0 else -1
            entries[0, 0], entries[0, 1], entries[0, 2] = node, land.kinds[kind, TASKS], card
            end[0], end[1] = 1, 1
            return int(best), entries
        at = last
    return found, entries


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
        node, score = best_node(land, free, rule, known, need, land.needs[need], pool)
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
            node, score = best_node(land, free, rule, known, 0, need, pool)
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
