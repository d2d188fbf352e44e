"""Gangs on nodes: what every rival packs with. A gang is in one pool; each of its tasks is whole on one node."""

import numpy as np

from scheduler.compiled import compiled
from scheduler.snapshot import Ints


@compiled
def seats(free: Ints, first: int, last: int, per_task: int) -> int:
    """Return how many tasks of so many cards the nodes first .. last - 1 hold."""
    count = 0
    for node in range(first, last):
        count += free[node] // per_task
    return count


@compiled
def put(free: Ints, first: int, last: int, tasks: int, per_task: int, nodes: Ints, cards: Ints, at: int) -> int:
    """Take cards for a gang, best fit: the node with the least free that holds a task, and more tasks while they fit.

    Entries go to `nodes` and `cards` from position `at`. Return the position after the last; -1: no room.
    """
    if tasks == 1:
        best = -1
        for node in range(first, last):
            if free[node] >= per_task and (best < 0 or free[node] < free[best]):
                best = node
                if free[node] == per_task:
                    break
        if best < 0:
            return -1
        free[best] -= per_task
        nodes[at], cards[at] = best, per_task
        return at + 1
    if seats(free, first, last, per_task) < tasks:
        return -1
    order = np.argsort(free[first:last], kind="mergesort")
    left = tasks
    for place in order:
        node = first + place
        fit = min(free[node] // per_task, left)
        if fit > 0:
            free[node] -= fit * per_task
            nodes[at], cards[at] = node, fit * per_task
            at += 1
            left -= fit
            if left == 0:
                break
    return at
