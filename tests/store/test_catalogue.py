"""The catalogue on a real PostgreSQL: read back as written, and the use of cards counted once each."""

import pytest

from broker.lifecycle import AgentState, NodeMode
from broker.store import catalogue, nodes
from broker.store.clusters import NodeCondition
from broker.store.clusters import put_conditions as put_conditions_of
from broker.store.database import Database
from broker.store.nodes import PoolUse
from broker.worlds.catalogue import Catalogue, HubRow, catalogue_of, differences
from broker.worlds.loader import BUNDLED_WORLDS, bundled, load
from tests.cluster_world import START, ClusterWorld, inventory


async def _write(database: Database, wanted: Catalogue) -> None:
    async with database.hub() as tx:
        found = differences(await catalogue.read(tx, START), wanted)
        await catalogue.write(
            tx, [difference.row for difference in found if difference.row is not None], now=START, key_id="test"
        )


async def _read(database: Database) -> Catalogue:
    async with database.hub() as tx:
        return await catalogue.read(tx, START)


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
async def test_a_catalogue_is_read_as_it_was_written(database: Database, name: str) -> None:
    wanted = catalogue_of(load(bundled(name)))

    await _write(database, wanted)

    assert await _read(database) == wanted


async def test_rows_and_what_belongs_to_them_become_equal(database: Database) -> None:
    """Capacity, round trips and asks that are no longer named go; hubs, models, cities and clusters never do."""
    await _write(database, catalogue_of(load(bundled("qingyang"))))
    laptop = catalogue_of(load(bundled("laptop")))

    await _write(database, laptop)

    stored = await _read(database)
    assert stored.hubs == laptop.hubs
    assert {name: stored.cities[name] for name in laptop.cities} == laptop.cities
    assert len(stored.cities) == 34
    assert stored.hubs["qingyang"].capacity == ()


async def test_an_empty_catalogue_is_empty(database: Database) -> None:
    assert await _read(database) == Catalogue()


async def test_every_card_is_counted_once(database: Database) -> None:
    """Leased, foreign and closed cards do not overlap, whatever lies on one node."""
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1", "n2", "n3", "n4"))
    await world.offer(await world.submit(cards_per_task=2), {"n1": [0, 1]})
    await world.offer(await world.submit(cards_per_task=2), {"n2": [0, 1]})
    async with database.hub() as tx:
        # n1: 2 leased and 3 foreign, one of them leased too; n2: cordoned; n3: down with 1 foreign; n4: free
        conditions = [
            NodeCondition("n1", foreign_cards=(1, 2, 3)),
            NodeCondition("n3", down=True, foreign_cards=(7,)),
        ]
        await put_conditions_of(tx, "east", conditions)
        rows = await nodes.lock_modes(tx, "east", ["n2"])
        await nodes.set_mode(tx, [row.node_id for row in rows], NodeMode.CORDONED, "test")
        [east, west] = await nodes.clusters(tx, START)

    assert east.agent is AgentState.LIVE
    assert (west.agent, west.pools) == (AgentState.NEVER, ())
    assert east.pools == (
        PoolUse(
            pool="main",
            model="ascend-910b",
            nodes=4,
            cards=32,
            cards_leased=4,
            cards_foreign=2 + 1,
            cards_closed=6 + 7,
            fp16_milli_pflops=0,
            watts=0,
            ask_micro_yuan_per_card_hour=0,
        ),
    )


async def test_a_node_that_is_gone_counts_while_leases_hold_its_cards(database: Database) -> None:
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1", "n2"))
    await world.offer(await world.submit(), {"n1": [3]})

    await world.attach("east", "one", inventory("n2", "n3"))

    async with database.hub() as tx:
        [pool] = (await nodes.clusters(tx, START))[0].pools
        listed = await nodes.node_page(tx, "east", "", 10)
    assert (pool.nodes, pool.cards, pool.cards_leased, pool.cards_closed) == (3, 24, 1, 7)
    assert [(node.node, node.present, node.leased_cards) for node in listed] == [
        ("n1", False, (3,)),
        ("n2", True, ()),
        ("n3", True, ()),
    ]


async def test_cards_of_a_silent_agent_are_closed(database: Database) -> None:
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1"))
    async with database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'suspect' WHERE cluster = 'east'")
        [pool] = (await nodes.clusters(tx, START))[0].pools

    assert (pool.cards, pool.cards_closed) == (8, 8)


async def test_clusters_of_one_hub_are_shown_alone(database: Database) -> None:
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1"))
    async with database.hub() as tx:
        await catalogue.write(tx, [HubRow("guian", "Gui'an", 0, 0)], now=START, key_id="test")
        await tx.execute("UPDATE clusters SET hub = 'guian' WHERE cluster = 'west'")
        found = await nodes.clusters(tx, START, "guian")

    assert [cluster.cluster for cluster in found] == ["west"]
