"""One round at any size: worth, proven bound and time of the planner, beside simple rivals on the same instance.

The instance is drawn from a seed (`benchmarks/worlds/national.py`) or read from a file. The cold round knows nothing;
the warm one has the prices of the cold one, and 1 % of the jobs are others. Both plans pass the verifier at the end.
"""

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import rivals
from benchmarks.plots import bars
from benchmarks.result import Result
from benchmarks.worlds.national import changed, national
from benchmarks.worlds.summary import hardness
from benchmarks.worlds.trace import real_jobs
from scheduler.choices import Choices, choose
from scheduler.errors import SchedulerError
from scheduler.opening import prices_of
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.prices import capacity_rows
from scheduler.snapshot import Snapshot
from scheduler.verify import Violation, violations

CHANGED_SHARE = 0.01
LEFT_OUT = "milli-shares of a card, fabric domains, elastic jobs, quotas, power caps: the planner has no such rules yet"


@dataclass(frozen=True, slots=True)
class Round:
    """A plan and what it cost."""

    plan: Plan
    seconds: float
    cpu_seconds: float

    @property
    def gap(self) -> float:
        """How far the plan can be from the best, as a fraction of the bound."""
        return 1 - self.plan.objective / self.plan.bound if self.plan.bound else 0.0


def main(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of eight cards.")] = 45_000,
    pools: Annotated[int, typer.Option(min=1, help="Pools of unlike sizes over them.")] = 120,
    jobs: Annotated[int, typer.Option(min=1, help="Pending jobs.")] = 100_000,
    instance: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plan this snapshot (.npz) instead of a drawn one.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="XISUAN_DATA", help="Folder with the whole Philly trace.")
    ] = None,
    effort: Annotated[int, typer.Option(min=0, help="Steps of a round at most.")] = Policy.effort,
    budget: Annotated[float, typer.Option(min=0, help="Seconds of a round; asked between steps.")] = 8.0,
    warm_effort: Annotated[int, typer.Option(min=0, help="Steps of the warm round at most.")] = 2,
    one_model_seconds: Annotated[float, typer.Option(min=0, help="For the one-model rival; 0 leaves it out.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of the world.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw the comparison there.")] = None,
) -> None:
    """Plan one round of a national exchange, cold and warm, beside simple rivals; prove how good it is."""
    console = Console()
    world = _world(instance, seed, nodes, pools, jobs, data, console)
    policy = Policy(effort=effort, seed=seed)
    figures = {"compile_seconds": _compile()}
    console.print(f"compiled code ready after {figures['compile_seconds']:.1f} s (stored for the next process)")
    cold = _round(world, policy, budget)
    later = changed(world, seed, CHANGED_SHARE)
    warm = _round(later, replace(policy, effort=warm_effort, opening_prices=prices_of(world, cold.plan)), budget)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures |= {
        "cold_seconds": cold.seconds,
        "cold_cpu_seconds": cold.cpu_seconds,
        "warm_seconds": warm.seconds,
        "warm_cpu_seconds": warm.cpu_seconds,
        "gap_cold": cold.gap,
        "gap_warm": warm.gap,
        "objective": float(cold.plan.objective),
        "bound": float(cold.plan.bound),
        "peak_mib": peak_mib,
    }
    # the compiled packing of the rivals needs the arrays of a large instance, whatever the size is
    choices = choose(world, Policy(compiled_from_pairs=0))
    figures |= _rivals(choices, cold.plan, one_model_seconds, seed, console)
    _tell_instance(choices, console)
    found = [*violations(world, cold.plan), *violations(later, warm.plan)]
    _tell(found, console)
    result = Result("allocate", seed, figures, len(found))
    result.show(console)
    console.print(f"left out: {LEFT_OUT}")
    if json_file is not None:
        result.write(json_file)
    if plot is not None:
        _draw(plot, figures)
    if found:
        raise typer.Exit(1)


def _world(
    instance: Path | None, seed: int, nodes: int, pools: int, jobs: int, data: Path | None, console: Console
) -> Snapshot:
    if instance is not None:
        try:
            return Snapshot.from_bytes(instance.read_bytes())
        except (OSError, SchedulerError) as error:
            raise typer.BadParameter(str(error), param_hint="--instance") from error
    if nodes < pools:
        raise typer.BadParameter("there must be at least one node for each pool", param_hint="--nodes")
    try:
        real = real_jobs(data)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error
    console.print(f"world: {jobs:,} jobs, {nodes:,} nodes, {pools} pools, seed {seed}; sizes from {real.source}")
    return national(seed, nodes, pools, jobs, real)


def _compile() -> float:
    """Load or make the compiled code by planning a small instance as if it were large."""
    began = perf_counter()
    small = national(0, 8, 2, 50, real_jobs(None))
    plan(small, Policy(effort=2, compiled_from_pairs=0))
    return perf_counter() - began


def _round(world: Snapshot, policy: Policy, budget: float) -> Round:
    began, cpu = perf_counter(), process_time()
    made = plan(world, policy, _stop_after(budget))
    return Round(made, perf_counter() - began, process_time() - cpu)


def _stop_after(seconds: float) -> Callable[[], bool]:
    end = perf_counter() + seconds
    return lambda: perf_counter() >= end


def _rivals(choices: Choices, ours: Plan, one_model_seconds: float, seed: int, console: Console) -> dict[str, float]:
    """Return the rivals' objectives; what was not run has no figure."""
    table = Table("way", "worth, % of bound", "seconds", title="the same instance, other ways", title_justify="left")
    found: dict[str, rivals.Rival | None] = {
        "first_come": rivals.first_come(choices),
        "density": rivals.density(choices),
        "one_model": None,
    }
    if one_model_seconds:
        found["one_model"] = rivals.one_model(choices, capacity_rows(choices), one_model_seconds, seed)
    for name, rival in found.items():
        if rival is None:
            pairs = choices.pairs.pool.size
            table.add_row(name, f"none ({pairs:,} pairs; tried up to {rivals.ONE_MODEL_PAIRS_MAX:,})", "")
        else:
            table.add_row(name, f"{100 * rival.objective / max(ours.bound, 1):.2f}", f"{rival.seconds:.2f}")
    table.add_row("xisuan, cold", f"{100 * ours.objective / max(ours.bound, 1):.2f}", "below")
    console.print(table)
    return {name: float(rival.objective) for name, rival in found.items() if rival is not None}


def _tell_instance(choices: Choices, console: Console) -> None:
    hard = hardness(choices)
    console.print(
        f"instance: demand {hard.demand_over_free:.2f} x the free cards; {hard.gang_worth_share:.0%} of the worth in "
        f"gangs over 8 cards; {hard.two_builds_share:.0%} of the jobs with two builds or more"
    )
    for reason, jobs in sorted(hard.barred.items(), key=lambda item: -item[1]):
        console.print(f"  {jobs:>9,} jobs run nowhere: {reason.value}")
    console.print(
        f"  machine load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: compare CPU seconds when it is high"
    )


def _tell(found: list[Violation], console: Console) -> None:
    for violation in found[:20]:
        console.print(f"[red]{violation.rule.value}[/] {violation.detail}", highlight=False)


def _draw(folder: Path, figures: dict[str, float]) -> None:
    names = {"first_come": "first come", "density": "worth density", "one_model": "one model", "objective": "xisuan"}
    shares = {label: 100 * figures[name] / figures["bound"] for name, label in names.items() if name in figures}
    folder.mkdir(parents=True, exist_ok=True)
    bars(folder / "allocate.png", shares, "worth of the plan, % of the proven bound")
