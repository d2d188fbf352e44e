"""The fast placer under load: jobs arrive one by one on a national exchange after a round.

The world is that of `allocate` once its round has been carried out; who arrives is drawn from the same demand. Timed is
all that an arrival costs in process: its arrays checked, judged, priced and put. Beside it first-fit on the same nodes
by the same rules, but for the prices: the first pool that holds the job has it. First-fit finds eligibility and worths
worked out beforehand, so compare what the two place more than how fast. Both end with the verifier.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import rivals
from benchmarks.offers import Facts
from benchmarks.packing import Choices, Placed, Room, room, try_one
from benchmarks.result import Result
from benchmarks.rounds import Planner
from benchmarks.worlds.later import later
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import RealJobs, real_jobs
from scheduler import placer
from scheduler.compiled import compiled
from scheduler.placer import Placer, last_prices
from scheduler.plan import Placement, Plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import ARRAYS_OF_JOBS, Ints, Snapshot

FINDINGS_SHOWN: Final = 20
PERCENTILES: Final = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9}


@dataclass(frozen=True, slots=True)
class Run:
    """What one way of placing did with the arrivals."""

    placements: tuple[Placement, ...]
    seconds: NDArray[np.float64]  # of each arrival

    def figures(self, prefix: str) -> dict[str, float]:
        """Return its figures by name."""
        worth = sum(each.worth_micro_yuan_per_hour for each in self.placements)
        found = {"per_second": len(self.seconds) / max(float(self.seconds.sum()), 1e-9)}
        found |= {name: 1000 * float(np.percentile(self.seconds, at)) for name, at in PERCENTILES.items()}
        found |= {"placed": float(len(self.placements)), "worth": float(worth)}
        return {prefix + name: value for name, value in found.items()}


def main(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of eight cards.")] = 45_000,
    pools: Annotated[int, typer.Option(min=1, help="Pools of unlike sizes over them.")] = 120,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of the round before; fewer leave more cards free.")] = 30_000,
    arrivals: Annotated[int, typer.Option(min=1, help="Jobs that arrive after it, at most --jobs.")] = 10_000,
    effort: Annotated[int, typer.Option(min=0, help="Steps of the round at most.")] = 8,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="XISUAN_DATA", help="Folder with the whole traces.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the world and of who arrives.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure how fast arriving jobs are placed by the last round's prices, and what they are worth, beside first-fit.

    The clearing prices keep some jobs out that first-fit places: their cards stay free for who pays more. `round_worth`
    is what one greedy plan reaches that knows all arrivals beforehand.
    """
    console = Console()
    if nodes < pools:
        raise typer.BadParameter("there must be at least one node for each pool", param_hint="--nodes")
    if arrivals > jobs:
        raise typer.BadParameter("are drawn like the jobs of the round: no more than those", param_hint="--arrivals")
    result = measured(seed, nodes, pools, jobs, arrivals, effort, _real(data), console)
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


def measured(
    seed: int, nodes: int, pools: int, jobs: int, arrivals: int, effort: int, real: RealJobs, console: Console
) -> Result:
    """Return the figures of one run, its violations counted."""
    policy = Policy(effort=effort, seed=seed)
    before = national(seed, nodes, pools, jobs, real)
    with Planner(1) as planner, console.status("the round before ..."):
        planner.compile()
        made = planner.round(before, policy, 0)
        whole = later(before, made.plan, seed, share=2.0)  # all that was placed runs, and as many others came
        world = whole.of_jobs(range(len(whole.job_id) - arrivals, len(whole.job_id)))
        together = planner.round(world, Policy(effort=0), 0).plan
    prices = last_prices(before, made.plan)
    free = int(world.node_free_cards[world.node_open].sum())
    console.print(
        f"world: {nodes:,} nodes, {pools} pools, {free:,} cards free after a round of {jobs:,} jobs, seed {seed}"
    )
    with console.status("compiling ..."):
        _ready(policy, prices)
    with console.status("placing ..."):
        ours, decisions = placed(world, policy, prices)
        first_fit = rival(world, policy)
    _tell(decisions, ours, first_fit, console)
    found = 0
    for name, run in (("placer", ours), ("first-fit", first_fit)):
        with console.status(f"verifying {name} ..."):
            found += _audit(name, run, world, together, console)
    figures = ours.figures("") | first_fit.figures("first_fit_") | {"round_worth": float(together.objective)}
    return Result("placer", seed, figures, found)


