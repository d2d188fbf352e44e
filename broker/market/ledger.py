"""Money: deposits, grants, captures, releases and credit notes, one transaction each; and who may look at what.

Only the hub's role writes. Cities see their own accounts and those of their enterprises, with their vouchers; an
enterprise its own and those of its vouchers; owners of clusters see their own; operators and auditors see all.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from broker.caller import Caller, Role
from broker.errors import AccountNotEmpty, AccountNotFound, RoleRefused, invalid
from broker.ids import HoldId, TransactionId
from broker.ledger.accounts import NEVER_BELOW_ZERO, AccountKind, AccountName, account_name
from broker.ledger.funds import Funds
from broker.ledger.holds import Capture
from broker.ledger.transactions import Move, Transaction, credit_note, deposit, grant
from broker.ledger.work import Billing
from broker.market import access
from broker.store import acts, holds, ledger, ledger_chain, ledger_view, prepaid
from broker.store.database import Connection, Database
from broker.store.ledger import Accounts, Posted
from broker.store.ledger_chain import Chained
from broker.store.ledger_view import AccountRow, PostingRow


@dataclass(frozen=True, slots=True)
class Deposited:
    """What became, or would become, of a deposit.

    Attributes:
        account: the account after it.
        transaction: its number; None of a dry run that would post.
        opened: the account was not there before.
        duplicate: it had been made before, with the same key and body.
    """

    account: AccountRow
    transaction: TransactionId | None
    opened: bool
    duplicate: bool


class Ledger:
    """Use cases of the ledger. Amounts are micro-yuan; a request key makes each repeatable."""

    def __init__(self, database: Database, *, wake: Callable[[], None] = lambda: None) -> None:
        """`wake`: called when money has come in that jobs may wait for."""
        self._database = database
        self._wake = wake

    async def deposit(self, caller: Caller, move: Move, *, now: datetime, dry_run: bool = False) -> Deposited:
        """Book money from outside to a city, an enterprise or a budget; its account is opened at the first time.

        Raises: InvalidRequest, CityNotFound, HubNotFound, AccountClosed, BalanceTooLarge, PostingConflict.
        """
        new = deposit(move, now)
        name = account_name("account", move.account)
        async with self._database.hub() as tx:
            before = await ledger_view.account(tx, name.text)
            if dry_run:
                return await _tried(tx, name, new, before, now)
            posted = await _moved(tx, new, name, now)
            if not posted.duplicate:
                detail = {"micro_yuan": move.micro_yuan, "reference": move.reference, "transaction": posted.transaction}
                await acts.record(tx, at=now, key_id=caller.key_id, act="deposit", subject=name.text, detail=detail)
            found = await _account(tx, name.text)
        self._wake()
        return Deposited(found, posted.transaction, opened=before is None, duplicate=posted.duplicate)

    async def grant(self, move: Move, *, now: datetime) -> Posted:
        """Draw on a budget for a voucher, which is opened at the first time.

        Raises: InvalidRequest, AccountNotFound, AccountClosed, CityNotFound, InsufficientCredit, PostingConflict.
        """
        new = grant(move, now)
        async with self._database.hub() as tx:
            granted = await _moved(tx, new, account_name("account", move.account), now)
        self._wake()
        return granted

    async def credit_note(self, move: Move, *, now: datetime) -> Posted:
        """Give a city, an enterprise or a voucher money back, out of what an owner or the exchange has.

        Raises: InvalidRequest, HoldNotFound, AccountNotFound, AccountClosed, BalanceTooLarge, PostingConflict.
        """
        new = credit_note(move, now)
        async with self._database.hub() as tx:
            if move.hold is not None:
                await holds.lock(tx, move.hold)
            return await ledger.write(tx, await ledger.lock(tx, new.accounts()), new)

    async def capture(self, wanted: Capture, *, now: datetime) -> Posted:
        """Pay an owner out of a hold; see `broker.store.holds.capture` for what is refused."""
        async with self._database.hub() as tx:
            return await holds.capture(tx, wanted, now)

    async def release(self, hold: HoldId, request_key: str, *, now: datetime) -> Posted:
        """Give back what is open of a hold. Raise HoldNotFound, HoldEnded, InvalidRequest or PostingConflict."""
        async with self._database.hub() as tx:
            return await holds.release(tx, hold, request_key, now)

    async def close(self, caller: Caller, account: str, *, now: datetime) -> AccountRow:
        """Close an empty account for ever. Repeating it is harmless.

        Raises: InvalidRequest, AccountNotFound, AccountNotEmpty.
        """
        name = account_name("account", account)
        if name.kind not in NEVER_BELOW_ZERO:
            raise invalid("account", f"must be one of {', '.join(sorted(NEVER_BELOW_ZERO))}: {name.text} stays open")
        async with self._database.hub() as tx:
            accounts = await ledger.lock(tx, [name.text])
            before = await _account(tx, name.text)
            if before.available or before.held:
                raise AccountNotEmpty(
                    account=name.text, available_micro_yuan=before.available, held_micro_yuan=before.held
                )
            if before.closed_at is None:
                await ledger.close_account(tx, accounts.ids[name.text], now)
                await acts.record(tx, at=now, key_id=caller.key_id, act="close_account", subject=name.text, detail={})
            return await _account(tx, name.text)

    async def set_billing(
        self, caller: Caller, city: str, billing: Billing, *, now: datetime, dry_run: bool = False
    ) -> Billing:
        """Say how a city pays from now on, and return how it paid before. Raise CityNotFound.

        Leases that are there keep what is held for them, or go on without.
        """
        async with self._database.hub() as tx:
            before = await prepaid.billing_of(tx, city)
            if before is not billing and not dry_run:
                await prepaid.set_billing(tx, city, billing)
                detail = {"before": before, "after": billing}
                await acts.record(tx, at=now, key_id=caller.key_id, act="set_billing", subject=city, detail=detail)
        self._wake()
        return before

    async def accounts(
        self, caller: Caller, *, city: str = "", kind: AccountKind | None = None, after: str = "", limit: int
    ) -> list[AccountRow]:
        """Return a page of the accounts that the caller may see, by name. Raise RoleRefused."""
        async with self._seen_by(caller) as tx:
            return await ledger_view.accounts(tx, city=city or None, kind=kind, after=after, limit=limit)

    async def account(self, caller: Caller, account: str) -> AccountRow:
        """Return where an account stands. Raise InvalidRequest, AccountNotFound or RoleRefused."""
        name = account_name("account", account)
        async with self._seen_by(caller) as tx:
            return await _account(tx, name.text)

    async def postings(
        self, caller: Caller, account: str, before: tuple[int, int] | None, limit: int
    ) -> list[PostingRow]:
        """Return a page of an account's postings, newest first. Raise InvalidRequest, AccountNotFound, RoleRefused."""
        name = account_name("account", account)
        async with self._seen_by(caller) as tx:
            await _account(tx, name.text)
            return await ledger_view.postings(tx, name.text, before, limit)

    async def chain(self, after: int, limit: int) -> list[Chained]:
        """Return the next part of the audit chain behind a position."""
        async with self._database.hub() as tx:
            return await ledger_chain.page(tx, after, limit)

    def _seen_by(self, caller: Caller) -> AbstractAsyncContextManager[Connection]:
        if caller.city:
            return access.own_rows(self._database, caller)
        if caller.role is Role.OWNER:
            return self._database.owner(caller.subject)
        if caller.role in (Role.OPERATOR, Role.AUDITOR):
            return self._database.hub()
        raise RoleRefused(
            role=caller.role, needed="the books are for cities, enterprises, owners, auditors and operators"
        )


