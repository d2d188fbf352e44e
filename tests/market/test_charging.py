"""Leases are charged for the minutes that are known, once each, out of their holds; cities pay for nothing else."""

from typing import Any

import pytest

from broker.audit import ledger as audit_of_books
from broker.audit import usage as audit_of_usage
from broker.audit.main import gather
from broker.ids import LeaseId
from broker.job import Ending
from broker.ledger.usage import Usage
from broker.lifecycle import EndReason
from broker.loops.charging import ChargingLoop
from broker.loops.hold_expiry import HoldExpiry
from broker.market.charging import Charging, ChargingTerms
from broker.market.clusters import Session
from broker.store import usage
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.store.usage import UsageRow
from tests.cluster_world import ClusterWorld, ended, running
from tests.conftest import Dsns
from tests.market.test_holding import ASK, Prepaid
from tests.small_world import OPERATOR

DEPOSIT = 10**9
PER_SECOND = ASK // 3600  # of one card
HOUR, WINDOW = 3600, 72 * 3600


class Charged(Prepaid):
    """A prepaid world with an agent, a lease and the loop that charges it."""

    session: Session
    sequence = 0
    metering = False  # whether the agent sends usage

    async def open(self, dsns: Dsns, *, metering: bool = False) -> "Charged":
        await self.lay()
        self.dsns, self.metering = dsns, metering
        self.session = await self.world.attach("east", "one")
        async with self.world.database.hub() as tx:
            await tx.execute("UPDATE clusters SET agent_meters = $1", metering)
        self.freed: list[int] = []
        terms = ChargingTerms(fee_ppm=100_000, batch_leases=2)
        self.loop = ChargingLoop(Charging(self.world.database, terms, released=lambda: self.freed.append(1)))
        await self.deposit(DEPOSIT)
        return self

    async def leased(self, **changes: Any) -> LeaseRef:
        """Submit a job of three hours, and let a round lease it."""
        job = await self.submit(**{"walltime_seconds": 3 * HOUR, "grace_seconds": 0} | changes)
        assert (await self.round()).placed == 1
        row = await self.world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", job)
        return LeaseRef(row["lease_id"], row["epoch"])

    async def tell(self, *leases: Any) -> None:
        self.sequence += 1
        await self.world.report(self.session, self.sequence, *leases)

    async def started(self, **changes: Any) -> LeaseRef:
        ref = await self.leased(**changes)
        self.world.advance(1)  # a lease is offered a moment after its round began
        await self.tell(running(ref, self.world.now))
        return ref

    async def end(self, ref: LeaseRef, reason: EndReason = EndReason.COMPLETED) -> None:
        await self.tell(ended(ref, Ending(reason)))

    async def use(self, ref: LeaseRef, *ranges: tuple[int, int], **facts: Any) -> None:
        async with self.world.database.hub() as tx:
            await usage.put(tx, [UsageRow(LeaseId(ref.lease), Usage(ranges, **facts))], self.world.now)

    async def charge(self) -> int:
        return await self.loop.run_once(self.world.now)

    async def balance(self, account: str) -> tuple[int, int]:
        rows = {r.name: (r.available, r.held) for r in await self.books.accounts(OPERATOR, limit=1000)}
        return rows.get(account, (0, 0))

    async def captures(self) -> list[tuple[int, bool]]:
        async with self.world.database.hub() as tx:
            rows = await tx.fetch("SELECT minutes, late FROM lease_captures ORDER BY transaction_id")
        return [(r["minutes"], r["late"]) for r in rows]

    async def findings(self) -> list[str]:
        facts = await gather(self.dsns.hub, self.dsns.city, {})
        return [told for rule in (*audit_of_books.RULES, *audit_of_usage.RULES) for told in rule(facts)]


@pytest.fixture
async def old(database: Database, dsns: Dsns) -> Charged:
    """The agent is of a release that sends no usage: the lease's times stand for it."""
    return await Charged(await ClusterWorld(database).lay()).open(dsns)


@pytest.fixture
async def new(database: Database, dsns: Dsns) -> Charged:
    return await Charged(await ClusterWorld(database).lay()).open(dsns, metering=True)


