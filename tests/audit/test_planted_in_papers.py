"""Postings that papers would show twice, wrongly or not at all: what is planted is found."""

from datetime import timedelta

import asyncpg
import pytest

from broker.audit.main import gather
from broker.audit.papers import RULES
from broker.ledger.transactions import Move
from broker.papers.month import Month
from broker.store.database import Database
from tests.books import CITY, OWNER
from tests.charged import MONTH, Charged, charged_books
from tests.conftest import Dsns
from tests.small_world import OPERATOR

CAPTURE = "(SELECT min(transaction_id) FROM ledger_transactions WHERE kind = 'capture')"
NOTE = "(SELECT max(transaction_id) FROM ledger_transactions WHERE kind = 'credit_note')"
HOLD = "(SELECT min(transaction_id) FROM ledger_transactions WHERE kind = 'hold')"
NANJING = "INSERT INTO ledger_accounts (name, kind, city, opened_at) VALUES ('city/nanjing', 'city', 'nanjing', now());"
OF_OWNER = "account_id IN (SELECT account_id FROM ledger_accounts WHERE kind = 'owner')"

PLANTED = {
    # what is planted: by SQL of the tables' owner, with the triggers off; what is then said
    "a capture took money of a second city": (
        f"{NANJING} INSERT INTO ledger_postings SELECT {CAPTURE}, 90, account_id, 'held', -5 FROM ledger_accounts"
        " WHERE name = 'city/nanjing'",
        "on the invoices of several cities",
    ),
    "a capture paid a second owner": (
        "INSERT INTO ledger_accounts (name, kind, owner, opened_at) VALUES ('owner/other', 'owner', 'other', now());"
        f" INSERT INTO ledger_postings SELECT {CAPTURE}, 90, account_id, 'available', 5 FROM ledger_accounts"
        " WHERE name = 'owner/other'",
        "on the statements of several owners",
    ),
    "a capture took what was free": (
        f"UPDATE ledger_postings SET pocket = 'available' WHERE transaction_id = {CAPTURE} AND pocket = 'held'",
        "took from what was not held",
    ),
    "a capture was turned round": (
        f"UPDATE ledger_postings SET micro_yuan = -micro_yuan WHERE transaction_id = {CAPTURE} AND {OF_OWNER}",
        "took from an owner",
    ),
    "a lease was given to another city": (
        "UPDATE leases SET city = 'nanjing' WHERE lease_id = 1",
        "another city than its lease is of",
    ),
    "a job names another enterprise": (
        "UPDATE jobs SET enterprise = 'rival' WHERE job_id = 1",
        "another enterprise than its job names",
    ),
    "a credit note has a second giver": (
        f"INSERT INTO ledger_postings SELECT {NOTE}, 90, account_id, 'available', -5 FROM ledger_accounts"
        " WHERE name = 'fee'",
        "gives to 1 accounts of cities, out of 2 of owners or the exchange, by 3 postings",
    ),
    "a hold moved money": (
        f"UPDATE ledger_postings SET micro_yuan = micro_yuan - 1 WHERE transaction_id = {HOLD} AND micro_yuan < 0",
        "which no paper shows",
    ),
    "a credit note was added to a closed month": (
        f"UPDATE ledger_transactions SET at = '2026-03-31T15:59:59Z' WHERE transaction_id = {NOTE}",
        "was added to a month whose papers were final",
    ),
}


@pytest.fixture
async def charged(database: Database, dsns: Dsns) -> Charged:
    """Leases that were charged in March and in April, and money given back in April."""
    charged = await charged_books(database, dsns)
    note = Move("n-1", CITY, 5, "slow", payer=OWNER)
    later = Month.parse(MONTH).ends_at + timedelta(days=2)
    await charged.papers.post_credit_note(OPERATOR, note, "lease-1", now=later)
    return charged


async def found(dsns: Dsns) -> list[str]:
    facts = await gather(dsns.hub, dsns.city, {})
    return [told for rule in RULES for told in rule(facts)]


@pytest.mark.parametrize("what", PLANTED)
async def test_what_is_planted_is_found(charged: Charged, dsns: Dsns, what: str) -> None:
    statements, told = PLANTED[what]
    clean, books = await found(dsns), await charged.books.findings()
    owner = await asyncpg.connect(dsns.owner)
    for table in ("ledger_transactions", "ledger_postings"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for row in await owner.fetch("SELECT relname FROM pg_class WHERE relforcerowsecurity AND relkind = 'r'"):
        await owner.execute(f"ALTER TABLE {row[0]} NO FORCE ROW LEVEL SECURITY")

    await owner.execute(statements)
    await owner.close()

    assert (clean, books) == ([], [])
    assert any(told in each for each in await found(dsns)), await found(dsns)
