"""Who speaks for a cluster, what it has, and when it was heard; on a real PostgreSQL."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from broker.errors import AlreadyAttached, ClusterNotFound, InvalidRequest, StaleSession
from broker.lifecycle import AgentState
from broker.store import clusters, orders, rounds
from broker.store.clusters import NodeCondition, PoolInventory
from broker.store.database import Database
from broker.store.rounds import LeaseDraft
from tests.cluster_world import ClusterWorld, inventory
from tests.deadlines import eventually
from tests.small_world import is_blocked

SUSPECT_AFTER = timedelta(seconds=10)


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


async def attach(world: ClusterWorld, instance: str, cluster: str = "east") -> int:
    async with world.database.hub() as tx:
        before = world.now - SUSPECT_AFTER
        return await clusters.attach(tx, cluster, instance, "local", world.now, heard_before=before)


async def put(world: ClusterWorld, *pools: PoolInventory, cluster: str = "east") -> bool:
    async with world.database.hub() as tx:
        return await clusters.put_inventory(tx, cluster, pools)


async def describe(world: ClusterWorld, *conditions: NodeCondition) -> bool:
    async with world.database.hub() as tx:
        return await clusters.put_conditions(tx, "east", conditions)


async def node(world: ClusterWorld, name: str, cluster: str = "east") -> Any:
    return await world.row("SELECT * FROM nodes WHERE cluster = $1 AND node = $2", cluster, name)


async def test_each_stream_gets_a_higher_epoch(world: ClusterWorld) -> None:
    """An agent that dials again is taken over at once; its older stream is stale."""
    first = await attach(world, "one")
    second = await attach(world, "one")

    assert second > first
    async with world.database.hub() as tx:
        with pytest.raises(StaleSession):
            await clusters.heard(tx, "east", first, world.now)
        with pytest.raises(StaleSession):
            await clusters.check_speaks(tx, "east", first)
        assert await clusters.heard(tx, "east", second, world.now) is AgentState.LIVE


async def test_a_second_agent_is_refused_while_the_first_is_heard(world: ClusterWorld) -> None:
    """Two agents for one cluster would start everything twice."""
    await attach(world, "one")
    world.advance(9)

    with pytest.raises(AlreadyAttached, match="one"):
        await attach(world, "two")


async def test_a_second_agent_takes_over_after_silence_or_a_closed_stream(world: ClusterWorld) -> None:
    """A killed agent's successor need not wait when the broker saw the stream end."""
    epoch = await attach(world, "one")
    async with world.database.hub() as tx:
        await clusters.detach(tx, "east", epoch)
    await attach(world, "two")
    world.advance(10)
    await attach(world, "three")

    assert (await world.row("SELECT agent_instance FROM clusters WHERE cluster = 'east'"))[0] == "three"


async def test_the_end_of_an_older_stream_does_not_detach_the_newer_one(world: ClusterWorld) -> None:
    """The broker may learn of it late."""
    older = await attach(world, "one")
    await attach(world, "one")

    async with world.database.hub() as tx:
        await clusters.detach(tx, "east", older)

    with pytest.raises(AlreadyAttached):
        await attach(world, "two")


async def test_nobody_speaks_for_a_cluster_that_was_never_registered(world: ClusterWorld) -> None:
    """An operator makes it known first."""
    with pytest.raises(ClusterNotFound):
        await attach(world, "one", "nowhere")


async def test_an_inventory_is_taken_over_and_its_repetition_is_no_news(world: ClusterWorld) -> None:
    """Hello may be repeated like every message."""
    assert await put(world, inventory("n1", "n2"), inventory("m1", pool="other", model="a800", cards=4))
    assert not await put(world, inventory("n1", "n2"), inventory("m1", pool="other", model="a800", cards=4))

    assert (await node(world, "m1"))["cards"] == 4
    assert (await world.row("SELECT count(*) FROM nodes WHERE present"))[0] == 3


async def test_a_node_that_is_no_longer_named_is_absent_until_it_is_named_again(world: ClusterWorld) -> None:
    """It keeps its mode: an operator's word outlives a repair."""
    await put(world, inventory("n1", "n2"))
    await world.row("UPDATE nodes SET mode = 'cordoned' WHERE node = 'n2' RETURNING 1")

    assert await put(world, inventory("n1"))
    gone = await node(world, "n2")
    assert await put(world, inventory("n1", "n2"))
    back = await node(world, "n2")

    assert (gone["present"], back["present"], back["mode"]) == (False, True, "cordoned")


async def test_equal_names_in_two_clusters_are_two_nodes(world: ClusterWorld) -> None:
    """An agent can name another cluster's nodes, and gets nodes of its own."""
    await put(world, inventory("n1"), cluster="west")

    await put(world, inventory("n1", cards=2), cluster="east")

    assert (await node(world, "n1", "west"))["cards"] == 8
    assert (await node(world, "n1", "east"))["cards"] == 2


