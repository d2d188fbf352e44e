"""Shares of cards on a real PostgreSQL: nobody is promised more than there is, whoever comes at the same time."""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import pytest

from broker.ids import JobId
from broker.job import Ending, GangSize
from broker.lifecycle import EndReason
from broker.store import leases, orders, rounds, snapshots
from broker.store.clusters import NodeCondition
from broker.store.database import Connection, Database
from broker.store.leases import LeaseRef, Stopped
from broker.store.node_table import NodeRow, SplitCard
from broker.store.rounds import LeaseDraft
from tests.cluster_world import ClusterWorld, inventory
from tests.deadlines import eventually
from tests.small_world import is_blocked

COMPLETED = Ending(EndReason.COMPLETED)


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1", cards=4))
    return world


async def hold(
    tx: Connection, world: ClusterWorld, job: JobId, share_milli: int, cards: Mapping[str, Sequence[int]]
) -> LeaseRef:
    """Offer the job shares of these cards, one for each task; without a look at whether they are free."""
    [row] = await tx.fetch("SELECT city, attempt, if_lost FROM jobs WHERE job_id = $1", job)
    pool = await tx.fetchval("SELECT pool_id FROM pools WHERE cluster = 'east'")
    ids = {r["node"]: r["node_id"] for r in await tx.fetch("SELECT node, node_id FROM nodes WHERE cluster = 'east'")}
    nodes = tuple((ids[node], tuple(held), len(held)) for node, held in cards.items())
    epoch = row["attempt"] + 1
    draft = LeaseDraft(job, row["city"], "east", pool, 0, epoch, row["if_lost"], nodes, share_milli)
    return LeaseRef((await rounds.offer(tx, await world._round(tx), [draft], world.now))[job], epoch)


async def held(world: ClusterWorld, job: JobId, share_milli: int, *cards: int) -> LeaseRef:
    async with world.database.hub() as tx:
        return await hold(tx, world, job, share_milli, {"n1": cards})


async def the_node(world: ClusterWorld) -> NodeRow:
    async with world.database.hub() as tx:
        [node] = (await snapshots.read(tx, world.now, 10)).nodes
    return node


async def test_a_card_is_split_until_it_is_full(world: ClusterWorld) -> None:
    """What is left of a split card can be given, a full one not; a free one is none of the split ones."""
    first, second, third = [await world.submit(share_milli=250) for _ in range(3)]

    await held(world, first, 250, 0)
    await held(world, second, 500, 0, 1)
    await held(world, third, 250, 2, 2, 2, 2)

    node = await the_node(world)
    assert node.free_cards == (3,)
    assert node.split == {0: SplitCard(250, 2), 1: SplitCard(500, 1)}


async def test_a_share_is_free_again_when_its_lease_has_ended(world: ClusterWorld) -> None:
    """The neighbour keeps his; the last one to go leaves a whole card."""
    first, second = [await world.submit(share_milli=500) for _ in range(2)]
    refs = [await held(world, job, 500, 0) for job in (first, second)]
    left = []

    for ref in refs:
        async with world.database.hub() as tx:
            await leases.stopped(tx, "east", [Stopped(ref, COMPLETED)], world.now, restarts_max=0)
        left.append(await the_node(world))

    assert left[0].split == {0: SplitCard(500, 1)}
    assert left[0].free_cards == (1, 2, 3)
    assert (left[1].split, left[1].free_cards) == ({}, (0, 1, 2, 3))
    await world.check()


async def test_a_card_that_a_stranger_uses_as_well_is_given_to_nobody(world: ClusterWorld) -> None:
    job = await world.submit(share_milli=500)
    await held(world, job, 500, 0)
    session = await world.attach("east", "one", inventory("n1", cards=4))

    await world.report(session, 1, nodes=(NodeCondition("n1", foreign_cards=(0, 1)),))

    node = await the_node(world)
    assert (node.free_cards, node.split) == ((2, 3), {})


@pytest.mark.parametrize(
    ("first", "second"),
    [(500, 501), (999, 2), (0, 1), (1, 0), (0, 0)],
    ids=["more than a card", "one too much", "a share of a whole card", "whole beside a share", "whole twice"],
)
async def test_more_than_there_is_cannot_be_held(world: ClusterWorld, first: int, second: int) -> None:
    """0 milli asks for a whole card. The database itself refuses it, and nothing of the lease is left."""
    one, other = [await world.submit() for _ in range(2)]
    await held(world, one, first, 2)

    with pytest.raises((asyncpg.CheckViolationError, asyncpg.UniqueViolationError)):
        await held(world, other, second, 2)

    assert await world.held() == 1
    await world.check()


