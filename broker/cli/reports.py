"""Commands about what many parties did: the report of use by sector and city, and the list of credit notes."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import ledger
from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, examples
from broker.cli.output import clock_time, message_data, milli, newest, note, print_json, show, show_if_cut, table
from broker.cli.papers import MonthOption, OutOption, deliver, month_or_now
from broker.cli.settings import paper_client

if TYPE_CHECKING:
    from broker.papers.use import UseReport, UseRow
    from broker.wire.v1 import papers_pb2

app = typer.Typer(
    name="report", help="Reports over sectors and cities.", no_args_is_help=True, rich_markup_mode=None
)  # fmt: skip


class Format(StrEnum):
    """Forms of a report."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class By(StrEnum):
    """What a report is summed by."""

    SECTOR = "sector"
    CITY = "city"


@app.command(
    epilog=examples(
        "xisuan report use --month 2026-11                            (your city, by sector)",
        "xisuan report use --month 2026-11 --operator --by sector     (all cities together)",
        "xisuan report use --operator --by city --format csv --out use-2026-11.csv",
        "xisuan report use --month 2026-11 --operator --format json | sha256sum",
    )
)
def use(
    ctx: typer.Context,
    month: MonthOption = "",
    by: Annotated[
        By | None, typer.Option("--by", help="Sums of all cities by sector, or of all sectors by city.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="A table for people, canonical JSON of all rows, or CSV for spreadsheets."),
    ] = Format.TABLE,
    out: OutOption = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what was used in a month, by city and sector: card-hours, FP16 work by three figures, money, vouchers.

    Time is by the minutes that agents told, or by the times of leases where nobody tells. Money is what was captured in
    the month, before credit notes: the sums of invoices; cities that are only metered have none.
    """
    form = Format.JSON if as_json else form
    if by is not None and form is Format.JSON:
        usage("--by is for tables and CSV: the JSON has every row", as_json=as_json)

    async def fetched() -> "UseReport":
        async with paper_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.use_report(month_or_now(month), city=city if operator else "")

    report = run(fetched(), as_json=as_json)
    if form is Format.TABLE and out is None:
        _show(report, by)
        return
    deliver(_text(report, form, by).encode(), out, as_json=as_json)
    note(_told(report))


def _rows(report: "UseReport", by: By | None) -> "list[UseRow]":
    from broker.papers.use import by_city, by_sector, each, merged

    return merged(report.rows, each if by is None else by_city if by is By.CITY else by_sector)


def _text(report: "UseReport", form: Format, by: By | None) -> str:
    from broker.papers.csv_text import use_csv

    return use_csv(_rows(report, by)) if form is not Format.JSON else report.text()


def _told(report: "UseReport") -> str:
    state = "its month is open" if report.provisional_at is not None else "its month is closed"
    return f"{report.number}: {state}, sha256 {report.sha256()}"


def _show(report: "UseReport", by: By | None) -> None:
    from broker.papers.fen import rounded, spread, yuan
    from broker.papers.use import merged, together

    rows = _rows(report, by)
    shown = [*rows, *merged(rows, together)]
    money = []
    for name in ("micro_yuan", "voucher_micro_yuan", "borne_micro_yuan"):
        exact = [getattr(row, name) for row in rows]
        total = rounded(sum(exact))
        money.append([*spread(exact, total), total])
    cells = [
        (
            row.city,
            row.workload_class or "(no lease)",
            f"{row.jobs:,}",
            f"{row.leases:,}",
            milli(row.milli_card_seconds // 3600),
            milli(row.nameplate_micro_pflops_hours // 1000),
            milli(row.programme_micro_pflops_hours // 1000),
            milli(row.measured_micro_pflops_hours // 1000),
            *(yuan(column[i]) for column in money),
        )
        for i, row in enumerate(shown)
    ]
    head = ["city", "sector", "jobs>", "leases>", "card-hours>", "nameplate P-h>", "programme P-h>", "measured P-h>",
            "price>", "by voucher>", "borne>"]  # fmt: skip
    show(table(head, cells) if rows else "nothing was used")
    note(_told(report))


@ledger.app.command(
    "credits",
    epilog=examples(
        "xisuan ledger credits                             (those to your city's accounts)",
        "xisuan ledger credits --operator --month 2026-11",
        "xisuan ledger credits --json                      (with an owner's key: those out of the account)",
    ),
)
def list_credits(
    ctx: typer.Context,
    month: Annotated[
        str, typer.Option("--month", metavar="YYYY-MM", help="Only those of this month, of UTC+8 [all].")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="Most credit notes to show; 0 shows all.")] = ledger.POSTINGS_SHOWN,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List credit notes, newest first: what was given back, to whom, for which lease, quote or hold, and why."""

    async def listed() -> "list[papers_pb2.ListedCreditNote]":
        async with paper_client(ctx, city, operator=operator) as xisuan:
            named = city if operator else ""
            return await newest(xisuan.credit_notes(city=named, month=month, page_size=min(limit or 500, 500)), limit)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"credit_notes": [message_data(one) for one in found]})
    else:
        show(_credits_table(found) if found else "no credit notes")
        show_if_cut(len(found), limit)


def _credits_table(found: "list[papers_pb2.ListedCreditNote]") -> object:
    from broker.client.results import moment
    from broker.papers.fen import exact_yuan

    rows = [
        (
            clock_time(moment(one.note.at)),
            one.note.transaction_id,
            one.note.reference,
            one.lease_id,
            one.job_id,
            one.note.payer,
            one.note.account,
            exact_yuan(one.note.micro_yuan),
        )
        for one in found
    ]
    return table(["at", "credit note", "what for", "lease", "job", "from", "to", "yuan>"], rows)
