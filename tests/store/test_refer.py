"""Jobs are of a city and a shape that are there, however they are written, and those stay."""

import asyncpg
import pytest

from broker.store.database import Database
from tests.conftest import Dsns
from tests.small_world import lay_out, submitted

MANY = """
    INSERT INTO jobs (city, request_key, body_sha256, spec, shape_id, priority, ceiling_micro_yuan_per_pflops_hour,
                      walltime_seconds, if_lost, attempts_max, submitted_at)
    SELECT CASE WHEN n = 7 THEN $1 ELSE 'ganzhou' END, 'k' || n, 'x', '{}',
           CASE WHEN n = 9 THEN $2 ELSE (SELECT min(shape_id) FROM shapes) END, 'standard', 1, 1, 'hold', 1, now()
      FROM generate_series(1, 10) AS n
"""
KNOWN_SHAPE = "SELECT min(shape_id) FROM shapes"


@pytest.mark.parametrize(("city", "shape"), [("nowhere", None), ("ganzhou", 10**12), ("nowhere", 10**12)])
async def test_one_job_of_no_city_or_shape_and_none_of_the_statement_is_stored(
    database: Database, city: str, shape: int | None
) -> None:
    await submitted(await lay_out(database), "first")

    with pytest.raises(asyncpg.ForeignKeyViolationError, match=r"city nowhere|shape 1000000000000"):
        async with database.hub() as tx:
            await tx.execute(MANY, city, shape or await tx.fetchval(KNOWN_SHAPE))

    async with database.hub() as tx:
        assert await tx.fetchval("SELECT count(*) FROM jobs") == 1
        await tx.execute(MANY, "nanjing", await tx.fetchval(KNOWN_SHAPE))
        assert await tx.fetchval("SELECT count(*) FROM jobs") == 11


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM cities WHERE city = 'nanjing'",
        "UPDATE cities SET city = 'elsewhere' WHERE city = 'nanjing'",
        "DELETE FROM shapes",
        "UPDATE shapes SET requirement = '{}'",
        "TRUNCATE shapes",
        "TRUNCATE cities CASCADE",
        "UPDATE jobs SET shape_id = shape_id",
        "UPDATE jobs SET city = 'nanjing'",
    ],
)
async def test_what_jobs_refer_to_stays_even_for_the_owner_of_the_tables(
    database: Database, dsns: Dsns, change: str
) -> None:
    await submitted(await lay_out(database), "first")
    owner = await asyncpg.connect(dsns.owner)

    with pytest.raises(asyncpg.RestrictViolationError, match="jobs refer to it"):
        await owner.execute(change)

    await owner.close()


ONE = """
    INSERT INTO jobs (city, request_key, body_sha256, spec, shape_id, priority, ceiling_micro_yuan_per_pflops_hour,
                      walltime_seconds, if_lost, attempts_max, submitted_at)
    VALUES ('ganzhou', 'evil', 'x', '{}', 424242, 'standard', 1, 1, 'hold', 1, now())
"""
SHADOW = "CREATE TEMP TABLE shapes (shape_id bigint); INSERT INTO shapes VALUES (424242)"
SPY = """
    CREATE FUNCTION pg_temp.evil() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE 'GRANT SELECT ON public.api_keys TO xisuan_city';
        RETURN 424242;
    END $$;
    CREATE TEMP VIEW shapes AS SELECT pg_temp.evil() AS shape_id
"""


@pytest.mark.parametrize("prepare", [SHADOW, SPY])
async def test_a_city_cannot_put_a_table_or_code_of_its_own_before_the_owners(
    database: Database, dsns: Dsns, prepare: str
) -> None:
    """The look-up runs as the owner of the tables: it must find his tables, and run nobody else's code."""
    await submitted(await lay_out(database), "first")
    city = await asyncpg.connect(dsns.city)
    await city.execute("SELECT set_config('xisuan.city', 'ganzhou', false), set_config('xisuan.enterprise', '', false)")
    await city.execute(f"{prepare}; GRANT SELECT ON pg_temp.shapes TO PUBLIC")

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await city.execute(ONE)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await city.execute("SELECT FROM api_keys")

    await city.close()


async def test_a_city_cannot_ask_on_a_table_of_its_own_which_others_there_are(database: Database, dsns: Dsns) -> None:
    await lay_out(database)
    city = await asyncpg.connect(dsns.city)
    await city.execute("CREATE TEMP TABLE probe (job_id bigint, city text, shape_id bigint)")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await city.execute(
            """CREATE TRIGGER t AFTER INSERT ON probe REFERENCING NEW TABLE AS added
               FOR EACH STATEMENT EXECUTE FUNCTION jobs_refer()"""
        )

    await city.close()


async def test_what_runs_as_the_owner_looks_for_names_where_nobody_else_can_put_any(database: Database) -> None:
    async with database.hub() as tx:
        found = await tx.fetch("SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND proowner <> 10")

    assert {r["proname"]: r["proconfig"] for r in found} == {
        "jobs_refer": ["search_path=pg_catalog, public, pg_temp"],
    }
