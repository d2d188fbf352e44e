"""One round at any size: worth, proven bound and time of the planner, beside simple rivals on the same instance.

The instance is drawn from a seed (`benchmarks/worlds/national.py`) or read from a file. The cold round knows nothing;
the warm one has its prices and seats, and 1 % of the jobs are others. The same world with fewer rules shows what
each rule costs. Every plan and every rival's placements pass the verifier at the end.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final, Protocol

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import one_model, plots, rivals, sweep
from benchmarks.result import Result
from benchmarks.rounds import Planner, Round
from benchmarks.worlds.later import later
from benchmarks.worlds.national import national
from benchmarks.worlds.rule_sets import RULE_SETS, with_rules
from benchmarks.worlds.summary import COUNTED, binding, hardness
from benchmarks.worlds.trace import RealJobs, real_jobs
from scheduler.errors import SchedulerError
from scheduler.opening import prices_of, seats_of
from scheduler.plan import Placement, Plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import Violation, violations

CHANGED_SHARE: Final = 0.01
FINDINGS_SHOWN: Final = 20
EVERY_RULE: Final = "power_quota"
PICTURE_BUDGETS: Final = (0.05, 0.125, 0.25, 0.5)
"""Parts of the budget at which the gap is measured for the picture, each by a round of its own."""


class Plans(Protocol):
    """Who makes the plans: the planner in a process of its own, or a test that spoils what it made."""

    def compile(self) -> float:
        """Make ready; return the seconds."""

    def round(self, world: Snapshot, policy: Policy, budget: float) -> Round:
        """Plan the world within this many seconds; 0 for no limit."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one run measures; the fields are the options of the command."""

    world: Callable[[], Snapshot]
    effort: int = Policy.effort
    budget: float = 7.5
    warm_effort: int = 2
    one_model_seconds: float = 60.0
    one_model_memory_mib: float = 8_192.0
    one_model_hint: bool = False
    seed: int = 1
    rule_sets: bool = True
    plot: Path | None = None


@dataclass(slots=True)
class Measured:
    """What a run has found so far."""

    world: Snapshot
    cold: Round
    figures: dict[str, float]
    found: list[tuple[str, Violation]] = field(default_factory=list)  # whose plan, and what it breaks


def main(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of eight cards.")] = 45_000,
    pools: Annotated[int, typer.Option(min=1, help="Pools of unlike sizes over them.")] = 120,
    jobs: Annotated[int, typer.Option(min=1, help="Pending jobs.")] = 100_000,
    instance: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plan this snapshot (.npz) instead of a drawn one.")
    ] = None,
    save_instance: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the drawn snapshot here, for --instance.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="XISUAN_DATA", help="Folder with the whole traces.")
    ] = None,
    effort: Annotated[int, typer.Option(min=0, help="Steps of a round at most.")] = Policy.effort,
    budget: Annotated[float, typer.Option(min=0, help="Seconds of a round, asked between steps; 0: no limit.")] = 7.5,
    warm_effort: Annotated[int, typer.Option(min=0, help="Steps of the warm round at most.")] = 2,
    one_model_seconds: Annotated[
        float, typer.Option(min=0, help="Of the solver, for the one-model rival; 0 leaves it out.")
    ] = 60,
    one_model_memory_mib: Annotated[
        float, typer.Option(min=1, help="Memory at which the one-model rival is killed; it has a process of its own.")
    ] = 8_192,
    one_model_hint: Annotated[
        bool, typer.Option(help="Run it a second time, beginning with the plan of worth density.")
    ] = False,
    rule_sets: Annotated[bool, typer.Option(help="Plan the same world with fewer rules as well.")] = True,
    growth: Annotated[
        bool, typer.Option("--sweep", help="Measure how cost grows with the jobs instead, from 1,000 on.")
    ] = False,
    sweep_max: Annotated[int, typer.Option(min=sweep.JOBS_MIN, help="Jobs of the largest --sweep.")] = 1_000_000,
    threads: Annotated[int, typer.Option(min=1, help="Of the planner; they change its time, not its plan.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the world.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw pictures there.")] = None,
) -> None:
    """Plan one round of a national exchange, cold and warm, beside simple rivals; prove how good it is.

    The last table counts how many jobs each rule binds. Rules of where a job may run: refused jobs that lose at least
    one pool by it. Rules with a price (blocks of cards, slices, domains, CPU, memory, power, quota): jobs refused, or
    placed for less than their best choice is worth, that would pay this price for that best choice.
    """
    console = Console()
    if nodes < pools:
        raise typer.BadParameter("there must be at least one node for each pool", param_hint="--nodes")
    real = _real(data)
    if growth:
        result = sweep.measured(nodes, pools, sweep_max, real, effort, seed, threads, plot, console)
    else:
        settings = Settings(
            world=lambda: _world(instance, seed, nodes, pools, jobs, real, save_instance, console),
            effort=effort,
            budget=budget,
            warm_effort=warm_effort,
            one_model_seconds=one_model_seconds,
            one_model_memory_mib=one_model_memory_mib,
            one_model_hint=one_model_hint,
            seed=seed,
            rule_sets=rule_sets,
            plot=plot,
        )
        with Planner(threads) as planner:
            result = measured(settings, planner, console)
    finish(result, json_file, console)


