"""The round loop: snapshot, plan, verify, guarded commit; one broker leads, the others stand by."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Final

import structlog

from broker import metrics
from broker.errors import DatabaseUnavailable
from broker.loops.planning import Planned, PlannerDied, PlanningProcess, versions
from broker.market.lead import Lead, NotLeader
from broker.market.rounds import Rounds, report_of
from broker.market.snapshot import Prepared
from broker.store import leadership
from broker.store.database import Database
from broker.store.promises import NO_ROUND
from broker.store.rounds import RoundRecord, RoundReport
from scheduler.decided import Decided
from scheduler.policy import OpeningPrice, OpeningSeat, Policy

log = structlog.get_logger("rounds")

LOOK_AGAIN: Final = timedelta(seconds=2)
"""While nobody waits the world is read this often: so the fast lane is told what has become free."""

COMMITS_BETWEEN: Final = 4
"""Transactions of the fast lane that a round waits for: a stream can last, and the lane's own loop goes on with it."""

PROMISES_MAX: Final = 10_000
"""The most that a policy can say."""


class RoundLoop:
    """Plans and commits one round for each `run_once` that finds something to do."""

    name = "rounds"

    def __init__(
        self,
        database: Database,
        rounds: Rounds,
        planner: PlanningProcess,
        *,
        holder: str,
        policy: Policy,
        budget_seconds: float,
        recheck_seconds: float,
        lead_term: timedelta,
        clock_now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._rounds = rounds
        self._planner = planner
        self._holder = holder
        self._policy = policy
        self._opening_prices: tuple[OpeningPrice, ...] = ()  # of the last round that was committed here ...
        self._opening_seats: tuple[OpeningSeat, ...] = ()  # ... in which some gangs were handed back as stale
        self._budget_seconds = budget_seconds
        self._recheck = timedelta(seconds=recheck_seconds)
        self._lead_term = lead_term
        self._now = clock_now
        self._placing = rounds.placing
        self._leads = False
        self._led: Lead | None = None  # when it last led
        self._looked_at = datetime.min.replace(tzinfo=UTC)  # at the world
        self._seen: tuple[str, datetime] | None = None  # digest of the last world whose plan is settled, and when

    @property
    def leads(self) -> bool:
        """Whether this broker led when it last looked."""
        return self._leads

    async def run_once(self, now: datetime) -> int:
        """Plan and commit one round if this broker leads and the world has changed. Return how many gangs it placed."""
        if not self._planner.pids():
            await self._warm()  # it can take longer than a lead lasts, so it comes before
            now = self._now()
        lead = await self._lead(now)
        self._leads = lead is not None
        metrics.leads(self._leads)
        if lead is None:
            self._placing.drop()
            return 0
        if lead != self._led:
            self._led, self._seen = lead, None  # a new lead has no prices, whatever world was planned before
        async with self._leading_on(lead):  # all the time: who arrives in thousands is looked at for longer than a term
            return await self._round(lead, now)

    async def _warm(self) -> None:
        log.info("planner_starts", note="the first one on a machine makes its machine code, which takes some minutes")
        started = perf_counter()
        await self._planner.warm()
        log.info("planner_ready", millis=round((perf_counter() - started) * 1000))

    async def _round(self, lead: Lead, now: datetime) -> int:
        await self._place(now)  # whoever can start now need not be in the round's world
        opening = self._placing.needs_round(lead)  # its prices let the fast lane begin, also where nobody waits yet
        if self._placing.at_work and now - self._looked_at < LOOK_AGAIN and not await self._rounds.anybody_waits(now):
            return 0
        started = perf_counter()
        prepared, digest, due = await self._look(lead, now)
        self._looked_at = now
        await self._place(self._now())
        if not due or not (opening or await self._rounds.anybody_waits(now)):
            return 0  # all who waited were leased since, or while the world was read
        self._seen = None  # a round that ends in an error has to be planned again at once
        snapshot = await asyncio.to_thread(prepared.snapshot.to_bytes)
        horizon = await asyncio.to_thread(prepared.horizon.to_bytes)
        snapshot_millis = round((perf_counter() - started) * 1000)
        opened = replace(
            self._policy,
            opening_prices=self._opening_prices,
            opening_seats=self._opening_seats,
            churn_card_seconds_max=max(0, self._policy.churn_card_seconds_max - prepared.view.lost_card_seconds),
            promises_max=min(PROMISES_MAX, self._policy.promises_max + _by_quotes(prepared)),
        )
        policy_json = opened.to_json()
        try:
            planned = await self._planner.plan(snapshot, horizon, policy_json, self._budget_seconds)
        except PlannerDied:
            return await self._failed(lead, prepared, snapshot, now, "the planning process died")
        if planned.stops_dropped:
            log.error("stops_dropped", violations=planned.stops_dropped)
        record = RoundRecord(snapshot, planned.plan, planned.policy_json, horizon, planned.decision)
        # It can name a hundred thousand jobs.
        decided = await asyncio.to_thread(Decided.from_bytes, planned.plan, planned.decision)
        placed, stale = await self._settle(lead, prepared, record, planned, decided, snapshot_millis, started, now)
        if self._placing.outdated:
            await self._look_again(lead)
        await self._place(self._now())  # what came meanwhile, or was handed back
        if not stale:  # what was handed back as stale is due again at once
            self._seen = digest, now
        if not planned.violations:
            await self._expect(lead, prepared, decided)
        return placed

    async def _look(self, lead: Lead, now: datetime) -> tuple[Prepared, str, bool]:
        """Read the world for a round and for the fast lane, which goes on meanwhile where it can.

        Return it with its digest, and whether it is due to be planned. Then it gets a new view: one of an equal world
        that was read before has set nothing aside, and does not know this round's plan.
        """
        mark = self._placing.mark()
        if mark is not None:
            prepared, digest, due = await self._read(lead, now)
            if await self._placing.go_on(mark, lead, prepared, digest, anew=due):
                return prepared, digest, due
        async with self._placing.paused():
            prepared, digest, due = await self._read(lead, now)
            await self._placing.begin(lead, prepared, digest, anew=due)
        return prepared, digest, due

    async def _read(self, lead: Lead, now: datetime) -> tuple[Prepared, str, bool]:
        prepared = await self._rounds.read(now)
        digest = await asyncio.to_thread(_digest, prepared)
        wanted = bool(prepared.waiting) or self._placing.needs_round(lead)
        return prepared, digest, wanted and self._worth_planning(digest, prepared, now)

    async def _place(self, now: datetime) -> int:
        return await self._placing.place_arrived(now, commits_max=COMMITS_BETWEEN)

    async def _expect(self, lead: Lead, prepared: Prepared, decided: Decided) -> None:
        """Tell expected starts after everything else: nobody waits for an estimate."""
        with suppress(NotLeader):  # who leads now tells them with its first round
            told = await self._rounds.expect(lead, prepared, decided, self._now())
            log.info("starts_expected", told=told.told, learned=told.learned, millis=told.millis)

    async def _look_again(self, lead: Lead) -> None:
        """Read the world that a round has left, so that the fast lane goes on with the promises that it made."""
        async with self._placing.paused():
            prepared = await self._rounds.read(self._now())
            await self._placing.begin(lead, prepared, await asyncio.to_thread(_digest, prepared))

    async def resign(self, now: datetime) -> None:
        """Let another broker lead at once."""
        self._placing.drop()
        async with self._database.hub() as tx:
            await leadership.resign(tx, self._holder, now)

    async def _settle(
        self,
        lead: Lead,
        prepared: Prepared,
        record: RoundRecord,
        planned: Planned,
        decided: Decided,
        snapshot_millis: int,
        started: float,
        now: datetime,
    ) -> tuple[int, int]:
        """Commit the plan, or record why not. Return how many gangs were placed and how many were handed back."""
        plan = decided.plan
        millis = (snapshot_millis, planned.plan_millis, planned.verify_millis)
        report = report_of(prepared, decided, at=now, versions=versions(), millis=millis)
        if planned.violations:
            error = "; ".join(planned.violations)
            self._placing.drop()
            await self._rounds.reject(lead, _but(report, "rejected", error), record)
            metrics.round_done("rejected", perf_counter() - started, plan.gap_ppm)
            log.error("round_rejected", violations=planned.violations)
            return 0, 0
        renewed = await self._lead(self._now())  # planning may have taken most of the term
        if renewed != lead:
            self._placing.drop()
            raise NotLeader(lead)
        done = await self._rounds.commit(lead, prepared, decided, report, record, self._now(), planned.prices)
        self._opening_prices = planned.prices
        self._opening_seats = planned.seats if done.stale else ()
        metrics.placed_by_round(done.placed)
        for entry in done.promises:
            metrics.promise_told(entry.fate, entry.cause)
        for stop in done.stops:
            metrics.stop_ordered(stop.claim, stop.lost_card_seconds)
            log.info("lease_stop_ordered", round=done.round, **asdict(stop))
        metrics.round_done("committed", perf_counter() - started, plan.gap_ppm)
        metrics.round_committed(
            now.timestamp(),
            millis=(*millis, done.millis),
            objective=plan.objective,
            bound=plan.bound,
            jobs={"placed": done.placed, "stale": done.stale, "left": report.jobs - done.placed - done.stale},
            refused=report.refused_by_reason,
        )
        log.info(
            "round_committed",
            round=done.round,
            jobs=report.jobs,
            placed=done.placed,
            stale=done.stale,
            stopped=len(done.stops),
            promises=Counter(entry.fate.value for entry in done.promises),
            gap_ppm=plan.gap_ppm,
            effort=plan.effort_spent,
            millis=(*millis, done.millis),
        )
        return done.placed, done.stale

    async def _failed(self, lead: Lead, prepared: Prepared, snapshot: bytes, now: datetime, error: str) -> int:
        report = RoundReport(
            at=now,
            outcome="failed",
            input_sha256=hashlib.sha256(snapshot).hexdigest(),
            jobs=len(prepared.waiting),
            placed=0,
            stale=0,
            objective=0,
            bound=0,
            gap_ppm=0,
            effort=0,
            snapshot_millis=0,
            plan_millis=0,
            verify_millis=0,
            commit_millis=0,
            versions=versions(),
            refused_by_reason={},
            error=error,
        )
        self._placing.drop()
        await self._rounds.reject(lead, report, None)
        metrics.round_done("failed", 0.0, 0)
        log.error("round_failed", error=error)
        return 0

    async def _lead(self, now: datetime) -> Lead | None:
        async with self._database.hub() as tx:
            epoch = await leadership.acquire(tx, self._holder, now, self._lead_term)
        return None if epoch is None else Lead(self._holder, epoch)

    @asynccontextmanager
    async def _leading_on(self, lead: Lead) -> AsyncIterator[None]:
        """Renew the lead again and again for as long as the block runs: a large world takes longer than a term."""
        renewing = asyncio.create_task(self._renew(lead), name="lead")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, lead: Lead) -> None:
        renewed: Lead | None = lead
        while renewed == lead:
            await asyncio.sleep(self._lead_term.total_seconds() / 4)
            with suppress(DatabaseUnavailable):  # it may be back in time; the commit checks the lead in any case
                renewed = await self._lead(self._now())

    def _worth_planning(self, digest: str, prepared: Prepared, now: datetime) -> bool:
        """Tell whether the world differs from the one planned last, a promised start has come due since, or jobs aged.

        A promise that the last round put off for power or quota is due at once again: for it the world has to change.
        """
        if self._seen is None or self._seen[0] != digest or now - self._seen[1] >= self._recheck:
            return True
        last, current = self._seen[1].timestamp() + 1, now.timestamp()
        return any(last < each.start_s <= current for each in prepared.horizon.promises)


def _by_quotes(prepared: Prepared) -> int:
    """Return how many standing promises are those of accepted quotes: they take the place of none that rounds make."""
    return sum(row.round == NO_ROUND for row in prepared.view.promises)


def _digest(prepared: Prepared) -> str:
    """Return a hash of the world without the time at which it was read, its windows, and the jobs that get room."""
    world, ahead = prepared.snapshot, prepared.horizon
    found = hashlib.sha256()
    for name in type(world).__dataclass_fields__:
        if name != "taken_at_s":
            value = getattr(world, name)
            found.update(repr(value).encode() if isinstance(value, tuple) else value.tobytes())
            found.update(b"\0")
    for windows in (ahead.closed_node, ahead.closed_from_s, ahead.closed_until_s):
        found.update(windows.tobytes())
    found.update(repr(ahead.make_room_for).encode())
    return found.hexdigest()


def _but(report: RoundReport, outcome: str, error: str) -> RoundReport:
    return replace(report, outcome=outcome, placed=0, error=error)
