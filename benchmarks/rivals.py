"""Other ways to allocate, on the same instance and by the same rules: what simple schedulers do, and one big model.

All of them choose among the same eligible pairs and put tasks on the nodes with the fewest free cards that hold them.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from ortools.sat.python import cp_model

from scheduler.choices import Choices
from scheduler.large import Packing
from scheduler.prices import Rows, gang_cards
from scheduler.snapshot import Ints

ONE_MODEL_PAIRS_MAX = 300_000


@dataclass(frozen=True, slots=True)
class Rival:
    """What a rival reached: the worth of its plan in micro-yuan per hour, and how long it took."""

    objective: int
    seconds: float


def first_come(choices: Choices) -> Rival:
    """Take jobs as they came; each goes to its most worthy pool that still holds it."""
    began = perf_counter()
    submitted = choices.snapshot.job_submitted_at_s
    job_group = np.repeat(np.arange(choices.shape.size), choices.count)
    order = np.argsort(submitted[choices.members], kind="stable")
    return _one_by_one(choices, job_group[order], began)


def density(choices: Choices) -> Rival:
    """Take jobs with the most worth per card first; each goes to its most worthy pool that still holds it."""
    began = perf_counter()
    per_card = choices.worth.max(axis=1, initial=0) // gang_cards(choices)
    order = np.argsort(-per_card, kind="stable")
    return _one_by_one(choices, np.repeat(order, choices.count[order]), began)


def _one_by_one(choices: Choices, groups: Ints, began: float) -> Rival:
    """Offer jobs in this order to their pools, best worth first: the first pool that holds a job has it."""
    pairs = choices.pairs
    row = np.repeat(np.arange(choices.shape.size), np.diff(pairs.start))
    pool = pairs.pool[np.lexsort((pairs.pool, -pairs.worth, row))].astype(np.int64)
    pools = np.diff(pairs.start)[groups]
    first = pairs.start[groups] - np.append(0, np.cumsum(pools)[:-1])
    at = np.repeat(first, pools) + np.arange(int(pools.sum()))
    packing = Packing(choices.terrain, choices.shape[groups], np.ones(groups.size, dtype=np.int64))
    packing.place(np.repeat(np.arange(groups.size), pools), pool[at], np.ones(at.size, dtype=np.int64))
    return Rival(packing.result(choices.worth[groups]).objective, perf_counter() - began)


def one_model(choices: Choices, rows: Rows, seconds_max: float, seed: int) -> Rival | None:
    """Give the whole assignment to CP-SAT as one model; None when it found nothing or the model would be too large.

    Gangs are counted against the capacity rows and not put on nodes: what it reports can only be too good.
    """
    pairs = choices.pairs
    if pairs.pool.size > ONE_MODEL_PAIRS_MAX:
        return None
    began = perf_counter()
    group = np.repeat(np.arange(choices.shape.size), np.diff(pairs.start)).tolist()
    model = cp_model.CpModel()
    run = [model.new_int_var(0, int(choices.count[at]), "") for at in group]
    by_group: dict[int, list[int]] = {}
    by_pool: dict[int, list[int]] = {}
    for pair, (at, pool) in enumerate(zip(group, pairs.pool.tolist(), strict=True)):
        by_group.setdefault(at, []).append(pair)
        by_pool.setdefault(pool, []).append(pair)
    for at, here in by_group.items():
        model.add(sum(run[pair] for pair in here) <= int(choices.count[at]))
    use = rows.use[choices.shape].tolist()
    for pool, here in by_pool.items():
        for row in range(rows.columns):
            weights = [use[group[pair]][row] for pair in here]
            model.add(
                cp_model.LinearExpr.weighted_sum([run[pair] for pair in here], weights) <= int(rows.capacity[pool, row])
            )
    unit = max(int(pairs.worth.sum()) >> 50, 1)
    model.maximize(cp_model.LinearExpr.weighted_sum(run, (pairs.worth // unit).tolist()))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds_max
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = 2
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    worth = sum(value * solver.value(variable) for value, variable in zip(pairs.worth.tolist(), run, strict=True))
    return Rival(worth, perf_counter() - began)
