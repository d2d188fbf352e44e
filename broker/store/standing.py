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
class NodeCards:
    """A node and what its cards are: numbers of those that leases hold, and of those in foreign use."""

    cluster: str
    pool: str
    model: str
    node: str
    cards: int
    open: bool  # an operator has not closed it, and its agent is live
    works: bool
    leased: Sequence[int] | None  # None: none; one that tasks share may stand there more than once
    foreign: Sequence[int]


# The cards are grouped once for all: to ask for those of each node takes ten times as long at national size.
CARDS: Final[LiteralString] = """
    SELECT n.cluster, p.pool, p.model, n.node, n.cards, n.mode = 'open' AND c.agent_state = 'live'
           AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters)) AS open,
           n.present AND NOT n.down AS works, h.leased, n.foreign_cards
      FROM nodes n JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = n.cluster
      LEFT JOIN (SELECT node_id, array_agg(card) AS leased FROM held_cards GROUP BY node_id) h USING (node_id)
     WHERE (n.present OR h.leased IS NOT NULL) AND ($1 = '' OR n.cluster = $1)
     ORDER BY n.cluster, p.pool, n.node
"""


async def cards(tx: Connection, cluster: str = "") -> list[NodeCards]:
    """Return all nodes of a cluster, of all clusters when it is empty, by cluster, pool and name."""
    return [NodeCards(*r.values()) for r in await tx.fetch(CARDS, cluster)]


LEASES_ON_NODE: Final[LiteralString] = """
    SELECT lease_id, job_id, city, state, offered_at, started_at FROM leases
     WHERE state <> 'ended' AND lease_id IN (
           SELECT h.lease_id FROM held_cards h JOIN nodes n USING (node_id) WHERE n.cluster = $1 AND n.node = $2)
     ORDER BY lease_id LIMIT $3
"""


async def leases_on_node(tx: Connection, cluster: str, node: str, limit: int) -> list[Lease]:
    """Return live leases that hold cards of a node, oldest first."""
    return await leases_of(tx, await tx.fetch(LEASES_ON_NODE, cluster, node, limit))
