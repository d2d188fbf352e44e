"""What a running broker costs: over jobs that wait, watchers of one city, and nodes whose agents have no news."""

import asyncio
import gc
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import grpc
import psutil

from benchmarks.brokers import RunningBroker, broker, database_pids
from benchmarks.curves.curve import Curve
from benchmarks.load import agents, worlds
from benchmarks.load.agents import AgentsPlan, Links
from benchmarks.load.engine import Faults
from benchmarks.submit import specs
from broker.audit.main import run as audited
from broker.bootstrap import GC_THRESHOLDS
from broker.client import Client, JobSpec
from broker.market.snapshot import prepare
from broker.postgres import using
from broker.store import snapshots
from broker.store.database import Database
from broker.wire.v1 import job_service_pb2 as pb
from broker.wire.v1 import job_service_pb2_grpc as pb_grpc

CITY: Final = "ganzhou"
POOLS: Final = worlds.NATIONAL_POOLS
CLUSTERS: Final = worlds.NATIONAL_CLUSTERS
PROBE_JOBS: Final = 1_000
"""Submitted in one call at each size: what that takes is the cost of a submission there."""

EVENTS: Final = 200

_BATCH: Final = 500
_WATCHERS_OF_A_CONNECTION: Final = 500  # the broker takes a thousand calls on one
_ATTACH_SECONDS_MAX: Final = 300.0
_SEEN_SECONDS_MAX: Final = 300.0
_AGAIN_SECONDS: Final = 0.2
_READS: Final = 3
_LEAST: Final = 1e-4  # of a cost in seconds: below this a clock says nothing
_Tell = Callable[[str], None]


async def by_waiting(sizes: Sequence[int], rng: Any, tell: _Tell) -> tuple[list[Curve], int]:
    """Return submission and reading of the round's view over the jobs that wait, and what the audit found."""
    submitting: list[float] = []
    reading = _Reading()
    waiting = 0
    with broker(world=_document()) as running, using(running.home / "postgres") as server:
        async with _client(running) as client, _database(server.dsn_city, server.dsn_hub) as database:
            for size in sizes:
                await _submit(client, specs(max(size - PROBE_JOBS - waiting, 0), rng))
                began = time.perf_counter()
                await _submit(client, specs(PROBE_JOBS, rng))
                submitting.append(time.perf_counter() - began)
                waiting = max(size, waiting + PROBE_JOBS)
                await reading.measure(database, waiting)
                tell(
                    f"{size:,} waiting: {PROBE_JOBS:,} more in {submitting[-1]:.2f} s, read in {reading.wall[-1]:.2f} s"
                )
        _, found = await audited(server.dsn_hub, server.dsn_city, {})
    over = "jobs that wait"
    return [
        Curve("submit_by_waiting", f"submission of {PROBE_JOBS:,} jobs, s", over, "seconds", sizes, submitting),
        reading.curve("read_by_waiting", over, sizes),
    ], len(found)


async def by_watchers(sizes: Sequence[int], rng: Any, tell: _Tell) -> tuple[list[Curve], int]:
    """Return the broker's CPU until all watchers of a city have had the same events, and what the audit found.

    Beside it how many events a second they had by the clock, counted from before the jobs were submitted.
    """
    costs: list[float] = []
    rates: dict[str, float] = {}
    resumed = 0
    with broker(world=_document()) as running, using(running.home / "postgres") as server:
        process = psutil.Process(running.pid)
        async with _client(running) as client:
            for count in sizes:
                async with _watching(running, count, await client.latest_cursor()) as watchers:
                    await _submit(client, specs(1, rng))
                    await _seen(watchers, 1)  # now all of them are connected
                    before, began = _cpu(process), time.perf_counter()
                    await _submit(client, specs(EVENTS, rng))
                    await _seen(watchers, EVENTS)
                    rate = count * EVENTS / (time.perf_counter() - began)  # by the clock, from the submission on
                    costs.append(max(_cpu(process) - before, _LEAST))
                    again = sum(watcher.resumed for watcher in watchers)
                rates[f"events_per_second_{count}"] = rate
                told = f"{count:,} watchers: {costs[-1]:.2f} s of CPU, {rate:,.0f} events a second by the clock"
                tell(f"{told}, {again:,} calls taken up again")
                resumed += again
        _, found = await audited(server.dsn_hub, server.dsn_city, {})
    told, beside = f"{EVENTS} events to all watchers, CPU of the broker, s", {"calls_taken_up_again": float(resumed)}
    curve = Curve("watch_by_watchers", told, "watchers of one city", "cpu_seconds", sizes, costs, beside | rates)
    return [curve], len(found)


