"""What an explanation of a job consists of, independent of how it is found and how it is sent."""

from dataclasses import dataclass

from broker.job import Job


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
class Explanation:
    """Why a job waits, or what its choices are.

    Attributes:
        job: the job.
        verdicts: one for each pool, the nearest to starting first.
        round: the round whose prices were used; 0 when there was none yet.
        summary: a sentence for people.
    """

    job: Job
    verdicts: tuple[Verdict, ...]
    round: int
    summary: str
