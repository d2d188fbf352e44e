"""Leases: what agents, silence and operators do to them, and what follows for their jobs.

Every statement is for many leases at once. A job and its lease change together, with the event, in one statement, and
cards are let go in the statement that ends the lease: a lease is live exactly as long as it holds cards.

Rows are locked in the order of job ids. Whoever changes leases on an agent's word, or on its silence, holds the row of
the cluster first (store/clusters.py), so that the two never judge the same lease at the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

from broker.errors import LeaseNotFound, LeaseNotLost
from broker.ids import JobId, LeaseId, lease_text
from broker.job import Ending
from broker.lifecycle import (
    ENDS_THE_JOB_WELL,
    JOB_FINAL,
    RESTARTS_UNCOUNTED,
    EndReason,
    JobEvent,
    JobState,
    LeaseEvent,
    LeaseState,
    job_sources,
    lease_sources,
    next_job,
)
from broker.store.database import Connection


class LeaseRef(NamedTuple):
    """Names a lease, with its fence. A tuple, as each exchange with an agent looks up every live lease by it."""

    lease: LeaseId
    epoch: int


@dataclass(frozen=True, slots=True)
class Started:
    """An agent's word that every task of a lease runs. The time is the agent's and may be anything."""

    ref: LeaseRef
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """An agent's word that nothing of a lease runs any more. The times are the agent's and may be anything."""

    ref: LeaseRef
    ending: Ending
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A lease that has just ended, and what that was for its job: succeeded, failed, cancelled or requeued."""

    ref: LeaseRef
    job: JobId
    event: JobEvent


START: Final[LiteralString] = """
    WITH told AS (
        SELECT * FROM unnest($2::bigint[], $3::int[], $4::timestamptz[]) AS t (lease_id, epoch, started_at)
    ), known AS (
        SELECT l.lease_id, l.state, greatest(l.offered_at, least(coalesce(told.started_at, $5), $5)) AS started_at
          FROM leases l JOIN told USING (lease_id, epoch) JOIN jobs j USING (job_id)
         WHERE l.cluster = $1 AND l.state = ANY($6)
         ORDER BY j.job_id FOR NO KEY UPDATE OF j, l
    ), moved AS (
        UPDATE leases l SET state = 'active', started_at = coalesce(l.started_at, known.started_at), lost_at = NULL
          FROM known WHERE l.lease_id = known.lease_id
        RETURNING l.lease_id, l.job_id, l.city, l.epoch, l.started_at, known.state AS was
    ), ran AS (
        UPDATE jobs j SET state = 'running', started_at = moved.started_at
          FROM moved WHERE j.job_id = moved.job_id AND j.state = ANY($7)
        RETURNING j.job_id, j.city, moved.epoch
    ), told_of AS (
        INSERT INTO event_outbox (city, job_id, kind, at, attempt)
        SELECT city, job_id, kind, $5, epoch
          FROM (SELECT city, job_id, epoch, 'found' AS kind, 1 AS rank FROM moved WHERE was = 'lost'
                UNION ALL
                SELECT city, job_id, epoch, 'started', 2 FROM ran) AS events
         ORDER BY job_id, rank
    )
    SELECT lease_id, epoch FROM moved ORDER BY lease_id
"""


async def started(tx: Connection, cluster: str, told: Sequence[Started], at: datetime) -> list[LeaseRef]:
    """Make leases of the cluster active, as its agent says that they run. Return those for which that was news.

    A lost one is found again. A lease that has ended, has another epoch or is another cluster's stays as it is.
    """
    if not told:
        return []
    rows = await tx.fetch(
        START,
        cluster,
        [t.ref.lease for t in told],
        [t.ref.epoch for t in told],
        [t.started_at for t in told],
        at,
        lease_sources(LeaseEvent.STARTED),
        job_sources(JobEvent.STARTED),
    )
    return [LeaseRef(LeaseId(r["lease_id"]), r["epoch"]) for r in rows]


