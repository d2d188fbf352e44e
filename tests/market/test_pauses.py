"""Pauses of queues and clusters: nothing starts there until they end; what runs and what is sold goes on."""

import pytest

from broker.caller import Caller, Role
from broker.clock import ManualClock
from broker.errors import CityNotFound, ClusterNotFound, QueuePaused
from broker.lifecycle import Held, JobState
from broker.market.explain import Explain
from broker.market.pauses import Paused, Pauses
from broker.market.previews import PauseCity, Previews
from broker.store.database import Database
from tests.cluster_world import ClusterWorld, inventory
from tests.market.test_promises import Promising
from tests.market.test_rounds import POLICY, Table
from tests.quoting import Quoting, lay

OPERATOR = Caller("key-operator", Role.OPERATOR)
WHY = "budget under review"


class Office:
    """An operator who pauses and resumes in a table's world."""

    def __init__(self, table: Table | Quoting) -> None:
        self.world = table.world
        self.woken = 0
        self.pauses = Pauses(table.world.database, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def pause(
        self, what: Paused = Paused.QUEUE, name: str = "ganzhou", *, dry_run: bool = False
    ) -> tuple[bool, int]:
        done = await self.pauses.pause(OPERATOR, what, name, WHY, now=self.world.now, dry_run=dry_run)
        return done.changed, done.waiting

    async def resume(self, what: Paused = Paused.QUEUE, name: str = "ganzhou", *, dry_run: bool = False) -> bool:
        return (await self.pauses.resume(OPERATOR, what, name, now=self.world.now, dry_run=dry_run)).changed

    async def acts(self) -> list[tuple[str, str, str]]:
        async with self.world.database.hub() as tx:
            rows = await tx.fetch("SELECT act, subject, detail->>'reason' AS why FROM operator_acts ORDER BY act_id")
        return [(r["act"], r["subject"], r["why"]) for r in rows]


@pytest.fixture
async def table(database: Database) -> Table:
    table = Table(await ClusterWorld(database).lay())
    await table.world.attach("east", "one", inventory("n1", "n2"))
    return table


async def test_nothing_starts_from_a_paused_queue_and_its_jobs_say_so(table: Table) -> None:
    """The other city is served; jobs that come meanwhile wait as well; resumed, all start."""
    office = Office(table)
    before = await table.submit(cards_per_task=1)
    other = await table.submit("nanjing", cards_per_task=1)

    assert await office.pause() == (True, 1)
    told = (await table.world.job(before)).waiting_reason
    later = await table.submit(cards_per_task=1)
    await table.round()

    assert told == Held.QUEUE_PAUSED
    assert await table.world.state_of(other) is JobState.LEASED
    for job in (before, later):
        found = await table.world.job(job)
        assert (found.state, found.waiting_reason) == (JobState.PENDING, "QUEUE_PAUSED")

    assert await office.resume()
    assert (await table.world.job(before)).waiting_reason == ""
    await table.round()

    assert [await table.world.state_of(job) for job in (before, later)] == [JobState.LEASED] * 2
    assert office.woken == 2
    assert await office.acts() == [("pause", "ganzhou", WHY), ("resume", "ganzhou", WHY)]


async def test_a_paused_cluster_takes_no_new_work_and_keeps_what_it_has(table: Table) -> None:
    """Its nodes keep their modes: the one that was cordoned before is so afterwards."""
    office = Office(table)
    runs = await table.submit(cards_per_task=1)
    await table.round()
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned' WHERE node = 'n2'")

    assert await office.pause(Paused.CLUSTER, "east") == (True, 0)
    waits = await table.submit(cards_per_task=1)
    await table.round()

    assert await table.world.state_of(runs) is JobState.LEASED
    assert (await table.world.job(waits)).waiting_reason == "POOL_CLOSED"
    assert await office.resume(Paused.CLUSTER, "east")
    await table.round()
    assert await table.world.state_of(waits) is JobState.LEASED
    async with table.world.database.hub() as tx:
        assert await tx.fetchval("SELECT mode FROM nodes WHERE node = 'n2'") == "cordoned"


@pytest.mark.parametrize(("what", "name"), [(Paused.QUEUE, "ganzhou"), (Paused.CLUSTER, "east")])
async def test_a_round_that_was_planned_before_the_pause_commits_nothing(table: Table, what: Paused, name: str) -> None:
    job = await table.submit(cards_per_task=1)
    lead, planned = await table.lead(), await table.planned()

    await Office(table).pause(what, name)
    done = await table.commit(lead, *planned)

    assert (done.placed, done.stale) == (0, 1)
    assert await table.world.state_of(job) is JobState.PENDING


async def test_the_same_again_changes_nothing_and_a_dry_run_neither(table: Table) -> None:
    office = Office(table)
    await table.submit()

    assert await office.pause(dry_run=True) == (True, 1)
    assert await office.pauses.list() == []
    assert not await office.resume()
    assert (await office.pause())[0]
    assert not (await office.pause())[0]
    assert await office.resume(dry_run=True)
    [stands] = await office.pauses.list()

    assert (stands.what, stands.name, stands.reason, stands.paused_by) == ("queue", "ganzhou", WHY, "key-operator")
    assert await office.acts() == [("pause", "ganzhou", WHY)]


@pytest.mark.parametrize(("what", "error"), [(Paused.QUEUE, CityNotFound), (Paused.CLUSTER, ClusterNotFound)])
async def test_what_is_not_there_is_neither_paused_nor_resumed(
    table: Table, what: Paused, error: type[Exception]
) -> None:
    office = Office(table)

    with pytest.raises(error):
        await office.pause(what, "nowhere")
    with pytest.raises(error):
        await office.resume(what, "nowhere")


async def test_nothing_is_expected_of_a_paused_job(table: Table) -> None:
    """Neither is the forecast to learn from when it starts."""
    job = await table.submit()
    async with table.world.database.hub() as tx:
        await tx.execute(
            """INSERT INTO expected_starts (job_id, city, attempt, size, first_p50_at, first_p90_at, p50_at, p90_at)
               VALUES ($1, 'ganzhou', 0, 0, $2, $2, $2, $2)""",
            job,
            table.world.now,
        )
    assert (await table.world.job(job)).expected_start is not None

    await Office(table).pause()

    assert (await table.world.job(job)).expected_start is None
    async with table.world.database.hub() as tx:
        assert await tx.fetchval("SELECT count(*) FROM expected_starts") == 0


async def test_a_held_job_keeps_its_own_reason_until_it_is_let_go(table: Table) -> None:
    office = Office(table)
    first = await table.submit()
    second = await table.submit(after=(first,))

    await office.pause()

    assert (await table.world.job(first)).waiting_reason == "QUEUE_PAUSED"
    assert (await table.world.job(second)).waiting_reason == "UPSTREAM_RUNS"


async def test_a_promised_start_of_a_paused_queue_is_over(database: Database) -> None:
    """The next round tells that it is gone, and gives the nodes to others."""
    table = Promising(await ClusterWorld(database).lay())
    await table.world.attach("east", "one", inventory("n1", "n2"))
    await table.submit(cards_per_task=8, walltime_seconds=600)
    await table.round()
    gang = await table.submit(tasks=2, cards_per_task=8)
    await table.round()
    assert (await table.world.job(gang)).promised is not None

    await Office(table).pause()
    other = await table.submit("nanjing", cards_per_task=8, walltime_seconds=36_000)
    await table.round()

    assert (await table.world.job(gang)).promised is None
    assert await table.world.state_of(other) is JobState.LEASED
    async with database.hub() as tx:
        assert await tx.fetchval("SELECT fate FROM promise_history ORDER BY entry_id DESC LIMIT 1") == "gone"


async def test_an_accepted_quote_is_kept_and_no_other_is_made(database: Database) -> None:
    table = await lay(ClusterWorld(database))
    [quote] = await table.ask()
    bound = await table.accept(quote)
    [another] = await table.ask(cards_per_task=1)

    await Office(table).pause()
    with pytest.raises(QueuePaused, match=WHY):
        await table.ask()
    with pytest.raises(QueuePaused):
        await table.accept(another)
    await table.round()

    assert bound.quote.job is not None
    assert await table.world.state_of(bound.quote.job) is JobState.LEASED


async def test_an_explanation_says_who_paused_it_and_why(table: Table) -> None:
    job = await table.submit()
    await Office(table).pause()

    told = await Explain(table.world.database, POLICY, ManualClock(table.world.now))(OPERATOR, job)

    assert told.summary.startswith("Operators paused the queue of its city at ")
    assert f"({WHY})" in told.summary
    assert told.changes == ()


async def test_a_preview_of_a_pause_says_what_the_pause_then_does(table: Table) -> None:
    """One node for two jobs: without the richer city the other one starts."""
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned' WHERE node = 'n2'")
    rich = await table.submit("nanjing", cards_per_task=8)
    poor = await table.submit("ganzhou", cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=10**11)
    seen = await Previews(table.world.database, POLICY, jobs_max=100).preview(PauseCity("nanjing"), now=table.world.now)

    await Office(table).pause(Paused.QUEUE, "nanjing")
    await table.round()

    assert seen.outlook.starts == (f"job-{poor}",)
    assert seen.outlook.waits == (f"job-{rich}",)
    assert await table.world.state_of(poor) is JobState.LEASED
    assert await table.world.state_of(rich) is JobState.PENDING
