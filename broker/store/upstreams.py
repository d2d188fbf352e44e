"""Jobs that run after other jobs: which ones are waited for, and what follows when those have ended.

Nobody who ends a job thinks of what comes after it. `release` looks at what has ended, again and again, and what it
could not do now it finds the next time: no order of commits makes it miss anything.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.ids import JobId, job_text
from broker.job import Ending, JobSpec
from broker.lifecycle import JOB_FINAL, EndReason, Held, JobState
from broker.store.database import Connection

INSERT: Final[LiteralString] = """
    INSERT INTO job_upstreams (job_id, upstream_id, city, any_end, data_ready)
    SELECT job_id, upstream_id, $1, any_end, data_ready
      FROM unnest($2::bigint[], $3::bigint[], $4::bool[], $5::bool[]) AS t (job_id, upstream_id, any_end, data_ready)
     UNION
    SELECT t.job_id, j.job_id, $1, t.any_end, t.data_ready
      FROM unnest($6::bigint[], $7::text[], $8::bool[], $9::bool[]) AS t (job_id, request_key, any_end, data_ready)
      JOIN jobs j ON j.city = $1 AND j.request_key = t.request_key
"""
KNOWN: Final[LiteralString] = "SELECT job_id FROM jobs WHERE city = $1 AND job_id = ANY($2)"

# Distinct first: a thousand jobs may wait for one. One look-up for each, fenced by OFFSET: what has ended in all
# the years is many times as much, and must never be read through.
ENDED: Final[LiteralString] = """
    WITH waited AS MATERIALIZED (
        SELECT DISTINCT upstream_id FROM job_upstreams
    ), ended AS MATERIALIZED (
        SELECT w.upstream_id, k.state = ANY($1) AS final
          FROM waited w CROSS JOIN LATERAL (
               SELECT state, data_ready_at FROM jobs WHERE job_id = w.upstream_id OFFSET 0) AS k
         WHERE k.state = ANY($1) OR k.data_ready_at IS NOT NULL
    )
    SELECT DISTINCT u.job_id
      FROM job_upstreams u JOIN ended e USING (upstream_id) WHERE e.final OR u.data_ready ORDER BY u.job_id LIMIT $2
"""
# A job that somebody else changes at this moment is skipped: it is found again.
LOCK: Final[LiteralString] = """
    SELECT job_id, state FROM jobs WHERE job_id = ANY($1) ORDER BY job_id FOR NO KEY UPDATE SKIP LOCKED
"""
CLOSE: Final[LiteralString] = """
    DELETE FROM job_upstreams u USING jobs k
     WHERE u.job_id = ANY($1) AND k.job_id = u.upstream_id
       AND (k.state = ANY($2) OR u.data_ready AND k.data_ready_at IS NOT NULL)
    RETURNING u.job_id, u.upstream_id, k.state,
              u.any_end OR k.state = 'succeeded' OR (u.data_ready AND k.data_ready_at IS NOT NULL) AS met
"""
FORGET: Final[LiteralString] = "DELETE FROM job_upstreams WHERE job_id = ANY($1)"
OPEN: Final[LiteralString] = """
    UPDATE jobs j
       SET upstreams_open = false,
           waiting_reason = CASE WHEN earliest_start > $2 AND earliest_start IS DISTINCT FROM
                                      (spec->>'earliest_start')::timestamptz THEN 'GREEN_WAITS'
                                 WHEN earliest_start > $2 THEN 'NOT_YET' ELSE '' END
     WHERE job_id = ANY($1) AND state = 'pending'
       AND NOT EXISTS (SELECT FROM job_upstreams u WHERE u.job_id = j.job_id)
"""
CANCEL: Final[LiteralString] = """
    WITH given AS (
        SELECT * FROM unnest($1::bigint[], $2::jsonb[]) AS t (job_id, ending)
    ), moved AS (
        UPDATE jobs j SET state = 'cancelled', ended_at = $3, end_reason = ending->>'reason',
                          end_detail = ending->>'detail'
          FROM given g WHERE j.job_id = g.job_id AND j.state = 'pending'
        RETURNING j.job_id, j.city, g.ending
    )
    INSERT INTO event_outbox (city, job_id, kind, at, ending)
    SELECT city, job_id, 'cancelled', $3, ending FROM moved ORDER BY job_id
