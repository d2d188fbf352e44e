"""`python -m benchmarks replay`: a trace through every policy in virtual time, audited."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.replay import engine, rivals
from benchmarks.replay.audit import findings
from benchmarks.replay.bound import STEPS, priced_bound, worth_bound
from benchmarks.replay.demand import emergencies, gangs
from benchmarks.replay.engine import Log
from benchmarks.replay.exchange import Exchange, round_seconds
from benchmarks.replay.metrics import Outcome, figures, outcome
from benchmarks.replay.preempting import Preempting
from benchmarks.replay.public import read_trace, scaled
from benchmarks.replay.quoting import Quotes, drawn
from benchmarks.replay.trace import BadTrace, Trace
from benchmarks.replay.workload import Workload, in_world
from benchmarks.replay.world import BUNDLED, World, read_world
from benchmarks.result import Result
from scheduler.errors import BadPolicy
from scheduler.policy import Policy

GENERATED: Final[Mapping[str, Callable[[World, int, int], Trace]]] = {"gangs": gangs, "emergencies": emergencies}
OURS: Final = "xisuan"
STOPPING: Final = "xisuan+preempt"
RIVALS: Final[Mapping[str, Callable[[Workload], engine.Policy]]] = {
    "fifo": rivals.first_come,
    "easy": rivals.Easy,
    "sjf": rivals.shortest_first,
    "las": rivals.LeastAttained,
    "density": rivals.densest_first,
}
POLICIES: Final = (*RIVALS, OURS)
FINDINGS_SHOWN: Final = 10
LOOKS_PER_SECOND: Final = 1
"""Of the progress bar: more often it took a twentieth of a replay's time."""
_FOLDERS: Final = ("", "philly", "gavel")


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """One policy's run."""

    log: Log
    known: Outcome
    figures: Mapping[str, float]
    findings: list[str]
    seconds: float


def main(
    jobs: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Trace (CSV, CSV.gz; columns in benchmarks/README.md), also looked up in --data; or generated: "
            "'gangs' of up to 1,024 cards, 'emergencies' among them. Default: a day of Philly that is bundled.",
        ),
    ] = "",
    world: Annotated[
        str, typer.Option(metavar="FILE", help=f"World (YAML, JSON), or a bundled one: {', '.join(BUNDLED)}.")
    ] = "philly-day",
    policy: Annotated[str, typer.Option(metavar="LIST", help=f"Of {', '.join(POLICIES)}.")] = ",".join(POLICIES),
    limit: Annotated[int, typer.Option(min=0, help="The first so many jobs by arrival; 0: all.")] = 0,
    load: Annotated[
        float, typer.Option(min=0.001, max=1000, help="Arrivals come so many times as densely; durations stay.")
    ] = 1.0,
    part: Annotated[int, typer.Option(min=0, help="Of a file with several traces (Gavel's seeds), which.")] = 0,
    every: Annotated[
        int, typer.Option("--round", min=0, help="Least virtual seconds between rounds; 0: span / 20,000.")
    ] = 0,
    preempt: Annotated[
        bool, typer.Option("--preempt", help="Ours once more, with emergencies stopping what writes checkpoints.")
    ] = False,
    quotes: Annotated[float, typer.Option(min=0, max=100, help="Percent of jobs that ask ours for a quote.")] = 0.0,
    effort: Annotated[int, typer.Option(min=0, help="Steps of a round at most.")] = 4,
    changed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=N", help="Change a number of our policy (scheduler/policy.py)."),
    ] = None,
    bound_steps: Annotated[
        int, typer.Option(min=0, max=100_000, help="Of the search for a low bound on worth; no use with --preempt.")
    ] = STEPS,
    data: Annotated[Path | None, typer.Option(metavar="DIR", envvar="XISUAN_DATA", help="Folder of traces.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of walltimes, prices, priorities, gangs and rounds.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw waiting, sizes and time here.")] = None,
) -> None:
    """Replay a trace in virtual time: our planner and placer beside FIFO, EASY backfill, SJF, LAS and worth density.

    Every policy sees the same jobs, prices and requested walltimes (people's over-estimates), never the true duration.
    Each run is audited by itself: no card twice, gangs whole, promises kept or accounted, all jobs done.

    A first look: python -m benchmarks replay. The whole of Philly on a cluster that it fills:
    python -m benchmarks replay --data DIR --jobs philly_jobs.csv.gz --world philly-small
    """
    console = Console()
    chosen = _policies(policy) + [STOPPING] * preempt
    if quotes and OURS not in chosen:
        raise typer.BadParameter(f"only {OURS} quotes: name it in --policy", param_hint="--quotes")
    try:
        there = read_world(world)
        work = in_world(_trace(jobs, data, there, limit, part, load, seed), there, seed)
    except (BadTrace, OSError, EOFError, UnicodeDecodeError) as wrong:
        raise typer.BadParameter(str(wrong)) from None
    step = every or round_seconds(work.trace.span_s)
    console.print(f"{work.trace.source}\non {there.name}: {there.cards:,} cards, load {work.load:.2f}, seed {seed}")
    if OURS in chosen or preempt:
        console.print(f"rounds at least {step} s apart, effort {effort}")
    margin = {"lease_end_margin_seconds": 0}  # here leases end when they must
    ours = _policy({"effort": effort, "seed": seed} | margin | dict(map(_setting, changed or [])))
    asking = Quotes(work, ours, drawn(work, quotes, seed).tolist())
    by_name = {OURS: lambda: Exchange(work, ours, step, asking), STOPPING: lambda: Preempting(work, ours, step)}
    runs = _replayed(chosen, work, by_name, console)
    _table(runs, console)
    if plot is not None:
        _plot(plot, there.name, work, runs, console)
    _end(runs, worth_bound(work) if preempt else _bound(work, bound_steps, console), seed, json_file, console)


