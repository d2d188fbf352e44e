"""Vouchers that the owner of the tables has cooked: what is planted is found, by the rule that forbids it."""

from datetime import timedelta

import asyncpg
import pytest

from broker.audit.main import gather
from broker.audit.vouchers import RULES
from broker.store.database import Database
from broker.vouchers.paying import Refused
from broker.vouchers.states import StoryEvent
from tests.conftest import Dsns
from tests.small_world import T0
from tests.voucher_world import LI, OFFICE, VoucherWorld, open_office

PLANTED = {
    # what is planted: by SQL of the tables' owner, with the triggers off; the rules that must find it
    "a grant says more than it drew": (
        "UPDATE vouchers SET granted_micro_yuan = granted_micro_yuan + 1 WHERE voucher = 'qy-2026-1'",
        {"a_budget_is_granted_or_left", "money_of_a_programme_belongs_to_a_grant"},
    ),
    "a budget has more than was paid in": (
        "UPDATE ledger_postings SET micro_yuan = micro_yuan + 1 WHERE micro_yuan > 0"
        " AND account_id = (SELECT account_id FROM ledger_accounts WHERE kind = 'budget')"
        " AND transaction_id IN (SELECT transaction_id FROM ledger_transactions WHERE kind = 'return')",
        set(),  # both sums of the budget move: it is the books' rules that find it
    ),
    "a return was booked as a grant": (
        "UPDATE ledger_transactions SET kind = 'grant' WHERE kind = 'return'",
        {"a_budget_is_granted_or_left", "money_of_a_programme_belongs_to_a_grant"},
    ),
    "a grant went to another account": (
        "UPDATE ledger_accounts SET name = 'voucher/ganzhou/mine' WHERE name = 'voucher/ganzhou/qy-2026-1'",
        {"money_of_a_programme_belongs_to_a_grant"},
    ),
    "a suspension came before the hold that was captured": (
        "UPDATE voucher_story SET at = at - interval '9 days' WHERE event = 'suspended'",
        {"no_suspended_voucher_pays_for_new_work"},
    ),
    "a validity ended before the hold that was captured": (
        "UPDATE vouchers SET valid_until = granted_at - interval '1 day' WHERE voucher = 'qy-2026-1'",
        {"no_suspended_voucher_pays_for_new_work"},
    ),
    "a contract is claimed twice": (
        "DROP INDEX voucher_contract_once; UPDATE voucher_applications SET contract_plain = 'c1'",
        {"a_contract_is_subsidised_once"},
    ),
}


@pytest.fixture
async def world(database: Database, dsns: Dsns) -> VoucherWorld:
    """A voucher with a captured hold, suspended later; one that has expired and given its money back."""
    world = await open_office(database, dsns)
    made = await world.granted()
    hold = await world.hold(made.voucher, 100, days=1)
    assert not isinstance(hold, Refused)
    await world.capture(hold, 100, days=1)
    await world.vouchers.change(OFFICE, made.voucher, StoryEvent.SUSPENDED, LI, "", now=T0 + timedelta(days=2))
    await world.granted(request_key="b", contract="C-2", micro_yuan=50)
    async with database.hub() as tx:
        await tx.execute("UPDATE vouchers SET valid_until = granted_at WHERE voucher = 'qy-2026-2'")
    await world.vouchers.care(T0 + timedelta(days=3))
    return world


async def rules_broken(dsns: Dsns) -> set[str]:
    facts = await gather(dsns.hub, dsns.city, {})
    return {rule.__name__ for rule in RULES if list(rule(facts))}


@pytest.mark.parametrize("what", PLANTED)
async def test_what_is_planted_is_found(world: VoucherWorld, dsns: Dsns, what: str) -> None:
    statements, rules = PLANTED[what]
    clean, books = await rules_broken(dsns), await world.findings()
    owner = await asyncpg.connect(dsns.owner)
    for table in ("ledger_transactions", "ledger_postings", "voucher_story"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    fenced = "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relkind = 'r'"
    for row in await owner.fetch(fenced):
        await owner.execute(f"ALTER TABLE {row[0]} NO FORCE ROW LEVEL SECURITY")

    await owner.execute(statements)
    await owner.close()

    assert (clean, books) == (set(), [])
    assert await rules_broken(dsns) == rules
    if not rules:
        assert await world.findings()


def test_every_rule_has_something_planted_that_it_finds() -> None:
    assert {rule for _, rules in PLANTED.values() for rule in rules} == {rule.__name__ for rule in RULES}
