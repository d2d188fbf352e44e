"""Migrations: in order, once, unchanged, one migrator at a time, and only forward."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from broker.postgres import EmbeddedServer
from broker.store.migrate import (
    MIGRATIONS,
    DatabaseNewer,
    MigrationChanged,
    MigrationFailed,
    MigrationsMisnumbered,
    MigratorCannotConnect,
    ensure,
    migrate,
    pending,
    read,
)
from tests.conftest import Dsns

FIRST = "CREATE TABLE first (n int); INSERT INTO first VALUES (1);"
SECOND = "CREATE TABLE second AS SELECT n + 1 AS n FROM first;"
INDEX = "-- no-transaction\nCREATE INDEX CONCURRENTLY first_n ON first (n);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two migrations, the second of which needs the first."""
    (tmp_path / "0001_first.sql").write_text(FIRST)
    (tmp_path / "0002_second.sql").write_text(SECOND)
    return tmp_path


async def value(dsn: str, query: str) -> object:
    """Return what the owner sees."""
    session = await asyncpg.connect(dsn)
    try:
        return await session.fetchval(query)
    finally:
        await session.close()


async def test_files_run_in_order_and_once(empty_dsns: Dsns, folder: Path) -> None:
    first = await migrate(empty_dsns.owner, folder)
    again = await migrate(empty_dsns.owner, folder)

    assert [m.name for m in first] == ["0001_first.sql", "0002_second.sql"]
    assert again == []
    assert await value(empty_dsns.owner, "SELECT n FROM second") == 2


