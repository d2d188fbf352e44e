"""An explanation names for each pool what stands in the way, by the last round's prices."""

import pytest

from broker.caller import Caller, Role
from broker.clock import ManualClock
from broker.errors import JobNotFound
from broker.job import Within
from broker.market.explain import FITS, Explain
from broker.store.clusters import NodeInventory, PoolInventory
from broker.store.database import Database
from scheduler.changes import Effect
from scheduler.levers import Lever
from scheduler.reasons import Reason
from tests.cluster_world import START, ClusterWorld, inventory
from tests.market.test_rounds import POLICY, RICH, Table
from tests.small_world import asked

GANZHOU = Caller("key", Role.CITY, "ganzhou")
NANJING = Caller("key", Role.CITY, "nanjing")
OPERATOR = Caller("key", Role.OPERATOR)


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


async def test_a_round_from_before_any_cluster_attached_has_no_prices_and_stops_nothing(table: Table) -> None:
    """It knew no pools: what has attached since clears at what it asks."""
    job = await table.submit()
    done = await table.round()
    await table.world.attach()

    found = await explainer(table)(GANZHOU, job)

    assert (found.round, found.verdicts[0].reason) == (done.round, FITS)
    assert 0 < found.verdicts[0].clearing_micro_yuan_per_pflops_hour < RICH


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


async def test_what_the_later_rules_say_is_told_in_words(table: Table) -> None:
    """Each of them keeps a job from the only pool that it could have, before and after a round has priced it."""
    async with table.world.database.hub() as tx:
        await tx.execute(
            """UPDATE accelerator_models SET slices_milli = '{250}', watts = 1000 WHERE model = 'ascend-910b';
               UPDATE hubs SET power_kilowatts_max = 3;
               INSERT INTO quotas (hub, city, guaranteed_milli_pflops, borrow_milli_pflops)
               VALUES ('qingyang', NULL, 1000, NULL), ('qingyang', 'ganzhou', 0, 0)"""
        )
    domains = (NodeInventory("n1", 2, 64_000, 1024, "a"), NodeInventory("n2", 2, 64_000, 1024, "b"))
    await table.world.attach("east", "one", PoolInventory("main", "ascend-910b", domains))
    jobs = {
        Reason.CARD_NOT_SHARED: await table.submit("nanjing", share_milli=300),
        Reason.FABRIC_SHORT: await table.submit("nanjing", tasks=3, within=Within.DOMAIN),
        Reason.POWER_SHORT: await table.submit("nanjing", tasks=4),
        Reason.QUOTA_SHORT: await table.submit("ganzhou"),
    }
    before = {reason: await explainer(table)(OPERATOR, job) for reason, job in jobs.items()}
    await table.round()

    after = {reason: await explainer(table)(OPERATOR, job) for reason, job in jobs.items()}

    for found in (before, after):
        assert {reason: told.verdicts[0].reason for reason, told in found.items()} == {r: r for r in jobs}
    assert "no slice of a card as large" in after[Reason.CARD_NOT_SHARED].summary
    assert "within one fabric domain" in after[Reason.FABRIC_SHORT].summary
    assert "power cap" in after[Reason.POWER_SHORT].summary
    assert "quota" in after[Reason.QUOTA_SHORT].summary


async def test_a_record_of_a_release_before_has_no_prices_and_stops_nothing(table: Table) -> None:
    """Its plan has another form: explanations do without, and so does the list of what waited."""
    await table.world.attach()
    job = await table.submit(tasks=2, cards_per_task=8, cpu_milli_per_task=65_000)
    done = await table.round()
    async with table.world.database.hub() as tx:
        await tx.execute("DELETE FROM round_records")
        await tx.execute(
            "INSERT INTO round_records SELECT round_id, '', convert_to('{\"prices\": {}}', 'UTF8'), '{}' FROM rounds"
        )

    found = await explainer(table)(GANZHOU, job)

    assert found.round == 0
    assert found.verdicts[0].reason == Reason.GANG_TOO_LARGE
    assert await table.reader.refusals(done.round, 10) == []


async def test_a_job_that_pays_too_little_hears_the_ceiling_that_starts_it(table: Table) -> None:
    """Cards are free, and the price is what stands in the way: with the ceiling that is offered it fits at once."""
    async with table.world.database.hub() as tx:
        await asked(tx, "east", "ascend-910b", 100_000)
    await table.world.attach("east", "one", inventory("n1"))
    poor = await table.submit(ceiling_micro_yuan_per_pflops_hour=RICH // 100)

    told = (await explainer(table)(GANZHOU, poor)).changes

    (offer,) = [each for each in told if each.lever == Lever.CEILING]
    assert (offer.effect, offer.before, offer.cluster, offer.pool) == (Effect.STARTS_NOW, RICH // 100, "east", "main")
    assert offer.detail.startswith("raise the ceiling by ")
    assert offer.detail.endswith("starts now in east/main")
    paid = await table.submit(ceiling_micro_yuan_per_pflops_hour=offer.after)
    assert (await explainer(table)(GANZHOU, paid)).verdicts[0].reason == FITS


async def test_an_outbid_job_hears_at_which_ceiling_the_round_would_have_started_it(table: Table) -> None:
    """All cards are taken now. Whose jobs would have waited instead is not told, only how many."""
    await table.world.attach("east", "one", inventory("n1"))
    await table.submit("nanjing", cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH // 4)
    poor = await table.submit(cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH // 8)
    lead = await table.lead()
    prepared, plan = await table.planned()
    await table.commit(lead, prepared, plan)

    told = (await explainer(table)(GANZHOU, poor)).changes

    assert [(each.lever, each.effect, each.instead_of_jobs) for each in told] == [(Lever.CEILING, Effect.PLANNED, 1)]
    assert "instead of 1 other job" in told[0].detail


async def test_a_job_that_would_start_or_is_placed_is_offered_no_change(table: Table) -> None:
    await table.world.attach()
    job = await table.submit()

    waits = await explainer(table)(GANZHOU, job)
    await table.round()

    assert waits.changes == (await explainer(table)(GANZHOU, job)).changes == ()


async def test_a_placed_job_hears_what_it_is_worth_where_it_is(table: Table) -> None:
    """A card of a milli-TFLOPS for two jobs' cards at the highest ceiling: a yuan for a card-hour, less the ask."""
    async with table.world.database.hub() as tx:
        await asked(tx, "east", "ascend-910b", 400_000)
    await table.world.attach("east", "one", inventory("n1"))
    job = await table.submit(cards_per_task=2)
    waits = await explainer(table)(GANZHOU, job)
    await table.round()

    placed = (await explainer(table)(GANZHOU, job)).worth

    assert waits.worth is None
    assert placed is not None
    assert (placed.gross, placed.asks, placed.energy, placed.transfer) == (2_000_000, 800_000, 0, 0)
    assert placed.worth == 1_200_000 * placed.weight_percent // 100
