"""Prices from round to round: what the last plan learned, the next one starts from.

They travel in `Policy.opening_prices`, by name: a stored policy replays a warm round bit for bit, and pools, hubs and
quotas may come and go in between. Prices of another world are only a poor start: the bound is evaluated anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from scheduler.choices import Choices
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.plan import Plan, Tier
from scheduler.policy import OpeningPrice, OpeningSeat, Policy
from scheduler.rows import PriceVector, Rows
from scheduler.snapshot import Ints, Snapshot

SEAT_CARDS_MIN: Final = 9
"""Gangs of fewer cards find a place by the prices alone."""
_LARGEST: Final = 2**62
_ON_NODE: Final = re.compile(r"(block|slice) ([1-9]\d{0,8})")
_IN_DOMAIN: Final = re.compile(r"domain ([1-9]\d{0,8}) x ([1-9]\d{0,8})")


def prices_of(snapshot: Snapshot, plan: Plan) -> tuple[OpeningPrice, ...]:
    """Return the prices above 0 of a plan of this snapshot, for the policy of a later round."""
    return tuple(price for tier in plan.tiers for price in _of_tier(snapshot, tier) if price.price)


def start(snapshot: Snapshot, policy: Policy, rows: Rows, tier: str, zero: PriceVector) -> PriceVector | None:
    """Return the policy's opening prices of a tier in the rows of this instance; None when it has none.

    A price of a size that no job asks for any more is dropped: the descent finds out what it was good for. `zero` has
    the layout.
    """
    known = {(owner, row): price for at, owner, row, price in policy.opening_prices if at == tier}
    if not known:
        return None
    columns = row_names(rows.blocks, rows.slices, rows.domains)
    pool = np.zeros_like(zero.pool)
    for at, name in enumerate(snapshot.pool_names):
        for column, row in enumerate(columns):
            pool[at, column] = min(known.get((name, row), 0), _LARGEST)
    return PriceVector(
        pool,
        _column(known, snapshot.hub_names, "power"),
        _column(known, snapshot.quota_names, "quota"),
        _column(known, snapshot.quota_names, "guarantee"),
        _column(known, tuple(f"above-{at}" for at in range(zero.tier_ppm.size)), "tier"),
    )


def seats_of(snapshot: Snapshot, plan: Plan) -> tuple[OpeningSeat, ...]:
    """Return where a plan of this snapshot has its large gangs, for the policy of a later round in which they wait."""
    cards = dict(zip(snapshot.job_id, snapshot.shape_cards_per_task[snapshot.job_shape].tolist(), strict=True))
    seats = []
    for placement in plan.placements:
        tasks = sum(placement.tasks)
        if not placement.cards and tasks * cards[placement.job_id] >= SEAT_CARDS_MIN:
            domains = np.unique(snapshot.node_domain[list(placement.nodes)]).size
            close = WITHIN_NODE if len(placement.nodes) == 1 else WITHIN_DOMAIN if domains == 1 else WITHIN_POOL
            seats.append(OpeningSeat(placement.job_id, snapshot.pool_names[placement.pool], tasks, close))
    return tuple(seats)


def known_seats(choices: Choices, policy: Policy) -> Ints:
    """Return the pairs of the policy's opening seats, once for each gang that still waits and may still run there."""
    if not policy.opening_seats:
        return np.zeros(0, dtype=np.int64)
    snapshot, groups, pairs, kinds = choices.snapshot, choices.groups, choices.pairs, choices.kinds
    position = {job_id: job for job, job_id in enumerate(snapshot.job_id)}
    pools = {name: pool for pool, name in enumerate(snapshot.pool_names)}
    of_job = np.empty(groups.members.size, dtype=np.int64)
    of_job[groups.members] = np.repeat(np.arange(groups.count.size), groups.count)
    wanted: dict[int, tuple[int, int, int]] = {}  # of a job that is named twice the first seat
    for seat in policy.opening_seats:
        job, pool = position.get(seat.job, -1), pools.get(seat.pool, -1)
        if job >= 0 and pool >= 0:
            wanted.setdefault(job, (pool, min(seat.tasks, _LARGEST), min(seat.within, _LARGEST)))
    group = of_job[list(wanted)]
    first, size = pairs.start[group], pairs.start[group + 1] - pairs.start[group]
    of_seat = np.repeat(np.arange(group.size), size)  # every pair of every seat's group
    pair = np.repeat(first - np.append(0, np.cumsum(size))[:-1], size) + np.arange(of_seat.size)
    pool_of, tasks, within = np.array(list(wanted.values()), dtype=np.int64).reshape(-1, 3)[of_seat].T
    kind = pairs.kind[pair]
    fits = (pairs.pool[pair] == pool_of) & (kinds.tasks[kind] == tasks) & (kinds.level[kind] <= within)
    of_seat, pair = of_seat[fits], pair[fits]
    best_first = np.lexsort((-pairs.worth[pair], of_seat))
    _, best = np.unique(of_seat[best_first], return_index=True)
    found: Ints = pair[best_first[best]]
    return found


