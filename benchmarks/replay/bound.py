"""What no policy that stops nobody could exceed, even one that knows every duration and arrival: by prices for cards.

Whatever the price of a card in each pool and each part of the time, no schedule earns more until the horizon than

    what all cards cost  +  for each job: what it would be worth to it to start where and when that is best, or 0

because each job of a schedule pays for cards that are there, and none does better than its best start (weak duality). A
job starts once, after it has arrived, in one pool, and runs without a break. What is relaxed: nodes (cards of one pool
are alike), instants (a part of the time has so many card-hours, whenever in it), and whole jobs (prices alone cannot
tell one start from a mixture of several). So every set of prices gives a bound, and the search for low ones
(subgradients with Polyak's step) can only make it tighter.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.replay.trace import Floats
from benchmarks.replay.workload import Workload
from scheduler.compiled import compiled
from scheduler.snapshot import Ints

PARTS: Final = 300
"""Into so many equal parts the time until the horizon is cut; each has its prices."""
STEPS: Final = 100
_PATIENCE: Final = 8
"""So many steps without a lower bound, and the next ones hope for half as much."""
_HOUR_S: Final = 3600


def worth_bound(load: Workload) -> float:
    """Return micro-yuan that no policy can exceed until the horizon, even if it may stop jobs and start them again.

    A job earns at most its best rate for as long as it could run between its arrival and the horizon; a card-second
    earns at most the job's best rate for a card. Filling all card-seconds with the densest work, in parts and at any
    time, is a relaxation of every schedule, preemptive ones included.
    """
    return _filled(load)[0]


def _filled(load: Workload) -> tuple[float, float]:
    """Return that bound, and the worth of an hour of the last card that is filled."""
    horizon, cards = load.trace.span_s, load.trace.cards
    seconds = np.clip(np.minimum(load.run_s, horizon - load.trace.submit_s[:, None]), 0, None)
    most = (load.worth_micro_yuan * (seconds / _HOUR_S)).max(axis=1)
    density = load.worth_micro_yuan.max(axis=1) / cards / _HOUR_S
    order = np.argsort(-density, kind="stable")
    needs = (most / density)[order]  # card-seconds, at least
    room = np.clip(horizon * load.world.cards - (np.cumsum(needs) - needs), 0, None)
    last = np.flatnonzero(needs > room)
    marginal = float(density[order][last[0]]) * _HOUR_S if last.size else 0.0
    return float((np.minimum(needs, room) * density[order]).sum()), marginal


def priced_bound(load: Workload, steps: int = STEPS, tell: Callable[[int], None] = lambda _: None) -> float:
    """Return micro-yuan that no policy that stops nobody can exceed until the horizon; at most `worth_bound`.

    `tell` is called with the steps done so far.
    """
    horizon = load.trace.span_s
    best, marginal = _filled(load)
    if horizon <= 0:
        return best
    pools = len(load.world.pool_names)
    of_pool = np.bincount(load.world.node_pool, load.world.node_cards, minlength=pools)
    part_hours = horizon / PARTS / _HOUR_S
    supply = np.repeat(of_pool[:, None] * part_hours, PARTS, axis=1)  # [P, T] card-hours
    killed_s = np.minimum(load.run_s, load.walltime_s[:, None])
    run = np.where(load.run_s >= 0, killed_s, -1)
    price, hope, since = np.full((pools, PARTS), marginal), 0.05, 0
    for step in range(steps):
        used = np.zeros_like(supply)
        sums = np.concatenate([np.zeros((pools, 1)), np.cumsum(price * part_hours, axis=1)], axis=1)
        earned = best_starts(load.trace.submit_s, load.trace.cards, run, load.worth_micro_yuan, sums, horizon, used)
        bound = float((price * supply).sum()) + earned
        slope = supply - used
        slope[(price <= 0) & (slope > 0)] = 0  # a price cannot fall below nothing
        if bound < best:
            best, since = bound, 0
        else:
            since += 1
        if since >= _PATIENCE:
            hope, since = hope / 2, 0
        length = float((slope * slope).sum())
        if length == 0:
            break
        price = np.maximum(price - (bound - best * (1 - hope)) / length * slope, 0)
        tell(step + 1)
    return best


@compiled
def best_starts(
    submit_s: Ints, cards: Ints, run_s: Ints, worth: Ints, sums: Floats, horizon_s: int, used: Floats
) -> float:
    """Return what all jobs gain by their best starts, and add the card-hours that those take to `used`.

    The gain of a start is linear between the times at which its start or its end crosses from one part of the time
    into the next, so that it is best at one of them.

    Args:
        run_s, worth: [J, P]; run -1: not there.
        sums: [P, T + 1] what a card costs from 0 to the beginning of each part.
        used: [P, T].
    """
    parts = used.shape[1]
    part_s = horizon_s / parts
    total = 0.0
    for job in range(submit_s.size):
        from_s = float(submit_s[job])
        if from_s >= horizon_s:
            continue
        best, best_pool, best_at = 0.0, -1, 0.0
        for pool in range(used.shape[0]):
            if run_s[job, pool] < 0:
                continue
            lasts, rate = float(run_s[job, pool]), worth[job, pool] / 3600.0
            first = int(from_s // part_s) + 1
            ends = int((from_s + lasts) // part_s) + 1
            # its arrival, the last start that ends in time, each part's beginning, and each start that ends with a part
            for turn in range(2 + max(parts - first, 0) + max(parts - ends, 0)):
                if turn == 0:
                    at = from_s
                elif turn == 1:
                    at = max(from_s, horizon_s - lasts)
                elif turn - 2 < parts - first:
                    at = (first + turn - 2) * part_s
                else:
                    at = (ends + turn - 2 - max(parts - first, 0)) * part_s - lasts
                until = min(at + lasts, horizon_s)
                gain = rate * (until - at) - cards[job] * (
                    _cost(sums[pool], until, part_s) - _cost(sums[pool], at, part_s)
                )
                if gain > best:
                    best, best_pool, best_at = gain, pool, at
        if best_pool >= 0:
            total += best
            until = min(best_at + run_s[job, best_pool], horizon_s)
            _take(used[best_pool], best_at, until, part_s, cards[job])
    return total


@compiled
def _cost(sums: Floats, second: float, part_s: float) -> float:
    """Return what a card costs from 0 until then."""
    place = second / part_s
    at = min(int(place), sums.size - 2)
    cost: float = sums[at] + (sums[at + 1] - sums[at]) * min(place - at, 1.0)
    return cost


@compiled
def _take(used: Floats, at: float, until: float, part_s: float, cards: int) -> None:
    """Add the card-hours between the two seconds."""
    part = min(int(at / part_s), used.size - 1)
    while at < until and part < used.size:
        to = until if part == used.size - 1 else min(until, (part + 1) * part_s)
        used[part] += cards * max(to - at, 0.0) / 3600.0
        at = max(at, to)
        part += 1
