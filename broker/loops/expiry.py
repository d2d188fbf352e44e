"""Expire jobs that still wait at the last moment to start. Safe to run in every broker process."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from broker.store import jobs
from broker.store.database import Database

BATCH_JOBS: Final = 1000


class Expiry:
    """Ends what came too late."""

    name = "expiry"

    def __init__(self, database: Database, *, wake: Callable[[], None], batch_jobs: int = BATCH_JOBS) -> None:
        """`wake` is called after jobs have expired: their events can be numbered."""
        self._database = database
        self._wake = wake
        self._batch_jobs = batch_jobs

    async def run_once(self, now: datetime) -> int:
        """Expire all jobs that wait at `now` and may no longer start (`JobSpec.latest_start`), and return how many."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                expired = await jobs.expire_due(tx, now, self._batch_jobs)
            total += expired
            if expired < self._batch_jobs:
                break
        if total:
            self._wake()
        return total
