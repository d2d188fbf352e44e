"""`python -m benchmarks rivals`: real programs beside ours, one after the other, in one run on one machine."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.real_rivals import interpreters, ours, slurm
from benchmarks.real_rivals.tasks import NotMeasured, Size
from benchmarks.result import Result

RIVALS: Final[Mapping[str, Callable[[Path, Size], dict[str, float]]]] = {
    "slurm": slurm.measured,
    "hyperqueue": interpreters.hyperqueue,
    "ray": interpreters.ray,
}
XISUAN: Final = "xisuan"
COLUMNS: Final = (XISUAN, *RIVALS, "postgres", "grpc")
KEPT: Final = {
    XISUAN: "before the answer",
    "slurm": "a moment after it",
    "hyperqueue": "no (no journal)",
    "ray": "no",
    "postgres": "before the answer",
    "grpc": "nothing is kept",
}
"""When what was submitted would survive a crash, each as it is started here."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is compared with what: the name of each one's figure. Times are better small, rates large."""

    told: str
    figures: Mapping[str, str]
    submits: bool = True


_ALL: Final = (XISUAN, *RIVALS)
LINES: Final = (
    Line(
        "submitted a second, one by one",
        dict.fromkeys(_ALL, "submit_one_per_second")
        | {"postgres": "insert_one_per_second", "grpc": "unary_one_per_second"},
    ),
    Line(
        "the same, many at once",
        dict.fromkeys((XISUAN, "slurm"), "submit_many_per_second")
        | {"postgres": "insert_many_per_second", "grpc": "unary_many_per_second"},
    ),
    Line("the same, on a stream", {XISUAN: "submit_stream_per_second", "grpc": "stream_per_second"}),
    Line(
        "the same, in bulk",
        dict.fromkeys((XISUAN, "slurm", "hyperqueue"), "submit_bulk_per_second")
        | {"postgres": "copy_per_second", "grpc": "stream_of_batches_per_second"},
    ),
    Line("tasks run a second", dict.fromkeys(_ALL, "tasks_per_second"), submits=False),
    Line("the same, as one array", {"slurm": "array_tasks_per_second"}, submits=False),
    Line("the same, as jobs of their own", {"hyperqueue": "single_tasks_per_second"}, submits=False),
    Line("the same, without a program", {"ray": "calls_per_second"}, submits=False),
    Line("call to start when idle, ms", dict.fromkeys(_ALL, "start_p50_ms"), submits=False),
    Line("the same, longest", dict.fromkeys(_ALL, "start_max_ms"), submits=False),
)


def main(
    jobs: Annotated[int, typer.Option(min=10, max=100_000, help="Jobs that are only submitted, in each way.")] = 2_000,
    tasks: Annotated[int, typer.Option(min=1, max=100_000, help="Tasks of one card that run.")] = 500,
    probes: Annotated[int, typer.Option(min=1, max=1000, help="Single tasks on idle nodes.")] = 20,
    nodes: Annotated[int, typer.Option(min=1, max=64, help="Emulated nodes of eight cards, for each.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="Until all tasks of one must have run.")] = 180.0,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help=f"Only these of {', '.join(RIVALS)}; may be repeated.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="First install HyperQueue for you, and as root Slurm's Debian packages.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure Slurm, HyperQueue and Ray, bare PostgreSQL and bare gRPC beside Xisuan, each started for real.

    Everybody is given the same: single tasks on idle nodes, many tasks at once, and jobs that are only submitted. A
    task leaves a file: that is the evidence that it ran, and when. What cannot be had here is named with the reason and
    has no figures. Ours ends with the audit: findings make the run void.
    """
    console = Console()
    unknown = sorted(set(only or ()) - set(RIVALS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(RIVALS)}", param_hint="--only")
    if install:
        try:
            interpreters.install()
        except NotMeasured as error:
            raise typer.BadParameter(str(error), param_hint="--install") from error
    try:
        result = compared(Size(jobs, tasks, probes, nodes, seconds), tuple(only or RIVALS), console)
    except NotMeasured as error:  # of ours: a rival's stands below the table
        console.print(f"[red]{XISUAN}: not measured:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


def compared(size: Size, names: tuple[str, ...], console: Console) -> Result:
    """Measure ours, the ceilings and these rivals; print the table."""
    place = Path(tempfile.mkdtemp(prefix="xisuan-rivals-"))
    place.chmod(0o711)  # tasks of an unprivileged user must reach their folders below
    found: dict[str, dict[str, float]] = {}
    absent: dict[str, str] = {}
    try:
        console.print(f"{XISUAN}: {size.jobs:,} jobs in each way, then {size.tasks:,} tasks on {size.cards} cards ...")
        only_submitted = ours.submitted(size)
        ran = ours.ran(_folder(place, XISUAN), size)
        found[XISUAN] = only_submitted.ours | ran.ours
        found |= {"postgres": only_submitted.postgres, "grpc": only_submitted.echo}
        for name in names:
            console.print(f"{name} ...")
            try:
                found[name] = RIVALS[name](_folder(place, name), size)
            except NotMeasured as error:
                absent[name] = str(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    figures = {f"{name}.{figure}": value for name in COLUMNS for figure, value in found.get(name, {}).items()}
    result = Result("rivals", 0, figures, only_submitted.violations + ran.violations)
    console.print(table(figures))
    for name, why in absent.items():
        console.print(f"{name}: not measured: {why}", highlight=False)
    console.print("audit: clean" if not result.violations else f"[red]audit: VOID, {result.violations} violations[/]")
    return result


def table(figures: Mapping[str, float]) -> Table:
    """Return the figures beside each other, each with how many times ours it is."""
    made = Table("", "program", "figure", "times ours", "kept through a crash", title="rivals", title_justify="left")
    for line in LINES:
        ours_, told = figures.get(f"{XISUAN}.{line.figures.get(XISUAN, '')}"), line.told
        for name in COLUMNS:
            value = figures.get(f"{name}.{line.figures.get(name, '')}")
            if value is None:
                continue
            ratio = "" if name == XISUAN or not ours_ else f"{value / ours_:,.2f}"
            kept = KEPT[name] if line.submits else ""
            made.add_row(told, name, f"{value:,.0f}" if value >= 100 else f"{value:,.1f}", ratio, kept)
            told = ""
        made.add_section()
    return made


def _folder(place: Path, name: str) -> Path:
    folder = place / name
    folder.mkdir()
    folder.chmod(0o711)
    return folder
