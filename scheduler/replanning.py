"""A round planned again with one waiting job changed: would it be started, and instead of whom?

A small round is planned again whole. Of a large one the part at stake is: one pool, what the round started there, the
job, and those others that waited and offer most. Everybody elsewhere keeps its place; what they draw of power and of
quotas counts as used. So the answer is a plan that keeps every rule, and no promise of the next round: by
then others have come, and what the round started runs on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from scheduler.changes import Change, Effect, change_of
from scheduler.choices import weights_percent
from scheduler.errors import UnknownJob
from scheduler.explain import PRICED, PoolVerdict, explain
from scheduler.fields import LIMITS, MILLI_PER_CARD, UNKNOWN
from scheduler.forms import granted_slices
from scheduler.judging import fastest_builds
from scheduler.levers import Step, steps, with_ceiling
from scheduler.opening import prices_of
from scheduler.plan import Placement, Plan
from scheduler.planner import plan as make_plan
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.refusals import Refusals
from scheduler.snapshot import ARRAYS_OF_JOBS, Bools, Ints, Snapshot

SMALL_NODES: Final = 300
SMALL_JOBS: Final = 300
"""Rounds of up to so many nodes and jobs are planned again whole."""
RIVALS_MAX: Final = 300
"""Of those that waited as well, so many take part: they offer most for what they ask."""
EFFORT: Final = 2
PRICE_ITERATIONS: Final = 10
"""The round's prices are known: they are only fitted to the part at stake."""
PLANS_MAX: Final = 4
"""Rounds planned again for one job at most: each takes a tenth of a second at national size."""
_ABOVE_PERCENT: Final = 125
_CEILING_MAX: Final = LIMITS["job_ceiling_micro_yuan_per_pflops_hour"][1]
_PPM: Final = 10**6


@dataclass(frozen=True, eq=False)
class Stake:
    """What is planned again, and who was started there."""

    world: Snapshot
    started: frozenset[str]


def planned_changes(world: Snapshot, made: Plan, job_id: str) -> tuple[Change, ...]:
    """Return single changes with which the round, planned again, starts the job; the cheapest by `Lever` first.

    The price comes first, then what else could be changed, until one is found or `PLANS_MAX` rounds were planned. Only
    pools that could hold the job alone as the round began come in question: for the others nobody need make way.

    Args:
        world: of the round.
        made: its plan of this world.
        job_id: a job that it refused.
    Raises: UnknownJob: the world holds no such job.
    """
    if job_id not in world.job_id:
        raise UnknownJob("job_id", f"{job_id!r} was not in this round; ask again after the next one")
    if any(placement.job_id == job_id for placement in made.placements):
        return ()
    at = world.job_id.index(job_id)
    alone = world.of_one_job(at)
    left, stakes = PLANS_MAX, dict[int, Stake]()
    policy = replace(
        made.policy,
        effort=EFFORT,
        price_iterations_per_step=PRICE_ITERATIONS,
        opening_prices=prices_of(world, made),
        opening_seats=(),
    )
    for candidates in (_ceilings(world, made, alone), _others(alone, made)):
        for step, pool in candidates:
            if not left:
                return ()
            left -= 1
            if pool not in stakes:
                stakes[pool] = at_stake(world, made, job_id, pool)
            if (found := _planned(step, stakes[pool], policy)) is not None:
                return (found,)
    return ()


def at_stake(world: Snapshot, made: Plan, job_id: str, pool: int, small_nodes: int = SMALL_NODES) -> Stake:
    """Return the part of the round that one more job in this pool is decided in, the job itself included.

    `small_nodes`: a round of up to so many nodes, and of up to `SMALL_JOBS` jobs, is not cut.
    """
    if len(world.node_names) <= small_nodes and len(world.job_id) <= SMALL_JOBS:
        return Stake(world, frozenset(placement.job_id for placement in made.placements))
    here = {placement.job_id for placement in made.placements if placement.pool == pool}
    position = world.job_index
    waiting = np.array([position[name] for name in Refusals.of(made.refusals).names], dtype=np.int64)
    rivals = _most_offering(world, waiting[_may_run_in(world, pool)[world.job_shape[waiting]]])
    jobs = sorted({*(position[name] for name in here), *rivals, position[job_id]})
    elsewhere = [placement for placement in made.placements if placement.pool != pool]
    arrays: dict[str, Any] = {**_nodes_of(world, pool), **_drawn(world, elsewhere, position)}
    part = replace(world.of_jobs(jobs), **arrays)
    return Stake(part, frozenset(here))


