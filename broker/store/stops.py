"""Orders to stop running work: for other work, written with the round that wants the room, or for maintenance.

Agents carry them out: an ordered lease ends like one that is cancelled, after its job's grace, and its job waits again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from broker.ids import JobId, LeaseId
from broker.lifecycle import JobEvent, LeaseState, StopClaim, job_sources
from broker.store.database import Connection

HOUR: Final = timedelta(hours=1)
GRACE_MAX: Final = timedelta(hours=2)
"""No window that begins later than this can be near for any job: no grace is longer."""
TOLD_IN: Final = timedelta(seconds=10)
"""An agent has heard an order after this time, or is silent."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A lease to stop: by which right, for whom, and how much work has to be done again."""

    lease: LeaseId
    claim: StopClaim
    for_job: JobId
    lost_card_seconds: int


# A round has locked waiting jobs by now, others lock waiting and running ones by id: whoever waited here could wait for
# ever. What somebody else is changing runs on, and the next round looks at it.
LOCK: Final[LiteralString] = """
    SELECT l.lease_id FROM leases l JOIN jobs j USING (job_id)
     WHERE l.lease_id = ANY($1) AND l.state = ANY($2) AND l.stop_ordered_at IS NULL AND j.preemptible
       AND j.cancel_requested_at IS NULL AND j.state = ANY($3)
     ORDER BY j.job_id FOR NO KEY UPDATE OF j, l SKIP LOCKED
"""
ORDER: Final[LiteralString] = """
    WITH asked AS (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])
                   AS t (lease_id, claim, for_job, lost_card_seconds)
    ), known AS (
        SELECT l.lease_id FROM leases l JOIN asked USING (lease_id) JOIN jobs j USING (job_id)
         WHERE l.state = ANY($6) AND l.stop_ordered_at IS NULL AND j.preemptible AND j.cancel_requested_at IS NULL
           AND j.state = ANY($7)
         ORDER BY j.job_id FOR NO KEY UPDATE OF j, l SKIP LOCKED
    ), ordered AS (
        UPDATE leases l
           SET stop_ordered_at = $5, stop_claim = asked.claim, stop_for_job = asked.for_job,
               lost_card_seconds = asked.lost_card_seconds
          FROM known JOIN asked USING (lease_id) WHERE l.lease_id = known.lease_id
        RETURNING l.lease_id, l.job_id, l.city, l.epoch, l.cluster
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at, attempt)
        SELECT city, job_id, 'stop_ordered', $5, epoch FROM ordered ORDER BY job_id
    )
    SELECT lease_id, cluster FROM ordered
"""
GOES_ON: Final[LiteralString] = """
    SELECT l.lease_id FROM leases l JOIN jobs j USING (job_id)
     WHERE l.lease_id = ANY($1) AND l.state <> 'ended' AND l.stop_ordered_at IS NULL AND j.cancel_requested_at IS NULL
"""
LOST: Final[LiteralString] = """
    SELECT coalesce(sum(lost_card_seconds), 0)::bigint FROM leases
     WHERE stop_ordered_at > $1 AND stop_claim <> 'maintenance'
"""
# Asked first: most of the time there is none, and what follows reads all that runs.
NEAR: Final[LiteralString] = """
    SELECT EXISTS (SELECT FROM maintenance_windows
                    WHERE cancelled_at IS NULL AND ends_at > $1 AND starts_at <= $1 + $2::interval)
"""
# Work that would end by itself before the window begins is let run.
CLEAR: Final[LiteralString] = """
    WITH closing AS (
        SELECT n.node_id, w.starts_at
          FROM maintenance_windows w JOIN nodes n ON n.cluster = w.cluster
               AND (w.pool_id IS NULL OR n.pool_id = w.pool_id) AND (w.nodes = '{}' OR n.node = ANY(w.nodes))
         WHERE w.cancelled_at IS NULL AND w.ends_at > $1 AND w.starts_at <= $1 + $2
    ), due AS (
        SELECT l.lease_id, l.started_at, j.checkpoint_interval_seconds AS every
          FROM leases l JOIN jobs j USING (job_id)
         WHERE l.state = ANY($4) AND l.stop_ordered_at IS NULL AND j.preemptible AND j.cancel_requested_at IS NULL
           AND j.state = ANY($5)
           AND EXISTS (SELECT FROM lease_nodes h JOIN closing c USING (node_id)
                        WHERE h.lease_id = l.lease_id
                          AND c.starts_at <= $1 + $3 + j.grace_seconds * interval '1 second'
                          AND c.starts_at < coalesce(l.started_at, $1) + j.walltime_seconds * interval '1 second')
         ORDER BY j.job_id LIMIT $6 FOR NO KEY UPDATE OF j, l SKIP LOCKED
    ), costs AS (
        SELECT lease_id, CASE WHEN every > 0 THEN ran % every ELSE ran END AS lost_seconds, milli
          FROM (SELECT lease_id, every,
                       greatest(0, floor(date_part('epoch', $1 - coalesce(started_at, $1))))::bigint AS ran,
                       (SELECT sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END)
                          FROM lease_nodes h WHERE h.lease_id = due.lease_id) AS milli
                  FROM due) AS each
    ), ordered AS (
        UPDATE leases l
           SET stop_ordered_at = $1, stop_claim = 'maintenance', lost_card_seconds = lost_seconds * milli / 1000
          FROM costs WHERE l.lease_id = costs.lease_id
        RETURNING l.lease_id, l.job_id, l.city, l.epoch, l.cluster, l.lost_card_seconds
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at, attempt)
        SELECT city, job_id, 'stop_ordered', $1, epoch FROM ordered ORDER BY job_id
    )
    SELECT lease_id, cluster, lost_card_seconds FROM ordered
"""


