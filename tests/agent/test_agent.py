"""The agent over a real socket, with the local engine: real processes at one end, a scripted broker at the other."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
import trustme

from broker.agent.agent import BACKOFF_SECONDS_MAX, backoff_seconds
from broker.agent.config import AgentConfig, BadConfig, PoolConfig
from broker.agent.engines.processes import boot_id, identity_of
from broker.agent.main import run_agent
from broker.agent.session import rest_seconds
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import job_pb2, job_service_pb2
from tests.agent.scripted_broker import WELCOME, ScriptedBroker, serving
from tests.deadlines import eventually

RUNNING, ENDED = wire.LEASE_PHASE_RUNNING, wire.LEASE_PHASE_ENDED
KEY = "xs_agent_secret"


def config(folder: Path, port: int) -> AgentConfig:
    key_file = folder / "agent.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEY)
    pool = PoolConfig(pool="ascend", model="ascend-910b", nodes=2, cards=8, cpu_milli=64_000, memory_mib=65_536)
    return AgentConfig(
        endpoint=f"127.0.0.1:{port}",
        cluster="lab",
        key_file=key_file,
        state_dir=folder / "state",
        log="json",
        pools=[pool],
    )


@asynccontextmanager
async def running(settings: AgentConfig) -> AsyncIterator[asyncio.Task[None]]:
    """An agent at work; told to stop at the end, which ends no job."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_agent(settings, stop, seed=7))
    try:
        yield task
    finally:
        stop.set()
        await task


def order(
    script: str, *, lease: int = 1, epoch: int = 1, job: int = 1, card: int = 0, **changes: object
) -> wire.LeaseOrder:
    values: dict[str, object] = {
        "lease_id": f"lease-{lease}",
        "epoch": epoch,
        "job_id": f"job-{job}",
        "city": "ganzhou",
        "name": "test",
        "build": job_pb2.Build(stack="cann", command=["/bin/sh", "-c", script]),
        "pool": "ascend",
        "nodes": [job_pb2.NodeCards(node="lab-ascend-1", cards=[card], tasks=1)],
        "cards_per_task": 1,
        "walltime_seconds": 60,
    }
    return wire.LeaseOrder(**(values | changes))  # type: ignore[arg-type]


PATIENT_WELCOME = wire.Welcome(
    session_epoch=1,
    report_interval_millis=3_600_000,
    suspect_after_millis=3_600_000,
    lost_after_millis=3_600_000,
    kill_after_millis=3_600_000,
)
"""Nothing happens because time passes."""


async def until(holds: Callable[[], bool]) -> None:
    async def check() -> bool:
        return holds()

    await eventually(check)


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with serving(ScriptedBroker()) as made:
        yield made


async def wipe(broker: ScriptedBroker, settings: AgentConfig) -> None:
    """End whatever the test has left running."""
    async with running(settings):
        for stream in broker.streams:
            for report in stream.reports:
                for lease in report.leases:
                    ref = wire.LeaseRef(lease_id=lease.lease_id, epoch=lease.epoch)
                    broker.stop[lease.lease_id] = wire.LeaseStop(lease=ref, reason="CANCELLED")
        await until(lambda: bool(broker.streams[-1].reports) and not broker.streams[-1].reports[-1].leases)