def _ceilings(world: Snapshot, made: Plan, alone: Snapshot) -> Iterator[tuple[Step, int]]:
    """Yield raises of the ceiling, ascending: what wins the cheapest pool at the prices, what those started there are
    worth whose cards it would take, and somewhat more, for their nodes may not be the ones it needs."""
    found = [verdict for verdict in _verdicts(alone, made) if verdict.reason in PRICED and not verdict.tasks_short]
    cheapest = min((each for each in found if each.clearing > 0), key=lambda each: each.clearing, default=None)
    if cheapest is None or cheapest.cost is None:
        return
    ceiling = int(alone.job_ceiling_micro_yuan_per_pflops_hour[0])
    card = int(fastest_builds(alone)[0][0, alone.pool_model[cheapest.pool]])
    milli = cheapest.tasks * (int(alone.shape_share_milli[0]) or int(alone.shape_cards_per_task[0]) * MILLI_PER_CARD)
    short = _displaced_worth(world, made, cheapest.pool, milli) - cheapest.cost.total
    weight = int(weights_percent(alone, made.policy)[0])
    beside = max(short, 0) * 100 * _PPM * MILLI_PER_CARD // (weight * card * milli)
    clearing = max(cheapest.clearing, ceiling)
    dearer = cheapest.clearing + beside
    for least in sorted({clearing, max(clearing, dearer), max(clearing, dearer) * _ABOVE_PERCENT // 100}):
        raised = min(least + least // 1000 + 1, _CEILING_MAX)  # a little above: worth is rounded down in several steps
        if raised > ceiling:
            yield with_ceiling(alone, raised), cheapest.pool


def _displaced_worth(world: Snapshot, made: Plan, pool: int, milli: int) -> int:
    """Return what the least worthy placements of a pool are worth that together take so many thousandths of cards."""
    here = [placement for placement in made.placements if placement.pool == pool]
    wanted = {placement.job_id for placement in here}
    shape = {name: world.job_shape[at] for at, name in enumerate(world.job_id) if name in wanted}
    by_card = []
    for placement in here:
        each = world.shape_share_milli[shape[placement.job_id]] or (
            world.shape_cards_per_task[shape[placement.job_id]] * MILLI_PER_CARD
        )
        by_card.append((sum(placement.tasks) * int(each), placement.worth_micro_yuan_per_hour))
    worth = 0
    for takes, has in sorted(by_card, key=lambda pair: (pair[1] / pair[0], pair)):
        if milli <= 0:
            break
        worth, milli = worth + has, milli - takes
    return worth


def _others(alone: Snapshot, made: Plan) -> Iterator[tuple[Step, int]]:
    """Yield other changes that make a pool pay at the round's prices, with the pool that asks least."""
    for candidates in steps(alone):
        for step in candidates:
            paying = [
                verdict
                for verdict in _verdicts(step.job, made)
                if verdict.reason is Reason.OUTBID and verdict.price_short_micro_yuan_per_pflops_hour == 0
            ]
            if paying:
                yield step, min(paying, key=lambda each: each.clearing).pool
                break


def _verdicts(alone: Snapshot, made: Plan) -> tuple[PoolVerdict, ...]:
    return explain(alone, made, alone.job_id[0])


def _planned(step: Step, stake: Stake, policy: Policy) -> Change | None:
    """Plan again with the changed job; return the change if the plan starts it."""
    [job_id] = step.job.job_id
    changed = with_job(stake.world, step.job)
    again = make_plan(changed, policy)
    placement = next((each for each in again.placements if each.job_id == job_id), None)
    if placement is None:
        return None
    running = {each.job_id for each in again.placements}
    return change_of(replace(step, job=changed), placement, Effect.PLANNED, again, sorted(stake.started - running))


def with_job(world: Snapshot, changed: Snapshot) -> Snapshot:
    """Return the world with one of its jobs as it stands, alone, in `changed`; its shape becomes the last one."""
    [job_id] = changed.job_id
    at = world.job_id.index(job_id)
    arrays: dict[str, Any] = {}
    for name, counted_by in ARRAYS_OF_JOBS.items():
        old, new = getattr(world, name), getattr(changed, name)
        if name in ("build_start", "size_start"):
            arrays[name] = np.concatenate([old, old[-1] + new[1:]])
        elif name == "job_shape":
            arrays[name] = _with(old, at, len(world.shape_tasks))
        elif counted_by == "job":
            arrays[name] = (*old[:at], *new, *old[at + 1 :]) if isinstance(old, tuple) else _with(old, at, new[0])
        else:
            arrays[name] = old + new if isinstance(old, tuple) else np.concatenate([old, new])
    return world.with_jobs(world.taken_at_s, **arrays)


def _with(values: Ints, at: int, value: Any) -> Ints:
    changed = values.copy()
    changed[at] = value
    return changed


def _may_run_in(world: Snapshot, pool: int) -> Bools:
    """Return [S]: whether a build runs on the pool's model, and hub and owner are allowed."""
    model = int(world.pool_model[pool])
    stack = np.array([each == world.model_stack[model] for each in world.build_stack], dtype=np.bool_)
    of_shape = np.repeat(np.arange(len(world.shape_tasks)), np.diff(world.build_start))
    runs = np.zeros(len(world.shape_tasks), dtype=np.bool_)
    runs[of_shape[world.build_models[:, model] & stack]] = True
    may: Bools = runs & world.shape_hub_allowed[:, world.pool_hub[pool]]
    return may & world.shape_owner_allowed[:, world.pool_owner[pool]]


def _most_offering(world: Snapshot, jobs: Ints) -> list[int]:
    """Return those of the jobs with the highest ceilings, priority counted; ties by their order."""
    offer = world.job_ceiling_micro_yuan_per_pflops_hour[jobs] * (1 + world.job_priority[jobs])
    order = np.lexsort((-offer, world.job_tier[jobs]))
    most: list[int] = jobs[order[:RIVALS_MAX]].tolist()
    return most


def _nodes_of(world: Snapshot, pool: int) -> dict[str, Any]:
    """Return the arrays of nodes and split cards with those of one pool alone; the other pools stay, empty."""
    low, high = np.searchsorted(world.node_pool, [pool, pool + 1]).tolist()
    arrays = {name: value[low:high] for name, value in vars(world).items() if name.startswith("node_")}
    split = (world.split_node >= low) & (world.split_node < high)
    arrays |= {name: value[split] for name, value in vars(world).items() if name.startswith("split_")}
    return arrays | {"split_node": world.split_node[split] - low}


def _drawn(world: Snapshot, placements: Sequence[Placement], position: Mapping[str, int]) -> dict[str, Ints]:
    """Return watts and quotas as they are used when these placements run as well."""
    job = np.array([position[each.job_id] for each in placements], dtype=np.int64)
    pools = np.array([each.pool for each in placements], dtype=np.int64)
    tasks = np.array([sum(each.tasks) for each in placements], dtype=np.int64)
    shape, model, hub = world.job_shape[job], world.pool_model[pools], world.pool_hub[pools]
    granted = granted_slices(world)[shape, model]
    milli = tasks * np.where(granted > 0, granted, world.shape_cards_per_task[shape] * MILLI_PER_CARD)
    watts = -(-milli * world.model_card_watts[model] // 1000)
    drawn = world.hub_used_watts.copy()
    np.add.at(drawn, hub, -(-watts * world.hub_pue_ppm[hub] // _PPM))
    figures = np.maximum(world.model_fp16_programme_milli_tflops[model], 0)
    used, new = world.quota_used_milli_tflops.copy(), np.zeros(len(world.quota_names), dtype=np.int64)
    tenant = world.job_tenant[job]
    leaf = np.where(tenant >= 0, world.tenant_quota[tenant, hub], UNKNOWN) if world.tenant_names else tenant
    counted = leaf >= 0
    np.add.at(new, leaf[counted], (-(-milli * figures // 1000))[counted])
    below = np.zeros_like(used)
    for quota in range(new.size - 1, -1, -1):  # children stand behind their parents
        # what a quota is said to use is at least what its children do: else new work could hide in the difference
        used[quota] = max(used[quota], below[quota])
        if world.quota_parent[quota] >= 0:
            new[world.quota_parent[quota]] += new[quota]
            below[world.quota_parent[quota]] += used[quota]
    return {"hub_used_watts": drawn, "quota_used_milli_tflops": used + new}
