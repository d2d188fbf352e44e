"""Quotes: what is offered is what can be kept, what is accepted binds, who comes too late hears another offer."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from broker.errors import (
    CapacityGone,
    IdempotencyConflict,
    InsufficientCredit,
    InvalidRequest,
    NothingToQuote,
    QuoteBeyondCeiling,
    QuoteExpired,
    QuoteNotFound,
    QuoteTaken,
)
from broker.ids import QuoteId
from broker.lifecycle import Held, JobState, PromiseFate, QuoteState
from broker.market.quotes import StartWindow
from broker.store import promises
from broker.store.database import Database
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.market.test_promises import MARGIN
from tests.market.test_rounds import RICH
from tests.quoting import ASK, GANZHOU, NANJING, Quoting, ahead, broken, lay

TOTAL = ASK * 8 // 6
"""Of eight cards for ten minutes."""


@pytest.fixture
async def table(database: Database, dsns: Dsns) -> AsyncIterator[Quoting]:
    """Whatever happened at the table, the audit's rules about promises and quotes find nothing in the end."""
    yield await lay(ClusterWorld(database))
    assert await broken(dsns) == []


# What is offered


async def test_what_is_free_is_quoted_for_now_at_the_ask_and_nothing_is_held(table: Quoting) -> None:
    before = await table.counts()

    [quote] = await table.ask()

    terms, now = quote.terms, table.world.now
    assert (quote.cluster, quote.pool, quote.model, quote.state) == ("east", "main", "ascend-910b", QuoteState.OPEN)
    assert (terms.not_before, terms.starts_at) == (now, now)
    assert terms.starts_by == now + timedelta(seconds=300 + MARGIN)
    assert terms.valid_until == now + timedelta(seconds=300)
    assert (terms.price.ask_micro_yuan_per_card_hour, terms.price.rate_card_version) == (ASK, 1)
    assert terms.total_micro_yuan == TOTAL
    assert terms.within_ceiling
    assert await table.counts() == before