@dataclass(frozen=True, slots=True)
class Rest:
    """How long agents at rest are looked at, and how long after they have come or gone.

    What follows from that, until those that left are suspect, is not theirs at rest.
    """

    seconds: float = 20.0
    settle_seconds: float = 12.0


async def by_nodes(sizes: Sequence[int], seed: int, tell: _Tell, rest: Rest) -> tuple[list[Curve], int]:
    """Return what agents cost while nothing happens, and reading the view, over nodes; and what the audit found.

    Their cost is the CPU of the broker while all agents are attached, less that while none is.
    """
    resting: list[float] = []
    beside: dict[str, float] = {}
    reading = _Reading()
    violations = 0
    for nodes in sizes:
        world = worlds.world("national", seed, nodes=nodes, pools=POOLS)
        # no round is held only because time passes: it is the agents' reports that are measured
        with (
            broker("round_recheck_seconds=3600", world=world.document) as running,
            using(running.home / "postgres") as server,
        ):
            with _agents(running, world, seed) as pipe:
                await _attached(pipe, len(world.clusters))
                together = await _resting(running, rest)
                async with _database(server.dsn_city, server.dsn_hub) as database:
                    await reading.measure(database, 1)
            alone = await _resting(running, rest)
            _, found = await audited(server.dsn_hub, server.dsn_city, {})
            violations += len(found)
        resting.append(max(together.broker - alone.broker, _LEAST))
        beside |= {
            f"broker_{nodes}": together.broker,
            f"database_{nodes}": max(together.database - alone.database, 0.0),
        }
        tell(
            f"{nodes:,} nodes: {100 * resting[-1]:.1f} % of a core for {len(world.clusters)} agents at rest "
            f"({100 * together.broker:.1f} % with all else), read in {reading.wall[-1]:.2f} s"
        )
    told = f"CPU of the broker for {CLUSTERS} agents at rest, s a second"
    return [
        Curve("rest_by_nodes", told, "nodes", "cpu_seconds", sizes, resting, beside),
        reading.curve("read_by_nodes", "nodes", sizes),
    ], violations


@dataclass(frozen=True, slots=True)
class _Used:
    """Cores in use, on the average of some seconds."""

    broker: float
    database: float


async def _resting(running: RunningBroker, rest: Rest) -> _Used:
    """Wait until what came before is over, then look on."""
    await asyncio.sleep(rest.settle_seconds)
    process, database = psutil.Process(running.pid), _living(database_pids(running.home))
    before, before_there, began = _cpu(process), _cpu_of_all(database), time.monotonic()
    await asyncio.sleep(rest.seconds)
    span = time.monotonic() - began
    return _Used((_cpu(process) - before) / span, (_cpu_of_all(database) - before_there) / span)


def _document() -> str:
    return worlds.world("laptop", 0).document  # its cities may call and wait as much as they like


@asynccontextmanager
async def _client(running: RunningBroker) -> AsyncIterator[Client]:
    async with Client(running.endpoint, running.key(f"city-{CITY}"), call_seconds_max=120) as client:
        yield client


@asynccontextmanager
async def _database(dsn_city: str, dsn_hub: str) -> AsyncIterator[Database]:
    database = await Database.connect(dsn_city, dsn_hub, hub_connections=3)
    try:
        yield database
    finally:
        await database.close()


async def _submit(client: Client, jobs: Iterator[JobSpec]) -> None:
    async for answer in client.submit_many(jobs, batch=_BATCH):
        if answer.error is not None:
            raise RuntimeError(f"a job was refused: {answer.error}")


