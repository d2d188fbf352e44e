"""A preview says what a drain, a pause or a quota would do; nothing is changed by it."""

from datetime import timedelta
from typing import Any

import pytest

from broker.errors import CityNotFound, ClusterNotFound, HubNotFound, InvalidRequest, NodeNotFound
from broker.ids import job_text
from broker.lifecycle import JobState
from broker.market.previews import ChangeQuota, CloseNodes, PauseCity, Preview, Previews, WhatIf
from broker.store.database import Database
from broker.worlds.quotas import QuotaRow
from scheduler.horizon import Cause, Fate
from scheduler.preview import PromisedStart
from tests.cluster_world import ClusterWorld, inventory
from tests.market.test_promises import MARGIN, PROMISING, Promising
from tests.market.test_rounds import POLICY, RICH, Table


@pytest.fixture
async def table(database: Database) -> Table:
    table = Table(await ClusterWorld(database).lay())
    await table.world.attach("east", "one", inventory("n1", "n2"))
    return table


async def preview(table: Table, what: WhatIf) -> Preview:
    return await Previews(table.world.database, POLICY, jobs_max=1000).preview(what, now=table.world.now)


async def everything(table: Table) -> list[Any]:
    async with table.world.database.hub() as tx:
        return [
            await tx.fetch("SELECT node, mode FROM nodes ORDER BY node"),
            await tx.fetch("SELECT * FROM quotas"),
            await tx.fetch("SELECT * FROM operator_acts"),
        ]


async def test_closing_a_node_tells_who_runs_there_and_who_would_wait(table: Table) -> None:
    """One node is in use, the other free for the job that waits."""
    running = await table.submit(cards_per_task=8, walltime_seconds=600)
    await table.world.offer(running, {"n1": tuple(range(8))})
    waits = await table.submit(cards_per_task=8)
    before = await everything(table)

    of_cluster = await preview(table, CloseNodes("east"))
    busy = await preview(table, CloseNodes("east", ("n1",)))

    assert [each.job for each in of_cluster.running] == [each.job for each in busy.running] == [running]
    assert (of_cluster.running[0].ends_at - table.world.now).total_seconds() >= 600
    assert (of_cluster.waiting, of_cluster.greedy) == (1, False)
    assert (of_cluster.outlook.waits, of_cluster.outlook.worth_after_micro_yuan_per_hour) == ((job_text(waits),), 0)
    assert (busy.outlook.waits, busy.outlook.starts) == ((), ())
    assert await everything(table) == before


async def test_without_a_citys_jobs_others_start(table: Table) -> None:
    rich = [await table.submit("nanjing", cards_per_task=8) for _ in range(2)]
    poor = await table.submit("ganzhou", cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH // 2)

    found = (await preview(table, PauseCity("nanjing"))).outlook

    assert found.starts == (job_text(poor),)
    assert set(found.waits) == set(map(job_text, rich))


async def test_a_smaller_quota_makes_its_jobs_wait_and_a_larger_one_starts_them(table: Table) -> None:
    """The models of this world count a milli-TFLOPS for each card, so that only a quota of nothing is too small."""
    job = await table.submit("ganzhou", cards_per_task=8)
    async with table.world.database.hub() as tx:
        await tx.execute("INSERT INTO quotas (hub, city, guaranteed_milli_pflops) VALUES ('qingyang', NULL, 1000)")

    none = (await preview(table, ChangeQuota(QuotaRow("qingyang/ganzhou", 0, 0)))).outlook
    async with table.world.database.hub() as tx:
        await tx.execute(
            """INSERT INTO quotas (hub, city, guaranteed_milli_pflops, borrow_milli_pflops)
               VALUES ('qingyang', 'ganzhou', 0, 0)"""
        )
    some = (await preview(table, ChangeQuota(QuotaRow("qingyang/ganzhou", 1, 0)))).outlook

    assert (none.waits, none.starts) == ((job_text(job),), ())
    assert (some.waits, some.starts) == ((), (job_text(job),))


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (CloseNodes("nowhere"), ClusterNotFound),
        (CloseNodes("east", ("n1", "n9")), NodeNotFound),
        (PauseCity("nowhere"), CityNotFound),
        (ChangeQuota(QuotaRow("nowhere", 1)), HubNotFound),
        (ChangeQuota(QuotaRow("qingyang/ganzhou", 1)), InvalidRequest),
    ],
)
async def test_what_is_not_there_is_refused_by_name(table: Table, what: WhatIf, error: type[Exception]) -> None:
    with pytest.raises(error):
        await preview(table, what)


