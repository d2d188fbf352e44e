"""Expected starts over a replay: each waiting job is given them once, and the forecast learns from what comes true."""

import heapq
from collections.abc import Sequence

from scheduler.forecast import Forecast, Outcome, expected
from scheduler.horizon import Horizon
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot


class Outcomes:
    """Expected starts of waiting jobs, given once to each, and what is learned from how they come true."""

    def __init__(self) -> None:
        self._forecast = Forecast()
        self._open: dict[int, tuple[int, int, int]] = {}  # job -> class of size, P50, P90
        self._due: list[tuple[int, int, str]] = []  # when a quantile that is not decided passes

    def started(self, now_s: int, jobs: Sequence[int]) -> None:
        """Learn from jobs that start, and from times that have passed."""
        outcomes = self._passed(now_s)
        for job in jobs:
            if job in self._open:
                size, p50_s, p90_s = self._open.pop(job)
                outcomes += [Outcome(size, name, False) for name, at in (("p50", p50_s), ("p90", p90_s)) if at >= now_s]
        self._forecast = self._forecast.learned(outcomes)

    def _passed(self, now_s: int) -> list[Outcome]:
        late = []
        while self._due and self._due[0][0] < now_s:
            _, job, name = heapq.heappop(self._due)
            if job in self._open:
                late.append(Outcome(self._open[job][0], name, True))
        return late

    def expect(self, world: Snapshot, horizon: Horizon, policy: Policy) -> list[tuple[int, int]]:
        """Return the P90 of those jobs of a round that wait on and were given none."""
        running = set(horizon.lease_id)
        new = [at for at, job in enumerate(world.job_id) if job not in running and int(job) not in self._open]
        if not new:
            return []
        found = expected(world, horizon, policy, self._forecast)
        given = []
        for at in new:
            job, p50_s, p90_s = int(world.job_id[at]), int(found.p50_s[at]), int(found.p90_s[at])
            self._open[job] = int(found.size[at]), p50_s, p90_s
            heapq.heappush(self._due, (p50_s, job, "p50"))
            heapq.heappush(self._due, (p90_s, job, "p90"))
            given.append((job, p90_s))
        return given
