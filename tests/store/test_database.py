"""Transactions of cities and of the hub, and what happens when the server goes away."""

import asyncio

import asyncpg
import pytest

from broker import postgres
from broker.errors import DatabaseUnavailable
from broker.postgres import EmbeddedServer
from broker.store.database import MANY, Database, planned_for
from broker.store.migrate import migrate
from tests.conftest import Dsns
from tests.deadlines import eventually
from tests.postgres.mischief import kill_postmaster

WHO = "SELECT current_user || ' of ' || coalesce(current_setting('xisuan.city', true), '')"


async def test_a_transaction_works_as_the_role_it_is_for(database: Database) -> None:
    async with database.city("ganzhou") as tx:
        assert await tx.fetchval(WHO) == "xisuan_city of ganzhou"
    async with database.hub() as tx:
        assert await tx.fetchval(WHO) == "xisuan_hub of "


async def test_role_survives_the_pool_and_the_city_does_not(dsns: Dsns) -> None:
    """One connection is used again and again: the reset between uses keeps the role and forgets the city."""
    database = await Database.connect(dsns.city, dsns.hub, city_connections=1, hub_connections=1)
    pids = set()

    for city in ("ganzhou", "nanjing", "ganzhou"):
        async with database.city(city) as tx:
            assert await tx.fetchval(WHO) == f"xisuan_city of {city}"
            pids.add(await tx.fetchval("SELECT pg_backend_pid()"))
    async with database._city_pool.acquire() as connection:
        outside = await connection.fetchval(WHO)
    await database.close()

    assert len(pids) == 1
    assert outside == "xisuan_city of "


