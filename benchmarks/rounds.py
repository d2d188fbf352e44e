"""Rounds of the planner in a process of its own: its time and memory, and nobody else's."""

import gc
import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from time import perf_counter, process_time
from types import TracebackType
from typing import Self

from benchmarks.worlds.national import national
from benchmarks.worlds.trace import real_jobs
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.workers import Threads


@dataclass(frozen=True, slots=True)
class Round:
    """A plan and what it cost."""

    plan: Plan
    seconds: float
    cpu_seconds: float
    peak_mib: float  # of the process, everything it did before included

    @property
    def gap(self) -> float:
        """How far the plan can be from the best, as a fraction of the bound."""
        return 1 - self.plan.objective / self.plan.bound if self.plan.bound > 0 else 0.0


class Planner:
    """A fresh process that plans; use it as a context. What it raises is raised here."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __enter__(self) -> Self:
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def compile(self) -> float:
        """Load or make the compiled code by planning a small instance with every rule; return the seconds."""
        return self._pool.submit(_compile).result()

    def round(self, world: Snapshot, policy: Policy, budget: float) -> Round:
        """Plan the world until the budget (seconds, 0: none) has ended."""
        return self._pool.submit(_round, world.to_bytes(), policy, budget, self._threads).result()


def _compile() -> float:
    began = perf_counter()
    plan(national(0, 60, 12, 300, real_jobs(None)), Policy(effort=4, seats_from_pairs=0))
    gc.freeze()  # the compiler's objects stay: as in the broker's planning process, no round looks at them again
    return perf_counter() - began


def _round(world: bytes, policy: Policy, budget: float, threads: int) -> Round:
    snapshot = Snapshot.from_bytes(world)
    del world  # the input of the planner is the snapshot: its file is not the planner's memory
    began, cpu = perf_counter(), process_time()
    made = plan(snapshot, policy, _stop_after(budget), Threads(threads))
    seconds, cpu_seconds = perf_counter() - began, process_time() - cpu
    return Round(made, seconds, cpu_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _stop_after(seconds: float) -> Callable[[], bool]:
    if not seconds:
        return lambda: False
    end = perf_counter() + seconds
    return lambda: perf_counter() >= end
