"""The command line for tests: its commands, and `xisuan` as a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from broker.cli.main import app


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error that `--json` tells on stderr."""
        return json.loads(self.err)["error"]


async def xisuan(*arguments: str | Path, home: Path, **environment: str) -> Ended:
    """Run a command with a home folder and nothing else of the tester's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("XISUAN_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "broker.cli.main", "--home", str(home), "--patience-seconds", "0", *map(str, arguments),
        env=inherited | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it, groups left out."""
    yield from _below("", typer.main.get_command(app))


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield words.strip(), command
        return
    for name, child in children.items():
        yield from _below(f"{words} {name}", child)
