"""Commands about jobs that exist: jobs, job, explain, cancel, update."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, DryRun, JobId, aware_time, examples
from broker.cli.output import (
    clock_minute,
    clock_time,
    duration,
    message_data,
    milli,
    part,
    print_json,
    print_message,
    show,
    table,
    yuan,
)
from broker.cli.settings import city_client

if TYPE_CHECKING:
    from broker.client import Explanation, Job
    from broker.wire.v1 import job_pb2, job_service_pb2

JOBS_SHOWN: int = 50
WITHIN_DOMAIN: int = 2  # numbers of the wire's enum Within (a test compares)
WITHIN_NODE: int = 3


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

        found: list[Job] = []
        async with city_client(ctx, city, operator=operator) as xisuan:
            states = [JobState(s.value) for s in state or ()]
            async for one in xisuan.jobs(states=states, job_set=job_set, page_size=min(limit or 500, 500)):
                found.append(one)
                if len(found) == limit:
                    break
        return found

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"jobs": [message_data(one.wire) for one in found]})
        return
    columns = ["job", "city", "name", "set", "state", "cards>", "where", "submitted", "ran>", "why"]
    show(table(columns, (_row(one) for one in found)))
    if len(found) == limit:
        show(f"(the newest {limit}; --limit 0 shows all)")


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


def show_job(found: "Job") -> None:
    """Print one job for people."""
    spec = found.wire.spec
    facts = [
        ("job", found.job_id),
        ("name", found.name),
        ("city", found.city),
        ("set", spec.job_set),
        ("state", found.state + (" (cancellation asked for)" if found.cancel_requested and not found.final else "")),
        ("why", str(found.end) if found.end else found.waiting_reason),
        ("promised", _promised(found)),
        ("expected", _expected(found)),
        ("asks for", f"{_asked(spec)}, at most {duration(spec.walltime_seconds)}"),
        ("only on", _only_on(spec)),
        ("data", _data(spec)),
        ("when", _when(spec)),
        ("for", spec.enterprise),
        ("builds", ", ".join(build.stack + "".join(f" {m}" for m in build.models) for build in spec.builds)),
        ("command", _command(found)),
        ("attempt", str(found.attempt or "")),
        ("where", _where(found)),
        ("runs with", _size(found)),
        ("cards", _cards(found)),
        ("pays", _pays(found)),
        ("pays at most", _ceilings(spec)),
        ("policy", _policy(found)),
        ("submitted", clock_time(found.submitted_at)),
        ("started", clock_time(found.started_at)),
        ("ended", clock_time(found.ended_at)),
        ("ran", _ran(found)),
        ("stopped for others", _preempted(found)),
    ]
    show(table(["", ""], [fact for fact in facts if fact[1]]))


def _row(one: "Job") -> tuple[object, ...]:
    spec = one.wire.spec
    return (
        one.job_id,
        one.city,
        one.name,
        spec.job_set,
        one.state,
        _cards_count(one),
        _where(one),
        clock_time(one.submitted_at),
        _ran(one),
        _why(one),
    )


def _why(one: "Job") -> str:
    if one.end and one.state != "succeeded":
        return str(one.end)
    if one.stop_ordered_at:
        return f"being stopped for other work since {clock_time(one.stop_ordered_at)}"
    if one.promised:
        return f"promised {_promised(one)}"
    return f"{one.waiting_reason}, expected {_expected(one)}" if one.expected_start else one.waiting_reason


def _pays(one: "Job") -> str:
    """Return the price that was fixed at the start."""
    placed = one.placement
    if placed is None or placed.ask_micro_yuan_per_card_hour is None:
        return ""
    ask, scarcity = placed.ask_micro_yuan_per_card_hour, placed.scarcity_micro_yuan_per_card_hour or 0
    return f"{yuan(ask + scarcity)} per card-hour, fixed at its start (ask {yuan(ask)}, scarcity {yuan(scarcity)})"


def _ceilings(spec: "job_pb2.JobSpec") -> str:
    whole = spec.ceiling_micro_yuan_per_job
    most = f"{yuan(spec.ceiling_micro_yuan_per_pflops_hour)} per FP16 PFLOPS-hour"
    return f"{most}, {yuan(whole)} for one run" if whole else most


def _preempted(one: "Job") -> str:
    """Return how often it was stopped for other work, and whether it is being so."""
    times = {0: "", 1: "once"}.get(one.preemptions, f"{one.preemptions} times")
    now = f"again since {clock_time(one.stop_ordered_at)}" if one.stop_ordered_at and times else ""
    now = now or (f"since {clock_time(one.stop_ordered_at)}" if one.stop_ordered_at else "")
    return ", ".join(filter(None, [times, now]))


def _promised(one: "Job") -> str:
    if one.promised is None:
        return ""
    by, first = clock_time(one.promised.starts_at), clock_time(one.promised.first_starts_at)
    return f"to start by {by} on {one.promised.cluster}/{one.promised.pool} (first promised {first})"


def _expected(one: "Job") -> str:
    if one.expected_start is None:
        return ""
    p50_at, p90 = one.expected_start.p50_at, clock_minute(one.expected_start.p90_at)
    if p50_at is None:
        return f"to start by {p90} (nine of ten jobs like it)"
    return f"to start by {clock_minute(p50_at)} (half of the jobs like it), by {p90} (nine of ten)"


def _policy(one: "Job") -> str:
    """Return who signed the placement policy; not checked, for that there is `xisuan policy verify`."""
    from broker.policy.statement import PlacementPolicy, PolicyRefused

    if not one.wire.HasField("policy"):
        return ""
    try:
        return f"signed with key {PlacementPolicy.from_text(one.wire.policy.statement).key_id}"
    except PolicyRefused as error:
        return str(error)


def _command(one: "Job") -> str:
    """Return the command of the chosen build, of the first one while none is chosen."""
    chosen = one.placement.build if one.placement else 0
    return " ".join(word for build in one.wire.spec.builds[chosen : chosen + 1] for word in build.command)


def _asked(spec: "job_pb2.JobSpec") -> str:
    """Return the gang that was asked for: its size, the smaller ones, and how near to each other its tasks must be."""
    each = f"{milli(spec.share_milli)} card" if spec.share_milli else f"{spec.cards_per_task} cards"
    asked = f"{spec.tasks} x {each}"
    if spec.smaller_sizes:
        asked += " or " + ", ".join(f"{size.tasks} (speed {part(size.speed_ppm)})" for size in spec.smaller_sizes)
    within = {WITHIN_DOMAIN: "domain", WITHIN_NODE: "node"}.get(spec.within, "")
    if within:
        asked += f", within one {within}"
    elif 0 < spec.spread_speed_ppm < 1_000_000:
        asked += f", across domains at speed {part(spec.spread_speed_ppm)}"
    return asked


def _only_on(spec: "job_pb2.JobSpec") -> str:
    rules = [
        "domestic models" if spec.domestic_only else "",
        f"hubs {', '.join(spec.allowed_hubs)}" if spec.allowed_hubs else "",
        f"owners {', '.join(spec.allowed_owners)}" if spec.allowed_owners else "",
    ]
    return "; ".join(filter(None, rules))


def _data(spec: "job_pb2.JobSpec") -> str:
    words = [
        f"{spec.input_gib} GiB in" if spec.input_gib else "",
        f"at {', '.join(spec.staged_hubs)} already" if spec.staged_hubs else "",
        f"within {duration(spec.transfer_seconds_max)}" if spec.transfer_seconds_max else "",
        f"{spec.output_gib} GiB out" if spec.output_gib else "",
    ]
    return ", ".join(filter(None, words))


def _when(spec: "job_pb2.JobSpec") -> str:
    from broker.client.results import moment

    upstreams = [*spec.after, *(f"key {key}" for key in spec.after_request_keys)]
    ended = "end" if spec.after_any_end else "success"
    words = [
        f"not before {clock_time(moment(spec.earliest_start))}" if spec.HasField("earliest_start") else "",
        f"after the {ended} of {', '.join(upstreams)}" if upstreams else "",
        f"start by {clock_time(moment(spec.start_by))}" if spec.HasField("start_by") else "",
        f"finish by {clock_time(moment(spec.finish_by))}" if spec.HasField("finish_by") else "",
        "preemptible" if spec.preemptible else "",
        f"checkpoint every {duration(spec.checkpoint_interval_seconds)}" if spec.checkpoint_interval_seconds else "",
    ]
    return "; ".join(filter(None, words))


def _size(one: "Job") -> str:
    """Return the size and the share with which it was placed, where that is not simply what was asked for."""
    if one.placement is None:
        return ""
    spec, placed = one.wire.spec, one.placement
    if placed.tasks == spec.tasks and not placed.share_milli:
        return ""
    held = f" of {milli(placed.share_milli)} card each" if placed.share_milli else ""
    return f"{placed.tasks} {'task' if placed.tasks == 1 else 'tasks'}{held}"


def _cards_count(one: "Job") -> str:
    """Return how many cards it has, or asks for while it has none."""
    spec = one.wire.spec
    tasks = one.placement.tasks if one.placement else spec.tasks
    share = one.placement.share_milli if one.placement else spec.share_milli
    return milli(tasks * (share or spec.cards_per_task * 1000))


def _cards(one: "Job") -> str:
    held = one.placement.cards if one.placement else {}
    return "; ".join(f"{node}: {','.join(map(str, cards))}" for node, cards in held.items())


def _where(one: "Job") -> str:
    return f"{one.placement.cluster}/{one.placement.pool}" if one.placement else ""


def _ran(one: "Job") -> str:
    if one.started_at is None or one.ended_at is None:
        return ""
    return duration((one.ended_at - one.started_at).total_seconds())
