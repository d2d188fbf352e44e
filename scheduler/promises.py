"""Promised starts: what becomes of those that stand, and who is promised one next.

A promise holds its nodes as a span of the profile from its start to its end. In every round those that stand are looked
at first: they start when they can, are brought forward where that is possible, and are moved to a later time only when
what they were promised is gone: a node that failed or was closed, a lease that does not end, a cap or pace that was set
lower, a quota that others use. Nobody is promised anything that delays a promise made before.

Power is kept for a promise as nodes are. Where a level was set lower since, promises together may draw more than it
allows: each keeps its time until it is due, and is looked at then; what still fits starts, the others are moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.horizon import NEVER, Cause, Fate, News, Promise
from scheduler.limits import NO_LIMIT, limits_of, quota_room, quota_take
from scheduler.plan import Placement
from scheduler.profile import Gang, Profile
from scheduler.snapshot import Snapshot
from scheduler.spare import CARDS, FIRST, LEAF, POOL, USE, WATTS, taken


@dataclass(frozen=True, slots=True)
class Standing:
    """The promises of earlier rounds as they stand now."""

    starts: list[Placement]
    promises: list[Promise]
    news: list[News]


def stand(world: Snapshot, profile: Profile, promises: Iterable[Promise]) -> Standing:
    """Look at all promises; the profile then holds those that stand, and what starts now as running."""
    waiting = set(world.job_id)
    by_start = sorted(promises, key=lambda each: (each.start_s, each.job_id))
    found = Standing([], [], [])
    kept, lost = [], []
    for promise in by_start:
        if promise.job_id not in waiting:
            found.news.append(News(promise.job_id, Fate.GONE, promise.start_s, NEVER))
        elif promise.start_s >= world.taken_at_s and profile.has_nodes(promise):
            profile.take(promise)
            kept.append(promise)
        else:
            profile.power.take(own_time(promise, world.taken_at_s))  # who is brought forward does not take it from them
            lost.append(promise)
    left = _Left(world)
    for before in kept:
        profile.give_back(before)
        _look(world, profile, left, before, before, found)
    for before in lost:
        profile.power.give_back(own_time(before, world.taken_at_s))
        _look(world, profile, left, before, None, found)
    return found


def _look(
    world: Snapshot, profile: Profile, left: _Left, before: Promise, stands: Promise | None, found: Standing
) -> None:
    """Start a promise, bring it forward or move it. `stands`: as it is, if it could be kept so."""
    now = world.taken_at_s
    due, own = max(before.start_s, now), own_time(before, now)
    after, cause = anew(profile, before, now, due, own), Cause.NODES_GONE
    if after is None:
        then = replace(before, start_s=due, end_s=due + before.end_s - before.start_s)
        cause = Cause.POWER_SHORT if profile.has_nodes(then) else cause
        after = anew(profile, before, now, instead_of=own)
    if after is not None and after.start_s == now:
        short = left.take(placement_of(after))
        if short is None:
            profile.take(after)
            found.starts.append(placement_of(after))
            found.news.append(News(before.job_id, Fate.STARTED, before.start_s, now))
            return
        cause = short
        after = stands if before.start_s > now else None
        if after is None and short is Cause.POWER_SHORT:  # its own power is gone: when is there any?
            after = anew(profile, before, now + 1)
        if after is None:
            after = anew(profile, before, now + 1, instead_of=own)
    if after is None:
        found.news.append(News(before.job_id, Fate.BROKEN, before.start_s, NEVER, cause))
        return
    profile.take(after)
    found.promises.append(after)
    late = after.start_s > before.start_s
    fate = Fate.MOVED if late else Fate.KEPT
    found.news.append(News(before.job_id, fate, before.start_s, after.start_s, cause if late else None))


def own_time(promise: Promise, now_s: int) -> Promise:
    """Return when the power of a promise is its own: one that is late keeps it for its whole time from now on."""
    if promise.start_s > now_s:
        return promise
    return replace(promise, end_s=now_s + 1 + promise.end_s - promise.start_s)


def anew(
    profile: Profile, before: Promise, not_before_s: int, by_s: int = NEVER, instead_of: Promise | None = None
) -> Promise | None:
    """Return the promise at the earliest of these times at which its pool has room, which must not be taken for it.

    `instead_of`: as it was promised, when that stood before the round: see `PowerAhead.earliest`.
    """
    gang = Gang.of(before)
    at = profile.earliest(before.pool, gang, max(before.not_before_s, not_before_s), by_s, instead_of)
    if at == NEVER:
        return None
    nodes, tasks = profile.nodes_at(before.pool, gang, at)
    return replace(before, start_s=at, end_s=at + gang.seconds, nodes=nodes, tasks=tasks)


def placement_of(promise: Promise) -> Placement:
    """Return where a promised gang would run as it stands."""
    return Placement(
        promise.job_id, promise.build, promise.pool, promise.nodes, promise.tasks, promise.worth_micro_yuan_per_hour
    )


class _Left:
    """Power and quotas that are left for promises that start now."""

    def __init__(self, world: Snapshot) -> None:
        self._world, self._limits = world, limits_of(world)
        self._watts, self._account = self._limits.hub_free_watts.copy(), self._limits.account.copy()

    def take(self, placement: Placement) -> Cause | None:
        """Count a gang that starts, or return what is short for it."""
        (row,) = taken(self._limits, self._world, [placement]).table.tolist()
        hub, leaf = int(self._limits.pool_hub[row[POOL]]), row[LEAF]
        limited = self._watts[hub] < NO_LIMIT
        if limited and row[WATTS] > self._watts[hub]:
            return Cause.POWER_SHORT
        if leaf >= 0 and row[USE] > quota_room(leaf, self._limits.parent, self._account):
            return Cause.QUOTA_SHORT
        if limited:
            self._watts[hub] -= row[WATTS]
        if leaf >= 0:
            quota_take(leaf, row[USE], self._limits.parent, self._account)
        return None


def carried_out(world: Snapshot, placements: Sequence[Placement]) -> Snapshot:
    """Return the world in which these gangs of whole cards run, without their jobs: what they take is not free."""
    if not placements:
        return world
    gangs = taken(limits_of(world), world, placements)
    gang = np.searchsorted(gangs.table[:, FIRST], np.arange(len(gangs.entries)), side="right") - 1
    free = {}
    for column, name in enumerate(("cards", "cpu_milli", "memory_mib"), CARDS):
        left = getattr(world, f"node_free_{name}").copy()
        np.subtract.at(left, gangs.entries[:, 0], gangs.entries[:, 1] * gangs.table[gang, column])
        free[f"node_free_{name}"] = left
    watts, quotas = world.hub_used_watts.copy(), world.quota_used_milli_tflops.copy()
    np.add.at(watts, world.pool_hub[gangs.table[:, POOL]], gangs.table[:, WATTS])
    for leaf, use in gangs.table[:, [LEAF, USE]].tolist():
        quota = leaf
        while quota >= 0:
            quotas[quota] += use
            quota = int(world.quota_parent[quota])
    cities = world.city_used_milli_tflops.copy()
    city = world.job_city[[world.job_index[each.job_id] for each in placements]]
    np.add.at(cities, city, gangs.table[:, USE])
    return world.with_free(hub_used_watts=watts, quota_used_milli_tflops=quotas, city_used_milli_tflops=cities, **free)
