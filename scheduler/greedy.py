"""Construct a plan in one pass, best worth per scarcity first, each gang whole on named nodes: always feasible.

    favourites  of each group its few best pairs: those that the descent chose most often, then the largest gain
    admit       gangs by counting: as long as every capacity row, power and quotas hold; guarantees are served first
    place       what is admitted, on nodes, large tasks first: a small task put early breaks a block a large one needs
    fill        whatever else fits, most worth per card first: afterwards no refused gang fits by itself

A group's score is `worth / (cost at the given prices + cards)` of its first pair: with all prices zero this is worth
per card, with good prices it is worth per micro-yuan of what the gang takes from others. Where the descent has voted,
the groups that it wanted to run most often come before all others of their tier.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.choices import Choices
from scheduler.compiled import compiled
from scheduler.exchange import exchange
from scheduler.fields import MILLI_PER_CARD
from scheduler.ground import Ground, Terrain
from scheduler.packing import allowed, charge, grown, may_fit, owed, put, quota_of, room_for, wide
from scheduler.rows import PPM, Costs, Rows
from scheduler.snapshot import Bools, Ints, Votes
from scheduler.terrain import FIRST_NODE, HUB, MILLI, NEED, UNITS, Free, Land

Floats = NDArray[np.float64]

_PAIRS_TRIED_FIRST: Final = 32
_NOBODY: Final = np.zeros(0, dtype=np.int64)
_WORTH, _DUE, _SEATED = range(3)
_GANG_BITS: Final = 31  # of the thousandths of a card of the largest gang, and one to spare


def construct(
    choices: Choices,
    terrain: Terrain,
    rows: Rows,
    costs: Costs,
    votes: Votes | None = None,
    seated: Ints = _NOBODY,
) -> Ground:
    """Build a plan by these costs; no costs and no votes give the plain greedy plan.

    Args: votes: [A] how often the descent chose each pair. seated: pairs of gangs that have their place already, once
    for each gang; all rows hold for them.
    """
    if votes is None:
        votes = np.zeros(choices.pairs.pool.size, dtype=np.int16)
    ground = Ground(terrain)
    group, pair, gangs, why = _admitted(choices, terrain, rows, costs, votes, seated).T
    kinds, kind = choices.kinds, choices.pairs.kind[pair]
    order = np.lexsort(
        (
            pair,
            -why,
            -kinds.of_unit(kinds.cpu)[kind],  # who wants much CPU chooses while nodes have it
            -kinds.milli_cards[kind],
            -kinds.level[kind],  # among tasks of a size those that must be close together need the emptier nodes
            -_unit_milli(choices)[kind],
            # seats agree with each other, whatever their tiers, and so do all others of a tier
            np.where(why == _SEATED, 0, choices.groups.tier[group]),
            why != _SEATED,
        )
    )
    ground.place(group[order], pair[order], gangs[order])
    exchange(ground, _waiting(choices, terrain, ground, costs))
    fill(ground)
    return ground


def _waiting(choices: Choices, terrain: Terrain, ground: Ground, costs: Costs) -> Ints:
    """Return the groups that are not placed as a whole, those first that lose most by it."""
    land = terrain.land
    gain = np.zeros(choices.groups.count.size, dtype=np.int64)
    _best_gains(land, costs.kind_pool, costs.tenant, gain)
    waits = np.flatnonzero((ground.left > 0) & choices.eligible)
    return waits[np.lexsort((-gain[waits], choices.groups.tier[waits]))]


def fill(ground: Ground) -> None:
    """Place what still fits anywhere: open guarantees, then by tier, most worth per card first."""
    land, tier = ground.terrain.land, ground.terrain.choices.groups.tier
    density = np.full(tier.size, -1.0)
    guaranteed = np.zeros(tier.size, dtype=bool)
    enough = np.zeros(len(land.needs), dtype=np.int64)
    np.maximum.at(enough, land.kinds[:, NEED], land.kinds[:, UNITS])
    _hopeful(land, ground.free, enough, np.zeros(ground.free.fits.shape, dtype=bool), density, guaranteed)
    order = np.lexsort((-density, tier))
    order = order[density[order] >= 0]
    if guaranteed.any():
        ground.keep(*_fill(land, ground.free, order[guaranteed[order]], True, *ground.book()))
    ground.keep(*_fill(land, ground.free, order, False, *ground.book()))


def _admitted(choices: Choices, terrain: Terrain, rows: Rows, costs: Costs, votes: Votes, seated: Ints) -> Ints:
    """Return [n, 4]: group, pair, gangs, and why: _SEATED, _DUE (to serve a guarantee) or _WORTH."""
    land, groups, kinds = terrain.land, choices.groups, choices.kinds
    width = min(int(np.diff(land.start).max(initial=0)), _PAIRS_TRIED_FIRST)
    top = np.full((groups.count.size, width), -1, dtype=np.int32)
    score, voted = np.zeros(groups.count.size), np.zeros(groups.count.size, dtype=np.int64)
    _favourites(land, costs.kind_pool, costs.tenant, votes, top, score, voted)
    able = np.flatnonzero(choices.eligible)
    kind = choices.pairs.kind[top[able, 0]] if able.size else able
    # among equals large gangs first, while their blocks are free; then position, so that ties never depend on luck
    size = (_unit_milli(choices)[kind] << _GANG_BITS) + kinds.milli_cards[kind]
    order = able[np.lexsort((-size, -score[able], -voted[able], groups.tier[able]))]
    left, room = groups.count.copy(), rows.capacity.copy()
    watts, account = choices.limits.hub_free_watts.copy(), choices.limits.account.copy()
    admitted, end = np.empty((64, 4), dtype=np.int64), 0
    pairs, gangs = np.unique(seated, return_counts=True)
    admitted, end = _take_seats(land, pairs, gangs, rows.use, left, room, watts, account, admitted, end)
    state = left, room, watts, account
    if (land.headroom > 0).any():
        admitted, end = _admit_dues(land, *_dues(land, costs, order), rows.use, *state, admitted, end)
    admitted, end = _admit(land, order, top, rows.use, *state, admitted, end)
    return admitted[:end]


def _dues(land: Land, costs: Costs, order: Ints) -> tuple[Ints, Ints]:
    """Return groups and pairs that can serve a guarantee, those first by which least worth is lost for its FP16.

    A guarantee is to be served somewhere in its hub. To serve it by whoever comes first would send jobs to pools that
    are far from their best, while others give up nothing.
    """
    regret = np.full(land.pool.size, -1.0)
    group = np.zeros(land.pool.size, dtype=np.int32)
    _regrets(land, costs.kind_pool, costs.tenant, group, regret)
    rank = np.zeros(land.start.size - 1, dtype=np.int64)
    rank[order] = np.arange(order.size)
    may = np.flatnonzero(regret >= 0)
    found = may[np.lexsort((rank[group[may]], regret[may]))]
    return group[found].astype(np.int64), found


def _unit_milli(choices: Choices) -> Ints:
    """Return [K]: thousandths of a card that one unit holds, the whole gang where it must stay on one node."""
    milli: Ints = choices.kinds.milli_cards // choices.kinds.units
    return milli


@compiled
def _favourites(
    land: Land, cost: Ints, tenant_price: Ints, votes: Votes, top: NDArray[np.int32], score: Floats, voted: Ints
) -> None:
    """Fill the pairs to try of each group (most votes, then largest gain; -1: no more), its score and its votes."""
    gains = np.zeros(top.shape[1], dtype=np.int64)
    counts = np.zeros(top.shape[1], dtype=np.int64)
    for group in range(top.shape[0]):
        found = 0
        for pair in range(land.start[group], land.start[group + 1]):
            gain = land.worth[pair] - _cost(
                land, cost, tenant_price, group, wide(land.kind, pair), wide(land.pool, pair)
            )
            vote = np.int64(votes[pair])
            voted[group] += vote
            if found == top.shape[1]:
                if (vote, gain) <= (counts[found - 1], gains[found - 1]):
                    continue
            else:
                found += 1
            slot = found - 1
            while slot > 0 and (counts[slot - 1], gains[slot - 1]) < (vote, gain):
                counts[slot] = counts[slot - 1]
                gains[slot] = gains[slot - 1]
                top[group, slot] = top[group, slot - 1]
                slot -= 1
            counts[slot], gains[slot], top[group, slot] = vote, gain, pair
        if found > 0:
            worth, held = land.worth[top[group, 0]], land.kinds[wide(land.kind, top[group, 0]), MILLI]
            paid = np.float64(worth - gains[0]) * MILLI_PER_CARD + held
            score[group] = np.float64(worth) / max(paid, 1.0)


@compiled
def _best_gains(land: Land, cost: Ints, tenant_price: Ints, gain: Ints) -> None:
    for group in range(gain.size):
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            here = land.worth[pair] - _cost(land, cost, tenant_price, group, kind, pool)
            if pair == land.start[group] or here > gain[group]:
                gain[group] = here


@compiled
def _cost(land: Land, cost: Ints, tenant_price: Ints, group: int, kind: int, pool: int) -> int:
    """Return what one gang pays; less than nothing where a guarantee pays for it."""
    paid = cost[kind, pool]
    if quota_of(land, group, pool) >= 0:
        price = tenant_price[land.tenant[group], land.pools[pool, HUB]]
        paid += land.quota_use[kind, pool] * price // PPM
    return int(paid)


@compiled
def _regrets(
    land: Land, cost: Ints, tenant_price: Ints, of_group: NDArray[np.int32], regret: Floats
) -> None:  # fmt: skip
    """Fill, for pairs that count to a quota with a guarantee to serve, what they lose for each milli-TFLOPS of it."""
    for group in range(land.start.size - 1):
        best = np.int64(0)
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            best = max(best, land.worth[pair] - _cost(land, cost, tenant_price, group, kind, pool))
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            of_group[pair] = group
            quota = quota_of(land, group, pool)
            while quota >= 0:
                if land.headroom[quota] > 0 and land.quota_use[kind, pool] > 0:
                    gain = land.worth[pair] - _cost(land, cost, tenant_price, group, kind, pool)
                    regret[pair] = np.float64(best - gain) / land.quota_use[kind, pool]
                quota = land.parent[quota]


@compiled
def _admit_dues(
    land: Land, groups: Ints, pairs: Ints, use: Ints, left: Ints, room: Ints, watts: Ints, account: Ints,
    admitted: Ints, end: int,
) -> tuple[Ints, int]:  # fmt: skip
    """Admit, pair by pair, as many gangs as serve a guarantee. Return the table of what is admitted, and its end."""
    for index in range(pairs.size):
        group, pair = groups[index], pairs[index]
        if left[group] == 0:
            continue
        most = min(left[group], owed(land, account, group, wide(land.kind, pair), wide(land.pool, pair)))
        admitted, end = _take(land, group, pair, most, _DUE, use, left, room, watts, account, admitted, end)
    return admitted, end


@compiled
def _admit(
    land: Land, order: Ints, top: NDArray[np.int32], use: Ints, left: Ints, room: Ints, watts: Ints, account: Ints,
    admitted: Ints, end: int,
) -> tuple[Ints, int]:  # fmt: skip
    """Admit gangs in this order of groups while all rows hold. Return the table of what is admitted, and its end."""
    for group in order:
        for slot in range(top.shape[1]):
            pair = np.int64(top[group, slot])
            if pair < 0 or left[group] == 0:
                break
            admitted, end = _take(
                land, group, pair, left[group], _WORTH, use, left, room, watts, account, admitted, end
            )
    return admitted, end


@compiled
def _take(
    land: Land, group: int, pair: int, gangs: int, why: int, use: Ints, left: Ints, room: Ints, watts: Ints,
    account: Ints, admitted: Ints, end: int,
) -> tuple[Ints, int]:  # fmt: skip
    """Admit as many of so many gangs as all rows hold."""
    kind, pool = wide(land.kind, pair), wide(land.pool, pair)
    row = 0
    while row < use.shape[1] and gangs > 0:
        if use[kind, row] * gangs > room[pool, row]:
            gangs = room[pool, row] // use[kind, row]
        row += 1
    if gangs > 0:
        gangs = allowed(land, watts, account, group, kind, pool, gangs)
    if gangs <= 0:
        return admitted, end
    left[group] -= gangs
    for row in range(use.shape[1]):
        room[pool, row] -= use[kind, row] * gangs
    charge(land, watts, account, group, kind, pool, gangs)
    admitted = grown(admitted, end + 1)
    admitted[end, 0], admitted[end, 1], admitted[end, 2], admitted[end, 3] = group, pair, gangs, why
    return admitted, end + 1


@compiled
def _take_seats(
    land: Land, pairs: Ints, gangs: Ints, use: Ints, left: Ints, room: Ints, watts: Ints, account: Ints, admitted: Ints,
    end: int,
) -> tuple[Ints, int]:  # fmt: skip
    """Admit gangs that have a place already. Return the table of what is admitted, and its end."""
    for index in range(pairs.size):
        pair, number = pairs[index], gangs[index]
        group = np.searchsorted(land.start, pair, side="right") - 1
        kind, pool = wide(land.kind, pair), wide(land.pool, pair)
        left[group] -= number
        for row in range(use.shape[1]):
            room[pool, row] -= use[kind, row] * number
        charge(land, watts, account, group, kind, pool, number)
        admitted = grown(admitted, end + 1)
        admitted[end, 0], admitted[end, 1], admitted[end, 2], admitted[end, 3] = group, pair, number, _SEATED
        end += 1
    return admitted, end


@compiled
def _hopeful(land: Land, free: Free, enough: Ints, counted: Bools, density: Floats, guaranteed: Bools) -> None:
    """Fill, for each group of which a gang may still fit, its best worth per card, and whether it serves a guarantee.

    What the nodes hold is counted once for each need and pool, up to what is enough for the largest gang; `counted`
    [U, P] is False at first.
    """
    pools = free.total.size
    widest = np.zeros(pools, dtype=np.int64)  # cards on the emptiest node
    for pool in range(pools):
        for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
            widest[pool] = max(widest[pool], free.nodes[node, 0])
    for need in range(enough.size):
        for pool in range(pools):
            if land.needs[need, 0] > widest[pool]:
                free.fits[need, pool] = 0
    for group in range(density.size):
        if free.left[group] == 0:
            continue
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            need = land.kinds[kind, NEED]
            if not counted[need, pool] and may_fit(land, free, kind, pool):
                counted[need, pool] = True
                held = room_for(land, free, need, pool, enough[need])
                if held < enough[need]:
                    free.fits[need, pool] = held
            if (
                may_fit(land, free, kind, pool)
                and allowed(land, free.watts, free.account, group, kind, pool, free.left[group]) > 0
            ):
                density[group] = max(density[group], _density(land, pair))
                if owed(land, free.account, group, kind, pool) > 0:
                    guaranteed[group] = True


@compiled
def _density(land: Land, pair: int) -> float:
    return float(land.worth[pair]) / float(land.kinds[land.kind[pair], MILLI])


@compiled
def _fill(
    land: Land, free: Free, order: Ints, guarantee: bool, lines: Ints, entries: Ints, end: Ints
) -> tuple[Ints, Ints]:
    """Put whatever fits, group by group, its densest pairs first; for a guarantee, only as many as serve one."""
    for group in order:
        if free.left[group] == 0:
            continue
        first, last = land.start[group], land.start[group + 1]
        density = np.full(last - first, -1.0)
        for pair in range(first, last):
            if may_fit(land, free, wide(land.kind, pair), wide(land.pool, pair)):
                density[pair - first] = _density(land, pair)
        while free.left[group] > 0:
            pair = first + np.argmax(density)
            if density[pair - first] < 0:
                break
            density[pair - first] = -1.0
            gangs = free.left[group]
            if guarantee:
                kind, pool = wide(land.kind, pair), wide(land.pool, pair)
                gangs = min(gangs, owed(land, free.account, group, kind, pool))
            if gangs > 0:
                lines, entries = put(land, free, group, pair, gangs, lines, entries, end)
    return lines, entries
