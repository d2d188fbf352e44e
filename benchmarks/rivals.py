"""Other ways to allocate the same instance by the same rules: what simple schedulers do, and one big model.

They keep every rule (the verifier checks their placements) and pursue what the planner must, in its order: first what
is guaranteed, then emergencies, then worth. `by_tier` tells how far each of them comes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.offers import Facts, facts, worth
from benchmarks.packing import Choices, Placed, choices_of, fill, offers, room
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import real_jobs
from scheduler.plan import Placement, Plan
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.refusals import Refusal
from scheduler.snapshot import Ints, Snapshot
from scheduler.verify import Rule, Violation, violations

PROOF: Final = frozenset(
    (
        Rule.WRONG_REASON,
        Rule.WRONG_TIERS,
        Rule.WRONG_OBJECTIVE,
        Rule.BAD_PRICES,
        Rule.WRONG_BOUND,
        Rule.BOUND_BELOW_OBJECTIVE,
        Rule.WRONG_STATUS,
        Rule.WRONG_EFFORT,
    )
)
"""What a rival cannot break, as it claims no proof and gives no reasons."""


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """What a rival reached: placements, their worth in micro-yuan per hour, and how long it took."""

    placements: tuple[Placement, ...]
    objective: int
    seconds: float
    form: Ints  # [J] of the job's shape; negative: refused
    pool: Ints  # [J]


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A snapshot as the rivals read it; what is derived once is shared by all of them."""

    snapshot: Snapshot
    facts: Facts
    choices: Choices
    start: Ints  # [J + 1] worths of job j are start[j] .. start[j + 1] - 1, in the order of its shape's choices
    worths: Ints  # 0 where the job may not have it
    best_worth: Ints  # [J] 0: it can run nowhere
    best_choice: Ints  # [J] the first of that worth; -1: it can run nowhere


def instance(snapshot: Snapshot, policy: Policy) -> Instance:
    """Derive eligibility and best worths."""
    known = facts(snapshot, policy)
    choices = Choices(*choices_of(room(snapshot), known))
    start, worths = offers(known, choices)
    best_worth, best_choice = _best(known, choices, start, worths)
    return Instance(snapshot, known, choices, start, worths, best_worth, best_choice)


def _best(known: Facts, choices: Choices, start: Ints, worths: Ints) -> tuple[Ints, Ints]:
    jobs = known.job_shape.size
    best = np.zeros(jobs, dtype=np.int64)
    job = np.repeat(np.arange(jobs), np.diff(start))
    np.maximum.at(best, job, worths)
    hit = np.flatnonzero((worths == best[job]) & (worths > 0))[::-1]
    at = np.full(jobs, -1, dtype=np.int64)
    at[job[hit]] = hit - start[job[hit]] + choices.start[known.job_shape[job[hit]]]
    return best, at


def ready() -> None:
    """Load or make the compiled code, so that the rivals' seconds are theirs."""
    first_come(instance(national(0, 60, 12, 300, real_jobs(None)), Policy()))


def first_come(given: Instance) -> Rival:
    """Take jobs as they came; each goes to its most worthy pool that still holds it."""
    began = perf_counter()
    snapshot = given.snapshot
    return placed(given, np.lexsort((snapshot.job_submitted_at_s, snapshot.job_tier)), began)


def density(given: Instance) -> Rival:
    """Take jobs with the most worth per card first; each goes to its most worthy pool that still holds it."""
    began = perf_counter()
    snapshot, known = given.snapshot, given.facts
    milli = np.where(known.shape_share > 0, known.shape_share, known.shape_cards * 1000) * known.shape_tasks
    per_card = given.best_worth // np.maximum(milli[snapshot.job_shape] // 100, 1)
    return placed(given, np.lexsort((-per_card, snapshot.job_tier)), began)


