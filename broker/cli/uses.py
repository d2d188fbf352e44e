"""Commands about what leases have used, and what is held for them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run
from broker.cli.ledger import app as ledger_app
from broker.cli.options import AsJson, AsOperator, City, DryRun, examples
from broker.cli.output import (
    clock_time,
    duration,
    message_data,
    newest,
    print_json,
    show,
    show_if_cut,
    table,
    word,
    yuan,
)
from broker.cli.settings import account_client

if TYPE_CHECKING:
    from broker.wire.v1 import account_service_pb2

SHOWN = 50
_MICRO = 1_000_000

Limit = Annotated[int, typer.Option(min=0, help="Most rows to show; 0 shows all.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "xisuan usage                        (of your city; XISUAN_API_KEY may be an owner's or an auditor's)",
            "xisuan usage job-42",
            "xisuan usage --month 2026-03 --limit 0 --json",
            "xisuan usage --operator --city ganzhou",
        )
    )(usage)


def usage(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="Only of this job, such as job-42.")] = "",
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Only what started then, by the time of UTC+8.")] = "",
    limit: Limit = SHOWN,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what leases have used, newest first: time, FP16 P-hours by all three figures, money so far and held.

    FP16 is told by the nameplate, as the programme counts it, and as it was measured.
    """

    async def listed() -> "list[account_service_pb2.LeaseUsage]":
        async with account_client(ctx, city, operator=operator) as xisuan:
            size = min(limit or 500, 500)
            pages = xisuan.usage(city=city if operator else "", job_id=job, month=month, page_size=size)
            return await newest(pages, limit)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"usage": [message_data(one) for one in found]})
        return
    show(_usage_table(found) if found else "nothing was used")
    show_if_cut(len(found), limit)


@ledger_app.command(
    epilog=examples("xisuan ledger holds", "xisuan ledger holds --open", "xisuan ledger holds --operator --json")
)
def holds(
    ctx: typer.Context,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that can still be charged.")] = False,
    limit: Limit = SHOWN,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List what is held for work to come, newest first: for what, from which accounts, and what became of it."""

    async def listed() -> "list[account_service_pb2.Hold]":
        async with account_client(ctx, city, operator=operator) as xisuan:
            named = city if operator else ""
            return await newest(xisuan.holds(city=named, open_only=open_only, page_size=min(limit or 500, 500)), limit)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"holds": [message_data(one) for one in found]})
        return
    show(_holds_table(found) if found else "nothing is held")
    show_if_cut(len(found), limit)


class Billing(StrEnum):
    """How a city pays."""

    METERED = "metered"
    PREPAID = "prepaid"


@ledger_app.command(
    epilog=examples("xisuan ledger billing ganzhou prepaid --dry-run", "xisuan ledger billing ganzhou metered")
)
def billing(
    ctx: typer.Context,
    city: Annotated[str, typer.Argument(metavar="CITY", help="Name of the city.")],
    how: Annotated[Billing, typer.Argument(help="How it pays from now on.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say how a city pays (for operators): metered costs nothing; prepaid starts only what its accounts cover.

    Leases that were made before stay as they are. A world that is applied later says it anew.
    """

    async def done() -> "account_service_pb2.SetBillingResponse":
        async with account_client(ctx, "", operator=True) as xisuan:
            return await xisuan.set_billing(city, how.value, dry_run=dry_run)

    made = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, "city": city, "billing": how.value, **message_data(made)})
        return
    from broker.wire.v1 import account_service_pb2 as pb

    before = word(pb.Billing, made.before, "BILLING_")
    said = "would be" if dry_run else "is"
    show(f"{city} {said} {how.value}" + (" as before" if before == how.value else f", it was {before}"))


def _usage_table(found: "list[account_service_pb2.LeaseUsage]") -> object:
    from broker.client.results import moment

    rows = [
        (
            one.job_id,
            one.lease_id,
            one.cluster,
            f"{one.milli_cards / 1000:g} {one.model}",
            clock_time(moment(one.started_at)),
            duration(one.seconds) + ("" if one.complete else " so far"),
            _pflops_hours(one.fp16_nameplate_micro_pflops_hours),
            _pflops_hours(one.fp16_programme_micro_pflops_hours),
            _pflops_hours(one.fp16_measured_micro_pflops_hours),
            yuan(one.charged_micro_yuan - one.credited_micro_yuan),
            yuan(one.open_micro_yuan) if one.hold_id else "",
        )
        for one in found
    ]
    names = ["job", "lease", "cluster", "cards", "started", "used>", "P-h nameplate>", "programme>", "measured>"]
    return table([*names, "yuan>", "held>"], rows)


def _holds_table(found: "list[account_service_pb2.Hold]") -> object:
    from broker.client.results import moment
    from broker.wire.v1 import account_service_pb2 as pb

    rows = [
        (
            one.hold_id,
            one.city,
            one.reference,
            word(pb.HoldState, one.state, "HOLD_STATE_"),
            yuan(sum(part.held_micro_yuan for part in one.parts)),
            yuan(sum(part.captured_micro_yuan for part in one.parts)),
            yuan(sum(part.released_micro_yuan for part in one.parts)),
            ", ".join(part.account for part in one.parts),
            clock_time(moment(one.settles_until)),
        )
        for one in found
    ]
    names = ["hold", "city", "for", "state", "held>", "captured>", "released>", "from"]
    return table([*names, "settles until"], rows)


def _pflops_hours(micro: int) -> str:
    return f"{micro / _MICRO:,.3f}" if micro else ""
