"""VoucherService: who, what, one use case, answer. Roles are checked by the table of the identity interceptor."""

from broker.clock import Clock
from broker.market.evidence import Evidence
from broker.market.voucher_office import VoucherOffice
from broker.market.vouchers import Vouchers
from broker.rpc import convert_vouchers as convert
from broker.rpc import convert_vouchers_out as out
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.wire.v1 import voucher_service_pb2 as pb
from broker.wire.v1.voucher_service_pb2_grpc import VoucherServiceServicer


class VoucherService(VoucherServiceServicer):
    """What cities, the voucher office, auditors and operators call about vouchers.

    Args:
        office: use cases of the voucher office.
        vouchers: use cases of cities, and what all look at.
        evidence: packs for auditors.
        clock: the edge's clock.
    """

    def __init__(self, office: VoucherOffice, vouchers: Vouchers, evidence: Evidence, clock: Clock) -> None:
        self._office = office
        self._vouchers = vouchers
        self._evidence = evidence
        self._clock = clock

    async def SetProgrammes(self, request: pb.SetProgrammesRequest, context: Context) -> pb.SetProgrammesResponse:
        """Set programmes, or only say what would change."""
        document, officer = convert.programmes(request)
        changes = await self._office.set_programmes(
            caller_of(context), document, officer, now=self._clock.now(), dry_run=request.dry_run
        )
        return pb.SetProgrammesResponse(changes=changes)

    async def ListProgrammes(self, request: pb.ListProgrammesRequest, context: Context) -> pb.ListProgrammesResponse:
        """Return programmes."""
        named = convert.programme("programme", request.programme, empty=True)
        rows = await self._vouchers.programmes(caller_of(context), named)
        return pb.ListProgrammesResponse(programmes=map(out.programme, rows))

    async def SetEnterprise(self, request: pb.SetEnterpriseRequest, context: Context) -> pb.SetEnterpriseResponse:
        """Register an enterprise, or change it."""
        wanted, officer = convert.enterprise(request)
        made = await self._office.set_enterprise(caller_of(context), wanted, officer, now=self._clock.now())
        return pb.SetEnterpriseResponse(enterprise=out.enterprise(made))

    async def ListEnterprises(self, request: pb.ListEnterprisesRequest, context: Context) -> pb.ListEnterprisesResponse:
        """Return a page of enterprises."""
        city, after, limit = convert.enterprise_page(request)
        rows = await self._vouchers.enterprises(caller_of(context), city, after, limit)
        token = f"{rows[-1].city}/{rows[-1].enterprise}" if len(rows) == limit else ""
        return pb.ListEnterprisesResponse(enterprises=map(out.enterprise, rows), next_page_token=token)

    async def ApplyForVoucher(self, request: pb.ApplyForVoucherRequest, context: Context) -> pb.ApplyForVoucherResponse:
        """Apply for a voucher."""
        caller = caller_of(context)
        draft = convert.application(request, caller.city, caller.enterprise)
        row, duplicate = await self._vouchers.apply(caller, draft, now=self._clock.now())
        return pb.ApplyForVoucherResponse(application=out.application(row), duplicate=duplicate)

    async def WithdrawApplication(
        self, request: pb.WithdrawApplicationRequest, context: Context
    ) -> pb.WithdrawApplicationResponse:
        """Take an application back."""
        number, note = convert.withdrawal(request)
        row = await self._vouchers.withdraw(caller_of(context), number, note, now=self._clock.now())
        return pb.WithdrawApplicationResponse(application=out.application(row))

    async def ListApplications(
        self, request: pb.ListApplicationsRequest, context: Context
    ) -> pb.ListApplicationsResponse:
        """Return a page of applications."""
        page = convert.application_page(request)
        rows = await self._vouchers.applications(
            caller_of(context), page.city, page.programme, page.state, page.after, page.limit
        )
        token = str(rows[-1].application) if len(rows) == page.limit else ""
        return pb.ListApplicationsResponse(applications=map(out.application, rows), next_page_token=token)

    async def ReviewApplication(
        self, request: pb.ReviewApplicationRequest, context: Context
    ) -> pb.ReviewApplicationResponse:
        """Begin a review, or refuse."""
        act = convert.review(request)
        row = await self._office.review(
            caller_of(context), act.application, act.event, act.officer, act.note, now=self._clock.now()
        )
        return pb.ReviewApplicationResponse(application=out.application(row))

    async def GrantVoucher(self, request: pb.GrantVoucherRequest, context: Context) -> pb.GrantVoucherResponse:
        """Grant, or only say what it would be."""
        now = self._clock.now()
        draft, officer, note = convert.grant(request, now)
        made = await self._office.grant(caller_of(context), draft, officer, now=now, note=note, dry_run=request.dry_run)
        return out.granted(made)

    async def ListVouchers(self, request: pb.ListVouchersRequest, context: Context) -> pb.ListVouchersResponse:
        """Return a page of vouchers, or one."""
        page, caller = convert.voucher_page(request), caller_of(context)
        if page.voucher:
            return pb.ListVouchersResponse(vouchers=[out.voucher(await self._vouchers.voucher(caller, page.voucher))])
        rows = await self._vouchers.page(caller, page.city, page.enterprise, page.programme, page.after, page.limit)
        token = rows[-1].terms.voucher if len(rows) == page.limit else ""
        return pb.ListVouchersResponse(vouchers=map(out.voucher, rows), next_page_token=token)

    async def DeliverPapers(self, request: pb.DeliverPapersRequest, context: Context) -> pb.DeliverPapersResponse:
        """Note that missing papers are there."""
        act = convert.papers(request)
        row = await self._vouchers.deliver_papers(
            caller_of(context), act.voucher, act.papers, act.officer, act.note, now=self._clock.now()
        )
        return pb.DeliverPapersResponse(voucher=out.voucher(row))

    async def ChangeVoucher(self, request: pb.ChangeVoucherRequest, context: Context) -> pb.ChangeVoucherResponse:
        """Suspend, resume or redeem a voucher."""
        act = convert.change(request)
        row = await self._vouchers.change(
            caller_of(context), act.voucher, act.event, act.officer, act.note, now=self._clock.now()
        )
        return pb.ChangeVoucherResponse(voucher=out.voucher(row))

    async def ListStory(self, request: pb.ListStoryRequest, context: Context) -> pb.ListStoryResponse:
        """Return a page of the story."""
        of, after, limit = convert.story_page(request)
        steps = await self._vouchers.story(caller_of(context), of, after, limit)
        token = str(steps[-1].story) if len(steps) == limit else ""
        return pb.ListStoryResponse(steps=map(out.step, steps), next_page_token=token)

    async def GetForecast(self, request: pb.GetForecastRequest, context: Context) -> pb.GetForecastResponse:
        """Return how fast a programme's money is used."""
        named = convert.programme("programme", request.programme)
        return out.forecast(await self._vouchers.forecast(caller_of(context), named, now=self._clock.now()))

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: Context) -> pb.GetEvidenceResponse:
        """Return the evidence of a voucher, or of an enterprise and year, as files."""
        wanted, caller = convert.evidence(request), caller_of(context)
        if wanted.enterprise:
            documents = await self._evidence.of_enterprise(caller, wanted.city, wanted.enterprise, wanted.year)
        else:
            documents = await self._evidence.of_voucher(caller, wanted.voucher)
        return pb.GetEvidenceResponse(files=[pb.EvidenceFile(name=d.name, content=d.content) for d in documents])
