"""Commands about quotes: what a start would cost and when it is sure, and binding it."""
# ruff: noqa: ARG001 - the options that describe the job are read from the context, all together

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from broker.cli.errors import ExitCode, run, usage
from broker.cli.options import AsJson, AsOperator, City, DryRun, aware_time, examples
from broker.cli.output import clock_time, message_data, print_json, show, table, word, yuan
from broker.cli.settings import market_client
from broker.cli.submit import described_by, specs_of

if TYPE_CHECKING:
    from broker.client import JobSpec
    from broker.wire.v1 import market_service_pb2

Command: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What is to run.")]
JobFile: TypeAlias = Annotated[
    Path | None, typer.Option("--file", "-F", help="Job file (YAML or JSON) with one job; with more fields than here.")
]
Name: TypeAlias = Annotated[str, typer.Option(help="Name for people [the command's first word].")]
Stack: TypeAlias = Annotated[str, typer.Option(help="Software stack: cuda, cann, neuware, dtk, musa, ...")]
Model: TypeAlias = Annotated[list[str] | None, typer.Option(help="Accelerator model it can run on; may be repeated.")]
Tasks: TypeAlias = Annotated[int | None, typer.Option(help="Tasks of the gang [1].")]
Cards: TypeAlias = Annotated[int | None, typer.Option("--cards", help="Cards for each task [1].")]
Walltime: TypeAlias = Annotated[str, typer.Option(help="Longest run time, such as 2h30m [1h].")]
Hub: TypeAlias = Annotated[list[str] | None, typer.Option(help="Hub where it may run; may be repeated.")]
Enterprise: TypeAlias = Annotated[str, typer.Option(help="Enterprise that it runs for; with its own key itself.")]
Ceiling: TypeAlias = Annotated[int | None, typer.Option(help="Most to pay, micro-yuan per FP16 PFLOPS-hour.")]
NotBefore: TypeAlias = Annotated[
    str, typer.Option(help="Begin of the start window, such as 2026-12-01T22:00+08:00 [now].")
]
StartsBy: TypeAlias = Annotated[str, typer.Option(help="Its end [a day after the begin].")]
Key: TypeAlias = Annotated[str, typer.Option(help="Request key: the same again accepts nothing twice.")]

_STATES: Final = ("open", "accepted", "kept", "missed", "cancelled")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog=examples(
            "xisuan quote --file job.yaml",
            "xisuan quote --stack cann --tasks 4 --cards 8 --walltime 6h -- ./train.sh",
            "xisuan quote --file job.yaml --not-before 2026-12-01T22:00+08:00 --starts-by 2026-12-02T06:00+08:00",
        )
    )(quote)
    app.command(epilog=examples("xisuan accept quote-7", "xisuan accept quote-7 --key night-run-1"))(accept)
    app.command(
        epilog=examples(
            "xisuan book --file job.yaml --not-before 2026-12-01T22:00+08:00 --dry-run",
            "xisuan book --stack cann --cards 8 --walltime 6h --not-before 2026-12-01T22:00+08:00 -- ./train.sh",
            "xisuan book --file job.yaml --cheapest --key night-run-1",
        )
    )(book)
    app.command(epilog=examples("xisuan quotes", "xisuan quotes --state missed --operator --json"))(quotes)


