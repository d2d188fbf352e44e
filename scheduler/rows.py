"""The capacity rows of every pool, hub and quota: what all plans satisfy, and what the bound puts prices on.

Rows of pool p; a task of k whole cards is a unit (k = all cards of the gang where it must stay on one node), a task
with a share takes g thousandths of one card; sums over new work, and over open nodes, their domains and split cards:

    (s) node blocks     units * (k // s)                                         <=  sum of free // s
    (d) slices          shares * (g // d) + cards * (1000 // d)                  <=  free * (1000 // d) + split // d
    (D) n blocks of b   tasks * (k // b) // n close, tasks * (k // b // n) spread  <=  sum over domains of blocks // n
        in one domain   blocks = sum over the domain's nodes of free // b
    (c) (m)             CPU, memory                                              <=  free beside a free or split card

Each holds for every plan, because floor(a/s) + floor(b/s) <= floor((a+b)/s) on a node, on a card, in a domain: a node
never holds more blocks than its cards make, two shares of 600 never count as one card, and cards left over on many
nodes make no whole node for a gang that must stay close together. For sizes that divide each
other they are also enough to pack; for others they are a relaxation. Rows of hubs: watts at the meter. Rows of quotas:
milli-TFLOPS at or below the quota, from above by its limit and from below by the guarantee that the plan serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.choices import Choices
from scheduler.compiled import compiled
from scheduler.fields import MILLI_PER_CARD, WITHIN_DOMAIN
from scheduler.forms import Kinds
from scheduler.limits import LEFT, NO_LIMIT, Limits, meters
from scheduler.plan import Prices
from scheduler.snapshot import Ints, Snapshot

MILLI_PER_CORE: Final = 1000
MIB_PER_GIB: Final = 1024
PPM: Final = 10**6
BLOCKS_MAX: Final = 12
SLICES_MAX: Final = 8
DOMAIN_BLOCKS_MAX: Final = 6
"""More distinct sizes than these are priced by the most wanted ones: fewer rows, a looser bound, still a bound."""
_SAFE: Final = 2**56  # no single product of price and use exceeds this; thirty of them still fit in 64 bits


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows. K kinds, P pools, R = blocks + slices + domain blocks + 2 columns, H hubs, Q quotas."""

    blocks: Ints  # cards, ascending from 1
    slices: Ints  # thousandths of a card, ascending from 1; empty where nobody shares
    domains: Ints  # [D, 2] cards of a block on one node, blocks in one domain; ascending; empty where nobody is close
    capacity: Ints  # [P, R]
    use: Ints  # [K, R] of one gang
    divisor: Ints  # [R] units of use in one priced unit: 1 block, 1000 milli-CPU, 1024 MiB
    price_max: Ints  # [R] beyond this nothing could be bought anyway, or sums could overflow
    meter: Ints  # [K, P] watts of one gang; [0, 0] where no hub has a cap or pace
    hub_free_watts: Ints  # [H] NO_LIMIT: no row
    power_price_max: int
    quota_room: Ints  # [Q] NO_LIMIT: no row
    headroom: Ints  # [Q] 0: no row
    quota_price_max: int

    @property
    def columns(self) -> int:
        """Number of rows of one pool."""
        return int(self.divisor.size)


@dataclass(frozen=True, eq=False)
class PriceVector:
    """A price of each row, at least 0, integers."""

    pool: Ints  # [P, R] micro-yuan per priced unit and hour
    power: Ints  # [H] micro-yuan per kWh
    quota: Ints  # [Q] micro-yuan per PFLOPS-hour, for its limit
    guarantee: Ints  # [Q] micro-yuan per PFLOPS-hour, paid for its guarantee
    tier_ppm: Ints  # [tiers above] what their worth counts

    def flat(self) -> Ints:
        """Return all prices in one array."""
        return np.concatenate([self.pool.reshape(-1), self.power, self.quota, self.guarantee, self.tier_ppm])

    def like(self, flat: Ints) -> PriceVector:
        """Return a vector of the same layout from one array."""
        ends = np.cumsum([self.pool.size, self.power.size, self.quota.size, self.guarantee.size])
        pool, power, quota, guarantee, tier_ppm = np.split(flat, ends)
        return PriceVector(pool.reshape(self.pool.shape), power, quota, guarantee, tier_ppm)


