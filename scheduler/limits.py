"""What new work may draw beside cards: power by hub, and quotas of a tree in which unused guarantees are lent.

A tenant's work counts to its quota at the hub and to every quota above. With limit = guaranteed + borrow, and kept =
what is guaranteed and not lent:

    (1) for every quota          used + new <= limit
    (2) for every parent         direct + sum over children of max(used + new, kept) <= limit

(2) says that what a child keeps for itself is in use even while it is not. A rule that running work already breaks
stays as it is: nothing may be added to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.compiled import borrowing, inlined
from scheduler.fields import UNKNOWN
from scheduler.forms import Kinds
from scheduler.snapshot import Ints, Snapshot

NO_LIMIT: Final = 2**62
LEFT, LEND, KEPT, NEW = range(4)
"""Columns of a quota account: limit - used - new; limit - what counts by (2); kept - used - new; new. Signed."""
_PPM: Final = 10**6


@dataclass(frozen=True, eq=False)
class Limits:
    """The limits before any new work. H hubs, Q quotas, T tenants, P pools."""

    hub_free_watts: Ints  # [H] at least 0; NO_LIMIT where there is no cap and no pace
    pool_hub: Ints  # [P]
    pool_watts: Ints  # [P] of one busy card
    pool_pue_ppm: Ints  # [P]
    pool_milli_tflops: Ints  # [P] programme-counted FP16 of one card, 0 where not known
    parent: Ints  # [Q]
    account: Ints  # [Q, 4] see LEFT, LEND, KEPT, NEW
    headroom: Ints  # [Q] guaranteed and not used
    tenant_quota: Ints  # [T, H]
    broken_before: tuple[str, ...]  # what running work breaks already

    @property
    def has_power(self) -> bool:
        """Whether any hub has a cap or a pace."""
        return bool((self.hub_free_watts < NO_LIMIT).any())


def limits_of(snapshot: Snapshot) -> Limits:
    """Derive the limits of a snapshot."""
    by_rule = np.stack([snapshot.hub_power_cap_watts, snapshot.hub_pace_watts])
    least = np.where(by_rule == UNKNOWN, NO_LIMIT, by_rule).min(axis=0)
    free = np.where(least < NO_LIMIT, np.maximum(least - snapshot.hub_used_watts, 0), NO_LIMIT)
    account, limit, counted = _accounts(snapshot)
    return Limits(
        hub_free_watts=free,
        pool_hub=snapshot.pool_hub,
        pool_watts=snapshot.model_card_watts[snapshot.pool_model],
        pool_pue_ppm=snapshot.hub_pue_ppm[snapshot.pool_hub],
        pool_milli_tflops=np.maximum(snapshot.model_fp16_programme_milli_tflops[snapshot.pool_model], 0),
        parent=snapshot.quota_parent,
        account=account,
        headroom=np.maximum(snapshot.quota_guaranteed_milli_tflops - snapshot.quota_used_milli_tflops, 0),
        tenant_quota=snapshot.tenant_quota,
        broken_before=(*_broken_power(snapshot), *_broken_quotas(snapshot, limit, counted)),
    )


def meters(limits: Limits, kinds: Kinds) -> Ints:
    """Return [K, P]: watts at the hub's meter of one gang, rounded up."""
    cards = -(-kinds.milli_cards[:, None] * limits.pool_watts // 1000)
    watts: Ints = -(-cards * limits.pool_pue_ppm // _PPM)
    return watts


def uses(limits: Limits, kinds: Kinds) -> Ints:
    """Return [K, P]: what one gang counts to quotas, milli-TFLOPS, rounded up."""
    use: Ints = -(-kinds.milli_cards[:, None] * limits.pool_milli_tflops // 1000)
    return use


def alone_rooms(limits: Limits) -> Ints:
    """Return [T, H]: the largest use that the quotas allow to one job of the tenant if nothing else came."""
    rooms = np.full(limits.tenant_quota.shape, NO_LIMIT, dtype=np.int64)
    for tenant, hub in np.argwhere(limits.tenant_quota >= 0).tolist():
        rooms[tenant, hub] = quota_room(int(limits.tenant_quota[tenant, hub]), limits.parent, limits.account)
    return rooms


@inlined
def quota_room(leaf: int, parent: Ints, account: Ints) -> int:
    """Return how much more may count to the quota `leaf`; NO_LIMIT if nothing limits it."""
    room = NO_LIMIT
    child = -1
    quota = leaf
    while quota >= 0:
        if account[quota, LEFT] < NO_LIMIT:
            room = min(room, max(account[quota, LEFT], 0))
            lent = max(account[quota, LEND], 0)
            if child >= 0:
                lent += max(account[child, KEPT], 0)
            room = min(room, lent)
        child = quota
        quota = parent[quota]
    return room


@borrowing
def quota_take(leaf: int, amount: int, parent: Ints, account: Ints) -> None:
    """Count so much more to the quota `leaf` and those above; a negative amount gives back."""
    grown = amount  # what the quota counts more by (2)
    quota = leaf
    while quota >= 0:
        if account[quota, LEFT] < NO_LIMIT:
            account[quota, LEFT] -= amount
            account[quota, LEND] -= grown
        kept = account[quota, KEPT]
        # max(used + new, kept) grows by what does not fit into what is kept
        grown = max(kept, 0) - max(kept - amount, 0)
        grown = amount - grown
        account[quota, KEPT] = kept - amount
        account[quota, NEW] += amount
        quota = parent[quota]


def _accounts(snapshot: Snapshot) -> tuple[Ints, Ints, Ints]:
    """Return the accounts [Q, 4], the limits [Q], and what counts by (2) before new work [Q]."""
    guaranteed, borrow, lend, used = (
        getattr(snapshot, f"quota_{name}_milli_tflops") for name in ("guaranteed", "borrow", "lend", "used")
    )
    limit = np.where(borrow == UNKNOWN, NO_LIMIT, guaranteed + borrow)
    kept = np.where(lend == UNKNOWN, 0, np.maximum(guaranteed - lend, 0))
    children = np.zeros_like(used)
    reserved = np.zeros_like(used)
    below = np.flatnonzero(snapshot.quota_parent >= 0)
    np.add.at(children, snapshot.quota_parent[below], used[below])
    np.add.at(reserved, snapshot.quota_parent[below], np.maximum(used, kept)[below])
    counted = np.maximum(used - children, 0) + reserved
    bounded = limit < NO_LIMIT
    account = np.zeros((used.size, 4), dtype=np.int64)
    account[:, LEFT] = np.where(bounded, limit - used, NO_LIMIT)
    account[:, LEND] = np.where(bounded, limit - counted, NO_LIMIT)
    account[:, KEPT] = kept - used
    return account, limit, counted


def _broken_power(snapshot: Snapshot) -> list[str]:
    said = []
    rows = zip(
        snapshot.hub_names,
        snapshot.hub_used_watts.tolist(),
        snapshot.hub_power_cap_watts.tolist(),
        snapshot.hub_pace_watts.tolist(),
        strict=True,
    )
    for hub, used, cap, pace in rows:
        if 0 <= cap < used:
            said.append(f"power: {hub} draws {used} W, its cap is {cap} W")
        if 0 <= pace < used:
            said.append(f"energy: {hub} draws {used} W, its pace is {pace} W")
    return said


def _broken_quotas(snapshot: Snapshot, limit: Ints, counted: Ints) -> list[str]:
    said = []
    parents = set(snapshot.quota_parent.tolist())
    for quota, name in enumerate(snapshot.quota_names):
        used, most = int(snapshot.quota_used_milli_tflops[quota]), int(limit[quota])
        if used > most:
            said.append(f"quota: {name} uses {used} milli-TFLOPS, its limit is {most}")
        if quota in parents and counted[quota] > most:
            said.append(
                f"lending: children of {name} use and keep {int(counted[quota])} milli-TFLOPS, its limit is {most}"
            )
    return said
