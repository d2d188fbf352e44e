"""A broker's edge on a real socket: JobService over a real database, with a key for everyone."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from broker.caller import Role
from broker.clock import ManualClock
from broker.loops.numbering import Numbering
from broker.market.catalogue import Catalogues
from broker.market.explain import Explain
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.logs import AgentLinks, Logs
from broker.market.watch import Pulses, Watch
from broker.rpc.job_service import JobService
from broker.rpc.server import build_server
from broker.store.database import Database
from broker.wire.v1.job_service_pb2_grpc import JobServiceStub
from scheduler.policy import Policy
from tests.rpc.requests import NOW
from tests.small_world import lay_out, registered


@dataclass
class Edge:
    """What tests hold of it."""

    database: Database
    clock: ManualClock
    identity: Identity
    numbering: Numbering
    pulses: Pulses
    links: AgentLinks
    keys: Mapping[str, str]
    port: int
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        return JobServiceStub(self.channel)

    def sent_by(self, who: str) -> dict[str, Any]:
        """Keyword arguments that make a call one of this caller, and keep a broken test from hanging."""
        return {"metadata": bearer(self.keys[who]), "timeout": 30}

    async def number(self) -> None:
        await self.numbering.run_once(self.clock.now())


def bearer(api_key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {api_key}"),)


async def calls_per_second(catalogues: Catalogues, city: str) -> int:
    return (await catalogues.current()).city(city).calls_per_second_max


@pytest.fixture
async def edge(database: Database) -> AsyncIterator[Edge]:
    """The edge of a broker that stands on a fresh database."""
    async with open_edge(database) as edge:
        yield edge


@asynccontextmanager
async def open_edge(database: Database, *, key_recheck_seconds: float = 5.0) -> AsyncIterator[Edge]:
    """JobService of the small world; callers: ganzhou, its enterprise acme, nanjing, agent, operator, observer."""
    await lay_out(database)
    await registered(database, "acme")
    clock = ManualClock(NOW)
    identity = Identity(database)
    keys = {
        who: (await identity.create(role, subject, "test", NOW)).text
        for who, role, subject in [
            ("ganzhou", Role.CITY, "ganzhou"),
            ("nanjing", Role.CITY, "nanjing"),
            ("acme", Role.ENTERPRISE, "ganzhou/acme"),
            ("agent", Role.AGENT, "longdong"),
            ("operator", Role.OPERATOR, ""),
            ("observer", Role.OBSERVER, ""),
        ]
    }
    catalogues, pulses, links = Catalogues(database), Pulses(database), AgentLinks()
    jobs = Jobs(database, catalogues, wake=lambda: None, stop_wanted=lambda _: None)
    explain = Explain(database, Policy(), clock)
    server = build_server(
        [JobService(jobs, Watch(database, pulses), explain, Logs(database, links), clock)],
        listen="127.0.0.1:0",
        identity=identity,
        calls_per_second_max=lambda city: calls_per_second(catalogues, city),
        clock=clock,
        key_recheck_seconds=key_recheck_seconds,
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            numbering = Numbering(database, announce=pulses.announce)
            yield Edge(database, clock, identity, numbering, pulses, links, keys, server.port, channel)
    finally:
        await server.stop(0)
