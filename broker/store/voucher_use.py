"""What a voucher paid for, lease by lease: captures, the books' postings, cards, power, the signed policy."""

from typing import Final, LiteralString

from broker.ids import JobId, LeaseId, job_text, lease_text
from broker.store.database import Connection
from broker.store.figures import FP16_THEN, POWER_THEN
from broker.vouchers.evidence import LeaseUse

USE: Final[LiteralString] = (
    """
    WITH paid AS (
        SELECT lc.lease_id, sum(lc.minutes)::bigint AS minutes, sum(-p.micro_yuan)::bigint AS micro_yuan
          FROM ledger_postings p JOIN lease_captures lc USING (transaction_id)
         WHERE p.account_id = (SELECT account_id FROM ledger_accounts WHERE name = $1) GROUP BY lc.lease_id
    ), held AS (
        SELECT n.lease_id, sum(CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards)
                                                  ELSE n.tasks * n.share_milli END)::bigint AS milli_cards
          FROM lease_nodes n JOIN paid USING (lease_id) GROUP BY n.lease_id
    )
    SELECT l.lease_id, l.job_id, l.cluster, c.owner, c.hub, p.model, l.started_at, l.ended_at, held.milli_cards,
           paid.minutes, f.programme, w.watts, h.pue_milli, paid.micro_yuan,
           coalesce(lp.statement, '') AS statement, coalesce(encode(lp.signature, 'hex'), '') AS signature
      FROM paid JOIN held USING (lease_id) JOIN leases l USING (lease_id) JOIN pools p USING (pool_id)
      JOIN clusters c ON c.cluster = l.cluster LEFT JOIN lease_policies lp USING (lease_id)
"""
    + FP16_THEN
    + POWER_THEN
    + """
     ORDER BY l.lease_id
"""
)


async def use(tx: Connection, account: str) -> list[LeaseUse]:
    """Return the leases for which a voucher's account paid, by number."""
    return [
        LeaseUse(lease_text(LeaseId(lease)), job_text(JobId(job)), *rest)
        for lease, job, *rest in [tuple(r.values()) for r in await tx.fetch(USE, account)]
    ]
