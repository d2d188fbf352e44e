"""A world is taken over whole or not at all, twice without effect, and on the record."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from broker.caller import Caller, Role
from broker.errors import InvalidRequest
from broker.market.worlds import Worlds
from broker.store.database import Database
from broker.worlds.loader import BUNDLED_WORLDS, bundled
from tests.cluster_world import START, ClusterWorld, inventory
from tests.worlds.small import WORLD, changed

OPERATOR = Caller("key-operator", Role.OPERATOR)


class Applying:
    """The use case, how often it woke the rounds, and what is on record."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.woken = 0
        self.worlds = Worlds(database, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def __call__(self, document: str, *, dry_run: bool = False) -> list[str]:
        return await self.worlds.apply(OPERATOR, document, now=START, dry_run=dry_run)

    async def acts(self) -> list[Any]:
        async with self.database.hub() as tx:
            return await tx.fetch("SELECT at, key_id, act, subject, detail FROM operator_acts ORDER BY act_id")


@pytest.fixture
def apply(database: Database) -> Applying:
    return Applying(database)


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
async def test_applying_twice_changes_nothing(apply: Applying, name: str) -> None:
    first = await apply(bundled(name))

    second = await apply(bundled(name))

    assert len(first) > 30
    assert second == []
    assert (apply.woken, len(await apply.acts())) == (1, 1)


async def test_a_dry_run_says_the_same_and_does_nothing(apply: Applying) -> None:
    said = await apply(bundled("laptop"), dry_run=True)

    assert (apply.woken, await apply.acts()) == (0, [])
    assert said == await apply(bundled("laptop"))


async def test_an_act_is_on_record_with_its_key(apply: Applying) -> None:
    lines = await apply(WORLD)

    [act] = await apply.acts()
    assert (act["at"], act["key_id"], act["act"], act["subject"]) == (START, "key-operator", "apply_world", "tiny")
    assert act["detail"]["changes"] == lines
    assert len(act["detail"]["sha256"]) == 64


async def test_another_world_keeps_what_it_does_not_name_and_says_so(apply: Applying) -> None:
    await apply(bundled("laptop"))

    lines = await apply(WORLD)

    assert "city nanjing: kept, this world does not name it" in lines
    assert "cluster longdong: added" in lines
    catalogue = await apply.worlds.catalogue(START)
    assert {"nanjing", "ganzhou"} <= set(catalogue.cities)


async def test_a_world_that_is_wrong_leaves_nothing_behind(apply: Applying) -> None:
    def spoil(world: dict[str, Any]) -> None:
        world["clusters"][0]["hub"] = "nowhere"

    with pytest.raises(InvalidRequest, match=r"clusters\[0\]\.hub"):
        await apply(changed(spoil))

    assert not (await apply.worlds.catalogue(START)).hubs
    assert apply.woken == 0


async def test_two_brokers_may_apply_at_once(database: Database) -> None:
    appliers = [Applying(database), Applying(database)]

    said = await asyncio.gather(*(apply(bundled("qingyang")) for apply in appliers))

    assert sorted(map(bool, said)) == [False, True]


def _moved(**changes: str) -> Callable[[dict[str, Any]], None]:
    def change(world: dict[str, Any]) -> None:
        world["clusters"][0].update(changes)

    return change


@pytest.mark.parametrize(("field", "value"), [("hub", "guian"), ("owner", "kingsoft")])
async def test_a_cluster_with_live_leases_keeps_hub_and_owner(apply: Applying, field: str, value: str) -> None:
    """A running job may be where it is because of the hub, and its owner is paid for it."""
    world = ClusterWorld(apply.database)
    await apply(WORLD)
    await world.attach("longdong", "one", inventory("n1"))
    await world.offer(await world.submit(), cluster="longdong")

    with pytest.raises(InvalidRequest, match="drain its nodes first") as refused:
        await apply(changed(_moved(**{field: value})))

    assert refused.value.fields[0].field == f"clusters[0].{field}"


async def test_an_idle_cluster_can_move(apply: Applying) -> None:
    await apply(WORLD)

    assert await apply(changed(_moved(hub="guian"))) == ["cluster longdong: hub qingyang -> guian"]
    assert (await apply.worlds.catalogue(START)).clusters["longdong"].hub == "guian"
