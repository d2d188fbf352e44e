"""Seats for the large gangs of a large instance, and for all work of the tiers above the last, by the solver.

Most of the worth is in some thousand large gangs: which of them run, and where, decides more than all small jobs
together, which fill whatever is left. At good prices most gangs are clear: they run in one pool by a wide margin, or
nowhere. The solver decides about the others, all pools at once; the program is in `seat_program.py`.

A tier above is decided first, for itself: what it can reach is its level. The answer counts, and names no nodes; it
goes to `greedy.construct`. Limits of the solver are its own work, never time: the same input gives the same seats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.choices import Choices
from scheduler.linear import Floats
from scheduler.rows import PPM, PriceVector, Rows, costs_at
from scheduler.seat_program import LARGE_BLOCKS, SeatProgram, Small
from scheduler.snapshot import Bools, Ints

_IN_QUESTION: Final = 0.012  # of what a gang pays: pairs that gain less than the best by more are out of the question
_COLUMNS_MAX: Final = 30_000  # of these, and of those above
_WATTS: Final = 1000


@dataclass(frozen=True, eq=False)
class Seats:
    """Who is seated: a pair stands there once for each of its gangs."""

    pairs: Ints
    worth: dict[int, int]  # by tier


class Seating:
    """Decides about seats of one instance, tier by tier from above."""

    def __init__(self, choices: Choices, rows: Rows, tiers: tuple[int, ...], tolerance_ppm: int) -> None:
        """`tiers`: of worth, the highest first. A tier above may fall short of its best by a fifth of the tolerance."""
        self._choices, self._rows, self._tiers = choices, rows, tiers
        self._slack = tolerance_ppm / 5 / PPM
        self._tier = choices.groups.tier[choices.pairs.group]
        self._levels: dict[int, int] = {}

    def level(self, tier: int) -> int | None:
        """Return what a tier above can reach beside those above it; None when the solver does not say."""
        upper = self._tiers[: self._tiers.index(tier) + 1]
        worth = np.where(self._tier == tier, self._choices.pairs.worth, 0).astype(np.float64)
        which = np.flatnonzero(np.isin(self._tier, upper))
        if not which.size or which.size > _COLUMNS_MAX:
            return None
        seats = self._solve(which, worth[which], None, 0)
        if seats is None:
            return None
        self._levels[tier] = int(seats.worth[tier] * (1 - self._slack))
        return self._levels[tier]

    def seats(self, prices: PriceVector) -> Seats | None:
        """Seat large gangs of all tiers at prices of the last one; None when the solver finds nothing."""
        pairs, rows, groups = self._choices.pairs, self._rows, self._choices.groups
        costs = costs_at(self._choices, rows, prices)
        kind, pool, group = pairs.kind, pairs.pool, pairs.group
        factor = np.ones(int(groups.tier.max(initial=0)) + 1)
        factor[list(self._tiers[:-1])] = prices.tier_ppm / PPM
        worth = pairs.worth * factor[self._tier]
        paid = costs.kind_pool[kind, pool].astype(np.float64)
        if self._choices.limits.parent.size:
            hub = self._choices.limits.pool_hub[pool]
            milli = self._choices.kinds.milli_cards[kind]
            use = -(-milli * self._choices.limits.pool_milli_tflops[pool] // 1000)
            paid += use * costs.tenant[groups.tenant[group], hub] / PPM
        key = _key_row(rows, prices)
        which = self._in_question(worth, paid, rows.use[kind, key] >= LARGE_BLOCKS)
        if not which.size:
            return Seats(which, {})
        small = self._small_at(worth - paid, which)
        gain = (worth - paid)[which] + prices.pool[pool[which], key] * rows.use[kind[which], key]
        if rows.meter.size:
            hub = self._choices.limits.pool_hub[pool[which]]
            gain += rows.meter[kind[which], pool[which]] * prices.power[hub] / _WATTS
        return self._solve(which, gain, Small(small, groups.count[group[small]], prices), key)

    def _in_question(self, worth: Floats, paid: Floats, large: Bools) -> Ints:
        """Return the pairs that the solver decides about, ascending."""
        choices, start = self._choices, self._choices.pairs.start
        gain, group = worth - paid, choices.pairs.group
        able = np.flatnonzero(np.diff(start))
        best = np.zeros(start.size - 1)
        best[able] = np.maximum(np.maximum.reduceat(gain, start[able]), 0) if able.size else 0
        regret = (best[group] - gain) / np.maximum(np.maximum(worth, paid), 1)
        above = self._tier != self._tiers[-1]
        levels = np.isin(self._tier, list(self._levels))
        wanted = np.flatnonzero((large & (regret <= _IN_QUESTION)) | (levels & above))
        if wanted.size > 2 * _COLUMNS_MAX:
            wanted = wanted[np.argsort(regret[wanted], kind="stable")[: 2 * _COLUMNS_MAX]]
        return np.sort(wanted)

    def _small_at(self, gain: Floats, which: Ints) -> Ints:
        """Return the best pair of each group that is not decided about and gains by it: what small jobs would do."""
        pairs = self._choices.pairs
        small = np.ones(pairs.start.size - 1, dtype=bool)
        small[pairs.group[which]] = False
        able = np.flatnonzero(np.diff(pairs.start))
        best = np.zeros(small.size)
        best[able] = np.maximum.reduceat(gain, pairs.start[able]) if able.size else 0
        return np.flatnonzero(small[pairs.group] & (gain > 0) & (gain == best[pairs.group]))

    def _solve(self, which: Ints, gain: Floats, small: Small | None, key: int) -> Seats | None:
        program = SeatProgram(self._choices, self._rows, which, gain, key)
        program.add_groups()  # (1)
        program.add_rows()  # (2)
        if small is not None:
            program.add_key_blocks(key, small)  # (3)
        program.add_power(small)  # (4)
        program.add_quotas(small)  # (5)
        for tier, level in self._levels.items():
            program.add_level(np.flatnonzero(self._tier[which] == tier), level)  # (6)
        if small is not None:
            program.add_guarantees(small)  # (7)
        values = program.solve()
        if values is None:
            return None
        run = np.rint(values[: which.size]).astype(np.int64)
        by_tier = dict.fromkeys(self._tiers, 0)
        seated, gangs_of = which[run > 0], run[run > 0]  # summed as Python's integers: a gang may be worth 2^60
        worths = self._choices.pairs.worth[seated].tolist()
        rows = zip(self._tier[seated].tolist(), worths, gangs_of.tolist(), strict=True)
        for tier, worth, gangs in rows:
            by_tier[tier] += worth * gangs
        return Seats(np.repeat(which, run), by_tier)


def _key_row(rows: Rows, prices: PriceVector) -> int:
    """Return the column of the block size of which the free capacity is worth most."""
    blocks = rows.blocks.size
    rent = (prices.pool[:, :blocks].astype(np.float64) * rows.capacity[:, :blocks]).sum(axis=0)
    rent[0] = -1 if blocks > 1 else 0  # single cards are what small jobs are for
    return int(np.argmax(rent))
