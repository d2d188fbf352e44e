"""What packing needs to know of an instance, as tables: what stays as it is, and what is free at first.

A *unit* is what is put on a node in one piece: a task, or the whole gang where it must stay on one node. A *need* is
what a unit takes and how close together the units of a gang must be; many kinds share one. A *slot* is a place for a
card that is split or may be.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.choices import Choices
from scheduler.fields import MILLI_PER_CARD, UNKNOWN
from scheduler.forms import Kinds
from scheduler.limits import meters, uses
from scheduler.snapshot import Bools, Ints, Snapshot

UNKNOWN_FIT: Final = 2**62
TASKS, TASK_CARDS, TASK_CPU, TASK_MEMORY, SHARE, UNITS, NEED, MILLI = range(8)
"""Columns of `Land.kinds`: tasks; whole cards (0 for shares), CPU, memory and share of a task; units; what a unit needs
(a row of `Land.needs`); thousandths of a card held by a gang."""
NEED_SHARE, NEED_LEVEL = 3, 4
"""Columns of `Land.needs`, after whole cards (0 for shares), CPU and memory of a unit: share, how close together."""
FIRST_NODE, FIRST_DOMAIN, HUB, SHARES_MAX, CPU_BESIDE, MEMORY_BESIDE = range(6)
"""Columns of `Land.pools`: first node, first domain, hub, most tasks on one card; CPU and memory that should stay free
beside each free card, so that there are jobs for it."""
FIRST_SLOT, NEW_SLOT, FIRST_SPLIT = range(3)
"""Columns of `Land.slots`: the node's first slot, its first slot for a card that this plan splits (those before are
split already), and its first split card of the snapshot."""
MILLI_LEFT, TASKS_LEFT = range(2)
"""Columns of `Free.slots`: thousandths left of the card, or UNSPLIT; tasks that it may still take."""
_BESIDE_PERCENT: Final = 75  # of what the pool has for a free card on average
UNSPLIT: Final = -1
"""The card of the slot is not split; it is a whole card, free or taken."""


class Land(NamedTuple):
    """What does not change while a plan is built. Few tables with columns: their number costs time to compile.

    G groups, A pairs, K kinds, U needs, P pools, D domains, N nodes, H hubs, T tenants, Q quotas.
    """

    start: Ints  # [G + 1] pairs of each group
    pool: NDArray[np.int32]  # [A]
    kind: NDArray[np.int32]  # [A]
    worth: Ints  # [A]
    tenant: Ints  # [G]
    kinds: Ints  # [K, 8]
    needs: Ints  # [U, 5]
    pools: Ints  # [P + 1, 6]
    domain_start: Ints  # [D + 1] first node of each domain
    slots: Ints  # [N + 1, 3]
    meter: Ints  # [K, P] watts of a gang; [0, 0] where no hub has a cap or pace
    quota_use: Ints  # [K, P] milli-TFLOPS of a gang; [0, 0] where there are no quotas
    tenant_quota: Ints  # [T, H]
    parent: Ints  # [Q]
    headroom: Ints  # [Q]


class Free(NamedTuple):
    """What is free while a plan is built; all arrays are written to."""

    nodes: Ints  # [N, 3] whole cards, CPU, memory
    total: Ints  # [P] whole cards
    slots: Ints  # [slots, 2]
    widest: Ints  # [N] the most that is left on a split card that may take a task
    fits: Ints  # [U, P] upper bound of the units that fit (in the best domain, if close together); only shrinks
    watts: Ints  # [H]
    account: Ints  # [Q, 4]
    left: Ints  # [G] jobs not placed


class Terrain:
    """The tables of one instance; never written to. `shared` [P]: pools whose cards may be split, if not those that
    the instance's jobs may take shares in."""

    def __init__(self, choices: Choices, shared: Bools | None = None) -> None:
        snapshot, kinds, limits = choices.snapshot, choices.kinds, choices.limits
        nodes = len(snapshot.node_names)
        of_kinds, needs = kind_tables(kinds)
        if shared is None:
            shared = _shared_pools(choices)
        free = np.where(snapshot.node_open, snapshot.node_free_cards, 0)
        split_start = np.searchsorted(snapshot.split_node, np.arange(nodes + 1))
        split = np.diff(split_start)
        slot_start = np.append(0, np.cumsum(split + np.where(shared[snapshot.node_pool], free, 0)))
        domain_start = _domain_starts(snapshot)
        none = np.zeros((0, 0), dtype=np.int64)
        self.choices = choices
        self.land = Land(
            start=choices.pairs.start,
            pool=choices.pairs.pool,
            kind=choices.pairs.kind,
            worth=choices.pairs.worth,
            tenant=choices.groups.tenant,
            kinds=of_kinds,
            needs=needs,
            pools=_pools(snapshot, domain_start),
            domain_start=domain_start,
            slots=np.stack([slot_start, slot_start + np.append(split, 0), split_start], axis=1),
            meter=meters(limits, kinds) if limits.has_power else none,
            quota_use=uses(limits, kinds) if limits.parent.size else none,
            tenant_quota=limits.tenant_quota,
            parent=limits.parent,
            headroom=limits.headroom,
        )
        slots = np.full((slot_start[-1], 2), (UNSPLIT, 0))
        known = np.repeat(slot_start[:-1] - split_start[:-1], split) + np.arange(snapshot.split_node.size)
        slots[known] = _split_cards(snapshot, self.land.pools)
        widest = np.zeros(nodes, dtype=np.int64)
        np.maximum.at(widest, snapshot.split_node, np.where(slots[known, TASKS_LEFT] > 0, slots[known, MILLI_LEFT], 0))
        self.free = Free(
            nodes=np.stack([free, snapshot.node_free_cpu_milli, snapshot.node_free_memory_mib], axis=1),
            total=np.diff(np.append(0, np.cumsum(free))[self.land.pools[:, FIRST_NODE]]),
            slots=slots,
            widest=widest,
            fits=np.full((len(needs), len(snapshot.pool_names)), UNKNOWN_FIT),
            watts=limits.hub_free_watts,
            account=limits.account,
            left=choices.groups.count,
        )