async def test_one_lease_cannot_hold_more_than_a_card_by_itself(world: ClusterWorld) -> None:
    job = await world.submit(share_milli=400)

    with pytest.raises(asyncpg.CheckViolationError):
        await held(world, job, 400, 1, 1, 1)

    assert await world.held() == 0


@pytest.mark.parametrize(("share", "both"), [(500, True), (600, False)])
async def test_two_that_race_for_one_card_get_what_there_is(world: ClusterWorld, share: int, both: bool) -> None:
    """The second one waits for the first one's end, and counts what that has taken."""
    one, other = [await world.submit(share_milli=share) for _ in range(2)]
    async with world.database.hub() as tx:
        await hold(tx, world, one, share, {"n1": [0]})

        racing = asyncio.create_task(held(world, other, share, 0))
        await eventually(lambda: is_blocked(world.database))
    [result] = await asyncio.gather(racing, return_exceptions=True)

    assert isinstance(result, LeaseRef) == both
    assert isinstance(result, asyncpg.CheckViolationError) == (not both)
    assert await world.held() == (2 if both else 1)
    await world.check()


async def test_two_that_race_for_a_share_and_for_the_whole_card_never_both_win(world: ClusterWorld) -> None:
    one, other = [await world.submit() for _ in range(2)]
    async with world.database.hub() as tx:
        await hold(tx, world, one, 1, {"n1": [0]})

        racing = asyncio.create_task(held(world, other, 0, 0))
        await eventually(lambda: is_blocked(world.database))
    [result] = await asyncio.gather(racing, return_exceptions=True)

    assert isinstance(result, asyncpg.CheckViolationError)
    assert await world.held() == 1


async def test_of_two_that_race_the_second_wins_when_the_first_one_gives_up(world: ClusterWorld) -> None:
    one, other = [await world.submit(share_milli=600) for _ in range(2)]
    waits, raced = asyncio.Event(), []

    async def gives_up() -> None:
        async with world.database.hub() as tx:
            await hold(tx, world, one, 600, {"n1": [0]})
            waits.set()
            await eventually(lambda: is_blocked(world.database))
            raise ZeroDivisionError

    async def comes_second() -> None:
        await waits.wait()
        raced.append(await held(world, other, 600, 0))

    results = await asyncio.gather(gives_up(), comes_second(), return_exceptions=True)

    assert isinstance(results[0], ZeroDivisionError)
    assert len(raced) == 1

    assert (await the_node(world)).split == {0: SplitCard(400, 1)}


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_transaction_that_cannot_see_the_others_may_not_hold_cards(world: ClusterWorld, isolation: str) -> None:
    """Its view is older than what others have taken meanwhile."""
    job = await world.submit(share_milli=500)

    async def hold_with_an_old_view() -> None:
        async with world.database.hub() as tx:
            await tx.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            await hold(tx, world, job, 500, {"n1": [0]})

    with pytest.raises(asyncpg.CheckViolationError, match="READ COMMITTED"):
        await hold_with_an_old_view()


async def test_an_order_tells_the_share_and_the_size_it_runs_with(world: ClusterWorld) -> None:
    """Logs are there for as many tasks as run, not as were asked for."""
    job = await world.submit(share_milli=200, tasks=8, smaller_sizes=(GangSize(3, 400_000),))
    ref = await held(world, job, 250, 0, 0, 2)

    async with world.database.hub() as tx:
        [order] = await orders.orders(tx, [ref.lease])
        attempt = await orders.attempt(tx, job, 0)

    [part] = order.nodes
    assert (part.cards, part.tasks, part.share_milli, order.cards_per_task) == ((0, 0, 2), 3, 250, 1)
    assert attempt is not None
    assert attempt.tasks == 3
    placement = (await world.job(job)).placement
    assert placement is not None
    assert placement.tasks == 3


async def test_who_a_job_runs_for_is_stored_beside_it(world: ClusterWorld) -> None:
    """It decides the quota, not the shape: equal requests of two enterprises share one."""
    for enterprise in ("acme", "beta", ""):
        await world.submit(enterprise=enterprise, share_milli=100)

    async with world.database.hub() as tx:
        view = await snapshots.read(tx, world.now, 10)

    assert [row.enterprise for row in view.waiting] == ["acme", "beta", ""]
    assert len({row.shape_id for row in view.waiting}) == 1
