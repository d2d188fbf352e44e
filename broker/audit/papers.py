"""Papers: each posting that invoices and statements are sums of is on exactly one line of one of them.

Papers are drawn by what is audited here, so they are not drawn a second time. It is looked at what decides on which
papers a posting comes: whose accounts its transaction moves, whose lease it is about, its sign, pocket and month. Where
all of that is as it should be, the lines of a month add up to its postings. With SQL of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts


@dataclass(frozen=True, slots=True)
class PaperFacts:
    """Transactions that papers would show wrongly, and what is wrong; the first ones of each kind."""

    wrong: tuple[tuple[int, str], ...] = ()


FOUND_MAX: Final = 100

# An invoice shows all payers of a capture out of what was held on accounts of its city; a statement all owners.
CAPTURES: Final = """
    WITH shown AS (
        SELECT t.transaction_id,
               count(DISTINCT a.city) FILTER (WHERE a.kind IN ('city', 'enterprise', 'voucher')) AS cities,
               count(DISTINCT a.name) FILTER (WHERE a.kind = 'owner') AS owners,
               bool_or(a.kind IN ('city', 'enterprise', 'voucher')
                       AND (p.pocket <> 'held' OR p.micro_yuan > 0)) AS free,
               bool_or(a.kind = 'owner' AND p.micro_yuan < 0) AS taken,
               bool_or(a.kind IN ('city', 'enterprise', 'voucher') AND l.city <> a.city) AS foreign_lease,
               bool_or(a.kind = 'enterprise' AND a.name <> 'enterprise/' || j.city || '/' || j.enterprise) AS others
          FROM ledger_transactions t JOIN ledger_postings p USING (transaction_id)
          JOIN ledger_accounts a USING (account_id) LEFT JOIN lease_captures k USING (transaction_id)
          LEFT JOIN leases l USING (lease_id) LEFT JOIN jobs j USING (job_id)
         WHERE t.kind = 'capture' GROUP BY t.transaction_id
    )
    SELECT transaction_id, CASE WHEN cities > 1 THEN 'would be on the invoices of several cities'
                                WHEN owners > 1 THEN 'would be on the statements of several owners'
                                WHEN free THEN 'took from what was not held, or gave to who pays'
                                WHEN taken THEN 'took from an owner'
                                WHEN foreign_lease THEN 'was paid by another city than its lease is of'
                                ELSE 'was paid by another enterprise than its job names' END
      FROM shown WHERE cities > 1 OR owners > 1 OR free OR taken OR foreign_lease OR others
     ORDER BY transaction_id LIMIT $1
"""
CREDIT_NOTES: Final = """
    SELECT t.transaction_id, format(
               'gives to %s accounts of cities, out of %s of owners or the exchange, by %s postings',
               count(*) FILTER (WHERE p.micro_yuan > 0 AND a.kind IN ('city', 'enterprise', 'voucher')),
               count(*) FILTER (WHERE p.micro_yuan < 0 AND a.kind IN ('owner', 'fee', 'platform_loss')), count(*))
      FROM ledger_transactions t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
     WHERE t.kind = 'credit_note' GROUP BY t.transaction_id
    HAVING (count(*) FILTER (WHERE p.micro_yuan > 0 AND a.kind IN ('city', 'enterprise', 'voucher')),
            count(*) FILTER (WHERE p.micro_yuan < 0 AND a.kind IN ('owner', 'fee', 'platform_loss')), count(*))
           <> (1, 1, 2)
     ORDER BY t.transaction_id LIMIT $1
"""
# What is held or set free stays with its account: money leaves it by nothing that is on no paper.
UNSEEN: Final = """
    SELECT DISTINCT transaction_id, format('moved %s micro-yuan of %s, which no paper shows', sum(p.micro_yuan), a.name)
      FROM ledger_transactions t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
     WHERE t.kind IN ('hold', 'release', 'expiry') AND a.kind IN ('city', 'enterprise', 'voucher', 'owner')
     GROUP BY t.transaction_id, a.name HAVING sum(p.micro_yuan) <> 0
     ORDER BY transaction_id LIMIT $1
"""
# A month is closed an hour after its end, UTC+8. From then on its papers are the same bytes, so nothing may come to it.
REOPENED: Final = """
    SELECT transaction_id, 'was added to a month whose papers were final'
      FROM (SELECT transaction_id, kind, at,
                   max(at) OVER (ORDER BY transaction_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
              FROM ledger_transactions) t
     WHERE kind IN ('capture', 'credit_note')
       AND reached >= (date_trunc('month', at AT TIME ZONE 'UTC' + interval '8 hours') + interval '1 month'
                       - interval '8 hours') AT TIME ZONE 'UTC' + interval '1 hour'
     ORDER BY transaction_id LIMIT $1
"""


async def read(hub: Any) -> PaperFacts:
    """Return what the tables say of papers; `hub` is a transaction that sees all cities, in one snapshot."""
    wrong = []
    for query in (CAPTURES, CREDIT_NOTES, UNSEEN, REOPENED):
        wrong += [tuple(r.values()) for r in await hub.fetch(query, FOUND_MAX)]
    return PaperFacts(tuple(wrong))


def invoices_and_statements_are_what_was_posted(facts: "Facts") -> Iterator[str]:
    """What was posted on accounts of cities, enterprises, vouchers and owners is on one line of one paper each."""
    for number, told in facts.papers.wrong:
        yield f"transaction-{number} {told}"


RULES: Final = (invoices_and_statements_are_what_was_posted,)
