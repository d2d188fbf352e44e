"""Every lease gets a signed placement policy; what its agent rejects frees its cards, and closes its pool."""

import pytest
from prometheus_client import generate_latest

from broker import metrics
from broker.caller import Caller, Role
from broker.errors import JobNotFound
from broker.ids import JobId, job_text, lease_text
from broker.job import Ending
from broker.lifecycle import EndReason, JobEvent, JobState, NodeMode
from broker.market.catalogue import Catalogues
from broker.market.jobs import Jobs
from broker.market.policies import Policies
from broker.market.rounds import Rounds
from broker.policy.keys import Signer, TrustedKeys
from broker.policy.statement import PlacementPolicy
from broker.store import nodes, orders, policies
from broker.store.database import Database
from broker.store.leases import LeaseRef
from tests.cluster_world import ClusterWorld, ended, inventory, orders_of
from tests.market.test_rounds import Table

SIGNER = Signer.generate()
TRUSTED = TrustedKeys.parse([SIGNER.public_key])
REJECTED = Ending(EndReason.POLICY_REJECTED, detail="POLICY_OWNER_NOT_ALLOWED: the cluster is other's")


class Exchange(Table):
    """A world whose rounds sign, and a city that looks."""

    def __init__(self, world: ClusterWorld) -> None:
        super().__init__(world)
        self.rounds = Rounds(
            world.database,
            jobs_max=1000,
            records_kept=2,
            wake_cluster=self.woken.append,
            remember=self.remembered.append,
            policies=Policies(SIGNER),
        )
        catalogues = Catalogues(world.database)
        self.jobs = Jobs(world.database, catalogues, wake=lambda: None, stop_wanted=lambda _: None)

    async def policy(self, job: JobId, city: str = "ganzhou") -> PlacementPolicy:
        _, signed = await self.jobs.look(Caller("key", Role.CITY, city), job)
        assert signed is not None
        return TRUSTED.verified(signed)

    async def lease(self, job: JobId) -> LeaseRef:
        placement = (await self.world.job(job)).placement
        assert placement is not None
        return LeaseRef(placement.lease, placement.epoch)

    async def modes(self, cluster: str) -> dict[str, tuple[NodeMode, str]]:
        async with self.world.database.hub() as tx:
            return {n.node: (n.mode, n.mode_reason) for n in await nodes.node_page(tx, cluster, "", 100)}


@pytest.fixture
async def exchange(database: Database) -> Exchange:
    return Exchange(await ClusterWorld(database).lay())


def rejections() -> float:
    lines = generate_latest(metrics.REGISTRY).decode().splitlines()
    return float(next(line for line in lines if line.startswith("broker_policy_rejections_total ")).split()[1])


async def test_a_round_signs_what_the_job_allows_and_where_it_was_placed(exchange: Exchange) -> None:
    await exchange.world.attach()
    job = await exchange.submit(domestic_only=True, allowed_owners=("owner", "zoo"), allowed_hubs=("qingyang",))

    await exchange.round()

    lease = await exchange.lease(job)
    assert await exchange.policy(job) == PlacementPolicy(
        key_id=SIGNER.key_id,
        lease=lease_text(lease.lease),
        epoch=1,
        job=job_text(job),
        city="ganzhou",
        domestic_only=True,
        allowed_owners=("owner", "zoo"),
        allowed_hubs=("qingyang",),
        cluster="east",
        hub="qingyang",
        owner="owner",
        pool="main",
        model="ascend-910b",
        origin="domestic",
    )
    async with exchange.world.database.hub() as tx:
        [order] = await orders.orders(tx, [lease.lease])
    assert order.policy is not None
    assert TRUSTED.verified(order.policy) == await exchange.policy(job)


