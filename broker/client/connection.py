"""One channel to the broker: TLS, the key, deadlines, retries and typed errors, the same for every call."""

import asyncio
import random
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
from google.protobuf.message import Message

from broker.client.errors import BadSettings, XisuanError, from_call
from broker.client.retry import Patience, RetryPolicy
from broker.client.settings import ClientSettings

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)

_PACKAGE: Final = "broker.wire.v1"
_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # a page of gangs on thousands of nodes
    ("grpc.initial_reconnect_backoff_ms", 100),  # a broker that restarts is back within a second or two
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 60_000),  # a watcher notices a dead link although nothing happens
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_retries", 0),  # we retry ourselves: only we know what may be repeated
    ("grpc.primary_user_agent", "xisuan-client"),
)
_OWN: Final = (("grpc.use_local_subchannel_pool", 1),)
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)
"""In the clear never through the proxy that $http_proxy names: it is on another machine, and the key would reach it."""


class Connection:
    """Base of the clients; use it as an async context manager, or call `close`.

    Args:
        settings: where to call and with which key.
        retry: how patient to be when the broker is away or says "slow down".
        call_seconds_max: deadline of one unary call, retries not counted; streams have none.
        seed: of the jitter between retries; None takes luck as it comes.
        own_connection: take a TCP connection of its own. Clients of one program to one broker share one otherwise.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        retry: RetryPolicy | None = None,
        call_seconds_max: float = 30.0,
        seed: int | None = None,
        own_connection: bool = False,
    ) -> None:
        self.settings = settings
        self._options = _OPTIONS + _OWN if own_connection else _OPTIONS
        self._retry = retry or RetryPolicy()
        self._call_seconds_max = call_seconds_max
        self._luck = random.Random(seed)  # noqa: S311  # jitter, not a secret
        self._metadata: Final = (("authorization", f"Bearer {settings.api_key}"),)
        self._open_channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self.channel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls that still run are cancelled."""
        if self._open_channel is not None:
            channel, self._open_channel = self._open_channel, None
            await channel.close()

    def channel(self) -> grpc.aio.Channel:
        """Return the channel, opened on first use (it belongs to the running loop)."""
        if self._open_channel is None:
            if self.settings.plaintext:
                self._open_channel = grpc.aio.insecure_channel(
                    self.settings.endpoint, options=self._options + _NO_PROXY
                )
            else:
                trust = grpc.ssl_channel_credentials(_certificates(self.settings.tls_ca))
                self._open_channel = grpc.aio.secure_channel(self.settings.endpoint, trust, options=self._options)
        return self._open_channel

    async def unary(self, method: str, request: Message, answer: type[Answer], *, repeatable: bool = True) -> Answer:
        """Call "Service/Method" and return its answer.

        Args:
            repeatable: doing it twice is the same as doing it once, so it may be tried again after UNAVAILABLE.
        Raises: XisuanError: the kind says what to do.
        """
        call = self.channel().unary_unary(
            path(method), request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        patience = self.patience()
        while True:
            try:
                return await call(request, timeout=self._call_seconds_max, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                await self.pause_or_raise(from_call(error), patience, repeatable=repeatable)

    def server_stream(
        self, method: str, request: Message, answer: type[Answer]
    ) -> grpc.aio.UnaryStreamCall[Message, Answer]:
        """Open a stream of answers to one request; the caller resumes it when it breaks."""
        call = self.channel().unary_stream(
            path(method), request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        return call(request, metadata=self._metadata)

    def both_streams(
        self, method: str, request: type[Request], answer: type[Answer]
    ) -> grpc.aio.StreamStreamCall[Request, Answer]:
        """Open a stream of requests and answers; the caller resumes it when it breaks."""
        call: grpc.aio.StreamStreamMultiCallable[Request, Answer] = self.channel().stream_stream(
            path(method), request_serializer=request.SerializeToString, response_deserializer=answer.FromString
        )
        return call(metadata=self._metadata)

    def patience(self) -> Patience:
        """Return fresh patience for one call or stream."""
        return Patience(self._retry, self._luck)

    async def pause_or_raise(self, error: XisuanError, patience: Patience, *, repeatable: bool = True) -> None:
        """Wait as long as `patience` says before the next try. Raise `error` when it has run out."""
        now_seconds = asyncio.get_running_loop().time()
        delay = patience.delay_seconds(error, repeatable=repeatable, now_seconds=now_seconds)
        if delay is None:
            raise error from None
        await asyncio.sleep(delay)


def path(method: str) -> str:
    """Return the full name of "Service/Method"."""
    return f"/{_PACKAGE}.{method}"


def _certificates(tls_ca: Path | None) -> bytes | None:
    if tls_ca is None:
        return None
    try:
        return tls_ca.read_bytes()
    except OSError as error:
        raise BadSettings(f"cannot read the certificates to trust (tls_ca): {error}") from error


class KeyedConnection(Connection):
    """Base of the clients whose key says all about who calls; arguments as for `Client`."""

    def __init__(
        self,
        endpoint: str,
        api_key: str,
        tls_ca: str | Path | None = None,
        *,
        retry: RetryPolicy | None = None,
        call_seconds_max: float = 60.0,
        seed: int | None = None,
        own_connection: bool = False,
    ) -> None:
        settings = ClientSettings(endpoint, api_key, Path(tls_ca) if tls_ca else None)
        super().__init__(
            settings, retry=retry, call_seconds_max=call_seconds_max, seed=seed, own_connection=own_connection
        )
