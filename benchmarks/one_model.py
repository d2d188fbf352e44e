"""The whole round as one CP-SAT model, then packed: what a general solver makes of it when the size still allows it."""

from collections.abc import Iterator
from time import perf_counter
from typing import Final

import numpy as np
from ortools.sat.python import cp_model

from benchmarks.offers import NODE, amounts
from benchmarks.rivals import Instance, Rival, placed
from scheduler.snapshot import Ints

CHOICES_MAX: Final = 300_000
"""Choices of all jobs together up to which the model is tried."""
TIER_FACTOR: Final = 1_000
"""Worth of a higher tier counts this many times that of the next: one objective cannot be strict."""


def choices(given: Instance) -> int:
    """Return how many choices there are in all."""
    return int((given.worths > 0).sum())


def one_model(given: Instance, seconds_max: float, seed: int) -> Rival | None:
    """Let CP-SAT choose build, pool and size of every job; None when it found nothing or the model would be too large.

    Gangs are counted against the capacity of whole pools, hubs and quotas. What it chose is then put on nodes, most
    worth per choice first, and what does not fit (or breaks what others keep of their quota) is dropped.
    """
    if not 0 < choices(given) <= CHOICES_MAX:
        return None
    began = perf_counter()
    known = given.facts
    offer = np.flatnonzero(given.worths > 0)
    job = np.searchsorted(given.start, offer, side="right") - 1
    choice = offer - given.start[job] + given.choices.start[known.job_shape[job]]
    model = cp_model.CpModel()
    run = [model.new_bool_var("") for _ in offer]
    for where in np.split(np.arange(job.size), np.flatnonzero(np.diff(job)) + 1):
        model.add_at_most_one(run[each] for each in where.tolist())
    for at, use, capacity in _capacities(given, job, choice):
        chosen = [run[each] for each in at.tolist()]
        model.add(cp_model.LinearExpr.weighted_sum(chosen, use.tolist()) <= capacity)
    hub = known.pool_hub[given.choices.pool[choice]]
    _, _, use = amounts(known, job, given.choices.form[choice], given.choices.pool[choice])
    worth = given.worths[offer] * TIER_FACTOR ** (given.snapshot.job_tier.max() - given.snapshot.job_tier[job])
    unit = max(int(worth.astype(np.float64).sum()) >> 45, 1)
    served = _guaranteed(given, model, run, known.job_leaf[job, hub], use)
    per_pflops = TIER_FACTOR * int(worth.astype(np.float64).sum() / unit) // max(int(use.sum()) // 10**6, 1)
    market = cp_model.LinearExpr.weighted_sum(run, (worth // unit).tolist())
    model.maximize(market + per_pflops * cp_model.LinearExpr.sum(served))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds_max
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = 2
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    only = np.full(known.job_shape.size, -1, dtype=np.int64)
    taken = [each for each, variable in enumerate(run) if solver.boolean_value(variable)]
    only[job[taken]] = choice[taken]
    order = np.array(taken, dtype=np.int64)[np.argsort(-worth[taken], kind="stable")]
    return placed(given, job[order], began, only)


def _capacities(given: Instance, job: Ints, choice: Ints) -> Iterator[tuple[Ints, Ints, int]]:
    """Yield the rows: which choices use something, how much of it, and how much there is."""
    known, world = given.facts, given.snapshot
    form, pool, shape = given.choices.form[choice], given.choices.pool[choice], known.job_shape[job]
    tasks, cards = known.form_tasks[form], known.shape_cards[shape]
    on_one_node = known.form_level[form] == NODE
    whole = known.shape_share[shape] == 0
    units, of_unit = np.where(on_one_node, 1, tasks), np.where(on_one_node, tasks * cards, cards)
    milli, watts, quota = amounts(known, job, form, pool)
    cpu, memory = tasks * known.shape_cpu[shape], tasks * known.shape_memory[shape]
    usable = world.node_open
    for number in range(known.pool_hub.size):
        here = np.flatnonzero(pool == number)
        nodes = np.flatnonzero(usable & (world.node_pool == number))
        free = world.node_free_cards[nodes]
        left = world.split_free_milli[np.isin(world.split_node, nodes)]
        yield here, milli[here], int(free.sum() * 1000 + left.sum())
        yield here, cpu[here], int(world.node_free_cpu_milli[nodes].sum())
        yield here, memory[here], int(world.node_free_memory_mib[nodes].sum())
        for size in np.unique(of_unit[here][whole[here]]).tolist():
            blocks = np.where(whole, units * (of_unit // size), 0)
            yield here, blocks[here], int((free // size).sum())
    hub = known.pool_hub[pool]
    yield from _power(given, hub, watts)
    yield from _quotas(given, known.job_leaf[job, hub], quota)


def _power(given: Instance, hub: Ints, watts: Ints) -> Iterator[tuple[Ints, Ints, int]]:
    world = given.snapshot
    both = np.column_stack([world.hub_power_cap_watts, world.hub_pace_watts]).tolist()
    for number in range(len(world.hub_names)):
        limits = [limit for limit in both[number] if limit >= 0]
        if limits:
            here = np.flatnonzero(hub == number)
            yield here, watts[here], max(0, min(limits) - int(world.hub_used_watts[number]))


def _guaranteed(
    given: Instance, model: cp_model.CpModel, run: list[cp_model.IntVar], leaf: Ints, use: Ints
) -> list[cp_model.IntVar]:
    """Add what is served of each guarantee, in whole PFLOPS; return the variables."""
    world = given.snapshot
    missing = (world.quota_guaranteed_milli_tflops - world.quota_used_milli_tflops) // 10**6
    served = []
    for quota, here in _below(given, leaf, np.flatnonzero(missing > 0)):
        served.append(model.new_int_var(0, int(missing[quota]), ""))
        used = cp_model.LinearExpr.weighted_sum([run[each] for each in here.tolist()], use[here].tolist())
        model.add(used >= 10**6 * served[-1])
    return served


def _quotas(given: Instance, leaf: Ints, use: Ints) -> Iterator[tuple[Ints, Ints, int]]:
    """Yield the rows of quotas' limits; what others keep of theirs is no row, the packing sees to it."""
    world = given.snapshot
    for quota, here in _below(given, leaf, np.flatnonzero(world.quota_borrow_milli_tflops >= 0)):
        limit = int(world.quota_guaranteed_milli_tflops[quota] + world.quota_borrow_milli_tflops[quota])
        yield here, use[here], max(0, limit - int(world.quota_used_milli_tflops[quota]))


def _below(given: Instance, leaf: Ints, quotas: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield each quota with the choices that count to it."""
    parent = given.snapshot.quota_parent
    levels, at = [], leaf
    while np.any(at >= 0):
        levels.append(at)
        at = np.where(at >= 0, parent[np.maximum(at, 0)], -1)
    for quota in quotas.tolist():
        yield quota, np.flatnonzero(np.any([level == quota for level in levels], axis=0))
