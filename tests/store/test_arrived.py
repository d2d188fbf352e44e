"""Who arrives, as the fast lane asks for it: in the order of ids, and without passing by all who wait already."""

import json
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest

from broker.ids import JobId
from broker.job import PriorityClass
from broker.store import snapshots
from broker.store.database import Database
from tests.conftest import Dsns
from tests.plans import nodes_of
from tests.small_world import T0, a_spec, lay_out, submitted

WAITING = 3_000


@pytest.fixture
async def world(database: Database) -> Database:
    return await lay_out(database)


async def arrived(world: Database, after: JobId, jobs_max: int, again: Sequence[JobId] = ()) -> list[JobId]:
    async with world.hub() as tx:
        found = await snapshots.arrived(tx, after, T0, jobs_max, again)
    assert {row.shape_id for row in found.rows} == found.shapes.keys()
    ids = [row.job for row in found.rows]
    assert (found.last, found.more) == (ids[-1] if ids else after, len(ids) == jobs_max)
    return ids


async def of_each_kind(
    world: Database,
    after: JobId,
    jobs_max: int,
    again: Sequence[JobId] = (),
    alone: Sequence[JobId] = (),
    kinds_max: int = 100,
) -> snapshots.Arrived:
    async with world.hub() as tx:
        found = await snapshots.arrived_by_kind(tx, after, T0, jobs_max, again, alone=alone, kinds_max=kinds_max)
    assert {row.shape_id for row in found.rows} == found.shapes.keys()
    return found


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


async def test_of_each_kind_the_oldest_stands_for_the_others(world: Database) -> None:
    small = await submitted(world, "a", "b")
    large = await submitted(world, "c", spec=a_spec(cards_per_task=8), at=T0 - timedelta(seconds=9))
    more = await submitted(world, "d", at=T0 - timedelta(seconds=60))

    found = await of_each_kind(world, JobId(0), 10)

    assert [(row.job, row.submitted_at) for row in found.rows] == [
        (small[0], T0 - timedelta(seconds=60)),
        (large[0], T0 - timedelta(seconds=9)),
    ]
    assert (found.last, found.more) == (more[0], False)
    some = await of_each_kind(world, JobId(0), 3)
    assert ([row.job for row in some.rows], some.last, some.more) == ([small[0], large[0]], large[0], True)
    again = await of_each_kind(world, large[0], 10, [small[1]])
    assert ([row.job for row in again.rows], again.last) == ([small[1]], more[0])
    assert await of_each_kind(world, more[0], 10) == ((), {}, more[0], False)


async def test_one_that_stands_alone_is_a_kind_of_its_own(world: Database) -> None:
    jobs = await submitted(world, *(f"k{n}" for n in range(5)))

    found = await of_each_kind(world, JobId(0), 10, alone=[jobs[1], jobs[3]])

    assert [row.job for row in found.rows] == [jobs[0], jobs[1], jobs[3]]


async def test_of_more_kinds_than_are_wanted_the_first_come_and_nobody_before_the_others_is_missed(
    world: Database,
) -> None:
    jobs = [
        (await submitted(world, f"k{n}", spec=a_spec(walltime_seconds=kind)))[0]
        for n, kind in enumerate((1, 2, 1, 2, 3, 1, 4))
    ]

    found = await of_each_kind(world, JobId(0), 10, kinds_max=2)
    assert ([row.job for row in found.rows], found.last, found.more) == (jobs[:2], jobs[4] - 1, True)
    found = await of_each_kind(world, found.last, 10, kinds_max=2)
    assert ([row.job for row in found.rows], found.last, found.more) == ([jobs[4], jobs[5]], jobs[6] - 1, True)
    found = await of_each_kind(world, found.last, 10, kinds_max=2)
    assert ([row.job for row in found.rows], found.last, found.more) == ([jobs[6]], jobs[6], False)


async def test_whatever_a_decision_goes_by_tells_kinds_apart(world: Database) -> None:
    """All that is read of a job, save who it is and when it came: each of these differs from the first in one thing."""
    await submitted(world, "first", "like-it")
    for changes in (
        {"priority": PriorityClass.URGENT},
        {"ceiling_micro_yuan_per_pflops_hour": 20_000_001},
        {"walltime_seconds": 3601},
        {"finish_by": T0 + timedelta(days=1)},
        {"grace_seconds": 1},
        {"ceiling_micro_yuan_per_job": 1},
        {"cards_per_task": 2},
        {"vouchers": ("one",)},
        {"enterprise": "mill"},
    ):
        await submitted(world, f"{changes}", spec=a_spec(**changes))
    await submitted(world, "city", city="nanjing")
    async with world.hub() as tx:
        for number, job in enumerate(await submitted(world, "asked", "refused")):
            await tx.execute(
                "UPDATE jobs SET funds_wanted_micro_yuan = 1, funds_refused_at = $2 WHERE job_id = $1",
                job,
                T0 + timedelta(seconds=number),
            )

    found = await of_each_kind(world, JobId(0), 100)

    assert len(found.rows) == 1 + 9 + 1 + 2
    first = found.rows[0]._asdict()
    differing = {name for row in found.rows for name, value in row._asdict().items() if value != first[name]}
    assert differing == {*snapshots.WaitingRow._fields} - {"submitted_at"}


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
