"""What the voucher office does: programmes, enterprises, review, grants. Each act is one transaction with its story.

An officer is a person: the office's key says that the office acts, the name who did. The grant draws on the budget in
the transaction that makes the voucher; grants of one programme wait for each other, so its caps hold.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime

from broker.caller import Caller
from broker.errors import (
    ApplicationNotFound,
    BudgetLowered,
    EnterpriseNotFound,
    ProgrammeNotFound,
    VoucherStepRefused,
)
from broker.ids import application_text
from broker.ledger.accounts import AccountKind, AccountName, account_name
from broker.ledger.transactions import Move, Transaction, deposit
from broker.store import ledger, vouchers
from broker.store import voucher_applications as applications
from broker.store.database import Connection, Database
from broker.store.ledger import Accounts, Posted
from broker.store.voucher_applications import ApplicationRow
from broker.store.voucher_story import Officer, Step, tell
from broker.vouchers import money
from broker.vouchers.applying import Enterprise, check_application, terms
from broker.vouchers.programme import Programme, ProgrammeFile, bundled, load_programmes
from broker.vouchers.states import APPLICATION, ApplicationState, StoryEvent

BUNDLED_MARK = "bundled:"
"""How a document begins that is the name of an example."""


@dataclass(frozen=True, slots=True)
class GrantDraft:
    """A grant that an officer wants to make.

    Attributes:
        application: its number.
        micro_yuan: how much; 0: what was applied for.
        papers: that the officer has in hand, besides those of the application.
        papers_due: the committed date of missing ones; None: as long as the programme gives.
    """

    application: int
    micro_yuan: int = 0
    papers: tuple[str, ...] = ()
    papers_due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """What became, or would become, of a grant; micro-yuan."""

    voucher: str
    micro_yuan: int
    at_once_micro_yuan: int
    missing: tuple[str, ...]
    papers_due: datetime | None
    valid_until: datetime
    budget_left_micro_yuan: int


class VoucherOffice:
    """Use cases of the voucher office."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_programmes(
        self, caller: Caller, document: str, officer: str, *, now: datetime, dry_run: bool = False
    ) -> list[str]:
        """Set programmes, all or none, and pay their budgets in; return one line for each change.

        The same again changes nothing. Vouchers that are granted keep their terms.

        Raises:
            InvalidRequest: the document is not valid.
            HubNotFound: a programme's hub is not in the catalogue.
            BudgetLowered: money that was paid in stays.
            BalanceTooLarge: the budget's account.
        """
        text = bundled(document.removeprefix(BUNDLED_MARK)) if document.startswith(BUNDLED_MARK) else document
        file = await asyncio.to_thread(load_programmes, text)
        lines: list[str] = []
        async with self._database.hub() as tx:
            for programme in sorted(file.programmes, key=lambda one: one.programme):
                line = await _set_programme(tx, programme, file, Officer(officer, caller.key_id), now, dry_run=dry_run)
                lines += [line] if line else []
        return lines

    async def set_enterprise(self, caller: Caller, new: Enterprise, officer: str, *, now: datetime) -> Enterprise:
        """Register an enterprise of a city, or change it.

        Raises: CityNotFound, OwnerNotFound, or EnterpriseSplit: its number or plant is another one's.
        """
        async with self._database.hub() as tx:
            await ledger.check_holder(tx, AccountName(AccountKind.CITY, (new.city,)))
            for owner in new.related_owners:
                await ledger.check_holder(tx, AccountName(AccountKind.OWNER, (owner,)))
            before = await applications.enterprises(tx, new.city, new.enterprise)
            if before == [new]:
                return new
            await applications.put_enterprise(tx, new, now)
            detail = {
                "registration": new.registration,
                "plant": new.plant,
                "related_owners": list(new.related_owners),
                "before": [list(b.related_owners) for b in before],
            }
            who = Officer(officer, caller.key_id)
            await tell(
                tx,
                Step(now, StoryEvent.ENTERPRISE_SET, who, city=new.city, enterprise=new.enterprise, detail=detail),
            )
        return new

    async def review(
        self, caller: Caller, application: int, event: StoryEvent, officer: str, note: str, *, now: datetime
    ) -> ApplicationRow:
        """Begin a review, or refuse what is in review. Raise ApplicationNotFound or VoucherStepRefused."""
        async with self._database.hub() as tx:
            found = await _application(tx, application)
            return await step_application(tx, found, event, Officer(officer, caller.key_id), note, now)

    async def grant(
        self, caller: Caller, draft: GrantDraft, officer: str, *, now: datetime, note: str = "", dry_run: bool = False
    ) -> Granted:
        """Grant what is in review: a voucher with its terms, and its money out of the budget, or nothing.

        Raises:
            ApplicationNotFound, VoucherStepRefused: there is none, or it is not in review.
            InvalidRequest, RelatedParty: it breaks a rule as the programme and the registry are now.
            GrantBeyondCap: it is more than a cap leaves.
            InsufficientCredit: it is more than the budget has.
        """
        async with self._database.hub() as tx:
            programme_name = (await _seen(tx, draft.application)).draft.programme
            rules = await applications.lock_programme(tx, programme_name)
            assert rules is not None  # noqa: S101  # a foreign key says so
            programme = applications.stored_programme(rules)
            found = await _application(tx, draft.application)
            wanted = found.draft
            enterprise = await enterprise_of(tx, wanted.city, wanted.enterprise)
            check_application(programme, enterprise, wanted)
            papers = tuple(dict.fromkeys((*wanted.papers, *draft.papers)))
            given = await vouchers.granted_to(tx, programme_name, wanted.city, wanted.enterprise)
            made = terms(programme, papers, draft.micro_yuan or wanted.micro_yuan, given, draft.papers_due, now)
            event = StoryEvent.GRANTED_CONDITIONALLY if made.missing else StoryEvent.GRANTED
            _next(found, event)
            name = vouchers.voucher_name(programme_name, draft.application)
            budget = money.budget_account(programme.hub, programme_name)
            new = money.granted(budget, wanted.city, name, made.micro_yuan, made.now_micro_yuan, now)
            accounts = await ledger.lock(tx, [budget])
            left = accounts.funds[budget].available - made.micro_yuan
            if dry_run:
                ledger.check(Accounts(dict.fromkeys(new.accounts(), 0), accounts.funds), new)
            else:
                await vouchers.insert(tx, wanted, programme, draft.application, made, now)
                await _post(tx, new, now)
                detail = {"micro_yuan": made.micro_yuan, "at_once": made.now_micro_yuan, "missing": list(made.missing)}
                who = Officer(officer, caller.key_id)
                await step_application(tx, found, event, who, note, now, voucher=name, detail=detail)
        return Granted(
            name, made.micro_yuan, made.now_micro_yuan, made.missing, made.papers_due, made.valid_until, left
        )


