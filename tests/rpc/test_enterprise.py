"""What an enterprise may do with its key, over a socket: all that is its own, and nothing of anybody else's.

Rival tries every id of Acme's and of their city's. What is refused is refused as what is not there.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from broker.ledger.work import Billing
from broker.store.database import Database
from broker.wire.v1 import account_service_pb2 as accounts
from broker.wire.v1 import job_pb2, papers_pb2
from broker.wire.v1 import job_service_pb2 as jobs
from broker.wire.v1 import market_service_pb2 as market
from broker.wire.v1 import measure_service_pb2 as measure
from broker.wire.v1 import voucher_service_pb2 as vouchers
from tests.conftest import Dsns
from tests.rpc.enterprise_world import Exchange, open_exchange
from tests.rpc.refusals import refusal
from tests.rpc.requests import spec
from tests.small_world import OPERATOR, T0

MONTH = "2026-03"


@pytest.fixture
async def exchange(database: Database, dsns: Dsns) -> AsyncIterator[Exchange]:
    async with open_exchange(database, dsns) as exchange:
        yield exchange


def one_card(**changes: Any) -> job_pb2.JobSpec:
    return spec(**{"tasks": 1, "cards_per_task": 1} | changes)


def submission(**changes: Any) -> jobs.SubmitJobRequest:
    return jobs.SubmitJobRequest(request_key="tried", spec=one_card(**changes))


def application(**changes: Any) -> vouchers.ApplyForVoucherRequest:
    right: dict[str, Any] = {
        "request_key": "tried",
        "programme": "qy-2026",
        "side": vouchers.CLAIM_SIDE_DEMAND,
        "provider": "longdong",
        "contract": "tried",
        "micro_yuan": 10,
        "scale_milli_pflops": 100,
        "workload_classes": [job_pb2.WORKLOAD_CLASS_TRAINING],
        "papers": ["contract", "invoice"],
    }
    return vouchers.ApplyForVoucherRequest(**right | changes)


Tried = Callable[[str], Any]
OF_JOBS: dict[str, Tried] = {
    "GetJob": lambda job: jobs.GetJobRequest(job_id=job),
    "CancelJob": lambda job: jobs.CancelJobRequest(job_id=job),
    "UpdateJob": lambda job: jobs.UpdateJobRequest(job_id=job, priority=job_pb2.PRIORITY_CLASS_URGENT),
    "ExplainJob": lambda job: jobs.ExplainJobRequest(job_id=job),
    "ReadLogs": lambda job: jobs.ReadLogsRequest(job_id=job, stream=jobs.LOG_STREAM_STDOUT),
    "GetJobEnergy": lambda job: measure.GetJobEnergyRequest(job_id=job),
    "SubmitJob": lambda job: submission(after=[job]),
}
OF_ACCOUNTS: dict[str, Tried] = {
    "GetAccount": lambda account: accounts.GetAccountRequest(account=account),
    "ListPostings": lambda account: accounts.ListPostingsRequest(account=account),
}
OF_ENTERPRISES: dict[str, Tried] = {
    "SubmitJob": lambda name: submission(enterprise=name),
    "GetQuote": lambda name: market.GetQuoteRequest(spec=one_card(enterprise=name)),
    "GetInvoice": lambda name: papers_pb2.GetInvoiceRequest(month=MONTH, enterprise=name),
    "GetEvidence": lambda name: vouchers.GetEvidenceRequest(enterprise=name, year=2026),
    "ApplyForVoucher": lambda name: application(enterprise=name),
}
OF_VOUCHERS: dict[str, Tried] = {
    "ListVouchers": lambda name: vouchers.ListVouchersRequest(voucher=name),
    "GetEvidence": lambda name: vouchers.GetEvidenceRequest(voucher=name),
    "SubmitJob": lambda name: submission(vouchers=[name]),
    "GetQuote": lambda name: market.GetQuoteRequest(spec=one_card(vouchers=[name])),
}
OF_CITIES: dict[str, Tried] = {
    "SubmitJob": lambda name: jobs.SubmitJobRequest(request_key="k", spec=one_card(), city=name),
    "ListJobs": lambda name: jobs.ListJobsRequest(city=name),
    "WatchJobs": lambda name: jobs.WatchJobsRequest(city=name, idle_seconds_max=1),
    "CancelJobSet": lambda name: jobs.CancelJobSetRequest(city=name, job_set="all"),
    "GetQuote": lambda name: market.GetQuoteRequest(spec=one_card(), city=name),
    "ListQuotes": lambda name: market.ListQuotesRequest(city=name),
    "GetInvoice": lambda name: papers_pb2.GetInvoiceRequest(month=MONTH, city=name),
    "ListCreditNotes": lambda name: papers_pb2.ListCreditNotesRequest(city=name),
}


async def refused_alike(exchange: Exchange, tried: dict[str, Tried], foreign: str, unknown: str) -> None:
    """Try an id of somebody else and one that nobody has: but for the id, both are refused in the same words."""
    for method, request in tried.items():
        said = [await refusal(exchange.call("rival", request(each), over=method)) for each in (foreign, unknown)]
        plain = [
            (one.code, one.reason, one.message.replace(name, "X"), str(one.fields).replace(name, "X"))
            for one, name in zip(said, (foreign, unknown), strict=True)
        ]
        assert plain[0] == plain[1], method
        assert said[0].code in ("NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION"), method


async def test_ids_of_others_are_refused_as_what_is_not_there(exchange: Exchange) -> None:
    """Every call that takes an id, with ids of Acme's and of the city's own."""
    for foreign in (exchange.jobs["acme"], exchange.jobs[""]):
        await refused_alike(exchange, OF_JOBS, foreign, "job-999999")
    accept: dict[str, Tried] = {"AcceptQuote": lambda name: market.AcceptQuoteRequest(quote_id=name, request_key="k")}
    for foreign in (exchange.quotes["acme"], exchange.quotes[""]):
        await refused_alike(exchange, accept, foreign, "quote-999999")
    withdraw: dict[str, Tried] = {
        "WithdrawApplication": lambda name: vouchers.WithdrawApplicationRequest(application_id=name)
    }
    await refused_alike(exchange, withdraw, exchange.applications["acme"], "application-999999")
    await refused_alike(exchange, OF_VOUCHERS, exchange.vouchers["acme"], "qy-2026-999999")
    await refused_alike(exchange, OF_ENTERPRISES, "acme", "nobody")
    await refused_alike(exchange, OF_CITIES, "nanjing", "nowhere")
    voucher = f"voucher/ganzhou/{exchange.vouchers['acme']}"
    unknown = ["enterprise/ganzhou/nobody", "city/nowhere", "voucher/ganzhou/qy-2026-999999", "owner/nobody"]
    foreign_accounts = (
        "enterprise/ganzhou/acme", "city/ganzhou", voucher, f"{voucher}-rest", "budget/qingyang/qy-2026",
        "owner/longdong", "fee", "external", "enterprise/nanjing/rival",
    )  # fmt: skip
    for foreign in foreign_accounts:
        for name in unknown:
            await refused_alike(exchange, OF_ACCOUNTS, foreign, name)


async def test_what_was_tried_has_changed_nothing(exchange: Exchange) -> None:
    before = await exchange.call("ganzhou", jobs.ListJobsRequest())
    await test_ids_of_others_are_refused_as_what_is_not_there(exchange)

    assert await exchange.call("ganzhou", jobs.ListJobsRequest()) == before
    assert await exchange.world.findings() == []


async def test_request_keys_of_others_are_nobodys(exchange: Exchange) -> None:
    """All three have used the key "k": it tells nothing of the others, and their jobs cannot be run after by it."""
    mine = await exchange.call("rival", jobs.SubmitJobRequest(request_key="k", spec=one_card()), over="SubmitJob")
    await exchange.submit("acme", "only-acmes")
    after = submission(after_request_keys=["only-acmes"])
    unknown = submission(after_request_keys=["only-nobodys"])
    said = [await refusal(exchange.call("rival", each, over="SubmitJob")) for each in (after, unknown)]
    conflict = await refusal(exchange.call("rival", jobs.SubmitJobRequest(request_key="k", spec=one_card(name="x"))))
    follows = await exchange.submit("rival", "next", after_request_keys=["k"])
    first = await exchange.call("rival", application(request_key="acme-1", contract="of rival"))

    assert (mine.job_id, mine.duplicate) == (exchange.jobs["rival"], True)
    assert [list(each.fields) for each in said] == [["spec.after_request_keys[0]"]] * 2
    assert said[0].message.replace("acmes", "X") == said[1].message.replace("nobodys", "X")
    assert (conflict.facts["request_key"], conflict.facts["job"]) == ("k", exchange.jobs["rival"])
    job = (await exchange.call("rival", jobs.GetJobRequest(job_id=follows))).job
    assert (job.waiting_reason, list(job.spec.after_request_keys)) == ("UPSTREAM_RUNS", ["k"])
    assert not first.duplicate
    async with exchange.world.database.hub() as tx:
        [row] = await tx.fetch("SELECT upstream_id FROM job_upstreams")
    assert f"job-{row[0]}" == exchange.jobs["rival"]


async def seen(exchange: Exchange, who: str) -> dict[str, set[str]]:
    """Return all ids that the lists show to somebody."""

    async def get(request: Any) -> Any:
        return await exchange.call(who, request)

    told = await get(vouchers.ListStoryRequest())
    return {
        "jobs": {job.job_id for job in (await get(jobs.ListJobsRequest())).jobs},
        "quotes": {quote.quote_id for quote in (await get(market.ListQuotesRequest())).quotes},
        "accounts": {each.account for each in (await get(accounts.ListAccountsRequest())).accounts},
        "holds": {each.reference for each in (await get(accounts.ListHoldsRequest())).holds},
        "paying": {p.account for each in (await get(accounts.ListHoldsRequest())).holds for p in each.parts},
        "usage": {each.job_id for each in (await get(accounts.ListUsageRequest())).usage},
        "notes": {each.note.account for each in (await get(papers_pb2.ListCreditNotesRequest())).credit_notes},
        "enterprises": {each.enterprise for each in (await get(vouchers.ListEnterprisesRequest())).enterprises},
        "applications": {e.application_id for e in (await get(vouchers.ListApplicationsRequest())).applications},
        "vouchers": {each.voucher for each in (await get(vouchers.ListVouchersRequest())).vouchers},
        "story": {step.enterprise for step in told.steps},
    }


async def test_lists_show_an_enterprise_its_own_and_its_city_everything(exchange: Exchange) -> None:
    rival, acme, city = [await seen(exchange, who) for who in ("rival", "acme", "ganzhou")]
    voucher = f"voucher/ganzhou/{exchange.vouchers['rival']}"

    assert {what for what in rival if rival[what] & acme[what]} == set()
    assert {what for what in rival if not rival[what] | acme[what] <= city[what]} == set()
    assert exchange.jobs[""] in city["jobs"] - rival["jobs"]
    assert exchange.applications["rival"] in rival.pop("applications")
    assert rival == {
        "jobs": {exchange.jobs["rival"]},
        "quotes": {exchange.quotes["rival"]},
        "accounts": {"enterprise/ganzhou/rival", voucher},
        "holds": {exchange.leases["rival"]},
        "paying": {"enterprise/ganzhou/rival", voucher},
        "usage": {exchange.jobs["rival"]},
        "notes": {"enterprise/ganzhou/rival"},
        "enterprises": {"rival"},
        "vouchers": {exchange.vouchers["rival"]},
        "story": {"rival"},
    }


@pytest.mark.parametrize(
    "request_",
    [
        measure.GetEnergyRequest(),
        papers_pb2.GetUseReportRequest(month=MONTH),
        papers_pb2.GetStatementRequest(month=MONTH),
        vouchers.GetForecastRequest(programme="qy-2026"),
        market.ListRatesRequest(),
        accounts.ExportLedgerRequest(),
        accounts.DepositRequest(),
        accounts.SetBillingRequest(),
        vouchers.GrantVoucherRequest(),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_what_tells_of_more_than_one_is_not_for_an_enterprise(exchange: Exchange, request_: Any) -> None:
    refused = await refusal(exchange.call("acme", request_))

    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "ROLE_REFUSED")


async def test_prices_and_capacity_are_for_enterprises_too(exchange: Exchange) -> None:
    for request in (market.ListPricesRequest(), market.GetCapacityRequest(), measure.ListReliabilityRequest()):
        assert await exchange.call("acme", request) == await exchange.call("ganzhou", request)
    [pool] = (await exchange.call("acme", market.GetCapacityRequest())).pools
    assert pool.cluster == "longdong"


async def test_its_jobs_are_its_own_whether_it_says_so_or_not(exchange: Exchange) -> None:
    silent = await exchange.submit("acme", "silent")
    named = await exchange.submit("acme", "silent", enterprise="acme")
    other = await refusal(exchange.call("acme", submission(enterprise="rival")))

    job = (await exchange.call("acme", jobs.GetJobRequest(job_id=silent))).job
    assert (named, job.spec.enterprise, job.city) == (silent, "acme", "ganzhou")
    assert other.fields == {"spec.enterprise": "must be acme, whose key this is, or empty"}


async def test_in_bulk_each_item_is_judged_by_itself(exchange: Exchange) -> None:
    items = [jobs.SubmitJobRequest(request_key=f"b-{n}", spec=one_card(enterprise=n)) for n in ("", "rival", "acme")]

    async def sent() -> AsyncIterator[jobs.SubmitJobsRequest]:
        yield jobs.SubmitJobsRequest(items=items)

    [answer] = [each async for each in exchange.call("acme", sent(), over="SubmitJobs")]

    assert [each.WhichOneof("outcome") for each in answer.results] == ["accepted", "refused", "accepted"]


async def test_a_quote_of_its_own_is_booked_and_its_job_is_seen(exchange: Exchange) -> None:
    """The request key is its own, too: the city has booked under the same one."""
    booked = [
        await exchange.call(who, market.AcceptQuoteRequest(quote_id=exchange.quotes[enterprise], request_key="book"))
        for enterprise, who in (("", "ganzhou"), ("acme", "acme"), ("rival", "rival"))
    ]
    again = await exchange.call("acme", market.AcceptQuoteRequest(quote_id=exchange.quotes["acme"], request_key="book"))

    job = (await exchange.call("acme", jobs.GetJobRequest(job_id=booked[1].quote.job_id))).job
    assert (job.spec.enterprise, again.duplicate, again.quote == booked[1].quote) == ("acme", True, True)
    hidden = await refusal(exchange.call("rival", jobs.GetJobRequest(job_id=booked[1].quote.job_id)))
    assert hidden.reason == "JOB_NOT_FOUND"


async def test_who_is_short_of_money_is_not_told_what_the_city_has(exchange: Exchange) -> None:
    """The city's account stands behind its enterprises. An hour of one card asks for 3.2 yuan, there are 0.004."""
    await exchange.world.ledger.set_billing(OPERATOR, "ganzhou", Billing.PREPAID, now=T0)
    ask = market.GetQuoteRequest(spec=one_card())
    [own, citys] = [(await exchange.call(who, ask)).options[0].quote_id for who in ("acme", "ganzhou")]

    short = await refusal(exchange.call("acme", market.AcceptQuoteRequest(quote_id=own, request_key="k2")))
    told = await refusal(exchange.call("ganzhou", market.AcceptQuoteRequest(quote_id=citys, request_key="k2")))
    waits = await exchange.submit("acme", "waits")
    explained = [
        (await exchange.call(who, jobs.ExplainJobRequest(job_id=waits))).summary for who in ("acme", "ganzhou")
    ]

    assert short.reason == told.reason == "INSUFFICIENT_CREDIT"
    assert (short.facts["usable_micro_yuan"], told.facts["usable_micro_yuan"].isdigit()) == ("too little", True)
    assert "can give too little" in short.message
    assert "can give too little" in explained[0]
    assert re.search(r"can give \d", explained[1])


