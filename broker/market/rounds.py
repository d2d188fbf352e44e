"""One round: read the world, let the scheduler decide, commit what still fits.

A plan is committed by fit, not by version: the named nodes still have the cards (or shares of them), CPU and memory,
and the job still waits. Each gang whole, or handed back as stale. Promises are kept by the same transaction.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter

from broker.ids import JobId, RoundId, job_text, parse_lease
from broker.lifecycle import Held
from broker.market import quoted
from broker.market.expecting import Expecting, Told
from broker.market.explain import LastRound
from broker.market.fitting import still_fitting
from broker.market.funding import without_short
from broker.market.holding import STANDARD, Holding
from broker.market.lead import Lead, NotLeader
from broker.market.lease_prices import lease_prices
from broker.market.overtaken import beside_accepted
from broker.market.pauses import hold_back
from broker.market.placing import Placing
from broker.market.policies import Policies
from broker.market.prices import RoundPrices
from broker.market.promising import Kept, Leased, kept, stops_of
from broker.market.snapshot import Prepared, prepare
from broker.market.waits import count_waits
from broker.store import jobs as store_jobs
from broker.store import leadership, promises, rounds, snapshots, stops
from broker.store.database import Connection, Database
from broker.store.promises import PromiseEntry, PromiseRow
from broker.store.rounds import RoundRecord, RoundReport
from broker.store.stops import Stop
from scheduler.decided import Decided
from scheduler.errors import BadPlan
from scheduler.plan import Placement, Plan
from scheduler.policy import OpeningPrice, Policy

WAITING_REASONS_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a plan."""

    round: RoundId
    placed: int
    stale: int
    millis: int
    promises: tuple[PromiseEntry, ...] = ()  # what became of promises
    stops: tuple[Stop, ...] = ()  # leases that were ordered to stop


