"""JobService over a real socket and a real database."""

import asyncio
from typing import Any

import grpc
import pytest

from broker.ids import JobId
from broker.lifecycle import JobState
from broker.market.logs import AgentLink, LogPiece, LogRequest
from broker.rpc.job_service import ANSWER_BYTES_MAX
from broker.store import expected_starts
from broker.store.expected_starts import StartDraft
from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb
from tests.deadlines import eventually
from tests.rpc.conftest import Edge
from tests.rpc.refusals import refusal
from tests.rpc.requests import NOW, build, submit
from tests.small_world import asked, brought_to, placed


async def stored(edge: Edge) -> int:
    async with edge.database.hub() as tx:
        return int(await tx.fetchval("SELECT count(*) FROM jobs"))


async def submitted(edge: Edge, key: str = "key-1", who: str = "ganzhou", **changes: Any) -> str:
    response = await edge.stub.SubmitJob(submit(key, **changes), **edge.sent_by(who))
    return str(response.job_id)


async def test_a_job_is_stored_and_read_back_with_its_defaults(edge: Edge) -> None:
    """What was left out is told, and the city's standard ceiling is taken."""
    job_id = await submitted(edge, job_set="night")

    job = (await edge.stub.GetJob(spb.GetJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))).job

    assert (job.job_id, job.city, job.state, job.attempt) == (job_id, "ganzhou", pb.JOB_STATE_PENDING, 0)
    assert job.submitted_at.ToDatetime(NOW.tzinfo) == NOW
    assert job.spec.priority == pb.PRIORITY_CLASS_STANDARD
    assert job.spec.ceiling_micro_yuan_per_pflops_hour == 20_000_000
    assert (job.HasField("placement"), job.HasField("end"), job.HasField("ended_at")) == (False, False, False)


async def test_a_placed_job_tells_where(edge: Edge) -> None:
    job_id = await submitted(edge, tasks=1, cards_per_task=2)
    lease = await placed(edge.database, JobId(int(job_id.removeprefix("job-"))), cards=(0, 1))

    job = (await edge.stub.GetJob(spb.GetJobRequest(job_id=job_id), **edge.sent_by("observer"))).job

    assert job.state == pb.JOB_STATE_LEASED
    assert job.placement.lease_id == f"lease-{lease}"
    assert (job.placement.cluster, job.placement.pool, job.placement.epoch) == ("longdong", "ascend", 1)
    assert [(n.node, list(n.cards), n.tasks) for n in job.placement.nodes] == [("n1", [0, 1], 1)]


async def test_the_same_key_and_body_give_the_same_job(edge: Edge) -> None:
    first = await edge.stub.SubmitJob(submit(), **edge.sent_by("ganzhou"))

    again = await edge.stub.SubmitJob(submit(), **edge.sent_by("ganzhou"))

    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.job_id == first.job_id
    assert await stored(edge) == 1


async def test_a_key_used_for_another_body_is_refused_with_the_difference(edge: Edge) -> None:
    job_id = await submitted(edge)

    refused = await refusal(
        edge.stub.SubmitJob(submit(tasks=3, builds=[build(command=["x"])]), **edge.sent_by("ganzhou"))
    )

    assert (refused.code, refused.reason, refused.domain) == ("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT", "xisuan")
    assert set(refused.fields) == {"spec.tasks", "spec.builds[0].command"}
    assert refused.facts["job"] == job_id


INVALID = ("INVALID_ARGUMENT", "INVALID_REQUEST")
BAD: dict[str, tuple[spb.SubmitJobRequest, tuple[str, str], str]] = {
    "no key": (submit(""), INVALID, "request_key"),
    "long key": (submit("k" * 129), INVALID, "request_key"),
    "key with a line break": (submit("a\nb"), INVALID, "request_key"),
    "key that is not ASCII": (submit("钥匙"), INVALID, "request_key"),
    "no spec": (spb.SubmitJobRequest(request_key="k"), INVALID, "spec"),
    "zero cards": (submit(cards_per_task=0), INVALID, "spec.cards_per_task"),
    "absurd walltime": (submit(walltime_seconds=2**32 - 1), INVALID, "spec.walltime_seconds"),
    "control characters": (submit(name="a\x1b[2Jb"), INVALID, "spec.name"),
    "10 MB of environment": (
        submit(builds=[build(environment={"BIG": "x" * 10_000_000})]),
        INVALID,
        "spec.builds[0].environment",
    ),
    "unknown model": (submit(builds=[build(models=["ascend-910c"])]), INVALID, "spec.builds[0].models[0]"),
    "unknown stack": (submit(builds=[build(stack="can")]), INVALID, "spec.builds[0].stack"),
    "unknown hub": (submit(allowed_hubs=["qinyang"]), INVALID, "spec.allowed_hubs[0]"),
    "gang larger than any pool": (submit(tasks=5), ("FAILED_PRECONDITION", "NO_POOL_CAN_HOLD"), "spec.tasks"),
    "city that is no slug": (submit(city="Ganzhou!"), INVALID, "city"),
}


