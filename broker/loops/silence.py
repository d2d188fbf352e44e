"""The consequences of silence: agents fall suspect, then LOST, and their leases with them; drained nodes are told so.

Guards in the statements make it safe to run in many brokers at once.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from broker.market.clusters import Terms
from broker.store import clusters, leases
from broker.store.database import Database

BREAK_MIN: Final = timedelta(seconds=5)
"""A shorter time between two passes is no break, however short the terms are."""

NEVER: Final = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger("silence")


class Silence:
    """Judges agents by when they were last heard.

    A broker that was not listening itself has no right to call anybody silent: when it has just started, or its last
    pass was long ago (it hung, the database was away, the clock leapt), the time of silence begins anew. So it does
    when the clock was set back; nobody can have been heard later than now then, or silence would go unseen until the
    clock comes by again.

    Args:
        capacity_freed: called after a commit that lets jobs wait again.
    """

    name = "silence"

    def __init__(self, database: Database, terms: Terms, *, capacity_freed: Callable[[], None]) -> None:
        self._database = database
        self._terms = terms
        self._capacity_freed = capacity_freed
        self._listening_since: datetime | None = None
        self._last_pass: datetime | None = None

    async def run_once(self, now: datetime) -> int:
        """Judge every agent once. Return how many clusters, leases and nodes changed."""
        listening_since = await self._listen(now)
        changed = 0
        if now - listening_since >= self._terms.suspect_after:
            async with self._database.hub() as tx:
                suspects = await clusters.fall_suspect(tx, now - self._terms.suspect_after)
            for cluster in suspects:
                log.warning("agent suspect", cluster=cluster)
            changed += len(suspects)
        if now - listening_since >= self._terms.lost_after:
            changed += await self._lose(now, listening_since)
        async with self._database.hub() as tx:
            drained = await clusters.finish_drains(tx)
        self._last_pass = now
        return changed + len(drained)

    async def _listen(self, now: datetime) -> datetime:
        """Return since when this broker has been listening without a break."""
        since, last = self._listening_since, self._last_pass
        longest = max(self._terms.suspect_after, BREAK_MIN)
        if since is None or last is None or not timedelta(0) <= now - last < longest:
            async with self._database.hub() as tx:
                await clusters.heard_at_most(tx, now)
            since = self._listening_since = now
            self._last_pass = now
        return since

    async def _lose(self, now: datetime, listening_since: datetime) -> int:
        """Make what is silent for too long LOST, and end what its agent must have killed; cluster by cluster."""
        lost_before, killed_before = now - self._terms.lost_after, now - self._terms.restart_after
        if listening_since > killed_before:
            killed_before = NEVER  # an agent may have had a word from us until we began to listen
        async with self._database.hub() as tx:
            silent = await clusters.silent(tx, lost_before, killed_before)
        changed = 0
        for cluster in silent:
            async with self._database.hub() as tx:
                if not await clusters.fall_lost(tx, cluster, lost_before):
                    continue  # heard again meanwhile
                lost = await leases.silent(tx, cluster, now)
                ended = await leases.killed_by_terms(
                    tx, cluster, now, killed_before, restarts_max=self._terms.restarts_max
                )
            log.warning("agent lost", cluster=cluster, leases_lost=len(lost), leases_ended=len(ended))
            changed += 1 + len(lost) + len(ended)
            if ended:
                self._capacity_freed()
        return changed
