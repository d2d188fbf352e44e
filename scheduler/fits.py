"""Whether a pool could hold one gang if nothing else came, and if not, what is missing.

A gang that the pool cannot hold by itself is not eligible there: the relaxation behind the bound would split it over
nodes, domains or cards, and the bound would stay valid but far too high.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.compiled import compiled
from scheduler.fields import MILLI_PER_CARD, UNKNOWN, WITHIN_DOMAIN, WITHIN_NODE
from scheduler.forms import Kinds
from scheduler.limits import Limits, meters
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Bools, Codes, Ints, Snapshot

_EVER, _OPENED, _CARDS, _CPU, _MEMORY = range(5)  # what is asked of a node: more and more of what is there
_SHORT: Final = tuple(
    REFUSALS.index(reason)
    for reason in (
        Reason.GANG_TOO_LARGE,
        Reason.POOL_CLOSED,
        Reason.CARDS_SHORT,
        Reason.CPU_SHORT,
        Reason.MEMORY_SHORT,
    )
)
_FABRIC_SHORT: Final = REFUSALS.index(Reason.FABRIC_SHORT)
_POWER_SHORT: Final = REFUSALS.index(Reason.POWER_SHORT)
_FITS: Final = REFUSALS.index(Reason.OUTBID)
NO_END: Final = 2**62
"""A number of tasks that no pool holds: count all of them."""


def fit_codes(snapshot: Snapshot, kinds: Kinds, limits: Limits) -> Codes:
    """Return [K, P]: position in REFUSALS of what stands between a gang alone and the free pool; OUTBID: nothing."""
    places = Places(snapshot)
    codes = np.full((kinds.tasks.size, len(snapshot.pool_names)), _FITS, dtype=np.int8)
    needs, need_of = needs_of(kinds)
    for need in range(len(needs)):
        members = np.flatnonzero(need_of == need)
        _judge(
            needs[need], members, kinds.tasks, kinds.level, places.node_start, places.domain, places.opened,
            places.whole, places.free, places.split_start, places.split, places.shares_max, np.array(_SHORT),
            _FABRIC_SHORT, codes,
        )  # fmt: skip
    if limits.has_power:
        short = meters(limits, kinds) > limits.hub_free_watts[limits.pool_hub]
        codes[(codes == _FITS) & short] = _POWER_SHORT
    return codes


def tasks_that_fit(snapshot: Snapshot, kinds: Kinds) -> Ints:
    """Return [K, P]: how many tasks of each kind the free open nodes hold, counted over the whole pool."""
    places = Places(snapshot)
    needs, need_of = needs_of(kinds)
    held = np.zeros((len(needs), len(snapshot.pool_names)), dtype=np.int64)
    for need, row in enumerate(needs):
        for pool in range(held.shape[1]):
            held[need, pool] = _held_by_pool(
                _MEMORY, row, int(places.node_start[pool]), int(places.node_start[pool + 1]), places.opened,
                places.whole, places.free, places.split_start, places.split, int(places.shares_max[pool]), NO_END,
            )  # fmt: skip
    return held[need_of]


def needs_of(kinds: Kinds) -> tuple[Ints, Ints]:
    """Return what one task takes, [U, 4] cards, CPU, memory, share, and which of these each kind is, [K]."""
    rows = np.stack([kinds.cards, kinds.cpu, kinds.memory, kinds.share], axis=1)
    needs, need_of = np.unique(rows, axis=0, return_inverse=True)
    return needs, need_of.reshape(-1).astype(np.int64)


class Places:
    """Nodes and split cards as the kernels want them."""

    def __init__(self, snapshot: Snapshot) -> None:
        pools, nodes = len(snapshot.pool_names), len(snapshot.node_names)
        self.node_start: Ints = np.searchsorted(snapshot.node_pool, np.arange(pools + 1)).astype(np.int64)
        self.domain = snapshot.node_domain
        self.opened: Bools = snapshot.node_open
        self.whole = np.stack([snapshot.node_cards, snapshot.node_cpu_milli, snapshot.node_memory_mib], axis=1)
        self.free = np.stack(
            [snapshot.node_free_cards, snapshot.node_free_cpu_milli, snapshot.node_free_memory_mib], axis=1
        )
        self.split_start: Ints = np.searchsorted(snapshot.split_node, np.arange(nodes + 1)).astype(np.int64)
        self.split = np.stack([snapshot.split_free_milli, snapshot.split_shares], axis=1)
        most = snapshot.model_shares_per_card_max[snapshot.pool_model]
        self.shares_max: Ints = np.where(most == UNKNOWN, MILLI_PER_CARD, most)


@compiled
def _held_by_node(
    asked: int, need: Ints, node: int, opened: Bools, whole: Ints, free: Ints, split_start: Ints, split: Ints,
    shares_max: int,
) -> int:  # fmt: skip
    """Return how many tasks the node holds: all of it, all of it if open, then what is free, resource by resource."""
    if asked != _EVER and not opened[node]:
        return 0
    have = whole[node] if asked <= _OPENED else free[node]
    share = need[3]
    if share == 0:
        held = have[0] // need[0]
    else:
        held = have[0] * min(MILLI_PER_CARD // share, shares_max)
        if asked > _OPENED:
            for card in range(split_start[node], split_start[node + 1]):
                held += min(split[card, 0] // share, max(shares_max - split[card, 1], 0))
    for resource in range(1, 3 if asked <= _OPENED else asked - 1):
        if need[resource] > 0:
            held = min(held, have[resource] // need[resource])
    return int(held)


@compiled
def _held_by_pool(
    asked: int, need: Ints, low: int, high: int, opened: Bools, whole: Ints, free: Ints, split_start: Ints,
    split: Ints, shares_max: int, enough: int,
) -> int:  # fmt: skip
    """Return how many tasks the nodes hold together; counting ends when there are enough."""
    held = 0
    for node in range(low, high):
        held += _held_by_node(asked, need, node, opened, whole, free, split_start, split, shares_max)
        if held >= enough:
            break
    return held


@compiled
def _held_by_domain(
    need: Ints, low: int, high: int, domain: Ints, opened: Bools, whole: Ints, free: Ints, split_start: Ints,
    split: Ints, shares_max: int, enough: int,
) -> int:  # fmt: skip
    """Return how many tasks the best domain holds; counting ends when one holds enough."""
    best, held = 0, 0
    for node in range(low, high):
        if node > low and domain[node] != domain[node - 1]:
            held = 0
        held += _held_by_node(_MEMORY, need, node, opened, whole, free, split_start, split, shares_max)
        best = max(best, held)
        if best >= enough:
            break
    return best


@compiled
def _held_by_best_node(
    need: Ints, low: int, high: int, opened: Bools, whole: Ints, free: Ints, split_start: Ints, split: Ints,
    shares_max: int, enough: int,
) -> int:  # fmt: skip
    """Return how many tasks the best node holds; the search ends when one holds enough."""
    best = 0
    for node in range(low, high):
        best = max(best, _held_by_node(_MEMORY, need, node, opened, whole, free, split_start, split, shares_max))
        if best >= enough:
            break
    return best


@compiled
def _judge(
    need: Ints, members: Ints, tasks: Ints, level: Ints, node_start: Ints, domain: Ints, opened: Bools, whole: Ints,
    free: Ints, split_start: Ints, split: Ints, shares_max: Ints, short: Ints, fabric_short: int, codes: Codes,
) -> None:  # fmt: skip
    """Fill the codes of the kinds `members`, whose tasks all have this need. `short`: a code for each thing asked."""
    largest = 0
    for kind in members:
        largest = max(largest, tasks[kind])
    held = np.zeros(5, dtype=np.int64)
    for pool in range(node_start.size - 1):
        low, high, most = node_start[pool], node_start[pool + 1], shares_max[pool]
        held[_MEMORY] = _held_by_pool(_MEMORY, need, low, high, opened, whole, free, split_start, split, most, largest)
        if held[_MEMORY] < largest:
            for asked in range(_MEMORY):
                held[asked] = _held_by_pool(
                    asked, need, low, high, opened, whole, free, split_start, split, most, largest
                )
        for kind in members:
            if tasks[kind] > held[_MEMORY]:
                asked = 0
                while held[asked] >= tasks[kind]:
                    asked += 1
                codes[kind, pool] = short[asked]
                continue
            close = tasks[kind]
            if level[kind] == WITHIN_DOMAIN:
                close = _held_by_domain(
                    need, low, high, domain, opened, whole, free, split_start, split, most, tasks[kind]
                )
            elif level[kind] == WITHIN_NODE:
                close = _held_by_best_node(need, low, high, opened, whole, free, split_start, split, most, tasks[kind])
            if close < tasks[kind]:
                codes[kind, pool] = fabric_short
