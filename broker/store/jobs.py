"""Read jobs and change them; `submissions` makes them.

Every change writes its event by the same statement, and its guard comes from the state table.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from msgspec import structs

from broker.errors import JobNotFound, JobNotWaiting
from broker.ids import JobId, job_text
from broker.job import Ending, ExpectedStart, Job, JobSpec, Placement, PriorityClass, Promised
from broker.lifecycle import EndReason, Held, JobEvent, JobState, job_sources
from broker.store import expected_starts, promises
from broker.store.database import Connection, planned_for
from broker.store.placements import last_placements

CANCELLED_WAITING: Final = Ending(EndReason.CANCELLED, detail="cancelled before it was placed")
EXPIRED_WAITING: Final = Ending(EndReason.EXPIRED, detail="still waiting at its start_by")
TOO_LATE_WAITING: Final = Ending(
    EndReason.TOO_LATE, detail="still waiting when it could no longer end by its finish_by"
)

SELECT_JOBS: Final[LiteralString] = """
    SELECT job_id, city, spec, priority, ceiling_micro_yuan_per_pflops_hour AS ceiling, state, attempt,
           waiting_reason, submitted_at, started_at, cancel_requested_at, ended_at, end_reason, exit_code, signal,
           end_detail, preemptions, data_ready_at, earliest_start,
           (SELECT stop_ordered_at FROM leases l WHERE l.job_id = jobs.job_id AND l.state <> 'ended') AS stop_ordered_at
      FROM jobs
"""
GET: Final[LiteralString] = SELECT_JOBS + " WHERE job_id = $1"
MAKE_ROOM: Final[LiteralString] = """
    UPDATE jobs SET make_room = $2 WHERE job_id = $1 AND state = 'pending' AND make_room <> $2 RETURNING job_id
"""

# A job that waits is final at once, one that was placed waits for its agent's word. One UPDATE does both: were they
# two, a round that places the job between them would make the cancellation vanish.
CANCEL: Final[LiteralString] = """
    moved AS (
        UPDATE jobs j
           SET state = CASE WHEN j.state = ANY($2) THEN 'cancelled' ELSE j.state END,
               ended_at = CASE WHEN j.state = ANY($2) THEN $1::timestamptz END,
               end_reason = CASE WHEN j.state = ANY($2) THEN $4::jsonb->>'reason' END,
               end_detail = CASE WHEN j.state = ANY($2) THEN $4::jsonb->>'detail' ELSE j.end_detail END,
               cancel_requested_at = CASE WHEN j.state = ANY($2) THEN NULL ELSE $1::timestamptz END
          FROM target t
         WHERE j.job_id = t.job_id AND (j.state = ANY($2) OR j.state = ANY($3) AND j.cancel_requested_at IS NULL)
        RETURNING j.job_id, j.city, j.state, j.attempt
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at, attempt, ending)
        SELECT city, job_id, CASE state WHEN 'cancelled' THEN 'cancelled' ELSE 'cancel_requested' END, $1,
               CASE state WHEN 'cancelled' THEN 0 ELSE attempt END, CASE state WHEN 'cancelled' THEN $4::jsonb END
          FROM moved ORDER BY job_id
    )
"""
CANCEL_ONE: Final[LiteralString] = "WITH target AS (SELECT $5::bigint AS job_id)," + CANCEL + "SELECT job_id FROM moved"
# A statement of its own, after the one that may have waited for a round: that one does not see the lease that the
# round has made meanwhile.
NOTICE: Final[LiteralString] = """
    UPDATE leases SET changed_in = pg_current_xact_id() WHERE job_id = ANY($1) AND state <> 'ended' RETURNING cluster
"""
CANCELLABLE_OF_SET: Final[LiteralString] = """
      FROM jobs WHERE city = $5 AND job_set = $6 AND job_set <> ''
       AND (state = ANY($2) OR state = ANY($3) AND cancel_requested_at IS NULL)
"""
CANCEL_SET: Final[LiteralString] = (
    "WITH target AS (SELECT job_id"
    + CANCELLABLE_OF_SET
    + "ORDER BY job_id LIMIT $7 FOR NO KEY UPDATE),"
    + CANCEL
    + """
    SELECT state, array_agg(job_id) AS jobs FROM moved GROUP BY state