async def test_a_later_file_is_added_to_what_is_there(empty_dsns: Dsns, folder: Path) -> None:
    await migrate(empty_dsns.owner, folder)
    (folder / "0003_index.sql").write_text(INDEX)

    added = await migrate(empty_dsns.owner, folder)

    assert [(m.number, m.transactional) for m in added] == [(3, False)]
    assert await value(empty_dsns.owner, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'first_n'::regclass")


async def test_a_dry_run_tells_and_changes_nothing(empty_dsns: Dsns, folder: Path) -> None:
    told = await pending(empty_dsns.owner, folder)
    tables = await value(empty_dsns.owner, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")

    assert told == await migrate(empty_dsns.owner, folder)
    assert tables == 0
    assert await pending(empty_dsns.owner, folder) == []


async def test_a_changed_file_is_refused_before_anything_runs(empty_dsns: Dsns, folder: Path) -> None:
    await migrate(empty_dsns.owner, folder)
    (folder / "0001_first.sql").write_text(FIRST + " -- better")
    (folder / "0003_index.sql").write_text(INDEX)

    for attempt in (migrate, pending):
        with pytest.raises(MigrationChanged, match=r"0001_first\.sql is not what was applied"):
            await attempt(empty_dsns.owner, folder)
    assert await value(empty_dsns.owner, "SELECT max(number) FROM schema_migrations") == 2


async def test_a_newer_database_is_refused(empty_dsns: Dsns, folder: Path) -> None:
    await migrate(empty_dsns.owner, folder)
    (folder / "0002_second.sql").unlink()

    for attempt in (migrate, pending):
        with pytest.raises(DatabaseNewer, match=r"at 0002_second\.sql, newer than this program"):
            await attempt(empty_dsns.owner, folder)


async def test_a_failing_file_leaves_nothing_of_itself_and_all_before_it(empty_dsns: Dsns, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("CREATE TABLE half (n int); SELECT * FROM nowhere;")

    with pytest.raises(
        MigrationFailed, match=r'0002_second\.sql failed: relation "nowhere" does not exist; nothing of'
    ):
        await migrate(empty_dsns.owner, folder)

    assert await value(empty_dsns.owner, "SELECT to_regclass('half') IS NULL AND to_regclass('first') IS NOT NULL")
    (folder / "0002_second.sql").write_text(SECOND)
    assert [m.number for m in await migrate(empty_dsns.owner, folder)] == [2]


@pytest.mark.parametrize("left", ["CREATE INDEX first_n ON first (n)", "CREATE INDEX first_n ON first (n, n)"])
async def test_an_index_whose_migrator_died_before_its_note_is_made_again(
    empty_dsns: Dsns, folder: Path, left: str
) -> None:
    """Without a transaction, whole or broken off: "run it again" is all that anybody has to do."""
    await migrate(empty_dsns.owner, folder)
    await value(empty_dsns.owner, left)
    (folder / "0003_index.sql").write_text(INDEX)

    assert [m.number for m in await migrate(empty_dsns.owner, folder)] == [3]

    assert await value(empty_dsns.owner, "SELECT indnatts FROM pg_index WHERE indexrelid = 'first_n'::regclass") == 1


async def test_of_four_migrators_at_once_one_works(empty_dsns: Dsns, folder: Path) -> None:
    """With an index built concurrently among the files: waiting inside the lock would deadlock with it."""
    (folder / "0003_index.sql").write_text(INDEX)

    done = await asyncio.gather(*(migrate(empty_dsns.owner, folder) for _ in range(4)))

    assert sorted(len(applied) for applied in done) == [0, 0, 0, 3]


async def test_a_killed_migrator_leaves_no_lock(empty_dsns: Dsns, folder: Path) -> None:
    (folder / "0003_slow.sql").write_text("SELECT pg_sleep(60);")
    migrator = asyncio.create_task(migrate(empty_dsns.owner, folder))
    session = await asyncpg.connect(empty_dsns.owner)
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    while (pid := await session.fetchval(sleeping)) is None:
        assert not migrator.done()

    await session.fetchval("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(MigratorCannotConnect, match=r"went away.*run it again"):
        await migrator
    (folder / "0003_slow.sql").unlink()

    assert await asyncio.wait_for(migrate(empty_dsns.owner, folder), timeout=10) == []
    await session.close()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c.sql: number 0002 is due here"),
        (["0001_a.sql", "0001_b.sql"], "0001_b.sql: number 0002 is due here"),
        (["0002_b.sql"], "0002_b.sql: number 0001 is due here"),
        (["1_a.sql"], "1_a.sql: a migration is named"),
        (["0001_A.sql"], "0001_A.sql: a migration is named"),
    ],
)
def test_numbers_run_without_gaps_or_twins(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        (tmp_path / name).touch()

    with pytest.raises(MigrationsMisnumbered, match=said):
        read(tmp_path)


async def test_no_server_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(MigratorCannotConnect, match="check the DSN"):
        await migrate(f"postgresql://nobody@/nothing?host={tmp_path}")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://xisuan:pa@ss:word@127.0.0.1/xisuan",
        "postgresql://xisuan:password@127.0.0.1:99999/xisuan",
        "postgresql://xisuan:password@127.0.0.1:password/xisuan",
        "mysql://xisuan:password@127.0.0.1/xisuan",
        "password",
    ],
)
async def test_a_wrong_dsn_is_told_without_its_password(dsn: str) -> None:
    """What a parser stumbles over is as a rule a part of the password."""
    with pytest.raises(MigratorCannotConnect, match="this is no DSN: write postgresql://") as told:
        await migrate(dsn)

    assert "word" not in str(told.value).replace("password as", "").replace("password ", "")


async def test_the_programs_own_migrations_are_complete_after_one_run(dsns: Dsns) -> None:
    assert len(read()) >= 3
    assert await pending(dsns.owner) == []


async def test_jobs_of_the_release_before_are_given_their_grace(empty_dsns: Dsns, tmp_path: Path) -> None:
    """The owner sees no row of a city, and has to fill a column of them all the same."""
    for file in sorted(MIGRATIONS.glob("000[1-6]_*.sql")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    await migrate(empty_dsns.owner, tmp_path)
    session = await asyncpg.connect(empty_dsns.hub)
    await session.execute("""
        INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1, 1, 1, 1);
        INSERT INTO shapes (sha256, requirement) VALUES ('x', '{}');
        INSERT INTO jobs (city, request_key, body_sha256, spec, shape_id, priority, ceiling_micro_yuan_per_pflops_hour,
                          walltime_seconds, if_lost, attempts_max, submitted_at)
        SELECT 'ganzhou', key, 'x', jsonb_build_object('grace_seconds', grace), 1, 'standard', 1, 1, 'hold', 1, now()
          FROM (VALUES ('none', 0), ('some', 30)) AS both_jobs (key, grace);
    """)

    await migrate(empty_dsns.owner)

    found = await session.fetch("SELECT request_key, grace_seconds FROM jobs")
    fence = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'jobs'::regclass"
    assert {r["request_key"]: r["grace_seconds"] for r in found} == {"none": 0, "some": 30}
    assert await session.fetchval(fence)
    await session.close()


async def test_asks_of_the_release_before_become_rate_cards(empty_dsns: Dsns, tmp_path: Path) -> None:
    """They hold from ever on, so that no hour is without an ask."""
    files = sorted(MIGRATIONS.glob("*.sql"))
    prices = next(file for file in files if file.name.endswith("_prices.sql"))
    for file in files[: files.index(prices)]:
        (tmp_path / file.name).write_text(file.read_text())
    await migrate(empty_dsns.owner, tmp_path)
    session = await asyncpg.connect(empty_dsns.owner)
    await session.execute(
        """INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang');
           INSERT INTO accelerator_models VALUES ('a800', 'NVIDIA', 'cuda', 'foreign', 0, 1, 0, 0, 0, 'test');
           INSERT INTO clusters (cluster, hub, owner, title) VALUES ('east', 'qingyang', 'owner', 'East');
           INSERT INTO asks VALUES ('east', 'a800', 3500000)"""
    )

    await migrate(empty_dsns.owner)

    [card] = await session.fetch("SELECT * FROM rate_cards")
    await session.close()
    assert card["asks_micro_yuan_per_card_hour"] == [3_500_000] * 24
    assert (card["version"], card["valid_from"].year, card["valid_until"]) == (1, 1970, None)


async def test_work_that_runs_during_an_upgrade_keeps_its_lease_and_is_not_being_stopped(
    empty_dsns: Dsns, tmp_path: Path
) -> None:
    """A hub of the release without preemption, with a job that runs and its story."""
    files = sorted(MIGRATIONS.glob("*.sql"))
    new = next(file for file in files if file.name.endswith("_preemption.sql"))
    for file in files[: files.index(new)]:
        (tmp_path / file.name).write_text(file.read_text())
    await migrate(empty_dsns.owner, tmp_path)
    hub = await asyncpg.connect(empty_dsns.owner)
    await hub.execute(
        """INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang');
           INSERT INTO accelerator_models VALUES ('a800', 'NVIDIA', 'cuda', 'foreign', 0, 1, 0, 0, 0, 'test');
           INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1, 1000, 1000, 1);
           INSERT INTO clusters (cluster, hub, owner, title) VALUES ('east', 'qingyang', 'owner', 'East');
           INSERT INTO pools (cluster, pool, model) VALUES ('east', 'main', 'a800');
           INSERT INTO shapes (sha256, requirement) VALUES ('x', '{}');
           ALTER TABLE jobs NO FORCE ROW LEVEL SECURITY; ALTER TABLE leases NO FORCE ROW LEVEL SECURITY;
           ALTER TABLE event_outbox NO FORCE ROW LEVEL SECURITY;
           INSERT INTO jobs (city, request_key, body_sha256, spec, shape_id, priority, walltime_seconds, if_lost,
                             ceiling_micro_yuan_per_pflops_hour, attempts_max, state, attempt, submitted_at,
                             preemptible)
           SELECT 'ganzhou', 'runs', 'x', '{}', shape_id, 'standard', 60, 'hold', 1, 1, 'running', 1, now(), true
             FROM shapes;
           INSERT INTO rounds (leader_epoch, at, outcome, input_sha256, jobs, placed, stale,
                               objective_micro_yuan_per_hour, bound_micro_yuan_per_hour, gap_ppm, effort,
                               snapshot_millis, plan_millis, verify_millis, commit_millis, versions, refused_by_reason)
           VALUES (1, now(), 'committed', '', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '{}');
           INSERT INTO leases (job_id, city, cluster, pool_id, build, epoch, if_lost, state, round_id, offered_at,
                               started_at)
           SELECT job_id, 'ganzhou', 'east', pool_id, 0, 1, 'hold', 'active', round_id, now(), now()
             FROM jobs, pools, rounds;
           INSERT INTO event_outbox (city, job_id, kind, at, attempt)
           SELECT city, job_id, 'started', now(), 1 FROM jobs;
           ALTER TABLE jobs FORCE ROW LEVEL SECURITY; ALTER TABLE leases FORCE ROW LEVEL SECURITY;
           ALTER TABLE event_outbox FORCE ROW LEVEL SECURITY"""
    )
    await hub.close()

    await migrate(empty_dsns.owner)

    session = await asyncpg.connect(empty_dsns.hub)
    lease, job = await session.fetchrow("SELECT * FROM leases"), await session.fetchrow("SELECT * FROM jobs")
    rounds = await session.fetchrow("SELECT stopped FROM rounds")
    await session.close()
    assert (lease["state"], lease["stop_ordered_at"], lease["stop_claim"], lease["lost_card_seconds"]) == (
        "active", None, None, 0,
    )  # fmt: skip
    assert (job["state"], job["preemptions"], job["make_room"], rounds["stopped"]) == ("running", 0, False, 0)


@pytest.fixture
async def login(superuser: asyncpg.Connection) -> AsyncIterator[str]:
    """A login that may take on the brokers' roles and owns nothing."""
    name = f"login_{uuid.uuid4().hex[:12]}"
    await superuser.execute(f"CREATE ROLE {name} LOGIN NOINHERIT PASSWORD 'secret'")
    await superuser.execute(f"GRANT xisuan_city, xisuan_hub TO {name}")
    yield name
    await superuser.execute(f"DROP ROLE {name}")


def dsn_of(server: EmbeddedServer, login: str, dsns: Dsns) -> str:
    database = dsns.owner.partition("?")[0].rpartition("/")[2]
    return f"postgresql://{login}:secret@127.0.0.1:{server.secrets.port}/{database}"


async def test_a_broker_that_owns_nothing_starts_on_tables_that_are_up_to_date(
    shared_server: EmbeddedServer, dsns: Dsns, login: str, tmp_path: Path
) -> None:
    """Replicas need no login that may change tables; when something is missing they say what to do."""
    dsn = dsn_of(shared_server, login, dsns)
    for file in MIGRATIONS.glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / f"{len(read()) + 1:04}_more.sql").write_text(SECOND)

    assert await ensure(dsn) == []
    with pytest.raises(MigrationFailed, match=r"xisuan migrate.*dsn_owner"):
        await ensure(dsn, tmp_path)


async def test_on_an_empty_database_such_a_broker_says_what_to_do(
    shared_server: EmbeddedServer, empty_dsns: Dsns, login: str
) -> None:
    with pytest.raises(MigrationFailed, match=r"xisuan migrate"):
        await ensure(dsn_of(shared_server, login, empty_dsns))


async def test_tables_from_before_brokers_might_look_are_opened_by_the_next_migration(
    shared_server: EmbeddedServer, dsns: Dsns, login: str
) -> None:
    dsn = dsn_of(shared_server, login, dsns)
    await value(dsns.owner, "REVOKE SELECT ON schema_migrations FROM xisuan_hub")
    with pytest.raises(MigrationFailed, match=r"may not migrate"):
        await ensure(dsn)

    await migrate(dsns.owner)

    assert await ensure(dsn) == []
