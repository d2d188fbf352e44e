"""The published measuring rule: allocated GPU % at an arrived load, and the published column to lay beside it."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.openb.trace import CARD_MILLI, Arrivals, Node, Placement
from scheduler import card_ground
from scheduler.fragmentation import fragmentation
from scheduler.mix import UsualTask

LOADS = (80, 90, 95, 100, 110, 130)
"""Arrived loads that are reported, in % of the cluster's card milli."""

SHARE_UNIT = 10**6
"""Shares of tasks are counted in millionths."""

PUBLISHED_NAMES = {
    "01-Random": "random",
    "02-DotProd": "dot-product",
    "03-GpuClustering": "clustering",
    "04-GpuPacking": "packing",
    "05-BestFit": "best-fit",
    "06-FGD": "fgd",
}


def allocated(placements: Sequence[Placement], milli: NDArray[np.int64], capacity_milli: int) -> dict[int, float]:
    """Return the allocated GPU % by arrived load, for every whole % that the stream reaches.

    Allocated is the sum of placed milli over the capacity, averaged over all arrivals (those without cards too) after
    which the cumulated request rounds to that whole % of the capacity.

    Args:
        milli: what each arrival asks for.
        capacity_milli: of all cards.
    """
    placed = np.array([placement.node >= 0 for placement in placements])
    load = np.rint(100.0 * np.cumsum(milli) / capacity_milli).astype(np.int64)
    percent = 100.0 * np.cumsum(np.where(placed, milli, 0)) / capacity_milli
    return {int(whole): float(percent[load == whole].mean()) for whole in np.unique(load)}


def fragmented(
    nodes: Sequence[Node],
    arrivals: Arrivals,
    placements: Sequence[Placement],
    typical: Sequence[tuple[UsualTask, float]],
) -> float:
    """Return the card milli that typical tasks cannot use after the last arrival, in % of the capacity."""
    cpu = [node.cpu_milli for node in nodes]
    cards = [[CARD_MILLI] * node.cards for node in nodes]
    for c, placement in zip(arrivals.order.tolist(), placements, strict=True):
        if placement.node >= 0:
            cpu[placement.node] -= arrivals.classes[c].cpu_milli
            for card in placement.cards:
                cards[placement.node][card] -= arrivals.classes[c].card_milli
    free = [card_ground.Node(n.model, left, 0, tuple(m)) for n, left, m in zip(nodes, cpu, cards, strict=True)]
    usual = []
    for (cpu_milli, wanted, milli, models), share in typical:
        part = milli if wanted == 1 and milli < CARD_MILLI else 0
        times = round(share * SHARE_UNIT)
        usual.append(card_ground.Kind(0 if part else wanted, part, cpu_milli, 0, models, times, 0))
    return 100.0 * fragmentation(free, usual) / (CARD_MILLI * sum(node.cards for node in nodes))


def at(curve: Mapping[int, float], load: int) -> float:
    """Return the curve's value; where no arrival rounds to the load (tiny clusters), that of the load before it."""
    return curve[max((reached for reached in curve if reached <= load), default=min(curve))]


def published(file: Path, workload: str) -> dict[str, dict[int, float]]:
    """Return the published mean over seeds by policy and load; nothing where the workload was not published."""
    found: Mapping[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(file, "rt", newline="") as text:
        for row in csv.DictReader(text):
            if row["workload"] == workload and row["sc_policy"] in PUBLISHED_NAMES:
                for load in LOADS:
                    found[PUBLISHED_NAMES[row["sc_policy"]]][load].append(float(row[str(load)]))
    return {policy: {load: sum(v) / len(v) for load, v in by_load.items()} for policy, by_load in found.items()}
