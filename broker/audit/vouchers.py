"""Vouchers: what must hold of budgets, grants, suspension and contracts. With SQL of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts


@dataclass(frozen=True, slots=True)
class BudgetFact:
    """A programme's budget as the books have it, in micro-yuan."""

    programme: str
    paid_in: int
    left: int
    granted: int  # by the vouchers' rows
    drawn: int  # by the postings of grants
    returned: int


@dataclass(frozen=True, slots=True)
class VoucherFacts:
    """What the tables say of vouchers, as far as the rules judge it."""

    budgets: tuple[BudgetFact, ...] = ()
    misgranted: tuple[tuple[str, int, int], ...] = ()  # voucher, its grant, what left the budget for it
    strange_money: tuple[str, ...] = ()  # vouchers' accounts that got money of a programme and belong to no grant
    late_holds: tuple[tuple[str, int, datetime], ...] = ()  # voucher, hold, when it did not pay any more
    contracts: tuple[tuple[str, str, int], ...] = ()  # provider, contract, how many applications claim it


BUDGETS: Final = """
    SELECT p.programme, coalesce(b.paid_in, 0)::bigint, coalesce(b.left_over, 0)::bigint,
           coalesce(v.granted, 0)::bigint, coalesce(b.drawn, 0)::bigint, coalesce(b.returned, 0)::bigint
      FROM voucher_programmes p
      LEFT JOIN (SELECT a.name, sum(l.micro_yuan) AS left_over,
                        sum(l.micro_yuan) FILTER (WHERE t.kind = 'deposit') AS paid_in,
                        -sum(l.micro_yuan) FILTER (WHERE t.kind = 'grant') AS drawn,
                        sum(l.micro_yuan) FILTER (WHERE t.kind = 'return') AS returned
                   FROM ledger_accounts a JOIN ledger_postings l USING (account_id)
                   JOIN ledger_transactions t USING (transaction_id) WHERE a.kind = 'budget' GROUP BY a.name) b
        ON b.name = 'budget/' || p.hub || '/' || p.programme
      LEFT JOIN (SELECT programme, sum(granted_micro_yuan) AS granted FROM vouchers GROUP BY programme) v
        USING (programme)
     ORDER BY p.programme
"""
# Money of programmes only: what a budget without one gives is the operator's business.
MISGRANTED: Final = """
    SELECT v.voucher, v.granted_micro_yuan, coalesce(-sum(l.micro_yuan), 0)::bigint AS drawn
      FROM vouchers v
      LEFT JOIN ledger_transactions t ON t.kind = 'grant' AND t.reference = 'voucher ' || v.voucher
      LEFT JOIN ledger_accounts a ON a.name = 'budget/' || v.hub || '/' || v.programme
      LEFT JOIN ledger_postings l ON l.transaction_id = t.transaction_id AND l.account_id = a.account_id
     GROUP BY v.voucher, v.granted_micro_yuan HAVING v.granted_micro_yuan <> coalesce(-sum(l.micro_yuan), 0)
     ORDER BY v.voucher
"""
STRANGE_MONEY: Final = """
    SELECT DISTINCT a.name FROM voucher_programmes p
      JOIN ledger_accounts budget ON budget.name = 'budget/' || p.hub || '/' || p.programme
      JOIN ledger_postings out ON out.account_id = budget.account_id AND out.micro_yuan < 0
      JOIN ledger_postings l ON l.transaction_id = out.transaction_id AND l.micro_yuan > 0
      JOIN ledger_accounts a ON a.account_id = l.account_id
     WHERE NOT EXISTS (SELECT FROM vouchers v WHERE v.programme = p.programme
                          AND a.name IN ('voucher/' || v.city || '/' || v.voucher,
                                         'voucher/' || v.city || '/' || v.voucher || '-rest'))
     ORDER BY a.name
"""
# A hold that was placed while the voucher was suspended, or after its time: nothing may have been captured of it.
LATE_HOLDS: Final = """
    WITH closed AS (
        SELECT v.voucher, v.city, s.at AS since,
               coalesce((SELECT min(n.at) FROM voucher_story n
                          WHERE n.voucher = v.voucher AND n.story_id > s.story_id
                            AND n.event IN ('resumed', 'papers_complete')), 'infinity') AS until
          FROM vouchers v JOIN voucher_story s ON s.voucher = v.voucher AND s.event IN ('suspended', 'papers_overdue')
         UNION ALL
        SELECT voucher, city, valid_until, 'infinity' FROM vouchers
    )
    SELECT c.voucher, h.transaction_id, min(c.since)
      FROM closed c JOIN ledger_accounts a ON a.name = 'voucher/' || c.city || '/' || c.voucher
      JOIN ledger_hold_parts part ON part.account_id = a.account_id AND part.captured_micro_yuan > 0
      JOIN ledger_transactions h ON h.transaction_id = part.hold_id AND h.at > c.since AND h.at < c.until
     GROUP BY c.voucher, h.transaction_id ORDER BY h.transaction_id
"""
CONTRACTS: Final = """
    SELECT provider, contract_plain, count(*) FROM voucher_applications
     WHERE state IN ('submitted', 'in_review', 'granted')
     GROUP BY provider, contract_plain HAVING count(*) > 1 ORDER BY provider, contract_plain
"""


