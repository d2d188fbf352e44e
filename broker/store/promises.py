"""Promised starts: those that stand, written anew by every round that changes one, and what became of each.

Nodes are kept by name: a promise may outlive a node. All times are whole seconds since 1970.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import JobId, RoundId
from broker.job import Promised, Within
from broker.lifecycle import PromiseCause, PromiseFate
from broker.store.database import Connection
from broker.store.pauses import NOT_PAUSED


@dataclass(frozen=True, slots=True)
class PromiseRow:
    """A start that is promised to a waiting job.

    Attributes:
        stands: its job waits, in the same attempt, and in no paused queue; of no use otherwise. Always so when written.
        pool: named as cluster and pool, for people.
        nodes: names and the tasks there.
        start_s: at the latest; end_s: until then the cards are its own.
        first_start_s: the start that was promised first.
        not_before_s: a booked window begins then; 0: as soon as it can.
        within: where all its nodes must be, should it get others.
        made_at, round: when, and by which round, it was promised first; round 0: by the acceptance of a quote.
    """

    job: JobId
    city: str
    pool_id: int
    pool: str
    nodes: tuple[tuple[str, int], ...]
    build: int
    start_s: int
    end_s: int
    first_start_s: int
    not_before_s: int
    worth_micro_yuan_per_hour: int
    cards_per_task: int
    cpu_milli_per_task: int
    memory_mib_per_task: int
    within: Within
    made_at: datetime
    round: RoundId
    stands: bool = True


@dataclass(frozen=True, slots=True)
class PromiseEntry:
    """What became of a promise in a round; times as in the table."""

    job: JobId
    fate: PromiseFate
    promised_s: int | None = None
    start_s: int | None = None
    cause: PromiseCause | None = None


NO_ROUND: Final = RoundId(0)
"""Stands for the round of a promise that no round made."""

GROUND_LOCK: Final = 0x7869_0003
"""Class of the advisory lock under which leases are made, by many, and quotes accepted, by one at a time."""

LOCK_GROUND: Final[LiteralString] = "SELECT pg_advisory_xact_lock($1, 0)"
SHARE_GROUND: Final[LiteralString] = "SELECT pg_advisory_xact_lock_shared($1, 0)"
ANY_BESIDE: Final[LiteralString] = "SELECT EXISTS (SELECT FROM promises WHERE job_id <> ALL($1))"

READ: Final[LiteralString] = (
    """
    SELECT p.job_id, p.city, p.pool_id, l.cluster || '/' || l.pool AS pool, p.nodes, p.tasks, p.build,
           floor(date_part('epoch', p.starts_at))::bigint AS start_s,
           floor(date_part('epoch', p.ends_at))::bigint AS end_s,
           floor(date_part('epoch', p.first_starts_at))::bigint AS first_start_s,
           coalesce(floor(date_part('epoch', p.not_before)), 0)::bigint AS not_before_s,
           p.worth_micro_yuan_per_hour, p.cards_per_task, p.cpu_milli_per_task, p.memory_mib_per_task, p.within,
           p.made_at, coalesce(p.round_id, 0) AS round_id, j.state = 'pending' AND j.attempt = p.attempt AND """
    + NOT_PAUSED
    + """ AS stands
      FROM promises p JOIN jobs j USING (job_id) JOIN pools l USING (pool_id)
     ORDER BY p.starts_at, p.job_id
"""
)
# From the ids on: by the city's waiting jobs it would take as long as the queue is.
OF_JOBS: Final[LiteralString] = (
    """
    WITH given AS MATERIALIZED (
        SELECT p.job_id, p.attempt, p.starts_at, p.first_starts_at, l.cluster, l.pool
          FROM promises p JOIN pools l USING (pool_id) WHERE p.job_id = ANY($1)
    )
    SELECT given.job_id, given.starts_at, given.first_starts_at, given.cluster, given.pool
      FROM given CROSS JOIN LATERAL (
               SELECT job_id, city, state, attempt FROM jobs WHERE jobs.job_id = given.job_id OFFSET 0
           ) AS j
     WHERE j.state = 'pending' AND j.attempt = given.attempt AND """
    + NOT_PAUSED
)
CLEAR: Final[LiteralString] = "DELETE FROM promises"
INSERT: Final[LiteralString] = """
    INSERT INTO promises (job_id, city, attempt, pool_id, nodes, tasks, build, starts_at, ends_at, first_starts_at,
                          not_before, worth_micro_yuan_per_hour, cards_per_task, cpu_milli_per_task,
                          memory_mib_per_task, within, made_at, round_id)
    SELECT t.job_id, j.city, j.attempt, t.pool_id, string_to_array(t.nodes, ','), string_to_array(t.tasks, ',')::int[],
           t.build, to_timestamp(t.start_s), to_timestamp(t.end_s), to_timestamp(t.first_start_s),
           CASE t.not_before_s WHEN 0 THEN NULL ELSE to_timestamp(t.not_before_s) END,
           t.worth, t.cards, t.cpu_milli, t.memory_mib, t.within, t.made_at, nullif(t.round_id, 0)
      FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[],
                  $8::bigint[], $9::bigint[], $10::bigint[], $11::int[], $12::int[], $13::int[], $14::text[],
                  $15::timestamptz[], $16::bigint[])
        AS t (job_id, pool_id, nodes, tasks, build, start_s, end_s, first_start_s, not_before_s, worth, cards,
              cpu_milli, memory_mib, within, made_at, round_id)
      JOIN jobs j USING (job_id)
