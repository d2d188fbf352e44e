"""The bound of each tier, from its own prices: what no plan as good above can exceed, to the last integer.

    L = sum over jobs of max(0, best of worth - cost) + rent of all capacity + a constant for what is reached above

A bound that cannot be reproduced is no bound. Prices come from outside and may be absurd: where 64 bits might not do,
the same lines run on Python's integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from scheduler import verify_formulas as formulas
from scheduler.fields import GANG_CARDS_MAX, MILLI_PER_CARD, QUOTA_DEPTH_MAX, WITHIN_DOMAIN, WITHIN_NODE
from scheduler.plan import Prices
from scheduler.snapshot import Ints, Snapshot
from scheduler.verify_formulas import PPM, Numbers
from scheduler.verify_worth import Forms, Market, Offer, Site

GUARANTEE: Final = "guarantee"
_CORE, _GIB, _KWH = 1000, 1024, 1000
"""What a price per core, GiB and kWh counts in: milli-cores, MiB, watts for an hour."""
_SAFE: Final = 2**61


@dataclass(frozen=True)
class Wanted:
    """One tier as the plan has it, with what was reached: everything that its bound depends on."""

    name: str  # GUARANTEE or "worth-N"
    number: int  # N; -1 for the guarantee
    above: tuple[tuple[int, int], ...]  # of each worth tier above: its number, and the worth that was reached
    level: tuple[int, ...]  # of each quota: milli-TFLOPS of its guarantee that the plan puts to use
    prices: Prices


def complaint(market: Market, tier: Wanted) -> str | None:
    """Return what is wrong with the prices of a tier, or None."""
    snapshot, prices = market.snapshot, tier.prices
    pools = len(snapshot.pool_names)
    sized = (
        ("block", [(size,) for size in prices.block_cards], prices.cards_micro_yuan_per_block_hour, True),
        ("slice", [(size,) for size in prices.slice_milli], prices.slices_micro_yuan_per_slice_hour, False),
        ("domain", prices.domain_blocks, prices.domains_micro_yuan_per_hour, False),
    )
    for name, sizes, rows, always in sized:
        parts = 2 if name == "domain" else 1
        within = all(len(size) == parts and all(1 <= part <= GANG_CARDS_MAX for part in size) for size in sizes)
        if not within or any(a >= b for a, b in pairwise(sizes)):
            return f"{name} sizes must ascend, from at least 1 to at most {GANG_CARDS_MAX}"
        if len(rows) != (pools if sizes or always else 0) or any(len(row) != len(sizes) for row in rows):
            return f"every one of {pools} pools must have prices for {len(sizes)} {name} sizes"
        if any(price < 0 for row in rows for price in row):
            return f"no {name} price may be negative"
    limited = any(watts is not None for watts in market.free_watts)
    quotas = len(market.quotas.names)
    flat = (
        ("cpu", prices.cpu_micro_yuan_per_core_hour, pools),
        ("memory", prices.memory_micro_yuan_per_gib_hour, pools),
        ("power", prices.power_micro_yuan_per_kwh, len(snapshot.hub_names) if limited else 0),
        ("quota", prices.quota_micro_yuan_per_pflops_hour, quotas),
        ("guarantee", prices.guarantee_micro_yuan_per_pflops_hour, quotas),
        ("tier", prices.tier_ppm, len(tier.above)),
    )
    for name, column, length in flat:
        if len(column) != length:
            return f"there must be {length} {name} prices, not {len(column)}"
        if any(price < 0 for price in column):
            return f"no {name} price may be negative"
    return _of_no_rule(market, tier)


def _of_no_rule(market: Market, tier: Wanted) -> str | None:
    prices, quotas = tier.prices, market.quotas
    for hub, (price, watts) in enumerate(zip(prices.power_micro_yuan_per_kwh, market.free_watts, strict=False)):
        if price and watts is None:
            return f"hub {hub} has neither cap nor pace, so its power has no price"
    for quota, price in enumerate(prices.quota_micro_yuan_per_pflops_hour):
        if price and quotas.limit[quota] is None:
            return f"quota {quota} has no limit, so that has no price"
    for quota, price in enumerate(prices.guarantee_micro_yuan_per_pflops_hour):
        if price and not quotas.headroom[quota]:
            return f"the guarantee of quota {quota} is all in use, so it has no price"
        if price > PPM and tier.name == GUARANTEE:
            return f"the guarantee of quota {quota} counts for more than itself"
    return None


class Bounds:
    """The bounds of all tiers at once: one pass over everything that jobs may do."""

    def __init__(self, market: Market, tiers: list[Wanted]) -> None:
        """Take tiers without complaint. `values` then has the bound of each, and `eligible` [G] who may run at all."""
        self.eligible = np.zeros(market.groups.count.size, dtype=bool)
        most = _Most.of(market)
        sums = [_Tier(market, tier, wide=most.on_the_way(tier) >= _SAFE) for tier in tiers]
        for offer in market.offers():
            self.eligible[offer.group] = True
            for each in sums:
                each.take(offer)
        capacity = _Capacity(market.snapshot)
        self.values = [each.surplus() + _rent(capacity, market, each.tier) + _reached(each.tier) for each in sums]


class _Tier:
    """What the jobs gain at the prices of one tier, each where it gains most."""

    def __init__(self, market: Market, tier: Wanted, *, wide: bool) -> None:
        self.tier = tier
        self._market = market
        prices = tier.prices
        net = [
            quota - guarantee
            for quota, guarantee in zip(
                prices.quota_micro_yuan_per_pflops_hour, prices.guarantee_micro_yuan_per_pflops_hour, strict=True
            )
        ]
        for quota, parent in enumerate(market.quotas.parent):
            if parent >= 0:
                net[quota] += net[parent]  # parents come first
        self._net = [*net, 0] if any(net) else None
        self._dtype: Any = object if wide else np.int64
        groups = market.groups
        self._best: Numbers = np.zeros(groups.count.size, dtype=self._dtype)
        # what worth of each group's tier counts here, in millionths
        factor = {number: ppm for (number, _), ppm in zip(tier.above, prices.tier_ppm, strict=True)}
        factor[tier.number] = PPM
        counts = [factor.get(number, 0) for number in range(int(groups.tier.max(initial=0)) + 1)]
        self._as_it_is = tier.number >= 0 and all(count == PPM for count in counts)
        self._factor: Numbers = np.array(counts, dtype=self._dtype)[groups.tier]
        self._site: Site | None = None
        self._base: Numbers = np.zeros(0, dtype=self._dtype)
        self._net_here: Numbers | None = None

    def take(self, offer: Offer) -> None:
        """Let the groups take the offer where it is the best so far."""
        if offer.site is not self._site:
            self._open(offer.site)
        if self._as_it_is:
            gain = offer.worth.astype(self._dtype)
        else:
            gain = formulas.scaled_up(offer.worth.astype(self._dtype), self._factor[offer.group], PPM)
        gain -= self._base[offer.form]
        if self._net_here is not None:
            gain -= formulas.scaled(
                offer.site.quota_use[offer.form].astype(self._dtype), self._net_here[offer.group], PPM
            )
        self._best[offer.group] = np.maximum(self._best[offer.group], gain)

    def surplus(self) -> int:
        """Return the sum over all jobs."""
        count = self._market.groups.count
        if self._dtype is object:
            return sum(int(best) * times for best, times in zip(self._best, count.tolist(), strict=True))
        low, high = self._best & 0x7FFFFFFF, self._best >> 31
        return (int((high * count).sum()) << 31) + int((low * count).sum())

    def _open(self, site: Site) -> None:
        market, snapshot = self._market, self._market.snapshot
        self._site = site
        self._base = _cost(snapshot, market.forms, site, self.tier.prices, self._dtype)
        self._net_here = None
        if self._net is not None:
            leaf = np.append(snapshot.tenant_quota[:, snapshot.pool_hub[site.pool]], -1)
            by_tenant = np.array(self._net, dtype=self._dtype)[leaf]
            if by_tenant.any():
                self._net_here = by_tenant[market.groups.tenant]


def _cost(snapshot: Snapshot, forms: Forms, site: Site, prices: Prices, dtype: Any) -> Numbers:
    """Return what a gang of each form pays in the pool, quotas apart, [F]."""
    pool, tasks = site.pool, forms.tasks
    shared = site.granted_milli > 0
    cards = np.where(shared, 0, snapshot.shape_cards_per_task[forms.shape])
    alone = forms.level == WITHIN_NODE
    unit, units = np.where(alone, tasks * cards, cards), np.where(alone, 1, tasks)
    cost = np.zeros(tasks.size, dtype=dtype)
    for size, price in zip(prices.block_cards, prices.cards_micro_yuan_per_block_hour[pool], strict=True):
        if price:
            cost += (units * (unit // size)).astype(dtype) * price
    for size, price in zip(prices.slice_milli, _row(prices.slices_micro_yuan_per_slice_hour, pool), strict=True):
        if price:
            of_task = np.where(shared, site.granted_milli // size, cards * (MILLI_PER_CARD // size))
            cost += (tasks * of_task).astype(dtype) * price
    close = forms.level == WITHIN_DOMAIN
    for (block, blocks), price in zip(
        prices.domain_blocks, _row(prices.domains_micro_yuan_per_hour, pool), strict=True
    ):
        if price:
            # each unit has so many blocks on its node; close together they are counted over the whole gang
            on_node = unit // block
            cost += np.where(close, units * on_node // blocks, units * (on_node // blocks)).astype(dtype) * price
    power = prices.power_micro_yuan_per_kwh[int(snapshot.pool_hub[pool])] if prices.power_micro_yuan_per_kwh else 0
    amounts = (
        (tasks * snapshot.shape_cpu_milli_per_task[forms.shape], prices.cpu_micro_yuan_per_core_hour[pool], _CORE),
        (tasks * snapshot.shape_memory_mib_per_task[forms.shape], prices.memory_micro_yuan_per_gib_hour[pool], _GIB),
        (site.meter_watts, power, _KWH),
    )
    for amount, price, divisor in amounts:
        if price:
            cost += formulas.scaled(amount.astype(dtype), price, divisor)
    return cost


def _row(rows: tuple[tuple[int, ...], ...], pool: int) -> tuple[int, ...]:
    return rows[pool] if rows else ()


@dataclass(frozen=True)
class _Most:
    """The most that any gang takes of anything, so that it is known beforehand where 64 bits do."""

    cards: int
    cpu_milli: int
    memory_mib: int
    meter_watts: int
    quota_use: int
    worth: int

    @classmethod
    def of(cls, market: Market) -> _Most:
        snapshot, forms = market.snapshot, market.forms
        shape, tasks = forms.shape, forms.tasks
        # gangs take the same in all pools of one hub and model
        pairs = zip(snapshot.pool_hub.tolist(), snapshot.pool_model.tolist(), strict=True)
        sites = [market.site(pool) for pool in {pair: pool for pool, pair in enumerate(pairs)}.values()]
        cards = int((tasks * snapshot.shape_cards_per_task[shape]).max(initial=1))
        figure = int(snapshot.model_fp16_programme_milli_tflops.max(initial=0))
        card = max(figure, 0) * int(snapshot.build_speed_ppm.max(initial=0)) // PPM
        ceiling = int(snapshot.job_ceiling_micro_yuan_per_pflops_hour.max(initial=0))
        gross = cards * min(formulas.VALUE_MAX, ceiling * card // PPM)
        return cls(
            cards=cards,
            cpu_milli=int((tasks * snapshot.shape_cpu_milli_per_task[shape]).max(initial=0)),
            memory_mib=int((tasks * snapshot.shape_memory_mib_per_task[shape]).max(initial=0)),
            meter_watts=max((int(site.meter_watts.max(initial=0)) for site in sites), default=0),
            quota_use=max((int(site.quota_use.max(initial=0)) for site in sites), default=0),
            worth=(gross // 100 + 1) * int(market.weight.max(initial=1)),
        )

    def on_the_way(self, tier: Wanted) -> int:
        """Return what no number on the way to a gain at these prices exceeds."""
        prices = tier.prices
        chain = QUOTA_DEPTH_MAX * (
            max(prices.quota_micro_yuan_per_pflops_hour, default=0)
            + max(prices.guarantee_micro_yuan_per_pflops_hour, default=0)
        )
        scaled = (
            (self.cpu_milli, max(prices.cpu_micro_yuan_per_core_hour, default=0), _CORE),
            (self.memory_mib, max(prices.memory_micro_yuan_per_gib_hour, default=0), _GIB),
            (self.meter_watts, max(prices.power_micro_yuan_per_kwh, default=0), _KWH),
            (self.quota_use, chain, PPM),
            (self.worth, max(PPM, *prices.tier_ppm, 0), PPM),
        )
        blocks = _sum_of_largest(prices.cards_micro_yuan_per_block_hour)
        blocks += _sum_of_largest(prices.domains_micro_yuan_per_hour)
        blocks += MILLI_PER_CARD * _sum_of_largest(prices.slices_micro_yuan_per_slice_hour)
        return self.cards * blocks + sum((most // divisor + divisor) * price for most, price, divisor in scaled)


def _sum_of_largest(rows: tuple[tuple[int, ...], ...]) -> int:
    return sum(max(column) for column in zip(*rows, strict=True))


class _Capacity:
    """What the nodes have, summed by pool."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._pools = len(snapshot.pool_names)
        self._open = snapshot.node_open
        self._pool = snapshot.node_pool
        self._free = np.where(self._open, snapshot.node_free_cards, 0)
        self._split_pool = snapshot.node_pool[snapshot.split_node]
        self._split = np.where(self._open[snapshot.split_node], snapshot.split_free_milli, 0)
        leftover = np.zeros(self._pool.size, dtype=bool)
        leftover[snapshot.split_node[self._split > 0]] = True
        usable = self._open & ((self._free > 0) | leftover)
        self.cpu_milli = self._by_pool(self._pool, np.where(usable, snapshot.node_free_cpu_milli, 0))
        self.memory_mib = self._by_pool(self._pool, np.where(usable, snapshot.node_free_memory_mib, 0))
        first = np.ones(self._pool.size, dtype=bool)
        first[1:] = (np.diff(self._pool) != 0) | (np.diff(snapshot.node_domain) != 0)
        self._domain_pool = self._pool[first]
        self._domain_of_node = np.cumsum(first) - 1

    def blocks(self, size: int) -> list[int]:
        return self._by_pool(self._pool, self._free // size)

    def slices(self, size: int) -> list[int]:
        whole = self._by_pool(self._pool, self._free * (MILLI_PER_CARD // size))
        split = self._by_pool(self._split_pool, self._split // size)
        return [a + b for a, b in zip(whole, split, strict=True)]

    def domains(self, size: tuple[int, int]) -> list[int]:
        cards, blocks = size
        held = np.zeros(self._domain_pool.size, dtype=np.int64)
        np.add.at(held, self._domain_of_node, self._free // cards)
        return self._by_pool(self._domain_pool, held // blocks)

    def _by_pool(self, pool: Ints, amounts: Ints) -> list[int]:
        return formulas.exact_sums(pool, amounts, self._pools)


def _rent(capacity: _Capacity, market: Market, tier: Wanted) -> int:
    """Return what all capacity costs at the prices, each row rounded up."""
    prices, quotas = tier.prices, market.quotas
    rent = 0
    sized = (
        (map(capacity.blocks, prices.block_cards), prices.cards_micro_yuan_per_block_hour),
        (map(capacity.slices, prices.slice_milli), prices.slices_micro_yuan_per_slice_hour),
        (map(capacity.domains, prices.domain_blocks), prices.domains_micro_yuan_per_hour),
    )
    for counts, rows in sized:
        for at, numbers in enumerate(counts):
            rent += sum(row[at] * number for row, number in zip(rows, numbers, strict=True))
    for column, amounts, divisor in (
        (prices.cpu_micro_yuan_per_core_hour, capacity.cpu_milli, _CORE),
        (prices.memory_micro_yuan_per_gib_hour, capacity.memory_mib, _GIB),
    ):
        rent += sum(formulas.up(price * amount, divisor) for price, amount in zip(column, amounts, strict=True))
    for price, watts in zip(prices.power_micro_yuan_per_kwh, market.free_watts, strict=False):
        rent += formulas.up(price * (watts or 0), _KWH)
    for quota, price in enumerate(prices.quota_micro_yuan_per_pflops_hour):
        rent += formulas.up(price * (quotas.free(quota) or 0), PPM)
    if tier.name == GUARANTEE:
        for price, headroom in zip(prices.guarantee_micro_yuan_per_pflops_hour, quotas.headroom, strict=True):
            rent += formulas.up(headroom * (PPM - price), PPM)
    return rent


def _reached(tier: Wanted) -> int:
    """Return the constant, at most 0: a plan as good above has so much already, and it was paid for in the gains."""
    if tier.name == GUARANTEE:
        return 0
    prices = tier.prices
    paid = sum(
        price * level // PPM
        for price, level in zip(prices.guarantee_micro_yuan_per_pflops_hour, tier.level, strict=True)
    )
    return -paid - sum(ppm * worth // PPM for ppm, (_, worth) in zip(prices.tier_ppm, tier.above, strict=True))
