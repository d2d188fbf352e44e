"""The command for operators that lists promised starts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from broker.cli.errors import run
from broker.cli.options import AsJson, examples
from broker.cli.output import clock_time, message_data, print_json, show, table
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("xisuan admin promises", "xisuan admin promises --json"))(promises)


def promises(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the starts that are promised to waiting jobs, the next one first.

    A promised start is not delayed by what is promised later, nor by small jobs that fill the time before it. It moves
    only when nodes, power or quota that it counted on are gone; then both times differ.
    """

    async def listed() -> "Sequence[admin_service_pb2.Promise]":
        async with admin_client(ctx) as xisuan:
            return await xisuan.promises()

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"promises": [message_data(one) for one in found]})
        return
    columns = ["job", "city", "starts by", "first promised", "where", "nodes>", "cards>", "until", "round>"]
    show(table(columns, (_row(one) for one in found)))


def _row(one: "admin_service_pb2.Promise") -> tuple[object, ...]:
    from broker.client.results import moment

    promised = one.promised
    return (
        one.job_id,
        one.city,
        clock_time(moment(promised.starts_at)),
        clock_time(moment(promised.first_starts_at)),
        f"{promised.cluster}/{promised.pool}",
        len(one.nodes),
        sum(node.tasks for node in one.nodes) * one.cards_per_task,
        clock_time(moment(one.ends_at)),
        one.round or "quote",
    )
