"""Books with leases in them that were charged, for tests of papers."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.ids import HoldId, LeaseId
from broker.job import WorkloadClass
from broker.ledger.holds import Source
from broker.market.papers import Papers
from broker.store.database import Database
from tests.books import ACME, CITY, VOUCHER, Books, a_capture, open_books
from tests.conftest import Dsns
from tests.small_world import T0, a_spec, placed, submitted

MONTH = "2026-03"
AFTER = datetime(2026, 4, 2, tzinfo=T0.tzinfo)


@dataclass
class Charged:
    """Books, papers over them, and leases that can be charged."""

    books: Books
    papers: Papers
    leases: int = 0

    async def lease(
        self,
        micro_yuan: int,
        *,
        enterprise: str = "acme",
        sector: WorkloadClass = WorkloadClass.TRAINING,
        cards: int = 1,
    ) -> tuple[LeaseId, HoldId]:
        """Place a job of Ganzhou and hold money for it: 30 % of the voucher, then its enterprise's, then the city's."""
        self.leases += 1
        spec = a_spec(workload_class=sector, enterprise=enterprise)
        [job] = await submitted(self.books.database, f"charged-{self.leases}", spec=spec)
        first = (self.leases - 1) * 2
        lease = await placed(self.books.database, job, cards=tuple(range(first, first + cards)))
        sources = (Source(VOUCHER, 300_000), *([Source(ACME)] if enterprise else []), Source(CITY))
        held = await self.books.hold(
            micro_yuan, request_key=f"lease-{lease}", reference=f"lease-{lease}", sources=sources,
            settles_until=T0 + timedelta(days=60),
        )  # fmt: skip
        async with self.books.database.hub() as tx:
            await tx.execute(
                "UPDATE leases SET hold_id = $2, ask_micro_yuan_per_card_hour = 7,"
                " scarcity_micro_yuan_per_card_hour = 2, rate_card_version = 3 WHERE lease_id = $1",
                lease, held.hold,
            )  # fmt: skip
        return lease, held.hold

    async def capture(
        self, lease: LeaseId, hold: HoldId, micro_yuan: int, minutes: int, *, now: datetime = T0, late: bool = False,
        fee_ppm: int = 100_000,
    ) -> None:  # fmt: skip
        """Capture minutes of a lease; what the hold does not cover is the platform's loss."""
        key = f"{lease}-{now.isoformat()}-{minutes}"
        wanted = a_capture(hold, micro_yuan, key, fee_ppm=fee_ppm, excess_to_loss=True)
        posted = await self.books.ledger.capture(wanted, now=now)
        async with self.books.database.hub() as tx:
            await tx.execute(
                "INSERT INTO lease_captures VALUES ($1, $2, $3, $4)", posted.transaction, lease, minutes, late
            )


async def charged_books(database: Database, dsns: Dsns) -> Charged:
    """Return books in which two leases were charged, one of them beyond its hold and late, and one was compensated."""
    books = await open_books(database, dsns, voucher=10**9, acme=10**9, city=10**9)
    charged = Charged(books, Papers(database))
    first = await charged.lease(50_000_003, cards=2)
    second = await charged.lease(7_777_777, enterprise="", sector=WorkloadClass.SPEECH)
    await charged.capture(*first, 20_000_001, 60)
    await charged.capture(*first, 10_000_000, 30, now=T0 + timedelta(hours=1))
    await charged.capture(*second, 9_000_000, 45, now=T0 + timedelta(hours=1), late=True)
    await charged.capture(*first, 1_000_000, 5, now=AFTER)  # in the next month
    return charged
