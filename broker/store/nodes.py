"""Clusters, nodes and leases as operators see and change them.

A card is counted once: it is leased (in part is enough), foreign, closed (on a node that takes no work) or free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import asyncpg

from broker.ids import JobId, LeaseId
from broker.job import Lease
from broker.lifecycle import AgentState, JobState, LeaseState, NodeMode
from broker.store import rates
from broker.store.database import Connection
from broker.store.placements import placements
from broker.worlds.rates import NO_ASK


@dataclass(frozen=True, slots=True)
class PoolUse:
    """A pool and the use of its cards. Nodes that its agent no longer reports count while leases hold their cards."""

    pool: str
    model: str
    nodes: int
    cards: int
    cards_leased: int
    cards_foreign: int
    cards_closed: int  # neither leased nor foreign, on nodes that take no work, or are in a maintenance window
    fp16_milli_pflops: int  # programme-counted, of all cards, rounded down
    watts: int  # of all cards; 0 when the model's are not known
    ask_micro_yuan_per_card_hour: int


@dataclass(frozen=True, slots=True)
class ClusterUse:
    """A cluster with its agent and pools."""

    cluster: str
    title: str
    hub: str
    owner: str
    engine: str
    agent: AgentState
    heard_at: datetime | None
    pools: tuple[PoolUse, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A node with what is in use on it."""

    node: str
    pool: str
    cards: int
    leased_cards: tuple[int, ...]
    foreign_cards: tuple[int, ...]
    mode: NodeMode
    mode_reason: str
    present: bool
    down: bool
    detail: str
    cpu_milli: int
    memory_mib: int


CLUSTERS: Final[LiteralString] = """
    SELECT cluster, title, hub, owner, engine, agent_state, heard_at
      FROM clusters WHERE $1 = '' OR hub = $1 ORDER BY cluster
"""
# Of sets of cards, bit n of a number stands for card n: to count them for each node takes twice as long.
POOLS: Final[LiteralString] = """
    WITH held AS (
        SELECT node_id, bit_or(1::bigint << card) AS cards FROM held_cards GROUP BY node_id
    ), windows AS MATERIALIZED (
        SELECT * FROM maintenance_windows WHERE cancelled_at IS NULL AND starts_at <= $2 AND ends_at > $2
    ), used AS (
        SELECT n.pool_id, n.cards, bit_count(coalesce(h.cards, 0)::bit(64)) AS leased,
               CASE n.foreign_cards WHEN '{}' THEN 0
                    ELSE (SELECT bit_count((coalesce(bit_or(1::bigint << f.card), 0) & ~coalesce(h.cards, 0))::bit(64))
                            FROM unnest(n.foreign_cards) AS f (card) WHERE f.card < n.cards)
                    END AS elsewhere,
               n.mode = 'open' AND n.present AND NOT n.down AND c.agent_state = 'live'
               AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters)) AND NOT EXISTS (
                     SELECT FROM windows w
                      WHERE w.cluster = n.cluster AND (w.pool_id IS NULL OR w.pool_id = n.pool_id)
                        AND (w.nodes = '{}' OR n.node = ANY(w.nodes))
               ) AS open
          FROM nodes n JOIN clusters c USING (cluster) LEFT JOIN held h USING (node_id)
         WHERE (n.present OR h.cards IS NOT NULL) AND ($1 = '' OR c.hub = $1)
    ), summed AS (
        SELECT pool_id, count(*) AS nodes, sum(cards) AS cards, sum(leased) AS leased, sum(elsewhere) AS elsewhere,
               sum(greatest(0, cards - leased - elsewhere)) FILTER (WHERE NOT open) AS closed
          FROM used GROUP BY pool_id
    )
    SELECT p.cluster, p.pool, p.model, coalesce(s.nodes, 0)::bigint AS nodes, coalesce(s.cards, 0)::bigint AS cards,
           coalesce(s.leased, 0)::bigint AS cards_leased, coalesce(s.elsewhere, 0)::bigint AS cards_foreign,
           coalesce(s.closed, 0)::bigint AS cards_closed,
           (coalesce(s.cards, 0) * m.fp16_programme_milli_tflops / 1000)::bigint AS fp16_milli_pflops,
           (coalesce(s.cards, 0) * m.watts)::bigint AS watts
      FROM pools p JOIN clusters c USING (cluster) JOIN accelerator_models m USING (model)
      LEFT JOIN summed s USING (pool_id)
     WHERE $1 = '' OR c.hub = $1
     ORDER BY p.cluster, p.pool
"""


async def clusters(tx: Connection, now: datetime, hub: str = "") -> list[ClusterUse]:
    """Return the clusters of a hub, of all hubs when it is empty, with the use of their pools at `now`; by name."""
    asks = await rates.asks_at(tx, now)
    pools: dict[str, list[PoolUse]] = {}
    for r in await tx.fetch(POOLS, hub, now):
        ask = asks.get((r["cluster"], r["model"]), NO_ASK)
        pools.setdefault(r["cluster"], []).append(PoolUse(*(*r[1:], ask.micro_yuan_per_card_hour)))
    return [
        ClusterUse(
            cluster=r["cluster"],
            title=r["title"],
            hub=r["hub"],
            owner=r["owner"],
            engine=r["engine"],
            agent=AgentState(r["agent_state"]),
            heard_at=r["heard_at"],
            pools=tuple(pools.get(r["cluster"], ())),
        )
        for r in await tx.fetch(CLUSTERS, hub)
    ]


CLUSTER_EXISTS: Final[LiteralString] = "SELECT EXISTS (SELECT FROM clusters WHERE cluster = $1)"


