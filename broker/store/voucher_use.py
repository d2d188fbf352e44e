"""What a voucher paid for, lease by lease: captures, the books' postings, cards, power, the signed policy."""

from typing import Final, LiteralString

from broker.ids import JobId, LeaseId, job_text, lease_text
from broker.store.database import Connection
from broker.vouchers.evidence import LeaseUse

USE: Final[LiteralString] = """
    WITH paid AS (
        SELECT lc.lease_id, sum(lc.minutes)::bigint AS minutes, sum(-p.micro_yuan)::bigint AS micro_yuan
          FROM ledger_postings p JOIN lease_captures lc USING (transaction_id)
         WHERE p.account_id = (SELECT account_id FROM ledger_accounts WHERE name = $1) GROUP BY lc.lease_id
    ), held AS (
        SELECT n.lease_id, sum(CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards)
                                                  ELSE n.tasks * n.share_milli END)::bigint AS milli_cards
          FROM lease_nodes n JOIN paid USING (lease_id) GROUP BY n.lease_id
    )
    SELECT l.lease_id, l.job_id, l.cluster, c.owner, c.hub, po.model, l.started_at, l.ended_at, held.milli_cards,
           paid.minutes, m.fp16_programme_milli_tflops, m.watts + m.host_watts AS watts, h.pue_milli, paid.micro_yuan,
           coalesce(lp.statement, '') AS statement, coalesce(encode(lp.signature, 'hex'), '') AS signature
      FROM paid JOIN held USING (lease_id) JOIN leases l USING (lease_id) JOIN pools po USING (pool_id)
      JOIN accelerator_models m USING (model) JOIN clusters c ON c.cluster = l.cluster JOIN hubs h USING (hub)
      LEFT JOIN lease_policies lp USING (lease_id)
     ORDER BY l.lease_id
"""


async def use(tx: Connection, account: str) -> list[LeaseUse]:
    """Return the leases for which a voucher's account paid, by number."""
    return [
        LeaseUse(lease_text(LeaseId(lease)), job_text(JobId(job)), *rest)
        for lease, job, *rest in [tuple(r.values()) for r in await tx.fetch(USE, account)]
    ]
