"""Promised starts between the rounds: nobody who arrives takes their cards, and a round comes when one is due."""

from collections.abc import AsyncIterator

import pytest

from broker import metrics
from broker.ids import JobId
from broker.lifecycle import JobState, PromiseCause, PromiseFate
from broker.store import promises
from broker.store.leases import LeaseRef
from broker.store.promises import PromiseEntry
from tests.cluster_world import ClusterWorld, running
from tests.loops.test_placing import Lanes, Slow, lanes, world

__all__ = ["world"]


@pytest.fixture(scope="module")
async def planner() -> AsyncIterator[Slow]:
    process = Slow()
    yield process
    process.close()


@pytest.fixture
async def here(world: ClusterWorld, planner: Slow) -> Lanes:
    return lanes(world, planner)


async def blocked(here: Lanes) -> tuple[JobId, JobId]:
    """Eight of sixteen cards are taken for ten minutes; a gang that wants them all is promised that time."""
    small = await here.first_round(cards_per_task=8, walltime_seconds=600)
    gang = await here.submit_to_round(tasks=2, cards_per_task=8, walltime_seconds=600)
    assert await here.round() == 0
    return small, gang


async def story(here: Lanes, job: JobId) -> list[PromiseEntry]:
    async with here.world.database.hub() as tx:
        return await promises.history(tx, job)


def counted(fate: PromiseFate, cause: PromiseCause | None = None) -> float:
    return metrics.PROMISES.labels(fate.value, "none" if cause is None else cause.value)._value.get()


async def test_what_arrives_after_the_round_gets_promised_cards_only_until_then(here: Lanes) -> None:
    """Without another round: the world is read anew as soon as the promise is made."""
    made = counted(PromiseFate.MADE)
    _, gang = await blocked(here)
    before = await here.numbers()
    long = await here.submit(walltime_seconds=700)
    short = await here.submit(walltime_seconds=60)

    assert await here.place() == 1
    assert await here.world.state_of(long) is JobState.PENDING
    assert await here.world.state_of(short) is JobState.LEASED
    assert await here.numbers() == before
    assert [entry.fate for entry in await story(here, gang)] == [PromiseFate.MADE]
    assert counted(PromiseFate.MADE) == made + 1
    await here.world.check()


async def test_a_job_that_is_leased_while_a_promise_is_made_does_not_move_it(here: Lanes) -> None:
    """It runs for an hour on what the round promises: the promise is for the time after it from the first."""
    await here.first_round(cards_per_task=8, walltime_seconds=600)
    gang = await here.submit_to_round(tasks=16, cards_per_task=1, walltime_seconds=600)
    task = await here.round_under_way()
    fast = await here.submit(walltime_seconds=3600)

    assert await here.place() == 1
    await here.end(task)
    await here.submit()
    await here.round()

    assert await here.world.state_of(fast) is JobState.LEASED
    (entry,) = await story(here, gang)
    assert entry.start_s is not None
    assert entry.start_s >= int(here.world.now.timestamp()) + 3600


async def test_a_promise_that_is_due_brings_a_round_though_nothing_has_changed(here: Lanes) -> None:
    """What runs there does not end: it is moved, told, and not looked at again at every turn."""
    moved = counted(PromiseFate.MOVED, PromiseCause.NODES_GONE)
    small, gang = await blocked(here)
    ref = await here.world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", small)
    await here.world.report(await here.world.attach(), 1, running(LeaseRef(ref["lease_id"], ref["epoch"])))
    here.world.advance(31)
    await here.round()  # because jobs age; it knows that the lease has started
    async with here.world.database.hub() as tx:
        ((start_s, first_s),) = [(row.start_s, row.first_start_s) for row in await promises.read(tx)]
    here.world.advance(start_s - here.world.now.timestamp() - 2)
    await here.round()
    before = await here.numbers()

    for _ in range(6):
        here.world.advance(1)
        await here.round()

    assert start_s < first_s
    assert len(await here.numbers()) == len(before) + 1
    assert [(e.fate, e.cause) for e in (await story(here, gang))[1:]] == [(PromiseFate.MOVED, PromiseCause.NODES_GONE)]
    assert counted(PromiseFate.MOVED, PromiseCause.NODES_GONE) == moved + 1


async def test_a_promised_gang_starts_when_the_cards_are_free_before_all_that_came_later(here: Lanes) -> None:
    small, gang = await blocked(here)
    later = [await here.submit(cards_per_task=8, walltime_seconds=600) for _ in range(2)]
    await here.round()
    await here.finish(small)

    assert await here.round() == 1
    assert await here.world.state_of(gang) is JobState.LEASED
    assert {await here.world.state_of(job) for job in later} == {JobState.PENDING}
    assert [entry.fate for entry in await story(here, gang)] == [PromiseFate.MADE, PromiseFate.KEPT]
