"""Amounts: integer micro-yuan, bounded far inside 64 bits, and the one place where anything is rounded."""

from typing import Final

from broker.errors import FieldProblem, InvalidRequest, invalid

MICRO_YUAN_IN_YUAN: Final = 1_000_000
CURRENCY: Final = "CNY"

AMOUNT_MICRO_YUAN_MAX: Final = 10**17
"""One posting: 100 billion yuan, a thousand yearly programmes."""

BALANCE_MICRO_YUAN_MAX: Final = 10**18
"""One locked balance, a ninth of what 64 bits hold: a sum of two such can never wrap."""

WHOLE_PPM: Final = 1_000_000


def amount(field: str, micro_yuan: object) -> int:
    """Return an amount of money that can be posted. Raise InvalidRequest that names `field`.

    Only a plain int passes: a bool or a float that looks like one would be somebody's rounding.
    """
    problem = amount_problem(field, micro_yuan)
    if problem is not None:
        raise InvalidRequest(problem)
    assert isinstance(micro_yuan, int)  # noqa: S101  # amount_problem has seen to it
    return micro_yuan


def amount_problem(field: str, micro_yuan: object) -> FieldProblem | None:
    """Return what keeps an amount from being posted, None when nothing does."""
    if type(micro_yuan) is not int:
        return FieldProblem(field, f"must be a whole number of micro-yuan, not {type(micro_yuan).__name__}")
    if not 1 <= micro_yuan <= AMOUNT_MICRO_YUAN_MAX:
        return FieldProblem(field, f"is {micro_yuan} micro-yuan, must be 1 to {AMOUNT_MICRO_YUAN_MAX}")
    return None


def yuan_only(field: str, currency: str) -> None:
    """Raise InvalidRequest for a currency other than yuan; an empty text means yuan."""
    if currency not in ("", CURRENCY):
        raise invalid(field, f'must be "{CURRENCY}": the ledger knows yuan only, change the money before it comes in')


def share_down(micro_yuan: int, ppm: int) -> int:
    """Return a part of an amount in millionths, rounded down: who pays or gets the rest has the odd micro-yuan.

    Of a voucher's ratio the voucher pays less and the next account more; of a fee the exchange gets less and the
    owner more.
    """
    return micro_yuan * ppm // WHOLE_PPM


def proportion_down(micro_yuan: int, part: int, whole: int) -> int:
    """Return `micro_yuan * part / whole`, rounded down, for 0 <= part <= whole and whole > 0."""
    return micro_yuan * part // whole
