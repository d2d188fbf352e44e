"""A decided round beside the quotes that were accepted while it was planned: those stand, and what clashes gives way.

The round knew nothing of them. When it is committed, under the lock of the ground, nobody accepts another one. In the
pools of the accepted starts, and in all of their hubs where power is limited, everything that the round decided is
looked at once more, beside them and beside all that was promised before, where the acceptance saw it:

    starts     of promised gangs: those that still fit; the others keep the promise that they had
    promises   that stood: where the round put them if that still fits, else where they were
    placements that still fit for as long as they run; the others are handed back, and the next round looks at them
    new ones   at the next time that has room, before anybody has heard of them; without one they are not made
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from broker.market.promising import Leased, fits, moved, promises_of
from broker.market.snapshot import Prepared
from broker.store.promises import PromiseRow
from scheduler.decide import draws_within, start, start_leased
from scheduler.decided import Decided
from scheduler.fields import UNKNOWN
from scheduler.horizon import Fate, Promise
from scheduler.plan import Placement
from scheduler.profile import Profile
from scheduler.promiser import input_seconds
from scheduler.promises import anew
from scheduler.reclaim import with_stops
from scheduler.snapshot import Snapshot

GONE: Final = frozenset({Fate.GONE, Fate.BROKEN})


def beside_accepted(
    prepared: Prepared,
    decided: Decided,
    placements: Sequence[Placement],
    leased: Leased,
    accepted: Sequence[PromiseRow],
    margin_seconds: int,
) -> tuple[Decided, list[Placement]]:
    """Return the decision as far as it can stand, and those of the placements that do.

    Args:
        prepared: the round's world.
        decided: of this world.
        placements: of the decision, those that are to be committed.
        leased: what the fast lane leased since the world was read.
        accepted: the promises of the quotes.
        margin_seconds: of the policy: how long after its end a lease may hold its cards.
    """
    ground = _Ground(prepared, decided, leased, promises_of(prepared, accepted), margin_seconds)
    promised = {each.job_id for each in prepared.horizon.promises}
    first = {each.job_id for each in placements if each.job_id in promised and ground.starts(each)}
    news, made = {each.job_id: each for each in decided.news}, set(decided.made)
    by_start = _by_start(decided.promises)
    promises = [ground.stands(each) for each in by_start if each.job_id not in made]
    kept = [each for each in placements if each.job_id in first or (each.job_id not in promised and ground.fits(each))]
    promises += [ground.makes(each) for each in by_start if each.job_id in made]
    stood = [each for each in promises if each is not None]
    left = {each.job_id: each for each in stood}
    for before in decided.promises:
        if before.job_id not in made and left.get(before.job_id) != before:
            news[before.job_id] = moved(news[before.job_id], left.get(before.job_id))
    return (
        replace(
            decided,
            promises=tuple(stood),
            made=tuple(job_id for job_id in decided.made if job_id in left),
            news=tuple(news.values()),
        ),
        kept,
    )


class _Ground:
    """The pools of accepted starts over time, as the acceptances saw them, with what the round does there."""

    def __init__(
        self, prepared: Prepared, decided: Decided, leased: Leased, accepted: Sequence[Promise], margin_seconds: int
    ) -> None:
        self._world, self._margin = prepared.snapshot, margin_seconds
        self._now = self._world.taken_at_s
        self._profile = Profile(self._world, with_stops(prepared.horizon, decided.stops, self._now), margin_seconds)
        hubs = {int(self._world.pool_hub[each.pool]) for each in accepted} & self._profile.power.hubs
        self._pools = {each.pool for each in accepted}
        self._pools |= {pool for pool, hub in enumerate(self._world.pool_hub.tolist()) if hub in hubs}
        self._accepted = accepted
        self._job = {job_id: at for at, job_id in enumerate(self._world.job_id)}
        start_leased(self._profile, leased, margin_seconds)
        for promise in accepted:
            self._profile.take(promise)
        fate = {each.job_id: each.fate for each in decided.news}
        self._before: dict[str, Promise] = {}
        for promise in _by_start(prepared.horizon.promises):
            here = promise.pool in self._pools and fate.get(promise.job_id) not in GONE
            if here and self._profile.has_nodes(promise):
                self._profile.take(promise)
                self._before[promise.job_id] = promise

    def starts(self, placement: Placement) -> bool:
        """Start a promised gang if it fits beside what was accepted; else its promise stays as it was."""
        before = self._before.get(placement.job_id)
        if before is not None:
            self._profile.give_back(before)
        if self.fits(placement, before):
            return True
        if before is not None:
            self._profile.take(before)
        return False

    def fits(self, placement: Placement, before: Promise | None = None) -> bool:
        """Count a gang as running if it fits for as long as it runs. `before`: its promise, if it has one."""
        if placement.pool not in self._pools:
            return True
        shape = int(self._world.job_shape[self._job[placement.job_id]])
        if int(self._world.shape_share_milli[shape]) > 0:
            return self._keeps_away(placement)
        if not fits(self._profile, _span(self._world, self._job, placement, self._margin), before):
            return False
        start(self._profile, self._world, [placement], self._margin)
        return True

    def stands(self, promise: Promise) -> Promise | None:
        """Return a promise that stood before as it stands now; None: it cannot be kept at any time."""
        if promise.pool not in self._pools:
            return promise
        before = self._before.get(promise.job_id)
        if before is not None:
            self._profile.give_back(before)
        now: Promise | None = promise
        if not fits(self._profile, promise, before):
            now = before if before is not None else anew(self._profile, promise, self._now + 1)
        if now is not None:
            self._profile.take(now)
        return now

    def makes(self, promise: Promise) -> Promise | None:
        """Return a new promise as it can be made; None: it cannot, or not in time."""
        if promise.pool not in self._pools:
            return promise
        now = promise if self._profile.fits_at(promise) else anew(self._profile, promise, self._now + 1)
        if now is None:
            return None
        finish_by = int(self._world.job_finish_by_s[self._job[promise.job_id]])
        if finish_by != UNKNOWN and finish_by < now.end_s - self._margin:
            return None
        self._profile.take(now)
        return replace(now, promised_s=now.start_s)

    def _keeps_away(self, placement: Placement) -> bool:
        """Tell whether shares are on no node of an accepted start: they would split cards that it counts on.

        They leave it its power too.
        """
        taken = {node for each in self._accepted for node in each.nodes}
        if not taken.isdisjoint(placement.nodes):
            return False
        if not draws_within(self._profile, self._world, placement, self._margin):
            return False
        start(self._profile, self._world, [placement], self._margin)
        return True


def _span(world: Snapshot, position: Mapping[str, int], placement: Placement, margin_seconds: int) -> Promise:
    """Return a gang of whole cards that starts now as what it takes of its nodes, and until when."""
    job = position[placement.job_id]
    shape = int(world.job_shape[job])
    before = int(input_seconds(world, np.array([job]), np.array([placement.pool]))[0])
    return Promise(
        job_id=placement.job_id,
        start_s=world.taken_at_s,
        end_s=world.taken_at_s + before + int(world.job_walltime_seconds[job]) + margin_seconds,
        pool=placement.pool,
        build=placement.build,
        nodes=placement.nodes,
        tasks=placement.tasks,
        worth_micro_yuan_per_hour=0,
        cards_per_task=int(world.shape_cards_per_task[shape]),
        cpu_milli_per_task=int(world.shape_cpu_milli_per_task[shape]),
        memory_mib_per_task=int(world.shape_memory_mib_per_task[shape]),
        level=0,
    )


def _by_start(promises: Sequence[Promise]) -> list[Promise]:
    return sorted(promises, key=lambda each: (each.start_s, each.job_id))
