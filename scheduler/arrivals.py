"""What arriving jobs may do in a world that was laid out before they came: the cheap way to judge a few of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.judging import Verdict
from scheduler.limits import Limits
from scheduler.offers import judged
from scheduler.policy import Policy
from scheduler.snapshot import Ints, Snapshot
from scheduler.spare import Spare
from scheduler.tariff import Tariff
from scheduler.terrain import Land


@dataclass(frozen=True, eq=False)
class Offers:
    """The pairs (pool and kind) of each arriving job, what they gain, and the tables to put them by."""

    jobs: Snapshot
    verdict: Verdict
    gain: Ints  # [A] worth less cost at the prices, micro-yuan per hour
    build: Ints  # [S, M] position in the shape's own list of builds
    land: Land

    def pairs(self, job: int) -> range:
        """Return the pairs of a job, whether or not they pay or have room."""
        return range(int(self.verdict.start[job]), int(self.verdict.start[job + 1]))

    def best_first(self, job: int) -> Ints:
        """Return the pairs of a job by falling gain, ties in the order of the pools."""
        pairs = self.pairs(job)
        order: Ints = np.argsort(-self.gain[pairs.start : pairs.stop], kind="stable") + pairs.start
        return order

    @property
    def best_gains(self) -> Ints:
        """The most that each job gains anywhere, [J]; below any gain where it may run nowhere."""
        best = np.full(len(self.jobs.job_id), -(2**62), dtype=np.int64)
        np.maximum.at(best, np.repeat(np.arange(best.size), np.diff(self.verdict.start)), self.gain)
        return best


class Judge:
    """Judges jobs that come to one world; what depends on the world alone is worked out once."""

    def __init__(self, limits: Limits, policy: Policy, spare: Spare) -> None:
        self._limits, self._policy, self._spare = limits, policy, spare

    def offers(self, jobs: Snapshot, tariff: Tariff) -> Offers:
        """Judge every job by itself, whatever is free."""
        found = judged(jobs, self._limits, self._policy)
        return Offers(
            jobs=jobs,
            verdict=found.verdict,
            gain=found.gains(tariff),
            build=found.build,
            land=self._spare.land(jobs, found.kinds, found.verdict, found.meter, found.quota_use),
        )
