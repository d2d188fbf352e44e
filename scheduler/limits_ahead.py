"""Power and quotas over time: what is left of them once leases have ended.

Only what running work gives back is counted. What promised gangs will use of a quota is not kept back for them
(`promises.py`), so it is not taken off here either. What they will draw is, by `power_ahead.py`: here is the earliest
time at which nobody would have to look.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from scheduler.horizon import NEVER, Horizon
from scheduler.limits import NO_LIMIT, limits_of, quota_room, quota_take
from scheduler.profile import held_until_s
from scheduler.snapshot import Ints, Snapshot

_PPM = 10**6


class LimitsAhead:
    """Power by hub and quotas of a world, from now on."""

    def __init__(self, world: Snapshot, horizon: Horizon, margin_seconds: int) -> None:
        """`horizon`: of this world; leases that name no quota give none back. `margin_seconds`: as of `Profile`."""
        self._limits = limits_of(world)
        caps = np.stack([world.hub_power_cap_watts, world.hub_pace_watts])
        cap = np.where(caps < 0, NO_LIMIT, caps).min(axis=0)
        self._cap: list[int] = cap.tolist()
        self._left: list[int] = np.where(cap < NO_LIMIT, cap - world.hub_used_watts, NO_LIMIT).tolist()
        self._now = world.taken_at_s
        self._until = held_until_s(horizon, self._now, margin_seconds)
        counted = np.flatnonzero(horizon.lease_quota >= 0)
        by_end = counted[np.argsort(self._until[counted], kind="stable")]
        self._quota_ends: list[int] = self._until[by_end].tolist()
        self._given_back = np.zeros((by_end.size + 1, self._limits.parent.size), dtype=np.int64)
        self._given_back[np.arange(1, by_end.size + 1), horizon.lease_quota[by_end]] = horizon.lease_quota_use[by_end]
        # no more than is in use: where figures disagree, leases may be said to have counted for more
        self._given_back = np.minimum(np.cumsum(self._given_back, axis=0), world.quota_used_milli_tflops)
        self._held_hub, self._held_until, self._held_watts = self._watts(world, horizon)

    def clear_from_s(self, hub: int, leaf: int, watts: int, use: int) -> int:
        """Return from when on so much is left at the hub and in the quota; NEVER if it is not.

        Args:
            leaf: the quota, -1: none.
            use: of the quota and those above it, milli-TFLOPS.
        """
        return max(self._power_from_s(hub, watts), self._quota_from_s(leaf, use))

    def account_at(self, at_s: int) -> Ints:
        """Return the accounts of quotas, as `Limits.account`, when all leases have ended that do so by then."""
        account = self._limits.account.copy()
        ended = bisect_left(self._quota_ends, at_s + 1)
        for quota in np.flatnonzero(self._given_back[ended]).tolist():
            quota_take(quota, -int(self._given_back[ended, quota]), self._limits.parent, account)
        return account

    def _power_from_s(self, hub: int, watts: int) -> int:
        left = self._left[hub]
        if left == NO_LIMIT or watts <= left:
            return self._now
        here = self._held_hub == hub
        freed = np.minimum(left + np.cumsum(self._held_watts[here]), self._cap[hub])
        enough = np.flatnonzero(freed >= watts)
        return int(self._held_until[here][enough[0]]) if enough.size else NEVER

    def _quota_from_s(self, leaf: int, use: int) -> int:
        """Look for it by halves: what is left only grows while leases end."""
        if leaf < 0 or self._room(leaf, self._now) >= use:
            return self._now
        if not self._quota_ends or self._room(leaf, self._quota_ends[-1]) < use:
            return NEVER
        return self._quota_ends[bisect_left(self._quota_ends, use, key=lambda at: self._room(leaf, at))]

    def _room(self, leaf: int, at_s: int) -> int:
        return int(quota_room(leaf, self._limits.parent, self.account_at(at_s)))

    def _watts(self, world: Snapshot, horizon: Horizon) -> tuple[Ints, Ints, Ints]:
        """Return hub, end, and watts given back, of what leases hold on nodes, by end.

        A split card draws what its shares draw, which is not known here: nodes with such give nothing back.
        """
        limits, node = self._limits, horizon.held_node
        pool = world.node_pool[node]
        watts = horizon.held_cards * limits.pool_watts[pool] * limits.pool_pue_ppm[pool] // _PPM
        watts[np.isin(node, world.split_node)] = 0
        until = self._until[horizon.held_lease]
        order = np.argsort(until, kind="stable")
        return limits.pool_hub[pool][order], until[order], watts[order]
