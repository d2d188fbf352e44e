"""What was used in a month, by city and sector: time by leases, money by captures. Nothing is stored for it.

Of one hub: what its clusters' leases used, and what was captured for these. Captures of no lease are of no hub.
"""

from datetime import datetime
from typing import Final, LiteralString

from broker.papers.month import Month
from broker.papers.use import FIGURES, UseRow
from broker.store.database import Connection
from broker.store.figures import FP16_THEN

# $1, $2: begin and end of the month; $3: a city or null; $4: until when running leases count; $5: a hub or ''.
RAN: Final[LiteralString] = """
    WITH ran AS (
        SELECT l.lease_id, l.job_id, l.city, j.spec->>'workload_class' AS workload_class, l.cluster, l.pool_id,
               l.offered_at, l.started_at, l.ended_at, coalesce(l.ended_at, $4) AS until, u.minutes, u.cut_seconds,
               coalesce(u.heard_at IS NOT NULL OR u.charged_seconds > 0, false) AS told,
               j.walltime_seconds + j.grace_seconds AS seconds_max, held.milli
          FROM leases l JOIN jobs j USING (job_id) LEFT JOIN lease_usage u USING (lease_id)
          CROSS JOIN LATERAL (
              SELECT sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
                FROM lease_nodes n WHERE n.lease_id = l.lease_id
          ) held
         WHERE l.started_at < $2 AND coalesce(l.ended_at, $4) > $1::timestamptz - interval '1 hour'
           AND ($3::text IS NULL OR l.city = $3)
           AND ($5 = '' OR l.cluster IN (SELECT cluster FROM clusters WHERE hub = $5))
    ),"""
# `spent` is what a lease had used before a time, and before a later one, in seconds, never more than it may run. The
# part between is the difference, so that parts side by side are the whole; a minute is of the part in which it began.
# An agent's clock may tell of a minute that begins behind the end: hence the hour above.
SPENT: Final[LiteralString] = """ spent AS (
        SELECT r.lease_id, m.part, sum(m.sign * greatest(0, least(r.seconds_max, CASE
                   WHEN r.told THEN minutes_in(r.minutes * int8multirange(int8range(0, m.minute))) * 60
                                    - CASE WHEN m.minute >= upper(r.minutes) THEN r.cut_seconds ELSE 0 END
                   WHEN r.ended_at <= m.at THEN ceil(extract(epoch FROM r.ended_at - r.started_at))::bigint
                   ELSE floor(extract(epoch FROM least(r.until, m.at) - r.started_at))::bigint END))) AS seconds
          FROM ran r CROSS JOIN LATERAL (
              SELECT part, sign, at, greatest(0, ceil(extract(epoch FROM at - r.started_at) / 60))::bigint AS minute
                FROM {parts}
          ) m
         GROUP BY r.lease_id, m.part
    ),"""
_MONTH: Final[LiteralString] = "(VALUES ($1::timestamptz, -1, $1), ($1, 1, $2::timestamptz)) AS v (part, sign, at)"
TIME: Final[LiteralString] = (
    RAN
    + SPENT.replace("{parts}", _MONTH)
    + """ used AS (
        SELECT l.*, s.seconds, f.*
          FROM ran l JOIN spent s USING (lease_id) JOIN pools p USING (pool_id)
"""
    + FP16_THEN
    + """
         WHERE l.until > $1 OR s.seconds > 0
    )"""
)
WORK: Final[LiteralString] = """, work AS (
        SELECT city, workload_class, count(DISTINCT job_id) AS jobs, count(*) AS leases,
               sum(milli * seconds)::bigint AS milli_card_seconds,
               coalesce(sum(div(nameplate::numeric * milli * seconds, 3600000)), 0)::bigint
                   AS nameplate_micro_pflops_hours,
               coalesce(sum(div(programme::numeric * milli * seconds, 3600000)), 0)::bigint
                   AS programme_micro_pflops_hours,
               coalesce(sum(div(measured::numeric * milli * seconds, 3600000)), 0)::bigint
                   AS measured_micro_pflops_hours
          FROM used GROUP BY city, workload_class
    ),"""
MONEY: Final[LiteralString] = """
    taken AS (
        SELECT t.transaction_id, h.city, coalesce(j.spec->>'workload_class', '') AS workload_class
          FROM ledger_transactions t JOIN ledger_holds h USING (hold_id)
          LEFT JOIN lease_captures k USING (transaction_id)
          LEFT JOIN leases l ON l.lease_id = k.lease_id LEFT JOIN jobs j USING (job_id)
         WHERE t.kind = 'capture' AND t.at >= $1 AND t.at < $2 AND ($3::text IS NULL OR h.city = $3)
           AND ($5 = '' OR l.cluster IN (SELECT cluster FROM clusters WHERE hub = $5))
    ), paid AS (
        SELECT t.city, t.workload_class,
               coalesce(-sum(p.micro_yuan) FILTER (WHERE a.kind = ANY($6)), 0)::bigint AS micro_yuan,
               coalesce(-sum(p.micro_yuan) FILTER (WHERE a.kind = 'voucher'), 0)::bigint AS voucher_micro_yuan,
               coalesce(-sum(p.micro_yuan) FILTER (WHERE a.kind = 'platform_loss'), 0)::bigint AS borne_micro_yuan
          FROM taken t JOIN ledger_postings p USING (transaction_id) JOIN ledger_accounts a USING (account_id)
         GROUP BY t.city, t.workload_class
    )
    SELECT * FROM work FULL JOIN paid USING (city, workload_class) ORDER BY city, workload_class
"""
USE: Final[LiteralString] = TIME + WORK + MONEY

PAYERS: Final = ["voucher", "enterprise", "city"]
"""Kinds of accounts whose part of a capture is the city's money: as on its invoice."""


async def use_rows(tx: Connection, month: Month, city: str | None, now: datetime, hub: str = "") -> list[UseRow]:
    """Return what was used in a month, by city and sector; of leases that run still, what they used until now.

    An empty hub: all. A city's transaction sees its own, and not what the exchange paid.
    """
    rows = await tx.fetch(USE, month.begins_at, month.ends_at, city, min(now, month.ends_at), hub, PAYERS)
    return [UseRow(r["city"], r["workload_class"], *(r[figure] or 0 for figure in FIGURES)) for r in rows]
