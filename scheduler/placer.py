"""Place one arriving job at once, by the last round's prices and without a solve; or say why not.

    placed     its worth beats what its cards, CPU, memory, power and quota would cost at the prices, or its use is
               within what is guaranteed to its tenant and not in use; of the ways to run it the one that gains most
    queued     it may run, but not now: nothing that pays, no room, or the room is set aside; the next round decides
    refused    it can never run in this world as it asks: no pool is eligible, or even the empty pools are too small

All rules hold after any number of placements, because nodes, split cards, power and quotas are kept as for a plan.
While a round thinks, the room of the gangs that wait and gain most is set aside (`set_aside`): what it plans for them
would be gone otherwise before it is committed, in every round again, for a stream of small jobs never ends.

With a *mix* (`mix.py`), of pools that gain the same, and of their nodes and cards, a job on one node takes those that
leave most for what usually comes (`steering.py`). Gain comes first: a job never goes where it gains less. Gangs on
several nodes, and all jobs without a mix, take the first pool and its tightest nodes.

The same calls in the same order decide the same. There is no clock: the time is that of the snapshot of the arrivals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from scheduler.arrivals import Judge, Offers
from scheduler.errors import BadSnapshot, UnknownJob
from scheduler.limits import limits_of
from scheduler.mix import Mix
from scheduler.opening import prices_of
from scheduler.picking import TOO_DEAR
from scheduler.plan import Placement, Plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Ints, Snapshot
from scheduler.spare import Gangs, Spare, named
from scheduler.tariff import Tariff

SMALL_GANG_CARDS: Final = 8
"""Room is set aside for gangs of more cards than this, or on more than one node."""


class Waits(StrEnum):
    """Why a job that may run does not start at once."""

    BELOW_CLEARING_PRICE = "BELOW_CLEARING_PRICE"  # nothing it may have is worth to it what it costs at the prices
    NO_ROOM = "NO_ROOM"  # what pays has no free cards, CPU, memory, power or quota left
    SET_ASIDE = "SET_ASIDE"  # there would be room, but it is kept for gangs that the running round may start


@dataclass(frozen=True, slots=True)
class Placed:
    """The job starts now."""

    placement: Placement
    gain_micro_yuan_per_hour: int  # worth less cost at the prices; not above 0 only within a guarantee


@dataclass(frozen=True, slots=True)
class Queued:
    """The job waits for the next round."""

    job_id: str
    reason: Waits


@dataclass(frozen=True, slots=True)
class Refused:
    """The job can never run in this world as it asks."""

    job_id: str
    reason: Reason  # of the pool that came nearest; GANG_TOO_LARGE: too large to be as near together as it must be
    pool: int  # -1: there is no pool at all


Decision = Placed | Queued | Refused


class Placer:
    """What is free in a world, and what the last round's prices ask for it.

    Jobs come as snapshots of the same world, by `world.with_jobs(...)` or `world.of_jobs(...)`. Not for two threads at
    once.
    """

    def __init__(
        self,
        world: Snapshot,
        policy: Policy,
        prices: Iterable[OpeningPrice] = (),
        mix: Mix | None = None,
        tie_order: Ints | None = None,
    ) -> None:
        """Look at a world in which nothing was placed yet.

        Args:
            prices: of one tier, see `last_prices`; the world may be a later one than that of their round.
            mix: what usually comes.
            tie_order: [N], all nodes: of nodes that the rule finds equal the first in this order takes a job. Without
                one a random order is drawn from the policy's seed: that of the snapshot would fill pool after pool.
        """
        if mix is not None and tie_order is None:
            tie_order = np.random.default_rng(policy.seed).permutation(len(world.node_names))
        self._world = world
        self._limits = limits_of(world)
        self._tariff = Tariff(world, self._limits, prices)
        self._spare = Spare(world, self._limits, mix, tie_order)
        self._judge = Judge(self._limits, policy, self._spare)
        self._placed: dict[str, tuple[Snapshot, Placement]] = {}
        self._aside: Gangs | None = None

    @classmethod
    def after(cls, snapshot: Snapshot, plan: Plan, policy: Policy) -> Placer:
        """Return the placer for the world in which this plan of the snapshot has been carried out."""
        placer = cls(snapshot, policy, last_prices(snapshot, plan))
        placer.take(snapshot, plan.placements)
        return placer

    @property
    def placements(self) -> tuple[Placement, ...]:
        """What `place` has placed and nobody has released, in that order."""
        return tuple(placement for _, placement in self._placed.values())

    def has_placed(self, job_id: str) -> bool:
        """Tell whether `place` has placed the job since the last `settle`, and nobody has released it."""
        return job_id in self._placed

    def warm(self) -> None:
        """Load or make the compiled code, so that no arrival waits for it."""
        offers = self._offers(self._world.with_jobs(self._world.taken_at_s), steered=True)
        order = offers.best_gains.argsort(kind="stable")
        self._spare.put(offers.land, 0, order, offers.gain)
        if offers.known is not None:
            self._spare.put_each(offers.land, 0, offers.milli, order, offers.gain, offers.known)
        self._spare.has_room(offers.land, 0, order, offers.gain)
        self._spare.could_ever(offers.land, range(0))
        nobody = self._spare.gangs(offers.jobs, [])
        self._spare.take(nobody)
        self._spare.within_limits(nobody)

    def place(self, arrivals: Snapshot) -> tuple[Decision, ...]:
        """Decide on jobs that arrive, one after the other, and count what is placed as taken.

        Raises: BadSnapshot: the arrivals are not of this world, or one of them is placed already.
        """
        offers, decided = self._offers_to_new(arrivals), list[Decision]()
        while len(decided) < len(arrivals.job_id):
            decided += self._decide(offers, len(decided), len(arrivals.job_id))
        return tuple(decided)

    def place_each(self, arrivals: Snapshot) -> Iterator[Decision]:
        """Decide as `place`, each time when the next decision is asked for; it knows nothing of those that follow.

        Between two decisions only `place_without_cards` may be called.
        """
        offers = self._offers_to_new(arrivals)
        for job in range(len(arrivals.job_id)):
            yield from self._decide(offers, job, job + 1)

    def first_with_room(self, arrivals: Snapshot) -> str | None:
        """Return the first of the jobs that `place` would place if it came alone, and take nothing; None: no one.

        Raises: BadSnapshot: the arrivals are not of this world.
        """
        offers = self._offers(arrivals)
        for job, job_id in enumerate(arrivals.job_id):
            if offers.pairs(job) and self._spare.has_room(offers.land, job, offers.best_first(job), offers.gain):
                return job_id
        return None

    def place_without_cards(self, cpu_milli: int, memory_mib: int, models: Iterable[str] = ()) -> int | None:
        """Take CPU and memory, and no card, of the open node where the rule says. Return it; None: there is no room.

        A job of a snapshot has a card for each task. This is for what runs on the same nodes beside them; it stays for
        as long as the placer is used. `models`: of the node's cards; empty allows all.

        Raises: BadMix: the placer was made without a mix.
        """
        world, wanted = self._world, frozenset(models)
        allowed = [not wanted or name in wanted for name in world.model_names]
        node = self._spare.put_without_cards(cpu_milli, memory_mib, np.array(allowed, dtype=np.bool_)[world.pool_model])
        return node if node >= 0 else None

    def take(self, jobs: Snapshot, placements: Sequence[Placement]) -> None:
        """Count placements of these jobs of this world as taken.

        Raises: DoesNotFit: something is taken that is not free; this placer must not be used any more.
        """
        self._spare.take(self._spare.gangs(jobs, placements))

    def release(self, job_id: str) -> None:
        """Give back what `place` took for a job that did not start after all. Raise UnknownJob: it took nothing."""
        if job_id not in self._placed:
            raise UnknownJob("job_id", f"{job_id!r} was not placed here")
        jobs, placement = self._placed.pop(job_id)
        self._spare.give_back(self._spare.gangs(jobs, [placement]))

    def set_aside(self, gangs: Snapshot, most: int) -> tuple[str, ...]:
        """Keep room for those of the waiting gangs that gain most, until `lift` or `settle`; return their ids.

        Only gangs of whole cards count that have more than `SMALL_GANG_CARDS` or are on several nodes, at most so many,
        and each must fit whole beside those before it. What was set aside before is lifted first.
        """
        self.lift()
        offers = self._offers(gangs)
        whole = gangs.shape_share_milli[gangs.job_shape] == 0
        kept: list[Placement] = []
        for job in np.argsort(-offers.best_gains, kind="stable").tolist():
            if len(kept) == most:
                break
            if not whole[job]:
                continue
            pair, entries = self._spare.put(offers.land, job, offers.best_first(job), offers.gain)
            if pair < 0:
                continue
            found = _placement(offers, job, pair, entries)
            taken = self._spare.gangs(gangs, [found])
            if len(found.nodes) > 1 or int(taken.cards.sum()) > SMALL_GANG_CARDS:
                kept.append(found)
            else:
                self._spare.give_back(taken)
        self._aside = self._spare.gangs(gangs, kept) if kept else None
        return tuple(each.job_id for each in kept)

    def lift(self) -> None:
        """Give back what is set aside."""
        if self._aside is not None:
            self._spare.give_back(self._aside)
        self._aside = None

    def held(self) -> Ints:
        """Return [N]: whole cards set aside on each node."""
        held = np.zeros(len(self._world.node_names), dtype=np.int64)
        if self._aside is not None:
            np.add.at(held, self._aside.entries[:, 0], self._aside.cards)
        return held

    def within_limits(self, jobs: Snapshot, placements: Sequence[Placement]) -> list[Placement]:
        """Return those of a round's placements that keep power and quotas beside what was placed here meanwhile.

        Of placements that exceed a limit together, those of the least worth are left out. What is set aside is lifted:
        the round has decided. Nodes are not looked at: whether cards are free is found out in the commit.
        """
        self.lift()
        order = sorted(range(len(placements)), key=lambda at: -placements[at].worth_micro_yuan_per_hour)
        kept = self._spare.within_limits(self._spare.gangs(jobs, [placements[at] for at in order]))
        return [placements[at] for at in sorted(np.array(order, dtype=np.int64)[kept].tolist())]

    def settle(self, jobs: Snapshot, plan: Plan, started: Sequence[Placement]) -> None:
        """Go on after a round that was planned on this world while this placer went on.

        Args:
            jobs: the snapshot that was planned.
            plan: of the round; its prices count from now on.
            started: its placements that were committed; the others went stale beside what was placed here meanwhile.
                Where they have what ended meanwhile a node counts as full.
        Raises: DoesNotFit: a share that was started has no card here.
        """
        self.lift()
        self._spare.take(self._spare.gangs(jobs, started), apart=True)
        self._placed.clear()  # what of it has ended is nobody's any more: a job that waits again may be placed again
        self._tariff = Tariff(self._world, self._limits, last_prices(jobs, plan))

    def _offers(self, jobs: Snapshot, *, steered: bool = False) -> Offers:
        if jobs.node_free_cards is not self._world.node_free_cards:
            raise BadSnapshot("node_free_cards", "is of another world: make the arrivals by `with_jobs` of this one")
        return self._judge.offers(jobs, self._tariff, steered=steered)

    def _offers_to_new(self, arrivals: Snapshot) -> Offers:
        offers = self._offers(arrivals, steered=True)
        for job_id in arrivals.job_id:
            if job_id in self._placed:
                raise BadSnapshot("job_id", f"{job_id!r} is placed already: release it first")
        return offers

    def _decide(self, offers: Offers, first: int, last: int) -> list[Decision]:
        """Decide on some of the jobs first .. last - 1, as far as one that is not placed, and on one at least."""
        milli = offers.milli[first:last]
        put = self._spare.put_each(offers.land, first, milli, offers.order, offers.gain, offers.known)
        return [self._decision(offers, job, *found) for job, found in enumerate(put, first)]

    def _decision(self, offers: Offers, job: int, found: int, entries: Ints) -> Decision:
        """Return what it means that a job was put by this pair, or what `Spare.put` says instead of one."""
        job_id, pairs = offers.jobs.job_id[job], offers.pairs(job)
        if not pairs:
            return Refused(job_id, REFUSALS[offers.verdict.nearest_code[job]], int(offers.verdict.nearest_pool[job]))
        if found >= 0:
            placement = _placement(offers, job, found, entries)
            self._placed[job_id] = offers.jobs, placement
            return Placed(placement, int(offers.gain[found]))
        if not self._spare.could_ever(offers.land, pairs):
            return Refused(job_id, Reason.GANG_TOO_LARGE, int(offers.verdict.pool[pairs.start]))
        if self._aside is not None and self._fits_without(self._aside, offers, job):
            return Queued(job_id, Waits.SET_ASIDE)
        return Queued(job_id, Waits.BELOW_CLEARING_PRICE if found == TOO_DEAR else Waits.NO_ROOM)

    def _fits_without(self, aside: Gangs, offers: Offers, job: int) -> bool:
        self._spare.give_back(aside)
        fits = self._spare.has_room(offers.land, job, offers.best_first(job), offers.gain)
        self._spare.take(aside)
        return fits


def _placement(offers: Offers, job: int, pair: int, entries: Ints) -> Placement:
    """Return where a job is that was put by this pair."""
    jobs, pool = offers.jobs, int(offers.verdict.pool[pair])
    build = int(offers.build[jobs.job_shape[job], jobs.pool_model[pool]])
    nodes, tasks, cards = named(entries)
    return Placement(jobs.job_id[job], build, pool, nodes, tasks, int(offers.verdict.worth[pair]), cards)


def large_gangs(snapshot: Snapshot, most: int) -> Snapshot:
    """Return the same world with those of its jobs alone that room may be set aside for; the largest offers of many.

    `most`: jobs at most, by what they offer for all their cards, so that judging a long queue does not take long.
    """
    shape = snapshot.job_shape
    cards = (snapshot.shape_tasks * snapshot.shape_cards_per_task)[shape]
    large = (snapshot.shape_share_milli[shape] == 0) & ((cards > SMALL_GANG_CARDS) | (snapshot.shape_tasks[shape] > 1))
    jobs = np.flatnonzero(large)
    offer = snapshot.job_ceiling_micro_yuan_per_pflops_hour[jobs].astype(np.float64) * cards[jobs]
    return snapshot.of_jobs(np.sort(jobs[np.argsort(-offer, kind="stable")[:most]]).tolist())


def last_prices(snapshot: Snapshot, plan: Plan) -> tuple[OpeningPrice, ...]:
    """Return the prices of the last tier of a plan of this snapshot, by name: those that the placer goes by."""
    last = plan.tiers[-1].name
    return tuple(price for price in prices_of(snapshot, plan) if price.tier == last)
