"""Expected starts of waiting jobs, and what the forecast behind them has learned.

Columns, not rows: those of a hundred thousand jobs are read with every round. All times are whole seconds since 1970.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.ids import JobId
from broker.job import ExpectedStart
from broker.store.database import Connection

NOTHING: Final = -1
"""In place of a time: nothing is expected now."""

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GivenStarts:
    """All waits that were given an expected start and have not been seen to end, ascending by job.

    Attributes:
        size: class of size of the job.
        first_p50_s, first_p90_s: as it was given first.
        p50_s, p90_s: as it was told last, both NOTHING where nothing is expected any more.
        late_p50, late_p90: that it starts later than it was given first has been learned.
    """

    job: Ints = ()
    size: Ints = ()
    first_p50_s: Ints = ()
    first_p90_s: Ints = ()
    p50_s: Ints = ()
    p90_s: Ints = ()
    late_p50: tuple[bool, ...] = ()
    late_p90: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """What became of a wait: it goes on, or its job was leased then, or neither (`started_s` is None)."""

    waits: bool
    started_s: int | None


@dataclass(frozen=True, slots=True)
class StartDraft:
    """An expected start to be told."""

    job: JobId
    size: int
    p50_s: int
    p90_s: int


# An aggregate takes its rows in the order of the subquery; sorting in each of them would take as often as long.
READ: Final[LiteralString] = """
    SELECT array_agg(job_id), array_agg(size), array_agg(first_p50_s), array_agg(first_p90_s), array_agg(p50_s),
           array_agg(p90_s), array_agg(late_p50), array_agg(late_p90)
      FROM (
        SELECT job_id, size, floor(date_part('epoch', first_p50_at))::bigint AS first_p50_s,
               floor(date_part('epoch', first_p90_at))::bigint AS first_p90_s,
               coalesce(floor(date_part('epoch', p50_at)), -1)::bigint AS p50_s,
               coalesce(floor(date_part('epoch', p90_at)), -1)::bigint AS p90_s, late_p50, late_p90
          FROM expected_starts ORDER BY job_id
      ) AS given
"""
WAITS: Final[LiteralString] = """
    SELECT e.job_id, j.state = 'pending' AND j.attempt = e.attempt AS waits,
           floor(date_part('epoch', l.offered_at))::bigint AS started_s
      FROM unnest($1::bigint[]) AS t (job_id) JOIN expected_starts e USING (job_id) JOIN jobs j USING (job_id)
      LEFT JOIN leases l ON l.job_id = e.job_id AND l.epoch = e.attempt + 1
"""
# A row of an earlier wait that no round saw the end of begins anew.
TELL: Final[LiteralString] = """
    INSERT INTO expected_starts AS e (job_id, city, attempt, size, first_p50_at, first_p90_at, p50_at, p90_at)
    SELECT t.job_id, j.city, j.attempt, t.size, to_timestamp(t.p50_s), to_timestamp(t.p90_s),
           to_timestamp(t.p50_s), to_timestamp(t.p90_s)
      FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[]) AS t (job_id, size, p50_s, p90_s)
      JOIN jobs j USING (job_id)
     WHERE j.state = 'pending' ORDER BY t.job_id
    ON CONFLICT (job_id) DO UPDATE SET
        attempt = excluded.attempt, size = excluded.size, p50_at = excluded.p50_at, p90_at = excluded.p90_at,
        first_p50_at = CASE e.attempt WHEN excluded.attempt THEN e.first_p50_at ELSE excluded.first_p50_at END,
        first_p90_at = CASE e.attempt WHEN excluded.attempt THEN e.first_p90_at ELSE excluded.first_p90_at END,
        late_p50 = e.late_p50 AND e.attempt = excluded.attempt,
        late_p90 = e.late_p90 AND e.attempt = excluded.attempt
"""
EXPECT_NOTHING: Final[LiteralString] = """
    UPDATE expected_starts SET p50_at = NULL, p90_at = NULL WHERE job_id = ANY($1)
