"""The power of hubs at the times when promised gangs start, derived a second time.

What runs draws until the margin after its end, what starts now too, and promised gangs from their start to their end.
Now, and when each of them starts, that may be no more than the hub's cap and pace allow; where it was more before the
round, because a level was set lower since, it may not become more.

A draw is a row: hub, from, until, watts at the meter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from scheduler.fields import MILLI_PER_CARD
from scheduler.horizon import Horizon, Promise
from scheduler.plan import Placement
from scheduler.snapshot import Ints, Snapshot
from scheduler.verify_formulas import PPM, up

_FOREVER: Final = 2**60
_UNLIMITED: Final = 2**62
_NOT_KNOWN: Final = 2**59
_HUB, _FROM, _UNTIL, _WATTS = range(4)


class Overdrawn(NamedTuple):
    """A hub that draws more at a time than it may."""

    hub: int
    at_s: int
    watts: int
    allowed_watts: int


class Meters:
    """What hubs with a cap or a pace draw over time, as far as a round knows."""

    def __init__(self, world: Snapshot, horizon: Horizon, margin_seconds: int) -> None:
        levels = np.stack([world.hub_power_cap_watts, world.hub_pace_watts])
        self.caps: list[int] = np.where(levels < 0, _UNLIMITED, levels).min(axis=0).tolist()
        self.limited = {hub for hub, cap in enumerate(self.caps) if cap < _UNLIMITED}
        self._world, self._horizon, self._margin = world, horizon, margin_seconds
        self._position = {job_id: job for job, job_id in enumerate(world.job_id)}

    def running(self, stopped: Collection[int] = ()) -> Ints:
        """Return what runs: leases until the margin after their end, what belongs to no lease for good.

        What is on nodes with split cards cannot be told apart: it draws until the last lease there has ended. Leases at
        the positions `stopped` are ordered to stop: they draw until the end of their grace and the margin.
        """
        world, horizon, now = self._world, self._horizon, self._world.taken_at_s
        ends = horizon.lease_ends_at_s + self._margin
        ends = np.where(ends > now, ends, now + self._margin)
        asked = np.isin(np.arange(ends.size), list(stopped))
        ends = np.where(asked, np.minimum(ends, now + horizon.lease_grace_seconds + self._margin), ends)
        pool = world.node_pool[horizon.held_node]
        hub, end = world.pool_hub[pool], ends[horizon.held_lease]
        cards = np.minimum(horizon.held_cards, world.node_cards[horizon.held_node])
        watts = cards * world.model_card_watts[world.pool_model[pool]] * world.hub_pue_ppm[hub] // PPM
        split = np.isin(horizon.held_node, world.split_node)
        found = [np.stack([hub, np.zeros_like(hub), end, watts], axis=1)[~split]]
        for at, used in enumerate(world.hub_used_watts.tolist()):
            rest = used - int(watts[~split & (hub == at)].sum())
            shared = split & (hub == at)
            until = int(end[shared].max()) if rest > 0 and shared.any() else _FOREVER
            found.append(np.array([[at, 0, until, rest]], dtype=np.int64))
        return np.concatenate(found)

    def started(self, placements: Sequence[Placement]) -> Ints:
        """Return what gangs draw that start now: until their input has come, their walltime and the margin are over."""
        if not placements:
            return _rows(())
        world = self._world
        pool = np.array([each.pool for each in placements], dtype=np.int64)
        tasks = np.array([sum(each.tasks) for each in placements], dtype=np.int64)
        job = np.array([self._position[each.job_id] for each in placements], dtype=np.int64)
        shape, hub, model = world.job_shape[job], world.pool_hub[pool], world.pool_model[pool]
        speed = world.transfer_mib_per_second[world.job_city[job], hub]
        moves = np.where(speed > 0, -(-world.shape_input_gib[shape] * 1024 // np.maximum(speed, 1)), _NOT_KNOWN)
        moves[(world.shape_input_gib[shape] == 0) | world.shape_staged[shape, hub]] = 0
        begin = np.full_like(hub, world.taken_at_s)
        end = begin + moves + world.job_walltime_seconds[job] + self._margin
        of_cards = up(tasks * self._milli_of_tasks(shape, model) * world.model_card_watts[model], MILLI_PER_CARD)
        return np.stack([hub, begin, end, up(of_cards * world.hub_pue_ppm[hub], PPM)], axis=1)

    def promised(self, promises: Iterable[Promise]) -> Ints:
        """Return what promised gangs draw."""
        return _rows((self._hub(each), each.start_s, each.end_s, self.of_gang(each)) for each in promises)

    def promised_before(self, promises: Iterable[Promise]) -> Ints:
        """Return what gangs draw that were promised before the round and wait.

        One that is late may draw for its whole time from now on.
        """
        rows, now = [], self._world.taken_at_s
        for each in promises:
            if each.job_id in self._position:
                behind = max(now + 1 - each.start_s, 0)
                rows.append((self._hub(each), each.start_s, each.end_s + behind, self.of_gang(each)))
        return _rows(rows)

    def of_gang(self, promise: Promise) -> int:
        """Return the watts of a promised gang."""
        return self._watts(promise.pool, MILLI_PER_CARD * promise.cards)

    def drawn(self, draws: Ints, hub: int, at_s: int) -> int:
        """Return what a hub draws at a time."""
        there = (draws[:, _HUB] == hub) & (draws[:, _FROM] <= at_s) & (at_s < draws[:, _UNTIL])
        return max(int(draws[there, _WATTS].sum()), 0)

    def overdrawn(self, before: Ints, after: Ints, times: Iterable[int]) -> Iterator[Overdrawn]:
        """Yield where `after` is beyond the limits, and beyond what was drawn `before`."""
        for at in sorted(set(times)):
            for hub in sorted(self.limited):
                watts = self.drawn(after, hub, at)
                if watts > self.caps[hub]:
                    allowed = max(self.caps[hub], self.drawn(before, hub, at))
                    if watts > allowed:
                        yield Overdrawn(hub, at, watts, allowed)

    def _hub(self, promise: Promise) -> int:
        return int(self._world.pool_hub[promise.pool])

    def _watts(self, pool: int, milli: int) -> int:
        world = self._world
        card, pue = int(world.model_card_watts[world.pool_model[pool]]), int(world.hub_pue_ppm[world.pool_hub[pool]])
        return int(up(up(milli * card, MILLI_PER_CARD) * pue, PPM))

    def _milli_of_tasks(self, shape: Ints, model: Ints) -> Ints:
        """Return the thousandths of cards that a task holds: of a share, the smallest slice that is large enough."""
        world = self._world
        milli = MILLI_PER_CARD * world.shape_cards_per_task[shape]
        for at in np.flatnonzero(world.shape_share_milli[shape] > 0).tolist():
            first, last = world.slice_start[model[at] : model[at] + 2].tolist()
            slices, share = world.slice_milli[first:last].tolist(), int(world.shape_share_milli[shape[at]])
            milli[at] = min((each for each in slices if each >= share), default=MILLI_PER_CARD)
        return milli


def together(*draws: Ints) -> Ints:
    """Return all of these draws."""
    return np.concatenate(draws)


def _rows(rows: Iterable[Sequence[int]]) -> Ints:
    return np.array(list(rows), dtype=np.int64).reshape(-1, 4)
