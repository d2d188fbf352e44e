"""A stored round under another policy: what would have started instead."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from broker.cli.output import percent, show, table, yuan

if TYPE_CHECKING:
    from broker.client import RoundRecord
    from scheduler.plan import Placement, Plan

JOBS_SHOWN: int = 20


@dataclass(frozen=True, slots=True)
class Again:
    """What came of deciding a stored round again."""

    plan: "Plan"
    placements: "tuple[Placement, ...]"  # everything that starts, in the positions of the stored world
    promises: int  # that stand after it
    decision: bytes  # as it would be stored; empty for a round that did not look ahead
    violations: list[str]


def decided_again(record: "RoundRecord", policy_json: str, effort: int) -> Again:
    """Decide a stored round again, by this policy and so many steps, and verify it.

    Raises: SchedulerError: the record or the policy cannot be read.
    """
    from scheduler.decided import Decided
    from scheduler.horizon import Horizon
    from scheduler.policy import Policy
    from scheduler.replay import replay, replay_decision
    from scheduler.rounds import round_violations
    from scheduler.snapshot import Snapshot
    from scheduler.verify import violations

    world = Snapshot.from_bytes(record.snapshot)
    if not record.horizon:
        plan = replay(record.snapshot, policy_json, effort)
        return Again(plan, plan.placements, 0, b"", [f"{v.rule}: {v.detail}" for v in violations(world, plan)])
    made = replay_decision(record.snapshot, record.horizon, policy_json, effort)
    ahead = Horizon.from_bytes(record.horizon)
    broken = round_violations(world, ahead, Policy.from_json(policy_json), made)
    decided, plan = Decided.of(world, ahead, made), made.decision.plan
    return Again(plan, decided.placements, len(decided.promises), decided.to_bytes(), broken)


def placements_of(record: "RoundRecord", plan: "Plan") -> "tuple[Placement, ...]":
    """Return what a stored round started. Raise BadPlan when its record cannot be read."""
    from scheduler.decided import Decided

    return Decided.from_bytes(record.plan, record.decision).placements if record.decision else plan.placements


def compared(record: "RoundRecord", settings: list[str]) -> dict[str, Any]:
    """Plan the round's world by its own policy with some settings changed, with as many steps; return both sides.

    Raises: typer.BadParameter: a setting is not NAME=VALUE, unknown, or out of range; or the record cannot be read.
    """
    from scheduler.errors import SchedulerError
    from scheduler.plan import Plan

    policy = json.loads(record.policy_json) | dict(_setting(text) for text in settings)
    try:
        stored = Plan.from_bytes(record.plan)
        first = placements_of(record, stored)
        other = decided_again(record, json.dumps(policy), stored.effort_spent)
    except SchedulerError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    before = {each.job_id: each for each in first}
    after = {each.job_id: each for each in other.placements}
    both = before.keys() & after.keys()
    return {
        "settings": settings,
        "violations": other.violations,
        "stored": _figures(stored, len(first)),
        "other": _figures(other.plan, len(other.placements)),
        "starts_only_stored": sorted(before.keys() - both),
        "starts_only_other": sorted(after.keys() - both),
        "moves": sorted(
            job for job in both if (before[job].pool, before[job].nodes) != (after[job].pool, after[job].nodes)
        ),
    }


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if name.strip() == "effort":
        raise typer.BadParameter(
            "effort: is that of the stored round, or the two could not be compared", param_hint="--set"
        )
    try:
        if not sign:
            raise ValueError("no =")
        return name.strip(), json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} must be NAME=VALUE, the value as JSON", param_hint="--set") from error


def _figures(plan: "Plan", placed: int) -> dict[str, Any]:
    return {
        "placed": placed,
        "objective_micro_yuan_per_hour": plan.objective,
        "bound_micro_yuan_per_hour": plan.bound,
        "gap_ppm": plan.gap_ppm,
    }


def show_compared(round_number: int, result: dict[str, Any]) -> None:
    """Print both sides, and some of the jobs that make the difference."""
    rows = [
        (name, f"{side['placed']:,}", yuan(side["objective_micro_yuan_per_hour"]), percent(side["gap_ppm"]))
        for name, side in (("as it was", result["stored"]), (", ".join(result["settings"]), result["other"]))
    ]
    show(f"round {round_number}", table(["policy", "gangs", "worth an hour", "gap"], rows))
    for title, key in (
        ("start only as it was", "starts_only_stored"),
        ("start only with the change", "starts_only_other"),
        ("start elsewhere", "moves"),
    ):
        jobs = result[key]
        if jobs:
            more = f" and {len(jobs) - JOBS_SHOWN:,} more" if len(jobs) > JOBS_SHOWN else ""
            show(f"{title}: {', '.join(jobs[:JOBS_SHOWN])}{more}")
    show(
        "objectives compare only where the change leaves worths as they are (priorities, ageing and shares change them)"
    )
