"""Our own policy: the production placer at every arrival, the production planner in rounds; as they are.

Rounds are at least `every_s` virtual seconds apart and happen only when something ended or arrived since the last one
and somebody waits who could fit. Between rounds the placer goes by the prices of the last round and by what was free
after it; when nobody waits it is made anew from what is free, so that freed cards do not stand idle.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.replay.engine import NEVER, NOTHING, Moves, Start, State
from benchmarks.replay.workload import Workload
from scheduler.placer import Placed, Placer, last_prices
from scheduler.plan import Placement
from scheduler.planner import plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Ints, Snapshot

ROUNDS_AIMED_AT: Final = 20_000
"""Of a replay without `--round`: the time between rounds is the span over this, rounded up to ten seconds."""


def round_seconds(span_s: int) -> int:
    """Return the time between rounds for a trace of this span."""
    return max(10, 10 * -(-span_s // (10 * ROUNDS_AIMED_AT)))


class Demand:
    """Arrays of jobs for snapshots; each kind of gang is a shape, with a build for each model that it runs on."""

    def __init__(self, load: Workload) -> None:
        self._load = load
        key = np.column_stack([load.tasks, load.per_task, load.rate_ppm])
        kinds, shape = np.unique(key, axis=0, return_inverse=True)
        self._shape: Ints = shape.reshape(-1)
        self._tasks, self._per_task, self._rate = kinds[:, 0], kinds[:, 1], kinds[:, 2:]

    def snapshot(self, world: Snapshot, now_s: int, jobs: Ints) -> Snapshot:
        """Return these jobs in this world."""
        load = self._load
        kinds, shape = np.unique(self._shape[jobs], return_inverse=True)
        row, model = np.nonzero(self._rate[kinds] > 0)
        zero = np.zeros(kinds.size, dtype=np.int64)
        builds = np.zeros((row.size, len(load.world.model_names)), dtype=bool)
        builds[np.arange(row.size), model] = True
        return world.with_jobs(
            now_s,
            shape_tasks=self._tasks[kinds],
            shape_cards_per_task=self._per_task[kinds],
            shape_cpu_milli_per_task=zero,
            shape_memory_mib_per_task=zero,
            shape_round_trip_micros_max=zero - 1,
            shape_hub_allowed=np.ones((kinds.size, 1), dtype=bool),
            build_start=np.searchsorted(row, np.arange(kinds.size + 1)),
            build_stack=[load.world.model_stack[each] for each in model.tolist()],
            build_models=builds,
            build_speed_ppm=self._rate[kinds][row, model],
            job_id=[f"{job}" for job in jobs.tolist()],
            job_city=load.trace.vc[jobs],
            job_shape=shape.reshape(-1),
            job_priority=load.priority[jobs],
            job_ceiling_micro_yuan_per_pflops_hour=load.ceiling_micro_yuan[jobs],
            job_submitted_at_s=load.trace.submit_s[jobs],
            job_walltime_seconds=load.walltime_s[jobs],
        )


class Exchange:
    """The planner and the placer over a replay."""

    def __init__(self, load: Workload, policy: Policy, every_s: int) -> None:
        self._load, self._demand, self._policy, self._every_s = load, Demand(load), policy, every_s
        self._waiting = np.zeros(0, dtype=np.int64)
        self._prices: tuple[OpeningPrice, ...] = ()
        self._placer: Placer | None = None
        self._view: Snapshot | None = None
        self._changed, self._stale, self._next_s = False, True, 0
        self._used = np.zeros(len(load.trace.vc_names), dtype=np.int64)  # milli-TFLOPS by virtual cluster
        self._takes: dict[int, int] = {}
        self.rounds, self.round_seconds, self.place_seconds = 0, 0.0, 0.0

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:
        """Place who arrives, and hold a round when it is time."""
        for job in ended:
            self._used[self._load.trace.vc[job]] -= self._takes.pop(job)
        self._stale |= bool(ended)
        self._changed |= bool(ended) or bool(arrived)
        starts: list[Start] = []
        free = state.free.copy()
        if arrived:
            starts = self._place(now_s, np.array(arrived, dtype=np.int64), free)
        if self._changed and now_s >= self._next_s and self._could_start(free):
            starts += self._round(now_s, free)
        return Moves(starts) if starts else NOTHING

    def wake_s(self, now_s: int) -> int:
        """Return when the next round is due, if there is anything to decide."""
        return self._next_s if self._changed and self._waiting.size and self._next_s > now_s else NEVER

    def _could_start(self, free: Ints) -> bool:
        if not self._waiting.size:
            return False
        return bool(self._load.per_task[self._waiting].min() <= free.max())

    def _snapshot(self, now_s: int, free: Ints) -> Snapshot:
        return self._load.world.snapshot(now_s, free, self._load.trace.vc_names, np.maximum(self._used, 0))

    def _place(self, now_s: int, arrived: Ints, free: Ints) -> list[Start]:
        began = perf_counter()
        if self._placer is None or self._view is None or (self._stale and not self._waiting.size):
            self._view = self._snapshot(now_s, free)
            self._placer = Placer(self._view, self._policy, self._prices)
            self._stale = False
        found = self._placer.place(self._demand.snapshot(self._view, now_s, arrived))
        starts = self._starts([each.placement for each in found if isinstance(each, Placed)], free)
        placed = {one.job for one in starts}
        self._waiting = np.append(self._waiting, [job for job in arrived.tolist() if job not in placed]).astype(
            np.int64
        )
        self.place_seconds += perf_counter() - began
        return starts

    def _round(self, now_s: int, free: Ints) -> list[Start]:
        began = perf_counter()
        world = self._demand.snapshot(self._snapshot(now_s, free), now_s, self._waiting)
        made = plan(world, self._policy)
        self._prices = last_prices(world, made)
        starts = self._starts(made.placements, free)
        self._waiting = self._waiting[~np.isin(self._waiting, [one.job for one in starts])]
        self._placer, self._view = None, None
        self._changed, self._next_s = False, now_s + self._every_s
        self.rounds += 1
        self.round_seconds += perf_counter() - began
        return starts

    def _starts(self, placements: Sequence[Placement], free: Ints) -> list[Start]:
        """Return the starts, and count their cards as taken."""
        load, starts = self._load, []
        for each in placements:
            job = int(each.job_id)
            cards = [int(tasks * load.per_task[job]) for tasks in each.tasks]
            free[list(each.nodes)] -= cards
            self._takes[job] = sum(cards) * int(load.world.milli_tflops[load.world.pool_model[each.pool]])
            self._used[load.trace.vc[job]] += self._takes[job]
            starts.append(Start(job, each.pool, each.nodes, cards))
        return starts
