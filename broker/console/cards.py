"""What every card is, as the map of cards in the browser gets it: a character for each, as JSON by cluster. Pure."""

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from broker.market.standing import NodeCards

LEASED: Final = "L"
FOREIGN: Final = "F"
CLOSED: Final = "C"
DOWN: Final = "D"
FREE: Final = "."


def maps(nodes: Iterable[NodeCards]) -> dict[str, str]:
    """Return the map of each cluster as JSON, of nodes that come by cluster and pool."""
    return {name: _map(name, of_cluster) for name, of_cluster in groupby(nodes, key=lambda node: node.cluster)}


def _map(cluster: str, nodes: Iterable[NodeCards]) -> str:
    pools = []
    for (pool, model), of_pool in groupby(nodes, key=lambda node: (node.pool, node.model)):
        members = list(of_pool)
        pools.append(
            {
                "pool": pool,
                "model": model,
                "nodes": [node.node for node in members],
                "cards": [_letters(node) for node in members],
            }
        )
    return json.dumps({"cluster": cluster, "pools": pools}, separators=(",", ":"))


def _letters(node: NodeCards) -> str:
    letters = [(FREE if node.open else CLOSED) if node.works else DOWN] * node.cards
    for kind, cards in ((FOREIGN, node.foreign), (LEASED, node.leased or ())):
        for card in cards:
            if card < node.cards:
                letters[card] = kind
    return "".join(letters)
