"""The same tasks as a backlog: all known at once, beside policies that are fed the largest first.

The planner must place as many tasks without cards, of each class, as FGD does: card milli are not to be had by leaving
them out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.openb.audit import findings
from benchmarks.openb.run import run
from benchmarks.openb.trace import CARD_MILLI, Arrivals, Node, Placement, Request
from scheduler import card_ground
from scheduler.mix import Mix
from scheduler.patterns import pack

RIVALS = ("first-fit", "fgd")
PLANNER = "xisuan"


@dataclass(frozen=True, slots=True)
class Packed:
    """One policy's packing of one seed.

    Attributes:
        percent: allocated card milli over capacity.
        left_out: tasks without cards that have no place.
        seconds: that deciding took.
        placements: of the arrivals in the order of `Arrivals`.
        found: by the audit.
        bound_percent: what no packing exceeds, under the planner's requirement; None for the rivals.
    """

    percent: float
    left_out: int
    seconds: float
    placements: Sequence[Placement]
    found: Sequence[str]
    bound_percent: float | None = None


def largest_first(arrivals: Arrivals) -> Arrivals:
    """Return the arrivals by card milli, then CPU, the largest first; tasks without cards come last."""
    classes = arrivals.classes
    ranked = sorted(range(len(classes)), key=lambda c: (-classes[c].milli, -classes[c].cpu_milli, c))
    rank = np.empty(len(classes), dtype=np.int64)
    rank[ranked] = np.arange(len(classes))
    return Arrivals(classes, arrivals.order[np.argsort(rank[arrivals.order], kind="stable")])


def backlog(nodes: Sequence[Node], arrivals: Arrivals, mix: Mix, seed: int) -> dict[str, Packed]:
    """Return every policy's packing by name."""
    fed = largest_first(arrivals)
    packed = {}
    for name in RIVALS:
        done = run(name, nodes, fed, mix, seed)
        packed[name] = _judged(nodes, fed, done.placements, done.seconds)
    placed = [
        c for c, placement in zip(fed.order.tolist(), packed["fgd"].placements, strict=True) if placement.node >= 0
    ]
    packed[PLANNER] = _planned(nodes, fed, np.bincount(placed, minlength=len(fed.classes)).tolist())
    return packed


def _planned(nodes: Sequence[Node], fed: Arrivals, fgd_placed: Sequence[int]) -> Packed:
    counts = np.bincount(fed.order, minlength=len(fed.classes)).tolist()
    kinds = [
        kind_of(request, count, 0 if request.cards else required)
        for request, count, required in zip(fed.classes, counts, fgd_placed, strict=True)
    ]
    free = [card_ground.Node(n.model, n.cpu_milli, n.memory_mib, (CARD_MILLI,) * n.cards) for n in nodes]
    began = time.perf_counter()
    packing = pack(kinds, free)
    seconds = time.perf_counter() - began
    waiting: dict[int, list[Placement]] = {}
    for kind, node, cards in packing.placed:
        waiting.setdefault(kind, []).append(Placement(node, cards))
    nowhere = Placement(-1, ())
    placements = [waiting[c].pop() if waiting.get(c) else nowhere for c in fed.order.tolist()]
    broken = [f"{count} tasks of {kinds[c]}, which FGD places, have no place" for c, count in packing.missing.items()]
    broken += [f"{len(rest)} more placements of class {c} than tasks" for c, rest in waiting.items() if rest]
    if packing.bound is not None and packing.worth > packing.bound:
        broken.append(f"{packing.worth} milli exceed the bound {packing.bound}")
    return _judged(nodes, fed, placements, seconds, broken, packing.bound)


def kind_of(request: Request, count: int, required: int = 0) -> card_ground.Kind:
    """Return a class of tasks as the scheduler sees it, worth its card milli."""
    share = request.card_milli if request.cards == 1 and request.card_milli < CARD_MILLI else 0
    return card_ground.Kind(
        cards=0 if share else request.cards,
        share_milli=share,
        cpu_milli=request.cpu_milli,
        memory_mib=request.memory_mib,
        models=request.models,
        count=count,
        worth=request.milli,
        required=required,
    )


def _judged(
    nodes: Sequence[Node],
    fed: Arrivals,
    placements: Sequence[Placement],
    seconds: float,
    broken: Sequence[str] = (),
    bound: int | None = None,
) -> Packed:
    capacity_milli = CARD_MILLI * sum(node.cards for node in nodes)
    milli = fed.milli()
    placed = np.array([placement.node >= 0 for placement in placements], dtype=bool)
    return Packed(
        percent=100.0 * float(milli[placed].sum()) / capacity_milli,
        left_out=int((~placed & (milli == 0)).sum()),
        seconds=seconds,
        placements=placements,
        found=[*broken, *findings(nodes, fed, placements)],
        bound_percent=None if bound is None else 100.0 * bound / capacity_milli,
    )
