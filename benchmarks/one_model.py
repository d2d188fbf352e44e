"""The whole round as one CP-SAT model, then packed: what a general solver makes of it when nothing is taken apart.

    Variables   run[o] in {0, 1}: a job takes offer o (build, pool and size)    served[q]: PFLOPS of guarantee q, whole
    Maximise    sum worth[o] * run[o] + per_pflops * sum served[q]
    Subject to  (1) at most one offer of a job
                (2) cards, CPU, memory and blocks of a pool, power of a hub, limits of quotas: sums of use <= capacity
                (3) 10^6 * served[q] <= milli-TFLOPS that run below quota q

Gangs are counted against the capacity of whole pools, hubs and quotas. What it chose is then put on nodes, most worth
per choice first, and what does not fit (or breaks what others keep of their quota) is dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.cp_sat import End, Linear, Solved, solve
from benchmarks.offers import NODE, amounts
from benchmarks.rivals import Instance, Rival, placed
from scheduler.snapshot import Ints

TIER_FACTOR: Final = 1_000
"""Worth of a higher tier counts this many times that of the next: one objective cannot be strict."""
WORKERS: Final = 2
Row = tuple[Ints, Ints, int]
"""Which variables use something, how much of it, and how much there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """What each yes or no of the model stands for."""

    job: Ints  # [V] ascending
    choice: Ints  # [V] of the job's shape
    worth: Ints  # [V] as the objective counts it, before it is scaled down


@dataclass(frozen=True, slots=True)
class Tried:
    """How the solver ended, and what came of it; None when it found nothing."""

    solved: Solved
    rival: Rival | None
    variables: int


def one_model(
    given: Instance, seconds_max: float, memory_mib_max: float, seed: int, hint: Rival | None = None
) -> Tried:
    """Let CP-SAT choose build, pool and size of every job in a process of its own, and pack what it chose.

    Args: hint: a plan that the solver may begin with; its seconds are not counted.
    """
    began = perf_counter()
    offers, model = modelled(given, hint)
    solved = solve(model, seconds_max, memory_mib_max, seed, WORKERS)
    if solved.end not in (End.FOUND, End.PROVEN):
        return Tried(solved, None, model.most.size)
    only = np.full(given.facts.job_shape.size, -1, dtype=np.int64)
    taken = np.flatnonzero(solved.values[: offers.job.size])
    only[offers.job[taken]] = offers.choice[taken]
    order = taken[np.argsort(-offers.worth[taken], kind="stable")]
    return Tried(solved, placed(given, offers.job[order], began, only), model.most.size)


def figures(name: str, tried: Tried) -> dict[str, float]:
    """Return the figures of a run, by names that begin with this one; 0 stands for a plan that was not found."""
    solved = tried.solved
    return {
        name: float(tried.rival.objective) if tried.rival else 0.0,
        f"{name}_found": float(tried.rival is not None),
        f"{name}_out_of_memory": float(solved.end == End.MEMORY),
        f"{name}_died": float(solved.end == End.DIED),
        f"{name}_build_seconds": solved.build_seconds,
        f"{name}_model_mib": solved.model_mib,
        f"{name}_peak_mib": solved.peak_mib,
    }


def told(name: str, tried: Tried, seconds_max: float, memory_mib_max: float) -> str:
    """Return the same as a line to read."""
    solved = tried.solved
    return (
        f"{name}: {solved.end} ({seconds_max:g} s, at most {memory_mib_max:,.0f} MiB; {tried.variables:,} variables, "
        f"built in {solved.build_seconds:.1f} s, {solved.model_mib:,.0f} MiB; peak {solved.peak_mib:,.0f} MiB)"
    )


