"""One policy on one stream of arrivals: from lists to arrays, through the kernel, to a log of placements."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.openb import kernel, scarcity
from benchmarks.openb.shapes import Mix, Shape
from benchmarks.openb.trace import CARD_MILLI, CARDS_MAX, Arrivals, Node, Placement, Request

POLICIES = {
    "random": kernel.RANDOM,
    "first-fit": kernel.FIRST_FIT,
    "best-fit": kernel.BEST_FIT,
    "dot-product": kernel.DOT_PRODUCT,
    "packing": kernel.PACKING,
    "clustering": kernel.CLUSTERING,
    "fgd": kernel.FGD,
    "xisuan": kernel.XISUAN,
}
"""By name: six that score as published, first-fit, which scores nothing, and ours."""

REPRICED_EVERY = 200
"""Arrivals between two looks at what is left."""


class Stream:
    """A cluster, a stream of arrivals and how far it was placed."""

    def __init__(self, nodes: Sequence[Node], arrivals: Arrivals, mix: Mix, seed: int) -> None:
        # The tie order is the seed's too, but must not depend on how much luck the arrivals took.
        luck = np.random.default_rng((seed, 1))
        self.tie_order = luck.permutation(len(nodes))
        self.nodes = [nodes[index] for index in self.tie_order]
        self.arrivals = arrivals
        models = sorted({node.model for node in nodes})
        self._bit = {model: 1 << number for number, model in enumerate(models)}
        kinds = sorted({node[1:] for node in nodes})
        self.kinds = [Node("", *kind) for kind in kinds]
        limits = [(kind.cpu_milli, kind.cards, self._bit[kind.model]) for kind in self.kinds]
        self._limits = scarcity.Kinds(*np.array(limits, dtype=np.int64).T.copy())
        self.cluster = self._cluster([kinds.index(node[1:]) for node in self.nodes])
        self.asked = self._requests(arrivals.classes)
        self.shapes = self._shapes(mix.typical)
        count, size = len(arrivals.order), (len(arrivals.classes), len(nodes))
        self.known = kernel.Memory(np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, -1, np.int64))
        self.log = kernel.Log(np.full(count, -1, np.int64), np.zeros(count, np.int64))
        self.bias = np.zeros((len(arrivals.classes), len(kinds)), np.int64)
        self._luck = luck.random((count, 2))
        self.done = 0
        self.steer = kernel.Steer(mix.worth, mix.price)
        self._milli_mean = mix.milli_mean
        self._capacity_milli = CARD_MILLI * sum(node.cards for node in nodes)

    def place(self, policy: int, until: int) -> None:
        """Place the arrivals up to number `until`."""
        until = min(until, len(self.arrivals.order))
        kernel.place(
            policy, self.arrivals.order, self.done, until, self.cluster, self.asked, self.shapes, self.known,
            self.bias, self._luck, self.log, self.steer,
        )  # fmt: skip
        self.done = until

    def reprice(self) -> None:
        """Tell the bias of the kinds of node anew from what is left and what usually comes."""
        arrived = int((self.asked.cards * self.asked.milli)[self.arrivals.order[: self.done]].sum())
        tasks = scarcity.expected_tasks(arrived, self._capacity_milli, self._milli_mean)
        self.bias[:] = scarcity.bias(self.cluster, self.asked, self.shapes, self._limits, tasks)

    def placements(self) -> list[Placement]:
        """Return what became of the arrivals so far, nodes by their index in the list that was given."""
        found = zip(self.log.node[: self.done].tolist(), self.log.cards[: self.done].tolist(), strict=True)
        cards_of = {bits: tuple(k for k in range(CARDS_MAX) if bits >> k & 1) for bits in range(1 << CARDS_MAX)}
        return [Placement(int(self.tie_order[node]) if node >= 0 else -1, cards_of[bits]) for node, bits in found]

    def _cluster(self, group: Sequence[int]) -> kernel.Cluster:
        cards = np.array([node.cards for node in self.nodes], dtype=np.int64)
        return kernel.Cluster(
            cpu=np.array([node.cpu_milli for node in self.nodes], dtype=np.int64),
            memory=np.array([node.memory_mib for node in self.nodes], dtype=np.int64),
            card=np.where(np.arange(CARDS_MAX) < cards[:, None], CARD_MILLI, 0).astype(np.int64),
            cards=cards,
            model=np.array([self._bit[node.model] for node in self.nodes], dtype=np.int64),
            group=np.array(group, dtype=np.int64),
            held=np.zeros(len(cards), np.int64),
            version=np.zeros(len(cards), np.int64),
        )

    def _requests(self, requests: Sequence[Request]) -> kernel.Requests:
        rows = [(r.cpu_milli, r.memory_mib, r.cards, r.card_milli, self._allowed(r.models)) for r in requests]
        return kernel.Requests(*np.array(rows, dtype=np.int64).reshape(-1, 5).T.copy())

    def _shapes(self, typical: Sequence[tuple[Shape, float]]) -> kernel.Shapes:
        rows = [(cpu, cards, milli, self._allowed(models)) for (cpu, cards, milli, models), _ in typical]
        cpu, cards, milli, models = np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()
        return kernel.Shapes(cpu, cards, milli, models, np.array([share for _, share in typical], dtype=np.float64))

    def _allowed(self, models: Sequence[str]) -> int:
        """Return a bit set; models that nobody has allow nothing."""
        if not models:
            return -1
        return sum(self._bit.get(model, 0) for model in models)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: what became of each arrival, and the seconds that deciding took."""

    placements: Sequence[Placement]
    seconds: float


def run(policy: str, nodes: Sequence[Node], arrivals: Arrivals, mix: Mix, seed: int) -> Run:
    """Place every arrival by the policy."""
    stream = Stream(nodes, arrivals, mix, seed)
    began = time.perf_counter()
    while stream.done < len(arrivals.order):
        if policy == "xisuan":
            stream.reprice()
        stream.place(POLICIES[policy], stream.done + REPRICED_EVERY)
    seconds = time.perf_counter() - began
    return Run(stream.placements(), seconds)
