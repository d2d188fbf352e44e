"""A small world with money in it, for tests of what stands on the ledger; and its audit."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from broker.audit.ledger import RULES
from broker.audit.main import gather
from broker.ids import HoldId
from broker.ledger.holds import Capture, HoldDraft, Source
from broker.ledger.transactions import Move
from broker.market.hold_intake import HoldIntake
from broker.market.ledger import Ledger
from broker.store.database import Database
from broker.store.holds import Held
from tests.conftest import Dsns
from tests.small_world import OPERATOR, T0, lay_out

WINDOW = T0 + timedelta(days=1)
BUDGET, VOUCHER, ACME, CITY = "budget/qingyang/2026", "voucher/ganzhou/7", "enterprise/ganzhou/acme", "city/ganzhou"
OWNER = "owner/longdong"


class Books:
    """The ledger's use cases over a real database."""

    def __init__(self, database: Database, dsns: Dsns) -> None:
        self.database, self.dsns = database, dsns
        self.ledger, self.intake = Ledger(database), HoldIntake(database)

    async def balances(self) -> dict[str, tuple[int, int]]:
        """Return what is available and held, by account, where there is anything."""
        rows = await self.ledger.accounts(OPERATOR, limit=1000)
        return {r.name: (r.available, r.held) for r in rows if r.available or r.held}

    async def hold(self, micro_yuan: int, *, now: datetime = T0, **changes: Any) -> Held:
        """Hold money of the voucher for 30 %, then the enterprise, then the city."""
        return await self.intake.place(replace(a_hold(micro_yuan), **changes), now=now)

    async def transactions(self) -> int:
        """Return how many transactions there are."""
        async with self.database.hub() as tx:
            return await tx.fetchval("SELECT count(*) FROM ledger_transactions")

    async def findings(self) -> list[str]:
        """Return what the rules of the audit about the books find."""
        facts = await gather(self.dsns.hub, self.dsns.city, {})
        return [f"{rule.__name__}: {told}" for rule in RULES for told in rule(facts)]


async def open_books(
    database: Database, dsns: Dsns, *, voucher: int = 1000, acme: int = 1000, city: int = 1000
) -> Books:
    """Lay out the small world; Ganzhou has a voucher, an enterprise and prepaid money, in micro-yuan."""
    await lay_out(database)
    books = Books(database, dsns)
    for account, micro_yuan in ((BUDGET, voucher), (ACME, acme), (CITY, city)):
        if micro_yuan:
            await books.ledger.deposit(OPERATOR, Move(f"first-{account}", account, micro_yuan, "bank slip 1"), now=T0)
    if voucher:
        await books.ledger.grant(Move("grant-7", VOUCHER, voucher, "grant 7", payer=BUDGET), now=T0)
    return books


def a_hold(micro_yuan: int, key: str = "h-1") -> HoldDraft:
    sources = (Source(VOUCHER, 300_000), Source(ACME), Source(CITY))
    return HoldDraft(key, "ganzhou", "lease-7", micro_yuan, sources, WINDOW)


def a_capture(hold: HoldId, micro_yuan: int, key: str = "c-1", **changes: Any) -> Capture:
    return replace(Capture(key, hold, OWNER, micro_yuan), **changes)
