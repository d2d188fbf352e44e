"""What the policies may know beforehand: the shapes that tasks usually have, and how often. Never who comes when."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.openb.trace import Request

POPULAR = 0.95
"""Share of the tasks that the typical shapes cover."""

Shape = tuple[int, int, int, tuple[str, ...]]
"""CPU milli, cards, milli of each card, allowed models."""


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
