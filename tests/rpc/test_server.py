"""The server itself: where it listens and with what, health, reflection, and the way it ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from broker import postgres
from broker.clock import ManualClock
from broker.market.identity import Identity
from broker.postgres import EmbeddedServer
from broker.rpc.server import RpcServer, build_server
from broker.rpc.tls import CannotListen, ListenAddress, server_credentials
from broker.store.database import Database
from broker.store.migrate import migrate
from broker.wire.v1 import job_service_pb2_grpc
from tests.rpc.conftest import Edge, open_edge
from tests.rpc.refusals import refusal
from tests.rpc.requests import NOW, submit
from tests.rpc.test_submit_jobs import sent


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine and its key."""
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    return tmp_path / "cert.pem", tmp_path / "key.pem"


async def never_limited(city: str) -> int:
    return 100_000


def built(database: Database, listen: str, pem: tuple[Path | None, Path | None] = (None, None)) -> RpcServer:
    return build_server(
        [job_service_pb2_grpc.JobServiceServicer()],
        listen=listen,
        identity=Identity(database),
        calls_per_second_max=never_limited,
        clock=ManualClock(NOW),
        tls_certificate=pem[0],
        tls_private_key=pem[1],
    )


@pytest.fixture
async def with_tls(database: Database, pem: tuple[Path, Path]) -> AsyncIterator[RpcServer]:
    server = built(database, "0.0.0.0:0", pem)
    await server.start()
    yield server
    await server.stop(0)


async def test_beyond_loopback_nothing_is_served_in_the_clear(database: Database) -> None:
    with pytest.raises(CannotListen, match="--tls-cert"):
        built(database, "0.0.0.0:0")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", ":0", "10.1.2.3:0", "broker.example:0", "[fe80::1]:0"])
def test_beyond_loopback_a_certificate_is_needed(listen: str) -> None:
    with pytest.raises(CannotListen, match="--tls-cert"):
        server_credentials(ListenAddress.parse(listen), None, None)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.2:7443", "[::1]:0", "localhost:0"])
def test_on_loopback_no_certificate_is_needed(listen: str) -> None:
    assert server_credentials(ListenAddress.parse(listen), None, None) is None


@pytest.mark.parametrize(
    "listen",
    ["", "7443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:7443", "[::1]", "a b:1", "host:-1", "h:1\n"],
)
def test_an_address_that_cannot_be_read_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(CannotListen, match=r"127\.0\.0\.1:7443"):
        ListenAddress.parse(listen)


def test_tls_files_that_do_not_fit_are_refused_by_name(pem: tuple[Path, Path], authority: trustme.CA) -> None:
    """At the start, and not when the first caller comes."""
    certificate, key = pem
    listen = ListenAddress.parse("0.0.0.0:0")
    other_key = certificate.parent / "other.pem"
    authority.issue_cert("localhost").private_key_pem.write_to_path(other_key)
    garbage = certificate.parent / "garbage.pem"
    garbage.write_text("not a certificate")

    for wrong, said in [
        ((certificate, None), "both"),
        ((None, key), "both"),
        ((certificate, other_key), "other.pem"),
        ((garbage, key), "garbage.pem"),
        ((certificate.parent / "none.pem", key), "cannot be read"),
    ]:
        with pytest.raises(CannotListen, match=said):
            server_credentials(listen, *wrong)


async def test_over_tls_a_peer_that_trusts_the_authority_is_served(with_tls: RpcServer, authority: trustme.CA) -> None:
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())

    async with grpc.aio.secure_channel(f"localhost:{with_tls.port}", credentials) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_over_tls_others_are_not_served(with_tls: RpcServer) -> None:
    """Neither in the clear nor with another authority."""
    stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    target = f"localhost:{with_tls.port}"

    for channel in (grpc.aio.insecure_channel(target), grpc.aio.secure_channel(target, stranger)):
        async with channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert (await refusal(check)).code == "UNAVAILABLE"


async def test_a_port_in_use_is_refused_and_not_shared(edge: Edge) -> None:
    """Two brokers on one port would each get some of the calls."""
    with pytest.raises(CannotListen, match="in use"):
        built(edge.database, f"127.0.0.1:{edge.port}")


async def test_health_is_told_for_each_service_and_changes_before_the_end(database: Database) -> None:
    server = built(database, "127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="broker.wire.v1.JobService")
        watch = stub.Watch(request, timeout=30)

        before = await stub.Check(request, timeout=30)
        first = await watch.read()
        absent = await refusal(stub.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=30))
        await server.health.enter_graceful_shutdown()
        last = await watch.read()
    await server.stop(0)

    serving, stopping = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert (before.status, first.status, last.status) == (serving, serving, stopping)
    assert absent.code == "NOT_FOUND"


async def test_reflection_lists_what_is_served(edge: Edge) -> None:
    """So that tools can call by name."""
    stub = reflection_pb2_grpc.ServerReflectionStub(edge.channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30)

    listed = await call.read()

    assert {s.name for s in listed.list_services_response.service} == {
        "broker.wire.v1.JobService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_while_the_database_is_away_callers_are_told_when_to_come_back(server: EmbeddedServer) -> None:
    """Not that their key is wrong, and not that we are at fault; afterwards the same call succeeds."""
    await migrate(server.dsn_owner)
    database = await Database.connect(server.dsn_city, server.dsn_hub)
    async with open_edge(database) as edge:
        await asyncio.to_thread(postgres.stop, server.folder)

        unknown_caller = await refusal(edge.stub.SubmitJob(submit(), **edge.sent_by("ganzhou")))
        await asyncio.to_thread(postgres.start, server.folder)
        accepted = await edge.stub.SubmitJob(submit(), **edge.sent_by("ganzhou"))
        await asyncio.to_thread(postgres.stop, server.folder)
        known_caller = await refusal(edge.stub.SubmitJob(submit("key-2"), **edge.sent_by("ganzhou")))
        bulk = await refusal(edge.stub.SubmitJobs(sent([[submit("key-3")]]), **edge.sent_by("ganzhou")))

        assert [(r.code, r.reason) for r in (unknown_caller, known_caller, bulk)] == [
            ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
        ] * 3
        assert known_caller.retry_after_seconds == 1.0
        assert (accepted.job_id, accepted.duplicate) == ("job-1", False)
    await database.close()
