"""One run: broker, agents and clients as processes of their own, until what was submitted has come to rest."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

import asyncpg
import numpy as np

from benchmarks.brokers import RunningBroker
from benchmarks.load import agents, clients, outcome
from benchmarks.load.agents import AgentsPlan, Links, Told
from benchmarks.load.arrivals import Arrivals
from benchmarks.load.clients import ClientPlan, ClientResult, Counts, Way
from benchmarks.load.engine import Faults
from benchmarks.load.outcome import Outcome
from benchmarks.load.sampling import Sample, Sampler
from benchmarks.load.worlds import LoadWorld
from broker.audit.main import run as audited
from broker.audit.rules import Finding
from broker.postgres import using

ATTACH_SECONDS_MAX: Final = 300.0
HEAD_START_SECONDS: Final = 3.0  # from the clients' start to the first submission, on top of making the messages
_SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is to be done.

    Attributes:
        seconds: of arrivals. drain_seconds: most that is waited for what is running then.
        client_processes: over which the cities are spread. in_flight_max: single calls at once of each of them.
    """

    world: LoadWorld
    arrivals: Arrivals
    seconds: float
    drain_seconds: float
    way: Way
    client_processes: int
    in_flight_max: int
    seed: int
    faults: Faults
    links: Links


@dataclass(slots=True)
class Live:
    """Where a run is, for the display."""

    phase: str = "starting"
    counts: Counts = field(default_factory=Counts)
    told: Told | None = None
    sample: Sample | None = None
    second: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What became of a run."""

    results: Sequence[ClientResult]
    told: Told | None
    samples: Sequence[Sample]
    outcome: Outcome
    begins_at: float  # seconds since 1970
    findings: Sequence[Finding]
    drained: bool


@dataclass(slots=True)
class _Child:
    process: Any
    pipe: Connection
    last: Any = None
    result: ClientResult | None = None

    def hear(self) -> None:
        """Take in what it has told since."""
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                told = self.pipe.recv()
                if isinstance(told, ClientResult):
                    self.result = told
                else:
                    self.last = told


def run(running: RunningBroker, plan: LoadPlan, show: Callable[[Live], None]) -> Ran:
    """Run the load against a broker that serves the plan's world. Raise RuntimeError: agents do not attach."""
    children: list[_Child] = []
    try:
        return asyncio.run(_run(running, plan, show, children))
    finally:
        for child in children:
            child.process.join(timeout=10)
            if child.process.is_alive():
                child.process.kill()


async def _run(running: RunningBroker, plan: LoadPlan, show: Callable[[Live], None], children: list[_Child]) -> Ran:
    live = Live()
    records = running.home / "records"
    playing = _child(
        agents.main,
        AgentsPlan(
            running.endpoint,
            {cluster: running.key(f"agent-{cluster}") for cluster in plan.world.clusters},
            plan.world.clusters,
            records,
            plan.seed,
            plan.faults,
            plan.links,
        ),
    )
    children.append(playing)
    await _attached(playing, len(plan.world.clusters), live, show)
    begins_at = time.monotonic() + HEAD_START_SECONDS + len(plan.arrivals.at_seconds) / 20_000
    began = time.time() + begins_at - time.monotonic()
    name = f"load-{os.getpid()}-{int(began)}"
    submitting = [_child(clients.main, each) for each in _client_plans(running, plan, begins_at, name)]
    children += submitting
    with using(running.home / "postgres") as server:
        beside = {"agents": [playing.process.pid], "clients": [child.process.pid for child in submitting]}
        sampler = Sampler(running.pid, running.home, server.dsn_hub, beside, begins_at)
        sampling = asyncio.create_task(sampler.run())
        try:
            drained = await _to_the_end(plan, playing, submitting, sampler, live, show, begins_at)
            live.phase = "ending"
            for child in submitting:
                child.pipe.send(None)
            results = [await _result(child) for child in submitting]
            playing.pipe.send(None)
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        hub = await asyncpg.connect(server.dsn_hub)
        try:
            await hub.execute("SET ROLE xisuan_hub")
            found = await outcome.read(hub, name)
        finally:
            await hub.close()
        live.phase = "audit"
        show(live)
        await asyncio.to_thread(playing.process.join, 10)
        _, findings = await audited(server.dsn_hub, server.dsn_city, {c: records / c for c in plan.world.clusters})
    if not running.alive:
        findings = [*findings, Finding("the_broker_lives_to_the_end", "it ended while it was measured: see its log")]
    return Ran(results, playing.last, sampler.samples, found, began, findings, drained)


