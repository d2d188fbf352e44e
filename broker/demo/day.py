"""The scenario "day": a day of a real trace, time compressed, paid out of prepaid accounts and vouchers."""

import asyncio

from rich.console import Console

from broker.audit.rules import Finding
from broker.client.admin import AdminClient
from broker.client.errors import XisuanError
from broker.demo import chaos, display, money, money_tables, trace
from broker.demo.auditing import audit
from broker.demo.funding import fund
from broker.demo.options import DemoOptions
from broker.demo.programs import DemoFailed
from broker.demo.replay import Replay
from broker.demo.stage import PATIENT, Stage
from broker.demo.summary import RoundFigures, summarise


async def play(stage: Stage, options: DemoOptions, console: Console) -> list[Finding]:
    """Play it, show it, sum it up with its money, audit it; return what the audit found. Raise DemoFailed."""
    rows = trace.load()
    planned = trace.submissions(
        rows[: options.jobs or len(rows)],
        cities=stage.cities,
        stacks=stage.stacks,
        replay_seconds=options.seconds,
        seed=options.seed,
    )
    try:
        funds = await fund(stage)
    except XisuanError as error:
        raise DemoFailed(f"the demo's money was refused: {error}; see the logs in {stage.folder}") from None
    replay = Replay(stage, planned, funds)
    screen = display.Screen(console, stage, programme=funds.programme)
    blows = chaos.strike(stage, screen, console, over_seconds=options.seconds) if options.chaos else _no_blows()
    striking = asyncio.create_task(blows)
    try:
        await replay.run(screen.show)
        await striking
    except* TimeoutError:
        missing = len(planned) - len(replay.memory.final)
        raise DemoFailed(f"{missing} jobs did not end in time; see the logs in {stage.folder}") from None
    except* XisuanError as errors:
        raise DemoFailed(f"a call failed: {errors.exceptions[0]}; see the logs in {stage.folder}") from None
    finally:
        striking.cancel()
    try:
        closing = await money.close(stage, funds.programme)
        jobs = await replay.jobs()
        rounds, cards = await _rounds_and_cards(stage)
    except XisuanError as error:
        raise DemoFailed(f"a call failed: {error}; see the logs in {stage.folder}") from None
    found, checked = await audit(stage, replay.memory, jobs)
    display.print_summary(console, summarise(jobs, rounds, cards))
    display.print_audit(console, found, checked)
    money_tables.print_closing(console, closing)
    return found


async def _no_blows() -> None:
    """Strike nothing."""


async def _rounds_and_cards(stage: Stage) -> tuple[list[RoundFigures], int]:
    async with AdminClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as admin:
        rounds = [
            RoundFigures(r.placed, r.gap_ppm, r.snapshot_millis + r.plan_millis + r.verify_millis + r.commit_millis)
            async for r in admin.rounds(busy_only=True, page_size=1000)
        ]
        clusters = await admin.clusters()
    return rounds, sum(pool.cards for cluster in clusters for pool in cluster.pools)
