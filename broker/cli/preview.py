"""Commands for operators: what a change would do, planned and not done."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.cli.errors import run
from broker.cli.options import AsJson, ClusterName, examples
from broker.cli.output import clock_time, percent, print_message, show, table, yuan
from broker.cli.quotas import Borrow, Guaranteed, Lend, Quota, quota_amounts
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.client import AdminClient
    from broker.wire.v1 import admin_service_pb2

SHOWN: Final = 20

app = typer.Typer(
    name="preview",
    help="What a change would do to what runs and to the next round; nothing is changed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=examples(
        "xisuan admin preview close lab      (all of its nodes)", "xisuan admin preview close lab node-3 --json"
    )
)
def close(
    ctx: typer.Context,
    cluster: ClusterName,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="Names; none means all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Preview a drain or a cordon: what is waited for, who would start, wait or move, what becomes of promises."""
    _show(ctx, lambda xisuan: xisuan.preview_closing(cluster, nodes or ()), as_json=as_json)


@app.command(epilog=examples("xisuan admin preview pause ganzhou"))
def pause(
    ctx: typer.Context,
    city: Annotated[str, typer.Argument(metavar="CITY", help="Whose jobs would not start.")],
    as_json: AsJson = False,
) -> None:
    """Preview a round without a city's jobs: who would start instead."""
    _show(ctx, lambda xisuan: xisuan.preview_pause(city), as_json=as_json)


@app.command(name="quota", epilog=examples("xisuan admin preview quota qingyang/ganzhou --guaranteed 12 --borrow 4"))
def change_quota(
    ctx: typer.Context,
    quota: Quota,
    guaranteed: Guaranteed,
    borrow: Borrow = "unlimited",
    lend: Lend = "all",
    as_json: AsJson = False,
) -> None:
    """Preview a round with a quota set so, as a whole, new or another one."""
    amounts = quota_amounts(quota, guaranteed, borrow, lend, as_json=as_json)

    def asked(xisuan: "AdminClient") -> "Awaitable[admin_service_pb2.GetPreviewResponse]":
        from broker.wire.v1 import admin_service_pb2 as pb

        return xisuan.preview_quota(pb.Quota(**amounts))

    _show(ctx, asked, as_json=as_json)


def _show(
    ctx: typer.Context,
    ask: "Callable[[AdminClient], Awaitable[admin_service_pb2.GetPreviewResponse]]",
    *,
    as_json: bool,
) -> None:
    async def asked() -> "admin_service_pb2.GetPreviewResponse":
        async with admin_client(ctx) as xisuan:
            return await ask(xisuan)

    found = run(asked(), as_json=as_json)
    if as_json:
        print_message(found)
        return
    change = found.worth_after_micro_yuan_per_hour - found.worth_before_micro_yuan_per_hour
    show(
        f"of {found.waiting_jobs} jobs that wait, the next round would start {found.starting_jobs} more and leave "
        f"{found.waiting_longer_jobs} waiting; {found.moved_jobs} would go elsewhere",
        f"worth {yuan(found.worth_after_micro_yuan_per_hour)} an hour, {'+' * (change >= 0)}{yuan(change)}; what is "
        f"within the gaps of {percent(found.gap_before_ppm)} and {percent(found.gap_after_ppm)} may be chance"
        + (" (two greedy plans: the world is large)" if found.greedy else ""),
    )
    _show_leases("run there and would be waited for", found.running, found.running_leases)
    _show_leases("would be stopped for others", found.stopped, found.stopped_leases)
    _show_leases("are stopped for others as things are, and would not be", found.spared, found.spared_leases)
    _show_promises(found)
    _show_jobs("would start instead", found.starting_job_ids, found.starting_jobs)
    _show_jobs("would wait longer", found.waiting_longer_job_ids, found.waiting_longer_jobs)
    if found.moved:
        show(table(["job", "as things are", "then"], [(m.job_id, m.before, m.after) for m in found.moved[:SHOWN]]))
    if found.prices:
        rows = [
            (p.pool, yuan(p.before_micro_yuan_per_card_hour), yuan(p.after_micro_yuan_per_card_hour))
            for p in found.prices[:SHOWN]
        ]
        show(table(["pool", "card·h above the ask>", "then>"], rows))


def _show_leases(what: str, leases: "Sequence[admin_service_pb2.RunningLease]", count: int) -> None:
    from broker.client.results import moment

    if leases:
        rows = [(one.lease_id, one.job_id, clock_time(moment(one.ends_at))) for one in leases[:SHOWN]]
        show(f"{count} leases {what}:", table(["lease", "job", "ends by"], rows))


def _show_promises(found: "admin_service_pb2.GetPreviewResponse") -> None:
    from broker.client.results import moment

    def at(one: "admin_service_pb2.PromisedStart", name: str) -> str:
        return clock_time(moment(getattr(one, name))) if one.HasField(name) else "none"

    rows = [
        (
            one.job_id,
            at(one, "promised_at"),
            at(one, "before"),
            at(one, "after"),
            " ".join(word for word in (one.fate, one.cause and f"({one.cause})") if word) or "new",
        )
        for one in found.promised_starts[:SHOWN]
    ]
    if rows:
        show(table(["job", "promised start", "next round as things are", "then", "the promise"], rows))


def _show_jobs(what: str, job_ids: Iterable[str], count: int) -> None:
    first = list(job_ids)[:SHOWN]
    if first:
        show(f"{what}: {', '.join(first)}{', ...' * (count > len(first))}")
