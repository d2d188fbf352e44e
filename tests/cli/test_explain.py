"""`xisuan explain` against a broker's real edge and database: what would start a job, what a placed one is worth."""

from datetime import timedelta
from pathlib import Path

from broker.client.settings import write_key, write_profile
from broker.ids import job_text
from broker.store import expected_starts
from broker.store.database import Database
from broker.store.expected_starts import StartDraft
from tests.cli.commands import xisuan
from tests.rpc.conftest import Edge, open_edge
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


async def test_what_would_start_a_job_by_a_time(database: Database, tmp_path: Path) -> None:
    """The owner asks more than one job pays; the other would start at once."""
    async with open_edge(database) as edge:
        async with database.hub() as tx:
            await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", edge.clock.now())
            await asked(tx, "longdong", "ascend-910b", 4_000_000)
        [poor] = await submitted(database, "poor", spec=a_spec(ceiling_micro_yuan_per_pflops_hour=10_000_000))
        [rich] = await submitted(database, "rich", spec=a_spec(ceiling_micro_yuan_per_pflops_hour=20_000_000))
        write_profile(tmp_path, endpoint=f"127.0.0.1:{edge.port}", city="ganzhou")
        write_key(tmp_path, "city-ganzhou", edge.keys["ganzhou"])
        by = (edge.clock.now() + timedelta(minutes=10)).isoformat()

        waits = await xisuan("explain", job_text(poor), "--by", by, home=tmp_path)
        fits = await xisuan("explain", job_text(rich), "--by", by, home=tmp_path)
        without_zone = await xisuan("explain", job_text(poor), "--by", "2026-12-01T22:00", home=tmp_path)
        past = await xisuan("explain", job_text(poor), "--by", "2020-12-01T22:00Z", home=tmp_path)

    assert (waits.code, fits.code) == (0, 0), waits.err + fits.err
    assert "as it is, no time is known at which it could start\n\nwhat would start it by 2026-11-20 " in waits.out
    assert "each alone, the cheapest first:\n  raise the ceiling by 2.500004 yuan" in waits.out
    assert waits.out.rstrip().endswith(": could start now in longdong/ascend")
    assert fits.out.rstrip().endswith("as it is, it could start now in longdong/ascend if nobody else came")
    assert (without_zone.code, past.code) == (2, 1)
    assert "--by '2026-12-01T22:00' must be a time with its zone" in without_zone.err
    assert "start_by: must lie after " in past.err


async def test_when_a_job_is_likely_to_start_is_told_by_every_command_and_not_when_it_has_passed(
    database: Database, tmp_path: Path
) -> None:
    async with open_edge(database) as edge:
        [job] = await submitted(database, "waits", at=edge.clock.now())
        await expect(edge, StartDraft(job, 1, seconds(edge, 600), seconds(edge, 3_600)))
        write_profile(tmp_path, endpoint=f"127.0.0.1:{edge.port}", city="ganzhou")
        write_key(tmp_path, "city-ganzhou", edge.keys["ganzhou"])

        told = [await xisuan(*words, home=tmp_path) for words in (("job", job_text(job)), ("jobs",))]
        explained = await xisuan("explain", job_text(job), home=tmp_path)
        edge.clock.advance(seconds=3_600)
        passed = [
            await xisuan(*words, home=tmp_path)
            for words in (("job", job_text(job)), ("jobs",), ("explain", job_text(job)))
        ]

    assert all("(half of the jobs like it), by " in each.out and "(nine of ten)" in each.out for each in told)
    assert "It is expected to start by " in explained.out
    assert "(nine of ten jobs like it)." in explained.out
    assert [each.code for each in passed] == [0, 0, 0]
    assert not [each.out for each in passed if "expected" in each.out]


async def expect(edge: Edge, draft: StartDraft) -> None:
    async with edge.database.hub() as tx:
        await expected_starts.tell(tx, [draft])


def seconds(edge: Edge, later: int) -> int:
    return int(edge.clock.now().timestamp()) + later