async def test_its_set_of_jobs_is_cancelled_and_nobody_elses(exchange: Exchange) -> None:
    own, others = [await exchange.submit(who, "s", job_set="night") for who in ("acme", "rival")]
    tried = await exchange.call("acme", jobs.CancelJobSetRequest(job_set="night", dry_run=True))
    done = await exchange.call("acme", jobs.CancelJobSetRequest(job_set="night"))

    assert (tried.cancelled, done.cancelled) == (1, 1)
    states = [(await exchange.call("ganzhou", jobs.GetJobRequest(job_id=job))).job.state for job in (own, others)]
    assert states == [job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_PENDING]


async def test_its_job_is_explained_changed_and_cancelled(exchange: Exchange) -> None:
    job = await exchange.submit("acme", "mine")

    explained = await exchange.call("acme", jobs.ExplainJobRequest(job_id=job))
    changed = await exchange.call("acme", jobs.UpdateJobRequest(job_id=job, priority=job_pb2.PRIORITY_CLASS_URGENT))
    ended = await exchange.call("acme", jobs.CancelJobRequest(job_id=job))

    assert explained.job.job_id == job
    assert changed.job.spec.priority == job_pb2.PRIORITY_CLASS_URGENT
    assert ended.job.state == job_pb2.JOB_STATE_CANCELLED


