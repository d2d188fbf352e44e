"""Live leases of a cluster, read by what has changed: never less than who reads all of them sees."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from broker.ids import JobId
from broker.job import Ending
from broker.lifecycle import EndReason, StopClaim
from broker.store import jobs, leases, stops
from broker.store.database import Connection, Database
from broker.store.leases import LeaseRef, Started, Stopped
from broker.store.orders import CHANGED, LIVE, LiveLease, LiveLeases
from broker.store.stops import Stop
from tests.cluster_world import ClusterWorld, laid_with_agents
from tests.conftest import Dsns
from tests.deadlines import eventually

Change = Callable[[ClusterWorld, JobId, LeaseRef], Awaitable[object]]


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await laid_with_agents(database)


async def cancelled_by_its_city(world: ClusterWorld, job: JobId, _: LeaseRef) -> None:
    async with world.database.city("ganzhou") as tx:
        await jobs.cancel(tx, job, world.now)


async def started(world: ClusterWorld, _: JobId, ref: LeaseRef) -> None:
    async with world.database.hub() as tx:
        await leases.started(tx, "east", [Started(ref)], world.now)


async def data_ready(world: ClusterWorld, _: JobId, ref: LeaseRef) -> None:
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
    async with world.database.hub() as tx:
        assert await stops.order(tx, [Stop(ref.lease, StopClaim.TIER, job, 5)], world.now)


async def found(tx: Connection, changed: LiveLeases) -> dict[LeaseRef, LiveLease]:
    """What is read by what has changed; no less than what is there."""
    mine = dict(await changed.read(tx, "east"))
    assert mine == await LiveLeases().read(tx, "east")
    return mine


async def look(world: ClusterWorld, changed: LiveLeases) -> dict[LeaseRef, LiveLease]:
    """The same in a transaction of its own."""
    async with world.database.hub() as tx:
        return await found(tx, changed)


async def reader_of(world: ClusterWorld) -> LiveLeases:
    """One that has read what is there now."""
    changed = LiveLeases()
    await look(world, changed)
    return changed


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (cancelled_by_its_city, False),
        (cancelled_by_its_city, True),
        (started, False),
        (ended, True),
        (lost, True),
        (data_ready, True),
        (to_be_stopped, True),
    ],
)
async def test_every_change_is_seen_by_who_reads_only_changes(world: ClusterWorld, change: Change, runs: bool) -> None:
    _, neighbour = await world.placed()
    job, ref = await world.placed(preemptible=True)
    if runs:
        await started(world, job, ref)
    changed = LiveLeases()
    before = await look(world, changed)

    await change(world, job, ref)

    after = await look(world, changed)
    assert before.keys() == {neighbour, ref}
    assert after.get(ref) != before[ref]


async def test_nothing_is_read_when_nothing_has_changed(world: ClusterWorld) -> None:
    """What did not change is the same object still."""
    _, quiet = await world.placed()
    changed = LiveLeases()
    before = (await look(world, changed))[quiet]
    _, fresh = await world.placed()  # by a later transaction, which shows how far the first reading went
    await look(world, changed)

    _, last = await world.placed()
    after = await look(world, changed)

    assert after.keys() == {quiet, fresh, last}
    assert after[quiet] is before


async def test_what_commits_late_is_seen_though_later_transactions_were_seen_before(world: ClusterWorld) -> None:
    """The one that was slow has the lower number."""
    _, slow = await world.placed()
    _, quick = await world.placed()
    changed = await reader_of(world)

    async with world.database.hub() as first:
        await leases.started(first, "east", [Started(slow)], world.now)
        async with world.database.hub() as second:
            await leases.started(second, "east", [Started(quick)], world.now)
        between = await look(world, changed)
    after = await look(world, changed)

    assert (between[slow].ran, between[quick].ran) == (False, True)
    assert (after[slow].ran, after[quick].ran) == (True, True)


async def test_what_a_transaction_does_after_it_has_read_is_seen_by_the_next_reading(world: ClusterWorld) -> None:
    """Also when it had written before it read."""
    _, one = await world.placed()
    _, other = await world.placed()
    changed = await reader_of(world)

    async with world.database.hub() as tx:
        await leases.started(tx, "east", [Started(one)], world.now)
        await changed.read(tx, "east")
        await leases.started(tx, "east", [Started(other)], world.now)
    after = await look(world, changed)

    assert after[one].ran
    assert after[other].ran


async def test_what_was_rolled_back_never_was(world: ClusterWorld) -> None:
    """Nor while it was under way."""
    _, ref = await world.placed()
    changed, between = await reader_of(world), dict[LeaseRef, LiveLease]()

    async def breaks() -> None:
        async with world.database.hub() as tx:
            await leases.started(tx, "east", [Started(ref)], world.now)
            between.update(await look(world, changed))
            raise RuntimeError("the connection broke")

    with pytest.raises(RuntimeError, match="the connection broke"):
        await breaks()

    after = await look(world, changed)
    assert not between[ref].ran
    assert not after[ref].ran


@pytest.mark.parametrize("of_a_set", [False, True])
async def test_a_cancellation_that_waits_for_a_round_is_news_of_the_lease_that_this_makes(
    world: ClusterWorld, of_a_set: bool
) -> None:
    """The round commits, its news are read, and only then the cancellation commits, which began before."""
    await world.placed()
    job = await world.submit(job_set="s")
    changed, done, looked = await reader_of(world), asyncio.Event(), asyncio.Event()

    async def cancel() -> None:
        async with world.database.city("ganzhou") as tx:
            if of_a_set:
                part = await jobs.cancel_set(tx, "ganzhou", "s", world.now, 10)
                assert part == jobs.CancelledSet(0, 1, frozenset({"east"}))
            else:
                assert (await jobs.cancel(tx, job, world.now)).cancel_requested_at == world.now
            done.set()
            await looked.wait()

    async def waits() -> bool:
        async with world.database.hub() as tx:
            return bool(await tx.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    async with world.database.hub() as tx:
        ref = await world.offer_in(tx, job)
        cancelling = asyncio.create_task(cancel())
        await eventually(waits)
    await done.wait()
    between = await look(world, changed)
    looked.set()
    await cancelling
    after = await look(world, changed)

    assert not between[ref].cancelled
    assert after[ref].cancelled


async def test_a_cancelled_set_of_many_clusters_tells_all_of_them(world: ClusterWorld) -> None:
    for cluster in ("east", "west", "west"):
        await world.offer(await world.submit(job_set="s"), cluster=cluster)
    await world.submit(job_set="s")

    async with world.database.city("ganzhou") as tx:
        first = await jobs.cancel_set(tx, "ganzhou", "s", world.now, 10)
        again = await jobs.cancel_set(tx, "ganzhou", "s", world.now, 10)

    assert first == jobs.CancelledSet(1, 3, frozenset({"east", "west"}))
    assert again == jobs.CancelledSet(0, 0)


async def test_what_was_restored_from_another_server_counts_as_unchanged(world: ClusterWorld, dsns: Dsns) -> None:
    """There numbers were higher: ended leases must not be read for ever, and live ones change by numbers of here."""
    for _ in range(3):
        job, ref = await world.placed()
        await ended(world, job, ref)
    job, ref = await world.placed()
    owner = await asyncpg.connect(dsns.owner)
    await owner.execute(
        "ALTER TABLE leases NO FORCE ROW LEVEL SECURITY; ALTER TABLE leases DISABLE TRIGGER changes;"
        "UPDATE leases SET changed_in = '1000000000'; ALTER TABLE leases ENABLE TRIGGER changes"
    )
    await owner.close()
    changed = LiveLeases()

    before = await look(world, changed)
    async with world.database.hub() as tx:
        rows = await tx.fetch(CHANGED, "east", "0")
    await started(world, job, ref)
    after = await look(world, changed)

    assert (list(before), rows) == ([ref], [])
    assert after[ref].ran


class Watched:
    """A connection that notes which statements are asked."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx
        self.asked: list[str] = []

    async def fetch(self, statement: str, *arguments: object) -> Any:
        self.asked.append({LIVE: "all", CHANGED: "changed"}[statement])
        return await self._tx.fetch(statement, *arguments)


