"""Quotes: terms that are written once, and what became of each. Times are aware UTC, money is micro-yuan."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.errors import QuoteNotFound
from broker.ids import HoldId, JobId, QuoteId, RoundId, quote_text
from broker.job import JobSpec, LeasePrice
from broker.ledger.holds import Hold
from broker.ledger.work import Billing
from broker.lifecycle import QuoteState
from broker.store import holds
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class QuoteTerms:
    """What a quote fixes.

    Attributes:
        pool_id, build: where it starts, and which of the job's builds.
        not_before, starts_by: the start window; a later start is a miss.
        starts_at: the earliest start that was found.
        price: per card-hour, as the lease will have it; of the rate card that holds at the start.
        round: whose scarcity it is; 0: no round was there.
        total_micro_yuan: of the whole walltime: what is held.
        energy_micro_yuan, transfer_micro_yuan: what counts against the ceilings beside it, and nobody is charged.
        transfer_seconds: how long the input is on its way, the walltime not counted.
        within_ceiling: the job's ceilings allow the price.
    """

    pool_id: int
    build: int
    not_before: datetime
    starts_by: datetime
    starts_at: datetime
    price: LeasePrice
    round: RoundId
    total_micro_yuan: int
    energy_micro_yuan: int
    transfer_micro_yuan: int
    transfer_seconds: int
    within_ceiling: bool
    asked_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote as it stands. `pool` and `model` are for people."""

    quote: QuoteId
    city: str
    spec: JobSpec
    terms: QuoteTerms
    hub: str
    cluster: str
    pool: str
    model: str
    state: QuoteState = QuoteState.OPEN
    request_key: str | None = None
    accepted_at: datetime | None = None
    job: JobId | None = None
    hold: HoldId | None = None
    decided_at: datetime | None = None
    credit_micro_yuan: int | None = None


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the lease of a quoted job pays, and out of which hold."""

    quote: QuoteId
    pool_id: int
    price: LeasePrice
    hold: HoldId | None


@dataclass(frozen=True, slots=True)
class Booked:
    """What is held for a quoted job before it starts, for a start in that pool."""

    quote: QuoteId
    pool_id: int
    hold: Hold


COLUMNS: Final[LiteralString] = """
    q.quote_id, q.city, q.spec, q.pool_id, q.build, q.not_before, q.starts_by, q.starts_at,
    q.ask_micro_yuan_per_card_hour AS ask, q.scarcity_micro_yuan_per_card_hour AS scarcity, q.rate_card_version,
    coalesce(q.round_id, 0) AS round_id, q.total_micro_yuan, q.energy_micro_yuan, q.transfer_micro_yuan,
    q.transfer_seconds, q.within_ceiling, q.asked_at, q.valid_until, q.state, q.request_key, q.accepted_at, q.job_id,
    q.hold_id, q.decided_at, q.credit_micro_yuan, c.hub, l.cluster, l.pool, l.model
