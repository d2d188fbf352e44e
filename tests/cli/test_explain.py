"""`xisuan explain` against a broker's real edge and database: what would start a job, what a placed one is worth."""

from pathlib import Path

from broker.client.settings import write_key, write_profile
from broker.ids import job_text
from broker.store.database import Database
from tests.cli.commands import xisuan
from tests.rpc.conftest import open_edge
from tests.small_world import a_spec, asked, placed, submitted


async def test_what_would_start_a_job_is_told_and_what_a_placed_one_is_worth(
    database: Database, tmp_path: Path
) -> None:
    """The owner asks 4 yuan for a card-hour of 0.32 PFLOPS; one job offers 10 yuan, the other 20 for a PFLOPS-hour."""
    async with open_edge(database) as edge:
        async with database.hub() as tx:
            await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", edge.clock.now())
            await asked(tx, "longdong", "ascend-910b", 4_000_000)
        [poor] = await submitted(database, "poor", spec=a_spec(ceiling_micro_yuan_per_pflops_hour=10_000_000))
        [runs] = await submitted(database, "runs", spec=a_spec(ceiling_micro_yuan_per_pflops_hour=20_000_000))
        await placed(database, runs, cards=(0,))
        write_profile(tmp_path, endpoint=f"127.0.0.1:{edge.port}", city="ganzhou")
        write_key(tmp_path, "city-ganzhou", edge.keys["ganzhou"])

        waits = await xisuan("explain", job_text(poor), home=tmp_path)
        runs_on = await xisuan("explain", job_text(runs), home=tmp_path)
        before = await xisuan("job", job_text(runs), home=tmp_path)
        async with database.hub() as tx:
            await tx.execute(
                """UPDATE leases SET ask_micro_yuan_per_card_hour = 4000000, scarcity_micro_yuan_per_card_hour = 150000,
                                     rate_card_version = 1"""
            )
        priced = await xisuan("job", job_text(runs), home=tmp_path)

    assert (waits.code, runs_on.code) == (0, 0), waits.err + runs_on.err
    assert "what would start it, each alone, the cheapest first:\n  raise the ceiling by 2.500004 yuan" in waits.out
    assert waits.out.rstrip().endswith(": starts now in longdong/ascend")
    assert ": pays ¥6.4000, less ask ¥4.0000, energy ¥0.0000 and transfer ¥0.0000, times " in runs_on.out
    assert "others would pay for the same: nothing" in runs_on.out
    assert "what would start it" not in runs_on.out
    assert "fixed at its start" not in before.out  # a lease of the release before
    assert "¥4.1500 per card-hour, fixed at its start (ask ¥4.0000, scarcity ¥0.1500)" in priced.out
    assert "¥20.0000 per FP16 PFLOPS-hour" in priced.out
