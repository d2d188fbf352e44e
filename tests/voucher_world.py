"""A small world with a voucher programme and registered enterprises, for tests of what stands on vouchers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.audit.ledger import RULES
from broker.audit.main import gather
from broker.caller import Caller, Role
from broker.ids import HoldId
from broker.ledger.holds import Capture, HoldDraft
from broker.market.hold_intake import HoldIntake
from broker.market.ledger import Ledger
from broker.market.voucher_office import GrantDraft, Granted, VoucherOffice
from broker.market.vouchers import Vouchers
from broker.store.database import Database
from broker.store.voucher_story import StoryOf
from broker.store.vouchers import VoucherRow, for_payment
from broker.vouchers.applying import ApplicationDraft, Enterprise
from broker.vouchers.paying import Refused, Voucher, Work, paying
from broker.vouchers.programme import ApplicantType, ClaimSide
from broker.vouchers.states import StoryEvent, VoucherState
from tests.conftest import Dsns
from tests.small_world import GANZHOU, OPERATOR, T0, lay_out

OFFICE = Caller("key-office", Role.VOUCHER_OFFICE)
AUDITOR = Caller("key-auditor", Role.AUDITOR)
LI = "Li Wei"
PROGRAMME = """
sources: {rules: {text: rules of a test, date: 2026-01-01}}
programmes:
  - programme: qy-2026
    title: {zh: 庆阳, en: Qingyang}
    hub: qingyang
    year: 2026
    budget: {micro_yuan: 10000, source: rules}
    enterprise_year_cap: {micro_yuan: 6000, source: rules}
    ratios: {domestic_ppm: 300000, other_ppm: 200000, source: rules}
    workload_classes: {names: [training, image], source: rules}
    minimum_scale: {milli_pflops: 100, source: rules}
    validity: {days: 100, source: rules}
    papers: {names: [contract, invoice], source: rules}
    claims: {sides: [demand, supply], source: rules}
    applicants: {types: [company], source: rules}
    conditional: {micro_yuan: 1000, days: 30, source: rules}
"""
BUDGET = "budget/qingyang/qy-2026"
ACME = Enterprise("ganzhou", "acme", "阿克梅 Acme", "91620000-A", "plant 1", ApplicantType.COMPANY)
SISTER = Enterprise("ganzhou", "sister", "Sister", "91620000-B", "plant 2", ApplicantType.COMPANY, ("longdong",))
OF_ACME = ApplicationDraft(
    "app-1", "ganzhou", "acme", "qy-2026", ClaimSide.DEMAND, "longdong", "C-1", 4000, 100, ("training",),
    ("contract", "invoice"),
)  # fmt: skip
VOUCHER_OF_ACME = Voucher(
    voucher="qingyang-2026-1",
    city="ganzhou",
    enterprise="acme",
    programme="qingyang-2026",
    hub="qingyang",
    state=VoucherState.ACTIVE,
    workload_classes=frozenset({"training"}),
    domestic_ppm=300_000,
    other_ppm=200_000,
    related_owners=frozenset({"sister"}),
    scale_milli_pflops=2_500_000,
    minimum_milli_pflops=2_500_000,
    papers_due=None,
    available_micro_yuan=5,
    valid_until=datetime(2026, 3, 2, 8, tzinfo=UTC),
)
WORK = Work("ganzhou", "acme", "training", domestic=True, owner="longdong", hub="qingyang")


class VoucherWorld:
    """The use cases over a real database."""

    def __init__(self, database: Database, dsns: Dsns) -> None:
        self.database, self.dsns = database, dsns
        self.office, self.vouchers = VoucherOffice(database), Vouchers(database)
        self.ledger, self.intake = Ledger(database), HoldIntake(database)

    async def applied(self, **changes: Any) -> int:
        """Apply and begin the review; return the application's number."""
        found, _ = await self.vouchers.apply(GANZHOU, replace(OF_ACME, **changes), now=T0)
        await self.office.review(OFFICE, found.application, StoryEvent.REVIEW_BEGUN, LI, "", now=T0)
        return found.application

    async def granted(self, **changes: Any) -> Granted:
        """Apply, review and grant."""
        return await self.office.grant(OFFICE, GrantDraft(await self.applied(**changes)), LI, now=T0)

    async def voucher(self, name: str) -> VoucherRow:
        return await self.vouchers.voucher(OFFICE, name)

    async def hold(self, voucher: str, micro_yuan: int, *, days: int = 0) -> HoldId | Refused:
        """Hold money of the voucher alone, as charging will: asked first, at a time so many days from the start."""
        now = T0 + timedelta(days=days)
        async with self.database.hub() as tx:
            found = (await for_payment(tx, [voucher])).get(voucher)
        source = paying(found, WORK, now, named=voucher)
        if isinstance(source, Refused):
            return source
        whole = replace(source, ratio_ppm=1_000_000)
        draft = HoldDraft(f"h-{voucher}-{micro_yuan}", "ganzhou", "lease-1", micro_yuan, (whole,), now + timedelta(10))
        return (await self.intake.place(draft, now=now)).hold

    async def capture(self, hold: HoldId, micro_yuan: int, key: str = "c-1", *, days: int = 0) -> None:
        await self.ledger.capture(Capture(key, hold, "owner/longdong", micro_yuan), now=T0 + timedelta(days=days))

    async def balances(self) -> dict[str, tuple[int, int]]:
        """Return what is available and held, by account, where there is anything."""
        rows = await self.ledger.accounts(OPERATOR, limit=1000)
        return {r.name: (r.available, r.held) for r in rows if r.available or r.held}

    async def story(self, **of: Any) -> list[str]:
        """Return the events of a story."""
        return [step.event.value for step in await self.vouchers.story(OFFICE, StoryOf(**of), 0, 100)]

    async def findings(self, rules: Sequence[Any] = RULES) -> list[str]:
        """Return what the rules of the audit about the books find."""
        facts = await gather(self.dsns.hub, self.dsns.city, {})
        return [f"{rule.__name__}: {told}" for rule in rules for told in rule(facts)]


async def open_office(database: Database, dsns: Dsns, *, document: str = PROGRAMME) -> VoucherWorld:
    """Lay out the small world, set a programme of 10,000 micro-yuan and register two enterprises of Ganzhou."""
    await lay_out(database)
    world = VoucherWorld(database, dsns)
    await world.office.set_programmes(OFFICE, document, LI, now=T0)
    for enterprise in (ACME, SISTER):
        await world.office.set_enterprise(OFFICE, enterprise, LI, now=T0)
    return world
