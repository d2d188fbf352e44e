"""Which kinds of node to spare: those that confined tasks will need, and those whose cards will need all their cores.

Two pressures, told anew from time to time from what is left and what the usual mix still brings until the arrivals have
asked for the whole capacity:

- of a kind of node: cards that tasks which cannot run on all kinds still need there (by model, or because their cores
  or cards are more than a node has; spread over the kinds they may take by room) over what is left there;
- of cores on a kind of node: cores that usual tasks take beside each card, over the cores left there beside each card.

Tasks with cards pay for the first. Tasks without cards pay for the cores; tasks with cards do so by how many more cores
than usual they take beside a card, so that light ones go where cores are short. All in points of the 0..100 score.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.openb.kernel import Cluster, Ints, Requests, Shapes

KIND_POINTS = 20.0
CORE_POINTS = 50.0
HEAVY_POINTS = 4.0
"""Of a task that takes twice as many cores beside a card as usual, or more."""
PRESSURE_MOST = 1.5
"""Fuller than full is not told apart."""
LEFT_LEAST = 0.02
"""The mix is expected to bring at least this part of the capacity, also when more than all of it was asked for."""


def expected_tasks(arrived_milli: int, capacity_milli: int, milli_mean: float) -> float:
    """Return how many tasks are still to come until the capacity was asked for."""
    return max(capacity_milli - arrived_milli, LEFT_LEAST * capacity_milli) / milli_mean


class Kinds(NamedTuple):
    """Kinds of node by number (`cluster.group`): what an empty node has; the model is a bit."""

    cpu: Ints
    cards: Ints
    model: Ints


def bias(cluster: Cluster, asked: Requests, shapes: Shapes, kinds: Kinds, tasks: float) -> Ints:
    """Return what to add to the scores, <= 0, shape [classes, kinds].

    Args:
        tasks: still to come.
    """
    for_kind = KIND_POINTS * _kind_pressure(cluster, shapes, kinds, tasks)
    cores = _core_pressure(cluster, shapes, len(kinds.cpu))
    for_heavy = HEAVY_POINTS * _heaviness(asked, shapes)[:, None] * cores[None, :]
    with_cards = (asked.cards > 0)[:, None]
    points = -np.where(with_cards, for_kind[None, :] + for_heavy, CORE_POINTS * cores[None, :])
    told: Ints = np.rint(points - points.max(axis=1, keepdims=True)).astype(np.int64)
    return told


def _kind_pressure(cluster: Cluster, shapes: Shapes, kinds: Kinds, tasks: float) -> NDArray[np.float64]:
    """Return the pressure on each kind of node by those who cannot go everywhere."""
    room = np.bincount(cluster.group, cluster.card.sum(axis=1), len(kinds.cpu)).astype(np.float64)
    needed = np.zeros(len(room))
    for s in np.flatnonzero(shapes.cards):
        may = (shapes.models[s] & kinds.model) != 0
        may &= (kinds.cpu >= shapes.cpu[s]) & (kinds.cards >= shapes.cards[s])
        if may.all() or not room[may].any():
            continue
        milli = shapes.share[s] * tasks * shapes.cards[s] * shapes.milli[s]
        needed += np.where(may, room, 0.0) / room[may].sum() * milli
    pressure: NDArray[np.float64] = np.minimum(needed / np.maximum(room, 1.0), PRESSURE_MOST)
    return pressure


def _cpu_by_milli(shapes: Shapes) -> float:
    """Return the cores (milli) that usual tasks take beside a card milli; 0 when none takes cards."""
    with_cards = shapes.cards > 0
    milli = (shapes.share * shapes.cards * shapes.milli)[with_cards].sum()
    return float((shapes.share * shapes.cpu)[with_cards].sum() / milli) if milli else 0.0


def _core_pressure(cluster: Cluster, shapes: Shapes, kinds: int) -> NDArray[np.float64]:
    """Return the pressure on the cores of each kind of node by those who need cards."""
    card_left = np.bincount(cluster.group, cluster.card.sum(axis=1), kinds)
    cpu_left = np.bincount(cluster.group, cluster.cpu, kinds)
    pressure: NDArray[np.float64] = np.minimum(
        _cpu_by_milli(shapes) * card_left / np.maximum(cpu_left, 1.0), PRESSURE_MOST
    )
    return pressure


def _heaviness(asked: Requests, shapes: Shapes) -> NDArray[np.float64]:
    """Return how far each class's cores beside a card are from the usual ones: 0 as usual, 1 twice as many or more."""
    usual = _cpu_by_milli(shapes)
    if not usual:
        return np.zeros(len(asked.cpu))
    heavy: NDArray[np.float64] = np.minimum(asked.cpu / np.maximum(asked.cards * asked.milli, 1) / usual - 1.0, 1.0)
    return heavy
