"""Improve a plan where the prices say that most is lost: free some pools, and let the solver fill them again.

The gap between bound and plan splits over pools: idle capacity at its price, and for each job the surplus that it gives
up by being refused or by running in a pool that is not its best. A neighbourhood is a pool with a large loss and pools
that the same jobs would take; whatever is outside stays as it is. A small instance is one neighbourhood.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from scheduler import linear
from scheduler.choices import Choices
from scheduler.greedy import Admitted, Answer, fill, pack
from scheduler.policy import Policy
from scheduler.prices import Floats, Rows, Search, gang_cards, gang_costs
from scheduler.refill import Found, Pair, Part, refill
from scheduler.snapshot import Ints

_POOLS_MAX: Final = 5
_LINEAR_PAIRS_MAX: Final = 20_000


class Improver:
    """Proposes better plans, one step at a time. What a step does depends on the steps before it alone."""

    def __init__(self, choices: Choices, rows: Rows, policy: Policy) -> None:
        self._choices = choices
        self._rows = rows
        self._policy = policy
        self._random = np.random.Generator(np.random.PCG64(policy.seed))
        self._cards = gang_cards(choices)
        self._kinds = _task_kinds(choices)
        self._pairs = int(np.count_nonzero(choices.worth))
        self._weariness = np.zeros(choices.worth.shape[1])  # steps in vain, by pool
        self._solved = self._pairs == 0
        self._steps = 0

    def tighten(self, search: Search) -> bool:
        """Try the best prices there are, if the program for them is small; return whether it was."""
        if not 0 < self._pairs <= _LINEAR_PAIRS_MAX:
            return False
        found = linear.duals(self._choices, self._rows)
        if found is not None:
            search.offer(found)
        return True

    def step(self, best: Answer, search: Search) -> Answer | None:
        """Return another plan, better or not, with one part solved again; None when no step can help any more."""
        if self._solved:
            return None
        self._steps += 1
        gain = _Gain(self._choices, self._rows, search)
        pools = self._choose_pools(best, gain)
        part = self._part(best, gain, pools)
        answer = best.copy()
        before = answer.clear(self._choices, pools)
        policy = replace(self._policy, seed=(self._policy.seed + self._steps) % 2**31)
        filling = refill(self._choices, self._rows, policy, part, self._kinds, before)
        if filling.found is Found.NOTHING:
            self._weariness[list(pools)] += 1
            return best
        if filling.batches is not None:
            for batch in filling.batches:
                answer.put_at(self._choices, batch)
        else:
            pack(self._choices, answer, (Admitted(*pair, gangs) for pair, gangs in sorted(filling.gangs.items())))
        fill(self._choices, answer)
        self._weariness[list(pools)] += 1
        if answer.objective > best.objective:
            self._weariness[list(pools)] = 0
        whole = len(part.free_pairs) == self._pairs and part.exact
        self._solved = whole and filling.found is Found.BEST
        return answer

    def _choose_pools(self, best: Answer, gain: _Gain) -> tuple[int, ...]:
        """Choose the pool with the largest loss (halved for each step in vain) and some that share its jobs."""
        pools = self._choices.worth.shape[1]
        if self._steps == 1 and self._pairs <= self._policy.solver_variables_max:
            return tuple(range(pools))  # once: what the whole did not yield, smaller parts with named nodes may
        losses = self._losses(best, gain) * 0.5**self._weariness
        first = int(np.argmax(losses))
        shared = gain.shared_with(first)
        shared[first] = 0
        shared *= self._random.random(pools)  # not the same company every time
        others = np.argsort(-shared, kind="stable")[: int(self._random.integers(0, _POOLS_MAX))]
        return (first, *sorted(int(pool) for pool in others if shared[pool] > 0))

    def _losses(self, best: Answer, gain: _Gain) -> Floats:
        """Return [P]: worth that the bound counts and the plan does not earn, micro-yuan per hour."""
        choices, rows = self._choices, self._rows
        idle = rows.capacity.copy()
        lost = np.zeros(choices.worth.shape[1])
        for batch in best.batches:
            idle[batch.pool] -= rows.use[choices.shape[batch.group]] * batch.gangs
            regret = gain.best[batch.group] - gain.of(batch.group, batch.pool)
            lost[batch.pool] += float(regret) * batch.gangs
        refused = np.array(best.left, dtype=np.int64)
        np.add.at(lost, gain.best_pool, (refused * gain.best.astype(np.float64)))
        rent: Floats = (idle * gain.prices / rows.divisor).sum(axis=1)
        return lost + rent

    def _part(self, best: Answer, gain: _Gain, pools: tuple[int, ...]) -> Part:
        """Free the pairs of these pools whose present state the prices are least sure of."""
        choices = self._choices
        now: dict[Pair, int] = {}
        inside = set(pools)
        for batch in best.batches:
            if batch.pool in inside:
                key = (batch.group, batch.pool)
                now[key] = now.get(key, 0) + batch.gangs
        left = np.array(best.left, dtype=np.int64)
        for (group, _), gangs in now.items():
            left[group] += gangs
        columns = list(pools)
        at, where = np.nonzero((choices.worth[:, columns] > 0) & (left > 0)[:, None])
        pair_pool = np.array(columns, dtype=np.int64)[where]
        runs = np.array(
            [now.get(pair, 0) > 0 for pair in zip(at.tolist(), pair_pool.tolist(), strict=True)], dtype=bool
        )
        sure = gain.certainty(at, pair_pool, runs) / self._cards[at] * self._random.uniform(0.5, 1.5, at.size)
        kept = np.sort(np.argsort(sure, kind="stable")[: self._policy.solver_variables_max])
        free = tuple(zip(at[kept].tolist(), pair_pool[kept].tolist(), strict=True))
        freed = set(free)
        # what stays for certain is not there to be handed out
        for (group, pool), gangs in now.items():
            if (group, pool) not in freed:
                left[group] -= gangs
        return Part(
            pools=pools,
            free_pairs=free,
            now=now,
            left={group: int(left[group]) for group, _ in free},
            exact=self._is_small(pools, free, now),
        )

    def _is_small(self, pools: tuple[int, ...], free: tuple[Pair, ...], now: dict[Pair, int]) -> bool:
        """Return whether naming nodes keeps the model within its size."""
        snapshot = self._choices.snapshot
        variables = len(free)
        for pool in pools:
            kinds = {int(self._kinds[self._choices.shape[group]]) for group, at in (*free, *now) if at == pool}
            low, high = np.searchsorted(snapshot.node_pool, [pool, pool + 1])
            usable = snapshot.node_open[low:high] & (snapshot.node_free_cards[low:high] > 0)
            variables += len(kinds) * int(np.count_nonzero(usable))
        return variables <= 2 * self._policy.solver_variables_max


class _Gain:
    """What groups gain in pools at the best prices known."""

    def __init__(self, choices: Choices, rows: Rows, search: Search) -> None:
        self.prices = search.best
        self.best = search.best_scan.surplus  # [G]
        self.best_pool = search.best_scan.pool  # [G]
        self._choices = choices
        self._cost = gang_costs(rows, self.prices)

    def of(self, group: int, pool: int) -> int:
        """Return worth less cost of one job."""
        return int(self._choices.worth[group, pool]) - int(self._cost[self._choices.shape[group], pool])

    def certainty(self, group: Ints, pool: Ints, runs: Ints) -> Floats:
        """Return how much the prices prefer the present state of each pair, micro-yuan per hour; at least 0."""
        here = self._choices.worth[group, pool] - self._cost[self._choices.shape[group], pool]
        wanted = self.best_pool[group] == pool
        # of the pool that prices prefer, the alternative is at least to refuse; of another, the preferred one
        prefer = np.where(wanted, here, here - self.best[group]).astype(np.float64)
        return np.maximum(np.where(runs, prefer, -prefer), 0.0)

    def shared_with(self, pool: int) -> Floats:
        """Return [P]: how many cards of jobs that may run in `pool` would as soon run in each other pool."""
        choices = self._choices
        takers = np.flatnonzero(choices.worth[:, pool])
        gain = choices.worth[takers] - self._cost[choices.shape[takers]]
        close = (choices.worth[takers] > 0) & (gain * 20 >= self.best[takers, None] * 19 - choices.worth[takers])
        cards = (choices.snapshot.shape_tasks * choices.snapshot.shape_cards_per_task)[choices.shape[takers]]
        shared: Floats = (close * (choices.count[takers] * cards)[:, None]).sum(axis=0).astype(np.float64)
        return shared


def _task_kinds(choices: Choices) -> Ints:
    """Number the shapes' tasks: equal cards, CPU and memory, equal number."""
    snapshot = choices.snapshot
    need = np.stack(
        [snapshot.shape_cards_per_task, snapshot.shape_cpu_milli_per_task, snapshot.shape_memory_mib_per_task], axis=1
    )
    kinds: Ints = np.unique(need, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return kinds
