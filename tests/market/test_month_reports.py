"""The report of use over real leases and books: time by minutes, money as invoiced; and lists of credit notes."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from broker.caller import Caller, Role
from broker.errors import CityNotFound, InvalidRequest, RoleRefused
from broker.ledger.transactions import Move
from broker.market.month_reports import MonthReports
from broker.papers.month import Month
from broker.papers.use import UseRow, merged, together
from broker.store.credit_notes import NotesWanted
from broker.store.database import Database
from tests.books import ACME, CITY, OWNER, a_capture
from tests.charged import AFTER, MONTH, Charged, charged_books
from tests.conftest import Dsns
from tests.small_world import GANZHOU, NANJING, OBSERVER, OPERATOR, T0, a_spec, placed, submitted

MARCH, APRIL = Month.parse(MONTH), Month(2026, 4)
LONGDONG = Caller("key-longdong", Role.OWNER, "longdong")
HOUR = 3600


@pytest.fixture
async def charged(database: Database, dsns: Dsns) -> Charged:
    return await charged_books(database, dsns)


async def ran(charged: Charged, lease: int, started_at: datetime, ended_at: datetime | None) -> None:
    """Let a lease have run so long."""
    async with charged.books.database.hub() as tx:
        await tx.execute(
            "UPDATE leases SET state = CASE WHEN $3::timestamptz IS NULL THEN 'active' ELSE 'ended' END,"
            " started_at = $2, ended_at = $3,"
            " end_reason = CASE WHEN $3 IS NULL THEN NULL ELSE 'completed' END WHERE lease_id = $1",
            lease, started_at, ended_at,
        )  # fmt: skip


async def told(charged: Charged, lease: int, minutes: str, cut_seconds: int = 0) -> None:
    """Let an agent have told these minutes."""
    async with charged.books.database.hub() as tx:
        await tx.execute(
            "INSERT INTO lease_usage (lease_id, city, minutes, cut_seconds, complete, heard_at)"
            " VALUES ($1, 'ganzhou', $2::text::int8multirange, $3, true, $4)",
            lease, minutes, cut_seconds, T0,
        )  # fmt: skip


async def rows(charged: Charged, month: Month = MARCH, now: datetime = AFTER) -> dict[str, UseRow]:
    report = await MonthReports(charged.books.database).use(OPERATOR, month, "", now=now)
    return {row.workload_class: row for row in report.rows}


async def test_use_is_by_times_of_leases_and_money_by_captures(charged: Charged) -> None:
    """A lease of two cards for five minutes, and one that runs still; what was captured is the invoice's."""
    await ran(charged, 1, T0, T0 + timedelta(seconds=300))
    await ran(charged, 2, T0, None)

    found = await rows(charged, now=T0 + timedelta(seconds=600))

    training, speech = found["training"], found["speech"]
    assert (training.city, training.jobs, training.leases) == ("ganzhou", 1, 1)
    assert training.milli_card_seconds == 2000 * 300
    assert (training.micro_yuan, training.voucher_micro_yuan, training.borne_micro_yuan) == (30_000_001, 8_999_999, 0)
    assert (speech.milli_card_seconds, speech.micro_yuan, speech.borne_micro_yuan) == (1000 * 600, 7_777_777, 1_222_223)
    assert speech.programme_micro_pflops_hours == 53_333  # a card of 0.32 PFLOPS for ten minutes


async def test_money_of_a_city_is_the_sum_of_its_invoice(charged: Charged) -> None:
    held = await charged.books.hold(100, request_key="q", reference="quote-7")
    await charged.books.ledger.capture(a_capture(held.hold, 40, "q"), now=T0)

    report = await MonthReports(charged.books.database).use(GANZHOU, MARCH, "", now=AFTER)
    invoice = await charged.papers.invoice(GANZHOU, MARCH, "", "", now=AFTER)
    by_operator = await MonthReports(charged.books.database).use(OPERATOR, MARCH, "ganzhou", now=AFTER)

    [total] = merged(report.rows, together)
    assert total.micro_yuan == invoice.micro_yuan
    assert total.voucher_micro_yuan == sum(line.voucher_micro_yuan for line in invoice.lines)
    assert {row.workload_class: row.micro_yuan for row in report.rows}[""] == 40
    assert report.text() == by_operator.text()


