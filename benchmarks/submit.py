"""Durable submissions: batches, streams, single calls, and the ceiling of a bare COPY of the same rows.

Counted in PostgreSQL after the acknowledgements, with fsync on; every check, request key and event included, and rounds
go on meanwhile. Messages are made before the clock runs, save those of the typed client; all that takes part shares the
machine's processors, and what each of them used is told.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import grpc
import psutil
import typer
from rich.console import Console

from benchmarks.brokers import RunningBroker, broker, takes_calls
from benchmarks.result import Result
from broker.audit.main import run as audited
from broker.client import Build, Client, JobSpec
from broker.demo.summary import percentile
from broker.postgres import using
from broker.wire.v1 import job_service_pb2 as pb
from broker.wire.v1.job_service_pb2_grpc import JobServiceStub

SIZES = ((1, 1), (1, 1), (1, 1), (1, 2), (1, 4), (1, 8), (2, 8))


def main(
    jobs: Annotated[int, typer.Option(min=1, help="Jobs in each of the bulk calls.")] = 50_000,
    streams: Annotated[int, typer.Option(min=1, max=7, help="Cities that send batches or single jobs at once.")] = 4,
    unary: Annotated[int, typer.Option(min=1, help="Jobs in single calls.")] = 3_000,
    in_flight: Annotated[int, typer.Option(min=1, help="Single calls at the same time.")] = 64,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Jobs in one message of a batch.")] = 1000,
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Of the broker; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the jobs' sizes.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure durable submissions per second: in batches, streamed, in single calls, and a bare COPY beside them."""
    console = Console()
    with broker(*(more or ())) as running:
        plan = Plan(jobs, streams, unary, in_flight, batch)
        result = asyncio.run(_measure(running, plan, seed, console))
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many jobs go which way."""

    jobs: int
    streams: int
    unary: int
    in_flight: int
    batch: int


async def _measure(running: RunningBroker, plan: Plan, seed: int, console: Console) -> Result:
    luck = random.Random(seed)
    figures: dict[str, float] = {}
    processors = Processors(running)
    sent = 0
    for name, size in (("batched", plan.batch), ("streamed", 1)):
        count = plan.jobs if size > 1 else plan.jobs // 4
        console.print(f"{count:,} jobs on {plan.streams} streams, {size:,} in a message ...")
        messages = [_messages(f"{name}-{i}", count // plan.streams, size, luck) for i in range(plan.streams)]
        processors.start()
        seconds, accepted = await _streamed(running, messages)
        figures |= {f"{name}_per_second": accepted / seconds} | processors.used(name, accepted)
        sent += accepted
    console.print(f"{plan.jobs:,} jobs in one call of the typed client ...")
    async with Client(running.endpoint, running.key("city-ganzhou")) as client:
        began = time.perf_counter()
        answers = [answer async for answer in client.submit_many(specs(plan.jobs, luck), batch=plan.batch)]
        figures["bulk_per_second"] = plan.jobs / (time.perf_counter() - began)
        sent += sum(1 for answer in answers if answer.error is None)
    console.print(f"{plan.unary:,} single calls, {plan.in_flight} at a time ...")
    processors.start()
    unary_seconds, latencies = await _unary(running, list(specs(plan.unary, luck)), plan.in_flight)
    figures |= {"unary_per_second": plan.unary / unary_seconds} | processors.used("unary", plan.unary)
    figures["unary_p50_ms"] = percentile(latencies, 50) * 1000
    figures["unary_p99_ms"] = percentile(latencies, 99) * 1000
    with using(running.home / "postgres") as server:
        stored, copy_seconds = await _stored_and_copied(server.dsn_hub, server.dsn_owner)
        _, found = await audited(server.dsn_hub, server.dsn_city, {})
    bare = stored / copy_seconds
    figures |= {"stored": float(stored), "bare_copy_per_second": bare}
    figures["batched_share_of_bare_copy"] = figures["batched_per_second"] / bare
    lost = 0 if stored == sent + plan.unary else 1
    return Result("submit", seed, figures, len(found) + lost)


class Processors:
    """Processor time of the broker, its planner and PostgreSQL, and of this process, by job."""

    def __init__(self, running: RunningBroker) -> None:
        broker = psutil.Process(running.pid)
        postmaster = (running.home / "postgres" / "cluster" / "data" / "postmaster.pid").read_text().split("\n", 1)[0]
        self._whose = {"client": psutil.Process(), "broker": broker, "postgres": psutil.Process(int(postmaster))}
        self._before: dict[str, float] = {}

    def start(self) -> None:
        """Count from now on."""
        self._before = self._now()

    def used(self, name: str, jobs: int) -> dict[str, float]:
        """Return microseconds of each job, by figure."""
        spent = {whose: after - self._before[whose] for whose, after in self._now().items()}
        return {f"{name}_{whose}_cpu_us": seconds / jobs * 1e6 for whose, seconds in spent.items()}

    def _now(self) -> dict[str, float]:
        found = {whose: _cpu_seconds(process) for whose, process in self._whose.items()}
        children = self._whose["broker"].children()
        calls = [child for child in children if takes_calls(child)]
        found["broker"] += sum(map(_cpu_seconds, calls))
        found["planner"] = sum(_cpu_seconds(child) for child in children if child not in calls)
        found["postgres"] += sum(map(_cpu_seconds, self._whose["postgres"].children()))
        return found


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _messages(name: str, jobs: int, size: int, luck: random.Random) -> list[pb.SubmitJobsRequest]:
    items = [
        pb.SubmitJobRequest(request_key=f"{name}-{i}", spec=spec.to_wire()) for i, spec in enumerate(specs(jobs, luck))
    ]
    chunks = (items[start : start + size] for start in range(0, jobs, size))
    return [pb.SubmitJobsRequest(items=chunk, answer_together=size == 1) for chunk in chunks]


_OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
"""For each stream, as each city's client has one."""


