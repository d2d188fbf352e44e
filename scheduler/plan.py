"""What one round decided: data only, comparable bit for bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from scheduler.errors import BadPlan, SchedulerError
from scheduler.policy import Policy
from scheduler.refusals import Refusal, Refusals

UNREADABLE: Final = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, SchedulerError,
)  # fmt: skip
"""What content raises that is not what `to_bytes` wrote."""


class PlanStatus(StrEnum):
    """How sure the plan is to be the best one."""

    OPTIMAL = "optimal"  # the objective equals the bound: no better plan exists
    FEASIBLE = "feasible"  # every rule holds; `gap_ppm` says how far from the best it can be


class Placement(NamedTuple):
    """A gang that starts now: one build, one pool, one size, named nodes."""

    job_id: str
    build: int  # position in the job's own list of builds, from 0
    pool: int  # index of the pool
    nodes: tuple[int, ...]  # indices of the nodes, ascending
    tasks: tuple[int, ...]  # tasks of the gang on each of these nodes, at least 1; their sum is the size it runs with
    worth_micro_yuan_per_hour: int  # what it adds to the objective of its tier, priority and ageing included
    cards: tuple[int, ...] = ()
    """Of shares only: the card of each task, node by node. 0 and above: a card of the snapshot's `split_node`;
    -1, -2, ...: the first, second, ... whole free card of that node that this plan splits."""


@dataclass(frozen=True)
class Prices:
    """Shadow prices, the lambda of the bound: what one more unit of a capacity would be worth per hour.

    A task of k cards pays `sum over i of (k // block_cards[i]) * cards[pool][i]`: the price of a card-hour depends on
    the size of the task, because a large free block is scarcer than as many single cards. Rules that nobody uses have
    no prices: their lists are empty.
    """

    block_cards: tuple[int, ...]  # block sizes in cards on one node, ascending
    cards_micro_yuan_per_block_hour: tuple[tuple[int, ...], ...]  # [pool][block]
    cpu_micro_yuan_per_core_hour: tuple[int, ...]  # [pool]
    memory_micro_yuan_per_gib_hour: tuple[int, ...]  # [pool]
    slice_milli: tuple[int, ...] = ()  # slice sizes in thousandths of a card, ascending
    slices_micro_yuan_per_slice_hour: tuple[tuple[int, ...], ...] = ()  # [pool][slice]
    domain_blocks: tuple[tuple[int, int], ...] = ()  # cards of a block on one node, such blocks in one fabric domain
    domains_micro_yuan_per_hour: tuple[tuple[int, ...], ...] = ()  # [pool][domain block]
    power_micro_yuan_per_kwh: tuple[int, ...] = ()  # [hub] at the meter
    quota_micro_yuan_per_pflops_hour: tuple[int, ...] = ()  # [quota] what its limit costs
    guarantee_micro_yuan_per_pflops_hour: tuple[int, ...] = ()  # [quota] what its guarantee pays, so a subsidy
    tier_ppm: tuple[int, ...] = ()  # [tiers above] what worth of each counts here, in millionths


@dataclass(frozen=True)
class Tier:
    """One level of the lexicographic order: what was reached, and that no plan as good above reaches more than `bound`.

    Of the tier "guarantee" the unit is milli-TFLOPS of guaranteed quota in use; of "worth-N" micro-yuan per hour.
    """

    name: str  # "guarantee", or "worth-N" with N the `job_tier`
    objective: int
    bound: int
    prices: Prices


@dataclass(frozen=True)
class Plan:
    """The answer of one round: every job of the snapshot is placed or refused, exactly once."""

    snapshot_hash: str  # input_hash() of the snapshot
    policy: Policy  # with `effort` set to the effort spent: the policy that gives exactly this plan again
    placements: tuple[Placement, ...]  # in the order of the snapshot's jobs
    refusals: Sequence[Refusal]  # in the order of the snapshot's jobs; `Refusals` of a planner
    tiers: tuple[Tier, ...]  # the highest first; at least one, the last is market worth's
    objective_micro_yuan_per_hour: int  # sum of the placements' worths
    bound_micro_yuan_per_hour: int  # sum of the worth tiers' bounds: no plan as good above can be worth more
    effort_spent: int  # improvement steps done
    status: PlanStatus
    broken_before: tuple[str, ...] = ()  # rules that running work broke before the round, in words; none got worse

    @property
    def prices(self) -> Prices:
        """Shadow prices of the last tier: those that quotes and explanations speak of."""
        return self.tiers[-1].prices

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
        # `vars`, not `asdict`, and tuples: a deep copy of a hundred thousand placements takes longer than planning them
        content = vars(self) | {
            "policy": vars(self.policy),
            "tiers": [vars(tier) | {"prices": vars(tier.prices)} for tier in self.tiers],
            "placements": [placement._asdict() for placement in self.placements],
            "refusals": Refusals.of(self.refusals).to_json(),
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Read what `to_bytes` wrote. Raise BadPlan for anything else."""
        try:
            given = json.loads(data)
            plan = _plan(given)
        except UNREADABLE as error:
            raise BadPlan("plan", f"is not a stored plan ({str(error)[:200]})") from error
        if plan.to_bytes() != data:
            raise BadPlan("plan", "is not in canonical form")
        return plan


def _plan(given: dict[str, Any]) -> Plan:
    return Plan(
        snapshot_hash=str(given["snapshot_hash"]),
        policy=Policy.from_json(json.dumps(given["policy"])),
        placements=tuple(
            Placement(**{**item, **{name: tuple(item[name]) for name in ("nodes", "tasks", "cards")}})
            for item in given["placements"]
        ),
        refusals=Refusals.from_json(given["refusals"]),
        tiers=tuple(Tier(**{**item, "prices": _prices(item["prices"])}) for item in given["tiers"]),
        objective_micro_yuan_per_hour=int(given["objective_micro_yuan_per_hour"]),
        bound_micro_yuan_per_hour=int(given["bound_micro_yuan_per_hour"]),
        effort_spent=int(given["effort_spent"]),
        status=PlanStatus(given["status"]),
        broken_before=tuple(given["broken_before"]),
    )


def _prices(given: dict[str, Any]) -> Prices:
    plain = {name: tuple(tuple(v) if isinstance(v, list) else v for v in values) for name, values in given.items()}
    content: dict[str, Any] = plain
    return Prices(**content)
