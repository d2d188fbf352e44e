"""Large gangs exchange seats: pool after pool is emptied and filled anew, robbing others, which are filled in turn.

A *seat* is a pair of one gang with a pool. One row, the key row, is filled exactly by a knapsack; the other rows of
the pool, power and quotas are checked, and their rent is taken off a seat's gain beforehand. Rents of the key row are
drawn around its prices, anew for each visit, so that it does not stand still; a visit that loses is undone, but for
some luck that shrinks to nothing. Only integers decide, and luck has a seed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.limits import quota_room, quota_take
from scheduler.snapshot import Bools, Ints

_STEP = np.uint64(6364136223846793005)  # of a linear congruential generator; its high bits are used
_SHIFT = np.uint64(1442695040888963407)
_HIGH = np.uint64(33)
_EDGE = 64  # units of the key row that the knapsack fills; the densest gangs take the rest


class Seats(NamedTuple):
    """All seats, pool by pool; those of pool p are first[p] .. first[p + 1] - 1."""

    first: Ints  # [P + 1]
    gang: Ints  # [n]
    kind: Ints  # [n]
    size: Ints  # [n] of the key row
    gain: Ints  # [n] worth less rents of all rows but the key row
    pool: Ints  # [n]
    watts: Ints  # [n]
    quota: Ints  # [n] -1: none
    counted: Ints  # [n] what the quota counts
    use: Ints  # [K, R]
    hub: Ints  # [P]
    parent: Ints  # [Q]
    price: Ints  # [P] of the key row
    key: int


class Held(NamedTuple):
    """Who sits where, and what is left."""

    seat: Ints  # [gangs] -1: none
    room: Ints  # [P, R]
    watts: Ints  # [H]
    account: Ints  # [Q, 4]


@compiled
def _sits(s: Seats, h: Held, at: int) -> bool:
    """Return whether there is room for the seat."""
    p, k = s.pool[at], s.kind[at]
    for row in range(s.use.shape[1]):
        if s.use[k, row] > h.room[p, row]:
            return False
    if s.watts[at] > h.watts[s.hub[p]]:
        return False
    if s.quota[at] < 0:
        return True
    return bool(s.counted[at] <= quota_room(s.quota[at], s.parent, h.account))


@compiled
def keep(s: Seats, h: Held, wanted: Bools) -> None:
    """Seat gangs on the wanted seats, in order, as far as there is room and they have none."""
    for at in range(wanted.size):
        if wanted[at] and h.seat[s.gang[at]] < 0 and _sits(s, h, at):
            _charge(s, h, at, 1)
            h.seat[s.gang[at]] = at


@compiled
def _charge(s: Seats, h: Held, at: int, sign: int) -> None:
    p, k = s.pool[at], s.kind[at]
    for row in range(s.use.shape[1]):
        h.room[p, row] -= sign * s.use[k, row]
    h.watts[s.hub[p]] -= sign * s.watts[at]
    if s.quota[at] >= 0:
        quota_take(s.quota[at], sign * s.counted[at], s.parent, h.account)


@compiled
def _seat(s: Seats, h: Held, gang: int, at: int, journal: Ints, end: int) -> int:
    """Move a gang to another seat (-1: none), write down where it sat, and return what that gained."""
    before = h.seat[gang]
    journal[end, 0], journal[end, 1] = gang, before
    gained = np.int64(0)
    if before >= 0:
        _charge(s, h, before, -1)
        gained -= s.gain[before]
    h.seat[gang] = at
    if at >= 0:
        _charge(s, h, at, 1)
        gained += s.gain[at]
    return int(gained)


@compiled
def _empty(s: Seats, h: Held, p: int, journal: Ints, end: int) -> tuple[int, int]:
    """Take every gang out of the pool; return what that gained (nothing, or less) and the journal's end."""
    gained = np.int64(0)
    for at in range(s.first[p], s.first[p + 1]):
        if h.seat[s.gang[at]] == at:
            gained += _seat(s, h, s.gang[at], -1, journal, end)
            end += 1
    return int(gained), end


