"""What is shown of the use of leases and of holds. A transaction of a city sees its own only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import HoldId, JobId, LeaseId
from broker.ledger.holds import Hold
from broker.ledger.usage import Usage
from broker.store import holds
from broker.store.database import Connection
from broker.store.figures import FP16_THEN
from broker.store.usage import usage_of


@dataclass(frozen=True, slots=True)
class UseRow:
    """A lease that has started, with what is known of its use.

    Money in micro-yuan; figures in milli-TFLOPS, as they were when it was offered.
    """

    lease: LeaseId
    job: JobId
    city: str
    enterprise: str
    cluster: str
    owner: str
    model: str
    milli_cards: int
    seconds_max: int
    started_at: datetime
    ended_at: datetime | None
    usage: Usage | None  # None: nobody has told anything
    nameplate: int
    programme: int
    measured: int
    per_card_hour: int | None
    charged: int
    credited: int
    hold: HoldId | None
    open: int  # of the hold


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which leases are asked for; what is not set lets everything pass. `started`: from, and before."""

    city: str | None = None
    enterprise: str | None = None  # of that city
    owner: str | None = None
    job: JobId | None = None
    started: tuple[datetime, datetime] | None = None


SELECT_USES: Final[LiteralString] = (
    """
    SELECT l.lease_id, l.job_id, l.city, j.enterprise, l.cluster, c.owner, p.model,
           (SELECT sum(CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards) ELSE n.tasks * n.share_milli END)
              FROM lease_nodes n WHERE n.lease_id = l.lease_id)::bigint AS milli_cards,
           j.walltime_seconds + j.grace_seconds AS seconds_max, l.started_at, l.ended_at,
           u.heard_at IS NOT NULL OR u.charged_seconds > 0 AS told, u.minutes, u.cut_seconds, u.joules, u.complete,
           coalesce(f.nameplate, 0) AS nameplate, coalesce(f.programme, 0) AS programme,
           coalesce(f.measured, 0) AS measured,
           l.ask_micro_yuan_per_card_hour + l.scarcity_micro_yuan_per_card_hour AS per_card_hour,
           coalesce(u.charged_micro_yuan, 0) AS charged, coalesce(u.credited_micro_yuan, 0) AS credited, l.hold_id,
           (SELECT coalesce(sum(held_micro_yuan - captured_micro_yuan - released_micro_yuan), 0)
              FROM ledger_hold_parts h WHERE h.hold_id = l.hold_id)::bigint AS open
      FROM leases l JOIN jobs j USING (job_id) JOIN clusters c ON c.cluster = l.cluster
      JOIN pools p ON p.pool_id = l.pool_id LEFT JOIN lease_usage u ON u.lease_id = l.lease_id
"""
    + FP16_THEN
    + """
     WHERE l.started_at IS NOT NULL AND ($1::bigint IS NULL OR l.lease_id < $1) AND ($2::text IS NULL OR l.city = $2)
       AND ($3::text IS NULL OR c.owner = $3) AND ($4::bigint IS NULL OR l.job_id = $4)
       AND ($5::timestamptz IS NULL OR l.started_at >= $5) AND ($6::timestamptz IS NULL OR l.started_at < $6)
"""
)
NEWEST: Final[LiteralString] = " ORDER BY l.lease_id DESC LIMIT $7"
USES: Final[LiteralString] = SELECT_USES + NEWEST
# By its jobs, which have an index: of its city's leases few may be an enterprise's.
USES_OF_ENTERPRISE: Final[LiteralString] = (
    SELECT_USES + " AND j.city = $2 AND j.enterprise = $8 AND j.enterprise <> ''" + NEWEST
)


async def uses(tx: Connection, wanted: Wanted, before: LeaseId | None, limit: int) -> list[UseRow]:
    """Return a page of leases that have started, newest first, with numbers below `before`."""
    begin, end = wanted.started or (None, None)
    values = (before, wanted.city, wanted.owner, wanted.job, begin, end, limit)
    if wanted.enterprise is None:
        rows = await tx.fetch(USES, *values)
    else:
        rows = await tx.fetch(USES_OF_ENTERPRISE, *values, wanted.enterprise)
    return [_use(r) for r in rows]


def _use(r: Any) -> UseRow:
    return UseRow(
        lease=LeaseId(r["lease_id"]),
        job=JobId(r["job_id"]),
        city=r["city"],
        enterprise=r["enterprise"],
        cluster=r["cluster"],
        owner=r["owner"],
        model=r["model"],
        milli_cards=r["milli_cards"],
        seconds_max=r["seconds_max"],
        started_at=r["started_at"],
        ended_at=r["ended_at"],
        usage=usage_of(r) if r["told"] else None,
        nameplate=r["nameplate"],
        programme=r["programme"],
        measured=r["measured"],
        per_card_hour=r["per_card_hour"],
        charged=r["charged"],
        credited=r["credited"],
        hold=None if r["hold_id"] is None else HoldId(r["hold_id"]),
        open=r["open"],
    )


HOLDS: Final[LiteralString] = """
    SELECT hold_id FROM ledger_holds
     WHERE ($1::bigint IS NULL OR hold_id < $1) AND ($2::text IS NULL OR city = $2) AND (NOT $3 OR state = 'open')
     ORDER BY hold_id DESC LIMIT $4
"""
SEEN_ACCOUNTS: Final[LiteralString] = "SELECT account_id FROM ledger_accounts"
# By the postings of accounts, which have an index: of its city's holds few may be an enterprise's.
HOLDS_ON: Final[LiteralString] = """
    SELECT hold_id FROM ledger_holds
     WHERE ($1::bigint IS NULL OR hold_id < $1) AND ($2::text IS NULL OR city = $2) AND (NOT $3 OR state = 'open')
       AND hold_id IN (SELECT p.transaction_id FROM ledger_postings p WHERE p.account_id = ANY($5))
     ORDER BY hold_id DESC LIMIT $4
"""


async def hold_page(
    tx: Connection, city: str | None, before: HoldId | None, limit: int, *, open_only: bool, few_accounts: bool = False
) -> list[Hold]:
    """Return a page of holds, newest first, with numbers below `before`.

    `few_accounts`: the transaction sees the few of an enterprise, so look by these.
    """
    if few_accounts:
        own = [r["account_id"] for r in await tx.fetch(SEEN_ACCOUNTS)]
        rows = await tx.fetch(HOLDS_ON, before, city, open_only, limit, own)
    else:
        rows = await tx.fetch(HOLDS, before, city, open_only, limit)
    return (await holds.read(tx, [HoldId(r["hold_id"]) for r in rows]))[::-1]
