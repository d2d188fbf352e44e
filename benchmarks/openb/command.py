"""`python -m benchmarks openb`: the published inflation experiment, all policies on the same streams, audited."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.openb.audit import findings
from benchmarks.openb.backlog import PLANNER, RIVALS, Packed, backlog
from benchmarks.openb.measure import LOADS, allocated, at, fragmented, published
from benchmarks.openb.plot import draw
from benchmarks.openb.run import POLICIES, run
from benchmarks.openb.shapes import mix_of_list
from benchmarks.openb.trace import BadTrace, arrivals, read_nodes, read_requests
from benchmarks.result import Result

PUBLISHED_FILE = "published_fgd_allo.csv.gz"
LIST_PREFIX = "openb_pod_list_"
FINDINGS_SHOWN = 10
SEEDS_MOST = 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy over all seeds.

    Attributes:
        curves: for each seed, allocated GPU % by arrived load.
        fragmented: milli that typical tasks cannot use after the last arrival, in % of the capacity, for each seed.
        per_second: decisions, compilation left out.
        findings: of the audit.
    """

    curves: Sequence[Mapping[int, float]]
    fragmented: Sequence[float]
    per_second: float
    findings: Sequence[str]

    def at(self, load: int) -> NDArray[np.float64]:
        """Return allocated GPU % at an arrived load, one for each seed."""
        return np.array([at(curve, load) for curve in self.curves])