async def watched(exchange: Exchange, who: str, after: int = 0) -> list[tuple[int, str]]:
    pages = await exchange.pages(who, jobs.WatchJobsRequest(after_cursor=after, idle_seconds_max=1))
    return [(event.cursor, event.job_id) for page in pages for event in page.events]


async def test_its_events_are_its_citys_with_the_same_cursors_and_none_left_out(exchange: Exchange) -> None:
    for number in range(3):
        for who in ("acme", "rival", "ganzhou"):
            await exchange.submit(who, f"w-{number}")
    await exchange.number()
    acme, rival, city = [await watched(exchange, who) for who in ("acme", "rival", "ganzhou")]

    of_acme = {job.job_id for job in (await exchange.call("acme", jobs.ListJobsRequest())).jobs}
    assert [cursor for cursor, _ in city] == list(range(1, len(city) + 1))
    assert acme == [event for event in city if event[1] in of_acme]
    assert {cursor for cursor, _ in acme}.isdisjoint(cursor for cursor, _ in rival)
    pages = await exchange.pages("acme", jobs.WatchJobsRequest(after_cursor=2, idle_seconds_max=1))
    assert [page.previous_cursor for page in pages] == [2, *(page.events[-1].cursor for page in pages[:-1])]
    [first, *_] = await exchange.pages("ganzhou", jobs.WatchJobsRequest(idle_seconds_max=1))
    assert not first.HasField("previous_cursor")
    for cursor in (0, acme[0][0], acme[1][0], acme[1][0] + 1, city[-1][0]):  # it goes on from any, its own or not
        assert await watched(exchange, "acme", cursor) == [event for event in acme if event[0] > cursor]


