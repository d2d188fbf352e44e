"""A promised start, from the command line to processes on emulated cards."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.client import Job
from tests.deadlines import eventually
from tests.e2e.exchange import ASCEND, Exchange, work_until

pytestmark = pytest.mark.e2e


def submitted(exchange: Exchange, *options: str, command: list[str]) -> str:
    told = exchange.xisuan("submit", "--city", "ganzhou", "--json", "--stack", "cann", *options, "--", *command)
    job_id: str = told.data["job_id"]
    return job_id


async def test_a_large_gang_is_promised_a_start_and_small_jobs_that_come_later_do_not_delay_it(
    exchange: Exchange, open_folder: Path
) -> None:
    """Half of the cards are taken, the gang wants them all: short work fills the time before it, long work waits."""
    go, stop = open_folder / "go", open_folder / "stop"
    half = submitted(exchange, "--cards", "8", "--walltime", "10m", command=work_until(go))
    async with exchange.client() as client:
        await exchange.becomes(client, half, "running")
        gang = submitted(
            exchange, "--tasks", "2", "--cards", "8", "--walltime", "5m", "--priority", "deferrable",
            command=work_until(stop),
        )  # fmt: skip
        job: Job = await client.job(gang)

        async def promised() -> bool:
            nonlocal job
            job = await client.job(gang)
            return job.promised is not None

        await eventually(promised)
        assert job.promised is not None
        assert (job.waiting_reason, job.promised.cluster) == ("PROMISED", ASCEND)
        long = submitted(exchange, "--cards", "8", "--walltime", "1h", "--priority", "urgent", command=["true"])
        short = submitted(exchange, "--cards", "8", "--walltime", "1m", "--priority", "urgent", command=["true"])
        await exchange.becomes(client, short, "succeeded")
        assert (await client.job(long)).state == "pending"
        assert "to start by" in exchange.xisuan("job", gang, "--city", "ganzhou").out
        assert gang in exchange.xisuan("admin", "promises").out
        listed: Any = exchange.xisuan("admin", "promises", "--json").data["promises"]
        assert listed[0]["job_id"] == gang

        soon = (job.promised.starts_at - timedelta(minutes=2)).isoformat()
        explained = exchange.xisuan("explain", gang, "--city", "ganzhou", "--by", soon).out
        assert f"in {ASCEND}/" in explained.split("as it is, it could start by ")[1].splitlines()[0]
        assert "ask for 1 tasks instead of 2: could start now" in explained
        assert "BROKEN (NODES_GONE)" in exchange.xisuan("admin", "preview", "close", ASCEND).out

        go.touch()
        started = await exchange.becomes(client, gang, "running")
        assert started.started_at is not None
        assert started.started_at < job.promised.starts_at
        assert started.promised is None
        replayed = exchange.xisuan("rounds", "replay").out
        assert "the same plan, bit for bit" in replayed
        stop.touch()
        for each in (half, gang, long):
            await exchange.becomes(client, each, "succeeded")
    await exchange.audit(acknowledged=[half, gang, long, short])
