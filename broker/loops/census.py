"""Read the hub's state for /metrics, at an interval: a scrape reads memory and never the database."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

import structlog

from broker import metrics
from broker.market.census import reading
from broker.metrics import state
from broker.metrics.state import Rows, Told
from broker.store import books_check, census
from broker.store.database import Database

BOOKS_EVERY: Final = timedelta(minutes=5)
"""The books are summed up anew: that takes seconds when there are many millions of postings."""

log = structlog.get_logger("census")


class Census:
    """Sets the gauges of what there is, while this broker leads."""

    name = "census"

    def __init__(self, database: Database, *, leads: Callable[[], bool]) -> None:
        self._database = database
        self._leads = leads
        self._books: Mapping[Told, Rows] = {}
        self._books_at: datetime | None = None

    async def run_once(self, now: datetime) -> int:
        """Read everything once and return how many live leases there are; nothing while another broker leads."""
        if not self._leads():
            state.STATE.forget()
            self._books_at = None
            return 0
        began = perf_counter()
        if self._books_at is None or now - self._books_at >= BOOKS_EVERY:
            await self._audit_books(now)
        async with self._database.hub() as tx:
            count = await census.read(tx, now)
        await asyncio.to_thread(lambda: state.STATE.publish({**reading(count), **self._books}))
        metrics.process.CENSUS_SECONDS.set(perf_counter() - began)
        return sum(row.leases for row in count.leases)

    async def _audit_books(self, now: datetime) -> None:
        async with self._database.hub() as tx:
            found = await books_check.findings(tx, now)
        if any(found.values()):
            log.error("books_do_not_add_up", **found)
        self._books = {
            state.BOOKS: [((rule,), wrong) for rule, wrong in found.items()],
            state.BOOKS_AT: [((), now.timestamp())],
        }
        self._books_at = now
