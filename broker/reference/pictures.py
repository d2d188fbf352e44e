"""`python -m broker.reference.pictures` draws the README's pictures from a real, running demo.

The demo is played for a few seconds; its display is drawn into one picture, and real commands against the same broker
into the other.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from broker.client.admin import AdminClient
from broker.client.results import Job
from broker.demo import display, trace
from broker.demo.funding import fund
from broker.demo.money import purses
from broker.demo.replay import Memory, Replay
from broker.demo.stage import Stage, set_up
from broker.demo.trace import Submission

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "pictures"
PLAYED_SECONDS: Final = 16.0
SEED: Final = 1
PLACED_SHOWN: Final = 2
_FONT_FACES: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


@dataclass(slots=True)
class Photographer:
    """Takes both pictures beside the replay, once most of the trace was submitted and something waits."""

    stage: Stage
    programme: str

    async def photograph(self, memory: Memory) -> None:
        """Take the pictures and wait to be cancelled."""
        async with AdminClient(self.stage.endpoint, self.stage.key("operator")) as admin:
            while not _worth_a_picture(memory):  # noqa: ASYNC110  it rings no bell
                await asyncio.sleep(0.02)
            shown = replace(memory, seen=list(memory.seen))
            overview = await admin.overview()
            async with purses(self.stage, self.programme) as money:
                seen = await money.look()
            _draw("demo.svg", "make demo", 112, lambda console: console.print(display.draw(overview, shown, "", seen)))
            await asyncio.to_thread(_draw, "commands.svg", "xisuan", 160, self._commands)
        await asyncio.Event().wait()

    def _commands(self, console: Console) -> None:
        self._run(console, "xisuan jobs --city ganzhou --state running --limit 4")
        gang = (
            "xisuan submit --city ganzhou --name fine-tune --stack cann --tasks 2 --cards 8 --walltime 2h -- python3 -V"
        )
        job = self._run(console, gang).split()[0]
        self._run(console, f"xisuan explain {job} --city ganzhou")
        self._run(console, "xisuan rounds list --busy-only --limit 4")
        self._run(console, "xisuan rounds replay")

    def _run(self, console: Console, command: str) -> str:
        """Run a command as a person would, show it with what it prints, and return that."""
        environment = os.environ | {"XISUAN_HOME": str(self.stage.home), "COLUMNS": str(console.width)}
        told = subprocess.run(
            [sys.executable, "-m", "broker.cli.main", *command.split()[1:]],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(told), "")
        return told


def main() -> None:
    """Play the demo and draw."""
    FOLDER.mkdir(exist_ok=True)
    with set_up(None, keep=False) as stage:
        rows = trace.load()
        planned = trace.submissions(
            rows, cities=stage.cities, stacks=stage.stacks, replay_seconds=PLAYED_SECONDS, seed=SEED
        )
        jobs = asyncio.run(_play(stage, planned))
        print(f"played {len(jobs)} jobs; the pictures are in {FOLDER}")


async def _play(stage: Stage, planned: Sequence[Submission]) -> list[Job]:
    funds = await fund(stage)
    replay = Replay(stage, planned, funds)
    await replay.run(Photographer(stage, funds.programme).photograph)
    return await replay.jobs()


def _worth_a_picture(memory: Memory) -> bool:
    """Whether most was submitted and the last events say where something runs."""
    many = len(memory.acknowledged) >= memory.submitted_of * 0.6
    return many and sum(event.placement is not None for _, event in memory.last_events) >= PLACED_SHOWN


def _draw(name: str, title: str, width: int, draw: Callable[[Console], None]) -> None:
    """Write what is drawn as SVG, without the addresses of fonts: the reader's own will do."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=width, file=nowhere, force_terminal=True, color_system="truecolor")
        draw(console)
        picture = console.export_svg(title=title)
    (FOLDER / name).write_text(_FONT_FACES.sub("", picture), encoding="utf-8")


if __name__ == "__main__":
    main()
