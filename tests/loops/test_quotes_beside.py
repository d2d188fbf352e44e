"""Quotes that are accepted beside rounds and the fast lane, by any broker: neither wiped by them nor overrun."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from broker.audit import promised, quoted, tables
from broker.caller import Caller, Role
from broker.errors import CapacityGone
from broker.job import Build, PriorityClass
from broker.lifecycle import JobState, PromiseFate
from broker.loops.rounds import LOOK_AGAIN
from broker.market.catalogue import Catalogues
from broker.market.jobs import Jobs
from broker.market.quotes import AcceptedQuote, QuoteRules, Quotes, StartWindow
from broker.store import promises
from broker.store.database import Database
from broker.store.quotes import Quote
from tests.cluster_world import ClusterWorld, inventory, spec
from tests.conftest import Dsns
from tests.deadlines import eventually
from tests.loops.test_placing import RICH, Change, Lanes, Slow, broken_limits, cap_power, lanes, limit_city, world
from tests.market.test_rounds import POLICY
from tests.small_world import is_blocked

__all__ = ["world"]

GANZHOU = Caller("key-ganzhou", Role.CITY, "ganzhou")


@pytest.fixture(scope="module")
async def planner() -> AsyncIterator[Slow]:
    process = Slow()
    yield process
    process.close()


@pytest.fixture
async def here(world: ClusterWorld, planner: Slow, dsns: Dsns) -> AsyncIterator[Lanes]:
    yield lanes(world, planner)
    facts = await tables.read(dsns.hub, dsns.city)
    assert [found for rule in (*promised.RULES, *quoted.RULES) for found in rule(facts)] == []
    await world.check()


async def no_round() -> None:
    return None


def broker_of(database: Database) -> Quotes:
    """Quotes as a broker of its own has them: it need not lead."""
    catalogues = Catalogues(database, fresh_seconds=0.0)
    jobs = Jobs(database, catalogues, wake=lambda: None, stop_wanted=lambda _: None)
    return Quotes(database, jobs, POLICY, QuoteRules(), last_round=no_round, wake=lambda: None)


async def quote_for(here: Lanes, *, in_seconds: int = 0, **changes: Any) -> Quote:
    begin = here.world.now + timedelta(seconds=in_seconds)
    window = StartWindow(begin if in_seconds else None, begin + timedelta(hours=1))
    wanted = spec(
        **{"ceiling_micro_yuan_per_pflops_hour": RICH, "cards_per_task": 8, "walltime_seconds": 3600} | changes
    )
    return (await broker_of(here.world.database).ask(GANZHOU, "", wanted, window, 1, here.world.now))[0]


async def accept(here: Lanes, quote: Quote, key: str = "a") -> AcceptedQuote:
    return await broker_of(here.world.database).accept(GANZHOU, quote.quote, key, here.world.now)


async def fates(here: Lanes, quote: Quote) -> list[PromiseFate]:
    assert quote.job is not None
    async with here.world.database.hub() as tx:
        return [entry.fate for entry in await promises.history(tx, quote.job)]


async def test_a_round_under_way_hands_back_what_would_run_into_an_accepted_window(here: Lanes) -> None:
    """Eight of sixteen cards are free. The round would give them away for an hour; in half an hour they are booked.

    What arrives afterwards gets them until then, and no longer.
    """
    await here.first_round(cards_per_task=8, walltime_seconds=7200)
    long = await here.submit_to_round(cards_per_task=8, walltime_seconds=3600)
    task = await here.round_under_way()
    quote = (await accept(here, await quote_for(here, in_seconds=1800))).quote

    assert await here.end(task) == 0
    short = await here.submit(cards_per_task=4, walltime_seconds=600)
    other = await here.submit(cards_per_task=4, walltime_seconds=3600)
    placed = await here.place()

    assert placed == 1
    assert await here.world.state_of(long) is JobState.PENDING
    assert await here.world.state_of(short) is JobState.LEASED
    assert await here.world.state_of(other) is JobState.PENDING
    assert await fates(here, quote) == [PromiseFate.MADE]


async def test_a_round_under_way_keeps_what_ends_before_an_accepted_window(here: Lanes) -> None:
    await here.first_round(cards_per_task=8, walltime_seconds=7200)
    short = await here.submit_to_round(cards_per_task=8, walltime_seconds=600)
    task = await here.round_under_way()
    quote = (await accept(here, await quote_for(here, in_seconds=1800))).quote

    assert await here.end(task) == 1

    assert await here.world.state_of(short) is JobState.LEASED
    assert await fates(here, quote) == [PromiseFate.MADE]


async def test_the_fast_lane_takes_no_cards_that_were_accepted_since_it_looked(here: Lanes) -> None:
    """It knows of eight free cards, and another broker has promised them: who arrives waits for the next round."""
    await here.first_round(cards_per_task=8, walltime_seconds=7200)
    quote = (await accept(here, await quote_for(here))).quote
    late = await here.submit(cards_per_task=8, walltime_seconds=3600)

    assert await here.place() == 0
    assert await here.round() == 1

    assert await here.world.state_of(quote.job) is JobState.LEASED  # type: ignore[arg-type]
    assert await here.world.state_of(late) is JobState.PENDING
    assert await fates(here, quote) == [PromiseFate.MADE, PromiseFate.KEPT]


@pytest.mark.parametrize("limit", [cap_power, limit_city], ids=lambda limit: limit.__name__)
async def test_what_was_leased_before_an_acceptance_counts_in_the_commit_of_the_round(
    here: Lanes, dsns: Dsns, limit: Change
) -> None:
    """One of three cards is used, and the round has plans for both others. One of these went to a job that arrived.

    Since then a quote was accepted, so the fast lane stands still until the world is read anew.
    """
    await limit(here.world.database)
    await here.first_round()
    planned = await here.submit_to_round(cards_per_task=2)
    task = await here.round_under_way()
    await here.submit()
    assert await here.place() == 1
    await accept(here, await quote_for(here, in_seconds=7200, cards_per_task=1, walltime_seconds=600))
    late = await here.submit()
    assert await here.place() == 0

    assert await here.end(task) == 0
    assert await here.world.state_of(planned) is JobState.PENDING
    assert await here.world.state_of(late) is JobState.LEASED
    assert await broken_limits(dsns) == set()


async def test_the_job_of_a_quote_is_left_to_the_rounds(here: Lanes) -> None:
    """There is room for it on the other node too: it starts where it was promised, and that is told."""
    await here.first_round(walltime_seconds=7200)
    quote = (await accept(here, await quote_for(here, cards_per_task=4, walltime_seconds=600))).quote

    assert await here.place() == 0
    assert await here.round() == 1

    assert await here.world.state_of(quote.job) is JobState.LEASED  # type: ignore[arg-type]
    assert await fates(here, quote) == [PromiseFate.MADE, PromiseFate.KEPT]


async def test_a_job_that_was_leased_beside_a_round_is_promised_nothing_by_it(here: Lanes) -> None:
    """It was handed back, and has waited too long: the round gives its cards to an emergency, and it a later start."""
    here.rounds._lead_term = timedelta(days=4)
    await here.first_round(cards_per_task=8, walltime_seconds=7 * 86_400)
    leased = await here.submit_to_round(cards_per_task=8, walltime_seconds=600)
    here.world.now += timedelta(days=2)
    first = await here.submit_to_round(cards_per_task=8, walltime_seconds=600, priority=PriorityClass.EMERGENCY)
    here.placing.drop()
    here.placing.look_again_at([leased])
    task = await here.round_under_way()
    assert await here.world.state_of(leased) is JobState.LEASED

    await here.end(task)

    assert await here.world.state_of(first) is JobState.PENDING
    async with here.world.database.hub() as tx:
        assert leased not in [row.job for row in await promises.read(tx)]
        assert await promises.history(tx, leased) == []


async def test_what_is_leased_beside_zones_is_told_in_the_world_of_the_round(here: Lanes) -> None:
    """The zone of the booked node moves the pools behind it: power is counted by those of the round's own world."""
    await here.world.attach("west", "one", inventory("w1", model="a800"))
    await here.first_round()
    await accept(here, await quote_for(here, in_seconds=1800))
    here.world.now += LOOK_AGAIN
    await here.round()
    await here.submit(builds=(Build("cuda", ("python", "train.py")),))

    assert await here.place() == 1

    view = here.placing._view
    assert view is not None
    assert view.zoned.has_zones
    [(jobs, placement)] = view.leased
    assert jobs.pool_names[placement.pool] == "west/main"


