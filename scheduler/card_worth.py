"""What card milli are worth, from the usual mix of shares: the dual of filling as few cards as possible.

Data        count[s]: how often a share of s milli is asked for     patterns: sets of shares that one card can hold
Variables   used[p] >= 0: cards filled by pattern p
Minimise    sum_p used[p]
Subject to  (1) sum_p times[p, s] * used[p] >= count[s]  for all s   every share has a place; its dual is price[s]

Patterns are made as they are needed: the best one at given prices is a knapsack over 1000 milli, and its table is what
the rule of `steering` wants: `worth[left]`, the most that shares can still earn on a card with `left` milli.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from scheduler.compiled import compiled
from scheduler.fields import MILLI_PER_CARD
from scheduler.snapshot import Ints

_ROUNDS_MOST: Final = 200
"""Of column generation; the openb traces need some 40."""
_NEGLIGIBLE: Final = 1e-6


def card_worth(count: Mapping[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (worth, price), both of shape [1001], in cards, from the number of shares of each size in milli.

    worth[m]: the most that shares earn on a card with m milli left; 1 for an idle card.
    price[m]: of a share of m milli; a size that nobody asks for costs what its milli are worth there.
    """
    if not count:
        return np.arange(MILLI_PER_CARD + 1) / MILLI_PER_CARD, np.arange(MILLI_PER_CARD + 1) / MILLI_PER_CARD
    sizes = np.array(list(count), dtype=np.int64)
    patterns = [{size: MILLI_PER_CARD // size} for size in sorted(count)]
    price = np.zeros(len(sizes))
    worth = np.zeros(MILLI_PER_CARD + 1)
    for _ in range(_ROUNDS_MOST):
        price = _duals(patterns, count)
        worth, last = _knapsack(sizes, price)
        if worth[MILLI_PER_CARD] <= 1 + _NEGLIGIBLE:
            break
        patterns.append(_pattern(last.tolist()))
    prices = worth.copy()
    prices[sizes] = price
    worth[MILLI_PER_CARD] = max(worth[MILLI_PER_CARD], 1.0)
    prices[MILLI_PER_CARD] = 1.0
    return worth, prices


def _duals(patterns: Sequence[dict[int, int]], count: Mapping[int, int]) -> NDArray[np.float64]:
    """Return the price of each size, in the order of `count`."""
    solver = pywraplp.Solver.CreateSolver("GLOP")
    used = [solver.NumVar(0, solver.infinity(), f"used {number}") for number in range(len(patterns))]
    rows = []
    for size, times in count.items():
        holding = (pattern.get(size, 0) * variable for pattern, variable in zip(patterns, used, strict=True))
        rows.append(solver.Add(solver.Sum(list(holding)) >= times, f"(1) shares of {size} milli"))
    solver.Minimize(solver.Sum(used))
    solver.Solve()
    return np.array([max(0.0, row.dual_value()) for row in rows])


@compiled
def _knapsack(sizes: Ints, price: NDArray[np.float64]) -> tuple[NDArray[np.float64], Ints]:
    """Return the worth of every rest, and the share that was put last to earn it (0: one milli is left unused)."""
    worth, last = np.zeros(MILLI_PER_CARD + 1), np.zeros(MILLI_PER_CARD + 1, dtype=np.int64)
    for left in range(1, MILLI_PER_CARD + 1):
        worth[left] = worth[left - 1]
        for at in range(len(sizes)):
            size = sizes[at]
            if size <= left and worth[left - size] + price[at] > worth[left] + _NEGLIGIBLE:
                worth[left], last[left] = worth[left - size] + price[at], size
    return worth, last


def _pattern(last: Sequence[int]) -> dict[int, int]:
    left, pattern = MILLI_PER_CARD, Counter[int]()
    while left > 0:
        pattern[last[left]] += last[left] > 0
        left -= last[left] or 1
    return {size: times for size, times in pattern.items() if size}
