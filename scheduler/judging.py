"""The loop over groups, pools and forms that decides who may run where and for how much. See `choices.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import borrowing, inlined, side_by_side
from scheduler.fields import UNKNOWN
from scheduler.forms import Forms
from scheduler.limits import Limits, alone_rooms
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Bools, Codes, Ints, Snapshot

if TYPE_CHECKING:
    from scheduler.choices import Groups

VALUE_MAX: Final = 10**10
"""A card-hour is never valued above this (10,000 yuan): an absurd ceiling wins the card but cannot overflow a sum."""
FOREVER: Final = 2**60
"""Seconds that never pass."""
UNMEASURED: Final = 2**59
"""Seconds that data take by a way that nobody has measured: longer than any time to keep to, and less than none."""
_PPM = 10**6
_CODE = {reason: REFUSALS.index(reason) for reason in REFUSALS}
(
    _NO_MODEL,
    _NO_FIGURE,
    _DOMESTIC,
    _OWNER,
    _NOT_SHARED,
    _HUB,
    _FAR,
    _TRANSFER,
    _TOO_LATE,
    _RESERVED,
    _BELOW_ASK,
    _QUOTA,
    _FITS,
) = (
    _CODE[reason]
    for reason in (
        Reason.NO_MATCHING_MODEL,
        Reason.MODEL_WITHOUT_FIGURE,
        Reason.DOMESTIC_ONLY,
        Reason.OWNER_NOT_ALLOWED,
        Reason.CARD_NOT_SHARED,
        Reason.HUB_NOT_ALLOWED,
        Reason.ROUND_TRIP_TOO_LONG,
        Reason.TRANSFER_TOO_LONG,
        Reason.TOO_LATE,
        Reason.RESERVED,
        Reason.PRICE_BELOW_ASK,
        Reason.QUOTA_SHORT,
        Reason.OUTBID,
    )
)
_GROUPS_PER_PART: Final = 10_000
_PARTS_AT_ONCE: Final = 2
# columns of the tables that the kernel reads
_SHAPE, _CITY, _CEILING, _WEIGHT, _TENANT, _WALLTIME, _SLACK = range(7)
_TASKS, _CARDS, _SHARE, _TRIP_MAX, _INPUT, _OUTPUT, _TRANSFER_MAX, _DOMESTIC_ONLY = range(8)
_POOL_HUB, _POOL_MODEL, _POOL_OWNER, _ASK, _PROGRAMME, _WATTS, _PUE, _KWH, _FOREIGN, _SECONDS = range(10)


@dataclass(frozen=True, eq=False)
class Question:
    """All that the kernel reads, as plain tables."""

    forms: Forms
    group: Ints  # [G, 7]
    shape: Ints  # [S, 8]
    pool: Ints  # [P, 10]
    card: Ints  # [S, M] milli-TFLOPS of one card under the fastest build; -1 no build, -2 no figure
    build: Ints  # [S, M]
    owner_allowed: Bools
    hub_allowed: Bools
    staged: Bools
    trip: Ints
    per_gib: Ints
    mib_per_second: Ints
    room: Ints  # [T, H]

    @classmethod
    def of(cls, snapshot: Snapshot, groups: Groups, forms: Forms, limits: Limits) -> Question:
        """Lay out the tables."""
        card, build = fastest_builds(snapshot)
        s, hub, model = snapshot, snapshot.pool_hub, snapshot.pool_model
        return cls(
            forms=forms,
            group=np.stack(
                [groups.shape, groups.city, groups.ceiling, groups.weight_percent, groups.tenant,
                 groups.walltime_seconds, groups.slack_seconds], axis=1,
            ),
            shape=np.stack(
                [s.shape_tasks, s.shape_cards_per_task, s.shape_share_milli, s.shape_round_trip_micros_max,
                 s.shape_input_gib, s.shape_output_gib, s.shape_transfer_seconds_max,
                 s.shape_domestic_only.astype(np.int64)], axis=1,
            ),
            pool=np.stack(
                [hub, model, s.pool_owner, s.pool_ask_micro_yuan_per_card_hour, limits.pool_milli_tflops,
                 limits.pool_watts, limits.pool_pue_ppm, s.hub_micro_yuan_per_kwh[hub],
                 np.array([origin != "domestic" for origin in s.model_origin], dtype=np.int64)[model],
                 seconds_free(s)], axis=1,
            ),
            card=card,
            build=build,
            owner_allowed=s.shape_owner_allowed,
            hub_allowed=s.shape_hub_allowed,
            staged=s.shape_staged,
            trip=s.round_trip_micros,
            per_gib=s.transfer_micro_yuan_per_gib,
            mib_per_second=s.transfer_mib_per_second,
            room=alone_rooms(limits),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Verdict:
    """The eligible pairs, and for every group the reason of the pool that came nearest."""

    start: Ints
    pool: NDArray[np.int32]
    kind: NDArray[np.int32]
    worth: Ints
    nearest_code: Codes
    nearest_pool: Ints


def judge(question: Question, fit: Codes) -> Verdict:
    """Judge every group in every pool. `fit` [K, P] is what `fits.fit_codes` says."""
    groups, tables = question.group.shape[0], _tables(question, fit)
    shapes, pools = question.shape.shape[0], question.pool.shape[0]
    open_start, open_pool = np.zeros(shapes + 1, dtype=np.int64), np.empty(shapes * pools, dtype=np.int32)
    code_of_shape, near_of_shape = np.zeros(shapes, dtype=np.int8), np.full(shapes, UNKNOWN, dtype=np.int64)
    _open_pools(tables, open_start, open_pool, code_of_shape, near_of_shape)
    shape = question.group[:, _SHAPE]
    code, near = code_of_shape[shape], near_of_shape[shape]
    most = (np.diff(open_start) * np.diff(question.forms.start))[shape]  # pairs that the group has at most
    number = np.zeros(groups + 1, dtype=np.int64)

    def part(low: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Ints]:
        high = min(low + _GROUPS_PER_PART, groups)
        room = int(most[low:high].sum())
        pair_pool, pair_kind = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
        pair_worth = np.empty(room, dtype=np.int64)
        end = _judge_part(
            tables, open_start, open_pool, low, high, code, near, number, pair_pool, pair_kind, pair_worth
        )
        return pair_pool[:end].copy(), pair_kind[:end].copy(), pair_worth[:end].copy()

    # every group has entries of its own
    found = side_by_side(part, range(0, groups, _GROUPS_PER_PART), _PARTS_AT_ONCE)
    empty = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64))
    pool, kind, worth = (np.concatenate(column) for column in zip(empty, *found, strict=True))
    return Verdict(np.cumsum(number), pool, kind, worth, code, near)


def codes_of_one(question: Question, fit: Codes) -> Codes:
    """Return [P]: the code of the first group in each pool, of the form that comes nearest there."""
    pools = question.pool.shape[0]
    codes, tables = np.zeros(pools, dtype=np.int8), _tables(question, fit)
    for pool in range(pools):
        codes[pool] = _best_code(0, pool, tables)
    return codes


class _Tables(NamedTuple):
    group: Ints
    shape: Ints
    pool: Ints
    form_start: Ints
    form_kind: Ints
    form_speed: Ints
    granted: Ints
    kinds: Ints  # [K, 4] tasks, cards, share, milli-cards
    card: Ints
    owner_allowed: Bools
    hub_allowed: Bools
    staged: Bools
    trip: Ints
    per_gib: Ints
    mib_per_second: Ints
    room: Ints
    fit: Codes


def _tables(question: Question, fit: Codes) -> _Tables:
    forms, kinds = question.forms, question.forms.kinds
    kind = np.stack([kinds.tasks, kinds.cards, kinds.share, kinds.milli_cards], axis=1)
    return _Tables(
        question.group, question.shape, question.pool, forms.start, forms.kind, forms.speed_ppm, forms.granted, kind,
        question.card, question.owner_allowed, question.hub_allowed, question.staged, question.trip, question.per_gib,
        question.mib_per_second, question.room, fit,
    )  # fmt: skip


def seconds_free(snapshot: Snapshot) -> Ints:
    """Return [P]: how long what starts now may keep nodes of each pool; FOREVER where there is no limit."""
    until = snapshot.pool_until_s
    seconds: Ints = np.where(until < 0, FOREVER, until - snapshot.taken_at_s)
    return seconds


def fastest_builds(snapshot: Snapshot) -> tuple[Ints, Ints]:
    """Return, for shape x model, the milli-TFLOPS of one card under the fastest build, and that build's position.

    The figure is -1 where no build runs, and -2 where one does but the model has no programme figure.
    """
    models = len(snapshot.model_names)
    figure = snapshot.model_fp16_programme_milli_tflops
    stack_fits = np.array(snapshot.build_stack, np.str_)[:, None] == np.array(snapshot.model_stack, np.str_)[None, :]
    usable = snapshot.build_models & stack_fits.reshape(snapshot.build_models.shape)
    effective = np.where(figure >= 0, figure * snapshot.build_speed_ppm[:, None] // _PPM, -2)
    effective = np.where(usable, effective, -1)
    # better figures first; -2 must beat -1, because "no figure" is nearer to running than "no build"
    rank = np.where(effective == -1, -3, effective)
    best = np.full((len(snapshot.shape_tasks), models), -1, dtype=np.int64)
    position = np.full_like(best, -1)
    for shape, (low, high) in enumerate(zip(snapshot.build_start, snapshot.build_start[1:], strict=False)):
        if high > low and models:
            at = np.argmax(rank[low:high], axis=0)
            best[shape] = effective[low + at, np.arange(models)]
            position[shape] = np.where(best[shape] == -1, -1, at)
    return best, position


@inlined
def _times(value: int, factor: int, unit: int) -> int:
    """Return value * factor // unit without overflow; value up to 2^62, factor up to 10^7, unit at least 100."""
    return (value // unit) * factor + (value % unit) * factor // unit


@borrowing
def _bar_of_shape(s: int, p: int, t: _Tables) -> int:
    """Return the code of what bars the shape from the pool, whatever the city and the form, or OUTBID."""
    model = t.pool[p, _POOL_MODEL]
    if t.card[s, model] == -1:
        return _NO_MODEL
    if t.card[s, model] == -2:
        return _NO_FIGURE
    if t.shape[s, _DOMESTIC_ONLY] and t.pool[p, _FOREIGN]:
        return _DOMESTIC
    if not t.owner_allowed[s, t.pool[p, _POOL_OWNER]]:
        return _OWNER
    if t.granted[s, model] < 0:
        return _NOT_SHARED
    if not t.hub_allowed[s, t.pool[p, _POOL_HUB]]:
        return _HUB
    return _FITS


@inlined
def _bar_of_city(s: int, city: int, hub: int, t: _Tables) -> int:
    """Return the code of what bars the shape from the hub when it comes from this city, or OUTBID."""
    there = t.trip[city, hub]
    if t.shape[s, _TRIP_MAX] >= 0 and (there < 0 or there > t.shape[s, _TRIP_MAX]):
        return _FAR
    if t.shape[s, _TRANSFER_MAX] >= 0 and t.shape[s, _INPUT] > 0 and not t.staged[s, hub]:
        speed = t.mib_per_second[city, hub]
        if speed <= 0 or -(-t.shape[s, _INPUT] * 1024 // speed) > t.shape[s, _TRANSFER_MAX]:
            return _TRANSFER
    return _FITS


@borrowing
def _bar_of_time(g: int, p: int, t: _Tables) -> int:
    """Return the code of what bars the group from the pool because of when it would end, or OUTBID."""
    s, hub = t.group[g, _SHAPE], t.pool[p, _POOL_HUB]
    before = 0
    if t.shape[s, _INPUT] > 0 and not t.staged[s, hub]:
        speed = t.mib_per_second[t.group[g, _CITY], hub]
        before = -(-t.shape[s, _INPUT] * 1024 // speed) if speed > 0 else UNMEASURED
    if before > t.group[g, _SLACK]:
        return _TOO_LATE
    if before + t.group[g, _WALLTIME] > t.pool[p, _SECONDS]:
        return _RESERVED
    return _FITS


@inlined
def _worth(g: int, p: int, kind: int, speed: int, t: _Tables) -> int:
    """Return the worth of one job in the pool in a form of this kind and speed; 0: the price is below the ask."""
    s = t.group[g, _SHAPE]
    hub, city = t.pool[p, _POOL_HUB], t.group[g, _CITY]
    fast, ask = t.card[s, t.pool[p, _POOL_MODEL]], t.pool[p, _ASK]
    enough = VALUE_MAX * _PPM // max(fast, 1) + 1  # at this ceiling the value is at its maximum
    value = min(min(t.group[g, _CEILING], enough) * fast // _PPM, VALUE_MAX)
    tasks, cards, share, milli = t.kinds[kind, 0], t.kinds[kind, 1], t.kinds[kind, 2], t.kinds[kind, 3]
    if share > 0:
        gross = t.shape[s, _TASKS] * (value * t.shape[s, _SHARE] // 1000)
        asks = tasks * -(-ask * share // 1000)
    else:
        gross = t.shape[s, _TASKS] * (value * cards)
        asks = tasks * (ask * cards)
    gross = _times(gross, speed, _PPM)
    watts = -(-milli * t.pool[p, _WATTS] // 1000)
    meter = -(-watts * t.pool[p, _PUE] // _PPM)
    energy = -(-meter * t.pool[p, _KWH] // 1000)
    gib = t.shape[s, _OUTPUT]
    if not t.staged[s, hub]:
        gib += t.shape[s, _INPUT]
    transfer = 0
    if gib > 0:
        transfer = -(-gib * t.per_gib[city, hub] * 3600 // t.group[g, _WALLTIME])
    net = gross - asks - energy - transfer
    if net <= 0:
        return 0
    return max(1, _times(net, t.group[g, _WEIGHT], 100))


@inlined
def _code(g: int, p: int, kind: int, worth: int, t: _Tables) -> int:
    """Return the code of one form in a pool that is not barred."""
    if worth <= 0:
        return _BELOW_ASK
    if t.fit[kind, p] == _FITS and t.group[g, _TENANT] >= 0:
        use = -(-t.kinds[kind, 3] * t.pool[p, _PROGRAMME] // 1000)
        if use > t.room[t.group[g, _TENANT], t.pool[p, _POOL_HUB]]:
            return _QUOTA
    return int(t.fit[kind, p])


@borrowing
def _best_code(g: int, p: int, t: _Tables) -> int:
    """Return the code of the group in the pool, of the form that comes nearest."""
    s = t.group[g, _SHAPE]
    bar = _bar_of_shape(s, p, t)
    if bar == _FITS:
        bar = _bar_of_city(s, t.group[g, _CITY], t.pool[p, _POOL_HUB], t)
    if bar == _FITS:
        bar = _bar_of_time(g, p, t)
    if bar != _FITS:
        return bar
    best = 0
    for form in range(t.form_start[s], t.form_start[s + 1]):
        kind = t.form_kind[form]
        if t.kinds[kind, 2] == t.granted[s, t.pool[p, _POOL_MODEL]]:
            best = max(best, _code(g, p, kind, _worth(g, p, kind, t.form_speed[form], t), t))
    return best


@borrowing
def _open_pools(t: _Tables, open_start: Ints, open_pool: NDArray[np.int32], code: Codes, near: Ints) -> None:
    """List the pools that are not barred to each shape; of those that are, the code and pool that come nearest."""
    at = 0
    for s in range(t.shape.shape[0]):
        for p in range(t.pool.shape[0]):
            bar = _bar_of_shape(s, p, t)
            if bar == _FITS:
                open_pool[at] = p
                at += 1
            elif near[s] < 0 or bar > code[s]:
                code[s] = bar
                near[s] = p
        open_start[s + 1] = at


@borrowing
def _judge_part(
    t: _Tables, open_start: Ints, open_pool: NDArray[np.int32], low: int, high: int, nearest: Codes, near: Ints,
    number: Ints, pair_pool: NDArray[np.int32], pair_kind: NDArray[np.int32], pair_worth: Ints,
) -> int:  # fmt: skip
    """Write the pairs of groups low .. high - 1 one after the other, and their number; return how many they are."""
    at = 0
    for g in range(low, high):
        s = t.group[g, _SHAPE]
        first = at
        for index in range(open_start[s], open_start[s + 1]):
            p = open_pool[index]
            best = _bar_of_city(s, t.group[g, _CITY], t.pool[p, _POOL_HUB], t)
            if best == _FITS:
                best = _bar_of_time(g, p, t)
            if best == _FITS:
                best = 0
                for form in range(t.form_start[s], t.form_start[s + 1]):
                    kind = t.form_kind[form]
                    if t.kinds[kind, 2] != t.granted[s, t.pool[p, _POOL_MODEL]]:
                        continue
                    worth = _worth(g, p, kind, t.form_speed[form], t)
                    code = _code(g, p, kind, worth, t)
                    best = max(best, code)
                    if code == _FITS:
                        pair_pool[at] = p
                        pair_kind[at] = kind
                        pair_worth[at] = worth
                        at += 1
            if index == open_start[s] or best > nearest[g]:
                nearest[g] = best
                near[g] = p
        number[g + 1] = at - first
    return at
