"""Jobs that prefer green hours: what they wait for, and that rounds let them in when it has come."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.caller import Caller, Role
from broker.clock import ManualClock
from broker.ids import JobId
from broker.job import GreenPreference, Job, PriorityClass
from broker.lifecycle import Held
from broker.loops.green import GreenLoop
from broker.loops.release import Release
from broker.market.catalogue import Catalogues
from broker.market.explain import Explain
from broker.market.green import GreenWaits, Place, limit_of, waits_until
from broker.market.jobs import Jobs
from broker.market.rates import Rates
from broker.store import jobs, snapshots
from broker.store.database import Database
from broker.worlds.rates import Curve, RateCard
from scheduler.policy import Policy
from tests.small_world import OPERATOR, T0, a_spec, lay_out

HOUR = timedelta(hours=1)
DAY = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)  # midnight in Qingyang
FIVE = 50_000  # five per cent
GANZHOU = Caller("key", Role.CITY, "ganzhou")
PREFER = {"green": GreenPreference.PREFER}


def a_place(asks: int, green: int, hours: tuple[int, ...] = (12, 13), milli_tflops: int = 1_000_000) -> Place:
    curve = Curve((asks,) * 24, (green,) * 24)
    return Place(hours, [RateCard("a", "m", 1, curve, datetime(2020, 1, 1, tzinfo=UTC), None, "", DAY)], milli_tflops)


def hour_waited_for(*places: Place, begin: float = 8, patience: float = 24, saving_ppm: int = FIVE) -> float | None:
    """Return the hour of the day that a job waits for which may start at an hour of the day."""
    start = DAY + begin * HOUR
    found = waits_until(start, start + patience * HOUR, [(place, 1_000_000) for place in places], saving_ppm)
    return None if found is None else (found - DAY) / HOUR


def test_a_job_waits_for_the_first_green_hour_that_saves_enough() -> None:
    assert hour_waited_for(a_place(100, 95)) == 12
    assert hour_waited_for(a_place(100, 96)) is None
    assert hour_waited_for(a_place(100, 100), saving_ppm=0) == 12


def test_it_does_not_wait_where_it_is_green_already_or_nothing_is_asked() -> None:
    assert hour_waited_for(a_place(100, 50), begin=12.5) is None
    assert hour_waited_for(a_place(100, 50), begin=14.5) == 24 + 12
    assert hour_waited_for(a_place(0, 0)) is None
    assert hour_waited_for() is None
    assert hour_waited_for(Place((12,), [], 1)) is None  # no rate card yet


def test_patience_ends_before_an_hour_that_is_too_far() -> None:
    assert hour_waited_for(a_place(100, 50), patience=3.99) is None
    assert hour_waited_for(a_place(100, 50), patience=4) == 12


def test_the_cheapest_place_of_now_is_compared_with_the_cheapest_green_one_of_then() -> None:
    """Per PFLOPS: a card that is half as fast and half as dear costs the same."""
    dear, cheap = a_place(200, 150), a_place(100, 100, hours=())
    slow = a_place(50, 40, hours=(15,), milli_tflops=500_000)

    assert hour_waited_for(dear, cheap) is None
    assert hour_waited_for(dear, cheap, slow) == 15


def test_a_rate_card_to_come_is_known() -> None:
    place = a_place(100, 95)
    later = RateCard("a", "m", 2, Curve.flat(100), DAY + 10 * HOUR, None, "", DAY)
    cards = [*place.cards, later]

    assert hour_waited_for(Place((12,), cards, 1_000_000)) is None


@given(patience=st.floats(0, 100), left=st.floats(0, 100), begin=st.floats(0, 24))
def test_nobody_waits_for_more_than_half_of_what_is_left(patience: float, left: float, begin: float) -> None:
    start = DAY + begin * HOUR
    spec = a_spec(start_by=start + left * HOUR, **PREFER)

    limit = limit_of(spec, start, patience * HOUR)
    found = waits_until(start, limit, [(a_place(100, 10), 1_000_000)], FIVE)

    assert limit <= start + patience * HOUR
    assert found is None or found - start <= left * HOUR / 2 + timedelta(microseconds=1)


class Noon:
    """A small world at four in the afternoon, green at noon: half the price. Jobs come in as cities submit them."""

    def __init__(self, database: Database) -> None:
        self.database, self.now, self.woken = database, T0, 0
        self.rates = Rates(database, wake=lambda: None)
        self.clock = ManualClock(T0)
        self.waits = self._new_waits()
        self._keys = 0

    def _new_waits(self) -> GreenWaits:
        catalogues = Catalogues(self.database, fresh_seconds=0)
        return GreenWaits(self.database, catalogues, 24, 5)

    async def rate(self, text: str) -> None:
        document = f"rate_cards: [{{cluster: longdong, model: ascend-910b, {text}}}]"
        await self.rates.set(OPERATOR, document, now=self.now)

    async def submit(self, **changes: Any) -> JobId:
        self._keys += 1
        catalogues = Catalogues(self.database, fresh_seconds=0)
        use = Jobs(self.database, catalogues, wake=lambda: None, stop_wanted=lambda _: None, green=self.waits)
        return (await use.submit(GANZHOU, "", f"k{self._keys}", a_spec(**changes), self.now)).job

    async def job(self, job: JobId) -> Job:
        async with self.database.hub() as tx:
            return await jobs.get(tx, job)

    async def seen_by_rounds(self) -> list[JobId]:
        async with self.database.hub() as tx:
            return [each.job for each in (await snapshots.read(tx, self.now, 100)).waiting]

    async def passes(self, hours: float) -> None:
        self.now += hours * HOUR
        await Release(self.database, wake=lambda: None).run_once(self.now)

    async def look_again(self) -> int:
        """Look at who waits as a broker does that has read nothing yet."""
        return await GreenLoop(self._new_waits(), wake=self._wake).run_once(self.now)

    def _wake(self) -> None:
        self.woken += 1

    async def told(self, job: JobId) -> str:
        return (await Explain(self.database, Policy(), self.clock)(GANZHOU, job)).summary


@pytest.fixture
async def noon(database: Database) -> Noon:
    noon = Noon(await lay_out(database))
    async with database.hub() as tx:
        await tx.execute("UPDATE hubs SET green_hours = '{12, 13}' WHERE hub = 'qingyang'")
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", T0)
    await noon.rate("micro_yuan_per_card_hour: 100, green_micro_yuan_per_card_hour: 50")
    return noon


async def test_rounds_see_it_when_the_green_hour_has_come(noon: Noon) -> None:
    waits, other = await noon.submit(**PREFER), await noon.submit()

    before, why, told = await noon.seen_by_rounds(), await noon.job(waits), await noon.told(waits)
    await noon.passes(19.99)
    shortly_before = await noon.seen_by_rounds()
    await noon.passes(0.01)

    assert before == shortly_before == [other]
    assert (why.waiting_reason, why.held_until) == (Held.GREEN_WAITS, T0 + 20 * HOUR)
    assert "the one that begins at 2026-03-02T04:00:00+00:00" in told
    assert await noon.seen_by_rounds() == [waits, other]
    assert ((await noon.job(waits)).waiting_reason, (await noon.job(waits)).held_until) == ("", None)


async def test_a_job_that_has_no_time_starts_now(noon: Noon) -> None:
    hurried = await noon.submit(start_by=T0 + 39 * HOUR, **PREFER)
    patient = await noon.submit(start_by=T0 + 40 * HOUR, **PREFER)
    late = await noon.submit(finish_by=T0 + 40 * HOUR, walltime_seconds=3600, **PREFER)

    assert await noon.seen_by_rounds() == [hurried, late]
    assert (await noon.job(patient)).held_until == T0 + 20 * HOUR


async def test_it_waits_from_its_earliest_start_on(noon: Noon) -> None:
    at_noon = await noon.submit(earliest_start=T0 + 21 * HOUR, **PREFER)  # one o'clock, green
    evening = await noon.submit(earliest_start=T0 + 24 * HOUR, **PREFER)

    assert [(j.waiting_reason, j.held_until) for j in (await noon.job(at_noon), await noon.job(evening))] == [
        (Held.NOT_YET, T0 + 21 * HOUR),
        (Held.GREEN_WAITS, T0 + 44 * HOUR),
    ]


async def test_a_new_rate_card_lets_it_in_or_lets_it_wait_on(noon: Noon) -> None:
    job, tied = await noon.submit(**PREFER), await noon.submit(earliest_start=T0 + HOUR, **PREFER)

    nothing_new = await noon.look_again()
    noon.now += timedelta(minutes=1)
    await noon.rate("micro_yuan_per_card_hour: 50, green_micro_yuan_per_card_hour: 50")
    changed = await noon.look_again()

    assert (nothing_new, changed, noon.woken) == (0, 2, 1)
    assert await noon.seen_by_rounds() == [job]
    assert [(await noon.job(tied)).waiting_reason, (await noon.job(tied)).held_until] == [Held.NOT_YET, T0 + HOUR]


@pytest.mark.parametrize(
    ("hours", "held_until"),
    [("{13}", T0 + 21 * HOUR), ("{0}", T0 + 8 * HOUR), ("{}", None), ("{16}", None), ("{12}", T0 + 20 * HOUR)],
)
async def test_other_green_hours_of_its_hub_are_looked_at_too(
    noon: Noon, hours: str, held_until: datetime | None
) -> None:
    """A world that says that it is green later, or sooner, or never, or now, moves a job or lets it in."""
    job = await noon.submit(**PREFER)
    async with noon.database.hub() as tx:
        await tx.execute("UPDATE hubs SET green_hours = $1::text::smallint[] WHERE hub = 'qingyang'", hours)

    changed = await noon.look_again()

    assert changed == noon.woken == (held_until != T0 + 20 * HOUR)
    assert (await noon.job(job)).held_until == held_until
    assert await noon.seen_by_rounds() == ([job] if held_until is None else [])


async def test_a_job_that_becomes_urgent_waits_no_longer(noon: Noon) -> None:
    job = await noon.submit(**PREFER)
    async with noon.database.hub() as tx:
        await tx.execute("UPDATE jobs SET priority = $1", PriorityClass.URGENT)

    await noon.look_again()

    assert await noon.seen_by_rounds() == [job]


async def test_what_runs_after_others_waits_for_both(noon: Noon) -> None:
    first = await noon.submit()
    job = await noon.submit(after=(first,), **PREFER)
    async with noon.database.hub() as tx:
        end = "state = 'succeeded', attempt = 1, ended_at = $2, end_reason = 'completed'"
        await tx.execute(f"UPDATE jobs SET {end} WHERE job_id = $1", first, T0)
    before = (await noon.job(job)).waiting_reason

    await noon.passes(1)

    assert (before, (await noon.job(job)).waiting_reason) == (Held.UPSTREAM_RUNS, Held.GREEN_WAITS)
    await noon.passes(19)
    assert await noon.seen_by_rounds() == [job]


async def test_only_places_that_it_may_run_in_count(noon: Noon) -> None:
    """The cluster of Qingyang is not allowed, so there is nothing to wait for."""
    async with noon.database.hub() as tx:
        await tx.execute("INSERT INTO clusters (cluster, hub, owner, title) VALUES ('gui', 'guian', 'o', 'Gui')")
        await tx.execute("INSERT INTO pools (cluster, pool, model) VALUES ('gui', 'p', 'ascend-910b')")
        await tx.execute(
            "INSERT INTO nodes (cluster, pool_id, node, cards, cpu_milli, memory_mib)"
            " SELECT 'gui', pool_id, 'g1', 8, 64000, 524288 FROM pools WHERE cluster = 'gui'"
        )

    job = await noon.submit(allowed_hubs=("guian",), **PREFER)

    assert await noon.seen_by_rounds() == [job]
