"""What becomes of leases and their jobs, on a real PostgreSQL."""

from datetime import timedelta
from typing import Any

import pytest

from broker.errors import LeaseNotFound, LeaseNotLost
from broker.ids import LeaseId
from broker.job import Ending, IfLost
from broker.lifecycle import EndReason, JobEvent, JobState, LeaseState
from broker.store import leases, orders
from broker.store.database import Database
from broker.store.leases import Ended, LeaseRef, Started, Stopped, outcome
from broker.store.orders import LiveLeases
from tests.cluster_world import ClusterWorld, inventory, laid_with_agents

COMPLETED = Ending(EndReason.COMPLETED)
CRASHED = Ending(EndReason.EXIT_CODE, exit_code=3, detail="out of memory")


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await laid_with_agents(database)


async def start(world: ClusterWorld, *refs: LeaseRef, cluster: str = "east", **times: Any) -> list[LeaseRef]:
    async with world.database.hub() as tx:
        return await leases.started(tx, cluster, [Started(ref, **times) for ref in refs], world.now)


async def stop(world: ClusterWorld, ref: LeaseRef, ending: Ending, cluster: str = "east", **times: Any) -> list[Ended]:
    async with world.database.hub() as tx:
        return await leases.stopped(tx, cluster, [Stopped(ref, ending, **times)], world.now, restarts_max=2)


async def fall_silent(world: ClusterWorld, cluster: str = "east") -> list[LeaseRef]:
    async with world.database.hub() as tx:
        return await leases.silent(tx, cluster, world.now)


async def test_a_lease_starts_once_and_ends_once(world: ClusterWorld) -> None:
    """The same word again changes nothing and tells nobody."""
    job, ref = await world.placed()

    assert await start(world, ref) == [ref]
    assert await start(world, ref) == []
    assert await world.state_of(job) is JobState.RUNNING
    assert await stop(world, ref, COMPLETED) == [Ended(ref, job, JobEvent.SUCCEEDED)]
    assert await stop(world, ref, CRASHED) == []

    assert await world.state_of(job) is JobState.SUCCEEDED
    assert await world.story(job) == ["submitted", "leased", "started", "succeeded"]
    assert await world.held() == 0
    await world.check()


async def test_a_started_or_ended_lease_never_starts_again(world: ClusterWorld) -> None:
    """An old word that arrives late must not bring a job back."""
    job, ref = await world.placed()
    await stop(world, ref, COMPLETED)

    assert await start(world, ref) == []

    assert await world.state_of(job) is JobState.SUCCEEDED


@pytest.mark.parametrize(("cluster", "epoch"), [("east", 2), ("west", 1)])
async def test_a_wrong_epoch_or_cluster_changes_nothing(world: ClusterWorld, cluster: str, epoch: int) -> None:
    """The fence holds for every word."""
    job, ref = await world.placed()
    wrong = LeaseRef(ref.lease, epoch)

    assert await start(world, wrong, cluster=cluster) == []
    assert await stop(world, wrong, COMPLETED, cluster) == []

    assert await world.lease_state(ref) is LeaseState.OFFERED
    assert await world.state_of(job) is JobState.LEASED


async def test_the_ending_is_told_with_the_event_and_kept_with_job_and_lease(world: ClusterWorld) -> None:
    """Who asks later and who watches learn the same."""
    job, ref = await world.placed()

    await stop(world, ref, CRASHED)

    found = await world.job(job)
    told = await world.row("SELECT kind, attempt, ending FROM event_outbox ORDER BY event_id DESC LIMIT 1")
    lease = await world.lease(ref)
    assert found.ending == CRASHED
    assert (told["kind"], told["attempt"], Ending.from_json(told["ending"])) == ("failed", 1, CRASHED)
    assert (lease["end_reason"], lease["exit_code"], lease["end_detail"]) == ("exit_code", 3, "out of memory")


async def test_a_failed_attempt_waits_again_while_attempts_are_left(world: ClusterWorld) -> None:
    """`attempts_max` counts attempts that failed by themselves."""
    job, first = await world.placed(attempts_max=2)

    assert [e.event for e in await stop(world, first, CRASHED)] == [JobEvent.REQUEUED]
    waiting = await world.job(job)
    second = await world.offer(job)
    assert [e.event for e in await stop(world, second, CRASHED)] == [JobEvent.FAILED]

    assert (waiting.state, waiting.ending, waiting.ended_at) == (JobState.PENDING, None, None)
    assert second.epoch == 2
    assert await world.story(job) == ["submitted", "leased", "requeued", "leased", "failed"]
    await world.check()


