"""The other side of the stream: a real gRPC server that says what a test wants it to say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import cluster_service_pb2_grpc as wire_grpc

WELCOME = wire.Welcome(
    session_epoch=1,
    report_interval_millis=100,
    suspect_after_millis=2_000,
    lost_after_millis=10_000,
    kill_after_millis=60_000,
)


@dataclass
class Stream:
    """One stream of an agent, as the broker sees it."""

    hello: wire.Hello
    metadata: dict[str, str]
    reports: list[wire.Report] = field(default_factory=list)
    chunks: list[wire.LogChunk] = field(default_factory=list)
    outbox: asyncio.Queue[wire.SyncResponse | None] = field(default_factory=asyncio.Queue)

    def say(self, message: wire.SyncResponse) -> None:
        """Say something that answers nothing."""
        self.outbox.put_nowait(message)


class ScriptedBroker(wire_grpc.ClusterServiceServicer):
    """Answers every Hello with `welcome` and every report with `desired(report)`; tests change both as they go."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.welcome: wire.Welcome | None = WELCOME
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.start: dict[str, wire.LeaseOrder] = {}
        self.stop: dict[str, wire.LeaseStop] = {}
        self.mute = False
        self.knows_usage = False
        self.port = 0

    def desired(self, report: wire.Report) -> wire.Desired:
        """Order what is not reported, end what is to be ended, settle what has ended: as the true broker does."""
        reported = {lease.lease_id for lease in report.leases}
        ended = [lease for lease in report.leases if lease.phase == wire.LEASE_PHASE_ENDED]
        for lease in ended:
            self.start.pop(lease.lease_id, None)
            self.stop.pop(lease.lease_id, None)
        return wire.Desired(
            report_sequence=report.sequence,
            start=[order for name, order in self.start.items() if name not in reported],
            stop=list(self.stop.values()),
            settled=[wire.LeaseRef(lease_id=lease.lease_id, epoch=lease.epoch) for lease in ended],
            usage_settled=[
                wire.UsageAnswer(
                    lease=wire.LeaseRef(lease_id=one.lease_id, epoch=one.epoch), minutes_end=1, complete=one.complete
                )
                for one in report.usage
                if self.knows_usage
            ],
        )

    async def Sync(self, requests: Any, context: Any) -> AsyncIterator[wire.SyncResponse]:
        if self.refusal is not None:
            await context.abort(*self.refusal)
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        first = await anext(aiter(requests))
        stream = Stream(first.hello, metadata)
        self.streams.append(stream)
        if self.welcome is not None:
            stream.say(wire.SyncResponse(welcome=self.welcome))
        reading = asyncio.create_task(self._read(requests, stream))
        try:
            while (message := await stream.outbox.get()) is not None:
                yield message
        finally:
            reading.cancel()

    async def _read(self, requests: Any, stream: Stream) -> None:
        async for request in requests:
            if request.HasField("report"):
                stream.reports.append(request.report)
                if not self.mute:
                    stream.say(wire.SyncResponse(desired=self.desired(request.report)))
            elif request.HasField("log_chunk"):
                stream.chunks.append(request.log_chunk)
        stream.outbox.put_nowait(None)

    # --- what was heard ------------------------------------------------------------------------------------------

    def story(self, lease_id: str) -> list[wire.LeaseReport]:
        """Return every report of the lease over all streams, repetitions left out."""
        told: list[wire.LeaseReport] = []
        for stream in self.streams:
            for report in stream.reports:
                told += [lease for lease in report.leases if lease.lease_id == lease_id and lease not in told[-1:]]
        return told

    def is_in(self, lease_id: str, phase: int) -> Callable[[], bool]:
        """Return a question: is this the last that was heard of the lease?"""
        return lambda: [lease.phase for lease in self.story(lease_id)[-1:]] == [phase]


@asynccontextmanager
async def serving(broker: ScriptedBroker, port: int = 0, credentials: Any = None) -> AsyncIterator[ScriptedBroker]:
    """A server for it on a loopback port, gone at the end with all its streams."""
    server = grpc.aio.server()
    wire_grpc.add_ClusterServiceServicer_to_server(broker, server)  # type: ignore[no-untyped-call]
    address = f"127.0.0.1:{port}"
    bound = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    broker.port = bound
    await server.start()
    try:
        yield broker
    finally:
        await server.stop(None)
