"""What new work may draw beside nodes: power by hub, and quotas of a tree in which unused guarantees are lent.

All in Python's integers: sums over a tree may leave 64 bits.
"""

from __future__ import annotations

from scheduler.snapshot import Snapshot

NO_LIMIT = 2**62


def free_watts(snapshot: Snapshot) -> list[int | None]:
    """Return, for each hub, what new work may draw at its meter; None without a cap and without a pace."""
    free: list[int | None] = []
    for cap, pace, used in zip(
        snapshot.hub_power_cap_watts.tolist(),
        snapshot.hub_pace_watts.tolist(),
        snapshot.hub_used_watts.tolist(),
        strict=True,
    ):
        known = [limit for limit in (cap, pace) if limit >= 0]
        free.append(max(0, min(known) - used) if known else None)
    return free


class Quotas:
    """The tree of quotas, milli-TFLOPS. New work counts to its leaf and to everything above."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.names = snapshot.quota_names
        self.parent: list[int] = snapshot.quota_parent.tolist()
        self.used: list[int] = snapshot.quota_used_milli_tflops.tolist()
        guaranteed = snapshot.quota_guaranteed_milli_tflops.tolist()
        borrow = snapshot.quota_borrow_milli_tflops.tolist()
        lend = snapshot.quota_lend_milli_tflops.tolist()
        self.limit = [g + b if b >= 0 else None for g, b in zip(guaranteed, borrow, strict=True)]
        self.kept = [max(0, g - out) if out >= 0 else 0 for g, out in zip(guaranteed, lend, strict=True)]
        self.headroom = [max(0, g - u) for g, u in zip(guaranteed, self.used, strict=True)]
        nothing = [0] * len(self.names)
        self.lent_before = self.lent(nothing)

    def new(self, direct: list[int]) -> list[int]:
        """Return what is new at each quota, children included, from what is new by jobs of the quota itself."""
        new = list(direct)
        for quota in reversed(range(len(new))):  # parents come before their children
            if self.parent[quota] >= 0:
                new[self.parent[quota]] += new[quota]
        return new

    def lent(self, direct: list[int]) -> list[int]:
        """Return, for each quota, what counts against its limit when children keep what they do not lend."""
        new = self.new(direct)
        by_children, counted = [0] * len(new), [0] * len(new)
        for quota, parent in enumerate(self.parent):
            if parent >= 0:
                by_children[parent] += self.used[quota]
                counted[parent] += max(self.used[quota] + new[quota], self.kept[quota])
        return [
            max(0, used - below) + own + count
            for used, below, own, count in zip(self.used, by_children, direct, counted, strict=True)
        ]

    def free(self, quota: int) -> int | None:
        """Return what new work may count to the quota by its own limit; None without one."""
        limit = self.limit[quota]
        return None if limit is None else max(0, limit - self.used[quota])

    def rooms(self) -> list[int]:
        """Return the most that one job alone may count to each quota as its leaf, all quotas above considered."""
        rooms = []
        for leaf in range(len(self.names)):
            room, child, quota = NO_LIMIT, -1, leaf
            while quota >= 0:
                limit = self.limit[quota]
                if limit is not None:
                    unused = max(0, self.kept[child] - self.used[child]) if child >= 0 else 0
                    lendable = max(0, limit - self.lent_before[quota]) + unused
                    room = min(room, max(0, limit - self.used[quota]), lendable)
                child, quota = quota, self.parent[quota]
            rooms.append(room)
        return rooms


def broken_before(snapshot: Snapshot, quotas: Quotas) -> tuple[str, ...]:
    """Return the limits that running work breaks already, in words: power and energy by hub, then quotas."""
    said = []
    for hub, used, cap, pace in zip(
        snapshot.hub_names,
        snapshot.hub_used_watts.tolist(),
        snapshot.hub_power_cap_watts.tolist(),
        snapshot.hub_pace_watts.tolist(),
        strict=True,
    ):
        if 0 <= cap < used:
            said.append(f"power: {hub} draws {used} W, its cap is {cap} W")
        if 0 <= pace < used:
            said.append(f"energy: {hub} draws {used} W, its pace is {pace} W")
    parents = set(quotas.parent)
    for quota, (name, limit) in enumerate(zip(quotas.names, quotas.limit, strict=True)):
        if limit is None:
            continue
        if quotas.used[quota] > limit:
            said.append(f"quota: {name} uses {quotas.used[quota]} milli-TFLOPS, its limit is {limit}")
        lent = quotas.lent_before[quota]
        if quota in parents and lent > limit:
            said.append(f"lending: children of {name} use and keep {lent} milli-TFLOPS, its limit is {limit}")
    return tuple(said)
