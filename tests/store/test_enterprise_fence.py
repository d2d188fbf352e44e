"""The second fence of an enterprise: its transaction shows what is its own, whatever a query forgets."""

from typing import Any

import asyncpg
import pytest

from broker.audit import tables
from broker.store.database import Connection, Database
from tests.conftest import Dsns
from tests.store.test_roles import LEDGER, OWN, PUBLIC, ROWS, TABLES_OF_CITIES, tables_of_cities

# Of the city, and seen by each of its enterprises: where its events end, and what moving its data takes.
SHARED = PUBLIC | {"event_cursors", "transfers", "paused_queues"}

# Of the whole city, and of no enterprise.
OF_THE_CITY = {"energy_counts"}

# One row for each of two enterprises of one city, in every table that tells of jobs, money or vouchers.
MORE_ROWS = """
    INSERT INTO enterprises VALUES ('ganzhou', 'f', 'f', 'f', 'f', 'f', 'f', 'company', '{}', now());
    INSERT INTO quotas (hub, city, enterprise, guaranteed_milli_pflops) VALUES ('qingyang', 'ganzhou', 'e', 1),
                                                                              ('qingyang', 'ganzhou', 'f', 1);
    INSERT INTO jobs (job_id, city, enterprise, request_key, body_sha256, spec, shape_id, priority,
        ceiling_micro_yuan_per_pflops_hour, walltime_seconds, if_lost, attempts_max, submitted_at)
        SELECT n, 'ganzhou', e, e || n, 'x', '{}', 1, 'standard', 1, 1, 'hold', 1, now()
          FROM (VALUES (11, 'e'), (12, 'f'), (13, 'e'), (14, 'f')) AS v (n, e);
    INSERT INTO leases (job_id, city, cluster, pool_id, build, epoch, if_lost, round_id, offered_at)
        SELECT job_id, city, 'c', 1, 0, 1, 'hold', 1, now() FROM jobs WHERE job_id IN (11, 12);
    INSERT INTO lease_usage (lease_id, city) SELECT lease_id, city FROM leases WHERE job_id > 10;
    INSERT INTO lease_nodes SELECT lease_id, 1, ARRAY[lease_id::smallint], 1 FROM leases WHERE job_id > 10;
    INSERT INTO lease_policies SELECT lease_id, '{}', repeat('x', 64)::bytea FROM leases WHERE job_id > 10;
    INSERT INTO lease_energy SELECT lease_id, city, 1, 1, 1 FROM leases WHERE job_id > 10;
    INSERT INTO event_outbox (city, job_id, kind, at) SELECT city, job_id, 'submitted', now()
        FROM leases WHERE job_id > 10;
    INSERT INTO events SELECT city, job_id, job_id, 'submitted', now(), 0 FROM leases WHERE job_id > 10;
    UPDATE event_cursors SET last = 12 WHERE city = 'ganzhou';
    INSERT INTO job_upstreams VALUES (13, 11, 'ganzhou', false), (14, 12, 'ganzhou', false);
    INSERT INTO promises
        SELECT job_id, city, 0, 1, '{n}', '{1}', 0, now(), now() + interval '1 hour', now(), NULL, 0, 1, 0, 0, 'pool',
               now(), 1 FROM jobs WHERE job_id IN (13, 14);
    INSERT INTO promise_history (job_id, city, round_id, at, fate, starts_at)
        SELECT job_id, city, 1, now(), 'made', now() FROM promises WHERE job_id > 10;
    INSERT INTO expected_starts (job_id, city, attempt, size, first_p50_at, first_p90_at)
        SELECT job_id, city, 0, 0, now(), now() FROM jobs WHERE job_id IN (13, 14);
    INSERT INTO voucher_applications (city, enterprise, programme, side, provider, contract, contract_plain, micro_yuan,
        scale_milli_pflops, workload_classes, papers, request_key, body_sha256, applied_at)
        VALUES ('ganzhou', 'f', 'p', 'demand', 'o', 'f', 'f', 1, 0, '{training}', '{}', 'f', 'x', now());
    INSERT INTO vouchers (voucher, city, application_id, programme, hub, enterprise, state, granted_micro_yuan,
        domestic_ppm, other_ppm, workload_classes, scale_milli_pflops, granted_at, valid_until)
        SELECT 'p-' || application_id, city, application_id, 'p', 'qingyang', 'f', 'active', 1, 1, 1, '{}', 0, now(),
               now() FROM voucher_applications WHERE enterprise = 'f';
    INSERT INTO voucher_story (at, event, officer, key_id, city, enterprise, note, detail)
        SELECT now(), 'applied', '', '', 'ganzhou', e, '', '{}' FROM (VALUES ('e'), ('f')) AS v (e);
    INSERT INTO ledger_accounts (name, kind, city, opened_at)
        SELECT 'enterprise/ganzhou/' || e, 'enterprise', 'ganzhou', now() FROM (VALUES ('e'), ('f')) AS v (e)
         UNION ALL SELECT 'voucher/ganzhou/' || voucher, 'voucher', city, now() FROM vouchers WHERE city = 'ganzhou'
         UNION ALL SELECT 'voucher/ganzhou/' || voucher || '-rest', 'voucher', city, now()
                     FROM vouchers WHERE city = 'ganzhou'
         UNION ALL SELECT 'enterprise/nanjing/e', 'enterprise', 'nanjing', now();
    INSERT INTO ledger_balances SELECT account_id, 3, 4 FROM ledger_accounts WHERE kind IN ('enterprise', 'voucher');
    INSERT INTO ledger_transactions (kind, request_key, body_sha256, reference, at, lines)
        SELECT 'hold', 'of-' || e, sha256('x'), e, now(), 2 FROM (VALUES ('e'), ('f')) AS v (e);
    INSERT INTO ledger_postings
        SELECT t.transaction_id, l.line, a.account_id, 'available', l.micro_yuan
          FROM ledger_transactions t,
               LATERAL (VALUES (1, 'city/ganzhou', -10), (2, 'enterprise/ganzhou/' || t.reference, 10))
               AS l (line, name, micro_yuan) JOIN ledger_accounts a USING (name) WHERE t.kind = 'hold';
    INSERT INTO ledger_holds
        SELECT transaction_id, 'ganzhou', 'r', 'open', now() FROM ledger_transactions WHERE kind = 'hold';
    INSERT INTO ledger_hold_parts
        SELECT t.transaction_id, p.line, p.account_id, 10 FROM ledger_transactions t JOIN ledger_postings p
         USING (transaction_id) WHERE t.kind = 'hold';
    INSERT INTO lease_captures SELECT t.transaction_id, l.lease_id, 1, false
      FROM ledger_transactions t JOIN jobs j ON j.enterprise = t.reference JOIN leases l USING (job_id)
     WHERE kind = 'hold';
    INSERT INTO quotes (city, spec, pool_id, build, not_before, starts_by, starts_at, ask_micro_yuan_per_card_hour,
        scarcity_micro_yuan_per_card_hour, rate_card_version, total_micro_yuan, energy_micro_yuan, transfer_micro_yuan,
        transfer_seconds, within_ceiling, asked_at, valid_until)
        SELECT 'ganzhou', jsonb_build_object('enterprise', e), 1, 0, now(), now(), now(), 1, 0, 1, 1, 0, 0, 0, true,
               now(), now() FROM (VALUES ('e'), ('f')) AS v (e);
"""
# Readable by the city's role and without a city of their own: they follow what they hang on.
FOLLOWING = {
    "lease_nodes", "lease_policies", "lease_captures", "ledger_balances", "ledger_transactions", "ledger_postings",
    "ledger_hold_parts",
}  # fmt: skip


