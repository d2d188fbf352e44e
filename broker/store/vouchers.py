"""Vouchers as rows, with what stands on their accounts; what a payment asks of them; what each day cost a budget.

Order of locks: a programme, an application, a voucher, then balances as the ledger has it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, LiteralString

from broker.store.database import Connection
from broker.vouchers.applying import ApplicationDraft, Terms
from broker.vouchers.paying import Voucher
from broker.vouchers.programme import Programme
from broker.vouchers.states import VoucherState


@dataclass(frozen=True, slots=True)
class VoucherRow:
    """A voucher as it stands; money is micro-yuan, of its account and of what waits for papers."""

    terms: Voucher
    application: int
    granted_micro_yuan: int
    held_micro_yuan: int
    rest_micro_yuan: int
    papers_missing: tuple[str, ...]
    granted_at: datetime
    suspended_at: datetime | None
    suspended_by_officer: bool
    returns: int


SELECT: Final[LiteralString] = """
    SELECT v.voucher, v.city, v.enterprise, v.programme, v.hub, v.state, v.workload_classes, v.domestic_ppm,
           v.other_ppm, e.related_owners, v.scale_milli_pflops, p.minimum_milli_pflops, v.papers_due, v.valid_until,
           v.application_id, v.granted_micro_yuan, v.papers_missing, v.granted_at, v.suspended_at,
           v.suspended_by_officer, v.returns,
           coalesce(b.available_micro_yuan, 0) AS available, coalesce(b.held_micro_yuan, 0) AS held,
           coalesce(r.available_micro_yuan, 0) AS rest
      FROM vouchers v JOIN voucher_programmes p USING (programme)
      JOIN enterprises e ON (e.city, e.enterprise) = (v.city, v.enterprise)
      LEFT JOIN ledger_accounts a ON a.name = 'voucher/' || v.city || '/' || v.voucher
      LEFT JOIN ledger_balances b ON b.account_id = a.account_id
      LEFT JOIN ledger_accounts ra ON ra.name = 'voucher/' || v.city || '/' || v.voucher || '-rest'
      LEFT JOIN ledger_balances r ON r.account_id = ra.account_id
"""
NAMED: Final[LiteralString] = SELECT + " WHERE v.voucher = ANY($1)"
LOCK: Final[LiteralString] = "SELECT FROM vouchers WHERE voucher = $1 FOR UPDATE"
LIST: Final[LiteralString] = (
    SELECT
    + """
     WHERE ($1 = '' OR v.city = $1) AND ($2 = '' OR v.enterprise = $2) AND ($3 = '' OR v.programme = $3)
       AND v.voucher > $4 ORDER BY v.voucher LIMIT $5
"""
)
OF_YEAR: Final[LiteralString] = (
    SELECT + " WHERE ($1 = '' OR v.city = $1) AND v.enterprise = $2 AND p.year = $3 ORDER BY v.voucher LIMIT $4"
)
OF_YEAR_MAX: Final = 1000
"""An enterprise has a handful of vouchers; this only bounds what is read."""

# What the clock alone asks for: dates of papers, the end of validity, money that came back after it, nothing left.
DUE: Final[LiteralString] = """
    SELECT v.voucher FROM vouchers v
      LEFT JOIN ledger_accounts a ON a.name = 'voucher/' || v.city || '/' || v.voucher
      LEFT JOIN ledger_balances b USING (account_id)
     WHERE (v.state = 'conditional' AND v.papers_due <= $1)
        OR (v.state IN ('conditional', 'active', 'suspended', 'used_up') AND v.valid_until <= $1)
        OR (v.state = 'expired' AND b.available_micro_yuan > 0)
        OR (v.state = 'active' AND b.available_micro_yuan + b.held_micro_yuan = 0)
        OR (v.state = 'used_up' AND b.available_micro_yuan > 0)
     ORDER BY v.voucher LIMIT $2
