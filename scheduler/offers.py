"""What waiting jobs may do in pools that are empty by and by: pairs of pool and kind, their worth and their gain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.choices import Groups, slack_seconds, weights_percent
from scheduler.forms import Kinds, forms_of
from scheduler.judging import Question, Verdict, judge
from scheduler.limits import Limits, meters, uses
from scheduler.policy import Policy
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import UNKNOWN, Ints, Snapshot
from scheduler.tariff import Tariff


@dataclass(frozen=True, eq=False)
class Judged:
    """Every job by itself, whatever is free. J jobs, A pairs, K kinds."""

    jobs: Snapshot
    groups: Groups  # group j is job j
    kinds: Kinds
    verdict: Verdict
    build: Ints  # [S, M] position in the shape's own list of builds
    meter: Ints  # [K, P] watts of one gang, or [0, 0] where no hub has a cap or pace
    quota_use: Ints  # [K, P] milli-TFLOPS of one gang, or [0, 0] where there are no quotas

    def pairs(self, job: int) -> range:
        """Return the pairs of a job."""
        return range(int(self.verdict.start[job]), int(self.verdict.start[job + 1]))

    def gains(self, tariff: Tariff) -> Ints:
        """Return [A]: worth less cost at the prices, micro-yuan per hour."""
        return tariff.gains(self.verdict, self.groups, self.kinds, self.meter, self.quota_use)

    def build_in(self, job: int, pool: int) -> int:
        """Return the build that the job runs with in the pool."""
        return int(self.build[self.jobs.job_shape[job], self.jobs.pool_model[pool]])


@dataclass(frozen=True)
class Way:
    """One way to run a job."""

    pair: int
    pool: int
    kind: int
    worth: int
    gain: int


def judged(jobs: Snapshot, limits: Limits, policy: Policy) -> Judged:
    """Judge jobs of a world, each by itself. Quotas bar nobody: they are asked when a gang starts."""
    count = len(jobs.job_id)
    groups = Groups(
        tier=jobs.job_tier,
        shape=jobs.job_shape,
        city=jobs.job_city,
        ceiling=jobs.job_ceiling_micro_yuan_per_pflops_hour,
        weight_percent=weights_percent(jobs, policy),
        tenant=jobs.job_tenant,
        walltime_seconds=jobs.job_walltime_seconds,
        slack_seconds=slack_seconds(jobs),
        count=np.ones(count, dtype=np.int64),
        member_start=np.arange(count + 1),
        members=np.arange(count),
    )
    forms = forms_of(jobs)
    kinds = forms.kinds
    without_quotas = replace(limits, tenant_quota=np.full_like(limits.tenant_quota, UNKNOWN))
    question = Question.of(jobs, groups, forms, without_quotas)
    fits = np.full((kinds.tasks.size, len(jobs.pool_names)), REFUSALS.index(Reason.OUTBID), dtype=np.int8)
    none = np.zeros((0, 0), dtype=np.int64)
    return Judged(
        jobs=jobs,
        groups=groups,
        kinds=kinds,
        verdict=judge(question, fits),
        build=question.build,
        meter=meters(limits, kinds) if limits.has_power else none,
        quota_use=uses(limits, kinds) if limits.parent.size else none,
    )


def whole_card_ways(found: Judged, job: int, gain: Ints) -> Sequence[Way]:
    """Return the ways to run a job on whole cards, the largest gain first."""
    return sorted(_ways(found, job, gain), key=lambda way: (-way.gain, way.pair))


def _ways(found: Judged, job: int, gain: Ints) -> Iterator[Way]:
    verdict = found.verdict
    for pair in found.pairs(job):
        kind = int(verdict.kind[pair])
        if found.kinds.share[kind] == 0:
            yield Way(pair, int(verdict.pool[pair]), kind, int(verdict.worth[pair]), int(gain[pair]))
