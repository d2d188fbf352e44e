"""Expected starts: told to what waits, counted once by what they were first, and learned from by whoever leads."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from broker import metrics
from broker.ids import JobId
from broker.job import Ending, ExpectedStart
from broker.lifecycle import EndReason, JobState
from broker.market.expecting import EXPECTED_SECONDS_MAX, STARTS_BY_WAITING, Told, to_look_at, what_came_true
from broker.market.lead import NotLeader
from broker.market.rounds import Rounds
from broker.store import expected_starts
from broker.store.database import Database
from broker.store.expected_starts import GivenStarts, Wait
from broker.store.leases import LeaseRef
from scheduler.forecast import Forecast, Outcome
from scheduler.reasons import Reason
from tests.cluster_world import START, ClusterWorld, ended, inventory, running
from tests.market.test_rounds import RICH, Table
from tests.small_world import asked

HOUR = 3600
NOW = int(START.timestamp())
IN_TIME, LATE = "in_time", "late"


class Expecting(Table):
    """A table whose rounds tell expected starts, over one node of eight cards; its agent reports on `session`."""

    async def open(self) -> "Expecting":
        self.session = await self.world.attach("east", "one", inventory("n1"))
        self.reports = 0
        return self

    async def tell(self, seconds: float = 0, holder: str = "me") -> Told:
        """A round so much later, and what it tells."""
        self.world.advance(seconds)
        lead = await self.lead(holder)
        prepared, decided = await self.planned()
        await self.commit(lead, prepared, decided)
        return await self.rounds.expect(lead, prepared, decided, self.world.now)

    async def blocked(self, **changes: object) -> tuple[JobId, JobId]:
        """A job on all eight cards for an hour, and one that waits for it."""
        first = await self.submit(cards_per_task=8, walltime_seconds=HOUR, grace_seconds=0)
        await self.tell()
        second = await self.submit(**{"cards_per_task": 8, "walltime_seconds": HOUR} | changes)
        return first, second

    async def ends(self, job: JobId, reason: EndReason = EndReason.COMPLETED) -> None:
        row = await self.world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1 ORDER BY epoch DESC", job)
        ref = LeaseRef(row["lease_id"], row["epoch"])
        for seen in (running(ref), ended(ref, Ending(reason))):
            self.reports += 1
            await self.world.report(self.session, self.reports, seen)

    async def seconds(self, job: JobId) -> tuple[int, int]:
        """Return in how many seconds the job is expected to start, P50 and P90, as it was told last."""
        found = (await self.world.job(job)).expected_start
        assert found is not None
        assert found.p50_at is not None
        return tuple(round((at - self.world.now).total_seconds()) for at in (found.p50_at, found.p90_at))  # type: ignore[return-value]

    async def given(self) -> GivenStarts:
        async with self.world.database.hub() as tx:
            return await expected_starts.read(tx)

    async def learned(self) -> str | None:
        async with self.world.database.hub() as tx:
            return await expected_starts.forecast(tx)


@pytest.fixture
async def table(database: Database) -> Expecting:
    return await Expecting(await ClusterWorld(database).lay()).open()


def counted() -> dict[tuple[str, str], float]:
    return {
        (quantile, outcome): metrics.EXPECTED_STARTS.labels(quantile, outcome)._value.get()
        for quantile in ("p50", "p90")
        for outcome in (IN_TIME, LATE)
    }


def since(before: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {key: value - before[key] for key, value in counted().items() if value != before[key]}


# What is told


async def test_what_waits_is_told_when_it_is_likely_to_start(table: Expecting) -> None:
    """By what runs ahead of it, times factors that nothing was learned for yet."""
    _, waiting = await table.blocked()

    told = await table.tell()

    p50_s, p90_s = await table.seconds(waiting)
    assert told.told == 1
    assert (p50_s, p90_s) == (pytest.approx(3900 / 2.718, rel=0.02), pytest.approx(3900 * 1.649, rel=0.02))


async def test_it_is_told_anew_only_when_a_person_would_notice(table: Expecting) -> None:
    """It slides as time passes and nothing ends: five per cent of the time left, and at least a minute."""
    _, waiting = await table.blocked()
    await table.tell()
    before = (await table.given()).p90_s
    little = [(await table.tell(20)).told for _ in range(3)]
    same = (await table.given()).p90_s

    more = await table.tell(600)

    assert little == [0, 0, 0]
    assert same == before
    assert more.told == 1
    assert (await table.given()).p90_s != before
    assert (await table.given()).first_p90_s == before
    assert (await table.world.job(waiting)).expected_start is not None


async def test_nothing_is_expected_of_what_no_waiting_starts(table: Expecting) -> None:
    """The owner asks for more than it offers: what it was given first stays, and it is told again when that has passed.

    What no pool could ever hold was never told anything.
    """
    _, waiting = await table.blocked()
    large = await table.submit(cards_per_task=8, tasks=3)
    await table.tell()
    first = await table.given()
    async with table.world.database.hub() as tx:
        for row in await tx.fetch("SELECT model FROM accelerator_models"):
            await asked(tx, "east", row["model"], 10**10)
    await table.tell(1)
    then = (await table.world.job(waiting)).expected_start
    given = await table.given()
    async with table.world.database.hub() as tx:
        for row in await tx.fetch("SELECT model FROM accelerator_models"):
            await asked(tx, "east", row["model"], 0, year=2021)

    await table.tell(1)

    assert (await table.world.job(large)).waiting_reason == Reason.GANG_TOO_LARGE
    assert (await table.world.job(large)).expected_start is None
    assert then is None
    assert (given.job, given.first_p90_s) == ((waiting,), first.first_p90_s)
    assert (await table.world.job(waiting)).expected_start is not None
    assert (await table.given()).first_p90_s == first.first_p90_s


async def test_what_is_years_away_is_not_told(table: Expecting) -> None:
    """All cards are taken for a year, by the walltime; and a factor that no calendar has room for breaks nothing."""
    await table.submit(cards_per_task=8, walltime_seconds=EXPECTED_SECONDS_MAX, grace_seconds=0)
    await table.tell()
    waiting = await table.submit(cards_per_task=8, walltime_seconds=HOUR)
    async with table.world.database.hub() as tx:
        beyond = Forecast(p50=(12.0,) * 4, p90=(12.0,) * 4)
        await expected_starts.keep_forecast(tx, beyond.to_json(), table.world.now)

    await table.tell()

    assert (await table.world.job(waiting)).expected_start is None
    assert EXPECTED_SECONDS_MAX == 365 * 24 * HOUR


async def test_a_factor_alone_silences_nobody(table: Expecting) -> None:
    """After an outage in which all were late: who waits for an hour of work is told a time, and teaches it better."""
    _, waiting = await table.blocked()
    async with table.world.database.hub() as tx:
        beyond = Forecast(p50=(12.0,) * 4, p90=(12.0,) * 4)
        await expected_starts.keep_forecast(tx, beyond.to_json(), table.world.now)

    await table.tell()

    assert (await table.world.job(waiting)).expected_start is not None


async def test_a_promised_job_is_told_its_promise_instead(table: Expecting) -> None:
    _, waiting = await table.blocked()
    await table.tell()
    told = (await table.world.job(waiting)).expected_start

    table.planned_by = replace(table.planned_by, promises_max=1)
    await table.tell(1)
    job = await table.world.job(waiting)

    assert told is not None
    assert job.promised is not None
    assert job.expected_start is None
    assert (await table.given()).job == (waiting,)


async def test_who_does_not_wait_is_not_told(table: Expecting) -> None:
    """Cancelled between two rounds: nothing is shown at once, the next round forgets it, and it counts for nothing."""
    before = counted()
    _, waiting = await table.blocked()
    await table.submit(cards_per_task=8)
    await table.tell()
    await table.world.cancel(waiting)

    job = await table.world.job(waiting)
    await table.tell(1)

    assert (job.state, job.expected_start) == (JobState.CANCELLED, None)
    assert waiting not in (await table.given()).job
    assert since(before) == {}


async def test_who_lost_the_lead_tells_and_learns_nothing(table: Expecting) -> None:
    await table.blocked()
    lead = await table.lead()
    prepared, decided = await table.planned()
    table.world.advance(6)
    await table.lead("new")

    with pytest.raises(NotLeader):
        await table.rounds.expect(lead, prepared, decided, table.world.now)

    assert (await table.given()).job == ()


# What is learned


async def test_who_starts_by_then_counts_as_in_time(table: Expecting) -> None:
    before = counted()
    first, waiting = await table.blocked()
    await table.tell()
    await table.ends(first)

    told = await table.tell(60)

    assert await table.world.state_of(waiting) is JobState.LEASED
    assert told.learned == 2
    assert since(before) == {("p50", IN_TIME): 1, ("p90", IN_TIME): 1}
    assert (await table.given()).job == ()
    learned = Forecast().learned([Outcome(1, "p50", False), Outcome(1, "p90", False)])
    assert await table.learned() == learned.to_json()


async def test_who_still_waits_then_counts_as_late_once(table: Expecting) -> None:
    """By what it was given first, whatever it was told since; when it starts at last, it does not count again."""
    before = counted()
    first, waiting = await table.blocked()
    await table.tell()
    p50_s, p90_s = await table.seconds(waiting)
    learned = [(await table.tell(seconds)).learned for seconds in (p50_s, 1, 1, p90_s - p50_s - 2, 1, 1)]
    late = since(before)
    await table.ends(first)

    last = await table.tell(1)

    assert learned == [0, 1, 0, 0, 1, 0]
    assert late == {("p50", LATE): 1, ("p90", LATE): 1}
    assert await table.world.state_of(waiting) is JobState.LEASED
    assert last.learned == 0
    assert since(before) == late
    assert (await table.given()).job == ()


async def test_a_start_that_no_round_saw_counts_by_when_it_was(table: Expecting) -> None:
    """The broker was killed after the commit: the next one finds the lease, and when it was made."""
    before = counted()
    first, waiting = await table.blocked()
    await table.tell()
    await table.ends(first)
    table.world.advance(60)
    await table.round()
    table.world.advance(10 * HOUR)
    await table.submit(cards_per_task=8)

    await table.tell(holder="new")

    assert since(before) == {("p50", IN_TIME): 1, ("p90", IN_TIME): 1}
    assert waiting not in (await table.given()).job


async def test_each_wait_is_given_its_own(table: Expecting) -> None:
    """Leased, lost, and waits again, all unseen by rounds: the second wait is told, and counted, by itself."""
    before = counted()
    first, waiting = await table.blocked(attempts_max=3, ceiling_micro_yuan_per_pflops_hour=RICH // 2)
    await table.tell()
    one = await table.given()
    await table.ends(first)
    await table.round()  # and the broker is killed
    await table.ends(waiting, EndReason.LOST)
    shown = (await table.world.job(waiting)).expected_start
    await table.submit(cards_per_task=8, walltime_seconds=HOUR)

    await table.tell(900)
    two = await table.given()
    await table.tell(one.first_p50_s[0] - int(table.world.now.timestamp()) + 1)

    assert await table.world.state_of(waiting) is JobState.PENDING
    assert shown is None
    assert two.job == (waiting,)
    assert two.first_p50_s > one.first_p50_s
    assert since(before) == {}


async def test_a_new_leader_goes_on_where_the_last_one_ended(table: Expecting) -> None:
    """Nothing is kept in a process: other use cases, of another broker, read what was told and learned."""
    first, waiting = await table.blocked()
    await table.tell()
    p50_s, _ = await table.seconds(waiting)
    await table.tell(p50_s + 1)
    learned, given = await table.learned(), await table.given()
    table.rounds = Rounds(
        table.world.database, jobs_max=1000, records_kept=2, wake_cluster=lambda _: None, remember=lambda _: None
    )

    again = await table.tell(10, holder="another")
    await table.ends(first)
    await table.tell(1, holder="another")

    assert given.late_p50 == (True,)
    assert (again.told, again.learned) == (0, 0)
    assert learned is not None
    assert await table.learned() == Forecast.from_json(learned).learned([Outcome(1, "p90", False)]).to_json()


@pytest.mark.parametrize("damaged", ["", "{}", '{"p50": [1], "p90": [1]}', "\u00e9" * 9_999])
async def test_what_cannot_be_read_is_begun_anew(table: Expecting, damaged: str) -> None:
    first, waiting = await table.blocked()
    await table.tell()
    async with table.world.database.hub() as tx:
        await expected_starts.keep_forecast(tx, damaged, table.world.now)
    await table.ends(first)

    await table.tell(60)

    assert await table.world.state_of(waiting) is JobState.LEASED
    learned = Forecast().learned([Outcome(1, "p50", False), Outcome(1, "p90", False)])
    assert await table.learned() == learned.to_json()


async def test_a_class_of_size_of_another_release_is_left_out(table: Expecting) -> None:
    first, _ = await table.blocked()
    await table.tell()
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE expected_starts SET size = 99")
    await table.ends(first)

    await table.tell(60)

    assert await table.learned() == Forecast().to_json()


# Pure


def given(job: int = 1, p50_s: int = NOW + 10, p90_s: int = NOW + 20, *, late: tuple[bool, bool]) -> GivenStarts:
    return GivenStarts((job,), (2,), (p50_s,), (p90_s,), (p50_s,), (p90_s,), (late[0],), (late[1],))


@pytest.mark.parametrize(
    ("waits", "started_s", "late", "now_s", "told"),
    [
        (True, None, (False, False), NOW + 10, []),  # by then is in time
        (True, None, (False, False), NOW + 11, [("p50", True)]),
        (True, None, (True, False), NOW + 20, []),
        (True, None, (False, False), NOW + 21, [("p50", True), ("p90", True)]),
        (False, NOW + 10, (False, False), NOW + 99, [("p50", False), ("p90", False)]),
        (False, NOW + 11, (False, False), NOW + 99, [("p50", True), ("p90", False)]),
        (False, NOW + 11, (True, False), NOW + 99, [("p90", False)]),
        (False, NOW + 21, (True, True), NOW + 99, []),
        (False, None, (False, False), NOW + 99, []),
    ],
)
def test_each_quantile_comes_true_once(
    waits: bool, started_s: int | None, late: tuple[bool, bool], now_s: int, told: list[tuple[str, bool]]
) -> None:
    found = what_came_true(given(late=late), {JobId(1): Wait(waits, started_s)}, now_s)

    assert [(each.quantile, each.late) for each in found.outcomes] == told
    assert {each.size for each in found.outcomes} <= {2}
    assert found.ended == ([] if waits else [1])
    assert (found.late_p50 == [1]) == (waits and ("p50", True) in told)
    assert (found.late_p90 == [1]) == (waits and ("p90", True) in told)


@pytest.mark.parametrize(
    ("waiting", "late", "now_s", "asked"),
    [
        ([1], (False, False), NOW, []),
        ([], (False, False), NOW, [1]),
        ([2], (True, True), NOW, [1]),
        ([0, 1, 2], (False, False), NOW + 11, [1]),
        ([1], (True, False), NOW + 11, []),
        ([1], (True, False), NOW + 21, [1]),
        ([1], (True, True), NOW + 99, []),
    ],
)
def test_looked_at_is_what_may_have_ended_or_been_late(
    waiting: list[int], late: tuple[bool, bool], now_s: int, asked: list[int]
) -> None:
    assert to_look_at(given(late=late), np.array(waiting, dtype=np.int64), now_s) == asked


def test_what_has_passed_is_not_shown() -> None:
    p50_at, p90_at = START + timedelta(seconds=10), START + timedelta(seconds=20)
    told = ExpectedStart(p50_at, p90_at)

    assert told.ahead(START) == told
    assert told.ahead(p50_at) == ExpectedStart(None, p90_at)
    assert told.ahead(p90_at) is None


def test_each_reason_either_passes_with_time_or_needs_somebody() -> None:
    """A new reason has to be put on one side."""
    somebody = {
        Reason.NO_MATCHING_MODEL, Reason.MODEL_WITHOUT_FIGURE, Reason.DOMESTIC_ONLY, Reason.OWNER_NOT_ALLOWED,
        Reason.CARD_NOT_SHARED, Reason.HUB_NOT_ALLOWED, Reason.ROUND_TRIP_TOO_LONG, Reason.TRANSFER_TOO_LONG,
        Reason.TOO_LATE, Reason.PRICE_BELOW_ASK, Reason.GANG_TOO_LARGE, Reason.POOL_CLOSED,
    }  # fmt: skip

    assert STARTS_BY_WAITING | somebody == set(Reason) - {Reason.CHOSEN, Reason.BETTER_ELSEWHERE}
    assert not STARTS_BY_WAITING & somebody
