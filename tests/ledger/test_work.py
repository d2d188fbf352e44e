"""What work costs, and whose money pays for it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.ledger.holds import Source
from broker.ledger.work import Payer, sources, work_micro_yuan


def test_a_card_hour_costs_its_price() -> None:
    """A thousand thousandths of a card for 3,600 seconds are a card-hour."""
    assert work_micro_yuan(7_000_000, 1000, 3600) == 7_000_000
    assert work_micro_yuan(7_000_000, 250, 1800) == 875_000


@given(st.integers(0, 10**12), st.integers(1, 10**7), st.lists(st.integers(0, 10**8), min_size=2))
def test_parts_add_up_to_the_whole(price: int, milli_cards: int, until: list[int]) -> None:
    """Work that is charged hour by hour costs what it would cost at once, and no part is below zero."""
    costs = [work_micro_yuan(price, milli_cards, seconds) for seconds in [0, *sorted(until)]]
    parts = [after - before for before, after in pairwise(costs)]
    assert min(parts) >= 0
    assert sum(parts) == work_micro_yuan(price, milli_cards, max(until))


def test_vouchers_pay_first_then_the_enterprise_then_the_city() -> None:
    """An enterprise without an account of its own is paid for by its city."""
    voucher = Source("voucher/ganzhou/2026-7", 300_000)
    payer = Payer("ganzhou", "deepway", (voucher,))
    assert sources(payer, ["enterprise/ganzhou/deepway"]) == (
        voucher,
        Source("enterprise/ganzhou/deepway"),
        Source("city/ganzhou"),
    )
    assert sources(payer, []) == (voucher, Source("city/ganzhou"))
    assert sources(Payer("ganzhou"), ["enterprise/ganzhou/deepway"]) == (Source("city/ganzhou"),)
