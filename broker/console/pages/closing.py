"""Cordon, drain and open nodes: first what it would do, then, confirmed, the act itself."""

from typing import Final

from aiohttp import web

from broker.console import fields
from broker.console.guards import DESK
from broker.console.render import CALLER, page
from broker.market.previews import CloseNodes

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
        change=preview.change_micro_yuan_per_hour,
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


def _back(request: web.Request, cluster: str) -> web.StreamResponse:
    request.app[DESK].overview.forget()
    return web.Response(status=303, headers={"Location": f"/clusters/{cluster}"})


ROUTES: Final = (
    web.get("/clusters/{cluster}/close", ask),
    web.post("/clusters/{cluster}/close", close),
    web.post("/clusters/{cluster}/open", reopen),
)