async def test_what_is_not_the_jobs_fault_is_not_charged_but_limited(world: ClusterWorld) -> None:
    """A job with one attempt survives vanished nodes, yet not for ever."""
    job = await world.submit(attempts_max=1)

    events = []
    for _ in range(3):
        [done] = await stop(world, await world.offer(job), Ending(EndReason.VANISHED))
        events.append(done.event)

    assert events == [JobEvent.REQUEUED, JobEvent.REQUEUED, JobEvent.FAILED]
    assert (await world.row("SELECT failures FROM jobs WHERE job_id = $1", job))["failures"] == 0


@pytest.mark.parametrize(
    ("ending", "state"),
    [(CRASHED, JobState.CANCELLED), (Ending(EndReason.VANISHED), JobState.CANCELLED), (COMPLETED, JobState.SUCCEEDED)],
)
async def test_a_cancelled_job_ends_however_its_attempt_ends(
    world: ClusterWorld, ending: Ending, state: JobState
) -> None:
    """It does not wait again; one that was faster than the cancellation has succeeded."""
    job, ref = await world.placed(attempts_max=5)
    await start(world, ref)
    await world.cancel(job)

    await stop(world, ref, ending)

    assert await world.state_of(job) is state


def test_the_outcome_of_an_attempt_is_a_table() -> None:
    """Well, cancelled, not its fault, its fault: looked at in this order."""

    def of(
        reason: EndReason,
        cancel: bool = False,
        attempt: int = 1,
        failures: int = 0,
        most: int = 1,
        preemptions: int = 0,
    ) -> JobEvent:
        return outcome(
            reason,
            cancel_requested=cancel,
            attempt=attempt,
            failures=failures,
            preemptions=preemptions,
            attempts_max=most,
            restarts_max=1,
        )

    assert of(EndReason.COMPLETED, cancel=True) is JobEvent.SUCCEEDED
    assert of(EndReason.LOST, cancel=True) is JobEvent.CANCELLED
    assert of(EndReason.LOST) is JobEvent.REQUEUED
    assert of(EndReason.LOST, attempt=2) is JobEvent.FAILED
    assert of(EndReason.LOST, attempt=2, preemptions=1) is JobEvent.REQUEUED
    assert of(EndReason.PREEMPTED, attempt=9, preemptions=8) is JobEvent.REQUEUED
    assert of(EndReason.LOST, attempt=2, failures=1) is JobEvent.REQUEUED
    assert of(EndReason.SIGNAL) is JobEvent.FAILED
    assert of(EndReason.SIGNAL, most=2) is JobEvent.REQUEUED
    assert of(EndReason.SIGNAL, attempt=2, most=2) is JobEvent.REQUEUED
    assert of(EndReason.SIGNAL, attempt=2, failures=1, most=2) is JobEvent.FAILED


async def test_an_agents_clock_cannot_put_times_out_of_order(world: ClusterWorld) -> None:
    """offered <= started <= ended <= heard, however wrong the agent's clock is."""
    early, late = world.now - timedelta(days=400), world.now + timedelta(days=400)
    _, one = await world.placed()
    _, two = await world.placed()
    _, three = await world.placed()
    world.advance(10)

    await start(world, one, started_at=late)
    await start(world, two, started_at=early)
    world.advance(10)
    for ref, ended_at in ((one, early), (two, late), (three, early)):
        await stop(world, ref, COMPLETED, started_at=late, ended_at=ended_at)

    await world.check()
    assert (await world.lease(two))["ended_at"] == world.now


async def test_a_lost_lease_keeps_its_cards_and_is_found_again(world: ClusterWorld) -> None:
    """Two jobs on one card is worse than an idle card."""
    job, ref = await world.placed()
    await start(world, ref)

    assert await fall_silent(world) == [ref]
    assert await fall_silent(world) == []
    assert await world.lease_state(ref) is LeaseState.LOST
    assert await world.state_of(job) is JobState.RUNNING
    assert await world.held() == 1
    assert await start(world, ref) == [ref]

    assert await world.lease_state(ref) is LeaseState.ACTIVE
    assert await world.story(job) == ["submitted", "leased", "started", "lost", "found"]
    await world.check()


async def test_a_lease_lost_before_it_was_seen_to_run_is_found_and_started(world: ClusterWorld) -> None:
    """Its order had arrived, only the answer was lost."""
    job, ref = await world.placed()
    await fall_silent(world)

    await start(world, ref)

    assert await world.state_of(job) is JobState.RUNNING
    assert await world.story(job) == ["submitted", "leased", "lost", "found", "started"]


async def test_silence_of_one_cluster_is_not_another_ones(world: ClusterWorld) -> None:
    """Each agent speaks for itself."""
    _, ref = await world.placed()

    assert await fall_silent(world, "west") == []

    assert await world.lease_state(ref) is LeaseState.OFFERED


