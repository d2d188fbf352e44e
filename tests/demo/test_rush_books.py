"""The walk through an exported chain finds a budget that was overdrawn, if only for a moment."""

import hashlib
import json
from collections.abc import Sequence

from broker.demo import rush_books

BUDGET, VOUCHER, CITY = "budget/qingyang/rush", "voucher/ganzhou/rush-1", "city/ganzhou"
Lines = Sequence[tuple[str, str, int]]


def chain(*transactions: tuple[str, Lines]) -> list[str]:
    """Return an export, each line with the hash of its text and the hash before."""
    lines, last = [], bytes(32)
    for position, (kind, postings) in enumerate(transactions, 1):
        text = json.dumps({"kind": kind, "postings": postings, "transaction": f"transaction-{position}"})
        last = hashlib.sha256(last + text.encode()).digest()
        lines.append(json.dumps({"position": position, "sha256": last.hex(), "text": text}))
    return lines


def paid_in(micro_yuan: int) -> tuple[str, Lines]:
    return "deposit", [("external", "available", -micro_yuan), (BUDGET, "available", micro_yuan)]


def granted(micro_yuan: int) -> tuple[str, Lines]:
    return "grant", [(BUDGET, "available", -micro_yuan), (VOUCHER, "available", micro_yuan)]


def given_back(micro_yuan: int) -> tuple[str, Lines]:
    return "return", [(VOUCHER, "available", -micro_yuan), (BUDGET, "available", micro_yuan)]


def test_a_budget_that_holds_is_told_with_what_was_granted_held_and_left() -> None:
    held = "hold", [(VOUCHER, "available", -40), (VOUCHER, "held", 40)]
    released = "release", [(VOUCHER, "held", -40), (VOUCHER, "available", 40)]

    books = rush_books.read(chain(paid_in(100), granted(60), held, released), BUDGET, 100)

    assert books.problems == ()
    assert (books.granted, books.left, books.lowest, books.held_most) == (60, 40, 40, 40)
    assert books.on_vouchers == (60, 0)
    assert books.transactions == 4


def test_a_budget_that_was_overdrawn_for_a_moment_is_found() -> None:
    books = rush_books.read(chain(paid_in(100), granted(120), given_back(30)), BUDGET, 100)

    assert books.lowest == -20
    assert any("was at -20" in told for told in books.problems)


def test_a_voucher_that_held_more_than_it_had_is_found() -> None:
    held = "hold", [(VOUCHER, "available", -70), (VOUCHER, "held", 70)]
    released = "release", [(VOUCHER, "held", -70), (VOUCHER, "available", 70)]

    books = rush_books.read(chain(paid_in(100), granted(60), held, released), BUDGET, 100)

    assert any(f"{VOUCHER} (available) was at -10" in told for told in books.problems)


def test_money_that_left_the_budget_otherwise_than_by_a_grant_is_found() -> None:
    stolen = "capture", [(BUDGET, "available", -5), (CITY, "available", 5)]

    books = rush_books.read(chain(paid_in(100), granted(60), stolen), BUDGET, 100)

    assert any("are not that" in told for told in books.problems)


def test_a_line_that_was_changed_breaks_the_chain() -> None:
    lines = chain(paid_in(100), granted(60))
    lines[0] = lines[0].replace("100", "900")

    assert any("the chain is broken" in told for told in rush_books.read(lines, BUDGET, 100).problems)
