"""An explanation names for each pool what stands in the way, by the last round's prices."""

import pytest

from broker.caller import Caller, Role
from broker.clock import ManualClock
from broker.errors import JobNotFound
from broker.market.explain import FITS, Explain
from broker.store.database import Database
from scheduler.reasons import Reason
from tests.cluster_world import START, ClusterWorld, inventory
from tests.market.test_rounds import POLICY, RICH, Table

GANZHOU = Caller("key", Role.CITY, "ganzhou")
NANJING = Caller("key", Role.CITY, "nanjing")


@pytest.fixture
async def table(database: Database) -> Table:
    return Table(await ClusterWorld(database).lay())


def explainer(table: Table) -> Explain:
    return Explain(table.world.database, POLICY, ManualClock(START))


async def test_before_any_cluster_attached_the_job_waits_for_one(table: Table) -> None:
    job = await table.submit()

    found = await explainer(table)(GANZHOU, job)

    assert (found.verdicts, found.round) == ((), 0)
    assert "waits for the first one" in found.summary


async def test_each_pool_has_its_reason_and_the_nearest_comes_first(table: Table) -> None:
    """East is full, west has other cards."""
    await table.world.attach("east", "one", inventory("n1"))
    await table.world.attach("west", "two", inventory("m1", model="a800"))
    await table.submit(cards_per_task=6)
    done = await table.round()
    waits = await table.submit(cards_per_task=4)

    found = await explainer(table)(GANZHOU, waits)

    assert [(v.cluster, v.reason, v.cards_short) for v in found.verdicts] == [
        ("east", Reason.CARDS_SHORT, 4),
        ("west", Reason.NO_MATCHING_MODEL, 0),
    ]
    assert found.round == done.round
    assert found.summary.startswith("Nearest to starting is east/main: 4 more free cards needed, 1 task without a node")


async def test_a_job_that_would_fit_is_told_so(table: Table) -> None:
    await table.world.attach()
    job = await table.submit()

    found = await explainer(table)(GANZHOU, job)

    assert found.verdicts[0].reason == FITS


async def test_a_low_ceiling_is_told_how_much_is_missing(table: Table) -> None:
    """Somebody who pays more took the pool: the verdict says the price at which it cleared."""
    await table.world.attach("east", "one", inventory("n1"))
    for _ in range(10):
        await table.submit(cards_per_task=1)
    poor = await table.submit(cards_per_task=1, ceiling_micro_yuan_per_pflops_hour=RICH // 100)
    lead = await table.lead()
    prepared, plan = await table.planned()
    await table.commit(lead, prepared, plan)

    verdict = (await explainer(table)(GANZHOU, poor)).verdicts[0]

    assert verdict.clearing_micro_yuan_per_pflops_hour > RICH // 100


async def test_a_city_cannot_have_anothers_job_explained(table: Table) -> None:
    job = await table.submit()

    with pytest.raises(JobNotFound):
        await explainer(table)(NANJING, job)
