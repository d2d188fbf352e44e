"""A paper as people read it: every amount in fen, in rows and columns that add up."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.papers.fen import rounded, spread, spread_columns
from broker.papers.paper import VOUCHER, Paper


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """Amounts of a line in fen. Of an invoice: price = voucher + own. Of a statement: price = fee + own."""

    own: int  # invoice: paid by enterprise and city; statement: what the owner got
    aside: int  # invoice: deducted for vouchers; statement: the exchange's fee
    borne: int  # statement: of the price, what the exchange paid

    @property
    def price(self) -> int:
        """The price of the line."""
        return self.own + self.aside


@dataclass(frozen=True, slots=True)
class PrintedTotal:
    """What an account paid or got, in fen."""

    account: str
    work: int
    credited: int

    @property
    def total(self) -> int:
        """Work less credit notes."""
        return self.work - self.credited


@dataclass(frozen=True, slots=True)
class Printed:
    """Amounts of a paper in fen.

    Attributes:
        lines: in the order of the paper's.
        credit_notes: in the order of the paper's, above zero.
        totals: by account.
    """

    lines: tuple[PrintedLine, ...]
    credit_notes: tuple[int, ...]
    totals: tuple[PrintedTotal, ...]

    @property
    def own(self) -> int:
        """Sum of the lines."""
        return sum(line.own for line in self.lines)

    @property
    def aside(self) -> int:
        """Sum of the lines."""
        return sum(line.aside for line in self.lines)

    @property
    def borne(self) -> int:
        """Sum of the lines."""
        return sum(line.borne for line in self.lines)

    @property
    def price(self) -> int:
        """Sum of the lines."""
        return self.own + self.aside

    @property
    def total(self) -> int:
        """What all accounts paid or got, less credit notes."""
        return sum(total.total for total in self.totals)


FEE = ""
"""Column of a statement that is no account of the party."""


def printed(paper: Paper) -> Printed:
    """Return the amounts of a paper in fen (see `fen` for the rule)."""
    accounts = [total.account for total in paper.totals()]
    place = {account: i for i, account in enumerate([*accounts, FEE])}
    height = len(paper.lines) + len(paper.credit_notes)
    columns = [[0] * height for _ in place]
    for row, line in enumerate(paper.lines):
        for part in line.parts:
            columns[place[part.account]][row] += part.micro_yuan
        columns[place[FEE]][row] = line.fee_micro_yuan
    for row, note in enumerate(paper.credit_notes, len(paper.lines)):
        columns[place[paper.side(note)]][row] = -note.micro_yuan
    cells = spread_columns(columns)
    works = [sum(column[: len(paper.lines)]) for column in cells]
    return Printed(
        lines=_lines(paper, cells, place),
        credit_notes=tuple(
            -cells[place[paper.side(note)]][row] for row, note in enumerate(paper.credit_notes, len(paper.lines))
        ),
        totals=tuple(
            PrintedTotal(account, works[place[account]], works[place[account]] - sum(cells[place[account]]))
            for account in accounts
        ),
    )


def _lines(paper: Paper, cells: Sequence[Sequence[int]], place: dict[str, int]) -> tuple[PrintedLine, ...]:
    aside = [i for name, i in place.items() if name == FEE or name.startswith(VOUCHER)]
    own = [i for i in place.values() if i not in aside]
    bearing = [line.borne_micro_yuan for line in paper.lines]
    borne = spread(bearing, rounded(sum(bearing)))
    return tuple(
        PrintedLine(sum(cells[i][row] for i in own), sum(cells[i][row] for i in aside), borne[row])
        for row in range(len(paper.lines))
    )
