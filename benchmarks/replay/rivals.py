"""The usual policies of a queue, none preemptive, all deciding anew at every arrival and every end.

    fifo     in the order of arrival; nobody passes the first that does not fit
    easy     EASY backfill (Lifka 1995): the first that does not fit is promised the earliest second at which it fits by
             the requested walltimes; whoever does not delay it passes
    sjf      the shortest requested walltime first; whatever fits starts, nothing is kept for who does not fit
    las      least attained service, by virtual cluster: the one whose jobs have had the fewest card-seconds first, in
             it by arrival; whatever fits starts (Tiresias without its preemption)
    density  most worth for a card and hour first, at the pool that the job prefers; whatever fits starts

A job takes the fastest pool that has room, and in it the best fit.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.replay.engine import NEVER, NOTHING, Moves, Start, State
from benchmarks.replay.queues import Gangs, Out, backfill, reserve, start_in_order
from benchmarks.replay.workload import Workload
from scheduler.snapshot import Ints


def gangs_of(load: Workload) -> Gangs:
    """Return what the loops need to know."""
    return Gangs(load.tasks, load.per_task, load.preferred, load.walltime_s, load.world.pool_first)


class InOrder:
    """Start jobs by rank, the lowest first; the rank never changes."""

    def __init__(self, load: Workload, rank: Ints, *, strict: bool) -> None:
        self._gangs, self._rank, self._strict = gangs_of(load), rank, strict
        self._waiting = np.zeros(0, dtype=np.int64)

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:  # noqa: ARG002
        """Start what fits."""
        self._waiting = _inserted(self._waiting, arrived, self._rank)
        starts, self._waiting = started(self._waiting, self._gangs, state.free.copy(), strict=self._strict)
        return Moves(starts) if starts else NOTHING

    def wake_s(self, now_s: int) -> int:  # noqa: ARG002
        """Never: only arrivals and ends change anything."""
        return NEVER


class Easy:
    """EASY backfill."""

    def __init__(self, load: Workload) -> None:
        self._gangs, self._rank = gangs_of(load), np.arange(load.jobs)
        self._waiting = np.zeros(0, dtype=np.int64)

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:  # noqa: ARG002
        """Start from the head on, then backfill behind it."""
        self._waiting = _inserted(self._waiting, arrived, self._rank)
        free = state.free.copy()
        starts, self._waiting = started(self._waiting, self._gangs, free, strict=True)
        if self._waiting.size < 2 or not free.any():
            return Moves(starts) if starts else NOTHING
        head, others = int(self._waiting[0]), self._waiting[1:]
        kept = reserve(head, self._gangs, free, *self._running(now_s, starts, state))
        if kept.at_s < 0:
            raise AssertionError(f"job {head} fits nowhere even when everything has ended")
        out = _room(others, free)
        rows = backfill(others, now_s, kept, self._gangs, free, out)
        starts += _starts(out, rows)
        self._waiting = np.append(head, _without(others, out.job[:rows]))
        return Moves(starts, promises=((head, int(kept.at_s)),))

    def _running(self, now_s: int, starts: Sequence[Start], state: State) -> tuple[Ints, Ints, Ints, Ints]:
        """Return what runs, by its end: seconds, where its entries begin, nodes and cards."""
        held = [(int(state.limit_s[job]), nodes, cards) for job, (nodes, cards) in state.held.items()]
        held += [(now_s + int(self._gangs.walltime_s[one.job]), one.nodes, one.cards) for one in starts]
        held.sort(key=lambda one: one[0])
        begin = np.append(0, np.cumsum([len(nodes) for _, nodes, _ in held]))
        nodes = np.array([node for _, nodes, _ in held for node in nodes], dtype=np.int64)
        cards = np.array([count for _, _, cards in held for count in cards], dtype=np.int64)
        return np.array([end for end, _, _ in held], dtype=np.int64), begin, nodes, cards

    def wake_s(self, now_s: int) -> int:  # noqa: ARG002
        """Never."""
        return NEVER


class LeastAttained:
    """Least attained service, by virtual cluster."""

    def __init__(self, load: Workload) -> None:
        self._gangs, self._rank = gangs_of(load), np.arange(load.jobs)
        self._vc, self._cards = load.trace.vc, load.trace.cards
        self._had = np.zeros(len(load.trace.vc_names))  # card-seconds until `_at_s`
        self._holds = np.zeros(len(load.trace.vc_names))  # cards now
        self._at_s = 0
        self._waiting = np.zeros(0, dtype=np.int64)

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:
        """Start what fits, the virtual cluster that has had least first."""
        self._had += self._holds * (now_s - self._at_s)
        self._at_s = now_s
        for job in ended:
            self._holds[self._vc[job]] -= self._cards[job]
        self._waiting = _inserted(self._waiting, arrived, self._rank)
        if not state.free.any():
            return NOTHING
        place = np.argsort(np.argsort(self._had, kind="stable"), kind="stable").astype(np.int16)
        order = self._waiting[np.argsort(place[self._vc[self._waiting]], kind="stable")]
        starts, _ = started(order, self._gangs, state.free.copy(), strict=False)
        for one in starts:
            self._holds[self._vc[one.job]] += self._cards[one.job]
        self._waiting = _without(self._waiting, np.array([one.job for one in starts], dtype=np.int64))
        return Moves(starts) if starts else NOTHING

    def wake_s(self, now_s: int) -> int:  # noqa: ARG002
        """Never."""
        return NEVER


def shortest_first(load: Workload) -> InOrder:
    """Return sjf."""
    return InOrder(load, _rank(load.walltime_s), strict=False)


def densest_first(load: Workload) -> InOrder:
    """Return density."""
    best = load.worth_micro_yuan[np.arange(load.jobs), load.preferred[:, 0]]
    return InOrder(load, _rank(-(best // load.trace.cards)), strict=False)


def first_come(load: Workload) -> InOrder:
    """Return fifo."""
    return InOrder(load, np.arange(load.jobs), strict=True)


def started(order: Ints, gangs: Gangs, free: Ints, *, strict: bool) -> tuple[list[Start], Ints]:
    """Start jobs in this order on `free`, which is used up; return them and those that still wait, in order."""
    if not order.size or not free.any():
        return [], order
    out = _room(order, free)
    rows = start_in_order(order, strict, gangs, free, out)
    return _starts(out, rows), _without(order, out.job[:rows])


def _rank(key: Ints) -> Ints:
    rank = np.empty(key.size, dtype=np.int64)
    rank[np.argsort(key, kind="stable")] = np.arange(key.size)
    return rank


def _inserted(waiting: Ints, arrived: Sequence[int], rank: Ints) -> Ints:
    """Return jobs that wait, by rank."""
    if not arrived:
        return waiting
    new = np.array(sorted(arrived, key=lambda job: int(rank[job])), dtype=np.int64)
    found: Ints = np.insert(waiting, np.searchsorted(rank[waiting], rank[new]), new)
    return found


def _without(waiting: Ints, gone: Ints) -> Ints:
    return waiting[~np.isin(waiting, gone)] if gone.size else waiting


def _room(order: Ints, free: Ints) -> Out:
    cards = int(free.sum())
    rows = min(order.size, cards)
    return Out(
        *(np.empty(rows, dtype=np.int64) for _ in range(3)), *(np.empty(cards, dtype=np.int64) for _ in range(2))
    )


def _starts(out: Out, rows: int) -> list[Start]:
    job, pool, last = out.job[:rows].tolist(), out.pool[:rows].tolist(), out.last[:rows].tolist()
    end = last[-1] if last else 0
    nodes, cards = out.nodes[:end].tolist(), out.cards[:end].tolist()
    first = [0, *last][:-1]
    return [Start(j, p, nodes[a:b], cards[a:b]) for j, p, a, b in zip(job, pool, first, last, strict=True)]
