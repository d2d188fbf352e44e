"""Running work that is stopped for work with a right to its cards: ordered with a round, carried out by the agent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker.ids import JobId, LeaseId, job_text, parse_lease
from broker.job import Ending, IfLost, PriorityClass
from broker.lifecycle import EndReason, JobEvent, JobState, PromiseFate, StopClaim
from broker.loops.planning import plan_and_verify
from broker.market.reports import LeaseStop, StopReason
from broker.store import jobs, leases, occupancy, stops
from broker.store.database import Database
from broker.store.leases import LeaseRef, Stopped
from broker.store.stops import Stop
from scheduler import preemption, rounds
from scheduler.decided import Decided
from scheduler.reclaim import Reclaim
from scheduler.replay import replay_decision
from tests.cluster_world import ClusterWorld, ended, inventory, running
from tests.conftest import Dsns
from tests.market.test_promises import MARGIN, PROMISING, Promising, promises_broken
from tests.market.test_rounds import RICH

STOPPED = Ending(EndReason.CANCELLED, detail="PREEMPTED")
GRACE = 30
SOFT = {"cards_per_task": 8, "preemptible": True, "walltime_seconds": 36_000, "grace_seconds": GRACE}


class Stopping(Promising):
    """A node of eight cards; what is preemptible on it is stopped for emergencies."""

    async def preemptible(self, **changes: object) -> tuple[JobId, LeaseRef]:
        job = await self.start(**SOFT | changes)
        return job, self.up[-1]

    async def emergency(self, **changes: object) -> JobId:
        return await self.submit(**{"cards_per_task": 8, "priority": PriorityClass.EMERGENCY} | changes)

    async def told_to_stop(self) -> list[LeaseStop]:
        """Return what an agent hears that reports what runs, and then waits for news."""
        self.reports += 1
        told = await self.world.report(self.session, self.reports, *map(running, self.up))
        return list((await self.world.clusters.refresh(self.session, self.world.now) or told).stop)


@pytest.fixture
async def table(database: Database, dsns: Dsns) -> AsyncIterator[Stopping]:
    yield await Stopping(await ClusterWorld(database).lay()).open()  # type: ignore[misc]
    assert await promises_broken(dsns) == []


async def test_an_emergency_has_the_cards_of_preemptible_work_after_its_grace(table: Stopping) -> None:
    """Ordered, told to the agent with the grace, ended by its word, waiting again; the emergency starts as promised."""
    soft, ref = await table.preemptible(checkpoint_interval_seconds=600)
    table.world.advance(700)
    urgent = await table.emergency()

    done = await table.round()

    assert done.stops == (Stop(ref.lease, StopClaim.TIER, urgent, 8 * 100),)
    assert table.seconds((await table.rows())[urgent]) == GRACE + MARGIN
    report = await table.reader.get(done.round)
    assert report is not None
    assert report.stopped == 1
    assert (await table.world.job(soft)).stop_ordered_at == table.world.now
    assert (await table.world.story(soft))[-1] is JobEvent.STOP_ORDERED
    assert await table.told_to_stop() == [LeaseStop(ref, GRACE, StopReason.PREEMPTED)]
    assert (await table.round()).stops == ()  # it is ordered once

    table.world.advance(GRACE)
    table.up.remove(ref)
    await table.told(ended(ref, STOPPED))
    waits = await table.world.job(soft)
    assert (waits.state, waits.preemptions, waits.stop_ordered_at) == (JobState.PENDING, 1, None)
    lease = await table.world.lease(ref)
    assert (lease["end_reason"], lease["lost_card_seconds"], lease["stop_for_job"]) == ("preempted", 800, urgent)
    await table.round()

    assert await table.world.state_of(urgent) is JobState.LEASED
    assert [fate for fate, _ in await table.history(urgent)] == [PromiseFate.MADE, PromiseFate.KEPT]
    assert await table.world.state_of(soft) is JobState.PENDING
    await table.world.check()


async def test_nobody_is_stopped_who_has_not_agreed_to_it(table: Stopping) -> None:
    await table.preemptible(preemptible=False)
    await table.emergency()

    assert (await table.round()).stops == ()


async def test_a_job_that_was_stopped_is_let_run_until_it_has_got_as_far_as_a_checkpoint(table: Stopping) -> None:
    """A second emergency right after it has started again does not stop it, one after its next checkpoint does."""
    soft, ref = await table.preemptible(checkpoint_interval_seconds=600)
    first = await table.emergency()
    await table.round()
    table.up.remove(ref)
    await table.told(ended(ref, STOPPED))
    await table.round()
    await table.runs(first)
    await table.ends(first)
    await table.round()
    await table.runs(soft)
    await table.emergency()

    table.world.advance(599)
    assert (await table.round()).stops == ()
    table.world.advance(1)
    assert [stop.lost_card_seconds for stop in (await table.round()).stops] == [0]


async def test_what_an_hour_may_cost_is_not_gone_beyond(table: Stopping) -> None:
    """The work of a hundred seconds on eight cards may be lost; an hour later as much again."""
    table.planned_by = replace(PROMISING, churn_card_seconds_max=800)
    _, ref = await table.preemptible()
    table.world.advance(100)
    await table.emergency()
    assert len((await table.round()).stops) == 1

    async def left() -> int:
        async with table.world.database.hub() as tx:
            return await stops.lost_card_seconds(tx, table.world.now)

    assert await left() == (await table.world.lease(ref))["lost_card_seconds"] == 800
    table.world.advance(3599)
    assert await left() == 800
    table.world.advance(1)
    assert await left() == 0


async def test_a_budget_of_nothing_stops_nobody(table: Stopping) -> None:
    table.planned_by = replace(PROMISING, churn_card_seconds_max=0)
    await table.preemptible()
    await table.emergency()

    assert (await table.round()).stops == ()


async def test_what_ends_meanwhile_need_not_be_stopped(table: Stopping) -> None:
    soft, _ = await table.preemptible()
    urgent = await table.emergency()
    prepared, decided = await table.planned()
    assert len(decided.stops) == 1
    await table.ends(soft)

    done = await table.commit(await table.lead(), prepared, decided)

    assert done.stops == ()
    assert urgent in await table.rows()
    await table.round()
    assert await table.world.state_of(urgent) is JobState.LEASED


@pytest.mark.parametrize("promised_before", [False, True])
async def test_nothing_is_promised_in_the_room_of_work_that_runs_on(table: Stopping, promised_before: bool) -> None:
    """Somebody changes the job just when the round is committed: nobody waits for it, the next round looks again."""
    soft, _ = await table.preemptible(walltime_seconds=600)
    table.planned_by = replace(PROMISING, churn_card_seconds_max=0)
    urgent = await table.emergency()
    if promised_before:
        await table.round()
    before = await table.rows()
    table.planned_by = PROMISING
    prepared, decided = await table.planned()

    async with table.world.database.hub() as tx:
        await tx.execute("SELECT FROM jobs WHERE job_id = $1 FOR UPDATE", soft)
        done = await table.commit(await table.lead(), prepared, decided)

    assert (len(decided.stops), done.stops) == (1, ())
    assert await table.rows() == before
    assert ([fate for fate, _ in await table.history(urgent)] == [PromiseFate.MADE]) is promised_before
    assert len((await table.round()).stops) == 1


async def test_a_job_that_is_cancelled_while_it_is_being_stopped_does_not_come_back(table: Stopping) -> None:
    soft, ref = await table.preemptible()
    await table.emergency()
    await table.round()
    await table.world.cancel(soft)
    assert await table.told_to_stop() == [LeaseStop(ref, GRACE, StopReason.CANCELLED)]

    table.up.remove(ref)
    await table.told(ended(ref, STOPPED))

    assert await table.world.state_of(soft) is JobState.CANCELLED
    assert (await table.world.lease(ref))["end_reason"] == "cancelled"


async def test_work_that_is_done_before_it_is_stopped_is_done(table: Stopping) -> None:
    soft, ref = await table.preemptible()
    await table.emergency()
    await table.round()

    table.up.remove(ref)
    await table.told(ended(ref, Ending(EndReason.COMPLETED)))

    done = await table.world.job(soft)
    assert (done.state, done.preemptions) == (JobState.SUCCEEDED, 0)


async def test_a_promise_is_brought_forward_by_stopping_others(table: Stopping) -> None:
    """It was promised the end of the walltime; with a budget again it is promised the end of a grace."""
    await table.preemptible(walltime_seconds=36_000)
    table.planned_by = replace(PROMISING, churn_card_seconds_max=0)
    urgent = await table.emergency()
    await table.round()
    first = (await table.rows())[urgent]
    table.planned_by = PROMISING

    assert len((await table.round()).stops) == 1

    now = (await table.rows())[urgent]
    assert (first.first_start_s, now.first_start_s) == (first.start_s, first.start_s)
    assert table.seconds(now) == GRACE + MARGIN
    assert [fate for fate, _ in await table.history(urgent)] == [PromiseFate.MADE]


async def test_only_running_preemptible_work_takes_an_order(table: Stopping) -> None:
    """The store's own guard, whoever asks: not twice, not what is cancelled, has ended or has not agreed."""
    hard, hard_ref = await table.world.placed(preemptible=False)
    soft, ref = await table.world.placed(preemptible=True)
    asked = [Stop(each, StopClaim.TIER, hard, 5) for each in (hard_ref.lease, ref.lease, LeaseId(999))]

    async with table.world.database.hub() as tx:
        run_on = await stops.lock(tx, [each.lease for each in asked])
        first = await stops.order(tx, asked, table.world.now)
        second = await stops.order(tx, asked, table.world.now + timedelta(seconds=1))

    assert run_on == {hard_ref.lease}
    assert first == {ref.lease: "east"}
    assert second == {}
    assert (await table.world.lease(ref))["stop_ordered_at"] == table.world.now
    assert await table.world.story(hard) == [JobEvent.SUBMITTED, JobEvent.LEASED]
    assert (await table.world.story(soft))[-1] is JobEvent.STOP_ORDERED


