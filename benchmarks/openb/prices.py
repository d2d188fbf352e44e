"""What card milli are worth, from the usual mix of shares: the dual of filling as few cards as possible.

Data        count[s]: how often a share of s milli is asked for     patterns: sets of shares that one card can hold
Variables   used[p] >= 0: cards filled by pattern p
Minimise    sum_p used[p]
Subject to  (1) sum_p times[p, s] * used[p] >= count[s]  for all s   every share has a place; its dual is price[s]

Patterns are made as they are needed: the best one at given prices is a knapsack over 1000 milli, and its table is what
the policy wants: `worth[left]`, the most that shares can still earn on a card with `left` milli.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from benchmarks.openb.trace import CARD_MILLI

ROUNDS_MOST = 200
"""Of column generation; the traces need some 40."""
NEGLIGIBLE = 1e-6


def card_worth(count: Mapping[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (worth, price), both of shape [1001], in cards, from the number of shares of each size in milli.

    worth[m]: the most that shares earn on a card with m milli left; 1 for an idle card.
    price[m]: of a share of m milli; a size that nobody asks for costs what its milli are worth there.
    """
    sizes = sorted(count)
    if not sizes:
        return np.arange(CARD_MILLI + 1) / CARD_MILLI, np.arange(CARD_MILLI + 1) / CARD_MILLI
    patterns = [{size: CARD_MILLI // size} for size in sizes]
    price: dict[int, float] = {}
    worth = np.zeros(CARD_MILLI + 1)
    for _ in range(ROUNDS_MOST):
        price = _duals(patterns, count)
        worth, last = _knapsack(price)
        if worth[CARD_MILLI] <= 1 + NEGLIGIBLE:
            break
        patterns.append(_pattern(last))
    prices = worth.copy()
    for size in sizes:
        prices[size] = price[size]
    worth[CARD_MILLI] = max(worth[CARD_MILLI], 1.0)
    prices[CARD_MILLI] = 1.0
    return worth, prices


def _duals(patterns: Sequence[dict[int, int]], count: Mapping[int, int]) -> dict[int, float]:
    solver = pywraplp.Solver.CreateSolver("GLOP")
    used = [solver.NumVar(0, solver.infinity(), f"used {number}") for number in range(len(patterns))]
    rows = {}
    for size, times in count.items():
        holding = (pattern.get(size, 0) * variable for pattern, variable in zip(patterns, used, strict=True))
        rows[size] = solver.Add(solver.Sum(list(holding)) >= times, f"(1) shares of {size} milli")
    solver.Minimize(solver.Sum(used))
    solver.Solve()
    return {size: max(0.0, row.dual_value()) for size, row in rows.items()}


def _knapsack(price: dict[int, float]) -> tuple[NDArray[np.float64], list[int]]:
    """Return the worth of every rest, and the share that was put last to earn it (0: one milli is left unused)."""
    worth, last = [0.0] * (CARD_MILLI + 1), [0] * (CARD_MILLI + 1)
    for left in range(1, CARD_MILLI + 1):
        worth[left] = worth[left - 1]
        for size, earned in price.items():
            if size <= left and worth[left - size] + earned > worth[left] + NEGLIGIBLE:
                worth[left], last[left] = worth[left - size] + earned, size
    return np.array(worth), last


def _pattern(last: list[int]) -> dict[int, int]:
    left, pattern = CARD_MILLI, Counter[int]()
    while left > 0:
        pattern[last[left]] += last[left] > 0
        left -= last[left] or 1
    return {size: times for size, times in pattern.items() if size}
