"""When a waiting gang could start at the earliest, and the least single changes with which it starts by a time.

The question is that of a new promise: with all that runs, closes and is promised as it is, and nobody else coming, when
and where does the gang fit whole for as long as it runs? The promise that answers comes with each answer.

    room,     nodes and power by their `Profile`: nothing that is promised to others is delayed
    power
    quotas    as they are once the leases have ended that do so before the start; what promised gangs will use is not
              taken off: it is not kept back for them in rounds either
    price     as for a start now it pays the last round's prices, or its use is within what is guaranteed and not in
              use; one that is overdue is promised a start whatever others pay

Of each lever the least change is offered. A raise of the ceiling, a shorter walltime and a later end are exact: one
micro-yuan or second less of the change does not do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.arrivals import Offers
from scheduler.changes import (
    Change,
    Effect,
    by_lever,
    change_of,
    least_ceiling,
    one_hub,
    one_owner,
    raised_quota,
    without_quotas,
)
from scheduler.errors import UnknownJob
from scheduler.fields import UNKNOWN
from scheduler.horizon import NEVER, TIME_MAX, Horizon, Promise
from scheduler.levers import WALLTIME_PART_MIN, Lever, Step, steps, with_changed
from scheduler.limits_ahead import LimitsAhead
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice, Policy
from scheduler.profile import Gang, Profile
from scheduler.promiser import Promiser, gang_of, latest_start_s, overdue_from_s, promise_of
from scheduler.promises import placement_of
from scheduler.snapshot import Ints, Snapshot

_OF_NOW = frozenset({Lever.FINISH_BY, Lever.WALLTIME})
"""Levers whose steps in `levers.py` are for a start now."""


@dataclass(frozen=True, slots=True)
class StartBy:
    """When a job could start, and what would start it in time."""

    as_it_is: Promise | None  # the earliest start; None: never, as things are known
    changes: tuple[Change, ...]  # none if it starts in time as it is


def changes_by(
    world: Snapshot,
    horizon: Horizon,
    policy: Policy,
    prices: Iterable[OpeningPrice],
    job_id: str,
    by_s: int,
    not_before_s: int = 0,
) -> StartBy:
    """Return when the job could start as it is, and the single changes with which it could by `by_s`.

    Args:
        world: as it is now, its pools not cut into zones; of its jobs only this one counts.
        horizon: of the world; what is promised to the job itself does not count.
        policy: of the rounds.
        prices: of the last round's last tier, `placer.last_prices`.
        job_id: a job of the world that waits and asks for whole cards. Shares are promised nothing: of a job that asks
            for one neither is known.
        by_s: epoch seconds.
        not_before_s: the job's own earliest start.
    Raises: UnknownJob: the world holds no such job. BadSnapshot: the horizon is not one of this world.
    """
    if job_id not in world.job_id:
        raise UnknownJob("job_id", f"{job_id!r} is not in this world")
    alone = world.of_one_job(world.job_id.index(job_id))
    others = tuple(each for each in horizon.promises if each.job_id != job_id)
    ahead = _Ahead(alone, replace(horizon, promises=others), policy, by_s, max(not_before_s, world.taken_at_s))
    proof = _By(alone, ahead, policy, tuple(prices))
    as_it_is = proof.earliest(alone)
    if as_it_is is not None and as_it_is.start_s <= by_s:
        return StartBy(as_it_is, ())
    found = [proof.first(step for step in each if step.lever not in _OF_NOW) for each in steps(alone)]
    found += [proof.first(_later_end(alone, proof)), proof.first(_shorter(alone, proof))]
    found += [least_ceiling(alone, proof), one_hub(alone, proof), one_owner(alone, proof), _quota(alone, proof)]
    return StartBy(as_it_is, by_lever(found))


class _Ahead:
    """Room over time for a gang that may start from one time on, up to another; looked for once for each gang."""

    def __init__(self, world: Snapshot, horizon: Horizon, policy: Policy, by_s: int, begin_s: int) -> None:
        self.horizon, self.margin = horizon, policy.lease_end_margin_seconds
        self.by_s, self.begin_s = by_s, begin_s
        self.profile = Profile(world, horizon, self.margin)
        for promise in horizon.promises:
            self.profile.take(promise)
        table = self.profile.table
        power = np.isin(world.pool_hub, list(self.profile.power.hubs_with_spans))
        spans = np.concatenate([world.node_pool[np.flatnonzero(table.head >= 0)], np.flatnonzero(power)])
        self._pools_with_spans = frozenset(spans.tolist())
        self._pool_start = np.searchsorted(world.node_pool, np.arange(len(world.pool_names) + 1)).tolist()
        released = np.repeat(np.arange(len(world.node_names)), np.diff(table.release_start))
        in_time = table.release_at <= by_s
        self._most = np.maximum(table.free, 0)  # that is ever free by then: spans only take from it
        np.add.at(self._most, released[in_time], table.released[in_time])
        self._most[~table.usable] = 0
        self._known: dict[tuple[int, Gang, int], int] = {}

    def earliest(self, pool: int, gang: Gang, not_before_s: int) -> int:
        """Return the first time up to `by_s` at which the gang fits; NEVER if there is none."""
        if pool not in self._pools_with_spans:
            gang = replace(gang, seconds=1)  # room only grows there: how long it stays makes no difference
        key = (pool, gang, not_before_s)
        if key not in self._known:
            room = self._has_room(pool, gang)
            self._known[key] = self.profile.earliest(pool, gang, not_before_s, self.by_s) if room else NEVER
        return self._known[key]

    def last_change_s(self, pool: int) -> int:
        """Return when room in the pool grows for the last time by `by_s`, or its search begins."""
        low, high = self._pool_start[pool : pool + 2]
        table = self.profile.table
        times = table.release_at[table.release_start[low] : table.release_start[high]]
        return int(times[times <= self.by_s].max(initial=self.begin_s))

    def _has_room(self, pool: int, gang: Gang) -> bool:
        """Return whether the pool could hold the gang by then if nothing was promised or closed: looked at fast."""
        low, high = self._pool_start[pool : pool + 2]
        asked = gang.need > 0
        fit = (self._most[low:high, asked] // gang.need[asked]).min(axis=1)
        return int(fit.sum()) >= gang.tasks


class _By:
    """A `Proof`: looks for promises to changed jobs, one at a time, in the same world."""

    def __init__(self, world: Snapshot, ahead: _Ahead, policy: Policy, prices: Sequence[OpeningPrice]) -> None:
        self.ahead, self._policy, self._prices = ahead, policy, prices
        self._promiser = Promiser(world, ahead.profile, policy, prices)
        self._limits_ahead = LimitsAhead(world, ahead.horizon, ahead.margin)

    def beside(self, world: Snapshot) -> _By:
        """Return the same for a world with other quotas."""
        return _By(world, self.ahead, self._policy, self._prices)

    def promise(self, job: Snapshot) -> Promise | None:
        """Return what could be promised to the only job of this snapshot by the time, where it gains most."""
        offers = self.offers(job)
        for pair, gang, from_s in self.places(offers):
            at = self.ahead.earliest(int(offers.verdict.pool[pair]), gang, from_s)
            if at <= self._latest(job, gang):
                return self._promised(offers, pair, gang, at)
        return None

    def earliest(self, job: Snapshot) -> Promise | None:
        """Return the earliest start that could be promised to the only job of this snapshot, at any time."""
        offers, best = self.offers(job), None
        for pair, gang, from_s in self.places(offers):
            latest = min(latest_start_s(job, 0, gang, self.ahead.margin), TIME_MAX - gang.seconds)
            if best is not None:
                latest = min(latest, best[0] - 1)
            at = self.ahead.profile.earliest(int(offers.verdict.pool[pair]), gang, from_s, latest)
            if at < NEVER:
                best = at, pair, gang
        return None if best is None else self._promised(offers, best[1], best[2], best[0])

    def start(self, job: Snapshot) -> Placement | None:
        """Return where the only job of this snapshot would start by the time; None: it would not."""
        promise = self.promise(job)
        return None if promise is None else placement_of(promise)

    def first(self, candidates: Iterable[Step]) -> Change | None:
        """Return the first of these steps with which the job could be promised a start by the time."""
        for step in candidates:
            promise = self.promise(step.job)
            if promise is not None:
                return change_of(step, placement_of(promise), Effect.STARTS_BY, promise=promise)
        return None

    def offers(self, job: Snapshot) -> Offers:
        """Return what the only job of this snapshot would take and gain, pool by pool."""
        return self._promiser.offers_to(job)

    def places(self, offers: Offers) -> Iterator[tuple[int, Gang, int]]:
        """Yield pairs of the job that it pays for, the best first: what it takes, and from when on limits allow it."""
        jobs, land = offers.jobs, offers.land
        overdue = int(overdue_from_s(jobs, self._policy)[0]) <= jobs.taken_at_s
        tenant = int(jobs.job_tenant[0])
        for pair in offers.best_first(0).tolist():
            pool, kind = int(offers.verdict.pool[pair]), int(offers.verdict.kind[pair])
            hub = int(jobs.pool_hub[pool])
            leaf = int(land.tenant_quota[tenant, hub]) if tenant >= 0 else -1
            watts = int(land.meter[kind, pool]) if land.meter.size else 0
            use = int(land.quota_use[kind, pool]) if land.quota_use.size else 0
            if not (overdue or offers.gain[pair] > 0 or (leaf >= 0 and use <= land.headroom[leaf])):
                continue
            gang = gang_of(offers, 0, pair, self.ahead.margin)
            if gang.cards == 0 or gang.seconds >= TIME_MAX - jobs.taken_at_s:
                continue
            from_s = max(self.ahead.begin_s, self._limits_ahead.clear_from_s(hub, leaf, watts, use))
            if from_s < NEVER:
                yield pair, gang, from_s

    def by_quota(self, job: Snapshot, free: _By) -> tuple[Promise, Ints] | None:
        """Return what could be promised if no quota was in the way, `free`, as late as all has ended that does by then.

        Then least is short. With the accounts of quotas at that time.
        """
        promise = free.promise(job)
        if promise is None:
            return None
        last = self.ahead.last_change_s(promise.pool)
        at = self.ahead.profile.earliest(promise.pool, Gang.of(promise), last, self.ahead.by_s)
        if at <= min(self.ahead.by_s, self._latest(job, Gang.of(promise))):
            promise = replace(promise, start_s=at)
        return promise, self._limits_ahead.account_at(promise.start_s)

    def _latest(self, job: Snapshot, gang: Gang) -> int:
        return min(self.ahead.by_s, latest_start_s(job, 0, gang, self.ahead.margin))

    def _promised(self, offers: Offers, pair: int, gang: Gang, at: int) -> Promise:
        nodes, tasks = self.ahead.profile.nodes_at(int(offers.verdict.pool[pair]), gang, at)
        return promise_of(offers, 0, pair, gang, at, dict(zip(nodes, tasks, strict=True)))


def _later_end(alone: Snapshot, proof: _By) -> Iterator[Step]:
    """Yield the job with the least later time by which it must be done."""
    finish = int(alone.job_finish_by_s[0])
    if finish == UNKNOWN:
        return
    offers = proof.offers(with_changed(alone, job_finish_by_s=[UNKNOWN]))
    ends = []
    for pair, gang, from_s in proof.places(offers):
        at = proof.ahead.earliest(int(offers.verdict.pool[pair]), gang, from_s)
        if at < NEVER:
            ends.append(at + gang.seconds - proof.ahead.margin)
    for later in sorted({each for each in ends if each > finish}):
        yield Step(Lever.FINISH_BY, finish, later, with_changed(alone, job_finish_by_s=[later]))


def _shorter(alone: Snapshot, proof: _By) -> Iterator[Step]:
    """Yield the job with the longest shorter walltime that ends before nodes are needed, or before it is of no use."""
    asked = int(alone.job_walltime_seconds[0])
    least = max(asked // WALLTIME_PART_MIN, 1)
    if least >= asked:
        return
    shortest = with_changed(alone, job_walltime_seconds=[least])
    offers, best = proof.offers(shortest), least - 1
    for pair, gang, from_s in proof.places(offers):
        pool = int(offers.verdict.pool[pair])

        def fits(walltime: int, pool: int = pool, gang: Gang = gang, from_s: int = from_s) -> bool:
            longer = replace(gang, seconds=gang.seconds + walltime - least)
            at = proof.ahead.earliest(pool, longer, from_s)
            return at <= min(proof.ahead.by_s, latest_start_s(shortest, 0, longer, proof.ahead.margin))

        if not fits(best + 1):
            continue
        low, high = best + 1, asked
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        best = low
    if best >= least:
        yield Step(Lever.WALLTIME, asked, best, with_changed(alone, job_walltime_seconds=[best]))


def _quota(alone: Snapshot, proof: _By) -> Change | None:
    """Return the one quota that keeps the job out until then, raised by what is short; None: not one alone."""
    free = without_quotas(alone)
    found = None if free is None else proof.by_quota(free, proof.beside(free))
    if found is None:
        return None
    promise, account = found
    step = raised_quota(alone, placement_of(promise), account)
    return None if step is None else proof.beside(step.job).first([step])