DATA_READY: Final[LiteralString] = """
    WITH known AS (
        SELECT l.lease_id, l.job_id, l.epoch
          FROM leases l JOIN unnest($2::bigint[], $3::int[]) AS t (lease_id, epoch) USING (lease_id, epoch)
          JOIN jobs j USING (job_id)
         WHERE l.cluster = $1 AND l.state <> 'ended' AND j.state = ANY($5) AND j.data_ready_at IS NULL
         ORDER BY j.job_id FOR NO KEY UPDATE OF j
    ), moved AS (
        UPDATE jobs j SET data_ready_at = $4 FROM known WHERE j.job_id = known.job_id
        RETURNING j.job_id, j.city, known.epoch, known.lease_id
    ), noticed AS (
        UPDATE leases l SET changed_in = pg_current_xact_id() FROM moved WHERE l.lease_id = moved.lease_id
    )
    INSERT INTO event_outbox (city, job_id, kind, at, attempt)
    SELECT city, job_id, 'data_ready', $4, epoch FROM moved ORDER BY job_id
    RETURNING job_id
"""


async def data_ready(tx: Connection, cluster: str, told: Sequence[LeaseRef], at: datetime) -> list[JobId]:
    """Note that the data of these leases' jobs are ready for others. Return the jobs for which that was news."""
    if not told:
        return []
    allowed = job_sources(JobEvent.DATA_READY)
    rows = await tx.fetch(DATA_READY, cluster, [t.lease for t in told], [t.epoch for t in told], at, allowed)
    return [JobId(r["job_id"]) for r in rows]


LOCK_TO_END: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch, l.offered_at, l.started_at, j.job_id, j.state AS job_state, j.attempt, j.failures,
           j.attempts_max, j.cancel_requested_at IS NOT NULL AS cancel_requested, j.preemptions,
           l.stop_ordered_at IS NOT NULL AS stop_ordered
      FROM leases l JOIN unnest($2::bigint[], $3::int[]) AS t (lease_id, epoch) USING (lease_id, epoch)
      JOIN jobs j USING (job_id)
     WHERE l.cluster = $1 AND l.state = ANY($4)
     ORDER BY j.job_id FOR NO KEY UPDATE OF j, l
"""
END: Final[LiteralString] = """
    WITH told AS (
        SELECT *, jsonb_build_object('reason', reason, 'exit_code', exit_code, 'signal', signal,
                                     'detail', detail) AS ending
          FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[], $7::text[], $8::int[],
                      $9::smallint[], $10::text[], $11::timestamptz[], $12::timestamptz[])
            AS t (lease_id, event, job_was, job_state, final, counted, reason, exit_code, signal, detail,
                  started_at, ended_at)
    ), ended AS (
        UPDATE leases l
           SET state = 'ended', started_at = told.started_at, ended_at = told.ended_at, end_reason = told.reason,
               exit_code = told.exit_code, signal = told.signal, end_detail = told.detail
          FROM told WHERE l.lease_id = told.lease_id AND l.state = ANY($14)
        RETURNING l.job_id, l.city, l.epoch, told.*
    ), due AS (
        UPDATE lease_usage u SET due_at = $13 FROM ended WHERE u.lease_id = ended.lease_id AND u.due_at IS NOT NULL
    ), freed AS (
        DELETE FROM held_cards h USING ended WHERE h.lease_id = ended.lease_id
    ), moved AS (
        UPDATE jobs j
           SET state = ended.job_state, failures = j.failures + ended.counted::int,
               preemptions = j.preemptions + (ended.reason = 'preempted')::int,
               started_at = coalesce(ended.started_at, j.started_at),
               ended_at = CASE WHEN ended.final THEN ended.ended_at END,
               end_reason = CASE WHEN ended.final THEN ended.reason END,
               exit_code = CASE WHEN ended.final THEN ended.exit_code ELSE 0 END,
               signal = CASE WHEN ended.final THEN ended.signal ELSE 0 END,
               end_detail = CASE WHEN ended.final THEN ended.detail ELSE '' END
          FROM ended WHERE j.job_id = ended.job_id AND j.state = ended.job_was
        RETURNING j.job_id, j.city, ended.epoch, ended.event, ended.ending
    )
    INSERT INTO event_outbox (city, job_id, kind, at, attempt, ending)
    SELECT city, job_id, event, $13, epoch, ending FROM moved ORDER BY job_id
