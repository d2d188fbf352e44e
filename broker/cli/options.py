"""Options that many commands share, and how examples are shown by `--help`."""

from typing import Annotated, TypeAlias

import typer

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