"""
INSERT: Final[LiteralString] = """
    INSERT INTO vouchers (voucher, city, application_id, programme, hub, enterprise, state, granted_micro_yuan,
        domestic_ppm, other_ppm, workload_classes, scale_milli_pflops, papers_missing, papers_due, granted_at,
        valid_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""
GRANTED_TO: Final[LiteralString] = """
    SELECT coalesce(sum(v.granted_micro_yuan), 0)::bigint FROM vouchers v
     WHERE v.programme = $1 AND (v.city, v.enterprise) = ($2, $3)
"""
MOVE: Final[LiteralString] = """
    UPDATE vouchers SET state = $2, suspended_at = $3, suspended_by_officer = $4, papers_missing = $5, papers_due = $6,
           returns = $7 WHERE voucher = $1
"""
# Days of UTC+8. What came back to the budget goes against the grants of its day.
GRANTS_BY_DAY: Final[LiteralString] = """
    SELECT (t.at AT TIME ZONE 'UTC' + interval '8 hours')::date AS day, (-sum(p.micro_yuan))::bigint AS micro_yuan
      FROM ledger_postings p JOIN ledger_transactions t USING (transaction_id) JOIN ledger_accounts a USING (account_id)
     WHERE a.name = $1 AND t.kind IN ('grant', 'return') GROUP BY day ORDER BY day
"""
CAPTURES_BY_DAY: Final[LiteralString] = """
    SELECT (t.at AT TIME ZONE 'UTC' + interval '8 hours')::date AS day, (-sum(p.micro_yuan))::bigint AS micro_yuan
      FROM vouchers v JOIN ledger_accounts a ON a.name = 'voucher/' || v.city || '/' || v.voucher
      JOIN ledger_postings p USING (account_id) JOIN ledger_transactions t USING (transaction_id)
     WHERE v.programme = $1 AND t.kind IN ('capture', 'credit_note') GROUP BY day ORDER BY day
"""
UNUSED: Final[LiteralString] = """
    SELECT coalesce(sum(b.available_micro_yuan + b.held_micro_yuan), 0)::bigint
      FROM vouchers v JOIN ledger_accounts a
        ON a.name IN ('voucher/' || v.city || '/' || v.voucher, 'voucher/' || v.city || '/' || v.voucher || '-rest')
      JOIN ledger_balances b USING (account_id) WHERE v.programme = $1
"""


def voucher_name(programme: str, application: int) -> str:
    """Return the name of the voucher that an application becomes."""
    return f"{programme}-{application}"


async def for_payment(tx: Connection, names: Collection[str]) -> dict[str, Voucher]:
    """Return the vouchers of these names, whatever their state, by name; what is not there is left out.

    In a transaction of the hub foreign vouchers are found as well: `vouchers.paying.paying` refuses them.
    """
    return {r["voucher"]: _terms(r) for r in await tx.fetch(NAMED, list(names))} if names else {}


async def lock(tx: Connection, voucher: str) -> VoucherRow | None:
    """Return a voucher, and let nobody else move it until the transaction ends."""
    await tx.execute(LOCK, voucher)
    return await one(tx, voucher)


async def one(tx: Connection, voucher: str) -> VoucherRow | None:
    """Return a voucher, None where there is none that may be seen."""
    rows = await tx.fetch(NAMED, [voucher])
    return _row(rows[0]) if rows else None


async def page(tx: Connection, city: str, enterprise: str, programme: str, after: str, limit: int) -> list[VoucherRow]:
    """Return a page of vouchers by name."""
    return [_row(r) for r in await tx.fetch(LIST, city, enterprise, programme, after, limit)]


async def of_year(tx: Connection, city: str, enterprise: str, year: int) -> list[VoucherRow]:
    """Return the vouchers that an enterprise has of a year's programmes, by name; an empty city: of any city."""
    return [_row(r) for r in await tx.fetch(OF_YEAR, city, enterprise, year, OF_YEAR_MAX)]


async def due(tx: Connection, now: datetime, limit: int) -> list[str]:
    """Return vouchers for which something is to be done by the clock or by their balance alone."""
    return [r["voucher"] for r in await tx.fetch(DUE, now, limit)]


async def insert(
    tx: Connection, draft: ApplicationDraft, programme: Programme, application: int, granted: Terms, now: datetime
) -> str:
    """Store a new voucher with the terms of its grant, and return its name."""
    name = voucher_name(programme.programme, application)
    state = VoucherState.CONDITIONAL if granted.missing else VoucherState.ACTIVE
    await tx.execute(
        INSERT,
        name,
        draft.city,
        application,
        programme.programme,
        programme.hub,
        draft.enterprise,
        state,
        granted.micro_yuan,
        programme.ratios.domestic_ppm,
        programme.ratios.other_ppm,
        list(draft.workload_classes),
        draft.scale_milli_pflops,
        list(granted.missing),
        granted.papers_due,
        now,
        granted.valid_until,
    )
    return name


async def granted_to(tx: Connection, programme: str, city: str, enterprise: str) -> int:
    """Return what a programme has granted to an enterprise, in micro-yuan. Its year is the programme's."""
    found: int = await tx.fetchval(GRANTED_TO, programme, city, enterprise)
    return found


@dataclass(frozen=True, slots=True)
class Moved:
    """What of a voucher changes with a step."""

    state: VoucherState
    suspended_at: datetime | None
    suspended_by_officer: bool
    papers_missing: tuple[str, ...]
    papers_due: datetime | None
    returns: int


async def move(tx: Connection, voucher: str, to: Moved) -> None:
    """Let a locked voucher be otherwise."""
    missing = list(to.papers_missing)
    await tx.execute(
        MOVE, voucher, to.state, to.suspended_at, to.suspended_by_officer, missing, to.papers_due, to.returns
    )


async def grants_by_day(tx: Connection, budget: str) -> dict[date, int]:
    """Return what left a budget on each day of UTC+8, in micro-yuan."""
    return {r["day"]: r["micro_yuan"] for r in await tx.fetch(GRANTS_BY_DAY, budget)}


async def captures_by_day(tx: Connection, programme: str) -> dict[date, int]:
    """Return what the vouchers of a programme paid on each day of UTC+8, in micro-yuan."""
    return {r["day"]: r["micro_yuan"] for r in await tx.fetch(CAPTURES_BY_DAY, programme)}


async def unused(tx: Connection, programme: str) -> int:
    """Return what the vouchers of a programme have not paid yet, in micro-yuan."""
    found: int = await tx.fetchval(UNUSED, programme)
    return found


def _terms(r: Any) -> Voucher:
    return Voucher(
        voucher=r["voucher"],
        city=r["city"],
        enterprise=r["enterprise"],
        programme=r["programme"],
        hub=r["hub"],
        state=VoucherState(r["state"]),
        workload_classes=frozenset(r["workload_classes"]),
        domestic_ppm=r["domestic_ppm"],
        other_ppm=r["other_ppm"],
        related_owners=frozenset(r["related_owners"]),
        scale_milli_pflops=r["scale_milli_pflops"],
        minimum_milli_pflops=r["minimum_milli_pflops"],
        papers_due=r["papers_due"],
        available_micro_yuan=r["available"],
        valid_until=r["valid_until"],
    )


def _row(r: Any) -> VoucherRow:
    return VoucherRow(
        _terms(r),
        r["application_id"],
        r["granted_micro_yuan"],
        r["held"],
        r["rest"],
        tuple(r["papers_missing"]),
        r["granted_at"],
        r["suspended_at"],
        r["suspended_by_officer"],
        r["returns"],
    )