def quote(
    ctx: typer.Context,
    command: Command = None,
    file: JobFile = None,
    not_before: NotBefore = "",
    starts_by: StartsBy = "",
    most: Annotated[int, typer.Option("--options", min=1, max=32, help="Options at most.")] = 8,
    name: Name = "",
    stack: Stack = "",
    model: Model = None,
    tasks: Tasks = None,
    cards: Cards = None,
    walltime: Walltime = "",
    hub: Hub = None,
    enterprise: Enterprise = "",
    ceiling: Ceiling = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show where and when a job could be sure to start, and at which price. Nothing is held.

    The price is fixed for the whole run: the ask of the hour in which it starts, and what others would pay now.
    """
    found = run(_quoted(ctx, _job(ctx.params, as_json=as_json), most), as_json=as_json)
    _show_options(found, as_json=as_json)


def accept(
    ctx: typer.Context,
    quote_id: Annotated[str, typer.Argument(metavar="QUOTE", help="Id of the quote, such as quote-7.")],
    key: Key = "",
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Bind a quote: its job is submitted, its start is promised, its price is held if the city pays in advance.

    When others were faster nothing is bound, and another quote is named.
    """
    _show_accepted(run(_accepted(ctx, quote_id), as_json=as_json), as_json=as_json)


def book(
    ctx: typer.Context,
    command: Command = None,
    file: JobFile = None,
    not_before: NotBefore = "",
    starts_by: StartsBy = "",
    cheapest: Annotated[
        bool, typer.Option("--cheapest", help="The cheapest start of the window, not the first.")
    ] = False,
    key: Key = "",
    dry_run: DryRun = False,
    name: Name = "",
    stack: Stack = "",
    model: Model = None,
    tasks: Tasks = None,
    cards: Cards = None,
    walltime: Walltime = "",
    hub: Hub = None,
    enterprise: Enterprise = "",
    ceiling: Ceiling = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Ask for a quote and accept it in one go: cards for a window that lies ahead, or for now.

    Until the window begins its nodes are open to work that ends before.
    """
    found = run(_quoted(ctx, _job(ctx.params, as_json=as_json), 32), as_json=as_json)
    payable = [one for one in found if one.within_ceiling]
    if dry_run or not payable:
        _show_options(found, as_json=as_json)
        if not dry_run:
            raise typer.Exit(ExitCode.REFUSED)
        return
    chosen = min(payable, key=lambda one: one.total_micro_yuan) if cheapest else payable[0]
    _show_accepted(run(_accepted(ctx, chosen.quote_id), as_json=as_json), as_json=as_json)


def quotes(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option(help="Only these: open, accepted, kept, missed, cancelled; may be repeated.")
    ] = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List quotes and what became of them, newest first. Those that nobody accepted are kept for a day."""
    wrong = [one for one in state or () if one not in _STATES]
    if wrong:
        usage(f"--state {wrong[0][:80]!r} must be one of {', '.join(_STATES)}", as_json=as_json)

    async def listed() -> "list[market_service_pb2.Quote]":
        async with market_client(ctx, city, operator=operator) as xisuan:
            return [one async for one in xisuan.quotes(city=city if operator else "", states=state or ())]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"quotes": [*map(message_data, found)]})
        return
    rows = [(*_cells(one), _state(one), one.job_id, yuan(one.credit_micro_yuan) if one.credit_micro_yuan else "")
            for one in found]  # fmt: skip
    show(table([*_COLUMNS, "state", "job", "credit>"], rows) if rows else "no quotes")


_COLUMNS: Final = ("quote", "pool", "model", "not before", "starts by", "ask/card·h>", "scarcity>", "in all>")


def _cells(one: "market_service_pb2.Quote") -> tuple[str, ...]:
    return (
        one.quote_id,
        f"{one.cluster}/{one.pool}",
        one.model,
        _time(one.not_before),
        _time(one.starts_by),
        yuan(one.ask_micro_yuan_per_card_hour),
        yuan(one.scarcity_micro_yuan_per_card_hour),
        yuan(one.total_micro_yuan),
    )


def _time(at: Any) -> str:
    from broker.client.results import moment

    return clock_time(moment(at))


def _state(one: "market_service_pb2.Quote") -> str:
    from broker.wire.v1 import market_service_pb2

    return word(market_service_pb2.QuoteState, one.state, "QUOTE_STATE_")


def _job(given: "dict[str, Any]", *, as_json: bool) -> "JobSpec":
    """Return the one job that the options or the file describe. Ends the program when there is not one."""
    specs = specs_of(given["file"], described_by(given, as_json=as_json), as_json=as_json)
    if len(specs) != 1:
        usage(f"the file holds {len(specs)} jobs, a quote is for one", as_json=as_json)
    return specs[0]


async def _quoted(ctx: typer.Context, spec: "JobSpec", most: int) -> "list[market_service_pb2.Quote]":
    given = ctx.params
    begin, end = (_moment(given, name) for name in ("not_before", "starts_by"))
    city, operator = given["city"], given["operator"]
    async with market_client(ctx, city, operator=operator) as xisuan:
        return await xisuan.quote(
            spec, not_before=begin, starts_by=end, options_max=most, city=city if operator else ""
        )


async def _accepted(ctx: typer.Context, quote_id: str) -> "market_service_pb2.AcceptQuoteResponse":
    given = ctx.params
    async with market_client(ctx, given["city"], operator=given["operator"]) as xisuan:
        return await xisuan.accept_quote(quote_id, request_key=given["key"] or None)


def _moment(given: "dict[str, Any]", name: str) -> datetime | None:
    text = given[name]
    return aware_time(f"--{name.replace('_', '-')}", text, as_json=given["as_json"]) if text else None


def _show_options(found: "list[market_service_pb2.Quote]", *, as_json: bool) -> None:
    if as_json:
        print_json({"options": [*map(message_data, found)]})
        return
    rows = [(*_cells(one), "" if one.within_ceiling else "beyond the ceiling") for one in found]
    until = min(_time(one.valid_until) for one in found)
    show(table([*_COLUMNS, ""], rows), f"to be accepted until {until} with `xisuan accept QUOTE`; nothing is held")


def _show_accepted(done: "market_service_pb2.AcceptQuoteResponse", *, as_json: bool) -> None:
    if as_json:
        print_json(message_data(done))
        return
    one = done.quote
    again = " (accepted before with this key)" if done.duplicate else ""
    show(
        f"{one.job_id} starts in {one.cluster}/{one.pool} by {_time(one.starts_by)} "
        f"for {yuan(one.total_micro_yuan)} in all ({one.quote_id}){again}"
    )
