"""The lexicographic order of plans: guarantees served first, then worth tier by tier.

A level reached above is never given up for worth below, but for a tolerance: gangs come whole, and a plan that serves a
thousandth less of a guarantee may be worth a twentieth more. `Standing` is what a plan reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.choices import Choices
from scheduler.ground import Ground
from scheduler.limits import NEW
from scheduler.search import GUARANTEE, Aim
from scheduler.snapshot import Ints


@dataclass(frozen=True, eq=False)
class Standing:
    """What a plan reached."""

    served: Ints  # [Q] guaranteed milli-TFLOPS in use by new work
    worth: tuple[int, ...]  # by job tier, micro-yuan per hour
    key: tuple[int, ...]  # the tiers' objectives in order

    def objective(self, tier: int) -> int:
        """Return the objective of one tier."""
        return int(self.served.sum()) if tier == GUARANTEE else self.worth[tier]


def tiers_of(choices: Choices) -> tuple[int, ...]:
    """Return the tiers of an instance, the highest first; at least one."""
    snapshot = choices.snapshot
    worths = sorted(set(snapshot.job_tier.tolist())) or [0]
    guaranteed = len(snapshot.job_id) > 0 and bool((choices.limits.headroom > 0).any())
    return (GUARANTEE, *worths) if guaranteed else tuple(worths)


def tier_name(tier: int) -> str:
    """Return the name that plans use."""
    return "guarantee" if tier == GUARANTEE else f"worth-{tier}"


def standing(choices: Choices, tiers: Sequence[int], ground: Ground) -> Standing:
    """Return what a plan reached."""
    served = np.minimum(ground.account[:, NEW], choices.limits.headroom)
    worth = tuple(ground.objectives)
    key = tuple(int(served.sum()) if tier == GUARANTEE else worth[tier] for tier in tiers)
    return Standing(served, worth, key)


def aim_of(tiers: Sequence[int], tier: int, reached: Standing) -> Aim:
    """Return what bounds `tier` among the plans that are as good above as this one."""
    above = tuple(t for t in tiers[: tiers.index(tier)] if t != GUARANTEE)
    served = np.zeros_like(reached.served) if tier == GUARANTEE else reached.served
    return Aim(tier, above, tuple(reached.worth[t] for t in above), served)


class Order:
    """Which of two plans is better. Remembers the best seen of each tier, so that tolerances never add up."""

    def __init__(self, first: Standing, tolerance_ppm: int) -> None:
        self._best = list(first.key)
        self._last = first.key[-1]
        self._tolerance_ppm = tolerance_ppm

    def prefers(self, other: Standing) -> bool:
        """Return whether the other plan is better than the last one preferred; from then on it is the measure."""
        for most, value in zip(self._best[:-1], other.key[:-1], strict=True):
            slack = most * self._tolerance_ppm // 10**6
            if value < most - slack:
                return False
            if value > most + slack:
                break
        else:
            if other.key[-1] <= self._last:
                return False
        self._best = [max(most, value) for most, value in zip(self._best, other.key, strict=True)]
        self._last = other.key[-1]
        return True