async def test_minutes_that_were_told_stand_before_times_each_in_the_month_in_which_it_began(charged: Charged) -> None:
    """Four minutes and 20 seconds at the turn of the month, of which the agent missed one; the parts are the whole."""
    start = MARCH.ends_at - timedelta(seconds=150)
    await ran(charged, 1, start, start + timedelta(seconds=260))
    await told(charged, 1, "{[0,1),[2,5)}", cut_seconds=40)

    march, april = [await rows(charged, month, now=AFTER + timedelta(days=60)) for month in (MARCH, APRIL)]

    assert march["training"].milli_card_seconds == 2000 * 120  # minutes 0 and 2; 3 began 30 seconds after midnight
    assert april["training"].milli_card_seconds == 2000 * (120 - 40)
    assert april["training"].micro_yuan == 1_000_000


async def test_no_lease_uses_more_than_it_may_run(charged: Charged) -> None:
    await ran(charged, 1, T0, T0 + timedelta(days=2))

    [job] = {row.milli_card_seconds for row in (await rows(charged)).values() if row.jobs}

    assert job == 2000 * (a_spec().walltime_seconds + a_spec().grace_seconds)


async def test_a_metered_city_has_use_without_money_and_sees_its_own_only(charged: Charged) -> None:
    [job] = await submitted(charged.books.database, "nanjing-1", city="nanjing")
    lease = await placed(charged.books.database, job, city="nanjing", cards=(7,))
    await ran(charged, lease, T0, T0 + timedelta(seconds=60))
    reports = MonthReports(charged.books.database)

    everything = await reports.use(OPERATOR, MARCH, "", now=AFTER)
    own = await reports.use(NANJING, MARCH, "", now=AFTER)

    assert {row.city for row in everything.rows} == {"ganzhou", "nanjing"}
    [row] = own.rows
    assert (row.city, row.leases, row.milli_card_seconds, row.micro_yuan) == ("nanjing", 1, 60_000, 0)
    assert (own.number, own.provisional_at) == ("use/2026-03/nanjing", None)
    assert (await reports.use(NANJING, MARCH, "nanjing", now=MARCH.ends_at)).provisional_at == MARCH.ends_at


async def test_who_may_not_see_a_report_is_told_why(charged: Charged) -> None:
    reports = MonthReports(charged.books.database)
    for caller, city, error in (
        (NANJING, "ganzhou", CityNotFound),
        (OPERATOR, "nowhere", CityNotFound),
        (LONGDONG, "", RoleRefused),
        (OBSERVER, "", RoleRefused),
    ):
        with pytest.raises(error):
            await reports.use(caller, MARCH, city, now=AFTER)
    with pytest.raises(InvalidRequest, match="has not begun"):
        await reports.use(OPERATOR, Month(2027, 1), "", now=AFTER)


async def test_credit_notes_are_listed_newest_first_with_what_they_are_about(charged: Charged) -> None:
    for number, account, payer, about, at in (
        (1, CITY, OWNER, "lease-1", T0),
        (2, ACME, "fee", "lease-2", T0 + timedelta(hours=1)),
        (3, CITY, "platform_loss", "lease-2", AFTER),
    ):
        move = Move(f"n-{number}", account, number, "slow", payer=payer)
        await charged.papers.post_credit_note(OPERATOR, move, about, now=at)
    reports, march = MonthReports(charged.books.database), NotesWanted(given=(MARCH.begins_at, MARCH.ends_at))

    everything = await reports.credit_notes(OPERATOR, NotesWanted(), None, 10)
    first = await reports.credit_notes(OPERATOR, NotesWanted(), None, 2)
    second = await reports.credit_notes(OPERATOR, NotesWanted(), first[-1].transaction, 2)
    of_owner = await reports.credit_notes(LONGDONG, NotesWanted(), None, 10)
    of_city = await reports.credit_notes(GANZHOU, march, None, 10)

    assert [(each.note.micro_yuan, each.lease, each.job) for each in everything] == [(3, 2, 2), (2, 2, 2), (1, 1, 1)]
    assert (everything[0].note.reference, everything[0].note.payer) == ("lease-2: slow", "platform_loss")
    assert [*first, *second] == everything
    assert [each.note.micro_yuan for each in of_owner] == [1]
    assert of_city == [replace(each, note=replace(each.note, payer="")) for each in everything[1:]]
    assert await reports.credit_notes(NANJING, NotesWanted(), None, 10) == []
    with pytest.raises(CityNotFound):
        await reports.credit_notes(NANJING, NotesWanted(city="ganzhou"), None, 10)
    with pytest.raises(RoleRefused):
        await reports.credit_notes(OBSERVER, NotesWanted(), None, 10)
