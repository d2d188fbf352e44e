"""Job files: what people write, and what strangers send."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import broker.client.job_file as job_file
from broker.client import BadJobFile, Build, JobSpec, Within
from broker.client.yaml_text import BYTES_MAX
from broker.reference import jobs
from broker.wire.v1 import job_pb2

JOB = {"name": "train", "cards_per_task": 8, "walltime": "2h30m", "builds": [{"stack": "cann", "command": ["run"]}]}


def refused(text: str | bytes, *, json_only: bool = False) -> str:
    """What is told about a file that is not valid."""
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(BadJobFile) as caught:
        job_file.parse(raw, json_only=json_only)
    return str(caught.value)


def wrong(**changes: Any) -> dict[str, str]:
    """Fields and descriptions told about a job with these changes; None removes a field."""
    values = {key: value for key, value in (JOB | changes).items() if value is not None}
    with pytest.raises(BadJobFile) as caught:
        job_file.job_of(values)
    return {problem.field: problem.description for problem in caught.value.fields}


def test_one_job_or_a_list_of_jobs() -> None:
    one = job_file.parse(yaml.safe_dump(JOB).encode())
    several = job_file.parse(json.dumps({"jobs": [JOB, JOB]}).encode())

    assert one == several[:1]
    assert len(several) == 2
    assert one[0].walltime_seconds == 9000


def test_units_for_people_say_the_same_as_the_fields() -> None:
    human = JOB | {"memory_per_task": "64GiB", "cpus_per_task": 0.5, "grace": "30s", "round_trip_max": "20ms"}
    plain = {key: value for key, value in JOB.items() if key != "walltime"} | {
        "walltime_seconds": 9000,
        "memory_mib_per_task": 65_536,
        "cpu_milli_per_task": 500,
        "grace_seconds": 30,
        "round_trip_micros_max": 20_000,
    }

    assert job_file.job_of(human) == job_file.job_of(plain)


def test_everything_that_can_be_asked_for_goes_onto_the_wire() -> None:
    human = JOB | {
        "tasks": 4,
        "smaller_sizes": [{"tasks": 2, "speed_ppm": 600_000}, {"tasks": 1}],
        "within": "pool",
        "spread_speed": 0.8,
        "input": "2TiB",
        "output": "20GiB",
        "staged_hubs": ["guian"],
        "transfer_max": "2h",
        "domestic_only": True,
        "allowed_owners": ["telecom"],
        "enterprise": "acme",
        "vouchers": ["2026-7"],
    }

    wire = job_file.job_of(human).to_wire()

    assert [(size.tasks, size.speed_ppm) for size in wire.smaller_sizes] == [(2, 600_000), (1, 0)]
    assert (wire.within, wire.spread_speed_ppm) == (job_pb2.WITHIN_POOL, 800_000)
    assert (wire.input_gib, wire.output_gib, wire.transfer_seconds_max) == (2048, 20, 7200)
    assert (list(wire.staged_hubs), list(wire.allowed_owners)) == (["guian"], ["telecom"])
    assert (wire.domestic_only, wire.enterprise, wire.vouchers) == (True, "acme", ["2026-7"])
    assert job_file.job_of(JOB | {"cards_per_task": 1, "share_milli": 250}).to_wire().share_milli == 250


def test_the_example_of_the_reference_is_valid() -> None:
    train, serve, report = job_file.parse(jobs.EXAMPLE.split("```yaml\n")[1].split("```")[0].encode())

    assert (train.input_gib, train.within, serve.share_milli) == (500, Within.DOMAIN, 250)
    assert (report.after, report.checkpoint_interval_seconds) == (["job-41"], 600)


def test_the_example_of_the_documentation_is_valid() -> None:
    assert job_file.__doc__ is not None
    example = job_file.__doc__.split("\n\n")[1]

    (job,) = job_file.parse(example.encode())

    assert (job.name, job.walltime_seconds, job.memory_mib_per_task) == ("训练 demo", 9000, 65_536)


def test_unknown_keys_are_refused_with_a_suggestion() -> None:
    assert wrong(cards_per_taks=8) == {"cards_per_taks": "is no field; did you mean cards_per_task?"}
    assert wrong(wall_time="1h", walltime=None)["wall_time"] == "is no field; did you mean walltime?"
    build = {"stack": "cann", "comand": ["run"]}
    assert wrong(builds=[build])["builds[0].comand"] == "is no field; did you mean command?"
    assert "there are after, " in wrong(zzz=1)["zzz"]


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        ({"walltime": 9000}, "walltime", "has no unit"),
        ({"walltime": None}, "walltime_seconds", "is missing: give walltime"),
        ({"walltime_seconds": 60}, "walltime", "says the same as walltime_seconds"),
        ({"walltime": "0s"}, "walltime_seconds", "greater than or equal to 1"),
        ({"walltime": "366d"}, "walltime_seconds", "less than or equal to 31536000"),
        ({"memory_per_task": "64GB"}, "memory_per_task", "MiB, GiB or TiB"),
        ({"cpus_per_task": True}, "cpus_per_task", "has no unit"),
        ({"builds": [{"stack": "cann", "command": ["a\0"]}]}, "builds[0].command[0]", "must hold no zero byte"),
        ({"builds": [{"stack": "cann", "command": ["\ud800"]}]}, "builds[0].command[0]", "surrogate"),
        (
            {"builds": [{"stack": "cann", "command": ["a"], "environment": {"A": "\0"}}]},
            "builds[0].environment.A",
            "must hold no zero byte",
        ),
        ({"start_by": "0001-01-01T00:00:00+14:00"}, "start_by", "outside of the years"),
        ({"cards_per_task": 0}, "cards_per_task", "greater than or equal to 1"),
        ({"cards_per_task": -8}, "cards_per_task", "greater than or equal to 1"),
        ({"cards_per_task": 65}, "cards_per_task", "less than or equal to 64"),
        ({"cards_per_task": True}, "cards_per_task", "valid integer"),
        ({"cards_per_task": "8"}, "cards_per_task", "valid integer"),
        ({"cards_per_task": 8.0}, "cards_per_task", "valid integer"),
        ({"tasks": 10_001}, "tasks", "less than or equal to 10000"),
        ({"name": ""}, "name", "at least 1 character"),
        ({"name": "a\x1b[31m"}, "name", "must be printable"),
        ({"name": "\ud800"}, "name", ""),
        ({"name": None}, "name", "is missing"),
        ({"job_set": "Not A Slug"}, "job_set", "must be a slug"),
        ({"priority": "highest"}, "priority", "'deferrable', 'standard', 'urgent' or 'emergency'"),
        ({"builds": []}, "builds", "at least 1 item"),
        ({"builds": [{"stack": "cann", "command": [1]}]}, "builds[0].command[0]", 'write it in quotes, "1"'),
        ({"builds": [{"stack": "cann", "command": "run"}]}, "builds[0].command", "valid list"),
        ({"start_by": "2026-12-01T08:00:00"}, "start_by", "timezone"),
        ({"allowed_hubs": ["Qing Yang"]}, "allowed_hubs[0]", "must be a slug"),
        ({"share_milli": 1000}, "share_milli", "less than or equal to 999"),
        ({"share_milli": 0.25}, "share_milli", "valid integer"),
        ({"smaller_sizes": [{"tasks": 0}]}, "smaller_sizes[0].tasks", "greater than or equal to 1"),
        ({"smaller_sizes": [{"task": 1}]}, "smaller_sizes[0].task", "did you mean tasks?"),
        ({"smaller_sizes": [4]}, "smaller_sizes[0]", "valid dictionary"),
        ({"within": "rack"}, "within", "'pool', 'domain' or 'node'"),
        ({"spread_speed": 1.5}, "spread_speed", "above 0 and up to 1"),
        ({"input": "2TB"}, "input", "write GiB or TiB"),
        ({"input": "512MiB"}, "input", "is not a whole number of GiB"),
        ({"output": 20}, "output", "has no unit"),
        ({"domestic_only": "yes"}, "domestic_only", "valid boolean"),
        ({"allowed_owners": ["China Telecom"]}, "allowed_owners[0]", "must be a slug"),
        ({"enterprise": "Acme!"}, "enterprise", "must be a slug"),
    ],
)
def test_what_is_wrong_is_told_by_field(changes: dict[str, Any], field: str, part: str) -> None:
    assert part in wrong(**changes)[field]


def test_everything_wrong_is_told_at_once() -> None:
    text = json.dumps({"jobs": [JOB, JOB | {"tasks": 0, "grace": "soon"}, {**JOB, "name": 7}]})

    told = refused(text)

    assert "jobs[1].tasks" in told
    assert "jobs[1].grace" in told
    assert 'jobs[2].name: must be a text: write it in quotes, "7"' in told


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &x [1]\nb: *x\n", "anchor or alias"),
        ("jobs:\n  - &job {name: x}\n", "line 2, column 5: an anchor or alias"),
        ("name: a\nname: b\n", "line 2, column 1: the key 'name' stands there twice"),
        ("!!python/object/apply:os.system ['true']", "a tag (!)"),
        ("<<: {name: x}", "merge key"),
        ("---\nname: a\n---\nname: b\n", "second document"),
        ("? [a, b]\n: 1\n", "is not a text"),
        ("1: 2", "is not a text"),
        ("a: " + "[" * 50 + "]" * 50, "deeper than 20 levels"),
        ("a: [", "is not YAML"),
        ("a: 2026-13-45", "is not YAML"),
        ("- name: x", "must be one job, or a mapping"),
        ("", "must be one job, or a mapping"),
        ("jobs: []", "must be a list of 1 to 50000 jobs"),
        ("jobs: {}", "must be a list of 1 to 50000 jobs"),
        ("jobs: [7]", "jobs[0]: must be a mapping"),
        ("jobs: [{name: x}]\nname: y", "cannot stand beside `jobs`"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"\x00", "is not YAML"),
        (b" " * (BYTES_MAX + 1), "split it"),
    ],
)
def test_hostile_text_is_refused_in_plain_words(text: str | bytes, part: str) -> None:
    assert part in refused(text)


def test_a_bomb_does_not_go_off() -> None:
    """Nine levels of nine references would be 387 million texts."""
    lines = ['a: &a ["lol","lol","lol","lol","lol","lol","lol","lol","lol"]']
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]

    assert "line 1, column 4: an anchor or alias" in refused("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"name": "a", "name": "b"}', "stands there twice"),
        ('{"tasks": NaN}', "NaN is no JSON number"),
        ("[" * 200_000, "is nested deeper"),
        ("{", "is not JSON"),
        ("name: a", "is not JSON"),
    ],
)
def test_hostile_json_is_refused_in_plain_words(text: str, part: str) -> None:
    assert part in refused(text, json_only=True)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadJobFile, match="cannot read"):
        job_file.load(tmp_path / "none.yaml")


def test_json_is_read_by_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": [JOB]}))

    assert job_file.load(path)[0].name == "train"


_SLUG = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_SPECS = st.builds(
    JobSpec,
    name=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20),
    cards_per_task=st.integers(1, 64),
    walltime_seconds=st.integers(1, 31_536_000),
    builds=st.lists(
        st.builds(Build, stack=_SLUG, command=st.lists(_WORDS, min_size=1, max_size=4), models=st.lists(_SLUG)),
        min_size=1,
        max_size=3,
    ),
    start_by=st.none() | st.datetimes(timezones=st.just(UTC)),
    tasks=st.integers(1, 10_000),
)


@settings(max_examples=60)
@given(_SPECS)
def test_every_job_reads_back_from_its_file(spec: JobSpec) -> None:
    values = spec.model_dump(mode="json", exclude_none=True)

    assert job_file.parse(yaml.safe_dump({"jobs": [values]}).encode()) == [spec]
    assert job_file.parse(json.dumps(values).encode(), json_only=True) == [spec]


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from([*JobSpec.model_fields, *job_file.HUMAN_UNITS, "x"]), _PLAIN, max_size=6))
def test_any_document_is_jobs_or_a_plain_error(values: dict[str, Any]) -> None:
    with contextlib.suppress(BadJobFile):
        assert job_file.job_of(JOB | values).name


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_jobs_or_a_plain_error(text: bytes) -> None:
    for json_only in (False, True):
        with pytest.raises(BadJobFile):
            job_file.parse(text, json_only=json_only)


def test_the_published_schema_is_fresh() -> None:
    """`make schemas` would change nothing."""
    published = Path(job_file.__file__).with_name("job.schema.json")

    assert published.read_text(encoding="utf-8") == job_file.schema_text()


def test_the_schema_knows_every_field_with_a_description() -> None:
    schema = job_file.schema()
    for definition in ("Job", "Build"):
        properties = schema["$defs"][definition]["properties"]
        assert all("description" in field or "$ref" in field for field in properties.values())
    assert set(schema["$defs"]["Job"]["properties"]) == {*JobSpec.model_fields, *job_file.HUMAN_UNITS}


def test_the_limits_are_those_of_the_broker() -> None:
    """The client checks early what the broker would refuse: the two must agree on what is valid."""
    from broker.rpc import convert
    from broker.wire.v1 import job_service_pb2 as pb

    largest = JobSpec(
        name="n" * 128,
        cards_per_task=64,
        walltime_seconds=31_536_000,
        builds=[
            Build(
                stack=f"s{n}",
                command=["c"] * 256,
                models=[f"m{m}" for m in range(32)],
                environment={f"E{e}": "v" for e in range(256)},
                speed_ppm=10_000_000,
            )
            for n in range(16)
        ],
        tasks=10_000,
        job_set="a" * 63,
        cpu_milli_per_task=1_000_000,
        memory_mib_per_task=16_777_216,
        allowed_hubs=[f"h{n}" for n in range(32)],
        round_trip_micros_max=10_000_000,
        ceiling_micro_yuan_per_pflops_hour=10**12,
        attempts_max=10,
        grace_seconds=3600,
        ceiling_micro_yuan_per_job=10**15,
    )
    request = pb.SubmitJobRequest(request_key="k" * 128, spec=largest.to_wire())

    stored = convert.submission(request, now=datetime(2026, 1, 1, tzinfo=UTC)).spec

    assert (stored.tasks, stored.cards_per_task, len(stored.builds)) == (10_000, 64, 16)


def test_when_a_job_may_run_is_written_for_people() -> None:
    found = job_file.job_of(
        JOB
        | {
            "earliest_start": "2026-12-01T08:00:00+08:00",
            "finish_by": "2026-12-02T08:00:00+08:00",
            "after": ["job-41"],
            "after_request_keys": ["nightly 1"],
            "preemptible": True,
            "checkpoint_interval": "15m",
        }
    ).to_wire()

    assert (found.earliest_start.seconds, found.finish_by.seconds) == (1_796_083_200, 1_796_169_600)
    assert (found.after, found.after_request_keys) == (["job-41"], ["nightly 1"])
    assert (found.preemptible, found.checkpoint_interval_seconds) == (True, 900)
    assert wrong(after=["lease-1"]) == {"after[0]": "must be the id of a job, such as job-42"}
    assert "printable ASCII" in wrong(after_request_keys=["名"])["after_request_keys[0]"]