@compiled
def _candidates(s: Seats, h: Held, p: int, rob: bool, rent: Ints, band: int) -> tuple[Ints, Ints]:
    """Return seats worth a try in the empty pool, least regret first, and what each would add.

    A gang that sits elsewhere adds what it gains more here, plus the rent of the room that it leaves behind. Seats that
    earn less than the rent by more than the band for each unit of the key row have no chance.
    """
    number = s.first[p + 1] - s.first[p]
    seats, value, density = np.empty(number, np.int64), np.empty(number, np.int64), np.empty(number, np.float64)
    found, best_over = 0, np.int64(0)
    for at in range(s.first[p], s.first[p + 1]):
        now = h.seat[s.gang[at]]
        if now >= 0 and not rob:
            continue
        adds = s.gain[at]
        if now >= 0:
            adds -= s.gain[now] - rent[s.pool[now]] * s.size[now]
        over = adds - rent[p] * s.size[at]
        if adds <= 0 or over < -band * s.size[at] or s.size[at] > h.room[p, s.key]:
            continue
        # seats of a gang stand side by side: of its forms here only the best is worth a try
        if found == 0 or s.gang[seats[found - 1]] != s.gang[at]:
            found += 1
        elif over <= best_over:
            continue
        best_over = over
        seats[found - 1], value[found - 1], density[found - 1] = at, adds, -np.float64(adds) / s.size[at]
    order = np.argsort(density[:found], kind="mergesort")
    return seats[:found][order], value[:found][order]


@compiled
def _knapsack(size: Ints, value: Ints, free: int, best: Ints, take: Bools) -> Bools:
    """Return which of these to take, exactly. `best` and `take` are room for free + 1 columns."""
    best[: free + 1] = 0
    for k in range(size.size):
        take[k, : size[k]] = False
        for x in range(free, size[k] - 1, -1):
            better = best[x - size[k]] + value[k] > best[x]
            take[k, x] = better
            if better:
                best[x] = best[x - size[k]] + value[k]
    chosen = np.zeros(size.size, np.bool_)
    x = free
    for k in range(size.size - 1, -1, -1):
        if take[k, x]:
            chosen[k] = True
            x -= size[k]
    return chosen


@compiled
def _choose(size: Ints, value: Ints, free: int, best: Ints, take: Bools) -> Bools:
    """Return which of these, densest first, to take: the first ones surely, those about the edge by the knapsack."""
    chosen = np.zeros(size.size, np.bool_)
    sure = 0
    while sure < size.size and free - size[sure] >= _EDGE:
        chosen[sure] = True
        free -= size[sure]
        sure += 1
    end = min(sure + take.shape[0], size.size)
    while free >= best.size and sure < end:  # what is left is large because the next gang is: take it
        chosen[sure] = size[sure] <= free
        free -= size[sure] * chosen[sure]
        sure += 1
    chosen[sure:end] = _knapsack(size[sure:end], value[sure:end], min(free, best.size - 1), best, take)
    return chosen


@compiled
def _fill(
    s: Seats, h: Held, p: int, rob: bool, rent: Ints, band: int, best: Ints, take: Bools, robbed: Bools, journal: Ints,
    end: int,
) -> tuple[int, int]:  # fmt: skip
    """Fill the empty pool; mark pools that lose a gang. Return the gain and the journal's end."""
    seats, value = _candidates(s, h, p, rob, rent, band)
    chosen = _choose(s.size[seats], value, h.room[p, s.key], best, take)
    gained = np.int64(0)
    for k in range(seats.size):
        at = seats[k]
        if not chosen[k]:
            continue
        now = h.seat[s.gang[at]]
        if now >= 0:  # it must not be in its own way: power and quotas are shared by pools
            _charge(s, h, now, -1)
        sits = _sits(s, h, at)
        if now >= 0:
            _charge(s, h, now, 1)
        if sits:
            if now >= 0:
                robbed[s.pool[now]] = True
            gained += _seat(s, h, s.gang[at], at, journal, end)
            end += 1
    return int(gained), end


