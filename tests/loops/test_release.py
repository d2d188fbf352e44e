"""Jobs come into the queue when their time has come and what they run after has ended, or end with it."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.ids import JobId, LeaseId
from broker.job import Job
from broker.lifecycle import EndReason, Held, JobState
from broker.loops.expiry import Expiry
from broker.loops.release import Release
from broker.store import jobs, leases, snapshots, submissions
from broker.store.database import Database
from broker.store.leases import LeaseRef
from tests.small_world import T0, a_spec, brought_to, lay_out, submitted, told

HOUR = timedelta(hours=1)


class Queue:
    """A small world, its release loop, and what rounds would look at."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.woken = 0
        self.release = Release(database, wake=self._wake, batch_jobs=2)

    def _wake(self) -> None:
        self.woken += 1

    async def submit(self, key: str, **changes: Any) -> JobId:
        return (await submitted(self.database, key, spec=a_spec(**changes)))[0]

    async def job(self, job: JobId) -> Job:
        async with self.database.hub() as tx:
            return await jobs.get(tx, job)

    async def seen_by_rounds(self, now: datetime = T0) -> list[JobId]:
        """What a round would look at, and the fast lane, which must be the same."""
        async with self.database.hub() as tx:
            view = await snapshots.read(tx, now, 100)
        async with self.database.hub() as tx:
            arrived = (await snapshots.arrived(tx, JobId(0), now, 100)).rows
        assert [j.job for j in arrived] == [j.job for j in view.waiting]
        return [j.job for j in view.waiting]

    async def end(self, job: JobId, state: JobState) -> None:
        """End a job as if it had run, and its cards were free again."""
        async with self.database.hub() as tx:
            ended = "UPDATE jobs SET state = $2, attempt = 1, ended_at = $3, end_reason = 'completed' WHERE job_id = $1"
            await tx.execute(ended, job, state, T0)

    async def edges(self) -> int:
        async with self.database.hub() as tx:
            return int(await tx.fetchval("SELECT count(*) FROM job_upstreams"))


@pytest.fixture
async def queue(database: Database) -> Queue:
    return Queue(await lay_out(database))


async def test_a_job_is_not_looked_at_before_its_earliest_start(queue: Queue) -> None:
    job = await queue.submit("k", earliest_start=T0 + HOUR)

    early = await queue.release.run_once(T0 + HOUR - timedelta(seconds=1))
    waiting = await queue.job(job)
    before, after = await queue.seen_by_rounds(), await queue.seen_by_rounds(T0 + HOUR)
    due = await queue.release.run_once(T0 + HOUR)

    assert (early, before, due, after) == (0, [], 1, [job])
    assert (waiting.state, waiting.waiting_reason) == (JobState.PENDING, Held.NOT_YET)
    assert (await queue.job(job)).waiting_reason == ""
    assert (await queue.job(job)).spec.earliest_start == T0 + HOUR
    assert (await queue.release.run_once(T0 + HOUR), queue.woken) == (0, 1)


async def test_an_earliest_start_that_has_passed_means_at_once(queue: Queue) -> None:
    job = await queue.submit("k", earliest_start=T0)

    assert await queue.seen_by_rounds() == [job]
    assert (await queue.job(job)).waiting_reason == ""


async def test_a_job_starts_after_all_its_upstream_jobs_have_succeeded(queue: Queue) -> None:
    first, second = await queue.submit("a"), await queue.submit("b")
    job = await queue.submit("c", after=(first,), after_request_keys=("b",))

    await brought_to(queue.database, first, JobState.SUCCEEDED)
    await queue.release.run_once(T0)
    one_left = await queue.seen_by_rounds(), (await queue.job(job)).waiting_reason
    await brought_to(queue.database, second, JobState.CANCELLED)
    await queue.release.run_once(T0)

    assert one_left == ([second], Held.UPSTREAM_RUNS)
    found = await queue.job(job)
    assert (found.state, found.ending and found.ending.reason) == (JobState.CANCELLED, EndReason.UPSTREAM_FAILED)
    assert found.ending is not None
    assert found.ending.detail == f"job-{second}, which it was to run after, is cancelled"
    assert await told(queue.database, job) == ["submitted", "cancelled"]
    assert await queue.edges() == 0


