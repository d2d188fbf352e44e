"""The fast lane beside the rounds: a job that arrives is leased at once where the last round's prices allow it.

A *view* is a world as a round read it, with what was leased here since. Nodes that are promised or will close are open
in it to what ends before. While the round plans, the room of its best gangs is set aside; when it is committed, the
view takes over what it started, and its prices; where there are promises or zones the view is `outdated` instead, and
the world is read anew. While a world is read for a round the view before goes on, and the new one takes over what was
leased meanwhile (`mark`, `go_on`); where that cannot be told, and for a commit, the lane holds `paused`, so view and
tables never disagree about what this broker has leased. What is freed meanwhile is seen by the next view. Jobs that are
not placed stay as they are: the next round looks at them.

While nobody finds room, of those who arrive the oldest of each kind is looked at: where it finds none, nobody like it
does (decision 31).

Among pools and nodes that cost a job the same, the placer goes by the usual mix (`recent.py`), made anew for each view.

Commits go the way of a round's: the lead is checked, operators' limits are unchanged since the view, jobs and cards are
locked and looked at again. Power and quotas are the view's to keep: nobody leases but the leader.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from time import perf_counter
from typing import Final

from broker import metrics
from broker.ids import JobId, job_text, lease_text
from broker.market import quoted
from broker.market.beside import Beside, Settled, without_begun
from broker.market.fitting import still_fitting
from broker.market.funding import without_short
from broker.market.holding import STANDARD, Holding
from broker.market.lead import Lead, NotLeader
from broker.market.lease_prices import lease_prices
from broker.market.placing_view import Mark, View, placer_of, take_over
from broker.market.policies import Policies
from broker.market.recent import Recent
from broker.market.snapshot import Prepared, Shapes, arrived
from broker.market.waits import count_waits
from broker.store import leadership, prepaid, promises, rounds, snapshots
from broker.store.database import Connection, Database
from broker.store.rounds import LeaseDraft
from broker.store.snapshots import WaitingRow
from scheduler.decided import Decided
from scheduler.placer import Placed, Placer
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Snapshot

JOBS_PER_COMMIT: Final = 200
JOBS_PER_COMMIT_MAX: Final = 1000
"""Jobs that a step looks at, with the first and at most: see `jobs_of_next`."""
STEP_SECONDS: Final = 1.0
"""A step is to take about as long: the lead is not prolonged, nor a quote accepted, before its commit."""
JOBS_LOOKED_AT_MAX: Final = 5000
KINDS_LOOKED_AT_MAX: Final = 1000
"""Jobs, and kinds of them, that are passed by together while nobody finds room."""


class Overtaken(Exception):
    """A quote was accepted since the view's world was read: the next view leaves its nodes alone, this one does not."""