"""
SET_LATE: Final[LiteralString] = """
    UPDATE expected_starts SET late_p50 = late_p50 OR job_id = ANY($1), late_p90 = late_p90 OR job_id = ANY($2)
     WHERE job_id = ANY($1) OR job_id = ANY($2)
"""
FORGET: Final[LiteralString] = "DELETE FROM expected_starts WHERE job_id = ANY($1)"
# From the ids on: by the city's waiting jobs it would take as long as the queue is.
OF_JOBS: Final[LiteralString] = """
    WITH given AS MATERIALIZED (
        SELECT job_id, attempt, p50_at, p90_at FROM expected_starts WHERE job_id = ANY($1) AND p90_at IS NOT NULL
    )
    SELECT given.job_id, given.p50_at, given.p90_at
      FROM given CROSS JOIN LATERAL (
               SELECT state, attempt, waiting_reason FROM jobs WHERE jobs.job_id = given.job_id OFFSET 0
           ) AS j
     WHERE j.state = 'pending' AND j.attempt = given.attempt AND j.waiting_reason <> 'QUEUE_PAUSED'
"""
FORECAST: Final[LiteralString] = "SELECT learned FROM forecast"
KEEP_FORECAST: Final[LiteralString] = """
    INSERT INTO forecast (learned, learned_at) VALUES ($1, $2)
    ON CONFLICT (one) DO UPDATE SET learned = excluded.learned, learned_at = excluded.learned_at
"""


async def read(tx: Connection) -> GivenStarts:
    """Return all that are kept."""
    return GivenStarts(*(tuple(column or ()) for column in await tx.fetchrow(READ) or ()))


async def waits_of(tx: Connection, jobs: Collection[JobId]) -> dict[JobId, Wait]:
    """Return what became of the waits of these jobs that are kept."""
    if not jobs:
        return {}
    return {JobId(r["job_id"]): Wait(r["waits"], r["started_s"]) for r in await tx.fetch(WAITS, list(jobs))}


async def tell(tx: Connection, drafts: Sequence[StartDraft]) -> None:
    """Keep these as what is expected, of jobs that wait. Needs the hub's role, as everything here that writes."""
    await tx.execute(
        TELL,
        [d.job for d in drafts],
        [d.size for d in drafts],
        [d.p50_s for d in drafts],
        [d.p90_s for d in drafts],
    )


async def expect_nothing(tx: Connection, jobs: Sequence[JobId]) -> None:
    """Let nothing be expected of these jobs any more; what they were given first stays."""
    await tx.execute(EXPECT_NOTHING, jobs)


async def set_late(tx: Connection, late_p50: Sequence[JobId], late_p90: Sequence[JobId]) -> None:
    """Note that these waits have outlasted what they were given first."""
    if late_p50 or late_p90:
        await tx.execute(SET_LATE, late_p50, late_p90)


async def forget(tx: Connection, jobs: Sequence[JobId]) -> None:
    """Remove waits that have ended."""
    if jobs:
        await tx.execute(FORGET, jobs)


async def of_jobs(tx: Connection, jobs: Collection[JobId]) -> dict[JobId, ExpectedStart]:
    """Return what is expected of those of these jobs that wait, as it was told last: it may have passed."""
    if not jobs:
        return {}
    rows = await tx.fetch(OF_JOBS, list(jobs))
    return {JobId(r["job_id"]): ExpectedStart(r["p50_at"], r["p90_at"]) for r in rows}


async def forecast(tx: Connection) -> str | None:
    """Return what was learned, as `keep_forecast` was given it; None when nothing was."""
    learned: str | None = await tx.fetchval(FORECAST)
    return learned


async def keep_forecast(tx: Connection, learned: str, at: datetime) -> None:
    """Keep what was learned. Only for a transaction that has checked the lead: nobody else learns meanwhile."""
    await tx.execute(KEEP_FORECAST, learned, at)