async def test_a_job_from_order_to_settlement(broker: ScriptedBroker, open_folder: Path) -> None:
    """Hello, Welcome, order, starting, running, ended, settled, forgotten: and it ran once."""
    broker.start["lease-1"] = order("echo $XISUAN_CARDS > ../../../proof; echo hi; exit 4")

    async with running(config(open_folder, broker.port)):
        await until(broker.is_in("lease-1", ENDED))
        await until(lambda: not broker.streams[0].reports[-1].leases)

    [stream] = broker.streams
    hello = stream.hello
    assert stream.metadata["authorization"] == f"Bearer {KEY}"
    assert (hello.cluster, hello.engine, hello.pools[0].pool) == ("lab", "local", "ascend")
    assert [(node.node, node.cards) for node in hello.pools[0].nodes] == [("lab-ascend-1", 8), ("lab-ascend-2", 8)]
    assert 1 <= len(hello.instance) <= 64
    phases = [lease.phase for lease in broker.story("lease-1")]
    assert phases == sorted(phases)
    end = broker.story("lease-1")[-1]
    assert (end.end.reason, end.end.exit_code) == (job_pb2.END_REASON_EXIT_CODE, 4)
    assert end.started_at.ToNanoseconds() <= end.ended_at.ToNanoseconds()
    assert [report.sequence for report in stream.reports] == list(range(1, len(stream.reports) + 1))
    lines = [json.loads(line) for line in (open_folder / "state" / "engine.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["start", "end", "closed"]


async def test_what_a_job_has_used_is_told_until_it_is_known(open_folder: Path) -> None:
    """With its end, and again by the next agent, as long as no answer comes; the lease is not forgotten before."""
    broker = ScriptedBroker()
    broker.welcome = wire.Welcome()
    broker.welcome.CopyFrom(WELCOME)
    broker.welcome.usage_interval_millis = 3_600_000
    broker.start["lease-1"] = order("true")

    def told() -> list[wire.UsageReport]:
        return [usage for report in broker.streams[-1].reports for usage in report.usage]

    async with serving(broker):
        settings = config(open_folder, broker.port)
        async with running(settings):
            await until(lambda: len(broker.streams) == 1 and len(told()) >= 2)
        assert broker.streams[0].hello.meters_usage
        async with running(settings):
            await until(lambda: len(broker.streams) == 2 and len(told()) >= 1)
            broker.knows_usage = True
            await until(lambda: not broker.streams[-1].reports[-1].leases)

    [usage] = {usage.SerializeToString() for usage in told()}
    found = wire.UsageReport.FromString(usage)
    assert (found.lease_id, found.epoch, found.milli_cards, found.complete) == ("lease-1", 1, 1000, True)


async def test_changes_are_reported_at_once(open_folder: Path) -> None:
    """Not at the next interval, which may be long."""
    broker = ScriptedBroker()
    broker.welcome = PATIENT_WELCOME
    broker.start["lease-1"] = order("true")

    async with serving(broker), running(config(open_folder, broker.port)):
        await until(broker.is_in("lease-1", ENDED))

    assert len(broker.streams) == 1


async def test_changes_go_out_together_when_the_broker_has_answered(open_folder: Path) -> None:
    """A broker that is busy gets one report of many changes, not a queue of reports of one each."""
    broker = ScriptedBroker()
    broker.mute = True
    broker.welcome = PATIENT_WELCOME
    record = open_folder / "state" / "engine.jsonl"

    async with serving(broker), running(config(open_folder, broker.port)):
        await until(lambda: len(broker.streams) == 1 and len(broker.streams[0].reports) == 1)
        stream = broker.streams[0]
        stream.say(wire.SyncResponse(desired=wire.Desired(start=[order("sleep 0.5")])))
        await until(lambda: record.exists() and '"end"' in record.read_text())
        unanswered = len(stream.reports)
        stream.say(wire.SyncResponse(desired=wire.Desired(report_sequence=1)))
        await until(broker.is_in("lease-1", ENDED))

    assert unanswered == 1
    assert [lease.phase for lease in broker.story("lease-1")] == [ENDED]


@pytest.mark.parametrize(
    ("answer", "rest"),
    [(0.0, 0.1), (0.02, 0.1), (0.3, 0.6), (0.9, 1.8), (1.5, 2.0), (60.0, 2.0)],
    ids=["at once", "soon", "busy", "busier", "as often as the broker wants at least", "however late"],
)
def test_a_busy_broker_gets_as_much_rest_as_its_answer_took(answer: float, rest: float) -> None:
    """Seconds from one report to the next, which a broker wants every two seconds."""
    assert rest_seconds(answer, interval_seconds=2.0) == pytest.approx(rest)


async def test_a_broker_that_leaves_a_report_unanswered_gets_the_next_ones_all_the_same(open_folder: Path) -> None:
    """At their interval: else it would take an agent that waits for its word for one that is gone."""
    broker = ScriptedBroker()
    broker.mute = True
    broker.welcome = wire.Welcome()
    broker.welcome.CopyFrom(PATIENT_WELCOME)
    broker.welcome.report_interval_millis = 50

    async with serving(broker), running(config(open_folder, broker.port)):
        await until(lambda: len(broker.streams) == 1 and len(broker.streams[0].reports) == 4)


async def test_a_cancelled_job_is_confirmed(broker: ScriptedBroker, open_folder: Path) -> None:
    """With the broker's grace, and reported when nothing runs any more."""
    broker.start["lease-1"] = order("trap 'echo told; exit 0' TERM; while :; do sleep 0.02; done")

    async with running(config(open_folder, broker.port)):
        await until(broker.is_in("lease-1", RUNNING))
        broker.stop["lease-1"] = wire.LeaseStop(
            lease=wire.LeaseRef(lease_id="lease-1", epoch=1), grace_seconds=30, reason="CANCELLED"
        )
        await until(broker.is_in("lease-1", ENDED))

    assert broker.story("lease-1")[-1].end.reason == job_pb2.END_REASON_CANCELLED


async def test_a_bad_order_is_answered(broker: ScriptedBroker, open_folder: Path) -> None:
    """The broker hears why, instead of repeating itself for ever."""
    broker.start["lease-1"] = order("true", walltime_seconds=0)

    async with running(config(open_folder, broker.port)):
        await until(broker.is_in("lease-1", ENDED))

    end = broker.story("lease-1")[-1].end
    assert end.reason == job_pb2.END_REASON_START_FAILED
    assert "walltime_seconds" in end.detail


async def test_output_is_read_over_the_stream(broker: ScriptedBroker, open_folder: Path) -> None:
    """By piece, and what is not there has a stable code."""
    broker.start["lease-1"] = order("echo 0123456789; echo wrong >&2; while :; do sleep 0.02; done")
    settings = config(open_folder, broker.port)
    ref = wire.LeaseRef(lease_id="lease-1", epoch=1)

    def ask(request_id: int, **changes: object) -> None:
        request = wire.LogRequest(request_id=request_id, lease=ref, length_max=100, **changes)  # type: ignore[arg-type]
        broker.streams[0].say(wire.SyncResponse(log_request=request))

    async with running(settings):
        await until(broker.is_in("lease-1", RUNNING))
        out, err = (settings.state_dir / "leases" / "lease-1.1" / "logs" / f"0.{name}" for name in ("stdout", "stderr"))
        await until(lambda: out.stat().st_size == 11 and err.stat().st_size == 6)
        ask(1, offset=4)
        ask(2, stream=job_service_pb2.LOG_STREAM_STDERR)
        ask(3, task=9)
        ask(4, offset=2**64 - 1)
        await until(lambda: len(broker.streams[0].chunks) == 4)

    chunks = [(chunk.request_id, chunk.data, chunk.complete, chunk.error) for chunk in broker.streams[0].chunks]
    assert chunks == [
        (1, b"456789\n", False, ""),
        (2, b"wrong\n", False, ""),
        (3, b"", True, "LOG_UNKNOWN_TASK"),
        (4, b"", False, ""),
    ]
    await wipe(broker, settings)


async def test_jobs_run_on_while_the_broker_is_away(open_folder: Path) -> None:
    """The agent comes back by itself, says what is, and what ended meanwhile is told with its own end."""
    broker = ScriptedBroker()
    broker.start["lease-1"] = order("while [ ! -e go ]; do sleep 0.02; done; exit 6")
    async with AsyncExitStack() as agent:
        async with serving(broker):
            settings = config(open_folder, broker.port)
            await agent.enter_async_context(running(settings))
            await until(broker.is_in("lease-1", RUNNING))
        lease = settings.state_dir / "leases" / "lease-1.1"
        work = json.loads((lease / "spec.json").read_text())["work_folder"]
        (Path(work) / "task-0" / "go").touch()
        await until((lease / "end.json").exists)
        async with serving(broker, broker.port):
            await until(broker.is_in("lease-1", ENDED))

    assert broker.story("lease-1")[-1].end.exit_code == 6
    assert len(broker.streams) >= 2
    assert len({stream.hello.instance for stream in broker.streams}) == 1  # it is still the same agent


async def test_another_agent_adopts_what_runs(broker: ScriptedBroker, open_folder: Path) -> None:
    """With the memory of the one before, and its name; the lease is the old one, running since then."""
    broker.start["lease-1"] = order("while :; do sleep 0.02; done")
    settings = config(open_folder, broker.port)
    async with running(settings):
        await until(broker.is_in("lease-1", RUNNING))
    before = broker.story("lease-1")[-1]

    async with running(settings):
        await until(lambda: len(broker.streams) == 2 and bool(broker.streams[1].reports))
        first = broker.streams[1].reports[0]
        await wipe_in_place(broker)

    assert list(first.leases) == [before]
    assert len({stream.hello.instance for stream in broker.streams}) == 1


async def wipe_in_place(broker: ScriptedBroker) -> None:
    """End lease 1 through the agent that runs."""
    ref = wire.LeaseRef(lease_id="lease-1", epoch=1)
    broker.stop["lease-1"] = wire.LeaseStop(lease=ref, reason="CANCELLED")
    await until(broker.is_in("lease-1", ENDED))


async def test_a_lease_under_terms_dies_in_time_when_the_broker_is_silent(open_folder: Path) -> None:
    """Counted from the report that the broker last answered; others run on."""
    broker = ScriptedBroker()
    broker.welcome = wire.Welcome(
        session_epoch=1,
        report_interval_millis=50,
        suspect_after_millis=60_000,
        lost_after_millis=90_000,
        kill_after_millis=1_000,
    )
    broker.start["lease-1"] = order("while :; do sleep 0.02; done", if_lost=job_pb2.IF_LOST_RESTART)
    broker.start["lease-2"] = order("while :; do sleep 0.02; done", lease=2, job=2, card=1)

    async with serving(broker):
        settings = config(open_folder, broker.port)
        async with running(settings):
            await until(broker.is_in("lease-1", RUNNING))
            await until(broker.is_in("lease-2", RUNNING))
            broker.mute = True
            await until(broker.is_in("lease-1", ENDED))
            still = broker.is_in("lease-2", RUNNING)()
            broker.mute = False
        await wipe(broker, settings)

    assert [lease.end.reason for lease in broker.story("lease-1") if lease.phase == ENDED] == [job_pb2.END_REASON_LOST]
    assert still


async def test_a_silent_broker_is_given_up_for_a_new_stream(open_folder: Path) -> None:
    """A stream that stands but says nothing is worth nothing."""
    broker = ScriptedBroker()
    broker.welcome = wire.Welcome(
        session_epoch=1,
        report_interval_millis=50,
        suspect_after_millis=200,
        lost_after_millis=900,
        kill_after_millis=500,
    )
    broker.mute = True

    async with serving(broker), running(config(open_folder, broker.port)):
        await until(lambda: len(broker.streams) >= 2)


@pytest.mark.parametrize(
    "nonsense",
    [
        wire.SyncResponse(welcome=wire.Welcome()),
        wire.SyncResponse(desired=wire.Desired(start=[wire.LeaseOrder(lease_id="x")])),
        wire.SyncResponse(log_request=wire.LogRequest(stream=9)),  # type: ignore[arg-type]
        wire.SyncResponse(),
    ],
)
async def test_a_broker_that_makes_no_sense_harms_nothing(
    broker: ScriptedBroker, open_folder: Path, nonsense: wire.SyncResponse
) -> None:
    """At worst the stream is given up, and the next one works."""
    async with running(config(open_folder, broker.port)):
        await until(lambda: bool(broker.streams) and bool(broker.streams[0].reports))
        broker.streams[0].say(nonsense)
        broker.start["lease-1"] = order("true")
        await until(broker.is_in("lease-1", ENDED))


async def test_a_disk_that_takes_no_renewal_stops_neither_the_agent_nor_other_jobs(
    broker: ScriptedBroker, open_folder: Path
) -> None:
    """What lives by renewals ends by its terms; the agent goes on with everything else."""
    settings = config(open_folder, broker.port)
    (settings.state_dir / f"renewal.json.{os.getpid()}.new").mkdir(parents=True)  # where it is written first
    broker.start["lease-1"] = order("exit 4")

    async with running(settings) as agent:
        await until(broker.is_in("lease-1", ENDED))
        assert not agent.done()

    assert broker.story("lease-1")[-1].end.exit_code == 4
    assert len(broker.streams) == 1


async def test_an_agent_that_cannot_look_for_a_while_goes_on_when_it_can(
    broker: ScriptedBroker, open_folder: Path
) -> None:
    """Its jobs run on; an agent that ended would have to be started by hand."""
    settings = config(open_folder, broker.port)
    mark = settings.state_dir / "cards" / "lab-ascend-1" / "down"
    mark.mkdir(parents=True)

    async with running(settings) as agent:
        await until(lambda: len(broker.streams) > 1)
        mark.rmdir()
        await until(lambda: bool(broker.streams[-1].reports))
        assert not agent.done()


async def test_a_refused_agent_tries_again(broker: ScriptedBroker, open_folder: Path) -> None:
    """Its key may be put right, and an old agent may leave."""
    broker.refusal = (grpc.StatusCode.PERMISSION_DENIED, "CLUSTER_MISMATCH")

    async with running(config(open_folder, broker.port)) as agent:
        await asyncio.wait({agent}, timeout=0.3)
        broker.refusal = None
        await until(lambda: bool(broker.streams))


async def test_the_broker_is_checked_by_its_certificate(open_folder: Path) -> None:
    """With the CA it is heard, with another one it is not told anything."""
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), b"".join(pem.bytes() for pem in certificate.cert_chain_pems))]
    )
    authority.cert_pem.write_to_path(open_folder / "ca.pem")
    stranger.cert_pem.write_to_path(open_folder / "stranger.pem")
    broker = ScriptedBroker()

    async with serving(broker, credentials=credentials):
        plain = config(open_folder, broker.port)
        async with running(plain.model_copy(update={"tls_ca": open_folder / "stranger.pem"})) as agent:
            await asyncio.wait({agent}, timeout=0.3)
        assert broker.streams == []
        async with running(plain.model_copy(update={"tls_ca": open_folder / "ca.pem"})):
            await until(lambda: bool(broker.streams))


