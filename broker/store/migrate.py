"""Bring a database to the form that this program needs: numbered SQL files, forward only, each exactly once.

A file `NNNN_name.sql` runs in a transaction of its own together with the note in `schema_migrations` that it was
applied; a first line `-- no-transaction` leaves the transaction out (`CREATE INDEX CONCURRENTLY`, one to a file: what
a run that died left of it is dropped first). A file is never changed after it was released: its hash is checked on
every start.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, LiteralString

import asyncpg

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]

MIGRATIONS: Final = Path(__file__).with_name("migrations")
"""The folder of this program's migrations."""

LOCK_SECONDS_MAX: Final = 300.0
"""How long a migrator waits for another one before it gives up."""

_LOCK: Final = 0x7869_7375_616E  # "xisuan"; advisory locks count by database
_POLL_SECONDS: Final = 0.1
_SERVER_VERSION_MIN: Final = 15

# InterfaceError is asyncpg's word for a rollback on a connection that broke.
_GONE: Final = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError)

_AS_OWNER: Final = "run `xisuan migrate` with the DSN of the tables' owner, or give it to brokers as dsn_owner"

_FILE_NAME: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_NO_TRANSACTION: Final = "-- no-transaction"
_INDEX: Final = re.compile(r"^CREATE INDEX CONCURRENTLY ([a-z_]+) ON ", re.MULTILINE)

_CREATE_TABLE: Final[LiteralString] = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        number     int PRIMARY KEY CHECK (number > 0),
        name       text NOT NULL,
        sha256     text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
_TABLE_EXISTS: Final[LiteralString] = "SELECT to_regclass('public.schema_migrations') IS NOT NULL"
_MAY_READ: Final[LiteralString] = "SELECT has_table_privilege('public.schema_migrations', 'SELECT')"
_BROKERS_MAY_READ: Final[LiteralString] = """
    SELECT coalesce((SELECT has_table_privilege(oid, 'public.schema_migrations', 'SELECT')
                       FROM pg_roles WHERE rolname = 'xisuan_hub'), true)
"""
_LET_READ: Final[LiteralString] = "GRANT SELECT ON schema_migrations TO xisuan_hub"
_APPLIED: Final[LiteralString] = "SELECT number, name, sha256 FROM schema_migrations"
_NOTE: Final[LiteralString] = "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)"
# Polled: a session that waits inside pg_advisory_lock() holds a snapshot and so can deadlock CREATE INDEX CONCURRENTLY.
_TRY_LOCK: Final[LiteralString] = "SELECT pg_try_advisory_lock($1)"
_UNLOCK: Final[LiteralString] = "SELECT pg_advisory_unlock($1)"


class MigrationError(Exception):
    """The database cannot be brought to the form that this program needs; the message says why and the way out.

    MigrationError
    ├─ MigrationsMisnumbered  the files do not run 1, 2, 3 ...
    ├─ MigrationChanged       a file is not what was applied
    ├─ DatabaseNewer          a newer program has migrated this database
    ├─ ServerTooOld           PostgreSQL itself is too old
    ├─ MigratorBusy           another migrator holds the lock
    ├─ MigrationFailed        the SQL of a file was refused
    └─ MigratorCannotConnect  no connection with this DSN
    """


class MigrationsMisnumbered(MigrationError):
    """The files of the folder do not run 1, 2, 3 ... without gaps or twins."""


class MigrationChanged(MigrationError):
    """A file differs from what was applied."""


class DatabaseNewer(MigrationError):
    """The database was migrated by a newer program."""


class ServerTooOld(MigrationError):
    """PostgreSQL itself is too old."""


class MigratorBusy(MigrationError):
    """Another migrator has held the lock for too long."""


class MigrationFailed(MigrationError):
    """PostgreSQL refused the SQL of a file."""


class MigratorCannotConnect(MigrationError):
    """The server cannot be reached or refuses the login."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str  # with the number, as in "0001_roles.sql"
    sql: str = field(repr=False)

    @property
    def sha256(self) -> str:
        """Hash of the SQL, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """Whether it runs in a transaction."""
        return not self.sql.startswith(_NO_TRANSACTION)

    @property
    def index(self) -> str | None:
        """The index that it makes without a transaction, if that is what it does."""
        made = None if self.transactional else _INDEX.search(self.sql)
        return made[1] if made else None