async def test_only_restart_leases_of_a_lost_agent_end_by_terms(world: ClusterWorld) -> None:
    """`if_lost: hold` waits for the agent or an operator."""
    restart, restart_ref = await world.placed(if_lost=IfLost.RESTART)
    hold, hold_ref = await world.placed(if_lost=IfLost.HOLD)
    await start(world, restart_ref, hold_ref)
    heard_at = world.now
    await fall_silent(world)
    await world.row("UPDATE clusters SET agent_state = 'lost' WHERE cluster = 'east' RETURNING 1")
    world.advance(100)

    async with world.database.hub() as tx:
        early = await leases.killed_by_terms(tx, "east", world.now, heard_at - timedelta(seconds=1), restarts_max=2)
        due = await leases.killed_by_terms(tx, "east", world.now, heard_at, restarts_max=2)

    assert early == []
    assert due == [Ended(restart_ref, restart, JobEvent.REQUEUED)]
    assert await world.state_of(hold) is JobState.RUNNING
    assert await world.lease_state(hold_ref) is LeaseState.LOST
    assert (await world.lease(restart_ref))["end_reason"] == "lost"
    await world.check()


async def test_an_operator_writes_off_what_is_lost_and_nothing_else(world: ClusterWorld) -> None:
    """The cards come back and the job waits again."""
    job, ref = await world.placed()
    async with world.database.hub() as tx:
        with pytest.raises(LeaseNotFound):
            await leases.write_off(tx, LeaseId(999), world.now)
        with pytest.raises(LeaseNotLost, match="offered"):
            await leases.write_off(tx, ref.lease, world.now)
    await fall_silent(world)

    async with world.database.hub() as tx:
        done = await leases.write_off(tx, ref.lease, world.now, detail="rack 4 burnt down")

    assert done == Ended(ref, job, JobEvent.REQUEUED)
    assert await world.held() == 0
    assert (await world.lease(ref))["end_detail"] == "rack 4 burnt down"
    async with world.database.hub() as tx:
        with pytest.raises(LeaseNotLost, match="ended"):
            await leases.write_off(tx, ref.lease, world.now)


async def test_an_order_says_all_that_the_agent_needs(world: ClusterWorld) -> None:
    """Named cards, and the build that the round chose."""
    job = await world.submit(cards_per_task=2, tasks=2)
    ref = await world.offer(job, {"n1": [0, 3], "n2": [1, 2]})

    async with world.database.hub() as tx:
        [order] = await orders.orders(tx, [ref.lease])

    assert (order.ref, order.job, order.city, order.pool) == (ref, job, "ganzhou", "main")
    assert [(n.node, n.cards, n.tasks) for n in order.nodes] == [("n1", (0, 3), 1), ("n2", (1, 2), 1)]
    assert (order.build.command, order.cards_per_task, order.grace_seconds) == (("python", "train.py"), 2, 7)


async def test_a_thousand_leases_start_and_end_in_one_statement_each(database: Database) -> None:
    """A report may carry thousands: the cost is in the rows, not in round trips."""
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory(*(f"n{i}" for i in range(16)), cards=64))
    async with database.hub() as tx:
        await tx.execute("INSERT INTO shapes (sha256, requirement) VALUES ('x', '{}')")
        await tx.execute(
            """INSERT INTO jobs (city, request_key, body_sha256, spec, shape_id, priority, state, attempt, if_lost,
                                 ceiling_micro_yuan_per_pflops_hour, walltime_seconds, attempts_max, submitted_at)
               SELECT 'ganzhou', n, 'x', '{"grace_seconds": 0}', 1, 'standard', 'leased', 1, 'hold', 1, 1, 1, $1
                 FROM generate_series(1, 1000) n""",
            world.now,
        )
        round_id = await world._round(tx)
        await tx.execute(
            """INSERT INTO leases (job_id, city, cluster, pool_id, build, epoch, if_lost, round_id, offered_at)
               SELECT job_id, city, 'east', (SELECT min(pool_id) FROM pools), 0, 1, 'hold', $1, $2 FROM jobs""",
            round_id,
            world.now,
        )
        await tx.execute(
            """INSERT INTO lease_nodes
               SELECT lease_id, (SELECT min(node_id) FROM nodes) + (lease_id - 1) / 64, ARRAY[(lease_id - 1) % 64], 1
                 FROM leases"""
        )
        await tx.execute("INSERT INTO held_cards SELECT node_id, cards[1], lease_id FROM lease_nodes")
        refs = list(await LiveLeases().read(tx, "east"))
    assert len(refs) == 1000

    await start(world, *refs)
    async with database.hub() as tx:
        told = [Stopped(ref, COMPLETED) for ref in refs]
        done = await leases.stopped(tx, "east", told, world.now, restarts_max=0)

    assert {d.event for d in done} == {JobEvent.SUCCEEDED}
    assert len(done) == 1000
    assert await world.held() == 0
    await world.check()
