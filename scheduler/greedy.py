"""Construct a plan in one pass, best worth per scarcity first, each gang whole on named nodes: always feasible.

admit       gangs by counting, see `admission.py`
place       what is admitted, on nodes, large tasks first: a small task put early breaks a block a large one needs
exchange    what waits for what is worth less, one for one, see `exchange.py`
fill        whatever else fits, most worth per card first: afterwards no refused gang fits by itself
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.admission import SEATED, Wishes, admitted, unit_milli, wishes_at
from scheduler.choices import Choices
from scheduler.compiled import borrowing, compiled, inlined
from scheduler.exchange import exchange
from scheduler.fields import WITHIN_DOMAIN
from scheduler.ground import Ground, Terrain
from scheduler.packing import allowed, held_by, may_fit, owed, put, room_for, wide
from scheduler.rows import Costs, Rows
from scheduler.snapshot import Bools, Ints, Votes
from scheduler.terrain import FIRST_NODE, MILLI, NEED, NEED_LEVEL, SHARES_MAX, UNITS, Free, Land

Floats = NDArray[np.float64]

_NOBODY: Final = np.zeros(0, dtype=np.int64)


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
    for each gang; they come before all others, as far as rows hold.
    """
    if votes is None:
        votes = np.zeros(choices.pairs.pool.size, dtype=np.int16)
    return built(choices, terrain, rows, wishes_at(choices, terrain, costs, votes), seated)


def built(choices: Choices, terrain: Terrain, rows: Rows, wishes: Wishes, seated: Ints) -> Ground:
    """Build a plan by what groups wish; `seated` as in `construct`."""
    ground = Ground(terrain)
    group, pair, gangs, why = admitted(choices, terrain, rows, wishes, seated).T
    kinds, kind = choices.kinds, choices.pairs.kind[pair]
    order = np.lexsort(
        (
            pair,
            -why,
            -kinds.of_unit(kinds.cpu)[kind],  # who wants much CPU chooses while nodes have it
            -kinds.milli_cards[kind],
            -kinds.level[kind],  # among tasks of a size those that must be close together need the emptier nodes
            -unit_milli(choices)[kind],
            # seats agree with each other, whatever their tiers, and so do all others of a tier
            np.where(why == SEATED, 0, choices.groups.tier[group]),
            why != SEATED,
        )
    )
    ground.place(group[order], pair[order], gangs[order])
    waits = np.flatnonzero((ground.left > 0) & choices.eligible)
    exchange(ground, waits[np.lexsort((-wishes.gains.best[waits], choices.groups.tier[waits]))])
    fill(ground)
    return ground


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


@compiled
def _nodes_left(land: Land, free: Free) -> tuple[Ints, Ints]:
    """Return the nodes that have anything left, pool by pool, and where each pool's begin.

    Note in `free.fits` what needs more cards than any node of a pool has left.
    """
    nodes, start, end = np.empty(land.slots.shape[0], dtype=np.int64), np.zeros(free.total.size + 1, dtype=np.int64), 0
    for pool in range(free.total.size):
        most = np.int64(0)
        for node in range(land.pools[pool, FIRST_NODE], land.pools[pool + 1, FIRST_NODE]):
            most = max(most, free.nodes[node, 0])
            if free.nodes[node, 0] > 0 or free.widest[node] > 0:
                nodes[end] = node
                end += 1
        start[pool + 1] = end
        for need in range(land.needs.shape[0]):
            if land.needs[need, 0] > most:
                free.fits[need, pool] = 0
    return nodes, start


@borrowing
def _room_left(land: Land, free: Free, need: int, pool: int, enough: int, nodes: Ints, start: Ints) -> int:
    """Return what `room_for` returns, looking only at nodes that have anything left."""
    if land.needs[need, NEED_LEVEL] == WITHIN_DOMAIN:
        return room_for(land, free, need, pool, enough)
    held = 0
    for at in range(start[pool], start[pool + 1]):
        held += held_by(land, free, need, nodes[at], land.pools[pool, SHARES_MAX])
        if held >= enough:
            break
    return held


@compiled
def _hopeful(land: Land, free: Free, enough: Ints, counted: Bools, density: Floats, guaranteed: Bools) -> None:
    """Fill, for each group of which a gang may still fit, its best worth per card, and whether it serves a guarantee.

    What the nodes hold is counted once for each need and pool, up to what is enough for the largest gang; `counted`
    [U, P] is False at first.
    """
    nodes, start = _nodes_left(land, free)
    for group in range(density.size):
        if free.left[group] == 0:
            continue
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            need = land.kinds[kind, NEED]
            if not may_fit(land, free, kind, pool):
                continue
            if allowed(land, free.watts, free.account, group, kind, pool, free.left[group]) < 1:
                continue
            if not counted[need, pool]:
                counted[need, pool] = True
                held = _room_left(land, free, need, pool, enough[need], nodes, start)
                if held < enough[need]:
                    free.fits[need, pool] = held
            if may_fit(land, free, kind, pool):
                density[group] = max(density[group], _density(land, pair))
                if owed(land, free.account, group, kind, pool) > 0:
                    guaranteed[group] = True


@inlined
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