def modelled(given: Instance, hint: Rival | None = None) -> tuple[Offers, Linear]:
    """Return the model, its yes or no for each offer first, then what is served of each guarantee."""
    known, world = given.facts, given.snapshot
    at = np.flatnonzero(given.worths > 0)
    job = np.searchsorted(given.start, at, side="right") - 1
    choice = at - given.start[job] + given.choices.start[known.job_shape[job]]
    form, pool = given.choices.form[choice], given.choices.pool[choice]
    worth = given.worths[at] * TIER_FACTOR ** (world.job_tier.max(initial=0) - world.job_tier[job])
    _, watts, use = amounts(known, job, form, pool)
    total = worth.astype(np.float64).sum()
    unit = max(int(total) >> 45, 1)
    per_pflops = TIER_FACTOR * int(total / unit) // max(int(use.sum()) // 10**6, 1)
    hub = known.pool_hub[pool]
    leaf = known.job_leaf[job, hub]
    missing = (world.quota_guaranteed_milli_tflops - world.quota_used_milli_tflops) // 10**6
    guarantees = list(_below(given, leaf, np.flatnonzero(missing > 0)))
    owed = np.array([missing[quota] for quota, _ in guarantees], dtype=np.int64)
    rows = [*_pools(given, job, choice), *_power(given, hub, watts), *_quotas(given, leaf, use)]
    for served, (_, here) in enumerate(guarantees, at.size):
        rows.append((np.append(here, served), np.append(-use[here], 10**6), 0))
    rows = [(here[used != 0], used[used != 0], upper) for here, used, upper in rows]
    model = Linear(
        most=np.concatenate([np.ones(at.size, dtype=np.int64), owed]),
        worth=np.concatenate([worth // unit, np.full(owed.size, per_pflops)]),
        group_start=np.searchsorted(job, np.append(np.unique(job), known.job_shape.size)),
        row_start=np.cumsum([0, *(here.size for here, _, _ in rows)]),
        term_variable=np.concatenate([here for here, _, _ in rows]),
        term_use=np.concatenate([used for _, used, _ in rows]),
        upper=np.array([upper for _, _, upper in rows], dtype=np.int64),
        hint=None if hint is None else _as_values(hint, job, form, pool, use, guarantees, owed),
    )
    return Offers(job, choice, worth), model


def _as_values(
    plan: Rival, job: Ints, form: Ints, pool: Ints, use: Ints, guarantees: list[tuple[int, Ints]], owed: Ints
) -> Ints:
    run = ((plan.form[job] == form) & (plan.pool[job] == pool)).astype(np.int64)
    given = np.array([(run * use)[here].sum() // 10**6 for _, here in guarantees], dtype=np.int64)
    return np.concatenate([run, np.minimum(given, owed)])


def _pools(given: Instance, job: Ints, choice: Ints) -> Iterator[Row]:
    known, world = given.facts, given.snapshot
    form, pool, shape = given.choices.form[choice], given.choices.pool[choice], known.job_shape[job]
    tasks, cards = known.form_tasks[form], known.shape_cards[shape]
    on_one_node = known.form_level[form] == NODE
    whole = known.shape_share[shape] == 0
    units, of_unit = np.where(on_one_node, 1, tasks), np.where(on_one_node, tasks * cards, cards)
    milli, _, _ = amounts(known, job, form, pool)
    cpu, memory = tasks * known.shape_cpu[shape], tasks * known.shape_memory[shape]
    by_pool = np.argsort(pool, kind="stable")
    bounds = np.searchsorted(pool[by_pool], np.arange(known.pool_hub.size + 1))
    for number in range(known.pool_hub.size):
        here = by_pool[bounds[number] : bounds[number + 1]]
        nodes = np.flatnonzero(world.node_open & (world.node_pool == number))
        free = world.node_free_cards[nodes]
        left = world.split_free_milli[np.isin(world.split_node, nodes)]
        yield here, milli[here], int(free.sum() * 1000 + left.sum())
        yield here, cpu[here], int(world.node_free_cpu_milli[nodes].sum())
        yield here, memory[here], int(world.node_free_memory_mib[nodes].sum())
        for size in np.unique(of_unit[here][whole[here]]).tolist():
            blocks = np.where(whole[here], units[here] * (of_unit[here] // size), 0)
            yield here, blocks, int((free // size).sum())


def _power(given: Instance, hub: Ints, watts: Ints) -> Iterator[Row]:
    world = given.snapshot
    both = np.column_stack([world.hub_power_cap_watts, world.hub_pace_watts]).tolist()
    for number in range(len(world.hub_names)):
        limits = [limit for limit in both[number] if limit >= 0]
        if limits:
            here = np.flatnonzero(hub == number)
            yield here, watts[here], max(0, min(limits) - int(world.hub_used_watts[number]))


def _quotas(given: Instance, leaf: Ints, use: Ints) -> Iterator[Row]:
    """Yield the rows of quotas' limits; what others keep of theirs is no row, the packing sees to it."""
    world = given.snapshot
    for quota, here in _below(given, leaf, np.flatnonzero(world.quota_borrow_milli_tflops >= 0)):
        limit = int(world.quota_guaranteed_milli_tflops[quota] + world.quota_borrow_milli_tflops[quota])
        yield here, use[here], max(0, limit - int(world.quota_used_milli_tflops[quota]))


def _below(given: Instance, leaf: Ints, quotas: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield each quota with the offers that count to it."""
    parent = given.snapshot.quota_parent
    levels, at = [], leaf
    while np.any(at >= 0):
        levels.append(at)
        at = np.where(at >= 0, parent[np.maximum(at, 0)], -1)
    for quota in quotas.tolist():
        yield quota, np.flatnonzero(np.any([level == quota for level in levels], axis=0))
