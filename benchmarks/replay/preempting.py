"""Our policy with preemption: jobs that write checkpoints are stopped when emergencies need their cards.

Stopping takes no time here, and costs what the job did since its last checkpoint. Nobody is stopped again before the
next one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.replay.engine import Moves, State
from benchmarks.replay.exchange import Exchange
from benchmarks.replay.workload import Workload
from scheduler.decide import Decision
from scheduler.horizon import Horizon
from scheduler.policy import Policy
from scheduler.preemption import preempt
from scheduler.reclaim import Reclaim
from scheduler.snapshot import Ints, Snapshot

_HOUR_S: Final = 3600


class Preempting(Exchange):
    """The exchange, with `preemption.preempt` after every round in which an emergency waits."""

    def __init__(self, load: Workload, policy: Policy, every_s: int) -> None:
        super().__init__(load, policy, every_s)
        self._was_stopped = np.zeros(load.jobs, dtype=bool)
        self._start_s: Ints = np.zeros(0, dtype=np.int64)
        self._hour, self._lost_card_seconds = -1, 0  # of this hour

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:
        """Decide as the exchange does; what is stopped gives its cards back, and is placed again at this instant."""
        self._start_s = state.start_s
        return super().decide(now_s, arrived, ended, state)

    def budget(self, now_s: int) -> int:
        """Return the card-seconds that may still be lost in this hour."""
        if now_s // _HOUR_S != self._hour:
            self._hour, self._lost_card_seconds = now_s // _HOUR_S, 0
        return self._policy.churn_card_seconds_max - self._lost_card_seconds

    def reclaim(self, world: Snapshot, horizon: Horizon, made: Decision) -> Reclaim:
        """Return what is stopped after a round."""
        return preempt(world, horizon, made, self._policy, self.budget(world.taken_at_s))

    def _stopped(self, world: Snapshot, horizon: Horizon, made: Decision) -> Sequence[int]:
        if not self._emergency_waits():
            return ()
        found = self.reclaim(world, self._with_leases(horizon, world.taken_at_s), made)
        self._promises = found.promises
        self._lost_card_seconds += found.lost_card_seconds
        jobs = [int(each.lease_id) for each in found.preemptions]
        for job in jobs:
            self._used[self._load.trace.vc[job]] -= self._running.pop(job).milli_tflops
        self._was_stopped[jobs] = True
        return jobs

    def _could_start(self, free: Ints) -> bool:
        return super()._could_start(free) or self._emergency_waits()

    def _emergency_waits(self) -> bool:
        tier = self._demand.tier
        return bool(tier.any() and (tier[self._waiting] == 0).any())

    def _with_leases(self, horizon: Horizon, now_s: int) -> Horizon:
        """Return the horizon with what stopping each job would cost."""
        jobs = np.array(list(self._running), dtype=np.int64)
        every = self._load.trace.checkpoint_s[jobs]
        ran = now_s - self._start_s[jobs]
        since = np.where(every > 0, ran % np.maximum(every, 1), ran)
        return replace(
            horizon,
            lease_preemptible=every >= 0,
            lease_lost_card_seconds=since * self._load.trace.cards[jobs],
            lease_tier=self._demand.tier[jobs],
            lease_moved=self._was_stopped[jobs] & (since == ran),
        )