def placed(given: Instance, order: Ints, began: float, only: Ints | None = None) -> Rival:
    """Place jobs in this order, each wherever it is worth most, or only as [J] the choice says."""
    left, known, jobs = room(given.snapshot), given.facts, given.facts.job_shape.size
    # a row takes a card, or is one task of shares
    shares = int((known.shape_tasks * (known.shape_share > 0))[known.job_shape].sum())
    cards = int(left.cards.sum())
    rows = cards + min(shares, 1000 * (cards + len(given.snapshot.split_node)))
    out = Placed(*(np.empty(rows, dtype=np.int64) for _ in range(4)), *(np.full(jobs, -1) for _ in range(2)))
    if only is None:
        only = np.full(jobs, -1)
    count = fill(left, known, given.choices, given.start, given.worths.copy(), order, only, out)
    seconds = perf_counter() - began
    found = tuple(placements_of(given, out, count))
    return Rival(found, sum(placement.worth_micro_yuan_per_hour for placement in found), seconds, out.form, out.pool)


def broken(placements: tuple[Placement, ...], snapshot: Snapshot, ours: Plan) -> list[Violation]:
    """Return the rules that a rival's placements break; prices and bounds of our plan stand in for its own."""
    running = {placement.job_id for placement in placements}
    refusals = tuple(Refusal(job, Reason.OUTBID, -1) for job in snapshot.job_id if job not in running)
    plan = replace(ours, placements=placements, refusals=refusals)
    return [violation for violation in violations(snapshot, plan) if violation.rule not in PROOF]


def by_tier(given: Instance, placements: Sequence[Placement], names: Sequence[str]) -> list[int]:
    """Return what placements reach in each tier of a plan, by the tier's name: milli-TFLOPS, then micro-yuan."""
    world = given.snapshot
    position = {job_id: job for job, job_id in enumerate(world.job_id)}
    job = np.array([position[each.job_id] for each in placements], dtype=np.int64)
    reached = Counter[str]()
    for tier, each in zip(world.job_tier[job].tolist(), placements, strict=True):
        reached[f"worth-{tier}"] += each.worth_micro_yuan_per_hour
    new = np.zeros(len(world.quota_names) + 1, dtype=np.int64)
    pool = np.array([each.pool for each in placements], dtype=np.int64)
    tasks = np.array([sum(each.tasks) for each in placements], dtype=np.int64)
    model, shape = world.pool_model[pool], world.job_shape[job]
    granted = given.facts.granted[shape, model]
    milli = tasks * np.where(granted > 0, granted, given.facts.shape_cards[shape] * 1000)
    np.add.at(new, given.facts.job_leaf[job, world.pool_hub[pool]], -(-milli * given.facts.model_figure[model] // 1000))
    for quota in range(len(world.quota_names) - 1, -1, -1):  # children stand behind their parents
        if world.quota_parent[quota] >= 0:
            new[world.quota_parent[quota]] += new[quota]
    missing = np.maximum(world.quota_guaranteed_milli_tflops - world.quota_used_milli_tflops, 0)
    reached["guarantee"] = int(np.minimum(new[:-1], missing).sum())
    return [reached[name] for name in names]


def placements_of(given: Instance, out: Placed, count: int) -> Iterator[Placement]:
    """Yield placements in the order of the snapshot's jobs."""
    known, snapshot = given.facts, given.snapshot
    order = np.lexsort((out.node[:count], out.job[:count]))
    job, node, tasks, card = (column[:count][order].tolist() for column in (out.job, out.node, out.tasks, out.card))
    at = 0
    while at < count:
        this, nodes, here, cards = job[at], [node[at]], [0], []
        shape = int(known.job_shape[this])
        while at < count and job[at] == this:
            if node[at] != nodes[-1]:
                nodes.append(node[at])
                here.append(0)
            here[-1] += tasks[at]
            cards.append(card[at])
            at += 1
        form, pool = int(out.form[this]), int(out.pool[this])
        yield Placement(
            job_id=snapshot.job_id[this],
            build=int(known.build[shape, known.pool_model[pool]]),
            pool=pool,
            nodes=tuple(nodes),
            tasks=tuple(here),
            worth_micro_yuan_per_hour=int(worth(known, this, form, pool)),
            cards=tuple(cards) if known.shape_share[shape] > 0 else (),
        )
