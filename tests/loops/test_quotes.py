"""Accepted quotes come to an end: kept in time, missed and credited once, or cancelled and released."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from broker import metrics
from broker.ids import JobId
from broker.ledger.holds import HoldDraft, Source
from broker.ledger.transactions import Move
from broker.lifecycle import JobState, QuoteState
from broker.loops.expiry import Expiry
from broker.loops.hold_expiry import HoldExpiry
from broker.market.ledger import Ledger
from broker.store import holds, ledger
from broker.store import jobs as store_jobs
from broker.store.database import Database
from broker.store.holds import Held
from broker.store.quotes import Quote
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.deadlines import eventually
from tests.quoting import ASK, GANZHOU, NANJING, RATES, Quoting, ahead, broken, lay
from tests.small_world import OPERATOR, is_blocked

TOTAL = ASK * 8 // 6
TENTH = TOTAL // 10
DAY = timedelta(days=1)


@pytest.fixture
async def table(database: Database, dsns: Dsns) -> AsyncIterator[Quoting]:
    """A city that pays in advance; the audit's rules about promises and quotes find nothing in the end."""
    here = await lay(ClusterWorld(database))
    await here.prepaid(10 * TOTAL)
    yield here
    assert await broken(dsns) == []


async def missed(table: Quoting, **changes: object) -> Quote:
    """Accept a quote whose only node is closed, and let its window and a moment pass."""
    quote = await table.booked(**changes)
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned'")
    await table.round()
    table.world.advance((quote.terms.starts_by - table.world.now + timedelta(seconds=31)).total_seconds())
    return quote


def counted(event: str) -> float:
    return metrics.QUOTES.labels(event)._value.get()


async def test_a_job_that_is_leased_in_its_window_has_kept_its_quote(table: Quoting) -> None:
    before = counted("kept")
    quote = await table.booked()
    assert await table.ends_of_quotes() == 0
    await table.round()

    assert await table.ends_of_quotes() == 1

    found = await table.quote(quote)
    assert (found.state, found.credit_micro_yuan) == (QuoteState.KEPT, None)
    assert await table.money() == (9 * TOTAL, TOTAL)
    assert counted("kept") == before + 1


async def test_a_miss_is_credited_once_and_the_job_waits_on(table: Quoting) -> None:
    quote = await missed(table)

    assert await table.ends_of_quotes() == 1
    assert await table.ends_of_quotes() == 0

    found = await table.quote(quote)
    assert (found.state, found.credit_micro_yuan) == (QuoteState.MISSED, TENTH)
    assert await table.money() == (9 * TOTAL + TENTH, TOTAL)
    assert await table.money("platform_loss") == (-TENTH, 0)
    note = await table.world.row("SELECT reference, hold_id FROM ledger_transactions WHERE kind = 'credit_note'")
    assert tuple(note.values()) == (f"quote-{quote.quote}", quote.hold)
    assert await table.world.state_of(quote.job) is JobState.PENDING  # type: ignore[arg-type]


async def test_a_moment_after_the_window_is_still_in_time(table: Quoting) -> None:
    quote = await missed(table)
    table.world.advance(-2)

    assert await table.ends_of_quotes() == 0
    assert (await table.quote(quote)).state is QuoteState.ACCEPTED


async def test_a_missed_job_starts_later_at_the_quoted_price(table: Quoting) -> None:
    quote = await missed(table)
    await table.ends_of_quotes()
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'open'")

    assert (await table.round()).placed == 1

    placement = (await table.world.job(quote.job)).placement  # type: ignore[arg-type]
    assert placement is not None
    assert placement.price == quote.terms.price
    assert await table.world.row("SELECT hold_id FROM leases") == (quote.hold,)
    assert await table.ends_of_quotes() == 0


async def test_a_start_that_is_too_late_is_a_miss_even_if_nobody_looked_before(table: Quoting) -> None:
    quote = await missed(table)
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'open'")
    await table.round()

    await table.ends_of_quotes()

    assert (await table.quote(quote)).state is QuoteState.MISSED


