"""What stands before every page: headers, errors as pages, who is there, what they may do, forms of ours only."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from broker.console import access, sessions
from broker.console.desk import Desk
from broker.console.render import CALLER, LIVE_HEADER, SECRET, SESSION, page
from broker.errors import BrokerError, KeyRefused, RoleRefused

DESK: Final = web.AppKey("desk", Desk)
COOKIE: Final = "xisuan_session"
FORM_TOKEN: Final = "form_token"  # noqa: S105  a field's name
FORM_BYTES_MAX: Final = 256 * 1024

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

STATUS: Final = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "OUT_OF_RANGE": HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "ALREADY_EXISTS": HTTPStatus.CONFLICT,
    "ABORTED": HTTPStatus.CONFLICT,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


@web.middleware
async def with_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let no other site use, frame or read a page, and no page run anything that is not ours."""
    response = await handler(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


@web.middleware
async def errors_as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with a page that says the way out."""
    try:
        return await handler(request)
    except KeyRefused:
        return _to_login(request)
    except BrokerError as error:
        status = STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        return page(request, "error.html", status=status, code=status, reason=error.reason, told=str(error))
    except web.HTTPException as error:
        return page(request, "error.html", status=error.status, code=error.status, reason=error.reason, told="")
    except asyncio.CancelledError:
        raise
    except Exception:
        _log.exception("a page of the console failed", path=request.path)
        return page(request, "error.html", status=500, code=500, reason="INTERNAL", told="")


@web.middleware
async def known_people_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who is there, and what they may see and do. Raise KeyRefused, RoleRefused, DatabaseUnavailable."""
    resource = request.match_info.route.resource
    what = f"{'GET' if request.method == 'HEAD' else request.method} {'' if resource is None else resource.canonical}"
    if resource is None:
        raise web.HTTPNotFound
    desk, secret = request.app[DESK], request.app[SECRET]
    session = sessions.from_cookie(request.cookies.get(COOKIE, ""), secret, desk.now)
    if session is not None:
        request[SESSION] = session
    if what in access.OPEN:
        return await handler(request)
    if session is None:
        raise KeyRefused
    caller = await desk.ask.identity.caller_of_key(session.key_id, desk.now)
    request[CALLER] = caller
    if not access.may(caller.role, what):
        raise RoleRefused(role=caller.role, needed=f"{what} is not for it in the console")
    return await handler(request)


@web.middleware
async def our_forms_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site made the browser send."""
    if request.method not in ("GET", "HEAD"):
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(reason="The form is of another site")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise web.HTTPForbidden(reason="The form is of another site")
        session = request.get(SESSION)
        if request.path != "/login":
            token = (await request.post()).get(FORM_TOKEN, "")
            if session is None or not isinstance(token, str):
                raise web.HTTPForbidden(reason="The form is of no session")
            if not sessions.form_token_fits(token, session, request.app[SECRET]):
                raise web.HTTPForbidden(reason="The form is of another session, load the page again")
    return await handler(request)


def _to_login(request: web.Request) -> web.StreamResponse:
    if LIVE_HEADER in request.headers or request.method != "GET":
        return web.Response(status=HTTPStatus.UNAUTHORIZED, text="log in again")
    query = {} if request.path == "/" else {"next": str(request.rel_url)}
    place = request.app.router["login"].url_for().with_query(query)
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": str(place)})
