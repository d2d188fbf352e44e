"""Many jobs in one call: a bounded window of messages in flight, and a safe way on when the call breaks.

Keys make repeating harmless: what was sent and not answered is sent again on the next call, and an item that the broken
call had stored is recognised by its key.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc

from broker.client.connection import Connection
from broker.client.errors import CONNECTION_BROKE, BrokerFault, Unavailable, XisuanError, from_call, from_problem
from broker.client.results import Submission
from broker.client.spec import JobSpec
from broker.wire.v1 import job_service_pb2 as pb

ITEMS_MAX: Final = 1000
"""Items in one message, by contract."""

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Size of one message, by contract."""

WINDOW: Final = 4
"""Messages that may be unanswered at once: enough to keep broker and network busy, little to send again."""

_ITEM_OVERHEAD_BYTES: Final = 8
_FAREWELL_SECONDS_MAX: Final = 2.0

Item: TypeAlias = JobSpec | tuple[str, JobSpec]
"""A job, or a request key of your own with a job."""

_Call: TypeAlias = grpc.aio.StreamStreamCall[pb.SubmitJobsRequest, pb.SubmitJobsResponse]


@dataclass(frozen=True, slots=True)
class _Batch:
    """One message, and which of its keys we invented: those cannot have been used by anybody else."""

    first_index: int
    message: pb.SubmitJobsRequest
    own_keys: Sequence[bool]


async def submissions(
    connection: Connection, items: Iterable[Item] | AsyncIterable[Item], *, city: str, batch: int
) -> AsyncGenerator[Submission, None]:
    """Yield one answer for each item, in order, over any number of broken connections.

    Raises: XisuanError: the call was refused as a whole, or could not be resumed; what was yielded is stored.
    """
    if not 1 <= batch <= ITEMS_MAX:
        raise ValueError(f"batch must be between 1 and {ITEMS_MAX}, by the contract of SubmitJobs")
    sender = _Sender(connection, _batches(items, city=city, batch=batch))
    try:
        async with aclosing(sender.answers()) as answers:
            async for answered, response in answers:
                for submission in _read(answered, response):
                    yield submission
    finally:
        await sender.close()


class _Sender:
    """Moves batches from the source over calls that may break; `unanswered` is what the next call must send again."""

    def __init__(self, connection: Connection, source: AsyncGenerator[_Batch, None]) -> None:
        self._connection = connection
        self._source = source
        self._next: asyncio.Task[_Batch | None] | None = None
        self._exhausted = False
        self._unanswered: deque[_Batch] = deque()

    async def answers(self) -> AsyncGenerator[tuple[_Batch, pb.SubmitJobsResponse], None]:
        patience = self._connection.patience()
        while not (self._exhausted and not self._unanswered):
            call = self._connection.both_streams("JobService/SubmitJobs", pb.SubmitJobsRequest, pb.SubmitJobsResponse)
            broken: XisuanError
            try:
                async with aclosing(self._over(call)) as pairs:
                    async for pair in pairs:
                        patience.renew()
                        yield pair
                return
            except grpc.aio.AioRpcError as error:
                broken = from_call(error)
                if broken.reason == CONNECTION_BROKE:
                    broken = await self._refusal() or broken
            except _Ended:
                broken = Unavailable("the broker ended the call before it had answered", reason="STREAM_ENDED")
            finally:
                call.cancel()
            await self._connection.pause_or_raise(broken, patience)

    async def _over(self, call: _Call) -> AsyncGenerator[tuple[_Batch, pb.SubmitJobsResponse], None]:
        """Send and read on one call until everything is answered."""
        for sent in self._unanswered:
            await self._write(call, sent)
        reading: asyncio.Task[pb.SubmitJobsResponse] | None = None
        try:
            while True:
                if reading is None and self._unanswered:
                    reading = asyncio.create_task(_answer(call))
                room = len(self._unanswered) < WINDOW and not self._exhausted
                if room and self._next is None:
                    self._next = asyncio.create_task(_following(self._source))
                waiting = {task for task in (reading, self._next if room else None) if task is not None}
                if not waiting:
                    await _farewell(call)
                    return
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if reading is not None and reading in done:
                    response = reading.result()
                    reading = None
                    yield self._unanswered.popleft(), response
                if self._next is not None and self._next in done:
                    await self._send_next(call)
        finally:
            if reading is not None:
                await _dropped(reading)

    async def _refusal(self) -> XisuanError | None:
        """Return why the broker refuses the call, None when it does not.

        grpc forgets the status of a call that ends while a message is being sent; an empty call is told the reason.
        """
        call = self._connection.both_streams("JobService/SubmitJobs", pb.SubmitJobsRequest, pb.SubmitJobsResponse)
        try:
            await call.done_writing()
            await call.read()
        except grpc.aio.AioRpcError as error:
            return from_call(error)
        finally:
            call.cancel()
        return None

    async def _send_next(self, call: _Call) -> None:
        assert self._next is not None  # noqa: S101  # only called when it is done
        batch = self._next.result()
        self._next = None
        if batch is None:
            self._exhausted = True
            return
        self._unanswered.append(batch)  # first noted, then sent: a broken write is sent again
        await self._write(call, batch)

    async def _write(self, call: _Call, batch: _Batch) -> None:
        with suppress(asyncio.InvalidStateError):  # the call has ended: reading from it tells why
            await call.write(batch.message)

    async def close(self) -> None:
        if self._next is not None:
            await _dropped(self._next)
        await self._source.aclose()


