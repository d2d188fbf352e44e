"""Who is promised a start next: the best of the gangs that found no room, and those that have waited longest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from scheduler.arrivals import Judge, Offers
from scheduler.horizon import NEVER, TIME_MAX, Promise
from scheduler.judging import UNMEASURED
from scheduler.limits import limits_of
from scheduler.policy import OpeningPrice, Policy
from scheduler.profile import Gang, Profile
from scheduler.reasons import Reason
from scheduler.refusals import Refusals
from scheduler.snapshot import Ints, Snapshot
from scheduler.spare import Spare
from scheduler.tariff import Tariff
from scheduler.terrain import NEED, NEED_LEVEL, TASK_CARDS, TASK_CPU, TASK_MEMORY, TASKS

_PAIRS_MAX: Final = 64
"""Of a job, by gain: further pools are not asked for the earliest start."""
_LOOKED_AT_MAX: Final = 256
"""Waiting jobs whose offers are looked at in one round, for each of the two kinds of promise."""
_LOOKS_MAX: Final = 500
"""Pools that are asked for an earliest start in one round, so that a round's time has a limit at any size."""
_ROOM_MIN: Final = 64
"""Cards of a pool that may be promised by gain however small it is."""
_MIB_PER_GIB: Final = 1024
BLOCKED: Final = frozenset(
    {Reason.CARDS_SHORT, Reason.CPU_SHORT, Reason.MEMORY_SHORT, Reason.FABRIC_SHORT, Reason.RESERVED}
)
"""Reasons for which a gang that pays may be promised a start."""
BLOCKED_OR_OUTBID: Final = BLOCKED | {Reason.OUTBID}


