"""One look at every group and pair: what each would choose at some prices. The work of the bound, cut into shards.

A shard holds some groups and answers with a sum and with its load on each row, so the same code runs in one thread, in
many, or on machines that share nothing: only prices go out, and sums come back. The cut depends on the instance
alone, sums of surplus are exact integers, and loads are added in the order of the shards: the answer is the same to
the last bit however many workers there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.choices import Choices
from scheduler.compiled import compiled
from scheduler.fields import MILLI_PER_CARD, TIERS_MAX
from scheduler.limits import uses
from scheduler.rows import PPM, Costs, Rows
from scheduler.snapshot import Ints

Floats = NDArray[np.float64]
_SHARDS: Final = 16
_PAIRS_PER_SHARD_MIN: Final = 20_000
_SMALL_CARDS: Final = 8
_ONE_IN: Final = 10
_LOW = 0x7FFFFFFF


@dataclass(frozen=True, eq=False)
class Ask:
    """The question to a shard: prices, and what worth of each tier counts."""

    costs: Costs
    factor_ppm: Ints  # [TIERS_MAX]


@dataclass(frozen=True, eq=False)
class Part:
    """The answer of a shard."""

    total: int  # sum over jobs of the best surplus
    best: Ints  # [groups of the shard] best pair, counted in the whole instance; -1: stays out
    surplus: Ints  # [groups of the shard] micro-yuan per hour of one job, at least 0
    pool_load: Floats  # [P, R]
    power_load: Floats  # [H]
    tenant_load: Floats  # [T + 1, H] milli-TFLOPS
    tier_load: Floats  # [TIERS_MAX] worth


@dataclass(frozen=True, eq=False)
class Shard:
    """Some groups with their pairs, and the tables to judge them by. Plain arrays: it can be sent anywhere."""

    start: Ints  # [groups + 1] into the shard's own pairs
    pool: NDArray[np.int32]
    kind: NDArray[np.int32]
    worth: Ints
    count: Ints
    tier: Ints
    tenant: Ints
    first_pair: int  # position of the shard's first pair in the whole instance
    use: Ints  # [K, R]
    quota_use: Ints  # [K, P] milli-TFLOPS; [0, 0] where no tenant has a quota
    meter: Ints  # [K, P] or [0, 0]
    pool_hub: Ints
    shape: tuple[int, int, int]  # pools, hubs, tenants

    def scan(self, ask: Ask) -> Part:
        """Let every group choose its best pair."""
        pools, hubs, tenants = self.shape
        groups = self.count.size
        best, surplus = np.empty(groups, dtype=np.int64), np.empty(groups, dtype=np.int64)
        sums = np.zeros(2, dtype=np.int64)
        pool_load = np.zeros((pools, self.use.shape[1]))
        power_load, tenant_load, tier_load = np.zeros(hubs), np.zeros((tenants + 1, hubs)), np.zeros(TIERS_MAX)
        _best_pairs(
            self.start, self.pool, self.kind, self.worth, self.count, self.tier, self.tenant, self.use,
            self.quota_use, self.meter, self.pool_hub, ask.costs.kind_pool, ask.costs.tenant, ask.factor_ppm,
            best, surplus, sums, pool_load, power_load, tenant_load, tier_load,
        )  # fmt: skip
        best[best >= 0] += self.first_pair
        total = int(sums[0]) + (int(sums[1]) << 31)
        return Part(total, best, surplus, pool_load, power_load, tenant_load, tier_load)


def shards_of(choices: Choices, rows: Rows) -> tuple[Shard, ...]:
    """Cut the groups into shards of about equally many pairs; small instances are one shard."""
    start = choices.pairs.start
    total = int(start[-1])
    number = max(1, min(_SHARDS, total // _PAIRS_PER_SHARD_MIN))
    cuts = np.searchsorted(start, np.arange(1, number) * total // number)
    borders = np.unique(np.concatenate([[0], cuts, [choices.groups.count.size]])).tolist()
    if len(borders) == 1:
        borders = [0, 0]  # nobody waits
    tables = _Tables.of(choices, rows)
    return tuple(tables.shard(np.arange(low, high), choices.groups.count[low:high]) for low, high in pairwise(borders))


def coarse_shards_of(choices: Choices, rows: Rows) -> tuple[Shard, ...]:
    """Return one shard that stands for all: every large gang, and a sample of the small ones, each counted many times.

    What is found on it is no bound and no plan. It is a tenth of the work, and its best prices are nearly those of
    the whole. Tiers of few jobs are there as a whole: a level that these reach must be within reach here too.
    """
    groups, kinds = choices.groups, choices.kinds
    able = np.flatnonzero(choices.eligible)
    first_kind = choices.pairs.kind[choices.pairs.start[able]]
    tier = groups.tier[able]
    many = np.bincount(tier, minlength=TIERS_MAX) * _ONE_IN > able.size
    small = (kinds.milli_cards[first_kind] < _SMALL_CARDS * MILLI_PER_CARD) & many[tier]
    sample = able[small][::_ONE_IN]  # groups are sorted by shape: neighbours are much alike
    chosen = np.sort(np.concatenate([able[~small], sample]))
    count = np.where(np.isin(chosen, sample), groups.count[chosen] * _ONE_IN, groups.count[chosen])
    return (_Tables.of(choices, rows).shard(chosen, count),)


@dataclass(frozen=True, eq=False)
class _Tables:
    """What all shards of an instance have in common."""

    choices: Choices
    rows: Rows
    quota_use: Ints
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, choices: Choices, rows: Rows) -> _Tables:
        tenants, hubs = choices.limits.tenant_quota.shape
        use = uses(choices.limits, choices.kinds) if tenants else np.zeros((0, 0), dtype=np.int64)
        return cls(choices, rows, use, (len(choices.snapshot.pool_names), hubs, tenants))

    def shard(self, chosen: Ints, count: Ints) -> Shard:
        """Return the shard of some groups, ascending; `count` may differ from theirs."""
        pairs, groups = self.choices.pairs, self.choices.groups
        size = np.diff(pairs.start)[chosen]
        start = np.append(0, np.cumsum(size))
        first = int(pairs.start[chosen[0]]) if chosen.size else 0
        if chosen.size and chosen[-1] - chosen[0] + 1 == chosen.size:
            at: slice | Ints = slice(first, first + int(start[-1]))
        else:
            at = np.repeat(pairs.start[chosen] - start[:-1], size) + np.arange(start[-1])
        return Shard(
            start=start,
            pool=pairs.pool[at],
            kind=pairs.kind[at],
            worth=pairs.worth[at],
            count=count,
            tier=groups.tier[chosen],
            tenant=groups.tenant[chosen],
            first_pair=first,
            use=self.rows.use,
            quota_use=self.quota_use,
            meter=self.rows.meter,
            pool_hub=self.choices.limits.pool_hub,
            shape=self.shape,
        )


@compiled
def scaled_up(worth: int, ppm: int) -> int:
    """Return worth * ppm / 10^6, rounded up, without overflow for what `PriceVector` allows."""
    return (worth // PPM) * ppm - (-(worth % PPM) * ppm // PPM)


@compiled
def _best_pairs(
    start: Ints, pool: NDArray[np.int32], kind: NDArray[np.int32], worth: Ints, count: Ints, tier: Ints, tenant: Ints,
    use: Ints, quota_use: Ints, meter: Ints, pool_hub: Ints, cost: Ints,
    tenant_price: Ints, factor_ppm: Ints, best: Ints, surplus: Ints, sums: Ints, pool_load: Floats,
    power_load: Floats, tenant_load: Floats, tier_load: Floats,
) -> None:  # fmt: skip
    """Give every group its best pair, add up loads, and sum count * surplus as sums[0] + 2^31 * sums[1]."""
    priced = np.zeros(tenant_price.shape[0], dtype=np.bool_)
    for t in range(tenant_price.shape[0]):
        for hub in range(tenant_price.shape[1]):
            priced[t] |= tenant_price[t, hub] != 0
    for g in range(count.size):
        factor, t = factor_ppm[tier[g]], tenant[g]
        if factor == 0 and not priced[t]:
            best[g], surplus[g] = -1, 0
            continue
        plain = factor == PPM and not priced[t]
        most = np.int64(0)
        where = np.int64(-1)
        for at in range(start[g], start[g + 1]):
            k, p = kind[at], pool[at]
            if plain:
                gain = worth[at] - cost[k, p]
            else:
                counted = worth[at] if factor == PPM else scaled_up(worth[at], factor)
                gain = counted - cost[k, p]
                if priced[t]:
                    gain -= quota_use[k, p] * tenant_price[t, pool_hub[p]] // PPM
            if gain > most:
                most = gain
                where = np.int64(at)
        best[g], surplus[g] = where, most
        if where >= 0:
            sums[0] += (most & _LOW) * count[g]
            sums[1] += (most >> 31) * count[g]
            k, p = kind[where], pool[where]
            jobs = np.float64(count[g])
            _add_load(k, p, jobs, use, meter, pool_hub, pool_load, power_load)
            if t >= 0:
                tenant_load[t, pool_hub[p]] += jobs * quota_use[k, p]
            tier_load[tier[g]] += jobs * worth[where]


@compiled
def _add_load(
    k: int, p: int, jobs: float, use: Ints, meter: Ints, pool_hub: Ints, pool_load: Floats, power_load: Floats
) -> None:  # fmt: skip
    for row in range(use.shape[1]):
        if use[k, row]:
            pool_load[p, row] += jobs * use[k, row]
    if meter.size:
        power_load[pool_hub[p]] += jobs * meter[k, p]
