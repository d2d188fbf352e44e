"""Which pool a job may take, with which build, and what that is worth.

Worth is a rate in micro-yuan per hour. With P the programme-counted FP16 of one card, all divisions rounding down:

    card_milli_tflops = P * speed_ppm // 10^6                         the pool's card as this build uses it
    value             = min(ceiling * card_milli_tflops // 10^6, VALUE_MAX)     what the city would pay for a card-hour
    rate              = value - ask                                   must be positive, or the price is below the ask
    worth             = tasks * cards * max(1, rate * weight // 100)  weight: priority and ageing, in percent

Of the builds that run on a pool's model the fastest is taken (the first among equals): they need the same cards, so no
plan can lose by that. Jobs with equal shape, city, ceiling and weight are one group: what is said of one holds for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from scheduler.policy import Policy
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Bools, Codes, Ints, Snapshot

if TYPE_CHECKING:
    from scheduler.large import Pairs, Terrain

VALUE_MAX: Final = 10**10
"""A card-hour is never valued above this (10,000 yuan): an absurd ceiling wins the card but cannot overflow a sum."""
_PPM: Final = 10**6
_CODE: Final = {reason: REFUSALS.index(reason) for reason in REFUSALS}
_ROWS_PER_BLOCK: Final = 1024


@dataclass(frozen=True, eq=False)
class Choices:
    """What every group of equal jobs may do. G groups, sorted by shape; P pools; S shapes."""

    snapshot: Snapshot
    shape: Ints  # [G]
    city: Ints  # [G]
    ceiling: Ints  # [G] micro-yuan per PFLOPS-hour
    weight_percent: Ints  # [G]
    count: Ints  # [G] jobs in the group
    member_start: Ints  # [G + 1]
    members: Ints  # [J] jobs of group g: members[member_start[g] : member_start[g + 1]], longest waiting first
    build: Ints  # [S, P] position in the shape's own list of builds; -1: none runs there
    slots: Ints  # [S, P] tasks of this shape that the free nodes could hold if nothing else came
    worth: Ints  # [G, P] micro-yuan per hour of one job; 0: not eligible
    code: Codes  # [G, P] position in REFUSALS of the first check that fails; OUTBID: eligible
    large: bool  # whether compiled kernels do the work; they decide nothing differently

    @cached_property
    def pairs(self) -> Pairs:
        """The eligible pairs, row by row; for large instances."""
        from scheduler.large import pairs_of

        return pairs_of(self.worth)

    @cached_property
    def terrain(self) -> Terrain:
        """Nodes and shapes as packing wants them; for large instances."""
        from scheduler.large import Terrain

        return Terrain(self.snapshot)

    def reason(self, group: int, pool: int) -> Reason:
        """Return why the group does not run there; OUTBID when nothing but other work stands in its way."""
        return REFUSALS[int(self.code[group, pool])]

    def nearest(self) -> list[tuple[Reason, int]]:
        """Return, for each group, the reason of the pool that came nearest to taking it, and that pool (-1: none)."""
        groups, pools = self.code.shape
        if pools == 0:
            return [(Reason.NO_MATCHING_MODEL, -1)] * groups
        pool = self.code.argmax(axis=1)
        code = self.code[np.arange(groups), pool]
        return [(REFUSALS[c], p) for c, p in zip(code.tolist(), pool.tolist(), strict=True)]


def choose(snapshot: Snapshot, policy: Policy) -> Choices:
    """Work out every group's eligible pools, builds and worths."""
    key = np.stack(
        [
            snapshot.job_shape,
            snapshot.job_city,
            snapshot.job_ceiling_micro_yuan_per_pflops_hour,
            weights_percent(snapshot, policy),
        ]
    )
    order = np.lexsort((snapshot.job_submitted_at_s, *key[::-1]))
    key = key[:, order]
    first = np.ones(order.size, dtype=bool)
    first[1:] = np.any(key[:, 1:] != key[:, :-1], axis=0)
    start = np.append(np.flatnonzero(first), order.size)
    shape, city, ceiling, weight = key[:, first]

    speed, build = fastest_builds(snapshot)
    slots, fit_code = _fit(snapshot)
    by_shape = _codes_by_shape(snapshot, build, speed)
    large = 0 < shape.size * len(snapshot.pool_names) >= policy.compiled_from_pairs
    code, worth = (_judge_large if large else _judge)(
        snapshot, (shape, city, ceiling, weight), speed, by_shape, fit_code
    )
    return Choices(
        snapshot=snapshot,
        shape=shape,
        city=city,
        ceiling=ceiling,
        weight_percent=weight,
        count=np.diff(start),
        member_start=start,
        members=order,
        build=build,
        slots=slots,
        worth=worth,
        code=code,
        large=large,
    )


