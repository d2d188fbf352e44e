"""The proven bound of one tier, and the search for the prices at which it is lowest.

With prices on all rows every group takes its own best pair:

    L(prices) = sum of count * max(0, max over the group's pairs of worth - cost)  +  sum of price * capacity  +  rest

is at least the objective of every plan. Costs are integers rounded down and capacity terms rounded up, so L is an exact
integer, and a bound. Worth of the tiers above counts at a price of its own, and so does serving a guarantee: then L
bounds this tier among the plans that are as good above. The search runs in floating point; only integer prices
evaluated exactly count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.choices import Choices
from scheduler.fields import TIERS_MAX
from scheduler.limits import NO_LIMIT
from scheduler.rows import PPM, PriceVector, Rows, costs_at
from scheduler.scan import Ask, Floats, Part
from scheduler.snapshot import Ints, Votes
from scheduler.workers import Team

GUARANTEE: Final = -1
"""The tier in which guaranteed quotas are served; its objective is in milli-TFLOPS, not in money."""


@dataclass(frozen=True, eq=False)
class Aim:
    """Which tier is bounded, and what plans as good above have reached."""

    tier: int  # job_tier, or GUARANTEE
    above: tuple[int, ...]  # job tiers above
    worth_above: tuple[int, ...]  # what they reached, micro-yuan per hour
    served: Ints  # [Q] guaranteed milli-TFLOPS in use; zeros while the guarantee itself is the aim

    def expecting(self, worth: Mapping[int, int]) -> Aim:
        """Return the aim with other levels of some tiers above: what a plan to be made is expected to reach."""
        levels = zip(self.above, self.worth_above, strict=True)
        return replace(self, worth_above=tuple(worth.get(tier, reached) for tier, reached in levels))

    def same_as(self, other: Aim) -> bool:
        """Return whether both bound the same among the same plans."""
        levels = (self.tier, self.above, self.worth_above) == (other.tier, other.above, other.worth_above)
        return levels and np.array_equal(self.served, other.served)


@dataclass(frozen=True, eq=False)
class Scan:
    """L at some prices, and what every group would choose."""

    bound: int
    best: Ints  # [G] pair; -1: stays out
    surplus: Ints  # [G]
    load: Floats  # as `PriceVector.flat`; it steers the search and decides nothing


class Relaxation:
    """L as a function of prices."""

    def __init__(self, choices: Choices, rows: Rows, team: Team) -> None:
        self.choices = choices
        self.rows = rows
        self._team = team
        self._capacity: list[int] = rows.capacity.T.reshape(-1).tolist()
        most = int(choices.pairs.worth.max(initial=1))
        self._tier_max = min(10**12, 2**56 // (most // PPM + 1))

    def zero(self, aim: Aim) -> PriceVector:
        """Return prices of 0."""
        hubs, quotas = self.rows.hub_free_watts.size, self.rows.headroom.size
        sizes = (hubs, quotas, quotas, len(aim.above))
        return PriceVector(np.zeros_like(self.rows.capacity), *(np.zeros(size, dtype=np.int64) for size in sizes))

    def largest(self, aim: Aim) -> Ints:
        """Return the largest price of each row, flat; 0 where there is no row."""
        rows = self.rows
        guarantee_max = PPM if aim.tier == GUARANTEE else rows.quota_price_max
        return PriceVector(
            np.broadcast_to(rows.price_max, rows.capacity.shape),
            np.where(rows.hub_free_watts < NO_LIMIT, rows.power_price_max, 0),
            np.where(rows.quota_room < NO_LIMIT, rows.quota_price_max, 0),
            np.where(rows.headroom > 0, guarantee_max, 0),
            np.full(len(aim.above), self._tier_max, dtype=np.int64),
        ).flat()

    def capacity(self, aim: Aim) -> Floats:
        """Return the right sides of all rows, flat; those of >= rows negative."""
        rows = self.rows
        sides = (
            rows.capacity.reshape(-1),
            np.where(rows.hub_free_watts < NO_LIMIT, rows.hub_free_watts, 0),
            np.where(rows.quota_room < NO_LIMIT, rows.quota_room, 0),
            -(rows.headroom if aim.tier == GUARANTEE else aim.served),
            np.array([-float(worth) for worth in aim.worth_above], dtype=np.float64),
        )
        return np.concatenate([side.astype(np.float64) for side in sides])

    def scan(self, aim: Aim, prices: PriceVector) -> Scan:
        """Evaluate L exactly."""
        factor = np.zeros(TIERS_MAX, dtype=np.int64)
        if aim.tier != GUARANTEE:
            factor[aim.tier] = PPM
        factor[list(aim.above)] = prices.tier_ppm
        parts = self._team.scan(Ask(costs_at(self.choices, self.rows, prices), factor))
        bound = sum(part.total for part in parts) + self.rent(prices) + self.rest(aim, prices)
        return Scan(
            bound=bound,
            best=np.concatenate([part.best for part in parts]),
            surplus=np.concatenate([part.surplus for part in parts]),
            load=self._load(aim, parts),
        )

    def rent(self, prices: PriceVector) -> int:
        """Return what all capacity costs at these prices, each row rounded up."""
        rows, pools = self.rows, prices.pool.shape[0]
        by_column: list[int] = prices.pool.T.reshape(-1).tolist()
        plain = (rows.columns - 2) * pools
        rent: int = sum(map(mul, by_column[:plain], self._capacity[:plain]))
        for column in (rows.columns - 2, rows.columns - 1):
            part, unit = slice(column * pools, (column + 1) * pools), int(rows.divisor[column])
            for price, units in zip(by_column[part], self._capacity[part], strict=True):
                rent += -(-price * units // unit)
        rent += sum(-(-p * w // 1000) for p, w in zip(prices.power.tolist(), rows.hub_free_watts.tolist(), strict=True))
        rent += sum(-(-p * q // PPM) for p, q in zip(prices.quota.tolist(), rows.quota_room.tolist(), strict=True))
        return rent

    def rest(self, aim: Aim, prices: PriceVector) -> int:
        """Return the terms of L that belong to no row of capacity: guarantees and the tiers above."""
        paid: list[int] = prices.guarantee.tolist()
        headroom: list[int] = self.rows.headroom.tolist()
        served: list[int] = aim.served.tolist()
        if aim.tier == GUARANTEE:
            return sum(-(-h * (PPM - p) // PPM) for p, h in zip(paid, headroom, strict=True))
        rest = -sum(p * level // PPM for p, level in zip(paid, served, strict=True))
        factors: list[int] = prices.tier_ppm.tolist()
        return rest - sum(ppm * worth // PPM for ppm, worth in zip(factors, aim.worth_above, strict=True))

    def _load(self, aim: Aim, parts: Sequence[Part]) -> Floats:
        pool_load, power_load, tenant_load, tier_load = (
            sum((getattr(part, name) for part in parts[1:]), getattr(parts[0], name))
            for name in ("pool_load", "power_load", "tenant_load", "tier_load")
        )
        limits = self.choices.limits
        quota_load = np.zeros(self.rows.headroom.size)
        counted = limits.tenant_quota >= 0
        np.add.at(quota_load, limits.tenant_quota[counted], tenant_load[:-1][counted])
        for quota in range(quota_load.size - 1, -1, -1):  # children come after their parents
            if limits.parent[quota] >= 0:
                quota_load[limits.parent[quota]] += quota_load[quota]
        above = np.array([tier_load[tier] for tier in aim.above])
        return np.concatenate([pool_load.reshape(-1), power_load, quota_load, -quota_load, -above])


class Search:
    """Descent on L by scaled subgradients (Adam's rule); keeps the best integer prices seen. Deterministic.

    Every price has a step of its own: in proportion to the price, divided by the recent size of its subgradient, and
    shrinking with every iteration. Rows of unlike units and pools of unlike scarcity then settle equally fast.
    """

    _STEP: Final = 0.5
    _DECAY: Final = 0.98
    _STEP_MIN: Final = 1e-4
    _MOMENTUM: Final = 0.9
    _MEMORY: Final = 0.9
    _COOL: Final = 150  # where the steps begin that start from prices found on a sample: small ones
    _COOL_SETTLED: Final = 180  # those of an earlier round are nearer to the best
    _SHARE_OF_TYPICAL: Final = 0.1  # a price of 0 moves as if it were this part of a typical one

    def __init__(
        self, relaxation: Relaxation, aim: Aim, start: PriceVector, votes: Votes | None, *, settled: bool = False
    ) -> None:
        self._relaxation = relaxation
        self.aim = aim
        self._capacity = relaxation.capacity(aim)
        self._price_max = relaxation.largest(aim)
        self.best = start.like(np.minimum(start.flat(), self._price_max))
        self.best_scan = relaxation.scan(aim, self.best)
        self._before = self.best
        self._at = self.best.flat().astype(np.float64)
        self._here = self.best_scan
        self._mean = np.zeros_like(self._at)
        self._square = np.zeros_like(self._at)
        self._iterations = 0
        self._cooled = self._COOL_SETTLED if settled else 0
        self.votes = votes
        self._mine = relaxation.choices.groups.tier == aim.tier
        self._least_move = self._typical_prices() * self._SHARE_OF_TYPICAL

    def descend(self, iterations: int) -> bool:
        """Take some steps; return whether there is any sense in taking more.

        `votes` counts how often each group of this tier chose each pair, earlier calls at half weight: prices jump
        about, but the average of the choices comes close to the fractional optimum, and constructions follow it.
        """
        if self.votes is not None:
            self._halve_votes(self.votes)
        scale = np.maximum(np.abs(self._capacity), 1)
        for _ in range(iterations):
            self._iterations += 1
            slope = (self._capacity - self._here.load) / scale
            self._mean += (1 - self._MOMENTUM) * (slope - self._mean)
            self._square += (1 - self._MEMORY) * (slope**2 - self._square)
            steady = self._mean / (1 - self._MOMENTUM**self._iterations)
            size = np.sqrt(self._square / (1 - self._MEMORY**self._iterations)) + 1e-3
            move = self._step() * np.maximum(self._at, self._least_move) * steady / size
            self._at = np.clip(self._at - move, 0, self._price_max)
            prices = self.best.like(np.rint(self._at).astype(np.int64))
            self._here = self._relaxation.scan(self.aim, prices)
            if self.votes is not None:
                chosen = self._here.best[self._mine]
                self.votes[chosen[chosen >= 0]] += 1
            if self._here.bound < self.best_scan.bound:
                self.best, self.best_scan = prices, self._here
        return self._step() > self._STEP_MIN

    def offer(self, prices: PriceVector) -> None:
        """Take prices found elsewhere if L is lower there."""
        prices = prices.like(np.clip(prices.flat(), 0, self._price_max))
        found = self._relaxation.scan(self.aim, prices)
        if found.bound < self.best_scan.bound:
            self.best, self.best_scan = prices, found

    def settle_at(self, prices: PriceVector) -> None:
        """Go on from prices that are nearly the best: with small steps, and the better of these and the best known."""
        self.offer(prices)
        self._at = self.best.flat().astype(np.float64)
        self._here = self.best_scan
        self._mean, self._square = np.zeros_like(self._at), np.zeros_like(self._at)
        self._iterations, self._cooled = 0, self._COOL

    def aim_at(self, aim: Aim) -> None:
        """Go on with the levels of another plan: the bound is evaluated anew, at these prices and the best before."""
        if self.aim.same_as(aim):
            self._before = self.best
            return
        self.aim = aim
        self._capacity = self._relaxation.capacity(aim)
        before, self._before = self._before, self.best
        self.best_scan = self._relaxation.scan(aim, self.best)
        self.offer(before)  # of the aim before the last one, which may be this one again

    def _halve_votes(self, votes: Votes) -> None:
        start = self._relaxation.choices.pairs.start
        mine = np.flatnonzero(self._mine)
        if mine.size:  # groups are sorted by tier
            votes[start[mine[0]] : start[mine[-1] + 1]] >>= 1

    def _step(self) -> float:
        return self._STEP * float(self._DECAY ** (self._cooled + self._iterations))

    def _typical_prices(self) -> NDArray[np.float64]:
        """Return, flat, about what one unit of each row is worth, so that one step suits rows of unlike units."""
        choices, rows = self._relaxation.choices, self._relaxation.rows
        pairs, kinds, jobs = choices.pairs, choices.kinds, choices.groups.count
        some = np.diff(pairs.start) > 0
        first = pairs.start[:-1][some]
        counted = jobs[some].astype(np.float64)
        kind, pool = pairs.kind[first], pairs.pool[first]
        use = choices.limits.pool_milli_tflops[pool] * (kinds.milli_cards[kind] / 1000.0)
        worth = float(np.dot(use if self.aim.tier == GUARANTEE else pairs.worth[first], counted))
        of_kind = np.bincount(kind, weights=counted, minlength=rows.use.shape[0])
        demand = of_kind @ rows.use / rows.divisor
        watts = float(np.dot(rows.meter[kind, pool], counted)) / 1000 if rows.meter.size else 0.0
        tflops = float(np.dot(use, counted)) / PPM
        quotas = rows.headroom.size
        typical = [
            np.broadcast_to(_ratio(worth, demand), rows.capacity.shape).reshape(-1),
            np.full(rows.hub_free_watts.size, _ratio(worth, np.array(watts))),
            np.full(2 * quotas, _ratio(worth, np.array(tflops))),
            np.full(len(self.aim.above), float(PPM)),
        ]
        return np.concatenate(typical)


def _ratio(worth: float, demand: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(demand > 0, worth / np.maximum(demand, 1), 0.0)
