"""Several brokers on one PostgreSQL, and what stands before them: each a process that keeps nothing of its own."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg
import psutil

from broker import postgres
from broker.api_key import ApiKey
from broker.client import AdminClient, Client
from broker.client.settings import write_private
from broker.demo.programs import Program
from broker.postgres import EmbeddedServer
from tests.conftest import FAST, temporary_folder
from tests.deadlines import eventually
from tests.e2e.exchange import PATIENT, STARTED_SECONDS_MAX, free_port, xisuan

LOGIN = "broker"
"""Who the brokers log in as: it may take on both roles, owns nothing, and migrates nothing."""


@dataclass(slots=True)
class Replica:
    """One broker: its program, and where it takes calls and answers probes."""

    program: Program
    port: int
    probes: int

    @property
    def endpoint(self) -> str:
        """Where it takes calls."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.program.process is not None
        return self.program.process.pid

    def ready(self) -> bool:
        """Ask as a container platform asks."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probes}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


class Service:
    """One address for all replicas: each connection goes to the next one that takes it, as a Service's does."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Listen no more, and end what is open."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()

    async def _forward(self, caller: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        self._open.add(answer)
        try:
            for _ in self._ports:
                self._ports.append(self._ports.pop(0))
                with suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[-1])
                    self._open.add(writer)
                    await asyncio.gather(_pipe(caller, writer), _pipe(reader, answer))
                    self._open.discard(writer)
                    return
        finally:
            self._open.discard(answer)
            answer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends; then end the other one."""
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@dataclass(slots=True)
class Replicas:
    """Brokers on one database, with what they share."""

    folder: Path
    server: EmbeddedServer
    brokers: list[Replica]
    service_port: int
    operator: ApiKey
    agents: list[Program] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """The one address of all."""
        return f"127.0.0.1:{self.service_port}"

    def admin(self, endpoint: str = "") -> AdminClient:
        """Return the operator's client, to one of the brokers or to whichever."""
        return AdminClient(endpoint or self.endpoint, self.operator.text, retry=PATIENT)

    def city(self, endpoint: str = "") -> Client:
        """Return a client that acts for Ganzhou."""
        return Client(endpoint or self.endpoint, self.operator.text, city="ganzhou", retry=PATIENT)

    async def attach(self, cluster: str, endpoint: str = "", **inventory: object) -> Path:
        """Register a cluster with a pool of Ascend cards, start its agent, and return its state folder."""
        home = self.folder / f"home-{cluster}"
        pools = {"pool": "a", "model": "ascend-910b", "nodes": 2, "cards": 8, "cpu_milli": 64_000, "memory_mib": 65_536}
        file = self.folder / f"{cluster}.yaml"
        file.write_text(json.dumps({"pools": [pools | inventory]}))
        environment = {"XISUAN_ENDPOINT": endpoint or self.endpoint, "XISUAN_HOME": str(home)}
        write_private(home / "keys" / "operator.key", self.operator.text)
        told = await asyncio.to_thread(
            xisuan, "cluster", "attach", "--cluster", cluster, "--hub", "qingyang", "--owner", cluster,
            "--inventory", file, "--ask", "ascend-910b=3500000", environment=environment,
        )  # fmt: skip
        assert told.code == 0, told.err
        home.chmod(0o711)
        agent = Program(
            f"agent {cluster}", ("agent", "--config", str(home / "agents" / f"{cluster}.yaml")),
            self.folder / f"agent-{cluster}.log",
        )  # fmt: skip
        agent.start()
        self.agents.append(agent)
        return home / "agents" / cluster

    async def leader(self) -> tuple[Replica, datetime]:
        """Return who leads the rounds and until when; the first one leads once its planner is warm."""

        async def known() -> bool:
            return bool((await self.fetchrow("SELECT count(*) FROM leadership"))[0])

        await eventually(known, seconds=STARTED_SECONDS_MAX)
        holder, expires_at = await self.fetchrow("SELECT holder, expires_at FROM leadership")
        pid = int(holder.split("-")[-2])  # HOST-PID-LUCK
        return next(broker for broker in self.brokers if broker.pid == pid), expires_at

    async def ready_to_lead(self) -> None:
        """Wait until every broker's planner is warm: each has a child process for it."""

        async def warm() -> bool:
            return all(
                any("spawn_main" in " ".join(child.cmdline()) for child in psutil.Process(each.pid).children())
                for each in self.brokers
            )

        await eventually(warm, seconds=STARTED_SECONDS_MAX)

    async def fetchrow(self, query: str, *values: object) -> "asyncpg.Record":
        """Return a row of the database, seen past all fences."""
        session = await asyncpg.connect(self.server.dsn("postgres"))
        try:
            row = await session.fetchrow(query, *values)
        finally:
            await session.close()
        assert row is not None, query
        return row


@asynccontextmanager
async def replicas(count: int, *settings: str) -> AsyncIterator[Replicas]:
    """Start so many brokers at once on an empty database, with nothing but a login, an operator's and a policy key."""
    with temporary_folder() as folder:
        server = postgres.start(folder / "postgres", settings=FAST)  # only brokers are killed here
        service, programs = Service([]), list[Program]()
        try:
            owner, dsn = await _logins(server, folder)
            operator = ApiKey.generate()
            write_private(folder / "operator.key", operator.text)
            assert xisuan("policy", "keygen", folder / "policy.pem", environment={}).code == 0
            assert xisuan("migrate", "--dsn", f"@{owner}", environment={}, seconds_max=150).code == 0
            shared = [f"operator_key={folder / 'operator.key'}", f"policy_key={folder / 'policy.pem'}", *settings]
            brokers = []
            for number in range(1, count + 1):
                port, probes = free_port(), free_port()
                arguments = (
                    "serve", "--home", str(folder / f"broker-{number}"), "--listen", f"127.0.0.1:{port}",
                    "--metrics-listen", f"127.0.0.1:{probes}", "--dsn", f"@{dsn}",
                    *(word for setting in (*shared, f"dsn_owner=@{owner}") for word in ("--set", setting)),
                )  # fmt: skip
                program = Program(f"broker {number}", arguments, folder / f"broker-{number}.log")
                program.start()
                programs.append(program)
                brokers.append(Replica(program, port, probes))
            await asyncio.gather(*(_up(broker) for broker in brokers))
            service = Service([broker.port for broker in brokers])
            made = Replicas(folder, server, brokers, await service.start(), operator)
            try:
                yield made
            finally:
                programs.extend(made.agents)
            for program in programs:
                assert "Traceback" not in program.log.read_text(), program.tail(60)
        finally:
            for program in reversed(programs):
                await asyncio.to_thread(program.stop)
            await service.close()
            postgres.destroy(folder / "postgres")


async def _up(broker: Replica) -> None:
    await asyncio.to_thread(broker.program.wait_until, broker.ready, f"not ready in {STARTED_SECONDS_MAX:.0f} s")


async def _logins(server: EmbeddedServer, folder: Path) -> tuple[Path, Path]:
    """Make the brokers' login, and return files with the DSNs of the tables' owner and of the brokers."""
    session = await asyncpg.connect(server.dsn("postgres"))
    try:
        await session.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD 'secret' NOINHERIT")
        await session.execute(f"GRANT xisuan_city, xisuan_hub TO {LOGIN}")
    finally:
        await session.close()
    owner, dsn = folder / "owner.dsn", folder / "broker.dsn"
    write_private(owner, server.dsn_owner)
    write_private(dsn, f"postgresql://{LOGIN}:secret@127.0.0.1:{server.secrets.port}/xisuan")
    return owner, dsn
