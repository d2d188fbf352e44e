"""Seats for the large gangs of a large instance, before anything else is admitted.

Most of the worth is in a thousand large gangs: which of them run, and where, decides more than all small jobs
together, which fill whatever is left. Gangs are seated by counting (rows of pools, power, quotas) at the prices of the
descent, and exchanged until the visits end; see `exchange.py`. Worth of tiers above counts many times over, and a
guarantee pays what its price says, so that no tier above is given up.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.choices import Choices
from scheduler.exchange import Held, Seats, exchange, keep
from scheduler.limits import uses
from scheduler.rows import Costs, PriceVector, Rows
from scheduler.snapshot import Ints

_SPREAD: Final = 300
_CANDIDATES: Final = 100
_HEAT_BANDS: Final = 10
_LOSS_MAX: Final = 3  # a seat may fall short of its costs by a third of its worth; others have no chance
_TIER_FACTOR: Final = 4
_GANGS_PER_GROUP: Final = 64
_SIZE_MIN: Final = 2  # units of the key row; smaller ones fill what is left like small jobs


class Seating:
    """Large gangs and their seats; goes on from where it stood when it is asked again."""

    def __init__(self, choices: Choices, rows: Rows, prices: PriceVector, costs: Costs) -> None:
        self._choices = choices
        self.key = _key_row(rows, prices)
        self._pair, self._group_of_gang, seats = _seats(choices, rows, prices, costs, self.key)
        self._seats = seats
        self._held = Held(
            np.full(self._group_of_gang.size, -1, dtype=np.int64),
            rows.capacity.copy(),
            choices.limits.hub_free_watts.copy(),
            choices.limits.account.copy(),
        )
        positive = seats.price[seats.price > 0]
        self._band = int(np.median(positive)) if positive.size else 1

    def improve(self, seed: int, visits: int, *, heated: bool) -> None:
        """Exchange seats for so many visits of pools."""
        if self._pair.size:
            heat = _HEAT_BANDS * self._band if heated else 0
            exchange(self._seats, self._held, seed, visits, _SPREAD, heat, _CANDIDATES, self._band)

    def keep(self, pairs: Ints) -> None:
        """Seat the gangs that an earlier plan had in these pairs, as far as they still fit. Before any exchange."""
        keep(self._seats, self._held, np.isin(self._pair, pairs))

    def seated(self) -> Ints:
        """Return [n]: the pair of each gang that has a seat; a pair stands there once for each of its gangs."""
        seat = self._held.seat
        return self._pair[seat[seat >= 0]]


def _key_row(rows: Rows, prices: PriceVector) -> int:
    """Return the column of the block size of which the free capacity is worth most."""
    blocks = rows.blocks.size
    rent = (prices.pool[:, :blocks].astype(np.float64) * rows.capacity[:, :blocks]).sum(axis=0)
    rent[0] = -1 if blocks > 1 else 0  # single cards are what small jobs are for
    return int(np.argmax(rent))


def _seats(choices: Choices, rows: Rows, prices: PriceVector, costs: Costs, key: int) -> tuple[Ints, Ints, Seats]:
    """Return the pair of each seat, the group of each gang, and the seats."""
    pairs, groups, limits = choices.pairs, choices.groups, choices.limits
    group = pairs.group
    large = np.flatnonzero(rows.use[pairs.kind, key] >= _SIZE_MIN)
    kind, pool, group = pairs.kind[large].astype(np.int64), pairs.pool[large].astype(np.int64), group[large]
    hub, tenant = limits.pool_hub[pool], groups.tenant[group]
    quota = np.where(tenant >= 0, limits.tenant_quota[tenant, hub], -1) if limits.tenant_quota.size else -1 + 0 * hub
    counted = uses(limits, choices.kinds)[kind, pool]
    price = prices.pool[:, key]
    worth = _counted_worth(choices, group, pairs.worth[large])
    paid = costs.kind_pool[kind, pool] + counted * costs.tenant[tenant, hub] // 10**6
    gain = worth - paid + price[pool] * rows.use[kind, key]
    unit = max(int(np.abs(gain).max(initial=0)) * (groups.count.size + 1) >> 60, 1)  # sums must stay in 64 bits
    hopeful = worth - paid > -(worth // _LOSS_MAX)
    order = np.flatnonzero(hopeful)
    gangs = np.minimum(groups.count, _GANGS_PER_GROUP)
    copies = gangs[group[order]]
    number = np.zeros(groups.count.size + 1, dtype=np.int64)
    seen = np.unique(group[order])
    number[seen + 1] = gangs[seen]
    first_gang = np.cumsum(number)[:-1]
    at = np.repeat(order, copies)
    copy = np.arange(at.size) - np.repeat(np.cumsum(copies) - copies, copies)
    gang = first_gang[group[at]] + copy
    by_pool = np.lexsort((gang, pool[at]))
    at, gang = at[by_pool], gang[by_pool]
    watts = rows.meter[kind[at], pool[at]] if rows.meter.size else np.zeros(at.size, dtype=np.int64)
    seats = Seats(
        first=np.searchsorted(pool[at], np.arange(rows.capacity.shape[0] + 1)).astype(np.int64),
        gang=gang,
        kind=kind[at],
        size=rows.use[kind[at], key],
        gain=gain[at] // unit,
        pool=pool[at],
        watts=watts,
        quota=quota[at],
        counted=counted[at],
        use=rows.use,
        hub=limits.pool_hub,
        parent=limits.parent,
        price=price // unit,
        key=key,
    )
    return large[at], np.repeat(seen, gangs[seen]), seats


def _counted_worth(choices: Choices, group: Ints, worth: Ints) -> Ints:
    """Return worths in which a tier counts several times as much as the next."""
    tiers = np.unique(choices.groups.tier)
    above = tiers.size - 1 - np.searchsorted(tiers, choices.groups.tier[group])
    factor = _TIER_FACTOR**above
    counted: Ints = np.minimum(worth, 2**60 // factor) * factor
    return counted
