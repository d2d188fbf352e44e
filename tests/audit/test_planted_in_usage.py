"""Use and charges that the owner of the tables has cooked: what is planted is found, by the rule that forbids it."""

import asyncpg
import pytest

from broker.audit.main import gather
from broker.audit.usage import RULES
from broker.ids import JobId, LeaseId
from broker.lifecycle import EndReason
from broker.store.database import Database
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.market.test_charging import HOUR, Charged

PLANTED = {
    # what is planted: by SQL of the tables' owner, with the triggers off; the rules that must find it
    "a minute is paid for twice": (
        "UPDATE lease_captures SET minutes = minutes + 1 WHERE lease_id = 1",
        {"each_minute_is_paid_for_once"},
    ),
    "minutes that were paid for are not known": (
        "UPDATE lease_usage SET minutes = '{[0,50)}' WHERE lease_id = 1",
        {"each_minute_is_paid_for_once", "leases_pay_their_price"},
    ),
    "a lease paid more than its price": (
        "UPDATE leases SET ask_micro_yuan_per_card_hour = 3600000 - 1 WHERE lease_id = 1",
        {"leases_of_prepaid_cities_are_held_for", "leases_pay_their_price"},
    ),
    "known minutes are never charged": (
        "UPDATE lease_usage SET minutes = '{[0,70)}' WHERE lease_id = 1",
        {"leases_pay_their_price"},
    ),
    "a capture is nobody's": (
        "DELETE FROM lease_captures WHERE lease_id = 1",
        {"each_minute_is_paid_for_once", "leases_pay_their_price"},
    ),
    "a lease starts without a hold": (
        "UPDATE leases SET hold_id = NULL WHERE lease_id = 3",
        {"leases_of_prepaid_cities_are_held_for"},
    ),
    "less is held than it may cost": (
        "UPDATE jobs SET walltime_seconds = walltime_seconds + 60",
        {"leases_of_prepaid_cities_are_held_for"},
    ),
    "minutes of a lease that never ran": (
        "UPDATE lease_usage SET minutes = '{[0,1)}' WHERE lease_id = 3",
        {"leases_use_no_more_than_they_may"},
    ),
    "minutes far behind the walltime": (
        "UPDATE lease_usage SET minutes = '{[4000,4001)}', due_at = now() WHERE lease_id = 3;"
        " UPDATE leases SET started_at = offered_at WHERE lease_id = 3",
        {"leases_use_no_more_than_they_may"},
    ),
    "work was thrown away and not given back": (
        "UPDATE lease_usage SET credited_micro_yuan = 0 WHERE lease_id = 2",
        {"thrown_away_work_is_given_back"},
    ),
}


@pytest.fixture
async def used(database: Database, dsns: Dsns) -> Charged:
    """One lease has run for an hour and a second, one was stopped for others, one has just been offered."""
    world = await Charged(await ClusterWorld(database).lay()).open(dsns)
    first = await world.started()
    world.world.advance(HOUR + 1)
    await world.end(first)
    second = await world.started(preemptible=True)
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE leases SET stop_ordered_at = offered_at, stop_claim = 'tier', lost_card_seconds = 60"
            " WHERE lease_id = $1",
            second.lease,
        )
    world.world.advance(600)
    await world.end(second, EndReason.CANCELLED)
    await world.charge()
    job = await job_of(database, second.lease)
    await world.world.cancel(job)
    await world.leased()
    return world


async def job_of(database: Database, lease: LeaseId) -> JobId:
    async with database.hub() as tx:
        return JobId(await tx.fetchval("SELECT job_id FROM leases WHERE lease_id = $1", lease))


@pytest.mark.parametrize("planted", PLANTED)
async def test_what_is_planted_is_found(used: Charged, dsns: Dsns, planted: str) -> None:
    sql, rules = PLANTED[planted]
    assert await used.findings() == []
    owner = await asyncpg.connect(dsns.owner)
    try:
        await owner.execute("ALTER TABLE lease_captures DISABLE TRIGGER USER")
        for table in ("jobs", "leases", "lease_usage", "lease_captures"):
            await owner.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        await owner.execute(sql)
    finally:
        await owner.close()

    facts = await gather(dsns.hub, dsns.city, {})

    assert {rule.__name__ for rule in RULES for _ in rule(facts)} == rules


def test_every_rule_has_something_planted_that_it_finds() -> None:
    assert {rule for _, rules in PLANTED.values() for rule in rules} == {rule.__name__ for rule in RULES}
