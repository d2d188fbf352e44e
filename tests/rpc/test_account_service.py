"""AccountService over a socket: each sees his own, deposits are booked once, the chain comes whole."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.caller import Role
from broker.clock import ManualClock
from broker.errors import InvalidRequest
from broker.loops.chaining import Chaining
from broker.market.identity import Identity
from broker.market.ledger import Ledger
from broker.market.month_reports import MonthReports
from broker.market.papers import Papers
from broker.market.uses import Uses
from broker.rpc import convert_accounts as convert
from broker.rpc import convert_papers, convert_reports
from broker.rpc.account_service import AccountService
from broker.rpc.server import build_server
from broker.store.database import Database
from broker.wire.v1 import account_service_pb2 as pb
from broker.wire.v1 import papers_pb2
from broker.wire.v1.account_service_pb2_grpc import AccountServiceStub
from tests.books import CITY, OWNER, VOUCHER, Books, a_capture, open_books
from tests.conftest import Dsns
from tests.rpc.conftest import bearer
from tests.rpc.refusals import refusal
from tests.rpc.wire_strategies import messages
from tests.small_world import T0

WHO = {
    "ganzhou": (Role.CITY, "ganzhou"),
    "nanjing": (Role.CITY, "nanjing"),
    "owner": (Role.OWNER, "longdong"),
    "auditor": (Role.AUDITOR, ""),
    "operator": (Role.OPERATOR, ""),
    "observer": (Role.OBSERVER, ""),
}
A_DEPOSIT = pb.DepositRequest(request_key="k", account=CITY, micro_yuan=5, currency="CNY", reference="slip 9")


@dataclass
class Counter:
    """The service on a socket, over books with a captured hold, and a key for everyone."""

    books: Books
    stub: Any
    keys: dict[str, str]

    async def call(self, who: str, method: str, request: Any) -> Any:
        return await getattr(self.stub, method)(request, metadata=bearer(self.keys[who]), timeout=30)

    async def names(self, who: str, **asked: Any) -> list[str]:
        answer = await self.call(who, "ListAccounts", pb.ListAccountsRequest(**asked))
        return [account.account for account in answer.accounts]


async def _unlimited(_: str) -> int:
    return 1_000_000


@pytest.fixture
async def counter(database: Database, dsns: Dsns) -> AsyncIterator[Counter]:
    books = await open_books(database, dsns)
    held = await books.hold(100)
    await books.ledger.capture(a_capture(held.hold, 40), now=T0)
    identity, clock = Identity(database), ManualClock(T0)
    keys = {who: (await identity.create(role, subject, "", T0)).text for who, (role, subject) in WHO.items()}
    service = AccountService(
        Ledger(database), clock, uses=Uses(database), papers=Papers(database), reports=MonthReports(database)
    )
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=_unlimited, clock=clock
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Counter(books, AccountServiceStub(channel), keys)
    finally:
        await server.stop(0)


async def test_each_sees_his_own_accounts(counter: Counter) -> None:
    everything = await counter.names("operator")

    assert await counter.names("ganzhou") == ["city/ganzhou", "enterprise/ganzhou/acme", "voucher/ganzhou/7"]
    assert await counter.names("nanjing") == []
    assert await counter.names("nanjing", city="ganzhou") == []
    assert await counter.names("owner") == [OWNER]
    assert everything == await counter.names("auditor") == sorted(everything)
    assert await counter.names("operator", city="ganzhou", kind=pb.ACCOUNT_KIND_VOUCHER) == [VOUCHER]
    assert await counter.names("operator", page_size=1, page_token=CITY) == ["enterprise/ganzhou/acme"]


async def test_a_balance_and_its_postings_are_told_with_what_they_are_about(counter: Counter) -> None:
    account = (await counter.call("ganzhou", "GetAccount", pb.GetAccountRequest(account=VOUCHER))).account
    first = await counter.call("ganzhou", "ListPostings", pb.ListPostingsRequest(account=VOUCHER, page_size=1))
    rest = await counter.call(
        "ganzhou", "ListPostings", pb.ListPostingsRequest(account=VOUCHER, page_token=first.next_page_token)
    )

    assert (account.available_micro_yuan, account.held_micro_yuan) == (970, 18)
    [newest] = first.postings
    assert (newest.kind, newest.pocket, newest.micro_yuan) == (pb.TRANSACTION_KIND_CAPTURE, pb.POCKET_HELD, -12)
    assert newest.hold_id == rest.postings[0].transaction_id.replace("transaction", "hold")
    assert [p.micro_yuan for p in rest.postings] == [30, -30, 1000]
    assert rest.next_page_token == ""


async def test_a_deposit_is_tried_booked_once_and_told_apart_from_another(counter: Counter) -> None:
    tried = await counter.call("operator", "Deposit", pb.DepositRequest(dry_run=True, **fields(A_DEPOSIT)))
    made = await counter.call("operator", "Deposit", A_DEPOSIT)
    again = await counter.call("operator", "Deposit", A_DEPOSIT)

    assert (tried.transaction_id, tried.account.available_micro_yuan) == ("", 1005)
    assert (made.duplicate, made.opened, made.account.available_micro_yuan) == (False, False, 1005)
    assert (again.duplicate, again.transaction_id) == (True, made.transaction_id)
    other = pb.DepositRequest(**fields(A_DEPOSIT) | {"micro_yuan": 6})
    assert (await refusal(counter.call("operator", "Deposit", other))).reason == "POSTING_CONFLICT"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_key": ""}, "request_key"),
        ({"request_key": "名"}, "request_key"),
        ({"reference": ""}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"account": "bank"}, "account"),
        ({"account": "fee"}, "account"),
        ({"account": "voucher/ganzhou/7"}, "account"),
        ({"micro_yuan": 0}, "micro_yuan"),
        ({"micro_yuan": -1}, "micro_yuan"),
        ({"micro_yuan": 2**63 - 1}, "micro_yuan"),
        ({"currency": "USD"}, "currency"),
    ],
)
async def test_a_deposit_that_cannot_be_meant_is_told_by_field(
    counter: Counter, changes: dict[str, Any], field: str
) -> None:
    before = await counter.books.transactions()

    refused = await refusal(counter.call("operator", "Deposit", pb.DepositRequest(**fields(A_DEPOSIT) | changes)))

    assert (refused.reason, set(refused.fields)) == ("INVALID_REQUEST", {field})
    assert await counter.books.transactions() == before


@pytest.mark.parametrize(
    ("who", "method", "request_", "reason"),
    [
        ("ganzhou", "Deposit", A_DEPOSIT, "ROLE_REFUSED"),
        ("auditor", "Deposit", A_DEPOSIT, "ROLE_REFUSED"),
        ("observer", "ListAccounts", pb.ListAccountsRequest(), "ROLE_REFUSED"),
        ("nanjing", "GetAccount", pb.GetAccountRequest(account=CITY), "ACCOUNT_NOT_FOUND"),
        ("owner", "ListPostings", pb.ListPostingsRequest(account=CITY), "ACCOUNT_NOT_FOUND"),
        ("operator", "GetAccount", pb.GetAccountRequest(account="x"), "INVALID_REQUEST"),
        ("operator", "ListAccounts", pb.ListAccountsRequest(page_size=1001), "INVALID_REQUEST"),
        ("operator", "ListAccounts", pb.ListAccountsRequest(kind=99), "INVALID_REQUEST"),  # type: ignore[arg-type]
        ("operator", "ListPostings", pb.ListPostingsRequest(account=CITY, page_token="7"), "INVALID_REQUEST"),
        ("operator", "Deposit", pb.DepositRequest(request_key="k", account="city/x", micro_yuan=1, reference="r"),
         "CITY_NOT_FOUND"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why(counter: Counter, who: str, method: str, request_: Any, reason: str) -> None:
    assert (await refusal(counter.call(who, method, request_))).reason == reason


async def test_the_chain_is_exported_whole_and_can_be_checked_by_hand(counter: Counter) -> None:
    await Chaining(counter.books.database).run_once(T0)

    async def exported(**asked: Any) -> list[pb.ChainEntry]:
        call = counter.stub.ExportLedger(
            pb.ExportLedgerRequest(**asked), metadata=bearer(counter.keys["auditor"]), timeout=30
        )
        return [entry async for piece in call for entry in piece.entries]

    entries = await exported()
    sha256 = bytes(32)
    for entry in entries:
        sha256 = hashlib.sha256(sha256 + entry.text.encode()).digest()
        assert entry.sha256 == sha256

    assert [entry.position for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert await exported(after_position=4) == entries[4:]


def fields(request: pb.DepositRequest) -> dict[str, Any]:
    return {field.name: value for field, value in request.ListFields()}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nonsense_is_refused_by_field_or_understood(data: st.DataObject) -> None:
    for kind, read in (
        (pb.ListAccountsRequest, convert.account_page),
        (pb.GetAccountRequest, convert.account),
        (pb.ListPostingsRequest, convert.posting_page),
        (pb.DepositRequest, convert.deposit),
        (pb.ExportLedgerRequest, convert.after_position),
    ):
        with suppress(InvalidRequest):
            read(data.draw(messages(kind)))  # type: ignore[operator]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nonsense_about_papers_is_refused_by_field_or_understood(data: st.DataObject) -> None:
    for kind, read in (
        (papers_pb2.GetInvoiceRequest, convert_papers.invoice),
        (papers_pb2.GetStatementRequest, convert_papers.statement),
        (papers_pb2.PostCreditNoteRequest, convert_papers.credit_note),
        (papers_pb2.ListCreditNotesRequest, convert_reports.note_page),
        (papers_pb2.GetUseReportRequest, convert_reports.use_report),
    ):
        with suppress(InvalidRequest):
            read(data.draw(messages(kind)))  # type: ignore[operator]
