"""Commands about papers: invoices of cities and enterprises, statements of owners, and credit notes."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import ledger
from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, DryRun, examples
from broker.cli.output import message_data, milli, note, print_json, show, table, yuan
from broker.cli.settings import paper_client

if TYPE_CHECKING:
    from broker.client.papers import PaperClient
    from broker.papers.paper import Paper


class Format(StrEnum):
    """Forms of a paper."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PDF = "pdf"


MonthOption = Annotated[
    str, typer.Option("--month", metavar="YYYY-MM", help="Which month, of UTC+8 [the one that runs].")
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="A table for people, canonical JSON, CSV for spreadsheets, or PDF to file.")
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of to stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog=examples(
            "xisuan invoice --month 2026-11",
            "xisuan invoice --city ganzhou --operator --month 2026-11 --format pdf --out ganzhou-2026-11.pdf",
            "xisuan invoice --enterprise acme --month 2026-11 --format csv --out acme.csv",
            "xisuan invoice --month 2026-11 --format json | sha256sum     (the hash that the invoice shows)",
        )
    )(invoice)
    app.command(
        epilog=examples(
            "xisuan statement --month 2026-11                       (with an owner's key in XISUAN_API_KEY)",
            "xisuan statement --owner longdong --operator --month 2026-11 --format pdf --out longdong.pdf",
        )
    )(statement)
    ledger.app.command(
        epilog=examples(
            "xisuan ledger credit city/ganzhou 12.50 --payer owner/longdong --about lease-7 --reason slow --dry-run",
            "xisuan ledger credit voucher/ganzhou/7 100 --payer platform_loss --about quote-3 --reason 'started late'",
        )
    )(credit)