def row_names(blocks: Ints, slices: Ints, domains: Ints) -> list[str]:
    """Return the names of a pool's rows with these sizes (see `rows.Rows`), in the order of the columns."""
    sized = [f"block {size}" for size in blocks.tolist()] + [f"slice {size}" for size in slices.tolist()]
    return [*sized, *(f"domain {_of_domain(size)}" for size in domains.tolist()), "cpu", "memory"]


def sizes_named(names: Iterable[str]) -> tuple[Ints, Ints, Ints]:
    """Return the sizes of blocks, slices and domain blocks that stand in such names, each once and ascending."""
    sizes: dict[str, set[int]] = {"block": set(), "slice": set()}
    domains = set()
    for name in names:
        if match := _ON_NODE.fullmatch(name):
            sizes[match[1]].add(int(match[2]))
        elif match := _IN_DOMAIN.fullmatch(name):
            domains.add((int(match[2]), int(match[1])))
    blocks, slices = (np.array(sorted(found), dtype=np.int64) for found in sizes.values())
    return blocks, slices, np.array(sorted(domains), dtype=np.int64).reshape(-1, 2)


def _of_tier(snapshot: Snapshot, tier: Tier) -> Iterator[OpeningPrice]:
    prices = tier.prices
    tables = (
        ("block", prices.block_cards, prices.cards_micro_yuan_per_block_hour),
        ("slice", prices.slice_milli, prices.slices_micro_yuan_per_slice_hour),
        ("domain", [_of_domain(size) for size in prices.domain_blocks], prices.domains_micro_yuan_per_hour),
    )
    for name, sizes, table in tables:
        for pool, row in zip(snapshot.pool_names, table, strict=False):
            for size, price in zip(sizes, row, strict=True):
                yield OpeningPrice(tier.name, pool, f"{name} {size}", price)
    columns = (
        ("cpu", snapshot.pool_names, prices.cpu_micro_yuan_per_core_hour),
        ("memory", snapshot.pool_names, prices.memory_micro_yuan_per_gib_hour),
        ("power", snapshot.hub_names, prices.power_micro_yuan_per_kwh),
        ("quota", snapshot.quota_names, prices.quota_micro_yuan_per_pflops_hour),
        ("guarantee", snapshot.quota_names, prices.guarantee_micro_yuan_per_pflops_hour),
        ("tier", tuple(f"above-{at}" for at in range(len(prices.tier_ppm))), prices.tier_ppm),
    )
    for name, owners, column in columns:
        for owner, price in zip(owners, column, strict=False):
            yield OpeningPrice(tier.name, owner, name, price)


def _of_domain(size: Sequence[int]) -> str:
    cards, blocks = size
    return f"{blocks} x {cards}"


def _column(known: dict[tuple[str, str], int], owners: tuple[str, ...], row: str) -> Ints:
    prices = [min(known.get((owner, row), 0), _LARGEST) for owner in owners]
    return np.array(prices, dtype=np.int64)
