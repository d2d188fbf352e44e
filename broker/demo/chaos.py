"""Kill what a real machine loses: the broker, an agent, the database. Each comes back, and nothing may be lost."""

import asyncio

from rich.console import Console

from broker.client.admin import AdminClient
from broker.demo.display import Screen
from broker.demo.programs import Program, kill_postmaster
from broker.demo.stage import PATIENT, Stage

DOWN_SECONDS = 1.5


async def strike(stage: Stage, screen: Screen, console: Console, *, over_seconds: float) -> None:
    """Kill agent, broker and PostgreSQL, spread over the replay; start again what nobody else would.

    Each blow waits until the last one is mended, so that it hits a system at work and not one that is starting.
    """
    agent = stage.agents[min(stage.agents)]
    pause = over_seconds / 5
    await asyncio.sleep(pause)
    await _kill_and_start(agent, screen, console)
    await asyncio.sleep(pause)
    await _kill_and_start(stage.broker, screen, console)
    await _until_served(stage)
    await asyncio.sleep(pause)
    _say(screen, console, f"kill -9 PostgreSQL (pid {kill_postmaster(stage.home)}); the broker starts it again")
    await _until_served(stage)
    screen.note = ""


async def _until_served(stage: Stage) -> None:
    async with AdminClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as admin:
        await admin.overview()


async def _kill_and_start(program: Program, screen: Screen, console: Console) -> None:
    pid = program.process.pid if program.process else 0
    _say(screen, console, f"kill -9 {program.name} (pid {pid})")
    await asyncio.to_thread(program.kill)
    await asyncio.sleep(DOWN_SECONDS)
    program.start()
    _say(screen, console, f"{program.name} started again")


def _say(screen: Screen, console: Console, text: str) -> None:
    screen.note = text
    console.print(f"[yellow]{text}[/]")
