"""What the ledger shows: accounts, balances and postings. A transaction of a city or an owner sees its own only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import HoldId, TransactionId
from broker.ledger.accounts import AccountKind, Pocket
from broker.ledger.transactions import TransactionKind
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account and where it stands, in micro-yuan."""

    name: str
    kind: AccountKind
    opened_at: datetime
    closed_at: datetime | None
    available: int  # of an account without a balance row: the sum of its postings
    held: int


ACCOUNTS: Final[LiteralString] = """
    SELECT a.name, a.kind, a.opened_at, a.closed_at,
           CASE WHEN b.account_id IS NOT NULL THEN b.available_micro_yuan
                ELSE (SELECT coalesce(sum(p.micro_yuan), 0)::bigint FROM ledger_postings p
                       WHERE p.account_id = a.account_id) END AS available,
           coalesce(b.held_micro_yuan, 0) AS held
      FROM ledger_accounts a LEFT JOIN ledger_balances b USING (account_id)
     WHERE ($1::text IS NULL OR a.name = $1) AND ($2::text IS NULL OR a.city = $2) AND ($3::text IS NULL OR a.kind = $3)
       AND a.name COLLATE "C" > $4
     ORDER BY a.name COLLATE "C" LIMIT $5
"""


async def accounts(
    tx: Connection, *, city: str | None = None, kind: AccountKind | None = None, after: str = "", limit: int
) -> list[AccountRow]:
    """Return a page of accounts by name, behind the name `after`."""
    return [_account(r) for r in await tx.fetch(ACCOUNTS, None, city, kind, after, limit)]


async def account(tx: Connection, name: str) -> AccountRow | None:
    """Return one account, None where there is none that may be seen."""
    rows = await tx.fetch(ACCOUNTS, name, None, None, "", 1)
    return _account(rows[0]) if rows else None


def _account(r: Any) -> AccountRow:
    return AccountRow(r["name"], AccountKind(r["kind"]), r["opened_at"], r["closed_at"], r["available"], r["held"])


@dataclass(frozen=True, slots=True)
class PostingRow:
    """A posting of an account, with the transaction that it belongs to."""

    transaction: TransactionId
    kind: TransactionKind
    reference: str
    at: datetime
    hold: HoldId | None
    line: int
    pocket: Pocket
    micro_yuan: int


POSTINGS: Final[LiteralString] = """
    SELECT t.transaction_id, t.kind, t.reference, t.at, t.hold_id, p.line, p.pocket, p.micro_yuan
      FROM ledger_postings p JOIN ledger_transactions t USING (transaction_id)
     WHERE p.account_id = (SELECT account_id FROM ledger_accounts WHERE name = $1)
       AND ($2::bigint IS NULL OR (p.transaction_id, p.line) < ($2, $3::smallint))
     ORDER BY p.transaction_id DESC, p.line DESC LIMIT $4
"""


async def postings(tx: Connection, name: str, before: tuple[int, int] | None, limit: int) -> list[PostingRow]:
    """Return a page of an account's postings, newest first, older than the (transaction, line) `before`."""
    number, line = before or (None, None)
    return [
        PostingRow(
            TransactionId(r["transaction_id"]),
            TransactionKind(r["kind"]),
            r["reference"],
            r["at"],
            None if r["hold_id"] is None else HoldId(r["hold_id"]),
            r["line"],
            Pocket(r["pocket"]),
            r["micro_yuan"],
        )
        for r in await tx.fetch(POSTINGS, name, number, line, limit)
    ]
