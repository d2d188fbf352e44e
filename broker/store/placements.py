"""Read where leases lie: the cards that each one holds, node by node."""

from collections.abc import Collection
from typing import Any, Final, LiteralString

from broker.ids import JobId, LeaseId
from broker.job import LeasePrice, NodeCards, Placement
from broker.store.database import Connection

PLACEMENTS: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch, l.cluster, p.pool, p.model, l.build, n.node, ln.cards, ln.tasks, ln.share_milli,
           l.ask_micro_yuan_per_card_hour AS ask, l.scarcity_micro_yuan_per_card_hour AS scarcity, l.rate_card_version
      FROM leases l
      JOIN pools p USING (pool_id)
      JOIN lease_nodes ln USING (lease_id)
      JOIN nodes n USING (node_id)
     WHERE l.lease_id = ANY($1)
     ORDER BY l.lease_id, n.node
"""
LAST_LEASES: Final[LiteralString] = """
    SELECT DISTINCT ON (job_id) job_id, lease_id FROM leases WHERE job_id = ANY($1) ORDER BY job_id, epoch DESC
"""


async def placements(tx: Connection, lease_ids: Collection[LeaseId]) -> dict[LeaseId, Placement]:
    """Return the placement of each of these leases that exists, live or ended; nodes in the order of their names."""
    if not lease_ids:
        return {}
    rows_of: dict[LeaseId, list[Any]] = {}
    for row in await tx.fetch(PLACEMENTS, list(lease_ids)):
        rows_of.setdefault(LeaseId(row["lease_id"]), []).append(row)
    return {lease: _placement(lease, rows) for lease, rows in rows_of.items()}


async def last_placements(tx: Connection, jobs: Collection[JobId]) -> dict[JobId, Placement]:
    """Return the placement of each job's current or last attempt; a job that was never placed is left out."""
    if not jobs:
        return {}
    rows = await tx.fetch(LAST_LEASES, list(jobs))
    lease_of = {JobId(r["job_id"]): LeaseId(r["lease_id"]) for r in rows}
    placed = await placements(tx, lease_of.values())
    return {job: placed[lease] for job, lease in lease_of.items() if lease in placed}


def _placement(lease: LeaseId, rows: list[Any]) -> Placement:
    first = rows[0]
    return Placement(
        lease=lease,
        epoch=first["epoch"],
        cluster=first["cluster"],
        pool=first["pool"],
        model=first["model"],
        build=first["build"],
        nodes=tuple(NodeCards(r["node"], tuple(sorted(r["cards"])), r["tasks"], r["share_milli"]) for r in rows),
        price=None if first["ask"] is None else LeasePrice(first["ask"], first["scarcity"], first["rate_card_version"]),
    )
