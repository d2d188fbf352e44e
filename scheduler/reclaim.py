"""What preemption decided: which leases are stopped, for whom, and the starts that are promised instead. Data only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from scheduler.horizon import Horizon, Promise


class Claim(StrEnum):
    """By which right a lease is stopped."""

    GUARANTEE = "GUARANTEE"  # for a quota that has less in use than it is guaranteed, from work of other quotas
    TIER = "TIER"  # for work of a tier above
    DEFRAGMENTATION = "DEFRAGMENTATION"  # it may be moved for this gang, and that pays


@dataclass(frozen=True, slots=True)
class Preemption:
    """A lease to stop, for whom and by which right."""

    lease_id: str
    claim: Claim
    job_id: str  # of the gang that is promised the room
    lost_card_seconds: int
    cards: int


@dataclass(frozen=True, slots=True)
class Reclaim:
    """What preemption adds to a round."""

    preemptions: tuple[Preemption, ...] = ()
    promises: tuple[Promise, ...] = ()  # that stand after it: those of the decision, and `made`
    made: tuple[Promise, ...] = ()  # in the order in which others were stopped for them; each replaces one of its job

    @property
    def lost_card_seconds(self) -> int:
        """Work that has to be done again."""
        return sum(each.lost_card_seconds for each in self.preemptions)


def with_stops(horizon: Horizon, preemptions: Collection[Preemption], now_s: int) -> Horizon:
    """Return the horizon in which these leases are ordered to stop now."""
    if not preemptions:
        return horizon
    ordered = np.isin(horizon.lease_id, [each.lease_id for each in preemptions])
    by_order = np.minimum(horizon.lease_ends_at_s, now_s + horizon.lease_grace_seconds)
    return replace(
        horizon,
        lease_ends_at_s=np.where(ordered, by_order, horizon.lease_ends_at_s),
        lease_preemptible=horizon.lease_preemptible & ~ordered,
    )
