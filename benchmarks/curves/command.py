"""`python -m benchmarks curves`: how cost grows with jobs, nodes, cities and watchers."""

import asyncio
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.curves import planning, report, serving
from benchmarks.curves.curve import Curve
from benchmarks.result import Result
from benchmarks.rounds import Planner
from benchmarks.worlds.trace import RealJobs, real_jobs

_REST: Final = serving.Rest()


@dataclass(frozen=True, slots=True)
class Sizes:
    """How far each curve goes, and what stays the same for the rounds."""

    jobs: tuple[int, ...]
    nodes: tuple[int, ...]
    cities: tuple[int, ...]
    waiting: tuple[int, ...]
    watchers: tuple[int, ...]
    attached: tuple[int, ...]
    fixed_jobs: int
    fixed_nodes: int
    rest: serving.Rest = _REST


SMALL: Final = Sizes((20, 60), (30, 60), (2, 6), (1_000, 2_000), (2, 6), (120, 240), 60, 60, serving.Rest(0.5, 0.5))
"""As small as they can be: whether it works, and nothing else."""

USUAL: Final = Sizes(
    jobs=(1_000, 3_000, 10_000, 30_000),
    nodes=(100, 1_000, 3_000, 10_000),
    cities=(10, 30, 100, 300),
    waiting=(1_000, 3_000, 10_000, 30_000),
    watchers=(10, 30, 100, 300),
    attached=(150, 1_500, 15_000, 45_000),
    fixed_jobs=5_000,
    fixed_nodes=3_000,
)
FULL: Final = Sizes(
    jobs=(1_000, 10_000, 100_000, 1_000_000),
    nodes=(100, 1_000, 10_000, 100_000),
    cities=(10, 100, 1_000, 3_000),
    waiting=(1_000, 10_000, 100_000, 1_000_000),
    watchers=(10, 100, 300, 1_000),  # more are refused: a city may have a thousand
    attached=(150, 1_500, 15_000, 100_000),
    fixed_jobs=30_000,
    fixed_nodes=45_000,
)
PARTS: Final = ("rounds", "waiting", "watchers", "nodes")


def main(
    only: Annotated[
        list[str] | None, typer.Option(metavar="PART", help=f"Only these of {', '.join(PARTS)}; may be repeated.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="To 1,000,000 jobs and 100,000 nodes: takes hours, and 8 GiB.")
    ] = False,
    small: Annotated[bool, typer.Option("--small", help="As small as can be: shows that it works.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of worlds and jobs.")] = 1,
    data: Annotated[Path | None, typer.Option(envvar="XISUAN_DATA", help="Folder of traces.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the curves here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw curves.png there.")] = None,
) -> None:
    """Measure how cost grows: rounds, submission, reading, watching, agents at rest; with the exponent of each.

    A curve whose end is steeper than n log n is marked. Plans are verified and brokers audited: findings make the
    run void.
    """
    console = Console()
    unknown = sorted(set(only or ()) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(PARTS)}", param_hint="--only")
    if full and small:
        raise typer.BadParameter("not with --small", param_hint="--full")
    sizes = FULL if full else SMALL if small else USUAL
    curves, violations = measured(sizes, tuple(only or PARTS), seed, real_jobs(data), console)
    result = Result("curves", seed, {n: v for curve in curves for n, v in curve.figures().items()}, violations)
    console.print(table(curves))
    console.print("audit: clean" if not violations else f"[red]audit: VOID, {violations} violations[/]")
    if json_file is not None:
        result.write(json_file)
    if html is not None:
        report.write_html(html, curves, " ".join(["python -m benchmarks", *sys.argv[1:]]), violations)
    if plot is not None:
        plot.mkdir(parents=True, exist_ok=True)
        report.write_png(plot / "curves.png", curves)
    if violations:
        raise typer.Exit(1)


def measured(
    sizes: Sizes, parts: Sequence[str], seed: int, real: RealJobs, console: Console
) -> tuple[list[Curve], int]:
    """Measure these parts, one after the other; return their curves, and how much was found to be wrong."""

    def tell(line: str) -> None:
        console.print(line, highlight=False)

    luck = random.Random(seed)
    ways: Mapping[str, Callable[[], tuple[list[Curve], int]]] = {
        "rounds": lambda: _rounds(sizes, seed, real, tell),
        "waiting": lambda: asyncio.run(serving.by_waiting(sizes.waiting, luck, tell)),
        "watchers": lambda: asyncio.run(serving.by_watchers(sizes.watchers, luck, tell)),
        "nodes": lambda: asyncio.run(serving.by_nodes(sizes.attached, seed, tell, sizes.rest)),
    }
    curves, violations = [], 0
    for part in parts:
        found, wrong = ways[part]()
        curves += found
        violations += wrong
    return curves, violations


def _rounds(sizes: Sizes, seed: int, real: RealJobs, tell: Callable[[str], None]) -> tuple[list[Curve], int]:
    with Planner(threads=2) as planner:
        rounds = planning.Rounds(planner, seed, real, tell)
        curves = [
            rounds.by_jobs(sizes.jobs, sizes.fixed_nodes),
            rounds.by_nodes(sizes.nodes, sizes.fixed_jobs),
            rounds.by_cities(sizes.cities, sizes.fixed_nodes, sizes.fixed_jobs),
        ]
        return curves, rounds.violations


def table(curves: Sequence[Curve]) -> Table:
    """Return the exponents."""
    made = Table("cost", "over", "exponent", "at its end", "of n log n", title="how cost grows", title_justify="left")
    for curve in curves:
        end = f"{curve.fit.end:.2f}" + (" [red]steeper[/]" if curve.fit.steep else "")
        made.add_row(curve.told, curve.over, f"{curve.fit.whole:.2f}", end, f"{curve.fit.n_log_n:.2f}")
    return made