async def _streamed(running: RunningBroker, messages: list[list[pb.SubmitJobsRequest]]) -> tuple[float, int]:
    """Send each list on a stream of another city at the same time. Return the seconds, and how many were accepted."""
    keys = [running.key(path.stem) for path in sorted((running.home / "keys").glob("city-*.key"))]

    async def one(key: str, mine: list[pb.SubmitJobsRequest]) -> int:
        async with grpc.aio.insecure_channel(running.endpoint, options=_OWN_CONNECTION) as channel:
            stub = JobServiceStub(channel)  # type: ignore[no-untyped-call]
            call = stub.SubmitJobs(iter_async(mine), metadata=[("authorization", f"Bearer {key}")])
            return sum([sum(1 for r in answer.results if r.HasField("accepted")) async for answer in call])

    async def iter_async(mine: list[pb.SubmitJobsRequest]) -> AsyncIterator[pb.SubmitJobsRequest]:
        for message in mine:
            yield message

    began = time.perf_counter()
    accepted = await asyncio.gather(*(one(key, mine) for key, mine in zip(keys, messages, strict=False)))
    return time.perf_counter() - began, sum(accepted)


def specs(count: int, luck: random.Random) -> Iterator[JobSpec]:
    """Yield jobs of mixed sizes, some with one build and some with two."""
    for number in range(count):
        tasks, cards = luck.choice(SIZES)
        stacks = ["cann"] if luck.random() < 0.5 else ["cann", "neuware"]
        yield JobSpec(
            name=f"job {number}",
            tasks=tasks,
            cards_per_task=cards,
            cpu_milli_per_task=1000,
            walltime_seconds=luck.choice((600, 3600, 86_400)),
            builds=[Build(stack=s, command=["python", "train.py", "--seed", str(number)]) for s in stacks],
        )


async def _unary(running: RunningBroker, wanted: list[JobSpec], in_flight: int) -> tuple[float, list[float]]:
    latencies: list[float] = []
    queue = list(reversed(wanted))

    async def worker(client: Client) -> None:
        while queue:
            spec = queue.pop()
            began = time.perf_counter()
            await client.submit(spec)
            latencies.append(time.perf_counter() - began)

    async with Client(running.endpoint, running.key("city-nanjing")) as client:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(worker(client))
        return time.perf_counter() - began, latencies


async def _stored_and_copied(dsn_hub: str, dsn_owner: str) -> tuple[int, float]:
    """Return how many jobs are stored, and how long a bare COPY of their rows into an empty table takes."""
    hub, owner = await asyncpg.connect(dsn_hub), await asyncpg.connect(dsn_owner)
    try:
        rows = await hub.fetch("SELECT job_id, city, request_key, body_sha256, spec::text, submitted_at FROM jobs")
        await owner.execute(
            """CREATE SCHEMA bare; CREATE TABLE bare.jobs (job_id bigint PRIMARY KEY, city text, request_key text,
               body_sha256 bytea, spec jsonb, submitted_at timestamptz, UNIQUE (city, request_key))"""
        )
        tuples = [tuple(row) for row in rows]
        began = time.perf_counter()
        await owner.copy_records_to_table("jobs", schema_name="bare", records=tuples)
        return len(rows), time.perf_counter() - began
    finally:
        await hub.close()
        await owner.close()