async def test_while_a_transaction_stays_open_all_is_read_instead_of_ever_more(world: ClusterWorld, dsns: Dsns) -> None:
    """Nobody then knows what is new; as soon as it ends, what has changed is read again."""
    changed = LiveLeases(changed_max=2)
    asked = []

    async def look() -> None:
        await world.placed()
        _, ref = await world.placed()
        await ended(world, JobId(0), ref)
        async with world.database.hub() as tx:
            watched = Watched(tx)
            mine = await changed.read(watched, "east")  # type: ignore[arg-type]
            assert mine == await LiveLeases().read(tx, "east")
        asked.extend(watched.asked)

    other = await asyncpg.connect(dsns.hub)
    async with other.transaction():
        await other.execute("SELECT pg_current_xact_id()")
        for _ in range(8):
            await look()
    await other.close()
    for _ in range(3):
        await look()

    open_so_long, then = asked[:8], asked[8:]
    assert open_so_long[0] == open_so_long[-1] == "all"
    assert open_so_long.index("all", 1) == open_so_long.count("changed") + 1  # once it is too many, it stays so
    assert then == ["all", "changed", "changed"]


async def test_after_all_was_read_and_nothing_lived_all_is_read_again(world: ClusterWorld) -> None:
    """A server may go back in its numbers, as one that takes over and lags behind."""
    job, ref = await world.placed()
    changed = await reader_of(world)
    await ended(world, job, ref)

    async with world.database.hub() as tx:
        watched = Watched(tx)
        await changed.read(watched, "east", whole=True)  # type: ignore[arg-type]
        await changed.read(watched, "east")  # type: ignore[arg-type]

    assert watched.asked == ["all", "all"]


async def test_a_change_in_a_part_of_a_transaction_is_seen(world: ClusterWorld) -> None:
    """A savepoint has a number of its own; what counts is the transaction's."""
    _, ref = await world.placed()
    changed = await reader_of(world)

    async with world.database.hub() as tx:
        async with tx.transaction():
            await leases.started(tx, "east", [Started(ref)], world.now)
        await look(world, changed)
    after = await look(world, changed)

    assert after[ref].ran


async def test_a_city_may_renew_the_number_of_its_own_leases_and_do_nothing_else(world: ClusterWorld) -> None:
    """Not set it, not another city's, and no other column."""
    _, ref = await world.placed()
    changed = await reader_of(world)

    async with world.database.city("ganzhou") as tx:
        mine = await tx.execute("UPDATE leases SET changed_in = '18446744073709551615'")
    async with world.database.city("nanjing") as tx:
        other = await tx.execute("UPDATE leases SET changed_in = '0'")
    async with world.database.city("ganzhou") as tx:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.execute("UPDATE leases SET state = 'lost'")
    await started(world, JobId(0), ref)
    after = await look(world, changed)

    assert (mine, other) == ("UPDATE 1", "UPDATE 0")
    assert after[ref].ran