def kind_tables(kinds: Kinds) -> tuple[Ints, Ints]:
    """Return the kinds [K, 8] and what their units need [U, 5], as in `Land`."""
    cards = np.where(kinds.share > 0, 0, kinds.cards)
    unit = [kinds.of_unit(cards), kinds.of_unit(kinds.cpu), kinds.of_unit(kinds.memory), kinds.share, kinds.level]
    needs, need = np.unique(np.stack(unit, axis=1), axis=0, return_inverse=True)
    task = [kinds.tasks, cards, kinds.cpu, kinds.memory, kinds.share]
    return np.stack([*task, kinds.units, need.reshape(-1), kinds.milli_cards], axis=1), needs


def _shared_pools(choices: Choices) -> Bools:
    """Return [P]: whether any job may take shares of the pool's cards."""
    shared = np.zeros(len(choices.snapshot.pool_names), dtype=bool)
    if (choices.kinds.share > 0).any():
        shared[choices.pairs.pool[choices.kinds.share[choices.pairs.kind] > 0]] = True
    return shared


def _domain_starts(snapshot: Snapshot) -> Ints:
    """Return the first node of each domain, and the number of nodes."""
    first = np.ones(snapshot.node_pool.size, dtype=bool)
    first[1:] = (np.diff(snapshot.node_pool) != 0) | (np.diff(snapshot.node_domain) != 0)
    return np.append(np.flatnonzero(first), first.size)


def _pools(snapshot: Snapshot, domain_start: Ints) -> Ints:
    """Return the table of pools; its last row says where nodes and domains end."""
    table = np.zeros((len(snapshot.pool_names) + 1, 6), dtype=np.int64)
    table[:, FIRST_NODE] = np.searchsorted(snapshot.node_pool, np.arange(len(table)))
    table[:, FIRST_DOMAIN] = np.searchsorted(domain_start[:-1], table[:, FIRST_NODE])
    table[:-1, HUB] = snapshot.pool_hub
    most = snapshot.model_shares_per_card_max[snapshot.pool_model]
    cards, cpu, memory = (
        np.bincount(snapshot.node_pool, weights=np.where(snapshot.node_open, amount, 0), minlength=len(table) - 1)
        for amount in (snapshot.node_free_cards, snapshot.node_free_cpu_milli, snapshot.node_free_memory_mib)
    )
    for column, amount in ((CPU_BESIDE, cpu), (MEMORY_BESIDE, memory)):
        table[:-1, column] = amount * _BESIDE_PERCENT / 100 / np.maximum(cards, 1)
    table[:-1, SHARES_MAX] = np.where(most == UNKNOWN, MILLI_PER_CARD, most)
    return table


def _split_cards(snapshot: Snapshot, pools: Ints) -> Ints:
    """Return what is left of the cards that are split already, as in `Free.slots`; nothing on closed nodes."""
    room = np.maximum(pools[snapshot.node_pool[snapshot.split_node], SHARES_MAX] - snapshot.split_shares, 0)
    left = np.stack([snapshot.split_free_milli, room], axis=1)
    return np.where(snapshot.node_open[snapshot.split_node, None], left, 0)