async def lock(tx: Connection, leases: Sequence[LeaseId]) -> frozenset[LeaseId]:
    """Let nobody else change these leases, as far as they may be stopped still, and return those that run on.

    They may not be stopped, or somebody is changing them just now. What has ended, or ends already, is no matter.
    """
    rows = await tx.fetch(LOCK, leases, [LeaseState.OFFERED, LeaseState.ACTIVE], job_sources(JobEvent.STOP_ORDERED))
    held = {LeaseId(r["lease_id"]) for r in rows}
    return frozenset(LeaseId(r["lease_id"]) for r in await tx.fetch(GOES_ON, leases)) - held


async def order(tx: Connection, stops: Sequence[Stop], at: datetime) -> dict[LeaseId, str]:
    """Order leases to stop, as far as they may be stopped still; return those that are, with their clusters."""
    if not stops:
        return {}
    rows = await tx.fetch(
        ORDER,
        [each.lease for each in stops],
        [each.claim for each in stops],
        [each.for_job for each in stops],
        [each.lost_card_seconds for each in stops],
        at,
        [LeaseState.OFFERED, LeaseState.ACTIVE],
        job_sources(JobEvent.STOP_ORDERED),
    )
    return {LeaseId(r["lease_id"]): r["cluster"] for r in rows}


async def clear_for_windows(tx: Connection, now: datetime, limit: int) -> list[tuple[LeaseId, str, int]]:
    """Order preemptible work to stop that would still run when a window begins, its grace before that.

    Return lease, cluster and lost card-seconds of at most so many.
    """
    if not await tx.fetchval(NEAR, now, GRACE_MAX):
        return []
    running = [LeaseState.OFFERED, LeaseState.ACTIVE]
    rows = await tx.fetch(CLEAR, now, GRACE_MAX, TOLD_IN, running, job_sources(JobEvent.STOP_ORDERED), limit)
    return [(LeaseId(r["lease_id"]), r["cluster"], r["lost_card_seconds"]) for r in rows]


async def lost_card_seconds(tx: Connection, now: datetime) -> int:
    """Return how much work the orders of the last hour have cost, but for those of operators' windows."""
    return int(await tx.fetchval(LOST, now - HOUR))
