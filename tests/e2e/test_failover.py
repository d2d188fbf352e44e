"""Several brokers on one database: one leads, any may be killed, and callers notice a pause at most."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.audit.main import run as audited
from broker.client import Build, JobSpec
from broker.wire.v1 import admin_service_pb2 as admin_pb
from tests.deadlines import eventually
from tests.e2e.exchange import work_until
from tests.e2e.replicas import Replicas, replicas

pytestmark = pytest.mark.e2e

TAKEOVER_SECONDS_MAX = 2.0
"""From the lapse of a dead leader's lease to the next lease that is given, on a machine that does nothing else."""

BUSY = 3.0
"""So much slower the machine may be that runs the tests, two at a time."""


@pytest.fixture(scope="module")
async def brokers() -> AsyncIterator[Replicas]:
    """Two brokers that started at once on an empty database, with an agent at each."""
    async with replicas(2) as made:
        await made.leader()
        await made.ready_to_lead()
        for number, broker in enumerate(made.brokers, 1):
            await made.attach(f"lab{number}", broker.endpoint)
        await made.attach("lab", made.endpoint)
        async with made.admin() as admin:

            async def all_live() -> bool:
                live = [c for c in await admin.clusters() if c.pools and c.agent == admin_pb.AGENT_STATE_LIVE]
                return len(live) == 3

            await eventually(all_live, seconds=60)
        yield made


def job(name: str, *command: str, cluster: str = "") -> JobSpec:
    owners = [cluster] if cluster else []
    builds = [Build(stack="cann", command=list(command))]
    return JobSpec(name=name, cards_per_task=1, walltime_seconds=300, builds=builds, allowed_owners=owners)


async def test_brokers_that_started_at_once_share_everything_and_keep_nothing(brokers: Replicas) -> None:
    async with brokers.admin() as admin:
        keys = await admin.keys()

    assert [key.key_id for key in keys if key.role == admin_pb.ROLE_OPERATOR] == [brokers.operator.key_id]
    assert not list(brokers.folder.glob("broker-*/keys"))
    assert not list(brokers.folder.glob("broker-*/client.json"))


async def test_any_broker_takes_a_job_and_any_agent_gets_it_soon(brokers: Replicas) -> None:
    """A submission to one broker, decided by the other, started by an agent at either: nobody waits for a report."""
    ended = []
    for broker in brokers.brokers:
        async with brokers.city(broker.endpoint) as city:
            for cluster in ("lab1", "lab2"):
                receipt = await city.submit(job(f"to {cluster}", "true", cluster=cluster))
                ended.append(await city.wait(receipt.job_id))
    gaps = [
        (await brokers.fetchrow("SELECT started_at - offered_at FROM leases WHERE job_id = $1", int(each.job_id[4:])))[
            0
        ]
        for each in ended
    ]

    assert {each.state for each in ended} == {"succeeded"}
    assert {each.placement.cluster for each in ended if each.placement} == {"lab1", "lab2"}
    assert max(gaps) < timedelta(seconds=1 * BUSY), gaps


async def test_a_killed_leader_is_replaced_and_nothing_is_lost(brokers: Replicas) -> None:
    """Kill -9; the next lease is given within two seconds after the dead leader's lease has lapsed."""
    end = brokers.folder / "jobs-may-end"
    async with brokers.city() as city, brokers.admin() as admin:
        # At the agent that knows both brokers: another one's could not tell its end while its broker is away.
        runs = (await city.submit(job("runs on", *work_until(end), cluster="lab"))).job_id
        await city.wait_started(runs)
        leader, _ = await brokers.leader()

        leader.program.kill()
        epoch, lapse = await brokers.fetchrow("SELECT epoch, expires_at FROM leadership")
        waiting = (await city.submit(job("comes meanwhile", "true", cluster="lab"))).job_id
        done = await city.wait(waiting)
        offered = (await brokers.fetchrow("SELECT min(offered_at) FROM leases WHERE job_id = $1", int(waiting[4:])))[0]
        follower, _ = await brokers.leader()
        (epoch_now,) = await brokers.fetchrow("SELECT epoch FROM leadership")
        end.touch()
        survivor = await city.wait(runs)
        takeover = (offered - lapse).total_seconds()
        print(f"takeover: {takeover:.2f} s after the lapse")

        leader.program.start()  # an old leader that comes back stands by
        await eventually(lambda: asyncio.to_thread(leader.ready), seconds=60)
        assert (await brokers.leader())[0] is not leader
        assert (await admin.clusters())[0].cluster

    assert done.state == "succeeded"
    assert (survivor.state, survivor.attempt) == ("succeeded", 1)
    assert follower is not leader
    assert epoch_now == epoch + 1
    assert takeover < TAKEOVER_SECONDS_MAX * BUSY
    assert await everything_is_right(brokers)


async def test_a_broker_that_is_told_to_end_hands_over_at_once(brokers: Replicas) -> None:
    """A rolling restart: not ready first, then calls end, then the lead is let go before it lapses."""
    leader, _ = await brokers.leader()
    other = next(broker for broker in brokers.brokers if broker is not leader)
    began = datetime.now(UTC)

    assert await asyncio.to_thread(leader.program.stop) == 0
    async with brokers.city(other.endpoint) as city:
        done = await city.wait((await city.submit(job("after the hand-over", "true"))).job_id)

    assert not leader.ready()
    assert done.state == "succeeded"
    assert (await brokers.leader())[0] is other
    assert done.started_at is not None
    assert done.started_at - began < timedelta(seconds=60)
    assert await everything_is_right(brokers)


async def everything_is_right(brokers: Replicas) -> bool:
    """Audit tables and the agents' own records."""
    folders: dict[str, Path] = {
        name: brokers.folder / f"home-{name}" / "agents" / name for name in ("lab", "lab1", "lab2")
    }
    _, findings = await audited(brokers.server.dsn_hub, brokers.server.dsn_city, folders)
    assert findings == []
    return True
