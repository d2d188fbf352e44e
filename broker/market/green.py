"""Jobs that prefer green hours: they wait for them as long as that saves enough and costs them no deadline.

The rule, for a job that says `green: prefer`, from the moment on at which it may start:

1. It does not wait when some place that it may run in is green at that moment, or when nothing is asked there.
2. Else it waits for the first full hour in which a place that it may run in is green and asks less than the cheapest
   does now, by `saving_ppm` at least; asks are those of the rate cards that hold then, for what the programme counts.
   Scarcity is taken to stay what it is: nobody knows it ahead, so asks alone are compared.
3. It waits for `patience` at most, and for no more than half of the time that its `start_by` or `finish_by` leaves:
   when the green hour has come there is as much time left to find cards as it has waited.

So it is looked at again while it waits, and starts at once when a new rate card has made waiting useless. Once it is
let in it is a job like any other, whether it finds cards in that hour or not. A place is a cluster's model that the job
may use by hub, owner, origin, stack and model.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from broker.ids import JobId
from broker.job import GreenPreference, JobSpec, PriorityClass
from broker.market.admission import may_use
from broker.market.catalogue import Catalogues
from broker.store import green
from broker.store.catalogue_view import CatalogueView, PoolSize
from broker.store.database import Database
from broker.store.green import GreenView, GreenWait
from broker.worlds.green import HOUR, PPM, next_hour
from broker.worlds.rates import RateCard, ask_of, hour_of, in_force

BATCH_JOBS: Final = 1000
_FRESH_SECONDS: Final = 3.0


@dataclass(slots=True)
class Place:
    """A model in a cluster: when it is green, and what a card of it asks when."""

    green_hours: tuple[int, ...]
    cards: Sequence[RateCard]
    programme_milli_tflops: int
    _asks: dict[datetime, int] = field(default_factory=dict)

    def green(self, at: datetime) -> bool:
        """Tell whether its hub is green at a time."""
        return hour_of(at) in self.green_hours

    def price(self, at: datetime, speed_ppm: int) -> int:
        """Return the ask of a time for one PFLOPS-hour with a build's speed, micro-yuan; 0: nothing is asked."""
        if at not in self._asks:
            self._asks[at] = ask_of(in_force(self.cards, at), self.green_hours, at).micro_yuan_per_card_hour
        return self._asks[at] * PPM * PPM // max(1, self.programme_milli_tflops * speed_ppm)


Choice = tuple[Place, int]
"""A place that a job may run in, and the speed of its build there in millionths."""


def waits_until(begin: datetime, limit: datetime, choices: Sequence[Choice], saving_ppm: int) -> datetime | None:
    """Return the green hour that a job waits for; None: it does not wait. See the rule above.

    Args:
        begin: from when on it may start.
        limit: it does not wait for an hour that begins later.
        choices: where it may run.
        saving_ppm: how much less it has to cost, in millionths.
    """
    if any(place.green(begin) for place, _ in choices):
        return None
    least = min((place.price(begin, speed) for place, speed in choices), default=0)
    at = next_hour(begin)
    while least and at <= limit:
        asked = min((place.price(at, speed) for place, speed in choices if place.green(at)), default=None)
        if asked is not None and asked * PPM <= least * (PPM - saving_ppm):
            return at
        at += HOUR
    return None


def limit_of(spec: JobSpec, begin: datetime, patience: timedelta) -> datetime:
    """Return until when a job waits for green hours that may start from `begin` on."""
    if spec.latest_start is None:
        return begin + patience
    return begin + min(patience, (spec.latest_start - begin) / 2)


class GreenWaits:
    """Knows for which green hours jobs wait: for how long at most, and what that has to save."""

    def __init__(self, database: Database, catalogues: Catalogues, patience_hours: int, saving_percent: int) -> None:
        self._database = database
        self._catalogues = catalogues
        self._patience = timedelta(hours=patience_hours)
        self._saving_ppm = saving_percent * PPM // 100
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")  # on the event loop's clock
        self._places: Mapping[tuple[str, str], Place] = {}

    async def of_new(self, specs: Sequence[JobSpec], now: datetime) -> list[datetime | None]:
        """Return for each new job the green hour that it waits for, None where it does not."""
        if not any(spec.green is GreenPreference.PREFER for spec in specs):
            return [None] * len(specs)
        view, places = (await self._catalogues.current()).view, await self._current(now)
        return [self._until(spec, spec.priority, now, now, view, places) for spec in specs]

    async def look_again(self, now: datetime) -> int:
        """Move, or let in, the jobs that wait for a green hour no more; return how many those were."""
        view, places = (await self._catalogues.current()).view, await self._current(now)
        changed, after = 0, JobId(0)
        while True:
            async with self._database.hub() as tx:
                waiting = await green.waiting(tx, after, BATCH_JOBS)
            found = await asyncio.to_thread(self._moved, waiting, now, view, places)
            if found:
                async with self._database.hub() as tx:
                    changed += await green.move(tx, found, now)
            if len(waiting) < BATCH_JOBS:
                return changed
            after = waiting[-1].job

    def _moved(
        self, waiting: Iterable[GreenWait], now: datetime, view: CatalogueView, places: Mapping[tuple[str, str], Place]
    ) -> list[tuple[JobId, datetime | None]]:
        found = [
            (each.job, self._until(each.spec, each.priority, each.submitted_at, now, view, places), each)
            for each in waiting
        ]
        return [(job, until or each.spec.earliest_start) for job, until, each in found if until != each.until]

    def _until(
        self,
        spec: JobSpec,
        priority: PriorityClass,
        since: datetime,
        now: datetime,
        view: CatalogueView,
        places: Mapping[tuple[str, str], Place],
    ) -> datetime | None:
        if spec.green is not GreenPreference.PREFER or priority in (PriorityClass.URGENT, PriorityClass.EMERGENCY):
            return None
        first = max(since, spec.earliest_start or since)
        limit = limit_of(spec, first, self._patience)
        return waits_until(max(now, first), limit, _choices(spec, view, places), self._saving_ppm)

    async def _current(self, now: datetime) -> Mapping[tuple[str, str], Place]:
        async with self._lock:
            asked = asyncio.get_running_loop().time()
            if asked - self._read_at >= _FRESH_SECONDS:
                async with self._database.hub() as tx:
                    self._places = _places(await green.read(tx, now))
                self._read_at = asked
            return self._places


def _places(view: GreenView) -> dict[tuple[str, str], Place]:
    return {
        key: Place(view.green_hours.get(view.hub_of.get(key[0], ""), ()), cards, view.programme_milli_tflops[key[1]])
        for key, cards in view.cards.items()
    }


def _choices(spec: JobSpec, view: CatalogueView, places: Mapping[tuple[str, str], Place]) -> list[Choice]:
    pools: dict[tuple[str, str], PoolSize] = {(pool.cluster, pool.model): pool for pool in view.pools}
    return [
        (places[key], _speed(spec, pool.model, view))
        for key, pool in pools.items()
        if key in places and may_use(spec, pool, view)
    ]


def _speed(spec: JobSpec, model: str, view: CatalogueView) -> int:
    stack = view.stack_of_model.get(model)
    return max(b.speed_ppm for b in spec.builds if b.stack == stack and (not b.models or model in b.models))
