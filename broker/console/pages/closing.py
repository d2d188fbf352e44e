"""Cordon, drain and open nodes, and pausing a city: first what it would do, then, confirmed, the act itself."""

from typing import Final

from aiohttp import web

from broker.console import fields
from broker.console.guards import DESK
from broker.console.render import CALLER, page
from broker.market.previews import CloseNodes, PauseCity, Preview

ACTS: Final = {"drain": "drain", "cordon": "cordon"}
SHOWN: Final = 50


async def ask(request: web.Request) -> web.StreamResponse:
    """Show what closing nodes would do to what runs and to the next round."""
    desk = request.app[DESK]
    cluster = fields.slug("cluster", request.match_info["cluster"])
    act = fields.one_of("act", request.query.get("act", ""), ACTS)
    nodes = fields.node_names(request.query.get("nodes", ""))
    preview = await desk.ask.previews.preview(CloseNodes(cluster, nodes), now=desk.now)
    return page(
        request,
        "close.html",
        cluster=cluster,
        act=act,
        nodes=nodes,
        reason=request.query.get("reason", "")[: fields.REASON_CHARACTERS_MAX],
        preview=preview,
        shown=SHOWN,
        change=_change(preview),
    )


async def close(request: web.Request) -> web.StreamResponse:
    """Do it, after the preview was seen. Raise InvalidRequest, ClusterNotFound, NodeNotFound."""
    desk, caller = request.app[DESK], request[CALLER]
    cluster = fields.slug("cluster", request.match_info["cluster"])
    form = await request.post()
    act = fields.one_of("act", fields.text_of(form, "act"), ACTS)
    nodes = fields.node_names(fields.text_of(form, "nodes"))
    why = fields.said("reason", fields.text_of(form, "reason"))
    if act == "drain":
        await desk.ask.operations.drain(caller, cluster, nodes, why, now=desk.now)
    else:
        await desk.ask.operations.cordon(caller, cluster, nodes, why, now=desk.now)
    return _back(request, cluster)


async def reopen(request: web.Request) -> web.StreamResponse:
    """Give work to nodes again. Raise InvalidRequest, ClusterNotFound, NodeNotFound."""
    desk, caller = request.app[DESK], request[CALLER]
    cluster = fields.slug("cluster", request.match_info["cluster"])
    nodes = fields.node_names(fields.text_of(await request.post(), "nodes"))
    await desk.ask.operations.uncordon(caller, cluster, nodes, now=desk.now)
    return _back(request, cluster)


async def pause(request: web.Request) -> web.StreamResponse:
    """Show what a round without the jobs of a city would do."""
    desk = request.app[DESK]
    city = fields.slug_or_empty("city", request.query.get("city", ""))
    preview = await desk.ask.previews.preview(PauseCity(city), now=desk.now) if city else None
    return page(
        request,
        "pause.html",
        city=city,
        preview=preview,
        shown=SHOWN,
        change=None if preview is None else _change(preview),
        titles=await desk.titles(),
    )


def _back(request: web.Request, cluster: str) -> web.StreamResponse:
    request.app[DESK].overview.forget()
    return web.Response(status=303, headers={"Location": f"/clusters/{cluster}"})


def _change(preview: Preview) -> int:
    """Return by how much the next round would be worth more, micro-yuan per hour."""
    outlook = preview.outlook
    return outlook.worth_after_micro_yuan_per_hour - outlook.worth_before_micro_yuan_per_hour


ROUTES: Final = (
    web.get("/clusters/{cluster}/close", ask),
    web.post("/clusters/{cluster}/close", close),
    web.post("/clusters/{cluster}/open", reopen),
    web.get("/pause", pause),
)
