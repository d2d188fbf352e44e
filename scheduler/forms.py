"""The ways to run a shape, and what one gang of each takes.

A *form* is a shape with a size, a level (how close together the gang must be) and a granted slice: it fixes the speed.
A *kind* is what a form takes: forms of unlike shapes that take the same are one kind, and everything that counts or
packs works on kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.fields import MILLI_PER_CARD, UNKNOWN, WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.snapshot import Ints, Snapshot

_PPM: Final = 10**6


@dataclass(frozen=True, eq=False)
class Kinds:
    """What one gang takes. K kinds, sorted; all arrays [K]."""

    tasks: Ints
    cards: Ints  # whole cards of a task; 1 where a share is taken
    share: Ints  # granted thousandths of a card for each task; 0: whole cards
    cpu: Ints  # milli, of a task
    memory: Ints  # MiB, of a task
    level: Ints  # WITHIN_POOL, WITHIN_DOMAIN or WITHIN_NODE

    @property
    def units(self) -> Ints:
        """Pieces that are put on nodes one by one: the tasks, or the whole gang where it must stay on one node."""
        units: Ints = np.where(self.level == WITHIN_NODE, 1, self.tasks)
        return units

    def of_unit(self, of_task: Ints) -> Ints:
        """Return what a unit takes of something of which a task takes so much."""
        of_unit: Ints = np.where(self.level == WITHIN_NODE, self.tasks, 1) * of_task
        return of_unit

    @property
    def milli_cards(self) -> Ints:
        """Thousandths of a card held by one gang."""
        milli: Ints = self.tasks * np.where(self.share > 0, self.share, self.cards * MILLI_PER_CARD)
        return milli


@dataclass(frozen=True, eq=False)
class Forms:
    """The forms of every shape: those of shape s are start[s] .. start[s + 1] - 1, full size first."""

    start: Ints  # [S + 1]
    kind: Ints  # [F] what it takes
    speed_ppm: Ints  # [F] against the full gang close together
    kinds: Kinds
    granted: Ints  # [S, M] slice that the model gives the shape's tasks; 0: whole cards, -1: it cannot be shared so


def forms_of(snapshot: Snapshot) -> Forms:
    """Number the forms of all shapes and the kinds among them."""
    granted = granted_slices(snapshot)
    rows: list[tuple[int, int, int, int]] = []  # shape, tasks, level, share
    speeds: list[int] = []
    start = [0]
    spread = snapshot.shape_spread_speed_ppm.tolist()
    for shape, (tasks, within) in enumerate(
        zip(snapshot.shape_tasks.tolist(), snapshot.shape_within.tolist(), strict=True)
    ):
        shares = np.unique(granted[shape][granted[shape] >= 0]).tolist()
        for size, speed in _sizes(snapshot, shape, tasks):
            for level, at_speed in _levels(size, within, speed, spread[shape]):
                rows += [(shape, size, level, share) for share in shares]
                speeds += [at_speed] * len(shares)
        start.append(len(rows))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    shape_of, tasks_of, level_of, share_of = table.T
    takes = np.stack(
        [
            tasks_of,
            snapshot.shape_cards_per_task[shape_of],
            share_of,
            snapshot.shape_cpu_milli_per_task[shape_of],
            snapshot.shape_memory_mib_per_task[shape_of],
            level_of,
        ],
        axis=1,
    )
    kinds, kind = np.unique(takes, axis=0, return_inverse=True)
    return Forms(
        start=np.array(start, dtype=np.int64),
        kind=kind.reshape(-1).astype(np.int64),
        speed_ppm=np.array(speeds, dtype=np.int64),
        kinds=Kinds(*(np.ascontiguousarray(column) for column in kinds.T)),
        granted=granted,
    )


def granted_slices(snapshot: Snapshot) -> Ints:
    """Return [S, M]: the smallest slice of the model that holds the share asked for; 0 for whole cards, -1 for none."""
    asked = snapshot.shape_share_milli
    granted = np.where(asked > 0, UNKNOWN, 0)[:, None] * np.ones(len(snapshot.model_names), dtype=np.int64)
    for model, (low, high) in enumerate(zip(snapshot.slice_start, snapshot.slice_start[1:], strict=False)):
        slices = snapshot.slice_milli[low:high]
        at = np.searchsorted(slices, asked)
        enough = (asked > 0) & (at < slices.size)
        granted[enough, model] = slices[at[enough]]
    return granted


def _sizes(snapshot: Snapshot, shape: int, tasks: int) -> list[tuple[int, int]]:
    low, high = snapshot.size_start[shape], snapshot.size_start[shape + 1]
    smaller = zip(snapshot.size_tasks[low:high].tolist(), snapshot.size_speed_ppm[low:high].tolist(), strict=True)
    return [(tasks, _PPM), *smaller]


def _levels(tasks: int, within: int, speed: int, spread: int) -> list[tuple[int, int]]:
    """Return the levels at which so many tasks may run, each with the speed there."""
    if tasks == 1:
        return [(WITHIN_POOL, speed)]  # one task is close together wherever it is
    if within != WITHIN_POOL:
        return [(within, speed)]
    if spread == _PPM:
        return [(WITHIN_POOL, speed)]
    return [(WITHIN_DOMAIN, speed), (WITHIN_POOL, speed * spread // _PPM)]