class Rounds:
    """Use cases of the round loop."""

    def __init__(
        self,
        database: Database,
        *,
        jobs_max: int,
        records_kept: int,
        wake_cluster: Callable[[str], None],
        remember: Callable[[LastRound], None],
        placing: Placing | None = None,
        policies: Policies | None = None,
        margin_seconds: int = Policy.lease_end_margin_seconds,
        priced: Callable[[RoundPrices], None] = lambda _: None,
        holding: Holding = STANDARD,
    ) -> None:
        """Work on `database`.

        Args:
            placing: the fast lane beside the rounds; without one everything waits for its round.
            policies: signs the placement policies of leases; without it leases have none.
            margin_seconds: how long after its end a lease may still hold its cards, as in the rounds' policy.
            priced: told of the prices of each committed round.
            holding: holds money for leases of cities that pay in advance.
        """
        self._margin_seconds = margin_seconds
        self._policies = policies
        self._priced = priced
        self._holding = holding
        self._short: frozenset[JobId] = frozenset()  # that were told so
        self._database = database
        self._jobs_max = jobs_max
        self._records_kept = records_kept
        self._wake_cluster = wake_cluster
        self._remember = remember
        self._expecting = Expecting(database)
        self.placing = placing or Placing(database, policy=Policy(), wake_cluster=wake_cluster, enabled=False)

    async def anybody_waits(self, now: datetime) -> bool:
        """Tell whether there is a job that could start now."""
        async with self._database.hub() as tx:
            return await snapshots.anybody_waits(tx, now)

    async def read(self, now: datetime) -> Prepared:
        """Return what the next round is planned on.

        Jobs that nobody could pay for, and those of paused queues, are told so, and left out.
        """
        await hold_back(self._database, now)
        async with self._database.hub() as tx:
            view = await snapshots.read(tx, now, self._jobs_max)
        if view.prepaid:
            view, short = await asyncio.to_thread(without_short, view, now)
            await self._tell_short(frozenset(each.job for each in short))
        return await asyncio.to_thread(
            prepare, view, now, margin_seconds=self._margin_seconds
        )  # half a second for a hundred thousand jobs: calls go on

    async def _tell_short(self, short: frozenset[JobId]) -> None:
        """Note with jobs that wait for money that they do, where they were not told so by the read before."""
        await self._tell([(job, Held.FUNDS_SHORT.value) for job in sorted(short - self._short)])
        self._short = short

    async def commit(
        self,
        lead: Lead,
        prepared: Prepared,
        decided: Decided,
        report: RoundReport,
        record: RoundRecord,
        now: datetime,
        prices: tuple[OpeningPrice, ...] = (),
    ) -> Committed:
        """Store the round, turn what still fits into leases, and keep the promises. `prices`: of its plan.

        Raises: NotLeader: another broker leads.
        """
        began = perf_counter()
        last = _last_tier(decided, prices)
        zones = {each.job_id: decided.zones[each.pool] for each in decided.plan.placements}
        async with self.placing.committing(prepared, decided, prices) as fast:
            price_of = await asyncio.to_thread(lease_prices, prepared, fast.within_limits, last, zones)
            async with self._database.hub() as tx:
                await promises.share_ground(tx)
                if not await leadership.still_leads(tx, lead.holder, lead.epoch):
                    raise NotLeader(lead)
                wanted, accepted = fast.within_limits, await self._accepted(tx, prepared)
                stood = fast.decided
                if accepted:
                    fast.overtaken = True
                    beside = partial(beside_accepted, prepared, stood, wanted, fast.leased, accepted)
                    stood, wanted = await asyncio.to_thread(beside, self._margin_seconds)
                fitting = await still_fitting(tx, prepared, wanted, now)
                priced = [replace(draft, price=price_of[each.job_id]) for each, draft in fitting]
                priced = await quoted.at_quoted_prices(tx, priced)
                starting = [each for each, _ in fitting]
                fitting = await self._holding.cover(tx, list(zip(starting, priced, strict=True)), now)
                drafts = [draft for _, draft in fitting]
                round_id = await rounds.insert(tx, lead.epoch, report)
                await rounds.keep_record(tx, round_id, record, self._records_kept)
                # Cards are held from when they were found free, which may be long after `now`: what had them ended
                # later.
                leases = await rounds.offer(tx, round_id, drafts, now + timedelta(seconds=perf_counter() - began))
                if self._policies is not None:
                    await self._policies.sign(tx, leases.values())
                started = [placement for placement, _ in fitting]
                promised, stopped = await self._keep(
                    tx, prepared, stood, started, fast.leased, accepted, round_id, report.at
                )
                done = Committed(
                    round=round_id,
                    placed=len(drafts),
                    stale=len(decided.placements) - len(drafts),
                    millis=round((perf_counter() - began) * 1000),
                    promises=promised.entries,
                    stops=tuple(stopped),
                )
                await rounds.finish(
                    tx, round_id, placed=done.placed, stale=done.stale, stopped=len(stopped), commit_millis=done.millis
                )
            await fast.settle(lead, round_id, started)
        self._look_again_at_stale(prepared, decided, started)
        count_waits(drafts, now + timedelta(seconds=done.millis / 1000))
        for cluster in {draft.cluster for draft in drafts} | set(stopped.values()):
            self._wake_cluster(cluster)
        self._remember(LastRound(round_id, decided.plan, prepared.snapshot, prepared.horizon))
        self._priced(_prices_of(prepared, decided, last, round_id))
        await self._tell_reasons(prepared, decided, {row.job for row in promised.rows})
        return done

    def _look_again_at_stale(self, prepared: Prepared, decided: Decided, started: Sequence[Placement]) -> None:
        """Have the fast lane look at gangs that were handed back, but for those that wait for a promised start."""
        ended = {each.job_id for each in started} | {job_text(row.job) for row in prepared.view.promises}
        back = (each.job_id for each in decided.plan.placements if each.job_id not in ended)
        self.placing.look_again_at([prepared.job(job_id) for job_id in back])

    async def _accepted(self, tx: Connection, prepared: Prepared) -> tuple[PromiseRow, ...]:
        """Return the starts that accepted quotes were promised since the world was read."""
        known = {row.job for row in prepared.view.promises}
        if not await promises.any_beside(tx, tuple(known)):
            return ()
        return tuple(row for row in await promises.read(tx) if row.job not in known)

    async def _keep(
        self,
        tx: Connection,
        prepared: Prepared,
        decided: Decided,
        started: Sequence[Placement],
        leased: Leased,
        accepted: Sequence[PromiseRow],
        round_id: RoundId,
        at: datetime,
    ) -> tuple[Kept, dict[Stop, str]]:
        """Store the promises as they are after the round, and what became of those before; order what makes them room.

        Return what was ordered to stop as well, with its cluster.
        """
        within = partial(
            kept,
            prepared,
            decided,
            started,
            leased,
            margin_seconds=self._margin_seconds,
            round_id=round_id,
            at=at,
            accepted=accepted,
        )
        left: set[str] = set()  # jobs for which not everything can be stopped, so nothing is
        if decided.stops:
            wanted = [(each.job_id, parse_lease(each.lease_id)) for each in decided.stops]
            run_on = await stops.lock(tx, [lease for _, lease in wanted if lease is not None])
            left = {job_id for job_id, lease in wanted if lease is None or lease in run_on}
        found = await asyncio.to_thread(within, not_cleared=left)
        asked = stops_of(prepared, decided, found, left)
        while in_vain := {each.job_id for each in decided.stops} - left - {job_text(each.for_job) for each in asked}:
            left |= in_vain  # who counted on the room of these may have lost it with them
            found = await asyncio.to_thread(within, not_cleared=left)
            asked = stops_of(prepared, decided, found, left)
        ordered = await stops.order(tx, asked, at)
        stopped = {each: ordered[each.lease] for each in asked if each.lease in ordered}
        if accepted or found.rows != prepared.view.promises:
            await promises.keep(tx, found.rows)
        waiting = [row.job for row in found.rows]  # whoever sees the promise sees that the job waits for it
        await store_jobs.set_waiting_reasons(tx, waiting, [Held.PROMISED.value] * len(waiting))
        await promises.tell(tx, round_id, found.entries, at)
        return found, stopped

    async def expect(self, lead: Lead, prepared: Prepared, decided: Decided, now: datetime) -> Told:
        """Tell what a committed round left waiting when it is likely to start, and learn from what came true.

        Raises: NotLeader: another broker leads.
        """
        return await self._expecting.after_round(lead, prepared, decided, now)

    async def reject(self, lead: Lead, report: RoundReport, record: RoundRecord | None) -> RoundId:
        """Store a round that may not be committed, with its input when there is one, so that it can be looked into."""
        async with self._database.hub() as tx:
            round_id = await rounds.insert(tx, lead.epoch, report)
            if record is not None:
                await rounds.keep_record(tx, round_id, record, self._records_kept)
        return round_id

    async def _tell_reasons(self, prepared: Prepared, decided: Decided, promised: Collection[JobId]) -> None:
        """Write why each job waits that is promised no start; in batches: no submission waits long for a row."""
        await self._tell(await asyncio.to_thread(_reasons, prepared, decided, promised))  # it can be a hundred thousand

    async def _tell(self, told: Sequence[tuple[JobId, str]]) -> None:
        for start in range(0, len(told), WAITING_REASONS_BATCH):
            batch = told[start : start + WAITING_REASONS_BATCH]
            async with self._database.hub() as tx:
                await store_jobs.set_waiting_reasons(tx, [j for j, _ in batch], [r for _, r in batch])