async def test_what_ran_is_charged_to_the_second_and_the_rest_released(old: Charged) -> None:
    """The owner is paid with the fee taken off, and what is free again may let others start."""
    ref = await old.started()
    old.world.advance(90)
    await old.end(ref)

    await old.charge()

    cost = 90 * PER_SECOND
    assert await old.balance("city/ganzhou") == (DEPOSIT - cost, 0)
    assert await old.balance("owner/owner") == (cost - cost // 10, 0)
    assert await old.balance("fee") == (cost // 10, 0)
    assert (await old.captures(), old.freed) == ([(2, False)], [1])
    assert await old.charge() == 0
    assert await old.findings() == []


async def test_what_runs_is_charged_by_the_hour(old: Charged) -> None:
    """Whole minutes while it runs; parts add up to the whole at the end."""
    ref = await old.started()
    await old.charge()
    old.world.advance(HOUR + 30)
    await old.charge()

    assert await old.captures() == [(60, False)]
    assert await old.charge() == 0
    old.world.advance(100)
    await old.end(ref)
    await old.charge()
    assert await old.balance("city/ganzhou") == (DEPOSIT - (HOUR + 130) * PER_SECOND, 0)
    assert await old.captures() == [(60, False), (3, False)]
    assert await old.findings() == []


@pytest.mark.parametrize("metering", [False, True])
async def test_what_could_not_start_costs_nothing(old: Charged, metering: bool) -> None:
    ref = await old.leased()
    async with old.world.database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_meters = $1", metering)
    old.world.advance(50)
    await old.end(ref, EndReason.START_FAILED)

    await old.charge()

    assert await old.balance("city/ganzhou") == (DEPOSIT, 0)
    assert await old.captures() == []


async def test_an_agent_that_meters_is_taken_at_its_word(new: Charged) -> None:
    """While it runs nothing but what was told counts; duplicates and disorder change nothing."""
    ref = await new.started()
    new.world.advance(2 * HOUR)
    await new.use(ref, (60, 90))
    await new.use(ref, (0, 30), (60, 90))
    await new.charge()
    assert await new.captures() == [(60, False)]

    await new.use(ref, (0, 120))
    await new.use(ref, (0, 121), cut_seconds=15, complete=True)
    await new.end(ref)
    await new.charge()

    assert await new.balance("city/ganzhou") == (DEPOSIT - (2 * HOUR + 45) * PER_SECOND, 0)
    assert await new.captures() == [(60, False), (61, False)]
    assert await new.findings() == []


async def test_late_minutes_are_paid_from_the_hold_and_then_by_the_platform(new: Charged) -> None:
    """Of a lease whose end nobody saw only what was proved is charged; after the window it costs its city nothing."""
    ref = await new.started()
    await new.use(ref, (0, 10))
    new.world.advance(HOUR)
    await new.end(ref, EndReason.VANISHED)
    await new.charge()
    assert await new.captures() == [(10, False)]
    assert (await new.balance("city/ganzhou"))[1] == (3 * HOUR - 600) * PER_SECOND

    await new.use(ref, (0, 12))
    await new.charge()
    new.world.advance(3 * HOUR + WINDOW + 1)
    await HoldExpiry(new.world.database).run_once(new.world.now)
    await new.use(ref, (0, 15))
    await new.charge()

    assert await new.captures() == [(10, False), (2, True), (3, True)]
    assert await new.balance("city/ganzhou") == (DEPOSIT - 12 * 60 * PER_SECOND, 0)
    assert await new.balance("platform_loss") == (-3 * 60 * PER_SECOND, 0)
    assert (await new.balance("owner/owner"))[0] == 15 * 60 * PER_SECOND * 9 // 10
    assert await new.findings() == []


async def test_a_lost_lease_of_an_old_agent_is_charged_until_it_was_lost(old: Charged) -> None:
    ref = await old.started()
    old.world.advance(HOUR)
    await old.charge()
    async with old.world.database.hub() as tx:
        await tx.execute("UPDATE leases SET state = 'lost', lost_at = $1", old.world.now)
    old.world.advance(HOUR)
    await old.charge()
    await old.end(ref, EndReason.VANISHED)
    await old.charge()

    assert await old.captures() == [(60, False)]


async def test_work_that_was_thrown_away_for_others_is_given_back(old: Charged) -> None:
    """Its owner is paid, the platform bears it, and a credit note says so."""
    ref = await old.started(preemptible=True)
    old.world.advance(600)
    async with old.world.database.hub() as tx:
        await tx.execute(
            "UPDATE leases SET stop_ordered_at = $1, stop_claim = 'tier', stop_for_job = job_id,"
            " lost_card_seconds = 240",
            old.world.now,
        )
    await old.end(ref, EndReason.CANCELLED)

    await old.charge()

    assert await old.balance("city/ganzhou") == (DEPOSIT - 360 * PER_SECOND, 0)
    assert await old.balance("platform_loss") == (-240 * PER_SECOND, 0)
    assert (await old.balance("owner/owner"))[0] == 600 * PER_SECOND * 9 // 10
    assert await old.findings() == []


async def test_more_than_a_batch_is_charged_in_one_go(old: Charged) -> None:
    for _ in range(5):
        await old.submit(walltime_seconds=HOUR)
    assert (await old.round()).placed == 5
    async with old.world.database.hub() as tx:
        refs = [LeaseRef(r["lease_id"], r["epoch"]) for r in await tx.fetch("SELECT lease_id, epoch FROM leases")]
    old.world.advance(1)
    await old.tell(*(running(ref, old.world.now) for ref in refs))
    old.world.advance(61)
    await old.tell(*(ended(ref, Ending(EndReason.COMPLETED)) for ref in refs))

    assert await old.charge() == 5
    assert await old.balance("city/ganzhou") == (DEPOSIT - 5 * 61 * PER_SECOND, 0)


async def test_never_more_than_walltime_and_grace(new: Charged) -> None:
    """An end that the clocks see a little late costs the city nothing."""
    ref = await new.started(walltime_seconds=90, grace_seconds=5)
    new.world.advance(100)
    await new.use(ref, (0, 2), cut_seconds=22, complete=True)
    await new.end(ref)

    await new.charge()

    assert await new.balance("city/ganzhou") == (DEPOSIT - 95 * PER_SECOND, 0)
    assert await new.balance("platform_loss") == (0, 0)
