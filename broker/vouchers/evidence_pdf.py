"""Evidence of a voucher as PDF: its terms, its use lease by lease, its story. The same evidence is the same bytes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from broker.papers.fen import rounded, spread, yuan
from broker.papers.month import PROGRAMME_TIME
from broker.papers.sheet import ACCENT, GREY, INK, MARGIN_MM, WIDTH_MM, Column, Sheet, thousandths

if TYPE_CHECKING:
    from datetime import datetime

    from broker.vouchers.evidence import LeaseUse

ROW_MM: Final = 8.6
STEP_MM: Final = 5.6
JOULES_PER_WATT_HOUR: Final = 3600
SIGNATURE_CHARACTERS: Final = 8
"""So much of a signature is printed; the JSON has it whole."""

USE: Final = (
    Column("Lease, job", 42, "L"), Column("Hub, cluster", 48, "L"), Column("Model", 34, "L"),
    Column("Started, ended", 44, "L"), Column("Cards", 16), Column("Minutes", 19), Column("P-hours", 22),
    Column("kWh", 20), Column("By voucher", 24),
)  # fmt: skip
STORY: Final = (
    Column("Date (UTC+8)", 34, "L"), Column("Event", 40, "L"), Column("Officer", 45, "L"), Column("Key", 45, "L"),
    Column("Note", 105, "L"),
)  # fmt: skip


def evidence_pdf(
    voucher: Mapping[str, Any], uses: Sequence["LeaseUse"], story: Sequence[Mapping[str, Any]], sha256: str
) -> bytes:
    """Return the evidence as PDF: A4, lying. The hash is that of the pack's JSON, which has all of it, exact."""
    sheet = Sheet(f"evidence/{voucher['voucher']}", sha256, voucher["granted_at"])
    sheet.pdf.add_page()
    _head(sheet, voucher, uses)
    _use(sheet, uses)
    _story(sheet, story)
    _notes(sheet)
    return sheet.content()


def _head(sheet: Sheet, voucher: Mapping[str, Any], uses: Sequence["LeaseUse"]) -> None:
    right = MARGIN_MM + WIDTH_MM - 120
    sheet.text(MARGIN_MM, 13, 140, "XISUAN  COMPUTE EXCHANGE", 8, bold=True, colour=ACCENT)
    sheet.text(MARGIN_MM, 19, 140, "Evidence of a voucher", 22, bold=True)
    sheet.text(right, 13, 120, f"No. {sheet.number}", 9, align="R", bold=True)
    terms = f"Granted {_moment(voucher['granted_at'])}, valid until {_moment(voucher['valid_until'])} UTC+8"
    sheet.text(right, 18.5, 120, terms, 8, align="R", colour=GREY)
    sheet.text(right, 23, 120, "Amounts in yuan (CNY)", 8, align="R", colour=GREY)
    sheet.rule(33, colour=ACCENT, width=0.6)
    paid = sum(use.micro_yuan for use in uses)
    facts = (
        ("VOUCHER", str(voucher["voucher"]), 62), ("ENTERPRISE", f"{voucher['enterprise']}, {voucher['city']}", 62),
        ("STATE", str(voucher["state"]).replace("_", " "), 34), ("LEASES", f"{len(uses):,}", 24),
        ("GRANTED", f"¥ {yuan(rounded(voucher['granted_micro_yuan']))}", 42),
        ("PAID FOR WORK", f"¥ {yuan(rounded(paid))}", 42),
    )  # fmt: skip
    x = float(MARGIN_MM)
    for label, told, width in facts:
        sheet.text(x, 36.5, width - 2, label, 6.5, bold=True, colour=GREY)
        sheet.text(x, 40, width - 2, told, 9.5, bold=label == "VOUCHER")
        x += width
    sheet.y = 49.0


def _use(sheet: Sheet, uses: Sequence["LeaseUse"]) -> None:
    sheet.table_head(USE)
    if not uses:
        sheet.text(MARGIN_MM + 1, sheet.y + 2.6, 120, "It has paid for nothing yet.", 8, colour=GREY)
        sheet.y += ROW_MM
    total = rounded(sum(use.micro_yuan for use in uses))
    for i, (use, fen) in enumerate(zip(uses, spread([use.micro_yuan for use in uses], total), strict=True)):
        sheet.room(ROW_MM, USE)
        if i % 2:
            sheet.stripe(ROW_MM)
        sheet.row(USE, _first_row(use, fen), 1.2, 8, INK)
        signed = f"signed policy {use.signature[:SIGNATURE_CHARACTERS]}..." if use.signature else "no signed policy"
        second = [use.job, f"of {use.owner}", signed, _moment(use.ended_at), "", "", "", "", ""]
        sheet.row(USE, second, 4.9, 6.3, GREY)
        sheet.y += ROW_MM
    sheet.rule(sheet.y)
    sheet.room(7, USE)
    sums = [
        "Sum", "", "", "", "", f"{sum(use.minutes for use in uses):,}",
        _three(sum(use.milli_pflops_hours for use in uses)), _kilowatt_hours(sum(use.joules for use in uses)),
        yuan(total),
    ]  # fmt: skip
    sheet.row(USE, sums, 1.8, 8, INK, bold=True)
    sheet.y += 11


def _first_row(use: "LeaseUse", fen: int) -> list[str]:
    return [
        use.lease,
        f"{use.hub}, {use.cluster}",
        use.model,
        _moment(use.started_at),
        thousandths(use.milli_cards),
        f"{use.minutes:,}",
        _three(use.milli_pflops_hours),
        _kilowatt_hours(use.joules),
        yuan(fen),
    ]


def _story(sheet: Sheet, story: Sequence[Mapping[str, Any]]) -> None:
    sheet.room(22, None)
    sheet.table_head(STORY)
    for step in story:
        sheet.room(STEP_MM, STORY)
        event = str(step["event"]).replace("_", " ")
        cells = [_moment(step["at"]), event, str(step["officer"]), str(step["key_id"]), str(step["note"])]
        sheet.row(STORY, cells, 1.2, 8, INK)
        sheet.y += STEP_MM
    sheet.rule(sheet.y)
    sheet.y += 6


def _notes(sheet: Sheet) -> None:
    sheet.room(14, None)
    for told in (
        "Minutes are those whose captures the voucher helped to pay; every amount is a sum of postings of the ledger.",
        "P-hours: FP16 PFLOPS-hours as the programme counts. kWh: of cards and their share of hosts, at the meter.",
        f"SHA-256 of the JSON of this evidence: {sheet.sha256}",
    ):
        sheet.text(MARGIN_MM, sheet.y, WIDTH_MM, told, 7, colour=GREY)
        sheet.y += 4


def _moment(at: "datetime | None") -> str:
    return "" if at is None else at.astimezone(PROGRAMME_TIME).strftime("%Y-%m-%d %H:%M")


def _kilowatt_hours(joules: int) -> str:
    return _three(joules // JOULES_PER_WATT_HOUR)


def _three(milli: int) -> str:
    """Return a number of thousandths with all three decimals, so that a column of them stands straight."""
    return f"{milli // 1000:,}.{milli % 1000:03d}"
