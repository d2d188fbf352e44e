"""The gRPC server: options, guards, services, health and reflection in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker import metrics
from broker.clock import Clock
from broker.market.identity import Identity
from broker.rpc.identity import KEY_RECHECK_SECONDS, RequireKey
from broker.rpc.limits import CallsPerSecondMax, LimitCalls
from broker.rpc.status import Errors
from broker.rpc.tls import CannotListen, ListenAddress, server_credentials
from broker.wire.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    admin_service_pb2,
    admin_service_pb2_grpc,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    market_service_pb2,
    market_service_pb2_grpc,
    measure_service_pb2,
    measure_service_pb2_grpc,
    voucher_service_pb2,
    voucher_service_pb2_grpc,
)

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""More than any valid message: what is too large in one field gets an answer that names the field."""

OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 1000),  # of one connection
    # Dead peers are found within a minute; peers may ask every ten seconds whether we live, also between calls.
    ("grpc.keepalive_time_ms", 40_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)

_SERVICES: Final = (
    (
        job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
        job_service_pb2_grpc.JobServiceServicer,
        job_service_pb2_grpc.add_JobServiceServicer_to_server,
    ),
    (
        cluster_service_pb2.DESCRIPTOR.services_by_name["ClusterService"].full_name,
        cluster_service_pb2_grpc.ClusterServiceServicer,
        cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server,
    ),
    (
        admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
        admin_service_pb2_grpc.AdminServiceServicer,
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server,
    ),
    (
        market_service_pb2.DESCRIPTOR.services_by_name["MarketService"].full_name,
        market_service_pb2_grpc.MarketServiceServicer,
        market_service_pb2_grpc.add_MarketServiceServicer_to_server,
    ),
    (
        account_service_pb2.DESCRIPTOR.services_by_name["AccountService"].full_name,
        account_service_pb2_grpc.AccountServiceServicer,
        account_service_pb2_grpc.add_AccountServiceServicer_to_server,
    ),
    (
        measure_service_pb2.DESCRIPTOR.services_by_name["MeasureService"].full_name,
        measure_service_pb2_grpc.MeasureServiceServicer,
        measure_service_pb2_grpc.add_MeasureServiceServicer_to_server,
    ),
    (
        voucher_service_pb2.DESCRIPTOR.services_by_name["VoucherService"].full_name,
        voucher_service_pb2_grpc.VoucherServiceServicer,
        voucher_service_pb2_grpc.add_VoucherServiceServicer_to_server,
    ),
)


@dataclass(frozen=True, slots=True)
class RpcServer:
    """A server that is bound to its port.

    Attributes:
        server: the gRPC server.
        port: where it listens, also when any free port was asked for.
        services: full names of what it serves, as health and reflection know them.
        health: the servicer of grpc.health.v1.
    """

    server: grpc.aio.Server
    port: int
    services: tuple[str, ...]
    health: Any

    async def start(self) -> None:
        """Serve from now on, and say so to health checks."""
        await self.server.start()
        for service in ("", *self.services):
            await self.health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Tell health checks, take no new calls, and end those that still run after the grace."""
        await self.health.enter_graceful_shutdown()
        await self.server.stop(grace_seconds)


def build_server(
    servicers: Sequence[object],
    *,
    listen: str,
    shared: bool = False,
    identity: Identity,
    calls_per_second_max: CallsPerSecondMax,
    clock: Clock,
    tls_certificate: Path | None = None,
    tls_private_key: Path | None = None,
    key_recheck_seconds: float = KEY_RECHECK_SECONDS,
) -> RpcServer:
    """Return a server that is bound but not started. Call it inside the event loop that will serve.

    Args:
        servicers: implementations of the services of broker.wire.v1, each at most once.
        listen: HOST:PORT; port 0 takes any free one.
        shared: other processes of the same broker listen there, too, and each connection goes to one of them.
        identity: tells whose an API key is.
        calls_per_second_max: tells a city's limit.
        clock: the edge's clock.
        tls_certificate: chain in PEM; needed beyond loopback, together with the key.
        tls_private_key: its key in PEM.
        key_recheck_seconds: how often a long call's key is looked at again.
    Raises: CannotListen: no TLS beyond loopback, unusable TLS files, or the address cannot be bound.
    """
    address = ListenAddress.parse(listen)
    credentials = server_credentials(address, tls_certificate, tls_private_key)
    guards = [
        Errors(),
        RequireKey(identity, clock, recheck_seconds=key_recheck_seconds),
        LimitCalls(calls_per_second_max, clock),
    ]
    # Else a second broker on the port is an error, not a thief of every other connection.
    server = grpc.aio.server(interceptors=guards, options=(*OPTIONS, ("grpc.so_reuseport", int(shared))))
    services = tuple(_register(servicer, server) for servicer in servicers)
    health_service = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    reflection.enable_server_reflection(
        (*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), server
    )
    return RpcServer(server, _bind(server, address, credentials), services, health_service)


def _register(servicer: object, server: grpc.aio.Server) -> str:
    """Add the servicer to the server. Return the full name of its service."""
    for name, kind, add in _SERVICES:
        if isinstance(servicer, kind):
            add(servicer, server)  # type: ignore[no-untyped-call]  # generated
            methods = descriptor_pool.Default().FindServiceByName(name).methods
            metrics.process.methods_served(
                (f"/{name}/{each.name}", not (each.client_streaming or each.server_streaming)) for each in methods
            )
            return name
    raise TypeError(f"{type(servicer).__name__} implements no service of broker.wire.v1")


def _bind(server: grpc.aio.Server, address: ListenAddress, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address.text)
        return server.add_secure_port(address.text, credentials)
    except RuntimeError as error:
        raise CannotListen(
            f"{address.text} cannot be bound: it is in use or not an address of this machine "
            "(choose another one, or port 0 for any free port)"
        ) from error
