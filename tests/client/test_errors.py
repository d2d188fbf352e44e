"""What the broker says arrives as a typed error, with everything that was said."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from hypothesis import given
from hypothesis import strategies as st

from broker.client import (
    BrokerFault,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotPossibleNow,
    TooMuch,
    Unavailable,
    XisuanError,
)
from broker.client.errors import FieldProblem, from_call, from_problem, kind_of
from broker.wire.v1 import job_service_pb2 as pb
from tests.client.scripted_broker import IMPATIENT, ScriptedBroker, client_of, trouble

KINDS = {
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
    "CANCELLED": Unavailable,  # not by us, or there would be no error
}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_each_code_is_an_error_of_its_kind(code: grpc.StatusCode) -> None:
    broker = ScriptedBroker()
    broker.troubles.append(trouble(code, "told to you"))

    async with client_of(broker, IMPATIENT) as client:
        with pytest.raises(XisuanError) as caught:
            await client.job("job-1")

    assert type(caught.value) is KINDS.get(code.name, BrokerFault)
    assert "told to you" in caught.value.message


async def test_reason_fields_time_and_facts_arrive() -> None:
    broker = ScriptedBroker()
    broker.troubles.append(
        trouble(
            grpc.StatusCode.INVALID_ARGUMENT,
            "two fields are wrong",
            ErrorInfo(domain="xisuan", reason="INVALID_REQUEST", metadata={"limit": "7"}),
            BadRequest(field_violations=[BadRequest.FieldViolation(field="spec.tasks", description="must be >= 1")]),
            RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
        )
    )

    async with client_of(broker, IMPATIENT) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.job("job-1")

    error = caught.value
    assert (error.code, error.reason, error.message) == ("INVALID_ARGUMENT", "INVALID_REQUEST", "two fields are wrong")
    assert error.fields == (FieldProblem("spec.tasks", "must be >= 1"),)
    assert error.retry_after_seconds == 1.5
    assert error.facts == {"limit": "7"}
    assert str(error) == "INVALID_REQUEST: two fields are wrong; spec.tasks: must be >= 1"


async def test_a_reason_of_somebody_else_is_not_ours() -> None:
    """A proxy between us may add its own ErrorInfo: programs must not take it for the broker's."""
    broker = ScriptedBroker()
    broker.troubles.append(trouble(grpc.StatusCode.NOT_FOUND, "no", ErrorInfo(domain="proxy", reason="OFF")))

    async with client_of(broker, IMPATIENT) as client:
        with pytest.raises(NotFound) as caught:
            await client.job("job-1")

    assert caught.value.reason == "NOT_FOUND"


async def test_nobody_there_is_unavailable() -> None:
    from broker.client import Client

    async with Client("127.0.0.1:1", "xs_test", retry=IMPATIENT) as client:
        with pytest.raises(Unavailable):
            await client.job("job-1")


@given(st.binary(max_size=200))
def test_broken_details_are_left_out(details: bytes) -> None:
    """Whatever stands in the trailers, the code and the message still arrive."""
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", details))
    failed = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, "gone")

    error = from_call(failed)

    assert isinstance(error, NotFound)
    assert error.message == "gone"


def test_a_refused_item_is_the_same_error_as_a_refused_call() -> None:
    problem = pb.Problem(
        code="RESOURCE_EXHAUSTED",
        reason="TOO_MANY_PENDING",
        message="wait",
        fields=[pb.FieldProblem(field="spec", description="one too many")],
        retry_after_millis=250,
    )

    error = from_problem(problem)

    assert isinstance(error, TooMuch)
    assert error.reason == "TOO_MANY_PENDING"
    assert error.retry_after_seconds == 0.25
    assert error.fields == (FieldProblem("spec", "one too many"),)


def test_every_code_of_the_broker_has_a_kind_of_its_own() -> None:
    """A code that the broker uses on purpose is never reported as a fault of the broker."""
    from broker import errors

    used = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
            and hasattr(kind, "code")} - {"INTERNAL"}  # fmt: skip

    assert used
    assert not [code for code in used if kind_of(code) is BrokerFault]
