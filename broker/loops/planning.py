"""Run the scheduler in a process of its own, so that no call waits while it thinks."""

import asyncio
import contextlib
import ctypes
import gc
import os
import platform
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import get_context
from time import monotonic, perf_counter
from typing import Final

import numpy as np

from scheduler.decide import decide
from scheduler.decided import Decided
from scheduler.fields import WITHIN_POOL
from scheduler.horizon import Horizon, Promise
from scheduler.opening import prices_of, seats_of
from scheduler.placer import Placer
from scheduler.policy import OpeningPrice, OpeningSeat, Policy
from scheduler.profile import Gang, Profile
from scheduler.snapshot import Snapshot
from scheduler.verify import violations
from scheduler.verify_time import time_violations

OVERTIME_SECONDS_MAX: Final = 300.0
"""Far more than what a plan needs beyond its budget: the first answer and the verifier, for the largest worlds."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Planned:
    """What the planning process sends back."""

    plan: bytes
    decision: bytes  # beside the plan, see `scheduler.decided`
    prices: tuple[OpeningPrice, ...]  # of the plan, for the rounds after it
    seats: tuple[OpeningSeat, ...]  # that it gave to large gangs, should they be handed back
    violations: tuple[str, ...]  # of plan and promises, as the verifiers found them; empty: it may be committed
    plan_millis: int
    verify_millis: int


class PlannerDied(Exception):
    """The planning process ended before it answered; the next round gets a new one."""


class PlannerClosed(Exception):
    """The planning process was closed on purpose while it planned: the broker stops, and the round does not count."""


class PlanningProcess:
    """One worker process that plans and verifies; replaced when it dies."""

    def __init__(self, *, overtime_seconds_max: float = OVERTIME_SECONDS_MAX) -> None:
        """`overtime_seconds_max`: how much longer than its budget a plan may take before the process is given up."""
        self._overtime_seconds_max = overtime_seconds_max
        self._executor: ProcessPoolExecutor | None = None

    async def plan(self, snapshot: bytes, horizon: bytes, policy_json: str, budget_seconds: float) -> Planned:
        """Decide and verify. Raise PlannerDied when the process does not live to answer, or does not answer in time.

        Raise PlannerClosed when `close` was called meanwhile.
        """
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=1, mp_context=get_context("spawn"), initializer=_die_with_parent
            )
        try:
            async with asyncio.timeout(budget_seconds + self._overtime_seconds_max):
                return await asyncio.get_running_loop().run_in_executor(
                    self._executor, plan_and_verify, snapshot, horizon, policy_json, budget_seconds
                )
        except (BrokenProcessPool, TimeoutError) as error:
            if self._executor is None:
                raise PlannerClosed from error
            self.close()
            raise PlannerDied from error

    async def warm(self) -> None:
        """Start the process and let it load the solver, so that the first round does not pay for it."""
        await self.plan(empty_snapshot().to_bytes(), Horizon().to_bytes(), Policy(effort=1).to_json(), 1.0)
        if self._executor is not None:  # the fast lane's code too: made here, it is only loaded where calls are served
            await asyncio.get_running_loop().run_in_executor(self._executor, _warm_placer)

    def pids(self) -> list[int]:
        """Return the process's id; empty while there is none."""
        # There is no public way to know, or to end, a busy worker.
        return [] if self._executor is None else list(self._executor._processes or {})

    def close(self) -> None:
        """End the process at once; a plan that is under way is dropped."""
        if self._executor is not None:
            executor, pids = self._executor, self.pids()
            self._executor = None
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            executor.shutdown(wait=True, cancel_futures=True)


