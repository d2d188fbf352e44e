"""Anything may be killed at any moment: nothing that was acknowledged is lost, and nothing runs twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from broker.client import Build, Client, Event, JobSpec, JobState
from broker.demo.programs import kill_postmaster
from tests.deadlines import eventually
from tests.e2e.exchange import ASCEND, CAMBRICON, Exchange, work_until

pytestmark = pytest.mark.e2e

STREAMED = 3_000
KILLED_AFTER = 1_000


def running_job(until: Path, *, exit_code: int = 0, cards: int = 1, tasks: int = 1) -> JobSpec:
    """A job for CANN cards, which an agent serves; it runs until the file is there."""
    builds = [Build(stack="cann", command=work_until(until, exit_code=exit_code))]
    return JobSpec(name=until.name, tasks=tasks, cards_per_task=cards, walltime_seconds=300, builds=builds)


def waiting_job(number: int, job_set: str) -> JobSpec:
    """A job for CUDA cards, of which no agent has told."""
    builds = [Build(stack="cuda", command=["true"])]
    return JobSpec(name=f"part {number}", job_set=job_set, cards_per_task=1, walltime_seconds=60, builds=builds)


class Watcher:
    """A city that watches from the first event on, over whatever breaks."""

    def __init__(self, client: Client) -> None:
        self.seen: list[Event] = []
        self._client = client
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async with aclosing(self._client.watch()) as events:
            async for event in events:
                self.seen.append(event)

    async def sees(self, kind: str, job_id: str) -> None:
        """Wait until an event was seen."""

        async def came() -> bool:
            if self._watching.done():
                self._watching.result()
            return any((event.kind, event.job_id) == (kind, job_id) for event in self.seen)

        await eventually(came, seconds=60)

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)


@pytest.fixture
async def city(exchange: Exchange) -> AsyncIterator[Client]:
    async with exchange.client() as client:
        yield client


@pytest.fixture
async def watcher(exchange: Exchange) -> AsyncIterator[Watcher]:
    async with exchange.client() as client:
        made = Watcher(client)
        yield made
        await made.close()


async def test_a_killed_broker_loses_nothing_and_nothing_runs_twice(
    exchange: Exchange, city: Client, watcher: Watcher
) -> None:
    """Jobs run on, a stream of submissions goes on by itself where it broke, and so does a stream of events."""
    end = exchange.folder / "gangs-may-end"
    jobs = [(await city.submit(running_job(end, tasks=2))).job_id for _ in range(4)]
    for job_id in jobs:
        await exchange.becomes(city, job_id, "running")
    answered = 0
    killed = asyncio.Event()

    async def specs() -> AsyncIterator[JobSpec]:
        for number in range(STREAMED):
            if number == STREAMED // 2:
                await killed.wait()  # so that the stream is certainly under way
            yield waiting_job(number, "streamed")

    answers = []
    async with aclosing(city.submit_many(specs(), batch=100)) as submissions:
        async for answer in submissions:
            answers.append(answer)
            answered += 1
            if answered == KILLED_AFTER:
                await asyncio.to_thread(exchange.broker.kill)
                killed.set()
                await asyncio.to_thread(exchange.start_broker)
    end.touch()
    ends = [await exchange.becomes(city, job_id, "succeeded") for job_id in jobs]
    await watcher.sees("succeeded", jobs[-1])

    assert [answer.index for answer in answers] == list(range(STREAMED))
    assert not [answer.error for answer in answers if answer.error or answer.duplicate]
    told = {answer.job_id for answer in answers}
    assert told == {job.job_id async for job in city.jobs(job_set="streamed")}
    assert len(told) == STREAMED
    assert [job.attempt for job in ends] == [1] * len(jobs)
    await city.cancel_set("streamed")
    await watcher.sees("cancelled", answers[0].job_id)
    await exchange.audit(acknowledged=told | set(jobs), seen=watcher.seen)


async def test_jobs_of_a_killed_agent_run_on_and_the_next_agent_knows_how_they_ended(
    exchange: Exchange, city: Client
) -> None:
    """One ends while there is no agent, the other after the next one has adopted it."""
    end_short, end_long = exchange.folder / "short-may-end", exchange.folder / "long-may-end"
    short = (await city.submit(running_job(end_short, exit_code=7))).job_id
    long = (await city.submit(running_job(end_long, cards=2))).job_id
    for job_id in (short, long):
        await exchange.becomes(city, job_id, "running")
    record = exchange.record(ASCEND) / "engine.jsonl"

    def ended(job_id: str) -> bool:
        return any('"kind":"closed"' in line and f'"{job_id}"' in line for line in record.read_text().splitlines())

    async def short_has_ended() -> bool:
        return ended(short)

    exchange.agents[ASCEND].kill()
    end_short.touch()
    await eventually(short_has_ended, seconds=30)
    told_meanwhile = (await city.job(short)).state
    exchange.agents[ASCEND].start()
    failed = await exchange.becomes(city, short, "failed")
    end_long.touch()
    succeeded = await exchange.becomes(city, long, "succeeded")

    assert told_meanwhile is JobState.RUNNING
    assert failed.end is not None
    assert failed.end.exit_code == 7
    assert (failed.attempt, succeeded.attempt) == (1, 1)
    await exchange.audit()


async def test_a_killed_postgres_is_started_again_and_has_every_acknowledged_job(
    exchange: Exchange, city: Client
) -> None:
    """Cities only wait a little longer for their answers; what runs does not notice."""
    end = exchange.folder / "steady-may-end"
    running = (await city.submit(running_job(end))).job_id
    await exchange.becomes(city, running, "running")
    told = [(await city.submit(waiting_job(n, "dark"))).job_id for n in range(30)]

    kill_postmaster(exchange.home)
    told += [(await city.submit(waiting_job(n, "dark"))).job_id for n in range(30, 60)]
    end.touch()
    steady = await exchange.becomes(city, running, "succeeded")

    assert {job.job_id async for job in city.jobs(job_set="dark")} == set(told)
    assert len(set(told)) == 60
    assert steady.attempt == 1
    await city.cancel_set("dark")
    await exchange.attached(ASCEND, CAMBRICON)
    await exchange.audit(acknowledged=told)
