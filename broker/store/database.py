"""Connections to PostgreSQL, as one of the two roles that do all the work.

A transaction is opened for one city (`Database.city`: row-level security shows and takes only that city's rows, or
those of one enterprise of it) or for the hub (`Database.hub`: loops, agents and operators, all cities). Nothing runs
outside a transaction.

The two DSNs may log in as the roles themselves, or as one user that may `SET ROLE` to both. Either way each new
connection puts its role on and proves that it is fenced before it is used.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self, TypeAlias

import asyncpg

from broker import metrics
from broker.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""An open transaction: what every function of the store takes first."""

CITY_ROLE: Final = "xisuan_city"
HUB_ROLE: Final = "xisuan_hub"

WAIT_SECONDS_MAX: Final = 5.0
"""How long a transaction waits for a free connection before the caller is told to come again."""

_RETRY_AFTER_SECONDS: Final = 1.0
_COMMAND_SECONDS_MAX: Final = 150.0  # more than the server's own limit: it ends what a cut network leaves hanging

# Session settings: a forgotten transaction must not hold locks for ever, nor a runaway query the connection.
_SERVER_SETTINGS: Final = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "120s",
}

_GONE: Final = (
    asyncpg.PostgresConnectionError,  # class 08, also "connection was closed in the middle of operation"
    asyncpg.OperatorInterventionError,  # class 57: shut down, crashed, starting up, statement too slow
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, out of memory or disk
    asyncpg.TransactionRollbackError,  # class 40: a deadlock that the server has broken; nothing was done
    asyncpg.InternalClientError,  # asyncpg out of step, as when a server says goodbye between two queries
)

_PUT_ROLE_ON: Final[dict[str, LiteralString]] = {
    CITY_ROLE: "SET ROLE xisuan_city",
    HUB_ROLE: "SET ROLE xisuan_hub",
}

_WHO_AM_I: Final[LiteralString] = """
    SELECT r.rolsuper, r.rolbypassrls,
           (SELECT count(*) FROM pg_class c
             WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
               AND pg_has_role(current_user, c.relowner, 'USAGE')) AS owned
      FROM pg_roles r WHERE r.rolname = current_user
"""

_SET_CITY: Final[LiteralString] = """
    SELECT set_config('xisuan.city', $1, true), set_config('xisuan.enterprise', $2, true)
"""
_SET_OWNER: Final[LiteralString] = "SELECT set_config('xisuan.owner', $1, true)"


MANY: Final = 20
"""Rows from which on a statement takes longer than to think of how to carry it out."""

_PLAN_ANEW: Final[LiteralString] = "SET LOCAL plan_cache_mode = force_custom_plan"
_PLAN_AS_EVER: Final[LiteralString] = "SET LOCAL plan_cache_mode TO DEFAULT"


@asynccontextmanager
async def planned_for(tx: Connection, rows: int) -> AsyncIterator[None]:
    """Have the server plan each statement of the block for the values it is given, where these are many rows.

    A connection keeps its plans. One that was made while tables were small finds each id of a list by a look through
    all rows; until they are counted again, which can be a minute, a burst took twice as long (decision 32). To read:
    within the block each foreign key of each row that is written would be planned, too. A block within ends it early.
    """
    if rows < MANY:
        yield
        return
    await tx.execute(_PLAN_ANEW)
    yield
    await tx.execute(_PLAN_AS_EVER)  # after an error the transaction is over, and with it the setting


class RoleUnusable(Exception):
    """The login of a DSN cannot work as the role it is for; the message says what to grant."""