def plan_and_verify(snapshot: bytes, horizon: bytes, policy_json: str, budget_seconds: float) -> Planned:
    """Do one round's thinking; runs in the planning process."""
    world, ahead, policy = Snapshot.from_bytes(snapshot), Horizon.from_bytes(horizon), Policy.from_json(policy_json)
    started = perf_counter()
    made = decide(world, ahead, policy, stop_after(budget_seconds))
    planned = perf_counter()
    margin = policy.lease_end_margin_seconds
    found = [f"{v.rule.value}: {v.detail}" for v in violations(made.zoned.world, made.plan)]
    of_time = time_violations(world, ahead, margin, made.placements, made.promises, made.news)
    found += [f"{v.rule.value}: {v.detail}" for v in of_time]
    verified = perf_counter()
    return Planned(
        plan=made.plan.to_bytes(),
        decision=Decided.of(world, made).to_bytes(),
        prices=prices_of(made.zoned.world, made.plan),
        seats=seats_of(made.zoned.world, made.plan),
        violations=tuple(found[:20]),
        plan_millis=round((planned - started) * 1000),
        verify_millis=round((verified - planned) * 1000),
    )


def _warm_placer() -> None:
    Placer(empty_snapshot(), Policy()).warm()
    _warm_profile()
    gc.freeze()  # the compiler leaves some hundred thousand objects that every garbage collection would walk through


_NOTHING_WAITS: Final[dict[str, Any]] = {
    "city_names": (), "city_weight_ppm": [], "round_trip_micros": np.zeros((0, 1), np.int64), "build_stack": (),
    "shape_tasks": [], "shape_cards_per_task": [], "shape_cpu_milli_per_task": [], "shape_memory_mib_per_task": [],
    "shape_round_trip_micros_max": [], "shape_hub_allowed": np.zeros((0, 1), np.bool_), "build_start": [0],
    "build_models": np.zeros((0, 1), np.bool_), "build_speed_ppm": [], "job_id": (), "job_city": [], "job_shape": [],
    "job_priority": [], "job_submitted_at_s": [], "job_ceiling_micro_yuan_per_pflops_hour": [],
    "job_walltime_seconds": [],
}  # fmt: skip
_ONE_NODE: Final[dict[str, Any]] = {
    "taken_at_s": 0, "model_names": ("m",), "model_stack": ("s",), "model_origin": ("domestic",), "hub_names": ("h",),
    "model_fp16_programme_milli_tflops": [1], "model_fp16_nameplate_milli_tflops": [1],
    "model_fp16_measured_milli_tflops": [1], "pool_names": ("p",), "pool_cluster": ("c",), "pool_hub": [0],
    "pool_model": [0], "pool_ask_micro_yuan_per_card_hour": [0], "node_names": ("n",), "node_pool": [0],
    "node_open": [True], "node_cards": [1], "node_free_cards": [1], "node_cpu_milli": [1], "node_memory_mib": [1],
    "node_free_cpu_milli": [1], "node_free_memory_mib": [1],
}  # fmt: skip


def _warm_profile() -> None:
    """Load or make the code that looks for promised starts, so that no commit waits for it."""
    world = Snapshot(**_NOTHING_WAITS | _ONE_NODE)
    profile, gang = Profile(world, Horizon(), 0), Gang(1, 1, 0, 0, WITHIN_POOL, 60)
    profile.start((0,), (1,), gang)
    start = profile.earliest(0, gang, 1)
    nodes, tasks = profile.nodes_at(0, gang, start)
    profile.fits_at(Promise("job-1", start, start + 60, 0, 0, nodes, tasks, 0, 1, 0, 0, WITHIN_POOL))
    profile.kept_until()


def stop_after(seconds: float) -> Callable[[], bool]:
    """Return a stop condition that holds once so many seconds have passed."""
    end = monotonic() + seconds
    return lambda: monotonic() >= end


def versions() -> tuple[str, ...]:
    """Return the versions that a replay depends on."""
    libraries = (f"{name} {metadata.version(name)}" for name in ("xisuan", "ortools", "numpy", "numba"))
    return (*libraries, f"python {platform.python_version()}", platform.machine())


def empty_snapshot() -> Snapshot:
    """Return a world without anything."""
    none: tuple[str, ...] = ()
    texts = {"model_names", "model_stack", "model_origin", "hub_names", "city_names", "pool_names", "pool_cluster"}
    texts |= {"node_names", "build_stack", "job_id"}
    values = {name: none if name in texts else [] for name in Snapshot.__dataclass_fields__}
    return Snapshot(**{**values, "taken_at_s": 0, "build_start": [0]})  # type: ignore[arg-type]


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the broker dies, and leave Ctrl-C to the broker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
