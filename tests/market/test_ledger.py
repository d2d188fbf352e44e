"""Money over a real database: each use case posts whole or nothing, and a retry posts nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.caller import Caller, Role
from broker.errors import (
    AccountClosed,
    AccountNotEmpty,
    AccountNotFound,
    BalanceTooLarge,
    BrokerError,
    CaptureBeyondHold,
    CityNotFound,
    HoldEnded,
    HoldNotFound,
    HubNotFound,
    InsufficientCredit,
    InvalidRequest,
    OwnerNotFound,
    PostingConflict,
    RoleRefused,
    SettlementOver,
)
from broker.ids import HoldId
from broker.ledger.holds import Source
from broker.ledger.money import AMOUNT_MICRO_YUAN_MAX
from broker.ledger.transactions import Move
from broker.loops.hold_expiry import HoldExpiry
from broker.store import holds
from broker.store.database import Database
from broker.store.holds import Held
from tests.books import ACME, BUDGET, CITY, OWNER, VOUCHER, WINDOW, Books, a_capture, a_hold, open_books
from tests.conftest import Dsns
from tests.deadlines import eventually
from tests.small_world import AGENT, GANZHOU, NANJING, OBSERVER, OPERATOR, T0, is_blocked

TOP_UP = Move("d-1", CITY, 5, "bank slip 2")


@pytest.fixture
async def books(database: Database, dsns: Dsns) -> Books:
    return await open_books(database, dsns)


async def test_money_from_outside_is_minus_external(books: Books) -> None:
    made = await books.ledger.deposit(OPERATOR, TOP_UP, now=T0)

    assert (made.account.available, made.opened, made.duplicate) == (1005, False, False)
    assert await books.balances() == {"external": (-3005, 0), VOUCHER: (1000, 0), ACME: (1000, 0), CITY: (1005, 0)}
    assert await books.findings() == []


async def test_a_dry_run_says_what_a_deposit_would_do_and_does_nothing(books: Books) -> None:
    before = await books.transactions()
    fresh = replace(TOP_UP, account="enterprise/ganzhou/new")

    tried = await books.ledger.deposit(OPERATOR, TOP_UP, now=T0, dry_run=True)
    opens = await books.ledger.deposit(OPERATOR, fresh, now=T0, dry_run=True)
    with pytest.raises(CityNotFound):
        await books.ledger.deposit(OPERATOR, replace(TOP_UP, account="city/nowhere"), now=T0, dry_run=True)

    assert (tried.account.available, tried.opened, tried.transaction) == (1005, False, None)
    assert (opens.account.available, opens.opened) == (5, True)
    assert await books.transactions() == before
    with pytest.raises(AccountNotFound):
        await books.ledger.account(OPERATOR, fresh.account)


async def test_the_same_deposit_again_is_answered_the_same_and_another_with_its_key_is_refused(books: Books) -> None:
    first = await books.ledger.deposit(OPERATOR, TOP_UP, now=T0)
    again = await books.ledger.deposit(OPERATOR, TOP_UP, now=T0 + timedelta(days=1))
    tried = await books.ledger.deposit(OPERATOR, TOP_UP, now=T0, dry_run=True)
    with pytest.raises(PostingConflict, match="use a new key"):
        await books.ledger.deposit(OPERATOR, replace(TOP_UP, micro_yuan=6), now=T0)

    assert (again.transaction, again.duplicate, again.account.available) == (first.transaction, True, 1005)
    assert tried.duplicate


async def test_a_hold_is_captured_in_parts_and_the_rest_released(books: Books) -> None:
    held = await books.hold(100)
    await books.ledger.capture(a_capture(held.hold, 50, fee_ppm=20_000), now=T0)
    middle = await books.balances()
    await books.ledger.release(held.hold, "r-1", now=T0)

    assert [(p.account, p.held) for p in held.parts] == [(VOUCHER, 30), (ACME, 70)]
    assert middle[VOUCHER] == (970, 15)
    assert middle[ACME] == (930, 35)
    assert await books.balances() == {
        "external": (-3000, 0), VOUCHER: (985, 0), ACME: (965, 0), CITY: (1000, 0), OWNER: (49, 0), "fee": (1, 0),
    }  # fmt: skip
    assert await books.findings() == []


async def test_every_request_can_be_sent_again(books: Books) -> None:
    """Also after what it was about has ended."""
    held = await books.hold(100)
    captured = await books.ledger.capture(a_capture(held.hold, 60), now=T0)
    released = await books.ledger.release(held.hold, "r-1", now=T0)
    before = await books.transactions()

    again = await books.hold(100, now=WINDOW + timedelta(days=9))
    captured_again = await books.ledger.capture(a_capture(held.hold, 60), now=WINDOW + timedelta(days=9))
    released_again = await books.ledger.release(held.hold, "r-1", now=T0)

    assert again == replace(held, duplicate=True)
    assert captured_again == replace(captured, duplicate=True)
    assert released_again == replace(released, duplicate=True)
    assert await books.transactions() == before


async def test_what_the_hold_does_not_cover_is_the_platforms_loss(books: Books) -> None:
    held = await books.hold(100)

    beyond = await books.ledger.capture(a_capture(held.hold, 130, excess_to_loss=True), now=T0)
    late = await books.ledger.capture(a_capture(held.hold, 7, "c-2", excess_to_loss=True), now=WINDOW)

    assert [beyond.sum_of("platform_loss"), late.sum_of("platform_loss")] == [-30, -7]
    assert (await books.balances())[OWNER] == (137, 0)
    assert await books.findings() == []


async def test_a_capture_after_the_window_takes_nothing_from_the_city(books: Books) -> None:
    held = await books.hold(100)
    late = WINDOW + timedelta(seconds=1)

    with pytest.raises(SettlementOver):
        await books.ledger.capture(a_capture(held.hold, 7), now=late)
    await books.ledger.capture(a_capture(held.hold, 7, excess_to_loss=True), now=late)
    woken: list[int] = []
    expiry = HoldExpiry(books.database, wake=lambda: woken.append(1))
    expired = await expiry.run_once(late)

    found = await books.balances()
    assert expired == 1
    assert await expiry.run_once(late) == 0
    assert woken == [1]
    assert (found[VOUCHER], found[ACME], found["platform_loss"]) == ((1000, 0), (1000, 0), (-7, 0))
    assert await books.findings() == []


async def test_a_credit_note_gives_back_what_a_broken_promise_cost(books: Books) -> None:
    held = await books.hold(100)
    await books.ledger.capture(a_capture(held.hold, 100), now=T0)
    note = Move("n-1", CITY, 40, "quote-3 missed its window", payer="platform_loss", hold=held.hold)

    given = await books.ledger.credit_note(note, now=T0)
    with pytest.raises(HoldNotFound):
        await books.ledger.credit_note(replace(note, request_key="n-2", hold=HoldId(999)), now=T0)

    assert given.sum_of(CITY) == 40
    assert (await books.balances())["platform_loss"] == (-40, 0)
    assert await books.findings() == []


async def test_a_closed_account_takes_nothing_and_gives_nothing(books: Books) -> None:
    with pytest.raises(AccountNotEmpty):
        await books.ledger.close(OPERATOR, CITY, now=T0)
    with pytest.raises(InvalidRequest, match="stays open"):
        await books.ledger.close(OPERATOR, "fee", now=T0)
    with pytest.raises(AccountNotFound):
        await books.ledger.close(OPERATOR, "city/nanjing", now=T0)
    await books.hold(1000, sources=(Source(CITY),))
    await books.ledger.capture(a_capture((await books.hold(1000, sources=(Source(CITY),))).hold, 1000), now=T0)

    closed = await books.ledger.close(OPERATOR, CITY, now=T0)
    again = await books.ledger.close(OPERATOR, CITY, now=T0 + timedelta(days=1))

    assert closed.closed_at == again.closed_at == T0
    for dry_run in (True, False):
        with pytest.raises(AccountClosed):
            await books.ledger.deposit(OPERATOR, TOP_UP, now=T0, dry_run=dry_run)
    with pytest.raises(AccountClosed):
        await books.hold(1, request_key="h-2", sources=(Source(CITY),))


Act = Callable[[Books, HoldId], Awaitable[object]]
REFUSED: dict[str, tuple[Act, type[BrokerError]]] = {
    "no city": (lambda b, _: b.ledger.deposit(OPERATOR, replace(TOP_UP, account="city/x"), now=T0), CityNotFound),
    "no hub": (lambda b, _: b.ledger.deposit(OPERATOR, replace(TOP_UP, account="budget/x/1"), now=T0), HubNotFound),
    "dollars": (lambda b, _: b.ledger.deposit(OPERATOR, replace(TOP_UP, currency="USD"), now=T0), InvalidRequest),
    "nothing": (lambda b, _: b.ledger.deposit(OPERATOR, replace(TOP_UP, micro_yuan=0), now=T0), InvalidRequest),
    "less than nothing": (lambda b, _: b.hold(-1), InvalidRequest),
    "a window that is over": (lambda b, _: b.hold(1, request_key="x", settles_until=T0), InvalidRequest),
    "too much at once": (lambda b, _: b.hold(AMOUNT_MICRO_YUAN_MAX + 1), InvalidRequest),
    "more than there is": (lambda b, _: b.hold(2900, request_key="x"), InsufficientCredit),
    "an account that is not there": (
        lambda b, _: b.hold(1, request_key="x", sources=(Source("voucher/ganzhou/9"),)), AccountNotFound,
    ),
    "another city's account": (
        lambda b, _: b.hold(1, request_key="x", sources=(Source("city/nanjing"),)), InvalidRequest,
    ),
    "a key of another hold": (lambda b, _: b.hold(7), PostingConflict),
    "captured twice": (lambda b, h: b.ledger.capture(a_capture(h, 41), now=T0), PostingConflict),
    "beyond the hold": (lambda b, h: b.ledger.capture(a_capture(h, 61, "c-2"), now=T0), CaptureBeyondHold),
    "after the window": (
        lambda b, h: b.ledger.capture(a_capture(h, 1, "c-2"), now=WINDOW + timedelta(seconds=1)), SettlementOver,
    ),
    "a hold that is not there": (lambda b, _: b.ledger.capture(a_capture(HoldId(999), 1, "c-2"), now=T0), HoldNotFound),
    "an owner without clusters": (
        lambda b, h: b.ledger.capture(a_capture(h, 1, "c-2", owner="owner/nobody"), now=T0), OwnerNotFound,
    ),
    "a release of nothing": (lambda b, _: b.ledger.release(HoldId(999), "r-1", now=T0), HoldNotFound),
    "more than the budget": (
        lambda b, _: b.ledger.grant(Move("g-2", "voucher/ganzhou/8", 1, "grant 8", payer=BUDGET), now=T0),
        InsufficientCredit,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_refused_posts_nothing(books: Books, what: str) -> None:
    act, error = REFUSED[what]
    held = await books.hold(100)
    await books.ledger.capture(a_capture(held.hold, 40), now=T0)
    before = await books.balances(), await books.transactions()

    with pytest.raises(error):
        await act(books, held.hold)

    assert (await books.balances(), await books.transactions()) == before
    assert await books.findings() == []


async def test_a_hold_that_has_ended_is_captured_and_released_no_more(books: Books) -> None:
    held = await books.hold(100)
    await books.ledger.release(held.hold, "r-1", now=T0)

    with pytest.raises(HoldEnded, match="is released"):
        await books.ledger.capture(a_capture(held.hold, 1), now=T0)
    with pytest.raises(HoldEnded):
        await books.ledger.release(held.hold, "r-2", now=T0)


async def test_a_balance_never_grows_beyond_what_it_can_be(books: Books) -> None:
    for n in range(9):
        much = replace(TOP_UP, request_key=f"much-{n}", micro_yuan=AMOUNT_MICRO_YUAN_MAX)
        await books.ledger.deposit(OPERATOR, much, now=T0)

    last = replace(TOP_UP, request_key="last", micro_yuan=AMOUNT_MICRO_YUAN_MAX)
    for dry_run in (True, False):
        with pytest.raises(BalanceTooLarge, match="use a second account"):
            await books.ledger.deposit(OPERATOR, last, now=T0, dry_run=dry_run)


async def test_many_holds_on_one_voucher_share_transactions_and_are_decided_alone(books: Books) -> None:
    """Sixty-four at once, for 20 each, of 1000: fifty get it, and the others hear why."""
    drafts = [replace(a_hold(20, f"h-{n}"), sources=(Source(VOUCHER),)) for n in range(64)]

    outcomes = await asyncio.gather(*(books.intake.place(d, now=T0) for d in drafts), return_exceptions=True)

    async with books.database.hub() as tx:
        commits = await tx.fetchval("SELECT count(DISTINCT xmin::text) FROM ledger_holds")
    assert [type(o) for o in outcomes] == [Held] * 50 + [InsufficientCredit] * 14
    assert commits <= 2
    assert (await books.balances())[VOUCHER] == (0, 1000)
    assert await books.findings() == []


async def test_two_processes_that_fight_for_one_voucher_never_overdraw_it(books: Books, dsns: Dsns) -> None:
    other = Books(books.database, dsns)  # a queue of its own, as another broker has
    drafts = [replace(a_hold(30, f"h-{n}"), sources=(Source(VOUCHER), Source(CITY))) for n in range(80)]

    outcomes = await asyncio.gather(
        *((books, other)[n % 2].intake.place(d, now=T0) for n, d in enumerate(drafts)), return_exceptions=True
    )

    assert sum(isinstance(o, Held) for o in outcomes) == 66  # 1980 of 2000
    assert {type(o) for o in outcomes} == {Held, InsufficientCredit}
    assert await books.findings() == []


async def test_one_key_twice_in_a_group_is_one_hold(books: Books) -> None:
    same, other = a_hold(20), a_hold(21)
    too_much = replace(a_hold(99_999, "h-2"), sources=(Source(ACME),))
    enough = replace(too_much, micro_yuan=1)

    outcomes = await asyncio.gather(
        *(books.intake.place(d, now=T0) for d in (same, same, other, too_much, enough)), return_exceptions=True
    )

    first, twin, conflict, refused, fits = outcomes
    assert isinstance(first, Held)
    assert twin == replace(first, duplicate=True)
    assert isinstance(conflict, PostingConflict)
    assert isinstance(refused, InsufficientCredit)
    assert isinstance(fits, Held)
    assert await books.findings() == []


async def test_a_key_that_is_taken_at_the_same_moment_is_found(books: Books, database: Database) -> None:
    """The other request draws on another account, so no balance row keeps the two apart: the index does."""
    mine = replace(a_hold(20), sources=(Source(CITY),))
    theirs = replace(a_hold(20), sources=(Source(ACME),))
    async with database.hub() as tx:
        [placed] = await holds.place(tx, [theirs], T0)
        waiting = asyncio.create_task(books.intake.place(mine, now=T0))
        await eventually(lambda: is_blocked(database))

    assert isinstance(placed, Held)
    with pytest.raises(PostingConflict):
        await waiting
    assert await books.findings() == []


async def test_each_sees_his_own(books: Books) -> None:
    held = await books.hold(100)
    await books.ledger.capture(a_capture(held.hold, 100), now=T0)
    owner, auditor = Caller("key-owner", Role.OWNER, "longdong"), Caller("key-auditor", Role.AUDITOR)

    async def seen(caller: Caller) -> list[str]:
        return [row.name for row in await books.ledger.accounts(caller, limit=100)]

    assert await seen(GANZHOU) == [CITY, ACME, VOUCHER]
    assert await seen(NANJING) == []
    assert await seen(owner) == [OWNER]
    assert await seen(auditor) == await seen(OPERATOR)
    assert len(await seen(OPERATOR)) == 8
    for caller in (AGENT, OBSERVER):
        with pytest.raises(RoleRefused):
            await seen(caller)
    with pytest.raises(AccountNotFound):
        await books.ledger.account(NANJING, CITY)
    with pytest.raises(AccountNotFound):
        await books.ledger.postings(NANJING, CITY, None, 10)


async def test_postings_are_paged_newest_first(books: Books) -> None:
    await books.hold(100)
    newest, *_ = page = await books.ledger.postings(GANZHOU, VOUCHER, None, 2)
    rest = await books.ledger.postings(GANZHOU, VOUCHER, (page[-1].transaction, page[-1].line), 10)

    assert [(p.kind, p.pocket, p.micro_yuan) for p in (*page, *rest)] == [
        ("hold", "held", 30),
        ("hold", "available", -30),
        ("grant", "available", 1000),
    ]
    assert newest.reference == "lease-7"
