"""Planned defragmentation: which running work to move within its pool so that a blocked gang starts sooner.

A proposal names the leases to stop and where they start again, the gang that gets their nodes, and what that is worth:

    gain     worth of the gang for the time that it starts sooner, at most for the time that it runs
    loss     of each lease that is moved: the work since its last checkpoint, and the time it stands still between the
             end of its grace and the common start, at what its cards are worth
    benefit  gain - loss, rounded down; what has none is not proposed

What must hold: the leases may be preempted and were not stopped before without a checkpoint since; together they lose
no more work than is left of the hour's budget; at the start the gang has its nodes, power and quota; and each lease
has room for the rest of its walltime and the lost work, in its pool (there its build, price and place are right), each
of its parts on one node as before, and within one domain if it is so now. No promise is delayed. Only leases of the
nodes that the gang gets are moved, none to make room for another that is.

Each proposal stands by itself: carrying out one takes the ground from others. `make_room` carries out the best one for
the jobs that a horizon names: the leases are stopped and the gang is promised their nodes. They wait again like others
and are placed where there is room; it was there for all of them, and nobody keeps it for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scheduler.accounts import Accounts
from scheduler.arrivals import Offers
from scheduler.clearing import Clearing
from scheduler.decide import Decision
from scheduler.fields import WITHIN_POOL
from scheduler.horizon import NEVER, TIME_MAX, Horizon, Promise
from scheduler.limits import limits_of
from scheduler.placer import last_prices
from scheduler.policy import Policy
from scheduler.preemption import preemptible
from scheduler.profile import Gang
from scheduler.promiser import BLOCKED, Promiser, gang_of, promise_of
from scheduler.reclaim import Claim, Preemption, Reclaim
from scheduler.snapshot import Snapshot
from scheduler.victims import Choice, Chooser

GANGS_MAX: Final = 32
"""Blocked gangs that are looked at, those that are worth most."""
_PAIRS_MAX: Final = 8
_GRACES_MAX: Final = 4
"""Of a gang, by gain: further pools and sizes are not looked at; of leases: further graces, the longest."""
_STEPS_MAX: Final = 200
"""Of the search for places of the leases that are moved."""
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Move:
    """A lease that stops and starts again elsewhere: for each node where it is now, the node that takes over."""

    lease_id: str
    nodes: tuple[int, ...]
    to: tuple[int, ...]
    lost_card_seconds: int  # to be done again, and standing still
    loss_micro_yuan: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Moves that let a gang start sooner, with what they are worth."""

    promise: Promise  # of the gang: when, where, and its worth
    instead_of_s: int  # when it would start without them; NEVER if nobody knows
    moves: tuple[Move, ...]
    gain_micro_yuan: int
    loss_micro_yuan: int

    @property
    def benefit_micro_yuan(self) -> int:
        """What is gained in all; always above 0."""
        return self.gain_micro_yuan - self.loss_micro_yuan


def proposals(
    world: Snapshot,
    horizon: Horizon,
    decision: Decision,
    policy: Policy,
    budget_card_seconds: int,
    most: int = 8,
    only: Collection[str] = (),
) -> list[Proposal]:
    """Return at most so many proposals after a round, one for a gang, the best first.

    Args:
        world, horizon: those of the decision.
        only: jobs to look at; none: those that are blocked, the `GANGS_MAX` that are worth most.
        budget_card_seconds: what is left of `Policy.churn_card_seconds_max` in this hour.
    Raises: BadSnapshot: the horizon is not one of this world.
    """
    horizon.check_against(world)
    search = _Search(world, horizon, decision, policy, budget_card_seconds)
    found = sorted(search.run(only), key=lambda each: -each.benefit_micro_yuan)
    return found[:most]


def make_room(
    world: Snapshot, horizon: Horizon, decision: Decision, policy: Policy, budget_card_seconds: int
) -> Reclaim:
    """Carry out the best proposal for the jobs of `Horizon.make_room_for`; nothing is stopped if none pays.

    `decision.profile` holds the new promise afterwards. Args: as `proposals`.
    """
    names, found = set(horizon.make_room_for) & set(world.job_id), list[Proposal]()
    if names:
        found = proposals(world, horizon, decision, policy, budget_card_seconds, most=1, only=names)
    if not found:
        return Reclaim(promises=decision.promises)
    [best] = found
    before = next((each for each in decision.promises if each.job_id == best.promise.job_id), None)
    promise = best.promise if before is None else replace(best.promise, promised_s=before.promised_s)
    if before is not None:
        decision.profile.give_back(before)
    decision.profile.take(promise)
    stands = [each for each in decision.promises if each is not before]
    leases = {lease_id: at for at, lease_id in enumerate(horizon.lease_id)}
    stopped = [_stopped(horizon, leases[each.lease_id], promise) for each in best.moves]
    return Reclaim(tuple(stopped), (*stands, promise), (promise,))


