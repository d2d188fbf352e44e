"""The audit of quotes over a real database: good work has no findings, and what is planted is found by its rule."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from broker.audit import tables
from broker.audit.quoted import RULES
from broker.lifecycle import QuoteState
from broker.store.database import Database
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.quoting import ASK, ahead, lay

TOTAL = ASK * 8 // 6


# What a restore may have left out: foreign keys, checks, triggers, and row-level security for the owner.
WITHOUT_FENCES = """
    DO $$ DECLARE f record; BEGIN
        FOR f IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
                  WHERE contype IN ('f', 'c') AND connamespace = 'public'::regnamespace AND conrelid <> 0
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', f.of, f.conname); END LOOP;
        FOR f IN SELECT oid::regclass AS of FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        LOOP EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER', f.of); END LOOP;
    END $$
"""


@dataclass
class Scene:
    """Quote 1 was missed and credited; quote 2 was kept, and its job runs; quote 3 is for a window that lies ahead."""

    dsns: Dsns
    owner: asyncpg.Connection

    async def rules_broken(self) -> set[str]:
        facts = await tables.read(self.dsns.hub, self.dsns.city)
        return {rule.__name__ for rule in RULES if list(rule(facts))}


@pytest.fixture
async def scene(database: Database, dsns: Dsns) -> AsyncIterator[Scene]:
    table = await lay(ClusterWorld(database))
    await table.prepaid(10 * TOTAL)
    missed = await table.booked(key="a")
    table.world.advance((missed.terms.starts_by - table.world.now + timedelta(seconds=31)).total_seconds())
    await table.ends_of_quotes()
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE jobs SET state = 'cancelled', ended_at = $1, end_reason = 'cancelled'", table.world.now
        )
    await table.ends_of_quotes()
    await table.submit(cards_per_task=1, walltime_seconds=60)
    await table.round()
    kept = await table.booked(key="b", cards_per_task=4)
    await table.round()
    await table.ends_of_quotes()
    ahead_of_it = await table.booked(key="c", window=ahead(table.world.now, 7200))
    states = [(await table.quote(each)).state for each in (missed, kept, ahead_of_it)]
    assert states == [QuoteState.MISSED, QuoteState.KEPT, QuoteState.ACCEPTED]
    assert [each.quote for each in (missed, kept, ahead_of_it)] == [1, 2, 3]
    connection = await asyncpg.connect(dsns.owner)
    try:
        await connection.execute(WITHOUT_FENCES)
        yield Scene(dsns, connection)
    finally:
        await connection.close()


JOB_AND_HOLD = "every_accepted_quote_has_its_job_and_its_hold"
SURE_START = "every_accepted_quote_waits_for_a_sure_start_or_is_over"
CREDIT = "every_missed_quote_is_credited_once"
PRICE = "quoted_jobs_pay_what_was_quoted"

PLANTED = [
    (JOB_AND_HOLD, "DELETE FROM jobs WHERE job_id = (SELECT job_id FROM quotes WHERE quote_id = 3)"),
    (JOB_AND_HOLD, "UPDATE jobs SET city = 'nanjing' WHERE job_id = (SELECT job_id FROM quotes WHERE quote_id = 3)"),
    (JOB_AND_HOLD, "UPDATE quotes SET hold_id = NULL WHERE quote_id = 3"),
    (JOB_AND_HOLD, "UPDATE quotes SET hold_id = (SELECT hold_id FROM quotes WHERE quote_id = 2) WHERE quote_id = 3"),
    (JOB_AND_HOLD, "UPDATE ledger_holds SET reference = 'quote-3' WHERE reference = 'quote-2'"),
    (JOB_AND_HOLD, "UPDATE quotes SET total_micro_yuan = total_micro_yuan + 1 WHERE quote_id = 2"),
    (JOB_AND_HOLD, "UPDATE ledger_holds SET city = 'nanjing'"),
    (SURE_START, "DELETE FROM promises"),
    (SURE_START, "UPDATE quotes SET not_before = not_before + interval '1 minute', starts_at = starts_by"
                 " WHERE quote_id = 2"),
    (SURE_START, "UPDATE quotes SET state = 'kept' WHERE quote_id = 1"),
    (SURE_START, "UPDATE quotes SET state = 'missed', credit_micro_yuan = 0 WHERE quote_id = 2"),
    (SURE_START, "UPDATE quotes SET state = 'cancelled' WHERE quote_id = 2"),
    (SURE_START, "UPDATE leases SET offered_at = offered_at + interval '1 day'"),
    (CREDIT, "UPDATE quotes SET credit_micro_yuan = NULL WHERE quote_id = 1"),
    (CREDIT, "UPDATE quotes SET credit_micro_yuan = credit_micro_yuan + 1 WHERE quote_id = 1"),
    (CREDIT, "UPDATE ledger_transactions SET reference = 'quote-2' WHERE kind = 'credit_note'"),
    (PRICE, "UPDATE leases SET ask_micro_yuan_per_card_hour = ask_micro_yuan_per_card_hour - 1"),
    (PRICE, "UPDATE leases SET rate_card_version = 7"),
    (PRICE, "UPDATE quotes SET pool_id = 99, ask_micro_yuan_per_card_hour = 1 WHERE quote_id = 2"),
    (PRICE, "UPDATE leases SET hold_id = NULL"),
]  # fmt: skip


async def test_good_work_has_no_findings(scene: Scene) -> None:
    assert await scene.rules_broken() == set()


@pytest.mark.parametrize(("rule", "sql"), PLANTED, ids=[f"{rule}-{i}" for i, (rule, _) in enumerate(PLANTED)])
async def test_what_is_planted_is_found(scene: Scene, rule: str, sql: str) -> None:
    await scene.owner.execute(sql)

    assert rule in await scene.rules_broken()


def test_every_rule_is_broken_here_at_least_once() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, _ in PLANTED}
