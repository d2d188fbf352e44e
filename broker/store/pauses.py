"""Queues of cities that are paused, and clusters that are, as operators set them.

The jobs of accepted quotes are no part of a pause of their city: their starts are sold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, LiteralString

from broker.lifecycle import Held
from broker.store.database import Connection


class Paused(StrEnum):
    """What can be paused."""

    QUEUE = "queue"  # of a city: none of its waiting jobs starts
    CLUSTER = "cluster"  # it takes no new work, whatever its nodes say


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue or cluster that is paused. `name`: of the city or cluster; `paused_by`: public id of a key."""

    what: Paused
    name: str
    reason: str
    paused_at: datetime
    paused_by: str


NOT_PAUSED: Final[LiteralString] = """
    (j.city <> ALL (ARRAY(SELECT city::text FROM paused_queues))
     OR EXISTS (SELECT FROM quotes q WHERE q.job_id = j.job_id))
"""
"""Holds for jobs j that no pause of their city's queue keeps from starting."""

ALL: Final[LiteralString] = """
    SELECT 'queue' AS what, city AS name, reason, paused_at, paused_by FROM paused_queues
     UNION ALL
    SELECT 'cluster', cluster, reason, paused_at, paused_by FROM paused_clusters
     ORDER BY what, name
"""
ADD: Final[Mapping[Paused, LiteralString]] = {
    Paused.QUEUE: """
        INSERT INTO paused_queues (city, reason, paused_at, paused_by) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING true
    """,
    Paused.CLUSTER: """
        INSERT INTO paused_clusters (cluster, reason, paused_at, paused_by) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING true
    """,
}
REMOVE: Final[Mapping[Paused, LiteralString]] = {
    Paused.QUEUE: "DELETE FROM paused_queues WHERE city = $1 RETURNING reason, paused_at, paused_by",
    Paused.CLUSTER: "DELETE FROM paused_clusters WHERE cluster = $1 RETURNING reason, paused_at, paused_by",
}


async def all_pauses(tx: Connection) -> list[Pause]:
    """Return what is paused, clusters before queues, by name."""
    return [Pause(Paused(r["what"]), *r[1:]) for r in await tx.fetch(ALL)]


async def get(tx: Connection, what: Paused, name: str) -> Pause | None:
    """Return the pause of a queue or cluster; None while it is not paused."""
    return next((each for each in await all_pauses(tx) if (each.what, each.name) == (what, name)), None)


async def add(tx: Connection, pause: Pause) -> bool:
    """Pause it; tell whether it was not paused before. The caller has locked the rules."""
    return bool(await tx.fetchval(ADD[pause.what], pause.name, pause.reason, pause.paused_at, pause.paused_by))


async def remove(tx: Connection, what: Paused, name: str) -> Pause | None:
    """Let it go on; return the pause that ends, None when there was none. The caller has locked the rules."""
    row = await tx.fetchrow(REMOVE[what], name)
    return None if row is None else Pause(what, name, *row)


ANY_QUEUE: Final[LiteralString] = "SELECT EXISTS (SELECT FROM paused_queues)"
# Jobs that something else holds too keep that reason until it lets them go.
HOLD_BACK: Final[LiteralString] = """
    WITH held AS (
        SELECT j.job_id FROM jobs j
         WHERE j.state = 'pending' AND j.city = ANY (ARRAY(SELECT city::text FROM paused_queues))
           AND NOT j.upstreams_open AND (j.earliest_start IS NULL OR j.earliest_start <= $1)
           AND j.waiting_reason <> $2 AND NOT EXISTS (SELECT FROM quotes q WHERE q.job_id = j.job_id)
         ORDER BY j.job_id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
    ), told AS (
        UPDATE jobs j SET waiting_reason = $2 FROM held WHERE j.job_id = held.job_id RETURNING j.job_id
    )
    SELECT count(*) FROM told
"""
# When they start is no longer a question of the forecast, which must not learn from them either.
EXPECT_NOTHING: Final[LiteralString] = """
    DELETE FROM expected_starts e USING jobs j
     WHERE j.job_id = e.job_id AND j.city = ANY (ARRAY(SELECT city::text FROM paused_queues))
       AND j.state = 'pending' AND j.waiting_reason = $1
"""
LET_GO: Final[LiteralString] = """
    UPDATE jobs SET waiting_reason = '' WHERE city = $1 AND state = 'pending' AND waiting_reason = $2
"""
WAITING: Final[LiteralString] = """
    SELECT count(*) FROM jobs j
     WHERE j.state = 'pending' AND j.city = $1 AND NOT EXISTS (SELECT FROM quotes q WHERE q.job_id = j.job_id)
"""


async def hold_back(tx: Connection, now: datetime, limit: int) -> int:
    """Tell up to `limit` jobs of paused queues why they wait, where they were not told; return how many that was."""
    if not await tx.fetchval(ANY_QUEUE):
        return 0
    told = int(await tx.fetchval(HOLD_BACK, now, Held.QUEUE_PAUSED, limit))
    await tx.execute(EXPECT_NOTHING, Held.QUEUE_PAUSED)
    return told


async def let_go(tx: Connection, city: str) -> None:
    """Take back from the jobs of a city that a pause is why they wait: the next round says what is."""
    await tx.execute(LET_GO, city, Held.QUEUE_PAUSED)


async def waiting(tx: Connection, city: str) -> int:
    """Return how many jobs of a city wait that a pause of its queue keeps from starting."""
    return int(await tx.fetchval(WAITING, city))
