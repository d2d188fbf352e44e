"""Expected starts after a round: what waits on is told when it is likely to start, and what came true is learned from.

Everything is kept in tables and read anew with every round, so a broker that leads next goes on where this one ended.
It happens after the round's transaction, and no lease waits for it. A wait is counted once for each quantile, by what
it was given first: late as soon as that time has passed, in time when its job is leased by then. A wait that ends
without a lease counts only for what had passed before. Of a promised job the promise is told instead.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import perf_counter
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from broker import metrics
from broker.ids import JobId
from broker.market.lead import Lead, NotLeader
from broker.market.snapshot import Prepared
from broker.store import expected_starts, leadership
from broker.store.database import Connection, Database
from broker.store.expected_starts import NOTHING, GivenStarts, StartDraft, Wait
from scheduler.decided import Decided
from scheduler.errors import BadPolicy
from scheduler.forecast import Forecast, Outcome, expected
from scheduler.reasons import Reason

BATCH: Final = 20_000
"""Waiting jobs that one transaction tells."""

STARTS_BY_WAITING: Final = frozenset({
    Reason.RESERVED,
    Reason.CARDS_SHORT,
    Reason.CPU_SHORT,
    Reason.MEMORY_SHORT,
    Reason.FABRIC_SHORT,
    Reason.POWER_SHORT,
    Reason.QUOTA_SHORT,
    Reason.OUTBID,
})  # fmt: skip
"""Reasons that pass when other work ends. Of a job that waits for another one, somebody has to change something first,
and nobody knows when."""

EXPECTED_SECONDS_MAX: Final = 365 * 86_400
"""What is further away is not told: it only says that there are next to no cards."""

CHANGE_SECONDS_MIN: Final = 60
CHANGE_PERCENT: Final = 5
"""Told anew is what has moved by more than a minute and by more than this part of the time that is left."""

Ints = NDArray[np.int64]

log = structlog.get_logger("expecting")


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of waits at one time, and what is to be kept of it."""

    outcomes: list[Outcome] = field(default_factory=list)
    ended: list[JobId] = field(default_factory=list)
    late_p50: list[JobId] = field(default_factory=list)
    late_p90: list[JobId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """How much was written."""

    told: int  # waiting jobs whose expected start is new or has moved
    learned: int  # outcomes
    millis: int


class Expecting:
    """The use case of the round loop that is about expected starts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after_round(self, lead: Lead, prepared: Prepared, decided: Decided, now: datetime) -> Told:
        """Learn from what came true by `now`, and tell what is expected of the jobs that the round left waiting.

        Raises: NotLeader: another broker leads.
        """
        began, now_s = perf_counter(), int(now.timestamp())
        waiting = await asyncio.to_thread(_waiting_on, prepared, decided)
        async with self._database.hub() as tx:
            if not await leadership.still_leads(tx, lead.holder, lead.epoch):
                raise NotLeader(lead)
            given = await expected_starts.read(tx)
            asked = await asyncio.to_thread(to_look_at, given, waiting, now_s)
            learned = what_came_true(given, await expected_starts.waits_of(tx, asked), now_s)
            forecast = _stored(await expected_starts.forecast(tx))
            if learned.outcomes:
                forecast = forecast.learned(_known(learned.outcomes, forecast))
                await expected_starts.keep_forecast(tx, forecast.to_json(), now)
            await _keep(tx, learned)
        for outcome in learned.outcomes:
            metrics.expected_start_came(outcome.quantile, late=outcome.late)
        told, nothing = await asyncio.to_thread(news, prepared, decided, forecast, given, now_s)
        for drafts in _batches(told):
            async with self._database.hub() as tx:
                await expected_starts.tell(tx, drafts)
        for jobs in _batches(nothing):
            async with self._database.hub() as tx:
                await expected_starts.expect_nothing(tx, jobs)
        millis = round((perf_counter() - began) * 1000)
        return Told(len(told) + len(nothing), len(learned.outcomes), millis)


def to_look_at(given: GivenStarts, waiting: Ints, now_s: int) -> list[JobId]:
    """Return the jobs of waits that may have ended, or have outlasted what they were given first.

    `waiting`: the jobs that wait on as far as the round knows, ascending.
    """
    job = _ints(given.job)
    late = np.zeros(job.size, dtype=bool)
    for first_s, known in ((given.first_p50_s, given.late_p50), (given.first_p90_s, given.late_p90)):
        late |= (_ints(first_s) < now_s) & ~np.array(known, dtype=bool)
    return [JobId(each) for each in job[late | ~_among(job, waiting)].tolist()]


def what_came_true(given: GivenStarts, waits: Mapping[JobId, Wait], now_s: int) -> Learned:
    """Return what there is to learn of these waits. What was late before is not learned again."""
    found = Learned()
    at_of = {job: at for at, job in enumerate(given.job)} if waits else {}
    for job, wait in waits.items():
        at = at_of[job]
        for quantile, first_s, known, late in (
            ("p50", given.first_p50_s[at], given.late_p50[at], found.late_p50),
            ("p90", given.first_p90_s[at], given.late_p90[at], found.late_p90),
        ):
            if known:
                continue
            if wait.waits and first_s < now_s:
                late.append(job)
                found.outcomes.append(Outcome(given.size[at], quantile, True))
            elif not wait.waits and wait.started_s is not None:
                found.outcomes.append(Outcome(given.size[at], quantile, wait.started_s > first_s))
        if not wait.waits:
            found.ended.append(job)
    return found


def news(
    prepared: Prepared, decided: Decided, forecast: Forecast, given: GivenStarts, now_s: int
) -> tuple[list[StartDraft], list[JobId]]:
    """Return what is to be told anew of the jobs that a round left waiting, and those of which nothing is expected now.

    Promised jobs are not among them: they keep what they were given, for it to come true or not.
    """
    job, size, p50_s, p90_s = _expectations(prepared, decided, forecast)
    known = _ints(given.job)
    at = np.minimum(np.searchsorted(known, job), max(known.size - 1, 0))
    new = ~_among(job, known)
    told_p50_s, told_p90_s = (
        np.where(new, NOTHING, _ints(of)[at] if known.size else NOTHING) for of in (given.p50_s, given.p90_s)
    )
    moved = np.zeros(job.size, dtype=bool)
    for now_told, last_told in ((p50_s, told_p50_s), (p90_s, told_p90_s)):
        enough = np.maximum((now_told - now_s) * CHANGE_PERCENT // 100, CHANGE_SECONDS_MIN)
        moved |= (np.abs(now_told - last_told) > enough) | (last_told <= now_s)
    tell = np.flatnonzero((p90_s != NOTHING) & moved)
    columns = (each[tell].tolist() for each in (job, size, p50_s, p90_s))
    nothing = job[(p90_s == NOTHING) & (told_p90_s != NOTHING)].tolist()
    return [StartDraft(JobId(j), *rest) for j, *rest in zip(*columns, strict=True)], [JobId(each) for each in nothing]


def _expectations(prepared: Prepared, decided: Decided, forecast: Forecast) -> tuple[Ints, Ints, Ints, Ints]:
    """Return job, class of size, P50 and P90 of each job that a round left waiting, ascending by job."""
    world = prepared.snapshot
    refused = decided.refusals
    at = _ints([world.job_index[name] for name in refused.names])
    by_waiting = refused.having(STARTS_BY_WAITING)
    found = expected(world, replace(prepared.horizon, promises=()), decided.plan.policy, forecast)
    tells = by_waiting & (found.p90_s[at] - world.taken_at_s <= EXPECTED_SECONDS_MAX)
    job = _ints([prepared.job(name) for name in refused.names])
    order = np.argsort(job)
    p50_s, p90_s = (np.where(tells, quantile[at], NOTHING)[order] for quantile in (found.p50_s, found.p90_s))
    return job[order], found.size[at][order], p50_s, p90_s


def _waiting_on(prepared: Prepared, decided: Decided) -> Ints:
    """Return the jobs that wait on after a round, ascending."""
    waits = [*decided.refusals.names, *(each.job_id for each in decided.promises)]
    return np.sort(_ints([prepared.job(job_id) for job_id in waits]))


def _stored(learned: str | None) -> Forecast:
    """Return the forecast that was kept; a new one when it cannot be read."""
    if learned is None:
        return Forecast()
    try:
        return Forecast.from_json(learned)
    except BadPolicy as error:
        log.warning("forecast_begun_anew", error=str(error))
        return Forecast()


def _known(outcomes: Sequence[Outcome], forecast: Forecast) -> list[Outcome]:
    """Return the outcomes whose class of size there is: one of another release may not be."""
    return [each for each in outcomes if each.size < len(forecast.p50)]


async def _keep(tx: Connection, learned: Learned) -> None:
    await expected_starts.set_late(tx, learned.late_p50, learned.late_p90)
    await expected_starts.forget(tx, learned.ended)


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _among(values: Ints, ascending: Ints) -> NDArray[np.bool_]:
    """Tell which values are among others."""
    if not ascending.size:
        return np.zeros(values.size, dtype=bool)
    return np.asarray(ascending[np.minimum(np.searchsorted(ascending, values), ascending.size - 1)] == values)


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
