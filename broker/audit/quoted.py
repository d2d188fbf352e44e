"""Accepted quotes in the tables: what was bound is there, and what became of each agrees with what its job did.

A window is kept by a lease a moment after it as well: a round takes its time. Credit notes and holds are told by their
reference, "quote-7".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts

MOMENT: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class QuotedLease:
    """A lease of a quoted job. Money is micro-yuan per card-hour."""

    lease: int
    pool: int
    offered_at: datetime
    price: tuple[int | None, int | None, int | None]  # ask, scarcity, version of the rate card
    hold: int | None


@dataclass(frozen=True, slots=True)
class QuotedFact:
    """An accepted quote, with its job, its money and its leases. Money is micro-yuan."""

    quote: int
    city: str
    state: str
    pool: int
    not_before: datetime
    starts_by: datetime
    price: tuple[int, int, int]
    total: int
    hold: int | None
    credit: int | None
    job: int
    job_city: str | None  # None: there is no such job
    job_state: str | None
    attempt: int | None
    promised: bool  # a start is promised to the job now
    broken: bool  # it was told that its promise cannot be kept, or that it is over
    hold_city: str | None
    hold_total: int  # what was held at first
    holds: int  # how many holds were made for it
    credited: int  # by credit notes
    walltime_seconds: int | None = None
    grace_seconds: int | None = None
    given_back: bool = False  # all of the hold was, and nothing captured
    leases: tuple[QuotedLease, ...] = ()  # the first one first


QUOTES: Final = """
    SELECT q.quote_id, q.city, q.state, q.pool_id, q.not_before, q.starts_by, q.ask_micro_yuan_per_card_hour AS ask,
           q.scarcity_micro_yuan_per_card_hour AS scarcity, q.rate_card_version AS version, q.total_micro_yuan AS total,
           q.hold_id AS hold, q.credit_micro_yuan AS credit, q.job_id AS job, j.city AS job_city, j.state AS job_state,
           j.attempt, j.walltime_seconds, j.grace_seconds,
           EXISTS (SELECT FROM promises p WHERE p.job_id = q.job_id AND p.attempt = j.attempt) AS promised,
           EXISTS (SELECT FROM promise_history h WHERE h.job_id = q.job_id AND h.fate IN ('broken', 'gone')) AS broken,
           h.city AS hold_city,
           coalesce((SELECT sum(p.held_micro_yuan) FROM ledger_hold_parts p WHERE p.hold_id = q.hold_id), 0)::bigint
               AS hold_total,
           coalesce(h.state IN ('released', 'expired')
                    AND (SELECT sum(p.captured_micro_yuan) FROM ledger_hold_parts p WHERE p.hold_id = q.hold_id) = 0,
                    false) AS given_back,
           (SELECT count(*) FROM ledger_holds h WHERE h.reference = 'quote-' || q.quote_id) AS holds,
           coalesce((SELECT sum(-p.micro_yuan) FROM ledger_transactions t JOIN ledger_postings p USING (transaction_id)
                       JOIN ledger_accounts a USING (account_id)
                      WHERE t.kind = 'credit_note' AND t.reference = 'quote-' || q.quote_id
                        AND a.kind = 'platform_loss'), 0)::bigint AS credited
      FROM quotes q LEFT JOIN jobs j USING (job_id) LEFT JOIN ledger_holds h ON h.hold_id = q.hold_id
     WHERE q.state <> 'open' ORDER BY q.quote_id
"""
LEASES: Final = """
    SELECT q.quote_id, l.lease_id, l.pool_id, l.offered_at, l.ask_micro_yuan_per_card_hour,
           l.scarcity_micro_yuan_per_card_hour, l.rate_card_version, l.hold_id
      FROM quotes q JOIN leases l USING (job_id) ORDER BY l.lease_id
