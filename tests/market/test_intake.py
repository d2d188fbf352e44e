"""What waits of a city is counted anew once in a period, which is a second or what the share of the time allows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest

from broker.errors import TooManyPending
from broker.ids import JobId
from broker.job import JobSpec
from broker.market.intake import RECOUNT_SECONDS, RECOUNT_SECONDS_MAX, RECOUNT_SHARE_MAX, Intake, Recounts
from broker.store import submissions
from broker.store.catalogue_view import City
from broker.store.database import Connection, Database
from broker.store.submissions import Draft, Submitted
from tests.small_world import T0, a_spec, lay_out, submitted

CITY = City("ganzhou", pending_jobs_max=10, calls_per_second_max=10, ceiling_micro_yuan_per_pflops_hour=1)
OTHER = City("nanjing", pending_jobs_max=10, calls_per_second_max=10, ceiling_micro_yuan_per_pflops_hour=1)


def test_a_city_is_counted_at_first_and_again_a_second_later() -> None:
    recounts = Recounts()
    assert recounts.due("ganzhou", 0.0)

    recounts.counted("ganzhou", 0.0, 0.001)

    assert not recounts.due("ganzhou", RECOUNT_SECONDS)
    assert recounts.due("ganzhou", RECOUNT_SECONDS + 0.002)


def test_where_counting_takes_very_long_no_count_becomes_older_than_a_minute() -> None:
    recounts = Recounts()

    recounts.counted("ganzhou", 0.0, 30.0)

    assert recounts.period_seconds == RECOUNT_SECONDS_MAX


@pytest.mark.parametrize("forced", [None, 0.0005, 0.1])
def test_all_cities_have_their_turn_and_counting_its_share_of_the_time(forced: float | None) -> None:
    """Ten cities of which each takes a tenth of a second, asked ten times a second, always in the same order.

    `forced`: another is near its limit, so that it is counted each time it is asked for, and takes so long.
    """
    recounts, spent, now = Recounts(), 0.0, 0.0
    times = dict.fromkeys("abcdefghij", 0)
    while now < 3600:
        if forced is not None:
            recounts.counted("full", now, now + forced)
            now += forced
        for city in times:
            if recounts.due(city, now):
                recounts.counted(city, now, now + 0.1)
                spent, now, times[city] = spent + 0.1, now + 0.1, times[city] + 1
        now += 0.1

    assert 0.7 * RECOUNT_SHARE_MAX < spent / now < RECOUNT_SHARE_MAX
    assert max(times.values()) - min(times.values()) <= 1


@dataclass
class Site:
    """An intake whose clock the test moves, in a world where ten jobs of a city run."""

    world: Database
    ran: list[JobId]
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._intake = Intake(self.world, stored=lambda: None, seconds=lambda: self.seconds)

    async def put(self, *keys: str, spec: JobSpec | None = None, city: City = CITY) -> list[type]:
        drafts = [submissions.draft(key, spec or a_spec(), standard_ceiling=1) for key in keys]
        return [type(outcome) for outcome in await self._intake.put(city, drafts, T0)]

    async def state(self, state: str) -> None:
        async with self.world.hub() as tx:
            await tx.execute("UPDATE jobs SET state = $1, attempt = 1 WHERE job_id = ANY($2)", state, self.ran)


@pytest.fixture
async def site(database: Database) -> Site:
    world = await lay_out(database)
    made = Site(world, await submitted(world, *(f"ran-{n}" for n in range(10))))
    await made.state("running")
    return made


async def test_who_waits_again_is_seen_with_the_next_count(site: Site) -> None:
    """Until then the last count does: less than half of the limit waited."""
    assert await site.put("first") == [Submitted]
    await site.state("pending")

    assert await site.put("second") == [Submitted]
    site.seconds = 2.0
    assert await site.put("third", "second") == [TooManyPending, Submitted]


async def test_who_waits_again_is_seen_at_once_where_half_of_the_limit_would_be_passed(site: Site) -> None:
    assert await site.put("first") == [Submitted]
    await site.state("pending")

    assert await site.put(*(f"more-{n}" for n in range(5))) == [TooManyPending] * 5


async def test_who_has_gone_makes_room_at_once_where_the_limit_was_met(site: Site) -> None:
    await site.state("pending")
    assert await site.put("first") == [TooManyPending]
    await site.state("running")

    assert await site.put(*(f"more-{n}" for n in range(10))) == [Submitted] * 10


async def test_a_city_does_not_wait_for_the_jobs_of_another_that_sends_the_same_new_shape(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = a_spec(tasks=7)
    stored, go_on, store = asyncio.Event(), asyncio.Event(), submissions._insert_new

    async def hold_up(tx: Connection, city: str, drafts: Sequence[Draft], at: datetime) -> dict[str, JobId]:
        found = await store(tx, city, drafts, at)
        if city == CITY.city:
            stored.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(submissions, "_insert_new", hold_up)
    slow = asyncio.create_task(site.put("slow", spec=new))
    await stored.wait()

    assert await site.put("quick", spec=new, city=OTHER) == [Submitted]
    assert not slow.done()
    go_on.set()
    assert await slow == [Submitted]


async def test_who_may_store_no_jobs_stores_no_shapes(site: Site) -> None:
    await site.state("pending")
    assert await site.put("first") == [TooManyPending]

    assert await site.put("second", spec=a_spec(tasks=7)) == [TooManyPending]

    async with site.world.hub() as tx:
        assert await tx.fetchval("SELECT count(*) FROM shapes") == 1