def _setting(text: str) -> tuple[str, int]:
    name, sign, value = text.partition("=")
    if not sign or not value.strip().isdecimal():
        raise typer.BadParameter(f"{text!r} must be NAME=N, a whole number", param_hint="--set")
    return name.strip(), int(value)


def _policy(values: Mapping[str, int]) -> Policy:
    try:
        return Policy.from_json(json.dumps(json.loads(Policy().to_json()) | values))
    except BadPolicy as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--set") from None


def _policies(text: str) -> list[str]:
    names = list(dict.fromkeys(name for name in text.split(",") if name))
    unknown = [name for name in names if name not in POLICIES]
    if unknown or not names:
        raise typer.BadParameter(f"--policy: {', '.join(unknown) or 'nothing'}: choose of {', '.join(POLICIES)}")
    return names


def _trace(jobs: str, data: Path | None, world: World, limit: int, part: int, load: float, seed: int) -> Trace:
    if jobs in GENERATED:
        found = GENERATED[jobs](world, seed, limit)
    elif not jobs:
        with resources.as_file(resources.files("broker.demo") / "philly_day.csv.gz") as bundled:
            found = read_trace(bundled, limit)
    else:
        found = read_trace(_file(jobs, data), limit, part)
    return scaled(found, load) if load != 1 else found


def _file(jobs: str, data: Path | None) -> Path:
    places = [Path(jobs)] + [data / folder / jobs for folder in _FOLDERS if data is not None]
    for place in places:
        if place.is_file():
            return place
    raise BadTrace(f"{jobs}: is no file here" + (f", and none in {data}" if data else "; give its folder by --data"))


def _replayed(
    names: list[str], work: Workload, ours_by: Mapping[str, Callable[[], Exchange]], console: Console
) -> dict[str, Replayed]:
    runs = {}
    with Progress(console=console, transient=True, refresh_per_second=LOOKS_PER_SECOND) as progress:
        for name in names:
            task = progress.add_task(name, total=work.jobs)
            ours = ours_by[name]() if name in ours_by else None
            began = perf_counter()
            log = engine.replay(
                work,
                ours or RIVALS[name](work),
                lambda arrived, task=task: progress.update(task, completed=arrived),  # type: ignore[misc]
            )
            seconds = perf_counter() - began
            known = outcome(work, log)
            found = figures(work, log, known) | {"seconds": seconds}
            if ours is not None:
                found |= {"rounds": float(ours.rounds), "round_ms": 1000 * ours.round_seconds / max(ours.rounds, 1)}
            runs[name] = Replayed(log, known, found, findings(work, log, known.promises_broken), seconds)
    return runs


def _bound(work: Workload, steps: int, console: Console) -> float:
    """Return what no policy that stops nobody can earn."""
    with Progress(console=console, transient=True, refresh_per_second=LOOKS_PER_SECOND) as progress:
        task = progress.add_task("bound", total=steps)
        return priced_bound(work, steps, lambda done: progress.update(task, completed=done))


def _table(runs: Mapping[str, Replayed], console: Console) -> None:
    """Print the figures side by side: a column for each policy."""
    table = Table(title="replay", title_justify="left", padding=(0, 0))
    table.add_column("figure", no_wrap=True)
    for name in runs:
        table.add_column(name, justify="right", no_wrap=True)
    for figure in dict.fromkeys(each for run in runs.values() for each in run.figures):
        values = (run.figures.get(figure) for run in runs.values())
        table.add_row(figure, *("" if value is None else _told(value) for value in values))
    console.print(table)


def _told(value: float) -> str:
    """Return the figure as a table has room for it: M and G are millions and thousands of millions."""
    for unit, size in (("G", 10**9), ("M", 10**6)):
        if abs(value) >= size:
            return f"{value / size:,.2f}{unit}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.3f}"


def _plot(folder: Path, place: str, work: Workload, runs: Mapping[str, Replayed], console: Console) -> None:
    from benchmarks.replay.plot import draw

    logs, waits = {name: r.log for name, r in runs.items()}, {name: r.known.wait_s for name, r in runs.items()}
    for file in draw(folder, place, work, logs, waits):
        console.print(f"plot: {file}")


def _end(runs: Mapping[str, Replayed], bound: float, seed: int, json_file: Path | None, console: Console) -> None:
    """Show and write what is left to say; end with 1 when the audit found anything."""
    violations = sum(len(run.findings) for run in runs.values())
    found = {f"{name}.{figure}": value for name, run in runs.items() for figure, value in run.figures.items()}
    if bound > 0:  # nothing can be earned until the last arrival where everybody comes at once
        shares = ", ".join(f"{name} {100 * run.figures['worth'] / bound:.1f}" for name, run in runs.items())
        console.print(f"worth in % of what even knowing all durations could not exceed ({_told(bound)}): {shares}")
    found["bound.worth"] = bound
    if json_file is not None:
        Result("replay", seed, found, violations).write(json_file)
    for name, run in runs.items():
        for finding in run.findings[:FINDINGS_SHOWN]:
            console.print(f"{name}: {finding}", style="red")
    console.print(f"audit: {'clean' if not violations else f'[red]VOID: {violations} violations[/]'}")
    if violations:
        raise typer.Exit(1)
