"""How the cost of a round grows with the number of jobs: seconds, memory and gap, each size in a fresh process."""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import plots
from benchmarks.curves.fit import exponent
from benchmarks.result import Result
from benchmarks.rounds import Planner
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import RealJobs
from scheduler.policy import Policy
from scheduler.verify import violations

JOBS_MIN: Final = 1_000
STEPS: Final = 4
"""Of every size at most: the same work for each, so that times compare; a budget of seconds would hide the growth."""


def measured(
    nodes: int,
    pools: int,
    jobs_max: int,
    real: RealJobs,
    effort: int,
    seed: int,
    threads: int,
    plot: Path | None,
    console: Console,
) -> Result:
    """Plan worlds of 1,000, 10,000, ... jobs with the same number of steps; return the figures of each size."""
    table = Table("jobs", "seconds", "CPU", "MiB", "gap, %", title=f"{min(effort, STEPS)} steps", title_justify="left")
    figures: dict[str, float] = {}
    sizes, seconds, found = [], [], 0
    jobs = JOBS_MIN
    while jobs <= jobs_max:
        world = national(seed, nodes, pools, jobs, real)
        with Planner(threads) as planner, console.status(f"{jobs:,} jobs ..."):
            planner.compile()
            done = planner.round(world, Policy(effort=min(effort, STEPS), seed=seed), 0)
        broken = violations(world, done.plan)
        found += len(broken)
        for violation in broken[:5]:
            console.print(f"{jobs:,} jobs: [red]{violation.rule.value}[/] {violation.detail}", highlight=False)
        figures |= {
            f"seconds_{jobs}_jobs": done.seconds,
            f"peak_mib_{jobs}_jobs": done.peak_mib,
            f"gap_{jobs}_jobs": done.gap,
        }
        row = (f"{done.seconds:.2f}", f"{done.cpu_seconds:.2f}", f"{done.peak_mib:,.0f}", f"{100 * done.gap:.2f}")
        table.add_row(f"{jobs:,}", *row)
        console.print(f"{jobs:,} jobs: {done.seconds:.2f} s, {done.peak_mib:,.0f} MiB, gap {100 * done.gap:.2f} %")
        sizes.append(jobs)
        seconds.append(done.seconds)
        jobs *= 10
    console.print(table)
    figures["exponent"] = exponent(sizes, seconds)
    console.print(f"seconds grow as jobs to the power of {figures['exponent']:.2f}")
    if plot is not None:
        console.print(f"plot: {plots.growth(plot, sizes, seconds, figures['exponent'])}")
    return Result("allocate", seed, figures, found)
