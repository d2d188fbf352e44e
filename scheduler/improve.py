"""Improve a plan where the prices say that most is lost: free some pools, and let the solver fill them again.

The gap between bound and plan splits over pools: idle capacity at its price, and for each job the surplus that it gives
up by being refused or by running in a pool or form that is not its best. A neighbourhood is a pool with a large loss
and pools that the same jobs would take; whatever is outside stays as it is. A small instance is one neighbourhood.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler import linear
from scheduler.choices import Choices
from scheduler.compiled import compiled
from scheduler.fields import TIERS_MAX, WITHIN_POOL
from scheduler.greedy import fill
from scheduler.ground import Ground, Terrain
from scheduler.policy import Policy
from scheduler.refill import Filling, Found, Part, refill
from scheduler.rows import PPM, Costs, PriceVector, Rows, costs_at
from scheduler.scan import Floats, scaled_up
from scheduler.search import GUARANTEE, Search
from scheduler.snapshot import Bools, Ints
from scheduler.spots import Lines, spot_variables
from scheduler.tiers import standing, tiers_of

_POOLS_MAX: Final = 5
_LINEAR_PAIRS_MAX: Final = 20_000


class Improver:
    """Proposes better plans, one step at a time. What a step does depends on the steps before it alone."""

    def __init__(self, choices: Choices, rows: Rows, terrain: Terrain, policy: Policy) -> None:
        self._choices = choices
        self._rows = rows
        self._terrain = terrain
        self._policy = policy
        self._tiers = tiers_of(choices)
        self._random = np.random.Generator(np.random.PCG64(policy.seed))
        self._group = choices.pairs.group
        self._milli = choices.kinds.milli_cards[choices.pairs.kind]
        self._pairs = int(choices.pairs.worth.size)
        self._weariness = np.zeros(len(choices.snapshot.pool_names))  # steps in vain, by pool
        self._solved = self._pairs == 0
        self._steps = 0
        self._gain: _Gain | None = None

    def tighten(self, *searches: Search) -> bool:
        """Offer each search the best prices there are, if the program for them is small; return whether it was."""
        if self._pairs > _LINEAR_PAIRS_MAX:
            return False
        for search in searches:
            found = linear.duals(self._choices, self._rows, search.aim)
            if found is not None:
                search.offer(found)
        return True

    def step(self, best: Ground, search: Search) -> Ground | None:
        """Return another plan, better or not, with one part solved again; None when no step can help any more."""
        if self._solved:
            return None
        self._steps += 1
        if self._gain is None or not self._gain.is_of(search):
            self._gain = _Gain(self._choices, self._rows, search)
        pools = self._choose_pools(best, self._gain)
        part, cleared, present = self._part(best, self._gain, pools)
        policy = replace(self._policy, seed=(self._policy.seed + self._steps) % 2**31)
        filling = refill(self._choices, self._rows, policy, part, present)
        self._weariness[list(pools)] += 1
        if filling.found is Found.NOTHING:
            return best
        whole = part.free.size == self._pairs and part.exact
        self._solved = whole and filling.found is Found.BEST
        self._place(cleared, filling)
        if self._key(cleared) > self._key(best):
            self._weariness[list(pools)] = 0
        return cleared

    def _key(self, ground: Ground) -> tuple[int, ...]:
        return standing(self._choices, self._tiers, ground).key

    def _place(self, ground: Ground, filling: Filling) -> None:
        """Put what the solver wants to run on nodes, and then what still fits."""
        if filling.lines is not None:
            ground.place_at(filling.lines.lines, filling.lines.entries)
        else:
            pair, gangs = filling.gangs.T
            kind, kinds = self._choices.pairs.kind[pair], self._choices.kinds
            # large blocks first: a small task put early would break a block that a large one needs
            unit = kinds.of_unit(kinds.cards)[kind]
            whole = kinds.tasks[kind] * kinds.cards[kind]
            block = np.where(kinds.level[kind] == WITHIN_POOL, unit, whole)
            order = np.lexsort((pair, -kinds.tasks[kind], -block, kinds.share[kind] > 0))
            ground.place(self._group[pair][order], pair[order], gangs[order])
        fill(ground)

    def _choose_pools(self, best: Ground, gain: _Gain) -> tuple[int, ...]:
        """Choose the pool with the largest loss (halved for each step in vain) and some that share its jobs."""
        pools = self._weariness.size
        if self._steps == 1 and self._pairs <= self._policy.solver_variables_max:
            return tuple(range(pools))  # once: what the whole did not yield, smaller parts with named nodes may
        losses = self._losses(best, gain) * 0.5**self._weariness
        first = int(np.argmax(losses))
        shared = gain.shared_with(first)
        shared[first] = 0
        shared *= self._random.random(pools)  # not the same company every time
        others = np.argsort(-shared, kind="stable")[: int(self._random.integers(0, _POOLS_MAX))]
        return (first, *sorted(int(pool) for pool in others if shared[pool] > 0))

    def _losses(self, best: Ground, gain: _Gain) -> Floats:
        """Return [P]: what the bound counts and the plan does not earn, micro-yuan per hour."""
        pairs, rows = self._choices.pairs, self._rows
        group, pair, gangs = best.lines[:, 0], best.lines[:, 1], best.lines[:, 2]
        pool = pairs.pool[pair]
        idle = rows.capacity.copy()
        np.subtract.at(idle, pool, rows.use[pairs.kind[pair]] * gangs[:, None])
        rent: Floats = (idle * gain.prices.pool / rows.divisor).sum(axis=1)
        lost = np.zeros(self._weariness.size)
        np.add.at(lost, pool, (gain.surplus[group] - gain.of_pair[pair]).astype(np.float64) * gangs)
        refused = np.flatnonzero((best.left > 0) & (gain.best >= 0))
        surplus = gain.surplus[refused].astype(np.float64)
        np.add.at(lost, pairs.pool[gain.best[refused]], best.left[refused] * surplus)
        return lost + rent

    def _part(self, best: Ground, gain: _Gain, pools: tuple[int, ...]) -> tuple[Part, Ground, Lines]:
        """Free the pairs of these pools whose present state the prices are least sure of.

        Return the part, the plan without anything in its pools, and what was there.
        """
        pairs = self._choices.pairs
        inside = np.zeros(self._weariness.size, dtype=bool)
        inside[list(pools)] = True
        there = np.flatnonzero(inside[pairs.pool[best.lines[:, 1]]])
        present = _lines_at(best, there)
        now = np.zeros(self._pairs, dtype=np.int64)
        np.add.at(now, present.lines[:, 1], present.lines[:, 2])
        cleared = best.copy()
        cleared.remove(pools)
        asked = np.flatnonzero(inside[pairs.pool] & (cleared.left[self._group] > 0))
        sure = gain.certainty(asked, now[asked] > 0) / self._milli[asked] * self._random.uniform(0.5, 1.5, asked.size)
        free = asked[np.sort(np.argsort(sure, kind="stable")[: self._policy.solver_variables_max])]
        kept = now.copy()
        kept[free] = 0
        held = np.flatnonzero(kept)
        # what stays for certain is not there to be handed out, nor are its watts and its part of quotas
        fixed = best.copy()
        fixed.remove_lines(there[kept[present.lines[:, 1]] == 0])
        kinds = np.unique(np.stack([pairs.pool[[*free, *held]], pairs.kind[[*free, *held]]]), axis=1)
        variables = free.size + sum(
            spot_variables(self._choices, pool, kinds[1, kinds[0] == pool].tolist()) for pool in pools
        )
        part = Part(
            pools=pools,
            free=free,
            now=now[free],
            held=np.stack([held, kept[held]], axis=1),
            left=fixed.left,
            watts=fixed.watts,
            account=fixed.account,
            exact=variables <= 2 * self._policy.solver_variables_max,
        )
        return part, cleared, present


class _Gain:
    """What groups gain by their pairs at the best prices known."""

    def __init__(self, choices: Choices, rows: Rows, search: Search) -> None:
        self.prices: PriceVector = search.best
        self.best = search.best_scan.best  # [G]
        self.surplus = search.best_scan.surplus  # [G]
        self._choices = choices
        factor = np.zeros(TIERS_MAX, dtype=np.int64)
        if search.aim.tier != GUARANTEE:
            factor[search.aim.tier] = PPM
        factor[list(search.aim.above)] = search.best.tier_ppm
        self.of_pair: Ints = np.empty(choices.pairs.worth.size, dtype=np.int64)
        costs: Costs = costs_at(choices, rows, search.best)
        pairs, groups, limits = choices.pairs, choices.groups, choices.limits
        _gains(
            pairs.start, pairs.pool, pairs.kind, pairs.worth, groups.tier, groups.tenant, choices.kinds.milli_cards,
            limits.pool_hub, limits.pool_milli_tflops, costs.kind_pool, costs.tenant, factor, self.of_pair,
        )  # fmt: skip

    def is_of(self, search: Search) -> bool:
        """Return whether these are the gains at the best prices of the search."""
        return self.prices is search.best

    def certainty(self, pair: Ints, runs: Bools) -> Floats:
        """Return how much the prices prefer the present state of each pair, micro-yuan per hour; at least 0."""
        group = np.searchsorted(self._choices.pairs.start, pair, side="right") - 1
        here = self.of_pair[pair]
        wanted = self.best[group] == pair
        # of the pair that prices prefer, the alternative is at least to refuse; of another, the preferred one
        prefer = np.where(wanted, here, here - self.surplus[group]).astype(np.float64)
        return np.maximum(np.where(runs, prefer, -prefer), 0.0)

    def shared_with(self, pool: int) -> Floats:
        """Return [P]: how many cards of jobs that may run in `pool` would as soon run in each other pool."""
        choices, pairs = self._choices, self._choices.pairs
        group = pairs.group
        taker = np.zeros(choices.groups.count.size, dtype=bool)
        taker[group[pairs.pool == pool]] = True
        theirs = np.flatnonzero(taker[group])
        surplus = self.surplus[group[theirs]]
        close = theirs[self.of_pair[theirs] * 20 >= surplus * 19 - pairs.worth[theirs]]
        jobs = choices.groups.count[group[close]]
        cards = jobs * choices.kinds.milli_cards[pairs.kind[close]] / 1000
        shared: Floats = np.bincount(pairs.pool[close], cards, len(choices.snapshot.pool_names)).astype(np.float64)
        return shared


def _lines_at(ground: Ground, at: Ints) -> Lines:
    """Return some lines of a plan with their entries."""
    first = ground.lines[:, 3]
    end = np.append(first[1:], len(ground.entries))
    size = (end - first)[at]
    start = np.cumsum(size) - size
    picked = np.repeat(first[at] - start, size) + np.arange(int(size.sum()))
    lines = ground.lines[at].copy()
    lines[:, 3] = start
    return Lines(lines, ground.entries[picked])


@compiled
def _gains(
    start: Ints, pool: NDArray[np.int32], kind: NDArray[np.int32], worth: Ints, tier: Ints, tenant: Ints,
    milli_cards: Ints, pool_hub: Ints, pool_milli_tflops: Ints, cost: Ints, tenant_price: Ints, factor_ppm: Ints,
    gain: Ints,
) -> None:  # fmt: skip
    """Fill the gain of each pair: what its worth counts less what it pays."""
    for g in range(start.size - 1):
        for at in range(start[g], start[g + 1]):
            k, p = kind[at], pool[at]
            paid = cost[k, p]
            price = tenant_price[tenant[g], pool_hub[p]]
            if price != 0:
                paid += -(-milli_cards[k] * pool_milli_tflops[p] // 1000) * price // PPM
            gain[at] = scaled_up(worth[at], factor_ppm[tier[g]]) - paid
