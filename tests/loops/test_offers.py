"""Agents hear at once of what another broker has offered them."""

import pytest

from broker.loops.offers import Offers
from broker.market.clusters import ClusterSignals
from broker.store.database import Database
from tests.cluster_world import ClusterWorld


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


async def test_a_lease_that_another_broker_offered_wakes_the_stream_here_once(world: ClusterWorld) -> None:
    here = ClusterSignals()
    east, west = here.subscribe("east"), here.subscribe("west")
    offers = Offers(world.database, here)
    nothing_yet = await offers.run_once(world.now)
    await world.attach()
    await world.placed()  # its signals are another process's

    woken, again = await offers.run_once(world.now), await offers.run_once(world.now)
    first = east.is_set(), west.is_set()
    east.clear()
    await world.placed()
    woken_later = await offers.run_once(world.now)

    assert (nothing_yet, woken, again, woken_later) == (0, 1, 0, 1)
    assert first == (True, False)
    assert east.is_set()


async def test_without_agents_nothing_is_asked_and_who_comes_back_is_told_anew(world: ClusterWorld) -> None:
    here = ClusterSignals()
    offers = Offers(world.database, here)
    await world.attach()
    await world.placed()
    unwatched = await offers.run_once(world.now)
    signal = here.subscribe("east")
    first = await offers.run_once(world.now)
    here.unsubscribe("east", signal)
    gone = await offers.run_once(world.now)
    here.subscribe("east")

    assert (unwatched, first, gone, await offers.run_once(world.now)) == (0, 1, 0, 1)
