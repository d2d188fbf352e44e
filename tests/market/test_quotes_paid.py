"""A quoted job of a city that pays in advance: its voucher pays its part, and the lease is charged from that hold."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from broker.audit import ledger as audit_of_books
from broker.audit import usage as audit_of_usage
from broker.audit.main import gather
from broker.errors import VoucherRefused
from broker.job import WorkloadClass
from broker.ledger.holds import Hold, HoldState
from broker.loops.charging import ChargingLoop
from broker.market.charging import Charging, ChargingTerms
from broker.market.voucher_office import GrantDraft
from broker.store import holds
from broker.store.database import Database
from broker.store.quotes import Quote
from broker.vouchers.states import StoryEvent
from tests.cluster_world import ClusterWorld, inventory
from tests.conftest import Dsns
from tests.quoting import ASK, RATES, Quoting, broken
from tests.small_world import GANZHOU, T0
from tests.voucher_world import ACME, LI, OF_ACME, OFFICE, PROGRAMME, VoucherWorld

TOTAL = ASK * 8 // 6
"""Of eight cards for ten minutes."""
SHARE_PPM = 300_000
"""What the programme pays of work on domestic cards."""
MONEY = 10 * TOTAL
WORK = {"enterprise": "acme", "workload_class": WorkloadClass.TRAINING}


class Paid(Quoting):
    """A table at which Ganzhou pays in advance, and its enterprise has a voucher."""

    voucher: str

    async def grant(self, dsns: Dsns) -> "Paid":
        self.dsns = dsns
        await self.prepaid(MONEY)
        world = VoucherWorld(self.world.database, dsns)
        await world.office.set_programmes(OFFICE, PROGRAMME.replace("{days: 100", "{days: 365"), LI, now=T0)
        await world.office.set_enterprise(OFFICE, ACME, LI, now=T0)
        found, _ = await world.vouchers.apply(GANZHOU, replace(OF_ACME, provider="owner"), now=T0)
        await world.office.review(OFFICE, found.application, StoryEvent.REVIEW_BEGUN, LI, "", now=T0)
        granted = await world.office.grant(OFFICE, GrantDraft(found.application), LI, now=T0)
        self.voucher, self.account = granted.voucher, f"voucher/ganzhou/{granted.voucher}"
        self.granted = (await self.money(self.account))[0]
        return self

    async def hold(self, quote: Quote) -> Hold:
        assert quote.hold is not None
        async with self.world.database.hub() as tx:
            [found] = await holds.read(tx, [quote.hold])
        return found

    async def charge(self) -> None:
        await ChargingLoop(
            Charging(self.world.database, ChargingTerms(fee_ppm=100_000, batch_leases=10), released=lambda: None)
        ).run_once(self.world.now)

    async def findings(self) -> list[str]:
        facts = await gather(self.dsns.hub, self.dsns.city, {})
        return [told for rule in (*audit_of_books.RULES, *audit_of_usage.RULES) for told in rule(facts)]


@pytest.fixture
async def table(database: Database, dsns: Dsns) -> AsyncIterator[Paid]:
    """Whatever happened, the audits of promises, quotes, books and use find nothing in the end."""
    there = Paid(await ClusterWorld(database).lay())
    await there.open()
    yield await there.grant(dsns)
    assert await broken(dsns) == []
    assert await there.findings() == []


async def test_a_voucher_pays_its_ratio_of_a_quote_and_its_city_the_rest(table: Paid) -> None:
    """The whole price is held in one hold, named after the quote."""
    quote = await table.booked(vouchers=(table.voucher,), **WORK)

    hold = await table.hold(quote)
    part = TOTAL * SHARE_PPM // 10**6
    assert (hold.reference, hold.held) == (f"quote-{quote.quote}", TOTAL)
    assert [(each.account, each.held) for each in hold.parts] == [
        (table.account, part),
        ("city/ganzhou", TOTAL - part),
    ]
    assert await table.money(table.account) == (table.granted - part, part)
    assert await table.money() == (MONEY - (TOTAL - part), TOTAL - part)


@pytest.mark.parametrize(
    "work",
    [{"enterprise": "acme", "workload_class": WorkloadClass.SPEECH}, {"workload_class": WorkloadClass.TRAINING}],
)
async def test_a_voucher_that_may_not_pay_for_the_work_is_named_when_it_is_asked_for(
    table: Paid, work: dict[str, Any]
) -> None:
    """Another class of work, or nobody whose voucher it is: no quote, and nothing is held."""
    before = await table.counts()

    with pytest.raises(VoucherRefused, match=table.voucher):
        await table.ask(vouchers=(table.voucher,), **work)

    assert await table.counts() == before


async def test_the_lease_of_a_quoted_job_is_charged_from_the_hold_of_the_quote(table: Paid) -> None:
    """For what ran, each payer by its part; the rest goes back, and no second hold was made."""
    quote = await table.booked(vouchers=(table.voucher,), **WORK)
    assert quote.job is not None
    assert (await table.round()).placed == 1
    assert await table.world.row("SELECT hold_id FROM leases") == (quote.hold,)
    table.world.advance(1)
    await table.runs(quote.job)
    table.world.advance(90)
    await table.ends(quote.job)

    await table.charge()

    cost = ASK * 8 * 90 // 3600
    part = cost * SHARE_PPM // 10**6
    assert await table.money(table.account) == (table.granted - part, 0)
    assert await table.money() == (MONEY - (cost - part), 0)
    assert await table.money("owner/owner") == (cost - cost // 10, 0)
    assert await table.world.row("SELECT count(*) FROM ledger_holds") == (1,)
    assert await table.world.row("SELECT state FROM ledger_holds") == ("released",)


async def test_a_voucher_does_not_pay_a_related_party_where_a_broken_promise_leads(table: Paid) -> None:
    """What the quote holds is given back, and what is held for the lease comes from whoever may pay there."""
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE clusters SET owner = 'kin' WHERE cluster = 'west'")
        await tx.execute(RATES.replace("'east'", "'west'"), [ASK] * 24)
    office = VoucherWorld(table.world.database, table.dsns).office
    await office.set_enterprise(OFFICE, replace(ACME, related_owners=("kin",)), LI, now=T0)
    quote = await table.booked(vouchers=(table.voucher,), **WORK)
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned'")
    await table.world.attach("west", "one", inventory("w1"))
    for _ in range(2):
        await table.round()

    lease = await table.world.row("SELECT cluster, hold_id FROM leases")

    assert lease["cluster"] == "west"
    assert lease["hold_id"] != quote.hold
    assert (await table.hold(quote)).state is HoldState.RELEASED
    assert await table.money(table.account) == (table.granted, 0)
    assert await table.money() == (MONEY - TOTAL, TOTAL)


async def test_the_grace_is_held_for_as_well(table: Paid) -> None:
    """What a job runs of it is charged, and a city that asks for much grace does not have it from the platform."""
    quote = await table.booked(grace_seconds=3600)
    assert quote.job is not None
    assert (await table.hold(quote)).held == ASK * 8 * 4200 // 3600
    await table.round()
    table.world.advance(1)
    await table.runs(quote.job)
    table.world.advance(4200)
    await table.ends(quote.job)

    await table.charge()

    assert await table.world.row("SELECT hold_id FROM leases") == (quote.hold,)
    assert await table.money() == (MONEY - ASK * 8 * 4200 // 3600, 0)
    assert await table.money("platform_loss") == (0, 0)


async def test_a_voucher_that_is_suspended_between_quote_and_acceptance_is_named_and_nothing_is_held(
    table: Paid,
) -> None:
    """The city would pay three times as much as it was told: it is asked first."""
    [quote, *_] = await table.ask(vouchers=(table.voucher,), **WORK)
    vouchers = VoucherWorld(table.world.database, table.dsns).vouchers
    await vouchers.change(OFFICE, table.voucher, StoryEvent.SUSPENDED, LI, "random check", now=table.world.now)
    before = await table.counts()

    with pytest.raises(VoucherRefused, match="VOUCHER_SUSPENDED"):
        await table.accept(quote)

    assert await table.counts() == before
    assert await table.money() == (MONEY, 0)
