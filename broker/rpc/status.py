"""Errors as gRPC statuses: google.rpc details with a stable reason, and an incident's number where we are at fault."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from broker import metrics
from broker.errors import BrokerError, invalid
from broker.rpc.interceptor import Context, Guard, Handler, behaviour_of, like, writing
from broker.wire.v1 import job_service_pb2 as pb

DOMAIN: Final = "xisuan"

# A status travels in trailers, and peers refuse trailers beyond 8 KiB: an error must not become a worse one.
MESSAGE_BYTES_MAX: Final = 1000
FACT_BYTES_MAX: Final = 300
FACTS_BYTES_MAX: Final = 1200
DESCRIPTION_BYTES_MAX: Final = 300
FIELDS_BYTES_MAX: Final = 2400

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


def status_of(error: BrokerError) -> Status:
    """Return the error as google.rpc.Status with ErrorInfo, BadRequest (named fields) and RetryInfo."""
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_facts(error))]
    if error.fields:
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=field, description=description)
                    for field, description in _fields(error)
                ]
            )
        )
    if error.retry_after_seconds is not None:
        micros = max(0, round(error.retry_after_seconds * 1_000_000))
        details.append(RetryInfo(retry_delay=Duration(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)))
    return _status(grpc.StatusCode[error.code], str(error), details)


def problem_of(error: BrokerError) -> pb.Problem:
    """Return the error of one item of a bulk call: the same facts as a unary call's status."""
    retry_after_seconds = error.retry_after_seconds
    return pb.Problem(
        code=error.code,
        reason=error.reason,
        message=_cut(str(error), MESSAGE_BYTES_MAX),
        fields=[pb.FieldProblem(field=field, description=description) for field, description in _fields(error)],
        # At least 1, because 0 says that trying again does not help.
        retry_after_millis=0 if retry_after_seconds is None else max(1, round(retry_after_seconds * 1000)),
    )


class Errors(Guard):
    """Turns errors into statuses. It is the outermost guard, so that errors of the others are turned and counted."""

    def __init__(self) -> None:
        super().__init__()
        self._streams: set[str] = set()  # methods whose calls last as long as their callers like

    def guarded(self, handler: Handler, method: str) -> Handler:
        """Return the handler; bytes that are no message are refused like any other invalid request."""
        if handler.request_streaming or handler.response_streaming:
            self._streams.add(method)
        guarded = writing(super().guarded(handler, method))
        parse = handler.request_deserializer
        return guarded if parse is None else like(guarded, behaviour_of(guarded), parse=_tolerant(parse))

    async def admit(self, message: Any) -> None:
        """Refuse what could not be parsed."""
        if isinstance(message, _Malformed):
            raise invalid("request", "is not a valid message of this method: text must be UTF-8, and nothing cut off")

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Answer with the status of whatever error comes out of the call; cancellation passes."""
        with metrics.process.call(method, timed=method not in self._streams) as told:
            try:
                yield
            except BrokerError as error:
                told.code = error.code
                log.debug("call refused", method=method, code=error.code, reason=error.reason)
                await context.abort_with_status(rpc_status.to_status(status_of(error)))
            except grpc.aio.AbortError:
                told.code = _sent(context)
                raise  # a status was sent already
            except asyncio.CancelledError:
                told.code = "CANCELLED"
                raise
            except Exception:
                told.code = "INTERNAL"
                incident = secrets.token_hex(6)
                log.exception("call failed", method=method, incident=incident)
                await context.abort_with_status(rpc_status.to_status(_internal(incident)))


class _Malformed:
    """Stands for bytes that are no message."""


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a parser that gives _Malformed instead of raising: grpc would answer INTERNAL, as if it were our fault."""

    def parsed(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _Malformed()

    return parsed


def _sent(context: Context) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


def _internal(incident: str) -> Status:
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"incident": incident})
    return _status(
        grpc.StatusCode.INTERNAL,
        f"The broker failed, through no fault of yours: tell its operator the incident {incident}.",
        [info],
    )


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> Status:
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    number: int = code.value[0]
    return Status(code=number, message=_cut(message, MESSAGE_BYTES_MAX), details=packed)


def _facts(error: BrokerError) -> dict[str, str]:
    facts: dict[str, str] = {}
    left = FACTS_BYTES_MAX
    for name, value in error.metadata.items():
        if name == "summary":  # the message and the fields say it already
            continue
        cut = _cut(value, min(left, FACT_BYTES_MAX))
        left -= len(cut.encode())
        facts[name] = cut
    return facts


def _fields(error: BrokerError) -> list[tuple[str, str]]:
    """Return fields and descriptions as far as they fit; the last one tells how many did not."""
    fitting: list[tuple[str, str]] = []
    left = FIELDS_BYTES_MAX
    for problem in error.fields:
        pair = _cut(problem.field, DESCRIPTION_BYTES_MAX), _cut(problem.description, DESCRIPTION_BYTES_MAX)
        left -= len(pair[0].encode()) + len(pair[1].encode())
        if left < 0:
            field, description = fitting[-1]
            fitting[-1] = field, f"{description} (and {len(error.fields) - len(fitting)} fields more)"
            break
        fitting.append(pair)
    return fitting


def _cut(text: str, bytes_max: int) -> str:
    """Return at most that many bytes of UTF-8, whole characters, with a mark where something is missing."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: max(0, bytes_max - 3)].decode("utf-8", "ignore") + "..."