async def test_a_cluster_without_nodes_changes_nothing(table: Table) -> None:
    await table.submit()

    found = await preview(table, CloseNodes("west"))

    assert (found.running, found.outlook.waits, found.outlook.starts) == ((), (), ())


# With what is promised


@pytest.fixture
async def promising(database: Database) -> Promising:
    return await Promising(await ClusterWorld(database).lay()).open()


async def promised_in(table: Promising, what: WhatIf) -> Preview:
    return await Previews(table.world.database, PROMISING, jobs_max=1000).preview(what, now=table.world.now)


async def test_a_promised_start_that_a_drain_breaks_is_told_and_stands_all_the_same(promising: Promising) -> None:
    """A gang is promised the only node of eight cards from 630 s on; another cluster cannot hold it."""
    _, gang = await promising.blocked()
    await promising.world.attach("west", "two", inventory("w1", cards=4))
    rows = await promising.rows()

    east = (await promised_in(promising, CloseNodes("east"))).outlook.promises
    west = (await promised_in(promising, CloseNodes("west"))).outlook.promises

    start = rows[gang].start_s
    assert east == (PromisedStart(job_text(gang), start, start, None, Fate.BROKEN, Cause.NODES_GONE),)
    assert west == (PromisedStart(job_text(gang), start, start, start, Fate.KEPT, None),)
    assert await promising.rows() == rows


async def test_a_promised_start_moves_to_another_node_and_a_later_time(promising: Promising) -> None:
    """The other node of the pool is in use for longer."""
    _, gang = await promising.blocked()
    await promising.world.attach("east", "one", inventory("n1", "n2"))
    later = await promising.submit(cards_per_task=8, walltime_seconds=1800, grace_seconds=0)
    await promising.world.offer(later, {"n2": tuple(range(8))})

    (told,) = (await promised_in(promising, CloseNodes("east", ("n1",)))).outlook.promises

    assert (told.job_id, told.fate, told.cause) == (job_text(gang), Fate.MOVED, Cause.NODES_GONE)
    assert told.promised_s == told.before_s == (await promising.rows())[gang].start_s
    assert told.after_s is not None
    assert told.after_s - int(promising.world.now.timestamp()) in range(1800, 1800 + 2 * MARGIN)


async def test_without_a_citys_jobs_its_promises_go(promising: Promising) -> None:
    _, gang = await promising.blocked()

    (told,) = (await promised_in(promising, PauseCity((await promising.world.job(gang)).city))).outlook.promises

    assert (told.fate, told.after_s, told.promised_s is None) == (Fate.GONE, None, False)


async def test_a_guarantee_that_would_stop_preemptible_work_of_others_tells_of_it(promising: Promising) -> None:
    """It holds all eight cards, and a job of the other city would be promised them after its grace and the margin."""
    soft = await promising.start(cards_per_task=8, walltime_seconds=36_000, preemptible=True, grace_seconds=30)
    async with promising.world.database.hub() as tx:
        await tx.execute("INSERT INTO quotas (hub, city, guaranteed_milli_pflops) VALUES ('qingyang', NULL, 1000)")
    gang = await promising.submit("nanjing", cards_per_task=8, walltime_seconds=600)

    found = await promised_in(promising, ChangeQuota(QuotaRow("qingyang/nanjing", 1000)))

    assert [each.job for each in found.stopped] == [soft]
    assert found.stopped[0].ends_at == promising.world.now + timedelta(seconds=30)
    assert found.spared == ()
    (told,) = found.outlook.promises
    now = int(promising.world.now.timestamp())
    assert (told.job_id, told.promised_s, told.after_s) == (job_text(gang), None, now + 30 + MARGIN)
    assert (await promising.rows(), await promising.world.state_of(soft)) == ({}, JobState.RUNNING)
