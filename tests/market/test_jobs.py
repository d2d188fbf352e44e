"""The use cases of jobs: who may do what, limits that hold to the last job, answers item by item."""

import asyncio
import time
from collections import Counter
from datetime import timedelta

import asyncpg
import pytest

from broker.caller import Caller, Role
from broker.errors import (
    BrokerError,
    CityNotFound,
    DatabaseUnavailable,
    IdempotencyConflict,
    InvalidRequest,
    JobNotFound,
    NoPoolCanHold,
    RoleRefused,
    TooManyPending,
)
from broker.ids import JobId, job_text
from broker.job import Build, JobSpec, PriorityClass
from broker.lifecycle import JobState
from broker.market.catalogue import Catalogues
from broker.market.jobs import PAGE_JOBS, Jobs, Receipt
from broker.store import submissions
from broker.store.database import Database
from broker.store.jobs import CancelledSet
from tests.deadlines import eventually
from tests.small_world import (
    AGENT,
    GANZHOU,
    NANJING,
    OBSERVER,
    OPERATOR,
    T0,
    a_spec,
    brought_to,
    is_blocked,
    lay_out,
    placed,
    told,
)


class Desk:
    """The use cases over a small world, and what they told others."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.woken = 0
        self.stop_wanted: list[str] = []
        self.jobs = self.another()

    def another(self) -> Jobs:
        """The same in another broker process: nothing is shared but the database."""
        return Jobs(self.database, Catalogues(self.database), wake=self._wake, stop_wanted=self.stop_wanted.append)

    def _wake(self) -> None:
        self.woken += 1

    async def submit(self, *keys: str, caller: Caller = GANZHOU, **changes: object) -> list[JobId]:
        outcomes = await self.jobs.submit_many(caller, "", [(k, a_spec(**changes)) for k in keys], T0)
        assert all(isinstance(o, Receipt) for o in outcomes)
        return [o.job for o in outcomes if isinstance(o, Receipt)]

    async def limit(self, city: str, pending_jobs_max: int) -> None:
        async with self.database.hub() as tx:
            await tx.execute("UPDATE cities SET pending_jobs_max = $2 WHERE city = $1", city, pending_jobs_max)

    async def pending(self, city: str) -> int:
        async with self.database.city(city) as tx:
            return (await submissions.count_pending(tx, city)).pending


@pytest.fixture
async def desk(database: Database) -> Desk:
    return Desk(await lay_out(database))


async def test_a_submission_is_stored_and_wakes_the_round(desk: Desk) -> None:
    receipt = await desk.jobs.submit(GANZHOU, "", "k", a_spec(), T0)
    again = await desk.jobs.submit(GANZHOU, "ganzhou", "k", a_spec(), T0)

    assert again == Receipt(receipt.job, duplicate=True)
    assert (await desk.jobs.get(GANZHOU, receipt.job)).spec == a_spec()
    assert desk.woken == 1


async def test_a_key_used_for_another_body_is_refused_with_the_fields(desk: Desk) -> None:
    [job] = await desk.submit("k")

    with pytest.raises(IdempotencyConflict) as refused:
        await desk.jobs.submit(GANZHOU, "", "k", a_spec(tasks=2, walltime_seconds=1), T0)

    assert [p.field for p in refused.value.fields] == ["spec.tasks", "spec.walltime_seconds"]
    assert refused.value.metadata["job"] == job_text(job)


async def test_a_repeat_is_known_after_the_standard_ceiling_of_the_city_has_changed(desk: Desk) -> None:
    """The ceiling that counts stays the one of the day on which the job was submitted."""
    [job] = await desk.submit("k", ceiling_micro_yuan_per_pflops_hour=0)
    async with desk.database.hub() as tx:
        await tx.execute("UPDATE cities SET ceiling_micro_yuan_per_pflops_hour = 1 WHERE city = 'ganzhou'")

    again = await desk.another().submit(GANZHOU, "", "k", a_spec(ceiling_micro_yuan_per_pflops_hour=0), T0)

    assert again == Receipt(job, duplicate=True)
    assert (await desk.jobs.get(GANZHOU, job)).spec.ceiling_micro_yuan_per_pflops_hour == 20_000_000


async def test_a_repeat_is_known_after_its_start_by_has_passed(desk: Desk) -> None:
    """Whoever got no answer asks again, however late; what is new or differs is refused as ever."""
    due = {"start_by": T0 + timedelta(seconds=60)}
    later = T0 + timedelta(seconds=60)
    [job] = await desk.submit("k", **due)

    known, new, other = await desk.jobs.submit_many(
        GANZHOU, "", [("k", a_spec(**due)), ("new", a_spec(**due)), ("k", a_spec(tasks=2, **due))], later
    )

    assert known == Receipt(job, duplicate=True)
    assert isinstance(new, InvalidRequest)
    assert [p.field for p in new.fields] == ["spec.start_by"]
    assert isinstance(other, IdempotencyConflict)
    assert [p.field for p in other.fields] == ["spec.tasks"]


async def test_a_repeat_is_known_after_the_pools_that_could_hold_it_are_gone(desk: Desk) -> None:
    [job] = await desk.submit("k", tasks=32)
    async with desk.database.hub() as tx:
        await tx.execute("UPDATE nodes SET cards = 1")
    later = desk.another()

    assert await later.submit(GANZHOU, "", "k", a_spec(tasks=32), T0) == Receipt(job, duplicate=True)
    with pytest.raises(NoPoolCanHold):
        await later.submit(GANZHOU, "", "new", a_spec(tasks=32), T0)


async def test_every_item_of_a_batch_has_its_own_answer_in_order(desk: Desk) -> None:
    await desk.submit("used")
    items = [
        ("a", a_spec()),
        ("b", a_spec(builds=(Build("cuda", ("x",), ("a900",)),))),
        ("used", a_spec(tasks=3)),
        ("c", a_spec(tasks=99)),
        ("a", a_spec()),
        ("d", a_spec(priority=PriorityClass.EMERGENCY)),
        ("e", a_spec()),
    ]

    outcomes = await desk.jobs.submit_many(GANZHOU, "", items, T0)

    assert [type(o) for o in outcomes] == [
        Receipt,
        InvalidRequest,
        IdempotencyConflict,
        NoPoolCanHold,
        Receipt,
        RoleRefused,
        Receipt,
    ]
    assert outcomes[4] == Receipt(outcomes[0].job, duplicate=True)  # type: ignore[union-attr]
    assert await desk.pending("ganzhou") == 3


@pytest.mark.parametrize(
    ("caller", "city", "error"),
    [
        (GANZHOU, "nanjing", RoleRefused),
        (OPERATOR, "", InvalidRequest),
        (OPERATOR, "atlantis", CityNotFound),
        (Caller("k", Role.CITY, "atlantis"), "", CityNotFound),
        (OBSERVER, "ganzhou", RoleRefused),
        (AGENT, "ganzhou", RoleRefused),
    ],
)
async def test_who_may_submit_for_whom(desk: Desk, caller: Caller, city: str, error: type[BrokerError]) -> None:
    with pytest.raises(error):
        await desk.jobs.submit(caller, city, "k", a_spec(), T0)

    assert await desk.pending("ganzhou") == 0


async def test_an_operator_submits_for_any_city_and_alone_gives_emergency(desk: Desk) -> None:
    receipt = await desk.jobs.submit(OPERATOR, "nanjing", "k", a_spec(priority=PriorityClass.EMERGENCY), T0)

    assert (await desk.jobs.get(NANJING, receipt.job)).spec.priority is PriorityClass.EMERGENCY


async def test_others_see_a_job_only_as_their_key_allows(desk: Desk) -> None:
    [job] = await desk.submit("k")

    assert (await desk.jobs.get(OPERATOR, job)) == (await desk.jobs.get(OBSERVER, job))
    with pytest.raises(JobNotFound):
        await desk.jobs.get(NANJING, job)
    with pytest.raises(RoleRefused):
        await desk.jobs.get(AGENT, job)
    with pytest.raises(JobNotFound):
        await desk.jobs.cancel(NANJING, job, T0)
    with pytest.raises(RoleRefused):
        await desk.jobs.cancel(OBSERVER, job, T0)
    with pytest.raises(RoleRefused):
        await desk.jobs.update_priority(OBSERVER, job, PriorityClass.URGENT, T0)
    assert await told(desk.database, job) == ["submitted"]


async def test_a_job_is_never_refused_by_a_catalogue_that_has_changed_since(database: Database) -> None:
    """What is cached for an hour may accept; before it refuses, it is read again."""
    world = await lay_out(database, clusters=False)
    catalogues = Catalogues(world, fresh_seconds=3600)
    jobs = Jobs(world, catalogues, wake=lambda: None, stop_wanted=lambda _: None)
    await jobs.submit(GANZHOU, "", "a", a_spec(), T0)
    async with world.hub() as tx:
        await tx.execute("INSERT INTO accelerator_models VALUES ('x1', 'X', 'xstack', 'domestic', 0, 1, 0, 0, 0, 't')")

    async def is_accepted() -> bool:
        [outcome] = await jobs.submit_many(GANZHOU, "", [("b", a_spec(builds=(Build("xstack", ("r",)),)))], T0)
        return isinstance(outcome, Receipt)

    await eventually(is_accepted)
    assert "xstack" in (await catalogues.current()).view.stack_of_model.values()


async def test_the_limit_refuses_what_is_beyond_it_item_by_item(desk: Desk) -> None:
    await desk.limit("ganzhou", 3)
    await desk.submit("a")

    items = [(k, a_spec()) for k in ("b", "a", "c", "d", "b", "e", "d")]
    outcomes = await desk.jobs.submit_many(GANZHOU, "", items, T0)

    assert [type(o) for o in outcomes] == [
        Receipt,
        Receipt,
        Receipt,
        TooManyPending,
        Receipt,
        TooManyPending,
        TooManyPending,
    ]
    refused = outcomes[3]
    assert isinstance(refused, TooManyPending)
    assert refused.metadata == {"city": "ganzhou", "pending": "3", "pending_jobs_max": "3"}
    assert refused.retry_after_seconds is not None
    assert await desk.pending("ganzhou") == 3


async def test_the_limit_holds_to_the_job_among_processes_that_submit_at_once(desk: Desk) -> None:
    """Twelve processes, unary calls and batches, repeated keys among them: exactly the limit is stored."""
    await desk.limit("ganzhou", 100)
    desks = [desk.another() for _ in range(12)]

    async def unary(jobs: Jobs, key: str) -> Receipt | BrokerError:
        try:
            return await jobs.submit(GANZHOU, "", key, a_spec(), T0)
        except TooManyPending as error:
            return error

    calls = [unary(d, f"u-{n}-{i // 2}") for n, d in enumerate(desks) for i in range(10)]
    batches = [
        d.submit_many(GANZHOU, "", [(f"b-{n}-{i}", a_spec()) for i in range(15)], T0) for n, d in enumerate(desks)
    ]
    single, many = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*batches))

    outcomes = [*single, *(o for batch in many for o in batch)]
    assert await desk.pending("ganzhou") == 100
    assert len({o.job for o in outcomes if isinstance(o, Receipt)}) == 100
    assert Counter(type(o) for o in outcomes)[Receipt] == sum(isinstance(o, Receipt) for o in outcomes)
    assert all(isinstance(o, Receipt | TooManyPending) for o in outcomes)


async def test_the_limit_holds_when_another_process_fills_the_queue_meanwhile(desk: Desk) -> None:
    """A count that is carried on takes in what others have stored since."""
    await desk.limit("ganzhou", 40)
    other = desk.another()
    await desk.submit("a")  # counts, well below half of the limit

    outcomes: list[Receipt | BrokerError] = []
    for n in range(10):
        for jobs in (other, desk.jobs):
            outcomes += await jobs.submit_many(GANZHOU, "", [(f"{n}-{id(jobs)}-{i}", a_spec()) for i in range(3)], T0)

    assert sum(isinstance(o, Receipt) for o in outcomes) == 39
    assert await desk.pending("ganzhou") == 40


async def test_calls_that_arrive_meanwhile_share_a_transaction(desk: Desk) -> None:
    """While one transaction waits, forty calls gather; the next transaction stores them all."""
    await desk.submit("first")
    async with desk.database.city("ganzhou") as tx:
        await submissions.lock_submissions(tx, "ganzhou")
        calls = [asyncio.create_task(desk.jobs.submit(GANZHOU, "", f"k{n}", a_spec(), T0)) for n in range(41)]
        await eventually(lambda: is_blocked(desk.database))
    receipts = await asyncio.gather(*calls)

    assert len({r.job for r in receipts}) == 41
    async with desk.database.hub() as tx:
        transactions = await tx.fetchval("SELECT count(DISTINCT xmin::text) FROM jobs")
    assert transactions <= 4  # the first job, whoever came first, and at most two groups


async def test_a_call_that_is_given_up_does_not_disturb_the_others_of_its_group(desk: Desk) -> None:
    async with desk.database.city("ganzhou") as tx:
        await submissions.lock_submissions(tx, "ganzhou")
        calls = [asyncio.create_task(desk.jobs.submit(GANZHOU, "", f"k{n}", a_spec(), T0)) for n in range(5)]
        await eventually(lambda: is_blocked(desk.database))
        calls[2].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(r) for r in results] == [Receipt, Receipt, asyncio.CancelledError, Receipt, Receipt]


async def test_a_connection_that_breaks_refuses_its_group_and_the_same_keys_can_be_sent_again(
    desk: Desk, superuser: asyncpg.Connection
) -> None:
    async with desk.database.city("ganzhou") as tx:
        await submissions.lock_submissions(tx, "ganzhou")
        calls = [asyncio.create_task(desk.jobs.submit(GANZHOU, "", f"k{n}", a_spec(), T0)) for n in range(5)]
        await eventually(lambda: is_blocked(desk.database))
        name = await tx.fetchval("SELECT current_database()")
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'",
            name,
        )
    answers = await asyncio.gather(*calls, return_exceptions=True)
    again = [await desk.jobs.submit(GANZHOU, "", f"k{n}", a_spec(), T0) for n in range(5)]

    assert isinstance(answers[0], DatabaseUnavailable)
    assert all(isinstance(a, DatabaseUnavailable | Receipt) for a in answers)
    assert [r.duplicate for r in again] == [isinstance(a, Receipt) for a in answers]
    assert await desk.pending("ganzhou") == 5


async def test_one_draft_that_the_database_cannot_take_does_not_take_others_with_it(desk: Desk) -> None:
    """PostgreSQL's JSON has no NUL; the conversion layer refuses it, and were it to fail, only that call suffers."""
    async with desk.database.city("ganzhou") as tx:
        await submissions.lock_submissions(tx, "ganzhou")
        calls = [
            asyncio.create_task(desk.jobs.submit(GANZHOU, "", f"k{n}", a_spec(name="bad\0" if n == 2 else "good"), T0))
            for n in range(5)
        ]
        await eventually(lambda: is_blocked(desk.database))
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(r, Receipt) for r in results] == [True, True, False, True, True]
    assert await desk.pending("ganzhou") == 4