async def test_a_city_sees_its_own_policies_only(exchange: Exchange) -> None:
    """By the use case, and by row-level security beneath it."""
    await exchange.world.attach()
    job = await exchange.submit()
    await exchange.round()
    lease = await exchange.lease(job)

    with pytest.raises(JobNotFound):
        await exchange.policy(job, "nanjing")
    async with exchange.world.database.city("nanjing") as tx:
        assert await policies.of_leases(tx, [lease.lease]) == {}
    async with exchange.world.database.city("ganzhou") as tx:
        assert lease.lease in await policies.of_leases(tx, [lease.lease])


async def test_a_lease_that_is_older_than_policies_lives_on(exchange: Exchange) -> None:
    """It has no statement, it is ordered without one, and runs to its end."""
    session = await exchange.world.attach()
    job, ref = await exchange.world.placed()

    first = await exchange.world.report(session, 1)
    await exchange.world.report(session, 2, ended(ref, Ending(EndReason.COMPLETED)))

    assert [order.policy for order in first.start] == [None]
    assert await exchange.jobs.look(Caller("key", Role.CITY, "ganzhou"), job) == (await exchange.world.job(job), None)
    assert await exchange.world.state_of(job) is JobState.SUCCEEDED


async def test_a_rejected_lease_gives_its_job_back_and_closes_the_pool(exchange: Exchange) -> None:
    """The job is not at fault: no attempt is charged, and it is placed elsewhere, not there again."""
    world, before = exchange.world, rejections()
    session = await world.attach()
    job = await exchange.submit(attempts_max=1)
    await exchange.round()
    lease = await exchange.lease(job)

    answer = await world.report(session, 1, ended(lease, REJECTED))
    await world.report(session, 2, ended(lease, REJECTED))
    await exchange.round()

    assert answer.settled == (lease,)
    assert await world.state_of(job) is JobState.PENDING
    assert await world.story(job) == [JobEvent.SUBMITTED, JobEvent.LEASED, JobEvent.REQUEUED]
    modes = await exchange.modes("east")
    reason = f"its agent rejected {lease_text(lease.lease)}: {REJECTED.detail}"
    assert modes == dict.fromkeys(("n1", "n2"), (NodeMode.CORDONED, reason))
    assert rejections() == before + 1
    await world.attach("west", "two", inventory("w1"))
    await exchange.round()
    assert ((await exchange.policy(job)).cluster, (await exchange.policy(job)).epoch) == ("west", 2)
    await world.check()


async def test_a_lease_that_is_older_than_policies_may_be_rejected_and_closes_nothing(exchange: Exchange) -> None:
    """An upgrade between offer and start: the job gets a lease with a policy, and nobody has to open a pool."""
    session = await exchange.world.attach()
    job, ref = await exchange.world.placed()
    missing = Ending(EndReason.POLICY_REJECTED, detail="POLICY_MISSING: the lease was made before")

    await exchange.world.report(session, 1, ended(ref, missing))

    assert await exchange.world.state_of(job) is JobState.PENDING
    assert {mode for mode, _ in (await exchange.modes("east")).values()} == {NodeMode.OPEN}


async def test_only_the_pool_of_the_rejected_lease_is_closed(exchange: Exchange) -> None:
    world = exchange.world
    session = await world.attach("east", "one", inventory("n1"), inventory("g1", pool="gpu", model="a800"))
    job = await exchange.submit(domestic_only=True)
    await exchange.round()

    await world.report(session, 1, ended(await exchange.lease(job), REJECTED))

    modes = await exchange.modes("east")
    assert {node: mode for node, (mode, _) in modes.items()} == {"n1": NodeMode.CORDONED, "g1": NodeMode.OPEN}


async def test_a_rejection_of_another_epoch_changes_nothing(exchange: Exchange) -> None:
    session = await exchange.world.attach()
    job = await exchange.submit()
    await exchange.round()
    lease = await exchange.lease(job)
    stale = lease._replace(epoch=lease.epoch + 1)

    answer = await exchange.world.report(session, 1, ended(stale, REJECTED))

    assert await exchange.world.state_of(job) is JobState.LEASED
    assert orders_of(answer) == [lease.lease]
    assert {mode for mode, _ in (await exchange.modes("east")).values()} == {NodeMode.OPEN}
