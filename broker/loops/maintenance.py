"""Order preemptible work to stop where a maintenance window is about to begin. Safe to run in every broker process."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from broker import metrics
from broker.lifecycle import StopClaim
from broker.store import stops
from broker.store.database import Database

BATCH_LEASES: Final = 1000

_log = structlog.get_logger(__name__)


class Maintenance:
    """Clears nodes in time, as far as their work may be stopped."""

    name = "maintenance"

    def __init__(
        self, database: Database, *, wake_cluster: Callable[[str], None], batch_leases: int = BATCH_LEASES
    ) -> None:
        """`wake_cluster` is called for the clusters whose agents have something to stop."""
        self._database = database
        self._wake_cluster = wake_cluster
        self._batch_leases = batch_leases

    async def run_once(self, now: datetime) -> int:
        """Order everything that is due at `now`, and return how many leases that was."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                ordered = await stops.clear_for_windows(tx, now, self._batch_leases)
            for lease, cluster, lost_card_seconds in ordered:
                metrics.stop_ordered(StopClaim.MAINTENANCE, lost_card_seconds)
                _log.info("lease_stop_ordered", lease=lease, cluster=cluster, claim=StopClaim.MAINTENANCE.value)
            for cluster in {cluster for _, cluster, _ in ordered}:
                self._wake_cluster(cluster)
            total += len(ordered)
            if len(ordered) < self._batch_leases:
                return total
