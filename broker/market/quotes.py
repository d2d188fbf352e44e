"""Quotes: what a job would cost and when it is sure to start; accepted, both bind.

An acceptance is one transaction: job, promised start, hold and quote, or none of them. It holds the lock of the ground
alone, under which rounds and the fast lane make their leases: so it sees all that was leased, and whoever commits after
it sees what it has promised (`overtaken.py`). Any broker may accept; the round's lead is not needed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from broker import metrics
from broker.caller import Caller
from broker.errors import (
    BrokerError,
    CapacityGone,
    IdempotencyConflict,
    InsufficientCredit,
    NothingToQuote,
    QuoteBeyondCeiling,
    QuoteExpired,
    QuoteTaken,
    invalid,
)
from broker.ids import JobId, QuoteId, job_text, quote_text
from broker.job import JobSpec
from broker.ledger.holds import HoldDraft
from broker.ledger.work import Billing, Payer, sources, work_micro_yuan
from broker.lifecycle import Held, PromiseFate, QuoteState
from broker.market import access
from broker.market.ahead import promise_row
from broker.market.explain import LastRound
from broker.market.intake import store_within_limit
from broker.market.jobs import Jobs
from broker.market.pauses import refuse_paused
from broker.market.paying import payers
from broker.market.quoting import Asked, Asks, Scarcity, options, start_of, world_with
from broker.market.remedies import yuan_text
from broker.market.snapshot import Prepared
from broker.request_key import sent_key, stored_key
from broker.store import holds, prepaid, promises, quotes, rates, snapshots, submissions
from broker.store import jobs as store_jobs
from broker.store.catalogue_view import City
from broker.store.database import Connection, Database
from broker.store.holds import Held as HeldMoney
from broker.store.prepaid import Work
from broker.store.promises import NO_ROUND, PromiseEntry
from broker.store.quotes import Quote
from broker.store.rounds import WHOLE_MILLI
from broker.store.submissions import Submitted
from scheduler.horizon import Promise
from scheduler.policy import Policy

OPTIONS: Final = 8
OPTIONS_MAX: Final = 32
WINDOW: Final = timedelta(days=1)
"""How long a start window is that has no end."""


@dataclass(frozen=True, slots=True)
class QuoteRules:
    """What the settings say about quotes.

    Attributes:
        valid: how long one can be accepted.
        ahead_max: how far ahead its window may begin.
        settles: how long after the job's latest end what is held can be captured.
    """

    valid: timedelta = timedelta(minutes=5)
    ahead_max: timedelta = timedelta(days=31)
    settles: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class StartWindow:
    """When a job is to start; None: from now on, and for a day."""

    not_before: datetime | None = None
    starts_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class AcceptedQuote:
    """A quote that binds; `duplicate` when it had been accepted before, under the same key."""

    quote: Quote
    duplicate: bool


class Quotes:
    """Use cases of quotes. `wake` is called when one was accepted: a round may start its job at once."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        policy: Policy,
        rules: QuoteRules,
        *,
        last_round: Callable[[], Awaitable[LastRound | None]],
        wake: Callable[[], None],
    ) -> None:
        """`policy`: of the rounds; `last_round`: whose prices say what others would pay."""
        self._database = database
        self._jobs = jobs
        self._policy = policy
        self._rules = rules
        self._last_round = last_round
        self._wake = wake
        self._turn = (
            asyncio.Lock()
        )  # an acceptance needs two connections: two that wait for their second one would stop

    async def ask(
        self, caller: Caller, named: str, spec: JobSpec, window: StartWindow, options_max: int, now: datetime
    ) -> list[Quote]:
        """Return what the job could be sure of, the best first. Nothing is held.

        Raises: InvalidRequest, RoleRefused, CityNotFound, NoPoolCanHold as a submission would; NothingToQuote,
            QueuePaused.
        """
        city = await self._jobs.city_to_change(caller, named)
        spec = access.own_spec(caller, spec)
        asked = self._asked(city, spec, window, now)
        await self._jobs.check(caller, city.city, spec, now)
        async with self._database.hub() as tx:
            await refuse_paused(tx, city.city)
        found = await self._quoted(asked, options_max or OPTIONS, now)
        metrics.quote_told("asked", len(found))
        return found

    async def accept(self, caller: Caller, quote_id: QuoteId, request_key: str, now: datetime) -> AcceptedQuote:
        """Bind the quote: its job waits for its sure start, and its price is held if its city pays in advance.

        Repeating it with the same key changes nothing.

        Raises:
            QuoteNotFound, RoleRefused.
            QuoteExpired, QuoteTaken, QuoteBeyondCeiling, IdempotencyConflict: the quote or the key is of no use.
            QueuePaused: nothing is promised from the city's queue now.
            InsufficientCredit, AccountNotFound, AccountClosed: it is not paid for.
            TooManyPending, NoPoolCanHold, InvalidRequest: as a submission would be refused.
            CapacityGone: others were faster. It names a new quote, never another price. Whatever is raised, nothing is
                posted or promised.
        """
        access.may_change(caller)
        request_key = stored_key(caller.enterprise, request_key)
        async with access.transaction_of(self._database, caller) as tx:
            quote = await quotes.get(tx, quote_id)
        if (known := _answered(quote, request_key)) is not None:
            return known
        _check(quote, now)
        city = await self._jobs.city_to_change(caller, quote.city)
        await self._jobs.check(caller, city.city, quote.spec, now)
        async with self._turn:
            bound = await self._paid(caller, self._bind(city, quote_id, request_key, now))
        if bound is None:
            metrics.quote_told("gone")
            raise await self._gone(city, quote, now)
        if not bound.duplicate:
            metrics.quote_told("accepted")
            self._wake()
        return bound

    async def list_page(
        self, caller: Caller, city: str, states: Collection[QuoteState], before: QuoteId | None, limit: int
    ) -> list[Quote]:
        """Return quotes, newest first, numbers below `before`. Raise RoleRefused."""
        seen = access.city_to_read(caller, city)
        async with access.transaction_of(self._database, caller) as tx:
            return await quotes.list_page(tx, seen, states, before, limit, enterprise=caller.enterprise)

    def _asked(self, city: City, spec: JobSpec, window: StartWindow, now: datetime) -> Asked:
        """Return what is asked for. Raise InvalidRequest for what no quote can be for."""
        if spec.share_milli:
            raise invalid("spec.share_milli", "is not quoted: shares of cards are promised nothing, submit the job")
        if spec.after or spec.after_request_keys:
            raise invalid("spec.after", "is not quoted: nobody knows when those jobs end; accept the quote after them")
        begin = max(window.not_before or now, spec.earliest_start or now, now)
        end = window.starts_by or begin + WINDOW
        if begin > now + self._rules.ahead_max:
            raise invalid("not_before", f"must lie within {self._rules.ahead_max.days} days from now")
        if end <= begin:
            raise invalid("starts_by", f"must lie after {begin.isoformat(timespec='seconds')}")
        ceiling = spec.ceiling_micro_yuan_per_pflops_hour or city.ceiling_micro_yuan_per_pflops_hour
        return Asked(city.city, spec, ceiling, begin, end)

    async def _quoted(self, asked: Asked, options_max: int, now: datetime) -> list[Quote]:
        world = await self._world(asked, now)
        scarcity = await self._scarcity()
        async with self._database.hub() as tx:
            clusters = sorted({pool.cluster for pool in world.pools})
            asks = Asks(await rates.of_clusters(tx, clusters), await quotes.green_hours(tx))
        found = await asyncio.to_thread(
            options, world, asked, asks, scarcity, self._policy, now=now, valid=self._rules.valid
        )
        async with self._database.hub() as tx:
            return await quotes.insert(tx, asked.city, asked.spec, found[:options_max], now)

    async def _world(self, asked: Asked, now: datetime) -> Prepared:
        async with self._database.hub() as tx:
            view = await snapshots.read_for(tx, JobId(0), now, with_leases=True)
        return await asyncio.to_thread(world_with, view, asked, self._policy, now)

    async def _scarcity(self) -> Scarcity:
        last = await self._last_round()
        if last is None:
            return Scarcity()
        return Scarcity(last.round, await asyncio.to_thread(lambda: last.prices))

    async def _paid(self, caller: Caller, bound: Awaitable[AcceptedQuote | None]) -> AcceptedQuote | None:
        """Return what was bound. An enterprise short of money is not told what its city has, which stands behind it."""
        try:
            return await bound
        except InsufficientCredit as short:
            if not caller.enterprise:
                raise
            raise InsufficientCredit(
                accounts=short.metadata["accounts"],
                usable_micro_yuan="too little",
                wanted_micro_yuan=short.metadata["wanted_micro_yuan"],
            ) from None

    async def _bind(self, city: City, quote_id: QuoteId, request_key: str, now: datetime) -> AcceptedQuote | None:
        """Accept in one transaction; None, and nothing done, when the start cannot be kept any more."""
        scarcity = await self._scarcity()
        async with self._database.hub() as tx:
            await promises.lock_ground(tx)
            quote = await quotes.lock(tx, quote_id)
            if (known := _answered(quote, request_key)) is not None:
                return known
            _check(quote, now)
            await refuse_paused(tx, quote.city)
            if (other := await quotes.by_request_key(tx, quote.city, request_key)) is not None:
                raise _key_used(request_key, other)
            asked = self._asked(city, quote.spec, StartWindow(starts_by=quote.terms.starts_by + WINDOW), now)
            # A view of its own transaction: nothing that it shows of leases and promises changes before this one ends.
            world = await self._world(asked, now)
            start = await asyncio.to_thread(start_of, world, quote.terms, scarcity, self._policy, now=now)
            if start is None:
                return None
            job = await self._store(tx, city, quote, request_key, now)
            await self._promise(tx, world, start, job, now)
            hold = await self._hold(tx, quote, start, now)
            await quotes.accept(tx, quote_id, request_key, job, None if hold is None else hold.hold, now)
            return AcceptedQuote(await quotes.get(tx, quote_id), duplicate=False)

    async def _store(self, tx: Connection, city: City, quote: Quote, request_key: str, now: datetime) -> JobId:
        """Store the job of the quote as a submission does. It starts in no case before the window."""
        begin = quote.terms.not_before
        spec = structs.replace(quote.spec, earliest_start=begin) if begin > now else quote.spec
        draft = submissions.draft(request_key, spec, standard_ceiling=city.ceiling_micro_yuan_per_pflops_hour)
        await submissions.lock_submissions(tx, city.city)
        pending = (await submissions.count_pending(tx, city.city)).pending
        [outcome] = await store_within_limit(tx, city, [draft], pending, now)
        if isinstance(outcome, BrokerError):
            raise outcome
        if outcome.duplicate or outcome.conflict is not None:
            raise _key_of_a_job(request_key, outcome)
        await store_jobs.set_waiting_reasons(tx, [outcome.job], [Held.PROMISED.value])
        return outcome.job

    async def _promise(self, tx: Connection, world: Prepared, start: Promise, job: JobId, now: datetime) -> None:
        [waiting] = world.view.waiting
        row = promise_row(start, waiting._replace(job=job), world.pools, world.nodes, now, NO_ROUND)
        await promises.add(tx, [row])
        await promises.tell(tx, NO_ROUND, [PromiseEntry(job, PromiseFate.MADE, None, row.start_s)], now)
        metrics.promise_told(PromiseFate.MADE, None)

    async def _hold(self, tx: Connection, quote: Quote, start: Promise, now: datetime) -> HeldMoney | None:
        """Hold the whole price, and that of the grace, if the city pays in advance. Raise what `holds.place` refuses.

        A lease is charged for what it runs of its grace as well, and what no hold covers would be the platform's loss.
        """
        spec, terms = quote.spec, quote.terms
        per_card_hour = terms.price.ask_micro_yuan_per_card_hour + terms.price.scarcity_micro_yuan_per_card_hour
        seconds = spec.walltime_seconds + spec.grace_seconds
        micro_yuan = work_micro_yuan(per_card_hour, start.cards * WHOLE_MILLI, seconds)
        if not micro_yuan or await quotes.billing(tx, quote.city) is not Billing.PREPAID:
            return None
        runs = timedelta(seconds=terms.transfer_seconds + spec.walltime_seconds + spec.grace_seconds)
        draft = HoldDraft(
            request_key=quote_text(quote.quote),
            city=quote.city,
            reference=quote_text(quote.quote),
            micro_yuan=micro_yuan,
            sources=sources(*await _payer(tx, quote, now)),
            settles_until=terms.starts_by + runs + self._rules.settles,
        )
        [outcome] = await holds.place(tx, [draft], now)
        if isinstance(outcome, BrokerError):
            raise outcome
        return outcome

    async def _gone(self, city: City, quote: Quote, now: datetime) -> CapacityGone:
        """Return the refusal, with a new quote for a start as soon as there is one."""
        name = quote_text(quote.quote)
        window = StartWindow(quote.terms.not_before, max(quote.terms.starts_by, now) + WINDOW)
        try:
            [fresh] = await self._quoted(self._asked(city, quote.spec, window, now), 1, now)
        except NothingToQuote:
            return CapacityGone(quote=name, fresh="nothing is sure to start within a day, ask again later")
        metrics.quote_told("asked")
        facts = _facts(fresh)
        text = (
            f"{facts['fresh_quote']} is for a start by {facts['starts_by']} in {facts['pool']}, "
            f"{yuan_text(fresh.terms.total_micro_yuan)} yuan in all"
        )
        return CapacityGone(fields=(), retry_after_seconds=None, quote=name, fresh=text, **facts)


