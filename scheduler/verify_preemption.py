"""What preemption must keep, derived a second time: it shares no code with what chose the victims.

Gang by gang, in the order in which others are stopped for them, everything that is known to be in use on the nodes is
laid side by side: what belongs to no lease, leases until their end (victims until the end of their grace) and the
margin, what starts now, promises. Power and quotas are those of the world with what started, was stopped and was
promised before; the power of hubs is looked at again at the start of each promise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from scheduler.horizon import Horizon, Promise
from scheduler.plan import Placement
from scheduler.reclaim import Claim, Preemption, Reclaim
from scheduler.snapshot import Snapshot
from scheduler.verify_limits import Quotas, free_watts
from scheduler.verify_power import Meters, together
from scheduler.verify_time import split_cards, started

_FOREVER: Final = 2**60
_RESOURCES: Final = ("cards", "cpu_milli", "memory_mib")


class PreemptionRule(StrEnum):
    """What preemption can break."""

    NOT_PREEMPTIBLE = "NOT_PREEMPTIBLE"  # no such lease, or it must not be stopped, or not within the time stated
    STOPPED_TWICE = "STOPPED_TWICE"  # stopped before without progress since, or twice in this round
    NO_CLAIM = "NO_CLAIM"  # neither a tier above nor a guarantee asks for it
    GUARANTEE_TAKEN = "GUARANTEE_TAKEN"  # a quota has less of its guarantee in use than before
    OVER_BUDGET = "OVER_BUDGET"  # more work is lost than was left for this hour
    WRONG_FIGURES = "WRONG_FIGURES"  # lost work or cards are not those of the lease
    NO_PROMISE = "NO_PROMISE"  # stopped for a gang that is promised nothing, or promised without need
    PROMISE_LOST = "PROMISE_LOST"  # a promise of the round is gone, or later than it was
    NO_ROOM = "NO_ROOM"  # on the nodes of the promise, or of power or quota
    TOO_LATE = "TOO_LATE"  # promised later than within the time stated, or too early to have stopped anybody
    NEEDLESS = "NEEDLESS"  # there is room for the gang with this lease running on


@dataclass(frozen=True)
class PreemptionViolation:
    """One broken rule: what, and where."""

    rule: PreemptionRule
    detail: str


class Terms(NamedTuple):
    """What bounds preemption in a round."""

    margin_seconds: int  # as `Policy.lease_end_margin_seconds`
    reclaim_seconds_max: int  # as in the policy
    budget_card_seconds: int  # left of this hour


def preemption_violations(
    world: Snapshot,
    horizon: Horizon,
    terms: Terms,
    placements: Sequence[Placement],
    promises: Sequence[Promise],
    reclaim: Reclaim,
) -> list[PreemptionViolation]:
    """Return what a reclaim of this world and horizon breaks; nothing for one that keeps all rules.

    Args: placements, promises: of the decision that it followed.
    """
    lease = {lease_id: at for at, lease_id in enumerate(horizon.lease_id)}
    found = list(_leases(horizon, lease, terms, reclaim))
    found += list(_spoken_of(promises, reclaim))
    if any(each.rule is PreemptionRule.NOT_PREEMPTIBLE for each in found):
        return found
    if any(job_id not in world.job_id for job_id in _gangs(reclaim)):
        return [*found, PreemptionViolation(PreemptionRule.NO_CLAIM, "a gang that does not wait")]
    books = _Books(world, horizon, placements)
    standing = {each.job_id: each for each in promises}
    stopped: list[int] = []
    for made in reclaim.made:
        mine = [each for each in reclaim.preemptions if each.job_id == made.job_id]
        victims = [lease[each.lease_id] for each in mine]
        found += list(_claims(world, horizon, books, made, mine, victims))
        standing[made.job_id] = made
        laid = _Laid(world, horizon, terms, placements, list(standing.values()))
        found += list(_room(laid, books, made, stopped, victims))
        found += list(_in_time(world, horizon, terms, made, victims))
        stopped += victims
        books.carry_out(made, victims)
    return [*found, *_power(world, horizon, terms, placements, promises, reclaim, stopped)]


def _power(
    world: Snapshot,
    horizon: Horizon,
    terms: Terms,
    placements: Sequence[Placement],
    promises: Sequence[Promise],
    reclaim: Reclaim,
    stopped: Sequence[int],
) -> Iterator[PreemptionViolation]:
    """Look at the hubs' power when promised gangs start: stops may not promise more than there is then."""
    meters = Meters(world, horizon, terms.margin_seconds)
    if not meters.limited:
        return
    starts = meters.started(placements)
    before = together(meters.running(), starts, meters.promised(promises))
    after = together(meters.running(stopped), starts, meters.promised(reclaim.promises))
    for each in meters.overdrawn(before, after, [promise.start_s for promise in reclaim.promises]):
        said = f"{world.hub_names[each.hub]}: {each.watts} of {each.allowed_watts} W at {each.at_s}"
        yield PreemptionViolation(PreemptionRule.NO_ROOM, said)


