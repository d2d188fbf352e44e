"""Credit notes as lists show them: what was given back, and the lease that it is about."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.ids import JobId, LeaseId, TransactionId
from broker.papers.paper import CreditNote
from broker.store.database import Connection
from broker.store.papers import credit_note


@dataclass(frozen=True, slots=True)
class ListedNote:
    """A credit note, and what it is about.

    Attributes:
        transaction: its number.
        note: what the paper of its account says of it.
        lease: that its hold paid for; None: none.
        job: of the lease.
    """

    transaction: TransactionId
    note: CreditNote
    lease: LeaseId | None
    job: JobId | None


@dataclass(frozen=True, slots=True)
class NotesWanted:
    """Which credit notes are asked for; what is not set lets everything pass. `given`: from, and before."""

    city: str | None = None
    owner: str | None = None
    given: tuple[datetime, datetime] | None = None


# A hold of a quote is the hold of its lease once it has one. What two holds of one lease paid for is still one lease.
NOTES: Final[LiteralString] = """
    SELECT t.transaction_id, t.at, t.reference, t.hold_id, taker.name AS account, coalesce(payer.name, '') AS payer,
           got.micro_yuan, l.lease_id, l.job_id
      FROM ledger_transactions t JOIN ledger_postings got USING (transaction_id)
      JOIN ledger_accounts taker ON taker.account_id = got.account_id
      LEFT JOIN ledger_postings gave ON gave.transaction_id = t.transaction_id AND gave.micro_yuan < 0
      LEFT JOIN ledger_accounts payer ON payer.account_id = gave.account_id
      LEFT JOIN LATERAL (SELECT lease_id, job_id FROM leases WHERE hold_id = t.hold_id
                          ORDER BY lease_id DESC LIMIT 1) l ON true
     WHERE t.kind = 'credit_note' AND got.micro_yuan > 0 AND ($1::bigint IS NULL OR t.transaction_id < $1)
       AND ($2::text IS NULL OR taker.city = $2) AND ($3::text IS NULL OR payer.owner = $3)
       AND ($4::timestamptz IS NULL OR t.at >= $4) AND ($5::timestamptz IS NULL OR t.at < $5)
     ORDER BY t.transaction_id DESC LIMIT $6
"""


async def page(tx: Connection, wanted: NotesWanted, before: TransactionId | None, limit: int) -> list[ListedNote]:
    """Return a page of credit notes, newest first, with numbers below `before`. A city does not see who gave them."""
    begin, end = wanted.given or (None, None)
    return [
        ListedNote(
            TransactionId(r["transaction_id"]),
            credit_note(r),
            None if r["lease_id"] is None else LeaseId(r["lease_id"]),
            None if r["job_id"] is None else JobId(r["job_id"]),
        )
        for r in await tx.fetch(NOTES, before, wanted.city, wanted.owner, begin, end, limit)
    ]
