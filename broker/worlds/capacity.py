"""Capacity in cards, standard racks and FP16 PFLOPS side by side: what was reported, and what the pools count."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from broker.errors import FieldProblem
from broker.worlds.schema import DIFFERENCE_PERCENT, AcceleratorModel, Capacity, Pool, World, newest_reported

RACK_WATTS: Final = 2500
"""The programme's standard rack; a definition, not a figure of the world."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What pools add up to.

    Attributes:
        cards: accelerator cards.
        fp16_milli_pflops: programme-counted FP16, thousandths of a PFLOPS, rounded down.
        racks_milli: standard racks that the cards alone need, in thousandths, rounded up; hosts need more.
        watts_known: False when a model's watts are not known, and `racks_milli` therefore too low.
    """

    cards: int = 0
    fp16_milli_pflops: int = 0
    racks_milli: int = 0
    watts_known: bool = True

    def __add__(self, other: Self) -> "Counted":
        return Counted(
            self.cards + other.cards,
            self.fp16_milli_pflops + other.fp16_milli_pflops,
            self.racks_milli + other.racks_milli,
            self.watts_known and other.watts_known,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison: a hub or a cluster."""

    kind: str  # "hub" or "cluster"
    name: str
    reported: Capacity | None  # what the pools are compared with
    counted: Counted
    difference: str | None  # the world's explanation


def count(pool: Pool, model: AcceleratorModel) -> Counted:
    """Return what one pool adds up to."""
    watts = model.watts.value if model.watts is not None else 0
    return Counted(
        cards=pool.cards,
        fp16_milli_pflops=pool.cards * model.fp16_programme_milli_tflops.value // 1000,
        racks_milli=racks_milli(pool.cards * watts),
        watts_known=watts > 0,
    )


def racks_milli(watts: int) -> int:
    """Return the standard racks that so much power fills, in thousandths, rounded up."""
    return -(-watts * 1000 // RACK_WATTS)


def compare(world: World) -> list[Row]:
    """Return hubs, then clusters, each with what was reported and what its pools count."""
    models = {model.model: model for model in world.accelerator_models}
    by_cluster = {c.cluster: _total(c.pools, models) for c in world.clusters}
    hubs = [
        Row(
            "hub",
            hub.hub,
            newest_reported(hub.capacity),
            sum((by_cluster[c.cluster] for c in world.clusters if c.hub == hub.hub), Counted()),
            hub.difference,
        )
        for hub in world.hubs
    ]
    clusters = [
        Row("cluster", c.cluster, newest_reported(c.capacity), by_cluster[c.cluster], c.difference)
        for c in world.clusters
    ]
    return hubs + clusters


def difference_problems(world: World) -> Iterator[FieldProblem]:
    """Yield a problem for every hub and cluster whose pools do not count what was reported, and nobody says why."""
    places = [f"hubs[{i}]" for i in range(len(world.hubs))] + [f"clusters[{i}]" for i in range(len(world.clusters))]
    if any(_unknown_models(world)):
        return  # reported by the check of names
    for place, row in zip(places, compare(world), strict=True):
        gaps = _gaps(row)
        if gaps and row.difference is None:
            yield FieldProblem(f"{place}.difference", f"is missing: {row.kind} {row.name}: {gaps}; say why")


def _gaps(row: Row) -> str:
    if row.reported is None or row.counted.cards == 0:
        return ""
    pairs: Sequence[tuple[str, int, int]] = (
        ("cards", row.reported.cards, row.counted.cards),
        ("fp16_milli_pflops", row.reported.fp16_milli_pflops, row.counted.fp16_milli_pflops),
    )
    return ", ".join(
        f"pools count {counted} {unit}, reported are {reported}"
        for unit, reported, counted in pairs
        if reported and abs(counted - reported) * 100 > reported * DIFFERENCE_PERCENT
    )


def _total(pools: Iterable[Pool], models: Mapping[str, AcceleratorModel]) -> Counted:
    return sum((count(pool, models[pool.model]) for pool in pools), Counted())


def _unknown_models(world: World) -> Iterator[str]:
    known = {model.model for model in world.accelerator_models}
    return (pool.model for c in world.clusters for pool in c.pools if pool.model not in known)
