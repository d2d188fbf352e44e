"""Papers over real books: they are what was posted, the same each time, and each party sees its own."""

import json
from datetime import timedelta

import pytest

from broker.caller import Caller, Role
from broker.errors import (
    AccountNotFound,
    CityNotFound,
    HoldNotFound,
    InvalidRequest,
    OwnerNotFound,
    PostingConflict,
    RoleRefused,
)
from broker.ledger.transactions import Move
from broker.papers.month import Month
from broker.papers.paper import PaperKind
from broker.store.database import Database
from tests.books import ACME, CITY, OWNER, VOUCHER, a_capture
from tests.charged import AFTER, MONTH, Charged, charged_books
from tests.conftest import Dsns
from tests.small_world import GANZHOU, NANJING, OBSERVER, OPERATOR, T0

MARCH = Month.parse(MONTH)
LONGDONG = Caller("key-longdong", Role.OWNER, "longdong")
AUDITOR = Caller("key-auditor", Role.AUDITOR)
A_NOTE = Move("n-1", CITY, 5, "started late", payer=OWNER)

POSTED = """
    SELECT a.name, sum(p.micro_yuan)::bigint FROM ledger_postings p JOIN ledger_accounts a USING (account_id)
      JOIN ledger_transactions t USING (transaction_id)
     WHERE t.at >= $1 AND t.at < $2 AND (t.kind = 'credit_note' OR t.kind = 'capture') GROUP BY a.name
"""


@pytest.fixture
async def charged(database: Database, dsns: Dsns) -> Charged:
    return await charged_books(database, dsns)


async def posted(charged: Charged) -> dict[str, int]:
    async with charged.books.database.hub() as tx:
        return dict(await tx.fetch(POSTED, MARCH.begins_at, MARCH.ends_at))  # type: ignore[arg-type]


async def test_an_invoice_has_a_line_for_each_lease_and_is_what_was_posted(charged: Charged) -> None:
    await charged.papers.post_credit_note(OPERATOR, A_NOTE, "lease-1", now=T0)

    paper = await charged.papers.invoice(GANZHOU, MARCH, "", "", now=AFTER)

    first, second = paper.lines
    assert (first.reference, first.job, first.city, first.enterprise) == ("lease-1", "job-1", "ganzhou", "acme")
    assert (first.hub, first.cluster, first.model) == ("qingyang", "longdong", "ascend-910b")
    assert (first.milli_cards, first.minutes, first.late_minutes, first.micro_yuan_per_card_hour) == (2000, 90, 0, 9)
    assert first.programme_micro_pflops_hours == 960_000  # 2 cards x 1.5 hours x 0.32 PFLOPS
    assert {p.account: p.micro_yuan for p in first.parts} == {VOUCHER: 8_999_999, ACME: 21_000_002}
    assert (second.workload_class, second.minutes, second.late_minutes) == ("speech", 45, 45)
    assert second.micro_yuan == 7_777_777
    [note] = paper.credit_notes
    assert (note.reference, note.account, note.payer, note.micro_yuan) == ("lease-1: started late", CITY, "", 5)
    sums = await posted(charged)
    assert {t.account: -t.total for t in paper.totals()} == {a: sums[a] for a in (CITY, ACME, VOUCHER)}


async def test_a_statement_is_what_was_posted_to_the_owner_with_fee_and_platform_loss(charged: Charged) -> None:
    await charged.papers.post_credit_note(OPERATOR, A_NOTE, "lease-1", now=T0)

    paper = await charged.papers.statement(LONGDONG, MARCH, "", now=AFTER)

    sums = await posted(charged)
    assert [t.total for t in paper.totals()] == [sums[OWNER]]
    assert sum(line.fee_micro_yuan for line in paper.lines) == sums["fee"]
    assert [line.borne_micro_yuan for line in paper.lines] == [0, 1_222_223]
    assert sum(line.borne_micro_yuan for line in paper.lines) == -sums["platform_loss"]
    assert [line.enterprise for line in paper.lines] == ["", ""]
    assert paper.credit_notes[0].payer == OWNER


async def test_the_paper_of_a_closed_month_is_the_same_for_all_and_for_ever(charged: Charged) -> None:
    own = await charged.papers.invoice(GANZHOU, MARCH, "ganzhou", "", now=AFTER)
    async with charged.books.database.hub() as tx:
        await tx.execute(
            "UPDATE accelerator_models SET fp16_programme_milli_tflops = 1, fp16_measured_milli_tflops = 7"
        )
        await tx.execute("UPDATE cities SET title = 'renamed'")
    await charged.books.hold(77)
    later = await charged.papers.invoice(AUDITOR, MARCH, "ganzhou", "", now=AFTER + timedelta(days=99))

    assert own.text() == later.text()
    assert own.provisional_at is None
    assert json.loads(own.text())["number"] == "invoice/city/ganzhou/2026-03"


