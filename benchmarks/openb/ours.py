"""The policy "xisuan": the product's fast placer itself, on the experiment's cluster as an exchange without prices.

Every kind of node is a pool; all cost nothing and are worth the same to every task, so the placer's rule for pools that
gain the same decides alone (`scheduler/steering.py`). A task with cards is a job of one task, one without goes the way
that the placer has for those. The placer names new split cards by number and whole cards not at all: the books here
give both the first idle cards of the node.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.openb.trace import CARD_MILLI, Arrivals, Node, Placement, Request
from scheduler.mix import Mix
from scheduler.placer import Placed, Placer
from scheduler.policy import Policy
from scheduler.snapshot import ARRAYS_OF_JOBS, Ints, Snapshot

NOWHERE = Placement(-1, ())
FP16_MILLI_TFLOPS, CEILING_MICRO_YUAN = 1000, 10**9
"""Of every card, and of every task for one PFLOPS for one hour: any figures would do, if only they are equal."""


class Exchange:
    """One stream of arrivals on a placer."""

    def __init__(self, nodes: Sequence[Node], arrivals: Arrivals, mix: Mix, tie_order: Ints) -> None:
        """`tie_order`: of equal nodes the first in this order, by index in `nodes`, takes a task."""
        kinds = sorted({node[1:] for node in nodes})
        self._of_list = sorted(range(len(nodes)), key=lambda index: kinds.index(nodes[index][1:]))  # by world position
        world = _world([nodes[index] for index in self._of_list], [Node("", *kind) for kind in kinds])
        position = np.argsort(self._of_list)
        self._placer = Placer(world, Policy(), mix=mix, tie_order=position[tie_order])
        self._placer.warm()
        self._arrivals = arrivals
        self._jobs = _jobs(world, arrivals)
        self._idle = [list(range(nodes[index].cards)) for index in self._of_list]
        self._split: list[dict[int, int]] = [{} for _ in nodes]

    def place(self) -> tuple[list[Placement], float]:
        """Place every arrival, one after the other. Return what became of them, and the seconds that deciding took."""
        began = time.perf_counter()
        decided = list(self._decisions())
        seconds = time.perf_counter() - began
        return [self._named(*one) for one in decided], seconds

    def _decisions(self) -> Iterator[tuple[int, int, int | None]]:
        """Yield cards, node (-1: none) and the number of the split card of each arrival."""
        classes = self._arrivals.classes
        with_cards = self._placer.place_each(self._jobs)
        for c in self._arrivals.order.tolist():
            request = classes[c]
            if not request.cards:
                node = self._placer.place_without_cards(request.cpu_milli, request.memory_mib, request.models)
                yield 0, -1 if node is None else node, None
                continue
            decision = next(with_cards)
            if isinstance(decision, Placed):
                (node,), cards = decision.placement.nodes, decision.placement.cards
                yield request.cards, node, cards[0] if cards else None
            else:
                yield request.cards, -1, None

    def _named(self, cards: int, node: int, split: int | None) -> Placement:
        """Return the placement by index in the list, with the numbers of its cards."""
        if node < 0:
            return NOWHERE
        idle, names = self._idle[node], self._split[node]
        if split is None:
            taken = tuple(idle.pop(0) for _ in range(cards))
        else:
            if split not in names:
                names[split] = idle.pop(0)
            taken = (names[split],)
        return Placement(self._of_list[node], taken)


def _world(nodes: Sequence[Node], kinds: Sequence[Node]) -> Snapshot:
    """Return an exchange with one pool for each kind of node and no job; every share of whole milli is offered."""
    models = sorted({kind.model for kind in kinds})
    pool_of = {kind[1:]: pool for pool, kind in enumerate(kinds)}
    count, shares = len(models), np.arange(1, CARD_MILLI)
    arrays: dict[str, Any] = {
        "model_names": models,
        "model_stack": ["any"] * count,
        "model_origin": ["foreign"] * count,
        "model_fp16_programme_milli_tflops": [FP16_MILLI_TFLOPS] * count,
        "model_fp16_nameplate_milli_tflops": [-1] * count,
        "model_fp16_measured_milli_tflops": [-1] * count,
        "slice_start": len(shares) * np.arange(count + 1),
        "slice_milli": np.tile(shares, count),
        "hub_names": ["hub"],
        "city_names": ["city"],
        "city_weight_ppm": [10**6],
        "round_trip_micros": [[0]],
        "pool_names": [f"openb/{pool}" for pool in range(len(kinds))],
        "pool_cluster": ["openb"] * len(kinds),
        "pool_hub": [0] * len(kinds),
        "pool_model": [models.index(kind.model) for kind in kinds],
        "pool_ask_micro_yuan_per_card_hour": [0] * len(kinds),
        "node_names": [node.name for node in nodes],
        "node_pool": [pool_of[node[1:]] for node in nodes],
        "node_open": [True] * len(nodes),
    }
    for free in ("node_", "node_free_"):
        arrays[f"{free}cards"] = [node.cards for node in nodes]
        arrays[f"{free}cpu_milli"] = [node.cpu_milli for node in nodes]
        arrays[f"{free}memory_mib"] = [node.memory_mib for node in nodes]
    nobody: dict[str, Any] = dict.fromkeys(ARRAYS_OF_JOBS, ()) | {"build_start": [0]}
    return Snapshot(taken_at_s=0, **arrays, **nobody)


def _jobs(world: Snapshot, arrivals: Arrivals) -> Snapshot:
    """Return the arrivals with cards as jobs, in their order: one shape and build for each request class."""
    order = arrivals.order[arrivals.milli() > 0]
    used, shape = np.unique(order, return_inverse=True)
    requests = [arrivals.classes[c] for c in used.tolist()]
    count = len(order)
    return world.with_jobs(
        world.taken_at_s,
        shape_tasks=[1] * len(requests),
        shape_cards_per_task=[request.cards for request in requests],
        shape_cpu_milli_per_task=[request.cpu_milli for request in requests],
        shape_memory_mib_per_task=[request.memory_mib for request in requests],
        shape_share_milli=[_share_milli(request) for request in requests],
        shape_round_trip_micros_max=[-1] * len(requests),
        shape_hub_allowed=[[True]] * len(requests),
        build_start=np.arange(len(requests) + 1),
        build_stack=["any"] * len(requests),
        build_models=[[not r.models or model in r.models for model in world.model_names] for r in requests],
        build_speed_ppm=[10**6] * len(requests),
        job_id=[str(number) for number in range(count)],
        job_city=[0] * count,
        job_shape=shape,
        job_priority=[0] * count,
        job_ceiling_micro_yuan_per_pflops_hour=[CEILING_MICRO_YUAN] * count,
        job_submitted_at_s=[0] * count,
        job_walltime_seconds=[1] * count,
    )


def _share_milli(request: Request) -> int:
    return request.card_milli if request.cards == 1 and request.card_milli < CARD_MILLI else 0