async def test_nobody_is_stopped_in_vain_for_a_gang_beside_one_that_is_being_changed(table: Stopping) -> None:
    """It needs the cards of both: one cannot be stopped now, so the other is let run, and nothing is promised."""
    first, _ = await table.preemptible(cards_per_task=4)
    second, ref = await table.preemptible(cards_per_task=4)
    urgent = await table.emergency()
    prepared, decided = await table.planned()
    assert len(decided.stops) == 2

    async with table.world.database.hub() as tx:
        await tx.execute("SELECT FROM jobs WHERE job_id = $1 FOR UPDATE", first)
        done = await table.commit(await table.lead(), prepared, decided)

    assert done.stops == ()
    assert (await table.world.job(second)).stop_ordered_at is None
    assert await table.rows() == {}
    assert {stop.for_job for stop in (await table.round()).stops} == {urgent}
    assert (await table.world.lease(ref))["stop_for_job"] == urgent


async def test_who_counts_on_the_room_of_work_that_runs_on_stops_nobody(database: Database, dsns: Dsns) -> None:
    """The first gang leaves six cards of what it clears to the second, which clears the other node for itself."""
    table = Stopping(await ClusterWorld(database).lay())
    table.session = await table.world.attach("east", "one", inventory("n1", "n2"))
    table.reports, table.up = 0, []
    soft = {ref.lease: job for job, ref in [await table.preemptible(), await table.preemptible()]}
    small = await table.emergency(cards_per_task=2)
    large = await table.emergency(
        tasks=2, cards_per_task=6, ceiling_micro_yuan_per_pflops_hour=RICH // 1_000, walltime_seconds=600
    )
    prepared, decided = await table.planned()
    assert [each.job_id for each in decided.stops] == [job_text(small), job_text(large)]
    locked = soft[parse_lease(decided.stops[0].lease_id)]  # type: ignore[index]

    async with table.world.database.hub() as tx:
        await tx.execute("SELECT FROM jobs WHERE job_id = $1 FOR UPDATE", locked)
        done = await table.commit(await table.lead(), prepared, decided)

    assert done.stops == ()
    assert await table.rows() == {}
    assert len((await table.round()).stops) == 2
    assert await promises_broken(dsns) == []