async def test_the_paper_of_an_open_month_says_so(charged: Charged) -> None:
    end = MARCH.ends_at
    paper = await charged.papers.invoice(GANZHOU, MARCH, "", "", now=end)

    assert paper.provisional_at == end
    with pytest.raises(InvalidRequest, match="has not begun"):
        await charged.papers.invoice(GANZHOU, Month(2026, 4), "", "", now=T0)


async def test_an_enterprise_is_invoiced_for_the_jobs_that_name_it(charged: Charged) -> None:
    paper = await charged.papers.invoice(GANZHOU, MARCH, "", "acme", now=AFTER)

    assert (paper.kind, paper.party) == (PaperKind.INVOICE, ACME)
    assert [line.reference for line in paper.lines] == ["lease-1"]
    with pytest.raises(AccountNotFound):
        await charged.papers.invoice(GANZHOU, MARCH, "", "nobody", now=AFTER)


async def test_a_capture_without_a_lease_is_a_line_of_its_own(charged: Charged) -> None:
    held = await charged.books.hold(100, request_key="q", reference="quote-7")
    await charged.books.ledger.capture(a_capture(held.hold, 40, "q"), now=T0)

    paper = await charged.papers.invoice(GANZHOU, MARCH, "", "", now=AFTER)

    assert (paper.lines[-1].reference, paper.lines[-1].job, paper.lines[-1].micro_yuan) == ("quote-7", "", 40)


async def test_each_sees_his_own_papers(charged: Charged) -> None:
    papers = charged.papers
    assert (await papers.invoice(NANJING, MARCH, "", "", now=AFTER)).lines == ()
    with pytest.raises(CityNotFound):
        await papers.invoice(NANJING, MARCH, "ganzhou", "", now=AFTER)
    with pytest.raises(CityNotFound):
        await papers.invoice(OPERATOR, MARCH, "nowhere", "", now=AFTER)
    with pytest.raises(InvalidRequest):
        await papers.invoice(OPERATOR, MARCH, "", "", now=AFTER)
    with pytest.raises(RoleRefused):
        await papers.invoice(OBSERVER, MARCH, "ganzhou", "", now=AFTER)
    with pytest.raises(OwnerNotFound):
        await papers.statement(LONGDONG, MARCH, "other", now=AFTER)
    with pytest.raises(OwnerNotFound):
        await papers.statement(OPERATOR, MARCH, "other", now=AFTER)
    with pytest.raises(RoleRefused):
        await papers.statement(GANZHOU, MARCH, "longdong", now=AFTER)


async def test_a_credit_note_is_tried_given_once_and_told_apart_from_another(charged: Charged) -> None:
    papers = charged.papers
    before = await charged.books.balances()
    tried = await papers.post_credit_note(OPERATOR, A_NOTE, "lease-1", now=T0, dry_run=True)
    assert await charged.books.balances() == before

    made = await papers.post_credit_note(OPERATOR, A_NOTE, "lease-1", now=T0)
    again = await papers.post_credit_note(OPERATOR, A_NOTE, "lease-1", now=T0)
    tried_again = await papers.post_credit_note(OPERATOR, A_NOTE, "lease-1", now=T0, dry_run=True)

    assert (tried.transaction, tried.reference) == (None, "lease-1: started late")
    assert (made.duplicate, again.duplicate, again.transaction) == (False, True, made.transaction)
    assert (tried_again.duplicate, tried_again.transaction) == (True, made.transaction)
    assert (await charged.books.balances())[CITY][0] == before[CITY][0] + 5
    with pytest.raises(PostingConflict):
        await papers.post_credit_note(OPERATOR, A_NOTE, "lease-2", now=T0)
    assert await charged.books.findings() == []


async def test_a_credit_note_must_be_about_something_that_was_held_for_that_city(charged: Charged) -> None:
    papers = charged.papers
    for about in ("lease-99", "quote-99", "hold-999999"):
        with pytest.raises(HoldNotFound):
            await papers.post_credit_note(OPERATOR, A_NOTE, about, now=T0)
    foreign = Move("n-2", "city/nanjing", 5, "started late", payer=OWNER)
    with pytest.raises(InvalidRequest, match="must be an account of ganzhou"):
        await papers.post_credit_note(OPERATOR, foreign, "lease-1", now=T0)
    assert (await papers.invoice(GANZHOU, MARCH, "", "", now=AFTER)).credit_notes == ()
