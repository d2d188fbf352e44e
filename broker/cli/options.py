"""Options that many commands share, and how examples are shown by `--help`."""

from datetime import datetime
from typing import Annotated, TypeAlias

import typer

from broker.cli.errors import usage

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]
City: TypeAlias = Annotated[
    str, typer.Option("--city", metavar="CITY", help="Whose key to use from the home folder (XISUAN_CITY).")
]
AsOperator: TypeAlias = Annotated[
    bool, typer.Option("--operator", help="Use the operator's key; --city then says for which city.")
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")]
JobId: TypeAlias = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, such as job-42.")]
ClusterName: TypeAlias = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name of the cluster.")]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why, for the record; 1 to 256 characters.")]


def examples(*lines: str) -> str:
    """Return the examples of a command as the end of its help, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)  # \b: keep the lines as they are


def aware_time(option: str, text: str, *, as_json: bool) -> datetime:
    """Return the time that an option gives. Ends the program when it is none, or has no zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        usage(f"{option} {text[:80]!r} must be a time with its zone, such as 2026-12-01T22:00+08:00", as_json=as_json)
    return at
