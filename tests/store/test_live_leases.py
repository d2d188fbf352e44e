"""Live leases of a cluster, read by what has changed: never less than who reads all of them sees."""

from collections.abc import Awaitable, Callable

import pytest

from broker.ids import JobId
from broker.job import Ending
from broker.lifecycle import EndReason, StopClaim
from broker.store import jobs, leases, stops
from broker.store.database import Connection, Database
from broker.store.leases import LeaseRef, Started, Stopped
from broker.store.orders import LiveLease, LiveLeases
from broker.store.stops import Stop
from tests.cluster_world import ClusterWorld

Change = Callable[[ClusterWorld, JobId, LeaseRef], Awaitable[object]]


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    world = await ClusterWorld(database).lay()
    await world.attach("east")
    await world.attach("west")
    return world


async def cancelled_by_its_city(world: ClusterWorld, job: JobId, _: LeaseRef) -> None:
    async with world.database.city("ganzhou") as tx:
        await jobs.cancel(tx, job, world.now)


async def started(world: ClusterWorld, _: JobId, ref: LeaseRef) -> None:
    async with world.database.hub() as tx:
        await leases.started(tx, "east", [Started(ref)], world.now)


async def data_ready(world: ClusterWorld, job: JobId, ref: LeaseRef) -> None:
    await started(world, job, ref)
    async with world.database.hub() as tx:
        assert await leases.data_ready(tx, "east", [ref], world.now)


async def ended(world: ClusterWorld, _: JobId, ref: LeaseRef) -> None:
    async with world.database.hub() as tx:
        told = [Stopped(ref, Ending(EndReason.COMPLETED))]
        await leases.stopped(tx, "east", told, world.now, restarts_max=0)


async def lost(world: ClusterWorld, _: JobId, __: LeaseRef) -> None:
    async with world.database.hub() as tx:
        await leases.silent(tx, "east", world.now)


async def to_be_stopped(world: ClusterWorld, job: JobId, ref: LeaseRef) -> None:
    await started(world, job, ref)
    async with world.database.hub() as tx:
        assert await stops.order(tx, [Stop(ref.lease, StopClaim.TIER, job, 5)], world.now)


async def found(tx: Connection, changed: LiveLeases) -> dict[LeaseRef, LiveLease]:
    """What is read by what has changed; no less than what is there."""
    mine = dict(await changed.read(tx, "east"))
    assert mine == await LiveLeases().read(tx, "east")
    return mine


@pytest.mark.parametrize("change", [cancelled_by_its_city, started, data_ready, ended, lost, to_be_stopped])
async def test_every_change_is_seen_by_who_reads_only_changes(world: ClusterWorld, change: Change) -> None:
    _, neighbour = await world.placed()
    job, ref = await world.placed(preemptible=True)
    changed = LiveLeases()
    async with world.database.hub() as tx:
        before = await found(tx, changed)

    await change(world, job, ref)

    async with world.database.hub() as tx:
        after = await found(tx, changed)
    assert before.keys() == {neighbour, ref}
    assert after.get(ref) != before[ref]


async def test_nothing_is_read_when_nothing_has_changed(world: ClusterWorld) -> None:
    """A reader that has a trace of another's leases keeps the same object: it was not read again."""
    _, quiet = await world.placed()
    changed = LiveLeases()
    async with world.database.hub() as tx:
        before = (await found(tx, changed))[quiet]
    _, fresh = await world.placed()  # by a later transaction, which shows how far the first reading went
    async with world.database.hub() as tx:
        await found(tx, changed)

    _, last = await world.placed()
    async with world.database.hub() as tx:
        after = await found(tx, changed)

    assert after.keys() == {quiet, fresh, last}
    assert after[quiet] is before


async def test_what_commits_late_is_seen_though_later_transactions_were_seen_before(world: ClusterWorld) -> None:
    """The one that was slow has the lower number."""
    _, slow = await world.placed()
    _, quick = await world.placed()
    changed = LiveLeases()
    async with world.database.hub() as tx:
        await found(tx, changed)

    async with world.database.hub() as first:
        await leases.started(first, "east", [Started(slow)], world.now)
        async with world.database.hub() as second:
            await leases.started(second, "east", [Started(quick)], world.now)
        async with world.database.hub() as reader:
            between = await found(reader, changed)
    async with world.database.hub() as reader:
        after = await found(reader, changed)

    assert (between[slow].ran, between[quick].ran) == (False, True)
    assert (after[slow].ran, after[quick].ran) == (True, True)


async def test_what_a_transaction_does_after_it_has_read_is_seen_by_the_next_reading(world: ClusterWorld) -> None:
    """Also when it had written before, as an exchange with an agent does."""
    _, one = await world.placed()
    _, other = await world.placed()
    changed = LiveLeases()
    async with world.database.hub() as tx:
        await found(tx, changed)

    async with world.database.hub() as tx:
        await leases.started(tx, "east", [Started(one)], world.now)
        await changed.read(tx, "east")
        await leases.started(tx, "east", [Started(other)], world.now)
    async with world.database.hub() as tx:
        after = await found(tx, changed)

    assert after[one].ran
    assert after[other].ran


async def test_what_was_rolled_back_never_was(world: ClusterWorld) -> None:
    _, ref = await world.placed()
    changed = LiveLeases()
    async with world.database.hub() as tx:
        await found(tx, changed)

    async def breaks() -> None:
        async with world.database.hub() as tx:
            await leases.started(tx, "east", [Started(ref)], world.now)
            raise RuntimeError("the connection broke")

    with pytest.raises(RuntimeError, match="the connection broke"):
        await breaks()
    async with world.database.hub() as tx:
        assert not (await found(tx, changed))[ref].ran