async def test_its_invoice_and_evidence_are_the_ones_that_others_have_of_it(exchange: Exchange) -> None:
    """A paper that said something else to its party would be no paper."""
    asked = papers_pb2.GetInvoiceRequest(month=MONTH, city="ganzhou", enterprise="acme")
    own = await exchange.pages("acme", papers_pb2.GetInvoiceRequest(month=MONTH))
    pack = vouchers.GetEvidenceRequest(voucher=exchange.vouchers["acme"])
    year = vouchers.GetEvidenceRequest(enterprise="acme", year=2026)

    assert own == await exchange.pages("ganzhou", asked) == await exchange.pages("operator", asked)
    assert {line.job_id for piece in own for line in piece.lines} == {exchange.jobs["acme"]}
    for request in (pack, year):
        assert await exchange.call("acme", request) == await exchange.call("office", request)
        assert await exchange.call("ganzhou", request) == await exchange.call("office", request)


async def test_it_applies_for_itself_and_takes_back_its_own(exchange: Exchange) -> None:
    made = (await exchange.call("acme", application())).application
    again = await exchange.call("acme", application())
    back = (
        await exchange.call("acme", vouchers.WithdrawApplicationRequest(application_id=made.application_id))
    ).application
    story = await exchange.call("acme", vouchers.ListStoryRequest(application_id=made.application_id))

    assert (made.asked.enterprise, made.city, again.duplicate) == ("acme", "ganzhou", True)
    assert back.state == vouchers.APPLICATION_STATE_WITHDRAWN
    assert [step.officer for step in story.steps] == ["enterprise ganzhou/acme"] * 2


