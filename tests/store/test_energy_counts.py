"""Energy by month, cluster and city on a real database: exact, counted once, and not changed by what changes later."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from broker.job import Ending
from broker.lifecycle import EndReason
from broker.loops.energy import EnergyCount
from broker.store import energy_counts
from broker.store.database import Database
from broker.store.energy_counts import SETTLED, Drawn
from tests.cluster_world import ClusterWorld, ended

NOVEMBER, DECEMBER, JANUARY = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    """A card draws 600 W with its host, 720 W at the meter. It is four in the afternoon; from five on it is green."""
    world = await ClusterWorld(database).lay()
    async with database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET watts = 400, host_watts = 200")
        await tx.execute("UPDATE hubs SET pue_milli = 1200, green_hours = '{17}', green_share_ppm = 250000")
    return world


async def count(world: ClusterWorld) -> None:
    """Count everything up to now."""
    await EnergyCount(world.database).run_once(world.now + SETTLED)


async def drawn(world: ClusterWorld, first: date = NOVEMBER, end: date = DECEMBER) -> dict[str, Drawn]:
    async with world.database.hub() as tx:
        return {each.city: each.drawn for each in await energy_counts.sums(tx, first, end)}


async def test_green_is_the_part_in_green_hours_and_the_share_outside_of_them(world: ClusterWorld) -> None:
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})
    await world.offer(await world.submit("nanjing", cards_per_task=2), {"n1": [1, 2]})
    world.advance(7200)  # an hour at a quarter, an hour all green

    await count(world)

    assert await drawn(world) == {
        "ganzhou": Drawn(7200 * 600, 7200 * 720, 3600 * 720 * 5 // 4),
        "nanjing": Drawn(7200 * 1200, 7200 * 1440, 3600 * 1440 * 5 // 4),
    }


async def test_counting_often_and_at_once_counts_the_same(world: ClusterWorld) -> None:
    """To the microsecond: the spans between the counts are odd."""
    session = await world.attach()
    ref = await world.offer(await world.submit(), {"n1": [0]})
    began = world.now
    for seconds in (0.000001, 17.3, 3600.123457, 59.999999):
        world.advance(seconds)
        await asyncio.gather(*(count(world) for _ in range(3)))
    await world.report(session, 1, ended(ref, Ending(EndReason.COMPLETED)))
    lived = world.now - began
    world.advance(500)
    await count(world)

    async with world.database.hub() as tx:
        [card_seconds] = [r[0] for r in await tx.fetch("SELECT card_seconds FROM energy_counts")]
    assert card_seconds == Decimal(lived // timedelta(microseconds=1)) / 1_000_000


async def test_what_is_not_settled_yet_is_not_counted(world: ClusterWorld) -> None:
    """A transaction that ends late may still tell of the last minute."""
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})

    await EnergyCount(world.database).run_once(world.advance(59))
    before = await drawn(world)
    await EnergyCount(world.database).run_once(world.advance(11))

    assert before == {}
    assert (await drawn(world))["ganzhou"].it_joules == 10 * 600


async def test_an_end_that_becomes_known_late_is_taken_out_of_the_counts(world: ClusterWorld) -> None:
    """The agent was cut off: its job had ended long before it could say so."""
    session = await world.attach()
    job = await world.submit()
    ref = await world.offer(job, {"n1": [0]})
    began = world.now
    world.advance(7200)
    await count(world)
    before = await drawn(world)
    word = replace(ended(ref, Ending(EndReason.COMPLETED)), ended_at=began + timedelta(seconds=1800))

    await world.report(session, 1, word)
    world.advance(60)
    await count(world)

    assert before["ganzhou"] == Drawn(7200 * 600, 7200 * 720, 3600 * 720 * 5 // 4)
    assert await drawn(world) == {"ganzhou": Drawn(1800 * 600, 1800 * 720, 450 * 720)}
    assert await of_job(world, job) == [(Drawn(1800 * 600, 1800 * 720, 450 * 720), True)]
    async with world.database.hub() as tx:
        assert await tx.fetchval("SELECT count(*) FROM energy_open") == 0


async def test_a_month_has_what_was_drawn_in_it(world: ClusterWorld) -> None:
    await world.attach()
    new_month = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)
    world.now = new_month - timedelta(hours=1)
    await count(world)
    world.now = new_month - timedelta(seconds=10)
    await world.offer(await world.submit(), {"n1": [0]})
    world.advance(15)

    await count(world)

    assert (await drawn(world))["ganzhou"].it_joules == 10 * 600
    assert (await drawn(world, DECEMBER, JANUARY))["ganzhou"].it_joules == 5 * 600
    assert (await drawn(world, NOVEMBER, JANUARY))["ganzhou"].it_joules == 15 * 600


async def test_what_was_counted_stays_when_watts_and_pue_change(world: ClusterWorld) -> None:
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})
    world.advance(10)
    await count(world)
    async with world.database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET watts = 800")
        await tx.execute("UPDATE hubs SET pue_milli = 1500, green_share_ppm = 0")
    world.advance(10)

    await count(world)

    assert await drawn(world) == {"ganzhou": Drawn(16_000, 7_200 + 15_000, 1_800)}


async def of_job(world: ClusterWorld, job: Any, city: str = "ganzhou") -> list[tuple[Drawn, bool]]:
    async with world.database.city(city) as tx:
        return [(each.drawn, each.final) for each in await energy_counts.of_job(tx, job, world.now)]


async def test_an_attempt_that_is_over_has_a_certificate_that_never_changes(world: ClusterWorld) -> None:
    session = await world.attach()
    job = await world.submit()
    ref = await world.offer(job, {"n1": [0]})
    world.advance(3600)
    running = await of_job(world, job)
    world.advance(1800)
    await world.report(session, 1, ended(ref, Ending(EndReason.COMPLETED)))
    not_counted = await of_job(world, job)
    await count(world)
    async with world.database.hub() as tx:
        await tx.execute("UPDATE hubs SET pue_milli = 4000, green_hours = '{}', green_share_ppm = 0")
    world.advance(600)
    await count(world)

    whole = Drawn(5400 * 600, 5400 * 720, (3600 // 4 + 1800) * 720)
    assert running == [(Drawn(3600 * 600, 3600 * 720, 900 * 720), False)]
    assert not_counted == [(whole, False)]
    assert await of_job(world, job) == [(whole, True)]
    assert await of_job(world, job, "nanjing") == []
