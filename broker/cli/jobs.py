"""Commands about jobs that exist: jobs, job, explain, cancel, update."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run, usage
from broker.cli.job_facts import row, show_job
from broker.cli.options import AsJson, AsOperator, City, DryRun, JobId, aware_time, examples
from broker.cli.output import (
    clock_time,
    message_data,
    newest,
    print_json,
    print_message,
    show,
    show_if_cut,
    table,
    yuan,
)
from broker.cli.settings import city_client

if TYPE_CHECKING:
    from broker.client import Explanation, Job
    from broker.wire.v1 import job_service_pb2

JOBS_SHOWN: int = 50


class State(StrEnum):
    """States to choose from, as `broker.client.JobState` has them (a test compares)."""

    PENDING = "pending"
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Priority(StrEnum):
    """Classes to choose from, as `broker.client.PriorityClass` has them (a test compares)."""

    DEFERRABLE = "deferrable"
    STANDARD = "standard"
    URGENT = "urgent"
    EMERGENCY = "emergency"


class Within(StrEnum):
    """Where a gang must be, to choose from, as `broker.client.Within` has it (a test compares)."""

    POOL = "pool"
    DOMAIN = "domain"
    NODE = "node"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "xisuan jobs",
            "xisuan jobs --state pending --state running --limit 20",
            "xisuan jobs --job-set nightly --json | jq '.jobs[].job_id'",
        )
    )(jobs)
    app.command(epilog=examples("xisuan job job-42", "xisuan job job-42 --json"))(job)
    app.command(epilog=examples("xisuan explain job-42", "xisuan explain job-42 --by 2026-12-01T22:00+08:00"))(explain)
    app.command(epilog=examples("xisuan cancel job-42 job-43", "xisuan cancel --job-set nightly --dry-run"))(cancel)
    app.command(epilog=examples("xisuan update job-42 --priority urgent"))(update)


def jobs(
    ctx: typer.Context,
    state: Annotated[list[State] | None, typer.Option(help="Only jobs in this state; may be repeated.")] = None,
    job_set: Annotated[str, typer.Option(help="Only jobs of this set.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Most jobs to show; 0 shows all.")] = JOBS_SHOWN,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""

    async def listed() -> "list[Job]":
        from broker.client import JobState

        async with city_client(ctx, city, operator=operator) as xisuan:
            states = [JobState(s.value) for s in state or ()]
            return await newest(xisuan.jobs(states=states, job_set=job_set, page_size=min(limit or 500, 500)), limit)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"jobs": [message_data(one.wire) for one in found]})
        return
    columns = ["job", "city", "name", "set", "state", "cards>", "where", "submitted", "ran>", "why"]
    show(table(columns, (row(one) for one in found)))
    show_if_cut(len(found), limit)


def job(
    ctx: typer.Context, job_id: JobId, city: City = "", operator: AsOperator = False, as_json: AsJson = False
) -> None:
    """Show one job: what was asked for, where it runs, how it ended."""

    async def fetched() -> "Job":
        async with city_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.job(job_id)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found.wire)
    else:
        show_job(found)


def explain(
    ctx: typer.Context,
    job_id: JobId,
    by: Annotated[str, typer.Option("--by", metavar="TIME", help="What would start it by then, not now.")] = "",
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Tell, pool by pool, why a job waits, or where it could run; the nearest to starting comes first.

    Below that stands what would start it: single changes, each of them proved by planning with it. With --by: when it
    could start as it is, if nobody else came, and with which changes it could be promised a start by that time.
    """
    start_by = aware_time("--by", by, as_json=as_json) if by else None

    async def asked() -> "Explanation":
        async with city_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.explain(job_id, start_by=start_by)

    found = run(asked(), as_json=as_json)
    if as_json:
        print_message(found.wire)
        return
    show(str(found.job), found.summary)
    if not found.verdicts:
        return
    columns = ["pool", "hub", "model", "reason", "build>", "cards short>", "cleared at, /PFLOPS·h>", "detail"]
    rows = [
        (
            f"{verdict.cluster}/{verdict.pool}",
            verdict.hub,
            verdict.model,
            verdict.reason,
            "" if verdict.build is None else verdict.build,
            verdict.cards_short or "",
            ""
            if verdict.clearing_micro_yuan_per_pflops_hour is None
            else yuan(verdict.clearing_micro_yuan_per_pflops_hour),
            verdict.detail,
        )
        for verdict in found.verdicts
    ]
    show(table(columns, rows, title=f"by the prices of round {found.round}" if found.round else "no round yet"))
    if found.wire.HasField("worth"):
        _show_worth(found.wire.worth)
    _show_changes(found, start_by)


