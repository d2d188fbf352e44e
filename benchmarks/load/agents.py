"""Agents of all clusters in one process: each speaks the real Sync protocol over its own stream, with WAN delay.

Links are cut now and then, as fibres are; the agent comes back after a while, and its jobs have run on meanwhile.
"""

import asyncio
import contextlib
import random
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks.load.engine import FakeEngine, Faults, wall
from benchmarks.load.worlds import PoolStock
from broker.agent.session import GATHER_SECONDS, rest_seconds
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import cluster_service_pb2_grpc as wire_grpc

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each cluster, as in life
)


@dataclass(frozen=True, slots=True)
class Links:
    """What the ways between agents and broker are like."""

    delay_seconds: tuple[float, float] = (0.004, 0.020)  # one way; each cluster's lies between
    cuts_per_hour: float = 0.0  # of a cluster
    cut_seconds: tuple[float, float] = (2.0, 8.0)


@dataclass(frozen=True, slots=True)
class Told:
    """What the agents' process tells each second."""

    attached: int
    living: int
    started: int
    ended: int
    node_failures: int
    cuts: int
    broken_streams: int  # that nobody cut: the broker ended them, or could not be reached
    sent_bytes: int


@dataclass(slots=True)
class _Traffic:
    attached: set[str] = field(default_factory=set)
    cuts: int = 0
    broken: int = 0
    sent_bytes: int = 0


class FakeAgent:
    """Speaks for one cluster until it is cancelled."""

    def __init__(
        self,
        cluster: str,
        pools: tuple[PoolStock, ...],
        engine: FakeEngine,
        key: str,
        links: Links,
        luck: random.Random,
        traffic: _Traffic,
    ) -> None:
        self._cluster, self._pools, self._engine, self._key = cluster, pools, engine, key
        self._links, self._luck, self._traffic = links, luck, traffic
        self._delay = luck.uniform(*links.delay_seconds)
        self._instance = secrets.token_hex(8)
        self._sequence = 0
        self._interval = 1.0
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()  # the last report
        self._sent_at, self._answer_seconds = 0.0, 0.0

    async def run(self, endpoint: str) -> None:
        """Hold streams, one after the other."""
        while True:
            async with grpc.aio.insecure_channel(endpoint, options=_OPTIONS) as channel:
                stub = wire_grpc.ClusterServiceStub(channel)  # type: ignore[no-untyped-call]
                call = stub.Sync(metadata=(("authorization", f"Bearer {self._key}"),))
                cut = self._luck.expovariate(self._links.cuts_per_hour / 3600) if self._links.cuts_per_hour else 1e9
                try:
                    async with asyncio.timeout(cut):
                        await self._hold(call)
                except TimeoutError:
                    self._traffic.cuts += 1
                except grpc.aio.AioRpcError:
                    self._traffic.broken += 1
                finally:
                    call.cancel()
                    self._traffic.attached.discard(self._cluster)
            await self._run_on(self._luck.uniform(*self._links.cut_seconds))

    async def _run_on(self, seconds: float) -> None:
        """Let jobs run on without a link."""
        end = _now() + seconds
        while (left := end - _now()) > 0:
            self._engine.advance(_now(), wall(time.time()))
            await asyncio.sleep(min(left, 0.1))

    async def _hold(self, call: Any) -> None:
        await self._send(call, wire.SyncRequest(hello=self._hello()))
        first = await call.read()
        if first is grpc.aio.EOF:
            return
        self._interval = first.welcome.report_interval_millis / 1000
        self._traffic.attached.add(self._cluster)
        self._changed.set()
        tasks = [asyncio.create_task(work) for work in (self._hear(call), self._work(), self._say(call))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, call: Any) -> None:
        on_the_way: asyncio.Queue[tuple[float, wire.Desired]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(on_the_way))
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                if message.WhichOneof("message") == "desired":
                    if message.desired.report_sequence == self._sequence:
                        self._answer_seconds = _now() - self._sent_at
                        self._answered.set()
                    on_the_way.put_nowait((_now() + self._delay, message.desired))
        finally:
            arriving.cancel()

    async def _arrive(self, on_the_way: "asyncio.Queue[tuple[float, wire.Desired]]") -> None:
        while True:
            due, desired = await on_the_way.get()
            await asyncio.sleep(max(due - _now(), 0))
            if self._engine.obey(desired, _now(), wall(time.time())):
                self._changed.set()

    async def _work(self) -> None:
        while True:
            if self._engine.advance(_now(), wall(time.time())):
                self._changed.set()
            await asyncio.sleep(min(max(self._engine.next_due() - _now(), 0.005), 0.1))

    async def _say(self, call: Any) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._changed.wait()
                    await self._answered.wait()  # as the real one does
            rested_at = self._sent_at + rest_seconds(self._answer_seconds, self._interval)
            await asyncio.sleep(max(GATHER_SECONDS, rested_at - _now()))
            self._sent_at = _now()
            self._changed.clear()
            self._sequence += 1
            self._answered.clear()
            report = self._engine.told()
            report.sequence = self._sequence
            report.nodes.extend(self._engine.down())
            report.at.FromDatetime(wall(time.time()))
            await self._send(call, wire.SyncRequest(report=report))

    async def _send(self, call: Any, message: wire.SyncRequest) -> None:
        await asyncio.sleep(self._delay)
        self._traffic.sent_bytes += message.ByteSize()
        await call.write(message)

    def _hello(self) -> wire.Hello:
        hello = wire.Hello(cluster=self._cluster, instance=self._instance, agent_version="load", engine="fake")
        for pool in self._pools:
            nodes = hello.pools.add(pool=pool.pool, model=pool.model).nodes
            for index in range(pool.nodes):
                domain = f"{pool.pool}-leaf-{index // pool.domain_nodes}"
                nodes.add(
                    node=pool.node(index),
                    cards=pool.cards,
                    cpu_milli=pool.cpu_milli,
                    memory_mib=pool.memory_mib,
                    domain=domain,
                )
        return hello