async def test_a_pool_keeps_its_model_when_a_round_places_a_lease_on_it_at_that_moment(world: ClusterWorld) -> None:
    """Whoever comes second sees what the first has done."""
    await world.attach("east")
    job = await world.submit()
    async with world.database.hub() as tx:
        rows = await tx.fetch("SELECT node_id, pool_id FROM nodes WHERE cluster = 'east' ORDER BY node_id")
        await rounds.lock_nodes(tx, [r["node_id"] for r in rows])
        changing = asyncio.create_task(put(world, inventory(model="a800")))
        await eventually(lambda: is_blocked(world.database))
        node_id, pool_id = rows[0]
        draft = LeaseDraft(job, "ganzhou", "east", pool_id, 0, 1, "hold", ((node_id, (0,), 1),))
        await rounds.offer(tx, await world._round(tx), [draft], world.now)

    with pytest.raises(InvalidRequest, match="runs leases"):
        await changing


async def test_draining_nodes_that_somebody_holds_are_left_for_the_next_pass(world: ClusterWorld) -> None:
    """Waiting for whoever locks nodes in another order could become a circle."""
    await put(world, inventory("n1", "n2"))
    await world.row("UPDATE nodes SET mode = 'draining' RETURNING 1")
    async with world.database.hub() as other, world.database.hub() as tx:
        await other.execute("SELECT FROM nodes WHERE node = 'n1' FOR SHARE")

        assert await clusters.finish_drains(tx) == [("east", "n2")]


async def test_fewer_cards_free_none_that_are_held(world: ClusterWorld) -> None:
    """Only the end of a lease frees cards."""
    await world.attach("east")
    job = await world.submit()
    ref = await world.offer(job, {"n1": [7]})

    await put(world, inventory("n1", "n2", cards=4))

    assert await world.held() == 1
    async with world.database.hub() as tx:
        [order] = await orders.orders(tx, [ref.lease])
    assert order.nodes[0].cards == (7,)


async def test_an_unknown_model_is_named_by_its_field_and_nothing_is_written(world: ClusterWorld) -> None:
    """The catalogue says what can be matched."""
    with pytest.raises(InvalidRequest) as refused:
        await put(world, inventory("n1"), inventory("m1", pool="other", model="abacus"))

    assert [f.field for f in refused.value.fields] == ["hello.pools[1].model"]
    assert "abacus" in refused.value.fields[0].description
    assert await node(world, "n1") is None


async def test_a_pools_model_changes_only_when_nothing_runs_there(world: ClusterWorld) -> None:
    """The build of a live lease was chosen for the model."""
    await world.attach("east")
    assert await put(world, inventory(model="a800"))
    await world.placed()

    with pytest.raises(InvalidRequest) as refused:
        await put(world, inventory(model="ascend-910b"))

    assert [f.field for f in refused.value.fields] == ["hello.pools[0].model"]


async def test_conditions_are_complete_what_is_not_named_is_ready(world: ClusterWorld) -> None:
    """Only what differs is written, so that a quiet cluster costs nothing."""
    await put(world, inventory("n1", "n2", "n3"))
    sick = (NodeCondition("n1", down=True, detail="no power"), NodeCondition("n2", foreign_cards=(0, 3)))

    assert await describe(world, *sick)
    assert not await describe(world, *sick)
    first = await node(world, "n1"), await node(world, "n2"), await node(world, "n3")
    assert await describe(world, NodeCondition("n2", foreign_cards=(3,)))

    assert [(n["down"], n["foreign_cards"], n["detail"]) for n in first] == [
        (True, [], "no power"),
        (False, [0, 3], ""),
        (False, [], ""),
    ]
    assert not (await node(world, "n1"))["down"]
    assert (await node(world, "n2"))["foreign_cards"] == [3]


async def test_an_agent_falls_suspect_then_lost_and_a_word_brings_it_back(world: ClusterWorld) -> None:
    """Silence is judged by when it was last heard."""
    epoch = await attach(world, "one")

    async with world.database.hub() as tx:
        heard = world.now
        assert await clusters.fall_suspect(tx, heard - timedelta(seconds=1)) == []
        assert await clusters.fall_suspect(tx, heard) == ["east"]
        assert await clusters.silent(tx, heard, heard) == ["east"]
        assert not await clusters.fall_lost(tx, "east", heard - timedelta(seconds=1))
        assert await clusters.fall_lost(tx, "east", heard)
        assert await clusters.silent(tx, heard, heard) == []
        assert await clusters.heard(tx, "east", epoch, heard) is AgentState.LOST
        assert await clusters.heard(tx, "east", epoch, heard) is AgentState.LIVE


async def test_a_drain_ends_when_the_node_holds_nothing(world: ClusterWorld) -> None:
    """What runs is waited for."""
    await world.attach("east")
    job = await world.submit()
    await world.offer(job, {"n1": [0]})
    await world.row("UPDATE nodes SET mode = 'draining' RETURNING 1")

    async with world.database.hub() as tx:
        assert await clusters.finish_drains(tx) == [("east", "n2")]
        assert await clusters.finish_drains(tx) == []

    assert (await node(world, "n1"))["mode"] == "draining"
