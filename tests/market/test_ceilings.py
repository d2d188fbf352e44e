"""What a job pays: a ceiling for its whole run, standing orders that wait for their price, and a price that stays."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from broker.caller import Caller, Role
from broker.clock import ManualClock
from broker.ids import JobId
from broker.job import Build, LeasePrice
from broker.lifecycle import EndReason, JobState
from broker.market.ceilings import fastest_micro_pflops, lowered, raised
from broker.market.explain import Explain
from broker.store import jobs, rates
from broker.store.database import Database
from broker.store.snapshots import ModelRow
from broker.worlds.rates import Curve, RateCard
from scheduler.levers import Lever
from scheduler.reasons import Reason
from tests.cluster_world import START, ClusterWorld, inventory
from tests.market.test_rounds import RICH, Table
from tests.small_world import a_spec, asked

# The test world's models count a thousandth of a TFLOPS: RICH offers one yuan for a card-hour.
ASK = 100_000
HOUR_SECONDS = 3600

ASCEND = ModelRow("ascend-910b", "cann", "domestic", 320_000, 0, 0)
A800 = ModelRow("a800", "cuda", "foreign", 312_000, 0, 0)
H20 = ModelRow("h20", "cuda", "foreign", 148_000, 0, 0)


@pytest.fixture
async def table(database: Database) -> Table:
    """One node of eight cards, for a tenth of a yuan a card-hour."""
    table = Table(await ClusterWorld(database).lay())
    await table.world.attach("east", "one", inventory("n1"))
    async with database.hub() as tx:
        await asked(tx, "east", "ascend-910b", ASK)
    return table


@pytest.mark.parametrize(
    ("changes", "micro_pflops"),
    [
        ({}, 320_000),
        ({"tasks": 2, "cards_per_task": 8}, 16 * 320_000),
        ({"builds": (Build("cuda", ("x",)),)}, 312_000),
        ({"builds": (Build("cuda", ("x",), models=("h20",)),)}, 148_000),
        ({"builds": (Build("cuda", ("x",), speed_ppm=2_000_000), Build("cann", ("x",)))}, 624_000),
        ({"share_milli": 250}, 80_000),
        ({"builds": (Build("dtk", ("x",)),)}, 0),  # nothing to run on, so nothing to pay
    ],
)
def test_the_fastest_cards_that_it_may_have_count(changes: dict[str, object], micro_pflops: int) -> None:
    requirement = a_spec(**changes).requirement()

    assert fastest_micro_pflops(requirement, (ASCEND, A800, H20)) == micro_pflops


def test_without_anything_to_pay_for_its_own_ceiling_stays() -> None:
    assert lowered(1, 0, 3600, 77) == 77


@given(
    ceiling=st.integers(1, 10**15),
    card=st.integers(1, 10**9),
    cards=st.integers(1, 640_000),
    walltime=st.integers(1, 31_536_000),
)
def test_no_run_costs_more_than_its_ceiling_and_a_little_more_would(
    ceiling: int, card: int, cards: int, walltime: int
) -> None:
    found = lowered(ceiling, card * cards, walltime, 10**12)

    def costs(per_pflops_hour: int) -> int:
        """Of the whole run, times 3.6 * 10^9: nothing is rounded."""
        return per_pflops_hour * card * cards * walltime

    assert costs(found) <= ceiling * HOUR_SECONDS * 10**6 < costs(found + 1)
    assert lowered(raised(found, card * cards, walltime), card * cards, walltime, 0) >= found


async def reason(table: Table, job: JobId) -> tuple[JobState, str]:
    found = await table.world.job(job)
    return found.state, found.waiting_reason


async def test_a_job_waits_while_its_whole_run_would_cost_more_than_its_ceiling(table: Table) -> None:
    """Eight cards for an hour are 0.8 yuan."""
    dear = await table.submit(cards_per_task=8, walltime_seconds=HOUR_SECONDS, ceiling_micro_yuan_per_job=8 * ASK)
    await table.round()
    waits = await reason(table, dear)

    fair = await table.submit(cards_per_task=8, walltime_seconds=HOUR_SECONDS, ceiling_micro_yuan_per_job=9 * ASK)
    await table.round()

    assert waits == (JobState.PENDING, Reason.PRICE_BELOW_ASK)
    assert await reason(table, dear) == (JobState.PENDING, Reason.PRICE_BELOW_ASK)
    placement = (await table.world.job(fair)).placement
    assert placement is not None
    assert placement.price is not None
    each = placement.price.ask_micro_yuan_per_card_hour + placement.price.scarcity_micro_yuan_per_card_hour
    assert ASK <= each <= 9 * ASK // 8


async def test_an_explanation_says_what_the_ceiling_of_the_whole_job_would_have_to_be(table: Table) -> None:
    dear = await table.submit(cards_per_task=8, walltime_seconds=HOUR_SECONDS, ceiling_micro_yuan_per_job=4 * ASK)
    await table.round()
    explain = Explain(table.world.database, table.planned_by, ManualClock(START))

    found = await explain(Caller("key", Role.CITY, "ganzhou"), dear)

    [offer] = [offer for offer in found.changes if offer.lever is Lever.CEILING]
    assert "it is that of the whole job which counts: raise it to 0.80" in offer.detail


async def test_the_lower_of_both_ceilings_counts(table: Table) -> None:
    job = await table.submit(
        cards_per_task=8,
        walltime_seconds=HOUR_SECONDS,
        ceiling_micro_yuan_per_pflops_hour=RICH // 20,
        ceiling_micro_yuan_per_job=10**15,
    )

    await table.round()

    assert await reason(table, job) == (JobState.PENDING, Reason.PRICE_BELOW_ASK)
    assert (await table.world.job(job)).spec.ceiling_micro_yuan_per_job == 10**15


def test_a_body_without_such_a_ceiling_keeps_its_hash() -> None:
    """Repeats of jobs that were submitted before there was one are recognised."""
    assert "ceiling_micro_yuan_per_job" not in a_spec().to_json()
    priced = structs.replace(a_spec(), ceiling_micro_yuan_per_job=5)
    assert type(priced).from_json(priced.to_json()) == priced
    assert priced.requirement() == a_spec().requirement()


async def test_a_standing_order_starts_at_its_price_and_expires_when_that_never_comes(table: Table) -> None:
    """START is four in the afternoon of UTC+8; from six on a card costs half, and at nine both orders end."""
    async with table.world.database.hub() as tx:
        night = Curve((ASK // 2,) * 8 + (2 * ASK,) * 10 + (ASK // 2,) * 6)
        await rates.add(tx, [RateCard("east", "ascend-910b", 0, night, START, None, "test", START)])
    until = START + timedelta(hours=5)
    order = await table.submit(ceiling_micro_yuan_per_pflops_hour=RICH * 6 // 100, start_by=until)
    never = await table.submit(ceiling_micro_yuan_per_pflops_hour=RICH * 4 // 100, start_by=until)

    await table.round()
    by_day = [(await reason(table, job))[1] for job in (order, never)]
    table.world.advance(2 * HOUR_SECONDS)
    await table.round()
    by_night = [await reason(table, job) for job in (order, never)]
    table.world.advance(3 * HOUR_SECONDS)
    async with table.world.database.hub() as tx:
        await jobs.expire_due(tx, table.world.now, 9)

    assert by_day == [Reason.PRICE_BELOW_ASK, Reason.PRICE_BELOW_ASK]
    assert by_night == [(JobState.LEASED, ""), (JobState.PENDING, Reason.PRICE_BELOW_ASK)]
    ending = (await table.world.job(never)).ending
    assert ending is not None
    assert ending.reason is EndReason.EXPIRED


async def test_the_price_is_that_of_the_start_whatever_comes_after(table: Table) -> None:
    job = await table.submit()
    await table.round()
    before = (await table.world.job(job)).placement

    async with table.world.database.hub() as tx:
        card = RateCard("east", "ascend-910b", 0, Curve.flat(9 * ASK), table.world.now, None, "test", START)
        await rates.add(tx, [card])
    table.world.advance(60)
    later = await table.submit()
    await table.round()
    after, second = (await table.world.job(job)).placement, (await table.world.job(later)).placement

    assert before is not None
    assert second is not None
    assert before.price == LeasePrice(ASK, 0, 1)
    assert after == before
    assert second.price == LeasePrice(9 * ASK, 0, 2)


async def test_who_starts_while_others_want_the_same_pays_what_they_would(table: Table) -> None:
    """Two want the only node; the second would pay half a yuan for a card-hour."""
    first = await table.submit(cards_per_task=8)
    await table.submit(cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH // 2)

    await table.round()

    placement = (await table.world.job(first)).placement
    assert placement is not None
    assert placement.price is not None
    assert placement.price.ask_micro_yuan_per_card_hour == ASK
    assert 4 * ASK <= placement.price.scarcity_micro_yuan_per_card_hour <= 9 * ASK
