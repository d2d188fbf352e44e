"""Vouchers after and around their grant: applying, papers, suspension, expiry, redemption; and who may look at what.

A city sees its own, an enterprise what is its, the voucher office, auditors and operators see all. Each act is one
transaction with its story.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from broker.caller import Caller, Role
from broker.errors import (
    ApplicationNotFound,
    ProgrammeNotFound,
    RoleRefused,
    VoucherNotFound,
    VoucherStepRefused,
    invalid,
)
from broker.ids import application_text
from broker.ledger.accounts import AccountKind, AccountName
from broker.market import access
from broker.market.voucher_office import enterprise_of, programme_of, step_application
from broker.request_key import stored_key
from broker.store import ledger, voucher_story, vouchers
from broker.store import voucher_applications as applications
from broker.store.database import Connection, Database
from broker.store.voucher_applications import ApplicationRow, ProgrammeRow
from broker.store.voucher_story import Officer, Step, StoryOf, tell
from broker.store.vouchers import Moved, VoucherRow
from broker.vouchers import money
from broker.vouchers.applying import ApplicationDraft, Enterprise, check_application
from broker.vouchers.burn import Burn, burn
from broker.vouchers.paying import rest_account
from broker.vouchers.states import VOUCHER, ApplicationState, StoryEvent, VoucherState
from broker.worlds.rates import PROGRAMME_TIME

BATCH_VOUCHERS = 100
CLOCK = Officer("the clock", "")
"""Who does what no person does."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How fast a programme's money goes: the budget by grants, what is granted by captures."""

    programme: str
    budget: Burn
    granted: Burn


