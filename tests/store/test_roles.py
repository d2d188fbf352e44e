"""Nobody whom the broker works as can pass row-level security, and a forgotten WHERE shows nothing foreign."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from broker.postgres import EmbeddedServer
from broker.store.database import Connection, Database, RoleUnusable
from broker.store.migrate import migrate
from tests.conftest import Dsns

OWN, FOREIGN = "ganzhou", "nanjing"

# The catalogue is public: every city may know of the others and of their distances.
PUBLIC = {"cities", "round_trips"}

# One row for each of the two cities in every table that knows cities.
ROWS = """
    INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang');
    INSERT INTO accelerator_models VALUES ('ascend', 'Huawei', 'cann', 'domestic', 0, 1, 0, 0, 0, 'test');
    INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1, 1, 1, 1), ('nanjing', 'Nanjing', 1, 1, 1, 1);
    INSERT INTO round_trips SELECT city, 'qingyang', 1, 'test' FROM cities;
    INSERT INTO transfers SELECT city, 'qingyang', 1, 1, 'test' FROM cities;
    INSERT INTO quotas (hub, guaranteed_milli_pflops) VALUES ('qingyang', 2);
    INSERT INTO quotas (hub, city, guaranteed_milli_pflops) SELECT 'qingyang', city, 1 FROM cities;
    INSERT INTO clusters (cluster, hub, owner, title) VALUES ('c', 'qingyang', 'o', 'C');
    INSERT INTO pools (cluster, pool, model) VALUES ('c', 'p', 'ascend');
    INSERT INTO nodes (cluster, pool_id, node, cards, cpu_milli, memory_mib) VALUES ('c', 1, 'n', 8, 0, 0);
    INSERT INTO shapes (sha256, requirement) VALUES ('x', '{}');
    INSERT INTO rounds (leader_epoch, at, outcome, input_sha256, jobs, placed, stale, objective_micro_yuan_per_hour,
        bound_micro_yuan_per_hour, gap_ppm, effort, snapshot_millis, plan_millis, verify_millis, commit_millis,
        versions, refused_by_reason)
        VALUES (1, now(), 'committed', '', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '{}');
    INSERT INTO jobs (job_id, city, request_key, body_sha256, spec, shape_id, priority,
        ceiling_micro_yuan_per_pflops_hour, walltime_seconds, if_lost, attempts_max, submitted_at)
        SELECT n, city, 'k', 'x', '{}', 1, 'standard', 1, 1, 'hold', 1, now()
          FROM (VALUES (1, 'ganzhou'), (2, 'nanjing')) AS both_cities (n, city);
    INSERT INTO leases (job_id, city, cluster, pool_id, build, epoch, if_lost, round_id, offered_at)
        SELECT job_id, city, 'c', 1, 0, 1, 'hold', 1, now() FROM jobs;
    INSERT INTO lease_usage (lease_id, city) SELECT lease_id, city FROM leases;
    INSERT INTO lease_nodes SELECT lease_id, 1, ARRAY[lease_id::smallint], 1 FROM leases;
    INSERT INTO event_outbox (city, job_id, kind, at) SELECT city, job_id, 'submitted', now() FROM jobs;
    INSERT INTO events SELECT city, 1, job_id, 'submitted', now(), 0 FROM jobs;
    INSERT INTO event_cursors SELECT city, 1 FROM jobs;
    INSERT INTO jobs (job_id, city, request_key, body_sha256, spec, shape_id, priority,
        ceiling_micro_yuan_per_pflops_hour, walltime_seconds, if_lost, attempts_max, submitted_at)
        SELECT job_id + 2, city, 'l', 'x', '{}', 1, 'standard', 1, 1, 'hold', 1, now() FROM jobs;
    INSERT INTO job_upstreams SELECT job_id + 2, job_id, city, false FROM jobs WHERE request_key = 'k';
    INSERT INTO promises
        SELECT job_id, city, 0, 1, '{n}', '{1}', 0, now(), now() + interval '1 hour', now(), NULL, 0, 1, 0, 0, 'pool',
               now(), 1 FROM jobs WHERE request_key = 'l';
    INSERT INTO promise_history (job_id, city, round_id, at, fate, starts_at)
        SELECT job_id, city, 1, now(), 'made', now() FROM promises;
    INSERT INTO expected_starts (job_id, city, attempt, size, first_p50_at, first_p90_at)
        SELECT job_id, city, 0, 0, now(), now() FROM jobs WHERE request_key = 'l';
    INSERT INTO ledger_accounts (name, kind, city, opened_at) SELECT 'city/' || city, 'city', city, now() FROM cities;
    INSERT INTO ledger_accounts (name, kind, owner, opened_at) VALUES ('owner/o', 'owner', 'o', now());
    INSERT INTO ledger_balances SELECT account_id, 6, 4 FROM ledger_accounts WHERE kind = 'city';
    INSERT INTO ledger_transactions (kind, request_key, body_sha256, reference, at, lines)
        SELECT 'deposit', city, sha256('x'), city, now(), 3 FROM cities ORDER BY city;
    INSERT INTO ledger_postings
        SELECT t.transaction_id, l.line, a.account_id, 'available', l.micro_yuan
          FROM ledger_transactions t,
               LATERAL (VALUES (1, 'external', -11), (2, 'city/' || t.reference, 10), (3, 'owner/o', 1))
               AS l (line, name, micro_yuan) JOIN ledger_accounts a USING (name);
    INSERT INTO ledger_holds SELECT transaction_id, request_key, 'r', 'open', now() FROM ledger_transactions;
    INSERT INTO ledger_hold_parts
        SELECT h.hold_id, 1, a.account_id, 4 FROM ledger_holds h JOIN ledger_accounts a USING (city);
    INSERT INTO energy_counts SELECT '2026-01-01', 'c', city, 'ascend', 1, 1000, 1, 1 FROM cities;
    INSERT INTO lease_energy SELECT lease_id, city, 1, 1, 1 FROM leases;
    INSERT INTO ledger_unchained SELECT transaction_id FROM ledger_transactions;
    INSERT INTO paused_queues SELECT city, 'r', now(), 'k' FROM cities;
    INSERT INTO quotes (city, spec, pool_id, build, not_before, starts_by, starts_at, ask_micro_yuan_per_card_hour,
        scarcity_micro_yuan_per_card_hour, rate_card_version, total_micro_yuan, energy_micro_yuan, transfer_micro_yuan,
        transfer_seconds, within_ceiling, asked_at, valid_until)
        SELECT city, '{}', 1, 0, now(), now(), now(), 1, 0, 1, 1, 0, 0, 0, true, now(), now() FROM cities;
    INSERT INTO voucher_programmes VALUES ('p', 'qingyang', 2026, 1, 0, '{}', now());
    INSERT INTO enterprises SELECT city, 'e', city, city, city, city, city, 'company', '{}', now() FROM cities;
    INSERT INTO voucher_applications (city, enterprise, programme, side, provider, contract, contract_plain, micro_yuan,
        scale_milli_pflops, workload_classes, papers, request_key, body_sha256, applied_at)
        SELECT city, 'e', 'p', 'demand', 'o', city, city, 1, 0, '{training}', '{}', 'k', 'x', now() FROM enterprises;
    INSERT INTO vouchers (voucher, city, application_id, programme, hub, enterprise, state, granted_micro_yuan,
        domestic_ppm, other_ppm, workload_classes, scale_milli_pflops, granted_at, valid_until)
        SELECT 'p-' || application_id, city, application_id, 'p', 'qingyang', 'e', 'active', 1, 1, 1, '{}', 0, now(),
               now() FROM voucher_applications;
    INSERT INTO voucher_story (at, event, officer, key_id, city, note, detail)
        SELECT now(), 'applied', '', '', city, '', '{}' FROM enterprises;
