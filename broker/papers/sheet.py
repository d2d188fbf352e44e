"""Sheets of paper as PDF, drawn by fpdf2: text, rules and tables over pages. The same calls make the same bytes.

The fonts are those that every reader of PDF has, which know Latin letters only: other signs in a text are written by
their number, and the JSON beside the sheet has them as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from fpdf import FPDF

MARGIN_MM: Final = 14
WIDTH_MM: Final = 297 - 2 * MARGIN_MM
BOTTOM_MM: Final = 210 - 18
INK: Final = (28, 34, 44)
GREY: Final = (112, 120, 132)
RULE: Final = (208, 213, 221)
ACCENT: Final = (22, 78, 118)
STRIPE: Final = (245, 247, 250)
WARNING: Final = (168, 68, 20)
FONT: Final = "helvetica"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, width, and the side on which its cells stand."""

    title: str
    width_mm: float
    align: Literal["L", "R"] = "R"


class Sheet:
    """Pages of A4, lying, with a foot that names the document and its hash.

    Args:
        number: of the document.
        sha256: of its canonical text.
        at: the time that the file bears, so that the same document is the same bytes.
    """

    def __init__(self, number: str, sha256: str, at: datetime) -> None:
        from fpdf import FPDF  # only who wants a PDF pays for the import

        class Numbered(FPDF):
            def footer(page) -> None:  # noqa: N805  # `self` is the sheet around it
                self._foot(page)

        self.number, self.sha256 = number, sha256
        self.pdf: FPDF = Numbered(orientation="landscape", unit="mm", format="A4")
        self.pdf.set_auto_page_break(False)
        self.pdf.set_margins(MARGIN_MM, MARGIN_MM)
        self.pdf.set_creation_date(at)
        self.pdf.set_title(number)
        self.pdf.set_producer("Xisuan")
        self.y = 0.0

    def content(self) -> bytes:
        """Return the file."""
        return bytes(self.pdf.output())

    def text(
        self, x: float, y: float, width: float, text: str, size: float, *,
        align: Literal["L", "R"] = "L", bold: bool = False, colour: tuple[int, int, int] = INK,
    ) -> None:  # fmt: skip
        """Write a text, as far as it fits."""
        self.pdf.set_font(FONT, "B" if bold else "", size)
        self.pdf.set_text_color(*colour)
        shown = _fitting(_latin(text), width, self.pdf.get_string_width)
        self.pdf.set_xy(x, y)
        self.pdf.cell(width, size * 0.42, shown, align=align)

    def rule(self, y: float, *, colour: tuple[int, int, int] = RULE, width: float = 0.2) -> None:
        """Draw a line over the whole width."""
        self.pdf.set_draw_color(*colour)
        self.pdf.set_line_width(width)
        self.pdf.line(MARGIN_MM, y, MARGIN_MM + WIDTH_MM, y)

    def stripe(self, height: float) -> None:
        """Shade a row, for the eye to follow it."""
        self.pdf.set_fill_color(*STRIPE)
        self.pdf.rect(MARGIN_MM, self.y, WIDTH_MM, height, style="F")

    def table_head(self, columns: Sequence[Column]) -> None:
        """Draw the head of a table."""
        self.pdf.set_fill_color(*ACCENT)
        self.pdf.rect(MARGIN_MM, self.y, WIDTH_MM, 6, style="F")
        self.row(columns, [column.title for column in columns], 1.6, 7.2, (255, 255, 255), bold=True)
        self.y += 6.4

    def row(
        self, columns: Sequence[Column], cells: Sequence[str], down: float, size: float,
        colour: tuple[int, int, int], *, bold: bool = False,
    ) -> None:  # fmt: skip
        """Write cells of a table, so far below the place that was reached."""
        x = float(MARGIN_MM)
        for column, cell in zip(columns, cells, strict=True):
            if cell:
                self.text(x + 1, self.y + down, column.width_mm - 2, cell, size,
                           align=column.align, bold=bold, colour=colour)  # fmt: skip
            x += column.width_mm

    def room(self, height: float, columns: Sequence[Column] | None) -> None:
        """Begin a page, with the head of the table that goes on, when so much does not fit on this one."""
        if self.y + height <= BOTTOM_MM:
            return
        self.pdf.add_page()
        self.y = float(MARGIN_MM)
        if columns:
            self.table_head(columns)

    def _foot(self, page: "FPDF") -> None:
        self.rule(196)
        self.text(MARGIN_MM, 198, 200, f"{self.number}   sha256 {self.sha256}", 6.5, colour=GREY)
        page.set_font(FONT, "", 7)
        page.set_text_color(*GREY)
        page.set_xy(MARGIN_MM + WIDTH_MM - 60, 198)
        page.cell(60, 3, f"Page {page.page_no()} of {{nb}}", align="R")


def thousandths(value: int) -> str:
    """Return a number of thousandths for people, such as "1,234.5"."""
    whole, rest = divmod(value, 1000)
    return f"{whole:,}" + (f".{rest:03d}".rstrip("0") if rest else "")


def _latin(text: str) -> str:
    """Return a text in signs that the fonts have; others by their number."""
    return text.encode("latin-1", "backslashreplace").decode("latin-1")


def _fitting(text: str, width: float, measured: Callable[[str], float]) -> str:
    """Return as much of a text as fits, with dots where it was cut; the JSON has it whole."""
    if measured(text) <= width + 0.01:
        return text
    while text and measured(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
