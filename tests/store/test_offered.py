"""What clusters are offered and do not run yet, as brokers ask four times a second: without a look at what runs."""

import json
from typing import Any

import pytest

from broker.ids import LeaseId
from broker.store import orders
from broker.store.database import Database
from broker.store.orders import Offered
from tests.cluster_world import ClusterWorld, inventory
from tests.plans import nodes_of


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


async def test_what_runs_is_not_looked_at_to_come_to_what_is_offered(world: ClusterWorld) -> None:
    await world.attach("east", "one", inventory(*(f"n{i}" for i in range(5))))
    refs = [(await world.placed())[1] for _ in range(40)]
    async with world.database.hub() as tx:
        await tx.execute(
            "UPDATE leases SET state = 'active', started_at = offered_at WHERE lease_id <> ALL($1)",
            [ref.lease for ref in refs[-2:]],
        )

    async with world.database.hub() as tx:
        found = await orders.offered(tx, ["east", "west"])
        await tx.execute("SET LOCAL enable_seqscan = off")  # for so few leases a scan would do
        plan = await tx.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + orders.OFFERED.replace("$1", "'{east,west}'"))

    assert found == {"east": Offered(2, LeaseId(refs[-1].lease))}
    read: list[dict[str, Any]] = [n for n in nodes_of(json.loads(plan)[0]["Plan"]) if n.get("Index Name")]
    assert [node["Index Name"] for node in read] == ["leases_offered"]
    assert [node["Actual Rows"] for node in read] == [2]
