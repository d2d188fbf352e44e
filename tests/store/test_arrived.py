"""Who arrives, as the fast lane asks for it: in the order of ids, and without passing by all who wait already."""

import json
from collections.abc import Sequence

import asyncpg
import pytest

from broker.ids import JobId
from broker.store import snapshots
from broker.store.database import Database
from tests.conftest import Dsns
from tests.plans import nodes_of
from tests.small_world import T0, lay_out, submitted

WAITING = 3_000


@pytest.fixture
async def world(database: Database) -> Database:
    return await lay_out(database)


async def arrived(world: Database, after: JobId, jobs_max: int, again: Sequence[JobId] = ()) -> list[JobId]:
    async with world.hub() as tx:
        rows, shapes = await snapshots.arrived(tx, after, T0, jobs_max, again)
    assert {row.shape_id for row in rows} == shapes.keys()
    return [row.job for row in rows]


async def test_arrivals_come_in_their_order_and_those_to_look_at_again_before_them(world: Database) -> None:
    jobs = await submitted(world, *(f"k{n}" for n in range(6)))

    assert await arrived(world, jobs[2], 10) == jobs[3:]
    assert await arrived(world, jobs[2], 2) == jobs[3:5]
    assert await arrived(world, jobs[2], 10, [jobs[1], jobs[0]]) == [*jobs[:2], *jobs[3:]]
    assert await arrived(world, jobs[2], 3, [jobs[0]]) == [jobs[0], *jobs[3:5]]
    assert await arrived(world, jobs[2], 1, [jobs[0], jobs[1]]) == [jobs[0]]
    assert await arrived(world, jobs[5], 10) == []


async def test_one_to_look_at_again_that_is_new_comes_once(world: Database) -> None:
    jobs = await submitted(world, "a", "b")

    assert await arrived(world, JobId(0), 10, jobs) == jobs


async def test_who_waits_already_is_not_passed_by_to_come_to_those_who_arrive(world: Database, dsns: Dsns) -> None:
    """With half a million who wait that took longer than the arrivals themselves, so nobody was placed any more."""
    jobs = await submitted(world, *(f"k{n}" for n in range(WAITING)))
    owner = await asyncpg.connect(dsns.owner)
    await owner.execute("ANALYZE jobs")
    await owner.close()

    async with world.hub() as tx:
        await tx.execute("PREPARE arrived (bigint, timestamptz, bigint, bigint[]) AS " + snapshots.ARRIVED)
        await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")  # as of a statement that comes often
        asked = f"({jobs[-3]}, '{T0.isoformat()}', 200, '{{{jobs[7]}}}')"
        plan = await tx.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE arrived " + asked)
        await tx.execute("DEALLOCATE arrived")

    read = [
        node.get("Rows Removed by Filter", 0) + node["Actual Rows"]
        for node in nodes_of(json.loads(plan)[0]["Plan"])
        if node.get("Relation Name") == "jobs"
    ]
    assert sum(read) == 3, plan  # two that are new, and one to look at again
