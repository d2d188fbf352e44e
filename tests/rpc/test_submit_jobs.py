"""Bulk submission: every item gets its own answer, in order, whatever is wrong with the others."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest

from broker.rpc.arrivals import Arrivals
from broker.rpc.job_service import _answers, _bulk_bytes, _Message
from broker.wire.v1 import job_service_pb2 as spb
from tests.deadlines import eventually
from tests.rpc.conftest import Edge
from tests.rpc.refusals import refusal
from tests.rpc.requests import build, submit

Items = list[spb.SubmitJobRequest]


async def sent(batches: Iterable[Items]) -> AsyncIterator[spb.SubmitJobsRequest]:
    for items in batches:
        yield spb.SubmitJobsRequest(items=items)


def outcome(result: spb.SubmitJobResult) -> str:
    if result.HasField("accepted"):
        return "duplicate" if result.accepted.duplicate else "accepted"
    return result.refused.reason


async def answers(edge: Edge, batches: Iterable[Items], who: str = "ganzhou") -> list[list[spb.SubmitJobResult]]:
    call = edge.stub.SubmitJobs(sent(batches), **edge.sent_by(who))
    return [list(response.results) async for response in call]


async def test_ten_thousand_items_with_some_bad_ones_are_answered_one_by_one(edge: Edge) -> None:
    """A bad item costs nobody else anything, and the order is the order sent."""

    def item(i: int) -> spb.SubmitJobRequest:
        match i % 100:
            case 7:
                return submit(f"key-{i}", tasks=0)
            case 42:
                return submit(f"key-{i}", builds=[build(models=["no-such-model"])])
            case 99:
                return submit(f"key-{i - 1}", name="another body")
            case _:
                return submit(f"key-{i}")

    items = [item(i) for i in range(10_000)]
    batches = [items[i : i + 500] for i in range(0, len(items), 500)]

    found = await answers(edge, batches)

    results = [result for batch in found for result in batch]
    assert [len(batch) for batch in found] == [500] * 20
    assert [r.request_key for r in results] == [i.request_key for i in items]
    wrong = {7: "INVALID_REQUEST", 42: "INVALID_REQUEST", 99: "IDEMPOTENCY_CONFLICT"}
    assert [outcome(r) for r in results] == [wrong.get(i % 100, "accepted") for i in range(10_000)]
    assert [f.field for f in results[7].refused.fields] == ["spec.tasks"]
    assert [f.field for f in results[42].refused.fields] == ["spec.builds[0].models[0]"]
    assert [f.field for f in results[99].refused.fields] == ["spec.name"]
    async with edge.database.hub() as tx:
        assert await tx.fetchval("SELECT count(*) FROM jobs") == 9_700


async def test_sending_it_all_again_changes_nothing(edge: Edge) -> None:
    batches = [[submit("a"), submit("b")], [submit("a"), submit("c")]]

    first, again = await answers(edge, batches), await answers(edge, batches)

    assert [[outcome(r) for r in b] for b in first] == [["accepted", "accepted"], ["duplicate", "accepted"]]
    assert {outcome(r) for batch in again for r in batch} == {"duplicate"}


async def test_each_item_names_its_city_and_is_judged_by_it(edge: Edge) -> None:
    items = [submit("a", city="nanjing"), submit("b"), submit("c", city="atlantis"), submit("d", city="ganzhou")]

    [by_operator] = await answers(edge, [[*items, submit("e", city="?")]], who="operator")
    [by_city] = await answers(edge, [items])

    assert [outcome(r) for r in by_operator] == [
        "accepted",
        "INVALID_REQUEST",
        "CITY_NOT_FOUND",
        "accepted",
        "INVALID_REQUEST",
    ]
    assert [outcome(r) for r in by_city] == ["ROLE_REFUSED", "accepted", "ROLE_REFUSED", "duplicate"]


async def test_the_limit_of_waiting_jobs_refuses_the_items_beyond_it(edge: Edge) -> None:
    """With the time after which trying again helps."""
    async with edge.database.hub() as tx:
        await tx.execute("UPDATE cities SET pending_jobs_max = 3 WHERE city = 'ganzhou'")

    [results] = await answers(edge, [[submit(f"key-{i}") for i in range(5)]])

    assert [outcome(r) for r in results] == ["accepted"] * 3 + ["TOO_MANY_PENDING"] * 2
    assert results[4].refused.code == "RESOURCE_EXHAUSTED"
    assert results[4].refused.retry_after_millis > 0


async def test_a_message_beyond_its_limits_ends_the_stream_after_those_before_it(edge: Edge) -> None:
    """Its items cannot be answered one by one; what came before is stored and answered."""
    call = edge.stub.SubmitJobs(
        sent([[submit("a")], [submit(f"key-{i}") for i in range(1001)]]), **edge.sent_by("ganzhou")
    )

    first = await call.read()
    refused = await refusal(call.read())

    assert [outcome(r) for r in first.results] == ["accepted"]
    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", ["items"])
    heavy = submit("heavy", builds=[build(environment={"BIG": "x" * 5_000_000})])
    assert "bytes" in (await refusal(edge.stub.SubmitJobs(sent([[heavy]]), **edge.sent_by("ganzhou")))).fields["items"]


async def test_an_empty_message_gets_an_empty_answer(edge: Edge) -> None:
    assert [len(batch) for batch in await answers(edge, [[], [submit("a")], []])] == [0, 1, 0]


async def test_messages_that_say_so_are_answered_together(edge: Edge) -> None:
    """Each item has its result, in the order sent; a message that does not say so has an answer of its own."""
    alone = range(90, 95)
    messages = [spb.SubmitJobsRequest(items=[submit(f"key-{i}")], answer_together=i not in alone) for i in range(200)]

    async def flowing() -> AsyncIterator[spb.SubmitJobsRequest]:
        for message in messages:
            yield message

    call = edge.stub.SubmitJobs(flowing(), **edge.sent_by("ganzhou"))
    found = [list(response.results) async for response in call]

    assert [r.request_key for answer in found for r in answer] == [f"key-{i}" for i in range(200)]
    assert {outcome(r) for answer in found for r in answer} == {"accepted"}
    own = [answer[0].request_key for answer in found if len(answer) == 1]
    assert set(own) >= {f"key-{i}" for i in alone}
    assert len(found) < 150


def test_a_message_weighs_something_even_without_items() -> None:
    """Else one who sends nothing but empty ones were never held back."""
    empty, one_item = spb.SubmitJobsRequest(), spb.SubmitJobsRequest(items=[submit("a")])

    assert 0 < _bulk_bytes(empty) < _bulk_bytes(one_item)


def test_who_shares_an_answer() -> None:
    """Neighbours that both say so."""
    ahead = [_Message([], together) for together in (True, True, False, False, True)]

    assert list(_answers(ahead)) == [0, 0, 0, 0]


async def test_an_answer_comes_before_the_stream_is_closed(edge: Edge) -> None:
    """A client may wait for each answer before it sends more."""
    call = edge.stub.SubmitJobs(**edge.sent_by("ganzhou"))

    for key in "abc":
        await call.write(spb.SubmitJobsRequest(items=[submit(key)]))
        assert [outcome(r) for r in (await call.read()).results] == ["accepted"]
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF


def one(_: int) -> int:
    return 1


async def as_it_is(message: int) -> int:
    return message


async def test_no_more_is_read_ahead_than_stated() -> None:
    """A sender whom nobody answers is held back."""
    asked = 0

    async def endless() -> AsyncIterator[int]:
        nonlocal asked
        while True:
            asked += 1
            yield asked

    async def four_were_asked_for() -> bool:
        return asked == 4

    async with Arrivals(endless(), weigh=one, prepare=as_it_is, ahead_max=4) as arrivals:
        await eventually(four_were_asked_for)
        taken = await arrivals.take(one, 2)
        rest = await arrivals.take(one, 10)

    assert (taken, rest) == ([1, 2], [3, 4])
    assert asked == 4


async def test_messages_that_come_together_wait_for_those_behind_them() -> None:
    """Until the stream ends or enough has come; a single one waits for nothing."""
    go_on = asyncio.Event()

    async def halting() -> AsyncIterator[int]:
        yield 1
        await go_on.wait()
        for number in (2, 3, 4, 5):
            yield number
            await asyncio.sleep(0)

    async with Arrivals(halting(), weigh=one, prepare=as_it_is, ahead_max=9, gather_seconds=3600) as arrivals:
        first = await arrivals.take(one, 10)
        go_on.set()
        rest = [number async for number in rest_of(arrivals)]

    assert first == [1]
    assert rest == [2, 3, 4, 5]


async def rest_of(arrivals: Arrivals[int, int]) -> AsyncIterator[int]:
    while taken := await arrivals.take(one, 10):
        for number in taken:
            yield number


async def test_gathering_ends_where_no_more_may_be_read() -> None:
    """Else both would wait for each other."""

    async def endless() -> AsyncIterator[int]:
        while True:
            yield 1

    async with Arrivals(endless(), weigh=one, prepare=as_it_is, ahead_max=4, gather_seconds=3600) as arrivals:
        assert await arrivals.take(one, 10) in ([1], [1] * 4)
        assert len(await arrivals.take(one, 10)) <= 4


async def test_a_stream_that_breaks_is_noticed_after_what_had_arrived() -> None:
    """Also when it is cancelled: whoever waits for it must not wait for ever."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    async with Arrivals(broken(), weigh=one, prepare=as_it_is, ahead_max=4) as arrivals:
        assert await arrivals.take(one, 10) == [1]
        with pytest.raises(asyncio.CancelledError):
            await arrivals.take(one, 10)