async def test_pages_go_through_all_jobs_once(desk: Desk) -> None:
    ids = await desk.submit(*(f"k{n}" for n in range(7)))
    await desk.submit("other", caller=NANJING)

    seen: list[JobId] = []
    token = ""
    while True:
        page = await desk.jobs.list_page(GANZHOU, page_size=3, page_token=token)
        seen += [j.job for j in page.jobs]
        token = page.next_page_token
        if not token:
            break

    assert seen == ids[::-1]
    assert len((await desk.jobs.list_page(OPERATOR, page_size=0)).jobs) == 8 <= PAGE_JOBS
    assert len((await desk.jobs.list_page(OBSERVER, city="nanjing")).jobs) == 1


async def test_large_jobs_make_pages_short_and_none_is_left_out(desk: Desk) -> None:
    """Whoever makes many large jobs and asks for all of them at once would else fill the broker's memory."""
    large = a_spec(builds=(Build("cann", ("run", "x" * 60_000), environment={"A": "y" * 120_000}),))
    made = await desk.jobs.submit_many(GANZHOU, "", [(f"k{n}", large) for n in range(230)], T0)

    pages = []
    token = ""
    while True:
        page = await desk.jobs.list_page(GANZHOU, page_size=1000, page_token=token)
        pages.append([j.job for j in page.jobs])
        token = page.next_page_token
        if not token:
            break

    assert [len(page) for page in pages] == [100, 100, 30]
    assert [job for page in pages for job in page] == [r.job for r in made if isinstance(r, Receipt)][::-1]


