"""Invoices of cities and enterprises, statements of owners, credit notes. Only read, but for credit notes by operators.

A city's papers are read in its own transaction, behind the fence of its rows. A statement tells what the exchange kept
and paid beside an owner's own account, so it is read in the hub's, bound to the owner by its WHERE.
"""

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from broker.caller import Caller, Role
from broker.errors import AccountNotFound, CityNotFound, HoldNotFound, OwnerNotFound, RoleRefused, invalid
from broker.ids import TransactionId
from broker.ledger.accounts import AccountKind, AccountName, account_name
from broker.ledger.transactions import Move, credit_note
from broker.market import access
from broker.papers.month import Month
from broker.papers.paper import CreditNote, Paper, PaperKind, WorkLine
from broker.store import acts, ledger, ledger_view, papers
from broker.store.database import Connection, Database

ABOUT: Final = re.compile(r"(hold|lease|quote)-([1-9][0-9]{0,17})")
"""What a credit note can be about."""


@dataclass(frozen=True, slots=True)
class Credited:
    """What became, or would become, of a credit note.

    Attributes:
        transaction: its number; None of a dry run that would post.
        duplicate: it had been posted before, with the same key and body.
        reference: what it says, the subject first.
    """

    transaction: TransactionId | None
    duplicate: bool
    reference: str


class Papers:
    """Use cases of papers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def invoice(self, caller: Caller, month: Month, city: str, enterprise: str, *, now: datetime) -> Paper:
        """Return what a city, or one of its enterprises, paid in a month. An empty city: the caller's.

        An enterprise gets its own, as its city does: with what the city paid for its jobs.

        Raises: InvalidRequest, CityNotFound, AccountNotFound, RoleRefused.
        """
        _check_begun(month, now)
        if caller.role is Role.ENTERPRISE:
            city, enterprise = city or caller.city, access.own_enterprise(caller, enterprise, "enterprise")
        city = _own(caller, Role.CITY, city, "city")
        kind, parts = (AccountKind.ENTERPRISE, (city, enterprise)) if enterprise else (AccountKind.CITY, (city,))
        party = AccountName(kind, parts)
        if caller.city and city != caller.city:
            raise CityNotFound(city=city)
        async with self._seen_by(caller) as tx:
            if not caller.city:
                await ledger.check_holder(tx, party)
            lines = await papers.invoice_lines(tx, month, city, enterprise or None)
            notes = await papers.credit_notes(tx, month, city=city, enterprise=enterprise or None)
            unknown = enterprise and not caller.enterprise and not lines and not notes
            if unknown and await ledger_view.account(tx, party.text) is None:
                raise AccountNotFound(account=party.text)
        notes = [replace(note, payer="") for note in notes]  # a city does not see it, and the paper is the same for all
        return _paper(PaperKind.INVOICE, party, month, now, lines, notes)

    async def statement(self, caller: Caller, month: Month, owner: str, *, now: datetime) -> Paper:
        """Return what an owner of clusters earned in a month. An empty owner: the caller.

        Raises: InvalidRequest, OwnerNotFound, RoleRefused.
        """
        _check_begun(month, now)
        owner = _own(caller, Role.OWNER, owner, "owner")
        party = AccountName(AccountKind.OWNER, (owner,))
        if caller.role is Role.OWNER and owner != caller.subject:
            raise OwnerNotFound(owner=owner)
        if caller.role not in (Role.OWNER, Role.OPERATOR, Role.AUDITOR):
            raise RoleRefused(role=caller.role, needed="statements are for owners, auditors and operators")
        async with self._database.hub() as tx:
            if await ledger_view.account(tx, party.text) is None:
                await ledger.check_holder(tx, party)
            lines = await papers.statement_lines(tx, month, owner)
            notes = await papers.credit_notes(tx, month, owner=owner)
        return _paper(PaperKind.STATEMENT, party, month, now, lines, notes)

    async def post_credit_note(
        self, caller: Caller, move: Move, about: str, *, now: datetime, dry_run: bool = False
    ) -> Credited:
        """Give money back for a hold, a lease or a quote; the reference says which, then the reason.

        Raises: InvalidRequest, HoldNotFound, AccountNotFound, AccountClosed, BalanceTooLarge, PostingConflict.
        """
        name = account_name("account", move.account)
        async with self._database.hub() as tx:
            found = await papers.hold_about(tx, about)
            if found is None:
                raise HoldNotFound(hold=f"for {about}")
            hold, city = found
            if name.city != city:
                raise invalid("account", f"must be an account of {city}, whose hold {about} is, not {name.text[:80]}")
            named = replace(move, reference=f"{about}: {move.reference}", hold=hold)
            new = credit_note(named, now)
            accounts = await ledger.lock(tx, new.accounts())
            if dry_run:
                known = (await ledger.known(tx, [new.request_key])).get(new.request_key)
                if known is not None:
                    return Credited(known.check(new.body_sha256), True, named.reference)
                ledger.check(accounts, new)
                return Credited(None, False, named.reference)
            posted = await ledger.write(tx, accounts, new)
            if not posted.duplicate:
                detail = {"micro_yuan": move.micro_yuan, "payer": move.payer, "reference": named.reference}
                await acts.record(tx, at=now, key_id=caller.key_id, act="credit_note", subject=name.text, detail=detail)
        return Credited(posted.transaction, posted.duplicate, named.reference)

    def _seen_by(self, caller: Caller) -> AbstractAsyncContextManager[Connection]:
        if caller.city:  # its city's paper about it, the same for both, so the query itself is bound to the enterprise
            return self._database.city(caller.city)
        if caller.role in (Role.OPERATOR, Role.AUDITOR):
            return self._database.hub()
        raise RoleRefused(role=caller.role, needed="invoices are for cities, enterprises, auditors and operators")


def _own(caller: Caller, role: Role, named: str, field: str) -> str:
    if named:
        return named
    if caller.role is role:
        return caller.subject
    raise invalid(field, f"must be named by a key of role {caller.role}")


def _check_begun(month: Month, now: datetime) -> None:
    if month.begins_at > now:
        raise invalid("month", f"{month.text} has not begun: it begins at {month.begins_at.isoformat()}")


def _paper(
    kind: PaperKind, party: AccountName, month: Month, now: datetime, lines: list[WorkLine], notes: list[CreditNote]
) -> Paper:
    provisional_at = None if month.is_closed(now) else now
    return Paper(kind, party.text, month.text, provisional_at, tuple(lines), tuple(notes))