class Vouchers:
    """Use cases of cities, and what happens to vouchers after their grant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, caller: Caller, draft: ApplicationDraft, *, now: datetime) -> tuple[ApplicationRow, bool]:
        """Apply for a voucher; return the application, and whether the same request had made it before.

        Raises:
            ProgrammeNotFound, EnterpriseNotFound, OwnerNotFound: what it names is not there.
            InvalidRequest, RelatedParty: it breaks a rule of the programme.
            ContractClaimed: the contract is subsidised already, or is to be.
            ApplicationConflict: the request key was used for another application.
        """
        city = _own_city(caller, draft.city)
        named = access.own_enterprise(caller, draft.enterprise, "enterprise")
        key = stored_key(caller.enterprise, draft.request_key)
        draft = replace(draft, city=city, enterprise=named, request_key=key)
        async with self._database.hub() as tx:
            programme = await programme_of(tx, draft.programme)
            enterprise = await enterprise_of(tx, city, draft.enterprise)
            await ledger.check_holder(tx, AccountName(AccountKind.OWNER, (draft.provider,)))
            check_application(programme, enterprise, draft)
            number, duplicate = await applications.apply(tx, draft, now)
            if not duplicate:
                who = _applicant(caller)
                detail = {"contract": draft.contract, "provider": draft.provider, "micro_yuan": draft.micro_yuan}
                step = Step(
                    now, StoryEvent.APPLIED, who, draft.programme, city, draft.enterprise, number, detail=detail
                )
                await tell(tx, step)
            found = await applications.lock(tx, number, city)
        assert found is not None  # noqa: S101  # it was stored a moment ago
        return found, duplicate

    async def withdraw(self, caller: Caller, application: int, note: str, *, now: datetime) -> ApplicationRow:
        """Take an application back: its contract is free. Raise ApplicationNotFound or VoucherStepRefused."""
        city = _own_city(caller, "")
        async with self._database.hub() as tx:
            found = await applications.lock(tx, application, city)
            if found is None or caller.enterprise not in ("", found.draft.enterprise):
                raise ApplicationNotFound(application=application_text(application))
            return await step_application(tx, found, StoryEvent.WITHDRAWN, _applicant(caller), note, now)

    async def deliver_papers(
        self, caller: Caller, voucher: str, papers: Sequence[str], officer: str, note: str, *, now: datetime
    ) -> VoucherRow:
        """Note that missing papers are there; with the last of them the voucher is whole.

        A voucher that was suspended because they were late pays again; one that an officer suspended stays so.

        Raises: VoucherNotFound, VoucherStepRefused, or InvalidRequest: a paper is not missing.
        """
        async with self._database.hub() as tx:
            found = await _locked(tx, voucher)
            strange = [p for p in papers if p not in found.papers_missing]
            if strange or not papers:
                listed = ", ".join(found.papers_missing) or "nothing"
                raise invalid("papers", f"{listed} is missing, not {', '.join(strange) or 'nothing'}")
            left = tuple(p for p in found.papers_missing if p not in papers)
            whole = not left and not found.suspended_by_officer
            event = StoryEvent.PAPERS_COMPLETE if whole else StoryEvent.PAPERS_DELIVERED
            changed = replace(
                _as_it_is(found), papers_missing=left, papers_due=found.terms.papers_due if left else None
            )
            if not left and found.rest_micro_yuan:
                posting = money.completed(found.terms.city, voucher, found.rest_micro_yuan, now)
                await ledger.write(tx, await ledger.lock(tx, posting.accounts()), posting)
            who = Officer(officer, caller.key_id)
            await _step(tx, found, event, who, now, changed, note=note, detail={"papers": list(papers)})
            return await _found(tx, voucher)

    async def change(
        self, caller: Caller, voucher: str, event: StoryEvent, officer: str, note: str, *, now: datetime
    ) -> VoucherRow:
        """Suspend, resume or redeem a voucher. What runs goes on, and what is held stays capturable.

        Raises: VoucherNotFound, VoucherStepRefused: not in its state, or something stands against it.
        """
        async with self._database.hub() as tx:
            found = await _locked(tx, voucher)
            if event is StoryEvent.RESUMED and found.papers_missing:
                raise _refused(found, event, f"{', '.join(found.papers_missing)} must be delivered first")
            if event is StoryEvent.REDEEMED and found.terms.available_micro_yuan + found.held_micro_yuan:
                raise _refused(found, event, "something is held or has not gone back to the budget yet")
            if event is StoryEvent.RESUMED and now >= found.terms.valid_until:
                raise _refused(found, event, "its time is over")
            await _step(tx, found, event, Officer(officer, caller.key_id), now, _as_it_is(found), note=note)
            return await _found(tx, voucher)

    async def care(self, now: datetime) -> int:
        """Do what the clock asks for: overdue papers suspend, validity ends, money goes back. Return how many steps."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                names = await vouchers.due(tx, now, BATCH_VOUCHERS)
            steps = 0
            for name in names:
                async with self._database.hub() as tx:  # one transaction for each: a busy one holds up no other
                    steps += await _care(tx, name, now)
            total += steps
            if len(names) < BATCH_VOUCHERS or not steps:
                return total

    async def programmes(self, caller: Caller, programme: str = "") -> list[ProgrammeRow]:
        """Return programmes by name; to a city their budgets are not told."""
        async with self._seen_by(caller) as tx:
            found = await applications.programmes(tx, programme)
        if programme and not found:
            raise ProgrammeNotFound(programme=programme)
        return found

    async def enterprises(self, caller: Caller, city: str, after: tuple[str, str], limit: int) -> list[Enterprise]:
        """Return a page of the enterprises that the caller may see."""
        async with self._seen_by(caller) as tx:
            return await applications.enterprises(tx, city, after=after, limit=limit)

    async def applications(
        self, caller: Caller, city: str, programme: str, state: ApplicationState | None, after: int, limit: int
    ) -> list[ApplicationRow]:
        """Return a page of the applications that the caller may see."""
        async with self._seen_by(caller) as tx:
            return await applications.applications(tx, city, programme, state, after, limit)

    async def page(
        self, caller: Caller, city: str, enterprise: str, programme: str, after: str, limit: int
    ) -> list[VoucherRow]:
        """Return a page of the vouchers that the caller may see."""
        async with self._seen_by(caller) as tx:
            return await vouchers.page(tx, city, enterprise, programme, after, limit)

    async def voucher(self, caller: Caller, voucher: str) -> VoucherRow:
        """Return a voucher. Raise VoucherNotFound."""
        async with self._seen_by(caller) as tx:
            return await _found(tx, voucher)

    async def story(self, caller: Caller, of: StoryOf, after: int, limit: int) -> list[Step]:
        """Return a page of the story, oldest first."""
        async with self._seen_by(caller) as tx:
            return await voucher_story.story(tx, of, after, limit)

    async def story_of_application(self, caller: Caller, application: int, limit: int) -> list[Step]:
        """Return what happened to an application, oldest first; nothing for one that the caller may not see."""
        return await self.story(caller, StoryOf(application=application), 0, limit)

    async def forecast(self, caller: Caller, programme: str, *, now: datetime) -> Forecast:
        """Return how fast a programme's money goes. Raise ProgrammeNotFound, or RoleRefused for a city."""
        if caller.city:
            raise RoleRefused(role=caller.role, needed="budgets are for the voucher office, auditors and operators")
        today = now.astimezone(PROGRAMME_TIME).date()
        async with self._seen_by(caller) as tx:
            found = await programme_of(tx, programme)
            [row] = await applications.programmes(tx, programme)
            budget = await vouchers.grants_by_day(tx, money.budget_account(found.hub, programme))
            used = await vouchers.captures_by_day(tx, programme)
            unused = await vouchers.unused(tx, programme)
        return Forecast(programme, burn(row.left_micro_yuan, budget, today), burn(unused, used, today))

    def _seen_by(self, caller: Caller) -> AbstractAsyncContextManager[Connection]:
        if caller.city:
            return access.own_rows(self._database, caller)
        if caller.role in (Role.VOUCHER_OFFICE, Role.OPERATOR, Role.AUDITOR):
            return self._database.hub()
        raise RoleRefused(
            role=caller.role, needed="vouchers are for cities, enterprises, the voucher office, auditors, operators"
        )


