"""Commands about the market: what cards cost now and before, and what is free."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, examples
from broker.cli.output import clock_time, message_data, milli, print_json, show, table, yuan
from broker.cli.settings import market_client

if TYPE_CHECKING:
    from broker.wire.v1 import market_service_pb2

Hub = Annotated[str, typer.Option(metavar="HUB", help="Only this hub.")]
Cluster = Annotated[str, typer.Option(metavar="CLUSTER", help="Only this cluster.")]
Model = Annotated[str, typer.Option(metavar="MODEL", help="Only this accelerator model.")]

SIZES = ("", "1", "2", "4", "8", "node", "larger")
"""By number of `PriceSize`."""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog=examples(
            "xisuan prices",
            "xisuan prices --hub qingyang --model ascend-910b --pflops",
            "xisuan prices --history lab/train --hourly",
            "xisuan prices --operator --json",
        )
    )(prices)
    app.command(epilog=examples("xisuan capacity", "xisuan capacity --hub qingyang --operator --json"))(capacity)


def prices(
    ctx: typer.Context,
    hub: Hub = "",
    cluster: Cluster = "",
    model: Model = "",
    pflops: Annotated[
        bool, typer.Option("--pflops", help="Per FP16 PFLOPS-hour, as ceilings are, instead of per card-hour.")
    ] = False,
    history: Annotated[str, typer.Option(metavar="CLUSTER/POOL", help="What cards of this pool cost before.")] = "",
    hourly: Annotated[bool, typer.Option("--hourly", help="With --history: hour by hour, mean by time.")] = False,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what whole cards cost now: the ask of the hour and the scarcity of the last round, by pool and size.

    A size is how many cards of one node go together: large free blocks are scarcer. A job that starts pays this price
    for as long as it runs, and never more than its ceiling. Quotas, CPU and memory can make a job wait at any price.
    """
    if history:
        _history(ctx, history, city, hourly=hourly, operator=operator, as_json=as_json)
        return

    async def listed() -> "list[market_service_pb2.PoolPrice]":
        async with market_client(ctx, city, operator=operator) as xisuan:
            return [pool async for pool in xisuan.prices(hub=hub, cluster=cluster, model=model)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"pools": [message_data(one) for one in found]})
        return
    rows = []
    for one in found:
        cells = {
            SIZES[s.size]: yuan(s.spot_micro_yuan_per_pflops_hour if pflops else s.spot_micro_yuan_per_card_hour)
            for s in one.sizes
        }
        where = (one.hub, f"{one.cluster}/{one.pool}", one.model, yuan(one.ask_micro_yuan_per_card_hour))
        rows.append((*where, *(cells.get(size, "") for size in SIZES[1:])))
    unit = "P·h" if pflops else "card·h"
    columns = ["hub", "pool", "model", "ask/card·h>", f"1/{unit}>", "2>", "4>", "8>", "node>", "larger>"]
    show(table(columns, rows) if rows else "no pools")


def capacity(
    ctx: typer.Context,
    hub: Hub = "",
    cluster: Cluster = "",
    model: Model = "",
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what is free now, by pool, and the largest gang of each size that would fit.

    Cards that are promised to waiting jobs are free until then; quotas are not looked at.
    """

    async def listed() -> "list[market_service_pb2.PoolCapacity]":
        async with market_client(ctx, city, operator=operator) as xisuan:
            return [pool async for pool in xisuan.capacity(hub=hub, cluster=cluster, model=model)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"pools": [message_data(one) for one in found]})
        return
    rows = [
        (
            one.hub,
            f"{one.cluster}/{one.pool}",
            one.model,
            f"{one.cards_free:,}",
            f"{one.cards:,}",
            milli(one.free_fp16_milli_pflops),
            ", ".join(f"{fit.tasks:,} x {fit.cards_per_task}" for fit in one.fits),
            milli(one.split_free_milli),
        )
        for one in found
    ]
    columns = ["hub", "pool", "model", "free>", "cards>", "free FP16 P>", "tasks x cards that fit", "shared, free>"]
    show(table(columns, rows) if rows else "no pools")


def _history(ctx: typer.Context, where: str, city: str, *, hourly: bool, operator: bool, as_json: bool) -> None:
    cluster, _, pool = where.partition("/")
    if not cluster or not pool:
        usage(f"--history {where[:80]!r} must be CLUSTER/POOL, such as lab/train", as_json=as_json)

    async def listed() -> "tuple[list[market_service_pb2.PriceChange], list[market_service_pb2.PriceHour]]":
        async with market_client(ctx, city, operator=operator) as xisuan:
            if hourly:
                return [], [hour async for hour in xisuan.price_hours(cluster, pool)]
            return [change async for change in xisuan.price_changes(cluster, pool)], []

    changes, hours = run(listed(), as_json=as_json)
    if as_json:
        print_json({"changes": [*map(message_data, changes)], "hours": [*map(message_data, hours)]})
    elif changes or hours:
        show(_hours(hours) if hourly else _changes(changes))
    else:
        show("no prices yet")


def _changes(changes: "list[market_service_pb2.PriceChange]") -> Any:
    from broker.client.results import moment

    rows = []
    for one in changes:
        cells = {SIZES[s.size]: yuan(s.spot_micro_yuan_per_card_hour) for s in one.sizes}
        start = (clock_time(moment(one.at)), one.round or "", yuan(one.ask_micro_yuan_per_card_hour))
        rows.append((*start, *(cells.get(size, "") for size in SIZES[1:])))
    return table(["from", "round>", "ask/card·h>", "1/card·h>", "2>", "4>", "8>", "node>", "larger>"], rows)


def _hours(hours: "list[market_service_pb2.PriceHour]") -> Any:
    from broker.client.results import moment

    rows = [
        (
            clock_time(moment(hour.at)),
            SIZES[one.size],
            yuan(one.least_micro_yuan_per_card_hour),
            yuan(one.mean_micro_yuan_per_card_hour),
            yuan(one.most_micro_yuan_per_card_hour),
            yuan(one.closing_micro_yuan_per_card_hour),
        )
        for hour in hours
        for one in hour.sizes
    ]
    return table(["hour", "size", "least/card·h>", "mean>", "most>", "at its end>"], rows)