"""


async def read(hub: Any) -> tuple[QuotedFact, ...]:
    """Return what the tables say; `hub` is a connection that sees all cities."""
    leases: dict[int, list[QuotedLease]] = {}
    for quote, lease, pool, at, ask, scarcity, version, hold in (r.values() for r in await hub.fetch(LEASES)):
        leases.setdefault(quote, []).append(QuotedLease(lease, pool, at, (ask, scarcity, version), hold))
    found = []
    for r in await hub.fetch(QUOTES):
        values = dict(r)
        quote, price = values.pop("quote_id"), (values.pop("ask"), values.pop("scarcity"), values.pop("version"))
        values |= {"quote": quote, "price": price, "pool": values.pop("pool_id")}
        found.append(QuotedFact(**values, leases=tuple(leases.get(quote, ()))))
    return tuple(found)


def every_accepted_quote_has_its_job_and_its_hold(facts: "Facts") -> Iterator[str]:
    """Whoever accepts one gets a job, and has its whole price, with the grace, held once, or nothing at all."""
    for quote in facts.quoted:
        if quote.job_city != quote.city:
            yield f"quote-{quote.quote} of {quote.city} is bound to job-{quote.job} of {quote.job_city}"
        if quote.holds != (quote.hold is not None):
            yield f"for quote-{quote.quote} there are {quote.holds} holds, and it names {_hold(quote.hold)}"
        walltime, grace = quote.walltime_seconds or 1, quote.grace_seconds or 0
        least, most = (total * (walltime + grace) // walltime for total in (quote.total, quote.total + 1))
        most = most if grace else quote.total
        held_right = quote.hold_city == quote.city and least <= quote.hold_total <= most
        if quote.hold is not None and not held_right:
            yield (
                f"quote-{quote.quote} of {quote.city} costs {quote.total} micro-yuan, with its grace {least}, and "
                f"{_hold(quote.hold)} of {quote.hold_city} holds {quote.hold_total}"
            )


def every_accepted_quote_waits_for_a_sure_start_or_is_over(facts: "Facts") -> Iterator[str]:
    """Until its job starts a start is promised, unless it was told that it cannot be kept; what came of it is true."""
    for quote in facts.quoted:
        if quote.state == "accepted" and quote.job_state == "pending" and quote.attempt == 0:
            if not (quote.promised or quote.broken):
                yield f"quote-{quote.quote} is accepted, and no start is promised to job-{quote.job}"
            continue
        first = min((lease.offered_at for lease in quote.leases), default=None)
        in_time = first is not None and first <= quote.starts_by + MOMENT
        if first is not None and first < quote.not_before:
            yield f"quote-{quote.quote} was for {quote.not_before.isoformat()}, and job-{quote.job} started before"
        if quote.state == "kept" and not in_time:
            yield f"quote-{quote.quote} is said to be kept, and job-{quote.job} did not start in its window"
        elif quote.state == "missed" and in_time:
            yield f"quote-{quote.quote} is said to be missed, and job-{quote.job} started in its window"
        elif quote.state == "cancelled" and (first is not None or quote.job_state != "cancelled"):
            yield f"quote-{quote.quote} is said to be cancelled, and job-{quote.job} was not, or started"


def every_missed_quote_is_credited_once(facts: "Facts") -> Iterator[str]:
    """The platform gives back what the quote says, for misses and for nothing else."""
    for quote in facts.quoted:
        owed = quote.credit or 0
        if quote.state == "missed" and quote.hold is not None and quote.credit is None:
            yield f"quote-{quote.quote} was missed and paid in advance, and nothing is said of a credit"
        if quote.credited != owed or (owed and quote.state != "missed"):
            yield f"quote-{quote.quote} is {quote.state}: {owed} micro-yuan are owed, {quote.credited} were given back"


def quoted_jobs_pay_what_was_quoted(facts: "Facts") -> Iterator[str]:
    """In the quote's pool its very price, elsewhere no more; its hold pays for the first lease alone, or for none."""
    for quote in facts.quoted:
        for at, lease in enumerate(quote.leases):
            if lease.pool == quote.pool and lease.price != quote.price:
                yield f"lease-{lease.lease} pays {lease.price}, and quote-{quote.quote} said {quote.price}"
            elif sum(each or 0 for each in lease.price[:2]) > sum(quote.price[:2]):
                yield f"lease-{lease.lease} pays more than quote-{quote.quote} said"
            wrong = lease.hold == quote.hold if at else lease.hold != quote.hold and not quote.given_back
            if quote.hold is not None and wrong:
                own, other = _hold(quote.hold), _hold(lease.hold)
                yield f"lease-{lease.lease} is paid out of {other}, and quote-{quote.quote} has {own}"


def _hold(hold: int | None) -> str:
    return "none" if hold is None else f"hold-{hold}"


RULES: Final = (
    every_accepted_quote_has_its_job_and_its_hold,
    every_accepted_quote_waits_for_a_sure_start_or_is_over,
    every_missed_quote_is_credited_once,
    quoted_jobs_pay_what_was_quoted,
)
