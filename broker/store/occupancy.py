"""Read what live leases hold, and until when at most: for a planner that looks ahead, or thinks of stopping some.

Columns, not rows: a hundred thousand leases are read with every round. All times are whole seconds since 1970.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, LiteralString

from broker.store.database import Connection

OVERDUE: Final = timedelta(seconds=60)
"""What should have ended already is taken to end so much after now: agents are slow, silent, or have other clocks."""

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Live leases, ascending by id, and what each of them holds, node by node.

    A lease that is LOST is among them: its cards are held until its agent or an operator has spoken, so its end is a
    hope, as that of everything overdue.

    Attributes:
        lease, job, pool_id: [L].
        offered_s: [L] when its placement was committed.
        started_s: [L] when it started, -1 as long as its agent has not said so: the last start of its job.
        ends_s: [L] when its cards are free at the latest, by walltime and grace; at least `OVERDUE` after now.
            The walltime of one that has not started counts from now, as that of one whose start lies after now.
        preemptible: [L] whether it may be stopped for other work; not while it is lost: nobody would hear the order.
        checkpoint_interval_seconds: [L] work that a stop without grace costs at most; 0: all since its start.
        grace_seconds: [L] time between TERM and KILL.
        walltime_seconds: [L] how long it may run before TERM.
        stop_ordered_s: [L] when it was ordered to stop, for other work or for good; -1: it was not.
        preempted: [L] whether its job was stopped for other work before.
        city, enterprise, priority, ceiling: [L] of its job; an empty enterprise: the city itself; a ceiling is in
            micro-yuan per PFLOPS-hour.
        first: [L + 1] where the nodes of each lease begin.
        node_id: [N] the node, ascending for each lease.
        cards: [N] cards of which it holds something.
        milli: [N] what it holds of all these together, in thousandths of a card; 1000 for each whole one.
        cpu_milli, memory_mib: [N] held there.
        shared_lease, shared_node_id, shared_card: [S] the cards of which leases hold shares, one entry for each card
            of each such lease, in the order of leases and nodes.
    """

    lease: Ints = ()
    job: Ints = ()
    pool_id: Ints = ()
    offered_s: Ints = ()
    started_s: Ints = ()
    ends_s: Ints = ()
    preemptible: tuple[bool, ...] = ()
    checkpoint_interval_seconds: Ints = ()
    grace_seconds: Ints = ()
    walltime_seconds: Ints = ()
    stop_ordered_s: Ints = ()
    preempted: tuple[bool, ...] = ()
    city: tuple[str, ...] = ()
    enterprise: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    ceiling: Ints = ()
    first: Ints = (0,)
    node_id: Ints = ()
    cards: Ints = ()
    milli: Ints = ()
    cpu_milli: Ints = ()
    memory_mib: Ints = ()
    shared_lease: Ints = ()
    shared_node_id: Ints = ()
    shared_card: Ints = ()


NOTHING_HELD: Final = Occupancy()

# Aggregates take their rows in the order of the subquery; sorting in each of them would take as often as long.
LEASES: Final[LiteralString] = """
    SELECT array_agg(lease_id), array_agg(job_id), array_agg(pool_id), array_agg(offered_s), array_agg(started_s),
           array_agg(ends_s), array_agg(preemptible), array_agg(checkpoint_interval_seconds), array_agg(grace_seconds),
           array_agg(walltime_seconds), array_agg(stop_ordered_s), array_agg(preempted), array_agg(city),
           array_agg(enterprise), array_agg(priority), array_agg(ceiling)
      FROM (
        SELECT l.lease_id, l.job_id, l.pool_id, floor(date_part('epoch', l.offered_at))::bigint AS offered_s,
               coalesce(floor(date_part('epoch', l.started_at)), -1)::bigint AS started_s,
               ceil(greatest(date_part('epoch', $2::timestamptz),
                             date_part('epoch', least(coalesce(l.started_at, $1), $1))
                             + j.walltime_seconds + j.grace_seconds))::bigint AS ends_s,
               j.preemptible AND l.state <> 'lost' AS preemptible, j.checkpoint_interval_seconds, j.grace_seconds,
               j.walltime_seconds,
               coalesce(floor(date_part('epoch', least(l.stop_ordered_at, j.cancel_requested_at))), -1)::bigint
                   AS stop_ordered_s,
               j.preemptions > 0 AS preempted, l.city, j.enterprise, j.priority,
               j.ceiling_micro_yuan_per_pflops_hour AS ceiling
          FROM leases l JOIN jobs j USING (job_id) WHERE l.state <> 'ended' ORDER BY l.lease_id
      ) AS live
"""
NODES: Final[LiteralString] = """
    WITH live AS MATERIALIZED (
        SELECT l.lease_id, j.shape_id FROM leases l JOIN jobs j USING (job_id) WHERE l.state <> 'ended'
    ), needs AS MATERIALIZED (
        SELECT shape_id, (requirement->>'cpu_milli_per_task')::bigint AS cpu_milli,
               (requirement->>'memory_mib_per_task')::bigint AS memory_mib
          FROM shapes WHERE shape_id IN (SELECT shape_id FROM live)
    )
    SELECT array_agg(lease_id), array_agg(node_id), array_agg(cards), array_agg(milli), array_agg(cpu_milli),
           array_agg(memory_mib)
      FROM (
        SELECT n.lease_id, n.node_id, n.tasks * s.cpu_milli AS cpu_milli, n.tasks * s.memory_mib AS memory_mib,
               CASE n.share_milli WHEN 0 THEN cardinality(n.cards)
                    ELSE (SELECT count(DISTINCT card) FROM unnest(n.cards) AS c (card)) END AS cards,
               CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards) ELSE n.tasks * n.share_milli END AS milli
          FROM live l JOIN needs s USING (shape_id) JOIN lease_nodes n USING (lease_id)
         ORDER BY n.lease_id, n.node_id
      ) AS held
"""
SHARED: Final[LiteralString] = """
    SELECT array_agg(lease_id), array_agg(node_id), array_agg(card)
      FROM (
        SELECT DISTINCT n.lease_id, n.node_id, c.card
          FROM leases l JOIN lease_nodes n USING (lease_id) CROSS JOIN unnest(n.cards) AS c (card)
         WHERE l.state <> 'ended' AND n.share_milli > 0 ORDER BY n.lease_id, n.node_id, c.card
      ) AS shared
"""


async def read(tx: Connection, now: datetime) -> Occupancy:
    """Return what live leases hold at `now`. Belongs into a transaction of the hub's role that has one view."""
    leases = [tuple(column or ()) for column in await tx.fetchrow(LEASES, now, now + OVERDUE) or ()]
    lease_of, *held = [tuple(column or ()) for column in await tx.fetchrow(NODES) or ()]
    nodes = Counter(lease_of)
    first = tuple(accumulate((nodes[lease] for lease in leases[0]), initial=0))
    shared = [tuple(column or ()) for column in await tx.fetchrow(SHARED) or ()]
    return Occupancy(*leases, first, *held, *shared)  # type: ignore[call-arg]  # as many as the queries have columns
