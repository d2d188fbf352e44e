"""What operators set holds in the next round, and in the one that is being planned when they set it."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from broker.audit import limits
from broker.audit.main import run
from broker.caller import Caller, Role
from broker.ids import JobId
from broker.lifecycle import JobState
from broker.market.energy import HubEnergy, PowerChange
from broker.market.quotas import Quotas
from broker.store.database import Database
from broker.worlds.quotas import QuotaRow
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.market.test_rounds import RICH, Table

OPERATOR = Caller("key-operator", Role.OPERATOR)
Broken: TypeAlias = Callable[[], Awaitable[set[str]]]


class Ruled(Table):
    """Sixteen cards of one PFLOPS and 500 W each, with an operator."""

    async def power(self, **change: int) -> None:
        energy = HubEnergy(self.world.database, wake=lambda: None)
        await energy.set(OPERATOR, PowerChange("qingyang", **change), now=self.world.now)

    async def quota(self, quota: str, guaranteed: int, borrow: int | None = None, lend: int | None = None) -> None:
        quotas = Quotas(self.world.database, wake=lambda: None)
        await quotas.set(OPERATOR, QuotaRow(quota, guaranteed, borrow, lend), now=self.world.now)

    async def used(self) -> dict[str, int]:
        """Return by quota the whole PFLOPS that are used."""
        quotas = Quotas(self.world.database, wake=lambda: None)
        return {use.quota.quota: use.used // 10**6 for use in await quotas.list("", now=self.world.now)}

    async def reason(self, job: JobId) -> str:
        row = await self.world.row("SELECT waiting_reason FROM jobs WHERE job_id = $1", job)
        return str(row["waiting_reason"])


@pytest.fixture
async def table(database: Database) -> Ruled:
    table = Ruled(await ClusterWorld(database).lay())
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE accelerator_models SET fp16_programme_milli_tflops = 1000000, watts = 400, host_watts = 100"
        )
    await table.world.attach()
    return table


@pytest.fixture
async def broken(dsns: Dsns) -> Broken:
    """What the audit finds of limits."""

    async def found() -> set[str]:
        _, findings = await run(dsns.hub, dsns.city, {})
        return {finding.rule for finding in findings} & {rule.__name__ for rule in limits.RULES}

    return found


async def test_a_power_cap_keeps_cards_idle_until_it_is_raised(table: Ruled, broken: Broken) -> None:
    """2 kW at the meter are three cards of 500 W at a PUE of 1.25."""
    await table.power(power_kilowatts_max=2, pue_milli=1250)
    jobs = [await table.submit() for _ in range(5)]

    first = await table.round()
    states = [await table.world.state_of(job) for job in jobs]
    await table.power(power_kilowatts_max=0)
    second = await table.round()

    assert (first.placed, second.placed) == (3, 2)
    assert states.count(JobState.PENDING) == 2
    assert await broken() == set()


async def test_a_gang_that_no_cap_lets_in_is_told_so(table: Ruled) -> None:
    await table.power(power_kilowatts_max=1)
    job = await table.submit(cards_per_task=4)

    await table.round()

    assert await table.reason(job) == "POWER_SHORT"


async def test_a_year_whose_energy_is_used_up_lets_nothing_in(table: Ruled) -> None:
    await table.power(energy_kilowatt_hours_per_year=1000, used_kilowatt_hours=1000)
    job = await table.submit()

    await table.round()

    assert await table.reason(job) == "POWER_SHORT"


async def test_a_quota_holds_whatever_is_offered(table: Ruled, broken: Broken) -> None:
    """Ganzhou may use six PFLOPS however much it pays, and Nanjing gets the rest of the hub's ten."""
    await table.quota("qingyang", 6_000, 4_000)
    await table.quota("qingyang/ganzhou", 4_000, 2_000)
    for _ in range(9):
        await table.submit("ganzhou", ceiling_micro_yuan_per_pflops_hour=RICH // 200)
        await table.submit("nanjing", ceiling_micro_yuan_per_pflops_hour=RICH // 1000)

    done = await table.round()

    assert done.placed == 10
    assert await table.used() == {"qingyang": 10, "qingyang/ganzhou": 6}
    assert await broken() == set()


async def test_a_guarantee_goes_before_what_others_pay(table: Ruled) -> None:
    await table.quota("qingyang", 5_000)
    await table.quota("qingyang/nanjing", 5_000)
    for _ in range(16):
        await table.submit("ganzhou", ceiling_micro_yuan_per_pflops_hour=RICH // 200)
        await table.submit("nanjing", ceiling_micro_yuan_per_pflops_hour=RICH // 1000)

    await table.round()

    assert await table.used() == {"qingyang": 16, "qingyang/nanjing": 5}


async def test_what_may_not_be_lent_stays_free(table: Ruled) -> None:
    """Of ten PFLOPS three are Nanjing's whether it needs them or not."""
    await table.quota("qingyang", 10_000, 0)
    await table.quota("qingyang/nanjing", 4_000, None, 1_000)
    for _ in range(12):
        await table.submit("ganzhou")

    done = await table.round()

    assert done.placed == 7


async def test_an_enterprise_counts_to_its_city(table: Ruled) -> None:
    await table.quota("qingyang", 8_000)
    await table.quota("qingyang/ganzhou", 8_000, 0)
    await table.quota("qingyang/ganzhou/acme", 1_000, 1_000)
    for _ in range(8):
        await table.submit("ganzhou", enterprise="acme", ceiling_micro_yuan_per_pflops_hour=RICH // 200)
        await table.submit("ganzhou", ceiling_micro_yuan_per_pflops_hour=RICH // 1000)

    await table.round()

    assert await table.used() == {"qingyang": 8, "qingyang/ganzhou": 8, "qingyang/ganzhou/acme": 2}


async def test_limits_that_changed_meanwhile_make_a_plan_stale(table: Ruled, broken: Broken) -> None:
    """It was right when it was made. The next round plans by the new limits."""
    job = await table.submit(cards_per_task=8)
    prepared, plan = await table.planned()

    await table.quota("qingyang", 0, 4_000)
    stale = await table.commit(await table.lead(), prepared, plan)
    again = await table.round()

    assert (stale.placed, stale.stale) == (0, 1)
    assert again.placed == 0
    assert await table.reason(job) == "QUOTA_SHORT"
    assert await broken() == set()
