"""Clusters as their agents tell of them: who speaks for each, what it has, what of that is usable, when it was heard.

Every change that rests on an agent's word or silence begins by taking the row of its cluster (`attach`, `heard`,
`fall_lost`), which puts them in an order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.errors import AlreadyAttached, ClusterNotFound, FieldProblem, InvalidRequest, StaleSession
from broker.lifecycle import AgentState, LeaseEvent, lease_sources
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class NodeInventory:
    """One node: whole cards, CPU in thousandths of a core, memory in MiB, fabric domain ("" where it is not known)."""

    node: str
    cards: int
    cpu_milli: int
    memory_mib: int
    domain: str = ""


@dataclass(frozen=True, slots=True)
class PoolInventory:
    """Equal nodes of a cluster."""

    pool: str
    model: str
    nodes: tuple[NodeInventory, ...]


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """A node that is not simply ready and free of foreign work."""

    node: str
    down: bool = False
    foreign_cards: tuple[int, ...] = ()  # ascending
    detail: str = ""


ATTACH: Final[LiteralString] = """
    UPDATE clusters
       SET session_epoch = session_epoch + 1, agent_instance = $2, engine = $3, agent_state = 'live',
           heard_at = greatest(heard_at, $4)
     WHERE cluster = $1 AND (agent_instance IN ('', $2)
           OR (agent_state <> 'live' OR heard_at <= $5)
              AND NOT EXISTS (SELECT FROM leases l WHERE l.cluster = $1 AND l.state <> 'ended'))
    RETURNING session_epoch
"""
INSTANCE: Final[LiteralString] = "SELECT agent_instance FROM clusters WHERE cluster = $1"


async def attach(
    tx: Connection, cluster: str, instance: str, engine: str, at: datetime, *, heard_before: datetime
) -> int:
    """Let this agent speak for the cluster and return the epoch that fences its stream; older streams are stale.

    Args:
        instance: random id of the agent's memory of what it started; a stream of the same agent is always taken over.
        heard_before: another agent that was heard after this still speaks, unless its stream has ended.

    Raises:
        ClusterNotFound: it was never registered.
        AlreadyAttached: another agent speaks for it, or has live leases there. This one knows nothing of those, and
            its silence about them would be taken for their end, while they may run on where the other one started them.
    """
    epoch: int | None = await tx.fetchval(ATTACH, cluster, instance, engine, at, heard_before)
    if epoch is None:
        other: str | None = await tx.fetchval(INSTANCE, cluster)
        if other is None:
            raise ClusterNotFound(cluster=cluster)
        raise AlreadyAttached(instance=other, cluster=cluster)
    return epoch


NOTE_METERING: Final[LiteralString] = """
    UPDATE clusters SET agent_meters = $2 WHERE cluster = $1 AND agent_meters <> $2
"""


async def note_metering(tx: Connection, cluster: str, *, meters: bool) -> None:
    """Note whether the agent sends usage; where it does not, the times of leases stand for it."""
    await tx.execute(NOTE_METERING, cluster, meters)


DETACH: Final[LiteralString] = """
    UPDATE clusters SET agent_state = 'suspect' WHERE cluster = $1 AND session_epoch = $2 AND agent_state = 'live'
"""


async def detach(tx: Connection, cluster: str, session_epoch: int) -> None:
    """Note that the stream has ended: no new work, and another agent need not wait for a long silence."""
    await tx.execute(DETACH, cluster, session_epoch)


HEARD: Final[LiteralString] = """
    WITH known AS (
        SELECT cluster, agent_state FROM clusters WHERE cluster = $1 AND session_epoch = $2 FOR NO KEY UPDATE
    )
    UPDATE clusters c SET heard_at = greatest(heard_at, $3), agent_state = 'live'
      FROM known WHERE c.cluster = known.cluster
    RETURNING known.agent_state AS was
"""


async def heard(tx: Connection, cluster: str, session_epoch: int, at: datetime) -> AgentState:
    """Note that the agent was heard; return what it was before. Raise StaleSession when a newer stream took over."""
    was: str | None = await tx.fetchval(HEARD, cluster, session_epoch, at)
    if was is None:
        raise StaleSession(cluster=cluster)
    return AgentState(was)


SPEAKS: Final[LiteralString] = "SELECT true FROM clusters WHERE cluster = $1 AND session_epoch = $2"


async def check_speaks(tx: Connection, cluster: str, session_epoch: int) -> None:
    """Raise StaleSession when a newer stream of the cluster has taken over."""
    if not await tx.fetchval(SPEAKS, cluster, session_epoch):
        raise StaleSession(cluster=cluster)


UNKNOWN_MODELS: Final[LiteralString] = """
    SELECT ordinal FROM unnest($1::text[]) WITH ORDINALITY AS t (model, ordinal)
     WHERE model NOT IN (SELECT model FROM accelerator_models) ORDER BY ordinal
