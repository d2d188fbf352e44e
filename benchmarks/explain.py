"""Explanations at national size: why a job waits, and the cheapest changes that would start it, proved.

The round is that of `placer`; a moment later all that it started runs, and as many others have come. Jobs that it left
waiting are drawn and explained one by one, as the broker does it: the verdicts of all pools, the changes that start the
job now, and, where there are none, those with which the round planned again would have. The verifier looks at each
proof: the placement must keep every rule in the world with the changed job.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from benchmarks import rivals
from benchmarks.result import Result
from benchmarks.rounds import Planner
from benchmarks.worlds.later import later
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import RealJobs, real_jobs
from scheduler.changes import Change, Effect, changes
from scheduler.explain import explain
from scheduler.placer import last_prices
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.replanning import planned_changes
from scheduler.snapshot import Snapshot
from scheduler.verify import Violation, violations

FINDINGS_SHOWN: Final = 20
SECONDS_MAX: Final = 1.0
"""What one explanation may take."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What was found for the drawn jobs."""

    changes: tuple[tuple[Change, ...], ...]
    seconds: NDArray[np.float64]  # of each job
    cpu_seconds: NDArray[np.float64]  # of all threads

    def figures(self) -> dict[str, float]:
        """Return the figures by name."""
        proved = Counter(each[0].effect for each in self.changes if each)
        return {
            "explain_p50_ms": 1000 * float(np.percentile(self.seconds, 50)),
            "explain_p99_ms": 1000 * float(np.percentile(self.seconds, 99)),
            "explain_cpu_p50_ms": 1000 * float(np.percentile(self.cpu_seconds, 50)),
            "explain_cpu_p99_ms": 1000 * float(np.percentile(self.cpu_seconds, 99)),
            "over_a_second": float((self.seconds > SECONDS_MAX).sum()),
            "jobs": float(len(self.changes)),
            "start_now": float(proved[Effect.STARTS_NOW]),
            "would_be_planned": float(proved[Effect.PLANNED]),
            "nothing_found": float(sum(1 for each in self.changes if not each)),
        }


def main(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of eight cards.")] = 45_000,
    pools: Annotated[int, typer.Option(min=1, help="Pools of unlike sizes over them.")] = 120,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of the round.")] = 100_000,
    explained: Annotated[int, typer.Option(min=1, help="Jobs that it left waiting, to explain; at most.")] = 100,
    effort: Annotated[int, typer.Option(min=0, help="Steps of the round at most.")] = 8,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="XISUAN_DATA", help="Folder with the whole traces.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the world and of who is explained.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure how long it takes to say why a job waits and what would start it; the verifier checks each proof."""
    console = Console()
    if nodes < pools:
        raise typer.BadParameter("there must be at least one node for each pool", param_hint="--nodes")
    try:
        real = real_jobs(data)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error
    result = measured(seed, nodes, pools, jobs, explained, effort, real, console)
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


def measured(
    seed: int, nodes: int, pools: int, jobs: int, explained: int, effort: int, real: RealJobs, console: Console
) -> Result:
    """Return the figures of one run, its violations counted."""
    policy = Policy(effort=effort, seed=seed)
    world = national(seed, nodes, pools, jobs, real)
    with Planner(1) as planner, console.status("the round ..."):
        planner.compile()
        made = planner.round(world, policy, 0).plan
    now = later(world, made, seed, share=2.0)
    refused = [refusal.job_id for refusal in made.refusals]
    drawn = np.random.default_rng(seed).choice(len(refused), min(explained, len(refused)), replace=False)
    with console.status("compiling ..."):
        _ready(policy)
    with console.status("explaining ..."):
        found = explained_jobs(world, made, now, [refused[at] for at in drawn.tolist()])
    levers = Counter(f"{each[0].lever.value} ({each[0].effect.value})" for each in found.changes if each)
    console.print("cheapest: " + (", ".join(f"{n} {what}" for what, n in levers.most_common()) or "nothing"))
    with console.status("verifying ..."):
        broken = [each for told in found.changes for change in told for each in broken_by(change)]
    for violation in broken[:FINDINGS_SHOWN]:
        console.print(f"[red]{violation.rule.value}[/] {escape(violation.detail)}", highlight=False)
    return Result("explain", seed, found.figures(), len(broken))


def explained_jobs(world: Snapshot, made: Plan, now: Snapshot, job_ids: list[str]) -> Explained:
    """Explain these jobs of a round, one by one, in the world after it."""
    prices = last_prices(world, made)
    told: list[tuple[Change, ...]] = []
    seconds, cpu_seconds = np.zeros(len(job_ids)), np.zeros(len(job_ids))
    for at, job_id in enumerate(job_ids):
        began, cpu = perf_counter(), process_time()
        explain(world, made, job_id)
        told.append(changes(now, made.policy, prices, job_id) or planned_changes(world, made, job_id))
        seconds[at], cpu_seconds[at] = perf_counter() - began, process_time() - cpu
    return Explained(tuple(told), seconds, cpu_seconds)


def broken_by(change: Change) -> list[Violation]:
    """Return what is wrong with the proof of a change: with the whole plan, or with the placement in its world."""
    if change.again is not None:
        return violations(change.world, change.again)
    alone = change.world.of_one_job(change.world.job_id.index(change.placement.job_id))
    return rivals.broken((change.placement,), alone, plan(alone, Policy(effort=0)))


def _ready(policy: Policy) -> None:
    """Load or make the compiled code, so that no explanation waits for it."""
    tiny = national(0, 60, 12, 300, real_jobs(None))
    made = plan(tiny, policy)
    explained_jobs(tiny, made, later(tiny, made, 0, share=2.0), [each.job_id for each in made.refusals[:20]])