def read(folder: Path = MIGRATIONS) -> list[Migration]:
    """Return the migrations of a folder in order. Raise MigrationsMisnumbered."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        named = _FILE_NAME.fullmatch(path.name)
        if named is None:
            raise MigrationsMisnumbered(f"{path.name}: a migration is named NNNN_lower_case.sql, rename it")
        found.append(Migration(int(named[1]), path.name, path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, 1):
        if migration.number != expected:
            raise MigrationsMisnumbered(f"{migration.name}: number {expected:04d} is due here, without gaps or twins")
    return found


async def migrate(dsn: str, folder: Path = MIGRATIONS) -> list[Migration]:
    """Apply what is missing and return it; nothing is applied when anything is wrong beforehand.

    Any number of programs may call it at once: one works, the others wait and find nothing left to do.

    Args:
        dsn: login that owns the database. Where the two roles of 0001 do not exist yet it must be allowed to make them.
        folder: where the files are.
    Raises: MigrationError.
    """
    migrations = read(folder)
    async with _session(dsn) as session, _alone(session):
        try:
            await session.execute(_CREATE_TABLE)
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationFailed(f"this login may not migrate ({error}): {_AS_OWNER}") from error
        missing = _missing(migrations, await session.fetch(_APPLIED))
        for migration in missing:
            await _apply(session, migration)
        if migrations and not await _known_to_brokers(session):
            await session.execute(_LET_READ)  # so that a login that owns nothing can see that all is done
    return missing


async def ensure(dsn: str, folder: Path = MIGRATIONS) -> list[Migration]:
    """Apply what is missing, as `migrate` does; where nothing is, look only, for which the hub's role is enough.

    So brokers whose login owns nothing start on tables that somebody else has brought up to date.
    """
    try:
        if not await pending(dsn, folder):
            return []
    except MigrationFailed:
        pass  # what was applied cannot be read: from before brokers were let
    return await migrate(dsn, folder)


async def pending(dsn: str, folder: Path = MIGRATIONS) -> list[Migration]:
    """Return what `migrate` would apply, and change nothing. Raise MigrationError as it would before its first file."""
    migrations = read(folder)
    async with _session(dsn) as session:
        applied = await _read_applied(session) if await session.fetchval(_TABLE_EXISTS) else []
    return _missing(migrations, applied)


async def _read_applied(session: "Session") -> list[asyncpg.Record]:
    try:
        if not await session.fetchval(_MAY_READ):
            await session.execute("SET ROLE xisuan_hub")
        return await session.fetch(_APPLIED)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError) as error:
        raise MigrationFailed(f"this login may not see what was applied ({error}): {_AS_OWNER}") from error


@asynccontextmanager
async def _session(dsn: str) -> "AsyncIterator[Session]":
    try:
        session = await asyncpg.connect(dsn, server_settings={"application_name": "xisuan-migrate", "timezone": "UTC"})
    except (ValueError, OverflowError):  # its text quotes what it stumbled over, and that may be a part of the password
        raise MigratorCannotConnect(
            "this is no DSN: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with every character of user and "
            "password that is no letter or digit as %XX"
        ) from None
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise MigratorCannotConnect(f"no connection to the database: {error}; check the DSN and the server") from error
    try:
        version = session.get_server_version()
        if version.major < _SERVER_VERSION_MIN:
            raise ServerTooOld(f"PostgreSQL {version.major} is too old: use {_SERVER_VERSION_MIN} or newer")
        yield session
    except _GONE as error:
        raise MigratorCannotConnect(f"the database went away: {error}; run it again, it carries on") from error
    finally:
        await session.close()


@asynccontextmanager
async def _alone(session: "Session") -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(LOCK_SECONDS_MAX):
            while not await session.fetchval(_TRY_LOCK, _LOCK):  # noqa: ASYNC110 (see _TRY_LOCK)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise MigratorBusy(
            f"another migrator has been at work for {LOCK_SECONDS_MAX:.0f} s: wait for it, or end its session "
            "(application_name 'xisuan-migrate' in pg_stat_activity) and try again"
        ) from None
    try:
        yield
    finally:
        if not session.is_closed():
            await session.execute(_UNLOCK, _LOCK)


def _missing(migrations: list[Migration], applied: list[asyncpg.Record]) -> list[Migration]:
    known = {row["number"]: (row["name"], row["sha256"]) for row in applied}
    newest = max(known, default=0)
    if newest > len(migrations):
        raise DatabaseNewer(
            f"the database is at {known[newest][0]}, newer than this program, which ends at {len(migrations):04d}: "
            "install the newer program; migrations do not go backwards"
        )
    for migration in migrations:
        name, sha256 = known.get(migration.number, (migration.name, migration.sha256))
        if sha256 != migration.sha256:
            raise MigrationChanged(
                f"{migration.name} is not what was applied as {name}: put the file back as it was released and "
                "write the change as a new migration"
            )
    return [migration for migration in migrations if migration.number not in known]


async def _known_to_brokers(session: "Session") -> bool:
    return bool(await session.fetchval(_BROKERS_MAY_READ))


async def _apply(session: "Session", migration: Migration) -> None:
    note = (migration.number, migration.name, migration.sha256)
    try:
        if migration.transactional:
            async with session.transaction():
                await session.execute(migration.sql)
                await session.execute(_NOTE, *note)
        else:
            if migration.index is not None:  # left by a run that ended before its note, perhaps broken off
                await session.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {migration.index}")
            await session.execute(migration.sql)
            await session.execute(_NOTE, *note)
    except _GONE:
        raise
    except asyncpg.PostgresError as error:
        left = "it runs without a transaction: undo by hand what it did"
        if migration.transactional:
            left = "nothing of it was applied"
        elif migration.index is not None:
            left = "what is left of its index is dropped when it runs again"
        raise MigrationFailed(f"{migration.name} failed: {error}; {left}, then run it again") from error