async def test_a_last_page_that_is_full_has_no_next(desk: Desk) -> None:
    await desk.submit("a", "b")

    assert (await desk.jobs.list_page(GANZHOU, page_size=2)).next_page_token == ""


@pytest.mark.parametrize("token", ["x", "before-0", "before--1", "before-1x", "before-" + "9" * 30, "before-１"])
async def test_a_page_token_that_we_never_gave_is_refused(desk: Desk, token: str) -> None:
    with pytest.raises(InvalidRequest, match="page_token"):
        await desk.jobs.list_page(GANZHOU, page_token=token)


async def test_a_page_has_a_size_limit_and_a_city_lists_only_itself(desk: Desk) -> None:
    with pytest.raises(InvalidRequest, match="page_size"):
        await desk.jobs.list_page(GANZHOU, page_size=1001)
    with pytest.raises(RoleRefused):
        await desk.jobs.list_page(GANZHOU, city="nanjing")


async def test_cancelling_a_placed_job_tells_its_cluster_and_a_waiting_one_nobody(desk: Desk) -> None:
    waiting, running = await desk.submit("a", "b")
    await placed(desk.database, running)

    cancelled = await desk.jobs.cancel(GANZHOU, waiting, T0)
    asked = await desk.jobs.cancel(OPERATOR, running, T0)

    assert (cancelled.state, asked.state, asked.cancel_requested_at) == (JobState.CANCELLED, JobState.LEASED, T0)
    assert desk.stop_wanted == ["longdong"]


