"""Run the scheduler in a process of its own, so that no call waits while it thinks."""

import asyncio
import contextlib
import gc
import os
import platform
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib import metadata
from multiprocessing import get_context
from time import monotonic, perf_counter
from typing import Final, TypeVar

from broker.die_with_parent import die_with_parent
from scheduler.decided import Decided
from scheduler.horizon import Horizon
from scheduler.opening import prices_of, seats_of
from scheduler.policy import OpeningPrice, OpeningSeat, Policy
from scheduler.rehearsal import rehearse
from scheduler.rounds import round_violations, run_round
from scheduler.snapshot import Snapshot

OVERTIME_SECONDS_MAX: Final = 300.0
"""Far more than what a plan needs beyond its budget: the first answer and the verifier, for the largest worlds."""

COMPILING_SECONDS_MAX: Final = 3600.0
"""Far more than it takes to make the machine code on a slow and busy machine."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Planned:
    """What the planning process sends back."""

    plan: bytes
    decision: bytes  # beside the plan, see `scheduler.decided`
    prices: tuple[OpeningPrice, ...]  # of the plan, for the rounds after it
    seats: tuple[OpeningSeat, ...]  # that it gave to large gangs, should they be handed back
    policy_json: str  # with which a replay makes the same of it
    stops_dropped: tuple[str, ...]  # why nobody is stopped though somebody should have been; it is a bug
    violations: tuple[str, ...]  # of plan, promises and stops, as the verifiers found them; empty: it may be committed
    plan_millis: int
    verify_millis: int


class PlannerDied(Exception):
    """The planning process ended before it answered; the next round gets a new one."""


class PlannerClosed(Exception):
    """The planning process was closed on purpose while it planned: the broker stops, and the round does not count."""


class PlanningProcess:
    """One worker process that plans and verifies; replaced when it dies."""

    def __init__(self, *, overtime_seconds_max: float = OVERTIME_SECONDS_MAX, niceness: int = 0) -> None:
        """Start nothing yet.

        Args:
            overtime_seconds_max: how much longer than its budget a plan may take before the process is given up.
            niceness: 0 to 19, as of `nice`; beside calls that somebody waits for, a plan can take its time.
        """
        self._overtime_seconds_max = overtime_seconds_max
        self._niceness = niceness
        self._executor: ProcessPoolExecutor | None = None

    async def plan(self, snapshot: bytes, horizon: bytes, policy_json: str, budget_seconds: float) -> Planned:
        """Decide and verify. Raise PlannerDied when the process does not live to answer, or does not answer in time.

        Raise PlannerClosed when `close` was called meanwhile.
        """
        longest = budget_seconds + self._overtime_seconds_max
        return await self._run(longest, plan_and_verify, snapshot, horizon, policy_json, budget_seconds)

    async def warm(self) -> None:
        """Start the process and let it load the solver and the machine code, so that no round and no call pays for it.

        The first time on a machine the code is made, which takes some minutes; raises as `plan`.
        """
        await self._run(COMPILING_SECONDS_MAX, _warm)

    async def _run(self, seconds_max: float, work: Callable[..., Result], *arguments: object) -> Result:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=1, mp_context=get_context("spawn"), initializer=_begin, initargs=(self._niceness,)
            )
        try:
            async with asyncio.timeout(seconds_max):
                return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        except (BrokenProcessPool, TimeoutError) as error:
            if self._executor is None:
                raise PlannerClosed from error
            self.close()
            raise PlannerDied from error

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


def _warm() -> None:
    rehearse()
    gc.freeze()  # the compiler leaves some hundred thousand objects that every garbage collection would walk through


def plan_and_verify(snapshot: bytes, horizon: bytes, policy_json: str, budget_seconds: float) -> Planned:
    """Do one round's thinking; runs in the planning process."""
    world, ahead, policy = Snapshot.from_bytes(snapshot), Horizon.from_bytes(horizon), Policy.from_json(policy_json)
    started = perf_counter()
    whole = run_round(world, ahead, policy, stop_after(budget_seconds))
    planned = perf_counter()
    found, dropped = round_violations(world, ahead, policy, whole), list[str]()
    if found and whole.reclaim.preemptions:  # what starts need not wait because something is wrong with what is stopped
        whole, dropped = whole.without_stops(), found
        policy = replace(policy, churn_card_seconds_max=0)
        found = round_violations(world, ahead, policy, whole)
    verified = perf_counter()
    made = whole.decision
    return Planned(
        plan=made.plan.to_bytes(),
        decision=Decided.of(world, ahead, whole).to_bytes(),
        prices=prices_of(made.zoned.world, made.plan),
        seats=seats_of(made.zoned.world, made.plan),
        violations=tuple(found[:20]),
        stops_dropped=tuple(dropped[:20]),
        policy_json=policy.to_json(),
        plan_millis=round((planned - started) * 1000),
        verify_millis=round((verified - planned) * 1000),
    )


def stop_after(seconds: float) -> Callable[[], bool]:
    """Return a stop condition that holds once so many seconds have passed."""
    end = monotonic() + seconds
    return lambda: monotonic() >= end


def versions() -> tuple[str, ...]:
    """Return the versions that a replay depends on."""
    libraries = (f"{name} {metadata.version(name)}" for name in ("xisuan", "ortools", "numpy", "numba"))
    return (*libraries, f"python {platform.python_version()}", platform.machine())


def _begin(niceness: int) -> None:
    """Ask Linux to kill this process when the broker dies, leave Ctrl-C to the broker, and step back for calls."""
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
