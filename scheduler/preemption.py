"""Preemption: which running work is stopped after a round, so that a waiting gang starts within a stated time.

Two kinds of gangs may stop others:

    GUARANTEE  a quota of their tenant is guaranteed so much more than it uses that the gang fits within; then work of
               other quotas may be stopped, of their own tier or one below
    TIER       work of a tier below may be stopped

What must hold for the leases that are stopped, the *victims*:

    (1) they may be preempted, were not stopped before without a checkpoint since, and need no more grace than
        `Policy.reclaim_seconds_max`
    (2) together they lose no more work than is left of the hour's budget
    (3) no quota is left with less of its guarantee in use than before: who would have to reclaim in turn is let run
    (4) with what they held, the gang has whole nodes, power and quota from the end of the longest grace on, power
        beside all that is promised
    (5) no victim can be left out, and of the choices looked at they lose least for the cards of the gang

The gang is promised that start: `grace + lease_end_margin_seconds` from now at the latest; nobody else gets the room.
Guarantees come first, as in the order of plans, then the tiers; a gang that will have room by then anyway stops nobody.

How it is driven. After `decide`, the caller hands over what is left of the hour's budget, stores `Reclaim.promises` in
place of the decision's, books the lost work, and orders the agents to stop each lease with its grace. The job waits
again and counts as moved until its next checkpoint. In the rounds after, a lease that was ordered to stop ends at the
order and its grace (`with_stops` says the same of the horizon of this round); `promises.stand` starts the gang when the
nodes are free, in a round of its own if none is due. So a reclaim takes grace, margin and one round. A promise holds
nodes and power, not quota: that is asked again at the start. Promises of tiers below stand: room that is promised from
a time on is not given to a gang of a tier above that would run beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from scheduler.accounts import Accounts, Draw
from scheduler.arrivals import Offers
from scheduler.clearing import Clearing
from scheduler.decide import Decision
from scheduler.horizon import TIME_MAX, Horizon, Promise
from scheduler.limits import limits_of
from scheduler.placer import last_prices
from scheduler.policy import Policy
from scheduler.power_ahead import Stop
from scheduler.profile import Gang
from scheduler.promiser import BLOCKED_OR_OUTBID, Promiser, gang_of, promise_of
from scheduler.reasons import Reason
from scheduler.reclaim import Claim, Preemption, Reclaim
from scheduler.snapshot import Ints, Snapshot
from scheduler.victims import Allowed, Choice, Chooser

GANGS_MAX: Final = 64
"""Waiting gangs that are looked at in one round."""
_PAIRS_MAX: Final = 16
"""Of a gang, by gain: further pools and sizes are not looked at."""
_OTHERS_MAX: Final = 256
"""Leases that are looked at for power and quotas, those that lose least first."""
_HELPED: Final = BLOCKED_OR_OUTBID | {Reason.POWER_SHORT, Reason.QUOTA_SHORT}
"""Reasons of waiting that stopped leases may do away with."""


def preempt(world: Snapshot, horizon: Horizon, decision: Decision, policy: Policy, budget_card_seconds: int) -> Reclaim:
    """Choose what to stop after a round. `decision.profile` holds the new promises afterwards.

    Args:
        world, horizon: those of the decision.
        budget_card_seconds: what is left of `Policy.churn_card_seconds_max` in this hour.
    Raises: BadSnapshot: the horizon is not one of this world.
    """
    horizon.check_against(world)
    search = _Search(world, horizon, decision, policy, budget_card_seconds)
    return search.run()


def preemptible(world: Snapshot, horizon: Horizon, clearing: Clearing, grace_seconds_max: int) -> Ints:
    """Return the leases that may be stopped at all, whoever asks: rule (1), and stopping them frees something."""
    grace = horizon.lease_grace_seconds
    may = horizon.lease_preemptible & ~horizon.lease_moved & (grace <= grace_seconds_max)
    may &= horizon.lease_ends_at_s > world.taken_at_s + grace
    leases = clearing.whole()
    return leases[may[leases]]


@dataclass(frozen=True, slots=True)
class _Found:
    """What one pair of a gang would take."""

    promise: Promise
    choice: Choice
    draw: Draw


class _Search:
    def __init__(self, world: Snapshot, horizon: Horizon, decision: Decision, policy: Policy, budget: int) -> None:
        self._world, self._horizon, self._decision, self._policy = world, horizon, decision, policy
        self._margin = policy.lease_end_margin_seconds
        self._clearing = Clearing(world, horizon, decision.profile, self._margin)
        self._open = set(preemptible(world, horizon, self._clearing, policy.reclaim_seconds_max).tolist())
        self._lost: list[int] = horizon.lease_lost_card_seconds.tolist()
        self._tier: list[int] = horizon.lease_tier.tolist()
        self._may_stop: dict[tuple[int, int], dict[int, Claim]] = {}
        self._grace: list[int] = horizon.lease_grace_seconds.tolist()
        self._limits = limits_of(world)
        self._accounts = Accounts(world, self._limits, horizon, self._clearing, decision.placements)
        self._left = budget
        self._kept: list[Promise] = []  # places that nobody is promised, kept while this search goes on

    def run(self) -> Reclaim:
        promised = {each.job_id: each for each in self._decision.promises}
        jobs = self._claimants(promised)
        made: dict[str, Promise] = {}
        preemptions: list[Preemption] = []
        if jobs:
            prices = last_prices(self._decision.zoned.world, self._decision.plan)
            offers = Promiser(self._world, self._decision.profile, self._policy, prices).offers(jobs)
            for job in self._in_order(offers):
                job_id = offers.jobs.job_id[job]
                found = self._best(offers, job, promised.get(job_id))
                if found is not None:
                    preemptions += self._carry_out(offers, job, found)
                    made[job_id] = found.promise
        for place in self._kept:
            self._decision.profile.give_back(place)
        stands = [made.get(each.job_id, each) for each in self._decision.promises]
        stands += [each for job_id, each in made.items() if job_id not in promised]
        return Reclaim(tuple(preemptions), tuple(stands), tuple(made.values()))

    def _claimants(self, promised: dict[str, Promise]) -> list[int]:
        """Return the waiting jobs that may stop anything, those of the highest tiers first, at most so many."""
        world = self._world
        if not self._open:
            return []
        refused = self._decision.refusals
        waits = set(refused.where(refused.having(_HELPED)).names)
        waits |= {each.job_id for each in promised.values() if each.not_before_s <= world.taken_at_s}
        lowest = int(self._horizon.lease_tier[sorted(self._open)].max())
        entitled = self._accounts.entitled()
        jobs = [
            job
            for job, job_id in enumerate(world.job_id)
            if job_id in waits and (world.job_tier[job] < lowest or entitled[world.job_tenant[job]])
        ]
        jobs.sort(key=lambda job: (not entitled[world.job_tenant[job]], int(world.job_tier[job]), job))
        return jobs[:GANGS_MAX]

    def _in_order(self, offers: Offers) -> list[int]:
        """Return guaranteed work first, then tier by tier who gains most."""
        entitled, gains, jobs = self._accounts.entitled(), offers.best_gains.tolist(), offers.jobs
        return sorted(
            range(len(jobs.job_id)),
            key=lambda job: (not entitled[jobs.job_tenant[job]], int(jobs.job_tier[job]), -gains[job], job),
        )

    def _best(self, offers: Offers, job: int, before: Promise | None) -> _Found | None:
        """Return what loses least for the cards of the gang; None if nothing may be stopped, or need not be."""
        profile = self._decision.profile
        if before is not None:
            profile.give_back(before)
        best: _Found | None = None
        for pair in offers.best_first(job)[:_PAIRS_MAX].tolist():
            gang = gang_of(offers, job, pair, self._margin)
            if gang.cards == 0 or gang.seconds >= TIME_MAX:
                continue
            found = self._of_pair(offers, job, pair, gang)
            if found is not None and not found.choice.victims:
                self._has_room(found.promise, before)
                best = None
                break
            if found is not None and (best is None or _dearness(found) < _dearness(best)):
                best = found
        if best is not None and before is not None:
            sooner = best.promise.start_s < before.start_s
            best = replace(best, promise=replace(best.promise, promised_s=before.promised_s)) if sooner else None
        if before is not None and best is None:
            profile.take(before)
        return best

    def _has_room(self, place: Promise, before: Promise | None) -> None:
        """Keep its place for a gang that will have room as things stand, while others look for theirs."""
        if before is None:
            self._decision.profile.take(place)
            self._kept.append(place)

    def _of_pair(self, offers: Offers, job: int, pair: int, gang: Gang) -> _Found | None:
        world, pool = self._world, int(offers.verdict.pool[pair])
        draw = self._accounts.draw(pool, int(offers.jobs.job_tenant[job]), gang.tasks * gang.cards)
        candidates = self._candidates(int(offers.jobs.job_tier[job]), draw)
        if not candidates:
            return None
        at = self._start_s(candidates)
        finish_by, until = int(offers.jobs.job_finish_by_s[job]), int(world.pool_until_s[pool])
        ends = at + gang.seconds - self._margin  # the margin after it is no longer the gang's own
        if any(0 <= limit < ends for limit in (finish_by, until, TIME_MAX)):
            return None
        running = {lease for lease in candidates if self._clearing.ends_s[lease] > at}
        choice = self._choice(running, draw, gang, at)
        if choice is None:
            return None
        start_s = self._start_s(choice.victims)
        soon = self._clearing.rooms(pool, gang, start_s)
        if any(soon.of(node, choice.victims) < tasks for node, tasks in choice.places.items()):
            start_s = at  # something else ends between the two
        promise = promise_of(offers, job, pair, gang, start_s, choice.places)
        return _Found(promise, choice, draw) if self._has_power(promise, choice.victims) else None

    def _has_power(self, promise: Promise, victims: frozenset[int]) -> bool:
        """Return whether the hub has power for the gang, all its time, when these are stopped."""
        power, stops = self._decision.profile.power, self._stops(victims)
        power.stop(stops)
        has = power.has_room(promise)
        power.run_on(stops)
        return has

    def _stops(self, victims: Iterable[int]) -> list[Stop]:
        """Return when the power of these leases is free if they are ordered to stop now."""
        clearing = self._clearing
        return [
            Stop(lease, int(clearing.pool[lease]), self._start_s([lease]), clearing.ends[lease])
            for lease in sorted(victims)
        ]

    def _start_s(self, leases: Iterable[int]) -> int:
        """Return when all that these hold is free for certain if they are ordered to stop now."""
        grace = max((self._grace[lease] for lease in leases), default=0)
        return self._world.taken_at_s + max(grace + self._margin, 1)

    def _candidates(self, tier: int, draw: Draw) -> dict[int, Claim]:
        """Return the leases that a gang may stop, and by which right."""
        key = tier, draw.guarantee
        if key not in self._may_stop:
            claims = {lease: self._claim(tier, draw, lease) for lease in self._open}
            self._may_stop[key] = {lease: claim for lease, claim in claims.items() if claim is not None}
        return self._may_stop[key]

    def _claim(self, tier: int, draw: Draw, lease: int) -> Claim | None:
        """Return by which right a gang may stop the lease."""
        if self._tier[lease] > tier:
            return Claim.TIER
        if self._tier[lease] == tier and draw.guarantee >= 0 and self._accounts.outside(lease, draw.guarantee):
            return Claim.GUARANTEE
        return None

    def _choice(self, candidates: set[int], draw: Draw, gang: Gang, at_s: int) -> Choice | None:
        """Return whom to stop so that nodes, power and quotas are enough: rules (2) to (5)."""
        rooms = self._clearing.rooms(draw.pool, gang, at_s)
        here = [lease for lease in candidates if self._clearing.pool[lease] == draw.pool]

        def allowed(victims: frozenset[int]) -> bool:
            return sum(self._lost[lease] for lease in victims) <= self._left and self._accounts.serves(draw, victims)

        chooser = Chooser(self._clearing, here, self._lost, allowed)
        choice = chooser.choose(rooms, gang)
        if choice is None or not any(self._accounts.short(draw, choice.victims)):
            return choice
        victims = self._topped_up(chooser, candidates, allowed, draw, choice.victims)
        if victims is None:
            return None

        def holds(chosen: frozenset[int]) -> bool:
            fits = all(rooms.of(node, chosen) >= tasks for node, tasks in choice.places.items())
            return fits and not any(self._accounts.short(draw, chosen))

        victims = chooser.pruned(victims, holds)
        return Choice(victims, chooser.cost(victims), choice.places)

    def _topped_up(
        self, chooser: Chooser, candidates: set[int], allowed: Allowed, draw: Draw, victims: frozenset[int]
    ) -> frozenset[int] | None:
        """Return more victims, so that quotas and power are enough too: always who loses least for what is short."""
        others = sorted(candidates - victims, key=lambda lease: (self._lost[lease], lease))[:_OTHERS_MAX]
        while any(short := self._accounts.short(draw, victims)):
            what = 0 if short[0] else 1
            best: tuple[tuple[float, float, int], frozenset[int]] | None = None
            for lease in others:
                more = victims | {lease}
                freed = short[what] - self._accounts.short(draw, more)[what]
                if lease in victims or freed <= 0 or not allowed(more):
                    continue
                cost = chooser.cost([lease])
                score = cost.lost / freed, cost.cards / freed, lease
                if best is None or score < best[0]:
                    best = score, more
            if best is None:
                return None
            victims = best[1]
        return victims

    def _carry_out(self, offers: Offers, job: int, found: _Found) -> list[Preemption]:
        """Count the victims as stopped and the gang as promised."""
        victims = sorted(found.choice.victims)
        claims = self._candidates(int(offers.jobs.job_tier[job]), found.draw)
        told = []
        for lease in victims:
            lost, cards = self._lost[lease], int(self._clearing.cards[lease])
            told.append(Preemption(self._horizon.lease_id[lease], claims[lease], found.promise.job_id, lost, cards))
            self._clearing.stop([lease], self._start_s([lease]))
        self._decision.profile.power.stop(self._stops(victims))
        self._accounts.carry_out(found.draw, victims)
        self._decision.profile.take(found.promise)
        self._open -= found.choice.victims
        self._may_stop.clear()
        self._left -= found.choice.cost.lost
        return told


def _dearness(found: _Found) -> tuple[Fraction, Fraction]:
    """Return what a gang's room costs for each of its cards."""
    cost, cards = found.choice.cost, found.promise.cards
    return Fraction(cost.lost, cards), Fraction(cost.cards, cards)
