"""Calls in processes of their own: nobody can tell, but that more cores are used; and any of them may be killed."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from broker.calls.keeper import CALL_PROGRAM
from broker.client import Build, Client, JobSpec
from broker.demo.programs import kill_postmaster
from tests.deadlines import eventually, eventually_now
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, Exchange, work_until, xisuan
from tests.e2e.test_kills import Watcher

pytestmark = pytest.mark.e2e

CLIENTS = 8
"""Connections go to the processes by luck: of so many, two processes get some each but for once in 128 runs."""


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with running.exchange("call_processes=2") as made:
        made.start_agent(ASCEND)
        yield made


@pytest.fixture
async def cities(exchange: Exchange) -> AsyncIterator[list[Client]]:
    """Clients of one city, each with a connection of its own."""
    await exchange.attached(ASCEND)
    async with AsyncExitStack() as held:
        yield [await held.enter_async_context(exchange.client()) for _ in range(CLIENTS)]


def call_processes(exchange: Exchange) -> list[psutil.Process]:
    assert exchange.broker.process is not None
    children = psutil.Process(exchange.broker.process.pid).children()
    return [child for child in children if CALL_PROGRAM in child.cmdline()]


def spec(until: Path) -> JobSpec:
    """A job that writes a line and runs until the file is there."""
    words = work_until(until)
    words[2] = f'$| = 1; print "hello from {until.name}\\n"; {words[2]}'
    return JobSpec(name=until.name, cards_per_task=1, walltime_seconds=300, builds=[Build(stack="cann", command=words)])


async def test_what_goes_in_by_one_process_is_seen_by_all(exchange: Exchange, cities: list[Client]) -> None:
    """Events, states and output, whichever of them has the agent's stream."""
    watchers = [Watcher(client) for client in cities]
    end = exchange.folder / "all-may-end"
    jobs = [(await client.submit(spec(end))).job_id for client in cities]
    for job in jobs:
        await exchange.becomes(cities[0], job, "running")

    said = [b"".join([piece async for piece in client.logs(jobs[0])]) for client in cities]
    end.touch()
    for watcher in watchers:
        for job in jobs:
            await watcher.sees("succeeded", job)
        await watcher.close()

    assert len(call_processes(exchange)) == 2
    assert said == [b"hello from all-may-end\n"] * CLIENTS
    await exchange.audit(acknowledged=jobs, seen=watchers[0].seen)


async def test_a_process_that_is_killed_is_started_again_and_nothing_is_lost(
    exchange: Exchange, cities: list[Client]
) -> None:
    watcher = Watcher(cities[0])
    end = exchange.folder / "killed-may-end"
    jobs = [(await client.submit(spec(end))).job_id for client in cities]
    before = call_processes(exchange)
    for process in before:
        process.kill()
        process.wait()
        jobs += [(await client.submit(spec(end))).job_id for client in cities]  # by the other one, or waits for it

    eventually_now(lambda: len(call_processes(exchange)) == 2)
    end.touch()
    for job in jobs:
        await exchange.becomes(cities[-1], job, "succeeded")
        await watcher.sees("succeeded", job)
    await watcher.close()

    assert not {each.pid for each in before} & {each.pid for each in call_processes(exchange)}
    await exchange.audit(acknowledged=jobs, seen=watcher.seen)


async def test_a_database_that_is_killed_comes_back_under_all_processes(
    exchange: Exchange, cities: list[Client]
) -> None:
    before = call_processes(exchange)
    kill_postmaster(exchange.home)
    end = exchange.folder / "database-may-end"
    end.touch()

    jobs = [(await client.submit(spec(end))).job_id for client in cities]
    for job in jobs:
        await exchange.becomes(cities[0], job, "succeeded")

    assert {each.pid for each in before} == {each.pid for each in call_processes(exchange)}
    await exchange.audit(acknowledged=jobs)


async def test_a_killed_broker_leaves_no_process_that_takes_calls(exchange: Exchange, cities: list[Client]) -> None:
    """They would take calls whose jobs nobody places; and the next broker could not have the port."""
    left = call_processes(exchange)
    left[0].suspend()  # one that stands still does not see that its line has ended
    exchange.broker.kill()

    async def gone() -> bool:
        return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left)

    await eventually(gone)
    exchange.start_broker()
    job = (await cities[0].submit(spec(exchange.folder))).job_id
    await exchange.becomes(cities[0], job, "succeeded")


def test_a_second_broker_does_not_share_the_port(exchange: Exchange) -> None:
    home = exchange.folder / "second"

    told = xisuan(
        "serve", "--home", home, "--listen", exchange.endpoint, "--metrics-listen", "", "--set", "call_processes=1",
        environment={},
    )  # fmt: skip

    assert told.code == 1
    assert "in use" in told.err
    assert "Traceback" not in told.err
