"""A round reads one view, is planned and verified, and commits what still fits: each gang whole, or handed back."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from time import perf_counter

import pytest

from broker.ids import JobId, job_text
from broker.job import Ending
from broker.lifecycle import EndReason, JobEvent, JobState
from broker.loops.planning import plan_and_verify
from broker.market.explain import LastRound
from broker.market.lead import Lead, NotLeader
from broker.market.prices import RoundPrices
from broker.market.rounds import Committed, Rounds, RoundsReader, report_of
from broker.market.snapshot import Prepared
from broker.store import leadership
from broker.store.clusters import NodeCondition
from broker.store.database import Database
from broker.store.rounds import RoundRecord
from scheduler.decided import Decided
from scheduler.horizon import Horizon
from scheduler.policy import OpeningPrice, Policy
from scheduler.reasons import Reason
from scheduler.replay import replay_decision
from scheduler.snapshot import Snapshot
from tests.cluster_world import ClusterWorld, ended, inventory
from tests.deadlines import eventually
from tests.small_world import is_blocked

RICH = 10**12  # the test world's models count next to nothing, so that a job must offer much to be worth placing
POLICY = Policy(effort=4)


class Table:
    """A world with a round's use cases at hand; its rounds promise nothing, so that reasons are those of pools."""

    planned_by = replace(POLICY, promises_max=0)

    def __init__(self, world: ClusterWorld) -> None:
        self.world = world
        self.woken: list[str] = []
        self.remembered: list[LastRound] = []
        self.priced: list[RoundPrices] = []
        self.prices: tuple[OpeningPrice, ...] = ()  # of the plan that was made last
        self.rounds = Rounds(
            world.database,
            jobs_max=1000,
            records_kept=2,
            wake_cluster=self.woken.append,
            remember=self.remembered.append,
            priced=self.priced.append,
        )
        self.reader = RoundsReader(world.database)

    async def lead(self, holder: str = "me") -> Lead:
        async with self.world.database.hub() as tx:
            epoch = await leadership.acquire(tx, holder, self.world.now, timedelta(seconds=5))
        assert epoch is not None
        return Lead(holder, epoch)

    async def submit(self, city: str = "ganzhou", **changes: object) -> JobId:
        return await self.world.submit(city, **{"ceiling_micro_yuan_per_pflops_hour": RICH} | changes)

    async def planned(self) -> tuple[Prepared, Decided]:
        prepared = await self.rounds.read(self.world.now)
        world, horizon = prepared.snapshot.to_bytes(), prepared.horizon.to_bytes()
        done = plan_and_verify(world, horizon, self.planned_by.to_json(), 10.0)
        assert done.violations == ()
        self.prices = done.prices
        return prepared, Decided.from_bytes(done.plan, done.decision)

    async def commit(self, lead: Lead, prepared: Prepared, decided: Decided) -> Committed:
        report = report_of(prepared, decided, at=self.world.now, versions=("test",), millis=(1, 2, 3))
        plan, horizon = decided.plan.to_bytes(), prepared.horizon.to_bytes()
        record = RoundRecord(prepared.snapshot.to_bytes(), plan, self.planned_by.to_json(), horizon, decided.to_bytes())
        return await self.rounds.commit(lead, prepared, decided, report, record, self.world.now, self.prices)

    async def round(self) -> Committed:
        lead = await self.lead()
        return await self.commit(lead, *await self.planned())


@pytest.fixture
async def table(database: Database) -> Table:
    return Table(await ClusterWorld(database).lay())


