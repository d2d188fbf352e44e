"""Between the wire and the domain: accounts, postings, deposits and the audit chain."""

import re
from dataclasses import dataclass
from typing import Final

from broker.errors import FieldProblem
from broker.ids import TransactionId, hold_text, transaction_text
from broker.ledger.accounts import AccountKind, account_name, parse_account
from broker.ledger.money import amount_problem
from broker.ledger.transactions import Move
from broker.market.ledger import Deposited
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import REQUEST_KEY_CHARACTERS_MAX, Checks, shown
from broker.rpc.convert_enums import ACCOUNT_KIND, POCKET, TRANSACTION_KIND
from broker.store.ledger_chain import Chained
from broker.store.ledger_view import AccountRow, PostingRow
from broker.wire.v1 import account_service_pb2 as pb

PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_STANDARD: Final = 200
REFERENCE_CHARACTERS_MAX: Final = 128
POSITION_MAX: Final = 10**18

_POSTING_TOKEN: Final = re.compile(r"([1-9][0-9]{0,17})\.([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Which accounts are asked for."""

    city: str
    kind: AccountKind | None
    after: str
    limit: int


def account_page(request: pb.ListAccountsRequest) -> AccountPage:
    """Return which accounts are asked for. Raise InvalidRequest."""
    checks = Checks()
    kind = None if request.kind == 0 else ACCOUNT_KIND.read(checks, "kind", request.kind)
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
    if request.page_token and parse_account(request.page_token) is None:
        _wrong_token(checks, request.page_token)
    city = checks.slug_or_empty("city", request.city)
    checks.done()
    return AccountPage(city, kind, request.page_token, limit)


def account(request: pb.GetAccountRequest) -> str:
    """Return the name of the account that is asked for. Raise InvalidRequest."""
    return account_name("account", request.account).text


def posting_page(request: pb.ListPostingsRequest) -> tuple[str, tuple[int, int] | None, int]:
    """Return account, the (transaction, line) before which the page begins, and its size. Raise InvalidRequest."""
    checks = Checks()
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
    before = None
    if request.page_token:
        found = _POSTING_TOKEN.fullmatch(request.page_token)
        if found is None:
            _wrong_token(checks, request.page_token)
        else:
            before = int(found[1]), int(found[2])
    if parse_account(request.account) is None:
        checks.wrong("account", f'must be the name of an account, such as "city/ganzhou", not {shown(request.account)}')
    checks.done()
    return request.account, before, limit


def deposit(request: pb.DepositRequest) -> Move:
    """Return the deposit that is asked for. Raise InvalidRequest that names every wrong field.

    What the account's kind and the currency allow is a rule of the ledger: it is checked there.
    """
    checks = Checks()
    checks.printable_ascii("request_key", request.request_key, REQUEST_KEY_CHARACTERS_MAX)
    checks.printable("reference", request.reference, REFERENCE_CHARACTERS_MAX)
    if parse_account(request.account) is None:
        checks.wrong("account", f'must be the name of an account, such as "city/ganzhou", not {shown(request.account)}')
    problem: FieldProblem | None = amount_problem("micro_yuan", request.micro_yuan)
    if problem is not None:
        checks.wrong(problem.field, problem.description)
    checks.done()
    return Move(request.request_key, request.account, request.micro_yuan, request.reference, currency=request.currency)


def after_position(request: pb.ExportLedgerRequest) -> int:
    """Return the position behind which the chain is asked for. Raise InvalidRequest."""
    checks = Checks()
    position = checks.within("after_position", request.after_position, 0, POSITION_MAX)
    checks.done()
    return position


def account_to_wire(row: AccountRow) -> pb.Account:
    """Return an account with its balance."""
    return pb.Account(
        account=row.name,
        kind=ACCOUNT_KIND.to_wire(row.kind),
        available_micro_yuan=row.available,
        held_micro_yuan=row.held,
        opened_at=timestamp(row.opened_at),
        closed_at=None if row.closed_at is None else timestamp(row.closed_at),
    )


def posting_to_wire(row: PostingRow) -> pb.Posting:
    """Return a posting."""
    return pb.Posting(
        transaction_id=transaction_text(row.transaction),
        kind=TRANSACTION_KIND.to_wire(row.kind),
        reference=row.reference,
        at=timestamp(row.at),
        hold_id="" if row.hold is None else hold_text(row.hold),
        pocket=POCKET.to_wire(row.pocket),
        micro_yuan=row.micro_yuan,
    )


def posting_token(row: PostingRow) -> str:
    """Return the token of the page behind a posting."""
    return f"{row.transaction}.{row.line}"


def deposited_to_wire(made: Deposited) -> pb.DepositResponse:
    """Return what became of a deposit."""
    return pb.DepositResponse(
        account=account_to_wire(made.account),
        transaction_id="" if made.transaction is None else transaction_text(TransactionId(made.transaction)),
        opened=made.opened,
        duplicate=made.duplicate,
    )


def entry_to_wire(entry: Chained) -> pb.ChainEntry:
    """Return a transaction of the audit chain."""
    return pb.ChainEntry(position=entry.position, sha256=entry.sha256, text=entry.text)


def _wrong_token(checks: Checks, token: str) -> None:
    checks.wrong("page_token", f"must be the next_page_token of the page before, not {shown(token)}")
