"""Give events their numbers. Every broker process runs it; one of them numbers at a time.

Each event comes by here once, whatever caused it: so here it is counted, and written to the log, where one job can be
followed from its submission to its end by its `job`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog

from broker import metrics
from broker.ids import job_text, lease_text
from broker.log_lines import tell_all
from broker.store import events
from broker.store.database import Database
from broker.store.events import NumberedEvent

log = structlog.get_logger("jobs")

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
            if batch.events:
                await asyncio.to_thread(_tell, batch.events)
            total += len(batch.events)
            if len(batch.events) < self._batch_events:
                return total


def _tell(numbered: Sequence[NumberedEvent]) -> None:
    for (city, kind), times in Counter((each.city, each.kind) for each in numbered).items():
        metrics.job_event(city, kind, times)
    tell_all(log, ((f"job_{each.kind}", _facts(each)) for each in numbered))


def _facts(event: NumberedEvent) -> dict[str, str | int]:
    facts: dict[str, str | int] = {"job": job_text(event.job), "city": event.city}
    if event.attempt:
        facts["attempt"] = event.attempt
    if event.lease is not None:
        facts["lease"] = lease_text(event.lease)
    if event.reason is not None:
        facts["reason"] = event.reason
    return facts
