"""Commands about what owners ask: rate cards and the bounds of asks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, DryRun, examples
from broker.cli.output import clock_time, message_data, print_json, show, table, yuan
from broker.cli.settings import market_client

if TYPE_CHECKING:
    from broker.wire.v1 import market_service_pb2

app = typer.Typer(
    name="rates",
    help="Rate cards: what owners ask for a card and hour, and the bounds of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Cluster = Annotated[str, typer.Option(metavar="CLUSTER", help="Only this cluster.")]
Model = Annotated[str, typer.Option(metavar="MODEL", help="Only this accelerator model.")]


@app.command(
    name="set",
    epilog=examples(
        "xisuan rates set rates.yaml --dry-run",
        "xisuan rates set rates.yaml",
        "xisuan rates set -          (from standard input; an owner gives --api-key before the command)",
        "",
        "rate_cards:",
        '  - {cluster: lab, model: ascend-910b, micro_yuan_per_card_hour: {"0-8": 2500000, "8-24": 3500000}}',
        "  - {cluster: lab, model: ascend-910b, micro_yuan_per_card_hour: 2000000,",
        "     valid_from: 2027-02-05, valid_until: 2027-02-13, source: the spring festival}",
        "bounds:",
        "  - {model: ascend-910b, floor_micro_yuan_per_card_hour: 1000000, cap_micro_yuan_per_card_hour: 9000000}",
    ),
)
def set_rates(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help='YAML or JSON, "-" for standard input.')],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add rate cards of owners, and set the bounds of asks (operators). The same again changes nothing.

    A card without valid_until stands until the next such one begins; one with it goes before that for its time. Cards
    are never changed: one that overlaps another is refused, and so is an ask outside the bounds of its model. Hours are
    those of UTC+8; green_micro_yuan_per_card_hour is asked in the green hours of the hub. Rounds use what is asked when
    they run.
    """
    document = _text(file, as_json=as_json)

    async def done() -> list[str]:
        async with market_client(ctx, operator=True) as xisuan:
            return await xisuan.set_rates(document, dry_run=dry_run)

    changes = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, "changes": changes})
        return
    show(*changes)
    show(f"{len(changes)} changes" + (" would be made" if dry_run else " made") if changes else "nothing differs")


@app.command(name="list", epilog=examples("xisuan rates list", "xisuan rates list --cluster lab --json"))
def list_rates(ctx: typer.Context, cluster: Cluster = "", model: Model = "", as_json: AsJson = False) -> None:
    """List rate cards, those that held as well, and the bounds of asks; owners see their own clusters' cards."""

    async def listed() -> "tuple[list[market_service_pb2.RateCard], list[market_service_pb2.AskBounds]]":
        async with market_client(ctx, operator=True) as xisuan:
            return await xisuan.rates(cluster=cluster, model=model)

    cards, bounds = run(listed(), as_json=as_json)
    if as_json:
        print_json({"rate_cards": [*map(message_data, cards)], "bounds": [*map(message_data, bounds)]})
        return
    show(_cards(cards) if cards else "no rate cards are set: nothing is asked")
    if bounds:
        show("", _bounds(bounds))


def _text(file: str, *, as_json: bool) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        usage(f"cannot read {file[:200]}: {error}", as_json=as_json)


def _cards(cards: "list[market_service_pb2.RateCard]") -> Any:
    from broker.client.results import moment

    rows = [
        (
            one.cluster,
            one.model,
            one.version,
            _range(list(one.asks_micro_yuan_per_card_hour)),
            _range(list(one.green_asks_micro_yuan_per_card_hour)),
            clock_time(moment(one.valid_from)),
            clock_time(moment(one.valid_until)) if one.HasField("valid_until") else "",
            "now" if one.in_force else "",
            one.source,
        )
        for one in cards
    ]
    columns = ["cluster", "model", "version>", "ask/card·h>", "green>", "from", "until", "", "source"]
    return table(columns, rows)


def _range(asks: list[int]) -> str:
    if not asks:
        return ""
    return yuan(asks[0]) if len(set(asks)) == 1 else f"{yuan(min(asks))} to {yuan(max(asks))}"


def _bounds(bounds: "list[market_service_pb2.AskBounds]") -> Any:
    rows = [
        (
            one.model,
            yuan(one.floor_micro_yuan_per_card_hour),
            yuan(one.cap_micro_yuan_per_card_hour) if one.HasField("cap_micro_yuan_per_card_hour") else "none",
        )
        for one in bounds
    ]
    return table(["model", "floor/card·h>", "cap/card·h>"], rows)
