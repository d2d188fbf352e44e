"""The rules of money: names, amounts, balanced transactions; what cannot be meant is told by field."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import AccountClosed, BalanceTooLarge, InsufficientCredit, InvalidRequest
from broker.ledger import chain, money
from broker.ledger.accounts import AccountKind, Pocket, account_name, parse_account
from broker.ledger.funds import Funds, after
from broker.ledger.transactions import Move, Posting, Transaction, TransactionKind, credit_note, deposit, grant

T0 = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
CITY = Move("k-1", "city/ganzhou", 1_000_000, "bank slip 7")


@pytest.mark.parametrize(
    ("text", "kind", "city", "owner"),
    [
        ("city/ganzhou", AccountKind.CITY, "ganzhou", None),
        ("enterprise/ganzhou/acme", AccountKind.ENTERPRISE, "ganzhou", None),
        ("voucher/ganzhou/2026-7", AccountKind.VOUCHER, "ganzhou", None),
        ("budget/qingyang/2026", AccountKind.BUDGET, None, None),
        ("owner/longdong", AccountKind.OWNER, None, "longdong"),
        ("fee", AccountKind.FEE, None, None),
        ("platform_loss", AccountKind.PLATFORM_LOSS, None, None),
        ("external", AccountKind.EXTERNAL, None, None),
    ],
)
def test_a_name_says_whose_money_it_is(text: str, kind: AccountKind, city: str | None, owner: str | None) -> None:
    name = account_name("account", text)

    assert (name.kind, name.city, name.owner, name.text) == (kind, city, owner, text)


@pytest.mark.parametrize(
    "text",
    ["", "city", "city/", "city/Ganzhou", "city/7", "city/a/b", "fee/x", "voucher/ganzhou", "voucher/ganzhou/-7",
     "bank", "voucher/ganzhou/7-", "city/ganzhou\n", "/", "voucher/ganzhou/a/b", "voucher/ganzhou/" + "x" * 64],
)  # fmt: skip
def test_other_texts_name_no_account(text: str) -> None:
    assert parse_account(text) is None
    with pytest.raises(InvalidRequest, match=r"account: .* names no account: write city/CITY"):
        account_name("account", text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "must be 1 to"),
        (-1, "must be 1 to"),
        (money.AMOUNT_MICRO_YUAN_MAX + 1, "must be 1 to"),
        (2**63, "must be 1 to"),
        (1.0, "not float"),
        (True, "not bool"),
        ("1", "not str"),
    ],
)
def test_only_a_whole_positive_bounded_amount_can_be_posted(value: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as refused:
        money.amount("micro_yuan", value)

    assert [problem.field for problem in refused.value.fields] == ["micro_yuan"]


@given(amount=st.integers(0, money.AMOUNT_MICRO_YUAN_MAX), ppm=st.integers(0, money.WHOLE_PPM))
def test_a_share_is_rounded_down_by_less_than_a_micro_yuan(amount: int, ppm: int) -> None:
    share = money.share_down(amount, ppm)

    assert 0 <= amount * ppm - share * money.WHOLE_PPM < money.WHOLE_PPM


def test_two_of_the_largest_balances_fit_into_64_bits() -> None:
    assert 2 * money.BALANCE_MICRO_YUAN_MAX + money.AMOUNT_MICRO_YUAN_MAX < 2**63


@pytest.mark.parametrize(
    ("make", "move", "fields"),
    [
        (deposit, replace(CITY, micro_yuan=0), {"micro_yuan"}),
        (deposit, replace(CITY, micro_yuan=-5, request_key="", reference="x" * 161),
         {"micro_yuan", "request_key", "reference"}),
        (deposit, replace(CITY, currency="USD"), {"currency"}),
        (deposit, replace(CITY, account="voucher/ganzhou/7"), {"account"}),  # vouchers are granted
        (deposit, replace(CITY, account="fee"), {"account"}),
        (deposit, replace(CITY, account="bank/7"), {"account"}),
        (deposit, replace(CITY, payer="fee"), {"payer"}),
        (deposit, replace(CITY, reference="line\nbreak"), {"reference"}),
        (grant, replace(CITY, payer="city/nanjing"), {"payer", "account"}),
        (credit_note, replace(CITY, payer="city/nanjing"), {"payer"}),
        (credit_note, replace(CITY, payer="fee", account="owner/longdong"), {"account"}),
    ],
)  # fmt: skip
def test_what_cannot_be_moved_is_told_by_field(make: Any, move: Move, fields: set[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        make(move, T0)

    assert {problem.field for problem in refused.value.fields} == fields


def test_money_that_moves_is_balanced_and_a_retry_has_the_same_hash() -> None:
    first, again = deposit(CITY, T0), deposit(replace(CITY, currency="CNY"), T0.replace(hour=9))

    assert [(p.account, p.micro_yuan) for p in first.postings] == [
        ("external", -1_000_000),
        ("city/ganzhou", 1_000_000),
    ]
    assert first.body_sha256 == again.body_sha256
    assert first.body_sha256 != deposit(replace(CITY, micro_yuan=2), T0).body_sha256


@given(st.lists(st.integers(-5, 5), max_size=4))
def test_a_transaction_that_is_not_balanced_cannot_be_made(amounts: list[int]) -> None:
    postings = tuple(Posting("fee", a) for a in amounts)
    fair = len(amounts) > 1 and sum(amounts) == 0 and all(amounts)

    if fair:
        Transaction(TransactionKind.CAPTURE, "k", {}, "r", T0, postings)
    else:
        with pytest.raises(ValueError, match="is not balanced"):
            Transaction(TransactionKind.CAPTURE, "k", {}, "r", T0, postings)


def test_an_account_goes_neither_below_zero_nor_beyond_what_a_balance_can_be() -> None:
    name = account_name("account", "city/ganzhou")
    funds = {"city/ganzhou": Funds(name, available=10, held=5)}

    found = after(funds, [Posting("city/ganzhou", -10), Posting("city/ganzhou", 10, Pocket.HELD), Posting("fee", -99)])

    assert (found["city/ganzhou"].available, found["city/ganzhou"].held) == (0, 15)
    with pytest.raises(InsufficientCredit, match="city/ganzhou can give 10 of 11 micro-yuan"):
        after(funds, [Posting("city/ganzhou", -11)])
    with pytest.raises(InsufficientCredit, match="can give 5 of 6"):
        after(funds, [Posting("city/ganzhou", -6, Pocket.HELD)])
    with pytest.raises(BalanceTooLarge, match="use a second account"):
        after(funds, [Posting("city/ganzhou", money.BALANCE_MICRO_YUAN_MAX - 9)])
    with pytest.raises(AccountClosed):
        after({"city/ganzhou": replace(funds["city/ganzhou"], closed=True)}, [Posting("city/ganzhou", 1)])


def test_the_chain_covers_every_field_of_a_transaction() -> None:
    entry = chain.Entry(1, "deposit", "r", "k", bytes(32), T0, None, [("external", "available", -1)])
    others = [
        replace(entry, transaction=2), replace(entry, kind="grant"), replace(entry, reference="s"),
        replace(entry, request_key="l"), replace(entry, body_sha256=b"\1" * 32), replace(entry, at=T0.replace(hour=9)),
        replace(entry, hold=1), replace(entry, postings=[("external", "available", -2)]),
    ]  # fmt: skip

    hashes = {chain.link(chain.START, chain.text_of(e)) for e in (entry, *others)}

    assert len(hashes) == 1 + len(others)
    assert chain.link(b"\1" * 32, chain.text_of(entry)) not in hashes
    assert chain.text_of(entry) == (
        '{"at":"2026-03-01T08:00:00.000000+00:00","body_sha256":"' + "0" * 64 + '","hold":null,"kind":"deposit",'
        '"postings":[["external","available",-1]],"reference":"r","request_key":"k","transaction":1}'
    )
