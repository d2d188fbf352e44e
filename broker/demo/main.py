"""`xisuan demo`: set the stage and play a scenario on it."""

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rich.console import Console

from broker.audit.rules import Finding
from broker.demo import day, rush
from broker.demo.options import DemoOptions, Scenario
from broker.demo.programs import DemoFailed, make_machine_code
from broker.demo.stage import Stage, set_up

SCENARIOS: Final[Mapping[Scenario, Callable[[Stage, DemoOptions, Console], Awaitable[list[Finding]]]]] = {
    Scenario.DAY: day.play,
    Scenario.VOUCHER_RUSH: rush.play,
}
"""Each plays, prints what came of it, and returns what the audit found."""


def run(options: DemoOptions, console: Console | None = None) -> int:
    """Run the demo. Return 0 when the audit is clean, 1 when it is not or something failed."""
    console = console or Console()
    if shutil.which("perl") is None:
        console.print("[red]The demo's jobs need perl, which every Debian has (package perl-base).[/]")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with console.status("making the planner's machine code (some minutes the first time, then a second) ..."):
            make_machine_code()  # or the jobs of the first minutes would all wait for it
        with set_up(options.folder, keep=options.keep) as stage:
            console.print(f"broker at {stage.endpoint}, {len(stage.agents)} agents; everything is in {stage.folder}")
            console.print(
                f"console at {stage.console}: log in with a key of {stage.home / 'keys'}, such as operator.key"
            )
            found = asyncio.run(_played(stage, options, console))
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


async def _played(stage: Stage, options: DemoOptions, console: Console) -> list[Finding]:
    return await SCENARIOS[options.scenario](stage, options, console)
