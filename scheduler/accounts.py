"""Power and quotas when some leases are stopped and a gang starts in their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.clearing import Clearing
from scheduler.horizon import Horizon
from scheduler.limits import NO_LIMIT, Limits, quota_room, quota_take
from scheduler.plan import Placement
from scheduler.snapshot import Snapshot
from scheduler.spare import LEAF, POOL, USE, WATTS, taken

_PPM = 10**6
_NONE = -1


@dataclass(frozen=True, slots=True)
class Draw:
    """What a gang counts to in a pool."""

    pool: int
    hub: int
    leaf: int  # its quota there, -1: none
    use: int  # milli-TFLOPS
    watts: int
    guarantee: int  # the lowest quota from the leaf upwards within whose unused guarantee it fits, -1: none


class Accounts:
    """Watts by hub and use by quota as they stand after a round, leases and gangs counted one by one."""

    def __init__(
        self, world: Snapshot, limits: Limits, horizon: Horizon, clearing: Clearing, started: Sequence[Placement]
    ) -> None:
        """`started`: by the round; they are counted as running."""
        self._world, self._limits = world, limits
        caps = np.stack([world.hub_power_cap_watts, world.hub_pace_watts])
        cap = np.where(caps < 0, NO_LIMIT, caps).min(axis=0)
        self._watts: list[int] = np.where(cap < NO_LIMIT, cap - world.hub_used_watts, NO_LIMIT).tolist()
        self._account = limits.account.copy()
        self._used: list[int] = world.quota_used_milli_tflops.tolist()
        self._guaranteed: list[int] = world.quota_guaranteed_milli_tflops.tolist()
        self._chains: list[tuple[int, ...]] = []  # each quota and those above it, the lowest first
        for quota, parent in enumerate(world.quota_parent.tolist()):
            self._chains.append((quota, *self._chains[parent]) if parent >= 0 else (quota,))
        pool = clearing.pool
        self._lease_quota: list[int] = horizon.lease_quota.tolist()
        self._lease_use: list[int] = horizon.lease_quota_use.tolist()
        self._lease_hub: list[int] = np.where(pool >= 0, limits.pool_hub[pool], _NONE).tolist()
        watts = -(-clearing.cards * limits.pool_watts[pool] * limits.pool_pue_ppm[pool] // _PPM)
        self._lease_watts: list[int] = np.where(pool >= 0, watts, 0).tolist()
        if started:
            for row in taken(limits, world, started).table.tolist():
                self._count(int(limits.pool_hub[row[POOL]]), row[LEAF], row[USE], row[WATTS])

    def entitled(self) -> list[bool]:
        """Return, by tenant, whether any of its quotas is guaranteed more than is in use; the last one: no tenant."""
        unused = [guaranteed > used for guaranteed, used in zip(self._guaranteed, self._used, strict=True)]
        tenants = self._world.tenant_quota.tolist()
        found = [any(leaf >= 0 and any(unused[at] for at in self._chains[leaf]) for leaf in row) for row in tenants]
        return [*found, False]

    def draw(self, pool: int, tenant: int, cards: int) -> Draw:
        """Return what a gang of whole cards of the tenant (-1: none) counts to in the pool."""
        limits, hub = self._limits, int(self._limits.pool_hub[pool])
        leaf = int(limits.tenant_quota[tenant, hub]) if tenant >= 0 else _NONE
        use = cards * int(limits.pool_milli_tflops[pool])
        watts = -(-cards * int(limits.pool_watts[pool]) * int(limits.pool_pue_ppm[pool]) // _PPM)
        within = [at for at in self._chain(leaf) if self._used[at] + use <= self._guaranteed[at]]
        return Draw(pool, hub, leaf, use, watts, within[0] if within else _NONE)

    def outside(self, lease: int, quota: int) -> bool:
        """Return whether the lease does not count to the quota."""
        return quota not in self._chain(self._lease_quota[lease])

    def serves(self, draw: Draw, victims: Iterable[int]) -> bool:
        """Return whether every quota has as much of its guarantee in use with the gang and without these as now."""
        gone: dict[int, int] = defaultdict(int)
        for lease in victims:
            for quota in self._chain(self._lease_quota[lease]):
                gone[quota] += self._lease_use[lease]
        own = self._chain(draw.leaf)
        for quota, less in gone.items():
            used = self._used[quota]
            after = used - less + (draw.use if quota in own else 0)
            if after < min(used, self._guaranteed[quota]):
                return False
        return True

    def short(self, draw: Draw, victims: Iterable[int]) -> tuple[int, int]:
        """Return what quotas (milli-TFLOPS) and power (watts) are short for the gang when these are stopped."""
        chosen = list(victims)
        use = watts = 0
        if draw.leaf >= 0:
            account = self._account.copy()
            for lease in chosen:
                if self._lease_quota[lease] >= 0:
                    quota_take(self._lease_quota[lease], -self._lease_use[lease], self._limits.parent, account)
            use = max(draw.use - int(quota_room(draw.leaf, self._limits.parent, account)), 0)
        if self._watts[draw.hub] < NO_LIMIT:
            freed = sum(self._lease_watts[lease] for lease in chosen if self._lease_hub[lease] == draw.hub)
            watts = max(draw.watts - max(self._watts[draw.hub] + freed, 0), 0)
        return use, watts

    def carry_out(self, draw: Draw, victims: Iterable[int]) -> None:
        """Count the victims as stopped and the gang as running."""
        for lease in victims:
            quota = self._lease_quota[lease]
            self._count(self._lease_hub[lease], quota, -self._lease_use[lease], -self._lease_watts[lease])
        self._count(draw.hub, draw.leaf, draw.use, draw.watts)

    def _chain(self, quota: int) -> tuple[int, ...]:
        return self._chains[quota] if quota >= 0 else ()

    def _count(self, hub: int, leaf: int, use: int, watts: int) -> None:
        if self._watts[hub] < NO_LIMIT:
            self._watts[hub] -= watts
        for quota in self._chain(leaf):
            self._used[quota] += use
        if leaf >= 0:
            quota_take(leaf, use, self._limits.parent, self._account)