@dataclass(frozen=True, slots=True)
class AgentsPlan:
    """What the agents' process is told; goes to another process."""

    endpoint: str
    keys: Mapping[str, str]  # by cluster
    clusters: Mapping[str, tuple[PoolStock, ...]]
    records: Path
    seed: int
    faults: Faults
    links: Links
    start_seconds: float = 0.05


def main(plan: AgentsPlan, pipe: Connection) -> None:
    """Be the process: play all agents, tell each second how they are, end when the pipe says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main(plan, pipe))


async def _main(plan: AgentsPlan, pipe: Connection) -> None:
    traffic, engines, tasks = _Traffic(), [], []
    for number, (cluster, pools) in enumerate(sorted(plan.clusters.items())):
        luck = random.Random(f"{plan.seed}/{number}")
        engine = FakeEngine(pools, plan.records / cluster, luck, plan.faults, plan.start_seconds)
        engines.append(engine)
        agent = FakeAgent(cluster, pools, engine, plan.keys[cluster], plan.links, luck, traffic)
        tasks.append(asyncio.create_task(agent.run(plan.endpoint)))
    try:
        while not pipe.poll():
            pipe.send(
                Told(
                    attached=len(traffic.attached),
                    living=sum(engine.living for engine in engines),
                    started=sum(engine.started for engine in engines),
                    ended=sum(engine.ended for engine in engines),
                    node_failures=sum(engine.failures for engine in engines),
                    cuts=traffic.cuts,
                    broken_streams=traffic.broken,
                    sent_bytes=traffic.sent_bytes,
                )
            )
            await asyncio.sleep(1.0)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for engine in engines:
            engine.close()


def _now() -> float:
    """Return seconds of CLOCK_BOOTTIME, as the record has them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