async def test_a_bad_submission_is_refused_by_name(edge: Edge) -> None:
    """Code and reason for programs, the field and the way out for people, and nothing half written."""
    found = {}
    for name, (request, _, _) in BAD.items():
        found[name] = await refusal(edge.stub.SubmitJob(request, **edge.sent_by("ganzhou")))

    assert {name: ((r.code, r.reason), list(r.fields)) for name, r in found.items()} == {
        name: (answer, [field]) for name, (_, answer, field) in BAD.items()
    }
    assert max(len(r.message) for r in found.values()) <= 1000
    assert await stored(edge) == 0


async def test_a_message_too_large_for_any_answer_harms_nobody(edge: Edge) -> None:
    """Beyond 16 MiB gRPC refuses it before it is read; the connection goes on."""
    huge = submit(builds=[build(environment={"BIG": "x" * 20_000_000})])

    refused = await refusal(edge.stub.SubmitJob(huge, **edge.sent_by("ganzhou")))

    assert refused.code == "RESOURCE_EXHAUSTED"
    assert await submitted(edge) == "job-1"


async def test_bytes_that_are_no_message_are_an_invalid_request(edge: Edge) -> None:
    """Text that is not UTF-8, or a cut message, is the caller's mistake and not ours."""
    raw = edge.channel.unary_unary("/broker.wire.v1.JobService/SubmitJob")

    found = [
        await refusal(raw(data, **edge.sent_by("ganzhou")))
        for data in (b"\x0a\x02\xff\xfe", b"\xff", b"\x12\xff\xff\xff\xff\x0f")
    ]

    assert [(r.code, r.reason) for r in found] == [INVALID] * 3
    assert all("UTF-8" in r.fields["request"] for r in found)


async def test_a_city_sees_and_changes_its_own_jobs_only(edge: Edge) -> None:
    """Another city's job is not found; that it exists is not told."""
    job_id = await submitted(edge)
    stub, nanjing = edge.stub, edge.sent_by("nanjing")

    calls = [
        stub.GetJob(spb.GetJobRequest(job_id=job_id), **nanjing),
        stub.CancelJob(spb.CancelJobRequest(job_id=job_id), **nanjing),
        stub.UpdateJob(spb.UpdateJobRequest(job_id=job_id, priority="PRIORITY_CLASS_URGENT"), **nanjing),
        stub.ExplainJob(spb.ExplainJobRequest(job_id=job_id), **nanjing),
        stub.ReadLogs(spb.ReadLogsRequest(job_id=job_id), **nanjing),
    ]

    assert [(await refusal(call)).reason for call in calls] == ["JOB_NOT_FOUND"] * 5
    foreign = await refusal(stub.SubmitJob(submit(city="ganzhou"), **nanjing))
    assert (foreign.code, foreign.reason) == ("PERMISSION_DENIED", "ROLE_REFUSED")
    assert not (await stub.ListJobs(spb.ListJobsRequest(), **nanjing)).jobs


async def test_operators_name_the_city(edge: Edge) -> None:
    """They may act for any, and must say for which."""
    unnamed = await refusal(edge.stub.SubmitJob(submit(), **edge.sent_by("operator")))
    unknown = await refusal(edge.stub.SubmitJob(submit(city="atlantis"), **edge.sent_by("operator")))

    await submitted(edge, who="operator", city="nanjing")

    assert list(unnamed.fields) == ["city"]
    assert (unknown.code, unknown.reason) == ("NOT_FOUND", "CITY_NOT_FOUND")
    assert [j.city for j in (await edge.stub.ListJobs(spb.ListJobsRequest(), **edge.sent_by("nanjing"))).jobs] == [
        "nanjing"
    ]


NO_IDS = ["", "42", "job-", "job-0", "job-01", "JOB-1", "job-9223372036854775808", "job-1\n"]


