"""Plan one round: a greedy answer at once, better ones until the effort ends, and a bound that says how good it is.

    greedy      feasible by construction; the answer of last resort
    prices      some descent of L(lambda), then a plan constructed by the new prices; the better plan stays
    improve     the solver plans the part again where prices say most is lost; taken only if the plan gets better

A step is one unit of effort. `stop` is asked between steps and never inside one, and what a step does depends on the
steps before it alone: the same snapshot, policy and number of steps give the same plan, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scheduler import choices as choosing
from scheduler import opening
from scheduler.choices import Choices
from scheduler.greedy import Answer, construct, named
from scheduler.improve import Improver
from scheduler.plan import Placement, Plan, PlanStatus, Refusal
from scheduler.policy import Policy
from scheduler.prices import Rows, Search, capacity_rows, gang_cards, to_prices
from scheduler.snapshot import Ints, Snapshot

if TYPE_CHECKING:
    from scheduler.large import Packed

Stop = Callable[[], bool]


def never() -> bool:
    """Let the effort alone end the search."""
    return False


def plan(snapshot: Snapshot, policy: Policy, stop: Stop = never) -> Plan:
    """Return the best plan found within `policy.effort` steps, or until `stop()` says True between two steps.

    There is always a plan: with no effort at all it is the greedy one, by `policy.opening_prices` when there are any.
    It is never worse than that one.
    """
    choices = choosing.choose(snapshot, policy)
    rows = capacity_rows(choices)
    nothing = np.zeros(rows.capacity.shape, dtype=np.int64)
    known = opening.start(snapshot, policy, rows)
    best = construct(choices, rows, nothing if known is None else known)
    start = _marginal_prices(choices, rows, best) if known is None else known
    search = Search(choices, rows, start, settled=known is not None)
    search.offer(nothing)
    work = _Work(choices, rows, policy, search, best)
    spent = 0
    steps = work.steps()
    while spent < policy.effort and work.best.objective < search.best_scan.bound and not stop():
        if next(steps, None) is None:
            break
        spent += 1
    return _plan(snapshot, replace(policy, effort=spent), choices, rows, search, named(choices, work.best))


class _Work:
    """The steps of one round, in order. Each yields once when it is done."""

    def __init__(self, choices: Choices, rows: Rows, policy: Policy, search: Search, best: Answer | Packed) -> None:
        self._choices = choices
        self._rows = rows
        self._policy = policy
        self._search = search
        self.best = best

    def steps(self) -> Iterator[bool]:
        """Do the work of one step for each item drawn."""
        yield from self._price_steps()
        improver = Improver(self._choices, self._rows, self._policy)
        if improver.tighten(self._search):
            self._keep(construct(self._choices, self._rows, self._search.best, self._search.votes))
            yield True
        idle = 0
        while idle < self._policy.idle_steps_max:
            self.best = named(self._choices, self.best)
            better = improver.step(self.best, self._search)
            if better is None:
                return
            idle = 0 if self._keep(better) else idle + 1
            yield True

    def _price_steps(self) -> Iterator[bool]:
        for _ in range(self._policy.price_steps_max):
            more = self._search.descend(self._policy.price_iterations_per_step)
            self._keep(construct(self._choices, self._rows, self._search.best, self._search.votes))
            yield True
            if not more:
                return

    def _keep(self, answer: Answer | Packed) -> bool:
        if answer.objective <= self.best.objective:
            return False
        self.best = answer
        return True


def _marginal_prices(choices: Choices, rows: Rows, answer: Answer | Packed) -> Ints:
    """Return prices [P, R] to start from: in a full pool, what the least worthy gang there pays for a card."""
    prices = np.zeros(rows.capacity.shape, dtype=np.int64)
    if isinstance(answer, Answer):
        lines = np.array([(b.group, b.pool, b.gangs) for b in answer.batches], dtype=np.int64).reshape(-1, 3)
    else:
        lines = answer.lines
    group, pool, gangs = lines[:, 0], lines[:, 1], lines[:, 2]
    cards = gang_cards(choices)[group]
    pools = len(choices.snapshot.pool_names)
    least = np.full(pools, 2**62, dtype=np.int64)
    np.minimum.at(least, pool, choices.worth[group, pool] // cards)
    used = np.zeros(pools, dtype=np.int64)
    np.add.at(used, pool, cards * gangs)
    full = (used > 0) & (used * 20 >= rows.capacity[:, 0] * 19)
    prices[full, 0] = least[full]
    return prices


def _plan(snapshot: Snapshot, policy: Policy, choices: Choices, rows: Rows, search: Search, answer: Answer) -> Plan:
    placed = _placements(snapshot, choices, answer)
    refused = _refusals(snapshot, choices, placed)
    return Plan(
        snapshot_hash=snapshot.input_hash(),
        policy=policy,
        placements=tuple(placed[job] for job in sorted(placed)),
        refusals=refused,
        prices=to_prices(rows, search.best),
        objective_micro_yuan_per_hour=answer.objective,
        bound_micro_yuan_per_hour=search.best_scan.bound,
        effort_spent=policy.effort,
        status=PlanStatus.OPTIMAL if answer.objective == search.best_scan.bound else PlanStatus.FEASIBLE,
    )


def _placements(snapshot: Snapshot, choices: Choices, answer: Answer) -> dict[int, Placement]:
    """Deal each batch's tasks to jobs of its group, those that wait longest first. Keys are positions of jobs."""
    placed: dict[int, Placement] = {}
    next_member, members = choices.member_start[:-1].tolist(), choices.members.tolist()
    shapes, sizes = choices.shape.tolist(), snapshot.shape_tasks.tolist()
    for batch in sorted(answer.batches, key=lambda b: (b.group, b.pool, b.nodes)):
        shape = shapes[batch.group]
        build, worth = choices.build.item(shape, batch.pool), choices.worth.item(batch.group, batch.pool)
        for nodes, tasks in _deal(batch.nodes, batch.tasks, sizes[shape]):
            job = members[next_member[batch.group]]
            next_member[batch.group] += 1
            placed[job] = Placement(snapshot.job_id[job], build, batch.pool, nodes, tasks, worth)
    return placed


def _deal(
    nodes: tuple[int, ...], tasks: tuple[int, ...], size: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cut the tasks of a batch into gangs of `size` tasks, each as its nodes, ascending, and the tasks on each."""
    if len(nodes) == 1 and tasks[0] == size:  # most jobs are a single gang on a single node
        yield nodes, tasks
        return
    hand: dict[int, int] = {}
    missing = size
    for node, count in zip(nodes, tasks, strict=True):
        rest = count
        while rest:
            taken = min(rest, missing)
            hand[node] = taken
            rest -= taken
            missing -= taken
            if missing == 0:
                yield tuple(sorted(hand)), tuple(hand[node] for node in sorted(hand))
                hand, missing = {}, size


def _refusals(snapshot: Snapshot, choices: Choices, placed: dict[int, Placement]) -> tuple[Refusal, ...]:
    group_of = np.repeat(np.arange(choices.shape.size), choices.count)
    job_group = np.empty(choices.members.size, dtype=np.int64)
    job_group[choices.members] = group_of
    nearest = choices.nearest()
    return tuple(
        Refusal(job_id, *nearest[group])
        for job, (job_id, group) in enumerate(zip(snapshot.job_id, job_group.tolist(), strict=True))
        if job not in placed
    )