async def _attached(playing: _Child, clusters: int, live: Live, show: Callable[[Live], None]) -> None:
    live.phase = "agents attach"
    end = time.monotonic() + ATTACH_SECONDS_MAX
    while playing.last is None or playing.last.attached < clusters:
        if time.monotonic() > end or not playing.process.is_alive():
            raise RuntimeError("the agents did not attach: look into the broker's log")
        playing.hear()
        live.told = playing.last
        show(live)
        await asyncio.sleep(0.2)


async def _to_the_end(
    plan: LoadPlan,
    playing: _Child,
    submitting: Sequence[_Child],
    sampler: Sampler,
    live: Live,
    show: Callable[[Live], None],
    begins_at: float,
) -> bool:
    """Show how it goes until everything has come to rest, or patience ends; tell whether it has."""
    while True:
        await asyncio.sleep(0.5)
        for child in (playing, *submitting):
            child.hear()
        live.second = time.monotonic() - begins_at
        live.phase = "load" if live.second < plan.seconds else "drain"
        live.counts = _sum([child.last for child in submitting if child.last is not None])
        live.told = playing.last
        live.sample = sampler.samples[-1] if sampler.samples else None
        show(live)
        if live.second < plan.seconds + 2:
            continue
        if (
            live.sample is not None
            and live.sample.at > plan.seconds + 2
            and live.sample.pending + live.sample.leases == 0
        ):
            return True
        if live.second > plan.seconds + plan.drain_seconds:
            return False


async def _result(child: _Child) -> ClientResult:
    end = time.monotonic() + 90
    while child.result is None:
        child.hear()
        if time.monotonic() > end or (not child.process.is_alive() and not child.pipe.poll()):
            raise RuntimeError("a client process ended without its result")
        await asyncio.sleep(0.05)
    return child.result


def _client_plans(running: RunningBroker, plan: LoadPlan, begins_at: float, name: str) -> list[ClientPlan]:
    """Spread the cities over the processes, the busiest first, so that each has about as much to do."""
    cities = plan.world.cities
    busy = np.bincount(plan.arrivals.city, minlength=len(cities))
    groups: list[list[int]] = [[] for _ in range(min(plan.client_processes, len(cities)))]
    load = [0] * len(groups)
    for city in np.argsort(-busy, kind="stable").tolist():
        at = load.index(min(load))
        groups[at].append(city)
        load[at] += int(busy[city])
    return [
        ClientPlan(
            endpoint=running.endpoint,
            keys={cities[c]: running.key(f"city-{cities[c]}") for c in group},
            cities=tuple(cities[c] for c in group),
            of_city=tuple(group),
            arrivals=plan.arrivals,
            begins_at=begins_at,
            seconds=plan.seconds,
            way=plan.way,
            in_flight_max=plan.in_flight_max,
            stacks=plan.world.stacks,
            seed=plan.seed,
            run=name,
        )
        for group in groups
    ]


def _sum(all_counts: Sequence[Counts]) -> Counts:
    total = Counts()
    for counts in all_counts:
        total.due += counts.due
        total.sent += counts.sent
        total.acknowledged += counts.acknowledged
        total.refused += counts.refused
        total.events += counts.events
    return total


def _child(target: Callable[..., None], plan: Any) -> _Child:
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=target, args=(plan, there), daemon=True)
    process.start()
    there.close()
    return _Child(process, here)
