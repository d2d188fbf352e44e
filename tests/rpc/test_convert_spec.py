"""Every limit of job.proto, each wrong field by its name, and no input that brings anything but an InvalidRequest."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.job import GangSize, IfLost, JobSpec, PriorityClass, Within, WorkloadClass
from broker.rpc import convert_spec
from broker.rpc.convert import job_spec, spec_to_wire
from broker.rpc.convert_checks import PROBLEMS_MAX
from broker.wire.v1 import job_pb2 as pb
from tests.rpc.requests import NOW, build, spec
from tests.rpc.wire_strategies import messages


def read(wire: pb.JobSpec, now: datetime = NOW) -> JobSpec:
    return job_spec(wire, now=now)


def judged(wire: pb.JobSpec) -> JobSpec | InvalidRequest:
    """Return the spec or why it is none; anything else that is raised fails the test."""
    try:
        return read(wire)
    except InvalidRequest as error:
        return error


def problems(wire: pb.JobSpec) -> dict[str, str]:
    """Return what is found wrong, by field."""
    with pytest.raises(InvalidRequest) as caught:
        read(wire)
    return {p.field: p.description for p in caught.value.fields}


def at(seconds: float) -> Timestamp:
    wire = Timestamp()
    wire.FromDatetime(NOW + timedelta(seconds=seconds))
    return wire


def sizes(*tasks: int) -> dict[str, Any]:
    return {"smaller_sizes": [pb.GangSize(tasks=count) for count in tasks]}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("spec.name", {"name": ""}, "1 to 128"),
    ("spec.name", {"name": "x" * 129}, "1 to 128"),
    ("spec.name", {"name": "line\nbreak"}, "character 5"),
    ("spec.name", {"name": "bell\x07"}, "printable"),
    ("spec.name", {"name": "right\u202eleft"}, "printable"),
    ("spec.name", {"name": "zero\u200bwidth"}, "printable"),
    ("spec.job_set", {"job_set": "Night"}, "a-z"),
    ("spec.job_set", {"job_set": "x" * 64}, "63"),
    ("spec.tasks", {"tasks": 0}, "1 to 10000"),
    ("spec.tasks", {"tasks": 10_001}, "1 to 10000"),
    ("spec.cards_per_task", {"cards_per_task": 0}, "1 to 64"),
    ("spec.cards_per_task", {"cards_per_task": 65}, "1 to 64"),
    ("spec.cpu_milli_per_task", {"cpu_milli_per_task": 1_000_001}, "1000000"),
    ("spec.memory_mib_per_task", {"memory_mib_per_task": 16_777_217}, "16777216"),
    ("spec.walltime_seconds", {"walltime_seconds": 0}, "1 to 31536000"),
    ("spec.walltime_seconds", {"walltime_seconds": 4_000_000_000}, "31536000"),
    ("spec.priority", {"priority": 99}, "PRIORITY_CLASS_URGENT"),
    ("spec.workload_class", {"workload_class": -1}, "WORKLOAD_CLASS_TRAINING"),
    ("spec.if_lost", {"if_lost": 7}, "IF_LOST_HOLD"),
    ("spec.allowed_hubs", {"allowed_hubs": [f"hub-{i}" for i in range(33)]}, "33 entries"),
    ("spec.allowed_hubs[1]", {"allowed_hubs": ["qingyang", "Gui'an"]}, "a-z"),
    ("spec.round_trip_micros_max", {"round_trip_micros_max": 10_000_001}, "10000000"),
    ("spec.ceiling_micro_yuan_per_pflops_hour", {"ceiling_micro_yuan_per_pflops_hour": -1}, "is -1"),
    ("spec.ceiling_micro_yuan_per_pflops_hour", {"ceiling_micro_yuan_per_pflops_hour": 10**12 + 1}, "is 10000"),
    ("spec.vouchers", {"vouchers": ["1", "2", "3", "4", "5"]}, "has 5 entries"),
    ("spec.vouchers[1]", {"vouchers": ["2026-7", "2026/8"]}, "2026-7"),
    ("spec.vouchers[1]", {"vouchers": ["2026-7", "2026-7"]}, "named twice"),
    ("spec.ceiling_micro_yuan_per_job", {"ceiling_micro_yuan_per_job": -1}, "is -1"),
    ("spec.ceiling_micro_yuan_per_job", {"ceiling_micro_yuan_per_job": 10**15 + 1}, "is 10000"),
    ("spec.start_by", {"start_by": at(366 * 86_400 + 1)}, "not after"),
    ("spec.start_by", {"start_by": Timestamp(seconds=2**62)}, "not after"),
    ("spec.start_by", {"start_by": Timestamp(seconds=-(2**62))}, "must lie after"),
    ("spec.start_by", {"start_by": Timestamp(seconds=at(9).seconds, nanos=10**9)}, "nanos"),
    ("spec.start_by", {"start_by": Timestamp(seconds=at(9).seconds, nanos=-1)}, "nanos"),
    ("spec.attempts_max", {"attempts_max": 11}, "0 to 10"),
    ("spec.grace_seconds", {"grace_seconds": 3601}, "3600"),
    ("spec.share_milli", {"share_milli": 1000}, "0 to 999"),
    ("spec.cards_per_task", {"share_milli": 250, "cards_per_task": 2}, "must be 1 beside share_milli"),
    ("spec.within", {"share_milli": 250, "cards_per_task": 1, "within": "WITHIN_NODE"}, "ask for whole cards"),
    ("spec.within", {"within": 9}, "WITHIN_DOMAIN"),
    ("spec.spread_speed_ppm", {"spread_speed_ppm": 1_000_001}, "0 to 1000000"),
    ("spec.spread_speed_ppm", {"spread_speed_ppm": 900_000, "within": "WITHIN_DOMAIN"}, "WITHIN_POOL only"),
    ("spec.spread_speed_ppm", {"spread_speed_ppm": 900_000, "share_milli": 250, "cards_per_task": 1}, "whole cards"),
    ("spec.smaller_sizes", sizes(*range(99, 82, -1)) | {"tasks": 100}, "17 entries"),
    ("spec.smaller_sizes[0].tasks", sizes(4) | {"tasks": 4}, "less than the 4"),
    ("spec.smaller_sizes[1].tasks", sizes(2, 3) | {"tasks": 4}, "less than the 2"),
    ("spec.smaller_sizes[0].tasks", sizes(0) | {"tasks": 4}, "at least 1"),
    (
        "spec.smaller_sizes[0].speed_ppm",
        {"tasks": 4, "smaller_sizes": [pb.GangSize(tasks=2, speed_ppm=1_000_001)]},
        "0 to 1000000",
    ),
    ("spec.input_gib", {"input_gib": 2**20 + 1}, "0 to 1048576"),
    ("spec.output_gib", {"output_gib": 2**20 + 1}, "0 to 1048576"),
    ("spec.staged_hubs", {"input_gib": 1, "staged_hubs": [f"hub-{i}" for i in range(33)]}, "33 entries"),
    ("spec.staged_hubs[0]", {"input_gib": 1, "staged_hubs": ["Gui'an"]}, "a-z"),
    ("spec.staged_hubs", {"staged_hubs": ["guian"]}, "give input_gib"),
    ("spec.transfer_seconds_max", {"input_gib": 1, "transfer_seconds_max": 31_536_001}, "31536000"),
    ("spec.transfer_seconds_max", {"transfer_seconds_max": 60}, "give input_gib"),
    ("spec.allowed_owners", {"allowed_owners": [f"owner-{i}" for i in range(33)]}, "33 entries"),
    ("spec.allowed_owners[0]", {"allowed_owners": ["China Telecom"]}, "a-z"),
    ("spec.enterprise", {"enterprise": "Acme!"}, "a-z"),
    ("spec.builds", {"builds": []}, "1 to 16"),
    ("spec.builds", {"builds": [build(stack=f"stack-{i}") for i in range(17)]}, "17 entries"),
    ("spec.builds[1].stack", {"builds": [build(), build()]}, "builds[0] already"),
]
WRONG_BUILD: list[tuple[str, dict[str, Any], str]] = [
    ("stack", {"stack": ""}, "a-z"),
    ("stack", {"stack": "CUDA"}, "'CUDA'"),
    ("models", {"models": [f"m-{i}" for i in range(33)]}, "33 entries"),
    ("models[0]", {"models": ["H100 SXM"]}, "a-z"),
    ("command", {"command": []}, "1 to 256"),
    ("command", {"command": ["x"] * 257}, "257 entries"),
    ("command", {"command": ["sh", "-c", "x" * 65_536]}, "65540 bytes"),
    ("command[0]", {"command": [""]}, "program"),
    ("command[1]", {"command": ["echo", "a\0b"]}, "NUL"),
    ("environment", {"environment": {f"V{i}": "" for i in range(257)}}, "257 entries"),
    ("environment", {"environment": {"BIG": "x" * 10_000_000}}, "10000003 bytes"),
    ("environment", {"environment": {"A": "汉" * 50_000}}, "150001 bytes"),
    ("environment['']", {"environment": {"": "x"}}, "letters"),
    ("environment['1X']", {"environment": {"1X": "x"}}, "letters"),
    ("environment['A=B']", {"environment": {"A=B": "x"}}, "letters"),
    ("environment['A\\n']", {"environment": {"A\n": "x"}}, "letters"),
    ("environment['A']", {"environment": {"A": "a\0b"}}, "NUL"),
    ("environment['XISUAN_JOB_ID']", {"environment": {"XISUAN_JOB_ID": "7"}}, "set by the agent"),
    ("environment['CUDA_VISIBLE_DEVICES']", {"environment": {"CUDA_VISIBLE_DEVICES": "0"}}, "set by the agent"),
    ("environment['ASCEND_RT_VISIBLE_DEVICES']", {"environment": {"ASCEND_RT_VISIBLE_DEVICES": "0"}}, "agent"),
    ("environment['MLU_VISIBLE_DEVICES']", {"environment": {"MLU_VISIBLE_DEVICES": "0"}}, "agent"),
    ("environment['GPU_DEVICE_ORDINAL']", {"environment": {"GPU_DEVICE_ORDINAL": "0"}}, "agent"),
    ("speed_ppm", {"speed_ppm": 10_000_001}, "10000000"),
]


def case_ids(cases: list[tuple[str, dict[str, Any], str]]) -> list[str]:
    return [f"{field}: {description}" for field, _, description in cases]


@pytest.mark.parametrize(("field", "changes", "described"), WRONG, ids=case_ids(WRONG))
def test_a_field_beyond_its_limit_is_named(field: str, changes: dict[str, Any], described: str) -> None:
    """Only that field, and the description tells what would be right."""
    found = problems(spec(**changes))

    assert list(found) == [field]
    assert described in found[field]


@pytest.mark.parametrize(("field", "changes", "described"), WRONG_BUILD, ids=case_ids(WRONG_BUILD))
def test_a_field_of_a_build_beyond_its_limit_is_named(field: str, changes: dict[str, Any], described: str) -> None:
    """The path tells which of the builds it is."""
    found = problems(spec(builds=[build(stack="cuda"), build(**changes)]))

    assert list(found) == [f"spec.builds[1].{field}"]
    assert described in found[f"spec.builds[1].{field}"]


def test_defaults_are_filled_in() -> None:
    """What is stored and compared is complete, so a default said and a default left out are the same body."""
    found = read(spec())

    assert (found.priority, found.workload_class, found.if_lost) == (
        PriorityClass.STANDARD,
        WorkloadClass.OTHER,
        IfLost.HOLD,
    )
    assert found.attempts_max == 1
    assert found.ceiling_micro_yuan_per_pflops_hour == 0  # the city's, which may be another one tomorrow
    assert found.builds[0].speed_ppm == 1_000_000
    assert found.start_by is None
    said = spec(
        priority="PRIORITY_CLASS_STANDARD",
        workload_class="WORKLOAD_CLASS_OTHER",
        if_lost="IF_LOST_HOLD",
        attempts_max=1,
        builds=[build(speed_ppm=1_000_000)],
    )
    assert read(said) == found


def test_order_and_repetition_of_names_mean_nothing() -> None:
    """Models and hubs are sets."""
    one = read(spec(allowed_hubs=["qingyang", "guian", "qingyang"], builds=[build(models=["b", "a", "b"])]))

    other = read(spec(allowed_hubs=["guian", "qingyang"], builds=[build(models=["a", "b"])]))

    assert one == other
    assert one.allowed_hubs == ("guian", "qingyang")
    assert one.sha256() == other.sha256()


def test_what_came_later_says_nothing_by_default() -> None:
    """Bodies and requirements of the first release keep the form by which they are recognised."""
    plain = read(spec())

    assert (plain.share_milli, plain.within, plain.spread_speed_ppm) == (0, Within.POOL, 1_000_000)
    for form in (plain.to_json(), plain.requirement()):
        assert not {"share_milli", "smaller_sizes", "within", "enterprise", "allowed_owners"} & set(form)
    said = spec(within="WITHIN_POOL", spread_speed_ppm=1_000_000)
    assert read(said) == plain


FIELDS = [pytest.param(field, id=field.name) for field in pb.JobSpec.DESCRIPTOR.fields]


@pytest.mark.parametrize("beside", [{}, {"preemptible": True, "after": ["job-7"]}], ids=["alone", "beside"])
@pytest.mark.parametrize("field", FIELDS)
def test_no_field_is_left_unread(field: FieldDescriptor, beside: dict[str, Any]) -> None:
    """Whatever is given is in the job, or refused: also alone, and of the parts that most jobs leave out."""
    plain = pb.JobSpec(name="n", tasks=3, cards_per_task=1, walltime_seconds=60, builds=[build()], **beside)
    with_it = pb.JobSpec.FromString(plain.SerializeToString())
    match field.message_type, field.type:
        case None, FieldDescriptor.TYPE_STRING:
            given: Any = "qingyang"
        case None, FieldDescriptor.TYPE_BOOL:
            given = not getattr(plain, field.name)
        case None, FieldDescriptor.TYPE_ENUM:
            given = 99  # nothing, which is refused
        case None, _:
            given = 2
        case message, _ if message.name == "Timestamp":
            given = at(3600)
        case message, _:
            given = build(stack="neuware") if message.name == "Build" else pb.GangSize(tasks=1)
    if field.is_repeated:
        getattr(with_it, field.name).append(given)
    elif field.message_type is not None:
        getattr(with_it, field.name).CopyFrom(given)
    else:
        setattr(with_it, field.name, given)

    bare, found = read(plain), judged(with_it)
    assert found != bare
    if isinstance(found, JobSpec):  # what is known sooner tells requirements apart as they do themselves
        assert (found.needs == bare.needs) == (found.requirement() == bare.requirement())


def test_everything_that_came_later_is_read_and_kept() -> None:
    """A size without a speed is as fast as it is large; sets are sets; the enterprise is no part of the requirement."""
    wire = spec(
        tasks=3,
        smaller_sizes=[pb.GangSize(tasks=2), pb.GangSize(tasks=1, speed_ppm=400_000)],
        within="WITHIN_DOMAIN",
        input_gib=10,
        output_gib=2,
        staged_hubs=["qingyang", "guian", "guian"],
        transfer_seconds_max=3600,
        domestic_only=True,
        allowed_owners=["b", "a"],
        enterprise="acme",
        vouchers=["2026-7", "2025-9"],
    )

    found = read(wire)

    assert found.smaller_sizes == (GangSize(2, 666_666), GangSize(1, 400_000))
    assert (found.within, found.staged_hubs, found.allowed_owners) == (Within.DOMAIN, ("guian", "qingyang"), ("a", "b"))
    assert found.sizes == (3, 2, 1)
    assert found.vouchers == ("2026-7", "2025-9")  # they are drawn on in this order
    assert JobSpec.from_json(found.to_json()) == found
    assert read(spec_to_wire(found)) == found
    other = read(spec_to_wire(found))
    assert "enterprise" not in other.requirement()
    assert other.requirement()["within"] == "domain"


def test_a_share_of_a_card_is_read() -> None:
    """One card for each task, of which it has a part."""
    found = read(spec(share_milli=999, cards_per_task=1, tasks=4))

    assert (found.share_milli, found.cards_per_task) == (999, 1)
    assert read(spec_to_wire(found)) == found


def test_limits_themselves_are_allowed() -> None:
    """A limit is the largest value that passes."""
    largest = spec(
        name="名" * convert_spec.NAME_CHARACTERS_MAX,
        job_set="s" * 63,
        tasks=convert_spec.TASKS_MAX,
        cards_per_task=convert_spec.CARDS_PER_TASK_MAX,
        cpu_milli_per_task=convert_spec.CPU_MILLI_PER_TASK_MAX,
        memory_mib_per_task=convert_spec.MEMORY_MIB_PER_TASK_MAX,
        walltime_seconds=convert_spec.WALLTIME_SECONDS_MAX,
        allowed_hubs=[f"hub-{i}" for i in range(convert_spec.HUBS_MAX)],
        round_trip_micros_max=convert_spec.ROUND_TRIP_MICROS_MAX,
        ceiling_micro_yuan_per_pflops_hour=convert_spec.CEILING_MICRO_YUAN_PER_PFLOPS_HOUR_MAX,
        start_by=at(366 * 86_400),
        attempts_max=convert_spec.ATTEMPTS_MAX,
        grace_seconds=convert_spec.GRACE_SECONDS_MAX,
        smaller_sizes=[pb.GangSize(tasks=99 - i, speed_ppm=1_000_000) for i in range(convert_spec.SIZES_MAX)],
        spread_speed_ppm=1,
        input_gib=convert_spec.GIB_MAX,
        output_gib=convert_spec.GIB_MAX,
        staged_hubs=[f"hub-{i}" for i in range(convert_spec.HUBS_MAX)],
        transfer_seconds_max=convert_spec.TRANSFER_SECONDS_MAX,
        allowed_owners=[f"owner-{i}" for i in range(convert_spec.OWNERS_MAX)],
        enterprise="e" * 63,
        vouchers=[f"{i}" * 63 for i in range(convert_spec.VOUCHERS_MAX)],
        ceiling_micro_yuan_per_job=convert_spec.CEILING_MICRO_YUAN_PER_JOB_MAX,
        builds=[
            build(
                stack=f"stack-{i}",
                models=[f"m-{m}" for m in range(convert_spec.MODELS_MAX)],
                # The first is as large as a build may be; together they are as large as all of them may be.
                command=["c" * (256 if i == 0 else 8)] * convert_spec.COMMAND_WORDS_MAX,
                environment={f"V{v:03}": "x" * (508 if i == 0 else 4) for v in range(convert_spec.VARIABLES_MAX)},
                speed_ppm=convert_spec.SPEED_PPM_MAX,
            )
            for i in range(convert_spec.BUILDS_MAX)
        ],
    )

    found = read(largest)

    assert len(found.builds) == convert_spec.BUILDS_MAX
    assert sum(map(len, found.builds[0].command)) == convert_spec.COMMAND_BYTES_MAX
    assert sum(len(k) + len(v) for k, v in found.builds[0].environment.items()) == convert_spec.ENVIRONMENT_BYTES_MAX


def test_builds_are_limited_together() -> None:
    """Sixteen builds of the largest size would be three megabytes, and a city may have a hundred thousand jobs."""
    large = [build(stack=f"stack-{i}", environment={"A": "x" * 100 * 1024}) for i in range(3)]

    found = problems(spec(builds=large))

    assert list(found) == ["spec.builds"]
    assert f"at most {convert_spec.BUILDS_BYTES_MAX}: ship large input as a file" in found["spec.builds"]


def test_all_wrong_fields_are_named_at_once_but_not_a_million() -> None:
    """One answer tells everything to mend; a hostile request gets no hostile answer."""
    found = problems(spec(name="", tasks=0, builds=[build(stack="", command=[])]))
    flood = problems(spec(builds=[build(command=["\0"] * 256)]))

    assert set(found) == {"spec.name", "spec.tasks", "spec.builds[0].stack", "spec.builds[0].command"}
    assert len(flood) == PROBLEMS_MAX
    assert "236 problems more" in list(flood.values())[-1]


def test_the_time_zone_of_now_does_not_matter() -> None:
    """A moment is a moment."""
    beijing = NOW.astimezone(timezone(timedelta(hours=8)))

    assert read(spec(start_by=at(5)), beijing).start_by == NOW + timedelta(seconds=5)


def test_a_spec_survives_the_way_there_and_back() -> None:
    """What a client reads is what it may submit again."""
    found = read(spec(start_by=at(5.123456), allowed_hubs=["guian"], builds=[build(environment={"A": "b"})]))

    assert read(spec_to_wire(found)) == found


@given(messages(pb.JobSpec))
@example(pb.JobSpec())
def test_no_message_brings_anything_but_an_invalid_request(wire: pb.JobSpec) -> None:
    """And what passes is fit for the database: JSON without NUL, hashed, the same when read again."""
    found = judged(wire)

    if isinstance(found, InvalidRequest):
        assert 1 <= len(found.fields) <= PROBLEMS_MAX
        assert all(p.field.startswith("spec.") and p.description for p in found.fields)
        return
    assert JobSpec.from_json(found.to_json()) == found
    assert read(spec_to_wire(found)) == found


@given(st.lists(messages(pb.JobSpec), max_size=8), st.data())
def test_what_others_said_before_changes_nothing(wires: list[pb.JobSpec], data: st.DataObject) -> None:
    """What many share is kept and not read again: each is told the same as if it were the first."""
    alone = []
    for wire in wires:
        convert_spec._KNOWN.clear()
        alone.append(told(wire))
    convert_spec._KNOWN.clear()

    for at in data.draw(st.lists(st.integers(0, len(wires) - 1), max_size=20)) if wires else ():
        assert told(wires[at]) == alone[at]


def told(wire: pb.JobSpec) -> JobSpec | list[tuple[str, str]]:
    found = judged(wire)
    return [(p.field, p.description) for p in found.fields] if isinstance(found, InvalidRequest) else found


def test_what_many_share_is_kept_when_it_is_right_and_has_neither_lists_nor_times() -> None:
    convert_spec._KNOWN.clear()

    for number in range(3):
        read(spec(name=f"job {number}", builds=[build(command=["run", str(number)])]))
    assert len(convert_spec._KNOWN) == 1
    for changes in ({"start_by": at(5)}, {"allowed_hubs": ["guian"]}, {"after": ["job-1"]}, {"name": ""}, {"tasks": 0}):
        judged(spec(**changes))
    assert len(convert_spec._KNOWN) == 1


def test_of_what_many_share_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_spec, "TERMS_KEPT_MAX", 3)
    convert_spec._KNOWN.clear()

    for tasks in range(1, 9):
        assert read(spec(tasks=tasks)).tasks == tasks
        assert len(convert_spec._KNOWN) <= 3


@given(st.binary(max_size=200))
def test_no_bytes_bring_anything_but_an_invalid_request(data: bytes) -> None:
    """Bytes that happen to be a message are judged like any other."""
    wire = pb.JobSpec()
    try:
        wire.ParseFromString(data)
    except DecodeError:
        return

    with pytest.raises(InvalidRequest):
        read(wire)


@given(messages(pb.Build))
def test_a_build_that_passes_is_fit_for_a_process(wire: pb.Build) -> None:
    """Words and variables can be given to a process, and no variable is one that the agent sets."""
    right = build()
    right.MergeFrom(wire)

    found = judged(spec(builds=[right]))

    if isinstance(found, InvalidRequest):
        assert all(p.field.startswith("spec.builds[0].") for p in found.fields)
        return
    passed = found.builds[0]
    assert not any("\0" in text for text in [*passed.command, *passed.environment, *passed.environment.values()])
    assert not any(name.startswith("XISUAN_") or name.endswith("VISIBLE_DEVICES") for name in passed.environment)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_start_by_lies_within_its_window_or_is_refused(seconds: int, nanos: int) -> None:
    """Whatever a timestamp says, also times that a datetime cannot hold. One that has passed is a question of later."""
    found = judged(spec(start_by=Timestamp(seconds=seconds, nanos=nanos)))

    if isinstance(found, InvalidRequest):
        assert [p.field for p in found.fields] == ["spec.start_by"]
        return
    assert found.start_by is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) < found.start_by <= NOW + timedelta(days=366)
    assert found.start_by.tzinfo is UTC