def _gangs(reclaim: Reclaim) -> set[str]:
    return {each.job_id for each in reclaim.preemptions} | {each.job_id for each in reclaim.made}


def _leases(horizon: Horizon, lease: dict[str, int], terms: Terms, reclaim: Reclaim) -> Iterator[PreemptionViolation]:
    times = Counter(each.lease_id for each in reclaim.preemptions)
    for each in reclaim.preemptions:
        at = lease.get(each.lease_id, -1)
        if at < 0 or not horizon.lease_preemptible[at] or horizon.lease_grace_seconds[at] > terms.reclaim_seconds_max:
            yield PreemptionViolation(PreemptionRule.NOT_PREEMPTIBLE, each.lease_id)
            continue
        if horizon.lease_moved[at] or times[each.lease_id] > 1:
            yield PreemptionViolation(PreemptionRule.STOPPED_TWICE, each.lease_id)
        cards = sum(horizon.held_cards[horizon.held_lease == at].tolist())
        if (each.lost_card_seconds, each.cards) != (horizon.lease_lost_card_seconds[at], cards):
            yield PreemptionViolation(PreemptionRule.WRONG_FIGURES, each.lease_id)
    lost = sum(each.lost_card_seconds for each in reclaim.preemptions)
    if lost > max(terms.budget_card_seconds, 0):
        yield PreemptionViolation(PreemptionRule.OVER_BUDGET, f"{lost} of {terms.budget_card_seconds} card-seconds")


def _spoken_of(promises: Sequence[Promise], reclaim: Reclaim) -> Iterator[PreemptionViolation]:
    made = {each.job_id: each for each in reclaim.made}
    for job_id in sorted({each.job_id for each in reclaim.preemptions} ^ made.keys()):
        yield PreemptionViolation(PreemptionRule.NO_PROMISE, job_id)
    after = {each.job_id: each for each in reclaim.promises}
    before = {each.job_id: each for each in promises}
    wanted = before | made
    if len(after) != len(reclaim.promises) or after != wanted:
        yield PreemptionViolation(PreemptionRule.PROMISE_LOST, "what stands is not what stood and what was made")
    for job_id in made.keys() & before.keys():
        if made[job_id].start_s >= before[job_id].start_s or before[job_id].promised_s != made[job_id].promised_s:
            yield PreemptionViolation(PreemptionRule.PROMISE_LOST, f"{job_id} had a start as good")


def _claims(
    world: Snapshot,
    horizon: Horizon,
    books: _Books,
    made: Promise,
    mine: Sequence[Preemption],
    victims: Sequence[int],
) -> Iterator[PreemptionViolation]:
    tier = int(world.job_tier[world.job_id.index(made.job_id)])
    leaf, use, _ = books.of_gang(made)
    for each, at in zip(mine, victims, strict=True):
        of_lease = int(horizon.lease_tier[at])
        if each.claim is Claim.DEFRAGMENTATION:
            right = made.job_id in horizon.make_room_for
        elif each.claim is Claim.TIER:
            right = of_lease > tier
        else:
            others = set(books.chain(leaf)) - set(books.chain(int(horizon.lease_quota[at])))
            entitled = [at for at in books.chain(leaf) if books.used[at] + use <= books.guaranteed[at]]
            right = of_lease >= tier and any(at in others for at in entitled)
        if not right:
            yield PreemptionViolation(PreemptionRule.NO_CLAIM, f"{each.lease_id} for {made.job_id}: {each.claim}")
    if all(each.claim is Claim.DEFRAGMENTATION for each in mine):
        return  # what is moved goes on elsewhere
    for quota, after in enumerate(books.after(made, victims)):
        guaranteed = books.guaranteed[quota]
        if min(after, guaranteed) < min(books.used[quota], guaranteed):
            name = world.quota_names[quota]
            yield PreemptionViolation(PreemptionRule.GUARANTEE_TAKEN, f"{name} for {made.job_id}")


def _room(
    laid: _Laid, books: _Books, made: Promise, stopped: Sequence[int], victims: Sequence[int]
) -> Iterator[PreemptionViolation]:
    if short := laid.short(made, [*stopped, *victims]) or books.short(made, victims):
        yield PreemptionViolation(PreemptionRule.NO_ROOM, f"{made.job_id}: {short}")
    for lease in victims:
        others = [each for each in victims if each != lease]
        if not laid.short(made, [*stopped, *others]) and not books.short(made, others):
            yield PreemptionViolation(PreemptionRule.NEEDLESS, f"{laid.horizon.lease_id[lease]} for {made.job_id}")


