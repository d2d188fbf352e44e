"""Why one job runs where it does, or does not run: for each pool a typed reason and the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.choices import VALUE_MAX, Choices, choose, fastest_builds
from scheduler.errors import UnknownJob
from scheduler.plan import Placement, Plan
from scheduler.prices import MIB_PER_GIB, MILLI_PER_CORE
from scheduler.reasons import Reason
from scheduler.snapshot import UNKNOWN, Snapshot

PRICED = (Reason.CHOSEN, Reason.BETTER_ELSEWHERE, Reason.OUTBID, Reason.PRICE_BELOW_ASK)
"""Reasons that leave only the price between the job and the pool, if the gang fits."""
_PPM = 10**6


@dataclass(frozen=True)
class PoolVerdict:
    """What stands between a job and one pool. -1 means that there is no such figure."""

    pool: int
    pool_name: str
    reason: Reason
    build: int  # position in the job's own list of builds
    tasks_short: int  # tasks of the gang that the free nodes could not hold, if nothing else came
    cards_short: int  # the same in cards
    round_trip_micros: int
    clearing_micro_yuan_per_pflops_hour: int  # least ceiling that pays the ask and what others would pay (the prices)
    price_short_micro_yuan_per_pflops_hour: int  # by how much the job's ceiling is below that; 0: it is not

    @property
    def clearing(self) -> int:
        """Least ceiling that would win the pool, micro-yuan per PFLOPS-hour."""
        return self.clearing_micro_yuan_per_pflops_hour


def explain(snapshot: Snapshot, plan: Plan, job_id: str) -> tuple[PoolVerdict, ...]:
    """Return one verdict for each pool, in the order of the pools.

    A refused job whose price is not short anywhere fell into the gap between plan and bound: nothing outbid it for
    certain. Raises: UnknownJob: the snapshot holds no such job.
    """
    if job_id not in snapshot.job_id:
        raise UnknownJob("job_id", f"{job_id!r} was not in this round; ask again after the next one")
    alone = snapshot.of_one_job(snapshot.job_id.index(job_id))
    choices = choose(alone, plan.policy)
    speeds, _ = fastest_builds(alone)
    placement = next((p for p in plan.placements if p.job_id == job_id), None)
    return tuple(
        _verdict(alone, plan, choices, placement, pool, int(speeds[0, pool])) for pool in range(len(alone.pool_names))
    )


def cheapest_clearing(verdicts: Iterable[PoolVerdict]) -> PoolVerdict | None:
    """Return the pool where the least ceiling would do, of those where only the price stands in the way."""
    priced = (v for v in verdicts if v.reason in PRICED and not v.tasks_short and v.clearing != UNKNOWN)
    return min(priced, key=lambda v: (v.clearing, v.pool), default=None)


def _verdict(
    alone: Snapshot, plan: Plan, choices: Choices, placement: Placement | None, pool: int, speed: int
) -> PoolVerdict:
    reason = choices.reason(0, pool)
    if reason is Reason.OUTBID and placement is not None:
        reason = Reason.CHOSEN if placement.pool == pool else Reason.BETTER_ELSEWHERE
    clearing = _clearing(alone, plan, pool, speed, int(choices.weight_percent[0]))
    ceiling = int(choices.ceiling[0])
    tasks_short = max(int(alone.shape_tasks[0]) - int(choices.slots[0, pool]), 0)
    return PoolVerdict(
        pool=pool,
        pool_name=alone.pool_names[pool],
        reason=reason,
        build=int(choices.build[0, pool]),
        tasks_short=tasks_short,
        cards_short=tasks_short * int(alone.shape_cards_per_task[0]),
        round_trip_micros=int(alone.round_trip_micros[alone.job_city[0], alone.pool_hub[pool]]),
        clearing_micro_yuan_per_pflops_hour=clearing,
        price_short_micro_yuan_per_pflops_hour=UNKNOWN if clearing == UNKNOWN else max(clearing - ceiling, 0),
    )


def _clearing(alone: Snapshot, plan: Plan, pool: int, speed: int, weight_percent: int) -> int:
    """Return the least ceiling whose worth covers the gang's cost at the plan's prices, or -1 when none can."""
    if speed <= 0:
        return UNKNOWN
    gang = int(alone.shape_tasks[0]) * int(alone.shape_cards_per_task[0])
    worth_per_card = -(-_cost(alone, plan, pool) // gang)
    rate = max(-(-worth_per_card * 100 // weight_percent), 1)
    value = int(alone.pool_ask_micro_yuan_per_card_hour[pool]) + rate
    return UNKNOWN if value > VALUE_MAX else -(-value * _PPM // speed)


def _cost(alone: Snapshot, plan: Plan, pool: int) -> int:
    prices, tasks = plan.prices, int(alone.shape_tasks[0])
    cards = int(alone.shape_cards_per_task[0])
    by_block = zip(prices.block_cards, prices.cards_micro_yuan_per_block_hour[pool], strict=True)
    cpu = tasks * int(alone.shape_cpu_milli_per_task[0]) * prices.cpu_micro_yuan_per_core_hour[pool]
    memory = tasks * int(alone.shape_memory_mib_per_task[0]) * prices.memory_micro_yuan_per_gib_hour[pool]
    return (
        tasks * sum(cards // size * price for size, price in by_block) + cpu // MILLI_PER_CORE + memory // MIB_PER_GIB
    )
