"""What arriving jobs may do in a world that was laid out before they came: the cheap way to judge a few of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scheduler.choices import Groups, slack_seconds, weights_percent
from scheduler.fields import MILLI_PER_CARD
from scheduler.forms import forms_of
from scheduler.judging import Question, Verdict, judge
from scheduler.limits import Limits, meters, uses
from scheduler.policy import Policy
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import UNKNOWN, Ints, Snapshot
from scheduler.spare import Spare
from scheduler.steering import Known
from scheduler.tariff import Tariff
from scheduler.terrain import Land


@dataclass(frozen=True, eq=False)
class Offers:
    """The pairs (pool and kind) of each arriving job, what they gain, and the tables to put them by."""

    jobs: Snapshot
    verdict: Verdict
    gain: Ints  # [A] worth less cost at the prices, micro-yuan per hour
    order: Ints  # [A] of each job its pairs by falling gain, ties in the order of the pools
    milli: Ints  # [J] of cards that each job asks for
    build: Ints  # [S, M] position in the shape's own list of builds
    land: Land
    known: Known | None  # scores of nodes for what these jobs need; None: they are not put by a rule

    def pairs(self, job: int) -> range:
        """Return the pairs of a job, whether or not they pay or have room."""
        return range(int(self.verdict.start[job]), int(self.verdict.start[job + 1]))

    def best_first(self, job: int) -> Ints:
        """Return the pairs of a job by falling gain, ties in the order of the pools."""
        return self.order[self.verdict.start[job] : self.verdict.start[job + 1]]

    @property
    def best_gains(self) -> Ints:
        """The most that each job gains anywhere, [J]; below any gain where it may run nowhere."""
        best = np.full(len(self.jobs.job_id), -(2**62), dtype=np.int64)
        np.maximum.at(best, np.repeat(np.arange(best.size), np.diff(self.verdict.start)), self.gain)
        return best


class Judge:
    """Judges jobs that come to one world; what depends on the world alone is worked out once."""

    def __init__(self, limits: Limits, policy: Policy, spare: Spare) -> None:
        self._limits, self._policy, self._spare = limits, policy, spare
        # quotas are asked when a gang is put, as they stand then; here they bar nobody
        self._no_quotas = replace(limits, tenant_quota=np.full_like(limits.tenant_quota, UNKNOWN))

    def offers(self, jobs: Snapshot, tariff: Tariff, *, steered: bool = False) -> Offers:
        """Judge every job by itself, whatever is free. `steered`: they are to be put by the rule, if there is one."""
        count = len(jobs.job_id)
        groups = Groups(
            tier=jobs.job_tier,
            shape=jobs.job_shape,
            city=jobs.job_city,
            ceiling=jobs.job_ceiling_micro_yuan_per_pflops_hour,
            weight_percent=weights_percent(jobs, self._policy),
            tenant=jobs.job_tenant,
            walltime_seconds=jobs.job_walltime_seconds,
            slack_seconds=slack_seconds(jobs),
            count=np.ones(count, dtype=np.int64),
            member_start=np.arange(count + 1),
            members=np.arange(count),
        )
        forms = forms_of(jobs)
        kinds = forms.kinds
        question = Question.of(jobs, groups, forms, self._no_quotas)
        fits = np.full((kinds.tasks.size, len(jobs.pool_names)), REFUSALS.index(Reason.OUTBID), dtype=np.int8)
        verdict = judge(question, fits)
        none = np.zeros((0, 0), dtype=np.int64)
        meter = meters(self._limits, kinds) if self._limits.has_power else none
        quota_use = uses(self._limits, kinds) if self._limits.parent.size else none
        land = self._spare.land(jobs, kinds, verdict, meter, quota_use)
        gain = tariff.gains(verdict, groups, kinds, meter, quota_use)
        of_task = np.where(jobs.shape_share_milli, jobs.shape_share_milli, jobs.shape_cards_per_task * MILLI_PER_CARD)
        return Offers(
            jobs=jobs,
            verdict=verdict,
            gain=gain,
            order=np.lexsort((-gain, np.repeat(np.arange(count), np.diff(verdict.start)))),
            milli=(jobs.shape_tasks * of_task)[jobs.job_shape],
            build=question.build,
            land=land,
            known=self._spare.known(land) if steered else None,
        )
