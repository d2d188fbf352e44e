"""Whether a pool could hold one gang if nothing else came, and if not, what is missing.

A gang that the pool cannot hold by itself is not eligible there: the relaxation behind the bound would split it over
nodes, domains or cards, and the bound would stay valid but far too high.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from scheduler.compiled import borrowing, compiled, inlined, side_by_side
from scheduler.fields import MILLI_PER_CARD, UNKNOWN, WITHIN_NODE, WITHIN_POOL
from scheduler.forms import Kinds
from scheduler.limits import Limits, meters
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Bools, Codes, Ints, Snapshot

_EVER, _OPENED, _CARDS, _CPU, _MEMORY = range(5)  # what is asked of a node: more and more of what is there
_SHORT: Final = np.array(
    [
        REFUSALS.index(reason)
        for reason in (
            Reason.GANG_TOO_LARGE,
            Reason.POOL_CLOSED,
            Reason.CARDS_SHORT,
            Reason.CPU_SHORT,
            Reason.MEMORY_SHORT,
        )
    ]
)
_FABRIC_SHORT = REFUSALS.index(Reason.FABRIC_SHORT)
_POWER_SHORT: Final = REFUSALS.index(Reason.POWER_SHORT)
_FITS: Final = REFUSALS.index(Reason.OUTBID)
_PARTS: Final = 2  # looked at side by side ...
_LOOKS_FOR_TWO: Final = 50_000  # ... if there are so many needs and nodes; to begin a thread takes as long as these


class Places(NamedTuple):
    """Nodes and split cards as the kernels want them."""

    node_start: Ints  # [P + 1]
    domain: Ints  # [N]
    opened: Bools  # [N]
    whole: Ints  # [N, 3] cards, CPU, memory
    free: Ints  # [N, 3]
    split_start: Ints  # [N + 1]
    split: Ints  # [X, 2] free milli, shares
    shares_max: Ints  # [P] most shares on one card


def fit_codes(snapshot: Snapshot, kinds: Kinds, limits: Limits) -> Codes:
    """Return [K, P]: position in REFUSALS of what stands between a gang alone and the free pool; OUTBID: nothing."""
    codes = np.full((kinds.tasks.size, len(snapshot.pool_names)), _FITS, dtype=np.int8)
    needs, need_of = needs_of(kinds)
    order = np.argsort(need_of, kind="stable")
    member_start = np.searchsorted(need_of[order], np.arange(len(needs) + 1))
    places = places_of(snapshot)

    parts = _PARTS if len(needs) * len(snapshot.node_names) >= _LOOKS_FOR_TWO else 1

    def judge(part: int) -> None:
        _judge(needs, part, parts, member_start, order, kinds.tasks, kinds.level, places, _SHORT, codes)

    side_by_side(judge, range(parts), parts)  # every need has codes of its own
    if limits.has_power:
        short = meters(limits, kinds) > limits.hub_free_watts[limits.pool_hub]
        codes[(codes == _FITS) & short] = _POWER_SHORT
    return codes


def tasks_that_fit(snapshot: Snapshot, kinds: Kinds) -> Ints:
    """Return [K, P]: how many tasks of each kind the free open nodes hold, counted over the whole pool."""
    places = places_of(snapshot)
    needs, need_of = needs_of(kinds)
    held = np.zeros((len(needs), len(snapshot.pool_names)), dtype=np.int64)
    for need, row in enumerate(needs):
        for pool in range(held.shape[1]):
            held[need, pool] = _held_by_pool(row, pool, places)[_MEMORY]
    return held[need_of]


def needs_of(kinds: Kinds) -> tuple[Ints, Ints]:
    """Return what one task takes, [U, 4] cards, CPU, memory, share, and which of these each kind is, [K]."""
    rows = np.stack([kinds.cards, kinds.cpu, kinds.memory, kinds.share], axis=1)
    needs, need_of = np.unique(rows, axis=0, return_inverse=True)
    return needs, need_of.reshape(-1).astype(np.int64)


def places_of(snapshot: Snapshot) -> Places:
    """Lay out the nodes."""
    most = snapshot.model_shares_per_card_max[snapshot.pool_model]
    s = snapshot
    return Places(
        node_start=np.searchsorted(s.node_pool, np.arange(len(s.pool_names) + 1)).astype(np.int64),
        domain=s.node_domain,
        opened=s.node_open,
        whole=np.stack([s.node_cards, s.node_cpu_milli, s.node_memory_mib], axis=1),
        free=np.stack([s.node_free_cards, s.node_free_cpu_milli, s.node_free_memory_mib], axis=1),
        split_start=np.searchsorted(s.split_node, np.arange(len(s.node_names) + 1)).astype(np.int64),
        split=np.stack([s.split_free_milli, s.split_shares], axis=1),
        shares_max=np.where(most == UNKNOWN, MILLI_PER_CARD, most),
    )


@inlined
def _by_cards(need: Ints, node: int, cards: int, most: int, with_splits: bool, places: Places) -> int:
    """Return how many tasks so many whole cards, and the node's split ones if so asked, can hold."""
    share = need[3]
    if share == 0:
        return int(cards // need[0]) if cards >= need[0] else 0
    held = cards * min(MILLI_PER_CARD // share, most)
    if with_splits:
        for card in range(places.split_start[node], places.split_start[node + 1]):
            held += min(places.split[card, 0] // share, max(most - places.split[card, 1], 0))
    return int(held)


@inlined
def _beside(held: int, need: Ints, resource: int, have: int) -> int:
    """Return how many of these tasks the CPU or the memory of a node allows; a division only where it binds."""
    if held * need[resource] <= have:
        return held
    return int(have // need[resource])


@inlined
def _held_by_node(need: Ints, node: int, most: int, places: Places) -> int:
    """Return how many tasks the free part of an open node holds."""
    if not places.opened[node]:
        return 0
    held = _by_cards(need, node, places.free[node, 0], most, True, places)
    if held > 0:
        held = _beside(held, need, 1, places.free[node, 1])
        held = _beside(held, need, 2, places.free[node, 2])
    return held


@compiled
def _held_by_pool(need: Ints, pool: int, places: Places) -> Ints:
    """Return [5] tasks that the pool holds: all of it, all that is open, then what is free, resource by resource."""
    held = np.zeros(5, dtype=np.int64)
    most = places.shares_max[pool]
    for node in range(places.node_start[pool], places.node_start[pool + 1]):
        whole = _by_cards(need, node, places.whole[node, 0], most, False, places)
        whole = _beside(whole, need, 1, places.whole[node, 1])
        whole = _beside(whole, need, 2, places.whole[node, 2])
        held[_EVER] += whole
        if places.opened[node]:
            cards = _by_cards(need, node, places.free[node, 0], most, True, places)
            with_cpu = _beside(cards, need, 1, places.free[node, 1])
            held[_OPENED] += whole
            held[_CARDS] += cards
            held[_CPU] += with_cpu
            held[_MEMORY] += _beside(with_cpu, need, 2, places.free[node, 2])
    return held


@borrowing
def _held_close(need: Ints, pool: int, level: int, enough: int, places: Places) -> int:
    """Return how many tasks the best domain or node of the pool holds; the search ends when one holds enough."""
    best, held = 0, 0
    low, high, most = places.node_start[pool], places.node_start[pool + 1], places.shares_max[pool]
    for node in range(low, high):
        if level == WITHIN_NODE or (node > low and places.domain[node] != places.domain[node - 1]):
            held = 0
        held += _held_by_node(need, node, most, places)
        best = max(best, held)
        if best >= enough:
            break
    return best


@borrowing
def _enough(need: Ints, pool: int, tasks: int, places: Places) -> bool:
    """Return whether the free part of the pool holds so many tasks."""
    held, most = 0, places.shares_max[pool]
    for node in range(places.node_start[pool], places.node_start[pool + 1]):
        held += _held_by_node(need, node, most, places)
        if held >= tasks:
            return True
    return False


@compiled
def _judge(
    needs: Ints, first: int, step: int, member_start: Ints, members: Ints, tasks: Ints, level: Ints, places: Places,
    short: Ints, codes: Codes,
) -> None:  # fmt: skip
    """Fill the codes of every `step`-th need from `first` on.

    The kinds of need u are members[member_start[u]] .. ; `short`: a code for each thing asked.
    """
    for u in range(first, needs.shape[0], step):
        kinds = members[member_start[u] : member_start[u + 1]]
        largest = 0
        for kind in kinds:
            largest = max(largest, tasks[kind])
        for pool in range(places.node_start.size - 1):
            if not _enough(needs[u], pool, largest, places):
                held = _held_by_pool(needs[u], pool, places)
                for kind in kinds:
                    asked = 0
                    while asked <= _MEMORY and held[asked] >= tasks[kind]:
                        asked += 1
                    if asked <= _MEMORY:
                        codes[kind, pool] = short[asked]
            for kind in kinds:
                if level[kind] == WITHIN_POOL or codes[kind, pool] != _FITS:
                    continue
                if _held_close(needs[u], pool, level[kind], tasks[kind], places) < tasks[kind]:
                    codes[kind, pool] = _FABRIC_SHORT
