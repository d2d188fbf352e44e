"""Jobs on a real PostgreSQL: stored once for each key, fenced by city, changed only as the state table allows."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from broker.errors import JobNotFound, JobNotWaiting
from broker.ids import JobId
from broker.job import Build, IfLost, PriorityClass, WorkloadClass
from broker.lifecycle import JOB, JOB_FINAL, EndReason, JobEvent, JobState
from broker.store import jobs, submissions
from broker.store.database import Database
from broker.store.jobs import CancelledSet
from tests.deadlines import eventually
from tests.small_world import T0, a_spec, brought_to, is_blocked, lay_out, placed, submitted, told

LATER = T0 + timedelta(seconds=60)
EXAMPLES = itertools.count()  # keeps the keys of one generated example from those of the next


@pytest.fixture
async def world(database: Database) -> Database:
    return await lay_out(database)


async def test_a_job_is_read_as_it_was_stored(world: Database) -> None:
    spec = a_spec(
        name="训练 llama",
        job_set="night",
        tasks=4,
        cards_per_task=8,
        cpu_milli_per_task=500,
        memory_mib_per_task=1024,
        priority=PriorityClass.URGENT,
        workload_class=WorkloadClass.SPEECH,
        builds=(Build("cann", ("sh", "-c", 'echo "a b"'), ("ascend-910b",), {"KEY": "värde"}, 500_000),),
        allowed_hubs=("qingyang",),
        round_trip_micros_max=20_000,
        start_by=LATER,
        if_lost=IfLost.RESTART,
        attempts_max=3,
        grace_seconds=30,
    )

    [job] = await submitted(world, "k", spec=spec)

    async with world.city("ganzhou") as tx:
        found = await jobs.get(tx, job)
    assert (found.job, found.city, found.spec, found.state) == (job, "ganzhou", spec, JobState.PENDING)
    assert (found.submitted_at, found.attempt, found.placement, found.ending) == (T0, 0, None, None)
    assert await told(world, job) == ["submitted"]


async def test_the_same_key_and_body_give_the_same_job(world: Database) -> None:
    [first] = await submitted(world, "k")

    async with world.city("ganzhou") as tx:
        [again] = await submissions.insert_many(tx, "ganzhou", [("k", a_spec())], LATER)

    assert (again.job, again.duplicate, again.conflict) == (first, True, None)
    assert await told(world, first) == ["submitted"]


async def test_the_same_key_with_another_body_is_a_conflict_that_names_the_differences(world: Database) -> None:
    [first] = await submitted(world, "k")
    other = a_spec(tasks=2, builds=(Build("cuda", ("python", "other.py")), Build("cann", ("python", "train.py"))))

    async with world.city("ganzhou") as tx:
        [refused] = await submissions.insert_many(tx, "ganzhou", [("k", other)], LATER)

    assert (refused.job, refused.conflict) == (first, ("spec.builds[0].command", "spec.tasks"))
    async with world.city("ganzhou") as tx:
        assert (await jobs.get(tx, first)).spec == a_spec()


async def test_a_key_belongs_to_its_city(world: Database) -> None:
    [mine] = await submitted(world, "k")
    [theirs] = await submitted(world, "k", city="nanjing")

    assert mine != theirs


async def test_a_key_twice_in_one_batch_is_one_job(world: Database) -> None:
    items = [("a", a_spec()), ("b", a_spec()), ("a", a_spec()), ("b", a_spec(tasks=3))]

    async with world.city("ganzhou") as tx:
        a, b, a_again, b_other = await submissions.insert_many(tx, "ganzhou", items, T0)

    assert (a.duplicate, b.duplicate) == (False, False)
    assert (a_again.job, a_again.duplicate) == (a.job, True)
    assert (b_other.job, b_other.conflict) == (b.job, ("spec.tasks",))


async def test_a_priority_that_was_changed_does_not_spoil_a_repeated_submission(world: Database) -> None:
    """The key stands for the body that was submitted, not for what became of it."""
    [job] = await submitted(world, "k")
    async with world.city("ganzhou") as tx:
        await jobs.update_priority(tx, job, PriorityClass.URGENT, LATER)

    async with world.city("ganzhou") as tx:
        same, other = await submissions.insert_many(
            tx, "ganzhou", [("k", a_spec()), ("k", a_spec(priority=PriorityClass.URGENT))], LATER
        )

    assert (same.duplicate, other.conflict) == (True, ("spec.priority",))


async def test_of_two_transactions_with_one_key_the_second_waits_and_finds_the_first(world: Database) -> None:
    async def submit_in_other_order(keys: list[str]) -> list[submissions.Submitted]:
        async with world.city("ganzhou") as tx:
            return await submissions.insert_many(tx, "ganzhou", [(k, a_spec()) for k in keys], T0)

    keys = [f"k{n}" for n in range(50)]
    one, two, three = await asyncio.gather(
        submit_in_other_order(keys), submit_in_other_order(keys[::-1]), submit_in_other_order(keys)
    )

    by_key = dict(zip(keys, (s.job for s in one), strict=True))
    assert [s.job for s in two] == [by_key[k] for k in keys[::-1]]
    assert [s.job for s in three] == [by_key[k] for k in keys]
    assert sorted(sum(not r.duplicate for r in part) for part in (one, two, three)) == [0, 0, 50]


async def test_a_rolled_back_submission_leaves_its_key_free(world: Database) -> None:
    async def store_and_fail() -> None:
        async with world.city("ganzhou") as tx:
            await submissions.insert_many(tx, "ganzhou", [("k", a_spec())], T0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await store_and_fail()

    async with world.city("ganzhou") as tx:
        [stored] = await submissions.insert_many(tx, "ganzhou", [("k", a_spec())], T0)
    assert not stored.duplicate


async def test_ids_and_answers_follow_the_order_of_submission(world: Database) -> None:
    keys = [f"k{n}" for n in (5, 3, 9, 1, 7)]

    ids = await submitted(world, *keys)

    assert ids == sorted(ids)
    async with world.city("ganzhou") as tx:
        rows = await tx.fetch("SELECT request_key FROM jobs ORDER BY job_id")
        events = await tx.fetch("SELECT job_id FROM event_outbox ORDER BY event_id")
    assert [r["request_key"] for r in rows] == keys
    assert [r["job_id"] for r in events] == ids


async def test_equal_requirements_share_a_shape(world: Database) -> None:
    await submitted(world, "a", spec=a_spec(name="one", walltime_seconds=10))
    await submitted(world, "b", spec=a_spec(name="two", priority=PriorityClass.URGENT))
    await submitted(world, "c", spec=a_spec(tasks=2))

    async with world.hub() as tx:
        shapes = await tx.fetch("SELECT count(*) AS jobs FROM jobs GROUP BY shape_id ORDER BY 1")
    assert [r["jobs"] for r in shapes] == [1, 2]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3)), max_size=12))
async def test_a_batch_is_answered_like_its_items_one_by_one(world: Database, batch: list[tuple[str, int]]) -> None:
    """However a batch mixes new, repeated and conflicting keys, a plain dictionary predicts every answer."""
    example = next(EXAMPLES)
    items = [(f"{example}-{key}", a_spec(tasks=tasks)) for key, tasks in batch]

    async with world.city("ganzhou") as tx:
        answers = await submissions.insert_many(tx, "ganzhou", items, T0)

    seen: dict[str, tuple[JobId, int]] = {}
    for (key, spec), answer in zip(items, answers, strict=True):
        job, tasks = seen.setdefault(key, (answer.job, spec.tasks))
        assert answer.job == job
        assert (answer.conflict is None) == (spec.tasks == tasks)
    new = [s for s in answers if not s.duplicate and s.conflict is None]
    assert len(new) == len(seen)


async def test_a_city_can_neither_see_nor_change_another_citys_job(world: Database) -> None:
    [job] = await submitted(world, "k", city="nanjing")

    async with world.city("ganzhou") as tx:
        assert await jobs.list_page(tx, limit=10) == []
        assert (await submissions.count_pending(tx, "nanjing")).pending == 0
        with pytest.raises(JobNotFound):
            await jobs.get(tx, job)
        with pytest.raises(JobNotFound):
            await jobs.cancel(tx, job, LATER)
        with pytest.raises(JobNotFound):
            await jobs.update_priority(tx, job, PriorityClass.URGENT, LATER)

    assert await told(world, job) == ["submitted"]


async def test_pages_are_newest_first_and_filters_are_joined(world: Database) -> None:
    night = await submitted(world, "a", "b", "c", spec=a_spec(job_set="night"))
    day = await submitted(world, "d", "e", spec=a_spec(job_set="day"))
    other = await submitted(world, "f", city="nanjing")
    await brought_to(world, night[1], JobState.CANCELLED)

    async def page(**filters: object) -> list[JobId]:
        async with world.hub() as tx:
            return [j.job for j in await jobs.list_page(tx, **{"limit": 100, **filters})]

    assert await page() == [*other, *day[::-1], *night[::-1]]
    assert await page(city="ganzhou", limit=2) == day[::-1]
    assert await page(city="ganzhou", before=day[0]) == night[::-1]
    assert await page(job_set="night") == night[::-1]
    assert await page(job_set="night", states=[JobState.PENDING]) == [night[2], night[0]]
    assert await page(states=[JobState.CANCELLED, JobState.RUNNING]) == [night[1]]


async def test_a_placed_job_shows_its_cards_to_its_city(world: Database) -> None:
    [job] = await submitted(world, "k")
    lease = await placed(world, job, cards=(3, 1))

    async with world.city("ganzhou") as tx:
        found = await jobs.get(tx, job)

    assert found.placement is not None
    assert (found.state, found.attempt, found.placement.lease) == (JobState.LEASED, 1, lease)
    assert (found.placement.cluster, found.placement.pool) == ("longdong", "ascend")
    assert (found.placement.model, found.placement.build) == ("ascend-910b", 1)
    assert [(n.node, n.cards, n.tasks) for n in found.placement.nodes] == [("n1", (1, 3), 1)]


@pytest.mark.parametrize("state", JobState)
async def test_what_cancelling_does_depends_on_the_state(world: Database, state: JobState) -> None:
    """Waiting: final at once. Placed: its agent is asked. Final: nothing. A second time: nothing, in any state."""
    [job] = await submitted(world, "k")
    await brought_to(world, job, state)
    before = await told(world, job)

    async with world.city("ganzhou") as tx:
        first = await jobs.cancel(tx, job, LATER)
    async with world.city("ganzhou") as tx:
        second = await jobs.cancel(tx, job, LATER + timedelta(seconds=1))

    assert second == first
    news = (await told(world, job))[len(before) :]
    if state is JobState.PENDING:
        assert (first.state, first.ended_at, news) == (JobState.CANCELLED, LATER, ["cancelled"])
        assert first.ending is not None
        assert first.ending.reason is EndReason.CANCELLED
    elif state in JOB_FINAL:
        assert (first.state, first.cancel_requested_at, news) == (state, None, [])
    else:
        assert (first.state, first.cancel_requested_at, news) == (state, LATER, ["cancel_requested"])


async def test_a_cancellation_that_races_with_a_round_is_never_lost(world: Database) -> None:
    """The job waits when the cancellation looks and is leased when it writes: then its agent is asked."""
    [job] = await submitted(world, "k")

    async def cancel() -> None:
        async with world.city("ganzhou") as tx:
            await jobs.cancel(tx, job, LATER)

    async with world.hub() as tx:
        await tx.execute("UPDATE jobs SET state = 'leased', attempt = 1 WHERE job_id = $1", job)
        racing = asyncio.create_task(cancel())
        await eventually(lambda: is_blocked(world))
    await racing

    async with world.hub() as tx:
        found = await jobs.get(tx, job)
    assert (found.state, found.cancel_requested_at) == (JobState.LEASED, LATER)
    assert await told(world, job) == ["submitted", "cancel_requested"]


async def test_a_set_is_cancelled_in_parts_and_only_in_its_city(world: Database) -> None:
    waiting = await submitted(world, "a", "b", "c", spec=a_spec(job_set="night"))
    [running, done] = await submitted(world, "d", "e", spec=a_spec(job_set="night"))
    [other] = await submitted(world, "f", spec=a_spec(job_set="day"))
    [foreign] = await submitted(world, "g", city="nanjing", spec=a_spec(job_set="night"))
    await brought_to(world, running, JobState.RUNNING)
    await brought_to(world, done, JobState.EXPIRED)

    async with world.city("ganzhou") as tx:
        preview = await jobs.count_set(tx, "ganzhou", "night")
        parts = [await jobs.cancel_set(tx, "ganzhou", "night", LATER, limit=3) for _ in range(3)]

    assert preview == CancelledSet(3, 1)
    assert parts == [CancelledSet(3, 0), CancelledSet(0, 1, frozenset({"longdong"})), CancelledSet(0, 0)]
    assert [await told(world, job) for job in waiting] == [["submitted", "cancelled"]] * 3
    assert await told(world, running) == ["submitted", "leased", "cancel_requested"]
    for untouched in (done, other, foreign):
        assert await told(world, untouched) == ["submitted"]


async def test_an_empty_name_is_no_set(world: Database) -> None:
    [job] = await submitted(world, "a")

    async with world.city("ganzhou") as tx:
        assert await jobs.cancel_set(tx, "ganzhou", "", LATER, limit=10) == CancelledSet(0, 0)

    assert await told(world, job) == ["submitted"]


@pytest.mark.parametrize("state", JobState)
async def test_only_a_waiting_job_changes_its_class(world: Database, state: JobState) -> None:
    [job] = await submitted(world, "k")
    await brought_to(world, job, state)

    async with world.city("ganzhou") as tx:
        if state is not JobState.PENDING:
            with pytest.raises(JobNotWaiting, match=state):
                await jobs.update_priority(tx, job, PriorityClass.DEFERRABLE, LATER)
            return
        changed = await jobs.update_priority(tx, job, PriorityClass.DEFERRABLE, LATER)
        again = await jobs.update_priority(tx, job, PriorityClass.DEFERRABLE, LATER)

    assert changed.spec == again.spec == structs.replace(a_spec(), priority=PriorityClass.DEFERRABLE)
    assert await told(world, job) == ["submitted", "updated"]


async def test_a_job_expires_when_it_still_waits_at_its_time(world: Database) -> None:
    due = await submitted(world, "a", "b", "c", spec=a_spec(start_by=LATER))
    [later] = await submitted(world, "d", spec=a_spec(start_by=LATER + timedelta(microseconds=1)))
    [never] = await submitted(world, "e")

    async with world.hub() as tx:
        counts = [await jobs.expire_due(tx, LATER, 2) for _ in range(3)]
        states = {j.job: (j.state, j.ended_at) for j in await jobs.list_page(tx, limit=10)}

    assert counts == [2, 1, 0]
    assert [states[job] for job in due] == [(JobState.EXPIRED, LATER)] * 3
    assert [states[job] for job in (later, never)] == [(JobState.PENDING, None)] * 2
    assert await told(world, due[0]) == ["submitted", "expired"]


@pytest.mark.parametrize("state", [s for s in JobState if s is not JobState.PENDING])
async def test_only_a_waiting_job_expires(world: Database, state: JobState) -> None:
    [job] = await submitted(world, "a", spec=a_spec(start_by=LATER))
    await brought_to(world, job, state)

    async with world.hub() as tx:
        assert await jobs.expire_due(tx, LATER, 10) == 0


def test_the_statements_assume_what_the_state_table_says() -> None:
    """Partial indexes want the state spelled out in the SQL; this keeps the words and the table together."""
    assert {s for s, e in JOB if e is JobEvent.EXPIRED} == {JobState.PENDING}
    assert {s for s, e in JOB if e is JobEvent.UPDATED} == {JobState.PENDING}
    assert JOB[JobState.PENDING, JobEvent.CANCELLED] is JobState.CANCELLED
    assert all(JOB[s, e] is s for s, e in JOB if e is JobEvent.CANCEL_REQUESTED)


async def test_a_waiting_reason_is_noted_only_while_the_job_waits(world: Database) -> None:
    first, second, leased = await submitted(world, "a", "b", "c")
    await brought_to(world, leased, JobState.LEASED)

    async with world.hub() as tx:
        await jobs.set_waiting_reasons(tx, [first, second, leased], ["CARDS_SHORT", "OUTBID", "OUTBID"])
        found = {j.job: j.waiting_reason for j in await jobs.list_page(tx, limit=10)}

    assert found == {first: "CARDS_SHORT", second: "OUTBID", leased: ""}
    assert await told(world, first) == ["submitted"]


async def test_noting_reasons_does_not_wait_for_a_job_that_is_being_changed(world: Database) -> None:
    busy, free = await submitted(world, "a", "b")

    async with world.hub() as other:
        await other.execute("SELECT FROM jobs WHERE job_id = $1 FOR UPDATE", busy)
        async with world.hub() as tx:
            await jobs.set_waiting_reasons(tx, [busy, free], ["OUTBID", "OUTBID"])

    async with world.hub() as tx:
        assert [j.waiting_reason for j in await jobs.list_page(tx, limit=2)] == ["OUTBID", ""]


async def test_jobs_that_come_together_keep_each_its_own_terms(database: Database) -> None:
    """Terms are handed over once for all who share them: nobody gets those of a neighbour."""
    await lay_out(database)
    kinds = [
        a_spec(),
        a_spec(walltime_seconds=60, priority=PriorityClass.URGENT, job_set="night"),
        a_spec(tasks=2, finish_by=T0 + timedelta(hours=9)),
        a_spec(tasks=2, attempts_max=3, if_lost=IfLost.RESTART, vouchers=("b", "a"), ceiling_micro_yuan_per_job=5),
        a_spec(earliest_start=T0 + timedelta(hours=1), preemptible=True, grace_seconds=7),
    ]
    given = [(f"k-{n}", kinds[n % len(kinds)]) for n in reversed(range(23))]

    async with database.city("ganzhou") as tx:
        stored = await submissions.insert_many(tx, "ganzhou", given, T0)

    assert [each.job for each in stored] == sorted(each.job for each in stored)
    async with database.hub() as tx:
        rows = await tx.fetch(
            """SELECT request_key, job_set, priority, walltime_seconds, start_by, finish_by, if_lost, attempts_max,
                      preemptible, grace_seconds, ceiling_micro_yuan_per_job, vouchers, waiting_reason, earliest_start,
                      requirement->'tasks' AS tasks
                 FROM jobs JOIN shapes USING (shape_id) ORDER BY job_id"""
        )
    assert [tuple(row) for row in rows] == [
        (
            *(key, s.job_set, s.priority, s.walltime_seconds, s.latest_start, s.finish_by, s.if_lost, s.attempts_max),
            *(s.preemptible, s.grace_seconds, s.ceiling_micro_yuan_per_job or None, list(s.vouchers)),
            *("NOT_YET" if s.earliest_start else "", s.earliest_start, s.tasks),
        )
        for key, s in given
    ]
