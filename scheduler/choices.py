"""Which pool a job may take, in which form and with which build, and what that is worth.

Worth is a rate in micro-yuan per hour; all divisions round down unless said otherwise (P: the model's
programme-counted FP16, g: the granted slice, a: the share asked for):

    card     = P * speed_ppm // 10^6                            the pool's card as the fastest build uses it
    value    = min(ceiling * card // 10^6, VALUE_MAX)           what the city would pay for a card-hour
    gross    = all tasks * value of a task * speed of the form  a smaller or spread gang does less
    net      = gross - asks - energy - transfer                 of the cards really taken; each rounded up
    worth    = net * weight // 100, at least 1                  weight: priority, ageing and fair share, in percent

Net must be positive, or the price is below the ask. Of the builds that run on a pool's model the fastest is taken (the
first among equals): they need the same cards, so no plan can lose by that. Jobs that are equal in all of this are one
group: what is said of one holds for all. A *pair* is a group with a pool and a kind in which it may run there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler import judging
from scheduler.fits import fit_codes
from scheduler.forms import Forms, Kinds, forms_of
from scheduler.judging import FOREVER, seconds_free
from scheduler.limits import Limits, limits_of
from scheduler.policy import WEIGHT_PERCENT_MAX, Policy
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import Bools, Codes, Ints, Snapshot

OUTBID: Final = REFUSALS.index(Reason.OUTBID)


@dataclass(frozen=True, eq=False)
class Groups:
    """Equal jobs. G groups; all arrays [G]."""

    tier: Ints
    shape: Ints
    city: Ints
    ceiling: Ints  # micro-yuan per PFLOPS-hour
    weight_percent: Ints
    tenant: Ints  # -1: none
    walltime_seconds: Ints  # without data to move: rounded up to the next time that any pool is free for
    slack_seconds: Ints  # how long its data may take on their way and it still ends in time; FOREVER: no such time
    count: Ints  # jobs in the group
    member_start: Ints  # [G + 1]
    members: Ints  # [J] jobs of group g: members[member_start[g] : member_start[g + 1]], longest waiting first


@dataclass(frozen=True, eq=False)
class Pairs:
    """What groups may do: the pairs of group g are start[g] .. start[g + 1] - 1, by pool and then by form."""

    start: Ints  # [G + 1]
    pool: NDArray[np.int32]  # [A]
    kind: NDArray[np.int32]  # [A]
    worth: Ints  # [A] micro-yuan per hour of one job, at least 1

    @property
    def group(self) -> Ints:
        """The group of each pair, [A]."""
        group: Ints = np.repeat(np.arange(self.start.size - 1), np.diff(self.start))
        return group


@dataclass(frozen=True, eq=False)
class Choices:
    """What every group of equal jobs may do, and what stands in the way of the others."""

    snapshot: Snapshot
    groups: Groups
    forms: Forms
    kinds: Kinds
    limits: Limits  # of power and quota
    pairs: Pairs
    build: Ints  # [S, M] position in the shape's own list of builds; -1: none runs on the model
    nearest_code: Codes  # [G] position in REFUSALS of the reason of the pool that came nearest
    nearest_pool: Ints  # [G] that pool; -1: there is none

    @property
    def eligible(self) -> Bools:
        """Whether each group may run anywhere, [G]."""
        eligible: Bools = np.diff(self.pairs.start) > 0
        return eligible


def of_upper_tiers(choices: Choices, lowest: int) -> Choices:
    """Return the choices of the jobs of this tier and those above it: their groups stand first."""
    groups, pairs = choices.groups, choices.pairs
    count = int(np.searchsorted(groups.tier, lowest, side="right"))
    end = int(pairs.start[count])
    first = {each.name: getattr(groups, each.name)[:count] for each in fields(Groups)}
    first |= {"member_start": groups.member_start[: count + 1], "members": groups.members}
    return replace(
        choices,
        groups=Groups(**first),
        pairs=Pairs(pairs.start[: count + 1], pairs.pool[:end], pairs.kind[:end], pairs.worth[:end]),
        nearest_code=choices.nearest_code[:count],
        nearest_pool=choices.nearest_pool[:count],
    )


def choose(snapshot: Snapshot, policy: Policy) -> Choices:
    """Work out every group's eligible pools, forms, builds and worths."""
    groups = group_jobs(snapshot, policy)
    forms, limits = forms_of(snapshot), limits_of(snapshot)
    question = judging.Question.of(snapshot, groups, forms, limits)
    verdict = judging.judge(question, fit_codes(snapshot, forms.kinds, limits))
    return Choices(
        snapshot=snapshot,
        groups=groups,
        forms=forms,
        kinds=forms.kinds,
        limits=limits,
        pairs=Pairs(verdict.start, verdict.pool, verdict.kind, verdict.worth),
        build=question.build,
        nearest_code=verdict.nearest_code,
        nearest_pool=verdict.nearest_pool,
    )


