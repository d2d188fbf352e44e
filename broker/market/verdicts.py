"""What an explanation of a job consists of, independent of how it is found and how it is sent."""

from dataclasses import dataclass
from datetime import datetime

from broker.job import Job
from scheduler.worth_split import WorthSplit


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one pool says to one job.

    Attributes:
        cluster: cluster of the pool.
        pool: the pool.
        hub: hub of the cluster.
        model: accelerator model of the pool.
        reason: stable reason, such as "CARDS_SHORT"; "FITS" when the job would fit now.
        build: index of the build that was judged; -1 when none matches.
        cards_short: free cards that are missing there now; 0 when that is not the reason.
        clearing_micro_yuan_per_pflops_hour: price at which the last round cleared for this job there; 0 when unknown.
        detail: a sentence for people.
    """

    cluster: str
    pool: str
    hub: str
    model: str
    reason: str
    build: int
    cards_short: int
    clearing_micro_yuan_per_pflops_hour: int
    detail: str


@dataclass(frozen=True, slots=True)
class ChangeOffer:
    """A single change that would start a waiting job, proved by the scheduler.

    Attributes:
        lever: what is changed, such as "CEILING" (`scheduler/levers.py` has them with their units).
        effect: "STARTS_NOW", "PLANNED" or "STARTS_BY" (`scheduler/changes.py`).
        before: how it stands, in the unit of the lever; -1 for no limit.
        after: how it would have to be.
        name: the hub, owner or quota that it is about; empty for other levers.
        extra_micro_yuan_per_hour: what the city may have to pay more at most; of a ceiling only.
        cluster: where it starts then.
        pool: the pool there.
        instead_of_jobs: how many jobs the round would not have started then. Whose they are is not the city's business.
        detail: a sentence for people.
        starts_at: when it could start then; of "STARTS_BY" only.
    """

    lever: str
    effect: str
    before: int
    after: int
    name: str
    extra_micro_yuan_per_hour: int
    cluster: str
    pool: str
    instead_of_jobs: int
    detail: str
    starts_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EarliestStart:
    """When a waiting job could start as it is, with all that runs and is promised as it is, and nobody else coming.

    Attributes:
        starts_at: the earliest time; None: as far as is known it never could, or that is not known.
        cluster: where; empty without a time.
        pool: the pool there.
        detail: a sentence for people.
    """

    starts_at: datetime | None
    cluster: str
    pool: str
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits, or what its choices are.

    Attributes:
        job: the job.
        verdicts: one for each pool, the nearest to starting first.
        round: the round whose prices were used; 0 when there was none yet.
        summary: a sentence for people.
        changes: what would start it, in time if a time was asked for, the cheapest first; of a job that waits only.
        worth: of a placed job what it is worth where it is, by the last round's prices.
        earliest: when it could start as it is; of a job that waits only, and only if a time was asked for.
    """

    job: Job
    verdicts: tuple[Verdict, ...]
    round: int
    summary: str
    changes: tuple[ChangeOffer, ...] = ()
    worth: WorthSplit | None = None
    earliest: EarliestStart | None = None
