"""CP-SAT on a linear model in a process of its own: killed when it grows too large, and nobody else with it.

The model comes as arrays, so that millions of terms are a second's work to hand over and no object for each of them.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Final

import numpy as np
import psutil
from ortools.sat.python import cp_model

from scheduler.snapshot import Ints

WATCH_SECONDS: Final = 0.05
GRACE_SECONDS: Final = 60.0
"""Beside the solver's own limit: for start and building, then for a solver that is slow to stop; then it is killed."""
INT64: Final = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Maximise `worth @ x` where whole `x` lies in 0 .. `most`, `rows @ x <= upper`, and groups exclude one another."""

    most: Ints  # [V] 1: yes or no
    worth: Ints  # [V]
    group_start: (
        Ints  # [G + 1] of variables group_start[g] .. group_start[g + 1] - 1, all yes or no, one at most is yes
    )
    row_start: Ints  # [R + 1] terms of row r are row_start[r] .. row_start[r + 1] - 1
    term_variable: Ints
    term_use: Ints
    upper: Ints  # [R]
    hint: Ints | None = None  # [V] an answer to begin with


class End(StrEnum):
    """How the solver ended."""

    PROVEN = "found and proved best"
    FOUND = "found"
    NOTHING = "found nothing in the time"
    LATE = "found nothing in the time, killed as it did not stop"
    MEMORY = "killed at the memory limit"
    DIED = "its process died"


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """What the solver found, and what it cost."""

    end: End
    values: Ints  # [V]; empty when nothing was found
    bound: float  # of the model's objective; infinite when none was proved
    build_seconds: float  # arrays to model; 0 when it was killed before
    model_mib: float  # that the model alone takes before anything is solved; 0 when it was killed before
    peak_mib: float  # of the whole process, as often as it was looked at


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    seconds: float
    mib: float


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    end: End
    values: Ints
    bound: float


def solve(
    model: Linear,
    seconds_max: float,
    memory_mib_max: float,
    seed: int,
    workers: int,
    grace_seconds: float = GRACE_SECONDS,
) -> Solved:
    """Let CP-SAT search this long in a process that may have this much memory (resident, libraries included)."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(there, seconds_max, seed, workers), daemon=True)
    child.start()
    there.close()
    try:
        with suppress(OSError):  # it died while it started: the watch finds out
            here.send(model)
        return _watched(here, _resident(psutil.Process(child.pid)), seconds_max + grace_seconds, memory_mib_max)
    finally:
        child.kill()
        child.join()
        here.close()


def _watched(pipe: Connection, resident_mib: Callable[[], float], seconds_max: float, memory_mib_max: float) -> Solved:
    end, built, peak = perf_counter() + seconds_max, _Built(0.0, 0.0), 0.0

    def solved(answer: _Answer) -> Solved:
        return Solved(answer.end, answer.values, answer.bound, built.seconds, built.mib, peak)

    nothing = np.empty(0, dtype=np.int64)
    while perf_counter() < end:
        peak = max(peak, resident_mib())
        if peak > memory_mib_max:
            return solved(_Answer(End.MEMORY, nothing, np.inf))
        if not pipe.poll(WATCH_SECONDS):
            continue
        try:
            told = pipe.recv()
        except (EOFError, OSError):
            return solved(_Answer(End.DIED, nothing, np.inf))
        if isinstance(told, _Answer):
            return solved(told)
        built, end = told, perf_counter() + seconds_max
    return solved(_Answer(End.LATE, nothing, np.inf))


def _resident(process: psutil.Process) -> Callable[[], float]:
    def mib() -> float:
        try:
            return float(process.memory_info().rss) / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    return mib


def _child(pipe: Connection, seconds_max: float, seed: int, workers: int) -> None:
    resident_mib = _resident(psutil.Process())
    told: Linear = pipe.recv()
    before, began = resident_mib(), perf_counter()
    model = built(told)
    pipe.send(_Built(perf_counter() - began, resident_mib() - before))
    variables = told.most.size
    del told  # the memory limit is for the solver
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds_max
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = workers
    status = solver.solve(model)
    if status == cp_model.MODEL_INVALID:
        raise ValueError(model.validate())
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        pipe.send(_Answer(End.NOTHING, np.empty(0, dtype=np.int64), np.inf))
        return
    values = np.fromiter(solver.response_proto.solution, dtype=np.int64, count=variables)
    found = End.PROVEN if status == cp_model.OPTIMAL else End.FOUND
    pipe.send(_Answer(found, values, solver.best_objective_bound))


def built(told: Linear) -> cp_model.CpModel:
    """Return the model, filled array by array: adding term by term takes minutes where this takes seconds."""
    model = cp_model.CpModel()
    proto = model.proto
    for most in told.most.tolist():
        proto.variables.add().domain.extend([0, most])
    for first, end in zip(told.group_start[:-1].tolist(), told.group_start[1:].tolist(), strict=True):
        if end - first > 1:
            proto.constraints.add().at_most_one.literals.extend(list(range(first, end)))
    for row, upper in enumerate(told.upper.tolist()):
        terms = slice(told.row_start[row], told.row_start[row + 1])
        linear = proto.constraints.add().linear
        linear.vars.extend(told.term_variable[terms].tolist())
        linear.coeffs.extend(told.term_use[terms].tolist())
        linear.domain.extend([INT64.min, upper])
    priced = np.flatnonzero(told.worth)
    proto.objective.vars.extend(priced.tolist())
    proto.objective.coeffs.extend((-told.worth[priced]).tolist())  # it minimises
    proto.objective.scaling_factor = -1.0
    if told.hint is not None:
        proto.solution_hint.vars.extend(list(range(told.hint.size)))
        proto.solution_hint.values.extend(told.hint.tolist())
    return model
