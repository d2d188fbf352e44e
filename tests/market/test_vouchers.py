"""Vouchers over a real database: from application to redemption; every step told, no budget exceeded."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from broker.errors import (
    ApplicationConflict,
    ApplicationNotFound,
    BrokerError,
    BudgetLowered,
    ContractClaimed,
    EnterpriseNotFound,
    EnterpriseSplit,
    GrantBeyondCap,
    HubNotFound,
    InsufficientCredit,
    InvalidRequest,
    OwnerNotFound,
    ProgrammeNotFound,
    RelatedParty,
    RoleRefused,
    VoucherNotFound,
    VoucherStepRefused,
)
from broker.ids import HoldId
from broker.loops.vouchers import VoucherCare
from broker.market.voucher_office import GrantDraft
from broker.store.database import Database
from broker.vouchers.paying import Refusal, Refused
from broker.vouchers.programme import ClaimSide
from broker.vouchers.states import StoryEvent, VoucherState
from tests.conftest import Dsns
from tests.small_world import GANZHOU, NANJING, OBSERVER, T0
from tests.voucher_world import ACME, AUDITOR, BUDGET, LI, OF_ACME, OFFICE, PROGRAMME, SISTER, VoucherWorld, open_office


@pytest.fixture
async def world(database: Database, dsns: Dsns) -> VoucherWorld:
    return await open_office(database, dsns)


async def held(world: VoucherWorld, voucher: str, micro_yuan: int, *, days: int = 0) -> HoldId:
    hold = await world.hold(voucher, micro_yuan, days=days)
    assert not isinstance(hold, Refused), hold
    return hold


async def test_a_voucher_lives_from_application_to_redemption_and_every_step_is_told(world: VoucherWorld) -> None:
    made = await world.granted()
    hold = await held(world, made.voucher, 1500)
    await world.capture(hold, 900)
    care = VoucherCare(world.vouchers)
    await care.run_once(T0 + timedelta(days=100))
    after = await world.balances()
    await world.ledger.release(hold, "r-1", now=T0 + timedelta(days=101))
    await care.run_once(T0 + timedelta(days=101))
    closed = await world.vouchers.change(
        OFFICE, made.voucher, StoryEvent.REDEEMED, LI, "evidence 7", now=T0 + timedelta(days=102)
    )

    assert (after[BUDGET], after["voucher/ganzhou/" + made.voucher]) == ((8500, 0), (0, 600))
    assert (await world.balances())[BUDGET] == (9100, 0)
    assert closed.terms.state is VoucherState.REDEEMED
    assert await world.story(voucher=made.voucher) == [
        "applied", "review_begun", "granted", "expired", "returned", "returned", "redeemed",
    ]  # fmt: skip
    assert await world.findings() == []


async def test_papers_that_are_missing_limit_a_voucher_and_the_last_one_makes_it_whole(world: VoucherWorld) -> None:
    made = await world.granted(papers=("contract",))
    async with world.database.hub() as tx:
        before = await tx.fetchval("SELECT papers_due FROM vouchers")
    await held(world, made.voucher, 1000)
    limit = await world.hold(made.voucher, 1)
    row = await world.vouchers.deliver_papers(OFFICE, made.voucher, ["invoice"], LI, "", now=T0)

    assert (made.at_once_micro_yuan, made.missing, before) == (1000, ("invoice",), T0 + timedelta(days=30))
    assert isinstance(limit, Refused)
    assert limit.reason is Refusal.CONDITIONAL_LIMIT
    assert (row.terms.state, row.terms.available_micro_yuan, row.rest_micro_yuan) == (VoucherState.ACTIVE, 3000, 0)
    await held(world, made.voucher, 3000)
    assert await world.findings() == []


async def test_overdue_papers_suspend_new_holds_and_what_is_held_stays_capturable(world: VoucherWorld) -> None:
    """The loop may be late: payment judges by the clock."""
    made = await world.granted(papers=("contract",))
    hold = await held(world, made.voucher, 400, days=29)

    by_clock = await world.hold(made.voucher, 5, days=30)
    await VoucherCare(world.vouchers).run_once(T0 + timedelta(days=30))
    by_state = await world.hold(made.voucher, 5, days=31)
    await world.capture(hold, 400, days=31)
    row = await world.vouchers.deliver_papers(
        OFFICE, made.voucher, ["invoice"], LI, "late", now=T0 + timedelta(days=32)
    )

    assert [r.reason for r in (by_clock, by_state) if isinstance(r, Refused)] == [Refusal.SUSPENDED] * 2
    assert row.terms.state is VoucherState.ACTIVE
    assert (await world.balances())["owner/longdong"] == (400, 0)
    assert (await world.story(voucher=made.voucher))[-2:] == ["papers_overdue", "papers_complete"]


async def test_what_an_officer_suspended_papers_do_not_resume(world: VoucherWorld) -> None:
    made = await world.granted(papers=("contract",))
    await world.vouchers.change(OFFICE, made.voucher, StoryEvent.SUSPENDED, LI, "inspection", now=T0)
    with pytest.raises(VoucherStepRefused, match="must be delivered first"):
        await world.vouchers.change(OFFICE, made.voucher, StoryEvent.RESUMED, LI, "", now=T0)
    row = await world.vouchers.deliver_papers(OFFICE, made.voucher, ["invoice"], LI, "", now=T0)
    resumed = await world.vouchers.change(OFFICE, made.voucher, StoryEvent.RESUMED, LI, "", now=T0)

    assert (row.terms.state, row.suspended_by_officer) == (VoucherState.SUSPENDED, True)
    assert (resumed.terms.state, resumed.terms.available_micro_yuan) == (VoucherState.ACTIVE, 4000)


async def test_what_is_used_up_is_told_and_a_step_out_of_turn_refused(world: VoucherWorld) -> None:
    made = await world.granted()
    await world.capture(await held(world, made.voucher, 4000), 4000)
    await VoucherCare(world.vouchers).run_once(T0)

    assert (await world.voucher(made.voucher)).terms.state is VoucherState.USED_UP
    assert await VoucherCare(world.vouchers).run_once(T0) == 0
    for event in (StoryEvent.SUSPENDED, StoryEvent.GRANTED, StoryEvent.PAPERS_COMPLETE):
        with pytest.raises(VoucherStepRefused):
            await world.vouchers.change(OFFICE, made.voucher, event, LI, "", now=T0)
    with pytest.raises(InvalidRequest, match="papers"):
        await world.vouchers.deliver_papers(OFFICE, made.voucher, ["invoice"], LI, "", now=T0)


async def test_a_contract_is_claimed_once_whoever_claims_it(world: VoucherWorld) -> None:
    first = await world.applied()
    for draft in (
        replace(OF_ACME, request_key="b", contract="c 1"),
        replace(OF_ACME, request_key="c", side=ClaimSide.SUPPLY, micro_yuan=1),
    ):
        with pytest.raises(ContractClaimed):
            await world.vouchers.apply(GANZHOU, draft, now=T0)
    await world.office.review(OFFICE, first, StoryEvent.REFUSED, LI, "no plant", now=T0)

    again, duplicate = await world.vouchers.apply(GANZHOU, replace(OF_ACME, request_key="d"), now=T0)

    assert (again.application > first, duplicate) == (True, False)
    assert await world.story(application=first) == ["applied", "review_begun", "refused"]


async def test_the_same_application_again_is_answered_the_same_and_another_with_its_key_refused(
    world: VoucherWorld,
) -> None:
    first, new = await world.vouchers.apply(GANZHOU, OF_ACME, now=T0)
    again, duplicate = await world.vouchers.apply(GANZHOU, OF_ACME, now=T0 + timedelta(days=1))
    with pytest.raises(ApplicationConflict):
        await world.vouchers.apply(GANZHOU, replace(OF_ACME, contract="C-2"), now=T0)

    assert (first, new, duplicate) == (again, False, True)
    withdrawn = await world.vouchers.withdraw(GANZHOU, first.application, "", now=T0)
    assert withdrawn.state == "withdrawn"


async def test_who_is_split_or_related_is_refused(world: VoucherWorld) -> None:
    for other in (replace(ACME, enterprise="acme-2", plant="plant 9"), replace(ACME, city="nanjing", registration="7")):
        with pytest.raises(EnterpriseSplit):
            await world.office.set_enterprise(OFFICE, other, LI, now=T0)
    with pytest.raises(RelatedParty):
        await world.vouchers.apply(GANZHOU, replace(OF_ACME, enterprise=SISTER.enterprise), now=T0)

    made = await world.granted()
    await world.office.set_enterprise(OFFICE, replace(ACME, related_owners=("longdong",)), LI, now=T0)
    told = await world.hold(made.voucher, 5)

    assert isinstance(told, Refused)
    assert told.reason is Refusal.RELATED_PARTY
    assert await world.story(enterprise="acme") == [
        "enterprise_set", "applied", "review_begun", "granted", "enterprise_set",
    ]  # fmt: skip


async def test_what_is_not_there_is_told(world: VoucherWorld) -> None:
    for change, error in (
        ({"programme": "x"}, ProgrammeNotFound),
        ({"enterprise": "x"}, EnterpriseNotFound),
        ({"provider": "x"}, OwnerNotFound),
    ):
        with pytest.raises(error):
            await world.vouchers.apply(GANZHOU, replace(OF_ACME, **change), now=T0)
    with pytest.raises(VoucherNotFound):
        await world.vouchers.change(OFFICE, "x-1", StoryEvent.SUSPENDED, LI, "", now=T0)
    with pytest.raises(ApplicationNotFound):
        await world.office.grant(OFFICE, GrantDraft(99), LI, now=T0)
    with pytest.raises(HubNotFound):
        await world.office.set_programmes(OFFICE, "bundled:hangzhou", LI, now=T0)


async def test_a_grant_beyond_cap_or_budget_posts_nothing(world: VoucherWorld) -> None:
    await world.granted()
    second = await world.applied(request_key="b", contract="C-2", micro_yuan=2001)
    before = await world.balances()

    with pytest.raises(GrantBeyondCap, match="leaves, 2000"):
        await world.office.grant(OFFICE, GrantDraft(second), LI, now=T0)
    tried = await world.office.grant(OFFICE, GrantDraft(second, 2000), LI, now=T0, dry_run=True)
    assert await world.balances() == before
    assert (tried.micro_yuan, tried.budget_left_micro_yuan) == (2000, 4000)

    no_cap = PROGRAMME.replace("    enterprise_year_cap: {micro_yuan: 6000, source: rules}\n", "")
    await world.office.set_programmes(OFFICE, no_cap, LI, now=T0)
    for dry_run in (True, False):
        with pytest.raises(InsufficientCredit):
            await world.office.grant(OFFICE, GrantDraft(second, 6001), LI, now=T0, dry_run=dry_run)
    assert await world.balances() == before


async def test_a_budget_grows_and_never_shrinks_and_the_same_again_changes_nothing(world: VoucherWorld) -> None:
    more, less = (PROGRAMME.replace("10000", text) for text in ("15000", "9999"))

    assert await world.office.set_programmes(OFFICE, PROGRAMME, LI, now=T0) == []
    [tried] = await world.office.set_programmes(OFFICE, more, LI, now=T0, dry_run=True)
    assert (await world.balances())[BUDGET] == (10_000, 0)
    [line] = await world.office.set_programmes(OFFICE, more, LI, now=T0)
    with pytest.raises(BudgetLowered):
        await world.office.set_programmes(OFFICE, less, LI, now=T0)

    assert line == tried == f"programme qy-2026 changed, 5000 micro-yuan paid into {BUDGET}"
    assert (await world.balances())[BUDGET] == (15_000, 0)


async def test_fifty_grants_at_once_never_exceed_the_budget(world: VoucherWorld) -> None:
    no_cap = PROGRAMME.replace("    enterprise_year_cap: {micro_yuan: 6000, source: rules}\n", "")
    await world.office.set_programmes(OFFICE, no_cap, LI, now=T0)
    numbers = [await world.applied(request_key=f"k{n}", contract=f"C-{n}", micro_yuan=300) for n in range(50)]

    async def granted(number: int) -> bool:
        try:
            await world.office.grant(OFFICE, GrantDraft(number), LI, now=T0)
        except InsufficientCredit:
            return False
        return True

    made = await asyncio.gather(*map(granted, numbers))

    assert sum(made) == 33
    assert (await world.balances())[BUDGET] == (100, 0)
    assert await world.findings() == []


async def test_each_sees_his_own(world: VoucherWorld) -> None:
    made = await world.granted()

    assert [v.terms.voucher for v in await world.vouchers.page(GANZHOU, "", "", "", "", 9)] == [made.voucher]
    assert await world.vouchers.page(NANJING, "", "", "", "", 9) == []
    assert await world.vouchers.applications(NANJING, "", "", None, 0, 9) == []
    assert await world.vouchers.enterprises(NANJING, "", ("", ""), 9) == []
    assert len(await world.vouchers.page(AUDITOR, "", "", "", "", 9)) == 1
    assert [p.left_micro_yuan for p in await world.vouchers.programmes(GANZHOU)] == [0]
    assert [p.left_micro_yuan for p in await world.vouchers.programmes(AUDITOR)] == [6000]
    refused: list[BrokerError] = []
    for call in (
        world.vouchers.programmes(OBSERVER),
        world.vouchers.apply(NANJING, OF_ACME, now=T0),
        world.vouchers.apply(OFFICE, OF_ACME, now=T0),
        world.vouchers.forecast(GANZHOU, "qy-2026", now=T0),
    ):
        with pytest.raises(RoleRefused) as told:
            await call
        refused.append(told.value)
    assert len(refused) == 4


async def test_a_forecast_counts_grants_and_captures_by_day(world: VoucherWorld) -> None:
    made = await world.granted()
    await world.capture(await held(world, made.voucher, 1000), 500)

    seen = await world.vouchers.forecast(AUDITOR, "qy-2026", now=T0 + timedelta(days=1))

    assert (seen.budget.left_micro_yuan, seen.budget.micro_yuan_per_day, seen.budget.days_seen) == (6000, 2000, 2)
    assert (seen.granted.left_micro_yuan, seen.granted.micro_yuan_per_day) == (3500, 250)
    assert str(seen.budget.runs_out) == "2026-03-05"


async def test_the_story_cannot_be_changed(world: VoucherWorld, dsns: Dsns) -> None:
    owner = await asyncpg.connect(dsns.owner)
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute("UPDATE voucher_story SET officer = 'x'")
    await owner.close()