"""
TELL: Final[LiteralString] = """
    INSERT INTO promise_history (job_id, city, round_id, at, fate, cause, promised_at, starts_at)
    SELECT t.job_id, j.city, nullif($1::bigint, 0), $2, t.fate, t.cause, to_timestamp(t.promised_s),
           to_timestamp(t.start_s)
      FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
           WITH ORDINALITY AS t (job_id, fate, cause, promised_s, start_s, place)
      JOIN jobs j USING (job_id)
     ORDER BY t.place
"""
HISTORY: Final[LiteralString] = """
    SELECT job_id, fate, cause, floor(date_part('epoch', promised_at))::bigint AS promised_s,
           floor(date_part('epoch', starts_at))::bigint AS start_s
      FROM promise_history WHERE job_id = $1 ORDER BY entry_id
"""


async def read(tx: Connection) -> tuple[PromiseRow, ...]:
    """Return all promises, by start."""
    return tuple(_row(r) for r in await tx.fetch(READ))


async def of_jobs(tx: Connection, jobs: Collection[JobId]) -> dict[JobId, Promised]:
    """Return what is promised to each of these jobs that waits and is promised a start."""
    if not jobs:
        return {}
    rows = await tx.fetch(OF_JOBS, list(jobs))
    return {JobId(r["job_id"]): Promised(r["starts_at"], r["first_starts_at"], r["cluster"], r["pool"]) for r in rows}


async def keep(tx: Connection, rows: Sequence[PromiseRow]) -> None:
    """Let these promises be all that there are. Only for the transaction of a round: it has checked the lead."""
    await tx.execute(CLEAR)
    await add(tx, rows)


async def lock_ground(tx: Connection) -> None:
    """Keep everybody from making leases, and others from accepting quotes, until the transaction ends."""
    await tx.execute(LOCK_GROUND, GROUND_LOCK)


async def share_ground(tx: Connection) -> None:
    """Keep everybody from accepting quotes until the transaction ends: whoever makes leases, before it looks."""
    await tx.execute(SHARE_GROUND, GROUND_LOCK)


async def any_beside(tx: Connection, known: Sequence[JobId]) -> bool:
    """Tell whether a job is promised a start that is none of these; under the lock of the ground nothing changes it."""
    return bool(await tx.fetchval(ANY_BESIDE, list(known)))


async def add(tx: Connection, rows: Sequence[PromiseRow]) -> None:
    """Add promises; the caller holds the lock of the ground, or writes those of a round."""
    if rows:
        await tx.execute(
            INSERT,
            [r.job for r in rows],
            [r.pool_id for r in rows],
            [",".join(name for name, _ in r.nodes) for r in rows],
            [",".join(str(tasks) for _, tasks in r.nodes) for r in rows],
            [r.build for r in rows],
            [r.start_s for r in rows],
            [r.end_s for r in rows],
            [r.first_start_s for r in rows],
            [r.not_before_s for r in rows],
            [r.worth_micro_yuan_per_hour for r in rows],
            [r.cards_per_task for r in rows],
            [r.cpu_milli_per_task for r in rows],
            [r.memory_mib_per_task for r in rows],
            [r.within for r in rows],
            [r.made_at for r in rows],
            [r.round for r in rows],
        )


async def tell(tx: Connection, round_id: RoundId, entries: Sequence[PromiseEntry], at: datetime) -> None:
    """Add what became of promises in a round."""
    if entries:
        await tx.execute(
            TELL,
            round_id,
            at,
            [e.job for e in entries],
            [e.fate for e in entries],
            [e.cause for e in entries],
            [e.promised_s for e in entries],
            [e.start_s for e in entries],
        )


async def history(tx: Connection, job: JobId) -> list[PromiseEntry]:
    """Return what became of the promises of a job, in order."""
    return [
        PromiseEntry(
            JobId(r["job_id"]),
            PromiseFate(r["fate"]),
            r["promised_s"],
            r["start_s"],
            None if r["cause"] is None else PromiseCause(r["cause"]),
        )
        for r in await tx.fetch(HISTORY, job)
    ]


def _row(r: Any) -> PromiseRow:
    values = dict(r)
    values["job"], values["round"] = JobId(values.pop("job_id")), RoundId(values.pop("round_id"))
    values["nodes"] = tuple(zip(values["nodes"], values.pop("tasks"), strict=True))
    values["within"] = Within(values["within"])
    return PromiseRow(**values)
