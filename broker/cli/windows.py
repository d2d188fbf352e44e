"""Commands for operators: maintenance windows."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.admin import Nodes, leases_table
from broker.cli.errors import run
from broker.cli.options import AsJson, ClusterName, DryRun, Reason, aware_time, examples
from broker.cli.output import clock_time, message_data, print_json, print_message, show, table
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2

app = typer.Typer(
    name="window",
    help="Maintenance windows: when nodes take no work.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

WindowId = Annotated[str, typer.Argument(metavar="WINDOW", help="Id of the window, such as window-7.")]


@app.command(
    epilog=examples(
        "xisuan window create lab --from 2026-12-01T22:00Z --until 2026-12-02T06:00Z --reason firmware --dry-run",
        "xisuan window create lab --pool train --until 2026-12-02T06:00+08:00 --reason 'cooling, from now on'",
        "xisuan window create lab node-3 --from 2026-12-01T22:00Z --until 2026-12-02T02:00Z --reason 'new cards'",
    )
)
def create(
    ctx: typer.Context,
    cluster: ClusterName,
    reason: Reason,
    until: Annotated[str, typer.Option(metavar="TIME", help="When they are open again, with the zone.")],
    nodes: Nodes = None,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="From when on they are closed [now].")] = "",
    pool: Annotated[str, typer.Option(help="Only this pool.")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Close nodes for a time. --dry-run shows which leases would still run then, and which waiting jobs it bars.

    Inside a window its nodes take no new work, and no job that is not preemptible starts there whose walltime crosses
    it. Preemptible work that would run into it is stopped in time, with its grace; nothing else that runs is
    ended.
    """
    starts_at = aware_time("--from", begin, as_json=as_json) if begin else None
    ends_at = aware_time("--until", until, as_json=as_json)

    async def created() -> "admin_service_pb2.CreateWindowResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.create_window(
                cluster,
                ends_at=ends_at,
                starts_at=starts_at,
                pool=pool,
                nodes=nodes or (),
                reason=reason,
                dry_run=dry_run,
            )

    answer = run(created(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(answer)})
        return
    what = "would close" if dry_run else f"{answer.window.window_id} closes"
    show(f"{what} {len(answer.nodes)} nodes: {', '.join(answer.nodes[:20])}{', ...' if len(answer.nodes) > 20 else ''}")
    if answer.leases:
        show("these leases may still run there when it begins:", leases_table(answer.leases))
    if answer.barred_jobs:
        first = ", ".join(answer.barred_job_ids[:20])
        show(f"{answer.barred_jobs} waiting jobs do not start there before its end: {first}")


@app.command(name="list", epilog=examples("xisuan window list", "xisuan window list --cluster lab --past"))
def list_windows(
    ctx: typer.Context,
    cluster: Annotated[str, typer.Option(help="Only this cluster.")] = "",
    past: Annotated[bool, typer.Option("--past", help="Also those that are over or cancelled.")] = False,
    as_json: AsJson = False,
) -> None:
    """List maintenance windows by their begin."""

    async def listed() -> "list[admin_service_pb2.Window]":
        async with admin_client(ctx) as xisuan:
            return await xisuan.windows(cluster=cluster, past=past)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"windows": [message_data(one) for one in found]})
    else:
        show(_table(found) if found else "no windows")


@app.command(epilog=examples("xisuan window cancel window-7"))
def cancel(ctx: typer.Context, window: WindowId, as_json: AsJson = False) -> None:
    """Take a window back, in the midst of it too: its nodes are open again."""

    async def cancelled() -> "admin_service_pb2.Window":
        async with admin_client(ctx) as xisuan:
            return await xisuan.cancel_window(window)

    found = run(cancelled(), as_json=as_json)
    if as_json:
        print_message(found)
    else:
        show(f"{found.window_id} of {found.cluster} is cancelled")


def _table(found: "list[admin_service_pb2.Window]") -> Any:
    from broker.client.results import moment

    rows = [
        (
            one.window_id,
            f"{one.cluster}/{one.pool}" if one.pool else one.cluster,
            ", ".join(one.nodes) or "all",
            clock_time(moment(one.starts_at)),
            clock_time(moment(one.ends_at)),
            one.reason,
            clock_time(moment(one.cancelled_at)) if one.HasField("cancelled_at") else "",
        )
        for one in found
    ]
    return table(["window", "where", "nodes", "from", "until", "reason", "cancelled"], rows)
