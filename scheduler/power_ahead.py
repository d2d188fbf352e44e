"""What a hub's meter shows over time, and the earliest time at which it has power for a gang for as long as it runs.

At a time t a hub draws what runs now, less what leases draw that end by then, more every *span* that covers t: a
promised gang from its start to its end. Draw rises where spans begin and nowhere else, so a gang that starts at t needs
its power at t and at every begin of a span before its end.

What is used and belongs to no lease is used for good. A split card draws what its shares draw, which is not known here:
leases on such nodes give nothing back before the last of them has ended.

A hub without cap and pace has power without end. What is left is counted by both as they are now; a level that was set
lower since may leave less than was promised. So a promise that stands may keep its own time whatever that leaves
(`instead_of`), and is looked at once more when it is due (`promises.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from scheduler.horizon import NEVER, Horizon, Promise
from scheduler.limits import NO_LIMIT
from scheduler.snapshot import Bools, Ints, Snapshot

_PPM: Final = 10**6


class Level(NamedTuple):
    """From when on no more than so much is left at a hub."""

    from_s: int
    watts: int


class Stop(NamedTuple):
    """A lease of the horizon, by its position, that gives its power back before its end."""

    lease: int
    pool: int
    from_s: int  # its power is free
    until_s: int  # it would have been free anyway


@dataclass
class _Meter:
    """One hub with a limit."""

    cap: int
    used: int
    ends: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # ascending
    freed: Ints = field(default_factory=lambda: np.zeros(1, dtype=np.int64))  # by the first so many of them
    spans: list[tuple[int, int, int]] = field(default_factory=list)  # from, until, watts

    def release(self, ends: Ints, watts: Ints) -> None:
        """Count these watts as drawn until these ends; they are in `used`."""
        ends, watts = np.concatenate([self.ends, ends]), np.concatenate([np.diff(self.freed), watts])
        order = np.argsort(ends, kind="stable")
        self.ends, self.freed = ends[order], np.append(0, np.cumsum(watts[order]))

    def left(self, at: Ints) -> Ints:
        """Return what is left at these times; below 0 where more is promised than there is."""
        drawn = np.maximum(self.used - self.freed[np.searchsorted(self.ends, at, side="right")], 0)
        for begin, end, watts in self.spans:
            drawn += watts * ((begin <= at) & (at < end))
        left: Ints = self.cap - drawn
        return left

    def has(self, at: Ints, watts: int, own: tuple[int, int]) -> Bools:
        """Return at which of these times so much is left, or it is within the time of its own."""
        found: Bools = (self.left(at) >= watts) | ((own[0] <= at) & (at < own[1]))
        return found

    def begins(self, after_s: int) -> Ints:
        """Return when draw rises after a time, ascending."""
        return np.array(sorted({begin for begin, _, watts in self.spans if begin > after_s and watts > 0}), np.int64)


class PowerAhead:
    """Power of the hubs of a world, from now on. Spans may be added and taken away."""

    def __init__(self, world: Snapshot, horizon: Horizon, until_s: Ints) -> None:
        """Lay out what running work gives back; nothing is promised yet.

        `until_s`, [R]: until when each lease of the horizon holds what it has.
        """
        self._now = world.taken_at_s
        self._hub = world.pool_hub
        self._watts = world.model_card_watts[world.pool_model]
        self._pue = world.hub_pue_ppm[world.pool_hub]
        caps = np.stack([world.hub_power_cap_watts, world.hub_pace_watts])
        cap = np.where(caps < 0, NO_LIMIT, caps).min(axis=0)
        used = world.hub_used_watts
        self._meters = {hub: _Meter(int(cap[hub]), int(used[hub])) for hub in np.flatnonzero(cap < NO_LIMIT).tolist()}
        self._lease_watts = np.zeros(len(horizon.lease_id), dtype=np.int64)
        if self._meters and horizon.held_node.size:
            self._release(world, horizon, until_s)

    @property
    def hubs(self) -> frozenset[int]:
        """The hubs that have a limit."""
        return frozenset(self._meters)

    @property
    def hubs_with_spans(self) -> frozenset[int]:
        """The hubs with a limit where anything is promised: elsewhere what is left only grows."""
        return frozenset(hub for hub, meter in self._meters.items() if meter.spans)

    def watts(self, pool: int, cards: int) -> int:
        """Return what busy cards of a pool draw at the hub's meter, rounded up."""
        return -(-cards * int(self._watts[pool]) * int(self._pue[pool]) // _PPM)

    def take(self, promise: Promise) -> None:
        """Keep the power of a promise for it from its start to its end."""
        meter = self._meters.get(int(self._hub[promise.pool]))
        if meter is not None:
            meter.spans.append(self._span(promise))

    def give_back(self, promise: Promise) -> None:
        """Undo `take`."""
        meter = self._meters.get(int(self._hub[promise.pool]))
        if meter is not None:
            meter.spans.remove(self._span(promise))

    def start(self, pool: Ints, ends_s: Ints, watts: Ints) -> None:
        """Count as running from now on: in these pools, until these ends, so many watts at the meter."""
        for hub, meter in self._meters.items():
            here = self._hub[pool] == hub
            if here.any():
                meter.used += int(watts[here].sum())
                meter.release(ends_s[here], watts[here])

    def stop(self, stops: Iterable[Stop]) -> None:
        """Count leases as stopped."""
        for hub, span in self._stops(stops):
            self._meters[hub].spans.append(span)

    def run_on(self, stops: Iterable[Stop]) -> None:
        """Undo `stop`."""
        for hub, span in self._stops(stops):
            self._meters[hub].spans.remove(span)

    def has_room(self, promise: Promise, instead_of: Promise | None = None) -> bool:
        """Return whether there is power for the promise from its start to its end.

        `instead_of`: see `earliest`.
        """
        seconds = promise.end_s - promise.start_s
        start, watts = promise.start_s, self.watts(promise.pool, promise.cards)
        return self.earliest(promise.pool, watts, seconds, start, start, instead_of) == start

    def earliest(
        self,
        pool: int,
        watts: int,
        seconds: int,
        not_before_s: int,
        by_s: int = NEVER,
        instead_of: Promise | None = None,
    ) -> int:
        """Return the first time, from one on and up to another, at which the pool's hub has so much power for so long.

        NEVER if there is none. `instead_of`: what was promised to the gang before, and is not taken now; at that time
        it may draw what was promised, there being as much or not.
        """
        hub = int(self._hub[pool])
        meter = self._meters.get(hub)
        if meter is None or watts == 0:
            return not_before_s
        own = (0, 0) if instead_of is None or int(self._hub[instead_of.pool]) != hub else _times(instead_of)
        begins = np.append(meter.begins(not_before_s), own[1])  # less may be left once its own time is over
        short = begins[~meter.has(begins, watts, own)]

        def lasting(at: Ints) -> Ints:
            fits = meter.has(at, watts, own)
            for begin in short.tolist():
                fits &= (at >= begin) | (at + seconds <= begin)
            return at[fits]

        first = np.array([not_before_s])
        if not_before_s <= by_s and lasting(first).size:  # mostly there is enough at once
            return not_before_s
        changes = [end if drawn > 0 else begin for begin, end, drawn in meter.spans] + [own[0]]
        at = np.unique(np.concatenate([first, meter.ends, np.array(changes, dtype=np.int64)]))
        found = lasting(at[(at >= not_before_s) & (at <= by_s)])
        return int(found[0]) if found.size else NEVER

    def kept(self, pool: Ints, ends_s: Ints, watts: Ints) -> Bools:
        """Return which gangs that start now, one after the other, leave to all promises what they were promised.

        Those that do are counted beside one another; nothing is taken.
        """
        found = np.ones(pool.size, dtype=np.bool_)
        for hub, meter in self._meters.items():
            times = np.append(self._now, meter.begins(self._now))
            left = meter.left(times)
            for at in np.flatnonzero((self._hub[pool] == hub) & (watts > 0)).tolist():
                draws = times < ends_s[at]
                found[at] = (left[draws] >= watts[at]).all()
                left[draws] -= watts[at] * found[at]
        return found

    def levels(self, hub: int) -> list[Level]:
        """Return when, and to what, the power falls that is left for what starts now and does not end before.

        None for a hub whose power that is free now is free for good.
        """
        meter = self._meters.get(hub)
        begins = np.zeros(0, dtype=np.int64) if meter is None else meter.begins(self._now)
        if meter is None or not begins.size:
            return []
        left = np.maximum(meter.left(np.append(self._now, begins)), 0)
        least = np.minimum.accumulate(left)
        return [
            Level(from_s, watts)
            for from_s, watts, before in zip(begins.tolist(), least[1:].tolist(), least[:-1].tolist(), strict=True)
            if watts < before
        ]

    def _release(self, world: Snapshot, horizon: Horizon, until_s: Ints) -> None:
        node, lease = horizon.held_node, horizon.held_lease
        pool = world.node_pool[node]
        cards = np.minimum(horizon.held_cards, world.node_cards[node])
        watts = cards * self._watts[pool] * self._pue[pool] // _PPM
        split = np.isin(node, world.split_node)
        watts[split] = 0
        np.add.at(self._lease_watts, lease, watts)
        until = until_s[lease]
        for hub, meter in self._meters.items():
            here = self._hub[pool] == hub
            meter.release(until[here], watts[here])
            rest = meter.used - int(watts[here].sum())
            if rest > 0 and (here & split).any():
                last = until[here & split].max()
                meter.release(np.array([last]), np.array([rest]))

    def _span(self, promise: Promise) -> tuple[int, int, int]:
        return promise.start_s, promise.end_s, self.watts(promise.pool, promise.cards)

    def _stops(self, stops: Iterable[Stop]) -> list[tuple[int, tuple[int, int, int]]]:
        return [
            (hub, (each.from_s, each.until_s, -int(self._lease_watts[each.lease])))
            for each in stops
            if (hub := int(self._hub[each.pool])) in self._meters and each.from_s < each.until_s
        ]


def _times(promise: Promise) -> tuple[int, int]:
    return promise.start_s, promise.end_s
