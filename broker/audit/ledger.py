"""The books: what must hold of accounts, transactions, holds and the chain. With SQL and arithmetic of its own."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts

NEVER_BELOW_ZERO: Final = frozenset({"city", "enterprise", "voucher", "budget"})
"""Kinds of accounts with a balance row; written down here a second time on purpose."""

CHAIN_BREAKS_MAX: Final = 20
"""Once it is broken, every later hash is wrong as well: the first ones tell where."""


@dataclass(frozen=True, slots=True)
class BalanceFact:
    """An account: its balance row, and the sums of its postings and of its open holds, in micro-yuan."""

    account: str
    kind: str
    available: int | None  # None: no balance row
    held: int | None
    posted_available: int
    posted_held: int
    open_in_holds: int


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What is wrong in the books, as far as the database can tell it, and what the rules judge."""

    transactions: int = 0
    unbalanced: tuple[tuple[int, int, int, int], ...] = ()  # transaction, its sum, its postings, what it should have
    balances: tuple[BalanceFact, ...] = ()
    wrong_parts: tuple[tuple[int, str, str], ...] = ()  # hold, account, what differs
    wrong_holds: tuple[tuple[int, str], ...] = ()  # hold, what is wrong
    late_captures: tuple[tuple[int, int], ...] = ()  # transaction, hold
    chain_breaks: tuple[str, ...] = ()
    outside_chain: tuple[int, ...] = ()  # transactions that are in no chain and do not wait for it


UNBALANCED: Final = """
    SELECT t.transaction_id, coalesce(sum(p.micro_yuan), 0)::bigint, count(p.line), t.lines::bigint
      FROM ledger_transactions t LEFT JOIN ledger_postings p USING (transaction_id)
     GROUP BY t.transaction_id HAVING coalesce(sum(p.micro_yuan), 0) <> 0 OR count(p.line) <> t.lines
     ORDER BY t.transaction_id
"""
BALANCES: Final = """
    SELECT a.name, a.kind, b.available_micro_yuan, b.held_micro_yuan,
           coalesce(p.available, 0)::bigint, coalesce(p.held, 0)::bigint, coalesce(h.still_open, 0)::bigint
      FROM ledger_accounts a LEFT JOIN ledger_balances b USING (account_id)
      LEFT JOIN (SELECT account_id, sum(micro_yuan) FILTER (WHERE pocket = 'available') AS available,
                        sum(micro_yuan) FILTER (WHERE pocket = 'held') AS held
                   FROM ledger_postings GROUP BY account_id) p USING (account_id)
      LEFT JOIN (SELECT account_id, sum(held_micro_yuan - captured_micro_yuan - released_micro_yuan) AS still_open
                   FROM ledger_hold_parts GROUP BY account_id) h USING (account_id)
     ORDER BY a.name
"""
WRONG_PARTS: Final = """
    WITH posted AS (
        SELECT coalesce(t.hold_id, t.transaction_id) AS hold_id, p.account_id,
               sum(CASE t.kind WHEN 'hold' THEN p.micro_yuan ELSE 0 END) AS held,
               sum(CASE t.kind WHEN 'capture' THEN -p.micro_yuan ELSE 0 END) AS captured,
               sum(CASE WHEN t.kind IN ('release', 'expiry') THEN -p.micro_yuan ELSE 0 END) AS released
          FROM ledger_postings p JOIN ledger_transactions t USING (transaction_id)
         WHERE p.pocket = 'held' GROUP BY 1, 2
    )
    SELECT hold_id, coalesce(a.name, '?'),
           format('held %s, captured %s, released %s; posted %s, %s, %s', h.held_micro_yuan, h.captured_micro_yuan,
                  h.released_micro_yuan, p.held, p.captured, p.released)
      FROM ledger_hold_parts h FULL JOIN posted p USING (hold_id, account_id)
      LEFT JOIN ledger_accounts a USING (account_id)
     WHERE (h.held_micro_yuan, h.captured_micro_yuan, h.released_micro_yuan)
           IS DISTINCT FROM (p.held, p.captured, p.released)
     ORDER BY hold_id
"""
WRONG_HOLDS: Final = """
    SELECT hold_id, format('is %s with %s of %s captured and %s released', coalesce(h.state, 'not there'), p.captured,
                           p.held, p.released)
      FROM ledger_holds h
      FULL JOIN (SELECT transaction_id AS hold_id FROM ledger_transactions WHERE kind = 'hold') t USING (hold_id)
      LEFT JOIN (SELECT hold_id, sum(held_micro_yuan) AS held, sum(captured_micro_yuan) AS captured,
                        sum(released_micro_yuan) AS released FROM ledger_hold_parts GROUP BY hold_id) p USING (hold_id)
     WHERE t.hold_id IS NULL OR NOT coalesce(CASE h.state
               WHEN 'open' THEN p.captured + p.released < p.held AND p.released = 0
               WHEN 'captured' THEN p.captured = p.held AND p.released = 0
               ELSE p.captured + p.released = p.held AND p.released > 0 END, false)
     ORDER BY hold_id
"""
LATE_CAPTURES: Final = """
    SELECT DISTINCT t.transaction_id, t.hold_id
      FROM ledger_transactions t JOIN ledger_holds h USING (hold_id) JOIN ledger_postings p USING (transaction_id)
     WHERE t.kind = 'capture' AND t.at > h.settles_until AND p.pocket = 'held' ORDER BY t.transaction_id
"""
CHAIN: Final = """
    SELECT c.position, c.sha256, t.transaction_id, t.kind, t.reference, t.request_key, t.body_sha256, t.at, t.hold_id,
           (SELECT jsonb_agg(jsonb_build_array(a.name, p.pocket, p.micro_yuan) ORDER BY p.line)::text
              FROM ledger_postings p JOIN ledger_accounts a USING (account_id)
             WHERE p.transaction_id = t.transaction_id) AS postings
      FROM ledger_chain c JOIN ledger_transactions t USING (transaction_id) ORDER BY c.position
"""
OUTSIDE_CHAIN: Final = """
    SELECT transaction_id FROM ledger_transactions t
     WHERE NOT EXISTS (SELECT FROM ledger_chain c WHERE c.transaction_id = t.transaction_id)
       AND NOT EXISTS (SELECT FROM ledger_unchained u WHERE u.transaction_id = t.transaction_id)
     ORDER BY transaction_id
"""


