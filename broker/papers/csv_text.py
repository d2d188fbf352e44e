"""Papers and reports as CSV (RFC 4180, UTF-8): one table with a head, for spreadsheets.

Amounts come twice: exact in micro-yuan, and in yuan as they are printed, which add up to the last row.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from broker.papers.paper import PFLOPS_HOURS, CreditNote, Paper, PaperKind, WorkLine, moment_text
from broker.papers.printed import printed
from broker.papers.use import FIGURES, UseRow, each, merged, together

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so would be run by a spreadsheet: it gets an apostrophe before it."""

_FACTS: Final = (
    "reference", "job", "city", "enterprise", "workload_class", "hub", "cluster", "model", "milli_cards", "minutes",
    "late_minutes", "micro_yuan_per_card_hour", "rate_card_version", *PFLOPS_HOURS, "policy",
)  # fmt: skip


def paper_csv(paper: Paper) -> str:
    """Return an invoice or a statement: a row for each lease and credit note, and their total."""
    invoice = paper.kind is PaperKind.INVOICE
    aside, own = ("voucher", "paid") if invoice else ("fee", "earned")
    names = ("price", aside, own, *(() if invoice else ("borne",)))
    accounts = [total.account for total in paper.totals()]
    fen = printed(paper)
    head = [
        "row", "number", *_FACTS, "at", "hold", "account", "payer", *(f"{name}_micro_yuan" for name in names),
        *(f"{name}_yuan" for name in names), *(f"micro_yuan {account}" for account in accounts),
    ]  # fmt: skip
    rows: list[Sequence[object]] = []
    for line, cells in zip(paper.lines, fen.lines, strict=True):
        exact = _exact(line, invoice=invoice)
        shown = (cells.price, cells.aside, cells.own, *(() if invoice else (cells.borne,)))
        rows.append([
            "work", paper.number, *(getattr(line, fact) for fact in _FACTS), "", "", "", "", *exact, *map(_yuan, shown),
            *_by_account({part.account: part.micro_yuan for part in line.parts}, accounts),
        ])  # fmt: skip
    for note, cell in zip(paper.credit_notes, fen.credit_notes, strict=True):
        rows.append(_note_row(paper, note, cell, accounts, len(names)))
    credited, credited_fen = sum(n.micro_yuan for n in paper.credit_notes), sum(fen.credit_notes)
    totals = [sum(_exact(line, invoice=invoice)[i] for line in paper.lines) for i in range(len(names))]
    totals[0] -= credited
    fen_totals = [fen.price - credited_fen, fen.aside, fen.own, *(() if invoice else (fen.borne,))]
    rows.append([
        "total", paper.number, *("" for _ in _FACTS), "", "", "", "", *totals, *map(_yuan, fen_totals),
        *(total.total for total in paper.totals()),
    ])  # fmt: skip
    return csv_text([head, *rows])


def use_csv(rows: Iterable[UseRow]) -> str:
    """Return a report of use: a row for each city and sector, and their total."""
    listed = merged(rows, each)
    shown = [*listed, *merged(listed, together)]
    return csv_text(
        [
            ["city", "workload_class", *FIGURES],
            *([row.city, row.workload_class, *(getattr(row, f) for f in FIGURES)] for row in shown),
        ]
    )


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return a table, its head first, as CSV; no cell of it is run by a spreadsheet."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\r\n")
    for i, row in enumerate(rows):
        writer.writerow(cell if i == 0 else _cell(cell) for cell in row)
    return made.getvalue()


def _exact(line: WorkLine, *, invoice: bool) -> tuple[int, ...]:
    if invoice:
        return line.micro_yuan, line.voucher_micro_yuan, line.micro_yuan - line.voucher_micro_yuan
    return line.micro_yuan + line.fee_micro_yuan, line.fee_micro_yuan, line.micro_yuan, line.borne_micro_yuan


def _note_row(paper: Paper, note: CreditNote, fen: int, accounts: Sequence[str], columns: int) -> Sequence[object]:
    blank = [""] * (columns - 1)
    return [
        "credit note", note.number, note.reference, *("" for _ in _FACTS[1:]), moment_text(note.at), note.hold,
        note.account, note.payer, -note.micro_yuan, *blank, _yuan(-fen), *blank,
        *_by_account({paper.side(note): -note.micro_yuan}, accounts),
    ]  # fmt: skip


def _by_account(amounts: dict[str, int], accounts: Sequence[str]) -> list[int]:
    return [amounts.get(account, 0) for account in accounts]


def _yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal() and text.isascii()
