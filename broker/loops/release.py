"""Let jobs into the rounds' queue when their time has come or what they run after has ended. Safe in every broker."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from broker.store import upstreams
from broker.store.database import Database

BATCH_JOBS: Final = 1000


class Release:
    """Ends the waiting of jobs that rounds did not look at; or the jobs, when what they run after has failed."""

    name = "release"

    def __init__(self, database: Database, *, wake: Callable[[], None], batch_jobs: int = BATCH_JOBS) -> None:
        """`wake` is called after something has changed: rounds and the numbering of events have work."""
        self._database = database
        self._wake = wake
        self._batch_jobs = batch_jobs

    async def run_once(self, now: datetime) -> int:
        """Do all that is due at `now`, and return how many jobs that was."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                come = await upstreams.come(tx, now, self._batch_jobs)
                released = await upstreams.release(tx, now, self._batch_jobs)
            total += come + released.looked_at
            # What was cancelled may have others behind it.
            if not released.cancelled and max(come, released.looked_at) < self._batch_jobs:
                break
        if total:
            self._wake()
        return total
