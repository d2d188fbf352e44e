"""What one gang pays at a plan's prices, row by row: for explanations, quotes and the fast placer's doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from scheduler.fields import MILLI_PER_CARD, WITHIN_DOMAIN
from scheduler.forms import Kinds
from scheduler.limits import Limits
from scheduler.plan import Prices


@dataclass(frozen=True)
class CostSplit:
    """Micro-yuan per hour of one gang, by what it takes; each part rounded down."""

    blocks: int  # cards, dearer in large free blocks
    slices: int
    domains: int
    cpu: int
    memory: int
    power: int
    quota: int  # may be negative: serving a guarantee is paid for

    @property
    def total(self) -> int:
        """The whole cost."""
        return sum(astuple(self))


def cost_split(prices: Prices, kinds: Kinds, limits: Limits, kind: int, pool: int, tenant: int) -> CostSplit:
    """Return what one gang of a kind pays in a pool; `tenant` -1 for none."""
    tasks, cards, share = (int(column[kind]) for column in (kinds.tasks, kinds.cards, kinds.share))
    close = int(kinds.level[kind]) == WITHIN_DOMAIN
    units, unit_cards = int(kinds.units[kind]), int(kinds.of_unit(kinds.cards)[kind])
    milli, hub = int(kinds.milli_cards[kind]), int(limits.pool_hub[pool])
    cpu = tasks * int(kinds.cpu[kind]) * prices.cpu_micro_yuan_per_core_hour[pool]
    memory = tasks * int(kinds.memory[kind]) * prices.memory_micro_yuan_per_gib_hour[pool]
    card_watts = -(-milli * int(limits.pool_watts[pool]) // 1000)
    watts = -(-card_watts * int(limits.pool_pue_ppm[pool]) // 10**6)
    per_kwh = prices.power_micro_yuan_per_kwh[hub] if prices.power_micro_yuan_per_kwh else 0
    use = -(-milli * int(limits.pool_milli_tflops[pool]) // 1000)

    def sized(sizes: Sequence[object], table: tuple[tuple[int, ...], ...], taken: list[int]) -> int:
        return sum(price * amount for price, amount in zip(table[pool], taken, strict=True)) if sizes else 0

    return CostSplit(
        blocks=0
        if share
        else sized(
            prices.block_cards,
            prices.cards_micro_yuan_per_block_hour,
            [units * (unit_cards // size) for size in prices.block_cards],
        ),
        slices=sized(
            prices.slice_milli,
            prices.slices_micro_yuan_per_slice_hour,
            [tasks * (share // d if share else cards * (MILLI_PER_CARD // d)) for d in prices.slice_milli],
        ),
        domains=0
        if share
        else sized(
            prices.domain_blocks,
            prices.domains_micro_yuan_per_hour,
            [
                units * (unit_cards // b) // n if close else units * (unit_cards // b // n)
                for b, n in prices.domain_blocks
            ],
        ),
        cpu=cpu // 1000,
        memory=memory // 1024,
        power=watts * per_kwh // 1000,
        quota=use * _chain_price(prices, limits, tenant, hub) // 10**6,
    )


def _chain_price(prices: Prices, limits: Limits, tenant: int, hub: int) -> int:
    quota = int(limits.tenant_quota[tenant, hub]) if tenant >= 0 and prices.quota_micro_yuan_per_pflops_hour else -1
    net = 0
    while quota >= 0:
        net += prices.quota_micro_yuan_per_pflops_hour[quota] - prices.guarantee_micro_yuan_per_pflops_hour[quota]
        quota = int(limits.parent[quota])
    return net
