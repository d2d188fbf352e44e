"""What everybody may know of what is free: read at most once a second for all who ask."""

import asyncio
from datetime import datetime
from typing import Final

from broker.store import capacity
from broker.store.capacity import PoolCapacity
from broker.store.database import Database

FRESH_SECONDS: Final = 1.0


class Capacity:
    """Free cards of all pools, not older than a second."""

    def __init__(self, database: Database, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._database = database
        self._fresh_seconds = fresh_seconds
        self._lock = asyncio.Lock()
        self._pools: tuple[PoolCapacity, ...] = ()
        self._read_at = float("-inf")  # on the event loop's clock
        self._at: datetime | None = None

    async def page(
        self, hub: str, cluster: str, model: str, after: tuple[str, str], limit: int, *, now: datetime
    ) -> tuple[datetime, list[PoolCapacity]]:
        """Return when it was read, and pools by cluster and name from the first after `after`; "" lets all pass."""
        async with self._lock:
            asked = asyncio.get_running_loop().time()
            if self._at is None or asked - self._read_at >= self._fresh_seconds:
                async with self._database.hub() as tx:
                    self._pools = await capacity.read(tx, now)
                self._read_at, self._at = asked, now
            at, pools = self._at, self._pools
        found = [
            each
            for each in pools
            if hub in ("", each.hub)
            and cluster in ("", each.cluster)
            and model in ("", each.model)
            and (each.cluster, each.pool) > after
        ]
        return at, found[:limit]
