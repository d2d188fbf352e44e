"""What every card is, as the map of cards in the browser gets it: a character for each, as JSON by cluster. Pure."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

from broker.market.standing import PoolCards

LEASED: Final = "L"
FOREIGN: Final = "F"
CLOSED: Final = "C"
DOWN: Final = "D"
FREE: Final = "."
GZIP_LEVEL: Final = 1  # a megabyte in ten milliseconds; the best level makes it half as long in ten times that


@dataclass(frozen=True, slots=True)
class CardMaps:
    """The maps of clusters by name, as JSON, and all of them together as they are sent."""

    by_cluster: Mapping[str, str]
    all: "Sent"


@dataclass(frozen=True, slots=True)
class Sent:
    """JSON as it goes over the wire: compressed, with the tag by which a browser says that it has it already."""

    body: bytes
    tag: str


def sent(text: str) -> Sent:
    """Return JSON ready to be sent."""
    plain = text.encode()
    return Sent(gzip.compress(plain, GZIP_LEVEL, mtime=0), hashlib.sha256(plain).hexdigest()[:32])


def card_maps(pools: Iterable[PoolCards]) -> CardMaps:
    """Return the maps of pools that come by cluster."""
    found = {name: _map(name, of_cluster) for name, of_cluster in groupby(pools, key=lambda pool: pool.cluster)}
    return CardMaps(found, sent(together(found.values())))


def together(maps: Iterable[str]) -> str:
    """Return maps of clusters as one text."""
    return f"[{','.join(maps)}]"


def nothing(cluster: str) -> str:
    """Return the map of a cluster that has no nodes."""
    return _map(cluster, ())


def _map(cluster: str, pools: Iterable[PoolCards]) -> str:
    shown = [
        {
            "pool": each.pool,
            "model": each.model,
            "nodes": each.nodes,
            "cards": [
                _letters(cards, (FREE if is_open else CLOSED) if works else DOWN, leased, foreign)
                for cards, is_open, works, leased, foreign in zip(
                    each.cards, each.open, each.works, each.leased, each.foreign, strict=True
                )
            ],
        }
        for each in pools
    ]
    return json.dumps({"cluster": cluster, "pools": shown}, separators=(",", ":"))


@lru_cache(maxsize=65_536)
def _letters(cards: int, other: str, leased: int, foreign: int) -> str:
    """Return a letter for each card of a node. Few nodes differ: most are wholly in use or wholly free."""
    return "".join(LEASED if leased >> n & 1 else FOREIGN if foreign >> n & 1 else other for n in range(cards))
