"""/metrics over HTTP, in a thread of its own: made for Prometheus, and for nobody else's requests."""

import gzip
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from broker.metrics.registry import OF_PROCESS
from broker.metrics.state import STATE

log = structlog.get_logger("metrics")

REQUEST_SECONDS_MAX: Final = 10.0


def exposition() -> bytes:
    """Return all metrics as Prometheus reads them."""
    return generate_latest(OF_PROCESS) + STATE.text


class _Answer(BaseHTTPRequestHandler):
    """Answers GET, whatever the path, as clients of Prometheus have always done."""

    timeout = REQUEST_SECONDS_MAX
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send all metrics."""
        body = exposition()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the standard library
        """Say nothing: scrapes are no events."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  as the library calls it
        """Say what went wrong; who asked and did not wait for the answer is no error."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("metrics_not_sent", error=repr(error))


class _Server6(_Server):
    address_family = socket.AF_INET6


def serve(host: str, port: int) -> _Server:
    """Serve from now on, for as long as the process lives. Raise OSError where the address cannot be bound."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    server = (_Server6 if family == socket.AF_INET6 else _Server)((str(address[0]), port), _Answer)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