def _judge(
    snapshot: Snapshot, groups: tuple[Ints, Ints, Ints, Ints], speed: Ints, by_shape: Ints, fit_code: Ints
) -> tuple[Codes, Ints]:
    """Return code and worth [G, P] of groups given as shape, city, ceiling, weight."""
    shape, city, ceiling, weight = groups
    code = _with_round_trip(snapshot, shape, city, by_shape)
    worth = _worths(snapshot, shape, ceiling, weight, speed)
    open_so_far = code == _CODE[Reason.OUTBID]
    code = np.where(open_so_far & (worth <= 0), _CODE[Reason.PRICE_BELOW_ASK], code)
    code = np.where(code == _CODE[Reason.OUTBID], fit_code[shape], code).astype(np.int8)
    return code, np.where(code == _CODE[Reason.OUTBID], worth, 0)


def _judge_large(
    snapshot: Snapshot, groups: tuple[Ints, Ints, Ints, Ints], speed: Ints, by_shape: Ints, fit_code: Ints
) -> tuple[Codes, Ints]:
    from scheduler import kernels

    shape, city, ceiling, weight = (np.ascontiguousarray(column) for column in groups)
    size = (shape.size, len(snapshot.pool_names))
    code, worth = np.empty(size, dtype=np.int8), np.empty(size, dtype=np.int64)
    told = (Reason.OUTBID, Reason.ROUND_TRIP_TOO_LONG, Reason.PRICE_BELOW_ASK)
    kernels.judge(
        shape, city, ceiling, weight,
        by_shape.astype(np.int8), fit_code.astype(np.int8), speed, snapshot.pool_ask_micro_yuan_per_card_hour,
        snapshot.shape_tasks * snapshot.shape_cards_per_task, snapshot.shape_round_trip_micros_max,
        np.ascontiguousarray(snapshot.round_trip_micros[:, snapshot.pool_hub]),
        np.array([*(_CODE[reason] for reason in told), VALUE_MAX, _PPM]), code, worth,
    )  # fmt: skip
    return code, worth


