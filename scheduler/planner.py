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

import numpy as np

from scheduler import choices as choosing
from scheduler.choices import Choices
from scheduler.greedy import Answer, construct
from scheduler.improve import Improver
from scheduler.plan import Placement, Plan, PlanStatus, Refusal
from scheduler.policy import Policy
from scheduler.prices import Rows, Search, capacity_rows, to_prices
from scheduler.snapshot import Ints, Snapshot

Stop = Callable[[], bool]


def never() -> bool:
    """Let the effort alone end the search."""
    return False


def plan(snapshot: Snapshot, policy: Policy, stop: Stop = never) -> Plan:
    """Return the best plan found within `policy.effort` steps, or until `stop()` says True between two steps.

    There is always a plan: with no effort at all it is the greedy one. It is never worse than that one.
    """
    choices = choosing.choose(snapshot, policy)
    rows = capacity_rows(choices)
    nothing = np.zeros(rows.capacity.shape, dtype=np.int64)
    best = construct(choices, rows, nothing)
    search = Search(choices, rows, _marginal_prices(choices, rows, best))
    search.offer(nothing)
    work = _Work(choices, rows, policy, search, best)
    spent = 0
    steps = work.steps()
    while spent < policy.effort and work.best.objective < search.best_scan.bound and not stop():
        if next(steps, None) is None:
            break
        spent += 1
    return _plan(snapshot, replace(policy, effort=spent), choices, rows, search, work.best)


class _Work:
    """The steps of one round, in order. Each yields once when it is done."""

    def __init__(self, choices: Choices, rows: Rows, policy: Policy, search: Search, best: Answer) -> None:
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
            self._keep(construct(self._choices, self._rows, self._search.best))
            yield True
        idle = 0
        while idle < self._policy.idle_steps_max:
            better = improver.step(self.best, self._search)
            if better is None:
                return
            idle = 0 if self._keep(better) else idle + 1
            yield True

    def _price_steps(self) -> Iterator[bool]:
        for _ in range(self._policy.price_steps_max):
            more = self._search.descend(self._policy.price_iterations_per_step)
            self._keep(construct(self._choices, self._rows, self._search.best))
            yield True
            if not more:
                return

    def _keep(self, answer: Answer) -> bool:
        if answer.objective <= self.best.objective:
            return False
        self.best = answer
        return True


def _marginal_prices(choices: Choices, rows: Rows, answer: Answer) -> Ints:
    """Return prices [P, R] to start from: in a full pool, what the least worthy gang there pays for a card."""
    prices = np.zeros(rows.capacity.shape, dtype=np.int64)
    cards = (choices.snapshot.shape_tasks * choices.snapshot.shape_cards_per_task).tolist()
    least: dict[int, int] = {}
    used: dict[int, int] = {}
    for batch in answer.batches:
        gang = cards[int(choices.shape[batch.group])]
        rate = int(choices.worth[batch.group, batch.pool]) // gang
        least[batch.pool] = min(least.get(batch.pool, rate), rate)
        used[batch.pool] = used.get(batch.pool, 0) + gang * batch.gangs
    for pool, rate in least.items():
        if used[pool] * 20 >= int(rows.capacity[pool, 0]) * 19:
            prices[pool, 0] = rate
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
    next_member = choices.member_start[:-1].tolist()
    for batch in sorted(answer.batches, key=lambda b: (b.group, b.pool, b.nodes)):
        shape = int(choices.shape[batch.group])
        size = int(snapshot.shape_tasks[shape])
        hands = _deal(batch.nodes, batch.tasks, size)
        for hand in hands:
            job = int(choices.members[next_member[batch.group]])
            next_member[batch.group] += 1
            placed[job] = Placement(
                job_id=snapshot.job_id[job],
                build=int(choices.build[shape, batch.pool]),
                pool=batch.pool,
                nodes=tuple(sorted(hand)),
                tasks=tuple(hand[node] for node in sorted(hand)),
                worth_micro_yuan_per_hour=int(choices.worth[batch.group, batch.pool]),
            )
    return placed


def _deal(nodes: tuple[int, ...], tasks: tuple[int, ...], size: int) -> Iterator[dict[int, int]]:
    """Cut the tasks of a batch into gangs of `size` tasks, each as node -> tasks."""
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
                yield hand
                hand, missing = {}, size


def _refusals(snapshot: Snapshot, choices: Choices, placed: dict[int, Placement]) -> tuple[Refusal, ...]:
    group_of = np.repeat(np.arange(choices.shape.size), choices.count)
    job_group = np.empty(choices.members.size, dtype=np.int64)
    job_group[choices.members] = group_of
    nearest = [choices.nearest(group) for group in range(choices.shape.size)]
    return tuple(
        Refusal(job_id, *nearest[group])
        for job, (job_id, group) in enumerate(zip(snapshot.job_id, job_group.tolist(), strict=True))
        if job not in placed
    )