async def test_of_two_that_accept_at_once_one_is_bound_and_the_other_hears_of_another_start(here: Lanes) -> None:
    """Two brokers, one pool with eight free cards, ten times each."""
    await here.first_round(cards_per_task=8, walltime_seconds=7200)
    offers = [await quote_for(here, walltime_seconds=600) for _ in range(8)]

    done = await asyncio.gather(
        *(accept(here, offer, f"book-{at}") for at, offer in enumerate(offers)), return_exceptions=True
    )

    bound = [each for each in done if isinstance(each, AcceptedQuote)]
    gone = [each for each in done if isinstance(each, CapacityGone)]
    assert (len(bound), len(gone)) == (1, 7)
    assert all(each.metadata["fresh_quote"] for each in gone)
    async with here.world.database.hub() as tx:
        assert len(await promises.read(tx)) == 1


async def test_an_acceptance_waits_for_leases_that_are_being_made_and_sees_them(here: Lanes) -> None:
    """Its cards are leased by a transaction that has not ended when it begins."""
    await here.first_round(cards_per_task=8, walltime_seconds=7200)
    offer = await quote_for(here)
    fast = await here.submit(cards_per_task=8, walltime_seconds=7200)
    free = await here.world.row("SELECT node FROM nodes WHERE node_id NOT IN (SELECT node_id FROM held_cards)")
    async with here.world.database.hub() as tx:
        await promises.share_ground(tx)
        waiting = asyncio.create_task(accept(here, offer))
        await eventually(lambda: is_blocked(here.world.database))
        assert not waiting.done()
        await here.world.offer(fast, {free["node"]: range(8)})

    with pytest.raises(CapacityGone):
        await waiting
    assert await here.world.state_of(fast) is JobState.LEASED


async def test_a_stream_of_acceptances_does_not_starve_rounds(here: Lanes) -> None:
    """One more quote is accepted under every round: what does not clash is placed all the same."""
    await here.first_round(cards_per_task=1, walltime_seconds=600)
    placed: list[bool] = []
    for number in range(3):
        job = await here.submit_to_round(cards_per_task=1, walltime_seconds=600)
        task = await here.round_under_way()
        offer = await quote_for(here, in_seconds=3600 * (number + 1), cards_per_task=1)
        await accept(here, offer, f"book-{number}")
        await here.end(task)
        placed.append(await here.world.state_of(job) is JobState.LEASED)

    assert placed == [True] * 3
