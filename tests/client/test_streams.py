"""Events and output over connections that break."""

from collections import deque

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from broker.client import InvalidRequest, StreamGap, Unavailable
from broker.wire.v1 import job_pb2
from tests.client.scripted_broker import AWAY, IMPATIENT, ScriptedBroker, client_of, events, trouble


async def test_a_watch_goes_on_behind_the_last_event_it_has_given() -> None:
    broker = ScriptedBroker(events=events(range(1, 11)))
    broker.break_after.extend([3, 0, 4])

    async with client_of(broker) as client:
        seen = [event.cursor async for event in client.watch(idle_seconds_max=1)]

    assert seen == list(range(1, 11))
    assert [request.after_cursor for request in broker.called("WatchJobs")] == [0, 3, 3, 7]


async def test_a_stream_that_ends_without_being_idle_is_resumed() -> None:
    """A broker that shuts down in good order is no end of the story."""
    broker = ScriptedBroker(events=events(range(1, 5)), silent_break=True)
    broker.break_after.append(2)
    seen = []

    async with client_of(broker) as client:
        async for event in client.watch():
            seen.append(event.cursor)
            if event.cursor == 4:
                break

    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize("cursors", [[1, 2, 4], [2], [1, 1], [1, 2, 1]])
async def test_a_skipped_or_repeated_event_is_an_error(cursors: list[int]) -> None:
    """The contract says gap-free and in order: a client that bills or restarts by events must know when it broke."""
    broker = ScriptedBroker(events=events(cursors))

    async with client_of(broker) as client:
        with pytest.raises(StreamGap) as caught:
            async for _ in client.watch(idle_seconds_max=1):
                pass

    assert caught.value.reason == "CURSOR_GAP"


async def test_an_enterprise_sees_gaps_where_events_of_others_are() -> None:
    """Over a reconnection too: what was asked for is what went before."""
    broker = ScriptedBroker(events=events([3, 7, 8, 20]), previous=deque([0, 3, 7, 8]))
    broker.break_after.append(2)

    async with client_of(broker) as client:
        seen = [event.cursor async for event in client.watch(idle_seconds_max=1)]

    assert seen == [3, 7, 8, 20]


@pytest.mark.parametrize(
    ("cursors", "previous"), [([3, 7], [0, 4]), ([3, 7], [1, 3]), ([3, 3], [0, 3]), ([3, 2], [0, 3]), ([3], [5])]
)
async def test_a_message_that_an_enterprise_has_missed_is_an_error(cursors: list[int], previous: list[int]) -> None:
    broker = ScriptedBroker(events=events(cursors), previous=deque(previous))

    async with client_of(broker) as client:
        with pytest.raises(StreamGap) as caught:
            async for _ in client.watch(idle_seconds_max=1):
                pass

    assert caught.value.reason == "CURSOR_GAP"


async def test_a_gap_over_a_reconnection_is_seen_too() -> None:
    broker = ScriptedBroker(events=events([1, 2, 3, 5, 6]))
    broker.break_after.append(3)

    async with client_of(broker) as client:
        with pytest.raises(StreamGap) as caught:
            async for _ in client.watch(idle_seconds_max=1):
                pass

    assert caught.value.facts == {"expected": "4", "got": "5"}


async def test_a_watch_gives_up_when_the_broker_stays_away() -> None:
    broker = ScriptedBroker()
    broker.troubles.append(AWAY)

    async with client_of(broker, IMPATIENT) as client:
        with pytest.raises(Unavailable):
            async for _ in client.watch():
                pass


async def test_the_latest_cursor_is_what_the_refusal_of_a_future_one_names() -> None:
    broker = ScriptedBroker()
    refusal = ErrorInfo(domain="xisuan", reason="CURSOR_IN_FUTURE", metadata={"last": "41"})
    broker.troubles.extend([AWAY, trouble(grpc.StatusCode.OUT_OF_RANGE, "from the future", refusal)])

    async with client_of(broker) as client:
        assert await client.latest_cursor() == 41


async def test_a_cursor_from_the_future_is_refused() -> None:
    broker = ScriptedBroker()
    refusal = ErrorInfo(domain="xisuan", reason="CURSOR_IN_FUTURE", metadata={"last": "41"})
    broker.troubles.append(trouble(grpc.StatusCode.OUT_OF_RANGE, "from the future", refusal))

    async with client_of(broker) as client:
        with pytest.raises(InvalidRequest) as caught:
            async for _ in client.watch(after=99):
                pass

    assert caught.value.reason == "CURSOR_IN_FUTURE"


async def test_output_goes_on_at_the_byte_where_it_broke() -> None:
    broker = ScriptedBroker(log=b"one line\nanother line\n")
    broker.break_after.extend([2, 0, 1])

    async with client_of(broker) as client:
        text = b"".join([piece async for piece in client.logs("job-1", attempt=1, follow=True)])

    assert text == broker.log
    assert [request.offset for request in broker.called("ReadLogs")] == [0, 8, 8, 12]


async def test_the_last_attempt_is_pinned_before_reading() -> None:
    """A resumed stream must not slip into the output of a later attempt."""
    broker = ScriptedBroker(log=b"12345678")
    broker.states.append(job_pb2.JOB_STATE_RUNNING)
    broker.break_after.append(1)

    async with client_of(broker) as client:
        text = b"".join([piece async for piece in client.logs("job-1")])

    assert text == broker.log
    assert [request.attempt for request in broker.called("ReadLogs")] == [2, 2]


async def test_output_may_begin_in_the_middle() -> None:
    broker = ScriptedBroker(log=b"0123456789")

    async with client_of(broker) as client:
        assert b"".join([piece async for piece in client.logs("job-1", attempt=1, offset=6)]) == b"6789"
