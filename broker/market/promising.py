"""From what a round decided of promises to what is stored of them: rows that stand, and what became of the others.

A promise is kept by the commit, as a lease is. What was leased beside the round meanwhile knew nothing of the promises
that the round made or put elsewhere: such a promise is looked at again here, before anybody has heard of it. A promised
gang that was to start and was handed back keeps the promise that it had; the next round looks at it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from broker.ids import JobId, RoundId, job_text
from broker.lifecycle import PromiseCause, PromiseFate
from broker.market.ahead import promise_row
from broker.market.snapshot import Prepared
from broker.store.promises import PromiseEntry, PromiseRow
from scheduler.decide import start
from scheduler.decided import Decided
from scheduler.horizon import NEVER, Cause, Fate, News, Promise
from scheduler.plan import Placement
from scheduler.profile import Profile
from scheduler.promises import anew
from scheduler.snapshot import Snapshot

LATE_AFTER_SECONDS: Final = 30
"""A round takes its time: what starts so long after its promised time has still been kept."""

CAUSE: Final = {
    Cause.NODES_GONE: PromiseCause.NODES_GONE,
    Cause.POWER_SHORT: PromiseCause.POWER_SHORT,
    Cause.QUOTA_SHORT: PromiseCause.QUOTA_SHORT,
}

Leased = Sequence[tuple[Snapshot, Placement]]
"""What was leased beside a round while it was planned: placements in its world, with the jobs that they are of."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a commit writes of promises."""

    rows: tuple[PromiseRow, ...]  # all that stand, by start
    entries: tuple[PromiseEntry, ...]  # what became of promises


def kept(
    prepared: Prepared,
    decided: Decided,
    started: Sequence[Placement],
    leased: Leased,
    *,
    margin_seconds: int,
    round_id: RoundId,
    at: datetime,
) -> Kept:
    """Return what is to be stored of promises when these placements of the decision have been committed.

    Args:
        leased: what the fast lane leased since the round's world was read.
        margin_seconds: of the policy: how long after its end a lease may hold its cards.
        round_id, at: of the round, for promises that are made.
    """
    begun = {each.job_id for each in started}
    handed_back = {each.job_id for each in decided.news if each.fate is Fate.STARTED} - begun
    before = {job_text(row.job): row for row in prepared.view.promises}
    again = tuple(each for each in prepared.horizon.promises if each.job_id in handed_back)
    promises, news = decided.promises, decided.news
    if leased:
        promises, news = beside(prepared, decided, started, leased, again, margin_seconds)
    made = set(decided.made)
    rows = [before[each.job_id] for each in again]
    for each in promises:
        since, by = (at, round_id) if each.job_id in made else (before[each.job_id].made_at, before[each.job_id].round)
        rows.append(promise_row(each, prepared.waiting[each.job_id], prepared.pools, prepared.nodes, since, by))
    entries = [*_told(news, {name: row.job for name, row in before.items()}, begun), *_never_kept(prepared)]
    entries += [_made(prepared, each) for each in promises if each.job_id in made]
    return Kept(tuple(sorted(rows, key=lambda row: (row.start_s, row.job))), tuple(entries))


def beside(
    prepared: Prepared,
    decided: Decided,
    started: Sequence[Placement],
    leased: Leased,
    again: Collection[Promise],
    margin_seconds: int,
) -> tuple[tuple[Promise, ...], tuple[News, ...]]:
    """Return promises and news of a decision as they are beside what was leased while it was planned.

    A promise that was made, and has no room any more where it was, takes the next time that has; without one it is not
    made. One that stood before was respected where it was then: put elsewhere, it may have to move, and that is told.
    """
    world, made = prepared.snapshot, set(decided.made)
    profile = Profile(world, prepared.horizon, margin_seconds)
    start(profile, world, started, margin_seconds)
    for jobs, placement in leased:
        start(profile, jobs, [placement], margin_seconds)
    for promise in again:
        profile.take(promise)
    finish_by = dict(zip(world.job_id, world.job_finish_by_s.tolist(), strict=True))
    news = {each.job_id: each for each in decided.news}
    found = []
    for promise in sorted(decided.promises, key=lambda each: (each.start_s, each.job_id)):
        now = promise if profile.fits_at(promise) else anew(profile, promise, world.taken_at_s + 1)
        is_new = promise.job_id in made
        # the margin after its end is no longer the gang's own
        if is_new and now is not None and 0 <= finish_by[promise.job_id] < now.end_s - margin_seconds:
            now = None
        if now is not None:
            profile.take(now)
            found.append(replace(now, promised_s=now.start_s) if is_new else now)
        if not is_new and now is not promise:
            news[promise.job_id] = _moved(news[promise.job_id], now)
    return tuple(found), tuple(news.values())


def _moved(news: News, now: Promise | None) -> News:
    if now is None:
        return replace(news, fate=Fate.BROKEN, start_s=NEVER, cause=Cause.NODES_GONE)
    late = now.start_s > news.promised_s
    fate, cause = (Fate.MOVED, news.cause or Cause.NODES_GONE) if late else (Fate.KEPT, None)
    return replace(news, fate=fate, start_s=now.start_s, cause=cause)


def _told(news: Iterable[News], jobs: Mapping[str, JobId], begun: Collection[str]) -> Iterator[PromiseEntry]:
    for each in news:
        job, cause = jobs[each.job_id], None if each.cause is None else CAUSE[each.cause]
        if each.fate is Fate.STARTED and each.job_id in begun:
            late = each.start_s > each.promised_s + LATE_AFTER_SECONDS
            fate = PromiseFate.LATE if late else PromiseFate.KEPT
            yield PromiseEntry(job, fate, each.promised_s, each.start_s)
        elif each.fate is Fate.MOVED:
            yield PromiseEntry(job, PromiseFate.MOVED, each.promised_s, each.start_s, cause)
        elif each.fate is Fate.BROKEN:
            yield PromiseEntry(job, PromiseFate.BROKEN, each.promised_s, None, cause)
        elif each.fate is Fate.GONE:
            yield PromiseEntry(job, PromiseFate.GONE, each.promised_s)


def _never_kept(prepared: Prepared) -> Iterator[PromiseEntry]:
    """Yield what became of rows that no horizon could hold: their pool has no nodes, or their job does not wait."""
    known = {each.job_id for each in prepared.horizon.promises}
    for row in prepared.view.promises:
        if job_text(row.job) not in known:
            if row.stands:
                yield PromiseEntry(row.job, PromiseFate.BROKEN, row.start_s, None, PromiseCause.NODES_GONE)
            else:
                yield PromiseEntry(row.job, PromiseFate.GONE, row.start_s)


def _made(prepared: Prepared, promise: Promise) -> PromiseEntry:
    return PromiseEntry(prepared.job(promise.job_id), PromiseFate.MADE, None, promise.start_s)