"""
COME: Final[LiteralString] = """
    WITH come AS (
        SELECT job_id FROM jobs WHERE state = 'pending' AND earliest_start <= $1
         ORDER BY earliest_start LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE jobs j
           SET earliest_start = NULL, waiting_reason = CASE WHEN upstreams_open THEN waiting_reason ELSE '' END
          FROM come WHERE j.job_id = come.job_id
        RETURNING j.job_id
    )
    SELECT count(*) FROM moved
"""


@dataclass(frozen=True, slots=True)
class Released:
    """How many jobs were looked at because a job that they run after has ended; how many of them were cancelled."""

    looked_at: int
    cancelled: int


def held_at_first(spec: JobSpec, now: datetime, green_from: datetime | None = None) -> str:
    """Return why a new job is kept out of the queue; empty when it is not. `green_from`: the hour it waits for."""
    if spec.after or spec.after_request_keys:
        return Held.UPSTREAM_RUNS
    if green_from is not None:
        return Held.GREEN_WAITS
    return Held.NOT_YET if spec.earliest_start is not None and spec.earliest_start > now else ""


async def known(tx: Connection, city: str, jobs: Collection[JobId]) -> set[JobId]:
    """Return those of the jobs that are jobs of the city."""
    return {JobId(r["job_id"]) for r in await tx.fetch(KNOWN, city, list(jobs))}


async def insert(tx: Connection, city: str, jobs: Sequence[tuple[JobId, JobSpec]]) -> None:
    """Note what these new jobs of the city run after. The caller knows that all of it is there."""
    by_id = [(job, upstream, *_enough(spec)) for job, spec in jobs for upstream in spec.after]
    by_key = [(job, key, *_enough(spec)) for job, spec in jobs for key in spec.after_request_keys]
    if by_id or by_key:
        columns = [[row[i] for row in rows] for rows in (by_id, by_key) for i in range(4)]
        await tx.execute(INSERT, city, *columns)


async def release(tx: Connection, now: datetime, limit: int) -> Released:
    """Look at up to `limit` jobs for which what they run after has ended, or its data are ready; needs the hub's role.

    Those for which nothing is open any more come into the queue; those whose upstream has failed end as CANCELLED.
    """
    waiting = [r["job_id"] for r in await tx.fetch(ENDED, list(JOB_FINAL), limit)]
    if not waiting:
        return Released(0, 0)
    held = await tx.fetch(LOCK, waiting)
    closed = await tx.fetch(CLOSE, [r["job_id"] for r in held], list(JOB_FINAL))
    failed = {r["job_id"]: _failed(r["upstream_id"], r["state"]) for r in closed if not r["met"]}
    pending = {r["job_id"] for r in held if r["state"] == JobState.PENDING}
    ending = {job: failed[job] for job in sorted(pending & failed.keys())}
    await tx.execute(CANCEL, list(ending), [e.to_json() for e in ending.values()], now)
    await tx.execute(FORGET, [r["job_id"] for r in held if r["job_id"] in ending or r["job_id"] not in pending])
    await tx.execute(OPEN, sorted(pending - ending.keys()), now)
    return Released(len(held), len(ending))


async def come(tx: Connection, now: datetime, limit: int) -> int:
    """Take note that up to `limit` jobs may start from now on, and return how many; needs the hub's role."""
    return int(await tx.fetchval(COME, now, limit))


def _enough(spec: JobSpec) -> tuple[bool, bool]:
    """Return whether any end of its upstream jobs will do for a job, and whether their data will."""
    return spec.after_any_end, spec.after_data_ready


def _failed(upstream: int, state: str) -> Ending:
    return Ending(
        EndReason.UPSTREAM_FAILED, detail=f"{job_text(JobId(upstream))}, which it was to run after, is {state}"
    )
