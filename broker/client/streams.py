"""Streams that outlive a broken connection: events by cursor, output by offset. Both are checked for gaps."""

from collections.abc import AsyncGenerator
from typing import Final

import grpc

from broker.client.connection import Connection
from broker.client.errors import InvalidRequest, StreamGap, Unavailable, XisuanError, from_call
from broker.client.results import Event
from broker.wire.v1 import job_service_pb2 as pb

_CURSOR_MAX: Final = 2**63 - 1


async def events(
    connection: Connection, *, after: int, city: str, idle_seconds_max: int
) -> AsyncGenerator[Event, None]:
    """Yield every event behind the cursor `after`, in order, each once, over any number of broken connections.

    To an enterprise come its own events, with gaps where those of others are: each message then tells what went before.

    Raises: StreamGap: the broker skipped or repeated a cursor. XisuanError: the connection could not be resumed.
    """
    patience = connection.patience()
    cursor = after
    while True:
        request = pb.WatchJobsRequest(after_cursor=cursor, city=city, idle_seconds_max=idle_seconds_max)
        call = connection.server_stream("JobService/WatchJobs", request, pb.WatchJobsResponse)
        broken: XisuanError = Unavailable("the broker ended the stream", reason="STREAM_ENDED")
        try:
            async for message in call:
                patience.renew()
                of_enterprise = message.HasField("previous_cursor")
                if of_enterprise and message.previous_cursor != cursor:
                    raise _gap("CURSOR_GAP", "events behind", cursor, message.previous_cursor)
                for event in message.events:
                    if event.cursor <= cursor or (event.cursor != cursor + 1 and not of_enterprise):
                        raise _gap("CURSOR_GAP", "event", cursor + 1, event.cursor)
                    cursor = event.cursor
                    yield Event.of(event)
            if idle_seconds_max:
                return
        except grpc.aio.AioRpcError as error:
            broken = from_call(error)
        finally:
            call.cancel()
        await connection.pause_or_raise(broken, patience)


async def latest_cursor(connection: Connection, *, city: str) -> int:
    """Return the cursor of the city's last event, 0 when nothing has happened yet.

    Asks for events behind a cursor that no city will ever reach; the refusal names the last one.
    """
    patience = connection.patience()
    while True:
        request = pb.WatchJobsRequest(after_cursor=_CURSOR_MAX, city=city, idle_seconds_max=1)
        call = connection.server_stream("JobService/WatchJobs", request, pb.WatchJobsResponse)
        try:
            async for _ in call:
                raise _gap("CURSOR_GAP", "event", _CURSOR_MAX, 0)
            return 0
        except grpc.aio.AioRpcError as error:
            refusal = from_call(error)
        finally:
            call.cancel()
        if isinstance(refusal, InvalidRequest) and refusal.reason == "CURSOR_IN_FUTURE" and "last" in refusal.facts:
            return int(refusal.facts["last"])
        await connection.pause_or_raise(refusal, patience)


async def output(
    connection: Connection, *, job_id: str, attempt: int, task: int, stream: pb.LogStream, offset: int, follow: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the output of one task of one attempt from an offset on, over any number of broken connections.

    Raises: StreamGap: the broker skipped or repeated bytes. XisuanError: the connection could not be resumed.
    """
    patience = connection.patience()
    position = offset
    while True:
        request = pb.ReadLogsRequest(
            job_id=job_id, attempt=attempt, task=task, stream=stream, offset=position, follow=follow
        )
        call = connection.server_stream("JobService/ReadLogs", request, pb.ReadLogsResponse)
        try:
            async for piece in call:
                patience.renew()
                if piece.offset != position:
                    raise _gap("OFFSET_GAP", "byte", position, piece.offset)
                position += len(piece.data)
                yield piece.data
            return
        except grpc.aio.AioRpcError as error:
            broken = from_call(error)
        finally:
            call.cancel()
        await connection.pause_or_raise(broken, patience)


def _gap(reason: str, what: str, expected: int, got: int) -> StreamGap:
    return StreamGap(
        f"expected {what} {expected}, the broker sent {got}: start again from the last one that was processed, and "
        "report this, because it must never happen",
        reason=reason,
        facts={"expected": str(expected), "got": str(got)},
    )
