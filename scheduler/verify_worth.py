"""Which pool a job may take, in which form, and what that is worth: by the definitions, for all jobs at once.

A form is a shape with one of its sizes and a level: how close together the gang is. Which slice of a card it gets
depends on the pool's model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scheduler import verify_formulas as formulas
from scheduler.fields import UNKNOWN, WITHIN_DOMAIN, WITHIN_POOL
from scheduler.policy import WEIGHT_PERCENT_MAX, Policy
from scheduler.snapshot import Bools, Ints, Snapshot
from scheduler.verify_fits import Needs, fits_alone, needs_of
from scheduler.verify_formulas import PPM
from scheduler.verify_limits import NO_LIMIT, Quotas, free_watts


@dataclass(frozen=True, eq=False)
class Forms:
    """The ways to run each shape. F forms, sorted by shape, the full size first."""

    start: Ints  # [S + 1] forms of shape s are start[s] .. start[s + 1] - 1
    shape: Ints  # [F]
    tasks: Ints  # [F]
    level: Ints  # [F] WITHIN_POOL, WITHIN_DOMAIN or WITHIN_NODE
    speed_ppm: Ints  # [F] against the full gang close together


@dataclass(frozen=True, eq=False)
class Groups:
    """Jobs that are equal to the bound. G groups."""

    shape: Ints  # [G]
    city: Ints  # [G]
    ceiling: Ints  # [G] micro-yuan per PFLOPS-hour
    weight_percent: Ints  # [G]
    tenant: Ints  # [G] -1: none
    tier: Ints  # [G]
    walltime_seconds: Ints  # [G] 1 where it says nothing
    finish_by_s: Ints  # [G] -1: no such time
    count: Ints  # [G]
    of_job: Ints  # [J]


@dataclass(frozen=True, eq=False)
class Site:
    """What a gang of each form takes in one pool, whether it may run there or not, [F]."""

    pool: int
    granted_milli: Ints  # 0: whole cards
    meter_watts: Ints
    quota_use: Ints  # milli-TFLOPS


@dataclass(frozen=True, eq=False)
class Offer:
    """Groups that may run in one pool, each in one form, and the worth of one job; a group stands here once."""

    site: Site
    group: Ints
    form: Ints
    worth: Ints  # micro-yuan per hour


def forms_of(snapshot: Snapshot) -> Forms:
    """Return the forms of every shape."""
    shapes = np.arange(snapshot.shape_tasks.size)
    shape = np.append(shapes, np.repeat(shapes, np.diff(snapshot.size_start)))
    tasks = np.append(snapshot.shape_tasks, snapshot.size_tasks)
    speed = np.append(np.full(shapes.size, PPM), snapshot.size_speed_ppm)
    within, spread = snapshot.shape_within[shape], snapshot.shape_spread_speed_ppm[shape]
    slower = (within == WITHIN_POOL) & (spread < PPM) & (tasks > 1)
    close = np.where(slower, WITHIN_DOMAIN, np.where(tasks > 1, within, WITHIN_POOL))
    # what is slower when it spreads may spread, at that speed
    shape, tasks = np.append(shape, shape[slower]), np.append(tasks, tasks[slower])
    level = np.append(close, np.full(int(slower.sum()), WITHIN_POOL))
    speed = np.append(speed, (speed * spread // PPM)[slower])
    order = np.lexsort((-level, -tasks, shape))
    start = np.searchsorted(shape[order], np.arange(shapes.size + 1))
    return Forms(start, shape[order], tasks[order], level[order], speed[order])


def granted_slices(snapshot: Snapshot) -> Ints:
    """Return, for shape and model, the smallest slice that holds the share asked for; 0: whole cards, -1: none."""
    asked = snapshot.shape_share_milli
    granted = np.zeros((asked.size, len(snapshot.model_names)), dtype=np.int64)
    granted[asked > 0] = UNKNOWN
    for model in range(len(snapshot.model_names)):
        slices = snapshot.slice_milli[snapshot.slice_start[model] : snapshot.slice_start[model + 1]]
        for size in slices[::-1].tolist():
            granted[(asked > 0) & (asked <= size), model] = size
    return granted


def weights_percent(snapshot: Snapshot, policy: Policy) -> Ints:
    """Return each job's factor on worth: its priority, grown while it waits, and its city's fair share."""
    age = np.maximum(snapshot.taken_at_s - snapshot.job_submitted_at_s, 0)
    step = np.maximum(
        policy.ageing_step_seconds, snapshot.job_walltime_seconds * policy.ageing_step_walltime_percent // 100
    )
    most = np.full(age.size, policy.ageing_steps_max)
    most[snapshot.shape_share_milli[snapshot.job_shape] > 0] = policy.ageing_steps_max_of_shares
    steps = np.minimum(age // step, most)
    priority = np.array(policy.priority_percent, dtype=np.int64)[snapshot.job_priority]
    aged = priority * (100 + policy.ageing_percent_per_step * steps) // 100
    fair = np.array(fair_percent(snapshot, policy), dtype=np.int64)[snapshot.job_city]
    weights: Ints = np.minimum(np.maximum(aged * fair // 100, 1), WEIGHT_PERCENT_MAX)
    return weights


def fair_percent(snapshot: Snapshot, policy: Policy) -> list[int]:
    """Return each city's factor: above 100 for one that uses less than its weight entitles it to."""
    used, weight = snapshot.city_used_milli_tflops.tolist(), snapshot.city_weight_ppm.tolist()
    total, weights, strength = sum(used), sum(weight), policy.fair_share_percent
    if total == 0 or weights == 0:
        return [100] * len(used)
    factors = []
    for has, of_all in zip(used, weight, strict=True):
        entitled = total * of_all // weights
        if has <= entitled:
            factors.append(100 + strength * (entitled - has) // max(entitled, 1))
        else:
            factors.append(100 - strength * (has - entitled) // has)
    return factors


class Market:
    """What every job may do in every pool, derived once from snapshot and policy."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.snapshot = snapshot
        self.forms = forms_of(snapshot)
        self.granted = granted_slices(snapshot)
        self.weight = weights_percent(snapshot, policy)
        self.groups = self._groups()
        self.quotas = Quotas(snapshot)
        self.free_watts = free_watts(snapshot)
        self.runs = _runs(snapshot)
        # the k-th form of every group that has so many
        first = self.forms.start[self.groups.shape]
        number = self.forms.start[self.groups.shape + 1] - first
        self._by_ordinal = [
            (members := np.flatnonzero(number > ordinal), first[members] + ordinal)
            for ordinal in range(int(number.max(initial=0)))
        ]

    def site(self, pool: int) -> Site:
        """Return what gangs take in the pool."""
        snapshot, forms = self.snapshot, self.forms
        model, hub = int(snapshot.pool_model[pool]), int(snapshot.pool_hub[pool])
        granted = np.maximum(self.granted[forms.shape, model], 0)
        milli = formulas.milli_cards(forms.tasks, snapshot.shape_cards_per_task[forms.shape], granted)
        return Site(
            pool=pool,
            granted_milli=granted,
            meter_watts=formulas.meter_watts(
                milli, int(snapshot.model_card_watts[model]), int(snapshot.hub_pue_ppm[hub])
            ),
            quota_use=formulas.quota_use(milli, int(snapshot.model_fp16_programme_milli_tflops[model])),
        )

    def offers(self) -> Iterator[Offer]:
        """Yield everything that jobs may do and that is worth something, pool by pool."""
        snapshot, groups = self.snapshot, self.groups
        rooms = np.append(np.array(self.quotas.rooms(), dtype=np.int64), NO_LIMIT)
        needs: dict[int, Needs] = {}
        for hub in np.unique(snapshot.pool_hub).tolist():
            near, transfer, ends = self._way(hub)
            leaf = np.append(snapshot.tenant_quota[:, hub], UNKNOWN)[groups.tenant]
            room = rooms[leaf]
            for pool in np.flatnonzero(snapshot.pool_hub == hub).tolist():
                until = int(snapshot.pool_until_s[pool])
                there = near if until < 0 else near & (ends <= until)
                model = int(snapshot.pool_model[pool])
                if model not in needs:
                    needs[model] = needs_of(
                        self.forms.shape,
                        self.forms.tasks,
                        self.forms.level,
                        self.granted[self.forms.shape, model],
                        snapshot,
                    )
                yield from self._offers_of(self.site(pool), needs[model], there, transfer, room)

    def _offers_of(self, site: Site, needs: Needs, near: Bools, transfer: Ints, room: Ints) -> Iterator[Offer]:
        snapshot, forms, groups, pool = self.snapshot, self.forms, self.groups, site.pool
        model, hub = int(snapshot.pool_model[pool]), int(snapshot.pool_hub[pool])
        card = self._best_cards(model)
        fine = (card >= 0) & snapshot.shape_hub_allowed[:, hub]
        fine &= snapshot.shape_owner_allowed[:, snapshot.pool_owner[pool]]
        if snapshot.model_origin[model] != "domestic":
            fine &= ~snapshot.shape_domestic_only
        may = fine[forms.shape] & fits_alone(needs, snapshot, pool)
        watts = self.free_watts[hub]
        if watts is not None:
            may &= site.meter_watts <= watts
        if not may.any():
            return
        ask = int(snapshot.pool_ask_micro_yuan_per_card_hour[pool])
        per_task = snapshot.shape_cards_per_task[forms.shape]
        fixed = formulas.asks(forms.tasks, per_task, site.granted_milli, ask)
        fixed += formulas.energy(site.meter_watts, int(snapshot.hub_micro_yuan_per_kwh[hub]))
        value = formulas.card_value(groups.ceiling, card[groups.shape])
        of_task = formulas.task_value(
            value, snapshot.shape_cards_per_task[groups.shape], snapshot.shape_share_milli[groups.shape]
        )
        full = snapshot.shape_tasks[groups.shape] * of_task
        for members, form_of in self._by_ordinal:
            chosen = near[members] & may[form_of]
            group, form = members[chosen], form_of[chosen]
            net = formulas.scaled(full[group], forms.speed_ppm[form], PPM) - fixed[form] - transfer[group]
            good = (net > 0) & (site.quota_use[form] <= room[group])
            group, form = group[good], form[good]
            if group.size:
                yield Offer(site, group, form, formulas.weighted(net[good], groups.weight_percent[group]))

    def _best_cards(self, model: int) -> Ints:
        """Return, for every shape, milli-TFLOPS of a card of the model under the fastest build; -1 without one."""
        snapshot = self.snapshot
        best = np.full(snapshot.shape_tasks.size, UNKNOWN, dtype=np.int64)
        figure = int(snapshot.model_fp16_programme_milli_tflops[model])
        if figure >= 0:
            owner = np.repeat(np.arange(best.size), np.diff(snapshot.build_start))
            runs = self.runs[:, model]
            np.maximum.at(best, owner[runs], (figure * snapshot.build_speed_ppm // PPM)[runs])
        return best

    def _way(self, hub: int) -> tuple[Bools, Ints, Ints]:
        """Return which groups may send their work to the hub, what moving costs them per hour, and when they end."""
        snapshot, groups = self.snapshot, self.groups
        shape, city = groups.shape, groups.city
        trip, limit = snapshot.round_trip_micros[city, hub], snapshot.shape_round_trip_micros_max[shape]
        near = (limit < 0) | ((trip >= 0) & (trip <= limit))
        staged, gib_in = snapshot.shape_staged[shape, hub], snapshot.shape_input_gib[shape]
        near &= formulas.arrives_in_time(
            snapshot.shape_transfer_seconds_max[shape], gib_in, staged, snapshot.transfer_mib_per_second[city, hub]
        )
        moves = formulas.transfer_seconds(gib_in, staged, snapshot.transfer_mib_per_second[city, hub])
        ends = snapshot.taken_at_s + moves + groups.walltime_seconds
        near &= (groups.finish_by_s < 0) | (ends <= groups.finish_by_s)
        gib = np.where(staged, 0, gib_in) + snapshot.shape_output_gib[shape]
        cost = formulas.transfer(gib, snapshot.transfer_micro_yuan_per_gib[city, hub], groups.walltime_seconds)
        return near, cost, ends

    def _groups(self) -> Groups:
        snapshot = self.snapshot
        shape = snapshot.job_shape
        timed = (snapshot.shape_input_gib + snapshot.shape_output_gib)[shape] > 0
        timed |= (snapshot.job_finish_by_s >= 0) | bool((snapshot.pool_until_s >= 0).any())
        table = np.stack(
            [
                shape,
                snapshot.job_city,
                snapshot.job_ceiling_micro_yuan_per_pflops_hour,
                self.weight,
                snapshot.job_tenant,
                snapshot.job_tier,
                np.where(timed, snapshot.job_walltime_seconds, 1),
                snapshot.job_finish_by_s,
            ]
        )
        order = np.lexsort(table[::-1])  # by shape first: what belongs to a shape is then read in order
        differs = np.ones(order.size, dtype=bool)
        differs[1:] = np.any(table[:, order[1:]] != table[:, order[:-1]], axis=0)
        of_job = np.empty(order.size, dtype=np.int64)
        of_job[order] = np.cumsum(differs) - 1
        count = np.bincount(of_job, minlength=int(differs.sum())).astype(np.int64)
        shape, city, ceiling, weight, tenant, tier, walltime, finish_by = table[:, order[differs]]
        return Groups(shape, city, ceiling, weight, tenant, tier, walltime, finish_by, count, of_job)


def _runs(snapshot: Snapshot) -> Bools:
    """Return, for build and model, whether the build runs there: it names the model and has its stack."""
    number = {stack: at for at, stack in enumerate(dict.fromkeys((*snapshot.build_stack, *snapshot.model_stack)))}
    of_build = np.array([number[stack] for stack in snapshot.build_stack], dtype=np.int64)
    of_model = np.array([number[stack] for stack in snapshot.model_stack], dtype=np.int64)
    runs: Bools = snapshot.build_models & (of_build[:, None] == of_model)
    return runs
