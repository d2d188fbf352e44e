"""Times and upstream jobs over the socket: a workflow in one call, and what becomes of it."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker.ids import JobId
from broker.lifecycle import JobState
from broker.loops.release import Release
from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb
from tests.rpc.conftest import Edge
from tests.rpc.refusals import refusal
from tests.rpc.requests import NOW, submit
from tests.rpc.test_submit_jobs import answers, outcome
from tests.small_world import asked, brought_to


def at(seconds: float) -> Timestamp:
    wire = Timestamp()
    wire.FromDatetime(NOW + timedelta(seconds=seconds))
    return wire


async def submitted(edge: Edge, key: str, **changes: Any) -> str:
    return (await edge.stub.SubmitJob(submit(key, **changes), **edge.sent_by("ganzhou"))).job_id


async def shown(edge: Edge, job_id: str) -> pb.Job:
    return (await edge.stub.GetJob(spb.GetJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))).job


async def released(edge: Edge) -> None:
    await Release(edge.database, wake=lambda: None).run_once(edge.clock.now())


async def test_a_workflow_is_submitted_in_one_call_by_request_keys(edge: Edge) -> None:
    """Each item may name those before it, in the same message or an earlier one; nobody may name a later one."""
    first = [submit("load"), submit("train", after_request_keys=["load"]), submit("early", after_request_keys=["eval"])]
    second = [submit("eval", after_request_keys=["train", "load"]), submit("tail", after_request_keys=["early"])]

    found = [result for batch in await answers(edge, [first, second]) for result in batch]
    again = [result for batch in await answers(edge, [first, second]) for result in batch]

    refused = "INVALID_REQUEST"
    assert [outcome(r) for r in found] == ["accepted", "accepted", refused, "accepted", refused]
    assert [f.field for f in found[2].refused.fields] == ["spec.after_request_keys[0]"]
    # the key of the item that came too early is there now
    assert [outcome(r) for r in again] == ["duplicate", "duplicate", "accepted", "duplicate", "accepted"]
    last = await shown(edge, found[3].accepted.job_id)
    assert (last.state, last.waiting_reason) == (pb.JOB_STATE_PENDING, "UPSTREAM_RUNS")
    assert list(last.spec.after_request_keys) == ["load", "train"]


async def test_a_job_whose_upstream_fails_is_cancelled_and_says_why(edge: Edge) -> None:
    first = await submitted(edge, "a", tasks=1, cards_per_task=1)
    second = await submitted(edge, "b", after=[first])
    told = await edge.stub.ExplainJob(spb.ExplainJobRequest(job_id=second), **edge.sent_by("ganzhou"))

    await brought_to(edge.database, JobId(int(first.removeprefix("job-"))), JobState.FAILED)
    await released(edge)

    assert told.summary == f"It waits for the end of jobs that it runs after: {first}."
    ended = await shown(edge, second)
    assert (ended.state, ended.end.reason) == (pb.JOB_STATE_CANCELLED, pb.END_REASON_UPSTREAM_FAILED)
    assert ended.end.detail == f"{first}, which it was to run after, is failed"


async def test_jobs_that_are_not_the_citys_own_are_not_there(edge: Edge) -> None:
    """Nobody learns whether another city has such a job."""
    foreign = (await edge.stub.SubmitJob(submit("n"), **edge.sent_by("nanjing"))).job_id

    for name in (foreign, "job-999"):
        refused = await refusal(edge.stub.SubmitJob(submit("k", after=[name]), **edge.sent_by("ganzhou")))
        assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", ["spec.after[0]"])
        assert refused.fields["spec.after[0]"] == f"there is no job {name} of this city: see `xisuan jobs`"


async def test_a_job_waits_for_its_earliest_start_and_says_so(edge: Edge) -> None:
    job_id = await submitted(edge, "k", earliest_start=at(60), preemptible=True, checkpoint_interval_seconds=600)

    told = await edge.stub.ExplainJob(spb.ExplainJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))

    assert told.summary == "It does not start before 2026-11-20T08:01:00+00:00."
    assert (told.job.waiting_reason, told.job.spec.earliest_start) == ("NOT_YET", at(60))
    assert (told.job.spec.preemptible, told.job.spec.checkpoint_interval_seconds) == (True, 600)


async def test_a_deadline_that_cannot_be_kept_is_refused_with_the_earliest_end(edge: Edge) -> None:
    """A repeat of a job that was accepted is answered as ever, however late."""
    job_id = await submitted(edge, "k", finish_by=at(3600))

    edge.clock.advance(seconds=1)
    again = await edge.stub.SubmitJob(submit("k", finish_by=at(3600)), **edge.sent_by("ganzhou"))
    refused = await refusal(edge.stub.SubmitJob(submit("n", finish_by=at(3600)), **edge.sent_by("ganzhou")))

    assert (again.job_id, again.duplicate) == (job_id, True)
    assert list(refused.fields) == ["spec.finish_by"]
    assert "ends at 2026-11-20T09:00:01+00:00 at the earliest" in refused.fields["spec.finish_by"]


async def test_what_would_start_a_job_by_a_time_goes_out_with_when_it_could_as_it_is(edge: Edge) -> None:
    """The owner asks more than the city pays; the node is free."""
    job_id = await submitted(edge, "k")
    async with edge.database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", edge.clock.now())
        await asked(tx, "longdong", "ascend-910b", 20_000_000)

    told = await explained(edge, job_id, at(600))

    assert told.earliest == spb.EarliestStart(detail="as it is, no time is known at which it could start")
    [change] = [each for each in told.changes if each.lever == "CEILING"]
    assert (change.effect, change.starts_at, change.cluster, change.pool) == ("STARTS_BY", at(0), "longdong", "ascend")
    assert change.detail.endswith(": could start now in longdong/ascend")
    assert not (await edge.stub.ExplainJob(spb.ExplainJobRequest(job_id=job_id), **edge.sent_by("ganzhou"))).HasField(
        "earliest"
    )


@pytest.mark.parametrize("seconds", [0, -1, 366 * 86_400 + 1])
async def test_a_time_that_is_past_or_beyond_a_year_is_refused_by_name(edge: Edge, seconds: int) -> None:
    job_id = await submitted(edge, "k")

    refused = await refusal(explained(edge, job_id, at(seconds)))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", ["start_by"])
    assert refused.fields["start_by"].startswith("must lie after 2026-11-20T08:00:00+00:00 and not after 2027-11-21")


def explained(edge: Edge, job_id: str, start_by: Timestamp) -> Awaitable[spb.ExplainJobResponse]:
    request = spb.ExplainJobRequest(job_id=job_id, start_by=start_by)
    return edge.stub.ExplainJob(request, **edge.sent_by("ganzhou"))