async def test_a_job_that_expires_where_its_window_ends_is_a_miss_and_pays_no_fee(table: Quoting) -> None:
    """The window ends with the last moment at which the job may start: nobody cancelled it."""
    quote = await missed(table, start_by=table.world.now + timedelta(seconds=10))
    table.world.advance(-30)
    assert await Expiry(table.world.database, wake=lambda: None).run_once(table.world.now) == 1

    await table.ends_of_quotes(cancel_fee_ppm=500_000)

    assert (await table.quote(quote)).state is QuoteState.MISSED
    assert await table.money() == (10 * TOTAL + TENTH, 0)


async def test_a_miss_that_cannot_be_credited_keeps_no_other_quote_waiting(table: Quoting) -> None:
    """All accounts that paid for it are closed; that of the other quote's city is not."""
    await table.prepaid(10 * TOTAL, "nanjing")
    first = await table.booked(cards_per_task=4)
    second = (await table.accept((await table.ask(NANJING, cards_per_task=4))[0], "other", NANJING)).quote
    table.world.advance((second.terms.starts_by - table.world.now + timedelta(seconds=31)).total_seconds())
    closed = "UPDATE ledger_accounts SET closed_at = $1 WHERE name = 'city/ganzhou'"
    async with table.world.database.hub() as tx:
        await tx.execute(closed, table.world.now)

    assert await table.ends_of_quotes() == 1

    assert (await table.quote(second)).state is QuoteState.MISSED
    assert (await table.quote(first)).state is QuoteState.ACCEPTED
    async with table.world.database.hub() as tx:
        await tx.execute(closed, None)
    assert await table.ends_of_quotes() == 1


async def test_credits_of_several_misses_lock_all_holds_before_any_balance(table: Quoting) -> None:
    """Somebody has the second hold and then wants the balance that the first credit is for: neither waits for ever."""
    quotes = [await table.booked(cards_per_task=2, key=key) for key in "ab"]
    table.world.advance((quotes[1].terms.starts_by - table.world.now + timedelta(seconds=31)).total_seconds())
    hold = quotes[1].hold
    assert hold is not None

    async with table.world.database.hub() as tx:
        await holds.lock(tx, hold)
        deciding = asyncio.create_task(table.ends_of_quotes())
        await eventually(lambda: is_blocked(table.world.database))
        await ledger.lock(tx, ["city/ganzhou"])

    assert await deciding == 2


