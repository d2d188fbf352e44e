"""What binds a hub: power, energy, the way to it, and the quotas of cities and their enterprises there.

Names are those of national hubs. PUE lies within what their plans ask for (1.2 to 1.25). Tariffs, transfer prices,
speeds, caps, paces and quotas are assumed: nobody published them. They are drawn so that some of each kind bind.
"""

from typing import Any, Final

import numpy as np

from benchmarks.worlds.demand import TENANTS_PER_CITY
from benchmarks.worlds.makes import models
from scheduler.snapshot import Ints

HUBS: Final = (
    "qingyang",
    "guian",
    "zhongwei",
    "horinger",
    "chengdu",
    "chongqing",
    "wuhu",
    "zhangjiakou",
)  # the eight national hubs with capacity for other regions
POWER_CAPPED: Final = 0  # this hub's cap leaves power for half of its free cards
PACED: Final = 1  # this hub's energy quota leaves power for six tenths of its free cards
LENDING_LIMITED: Final = 2  # this hub's quota has a limit, so what its cities keep for themselves counts
HUBS_PER_CITY: Final = 3  # where a city has a quota
_MILLION: Final = 10**6
_Rng = np.random.Generator


def ways(draw: _Rng, cities: int) -> dict[str, Any]:
    """Return round trips, transfer prices (0.005 to 0.03 yuan a GiB) and speeds (1 to 10 Gbit/s) of cities to hubs."""
    size = (cities, len(HUBS))
    speed = draw.integers(120, 1_200, size)
    return {
        "round_trip_micros": draw.integers(5_000, 45_000, size),
        "transfer_micro_yuan_per_gib": draw.integers(5_000, 30_000, size),
        "transfer_mib_per_second": np.where(draw.random(size) < 0.03, -1, speed),
    }


def _by_hub(world: dict[str, Any], cards: Ints, per_card: Ints) -> Ints:
    """Add up cards [N] times a figure of their model [M], by hub."""
    pool = world["node_pool"]
    amount = cards * per_card[world["pool_model"][pool]]
    found: Ints = np.zeros(len(HUBS), dtype=np.int64)
    np.add.at(found, world["pool_hub"][pool], amount)
    return found


def _busy_and_free(world: dict[str, Any]) -> tuple[Ints, Ints]:
    free = world["node_free_cards"]
    return world["node_cards"] - free, np.where(world["node_open"], free, 0)