async def test_a_set_is_cancelled_whole_and_a_dry_run_only_counts(desk: Desk) -> None:
    ids = await desk.submit("a", "b", "c", job_set="night")
    await desk.submit("d", job_set="day")
    await brought_to(desk.database, ids[0], JobState.RUNNING)

    preview = await desk.jobs.cancel_set(GANZHOU, "", "night", T0, dry_run=True)
    foreign = await desk.jobs.cancel_set(NANJING, "", "night", T0)
    done = await desk.jobs.cancel_set(OPERATOR, "ganzhou", "night", T0)
    again = await desk.jobs.cancel_set(GANZHOU, "", "night", T0)

    assert (preview.cancelled, preview.cancel_requested) == (done.cancelled, done.cancel_requested) == (2, 1)
    assert foreign == again == CancelledSet(0, 0)
    assert desk.stop_wanted == ["longdong"]
    assert await desk.pending("ganzhou") == 1


async def test_a_set_must_be_named(desk: Desk) -> None:
    with pytest.raises(InvalidRequest, match="job_set"):
        await desk.jobs.cancel_set(GANZHOU, "", "", T0)
    with pytest.raises(InvalidRequest, match="city"):
        await desk.jobs.cancel_set(OPERATOR, "", "night", T0)


async def test_a_city_changes_priorities_but_not_to_emergency(desk: Desk) -> None:
    [job] = await desk.submit("k")

    changed = await desk.jobs.update_priority(GANZHOU, job, PriorityClass.URGENT, T0)
    with pytest.raises(RoleRefused, match="emergency"):
        await desk.jobs.update_priority(GANZHOU, job, PriorityClass.EMERGENCY, T0)
    raised = await desk.jobs.update_priority(OPERATOR, job, PriorityClass.EMERGENCY, T0 + timedelta(seconds=1))

    assert (changed.spec.priority, raised.spec.priority) == (PriorityClass.URGENT, PriorityClass.EMERGENCY)


