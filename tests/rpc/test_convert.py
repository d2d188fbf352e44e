"""What the conversion promises beside limits: enums that cannot drift apart, and answers that fit."""

from contextlib import suppress
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.rpc import convert_enums
from broker.rpc.convert import chunks, job_filter, log_selection, new_priority, submission
from broker.rpc.convert_checks import Checks
from broker.rpc.convert_enums import EnumMap
from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb
from tests.rpc.requests import NOW
from tests.rpc.wire_strategies import messages

MAPS = {name: found for name, found in vars(convert_enums).items() if isinstance(found, EnumMap)}


@pytest.mark.parametrize("name", MAPS)
def test_an_enum_says_the_same_on_both_sides(name: str) -> None:
    """There and back is the same member, and every number but 0 is one."""
    found, checks = MAPS[name], Checks()
    there = {member: found.to_wire(member) for member in found.domain}

    back = {member: found.read(checks, "field", number) for member, number in there.items()}

    checks.done()
    assert back == {member: member for member in found.domain}
    assert sorted(there.values()) == list(range(1, len(there) + 1))


def test_an_enum_that_has_grown_on_one_side_only_fails_at_import() -> None:
    class IfLost(StrEnum):
        HOLD = "hold"
        RESTART = "restart"
        DOUBLE = "double"

    with pytest.raises(ValueError, match="IF_LOST_DOUBLE"):
        EnumMap(pb.IfLost, IfLost, "IF_LOST")


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 120))
def test_chunks_lose_nothing_and_fit(data: list[bytes], bytes_max: int) -> None:
    """Only a message that is too large by itself is alone in a chunk that is too large."""
    pieces = [spb.ReadLogsResponse(data=d) for d in data]

    found = list(chunks(pieces, bytes_max))

    assert [piece for chunk in found for piece in chunk] == pieces
    assert all(len(chunk) == 1 or sum(p.ByteSize() for p in chunk) <= bytes_max for chunk in found)
    assert all(chunk for chunk in found)


@given(
    messages(spb.SubmitJobRequest),
    messages(spb.ListJobsRequest),
    messages(spb.UpdateJobRequest),
    messages(spb.ReadLogsRequest),
)
def test_no_request_brings_anything_but_an_invalid_request(
    submit: spb.SubmitJobRequest,
    listed: spb.ListJobsRequest,
    update: spb.UpdateJobRequest,
    logs: spb.ReadLogsRequest,
) -> None:
    """Whatever is in it."""
    for read in (
        lambda: submission(submit, now=NOW),
        lambda: job_filter(listed),
        lambda: new_priority(update),
        lambda: log_selection(logs),
    ):
        with suppress(InvalidRequest):
            read()
