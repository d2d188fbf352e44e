"""Commands for operators: pause a city's queue or a cluster, let it go on, and list what is paused."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, DryRun, Reason, examples
from broker.cli.output import clock_time, message_data, print_json, show, table
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2

City = Annotated[str, typer.Option(help="The queue of this city.")]
Cluster = Annotated[str, typer.Option(help="This cluster.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "xisuan admin preview pause ganzhou      (what it would do to the next round)",
            "xisuan admin pause --city ganzhou --reason 'budget under review'",
            "xisuan admin preview close lab",
            "xisuan admin pause --cluster lab --reason 'network moves' --dry-run",
        )
    )(pause)
    app.command(epilog=examples("xisuan admin resume --city ganzhou", "xisuan admin resume --cluster lab"))(resume)
    app.command(epilog=examples("xisuan admin pauses", "xisuan admin pauses --json"))(pauses)


def pause(
    ctx: typer.Context,
    reason: Reason,
    city: City = "",
    cluster: Cluster = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let nothing start from a city's queue, or on a cluster, until it is resumed.

    What runs goes on, and so do jobs of accepted quotes. Jobs that are submitted meanwhile are taken and wait
    (QUEUE_PAUSED); quotes are refused. Other modes of a cluster's nodes stay as they are.
    """
    _one(city, cluster, as_json=as_json)

    async def done() -> "admin_service_pb2.PauseResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.pause(city=city, cluster=cluster, reason=reason, dry_run=dry_run)

    answer = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(answer)})
    elif not answer.changed:
        show(f"nothing to change: it is paused already ({answer.pause.reason})")
    else:
        waiting = f"; {answer.waiting_jobs} jobs wait in it" if city else ""
        show(f"{'would be ' if dry_run else ''}paused: {_name(answer.pause)}{waiting}")


def resume(
    ctx: typer.Context, city: City = "", cluster: Cluster = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Let a queue or cluster go on."""
    _one(city, cluster, as_json=as_json)

    async def done() -> "admin_service_pb2.ResumeResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.resume(city=city, cluster=cluster, dry_run=dry_run)

    answer = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(answer)})
    elif not answer.changed:
        show("nothing to change: it is not paused")
    else:
        show(f"{'would go' if dry_run else 'goes'} on: {_name(answer.pause)}, paused for: {answer.pause.reason}")


def pauses(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the queues and clusters that are paused."""

    async def listed() -> "Sequence[admin_service_pb2.PausedPlace]":
        async with admin_client(ctx) as xisuan:
            return await xisuan.pauses()

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"pauses": [message_data(one) for one in found]})
    elif not found:
        show("nothing is paused")
    else:
        show(table(["what", "since", "by", "why"], (_row(one) for one in found)))


def _one(city: str, cluster: str, *, as_json: bool) -> None:
    if bool(city) == bool(cluster):
        usage("give --city or --cluster, and not both", as_json=as_json)


def _name(one: "admin_service_pb2.PausedPlace") -> str:
    return f"cluster {one.cluster}" if one.HasField("cluster") else f"the queue of {one.city}"


def _row(one: "admin_service_pb2.PausedPlace") -> tuple[object, ...]:
    from broker.client.results import moment

    return (_name(one), clock_time(moment(one.paused_at)), one.paused_by, one.reason)
