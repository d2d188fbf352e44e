"""The loop over groups, pools and forms that decides who may run where and for how much. See `choices.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import compiled
from scheduler.fields import UNKNOWN
from scheduler.forms import Forms
from scheduler.limits import Limits, alone_rooms
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Bools, Codes, Ints, Snapshot

if TYPE_CHECKING:
    from scheduler.choices import Groups

VALUE_MAX: Final = 10**10
"""A card-hour is never valued above this (10,000 yuan): an absurd ceiling wins the card but cannot overflow a sum."""
_PPM = 10**6
_CODE = {reason: REFUSALS.index(reason) for reason in REFUSALS}
_NO_MODEL, _NO_FIGURE, _DOMESTIC, _OWNER, _NOT_SHARED, _HUB, _FAR, _TRANSFER, _BELOW_ASK, _QUOTA, _FITS = (
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
        Reason.PRICE_BELOW_ASK,
        Reason.QUOTA_SHORT,
        Reason.OUTBID,
    )
)
# columns of the tables that the kernel reads
_SHAPE, _CITY, _CEILING, _WEIGHT, _TENANT, _WALLTIME = range(6)
_TASKS, _CARDS, _SHARE, _TRIP_MAX, _INPUT, _OUTPUT, _TRANSFER_MAX, _DOMESTIC_ONLY = range(8)
_POOL_HUB, _POOL_MODEL, _POOL_OWNER, _ASK, _PROGRAMME, _WATTS, _PUE, _KWH, _FOREIGN = range(9)


@dataclass(frozen=True, eq=False)
class Question:
    """All that the kernel reads, as plain tables."""

    forms: Forms
    group: Ints  # [G, 6]
    shape: Ints  # [S, 8]
    pool: Ints  # [P, 9]
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
                 groups.walltime_seconds], axis=1,
            ),
            shape=np.stack(
                [s.shape_tasks, s.shape_cards_per_task, s.shape_share_milli, s.shape_round_trip_micros_max,
                 s.shape_input_gib, s.shape_output_gib, s.shape_transfer_seconds_max,
                 s.shape_domestic_only.astype(np.int64)], axis=1,
            ),
            pool=np.stack(
                [hub, model, s.pool_owner, s.pool_ask_micro_yuan_per_card_hour, limits.pool_milli_tflops,
                 limits.pool_watts, limits.pool_pue_ppm, s.hub_micro_yuan_per_kwh[hub],
                 np.array([origin != "domestic" for origin in s.model_origin], dtype=np.int64)[model]], axis=1,
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
    groups = question.group.shape[0]
    start = np.zeros(groups + 1, dtype=np.int64)
    code = np.zeros(groups, dtype=np.int8)
    near = np.full(groups, UNKNOWN, dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int32)
    tables = _tables(question, fit)
    _judge_all(*tables, start, code, near, False, nothing, nothing, np.zeros(0, dtype=np.int64))
    start = np.cumsum(start)
    size = int(start[-1])
    pool, kind = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    worth = np.empty(size, dtype=np.int64)
    _judge_all(*tables, start, code, near, True, pool, kind, worth)
    return Verdict(start, pool, kind, worth, code, near)


def codes_of_one(question: Question, fit: Codes) -> Codes:
    """Return [P]: the code of the first group in each pool, of the form that comes nearest there."""
    pools = question.pool.shape[0]
    codes = np.zeros(pools, dtype=np.int8)
    for pool in range(pools):
        codes[pool] = _best_code(*_tables(question, fit), 0, pool)
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


@compiled
def _times(value: int, factor: int, unit: int) -> int:
    """Return value * factor // unit without overflow; value up to 2^62, factor up to 10^7, unit at least 100."""
    return (value // unit) * factor + (value % unit) * factor // unit


@compiled
def _bar(
    g: int, p: int, group: Ints, shape: Ints, pool: Ints, granted: Ints, card: Ints, owner_allowed: Bools,
    hub_allowed: Bools, staged: Bools, trip: Ints, mib_per_second: Ints,
) -> int:  # fmt: skip
    """Return the code of what bars the group from the pool in any form, or OUTBID."""
    s = group[g, _SHAPE]
    hub, model, city = pool[p, _POOL_HUB], pool[p, _POOL_MODEL], group[g, _CITY]
    if card[s, model] == -1:
        return _NO_MODEL
    if card[s, model] == -2:
        return _NO_FIGURE
    if shape[s, _DOMESTIC_ONLY] and pool[p, _FOREIGN]:
        return _DOMESTIC
    if not owner_allowed[s, pool[p, _POOL_OWNER]]:
        return _OWNER
    if granted[s, model] < 0:
        return _NOT_SHARED
    if not hub_allowed[s, hub]:
        return _HUB
    there = trip[city, hub]
    if shape[s, _TRIP_MAX] >= 0 and (there < 0 or there > shape[s, _TRIP_MAX]):
        return _FAR
    if shape[s, _TRANSFER_MAX] >= 0 and shape[s, _INPUT] > 0 and not staged[s, hub]:
        speed = mib_per_second[city, hub]
        if speed <= 0 or -(-shape[s, _INPUT] * 1024 // speed) > shape[s, _TRANSFER_MAX]:
            return _TRANSFER
    return _FITS


@compiled
def _worth(
    g: int, p: int, kind: int, speed: int, group: Ints, shape: Ints, pool: Ints, kinds: Ints, card: Ints,
    staged: Bools, per_gib: Ints,
) -> int:  # fmt: skip
    """Return the worth of one job in the pool in a form of this kind and speed; 0: the price is below the ask."""
    s = group[g, _SHAPE]
    hub, city = pool[p, _POOL_HUB], group[g, _CITY]
    fast = card[s, pool[p, _POOL_MODEL]]
    enough = VALUE_MAX * _PPM // max(fast, 1) + 1  # at this ceiling the value is at its maximum
    value = min(min(group[g, _CEILING], enough) * fast // _PPM, VALUE_MAX)
    tasks, cards, share, milli = kinds[kind, 0], kinds[kind, 1], kinds[kind, 2], kinds[kind, 3]
    if share > 0:
        gross = shape[s, _TASKS] * (value * shape[s, _SHARE] // 1000)
        asks = tasks * -(-pool[p, _ASK] * share // 1000)
    else:
        gross = shape[s, _TASKS] * (value * cards)
        asks = tasks * (pool[p, _ASK] * cards)
    gross = _times(gross, speed, _PPM)
    cards_watts = -(-milli * pool[p, _WATTS] // 1000)
    meter = -(-cards_watts * pool[p, _PUE] // _PPM)
    energy = -(-meter * pool[p, _KWH] // 1000)
    gib = shape[s, _OUTPUT]
    if not staged[s, hub]:
        gib += shape[s, _INPUT]
    transfer = 0
    if gib > 0:
        transfer = -(-gib * per_gib[city, hub] * 3600 // group[g, _WALLTIME])
    net = gross - asks - energy - transfer
    if net <= 0:
        return 0
    return max(1, _times(net, group[g, _WEIGHT], 100))


@compiled
def _code(
    g: int, p: int, kind: int, worth: int, group: Ints, pool: Ints, kinds: Ints, room: Ints, fit: Codes
) -> int:  # fmt: skip
    """Return the code of one form in a pool that does not bar it."""
    if worth <= 0:
        return _BELOW_ASK
    if fit[kind, p] == _FITS and group[g, _TENANT] >= 0:
        use = -(-kinds[kind, 3] * pool[p, _PROGRAMME] // 1000)
        if use > room[group[g, _TENANT], pool[p, _POOL_HUB]]:
            return _QUOTA
    return int(fit[kind, p])


@compiled
def _best_code(
    group: Ints, shape: Ints, pool: Ints, form_start: Ints, form_kind: Ints, form_speed: Ints, granted: Ints,
    kinds: Ints, card: Ints, owner_allowed: Bools, hub_allowed: Bools, staged: Bools, trip: Ints, per_gib: Ints,
    mib_per_second: Ints, room: Ints, fit: Codes, g: int, p: int,
) -> int:  # fmt: skip
    """Return the code of the group in the pool, of the form that comes nearest."""
    bar = _bar(g, p, group, shape, pool, granted, card, owner_allowed, hub_allowed, staged, trip, mib_per_second)
    if bar != _FITS:
        return bar
    s = group[g, _SHAPE]
    best = 0
    for form in range(form_start[s], form_start[s + 1]):
        kind = form_kind[form]
        if kinds[kind, 2] == granted[s, pool[p, _POOL_MODEL]]:
            worth = _worth(g, p, kind, form_speed[form], group, shape, pool, kinds, card, staged, per_gib)
            best = max(best, _code(g, p, kind, worth, group, pool, kinds, room, fit))
    return best


@compiled
def _judge_all(
    group: Ints, shape: Ints, pool: Ints, form_start: Ints, form_kind: Ints, form_speed: Ints, granted: Ints,
    kinds: Ints, card: Ints, owner_allowed: Bools, hub_allowed: Bools, staged: Bools, trip: Ints, per_gib: Ints,
    mib_per_second: Ints, room: Ints, fit: Codes, start: Ints, nearest: Codes, near: Ints, fill: bool,
    pair_pool: NDArray[np.int32], pair_kind: NDArray[np.int32], pair_worth: Ints,
) -> None:  # fmt: skip
    """First call: count the pairs of group g into start[g + 1], and find the nearest pool. Second: fill them in."""
    for g in range(group.shape[0]):
        at = start[g] if fill else 0
        s = group[g, _SHAPE]
        for p in range(pool.shape[0]):
            best = _bar(
                g, p, group, shape, pool, granted, card, owner_allowed, hub_allowed, staged, trip, mib_per_second
            )
            if best == _FITS:
                best = 0
                for form in range(form_start[s], form_start[s + 1]):
                    kind = form_kind[form]
                    if kinds[kind, 2] != granted[s, pool[p, _POOL_MODEL]]:
                        continue
                    worth = _worth(g, p, kind, form_speed[form], group, shape, pool, kinds, card, staged, per_gib)
                    code = _code(g, p, kind, worth, group, pool, kinds, room, fit)
                    best = max(best, code)
                    if code == _FITS:
                        if fill:
                            pair_pool[at] = p
                            pair_kind[at] = kind
                            pair_worth[at] = worth
                        at += 1
            if not fill and (near[g] < 0 or best > nearest[g]):
                nearest[g] = best
                near[g] = p
        if not fill:
            start[g + 1] = at
