"""The command about reliability: how well owners and their clusters did."""

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run
from broker.cli.options import AsJson, AsOperator, City, examples
from broker.cli.output import percent, print_message, show, table
from broker.cli.settings import measure_client

if TYPE_CHECKING:
    from broker.wire.v1 import measure_service_pb2

PARTS = ("kept", "starts", "prompt", "speed")
"""By number of the wire's enum ReliabilityPart, from 1 (a test compares)."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=examples("xisuan reliability", "xisuan reliability --operator --owner longdong --json"))(
        reliability
    )


def reliability(
    ctx: typer.Context,
    owner: Annotated[str, typer.Option(metavar="OWNER", help="Only this owner.")] = "",
    cluster: Annotated[str, typer.Option(metavar="CLUSTER", help="Only this cluster.")] = "",
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show how reliable owners and their clusters were in the last 30 days.

    A score is a weighted mean: attempts that were not lost (50), starts that did not fail (20), starts within two
    minutes of the offer (15), measured against rated speed (15). Nothing plans by it. A part of which nothing is known
    is left out, of the score too.
    """

    async def fetched() -> "measure_service_pb2.ListReliabilityResponse":
        async with measure_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.reliability(owner=owner, cluster=cluster)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
        return
    rows = []
    for one in found.scores:
        cells = {PARTS[part.part - 1]: f"{percent(part.ppm)} ({part.good:,}/{part.of:,})" for part in one.parts}
        score = percent(one.score_ppm) if one.HasField("score_ppm") else "nothing known"
        rows.append((one.owner, one.cluster or "(all)", score, *(cells.get(part, "") for part in PARTS)))
    show(table(["owner", "cluster", "score>", *(f"{part}>" for part in PARTS)], rows) if rows else "no clusters")
