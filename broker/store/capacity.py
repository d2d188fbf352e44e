"""What is free, by pool: whole cards by how many of them lie on one node, and shares of split cards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """A pool with what is free on its open nodes. Held, foreign and closed cards are not."""

    hub: str
    cluster: str
    pool: str
    model: str
    nodes: int  # that its agent reports
    cards: int  # of these nodes
    largest_node_cards: int
    programme_milli_tflops: int  # of a card, as the programme counts it
    nodes_by_free_cards: Mapping[int, int] = field(default_factory=dict)  # free cards of a node, 1 and more -> nodes
    split_free_milli: int = 0  # thousandths of cards that shares are on and something is left of

    @property
    def cards_free(self) -> int:
        """Whole cards that are free."""
        return sum(free * nodes for free, nodes in self.nodes_by_free_cards.items())

    def tasks(self, cards_per_task: int) -> int:
        """Return how many tasks of so many cards each would find whole cards now, every task on one node."""
        return sum(free // cards_per_task * nodes for free, nodes in self.nodes_by_free_cards.items())


POOLS: Final[LiteralString] = """
    WITH held AS (
        SELECT node_id, count(DISTINCT card) AS cards FROM held_cards GROUP BY node_id
    ), windows AS MATERIALIZED (
        SELECT * FROM maintenance_windows WHERE cancelled_at IS NULL AND starts_at <= $1 AND ends_at > $1
    ), used AS (
        SELECT n.pool_id, n.cards,
               CASE WHEN n.mode = 'open' AND NOT n.down AND c.agent_state = 'live'
                     AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters)) AND NOT EXISTS (
                         SELECT FROM windows w
                          WHERE w.cluster = n.cluster AND (w.pool_id IS NULL OR w.pool_id = n.pool_id)
                            AND (w.nodes = '{}' OR n.node = ANY(w.nodes)))
                    THEN greatest(0, n.cards - coalesce(held.cards, 0) - coalesce(others.cards, 0)) ELSE 0 END AS free
          FROM nodes n JOIN clusters c USING (cluster) LEFT JOIN held USING (node_id)
          LEFT JOIN LATERAL (
                SELECT count(DISTINCT f.card) AS cards FROM unnest(n.foreign_cards) AS f (card)
                 WHERE f.card < n.cards AND NOT EXISTS (
                       SELECT FROM held_cards h WHERE h.node_id = n.node_id AND h.card = f.card)
               ) AS others ON n.foreign_cards <> '{}'
         WHERE n.present
    )
    SELECT p.pool_id, c.hub, p.cluster, p.pool, p.model, m.fp16_programme_milli_tflops AS programme,
           coalesce(u.free, 0)::int AS free, count(u.cards)::int AS nodes, coalesce(sum(u.cards), 0)::bigint AS cards,
           coalesce(max(u.cards), 0)::int AS most
      FROM pools p JOIN clusters c USING (cluster) JOIN accelerator_models m USING (model)
      LEFT JOIN used u USING (pool_id)
     GROUP BY p.pool_id, c.hub, p.cluster, p.pool, p.model, programme, u.free
     ORDER BY p.cluster, p.pool, free
"""
SPLIT: Final[LiteralString] = """
    WITH windows AS MATERIALIZED (
        SELECT * FROM maintenance_windows WHERE cancelled_at IS NULL AND starts_at <= $1 AND ends_at > $1
    ), shared AS (
        SELECT node_id, card, sum(milli) AS milli FROM held_cards WHERE milli < 1000 GROUP BY node_id, card
    )
    SELECT n.pool_id, sum(1000 - s.milli)::bigint AS free_milli
      FROM shared s JOIN nodes n USING (node_id) JOIN clusters c USING (cluster)
     WHERE s.milli < 1000 AND s.card < n.cards AND NOT s.card = ANY(n.foreign_cards)
       AND n.present AND n.mode = 'open' AND NOT n.down AND c.agent_state = 'live'
       AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters)) AND NOT EXISTS (
           SELECT FROM windows w
            WHERE w.cluster = n.cluster AND (w.pool_id IS NULL OR w.pool_id = n.pool_id)
              AND (w.nodes = '{}' OR n.node = ANY(w.nodes)))
     GROUP BY n.pool_id
"""


async def read(tx: Connection, now: datetime) -> tuple[PoolCapacity, ...]:
    """Return every pool with what is free of it now, by cluster and name."""
    split = {r["pool_id"]: r["free_milli"] for r in await tx.fetch(SPLIT, now)}
    rows: dict[int, list[dict[str, int | str]]] = {}
    for r in await tx.fetch(POOLS, now):
        rows.setdefault(r["pool_id"], []).append(dict(r))
    return tuple(
        PoolCapacity(
            hub=str(of_pool[0]["hub"]),
            cluster=str(of_pool[0]["cluster"]),
            pool=str(of_pool[0]["pool"]),
            model=str(of_pool[0]["model"]),
            nodes=sum(int(r["nodes"]) for r in of_pool),
            cards=sum(int(r["cards"]) for r in of_pool),
            largest_node_cards=max(int(r["most"]) for r in of_pool),
            programme_milli_tflops=int(of_pool[0]["programme"]),
            nodes_by_free_cards={int(r["free"]): int(r["nodes"]) for r in of_pool if int(r["free"]) and r["nodes"]},
            split_free_milli=split.get(pool_id, 0),
        )
        for pool_id, of_pool in rows.items()
    )
