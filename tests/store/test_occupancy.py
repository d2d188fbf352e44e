"""What live leases hold and until when, for a planner that looks ahead."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.job import Ending
from broker.lifecycle import EndReason
from broker.store import occupancy, rounds, snapshots
from broker.store.database import Database
from broker.store.occupancy import OVERDUE, Occupancy
from broker.store.rounds import LeaseDraft, RoundReport
from tests.cluster_world import START, ClusterWorld, ended, running


def s(at: datetime) -> int:
    return int(at.timestamp())


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


async def read(world: ClusterWorld) -> Occupancy:
    async with world.database.hub() as tx:
        found = await occupancy.read(tx, world.now)
    async with world.database.hub() as tx:
        assert (await snapshots.read(tx, world.now, 10)).leases == found
    return found


async def test_nothing_is_held_where_nothing_runs(world: ClusterWorld) -> None:
    await world.attach()

    assert await read(world) == Occupancy()


async def test_live_leases_tell_what_they_hold_and_until_when(world: ClusterWorld) -> None:
    """Whole cards and shares, one node and two, started and not, in the order of their ids."""
    session = await world.attach()
    gang = await world.submit(
        cards_per_task=2, tasks=2, cpu_milli_per_task=500, memory_mib_per_task=64, preemptible=True,
        checkpoint_interval_seconds=300,
    )  # fmt: skip
    first = await world.offer(gang, {"n1": (0, 1), "n2": (4, 5)})
    world.advance(5)
    await world.report(session, 1, running(first))
    over, over_ref = await world.placed(walltime_seconds=10)
    gone, gone_ref = await world.placed()
    await world.report(session, 2, *map(running, (first, over_ref, gone_ref)))
    completed = ended(gone_ref, Ending(EndReason.COMPLETED))
    await world.report(session, 3, running(first), running(over_ref), completed)
    started = world.now
    world.advance(100)
    waits, waits_ref = await world.placed(walltime_seconds=60, grace_seconds=0)

    found = await read(world)

    assert found.lease == (first.lease, over_ref.lease, waits_ref.lease)
    assert (found.job, gone in found.job) == ((gang, over, waits), False)
    assert found.offered_s == (s(START), s(started), s(world.now))
    assert found.started_s == (s(started), s(started), -1)
    assert found.ends_s == (s(started) + 607, s(world.now + OVERDUE), s(world.now) + 60)
    assert found.preemptible == (True, False, False)
    assert (found.checkpoint_interval_seconds, found.grace_seconds) == ((300, 0, 0), (7, 7, 0))
    assert found.walltime_seconds == (600, 10, 60)
    assert found.first == (0, 2, 3, 4)
    assert (found.cards, found.milli) == ((2, 2, 1, 1), (2000, 2000, 1000, 1000))
    assert (found.cpu_milli, found.memory_mib) == ((500, 500, 0, 0), (64, 64, 0, 0))
    async with world.database.hub() as tx:
        ids = {r["node"]: r["node_id"] for r in await tx.fetch("SELECT node, node_id FROM nodes")}
    assert found.node_id[:2] == (ids["n1"], ids["n2"])


async def test_tasks_that_share_a_card_hold_it_once(world: ClusterWorld) -> None:
    await world.attach()
    job = await world.submit(tasks=3, share_milli=250, cpu_milli_per_task=100)
    async with world.database.hub() as tx:
        node_id, pool_id = await tx.fetchrow("SELECT node_id, pool_id FROM nodes WHERE node = 'n1'")
        report = RoundReport(world.now, "committed", "", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), {})
        draft = LeaseDraft(job, "ganzhou", "east", pool_id, 0, 1, "hold", ((node_id, (0, 0, 1), 3),), share_milli=250)
        await rounds.offer(tx, await rounds.insert(tx, 1, report), [draft], world.now)

    found = await read(world)

    assert (found.cards, found.milli, found.cpu_milli) == ((2,), (750,), (300,))
    assert (found.shared_lease, found.shared_card) == (found.lease * 2, (0, 1))
    assert found.shared_node_id == (node_id, node_id)


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
async def test_a_clock_that_jumped_makes_no_end_in_the_past_or_far_ahead(world: ClusterWorld, jump: timedelta) -> None:
    session = await world.attach()
    await world.running(session, 1)
    world.now += jump

    [ends] = (await read(world)).ends_s

    latest: Any = world.now + timedelta(seconds=607)
    assert s(world.now + OVERDUE) <= ends <= s(latest)
