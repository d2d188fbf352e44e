"""Xisuan, given what the rivals are given: jobs that are only submitted, and tasks that run on the local engine."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
import numpy as np
import yaml

from benchmarks.brokers import RunningBroker, broker
from benchmarks.load import outcome
from benchmarks.real_rivals import ceilings
from benchmarks.real_rivals.tasks import CARDS_PER_NODE, WARM_SECONDS_MAX, NotMeasured, Size, Tasks, starts
from broker.audit.main import run as audited
from broker.client import Build, Client, JobSpec
from broker.client.admin import AdminClient
from broker.demo.programs import Program
from broker.demo.summary import percentile
from broker.policy.key_file import NAME
from broker.postgres import using
from broker.wire.v1 import job_service_pb2 as pb
from broker.wire.v1 import job_service_pb2_grpc as pb_grpc
from broker.worlds.loader import bundled

CITY: Final = "city-ganzhou"
CLUSTER: Final = "qingyang-ascend"
_BATCH: Final = 500
_NO_LIMIT: Final = 10_000_000
_ATTACHED_SECONDS_MAX: Final = 60.0
_AT_REST: Final = "SELECT count(*) FROM leases WHERE state <> 'ended'"


@dataclass(frozen=True, slots=True)
class Found:
    """Figures, of ours and of the ceilings that were measured with our rows and messages; and what the audit found."""

    ours: dict[str, float]
    postgres: dict[str, float]
    echo: dict[str, float]
    violations: int


def document(nodes: int) -> str:
    """Return a world of one cluster with so many nodes of eight cards; power and calls are limited by nothing."""
    content = yaml.safe_load(bundled("laptop"))
    content["clusters"] = [each for each in content["clusters"] if each["cluster"] == CLUSTER]
    content["clusters"][0]["pools"][0] |= {"nodes": nodes, "cards_per_node": CARDS_PER_NODE}
    for hub in content["hubs"]:
        hub.pop("power_kilowatts_max", None)
    content["city_defaults"] |= {"pending_jobs_max": _NO_LIMIT, "calls_per_second_max": 1_000_000}
    return yaml.safe_dump(content, allow_unicode=True)


def submitted(size: Size) -> Found:
    """Submit jobs in all ways while no cluster is there to run them, then measure the ceilings with the same jobs."""
    with broker(world=document(size.nodes)) as running:
        return asyncio.run(_submitted(running, size))


async def _submitted(running: RunningBroker, size: Size) -> Found:
    specs = [_spec(["true"])] * size.jobs
    requests = [pb.SubmitJobRequest(request_key=f"way-{n}", spec=spec.to_wire()) for n, spec in enumerate(specs)]
    few = max(size.jobs // 4, 1)
    ours = {
        "submit_one_per_second": await _unary(running, specs[:few], 1),
        "submit_many_per_second": await _unary(running, specs, ceilings.AT_ONCE),
        "submit_stream_per_second": await _streamed(running, requests),
        "submit_bulk_per_second": await _bulk(running, specs),
    }
    stored = 3 * size.jobs + few
    with using(running.home / "postgres") as server:
        hub = await asyncpg.connect(server.dsn_hub)
        try:
            await hub.execute("SET ROLE xisuan_hub")
            lost = stored - await hub.fetchval("SELECT count(*) FROM jobs")
        finally:
            await hub.close()
        bare = await ceilings.postgres(server.dsn_hub, server.dsn_owner, size.jobs)
        _, found = await audited(server.dsn_hub, server.dsn_city, {})
    echoed = await ceilings.echo([request.SerializeToString() for request in requests])
    return Found(ours, bare, echoed, len(found) + abs(lost))


def ran(folder: Path, size: Size) -> Found:
    """Run the tasks on the local engine: probes on idle cards, then all of them."""
    with broker(world=document(size.nodes)) as running, _agent(running, folder, size.nodes) as agent:
        return asyncio.run(_ran(running, agent, folder, size))


async def _ran(running: RunningBroker, agent: Program, folder: Path, size: Size) -> Found:
    await _attached(running, agent)
    async with Client(running.endpoint, running.key(CITY)) as client:
        warm = Tasks(folder / "warm")  # the first rounds after an installation compile the planner
        await _accepted(client, [_spec(warm.command(number)) for number in range(size.cards)])
        await asyncio.to_thread(warm.wait, size.cards, max(size.seconds_max, WARM_SECONDS_MAX), _alive(agent))
        figures = await _probed(client, folder, size)
        tasks, name = Tasks(folder / "tasks"), f"run-{time.time_ns()}"
        items = [(f"{name}-{number}", _spec(tasks.command(number))) for number in range(size.tasks)]
        began = time.time()
        await _accepted(client, items)
        rate = await asyncio.to_thread(tasks.rate, size.tasks, began, size.seconds_max, _alive(agent))
    with using(running.home / "postgres") as server:
        hub = await asyncpg.connect(server.dsn_hub)
        try:
            await hub.execute("SET ROLE xisuan_hub")
            await _at_rest(hub, size.seconds_max)
            leases = (await outcome.read(hub, name)).leases
        finally:
            await hub.close()
        _, found = await audited(server.dsn_hub, server.dsn_city, {CLUSTER: folder / "agent"})
    to_lease, to_start = leases[:, 1] - leases[:, 0], leases[:, 2] - leases[:, 1]
    figures |= {
        "tasks_per_second": rate,
        "submit_to_lease_p50_ms": 1000 * percentile(to_lease.tolist(), 50),
        "lease_to_start_p50_ms": 1000 * percentile(to_start[~np.isnan(to_start)].tolist(), 50),
    }
    return Found(figures, {}, {}, len(found) + abs(len(leases) - size.tasks))


async def _probed(client: Client, folder: Path, size: Size) -> dict[str, float]:
    tasks, took = Tasks(folder / "probes"), []
    for number in range(size.probes):
        began = time.time()
        await client.submit(_spec(tasks.command(number)))
        await asyncio.to_thread(tasks.wait, number + 1, size.seconds_max)
        took.append(max(tasks.ran_at(number) - began, 0.0))
    return starts(took)


async def _at_rest(hub: Any, seconds_max: float) -> None:
    end = time.monotonic() + seconds_max
    while await hub.fetchval(_AT_REST):
        if time.monotonic() > end:
            raise NotMeasured("tasks have run, but their leases do not end")
        await asyncio.sleep(0.1)


async def _unary(running: RunningBroker, specs: Sequence[JobSpec], at_once: int) -> float:
    left = iter(specs)

    async def worker(client: Client) -> None:
        for spec in left:
            await client.submit(spec)

    async with _client(running) as client:
        began = time.perf_counter()
        await asyncio.gather(*(worker(client) for _ in range(at_once)))
        return len(specs) / (time.perf_counter() - began)


async def _streamed(running: RunningBroker, requests: Sequence[pb.SubmitJobRequest]) -> float:
    """Send each job in a message of its own on one stream, without waiting for the answers."""

    async def write(call: Any) -> None:
        for request in requests:
            await call.write(pb.SubmitJobsRequest(items=[request]))
        await call.done_writing()

    async with grpc.aio.insecure_channel(running.endpoint, options=(("grpc.enable_http_proxy", 0),)) as channel:
        stub = pb_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        began = time.perf_counter()
        call = stub.SubmitJobs(metadata=(("authorization", f"Bearer {running.key(CITY)}"),))
        writing, accepted = asyncio.create_task(write(call)), 0
        while (answer := await call.read()) is not grpc.aio.EOF:
            accepted += sum(result.WhichOneof("outcome") == "accepted" for result in answer.results)
        await writing
        seconds = time.perf_counter() - began
    if accepted != len(requests):
        raise NotMeasured(f"{accepted} of {len(requests)} jobs were accepted on the stream")
    return accepted / seconds


async def _bulk(running: RunningBroker, specs: Sequence[JobSpec]) -> float:
    async with _client(running) as client:
        began = time.perf_counter()
        await _accepted(client, specs)
        return len(specs) / (time.perf_counter() - began)


async def _accepted(client: Client, items: Sequence[Any]) -> None:
    async for answer in client.submit_many(items, batch=_BATCH):
        if answer.error is not None:
            raise NotMeasured(f"a job was refused: {answer.error}")


@asynccontextmanager
async def _client(running: RunningBroker) -> AsyncIterator[Client]:
    """Return a client whose connection stands."""
    async with Client(running.endpoint, running.key(CITY)) as client:
        await client.latest_cursor()
        yield client


def _spec(command: list[str]) -> JobSpec:
    return JobSpec(name="rival", cards_per_task=1, walltime_seconds=60, builds=[Build(stack="cann", command=command)])


@contextmanager
def _agent(running: RunningBroker, folder: Path, nodes: int) -> Iterator[Program]:
    """Start the real agent with its local engine."""
    state = folder / "agent"
    state.mkdir()
    pool = {"pool": "train", "model": "ascend-910b", "origin": "domestic", "nodes": nodes, "cards": CARDS_PER_NODE}
    values = {
        "endpoint": running.endpoint,
        "cluster": CLUSTER,
        "key_file": str(running.home / "keys" / f"agent-{CLUSTER}.key"),
        "state_dir": str(state),
        "hub": "qingyang",
        "owner": "longdong-computing",
        "policy_keys": [(running.home / NAME).with_suffix(".pub").read_text(encoding="ascii").strip()],
        "pools": [pool | {"cpu_milli": 64_000, "memory_mib": 524_288}],
    }
    (folder / "agent.yaml").write_text(yaml.safe_dump(values))
    agent = Program("agent", ["agent", "--config", str(folder / "agent.yaml")], folder / "agent.log")
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


async def _attached(running: RunningBroker, agent: Program) -> None:
    end = time.monotonic() + _ATTACHED_SECONDS_MAX
    async with AdminClient(running.endpoint, running.key("operator")) as admin:
        while not any(each.pools and each.HasField("heard_at") for each in await admin.clusters()):
            _alive(agent)()
            if time.monotonic() > end:
                raise NotMeasured(f"the agent did not attach: {agent.tail()}")
            await asyncio.sleep(0.1)


def _alive(agent: Program) -> Callable[[], None]:
    def look() -> None:
        if agent.process is not None and agent.process.poll() is not None:
            raise NotMeasured(f"the agent ended: {agent.tail()}")

    return look
