"""How hard a world is: what the demand is against the free cards, and how many jobs each rule keeps from running."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from scheduler.choices import Choices
from scheduler.reasons import Reason


@dataclass(frozen=True, slots=True)
class Hardness:
    """Figures of one instance; shares are fractions."""

    demand_over_free: float  # cards asked for by jobs that can run somewhere, over free cards of open nodes
    gang_worth_share: float  # of the worth of those jobs, each in its best pool: jobs of more than 8 cards
    two_builds_share: float  # of the jobs: those with two builds or more
    barred: dict[Reason, int]  # jobs that can run in no pool, by the reason of the nearest one


def hardness(choices: Choices) -> Hardness:
    """Measure an instance."""
    snapshot = choices.snapshot
    cards = (snapshot.shape_tasks * snapshot.shape_cards_per_task)[choices.shape]
    best = choices.worth.max(axis=1, initial=0)
    worth = best.astype(np.float64) * choices.count
    asked = int((cards * choices.count)[best > 0].sum())
    free = int(snapshot.node_free_cards[snapshot.node_open].sum())
    builds = np.diff(snapshot.build_start)[snapshot.job_shape]
    barred: Counter[Reason] = Counter()
    for (reason, _), count, value in zip(choices.nearest(), choices.count.tolist(), best.tolist(), strict=True):
        if value == 0:
            barred[reason] += count
    return Hardness(
        demand_over_free=asked / max(free, 1),
        gang_worth_share=float(worth[cards > 8].sum() / max(worth.sum(), 1.0)),
        two_builds_share=float(np.mean(builds >= 2)) if builds.size else 0.0,
        barred=dict(barred),
    )