async def _care(tx: Connection, name: str, now: datetime) -> int:
    """Do what is due for one voucher; return how many steps."""
    found = await _locked(tx, name)
    steps, state = 0, found.terms.state
    balance = found.terms.available_micro_yuan + found.held_micro_yuan
    if state not in (VoucherState.EXPIRED, VoucherState.REDEEMED) and now >= found.terms.valid_until:
        await _step(tx, found, StoryEvent.EXPIRED, CLOCK, now, _as_it_is(found))
        found, steps = await _found(tx, name), 1
    elif state is VoucherState.CONDITIONAL and found.terms.papers_due is not None and now >= found.terms.papers_due:
        await _step(tx, found, StoryEvent.PAPERS_OVERDUE, CLOCK, now, _as_it_is(found))
        return 1
    elif state is VoucherState.ACTIVE and not balance:
        await _step(tx, found, StoryEvent.USED_UP, CLOCK, now, _as_it_is(found))
        return 1
    elif state is VoucherState.USED_UP and balance:
        await _step(tx, found, StoryEvent.RESUMED, CLOCK, now, _as_it_is(found))
        return 1
    if found.terms.state is VoucherState.EXPIRED:
        steps += await _give_back(tx, found, now)
    return steps


async def _give_back(tx: Connection, found: VoucherRow, now: datetime) -> int:
    """Return to the budget what an expired voucher has available; what is held comes when its hold ends."""
    city, name = found.terms.city, found.terms.voucher
    budget = money.budget_account(found.terms.hub, found.terms.programme)
    accounts = await ledger.lock(tx, [budget, found.terms.account, rest_account(city, name)])
    there = {account: funds.available for account, funds in accounts.funds.items()}
    available, rest = there.get(found.terms.account, 0), there.get(rest_account(city, name), 0)
    times = found.returns + 1
    new = money.returned(budget, city, name, available, rest, times, now)
    if new is None:
        return 0
    await ledger.write(tx, accounts, new)
    changed = replace(_as_it_is(found), returns=times)
    await _step(tx, found, StoryEvent.RETURNED, CLOCK, now, changed, detail={"micro_yuan": available + rest})
    return 1


async def _step(
    tx: Connection,
    found: VoucherRow,
    event: StoryEvent,
    officer: Officer,
    now: datetime,
    changed: Moved,
    *,
    note: str = "",
    detail: dict[str, object] | None = None,
) -> None:
    """Move a locked voucher, and tell it. Raise VoucherStepRefused."""
    terms = found.terms
    state = VOUCHER.get((terms.state, event))
    if state is None:
        possible = ", ".join(e for (s, e), _ in VOUCHER.items() if s is terms.state) or "nothing"
        raise _refused(found, event, f"what can follow is {possible}")
    suspended = state is VoucherState.SUSPENDED
    to = replace(
        changed,
        state=state,
        suspended_at=(found.suspended_at or now) if suspended else None,
        suspended_by_officer=suspended and (found.suspended_by_officer or event is StoryEvent.SUSPENDED),
    )
    await vouchers.move(tx, terms.voucher, to)
    where = (terms.programme, terms.city, terms.enterprise, found.application, terms.voucher)
    await tell(tx, Step(now, event, officer, *where, note, detail or {}))


def _as_it_is(found: VoucherRow) -> Moved:
    return Moved(
        found.terms.state,
        found.suspended_at,
        found.suspended_by_officer,
        found.papers_missing,
        found.terms.papers_due,
        found.returns,
    )


def _refused(found: VoucherRow, event: StoryEvent, why: str) -> VoucherStepRefused:
    subject = f"voucher {found.terms.voucher}"
    return VoucherStepRefused(subject=subject, state=found.terms.state, step=event, why=why)


async def _locked(tx: Connection, voucher: str) -> VoucherRow:
    found = await vouchers.lock(tx, voucher)
    if found is None:
        raise VoucherNotFound(voucher=voucher)
    return found


async def _found(tx: Connection, voucher: str) -> VoucherRow:
    found = await vouchers.one(tx, voucher)
    if found is None:
        raise VoucherNotFound(voucher=voucher)
    return found


def _own_city(caller: Caller, named: str) -> str:
    if not caller.city:
        raise RoleRefused(role=caller.role, needed="applications are made with the key of a city or an enterprise")
    if named not in ("", caller.city):
        raise RoleRefused(role=caller.role, needed=f"it is for {caller.subject}, leave the field city empty")
    return caller.city


def _applicant(caller: Caller) -> Officer:
    """Return who applies, as the story has it: "city ganzhou" or "enterprise ganzhou/acme"."""
    return Officer(f"{caller.role} {caller.subject}", caller.key_id)
