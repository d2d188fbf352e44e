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