@dataclass(slots=True)
class _Reading:
    """What reading and preparing the view of a round costs here, CPU and wall; the least of some."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        gc.set_threshold(*GC_THRESHOLDS)  # as the broker does; with Python's own a million take 7.7 s, not 4.6
        gc.collect()
        gc.freeze()  # as the broker does: no collection walks through what was loaded at the start

    async def measure(self, database: Database, jobs_max: int) -> None:
        """Measure it for one more size."""
        cpu, wall = [], []
        for _ in range(_READS):
            gc.collect()  # what the read before has left is not this one's
            now, began, used = datetime.now(UTC), time.perf_counter(), time.process_time()
            async with database.hub() as tx:
                view = await snapshots.read(tx, now, jobs_max)
            prepare(view, now)
            cpu.append(time.process_time() - used)
            wall.append(time.perf_counter() - began)
        self.cpu.append(min(cpu))
        self.wall.append(min(wall))

    def curve(self, name: str, over: str, sizes: Sequence[int]) -> Curve:
        """Return the curve of the CPU, with the wall beside it."""
        beside = {f"seconds_{size}": seconds for size, seconds in zip(sizes, self.wall, strict=True)}
        return Curve(name, "reading a round's view, CPU of the reader, s", over, "cpu_seconds", sizes, self.cpu, beside)


class _Watcher:
    """Follows the city on a call of its own; when told to come again it resumes behind what it had, as clients do."""

    def __init__(self, channel: grpc.aio.Channel, key: str, cursor: int) -> None:
        self._stub = pb_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._cursor = cursor
        self._call: Any = None
        self.resumed = 0

    async def see(self, events: int) -> None:
        """Wait until so many more events have come."""
        while events > 0:
            if self._call is None:
                request = pb.WatchJobsRequest(after_cursor=self._cursor)
                self._call = self._stub.WatchJobs(request, metadata=self._metadata)
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                self._call, self.resumed = None, self.resumed + 1
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if message is grpc.aio.EOF:
                raise RuntimeError(f"a watcher's call ended with {events} events missing")
            events -= len(message.events)
            self._cursor = message.events[-1].cursor

    def leave(self) -> None:
        """End the call."""
        if self._call is not None:
            self._call.cancel()


@asynccontextmanager
async def _watching(running: RunningBroker, count: int, cursor: int) -> AsyncIterator[list[_Watcher]]:
    """Let so many follow the city from the cursor on."""
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    connections = -(-count // _WATCHERS_OF_A_CONNECTION)
    channels = [grpc.aio.insecure_channel(running.endpoint, options=options) for _ in range(connections)]
    key = running.key(f"city-{CITY}")
    watchers = [_Watcher(channels[number % connections], key, cursor) for number in range(count)]
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.leave()
        for channel in channels:
            await channel.close()


async def _seen(watchers: Sequence[_Watcher], events: int) -> None:
    async with asyncio.timeout(_SEEN_SECONDS_MAX):
        await asyncio.gather(*(watcher.see(events) for watcher in watchers))


@contextmanager
def _agents(running: RunningBroker, world: worlds.LoadWorld, seed: int) -> Iterator[Connection]:
    """Play the agents of all clusters in a process of its own; yield where it tells how they are."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    keys = {cluster: running.key(f"agent-{cluster}") for cluster in world.clusters}
    records: Path = running.home / "records"
    plan = AgentsPlan(running.endpoint, keys, world.clusters, records, seed, Faults(), Links((0.0, 0.0)))
    process = spawn.Process(target=agents.main, args=(plan, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        if process.is_alive():
            here.send(None)
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


async def _attached(pipe: Connection, clusters: int) -> None:
    end = time.monotonic() + _ATTACH_SECONDS_MAX
    while True:
        while pipe.poll():
            if pipe.recv().attached == clusters:
                return
        if time.monotonic() > end:
            raise RuntimeError("the agents did not attach: look into the broker's log")
        await asyncio.sleep(0.1)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _living(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def _cpu_of_all(processes: Sequence[psutil.Process]) -> float:
    """Return what those have used that still live."""
    used = 0.0
    for process in processes:
        with suppress(psutil.Error):
            used += _cpu(process)
    return used