class Database:
    """Two pools of connections: one that sees a city at a time, one that sees all. Made by `connect`."""

    def __init__(
        self,
        city_pool: "asyncpg.Pool[asyncpg.Record]",
        hub_pool: "asyncpg.Pool[asyncpg.Record]",
        wait_seconds_max: float,
    ) -> None:
        self._city_pool = city_pool
        self._hub_pool = hub_pool
        self._wait_seconds_max = wait_seconds_max
        # Half of the connections, so that a city whose calls are slow or many leaves some to the others.
        self._of_one_city = (city_pool.get_max_size() + 1) // 2
        self._turns: dict[str, asyncio.Semaphore] = {}  # by those who exist, so it stays small

    @classmethod
    async def connect(
        cls,
        city_dsn: str,
        hub_dsn: str,
        *,
        city_connections: int = 8,
        hub_connections: int = 8,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
    ) -> Self:
        """Open both pools; they grow to the given sizes and heal by themselves after the server was away.

        Args:
            city_dsn: login for work on behalf of one city.
            hub_dsn: login for loops, agents and operators; may be the same.
            city_connections: how many transactions of cities run at once.
            hub_connections: how many of the others.
            wait_seconds_max: how long a transaction waits for a free connection.

        Raises:
            DatabaseUnavailable: the server cannot be reached now.
            RoleUnusable: a login may not take its role, or the role could pass row-level security.
        """
        city_pool = await _open_pool(city_dsn, CITY_ROLE, city_connections)
        try:
            hub_pool = await _open_pool(hub_dsn, HUB_ROLE, hub_connections)
        except BaseException:
            await city_pool.close()
            raise
        for name, pool in (("city", city_pool), ("hub", hub_pool)):
            metrics.process.connections(name, pool.get_size, pool.get_idle_size, pool.get_max_size())
        return cls(city_pool, hub_pool, wait_seconds_max)

    async def close(self) -> None:
        """Wait for running transactions, then close both pools."""
        await asyncio.gather(self._city_pool.close(), self._hub_pool.close())

    @asynccontextmanager
    async def city(self, city: str, enterprise: str = "") -> AsyncIterator[Connection]:
        """Open a transaction that sees and changes only the rows of `city`, or of one enterprise of it.

        It is committed at the end of the block and rolled back by an exception. Do not open another one within: a city
        has only half of the connections.

        Raises:
            DatabaseUnavailable: the server is away, or the city's own transactions take too long. When that happens at
                the commit, the outcome is not known.
        """
        async with AsyncExitStack() as held:
            if enterprise:  # half of its city's turns, so that one of them leaves some to the others
                await held.enter_async_context(self._turn(f"{city}/{enterprise}", (self._of_one_city + 1) // 2))
            await held.enter_async_context(self._turn(city, self._of_one_city))
            tx = await held.enter_async_context(_transaction(self._city_pool, "city", self._wait_seconds_max))
            await tx.execute(_SET_CITY, city, enterprise)
            yield tx

    @asynccontextmanager
    async def owner(self, owner: str) -> AsyncIterator[Connection]:
        """Open a transaction that sees what is an owner's of clusters, and no city's; otherwise as `city`."""
        turn = self._turn(f"owner/{owner}", self._of_one_city)
        async with turn, _transaction(self._city_pool, "city", self._wait_seconds_max) as tx:
            await tx.execute(_SET_OWNER, owner)
            yield tx

    @asynccontextmanager
    async def _turn(self, whose: str, at_once: int) -> AsyncIterator[None]:
        turns = self._turns.setdefault(whose, asyncio.Semaphore(at_once))
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await turns.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from error
        try:
            yield
        finally:
            turns.release()

    @asynccontextmanager
    async def hub(self) -> AsyncIterator[Connection]:
        """Open a transaction that sees the rows of all cities; committed and rolled back as in `city`.

        Raises:
            DatabaseUnavailable: the server is away. When that happens at the commit, the outcome is not known.
        """
        async with _transaction(self._hub_pool, "hub", self._wait_seconds_max) as tx:
            yield tx

    @asynccontextmanager
    async def hub_once(self) -> AsyncIterator[Connection]:
        """Do as `hub` for one statement, which is a transaction by itself: one question to the server instead of three.

        For what happens many times a second. A second statement in the block would be another transaction.
        """
        async with _transaction(self._hub_pool, "hub", self._wait_seconds_max, block=False) as tx:
            yield tx


async def _open_pool(dsn: str, role: str, connections: int) -> "asyncpg.Pool[asyncpg.Record]":
    async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await _put_role_on(connection, role)
        # Binary, so that COPY takes the same values: version 1 of jsonb's wire form is a byte 1, then the text.
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=_jsonb_bytes, decoder=_jsonb_value, format="binary"
        )

    # No floor of connections: asyncpg would keep it up in the background and log each vain attempt of an outage.
    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=connections,
        init=prepare,
        reset=_as_it_is,
        timeout=WAIT_SECONDS_MAX,
        command_timeout=_COMMAND_SECONDS_MAX,
        server_settings={"application_name": role.replace("_", "-"), **_SERVER_SETTINGS},
    )
    try:
        await pool
        await pool.release(await pool.acquire(timeout=WAIT_SECONDS_MAX))  # the first one proves that it works
        return pool
    except (*_GONE, OSError, TimeoutError) as error:
        raise DatabaseUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise RoleUnusable(f"the server refuses the login of the DSN for {role}: {error}") from error


async def _as_it_is(connection: Any) -> None:
    """Leave the session of a connection that goes back into its pool as it is; asyncpg has ended what was open.

    Transactions set things for themselves only, nothing listens, and no lock is the session's: asyncpg's own cleaning
    is one more question to the server for each transaction, and found nothing to clean.
    """


async def _put_role_on(connection: "asyncpg.Connection[asyncpg.Record]", role: str) -> None:
    """Work as `role` from now on. Raise RoleUnusable if that is not allowed or not safe."""
    try:
        await connection.execute(_PUT_ROLE_ON[role])
    except asyncpg.InsufficientPrivilegeError as error:
        raise RoleUnusable(f"the login of this DSN may not take the role: GRANT {role} TO it ({error})") from error
    except (asyncpg.InvalidParameterValueError, asyncpg.UndefinedObjectError) as error:
        raise RoleUnusable(f"the server has no role {role} yet: run `xisuan migrate` first") from error
    found = await connection.fetchrow(_WHO_AM_I)
    if found is None or found["rolsuper"] or found["rolbypassrls"] or found["owned"]:
        raise RoleUnusable(
            f"role {role} could pass row-level security, as it is a superuser, has BYPASSRLS or owns tables: "
            f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS, give its tables to the user that migrates, "
            "and take that user's role from it"
        )


@asynccontextmanager
async def _transaction(
    pool: "asyncpg.Pool[asyncpg.Record]", name: str, wait_seconds_max: float, *, block: bool = True
) -> AsyncIterator[Connection]:
    began = perf_counter()
    try:
        connection = await pool.acquire(timeout=wait_seconds_max)
    except (*_GONE, OSError, TimeoutError) as error:
        raise DatabaseUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from error
    finally:
        metrics.process.waited_for_connection(name, perf_counter() - began)
    try:
        async with connection.transaction() if block else nullcontext():
            yield connection
    except (*_GONE, TimeoutError) as error:
        raise DatabaseUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from error
    except asyncpg.InterfaceError as error:  # asyncpg's word for use of a connection that broke a moment ago
        if _is_broken(connection):
            raise DatabaseUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from error
        raise
    finally:
        with suppress(*_GONE, asyncpg.InterfaceError, OSError):  # what was committed stays so; the pool forgets it
            await pool.release(connection)


def _is_broken(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool saw it break and took it back already
        return True


def _jsonb_bytes(value: Any) -> bytes:
    return b"\x01" + json.dumps(value, separators=(",", ":")).encode()


def _jsonb_value(data: bytes) -> Any:
    return json.loads(bytes(data)[1:])
