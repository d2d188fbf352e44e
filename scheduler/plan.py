"""What one round decided: data only, comparable bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scheduler.errors import BadPlan, SchedulerError
from scheduler.policy import Policy
from scheduler.reasons import Reason


class PlanStatus(StrEnum):
    """How sure the plan is to be the best one."""

    OPTIMAL = "optimal"  # the objective equals the bound: no better plan exists
    FEASIBLE = "feasible"  # every rule holds; `gap_ppm` says how far from the best it can be


@dataclass(frozen=True)
class Placement:
    """A gang that starts now: one build, one pool, named nodes."""

    job_id: str
    build: int  # position in the job's own list of builds, from 0
    pool: int  # index of the pool
    nodes: tuple[int, ...]  # indices of the nodes, ascending
    tasks: tuple[int, ...]  # tasks of the gang on each of these nodes, at least 1
    worth_micro_yuan_per_hour: int  # what it adds to the objective, priority and ageing included


@dataclass(frozen=True)
class Refusal:
    """A job that does not start now, with the reason of the pool that came nearest."""

    job_id: str
    reason: Reason
    pool: int  # the pool that the reason speaks of; -1 when there is no pool at all


@dataclass(frozen=True)
class Prices:
    """Shadow prices, the lambda of the bound: what one more unit of a pool's capacity would be worth per hour.

    A task of k cards pays `sum over i of (k // block_cards[i]) * cards[pool][i]`: the price of a card-hour depends on
    the size of the task, because a large free block is scarcer than as many single cards.
    """

    block_cards: tuple[int, ...]  # block sizes, ascending
    cards_micro_yuan_per_block_hour: tuple[tuple[int, ...], ...]  # [pool][block]
    cpu_micro_yuan_per_core_hour: tuple[int, ...]  # [pool]
    memory_micro_yuan_per_gib_hour: tuple[int, ...]  # [pool]


@dataclass(frozen=True)
class Plan:
    """The answer of one round: every job of the snapshot is placed or refused, exactly once."""

    snapshot_hash: str  # input_hash() of the snapshot
    policy: Policy  # with `effort` set to the effort spent: the policy that gives exactly this plan again
    placements: tuple[Placement, ...]  # in the order of the snapshot's jobs
    refusals: tuple[Refusal, ...]  # in the order of the snapshot's jobs
    prices: Prices
    objective_micro_yuan_per_hour: int  # sum of the placements' worths
    bound_micro_yuan_per_hour: int  # no plan can be worth more; follows from `prices` alone
    effort_spent: int  # improvement steps done
    status: PlanStatus

    @property
    def objective(self) -> int:
        """Worth of the plan, micro-yuan per hour."""
        return self.objective_micro_yuan_per_hour

    @property
    def bound(self) -> int:
        """Proven upper bound on the worth of every plan, micro-yuan per hour."""
        return self.bound_micro_yuan_per_hour

    @property
    def gap_ppm(self) -> int:
        """How far the plan can be from the best one, in millionths of the bound, rounded up."""
        if self.bound <= 0:
            return 0
        return -((self.objective - self.bound) * 1_000_000 // self.bound)

    def to_bytes(self) -> bytes:
        """Return canonical JSON: equal plans give equal bytes."""
        # `vars`, not `asdict`: a deep copy of a hundred thousand placements takes longer than planning them
        content = vars(self) | {
            "policy": vars(self.policy),
            "prices": vars(self.prices),
            "placements": [vars(placement) for placement in self.placements],
            "refusals": [vars(refusal) for refusal in self.refusals],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Read what `to_bytes` wrote. Raise BadPlan for anything else."""
        try:
            given = json.loads(data)
            plan = _plan(given)
        except (ValueError, KeyError, TypeError, RecursionError, SchedulerError) as error:
            raise BadPlan("plan", f"is not a stored plan ({str(error)[:200]})") from error
        if plan.to_bytes() != data:
            raise BadPlan("plan", "is not in canonical form")
        return plan


def _plan(given: dict[str, Any]) -> Plan:
    prices = given["prices"]
    return Plan(
        snapshot_hash=str(given["snapshot_hash"]),
        policy=Policy.from_json(json.dumps(given["policy"])),
        placements=tuple(
            Placement(**{**item, "nodes": tuple(item["nodes"]), "tasks": tuple(item["tasks"])})
            for item in given["placements"]
        ),
        refusals=tuple(Refusal(**{**item, "reason": Reason(item["reason"])}) for item in given["refusals"]),
        prices=Prices(
            block_cards=tuple(prices["block_cards"]),
            cards_micro_yuan_per_block_hour=tuple(tuple(row) for row in prices["cards_micro_yuan_per_block_hour"]),
            cpu_micro_yuan_per_core_hour=tuple(prices["cpu_micro_yuan_per_core_hour"]),
            memory_micro_yuan_per_gib_hour=tuple(prices["memory_micro_yuan_per_gib_hour"]),
        ),
        objective_micro_yuan_per_hour=int(given["objective_micro_yuan_per_hour"]),
        bound_micro_yuan_per_hour=int(given["bound_micro_yuan_per_hour"]),
        effort_spent=int(given["effort_spent"]),
        status=PlanStatus(given["status"]),
    )
