"""The rules on a real PostgreSQL: what live leases use of them, energy counted once, and changes that fence a round."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from broker.job import Ending
from broker.lifecycle import EndReason
from broker.loops.energy import EnergyCount
from broker.store import energy, quotas, rules
from broker.store.database import Database
from broker.store.energy import year_of
from broker.store.rules import RulesView, UseRow
from broker.worlds.quotas import QuotaRow
from tests.cluster_world import START, ClusterWorld, ended
from tests.small_world import is_blocked

WATTS = 600  # card and host
PUE_MILLI = 1200
JOULES_PER_SECOND = WATTS * PUE_MILLI // 1000


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    """Two nodes of one pool; a card draws 400 W and its host 200 W more."""
    world = await ClusterWorld(database).lay()
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE accelerator_models SET watts = 400, host_watts = 200, fp16_programme_milli_tflops = 320000"
        )
        await tx.execute(f"UPDATE hubs SET pue_milli = {PUE_MILLI}, energy_kilowatt_hours_per_year = 1000")
    return world


async def read(world: ClusterWorld, at: datetime | None = None) -> RulesView:
    async with world.database.hub() as tx:
        return await rules.read(tx, at or world.now)


async def accounts(world: ClusterWorld) -> list[tuple[int, int, datetime]]:
    """Return year, joules and up to when they are counted."""
    async with world.database.hub() as tx:
        rows = await tx.fetch("SELECT year, used_joules, counted_until FROM hub_energy ORDER BY year")
    return [tuple(row) for row in rows]


async def end(world: ClusterWorld, session: Any, sequence: int, ref: Any) -> None:
    await world.report(session, sequence, ended(ref, Ending(EndReason.COMPLETED)))


async def test_use_is_what_live_leases_hold_by_tenant_and_model(world: ClusterWorld) -> None:
    session = await world.attach()
    first = await world.offer(await world.submit(cards_per_task=3), {"n1": [0, 1, 2]})
    await world.offer(await world.submit(), {"n2": [0]})
    await world.offer(await world.submit(enterprise="acme"), {"n2": [1]})
    await world.offer(await world.submit("nanjing"), {"n2": [2]})

    before = (await read(world)).use
    await end(world, session, 1, first)

    assert before == (
        UseRow("qingyang", "ganzhou", "", "ascend-910b", 4_000),
        UseRow("qingyang", "ganzhou", "acme", "ascend-910b", 1_000),
        UseRow("qingyang", "nanjing", "", "ascend-910b", 1_000),
    )
    assert (await read(world)).use[0].milli_cards == 1_000


async def test_shares_count_by_their_milli(world: ClusterWorld) -> None:
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})
    async with world.database.hub() as tx:
        [held] = await tx.fetch("DELETE FROM held_cards RETURNING node_id, card, lease_id")
        await tx.execute("INSERT INTO held_cards VALUES ($1, $2, $3, 250)", *held)

    [use] = (await read(world)).use

    assert use.milli_cards == 250


async def test_energy_is_counted_whether_or_not_the_count_has_run(world: ClusterWorld) -> None:
    session = await world.attach()
    ref = await world.offer(await world.submit(), {"n1": [0]})
    count = EnergyCount(world.database)

    await count.run_once(world.advance(100))
    counted = await accounts(world)
    world.advance(50)
    running = (await read(world)).hubs["qingyang"].energy
    await end(world, session, 1, ref)
    world.advance(500)
    after = (await read(world)).hubs["qingyang"].energy
    await count.run_once(world.now)

    assert counted == [(2026, 100 * JOULES_PER_SECOND, START + timedelta(seconds=100))]
    assert running is not None
    assert after is not None
    assert running.used_joules == after.used_joules == 150 * JOULES_PER_SECOND
    assert (running.committed_joules, after.committed_joules) == (450 * JOULES_PER_SECOND, 0)
    assert (await accounts(world))[0][1] == 150 * JOULES_PER_SECOND


async def test_counting_twice_counts_once(world: ClusterWorld) -> None:
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})
    counts = [EnergyCount(world.database) for _ in range(3)]

    await asyncio.gather(*(count.run_once(world.advance(10)) for count in counts))
    again = await counts[0].run_once(world.now)

    assert again == 0
    assert (await accounts(world))[0][1] == 30 * JOULES_PER_SECOND


async def test_a_year_ends_in_its_own_account(world: ClusterWorld) -> None:
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})
    await EnergyCount(world.database).run_once(world.now)
    new_year = year_of(world.now).end

    await EnergyCount(world.database).run_once(new_year + timedelta(seconds=7))

    old = round((new_year - START).total_seconds())
    assert [(year, joules) for year, joules, _ in await accounts(world)] == [
        (2026, old * JOULES_PER_SECOND),
        (2027, 7 * JOULES_PER_SECOND),
    ]
    energy_now = (await read(world, new_year + timedelta(seconds=8))).hubs["qingyang"].energy
    assert energy_now is not None
    assert energy_now.used_joules == 8 * JOULES_PER_SECOND


async def test_what_runs_beyond_the_year_is_committed_up_to_its_end(world: ClusterWorld) -> None:
    await world.attach()
    world.now = year_of(START).end - timedelta(seconds=60)
    await world.offer(await world.submit(), {"n1": [0]})

    found = (await read(world)).hubs["qingyang"].energy

    assert found is not None
    assert found.committed_joules == 60 * JOULES_PER_SECOND


async def test_a_reading_of_the_meter_is_where_the_count_goes_on(world: ClusterWorld) -> None:
    await world.attach()
    await world.offer(await world.submit(), {"n1": [0]})
    async with world.database.hub() as tx:
        await energy.put_reading(tx, "qingyang", 10**9, world.advance(100))

    found = (await read(world, world.advance(10))).hubs["qingyang"].energy

    assert found is not None
    assert found.used_joules == 10**9 + 10 * JOULES_PER_SECOND


async def test_a_change_of_limits_is_seen_by_who_planned_before_it(world: ClusterWorld) -> None:
    before = await read(world)
    async with world.database.hub() as tx:
        await rules.lock(tx, world.now)
        await quotas.put(tx, [QuotaRow("qingyang", 1)])
        await rules.change(tx)

    async with world.database.hub() as tx:
        old, new = await rules.unchanged(tx, before.version), await rules.unchanged(tx, before.version + 1)

    assert (old, new) == (False, True)


async def test_limits_do_not_change_while_a_round_commits(world: ClusterWorld) -> None:
    version = (await read(world)).version

    async def change() -> datetime:
        async with world.database.hub() as tx:
            in_force_at = await rules.lock(tx, world.now)
            await rules.change(tx)
        return in_force_at

    async with world.database.hub() as tx:
        assert await rules.unchanged(tx, version)
        changing = asyncio.create_task(change())
        while not await is_blocked(world.database):
            assert not changing.done()

    assert await changing > world.now
    assert (await read(world)).version == version + 1


async def test_the_tree_holds_in_the_database_too(world: ClusterWorld) -> None:
    async with world.database.hub() as tx:
        await quotas.put(
            tx, [QuotaRow("qingyang/ganzhou/acme", 1, 2, 3), QuotaRow("qingyang", 5), QuotaRow("qingyang/ganzhou", 4)]
        )
        stored = await quotas.all_quotas(tx)

    assert stored == [
        QuotaRow("qingyang", 5),
        QuotaRow("qingyang/ganzhou", 4),
        QuotaRow("qingyang/ganzhou/acme", 1, 2, 3),
    ]
    for statement in (
        "DELETE FROM quotas WHERE quota = 'qingyang'",
        "INSERT INTO quotas (hub, city, enterprise, guaranteed_milli_pflops) VALUES ('qingyang', 'nanjing', 'acme', 1)",
        "INSERT INTO quotas (hub, enterprise, guaranteed_milli_pflops) VALUES ('qingyang', 'acme', 1)",
        "UPDATE quotas SET guaranteed_milli_pflops = -1",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            async with world.database.hub() as tx:
                await tx.execute(statement)