async def read(hub: Any) -> LedgerFacts:
    """Return what the tables say of the books; `hub` is a transaction that sees all cities, in one snapshot."""
    return LedgerFacts(
        transactions=await hub.fetchval("SELECT count(*) FROM ledger_transactions"),
        unbalanced=tuple(tuple(r.values()) for r in await hub.fetch(UNBALANCED)),
        balances=tuple(BalanceFact(*r.values()) for r in await hub.fetch(BALANCES)),
        wrong_parts=tuple(tuple(r.values()) for r in await hub.fetch(WRONG_PARTS)),
        wrong_holds=tuple(tuple(r.values()) for r in await hub.fetch(WRONG_HOLDS)),
        late_captures=tuple(tuple(r.values()) for r in await hub.fetch(LATE_CAPTURES)),
        chain_breaks=tuple([told async for told in _chain_breaks(hub)]),
        outside_chain=tuple(r["transaction_id"] for r in await hub.fetch(OUTSIDE_CHAIN)),
    )


async def _chain_breaks(hub: Any) -> Any:
    before, due, told = bytes(32), 1, 0
    async for r in hub.cursor(CHAIN, prefetch=1000):
        sha256 = hashlib.sha256(before + chain_text(_fields(r)).encode()).digest()
        if r["position"] != due or sha256 != r["sha256"]:
            yield f"transaction-{r['transaction_id']} at position {r['position']}, where {due} is due"
            told += 1
            if told >= CHAIN_BREAKS_MAX:
                return
        before, due = r["sha256"], r["position"] + 1  # so that one change is one break


def _fields(r: Any) -> dict[str, Any]:
    return {
        "transaction": r["transaction_id"],
        "kind": r["kind"],
        "reference": r["reference"],
        "request_key": r["request_key"],
        "body_sha256": r["body_sha256"].hex(),
        "at": r["at"].astimezone(UTC).isoformat(timespec="microseconds"),
        "hold": r["hold_id"],
        "postings": json.loads(r["postings"] or "[]"),
    }


def chain_text(fields: dict[str, Any]) -> str:
    """Return the text of a transaction that its hash covers."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def every_transaction_balances(facts: "Facts") -> Iterator[str]:
    """Debits equal credits, and no posting is missing or was added."""
    for number, total, found, lines in facts.ledger.unbalanced:
        yield f"transaction-{number} has {found} of {lines} postings, with a sum of {total} micro-yuan"


def balances_are_sums_of_postings(facts: "Facts") -> Iterator[str]:
    """A balance row says what the postings of its account add up to; accounts that can go below zero have none."""
    for b in facts.ledger.balances:
        if (b.available is not None) != (b.kind in NEVER_BELOW_ZERO):
            yield f"{b.account} has {'a' if b.available is not None else 'no'} balance row"
        elif b.available is not None and (b.available, b.held) != (b.posted_available, b.posted_held):
            yield (
                f"{b.account} has {b.available} available and {b.held} held,"
                f" its postings say {b.posted_available} and {b.posted_held}"
            )


def no_account_is_below_zero(facts: "Facts") -> Iterator[str]:
    """Prepaid money, vouchers and budgets are never overdrawn, and nothing is held that is not there."""
    for b in facts.ledger.balances:
        lowest = min(b.posted_held, b.held or 0)
        if b.kind in NEVER_BELOW_ZERO:
            lowest = min(lowest, b.posted_available, b.available or 0)
        if lowest < 0:
            yield f"{b.account} is at {lowest} micro-yuan"


def holds_add_up(facts: "Facts") -> Iterator[str]:
    """Held is captured plus released plus open: by part as posted, by state, and by what its account has held."""
    for number, account, told in facts.ledger.wrong_parts:
        yield f"hold-{number}, part of {account}: {told}"
    for number, told in facts.ledger.wrong_holds:
        yield f"hold-{number} {told}"
    for b in facts.ledger.balances:
        if b.posted_held != b.open_in_holds:
            yield f"{b.account} has {b.posted_held} held, its holds have {b.open_in_holds} open"


def late_captures_are_the_platforms_loss(facts: "Facts") -> Iterator[str]:
    """What was captured after a hold's settlement window took nothing from it."""
    for number, hold in facts.ledger.late_captures:
        yield f"transaction-{number} took money of hold-{hold} after its settlement window"


def the_chain_is_unbroken(facts: "Facts") -> Iterator[str]:
    """Every transaction is in the chain or waits for it, and every hash is that of its text and the hash before."""
    for told in facts.ledger.chain_breaks:
        yield f"the chain is broken at {told}"
    for number in facts.ledger.outside_chain:
        yield f"transaction-{number} is not in the chain and does not wait for it"


RULES: Final = (
    every_transaction_balances,
    balances_are_sums_of_postings,
    no_account_is_below_zero,
    holds_add_up,
    late_captures_are_the_platforms_loss,
    the_chain_is_unbroken,
)
