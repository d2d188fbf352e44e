"""Pure rules of vouchers: states, payment, applications, burn-down."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.errors import GrantBeyondCap, InvalidRequest, RelatedParty
from broker.ledger.holds import Source
from broker.vouchers.applying import ApplicationDraft, Enterprise, check_application, plain, terms
from broker.vouchers.burn import WINDOW_DAYS, burn
from broker.vouchers.paying import Refusal, Refused, Work, paying
from broker.vouchers.programme import ApplicantType, ClaimSide, Programme, bundled, load_programmes
from broker.vouchers.states import APPLICATION, PAYING, VOUCHER, ApplicationState, StoryEvent, VoucherState
from tests.voucher_world import VOUCHER_OF_ACME

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
QINGYANG = load_programmes(bundled("qingyang")).programmes[0]
HANGZHOU = load_programmes(bundled("hangzhou")).programmes[0]
ACME = Enterprise("ganzhou", "acme", "Acme", "91-1", "plant 1", ApplicantType.COMPANY, ("sister",))
DRAFT = ApplicationDraft(
    "k", "ganzhou", "acme", "qingyang-2026", ClaimSide.DEMAND, "longdong", "C-1", 10**12, 2_500_000, ("training",)
)
WORK = Work("ganzhou", "acme", "training", domestic=True, owner="longdong", hub="qingyang")


def test_every_state_can_be_reached_and_final_ones_are_left_by_nothing() -> None:
    assert {s for s, _ in APPLICATION} == {ApplicationState.SUBMITTED, ApplicationState.IN_REVIEW}
    assert set(APPLICATION.values()) | {ApplicationState.SUBMITTED} == set(ApplicationState)
    assert set(VOUCHER.values()) == set(VoucherState)
    assert {s for s, _ in VOUCHER} == set(VoucherState) - {VoucherState.REDEEMED}


def test_a_voucher_pays_its_ratio_by_the_origin_of_the_cards() -> None:
    account = "voucher/ganzhou/qingyang-2026-1"

    assert paying(VOUCHER_OF_ACME, WORK, NOW) == Source(account, 300_000)
    assert paying(VOUCHER_OF_ACME, replace(WORK, domestic=False), NOW) == Source(account, 200_000)


@pytest.mark.parametrize(
    ("voucher", "work", "reason"),
    [
        ({}, {"city": "nanjing"}, Refusal.FOREIGN_CITY),
        ({}, {"enterprise": "other"}, Refusal.OTHER_ENTERPRISE),
        ({}, {"enterprise": ""}, Refusal.OTHER_ENTERPRISE),
        ({}, {"hub": "guian"}, Refusal.OTHER_HUB),
        ({"valid_until": NOW}, {}, Refusal.EXPIRED),
        ({"state": VoucherState.EXPIRED}, {}, Refusal.EXPIRED),
        ({"state": VoucherState.SUSPENDED}, {}, Refusal.SUSPENDED),
        ({"state": VoucherState.CONDITIONAL, "papers_due": NOW}, {}, Refusal.SUSPENDED),
        ({"state": VoucherState.USED_UP}, {}, Refusal.ENDED),
        ({"state": VoucherState.REDEEMED}, {}, Refusal.ENDED),
        ({}, {"workload_class": "inference"}, Refusal.WORKLOAD_CLASS),
        ({}, {"owner": "sister"}, Refusal.RELATED_PARTY),
        ({"scale_milli_pflops": 2_499_999}, {}, Refusal.BELOW_MINIMUM_SCALE),
        (
            {"state": VoucherState.CONDITIONAL, "papers_due": NOW + timedelta(1), "available_micro_yuan": 0},
            {},
            Refusal.CONDITIONAL_LIMIT,
        ),
    ],
)
def test_what_a_voucher_does_not_pay_is_refused_with_its_reason(
    voucher: dict[str, Any], work: dict[str, Any], reason: Refusal
) -> None:
    told = paying(replace(VOUCHER_OF_ACME, **voucher), replace(WORK, **work), NOW)

    assert isinstance(told, Refused)
    assert (told.reason, told.voucher) == (reason, "qingyang-2026-1")
    assert told.sentence


def test_a_voucher_that_is_not_there_is_named() -> None:
    told = paying(None, WORK, NOW, named="x-1")

    assert isinstance(told, Refused)
    assert told.reason is Refusal.NOT_FOUND
    assert "x-1" in told.sentence


@given(
    state=st.sampled_from(VoucherState),
    due=st.none() | st.integers(-2, 2),
    valid=st.integers(-2, 2),
    seconds=st.integers(-3 * 86_400, 3 * 86_400),
)
def test_no_voucher_pays_outside_its_time_or_state(
    state: VoucherState, due: int | None, valid: int, seconds: int
) -> None:
    papers_due = None if due is None else NOW + timedelta(days=due)
    voucher = replace(VOUCHER_OF_ACME, state=state, papers_due=papers_due, valid_until=NOW + timedelta(days=valid))
    now = NOW + timedelta(seconds=seconds)

    if isinstance(paying(voucher, WORK, now), Source):
        assert state in PAYING
        assert now < voucher.valid_until
        assert papers_due is None or now < papers_due


@pytest.mark.parametrize(
    ("programme", "enterprise", "draft", "field"),
    [
        (QINGYANG, {"applicant_type": ApplicantType.UNIVERSITY}, {}, "enterprise"),
        (QINGYANG, {}, {"workload_classes": ("inference",)}, "workload_classes"),
        (QINGYANG, {}, {"workload_classes": ()}, "workload_classes"),
        (QINGYANG, {}, {"scale_milli_pflops": 2_499_999}, "scale_milli_pflops"),
        (QINGYANG, {}, {"papers": ("passport",)}, "papers"),
        (QINGYANG, {}, {"contract": "--"}, "contract"),
        (QINGYANG, {}, {"micro_yuan": 10**15}, "micro_yuan"),
        (HANGZHOU, {}, {"side": ClaimSide.SUPPLY}, "side"),
    ],
)
def test_an_application_against_a_rule_is_told_by_field(
    programme: Programme, enterprise: dict[str, Any], draft: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_application(programme, replace(ACME, **enterprise), replace(DRAFT, **draft))

    assert [p.field for p in refused.value.fields] == [field]


def test_related_parties_are_refused_before_anything_else() -> None:
    check_application(QINGYANG, ACME, DRAFT)
    with pytest.raises(RelatedParty):
        check_application(QINGYANG, ACME, replace(DRAFT, provider="sister", workload_classes=()))


def test_spacing_case_and_width_make_no_other_contract() -> None:
    assert plain("HT-2026/００１") == plain("ht 2026 001") == "ht2026001"
    assert plain("合同 7") == plain("合同-7") != plain("合同-8")


def test_a_grant_is_whole_with_all_papers_and_limited_without() -> None:
    whole = terms(QINGYANG, QINGYANG.papers.names, 5 * 10**12, 0, None, NOW)
    part = terms(QINGYANG, ("contract",), 5 * 10**12, 0, None, NOW)

    assert (whole.now_micro_yuan, whole.missing, whole.papers_due) == (5 * 10**12, (), None)
    assert (part.now_micro_yuan, part.papers_due) == (10**12, NOW + timedelta(days=60))
    assert part.missing == ("target-letter", "power-use", "proof-of-service")
    assert part.valid_until == NOW + timedelta(days=365)


def test_a_grant_beyond_a_cap_or_with_an_impossible_date_is_refused() -> None:
    with pytest.raises(GrantBeyondCap, match="1 micro-yuan is beyond"):
        terms(HANGZHOU, HANGZHOU.papers.names, 1, 8 * 10**12, None, NOW)
    with pytest.raises(InvalidRequest, match="waits for none"):
        terms(HANGZHOU, (), 1, 0, None, NOW)
    for due in (NOW, NOW + timedelta(days=61)):
        with pytest.raises(InvalidRequest, match="papers_due"):
            terms(QINGYANG, (), 1, 0, due, NOW)


def test_a_budget_runs_out_on_the_day_that_the_mean_of_the_last_weeks_says() -> None:
    today = date(2026, 3, 10)
    days = {today - timedelta(days=n): 10 for n in range(5)}

    assert burn(100, days, today).runs_out == today + timedelta(days=10)
    assert burn(101, days, today).runs_out == today + timedelta(days=11)
    assert burn(0, days, today).runs_out == today
    assert burn(5, {}, today).runs_out is None
    assert burn(5, {today + timedelta(days=1): 9}, today).runs_out is None
    old = {today - timedelta(days=100): 2800}
    assert (burn(5, old, today).runs_out, burn(5, old, today).days_seen) == (None, WINDOW_DAYS)


@given(
    left=st.integers(0, 10**17),
    days=st.dictionaries(st.integers(0, 400), st.integers(-(10**9), 10**15), max_size=20),
)
def test_a_forecast_is_never_in_the_past_and_more_money_lasts_no_shorter(left: int, days: dict[int, int]) -> None:
    today = date(2026, 12, 31)
    by_day = {today - timedelta(days=n): amount for n, amount in days.items()}

    first, more = burn(left, by_day, today), burn(left + 10**6, by_day, today)

    assert first.runs_out is None or first.runs_out >= today
    assert first.micro_yuan_per_day >= 0
    if first.runs_out is None and left:
        assert more.runs_out is None
    if first.runs_out and more.runs_out:
        assert more.runs_out >= first.runs_out


class Life(RuleBasedStateMachine):
    """A voucher that anything happens to: what is redeemed stays so, and expired money never pays again."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.expired = VoucherState.CONDITIONAL, False

    @rule(event=st.sampled_from(StoryEvent))
    def happens(self, event: StoryEvent) -> None:
        self.state = VOUCHER.get((self.state, event), self.state)
        self.expired |= self.state is VoucherState.EXPIRED

    @invariant()
    def what_has_expired_pays_for_nothing(self) -> None:
        if self.expired:
            assert self.state in (VoucherState.EXPIRED, VoucherState.REDEEMED)

    @precondition(lambda self: self.state is VoucherState.REDEEMED)
    @rule()
    def nothing_follows(self) -> None:
        assert not [event for state, event in VOUCHER if state is self.state]


TestLife = Life.TestCase
