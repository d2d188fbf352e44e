"""Pauses of queues and clusters: what is paused, what pausing one would do, and, confirmed, the act itself."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from broker.console import fields
from broker.console.desk import Desk
from broker.console.guards import DESK
from broker.console.render import CALLER, page
from broker.market.pauses import Paused
from broker.market.previews import CloseNodes, PauseCity

SHOWN: Final = 50
_WHAT: Final[Mapping[str, Paused]] = {each.value: each for each in Paused}


async def show(request: web.Request) -> web.StreamResponse:
    """Show what is paused, and what the pause of a queue or cluster would do to what runs and to the next round."""
    desk = request.app[DESK]
    what, name = _asked(request.query.get("city", ""), request.query.get("cluster", ""))
    stands = await desk.pause_of(what, name) if name else None
    preview = None
    if name and stands is None:
        change = PauseCity(name) if what is Paused.QUEUE else CloseNodes(name)
        preview = await desk.ask.previews.preview(change, now=desk.now)
    return page(
        request,
        "pause.html",
        what=what,
        name_of=name,
        stands=stands,
        preview=preview,
        shown=SHOWN,
        waiting=await _waiting(request, name) if name and what is Paused.QUEUE else None,
        change=None if preview is None else preview.change_micro_yuan_per_hour,
        pauses=await desk.pauses(),
        titles=await desk.titles(),
    )


async def pause(request: web.Request) -> web.StreamResponse:
    """Do it, after the preview was seen. Raise InvalidRequest, CityNotFound, ClusterNotFound."""
    desk, form = request.app[DESK], await request.post()
    what, name = _named(fields.text_of(form, "what"), fields.text_of(form, "name"))
    why = fields.said("reason", fields.text_of(form, "reason"))
    await desk.ask.pauses.pause(request[CALLER], what, name, why, now=desk.now)
    return _back(desk)


async def resume(request: web.Request) -> web.StreamResponse:
    """Let it go on. Raise InvalidRequest, CityNotFound, ClusterNotFound."""
    desk, form = request.app[DESK], await request.post()
    what, name = _named(fields.text_of(form, "what"), fields.text_of(form, "name"))
    await desk.ask.pauses.resume(request[CALLER], what, name, now=desk.now)
    return _back(desk)


async def _waiting(request: web.Request, city: str) -> int:
    """Return how many jobs of a city wait."""
    return sum(each.jobs for each in await request.app[DESK].ask.standing.waiting(request[CALLER], city))


def _asked(city: str, cluster: str) -> tuple[Paused, str]:
    """Return what an address asks about; no name for nothing. Raise InvalidRequest."""
    if cluster:
        return Paused.CLUSTER, fields.slug("cluster", cluster)
    return Paused.QUEUE, fields.slug_or_empty("city", city)


def _named(what: str, name: str) -> tuple[Paused, str]:
    return _WHAT[fields.one_of("what", what, _WHAT)], fields.slug("name", name)


def _back(desk: Desk) -> web.StreamResponse:
    desk.pauses.forget()
    desk.overview.forget()
    desk.maps.forget()
    return web.Response(status=303, headers={"Location": "/pause"})


ROUTES: Final = (web.get("/pause", show), web.post("/pause", pause), web.post("/resume", resume))
