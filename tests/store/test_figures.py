"""Figures in versions: of each lease those that held when it was offered, whatever was corrected since."""

from datetime import timedelta

import asyncpg
import pytest

from broker.store.database import Database
from broker.store.figures import FP16_THEN, POWER_THEN
from tests.small_world import T0, lay_out

THEN = (
    """
    SELECT f.programme, w.watts, h.pue_milli
      FROM (VALUES ($1::timestamptz)) AS l (offered_at) CROSS JOIN (VALUES ('ascend-910b')) AS p (model)
      CROSS JOIN (VALUES ('qingyang')) AS c (hub)
"""
    + FP16_THEN
    + POWER_THEN
)


async def test_a_lease_has_the_figures_of_its_offer(database: Database) -> None:
    """Changes are kept by the tables themselves; before the first version that one counts."""
    await lay_out(database)
    async with database.hub() as tx:
        first = tuple((await tx.fetchrow(THEN, T0)).values())
        later = await tx.fetchval("SELECT clock_timestamp()") + timedelta(days=1)
        await tx.execute("UPDATE accelerator_models SET fp16_programme_milli_tflops = 7, watts = 70, host_watts = 7")
        await tx.execute("UPDATE hubs SET pue_milli = 1700")
        await tx.execute("UPDATE accelerator_models SET memory_mib = 1")  # says nothing of them: no version

        assert tuple((await tx.fetchrow(THEN, T0)).values()) == first
        assert tuple((await tx.fetchrow(THEN, later)).values()) == (7, 77, 1700)
        for table, versions in (("model_watts", 2), ("model_figures", 2), ("hub_pues", 2)):
            of = "hub = 'qingyang'" if table == "hub_pues" else "model = 'ascend-910b'"
            assert await tx.fetchval(f"SELECT count(*) FROM {table} WHERE {of}") == versions


@pytest.mark.parametrize("table", ["model_watts", "hub_pues"])
async def test_no_version_is_changed(database: Database, table: str) -> None:
    await lay_out(database)

    with pytest.raises(asyncpg.PostgresError):
        async with database.hub() as tx:
            await tx.execute(f"DELETE FROM {table}")
