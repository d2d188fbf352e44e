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
from scheduler.fields import TIERS_MAX
from scheduler.rows import PPM, Costs, Rows
from scheduler.snapshot import Ints

Floats = NDArray[np.float64]
_SHARDS: Final = 16
_PAIRS_PER_SHARD_MIN: Final = 20_000
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
    milli_cards: Ints  # [K]
    meter: Ints  # [K, P] or [0, 0]
    pool_hub: Ints
    pool_milli_tflops: Ints
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
            self.milli_cards, self.meter, self.pool_hub, self.pool_milli_tflops, ask.costs.kind_pool,
            ask.costs.tenant, ask.factor_ppm, best, surplus, sums, pool_load, power_load, tenant_load, tier_load,
        )  # fmt: skip
        best[best >= 0] += self.first_pair
        total = int(sums[0]) + (int(sums[1]) << 31)
        return Part(total, best, surplus, pool_load, power_load, tenant_load, tier_load)


def shards_of(choices: Choices, rows: Rows) -> tuple[Shard, ...]:
    """Cut the groups into shards of about equally many pairs; small instances are one shard."""
    pairs, groups, limits = choices.pairs, choices.groups, choices.limits
    total = int(pairs.start[-1])
    number = max(1, min(_SHARDS, total // _PAIRS_PER_SHARD_MIN))
    cuts = np.searchsorted(pairs.start, np.arange(1, number) * total // number)
    borders = np.unique(np.concatenate([[0], cuts, [groups.count.size]])).tolist()
    tenants, hubs = limits.tenant_quota.shape
    if len(borders) == 1:
        borders = [0, 0]  # nobody waits
    shape = (len(choices.snapshot.pool_names), hubs, tenants)
    shards = []
    for low, high in pairwise(borders):
        first, last = int(pairs.start[low]), int(pairs.start[high])
        shards.append(
            Shard(
                start=pairs.start[low : high + 1] - first,
                pool=pairs.pool[first:last],
                kind=pairs.kind[first:last],
                worth=pairs.worth[first:last],
                count=groups.count[low:high],
                tier=groups.tier[low:high],
                tenant=groups.tenant[low:high],
                first_pair=first,
                use=rows.use,
                milli_cards=choices.kinds.milli_cards,
                meter=rows.meter,
                pool_hub=limits.pool_hub,
                pool_milli_tflops=limits.pool_milli_tflops,
                shape=shape,
            )
        )
    return tuple(shards)


@compiled
def scaled_up(worth: int, ppm: int) -> int:
    """Return worth * ppm / 10^6, rounded up, without overflow for what `PriceVector` allows."""
    return (worth // PPM) * ppm - (-(worth % PPM) * ppm // PPM)


@compiled
def _best_pairs(
    start: Ints, pool: NDArray[np.int32], kind: NDArray[np.int32], worth: Ints, count: Ints, tier: Ints, tenant: Ints,
    use: Ints, milli_cards: Ints, meter: Ints, pool_hub: Ints, pool_milli_tflops: Ints, cost: Ints,
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
                use_there = -(-milli_cards[k] * pool_milli_tflops[p] // 1000)
                gain = counted - cost[k, p] - use_there * tenant_price[t, pool_hub[p]] // PPM
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
            tenant_load[t, pool_hub[p]] += jobs * -(-milli_cards[k] * pool_milli_tflops[p] // 1000)
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