def weights_percent(snapshot: Snapshot, policy: Policy) -> Ints:
    """Return each job's factor on worth in percent: its priority's, grown in steps while it waits."""
    waited = np.maximum(snapshot.taken_at_s - snapshot.job_submitted_at_s, 0)
    steps = np.minimum(waited // policy.ageing_step_seconds, policy.ageing_steps_max)
    priority: Ints = np.array(policy.priority_percent, dtype=np.int64)[snapshot.job_priority]
    weights: Ints = priority * (100 + policy.ageing_percent_per_step * steps) // 100
    return weights


def fastest_builds(snapshot: Snapshot) -> tuple[Ints, Ints]:
    """Return, for shape x pool, the milli-TFLOPS of one card under the fastest build, and that build's position.

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
    return best[:, snapshot.pool_model], position[:, snapshot.pool_model]


def card_values(ceiling: Ints, card_milli_tflops: Ints) -> Ints:
    """Return what the ceiling pays for a card-hour in micro-yuan, at most VALUE_MAX; 0 where there is no figure."""
    speed = np.maximum(card_milli_tflops, 0)
    enough = VALUE_MAX * _PPM // np.maximum(speed, 1) + 1  # at this ceiling the value is at its maximum
    values: Ints = np.minimum(np.minimum(ceiling, enough) * speed // _PPM, VALUE_MAX)
    return values


def _worths(snapshot: Snapshot, shape: Ints, ceiling: Ints, weight: Ints, speed: Ints) -> Ints:
    gang = (snapshot.shape_tasks * snapshot.shape_cards_per_task)[shape]
    ask = snapshot.pool_ask_micro_yuan_per_card_hour
    worth = np.empty((shape.size, ask.size), dtype=np.int64)
    for low in range(0, shape.size, _ROWS_PER_BLOCK):  # blocks keep the temporaries in the cache
        rows = slice(low, low + _ROWS_PER_BLOCK)
        rate = card_values(ceiling[rows, None], speed[shape[rows]]) - ask
        weighted = np.maximum(rate * weight[rows, None] // 100, 1)
        worth[rows] = np.where(rate > 0, gang[rows, None] * weighted, 0)
    return worth


def _codes_by_shape(snapshot: Snapshot, build: Ints, speed: Ints) -> Ints:
    """Return [S, P], the code of what stands between shape and pool whatever the city pays."""
    allowed = snapshot.shape_hub_allowed[:, snapshot.pool_hub]
    return np.select(
        [build < 0, speed == -2, ~allowed],
        [_CODE[Reason.NO_MATCHING_MODEL], _CODE[Reason.MODEL_WITHOUT_FIGURE], _CODE[Reason.HUB_NOT_ALLOWED]],
        default=_CODE[Reason.OUTBID],
    )


def _with_round_trip(snapshot: Snapshot, shape: Ints, city: Ints, by_shape: Ints) -> Codes:
    round_trip = snapshot.round_trip_micros[:, snapshot.pool_hub][city]
    limit = snapshot.shape_round_trip_micros_max[shape][:, None]
    far = (limit >= 0) & ((round_trip < 0) | (round_trip > limit))
    code = by_shape[shape]
    return np.where((code == _CODE[Reason.OUTBID]) & far, _CODE[Reason.ROUND_TRIP_TOO_LONG], code).astype(np.int8)


def _fit(snapshot: Snapshot) -> tuple[Ints, Ints]:
    """Return, for shape x pool, how many tasks the free nodes hold, and the code of what is missing for the gang.

    A gang that the pool cannot hold by itself is not eligible there: the relaxation behind the bound would split it
    over nodes, and the bound would stay valid but far too high.
    """
    need = np.stack(
        [snapshot.shape_cards_per_task, snapshot.shape_cpu_milli_per_task, snapshot.shape_memory_mib_per_task], axis=1
    )
    kinds, kind = np.unique(need, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    nodes = _NodeKinds(snapshot)
    counted = (
        np.stack([nodes.slots(row) for row in kinds], axis=1) if kinds.size else np.zeros((5, 0, nodes.pools), int)
    )
    ever, opened, by_cards, by_cpu, free = counted[:, kind]
    tasks = snapshot.shape_tasks[:, None]
    code = np.select(
        [ever < tasks, opened < tasks, by_cards < tasks, by_cpu < tasks, free < tasks],
        [
            _CODE[Reason.GANG_TOO_LARGE],
            _CODE[Reason.POOL_CLOSED],
            _CODE[Reason.CARDS_SHORT],
            _CODE[Reason.CPU_SHORT],
            _CODE[Reason.MEMORY_SHORT],
        ],
        default=_CODE[Reason.OUTBID],
    )
    return free, code


class _NodeKinds:
    """Nodes that are equal to the planner, with their number: pools of a thousand nodes have a handful of kinds."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.pools = len(snapshot.pool_names)
        rows = np.stack(
            [
                snapshot.node_pool,
                snapshot.node_open,
                snapshot.node_cards,
                snapshot.node_cpu_milli,
                snapshot.node_memory_mib,
                snapshot.node_free_cards,
                snapshot.node_free_cpu_milli,
                snapshot.node_free_memory_mib,
            ],
            axis=1,
        )
        kinds, self._number = np.unique(rows, axis=0, return_counts=True)
        self._pool = kinds[:, 0]
        self._open: Bools = kinds[:, 1].astype(bool)
        self._whole = kinds[:, 2:5].T
        self._free = kinds[:, 5:8].T

    def slots(self, need: Ints) -> Ints:
        """Return [5, P], the tasks that fit: whole nodes, whole open nodes, then free cards, with CPU, with memory."""
        whole = _tasks_held(self._whole, need, 3)
        return np.stack(
            [
                self._by_pool(whole),
                self._by_pool(np.where(self._open, whole, 0)),
                *(self._by_pool(np.where(self._open, _tasks_held(self._free, need, upto), 0)) for upto in (1, 2, 3)),
            ]
        )

    def _by_pool(self, tasks: Ints) -> Ints:
        total = np.zeros(self.pools, dtype=np.int64)
        np.add.at(total, self._pool, tasks * self._number)
        return total


def _tasks_held(have: Ints, need: Ints, resources: int) -> Ints:
    held: Ints = have[0] // need[0]
    for resource in range(1, resources):
        if need[resource]:
            held = np.minimum(held, have[resource] // need[resource])
    return held
