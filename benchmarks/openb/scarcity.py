"""Which kinds of node to spare: scarce card models, and nodes whose cards will need all their cores.

Two pressures, told anew from time to time from what is left and what the usual mix still brings until the arrivals have
asked for the whole capacity:

- of a model: cards that tasks confined to some models still need (spread over those by room) over what is left there;
- of cores on a kind of node: cores that usual tasks take beside each card, over the cores left there beside each card.

Tasks with cards pay for the model, tasks without cards for the cores; both in points of the 0..100 score.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.openb.kernel import Cluster, Ints, Requests, Shapes

MODEL_POINTS = 20.0
CORE_POINTS = 50.0
PRESSURE_MOST = 1.5
"""Fuller than full is not told apart."""
LEFT_LEAST = 0.02
"""The mix is expected to bring at least this part of the capacity, also when more than all of it was asked for."""


def expected_tasks(arrived_milli: int, capacity_milli: int, milli_mean: float) -> float:
    """Return how many tasks are still to come until the capacity was asked for."""
    return max(capacity_milli - arrived_milli, LEFT_LEAST * capacity_milli) / milli_mean


def bias(cluster: Cluster, asked: Requests, shapes: Shapes, kinds: int, tasks: float) -> Ints:
    """Return what to add to the scores, <= 0, shape [classes, kinds].

    Args:
        kinds: number of kinds of node (`cluster.group`).
        tasks: still to come.
    """
    with_cards = asked.cards > 0
    models = np.zeros(kinds, np.int64)
    models[cluster.group] = cluster.model
    for_model = MODEL_POINTS * _model_pressure(cluster, shapes, tasks, models)
    for_cores = CORE_POINTS * _core_pressure(cluster, shapes, kinds, tasks)
    points = -np.where(with_cards[:, None], for_model[None, :], for_cores[None, :])
    told: Ints = np.rint(points - points.max(axis=1, keepdims=True)).astype(np.int64)
    return told


def _model_pressure(cluster: Cluster, shapes: Shapes, tasks: float, models: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the pressure on each kind of node by those who cannot go everywhere."""
    bits = np.unique(cluster.model)
    room = np.array([cluster.card[cluster.model == bit].sum() for bit in bits], dtype=np.float64)
    needed = np.zeros(len(bits))
    for s in range(len(shapes.share)):
        may = (shapes.models[s] & bits) != 0
        if may.all() or not room[may].any():
            continue
        milli = shapes.share[s] * tasks * shapes.cards[s] * shapes.milli[s]
        needed += np.where(may, room, 0.0) / room[may].sum() * milli
    pressure = np.minimum(needed / np.maximum(room, 1.0), PRESSURE_MOST)
    return pressure[np.searchsorted(bits, models)]


def _core_pressure(cluster: Cluster, shapes: Shapes, kinds: int, tasks: float) -> NDArray[np.float64]:
    """Return the pressure on the cores of each kind of node by those who need cards.

    Nothing when cores will run out everywhere: then each task without cards that finds a place takes it from cards.
    """
    if (shapes.share * shapes.cpu).sum() * tasks > cluster.cpu.sum():
        return np.zeros(kinds)
    with_cards = shapes.cards > 0
    milli = (shapes.share * shapes.cards * shapes.milli)[with_cards].sum()
    if milli == 0:
        return np.zeros(kinds)
    cpu_by_milli = (shapes.share * shapes.cpu)[with_cards].sum() / milli
    card_left = np.bincount(cluster.group, cluster.card.sum(axis=1), kinds)
    cpu_left = np.bincount(cluster.group, cluster.cpu, kinds)
    pressure: NDArray[np.float64] = np.minimum(cpu_by_milli * card_left / np.maximum(cpu_left, 1.0), PRESSURE_MOST)
    return pressure
