"""Scripts can rely on exit codes, and people on what stderr says."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from broker.client.settings import write_key, write_profile
from broker.wire.v1 import job_pb2
from tests.cli.commands import xisuan
from tests.client.scripted_broker import AWAY, ScriptedBroker, events, serving, trouble

SUBMIT = ("submit", "--stack", "cann", "--", "echo", "hello")


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedBroker]:
    broker = ScriptedBroker()
    broker.states.append(job_pb2.JOB_STATE_SUCCEEDED)
    return broker


@pytest.fixture
async def home(scripted: ScriptedBroker, tmp_path: Path) -> AsyncIterator[Path]:
    """A home whose profile leads to the scripted broker."""
    async with serving(scripted) as endpoint:
        write_profile(tmp_path, endpoint=endpoint, city="ganzhou")
        write_key(tmp_path, "city-ganzhou", "xs_test")
        yield tmp_path


async def test_done_is_0(home: Path) -> None:
    ended = await xisuan(*SUBMIT, home=home)

    assert (ended.code, ended.out, ended.err) == (0, "job-1\n", "")


async def test_refused_is_1_with_fields(scripted: ScriptedBroker, home: Path) -> None:
    field = BadRequest.FieldViolation(field="spec.builds[0].stack", description="must be in the catalogue")
    refusal = trouble(
        grpc.StatusCode.INVALID_ARGUMENT,
        "one field is wrong",
        ErrorInfo(domain="xisuan", reason="INVALID_REQUEST"),
        BadRequest(field_violations=[field]),
    )
    scripted.troubles.extend([refusal, refusal])

    for_people = await xisuan(*SUBMIT, home=home)
    for_programs = await xisuan("submit", "--json", *SUBMIT[1:], home=home)

    assert for_people.code == for_programs.code == 1
    assert for_people.out == for_programs.out == ""
    assert for_people.err.splitlines() == [
        "error: one field is wrong [INVALID_REQUEST]",
        "  spec.builds[0].stack: must be in the catalogue",
    ]
    assert for_programs.error["reason"] == "INVALID_REQUEST"
    assert for_programs.error["fields"][0]["field"] == "spec.builds[0].stack"


async def test_a_failed_job_that_was_followed_is_1(scripted: ScriptedBroker, home: Path) -> None:
    scripted.states.clear()
    scripted.states.append(job_pb2.JOB_STATE_FAILED)

    ended = await xisuan("submit", "--follow", *SUBMIT[1:], home=home)

    assert ended.code == 1
    assert "failed" in ended.out


async def test_one_refused_item_of_many_is_1(home: Path, tmp_path: Path) -> None:
    job = "{name: %s, cards_per_task: 1, walltime: 1h, builds: [{stack: cann, command: [run]}]}"
    (tmp_path / "jobs.yaml").write_text("jobs:\n" + "".join(f"- {job % name}\n" for name in ("a", "refuse", "b")))

    ended = await xisuan("submit", "--file", tmp_path / "jobs.yaml", home=home)

    assert ended.code == 1
    assert "2 of 3 jobs are submitted" in ended.out
    assert "item 2: too large [NO_POOL_CAN_HOLD]" in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit",), "say what to run"),
        (("submit", "--stack", "cann", "--walltime", "soon", "--", "run"), "walltime: 'soon' is no duration"),
        (("submit", "--stack", "cann"), "builds[0].command: is missing"),
        (("submit", "--env", "X", "--stack", "cann", "--", "run"), "must be NAME=VALUE"),
        (("submit", "--file", "none.yaml"), "cannot read none.yaml"),
        (("submit", "--file", "none.yaml", "--cards", "8"), "leave out cards_per_task"),
        (("jobs", "--no-such-option"), "No such option"),
        (("jobs", "--state", "gone"), "'gone' is not one of"),
        (("jobs", "--city", "atlantis"), "city-atlantis.key does not exist"),
        (("cancel",), "say what to cancel"),
        (("cancel", "job-1", "--job-set", "x"), "say what to cancel"),
        (("world", "check", "atlantis"), "neither a bundled world"),
        (("serve", "--set", "rounds=3"), "cannot be used"),
        (("serve", "--listen", "127.0.0.1:0", "--tls-cert", "c.pem"), "belong together"),
    ],
)
async def test_wrong_usage_is_2(home: Path, arguments: tuple[str, ...], told: str) -> None:
    ended = await xisuan(*arguments, home=home)

    assert ended.code == 2
    assert told in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


async def test_an_unavailable_broker_is_3(scripted: ScriptedBroker, home: Path, tmp_path: Path) -> None:
    scripted.troubles.append(AWAY)
    going_down = await xisuan(*SUBMIT, home=home)
    nobody = await xisuan("--endpoint", "127.0.0.1:1", "jobs", home=home)

    assert going_down.code == nobody.code == 3
    assert "is `xisuan serve` running" in nobody.err


async def test_settings_that_are_missing_are_2(tmp_path: Path) -> None:
    ended = await xisuan("jobs", home=tmp_path)

    assert ended.code == 2
    assert "no endpoint: give --endpoint HOST:PORT" in ended.err
    assert ended.err.endswith("[BAD_SETTINGS]\n")


async def test_the_city_picks_the_key(scripted: ScriptedBroker, home: Path) -> None:
    """And a city's key is enough: only operators name the city in their requests."""
    write_key(home, "city-nanjing", "xs_other")

    own = await xisuan(*SUBMIT, home=home, XISUAN_CITY="ganzhou")
    foreign = await xisuan("submit", "--city", "nanjing", *SUBMIT[1:], home=home)

    assert own.code == 0
    assert foreign.code == 1  # the scripted broker knows one key only
    assert {request.city for request in scripted.called("SubmitJob")} == {""}


