"""From micro-yuan to the fen that are printed, so that what is printed adds up.

The rule: the total of a paper is rounded to the fen, half a fen away from zero. What each account has of it, and then
what each line has of the account's, is its exact amount rounded down, and the fen that are then missing go to those
with the largest remainders, the earlier line first where they are equal. So every printed amount is within a fen of the
exact one, and rows and columns add up to what is printed below them. Text and JSON for programs have the exact amounts.
"""

from collections.abc import Sequence
from typing import Final

MICRO_YUAN_IN_FEN: Final = 10_000


def rounded(micro_yuan: int) -> int:
    """Return an amount in fen, half a fen away from zero."""
    fen = (abs(micro_yuan) + MICRO_YUAN_IN_FEN // 2) // MICRO_YUAN_IN_FEN
    return -fen if micro_yuan < 0 else fen


def spread(micro_yuan: Sequence[int], total_fen: int) -> list[int]:
    """Return the amounts in fen, each next to its exact value, so that they add up to a total.

    Args:
        micro_yuan: the exact amounts, of either sign.
        total_fen: their sum, rounded down or up.
    Raises:
        ValueError: the total is not their sum.
    """
    cells = [amount // MICRO_YUAN_IN_FEN for amount in micro_yuan]
    missing = total_fen - sum(cells)
    by_remainder = sorted(range(len(cells)), key=lambda i: (-(micro_yuan[i] % MICRO_YUAN_IN_FEN), i))
    if not 0 <= missing <= sum(1 for amount in micro_yuan if amount % MICRO_YUAN_IN_FEN):
        raise ValueError(f"{total_fen} fen are not the sum of {sum(micro_yuan)} micro-yuan")
    for i in by_remainder[:missing]:
        cells[i] += 1
    return cells


def spread_columns(columns: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return a table of amounts in fen, by column, that adds up along rows, columns and both.

    The sum of all is rounded, spread over the columns, and each column over its rows.
    """
    sums = [sum(column) for column in columns]
    return [spread(column, fen) for column, fen in zip(columns, spread(sums, rounded(sum(sums))), strict=True)]


def yuan(fen: int) -> str:
    """Return fen as yuan, such as "-1,234.05"."""
    whole, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole:,}.{rest:02d}"


def exact_yuan(micro_yuan: int) -> str:
    """Return micro-yuan as yuan without rounding, such as "1.25" or "0.000001"; at least two decimals."""
    whole, rest = divmod(abs(micro_yuan), 1_000_000)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro_yuan < 0 else ''}{whole:,}.{decimals}"
