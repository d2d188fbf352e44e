"""Pages from templates: whole ones, and for a page that is open only what lies within its frame.

A page that is open asks for itself again with the header X-Live. It gets that alone, or 304 when nothing in it has
changed.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from broker.caller import Caller
from broker.console import access, formats, sessions, words

LIVE_HEADER: Final = "X-Live"
LANGUAGE_COOKIE: Final = "xisuan_language"

CALLER: Final = web.RequestKey("caller", Caller)
SESSION: Final = web.RequestKey("session", sessions.Session)
SECRET: Final = web.AppKey("secret", bytes)

NAVIGATION: Final = (
    ("/", "overview", "o"),
    ("/clusters", "clusters", "c"),
    ("/queue", "queue", "q"),
    ("/jobs", "jobs", "j"),
    ("/rounds", "rounds", "r"),
    ("/prices", "prices", "p"),
    ("/vouchers", "vouchers", "v"),
    ("/pause", "pause", "w"),
)


def environment() -> Environment:
    """Return the templates with what they may call. Everything that is put in is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("integer", "decimal", "yuan", "ppm", "clock", "day", "epoch", "moment", "span", "racks"):
        made.filters[name] = getattr(formats, name)
    made.globals.update(percent=formats.percent, heat=formats.heat)
    return made


_TEMPLATES: Final = environment()


def language_of(request: web.Request) -> str:
    """Return the language that was chosen, or else the one that the browser prefers."""
    chosen = request.query.get("language") or request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in words.LANGUAGES else words.preferred(request.headers.get("Accept-Language", ""))


def page(request: web.Request, template: str, *, status: int = 200, **data: Any) -> web.Response:
    """Return a page, or the part of it that changes when that is what was asked for."""
    language = language_of(request)
    live = LIVE_HEADER in request.headers
    values = {**_standing(request, language), **data, "layout": "fragment.html" if live else "base.html"}
    text = _TEMPLATES.get_template(template).render(values)
    if not live:
        return _cookie(request, web.Response(text=text, content_type="text/html", status=status))
    tag = hashlib.sha256(text.encode()).hexdigest()[:32]
    if status == 200 and request.headers.get("If-None-Match") == f'"{tag}"':
        return web.Response(status=304, headers={"ETag": f'"{tag}"'})
    return web.Response(text=text, content_type="text/html", status=status, headers={"ETag": f'"{tag}"'})


def _standing(request: web.Request, language: str) -> Mapping[str, Any]:
    """Return what every page knows."""
    caller, session = request.get(CALLER), request.get(SESSION)
    route = request.match_info.route.resource
    return {
        "caller": caller,
        "language": language,
        "languages": words.LANGUAGES,
        "t": partial(words.say, language),
        "name": partial(words.say_name, language),
        "names": lambda group, values: ", ".join(words.say_name(language, group, str(each)) for each in values),
        "title": lambda text: formats.title(text, language),
        "path": request.path,
        "here": "" if route is None else route.canonical,
        "with_language": lambda other: str(request.rel_url.update_query(language=other)),
        "navigation": [each for each in NAVIGATION if caller is not None and access.may(caller.role, f"GET {each[0]}")],
        "may": lambda what: caller is not None and access.may(caller.role, what),
        "form_token": "" if session is None else sessions.form_token(session, request.app[SECRET]),
    }


def _cookie(request: web.Request, response: web.Response) -> web.Response:
    chosen = request.query.get("language", "")
    if chosen in words.LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE, chosen, max_age=31_536_000, httponly=True, samesite="Lax", secure=request.secure
        )
    return response
