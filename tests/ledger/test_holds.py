"""Holds: held = captured + released + open, for the whole and for each part, whatever is asked in which order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import (
    AccountClosed,
    AccountNotFound,
    BrokerError,
    CaptureBeyondHold,
    HoldEnded,
    HoldStillSettles,
    InsufficientCredit,
    InvalidRequest,
    SettlementOver,
)
from broker.ids import HoldId
from broker.ledger.accounts import Pocket, account_name
from broker.ledger.funds import Funds, after
from broker.ledger.holds import (
    Capture,
    Hold,
    HoldDraft,
    HoldState,
    Part,
    Source,
    apportioned,
    captured,
    check_draft,
    decide,
    hold_transaction,
    planned_parts,
    released,
)

T0 = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
WINDOW = T0 + timedelta(days=1)
VOUCHER, ACME, CITY = "voucher/ganzhou/7", "enterprise/ganzhou/acme", "city/ganzhou"
DRAFT = HoldDraft("k-1", "ganzhou", "lease-7", 100, (Source(VOUCHER, 300_000), Source(ACME), Source(CITY)), WINDOW)


def funds(**available: int) -> dict[str, Funds]:
    names = {"voucher": VOUCHER, "acme": ACME, "city": CITY}
    return {names[k]: Funds(account_name("account", names[k]), v) for k, v in available.items()}


def hold(*parts: Part, state: HoldState = HoldState.OPEN) -> Hold:
    return Hold(HoldId(1), "ganzhou", "lease-7", state, WINDOW, parts)


def a_capture(micro_yuan: int, **changes: Any) -> Capture:
    return replace(Capture("c-1", HoldId(1), "owner/longdong", micro_yuan), **changes)


@pytest.mark.parametrize(
    ("there", "given"),
    [
        ({"voucher": 1000, "acme": 1000, "city": 1000}, {VOUCHER: 30, ACME: 70}),
        ({"voucher": 1000, "acme": 50, "city": 1000}, {VOUCHER: 30, ACME: 50, CITY: 20}),
        ({"voucher": 10, "acme": 0, "city": 90}, {VOUCHER: 10, CITY: 90}),
        ({"voucher": 0, "acme": 0, "city": 100}, {CITY: 100}),
    ],
)
def test_a_voucher_pays_its_ratio_then_the_enterprise_then_the_city(
    there: dict[str, int], given: dict[str, int]
) -> None:
    parts = planned_parts(DRAFT, funds(**there), T0)

    assert {p.account: p.held for p in parts} == given


def test_a_ratio_is_rounded_down_and_the_next_account_has_the_rest() -> None:
    parts = planned_parts(replace(DRAFT, micro_yuan=3), funds(voucher=9, acme=9, city=9), T0)

    assert {p.account: p.held for p in parts} == {ACME: 3}  # 0.9 of the voucher


def test_what_they_do_not_have_together_is_not_held() -> None:
    with pytest.raises(InsufficientCredit) as refused:
        planned_parts(DRAFT, funds(voucher=1000, acme=0, city=69), T0)

    assert refused.value.metadata["usable_micro_yuan"] == "99"
    with pytest.raises(AccountNotFound, match=CITY):
        planned_parts(DRAFT, funds(voucher=1000, acme=0), T0)


def test_a_closed_account_gives_nothing_and_who_stands_behind_it_pays() -> None:
    """Only when all are closed is that the reason: there is nobody who could put anything in."""
    there = funds(voucher=99, acme=9, city=99)

    def closed(*names: str) -> dict[str, Funds]:
        return {n: replace(f, closed=n in names) for n, f in there.items()}

    assert [p.account for p in planned_parts(DRAFT, closed(ACME), T0)] == [VOUCHER, CITY]
    without = planned_parts(DRAFT, closed(VOUCHER), T0)
    assert [p.account for p in without] == [ACME, CITY]
    assert sum(p.held for p in without) == DRAFT.micro_yuan
    with pytest.raises(InsufficientCredit) as refused:
        planned_parts(DRAFT, closed(VOUCHER, CITY), T0)
    assert refused.value.metadata["accounts"] == ACME
    with pytest.raises(AccountClosed, match=VOUCHER):
        planned_parts(DRAFT, closed(VOUCHER, ACME, CITY), T0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"micro_yuan": 0}, "micro_yuan"),
        ({"micro_yuan": 10**17 + 1}, "micro_yuan"),
        ({"request_key": ""}, "request_key"),
        ({"reference": "\x00"}, "reference"),
        ({"settles_until": datetime(2027, 1, 1)}, "settles_until"),  # noqa: DTZ001
        ({"sources": ()}, "sources"),
        ({"sources": tuple(Source(f"voucher/ganzhou/{n}") for n in range(9))}, "sources"),
        ({"sources": (Source("owner/longdong"),)}, "sources[0].account"),
        ({"sources": (Source("nonsense"),)}, "sources[0].account"),
        ({"sources": (Source("city/nanjing"),)}, "sources[0].account"),
        ({"sources": (Source(CITY), Source(ACME))}, "sources[1].account"),
        ({"sources": (Source(VOUCHER), Source(VOUCHER))}, "sources[1].account"),
        ({"sources": (Source(VOUCHER, 0),)}, "sources[0].ratio_ppm"),
        ({"sources": (Source(VOUCHER, 1_000_001),)}, "sources[0].ratio_ppm"),
        ({"sources": (Source(CITY, 500_000),)}, "sources[0].ratio_ppm"),
    ],
)
def test_a_hold_that_cannot_be_meant_is_told_by_field(changes: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_draft(replace(DRAFT, **changes))

    assert [problem.field for problem in refused.value.fields] == [field]


def test_a_hold_whose_window_is_over_is_not_placed() -> None:
    with pytest.raises(InvalidRequest, match="settles_until"):
        planned_parts(DRAFT, funds(voucher=1000, acme=1000, city=1000), WINDOW)


def test_a_hold_as_it_should_be_passes() -> None:
    check_draft(DRAFT)


def test_holds_on_one_voucher_are_decided_one_by_one() -> None:
    """The third does not fit any more, the fourth does."""
    drafts = [
        HoldDraft(f"k-{n}", "ganzhou", "lease-1", micro_yuan, (Source(VOUCHER),), WINDOW)
        for n, micro_yuan in enumerate((40, 50, 20, 10))
    ]

    outcomes = decide(drafts, funds(voucher=100), T0)

    assert [isinstance(o, BrokerError) for o in outcomes] == [False, False, True, False]


def test_many_small_captures_end_as_one_large_one() -> None:
    parts = (Part(VOUCHER, 30), Part(ACME, 50), Part(CITY, 20))
    once, _ = captured(hold(*parts), a_capture(77), T0)
    often = hold(*parts)
    for _ in range(77):
        often, _ = captured(often, a_capture(1), T0)

    assert often == once
    assert [p.captured for p in once.parts] == [23, 50, 4]


def test_a_capture_pays_the_owner_the_fee_and_the_platforms_loss() -> None:
    found, paid = captured(
        hold(Part(VOUCHER, 30), Part(ACME, 70)), a_capture(120, fee_ppm=15_000, excess_to_loss=True), T0
    )

    assert found.state is HoldState.CAPTURED
    assert [(p.account, p.micro_yuan, p.pocket) for p in paid.postings] == [
        (VOUCHER, -30, Pocket.HELD),
        (ACME, -70, Pocket.HELD),
        ("platform_loss", -20, Pocket.AVAILABLE),
        ("owner/longdong", 119, Pocket.AVAILABLE),  # the fee of 1.8 is rounded down
        ("fee", 1, Pocket.AVAILABLE),
    ]


@pytest.mark.parametrize(
    ("state", "at", "micro_yuan", "error"),
    [
        (HoldState.OPEN, T0, 101, CaptureBeyondHold),
        (HoldState.OPEN, WINDOW + timedelta(microseconds=1), 1, SettlementOver),
        (HoldState.RELEASED, T0, 1, HoldEnded),
        (HoldState.EXPIRED, T0, 1, HoldEnded),
        (HoldState.CAPTURED, T0, 1, HoldEnded),
    ],
)
def test_what_a_hold_does_not_cover_is_refused_or_the_platforms_loss_never_the_citys(
    state: HoldState, at: datetime, micro_yuan: int, error: type[BrokerError]
) -> None:
    used = {HoldState.OPEN: (0, 0), HoldState.CAPTURED: (100, 0)}.get(state, (0, 100))
    before = hold(Part(CITY, 100, *used), state=state)

    with pytest.raises(error):
        captured(before, a_capture(micro_yuan), at)
    found, paid = captured(before, a_capture(micro_yuan, excess_to_loss=True), at)

    covered = 100 if error is CaptureBeyondHold else 0
    assert found.captured == used[0] + covered
    assert sum(p.micro_yuan for p in paid.postings if p.account == "platform_loss") == covered - micro_yuan


def test_a_capture_counts_up_to_the_end_of_the_window() -> None:
    found, _ = captured(hold(Part(CITY, 100)), a_capture(60), WINDOW)

    assert (found.state, found.open) == (HoldState.OPEN, 40)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"micro_yuan": 0}, "micro_yuan"),
        ({"micro_yuan": -1}, "micro_yuan"),
        ({"micro_yuan": 2**63}, "micro_yuan"),
        ({"owner": "city/ganzhou"}, "owner"),
        ({"owner": "x"}, "owner"),
        ({"fee_ppm": -1}, "fee_ppm"),
        ({"fee_ppm": 1_000_001}, "fee_ppm"),
        ({"request_key": ""}, "request_key"),
    ],
)
def test_a_capture_that_cannot_be_meant_is_told_by_field(changes: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        captured(hold(Part(CITY, 100)), replace(a_capture(1), **changes), T0)

    assert [problem.field for problem in refused.value.fields] == [field]


def test_a_release_gives_back_what_is_open_once() -> None:
    before = hold(Part(VOUCHER, 30, 10), Part(CITY, 70, 70))

    found, given_back = released(before, "r-1", T0)

    assert (found.state, found.open) == (HoldState.RELEASED, 0)
    assert [(p.account, p.micro_yuan, p.pocket) for p in given_back.postings] == [
        (VOUCHER, -20, Pocket.HELD),
        (VOUCHER, 20, Pocket.AVAILABLE),
    ]
    with pytest.raises(HoldEnded):
        released(found, "r-2", T0)


def test_a_hold_expires_after_its_window_and_not_before() -> None:
    with pytest.raises(HoldStillSettles):
        released(hold(Part(CITY, 100)), "e-1", WINDOW, expire=True)

    found, _ = released(hold(Part(CITY, 100)), "e-1", WINDOW + timedelta(seconds=1), expire=True)

    assert found.state is HoldState.EXPIRED


PARTS = st.lists(st.integers(1, 1000), min_size=1, max_size=5).flatmap(
    lambda held: st.integers(0, len(held)).map(
        lambda vouchers: tuple(
            Part(f"voucher/ganzhou/{i}" if i < vouchers else f"enterprise/ganzhou/e{i}", h) for i, h in enumerate(held)
        )
    )
)


@given(parts=PARTS, data=st.data())
def test_no_part_pays_less_when_more_is_captured_nor_beyond_itself(
    parts: tuple[Part, ...], data: st.DataObject
) -> None:
    whole = sum(p.held for p in parts)
    more = data.draw(st.integers(0, whole))
    less = data.draw(st.integers(0, more))

    some, most = apportioned(less, parts), apportioned(more, parts)

    assert sum(some) == less
    assert sum(most) == more
    assert all(0 <= a <= b <= p.held for a, b, p in zip(some, most, parts, strict=True))
    assert apportioned(whole, parts) == [p.held for p in parts]


@given(
    micro_yuan=st.integers(1, 10**17),
    ratio=st.integers(1, 1_000_000),
    there=st.tuples(*[st.integers(0, 10**17)] * 3),
    steps=st.lists(st.tuples(st.integers(1, 10**17), st.integers(0, 1_000_000), st.integers(0, 200_000)), max_size=6),
    end=st.sampled_from(["release", "expire", "nothing"]),
)
def test_money_is_neither_made_nor_lost(
    micro_yuan: int, ratio: int, there: tuple[int, int, int], steps: list[tuple[int, int, int]], end: str
) -> None:
    """Through a whole life of a hold: what the accounts lose is what owner and fee get and the loss does not pay."""
    balances = funds(voucher=there[0], acme=there[1], city=there[2])
    draft = replace(DRAFT, micro_yuan=micro_yuan, sources=(Source(VOUCHER, ratio), Source(ACME), Source(CITY)))
    try:
        parts = planned_parts(draft, balances, T0)
    except InsufficientCredit:
        assert there[1] + there[2] + min(there[0], micro_yuan * ratio // 1_000_000) < micro_yuan
        return
    posted = list(hold_transaction(draft, parts, T0).postings)
    now = hold(*parts)
    for wanted, fee, seconds in steps:
        now, paid = captured(now, a_capture(wanted, fee_ppm=fee, excess_to_loss=True), T0 + timedelta(seconds=seconds))
        posted += paid.postings
        assert all(p.held == p.captured + p.released + p.open and p.open >= 0 for p in now.parts)
    if end != "nothing" and now.state is HoldState.OPEN:
        now, freed = released(now, "r", WINDOW + timedelta(days=1), expire=end == "expire")
        posted += freed.postings
        assert now.open == 0

    left = {**balances, **after(balances, posted)}

    assert sum(p.micro_yuan for p in posted) == 0
    assert sum(f.held for f in left.values()) == now.open
    assert sum(f.available for f in left.values()) == sum(there) - now.captured - now.open
    assert -sum(p.micro_yuan for p in posted if p.account == "platform_loss") == sum(s[0] for s in steps) - now.captured
