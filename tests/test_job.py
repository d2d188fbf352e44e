"""What is stored of a job: the text by which a repeated submission is recognised must never change its form."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ids import JobId
from broker.job import Build, GangSize, GreenPreference, JobSpec, PriorityClass, Within, canonical_text

CHINA = timezone(timedelta(hours=8))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TIMES = st.datetimes(timezones=st.sampled_from([UTC, CHINA]))
BUILDS = st.builds(
    Build,
    stack=TEXTS,
    command=st.lists(TEXTS).map(tuple),
    models=st.lists(TEXTS).map(tuple),
    environment=st.dictionaries(TEXTS, TEXTS),
    speed_ppm=st.integers(0, 2**31),
)
SPECS = st.builds(
    JobSpec,
    name=TEXTS,
    tasks=st.integers(-(2**63), 2**63 - 1),
    cards_per_task=st.integers(0, 64),
    walltime_seconds=st.integers(1, 10**6),
    builds=st.lists(BUILDS, max_size=2).map(tuple),
    ceiling_micro_yuan_per_pflops_hour=st.integers(0, 10**12),
    allowed_hubs=st.lists(TEXTS, max_size=2).map(tuple),
    start_by=st.none() | TIMES,
    finish_by=st.none() | TIMES,
    smaller_sizes=st.lists(st.builds(GangSize, st.integers(1, 9), st.integers(1, 9)), max_size=2).map(tuple),
    within=st.sampled_from(Within),
    priority=st.sampled_from(PriorityClass),
    after=st.lists(st.integers(1, 2**62).map(JobId), max_size=2).map(tuple),
    vouchers=st.lists(TEXTS, max_size=2).map(tuple),
    green=st.sampled_from(GreenPreference),
    preemptible=st.booleans(),
)


def as_json_writes(values: Any) -> str:
    """The form that bodies had from the first release on."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def test_a_body_keeps_the_form_and_the_hash_that_it_had() -> None:
    """Of a job as the release before would have stored it: a change here would make every repetition a conflict."""
    spec = JobSpec(
        name="训练 \x7f",
        tasks=2,
        cards_per_task=8,
        walltime_seconds=3600,
        builds=(Build("cann", ("python", "a b"), ("ascend-910b",), {"N": "1"}),),
        ceiling_micro_yuan_per_pflops_hour=0,
        start_by=datetime(2026, 11, 28, 8, 30, tzinfo=CHINA),
        smaller_sizes=(GangSize(1, 500_000),),
        within=Within.NODE,
        after=(JobId(7),),
    )

    assert spec.body_text() == (
        '{"after":[7],"allowed_hubs":[],"attempts_max":1,"builds":[{"command":["python","a b"],"environment":{"N":"1"},'
        '"models":["ascend-910b"],"speed_ppm":1000000,"stack":"cann"}],"cards_per_task":8,'
        '"ceiling_micro_yuan_per_pflops_hour":0,"cpu_milli_per_task":0,"grace_seconds":0,"if_lost":"hold","job_set":"",'
        '"memory_mib_per_task":0,"name":"\\u8bad\\u7ec3 \\u007f","priority":"standard","round_trip_micros_max":0,'
        '"smaller_sizes":[{"speed_ppm":500000,"tasks":1}],"start_by":"2026-11-28T00:30:00+00:00","tasks":2,'
        '"walltime_seconds":3600,"within":"node","workload_class":"other"}'
    )
    assert spec.sha256().hex() == hashlib.sha256(spec.body_text().encode()).hexdigest()


@given(SPECS)
def test_a_body_is_what_json_would_write_and_comes_back_as_it_was(spec: JobSpec) -> None:
    assert spec.body_text() == as_json_writes(spec.to_json())
    assert JobSpec.from_json(json.loads(spec.body_text())) == spec
    assert canonical_text(spec.requirement()) == as_json_writes(spec.requirement())


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS, st.lists))
def test_a_canonical_text_is_what_json_would_write(value: Any) -> None:
    assert canonical_text({"value": value}) == as_json_writes({"value": value})


@pytest.mark.parametrize("name", ["tasks", "name", "builds"])
def test_a_job_cannot_be_changed(name: str) -> None:
    spec = JobSpec("n", 1, 1, 60, (Build("cann", ("a",)),), 0)

    with pytest.raises(AttributeError):
        setattr(spec, name, getattr(spec, name))


@pytest.mark.parametrize("within", ["", "builds", "smaller_sizes"])
def test_a_body_with_a_field_that_this_release_does_not_know_is_not_read_as_if_it_had_none(within: str) -> None:
    """A newer broker may have stored it; what it restricts must not be lost."""
    spec = JobSpec("n", 2, 1, 60, (Build("cann", ("a",)),), 0, smaller_sizes=(GangSize(1, 5),))
    values = spec.to_json()
    (values[within][0] if within else values)["newer"] = 3

    with pytest.raises(ValueError, match="newer"):
        JobSpec.from_json(values)
