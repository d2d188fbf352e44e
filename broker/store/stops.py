"""Orders to stop running work for other work: written with the round that wants the room, carried out by agents.

An ordered lease ends like one that is cancelled, after its job's grace, and its job waits again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from broker.ids import JobId, LeaseId
from broker.lifecycle import JobEvent, LeaseState, StopClaim, job_sources
from broker.store.database import Connection

HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Stop:
    """A lease to stop: by which right, for whom, and how much work has to be done again."""

    lease: LeaseId
    claim: StopClaim
    for_job: JobId
    lost_card_seconds: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """What became of orders."""

    leases: dict[LeaseId, str]  # that are stopped by them, with their clusters
    not_ending: frozenset[LeaseId]  # that run on: they may not be stopped, or somebody is changing them just now


# A round has locked waiting jobs by now, others lock waiting and running ones by id: whoever waited here could wait for
# ever. What somebody else is changing runs on, and the next round looks at it.
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
    SELECT coalesce(sum(lost_card_seconds), 0)::bigint FROM leases WHERE stop_ordered_at > $1
"""


async def order(tx: Connection, stops: Sequence[Stop], at: datetime) -> Ordered:
    """Order leases to stop, as far as they may be stopped still. What has ended, or ends already, is no matter."""
    if not stops:
        return Ordered({}, frozenset())
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
    left = await tx.fetch(GOES_ON, [each.lease for each in stops])
    return Ordered(
        {LeaseId(r["lease_id"]): r["cluster"] for r in rows}, frozenset(LeaseId(r["lease_id"]) for r in left)
    )


async def lost_card_seconds(tx: Connection, now: datetime) -> int:
    """Return how much work the orders of the last hour have cost."""
    return int(await tx.fetchval(LOST, now - HOUR))
