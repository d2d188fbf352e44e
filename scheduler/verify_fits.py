"""Whether the free nodes of a pool could hold one gang if nothing else came.

A gang is so many units of cards, CPU and memory: its tasks, or the whole of it where it must stay on one node. A node
holds as many units as its scarcest resource allows. Most pools hold most gangs many times over, so their freest nodes
are asked first, and all nodes only for what these leave open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.fields import MILLI_PER_CARD, UNKNOWN, WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.snapshot import Bools, Ints, Snapshot

_ANY: Final = 2**40
"""Units that a node holds of something that nobody needs."""
_FIRST_NODES: Final = 8
_CELLS_PER_BLOCK: Final = 2**21


@dataclass(frozen=True, eq=False)
class Needs:
    """What the units of all forms need on one model; equal needs are one. K needs, F forms, D unlike card needs."""

    granted: Bools  # [F] the model gives the share, or whole cards are asked for
    need: Ints  # [F]
    units: Ints  # [F]
    by_card: Ints  # [D, 2] whole cards and granted share of a unit
    card: Ints  # [K] index into by_card
    cpu_milli: Ints  # [K]
    memory_mib: Ints  # [K]
    within: Ints  # [K]
    most: Ints  # [K] the largest number of units that any form needs
    least: Ints  # [K] the smallest


@dataclass(frozen=True, eq=False)
class Terrain:
    """The usable nodes of one pool: open, with a free card or a split one."""

    cpu_milli: Ints  # [N]
    memory_mib: Ints  # [N]
    cards: Ints  # [D, N] units that the cards hold
    domain_start: Ints  # the nodes of a domain stand together


def needs_of(shape: Ints, tasks: Ints, level: Ints, granted: Ints, snapshot: Snapshot) -> Needs:
    """Collect what the forms need where their slices are `granted` [F] (-1: none)."""
    per_unit = np.where(level == WITHIN_NODE, tasks, 1)
    table = np.stack(
        [
            snapshot.shape_cards_per_task[shape] * per_unit,
            np.maximum(granted, 0),
            snapshot.shape_cpu_milli_per_task[shape] * per_unit,
            snapshot.shape_memory_mib_per_task[shape] * per_unit,
            level,
        ]
    )
    need, first = _numbered(table)
    card, first_card = _numbered(table[:2, first])
    units = tasks // per_unit
    most, least = np.zeros(first.size, dtype=np.int64), np.full(first.size, _ANY)
    np.maximum.at(most, need, units)
    np.minimum.at(least, need, units)
    return Needs(
        granted=granted >= 0,
        need=need,
        units=units,
        by_card=table[:2, first][:, first_card].T,
        card=card,
        cpu_milli=table[2, first],
        memory_mib=table[3, first],
        within=table[4, first],
        most=most,
        least=least,
    )


def fits_alone(needs: Needs, snapshot: Snapshot, pool: int) -> Bools:
    """Return, for each form, whether the pool's usable nodes hold one gang of it, [F]."""
    terrain = _terrain(needs, snapshot, pool)
    if terrain is None or not needs.card.size:
        return np.zeros(needs.need.size, dtype=bool)
    held = _first_look(needs, terrain)
    # cards alone tell most of the rest that they cannot
    by_cards = np.zeros_like(held)
    for within in (WITHIN_POOL, WITHIN_DOMAIN, WITHIN_NODE):
        here = needs.within == within
        by_cards[here] = _together(terrain.cards, within, terrain.domain_start)[needs.card[here]]
    unsure = np.flatnonzero((held < needs.most) & (by_cards >= needs.least))
    step = max(1, _CELLS_PER_BLOCK // terrain.cpu_milli.size)
    for within in (WITHIN_POOL, WITHIN_DOMAIN, WITHIN_NODE):
        left = unsure[needs.within[unsure] == within]
        for low in range(0, left.size, step):
            some = left[low : low + step]
            held[some] = _together(
                _holds(needs, some, terrain.cards, terrain.cpu_milli, terrain.memory_mib), within, terrain.domain_start
            )
    fits: Bools = needs.granted & (held[needs.need] >= needs.units)
    return fits


def _terrain(needs: Needs, snapshot: Snapshot, pool: int) -> Terrain | None:
    low, high = np.searchsorted(snapshot.node_pool, [pool, pool + 1])
    split_low, split_high = np.searchsorted(snapshot.split_node, [low, high])
    split_node = snapshot.split_node[split_low:split_high] - low
    split = np.bincount(split_node, minlength=high - low) > 0
    free = snapshot.node_free_cards[low:high]
    usable = np.flatnonzero(snapshot.node_open[low:high] & ((free > 0) | split))
    if not usable.size:
        return None
    most = int(snapshot.model_shares_per_card_max[snapshot.pool_model[pool]])
    left_milli = snapshot.split_free_milli[split_low:split_high]
    left_count = np.full(left_milli.size, MILLI_PER_CARD)
    if most != UNKNOWN:
        left_count = np.maximum(most - snapshot.split_shares[split_low:split_high], 0)
    cards = np.zeros((len(needs.by_card), high - low), dtype=np.int64)
    for at, (whole, share) in enumerate(needs.by_card.tolist()):
        if share == 0:
            cards[at] = free // whole
        else:
            per_card = MILLI_PER_CARD // share if most == UNKNOWN else min(MILLI_PER_CARD // share, most)
            cards[at] = free * per_card
            np.add.at(cards[at], split_node, np.minimum(left_milli // share, left_count))
    domain = snapshot.node_domain[low:high][usable]
    return Terrain(
        cpu_milli=snapshot.node_free_cpu_milli[low:high][usable],
        memory_mib=snapshot.node_free_memory_mib[low:high][usable],
        cards=cards[:, usable],
        domain_start=np.flatnonzero(np.append(True, domain[1:] != domain[:-1])),
    )


def _first_look(needs: Needs, terrain: Terrain) -> Ints:
    """Return, for each need, units that the freest nodes hold: never more than the whole pool does."""
    freest = np.argsort(-terrain.cards.max(axis=0), kind="stable")[:_FIRST_NODES]
    holds = _holds(
        needs,
        np.arange(needs.card.size),
        terrain.cards[:, freest],
        terrain.cpu_milli[freest],
        terrain.memory_mib[freest],
    )
    first: Ints = np.where(needs.within == WITHIN_POOL, holds.sum(axis=1), holds.max(axis=1))
    return first


def _holds(needs: Needs, which: Ints, cards: Ints, cpu_milli: Ints, memory_mib: Ints) -> Ints:
    """Return the units of each of these needs that each node holds, [needs, nodes]."""
    holds = cards[needs.card[which]]
    for free, need in ((cpu_milli, needs.cpu_milli[which]), (memory_mib, needs.memory_mib[which])):
        per_unit = need[:, None]
        np.minimum(holds, np.where(per_unit > 0, free // np.maximum(per_unit, 1), _ANY), out=holds)
    return holds


def _together(holds: Ints, within: int, domain_start: Ints) -> Ints:
    """Return what the nodes hold together, or the best domain or node alone, from [needs, nodes]."""
    if within == WITHIN_NODE:
        together: Ints = holds.max(axis=1)
    elif within == WITHIN_DOMAIN:
        together = np.add.reduceat(holds, domain_start, axis=1).max(axis=1)
    else:
        together = holds.sum(axis=1)
    return together


def _numbered(table: Ints) -> tuple[Ints, Ints]:
    """Number the unlike columns: return the number of each column, and one column of each number."""
    order = np.lexsort(table)
    differs = np.ones(order.size, dtype=bool)
    differs[1:] = np.any(table[:, order[1:]] != table[:, order[:-1]], axis=0)
    number = np.empty(order.size, dtype=np.int64)
    number[order] = np.cumsum(differs) - 1
    return number, order[differs]
