"""Call rates of cities, over a real socket and with a clock that stands still until the test moves it."""

import asyncio

import grpc
import pytest

from broker.rpc.limits import STREAMS_MAX
from broker.wire.v1 import job_service_pb2 as spb
from tests.deadlines import eventually
from tests.rpc.conftest import Edge
from tests.rpc.refusals import refusal
from tests.rpc.requests import submit
from tests.rpc.test_submit_jobs import sent


@pytest.fixture
async def slow(edge: Edge) -> Edge:
    """Ganzhou may make 20 calls a second; the broker has not looked the limit up yet."""
    async with edge.database.hub() as tx:
        await tx.execute("UPDATE cities SET calls_per_second_max = 20 WHERE city = 'ganzhou'")
    return edge


async def calls(edge: Edge, who: str, number: int) -> int:
    """Make calls and return how many were made before one was refused."""
    for made in range(number):
        request = spb.ListJobsRequest(page_size=1)
        call = edge.stub.ListJobs(request, **edge.sent_by(who))
        if (await call.code()).name == "RESOURCE_EXHAUSTED":
            return made
        await call
    return number


async def test_a_city_beyond_its_rate_is_told_when_to_come_back(slow: Edge) -> None:
    assert await calls(slow, "ganzhou", 40) == 20

    refused = await refusal(slow.stub.ListJobs(spb.ListJobsRequest(), **slow.sent_by("ganzhou")))

    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
    assert refused.retry_after_seconds == pytest.approx(0.05)
    assert refused.facts["calls_per_second_max"] == "20"
    slow.clock.advance(seconds=0.5)
    assert await calls(slow, "ganzhou", 40) == 10


async def test_one_city_does_not_use_up_another_ones_rate(slow: Edge) -> None:
    """Nor that of operators and observers, who have none."""
    await calls(slow, "ganzhou", 40)

    assert await calls(slow, "nanjing", 40) == 40
    assert await calls(slow, "operator", 40) == 40


async def test_an_enterprise_has_half_of_its_citys_rate_and_leaves_the_rest(slow: Edge) -> None:
    """Its calls are its city's too: together they make no more than the city may."""
    assert await calls(slow, "acme", 40) == 10

    refused = await refusal(slow.stub.ListJobs(spb.ListJobsRequest(), **slow.sent_by("acme")))

    assert refused.reason == "TOO_MANY_CALLS"
    assert (refused.facts["city"], refused.facts["calls_per_second_max"]) == ("ganzhou/acme", "10")
    assert await calls(slow, "ganzhou", 40) == 10
    slow.clock.advance(seconds=0.1)
    assert await calls(slow, "acme", 40) == 1


async def test_a_city_at_its_rate_stops_its_enterprises(slow: Edge) -> None:
    await calls(slow, "ganzhou", 40)

    refused = await refusal(slow.stub.ListJobs(spb.ListJobsRequest(), **slow.sent_by("acme")))

    assert (refused.reason, refused.facts["city"]) == ("TOO_MANY_CALLS", "ganzhou")


async def test_messages_of_a_bulk_submission_wait_for_their_turn(slow: Edge) -> None:
    """One call, and for each message one more and a thousandth for each item; nothing has to be sent twice."""
    batches = [[submit(f"key-{m}-{i}") for i in range(10)] for m in range(30)]
    call = slow.stub.SubmitJobs(sent(batches), **slow.sent_by("ganzhou"))
    answered = 0

    async def read_all() -> None:
        nonlocal answered
        async for _ in call:
            answered += 1

    async def all_at_once_are_answered() -> bool:
        return answered >= 18

    reading = asyncio.create_task(read_all())
    # 20 calls are there at once: the stream itself and 18 messages of 1.01 calls; the rest needs 12 calls more.
    await eventually(all_at_once_are_answered)
    held_at = answered
    slow.clock.advance(seconds=0.6)
    await reading

    assert held_at == 18
    assert answered == 30


async def test_a_city_has_a_limited_number_of_streams_open(edge: Edge) -> None:
    """A rate does not bound what stays: a bulk submission holds megabytes, and a reader of output asks for ever."""
    most = STREAMS_MAX["/broker.wire.v1.JobService/SubmitJobs"]
    streams = [edge.stub.SubmitJobs(**edge.sent_by("ganzhou")) for _ in range(most)]
    for stream in streams:
        await stream.write(spb.SubmitJobsRequest())
        assert await stream.read() == spb.SubmitJobsResponse()

    refused = await refusal(edge.stub.SubmitJobs(sent([[]]), **edge.sent_by("ganzhou")))
    others = await edge.stub.SubmitJobs(sent([[]]), **edge.sent_by("nanjing")).read()
    streams.pop().cancel()

    async def there_is_room() -> bool:
        edge.clock.advance(seconds=1)  # so that the rate allows to ask again
        try:
            return await edge.stub.SubmitJobs(sent([[]]), **edge.sent_by("ganzhou")).read() == spb.SubmitJobsResponse()
        except grpc.aio.AioRpcError:
            return False

    await eventually(there_is_room)
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
    assert refused.facts == {"city": "ganzhou", "method": "SubmitJobs", "open": str(most)}
    assert others == spb.SubmitJobsResponse()


async def test_streams_of_an_enterprise_are_half_of_its_citys_and_count_as_such(edge: Edge) -> None:
    most = STREAMS_MAX["/broker.wire.v1.JobService/SubmitJobs"]
    streams = [edge.stub.SubmitJobs(**edge.sent_by("acme")) for _ in range(most // 2)]
    streams += [edge.stub.SubmitJobs(**edge.sent_by("ganzhou")) for _ in range(most // 2)]
    for stream in streams:
        await stream.write(spb.SubmitJobsRequest())
        assert await stream.read() == spb.SubmitJobsResponse()

    own = await refusal(edge.stub.SubmitJobs(sent([[]]), **edge.sent_by("acme")))
    citys = await refusal(edge.stub.SubmitJobs(sent([[]]), **edge.sent_by("ganzhou")))

    assert own.facts == {"city": "ganzhou/acme", "method": "SubmitJobs", "open": str(most // 2)}
    assert citys.facts == {"city": "ganzhou", "method": "SubmitJobs", "open": str(most)}
