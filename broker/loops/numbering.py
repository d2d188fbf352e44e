"""Give events their numbers. Every broker process runs it; one of them numbers at a time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from broker.store import events
from broker.store.database import Database

BATCH_EVENTS: Final = 5000


class Numbering:
    """Moves committed events into their cities' sequences and tells who watches."""

    name = "numbering"

    def __init__(
        self, database: Database, *, announce: Callable[[Mapping[str, int]], None], batch_events: int = BATCH_EVENTS
    ) -> None:
        """`announce` is called after each commit with the last cursor of every city that got events."""
        self._database = database
        self._announce = announce
        self._batch_events = batch_events

    async def run_once(self, now: datetime) -> int:  # noqa: ARG002  a number has no time
        """Number all events that are committed now and return how many; none while another process numbers."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                batch = await events.number(tx, self._batch_events)
            if batch.last:
                self._announce(batch.last)
            total += batch.events
            if batch.events < self._batch_events:
                return total
