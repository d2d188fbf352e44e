"""Gangs put on named nodes and taken off again: the compiled loops behind `ground.Ground`, for all sizes of instance.

What is put is a *unit*: a task, or the whole gang where it must stay on one node. A *need* is what a unit takes, and
how close together the units of a gang must be; many kinds share one. Always best fit, ties to the lower index:

    whole cards     on the nodes with the fewest free cards that hold a unit, so that large free blocks last
    close together  gang by gang in the domain that holds it with the least room left over
    shares          on the split card with the least left that has room, else on a card split on the tightest node

Nothing is taken beyond what is free, and no gang in part: a gang is counted before its first unit is put.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import borrowing, compiled, inlined
from scheduler.fields import MILLI_PER_CARD, WITHIN_DOMAIN
from scheduler.limits import NEW, NO_LIMIT, quota_room, quota_take
from scheduler.snapshot import Ints
from scheduler.terrain import (
    CPU_BESIDE,
    FIRST_DOMAIN,
    FIRST_NODE,
    FIRST_SLOT,
    FIRST_SPLIT,
    HUB,
    MEMORY_BESIDE,
    MILLI_LEFT,
    NEED,
    NEED_LEVEL,
    NEED_SHARE,
    NEW_SLOT,
    SHARE,
    SHARES_MAX,
    TASKS,
    TASKS_LEFT,
    UNITS,
    UNKNOWN_FIT,
    UNSPLIT,
    Free,
    Land,
)


@compiled
def grown(table: Ints, rows: int) -> Ints:
    """Return the table with room for so many rows."""
    if rows <= table.shape[0]:
        return table
    larger = np.empty((max(rows, 2 * table.shape[0]), table.shape[1]), dtype=np.int64)
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            larger[row, column] = table[row, column]
    return larger


@inlined
def wide(values: NDArray[np.int32], at: int) -> int:
    """Return one entry as an index of full width: loops compiled for two widths of index would cost twice the time."""
    return int(np.int64(values[at]))


@inlined
def quota_of(land: Land, group: int, pool: int) -> int:
    """Return the quota that a job of the group counts to in the pool; -1: none."""
    if land.quota_use.size == 0 or land.tenant[group] < 0:
        return -1
    return int(land.tenant_quota[land.tenant[group], land.pools[pool, HUB]])


@inlined
def allowed(land: Land, watts: Ints, account: Ints, group: int, kind: int, pool: int, gangs: int) -> int:
    """Return how many of so many gangs power and quotas allow."""
    if land.meter.size > 0:
        hub = land.pools[pool, HUB]
        if watts[hub] < NO_LIMIT and land.meter[kind, pool] > 0:
            gangs = min(gangs, watts[hub] // land.meter[kind, pool])
    leaf = quota_of(land, group, pool)
    if leaf >= 0 and land.quota_use[kind, pool] > 0:
        gangs = min(gangs, quota_room(leaf, land.parent, account) // land.quota_use[kind, pool])
    return gangs


@inlined
def owed(land: Land, account: Ints, group: int, kind: int, pool: int) -> int:
    """Return how many gangs it takes until no quota on the chain has guaranteed FP16 that is not in use."""
    quota = quota_of(land, group, pool)
    most = np.int64(0)
    while quota >= 0:
        most = max(most, land.headroom[quota] - account[quota, NEW])
        quota = land.parent[quota]
    if most == 0 or land.quota_use[kind, pool] == 0:
        return 0
    return int(-(-most // land.quota_use[kind, pool]))


@borrowing
def charge(land: Land, watts: Ints, account: Ints, group: int, kind: int, pool: int, gangs: int) -> None:
    """Count so many gangs to the hub's power and to the quotas; a negative number gives back."""
    if land.meter.size > 0 and watts[land.pools[pool, HUB]] < NO_LIMIT:
        watts[land.pools[pool, HUB]] -= gangs * land.meter[kind, pool]
    leaf = quota_of(land, group, pool)
    if leaf >= 0:
        quota_take(leaf, gangs * land.quota_use[kind, pool], land.parent, account)


