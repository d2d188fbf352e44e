"""What starts is paid for: money is held with the lease, and what its payer cannot pay waits and blocks nobody."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.clock import SystemClock
from broker.ids import JobId, RoundId
from broker.job import Within, WorkloadClass
from broker.ledger.holds import Hold
from broker.ledger.transactions import Move
from broker.lifecycle import JobState
from broker.market import funding
from broker.market.explain import Explain
from broker.market.ledger import Ledger
from broker.market.rates import Rates
from broker.market.voucher_office import GrantDraft, VoucherOffice
from broker.market.vouchers import Vouchers
from broker.store import holds, snapshots
from broker.store.database import Database
from broker.store.promises import PromiseRow
from broker.vouchers.states import StoryEvent
from scheduler.policy import Policy
from tests.cluster_world import ClusterWorld, inventory
from tests.market.test_rounds import Table
from tests.small_world import GANZHOU, OPERATOR, asked
from tests.voucher_world import ACME, LI, OF_ACME, OFFICE, PROGRAMME

ASK = 3_600_000  # micro-yuan per card-hour: 1000 for each card and second
SECONDS = 607  # of walltime and grace of the world's jobs
COST = 1000 * SECONDS


class Prepaid(Table):
    """A table in whose world Ganzhou pays in advance, and Nanjing does not."""

    async def lay(self, *, nodes: int = 1, cards: int = 8) -> "Prepaid":
        async with self.world.database.hub() as tx:
            await asked(tx, "east", "ascend-910b", ASK)
            await tx.execute("UPDATE accelerator_models SET fp16_programme_milli_tflops = 320000")
            await tx.execute("UPDATE cities SET billing = 'prepaid' WHERE city = 'ganzhou'")
        await self.world.attach("east", "one", inventory(*(f"n{i}" for i in range(nodes)), cards=cards))
        self.books = Ledger(self.world.database)
        self._deposits = 0
        return self

    async def deposit(self, micro_yuan: int, account: str = "city/ganzhou") -> None:
        self._deposits += 1
        move = Move(f"slip-{self._deposits}", account, micro_yuan, "bank slip")
        await self.books.deposit(OPERATOR, move, now=self.world.now)

    async def holds(self) -> list[Hold]:
        async with self.world.database.hub() as tx:
            rows = await tx.fetch("SELECT hold_id FROM leases WHERE hold_id IS NOT NULL ORDER BY lease_id")
            return await holds.read(tx, [r["hold_id"] for r in rows])

    async def reason(self, job: JobId) -> str:
        return (await self.world.job(job)).waiting_reason


@pytest.fixture
async def table(database: Database) -> Prepaid:
    return await Prepaid(await ClusterWorld(database).lay()).lay()


async def test_money_for_walltime_and_grace_is_held_with_the_lease(table: Prepaid) -> None:
    """At the lease's own price, until a settlement window after its latest end, and named after the lease."""
    await table.deposit(100 * COST)
    job = await table.submit(cards_per_task=2)

    assert (await table.round()).placed == 1

    lease = await table.world.row("SELECT * FROM leases WHERE job_id = $1", job)
    [hold] = await table.holds()
    price = lease["ask_micro_yuan_per_card_hour"] + lease["scarcity_micro_yuan_per_card_hour"]
    cost = price * 2 * SECONDS // 3600
    assert cost >= 2 * COST
    assert (hold.reference, hold.held, hold.city) == (f"lease-{lease['lease_id']}", cost, "ganzhou")
    assert hold.settles_until == table.world.now + timedelta(seconds=SECONDS, hours=72)
    assert (await table.books.account(OPERATOR, "city/ganzhou")).available == 100 * COST - cost


async def test_a_metered_city_holds_nothing(table: Prepaid) -> None:
    await table.submit("nanjing")

    assert (await table.round()).placed == 1
    assert await table.holds() == []


async def test_an_enterprise_pays_first_and_then_its_city(table: Prepaid) -> None:
    await table.deposit(COST)
    await table.deposit(400, "enterprise/ganzhou/acme")
    await table.submit(enterprise="acme")
    await table.submit("nanjing", enterprise="acme")

    assert (await table.round()).placed == 2

    [hold] = await table.holds()
    assert [(p.account, p.held) for p in hold.parts] == [
        ("enterprise/ganzhou/acme", 400),
        ("city/ganzhou", COST - 400),
    ]


