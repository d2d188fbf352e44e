"""The round loop plans when something changed, in a process that may die, and only while it leads."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from time import perf_counter

import pytest

from broker.ids import RoundId
from broker.lifecycle import JobState
from broker.loops.planning import Planned, PlannerClosed, PlannerDied, PlanningProcess
from broker.loops.rounds import RoundLoop
from broker.market.lead import NotLeader
from broker.market.rounds import Rounds, RoundsReader
from broker.store import jobs
from broker.store.database import Database
from scheduler.horizon import Horizon
from scheduler.opening import prices_of
from scheduler.plan import Plan
from scheduler.policy import Policy
from scheduler.rehearsal import waiting_world
from scheduler.replay import replay
from scheduler.snapshot import Snapshot
from tests.cluster_world import ClusterWorld
from tests.deadlines import eventually
from tests.market.test_rounds import POLICY, RICH


@pytest.fixture(scope="module")
async def planner() -> AsyncIterator[PlanningProcess]:
    process = PlanningProcess()
    yield process
    process.close()


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


def loop(
    world: ClusterWorld, planner: PlanningProcess, holder: str = "me", *, later: timedelta = timedelta()
) -> RoundLoop:
    """`later`: how much time passes for the loop itself while a round is planned."""
    rounds = Rounds(world.database, jobs_max=100, records_kept=5, wake_cluster=lambda _: None, remember=lambda _: None)
    return RoundLoop(
        world.database,
        rounds,
        planner,
        holder=holder,
        policy=POLICY,
        budget_seconds=5,
        recheck_seconds=30,
        lead_term=timedelta(seconds=5),
        clock_now=lambda: world.now + later,
    )


async def test_waiting_work_is_placed(world: ClusterWorld, planner: PlanningProcess) -> None:
    await world.attach()
    job = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)

    assert await loop(world, planner).run_once(world.now) == 1
    assert await world.state_of(job) is JobState.LEASED


async def test_an_unchanged_world_is_not_planned_again_and_again(world: ClusterWorld, planner: PlanningProcess) -> None:
    """A blocked queue must not fill the database with equal rounds; but jobs age, so it is looked at now and then."""
    await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
    rounds, reader = loop(world, planner), RoundsReader(world.database)
    for seconds in (0, 1, 1, 1):
        await rounds.run_once(world.advance(seconds))
    once = len(await reader.list_page(10, None, busy_only=False))

    await rounds.run_once(world.advance(31))

    assert once == 1
    assert len(await reader.list_page(10, None, busy_only=False)) == 2


async def test_a_round_looks_at_once_when_an_operator_lets_work_be_moved(
    world: ClusterWorld, planner: PlanningProcess
) -> None:
    """Nothing else of the world is different then."""
    job = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
    rounds, reader = loop(world, planner), RoundsReader(world.database)
    await rounds.run_once(world.now)
    async with world.database.hub() as tx:
        await jobs.make_room(tx, job, wanted=True)

    await rounds.run_once(world.advance(1))

    assert len(await reader.list_page(10, None, busy_only=False)) == 2


async def test_what_waits_on_is_told_when_it_is_likely_to_start(world: ClusterWorld, planner: PlanningProcess) -> None:
    """By the round that leaves it waiting; the next leader goes on with what was told and learned."""
    await world.attach()
    await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH, tasks=2, cards_per_task=8)
    waiting = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH // 2)
    await loop(world, planner, "first").run_once(world.now)
    told = (await world.job(waiting)).expected_start

    world.advance(3_600)
    await loop(world, planner, "second").run_once(world.now)

    row = await world.row("SELECT first_p90_at, p90_at, late_p90 FROM expected_starts")
    assert told is not None
    assert row["first_p90_at"] == told.p90_at
    assert row["late_p90"]
    assert await world.row("SELECT learned FROM forecast") is not None


async def test_who_does_not_lead_does_nothing(world: ClusterWorld, planner: PlanningProcess) -> None:
    await world.attach()
    job = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
    await loop(world, planner, "first").run_once(world.now)
    second = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)

    assert await loop(world, planner, "second").run_once(world.now) == 0
    assert await world.state_of(job) is JobState.LEASED
    assert await world.state_of(second) is JobState.PENDING


async def test_a_resigned_lead_is_free_at_once(world: ClusterWorld, planner: PlanningProcess) -> None:
    await world.attach()
    first = loop(world, planner, "first")
    await first.run_once(world.now)
    await first.resign(world.now)
    await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)

    assert await loop(world, planner, "second").run_once(world.now) == 1


async def test_a_planning_process_that_is_killed_costs_one_round(world: ClusterWorld) -> None:
    """Its round is recorded as failed; the next one has a new process and places the job."""
    planner = PlanningProcess()
    try:
        await planner.warm()
        await world.attach()
        job = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
        rounds = loop(world, planner)
        for pid in planner.pids():
            os.kill(pid, signal.SIGKILL)

        assert await rounds.run_once(world.now) == 0
        assert await rounds.run_once(world.now) == 1

        outcomes = [r.outcome for r in await RoundsReader(world.database).list_page(10, None, busy_only=False)]
        assert outcomes == ["committed", "failed"]
        assert await world.state_of(job) is JobState.LEASED
    finally:
        planner.close()


class Ponderer(PlanningProcess):
    """Takes its time over every plan."""

    async def plan(self, snapshot: bytes, horizon: bytes, policy_json: str, budget_seconds: float) -> Planned:
        began = perf_counter()
        planned = await super().plan(snapshot, horizon, policy_json, budget_seconds)

        async def long_enough() -> bool:
            return perf_counter() - began > 1.5

        await eventually(long_enough)
        return planned


async def test_a_plan_that_takes_longer_than_a_lead_is_committed(world: ClusterWorld) -> None:
    """A large world takes longer than a leader may be silent: its rounds would all be in vain."""
    await world.attach()
    job = await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
    began = perf_counter()
    planner = Ponderer()
    rounds = RoundLoop(
        world.database,
        Rounds(world.database, jobs_max=100, records_kept=5, wake_cluster=lambda _: None, remember=lambda _: None),
        planner,
        holder="me",
        policy=POLICY,
        budget_seconds=5,
        recheck_seconds=30,
        lead_term=timedelta(seconds=1.0),
        clock_now=lambda: world.now + timedelta(seconds=perf_counter() - began),
    )
    try:
        placed = await rounds.run_once(world.now)
    finally:
        planner.close()

    assert placed == 1
    assert await world.state_of(job) is JobState.LEASED


async def test_a_planning_process_that_never_answers_is_replaced() -> None:
    """It would hold up all rounds for ever."""
    planner = PlanningProcess(overtime_seconds_max=0.5)
    try:
        planning = asyncio.create_task(
            planner.plan(waiting_world().to_bytes(), Horizon().to_bytes(), POLICY.to_json(), 0.0)
        )

        async def there() -> bool:
            return bool(planner.pids())

        await eventually(there)
        os.kill(planner.pids()[0], signal.SIGSTOP)

        with pytest.raises(PlannerDied):
            await planning

        assert planner.pids() == []
    finally:
        planner.close()


async def test_a_round_that_could_not_be_committed_is_planned_again_at_once(
    world: ClusterWorld, planner: PlanningProcess
) -> None:
    """A lead that lapses while the planner thinks costs one round, not the time until an equal world is due again."""
    await planner.warm()
    await world.attach()
    await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
    rounds = loop(world, planner, later=timedelta(seconds=6))

    with pytest.raises(NotLeader):
        await rounds.run_once(world.now)
    placed = await rounds.run_once(world.now + timedelta(seconds=6))

    assert placed == 1


async def test_a_round_opens_with_the_prices_of_the_last_one_and_replays(
    world: ClusterWorld, planner: PlanningProcess
) -> None:
    """Prices persist from round to round; they are part of the recorded policy, so that a replay knows them too."""
    await world.attach()
    rounds, reader = loop(world, planner), RoundsReader(world.database)
    for _ in range(30):
        await world.submit(cards_per_task=1, ceiling_micro_yuan_per_pflops_hour=RICH)
    await rounds.run_once(world.now)
    await world.submit(cards_per_task=1, ceiling_micro_yuan_per_pflops_hour=RICH)

    await rounds.run_once(world.advance(1))

    first, second = reversed(await reader.list_page(2, None, busy_only=True))
    before, after = await reader.record(RoundId(first.round)), await reader.record(RoundId(second.round))
    assert before is not None
    assert after is not None
    assert Policy.from_json(after.policy_json).opening_prices == prices_of(
        Snapshot.from_bytes(before.snapshot), Plan.from_bytes(before.plan)
    )
    assert replay(after.snapshot, after.policy_json, second.effort).to_bytes() == after.plan


async def test_a_planner_that_is_closed_on_purpose_is_no_failed_round(world: ClusterWorld) -> None:
    """A broker that stops while it plans leaves no report of a failure behind."""
    planner = PlanningProcess()
    await world.attach()
    await world.submit(ceiling_micro_yuan_per_pflops_hour=RICH)
    stopped_in_mid_plan = asyncio.create_task(loop(world, planner).run_once(world.now))

    async def plans() -> bool:
        return bool(planner.pids())

    await eventually(plans)
    planner.close()

    with pytest.raises(PlannerClosed):
        await stopped_in_mid_plan
    assert await RoundsReader(world.database).list_page(10, None, busy_only=False) == []