async def test_an_operator_names_the_city(scripted: ScriptedBroker, home: Path) -> None:
    write_key(home, "operator", "xs_test")

    ended = await xisuan("submit", "--operator", "--city", "nanjing", *SUBMIT[1:], home=home)

    assert ended.code == 0
    assert [request.city for request in scripted.called("SubmitJob")] == ["nanjing"]


async def test_a_job_from_options_is_what_was_said(scripted: ScriptedBroker, home: Path) -> None:
    ended = await xisuan(
        "submit", "--stack", "cann", "--model", "ascend-910b", "--cards", "8", "--tasks", "16", "--walltime", "2h30m",
        "--memory", "64GiB", "--cpus", "0.5", "--env", "A=b=c", "--job-set", "night", "--priority", "urgent",
        "--class", "training", "--hub", "qingyang", "--if-lost", "restart", "--key", "mine", "--", "./run.sh", "--fast",
        home=home,
    )  # fmt: skip

    assert ended.code == 0, ended.err
    (request,) = scripted.called("SubmitJob")
    spec = request.spec
    assert request.request_key == "mine"
    assert (spec.name, spec.job_set, spec.tasks, spec.cards_per_task) == ("run.sh", "night", 16, 8)
    assert (spec.walltime_seconds, spec.memory_mib_per_task, spec.cpu_milli_per_task) == (9000, 65_536, 500)
    assert (spec.priority, spec.workload_class) == (job_pb2.PRIORITY_CLASS_URGENT, job_pb2.WORKLOAD_CLASS_TRAINING)
    assert spec.if_lost == job_pb2.IF_LOST_RESTART
    assert list(spec.allowed_hubs) == ["qingyang"]
    (build,) = spec.builds
    assert (build.stack, list(build.models), list(build.command)) == ("cann", ["ascend-910b"], ["./run.sh", "--fast"])
    assert dict(build.environment) == {"A": "b=c"}


async def test_a_dry_run_sends_nothing(scripted: ScriptedBroker, home: Path) -> None:
    ended = await xisuan("submit", "--dry-run", "--json", "--repeat", "7", *SUBMIT[1:], home=home)

    assert ended.code == 0
    assert ended.data["repeat"] == 7
    assert ended.data["jobs"][0]["builds"][0]["command"] == ["echo", "hello"]
    assert scripted.calls == []


async def test_many_under_a_key_can_be_run_again(scripted: ScriptedBroker, home: Path) -> None:
    many = ("submit", "--repeat", "250", "--batch", "100", "--key", "load", *SUBMIT[1:])

    first = await xisuan(*many, home=home)
    again = await xisuan(*many, home=home)

    assert "250 of 250 jobs are submitted, job-1 to job-250" in first.out
    assert "(250 of them before with the same keys)" in again.out
    assert sorted(scripted.keys) == sorted(f"load-{number}" for number in range(1, 251))


async def test_events_are_json_lines_for_programs(scripted: ScriptedBroker, home: Path) -> None:
    import json

    scripted.events = events(range(1, 4))

    ended = await xisuan("watch", "--after", "0", "--idle-seconds-max", "1", "--json", home=home)

    assert [json.loads(line)["cursor"] for line in ended.out.splitlines()] == ["1", "2", "3"]
    assert ended.code == 0


async def test_output_of_a_job_is_passed_on_as_it_is(scripted: ScriptedBroker, home: Path) -> None:
    scripted.log = "第一行\n".encode() * 3

    ended = await xisuan("logs", "job-1", home=home)

    assert ended.out.encode() == scripted.log


async def test_a_reader_who_has_seen_enough_is_no_error(scripted: ScriptedBroker, home: Path) -> None:
    """`xisuan logs job-1 | head -1` ends quietly."""
    import asyncio
    import sys

    scripted.log = b"line\n" * 20_000
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m broker.cli.main --home {home} logs job-1 | head -1",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert out == b"line\n"
    assert err == b""