"""
FROM_QUOTES: Final[LiteralString] = " FROM quotes q JOIN pools l USING (pool_id) JOIN clusters c USING (cluster)"
INSERT: Final[LiteralString] = """
    INSERT INTO quotes (city, spec, pool_id, build, not_before, starts_by, starts_at, ask_micro_yuan_per_card_hour,
                        scarcity_micro_yuan_per_card_hour, rate_card_version, round_id, total_micro_yuan,
                        energy_micro_yuan, transfer_micro_yuan, transfer_seconds, within_ceiling, asked_at, valid_until)
    SELECT $1, $2::text::jsonb, t.pool_id, t.build, t.not_before, t.starts_by, t.starts_at, t.ask, t.scarcity,
           t.version, nullif(t.round_id, 0), t.total, t.energy, t.transfer, t.transfer_seconds, t.within_ceiling, $3,
           t.valid_until
      FROM unnest($4::int[], $5::smallint[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::bigint[],
                  $10::bigint[], $11::int[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],
                  $17::bool[], $18::timestamptz[])
           WITH ORDINALITY AS t (pool_id, build, not_before, starts_by, starts_at, ask, scarcity, version, round_id,
                                 total, energy, transfer, transfer_seconds, within_ceiling, valid_until, place)
     ORDER BY t.place
    RETURNING quote_id
"""
GET: Final[LiteralString] = "SELECT " + COLUMNS + FROM_QUOTES + " WHERE q.quote_id = $1"
LOCK: Final[LiteralString] = GET + " FOR UPDATE OF q"
MANY: Final[LiteralString] = "SELECT " + COLUMNS + FROM_QUOTES + " WHERE q.quote_id = ANY($1) ORDER BY q.quote_id"
BY_KEY: Final[LiteralString] = "SELECT " + COLUMNS + FROM_QUOTES + " WHERE q.city = $1 AND q.request_key = $2"
SOME: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + FROM_QUOTES
    + """
     WHERE ($1::text IS NULL OR q.city = $1) AND (cardinality($2::text[]) = 0 OR q.state = ANY($2))
       AND ($3::bigint IS NULL OR q.quote_id < $3)"""
)
NEWEST: Final[LiteralString] = " ORDER BY q.quote_id DESC LIMIT $4"
LIST: Final[LiteralString] = SOME + NEWEST
LIST_OF_ENTERPRISE: Final[LiteralString] = (
    SOME + " AND q.city = $1 AND q.enterprise = $5 AND q.enterprise <> ''" + NEWEST
)
ACCEPT: Final[LiteralString] = """
    UPDATE quotes SET state = 'accepted', request_key = $2, accepted_at = $3, job_id = $4, hold_id = $5
     WHERE quote_id = $1 AND state = 'open' AND within_ceiling RETURNING quote_id
"""
OF_JOBS: Final[LiteralString] = """
    SELECT job_id, quote_id, pool_id, ask_micro_yuan_per_card_hour AS ask,
           scarcity_micro_yuan_per_card_hour AS scarcity, rate_card_version, hold_id
      FROM quotes WHERE job_id = ANY($1)
"""
# What was held for the quote pays for the first lease alone: a second attempt is charged like any other. One that has
# expired, or was released, pays for nothing.
HELD: Final[LiteralString] = """
    SELECT q.job_id FROM quotes q JOIN jobs j USING (job_id) JOIN ledger_holds h USING (hold_id)
     WHERE h.state = 'open' AND j.state = 'pending' AND j.attempt = 0
"""
PINNED: Final[LiteralString] = """
    SELECT q.job_id, q.ask_micro_yuan_per_card_hour + q.scarcity_micro_yuan_per_card_hour AS per_card_hour
      FROM quotes q JOIN jobs j USING (job_id) WHERE j.state = 'pending'
"""
LOCK_HELD: Final[LiteralString] = """
    SELECT q.job_id, q.quote_id, q.pool_id, h.hold_id
      FROM quotes q JOIN jobs j USING (job_id) JOIN ledger_holds h USING (hold_id)
     WHERE h.state = 'open' AND j.state = 'pending' AND j.attempt = 0 AND j.job_id = ANY($1)
     ORDER BY h.hold_id FOR UPDATE OF h
"""
BILLING: Final[LiteralString] = "SELECT billing FROM cities WHERE city = $1"
GREEN_HOURS: Final[LiteralString] = "SELECT hub, green_hours FROM hubs"
FORGET: Final[LiteralString] = """
    DELETE FROM quotes
     WHERE quote_id IN (SELECT quote_id FROM quotes WHERE state = 'open' AND valid_until < $1 LIMIT $2 FOR UPDATE)
"""


async def insert(
    tx: Connection, city: str, spec: JobSpec, options: Sequence[QuoteTerms], asked_at: datetime
) -> list[Quote]:
    """Write quotes for one job, in this order, and return them."""
    rows = await tx.fetch(
        INSERT,
        city,
        spec.body_text(),
        asked_at,
        [t.pool_id for t in options],
        [t.build for t in options],
        [t.not_before for t in options],
        [t.starts_by for t in options],
        [t.starts_at for t in options],
        [t.price.ask_micro_yuan_per_card_hour for t in options],
        [t.price.scarcity_micro_yuan_per_card_hour for t in options],
        [t.price.rate_card_version for t in options],
        [t.round for t in options],
        [t.total_micro_yuan for t in options],
        [t.energy_micro_yuan for t in options],
        [t.transfer_micro_yuan for t in options],
        [t.transfer_seconds for t in options],
        [t.within_ceiling for t in options],
        [t.valid_until for t in options],
    )
    return [_quote(r) for r in await tx.fetch(MANY, [r["quote_id"] for r in rows])]


async def get(tx: Connection, quote: QuoteId) -> Quote:
    """Return a quote. Raise QuoteNotFound when there is none that the transaction may see."""
    return _found(await tx.fetchrow(GET, quote), quote)


async def lock(tx: Connection, quote: QuoteId) -> Quote:
    """Return a quote that nobody else changes until the transaction ends. Raise QuoteNotFound."""
    return _found(await tx.fetchrow(LOCK, quote), quote)


async def by_request_key(tx: Connection, city: str, request_key: str) -> Quote | None:
    """Return the quote that was accepted under this key."""
    row = await tx.fetchrow(BY_KEY, city, request_key)
    return None if row is None else _quote(row)


async def list_page(
    tx: Connection,
    city: str | None,
    states: Collection[QuoteState],
    before: QuoteId | None,
    limit: int,
    *,
    enterprise: str = "",
) -> list[Quote]:
    """Return quotes, newest first, numbers below `before`; None and nothing let everything pass.

    `enterprise`: of the city; empty: all that the transaction may see.
    """
    values = (city, list(states), before, limit)
    rows = await (tx.fetch(LIST_OF_ENTERPRISE, *values, enterprise) if enterprise else tx.fetch(LIST, *values))
    return [_quote(r) for r in rows]


async def accept(
    tx: Connection, quote: QuoteId, request_key: str, job: JobId, hold: HoldId | None, at: datetime
) -> bool:
    """Bind an open quote to its job; tell whether it was open."""
    return await tx.fetchval(ACCEPT, quote, request_key, at, job, hold) is not None


async def of_jobs(tx: Connection, jobs: Collection[JobId]) -> Mapping[JobId, Pinned]:
    """Return what is fixed for those of the jobs that come from an accepted quote."""
    return {
        JobId(r["job_id"]): Pinned(QuoteId(r["quote_id"]), r["pool_id"], _price(r), _hold(r))
        for r in await tx.fetch(OF_JOBS, list(jobs))
    }


async def held(tx: Connection) -> frozenset[JobId]:
    """Return the quoted jobs that never started and for which money is held."""
    return frozenset(JobId(r["job_id"]) for r in await tx.fetch(HELD))


async def pinned(tx: Connection) -> dict[JobId, int]:
    """Return what quoted jobs that wait pay at most, in micro-yuan per card-hour: their leases have no higher price."""
    return {JobId(r["job_id"]): r["per_card_hour"] for r in await tx.fetch(PINNED)}


async def lock_held(tx: Connection, jobs: Sequence[JobId]) -> dict[JobId, Booked]:
    """Return what is held for those of the jobs that never started, and lock it: before any balance is."""
    rows = await tx.fetch(LOCK_HELD, jobs)
    found = {hold.hold: hold for hold in await holds.read(tx, [r["hold_id"] for r in rows])}
    return {JobId(r["job_id"]): Booked(QuoteId(r["quote_id"]), r["pool_id"], found[HoldId(r["hold_id"])]) for r in rows}


async def billing(tx: Connection, city: str) -> Billing:
    """Return how a city pays."""
    return Billing(await tx.fetchval(BILLING, city))


async def green_hours(tx: Connection) -> dict[str, tuple[int, ...]]:
    """Return the hours of green energy by hub, 0 to 23."""
    return {r["hub"]: tuple(r["green_hours"]) for r in await tx.fetch(GREEN_HOURS)}


async def forget(tx: Connection, before: datetime, limit: int) -> int:
    """Remove quotes that nobody accepted and that were valid until then; return how many."""
    return int((await tx.execute(FORGET, before, limit)).rpartition(" ")[2])


def _found(row: Any, quote: QuoteId) -> Quote:
    if row is None:
        raise QuoteNotFound(quote=quote_text(quote))
    return _quote(row)


def _price(r: Any) -> LeasePrice:
    return LeasePrice(r["ask"], r["scarcity"], r["rate_card_version"])


def _hold(r: Any) -> HoldId | None:
    return None if r["hold_id"] is None else HoldId(r["hold_id"])


def _quote(r: Any) -> Quote:
    return Quote(
        quote=QuoteId(r["quote_id"]),
        city=r["city"],
        spec=JobSpec.from_json(r["spec"]),
        terms=QuoteTerms(
            pool_id=r["pool_id"],
            build=r["build"],
            not_before=r["not_before"],
            starts_by=r["starts_by"],
            starts_at=r["starts_at"],
            price=_price(r),
            round=RoundId(r["round_id"]),
            total_micro_yuan=r["total_micro_yuan"],
            energy_micro_yuan=r["energy_micro_yuan"],
            transfer_micro_yuan=r["transfer_micro_yuan"],
            transfer_seconds=r["transfer_seconds"],
            within_ceiling=r["within_ceiling"],
            asked_at=r["asked_at"],
            valid_until=r["valid_until"],
        ),
        hub=r["hub"],
        cluster=r["cluster"],
        pool=r["pool"],
        model=r["model"],
        state=QuoteState(r["state"]),
        request_key=r["request_key"],
        accepted_at=r["accepted_at"],
        job=None if r["job_id"] is None else JobId(r["job_id"]),
        hold=_hold(r),
        decided_at=r["decided_at"],
        credit_micro_yuan=r["credit_micro_yuan"],
    )
