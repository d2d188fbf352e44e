"""Follow a city's events: pages from the table, and between them a wait for the pulse of the numbering loop.

However many watch, a process asks the database for news with one query: `Pulses` hears at once what its own numbering
loop does, and asks twice a second for what another broker process has numbered.

Cursors are of the city. An enterprise sees those of its own events: in order, none left out and none twice, with gaps
where the events of others are. Its stream goes on from a cursor just as the city's does.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from broker.caller import Caller
from broker.errors import CursorInFuture, DatabaseUnavailable, invalid
from broker.job import Event
from broker.market import access
from broker.store import events
from broker.store.database import Database

PAGE_EVENTS_MAX: Final = 500
STRETCH_EVENTS_MAX: Final = 20_000
"""Events of its city that one transaction of an enterprise looks through for its own."""

POLL_SECONDS: Final = 0.5
IDLE_SECONDS_MAX: Final = 86_400

REST_SECONDS: Final = 0.05
"""A watcher who has just been told gets what comes next so much later: each page is a transaction, however short."""

_log = structlog.get_logger(__name__)


class Pulses:
    """Knows the last cursors of the cities that are watched, and wakes who waits for more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[str, int] = {}
        self._bells: dict[str, asyncio.Event] = {}
        self._watchers: Counter[str] = Counter()
        self._poller: asyncio.Task[None] | None = None

    def announce(self, last: Mapping[str, int]) -> None:
        """Tell that events up to these cursors can be read now. Called by the numbering loop after its commit."""
        for city, cursor in last.items():
            if city in self._watchers and cursor > self._last.get(city, 0):
                self._last[city] = cursor
                self._bells[city].set()

    @contextmanager
    def watching(self, city: str) -> Iterator[None]:
        """Keep an eye on the city for as long as the block runs."""
        self._watchers[city] += 1
        self._bells.setdefault(city, asyncio.Event())
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="watch-poller")
        try:
            yield
        finally:
            self._watchers[city] -= 1
            if not self._watchers[city]:
                del self._watchers[city], self._bells[city]
                self._last.pop(city, None)
            if not self._watchers and self._poller is not None:
                self._poller.cancel()
                self._poller = None

    def watched(self) -> dict[str, int]:
        """Return how many watch each city now; cities that nobody watches are left out."""
        return dict(self._watchers)

    async def beyond(self, city: str, cursor: int, seconds: float | None) -> bool:
        """Wait until the city has events beyond the cursor; False when that takes longer than `seconds`.

        Only inside `watching`; None waits for ever.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._last.get(city, 0) <= cursor:
                    # Whoever waits holds the bell it waits for; the next one to wait hangs up a new one.
                    if self._bells[city].is_set():
                        self._bells[city] = asyncio.Event()
                    await self._bells[city].wait()
        except TimeoutError:
            return False
        return True

    async def _poll(self) -> None:
        while True:
            try:
                async with self._database.hub() as tx:
                    self.announce(await events.last_of(tx, list(self._watchers)))
            except DatabaseUnavailable:
                pass  # whoever reads meets it, too, and tells the caller
            except Exception:
                _log.exception("cannot ask for news of other broker processes")
            await asyncio.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Page:
    """Events that were read once for all who had got that far.

    Attributes:
        events: of whom it was read for, in order, at most 500.
        cursor: up to which it was read.
        up_to_date: there was nothing beyond it.
    """

    events: tuple[Event, ...]
    cursor: int
    up_to_date: bool


class Watch:
    """The use case behind WatchJobs."""

    def __init__(self, database: Database, pulses: Pulses) -> None:
        self._database = database
        self._pulses = pulses
        self._reading: dict[tuple[Hashable, str, int], asyncio.Task[Page]] = {}  # by who may see it, city and cursor

    async def follow(
        self, caller: Caller, city: str, after_cursor: int, idle_seconds_max: int = 0
    ) -> AsyncGenerator[Page, None]:
        """Yield the events beyond `after_cursor` and whatever happens from then on, in order; no page is empty.

        Those of one city who are woken together share their pages: they are the same objects.

        Ends after `idle_seconds_max` without an event of the caller's; 0 means never.
        Raise RoleRefused, InvalidRequest, CursorInFuture; DatabaseUnavailable at any time: resume from the last cursor.
        """
        watched = access.one_city_to_read(caller, city)
        if not 0 <= idle_seconds_max <= IDLE_SECONDS_MAX:
            raise invalid("idle_seconds_max", f"must be 0 (for ever) to {IDLE_SECONDS_MAX}")
        async with access.transaction_of(self._database, caller) as tx:
            last = await events.last(tx, watched)
        if after_cursor > last:
            raise CursorInFuture(cursor=after_cursor, last=last, city=watched)
        cursor, quiet = after_cursor, _Quiet(idle_seconds_max)
        with self._pulses.watching(watched):
            while True:
                page = await self._shared(caller, watched, cursor)
                cursor = page.cursor
                if page.events:
                    yield page
                    quiet.begin()
                elif quiet.is_over():
                    return
                if page.events and page.up_to_date:
                    await asyncio.sleep(REST_SECONDS)
                if page.up_to_date and not await self._pulses.beyond(watched, cursor, quiet.seconds_left()):
                    return

    async def _shared(self, caller: Caller, city: str, cursor: int) -> Page:
        """Return the caller's next page: hundreds who wait for the same one are one transaction."""
        key = (access.city_to_read(caller, ""), caller.enterprise), city, cursor
        task = self._reading.get(key)
        if task is None or task.done():  # one that is over may have missed what this caller was woken for
            task = self._reading[key] = asyncio.create_task(self._read(caller, city, cursor))
            task.add_done_callback(partial(self._read_is_over, key))
        return await asyncio.shield(task)  # who leaves does not take the others' page along

    def _read_is_over(self, key: tuple[Hashable, str, int], task: "asyncio.Task[Page]") -> None:
        if self._reading.get(key) is task:
            del self._reading[key]
        if not task.cancelled():
            task.exception()  # all who had asked may have left, and then nobody else looks at it

    async def _read(self, caller: Caller, city: str, cursor: int) -> Page:
        async with access.transaction_of(self._database, caller) as tx:
            if not caller.enterprise:
                page = await events.read(tx, city, cursor, PAGE_EVENTS_MAX)
                return Page(tuple(page), page[-1].cursor if page else cursor, len(page) < PAGE_EVENTS_MAX)
            # Of what its city does little may be an enterprise's: a stretch at a time, and none of it is read twice.
            last = await events.last(tx, city)
            until = min(last, cursor + STRETCH_EVENTS_MAX)
            page = await events.read(tx, city, cursor, PAGE_EVENTS_MAX, until=until)
        if len(page) == PAGE_EVENTS_MAX:
            return Page(tuple(page), page[-1].cursor, False)
        return Page(tuple(page), until, until == last)


class _Quiet:
    """How long there has been no event: from the last one that was handed over, whatever others do meanwhile."""

    def __init__(self, seconds_max: int) -> None:
        self._seconds_max = seconds_max
        self.begin()

    def begin(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def seconds_left(self) -> float | None:
        """Return for how long to wait on; None: for ever."""
        waited = asyncio.get_running_loop().time() - self._began
        return max(0.0, self._seconds_max - waited) if self._seconds_max else None

    def is_over(self) -> bool:
        return self.seconds_left() == 0.0
