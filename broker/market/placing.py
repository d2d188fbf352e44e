"""The fast lane beside the rounds: a job that arrives is leased at once where the last round's prices allow it.

A *view* is a world as a round read it, with what was leased here since. While the round plans, the room of its best
gangs is set aside; when it is committed, the view takes over what it started, and its prices. Who reads the world for a
round, or commits one, holds `paused`, so view and tables never disagree about what this broker has leased; what is
freed meanwhile is seen by the next view. Jobs that are not placed stay as they are: the next round looks at them.

Among pools and nodes that cost a job the same, the placer goes by the usual mix (`recent.py`), made anew for each view.

Commits go the way of a round's: the lead is checked, operators' limits are unchanged since the view, jobs and cards are
locked and looked at again. Power and quotas are the view's to keep: nobody leases but the leader.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

from broker import metrics
from broker.ids import JobId, RoundId
from broker.market.fitting import CardName, still_fitting
from broker.market.lead import Lead, NotLeader
from broker.market.policies import Policies
from broker.market.recent import Recent
from broker.market.snapshot import Prepared, arrived
from broker.store import leadership, rounds, snapshots
from broker.store.database import Database
from broker.store.rounds import LeaseDraft
from scheduler.ground import DoesNotFit
from scheduler.placer import Placed, Placer, large_gangs, last_prices
from scheduler.plan import Placement, Plan
from scheduler.policy import OpeningPrice, Policy

JOBS_PER_COMMIT_MAX: Final = 200
GANGS_SET_ASIDE: Final = 8
GANGS_JUDGED_MAX: Final = 2_000


@dataclass(slots=True)
class _View:
    """A world as a round read it, with what was leased here since."""

    lead: Lead
    round: RoundId  # the last one committed: leases refer to it
    world: Prepared
    digest: str  # of the world
    placer: Placer
    newest: JobId  # jobs up to here are known to the round that read the world, or were decided here
    named: dict[CardName, int] = field(default_factory=dict)  # cards that were split here


@dataclass(frozen=True, slots=True)
class _Settled:
    """What the last committed round leaves to the views after it."""

    lead: Lead
    round: RoundId
    prices: tuple[OpeningPrice, ...]


class Beside:
    """What the fast lane says to a round's commit, and hears of it."""

    def __init__(self, within: Sequence[Placement], world: Prepared, plan: Plan, view: _View | None) -> None:
        self.within_limits = within
        """The plan's placements that keep power and quotas beside what the fast lane leased meanwhile."""
        self.settled: _Settled | None = None
        self.view: _View | None = None
        self._world, self._plan, self._before = world, plan, view

    async def settle(self, lead: Lead, round_id: RoundId, started: Sequence[Placement]) -> None:
        """Take over what was committed: leases, prices, the round's number."""
        self.settled = _Settled(lead, round_id, last_prices(self._world.snapshot, self._plan))
        if self._before is None:
            return
        try:
            await asyncio.to_thread(self._before.placer.settle, self._world.snapshot, self._plan, started)
        except DoesNotFit:  # a lease made here has ended already, and the round found its cards free again
            return
        self._before.round = round_id
        self.view = self._before


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
    ) -> None:
        """`policy`: of the scheduler; `policies`: signs the placement policies of leases, without it they have none."""
        self._policies = policies
        self._database = database
        self._policy = policy
        self.wake_cluster = wake_cluster
        self._enabled = enabled
        self._turn = asyncio.Lock()
        self._recent = Recent()
        self._settled: _Settled | None = None
        self._view: _View | None = None

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Lease nothing here for as long as the block runs."""
        async with self._turn:
            yield

    async def begin(self, lead: Lead, world: Prepared, digest: str) -> None:
        """Look at the world that a round has read, and set room aside for its best gangs. Only within `paused`.

        `digest`: of the world; the view that is there stays when it is of the same.
        """
        settled = self._settled
        if not self._enabled or settled is None or settled.lead != lead:
            self._view = None
        elif self._view is None or self._view.digest != digest:
            self._view = None
            placer = await asyncio.to_thread(_placer, world, self._policy, settled.prices, self._recent)
            newest = max((job.job for job in world.waiting.values()), default=JobId(0))
            self._view = _View(lead, settled.round, world, digest, placer, newest)

    @asynccontextmanager
    async def committing(self, world: Prepared, plan: Plan) -> AsyncIterator[Beside]:
        """Lease nothing here while the block commits a round that was planned on this world."""
        async with self._turn:
            view = self._view if self._view is not None and self._view.world is world else None
            within: Sequence[Placement] = plan.placements
            if view is not None and view.placer.placements:
                within = await asyncio.to_thread(view.placer.within_limits, world.snapshot, within)
            self._view = None  # until it is known what was committed
            beside = Beside(within, world, plan, view)
            yield beside
            self._settled, self._view = beside.settled, beside.view

    def drop(self) -> None:
        """Lease nothing here until the next view: its round came to nothing, or this broker does not lead."""
        self._view = None

    async def place_arrived(self, now: datetime) -> int:
        """Lease what has arrived and may start at once. Return how many jobs that was."""
        began, placed = perf_counter(), 0
        while True:
            async with self._turn:
                if self._view is None:
                    return placed
                at = now + timedelta(seconds=perf_counter() - began)
                try:
                    looked_at, leased = await self._place_some(self._view, at)
                except NotLeader:
                    self._view = None
                    return placed
                except Exception:  # what of it was committed is not known
                    self._view = None
                    raise
            placed += leased
            if looked_at < JOBS_PER_COMMIT_MAX:
                return placed

    async def _place_some(self, view: _View, now: datetime) -> tuple[int, int]:
        """Return how many jobs were looked at and how many leased, all in one transaction."""
        began = perf_counter()
        async with self._database.hub() as tx:
            rows, shapes = await snapshots.arrived(tx, view.newest, now, JOBS_PER_COMMIT_MAX)
            if not rows:
                return 0, 0
            arrivals = arrived(view.world, rows, shapes, now)
            decisions = await asyncio.to_thread(view.placer.place, arrivals.snapshot)
            placements = [each.placement for each in decisions if isinstance(each, Placed)]
            fitting: list[tuple[Placement, LeaseDraft]] = []
            drafts: list[LeaseDraft] = []
            if placements:
                if not await leadership.still_leads(tx, view.lead.holder, view.lead.epoch):
                    raise NotLeader(view.lead)
                fitting = await still_fitting(tx, arrivals, placements, now, view.named)
                drafts = [draft for _, draft in fitting]
                at = now + timedelta(seconds=perf_counter() - began)
                leases = await rounds.offer(tx, view.round, drafts, at)
                if self._policies is not None:
                    await self._policies.sign(tx, leases.values())
        view.newest = rows[-1].job
        if fitting:
            self._recent.leased(arrivals.snapshot, [placement.job_id for placement, _ in fitting])
        for cluster in {draft.cluster for draft in drafts}:
            self.wake_cluster(cluster)
        submitted = {row.job: row.submitted_at for row in rows}
        for draft in drafts:
            metrics.placed_at_once((now - submitted[draft.job]).total_seconds() + perf_counter() - began)
        return len(rows), len(drafts)


def _placer(world: Prepared, policy: Policy, prices: Sequence[OpeningPrice], recent: Recent) -> Placer:
    placer = Placer(world.snapshot, policy, prices, recent.mix(world.snapshot))
    placer.warm()
    placer.set_aside(large_gangs(world.snapshot, GANGS_JUDGED_MAX), GANGS_SET_ASIDE)
    return placer
