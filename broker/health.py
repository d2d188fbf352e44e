"""What a machine asks a broker over HTTP: /metrics for Prometheus, /livez and /readyz for whoever starts and balances.

A broker is *live* while its event loop answers; one whose loop hangs is of no use to anybody and should be started
again. It is *ready* from the moment when it takes calls until it is told to stop, so that no new call is sent to one
that is about to end. The database does not count: it is the same one for all brokers, and a broker without it still
answers each call with UNAVAILABLE and a time to come again, which is better than a refused connection.
"""

import asyncio
import gzip
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as TookTooLong
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

_log = structlog.get_logger("health")

LIVE_SECONDS_MAX: Final = 5.0
"""How long the event loop may take to answer; longer than any of its steps."""

Respond = Callable[[str, list[tuple[str, str]]], Any]
App = Callable[[dict[str, Any], Respond], Iterable[bytes]]


class Health:
    """What the probes tell; `ready` is set by whoever serves. To be made inside the event loop."""

    def __init__(self) -> None:
        self.ready = False
        self.serves: Callable[[], bool] = lambda: True  # whether somebody takes its calls, where others do so for it
        self._loop = asyncio.get_running_loop()

    def problem(self, path: str) -> str:
        """Return what is wrong, empty when all is well. Called from other threads."""
        if path == "/readyz" and not (self.ready and self.serves()):
            return "it takes no calls: it starts, or is about to end"
        answer = asyncio.run_coroutine_threadsafe(_nothing(), self._loop)
        try:
            answer.result(LIVE_SECONDS_MAX)
        except TookTooLong:
            answer.cancel()
            return f"its event loop has not answered for {LIVE_SECONDS_MAX:.0f} s"
        return ""


def serve(host: str, port: int, exposition: Callable[[], bytes], health: Health) -> int:
    """Answer on the address from threads of their own for as long as the process lives; return the port.

    Args:
        host, port: where; port 0 takes any free one.
        exposition: returns all metrics as Prometheus reads them; called in other threads.
        health: what the probes tell.
    Raises: OSError: the address cannot be bound.
    """
    family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    kind = type("_ServerOfFamily", (_Server,), {"address_family": family})
    server: WSGIServer = make_server(
        str(address[0]), port, _app(exposition, health), server_class=kind, handler_class=_Quiet
    )
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server.server_port


def _app(exposition: Callable[[], bytes], health: Health) -> App:
    def app(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in ("/livez", "/readyz"):
            problem = health.problem(path)
            status = "503 Service Unavailable" if problem else "200 OK"
            return _answer(respond, status, f"{problem or 'ok'}\n".encode(), "text/plain; charset=utf-8")
        body, packed = exposition(), "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
        return _answer(respond, "200 OK", gzip.compress(body, 1) if packed else body, CONTENT_TYPE_LATEST, packed)

    return app


def _answer(respond: Respond, status: str, body: bytes, kind: str, packed: bool = False) -> list[bytes]:
    encoding = [("Content-Encoding", "gzip")] if packed else []
    respond(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *encoding])
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  as the library calls it
        """Say what went wrong; who asked and did not wait for the answer is no error."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            _log.error("not_answered", error=repr(error))

    def server_bind(self) -> None:
        """Bind, without asking a name service for our name as the base class does."""
        TCPServer.server_bind(self)  # with SO_REUSEADDR, so that the next broker need not wait for old connections
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    timeout = 10  # who connects and says nothing does not keep a thread

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Say nothing: a line for each scrape and probe would bury the log."""


async def _nothing() -> None:
    return None
