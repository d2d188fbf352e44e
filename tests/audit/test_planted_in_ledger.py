"""Books that the owner of the tables has cooked: what is planted is found, by the rule that forbids it."""

from dataclasses import replace

import asyncpg
import pytest

from broker.audit.ledger import RULES
from broker.audit.main import gather
from broker.ledger.holds import Source
from broker.loops.chaining import Chaining
from broker.store.database import Database
from tests.books import CITY, Books, a_capture, a_hold, open_books
from tests.conftest import Dsns
from tests.small_world import T0

POSTING = "transaction_id = (SELECT max(transaction_id) FROM ledger_transactions WHERE kind = '{}')"

PLANTED = {
    # what is planted: by SQL of the tables' owner, with the triggers off; the rules that must find it
    "a posting was changed": (
        f"UPDATE ledger_postings SET micro_yuan = micro_yuan - 1 WHERE line = 2 AND {POSTING.format('deposit')}",
        {"every_transaction_balances", "balances_are_sums_of_postings", "the_chain_is_unbroken"},
    ),
    "a posting was removed": (
        f"DELETE FROM ledger_postings WHERE line = 1 AND {POSTING.format('deposit')}",
        {"every_transaction_balances", "the_chain_is_unbroken"},
    ),
    "postings were added that balance": (
        "INSERT INTO ledger_postings SELECT min(transaction_id), 9, 1, 'available', -5 FROM ledger_transactions;"
        " INSERT INTO ledger_postings SELECT min(transaction_id), 10, 2, 'available', 5 FROM ledger_transactions",
        {"every_transaction_balances", "the_chain_is_unbroken"},
    ),
    "a balance is more than its postings": (
        "UPDATE ledger_balances SET available_micro_yuan = available_micro_yuan + 1",
        {"balances_are_sums_of_postings"},
    ),
    "a balance row is gone": (
        "DELETE FROM ledger_balances WHERE account_id = (SELECT account_id FROM ledger_accounts WHERE kind = 'city')",
        {"balances_are_sums_of_postings"},
    ),
    "the platform has a balance row": (
        "INSERT INTO ledger_balances SELECT account_id FROM ledger_accounts WHERE kind = 'fee'",
        {"balances_are_sums_of_postings"},
    ),
    "a city is overdrawn": (
        "ALTER TABLE ledger_balances DROP CONSTRAINT ledger_balances_available_micro_yuan_check;"
        " UPDATE ledger_balances SET available_micro_yuan = -1 WHERE account_id ="
        " (SELECT account_id FROM ledger_accounts WHERE kind = 'city')",
        {"no_account_is_below_zero", "balances_are_sums_of_postings"},
    ),
    "a hold says that less was captured": (
        "UPDATE ledger_hold_parts SET captured_micro_yuan = captured_micro_yuan - 1 WHERE captured_micro_yuan > 0",
        {"holds_add_up"},
    ),
    "a hold has ended with something open": (
        "UPDATE ledger_holds SET state = 'released' WHERE state = 'open'",
        {"holds_add_up"},
    ),
    "a hold is forgotten": (
        "DELETE FROM ledger_hold_parts; DELETE FROM ledger_holds",
        {"holds_add_up"},
    ),
    "a hold was captured after its window": (
        "UPDATE ledger_holds SET settles_until = '2026-01-01Z'",
        {"late_captures_are_the_platforms_loss"},
    ),
    "a reference was changed": (
        f"UPDATE ledger_transactions SET reference = 'x' WHERE {POSTING.format('deposit')}",
        {"the_chain_is_unbroken"},
    ),
    "a time was changed": (
        f"UPDATE ledger_transactions SET at = at + interval '1 us' WHERE {POSTING.format('capture')}",
        {"the_chain_is_unbroken"},
    ),
    "a hash was changed": (
        "UPDATE ledger_chain SET sha256 = sha256('x') WHERE position = 2",
        {"the_chain_is_unbroken"},
    ),
    "a link was taken out": ("DELETE FROM ledger_chain WHERE position = 2", {"the_chain_is_unbroken"}),
    "a transaction does not wait for the chain": ("DELETE FROM ledger_unchained", {"the_chain_is_unbroken"}),
}


@pytest.fixture
async def books(database: Database, dsns: Dsns) -> Books:
    """Books with an open hold that was captured in part, chained but for the last transaction."""
    books = await open_books(database, dsns)
    held = await books.hold(100)
    await books.ledger.capture(a_capture(held.hold, 40, fee_ppm=100_000), now=T0)
    await Chaining(database).run_once(T0)
    await books.intake.place(replace(a_hold(7, "h-2"), sources=(Source(CITY),)), now=T0)
    return books


async def rules_broken(dsns: Dsns) -> set[str]:
    facts = await gather(dsns.hub, dsns.city, {})
    return {rule.__name__ for rule in RULES if list(rule(facts))}


@pytest.mark.parametrize("what", PLANTED)
async def test_what_is_planted_is_found(books: Books, dsns: Dsns, what: str) -> None:
    statements, rules = PLANTED[what]
    owner = await asyncpg.connect(dsns.owner)
    clean = await rules_broken(dsns)
    for table in ("ledger_transactions", "ledger_postings", "ledger_chain"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for row in await owner.fetch("SELECT relname FROM pg_class WHERE relname LIKE 'ledger_%' AND relkind = 'r'"):
        await owner.execute(f"ALTER TABLE {row[0]} NO FORCE ROW LEVEL SECURITY")

    await owner.execute(statements)
    await owner.close()

    assert clean == set()
    assert await rules_broken(dsns) == rules


def test_every_rule_has_something_planted_that_it_finds() -> None:
    assert {rule for _, rules in PLANTED.values() for rule in rules} == {rule.__name__ for rule in RULES}
