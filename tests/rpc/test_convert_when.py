"""When a job may run, on the wire: every limit by its field, and everything that passes comes back as it was."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker.errors import InvalidRequest
from broker.job import JobSpec
from broker.rpc.convert import job_spec, spec_to_wire, submission
from broker.rpc.convert_when import AFTER_MAX, CHECKPOINT_INTERVAL_SECONDS_MAX
from broker.wire.v1 import job_pb2 as pb
from tests.rpc.requests import NOW, spec, submit

DAY = 86_400


def at(seconds: float) -> Timestamp:
    wire = Timestamp()
    wire.FromDatetime(NOW + timedelta(seconds=seconds))
    return wire


def jobs(first: int, last: int) -> list[str]:
    return [f"job-{n}" for n in range(first, last + 1)]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("spec.earliest_start", {"earliest_start": at(366 * DAY + 1)}, "not after"),
    ("spec.earliest_start", {"earliest_start": Timestamp(seconds=9, nanos=-1)}, "nanos"),
    ("spec.finish_by", {"finish_by": at(732 * DAY + 1)}, "not after"),
    ("spec.finish_by", {"finish_by": Timestamp(seconds=-(2**62))}, "must lie after"),
    ("spec.start_by", {"earliest_start": at(60), "start_by": at(60)}, "must lie after earliest_start"),
    ("spec.finish_by", {"earliest_start": at(60), "finish_by": at(3659)}, "at least the walltime after"),
    ("spec.after", {"after": jobs(1, AFTER_MAX + 1)}, "65 entries"),
    ("spec.after[1]", {"after": ["job-1", "lease-2"]}, 'such as "job-42"'),
    ("spec.after_request_keys", {"after_request_keys": [f"k{n}" for n in range(AFTER_MAX + 1)]}, "65 entries"),
    ("spec.after_request_keys", {"after": jobs(1, 40), "after_request_keys": [f"k{n}" for n in range(25)]}, "65 jobs"),
    ("spec.after_request_keys[0]", {"after_request_keys": ["名"]}, "printable ASCII"),
    ("spec.after_request_keys[0]", {"after_request_keys": [""]}, "1 to 128"),
    ("spec.after_any_end", {"after_any_end": True}, "there are none"),
    ("spec.after_data_ready", {"after_data_ready": True}, "there are none"),
    (
        "spec.after_data_ready",
        {"after": ["job-1"], "after_data_ready": True, "after_any_end": True},
        "beside after_any_end",
    ),
    ("spec.green", {"green": 9}, "GREEN_PREFERENCE_PREFER"),
    ("spec.green", {"green": "GREEN_PREFERENCE_PREFER", "priority": "PRIORITY_CLASS_URGENT"}, "work that can wait"),
    ("spec.checkpoint_interval_seconds", {"checkpoint_interval_seconds": 60}, "say preemptible"),
    (
        "spec.checkpoint_interval_seconds",
        {"preemptible": True, "checkpoint_interval_seconds": CHECKPOINT_INTERVAL_SECONDS_MAX + 1},
        "0 to 31536000",
    ),
]


@pytest.mark.parametrize(("field", "changes", "described"), WRONG, ids=[f"{f}: {d}" for f, _, d in WRONG])
def test_a_field_beyond_its_limit_is_named(field: str, changes: dict[str, Any], described: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        job_spec(spec(**changes), now=NOW)

    [problem] = caught.value.fields
    assert problem.field == field
    assert described in problem.description


def test_limits_themselves_are_allowed_and_come_back_as_they_were() -> None:
    wire = spec(
        earliest_start=at(366 * DAY - 1),
        start_by=at(366 * DAY),
        finish_by=at(732 * DAY),
        after=jobs(1, 32),
        after_request_keys=["k" * 128, *(f"k{n}" for n in range(31))],
        after_any_end=True,
        preemptible=True,
        checkpoint_interval_seconds=CHECKPOINT_INTERVAL_SECONDS_MAX,
        green="GREEN_PREFERENCE_PREFER",
    )

    found = job_spec(wire, now=NOW)

    assert len(found.after) + len(found.after_request_keys) == AFTER_MAX
    assert JobSpec.from_json(found.to_json()) == found
    assert job_spec(spec_to_wire(found), now=NOW) == found
    assert found.latest_start == NOW + timedelta(days=366)


def test_when_a_job_may_run_changes_neither_old_bodies_nor_what_the_planner_needs() -> None:
    """A hash of the first release is recognised, and jobs that differ in time only share a shape."""
    plain = job_spec(spec(), now=NOW)
    timed = job_spec(spec(earliest_start=at(9), finish_by=at(DAY), after=["job-1"], preemptible=True, green=2), now=NOW)

    assert not {"earliest_start", "finish_by", "after", "preemptible", "green"} & set(plain.to_json())
    assert timed.requirement() == plain.requirement()
    assert timed.sha256() != plain.sha256()


def test_order_and_repetition_of_upstream_jobs_mean_nothing() -> None:
    one = job_spec(spec(after=["job-10", "job-9", "job-10"], after_request_keys=["b", "a", "b"]), now=NOW)

    assert (one.after, one.after_request_keys) == ((9, 10), ("a", "b"))


def test_a_time_that_has_passed_is_no_problem_of_the_wire() -> None:
    """A repeated submission is answered as the first one was; whether it is new is known later."""
    found = job_spec(spec(earliest_start=at(-9), finish_by=at(-5 + 3600)), now=NOW)

    assert found.earliest_start == NOW - timedelta(seconds=9)


@pytest.mark.parametrize(
    ("start_by", "finish_by", "latest"),
    [(None, None, None), (50, None, 50), (None, 3700, 100), (50, 3700, 50), (150, 3700, 100)],
)
def test_the_latest_start_is_what_start_by_and_finish_by_leave(
    start_by: int | None, finish_by: int | None, latest: int | None
) -> None:
    times = {"start_by": start_by, "finish_by": finish_by}
    wire = spec(**{name: at(seconds) for name, seconds in times.items() if seconds is not None})

    found = job_spec(wire, now=NOW)

    assert found.latest_start == (None if latest is None else NOW + timedelta(seconds=latest))


def test_a_job_cannot_run_after_itself() -> None:
    with pytest.raises(InvalidRequest) as caught:
        submission(submit("mine", after_request_keys=["mine"]), now=NOW)

    assert [p.field for p in caught.value.fields] == ["spec.after_request_keys"]


def test_the_fields_have_numbers_of_their_own() -> None:
    """Additions only: what clients and agents of before send and read stays as it was."""
    numbers = {f.name: f.number for f in pb.JobSpec.DESCRIPTOR.fields}

    assert numbers["enterprise"] == 28
    assert sorted(n for name, n in numbers.items() if n > 28) == list(range(29, 40))
