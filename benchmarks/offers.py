"""What every job may take and what that is worth, derived a third time: the rivals' view of an instance.

Shares no code with the planner or the verifier, so that the rivals keep the same rules by another reading of them.
All arithmetic is that of `scheduler/README.md`: integers, floors unless it says otherwise.
"""

from typing import Final, NamedTuple

import numba
import numpy as np

from scheduler.compiled import compiled
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE
from scheduler.policy import WEIGHT_PERCENT_MAX, Policy
from scheduler.reasons import Reason
from scheduler.snapshot import Bools, Ints, Snapshot

MILLION: Final = 10**6
VALUE_MAX: Final = 10**10
POOL, DOMAIN, NODE = 0, 1, 2
"""Levels of a form: where all of its tasks must be."""

REASONS: Final = (
    Reason.NO_MATCHING_MODEL,
    Reason.MODEL_WITHOUT_FIGURE,
    Reason.DOMESTIC_ONLY,
    Reason.OWNER_NOT_ALLOWED,
    Reason.CARD_NOT_SHARED,
    Reason.HUB_NOT_ALLOWED,
    Reason.ROUND_TRIP_TOO_LONG,
    Reason.TRANSFER_TOO_LONG,
    Reason.PRICE_BELOW_ASK,
)
"""Why a pool is shut to a job whatever is free there; the functions below return positions here, 9 for none."""


inlined = numba.njit(inline="always")
"""For small functions: a call would copy the list of arrays each time."""


class Facts(NamedTuple):
    """Arrays of a snapshot as the compiled functions need them; sizes in brackets as there, F forms."""

    pool_start: Ints  # [P + 1] nodes of pool p
    pool_hub: Ints
    pool_model: Ints
    pool_ask: Ints
    pool_owner: Ints
    model_figure: Ints
    model_watts: Ints
    model_domestic: Bools
    model_shares_max: Ints
    hub_pue: Ints
    hub_tariff: Ints
    build: Ints  # [S, M] position of the fastest build in the shape's list; -1: none runs there
    card: Ints  # [S, M] milli-TFLOPS that this build makes of one card
    granted: Ints  # [S, M] slice that the share gets, 0: whole cards, -1: none is large enough
    shape_tasks: Ints
    shape_cards: Ints
    shape_cpu: Ints
    shape_memory: Ints
    shape_share: Ints
    shape_trip_max: Ints
    shape_hub: Bools
    shape_owner: Bools
    shape_domestic: Bools
    shape_input: Ints
    shape_output: Ints
    shape_staged: Bools
    shape_transfer_max: Ints
    form_start: Ints  # [S + 1]
    form_tasks: Ints  # [F]
    form_level: Ints  # [F]
    form_speed: Ints  # [F] millionths
    round_trip: Ints
    transfer_price: Ints
    transfer_speed: Ints
    job_city: Ints
    job_shape: Ints
    job_ceiling: Ints
    job_walltime: Ints
    job_weight: Ints  # [J] percent
    job_leaf: Ints  # [J, H] quota that it counts to, -1: none


def facts(snapshot: Snapshot, policy: Policy) -> Facts:
    """Return what the compiled functions read."""
    start, tasks, level, speed = _forms(snapshot)
    build, card = _builds(snapshot)
    tenant = snapshot.job_tenant
    none = np.full((1, len(snapshot.hub_names)), -1, dtype=np.int64)
    return Facts(
        pool_start=np.searchsorted(snapshot.node_pool, np.arange(len(snapshot.pool_names) + 1)),
        pool_hub=snapshot.pool_hub,
        pool_model=snapshot.pool_model,
        pool_ask=snapshot.pool_ask_micro_yuan_per_card_hour,
        pool_owner=snapshot.pool_owner,
        model_figure=snapshot.model_fp16_programme_milli_tflops,
        model_watts=snapshot.model_card_watts,
        model_domestic=np.array([origin == "domestic" for origin in snapshot.model_origin], dtype=np.bool_),
        model_shares_max=snapshot.model_shares_per_card_max,
        hub_pue=snapshot.hub_pue_ppm,
        hub_tariff=snapshot.hub_micro_yuan_per_kwh,
        build=build,
        card=card,
        granted=_granted(snapshot),
        shape_tasks=snapshot.shape_tasks,
        shape_cards=snapshot.shape_cards_per_task,
        shape_cpu=snapshot.shape_cpu_milli_per_task,
        shape_memory=snapshot.shape_memory_mib_per_task,
        shape_share=snapshot.shape_share_milli,
        shape_trip_max=snapshot.shape_round_trip_micros_max,
        shape_hub=snapshot.shape_hub_allowed,
        shape_owner=snapshot.shape_owner_allowed,
        shape_domestic=snapshot.shape_domestic_only,
        shape_input=snapshot.shape_input_gib,
        shape_output=snapshot.shape_output_gib,
        shape_staged=snapshot.shape_staged,
        shape_transfer_max=snapshot.shape_transfer_seconds_max,
        form_start=start,
        form_tasks=tasks,
        form_level=level,
        form_speed=speed,
        round_trip=snapshot.round_trip_micros,
        transfer_price=snapshot.transfer_micro_yuan_per_gib,
        transfer_speed=snapshot.transfer_mib_per_second,
        job_city=snapshot.job_city,
        job_shape=snapshot.job_shape,
        job_ceiling=snapshot.job_ceiling_micro_yuan_per_pflops_hour,
        job_walltime=snapshot.job_walltime_seconds,
        job_weight=weights(snapshot, policy),
        job_leaf=np.concatenate([snapshot.tenant_quota, none])[tenant],
    )