async def test_five_thousand_jobs_are_stored_in_seconds(desk: Desk) -> None:
    """Ten batches as a stream sends them; the bound is far above what it takes, so that a busy machine passes."""
    specs: list[tuple[str, JobSpec]] = [
        (f"k{n}", a_spec(name=f"job {n}", tasks=1 + n % 4, walltime_seconds=60 + n)) for n in range(5000)
    ]

    began = time.perf_counter()
    outcomes: list[Receipt | BrokerError] = []
    for start in range(0, len(specs), 500):
        outcomes += await desk.jobs.submit_many(GANZHOU, "", specs[start : start + 500], T0)
    seconds = time.perf_counter() - began

    print(f"{len(specs) / seconds:,.0f} jobs/s")
    assert len({o.job for o in outcomes if isinstance(o, Receipt)}) == 5000
    assert seconds < 15


async def test_the_way_of_the_input_counts_to_a_deadline(desk: Desk) -> None:
    """As the catalogue has it now: 1024 s for 100 GiB; the city that has no such way may hope."""
    async with desk.database.hub() as tx:
        await tx.execute("INSERT INTO transfers VALUES ('ganzhou', 'qingyang', 100, 0, 'test')")
    spec = a_spec(input_gib=100, finish_by=T0 + timedelta(seconds=3600 + 1023))

    with pytest.raises(InvalidRequest) as refused:
        await desk.jobs.submit(GANZHOU, "", "k", spec, T0)
    hoping = await desk.jobs.submit(NANJING, "", "k", spec, T0)

    assert [p.field for p in refused.value.fields] == ["spec.finish_by"]
    assert "2026-03-01T09:17:04+00:00" in refused.value.fields[0].description
    assert not hoping.duplicate
