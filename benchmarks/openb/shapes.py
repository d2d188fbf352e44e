"""What the policies may know beforehand: the shapes that tasks usually have, and how often. Never who comes when."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.openb.trace import Request
from scheduler.mix import Mix, UsualTask, mix_of


def mix_of_list(requests: Sequence[Request]) -> Mix:
    """Return the mix of a task list, by its typical shapes alone: what FGD may know, we may."""
    return mix_of(Counter(UsualTask(r.cpu_milli, r.cards, r.card_milli, r.models) for r in requests))
