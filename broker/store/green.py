"""What jobs that prefer green hours are judged by, and those that wait for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.ids import JobId
from broker.job import JobSpec, PriorityClass
from broker.store import rates
from broker.store.database import Connection
from broker.worlds.rates import RateCard

HUBS: Final[LiteralString] = "SELECT hub, green_hours FROM hubs WHERE green_hours <> '{}'"
CLUSTERS: Final[LiteralString] = "SELECT cluster, hub FROM clusters"
MODELS: Final[LiteralString] = "SELECT model, fp16_programme_milli_tflops FROM accelerator_models"
WAITING: Final[LiteralString] = """
    SELECT job_id, spec, priority, submitted_at, earliest_start FROM jobs
     WHERE state = 'pending' AND earliest_start IS NOT NULL AND waiting_reason = 'GREEN_WAITS' AND job_id > $1
     ORDER BY job_id LIMIT $2
"""
# What somebody else changes at this moment is skipped: it is looked at again.
MOVE: Final[LiteralString] = """
    WITH given AS (
        SELECT * FROM unnest($1::bigint[], $2::timestamptz[]) AS t (job_id, until)
    ), held AS (
        SELECT j.job_id FROM jobs j JOIN given USING (job_id)
         WHERE j.state = 'pending' AND j.waiting_reason = 'GREEN_WAITS'
         ORDER BY j.job_id FOR NO KEY UPDATE OF j SKIP LOCKED
    ), moved AS (
        UPDATE jobs j
           SET earliest_start = CASE WHEN g.until > $3 THEN g.until END,
               waiting_reason = CASE WHEN g.until > $3 AND g.until IS DISTINCT FROM
                                          (j.spec->>'earliest_start')::timestamptz THEN 'GREEN_WAITS'
                                     WHEN g.until > $3 THEN 'NOT_YET' ELSE '' END
          FROM given g JOIN held USING (job_id) WHERE j.job_id = g.job_id
        RETURNING j.job_id
    )
    SELECT count(*) FROM moved
"""


@dataclass(frozen=True, slots=True)
class GreenView:
    """Green hours by hub, hubs by cluster, and what is asked from now on by cluster and model."""

    green_hours: Mapping[str, tuple[int, ...]]
    hub_of: Mapping[str, str]
    programme_milli_tflops: Mapping[str, int]
    cards: Mapping[tuple[str, str], Sequence[RateCard]]


@dataclass(frozen=True, slots=True)
class GreenWait:
    """A job that waits for a green hour."""

    job: JobId
    spec: JobSpec
    priority: PriorityClass
    submitted_at: datetime
    until: datetime


async def read(tx: Connection, now: datetime) -> GreenView:
    """Return what there is to know of green hours and of what is asked in them."""
    return GreenView(
        green_hours={r["hub"]: tuple(r["green_hours"]) for r in await tx.fetch(HUBS)},
        hub_of={r["cluster"]: r["hub"] for r in await tx.fetch(CLUSTERS)},
        programme_milli_tflops={r["model"]: r["fp16_programme_milli_tflops"] for r in await tx.fetch(MODELS)},
        cards=await rates.from_now_on(tx, now),
    )


async def waiting(tx: Connection, after: JobId, limit: int) -> list[GreenWait]:
    """Return jobs that wait for a green hour, by id, from the first one after `after`."""
    return [
        GreenWait(
            JobId(r["job_id"]),
            JobSpec.from_json(r["spec"]),
            PriorityClass(r["priority"]),
            r["submitted_at"],
            r["earliest_start"],
        )
        for r in await tx.fetch(WAITING, after, limit)
    ]


async def move(tx: Connection, jobs: Sequence[tuple[JobId, datetime | None]], now: datetime) -> int:
    """Let these jobs wait until another time, or not at all (None, or a time that has come); return how many."""
    return int(await tx.fetchval(MOVE, [job for job, _ in jobs], [until for _, until in jobs], now))
