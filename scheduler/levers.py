"""What could be changed about one waiting job, one thing at a time, the least change of each kind first.

A *step* is the job with one thing changed. Whether a step helps is not known here: `changes.py` proves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from scheduler.fields import PRIORITIES, UNKNOWN, WITHIN_POOL
from scheduler.snapshot import ARRAYS_OF_JOBS, Snapshot

WALLTIME_PART_MIN: Final = 4
"""A walltime of less than a quarter of what was asked for is another job, not the same one in a gap."""
_MIB_PER_GIB: Final = 1024
_URGENT: Final = PRIORITIES.index("urgent")


class Lever(StrEnum):
    """What is changed, from what costs least to what costs most: the order in which changes are offered.

    First limits that may be stricter than the work needs, then who and where, then money, then the work itself; what
    only an operator can change comes last.
    """

    ROUND_TRIP = "ROUND_TRIP"  # longest round trip, micros; UNKNOWN: no limit
    TRANSFER = "TRANSFER"  # longest time for the input, seconds; UNKNOWN: no limit
    FINISH_BY = "FINISH_BY"  # time by which it must be done, epoch seconds
    HUB = "HUB"  # one more hub is allowed
    OWNER = "OWNER"  # one more owner is allowed
    FOREIGN_MODELS = "FOREIGN_MODELS"  # models of foreign origin are allowed
    WITHIN = "WITHIN"  # how close together it must be: WITHIN_NODE, WITHIN_DOMAIN, WITHIN_POOL
    CEILING = "CEILING"  # the most that the city pays, micro-yuan per PFLOPS-hour
    PRIORITY = "PRIORITY"  # index into PRIORITIES, up to "urgent": an emergency is none by wish
    WALLTIME = "WALLTIME"  # seconds
    CARDS_PER_TASK = "CARDS_PER_TASK"  # as many cards in all, in more and smaller tasks
    TASKS = "TASKS"  # fewer tasks of the same size
    QUOTA = "QUOTA"  # what a quota may use beyond its guarantee, milli-TFLOPS: an operator's change


@dataclass(frozen=True, slots=True)
class Step:
    """One job with one thing changed; `before` and `after` in the unit of the lever."""

    lever: Lever
    before: int
    after: int
    job: Snapshot  # the world with the changed job alone
    name: str = ""  # the hub, owner or quota that it is about


def with_changed(alone: Snapshot, **arrays: Any) -> Snapshot:
    """Return the world with its only job changed in these arrays."""
    kept = {name: getattr(alone, name) for name in ARRAYS_OF_JOBS}
    return alone.with_jobs(alone.taken_at_s, **(kept | arrays))


def steps(alone: Snapshot) -> tuple[tuple[Step, ...], ...]:
    """Return the steps of all levers but CEILING, HUB, OWNER and QUOTA; of each the least change first."""
    return tuple(
        tuple(found)
        for found in (
            _round_trips(alone),
            _transfers(alone),
            _finishes(alone),
            _origins(alone),
            _nearness(alone),
            _priorities(alone),
            _walltimes(alone),
            _smaller_tasks(alone),
            _fewer_tasks(alone),
        )
    )


def with_ceiling(alone: Snapshot, ceiling_micro_yuan_per_pflops_hour: int) -> Step:
    """Return the job with another ceiling."""
    name = "job_ceiling_micro_yuan_per_pflops_hour"
    changed = with_changed(alone, **{name: [ceiling_micro_yuan_per_pflops_hour]})
    return Step(Lever.CEILING, int(getattr(alone, name)[0]), ceiling_micro_yuan_per_pflops_hour, changed)


def with_hubs(alone: Snapshot, hubs: Iterable[int], name: str = "") -> Step:
    """Return the job with these hubs allowed as well."""
    allowed = alone.shape_hub_allowed.copy()
    allowed[:, list(hubs)] = True
    return Step(Lever.HUB, 0, 1, with_changed(alone, shape_hub_allowed=allowed), name)


def with_owners(alone: Snapshot, owners: Iterable[int], name: str = "") -> Step:
    """Return the job with these owners allowed as well."""
    allowed = alone.shape_owner_allowed.copy()
    allowed[:, list(owners)] = True
    return Step(Lever.OWNER, 0, 1, with_changed(alone, shape_owner_allowed=allowed), name)


def input_seconds(alone: Snapshot) -> list[int]:
    """Return how long the job's input is on its way to each hub, [H]; UNKNOWN where nobody measured it."""
    mib = int(alone.shape_input_gib[0]) * _MIB_PER_GIB
    speeds = alone.transfer_mib_per_second[alone.job_city[0]].tolist()
    staged = alone.shape_staged[0].tolist()
    return [
        0 if there or not mib else -(-mib // speed) if speed > 0 else UNKNOWN
        for speed, there in zip(speeds, staged, strict=True)
    ]


def _round_trips(alone: Snapshot) -> Iterator[Step]:
    limit = int(alone.shape_round_trip_micros_max[0])
    if limit == UNKNOWN:
        return
    trips = set(alone.round_trip_micros[alone.job_city[0]].tolist())
    # a round trip that nobody knows is over any limit: only a job without one may go there
    for longer in (*sorted(trip for trip in trips if trip > limit), *(UNKNOWN for _ in trips & {UNKNOWN})):
        yield Step(Lever.ROUND_TRIP, limit, longer, with_changed(alone, shape_round_trip_micros_max=[longer]))


def _transfers(alone: Snapshot) -> Iterator[Step]:
    limit = int(alone.shape_transfer_seconds_max[0])
    if limit == UNKNOWN:
        return
    seconds = set(input_seconds(alone))
    for longer in (*sorted(each for each in seconds if each > limit), *(UNKNOWN for _ in seconds & {UNKNOWN})):
        yield Step(Lever.TRANSFER, limit, longer, with_changed(alone, shape_transfer_seconds_max=[longer]))


def _finishes(alone: Snapshot) -> Iterator[Step]:
    finish = int(alone.job_finish_by_s[0])
    if finish == UNKNOWN:
        return
    soonest = alone.taken_at_s + int(alone.job_walltime_seconds[0])
    for later in sorted({soonest + seconds for seconds in input_seconds(alone) if seconds != UNKNOWN}):
        if later > finish:
            yield Step(Lever.FINISH_BY, finish, later, with_changed(alone, job_finish_by_s=[later]))


def _origins(alone: Snapshot) -> Iterator[Step]:
    if alone.shape_domestic_only[0]:
        yield Step(Lever.FOREIGN_MODELS, 0, 1, with_changed(alone, shape_domestic_only=[False]))


def _nearness(alone: Snapshot) -> Iterator[Step]:
    within = int(alone.shape_within[0])
    for looser in range(within - 1, WITHIN_POOL - 1, -1):
        yield Step(Lever.WITHIN, within, looser, with_changed(alone, shape_within=[looser]))


def _priorities(alone: Snapshot) -> Iterator[Step]:
    priority = int(alone.job_priority[0])
    for higher in range(priority + 1, _URGENT + 1):
        yield Step(Lever.PRIORITY, priority, higher, with_changed(alone, job_priority=[higher]))


def _walltimes(alone: Snapshot) -> Iterator[Step]:
    """Yield walltimes that just end before nodes are needed, or before the job is of no use; the longest first."""
    now, asked, finish = alone.taken_at_s, int(alone.job_walltime_seconds[0]), int(alone.job_finish_by_s[0])
    before = np.array(input_seconds(alone), dtype=np.int64)[alone.pool_hub]
    ends = [(until - now, way) for until, way in zip(alone.pool_until_s.tolist(), before.tolist(), strict=True)]
    ends += [(finish - now, way) for way in before.tolist()] if finish != UNKNOWN else []
    gaps = {gap - way for gap, way in ends if way != UNKNOWN}
    for shorter in sorted(gaps, reverse=True):
        if asked // WALLTIME_PART_MIN <= shorter < asked and shorter > 0:
            yield Step(Lever.WALLTIME, asked, shorter, with_changed(alone, job_walltime_seconds=[shorter]))


def _smaller_tasks(alone: Snapshot) -> Iterator[Step]:
    """Yield the same cards in twice as many tasks of half the size, and so on. Sizes that it names would not hold."""
    tasks, cards = int(alone.shape_tasks[0]), int(alone.shape_cards_per_task[0])
    cpu, memory = int(alone.shape_cpu_milli_per_task[0]), int(alone.shape_memory_mib_per_task[0])
    if alone.shape_share_milli[0] or alone.size_tasks.size:
        return
    parts = 2
    while cards % parts == 0:
        changed = with_changed(
            alone,
            shape_tasks=[tasks * parts],
            shape_cards_per_task=[cards // parts],
            shape_cpu_milli_per_task=[-(-cpu // parts)],
            shape_memory_mib_per_task=[-(-memory // parts)],
        )
        yield Step(Lever.CARDS_PER_TASK, cards, cards // parts, changed)
        parts *= 2


def _fewer_tasks(alone: Snapshot) -> Iterator[Step]:
    """Yield half the tasks, and half of that again; below the smallest size that the job names itself."""
    tasks = int(alone.shape_tasks[0])
    fewer = min([tasks, *alone.size_tasks.tolist()]) // 2
    while fewer > 0:
        # the named sizes are smaller than the full gang, and their speeds are against it
        changed = with_changed(alone, shape_tasks=[fewer], size_start=[0, 0], size_tasks=(), size_speed_ppm=())
        yield Step(Lever.TASKS, tasks, fewer, changed)
        fewer //= 2