def _show_changes(found: "Explanation", start_by: datetime | None) -> None:
    asked = found.wire.HasField("earliest")
    by = f" by {clock_time(start_by)}" if start_by and asked else ""
    if asked:
        show("", found.wire.earliest.detail)
    if found.changes:
        lines = (f"  {one.detail}" for one in found.changes)
        show("", f"what would start it{by}, each alone, the cheapest first:", *lines)
    elif asked and start_by and (found.earliest_start is None or found.earliest_start > start_by):
        show(f"no single change that was tried would start it{by}")


def _show_worth(split: "job_service_pb2.WorthSplit") -> None:
    prices = {
        "cards": split.cards_price_micro_yuan_per_hour,
        "CPU and memory": split.host_price_micro_yuan_per_hour,
        "power": split.power_price_micro_yuan_per_hour,
        "quota": split.quota_price_micro_yuan_per_hour,
    }
    told = ", ".join(f"{name} {yuan(price)}" for name, price in prices.items() if price)
    pays, asks = yuan(split.pays_micro_yuan_per_hour), yuan(split.asks_micro_yuan_per_hour)
    energy, transfer = yuan(split.energy_micro_yuan_per_hour), yuan(split.transfer_micro_yuan_per_hour)
    show(
        "",
        f"worth {yuan(split.worth_micro_yuan_per_hour)} an hour where it is: pays {pays}, less ask {asks}, "
        f"energy {energy} and transfer {transfer}, times {split.weight_percent} %",
        f"others would pay for the same: {told or 'nothing'}",
    )


def cancel(
    ctx: typer.Context,
    job_ids: Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of jobs.")] = None,
    job_set: Annotated[str, typer.Option(help="Cancel every job of this set that is not final.")] = "",
    dry_run: DryRun = False,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs. A job that runs is final only when its agent confirms."""
    if bool(job_ids) == bool(job_set):
        usage("say what to cancel: ids of jobs, or --job-set NAME (one of them)", as_json=as_json)
    if dry_run and job_ids:
        usage("--dry-run is for --job-set; `xisuan job ID` shows a single job", as_json=as_json)

    async def cancelled() -> "list[Job]":
        async with city_client(ctx, city, operator=operator) as xisuan:
            return [await xisuan.cancel(job_id) for job_id in job_ids or ()]

    async def set_cancelled() -> tuple[int, int]:
        async with city_client(ctx, city, operator=operator) as xisuan:
            done = await xisuan.cancel_set(job_set, dry_run=dry_run)
            return done.cancelled, done.cancel_requested

    if job_set:
        at_once, asked = run(set_cancelled(), as_json=as_json)
        if as_json:
            print_json({"cancelled": at_once, "cancel_requested": asked, "dry_run": dry_run})
        else:
            would = "would be " if dry_run else ""
            show(f"{at_once} jobs {would}cancelled at once, agents {would}asked to stop {asked} more")
        return
    found = run(cancelled(), as_json=as_json)
    if as_json:
        print_json({"jobs": [message_data(one.wire) for one in found]})
    else:
        show(*(f"{one} — its agent was asked to stop it" if not one.final else str(one) for one in found))


def update(
    ctx: typer.Context,
    job_id: JobId,
    priority: Annotated[Priority, typer.Option(help="New priority class; emergency is for operators.")],
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Change the priority of a job that waits."""

    async def updated() -> "Job":
        from broker.client import PriorityClass

        async with city_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.update_priority(job_id, PriorityClass(priority.value))

    found = run(updated(), as_json=as_json)
    if as_json:
        print_message(found.wire)
    else:
        show(f"{found.job_id} is {priority} now")
