"""One round with time: promises are looked at, the rest is planned around them, and new ones are made.

    stand     promised gangs start when they can, or stand, or are moved where they must be
    zoned     nodes that are promised or will close become pools that are free until then
    plan      the round itself: everything that waits and is promised nothing
    promise   the longest overdue, and the best of the gangs that found no room, are promised a start

Data in, data out: equal world, horizon, policy and number of steps give the same decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from scheduler.choices import choose
from scheduler.horizon import Horizon, News, Promise
from scheduler.limits import limits_of
from scheduler.placer import last_prices
from scheduler.plan import Placement, Plan
from scheduler.planner import Stop, never, plan
from scheduler.policy import Policy
from scheduler.power_ahead import PowerAhead
from scheduler.profile import Profile, held_until_s
from scheduler.promiser import Promiser, input_seconds
from scheduler.promises import Standing, carried_out, stand
from scheduler.reasons import REFUSALS, Reason
from scheduler.refusals import Refusals
from scheduler.snapshot import Ints, Snapshot
from scheduler.spare import CARDS, CPU, FIRST, MEMORY, POOL, SHARE_OF_CARD, WATTS, taken
from scheduler.workers import Inline, Workers
from scheduler.zones import Zoned, zoned

_INLINE = Inline()
_OF_ZONES: Final = frozenset({Reason.GANG_TOO_LARGE, Reason.POOL_CLOSED})
"""Reasons that may be true of a zone and not of its pool."""
_ONE_CARD: Final = np.array([1, 0, 0], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Decision:
    """What a round decided. Nodes and pools are those of the world it was given."""

    zoned: Zoned  # the world that was planned: its pools are the zones
    plan: Plan  # of that world
    starts: tuple[Placement, ...]  # promised gangs that start
    placements: tuple[Placement, ...]  # everything that starts now, those first
    refusals: Refusals  # what waits on and is promised nothing yet
    promises: tuple[Promise, ...]  # that stand after the round, new ones included
    made: tuple[Promise, ...]  # the new ones
    news: tuple[News, ...]  # of those that stood before
    profile: Profile  # after the round


def decide(
    world: Snapshot, horizon: Horizon, policy: Policy, stop: Stop = never, workers: Workers = _INLINE
) -> Decision:
    """Decide a round. Raises: BadSnapshot: the horizon is not one of this world."""
    profile, standing, around = before_planning(world, horizon, policy)
    planned = plan(around.world, policy, stop, workers)
    placements = planned.placements
    if around.has_zones:
        placements = tuple(around.unzoned(each) for each in placements)
    start(profile, world, placements, policy.lease_end_margin_seconds)
    refusals = _refusals(world, around, planned, policy)
    made: list[Promise] = []
    if policy.promises_max > len(standing.promises) and refusals:
        promiser = Promiser(world, profile, policy, last_prices(around.world, planned))
        made = promiser.promise(refusals, standing.promises)
    promised = {each.job_id for each in made}
    return Decision(
        zoned=around,
        plan=planned,
        starts=tuple(standing.starts),
        placements=(*standing.starts, *placements),
        refusals=refusals.without(promised),
        promises=(*standing.promises, *made),
        made=tuple(made),
        news=tuple(standing.news),
        profile=profile,
    )


def before_planning(world: Snapshot, horizon: Horizon, policy: Policy) -> tuple[Profile, Standing, Zoned]:
    """Return what a round does before it plans: it looks at the promises, and at what is left beside them.

    The zoned world holds what waits and is promised nothing. Raises: BadSnapshot: as `decide`.
    """
    profile = Profile(world, horizon, policy.lease_end_margin_seconds)
    standing = stand(world, profile, horizon.promises)
    promised = {each.job_id for each in standing.starts} | {each.job_id for each in standing.promises}
    left = carried_out(world, standing.starts)
    if promised:
        left = left.of_jobs([job for job, job_id in enumerate(world.job_id) if job_id not in promised])
    return profile, standing, zoned(left, profile, policy.lease_end_margin_seconds)


def start(profile: Profile, world: Snapshot, placements: Sequence[Placement], margin_seconds: int) -> None:
    """Count jobs of the world as running in the profile. A card that shares split is gone until the last of them ends.

    They hold what they have as long as the leases that they become: until the margin after their end. Others may join
    the shares, but not for longer than a promise allows: its nodes are a zone by then.
    """
    _start_all(profile, [(world, placements)], margin_seconds)


def start_leased(profile: Profile, leased: Sequence[tuple[Snapshot, Placement]], margin_seconds: int) -> None:
    """Count what was leased beside a round as running, each with the jobs that it is of, as `start` does."""
    _start_all(profile, _by_jobs(leased), margin_seconds)


def _by_jobs(leased: Sequence[tuple[Snapshot, Placement]]) -> list[tuple[Snapshot, list[Placement]]]:
    """Return together what is of the same jobs, as what was leased by one commit is."""
    groups = ([*group] for _, group in groupby(leased, key=lambda each: id(each[0])))
    return [(group[0][0], [placement for _, placement in group]) for group in groups]


def _start_all(profile: Profile, parts: Sequence[tuple[Snapshot, Sequence[Placement]]], margin_seconds: int) -> None:
    # At once: each time all that the profile knows is put in order anew, and thousands are leased beside a round.
    held = [_held(world, placements, margin_seconds) for world, placements in parts if placements]
    if held:
        pool, until, watts, node, ends, amounts = (np.concatenate(column) for column in zip(*held, strict=True))
        profile.power.start(pool, until, watts)
        profile.start(node, ends, amounts)


def _held(world: Snapshot, placements: Sequence[Placement], margin_seconds: int) -> tuple[Ints, ...]:
    """Return what jobs of the world hold when they start now: pools, ends and watts; nodes, ends and amounts."""
    gangs = taken(limits_of(world), world, placements)
    pool, watts = gangs.table[:, POOL], gangs.table[:, WATTS]
    until = world.taken_at_s + _held_seconds(world, placements, pool, margin_seconds)
    gang = np.searchsorted(gangs.table[:, FIRST], np.arange(len(gangs.entries)), side="right") - 1
    node, tasks, card = gangs.entries.T
    ends = until[gang]
    new = np.flatnonzero((gangs.table[gang, SHARE_OF_CARD] > 0) & (card < 0))
    new = new[np.lexsort((-ends[new], card[new], node[new]))]
    first = np.ones(new.size, dtype=bool)
    first[1:] = (np.diff(node[new]) != 0) | (np.diff(card[new]) != 0)
    split = new[first]
    amounts = [tasks[:, None] * gangs.table[gang][:, [CARDS, CPU, MEMORY]], np.tile(_ONE_CARD, (split.size, 1))]
    return (
        pool, until, watts,
        np.concatenate([node, node[split]]), np.concatenate([ends, ends[split]]), np.concatenate(amounts),
    )  # fmt: skip


def within_power(
    world: Snapshot,
    horizon: Horizon,
    promises: Sequence[Promise],
    leased: Sequence[tuple[Snapshot, Placement]],
    placements: Sequence[Placement],
    margin_seconds: int,
) -> list[Placement]:
    """Return those of a round's placements that leave power to its promises beside what was leased meanwhile.

    A promised gang that starts has its own; of others those of the least worth are left out.

    Args:
        world, horizon: those of the round.
        promises: that stand after it.
        leased: meanwhile, with the jobs that they are of.
        margin_seconds: of the policy.
    """
    power = PowerAhead(world, horizon, held_until_s(horizon, world.taken_at_s, margin_seconds))
    for promise in promises:
        power.take(promise)
    if not power.hubs_with_spans:
        return list(placements)
    for jobs, those in _by_jobs(leased):
        power.start(*_drawn(jobs, those, margin_seconds))
    promised = {each.job_id for each in horizon.promises}
    power.start(*_drawn(world, [each for each in placements if each.job_id in promised], margin_seconds))
    others = [each for each in placements if each.job_id not in promised]
    others.sort(key=lambda each: -each.worth_micro_yuan_per_hour)
    kept = power.kept(*_drawn(world, others, margin_seconds)).tolist()
    out = {each.job_id for each, stays in zip(others, kept, strict=True) if not stays}
    return [each for each in placements if each.job_id not in out]


def draws_within(profile: Profile, world: Snapshot, placement: Placement, margin_seconds: int) -> bool:
    """Return whether a gang that starts now has power in the profile for as long as it runs."""
    [pool], [ends_s], [watts] = (each.tolist() for each in _drawn(world, [placement], margin_seconds))
    now = world.taken_at_s
    return profile.power.earliest(pool, watts, ends_s - now, now, now) == now


def _drawn(world: Snapshot, placements: Sequence[Placement], margin_seconds: int) -> tuple[Ints, Ints, Ints]:
    """Return pool, end, and watts at the meter, of gangs that start now."""
    table = taken(limits_of(world), world, placements).table
    pool = table[:, POOL]
    return pool, world.taken_at_s + _held_seconds(world, placements, pool, margin_seconds), table[:, WATTS]


def _held_seconds(world: Snapshot, placements: Sequence[Placement], pool: Ints, margin_seconds: int) -> Ints:
    """Return for how long gangs that start now may hold what they have."""
    job = np.array([world.job_index[each.job_id] for each in placements], dtype=np.int64)
    seconds: Ints = input_seconds(world, job, pool) + world.job_walltime_seconds[job] + margin_seconds
    return seconds


def _refusals(world: Snapshot, around: Zoned, planned: Plan, policy: Policy) -> Refusals:
    """Return the refusals as they are in the world: what is too large for a zone may be so for no pool."""
    refusals = Refusals.of(planned.refusals)
    if not around.has_zones:
        return refusals
    of_zones = refusals.where(refusals.having(_OF_ZONES))
    known = {}
    if of_zones:
        alone = choose(world.of_jobs([world.job_index[name] for name in of_zones.names]), policy)
        groups = alone.groups
        group = np.repeat(np.arange(groups.count.size), groups.count)
        for at, job in zip(group.tolist(), groups.members.tolist(), strict=True):
            reason = REFUSALS[alone.nearest_code[at]]
            fits = bool(alone.eligible[at]) or reason not in _OF_ZONES
            known[of_zones.names[job]] = Reason.RESERVED if fits else reason
    return refusals.with_reasons(known).in_pools(around.pool_of)
