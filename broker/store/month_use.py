"""Use and money of a month by model, hub and day: the leases and captures of `use_report`, summed up in other ways."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.papers.hub_month import DayMoney, DayUse
from broker.papers.month import PROGRAMME_TIME, Month
from broker.store.database import Connection
from broker.store.use_report import PAYERS, RAN, SPENT, TIME

BY_MODEL: Final[LiteralString] = (
    TIME
    + """
    SELECT coalesce(c.hub, '') AS hub, coalesce(p.model, '') AS model, count(DISTINCT job_id) AS jobs,
           coalesce(sum(milli * seconds), 0)::bigint AS milli_card_seconds,
           coalesce(sum(div(programme::numeric * milli * seconds, 3600000)), 0)::bigint AS programme_micro_pflops_hours
      FROM used u JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = u.cluster
     GROUP BY GROUPING SETS ((c.hub, p.model), (c.hub), ())
"""
)
# Days in which a lease did not run have nothing of it, and are not asked for.
_DAYS: Final[LiteralString] = """
    generate_series($1::timestamptz, $2::timestamptz - interval '1 hour', interval '24 hours') AS d (part)
    CROSS JOIN LATERAL (VALUES (-1, part), (1, part + interval '24 hours')) AS v (sign, at)
     WHERE part + interval '24 hours' > r.started_at
       AND part <= greatest(r.until, r.started_at + upper(r.minutes) * interval '1 minute')
"""
BY_DAY: Final[LiteralString] = (
    RAN
    + SPENT.replace("{parts}", _DAYS).removesuffix(",")
    + """
    SELECT part AS day, coalesce(workload_class, '') AS workload_class, coalesce(city, '') AS city,
           sum(milli * seconds)::bigint AS milli_card_seconds
      FROM spent JOIN ran USING (lease_id) WHERE seconds <> 0
     GROUP BY GROUPING SETS ((part, workload_class), (part, city)) ORDER BY part, workload_class, city
"""
)
_TAKEN: Final[LiteralString] = """
    WITH taken AS (
        SELECT t.transaction_id, t.at, l.lease_id, l.cluster, l.pool_id
          FROM ledger_transactions t LEFT JOIN lease_captures k USING (transaction_id)
          LEFT JOIN leases l ON l.lease_id = k.lease_id
         WHERE t.kind = 'capture' AND t.at >= $1 AND t.at < $2
           AND ($3 = '' OR l.cluster IN (SELECT cluster FROM clusters WHERE hub = $3))
    )"""
MONEY_BY_DAY: Final[LiteralString] = (
    _TAKEN
    + """
    SELECT $1 + floor(extract(epoch FROM t.at - $1) / 86400) * interval '24 hours' AS day,
           coalesce(-sum(p.micro_yuan) FILTER (WHERE a.kind = ANY($4)), 0)::bigint AS micro_yuan,
           coalesce(-sum(p.micro_yuan) FILTER (WHERE a.kind = 'voucher'), 0)::bigint AS voucher_micro_yuan
      FROM taken t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
     GROUP BY 1 ORDER BY 1
"""
)
MONEY_BY_MODEL: Final[LiteralString] = (
    _TAKEN
    + """
    SELECT c.hub, o.model, coalesce(-sum(p.micro_yuan) FILTER (WHERE a.kind = ANY($4)), 0)::bigint AS micro_yuan
      FROM taken t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
      JOIN clusters c ON c.cluster = t.cluster JOIN pools o ON o.pool_id = t.pool_id
     GROUP BY c.hub, o.model
"""
)
EARNED: Final[LiteralString] = (
    _TAKEN
    + """
    SELECT coalesce(sum(p.micro_yuan) FILTER (WHERE a.kind = 'owner'), 0)::bigint AS owners,
           coalesce(sum(p.micro_yuan) FILTER (WHERE a.kind = 'fee'), 0)::bigint AS fee
      FROM taken t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
"""
)
# A hold pays for a lease, or for a quote that names a pool; what compensates neither is of no hub.
CREDITED: Final[LiteralString] = """
    WITH given AS (
        SELECT transaction_id FROM ledger_transactions t
         WHERE kind = 'credit_note' AND at >= $1 AND at < $2 AND ($3 = '' OR EXISTS (
               SELECT FROM (SELECT pool_id FROM leases WHERE leases.hold_id = t.hold_id UNION ALL
                            SELECT pool_id FROM quotes WHERE quotes.hold_id = t.hold_id) AS held
                 JOIN pools USING (pool_id) JOIN clusters c USING (cluster) WHERE c.hub = $3))
    )
    SELECT coalesce(sum(micro_yuan) FILTER (WHERE micro_yuan > 0), 0)::bigint
      FROM given JOIN ledger_postings USING (transaction_id)
"""


ONE_VIEW: Final[LiteralString] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What was used of a model in a hub."""

    milli_card_seconds: int = 0
    programme_micro_pflops_hours: int = 0
    micro_yuan: int = 0


@dataclass(frozen=True, slots=True)
class Earned:
    """Who got what was captured, and what was given back, in micro-yuan."""

    owners: int
    fee: int
    credited: int


async def take_one_view(tx: Connection) -> None:
    """Let this transaction see one moment of everything; it is the first that it does."""
    await tx.execute(ONE_VIEW)


async def by_model(
    tx: Connection, month: Month, now: datetime
) -> tuple[dict[tuple[str, str], ModelUse], dict[str, int]]:
    """Return what was used and paid by hub and model, and how many jobs had cards by hub ("" is all)."""
    span = (month.begins_at, month.ends_at)
    paid = {(r["hub"], r["model"]): r["micro_yuan"] for r in await tx.fetch(MONEY_BY_MODEL, *span, "", PAYERS)}
    rows = await tx.fetch(BY_MODEL, *span, None, min(now, month.ends_at), "")
    used = {
        (r["hub"], r["model"]): (r["milli_card_seconds"], r["programme_micro_pflops_hours"]) for r in rows if r["model"]
    }
    models = {key: ModelUse(*used.get(key, (0, 0)), paid.get(key, 0)) for key in used.keys() | paid.keys()}
    return models, {r["hub"]: r["jobs"] for r in rows if not r["model"]}


async def by_day(tx: Connection, month: Month, hub: str, now: datetime) -> tuple[DayUse, ...]:
    """Return what was used on each day: by sector, and by city; days without any are left out."""
    rows = await tx.fetch(BY_DAY, month.begins_at, month.ends_at, None, min(now, month.ends_at), hub)
    return tuple(DayUse(day_text(r["day"]), r["workload_class"], r["city"], r["milli_card_seconds"]) for r in rows)


async def money_by_day(tx: Connection, month: Month, hub: str) -> tuple[DayMoney, ...]:
    """Return what cities paid on each day; days without captures are left out."""
    rows = await tx.fetch(MONEY_BY_DAY, month.begins_at, month.ends_at, hub, PAYERS)
    return tuple(DayMoney(day_text(r["day"]), r["micro_yuan"], r["voucher_micro_yuan"]) for r in rows)


async def earned(tx: Connection, month: Month, hub: str) -> Earned:
    """Return who got what was captured, and what was given back."""
    span = (month.begins_at, month.ends_at, hub)
    [row] = await tx.fetch(EARNED, *span)
    return Earned(row["owners"], row["fee"], await tx.fetchval(CREDITED, *span))


def day_text(begins_at: datetime) -> str:
    """Return the day of UTC+8 that begins then, such as "2026-10-31"."""
    return begins_at.astimezone(PROGRAMME_TIME).date().isoformat()
