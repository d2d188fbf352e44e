"""Virtual time: arrivals, ends and the policy's own wake-ups, one after the other; and the log of what became of them.

At one instant leases end first, then jobs arrive, then the policy decides once. A job runs for its true duration on the
pool where it is, and is killed at its requested walltime. What is preempted waits again with the work it has left.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from benchmarks.replay.workload import Workload
from scheduler.snapshot import Ints

NEVER: Final = -1


class BrokenMove(RuntimeError):
    """A policy started what is not waiting, took cards that are not free, or stopped what does not run."""


@dataclass(frozen=True, slots=True)
class Start:
    """A gang that starts now: these cards on these nodes of the pool."""

    job: int
    pool: int
    nodes: Sequence[int]
    cards: Sequence[int]


@dataclass(frozen=True, slots=True)
class Quoted:
    """An accepted quote: the job is sure to start between the two times, at this price. Money is micro-yuan."""

    job: int
    asked_s: int  # and accepted; the window begins then
    starts_at_s: int  # the start that was found
    starts_by_s: int
    pool: int
    micro_yuan_per_card_hour: int
    total_micro_yuan: int  # for the walltime


@dataclass(frozen=True, slots=True)
class Credit:
    """What is given back to the city of a job whose quote was missed."""

    job: int
    micro_yuan: int


@dataclass(frozen=True, slots=True)
class Moves:
    """What a policy decides at one instant."""

    starts: Sequence[Start] = ()
    preempted: Sequence[int] = ()  # jobs; they give their cards back before anything starts
    promises: Sequence[tuple[int, int]] = ()  # job, and the second by which it starts, without failures
    expected: Sequence[tuple[int, int]] = ()  # job, and the second by which it starts in nine of ten cases (P90)
    asked: Sequence[int] = ()  # jobs that asked for a quote
    quoted: Sequence[Quoted] = ()  # quotes that were accepted
    credits: Sequence[Credit] = ()  # for quotes that were missed


NOTHING: Final = Moves()


@dataclass(slots=True, eq=False)
class State:
    """What a policy may look at, besides what users asked for; the engine alone writes.

    Attributes:
        free: [N] cards.
        start_s: [J] of the present run; NEVER while the job does not run.
        limit_s: [J] when its requested walltime ends.
        pool: [J] where it runs.
        held: job -> nodes and cards, of what runs.
    """

    free: Ints
    start_s: Ints
    limit_s: Ints
    pool: Ints
    held: dict[int, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)


class Policy(Protocol):
    """A way to decide which jobs start when. It knows walltimes as requested, never durations."""

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:
        """Decide at an instant. `arrived`: new or preempted jobs, which wait now."""

    def wake_s(self, now_s: int) -> int:
        """Return when to be asked at the latest even if nothing happens; NEVER: not before something happens."""


@dataclass(slots=True, eq=False)
class Log:
    """What became of the jobs. One entry for each run; a job that was preempted has several.

    Attributes:
        ended_s: NEVER while it runs.
        preempted: whether it ended so.
        promised: job -> the earliest second it was ever promised to start by, and when that was said.
        expected: job -> the first P90 it was given.
        asked: jobs that asked for a quote.
        quoted: job -> the quote that was accepted.
        credits: for missed quotes, in the order in which they were given.
    """

    job: list[int] = field(default_factory=list)
    pool: list[int] = field(default_factory=list)
    start_s: list[int] = field(default_factory=list)
    ended_s: list[int] = field(default_factory=list)
    preempted: list[bool] = field(default_factory=list)
    nodes: list[Sequence[int]] = field(default_factory=list)
    cards: list[Sequence[int]] = field(default_factory=list)
    promised: dict[int, tuple[int, int]] = field(default_factory=dict)
    expected: dict[int, int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    quoted: dict[int, Quoted] = field(default_factory=dict)
    credits: list[Credit] = field(default_factory=list)
    decisions: int = 0


def replay(load: Workload, policy: Policy, tell: Callable[[int], None] = lambda _: None) -> Log:
    """Run every job of the workload under the policy. `tell` is called with the jobs that have arrived so far.

    Raises: BrokenMove: the policy is at fault.
    """
    return _Engine(load, policy).run(tell)


class _Engine:
    def __init__(self, load: Workload, policy: Policy) -> None:
        self._load, self._policy = load, policy
        count = load.jobs
        self._state = State(
            load.world.node_cards.copy(), np.full(count, NEVER), np.full(count, NEVER), np.full(count, NEVER)
        )
        self._log = Log()
        self._ends: list[tuple[int, int, int]] = []  # second, run, job
        self._run_of = np.full(count, NEVER)
        self._arrived = np.zeros(count, dtype=bool)
        self._done = np.zeros(count, dtype=bool)
        self._left = np.ones(count)  # of the work, as a fraction

    def run(self, tell: Callable[[int], None]) -> Log:
        submit, count = self._load.trace.submit_s.tolist(), self._load.jobs
        arrivals, wake = 0, NEVER
        while True:
            times = [submit[arrivals]] if arrivals < count else []
            times += [self._ends[0][0]] if self._ends else []
            times += [wake] if wake != NEVER else []
            if not times:
                return self._log
            now = min(times)
            ended = self._end(now)
            first = arrivals
            while arrivals < count and submit[arrivals] == now:
                arrivals += 1
            self._arrived[first:arrivals] = True
            tell(arrivals)
            again: list[int] = list(range(first, arrivals))
            while True:
                moves = self._policy.decide(now, again, ended, self._state)
                self._log.decisions += 1
                again = self._apply(now, moves)
                if not again:
                    break
                ended = []
            wake = self._policy.wake_s(now)
            if wake != NEVER and wake <= now:
                raise BrokenMove(f"at {now} the policy wants to be asked at {wake}, which is not later")

    def _end(self, now: int) -> list[int]:
        ended = []
        while self._ends and self._ends[0][0] == now:
            _, run, job = heapq.heappop(self._ends)
            if self._run_of[job] == run:
                self._close(job, run, now, preempted=False)
                self._done[job] = True
                ended.append(job)
        return ended

    def _close(self, job: int, run: int, now: int, *, preempted: bool) -> None:
        self._log.ended_s[run] = now
        self._log.preempted[run] = preempted
        nodes, cards = self._state.held.pop(job)
        for node, count in zip(nodes, cards, strict=True):
            self._state.free[node] += count
        self._run_of[job] = NEVER
        for array in (self._state.start_s, self._state.limit_s, self._state.pool):
            array[job] = NEVER

    def _apply(self, now: int, moves: Moves) -> list[int]:
        """Carry the moves out; return the jobs that wait again."""
        for job, by in moves.promises:
            if job not in self._log.promised or by < self._log.promised[job][0]:
                self._log.promised[job] = by, now
        for job, by in moves.expected:
            self._log.expected.setdefault(job, by)
        self._log.asked += moves.asked
        self._log.credits += moves.credits
        for quote in moves.quoted:
            if quote.job in self._log.quoted:
                raise BrokenMove(f"job {quote.job} accepts a second quote at {now}")
            self._log.quoted[quote.job] = quote
        for job in moves.preempted:
            self._preempt(job, now)
        for start in moves.starts:
            self._start(start, now)
        return list(moves.preempted)

    def _preempt(self, job: int, now: int) -> None:
        run = int(self._run_of[job])
        if run == NEVER:
            raise BrokenMove(f"job {job} is preempted at {now} and does not run")
        ran = now - self._log.start_s[run]
        every = int(self._load.trace.checkpoint_s[job])
        kept = ran // every * every if every > 0 else 0
        self._left[job] -= kept / int(self._load.run_s[job, self._log.pool[run]])
        self._close(job, run, now, preempted=True)

    def _start(self, start: Start, now: int) -> None:
        job, state = start.job, self._state
        if not self._arrived[job] or self._done[job] or self._run_of[job] != NEVER:
            raise BrokenMove(f"job {job} is started at {now} and does not wait")
        for node, count in zip(start.nodes, start.cards, strict=True):
            state.free[node] -= count
            if state.free[node] < 0:
                raise BrokenMove(f"job {job} takes {count} cards of node {node} at {now}, so many are not free")
        run, log = len(self._log.job), self._log
        limit = now + int(self._load.walltime_s[job])
        true = max(int(np.ceil(self._load.run_s[job, start.pool] * self._left[job])), 1)
        heapq.heappush(self._ends, (min(now + true, limit), run, job))
        log.job.append(job)
        log.pool.append(start.pool)
        log.start_s.append(now)
        log.ended_s.append(NEVER)
        log.preempted.append(False)
        log.nodes.append(start.nodes)
        log.cards.append(start.cards)
        self._run_of[job] = run
        state.start_s[job], state.limit_s[job], state.pool[job] = now, limit, start.pool
        state.held[job] = start.nodes, start.cards