async def test_a_text_that_is_no_id_is_refused_by_name(edge: Edge) -> None:
    stub, sent = edge.stub, edge.sent_by("ganzhou")

    refusals = [
        await refusal(call)
        for job_id in NO_IDS
        for call in (
            stub.GetJob(spb.GetJobRequest(job_id=job_id), **sent),
            stub.CancelJob(spb.CancelJobRequest(job_id=job_id), **sent),
            stub.UpdateJob(spb.UpdateJobRequest(job_id=job_id, priority="PRIORITY_CLASS_URGENT"), **sent),
            stub.ExplainJob(spb.ExplainJobRequest(job_id=job_id), **sent),
            stub.ReadLogs(spb.ReadLogsRequest(job_id=job_id), **sent),
        )
    ]

    assert len(refusals) == 5 * len(NO_IDS)
    assert all(list(r.fields) == ["job_id"] and r.reason == "INVALID_REQUEST" for r in refusals)


async def test_pages_follow_one_another_newest_first(edge: Edge) -> None:
    for i in range(5):
        await submitted(edge, f"key-{i}", job_set="night" if i % 2 else "")

    pages, token = [], ""
    while not pages or token:
        request = spb.ListJobsRequest(page_size=2, page_token=token)
        page = await edge.stub.ListJobs(request, **edge.sent_by("ganzhou"))
        pages.append([j.job_id for j in page.jobs])
        token = page.next_page_token

    assert pages == [["job-5", "job-4"], ["job-3", "job-2"], ["job-1"]]
    of_set = await edge.stub.ListJobs(spb.ListJobsRequest(job_set="night"), **edge.sent_by("ganzhou"))
    assert [j.job_id for j in of_set.jobs] == ["job-4", "job-2"]


async def test_a_page_of_large_jobs_is_cut_and_goes_on(edge: Edge) -> None:
    """An answer that no client takes is no answer."""
    large = {"builds": [build(environment={"BIG": "x" * 130_000})]}
    for i in range(20):
        await submitted(edge, f"key-{i}", **large)

    seen, token, largest = [], "", 0
    while not seen or token:
        request = spb.ListJobsRequest(page_size=1000, page_token=token)
        page = await edge.stub.ListJobs(request, **edge.sent_by("ganzhou"))
        seen += [j.job_id for j in page.jobs]
        token, largest = page.next_page_token, max(largest, page.ByteSize())

    assert seen == [f"job-{i}" for i in range(20, 0, -1)]
    assert 1_000_000 < largest <= ANSWER_BYTES_MAX + 1000


async def test_a_wrong_filter_is_refused_by_name(edge: Edge) -> None:
    wrong = [
        ("page_size", spb.ListJobsRequest(page_size=1001)),
        ("page_token", spb.ListJobsRequest(page_token="job-1; DROP TABLE jobs")),
        ("states[0]", spb.ListJobsRequest(states=[99])),
        ("states[0]", spb.ListJobsRequest(states=[0])),
        ("states", spb.ListJobsRequest(states=[1] * 33)),
        ("job_set", spb.ListJobsRequest(job_set="?")),
        ("city", spb.ListJobsRequest(city="?")),
    ]

    found = [await refusal(edge.stub.ListJobs(request, **edge.sent_by("ganzhou"))) for _, request in wrong]

    assert [list(r.fields) for r in found] == [[field] for field, _ in wrong]


async def test_a_waiting_job_is_cancelled_at_once_and_a_placed_one_on_request(edge: Edge) -> None:
    waiting, runs = await submitted(edge, "a"), await submitted(edge, "b", tasks=1, cards_per_task=1)
    await placed(edge.database, JobId(int(runs.removeprefix("job-"))))

    first, second = [
        (await edge.stub.CancelJob(spb.CancelJobRequest(job_id=job), **edge.sent_by("ganzhou"))).job
        for job in (waiting, runs)
    ]

    assert (first.state, first.end.reason) == (pb.JOB_STATE_CANCELLED, pb.END_REASON_CANCELLED)
    assert (second.state, second.cancel_requested) == (pb.JOB_STATE_LEASED, True)


async def test_a_set_is_counted_then_cancelled(edge: Edge) -> None:
    for key in "abc":
        await submitted(edge, key, job_set="night")
    request = {"job_set": "night"}

    counted = await edge.stub.CancelJobSet(spb.CancelJobSetRequest(**request, dry_run=True), **edge.sent_by("ganzhou"))
    done = await edge.stub.CancelJobSet(spb.CancelJobSetRequest(**request), **edge.sent_by("ganzhou"))
    again = await edge.stub.CancelJobSet(spb.CancelJobSetRequest(**request), **edge.sent_by("ganzhou"))

    assert (counted.cancelled, done.cancelled, again.cancelled) == (3, 3, 0)
    unnamed = await refusal(edge.stub.CancelJobSet(spb.CancelJobSetRequest(), **edge.sent_by("ganzhou")))
    assert list(unnamed.fields) == ["job_set"]