"""


async def stopped(
    tx: Connection, cluster: str, told: Sequence[Stopped], at: datetime, *, restarts_max: int
) -> list[Ended]:
    """End leases of the cluster, as its agent says that nothing of them runs. Return those for which that was news.

    A lease that has ended already, has another epoch or is another cluster's stays as it is.

    Args:
        restarts_max: see `outcome`.
    """
    return await _end(tx, cluster, told, at, LeaseEvent.STOPPED, restarts_max)


def outcome(
    reason: EndReason,
    *,
    cancel_requested: bool,
    attempt: int,
    failures: int,
    preemptions: int,
    attempts_max: int,
    restarts_max: int,
) -> JobEvent:
    """Return what the end of an attempt is for its job.

    Args:
        attempt: number of the attempt that ended, from 1.
        failures: earlier attempts that failed by themselves; the other earlier ones were restarted uncounted ...
        preemptions: ... or stopped for other work, which is never held against a job.
        attempts_max: attempts that may fail by themselves before the job has.
        restarts_max: restarts at most for reasons that are not the job's fault, lest one that kills every node it
            meets goes on for ever.
    """
    if reason in ENDS_THE_JOB_WELL:
        return JobEvent.SUCCEEDED
    if cancel_requested:
        return JobEvent.CANCELLED
    if reason is EndReason.PREEMPTED:
        return JobEvent.REQUEUED
    if reason in RESTARTS_UNCOUNTED:
        restarts = attempt - 1 - failures - preemptions
        return JobEvent.REQUEUED if restarts < restarts_max else JobEvent.FAILED
    return JobEvent.REQUEUED if failures + 1 < attempts_max else JobEvent.FAILED


async def _end(
    tx: Connection, cluster: str, told: Sequence[Stopped], at: datetime, event: LeaseEvent, restarts_max: int
) -> list[Ended]:
    if not told:
        return []
    sources = lease_sources(event)
    rows = await tx.fetch(LOCK_TO_END, cluster, [t.ref.lease for t in told], [t.ref.epoch for t in told], sources)
    words = {t.ref: t for t in told}
    ended = []
    columns: list[tuple[object, ...]] = []
    for row in rows:
        ref = LeaseRef(LeaseId(row["lease_id"]), row["epoch"])
        word = _preempted(row, words[ref])
        ended.append(Ended(ref, JobId(row["job_id"]), _outcome_of(row, word.ending.reason, restarts_max)))
        columns.append(_ending_columns(row, word, ended[-1].event, at))
    if ended:
        await tx.execute(END, *(list(c) for c in zip(*columns, strict=True)), at, sources)
    return ended


def _preempted(row: Any, word: Stopped) -> Stopped:
    """Return the agent's word as what it is: it stopped the lease because we said so, and we know why.

    One that was lost or has vanished while it was to be stopped is gone as we wanted; how is left in the detail.
    """
    as_ordered = word.ending.reason in (EndReason.CANCELLED, EndReason.LOST, EndReason.VANISHED)
    if as_ordered and row["stop_ordered"] and not row["cancel_requested"]:
        return replace(word, ending=replace(word.ending, reason=EndReason.PREEMPTED))
    return word


def _outcome_of(row: Any, reason: EndReason, restarts_max: int) -> JobEvent:
    return outcome(
        reason,
        cancel_requested=row["cancel_requested"],
        attempt=row["attempt"],
        failures=row["failures"],
        preemptions=row["preemptions"],
        attempts_max=row["attempts_max"],
        restarts_max=restarts_max,
    )


def _ending_columns(row: Any, word: Stopped, event: JobEvent, at: datetime) -> tuple[object, ...]:
    """Return one row for END: offered <= started <= ended <= at, whatever the agent's clock says."""
    was = JobState(row["job_state"])
    becomes = next_job(was, event)
    began = row["started_at"] or (word.started_at and _within(word.started_at, row["offered_at"], at))
    uncounted = ENDS_THE_JOB_WELL | RESTARTS_UNCOUNTED | {EndReason.PREEMPTED}
    counted = becomes is not JobState.CANCELLED and word.ending.reason not in uncounted
    return (
        row["lease_id"],
        event,
        was,
        becomes,
        becomes in JOB_FINAL,
        counted,
        word.ending.reason,
        word.ending.exit_code,
        word.ending.signal,
        word.ending.detail,
        began,
        _within(word.ended_at or at, began or row["offered_at"], at),
    )