async def _moved(tx: Connection, new: Transaction, opened: AccountName, now: datetime) -> Posted:
    """Write a transaction, with the account that gets the money opened where it is not there yet."""
    accounts = await ledger.lock(tx, new.accounts())
    if opened.text not in accounts.ids:
        await ledger.open_account(tx, opened, now)
        accounts = await ledger.lock(tx, new.accounts())
    return await ledger.write(tx, accounts, new)


async def _tried(
    tx: Connection, name: AccountName, new: Transaction, before: AccountRow | None, now: datetime
) -> Deposited:
    """Return what a deposit would do, and write nothing. Raise what it would raise."""
    await ledger.check_holder(tx, name)
    known = (await ledger.known(tx, [new.request_key])).get(new.request_key)
    if known is not None and before is not None:
        return Deposited(before, known.check(new.body_sha256), opened=False, duplicate=True)
    found = before or AccountRow(name.text, name.kind, now, None, 0, 0)
    funds = {name.text: Funds(name, found.available, found.held, closed=found.closed_at is not None)}
    ledger.check(Accounts(dict.fromkeys(new.accounts(), 0), funds), new)
    brought = sum(p.micro_yuan for p in new.postings if p.account == name.text)
    return Deposited(replace(found, available=found.available + brought), None, opened=before is None, duplicate=False)


async def _account(tx: Connection, name: str) -> AccountRow:
    found = await ledger_view.account(tx, name)
    if found is None:
        raise AccountNotFound(account=name)
    return found
