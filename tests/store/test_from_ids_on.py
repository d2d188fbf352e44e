"""What belongs to some jobs is looked up from their ids on, however many jobs of the city wait."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from broker.ids import JobId
from broker.store import expected_starts, promises
from broker.store.database import Connection, Database
from tests.small_world import lay_out, submitted

PLANS_THOUGHT_OF = 5
"""After so many PostgreSQL may keep a plan for whatever comes: here one that was made when hardly anybody waited."""
LOOKED_AT = """
    SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'jobs'
"""


@pytest.mark.parametrize("of_jobs", [promises.of_jobs, expected_starts.of_jobs], ids=["promises", "expected starts"])
async def test_where_a_job_has_none_no_job_is_looked_at(
    database: Database, of_jobs: Callable[[Connection, Collection[JobId]], Awaitable[dict[JobId, Any]]]
) -> None:
    world = await lay_out(database)
    [first] = await submitted(world, "first")
    async with world.city("ganzhou") as tx:
        for _ in range(PLANS_THOUGHT_OF + 1):
            await of_jobs(tx, [first])
    await submitted(world, *(f"job-{n}" for n in range(50)))

    async with world.city("ganzhou") as tx:
        before = await tx.fetchval(LOOKED_AT)
        assert await of_jobs(tx, [first]) == {}
        assert await tx.fetchval(LOOKED_AT) == before
