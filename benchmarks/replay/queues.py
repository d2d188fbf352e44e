"""The loops of the rivals as machine code: start jobs in an order, and EASY's reservation and backfill."""

from typing import NamedTuple

import numpy as np

from benchmarks.replay.seats import put, seats
from scheduler.compiled import compiled
from scheduler.snapshot import Ints


class Gangs(NamedTuple):
    """What every job asks for: see `workload.Workload`."""

    tasks: Ints
    per_task: Ints
    preferred: Ints  # [J, P]
    walltime_s: Ints
    pool_first: Ints  # [P + 1]


class Out(NamedTuple):
    """What starts: job, pool and end of its entries by row; entries are nodes and cards."""

    job: Ints
    pool: Ints
    last: Ints
    nodes: Ints
    cards: Ints


class Reserved(NamedTuple):
    """The head's reservation."""

    at_s: int  # by the walltimes of what runs; -1: it fits in no pool even then
    pool: int
    spare: Ints  # [N] cards free at that second that the head does not need


@compiled
def most_free(free: Ints, pool_first: Ints) -> Ints:
    """Return [P]: the most free cards on any node of each pool."""
    most = np.zeros(pool_first.size - 1, dtype=np.int64)
    for pool in range(most.size):
        for node in range(pool_first[pool], pool_first[pool + 1]):
            most[pool] = max(most[pool], free[node])
    return most


@compiled
def start_in_order(order: Ints, strict: bool, gangs: Gangs, free: Ints, out: Out) -> int:
    """Start jobs in this order where they fit; `strict`: none after the first that does not. Return how many."""
    most = most_free(free, gangs.pool_first)
    rows, at = 0, 0
    for job in order:
        found = _first_pool(job, gangs, free, most, out, at)
        if found < 0:
            if strict or most.max() == 0:
                break
            continue
        pool = gangs.preferred[job, found]
        at = _count(job, pool, rows, free, most, gangs, out, at)
        rows += 1
    return rows


@compiled
def _first_pool(job: int, gangs: Gangs, free: Ints, most: Ints, out: Out, at: int) -> int:
    """Put the job into the first pool it prefers that has room; return the place of that pool, or -1."""
    for place in range(gangs.preferred.shape[1]):
        pool = gangs.preferred[job, place]
        if pool < 0:
            break
        if gangs.per_task[job] > most[pool]:
            continue
        first, last = gangs.pool_first[pool], gangs.pool_first[pool + 1]
        end = put(free, first, last, gangs.tasks[job], gangs.per_task[job], out.nodes, out.cards, at)
        if end >= 0:
            return place
    return -1


@compiled
def _count(job: int, pool: int, row: int, free: Ints, most: Ints, gangs: Gangs, out: Out, at: int) -> int:
    """Write the row of a job whose entries begin at `at`; return where the next begin."""
    left = gangs.tasks[job] * gangs.per_task[job]
    while left > 0:
        left -= out.cards[at]
        at += 1
    out.job[row], out.pool[row], out.last[row] = job, pool, at
    most[pool] = 0
    for node in range(gangs.pool_first[pool], gangs.pool_first[pool + 1]):
        most[pool] = max(most[pool], free[node])
    return at


@compiled
def reserve(head: int, gangs: Gangs, free: Ints, end_s: Ints, start: Ints, nodes: Ints, cards: Ints) -> Reserved:
    """Return the first second at which the head fits if nothing else starts and everything runs to its walltime.

    Args:
        end_s: [R] of what runs, ascending.
        start: [R + 1] entries of each are nodes and cards at start[r] .. start[r + 1] - 1.
    """
    later = free.copy()
    task = gangs.per_task[head]
    pools = gangs.pool_first.size - 1
    wanted = np.zeros(pools, dtype=np.bool_)
    for pool in gangs.preferred[head]:
        if pool >= 0:
            wanted[pool] = True
    have = np.zeros(pools, dtype=np.int64)
    for pool in range(pools):
        have[pool] = seats(free, gangs.pool_first[pool], gangs.pool_first[pool + 1], task)
    for row in range(end_s.size):
        pool = np.searchsorted(gangs.pool_first, nodes[start[row]], side="right") - 1
        for at in range(start[row], start[row + 1]):
            node = nodes[at]
            have[pool] += (later[node] + cards[at]) // task - later[node] // task
            later[node] += cards[at]
        if wanted[pool] and have[pool] >= gangs.tasks[head]:
            first, last = gangs.pool_first[pool], gangs.pool_first[pool + 1]
            where, many = np.empty(gangs.tasks[head], np.int64), np.empty(gangs.tasks[head], np.int64)
            put(later, first, last, gangs.tasks[head], task, where, many, 0)
            return Reserved(end_s[row], pool, later)
    return Reserved(-1, -1, later)


@compiled
def backfill(order: Ints, now_s: int, kept: Reserved, gangs: Gangs, free: Ints, out: Out) -> int:
    """Start whatever does not delay the head: it ends by then, is in another pool, or takes what the head leaves."""
    most = most_free(free, gangs.pool_first)
    first, last = gangs.pool_first[kept.pool], gangs.pool_first[kept.pool + 1]
    both = np.minimum(free, kept.spare)
    most_both = most_free(both, gangs.pool_first)
    rows, at = 0, 0
    for job in order:
        if most.max() == 0:
            break
        short = now_s + gangs.walltime_s[job] <= kept.at_s
        for place in range(gangs.preferred.shape[1]):
            pool = gangs.preferred[job, place]
            if pool < 0:
                break
            beside = pool == kept.pool and not short
            if gangs.per_task[job] > (most_both[pool] if beside else most[pool]):
                continue
            low, high = gangs.pool_first[pool], gangs.pool_first[pool + 1]
            ground = both if beside else free
            end = put(ground, low, high, gangs.tasks[job], gangs.per_task[job], out.nodes, out.cards, at)
            if end < 0:
                continue
            if beside:
                for entry in range(at, end):
                    free[out.nodes[entry]] -= out.cards[entry]
                    kept.spare[out.nodes[entry]] -= out.cards[entry]
            at = _count(job, pool, rows, free, most, gangs, out, at)
            rows += 1
            if pool == kept.pool:
                for node in range(first, last):
                    both[node] = min(free[node], kept.spare[node])
                most_both = most_free(both, gangs.pool_first)
            break
    return rows
