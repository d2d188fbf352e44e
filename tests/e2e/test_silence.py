"""A cut link: an agent that is not heard keeps its cards and jobs, and no job is started a second time beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.client import Build, Client, IfLost, JobSpec
from tests.deadlines import eventually
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, CAMBRICON, Exchange, frozen, work_until

pytestmark = pytest.mark.e2e

# The order of the real terms, shortened: killed by its own supervisor < lost < restarted elsewhere.
TERMS = (
    "report_interval_seconds=0.3",
    "suspect_after_seconds=2",
    "kill_after_seconds=4",
    "lost_after_seconds=5",
    "kill_margin_seconds=2",
)


@pytest.fixture(scope="module")
async def exchange() -> AsyncIterator[Exchange]:
    """A broker with short terms, and two agents."""
    with running.exchange(*TERMS) as made:
        made.start_agent(ASCEND)
        made.start_agent(CAMBRICON)
        await made.attached(ASCEND, CAMBRICON)
        yield made


@pytest.fixture
async def city(exchange: Exchange) -> AsyncIterator[Client]:
    async with exchange.client() as client:
        yield client


def a_job(until: Path, if_lost: IfLost, *stacks: str) -> JobSpec:
    builds = [Build(stack=stack, command=work_until(until)) for stack in stacks]
    return JobSpec(name=if_lost, cards_per_task=4, walltime_seconds=300, builds=builds, if_lost=if_lost)


async def events_of(client: Client, job_id: str) -> list[str]:
    return [event.kind.value async for event in client.watch(idle_seconds_max=1) if event.job_id == job_id]


async def agent_becomes(exchange: Exchange, cluster: str, state: str) -> None:
    async def there() -> bool:
        return await exchange.agent_state(cluster) == state

    await eventually(there, seconds=30)


async def leases_held(exchange: Exchange, cluster: str) -> dict[str, int]:
    """Return by job how many cards its lease holds on the cluster."""
    async with exchange.admin() as admin:
        return {
            lease.job_id: sum(len(node.cards) for node in lease.placement.nodes)
            async for lease in admin.leases(states=["lost"], cluster=cluster)
        }


async def test_a_lost_lease_keeps_its_cards_and_is_found_again(exchange: Exchange, city: Client) -> None:
    """Silence is not an end: the job is not started elsewhere, although it could be."""
    end = exchange.folder / "may-end"
    job_id = (await city.submit(a_job(end, IfLost.HOLD, "cann"))).job_id
    await exchange.becomes(city, job_id, "running")

    async with frozen(exchange.agents[ASCEND]):
        await agent_becomes(exchange, ASCEND, "suspect")
        await agent_becomes(exchange, ASCEND, "lost")
        held = await leases_held(exchange, ASCEND)
    await agent_becomes(exchange, ASCEND, "live")  # by its Hello already, which says nothing of leases

    async def is_found() -> bool:
        return (await events_of(city, job_id))[-1] == "found"

    await eventually(is_found, seconds=30)
    end.touch()
    ended = await exchange.becomes(city, job_id, "succeeded")

    assert held == {job_id: 4}
    assert ended.attempt == 1
    assert await events_of(city, job_id) == ["submitted", "leased", "started", "lost", "found", "succeeded"]
    await exchange.audit()


async def test_a_job_that_may_restart_is_killed_by_its_terms_before_it_restarts_elsewhere(
    exchange: Exchange, city: Client
) -> None:
    """Its supervisor kills it without its agent; the engines' records prove that it never ran twice at once."""
    job_id = (await city.submit(a_job(exchange.folder / "never", IfLost.RESTART, "cann", "neuware"))).job_id
    first = await exchange.becomes(city, job_id, "running")
    assert first.placement is not None
    silenced = first.placement.cluster

    async with frozen(exchange.agents[silenced]):
        await agent_becomes(exchange, silenced, "lost")

        async def runs_elsewhere() -> bool:
            job = await city.job(job_id)
            return job.state == "running" and job.attempt == 2

        await eventually(runs_elsewhere, seconds=30)
        second = await city.job(job_id)
    await agent_becomes(exchange, silenced, "live")
    await city.cancel(job_id)
    await exchange.becomes(city, job_id, "cancelled")

    assert second.placement is not None
    assert second.placement.cluster != silenced
    kinds = await events_of(city, job_id)
    assert kinds[:7] == ["submitted", "leased", "started", "lost", "requeued", "leased", "started"]
    facts = await exchange.audit()
    runs = sorted((run for run in facts.runs if f"job-{run.job}" == job_id), key=lambda run: run.started_ns)
    assert [run.cluster for run in runs] == [silenced, second.placement.cluster]
    assert runs[0].ended_ns is not None
    assert runs[0].ended_ns < runs[1].started_ns
