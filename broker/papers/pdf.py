"""Invoices and statements as PDF, drawn by fpdf2: the same paper is the same bytes.

Papers name their parties by account, which is plain ASCII.
"""

from typing import Final

from broker.papers.fen import exact_yuan, yuan
from broker.papers.month import PROGRAMME_TIME, Month
from broker.papers.paper import Paper, PaperKind, WorkLine
from broker.papers.printed import Printed, PrintedLine, printed
from broker.papers.sheet import ACCENT, GREY, INK, MARGIN_MM, WARNING, WIDTH_MM, Column, Sheet, thousandths

ROW_MM: Final = 8.6


def paper_pdf(paper: Paper) -> bytes:
    """Return an invoice or a statement as PDF: A4, lying."""
    sheet = _PaperSheet(paper, printed(paper))
    sheet.draw()
    return sheet.content()


class _PaperSheet(Sheet):
    """A paper on its way onto pages."""

    def __init__(self, paper: Paper, fen: Printed) -> None:
        self.paper, self.fen = paper, fen
        self.month = Month.parse(paper.month)
        # Dates of the file are the paper's own, so that the same paper is the same bytes.
        super().__init__(paper.number, paper.sha256(), paper.provisional_at or self.month.ends_at)

    def draw(self) -> None:
        self.pdf.add_page()
        self._head()
        self._lines()
        if self.paper.credit_notes:
            self._credit_notes()
        self._totals()

    def _head(self) -> None:
        paper, right = self.paper, MARGIN_MM + WIDTH_MM - 120
        title = "Invoice" if paper.kind is PaperKind.INVOICE else "Statement of earnings"
        self.text(MARGIN_MM, 13, 140, "XISUAN  COMPUTE EXCHANGE", 8, bold=True, colour=ACCENT)
        self.text(MARGIN_MM, 19, 140, title, 22, bold=True)
        self.text(right, 13, 120, f"No. {paper.number}", 9, align="R", bold=True)
        first = self.month.begins_at.astimezone(PROGRAMME_TIME).date()
        last = self.month.ends_at.astimezone(PROGRAMME_TIME).date()
        self.text(right, 18.5, 120, f"Postings from {first} up to {last}, 00:00 UTC+8", 8, align="R", colour=GREY)
        self.text(right, 23, 120, "Amounts in yuan (CNY)", 8, align="R", colour=GREY)
        if paper.provisional_at is not None:
            as_of = paper.provisional_at.astimezone(PROGRAMME_TIME).strftime("%Y-%m-%d %H:%M:%S")
            told = f"PROVISIONAL: the month is open; as of {as_of} UTC+8"
            self.text(right, 27.5, 120, told, 8, align="R", bold=True, colour=WARNING)
        self.rule(33, colour=ACCENT, width=0.6)
        parties = ("PAID BY", "PAID TO") if paper.kind is PaperKind.INVOICE else ("EARNED BY", "PAID THROUGH")
        figures = self._figures()
        for x, label, text in (
            (MARGIN_MM, parties[0], paper.party),
            (MARGIN_MM + 78, parties[1], "owners of clusters, through the exchange" if paper.kind is PaperKind.INVOICE
             else "the exchange, fee deducted"),
            *((MARGIN_MM + 160 + 38 * i, label, text) for i, (label, text) in enumerate(figures)),
        ):  # fmt: skip
            self.text(x, 36.5, 76, label, 6.5, bold=True, colour=GREY)
            self.text(x, 40, 76 if x < MARGIN_MM + 150 else 36, text, 9.5, bold=x == MARGIN_MM)
        self.y = 49.0

    def _figures(self) -> list[tuple[str, str]]:
        leases = len(self.paper.lines)
        card_minutes = sum(line.milli_cards * line.minutes for line in self.paper.lines)
        return [
            ("LEASES", f"{leases:,}"),
            ("CARD-HOURS", thousandths(card_minutes // 60)),
            ("TOTAL", f"¥ {yuan(self.fen.total)}"),
        ]

    def _lines(self) -> None:
        invoice = self.paper.kind is PaperKind.INVOICE
        aside, own = ("By voucher", "Paid") if invoice else ("Fee", "Earned")
        columns = [
            Column("Lease", 55, "L"), Column("Hub, cluster", 43, "L"), Column("Model", 30, "L"), Column("Cards", 15),
            Column("Minutes", 18), Column("¥ / card-h", 22), Column("P-hours", 28), Column("Price", 20),
            Column(aside, 18), Column(own, 20),
        ]  # fmt: skip
        self.table_head(columns)
        if not self.paper.lines:
            self.text(MARGIN_MM + 1, self.y + 2.6, 120, "Nothing was charged in this month.", 8, colour=GREY)
            self.y += ROW_MM
        for i, (line, cells) in enumerate(zip(self.paper.lines, self.fen.lines, strict=True)):
            self.room(ROW_MM, columns)
            if i % 2:
                self.stripe(ROW_MM)
            self.row(columns, _first_row(line, cells), 1.2, 8, INK)
            self.row(columns, _second_row(line, cells, invoice=invoice), 4.9, 6.3, GREY)
            self.y += ROW_MM
        self.rule(self.y)
        self.room(7, columns)
        sums = ["Sum of work", *[""] * 6, yuan(self.fen.price), yuan(self.fen.aside), yuan(self.fen.own)]
        self.row(columns, sums, 1.8, 8, INK, bold=True)
        self.y += 9

    def _credit_notes(self) -> None:
        columns = [
            Column("Credit note", 34, "L"), Column("Date (UTC+8)", 32, "L"), Column("Reference", 95, "L"),
            Column("From", 40, "L"), Column("To", 43, "L"), Column("Amount", 25),
        ]  # fmt: skip
        self.room(22, None)
        self.table_head(columns)
        for note, fen in zip(self.paper.credit_notes, self.fen.credit_notes, strict=True):
            self.room(5.6, columns)
            at = note.at.astimezone(PROGRAMME_TIME).strftime("%Y-%m-%d %H:%M")
            cells = [note.number, at, note.reference, note.payer, note.account, yuan(-fen)]
            self.row(columns, cells, 1.2, 8, INK)
            self.y += 5.6
        self.rule(self.y)
        self.room(7, columns)
        sums = ["Sum of credit notes", "", "", "", "", yuan(-sum(self.fen.credit_notes))]
        self.row(columns, sums, 1.8, 8, INK, bold=True)
        self.y += 9

    def _totals(self) -> None:
        columns = [Column("Account", 149, "L"), Column("Work", 40), Column("Credit notes", 40), Column("Total", 40)]
        self.room(24, None)
        self.table_head(columns)
        for total in self.fen.totals:
            self.room(5.6, columns)
            cells = [total.account, yuan(total.work), yuan(-total.credited), yuan(total.total)]
            self.row(columns, cells, 1.2, 8, INK)
            self.y += 5.6
        self.room(30, None)
        self.rule(self.y, colour=ACCENT, width=0.6)
        word = "Total paid" if self.paper.kind is PaperKind.INVOICE else "Total earned"
        self.row(columns, [word, "", "", f"¥ {yuan(self.fen.total)}"], 2.4, 11, INK, bold=True)
        self.y += 12
        self._notes()

    def _notes(self) -> None:
        said = [
            "Every line is a sum of postings of the exchange's ledger; vouchers are deducted from the price."
            if self.paper.kind is PaperKind.INVOICE
            else "Every line is a sum of postings of the exchange's ledger; price = fee + earned. What no hold "
            f"covered, the exchange has paid: ¥ {yuan(self.fen.borne)} of the prices above.",
            "P-hours: FP16 PFLOPS-hours as the programme counts; below them by nameplate and as measured, where known. "
            "Amounts are rounded to the fen so that rows and columns add up; exact to the micro-yuan: "
            f"¥ {exact_yuan(self.paper.micro_yuan)}.",
            f"SHA-256 of the canonical JSON: {self.sha256}",
        ]
        for text in said:
            self.text(MARGIN_MM, self.y, WIDTH_MM, text, 7, colour=GREY)
            self.y += 4


def _first_row(line: WorkLine, cells: PrintedLine) -> list[str]:
    return [
        line.reference,
        ", ".join(filter(None, (line.hub, line.cluster))),
        line.model,
        thousandths(line.milli_cards) if line.milli_cards else "",
        f"{line.minutes:,}" if line.minutes else "",
        exact_yuan(line.micro_yuan_per_card_hour) if line.job else "",
        _pflops_hours(line.programme_micro_pflops_hours) if line.job else "",
        yuan(cells.price),
        yuan(cells.aside),
        yuan(cells.own),
    ]


def _second_row(line: WorkLine, cells: PrintedLine, *, invoice: bool) -> list[str]:
    whose = line.enterprise if invoice else line.city
    facts = " · ".join(filter(None, (line.job, whose, line.workload_class.replace("_", " "))))
    late = f"{line.late_minutes:,} late" if line.late_minutes else ""
    others = [
        _pflops_hours(p) if p else "-" for p in (line.nameplate_micro_pflops_hours, line.measured_micro_pflops_hours)
    ]
    borne = f"borne {yuan(cells.borne)}" if cells.borne else ""
    return [facts, line.policy, "", "", late, "", " / ".join(others) if line.job else "", borne, "", ""]


def _pflops_hours(micro: int) -> str:
    whole, rest = divmod(micro, 1_000_000)
    return f"{whole:,}.{rest // 1000:03d}"
