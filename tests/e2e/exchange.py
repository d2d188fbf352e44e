"""An exchange on one machine: a broker with its own PostgreSQL, agents, and the command line beside them.

Everything is a real process, and nothing of it lives on when the exchange is left.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from broker import postgres
from broker.audit.facts import EventFact, Facts
from broker.audit.main import gather
from broker.audit.rules import findings
from broker.client import AdminClient, Client, Event, Job, RetryPolicy
from broker.client.settings import read_key
from broker.demo.programs import Program
from broker.demo.work import command
from broker.ids import parse_job
from broker.policy.key_file import NAME
from broker.wire.v1 import admin_service_pb2 as admin_pb
from broker.worlds.loader import bundled, load
from tests.conftest import temporary_folder
from tests.deadlines import eventually

ASCEND, CAMBRICON, NVIDIA = "qingyang-ascend", "guian-cambricon", "qingyang-nvidia"
"""The laptop world's clusters: CANN, NeuWare, CUDA; 16 cards each."""

STARTED_SECONDS_MAX = 60.0
CALL_SECONDS_MAX = 60.0
PATIENT = RetryPolicy(delay_seconds_max=0.5, give_up_after_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said: its exit code, results and remarks."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(slots=True)
class Exchange:
    """A running broker and its agents."""

    folder: Path
    broker: Program
    port: int
    tls_ca: Path | None = None
    agents: dict[str, Program] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The broker's home, with keys and profile."""
        return self.folder / "home"

    @property
    def endpoint(self) -> str:
        """Where the broker listens, before and after a restart."""
        return f"127.0.0.1:{self.port}"

    def key(self, name: str) -> str:
        """Return a key that the first start wrote: "operator", "city-<city>", "agent-<cluster>"."""
        return read_key(self.home / "keys" / f"{name}.key")

    def client(self, city: str = "ganzhou") -> Client:
        """Return a city's client, which waits for a broker that is away."""
        return Client(self.endpoint, self.key(f"city-{city}"), self.tls_ca, retry=PATIENT)

    def admin(self) -> AdminClient:
        """Return the operator's client."""
        return AdminClient(self.endpoint, self.key("operator"), self.tls_ca, retry=PATIENT)

    # --- programs ------------------------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """Start the broker, or start it again where it was, and wait until it takes calls."""
        self.broker.start()
        self.broker.wait_until(self._listens, "nobody listens")

    def start_agent(self, cluster: str, **changes: Any) -> Program:
        """Start the agent of a cluster of the laptop world, with its whole inventory and a few changes."""
        place = self.folder / "agents" / cluster
        place.mkdir(parents=True, exist_ok=True)
        config = place.with_suffix(".yaml")
        values = {
            "endpoint": self.endpoint,
            "cluster": cluster,
            "key_file": str(self.home / "keys" / f"agent-{cluster}.key"),
            "state_dir": str(place),
            **known_of(cluster),
            "policy_keys": [(self.home / NAME).with_suffix(".pub").read_text().strip()],
        }
        config.write_text(yaml.safe_dump(values | changes))
        return self.start_agent_of(cluster, config)

    def start_agent_of(self, cluster: str, config: Path) -> Program:
        """Start an agent by its configuration file."""
        log = self.folder / f"agent-{cluster}.log"
        program = Program(f"agent {cluster}", ("agent", "--config", str(config)), log)
        self.agents[cluster] = program
        program.start()
        return program

    def stop(self) -> None:
        """Stop agents and broker in good order, and whatever did not stop, not."""
        for program in (*self.agents.values(), self.broker):
            program.stop()
        if (self.home / "postgres").is_dir():
            postgres.destroy(self.home / "postgres")
        _kill_all_below(self.folder)

    def said_nothing_alarming(self) -> None:
        """Fail if a program told of an error that it did not understand: what can be expected has a sentence."""
        for program in (self.broker, *self.agents.values()):
            log = program.log.read_text(errors="replace")
            assert "Traceback" not in log, f"{program.name}:\n{log[log.index('Traceback') :][:4000]}"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and (self.home / "client.json").exists()

    def record(self, cluster: str) -> Path:
        """Return the folder where the cluster's engine keeps its own record."""
        attached = self.home / "agents" / cluster  # where `xisuan cluster attach` puts it
        return attached if attached.is_dir() else self.folder / "agents" / cluster

    # --- the command line ----------------------------------------------------------------------------------------

    def xisuan(self, *arguments: str | Path, code: int = 0, environment: Mapping[str, str] | None = None) -> Told:
        """Run a command as a user of this machine would, and check its exit code."""
        told = self.try_xisuan(*arguments, environment=environment)
        assert told.code == code, (
            f"xisuan {' '.join(map(str, arguments))} ended with {told.code}:\n{told.out}{told.err}"
        )
        return told

    def try_xisuan(self, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Told:
        """Run a command that may end as it likes."""
        return xisuan(*arguments, environment={"XISUAN_HOME": str(self.home)} | dict(environment or {}))

    # --- questions -----------------------------------------------------------------------------------------------

    async def attached(self, *clusters: str) -> None:
        """Wait until the clusters' agents are live and their inventory is known."""
        async with self.admin() as admin:

            async def live() -> bool:
                found = {c.cluster for c in await admin.clusters() if c.agent == admin_pb.AGENT_STATE_LIVE and c.pools}
                return found >= set(clusters)

            await eventually(live, seconds=STARTED_SECONDS_MAX)

    async def agent_state(self, cluster: str) -> str:
        """Return what the broker thinks of an agent: "live", "suspect", "lost"."""
        async with self.admin() as admin:
            found = {c.cluster: c.agent for c in await admin.clusters()}
        return admin_pb.AgentState.Name(found[cluster]).removeprefix("AGENT_STATE_").lower()

    async def becomes(self, client: Client, job_id: str, state: str, *, seconds: float = 60.0) -> Job:
        """Wait until a job is in a state, and return it; fail with what is known when it does not come to that."""
        job = await client.job(job_id)

        async def there() -> bool:
            nonlocal job
            job = await client.job(job_id)
            return job.state == state

        try:
            await eventually(there, seconds=seconds)
        except AssertionError as late:
            agents = {c: await self.agent_state(c) for c in self.agents if c in {ASCEND, CAMBRICON}}
            raise AssertionError(f"{job}\n{agents}\n{self.broker.tail(40)}") from late
        return job

    async def audit(self, *, acknowledged: Collection[str] | None = None, seen: Sequence[Event] = ()) -> Facts:
        """Audit tables and engines' records, with what clients were told; fail when there is anything to find.

        Args:
            acknowledged: ids of jobs that clients were told are stored.
            seen: events in the order in which a client of Ganzhou got them, from the first.
        """
        records = {cluster: self.record(cluster) for cluster in self.agents}
        with postgres.using(self.home / "postgres") as server:
            facts = await gather(server.dsn_hub, server.dsn_city, records)
        told = replace(
            facts,
            acknowledged=None if acknowledged is None else frozenset(parse_job(job) or 0 for job in acknowledged),
            seen=tuple(EventFact("ganzhou", e.cursor, parse_job(e.job_id) or 0, e.kind.value, e.attempt) for e in seen),
        )
        assert findings(told) == []
        return told


@contextmanager
def exchange(*settings: str, arguments: tuple[str | Path, ...] = (), tls_ca: Path | None = None) -> Iterator[Exchange]:
    """Run a broker on the laptop world, without agents; at the end stop everything that was started in its folder.

    Args:
        settings: NAME=VALUE, as `xisuan serve --set` takes them.
        arguments: more of `xisuan serve`'s.
        tls_ca: what clients trust, when the broker speaks TLS.
    """
    port = free_port()
    with temporary_folder() as folder:
        more = [argument for setting in settings for argument in ("--set", setting)]
        serve = ("serve", "--home", str(folder / "home"), "--listen", f"127.0.0.1:{port}", "--metrics-listen", "")
        made = Exchange(
            folder, Program("broker", (*serve, *map(str, arguments), *more), folder / "broker.log"), port, tls_ca
        )
        try:
            made.start_broker()
            yield made
            made.said_nothing_alarming()
        finally:
            made.stop()


def xisuan(*arguments: str | Path, environment: Mapping[str, str], seconds_max: float = CALL_SECONDS_MAX) -> Told:
    """Run a command with nothing of the caller's own settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("XISUAN_")}
    done = subprocess.run(
        [sys.executable, "-m", "broker.cli.main", *map(str, arguments)],
        env=clean | dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    return Told(done.returncode, done.stdout, done.stderr)


@asynccontextmanager
async def frozen(program: Program) -> AsyncIterator[None]:
    """Stop a program from doing anything, as a cut link or a hung machine does, and let it go on at the end."""
    assert program.process is not None
    process = psutil.Process(program.process.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def work(seconds: float, *, exit_code: int = 0) -> list[str]:
    """Return a command that burns a little CPU and writes checkpoints for so many seconds."""
    return list(command(seconds, exit_code=exit_code))


def work_until(file: Path, *, exit_code: int = 0) -> list[str]:
    """Return a command that runs until the file is there, so that no test depends on how fast the machine is."""
    return [
        "perl",
        "-e",
        "select(undef, undef, undef, 0.05) until -e $ARGV[0]; exit $ARGV[1]",
        str(file),
        str(exit_code),
    ]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def known_of(cluster: str) -> dict[str, Any]:
    """Return what the agent knows of its own cluster: hub, owner and pools."""
    world = load(bundled("laptop"))
    found = next(c for c in world.clusters if c.cluster == cluster)
    origins = {model.model: model.origin for model in world.accelerator_models}
    pools = [
        {
            "pool": pool.pool,
            "model": pool.model,
            "origin": origins[pool.model],
            "nodes": pool.nodes,
            "cards": pool.cards_per_node,
            "cpu_milli": pool.cpu_milli_per_node,
            "memory_mib": pool.memory_mib_per_node,
        }
        for pool in found.pools
    ]
    return {"hub": found.hub, "owner": found.owner, "pools": pools}


def _kill_all_below(folder: Path) -> None:
    """End what agents and brokers that were killed left behind: it names the folder, or works in it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()) or process.cwd().startswith(str(folder)):
                process.kill()