def _within(moment: datetime, earliest: datetime, latest: datetime) -> datetime:
    return max(earliest, min(moment, latest))


FALL_SILENT: Final[LiteralString] = """
    WITH known AS (
        SELECT l.lease_id FROM leases l JOIN jobs j USING (job_id)
         WHERE l.cluster = $1 AND l.state = ANY($3) ORDER BY j.job_id FOR NO KEY UPDATE OF j, l
    ), moved AS (
        UPDATE leases l SET state = 'lost', lost_at = $2 FROM known WHERE l.lease_id = known.lease_id
        RETURNING l.lease_id, l.job_id, l.city, l.epoch
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at, attempt)
        SELECT moved.city, moved.job_id, 'lost', $2, moved.epoch
          FROM moved JOIN jobs j USING (job_id) WHERE j.state = ANY($4) ORDER BY moved.job_id
    )
    SELECT lease_id, epoch FROM moved ORDER BY lease_id
"""


async def silent(tx: Connection, cluster: str, at: datetime) -> list[LeaseRef]:
    """Make every live lease of the cluster LOST, as nobody knows what became of it. Its cards stay held."""
    rows = await tx.fetch(FALL_SILENT, cluster, at, lease_sources(LeaseEvent.SILENT), job_sources(JobEvent.LOST))
    return [LeaseRef(LeaseId(r["lease_id"]), r["epoch"]) for r in rows]


RESTARTABLE: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch
      FROM leases l JOIN clusters c USING (cluster)
     WHERE l.cluster = $1 AND l.state = ANY($2) AND l.if_lost = 'restart'
       AND c.agent_state = 'lost' AND c.heard_at <= $3
"""


async def killed_by_terms(
    tx: Connection, cluster: str, now: datetime, heard_before: datetime, *, restarts_max: int
) -> list[Ended]:
    """End the lost leases of an `if_lost: restart` job whose agent must have killed them by now.

    An agent that was heard after `heard_before`, or has attached again, tells the truth itself: then nothing is done.
    The caller holds the row of the cluster.
    """
    rows = await tx.fetch(RESTARTABLE, cluster, lease_sources(LeaseEvent.KILLED_BY_TERMS), heard_before)
    ending = Ending(EndReason.LOST, detail="the agent fell silent; by its terms it has killed the job")
    told = [Stopped(LeaseRef(LeaseId(r["lease_id"]), r["epoch"]), ending) for r in rows]
    return await _end(tx, cluster, told, now, LeaseEvent.KILLED_BY_TERMS, restarts_max)


GET: Final[LiteralString] = "SELECT cluster, epoch, state FROM leases WHERE lease_id = $1"
HOLD_CLUSTER: Final[LiteralString] = "SELECT FROM clusters WHERE cluster = $1 FOR NO KEY UPDATE"


async def write_off(tx: Connection, lease: LeaseId, at: datetime, *, detail: str = "") -> Ended:
    """End a LOST lease because an operator vouches that nothing of it runs: cards free, its job goes on.

    The number of restarts is not limited: every one of these is a person's decision.

    Raises:
        LeaseNotFound: there is no such lease.
        LeaseNotLost: it is live and its agent in touch, or it has ended.
    """
    row = await tx.fetchrow(GET, lease)
    if row is None:
        raise LeaseNotFound(lease=lease_text(lease))
    await tx.execute(HOLD_CLUSTER, row["cluster"])
    told = Stopped(LeaseRef(lease, row["epoch"]), Ending(EndReason.WRITTEN_OFF, detail=detail))
    ended = await _end(tx, row["cluster"], [told], at, LeaseEvent.WRITTEN_OFF, restarts_max=2**31)
    if not ended:
        state = LeaseState((await tx.fetchrow(GET, lease) or row)["state"])
        raise LeaseNotLost(lease=lease_text(lease), state=state)
    return ended[0]
