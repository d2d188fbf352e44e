"""Prices from round to round: what the last plan learned, the next one starts from.

They travel in `Policy.opening_prices`, by the name of the pool: a stored policy replays a warm round bit for bit, and
pools may come and go in between. Prices of another world are only a poor start: the bound is evaluated anew.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.plan import Plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.prices import Rows
from scheduler.snapshot import Ints, Snapshot

_LARGEST: Final = 2**62


def prices_of(snapshot: Snapshot, plan: Plan) -> tuple[OpeningPrice, ...]:
    """Return the prices of a plan of this snapshot, for the policy of a later round."""
    prices = plan.prices
    return tuple(
        OpeningPrice(name, tuple(zip(prices.block_cards, by_block, strict=True)), core, gib)
        for name, by_block, core, gib in zip(
            snapshot.pool_names,
            prices.cards_micro_yuan_per_block_hour,
            prices.cpu_micro_yuan_per_core_hour,
            prices.memory_micro_yuan_per_gib_hour,
            strict=True,
        )
    )


def start(snapshot: Snapshot, policy: Policy, rows: Rows) -> Ints | None:
    """Return the policy's opening prices [P, R] in the rows of this instance; None when it has none for these pools.

    A price of a block size that no job asks for any more is dropped: the descent finds out what it was good for.
    """
    known = {price.pool_name: price for price in policy.opening_prices}
    if not any(name in known for name in snapshot.pool_names):
        return None
    column = {size: position for position, size in enumerate(rows.blocks.tolist())}
    prices = np.zeros(rows.capacity.shape, dtype=np.int64)
    for pool, name in enumerate(snapshot.pool_names):
        if name not in known:
            continue
        for size, price in known[name].blocks:
            if size in column:
                prices[pool, column[size]] = min(price, _LARGEST)
        prices[pool, rows.blocks.size] = min(known[name].cpu_per_core, _LARGEST)
        prices[pool, rows.blocks.size + 1] = min(known[name].memory_per_gib, _LARGEST)
    return np.minimum(prices, rows.price_max)
