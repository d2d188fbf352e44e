"""Quotes in a replay: some jobs ask on arrival for a sure start and its price, and accept the first answer at once.

What can be promised and what it costs comes from `scheduler.options`, as in the broker; terms, total and credit follow
its rules (`broker/market/quoting.py`, `quote_ends.py`) and its defaults.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.replay.engine import Credit, Quoted
from benchmarks.replay.workload import Workload
from broker.ledger.money import share_down
from broker.ledger.work import work_micro_yuan
from broker.market.quote_ends import QuoteFees
from broker.market.quotes import QuoteRules
from scheduler.horizon import Horizon, Promise
from scheduler.options import Options, Priced, priced, with_asks
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Ints, Snapshot

WINDOW_LEAST_S: Final = 3600
"""People want a start within as long as their job may run, and within an hour at least."""
VALID_S: Final = int(QuoteRules().valid.total_seconds())
CREDIT_PPM: Final = QuoteFees().credit_ppm
_PROMISES_MAX: Final = 10_000
"""The most that a policy may say."""
_MILLI: Final = 1000


def drawn(load: Workload, percent: float, seed: int) -> Ints:
    """Return the jobs that ask for a quote: each with this chance, by the seed."""
    luck = np.random.default_rng((seed, 17))
    return np.flatnonzero(100 * luck.random(load.jobs) < percent)


class Quotes:
    """The quotes of one run: who asks, what was accepted, and which of it is open."""

    def __init__(self, load: Workload, policy: Policy, jobs: Iterable[int] = ()) -> None:
        """`jobs`: those that ask on arrival."""
        self._load, self._policy, self._jobs = load, policy, frozenset(int(job) for job in jobs)
        self._open: dict[int, Quoted] = {}
        self._promised: set[int] = set()

    def asking(self, arrived: Sequence[int]) -> list[int]:
        """Return those of the arrivals that ask."""
        return [job for job in arrived if job in self._jobs] if self._jobs else []

    def accept(
        self, job: int, world: Snapshot, horizon: Horizon, prices: Sequence[OpeningPrice]
    ) -> tuple[Quoted, Promise] | None:
        """Ask, and accept the first option; None: nothing is sure within the window, or all is beyond the ceiling.

        Args:
            world: as it is now, with this job alone; `horizon`: with all that runs and is promised.
            prices: of the last round.
        """
        now = world.taken_at_s
        end = now + max(int(self._load.walltime_s[job]), WINDOW_LEAST_S)
        finder = Options(world, horizon, self._policy, prices, any_price=True)
        starts = [start for pool in finder.pools if (start := finder.earliest(pool, now, end)) is not None]
        if not starts:
            return None
        asks = world.pool_ask_micro_yuan_per_card_hour
        costs = priced(world, prices, starts, [int(asks[start.pool]) for start in starts])
        pairs = zip(starts, costs, strict=True)
        options = [self._terms(job, start, cost, now, end) for start, cost in pairs if cost.within_ceiling]
        if not options:
            return None
        first = min(options, key=lambda each: (each.starts_at_s, each.total_micro_yuan, each.pool))
        promise = self._start_of(first, world, horizon, prices)
        if promise is None:
            return None
        self._open[job] = first
        self._promised.add(job)
        return first, promise

    def of_rounds(self, promises: Iterable[Promise]) -> Policy:
        """Return the policy of a round: promises of quotes take the place of none that rounds make."""
        beside = sum(int(each.job_id) in self._promised for each in promises)
        most = min(_PROMISES_MAX, self._policy.promises_max + beside)
        return replace(self._policy, promises_max=most) if beside else self._policy

    def started(self, now_s: int, jobs: Collection[int]) -> None:
        """Close the quotes of jobs that start in their window."""
        for job in self._open.keys() & jobs:
            if now_s <= self._open[job].starts_by_s:
                del self._open[job]

    def missed(self, now_s: int) -> list[Credit]:
        """Return what is owed for the windows that have passed without a start; each once."""
        late = [job for job, each in self._open.items() if each.starts_by_s < now_s]
        return [Credit(job, share_down(self._open.pop(job).total_micro_yuan, CREDIT_PPM)) for job in late]

    def _terms(self, job: int, start: Promise, cost: Priced, now_s: int, end_s: int) -> Quoted:
        until, slack = min(now_s + VALID_S, end_s), self._policy.lease_end_margin_seconds
        per_card_hour = cost.price.ask_micro_yuan_per_card_hour + cost.price.scarcity_micro_yuan_per_card_hour
        walltime = int(self._load.walltime_s[job])
        return Quoted(
            job=job,
            asked_s=now_s,
            starts_at_s=start.start_s,
            starts_by_s=max(start.start_s, min(end_s, max(start.start_s, until) + slack)),
            pool=start.pool,
            micro_yuan_per_card_hour=per_card_hour,
            total_micro_yuan=work_micro_yuan(per_card_hour, start.cards * _MILLI, walltime),
        )

    def _start_of(
        self, quoted: Quoted, world: Snapshot, horizon: Horizon, prices: Sequence[OpeningPrice]
    ) -> Promise | None:
        """Return the earliest start that keeps the terms, a little ahead: a round that can starts it at once."""
        ask = int(world.pool_ask_micro_yuan_per_card_hour[quoted.pool])
        finder = Options(with_asks(world, {quoted.pool: ask}), horizon, self._policy, prices, any_price=False)
        soon = world.taken_at_s + 1 + self._policy.lease_end_margin_seconds // 4
        return finder.earliest(quoted.pool, min(soon, quoted.starts_by_s), quoted.starts_by_s)
