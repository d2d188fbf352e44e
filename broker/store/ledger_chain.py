"""The audit chain: transactions that are committed get their hashes, in batches, each after the one before."""

from dataclasses import dataclass
from typing import Any, Final, LiteralString

from broker.ledger.chain import START, Entry, link, text_of
from broker.store.database import Connection

_LOCK_KEY: Final = 0x6C6564676572  # "ledger"

ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_try_advisory_xact_lock($1)"
LAST: Final[LiteralString] = "SELECT position, sha256 FROM ledger_chain ORDER BY position DESC LIMIT 1"
_ENTRY_FIELDS: Final[LiteralString] = """
    t.transaction_id, t.kind, t.reference, t.request_key, t.body_sha256, t.at, t.hold_id,
    (SELECT jsonb_agg(jsonb_build_array(a.name, p.pocket, p.micro_yuan) ORDER BY p.line)
       FROM ledger_postings p JOIN ledger_accounts a USING (account_id) WHERE p.transaction_id = t.transaction_id)
    AS postings
"""
WAITING: Final[LiteralString] = f"""
    SELECT {_ENTRY_FIELDS} FROM (SELECT transaction_id FROM ledger_unchained ORDER BY transaction_id LIMIT $1) w
      JOIN ledger_transactions t USING (transaction_id) ORDER BY t.transaction_id
"""
ADD: Final[LiteralString] = """
    WITH gone AS (DELETE FROM ledger_unchained WHERE transaction_id = ANY($2))
    INSERT INTO ledger_chain (position, transaction_id, sha256)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
"""


async def extend(tx: Connection, batch: int) -> int:
    """Put at most `batch` committed transactions into the chain; return how many, 0 while another process does it."""
    if not await tx.fetchval(ONE_AT_A_TIME, _LOCK_KEY):
        return 0
    rows = await tx.fetch(WAITING, batch)
    if not rows:
        return 0
    last = await tx.fetchrow(LAST)
    position, sha256 = (last["position"], last["sha256"]) if last else (0, START)
    hashes = []
    for row in rows:
        sha256 = link(sha256, text_of(_entry(row)))
        hashes.append(sha256)
    positions = list(range(position + 1, position + 1 + len(rows)))
    await tx.execute(ADD, positions, [r["transaction_id"] for r in rows], hashes)
    return len(rows)


@dataclass(frozen=True, slots=True)
class Chained:
    """A transaction with its place in the chain and its hash."""

    position: int
    sha256: bytes
    text: str


PAGE: Final[LiteralString] = f"""
    SELECT c.position, c.sha256, {_ENTRY_FIELDS} FROM ledger_chain c JOIN ledger_transactions t USING (transaction_id)
     WHERE c.position > $1 ORDER BY c.position LIMIT $2
"""


async def page(tx: Connection, after: int, limit: int) -> list[Chained]:
    """Return the next part of the chain behind a position."""
    return [Chained(r["position"], r["sha256"], text_of(_entry(r))) for r in await tx.fetch(PAGE, after, limit)]


def _entry(row: Any) -> Entry:
    return Entry(
        transaction=row["transaction_id"],
        kind=row["kind"],
        reference=row["reference"],
        request_key=row["request_key"],
        body_sha256=row["body_sha256"],
        at=row["at"],
        hold=row["hold_id"],
        postings=row["postings"],
    )
