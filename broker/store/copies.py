"""What a copy of the whole database holds, and what a restored one needs. For logins that see every row."""

from typing import Any, Final, LiteralString

import asyncpg

IDS_SKIPPED: Final = 1_000_000
"""Numbers of jobs, leases and so on that are skipped after a restore: those given out since the backup were told to
clients and agents, and must never mean anything else."""

KEPT_FOR_EVER: Final = ("jobs", "leases", "events", "ledger_transactions", "ledger_postings", "api_keys")
"""Tables whose rows are never deleted: a copy holds at least as many as were counted before it."""

THERE: Final[LiteralString] = "SELECT to_regclass('public.' || $1) IS NOT NULL"
LAST_MIGRATION: Final[LiteralString] = "SELECT max(number) FROM schema_migrations"
TABLES: Final[LiteralString] = """
    SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""
SKIP_IDS: Final[LiteralString] = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, least(coalesce(last_value, 0) + $1, max_value))
      FROM pg_sequences WHERE schemaname = 'public' AND data_type = 'bigint'::regtype
"""


class CopyRefused(Exception):
    """The database cannot be copied, or not be restored into, with this login; the message says why."""


async def last_migration(dsn: str) -> int:
    """Return the number of the last migration. Raise CopyRefused."""
    async with _Session(dsn) as session:
        if not await session.fetchval(THERE, "schema_migrations"):
            raise CopyRefused("there are no tables in this database yet: nothing to save")
        return int(await session.fetchval(LAST_MIGRATION))


async def rows(dsn: str) -> dict[str, int]:
    """Return how many rows the tables have that never lose any. Raise CopyRefused."""
    async with _Session(dsn) as session:
        return {
            table: int(await session.fetchval(f'SELECT count(*) FROM "{table}"'))
            for table in KEPT_FOR_EVER
            if await session.fetchval(THERE, table)
        }


async def is_empty(dsn: str) -> bool:
    """Tell whether the database has no tables of ours or of others. Raise CopyRefused."""
    async with _Session(dsn) as session:
        return not await session.fetchval(TABLES)


async def skip_ids(dsn: str) -> None:
    """Let every numbering go on so much higher that no number is given out twice. Raise CopyRefused."""
    async with _Session(dsn) as session:
        await session.fetch(SKIP_IDS, IDS_SKIPPED)


class _Session:
    """A session of its own, whose errors are told in words that show no part of the DSN."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._session: Any = None

    async def __aenter__(self) -> Any:
        settings = {"application_name": "xisuan-backup", "timezone": "UTC"}
        try:
            self._session = await asyncpg.connect(self._dsn, server_settings=settings)
        except ValueError:  # its text quotes what it stumbled over, and that may be a part of the password
            raise CopyRefused("this is no DSN: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
        except (asyncpg.PostgresError, OSError, TimeoutError) as error:
            raise CopyRefused(f"no connection to the database: {error}; check the DSN and the server") from error
        return self._session

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._session.close()
        if isinstance(error, asyncpg.PostgresError):
            raise CopyRefused(
                f"this login does not see or may not change everything ({error}): use the superuser"
            ) from error
