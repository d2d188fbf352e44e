"""Money: accounts, balances and postings. Answers are the messages of `broker/wire/v1/account_service.proto`."""

from collections.abc import AsyncGenerator
from typing import Final

import grpc

from broker.client.connection import KeyedConnection
from broker.client.errors import StreamGap, from_call
from broker.wire.v1 import account_service_pb2 as pb

PAGE_SIZE: Final = 500


class AccountClient(KeyedConnection):
    """Calls the broker about money, with the key of a city, an owner, an auditor or an operator."""

    async def accounts(
        self, *, city: str = "", kind: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.Account, None]:
        """Yield the accounts that the key may see, by name; `kind` is a word such as "voucher"."""
        wanted = f"ACCOUNT_KIND_{kind.upper() or 'UNSPECIFIED'}"
        request = pb.ListAccountsRequest(city=city, kind=wanted, page_size=page_size)
        while True:
            page = await self.unary("AccountService/ListAccounts", request, pb.ListAccountsResponse)
            for account in page.accounts:
                yield account
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def account(self, account: str) -> pb.Account:
        """Return one account with its balance."""
        request = pb.GetAccountRequest(account=account)
        return (await self.unary("AccountService/GetAccount", request, pb.GetAccountResponse)).account

    async def postings(self, account: str, *, page_size: int = PAGE_SIZE) -> AsyncGenerator[pb.Posting, None]:
        """Yield the postings of an account, newest first."""
        request = pb.ListPostingsRequest(account=account, page_size=page_size)
        while True:
            page = await self.unary("AccountService/ListPostings", request, pb.ListPostingsResponse)
            for posting in page.postings:
                yield posting
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def set_billing(self, city: str, billing: str, *, dry_run: bool = False) -> pb.SetBillingResponse:
        """Let a city pay so from now on: "metered" or "prepaid". Repeating it is harmless."""
        request = pb.SetBillingRequest(city=city, billing=f"BILLING_{billing.upper()}", dry_run=dry_run)
        return await self.unary("AccountService/SetBilling", request, pb.SetBillingResponse)

    async def usage(
        self, *, city: str = "", job_id: str = "", month: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.LeaseUsage, None]:
        """Yield what leases have used, newest first; of one job, or of those that started in a month ("2026-03")."""
        request = pb.ListUsageRequest(city=city, job_id=job_id, month=month, page_size=page_size)
        while True:
            page = await self.unary("AccountService/ListUsage", request, pb.ListUsageResponse)
            for one in page.usage:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def holds(
        self, *, city: str = "", open_only: bool = False, page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.Hold, None]:
        """Yield holds, newest first."""
        request = pb.ListHoldsRequest(city=city, open_only=open_only, page_size=page_size)
        while True:
            page = await self.unary("AccountService/ListHolds", request, pb.ListHoldsResponse)
            for one in page.holds:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def deposit(
        self,
        account: str,
        micro_yuan: int,
        *,
        request_key: str,
        reference: str,
        currency: str = "",
        dry_run: bool = False,
    ) -> pb.DepositResponse:
        """Book money from outside; the same key with the same body books it once, so it is tried again safely."""
        request = pb.DepositRequest(
            request_key=request_key,
            account=account,
            micro_yuan=micro_yuan,
            currency=currency,
            reference=reference,
            dry_run=dry_run,
        )
        return await self.unary("AccountService/Deposit", request, pb.DepositResponse)

    async def chain(self, *, after_position: int = 0) -> AsyncGenerator[pb.ChainEntry, None]:
        """Yield the audit chain behind a position, gap-free; a stream that breaks is taken up where it was.

        Raises: StreamGap: a position was skipped.
        """
        patience, position = self.patience(), after_position
        while True:
            request = pb.ExportLedgerRequest(after_position=position)
            call = self.server_stream("AccountService/ExportLedger", request, pb.ExportLedgerResponse)
            try:
                async for piece in call:
                    for entry in piece.entries:
                        if entry.position != position + 1:
                            raise StreamGap(f"position {entry.position} came where {position + 1} was due")
                        position = entry.position
                        yield entry
                    patience = self.patience()
            except grpc.aio.AioRpcError as error:
                broken = from_call(error)
            else:
                return
            finally:
                call.cancel()
            await self.pause_or_raise(broken, patience)