async def test_a_missing_ca_is_said_at_once(open_folder: Path) -> None:
    """Before anything is opened."""
    settings = config(open_folder, 1).model_copy(update={"tls_ca": open_folder / "none.pem"})

    with pytest.raises(BadConfig, match="tls_ca"):
        await run_agent(settings, asyncio.Event())


async def test_the_program_ends_on_terminate_and_its_jobs_do_not(broker: ScriptedBroker, open_folder: Path) -> None:
    """As an operator stops it for an upgrade; kill -9 is no different for the jobs."""
    broker.start["lease-1"] = order("while :; do sleep 0.02; done")
    settings = config(open_folder, broker.port)
    file = open_folder / "agent.yaml"
    values = settings.model_dump(mode="json", exclude_none=True)
    file.write_text(json.dumps(values))
    supervisor = settings.state_dir / "leases" / "lease-1.1" / "supervisor.json"

    for number, wanted in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        program = await asyncio.create_subprocess_exec(sys.executable, "-m", "broker.agent", str(file), stderr=-3)
        seen = len(broker.streams)
        await until(lambda seen=seen: len(broker.streams) > seen and broker.is_in("lease-1", RUNNING)())  # type: ignore[misc]
        program.send_signal(number)
        assert await program.wait() == wanted
        assert identity_of(json.loads(supervisor.read_text())[0], boot_id()) is not None

    await wipe(broker, settings)
    assert (
        len([line for line in (settings.state_dir / "engine.jsonl").read_text().splitlines() if '"start"' in line]) == 1
    )


async def test_the_program_says_what_is_wrong(open_folder: Path) -> None:
    """On standard error, with the field, and ends with 1."""
    file = open_folder / "agent.yaml"
    file.write_text("endpoint: nowhere\n")

    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "broker.agent", str(file), stderr=asyncio.subprocess.PIPE
    )
    _, said = await program.communicate()

    assert program.returncode == 1
    assert b"cluster: Field required" in said
    assert b"Traceback" not in said


def test_waiting_times_grow_and_are_spread() -> None:
    """Within half and whole of a doubling time, up to a limit; the same luck gives the same times."""
    times = [backoff_seconds(failures, random.Random(1)) for failures in range(30)]

    assert times == [backoff_seconds(failures, random.Random(1)) for failures in range(30)]
    assert all(0.1 <= time <= BACKOFF_SECONDS_MAX for time in times)
    assert times[0] < times[3] < times[6]
    assert len({backoff_seconds(5, random.Random(seed)) for seed in range(20)}) == 20