@pytest.fixture
async def settled(database: Database) -> Database:
    """Two cities, and in one of them two enterprises, each with a row in every table that could tell of it."""
    async with database.hub() as tx:
        await tx.execute(ROWS)
        await tx.execute(MORE_ROWS)
    return database


async def seen(tx: Connection) -> dict[str, set[Any]]:
    """Return all rows of all tables that have a city or hang on one that has."""
    tables = {*await tables_of_cities(tx), *FOLLOWING} - SHARED
    return {table: {tuple(map(str, row)) for row in await tx.fetch(f"SELECT * FROM {table}")} for table in tables}


async def test_a_forgotten_where_shows_only_the_own_enterprise(settled: Database) -> None:
    async with settled.city(OWN, "e") as tx:
        own = await seen(tx)
    async with settled.city(OWN, "f") as tx:
        others = await seen(tx)
    async with settled.city(OWN) as tx:
        citys = await seen(tx)

    assert [table for table in own if own[table] & others[table]] == []
    assert {table for table in own if not own[table]} == OF_THE_CITY
    assert [table for table in own if not own[table] | others[table] <= citys[table]] == []
    assert {name for row in own["ledger_accounts"] for name in row if "/" in name} == {
        "enterprise/ganzhou/e", "voucher/ganzhou/p-1", "voucher/ganzhou/p-1-rest",
    }  # fmt: skip
    assert {table: len(own[table]) for table in LEDGER} == {
        "ledger_accounts": 3, "ledger_balances": 3, "ledger_transactions": 1, "ledger_postings": 1, "ledger_holds": 1,
        "ledger_hold_parts": 1,
    }  # fmt: skip