async def cluster_exists(tx: Connection, cluster: str) -> bool:
    """Tell whether there is such a cluster."""
    return bool(await tx.fetchval(CLUSTER_EXISTS, cluster))


NODES: Final[LiteralString] = """
    SELECT n.node, p.pool, n.cards, h.cards AS leased_cards, n.foreign_cards, n.mode, n.mode_reason, n.present, n.down,
           n.detail, n.cpu_milli, n.memory_mib
      FROM nodes n JOIN pools p USING (pool_id)
      CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(DISTINCT card ORDER BY card), '{}') AS cards
              FROM held_cards WHERE node_id = n.node_id
           ) AS h
     WHERE n.cluster = $1 AND n.node > $2 AND (n.present OR h.cards <> '{}')
     ORDER BY n.node LIMIT $3
"""


async def node_page(tx: Connection, cluster: str, after: str, limit: int) -> list[Node]:
    """Return nodes by name, from the first one after `after`.

    One that its agent no longer reports is there while leases hold its cards.
    """
    return [
        Node(
            node=r["node"],
            pool=r["pool"],
            cards=r["cards"],
            leased_cards=tuple(r["leased_cards"]),
            foreign_cards=tuple(sorted(r["foreign_cards"])),
            mode=NodeMode(r["mode"]),
            mode_reason=r["mode_reason"],
            present=r["present"],
            down=r["down"],
            detail=r["detail"],
            cpu_milli=r["cpu_milli"],
            memory_mib=r["memory_mib"],
        )
        for r in await tx.fetch(NODES, cluster, after, limit)
    ]


LOCK_NODES: Final[LiteralString] = """
    SELECT node_id, node, mode, mode_reason FROM nodes
     WHERE cluster = $1 AND ($2::text[] IS NULL AND present OR node = ANY($2))
     ORDER BY node_id FOR NO KEY UPDATE
"""


@dataclass(frozen=True, slots=True)
class NodeModeRow:
    """Whether a node takes work, locked until the end of the transaction."""

    node_id: int
    node: str
    mode: NodeMode
    reason: str


async def lock_modes(tx: Connection, cluster: str, names: Sequence[str]) -> list[NodeModeRow]:
    """Return the named nodes of the cluster, all that are there when none is named, and lock them in one order.

    A round that is being committed on one of them is waited for, and a later one sees the change.
    """
    rows = await tx.fetch(LOCK_NODES, cluster, list(names) or None)
    return [NodeModeRow(r["node_id"], r["node"], NodeMode(r["mode"]), r["mode_reason"]) for r in rows]


SET_MODE: Final[LiteralString] = "UPDATE nodes SET mode = $2, mode_reason = $3 WHERE node_id = ANY($1)"


async def set_mode(tx: Connection, node_ids: Sequence[int], mode: NodeMode, reason: str) -> None:
    """Change whether these nodes take work. The caller has locked them."""
    await tx.execute(SET_MODE, node_ids, mode, reason)


LEASES: Final[LiteralString] = """
    SELECT lease_id, job_id, city, state, offered_at, started_at FROM leases
     WHERE state <> 'ended' AND state = ANY($1) AND ($2 = '' OR cluster = $2) AND lease_id > $3
     ORDER BY lease_id LIMIT $4
"""
LEASES_ON: Final[LiteralString] = """
    SELECT lease_id, job_id, city, state, offered_at, started_at FROM leases
     WHERE state <> 'ended' AND lease_id IN (SELECT lease_id FROM held_cards WHERE node_id = ANY($1))
     ORDER BY lease_id LIMIT $2
"""
LEASE: Final[LiteralString] = """
    SELECT lease_id, job_id, city, state, offered_at, started_at FROM leases WHERE lease_id = $1
"""


async def live_leases(
    tx: Connection, states: Sequence[LeaseState], cluster: str, after: LeaseId, limit: int
) -> list[Lease]:
    """Return live leases in these states, oldest first, from the first one after `after`; "" means every cluster."""
    return await leases_of(tx, await tx.fetch(LEASES, states, cluster, after, limit))


async def leases_on(tx: Connection, node_ids: Sequence[int], limit: int) -> list[Lease]:
    """Return live leases that hold cards of these nodes, oldest first."""
    return await leases_of(tx, await tx.fetch(LEASES_ON, node_ids, limit))


async def lease(tx: Connection, lease_id: LeaseId) -> Lease | None:
    """Return one lease, live or ended; None when there is none."""
    found = await leases_of(tx, await tx.fetch(LEASE, lease_id))
    return found[0] if found else None


async def leases_of(tx: Connection, rows: Sequence[asyncpg.Record]) -> list[Lease]:
    """Return leases with their placements; rows have the columns of LEASE."""
    placed = await placements(tx, [LeaseId(r["lease_id"]) for r in rows])
    return [
        Lease(
            placement=placed[LeaseId(r["lease_id"])],
            job=JobId(r["job_id"]),
            city=r["city"],
            state=LeaseState(r["state"]),
            offered_at=r["offered_at"],
            started_at=r["started_at"],
        )
        for r in rows
    ]


JOB_COUNTS: Final[LiteralString] = "SELECT city, state, count(*) AS jobs FROM jobs GROUP BY city, state ORDER BY city"
EVENTS: Final[LiteralString] = "SELECT coalesce(sum(last), 0)::bigint FROM event_cursors"


async def job_counts(tx: Connection) -> dict[tuple[str, JobState], int]:
    """Return how many jobs of each city are in each state; pairs without jobs are left out."""
    return {(r["city"], JobState(r["state"])): r["jobs"] for r in await tx.fetch(JOB_COUNTS)}


async def events_numbered(tx: Connection) -> int:
    """Return how many events all cities have, of those that were numbered."""
    return int(await tx.fetchval(EVENTS))
