"""What would start a job that waits, now or by a time, as offers with a sentence for people."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from broker.market.verdicts import ChangeOffer, EarliestStart
from scheduler.by_time import changes_by
from scheduler.changes import Change, Effect, changes
from scheduler.errors import UnknownJob
from scheduler.fields import PRIORITIES, UNKNOWN, WITHIN_DOMAIN
from scheduler.horizon import Horizon, Promise
from scheduler.levers import Lever
from scheduler.placer import last_prices
from scheduler.plan import Plan
from scheduler.policy import Policy
from scheduler.replanning import planned_changes
from scheduler.snapshot import Snapshot

MICRO: Final = 1_000_000
MILLI: Final = 1_000
_WITH_GRACE: Final = frozenset({Lever.WALLTIME, Lever.FINISH_BY})
"""Levers that a world counts with what grace takes beyond the margin, and people without."""


def offered_changes(
    world: Snapshot, policy: Policy, last: tuple[Snapshot, Plan] | None, job_id: str, over_seconds: int
) -> tuple[ChangeOffer, ...]:
    """Return the single changes that would start the job, the cheapest first.

    Those that start it now, or else those with which the last round would have: it is planned again only when nothing
    else helps, for that takes longest.

    Args:
        world: as it is now, with the job.
        policy: of the rounds.
        last: world and plan of the last round; None: there was none, and nothing has a price.
        job_id: the job as the world names it.
        over_seconds: by how much its walltime and its end in the world are later than asked for, for its grace.
    """
    prices = () if last is None else last_prices(*last)
    found = changes(world, policy, prices, job_id)
    if not found and last is not None:
        try:
            found = planned_changes(*last, job_id)
        except UnknownJob:  # it came after the last round: the next one decides
            found = ()
    return tuple(_offer(each, over_seconds) for each in found)


def offered_by(
    world: Snapshot,
    horizon: Horizon,
    policy: Policy,
    last: tuple[Snapshot, Plan] | None,
    job_id: str,
    over_seconds: int,
    start_by: datetime,
    not_before: datetime | None,
) -> tuple[EarliestStart, tuple[ChangeOffer, ...]]:
    """Return when the job could start as it is, and the single changes with which it could in time.

    Args:
        world: as it is now, with the job; its pools not cut into zones.
        horizon: of the world, with leases and what is promised.
        policy: of the rounds.
        last, job_id, over_seconds: as for `offered_changes`.
        start_by: aware time by which it is to start.
        not_before: the job's own earliest start.
    """
    prices = () if last is None else last_prices(*last)
    first = 0 if not_before is None else math.ceil(not_before.timestamp())
    found = changes_by(world, horizon, policy, prices, job_id, math.floor(start_by.timestamp()), first)
    return _earliest(world, found.as_it_is), tuple(_offer(each, over_seconds) for each in found.changes)


def _earliest(world: Snapshot, promise: Promise | None) -> EarliestStart:
    if promise is None:
        return EarliestStart(None, "", "", "as it is, no time is known at which it could start")
    place, at = world.pool_names[promise.pool], datetime.fromtimestamp(promise.start_s, UTC)
    cluster, _, pool = place.partition("/")
    said = f"as it is, it could start {_when(promise, world)} in {place} if nobody else came"
    return EarliestStart(at, cluster, pool, said)


def _offer(change: Change, over_seconds: int) -> ChangeOffer:
    if change.lever in _WITH_GRACE:
        change = replace(change, before=change.before - over_seconds, after=change.after - over_seconds)
    place = change.pool_name.partition(" ")[0]  # a zone of a pool bears the pool's name and a time
    cluster, _, pool = place.partition("/")
    promise = change.promise
    return ChangeOffer(
        lever=change.lever,
        effect=change.effect,
        before=change.before,
        after=change.after,
        name=change.name,
        extra_micro_yuan_per_hour=change.extra_micro_yuan_per_hour,
        cluster=cluster,
        pool=pool,
        instead_of_jobs=len(change.instead),
        detail=f"{_what(change)}: {_then(change, place)}",
        starts_at=None if promise is None else datetime.fromtimestamp(promise.start_s, UTC),
    )


def _what(change: Change) -> str:
    before, after, none = change.before, change.after, change.after == UNKNOWN
    words = {
        Lever.ROUND_TRIP: "set no limit of the round trip"
        if none
        else f"allow a round trip of {after / MILLI:.3f} ms instead of {before / MILLI:.3f} ms",
        Lever.TRANSFER: "set no limit of the input's time on its way"
        if none
        else f"allow the input {after} s on its way instead of {before} s",
        Lever.FINISH_BY: f"let it be done by {_time(after)}, later than {_time(before)}",
        Lever.HUB: f"allow hub {change.name}",
        Lever.OWNER: f"allow owner {change.name}",
        Lever.FOREIGN_MODELS: "allow models of foreign origin",
        Lever.WITHIN: f"let it spread over {'one fabric domain' if after == WITHIN_DOMAIN else 'the pool'}",
        Lever.CEILING: f"raise the ceiling by {yuan_text(after - before)} yuan per PFLOPS-hour "
        f"to {yuan_text(after)} yuan (at most {yuan_text(change.extra_micro_yuan_per_hour)} yuan more an hour)",
        Lever.PRIORITY: f"make it {PRIORITIES[after] if 0 <= after < len(PRIORITIES) else after}",
        Lever.WALLTIME: f"ask for {after} s of walltime instead of {before} s",
        Lever.CARDS_PER_TASK: f"ask for as many cards in smaller tasks, {after} cards each instead of {before}",
        Lever.TASKS: f"ask for {after} tasks instead of {before}",
        Lever.QUOTA: f"an operator lets quota {change.name} use {(after - before) / MICRO:.3f} PFLOPS more",
    }
    return words[change.lever]


def _then(change: Change, place: str) -> str:
    if change.effect is Effect.STARTS_NOW:
        return f"starts now in {place}"
    if change.promise is not None:
        return f"could start {_when(change.promise, change.world)} in {place}"
    others = len(change.instead)
    instead = f", instead of {others} other job{'s' * (others != 1)}" if others else ""
    return f"the last round, planned again with it, starts it in {place}{instead}"


def _when(promise: Promise, world: Snapshot) -> str:
    return "now" if promise.start_s == world.taken_at_s else f"by {_time(promise.start_s)}"


def yuan_text(micro_yuan: int) -> str:
    """Return yuan with a digit for each micro-yuan that there is, two at least: a rounded ceiling would not do."""
    whole, rest = divmod(micro_yuan, MICRO)
    return f"{whole}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
