"""What stands on accounts whose balances are locked, and what postings make of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from broker.errors import AccountClosed, BalanceTooLarge, InsufficientCredit
from broker.ledger.accounts import AccountName, Pocket
from broker.ledger.money import BALANCE_MICRO_YUAN_MAX
from broker.ledger.transactions import Posting


@dataclass(frozen=True, slots=True)
class Funds:
    """What stands on an account that never goes below zero, in micro-yuan; read under the lock of its balance."""

    name: AccountName
    available: int
    held: int = 0
    closed: bool = False


def after(funds: Mapping[str, Funds], postings: Iterable[Posting]) -> dict[str, Funds]:
    """Return what the accounts would have after the postings; accounts that are not in `funds` are not looked at.

    Raises:
        AccountClosed: one of them was closed.
        InsufficientCredit: one would go below zero.
        BalanceTooLarge: one would go beyond what a balance can be.
    """
    found: dict[str, Funds] = {}
    for posting in postings:
        before = found.get(posting.account) or funds.get(posting.account)
        if before is None:
            continue
        if before.closed:
            raise AccountClosed(account=posting.account)
        if posting.pocket is Pocket.AVAILABLE:
            found[posting.account] = replace(before, available=before.available + posting.micro_yuan)
        else:
            found[posting.account] = replace(before, held=before.held + posting.micro_yuan)
    for account, funds_after in found.items():
        lowest = min(funds_after.available, funds_after.held)
        if lowest < 0:
            usable = funds[account].available if funds_after.available < 0 else funds[account].held
            raise InsufficientCredit(accounts=account, usable_micro_yuan=usable, wanted_micro_yuan=usable - lowest)
        highest = max(funds_after.available, funds_after.held)
        if highest > BALANCE_MICRO_YUAN_MAX:
            raise BalanceTooLarge(account=account, micro_yuan=highest, micro_yuan_max=BALANCE_MICRO_YUAN_MAX)
    return found
