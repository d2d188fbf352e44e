"""The page of the command line: the help of every command, as `--help` prints it."""

from collections.abc import Iterator
from typing import Final

import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from broker.cli.main import app
from broker.reference import markdown as md

WIDTH: Final = 110
INTRODUCTION: Final = """\
Every command has `--help` with examples; those that show something have `--json` for programs (field names as on the
[wire](wire.md)). Errors go to stderr: what is wrong, which field, what to do. Exit codes: 0 done, 1 refused or failed,
2 wrong usage, 3 broker unavailable."""


def page() -> str:
    """Return the page."""
    lines = md.generated("The command line", "`broker/cli/`", INTRODUCTION)
    for path in commands():
        lines += [f"## {' '.join(('xisuan', *path))}", "", "```text", *help_of(path).rstrip().split("\n"), "```", ""]
    return md.text(lines)


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group: (), ("rounds",), ("rounds", "show"), ..."""
    yield from _below((), typer.main.get_command(app))


def help_of(path: tuple[str, ...]) -> str:
    """Return what `xisuan PATH --help` prints."""
    told = CliRunner().invoke(
        app, [*path, "--help"], prog_name="xisuan", terminal_width=WIDTH, max_content_width=WIDTH, color=False
    )
    if told.exit_code:
        raise ValueError(f"no help for {path}: {told.output}")
    return told.output


def _below(path: tuple[str, ...], command: object) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _below((*path, name), inner)