async def test_lost_work_is_not_asked_to_stop(table: Stopping) -> None:
    """Its agent is silent: an order would not be heard, and who waits for the room would be promised nothing."""
    _, ref = await table.preemptible()
    async with table.world.database.hub() as tx:
        before = await occupancy.read(tx, table.world.now)
        assert await leases.silent(tx, "east", table.world.now) == [ref]
        lost = await occupancy.read(tx, table.world.now)

    assert (before.preemptible, lost.preemptible) == ((True,), (False,))


async def test_a_round_does_not_wait_for_who_cancels_what_it_stops_others_for(table: Stopping) -> None:
    """Either could wait for the other: the round has locked what it starts, and the cancellation wants that next."""
    await table.preemptible()
    urgent = await table.emergency(job_set="nightly")
    prepared, decided = await table.planned()
    assert len(decided.stops) == 1

    async with table.world.database.hub() as tx:
        await jobs.cancel_set(tx, "ganzhou", "nightly", table.world.now, limit=10)
        async with asyncio.timeout(5):
            done = await table.commit(await table.lead(), prepared, decided)

    assert len(done.stops) == 1
    assert await table.world.state_of(urgent) is JobState.CANCELLED
    await table.round()


async def test_what_is_wrong_with_stops_keeps_nothing_from_starting(
    table: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops that the verifier refuses are dropped, with a word why; the rest is committed and replays bit for bit."""
    await table.preemptible()
    await table.emergency()
    prepared = await table.rounds.read(table.world.now)
    world, horizon = prepared.snapshot.to_bytes(), prepared.horizon.to_bytes()
    policy = PROMISING.to_json()
    right = plan_and_verify(world, horizon, policy, 10.0)
    assert (right.stops_dropped, len(Decided.from_bytes(right.plan, right.decision).stops)) == ((), 1)
    wrong = preemption.preempt

    def spoiled(*args: Any) -> Reclaim:
        made = wrong(*args)
        return replace(made, preemptions=tuple(replace(each, cards=each.cards + 1) for each in made.preemptions))

    monkeypatch.setattr(rounds, "preempt", spoiled)
    done = plan_and_verify(world, horizon, policy, 10.0)
    monkeypatch.undo()

    assert done.violations == ()
    assert [text.split(":")[0] for text in done.stops_dropped] == ["WRONG_FIGURES"]
    decided = Decided.from_bytes(done.plan, done.decision)
    assert decided.stops == ()
    again = replay_decision(world, horizon, done.policy_json, decided.plan.effort_spent)
    assert Decided.of(prepared.snapshot, prepared.horizon, again) == decided


async def test_a_stop_outlives_the_silence_of_the_agent_and_is_held_against_nobody(table: Stopping) -> None:
    """Lost while it is being stopped: told again when the agent is back, or uncounted when the terms have killed it."""
    back, ref = await table.preemptible(cards_per_task=4, if_lost=IfLost.RESTART)
    killed, killed_ref = await table.preemptible(cards_per_task=4, if_lost=IfLost.RESTART)
    await table.emergency()
    assert len((await table.round()).stops) == 2
    async with table.world.database.hub() as tx:
        assert len(await leases.silent(tx, "east", table.world.now)) == 2

    table.world.advance(5)
    lost = Stopped(killed_ref, Ending(EndReason.LOST, detail="by its terms"))
    async with table.world.database.hub() as tx:
        await leases.stopped(tx, "east", [lost], table.world.now, restarts_max=0)

    table.up.remove(killed_ref)
    assert await table.told_to_stop() == [LeaseStop(ref, GRACE, StopReason.PREEMPTED)]
    assert (await table.world.job(back)).state is JobState.RUNNING
    gone = await table.world.job(killed)
    assert (gone.state, gone.preemptions) == (JobState.PENDING, 1)
    table.up.remove(ref)
    await table.told()  # the other one has vanished
    assert ((await table.world.job(back)).state, (await table.world.job(back)).preemptions) == (JobState.PENDING, 1)
