"""Write submissions of one city in groups: those that arrive while one transaction runs share the next one.

Each city has at most one such transaction at a time in a process, and the submissions lock of the store makes it one
among all processes. So what waits is counted once for a group, and near the city's limit exactly: it holds to the last
job, but for those that ran when less than half of it waited, and wait again before the next count.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final

from broker.errors import BrokerError, DatabaseUnavailable, TooManyPending
from broker.store import submissions
from broker.store.catalogue_view import City
from broker.store.database import Connection, Database
from broker.store.submissions import Draft, PendingCount, Submitted

GROUP_DRAFTS_MAX: Final = 1000
GROUP_BODY_CHARACTERS_MAX: Final = 8 * 1024 * 1024
FULL_RETRY_SECONDS: Final = 5.0
"""When to try again after the city's limit was met: some rounds later."""

SHAPES_KNOWN_MAX: Final = 10_000
"""Hashes of stored shapes that a process remembers."""

RECOUNT_SECONDS: Final = 1.0
RECOUNT_SECONDS_MAX: Final = 60.0
RECOUNT_SHARE_MAX: Final = 0.02
"""Counting a hundred thousand takes long: so small a share of the time is for all cities of this process together, but
for cities near their limits, and as long as none has waited for a minute."""

Outcome = Submitted | BrokerError


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Drafts that one call handed in, and the future that it waits for."""

    city: City
    drafts: Sequence[Draft]
    now: datetime
    answer: "asyncio.Future[list[Outcome]]"

    def size(self) -> int:
        return sum(len(d.body_text) for d in self.drafts)


class Recounts:
    """When what waits of a city is counted anew though the last count, with those since, leaves room enough.

    That sum misses who has gone, and who waits again. All cities have one period, in which each is counted once: a
    second, or as long as counting all of them takes by the share of the time that it may have; a minute at most.
    Times are those of one clock, in seconds.
    """

    def __init__(self) -> None:
        self._counted: dict[str, tuple[float, float]] = {}  # when, and how long it took

    @property
    def period_seconds(self) -> float:
        """How old a count may become."""
        took = sum(took for _, took in self._counted.values())
        return min(max(RECOUNT_SECONDS, took / RECOUNT_SHARE_MAX), RECOUNT_SECONDS_MAX)

    def due(self, city: str, at: float) -> bool:
        """Tell whether the city is to be counted now."""
        return city not in self._counted or at > self._counted[city][0] + self.period_seconds

    def counted(self, city: str, began: float, ended: float) -> None:
        """Note that the city was counted."""
        self._counted[city] = ended, ended - began


class Intake:
    """Takes drafts that have passed all other checks, and stores them as far as the city's limit allows."""

    def __init__(
        self, database: Database, *, stored: Callable[[], None], seconds: Callable[[], float] = monotonic
    ) -> None:
        """`stored` is called after new jobs have been committed; `seconds` is a clock that only goes forward."""
        self._database = database
        self._seconds = seconds
        self._stored = stored
        self._queues: dict[str, deque[_Parcel]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}
        self._counts: dict[str, PendingCount] = {}
        self._recounts = Recounts()
        self._shapes: set[bytes] = set()  # hashes of some that are stored: none ever goes

    async def put(self, city: City, drafts: Sequence[Draft], now: datetime) -> list[Outcome]:
        """Store the drafts and return what became of each, in their order; TooManyPending for those beyond the limit.

        Raise DatabaseUnavailable when nothing is known: the same keys can be sent again safely.
        """
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(city.city, deque()).append(_Parcel(city, drafts, now, answer))
        if city.city not in self._writers:
            self._writers[city.city] = asyncio.create_task(self._write_queue(city.city), name=f"intake-{city.city}")
        return await answer

    async def _write_queue(self, city: str) -> None:
        queue = self._queues[city]
        try:
            while queue:
                await self._write_group(_next_group(queue))
        finally:
            del self._writers[city]
            for parcel in queue:  # only when this task was cancelled
                parcel.answer.cancel()
            queue.clear()

    async def _write_group(self, group: list[_Parcel]) -> None:
        try:
            outcomes = await self._write([d for p in group for d in p.drafts], group[-1].city, group[-1].now)
        except asyncio.CancelledError:
            for parcel in group:
                parcel.answer.cancel()
            raise
        except DatabaseUnavailable as error:
            for parcel in group:
                _refuse(parcel, DatabaseUnavailable(retry_after_seconds=error.retry_after_seconds))
        except Exception as error:  # one draft must not take the others with it
            if len(group) == 1:
                _refuse(group[0], error)
                return
            for parcel in group:
                await self._write_group([parcel])
        else:
            for parcel in group:
                mine, outcomes = outcomes[: len(parcel.drafts)], outcomes[len(parcel.drafts) :]
                if not parcel.answer.done():
                    parcel.answer.set_result(mine)

    async def _write(self, drafts: Sequence[Draft], city: City, now: datetime) -> list[Outcome]:
        await self._store_new_shapes(drafts, city)
        async with self._database.city(city.city) as tx:
            await submissions.lock_submissions(tx, city.city)
            pending = await self._count(tx, city, len(drafts))
            outcomes = await store_within_limit(tx, city, drafts, pending, now)
        if any(isinstance(o, Submitted) and not o.duplicate and o.conflict is None for o in outcomes):
            self._stored()
        return outcomes

    async def _store_new_shapes(self, drafts: Sequence[Draft], city: City) -> None:
        """Store shapes that nobody had before, at once: cities that send the same ones wait for no other's jobs.

        What no job has in the end does no harm, but those who by the last count may store no jobs store no shapes.
        """
        counted = self._counts.get(city.city)
        if counted is not None and counted.pending + len(drafts) > city.pending_jobs_max:
            return
        new = [draft for draft in drafts if draft.requirement_sha256 not in self._shapes]
        if not new:
            return
        async with self._database.city(city.city) as tx:
            await submissions.insert_shapes(tx, new)
        if len(self._shapes) > SHAPES_KNOWN_MAX:
            self._shapes.clear()
        self._shapes.update(draft.requirement_sha256 for draft in new)

    async def _count(self, tx: Connection, city: City, drafts: int) -> int:
        """Return how many jobs wait, by the last count and those since where that leaves half of the limit free.

        Under the submissions lock. Then it is more by those that have gone, and less by those that wait again.
        """
        known = self._counts.get(city.city)
        if known is not None and not self._recounts.due(city.city, self._seconds()):
            known = await submissions.count_on(tx, city.city, known)
            if known.pending + drafts <= city.pending_jobs_max // 2:
                self._counts[city.city] = known
                return known.pending
        began = self._seconds()
        exact = await submissions.count_pending(tx, city.city)
        self._recounts.counted(city.city, began, self._seconds())
        self._counts[city.city] = exact
        return exact.pending