"""
)
COUNT_SET: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE state = ANY($1)) AS cancelled, count(*) FILTER (WHERE state = ANY($2)) AS requested
      FROM jobs WHERE city = $3 AND job_set = $4 AND job_set <> ''
       AND (state = ANY($1) OR state = ANY($2) AND cancel_requested_at IS NULL)
"""
UPDATE_PRIORITY: Final[LiteralString] = """
    WITH moved AS (
        UPDATE jobs SET priority = $2 WHERE job_id = $1 AND state = ANY($4) AND priority <> $2
        RETURNING job_id, city
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at) SELECT city, job_id, 'updated', $3 FROM moved
    )
    SELECT job_id FROM moved
"""
EXPIRE_DUE: Final[LiteralString] = """
    WITH due AS (
        SELECT job_id, CASE WHEN finish_by - make_interval(secs => walltime_seconds) <= start_by THEN $5::jsonb
                            ELSE $4::jsonb END AS ending
          FROM jobs WHERE state = 'pending' AND state = ANY($3) AND start_by <= $1
         ORDER BY start_by LIMIT $2 FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE jobs j SET state = 'expired', ended_at = $1, end_reason = due.ending->>'reason',
                          end_detail = due.ending->>'detail'
          FROM due WHERE j.job_id = due.job_id
        RETURNING j.job_id, j.city, due.ending
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at, ending)
        SELECT city, job_id, 'expired', $1, ending FROM moved ORDER BY job_id
    )
    SELECT count(*) FROM moved
"""
# A job that somebody else changes at this moment is skipped: the next round tells its reason.
SET_WAITING_REASONS: Final[LiteralString] = """
    WITH given AS (
        SELECT * FROM unnest($1::bigint[], $2::text[]) AS t (job_id, reason)
    ), target AS (
        SELECT j.job_id, g.reason FROM given g JOIN jobs j USING (job_id)
         WHERE j.state = 'pending' AND j.waiting_reason <> g.reason
         ORDER BY j.job_id FOR NO KEY UPDATE OF j SKIP LOCKED
    )
    UPDATE jobs j SET waiting_reason = t.reason FROM target t WHERE j.job_id = t.job_id
"""


@dataclass(frozen=True, slots=True)
class CancelledSet:
    """How many jobs were cancelled at once, how many agents have yet to confirm, and in which clusters."""

    cancelled: int
    cancel_requested: int
    clusters: frozenset[str] = frozenset()


async def get(tx: Connection, job: JobId) -> Job:
    """Return the job. Raise JobNotFound when there is none that the transaction may see."""
    row = await tx.fetchrow(GET, job)
    if row is None:
        raise JobNotFound(job=job_text(job))
    return (await _jobs(tx, [row]))[0]


async def list_page(
    tx: Connection,
    *,
    limit: int,
    city: str | None = None,
    enterprise: str = "",
    states: Collection[JobState] = (),
    job_set: str = "",
    before: JobId | None = None,
) -> list[Job]:
    """Return up to `limit` jobs, newest first, with ids below `before`; an empty filter lets everything pass."""
    conditions: list[LiteralString] = ["TRUE"]
    values: list[object] = []
    if city is not None:
        values.append(city)
        conditions.append(f"city = ${len(values)}")
    if enterprise:
        values.append(enterprise)
        conditions.append(f"enterprise = ${len(values)} AND enterprise <> ''")  # the second one finds the index
    if states:
        values.append(list(states))
        conditions.append(f"state = ANY(${len(values)})")
    if job_set:
        values.append(job_set)
        conditions.append(f"job_set = ${len(values)} AND job_set <> ''")
    if before is not None:
        values.append(before)
        conditions.append(f"job_id < ${len(values)}")
    values.append(limit)
    sql = f"{SELECT_JOBS} WHERE {' AND '.join(conditions)} ORDER BY job_id DESC LIMIT ${len(values)}"
    return await _jobs(tx, await tx.fetch(sql, *values))


async def cancel(tx: Connection, job: JobId, at: datetime) -> Job:
    """Cancel a waiting job at once, ask for the end of a placed one, leave a final one; return it as it is then.

    Repeating it changes nothing. Raise JobNotFound when there is none that the transaction may see.
    """
    waiting, placed = _cancel_sources()
    if await tx.fetchval(CANCEL_ONE, at, waiting, placed, CANCELLED_WAITING.to_json(), job):
        await _notice(tx, [job])
    return await get(tx, job)


async def cancel_set(tx: Connection, city: str, job_set: str, at: datetime, limit: int) -> CancelledSet:
    """Cancel up to `limit` jobs of the set, as `cancel` does; nothing is left to do when it touched none."""
    waiting, placed = _cancel_sources()
    rows = await tx.fetch(CANCEL_SET, at, waiting, placed, CANCELLED_WAITING.to_json(), city, job_set, limit)
    done = sum(len(r["jobs"]) for r in rows if r["state"] == JobState.CANCELLED)
    asked = [job for r in rows if r["state"] != JobState.CANCELLED for job in r["jobs"]]
    return CancelledSet(done, len(asked), await _notice(tx, asked) if asked else frozenset())


