"""From what a round decided of promises to what is stored of them: rows that stand, and what became of the others.

A promise is kept by the commit, as a lease is. What was leased beside the round meanwhile knew nothing of the promises
that the round made or put elsewhere: such a promise is looked at again here, before anybody has heard of it. A promised
gang that was to start and was handed back keeps the promise that it had; the next round looks at it. So does one for
which others were to be stopped that run on: what it was promised instead, or for the first time, it is not. What was
promised beside that is looked at again as well.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from broker.ids import JobId, RoundId, job_text, parse_lease
from broker.lifecycle import PromiseCause, PromiseFate, StopClaim
from broker.market.ahead import Places, promise_of, promise_row
from broker.market.snapshot import Prepared
from broker.store.promises import PromiseEntry, PromiseRow
from broker.store.stops import Stop
from scheduler.decide import start, start_leased
from scheduler.decided import Decided
from scheduler.horizon import NEVER, Cause, Fate, News, Promise
from scheduler.plan import Placement
from scheduler.profile import Profile
from scheduler.promises import anew, own_time
from scheduler.reclaim import Claim, with_stops
from scheduler.snapshot import Snapshot

LATE_AFTER_SECONDS: Final = 30
"""A round takes its time: what starts so long after its promised time has still been kept."""

CAUSE: Final = {
    Cause.NODES_GONE: PromiseCause.NODES_GONE,
    Cause.POWER_SHORT: PromiseCause.POWER_SHORT,
    Cause.QUOTA_SHORT: PromiseCause.QUOTA_SHORT,
}

CLAIM: Final = {
    Claim.GUARANTEE: StopClaim.GUARANTEE,
    Claim.TIER: StopClaim.TIER,
    Claim.DEFRAGMENTATION: StopClaim.DEFRAGMENTATION,
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
    not_cleared: Collection[str] = (),
    accepted: Sequence[PromiseRow] = (),
) -> Kept:
    """Return what is to be stored of promises when these placements of the decision have been committed.

    Args:
        leased: what the fast lane leased since the round's world was read.
        margin_seconds: of the policy: how long after its end a lease may hold its cards.
        round_id, at: of the round, for promises that are made.
        not_cleared: jobs for which not everything is stopped that the round wanted to stop.
        accepted: starts that accepted quotes were promised since; the decision stands beside them.
    """
    begun = {each.job_id for each in started}
    handed_back = {each.job_id for each in decided.news if each.fate is Fate.STARTED} - begun | set(not_cleared)
    before = {job_text(row.job): row for row in prepared.view.promises}
    again = tuple(each for each in prepared.horizon.promises if each.job_id in handed_back)
    decided = without(decided, handed_back)
    promises, news = decided.promises, decided.news
    if promises and (leased or again or not_cleared):
        others = (*again, *promises_of(prepared, accepted))
        promises, news = beside(prepared, decided, started, leased, others, margin_seconds)
    made = set(decided.made)
    rows = [*(before[each.job_id] for each in again), *accepted]
    for each in promises:
        since, by = at, round_id
        if each.job_id not in made:
            since, by = before[each.job_id].made_at, before[each.job_id].round
        elif each.promised_s != each.start_s:  # others are stopped for it: nobody has heard of the later start before
            each = replace(each, promised_s=each.start_s)
        rows.append(promise_row(each, prepared.waiting[each.job_id], prepared.pools, prepared.nodes, since, by))
    entries = [*_told(news, {name: row.job for name, row in before.items()}, begun), *_never_kept(prepared)]
    entries += [_made(prepared, each) for each in promises if each.job_id in made]
    return Kept(tuple(sorted(rows, key=lambda row: (row.start_s, row.job))), tuple(entries))


def promises_of(prepared: Prepared, rows: Iterable[PromiseRow]) -> list[Promise]:
    """Return promises of rows that the round did not know, in its world; without those whose pool has no node there."""
    places = Places(prepared.pools, prepared.nodes)
    found = (promise_of(row, places) for row in rows if row.pool_id in places.pool)
    return [each for each in found if each is not None]


def stops_of(prepared: Prepared, decided: Decided, found: Kept, not_cleared: Collection[str]) -> list[Stop]:
    """Return the leases to stop: those of gangs that still have the start that they are stopped for."""
    promised = {each.job_id: each.start_s for each in decided.promises}
    stands = {job_text(row.job) for row in found.rows if row.start_s <= promised.get(job_text(row.job), NEVER)}
    return [
        Stop(lease, CLAIM[each.claim], prepared.job(each.job_id), each.lost_card_seconds)
        for each in decided.stops
        if each.job_id in stands
        and each.job_id not in not_cleared
        and (lease := parse_lease(each.lease_id)) is not None
    ]


def without(decided: Decided, jobs: Collection[str]) -> Decided:
    """Return the decision without what it promises these jobs, and tells of them."""
    return replace(
        decided,
        promises=tuple(each for each in decided.promises if each.job_id not in jobs),
        made=tuple(job_id for job_id in decided.made if job_id not in jobs),
        news=tuple(each for each in decided.news if each.job_id not in jobs),
        stops=tuple(each for each in decided.stops if each.job_id not in jobs),
    )


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
    profile = Profile(world, with_stops(prepared.horizon, decided.stops, world.taken_at_s), margin_seconds)
    start(profile, world, started, margin_seconds)
    start_leased(profile, leased, margin_seconds)
    for promise in again:
        profile.take(promise)
    finish_by = dict(zip(world.job_id, world.job_finish_by_s.tolist(), strict=True))
    before = {each.job_id: each for each in prepared.horizon.promises}
    news = {each.job_id: each for each in decided.news}
    found = []
    for promise in sorted(decided.promises, key=lambda each: (each.start_s, each.job_id)):
        is_new = promise.job_id in made
        now: Promise | None = promise
        if not fits(profile, promise, None if is_new else before[promise.job_id]):
            now = anew(profile, promise, world.taken_at_s + 1)
        # the margin after its end is no longer the gang's own
        if is_new and now is not None and 0 <= finish_by[promise.job_id] < now.end_s - margin_seconds:
            now = None
        if now is not None:
            profile.take(now)
            found.append(replace(now, promised_s=now.start_s) if is_new else now)
        if not is_new and now is not promise:
            news[promise.job_id] = moved(news[promise.job_id], now)
    return tuple(found), tuple(news.values())


def fits(profile: Profile, promise: Promise, before: Promise | None) -> bool:
    """Return whether a promise can be made, or stand where the round has put it, beside all that is in the profile.

    `before`: as it stood before the round; None: it is new. One that kept its time keeps its power too, be there as
    much or not: the round that it is due in looks at that.
    """
    own = None if before is None else own_time(before, profile.now_s)
    return profile.has_nodes(promise) and profile.power.has_room(promise, instead_of=own)


def moved(news: News, now: Promise | None) -> News:
    """Return the news of a promise that is put elsewhere, or nowhere, than the round thought."""
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