async def _payer(tx: Connection, quote: Quote, now: datetime) -> tuple[Payer, Sequence[str]]:
    """Return who pays for a quoted job, and which accounts of enterprises are there: the one place that says so."""
    spec, nobody = quote.spec, JobId(0)  # the job comes into being with the hold
    work = Work(nobody, quote.city, spec.enterprise, spec.vouchers, spec.workload_class, spec.walltime_seconds)
    place = (await prepaid.places(tx, [quote.terms.pool_id]))[quote.terms.pool_id]
    there = await prepaid.enterprise_accounts(tx, [quote.city])
    return (await payers(tx, [(work, place)], now))[nobody], sorted(there)


def _answered(quote: Quote, request_key: str) -> AcceptedQuote | None:
    """Return the answer to a repeated acceptance; None to a first one. Raise QuoteTaken when it had another key."""
    if quote.state is QuoteState.OPEN:
        return None
    if quote.request_key != request_key:
        raise QuoteTaken(quote=quote_text(quote.quote), job="accepted" if quote.job is None else job_text(quote.job))
    return AcceptedQuote(quote, duplicate=True)


def _check(quote: Quote, now: datetime) -> None:
    """Raise QuoteExpired or QuoteBeyondCeiling for an open quote that cannot be accepted."""
    name = quote_text(quote.quote)
    if now > quote.terms.valid_until:
        raise QuoteExpired(quote=name, valid_until=quote.terms.valid_until.isoformat(timespec="seconds"))
    if not quote.terms.within_ceiling:
        raise QuoteBeyondCeiling(quote=name)


def _key_used(request_key: str, other: Quote) -> IdempotencyConflict:
    job = "" if other.job is None else job_text(other.job)
    return IdempotencyConflict(request_key=sent_key(request_key), job=job, differs="quote_id")


def _key_of_a_job(request_key: str, outcome: Submitted) -> IdempotencyConflict:
    differs = ", ".join(outcome.conflict or ()) or "quote_id"
    return IdempotencyConflict(request_key=sent_key(request_key), job=job_text(outcome.job), differs=differs)


def _facts(fresh: Quote) -> Mapping[str, str]:
    terms = fresh.terms
    return {
        "fresh_quote": quote_text(fresh.quote),
        "pool": f"{fresh.cluster}/{fresh.pool}",
        "not_before": terms.not_before.isoformat(timespec="seconds"),
        "starts_by": terms.starts_by.isoformat(timespec="seconds"),
        "valid_until": terms.valid_until.isoformat(timespec="seconds"),
        "total_micro_yuan": str(terms.total_micro_yuan),
        "within_ceiling": str(terms.within_ceiling).lower(),
    }