async def store_within_limit(
    tx: Connection, city: City, drafts: Sequence[Draft], pending: int, now: datetime
) -> list[Outcome]:
    """Store the drafts in order until `city.pending_jobs_max` jobs wait; refuse new ones beyond, each by itself.

    Repeated submissions add nothing and are answered whatever the limit.
    """
    room = max(0, city.pending_jobs_max - pending)
    if len(drafts) <= room:
        return list(await submissions.insert_drafts(tx, city.city, drafts, now))
    keys = list(dict.fromkeys(d.request_key for d in drafts))
    in_use = await submissions.keys_in_use(tx, city.city, keys)
    new = [key for key in keys if key not in in_use]
    admitted = in_use.union(new[:room])
    stored = iter(await submissions.insert_drafts(tx, city.city, [d for d in drafts if d.request_key in admitted], now))
    pending += min(room, len(new))
    return [next(stored) if d.request_key in admitted else _full(city, pending) for d in drafts]


def _full(city: City, pending: int) -> TooManyPending:
    return TooManyPending(
        retry_after_seconds=FULL_RETRY_SECONDS,
        city=city.city,
        pending=pending,
        pending_jobs_max=city.pending_jobs_max,
    )


def _refuse(parcel: _Parcel, error: Exception) -> None:
    if not parcel.answer.done():
        parcel.answer.set_exception(error)


def _next_group(queue: deque[_Parcel]) -> list[_Parcel]:
    """Take the oldest parcels that fit into one transaction, at least one."""
    group = [queue.popleft()]
    drafts, size = len(group[0].drafts), group[0].size()
    while queue:
        drafts += len(queue[0].drafts)
        size += queue[0].size()
        if drafts > GROUP_DRAFTS_MAX or size > GROUP_BODY_CHARACTERS_MAX:
            break
        group.append(queue.popleft())
    return group
