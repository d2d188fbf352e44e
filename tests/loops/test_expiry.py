"""Jobs that come too late end by themselves, once, however many brokers look."""

import asyncio
from datetime import timedelta

from broker.lifecycle import JobState
from broker.loops.expiry import Expiry
from broker.store import jobs
from broker.store.database import Database
from tests.small_world import T0, a_spec, lay_out, submitted, told

DUE = T0 + timedelta(minutes=5)


async def test_a_run_expires_all_that_is_due_in_batches_and_wakes_once(database: Database) -> None:
    world = await lay_out(database, clusters=False)
    due = await submitted(world, *(f"k{n}" for n in range(5)), spec=a_spec(start_by=DUE))
    await submitted(world, "later", spec=a_spec(start_by=DUE + timedelta(seconds=1)))
    woken: list[None] = []
    expiry = Expiry(world, wake=lambda: woken.append(None), batch_jobs=2)

    counts = [await expiry.run_once(now) for now in (DUE - timedelta(seconds=1), DUE, DUE)]

    assert counts == [0, 5, 0]
    assert len(woken) == 1
    async with world.hub() as tx:
        assert {j.job for j in await jobs.list_page(tx, limit=10, states=[JobState.EXPIRED])} == set(due)


async def test_brokers_that_look_at_once_expire_each_job_once(database: Database) -> None:
    world = await lay_out(database, clusters=False)
    due = await submitted(world, *(f"k{n}" for n in range(30)), spec=a_spec(start_by=DUE))
    brokers = [Expiry(world, wake=lambda: None, batch_jobs=4) for _ in range(4)]

    counts = await asyncio.gather(*(b.run_once(DUE) for b in brokers))
    rest = await brokers[0].run_once(DUE)

    assert sum(counts) + rest == 30
    for job in due:
        assert await told(world, job) == ["submitted", "expired"]
