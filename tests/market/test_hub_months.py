"""Months of hubs over real leases, books, energy and prices: every sum is that of the report it is compared with."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from broker.caller import Caller, Role
from broker.errors import HubNotFound, InvalidRequest, RoleRefused
from broker.job import WorkloadClass
from broker.ledger.transactions import Move
from broker.loops.energy import EnergyCount
from broker.market.energy_report import EnergyReports, Period, total
from broker.market.hub_months import HubMonths
from broker.market.month_reports import MonthReports
from broker.papers.hub_month import HubMonth, summed
from broker.papers.month import Month
from broker.papers.use import merged, together
from broker.store import prices
from broker.store.database import Database
from broker.store.energy_counts import SETTLED
from broker.store.prices import HOUR, BySize, HourRow
from tests.books import CITY, OWNER
from tests.charged import AFTER, MONTH, Charged, charged_books
from tests.conftest import Dsns
from tests.market.test_month_reports import ran, told
from tests.small_world import GANZHOU, OBSERVER, OPERATOR, T0, a_spec, placed, submitted

MARCH = Month.parse(MONTH)
AUDITOR = Caller("key-auditor", Role.AUDITOR)
NONE: BySize = (None,) * 6


@pytest.fixture
async def charged(database: Database, dsns: Dsns) -> Charged:
    """Two leases that were charged, one of them over six days; a third of a city that is only metered, in Gui'an."""
    made = await charged_books(database, dsns)
    await made.lease(1_000, cards=1, sector=WorkloadClass.IMAGE)
    async with database.hub() as tx:
        await tx.execute("UPDATE jobs SET walltime_seconds = 10 * 86400")
        await tx.execute(
            "INSERT INTO clusters (cluster, hub, owner, title) VALUES ('guian', 'guian', 'longdong', 'Guian')"
        )
        await tx.execute("INSERT INTO pools (cluster, pool, model) VALUES ('guian', 'h20', 'h20')")
        await tx.execute("UPDATE accelerator_models SET watts = 400, host_watts = 100")
        await tx.execute(
            "UPDATE hubs SET pue_milli = 1200, green_hours = '{17, 18}', green_share_ppm = 300000,"
            " energy_kilowatt_hours_per_year = 8760000"
        )
    [job] = await submitted(database, "nanjing-1", city="nanjing", spec=a_spec(walltime_seconds=10 * 86400))
    fourth = await placed(database, job, city="nanjing", cards=(7,))
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE leases SET cluster = 'guian', pool_id = (SELECT pool_id FROM pools WHERE cluster = 'guian')"
            " WHERE lease_id = $1", fourth,
        )  # fmt: skip
    await ran(made, 1, T0, T0 + timedelta(days=6, seconds=17))
    await ran(made, 2, T0 + timedelta(seconds=5), T0 + timedelta(hours=9))
    await told(made, 2, "{[0,200),[201,510)}", cut_seconds=20)
    await ran(made, 3, MARCH.ends_at - timedelta(minutes=90), None)
    await ran(made, fourth, MARCH.begins_at + timedelta(hours=30), MARCH.begins_at + timedelta(hours=55))
    return made


async def month(charged: Charged, hub: str = "", *, now: datetime = AFTER) -> HubMonth:
    return await HubMonths(charged.books.database).month(OPERATOR, MARCH, hub, now=now)


@pytest.mark.parametrize("now", [AFTER, T0 + timedelta(days=3, minutes=7), MARCH.ends_at])
async def test_use_and_money_are_those_of_the_report_of_use(charged: Charged, now: datetime) -> None:
    """By city and sector, day by day, by model, and by hub: the parts are the whole, to the milli-card-second."""
    use = await MonthReports(charged.books.database).use(OPERATOR, MARCH, "", now=now)

    found = await month(charged, now=now)
    parts = [await month(charged, hub, now=now) for hub in ("guian", "qingyang")]

    [whole] = merged(use.rows, together)
    assert found.use == use.rows
    assert found.total.jobs == whole.jobs
    for name in ("leases", "milli_card_seconds", "programme_micro_pflops_hours", "micro_yuan", "voucher_micro_yuan"):
        assert getattr(found.total, name) == getattr(whole, name)
        assert sum(getattr(part.total, name) for part in parts) == getattr(whole, name)
    assert found.total.borne_micro_yuan == whole.borne_micro_yuan
    by_sector = [day for day in found.days if day.workload_class]
    by_city = [day for day in found.days if day.city]
    assert len(by_sector) + len(by_city) == len(found.days)
    assert summed(by_sector, "milli_card_seconds") == summed(by_city, "milli_card_seconds") == whole.milli_card_seconds
    assert summed(found.models, "milli_card_seconds") == whole.milli_card_seconds
    assert summed(found.models, "programme_micro_pflops_hours") == whole.programme_micro_pflops_hours
    assert summed(found.money, "micro_yuan") == summed(found.models, "micro_yuan") == whole.micro_yuan
    assert summed(found.money, "voucher_micro_yuan") == whole.voucher_micro_yuan


