"""What the policies may know beforehand: the shapes that tasks usually have, and how often. Never who comes when."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.openb.prices import card_worth
from benchmarks.openb.trace import CARD_MILLI, Request

POPULAR = 0.95
"""Share of the tasks that the typical shapes cover."""

SHARE_UNIT = 10**6
"""Shares of the tasks are counted in millionths."""

Shape = tuple[int, int, int, tuple[str, ...]]
"""CPU milli, cards, milli of each card, allowed models."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How a workload is usually made up.

    Attributes:
        typical: the most popular shapes with their shares of the tasks (sum 1), most popular first.
        milli_mean: card milli that a task asks for.
        worth, price: of what is left of a card, and of a share, both shape [1001] in cards (`card_worth`).
    """

    typical: Sequence[tuple[Shape, float]]
    milli_mean: float
    worth: NDArray[np.float64]
    price: NDArray[np.float64]


def mix_of(requests: Sequence[Request]) -> Mix:
    """Return the mix of a task list, by its typical shapes alone: what FGD may know, we may."""
    usual = typical(requests)
    shares: Counter[int] = Counter()
    for (_, cards, milli, _), part in usual:
        if cards == 1 and milli < CARD_MILLI:
            shares[milli] += round(part * SHARE_UNIT)
    worth, price = card_worth(shares)
    return Mix(usual, sum(part * cards * milli for (_, cards, milli, _), part in usual), worth, price)


def typical(requests: Sequence[Request]) -> list[tuple[Shape, float]]:
    """Return the most popular shapes with their shares of the tasks (sum 1), most popular first."""
    count = Counter((request.cpu_milli, request.cards, request.card_milli, request.models) for request in requests)
    chosen: list[tuple[Shape, int]] = []
    covered = 0
    for shape, times in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        if covered >= POPULAR * len(requests):
            break
        chosen.append((shape, times))
        covered += times
    return [(shape, times / covered) for shape, times in chosen]
