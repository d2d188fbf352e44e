"""The books checked against themselves with sums in the database: cheap enough to be done again and again.

`xisuan admin audit` looks from outside and at more; this is what an alert can hang on.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, LiteralString

from broker.store.database import Connection
from broker.store.rules import ONE_VIEW

OVERDUE: Final = timedelta(hours=1)
"""Expiry takes seconds: a hold that is open so long after its time has been forgotten."""

BALANCES_DIFFER: Final[LiteralString] = """
    WITH posted AS (
        SELECT account_id, coalesce(sum(micro_yuan) FILTER (WHERE pocket = 'available'), 0) AS available,
               coalesce(sum(micro_yuan) FILTER (WHERE pocket = 'held'), 0) AS held
          FROM ledger_postings GROUP BY account_id
    )
    SELECT count(*) FROM ledger_balances b LEFT JOIN posted p USING (account_id)
     WHERE (b.available_micro_yuan, b.held_micro_yuan) <> (coalesce(p.available, 0), coalesce(p.held, 0))
"""
POSTINGS_UNBALANCED: Final[LiteralString] = """
    SELECT count(*)
      FROM (SELECT transaction_id FROM ledger_postings GROUP BY transaction_id HAVING sum(micro_yuan) <> 0) AS wrong
"""
HELD_DIFFERS: Final[LiteralString] = """
    WITH open AS (
        SELECT p.account_id, sum(p.held_micro_yuan - p.captured_micro_yuan - p.released_micro_yuan) AS held
          FROM ledger_hold_parts p GROUP BY p.account_id
    )
    SELECT count(*) FROM ledger_balances b LEFT JOIN open o USING (account_id)
     WHERE b.held_micro_yuan <> coalesce(o.held, 0)
"""
HOLDS_OVERDUE: Final[LiteralString] = """
    SELECT count(*) FROM ledger_holds WHERE state = 'open' AND settles_until < $1
"""


async def findings(tx: Connection, now: datetime) -> Mapping[str, int]:
    """Return by rule how much is wrong. The first thing in a transaction of the hub's role, which gets one view."""
    await tx.execute(ONE_VIEW)
    return {
        "balances_differ": await tx.fetchval(BALANCES_DIFFER),
        "postings_unbalanced": await tx.fetchval(POSTINGS_UNBALANCED),
        "held_differs": await tx.fetchval(HELD_DIFFERS),
        "holds_overdue": await tx.fetchval(HOLDS_OVERDUE, now - OVERDUE),
    }
