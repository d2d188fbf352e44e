"""What tasks came lately: the usual mix that the fast lane places by."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from scheduler.mix import Mix, UsualTask, mix_of, usual_tasks
from scheduler.snapshot import Snapshot

ENTRIES_KEPT: Final = 2_000


class Recent:
    """The waiting queue, and the last jobs that were leased as they arrived and so never stood in it."""

    def __init__(self, entries_kept: int = ENTRIES_KEPT) -> None:
        """`entries_kept`: one for each kind of task in each commit; the oldest are forgotten."""
        self._leased: deque[tuple[UsualTask, int]] = deque(maxlen=entries_kept)

    def leased(self, arrivals: Snapshot, job_ids: Iterable[str]) -> None:
        """Remember those of the arrivals that were leased at once."""
        wanted = frozenset(job_ids)
        jobs = [job for job, job_id in enumerate(arrivals.job_id) if job_id in wanted]
        self._leased.extend(usual_tasks(arrivals.of_jobs(jobs)).items())

    def mix(self, waiting: Snapshot) -> Mix | None:
        """Return the mix of the queue and of what is remembered; None while there is nothing."""
        count: Counter[UsualTask] = usual_tasks(waiting)
        for task, times in tuple(self._leased):  # more may be leased while this is looked at
            count[task] += times
        return mix_of(count) if count else None
