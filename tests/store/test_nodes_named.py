"""Nodes asked for by id are what they are among all: read from what is held on them, not from all leases."""

from broker.job import Ending
from broker.lifecycle import EndReason
from broker.store import snapshots
from broker.store.database import Database
from tests.cluster_world import ClusterWorld, ended, inventory


async def test_nodes_by_id_are_those_of_the_whole_view(database: Database) -> None:
    world = await ClusterWorld(database).lay()
    session = await world.attach("east", "one", inventory("n1", "n2", "n3", "n4"))
    _, over = await world.running(session, 1, cpu_milli_per_task=900)
    gang = await world.submit(tasks=2, cpu_milli_per_task=700, memory_mib_per_task=64)
    await world.offer(gang, {"n1": [1, 2], "n2": [0]})
    single = await world.submit(cpu_milli_per_task=300)
    await world.offer(single, {"n1": [5]})
    await world.report(session, 2, ended(over, Ending(EndReason.COMPLETED)))

    async with world.database.hub() as tx:
        whole = {row.node_id: row for row in (await snapshots.read(tx, world.now, 100)).nodes}
        some = sorted(whole)[:2]
        named = await snapshots.read_nodes(tx, [*some, 10**6], world.now)

    assert named == {node_id: whole[node_id] for node_id in some}
    assert [row.cpu_milli - row.free_cpu_milli for _, row in sorted(whole.items())] == [1000, 700, 0, 0]
