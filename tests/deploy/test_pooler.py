"""A real PgBouncer before the database: what works in which mode, as deploy/docs/postgresql.md says it."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from broker.errors import BrokerError
from broker.postgres import EmbeddedServer
from broker.store.database import Database, RoleUnusable
from broker.store.migrate import ensure, migrate
from tests.conftest import Dsns
from tests.deadlines import eventually_now
from tests.e2e.exchange import free_port

NOW = datetime(2026, 11, 26, tzinfo=UTC)
LOGIN = "pooled"
IGNORED = "idle_in_transaction_session_timeout,statement_timeout,extra_float_digits"
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "pgbouncer"


@dataclass
class Pooled:
    """A database behind a pooler in session mode, and ways to one in another mode."""

    server: EmbeddedServer
    dsns: Dsns
    folder: Path

    @property
    def database(self) -> str:
        return self.dsns.owner.partition("?")[0].rpartition("/")[2]

    @contextmanager
    def by(self, mode: str, ignored: str = IGNORED) -> Iterator[str]:
        """Run a pooler in that mode; yield the DSN through it."""
        port = free_port()
        users = self.folder / "users.txt"
        users.write_text(f'"{LOGIN}" "secret"\n')
        config = self.folder / f"{mode}.ini"
        config.write_text(
            "[databases]\n"
            f"{self.database} = host=127.0.0.1 port={self.server.secrets.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {users}\n"
            f"pool_mode = {mode}\nignore_startup_parameters = {ignored}\n"
            "max_client_conn = 200\ndefault_pool_size = 40\n"
        )
        for path in (self.folder, users, config):
            path.chmod(0o755)
        as_other = ["--user=nobody"] if os.geteuid() == 0 else []  # it does not run as root
        log = self.folder / f"{mode}.log"
        with log.open("wb") as output:
            process = subprocess.Popen([PGBOUNCER, *as_other, str(config)], stdout=output, stderr=output)
        try:
            eventually_now(lambda: b"process up" in log.read_bytes() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield f"postgresql://{LOGIN}:secret@127.0.0.1:{port}/{self.database}"
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
async def pooled(
    shared_server: EmbeddedServer, superuser: asyncpg.Connection, dsns: Dsns, open_folder: Path
) -> AsyncIterator[Pooled]:
    await superuser.execute(f"CREATE ROLE {LOGIN} LOGIN NOINHERIT PASSWORD 'secret'")
    await superuser.execute(f"GRANT xisuan_city, xisuan_hub TO {LOGIN}")
    yield Pooled(shared_server, dsns, open_folder)
    await superuser.execute(f"DROP ROLE {LOGIN}")


async def test_in_session_mode_brokers_work_as_without_a_pooler(pooled: Pooled) -> None:
    """Roles stay apart although one login serves both, and a city sees only what is its own."""
    with pooled.by("session") as dsn:
        assert await ensure(dsn) == []
        database = await Database.connect(dsn, dsn)
        try:
            async with database.city("ganzhou") as tx:
                city = await tx.fetchrow(
                    "SELECT current_user, current_setting('xisuan.city'), current_setting('timezone')"
                )
            async with database.hub() as tx:
                hub = await tx.fetchrow("SELECT current_user, pg_try_advisory_xact_lock(7)")
        finally:
            await database.close()
        again = await Database.connect(dsn, dsn)  # the pooler's connections had roles on: it has taken them off
        await again.close()

    assert tuple(city) == ("xisuan_city", "ganzhou", "UTC")
    assert tuple(hub) == ("xisuan_hub", True)


async def test_the_pooler_has_to_be_told_to_ignore_our_session_limits(pooled: Pooled) -> None:
    """They are then to be set for the login: ALTER ROLE ... SET statement_timeout."""
    refused = (BrokerError, RoleUnusable, asyncpg.PostgresError)
    with pooled.by("session", ignored="extra_float_digits") as dsn, pytest.raises(refused) as error:
        await Database.connect(dsn, dsn)

    assert "startup parameter" in f"{error.value} {error.value.__cause__}"


async def test_in_transaction_mode_a_role_would_stick_to_a_connection_that_others_get(pooled: Pooled) -> None:
    """What we put on with SET ROLE lasts longer than the transaction, and the pooler gives it to the next client."""
    with pooled.by("transaction") as dsn:
        first = await asyncpg.connect(dsn, statement_cache_size=0)
        await first.execute("SET ROLE xisuan_hub")
        second = await asyncpg.connect(dsn, statement_cache_size=0)
        stranger = await second.fetchval("SELECT current_user::text")
        await first.close()
        await second.close()

    assert stranger == "xisuan_hub"


async def test_migrations_go_through_a_pooler_in_session_mode(
    pooled: Pooled, superuser: asyncpg.Connection, empty_dsns: Dsns
) -> None:
    """Their lock is the session's, which stays with the client."""
    target = Pooled(pooled.server, empty_dsns, pooled.folder)
    await superuser.execute(f"GRANT CREATE ON DATABASE {target.database} TO {LOGIN}")
    await superuser.execute(f"ALTER DATABASE {target.database} OWNER TO {LOGIN}")
    try:
        with target.by("session") as dsn:
            applied = await migrate(dsn)
            left = await ensure(dsn)
    finally:
        await superuser.execute(f"ALTER DATABASE {target.database} OWNER TO xisuan_owner")

    assert len(applied) > 10
    assert left == []