"""
POOLS_IN_USE: Final[LiteralString] = """
    SELECT p.pool, p.model FROM pools p JOIN unnest($2::text[], $3::text[]) AS t (pool, model) USING (pool)
     WHERE p.cluster = $1 AND p.model <> t.model
       AND EXISTS (SELECT FROM leases l WHERE l.pool_id = p.pool_id AND l.cluster = $1 AND l.state <> 'ended')
"""
PUT_POOLS: Final[LiteralString] = """
    INSERT INTO pools (cluster, pool, model)
    SELECT $1, t.pool, t.model FROM unnest($2::text[], $3::text[]) AS t (pool, model)
    ON CONFLICT (cluster, pool) DO UPDATE SET model = excluded.model WHERE pools.model <> excluded.model
"""
LOCK_NODES: Final[LiteralString] = "SELECT FROM nodes WHERE cluster = $1 ORDER BY node_id FOR NO KEY UPDATE"
PUT_NODES: Final[LiteralString] = """
    INSERT INTO nodes (cluster, pool_id, node, cards, cpu_milli, memory_mib, domain)
    SELECT $1, p.pool_id, t.node, t.cards, t.cpu_milli, t.memory_mib, t.domain
      FROM unnest($2::text[], $3::text[], $4::smallint[], $5::int[], $6::int[], $7::text[])
           AS t (pool, node, cards, cpu_milli, memory_mib, domain)
      JOIN pools p ON p.cluster = $1 AND p.pool = t.pool
     ORDER BY p.pool_id, t.node
    ON CONFLICT (cluster, node) DO UPDATE
       SET pool_id = excluded.pool_id, cards = excluded.cards, cpu_milli = excluded.cpu_milli,
           memory_mib = excluded.memory_mib, domain = excluded.domain, present = true, foreign_cards = '{}'
     WHERE (nodes.pool_id, nodes.cards, nodes.cpu_milli, nodes.memory_mib, nodes.domain, nodes.present)
           IS DISTINCT FROM
           (excluded.pool_id, excluded.cards, excluded.cpu_milli, excluded.memory_mib, excluded.domain, true)
"""
MISS_NODES: Final[LiteralString] = """
    UPDATE nodes SET present = false, down = false, foreign_cards = '{}', detail = ''
     WHERE cluster = $1 AND present AND node <> ALL($2)
"""


async def put_inventory(tx: Connection, cluster: str, pools: Sequence[PoolInventory]) -> bool:
    """Make the cluster's pools and nodes what its agent says it has; tell whether anything was news.

    A node that is no longer named stays, as not present: leases may still hold its cards, and operators its mode.
    A node that has fewer cards now keeps every card that is held: only the end of a lease frees cards.

    Raises: InvalidRequest: a model is not in the catalogue, or that of a pool changes under live leases.
    """
    await tx.execute(LOCK_NODES, cluster)  # first: a round that is being committed on them has to be seen below
    names, models = [p.pool for p in pools], [p.model for p in pools]
    unknown = [r["ordinal"] - 1 for r in await tx.fetch(UNKNOWN_MODELS, models)]
    if unknown:
        raise InvalidRequest(
            *(
                FieldProblem(
                    f"hello.pools[{i}].model", f"{models[i]!r} is not in the catalogue: see `xisuan world show`"
                )
                for i in unknown
            )
        )
    in_use: Mapping[str, str] = {r["pool"]: r["model"] for r in await tx.fetch(POOLS_IN_USE, cluster, names, models)}
    if in_use:
        raise InvalidRequest(
            *(
                FieldProblem(
                    f"hello.pools[{names.index(pool)}].model",
                    f"pool {pool!r} runs leases as {model!r}: let them end first, or give the new nodes another pool",
                )
                for pool, model in in_use.items()
            )
        )
    nodes = [(p.pool, n) for p in pools for n in p.nodes]
    done = [
        await tx.execute(PUT_POOLS, cluster, names, models),
        await tx.execute(
            PUT_NODES,
            cluster,
            [pool for pool, _ in nodes],
            [n.node for _, n in nodes],
            [n.cards for _, n in nodes],
            [n.cpu_milli for _, n in nodes],
            [n.memory_mib for _, n in nodes],
            [n.domain for _, n in nodes],
        ),
        await tx.execute(MISS_NODES, cluster, [n.node for _, n in nodes]),
    ]
    return any(_count(status) for status in done)


PUT_CONDITIONS: Final[LiteralString] = """
    WITH told AS (
        SELECT t.node, t.down, t.foreign_cards::smallint[] AS foreign_cards, t.detail
          FROM unnest($2::text[], $3::bool[], $4::text[], $5::text[]) AS t (node, down, foreign_cards, detail)
    ), due AS (
        SELECT n.node_id, coalesce(told.down, false) AS down, coalesce(told.foreign_cards, '{}') AS foreign_cards,
               coalesce(told.detail, '') AS detail
          FROM nodes n LEFT JOIN told USING (node)
         WHERE n.cluster = $1 AND n.present
           AND (n.down, n.foreign_cards, n.detail) IS DISTINCT FROM
               (coalesce(told.down, false), coalesce(told.foreign_cards, '{}'), coalesce(told.detail, ''))
         ORDER BY n.node_id FOR NO KEY UPDATE OF n
    )
    UPDATE nodes n SET down = due.down, foreign_cards = due.foreign_cards, detail = due.detail
      FROM due WHERE n.node_id = due.node_id
