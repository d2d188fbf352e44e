"""What there is, as sums: for /metrics. Every statement reads what is live and nothing of what has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.store import census_market, energy, prices, rates, rules
from broker.store.census_market import MarketCount
from broker.store.database import Connection
from broker.store.energy import Drawn
from broker.store.pauses import NOT_PAUSED
from broker.store.prices import PoolPlace, PriceRow
from broker.store.rules import UseRow
from broker.worlds.rates import AskNow


@dataclass(frozen=True, slots=True)
class QueueRow:
    """Waiting jobs of a city that are alike."""

    city: str
    priority: str
    shape_id: int
    waiting_reason: str
    jobs: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """Live leases of a city that are alike."""

    city: str
    state: str
    started: bool
    shape_id: int
    leases: int


@dataclass(frozen=True, slots=True)
class NodeRow:
    """Nodes of a pool that are alike."""

    pool_id: int
    cards: int
    leased: int  # each once, shares of it too
    foreign: int
    open: bool
    nodes: int


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster with its agent."""

    hub: str
    cluster: str
    owner: str
    engine: str
    agent_state: str
    heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class HubRow:
    """Power and energy of a hub, as operators set them; 0: no such limit, or not known."""

    hub: str
    power_kilowatts_max: int
    pue_milli: int
    energy_kilowatt_hours_per_year: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be numbered or chained."""

    things: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Books:
    """Where the ledger stands."""

    chained: int
    unchained: Backlog
    holds_open: int
    balances: Mapping[str, tuple[int, int]]  # by kind of account: available, held


@dataclass(frozen=True, slots=True)
class Count:
    """One reading of everything, at one moment."""

    at: datetime
    queue: tuple[QueueRow, ...]
    leases: tuple[LeaseRow, ...]
    shapes: Mapping[int, Mapping[str, Any]]  # requirements of live jobs
    leaked: tuple[int, int]  # cards held without a live lease; cards of live leases that are not held
    promises: tuple[int, int]  # that stand; of these overdue
    places: tuple[PoolPlace, ...]
    models: Mapping[str, rules.ModelRules]
    nodes: tuple[NodeRow, ...]
    node_states: Mapping[tuple[str, str], int]  # by cluster and state
    clusters: tuple[ClusterRow, ...]
    use: tuple[UseRow, ...]
    asks: Mapping[tuple[str, str], AskNow]
    prices: Mapping[int, PriceRow]
    hubs: tuple[HubRow, ...]
    drawn: Mapping[str, Drawn]
    events: Backlog
    books: Books
    market: MarketCount
    cities: tuple[str, ...]


CITIES: Final[LiteralString] = "SELECT city FROM cities ORDER BY city"
QUEUE: Final[LiteralString] = """
    SELECT city, priority, shape_id, waiting_reason, count(*) AS jobs, min(submitted_at) AS oldest_at
      FROM jobs WHERE state = 'pending' GROUP BY city, priority, shape_id, waiting_reason
"""
LEASES: Final[LiteralString] = """
    SELECT l.city, l.state, l.started_at IS NOT NULL AS started, j.shape_id, count(*) AS leases
      FROM leases l JOIN jobs j USING (job_id) WHERE l.state <> 'ended' GROUP BY 1, 2, 3, 4
"""
SHAPES: Final[LiteralString] = "SELECT shape_id, requirement FROM shapes WHERE shape_id = ANY($1)"
HELD_WITHOUT_LEASE: Final[LiteralString] = """
    SELECT coalesce(sum(h.cards), 0)::bigint
      FROM (SELECT lease_id, count(*) AS cards FROM held_cards GROUP BY lease_id) h
     WHERE NOT EXISTS (SELECT FROM leases l WHERE l.lease_id = h.lease_id AND l.state <> 'ended')
"""
LEASE_WITHOUT_HELD: Final[LiteralString] = """
    WITH wanted AS (
        SELECT n.lease_id, sum(CASE n.share_milli WHEN 0 THEN cardinality(n.cards)
                                    ELSE (SELECT count(DISTINCT c.card) FROM unnest(n.cards) AS c (card)) END) AS cards
          FROM leases l JOIN lease_nodes n USING (lease_id) WHERE l.state <> 'ended' GROUP BY n.lease_id
    ), held AS (
        SELECT lease_id, count(*) AS cards FROM held_cards GROUP BY lease_id
    )
    SELECT coalesce(sum(greatest(0, w.cards - coalesce(h.cards, 0))), 0)::bigint
      FROM wanted w LEFT JOIN held h USING (lease_id)
