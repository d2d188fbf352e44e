"""Errors as statuses: what programs and people can read, and what nobody shall."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import errors
from broker.errors import BrokerError, DatabaseUnavailable, FieldProblem, InvalidRequest, JobNotFound, TooManyPending
from broker.rpc.status import Errors, problem_of, status_of
from tests.deadlines import eventually
from tests.rpc.refusals import refusal

CODES = {code.name for code in grpc.StatusCode}


def all_errors() -> list[type[BrokerError]]:
    return [
        e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, BrokerError) and e is not BrokerError
    ]


def test_every_error_has_a_status_code_and_a_reason_of_its_own() -> None:
    found = all_errors()

    assert {e.code for e in found} <= CODES
    assert len({e.reason for e in found}) == len(found)


def test_a_problem_says_what_the_status_says() -> None:
    error = TooManyPending(city="ganzhou", pending=9, pending_jobs_max=9, retry_after_seconds=2.5)

    problem, status = problem_of(error), status_of(error)

    assert (problem.code, problem.reason, problem.retry_after_millis) == (
        "RESOURCE_EXHAUSTED",
        "TOO_MANY_PENDING",
        2500,
    )
    assert problem.message == status.message == str(error)


def test_trying_again_soon_is_not_trying_never() -> None:
    """0 milliseconds say that it does not help."""
    assert problem_of(DatabaseUnavailable(retry_after_seconds=0.0001)).retry_after_millis == 1
    assert problem_of(JobNotFound(job="job-1")).retry_after_millis == 0


texts = st.text(max_size=2000) | st.sampled_from(["汉" * 3000, "\0" * 500, "\ud800" * 400, "{x}", "%s"])


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=60), st.floats(0, 1e6))
def test_no_error_is_larger_than_a_peer_takes(fields: list[tuple[str, str]], retry_after_seconds: float) -> None:
    """A status travels in trailers of at most 8 KiB, where the message may take three bytes for one."""
    error = InvalidRequest(*(FieldProblem(*pair) for pair in fields))
    error.retry_after_seconds = retry_after_seconds
    error.metadata |= {f"fact-{i}": value for i, (_, value) in enumerate(fields[:9])}

    status = status_of(error)

    assert len(status.SerializeToString()) + 3 * len(status.message.encode()) < 8192
    assert problem_of(error).ByteSize() < 4096


class Broken:
    """Methods that fail in every way there is."""

    def __init__(self) -> None:
        self.closed = False

    async def unary(self, _: bytes, __: Any) -> bytes:
        raise RuntimeError("password=hunter2")

    async def stream(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        yield b"first"
        raise JobNotFound(job="job-7")

    async def endless(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            self.closed = True

    async def aborts(self, _: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DATA_LOSS, "own words")
        raise AssertionError("abort raises")


@pytest.fixture
async def broken() -> AsyncIterator[tuple[grpc.aio.Channel, Broken]]:
    service = Broken()
    server = grpc.aio.server(interceptors=[Errors()])
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(service.unary),
        "Stream": grpc.unary_stream_rpc_method_handler(service.stream),
        "Endless": grpc.unary_stream_rpc_method_handler(service.endless),
        "Aborts": grpc.unary_unary_rpc_method_handler(service.aborts),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Broken", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, service
    await server.stop(0)


async def test_a_fault_of_ours_gives_a_number_and_no_secrets(broken: tuple[grpc.aio.Channel, Broken]) -> None:
    channel, _ = broken

    refused = await refusal(channel.unary_unary("/test.Broken/Unary")(b""))

    assert (refused.code, refused.reason) == ("INTERNAL", "INTERNAL")
    assert refused.facts["incident"] in refused.message
    assert "hunter2" not in str(refused)


async def test_an_error_in_the_middle_of_a_stream_keeps_its_details(broken: tuple[grpc.aio.Channel, Broken]) -> None:
    channel, _ = broken
    call = channel.unary_stream("/test.Broken/Stream")(b"")

    assert await call.read() == b"first"
    refused = await refusal(call.read())

    assert (refused.reason, refused.facts) == ("JOB_NOT_FOUND", {"job": "job-7"})


async def test_a_status_that_was_set_already_stays(broken: tuple[grpc.aio.Channel, Broken]) -> None:
    channel, _ = broken

    refused = await refusal(channel.unary_unary("/test.Broken/Aborts")(b""))

    assert (refused.code, refused.message) == ("DATA_LOSS", "own words")


async def test_a_stream_whose_reader_has_left_is_closed(broken: tuple[grpc.aio.Channel, Broken]) -> None:
    """Also when it was sending at that moment."""
    channel, service = broken
    call = channel.unary_stream("/test.Broken/Endless")(b"")
    await call.read()

    call.cancel()

    async def closed() -> bool:
        return service.closed

    await eventually(closed)


def test_a_blocking_method_is_refused_before_it_serves() -> None:
    """It would stop every other call."""

    def blocking(request: bytes, context: Any) -> bytes:
        return request

    with pytest.raises(TypeError, match="async def"):
        Errors().guarded(grpc.unary_unary_rpc_method_handler(blocking), "/test/Blocking")