def group_jobs(snapshot: Snapshot, policy: Policy) -> Groups:
    """Gather jobs that are equal to the planner. Groups are in the order of tier, shape, city, ..."""
    has_data = (snapshot.shape_input_gib + snapshot.shape_output_gib > 0)[snapshot.job_shape]
    slack = slack_seconds(snapshot)
    key = np.stack(
        [
            snapshot.job_tier,
            snapshot.job_shape,
            snapshot.job_city,
            snapshot.job_ceiling_micro_yuan_per_pflops_hour,
            weights_percent(snapshot, policy),
            snapshot.job_tenant,
            np.where(has_data, snapshot.job_walltime_seconds, _rounded_walltimes(snapshot)),
            np.where(has_data, slack, np.where(slack < 0, -1, FOREVER)),
        ]
    )
    tier, shape, city, ceiling, weight, tenant, walltime, slack = key
    # small numbers go together into one: each number to sort by is one more pass over all jobs
    what = (tier * len(snapshot.shape_tasks) + shape) * len(snapshot.city_names) + city
    whose = weight * (len(snapshot.tenant_names) + 1) + tenant
    order = np.lexsort((snapshot.job_submitted_at_s, slack, walltime, whose, ceiling, what))
    key = key[:, order]
    first = np.ones(order.size, dtype=bool)
    first[1:] = np.any(key[:, 1:] != key[:, :-1], axis=0)
    start = np.append(np.flatnonzero(first), order.size)
    tier, shape, city, ceiling, weight, tenant, walltime, slack = (np.ascontiguousarray(row) for row in key[:, first])
    return Groups(
        tier, shape, city, ceiling, weight, tenant, walltime, slack, np.diff(start), member_start=start, members=order
    )


def slack_seconds(snapshot: Snapshot) -> Ints:
    """Return [J]: how much later than now each job may start and still end by its `finish_by`; FOREVER without one."""
    finish = snapshot.job_finish_by_s
    slack: Ints = np.where(finish < 0, FOREVER, finish - snapshot.taken_at_s - snapshot.job_walltime_seconds)
    return slack


def _rounded_walltimes(snapshot: Snapshot) -> Ints:
    """Return [J]: walltimes rounded up to the next time that any pool is free for; beyond the longest, one more.

    Who may end in time does not change by it, and jobs that differ in nothing else stay one group.
    """
    limits = np.unique(seconds_free(snapshot))
    limits = limits[limits < FOREVER]
    if not limits.size:
        return np.zeros(len(snapshot.job_id), dtype=np.int64)
    steps = np.append(np.maximum(limits, 0), max(int(limits[-1]), 0) + 1)
    rounded: Ints = steps[np.searchsorted(limits, snapshot.job_walltime_seconds)]
    return rounded


def weights_percent(snapshot: Snapshot, policy: Policy) -> Ints:
    """Return each job's factor on worth in percent: its priority's, grown with waiting, times its city's fair share."""
    waited = np.maximum(snapshot.taken_at_s - snapshot.job_submitted_at_s, 0)
    of_walltime = snapshot.job_walltime_seconds * policy.ageing_step_walltime_percent // 100
    share = snapshot.shape_share_milli[snapshot.job_shape] > 0
    most = np.where(share, policy.ageing_steps_max_of_shares, policy.ageing_steps_max)
    steps = np.minimum(waited // np.maximum(policy.ageing_step_seconds, of_walltime), most)
    priority: Ints = np.array(policy.priority_percent, dtype=np.int64)[snapshot.job_priority]
    grown = priority * (100 + policy.ageing_percent_per_step * steps) // 100
    weights: Ints = grown * fair_shares_percent(snapshot, policy)[snapshot.job_city] // 100
    return np.clip(weights, 1, WEIGHT_PERCENT_MAX)


def fair_shares_percent(snapshot: Snapshot, policy: Policy) -> Ints:
    """Return [C]: above 100 for cities that use less FP16 than their weight entitles them to, below for the others.

    The shares are those at the round's start: so the model stays linear, and the next round corrects what this one did.
    """
    weights, used = snapshot.city_weight_ppm.tolist(), snapshot.city_used_milli_tflops.tolist()
    total, weight = sum(used), sum(weights)
    strength = policy.fair_share_percent
    factors = []
    for mine, has in zip(weights, used, strict=True):
        entitled = total * mine // weight if weight else has
        if has <= entitled:
            factors.append(100 + strength * (entitled - has) // max(entitled, 1))
        else:
            factors.append(100 - strength * (has - entitled) // has)
    return np.array(factors, dtype=np.int64)