async def test_what_fits_is_leased_and_what_does_not_is_told_why(table: Table) -> None:
    """Sixteen cards are there: one gang of sixteen takes them, the next one waits and knows why."""
    world = table.world
    await world.attach()
    first = await table.submit(tasks=2, cards_per_task=8)
    second = await table.submit(tasks=1, cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH // 2)

    done = await table.round()

    assert (done.placed, done.stale) == (1, 0)
    assert await world.state_of(first) is JobState.LEASED
    assert [n.cards for n in (await world.job(first)).placement.nodes] == [tuple(range(8))] * 2  # type: ignore[union-attr]
    waiting = await world.job(second)
    assert (waiting.state, waiting.waiting_reason) == (JobState.PENDING, Reason.OUTBID)
    assert await world.held() == 16
    assert table.woken == ["east"]
    assert table.remembered[0].round == done.round
    await world.check()


async def test_the_leased_event_is_written_with_the_lease(table: Table) -> None:
    world = table.world
    await world.attach()
    job = await table.submit()

    await table.round()

    assert await world.story(job) == [JobEvent.SUBMITTED, JobEvent.LEASED]


async def test_cards_in_foreign_use_are_left_alone(table: Table) -> None:
    """Capacity is what is measured free, not what is owned."""
    world = table.world
    session = await world.attach()
    await world.report(session, 1, nodes=(NodeCondition("n1", foreign_cards=(0, 1, 2)),))
    job = await table.submit(tasks=2, cards_per_task=5)

    await table.round()

    placement = (await world.job(job)).placement
    assert placement is not None
    assert {n.node: n.cards for n in placement.nodes} == {"n1": (3, 4, 5, 6, 7), "n2": (0, 1, 2, 3, 4)}


async def test_a_gang_whose_node_went_away_is_handed_back_whole(table: Table) -> None:
    """Between snapshot and commit one of its nodes is cordoned: nothing of the gang may start."""
    world = table.world
    await world.attach()
    gang = await table.submit(tasks=2, cards_per_task=8)
    lead = await table.lead()
    prepared, plan = await table.planned()
    async with world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned' WHERE node = 'n2'")

    done = await table.commit(lead, prepared, plan)

    assert (done.placed, done.stale) == (0, 1)
    assert await world.state_of(gang) is JobState.PENDING
    assert await world.held() == 0


async def test_a_job_that_was_cancelled_meanwhile_is_not_leased(table: Table) -> None:
    world = table.world
    await world.attach()
    job = await table.submit()
    lead = await table.lead()
    prepared, plan = await table.planned()
    await world.cancel(job)

    done = await table.commit(lead, prepared, plan)

    assert (done.placed, done.stale) == (0, 1)
    assert await world.state_of(job) is JobState.CANCELLED


async def test_a_plan_that_is_committed_twice_leases_once(table: Table) -> None:
    """Fit, not version: the second time its jobs no longer wait."""
    world = table.world
    await world.attach()
    await table.submit(tasks=2, cards_per_task=4)
    lead = await table.lead()
    prepared, plan = await table.planned()

    first = await table.commit(lead, prepared, plan)
    second = await table.commit(lead, prepared, plan)

    assert (first.placed, second.placed, second.stale) == (1, 0, 1)
    assert await world.held() == 8
    await world.check()


async def test_cpu_in_use_is_not_given_twice(table: Table) -> None:
    """Cards are free, but the first job holds the CPU beside them."""
    world = table.world
    await world.attach()
    await table.submit(tasks=2, cards_per_task=1, cpu_milli_per_task=60_000)
    await table.round()
    second = await table.submit(tasks=1, cards_per_task=1, cpu_milli_per_task=60_000)

    await table.round()

    assert (await world.job(second)).waiting_reason == Reason.CPU_SHORT


async def test_a_silent_agent_gets_no_work(table: Table) -> None:
    world = table.world
    await world.attach()
    job = await table.submit()
    async with world.database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'suspect' WHERE cluster = 'east'")

    await table.round()

    assert (await world.job(job)).waiting_reason == Reason.POOL_CLOSED


async def test_who_lost_the_lead_commits_nothing(table: Table) -> None:
    """The epoch fences the commit, not the clock."""
    world = table.world
    await world.attach()
    job = await table.submit()
    lead = await table.lead("old")
    prepared, plan = await table.planned()
    world.advance(6)
    newer = await table.lead("new")

    with pytest.raises(NotLeader):
        await table.commit(lead, prepared, plan)

    assert newer.epoch == lead.epoch + 1
    assert await world.state_of(job) is JobState.PENDING
    assert await table.reader.get(None) is None


async def test_nobody_leads_while_another_broker_does(table: Table) -> None:
    await table.lead("first")

    async with table.world.database.hub() as tx:
        second = await leadership.acquire(tx, "second", table.world.now, timedelta(seconds=5))

    assert second is None


async def test_a_lead_from_a_clock_that_was_hours_ahead_does_not_stop_the_rounds_for_hours(table: Table) -> None:
    """Nobody can be given the lead for longer than a term; a clock that is a little ahead is nothing."""
    first = await table.lead("first")

    async def second(seconds_behind: float) -> int | None:
        async with table.world.database.hub() as tx:
            now = table.world.now - timedelta(seconds=seconds_behind)
            return await leadership.acquire(tx, "second", now, timedelta(seconds=5))

    assert await second(30) is None
    assert await second(3600) == first.epoch + 1


async def test_a_pool_that_changed_its_model_since_the_plan_gets_nothing_of_it(table: Table) -> None:
    """The job would run on accelerators that it has no build for."""
    world = table.world
    await world.attach()
    job = await table.submit()
    lead = await table.lead()
    prepared, plan = await table.planned()
    await world.attach("east", "one", inventory(model="a800"))

    done = await table.commit(lead, prepared, plan)

    assert (done.placed, done.stale) == (0, 1)
    assert await world.state_of(job) is JobState.PENDING


async def test_a_card_that_was_freed_during_the_commit_is_not_promised_before_it_was_free(table: Table) -> None:
    """However long the commit waited for its locks: leases of one card never overlap in time."""
    world = table.world
    session = await world.attach("east", "one", inventory("n1"))
    _, old = await world.running(session, 1)
    job = await table.submit()
    lead = await table.lead()
    prepared, plan = await table.planned()
    async with world.database.hub() as tx:
        await tx.execute("SELECT FROM jobs WHERE job_id = $1 FOR UPDATE", job)
        committing, began = asyncio.create_task(table.commit(lead, prepared, plan)), perf_counter()
        await eventually(lambda: is_blocked(world.database))
        world.advance(0.05)
        await world.report(session, 2, ended(old, Ending(EndReason.COMPLETED)))

        async def that_time_has_passed() -> bool:
            return perf_counter() - began > 0.06

        await eventually(that_time_has_passed)
    await committing

    new = await world.row("SELECT * FROM leases JOIN lease_nodes USING (lease_id) WHERE job_id = $1", job)
    assert new["cards"] == [0]
    assert new["offered_at"] >= (await world.lease(old))["ended_at"]


async def test_the_last_rounds_can_be_replayed_bit_for_bit(table: Table) -> None:
    """Report, snapshot, policy and plan are kept; of older rounds only the report."""
    world = table.world
    await world.attach()
    numbers = []
    for _ in range(3):
        await table.submit(cards_per_task=3)
        numbers.append((await table.round()).round)

    record = await table.reader.record(numbers[-1])
    report = await table.reader.get(numbers[-1])

    assert record is not None
    assert report is not None
    assert record.horizon is not None
    again = replay_decision(record.snapshot, record.horizon, record.policy_json, report.effort)
    world, horizon = Snapshot.from_bytes(record.snapshot), Horizon.from_bytes(record.horizon)
    assert again.decision.plan.to_bytes() == record.plan
    assert Decided.of(world, horizon, again).to_bytes() == record.decision
    assert Snapshot.from_bytes(record.snapshot).input_hash() == report.input_sha256
    assert await table.reader.record(numbers[0]) is None
    assert [r.round for r in await table.reader.list_page(10, None, busy_only=True)] == numbers[::-1]


async def test_refusals_of_a_round_can_be_read(table: Table) -> None:
    world = table.world
    await world.attach()
    waits = await table.submit(tasks=2, cards_per_task=8, cpu_milli_per_task=65_000)

    done = await table.round()

    assert await table.reader.refusals(done.round, 10) == [(job_text(waits), Reason.GANG_TOO_LARGE)]


async def test_a_rejected_round_leaves_a_report_and_no_lease(table: Table) -> None:
    world = table.world
    await world.attach()
    job = await table.submit()
    lead = await table.lead()
    prepared, plan = await table.planned()
    report = report_of(prepared, plan, at=world.now, versions=(), millis=(0, 0, 0))

    await table.rounds.reject(lead, replace(report, outcome="rejected", placed=0, error="CARDS_OVER: n1"), None)

    found = await table.reader.get(None)
    assert found is not None
    assert (found.outcome, found.error) == ("rejected", "CARDS_OVER: n1")
    assert await world.state_of(job) is JobState.PENDING


async def test_what_would_end_after_its_deadline_does_not_start(table: Table) -> None:
    """The planner is told the deadline, and what rounds do not look at is not told a reason of theirs."""
    world = table.world
    await world.attach()
    due = world.now + timedelta(seconds=700)
    in_time, later = await table.submit(finish_by=due), await table.submit(finish_by=due + timedelta(days=1))
    held = await table.submit(after=(in_time,))
    world.advance(101)  # its walltime is 600 s

    prepared = await table.rounds.read(world.now)
    await table.round()

    assert prepared.snapshot.job_finish_by_s.tolist() == [int((due + timedelta(days=1)).timestamp())]
    states = [(await world.job(job)).state for job in (in_time, later, held)]
    assert states == [JobState.PENDING, JobState.LEASED, JobState.PENDING]
    assert (await world.job(held)).waiting_reason == "UPSTREAM_RUNS"
