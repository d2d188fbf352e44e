"""Explanations at national size: why a job waits, and the cheapest changes that would start it, proved.

The round is that of `placer`; a moment later all that it started runs, and as many others have come. Jobs that it left
waiting are drawn and explained one by one, as the broker does it: the verdicts of all pools, the changes that start the
job now, and, where there are none, those with which the round planned again would have. Then the same jobs are asked
what would start them by a time, beside leases that end, windows, and promises made to others. The verifier looks at
each proof: the placement must keep every rule in the world with the changed job, the promise those of time.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Final, TypeAlias, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from benchmarks import rivals
from benchmarks.result import Result
from benchmarks.rounds import Planner
from benchmarks.worlds.ahead import ahead
from benchmarks.worlds.later import later
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import RealJobs, real_jobs
from scheduler.by_time import StartBy, changes_by
from scheduler.changes import Change, Effect, changes
from scheduler.explain import explain
from scheduler.horizon import Fate, Horizon, News
from scheduler.placer import last_prices
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.profile import Profile
from scheduler.promiser import Promiser
from scheduler.reasons import Reason
from scheduler.refusals import Refusal, Refusals
from scheduler.replanning import planned_changes
from scheduler.snapshot import Snapshot
from scheduler.verify import Violation, violations
from scheduler.verify_time import TimeViolation, time_violations

FINDINGS_SHOWN: Final = 20
Told = TypeVar("Told")
Floats: TypeAlias = NDArray[np.float64]
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
            **_times("explain", self.seconds, self.cpu_seconds),
            "over_a_second": float((self.seconds > SECONDS_MAX).sum()),
            "jobs": float(len(self.changes)),
            "start_now": float(proved[Effect.STARTS_NOW]),
            "would_be_planned": float(proved[Effect.PLANNED]),
            "nothing_found": float(sum(1 for each in self.changes if not each)),
        }


@dataclass(frozen=True, slots=True)
class ExplainedBy:
    """The same for starts by a time."""

    told: tuple[StartBy, ...]
    by_s: int
    seconds: NDArray[np.float64]
    cpu_seconds: NDArray[np.float64]

    def figures(self) -> dict[str, float]:
        """Return the figures by name."""
        as_it_is = [each.as_it_is is not None and each.as_it_is.start_s <= self.by_s for each in self.told]
        return {
            **_times("by", self.seconds, self.cpu_seconds),
            "by_over_a_second": float((self.seconds > SECONDS_MAX).sum()),
            "by_as_it_is": float(sum(as_it_is)),
            "by_a_change": float(sum(1 for each in self.told if each.changes)),
            "by_nothing_found": float(sum(1 for each in self.told if not each.changes) - sum(as_it_is)),
        }


def _times(what: str, seconds: NDArray[np.float64], cpu_seconds: NDArray[np.float64]) -> dict[str, float]:
    return {
        f"{what}{kind}_p{part}_ms": 1000 * float(np.percentile(values, part))
        for kind, values in (("", seconds), ("_cpu", cpu_seconds))
        for part in (50, 99)
    }


def main(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of eight cards.")] = 45_000,
    pools: Annotated[int, typer.Option(min=1, help="Pools of unlike sizes over them.")] = 120,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of the round.")] = 100_000,
    explained: Annotated[int, typer.Option(min=1, help="Jobs that it left waiting, to explain; at most.")] = 100,
    effort: Annotated[int, typer.Option(min=0, help="Steps of the round at most.")] = 8,
    by_hours: Annotated[float, typer.Option(min=0, help="What would start them so long after now?")] = 4.0,
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
    result = measured(seed, nodes, pools, jobs, explained, effort, round(by_hours * 3600), real, console)
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


def measured(
    seed: int,
    nodes: int,
    pools: int,
    jobs: int,
    explained: int,
    effort: int,
    by_seconds: int,
    real: RealJobs,
    console: Console,
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
    asked = [refused[at] for at in drawn.tolist()]
    with console.status("explaining ..."):
        found = explained_jobs(world, made, now, asked)
    horizon = promised_ahead(world, made, now, seed)
    with console.status("explaining by a time ..."):
        in_time = explained_by(world, made, now, horizon, asked, now.taken_at_s + by_seconds)
    for told in (found.changes, [each.changes for each in in_time.told]):
        levers = Counter(f"{each[0].lever.value} ({each[0].effect.value})" for each in told if each)
        console.print("cheapest: " + (", ".join(f"{n} {what}" for what, n in levers.most_common()) or "nothing"))
    with console.status("verifying ..."):
        every = [change for told in (*found.changes, *(each.changes for each in in_time.told)) for change in told]
        broken = [each for change in every for each in broken_by(change, horizon)]
    for violation in broken[:FINDINGS_SHOWN]:
        console.print(f"[red]{violation.rule.value}[/] {escape(violation.detail)}", highlight=False)
    return Result("explain", seed, found.figures() | in_time.figures(), len(broken))


def explained_jobs(world: Snapshot, made: Plan, now: Snapshot, job_ids: list[str]) -> Explained:
    """Explain these jobs of a round, one by one, in the world after it."""
    prices = last_prices(world, made)

    def told(job_id: str) -> tuple[Change, ...]:
        explain(world, made, job_id)
        return changes(now, made.policy, prices, job_id) or planned_changes(world, made, job_id)

    return Explained(*_timed(told, job_ids))


def explained_by(
    world: Snapshot, made: Plan, now: Snapshot, horizon: Horizon, job_ids: list[str], by_s: int
) -> ExplainedBy:
    """Explain the same jobs for starts by a time, `horizon` being what is known beyond now."""
    prices = last_prices(world, made)

    def told(job_id: str) -> StartBy:
        explain(world, made, job_id)
        return changes_by(now, horizon, made.policy, prices, job_id, by_s)

    found, seconds, cpu_seconds = _timed(told, job_ids)
    return ExplainedBy(found, by_s, seconds, cpu_seconds)


def promised_ahead(world: Snapshot, made: Plan, now: Snapshot, seed: int) -> Horizon:
    """Return what is known beyond now, with promises to jobs that the round left waiting for cards."""
    horizon = ahead(now, seed)
    policy = made.policy
    profile = Profile(now, horizon, policy.lease_end_margin_seconds)
    waiting = set(now.job_id)
    blocked = [Refusal(each.job_id, Reason.CARDS_SHORT, each.pool) for each in made.refusals if each.job_id in waiting]
    promises = Promiser(now, profile, policy, last_prices(world, made)).promise(Refusals.of(blocked), ())
    return replace(horizon, promises=tuple(promises))


def _timed(ask: Callable[[str], Told], job_ids: Iterable[str]) -> tuple[tuple[Told, ...], Floats, Floats]:
    """Return what is told of each job, and the seconds that it took: by the clock, and of all threads."""
    told, seconds, cpu_seconds = [], [], []
    for job_id in job_ids:
        began, cpu = perf_counter(), process_time()
        told.append(ask(job_id))
        seconds.append(perf_counter() - began)
        cpu_seconds.append(process_time() - cpu)
    return tuple(told), np.array(seconds), np.array(cpu_seconds)


def broken_by(change: Change, horizon: Horizon) -> list[Violation | TimeViolation]:
    """Return what is wrong with the proof of a change: with the whole plan, the placement in its world, or the promise.

    `horizon`: that a promise stands in.
    """
    if change.again is not None:
        return list(violations(change.world, change.again))
    if change.promise is not None:
        others = tuple(each for each in horizon.promises if each.job_id != change.promise.job_id)
        beside, news = (
            replace(horizon, promises=others),
            [News(e.job_id, Fate.KEPT, e.start_s, e.start_s) for e in others],
        )
        margin = Policy().lease_end_margin_seconds
        return list(time_violations(change.world, beside, margin, (), (*others, change.promise), news))
    alone = change.world.of_one_job(change.world.job_id.index(change.placement.job_id))
    return list(rivals.broken((change.placement,), alone, plan(alone, Policy(effort=0))))


def _ready(policy: Policy) -> None:
    """Load or make the compiled code, so that no explanation waits for it."""
    tiny = national(0, 60, 12, 300, real_jobs(None))
    made = plan(tiny, policy)
    now, asked = later(tiny, made, 0, share=2.0), [each.job_id for each in made.refusals[:20]]
    explained_jobs(tiny, made, now, asked)
    explained_by(tiny, made, now, promised_ahead(tiny, made, now, 0), asked, now.taken_at_s + 3600)
