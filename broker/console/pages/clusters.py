"""Clusters, down to node and card. An owner sees its own only."""

from typing import Any, Final

from aiohttp import web

from broker.caller import Role
from broker.console import fields
from broker.console.cards import Sent, card_maps, nothing, sent, together
from broker.console.guards import DESK
from broker.console.pages.overview import use_of
from broker.console.render import CALLER, page
from broker.errors import ClusterNotFound, NodeNotFound
from broker.lifecycle import NodeMode
from broker.market.pauses import Paused

NODES_SHOWN: Final = 100
NODES_MAX: Final = 200_000


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show all clusters."""
    desk = request.app[DESK]
    desk.maps.begin()  # the map of cards is asked for as soon as the page is there
    clusters = await _visible(request)
    return page(
        request,
        "clusters.html",
        clusters=[(cluster, use_of(cluster.pools)) for cluster in clusters],
        use=use_of(pool for cluster in clusters for pool in cluster.pools),
        paused=await desk.paused(Paused.CLUSTER),
        titles=await desk.titles(),
        now=desk.now,
    )


async def show_one(request: web.Request) -> web.StreamResponse:
    """Show a cluster with its pools, and a page of its nodes."""
    desk = request.app[DESK]
    cluster = await _cluster(request)
    after = request.query.get("after", "")[:253]
    nodes = await desk.ask.operations.node_page(cluster.cluster, after, NODES_SHOWN)
    return page(
        request,
        "cluster.html",
        cluster=cluster,
        use=use_of(cluster.pools),
        pools=[(pool, use_of([pool])) for pool in cluster.pools],
        nodes=nodes,
        after=after,
        pause=await desk.pause_of(Paused.CLUSTER, cluster.cluster),
        more=nodes[-1].node if len(nodes) == NODES_SHOWN else "",
        titles=await desk.titles(),
        now=desk.now,
        closed=NodeMode.OPEN,
    )


async def cards(request: web.Request) -> web.StreamResponse:
    """Return what every card of a cluster is, a character for each: what the map of cards is painted from."""
    desk, cluster = request.app[DESK], await _cluster(request)
    found = card_maps(await desk.ask.standing.cards(desk.now, cluster.cluster)).by_cluster
    return _json(request, sent(found.get(cluster.cluster) or nothing(cluster.cluster)))


async def all_cards(request: web.Request) -> web.StreamResponse:
    """Return the same for all clusters that the caller may see, from a reading that all who look share."""
    maps = await request.app[DESK].maps()
    if request[CALLER].role is not Role.OWNER:
        return _json(request, maps.all)
    mine = {cluster.cluster for cluster in await _visible(request)}
    return _json(request, sent(together(text for name, text in maps.by_cluster.items() if name in mine)))


def _json(request: web.Request, what: Sent) -> web.StreamResponse:
    tag = f'"{what.tag}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    headers = {"Content-Encoding": "gzip", "ETag": tag}
    return web.Response(body=what.body, content_type="application/json", charset="utf-8", headers=headers)


async def show_node(request: web.Request) -> web.StreamResponse:
    """Show a node with what runs on each card."""
    desk = request.app[DESK]
    cluster = await _cluster(request)
    name = request.match_info["node"][:253]
    # Pages begin after a name: the shortest text before this one in the order of names would do, too.
    nodes = [each for each in await desk.ask.operations.node_page(cluster.cluster, "", NODES_MAX) if each.node == name]
    if not nodes:
        raise NodeNotFound(cluster=cluster.cluster, node=name)
    leases = await desk.ask.standing.leases_on(cluster.cluster, name)
    if request[CALLER].role is Role.OWNER:
        leases = []  # whose work it is is not the owner's business
    on_card: dict[int, list[Any]] = {}
    for lease in leases:
        for held in lease.placement.nodes:
            if held.node == name:
                for card in sorted(set(held.cards)):
                    on_card.setdefault(card, []).append(lease)
    return page(
        request, "node.html", cluster=cluster, node=nodes[0], leases=leases, on_card=on_card, titles=await desk.titles()
    )


async def _visible(request: web.Request) -> list[Any]:
    """Return the clusters that the caller may see."""
    caller = request[CALLER]
    clusters = (await request.app[DESK].overview()).clusters
    return [c for c in clusters if caller.role is not Role.OWNER or c.owner == caller.subject]


async def _cluster(request: web.Request) -> Any:
    """Return the cluster that the address names. Raise ClusterNotFound, also for another owner's."""
    name = request.match_info["cluster"]
    fields.slug("cluster", name)
    found = [cluster for cluster in await _visible(request) if cluster.cluster == name]
    if not found:
        raise ClusterNotFound(cluster=name)
    return found[0]


ROUTES: Final = (
    web.get("/clusters", show_all),
    web.get("/cards", all_cards),
    web.get("/clusters/{cluster}", show_one),
    web.get("/clusters/{cluster}/cards", cards),
    web.get("/clusters/{cluster}/nodes/{node}", show_node),
)