def invoice(
    ctx: typer.Context,
    month: MonthOption = "",
    enterprise: Annotated[
        str, typer.Option(metavar="NAME", help="Only for jobs of this enterprise of the city; with its own key always.")
    ] = "",
    form: FormatOption = Format.TABLE,
    out: OutOption = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what a city, or one of its enterprises, paid in a month: by lease, vouchers deducted, with credit notes.

    Sums of ledger lines, so the invoice of a closed month is the same bytes each time; that of an open one is marked
    as provisional. Amounts in tables, CSV and PDF are fen that add up; JSON has micro-yuan.
    """

    async def fetched(xisuan: "PaperClient") -> "Paper":
        return await xisuan.invoice(month_or_now(month), city=city if operator else "", enterprise=enterprise)

    _deliver(ctx, fetched, form, out, city=city, operator=operator, as_json=as_json)


def statement(
    ctx: typer.Context,
    month: MonthOption = "",
    owner: Annotated[str, typer.Option(metavar="OWNER", help="Whose, for operators and auditors.")] = "",
    form: FormatOption = Format.TABLE,
    out: OutOption = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what an owner of clusters earned in a month: by lease, with fees, credit notes and what the exchange bore.

    Sums of ledger lines; otherwise as `xisuan invoice`.
    """

    async def fetched(xisuan: "PaperClient") -> "Paper":
        return await xisuan.statement(month_or_now(month), owner=owner)

    _deliver(ctx, fetched, form, out, city=city, operator=operator, as_json=as_json)


def credit(
    ctx: typer.Context,
    account: ledger.AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="YUAN", help="How much, such as 250000 or 1000.50.")],
    payer: Annotated[str, typer.Option(help='Who gives it: "owner/OWNER", "fee" or "platform_loss".')],
    about: Annotated[str, typer.Option(help='What it is for: "hold-5", "lease-7" or "quote-7".')],
    reason: Annotated[str, typer.Option(help="Why, for the paper; 1 to 128 characters.")],
    key: Annotated[str, typer.Option(help="Makes a retry harmless: the same key gives once [about and reason].")] = "",
    currency: Annotated[str, typer.Option(help="Only yuan can be given.")] = "CNY",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a city, an enterprise or a voucher money back for a hold, a lease or a quote (for operators).

    It is a line of its own on the invoice, and on the statement of the owner who gave it.
    """
    from broker.client.units import micro_yuan
    from broker.wire.v1 import papers_pb2 as pb

    try:
        wanted = micro_yuan(amount)
    except ValueError as error:
        usage(str(error), as_json=as_json)
    request = pb.PostCreditNoteRequest(
        request_key=key or _ascii(f"{about} {reason}"),
        account=account,
        payer=payer,
        micro_yuan=wanted,
        currency=currency,
        about=about,
        reason=reason,
        dry_run=dry_run,
    )

    async def done() -> "pb.PostCreditNoteResponse":
        async with paper_client(ctx, "", operator=True) as xisuan:
            return await xisuan.post_credit_note(request)

    made = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(made)})
    elif made.duplicate:
        note(f"it was given before, as {made.transaction_id}")
    elif dry_run:
        note(f"would give {yuan(wanted)} to {account} out of {payer}: {made.reference}")
    else:
        note(f"gave {yuan(wanted)} to {account} out of {payer} as {made.transaction_id}: {made.reference}")


def _ascii(text: str) -> str:
    """Return a key of a text: keys are ASCII, and reasons need not be."""
    import hashlib

    return text if text.isascii() and len(text) <= 128 else hashlib.sha256(text.encode()).hexdigest()


def month_or_now(text: str) -> str:
    """Return the month that was given, else the one that runs."""
    from broker.papers.month import Month

    return text or Month.at(datetime.now(UTC)).text


def _deliver(
    ctx: typer.Context,
    fetched: "Callable[[PaperClient], Awaitable[Paper]]",
    form: Format,
    out: Path | None,
    *,
    city: str,
    operator: bool,
    as_json: bool,
) -> None:
    if as_json:
        form = Format.JSON
    if form is Format.PDF and out is None and sys.stdout.isatty():
        usage("a PDF is not for a terminal: name a file with --out", as_json=as_json)

    async def got() -> "Paper":
        async with paper_client(ctx, city, operator=operator) as xisuan:
            return await fetched(xisuan)

    paper = run(got(), as_json=as_json)
    if form is Format.TABLE and out is None:
        _show(paper)
        return
    deliver(_bytes(paper, form), out, as_json=as_json)
    note(_told(paper))


def deliver(data: bytes, out: Path | None, *, as_json: bool) -> None:
    """Write a paper to a file, or to the standard output as it is."""
    try:
        if out is None:
            sys.stdout.buffer.write(data)
        else:
            out.write_bytes(data)
    except OSError as error:
        usage(f"{out or 'stdout'} cannot be written: {error}", as_json=as_json)


def _bytes(paper: "Paper", form: Format) -> bytes:
    from broker.papers.csv_text import paper_csv
    from broker.papers.pdf import paper_pdf

    if form is Format.PDF:
        return paper_pdf(paper)
    return (paper_csv(paper) if form is Format.CSV else paper.text()).encode()


def _told(paper: "Paper") -> str:
    state = "provisional, its month is open" if paper.provisional_at is not None else "final"
    return f"{paper.number}: {state}, sha256 {paper.sha256()}"


def _show(paper: "Paper") -> None:
    from broker.papers import fen
    from broker.papers.paper import PaperKind
    from broker.papers.printed import printed

    cells, invoiced = printed(paper), paper.kind is PaperKind.INVOICE
    rows = [
        (
            line.reference,
            line.job,
            line.enterprise if invoiced else line.city,
            line.workload_class,
            line.hub,
            line.cluster,
            line.model,
            milli(line.milli_cards),
            f"{line.minutes:,}",
            fen.exact_yuan(line.micro_yuan_per_card_hour),
            milli(line.programme_micro_pflops_hours // 1000),
            line.policy,
            fen.yuan(one.price),
            fen.yuan(one.aside),
            fen.yuan(one.own),
        )
        for line, one in zip(paper.lines, cells.lines, strict=True)
    ]
    whose, aside, own = ("enterprise", "by voucher>", "paid>") if invoiced else ("city", "fee>", "earned>")
    head = ["lease", "job", whose, "sector", "hub", "cluster", "model", "cards>", "minutes>", "¥/card-h>", "P-hours>",
            "allowed", "price>", aside, own]  # fmt: skip
    show(table(head, rows) if rows else "nothing was charged")
    if paper.credit_notes:
        show("")
        notes = [
            (n.number, n.reference, n.payer, n.account, fen.yuan(-given))
            for n, given in zip(paper.credit_notes, cells.credit_notes, strict=True)
        ]
        show(table(["credit note", "what for", "from", "to", "yuan>"], notes))
    show("")
    totals = [(t.account, fen.yuan(t.work), fen.yuan(-t.credited), fen.yuan(t.total)) for t in cells.totals]
    totals.append(("total", "", "", fen.yuan(cells.total)))
    show(table(["account", "work>", "credit notes>", "total>"], totals))
    note(_told(paper))