async def test_a_job_comes_into_the_queue_when_its_last_upstream_has_succeeded(queue: Queue) -> None:
    first = await queue.submit("a")
    job = await queue.submit("b", after=(first,), after_request_keys=("a",))  # the same job, named twice

    await brought_to(queue.database, first, JobState.SUCCEEDED)
    released = await queue.release.run_once(T0)

    assert (released, await queue.seen_by_rounds()) == (1, [job])
    assert (await queue.job(job)).waiting_reason == ""


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
async def test_after_any_end_takes_every_end(queue: Queue, state: JobState) -> None:
    first = await queue.submit("a")
    job = await queue.submit("b", after=(first,), after_any_end=True, earliest_start=T0 + HOUR)

    await brought_to(queue.database, first, state)
    await queue.release.run_once(T0)
    held = (await queue.job(job)).waiting_reason, await queue.seen_by_rounds()
    await queue.release.run_once(T0 + HOUR)

    assert held == (Held.NOT_YET, [])
    assert await queue.seen_by_rounds(T0 + HOUR) == [job]


async def ready(queue: Queue, job: JobId, state: JobState) -> None:
    """Bring a job there, and let its agent report that its data are ready."""
    await brought_to(queue.database, job, state)
    async with queue.database.hub() as tx:
        [lease] = await tx.fetch("SELECT cluster, lease_id, epoch FROM leases WHERE job_id = $1", job)
        told_of = [LeaseRef(LeaseId(lease["lease_id"]), lease["epoch"])]
        news = await leases.data_ready(tx, lease["cluster"], told_of, T0)
        again = await leases.data_ready(tx, lease["cluster"], told_of, T0 + HOUR)
    assert (news, again) == ([job], [])


@pytest.mark.parametrize("state", [JobState.LEASED, JobState.RUNNING])
async def test_data_that_are_ready_are_enough_for_who_wants_no_more(queue: Queue, state: JobState) -> None:
    first = await queue.submit("a")
    data = await queue.submit("data", after=(first,), after_data_ready=True)
    end = await queue.submit("end", after=(first,))

    await ready(queue, first, state)
    counts = await queue.release.run_once(T0), await queue.release.run_once(T0)

    assert await queue.seen_by_rounds() == [data]
    assert counts == (1, 0)
    assert ((await queue.job(first)).data_ready_at, (await queue.job(end)).waiting_reason) == (T0, Held.UPSTREAM_RUNS)
    assert (await told(queue.database, first))[-1] == "data_ready"


async def test_data_that_were_ready_stay_so_when_their_job_fails(queue: Queue) -> None:
    first = await queue.submit("a")
    data = await queue.submit("data", after=(first,), after_data_ready=True)
    end = await queue.submit("end", after=(first,))

    await ready(queue, first, JobState.RUNNING)
    await queue.end(first, JobState.FAILED)
    await queue.release.run_once(T0)

    assert await queue.seen_by_rounds() == [data]
    assert (await queue.job(end)).state is JobState.CANCELLED


async def test_a_job_that_fails_before_its_data_are_ready_takes_those_along_that_wait_for_them(queue: Queue) -> None:
    first = await queue.submit("a")
    data = await queue.submit("data", after=(first,), after_data_ready=True)

    await brought_to(queue.database, first, JobState.FAILED)
    await queue.release.run_once(T0)

    assert (await queue.job(data)).state is JobState.CANCELLED


async def test_a_failure_goes_down_the_whole_chain_at_once(queue: Queue) -> None:
    chain = [await queue.submit("0")]
    for n in range(1, 6):
        chain.append(await queue.submit(str(n), after=(chain[-1],)))
    beside = await queue.submit("beside", after=(chain[0],), after_any_end=True)

    await brought_to(queue.database, chain[0], JobState.FAILED)
    await queue.release.run_once(T0)

    assert {(await queue.job(job)).state for job in chain[1:]} == {JobState.CANCELLED}
    assert await queue.seen_by_rounds() == [beside]
    assert await queue.edges() == 0