def main(
    nodes: Annotated[Path, typer.Option(metavar="FILE", help="Node list (CSV, CSV.gz); also looked up in --data.")],
    pods: Annotated[Path, typer.Option(metavar="FILE", help="Task list, likewise.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", envvar="XISUAN_DATA", help="Folder (or its parent) of lists and published figures."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="LIST", help="Of the streams: 7, 42-51 or 1,5,9-12.")] = "42-51",
    policy: Annotated[str, typer.Option(metavar="LIST", help=f"Of {', '.join(POLICIES)}.")] = ",".join(POLICIES),
    as_backlog: Annotated[
        bool,
        typer.Option("--backlog", help="All tasks known at once: our planner beside rivals fed the largest first."),
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw allocated % over arrived load here.")] = None,
) -> None:
    """Measure how full a GPU cluster gets when tasks come one by one and none leaves (FGD's experiment)."""
    console = Console()
    chosen, numbers = _policies(policy), _seeds(seeds)
    if as_backlog and plot is not None:
        raise typer.BadParameter("--plot: a backlog has no curve over arrived load: leave one of the two out")
    try:
        if as_backlog:
            _backlog(_found(nodes, data), _found(pods, data), numbers, console, json_file)
            return
        measured = _measure(_found(nodes, data), _found(pods, data), chosen, numbers, console)
    except (BadTrace, OSError, EOFError, UnicodeDecodeError, csv.Error) as wrong:
        raise typer.BadParameter(str(wrong)) from None
    workload = pods.name.removeprefix(LIST_PREFIX).split(".")[0]
    beside = published(_found(Path(PUBLISHED_FILE), data), workload) if _has(PUBLISHED_FILE, data) else {}
    _show(console, workload, measured, beside)
    if plot is not None:
        console.print(f"plot: {draw(plot, workload, {name: one.curves for name, one in measured.items()})}")
    found = {name: one.findings for name, one in measured.items()}
    _end(console, numbers[0], _figures(measured), found, json_file)


def _end(
    console: Console,
    seed: int,
    figures: Mapping[str, float],
    found: Mapping[str, Sequence[str]],
    json_file: Path | None,
) -> None:
    """Show and write the figures; end with 1 when the audit found anything."""
    result = Result("openb", seed, figures, sum(len(one) for one in found.values()))
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        for name, one in found.items():
            for finding in one[:FINDINGS_SHOWN]:
                console.print(f"{name}: {finding}", style="red")
        raise typer.Exit(1)


def _backlog(node_file: Path, pod_file: Path, seeds: Sequence[int], console: Console, json_file: Path | None) -> None:
    nodes, requests = read_nodes(node_file), read_requests(pod_file)
    capacity_milli, mix = sum(node.cards for node in nodes) * 1000, mix_of_list(requests)
    packed: dict[str, list[Packed]] = {name: [] for name in (*RIVALS, PLANNER)}
    for seed in seeds:
        for name, one in backlog(nodes, arrivals(requests, capacity_milli, seed), mix, seed).items():
            packed[name].append(one)
        ours = packed[PLANNER][-1]
        bound = "none" if ours.bound_percent is None else f"{ours.bound_percent:.3f}"
        console.print(f"seed {seed}: {ours.percent:.3f} % allocated, bound {bound}, {ours.seconds:.1f} s")
    title = f"{pod_file.name}: backlog at 130 % asked, mean of {len(seeds)} seeds +- deviation"
    table = Table("policy", "allocated GPU %", "left out, no card", "seconds", title=title, title_justify="left")
    figures: dict[str, float] = {}
    for name, runs in packed.items():
        percent, left_out = np.array([one.percent for one in runs]), np.mean([one.left_out for one in runs])
        seconds = np.mean([one.seconds for one in runs])
        table.add_row(name, f"{percent.mean():.2f} +- {percent.std():.2f}", f"{left_out:.0f}", f"{seconds:.1f}")
        figures[f"backlog_{name}@130"] = float(percent.mean())
        figures |= {f"backlog_{name}_left_out": float(left_out), f"backlog_{name}_seconds": float(seconds)}
    bounds = [one.bound_percent for one in packed[PLANNER] if one.bound_percent is not None]
    if bounds:
        table.add_row("bound", f"{np.mean(bounds):.2f} +- {np.std(bounds):.2f}", "", "")
        figures["backlog_bound@130"] = float(np.mean(bounds))
    console.print(table)
    found = {
        name: [f"seed {s}: {what}" for s, one in zip(seeds, runs, strict=True) for what in one.found]
        for name, runs in packed.items()
    }
    _end(console, seeds[0], figures, found, json_file)


def _measure(
    node_file: Path, pod_file: Path, chosen: Sequence[str], seeds: Sequence[int], console: Console
) -> dict[str, Measured]:
    nodes, requests = read_nodes(node_file), read_requests(pod_file)
    capacity_milli = sum(node.cards for node in nodes) * 1000
    mix = mix_of_list(requests)
    measured = {}
    for name in chosen:
        # Compile before the clock runs; the few arrivals change nothing, every run starts from an empty cluster.
        warm = arrivals(requests, capacity_milli, seeds[0])
        run(name, nodes, type(warm)(warm.classes, warm.order[:10]), mix, seeds[0])
        curves, lost, found, seconds, decisions = [], [], [], 0.0, 0
        for seed in seeds:
            stream = arrivals(requests, capacity_milli, seed)
            done = run(name, nodes, stream, mix, seed)
            curves.append(allocated(done.placements, stream.milli(), capacity_milli))
            lost.append(fragmented(nodes, stream, done.placements, mix.typical))
            found += [f"seed {seed}: {what}" for what in findings(nodes, stream, done.placements)]
            seconds, decisions = seconds + done.seconds, decisions + len(stream.order)
        measured[name] = Measured(curves, lost, decisions / seconds, found)
        console.print(f"{name}: {len(seeds)} seeds, {decisions:,} decisions in {seconds:.1f} s")
    return measured


def _figures(measured: Mapping[str, Measured]) -> dict[str, float]:
    figures = {f"{name}@{load}": float(one.at(load).mean()) for name, one in measured.items() for load in LOADS}
    figures |= {f"{name}_fragmented@130": float(np.mean(one.fragmented)) for name, one in measured.items()}
    return figures | {f"{name}_per_second": one.per_second for name, one in measured.items()}


def _show(
    console: Console, workload: str, measured: Mapping[str, Measured], beside: Mapping[str, Mapping[int, float]]
) -> None:
    seeds = len(next(iter(measured.values())).curves)
    title = f"{workload}: allocated GPU % at arrived load, mean of {seeds} seeds +- deviation (published)"
    table = Table("policy", *(f"{load} %" for load in LOADS), "fragmented %", title=title, title_justify="left")
    for name, one in measured.items():
        cells = []
        for load in LOADS:
            told = f" ({beside[name][load]:.2f})" if name in beside else ""
            cells.append(f"{one.at(load).mean():.2f} +- {one.at(load).std():.2f}{told}")
        table.add_row(name, *cells, f"{np.mean(one.fragmented):.2f}")
    console.print(table)


def _policies(text: str) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        raise typer.BadParameter(f"--policy: no {unknown[0]!r:.40}; there are {', '.join(POLICIES)}")
    return names


def _seeds(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            raise typer.BadParameter(f"--seeds: {part!r:.40} is neither a number nor a range such as 42-51") from None
        if high < low or high - low >= SEEDS_MOST:
            raise typer.BadParameter(f"--seeds: {part!r:.40}: give a range upwards, of at most {SEEDS_MOST} seeds")
        numbers += range(low, high + 1)
    return list(dict.fromkeys(numbers))


def _places(data: Path | None) -> list[Path]:
    return [data, data / "openb"] if data is not None else []


def _has(name: str, data: Path | None) -> bool:
    return any((folder / name).exists() for folder in _places(data))


def _found(file: Path, data: Path | None) -> Path:
    """Return the file as given, else from the data folder."""
    for candidate in [file, *(folder / file for folder in _places(data))]:
        if candidate.exists():
            return candidate
    hint = "give --data DIR or set XISUAN_DATA" if data is None else f"nor below {data}"
    raise BadTrace(f"{file} does not exist: {hint}")