async def test_the_priority_of_a_waiting_job_can_be_changed(edge: Edge) -> None:
    job_id = await submitted(edge)

    def update(priority: str, who: str) -> Any:
        request = spb.UpdateJobRequest(job_id=job_id, priority=priority or None)
        return edge.stub.UpdateJob(request, **edge.sent_by(who))

    assert (await update("PRIORITY_CLASS_URGENT", "ganzhou")).job.spec.priority == pb.PRIORITY_CLASS_URGENT
    assert (await refusal(update("PRIORITY_CLASS_EMERGENCY", "ganzhou"))).reason == "ROLE_REFUSED"
    assert (await update("PRIORITY_CLASS_EMERGENCY", "operator")).job.spec.priority == pb.PRIORITY_CLASS_EMERGENCY
    assert list((await refusal(update("", "ganzhou"))).fields) == ["priority"]
    await brought_to(edge.database, JobId(int(job_id.removeprefix("job-"))), JobState.CANCELLED)
    assert (await refusal(update("PRIORITY_CLASS_URGENT", "ganzhou"))).reason == "JOB_NOT_WAITING"


async def test_an_explanation_goes_out_pool_by_pool(edge: Edge) -> None:
    job_id = await submitted(edge)

    told = await edge.stub.ExplainJob(spb.ExplainJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))

    [verdict] = told.verdicts
    assert (told.job.job_id, told.round, told.summary != "") == (job_id, 0, True)
    assert (verdict.cluster, verdict.pool, verdict.hub) == ("longdong", "ascend", "qingyang")
    assert (verdict.model, verdict.build, verdict.reason) == ("ascend-910b", 0, "POOL_CLOSED")
    assert verdict.detail


