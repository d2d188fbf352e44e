"""What papers are made of: captures of a month by lease, and credit notes. Nothing is stored for them."""

import json
from typing import Any, Final, LiteralString

from broker.ids import HoldId, JobId, TransactionId, hold_text, job_text, transaction_text
from broker.papers.month import Month
from broker.papers.paper import CreditNote, Part, WorkLine, micro_pflops_hours, policy_text
from broker.store.database import Connection
from broker.store.figures import FP16_THEN

# Of a lease: what it is, where it runs, with the figures of its model when it was offered, or the first ones that there
# are. `charged` is (lease_id, reference, minutes, late_minutes, names, amounts, fee, borne).
LEASE_FACTS: Final[LiteralString] = (
    """
    SELECT w.reference, w.minutes, w.late_minutes, w.names, w.amounts, w.fee, w.borne, l.job_id, l.city, j.enterprise,
           j.spec->>'workload_class' AS workload_class, c.hub, l.cluster, p.model, coalesce(held.milli, 0) AS milli,
           coalesce(l.ask_micro_yuan_per_card_hour + l.scarcity_micro_yuan_per_card_hour, 0) AS price,
           coalesce(l.rate_card_version, 0) AS rate_card_version, coalesce(f.nameplate, 0) AS nameplate,
           coalesce(f.programme, 0) AS programme, coalesce(f.measured, 0) AS measured, s.statement
      FROM charged w LEFT JOIN leases l USING (lease_id) LEFT JOIN jobs j USING (job_id)
      LEFT JOIN clusters c ON c.cluster = l.cluster LEFT JOIN pools p ON p.pool_id = l.pool_id
      LEFT JOIN lease_policies s ON s.lease_id = w.lease_id
      LEFT JOIN LATERAL (
          SELECT sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards)
                                      ELSE tasks * share_milli END)::bigint AS milli
            FROM lease_nodes n WHERE n.lease_id = w.lease_id
      ) held ON true
"""
    + FP16_THEN
    + """
     ORDER BY w.lease_id NULLS LAST, w.reference COLLATE "C"
"""
)
CHARGED: Final[LiteralString] = """
    , work AS (
        SELECT lease_id, reference, sum(minutes)::bigint AS minutes,
               coalesce(sum(minutes) FILTER (WHERE late), 0)::bigint AS late_minutes
          FROM taken GROUP BY lease_id, reference
    ), sums AS (
        SELECT t.lease_id, t.reference, a.name, a.kind, sum(p.micro_yuan)::bigint AS micro_yuan
          FROM taken t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
         GROUP BY t.lease_id, t.reference, a.name, a.kind
    ), shared AS (
        SELECT coalesce(lease_id, 0) AS lease, reference,
               array_agg(name ORDER BY name COLLATE "C") FILTER (WHERE kind = ANY($1)) AS names,
               array_agg(abs(micro_yuan) ORDER BY name COLLATE "C") FILTER (WHERE kind = ANY($1)) AS amounts,
               coalesce(sum(micro_yuan) FILTER (WHERE kind = 'fee'), 0)::bigint AS fee,
               coalesce(-sum(micro_yuan) FILTER (WHERE kind = 'platform_loss'), 0)::bigint AS borne
          FROM sums GROUP BY 1, 2
    ), charged AS (
        SELECT w.*, s.names, s.amounts, s.fee, s.borne
          FROM work w JOIN shared s ON s.lease = coalesce(w.lease_id, 0) AND s.reference = w.reference
    )
"""
# What is on one of a city's accounts; a city's own transaction sees no more, so that its own rows are the second fence.
INVOICE: Final[LiteralString] = (
    """
    WITH taken AS (
        SELECT t.transaction_id, k.lease_id, coalesce('lease-' || k.lease_id, t.reference) AS reference,
               coalesce(k.minutes, 0) AS minutes, coalesce(k.late, false) AS late
          FROM ledger_transactions t LEFT JOIN lease_captures k USING (transaction_id)
          LEFT JOIN leases l USING (lease_id) LEFT JOIN jobs j USING (job_id)
         WHERE t.kind = 'capture' AND t.at >= $2 AND t.at < $3 AND ($5::text IS NULL OR j.enterprise = $5)
           AND EXISTS (SELECT FROM ledger_postings p JOIN ledger_accounts a USING (account_id)
                        WHERE p.transaction_id = t.transaction_id AND p.pocket = 'held' AND a.city = $4)
    )"""
    + CHARGED
    + LEASE_FACTS
)
STATEMENT: Final[LiteralString] = (
    """
    WITH taken AS (
        SELECT t.transaction_id, k.lease_id, coalesce('lease-' || k.lease_id, t.reference) AS reference,
               coalesce(k.minutes, 0) AS minutes, coalesce(k.late, false) AS late
          FROM ledger_transactions t LEFT JOIN lease_captures k USING (transaction_id)
         WHERE t.kind = 'capture' AND t.at >= $2 AND t.at < $3
           AND EXISTS (SELECT FROM ledger_postings p JOIN ledger_accounts a USING (account_id)
                        WHERE p.transaction_id = t.transaction_id AND a.name = 'owner/' || $4::text)
    )"""
    + CHARGED
    + LEASE_FACTS
)

PAYERS: Final = ["voucher", "enterprise", "city"]
"""Kinds of accounts whose part of a capture is on an invoice."""