def _stopped(horizon: Horizon, lease: int, promise: Promise) -> Preemption:
    return Preemption(
        lease_id=horizon.lease_id[lease],
        claim=Claim.DEFRAGMENTATION,
        job_id=promise.job_id,
        lost_card_seconds=int(horizon.lease_lost_card_seconds[lease]),
        cards=int(horizon.held_cards[horizon.held_lease == lease].sum()),
    )


class _Search:
    def __init__(
        self,
        world: Snapshot,
        horizon: Horizon,
        decision: Decision,
        policy: Policy,
        budget: int,
    ) -> None:
        self._world, self._horizon, self._decision, self._policy = world, horizon, decision, policy
        self._rate: list[int] = horizon.lease_micro_yuan_per_card_hour.tolist()
        self._left = budget
        self._margin = policy.lease_end_margin_seconds
        self._clearing = Clearing(world, horizon, decision.profile, self._margin)
        self._open: list[int] = preemptible(world, horizon, self._clearing, policy.reclaim_seconds_max).tolist()
        self._grace: list[int] = horizon.lease_grace_seconds.tolist()
        self._lost: list[int] = horizon.lease_lost_card_seconds.tolist()
        self._cards: list[int] = self._clearing.cards.tolist()
        self._accounts = Accounts(world, limits_of(world), horizon, self._clearing, decision.placements)

    def run(self, only: Collection[str]) -> Iterator[Proposal]:
        """Yield the best proposal for each blocked gang that has one."""
        world, decision, profile = self._world, self._decision, self._decision.profile
        promised = {each.job_id: each for each in decision.promises if each.not_before_s <= world.taken_at_s}
        refused = decision.refusals
        blocked = {*refused.where(refused.having(BLOCKED)).names, *promised}
        blocked &= set(only) or blocked
        jobs = [job for job, job_id in enumerate(world.job_id) if job_id in blocked]
        if not jobs or not self._open:
            return
        promiser = Promiser(world, profile, self._policy, last_prices(decision.zoned.world, decision.plan))
        offers = promiser.offers(jobs)
        worth = offers.verdict.worth
        most = [int(worth[offers.pairs(job)].max(initial=0)) for job in range(len(jobs))]
        for job in sorted(range(len(jobs)), key=lambda job: -most[job])[:GANGS_MAX]:
            before = promised.get(offers.jobs.job_id[job])
            if before is not None:
                profile.give_back(before)
                otherwise = before.start_s
            else:
                soonest = promiser.earliest(offers, job)
                if promiser.exhausted:
                    continue  # what would be gained is not known
                otherwise = NEVER if soonest is None else soonest.start_s
            best = self._best(offers, job, otherwise)
            if before is not None:
                profile.take(before)
            if best is not None:
                yield best

    def _best(self, offers: Offers, job: int, otherwise_s: int) -> Proposal | None:
        best: Proposal | None = None
        for pair in offers.best_first(job)[:_PAIRS_MAX].tolist():
            gang, pool = gang_of(offers, job, pair, self._margin), int(offers.verdict.pool[pair])
            draw = self._accounts.draw(pool, int(offers.jobs.job_tenant[job]), gang.tasks * gang.cards)
            if gang.cards == 0 or gang.seconds >= TIME_MAX or any(self._accounts.short(draw, ())):
                continue
            here = [lease for lease in self._open if self._clearing.pool[lease] == pool]
            for grace in sorted({self._grace[lease] for lease in here})[:_GRACES_MAX]:
                start_s = self._world.taken_at_s + max(grace + self._margin, 1)
                ends_s = start_s + gang.seconds - self._margin  # the margin after it is no longer the gang's own
                if start_s >= otherwise_s or not self._in_time(offers, job, pool, ends_s):
                    continue
                power = self._decision.profile.power
                if power.earliest(pool, draw.watts, gang.seconds, start_s, start_s) != start_s:
                    continue  # of what is moved none is given back: it goes on elsewhere
                leases = [each for each in here if self._grace[each] <= grace]
                found = self._proposal(offers, job, pair, gang, start_s, leases, otherwise_s)
                if found is not None and (best is None or found.benefit_micro_yuan > best.benefit_micro_yuan):
                    best = found
        return best

    def _in_time(self, offers: Offers, job: int, pool: int, end_s: int) -> bool:
        limits = int(offers.jobs.job_finish_by_s[job]), int(self._world.pool_until_s[pool]), TIME_MAX
        return not any(0 <= limit < end_s for limit in limits)

    def _proposal(
        self, offers: Offers, job: int, pair: int, gang: Gang, start_s: int, leases: list[int], otherwise_s: int
    ) -> Proposal | None:
        """Return what to move of these leases so that the gang starts then; None if nothing pays, or need be moved."""
        pool, worth = int(offers.verdict.pool[pair]), int(offers.verdict.worth[pair])
        gain = worth * min(otherwise_s - start_s, gang.seconds - self._margin) // _HOUR
        running = [lease for lease in leases if self._clearing.ends_s[lease] > start_s]
        lost = [0] * len(self._lost)
        loss = [0] * len(self._lost)
        for lease in running:
            still = start_s - self._world.taken_at_s - self._grace[lease]
            lost[lease] = self._lost[lease] + self._cards[lease] * still
            loss[lease] = -(-lost[lease] * self._rate[lease] // _HOUR)

        def allowed(chosen: frozenset[int]) -> bool:
            within = sum(self._lost[lease] for lease in chosen) <= self._left
            return within and sum(loss[lease] for lease in chosen) < gain

        found: dict[frozenset[int], dict[int, dict[int, int]]] = {}

        def accepts(choice: Choice) -> bool:
            elsewhere = _Elsewhere(self._clearing, self._horizon, start_s).places(
                promise_of(offers, job, pair, gang, start_s, choice.places), choice.victims
            )
            if elsewhere is not None:
                found[choice.victims] = elsewhere
            return elsewhere is not None

        rooms = self._clearing.rooms(pool, gang, start_s)
        choice = Chooser(self._clearing, running, loss, allowed, accepts).choose(rooms, gang)
        if choice is None or not choice.victims or choice.cost.lost >= gain:
            return None
        moves = [
            Move(self._horizon.lease_id[lease], tuple(to), tuple(to.values()), lost[lease], loss[lease])
            for lease, to in sorted(found[choice.victims].items())
        ]
        promise = promise_of(offers, job, pair, gang, start_s, choice.places)
        return Proposal(promise, otherwise_s, tuple(moves), gain, choice.cost.lost)


class _Elsewhere:
    """Looks for places where leases that are stopped start again."""

    def __init__(self, clearing: Clearing, horizon: Horizon, start_s: int) -> None:
        self._clearing, self._horizon, self._start_s = clearing, horizon, start_s
        self._steps = 0

    def places(self, promise: Promise, leases: frozenset[int]) -> dict[int, dict[int, int]] | None:
        """Return, for each lease and each of its nodes, the node that takes over; None if no places are found."""
        clearing = self._clearing
        clearing.stop(leases, self._start_s)
        clearing.profile.take(promise)
        parts = [(lease, node) for lease in leases for node in clearing.nodes(lease)]
        parts.sort(key=lambda part: (-clearing.holds[part][0], part))
        found = self._place(promise.pool, parts, {})
        clearing.profile.give_back(promise)
        clearing.run_on(leases)
        if found is None:
            return None
        return {lease: {node: found[lease, node] for node in clearing.nodes(lease)} for lease in leases}

    def _place(
        self, pool: int, parts: Sequence[tuple[int, int]], done: dict[tuple[int, int], int]
    ) -> dict[tuple[int, int], int] | None:
        """Return places for all parts, the first to the node that it leaves least free on, others if that fails."""
        if not parts:
            return done
        part, clearing = parts[0], self._clearing
        gang = self._gang(part)
        room = clearing.rooms(pool, gang, self._start_s)
        fitting = np.flatnonzero(room.base > 0)
        for node in (fitting[np.argsort(room.base[fitting], kind="stable")] + room.low).tolist():
            if not self._together(part, node, done):
                continue
            self._steps += 1
            if self._steps > _STEPS_MAX:
                return None
            place = self._held(part, gang, pool, node)
            clearing.profile.take(place)
            found = self._place(pool, parts[1:], done | {part: node})
            clearing.profile.give_back(place)
            if found is not None:
                return found
        return None

    def _together(self, part: tuple[int, int], node: int, done: dict[tuple[int, int], int]) -> bool:
        """Return whether a lease that is within one domain stays within one."""
        domain = self._clearing.world.node_domain
        if len({int(domain[each]) for each in self._clearing.nodes(part[0])}) > 1:
            return True
        return all(domain[to] == domain[node] for other, to in done.items() if other[0] == part[0])

    def _gang(self, part: tuple[int, int]) -> Gang:
        """Return a part of a lease as a gang of one task, for the rest of its walltime and what it does again."""
        lease, (cards, cpu, memory) = part[0], self._clearing.holds[part]
        left = max(int(self._horizon.lease_ends_at_s[lease]) - self._clearing.world.taken_at_s, 1)
        again = -(-int(self._horizon.lease_lost_card_seconds[lease]) // int(self._clearing.cards[lease]))
        return Gang(1, cards, cpu, memory, WITHIN_POOL, left + again)

    def _held(self, part: tuple[int, int], gang: Gang, pool: int, node: int) -> Promise:
        """Return the part's place as a promise: the profile keeps it free then."""
        start_s = self._start_s
        return Promise(
            job_id=self._horizon.lease_id[part[0]],
            start_s=start_s,
            end_s=start_s + gang.seconds,
            pool=pool,
            build=0,
            nodes=(node,),
            tasks=(1,),
            worth_micro_yuan_per_hour=0,
            cards_per_task=gang.cards,
            cpu_milli_per_task=gang.cpu_milli,
            memory_mib_per_task=gang.memory_mib,
            level=gang.level,
        )
