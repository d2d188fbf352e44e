"""Expire holds whose settlement window is over: what is open is free again. Safe to run in every broker process."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from broker.store import holds
from broker.store.database import Database

BATCH_HOLDS: Final = 500


class HoldExpiry:
    """Gives back what nobody captured in time."""

    name = "hold-expiry"

    def __init__(
        self, database: Database, *, batch_holds: int = BATCH_HOLDS, wake: Callable[[], None] = lambda: None
    ) -> None:
        """`wake` is called after money has become free: jobs may have waited for it."""
        self._database = database
        self._wake = wake
        self._batch_holds = batch_holds

    async def run_once(self, now: datetime) -> int:
        """Expire all open holds whose window was over before `now`, and return how many."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                expired = await holds.expire_due(tx, now, self._batch_holds)
            total += expired
            if expired:
                self._wake()
            if expired < self._batch_holds:
                return total
