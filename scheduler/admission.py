"""Admit gangs by counting, best worth per scarcity first: whatever is admitted keeps all rows together.

    seats       gangs that have their place already
    dues        gangs that serve a guarantee, those first that lose least by it
    worth       all others: the groups that the descent chose most often, then by score, each in its favourite pairs

A group's score is `worth / (cost at the given prices + cards)` of its first pair: with all prices zero this is worth
per card, with good prices it is worth per micro-yuan of what the gang takes from others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.choices import Choices
from scheduler.compiled import borrowing, compiled, inlined
from scheduler.fields import MILLI_PER_CARD
from scheduler.packing import allowed, charge, owed, quota_of, wide
from scheduler.rows import PPM, Costs, Rows
from scheduler.snapshot import Ints, Votes
from scheduler.terrain import HUB, MILLI, Land, Terrain

Floats = NDArray[np.float64]

WORTH, DUE, SEATED = range(3)
"""Why a gang is admitted."""
_PAIRS_TRIED_FIRST: Final = 32
_GANG_BITS: Final = 31  # of the thousandths of a card of the largest gang, and one to spare
_NOTHING: Final = -(2**62)


@dataclass(frozen=True, eq=False)
class Gains:
    """What groups gain by their pairs at some prices: worth less cost, more where a guarantee pays for it."""

    of_pair: Ints  # [A]
    best: Ints  # [G]; of a group without pairs far below any gain

    @classmethod
    def at(cls, terrain: Terrain, costs: Costs) -> Gains:
        """Work them out."""
        land = terrain.land
        gains = cls(np.empty(land.pool.size, dtype=np.int64), np.full(land.start.size - 1, _NOTHING))
        _gains(land, costs.kind_pool, costs.tenant, gains.of_pair, gains.best)
        return gains


@dataclass(frozen=True, eq=False)
class Wishes:
    """What groups would have at some prices and votes, and who is asked first: the same whoever has a seat already."""

    gains: Gains
    top: NDArray[np.int32]  # [G, pairs to try]; -1: no more
    order: Ints  # groups that may run anywhere, in the order in which they are asked
    due_groups: Ints
    due_pairs: Ints  # those that can serve a guarantee, in the order in which they are asked


def wishes_at(choices: Choices, terrain: Terrain, costs: Costs, votes: Votes) -> Wishes:
    """Work them out. Args: votes: [A] how often the descent chose each pair."""
    land, groups, kinds = terrain.land, choices.groups, choices.kinds
    gains = Gains.at(terrain, costs)
    width = min(int(np.diff(land.start).max(initial=0)), _PAIRS_TRIED_FIRST)
    top = np.full((groups.count.size, width), -1, dtype=np.int32)
    score, voted = np.zeros(groups.count.size), np.zeros(groups.count.size, dtype=np.int64)
    _favourites(land, gains.of_pair, votes, top, score, voted)
    able = np.flatnonzero(choices.eligible)
    kind = choices.pairs.kind[top[able, 0]] if able.size else able
    # among equals large gangs first, while their blocks are free; then position, so that ties never depend on luck
    size = (unit_milli(choices)[kind] << _GANG_BITS) + kinds.milli_cards[kind]
    order = able[np.lexsort((-size, -score[able], -voted[able], groups.tier[able]))]
    due = _dues(choices, land, gains, order) if (land.headroom > 0).any() else (order[:0], order[:0])
    return Wishes(gains, top, order, *due)


def admitted(choices: Choices, terrain: Terrain, rows: Rows, wishes: Wishes, seated: Ints) -> Ints:
    """Return [n, 4]: group, pair, gangs, and why: SEATED, DUE or WORTH."""
    land = terrain.land
    left, room = choices.groups.count.copy(), rows.capacity.copy()
    watts, account = choices.limits.hub_free_watts.copy(), choices.limits.account.copy()
    state = rows.use, left, room, watts, account
    table = np.empty((int(left.sum()), 4), dtype=np.int64)  # every line admits a job at least
    pairs, gangs = np.unique(seated, return_counts=True)
    # where one seat too many is given, the least worthy loses it
    first = np.argsort(-_scores(land, wishes.gains, pairs), kind="stable")
    pairs, gangs = pairs[first], gangs[first]
    end = _take_seats(land, pairs, gangs, *state, table, 0)
    end = _admit_dues(land, wishes.due_groups, wishes.due_pairs, *state, table, end)
    end = _admit(land, wishes.order, wishes.top, *state, table, end)
    return table[:end]


def _scores(land: Land, gains: Gains, pairs: Ints) -> Floats:
    """Return the score of some pairs: worth for what their cards cost."""
    worth, cards = land.worth[pairs], land.kinds[land.kind[pairs], MILLI]
    paid = (worth - gains.of_pair[pairs]).astype(np.float64) * MILLI_PER_CARD + cards
    scores: Floats = worth / np.maximum(paid, 1.0)
    return scores


def _dues(choices: Choices, land: Land, gains: Gains, order: Ints) -> tuple[Ints, Ints]:
    """Return groups and pairs that can serve a guarantee, those first by which least worth is lost for its FP16.

    A guarantee is to be served somewhere in its hub. To serve it by whoever comes first would send jobs to pools that
    are far from their best, while others give up nothing.
    """
    regret = np.full(land.pool.size, -1.0)
    _regrets(land, gains.of_pair, gains.best, regret)
    rank = np.zeros(land.start.size - 1, dtype=np.int64)
    rank[order] = np.arange(order.size)
    may = np.flatnonzero(regret >= 0)
    group = choices.pairs.group[may]
    best_first = np.lexsort((rank[group], regret[may]))
    return group[best_first], may[best_first]


def unit_milli(choices: Choices) -> Ints:
    """Return [K]: thousandths of a card that one unit holds, the whole gang where it must stay on one node."""
    milli: Ints = choices.kinds.milli_cards // choices.kinds.units
    return milli


@compiled
def _favourites(land: Land, gain_of: Ints, votes: Votes, top: NDArray[np.int32], score: Floats, voted: Ints) -> None:
    """Fill the pairs to try of each group (most votes, then largest gain; -1: no more), its score and its votes."""
    gains = np.zeros(top.shape[1], dtype=np.int64)
    counts = np.zeros(top.shape[1], dtype=np.int64)
    for group in range(top.shape[0]):
        found = 0
        for pair in range(land.start[group], land.start[group + 1]):
            gain = gain_of[pair]
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


@borrowing
def _gains(land: Land, cost: Ints, tenant_price: Ints, of_pair: Ints, best: Ints) -> None:
    for group in range(best.size):
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            paid = cost[kind, pool]
            if quota_of(land, group, pool) >= 0:
                price = tenant_price[land.tenant[group], land.pools[pool, HUB]]
                paid += land.quota_use[kind, pool] * price // PPM
            of_pair[pair] = land.worth[pair] - paid
            best[group] = max(best[group], of_pair[pair])


@borrowing
def _regrets(land: Land, of_pair: Ints, best: Ints, regret: Floats) -> None:
    """Fill, for pairs that count to a quota with a guarantee to serve, what they lose for each milli-TFLOPS of it."""
    for group in range(best.size):
        if land.tenant[group] < 0:
            continue
        for pair in range(land.start[group], land.start[group + 1]):
            kind, pool = wide(land.kind, pair), wide(land.pool, pair)
            quota = quota_of(land, group, pool)
            while quota >= 0:
                if land.headroom[quota] > 0 and land.quota_use[kind, pool] > 0:
                    lost = np.float64(max(best[group], 0) - of_pair[pair])
                    regret[pair] = lost / land.quota_use[kind, pool]
                quota = land.parent[quota]


@borrowing
def _admit_dues(
    land: Land, groups: Ints, pairs: Ints, use: Ints, left: Ints, room: Ints, watts: Ints, account: Ints,
    admitted: Ints, end: int,
) -> int:  # fmt: skip
    """Admit, pair by pair, as many gangs as serve a guarantee. Return the end of the table of what is admitted."""
    for index in range(pairs.size):
        group, pair = groups[index], pairs[index]
        if left[group] == 0:
            continue
        most = min(left[group], owed(land, account, group, wide(land.kind, pair), wide(land.pool, pair)))
        end = _take(land, group, pair, most, DUE, use, left, room, watts, account, admitted, end)
    return end


@borrowing
def _admit(
    land: Land, order: Ints, top: NDArray[np.int32], use: Ints, left: Ints, room: Ints, watts: Ints, account: Ints,
    admitted: Ints, end: int,
) -> int:  # fmt: skip
    """Admit gangs in this order of groups while all rows hold. Return the end of the table of what is admitted."""
    for group in order:
        for slot in range(top.shape[1]):
            pair = wide(top[group], slot)
            if pair < 0 or left[group] == 0:
                break
            end = _take(land, group, pair, left[group], WORTH, use, left, room, watts, account, admitted, end)
    return end


@inlined
def _take(
    land: Land, group: int, pair: int, gangs: int, why: int, use: Ints, left: Ints, room: Ints, watts: Ints,
    account: Ints, admitted: Ints, end: int,
) -> int:  # fmt: skip
    """Admit as many of so many gangs as all rows hold. Return the end of the table."""
    kind, pool = wide(land.kind, pair), wide(land.pool, pair)
    row = 0
    while row < use.shape[1] and gangs > 0:
        if use[kind, row] * gangs > room[pool, row]:
            gangs = room[pool, row] // use[kind, row]
        row += 1
    if gangs > 0:
        gangs = allowed(land, watts, account, group, kind, pool, gangs)
    if gangs <= 0:
        return end
    left[group] -= gangs
    for row in range(use.shape[1]):
        room[pool, row] -= use[kind, row] * gangs
    charge(land, watts, account, group, kind, pool, gangs)
    admitted[end, 0], admitted[end, 1], admitted[end, 2], admitted[end, 3] = group, pair, gangs, why
    return end + 1


@borrowing
def _take_seats(
    land: Land, pairs: Ints, gangs: Ints, use: Ints, left: Ints, room: Ints, watts: Ints, account: Ints, admitted: Ints,
    end: int,
) -> int:  # fmt: skip
    """Admit gangs that have a place already, as far as it is still theirs. Return the end of the table."""
    for index in range(pairs.size):
        group = np.searchsorted(land.start, pairs[index], side="right") - 1
        most = min(gangs[index], left[group])
        end = _take(land, group, pairs[index], most, SEATED, use, left, room, watts, account, admitted, end)
    return end
