"""The way in and out: an API key once, then a signed cookie."""

import math
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from broker.caller import Role
from broker.console import sessions
from broker.console.guards import COOKIE, DESK
from broker.console.logins import Logins
from broker.console.render import SECRET, SESSION, page
from broker.errors import KeyRefused

LOGINS: Final = web.AppKey("logins", Logins)
KEY_CHARACTERS_MAX: Final = 200

NOT_FOR: Final[Mapping[Role, str]] = {Role.AGENT: "login.agent", Role.ENTERPRISE: "login.enterprise"}
"""Roles that have no page here, and what they are told. Pages add up whole cities, which an enterprise may not see."""


async def show(request: web.Request) -> web.StreamResponse:
    """Show where to put the key."""
    return page(request, "login.html", problem="", next=_safe(request.query.get("next", "/")))


async def log_in(request: web.Request) -> web.StreamResponse:
    """Begin a session for a key that is good; too many tries have to wait."""
    desk = request.app[DESK]
    form = await request.post()
    wanted, key = _safe(str(form.get("next", "/"))), str(form.get("api_key", "")).strip()
    wait = request.app[LOGINS].wait_seconds(request.remote or "", desk.now.timestamp())
    if wait > 0:
        refused = page(request, "login.html", status=429, problem="login.too_often", next=wanted)
        refused.headers["Retry-After"] = str(math.ceil(wait))
        return refused
    try:
        caller = await desk.ask.identity.caller(key[:KEY_CHARACTERS_MAX], desk.now)
    except KeyRefused:
        return page(request, "login.html", status=401, problem="login.refused", next=wanted)
    if caller.role in NOT_FOR:
        return page(request, "login.html", status=403, problem=NOT_FOR[caller.role], next=wanted)
    answer = web.Response(status=303, headers={"Location": wanted})
    answer.set_cookie(
        COOKIE,
        sessions.to_cookie(sessions.begin(caller.key_id, desk.now), request.app[SECRET]),
        max_age=int(sessions.LASTS.total_seconds()),
        path="/",
        httponly=True,
        secure=request.secure,
        samesite="Strict",
    )
    return answer


async def log_out(request: web.Request) -> web.StreamResponse:
    """End the session of this browser."""
    request.pop(SESSION, None)
    answer = web.Response(status=303, headers={"Location": "/login"})
    answer.del_cookie(COOKIE, path="/")
    return answer


def _safe(place: str) -> str:
    """Return a place of ours to go to, never one of another site."""
    plain = place.isascii() and place.isprintable() and "\\" not in place
    return place if plain and place.startswith("/") and not place.startswith("//") else "/"


ROUTES: Final = (
    web.get("/login", show, name="login"),
    web.post("/login", log_in),
    web.post("/logout", log_out),
)
