"""Accepted quotes that have come to their end, and holds that nothing will use."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from broker.ids import HoldId, QuoteId
from broker.lifecycle import QuoteState
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """An accepted quote, and what it has come to."""

    quote: QuoteId
    state: QuoteState
    hold: HoldId | None
    total_micro_yuan: int


@dataclass(frozen=True, slots=True)
class UnusedRow:
    """A hold of a quote whose job ended without a start; `owner`: of the pool that was kept for it."""

    quote: QuoteId
    state: QuoteState
    hold: HoldId
    total_micro_yuan: int
    owner: str


# The first lease decides. A job that was cancelled within the window is no miss; one that could not start in time is,
# even if it has ended since: windows often end with the last moment at which the job may start, and then it expires.
DUE: Final[LiteralString] = """
    WITH found AS (
        SELECT q.quote_id, q.hold_id, q.total_micro_yuan, q.starts_by,
               (SELECT min(l.offered_at) FROM leases l WHERE l.job_id = q.job_id) AS began, j.ended_at,
               j.state = 'cancelled' AS cancelled
          FROM quotes q JOIN jobs j USING (job_id)
         WHERE q.state = 'accepted' AND (j.state <> 'pending' OR j.attempt > 0 OR q.starts_by < $1)
         ORDER BY q.quote_id LIMIT $3 FOR NO KEY UPDATE OF q SKIP LOCKED
    )
    SELECT quote_id,
           CASE WHEN began <= starts_by + $2 THEN 'kept'
                WHEN began IS NULL AND cancelled AND ended_at <= starts_by + $2 THEN 'cancelled'
                ELSE 'missed' END AS state,
           hold_id, total_micro_yuan
      FROM found
"""
DECIDE: Final[LiteralString] = """
    UPDATE quotes SET state = $2, credit_micro_yuan = $3, decided_at = $4 WHERE quote_id = $1 AND state = 'accepted'
"""
UNUSED: Final[LiteralString] = """
    SELECT q.quote_id, q.state, q.hold_id, q.total_micro_yuan, c.owner
      FROM quotes q JOIN jobs j USING (job_id) JOIN pools p USING (pool_id) JOIN clusters c USING (cluster)
     WHERE q.hold_id IS NOT NULL AND q.hold_released_at IS NULL AND q.state IN ('missed', 'cancelled')
       AND j.ended_at IS NOT NULL AND j.attempt = 0
     ORDER BY q.quote_id LIMIT $1
"""
LOCK_UNUSED: Final[LiteralString] = """
    SELECT true FROM quotes WHERE quote_id = $1 AND hold_released_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
"""
RELEASED: Final[LiteralString] = "UPDATE quotes SET hold_released_at = $2 WHERE quote_id = $1"


async def due(tx: Connection, before: datetime, grace: timedelta, limit: int) -> list[AcceptedRow]:
    """Return accepted quotes that have come to their end, and lock them; those that others look at are left out.

    `before`: windows that ended by then are over; `grace`: a lease so long after its window is still in time.
    """
    return [
        AcceptedRow(
            QuoteId(r["quote_id"]),
            QuoteState(r["state"]),
            None if r["hold_id"] is None else HoldId(r["hold_id"]),
            r["total_micro_yuan"],
        )
        for r in await tx.fetch(DUE, before, grace, limit)
    ]


async def decide(tx: Connection, quote: QuoteId, state: QuoteState, credit: int | None, at: datetime) -> None:
    """Note what an accepted quote came to, and what was given back for it, micro-yuan."""
    await tx.execute(DECIDE, quote, state, credit, at)


async def unused(tx: Connection, limit: int) -> list[UnusedRow]:
    """Return quotes with a hold that nothing will use: their job has ended and never was leased."""
    return [
        UnusedRow(QuoteId(quote), QuoteState(state), HoldId(hold), total, owner)
        for quote, state, hold, total, owner in (r.values() for r in await tx.fetch(UNUSED, limit))
    ]


async def lock_unused(tx: Connection, quote: QuoteId) -> bool:
    """Lock a quote whose hold is to be released; tell whether that is still to do, and nobody else does it."""
    return bool(await tx.fetchval(LOCK_UNUSED, quote))


async def released(tx: Connection, quote: QuoteId, at: datetime) -> None:
    """Note that what was held for a quote is free again."""
    await tx.execute(RELEASED, quote, at)