"""
PROMISES: Final[LiteralString] = (
    """
    SELECT count(*) AS standing, count(*) FILTER (WHERE p.starts_at < $1) AS overdue
      FROM promises p JOIN jobs j USING (job_id) WHERE j.state = 'pending' AND j.attempt = p.attempt AND """
    + NOT_PAUSED
)
NODES: Final[LiteralString] = """
    WITH held AS (
        SELECT node_id, count(DISTINCT card) AS cards FROM held_cards GROUP BY node_id
    ), windows AS MATERIALIZED (
        SELECT * FROM maintenance_windows WHERE cancelled_at IS NULL AND starts_at <= $1 AND ends_at > $1
    )
    SELECT n.pool_id, n.cards, coalesce(held.cards, 0) AS leased, coalesce(others.cards, 0) AS elsewhere,
           n.mode = 'open' AND n.present AND NOT n.down AND c.agent_state = 'live'
           AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters)) AND NOT EXISTS (
                SELECT FROM windows w
                 WHERE w.cluster = n.cluster AND (w.pool_id IS NULL OR w.pool_id = n.pool_id)
                   AND (w.nodes = '{}' OR n.node = ANY(w.nodes))) AS open,
           count(*) AS nodes
      FROM nodes n JOIN clusters c USING (cluster) LEFT JOIN held USING (node_id)
      LEFT JOIN LATERAL (
            SELECT count(DISTINCT f.card) AS cards FROM unnest(n.foreign_cards) AS f (card)
             WHERE f.card < n.cards AND NOT EXISTS (
                   SELECT FROM held_cards h WHERE h.node_id = n.node_id AND h.card = f.card)
           ) AS others ON n.foreign_cards <> '{}'
     WHERE n.present OR held.cards IS NOT NULL
     GROUP BY 1, 2, 3, 4, 5
"""
NODE_STATES: Final[LiteralString] = """
    SELECT cluster, CASE WHEN NOT present THEN 'absent' WHEN down THEN 'down' ELSE mode END AS state, count(*) AS nodes
      FROM nodes GROUP BY 1, 2
"""
CLUSTERS: Final[LiteralString] = """
    SELECT hub, cluster, owner, engine, agent_state, heard_at FROM clusters ORDER BY cluster
"""
HUBS: Final[LiteralString] = """
    SELECT hub, power_kilowatts_max, pue_milli, energy_kilowatt_hours_per_year FROM hubs ORDER BY hub
"""
EVENTS: Final[LiteralString] = "SELECT count(*), min(at) FROM event_outbox"
CHAINED: Final[LiteralString] = "SELECT coalesce(max(position), 0) FROM ledger_chain"
UNCHAINED: Final[LiteralString] = """
    SELECT count(*), min(t.at) FROM ledger_unchained u JOIN ledger_transactions t USING (transaction_id)
"""
HOLDS_OPEN: Final[LiteralString] = "SELECT count(*) FROM ledger_holds WHERE state = 'open'"
BALANCES: Final[LiteralString] = """
    SELECT a.kind, sum(b.available_micro_yuan)::bigint AS available, sum(b.held_micro_yuan)::bigint AS held
      FROM ledger_balances b JOIN ledger_accounts a USING (account_id) GROUP BY a.kind
"""


async def read(tx: Connection, now: datetime) -> Count:
    """Return everything. Must be the first thing in a transaction of the hub's role, which it turns into one view."""
    await tx.execute(rules.ONE_VIEW)
    queue = tuple(QueueRow(*r.values()) for r in await tx.fetch(QUEUE))
    leases = tuple(LeaseRow(*r.values()) for r in await tx.fetch(LEASES))
    shape_ids = sorted({row.shape_id for row in queue} | {row.shape_id for row in leases})
    hubs = tuple(HubRow(*r.values()) for r in await tx.fetch(HUBS))
    promises = await tx.fetchrow(PROMISES, now)
    return Count(
        at=now,
        queue=queue,
        leases=leases,
        shapes={r["shape_id"]: r["requirement"] for r in await tx.fetch(SHAPES, shape_ids)},
        leaked=(await tx.fetchval(HELD_WITHOUT_LEASE), await tx.fetchval(LEASE_WITHOUT_HELD)),
        promises=(0, 0) if promises is None else (promises["standing"], promises["overdue"]),
        places=tuple(await prices.pools(tx)),
        models=await rules.models(tx),
        nodes=tuple(NodeRow(*r.values()) for r in await tx.fetch(NODES, now)),
        node_states={(r["cluster"], r["state"]): r["nodes"] for r in await tx.fetch(NODE_STATES)},
        clusters=tuple(ClusterRow(*r.values()) for r in await tx.fetch(CLUSTERS)),
        use=await rules.use(tx),
        asks=await rates.asks_at(tx, now),
        prices=await prices.last(tx),
        hubs=hubs,
        drawn=await energy.standing(tx, [row.hub for row in hubs], now),
        events=await _backlog(tx, EVENTS),
        books=Books(
            chained=await tx.fetchval(CHAINED),
            unchained=await _backlog(tx, UNCHAINED),
            holds_open=await tx.fetchval(HOLDS_OPEN),
            balances={r["kind"]: (r["available"], r["held"]) for r in await tx.fetch(BALANCES)},
        ),
        market=await census_market.read(tx, now),
        cities=tuple(r["city"] for r in await tx.fetch(CITIES)),
    )


async def _backlog(tx: Connection, statement: LiteralString) -> Backlog:
    row = await tx.fetchrow(statement)
    return Backlog(0, None) if row is None else Backlog(*row.values())
