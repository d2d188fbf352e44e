"""The usual mix: which tasks typically come and how often. All that placing online may know of the future.

A *typical task* is one of the most popular requests that together cover 95 % of what came, as for the fragmentation
measure of Weng et al., "Beware of Fragmentation", USENIX ATC 2023. Nothing says who comes when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.card_worth import card_worth
from scheduler.errors import SchedulerError
from scheduler.fields import MILLI_PER_CARD
from scheduler.forms import granted_slices
from scheduler.snapshot import Snapshot

_POPULAR: Final = 0.95
"""Share of the tasks that the typical ones cover."""
_SHARE_UNIT: Final = 10**6
"""Shares of the tasks are counted in millionths."""
_CPU_MILLI_MAX: Final = 2**40
_CARDS_MAX: Final = 2**20


class BadMix(SchedulerError):
    """A count of usual tasks has a figure that cannot be."""


class UsualTask(NamedTuple):
    """What one task asks for: `cards` whole ones (`card_milli` 1000), a share of one card, or no card (both 0)."""

    cpu_milli: int
    cards: int
    card_milli: int
    models: tuple[str, ...]
    """Allowed ones; empty allows all."""


@dataclass(frozen=True, eq=False, slots=True)
class Mix:
    """How the work is usually made up.

    Attributes:
        typical: the most popular tasks with their shares of the tasks (sum 1), most popular first.
        milli_mean: card milli that a task asks for, above 0.
        worth, price: of what is left of a card, and of a share, both shape [1001] in cards (`card_worth`).
    """

    typical: Sequence[tuple[UsualTask, float]]
    milli_mean: float
    worth: NDArray[np.float64]
    price: NDArray[np.float64]


def mix_of(count: Mapping[UsualTask, int]) -> Mix:
    """Return the mix of tasks that came so often.

    Raises: BadMix: a figure is out of range, or no typical task takes a card.
    """
    for task, times in count.items():
        _check(task, times)
    usual = typical(count)
    shares: Counter[int] = Counter()
    for (_, cards, milli, _), part in usual:
        if cards == 1 and milli < MILLI_PER_CARD:
            shares[milli] += round(part * _SHARE_UNIT)
    milli_mean = sum(part * cards * milli for (_, cards, milli, _), part in usual)
    if not milli_mean:
        raise BadMix("count", "no typical task takes a card: place without a mix until some came that do")
    worth, price = card_worth(shares)
    return Mix(usual, milli_mean, worth, price)


def typical(count: Mapping[UsualTask, int]) -> list[tuple[UsualTask, float]]:
    """Return the most popular tasks with their shares of the tasks (sum 1), most popular first."""
    total = sum(count.values())
    chosen: list[tuple[UsualTask, int]] = []
    covered = 0
    for task, times in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        if covered >= _POPULAR * total:
            break
        chosen.append((task, times))
        covered += times
    return [(task, times / covered) for task, times in chosen]


def usual_tasks(jobs: Snapshot) -> Counter[UsualTask]:
    """Count the tasks of the snapshot's jobs, each at its full size, for `mix_of`.

    A share counts as the smallest slice that a model of its builds grants. Shapes that no model of this world can run
    are left out: nothing need be kept free for them.
    """
    granted = granted_slices(jobs)
    jobs_of_shape = np.bincount(jobs.job_shape, minlength=len(jobs.shape_tasks))
    found: Counter[UsualTask] = Counter()
    for shape in np.flatnonzero(jobs_of_shape).tolist():
        builds = jobs.build_models[jobs.build_start[shape] : jobs.build_start[shape + 1]]
        may = np.flatnonzero(builds.any(axis=0) & (granted[shape] >= 0)).tolist()
        if not may:
            continue
        task = UsualTask(
            cpu_milli=int(jobs.shape_cpu_milli_per_task[shape]),
            cards=int(jobs.shape_cards_per_task[shape]),
            card_milli=int(granted[shape, may].min()) or MILLI_PER_CARD,
            models=() if len(may) == len(jobs.model_names) else tuple(jobs.model_names[model] for model in may),
        )
        found[task] += int(jobs_of_shape[shape] * jobs.shape_tasks[shape])
    return found


def _check(task: UsualTask, times: int) -> None:
    most = MILLI_PER_CARD if task.cards else 0
    for name, value, low, high in (
        ("count", times, 1, 2**62),
        ("cpu_milli", task.cpu_milli, 0, _CPU_MILLI_MAX),
        ("cards", task.cards, 0, _CARDS_MAX),
        ("card_milli", task.card_milli, most if task.cards > 1 else min(task.cards, 1), most),
    ):
        if not low <= value <= high:
            raise BadMix(name, f"{value} of {task} is not between {low} and {high}")
