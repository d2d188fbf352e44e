"""Clusters, down to node and card. An owner sees its own only."""

import json
from typing import Any, Final

from aiohttp import web

from broker.caller import Role
from broker.console import fields
from broker.console.guards import DESK
from broker.console.pages.overview import use_of
from broker.console.render import CALLER, page
from broker.errors import ClusterNotFound, NodeNotFound
from broker.lifecycle import NodeMode

NODES_SHOWN: Final = 100
NODES_MAX: Final = 200_000

LEASED, FOREIGN, CLOSED, DOWN, FREE = "L", "F", "C", "D", "."
"""What a card is, as the map of cards gets it."""


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show all clusters."""
    desk = request.app[DESK]
    clusters = await _visible(request)
    return page(
        request,
        "clusters.html",
        clusters=[(cluster, use_of(cluster.pools)) for cluster in clusters],
        use=use_of(pool for cluster in clusters for pool in cluster.pools),
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
        more=nodes[-1].node if len(nodes) == NODES_SHOWN else "",
        titles=await desk.titles(),
        now=desk.now,
        closed=NodeMode.OPEN,
    )


async def cards(request: web.Request) -> web.StreamResponse:
    """Return what every card of a cluster is, a character for each: what the map of cards is painted from."""
    desk = request.app[DESK]
    cluster = await _cluster(request)
    nodes = await desk.ask.operations.node_page(cluster.cluster, "", NODES_MAX)
    silent = cluster.agent != "live"
    pools: dict[str, dict[str, Any]] = {
        pool.pool: {"pool": pool.pool, "model": pool.model, "nodes": [], "cards": []} for pool in cluster.pools
    }
    for node in nodes:
        rest = CLOSED if silent or node.mode is not NodeMode.OPEN else FREE
        states = [DOWN if node.down or not node.present else rest] * node.cards
        for card in node.foreign_cards:
            if card < node.cards:
                states[card] = FOREIGN
        for card in node.leased_cards:
            if card < node.cards:
                states[card] = LEASED
        pool = pools[node.pool]
        pool["nodes"].append(node.node)
        pool["cards"].append("".join(states))
    body = {"cluster": cluster.cluster, "pools": list(pools.values())}
    answer = web.Response(text=json.dumps(body, separators=(",", ":")), content_type="application/json")
    answer.enable_compression()
    return answer


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
    web.get("/clusters/{cluster}", show_one),
    web.get("/clusters/{cluster}/cards", cards),
    web.get("/clusters/{cluster}/nodes/{node}", show_node),
)
