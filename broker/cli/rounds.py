"""Commands about rounds: list, show, and replay bit for bit."""

import itertools
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import ExitCode, run
from broker.cli.options import AsJson, examples
from broker.cli.output import (
    clock_time,
    message_data,
    newest,
    note,
    percent,
    print_json,
    print_message,
    show,
    table,
    word,
    yuan,
)
from broker.cli.policies import compared, decided_again, placements_of, show_compared
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.client import RoundRecord
    from broker.wire.v1 import admin_service_pb2

    Report = admin_service_pb2.Round

REFUSALS_SHOWN: int = 50
VIOLATIONS_SHOWN: int = 20

app = typer.Typer(
    name="rounds",
    help="See what each round decided, and replay it bit for bit.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Number = Annotated[int, typer.Argument(min=0, metavar="[ROUND]", help="Number of the round; 0 means the last one.")]


@app.command(name="list", epilog=examples("xisuan rounds list --busy-only", "xisuan rounds list --limit 100 --json"))
def list_rounds(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Most rounds to show.")] = 20,
    busy_only: Annotated[bool, typer.Option("--busy-only", help="Leave out rounds that had nothing to do.")] = False,
    as_json: AsJson = False,
) -> None:
    """List rounds, newest first."""

    async def listed() -> "list[Report]":
        async with admin_client(ctx) as xisuan:
            return await newest(xisuan.rounds(busy_only=busy_only, page_size=min(limit, 1000)), limit)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"rounds": [message_data(one) for one in found]})
        return
    columns = ["round>", "at", "outcome", "jobs>", "placed>", "stale>", "worth/h>", "gap>", "steps>", "ms>", "refused"]
    show(table(columns, (_row(one) for one in found)))


@app.command(name="show", epilog=examples("xisuan rounds show", "xisuan rounds show 17 --json"))
def show_round(ctx: typer.Context, number: Number = 0, as_json: AsJson = False) -> None:
    """Show one round: what it found, how far from the best it can be, whom it left waiting and why."""

    async def fetched() -> "admin_service_pb2.GetRoundResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.round(number)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
        return
    report = found.round
    facts = [
        ("round", report.round),
        ("at", _at(report)),
        ("outcome", _outcome(report) + (f": {report.error}" if report.error else "")),
        ("jobs waiting", f"{report.jobs:,}"),
        ("gangs placed", f"{report.placed:,}" + (f", {report.stale:,} handed back as stale" if report.stale else "")),
        *([("leases stopped", f"{report.stopped:,} for work with a right to their cards")] if report.stopped else []),
        ("worth", f"{yuan(report.objective_micro_yuan_per_hour)} an hour"),
        ("bound", f"{yuan(report.bound_micro_yuan_per_hour)} an hour: no plan can be worth more"),
        ("gap", percent(report.gap_ppm)),
        ("effort", f"{report.effort} steps"),
        ("time", _times(report)),
        ("input", report.input_sha256),
        ("versions", ", ".join(report.versions)),
        ("replayable", f"yes: xisuan rounds replay {report.round}" if found.replayable else "no longer"),
    ]
    show(table(["", ""], facts))
    if found.refusals:
        reasons = sorted(report.refused_by_reason.items(), key=lambda item: -item[1])
        show("", table(["jobs>", "left waiting because"], [(f"{n:,}", reason) for reason, n in reasons]))
        shown = [(refusal.job_id, refusal.reason) for refusal in found.refusals[:REFUSALS_SHOWN]]
        show("", table(["job", "reason"], shown))
    if len(found.refusals) > REFUSALS_SHOWN:
        show(f"(the first {REFUSALS_SHOWN} of {len(found.refusals):,}; --json shows all)")


