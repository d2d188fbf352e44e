"""Usage of leases: minutes in multiranges, one row for each lease, many written by one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import LeaseId
from broker.ledger.usage import Metered, Ranges, Usage
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What is told of one lease."""

    lease: LeaseId
    usage: Usage


METERED: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch,
           (SELECT sum(CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards) ELSE n.tasks * n.share_milli END)
              FROM lease_nodes n WHERE n.lease_id = l.lease_id)::bigint AS milli_cards,
           j.walltime_seconds + j.grace_seconds AS seconds_max, l.started_at, l.ended_at
      FROM leases l JOIN jobs j USING (job_id) WHERE l.lease_id = ANY($1) AND l.cluster = $2
"""


async def metered(tx: Connection, cluster: str, leases: Sequence[LeaseId]) -> dict[LeaseId, Metered]:
    """Return those of the leases that the cluster has or once had, as usage is judged by them."""
    return {
        LeaseId(r["lease_id"]): Metered(r["epoch"], r["milli_cards"], r["seconds_max"], r["started_at"], r["ended_at"])
        for r in await tx.fetch(METERED, leases, cluster)
    }


# Behind a known end nothing comes any more, and a last minute that was told as a whole stays whole: as `merged` has it.
# What has been settled is looked at again when more is told of it; what runs has its hour.
PUT: Final[LiteralString] = """
    WITH ranges AS (
        SELECT lease_id, range_agg(int8range(first, behind)) AS minutes
          FROM unnest($6::bigint[], $7::bigint[], $8::bigint[]) AS t (lease_id, first, behind) GROUP BY lease_id
    )
    INSERT INTO lease_usage AS u (lease_id, city, minutes, cut_seconds, joules, complete, heard_at, due_at)
    SELECT t.lease_id, l.city, coalesce(r.minutes, '{}'), t.cut_seconds, t.joules, t.complete, $5::timestamptz,
           CASE WHEN l.hold_id IS NOT NULL THEN $5::timestamptz END
      FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bool[]) AS t (lease_id, cut_seconds, joules, complete)
      JOIN leases l USING (lease_id) LEFT JOIN ranges r USING (lease_id)
     ORDER BY t.lease_id
        ON CONFLICT (lease_id) DO UPDATE
       SET minutes = u.minutes + CASE WHEN u.complete
                   THEN excluded.minutes * int8multirange(int8range(0, coalesce(upper(u.minutes), 0)))
                   ELSE excluded.minutes END,
           cut_seconds = CASE WHEN u.complete THEN u.cut_seconds
                              WHEN excluded.complete AND upper(excluded.minutes) > coalesce(upper(u.minutes), 0)
                              THEN excluded.cut_seconds ELSE 0 END,
           joules = greatest(u.joules, excluded.joules), complete = u.complete OR excluded.complete, heard_at = $5,
           due_at = CASE WHEN u.end_charged AND excluded.due_at IS NOT NULL THEN $5 ELSE u.due_at END
"""


async def put(tx: Connection, rows: Sequence[UsageRow], at: datetime) -> None:
    """Add what is told of leases to what is known, each lease once. The caller has judged it."""
    if not rows:
        return
    ranges = [(row.lease, begin, end) for row in rows for begin, end in row.usage.minutes]
    await tx.execute(
        PUT,
        [row.lease for row in rows],
        [row.usage.cut_seconds for row in rows],
        [row.usage.joules for row in rows],
        [row.usage.complete for row in rows],
        at,
        [lease for lease, _, _ in ranges],
        [begin for _, begin, _ in ranges],
        [end for _, _, end in ranges],
    )


READ: Final[LiteralString] = """
    SELECT lease_id, minutes, cut_seconds, joules, complete FROM lease_usage WHERE lease_id = ANY($1)
"""


async def read(tx: Connection, leases: Sequence[LeaseId]) -> Mapping[LeaseId, Usage]:
    """Return what is known of these leases' use, where anything is."""
    return {LeaseId(r["lease_id"]): usage_of(r) for r in await tx.fetch(READ, leases)}


def usage_of(r: Any) -> Usage:
    """Return what a row says that has the columns of a lease's use."""
    return Usage(ranges_of(r["minutes"]), r["cut_seconds"], r["joules"], r["complete"])


def ranges_of(multirange: Any) -> Ranges:
    """Return minutes as the domain has them."""
    return tuple((each.lower, each.upper) for each in multirange)