async def invoice_lines(tx: Connection, month: Month, city: str, enterprise: str | None) -> list[WorkLine]:
    """Return what the accounts of a city paid in a month, by lease; of an enterprise: for the jobs that name it."""
    rows = await tx.fetch(INVOICE, PAYERS, month.begins_at, month.ends_at, city, enterprise)
    # What the exchange kept or paid is the owner's business and its own: a city's transaction does not even see it.
    return [_line(r) for r in rows]


async def statement_lines(tx: Connection, month: Month, owner: str) -> list[WorkLine]:
    """Return what an owner's account got in a month, by lease, with the fee and what the exchange paid of the price."""
    rows = await tx.fetch(STATEMENT, ["owner"], month.begins_at, month.ends_at, owner)
    return [_line(r, fee=r["fee"], borne=r["borne"], enterprise="") for r in rows]


CREDIT_NOTES: Final[LiteralString] = """
    SELECT t.transaction_id, t.at, t.reference, t.hold_id, taker.name AS account,
           coalesce(payer.name, '') AS payer, got.micro_yuan
      FROM ledger_transactions t JOIN ledger_postings got USING (transaction_id)
      JOIN ledger_accounts taker ON taker.account_id = got.account_id
      LEFT JOIN ledger_postings gave ON gave.transaction_id = t.transaction_id AND gave.micro_yuan < 0
      LEFT JOIN ledger_accounts payer ON payer.account_id = gave.account_id
     WHERE t.kind = 'credit_note' AND got.micro_yuan > 0 AND t.at >= $1 AND t.at < $2
       AND ($3::text IS NULL OR taker.city = $3) AND ($5::text IS NULL OR payer.owner = $5)
       AND ($4::text IS NULL OR taker.name = 'enterprise/' || $3 || '/' || $4
            OR EXISTS (SELECT FROM leases l JOIN jobs j USING (job_id)
                        WHERE l.hold_id = t.hold_id AND j.enterprise = $4))
     ORDER BY t.transaction_id
"""


async def credit_notes(
    tx: Connection, month: Month, *, city: str | None = None, enterprise: str | None = None, owner: str | None = None
) -> list[CreditNote]:
    """Return the credit notes of a month to a city's accounts, for an enterprise of it, or out of an owner's.

    A city's transaction does not see who gave it: the payer is then empty.
    """
    return [
        credit_note(r) for r in await tx.fetch(CREDIT_NOTES, month.begins_at, month.ends_at, city, enterprise, owner)
    ]


HOLD_ABOUT: Final[LiteralString] = """
    SELECT hold_id, city FROM ledger_holds
     WHERE hold_id = coalesce($2, (SELECT hold_id FROM leases WHERE 'lease-' || lease_id = $1 AND lease_id = $3))
        OR ($2::bigint IS NULL AND reference = $1)
     ORDER BY hold_id DESC LIMIT 1
"""


async def hold_about(tx: Connection, about: str) -> tuple[HoldId, str] | None:
    """Return the hold that "hold-5", "lease-7" or "quote-7" is about, the newest of several, and whose city's it is."""
    kind, _, number = about.partition("-")
    hold = int(number) if kind == "hold" else None
    row = await tx.fetchrow(HOLD_ABOUT, about, hold, int(number) if kind == "lease" else None)
    return None if row is None else (HoldId(row["hold_id"]), row["city"])


def _line(r: Any, *, fee: int = 0, borne: int = 0, enterprise: str | None = None) -> WorkLine:
    parts = tuple(Part(*part) for part in zip(r["names"] or (), r["amounts"] or (), strict=True))
    if r["job_id"] is None:
        return WorkLine(r["reference"], minutes=r["minutes"], parts=parts, fee_micro_yuan=fee, borne_micro_yuan=borne)
    signed = json.loads(r["statement"]) if r["statement"] else {}
    return WorkLine(
        reference=r["reference"],
        job=job_text(JobId(r["job_id"])),
        city=r["city"],
        enterprise=r["enterprise"] if enterprise is None else enterprise,
        workload_class=r["workload_class"],
        hub=signed.get("hub", r["hub"]),
        cluster=r["cluster"],
        model=r["model"],
        milli_cards=r["milli"],
        minutes=r["minutes"],
        late_minutes=r["late_minutes"],
        micro_yuan_per_card_hour=r["price"],
        rate_card_version=r["rate_card_version"],
        nameplate_micro_pflops_hours=micro_pflops_hours(r["nameplate"], r["milli"], r["minutes"]),
        programme_micro_pflops_hours=micro_pflops_hours(r["programme"], r["milli"], r["minutes"]),
        measured_micro_pflops_hours=micro_pflops_hours(r["measured"], r["milli"], r["minutes"]),
        policy=policy_text(
            domestic_only=signed.get("domestic_only", False),
            hubs=signed.get("allowed_hubs", ()),
            owners=signed.get("allowed_owners", ()),
        ),
        parts=parts,
        fee_micro_yuan=fee,
        borne_micro_yuan=borne,
    )


def credit_note(r: Any) -> CreditNote:
    """Return the credit note of a row."""
    return CreditNote(
        transaction_text(TransactionId(r["transaction_id"])),
        r["at"],
        r["reference"],
        "" if r["hold_id"] is None else hold_text(HoldId(r["hold_id"])),
        r["account"],
        r["payer"],
        r["micro_yuan"],
    )