@inlined
def held_by(land: Land, free: Free, need: int, node: int, shares_max: int) -> int:
    """Return how many units the node could take."""
    cards, share = land.needs[need, 0], land.needs[need, NEED_SHARE]
    whole = free.nodes[node, 0]
    if share == 0:
        if whole < cards:  # most nodes, most of the time: no divisions
            return 0
        held = whole // cards
    else:
        if whole == 0 and free.widest[node] < share:
            return 0
        held = whole * min(MILLI_PER_CARD // share, shares_max)
        if free.widest[node] >= share:
            for slot in range(land.slots[node, FIRST_SLOT], land.slots[node + 1, FIRST_SLOT]):
                if free.slots[slot, MILLI_LEFT] >= share:
                    held += min(free.slots[slot, MILLI_LEFT] // share, free.slots[slot, TASKS_LEFT])
    for resource in range(1, 3):
        if land.needs[need, resource] * held > free.nodes[node, resource]:
            held = free.nodes[node, resource] // land.needs[need, resource]
    return int(held)


@borrowing
def room_for(land: Land, free: Free, need: int, pool: int, enough: int) -> int:
    """Return how many units the pool (or its best domain) could take; counting ends when there are enough."""
    most = land.pools[pool, SHARES_MAX]
    if land.needs[need, NEED_LEVEL] != WITHIN_DOMAIN:
        held = 0
        for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
            held += held_by(land, free, need, node, most)
            if held >= enough:
                break
        return held
    best = 0
    for domain in range(land.pools[pool, FIRST_DOMAIN], land.pools[pool + 1, FIRST_DOMAIN]):
        held = 0
        for node in range(land.domain_start[domain], land.domain_start[domain + 1]):
            held += held_by(land, free, need, node, most)
        best = max(best, held)
        if best >= enough:
            break
    return best


@inlined
def may_fit(land: Land, free: Free, kind: int, pool: int) -> bool:
    """Return False when a gang surely does not fit any more; True promises nothing."""
    need, units = land.kinds[kind, NEED], land.kinds[kind, UNITS]
    return bool(free.fits[need, pool] >= units and free.total[pool] >= units * land.needs[need, 0])


@inlined
def _take_units(land: Land, free: Free, need: int, node: int, units: int) -> None:
    for resource in range(3):
        free.nodes[node, resource] -= units * land.needs[need, resource]


@borrowing
def _put_one(land: Land, free: Free, need: int, pool: int) -> int:
    """Put one unit and return its node; -1: none holds it.

    The node with the fewest free cards takes it, among those where enough CPU and memory stay beside its other cards;
    if there is none, the one where least is missing.
    """
    found, found_short = -1, np.int64(0)
    cards, cpu, memory = land.needs[need, 0], land.needs[need, 1], land.needs[need, 2]
    cpu_beside, memory_beside = max(land.pools[pool, CPU_BESIDE], 1), max(land.pools[pool, MEMORY_BESIDE], 1)
    for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
        here = free.nodes[node, 0]
        if here < cards or (found >= 0 and found_short == 0 and here >= free.nodes[found, 0]):
            continue
        cpu_left, memory_left = free.nodes[node, 1] - cpu, free.nodes[node, 2] - memory
        if cpu_left < 0 or memory_left < 0:
            continue
        rest = here - cards
        short = np.int64(0)  # in thousandths of cards that nobody could use
        if cpu_left < rest * cpu_beside or memory_left < rest * memory_beside:
            usable = min(cpu_left * MILLI_PER_CARD // cpu_beside, memory_left * MILLI_PER_CARD // memory_beside)
            short = max(rest * MILLI_PER_CARD - usable, np.int64(1))
        if found < 0 or short < found_short or (short == found_short and here < free.nodes[found, 0]):
            found, found_short = node, short
            if here == cards:
                break
    if found >= 0:
        _take_units(land, free, need, found, 1)
    return found


@borrowing
def _put_on(
    land: Land, free: Free, need: int, in_unit: int, low: int, high: int, held: Ints, units: int, entries: Ints, at: int
) -> int:  # fmt: skip
    """Put so many units on nodes low .. high - 1, which hold them; `held` is by node. Return the next free entry."""
    cards = np.int64(-1)
    while units > 0:
        following = np.int64(UNKNOWN_FIT)  # nodes in the order of free cards: one pass for each number of them
        for node in range(low, high):
            here = free.nodes[node, 0]
            if held[node - low] == 0 or here < cards:
                continue
            if here > cards:
                following = min(following, here)
                continue
            taken = min(held[node - low], units)
            held[node - low] = 0
            _take_units(land, free, need, node, taken)
            entries[at, 0], entries[at, 1], entries[at, 2] = node, taken * in_unit, -1
            at += 1
            units -= taken
            if units == 0:
                break
        cards = following
    return at


@compiled
def _put_spread(
    land: Land, free: Free, group: int, pair: int, gangs: int, lines: Ints, entries: Ints, end: Ints
) -> tuple[int, Ints, Ints]:
    """Put gangs of whole cards anywhere in the pool, all in one line."""
    pool, kind = wide(land.pool, pair), wide(land.kind, pair)
    need, units = land.kinds[kind, NEED], land.kinds[kind, UNITS]
    low, high = land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]
    lines, entries = grown(lines, end[0] + 1), grown(entries, end[1] + min(high - low, gangs * units))
    at = end[1]
    if gangs * units == 1:
        node = _put_one(land, free, need, pool)
        if node < 0:
            free.fits[need, pool] = 0
            return 0, lines, entries
        entries[at, 0], entries[at, 1], entries[at, 2] = node, land.kinds[kind, TASKS], -1
        at += 1
    else:
        held = np.empty(high - low, dtype=np.int64)
        total = 0
        for node in range(low, high):
            held[node - low] = held_by(land, free, need, node, land.pools[pool, SHARES_MAX])
            total += held[node - low]
        gangs = min(gangs, total // units)
        free.fits[need, pool] = total - gangs * units
        if gangs == 0:
            return 0, lines, entries
        at = _put_on(land, free, need, land.kinds[kind, TASKS] // units, low, high, held, gangs * units, entries, at)
    lines[end[0], 0], lines[end[0], 1], lines[end[0], 2], lines[end[0], 3] = group, pair, gangs, end[1]
    end[0] += 1
    end[1] = at
    return gangs, lines, entries


@compiled
def _put_close(
    land: Land, free: Free, group: int, pair: int, gangs: int, lines: Ints, entries: Ints, end: Ints
) -> tuple[int, Ints, Ints]:
    """Put gangs of whole cards into one domain each, one line for each gang."""
    pool, kind = wide(land.pool, pair), wide(land.kind, pair)
    need, units = land.kinds[kind, NEED], land.kinds[kind, UNITS]
    low, high = land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]
    first, last = land.pools[pool, FIRST_DOMAIN], land.pools[pool + 1, FIRST_DOMAIN]
    held = np.zeros(high - low, dtype=np.int64)
    room = np.zeros((last - first, 2), dtype=np.int64)  # units and whole cards
    for domain in range(first, last):
        _look(land, free, need, pool, domain, held, room[domain - first])
    for placed in range(gangs):
        best = -1
        for domain in range(last - first):
            if room[domain, 0] >= units and (
                best < 0 or (room[domain, 0], room[domain, 1]) < (room[best, 0], room[best, 1])
            ):
                best = domain
        if best < 0:
            most = np.int64(0)
            for domain in range(last - first):
                most = max(most, room[domain, 0])
            free.fits[need, pool] = most
            return placed, lines, entries
        start, stop = land.domain_start[first + best], land.domain_start[first + best + 1]
        lines, entries = grown(lines, end[0] + 1), grown(entries, end[1] + min(units, stop - start))
        lines[end[0], 0], lines[end[0], 1], lines[end[0], 2], lines[end[0], 3] = group, pair, 1, end[1]
        end[0] += 1
        here = held[start - low : stop - low]
        end[1] = _put_on(land, free, need, 1, start, stop, here, units, entries, end[1])
        _look(land, free, need, pool, first + best, held, room[best])
    return gangs, lines, entries


@borrowing
def _look(land: Land, free: Free, need: int, pool: int, domain: int, held: Ints, room: Ints) -> None:
    """Count what the domain holds: `held` by node of the pool, and `room` [2] in units and in whole cards."""
    low = land.pools[pool, FIRST_NODE]
    room[0], room[1] = 0, 0
    for node in range(land.domain_start[domain], land.domain_start[domain + 1]):
        held[node - low] = held_by(land, free, need, node, land.pools[pool, SHARES_MAX])
        room[0] += held[node - low]
        room[1] += free.nodes[node, 0]


@compiled
def _put_shares(
    land: Land, free: Free, group: int, pair: int, gangs: int, lines: Ints, entries: Ints, end: Ints
) -> tuple[int, Ints, Ints]:
    """Put gangs of shares, all in one line, with an entry for each task."""
    pool, kind = wide(land.pool, pair), wide(land.kind, pair)
    need, units = land.kinds[kind, NEED], land.kinds[kind, UNITS]
    if gangs * units > 1:
        total = room_for(land, free, need, pool, gangs * units)
        gangs = min(gangs, total // units)
        if gangs == 0:
            free.fits[need, pool] = total
            return 0, lines, entries
    lines, entries = grown(lines, end[0] + 1), grown(entries, end[1] + gangs * units)
    share, wanted, at = land.kinds[kind, SHARE], gangs * units, end[1]
    while wanted > 0:
        node, slot = _tightest_card(land, free, need, pool)
        if slot < 0:
            node, slot = _split_card(land, free, need, pool)
        if slot < 0:  # only a task alone is not counted before
            free.fits[need, pool] = 0
            return 0, lines, entries
        taken = min(wanted, free.slots[slot, MILLI_LEFT] // share, free.slots[slot, TASKS_LEFT])
        for resource in range(1, 3):
            if land.needs[need, resource] > 0:
                taken = min(taken, free.nodes[node, resource] // land.needs[need, resource])
        for _ in range(taken):
            entries[at, 0], entries[at, 1], entries[at, 2] = node, 1, card_of(land, node, slot)
            at += 1
        _take_units(land, free, need, node, taken)
        take_share(land, free, pool, node, slot, share, taken)
        wanted -= taken
    lines[end[0], 0], lines[end[0], 1], lines[end[0], 2], lines[end[0], 3] = group, pair, gangs, end[1]
    end[0] += 1
    end[1] = at
    return gangs, lines, entries


@borrowing
def _tightest_card(land: Land, free: Free, need: int, pool: int) -> tuple[int, int]:
    """Return node and slot of the split card with the least left that takes one task; slot -1: there is none."""
    share = land.needs[need, NEED_SHARE]
    least, where, found = MILLI_PER_CARD + 1, -1, -1
    for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
        if free.widest[node] < share:
            continue
        if free.nodes[node, 1] < land.needs[need, 1] or free.nodes[node, 2] < land.needs[need, 2]:
            continue
        for slot in range(land.slots[node, FIRST_SLOT], land.slots[node + 1, FIRST_SLOT]):
            if share <= free.slots[slot, MILLI_LEFT] < least and free.slots[slot, TASKS_LEFT] > 0:
                least, where, found = free.slots[slot, MILLI_LEFT], node, slot
        if least == share:
            break
    return where, found


@borrowing
def _split_card(land: Land, free: Free, need: int, pool: int) -> tuple[int, int]:
    """Split a free card on the node with the fewest that has CPU and memory; slot -1: there is none."""
    where = -1
    for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
        here = free.nodes[node, 0]
        if here == 0 or (where >= 0 and here >= free.nodes[where, 0]):
            continue
        if free.nodes[node, 1] >= land.needs[need, 1] and free.nodes[node, 2] >= land.needs[need, 2]:
            where = node
            if here == 1:
                break
    if where < 0 or land.pools[pool, SHARES_MAX] == 0:
        return where, -1
    slot = land.slots[where, NEW_SLOT]
    while free.slots[slot, MILLI_LEFT] != UNSPLIT:
        slot += 1
    open_card(land, free, pool, where, slot)
    return where, int(slot)


@borrowing
def open_card(land: Land, free: Free, pool: int, node: int, slot: int) -> None:
    """Make a whole free card of the node the split card of this slot."""
    free.nodes[node, 0] -= 1
    free.total[pool] -= 1
    free.slots[slot, MILLI_LEFT] = MILLI_PER_CARD
    free.slots[slot, TASKS_LEFT] = land.pools[pool, SHARES_MAX]


@inlined
def card_of(land: Land, node: int, slot: int) -> int:
    """Return the card as entries name it: a split card of the snapshot, or -2 - i for slot i of the node's new ones."""
    if slot >= land.slots[node, NEW_SLOT]:
        return int(-2 - (slot - land.slots[node, NEW_SLOT]))
    return int(land.slots[node, FIRST_SPLIT] + slot - land.slots[node, FIRST_SLOT])


@borrowing
def take_share(land: Land, free: Free, pool: int, node: int, slot: int, share: int, tasks: int) -> None:
    """Take so many shares of the card; a negative number gives back, and a new card without tasks is whole again."""
    free.slots[slot, MILLI_LEFT] -= share * tasks
    free.slots[slot, TASKS_LEFT] -= tasks
    if slot >= land.slots[node, NEW_SLOT] and free.slots[slot, MILLI_LEFT] == MILLI_PER_CARD:
        free.slots[slot, MILLI_LEFT] = UNSPLIT
        free.slots[slot, TASKS_LEFT] = 0
        free.nodes[node, 0] += 1
        free.total[pool] += 1
    widest = np.int64(0)
    for other in range(land.slots[node, FIRST_SLOT], land.slots[node + 1, FIRST_SLOT]):
        if free.slots[other, TASKS_LEFT] > 0:
            widest = max(widest, free.slots[other, MILLI_LEFT])
    free.widest[node] = widest


@compiled
def put(
    land: Land, free: Free, group: int, pair: int, gangs: int, lines: Ints, entries: Ints, end: Ints
) -> tuple[Ints, Ints]:
    """Put up to so many gangs, as many as fit; `end` [2] counts lines and entries. Return both tables, maybe larger."""
    pool, kind = wide(land.pool, pair), wide(land.kind, pair)
    gangs = allowed(land, free.watts, free.account, group, kind, pool, min(gangs, free.left[group]))
    if gangs <= 0 or not may_fit(land, free, kind, pool):
        return lines, entries
    need = land.kinds[kind, NEED]
    if land.needs[need, NEED_SHARE] > 0:
        placed, lines, entries = _put_shares(land, free, group, pair, gangs, lines, entries, end)
    else:
        gangs = min(gangs, free.total[pool] // (land.kinds[kind, UNITS] * land.needs[need, 0]))
        if land.needs[need, NEED_LEVEL] == WITHIN_DOMAIN:
            placed, lines, entries = _put_close(land, free, group, pair, gangs, lines, entries, end)
        else:
            placed, lines, entries = _put_spread(land, free, group, pair, gangs, lines, entries, end)
        free.total[pool] -= placed * land.kinds[kind, UNITS] * land.needs[need, 0]
    free.left[group] -= placed
    charge(land, free.watts, free.account, group, kind, pool, placed)
    return lines, entries
