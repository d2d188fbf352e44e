"""What cards cost beyond the ask at a round's prices: by pool and size for everybody, and for each gang that starts.

Prices come by name, as `opening.prices_of` gives them. Of a pool that is cut into zones the dearest zone counts: the
cards that are free for longest. A size that no free nodes of the pool could hold has no price: nobody dealt in it.

The price of a gang that starts is fixed then: the ask, and what others would pay for its cards, slices, domains and
power, but never so much that it pays more than its ceiling: one that was promised its start when less was asked pays
that, and the owner gets less than is asked now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np

from scheduler.fields import MILLI_PER_CARD, WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.forms import Kinds, granted_slices
from scheduler.judging import VALUE_MAX, fastest_builds
from scheduler.limits import Limits, limits_of, meters
from scheduler.opening import row_names, sizes_named
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice
from scheduler.rows import PriceVector, costs_of, uses_of
from scheduler.snapshot import Ints, Snapshot

_MOST: Final = 2**62
_PPM: Final = 10**6
LARGER_NODES: Final = 2
"""Whole nodes of one fabric domain that stand for gangs larger than a node."""


class Size(IntEnum):
    """For how many cards together a price holds; a card in a larger free block is dearer."""

    ONE = 0  # a card
    TWO = 1
    FOUR = 2
    EIGHT = 3  # on one node
    NODE = 4  # all cards of the pool's largest node
    LARGER = 5  # several whole nodes close together


CARDS: Final = (1, 2, 4, 8)
"""Cards of the sizes before NODE."""


@dataclass(frozen=True, slots=True)
class PoolSpot:
    """What cards of a pool cost beyond the ask."""

    node_cards: int  # of its largest node
    scarcity_micro_yuan_per_card_hour: tuple[int | None, ...]  # by Size, rounded up; None: no price


@dataclass(frozen=True, slots=True)
class StartPrice:
    """What a gang pays for a card-hour from its start on; of shares: for a whole card, to be taken in thousandths."""

    ask_micro_yuan_per_card_hour: int
    scarcity_micro_yuan_per_card_hour: int  # rounded down


def spot_prices(
    world: Snapshot, prices: Iterable[OpeningPrice], zones: Sequence[str], pool_of: Sequence[int]
) -> tuple[PoolSpot, ...]:
    """Return what cards cost beyond the ask, by pool of the world.

    Args:
        world: as the round was given it.
        prices: of the last tier of its plan.
        zones: names of the pools that the plan was made on, whose prices they are.
        pool_of: of each zone its pool.
    """
    pools = len(world.pool_names)
    node_cards = np.zeros(pools, dtype=np.int64)
    np.maximum.at(node_cards, world.node_pool, world.node_cards)
    on_nodes: list[int] = [cards for cards in node_cards.tolist() if cards]
    shapes = sorted({(1, cards) for cards in (*CARDS, *on_nodes)} | {(LARGER_NODES, cards) for cards in on_nodes})
    kinds = _whole(shapes)
    costs = _costs(world, limits_of(world), kinds, prices, zones, pool_of)
    dearest = np.zeros((len(shapes), pools), dtype=np.int64)
    np.maximum.at(dearest.T, np.asarray(pool_of, dtype=np.int64), costs.T)
    by_card = -(-dearest // (kinds.tasks * kinds.cards)[:, None])
    free = np.where(world.node_open, world.node_free_cards, 0)
    found = []
    for pool in range(pools):
        here, most = free[world.node_pool == pool], int(node_cards[pool])
        wanted = [(1, cards) for cards in CARDS] + [(1, most), (LARGER_NODES, most)]
        scarcity = tuple(
            int(by_card[shapes.index((tasks, cards)), pool])
            if 0 < cards <= most and np.count_nonzero(here >= cards) >= tasks
            else None
            for tasks, cards in wanted
        )
        found.append(PoolSpot(most, scarcity))
    return tuple(found)


def start_prices(
    world: Snapshot, prices: Iterable[OpeningPrice], placements: Sequence[Placement], zones: Sequence[str] = ()
) -> tuple[StartPrice, ...]:
    """Return the price of each gang that starts.

    Args:
        world: of the placements, with their jobs.
        prices: of the last tier of a plan, by name.
        placements: what starts.
        zones: name of the pool or zone of each placement; left out: its pool.
    """
    if not placements:
        return ()
    job_of = {job_id: job for job, job_id in enumerate(world.job_id)}
    jobs = np.array([job_of[each.job_id] for each in placements], dtype=np.int64)
    pool = np.array([each.pool for each in placements], dtype=np.int64)
    shape, model = world.job_shape[jobs], world.pool_model[pool]
    tasks = np.array([sum(each.tasks) for each in placements], dtype=np.int64)
    level = np.array([_level(world, *each) for each in zip(shape.tolist(), placements, strict=True)], dtype=np.int64)
    share = granted_slices(world)[shape, model]
    cards = np.where(share > 0, 1, world.shape_cards_per_task[shape])
    columns, kind = np.unique(np.stack([tasks, cards, share, level]), axis=1, return_inverse=True)
    none = np.zeros(columns.shape[1], dtype=np.int64)
    kinds = Kinds(columns[0], columns[1], columns[2], none, none, columns[3])
    limits, kind = limits_of(world), kind.reshape(-1)
    names = list(zones) or [world.pool_names[at] for at in pool.tolist()]
    places = sorted(set(zip(names, pool.tolist(), strict=True)))
    place = np.array([places.index(each) for each in zip(names, pool.tolist(), strict=True)], dtype=np.int64)
    costs = _costs(world, limits, kinds, prices, [name for name, _ in places], [at for _, at in places])[kind, place]
    milli = kinds.milli_cards[kind]
    ask = world.pool_ask_micro_yuan_per_card_hour[pool]
    asks = tasks * np.where(share > 0, -(-ask * share // MILLI_PER_CARD), ask * cards)
    energy = -(-meters(limits, kinds)[kind, pool] * world.hub_micro_yuan_per_kwh[world.pool_hub[pool]] // 1000)
    room = _most(world, jobs, model, tasks, level) - energy - _transfer(world, jobs, world.pool_hub[pool])
    scarcity = np.clip(np.minimum(costs, room - asks), 0, None) * MILLI_PER_CARD // milli
    paid = np.where(asks <= room, ask, np.clip(room, 0, None) * MILLI_PER_CARD // milli)
    return tuple(StartPrice(*each) for each in zip(paid.tolist(), scarcity.tolist(), strict=True))


def _whole(shapes: Sequence[tuple[int, int]]) -> Kinds:
    """Return gangs of whole cards without CPU and memory; several tasks are close together."""
    tasks, cards = np.array(shapes, dtype=np.int64).T
    none = np.zeros_like(tasks)
    return Kinds(tasks, cards, none, none, none, np.where(tasks > 1, WITHIN_DOMAIN, WITHIN_NODE))


def _costs(
    world: Snapshot,
    limits: Limits,
    kinds: Kinds,
    prices: Iterable[OpeningPrice],
    zones: Sequence[str],
    pool_of: Sequence[int],
) -> Ints:
    """Return [K, Z]: what one gang of each kind pays per hour in each zone, quotas not counted."""
    known = {(each.owner, each.row): min(each.price, _MOST) for each in prices}
    sizes = sizes_named({row for _, row in known})
    names = row_names(*sizes)
    use = uses_of(kinds, *sizes)
    at = np.asarray(pool_of, dtype=np.int64)
    cut = replace(
        limits,
        pool_hub=limits.pool_hub[at],
        pool_watts=limits.pool_watts[at],
        pool_pue_ppm=limits.pool_pue_ppm[at],
        pool_milli_tflops=limits.pool_milli_tflops[at],
    )
    meter = meters(cut, kinds) if cut.has_power else np.zeros((0, 0), dtype=np.int64)
    most = _MOST // (use.shape[1] + 2)  # far beyond what anything is worth: sums stay within 64 bits
    table = np.array([[known.get((zone, row), 0) for row in names] for zone in zones], dtype=np.int64)
    power = np.array([known.get((hub, "power"), 0) for hub in world.hub_names], dtype=np.int64)
    vector = PriceVector(
        pool=np.minimum(table.reshape(len(zones), len(names)), most // np.maximum(use.max(axis=0, initial=1), 1)),
        power=np.minimum(power, most // max(int(meter.max(initial=1)), 1)),
        quota=np.zeros(limits.parent.size, dtype=np.int64),
        guarantee=np.zeros(limits.parent.size, dtype=np.int64),
        tier_ppm=np.zeros(0, dtype=np.int64),
    )
    return costs_of(cut, use, meter, vector).kind_pool


def _level(world: Snapshot, shape: int, placement: Placement) -> int:
    """Return how close together a gang has to be, or is where it is faster so: that is what it pays for."""
    within, spread = int(world.shape_within[shape]), int(world.shape_spread_speed_ppm[shape])
    if sum(placement.tasks) == 1 or within != WITHIN_POOL or spread == _PPM:
        return WITHIN_POOL if sum(placement.tasks) == 1 else within
    return WITHIN_DOMAIN if np.unique(world.node_domain[list(placement.nodes)]).size == 1 else WITHIN_POOL


def _most(world: Snapshot, jobs: Ints, model: Ints, tasks: Ints, level: Ints) -> Ints:
    """Return what the cities would pay per hour at their ceilings, as `choices.py` has it, where the gangs are."""
    shape = world.job_shape[jobs]
    fast = np.maximum(fastest_builds(world)[0][shape, model], 0)
    enough = VALUE_MAX * _PPM // np.maximum(fast, 1) + 1  # at this ceiling the value is at its maximum
    ceiling = np.minimum(world.job_ceiling_micro_yuan_per_pflops_hour[jobs], enough)
    value = np.minimum(ceiling * fast // _PPM, VALUE_MAX)
    share = world.shape_share_milli[shape]
    gross = world.shape_tasks[shape] * np.where(
        share > 0, value * share // MILLI_PER_CARD, value * world.shape_cards_per_task[shape]
    )
    speeds = [_speed(world, *each) for each in zip(shape.tolist(), tasks.tolist(), level.tolist(), strict=True)]
    speed = np.array(speeds, dtype=np.int64)
    return np.asarray(gross // _PPM * speed + gross % _PPM * speed // _PPM, dtype=np.int64)


def _speed(world: Snapshot, shape: int, tasks: int, level: int) -> int:
    """Return the speed of a gang against the full one close together, in millionths."""
    sizes = range(int(world.size_start[shape]), int(world.size_start[shape + 1]))
    speed = next((int(world.size_speed_ppm[at]) for at in sizes if int(world.size_tasks[at]) == tasks), _PPM)
    return speed * int(world.shape_spread_speed_ppm[shape]) // _PPM if level == WITHIN_POOL and tasks > 1 else speed


def _transfer(world: Snapshot, jobs: Ints, hub: Ints) -> Ints:
    """Return what moving the data costs, spread over the walltime."""
    shape, city = world.job_shape[jobs], world.job_city[jobs]
    gib = world.shape_output_gib[shape] + np.where(world.shape_staged[shape, hub], 0, world.shape_input_gib[shape])
    per_gib = world.transfer_micro_yuan_per_gib[city, hub]
    return np.asarray(-(-gib * per_gib * 3600 // world.job_walltime_seconds[jobs]), dtype=np.int64)