def _in_time(
    world: Snapshot, horizon: Horizon, terms: Terms, made: Promise, victims: Sequence[int]
) -> Iterator[PreemptionViolation]:
    least = max([int(horizon.lease_grace_seconds[each]) for each in victims], default=0) + terms.margin_seconds
    most = max(terms.reclaim_seconds_max + terms.margin_seconds, 1)
    if not least <= made.start_s - world.taken_at_s <= most:
        yield PreemptionViolation(PreemptionRule.TOO_LATE, f"{made.job_id} at {made.start_s}")
    finish_by = int(world.job_finish_by_s[world.job_id.index(made.job_id)])
    if 0 <= finish_by < made.end_s - terms.margin_seconds:  # a promise holds its nodes for the margin after its end
        yield PreemptionViolation(PreemptionRule.TOO_LATE, f"{made.job_id} ends at {made.end_s}")


class _Laid:
    """What is in use on every node, and from when until when."""

    def __init__(
        self,
        world: Snapshot,
        horizon: Horizon,
        terms: Terms,
        placements: Sequence[Placement],
        promises: Sequence[Promise],
    ) -> None:
        self.world, self.horizon = world, horizon
        self._margin = terms.margin_seconds
        self._uses: dict[int, list[tuple[int, int, tuple[int, ...]]]] = defaultdict(list)
        position = {job_id: job for job, job_id in enumerate(world.job_id)}
        starts = [(each, started(world, position[each.job_id], each, self._margin)) for each in placements]
        for placement, (begin, end, amounts, _) in starts:
            for node, amount in zip(placement.nodes, amounts, strict=True):
                self._uses[node].append((begin, end, amount))
        for (node, _), end in split_cards(starts).items():
            self._uses[node].append((world.taken_at_s, end, (1, 0, 0)))
        for promise in promises:
            task = (promise.cards_per_task, promise.cpu_milli_per_task, promise.memory_mib_per_task)
            for node, tasks in zip(promise.nodes, promise.tasks, strict=True):
                self._uses[node].append((promise.start_s, promise.end_s, tuple(tasks * each for each in task)))

    def short(self, made: Promise, stopped: Sequence[int]) -> str:
        """Return what is short for the promise if these leases are ordered to stop; nothing if nothing is."""
        for node in made.nodes:
            if self._closed(node, made):
                return f"node {node} is closed"
            uses = self._uses[node] + self._leases(node, set(stopped))
            times = {begin for begin, _, _ in uses if made.start_s < begin < made.end_s}
            for at in sorted(times | {made.start_s}):
                there = [amount for begin, end, amount in uses if begin <= at < end]
                for column, name in enumerate(_RESOURCES):
                    whole = int(getattr(self.world, f"node_{name}")[node])
                    if sum(amount[column] for amount in there) > whole:
                        return f"{name} of node {node} at {at}"
        return ""

    def _leases(self, node: int, stopped: set[int]) -> list[tuple[int, int, tuple[int, ...]]]:
        world, horizon = self.world, self.horizon
        uses, known = [], [0, 0, 0]
        for entry in np.flatnonzero(horizon.held_node == node).tolist():
            lease = int(horizon.held_lease[entry])
            amount = tuple(int(getattr(horizon, f"held_{name}")[entry]) for name in _RESOURCES)
            end = int(horizon.lease_ends_at_s[lease]) + self._margin
            end = end if end > world.taken_at_s else world.taken_at_s + self._margin
            if lease in stopped:
                end = min(end, world.taken_at_s + int(horizon.lease_grace_seconds[lease]))
            uses.append((0, end, amount))
            known = [known[at] + amount[at] for at in range(3)]
        held = [
            int(getattr(world, f"node_{name}")[node] - getattr(world, f"node_free_{name}")[node]) for name in _RESOURCES
        ]
        uses.append((0, _FOREVER, tuple(held[at] - known[at] for at in range(3))))
        return uses

    def _closed(self, node: int, made: Promise) -> bool:
        horizon, now = self.horizon, self.world.taken_at_s
        rows = np.flatnonzero(horizon.closed_node == node).tolist()
        times = [(int(horizon.closed_from_s[row]), int(horizon.closed_until_s[row])) for row in rows]
        opens = bool(self.world.node_open[node]) or any(begin <= now < end for begin, end in times)
        return not opens or any(begin < made.end_s and end > made.start_s for begin, end in times if end > now)


