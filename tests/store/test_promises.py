"""Promised starts in the tables: what stands, who sees it, and what became of each."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.ids import JobId
from broker.job import Promised, Within
from broker.lifecycle import Held, JobState, PromiseCause, PromiseFate
from broker.store import jobs, promises, rounds, snapshots
from broker.store.database import Connection, Database
from broker.store.promises import PromiseEntry, PromiseRow
from tests.small_world import A_ROUND, T0, brought_to, lay_out, placed, submitted

S0 = int(T0.timestamp())


@pytest.fixture
async def world(database: Database) -> Database:
    return await lay_out(database)


async def row_of(database: Database, job: JobId, **changes: object) -> PromiseRow:
    """A promise of eight cards on two nodes an hour from now, made by a round of its own."""
    async with database.hub() as tx:
        pool_id = await tx.fetchval("SELECT pool_id FROM pools")
        number = await rounds.insert(tx, 1, A_ROUND)
    made = PromiseRow(
        job=job,
        city="ganzhou",
        pool_id=pool_id,
        pool="longdong/ascend",
        nodes=(("n1", 1), ("n3", 3)),
        build=1,
        start_s=S0 + 3600,
        end_s=S0 + 7200,
        first_start_s=S0 + 1800,
        not_before_s=0,
        worth_micro_yuan_per_hour=2**40,
        cards_per_task=2,
        cpu_milli_per_task=500,
        memory_mib_per_task=0,
        within=Within.DOMAIN,
        made_at=T0,
        round=number,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_what_is_kept_is_read_and_replaces_what_was(world: Database) -> None:
    first, second = await submitted(world, "a", "b")
    early = await row_of(world, first, not_before_s=S0 + 60)
    late = await row_of(world, second, start_s=S0 + 5000)
    async with world.hub() as tx:
        await promises.keep(tx, [late, early])
        both = await promises.read(tx)
        await promises.keep(tx, [late])
        one = await promises.read(tx)

    assert both == (early, late)
    assert one == (late,)


async def test_whoever_sees_the_promise_sees_that_the_job_waits_for_it(
    world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also who has read the job before a round commits, and reads the promise after it."""
    (job,) = await submitted(world, "a")
    row, read = await row_of(world, job), promises.of_jobs

    async def after_the_commit(tx: Connection, of: Collection[JobId]) -> dict[JobId, Promised]:
        async with world.hub() as round_tx:
            await promises.keep(round_tx, [row])
            await jobs.set_waiting_reasons(round_tx, [job], [Held.PROMISED.value])
        return await read(tx, of)

    monkeypatch.setattr(promises, "of_jobs", after_the_commit)
    async with world.city("ganzhou") as tx:
        found = await jobs.get(tx, job)

    assert found.promised is not None
    assert found.waiting_reason == Held.PROMISED


@pytest.mark.parametrize("state", [JobState.LEASED, JobState.CANCELLED])
async def test_a_promise_stands_while_its_job_waits(world: Database, state: JobState) -> None:
    (job,) = await submitted(world, "a")
    async with world.hub() as tx:
        await promises.keep(tx, [await row_of(world, job)])
    shown = Promised(T0 + timedelta(hours=1), T0 + timedelta(minutes=30), "longdong", "ascend")
    async with world.city("ganzhou") as tx:
        assert (await jobs.get(tx, job)).promised == shown
        assert [each.promised for each in await jobs.list_page(tx, limit=9)] == [shown]

    await brought_to(world, job, state)

    async with world.city("ganzhou") as tx:
        assert (await jobs.get(tx, job)).promised is None
    async with world.hub() as tx:
        assert [each.stands for each in await promises.read(tx)] == [False]


async def test_a_promise_of_an_earlier_attempt_is_of_no_use(world: Database) -> None:
    (job,) = await submitted(world, "a")
    async with world.hub() as tx:
        await promises.keep(tx, [await row_of(world, job)])
    await placed(world, job)
    async with world.hub() as tx:
        await tx.execute("UPDATE jobs SET state = 'pending' WHERE job_id = $1", job)

        assert [each.stands for each in await promises.read(tx)] == [False]
        assert await promises.of_jobs(tx, [job]) == {}


async def test_a_city_sees_its_own_promises_alone_and_changes_none(world: Database) -> None:
    (mine,) = await submitted(world, "a")
    (theirs,) = await submitted(world, "b", city="nanjing")
    async with world.hub() as tx:
        await promises.keep(tx, [await row_of(world, mine), await row_of(world, theirs)])

    async with world.city("ganzhou") as tx:
        assert set(await promises.of_jobs(tx, [mine, theirs])) == {mine}


async def test_what_became_of_promises_is_told_in_order(world: Database) -> None:
    (job,) = await submitted(world, "a")
    told = [
        PromiseEntry(job, PromiseFate.MADE, None, S0 + 60),
        PromiseEntry(job, PromiseFate.MOVED, S0 + 60, S0 + 90, PromiseCause.POWER_SHORT),
        PromiseEntry(job, PromiseFate.BROKEN, S0 + 90, None, PromiseCause.NODES_GONE),
    ]
    async with world.hub() as tx:
        number = await rounds.insert(tx, 1, A_ROUND)
        await promises.tell(tx, number, told[:1], T0)
        await promises.tell(tx, number, told[1:], T0)
        await promises.tell(tx, number, [], T0)

        assert await promises.history(tx, job) == told


async def test_a_long_queue_does_not_push_a_promised_job_out_of_the_round(world: Database) -> None:
    """Else a round would find that it does not wait any more, and let the promise go."""
    await submitted(world, "a", "b")
    (last,) = await submitted(world, "c")
    async with world.hub() as tx:
        await promises.keep(tx, [await row_of(world, last)])
    async with world.hub() as tx:
        view = await snapshots.read(tx, datetime(2026, 3, 2, tzinfo=UTC), 2)

    assert [row.job for row in view.waiting] == [1, last]
    assert [row.job for row in view.promises] == [last]
