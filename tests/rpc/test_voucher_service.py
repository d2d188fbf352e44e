"""VoucherService over a socket: each may do his part; wrong fields are named; what is shown is what is there."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.caller import Role
from broker.clock import ManualClock
from broker.errors import InvalidRequest
from broker.market.evidence import Evidence
from broker.market.identity import Identity
from broker.rpc import convert_vouchers as convert
from broker.rpc.convert import timestamp
from broker.rpc.server import build_server
from broker.rpc.voucher_service import VoucherService
from broker.store.database import Database
from broker.wire.v1 import job_pb2
from broker.wire.v1 import voucher_service_pb2 as pb
from broker.wire.v1.voucher_service_pb2_grpc import VoucherServiceStub
from tests.conftest import Dsns
from tests.rpc.conftest import bearer
from tests.rpc.refusals import refusal
from tests.rpc.wire_strategies import messages
from tests.small_world import T0
from tests.voucher_world import LI, PROGRAMME, VoucherWorld, open_office

WHO = {
    "ganzhou": (Role.CITY, "ganzhou"),
    "nanjing": (Role.CITY, "nanjing"),
    "office": (Role.VOUCHER_OFFICE, ""),
    "auditor": (Role.AUDITOR, ""),
    "operator": (Role.OPERATOR, ""),
}
APPLY: dict[str, Any] = {
    "request_key": "k",
    "enterprise": "acme",
    "programme": "qy-2026",
    "side": pb.CLAIM_SIDE_DEMAND,
    "provider": "longdong",
    "contract": "合同 2026-1",
    "micro_yuan": 4000,
    "scale_milli_pflops": 100,
    "workload_classes": [job_pb2.WORKLOAD_CLASS_TRAINING],
    "papers": ["contract"],
}


@dataclass
class Counter:
    """The service on a socket, over a small world with a programme, and a key for everyone."""

    world: VoucherWorld
    stub: Any
    keys: dict[str, str]

    async def call(self, who: str, method: str, request: Any) -> Any:
        return await getattr(self.stub, method)(request, metadata=bearer(self.keys[who]), timeout=30)


async def _unlimited(_: str) -> int:
    return 1_000_000


@pytest.fixture
async def counter(database: Database, dsns: Dsns) -> AsyncIterator[Counter]:
    world = await open_office(database, dsns)
    identity, clock = Identity(database), ManualClock(T0)
    keys = {who: (await identity.create(role, subject, "", T0)).text for who, (role, subject) in WHO.items()}
    server = build_server(
        [VoucherService(world.office, world.vouchers, Evidence(world.database), clock)],
        listen="127.0.0.1:0",
        identity=identity,
        calls_per_second_max=_unlimited,
        clock=clock,
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Counter(world, VoucherServiceStub(channel), keys)
    finally:
        await server.stop(0)


async def test_a_voucher_goes_its_way_over_the_wire(counter: Counter) -> None:
    applied = await counter.call("ganzhou", "ApplyForVoucher", pb.ApplyForVoucherRequest(**APPLY))
    number = applied.application.application_id
    begun = pb.ReviewApplicationRequest(application_id=number, event=pb.STORY_EVENT_REVIEW_BEGUN, officer=LI)
    await counter.call("office", "ReviewApplication", begun)
    grant = pb.GrantVoucherRequest(
        application_id=number, officer=LI, papers_due=timestamp(T0 + timedelta(days=7)), dry_run=True
    )
    tried = await counter.call("office", "GrantVoucher", grant)
    grant.dry_run = False
    made = await counter.call("office", "GrantVoucher", grant)
    papers = pb.DeliverPapersRequest(voucher=made.voucher, papers=["invoice"], officer=LI)
    await counter.call("office", "DeliverPapers", papers)
    [seen] = (await counter.call("ganzhou", "ListVouchers", pb.ListVouchersRequest())).vouchers
    story = await counter.call("auditor", "ListStory", pb.ListStoryRequest(voucher=made.voucher))
    first = await counter.call("auditor", "ListStory", pb.ListStoryRequest(voucher=made.voucher, page_size=1))
    rest = await counter.call(
        "auditor", "ListStory", pb.ListStoryRequest(voucher=made.voucher, page_token=first.next_page_token)
    )

    assert tried == made
    assert (made.at_once_micro_yuan, list(made.papers_missing), made.budget_left_micro_yuan) == (
        1000,
        ["invoice"],
        6000,
    )
    assert made.papers_due.ToDatetime() == (T0 + timedelta(days=7)).replace(tzinfo=None)
    assert (seen.state, seen.available_micro_yuan) == (pb.VOUCHER_STATE_ACTIVE, 4000)
    assert [s.event for s in story.steps] == [
        pb.STORY_EVENT_APPLIED,
        pb.STORY_EVENT_REVIEW_BEGUN,
        pb.STORY_EVENT_GRANTED_CONDITIONALLY,
        pb.STORY_EVENT_PAPERS_COMPLETE,
    ]
    assert [s.officer for s in story.steps] == ["city ganzhou", LI, LI, LI]
    assert list(story.steps) == [*first.steps, *rest.steps]
    nothing = await counter.call("nanjing", "ListVouchers", pb.ListVouchersRequest(city="ganzhou"))
    assert not nothing.vouchers


async def test_what_is_left_is_told_to_those_who_may_know(counter: Counter) -> None:
    [of_city] = (await counter.call("ganzhou", "ListProgrammes", pb.ListProgrammesRequest())).programmes
    [of_all] = (await counter.call("operator", "ListProgrammes", pb.ListProgrammesRequest())).programmes
    forecast = await counter.call("operator", "GetForecast", pb.GetForecastRequest(programme="qy-2026"))

    assert (of_city.left_micro_yuan, of_all.left_micro_yuan, of_all.budget_micro_yuan) == (0, 10_000, 10_000)
    assert '"domestic_ppm": 300000' in of_all.rules
    assert (forecast.budget.left_micro_yuan, forecast.budget.runs_out) == (10_000, "")
    assert "mean" in forecast.method


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_key": ""}, "request_key"),
        ({"enterprise": "A"}, "enterprise"),
        ({"programme": ""}, "programme"),
        ({"side": 0}, "side"),
        ({"side": 9}, "side"),
        ({"provider": "a/b"}, "provider"),
        ({"contract": "--"}, "contract"),
        ({"contract": "a\nb"}, "contract"),
        ({"micro_yuan": 0}, "micro_yuan"),
        ({"micro_yuan": 2**63 - 1}, "micro_yuan"),
        ({"scale_milli_pflops": -1}, "scale_milli_pflops"),
        ({"scale_milli_pflops": 99}, "scale_milli_pflops"),
        ({"workload_classes": []}, "workload_classes"),
        ({"workload_classes": [99]}, "workload_classes[0]"),
        ({"workload_classes": [job_pb2.WORKLOAD_CLASS_INFERENCE]}, "workload_classes"),
        ({"papers": ["x"] * 33}, "papers"),
        ({"papers": ["passport"]}, "papers"),
    ],
)
async def test_an_application_that_cannot_be_meant_is_told_by_field(
    counter: Counter, changes: dict[str, Any], field: str
) -> None:
    refused = await refusal(counter.call("ganzhou", "ApplyForVoucher", pb.ApplyForVoucherRequest(**APPLY | changes)))

    assert (refused.reason, set(refused.fields)) == ("INVALID_REQUEST", {field})


@pytest.mark.parametrize(
    ("who", "method", "request_", "reason"),
    [
        ("operator", "SetProgrammes", pb.SetProgrammesRequest(document=PROGRAMME, officer=LI), "ROLE_REFUSED"),
        ("office", "ApplyForVoucher", pb.ApplyForVoucherRequest(**APPLY), "ROLE_REFUSED"),
        ("ganzhou", "GetForecast", pb.GetForecastRequest(programme="qy-2026"), "ROLE_REFUSED"),
        ("office", "SetProgrammes", pb.SetProgrammesRequest(document=PROGRAMME), "INVALID_REQUEST"),
        ("office", "SetProgrammes", pb.SetProgrammesRequest(document="bundled:x", officer=LI), "INVALID_REQUEST"),
        ("office", "GetForecast", pb.GetForecastRequest(programme="x"), "PROGRAMME_NOT_FOUND"),
        ("office", "GrantVoucher", pb.GrantVoucherRequest(application_id="application-9", officer=LI),
         "APPLICATION_NOT_FOUND"),
        ("office", "GrantVoucher", pb.GrantVoucherRequest(application_id="9", officer=LI), "INVALID_REQUEST"),
        ("office", "ChangeVoucher", pb.ChangeVoucherRequest(voucher="x-1", event=pb.STORY_EVENT_GRANTED, officer=LI),
         "INVALID_REQUEST"),
        ("office", "ChangeVoucher", pb.ChangeVoucherRequest(voucher="x-1", event=pb.STORY_EVENT_RESUMED, officer=LI),
         "VOUCHER_NOT_FOUND"),
        ("nanjing", "ListVouchers", pb.ListVouchersRequest(voucher="qy-2026-1"), "VOUCHER_NOT_FOUND"),
        ("office", "ListStory", pb.ListStoryRequest(page_token="x"), "INVALID_REQUEST"),
        ("office", "ListEnterprises", pb.ListEnterprisesRequest(page_token="x"), "INVALID_REQUEST"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why(counter: Counter, who: str, method: str, request_: Any, reason: str) -> None:
    assert (await refusal(counter.call(who, method, request_))).reason == reason


async def test_an_enterprise_is_registered_and_listed_in_pages(counter: Counter) -> None:
    wanted = pb.Enterprise(
        city="nanjing",
        enterprise="jinling",
        title="金陵",
        registration="9132",
        plant="厂 1",
        applicant_type=pb.APPLICANT_TYPE_UNIVERSITY,
    )
    made = await counter.call("office", "SetEnterprise", pb.SetEnterpriseRequest(enterprise=wanted, officer=LI))
    first = await counter.call("office", "ListEnterprises", pb.ListEnterprisesRequest(page_size=2))
    rest = await counter.call("office", "ListEnterprises", pb.ListEnterprisesRequest(page_token=first.next_page_token))

    assert made.enterprise == wanted
    assert [e.enterprise for e in (*first.enterprises, *rest.enterprises)] == ["acme", "sister", "jinling"]


@given(data=st.data())
def test_nonsense_is_refused_by_field_or_understood(data: st.DataObject) -> None:
    reads: list[tuple[Any, Any]] = [
        (pb.SetProgrammesRequest, convert.programmes),
        (pb.SetEnterpriseRequest, convert.enterprise),
        (pb.ListEnterprisesRequest, convert.enterprise_page),
        (pb.ApplyForVoucherRequest, lambda request: convert.application(request, "ganzhou", "")),
        (pb.WithdrawApplicationRequest, convert.withdrawal),
        (pb.ListApplicationsRequest, convert.application_page),
        (pb.ReviewApplicationRequest, convert.review),
        (pb.GetEvidenceRequest, convert.evidence),
        (pb.GrantVoucherRequest, lambda request: convert.grant(request, T0)),
        (pb.ListVouchersRequest, convert.voucher_page),
        (pb.DeliverPapersRequest, convert.papers),
        (pb.ChangeVoucherRequest, convert.change),
        (pb.ListStoryRequest, convert.story_page),
    ]
    for kind, read in reads:
        with suppress(InvalidRequest):
            read(data.draw(messages(kind)))