class _Books:
    """Use by quota and watts by hub, as starts, stops and promises change them."""

    def __init__(self, world: Snapshot, horizon: Horizon, placements: Sequence[Placement]) -> None:
        self._world, self._horizon = world, horizon
        self.used: list[int] = world.quota_used_milli_tflops.tolist()
        self.guaranteed: list[int] = world.quota_guaranteed_milli_tflops.tolist()
        self._watts: list[int] = world.hub_used_watts.tolist()
        for placement in placements:
            job = world.job_id.index(placement.job_id)
            milli = sum(placement.tasks) * self._milli_of_task(int(world.job_shape[job]), placement.pool)
            leaf, use, watts = self._of_cards(job, placement.pool, milli)
            self._count(int(world.pool_hub[placement.pool]), leaf, use, watts)

    def chain(self, quota: int) -> list[int]:
        """Return the quota and all above it."""
        found = []
        while quota >= 0:
            found.append(quota)
            quota = int(self._world.quota_parent[quota])
        return found

    def of_gang(self, made: Promise) -> tuple[int, int, int]:
        """Return the quota, the use and the watts of a gang that is promised."""
        return self._of_cards(self._world.job_id.index(made.job_id), made.pool, 1000 * made.cards)

    def after(self, made: Promise, victims: Sequence[int]) -> list[int]:
        """Return the use of each quota with the gang and without these leases."""
        after = list(self.used)
        leaf, use, _ = self.of_gang(made)
        for quota in self.chain(leaf):
            after[quota] += use
        for lease in victims:
            for quota in self.chain(int(self._horizon.lease_quota[lease])):
                after[quota] -= int(self._horizon.lease_quota_use[lease])
        return after

    def short(self, made: Promise, victims: Sequence[int]) -> str:
        """Return which of quota and power has no room for the gang when these leases are stopped."""
        leaf, use, watts = self.of_gang(made)
        less = [0] * len(self.used)
        drawn = list(self._watts)
        for lease in victims:
            for quota in self.chain(int(self._horizon.lease_quota[lease])):
                less[quota] += int(self._horizon.lease_quota_use[lease])
            hub, of_lease = self._watts_of(lease)
            drawn[hub] -= of_lease
        there = replace(
            self._world,
            quota_used_milli_tflops=np.array([u - gone for u, gone in zip(self.used, less, strict=True)], np.int64),
            hub_used_watts=np.array(drawn, dtype=np.int64),
        )
        if leaf >= 0 and use > Quotas(there).rooms()[leaf]:
            return "quota"
        free = free_watts(there)[int(self._world.pool_hub[made.pool])]
        return "power" if free is not None and watts > free else ""

    def carry_out(self, made: Promise, victims: Sequence[int]) -> None:
        """Count the gang as running and the leases as gone."""
        self.used = self.after(made, victims)
        for lease in victims:
            hub, watts = self._watts_of(lease)
            self._watts[hub] -= watts
        self._watts[int(self._world.pool_hub[made.pool])] += self.of_gang(made)[2]

    def _count(self, hub: int, leaf: int, use: int, watts: int) -> None:
        self._watts[hub] += watts
        for quota in self.chain(leaf):
            self.used[quota] += use

    def _watts_of(self, lease: int) -> tuple[int, int]:
        world, rows = self._world, np.flatnonzero(self._horizon.held_lease == lease)
        pool = int(world.node_pool[self._horizon.held_node[rows[0]]])
        return int(world.pool_hub[pool]), self._meter(pool, 1000 * int(self._horizon.held_cards[rows].sum()))

    def _of_cards(self, job: int, pool: int, milli: int) -> tuple[int, int, int]:
        world, hub = self._world, int(self._world.pool_hub[pool])
        tenant = int(world.job_tenant[job])
        flops = max(int(world.model_fp16_programme_milli_tflops[world.pool_model[pool]]), 0)
        leaf = int(world.tenant_quota[tenant, hub]) if tenant >= 0 else -1
        return leaf, -(-milli * flops // 1000), self._meter(pool, milli)

    def _meter(self, pool: int, milli: int) -> int:
        """Return the watts of thousandths of cards at the hub's meter."""
        world = self._world
        of_cards = -(-milli * int(world.model_card_watts[world.pool_model[pool]]) // 1000)
        return -(-of_cards * int(world.hub_pue_ppm[world.pool_hub[pool]]) // 10**6)

    def _milli_of_task(self, shape: int, pool: int) -> int:
        """Return the thousandths of cards that a task holds: of a share, the smallest slice that is large enough."""
        world, model = self._world, int(self._world.pool_model[pool])
        share = int(world.shape_share_milli[shape])
        if share == 0:
            return 1000 * int(world.shape_cards_per_task[shape])
        slices = world.slice_milli[world.slice_start[model] : world.slice_start[model + 1]].tolist()
        return min((each for each in slices if each >= share), default=1000)
