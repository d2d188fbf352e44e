"""Re-derive from the snapshot alone whether a plan may be committed, and whether its bound is one.

Shares no code with the planner: what the planner believes about worths, eligibility and capacity is derived here a
second time, pool by pool. A bound that cannot be reproduced from the plan's own prices is no bound.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from scheduler.plan import Placement, Plan, PlanStatus
from scheduler.reasons import REFUSALS
from scheduler.snapshot import Bools, Ints, Snapshot


class Rule(StrEnum):
    """What a plan can break."""

    OTHER_SNAPSHOT = "OTHER_SNAPSHOT"  # the plan was made for another snapshot
    UNKNOWN_JOB = "UNKNOWN_JOB"  # it names a job that the snapshot does not hold
    JOB_TWICE = "JOB_TWICE"  # a job is decided more than once
    JOB_UNDECIDED = "JOB_UNDECIDED"  # a job is neither placed nor refused
    DANGLING_INDEX = "DANGLING_INDEX"  # no such pool, build or node
    REFUSED_WITHOUT_REASON = "REFUSED_WITHOUT_REASON"  # the reason is none that a refusal may carry
    GANG_SPLIT = "GANG_SPLIT"  # not all tasks are placed, or more than all
    NODE_OUTSIDE_POOL = "NODE_OUTSIDE_POOL"  # a node belongs to another pool, or is named twice
    NODE_CLOSED = "NODE_CLOSED"  # a node takes no new work
    CARDS_OVER = "CARDS_OVER"  # a node's free cards are promised more than once
    CPU_OVER = "CPU_OVER"
    MEMORY_OVER = "MEMORY_OVER"
    WRONG_BUILD = "WRONG_BUILD"  # the build does not run on the pool's model and stack
    HUB_FORBIDDEN = "HUB_FORBIDDEN"  # the job does not allow the hub
    TOO_FAR = "TOO_FAR"  # the round trip is unknown or over the job's limit
    NOT_WORTH_IT = "NOT_WORTH_IT"  # the ceiling does not exceed the ask
    WRONG_WORTH = "WRONG_WORTH"  # a placement claims another worth than it has
    WRONG_OBJECTIVE = "WRONG_OBJECTIVE"  # the objective is not the sum of the worths
    BAD_PRICES = "BAD_PRICES"  # prices are negative, absurd or of the wrong shape
    WRONG_BOUND = "WRONG_BOUND"  # the bound does not follow from the prices
    BOUND_BELOW_OBJECTIVE = "BOUND_BELOW_OBJECTIVE"
    WRONG_STATUS = "WRONG_STATUS"  # it claims to be optimal and is not proven so, or the other way round
    WRONG_EFFORT = "WRONG_EFFORT"  # the policy would not spend the effort that the plan says it took


@dataclass(frozen=True)
class Violation:
    """One broken rule: what, and where."""

    rule: Rule
    detail: str


def violations(snapshot: Snapshot, plan: Plan) -> list[Violation]:
    """Return every rule that the plan breaks; an empty list means that it may be committed and its gap believed."""
    return list(_violations(snapshot, plan))


def _violations(snapshot: Snapshot, plan: Plan) -> Iterator[Violation]:
    if plan.snapshot_hash != snapshot.input_hash():
        yield Violation(Rule.OTHER_SNAPSHOT, f"made for {plan.snapshot_hash[:12]}")
    position = {job_id: job for job, job_id in enumerate(snapshot.job_id)}
    yield from _every_job_once(snapshot, plan, position)
    worth = _Worth(snapshot, plan)
    sound: list[tuple[int, Placement]] = []
    for placement in plan.placements:
        if placement.job_id not in position:
            continue
        job = position[placement.job_id]
        dangling = list(_dangling(snapshot, job, placement))
        yield from dangling
        if not dangling:
            sound.append((job, placement))
            yield from _gang(snapshot, job, placement)
            yield from _eligible(snapshot, job, placement, worth)
    yield from _free(snapshot, sound)
    claimed = sum(placement.worth_micro_yuan_per_hour for placement in plan.placements)
    if claimed != plan.objective_micro_yuan_per_hour:
        yield Violation(Rule.WRONG_OBJECTIVE, f"is {plan.objective_micro_yuan_per_hour}, the sum is {claimed}")
    yield from _bound(snapshot, plan, worth)
    if (plan.objective == plan.bound) != (plan.status is PlanStatus.OPTIMAL):
        yield Violation(Rule.WRONG_STATUS, f"{plan.status} with objective {plan.objective} and bound {plan.bound}")
    if plan.policy.effort != plan.effort_spent:
        yield Violation(Rule.WRONG_EFFORT, f"spent {plan.effort_spent}, policy says {plan.policy.effort}")


def _every_job_once(snapshot: Snapshot, plan: Plan, position: dict[str, int]) -> Iterator[Violation]:
    decided = Counter(p.job_id for p in plan.placements) + Counter(r.job_id for r in plan.refusals)
    for job_id, times in decided.items():
        if job_id not in position:
            yield Violation(Rule.UNKNOWN_JOB, job_id)
        elif times > 1:
            yield Violation(Rule.JOB_TWICE, f"{job_id} is decided {times} times")
    for job_id in snapshot.job_id:
        if job_id not in decided:
            yield Violation(Rule.JOB_UNDECIDED, job_id)
    for refusal in plan.refusals:
        if refusal.reason not in REFUSALS:
            yield Violation(Rule.REFUSED_WITHOUT_REASON, f"{refusal.job_id}: {refusal.reason}")
        if not -1 <= refusal.pool < len(snapshot.pool_names):
            yield Violation(Rule.DANGLING_INDEX, f"{refusal.job_id} refused by pool {refusal.pool}")


def _dangling(snapshot: Snapshot, job: int, placement: Placement) -> Iterator[Violation]:
    shape = int(snapshot.job_shape[job])
    builds = int(snapshot.build_start[shape + 1] - snapshot.build_start[shape])
    if not 0 <= placement.pool < len(snapshot.pool_names):
        yield Violation(Rule.DANGLING_INDEX, f"{placement.job_id} in pool {placement.pool}")
    if not 0 <= placement.build < builds:
        yield Violation(Rule.DANGLING_INDEX, f"{placement.job_id} with build {placement.build}")
    if any(not 0 <= node < len(snapshot.node_names) for node in placement.nodes):
        yield Violation(Rule.DANGLING_INDEX, f"{placement.job_id} on nodes {placement.nodes}")


def _gang(snapshot: Snapshot, job: int, placement: Placement) -> Iterator[Violation]:
    tasks = int(snapshot.shape_tasks[snapshot.job_shape[job]])
    counts = placement.tasks
    if len(counts) != len(placement.nodes) or any(count < 1 for count in counts) or sum(counts) != tasks:
        yield Violation(Rule.GANG_SPLIT, f"{placement.job_id} has {counts} of {tasks} tasks")
    if len(set(placement.nodes)) != len(placement.nodes):
        yield Violation(Rule.NODE_OUTSIDE_POOL, f"{placement.job_id} names a node twice")
    for node in placement.nodes:
        if snapshot.node_pool[node] != placement.pool:
            yield Violation(Rule.NODE_OUTSIDE_POOL, f"{placement.job_id}: {snapshot.node_names[node]}")
        if not snapshot.node_open[node]:
            yield Violation(Rule.NODE_CLOSED, f"{placement.job_id}: {snapshot.node_names[node]}")


def _eligible(snapshot: Snapshot, job: int, placement: Placement, worth: _Worth) -> Iterator[Violation]:
    shape, pool = int(snapshot.job_shape[job]), placement.pool
    model, hub = int(snapshot.pool_model[pool]), int(snapshot.pool_hub[pool])
    build = int(snapshot.build_start[shape]) + placement.build
    same_stack = snapshot.build_stack[build] == snapshot.model_stack[model]
    if not (same_stack and snapshot.build_models[build, model]):
        yield Violation(Rule.WRONG_BUILD, f"{placement.job_id}: {snapshot.model_names[model]}")
    if not snapshot.shape_hub_allowed[shape, hub]:
        yield Violation(Rule.HUB_FORBIDDEN, f"{placement.job_id}: {snapshot.hub_names[hub]}")
    limit = int(snapshot.shape_round_trip_micros_max[shape])
    trip = int(snapshot.round_trip_micros[snapshot.job_city[job], hub])
    if limit >= 0 and not 0 <= trip <= limit:
        yield Violation(Rule.TOO_FAR, f"{placement.job_id}: {trip} of at most {limit} microseconds")
    true_worth = worth.of_one(job, build, pool)
    if true_worth <= 0:
        yield Violation(Rule.NOT_WORTH_IT, placement.job_id)
    if true_worth != placement.worth_micro_yuan_per_hour:
        yield Violation(
            Rule.WRONG_WORTH, f"{placement.job_id}: {placement.worth_micro_yuan_per_hour}, not {true_worth}"
        )


def _free(snapshot: Snapshot, placements: list[tuple[int, Placement]]) -> Iterator[Violation]:
    used: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for job, placement in placements:
        shape = snapshot.job_shape[job]
        need = (
            int(snapshot.shape_cards_per_task[shape]),
            int(snapshot.shape_cpu_milli_per_task[shape]),
            int(snapshot.shape_memory_mib_per_task[shape]),
        )
        for node, tasks in zip(placement.nodes, placement.tasks, strict=False):
            for resource in range(3):
                used[node][resource] += need[resource] * max(tasks, 0)
    rules = (
        (Rule.CARDS_OVER, snapshot.node_free_cards),
        (Rule.CPU_OVER, snapshot.node_free_cpu_milli),
        (Rule.MEMORY_OVER, snapshot.node_free_memory_mib),
    )
    for node in sorted(used):
        for resource, (rule, free) in enumerate(rules):
            if used[node][resource] > free[node]:
                yield Violation(rule, f"{snapshot.node_names[node]}: {used[node][resource]} of {free[node]}")


class _Worth:
    """Worths by the definition: ceiling times programme P times speed, less the ask, times the job's weight."""

    _VALUE_MAX = 10_000_000_000  # micro-yuan for a card-hour

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        policy = plan.policy
        self._snapshot = snapshot
        age = snapshot.taken_at_s - snapshot.job_submitted_at_s
        steps = np.clip(age, 0, None) // policy.ageing_step_seconds
        grown = 100 + policy.ageing_percent_per_step * np.clip(steps, None, policy.ageing_steps_max)
        self._weight = np.array(policy.priority_percent)[snapshot.job_priority] * grown // 100

    def of_one(self, job: int, build: int, pool: int) -> int:
        """Return the worth of one job under one build (its index in the snapshot); 0 when the ask is not exceeded."""
        snapshot = self._snapshot
        figure = int(snapshot.model_fp16_programme_milli_tflops[snapshot.pool_model[pool]])
        if figure < 0:
            return 0
        speed = figure * int(snapshot.build_speed_ppm[build]) // 1_000_000
        ceiling = int(snapshot.job_ceiling_micro_yuan_per_pflops_hour[job])
        value = min(ceiling * speed // 1_000_000, self._VALUE_MAX)
        rate = value - int(snapshot.pool_ask_micro_yuan_per_card_hour[pool])
        if rate <= 0:
            return 0
        shape = snapshot.job_shape[job]
        cards = int(snapshot.shape_tasks[shape]) * int(snapshot.shape_cards_per_task[shape])
        return cards * max(rate * int(self._weight[job]) // 100, 1)

    def of_all(self, pool: int) -> Ints:
        """Return, for every job, its worth in the pool; 0 where it may not run there."""
        snapshot = self._snapshot
        hub = snapshot.pool_hub[pool]
        shape = snapshot.job_shape
        speed = self._speeds(pool)[shape]
        limit = snapshot.shape_round_trip_micros_max[shape]
        trip = snapshot.round_trip_micros[snapshot.job_city, hub]
        near = (limit < 0) | ((trip >= 0) & (trip <= limit))
        may = near & snapshot.shape_hub_allowed[shape, hub] & self._fits_alone(pool)[shape] & (speed >= 0)
        speed = np.maximum(speed, 0)
        dearest = self._VALUE_MAX * 1_000_000 // np.maximum(speed, 1) + 1  # any higher ceiling gives the same value
        ceiling = np.minimum(snapshot.job_ceiling_micro_yuan_per_pflops_hour, dearest)
        value = np.minimum(ceiling * speed // 1_000_000, self._VALUE_MAX)
        rate = value - snapshot.pool_ask_micro_yuan_per_card_hour[pool]
        cards = (snapshot.shape_tasks * snapshot.shape_cards_per_task)[shape]
        worth: Ints = np.where(may & (rate > 0), cards * np.maximum(rate * self._weight // 100, 1), 0)
        return worth

    def _speeds(self, pool: int) -> Ints:
        """Return, for every shape, the best milli-TFLOPS of a card of this pool; -1 where no build runs."""
        snapshot = self._snapshot
        model = int(snapshot.pool_model[pool])
        figure = int(snapshot.model_fp16_programme_milli_tflops[model])
        best = np.full(snapshot.shape_tasks.size, -1, dtype=np.int64)
        if figure < 0:
            return best
        owner = np.repeat(np.arange(snapshot.shape_tasks.size), np.diff(snapshot.build_start))
        same_stack = np.array([stack == snapshot.model_stack[model] for stack in snapshot.build_stack], dtype=bool)
        runs = same_stack & snapshot.build_models[:, model]
        np.maximum.at(best, owner[runs], (figure * snapshot.build_speed_ppm // 1_000_000)[runs])
        return best

    def _fits_alone(self, pool: int) -> Bools:
        """Return, for every shape, whether the pool's free nodes could hold one gang of it if nothing else came."""
        snapshot = self._snapshot
        here = (snapshot.node_pool == pool) & snapshot.node_open
        cards, cpu, memory = (
            free[here]
            for free in (snapshot.node_free_cards, snapshot.node_free_cpu_milli, snapshot.node_free_memory_mib)
        )
        known: dict[tuple[int, int, int], int] = {}
        fits = np.zeros(snapshot.shape_tasks.size, dtype=bool)
        needs = zip(
            snapshot.shape_cards_per_task.tolist(),
            snapshot.shape_cpu_milli_per_task.tolist(),
            snapshot.shape_memory_mib_per_task.tolist(),
            strict=True,
        )
        for shape, need in enumerate(needs):
            if need not in known:
                by_cpu = cpu // need[1] if need[1] else cards
                by_memory = memory // need[2] if need[2] else cards
                known[need] = int(np.minimum(np.minimum(cards // need[0], by_cpu), by_memory).sum())
            fits[shape] = known[need] >= int(snapshot.shape_tasks[shape])
        return fits


def _bound(snapshot: Snapshot, plan: Plan, worth: _Worth) -> Iterator[Violation]:
    complaint = _price_complaint(snapshot, plan)
    if complaint:
        yield Violation(Rule.BAD_PRICES, complaint)
        return
    bound = _lagrangian(snapshot, plan, worth)
    if bound != plan.bound_micro_yuan_per_hour:
        yield Violation(Rule.WRONG_BOUND, f"is {plan.bound_micro_yuan_per_hour}, the prices give {bound}")
    if bound < plan.objective_micro_yuan_per_hour:
        yield Violation(Rule.BOUND_BELOW_OBJECTIVE, f"{bound} is less than {plan.objective_micro_yuan_per_hour}")


def _price_complaint(snapshot: Snapshot, plan: Plan) -> str | None:
    prices, pools = plan.prices, len(snapshot.pool_names)
    blocks = prices.block_cards
    if list(blocks) != sorted(set(blocks)) or any(size < 1 for size in blocks):
        return "block sizes must ascend from at least 1"
    per_pool = (
        prices.cards_micro_yuan_per_block_hour,
        prices.cpu_micro_yuan_per_core_hour,
        prices.memory_micro_yuan_per_gib_hour,
    )
    if any(len(column) != pools for column in per_pool):
        return f"there must be prices for {pools} pools"
    if any(len(row) != len(blocks) for row in prices.cards_micro_yuan_per_block_hour):
        return f"every pool must have prices for {len(blocks)} block sizes"
    flat = [price for row in prices.cards_micro_yuan_per_block_hour for price in row]
    if any(price < 0 for price in (*flat, *per_pool[1], *per_pool[2])):
        return "no price may be negative"
    return None


def _lagrangian(snapshot: Snapshot, plan: Plan, worth: _Worth) -> int:
    """Return L(prices): what every job would gain where it gains most, plus the rent of all capacity."""
    prices = plan.prices
    best = np.zeros(len(snapshot.job_id), dtype=np.int64)
    rent = 0
    usable = snapshot.node_open & (snapshot.node_free_cards > 0)
    for pool in range(len(snapshot.pool_names)):
        here = usable & (snapshot.node_pool == pool)
        free = snapshot.node_free_cards[here].tolist()
        by_block = prices.cards_micro_yuan_per_block_hour[pool]
        for size, price in zip(prices.block_cards, by_block, strict=True):
            rent += price * sum(cards // size for cards in free)
        core, gib = prices.cpu_micro_yuan_per_core_hour[pool], prices.memory_micro_yuan_per_gib_hour[pool]
        rent += -(-core * sum(snapshot.node_free_cpu_milli[here].tolist()) // 1000)
        rent += -(-gib * sum(snapshot.node_free_memory_mib[here].tolist()) // 1024)
        cost = _costs(snapshot, plan, pool)
        best = np.maximum(best, worth.of_all(pool) - cost[snapshot.job_shape])
    return rent + sum(best.tolist())


def _costs(snapshot: Snapshot, plan: Plan, pool: int) -> Ints:
    """Return what one gang of every shape pays in the pool, in exact integers; beyond 2^62 nothing is ever bought."""
    prices = plan.prices
    by_block = list(zip(prices.block_cards, prices.cards_micro_yuan_per_block_hour[pool], strict=True))
    core, gib = prices.cpu_micro_yuan_per_core_hour[pool], prices.memory_micro_yuan_per_gib_hour[pool]
    cost = []
    for tasks, cards, cpu, memory in zip(
        snapshot.shape_tasks.tolist(),
        snapshot.shape_cards_per_task.tolist(),
        snapshot.shape_cpu_milli_per_task.tolist(),
        snapshot.shape_memory_mib_per_task.tolist(),
        strict=True,
    ):
        paid = tasks * sum(cards // size * price for size, price in by_block)
        paid += tasks * cpu * core // 1000 + tasks * memory * gib // 1024
        cost.append(min(paid, 2**62))
    return np.array(cost, dtype=np.int64)