@compiled
def _undo(s: Seats, h: Held, journal: Ints, end: int) -> None:
    """Put everything back, the last change first."""
    for line in range(end - 1, -1, -1):
        gang, before = journal[line]
        if h.seat[gang] >= 0:
            _charge(s, h, h.seat[gang], -1)
        h.seat[gang] = before
        if before >= 0:
            _charge(s, h, before, 1)


@compiled
def _visit(
    s: Seats, h: Held, p: int, rent: Ints, band: int, best: Ints, take: Bools, robbed: Bools, journal: Ints
) -> tuple[int, int]:
    """Fill one pool anew, and then those that it robbed; return the gain and the journal's end."""
    robbed[:] = False
    gained, end = _empty(s, h, p, journal, 0)
    more, end = _fill(s, h, p, True, rent, band, best, take, robbed, journal, end)
    gained += more
    for q in range(robbed.size):
        if robbed[q]:
            more, end = _empty(s, h, q, journal, end)
            gained += more
            more, end = _fill(s, h, q, False, rent, band, best, take, robbed, journal, end)
            gained += more
    return gained, end


@compiled
def _refill(
    s: Seats, h: Held, p: int, rent: Ints, band: int, best: Ints, take: Bools, robbed: Bools, journal: Ints
) -> tuple[int, int]:
    """Fill one pool anew with its own gangs and those that sit nowhere; return the gain and the journal's end."""
    gained, end = _empty(s, h, p, journal, 0)
    more, end = _fill(s, h, p, False, rent, band, best, take, robbed, journal, end)
    return gained + more, end


@compiled
def exchange(s: Seats, h: Held, seed: int, visits: int, spread: int, heat: int, most: int, band: int) -> int:
    """Visit the pools in turn, keep the best state met, and return what it gained.

    spread: per mille by which rents are drawn around the prices, after the first round of pools. heat: a visit may lose
    up to this much by luck, falling to 0 with the visits. most: candidates of a knapsack. band: see `_candidates`.
    """
    pools = h.room.shape[0]
    room_max = 4 * _EDGE
    best, take = np.zeros(room_max + 1, np.int64), np.zeros((most, room_max + 1), np.bool_)
    journal = np.empty((4 * (h.seat.size + 1) * (pools + 1), 2), np.int64)
    robbed, rent = np.zeros(pools, np.bool_), s.price.copy()
    state = np.uint64(seed * 2 + 1)
    total, record = np.int64(0), np.int64(0)
    kept = h.seat.copy()
    for visit in range(visits):
        if spread > 0 and visit >= pools:
            for q in range(pools):
                state = state * _STEP + _SHIFT
                drawn = np.int64((state >> _HIGH) % np.uint64(2 * spread + 1))
                rent[q] = s.price[q] // 1000 * (1000 - spread + drawn)
        p = visit % pools
        gained, end = _visit(s, h, p, rent, band, best, take, robbed, journal)
        state = state * _STEP + _SHIFT
        luck = heat * np.int64((state >> _HIGH) % np.uint64(1024)) // 1024 * (visits - visit) // visits
        if gained == 0 or gained < -luck:
            _undo(s, h, journal, end)
            gained, end = _refill(s, h, p, rent, band, best, take, robbed, journal)
            if gained <= 0:
                _undo(s, h, journal, end)
                continue
        total += gained
        if total > record:
            record = total
            kept[:] = h.seat
    for gang in range(h.seat.size):
        if h.seat[gang] >= 0 and h.seat[gang] != kept[gang]:
            _charge(s, h, h.seat[gang], -1)
    for gang in range(h.seat.size):
        if kept[gang] >= 0 and h.seat[gang] != kept[gang]:
            _charge(s, h, kept[gang], 1)
    h.seat[:] = kept
    return int(record)
