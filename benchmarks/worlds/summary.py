"""How hard a world is: demand against free cards, who has the worth, and how many jobs each rule binds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.offers import REASONS, Facts, amounts, shape_barrier, way_barrier
from benchmarks.rivals import Instance
from scheduler.compiled import compiled
from scheduler.fields import WITHIN_DOMAIN
from scheduler.plan import Plan, Prices
from scheduler.snapshot import Bools, Ints

COUNTED: Final = (
    "Rules of where a job may run: refused jobs that lose at least one pool by this rule (it is the first that shuts "
    "the pool). Rules with a price: jobs that are refused, or run for less than their best choice is worth, and that "
    "would pay this price for their best choice."
)
"""What `binding` counts, in words."""


@dataclass(frozen=True, slots=True)
class Hardness:
    """Figures of one instance; shares are fractions."""

    free_cards: int  # whole ones on open nodes
    demand_over_free: float  # cards asked for by jobs that can run somewhere, over free cards
    gang_worth_share: float  # of the worth of those jobs, each at its best: jobs of more than 8 cards
    share_jobs_share: float  # of the jobs: those that ask for shares of a card
    two_builds_share: float  # of the jobs: those with two builds or more
    nowhere_share: float  # of the jobs: those that can run nowhere, whatever the others do


def hardness(given: Instance) -> Hardness:
    """Measure an instance."""
    world, known = given.snapshot, given.facts
    milli = known.shape_tasks * np.where(known.shape_share > 0, known.shape_share, known.shape_cards * 1000)
    asked, best = milli[known.job_shape], given.best_worth
    free = int(world.node_free_cards[world.node_open].sum())
    builds = np.diff(world.build_start)[world.job_shape]
    return Hardness(
        free_cards=free,
        demand_over_free=float(asked[best > 0].sum()) / 1000 / max(free, 1),
        gang_worth_share=float(best[asked > 8000].sum() / max(best.sum(), 1)),
        share_jobs_share=_mean(known.shape_share[known.job_shape] > 0),
        two_builds_share=_mean(builds >= 2),
        nowhere_share=_mean(best == 0),
    )


def _mean(which: Bools) -> float:
    return float(which.mean()) if which.size else 0.0


def binding(given: Instance, plan: Plan) -> dict[str, int]:
    """Return how many jobs each rule binds in this plan, by name; see COUNTED for what that means."""
    world = given.snapshot
    worth = np.zeros(len(world.job_id), dtype=np.int64)
    position = {job_id: job for job, job_id in enumerate(world.job_id)}
    for placement in plan.placements:
        worth[position[placement.job_id]] = placement.worth_micro_yuan_per_hour
    shut = _shut(given.facts, np.flatnonzero(worth == 0))
    waiting = np.flatnonzero((given.best_worth > 0) & (worth < given.best_worth))
    paid = _paid(given, waiting, plan.prices)
    found = {reason.value: int(jobs) for reason, jobs in zip(REASONS, shut, strict=True)}
    found["PRICE_BELOW_ASK"] = _below_ask(given, worth == 0)
    return found | {f"price of {name}": int((part > 0).sum()) for name, part in paid.items()}


def _below_ask(given: Instance, refused: Bools) -> int:
    """Count refused jobs that lose a choice by price (or transfer cost) alone."""
    counts = np.diff(given.start)
    job = np.repeat(np.arange(counts.size), counts)
    choice = np.arange(job.size) - given.start[job] + given.choices.start[given.facts.job_shape[job]]
    near = _near(given.facts, job, given.facts.pool_hub[given.choices.pool[choice]])
    lost = np.zeros(counts.size, dtype=np.bool_)
    lost[job[(given.worths == 0) & near]] = True
    return int((lost & refused).sum())


@compiled
def _near(f: Facts, job: Ints, hub: Ints) -> Bools:
    found = np.zeros(job.size, np.bool_)
    for row in range(job.size):
        found[row] = way_barrier(f, job[row], hub[row]) == 9
    return found


@compiled
def _shut(f: Facts, jobs: Ints) -> Ints:
    """Count the jobs that lose a pool by each of REASONS; price is not among them."""
    found = np.zeros(9, np.int64)
    for job in jobs:
        hit = np.zeros(10, np.bool_)
        for pool in range(f.pool_hub.size):
            reason = shape_barrier(f, f.job_shape[job], pool)
            if reason == 9:
                reason = way_barrier(f, job, f.pool_hub[pool])
            hit[reason] = True
        for reason in range(9):
            found[reason] += hit[reason]
    return found


def _paid(given: Instance, jobs: Ints, prices: Prices) -> Mapping[str, Ints]:
    """Return what each job would pay for its best choice, rule by rule, micro-yuan per hour."""
    known, world = given.facts, given.snapshot
    choice = given.best_choice[jobs]
    form, pool, shape = given.choices.form[choice], given.choices.pool[choice], known.job_shape[jobs]
    tasks, cards, level = known.form_tasks[form], known.shape_cards[shape], known.form_level[form]
    granted = known.granted[shape, known.pool_model[pool]]
    whole, hub = granted == 0, known.pool_hub[pool]
    units, of_unit = np.where(level == 2, 1, tasks), np.where(level == 2, tasks * cards, cards)
    none = np.zeros(jobs.size, dtype=np.int64)
    paid = {"block": none.copy(), "slice": none.copy(), "domain": none.copy(), "power": none.copy(), "quota": none}
    for at, size in enumerate(prices.block_cards):
        price = np.array(prices.cards_micro_yuan_per_block_hour, dtype=np.int64)[pool, at]
        paid["block"] += np.where(whole, units * (of_unit // size), 0) * price
    for at, size in enumerate(prices.slice_milli):
        price = np.array(prices.slices_micro_yuan_per_slice_hour, dtype=np.int64)[pool, at]
        paid["slice"] += np.where(whole, tasks * cards * (1000 // size), tasks * (granted // size)) * price
    for at, (block, blocks) in enumerate(prices.domain_blocks):
        price = np.array(prices.domains_micro_yuan_per_hour, dtype=np.int64)[pool, at]
        on_node = of_unit // block
        taken = np.where(level == WITHIN_DOMAIN, units * on_node // blocks, units * (on_node // blocks))
        paid["domain"] += np.where(whole, taken, 0) * price
    core, gib = prices.cpu_micro_yuan_per_core_hour, prices.memory_micro_yuan_per_gib_hour
    paid["CPU"] = tasks * known.shape_cpu[shape] * np.array(core, dtype=np.int64)[pool] // 1000
    paid["memory"] = tasks * known.shape_memory[shape] * np.array(gib, dtype=np.int64)[pool] // 1024
    _, watts, use = amounts(known, jobs, form, pool)
    if prices.power_micro_yuan_per_kwh:
        paid["power"] = watts * np.array(prices.power_micro_yuan_per_kwh, dtype=np.int64)[hub] // 1000
    if prices.quota_micro_yuan_per_pflops_hour:
        chain = _along(world.quota_parent, np.array(prices.quota_micro_yuan_per_pflops_hour, dtype=np.int64))
        paid["quota"] = use * np.append(chain, 0)[known.job_leaf[jobs, hub]] // 10**6
    return paid


def _along(parent: Ints, price: Ints) -> Ints:
    """Add up prices from each quota to its root."""
    total = price.copy()
    for quota, above in enumerate(parent.tolist()):  # parents stand first
        if above >= 0:
            total[quota] += total[above]
    return total
