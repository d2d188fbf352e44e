"""What gangs that no round has seen would pay at the prices of an earlier one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from scheduler.choices import Groups
from scheduler.forms import Kinds
from scheduler.judging import Verdict
from scheduler.limits import Limits
from scheduler.opening import row_names, sizes_named
from scheduler.policy import OpeningPrice
from scheduler.rows import PriceVector, costs_of, uses_of
from scheduler.snapshot import Ints, Snapshot

_MOST: Final = 2**62
_PPM: Final = 10**6


class Tariff:
    """The prices of one tier, by name as `opening.prices_of` gives them; what is not named costs nothing.

    The world need not be that of the round: rows of pools, hubs and quotas that are gone are left out.
    """

    def __init__(self, world: Snapshot, limits: Limits, prices: Iterable[OpeningPrice]) -> None:
        known = {(each.owner, each.row): min(each.price, _MOST) for each in prices}
        rows = {row for _, row in known}
        self._sizes = sizes_named(rows)
        names = row_names(*self._sizes)
        pools = [[known.get((pool, row), 0) for row in names] for pool in world.pool_names]
        self._prices = PriceVector(
            pool=np.array(pools, dtype=np.int64).reshape(len(pools), len(names)),
            power=_column(known, world.hub_names, "power"),
            quota=_column(known, world.quota_names, "quota"),
            guarantee=_column(known, world.quota_names, "guarantee"),
            tier_ppm=np.zeros(0, dtype=np.int64),
        )
        self._limits = limits

    def gains(self, verdict: Verdict, groups: Groups, kinds: Kinds, meter: Ints, quota_use: Ints) -> Ints:
        """Return [A]: worth less cost of each pair, micro-yuan per hour.

        Args:
            verdict: the pairs.
            groups: of the pairs.
            kinds: of the pairs.
            meter: [K, P] watts of one gang, or [0, 0] where no hub has a cap or pace.
            quota_use: [K, P] milli-TFLOPS of one gang, or [0, 0] where there are no quotas.
        """
        use = uses_of(kinds, *self._sizes)
        costs = costs_of(self._limits, use, meter, self._payable(use, meter, quota_use))
        gains = verdict.worth - costs.kind_pool[verdict.kind, verdict.pool]
        if quota_use.size:
            tenant = np.repeat(groups.tenant, np.diff(verdict.start))  # -1, none, is the last row
            net = costs.tenant[tenant, self._limits.pool_hub[verdict.pool]]
            gains -= quota_use[verdict.kind, verdict.pool] * net // _PPM
        return gains

    def _payable(self, use: Ints, meter: Ints, quota_use: Ints) -> PriceVector:
        """Return the prices, cut where a gang larger than any before would pay more than sums can hold."""
        prices = self._prices
        most = _MOST // (use.shape[1] + 2)  # far beyond what anything is worth
        return PriceVector(
            pool=np.minimum(prices.pool, most // np.maximum(use.max(axis=0, initial=1), 1)),
            power=np.minimum(prices.power, most // max(int(meter.max(initial=1)), 1)),
            quota=np.minimum(prices.quota, most // max(8 * int(quota_use.max(initial=1)), 1)),
            guarantee=np.minimum(prices.guarantee, most // max(8 * int(quota_use.max(initial=1)), 1)),
            tier_ppm=prices.tier_ppm,
        )


def _column(known: dict[tuple[str, str], int], owners: tuple[str, ...], row: str) -> Ints:
    return np.array([known.get((owner, row), 0) for owner in owners], dtype=np.int64)
