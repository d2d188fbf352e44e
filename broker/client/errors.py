"""Every error that a user of the client can see.

XisuanError
├─ InvalidRequest   INVALID_ARGUMENT, OUT_OF_RANGE      a field is wrong; `fields` says which and what would be right
├─ NotFound         NOT_FOUND
├─ Conflict         ALREADY_EXISTS, ABORTED             a request key used for another body, a name that is taken
├─ NotPossibleNow   FAILED_PRECONDITION                 the state forbids it, or no pool could ever run the job
├─ NotAllowed       UNAUTHENTICATED, PERMISSION_DENIED  the key is wrong or may not do that
├─ TooMuch          RESOURCE_EXHAUSTED                  a limit; `retry_after_seconds` says when to come back
├─ Unavailable      UNAVAILABLE, DEADLINE_EXCEEDED      the broker cannot be reached or did not answer in time
├─ BrokerFault      any other code                      a fault of the broker; the message carries its incident id
├─ StreamGap        found by the client                 a stream skipped something that it promised not to skip
├─ BadSettings      found by the client                 no endpoint, no key, or one that cannot be used
└─ BadJobFile       found by the client                 a job file is not valid; `fields` says where
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from broker.wire.v1 import job_service_pb2

ERROR_DOMAIN: Final = "xisuan"
Detail = TypeVar("Detail", bound=Message)
CONNECTION_BROKE: Final = "CONNECTION_BROKE"
"""Reason when a call ended while it ran and nobody said why."""

_SEND_FAILED: Final = "Internal error from Core"
_DETAILS_KEY: Final = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request, and what would be right."""

    field: str
    description: str


class XisuanError(Exception):
    """Base of all errors of the client.

    Attributes:
        code: name of the gRPC status code, such as "NOT_FOUND".
        reason: stable reason for programs, such as "JOB_NOT_FOUND"; the code's name when the broker gave none.
        message: what is wrong and what to do, for people.
        fields: problems by field.
        retry_after_seconds: trying again helps after this time; None where the broker did not say so.
        facts: further facts for programs, such as {"last": "41"} of CURSOR_IN_FUTURE.
    """

    default_code: ClassVar[str] = "UNKNOWN"
    default_reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        fields: Sequence[FieldProblem] = (),
        retry_after_seconds: float | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code or self.default_code
        self.reason = reason or self.default_reason or self.code
        self.message = message
        self.fields = tuple(fields)
        self.retry_after_seconds = retry_after_seconds
        self.facts = dict(facts or {})
        super().__init__(message)

    def __str__(self) -> str:
        told = [f"{self.reason}: {self.message}"]
        told += [f"{p.field}: {p.description}" for p in self.fields if p.description not in self.message]
        return "; ".join(told)


class InvalidRequest(XisuanError):
    """The request is not valid: change the named fields and send it again."""

    default_code = "INVALID_ARGUMENT"


class NotFound(XisuanError):
    """There is no such thing, or the key may not see it."""

    default_code = "NOT_FOUND"


class Conflict(XisuanError):
    """Something else is there already under that key or name."""

    default_code = "ALREADY_EXISTS"


class NotPossibleNow(XisuanError):
    """The state of things forbids it."""

    default_code = "FAILED_PRECONDITION"


class NotAllowed(XisuanError):
    """The API key is missing, unknown, revoked, or may not do that."""

    default_code = "PERMISSION_DENIED"


class TooMuch(XisuanError):
    """A limit is reached; see `retry_after_seconds`."""

    default_code = "RESOURCE_EXHAUSTED"


class Unavailable(XisuanError):
    """The broker, or the agent that was needed, cannot be reached now."""

    default_code = "UNAVAILABLE"


class BrokerFault(XisuanError):
    """The broker failed in a way that it did not expect."""

    default_code = "INTERNAL"


class StreamGap(XisuanError):
    """A stream that is gap-free by contract skipped or repeated something; start again from what was processed last."""

    default_code = "DATA_LOSS"


class BadSettings(XisuanError):
    """The client cannot know where to call, or with which key."""

    default_code = "INVALID_ARGUMENT"
    default_reason = "BAD_SETTINGS"


class BadJobFile(XisuanError):
    """A job file cannot be used; `fields` names each wrong place."""

    default_code = "INVALID_ARGUMENT"
    default_reason = "BAD_JOB_FILE"


_KIND_BY_CODE: Final[Mapping[str, type[XisuanError]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Conflict,
    "ABORTED": Conflict,
    "FAILED_PRECONDITION": NotPossibleNow,
    "UNAUTHENTICATED": NotAllowed,
    "PERMISSION_DENIED": NotAllowed,
    "RESOURCE_EXHAUSTED": TooMuch,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": Unavailable,
}


def kind_of(code: str) -> type[XisuanError]:
    """Return the kind of error that belongs to the name of a gRPC status code."""
    return _KIND_BY_CODE.get(code, BrokerFault)


def from_call(error: grpc.aio.AioRpcError) -> XisuanError:
    """Return what a failed call means; details that are missing or broken are left out, never an error of their own."""
    code = error.code().name
    if code == "CANCELLED" or (code == "INTERNAL" and error.details() == _SEND_FAILED):
        # It was not cancelled by us, or there would be no error: the broker went down while the call ran.
        return Unavailable(f"the connection broke ({error.details()})", reason=CONNECTION_BROKE)
    reason = ""
    fields: list[FieldProblem] = []
    retry_after: float | None = None
    facts: dict[str, str] = {}
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = _unpacked(detail, error_details_pb2.ErrorInfo())
            if info.domain == ERROR_DOMAIN:
                reason, facts = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            wrong = _unpacked(detail, error_details_pb2.BadRequest()).field_violations
            fields = [FieldProblem(v.field, v.description) for v in wrong]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = _unpacked(detail, error_details_pb2.RetryInfo()).retry_delay
            retry_after = max(0.0, delay.seconds + delay.nanos / 1e9)
    message = error.details() or f"the call ended with {code}"
    return kind_of(code)(message, code=code, reason=reason, fields=fields, retry_after_seconds=retry_after, facts=facts)


def from_problem(problem: job_service_pb2.Problem) -> XisuanError:
    """Return what the refusal of one item of a bulk submission means: the same as the refusal of a unary call."""
    return kind_of(problem.code)(
        problem.message,
        code=problem.code,
        reason=problem.reason,
        fields=[FieldProblem(p.field, p.description) for p in problem.fields],
        retry_after_seconds=problem.retry_after_millis / 1000 if problem.retry_after_millis else None,
    )


def _details(error: grpc.aio.AioRpcError) -> list[any_pb2.Any]:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def _unpacked(detail: any_pb2.Any, into: Detail) -> Detail:
    try:
        detail.Unpack(into)
    except DecodeError:
        into.Clear()
    return into
