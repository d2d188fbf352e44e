"""One policy on one stream of arrivals: from lists to arrays, through the kernel, to a log of placements."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.openb import kernel
from benchmarks.openb.ours import Exchange
from benchmarks.openb.trace import CARD_MILLI, CARDS_MAX, Arrivals, Node, Placement, Request
from scheduler.mix import Mix, UsualTask
from scheduler.snapshot import Ints

OURS = "xisuan"
SCORED = {
    "random": kernel.RANDOM,
    "first-fit": kernel.FIRST_FIT,
    "best-fit": kernel.BEST_FIT,
    "dot-product": kernel.DOT_PRODUCT,
    "packing": kernel.PACKING,
    "clustering": kernel.CLUSTERING,
    "fgd": kernel.FGD,
}
"""By name: six that score as published, and first-fit, which scores nothing."""

POLICIES = (*SCORED, OURS)


def tie_order(nodes: int, seed: int) -> Ints:
    """Return the nodes in the order of ties: the seed's too, but not dependent on how much luck the arrivals took."""
    return np.random.default_rng((seed, 1)).permutation(nodes)


class Stream:
    """A cluster and a stream of arrivals, as the kernel has them."""

    def __init__(self, nodes: Sequence[Node], arrivals: Arrivals, mix: Mix, seed: int) -> None:
        luck = np.random.default_rng((seed, 1))
        self.tie_order = luck.permutation(len(nodes))  # as `tie_order`
        self.nodes = [nodes[index] for index in self.tie_order]
        self.arrivals = arrivals
        models = sorted({node.model for node in nodes})
        self._bit = {model: 1 << number for number, model in enumerate(models)}
        self.cluster = self._cluster()
        self.asked = self._requests(arrivals.classes)
        self.shapes = self._shapes(mix.typical)
        count, size = len(arrivals.order), (len(arrivals.classes), len(nodes))
        self.known = kernel.Memory(np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, -1, np.int64))
        self.log = kernel.Log(np.full(count, -1, np.int64), np.zeros(count, np.int64))
        self._luck = luck.random((count, 2))

    def place(self, policy: int) -> list[Placement]:
        """Place every arrival; return what became of them, nodes by their index in the list that was given."""
        kernel.place(
            policy, self.arrivals.order, self.cluster, self.asked, self.shapes, self.known, self._luck, self.log
        )
        found = zip(self.log.node.tolist(), self.log.cards.tolist(), strict=True)
        cards_of = {bits: tuple(k for k in range(CARDS_MAX) if bits >> k & 1) for bits in range(1 << CARDS_MAX)}
        return [Placement(int(self.tie_order[node]) if node >= 0 else -1, cards_of[bits]) for node, bits in found]

    def _cluster(self) -> kernel.Cluster:
        cards = np.array([node.cards for node in self.nodes], dtype=np.int64)
        return kernel.Cluster(
            cpu=np.array([node.cpu_milli for node in self.nodes], dtype=np.int64),
            memory=np.array([node.memory_mib for node in self.nodes], dtype=np.int64),
            card=np.where(np.arange(CARDS_MAX) < cards[:, None], CARD_MILLI, 0).astype(np.int64),
            cards=cards,
            model=np.array([self._bit[node.model] for node in self.nodes], dtype=np.int64),
            held=np.zeros(len(cards), np.int64),
            version=np.zeros(len(cards), np.int64),
        )

    def _requests(self, requests: Sequence[Request]) -> kernel.Requests:
        rows = [(r.cpu_milli, r.memory_mib, r.cards, r.card_milli, self._allowed(r.models)) for r in requests]
        return kernel.Requests(*np.array(rows, dtype=np.int64).reshape(-1, 5).T.copy())

    def _shapes(self, typical: Sequence[tuple[UsualTask, float]]) -> kernel.Shapes:
        rows = [(cpu, cards, milli, self._allowed(models)) for (cpu, cards, milli, models), _ in typical]
        cpu, cards, milli, models = np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()
        return kernel.Shapes(cpu, cards, milli, models, np.array([share for _, share in typical], dtype=np.float64))

    def _allowed(self, models: Sequence[str]) -> int:
        """Return a bit set; models that nobody has allow nothing."""
        if not models:
            return -1
        return sum(self._bit.get(model, 0) for model in set(models))  # the lists name some twice


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: what became of each arrival, and the seconds that deciding took."""

    placements: Sequence[Placement]
    seconds: float


def run(policy: str, nodes: Sequence[Node], arrivals: Arrivals, mix: Mix, seed: int) -> Run:
    """Place every arrival by the policy. The order of ties between nodes is drawn from the seed, the same for all."""
    if policy == OURS:
        return Run(*Exchange(nodes, arrivals, mix, tie_order(len(nodes), seed)).place())
    stream = Stream(nodes, arrivals, mix, seed)
    began = time.perf_counter()
    placements = stream.place(SCORED[policy])
    return Run(placements, time.perf_counter() - began)