async def test_what_would_start_the_job_goes_out_too(edge: Edge) -> None:
    """The owner asks 20 yuan for a card-hour of 0.32 PFLOPS, more than the city pays at most."""
    job_id = await submitted(edge)
    async with edge.database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", edge.clock.now())
        await asked(tx, "longdong", "ascend-910b", 20_000_000)

    told = await edge.stub.ExplainJob(spb.ExplainJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))

    [change] = told.changes
    assert (change.lever, change.effect, change.instead_of_jobs) == ("CEILING", "STARTS_NOW", 0)
    assert change.after > 62_500_000 > change.before
    assert change.extra_micro_yuan_per_hour == -(-(change.after - change.before) * 16 * 320 // 1000)
    assert (change.cluster, change.pool, change.name) == ("longdong", "ascend", "")
    assert change.detail.startswith("raise the ceiling by ")


def watched(edge: Edge, after: int = 0, idle: int = 0, who: str = "ganzhou", city: str = "") -> Any:
    request = spb.WatchJobsRequest(after_cursor=after, idle_seconds_max=idle, city=city)
    return edge.stub.WatchJobs(request, **edge.sent_by(who))


async def test_a_watch_tells_what_was_and_what_comes(edge: Edge) -> None:
    """From a cursor on, in order, without gaps, with where a job was placed and how it ended."""
    one = await submitted(edge, "a", tasks=1, cards_per_task=1)
    await placed(edge.database, JobId(1))
    await edge.number()
    watch = watched(edge)

    past = list((await watch.read()).events)
    two = await submitted(edge, "b")
    await edge.stub.CancelJob(spb.CancelJobRequest(job_id=two), **edge.sent_by("ganzhou"))
    await edge.number()
    news: list[spb.JobEvent] = []
    while len(news) < 2:
        news += (await watch.read()).events
    watch.cancel()

    assert [(e.cursor, e.job_id, e.kind) for e in past + news] == [
        (1, one, spb.JOB_EVENT_KIND_SUBMITTED),
        (2, one, spb.JOB_EVENT_KIND_LEASED),
        (3, two, spb.JOB_EVENT_KIND_SUBMITTED),
        (4, two, spb.JOB_EVENT_KIND_CANCELLED),
    ]
    assert past[1].placement.cluster == "longdong"
    assert news[1].end.reason == pb.END_REASON_CANCELLED


async def test_a_cursor_from_the_future_is_refused(edge: Edge) -> None:
    """Any number that the wire can carry."""
    cursors = [1, 2**63 - 1, 2**63, 2**64 - 1]

    found = [await refusal(watched(edge, after=cursor)) for cursor in cursors]

    assert {(r.code, r.reason) for r in found} == {("OUT_OF_RANGE", "CURSOR_IN_FUTURE")}
    assert [r.facts for r in found] == [{"cursor": str(c), "last": "0", "city": "ganzhou"} for c in cursors]


async def test_a_watcher_that_leaves_is_forgotten(edge: Edge) -> None:
    """Whatever it was doing: nothing goes on in its name."""
    watch = watched(edge)
    waiting = asyncio.create_task(watch.read())
    await eventually_watched(edge, True)

    watch.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    await eventually_watched(edge, False)


async def eventually_watched(edge: Edge, watched_: bool) -> None:
    async def holds() -> bool:
        return bool(edge.pulses._watchers) is watched_

    await eventually(holds)


async def test_a_watch_is_of_one_city(edge: Edge) -> None:
    assert list((await refusal(watched(edge, who="observer"))).fields) == ["city"]
    assert (await refusal(watched(edge, city="nanjing"))).reason == "ROLE_REFUSED"
    assert list((await refusal(watched(edge, idle=86_401))).fields) == ["idle_seconds_max"]


async def test_output_comes_from_the_agent_in_pieces(edge: Edge) -> None:
    """The agent here is scripted; what lies between it and the caller is real."""
    job_id = await submitted(edge, tasks=1, cards_per_task=1)
    await placed(edge.database, JobId(1))
    output = b"x" * 600_000 + b"end"

    def answer(request: LogRequest) -> None:
        data = output[request.offset : request.offset + request.length_max]
        link.answered(request.request, LogPiece(data, complete=True))

    link = AgentLink("longdong", answer, lambda _: None)
    edge.links.connect(link)

    pieces = [
        p async for p in edge.stub.ReadLogs(spb.ReadLogsRequest(job_id=job_id, offset=5), **edge.sent_by("ganzhou"))
    ]

    assert b"".join(p.data for p in pieces) == output[5:]
    assert [p.offset for p in pieces] == [5, 262_149, 524_293]
    assert max(len(p.data) for p in pieces) <= 262_144


async def test_a_wrong_selection_of_output_is_refused_by_name(edge: Edge) -> None:
    wrong = {"task": 10_000, "offset": 2**63, "stream": 9, "attempt": 2**31}

    found = [
        await refusal(
            edge.stub.ReadLogs(spb.ReadLogsRequest(job_id="job-1", **{field: value}), **edge.sent_by("ganzhou"))
        )
        for field, value in wrong.items()
    ]

    assert [list(r.fields) for r in found] == [[field] for field in wrong]


async def test_a_method_that_nobody_serves_is_unimplemented(edge: Edge) -> None:
    call = edge.channel.unary_unary("/broker.wire.v1.JobService/DoMagic")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", **edge.sent_by("operator"))

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_expected_start_is_told_by_every_answer_with_the_job_until_it_has_passed(edge: Edge) -> None:
    """Its halves pass one after the other; another city sees neither, and nobody sees one of a job that is placed."""
    job_id, runs_id = await submitted(edge), await submitted(edge, "key-2")
    job, runs = (JobId(int(each.removeprefix("job-"))) for each in (job_id, runs_id))
    now_s = int(NOW.timestamp())
    async with edge.database.hub() as tx:
        await expected_starts.tell(tx, [StartDraft(each, 1, now_s + 60, now_s + 600) for each in (job, runs)])
    await placed(edge.database, runs)

    async def told(job_id: str) -> list[tuple[int, int]]:
        got = (await edge.stub.GetJob(spb.GetJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))).job
        page = (await edge.stub.ListJobs(spb.ListJobsRequest(), **edge.sent_by("observer"))).jobs
        asked = spb.ExplainJobRequest(job_id=job_id)
        explained = (await edge.stub.ExplainJob(asked, **edge.sent_by("ganzhou"))).job
        seen = [each.expected_start for each in (got, *(one for one in page if one.job_id == job_id), explained)]
        return [(each.p50_at.seconds, each.p90_at.seconds) for each in seen]

    first, of_placed = await told(job_id), await told(runs_id)
    edge.clock.advance(seconds=60)
    second = await told(job_id)
    edge.clock.advance(seconds=540)

    assert first == [(now_s + 60, now_s + 600)] * 3
    assert of_placed == [(0, 0)] * 3
    assert second == [(0, now_s + 600)] * 3
    assert await told(job_id) == [(0, 0)] * 3
    async with edge.database.city("nanjing") as tx:
        assert await expected_starts.of_jobs(tx, [job, runs]) == {}