def finish(result: Result, json_file: Path | None, console: Console) -> None:
    """Show and write the figures. Raise typer.Exit when the audit found anything: the run is void."""
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


def measured(settings: Settings, planner: Plans, console: Console) -> Result:
    """Return the figures of one run, its violations counted."""
    world = settings.world()
    with _stage("compile", console):
        compile_seconds = planner.compile()
    policy = Policy(effort=settings.effort, seed=settings.seed)
    with _stage("cold round", console):
        cold = planner.round(world, policy, settings.budget)
    run = Measured(world, cold, {"compile_seconds": compile_seconds, "cold_seconds": cold.seconds})
    _audit(run, "cold", world, cold.plan, console)
    if not run.found:  # nothing can be built on a plan that breaks rules
        _beside_cold(run, settings, policy, planner, console)
    for whose, violation in run.found[:FINDINGS_SHOWN]:
        console.print(f"{whose}: [red]{violation.rule.value}[/] {escape(violation.detail)}", highlight=False)
    return Result("allocate", settings.seed, run.figures, len(run.found))


def _beside_cold(run: Measured, settings: Settings, policy: Policy, planner: Plans, console: Console) -> None:
    """Add the figures of the cold plan, and measure everything that it is compared with."""
    run.figures |= _of_cold(run.cold)
    _warm(run, settings, policy, planner, console)
    with _stage("instance, as the rivals read it", console):
        rivals.ready()
        given = rivals.instance(run.world, policy)
    _rivals(run, given, settings, console)
    if settings.rule_sets:
        _rule_sets(run, settings, policy, planner, console)
    _tell_instance(given, run.cold.plan, console)
    if settings.plot is not None:
        _draw(settings.plot, run, settings, policy, planner, console)


def _of_cold(cold: Round) -> dict[str, float]:
    tiers = {
        f"gap_{tier.name.replace('-', '_')}": 1 - tier.objective / tier.bound
        for tier in cold.plan.tiers
        if tier.bound > 0
    }
    return {
        "cold_seconds": cold.seconds,
        "cold_cpu_seconds": cold.cpu_seconds,
        "gap_cold": cold.gap,
        "objective": float(cold.plan.objective),
        "bound": float(cold.plan.bound),
        "peak_mib": cold.peak_mib,
        "effort_spent": float(cold.plan.effort_spent),
    } | (tiers if len(tiers) > 1 else {})


def _real(data: Path | None) -> RealJobs:
    try:
        return real_jobs(data)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error


def _world(
    instance: Path | None,
    seed: int,
    nodes: int,
    pools: int,
    jobs: int,
    real: RealJobs,
    save: Path | None,
    console: Console,
) -> Snapshot:
    if instance is not None:
        try:
            return Snapshot.from_bytes(instance.read_bytes())
        except (OSError, SchedulerError) as error:
            raise typer.BadParameter(str(error), param_hint="--instance") from error
    console.print(f"world: {jobs:,} jobs, {nodes:,} nodes, {pools} pools, seed {seed}; sizes from {real.source}")
    world = national(seed, nodes, pools, jobs, real)
    if save is not None:
        save.write_bytes(world.to_bytes())
    return world


@contextmanager
def _stage(name: str, console: Console) -> Iterator[None]:
    began = perf_counter()
    with console.status(f"{name} ..."):
        yield
    console.print(f"{name}: {perf_counter() - began:.1f} s", highlight=False)


def _audit(run: Measured, whose: str, world: Snapshot, plan: Plan, console: Console) -> None:
    with _stage(f"verify {whose}", console):
        run.found += [(whose, violation) for violation in violations(world, plan)]


def _warm(run: Measured, settings: Settings, policy: Policy, planner: Plans, console: Console) -> None:
    moved = later(run.world, run.cold.plan, settings.seed, CHANGED_SHARE)
    opened = replace(
        policy,
        effort=settings.warm_effort,
        opening_prices=prices_of(run.world, run.cold.plan),
        opening_seats=seats_of(run.world, run.cold.plan),
    )
    with _stage("warm round", console):
        warm = planner.round(moved, opened, settings.budget)
    run.figures |= {"warm_seconds": warm.seconds, "warm_cpu_seconds": warm.cpu_seconds, "gap_warm": warm.gap}
    _audit(run, "warm", moved, warm.plan, console)


