"""The command for operators that defragments: what moving running work would gain, and to let it happen."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run
from broker.cli.options import AsJson, DryRun, examples
from broker.cli.output import clock_time, message_data, print_json, show, table, yuan
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "xisuan admin defragment                  (what would pay; nothing is changed)",
            "xisuan admin defragment job-42 --dry-run",
            "xisuan admin defragment job-42",
            "xisuan admin defragment job-42 --withdraw",
        )
    )(defragment)


def defragment(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="A waiting job to make room for; none: only list.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="No longer move anything for the job.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """List what moving preemptible work within its pool would gain; for a job that is named, do it.

    The next round in which it pays orders the work that is in the way to stop, with its grace, and promises the job its
    nodes. What was stopped waits again and is placed where there is room; there was for all of it. The benefit is the
    job's worth for the time that it starts sooner, less the work that has to be done again at what its cards may cost.
    """
    if withdraw and not job:
        raise typer.BadParameter("name the job to withdraw", param_hint="--withdraw")

    async def asked() -> "list[admin_service_pb2.MoveProposal]":
        async with admin_client(ctx) as xisuan:
            found = [] if withdraw else await xisuan.moves(job)
            if job and not dry_run:
                await xisuan.make_room(job, withdraw=withdraw)
            return found

    found = run(asked(), as_json=as_json)
    if as_json:
        print_json({"proposals": [message_data(one) for one in found], "dry_run": dry_run or not job})
        return
    if not withdraw:
        _show(found)
    if job and not dry_run:
        show(f"nothing is moved for {job} any more" if withdraw else f"moves are allowed for {job}, until it is placed")


def _show(found: "Iterable[admin_service_pb2.MoveProposal]") -> None:
    proposals = list(found)
    if not proposals:
        show("no move would pay now")
        return
    columns = ["job", "city", "starts", "instead of", "where", "stops", "lost card-h>", "gain>", "loss>", "benefit>"]
    show(table(columns, map(_row, proposals)))


def _row(one: "admin_service_pb2.MoveProposal") -> tuple[object, ...]:
    from broker.client.results import moment

    lost_hours = sum(move.lost_card_seconds for move in one.moves) / 3600
    return (
        one.job_id,
        one.city,
        clock_time(moment(one.starts_at)),
        clock_time(moment(one.instead_of)) if one.HasField("instead_of") else "not known",
        f"{one.cluster}/{one.pool}",
        ", ".join(move.job_id for move in one.moves),
        f"{lost_hours:,.1f}",
        yuan(one.gain_micro_yuan),
        yuan(one.loss_micro_yuan),
        yuan(one.gain_micro_yuan - one.loss_micro_yuan),
    )