"""

TABLES_OF_CITIES = """
    SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'city'
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped
"""
READABLE = "SELECT has_table_privilege($1, 'SELECT')"


@pytest.fixture
async def settled(database: Database) -> Database:
    """A database in which two cities have a row in every table that knows cities."""
    async with database.hub() as tx:
        await tx.execute(ROWS)
    return database


@pytest.fixture
async def expendable_roles(superuser: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A superuser who makes things worse: roles belong to the whole server, so it is put right again afterwards."""
    await superuser.execute("CREATE ROLE one_login LOGIN PASSWORD 'one'")
    yield superuser
    await superuser.execute("ALTER ROLE xisuan_hub NOSUPERUSER NOBYPASSRLS; REVOKE xisuan_owner FROM xisuan_hub")
    await superuser.execute("DROP ROLE one_login")


def logged_in_as(dsn: str, role: str, password: str) -> str:
    """Return the DSN with another login."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


async def tables_of_cities(tx: Connection) -> list[str]:
    """Return the tables with a city that the transaction's role can read at all."""
    found = [row[0] for row in await tx.fetch(TABLES_OF_CITIES)]
    return sorted([name for name in found if await tx.fetchval(READABLE, name)])


async def test_the_roles_are_neither_superusers_nor_owners_nor_above_the_law(database: Database) -> None:
    for transaction in (database.city(OWN), database.hub()):
        async with transaction as tx:
            role = await tx.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
            owned = await tx.fetchval(
                "SELECT count(*) FROM pg_class WHERE pg_has_role(current_user, relowner, 'USAGE')"
            )
            others = await tx.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole")

        assert role is not None
        assert not any(role[power] for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb"))
        assert (owned, others) == (0, 0)


async def test_every_table_of_cities_is_fenced_against_its_owner_too(settled: Database) -> None:
    async with settled.hub() as tx:
        loose = await tx.fetch(
            f"{TABLES_OF_CITIES} AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY c.relname"
        )

    assert {row[0] for row in loose} == PUBLIC


async def test_a_forgotten_where_shows_only_the_own_city(settled: Database) -> None:
    async with settled.city(OWN) as tx:
        tables = await tables_of_cities(tx)
        seen = {table: {row["city"] for row in await tx.fetch(f"SELECT * FROM {table}")} for table in tables}
        nodes = await tx.fetchval("SELECT count(*) FROM lease_nodes")

    assert seen == {table: {OWN, FOREIGN} if table in PUBLIC else {OWN} for table in tables}
    assert {"jobs", "leases", "events", "event_outbox", "event_cursors"} <= seen.keys()
    assert nodes == 1


@pytest.mark.parametrize("city", ["", "no-such-city", "GANZHOU", "ganzhou' OR true --"])
async def test_who_is_no_city_sees_nothing(settled: Database, city: str) -> None:
    async with settled.city(city) as tx:
        for table in [*(set(await tables_of_cities(tx)) - PUBLIC), "lease_nodes"]:
            assert await tx.fetch(f"SELECT * FROM {table}") == [], table


async def test_without_a_city_nothing_is_seen(settled: Database, dsns: Dsns) -> None:
    """A connection of the role that skipped `Database.city`."""
    session = await asyncpg.connect(dsns.city)

    for table in {row[0] for row in await session.fetch(TABLES_OF_CITIES)} - PUBLIC | {"lease_nodes"}:
        assert await session.fetch(f"SELECT * FROM {table}") == [], table
    await session.close()


LEDGER = (
    "ledger_accounts",
    "ledger_balances",
    "ledger_transactions",
    "ledger_postings",
    "ledger_holds",
    "ledger_hold_parts",
)


async def test_books_show_a_city_its_own_accounts_and_what_touches_them(settled: Database) -> None:
    async with settled.city(OWN) as tx:
        seen = {table: len(await tx.fetch(f"SELECT * FROM {table}")) for table in LEDGER}

    assert seen == dict.fromkeys(LEDGER, 1)


async def test_books_show_an_owner_his_own_account_and_no_citys(settled: Database) -> None:
    async with settled.owner("o") as tx:
        names = [row["name"] for row in await tx.fetch("SELECT name FROM ledger_accounts")]
        seen = {table: len(await tx.fetch(f"SELECT * FROM {table}")) for table in LEDGER}
        jobs = await tx.fetch("SELECT * FROM jobs")
    async with settled.owner("nobody") as tx:
        unseen = [await tx.fetch(f"SELECT * FROM {table}") for table in LEDGER]

    assert (names, jobs) == (["owner/o"], [])
    assert seen == dict.fromkeys(LEDGER, 0) | {"ledger_accounts": 1, "ledger_transactions": 2, "ledger_postings": 2}
    assert unseen == [[]] * len(LEDGER)


@pytest.mark.parametrize("table", [*LEDGER, "ledger_unchained", "ledger_chain"])
async def test_cities_and_owners_write_nothing_into_the_books(settled: Database, table: str) -> None:
    for statement in (f"INSERT INTO {table} DEFAULT VALUES", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with settled.city(OWN) as tx:
                await tx.execute(statement)


@pytest.mark.parametrize("table", ["ledger_transactions", "ledger_postings", "ledger_chain"])
async def test_what_is_posted_cannot_be_changed_by_the_hub_nor_by_the_owner_of_the_tables(
    settled: Database, dsns: Dsns, table: str
) -> None:
    column = {"ledger_postings": "micro_yuan = -micro_yuan", "ledger_chain": "position = position + 1"}.get(
        table, "reference = 'x'"
    )
    owner = await asyncpg.connect(dsns.owner)
    for statement in (f"UPDATE {table} SET {column}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with settled.hub() as tx:
                await tx.execute(statement)
        with pytest.raises(asyncpg.RestrictViolationError, match="never changed or removed"):
            await owner.execute(statement)
    await owner.close()


@pytest.mark.parametrize("lines", ["(3, 1, 2)", "(3, 1, 2), (3, 2, -1)", "(3, 1, 2), (3, 2, -1), (3, 3, -1)"])
async def test_postings_that_are_not_balanced_or_not_whole_are_refused_by_the_tables(
    settled: Database, lines: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="not balanced, or not all of them"):
        async with settled.hub() as tx:
            await tx.execute(
                "INSERT INTO ledger_transactions (kind, request_key, body_sha256, reference, at, lines)"
                " VALUES ('deposit', 'n', sha256('x'), 'r', now(), 2);"
                " INSERT INTO ledger_postings (transaction_id, line, account_id, pocket, micro_yuan)"
                f" SELECT t, l, 1, 'available', m FROM (VALUES {lines}) AS v (t, l, m)"
            )


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO event_outbox (city, job_id, kind, at) VALUES ('nanjing', 2, 'submitted', now())",
        'INSERT INTO jobs SELECT (j).* FROM (SELECT jsonb_populate_record(j, \'{"job_id": 9, "city": "nanjing"}\') AS j'
        " FROM jobs j) AS forged",
        "UPDATE jobs SET city = 'nanjing'",
    ],
)
async def test_nothing_can_be_written_for_another_city(settled: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with settled.city(OWN) as tx:
            await tx.execute(statement)


async def test_an_update_does_not_reach_another_city(settled: Database) -> None:
    async with settled.city(OWN) as tx:
        said = await tx.execute("UPDATE jobs SET waiting_reason = 'mine'")

    async with settled.hub() as tx:
        touched = await tx.fetch("SELECT city FROM jobs WHERE waiting_reason = 'mine'")
    assert said == "UPDATE 2"
    assert {row["city"] for row in touched} == {OWN}


async def test_one_login_that_may_take_both_roles_is_enough(dsns: Dsns, expendable_roles: asyncpg.Connection) -> None:
    """So a broker can be given a single DSN of somebody else's PostgreSQL."""
    await expendable_roles.execute("GRANT xisuan_city, xisuan_hub TO one_login")
    one = logged_in_as(dsns.hub, "one_login", "one")

    database = await Database.connect(one, one)
    async with database.city(OWN) as tx:
        as_city = await tx.fetchval("SELECT current_user")
    async with database.hub() as tx:
        as_hub = await tx.fetchval("SELECT current_user")
    await database.close()

    assert (as_city, as_hub) == ("xisuan_city", "xisuan_hub")


@pytest.mark.parametrize(
    "harm", ["ALTER ROLE xisuan_hub SUPERUSER", "ALTER ROLE xisuan_hub BYPASSRLS", "GRANT xisuan_owner TO xisuan_hub"]
)
async def test_a_role_that_could_pass_the_fence_is_refused(
    dsns: Dsns, expendable_roles: asyncpg.Connection, harm: str
) -> None:
    await expendable_roles.execute(harm)

    with pytest.raises(RoleUnusable, match="xisuan_hub could pass row-level security"):
        await Database.connect(dsns.city, dsns.hub)


async def test_a_login_that_may_not_take_the_role_is_told_what_to_grant(
    dsns: Dsns, expendable_roles: asyncpg.Connection
) -> None:
    with pytest.raises(RoleUnusable, match="GRANT xisuan_city TO it"):
        await Database.connect(logged_in_as(dsns.city, "one_login", "one"), dsns.hub)


async def test_a_wrong_password_is_refused(dsns: Dsns) -> None:
    with pytest.raises(RoleUnusable, match="refuses the login"):
        await Database.connect(dsns.city, logged_in_as(dsns.hub, "xisuan_hub", "guess"))


async def test_a_login_that_may_make_roles_can_migrate_and_then_serve_alone(server: EmbeddedServer) -> None:
    """The whole life on somebody else's PostgreSQL: one login, no superuser, no roles beforehand."""
    session = await asyncpg.connect(server.dsn("postgres"))
    await session.execute("DROP ROLE xisuan_city")
    await session.execute("DROP ROLE xisuan_hub")
    await session.execute("CREATE ROLE one_login LOGIN CREATEROLE PASSWORD 'one'")
    await session.execute("CREATE DATABASE theirs OWNER one_login")
    await session.close()
    one = logged_in_as(server.dsn("postgres", "theirs"), "one_login", "one")

    with pytest.raises(RoleUnusable, match="has no role xisuan_city yet: run `xisuan migrate`"):
        await Database.connect(one, one)
    await migrate(one)
    database = await Database.connect(one, one)
    async with database.hub() as tx:
        await tx.execute(ROWS)
    async with database.city(OWN) as tx:
        seen = await tx.fetch("SELECT city FROM jobs")
    await database.close()

    assert {row["city"] for row in seen} == {OWN}