async def test_what_fails_is_rolled_back(database: Database) -> None:
    async def insert_twice() -> None:
        async with database.hub() as tx:
            for _ in range(2):
                await tx.execute("INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1000000, 10, 10, 1000)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_twice()

    async with database.hub() as tx:
        assert await tx.fetchval("SELECT count(*) FROM cities") == 0


async def test_json_goes_in_and_out_as_python_values_also_in_arrays_and_by_copy(database: Database) -> None:
    value = {"text": "庆阳 \\ \" '", "list": [1, None, True, 2.5], "deep": {"a": {}}}

    async with database.hub() as tx:
        one = await tx.fetchval("SELECT $1::jsonb", value)
        many = await tx.fetchval("SELECT $1::jsonb[]", [value, None, 3])
        await tx.copy_records_to_table("shapes", columns=["sha256", "requirement"], records=[(b"x", value)])
        copied = await tx.fetchval("SELECT requirement FROM shapes")

    assert [one, *many, copied] == [value, value, None, 3, value]


async def test_statements_on_many_rows_are_planned_for_them_and_others_are_not(database: Database) -> None:
    async def mode() -> str:
        return str(await tx.fetchval("SHOW plan_cache_mode"))

    async with database.hub() as tx:
        async with planned_for(tx, MANY - 1):
            few = await mode()
        async with planned_for(tx, MANY):
            many = await mode()
        after = await mode()

    assert (few, many, after) == ("auto", "force_custom_plan", "auto")


async def test_a_failure_among_many_rows_leaves_nothing_behind(dsns: Dsns) -> None:
    database = await Database.connect(dsns.city, dsns.hub, city_connections=1, hub_connections=1)

    async def fail() -> None:
        async with database.hub() as tx, planned_for(tx, MANY):
            await tx.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await fail()

    async with database.hub() as tx:
        assert await tx.fetchval("SHOW plan_cache_mode") == "auto"
    await database.close()


async def test_a_full_pool_tells_the_caller_to_come_again(dsns: Dsns) -> None:
    database = await Database.connect(dsns.city, dsns.hub, hub_connections=1, wait_seconds_max=0.05)

    async with database.hub():
        with pytest.raises(DatabaseUnavailable) as refused:
            async with database.hub():
                pass
    async with database.hub() as tx:
        assert await tx.fetchval("SELECT 1") == 1
    await database.close()

    assert refused.value.retry_after_seconds == 1


async def test_one_city_leaves_connections_to_the_others(dsns: Dsns) -> None:
    """Its slow calls make its own callers wait, and nobody else's."""
    database = await Database.connect(dsns.city, dsns.hub, city_connections=4, wait_seconds_max=1.0)

    async with database.city("ganzhou"), database.city("ganzhou"):
        with pytest.raises(DatabaseUnavailable):
            async with database.city("ganzhou"):
                pass
        async with database.city("nanjing"), database.city("nanjing") as tx:
            assert await tx.fetchval("SELECT true")
    async with database.city("ganzhou") as tx:
        assert await tx.fetchval("SELECT true")
    await database.close()


async def test_a_full_server_tells_the_caller_to_come_again(dsns: Dsns, superuser: asyncpg.Connection) -> None:
    """An answer with a time to try again, not a hanging call."""
    database = await Database.connect(dsns.city, dsns.hub)
    name = dsns.hub.split("/")[-1].split("?")[0]
    await superuser.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 2")

    async with database.hub() as held:
        with pytest.raises(DatabaseUnavailable) as refused:
            async with database.hub():
                pass
        assert await held.fetchval("SELECT 1") == 1
    await database.close()

    assert refused.value.retry_after_seconds == 1


async def test_after_a_killed_server_comes_back_the_pools_heal_and_nothing_is_lost(server: EmbeddedServer) -> None:
    await migrate(server.dsn_owner)
    database = await Database.connect(server.dsn_city, server.dsn_hub)
    acknowledged = 0

    async def insert_until_it_breaks() -> None:
        nonlocal acknowledged
        while True:
            async with database.hub() as tx:
                await tx.execute("INSERT INTO hubs (hub, title) VALUES ('h' || $1::text, '')", str(acknowledged))
            acknowledged += 1
            if acknowledged == 50:
                kill_postmaster(server.folder)

    with pytest.raises(DatabaseUnavailable) as mid_transaction:
        await insert_until_it_breaks()
    with pytest.raises(DatabaseUnavailable):
        async with database.city("ganzhou") as tx:
            await tx.fetchval("SELECT 1")
    again = await asyncio.to_thread(postgres.start, server.folder)

    async def answers() -> bool:
        try:
            async with database.city("ganzhou") as tx:
                await tx.fetchval("SELECT 1")
        except DatabaseUnavailable:
            return False
        return True

    await eventually(answers, seconds=2)
    async with database.hub() as tx:
        kept = await tx.fetchval("SELECT count(*) FROM hubs")
    await database.close()
    assert again == server
    assert mid_transaction.value.retry_after_seconds == 1
    assert kept >= acknowledged >= 50


async def test_a_server_that_is_not_there_is_unavailable(server: EmbeddedServer) -> None:
    postgres.stop(server.folder)

    with pytest.raises(DatabaseUnavailable):
        await Database.connect(server.dsn_city, server.dsn_hub)


async def test_a_mistake_in_the_code_is_not_taken_for_an_outage(database: Database) -> None:
    """Else a caller would try for ever what can never work."""
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.hub() as tx:
            await tx.execute("SELECT * FROM no_such_table")


async def test_of_two_that_lock_each_other_out_one_is_told_to_come_again(database: Database) -> None:
    """The server breaks the circle and undoes one of them; it is nobody's mistake, and trying again works."""
    async with database.hub() as tx:
        await tx.execute("INSERT INTO hubs (hub, title) VALUES ('a', ''), ('b', '')")
    both_have_one = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with database.hub() as tx:
            await tx.execute("UPDATE hubs SET title = 'x' WHERE hub = $1", first)
            await both_have_one.wait()
            await tx.execute("UPDATE hubs SET title = 'x' WHERE hub = $1", second)

    ends = await asyncio.gather(change("a", "b"), change("b", "a"), return_exceptions=True)

    assert sorted(type(end) for end in ends if end is not None) == [DatabaseUnavailable]
