"""The console's web server: routes, guards, start and stop."""

import mimetypes
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from broker.clock import Clock
from broker.console import guards
from broker.console.desk import Desk, UseCases
from broker.console.guards import DESK
from broker.console.logins import Logins
from broker.console.pages import (
    closing,
    clusters,
    grants,
    jobs,
    login,
    overview,
    pauses,
    prices,
    queue,
    rounds,
    vouchers,
)
from broker.console.render import SECRET

STATIC: Final = Path(__file__).parent / "static"
STOP_SECONDS: Final = 2.0
FILES: Final = web.AppKey("files", Mapping[str, tuple[bytes, str]])


def application(ask: UseCases, clock: Clock, *, secret: bytes) -> web.Application:
    """Return the console as an application.

    Args:
        ask: the use cases.
        clock: the edge's clock.
        secret: signs sessions; the same in all brokers of a database.
    """
    app = web.Application(
        middlewares=[
            guards.with_headers,
            guards.errors_as_pages,
            guards.known_people_only,
            guards.our_forms_only,
        ],
        client_max_size=guards.FORM_BYTES_MAX,
    )
    app[DESK] = Desk(ask, clock)
    app[SECRET] = secret
    app[login.LOGINS] = Logins()
    app[FILES] = _static_files()
    app.router.add_get("/static/{name}", _static)
    for pages in (login, overview, clusters, closing, pauses, queue, jobs, rounds, prices, vouchers, grants):
        app.router.add_routes(pages.ROUTES)
    return app


class ConsoleServer:
    """The console on a port."""

    def __init__(self, app: web.Application, *, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        self._host = host
        self._port = port
        self._tls = tls

    async def start(self) -> int:
        """Serve from now on. Return the port, also when any free one was asked for. Raise OSError: it is not free."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host or None, self._port, ssl_context=self._tls, reuse_port=False)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        server = site._server
        sockets: list[socket.socket] = list(getattr(server, "sockets", []))
        return int(sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no new requests, and end those that run."""
        await self._runner.cleanup()


def _static_files() -> Mapping[str, tuple[bytes, str]]:
    """Return the console's own files with their kinds, by name: read once, so that nothing else can be asked for."""
    return {
        path.name: (path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")
        for path in sorted(STATIC.iterdir())
    }


async def _static(request: web.Request) -> web.StreamResponse:
    """Return a file of the console itself."""
    found = request.app[FILES].get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    body, kind = found
    return web.Response(body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": "max-age=60"})