class Promiser:
    """Finds the earliest starts of waiting jobs beside all that runs and is promised."""

    def __init__(self, world: Snapshot, profile: Profile, policy: Policy, prices: Iterable[OpeningPrice]) -> None:
        """`world`: with the jobs that wait; `prices`: of the round's last tier."""
        self._world, self._profile, self._policy = world, profile, policy
        self._looks = _LOOKS_MAX
        limits = limits_of(world)
        self._judge = Judge(limits, policy, Spare(world, limits))
        self._tariff = Tariff(world, limits, prices)

    def promise(self, refusals: Refusals, standing: Sequence[Promise]) -> list[Promise]:
        """Promise starts to some of the jobs that a round refused, beside the promises that stand.

        The longest overdue comes first, for each of the places kept for such jobs; then those blocked gangs that gain
        most by the prices. Nobody is promised a start while there is no place.
        """
        places = self._policy.promises_max - len(standing)
        if places <= 0:
            return []
        index = self._world.job_index
        late = refusals.where(refusals.having(BLOCKED_OR_OUTBID))
        jobs = np.array([index[name] for name in late.names], np.int64)
        overdue = self._overdue(jobs)
        made = self._first(overdue, min(places, self._policy.promises_overdue))
        blocked = jobs[late.having(BLOCKED)]
        blocked = self._large(blocked[~np.isin(blocked, overdue)])
        return made + self._first(blocked, places - len(made), self._room([*standing, *made]))

    @property
    def exhausted(self) -> bool:
        """Whether no further pool is asked for an earliest start: answers may be later than the truth."""
        return self._looks == 0

    def offers(self, jobs: Sequence[int]) -> Offers:
        """Return what these jobs of the world would take and gain, pool by pool, whatever is free."""
        return self.offers_to(self._world.of_jobs(jobs))

    def offers_to(self, jobs: Snapshot) -> Offers:
        """Return the same of jobs that need not wait: the world with these jobs, by `with_jobs` or `of_jobs`."""
        return self._judge.offers(jobs, self._tariff)

    def _overdue(self, jobs: Ints) -> Ints:
        """Return those that have waited longer than anybody should, the longest overdue first."""
        due = overdue_from_s(self._world, self._policy)[jobs]
        late = jobs[due <= self._world.taken_at_s]
        order: Ints = late[np.argsort(due[due <= self._world.taken_at_s], kind="stable")]
        return order[:_LOOKED_AT_MAX]

    def _large(self, jobs: Ints) -> Ints:
        """Return the gangs that offer most in all."""
        world, shape = self._world, self._world.job_shape[jobs]
        cards = (world.shape_tasks * world.shape_cards_per_task)[shape]
        offer = world.job_ceiling_micro_yuan_per_pflops_hour[jobs].astype(np.float64) * cards
        chosen: Ints = jobs[np.argsort(-offer, kind="stable")[:_LOOKED_AT_MAX]]
        return chosen

    def _room(self, promised: Iterable[Promise]) -> Ints:
        """Return [P]: cards that may still be promised to those that gain most.

        Most work ends before its walltime, so most blocked gangs start soon without a promise; one for a large part of
        a pool keeps others from nodes that would have been free for both.
        """
        world = self._world
        cards = np.bincount(world.node_pool, world.node_cards, len(world.pool_names)).astype(np.int64)
        room: Ints = np.maximum(cards * self._policy.promises_cards_percent // 100, _ROOM_MIN)
        for each in promised:
            room[each.pool] -= each.cards
        return room

    def _first(self, jobs: Ints, places: int, room: Ints | None = None) -> list[Promise]:
        """Promise starts to the first of these jobs. `room`: in the order of gain, within so many cards by pool."""
        if places <= 0 or not jobs.size:
            return []
        offers = self.offers(jobs.tolist())
        order: Iterable[int] = range(jobs.size)
        if room is not None:
            gains = offers.best_gains
            order = [job for job in np.argsort(-gains, kind="stable").tolist() if gains[job] > 0]
        made: list[Promise] = []
        for job in order:
            if len(made) == places:
                break
            found = self.earliest(offers, job)
            if found is None or (room is not None and found.cards > room[found.pool]):
                continue
            if room is not None:
                room[found.pool] -= found.cards
            self._profile.take(found)
            made.append(found)
        return made

    def earliest(self, offers: Offers, job: int) -> Promise | None:
        """Return the earliest start after now of a job of these offers that delays no promise.

        None: it is no gang of whole cards, or never has room, or not in time.
        """
        jobs, best = offers.jobs, None
        for pair in offers.best_first(job)[:_PAIRS_MAX].tolist():
            gang = gang_of(offers, job, pair, self._policy.lease_end_margin_seconds)
            if gang.cards == 0 or gang.seconds >= TIME_MAX:
                continue
            if self._looks == 0:
                break
            self._looks -= 1
            latest = latest_start_s(jobs, job, gang, self._policy.lease_end_margin_seconds)
            if best is not None:
                latest = min(latest, best[0] - 1)
            at = self._profile.earliest(int(offers.verdict.pool[pair]), gang, self._world.taken_at_s + 1, latest)
            if at < NEVER and at + gang.seconds <= TIME_MAX:
                best = at, pair, gang
        if best is None:
            return None
        at, pair, gang = best
        nodes, tasks = self._profile.nodes_at(int(offers.verdict.pool[pair]), gang, at)
        return promise_of(offers, job, pair, gang, at, dict(zip(nodes, tasks, strict=True)))


def promise_of(offers: Offers, job: int, pair: int, gang: Gang, start_s: int, places: Mapping[int, int]) -> Promise:
    """Return the promise of a start to a job by one of its pairs. `places`: tasks by node, the nodes ascending."""
    jobs, pool = offers.jobs, int(offers.verdict.pool[pair])
    return Promise(
        job_id=jobs.job_id[job],
        start_s=start_s,
        end_s=start_s + gang.seconds,
        pool=pool,
        build=int(offers.build[jobs.job_shape[job], jobs.pool_model[pool]]),
        nodes=tuple(places),
        tasks=tuple(places.values()),
        worth_micro_yuan_per_hour=int(offers.verdict.worth[pair]),
        cards_per_task=gang.cards,
        cpu_milli_per_task=gang.cpu_milli,
        memory_mib_per_task=gang.memory_mib,
        level=gang.level,
        promised_s=start_s,
    )


def overdue_from_s(world: Snapshot, policy: Policy) -> Ints:
    """Return [J]: when each job has waited so long that it is promised a start whatever others offer."""
    walltime = world.job_walltime_seconds * policy.patience_walltime_percent // 100
    since: Ints = world.job_submitted_at_s + policy.patience_seconds + walltime
    return since


def gang_of(offers: Offers, job: int, pair: int, margin_seconds: int) -> Gang:
    """Return what a job takes by one of its pairs, and for how long, with the margin; its `cards` are 0 for shares."""
    jobs, land = offers.jobs, offers.land
    kind = land.kinds[int(offers.verdict.kind[pair])]
    before = int(input_seconds(jobs, np.array([job]), offers.verdict.pool[[pair]].astype(np.int64))[0])
    return Gang(
        tasks=int(kind[TASKS]),
        cards=int(kind[TASK_CARDS]),
        cpu_milli=int(kind[TASK_CPU]),
        memory_mib=int(kind[TASK_MEMORY]),
        level=int(land.needs[kind[NEED], NEED_LEVEL]),
        seconds=before + int(jobs.job_walltime_seconds[job]) + margin_seconds,
    )


def latest_start_s(jobs: Snapshot, job: int, gang: Gang, margin_seconds: int) -> int:
    """Return the last time at which the gang could start and be done in time; the margin need not be. NEVER: any."""
    finish_by = int(jobs.job_finish_by_s[job])
    return NEVER if finish_by < 0 else finish_by - gang.seconds + margin_seconds


def input_seconds(jobs: Snapshot, job: Ints, pool: Ints) -> Ints:
    """Return how long each job's input is on its way to a pool; UNMEASURED, longer than anything, if nobody knows."""
    shape, hub = jobs.job_shape[job], jobs.pool_hub[pool]
    gib, speed = jobs.shape_input_gib[shape], jobs.transfer_mib_per_second[jobs.job_city[job], hub]
    known = np.where(speed > 0, -(-gib * _MIB_PER_GIB // np.maximum(speed, 1)), UNMEASURED)
    seconds: Ints = np.where((gib == 0) | jobs.shape_staged[shape, hub], 0, known)
    return seconds
