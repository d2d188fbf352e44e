"""`xisuan demo`: set the stage, play the trace, show it, sum it up, audit it."""

import asyncio
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from broker.audit.facts import EventFact, Facts
from broker.audit.main import gather
from broker.audit.rules import RULES, Finding, findings
from broker.client.admin import AdminClient
from broker.client.errors import XisuanError
from broker.client.results import Job
from broker.demo import chaos, display, trace
from broker.demo.programs import DemoFailed
from broker.demo.replay import Memory, Replay
from broker.demo.stage import PATIENT, Stage, set_up
from broker.demo.summary import RoundFigures, Summary, summarise
from broker.ids import parse_job
from broker.postgres import using


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What can be chosen.

    Attributes:
        seconds: time to which the day of the trace is compressed.
        jobs: how many jobs of the trace to play; 0 means all of the day.
        seed: of everything that is drawn (cities, builds, walltimes, failures).
        chaos: kill broker, an agent and PostgreSQL in the middle.
        keep: leave broker and agents running at the end, and the folder in place.
        folder: where everything is kept; None takes a temporary folder that is removed when all went well.
    """

    seconds: float = 35.0
    jobs: int = 0
    seed: int = 1
    chaos: bool = False
    keep: bool = False
    folder: Path | None = None


def run(options: DemoOptions, console: Console | None = None) -> int:
    """Run the demo. Return 0 when the audit is clean, 1 when it is not or something failed."""
    console = console or Console()
    if shutil.which("perl") is None:
        console.print("[red]The demo's jobs need perl, which every Debian has (package perl-base).[/]")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with set_up(options.folder, keep=options.keep) as stage:
            console.print(f"broker at {stage.endpoint}, {len(stage.agents)} agents; everything is in {stage.folder}")
            console.print(
                f"console at {stage.console}: log in with a key of {stage.home / 'keys'}, such as operator.key"
            )
            summary, found, checked = asyncio.run(_play(stage, options, console))
            display.print_summary(console, summary)
            display.print_audit(console, found, checked)
            if options.keep:
                console.print(f"left running: export XISUAN_HOME={stage.home}; xisuan jobs")
                console.print(f"console: open {stage.console} and log in with {stage.home / 'keys' / 'operator.key'}")
            if found:
                raise DemoFailed(f"the audit has findings; logs and data are in {stage.folder}")
    except DemoFailed as error:
        console.print(f"[red]{error}[/]")
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 1
    return 0


async def _play(stage: Stage, options: DemoOptions, console: Console) -> tuple[Summary, list[Finding], str]:
    rows = trace.load()
    planned = trace.submissions(
        rows[: options.jobs or len(rows)],
        cities=stage.cities,
        stacks=stage.stacks,
        replay_seconds=options.seconds,
        seed=options.seed,
    )
    replay = Replay(stage, planned)
    screen = display.Screen(console, stage)
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
    jobs = await replay.jobs()
    rounds, cards = await _rounds_and_cards(stage)
    found, checked = await _audit(stage, replay.memory, jobs)
    return summarise(jobs, rounds, cards), found, checked


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


async def _audit(stage: Stage, memory: Memory, jobs: list[Job]) -> tuple[list[Finding], str]:
    """Compare what the cities were told, what the tables say and what the engines recorded."""
    facts = await _facts(stage, memory)
    checked = (
        f"{len(RULES)} rules over {len(jobs)} jobs, {len(facts.leases)} leases, {len(facts.runs)} tasks in the "
        f"engines' own records, {len(facts.events)} events, {len(memory.seen)} seen by cities"
    )
    return findings(facts), checked


async def _facts(stage: Stage, memory: Memory) -> Facts:
    with using(stage.home / "postgres") as server:
        facts = await gather(server.dsn_hub, server.dsn_city, stage.records())
    return replace(
        facts,
        acknowledged=frozenset(parse_job(job) or 0 for job in memory.acknowledged),
        seen=tuple(
            EventFact(city, e.cursor, parse_job(e.job_id) or 0, e.kind.value, e.attempt) for city, e in memory.seen
        ),
    )