def weights(snapshot: Snapshot, policy: Policy) -> Ints:
    """Return the percent [J] that multiplies a worth: priority, waiting, and the city's fair share."""
    of_walltime = snapshot.job_walltime_seconds * policy.ageing_step_walltime_percent // 100
    step = np.maximum(policy.ageing_step_seconds, of_walltime)
    waited = np.maximum(snapshot.taken_at_s - snapshot.job_submitted_at_s, 0) // step
    share = snapshot.shape_share_milli[snapshot.job_shape] > 0
    most = np.where(share, policy.ageing_steps_max_of_shares, policy.ageing_steps_max)
    ageing = policy.ageing_percent_per_step * np.minimum(waited, most)
    priority = np.array(policy.priority_percent, dtype=np.int64)[snapshot.job_priority]
    fair = np.array(_fair(snapshot, policy.fair_share_percent), dtype=np.int64)[snapshot.job_city]
    found: Ints = np.clip(priority * (100 + ageing) // 100 * fair // 100, 1, WEIGHT_PERCENT_MAX)
    return found


def _fair(snapshot: Snapshot, most: int) -> list[int]:
    used, weight = snapshot.city_used_milli_tflops.tolist(), snapshot.city_weight_ppm.tolist()
    if not sum(used) or not sum(weight):
        return [100] * len(used)
    found = []
    for own, part in zip(used, weight, strict=True):
        entitled = sum(used) * part // sum(weight)
        if own <= entitled:
            found.append(100 + most * (entitled - own) // max(entitled, 1))
        else:
            found.append(100 - most * (own - entitled) // own)
    return found


def _forms(snapshot: Snapshot) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the ways to run each shape: list starts, tasks, level and speed; the full size first."""
    start, rows = [0], []
    sizes = list(zip(snapshot.size_tasks.tolist(), snapshot.size_speed_ppm.tolist(), strict=True))
    first = snapshot.size_start.tolist()
    shapes = zip(
        snapshot.shape_tasks.tolist(),
        snapshot.shape_within.tolist(),
        snapshot.shape_spread_speed_ppm.tolist(),
        strict=True,
    )
    for shape, (full, within, spread) in enumerate(shapes):
        for tasks, speed in [(full, MILLION), *sizes[first[shape] : first[shape + 1]]]:
            if tasks > 1 and within == WITHIN_NODE:
                rows.append((tasks, NODE, speed))
            elif tasks > 1 and within == WITHIN_DOMAIN:
                rows.append((tasks, DOMAIN, speed))
            else:
                if tasks > 1 and spread < MILLION:
                    rows.append((tasks, DOMAIN, speed))
                    speed = speed * spread // MILLION
                rows.append((tasks, POOL, speed))
        start.append(len(rows))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T.copy()
    return np.array(start, dtype=np.int64), columns[0], columns[1], columns[2]


def _builds(snapshot: Snapshot) -> tuple[Ints, Ints]:
    shapes, models = len(snapshot.shape_tasks), len(snapshot.model_names)
    same = np.array(snapshot.build_stack, dtype=object)[:, None] == np.array(snapshot.model_stack, dtype=object)
    runs = same & snapshot.build_models
    position, best = np.full((shapes, models), -1), np.zeros((shapes, models), dtype=np.int64)
    shape_of = np.repeat(np.arange(shapes), np.diff(snapshot.build_start))
    # backwards, so that of equally fast builds the first stays
    for build in range(shape_of.size - 1, -1, -1):
        shape, speed = shape_of[build], snapshot.build_speed_ppm[build]
        better = runs[build] & (speed >= best[shape])
        best[shape][better] = speed
        position[shape][better] = build - snapshot.build_start[shape]
    return position, np.maximum(snapshot.model_fp16_programme_milli_tflops, 0) * best // MILLION


def _granted(snapshot: Snapshot) -> Ints:
    asked = snapshot.shape_share_milli
    granted = np.full((asked.size, len(snapshot.model_names)), -1, dtype=np.int64)
    for model, (begin, end) in enumerate(zip(snapshot.slice_start[:-1], snapshot.slice_start[1:], strict=True)):
        offered = snapshot.slice_milli[begin:end]
        at = np.searchsorted(offered, asked)
        granted[:, model] = np.where(at < offered.size, np.append(offered, 0)[at], -1)
    granted[asked == 0] = 0
    return granted


def amounts(f: Facts, job: Ints, form: Ints, pool: Ints) -> tuple[Ints, Ints, Ints]:
    """Return thousandths of cards, watts at the meter and quota use of many (job, form, pool), shapes all alike."""
    shape, model = f.job_shape[job], f.pool_model[pool]
    granted = f.granted[shape, model]
    milli = f.form_tasks[form] * np.where(granted > 0, granted, f.shape_cards[shape] * 1000)
    watts = -(-milli * f.model_watts[model] // 1000)
    return milli, -(-watts * f.hub_pue[f.pool_hub[pool]] // MILLION), -(-milli * f.model_figure[model] // 1000)


@inlined
def shape_barrier(f: Facts, shape: int, pool: int) -> int:
    """Return the position in REASONS of the first rule that shuts the pool to every job of the shape; 9 for none."""
    model, hub = f.pool_model[pool], f.pool_hub[pool]
    found = 9
    if f.build[shape, model] < 0:
        found = 0
    elif f.model_figure[model] < 0:
        found = 1
    elif f.shape_domestic[shape] and not f.model_domestic[model]:
        found = 2
    elif not f.shape_owner[shape, f.pool_owner[pool]]:
        found = 3
    elif f.granted[shape, model] < 0:
        found = 4
    elif not f.shape_hub[shape, hub]:
        found = 5
    return found


@inlined
def way_barrier(f: Facts, job: int, hub: int) -> int:
    """The same of the rules that depend on the job's city as well."""
    shape, city = f.job_shape[job], f.job_city[job]
    trip_max, trip = f.shape_trip_max[shape], f.round_trip[city, hub]
    transfer_max, speed = f.shape_transfer_max[shape], f.transfer_speed[city, hub]
    found = 9
    if trip_max >= 0 and (trip < 0 or trip > trip_max):
        found = 6
    elif (
        transfer_max >= 0
        and f.shape_input[shape] > 0
        and not f.shape_staged[shape, hub]
        and (speed <= 0 or -(-f.shape_input[shape] * 1024 // speed) > transfer_max)
    ):
        found = 7
    return found


@inlined
def milli_cards(f: Facts, job: int, form: int, pool: int) -> int:
    """Return the thousandths of cards that the form takes there."""
    shape = f.job_shape[job]
    granted = f.granted[shape, f.pool_model[pool]]
    if granted > 0:
        return int(f.form_tasks[form] * granted)
    return int(f.form_tasks[form] * f.shape_cards[shape] * 1000)


@inlined
def meter(f: Facts, job: int, form: int, pool: int) -> int:
    """Return watts at the hub's meter."""
    watts = -(-milli_cards(f, job, form, pool) * f.model_watts[f.pool_model[pool]] // 1000)
    return int(-(-watts * f.hub_pue[f.pool_hub[pool]] // 1_000_000))


@inlined
def quota_use(f: Facts, job: int, form: int, pool: int) -> int:
    """Return milli-TFLOPS that count to quotas."""
    return int(-(-milli_cards(f, job, form, pool) * f.model_figure[f.pool_model[pool]] // 1000))


@compiled
def worth(f: Facts, job: int, form: int, pool: int) -> int:
    """Return micro-yuan per hour, weights included, of a pool that nothing bars; 0 when price does."""
    shape, model, hub, city = f.job_shape[job], f.pool_model[pool], f.pool_hub[pool], f.job_city[job]
    tasks, cards, share = f.form_tasks[form], f.shape_cards[shape], f.shape_share[shape]
    card = f.card[shape, model]
    ceiling = f.job_ceiling[job]
    # ceiling * card // 10^6, in parts that stay inside 64 bits
    value = min(VALUE_MAX, (ceiling // 1_000_000) * card + (ceiling % 1_000_000) * card // 1_000_000)
    ask = f.pool_ask[pool]
    if share > 0:
        task_value = value * share // 1000
        asks = tasks * -(-ask * f.granted[shape, model] // 1000)
    else:
        task_value = value * cards
        asks = tasks * cards * ask
    gross = f.shape_tasks[shape] * task_value
    speed = f.form_speed[form]
    gross = (gross // 1_000_000) * speed + (gross % 1_000_000) * speed // 1_000_000
    energy = -(-meter(f, job, form, pool) * f.hub_tariff[hub] // 1000)
    gib = f.shape_output[shape]
    if not f.shape_staged[shape, hub]:
        gib += f.shape_input[shape]
    transfer = -(-gib * f.transfer_price[city, hub] * 3600 // f.job_walltime[job])
    net = gross - asks - energy - transfer
    if net <= 0:
        return 0
    weight = f.job_weight[job]
    return int(max(1, (net // 100) * weight + (net % 100) * weight // 100))