async def test_what_together_costs_too_much_is_handed_back_and_blocks_nobody(table: Prepaid) -> None:
    """Of three jobs two can be paid; the third waits, and the round after it plans without it."""
    await table.deposit(2 * COST + COST // 2)
    jobs = [await table.submit() for _ in range(3)]

    done = await table.round()

    assert (done.placed, done.stale) == (2, 1)
    [left] = [job for job in jobs if await table.world.state_of(job) is JobState.PENDING]
    assert await table.reason(left) == "FUNDS_SHORT"
    prepared, _ = await table.planned()
    assert prepared.waiting == {}


async def test_a_job_that_nobody_could_pay_for_is_not_planned(table: Prepaid) -> None:
    """Its reason is told by the read alone: no round is due for it."""
    await table.deposit(COST - 1)
    job, other = await table.submit(), await table.submit("nanjing")

    prepared = await table.rounds.read(table.world.now)

    assert [row.job for row in prepared.waiting.values()] == [other]
    assert await table.reason(job) == "FUNDS_SHORT"
    await table.deposit(1)
    assert (await table.round()).placed == 2


async def test_an_account_that_was_never_opened_is_empty(table: Prepaid) -> None:
    job = await table.submit()

    await table.rounds.read(table.world.now)

    assert await table.reason(job) == "FUNDS_SHORT"


async def test_who_was_too_dear_is_asked_again_after_a_while(table: Prepaid) -> None:
    """A commit's word keeps a job out for five minutes; the price may have fallen then."""
    await table.deposit(COST)
    job = await table.submit()
    async with table.world.database.hub() as tx:
        await tx.execute(
            "UPDATE jobs SET funds_wanted_micro_yuan = $2, funds_refused_at = $3 WHERE job_id = $1",
            job,
            COST + 1,
            table.world.now,
        )

    assert (await table.rounds.read(table.world.now)).waiting == {}
    table.world.advance(funding.ASKED_AGAIN_AFTER.total_seconds())
    assert len((await table.rounds.read(table.world.now)).waiting) == 1


async def test_who_was_too_dear_is_asked_at_once_when_something_else_is_asked(table: Prepaid) -> None:
    """A rate card is set: what the commit asked for was a price of before."""
    woken: list[int] = []
    await table.deposit(COST)
    job = await table.submit()
    async with table.world.database.hub() as tx:
        await tx.execute(
            "UPDATE jobs SET funds_wanted_micro_yuan = $2, funds_refused_at = $3 WHERE job_id = $1",
            job, COST + 1, table.world.now,
        )  # fmt: skip
    assert (await table.rounds.read(table.world.now)).waiting == {}
    table.world.advance(1)
    half = f"rate_cards: [{{cluster: east, model: ascend-910b, micro_yuan_per_card_hour: {ASK // 2}}}]"

    await Rates(table.world.database, wake=lambda: woken.append(1)).set(OPERATOR, half, now=table.world.now)

    assert woken == [1]
    assert len((await table.rounds.read(table.world.now)).waiting) == 1
    assert (await table.round()).placed == 1


async def test_a_voucher_whose_account_was_closed_gives_nothing_and_the_city_pays(table: Prepaid) -> None:
    """It is empty: who waits for it would wait for ever. Without enough behind it, money is what is short."""
    voucher = await voucher_of_acme(table)
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE ledger_accounts SET closed_at = now() WHERE name = $1", f"voucher/ganzhou/{voucher}")
    job = await table.submit(workload_class=WorkloadClass.TRAINING, enterprise="acme", vouchers=(voucher,))
    await table.rounds.read(table.world.now)
    assert await table.reason(job) == "FUNDS_SHORT"
    await table.deposit(10 * COST)

    assert (await table.round()).placed == 1

    [hold] = await table.holds()
    assert [part.account for part in hold.parts] == ["city/ganzhou"]


async def test_what_is_short_is_explained(table: Prepaid) -> None:
    await table.deposit(COST // 2)
    job = await table.submit()

    told = await Explain(table.world.database, Policy(), SystemClock())(GANZHOU, job)

    assert "It waits for money: 0.607 yuan or more must be held" in told.summary
    assert "city/ganzhou can give 0.3035" in told.summary


async def test_a_smaller_size_and_a_share_cost_less(table: Prepaid) -> None:
    """The least that a job costs is its smallest size on the cheapest cards that it may run on."""
    await table.deposit(COST)
    await table.submit(tasks=4, share_milli=250)
    async with table.world.database.hub() as tx:
        view = await snapshots.read(tx, table.world.now, 100)

    kept, short = funding.without_short(view, table.world.now)

    assert (len(kept.waiting), short) == (1, ())


async def test_deposits_and_grants_wake_the_rounds(table: Prepaid) -> None:
    woken: list[int] = []
    books = Ledger(table.world.database, wake=lambda: woken.append(1))

    await books.deposit(OPERATOR, Move("a", "budget/qingyang/2026", 5, "x"), now=table.world.now)
    await books.grant(Move("b", "voucher/ganzhou/7", 5, "x", payer="budget/qingyang/2026"), now=table.world.now)

    assert len(woken) == 2


async def test_a_promise_to_who_cannot_pay_does_not_stand(table: Prepaid) -> None:
    """It would hold cards free for nobody."""
    job, other = await table.submit(), await table.submit("nanjing")
    async with table.world.database.hub() as tx:
        view = await snapshots.read(tx, table.world.now, 100)
    row = PromiseRow(
        job,
        "ganzhou",
        1,
        "east/main",
        (("n0", 1),),
        0,
        1,
        2,
        1,
        0,
        1,
        1,
        0,
        0,
        Within.POOL,
        table.world.now,
        RoundId(1),
    )

    kept, [short] = funding.without_short(
        replace(view, promises=(row, replace(row, job=other)), make_room_for=(job, other)), table.world.now
    )

    assert [(each.job, each.stands) for each in kept.promises] == [(job, False), (other, True)]
    assert (kept.make_room_for, [each.job for each in kept.waiting]) == ((other,), [other])
    assert (short.job, short.accounts, short.wanted, short.usable) == (job, ("city/ganzhou",), COST, 0)


async def voucher_of_acme(table: Prepaid) -> str:
    """Grant a voucher of 4 yuan to an enterprise of Ganzhou: 30 % of training on domestic cards; return its name."""
    office, vouchers = VoucherOffice(table.world.database), Vouchers(table.world.database)
    document = PROGRAMME.replace("micro_yuan: 10000", "micro_yuan: 10000000").replace("6000", "6000000")
    await office.set_programmes(OFFICE, document, LI, now=table.world.now)
    await office.set_enterprise(OFFICE, ACME, LI, now=table.world.now)
    asked_for = replace(OF_ACME, provider="owner", micro_yuan=4_000_000)
    found, _ = await vouchers.apply(GANZHOU, asked_for, now=table.world.now)
    await office.review(OFFICE, found.application, StoryEvent.REVIEW_BEGUN, LI, "", now=table.world.now)
    return (await office.grant(OFFICE, GrantDraft(found.application), LI, now=table.world.now)).voucher


async def test_a_voucher_pays_its_ratio_and_the_city_the_rest(table: Prepaid) -> None:
    """For the work that it is for; for other work of the same enterprise it gives nothing, and the city pays all."""
    await table.deposit(10 * COST)
    voucher = await voucher_of_acme(table)
    await table.submit(workload_class=WorkloadClass.TRAINING, enterprise="acme", vouchers=(voucher,))
    await table.submit(workload_class=WorkloadClass.SPEECH, enterprise="acme", vouchers=(voucher,))

    assert (await table.round()).placed == 2

    whole, other = await table.holds()
    assert [(p.account, p.held) for p in whole.parts] == [
        (f"voucher/ganzhou/{voucher}", whole.held * 3 // 10),
        ("city/ganzhou", whole.held - whole.held * 3 // 10),
    ]
    assert [p.account for p in other.parts] == ["city/ganzhou"]


async def test_a_voucher_that_is_full_and_pays_a_part_keeps_nobody_in_the_rounds(table: Prepaid) -> None:
    """What its ratio leaves is refused once, not in each round: until then it would take the cards of others in all."""
    voucher = await voucher_of_acme(table)
    await table.deposit(1)
    job = await table.submit(workload_class=WorkloadClass.TRAINING, enterprise="acme", vouchers=(voucher,))
    assert (await table.round()).stale == 1

    assert (await table.rounds.read(table.world.now)).waiting == {}

    assert await table.reason(job) == "FUNDS_SHORT"
    await table.deposit(COST - COST * 3 // 10 - 2)
    assert (await table.rounds.read(table.world.now)).waiting == {}
    await table.deposit(COST)  # what is scarce costs more than what is asked
    assert (await table.round()).placed == 1