async def test_what_is_taken_is_quoted_for_when_it_is_free(table: Quoting) -> None:
    await table.start(cards_per_task=4, walltime_seconds=600, grace_seconds=0)

    [quote] = await table.ask()

    assert quote.terms.starts_at == table.world.now + timedelta(seconds=600 + MARGIN // 2)
    assert quote.terms.starts_by == quote.terms.starts_at + timedelta(seconds=MARGIN)


async def test_a_cheaper_hour_of_the_window_is_an_option_of_its_own(database: Database) -> None:
    """It is 16:00 in the programme's time; from 20:00 on less is asked. The first costs more, the second is later."""
    table = await lay(ClusterWorld(database), asks=[ASK] * 20 + [ASK // 2] * 4)

    now, night = await table.ask()

    begin = table.world.now.replace(hour=12, minute=0, second=0, microsecond=0)
    assert now.terms.starts_at == table.world.now
    assert (night.terms.not_before, night.terms.starts_at) == (begin, begin)
    assert (now.terms.total_micro_yuan, night.terms.total_micro_yuan) == (TOTAL, TOTAL // 2)


async def test_what_the_ceilings_do_not_allow_is_shown_and_cannot_be_accepted(table: Quoting) -> None:
    [quote] = await table.ask(ceiling_micro_yuan_per_pflops_hour=RICH // 1000)

    assert not quote.terms.within_ceiling
    assert quote.terms.price.ask_micro_yuan_per_card_hour == ASK
    with pytest.raises(QuoteBeyondCeiling):
        await table.accept(quote)


async def test_what_has_no_room_in_the_window_is_not_quoted(table: Quoting) -> None:
    await table.start(cards_per_task=4, walltime_seconds=6000, grace_seconds=0)

    with pytest.raises(NothingToQuote, match="taken or promised"):
        await table.ask(window=StartWindow(None, table.world.now + timedelta(seconds=600)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"share_milli": 500, "cards_per_task": 1}, "share_milli"), ({"after_request_keys": ("a",)}, "after")],
)
async def test_what_nobody_can_promise_is_refused_by_name(
    table: Quoting, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest, match=field):
        await table.ask(**changes)


@pytest.mark.parametrize("window", [(-1, 0), (32 * 86_400, 3600)])
async def test_a_window_that_is_over_or_too_far_ahead_is_refused(table: Quoting, window: tuple[int, int]) -> None:
    with pytest.raises(InvalidRequest):
        await table.ask(window=ahead(table.world.now, *window))


# What is accepted


async def test_an_accepted_quote_is_a_job_with_a_sure_start_and_starts_with_the_next_round(table: Quoting) -> None:
    quote = await table.booked()
    job = await table.world.job(quote.job)  # type: ignore[arg-type]
    row = await table.promise(quote.job)

    assert (quote.state, job.state, job.waiting_reason) == (QuoteState.ACCEPTED, JobState.PENDING, Held.PROMISED)
    assert row.start_s <= quote.terms.starts_by.timestamp()
    assert table.wakes == 1

    assert (await table.round()).placed == 1

    job = await table.world.job(quote.job)  # type: ignore[arg-type]
    assert job.state is JobState.LEASED
    assert job.placement is not None
    assert job.placement.price == quote.terms.price
    assert await table.history(job.job) == [(PromiseFate.MADE, None), (PromiseFate.KEPT, None)]
    await table.world.check()


async def test_the_price_of_the_quote_stands_whatever_is_asked_when_the_job_starts(table: Quoting) -> None:
    quote = await table.booked(window=ahead(table.world.now, 1800))
    async with table.world.database.hub() as tx:
        await tx.execute(
            "INSERT INTO rate_cards SELECT cluster, model, 2, $1, NULL, "
            "array_fill(9999::bigint, ARRAY[24]), '{}', 'x', $1 "
            "FROM rate_cards",
            table.world.now,
        )
    table.world.advance(1800)

    assert (await table.round()).placed == 1

    placement = (await table.world.job(quote.job)).placement  # type: ignore[arg-type]
    assert placement is not None
    assert placement.price == quote.terms.price


async def test_who_pays_in_advance_has_the_whole_price_held_and_the_lease_uses_it(table: Quoting) -> None:
    await table.prepaid(TOTAL + 5)

    quote = await table.booked()

    assert await table.money() == (5, TOTAL)
    await table.round()
    assert await table.world.row("SELECT hold_id FROM leases") == (quote.hold,)


async def test_who_cannot_pay_gets_nothing(table: Quoting) -> None:
    await table.prepaid(TOTAL - 1)
    [quote] = await table.ask()
    before = await table.counts()

    with pytest.raises(InsufficientCredit):
        await table.accept(quote)

    assert await table.counts() == before
    assert (await table.quote(quote)).state is QuoteState.OPEN
    assert await table.money() == (TOTAL - 1, 0)


async def test_the_same_key_again_changes_nothing_and_another_one_is_refused(table: Quoting) -> None:
    await table.prepaid(10 * TOTAL)
    [quote] = await table.ask()
    first = await table.accept(quote)
    before = await table.counts()

    again = await table.accept(quote)

    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.quote.job == first.quote.job
    with pytest.raises(QuoteTaken):
        await table.accept(quote, "another")
    assert await table.counts() == before


async def test_a_key_that_stands_for_something_else_is_refused_and_nothing_is_posted(table: Quoting) -> None:
    """For another quote, or for a job that was submitted."""
    await table.prepaid(10 * TOTAL)
    [first] = await table.ask(cards_per_task=1)
    [second] = await table.ask(cards_per_task=1)
    job = await table.submit()
    key = (await table.world.row("SELECT request_key FROM jobs WHERE job_id = $1", job))["request_key"]
    await table.accept(first)
    before = await table.counts()

    for used in ("book-1", key):
        with pytest.raises(IdempotencyConflict):
            await table.accept(second, used)

    assert await table.counts() == before


async def test_an_expired_quote_is_refused(table: Quoting) -> None:
    [quote] = await table.ask()
    table.world.advance(301)

    with pytest.raises(QuoteExpired):
        await table.accept(quote)


async def test_another_citys_quote_looks_like_none(table: Quoting) -> None:
    [quote] = await table.ask()

    for caller, number in ((NANJING, quote.quote), (GANZHOU, QuoteId(10**9))):
        with pytest.raises(QuoteNotFound):
            await table.quotes.accept(caller, number, "k", table.world.now)


async def test_who_comes_second_hears_of_another_start_and_of_no_other_price(table: Quoting) -> None:
    """Two quotes for the same eight cards: one is accepted, the other is told when it could be instead."""
    await table.prepaid(10 * TOTAL)
    [first], [second] = await table.ask(), await table.ask(walltime_seconds=1200)
    await table.accept(first)
    before = await table.counts()

    with pytest.raises(CapacityGone) as refused:
        await table.accept(second, "book-2")

    assert await table.counts() == before
    assert (await table.quote(second)).state is QuoteState.OPEN
    fresh = refused.value.metadata["fresh_quote"]
    [newest] = await table.quotes.list_page(GANZHOU, "", (), None, 1)
    assert fresh == f"quote-{newest.quote}"
    assert newest.terms.starts_at.timestamp() >= (await table.promise((await table.quote(first)).job)).end_s
    assert (await table.accept(newest, "book-3")).quote.state is QuoteState.ACCEPTED
    assert await table.rows() != {}


# Bookings


async def test_before_a_booked_window_short_work_runs_on_its_nodes_and_long_work_does_not(table: Quoting) -> None:
    quote = await table.booked(window=ahead(table.world.now, 1800))
    short = await table.submit(cards_per_task=8, walltime_seconds=600, grace_seconds=0)
    long = await table.submit(cards_per_task=1, walltime_seconds=3000)

    await table.round()

    assert await table.world.state_of(short) is JobState.LEASED
    assert await table.world.state_of(long) is JobState.PENDING
    assert await table.world.state_of(quote.job) is JobState.PENDING  # type: ignore[arg-type]
    await table.runs(short)
    table.world.advance(601)
    await table.ends(short)
    await table.round()
    assert await table.world.state_of(quote.job) is JobState.PENDING  # type: ignore[arg-type]
    table.world.advance(1800 - 601)
    await table.round()
    assert await table.world.state_of(quote.job) is JobState.LEASED  # type: ignore[arg-type]
    await table.world.check()


async def test_a_booked_job_whose_nodes_go_does_not_start_before_its_window(database: Database) -> None:
    """Its promise is broken and it waits like others, but not sooner than it was booked for."""
    table = await lay(ClusterWorld(database), "n1", "n2")
    quote = await table.booked(window=ahead(table.world.now, 1800))
    [(node, _)] = (await table.promise(quote.job)).nodes
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned' WHERE node = $1", node)

    await table.round()

    assert await table.world.state_of(quote.job) is JobState.PENDING  # type: ignore[arg-type]


# Beside a round that is being planned


async def test_a_quote_that_is_accepted_while_a_round_is_planned_is_neither_wiped_nor_overrun(table: Quoting) -> None:
    """The round would start two jobs on its node: the one that ends in time does, the other one is handed back."""
    short = await table.submit(cards_per_task=1, walltime_seconds=600, grace_seconds=0)
    long = await table.submit(cards_per_task=1, walltime_seconds=3000)
    lead = await table.lead()
    prepared, decided = await table.planned()
    assert len(decided.placements) == 2
    quote = await table.booked(window=ahead(table.world.now, 1800))

    done = await table.commit(lead, prepared, decided)

    assert (done.placed, done.stale) == (1, 1)
    assert await table.world.state_of(short) is JobState.LEASED
    assert await table.world.state_of(long) is JobState.PENDING
    assert (await table.promise(quote.job)).start_s == quote.terms.not_before.timestamp()
    await table.round()
    assert await table.world.state_of(long) is JobState.PENDING
    table.world.advance(1800)
    await table.runs(short)
    await table.ends(short)
    await table.round()
    assert await table.world.state_of(quote.job) is JobState.LEASED  # type: ignore[arg-type]
    await table.world.check()


async def test_what_a_round_promises_stands_beside_a_quote_that_was_accepted_meanwhile(table: Quoting) -> None:
    """The gang would have been promised the time that the quote has now: it gets the one after."""
    small = await table.start(cards_per_task=4, walltime_seconds=600, grace_seconds=0)
    gang = await table.submit(cards_per_task=8, walltime_seconds=600, ceiling_micro_yuan_per_pflops_hour=RICH // 100)
    lead = await table.lead()
    prepared, decided = await table.planned()
    assert [each.start_s for each in decided.promises]
    quote = await table.booked()

    await table.commit(lead, prepared, decided)

    rows = await table.rows()
    assert rows[quote.job].start_s < rows[gang].start_s  # type: ignore[index]
    assert rows[gang].start_s >= rows[quote.job].end_s  # type: ignore[index]
    assert rows[gang].first_start_s == rows[gang].start_s
    assert await table.history(gang) == [(PromiseFate.MADE, None)]
    await table.ends(small)


async def test_a_promise_that_stood_before_keeps_its_place_beside_a_quote(table: Quoting) -> None:
    """Accepted while a round brings the promised gang forward: the gang keeps the start that it had."""
    small, gang = await table.blocked()
    await table.ends(small)
    before = (await table.rows())[gang]
    quote = (await table.ask(cards_per_task=8, walltime_seconds=300))[0]
    lead = await table.lead()
    prepared, decided = await table.planned()
    assert [each.job_id for each in decided.placements] == [f"job-{gang}"]
    booked = (await table.accept(quote)).quote

    done = await table.commit(lead, prepared, decided)

    assert (done.placed, done.stale) == (0, 1)
    assert (await table.rows())[gang] == before
    assert booked.job in await table.rows()
    await table.round()
    assert await table.world.state_of(booked.job) is JobState.LEASED  # type: ignore[arg-type]


async def test_a_promise_of_a_quote_is_kept_by_rounds_that_change_others(table: Quoting) -> None:
    """The table of promises is written anew; what the quote was promised stays to the second."""
    quote = await table.booked(window=ahead(table.world.now, 7200))
    before = await table.promise(quote.job)
    await table.blocked()

    after = await table.promise(quote.job)

    assert after == before
    async with table.world.database.hub() as tx:
        assert len(await promises.read(tx)) == 2
