"""Worlds for the load: those that are bundled, and a national one that is generated from the seed.

The national world takes the 34 cities that the Qingyang world knows; its hubs, owners, pools and prices are drawn.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import yaml

from benchmarks.worlds import supply
from benchmarks.worlds.hubs import HUBS
from broker.worlds.loader import BUNDLED_WORLDS, bundled, load
from broker.worlds.schema import World

WORLDS: Final = ("national", *BUNDLED_WORLDS)
NATIONAL_NODES, NATIONAL_POOLS, NATIONAL_CLUSTERS = 45_000, 120, 40
MODELS: Final = (
    ("a800", 5_000_000),
    ("h20", 4_500_000),
    ("ascend-910b", 3_500_000),
    ("ascend-910c", 8_000_000),
    ("mlu590", 3_000_000),
    ("dcu-k100-ai", 2_000_000),
    ("enflame-s60", 1_500_000),
    ("metax-c500", 2_000_000),
    ("kunlunxin-p800", 3_200_000),
)
"""Models of the national world, as the catalogue names them, and about what is asked: micro-yuan per card-hour."""

_DRAWN: Final = "drawn"
_NO_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PoolStock:
    """The nodes of a pool, as its cluster's agent reports them."""

    pool: str
    model: str
    nodes: int
    cards: int
    cpu_milli: int
    memory_mib: int
    domain_nodes: int  # nodes that hang on one leaf switch

    def node(self, index: int) -> str:
        """Return the name of a node."""
        return f"{self.pool}-{index:05d}"


@dataclass(frozen=True, slots=True)
class LoadWorld:
    """A world: its document for the broker, and what its agents have."""

    name: str
    document: str
    clusters: dict[str, tuple[PoolStock, ...]]
    cities: tuple[str, ...]
    stacks: dict[str, tuple[str, ...]]  # by software stack: its models that some cluster has

    @property
    def nodes(self) -> int:
        """All nodes."""
        return sum(pool.nodes for pools in self.clusters.values() for pool in pools)

    @property
    def cards(self) -> int:
        """All cards."""
        return sum(pool.nodes * pool.cards for pools in self.clusters.values() for pool in pools)

    @property
    def gang_cards_max(self) -> int:
        """Cards of the largest pool."""
        return max(pool.nodes * pool.cards for pools in self.clusters.values() for pool in pools)


def world(name: str, seed: int, *, nodes: int = NATIONAL_NODES, pools: int = NATIONAL_POOLS) -> LoadWorld:
    """Return a world by its name; `seed`, `nodes` and `pools` are of the national one only."""
    document = _national(seed, nodes, pools) if name == "national" else _unlimited(bundled(name))
    found = load(document)
    return LoadWorld(name, document, _stock(found, seed), tuple(city.city for city in found.cities), _stacks(found))


def _stock(found: World, seed: int) -> dict[str, tuple[PoolStock, ...]]:
    draw = np.random.Generator(np.random.PCG64((seed, 1)))
    return {
        cluster.cluster: tuple(
            PoolStock(
                pool.pool,
                pool.model,
                pool.nodes,
                pool.cards_per_node,
                pool.cpu_milli_per_node,
                pool.memory_mib_per_node,
                int(draw.choice(supply.DOMAIN_NODES)),
            )
            for pool in cluster.pools
        )
        for cluster in found.clusters
    }


def _stacks(found: World) -> dict[str, tuple[str, ...]]:
    stack_of = {model.model: model.stack for model in found.accelerator_models}
    stacks: dict[str, list[str]] = {}
    for model in sorted({pool.model for cluster in found.clusters for pool in cluster.pools}):
        stacks.setdefault(stack_of[model], []).append(model)
    return {stack: tuple(models) for stack, models in stacks.items()}


def _unlimited(document: str) -> str:
    """Return the document with cities that may call and wait as much as they like: limits are measured elsewhere."""
    content = yaml.safe_load(document)
    content["city_defaults"] |= {"pending_jobs_max": 100 * _NO_LIMIT, "calls_per_second_max": _NO_LIMIT}
    return yaml.safe_dump(content, allow_unicode=True)


def _national(seed: int, nodes: int, pools: int) -> str:
    draw = np.random.Generator(np.random.PCG64(seed))
    clusters = min(NATIONAL_CLUSTERS, pools)
    sizes = supply.sizes(draw, nodes, pools).tolist()
    base = yaml.safe_load(bundled("qingyang"))
    content: dict[str, Any] = {
        "world": "national",
        "title": {"zh": "全国", "en": "National"},
        "catalogue": "models",
        "sources": base["sources"] | {_DRAWN: {"text": f"drawn from seed {seed}", "date": "2026-11-01"}},
        "hubs": [{"hub": hub, "title": {"zh": hub, "en": hub}} for hub in HUBS],
        "clusters": [_cluster(draw, number, sizes[number::clusters], clusters) for number in range(clusters)],
        "city_defaults": base["city_defaults"],
        "cities": [_city(city) for city in base["cities"]],
    }
    content["city_defaults"].pop("transfers", None)
    return _unlimited(yaml.safe_dump(content, allow_unicode=True))


def _cluster(draw: np.random.Generator, number: int, sizes: list[int], step: int) -> dict[str, Any]:
    made = [MODELS[(number + i * step) % len(MODELS)] for i in range(len(sizes))]
    asks = {model: round(ask * draw.uniform(0.8, 1.3) / 10_000) * 10_000 for model, ask in made}
    return {
        "cluster": f"cluster-{number}",
        "hub": HUBS[number % len(HUBS)],
        "owner": f"owner-{number % supply.OWNERS}",
        "title": {"zh": f"集群 {number}", "en": f"Cluster {number}"},
        "asks": {model: {"micro_yuan_per_card_hour": ask, "source": _DRAWN} for model, ask in asks.items()},
        "pools": [
            {
                "pool": f"pool-{i}",
                "model": made[i][0],
                "nodes": size,
                "cards_per_node": supply.NODE_CARDS,
                "cpu_milli_per_node": supply.NODE_CARDS * supply.CPU_MILLI_PER_CARD,
                "memory_mib_per_node": supply.NODE_CARDS * supply.MEMORY_MIB_PER_CARD,
                "source": _DRAWN,
            }
            for i, size in enumerate(sizes)
        ],
    }


def _city(city: dict[str, Any]) -> dict[str, Any]:
    return {name: city[name] for name in ("city", "title", "source", "doubtful") if name in city}