async def test_days_are_those_of_the_programme_and_take_what_a_lease_used_in_them(charged: Charged) -> None:
    """A day of UTC+8 begins at four in the afternoon UTC of the day before."""
    found = {(d.day, d.workload_class): d.milli_card_seconds for d in (await month(charged, "guian")).days}

    assert found == {
        ("2026-03-02", "other"): 1000 * 18 * 3600,
        ("2026-03-02", ""): 1000 * 18 * 3600,
        ("2026-03-03", "other"): 1000 * 7 * 3600,
        ("2026-03-03", ""): 1000 * 7 * 3600,
    }


async def test_what_was_paid_is_what_was_earned(charged: Charged) -> None:
    """Cities and the exchange pay, owners and the exchange get: the ledger's postings of the month's captures."""
    await charged.papers.post_credit_note(OPERATOR, Move("n-1", CITY, 5, "slow", payer=OWNER), "lease-1", now=T0)

    found, elsewhere = await month(charged, "qingyang"), await month(charged, "guian")

    t = found.total
    async with charged.books.database.hub() as tx:
        ledger = dict(
            await tx.fetch(
                "SELECT kind, sum(micro_yuan)::bigint FROM (SELECT a.kind, p.micro_yuan FROM ledger_postings p"
                " JOIN ledger_accounts a USING (account_id) JOIN ledger_transactions t USING (transaction_id)"
                " WHERE t.kind = 'capture' AND t.at >= $1 AND t.at < $2) AS posted GROUP BY kind",
                MARCH.begins_at, MARCH.ends_at,
            )
        )  # fmt: skip
    assert t.micro_yuan + t.borne_micro_yuan == t.owners_micro_yuan + t.fee_micro_yuan
    assert (t.owners_micro_yuan, t.fee_micro_yuan) == (ledger["owner"], ledger["fee"])
    assert (t.borne_micro_yuan, t.voucher_micro_yuan) == (-ledger["platform_loss"], -ledger["voucher"])
    assert t.micro_yuan == -ledger["voucher"] - ledger["enterprise"] - ledger["city"]
    assert (t.credited_micro_yuan, elsewhere.total.credited_micro_yuan) == (5, 0)


async def test_energy_is_that_of_the_energy_report(charged: Charged) -> None:
    """The month's sums are the same, and days at unchanged watts and PUE add up to them but for their rounding."""
    async with charged.books.database.hub() as tx:  # counting begins with the month
        await tx.execute("UPDATE leases SET offered_at = started_at WHERE started_at IS NOT NULL")
    await EnergyCount(charged.books.database).run_once(MARCH.begins_at + SETTLED)
    await EnergyCount(charged.books.database).run_once(AFTER + SETTLED)
    report = await EnergyReports(charged.books.database).report(OPERATOR, "", "", Period.month(MARCH.begins_at))

    found = await month(charged)

    for part, told_by in zip(found.hubs, report.hubs, strict=True):
        assert (part.hub, part.it_joules, part.meter_joules, part.green_joules) == (
            told_by.lines.hub, told_by.drawn.it_joules, told_by.drawn.meter_joules, told_by.drawn.green_joules,
        )  # fmt: skip
        days = [day for day in found.energy if day.hub == part.hub]
        assert 0 < len(days) <= 31
        for name in ("it_joules", "meter_joules", "green_joules"):
            assert 0 <= getattr(part, name) - summed(days, name) + len(days) <= 2 * len(days)
        assert part.months[-1].meter_joules == part.meter_joules
    assert total(h.drawn for h in report.hubs).green_joules > 0