async def read(hub: Any) -> VoucherFacts:
    """Return what the tables say of vouchers; `hub` is a transaction that sees all cities, in one snapshot."""
    return VoucherFacts(
        budgets=tuple(BudgetFact(*r.values()) for r in await hub.fetch(BUDGETS)),
        misgranted=tuple(tuple(r.values()) for r in await hub.fetch(MISGRANTED)),
        strange_money=tuple(r["name"] for r in await hub.fetch(STRANGE_MONEY)),
        late_holds=tuple(tuple(r.values()) for r in await hub.fetch(LATE_HOLDS)),
        contracts=tuple(tuple(r.values()) for r in await hub.fetch(CONTRACTS)),
    )


def a_budget_is_granted_or_left(facts: "Facts") -> Iterator[str]:
    """What was paid into a programme's budget is what it granted, less what came back, and what is left."""
    for b in facts.vouchers.budgets:
        if b.paid_in != b.granted - b.returned + b.left or b.granted != b.drawn:
            yield (
                f"budget of {b.programme}: {b.paid_in} paid in; {b.granted} granted ({b.drawn} drawn),"
                f" {b.returned} came back, {b.left} left"
            )


def money_of_a_programme_belongs_to_a_grant(facts: "Facts") -> Iterator[str]:
    """Each voucher got from the budget what was granted, and nobody else got anything."""
    for voucher, granted, drawn in facts.vouchers.misgranted:
        yield f"voucher {voucher} was granted {granted} micro-yuan, and {drawn} left the budget for it"
    for account in facts.vouchers.strange_money:
        yield f"{account} got money of a programme and belongs to no grant"


def no_suspended_voucher_pays_for_new_work(facts: "Facts") -> Iterator[str]:
    """Nothing was captured of a hold that was placed while its voucher was suspended, or after its time."""
    for voucher, hold, since in facts.vouchers.late_holds:
        yield f"hold-{hold} drew on voucher {voucher}, which did not pay since {since.isoformat()}"


def a_contract_is_subsidised_once(facts: "Facts") -> Iterator[str]:
    """One contract is claimed by one application, over all programmes and sides."""
    for provider, contract, times in facts.vouchers.contracts:
        yield f"contract {contract} with {provider} is claimed {times} times"


RULES: Final = (
    a_budget_is_granted_or_left,
    money_of_a_programme_belongs_to_a_grant,
    no_suspended_voucher_pays_for_new_work,
    a_contract_is_subsidised_once,
)
