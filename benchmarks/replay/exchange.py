"""Our own policy: the production placer at every arrival, the production rounds with their promises; as they are.

Rounds are at least `every_s` virtual seconds apart, but for promised starts that are due, and happen only when
something ended or arrived since the last one and somebody waits who could fit. Between rounds the placer goes by the
prices of the last round and by what was free after it, promised nodes being free only until then; when nobody waits it
is made anew from what is free, so that freed cards do not stand idle. When a quote is accepted a round is held at once,
and the placer places nobody before it, as in the broker: it does not know yet what has been promised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.replay.engine import NEVER, Moves, Quoted, Start, State
from benchmarks.replay.outcomes import Outcomes
from benchmarks.replay.quoting import Quotes
from benchmarks.replay.workload import Workload
from scheduler.arrays import those_there
from scheduler.decide import Decision, decide
from scheduler.fields import PRIORITIES
from scheduler.horizon import Horizon, Promise
from scheduler.placer import Placed, Placer, last_prices
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Ints, Snapshot
from scheduler.zones import Zoned, open_world

EMERGENCY: Final = PRIORITIES.index("emergency")
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
        urgent = load.priority == EMERGENCY
        self.tier: Ints = np.where(urgent | ~urgent.any(), 0, 1)  # emergencies are a tier above all others

    def snapshot(self, world: Snapshot, now_s: int, jobs: Ints) -> Snapshot:
        """Return these jobs in this world."""
        load = self._load
        kinds, shape = those_there(self._shape[jobs], self._tasks.size)
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
            job_shape=shape,
            job_priority=load.priority[jobs],
            job_ceiling_micro_yuan_per_pflops_hour=load.ceiling_micro_yuan[jobs],
            job_submitted_at_s=load.trace.submit_s[jobs],
            job_walltime_seconds=load.walltime_s[jobs],
            job_tier=self.tier[jobs],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """What a job that runs holds, and until when at the latest."""

    nodes: Sequence[int]
    cards: Sequence[int]
    ends_s: int
    milli_tflops: int


class Exchange:
    """The rounds and the placer over a replay."""

    def __init__(self, load: Workload, policy: Policy, every_s: int, quotes: Quotes | None = None) -> None:
        """`quotes`: of those jobs that ask for one; None: nobody does."""
        self._load, self._demand, self._policy, self._every_s = load, Demand(load), policy, every_s
        self._quotes = quotes or Quotes(load, policy)
        self._waiting = np.zeros(0, dtype=np.int64)
        self._running: dict[int, _Running] = {}
        self._promises: tuple[Promise, ...] = ()
        self._prices: tuple[OpeningPrice, ...] = ()
        self._placer: Placer | None = None
        self._view: Zoned | None = None
        self._changed, self._stale, self._next_s = False, True, 0
        self._used = np.zeros(len(load.trace.vc_names), dtype=np.int64)  # milli-TFLOPS by virtual cluster
        self._outcomes = Outcomes()
        self._nodes = np.arange(load.world.node_cards.size)
        self._empty = load.world.snapshot(0, load.world.node_cards, load.trace.vc_names, self._used)
        self.rounds, self.round_seconds, self.place_seconds = 0, 0.0, 0.0

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:
        """Place who arrives, and hold a round when it is time."""
        for job in ended:
            self._used[self._load.trace.vc[job]] -= self._running.pop(job).milli_tflops
        self._stale |= bool(ended)
        self._changed |= bool(ended) or bool(arrived)
        starts: list[Start] = []
        free, asked = state.free.copy(), self._quotes.asking(arrived)
        owed, quoted = self._quotes.missed(now_s), self._accepted(now_s, asked, free)
        told = [(int(promise.job_id), promise.start_s) for promise in self._promises] if quoted else []
        if quoted:
            self._waiting = np.append(self._waiting, np.array(arrived, dtype=np.int64))
        elif arrived:
            starts = self._place(now_s, np.array(arrived, dtype=np.int64), free)
        due = bool(quoted) or any(promise.start_s <= now_s for promise in self._promises)
        if not due and not (self._changed and now_s >= self._next_s and self._could_start(free)):
            return Moves(starts, asked=asked, credits=owed)
        more, stopped, expects = self._round(now_s, free)
        told += [(int(promise.job_id), promise.start_s) for promise in self._promises]
        return Moves(starts + more, stopped, told, expects, asked, quoted, owed)

    def wake_s(self, now_s: int) -> int:
        """Return when the next round is due, if there is anything to decide."""
        due = [promise.start_s for promise in self._promises]
        if self._changed and self._waiting.size and self._next_s > now_s:
            due.append(self._next_s)
        return min(due, default=NEVER)

    def _accepted(self, now_s: int, asking: Sequence[int], free: Ints) -> list[Quoted]:
        """Let these jobs ask one after the other; return the quotes that were accepted. Their starts are promised."""
        found = []
        for job in asking:
            world = self._demand.snapshot(self._world(now_s, free), now_s, np.array([job], dtype=np.int64))
            accepted = self._quotes.accept(job, world, self._horizon(), self._prices)
            if accepted is not None:
                quoted, promise = accepted
                self._promises = (*self._promises, promise)
                found.append(quoted)
        return found

    def _could_start(self, free: Ints) -> bool:
        if not self._waiting.size:
            return False
        return bool(self._load.per_task[self._waiting].min() <= free.max())

    def _world(self, now_s: int, free: Ints) -> Snapshot:
        """Return what is free now; without jobs."""
        return self._empty.with_free(
            node_free_cards=free,
            node_free_cpu_milli=self._load.world.cpu_milli(self._nodes, free),
            node_free_memory_mib=self._load.world.memory_mib(self._nodes, free),
            city_used_milli_tflops=np.maximum(self._used, 0),
        ).with_jobs(now_s)

    def _horizon(self) -> Horizon:
        """Return what is known of the time to come: requested walltimes, and what is promised."""
        running = list(self._running.values())
        held = [
            (at, node, cards)
            for at, each in enumerate(running)
            for node, cards in zip(each.nodes, each.cards, strict=True)
        ]
        entries = np.array(held, dtype=np.int64).reshape(-1, 3)
        node, cards = entries[:, 1], entries[:, 2]
        return Horizon(
            lease_id=tuple(str(job) for job in self._running),
            lease_ends_at_s=np.array([each.ends_s for each in running], dtype=np.int64),
            held_lease=entries[:, 0],
            held_node=node,
            held_cards=cards,
            held_cpu_milli=self._load.world.cpu_milli(node, cards),
            held_memory_mib=self._load.world.memory_mib(node, cards),
            promises=self._promises,
        )

    def _place(self, now_s: int, arrived: Ints, free: Ints) -> list[Start]:
        began = perf_counter()
        if self._placer is None or self._view is None or (self._stale and not self._waiting.size):
            world, horizon = self._world(now_s, free), self._horizon()
            self._view = open_world(world, horizon, self._policy.lease_end_margin_seconds)
            self._placer = Placer(self._view.world, self._policy, self._prices)
            self._stale = False
        fits = arrived[self._load.per_task[arrived] <= free.max()]  # the placer knows of nothing more that is free
        found = self._placer.place(self._demand.snapshot(self._view.world, now_s, fits)) if fits.size else []
        placed = [self._view.unzoned(each.placement) for each in found if isinstance(each, Placed)]
        starts = self._starts(now_s, placed, free)
        gone = {one.job for one in starts}
        self._waiting = np.append(self._waiting, [job for job in arrived.tolist() if job not in gone]).astype(np.int64)
        self.place_seconds += perf_counter() - began
        return starts

    def _round(self, now_s: int, free: Ints) -> tuple[list[Start], Sequence[int], list[tuple[int, int]]]:
        """Return what starts, the jobs that are stopped, and the starts that are expected."""
        began = perf_counter()
        world, horizon = self._demand.snapshot(self._world(now_s, free), now_s, self._waiting), self._horizon()
        made = decide(world, horizon, self._quotes.of_rounds(self._promises))
        self._prices = last_prices(made.zoned.world, made.plan)
        self._promises = made.promises
        stopped = self._stopped(world, horizon, made)
        starts = self._starts(now_s, made.placements, free)
        gone = [one.job for one in starts]
        self._outcomes.started(now_s, gone)
        self._quotes.started(now_s, gone)
        self._waiting = self._waiting[~np.isin(self._waiting, gone)]
        expects = self._outcomes.expect(world, self._horizon(), self._policy)
        self._placer, self._view = None, None
        self._changed, self._next_s = False, now_s + self._every_s
        self.rounds += 1
        self.round_seconds += perf_counter() - began
        return starts, stopped, expects

    def _stopped(self, world: Snapshot, horizon: Horizon, made: Decision) -> Sequence[int]:  # noqa: ARG002
        """Return the jobs that are stopped after a round, none here; `preempting` has another answer."""
        return ()

    def _starts(self, now_s: int, placements: Sequence[Placement], free: Ints) -> list[Start]:
        """Return the starts, and count their cards as taken."""
        load, starts = self._load, []
        for each in placements:
            job = int(each.job_id)
            cards = [int(tasks * load.per_task[job]) for tasks in each.tasks]
            free[list(each.nodes)] -= cards
            takes = sum(cards) * int(load.world.milli_tflops[load.world.pool_model[each.pool]])
            self._running[job] = _Running(each.nodes, cards, now_s + int(load.walltime_s[job]), takes)
            self._used[load.trace.vc[job]] += takes
            starts.append(Start(job, each.pool, each.nodes, cards))
        return starts
