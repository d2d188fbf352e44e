"""A stored round under another policy: what would have started instead."""

import json
from typing import TYPE_CHECKING, Any

import typer

from broker.cli.output import percent, show, table, yuan

if TYPE_CHECKING:
    from broker.client import RoundRecord

JOBS_SHOWN: int = 20


def compared(record: "RoundRecord", settings: list[str]) -> dict[str, Any]:
    """Plan the round's world by its own policy with some settings changed, with as many steps; return both sides.

    Raises: typer.BadParameter: a setting is not NAME=VALUE, unknown, or out of range; or the record cannot be read.
    """
    from scheduler.errors import SchedulerError
    from scheduler.plan import Plan
    from scheduler.replay import replay
    from scheduler.snapshot import Snapshot
    from scheduler.verify import violations

    policy = json.loads(record.policy_json) | dict(_setting(text) for text in settings)
    try:
        stored = Plan.from_bytes(record.plan)
        other = replay(record.snapshot, json.dumps(policy), stored.effort_spent)
        broken = violations(Snapshot.from_bytes(record.snapshot), other)
    except SchedulerError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    before = {each.job_id: each for each in stored.placements}
    after = {each.job_id: each for each in other.placements}
    both = before.keys() & after.keys()
    return {
        "settings": settings,
        "violations": [f"{violation.rule}: {violation.detail}" for violation in broken],
        "stored": _figures(stored),
        "other": _figures(other),
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


def _figures(plan: Any) -> dict[str, Any]:
    return {
        "placed": len(plan.placements),
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
