"""The transactions of a voucher's life: granted, whole when its papers are, given back when its time is over."""

from datetime import datetime

from broker.ledger.accounts import AccountKind, AccountName
from broker.ledger.transactions import Posting, Transaction, TransactionKind, full_key
from broker.vouchers.paying import rest_account, voucher_account


def budget_account(hub: str, programme: str) -> str:
    """Return the account of a programme's budget."""
    return AccountName(AccountKind.BUDGET, (hub, programme)).text


def granted(budget: str, city: str, voucher: str, micro_yuan: int, at_once: int, at: datetime) -> Transaction:
    """Return the grant: out of the budget whole, into the voucher as far as it may be used at once.

    What may be used only when the papers are complete leaves the budget as well, so that it is there by then.
    """
    lines = [
        Posting(budget, -micro_yuan),
        Posting(voucher_account(city, voucher), at_once),
        Posting(rest_account(city, voucher), micro_yuan - at_once),
    ]
    return _made(TransactionKind.GRANT, voucher, voucher, lines, at)


def completed(city: str, voucher: str, rest: int, at: datetime) -> Transaction:
    """Return what makes a conditional grant whole."""
    lines = [Posting(rest_account(city, voucher), -rest), Posting(voucher_account(city, voucher), rest)]
    return _made(TransactionKind.GRANT, f"{voucher}/rest", voucher, lines, at)


def returned(
    budget: str, city: str, voucher: str, available: int, rest: int, times: int, at: datetime
) -> Transaction | None:
    """Return what goes back to the budget after expiry, for the `times`-th time; None when nothing is left."""
    if available + rest == 0:
        return None
    lines = [
        Posting(voucher_account(city, voucher), -available),
        Posting(rest_account(city, voucher), -rest),
        Posting(budget, available + rest),
    ]
    return _made(TransactionKind.RETURN, f"{voucher}/{times}", voucher, lines, at)


def _made(kind: TransactionKind, key: str, voucher: str, lines: list[Posting], at: datetime) -> Transaction:
    postings = tuple(line for line in lines if line.micro_yuan)
    body: dict[str, object] = {"postings": [[p.account, p.micro_yuan] for p in postings]}
    return Transaction(kind, full_key(kind, f"voucher/{key}"), body, f"voucher {voucher}", at, postings)