class Placing:
    """Use cases of the fast lane. Without a committed round of this broker's lead there are no prices and no view."""

    def __init__(
        self,
        database: Database,
        *,
        policy: Policy,
        wake_cluster: Callable[[str], None],
        enabled: bool,
        policies: Policies | None = None,
        holding: Holding = STANDARD,
    ) -> None:
        """`policy`: of the scheduler; `policies`: signs the placement policies of leases, without it they have none.

        `holding`: holds money for leases of cities that pay in advance.
        """
        self._database, self._policy = database, policy
        self._holding, self._policies = holding, policies
        self.wake_cluster = wake_cluster
        self._enabled = enabled
        self._turn = asyncio.Lock()
        self._recent = Recent()
        self._settled: Settled | None = None
        self._view: View | None = None
        self._outdated = False
        self._judged: JobId | None = None  # jobs up to here were looked at, here or by the round before the first view
        self._again: frozenset[JobId] = frozenset()  # judged jobs to look at once more
        self._jobs_per_commit = JOBS_PER_COMMIT

    @property
    def at_work(self) -> bool:
        """Whether there is a view, so that who arrives is looked at without a round."""
        return self._view is not None and not self._view.over

    @property
    def full(self) -> bool:
        """Whether many were looked at lately, and nobody found room."""
        return self._view is not None and self._view.full

    @property
    def outdated(self) -> bool:
        """Whether the last commit left no view only because the world has to be read anew for one."""
        return self._enabled and self._outdated

    def needs_round(self, lead: Lead) -> bool:
        """Tell whether there are no prices yet, as no round of this lead was committed, so that nothing is leased."""
        return self._enabled and (self._settled is None or self._settled.lead != lead)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Lease nothing here for as long as the block runs."""
        async with self._turn:
            yield

    def mark(self) -> Mark | None:
        """Return where the lane stands, before the world is read beside it; None: that needs it to be `paused`."""
        view = self._view
        if view is not None and (view.over or view.world is not view.source):
            return None  # one that is cut into zones does not stand for another
        return Mark(view, 0 if view is None else len(view.leased), self._judged, self._again)

    async def go_on(self, mark: Mark, lead: Lead, world: Prepared, digest: str, *, anew: bool) -> bool:
        """Go on with a world that was read since the mark, as `begin` does, and with what was leased meanwhile.

        Return False where that cannot be: then the world has to be read once more, within `paused`.

        Args:
            digest: of the world; the view that is there stays when it is of the same.
            anew: not even then.
        """
        view = await self._made(lead, world, digest, anew=anew)
        async with self._turn:
            if self._view is not mark.view or (mark.view is not None and mark.view.over):
                return False
            if view is None:
                return True
            if mark.view is not None and not await asyncio.to_thread(take_over, view, mark):
                return False
            if mark.judged is not None:  # who found no room since then did so by the view before
                self._judged, self._again = mark.judged, self._again | mark.again
            self._begin(view)
            return True

    async def begin(self, lead: Lead, world: Prepared, digest: str, *, anew: bool = False) -> None:
        """Look at the world that a round has read, and set room aside for its best gangs. Only within `paused`.

        `digest` and `anew`: as for `go_on`.
        """
        view = await self._made(lead, world, digest, anew=anew)
        if view is not None:
            self._begin(view)

    async def _made(self, lead: Lead, world: Prepared, digest: str, *, anew: bool) -> View | None:
        """Return a view of this world; None: the one that is there stays, or without prices there is none."""
        settled, there = self._settled, self._view
        if not self._enabled or settled is None or settled.lead != lead:
            self._view = self._judged = None
            return None
        same = there is not None and (there.digest, there.rules_version) == (digest, world.rules_version)
        self._outdated = False
        if there is not None and same and not (there.over or anew or there.leased):
            return None  # were anything leased in it, an equal world would say that this has ended
        cut, zoned, placer = await asyncio.to_thread(placer_of, world, self._policy, settled.prices, self._recent)
        return View(lead, settled.round, world, cut, zoned, digest, placer, settled.prices)

    def _begin(self, view: View) -> None:
        self._view = view
        if self._judged is None:
            self._judged = max((job.job for job in view.source.waiting.values()), default=JobId(0))

    @asynccontextmanager
    async def committing(
        self, world: Prepared, decided: Decided, prices: tuple[OpeningPrice, ...]
    ) -> AsyncIterator[Beside]:
        """Lease nothing here while the block commits a round that was planned on this world. `prices`: of its plan."""
        async with self._turn:
            view = self._view if self._view is not None and self._view.source is world else None
            within: Sequence[Placement] = decided.placements
            if view is not None:
                margin = self._policy.lease_end_margin_seconds
                within = await asyncio.to_thread(view.within_limits, without_begun(decided, view), margin)
            self._view = None  # until it is known what was committed
            beside = Beside(world, decided, prices, within, view)
            yield beside
            self._settled, self._view, self._outdated = beside.settled, beside.view, beside.outdated

    def look_again_at(self, jobs: Iterable[JobId]) -> None:
        """Judge these jobs as if they had just arrived: a round wanted to start them, and their nodes were taken."""
        if self._enabled:
            self._again |= frozenset(jobs)

    def drop(self) -> None:
        """Lease nothing here until the next view: its round came to nothing, or this broker does not lead."""
        self._view = None

    async def place_arrived(self, now: datetime, *, commits_max: int | None = None) -> int:
        """Lease what has arrived and may start at once. Return how many jobs that was.

        Ends when nobody is left to look at, or after `commits_max` transactions.
        """
        began, placed = perf_counter(), 0
        for _ in count() if commits_max is None else range(commits_max):
            async with self._turn:
                view = self._view
                if view is None or view.over:
                    return placed
                at = now + timedelta(seconds=perf_counter() - began)
                try:
                    leased, more = await self._place_some(view, at)
                except (NotLeader, Overtaken):
                    view.over = True
                    return placed
                except Exception:  # what of it was committed is not known, so it counts
                    view.over, self._jobs_per_commit = True, JOBS_PER_COMMIT
                    raise
            placed += leased
            if not more:
                break
        return placed

    async def _pass_by(self, view: View, now: datetime) -> bool:
        """Pass by those who find no room, by the oldest of each kind; return whether there may be more to look at.

        Leases nothing: from the first of whom it cannot be told each is looked at again.
        """
        judged, again = self._judged or JobId(0), self._again
        quoted_jobs = (job for of in (view.world.view.held, view.world.view.pinned) for job in of)
        alone = [job for job in quoted_jobs if job > judged or job in again]  # what they pay is their own
        async with self._database.hub() as tx:
            came = await snapshots.arrived_by_kind(
                tx, judged, now, JOBS_LOOKED_AT_MAX, again, alone=alone, kinds_max=KINDS_LOOKED_AT_MAX
            )
            if not came.rows:
                self._again -= again
                return False
            new = _not_placed_before(view, came.rows)
            payable = await _payable(tx, view.world, new, came.shapes, now)
        arrivals = arrived(view.world, payable, came.shapes, now)
        found = await asyncio.to_thread(view.placer.first_with_room, arrivals.snapshot)
        stops = [row.job for row in came.rows if row not in new] if len(new) < len(came.rows) else []
        if found is not None:
            stops.append(arrivals.job(found))
        until = min(stops) - 1 if stops else came.last
        view.full = not stops
        self._judged = max(judged, JobId(until))
        self._again -= {job for job in again if job <= until}
        return came.more or not view.full

    async def _place_some(self, view: View, now: datetime) -> tuple[int, bool]:
        """Return how many jobs were leased, all in one transaction, and whether there may be more to look at."""
        if view.full:
            return 0, await self._pass_by(view, now)
        began, judged, again = perf_counter(), self._judged or JobId(0), self._again
        async with self._database.hub() as tx:
            jobs_max = min(self._jobs_per_commit, JOBS_PER_COMMIT_MAX)
            came = await snapshots.arrived(tx, judged, now, jobs_max, again)
            if not came.rows:
                self._again -= again
                return 0, False
            payable = await _payable(tx, view.world, _not_placed_before(view, came.rows), came.shapes, now)
            arrivals = arrived(view.world, payable, came.shapes, now)
            placements = await asyncio.to_thread(_placements, view.placer, arrivals.snapshot)
            fitting: list[tuple[Placement, LeaseDraft]] = []
            drafts: list[LeaseDraft] = []
            if placements:
                await promises.share_ground(tx)
                if await promises.any_beside(tx, view.promised):
                    raise Overtaken
                if not await leadership.still_leads(tx, view.lead.holder, view.lead.epoch):
                    raise NotLeader(view.lead)
                fitting = await still_fitting(tx, arrivals, placements, now, view.named)
                price_of = lease_prices(arrivals, [each for each, _ in fitting], view.prices)
                priced = [replace(draft, price=price_of[each.job_id]) for each, draft in fitting]
                priced = await quoted.at_quoted_prices(tx, priced)
                starting = [each for each, _ in fitting]
                fitting = await self._holding.cover(tx, list(zip(starting, priced, strict=True)), now)
                drafts = [draft for _, draft in fitting]
                at = now + timedelta(seconds=perf_counter() - began)
                leases = await rounds.offer(tx, view.round, drafts, at)
                if self._policies is not None:
                    await self._policies.sign(tx, leases.values())
                whole = arrivals if view.world is view.source else arrived(view.source, payable, came.shapes, now)
                view.leased += [(whole.snapshot, view.zoned.unzoned(placement)) for placement, _ in fitting]
                view.leases += [lease_text(leases[draft.job]) for draft in drafts]
        self._judged = max(judged, came.last)
        self._again -= {job for job in again if job <= came.last}
        self._jobs_per_commit = jobs_of_next(jobs_max, len(drafts), perf_counter() - began, more=came.more)
        if fitting:
            self._recent.leased(arrivals.snapshot, [placement.job_id for placement, _ in fitting])
        for cluster in {draft.cluster for draft in drafts}:
            self.wake_cluster(cluster)
        count_waits(drafts, now + timedelta(seconds=perf_counter() - began))
        submitted = {row.job: row.submitted_at for row in payable}
        for draft in drafts:
            metrics.placed_at_once((now - submitted[draft.job]).total_seconds() + perf_counter() - began)
        view.full = not placements and came.more
        return len(drafts), came.more


def jobs_of_next(jobs: int, leased: int, seconds: float, *, more: bool) -> int:
    """Return how many jobs the next step looks at, after one of so many that took so long.

    Twice as many while most are leased, more have come and there is time: half of a step's cost is the same for few.
    """
    if not more or 2 * leased <= jobs:
        return JOBS_PER_COMMIT
    if seconds > STEP_SECONDS:
        return max(jobs // 2, JOBS_PER_COMMIT)
    return min(2 * jobs, JOBS_PER_COMMIT_MAX) if 2 * seconds <= STEP_SECONDS else jobs


def _not_placed_before(view: View, rows: Sequence[WaitingRow]) -> list[WaitingRow]:
    """Return the others: who was placed in this view and waits again, as that lease has ended, is left to the round."""
    begun = view.begun
    named = ((row, job_text(row.job)) for row in rows)
    return [row for row, name in named if name not in begun and not view.placer.has_placed(name)]


def _placements(placer: Placer, arrivals: Snapshot) -> list[Placement]:
    return [each.placement for each in placer.place(arrivals) if isinstance(each, Placed)]


async def _payable(
    tx: Connection, world: Prepared, rows: Sequence[WaitingRow], shapes: Shapes, now: datetime
) -> Sequence[WaitingRow]:
    """Return the jobs whose payers have enough by what is on their accounts now, as far as that can be told."""
    if not world.view.prepaid:  # should a city pay in advance since, the commit sees to it
        return rows
    there = await prepaid.balances(tx)
    alone = replace(world.view, waiting=tuple(rows), shapes=shapes, prepaid=there, promises=(), make_room_for=())
    return without_short(alone, now)[0].waiting