async def _notice(tx: Connection, jobs: Sequence[JobId]) -> frozenset[str]:
    """Let the end that was asked for be news of the jobs' live leases; return their clusters."""
    return frozenset(r["cluster"] for r in await tx.fetch(NOTICE, jobs))


async def count_set(tx: Connection, city: str, job_set: str) -> CancelledSet:
    """Return what cancelling the set would touch now."""
    waiting, placed = _cancel_sources()
    [row] = await tx.fetch(COUNT_SET, waiting, placed, city, job_set)
    return CancelledSet(row["cancelled"], row["requested"])


async def update_priority(tx: Connection, job: JobId, priority: PriorityClass, at: datetime) -> Job:
    """Change the class of a waiting job; the same class again changes nothing and tells nobody.

    Raise JobNotFound when there is none that the transaction may see, JobNotWaiting when it does not wait.
    """
    waiting = job_sources(JobEvent.UPDATED)
    moved = await tx.fetchval(UPDATE_PRIORITY, job, priority, at, waiting)
    found = await get(tx, job)
    if moved is None and found.state not in waiting:
        raise JobNotWaiting(job=job_text(job), state=found.state)
    return found


async def make_room(tx: Connection, job: JobId, *, wanted: bool) -> bool:
    """Let running work be moved for a waiting job, or not. Return whether that is news; needs the hub's role.

    Raise JobNotFound when there is none, JobNotWaiting when it does not wait.
    """
    if await tx.fetchval(MAKE_ROOM, job, wanted) is not None:
        return True
    found = await get(tx, job)
    if found.state is not JobState.PENDING:
        raise JobNotWaiting(job=job_text(job), state=found.state)
    return False


async def expire_due(tx: Connection, now: datetime, limit: int) -> int:
    """Expire up to `limit` jobs that wait and may no longer start, and return how many; needs the hub's role."""
    sources = job_sources(JobEvent.EXPIRED)
    endings = EXPIRED_WAITING.to_json(), TOO_LATE_WAITING.to_json()
    return int(await tx.fetchval(EXPIRE_DUE, now, limit, sources, *endings))


async def set_waiting_reasons(tx: Connection, jobs: Sequence[JobId], reasons: Sequence[str]) -> None:
    """Note why each of these jobs was not placed, where that has changed and it still waits; needs the hub's role."""
    await tx.execute(SET_WAITING_REASONS, jobs, reasons)


def _cancel_sources() -> tuple[list[JobState], list[JobState]]:
    """Return the states from which a cancellation is final at once, and those where the agent has to confirm it."""
    placed = job_sources(JobEvent.CANCEL_REQUESTED)
    return [state for state in job_sources(JobEvent.CANCELLED) if state not in placed], placed


async def _jobs(tx: Connection, rows: Sequence[Any]) -> list[Job]:
    waiting = [JobId(r["job_id"]) for r in rows if r["state"] == JobState.PENDING]
    async with planned_for(tx, len(rows)):
        placed = await last_placements(tx, [JobId(r["job_id"]) for r in rows if r["attempt"] > 0])
        promised = await promises.of_jobs(tx, waiting)
        expected = await expected_starts.of_jobs(tx, [job for job in waiting if job not in promised])
    ids = [JobId(r["job_id"]) for r in rows]
    return [_job(r, placed.get(i), promised.get(i), expected.get(i)) for r, i in zip(rows, ids, strict=True)]


def _job(row: Any, placement: Placement | None, promised: Promised | None, expected: ExpectedStart | None) -> Job:
    state = JobState(row["state"])
    # The promise may have been made after the row was read; it never is without this reason.
    reason = row["waiting_reason"] if promised is None else Held.PROMISED.value
    ending = None
    if row["end_reason"] is not None:
        ending = Ending(EndReason(row["end_reason"]), row["exit_code"], row["signal"], row["end_detail"])
    return Job(
        job=JobId(row["job_id"]),
        city=row["city"],
        # The stored body stays as it was submitted, for idempotency: the class can change, and a ceiling that was not
        # named is the city's standard one of that day.
        spec=structs.replace(
            JobSpec.from_json(row["spec"]),
            priority=PriorityClass(row["priority"]),
            ceiling_micro_yuan_per_pflops_hour=row["ceiling"],
        ),
        state=state,
        attempt=row["attempt"],
        submitted_at=row["submitted_at"],
        started_at=row["started_at"],
        cancel_requested_at=row["cancel_requested_at"],
        ended_at=row["ended_at"],
        ending=ending,
        waiting_reason=reason if state is JobState.PENDING else "",
        placement=placement,
        promised=promised,
        preemptions=row["preemptions"],
        stop_ordered_at=row["stop_ordered_at"],
        expected_start=expected,
        data_ready_at=row["data_ready_at"],
        held_until=row["earliest_start"] if state is JobState.PENDING else None,
    )
