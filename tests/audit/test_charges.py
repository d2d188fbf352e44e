"""No lease pays more than its city would: planted in facts, and on real tables after real rounds."""

from dataclasses import replace

import pytest

from broker.audit import charges
from broker.audit.charges import Charge
from broker.audit.main import run
from broker.job import GangSize
from broker.store.database import Database
from tests.audit.test_rules import clean
from tests.cluster_world import ClusterWorld, inventory
from tests.conftest import Dsns
from tests.market.test_rounds import RICH, Table
from tests.small_world import asked

# Eight cards of 320 TFLOPS for two hours, at 10 yuan for a PFLOPS-hour: 3.2 yuan for a card-hour, 51.2 for the job.
FAIR = Charge(10, 1, 3_200_000, 8_000, 10_000_000, 51_200_000, 7_200, 320_000, 1_000_000, 8_000, 1_000_000)


def found(charge: Charge) -> list[str]:
    return [told for rule in charges.RULES for told in rule(replace(clean(), charges=(charge,)))]


def test_what_the_ceilings_allow_to_the_last_micro_yuan_is_no_finding() -> None:
    assert found(FAIR) == []
    assert found(replace(FAIR, ceiling_per_job=None)) == []
    assert found(replace(FAIR, per_card_hour=6_400_000, milli_cards=4_000, size_ppm=1_000_000)) == []  # half the size


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"per_card_hour": 3_200_001, "ceiling_per_job": None}, "by the hour"),
        ({"build_ppm": 999_999}, "by the hour"),
        ({"size_ppm": 500_000}, "by the hour"),
        ({"ceiling_per_job": 51_199_999}, "for its walltime"),
    ],
)
def test_more_than_that_is_found(changes: dict[str, int | None], told: str) -> None:
    [finding] = found(replace(FAIR, **changes))  # type: ignore[arg-type]

    assert told in finding


async def test_leases_of_rounds_pay_what_they_may_and_one_that_is_planted_is_found(
    database: Database, dsns: Dsns
) -> None:
    table = Table(await ClusterWorld(database).lay())
    await table.world.attach("east", "one", inventory("n1", "n2"))
    async with database.hub() as tx:
        await asked(tx, "east", "ascend-910b", 100_000)
    await table.submit(cards_per_task=8, walltime_seconds=3600, ceiling_micro_yuan_per_job=900_000)
    await table.submit(tasks=2, cards_per_task=8, smaller_sizes=(GangSize(1, 700_000),))
    await table.submit(cards_per_task=4, ceiling_micro_yuan_per_pflops_hour=RICH // 5)
    await table.round()

    facts, before = await run(dsns.hub, dsns.city, {})
    async with database.hub() as tx:
        await tx.execute("UPDATE leases SET scarcity_micro_yuan_per_card_hour = 2000000")
    _, after = await run(dsns.hub, dsns.city, {})

    rule = charges.no_lease_above_its_ceiling.__name__
    assert len(facts.charges) >= 1
    assert [each for each in before if each.rule == rule] == []
    assert [each for each in after if each.rule == rule] != []
