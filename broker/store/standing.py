"""What flows from cities to hubs now, what waits and why, and what happened to one job: for people who look."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.ids import JobId, LeaseId
from broker.job import Ending, Lease, Placement
from broker.lifecycle import JobEvent
from broker.store.database import Connection
from broker.store.nodes import leases_of
from broker.store.placements import placements


@dataclass(frozen=True, slots=True)
class Flow:
    """What a city holds in a hub for a class of work."""

    hub: str
    city: str
    workload_class: str
    milli_cards: int
    leases: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs of a city that wait for the same reason. `cards`: of their full gangs, whole cards only."""

    city: str
    priority: str
    reason: str  # "" until a round has looked at them
    jobs: int
    cards: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a job. Of a lease the placement is there, of an end its reason."""

    at: datetime
    kind: JobEvent
    attempt: int
    placement: Placement | None
    ending: Ending | None


FLOWS: Final[LiteralString] = """
    WITH held AS (
        SELECT lease_id, sum(milli)::bigint AS milli FROM held_cards GROUP BY lease_id
    )
    SELECT c.hub, l.city, coalesce(j.spec->>'workload_class', '') AS workload_class,
           sum(h.milli)::bigint AS milli_cards, count(*) AS leases
      FROM held h JOIN leases l USING (lease_id) JOIN clusters c USING (cluster) JOIN jobs j USING (job_id)
     GROUP BY c.hub, l.city, 3 ORDER BY c.hub, l.city, 3
"""


async def flows(tx: Connection) -> list[Flow]:
    """Return what live leases hold, by hub, city and class of work. Needs the hub's role."""
    return [Flow(*r.values()) for r in await tx.fetch(FLOWS)]


WAITING: Final[LiteralString] = """
    SELECT j.city, j.priority, j.waiting_reason, count(*) AS jobs,
           sum((s.requirement->>'tasks')::bigint * (s.requirement->>'cards_per_task')::bigint)::bigint AS cards,
           min(j.submitted_at) AS oldest_at
      FROM jobs j JOIN shapes s USING (shape_id) WHERE j.state = 'pending' AND ($1 = '' OR j.city = $1)
     GROUP BY j.city, j.priority, j.waiting_reason ORDER BY jobs DESC, j.city, j.priority, j.waiting_reason
"""


async def waiting(tx: Connection, city: str = "") -> list[Waiting]:
    """Return what waits of a city, or of all that the transaction may see, the largest group first."""
    return [Waiting(*r.values()) for r in await tx.fetch(WAITING, city)]


STORY: Final[LiteralString] = """
    SELECT at, kind, attempt, lease_id, ending FROM events WHERE job_id = $1 ORDER BY cursor DESC LIMIT $2
"""


async def story(tx: Connection, job: JobId, limit: int) -> list[Step]:
    """Return what happened to a job, as far as it is numbered; of a long story the last steps, oldest first."""
    rows = list(reversed(await tx.fetch(STORY, job, limit)))
    placed = await placements(tx, [LeaseId(r["lease_id"]) for r in rows if r["kind"] == "leased" and r["lease_id"]])
    return [
        Step(
            r["at"],
            JobEvent(r["kind"]),
            r["attempt"],
            placed.get(LeaseId(r["lease_id"])) if r["lease_id"] else None,
            None if r["ending"] is None else Ending.from_json(r["ending"]),
        )
        for r in rows
    ]


@dataclass(frozen=True, slots=True)
class PoolCards:
    """The nodes of a pool by name, and what their cards are. Of sets of cards, bit n of a number stands for card n."""

    cluster: str
    pool: str
    model: str
    nodes: Sequence[str]
    cards: Sequence[int]  # of each node
    open: Sequence[bool]  # neither it nor its cluster is closed, and its agent is live
    works: Sequence[bool]
    leased: Sequence[int]  # set of cards that leases hold, in part is enough
    foreign: Sequence[int]  # set of cards in foreign use


# One row for each pool, and sets as numbers: rows of 45,000 nodes with arrays took longer to read than to find. The
# aggregates take their rows in the order of the subquery.
CARDS: Final[LiteralString] = """
    WITH held AS (
        SELECT node_id, bit_or(1::bigint << card) AS leased FROM held_cards
         WHERE $1 = '' OR node_id IN (SELECT node_id FROM nodes WHERE cluster = $1) GROUP BY node_id
    ), windows AS MATERIALIZED (
        SELECT * FROM maintenance_windows WHERE cancelled_at IS NULL AND starts_at <= $2 AND ends_at > $2
    ), each AS (
        SELECT n.cluster, p.pool, p.model, n.node, n.cards,
               n.mode = 'open' AND c.agent_state = 'live'
               AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters)) AND NOT EXISTS (
                     SELECT FROM windows w
                      WHERE w.cluster = n.cluster AND (w.pool_id IS NULL OR w.pool_id = n.pool_id)
                        AND (w.nodes = '{}' OR n.node = ANY(w.nodes))
               ) AS open,
               n.present AND NOT n.down AS works, coalesce(h.leased, 0) AS leased,
               CASE n.foreign_cards WHEN '{}' THEN 0
                    ELSE (SELECT bit_or(1::bigint << card) FROM unnest(n.foreign_cards) AS f (card)) END AS foreign_use
          FROM nodes n JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = n.cluster
          LEFT JOIN held h USING (node_id)
         WHERE (n.present OR h.leased IS NOT NULL) AND ($1 = '' OR n.cluster = $1)
         ORDER BY n.cluster, p.pool, n.node
    )
    SELECT cluster, pool, model, array_agg(node::text), array_agg(cards), array_agg(open), array_agg(works),
           array_agg(leased), array_agg(foreign_use)
      FROM each GROUP BY cluster, pool, model ORDER BY cluster, pool
"""


async def cards(tx: Connection, now: datetime, cluster: str = "") -> list[PoolCards]:
    """Return what every card of a cluster is now, of all clusters when it is empty, by cluster and pool."""
    return [PoolCards(*r.values()) for r in await tx.fetch(CARDS, cluster, now)]


LEASES_ON_NODE: Final[LiteralString] = """
    SELECT lease_id, job_id, city, state, offered_at, started_at FROM leases
     WHERE state <> 'ended' AND lease_id IN (
           SELECT h.lease_id FROM held_cards h JOIN nodes n USING (node_id) WHERE n.cluster = $1 AND n.node = $2)
     ORDER BY lease_id LIMIT $3
"""


async def leases_on_node(tx: Connection, cluster: str, node: str, limit: int) -> list[Lease]:
    """Return live leases that hold cards of a node, oldest first."""
    return await leases_of(tx, await tx.fetch(LEASES_ON_NODE, cluster, node, limit))