def _rivals(run: Measured, given: rivals.Instance, settings: Settings, console: Console) -> None:
    """Add the rivals' objectives; what was not run has no figure, what found nothing has 0."""
    tiers = run.cold.plan.tiers
    columns = [f"{tier.name}, % of bound" for tier in tiers]
    table = Table("way", "jobs", *columns, "seconds", title_justify="left", title="the same instance")

    def add(name: str, placements: tuple[Placement, ...], seconds: float) -> None:
        reached = rivals.by_tier(given, placements, [tier.name for tier in tiers])
        shares = [f"{100 * part / max(tier.bound, 1):.2f}" for part, tier in zip(reached, tiers, strict=True)]
        table.add_row(name, f"{len(placements):,}", *shares, f"{seconds:.2f}")

    def beside(name: str, rival: rivals.Rival) -> None:
        run.figures[name] = float(rival.objective)
        with _stage(f"verify {name}", console):
            run.found += [(name, violation) for violation in rivals.broken(rival.placements, run.world, run.cold.plan)]
        add(name, rival.placements, rival.seconds)

    with _stage("first_come", console):
        come = rivals.first_come(given)
    beside("first_come", come)
    with _stage("density", console):
        dense = rivals.density(given)
    beside("density", dense)
    told = []
    hints = {"one_model": None} | ({"one_model_hinted": dense} if settings.one_model_hint else {})
    for name, hint in hints.items() if settings.one_model_seconds else ():
        with _stage(name, console):
            tried = one_model.one_model(
                given, settings.one_model_seconds, settings.one_model_memory_mib, settings.seed, hint
            )
        if tried.rival is not None:
            beside(name, tried.rival)
        run.figures |= one_model.figures(name, tried)
        told.append(one_model.told(name, tried, settings.one_model_seconds, settings.one_model_memory_mib))
    add("xisuan, cold", run.cold.plan.placements, run.cold.seconds)
    console.print(table)
    for line in told:
        console.print(line, highlight=False)


def _rule_sets(run: Measured, settings: Settings, policy: Policy, planner: Plans, console: Console) -> None:
    table = Table("rules", "jobs", "gap, %", "seconds", title="the same world with fewer rules", title_justify="left")
    for name, told in RULE_SETS.items():
        world, done = run.world, run.cold
        if name != EVERY_RULE:
            world = with_rules(run.world, name)
            with _stage(f"rules: {name}", console):
                done = planner.round(world, policy, settings.budget)
            _audit(run, name, world, done.plan, console)
        run.figures |= {f"gap_{name}": done.gap, f"seconds_{name}": done.seconds}
        table.add_row(told, f"{len(world.job_id):,}", f"{100 * done.gap:.3f}", f"{done.seconds:.2f}")
    console.print(table)


def _tell_instance(given: rivals.Instance, plan: Plan, console: Console) -> None:
    hard = hardness(given)
    console.print(
        f"instance: {hard.free_cards:,} free cards, demand {hard.demand_over_free:.2f} times that; "
        f"{hard.gang_worth_share:.0%} of the worth in gangs over 8 cards; {hard.share_jobs_share:.0%} of the jobs "
        f"ask for shares of cards; {hard.two_builds_share:.0%} have two builds or more; "
        f"{hard.nowhere_share:.0%} can run nowhere"
    )
    table = Table("rule", "jobs it binds", title="full rules, cold plan", title_justify="left", caption=COUNTED)
    for name, jobs in binding(given, plan).items():
        table.add_row(name, f"{jobs:,}")
    console.print(table)
    reasons = Counter(refusal.reason.value for refusal in plan.refusals)
    console.print("refused: " + ", ".join(f"{jobs:,} {reason}" for reason, jobs in reasons.most_common()))
    console.print(
        f"machine load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: compare CPU seconds when it is high"
    )


def _draw(folder: Path, run: Measured, settings: Settings, policy: Policy, planner: Plans, console: Console) -> None:
    curve = []
    if settings.budget:
        with _stage("gap over time", console):
            rounds = [planner.round(run.world, policy, settings.budget * part) for part in PICTURE_BUDGETS]
            curve = [(each.seconds, each.gap) for each in (*rounds, run.cold)]
    files = plots.allocation(folder, run.world, run.cold.plan, run.figures, curve)
    console.print("plots: " + ", ".join(str(file) for file in files))
