"""Signed placement policies: what they are made of, and the statements themselves, one for each lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from broker.ids import LeaseId, job_text, lease_text
from broker.policy.keys import SignedPolicy
from broker.policy.statement import PlacementPolicy
from broker.store.database import Connection, planned_for

FACTS: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch, l.job_id, l.city, l.cluster, c.hub, c.owner, p.pool, p.model, m.origin,
           coalesce(j.spec->'domestic_only', 'false') AS domestic_only,
           coalesce(j.spec->'allowed_owners', '[]') AS allowed_owners,
           coalesce(j.spec->'allowed_hubs', '[]') AS allowed_hubs
      FROM leases l JOIN jobs j USING (job_id) JOIN clusters c USING (cluster) JOIN pools p USING (pool_id)
      JOIN accelerator_models m USING (model)
     WHERE l.lease_id = ANY($1)
"""
KEEP: Final[LiteralString] = """
    INSERT INTO lease_policies (lease_id, statement, signature)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])
"""
GET: Final[LiteralString] = "SELECT lease_id, statement, signature FROM lease_policies WHERE lease_id = ANY($1)"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A statement to be signed, and its lease."""

    lease: LeaseId
    policy: PlacementPolicy


async def unsigned(tx: Connection, leases: Sequence[LeaseId], key_id: str) -> list[Unsigned]:
    """Return the statements of new leases, as jobs and catalogue have their facts now."""
    async with planned_for(tx, len(leases)):
        rows = await tx.fetch(FACTS, leases)
    return [
        Unsigned(
            LeaseId(r["lease_id"]),
            PlacementPolicy(
                key_id=key_id,
                lease=lease_text(LeaseId(r["lease_id"])),
                epoch=r["epoch"],
                job=job_text(r["job_id"]),
                city=r["city"],
                domestic_only=r["domestic_only"],
                allowed_owners=tuple(sorted(r["allowed_owners"])),
                allowed_hubs=tuple(sorted(r["allowed_hubs"])),
                cluster=r["cluster"],
                hub=r["hub"],
                owner=r["owner"],
                pool=r["pool"],
                model=r["model"],
                origin=r["origin"],
            ),
        )
        for r in rows
    ]


async def keep(tx: Connection, signed: Mapping[LeaseId, SignedPolicy]) -> None:
    """Store the statements of new leases."""
    found = signed.values()
    await tx.execute(KEEP, list(signed), [s.statement for s in found], [s.signature for s in found])


async def of_leases(tx: Connection, leases: Sequence[LeaseId]) -> dict[LeaseId, SignedPolicy]:
    """Return the statements of leases; one that is older than statements are has none."""
    return {LeaseId(r["lease_id"]): SignedPolicy(r["statement"], r["signature"]) for r in await tx.fetch(GET, leases)}


# In the order of their ids, as everybody locks nodes.
CLOSE_POOLS: Final[LiteralString] = """
    WITH locked AS (
        SELECT node_id FROM nodes
         WHERE mode = 'open'
           AND pool_id IN (SELECT pool_id FROM leases JOIN lease_policies USING (lease_id) WHERE lease_id = ANY($1))
         ORDER BY node_id FOR NO KEY UPDATE
    )
    UPDATE nodes SET mode = 'cordoned', mode_reason = $2 FROM locked WHERE nodes.node_id = locked.node_id
"""


async def close_pools(tx: Connection, leases: Sequence[LeaseId], reason: str) -> None:
    """Cordon the open nodes of the pools on which these leases were placed, of those that have a policy.

    One without is older than policies and rejected for that; its job gets another lease, with a policy.
    """
    await tx.execute(CLOSE_POOLS, leases, reason)
