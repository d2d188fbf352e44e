"""`python -m benchmarks load`: the whole exchange under load, and two runs beside each other."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from benchmarks.brokers import broker
from benchmarks.load.agents import Links
from benchmarks.load.arrivals import arrivals, flooded
from benchmarks.load.clients import Way
from benchmarks.load.engine import Faults
from benchmarks.load.figures import figures
from benchmarks.load.run import Live, LoadPlan, Ran, run
from benchmarks.load.worlds import NATIONAL_NODES, NATIONAL_POOLS, WORLDS, LoadWorld, world
from benchmarks.result import Result
from benchmarks.worlds.trace import real_jobs


def main(
    world_name: Annotated[str, typer.Option("--world", help=f"One of {', '.join(WORLDS)}.")] = "laptop",
    rate: Annotated[float, typer.Option(min=0.1, help="Submissions a second of all cities, on the average.")] = 20.0,
    minutes: Annotated[float, typer.Option(min=0.05, max=1440, help="Minutes of arrivals.")] = 1.0,
    way: Annotated[Way, typer.Option(help="A call for each job, a stream of each city, or batches on it.")] = Way.UNARY,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Client processes.")] = 2,
    in_flight: Annotated[int, typer.Option(min=1, max=10_000, help="Calls at once of each client process.")] = 256,
    run_seconds: Annotated[float, typer.Option(min=0.5, help="Nine of ten jobs run for so long at most.")] = 20.0,
    flood: Annotated[
        int, typer.Option(min=0, help="So many more jobs come after the minutes: to see a broker that holds them all.")
    ] = 0,
    flood_rate: Annotated[float, typer.Option(min=1, help="Those come so many a second.")] = 4_000.0,
    flood_sweep: Annotated[int, typer.Option(min=1, help="Of a city so many of those come at once.")] = 500,
    hour: Annotated[float, typer.Option(min=0, max=24, help="Time of the day (UTC+8) when it begins.")] = 10.0,
    node_failures: Annotated[float, typer.Option(min=0, help="Nodes that fail in an hour, of each cluster.")] = 0.0,
    cuts: Annotated[float, typer.Option(min=0, help="Times an hour that each cluster's link is cut.")] = 0.0,
    delay_ms: Annotated[tuple[float, float], typer.Option(help="One-way delay of links, least and most.")] = (4, 20),
    drain: Annotated[float, typer.Option(min=0, help="Seconds that are waited at most for what runs then.")] = 120.0,
    nodes: Annotated[int, typer.Option(min=120, help="Nodes of the national world.")] = NATIONAL_NODES,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Of the broker.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of world, arrivals, sizes and faults.")] = 1,
    data: Annotated[Path | None, typer.Option(envvar="XISUAN_DATA", help="Folder of traces.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with pictures here.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A.json B.json", help="Compare two runs instead.")
    ] = None,
) -> None:
    """Submit from many cities, open loop, while fake agents of all clusters run jobs over the real protocol.

    Everything is submitted when it is due, whatever the broker does, and latencies count from then. What is counted as
    submitted is in PostgreSQL after its acknowledgement, with fsync on. The run ends with the audit: findings make it
    void.

    A first look: python -m benchmarks load. The national world: python -m benchmarks load --world national --rate 500
    --minutes 5 --html load.html
    """
    console = Console()
    if compare is not None:
        console.print(compared(*compare))
        return
    if world_name not in WORLDS:
        raise typer.BadParameter(f"must be one of {', '.join(WORLDS)}", param_hint="--world")
    found = world(world_name, seed, nodes=nodes, pools=NATIONAL_POOLS)
    within = partial(arrivals, hour=hour, run_seconds_max=run_seconds, gang_cards_max=found.gang_cards_max)
    draw = partial(within, cities=found.cities, real=real_jobs(data))
    drawn, seconds = flooded(draw, seed, (rate, minutes * 60), (flood_rate, flood / flood_rate), flood_sweep)
    plan = LoadPlan(
        world=found,
        arrivals=drawn,
        seconds=seconds,
        drain_seconds=drain,
        way=way,
        client_processes=clients,
        in_flight_max=in_flight,
        seed=seed,
        faults=Faults(node_failures),
        links=Links((delay_ms[0] / 1000, delay_ms[1] / 1000), cuts),
    )
    console.print(
        f"{found.name}: {len(found.clusters)} clusters, {found.nodes:,} nodes, {found.cards:,} cards; "
        f"{drawn.at_seconds.size:,} submissions of {len(found.cities)} cities in {seconds:g} s, seed {seed}"
    )
    with broker(*(settings or ()), world=found.document) as running, Screen(console=console, transient=True) as screen:
        ran = run(running, plan, lambda live: screen.update(_shown(live, plan)))
    result = Result("load", seed, figures(ran, seconds, found.cards), len(ran.findings))
    _tell(console, result, ran, found, json_file, html)
    if ran.findings or result.figures["lost"]:
        raise typer.Exit(1)


def _tell(console: Console, result: Result, ran: Ran, on: LoadWorld, json_file: Path | None, html: Path | None) -> None:
    result.show(console)
    for finding in ran.findings[:20]:
        console.print(f"[red]{finding.rule}[/]: {finding.detail}")
    if json_file is not None:
        result.write(json_file)
    if html is not None:
        from benchmarks.load import report

        report.write(html, " ".join(["python -m benchmarks", *sys.argv[1:]]), result.figures, ran, on.cards)


def compared(a: Path, b: Path) -> Table:
    """Return two runs' figures beside each other. Raise BadParameter: a file is no benchmark's."""
    one, other = _read(a), _read(b)
    table = Table("figure", f"A: {one['commit']}", f"B: {other['commit']}", "B / A", title=f"{one['benchmark']}")
    for name in dict.fromkeys([*one["figures"], *other["figures"]]):
        x, y = one["figures"].get(name), other["figures"].get(name)
        ratio = f"{y / x:.2f}" if x and y is not None else ""
        table.add_row(name, *("" if v is None else f"{v:,.3f}" for v in (x, y)), ratio)
    return table


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(path.read_text())
        found["figures"], found["benchmark"], found["commit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"{path}: no figures of a benchmark ({error})", param_hint="--compare") from error
    return dict(found)


def _shown(live: Live, plan: LoadPlan) -> Group:
    counts, told, sample = live.counts, live.told, live.sample
    table = Table.grid(padding=(0, 3))
    table.add_row("phase", live.phase, "second", f"{max(live.second, 0):,.0f} of {plan.seconds:,.0f}")
    table.add_row("due", f"{counts.due:,}", "acknowledged", f"{counts.acknowledged:,}")
    table.add_row("refused", f"{sum(counts.refused.values()):,}", "events seen", f"{counts.events:,}")
    if told is not None:
        table.add_row("agents", f"{told.attached} of {len(plan.world.clusters)}", "running", f"{told.living:,}")
        table.add_row("nodes failed", f"{told.node_failures:,}", "links cut", f"{told.cuts:,}")
    if sample is not None:
        table.add_row("waiting", f"{sample.pending:,}", "cards in use", f"{sample.cards:,}")
    return Group(Text("load", style="bold"), table)