"""


async def put_conditions(tx: Connection, cluster: str, conditions: Sequence[NodeCondition]) -> bool:
    """Make these nodes as they are described, and every other present one ready; tell whether anything was news."""
    status = await tx.execute(
        PUT_CONDITIONS,
        cluster,
        [c.node for c in conditions],
        [c.down for c in conditions],
        ["{" + ",".join(map(str, c.foreign_cards)) + "}" for c in conditions],
        [c.detail for c in conditions],
    )
    return _count(status) > 0


HEARD_AT_MOST: Final[LiteralString] = "UPDATE clusters SET heard_at = $1 WHERE heard_at > $1"


async def heard_at_most(tx: Connection, now: datetime) -> None:
    """Note that no agent was heard later than now: the clock that said so was ahead, and has been set back."""
    await tx.execute(HEARD_AT_MOST, now)


FALL_SUSPECT: Final[LiteralString] = """
    UPDATE clusters SET agent_state = 'suspect' WHERE agent_state = 'live' AND heard_at <= $1 RETURNING cluster
"""


async def fall_suspect(tx: Connection, heard_before: datetime) -> list[str]:
    """Make the agents that were last heard then or earlier suspect: no new work. Return their clusters."""
    return sorted(r["cluster"] for r in await tx.fetch(FALL_SUSPECT, heard_before))


SILENT: Final[LiteralString] = """
    SELECT c.cluster FROM clusters c
     WHERE (c.agent_state IN ('live', 'suspect') AND c.heard_at <= $1)
        OR (c.agent_state = 'lost' AND EXISTS (
               SELECT FROM leases l WHERE l.cluster = c.cluster AND (l.state = ANY($3)
                   OR (l.state = ANY($4) AND l.if_lost = 'restart' AND c.heard_at <= $2))))
     ORDER BY c.cluster
"""


async def silent(tx: Connection, lost_before: datetime, killed_before: datetime) -> list[str]:
    """Return the clusters whose agent's silence is due to have consequences now; judge each under its lock.

    Args:
        lost_before: an agent last heard then or earlier is LOST, and its leases with it.
        killed_before: an agent last heard then or earlier has killed its `if_lost: restart` leases.
    """
    sources = lease_sources(LeaseEvent.SILENT), lease_sources(LeaseEvent.KILLED_BY_TERMS)
    return [r["cluster"] for r in await tx.fetch(SILENT, lost_before, killed_before, *sources)]


FALL_LOST: Final[LiteralString] = """
    UPDATE clusters SET agent_state = 'lost'
     WHERE cluster = $1 AND (agent_state = 'lost' OR (agent_state IN ('live', 'suspect') AND heard_at <= $2))
    RETURNING true
"""


async def fall_lost(tx: Connection, cluster: str, heard_before: datetime) -> bool:
    """Make the agent LOST if it was last heard then or earlier, or is LOST already. Return whether it is."""
    return bool(await tx.fetchval(FALL_LOST, cluster, heard_before))


FINISH_DRAINS: Final[LiteralString] = """
    WITH empty AS (
        SELECT n.node_id FROM nodes n
         WHERE n.mode = 'draining' AND NOT EXISTS (SELECT FROM held_cards h WHERE h.node_id = n.node_id)
           FOR NO KEY UPDATE SKIP LOCKED  -- the next pass takes them; to wait for a lock could close a circle
    )
    UPDATE nodes n SET mode = 'drained' FROM empty WHERE n.node_id = empty.node_id
    RETURNING n.cluster, n.node
"""


async def finish_drains(tx: Connection) -> list[tuple[str, str]]:
    """Call draining nodes that hold nothing any more drained. Return them as (cluster, node)."""
    return sorted((r["cluster"], r["node"]) for r in await tx.fetch(FINISH_DRAINS))


def _count(status: str) -> int:
    """Return how many rows a command changed, from its status such as "UPDATE 3"."""
    return int(status.rsplit(" ", 1)[-1])