async def test_a_job_that_ends_while_it_is_held_leaves_nothing_behind(queue: Queue) -> None:
    first = await queue.submit("a")
    held = await queue.submit("b", after=(first,), start_by=T0 + HOUR)

    await Expiry(queue.database, wake=lambda: None).run_once(T0 + HOUR)
    await brought_to(queue.database, first, JobState.FAILED)
    await queue.release.run_once(T0 + HOUR)

    found = await queue.job(held)
    assert (found.state, await queue.edges()) == (JobState.EXPIRED, 0)
    assert await told(queue.database, held) == ["submitted", "expired"]


async def test_brokers_that_look_at_once_release_each_job_once(queue: Queue) -> None:
    first, second = await queue.submit("a"), await queue.submit("b")
    held = [await queue.submit(f"h{n}", after=(first, second)) for n in range(20)]
    brokers = [Release(queue.database, wake=lambda: None, batch_jobs=3) for _ in range(4)]

    for upstream in (first, second):
        await brought_to(queue.database, upstream, JobState.CANCELLED)
    await asyncio.gather(*(b.run_once(T0) for b in brokers))
    await brokers[0].run_once(T0)

    for job in held:
        assert await told(queue.database, job) == ["submitted", "cancelled"]
    assert await queue.edges() == 0


async def test_a_deadline_that_cannot_be_kept_any_more_expires_the_job(queue: Queue) -> None:
    due = T0 + 2 * HOUR
    job = await queue.submit("k", finish_by=due, walltime_seconds=3600)
    soon = await queue.submit("s", finish_by=due, walltime_seconds=3600, start_by=T0 + HOUR / 2)
    expiry = Expiry(queue.database, wake=lambda: None)

    counts = [await expiry.run_once(T0 + wait) for wait in (HOUR / 2, HOUR - timedelta(seconds=1), HOUR)]

    assert counts == [1, 0, 1]
    endings = [(await queue.job(j)).ending for j in (soon, job)]
    assert [e and e.reason for e in endings] == [EndReason.EXPIRED, EndReason.TOO_LATE]
    assert (await queue.job(job)).state is JobState.EXPIRED


async def test_a_repeat_is_a_duplicate_whatever_has_become_of_its_upstream(queue: Queue) -> None:
    first = await queue.submit("a")
    job = await queue.submit("b", after=(first,))
    await brought_to(queue.database, first, JobState.FAILED)
    await queue.release.run_once(T0)

    async with queue.database.city("ganzhou") as tx:
        [again] = await submissions.insert_many(tx, "ganzhou", [("b", a_spec(after=(first,)))], T0)

    assert (again.job, again.duplicate) == (job, True)
    assert await queue.edges() == 0


@pytest.mark.parametrize("seed", range(4))
async def test_a_random_workflow_ends_as_a_model_of_it_says(queue: Queue, seed: int) -> None:
    """Whatever waits for whatever, and in whatever order things end."""
    luck = random.Random(seed)
    befores: dict[JobId, tuple[tuple[JobId, ...], bool]] = {}
    for n in range(24):
        before = tuple(sorted(luck.sample(sorted(befores), luck.randint(0, min(3, n)))))
        any_end = bool(before) and luck.random() < 0.4
        job = await queue.submit(f"k{n}", after=before, after_any_end=any_end)
        befores[job] = before, any_end
    model: dict[JobId, JobState] = {}

    while ready := await queue.seen_by_rounds():
        job = luck.choice(ready)
        model[job] = luck.choice([JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.FAILED])
        await queue.end(job, model[job])
        await queue.release.run_once(T0)
        for held, (before, any_end) in befores.items():  # ids grow down the chains
            bad = any(model.get(b, JobState.SUCCEEDED) is not JobState.SUCCEEDED for b in before)
            if held not in model and bad and not any_end:
                model[held] = JobState.CANCELLED
        due = [j for j, (before, _) in befores.items() if j not in model and all(b in model for b in before)]
        assert await queue.seen_by_rounds() == due

    assert {job: (await queue.job(job)).state for job in befores} == model
    assert await queue.edges() == 0