async def put_hours(charged: Charged, *rows: HourRow, until: datetime) -> None:
    async with charged.books.database.hub() as tx:
        await prices.lock(tx)
        await prices.roll_up(tx, rows, until)


def an_hour(pool_id: int, hour: datetime, scarcity: Sequence[int | None], *, ask: int = 10) -> HourRow:
    by_size = tuple(scarcity)
    spot = tuple(None if each is None else ask + each for each in by_size)
    return HourRow(pool_id, hour, spot, spot, spot, spot, by_size, by_size)


async def test_growth_is_the_shadow_price_summed_over_the_hours(charged: Charged) -> None:
    """A pool that is short for two days by 5 yuan is worth more than one that is short for a month by 10 fen."""
    yuan = 10**6
    async with charged.books.database.hub() as tx:
        pools = {place.model: place.pool_id for place in await prices.pools(tx)}
    begin = MARCH.begins_at
    await put_hours(
        charged,
        an_hour(pools["ascend-910b"], begin - HOUR, (yuan // 10, None, None, None, yuan // 10, None)),
        an_hour(pools["h20"], begin + 100 * HOUR, (yuan, None, None, None, 5 * yuan, None), ask=yuan),
        an_hour(pools["h20"], begin + 148 * HOUR, (0, None, None, None, 0, None), ask=yuan),
        until=MARCH.ends_at + 3 * HOUR,
    )

    found = await month(charged, "qingyang")

    first, second = found.ranked()
    assert (first.hub, first.model, second.hub, second.model) == ("guian", "h20", "qingyang", "ascend-910b")
    assert first.card_micro_yuan == 48 * 5 * yuan
    assert first.single_micro_yuan == 48 * yuan
    assert first.spot_micro_yuan == 48 * 6 * yuan
    assert (first.short_seconds, first.priced_seconds) == (48 * 3600, (744 - 100) * 3600)
    assert second.card_micro_yuan == 744 * yuan // 10
    assert second.growth_micro_yuan == 1000 * second.card_micro_yuan
    assert (second.cards, [row.model for row in found.here]) == (32, ["ascend-910b"])


async def test_a_month_without_anything_is_empty_and_says_so(database: Database, dsns: Dsns) -> None:
    charged = await charged_books(database, dsns)

    found = await HubMonths(charged.books.database).month(AUDITOR, Month(2025, 1), "guian", now=AFTER)

    assert (found.number, found.provisional_at, found.use, found.days) == ("month/2025-01/guian", None, (), ())
    assert found.total == replace(found.total, jobs=0, micro_yuan=0, milli_card_seconds=0)
    assert (found.rounds.committed, summed(found.rounds.gaps, "rounds")) == (0, 0)


async def test_a_month_is_partial_while_it_is_open(charged: Charged) -> None:
    now = T0 + timedelta(hours=1)

    found = await month(charged, "qingyang", now=now)

    assert found.provisional_at == now
    [model] = [row for row in found.here if row.cards]
    assert model.capacity_milli_card_seconds == 1000 * 32 * int((now - MARCH.begins_at).total_seconds())


async def test_who_may_not_see_a_month_is_told_why(charged: Charged) -> None:
    months = HubMonths(charged.books.database)
    for caller in (GANZHOU, OBSERVER, Caller("key-longdong", Role.OWNER, "longdong")):
        with pytest.raises(RoleRefused, match="auditors and operators"):
            await months.month(caller, MARCH, "", now=AFTER)
    with pytest.raises(InvalidRequest, match="has not begun"):
        await months.month(OPERATOR, Month(2027, 1), "", now=AFTER)
    with pytest.raises(HubNotFound):
        await months.month(OPERATOR, MARCH, "nowhere", now=AFTER)


async def test_rounds_are_told_by_their_gap(charged: Charged) -> None:
    async with charged.books.database.hub() as tx:
        await tx.execute("UPDATE rounds SET gap_ppm = (ARRAY[0, 100, 101, 70000])[round_id]")

    found = (await month(charged)).rounds

    assert found.committed == 4
    assert {b.gap_ppm_max: b.rounds for b in found.gaps if b.rounds} == {100: 2, 500: 1, 0: 1}
    assert (found.gap_p50_ppm, found.gap_p95_ppm) == (100, 70_000)