class _Ended(Exception):
    """The broker ended the call in good order although answers are missing."""


async def _following(source: AsyncIterator[_Batch]) -> _Batch | None:
    return await anext(source, None)


async def _farewell(call: _Call) -> None:
    """End a call in good order; everything is answered, so how it ends changes nothing."""
    with suppress(TimeoutError, grpc.aio.AioRpcError):
        async with asyncio.timeout(_FAREWELL_SECONDS_MAX):
            await call.done_writing()
            await call.read()


async def _answer(call: _Call) -> pb.SubmitJobsResponse:
    response = await call.read()
    if not isinstance(response, pb.SubmitJobsResponse):
        raise _Ended
    return response


async def _dropped(task: "asyncio.Task[pb.SubmitJobsResponse] | asyncio.Task[_Batch | None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError, _Ended):
        await task


def _read(batch: _Batch, response: pb.SubmitJobsResponse) -> Iterable[Submission]:
    if [r.request_key for r in response.results] != [item.request_key for item in batch.message.items]:
        raise BrokerFault("the broker's answers do not belong to the items that were sent", reason="ANSWERS_MISMATCH")
    for offset, (result, own) in enumerate(zip(response.results, batch.own_keys, strict=True)):
        refused = result.WhichOneof("outcome") != "accepted"
        yield Submission(
            index=batch.first_index + offset,
            request_key=result.request_key,
            job_id=result.accepted.job_id,
            duplicate=result.accepted.duplicate and not own,
            error=from_problem(result.refused) if refused else None,
        )


async def _batches(
    items: Iterable[Item] | AsyncIterable[Item], *, city: str, batch: int
) -> AsyncGenerator[_Batch, None]:
    index, size = 0, 0
    own_keys: list[bool] = []
    message = pb.SubmitJobsRequest()
    async for item in _each(items):
        key, spec = ("", item) if isinstance(item, JobSpec) else item
        wire = pb.SubmitJobRequest(request_key=key or new_key(), spec=spec.to_wire(), city=city)
        added = wire.ByteSize() + _ITEM_OVERHEAD_BYTES
        if own_keys and (len(own_keys) == batch or size + added > MESSAGE_BYTES_MAX):
            yield _Batch(index, message, own_keys)
            index, size, own_keys, message = index + len(own_keys), 0, [], pb.SubmitJobsRequest()
        message.items.append(wire)
        own_keys.append(not key)
        size += added
    if own_keys:
        yield _Batch(index, message, own_keys)


async def _each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def new_key() -> str:
    """Return a request key that nobody else uses."""
    return str(uuid.uuid4())