def placed(world: Snapshot, policy: Policy, prices: Sequence[OpeningPrice]) -> tuple[Run, tuple[placer.Decision, ...]]:
    """Let every job of the world arrive, one by one."""
    fast = Placer(world, policy, prices)
    arriving = [world.of_jobs([job]) for job in range(len(world.job_id))]
    seconds = np.zeros(len(arriving))
    decisions: list[placer.Decision] = []
    for job, alone in enumerate(arriving):
        arrays = {name: getattr(alone, name) for name in ARRAYS_OF_JOBS}
        began = perf_counter()
        [decision] = fast.place(world.with_jobs(world.taken_at_s, **arrays))
        seconds[job] = perf_counter() - began
        decisions.append(decision)
    return Run(_in_order(world, fast.placements), seconds), tuple(decisions)


def rival(world: Snapshot, policy: Policy) -> Run:
    """Do the same by first-fit."""
    given, left = rivals.instance(world, policy), room(world)
    count = len(world.job_id)
    by_task = (given.facts.shape_tasks * (given.facts.shape_share > 0))[given.facts.job_shape]
    rows = int(left.cards.sum() + by_task.sum())  # a row takes a card, or is one task of shares
    out = Placed(*(np.empty(rows, dtype=np.int64) for _ in range(4)), *(np.full(count, -1) for _ in range(2)))
    seconds = np.zeros(count)
    end = 0
    _first_fit(left, given.facts, given.choices, given.start, given.worths * 0, 0, end, out)  # nothing: it compiles
    for job in range(count):
        began = perf_counter()
        end = _first_fit(left, given.facts, given.choices, given.start, given.worths, job, end, out)
        seconds[job] = perf_counter() - began
    return Run(tuple(rivals.placements_of(given, out, end)), seconds)


@compiled
def _first_fit(
    left: Room, known: Facts, choices: Choices, start: Ints, worths: Ints, job: int, row: int, out: Placed
) -> int:
    """Put the job into the first pool that holds it and pays more than it costs there; return the next free row."""
    first = choices.start[known.job_shape[job]]
    for place in range(start[job + 1] - start[job]):
        if worths[start[job] + place] > 0:
            at = first + place
            row = try_one(left, known, job, choices.form[at], choices.pool[at], row, out)
            if out.form[job] >= 0:
                return row
            out.form[job] = -1
    return row


def _ready(policy: Policy, prices: Sequence[OpeningPrice]) -> None:
    """Load or make the compiled code, so that no arrival waits for it."""
    tiny = national(0, 60, 12, 300, real_jobs(None))
    placed(tiny, policy, prices)
    rival(tiny, policy)


def _tell(decisions: Sequence[placer.Decision], ours: Run, first_fit: Run, console: Console) -> None:
    table = Table("way", "placed", "worth", "per second", "p50 ms", "p99 ms", "p99.9 ms", title_justify="left")
    for name, run in (("placer", ours), ("first-fit", first_fit)):
        known = run.figures("")
        times = (f"{known[name]:.2f}" for name in PERCENTILES)
        table.add_row(name, f"{known['placed']:,.0f}", f"{known['worth']:,.0f}", f"{known['per_second']:,.0f}", *times)
    console.print(table)
    said = Counter(each.reason.value for each in decisions if isinstance(each, placer.Queued | placer.Refused))
    console.print("not placed: " + (", ".join(f"{n:,} {why}" for why, n in said.most_common()) or "nobody"))


def _audit(name: str, run: Run, world: Snapshot, template: Plan, console: Console) -> int:
    found = rivals.broken(run.placements, world, template)
    for violation in found[:FINDINGS_SHOWN]:
        console.print(f"{name}: [red]{violation.rule.value}[/] {escape(violation.detail)}", highlight=False)
    return len(found)


def _in_order(world: Snapshot, placements: Sequence[Placement]) -> tuple[Placement, ...]:
    position = {job_id: job for job, job_id in enumerate(world.job_id)}
    return tuple(sorted(placements, key=lambda each: position[each.job_id]))


def _real(data: Path | None) -> RealJobs:
    try:
        return real_jobs(data)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error