def _reasons(prepared: Prepared, decided: Decided, promised: Collection[JobId]) -> list[tuple[JobId, str]]:
    refused = decided.refusals
    told = zip(map(prepared.job, refused.names), refused.reasons, strict=True)
    return [(job, reason.value) for job, reason in told if job not in promised]


def _last_tier(decided: Decided, prices: tuple[OpeningPrice, ...]) -> tuple[OpeningPrice, ...]:
    name = decided.plan.tiers[-1].name
    return tuple(price for price in prices if price.tier == name)


def _prices_of(
    prepared: Prepared, decided: Decided, prices: tuple[OpeningPrice, ...], round_id: RoundId
) -> RoundPrices:
    return RoundPrices(
        round=round_id,
        world=prepared.snapshot,
        pool_ids=tuple(pool.pool_id for pool in prepared.pools),
        prices=prices,
        zones=decided.zones,
        pool_of=decided.pool_of,
    )


def report_of(
    prepared: Prepared, decided: Decided, *, at: datetime, versions: tuple[str, ...], millis: tuple[int, int, int]
) -> RoundReport:
    """Return the report of a decision that is about to be committed; `millis` are snapshot, plan, verify."""
    plan = decided.plan
    refused = {reason.value: jobs for reason, jobs in decided.refusals.by_reason.items()}
    if decided.promises:
        refused[Held.PROMISED.value] = len(decided.promises)
    return RoundReport(
        at=at,
        outcome="committed",
        input_sha256=decided.snapshot_hash,
        jobs=len(prepared.waiting),
        placed=len(decided.placements),
        stale=0,
        objective=plan.objective,
        bound=plan.bound,
        gap_ppm=plan.gap_ppm,
        effort=plan.effort_spent,
        snapshot_millis=millis[0],
        plan_millis=millis[1],
        verify_millis=millis[2],
        commit_millis=0,
        versions=versions,
        refused_by_reason=refused,
    )


class RoundsReader:
    """What operators read of rounds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(self, page_size: int, before: RoundId | None, *, busy_only: bool) -> list[RoundReport]:
        """Return reports, newest first, numbers below `before`."""
        async with self._database.hub() as tx:
            return await rounds.list_page(tx, before, page_size, busy_only=busy_only)

    async def get(self, round_id: RoundId | None) -> RoundReport | None:
        """Return one report, the last one for None."""
        async with self._database.hub() as tx:
            return await rounds.get(tx, round_id)

    async def record(self, round_id: RoundId) -> RoundRecord | None:
        """Return the record of a round, None when it is no longer kept."""
        async with self._database.hub() as tx:
            return await rounds.record(tx, round_id)

    async def promises(self) -> tuple[PromiseRow, ...]:
        """Return the promises that stand, by start."""
        async with self._database.hub() as tx:
            return tuple(row for row in await promises.read(tx) if row.stands)

    async def refusals(self, round_id: RoundId, limit: int) -> list[tuple[str, str]]:
        """Return (job id, reason) of jobs that the round left waiting.

        Empty when its record is no longer kept, or was kept by a release that wrote plans in another form.
        """
        record = await self.record(round_id)
        if record is None:
            return []
        try:
            return await asyncio.to_thread(_refusals, record, limit)  # a plan can name a hundred thousand jobs
        except BadPlan:
            return []


def _refusals(record: RoundRecord, limit: int) -> list[tuple[str, str]]:
    if record.decision is None:
        return [(r.job_id, r.reason.value) for r in Plan.from_bytes(record.plan).refusals[:limit]]
    decided = Decided.from_bytes(record.plan, record.decision)
    found = [(r.job_id, r.reason.value) for r in decided.refusals]
    return [*((each.job_id, Held.PROMISED.value) for each in decided.promises), *found][:limit]
