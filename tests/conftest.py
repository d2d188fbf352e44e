"""A real PostgreSQL for every test: one server for the run, a fresh migrated database for each test that wants one."""

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from broker import postgres
from broker.postgres import EmbeddedServer
from broker.store.database import Database
from broker.store.migrate import migrate

# What a test loses in a power failure does not matter; tests of durability have a server of their own (`server`).
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}

TEMPLATE = "migrated"

# In memory where there is enough: many tests make many small databases, and a killed process loses nothing of them.
_MEMORY, _BYTES_MIN = Path("/dev/shm"), 2 << 30
_GROUND = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _BYTES_MIN else Path("/tmp")


@dataclass(frozen=True)
class Dsns:
    """Logins to one test's database: owner of the tables, role of cities, role of the hub."""

    owner: str
    city: str
    hub: str


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A short path that PostgreSQL's user may enter, which pytest's `tmp_path` is not when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="xisuan-", dir=_GROUND) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that PostgreSQL's user may enter."""
    with temporary_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def shared_server() -> Iterator[EmbeddedServer]:
    """The server of the whole run (of each worker, under xdist). Never stop or kill it: for that there is `server`."""
    with temporary_folder() as folder:
        yield postgres.start(folder / "postgres", settings=FAST)
        postgres.destroy(folder / "postgres")


@pytest.fixture(scope="session")
def made_folder() -> Iterator[Path]:
    """The folder of a server that is stopped, to be copied: making one takes a second, copying it a moment."""
    with temporary_folder() as folder:
        with postgres.using(folder / "postgres"):
            pass
        yield folder / "postgres"
        postgres.destroy(folder / "postgres")


@pytest.fixture
def server_folder(open_folder: Path, made_folder: Path) -> Iterator[Path]:
    """The folder of a stopped server of the test's own. What runs there at the end is stopped."""
    subprocess.run(["cp", "-a", made_folder, open_folder / "postgres"], check=True)
    yield open_folder / "postgres"
    postgres.destroy(open_folder / "postgres")


@pytest.fixture
def server(server_folder: Path) -> EmbeddedServer:
    """A server of the test's own, with the settings of the product, to kill and to stop. Its database is empty."""
    return postgres.start(server_folder)


@pytest.fixture(scope="session")
async def superuser(shared_server: EmbeddedServer) -> AsyncIterator[asyncpg.Connection]:
    """A session that may do anything on the shared server."""
    connection = await asyncpg.connect(shared_server.dsn("postgres", "postgres"))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def template(shared_server: EmbeddedServer, superuser: asyncpg.Connection) -> str:
    """The name of a migrated database without rows, to copy."""
    await superuser.execute(f"CREATE DATABASE {TEMPLATE} OWNER xisuan_owner")
    await migrate(shared_server.dsn("xisuan_owner", TEMPLATE))
    return TEMPLATE


@pytest.fixture
async def empty_dsns(shared_server: EmbeddedServer, superuser: asyncpg.Connection) -> AsyncIterator[Dsns]:
    """A database that was never migrated."""
    async with _fresh_database(shared_server, superuser, "template1") as dsns:
        yield dsns


@pytest.fixture
async def dsns(shared_server: EmbeddedServer, superuser: asyncpg.Connection, template: str) -> AsyncIterator[Dsns]:
    """A fresh migrated database, dropped after the test."""
    async with _fresh_database(shared_server, superuser, template) as dsns:
        yield dsns


@pytest.fixture
async def database(dsns: Dsns) -> AsyncIterator[Database]:
    """The broker's own view of a fresh migrated database."""
    database = await Database.connect(dsns.city, dsns.hub)
    yield database
    await database.close()


@asynccontextmanager
async def _fresh_database(server: EmbeddedServer, superuser: asyncpg.Connection, template: str) -> AsyncIterator[Dsns]:
    name = f"test_{uuid.uuid4().hex}"
    await superuser.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER xisuan_owner STRATEGY wal_log")
    try:
        yield Dsns(*(server.dsn(role, name) for role in ("xisuan_owner", "xisuan_city", "xisuan_hub")))
    finally:
        await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
