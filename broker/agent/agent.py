"""The agent: hold a stream to the broker as long as it is wanted, and keep jobs running while there is none."""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from structlog.typing import FilteringBoundLogger

from broker.agent.convert import BadMessage
from broker.agent.engines.protocol import Engine
from broker.agent.metering import Meter
from broker.agent.policy import PolicyGate
from broker.agent.probe_command import ProbeCommands
from broker.agent.session import BrokerSilent, Session, UntrustedBroker
from broker.clock import Clock
from broker.wire.v1 import cluster_service_pb2_grpc as wire_grpc

BACKOFF_SECONDS_FIRST: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 4.0
"""Well within the time after which a broker suspects an agent: waiting must not make an outage longer than it was."""

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # thousands of orders in one message
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_retries", 0),
)
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)
"""In the clear never through the proxy that $http_proxy names: it is on another machine, and the key would reach it."""


@dataclass(frozen=True, slots=True)
class Link:
    """How to reach the broker, and as whom.

    Attributes:
        endpoint: HOST:PORT.
        cluster: the cluster that the key is for.
        key: the API key; never logged.
        tls_ca: certificates to check the broker's against; None: in the clear, on this machine only.
    """

    endpoint: str
    cluster: str
    key: str
    tls_ca: Path | None = None


class Agent:
    """Speaks for one cluster until it is told to stop. Stopping the agent stops no job."""

    def __init__(
        self,
        link: Link,
        engine: Engine,
        *,
        clock: Clock,
        luck: random.Random,
        version: str,
        log: FilteringBoundLogger,
        gate: PolicyGate | None = None,
        probes: ProbeCommands | None = None,
    ) -> None:
        """`gate`: checks the placement policy of every lease; without one they are not checked.

        `probes`: what probes run here; None: what they are called.
        """
        self._gate = gate
        self._meter = Meter()
        self._probes = probes
        self._link = link
        self._engine = engine
        self._clock = clock
        self._luck = luck
        self._version = version
        self._log = log

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raise EngineError when the engine cannot be opened."""
        await self._engine.open()
        if self._gate is None:
            self._log.warning("placement policies are not checked: the configuration names no policy_keys")
        try:
            for capability in self._engine.capabilities():
                self._log.info(
                    "engine can" if capability.ok else "engine cannot", name=capability.name, why=capability.why
                )
            working = asyncio.create_task(self._work())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await working
        finally:
            await self._engine.close()
            self._log.info("agent stopped; jobs run on")

    async def _work(self) -> None:
        failures = 0
        while True:
            welcomed = await self._hold_session()
            failures = 0 if welcomed else failures + 1
            await asyncio.sleep(backoff_seconds(failures, self._luck))

    async def _hold_session(self) -> bool:
        """Hold one stream until it breaks. Return whether the broker had welcomed us."""
        async with self._channel() as channel:
            session = Session(
                self._engine,
                cluster=self._link.cluster,
                instance=self._engine.memory_id(),
                version=self._version,
                clock=self._clock,
                log=self._log,
                gate=self._gate,
                meter=self._meter,
                probes=self._probes,
            )
            stub = wire_grpc.ClusterServiceStub(channel)  # type: ignore[no-untyped-call]
            call = stub.Sync(metadata=(("authorization", f"Bearer {self._link.key}"),))
            try:
                await session.hold(call)
            except grpc.aio.AioRpcError as error:
                self._log.warning("the broker ended the stream", status=error.code().name, detail=error.details())
            except UntrustedBroker as error:
                self._log.error("the broker is not trusted, and the stream given up", why=str(error))
            except (BrokerSilent, BadMessage) as error:
                self._log.warning("the stream is given up", why=str(error))
            except OSError as error:  # we cannot even look: the broker must not take our word, and jobs run on
                self._log.error("the stream is given up, as the engine cannot be asked", why=str(error))
            finally:
                call.cancel()
            return session.welcomed

    def _channel(self) -> grpc.aio.Channel:
        if self._link.tls_ca is None:
            return grpc.aio.insecure_channel(self._link.endpoint, options=_CHANNEL_OPTIONS + _NO_PROXY)
        credentials = grpc.ssl_channel_credentials(self._link.tls_ca.read_bytes())
        return grpc.aio.secure_channel(self._link.endpoint, credentials, options=_CHANNEL_OPTIONS)


def backoff_seconds(failures: int, luck: random.Random) -> float:
    """Return how long to wait before the next attempt: doubling, and spread so that agents do not come all at once."""
    most: float = min(BACKOFF_SECONDS_FIRST * 2.0 ** min(failures, 20), BACKOFF_SECONDS_MAX)
    return luck.uniform(most / 2, most)