@dataclass(frozen=True, eq=False)
class Costs:
    """What one gang pays at some prices."""

    kind_pool: Ints  # [K, P] micro-yuan per hour, for pool rows and power
    tenant: Ints  # [T + 1, H] micro-yuan per PFLOPS-hour of quota; the last row is of jobs without a tenant: 0

    @classmethod
    def none(cls, choices: Choices) -> Costs:
        """Return no costs at all."""
        pools, (tenants, hubs) = len(choices.snapshot.pool_names), choices.limits.tenant_quota.shape
        return cls(
            np.zeros((choices.kinds.tasks.size, pools), dtype=np.int64), np.zeros((tenants + 1, hubs), dtype=np.int64)
        )


def capacity_rows(choices: Choices) -> Rows:
    """Derive the rows from the snapshot and from the sizes that eligible jobs ask for."""
    snapshot, kinds, limits = choices.snapshot, choices.kinds, choices.limits
    whole = kinds.share == 0
    wanted = _wanted(choices)
    blocks = _sizes(kinds.of_unit(kinds.cards)[whole], wanted[whole], BLOCKS_MAX, from_one=True)
    shared = ~whole & (wanted > 0)
    slices = _sizes(kinds.share[shared], wanted[shared], SLICES_MAX, from_one=True) if shared.any() else blocks[:0]
    domains = _domain_sizes(kinds, np.where(whole, wanted, 0))
    use = uses_of(kinds, blocks, slices, domains)
    best = _best_per_card(choices)
    sizes = (blocks * best, -(-slices * best // MILLI_PER_CARD), domains.prod(axis=1) * best)
    useful = np.concatenate([*sizes, [2**62, 2**62]])
    largest = np.maximum(use.max(axis=0, initial=1), 1)
    meter = meters(limits, kinds) if limits.has_power else np.zeros((0, 0), dtype=np.int64)
    most_used = int((kinds.milli_cards.max(initial=1) * limits.pool_milli_tflops.max(initial=1)) // 1000 + 1)
    return Rows(
        blocks=blocks,
        slices=slices,
        domains=domains,
        capacity=_capacity(snapshot, blocks, slices, domains),
        use=use,
        divisor=divisors(use.shape[1]),
        price_max=np.minimum(useful, _SAFE // largest),
        meter=meter,
        hub_free_watts=limits.hub_free_watts,
        power_price_max=_SAFE // max(int(meter.max(initial=1)), 1),
        quota_room=np.where(limits.account[:, LEFT] < NO_LIMIT, np.maximum(limits.account[:, LEFT], 0), NO_LIMIT),
        headroom=limits.headroom,
        quota_price_max=_SAFE // (most_used * 8),
    )


def uses_of(kinds: Kinds, blocks: Ints, slices: Ints, domains: Ints) -> Ints:
    """Return [K, R]: what one gang counts in the rows of a pool that have these sizes."""
    whole, close = (kinds.share == 0)[:, None], (kinds.level == WITHIN_DOMAIN)[:, None]
    unit_cards, gang = kinds.of_unit(kinds.cards)[:, None], (kinds.tasks * kinds.cards)[:, None]
    on_node, in_domain = unit_cards // domains[:, 0], domains[:, 1]
    together, apart = kinds.units[:, None] * on_node // in_domain, kinds.units[:, None] * (on_node // in_domain)
    use = np.column_stack(
        [
            np.where(whole, kinds.units[:, None] * (unit_cards // blocks), 0),
            np.where(
                whole,
                gang * (MILLI_PER_CARD // slices),
                kinds.tasks[:, None] * (kinds.share[:, None] // slices),
            ),
            np.where(whole, np.where(close, together, apart), 0),
            kinds.tasks * kinds.cpu,
            kinds.tasks * kinds.memory,
        ]
    )
    return np.ascontiguousarray(use)


def divisors(columns: int) -> Ints:
    """Return [R]: units of use in one priced unit, for so many rows of a pool."""
    return np.array([1] * (columns - 2) + [MILLI_PER_CORE, MIB_PER_GIB], dtype=np.int64)


def costs_at(choices: Choices, rows: Rows, prices: PriceVector) -> Costs:
    """Return what one gang pays at these prices, rounded down for each resource."""
    return costs_of(choices.limits, rows.use, rows.meter, prices)


def costs_of(limits: Limits, use: Ints, meter: Ints, prices: PriceVector) -> Costs:
    """Return what gangs pay that use so much of a pool's rows, [K, R], and of power, [K, P] or empty."""
    kind_pool = np.zeros((use.shape[0], prices.pool.shape[0]), dtype=np.int64)
    per_watt = prices.power[limits.pool_hub] if meter.size else np.zeros(0, dtype=np.int64)
    _kind_costs(use, divisors(use.shape[1]), prices.pool, meter, per_watt, kind_pool)
    return Costs(kind_pool, _tenant_prices(limits, prices))


def to_prices(choices: Choices, rows: Rows, prices: PriceVector) -> Prices:
    """Return the prices as a plan carries them."""
    sizes = (rows.blocks.size, rows.slices.size, len(rows.domains))
    blocks, slices, domains, cpu, memory = np.split(prices.pool, np.cumsum([*sizes, 1])[:4], axis=1)
    with_quotas = prices.quota.size > 0
    return Prices(
        block_cards=tuple(rows.blocks.tolist()),
        cards_micro_yuan_per_block_hour=_table(blocks),
        cpu_micro_yuan_per_core_hour=tuple(cpu.reshape(-1).tolist()),
        memory_micro_yuan_per_gib_hour=tuple(memory.reshape(-1).tolist()),
        slice_milli=tuple(rows.slices.tolist()),
        slices_micro_yuan_per_slice_hour=_table(slices) if rows.slices.size else (),
        domain_blocks=tuple((cards, blocks) for cards, blocks in rows.domains.tolist()),
        domains_micro_yuan_per_hour=_table(domains) if rows.domains.size else (),
        power_micro_yuan_per_kwh=tuple(prices.power.tolist()) if choices.limits.has_power else (),
        quota_micro_yuan_per_pflops_hour=tuple(prices.quota.tolist()) if with_quotas else (),
        guarantee_micro_yuan_per_pflops_hour=tuple(prices.guarantee.tolist()) if with_quotas else (),
        tier_ppm=tuple(prices.tier_ppm.tolist()),
    )


def _table(prices: Ints) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in prices.tolist())


def _tenant_prices(limits: Limits, prices: PriceVector) -> Ints:
    chain = prices.quota - prices.guarantee
    for quota, parent in enumerate(limits.parent.tolist()):  # parents come first
        if parent >= 0:
            chain[quota] += chain[parent]
    tenants, hubs = limits.tenant_quota.shape
    found = np.zeros((tenants + 1, hubs), dtype=np.int64)
    if chain.size:
        found[:tenants] = np.where(limits.tenant_quota >= 0, chain[limits.tenant_quota], 0)
    return found


@compiled
def _kind_costs(use: Ints, divisor: Ints, prices: Ints, meter: Ints, per_watt: Ints, cost: Ints) -> None:
    """Fill cost [K, P]; `meter` [K, P] and `per_watt` [P] may be empty."""
    for kind in range(use.shape[0]):
        for row in range(use.shape[1]):
            taken = use[kind, row]
            if taken == 0:
                continue
            unit = divisor[row]
            if unit == 1:
                for pool in range(prices.shape[0]):
                    cost[kind, pool] += taken * prices[pool, row]
            else:
                for pool in range(prices.shape[0]):
                    if prices[pool, row]:
                        cost[kind, pool] += taken * prices[pool, row] // unit
        if meter.size:
            for pool in range(prices.shape[0]):
                if per_watt[pool]:
                    cost[kind, pool] += meter[kind, pool] * per_watt[pool] // 1000


def _wanted(choices: Choices) -> Ints:
    """Return [K]: milli-cards that eligible jobs ask for, by kind; it only ranks the sizes."""
    pairs = choices.pairs
    jobs = np.bincount(pairs.kind, weights=choices.groups.count[pairs.group], minlength=choices.kinds.tasks.size)
    wanted: Ints = (jobs * choices.kinds.milli_cards).astype(np.int64)
    return wanted


def _best_per_card(choices: Choices) -> int:
    """Return the most that anybody pays for a card-hour, rounded up."""
    pairs = choices.pairs
    if not pairs.worth.size:
        return 1
    cards = np.maximum(choices.kinds.milli_cards[pairs.kind], 1)
    return int((pairs.worth // cards).max() + 1) * MILLI_PER_CARD


def _sizes(sizes: Ints, wanted: Ints, most: int, *, from_one: bool) -> Ints:
    """Return the most wanted sizes, ascending, from 1 if so asked."""
    distinct, at = np.unique(sizes[wanted > 0], return_inverse=True)
    demand = np.bincount(at.reshape(-1), weights=wanted[wanted > 0], minlength=distinct.size)
    kept = distinct[np.argsort(-demand, kind="stable")[: most - from_one]]
    return np.union1d(kept, [1] if from_one else []).astype(np.int64)


def _domain_sizes(kinds: Kinds, wanted: Ints) -> Ints:
    """Return [D, 2]: cards of a task and tasks, of the most wanted gangs that must stay within a domain."""
    close = np.flatnonzero((kinds.level == WITHIN_DOMAIN) & (wanted > 0))
    size, at = np.unique(np.stack([kinds.cards[close], kinds.tasks[close]], axis=1), axis=0, return_inverse=True)
    demand = np.bincount(at.reshape(-1), weights=wanted[close], minlength=len(size))
    return size[np.sort(np.argsort(-demand, kind="stable")[:DOMAIN_BLOCKS_MAX])].reshape(-1, 2)


def _capacity(snapshot: Snapshot, blocks: Ints, slices: Ints, domains: Ints) -> Ints:
    pools, nodes = len(snapshot.pool_names), len(snapshot.node_names)
    free = np.where(snapshot.node_open, snapshot.node_free_cards, 0)
    split_free = np.where(snapshot.node_open[snapshot.split_node], snapshot.split_free_milli, 0)
    usable = free > 0
    usable[snapshot.split_node[split_free > 0]] = True
    by_node = np.column_stack([free[:, None] // blocks, free[:, None] * (MILLI_PER_CARD // slices)])
    beside = np.column_stack([snapshot.node_free_cpu_milli, snapshot.node_free_memory_mib]) * usable[:, None]
    total = np.zeros((pools, blocks.size + slices.size + len(domains) + 2), dtype=np.int64)
    upto_slices = blocks.size + slices.size
    np.add.at(total[:, :upto_slices], snapshot.node_pool, by_node)
    np.add.at(
        total[:, blocks.size : upto_slices], snapshot.node_pool[snapshot.split_node], split_free[:, None] // slices
    )
    np.add.at(total[:, -2:], snapshot.node_pool, beside)
    if domains.size and nodes:
        first = np.ones(nodes, dtype=bool)
        first[1:] = (np.diff(snapshot.node_pool) != 0) | (np.diff(snapshot.node_domain) != 0)
        starts = np.flatnonzero(first)
        by_domain = np.add.reduceat(free[:, None] // domains[:, 0], starts, axis=0)
        np.add.at(total[:, upto_slices:-2], snapshot.node_pool[starts], by_domain // domains[:, 1])
    return total
