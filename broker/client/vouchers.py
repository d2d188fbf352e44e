"""Vouchers: apply, review, grant, look. Answers are the messages of `broker/wire/v1/voucher_service.proto`."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from broker.client.connection import KeyedConnection
from broker.wire.v1 import voucher_service_pb2 as pb

PAGE_SIZE: Final = 500


class VoucherClient(KeyedConnection):
    """Calls the broker about vouchers, with the key of a city, the voucher office, an auditor or an operator.

    What changes something names `officer`, the person who does it. Everything but steps of applications and vouchers is
    harmless to repeat.
    """

    async def set_programmes(self, document: str, *, officer: str, dry_run: bool = False) -> list[str]:
        """Set programmes of a YAML or JSON document, or of "bundled:NAME"; return a line for each change."""
        request = pb.SetProgrammesRequest(document=document, officer=officer, dry_run=dry_run)
        return list((await self.unary("VoucherService/SetProgrammes", request, pb.SetProgrammesResponse)).changes)

    async def programmes(self, programme: str = "") -> list[pb.Programme]:
        """Return programmes by name."""
        request = pb.ListProgrammesRequest(programme=programme)
        return list((await self.unary("VoucherService/ListProgrammes", request, pb.ListProgrammesResponse)).programmes)

    async def set_enterprise(self, enterprise: pb.Enterprise, *, officer: str) -> pb.Enterprise:
        """Register an enterprise of a city, or change it."""
        request = pb.SetEnterpriseRequest(enterprise=enterprise, officer=officer)
        return (await self.unary("VoucherService/SetEnterprise", request, pb.SetEnterpriseResponse)).enterprise

    async def enterprises(self, city: str = "") -> AsyncGenerator[pb.Enterprise, None]:
        """Yield the enterprises that the key may see."""
        request = pb.ListEnterprisesRequest(city=city, page_size=PAGE_SIZE)
        while True:
            page = await self.unary("VoucherService/ListEnterprises", request, pb.ListEnterprisesResponse)
            for one in page.enterprises:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def apply(self, request: pb.ApplyForVoucherRequest) -> pb.ApplyForVoucherResponse:
        """Apply for a voucher; the same key with the same body applies once, so it is tried again safely."""
        return await self.unary("VoucherService/ApplyForVoucher", request, pb.ApplyForVoucherResponse)

    async def withdraw(self, application_id: str, *, note: str = "") -> pb.Application:
        """Take an application back."""
        request = pb.WithdrawApplicationRequest(application_id=application_id, note=note)
        answer = await self.unary("VoucherService/WithdrawApplication", request, pb.WithdrawApplicationResponse)
        return answer.application

    async def applications(
        self, *, city: str = "", programme: str = "", state: str = ""
    ) -> AsyncGenerator[pb.Application, None]:
        """Yield the applications that the key may see; `state` is a word such as "in_review"."""
        wanted = f"APPLICATION_STATE_{state.upper() or 'UNSPECIFIED'}"
        request = pb.ListApplicationsRequest(city=city, programme=programme, state=wanted, page_size=PAGE_SIZE)
        while True:
            page = await self.unary("VoucherService/ListApplications", request, pb.ListApplicationsResponse)
            for one in page.applications:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def review(self, application_id: str, *, refuse: bool, officer: str, note: str = "") -> pb.Application:
        """Begin the review of an application, or refuse what is in review."""
        event = pb.STORY_EVENT_REFUSED if refuse else pb.STORY_EVENT_REVIEW_BEGUN
        request = pb.ReviewApplicationRequest(application_id=application_id, event=event, officer=officer, note=note)
        answer = await self.unary("VoucherService/ReviewApplication", request, pb.ReviewApplicationResponse)
        return answer.application

    async def grant(self, request: pb.GrantVoucherRequest) -> pb.GrantVoucherResponse:
        """Grant what is in review, or with `dry_run` only say what it would be."""
        return await self.unary("VoucherService/GrantVoucher", request, pb.GrantVoucherResponse)

    async def vouchers(
        self, *, city: str = "", enterprise: str = "", programme: str = ""
    ) -> AsyncGenerator[pb.Voucher, None]:
        """Yield the vouchers that the key may see, by name."""
        request = pb.ListVouchersRequest(city=city, enterprise=enterprise, programme=programme, page_size=PAGE_SIZE)
        while True:
            page = await self.unary("VoucherService/ListVouchers", request, pb.ListVouchersResponse)
            for one in page.vouchers:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def voucher(self, voucher: str) -> pb.Voucher:
        """Return one voucher."""
        request = pb.ListVouchersRequest(voucher=voucher)
        return (await self.unary("VoucherService/ListVouchers", request, pb.ListVouchersResponse)).vouchers[0]

    async def deliver_papers(self, voucher: str, papers: Sequence[str], *, officer: str, note: str = "") -> pb.Voucher:
        """Note that missing papers are there."""
        request = pb.DeliverPapersRequest(voucher=voucher, papers=papers, officer=officer, note=note)
        return (await self.unary("VoucherService/DeliverPapers", request, pb.DeliverPapersResponse)).voucher

    async def change(self, voucher: str, event: str, *, officer: str, note: str = "") -> pb.Voucher:
        """Let a voucher be "suspended", "resumed" or "redeemed"."""
        request = pb.ChangeVoucherRequest(
            voucher=voucher, event=f"STORY_EVENT_{event.upper()}", officer=officer, note=note
        )
        return (await self.unary("VoucherService/ChangeVoucher", request, pb.ChangeVoucherResponse)).voucher

    async def story(self, of: pb.ListStoryRequest) -> AsyncGenerator[pb.StoryStep, None]:
        """Yield a story, oldest first."""
        request = pb.ListStoryRequest()
        request.CopyFrom(of)
        request.page_size = PAGE_SIZE
        while True:
            page = await self.unary("VoucherService/ListStory", request, pb.ListStoryResponse)
            for one in page.steps:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def forecast(self, programme: str) -> pb.GetForecastResponse:
        """Return how fast a programme's money is used."""
        request = pb.GetForecastRequest(programme=programme)
        return await self.unary("VoucherService/GetForecast", request, pb.GetForecastResponse)

    async def evidence(
        self, voucher: str = "", *, enterprise: str = "", city: str = "", year: int = 0
    ) -> list[pb.EvidenceFile]:
        """Return the evidence of a voucher, or of an enterprise and year, as files."""
        request = pb.GetEvidenceRequest(voucher=voucher, enterprise=enterprise, city=city, year=year)
        return list((await self.unary("VoucherService/GetEvidence", request, pb.GetEvidenceResponse)).files)
