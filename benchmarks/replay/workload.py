"""A trace in a world: tasks by the size of nodes, who may run where, for how long, and what that is worth."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.replay.demand import draw
from benchmarks.replay.trace import BadTrace, Trace
from benchmarks.replay.world import World
from scheduler.snapshot import Ints

PPM: Final = 10**6
SPEED_PPM_MAX: Final = 10**7
PRIORITY_PERCENT: Final = (25, 100, 400, 1_600)
"""The planner's default factors: worth earned and worth planned are one thing, but for ageing and fair share."""
NOWHERE: Final = -1

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """All that is known of the jobs in a world. J jobs, P pools, M models.

    Attributes:
        tasks: [J] each with `per_task` cards on one node: as many as divide the gang evenly and fit the largest node.
        run_s: [J, P] true run time there; `NOWHERE` where it may not run.
        rate_ppm: [J, M] the planner's speed of a build on the model, in millionths; 0: none.
        worth_micro_yuan: [J, P] an hour while it runs there: value less ask, times priority; no ageing, no fair share.
        preferred: [J, P] its pools, the fastest first, the cheapest of equals; `NOWHERE` after the last.
    """

    trace: Trace
    world: World
    tasks: Ints
    per_task: Ints
    run_s: Ints
    rate_ppm: Ints
    walltime_s: Ints
    priority: Ints
    ceiling_micro_yuan: Ints
    worth_micro_yuan: Ints
    preferred: Ints

    @property
    def jobs(self) -> int:
        """How many."""
        return self.tasks.size

    @property
    def load(self) -> float:
        """Card-seconds on the fastest allowed pool over those that there are between first and last arrival."""
        fastest = self.run_s[np.arange(self.jobs), self.preferred[:, 0]]
        return float((fastest * self.trace.cards).sum()) / (self.world.cards * max(self.trace.span_s, 1))


def in_world(trace: Trace, world: World, seed: int) -> Workload:
    """Put a trace into a world. Raise BadTrace for a job that could run nowhere even if nothing else ran."""
    model = world.pool_model
    relative = _relative(trace, world)
    with np.errstate(divide="ignore"):
        run = np.where(relative > 0, np.ceil(trace.duration_s[:, None] / relative), 0).astype(np.int64)[:, model]
    rate = np.rint(relative * PPM * world.milli_tflops[0] / world.milli_tflops[None, :]).astype(np.int64)
    if np.any(rate > SPEED_PPM_MAX):
        raise BadTrace(f"{world.name}: a job would run more than ten times as fast as its card's tflops: correct those")
    tasks, per_task = split(trace.cards, int(world.pool_cards.max()))
    seats = np.diff(world.pool_first) * (world.pool_cards // per_task[:, None])
    holds = (rate[:, model] > 0) & (seats >= tasks[:, None])
    drawn = draw(trace, world, np.where(holds, run, 0).max(axis=1), seed)
    net = _net(trace.cards, rate[:, model], drawn.ceiling_micro_yuan, world)
    allowed = holds & (net > 0)
    nowhere = np.flatnonzero(~allowed.any(axis=1))
    if nowhere.size:
        job = int(nowhere[0])
        raise BadTrace(
            f"{world.name}: {nowhere.size} jobs can never run there, the first asks for {trace.cards[job]} cards as "
            f"{tasks[job]} x {per_task[job]} at most {drawn.ceiling_micro_yuan[job] / PPM:g} yuan per PFLOPS-hour: "
            "give a larger world, or higher ceilings"
        )
    percent = np.array(PRIORITY_PERCENT, dtype=np.int64)[drawn.priority]
    run = np.where(allowed, run, NOWHERE)
    return Workload(
        trace=trace,
        world=world,
        tasks=tasks,
        per_task=per_task,
        run_s=run,
        rate_ppm=rate,
        walltime_s=drawn.walltime_s,
        priority=drawn.priority,
        ceiling_micro_yuan=drawn.ceiling_micro_yuan,
        worth_micro_yuan=np.where(allowed, np.maximum(net * percent[:, None] // 100, 1), 0),
        preferred=_preferred(run, net, allowed),
    )


def _relative(trace: Trace, world: World) -> NDArray[np.float64]:
    """Return [J, M]: speed against the reference; by FP16 against the world's first model where the trace says none."""
    count = trace.cards.size
    if not trace.speed:
        by_flops: NDArray[np.float64] = np.tile(world.milli_tflops / world.milli_tflops[0], (count, 1))
        return by_flops
    if not any(name in trace.speed for name in world.model_names):
        raise BadTrace(
            f"{world.name}: has {', '.join(world.model_names)}; the trace runs on {', '.join(sorted(trace.speed))}"
        )
    return np.stack([trace.speed.get(name, np.zeros(count)) for name in world.model_names], axis=1)


def split(cards: Ints, node_cards: int) -> tuple[Ints, Ints]:
    """Return tasks and cards of each: the largest divisor of the gang that one node holds, so 12 is 2 x 6 on eights."""
    per_task = np.ones_like(cards)
    for size in range(1, node_cards + 1):
        per_task[cards % size == 0] = size
    return cards // per_task, per_task


def _net(cards: Ints, rate: Ints, ceiling: Ints, world: World) -> Ints:
    """Return [J, P]: what the city would pay for the whole gang in an hour, less the ask; as the planner counts."""
    card = world.milli_tflops[world.pool_model] * rate // PPM
    value = ceiling[:, None] * card // PPM
    return np.asarray(cards[:, None] * (value - world.ask_micro_yuan), dtype=np.int64)


def _preferred(run: Ints, net: Ints, allowed: Flags) -> Ints:
    hidden = np.where(allowed, run, np.iinfo(np.int64).max)
    order = np.lexsort((-net, hidden), axis=1)
    count = allowed.sum(axis=1)[:, None]
    return np.where(np.arange(run.shape[1]) < count, order, NOWHERE)