async def test_lists_that_are_asked_for_others_are_empty(exchange: Exchange) -> None:
    """Filters narrow what is one's own, and widen nothing."""
    acme = exchange.vouchers["acme"]
    asked = {
        "steps": [
            vouchers.ListStoryRequest(enterprise="acme"),
            vouchers.ListStoryRequest(voucher=acme),
            vouchers.ListStoryRequest(application_id=exchange.applications["acme"]),
            vouchers.ListStoryRequest(city="nanjing"),
        ],
        "vouchers": [vouchers.ListVouchersRequest(enterprise="acme"), vouchers.ListVouchersRequest(city="nanjing")],
        "applications": [vouchers.ListApplicationsRequest(city="nanjing")],
        "enterprises": [vouchers.ListEnterprisesRequest(city="nanjing")],
        "usage": [
            accounts.ListUsageRequest(job_id=exchange.jobs["acme"]),
            accounts.ListUsageRequest(job_id=exchange.jobs[""]),
            accounts.ListUsageRequest(city="nanjing"),
        ],
        "holds": [accounts.ListHoldsRequest(city="nanjing")],
        "accounts": [
            accounts.ListAccountsRequest(city="nanjing"),
            accounts.ListAccountsRequest(kind=accounts.ACCOUNT_KIND_CITY),
            accounts.ListAccountsRequest(kind=accounts.ACCOUNT_KIND_OWNER),
        ],
    }

    for answers, requests in asked.items():
        for request in requests:
            assert not getattr(await exchange.call("rival", request), answers), request


async def test_output_and_energy_of_its_job_are_for_it(exchange: Exchange) -> None:
    """No agent is there, which is said to those alone who may read the output."""
    job = exchange.jobs["acme"]
    read = jobs.ReadLogsRequest(job_id=job, stream=jobs.LOG_STREAM_STDOUT)

    [own, citys] = [await refusal(exchange.call(who, read)) for who in ("acme", "ganzhou")]
    energy = await exchange.call("acme", measure.GetJobEnergyRequest(job_id=job))

    assert own.reason == citys.reason == "AGENT_UNREACHABLE"
    assert energy == await exchange.call("ganzhou", measure.GetJobEnergyRequest(job_id=job))
    assert len(energy.attempts) == 1


async def test_who_has_paid_nothing_yet_has_an_empty_invoice(exchange: Exchange) -> None:
    """To its city a name without an account may be a typing error; an enterprise with a key is there."""
    pages = await exchange.pages("acme", papers_pb2.GetInvoiceRequest(month="2026-02"))

    assert [line for page in pages for line in page.lines] == []
