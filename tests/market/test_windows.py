"""Maintenance windows: who is told, what no longer starts, and what is recorded of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.errors import ClusterNotFound, InvalidRequest, WindowNotFound
from broker.ids import WindowId
from broker.lifecycle import JobState, StopClaim
from broker.loops.maintenance import Maintenance
from broker.market.clusters import Session
from broker.market.windows import Created, Windows, may_use
from broker.store import nodes, snapshots, stops
from broker.store.database import Database
from broker.store.windows import NodePlace, WindowDraft
from scheduler.reasons import Reason
from tests.cluster_world import START, ClusterWorld, inventory, running
from tests.market.test_rounds import Table
from tests.small_world import OPERATOR

HOUR = timedelta(hours=1)


class Yard(Table):
    """A table with a cluster of three nodes in two pools, and the use cases of windows."""

    def __init__(self, world: ClusterWorld, session: Session) -> None:
        super().__init__(world)
        self.session = session
        self.woken_by_windows = 0
        self.windows = Windows(world.database, wake=self._wake)

    def _wake(self) -> None:
        self.woken_by_windows += 1

    def draft(self, *nodes: str, pool: str = "", start: timedelta = HOUR, **changes: Any) -> WindowDraft:
        begin = self.world.now + start
        return replace(WindowDraft("east", pool, nodes, begin, begin + HOUR, "firmware"), **changes)

    async def create(self, *nodes: str, dry_run: bool = False, **changes: Any) -> Created:
        draft = self.draft(*nodes, **changes)
        return await self.windows.create(OPERATOR, draft, now=self.world.now, dry_run=dry_run)

    async def seen(self) -> Mapping[str, tuple[bool, tuple[datetime, datetime] | None]]:
        """Whether a round may use each node, and its next window."""
        async with self.world.database.hub() as tx:
            view = await snapshots.read(tx, self.world.now, 10)
        return {n.node: (n.open, n.window) for n in view.nodes}

    async def closed(self) -> dict[str, int]:
        """How many cards operators see as closed, by pool."""
        async with self.world.database.hub() as tx:
            found = await nodes.clusters(tx, self.world.now)
        return {pool.pool: pool.cards_closed for cluster in found for pool in cluster.pools}

    async def acts(self) -> list[tuple[str, str, Any]]:
        async with self.world.database.hub() as tx:
            return [tuple(r) for r in await tx.fetch("SELECT act, subject, detail FROM operator_acts ORDER BY act_id")]


@pytest.fixture
async def yard(database: Database) -> Yard:
    world = await ClusterWorld(database).lay()
    pools = inventory("n1", "n2"), inventory("m1", pool="side", model="a800")
    return Yard(world, await world.attach("east", "one", *pools))


async def test_each_node_has_its_next_window_and_is_closed_inside(yard: Yard) -> None:
    later = await yard.create("n1", start=4 * HOUR)
    first = await yard.create(pool="main")
    whole = await yard.create(start=2 * HOUR)

    before = await yard.seen()
    yard.world.advance(3600)
    inside = await yard.seen()
    closed = await yard.closed()
    yard.world.advance(2 * 3600)
    last = await yard.seen()

    assert [c.nodes for c in (later, first, whole)] == [("n1",), ("n1", "n2"), ("m1", "n1", "n2")]
    hours = {n: window and (window[0] - START) / HOUR for n, (_, window) in before.items()}
    assert hours == {"n1": 1, "n2": 1, "m1": 2}
    assert all(is_open for is_open, _ in before.values())
    assert {n: is_open for n, (is_open, _) in inside.items()} == {"n1": False, "n2": False, "m1": True}
    assert closed == {"main": 16, "side": 0}
    assert {n: (is_open, window and (window[0] - START) / HOUR) for n, (is_open, window) in last.items()} == {
        "n1": (True, 4), "n2": (True, None), "m1": (True, None)
    }  # fmt: skip


async def test_an_act_is_recorded_once_and_a_repeat_changes_nothing(yard: Yard) -> None:
    made = await yard.create("n1", "n2")
    again = await yard.create("n1", "n2")

    assert made.window is not None
    cancelled = await yard.windows.cancel(OPERATOR, made.window.window, now=yard.world.now)
    twice = await yard.windows.cancel(OPERATOR, made.window.window, now=yard.world.now + HOUR)

    assert again.window == made.window
    assert cancelled == twice == replace(made.window, cancelled_at=yard.world.now)
    assert [(act, subject) for act, subject, _ in await yard.acts()] == [
        ("create_window", "window-1"),
        ("cancel_window", "window-1"),
    ]
    assert (await yard.acts())[0][2]["nodes"] == ["n1", "n2"]
    assert {window for _, window in (await yard.seen()).values()} == {None}
    assert await yard.windows.list("", now=yard.world.now) == []
    assert await yard.windows.list("east", now=yard.world.now, past=True) == [cancelled]


async def test_a_dry_run_tells_whom_it_would_meet_and_changes_nothing(yard: Yard) -> None:
    """Leases by their walltimes from their start, jobs that may use these nodes and may not be stopped."""
    world = yard.world
    long, short = await world.submit(walltime_seconds=7200), await world.submit(walltime_seconds=600)
    long_ref = await world.offer(long, {"n1": (0,)})
    await world.offer(short, {"n1": (1,)})
    await world.report(yard.session, 1, running(long_ref))
    barred = await yard.submit(walltime_seconds=7200)
    await yard.submit(walltime_seconds=3600)
    await yard.submit(walltime_seconds=7200, preemptible=True)
    await yard.submit(walltime_seconds=7200, allowed_hubs=("guian",))
    await yard.submit(walltime_seconds=7200, earliest_start=world.now + 2 * HOUR)
    soon = await yard.submit(walltime_seconds=60, earliest_start=world.now + HOUR + timedelta(seconds=9))

    told = await yard.create("n1", dry_run=True)
    elsewhere = await yard.create("m1", dry_run=True)

    assert (told.window, [lease.job for lease in told.leases]) == (None, [long])
    assert (told.barred, told.barred_count) == ((barred, soon), 2)
    assert (elsewhere.leases, elsewhere.barred) == ((), ())
    assert await yard.acts() == []
    assert await yard.windows.list("", now=world.now, past=True) == []
    assert yard.woken_by_windows == 0


async def test_what_would_cross_a_window_of_the_whole_pool_waits_and_says_why(yard: Yard) -> None:
    await yard.create(pool="main")
    long, short = await yard.submit(walltime_seconds=3601), await yard.submit(walltime_seconds=3500)

    done = await yard.round()

    assert (done.placed, done.stale) == (1, 0)
    assert await yard.world.state_of(short) is JobState.LEASED
    assert (await yard.world.job(long)).waiting_reason == Reason.RESERVED


async def test_a_commit_hands_back_what_would_run_into_a_window_made_meanwhile(yard: Yard) -> None:
    """The planner did not know of it; a preemptible job may start all the same."""
    barred = await yard.submit(tasks=1, cards_per_task=8, walltime_seconds=7200)
    free = await yard.submit(tasks=1, cards_per_task=8, walltime_seconds=7200, preemptible=True)
    prepared, plan = await yard.planned()
    await yard.create()

    done = await yard.commit(await yard.lead(), prepared, plan)

    assert (done.placed, done.stale) == (1, 1)
    assert [await yard.world.state_of(job) for job in (barred, free)] == [JobState.PENDING, JobState.LEASED]


async def test_nothing_starts_inside_a_window(yard: Yard) -> None:
    await yard.create(start=timedelta(0))
    job = await yard.submit(preemptible=True)

    assert (await yard.round()).placed == 0
    assert (await yard.world.job(job)).waiting_reason == Reason.POOL_CLOSED


@pytest.mark.parametrize(
    ("changes", "field", "described"),
    [
        ({"nodes": ("n1", "x9")}, "nodes", "cluster east has no node x9"),
        ({"nodes": ("m1",), "pool": "main"}, "nodes", "pool east/main has no node m1"),
        ({"pool": "nowhere"}, "pool", "no pool nowhere"),
    ],
)
async def test_what_is_not_there_is_refused_by_its_field(
    yard: Yard, changes: dict[str, Any], field: str, described: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await yard.windows.create(OPERATOR, replace(yard.draft(), **changes), now=yard.world.now)

    [problem] = caught.value.fields
    assert (problem.field, described in problem.description) == (field, True)


async def test_clusters_and_windows_that_are_not_there_are_refused(yard: Yard) -> None:
    with pytest.raises(ClusterNotFound):
        await yard.create(cluster="nowhere")
    with pytest.raises(ClusterNotFound):
        await yard.windows.list("nowhere", now=yard.world.now)
    with pytest.raises(WindowNotFound, match="window-9"):
        await yard.windows.cancel(OPERATOR, WindowId(9), now=yard.world.now)


PLACE = NodePlace(1, "n1", "main", "qingyang", "telecom", "ascend-910b", "cann", "domestic")
BUILD = {"stack": "cann", "models": []}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ({}, True),
        ({"allowed_hubs": ["guian"]}, False),
        ({"allowed_hubs": ["guian", "qingyang"]}, True),
        ({"allowed_owners": ["mobile"]}, False),
        ({"allowed_owners": ["telecom"]}, True),
        ({"domestic_only": True}, True),
        ({"builds": [{"stack": "cuda", "models": []}]}, False),
        ({"builds": [{"stack": "cann", "models": ["ascend-910c"]}]}, False),
        ({"builds": [{"stack": "cuda", "models": []}, {"stack": "cann", "models": ["ascend-910b"]}]}, True),
    ],
)
def test_whom_a_window_can_bar_is_who_may_use_its_nodes(asked: dict[str, Any], allowed: bool) -> None:
    assert may_use({"allowed_hubs": [], "builds": [BUILD]} | asked, [PLACE]) == allowed
    assert not may_use({"allowed_hubs": [], "builds": [BUILD]} | asked, [])


def test_foreign_models_are_not_for_jobs_that_want_domestic_ones() -> None:
    assert not may_use(
        {"allowed_hubs": [], "builds": [BUILD], "domestic_only": True}, [replace(PLACE, origin="foreign")]
    )


@pytest.mark.parametrize(
    ("job", "starts_in", "stopped"),
    [
        ({}, 40, True),  # its grace and the way to the agent: in time
        ({}, 41, False),
        ({"walltime_seconds": 30}, 40, False),  # it ends by itself before
        ({"preemptible": False}, 40, False),  # it may not be stopped, and the operator was told
    ],
)
async def test_preemptible_work_is_stopped_when_a_window_is_near(
    yard: Yard, job: dict[str, Any], starts_in: int, stopped: bool
) -> None:
    """Told to the agent of the cluster with the grace; work elsewhere is let run."""
    world, woken = yard.world, list[str]()
    soft = {"preemptible": True, "grace_seconds": 30, "walltime_seconds": 9_000} | job
    near, far = await world.submit(**soft), await world.submit(**{**soft, "walltime_seconds": 9_000})
    there = await world.offer(near, {"n1": [0]})
    await world.offer(far, {"n2": [0]})
    await yard.create("n1", start=timedelta(seconds=starts_in))

    maintenance = Maintenance(world.database, wake_cluster=woken.append)

    assert await maintenance.run_once(world.now) == stopped
    assert woken == ["east"] * stopped
    assert ((await world.job(near)).stop_ordered_at == world.now) is stopped
    assert (await world.job(far)).stop_ordered_at is None
    assert (await world.lease(there))["stop_claim"] == (StopClaim.MAINTENANCE if stopped else None)
    assert await maintenance.run_once(world.now) == 0


async def test_what_a_window_stops_costs_no_budget_of_preemption(yard: Yard) -> None:
    world = yard.world
    _, ref = await world.running(yard.session, 1, preemptible=True, walltime_seconds=9_000, grace_seconds=0)
    world.advance(1_000)
    await yard.create(start=timedelta(seconds=5))

    assert await Maintenance(world.database, wake_cluster=lambda _: None, batch_leases=1).run_once(world.now) == 1

    assert (await world.lease(ref))["lost_card_seconds"] == 1_000
    async with world.database.hub() as tx:
        assert await stops.lost_card_seconds(tx, world.now) == 0