async def test_every_table_of_cities_has_the_second_fence(settled: Database) -> None:
    """A new one has it, or is named here and explained."""
    async with settled.hub() as tx:
        fenced = await tx.fetch("SELECT tablename FROM pg_policies WHERE permissive = 'RESTRICTIVE'")
        readable = await tx.fetch(f"{TABLES_OF_CITIES} AND has_table_privilege('xisuan_city', c.oid, 'SELECT')")

    assert {row[0] for row in readable} - {row[0] for row in fenced} == SHARED - {"cities", "round_trips"}


@pytest.mark.parametrize("enterprise", ["no-such", "E", "e' OR true --", "%", "_", "e/f"])
async def test_who_is_no_enterprise_sees_nothing(settled: Database, enterprise: str) -> None:
    async with settled.city(OWN, enterprise) as tx:
        assert {table for table, rows in (await seen(tx)).items() if rows} == set()


async def test_an_enterprise_of_that_name_in_another_city_is_another_one(settled: Database) -> None:
    async with settled.city("nanjing", "e") as tx:
        found = await seen(tx)

    assert {table for table, rows in found.items() if rows} == {
        "enterprises", "voucher_applications", "vouchers", "ledger_accounts", "ledger_balances",
    }  # fmt: skip


async def test_a_transaction_after_it_is_the_whole_citys_again(settled: Database) -> None:
    """The setting ends with its transaction, and connections are shared."""
    async with settled.city(OWN, "e") as tx:
        one = await tx.fetchval("SELECT count(*) FROM jobs")
    async with settled.city(OWN) as tx:
        all_of_them = await tx.fetchval("SELECT count(*) FROM jobs")

    assert (one, all_of_them) == (2, 6)


async def test_an_update_does_not_reach_another_enterprise_nor_the_city(settled: Database) -> None:
    async with settled.city(OWN, "e") as tx:
        said = await tx.execute("UPDATE jobs SET waiting_reason = 'mine'")

    async with settled.hub() as tx:
        touched = await tx.fetch("SELECT DISTINCT city, enterprise FROM jobs WHERE waiting_reason = 'mine'")
    assert said == "UPDATE 2"
    assert [tuple(row) for row in touched] == [(OWN, "e")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET enterprise = 'f'",
        "UPDATE jobs SET enterprise = ''",
        "INSERT INTO event_outbox (city, job_id, kind, at) VALUES ('ganzhou', 12, 'submitted', now())",
        "INSERT INTO job_upstreams VALUES (14, 11, 'ganzhou', false)",
    ],
)
async def test_nothing_can_be_written_for_another_enterprise(settled: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with settled.city(OWN, "e") as tx:
            await tx.execute(statement)


async def test_the_planner_takes_a_citys_rows_for_its_rows(settled: Database, dsns: Dsns) -> None:
    """A fence that it takes to be shut would make every query of a city one for a row or two."""
    many = (
        "INSERT INTO jobs (job_id, city, request_key, body_sha256, spec, shape_id, priority,"
        " ceiling_micro_yuan_per_pflops_hour, walltime_seconds, if_lost, attempts_max, submitted_at)"
        " SELECT n, 'ganzhou', 'n' || n, 'x', '{}', 1, 'standard', 1, 1, 'hold', 1, now()"
        " FROM generate_series(1000, 1999) AS n"
    )
    async with settled.hub() as tx:
        await tx.execute(many)
    owner = await asyncpg.connect(dsns.owner)
    await owner.execute("ANALYZE jobs")
    await owner.close()
    async with settled.city(OWN) as tx:
        plan = await tx.fetchval("EXPLAIN (FORMAT JSON) SELECT * FROM jobs WHERE city = 'ganzhou'")

    assert int(plan.partition('"Plan Rows": ')[2].partition(",")[0]) > 900, plan


async def test_the_audit_finds_a_hole_in_the_second_fence(settled: Database, dsns: Dsns) -> None:
    async with settled.hub() as tx:
        await tx.execute(
            "INSERT INTO api_keys (key_id, secret_sha256, role, subject, created_at)"
            " VALUES ('k', 'x', 'enterprise', 'ganzhou/e', now())"
        )
    whole = (await tables.read(dsns.hub, dsns.city)).foreign_rows
    owner = await asyncpg.connect(dsns.owner)
    await owner.execute("DROP POLICY own_enterprise ON jobs")
    await owner.close()
    holed = (await tables.read(dsns.hub, dsns.city)).foreign_rows

    assert not any(whole.values())
    assert {name for name in whole if name.endswith(" of enterprises")} >= {
        f"{table} of enterprises" for table in ("jobs", "quotas", "vouchers", "voucher_applications", "voucher_story")
    }
    assert {name: rows for name, rows in holed.items() if rows} == {"jobs of enterprises": 4}