def power(draw: _Rng, world: dict[str, Any]) -> dict[str, Any]:
    """Return PUE, tariffs, use, caps and paces. Every hub but two has a cap; only one of them binds."""
    watts = np.array(models()["model_card_watts"])
    pue = draw.integers(1_150_000, 1_250_001, len(HUBS))
    busy, free = (_by_hub(world, cards, watts) * pue // _MILLION for cards in _busy_and_free(world))
    cap = busy + free * 13 // 10
    cap[POWER_CAPPED] = busy[POWER_CAPPED] + free[POWER_CAPPED] // 2
    cap[[LENDING_LIMITED, len(HUBS) - 1]] = -1
    pace = np.full(len(HUBS), -1)
    pace[PACED] = busy[PACED] + free[PACED] * 6 // 10
    return {
        "hub_pue_ppm": pue,
        "hub_power_cap_watts": cap,
        "hub_pace_watts": pace,
        "hub_used_watts": busy,
        "hub_micro_yuan_per_kwh": draw.integers(300_000, 550_000, len(HUBS)),
    }


def cities(draw: _Rng, world: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the cities, their fair-share weights, and what each of them uses now."""
    busy, _ = _busy_and_free(world)
    total = int(_by_hub(world, busy, np.array(models()["model_fp16_programme_milli_tflops"])).sum())
    share = draw.lognormal(0, 0.7, count)
    return {
        "city_names": [f"city-{city}" for city in range(count)],
        "city_weight_ppm": draw.integers(500_000, 2_000_001, count),
        "city_used_milli_tflops": (share / share.sum() * total).astype(np.int64),
    }


class _Tree:
    """The quotas of all hubs, as rows: parents before children."""

    def __init__(self, cities: int) -> None:
        self.names: list[str] = []
        self.rows: list[tuple[int, int, int, int, int]] = []  # parent, guaranteed, borrow, lend, used
        self.leaf = np.full((cities * TENANTS_PER_CITY, len(HUBS)), -1)

    def add(self, name: str, parent: int, guaranteed: int, borrow: int, lend: int, used: int) -> int:
        """Append a quota; return its index."""
        self.names.append(name)
        self.rows.append((parent, guaranteed, borrow, lend, used))
        return len(self.rows) - 1


def quotas(draw: _Rng, world: dict[str, Any], cities: int) -> dict[str, Any]:
    """Return the tree hub > city > enterprise: every city has quotas in some hubs, its enterprises share them."""
    figure = np.array(models()["model_fp16_programme_milli_tflops"])
    busy, free = (_by_hub(world, cards, figure) for cards in _busy_and_free(world))
    present = np.argsort(draw.random((cities, len(HUBS))), axis=1) < HUBS_PER_CITY
    tree = _Tree(cities)
    for hub in range(len(HUBS)):
        here = np.flatnonzero(present[:, hub]).tolist()
        if here:
            _quotas_of(draw, tree, hub, here, int(busy[hub]), int(free[hub]))
    columns = ("parent", "guaranteed_milli_tflops", "borrow_milli_tflops", "lend_milli_tflops", "used_milli_tflops")
    values = np.array(tree.rows, dtype=np.int64).T
    content: dict[str, Any] = {f"quota_{column}": value for column, value in zip(columns, values, strict=True)}
    tenants = [f"city-{city}/enterprise-{number}" for city in range(cities) for number in range(TENANTS_PER_CITY)]
    return content | {"quota_names": tree.names, "tenant_names": tenants, "tenant_quota": tree.leaf}


def _quotas_of(draw: _Rng, tree: _Tree, hub: int, here: list[int], busy: int, free: int) -> None:
    """Add the quotas of these cities in one hub; `busy` and `free` are its FP16 in milli-TFLOPS.

    Of enterprises some are below their guarantee (a tenth of what is free is guaranteed and unused in all), some have
    borrowed. Three in ten may borrow only a little; half of the cities lend little of what they do not use.
    """
    weight = draw.lognormal(0, 0.5, (len(here), TENANTS_PER_CITY))
    weight /= weight.sum()
    used = (weight * 0.3 * busy).astype(np.int64)
    below = draw.random(used.shape) < 0.6
    guaranteed = np.where(below, used + (weight * 0.17 * free).astype(np.int64), used * 4 // 5)
    part = free // len(tree.leaf)  # what an enterprise would get here if all got the same
    more = np.maximum(guaranteed, used) - guaranteed + (draw.uniform(0.2, 1.0, used.shape) * part).astype(np.int64)
    borrow = np.where(draw.random(used.shape) < 0.3, more, -1)
    city_used, city_guaranteed = used.sum(axis=1), guaranteed.sum(axis=1)
    lend = np.where(draw.random(len(here)) < 0.5, np.maximum(city_guaranteed - city_used, 0) // 5, -1)
    kept = np.where(lend >= 0, city_guaranteed - lend, 0)
    in_all = int(guaranteed.sum())
    limit = max(in_all, int(np.maximum(city_used, kept).sum()) + free // 10)
    root = tree.add(HUBS[hub], -1, in_all, limit - in_all if hub == LENDING_LIMITED else -1, -1, int(used.sum()))
    for row, city in enumerate(here):
        name = f"{HUBS[hub]}/city-{city}"
        parent = tree.add(name, root, int(city_guaranteed[row]), -1, int(lend[row]), int(city_used[row]))
        for number in range(TENANTS_PER_CITY):
            own = (int(guaranteed[row, number]), int(borrow[row, number]), -1, int(used[row, number]))
            leaf = tree.add(f"{name}/enterprise-{number}", parent, *own)
            tree.leaf[city * TENANTS_PER_CITY + number, hub] = leaf