@app.command(
    epilog=examples(
        "xisuan rounds replay 17", "xisuan rounds replay --json", "xisuan rounds replay 17 --set fair_share_percent=0"
    )
)
def replay(
    ctx: typer.Context,
    number: Number = 0,
    changed: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting of the policy, and compare; may be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan a stored round again on this machine: same input and effort must give the same plan, bit for bit.

    The plan is also checked by the verifier, which shares no code with the planner. Ends with 1 if anything differs.
    With --set the same world is planned by another policy instead: what would have started, and what not.
    """

    async def fetched() -> "tuple[Report, RoundRecord]":
        async with admin_client(ctx) as xisuan:
            report = (await xisuan.round(number)).round
            return report, await xisuan.round_record(report.round)

    report, record = run(fetched(), as_json=as_json)
    if changed:
        _compare(report.round, record, changed, as_json=as_json)
        return
    result = replayed(record)
    result["round"], result["versions_then"] = report.round, list(report.versions)
    if as_json:
        print_json(result)
    else:
        _show_replay(report, result)
    if not result["same"] or result["violations"]:
        raise typer.Exit(ExitCode.REFUSED)


def _compare(number: int, record: "RoundRecord", changed: list[str], *, as_json: bool) -> None:
    other = compared(record, changed)
    if as_json:
        print_json(other | {"round": number})
    else:
        show_compared(number, other)
    if other["violations"]:
        raise typer.Exit(ExitCode.REFUSED)


def replayed(record: "RoundRecord") -> dict[str, Any]:
    """Return what came of deciding a stored round again: the same bytes or not, and what the verifiers say."""
    from scheduler.errors import SchedulerError
    from scheduler.plan import Plan

    began = time.perf_counter()
    result: dict[str, Any] = {"same": False, "violations": [], "versions_now": _versions()}
    try:
        stored = Plan.from_bytes(record.plan)
        before = placements_of(record, stored)
        again = decided_again(record, record.policy_json, stored.effort_spent)
    except SchedulerError as error:
        return result | {"violations": [f"the record cannot be read: {error}"]}
    return result | {
        "same": again.plan.to_bytes() == record.plan and again.decision == record.decision,
        "violations": again.violations,
        "effort": stored.effort_spent,
        "placed": len(again.placements),
        "stored_placed": len(before),
        "objective_micro_yuan_per_hour": again.plan.objective,
        "stored_objective_micro_yuan_per_hour": stored.objective,
        "bound_micro_yuan_per_hour": again.plan.bound,
        "gap_ppm": again.plan.gap_ppm,
        "promises": again.promises,
        "seconds": round(time.perf_counter() - began, 3),
    }


def _show_replay(report: "Report", result: dict[str, Any]) -> None:
    if "effort" in result:
        worth = yuan(result["objective_micro_yuan_per_hour"])
        show(
            f"round {report.round}: {result['placed']:,} gangs placed, worth {worth} an hour, "
            f"gap {percent(result['gap_ppm'])}, {result['effort']} steps, replayed in {result['seconds']} s"
        )
        if result["promises"]:
            show(f"{result['promises']} starts are promised after it")
    for violation in itertools.islice(result["violations"], VIOLATIONS_SHOWN):
        show(f"violation: {violation}")
    if result["same"]:
        show("the same plan, bit for bit" + ("" if result["violations"] else "; the verifier found nothing wrong"))
        return
    stored = result.get("stored_objective_micro_yuan_per_hour")
    show("DIFFERENT from the stored plan" + (f", which was worth {yuan(stored)} an hour" if stored is not None else ""))
    missing = sorted(set(report.versions) - set(result["versions_now"]))
    if missing:
        note(f"the round was planned with {', '.join(missing)}; here is {', '.join(result['versions_now'])}")


def _versions() -> list[str]:
    """Return versions that matter for a replay, as rounds store them."""
    found = [f"python {platform.python_version()}", platform.machine()]
    for package in ("xisuan", "ortools", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # shipped without metadata
            continue
    return found


def _row(one: "Report") -> tuple[object, ...]:
    refused = ", ".join(f"{reason} {n:,}" for reason, n in sorted(one.refused_by_reason.items(), key=lambda i: -i[1]))
    millis = one.snapshot_millis + one.plan_millis + one.verify_millis + one.commit_millis
    worth = yuan(one.objective_micro_yuan_per_hour)
    counts = (f"{one.jobs:,}", f"{one.placed:,}", f"{one.stale:,}")
    return one.round, _at(one), _outcome(one), *counts, worth, percent(one.gap_ppm), one.effort, f"{millis:,}", refused


def _times(one: "Report") -> str:
    return (
        f"snapshot {one.snapshot_millis} ms, plan {one.plan_millis} ms, verify {one.verify_millis} ms, "
        f"commit {one.commit_millis} ms"
    )


def _at(one: "Report") -> str:
    from broker.client.results import moment

    return clock_time(moment(one.at))


def _outcome(one: "Report") -> str:
    from broker.wire.v1 import admin_service_pb2 as pb

    return word(pb.RoundOutcome, one.outcome, "ROUND_OUTCOME_")
