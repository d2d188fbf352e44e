"""Read the part of the catalogue that submissions are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, LiteralString

from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class City:
    """A city with its limits and its standard ceiling (micro-yuan per FP16 PFLOPS-hour)."""

    city: str
    pending_jobs_max: int
    calls_per_second_max: int
    ceiling_micro_yuan_per_pflops_hour: int


@dataclass(frozen=True, slots=True)
class NodeKind:
    """How many nodes of a pool are alike, and what one of them has."""

    nodes: int
    cards: int
    cpu_milli: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class PoolSize:
    """A pool with all the nodes that its agent has reported, free or not, open or not."""

    cluster: str
    pool: str
    hub: str
    model: str
    kinds: tuple[NodeKind, ...]
    owner: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """What there is to name and to run on, at one moment."""

    cities: Mapping[str, City]
    stack_of_model: Mapping[str, str]
    hubs: frozenset[str]
    pools: tuple[PoolSize, ...]
    owners: frozenset[str] = frozenset()
    domestic_models: frozenset[str] = frozenset()
    slices_of_model: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Slices that each model offers, ascending, in thousandths of a card; a model that is never split is left out."""
    mib_per_second: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How fast data go from a city to a hub; a way that nobody measured is left out."""


CITIES: Final[LiteralString] = """
    SELECT city, pending_jobs_max, calls_per_second_max, ceiling_micro_yuan_per_pflops_hour FROM cities
"""
MODELS: Final[LiteralString] = "SELECT model, stack, origin, slices_milli FROM accelerator_models"
HUBS: Final[LiteralString] = "SELECT hub FROM hubs"
OWNERS: Final[LiteralString] = "SELECT DISTINCT owner FROM clusters"
WAYS: Final[LiteralString] = "SELECT city, hub, mib_per_second FROM transfers WHERE mib_per_second > 0"
NODE_KINDS: Final[LiteralString] = """
    SELECT c.cluster, p.pool, c.hub, p.model, c.owner, n.cards, n.cpu_milli, n.memory_mib, count(*) AS nodes
      FROM nodes n JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = p.cluster
     WHERE n.present AND n.cards > 0
     GROUP BY c.cluster, p.pool, c.hub, p.model, c.owner, n.cards, n.cpu_milli, n.memory_mib
     ORDER BY c.cluster, p.pool
"""


async def read(tx: Connection) -> CatalogueView:
    """Return the catalogue as it is now; a pool without present nodes is left out."""
    kinds_of: dict[tuple[str, str, str, str, str], list[NodeKind]] = {}
    for r in await tx.fetch(NODE_KINDS):
        kind = NodeKind(r["nodes"], r["cards"], r["cpu_milli"], r["memory_mib"])
        kinds_of.setdefault((r["cluster"], r["pool"], r["hub"], r["model"], r["owner"]), []).append(kind)
    models = await tx.fetch(MODELS)
    return CatalogueView(
        cities={r["city"]: City(*r.values()) for r in await tx.fetch(CITIES)},
        stack_of_model={r["model"]: r["stack"] for r in models},
        hubs=frozenset(r["hub"] for r in await tx.fetch(HUBS)),
        pools=tuple(
            PoolSize(cluster, pool, hub, model, tuple(kinds), owner)
            for (cluster, pool, hub, model, owner), kinds in kinds_of.items()
        ),
        owners=frozenset(r["owner"] for r in await tx.fetch(OWNERS)),
        domestic_models=frozenset(r["model"] for r in models if r["origin"] == "domestic"),
        slices_of_model={r["model"]: tuple(r["slices_milli"]) for r in models if r["slices_milli"]},
        mib_per_second={(r["city"], r["hub"]): r["mib_per_second"] for r in await tx.fetch(WAYS)},
    )
