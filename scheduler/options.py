"""What a gang could be sure of: in each pool the earliest start that delays no promise, and what it would pay there.

The answer to a question about one job alone, as `by_time.py` has it: with all that runs, closes and is promised as it
is, and nobody else coming. Unlike there the ceilings of the job bar no pool: what it could not pay is priced all the
same, and marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scheduler.horizon import NEVER, TIME_MAX, Horizon, Promise
from scheduler.levers import with_changed
from scheduler.limits import limits_of
from scheduler.limits_ahead import LimitsAhead
from scheduler.policy import OpeningPrice, Policy
from scheduler.profile import Gang, Profile
from scheduler.promiser import Promiser, gang_of, input_seconds, latest_start_s, promise_of
from scheduler.promises import placement_of
from scheduler.snapshot import Ints, Snapshot
from scheduler.spot import StartPrice, start_prices

_ANY_CEILING: Final = 10**12
"""The highest that a snapshot can hold."""
_PPM: Final = 10**6


@dataclass(frozen=True, slots=True)
class Priced:
    """What a start costs. Money is micro-yuan."""

    price: StartPrice  # of a card-hour, whatever the ceilings are
    within_ceiling: bool  # the job's ceilings allow it
    energy_micro_yuan: int  # for the walltime
    transfer_micro_yuan: int  # of input and output
    transfer_seconds: int  # of the input


class Options:
    """The starts of one job, pool by pool."""

    def __init__(
        self, world: Snapshot, horizon: Horizon, policy: Policy, prices: Iterable[OpeningPrice], *, any_price: bool
    ) -> None:
        """Lay out what is free when.

        Args:
            world: as it is now, not cut into zones, with this job as the only one. It asks for whole cards.
            horizon: of the world, with what is promised to others.
            policy: of the rounds.
            prices: of the last round's last tier.
            any_price: look at pools too where the job's ceilings are below the ask.
        """
        margin = policy.lease_end_margin_seconds
        self._world, self._margin = world, margin
        self._profile = Profile(world, horizon, margin)
        for promise in horizon.promises:
            self._profile.take(promise)
        self._ahead = LimitsAhead(world, horizon, margin)
        job = _at_any_price(world) if any_price else world
        self._offers = Promiser(world, self._profile, policy, prices).offers_to(job)
        self._pairs = self._by_pool()

    @property
    def pools(self) -> tuple[int, ...]:
        """Pools that could hold the gang in its full size, as far as rules go."""
        return tuple(self._pairs)

    def earliest(self, pool: int, from_s: int, by_s: int) -> Promise | None:
        """Return the earliest start in this pool from one time on and up to another; None if there is none."""
        best: tuple[int, int, Gang] | None = None
        for pair in self._pairs.get(pool, ()):
            gang = gang_of(self._offers, 0, pair, self._margin)
            if gang.cards == 0 or gang.seconds >= TIME_MAX - from_s:
                continue
            begin = max(from_s, self._limits_clear_from_s(pair))
            latest = min(by_s, latest_start_s(self._world, 0, gang, self._margin), TIME_MAX - gang.seconds)
            if best is not None:
                latest = min(latest, best[0] - 1)
            at = self._profile.earliest(pool, gang, begin, latest) if begin <= latest else NEVER
            if at < NEVER:
                best = at, pair, gang
        if best is None:
            return None
        at, pair, gang = best
        nodes, tasks = self._profile.nodes_at(pool, gang, at)
        return promise_of(self._offers, 0, pair, gang, at, dict(zip(nodes, tasks, strict=True)))

    def _by_pool(self) -> dict[int, list[int]]:
        """Return the pairs of the full gang by pool, those that gain most first."""
        full = int(self._world.shape_tasks[self._world.job_shape[0]])
        found: dict[int, list[int]] = {}
        for pair in self._offers.best_first(0).tolist():
            if gang_of(self._offers, 0, pair, self._margin).tasks == full:
                found.setdefault(int(self._offers.verdict.pool[pair]), []).append(pair)
        return dict(sorted(found.items()))

    def _limits_clear_from_s(self, pair: int) -> int:
        jobs, land, verdict = self._offers.jobs, self._offers.land, self._offers.verdict
        pool, kind, tenant = int(verdict.pool[pair]), int(verdict.kind[pair]), int(jobs.job_tenant[0])
        hub = int(jobs.pool_hub[pool])
        leaf = int(land.tenant_quota[tenant, hub]) if tenant >= 0 else -1
        watts = int(land.meter[kind, pool]) if land.meter.size else 0
        use = int(land.quota_use[kind, pool]) if land.quota_use.size else 0
        return self._ahead.clear_from_s(hub, leaf, watts, use)


def priced(
    world: Snapshot, prices: Sequence[OpeningPrice], starts: Sequence[Promise], asks: Sequence[int]
) -> list[Priced]:
    """Return what these starts of the only job of the world cost.

    Args:
        world: with the job.
        prices: of the last round's last tier: what others would pay.
        starts: in any pools, of one pool several.
        asks: what is asked for a card-hour at each start, micro-yuan.
    """
    found: list[Priced | None] = [None] * len(starts)
    left = list(range(len(starts)))
    while left:  # the world has one ask for each pool: of several starts in one pool each takes a turn
        turn = list({starts[at].pool: at for at in reversed(left)}.values())
        for at, one in zip(turn, _priced(world, prices, [(starts[at], asks[at]) for at in turn]), strict=True):
            found[at] = one
        left = [at for at in left if at not in turn]
    return [each for each in found if each is not None]


def _priced(world: Snapshot, prices: Sequence[OpeningPrice], starts: Sequence[tuple[Promise, int]]) -> list[Priced]:
    here = with_asks(world, {start.pool: ask for start, ask in starts})
    placements = [placement_of(start) for start, _ in starts]
    full = start_prices(_at_any_price(here), prices, placements)
    paid = start_prices(here, prices, placements)
    energy, transfer = _energy(world, [start for start, _ in starts]), _transfer(world, [s.pool for s, _ in starts])
    pools = np.array([start.pool for start, _ in starts], dtype=np.int64)
    seconds = input_seconds(world, np.zeros(pools.size, dtype=np.int64), pools).tolist()
    return [
        Priced(replace(price, ask_micro_yuan_per_card_hour=ask), price == within and
               price.ask_micro_yuan_per_card_hour == ask, *rest)
        for price, within, (_, ask), *rest in zip(full, paid, starts, energy, transfer, seconds, strict=True)
    ]  # fmt: skip


def with_asks(world: Snapshot, asks: dict[int, int]) -> Snapshot:
    """Return the world in which these pools ask that for a card-hour, micro-yuan."""
    ask = world.pool_ask_micro_yuan_per_card_hour.copy()
    ask[list(asks)] = list(asks.values())
    return replace(world, pool_ask_micro_yuan_per_card_hour=ask)


def _at_any_price(world: Snapshot) -> Snapshot:
    return with_changed(world, job_ceiling_micro_yuan_per_pflops_hour=np.array([_ANY_CEILING], dtype=np.int64))


def _energy(world: Snapshot, starts: Sequence[Promise]) -> list[int]:
    """Return what the gangs' energy costs in their walltime, PUE included, rounded up."""
    limits, walltime = limits_of(world), int(world.job_walltime_seconds[0])
    found = []
    for start in starts:
        watts = start.cards * int(limits.pool_watts[start.pool]) * int(limits.pool_pue_ppm[start.pool]) // _PPM
        per_kwh = int(world.hub_micro_yuan_per_kwh[world.pool_hub[start.pool]])
        found.append(-(-watts * walltime * per_kwh // 3_600_000))
    return found


def _transfer(world: Snapshot, pools: Sequence[int]) -> list[int]:
    """Return what moving the data costs, rounded up as the ceilings have it."""
    shape, city = int(world.job_shape[0]), int(world.job_city[0])
    hub: Ints = world.pool_hub[list(pools)]
    gib = world.shape_output_gib[shape] + np.where(world.shape_staged[shape, hub], 0, world.shape_input_gib[shape])
    cost: list[int] = (gib * world.transfer_micro_yuan_per_gib[city, hub]).tolist()
    return cost
