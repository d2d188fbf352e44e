"""Free cards, CPU and memory of every node over time, and the earliest time at which a gang fits whole.

What is free on a node at a time is what is free now, more what leases that end by then hold, less every *span*: a
promise or a closed time that covers it. A gang that starts at t needs its room at t and whenever a span begins
before it ends; between those times room only grows. Its hub has power for it at these times too (`power_ahead.py`).

The sweep over a pool goes from release to release and looks again only at nodes where something has changed, and at
the few that have spans: its cost grows with the leases of the pool, not with leases times nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from scheduler.compiled import borrowing, compiled, inlined
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE
from scheduler.horizon import NEVER, TIME_MAX, Horizon, Promise
from scheduler.power_ahead import PowerAhead
from scheduler.snapshot import Bools, Ints, Snapshot

CARDS, CPU, MEMORY = range(3)
_NOBODY: Final = -1


class Table(NamedTuple):
    """What the loops read. N nodes, E releases, Y spans."""

    now: Ints  # [1]
    free: Ints  # [N, 3] cards, CPU, memory that are free now
    usable: Bools  # [N] takes new work, now or when a closed time has ended
    domain: Ints  # [N]
    release_start: Ints  # [N + 1] releases of node n: release_start[n] .. release_start[n + 1] - 1, by time
    release_at: Ints  # [E]
    release_node: Ints  # [E]
    by_time: Ints  # [E] releases of each pool, whose nodes follow one another, in the order of time
    released: Ints  # [E, 3]
    head: Ints  # [N] first span of the node, -1: none
    following: Ints  # [Y] next span of the same node
    span: Ints  # [Y, 5] from, until, cards, CPU, memory


@dataclass(frozen=True)
class Gang:
    """What a gang asks of the nodes of a pool."""

    tasks: int
    cards: int  # of a task
    cpu_milli: int
    memory_mib: int
    level: int  # WITHIN_POOL, WITHIN_DOMAIN or WITHIN_NODE
    seconds: int  # how long it holds them

    @classmethod
    def of(cls, promise: Promise) -> Gang:
        """Return what was promised."""
        return cls(
            tasks=sum(promise.tasks),
            cards=promise.cards_per_task,
            cpu_milli=promise.cpu_milli_per_task,
            memory_mib=promise.memory_mib_per_task,
            level=promise.level,
            seconds=promise.end_s - promise.start_s,
        )

    @property
    def need(self) -> Ints:
        """Cards, CPU and memory of a task."""
        return np.array([self.cards, self.cpu_milli, self.memory_mib])


def held_until_s(horizon: Horizon, now_s: int, margin_seconds: int) -> Ints:
    """Return until when each lease holds what it has, [R]: until it is killed and reported, and a round has seen it.

    That is the margin after its end. One that holds on even longer is taken to do so until the margin after now: only
    such leases move what was promised.
    """
    ends = horizon.lease_ends_at_s + margin_seconds
    until: Ints = np.where(ends > now_s, ends, now_s + margin_seconds)
    return until


class Profile:
    """The profile of a world. Spans may be added and taken away."""

    def __init__(self, world: Snapshot, horizon: Horizon, margin_seconds: int) -> None:
        """Lay out releases and closed times; promises are not taken yet.

        `margin_seconds`: see `held_until_s`.
        """
        horizon.check_against(world)
        nodes = len(world.node_names)
        now = world.taken_at_s
        until = held_until_s(horizon, now, margin_seconds)
        ends = until[horizon.held_lease]
        self.power = PowerAhead(world, horizon, until)
        held = np.stack([horizon.held_cards, horizon.held_cpu_milli, horizon.held_memory_mib], axis=1)
        closed_now = (horizon.closed_from_s <= now) & (now < horizon.closed_until_s)
        usable = world.node_open.copy()
        usable[horizon.closed_node[closed_now]] = True  # closed for a time: it opens again
        self._node_pool = world.node_pool
        self._pool_start = np.searchsorted(world.node_pool, np.arange(len(world.pool_names) + 1))
        self._now = now
        self._spans = 0
        none = np.zeros(0, dtype=np.int64)
        self.table = Table(
            now=np.array([now]),
            free=np.stack([world.node_free_cards, world.node_free_cpu_milli, world.node_free_memory_mib], axis=1),
            usable=usable,
            domain=np.ascontiguousarray(world.node_domain),
            release_start=np.zeros(nodes + 1, dtype=np.int64),
            release_at=none,
            release_node=none,
            by_time=none,
            released=np.zeros((0, 3), dtype=np.int64),
            head=np.full(nodes, _NOBODY, dtype=np.int64),
            following=np.full(16, _NOBODY, dtype=np.int64),
            span=np.zeros((16, 5), dtype=np.int64),
        )
        self._release(horizon.held_node, ends, held)
        whole = np.stack([world.node_cards, world.node_cpu_milli, world.node_memory_mib], axis=1)
        for closed, begin, end in zip(
            horizon.closed_node.tolist(), horizon.closed_from_s.tolist(), horizon.closed_until_s.tolist(), strict=True
        ):
            if end > now:
                self._add(closed, begin, end, whole[closed])

    @property
    def now_s(self) -> int:
        """The time of the world."""
        return self._now

    def take(self, promise: Promise) -> None:
        """Keep the promise's nodes and power for it from its start to its end."""
        self.power.take(promise)
        for node, tasks in zip(promise.nodes, promise.tasks, strict=True):
            self._add(node, promise.start_s, promise.end_s, tasks * Gang.of(promise).need)

    def give_back(self, promise: Promise) -> None:
        """Undo `take`."""
        self.power.give_back(promise)
        for node, tasks in zip(promise.nodes, promise.tasks, strict=True):
            self._remove(node, promise.start_s, promise.end_s, tasks * Gang.of(promise).need)

    def start(self, node: Ints, ends_s: Ints, amounts: Ints) -> None:
        """Count as running from now on: on these nodes, until these ends, so much of each resource, [*, 3]."""
        np.subtract.at(self.table.free, node, amounts)
        self._release(node, ends_s, amounts)

    def _release(self, node: Ints, at: Ints, amounts: Ints) -> None:
        """Add releases to those that are known, and bring all in order."""
        table = self.table
        node, at = np.concatenate([table.release_node, node]), np.concatenate([table.release_at, at])
        order = np.lexsort((at, node))
        node, at = node[order], at[order]
        self.table = table._replace(
            release_start=np.searchsorted(node, np.arange(table.free.shape[0] + 1)),
            release_at=at,
            release_node=node,
            by_time=np.lexsort((at, self._node_pool[node])),
            released=np.ascontiguousarray(np.concatenate([table.released, amounts])[order]),
        )

    def earliest(
        self,
        pool: int,
        gang: Gang,
        not_before_s: int = 0,
        by_s: int = NEVER,
        instead_of: Promise | None = None,
    ) -> int:
        """Return the first time, at `not_before_s` or later, at which the gang fits into the pool; NEVER if none is.

        Only times up to `by_s` are looked at. `instead_of`: a promise of the gang's own, see `PowerAhead.earliest`.
        """
        low, high = int(self._pool_start[pool]), int(self._pool_start[pool + 1])
        at, begin, watts = NEVER, max(self._now, not_before_s), self.power.watts(pool, gang.tasks * gang.cards)
        while begin <= by_s:  # both only ever ask for later times, of which each knows so many
            begin = self.power.earliest(pool, watts, gang.seconds, begin, by_s, instead_of)
            if begin in (at, NEVER):
                return begin
            times = self._times(low, high, begin, by_s)
            at = int(_sweep(self.table, low, high, times, gang.need, gang.tasks, gang.level, gang.seconds))
            if at in (begin, NEVER):
                return at
            begin = at
        return NEVER

    def fits_at(self, promise: Promise) -> bool:
        """Return whether the promise could be taken where and when it says."""
        return self.has_nodes(promise) and self.power.has_room(promise)

    def has_nodes(self, promise: Promise) -> bool:
        """Return whether its nodes have room for the promise when it says, whatever power there is."""
        gang = Gang.of(promise)
        return all(
            _room(self.table, node, promise.start_s, gang.seconds, gang.need) >= tasks
            for node, tasks in zip(promise.nodes, promise.tasks, strict=True)
        )

    def nodes_at(self, pool: int, gang: Gang, start_s: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return nodes and tasks for a gang that fits at this time: those that are least free until then, and few.

        What is free now on a node that is promised is lost to whoever would stay longer than until then: so nodes are
        preferred that become free just in time. Both are empty if the gang does not fit.
        """
        low, high = int(self._pool_start[pool]), int(self._pool_start[pool + 1])
        room = _rooms(self.table, low, high, start_s, gang.seconds, gang.need)
        idle = self.table.free[low:high, CARDS] * (start_s > self._now)
        if gang.level == WITHIN_NODE:
            fitting = np.flatnonzero(room >= gang.tasks)
            if not fitting.size:
                return (), ()
            best = int(fitting[np.lexsort((room[fitting], idle[fitting]))[0]])
            return (low + best,), (gang.tasks,)
        if gang.level == WITHIN_DOMAIN:
            names, of = np.unique(self.table.domain[low:high], return_inverse=True)
            total, free = (np.bincount(of, weights=each, minlength=names.size) for each in (room, idle))
            enough = np.flatnonzero(total >= gang.tasks)
            if not enough.size:
                return (), ()
            room = np.where(of == enough[np.lexsort((total[enough], free[enough]))[0]], room, 0)
        return _filled(room, idle, gang.tasks, low)

    def kept_until(self) -> tuple[Ints, Ints]:
        """Return what may be begun now without touching a span: until when, [N], and what is free for longer, [N, 3].

        Until is NEVER where all cards that are free now are free for good; CPU and memory may still be fewer then.
        """
        return _kept_until(self.table)

    def _times(self, low: int, high: int, begin: int, by_s: int) -> Ints:
        table = self.table
        releases = table.release_at[table.release_start[low] : table.release_start[high]]
        spans = [table.span[: self._spans, 1]] if self._spans else []
        at = np.unique(np.concatenate([[begin], releases, *spans]))
        times: Ints = at[(at >= begin) & (at <= min(by_s, TIME_MAX))]
        return times

    def _add(self, node: int, begin: int, end: int, amount: Ints) -> None:
        if self._spans == self.table.span.shape[0]:
            more = self.table.span.shape[0]
            self.table = self.table._replace(
                following=np.append(self.table.following, np.full(more, _NOBODY)),
                span=np.append(self.table.span, np.zeros((more, 5), dtype=np.int64), axis=0),
            )
        at, self._spans = self._spans, self._spans + 1
        self.table.span[at] = (begin, end, *amount)
        self.table.following[at] = self.table.head[node]
        self.table.head[node] = at

    def _remove(self, node: int, begin: int, end: int, amount: Ints) -> None:
        wanted, before, at = (begin, end, *amount.tolist()), _NOBODY, int(self.table.head[node])
        while tuple(self.table.span[at].tolist()) != wanted:
            before, at = at, int(self.table.following[at])
        after = self.table.following[at]
        if before == _NOBODY:
            self.table.head[node] = after
        else:
            self.table.following[before] = after
        self.table.span[at] = 0  # its place is not used again: a round has few promises


def _filled(room: Ints, idle: Ints, tasks: int, low: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return nodes that hold the tasks: the least idle first, of equal ones those that hold most; empty if none do.

    The last one is the smallest that does, of those as idle.
    """
    order = np.lexsort((-room, idle))
    order = order[room[order] > 0]
    held = np.cumsum(room[order])
    if not held.size or held[-1] < tasks:
        return (), ()
    count = int(np.searchsorted(held, tasks)) + 1
    chosen = order[:count].copy()
    rest = tasks - (int(held[count - 2]) if count > 1 else 0)
    others = order[count - 1 :]
    enough = others[(room[others] >= rest) & (idle[others] == idle[chosen[-1]])]
    chosen[-1] = enough[np.argmin(room[enough])]
    take = {low + int(node): int(room[node]) for node in chosen[:-1]} | {low + int(chosen[-1]): rest}
    return tuple(sorted(take)), tuple(take[node] for node in sorted(take))


@borrowing
def _free_at(table: Table, node: int, at: int, resource: int) -> int:
    """Return what is free on the node at a time, of one resource; may be below 0 under a closed time."""
    free = table.free[node, resource]
    for release in range(table.release_start[node], table.release_start[node + 1]):
        if table.release_at[release] > at:
            break
        free += table.released[release, resource]
    span = table.head[node]
    while span >= 0:
        if table.span[span, 0] <= at < table.span[span, 1]:
            free -= table.span[span, 2 + resource]
        span = table.following[span]
    return int(free)


@borrowing
def _tasks_at(table: Table, node: int, at: int, need: Ints) -> int:
    fit = 2**62
    for resource in range(3):
        if need[resource] > 0:
            fit = min(fit, max(_free_at(table, node, at, resource), 0) // need[resource])
    return fit


@borrowing
def _room(table: Table, node: int, at: int, seconds: int, need: Ints) -> int:
    """Return how many tasks fit on the node from `at` on for so long."""
    if not table.usable[node]:
        return 0
    fit = _tasks_at(table, node, at, need)
    span = table.head[node]
    while span >= 0 and fit > 0:
        if at < table.span[span, 0] < at + seconds:
            fit = min(fit, _tasks_at(table, node, table.span[span, 0], need))
        span = table.following[span]
    return fit


@compiled
def _rooms(table: Table, low: int, high: int, at: int, seconds: int, need: Ints) -> Ints:
    room = np.zeros(high - low, dtype=np.int64)
    for node in range(low, high):
        room[node - low] = _room(table, node, at, seconds, need)
    return room


@compiled
def _sweep(table: Table, low: int, high: int, times: Ints, need: Ints, tasks: int, level: int, seconds: int) -> int:
    """Return the first of the times (ascending) at which the gang fits; NEVER if at none."""
    room = np.zeros(high - low, dtype=np.int64)
    place = np.zeros(high - low, dtype=np.int64)  # position of the node's domain
    for node in range(low + 1, high):
        place[node - low] = place[node - 1 - low] + (table.domain[node] != table.domain[node - 1])
    total = np.zeros(high - low + 1, dtype=np.int64)  # by domain; the last one for the whole pool
    spanned = np.flatnonzero(table.head[low:high] >= 0)
    release, end = table.release_start[low], table.release_start[high]
    while release < end and table.release_at[table.by_time[release]] <= times[0]:
        release += 1
    for number in range(times.size):
        first = release
        while release < end and table.release_at[table.by_time[release]] <= times[number]:
            release += 1
        # at the first time every node is looked at, later those that have changed: twice, for totals may fall again
        count = high - low if number == 0 else release - first + spanned.size
        for again in range(2):
            if again == 1 and total[-1] < tasks:
                break
            for entry in range(count):
                here = entry
                if number > 0 and entry < release - first:
                    here = table.release_node[table.by_time[first + entry]] - low
                elif number > 0:
                    here = spanned[entry - (release - first)]
                if again == 0:
                    _look(table, low, here, times[number], need, seconds, room, place, total)
                elif _together(here, level, room, place, total) >= tasks:
                    return int(times[number])
    return NEVER


@borrowing
def _look(
    table: Table, low: int, here: int, at: int, need: Ints, seconds: int, room: Ints, place: Ints, total: Ints
) -> None:
    """Count the room of a node anew."""
    now = _room(table, low + here, at, seconds, need)
    total[place[here]] += now - room[here]
    total[-1] += now - room[here]
    room[here] = now


@inlined
def _together(here: int, level: int, room: Ints, place: Ints, total: Ints) -> int:
    """Return how many tasks fit as close together as they must be, the node among them."""
    if level == WITHIN_NODE:
        return int(room[here])
    if level == WITHIN_DOMAIN:
        return int(total[place[here]])
    return int(total[-1])


@compiled
def _kept_until(table: Table) -> tuple[Ints, Ints]:
    nodes = table.free.shape[0]
    until = np.full(nodes, NEVER, dtype=np.int64)
    kept = table.free.copy()
    now = table.now[0]
    for node in range(nodes):
        span = table.head[node]
        first = NEVER  # when anything that is free now is needed
        while span >= 0:
            begin, end = max(table.span[span, 0], now), table.span[span, 1]
            if end > now:
                for resource in range(3):
                    left = max(_free_at(table, node, begin, resource), 0)
                    kept[node, resource] = min(kept[node, resource], left)
                    if left < table.free[node, resource]:
                        first = min(first, begin)
            span = table.following[span]
        if kept[node, CARDS] < table.free[node, CARDS]:
            until[node] = first
    return until, kept