async def _post(tx: Connection, new: Transaction, now: datetime) -> Posted:
    """Write a transaction; vouchers' accounts that are not there yet are opened."""
    accounts = await ledger.lock(tx, new.accounts())
    missing = [name for name in new.accounts() if name not in accounts.ids]
    if missing:
        for name in missing:
            await ledger.open_account(tx, account_name("account", name), now)
        accounts = await ledger.lock(tx, new.accounts())
    return await ledger.write(tx, accounts, new)


async def _set_programme(
    tx: Connection, programme: Programme, file: ProgrammeFile, officer: Officer, now: datetime, *, dry_run: bool
) -> str:
    """Set one programme and return what changed, in a sentence; nothing when it is as it was."""
    name, rules = programme.programme, applications.rules_of(programme, file)
    budget = AccountName(AccountKind.BUDGET, (programme.hub, name))
    await ledger.check_holder(tx, budget)
    before = await applications.lock_programme(tx, name)
    if before == rules:
        return ""
    paid_in = 0
    if before is not None:
        old = applications.stored_programme(before)
        paid_in = old.budget.micro_yuan
        if programme.budget.micro_yuan < paid_in or programme.hub != old.hub:
            raise BudgetLowered(programme=name, budget_micro_yuan=paid_in)
    more = programme.budget.micro_yuan - paid_in
    if not dry_run:
        await applications.put_programme(tx, programme, rules, now)
        if more:
            move = Move(f"programme/{name}/{programme.budget.micro_yuan}", budget.text, more, f"programme {name}")
            await _post(tx, deposit(move, now), now)
        sha256 = hashlib.sha256(repr(rules).encode()).hexdigest()
        detail = {"budget_micro_yuan": programme.budget.micro_yuan, "more_micro_yuan": more, "sha256": sha256}
        await tell(tx, Step(now, StoryEvent.PROGRAMME_SET, officer, programme=name, detail=detail))
    paid = f", {more} micro-yuan paid into {budget.text}" if more else ""
    return f"programme {name} {'new' if before is None else 'changed'}{paid}"


async def enterprise_of(tx: Connection, city: str, enterprise: str) -> Enterprise:
    """Return a registered enterprise. Raise EnterpriseNotFound."""
    found = await applications.enterprises(tx, city, enterprise)
    if not found:
        raise EnterpriseNotFound(city=city, enterprise=enterprise)
    return found[0]


async def programme_of(tx: Connection, programme: str) -> Programme:
    """Return a programme. Raise ProgrammeNotFound."""
    found = await applications.programmes(tx, programme) if programme else []
    if not found:
        raise ProgrammeNotFound(programme=programme)
    return found[0].programme


async def step_application(
    tx: Connection,
    found: ApplicationRow,
    event: StoryEvent,
    officer: Officer,
    note: str,
    now: datetime,
    *,
    voucher: str | None = None,
    detail: dict[str, object] | None = None,
) -> ApplicationRow:
    """Move a locked application, and tell it. Raise VoucherStepRefused."""
    state = _next(found, event)
    await applications.move(tx, found.application, state)
    draft = found.draft
    step = Step(
        now,
        event,
        officer,
        draft.programme,
        draft.city,
        draft.enterprise,
        found.application,
        voucher,
        note,
        detail or {},
    )
    await tell(tx, step)
    return ApplicationRow(found.application, draft, state, found.applied_at)


def _next(found: ApplicationRow, event: StoryEvent) -> ApplicationState:
    state = APPLICATION.get((found.state, event))
    if state is None:
        possible = ", ".join(e for (s, e), _ in APPLICATION.items() if s is found.state) or "nothing"
        raise VoucherStepRefused(
            subject=application_text(found.application),
            state=found.state,
            step=event,
            why=f"what can follow is {possible}",
        )
    return state


async def _seen(tx: Connection, application: int) -> ApplicationRow:
    found = await applications.applications(tx, "", "", None, application - 1, 1)
    if not found or found[0].application != application:
        raise ApplicationNotFound(application=application_text(application))
    return found[0]


async def _application(tx: Connection, application: int, city: str = "") -> ApplicationRow:
    found = await applications.lock(tx, application, city)
    if found is None:
        raise ApplicationNotFound(application=application_text(application))
    return found
