"""Durable submissions: one call with many jobs, single calls, and the ceiling of a bare COPY of the same rows.

Counted in PostgreSQL after the acknowledgements, with fsync on; every check, request key and event included.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.console import Console

from benchmarks.brokers import RunningBroker, broker
from benchmarks.result import Result
from broker.audit.main import run as audited
from broker.client import Build, Client, JobSpec
from broker.demo.summary import percentile
from broker.postgres import using

SIZES = ((1, 1), (1, 1), (1, 1), (1, 2), (1, 4), (1, 8), (2, 8))


def main(
    jobs: Annotated[int, typer.Option(min=1, help="Jobs in the one bulk call.")] = 50_000,
    unary: Annotated[int, typer.Option(min=1, help="Jobs in single calls.")] = 3_000,
    in_flight: Annotated[int, typer.Option(min=1, help="Single calls at the same time.")] = 64,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Jobs in one message of the bulk call.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of the jobs' sizes.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure durable submissions per second: bulk, unary, and beside them a bare COPY of the same rows."""
    console = Console()
    with broker() as running:
        result = asyncio.run(_measure(running, jobs, unary, in_flight, batch, seed, console))
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


async def _measure(
    running: RunningBroker, jobs: int, unary: int, in_flight: int, batch: int, seed: int, console: Console
) -> Result:
    luck = random.Random(seed)
    console.print(f"one call with {jobs:,} jobs ...")
    async with Client(running.endpoint, running.key("city-ganzhou")) as client:
        began = time.perf_counter()
        answers = [answer async for answer in client.submit_many(specs(jobs, luck), batch=batch)]
        bulk_seconds = time.perf_counter() - began
        accepted = sum(1 for answer in answers if answer.error is None)
    console.print(f"{unary:,} single calls, {in_flight} at a time ...")
    unary_seconds, latencies = await _unary(running, list(specs(unary, luck)), in_flight)
    with using(running.home / "postgres") as server:
        stored, copy_seconds = await _stored_and_copied(server.dsn_hub, server.dsn_owner)
        _, found = await audited(server.dsn_hub, server.dsn_city, {})
    bulk, bare = accepted / bulk_seconds, stored / copy_seconds
    figures = {
        "bulk_jobs": float(accepted),
        "bulk_seconds": bulk_seconds,
        "bulk_per_second": bulk,
        "unary_per_second": unary / unary_seconds,
        "unary_p50_ms": percentile(latencies, 50) * 1000,
        "unary_p99_ms": percentile(latencies, 99) * 1000,
        "stored": float(stored),
        "bare_copy_per_second": bare,
        "bulk_share_of_bare_copy": bulk / bare,
    }
    lost = 0 if stored == accepted + unary else 1
    return Result("submit", seed, figures, len(found) + lost)


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