async def test_an_enterprise_and_its_city_are_credited_as_they_paid(table: Quoting) -> None:
    """A quarter came from the enterprise, the rest from the city: the credit goes back so, to the micro-yuan."""
    books = Ledger(table.world.database)
    await books.deposit(OPERATOR, Move("e", "enterprise/ganzhou/lab", TOTAL // 4, "t"), now=table.world.now)

    await missed(table, enterprise="lab")
    await table.ends_of_quotes()

    quarter = TENTH * (TOTAL // 4) // TOTAL
    assert await table.money("enterprise/ganzhou/lab") == (quarter, TOTAL // 4)
    assert await table.money("platform_loss") == (-TENTH, 0)


@pytest.mark.parametrize(("fee_ppm", "fee"), [(0, 0), (50_000, TOTAL // 20), (1_000_000, TOTAL)])
async def test_what_is_held_is_free_again_when_the_city_cancels_less_a_fee(
    table: Quoting, fee_ppm: int, fee: int
) -> None:
    quote = await table.booked(window=ahead(table.world.now, 1800))
    await cancel(table, quote.job)

    assert await table.ends_of_quotes(cancel_fee_ppm=fee_ppm) == 2
    assert await table.ends_of_quotes(cancel_fee_ppm=fee_ppm) == 0

    found = await table.quote(quote)
    assert (found.state, found.credit_micro_yuan) == (QuoteState.CANCELLED, None)
    assert await table.money() == (10 * TOTAL - fee, 0)
    await table.round()


async def test_who_cancels_after_a_miss_pays_no_fee_and_keeps_the_credit(table: Quoting) -> None:
    quote = await missed(table)
    await cancel(table, quote.job)

    await table.ends_of_quotes(cancel_fee_ppm=500_000)

    assert (await table.quote(quote)).state is QuoteState.MISSED
    assert await table.money() == (10 * TOTAL + TENTH, 0)


async def test_nothing_is_posted_for_a_city_that_does_not_pay_in_advance(table: Quoting) -> None:
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE cities SET billing = 'metered'")
    quote = await missed(table)

    await table.ends_of_quotes()

    found = await table.quote(quote)
    assert (found.state, found.hold, found.credit_micro_yuan) == (QuoteState.MISSED, None, None)
    assert await table.money() == (10 * TOTAL, 0)


async def test_a_quote_that_nobody_wanted_is_forgotten_a_day_after(table: Quoting) -> None:
    [unwanted] = await table.ask(cards_per_task=1)
    taken = await table.booked(cards_per_task=1, window=ahead(table.world.now, 3 * 86_400))
    table.world.advance(86_400 + 301)

    assert await table.ends_of_quotes() == 1

    left = await table.quotes.list_page(GANZHOU, "", (), None, 10)
    assert [each.quote for each in left] == [taken.quote]
    assert unwanted.quote != taken.quote


async def cancel(table: Quoting, job: JobId | None) -> None:
    assert job is not None
    async with table.world.database.hub() as tx:
        await store_jobs.cancel(tx, job, table.world.now)


async def test_the_hold_of_a_quote_pays_for_its_job_though_the_city_has_nothing_left(table: Quoting) -> None:
    """Neither kept out of the round for want of money, nor held for a second time."""
    books = Ledger(table.world.database)
    quote = await table.booked()
    left = await books.account(OPERATOR, "city/ganzhou")
    async with table.world.database.hub() as tx:
        spent = HoldDraft("rest", "ganzhou", "rest", left.available, (Source("city/ganzhou"),), table.world.now + DAY)
        [outcome] = await holds.place(tx, [spent], table.world.now)
    assert isinstance(outcome, Held)

    assert (await table.round()).placed == 1

    assert await table.world.row("SELECT hold_id FROM leases WHERE job_id = $1", quote.job) == (quote.hold,)
    assert (await books.account(OPERATOR, "city/ganzhou")).available == 0


async def test_what_has_expired_before_its_job_starts_pays_for_nothing(table: Quoting) -> None:
    """A job that starts weeks after its window has a hold of its own, and its city pays: not the platform."""
    quote = await missed(table)
    await table.ends_of_quotes()
    table.world.advance(30 * 86_400)
    assert await HoldExpiry(table.world.database).run_once(table.world.now) == 1
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'open'")
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", table.world.now)

    assert (await table.round()).placed == 1

    [hold, reference, state] = await table.world.row(
        "SELECT hold_id, h.reference, h.state FROM leases JOIN ledger_holds h USING (hold_id)"
    )
    assert (hold != quote.hold, reference, state) == (True, "lease-1", "open")


async def test_what_is_held_pays_on_when_its_city_does_not_pay_in_advance_any_more(table: Quoting) -> None:
    """As of leases that are there: else it would be held for weeks for nothing."""
    quote = await table.booked()
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE cities SET billing = 'metered'")

    assert (await table.round()).placed == 1

    assert await table.world.row("SELECT hold_id FROM leases") == (quote.hold,)


async def test_a_quoted_job_without_its_hold_is_short_of_the_quoted_price_alone(table: Quoting) -> None:
    """As its second attempt is: asks have risen beyond what its city has, and it pays what was quoted."""
    books = Ledger(table.world.database)
    quote = await table.booked()
    assert quote.hold is not None
    await books.release(quote.hold, "by-hand", now=table.world.now)
    async with table.world.database.hub() as tx:
        await tx.execute(RATES.replace("1, 'epoch'", "2, '2026-01-01'", 1), [20 * ASK] * 24)

    assert (await table.round()).placed == 1

    assert await table.money() == (9 * TOTAL, TOTAL)
