"""Power that an accepted quote was promised is there when its job starts: nobody leases, books or plans it away."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest

from broker.errors import CapacityGone, NothingToQuote
from broker.ids import JobId
from broker.lifecycle import JobState
from broker.store.database import Database
from broker.store.quotes import Quote
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.quoting import Quoting, ahead, broken, lay

WALLTIME = 600
LONG = 6000


@pytest.fixture
async def table(database: Database, dsns: Dsns) -> AsyncIterator[Quoting]:
    """Four nodes of eight cards, and power for two of them; the audit finds nothing in the end."""
    table = await lay(ClusterWorld(database), "n1", "n2", "n3", "n4")
    async with database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET watts = 900, host_watts = 100")
        await tx.execute("UPDATE hubs SET power_kilowatts_max = 20, pue_milli = 1250")
    yield table
    assert await broken(dsns) == []


async def states(table: Quoting, *jobs: JobId | None) -> list[JobState]:
    return [await table.world.state_of(job) for job in jobs if job is not None]


async def test_no_lease_takes_the_power_of_a_booked_window(table: Quoting) -> None:
    """Of two long jobs one runs: the other one's node is free, its power is promised. What ends in time has it."""
    quote = await table.booked(window=ahead(table.world.now, 1800))
    first = await table.submit(cards_per_task=8, walltime_seconds=LONG)
    await table.round()
    second = await table.submit(cards_per_task=8, walltime_seconds=LONG)
    await table.round()
    short = await table.submit(cards_per_task=8, walltime_seconds=WALLTIME, grace_seconds=0)
    await table.round()

    assert await states(table, first, second, short) == [JobState.LEASED, JobState.PENDING, JobState.LEASED]

    await table.runs(first)
    await table.runs(short)
    table.world.advance(WALLTIME)
    await table.ends(short)
    table.world.advance(1800 - WALLTIME)
    await table.round()
    assert await states(table, quote.job, second) == [JobState.LEASED, JobState.PENDING]
    await table.world.check()


async def test_power_that_is_booked_is_not_quoted_again(table: Quoting) -> None:
    """Both have eight cards at that time; of four nodes two are free, and there is no power for them."""
    window = ahead(table.world.now, 1800, for_seconds=60)
    first, second = await table.booked(window=window), await table.booked(window=window, key="book-2")

    with pytest.raises(NothingToQuote, match="taken or promised"):
        await table.ask(window=window)

    [later] = await table.ask(window=ahead(table.world.now, 1800))
    ends = [(await table.promise(each.job)).end_s for each in (first, second)]
    assert later.terms.starts_at.timestamp() >= min(ends)


async def test_who_accepts_after_the_power_is_gone_hears_capacity_gone(table: Quoting) -> None:
    window = ahead(table.world.now, 1800, for_seconds=60)
    quotes = [(await table.ask(window=window))[0] for _ in range(3)]
    await table.accept(quotes[0], "book-1")
    await table.accept(quotes[1], "book-2")
    before = await table.counts()

    with pytest.raises(CapacityGone):
        await table.accept(quotes[2], "book-3")

    assert await table.counts() == before


async def test_a_round_that_was_planned_without_the_quote_gives_its_power_back(table: Quoting) -> None:
    """Two long jobs would start on nodes that the quote does not name: there is power for one."""
    jobs = [await table.submit(cards_per_task=8, walltime_seconds=LONG) for _ in range(2)]
    lead = await table.lead()
    prepared, decided = await table.planned()
    assert len(decided.placements) == 2
    named = {prepared.nodes[node].node for each in decided.placements for node in each.nodes}
    quote = await table.booked(window=ahead(table.world.now, 1800))
    assert {node for node, _ in (await table.promise(quote.job)).nodes} != named

    done = await table.commit(lead, prepared, decided)

    assert (done.placed, done.stale) == (1, 1)
    table.world.advance(1800)
    await table.round()
    assert await states(table, quote.job) == [JobState.LEASED]
    assert sorted(await states(table, *jobs)) == sorted([JobState.LEASED, JobState.PENDING])


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_between_every_booked_window_has_its_power(table: Quoting, seed: int) -> None:
    """Bookings, long and short work, rounds and ends in any order: each quote starts in its window."""
    draw, world = Random(seed), table.world
    booked: list[Quote] = []
    for step in range(24):
        what = draw.choice(["book", "work", "work", "round", "wait"])
        if what == "book":
            window = ahead(world.now, draw.randrange(0, 4000), for_seconds=draw.choice([60, 1200]))
            with suppress(NothingToQuote, CapacityGone):
                booked.append(await table.booked(window=window, key=f"book-{step}", walltime_seconds=WALLTIME))
        elif what == "work":
            walltime, cards = draw.choice([WALLTIME, LONG]), draw.choice([1, 4, 8])
            await table.submit(cards_per_task=cards, walltime_seconds=walltime, grace_seconds=0)
        else:
            await pass_by(table, 1 if what == "round" else draw.randrange(60, 900))
    assert booked
    await pass_by(table, 9000)
    for quote in booked:
        first = await world.row("SELECT min(offered_at) AS at FROM leases WHERE job_id = $1", quote.job)
        assert quote.terms.not_before <= first["at"] <= quote.terms.starts_by + timedelta(seconds=30)
    moved = await world.row("SELECT count(*) AS n FROM promise_history WHERE cause = 'power_short'")
    assert moved["n"] == 0


NEXT = """
    SELECT least((SELECT min(starts_at) FROM promises WHERE starts_at > $1),
                 (SELECT min(l.offered_at + j.walltime_seconds * interval '1 s')
                    FROM leases l JOIN jobs j USING (job_id) WHERE l.state = 'active'), $2) AS at
"""
DUE = """
    SELECT array_agg(l.job_id) AS jobs FROM leases l JOIN jobs j USING (job_id)
     WHERE l.state = 'active' AND l.offered_at + j.walltime_seconds * interval '1 s' <= $1
"""
OFFERED = "SELECT array_agg(job_id) AS jobs FROM leases WHERE state = 'offered'"


async def pass_by(table: Quoting, seconds: int) -> None:
    """Let time pass: work runs for its whole walltime, and a round looks whenever something ends or is due."""
    world = table.world
    until = world.now + timedelta(seconds=seconds)
    while world.now < until:
        row = await world.row(NEXT, world.now, until)
        world.advance(max((row["at"] - world.now).total_seconds(), 1))
        for job in (await world.row(DUE, world.now))["jobs"] or ():
            await table.ends(job)
        await table.round()
        for job in (await world.row(OFFERED))["jobs"] or ():
            await table.runs(job)
