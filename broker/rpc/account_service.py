"""AccountService: who, what, one use case, answer. Roles are checked by the table of the identity interceptor."""
# ruff: noqa: ARG002 - gRPC hands request and context to every method

from collections.abc import AsyncIterator
from typing import Final

from broker.clock import Clock
from broker.market.ledger import Ledger
from broker.market.month_reports import MonthReports
from broker.market.papers import Papers
from broker.market.uses import Uses
from broker.rpc import convert_accounts as convert
from broker.rpc import convert_papers, convert_reports, convert_uses
from broker.rpc.convert import chunks
from broker.rpc.convert_enums import BILLING
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.wire.v1 import account_service_pb2 as pb
from broker.wire.v1 import papers_pb2
from broker.wire.v1.account_service_pb2_grpc import AccountServiceServicer

PAGE_ENTRIES: Final = 1000
PIECE_BYTES: Final = 1024 * 1024
"""The chain is read by pages of so many entries, and sent in pieces of this size."""


class AccountService(AccountServiceServicer):
    """What cities, owners, auditors and operators call about money.

    Args:
        ledger: the use cases of the books.
        papers: the use cases of invoices, statements and credit notes.
        clock: the edge's clock.
        uses: the use cases of what leases have used.
        reports: the use cases of lists and reports over many parties.
    """

    def __init__(self, ledger: Ledger, clock: Clock, *, uses: Uses, papers: Papers, reports: MonthReports) -> None:
        self._ledger = ledger
        self._uses = uses
        self._papers = papers
        self._reports = reports
        self._clock = clock

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Context) -> pb.ListAccountsResponse:
        """Return a page of the accounts that the caller may see."""
        page = convert.account_page(request)
        rows = await self._ledger.accounts(
            caller_of(context), city=page.city, kind=page.kind, after=page.after, limit=page.limit
        )
        token = rows[-1].name if len(rows) == page.limit else ""
        return pb.ListAccountsResponse(accounts=map(convert.account_to_wire, rows), next_page_token=token)

    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:
        """Return one account with its balance."""
        row = await self._ledger.account(caller_of(context), convert.account(request))
        return pb.GetAccountResponse(account=convert.account_to_wire(row))

    async def ListPostings(self, request: pb.ListPostingsRequest, context: Context) -> pb.ListPostingsResponse:
        """Return a page of an account's postings."""
        account, before, limit = convert.posting_page(request)
        rows = await self._ledger.postings(caller_of(context), account, before, limit)
        token = convert.posting_token(rows[-1]) if len(rows) == limit else ""
        return pb.ListPostingsResponse(postings=map(convert.posting_to_wire, rows), next_page_token=token)

    async def Deposit(self, request: pb.DepositRequest, context: Context) -> pb.DepositResponse:
        """Book money from outside, or only say what that would do."""
        move = convert.deposit(request)
        made = await self._ledger.deposit(caller_of(context), move, now=self._clock.now(), dry_run=request.dry_run)
        return convert.deposited_to_wire(made)

    async def SetBilling(self, request: pb.SetBillingRequest, context: Context) -> pb.SetBillingResponse:
        """Say how a city pays from now on, or only what that would change."""
        city, billing = convert_uses.billing(request)
        before = await self._ledger.set_billing(
            caller_of(context), city, billing, now=self._clock.now(), dry_run=request.dry_run
        )
        return pb.SetBillingResponse(before=BILLING.to_wire(before))

    async def ListUsage(self, request: pb.ListUsageRequest, context: Context) -> pb.ListUsageResponse:
        """Return a page of what leases have used that the caller may see."""
        wanted, before, limit = convert_uses.usage_page(request)
        found = await self._uses.usage(caller_of(context), wanted, before, limit, self._clock.now())
        token = convert_uses.token_after(found[-1].row.lease) if len(found) == limit else ""
        return pb.ListUsageResponse(usage=map(convert_uses.usage_to_wire, found), next_page_token=token)

    async def ListHolds(self, request: pb.ListHoldsRequest, context: Context) -> pb.ListHoldsResponse:
        """Return a page of holds that the caller may see."""
        page = convert_uses.hold_page(request)
        found = await self._uses.holds(caller_of(context), page.city, page.before, page.limit, open_only=page.open_only)
        token = convert_uses.token_after(found[-1].hold) if len(found) == page.limit else ""
        return pb.ListHoldsResponse(holds=map(convert_uses.hold_to_wire, found), next_page_token=token)

    async def ExportLedger(
        self, request: pb.ExportLedgerRequest, context: Context
    ) -> AsyncIterator[pb.ExportLedgerResponse]:
        """Send the audit chain behind a position, as far as it reaches now."""
        position = convert.after_position(request)
        while entries := await self._ledger.chain(position, PAGE_ENTRIES):
            for piece in chunks(map(convert.entry_to_wire, entries), PIECE_BYTES):
                yield pb.ExportLedgerResponse(entries=piece)
            position = entries[-1].position

    async def GetInvoice(
        self, request: papers_pb2.GetInvoiceRequest, context: Context
    ) -> AsyncIterator[papers_pb2.GetInvoiceResponse]:
        """Send what a city or an enterprise paid in a month."""
        wanted, caller = convert_papers.invoice(request), caller_of(context)
        paper = await self._papers.invoice(caller, wanted.month, wanted.city, wanted.enterprise, now=self._clock.now())
        for head, lines, notes in convert_papers.paper_pieces(paper):
            yield papers_pb2.GetInvoiceResponse(head=head, lines=lines, credit_notes=notes)

    async def GetStatement(
        self, request: papers_pb2.GetStatementRequest, context: Context
    ) -> AsyncIterator[papers_pb2.GetStatementResponse]:
        """Send what an owner earned in a month."""
        month, owner = convert_papers.statement(request)
        paper = await self._papers.statement(caller_of(context), month, owner, now=self._clock.now())
        for head, lines, notes in convert_papers.paper_pieces(paper):
            yield papers_pb2.GetStatementResponse(head=head, lines=lines, credit_notes=notes)

    async def PostCreditNote(
        self, request: papers_pb2.PostCreditNoteRequest, context: Context
    ) -> papers_pb2.PostCreditNoteResponse:
        """Give money back, or only say what that would do."""
        move, about = convert_papers.credit_note(request)
        made = await self._papers.post_credit_note(
            caller_of(context), move, about, now=self._clock.now(), dry_run=request.dry_run
        )
        return convert_papers.credited_to_wire(made)

    async def ListCreditNotes(
        self, request: papers_pb2.ListCreditNotesRequest, context: Context
    ) -> papers_pb2.ListCreditNotesResponse:
        """Return a page of credit notes that the caller may see."""
        wanted, before, limit = convert_reports.note_page(request)
        found = await self._reports.credit_notes(caller_of(context), wanted, before, limit)
        token = convert_uses.token_after(found[-1].transaction) if len(found) == limit else ""
        return papers_pb2.ListCreditNotesResponse(
            credit_notes=map(convert_reports.listed_to_wire, found), next_page_token=token
        )

    async def GetUseReport(
        self, request: papers_pb2.GetUseReportRequest, context: Context
    ) -> papers_pb2.GetUseReportResponse:
        """Return what was used in a month by city and sector."""
        month, city = convert_reports.use_report(request)
        report = await self._reports.use(caller_of(context), month, city, now=self._clock.now())
        return convert_reports.use_report_to_wire(report)
