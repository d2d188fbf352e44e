"""Which pools to spare: those that confined tasks will need, and those whose cards will need all their cores.

Two pressures, told anew from time to time from what is left and what the usual mix still brings until the arrivals have
asked for the whole capacity:

- of a pool: cards that tasks which cannot run in all pools still need there (by model, or because their cores or cards
  are more than a node has; spread over the pools they may take by room) over what is left there;
- of cores in a pool: cores that usual tasks take beside each card, over the cores left there beside each card.

Tasks with cards pay for the first. Tasks without cards pay for the cores; tasks with cards do so by how many more cores
than usual they take beside a card, so that light ones go where cores are short. All in points of `steering`'s score.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import borrowing
from scheduler.fields import MILLI_PER_CARD
from scheduler.mix import Mix
from scheduler.snapshot import Bools, Ints, Snapshot

KIND_POINTS: Final = 20.0
CORE_POINTS: Final = 50.0
HEAVY_POINTS: Final = 4.0
"""Of a task that takes twice as many cores beside a card as usual, or more."""
_PRESSURE_MOST: Final = 1.5
"""Fuller than full is not told apart."""
_LEFT_LEAST: Final = 0.02
"""The mix is expected to bring at least this part of the capacity, also when more than all of it was asked for."""

Floats = NDArray[np.float64]


class Usual(NamedTuple):
    """The typical tasks of a mix as tables of one world. S tasks, P pools."""

    cpu: Ints  # [S] milli
    cards: Ints  # [S]
    milli: Ints  # [S] of each card; 1000 for whole ones
    share: Floats  # [S] of all tasks
    model: Bools  # [S, P] whether the pool's model is allowed


class Pressure(NamedTuple):
    """What the last look told. All written to by the next."""

    pool: Floats  # [P] from 0 to 1.5
    cores: Floats  # [P] likewise
    usual_cpu: Floats  # [1] milli cores that usual tasks take beside a card milli; 0 when none takes cards


def usual_of(mix: Mix, world: Snapshot) -> Usual:
    """Return the mix as tables of this world; models that it does not have allow nothing."""
    names = [world.model_names[model] for model in world.pool_model.tolist()]
    model = [[not task.models or name in task.models for name in names] for task, _ in mix.typical]
    rows = np.array([(task.cpu_milli, task.cards, task.card_milli) for task, _ in mix.typical], dtype=np.int64)
    cpu, cards, milli = rows.reshape(-1, 3).T.copy()
    share = np.array([share for _, share in mix.typical], dtype=np.float64)
    return Usual(cpu, cards, milli, share, np.array(model, dtype=np.bool_).reshape(len(rows), len(names)))


class Gauge:
    """Tells the pressures of one world."""

    def __init__(self, mix: Mix, world: Snapshot) -> None:
        self.usual = usual_of(mix, world)
        pools = len(world.pool_names)
        self.pressure = Pressure(np.zeros(pools), np.zeros(pools), np.array([_usual_cpu(self.usual)]))
        self._may = self.usual.model & _holds(self.usual, world)
        self._milli_mean = mix.milli_mean
        self._capacity_milli = MILLI_PER_CARD * int(world.node_cards[world.node_open].sum())

    def tell(self, card_left: Ints, cpu_left: Ints, asked_milli: int) -> int:
        """Look at what is left and write the pressures anew.

        Args:
            card_left: [P] idle card milli of open nodes.
            cpu_left: [P] milli cores, likewise.
            asked_milli: card milli asked for so far, placed or not.
        Returns: `asked_milli`, or what is in use if that is more: what ran before was asked for too.
        """
        asked_milli = max(asked_milli, self._capacity_milli - int(card_left.sum()))
        to_come = max(self._capacity_milli - asked_milli, _LEFT_LEAST * self._capacity_milli)
        room = card_left.astype(np.float64)
        self.pressure.pool[:] = self._of_pools(room, to_come / self._milli_mean)
        short = self.pressure.usual_cpu[0] * room / np.maximum(cpu_left, 1.0)
        self.pressure.cores[:] = np.minimum(short, _PRESSURE_MOST)
        return asked_milli

    def _of_pools(self, room: Floats, tasks: float) -> Floats:
        """Return the pressure on each pool by so many tasks to come, as far as they cannot go everywhere."""
        usual, needed = self.usual, np.zeros(len(room))
        for s in np.flatnonzero(usual.cards):
            may = self._may[s]
            if may.all() or not room[may].any():
                continue
            milli = usual.share[s] * tasks * usual.cards[s] * usual.milli[s]
            needed += np.where(may, room, 0.0) / room[may].sum() * milli
        pressure: Floats = np.minimum(needed / np.maximum(room, 1.0), _PRESSURE_MOST)
        return pressure


def _holds(usual: Usual, world: Snapshot) -> Bools:
    """Return [S, P]: whether the pool's largest node, empty, has the cores and cards of the task."""
    largest = np.zeros((2, len(world.pool_names)), dtype=np.int64)
    np.maximum.at(largest[0], world.node_pool, world.node_cpu_milli)
    np.maximum.at(largest[1], world.node_pool, world.node_cards)
    holds: Bools = (largest[0] >= usual.cpu[:, None]) & (largest[1] >= usual.cards[:, None])
    return holds


def _usual_cpu(usual: Usual) -> float:
    with_cards = usual.cards > 0
    milli = (usual.share * usual.cards * usual.milli)[with_cards].sum()
    return float((usual.share * usual.cpu)[with_cards].sum() / milli) if milli else 0.0


@borrowing
def tell_points(pressure: Pressure, cpu: int, milli: int, points: Ints) -> None:
    """Write [P], <= 0: what to add to the score of each pool for a task of so many milli cores and card milli."""
    heavy = 0.0
    if pressure.usual_cpu[0] > 0:
        heavy = min(cpu / max(milli, 1) / pressure.usual_cpu[0] - 1.0, 1.0)
    most = -np.inf
    for pool in range(len(points)):
        most = max(most, _points(pressure, pool, milli, heavy))
    for pool in range(len(points)):
        points[pool] = np.int64(np.rint(_points(pressure, pool, milli, heavy) - most))


@borrowing
def _points(pressure: Pressure, pool: int, milli: int, heavy: float) -> float:
    if milli == 0:
        return float(-CORE_POINTS * pressure.cores[pool])
    return float(-(KIND_POINTS * pressure.pool[pool] + HEAVY_POINTS * heavy * pressure.cores[pool]))
