"""Programmes, enterprises and applications as rows."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

import asyncpg

from broker.errors import ApplicationConflict, ContractClaimed, EnterpriseSplit
from broker.ids import application_text
from broker.request_key import sent_key
from broker.store.database import Connection
from broker.vouchers.applying import ApplicationDraft, Enterprise, plain
from broker.vouchers.programme import ApplicantType, ClaimSide, Programme, ProgrammeFile
from broker.vouchers.states import ApplicationState


@dataclass(frozen=True, slots=True)
class ProgrammeRow:
    """A programme, with the document of its rules and where its money is, in micro-yuan."""

    programme: Programme
    sources: Any
    set_at: datetime
    left_micro_yuan: int
    granted_micro_yuan: int
    vouchers: int


PUT_PROGRAMME: Final[LiteralString] = """
    INSERT INTO voucher_programmes (programme, hub, year, budget_micro_yuan, minimum_milli_pflops, rules, set_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (programme) DO UPDATE
       SET budget_micro_yuan = excluded.budget_micro_yuan, minimum_milli_pflops = excluded.minimum_milli_pflops,
           rules = excluded.rules, set_at = excluded.set_at
"""
LOCK_PROGRAMME: Final[LiteralString] = "SELECT rules FROM voucher_programmes WHERE programme = $1 FOR UPDATE"
PROGRAMMES: Final[LiteralString] = """
    SELECT p.rules, p.set_at, coalesce(b.available_micro_yuan, 0) AS left_over,
           coalesce(v.granted, 0)::bigint AS granted, coalesce(v.vouchers, 0) AS vouchers
      FROM voucher_programmes p
      LEFT JOIN ledger_accounts a ON a.name = 'budget/' || p.hub || '/' || p.programme
      LEFT JOIN ledger_balances b USING (account_id)
      LEFT JOIN (SELECT programme, sum(granted_micro_yuan) AS granted, count(*) AS vouchers FROM vouchers
                  GROUP BY programme) v USING (programme)
     WHERE ($1 = '' OR p.programme = $1) ORDER BY p.programme
"""


def rules_of(programme: Programme, file: ProgrammeFile) -> dict[str, Any]:
    """Return what is stored of a programme: its rules and sources, as plain JSON values."""
    return {
        "programme": programme.model_dump(mode="json"),
        "sources": {name: source.model_dump(mode="json") for name, source in file.sources.items()},
    }


async def put_programme(tx: Connection, programme: Programme, rules: dict[str, Any], at: datetime) -> None:
    """Store a programme as it is from now on."""
    await tx.execute(
        PUT_PROGRAMME,
        programme.programme,
        programme.hub,
        programme.year,
        programme.budget.micro_yuan,
        programme.minimum_milli_pflops,
        rules,
        at,
    )


async def lock_programme(tx: Connection, programme: str) -> dict[str, Any] | None:
    """Return the stored rules of a programme, and let nobody else change or grant it until the transaction ends."""
    found: dict[str, Any] | None = await tx.fetchval(LOCK_PROGRAMME, programme)
    return found


async def programmes(tx: Connection, programme: str = "") -> list[ProgrammeRow]:
    """Return programmes by name. To a transaction of a city budgets are not told, and only its own grants count."""
    return [
        ProgrammeRow(
            stored_programme(r["rules"]),
            r["rules"]["sources"],
            r["set_at"],
            r["left_over"],
            r["granted"],
            r["vouchers"],
        )
        for r in await tx.fetch(PROGRAMMES, programme)
    ]


def stored_programme(rules: dict[str, Any]) -> Programme:
    """Return the programme of stored rules."""
    return Programme.model_validate_json(json.dumps(rules["programme"]))


PUT_ENTERPRISE: Final[LiteralString] = """
    INSERT INTO enterprises (city, enterprise, title, registration, plant, registration_plain, plant_plain,
                             applicant_type, related_owners, set_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (city, enterprise) DO UPDATE
       SET title = excluded.title, registration = excluded.registration, plant = excluded.plant,
           registration_plain = excluded.registration_plain, plant_plain = excluded.plant_plain,
           applicant_type = excluded.applicant_type, related_owners = excluded.related_owners, set_at = excluded.set_at
"""
ENTERPRISES: Final[LiteralString] = """
    SELECT city, enterprise, title, registration, plant, applicant_type, related_owners FROM enterprises
     WHERE ($1 = '' OR city = $1) AND ($2 = '' OR enterprise = $2) AND (city, enterprise) > ($3, $4)
     ORDER BY city, enterprise LIMIT $5
"""


async def put_enterprise(tx: Connection, new: Enterprise, at: datetime) -> None:
    """Register an enterprise, or change it. Raise EnterpriseSplit: its number or plant is another one's."""
    values = (new.city, new.enterprise, new.title, new.registration, new.plant, plain(new.registration))
    rest = (plain(new.plant), new.applicant_type, list(new.related_owners), at)
    try:
        await tx.execute(PUT_ENTERPRISE, *values, *rest)
    except asyncpg.UniqueViolationError as error:
        what = "plant" if error.constraint_name == "enterprises_plant_once" else "registration number"
        raise EnterpriseSplit(what=what) from error


async def enterprises(
    tx: Connection, city: str = "", enterprise: str = "", *, after: tuple[str, str] = ("", ""), limit: int = 1
) -> list[Enterprise]:
    """Return a page of enterprises by city and name."""
    return [
        Enterprise(
            r["city"],
            r["enterprise"],
            r["title"],
            r["registration"],
            r["plant"],
            ApplicantType(r["applicant_type"]),
            tuple(r["related_owners"]),
        )
        for r in await tx.fetch(ENTERPRISES, city, enterprise, *after, limit)
    ]


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application as it stands."""

    application: int
    draft: ApplicationDraft
    state: ApplicationState
    applied_at: datetime


COLUMNS: Final[LiteralString] = """
    application_id, city, enterprise, programme, side, provider, contract, micro_yuan, scale_milli_pflops,
    workload_classes, papers, state, request_key, applied_at
"""
INSERT: Final[LiteralString] = """
    INSERT INTO voucher_applications (city, enterprise, programme, side, provider, contract, contract_plain, micro_yuan,
        scale_milli_pflops, workload_classes, papers, request_key, body_sha256, applied_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (city, request_key) DO NOTHING RETURNING application_id
"""
BEFORE: Final[LiteralString] = """
    SELECT application_id, body_sha256 FROM voucher_applications WHERE city = $1 AND request_key = $2
"""
LOCK: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM voucher_applications WHERE application_id = $1 AND ($2 = '' OR city = $2) FOR UPDATE"
)
MOVE: Final[LiteralString] = "UPDATE voucher_applications SET state = $2 WHERE application_id = $1"
LIST: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + """ FROM voucher_applications
     WHERE ($1 = '' OR city = $1) AND ($2 = '' OR programme = $2) AND ($3 = '' OR state = $3) AND application_id > $4
     ORDER BY application_id LIMIT $5
"""
)


async def apply(tx: Connection, draft: ApplicationDraft, at: datetime) -> tuple[int, bool]:
    """Store an application; return its number, and whether the same request had stored it before.

    Raises:
        ContractClaimed: another application claims the contract; the transaction is lost.
        ApplicationConflict: the request key was used for another application.
    """
    body = hashlib.sha256(json.dumps(asdict(draft), sort_keys=True).encode()).digest()
    before = await tx.fetchrow(BEFORE, draft.city, draft.request_key)
    if before is None:
        number = await _insert(tx, draft, body, at)
        if number is not None:
            return number, False
        before = await tx.fetchrow(BEFORE, draft.city, draft.request_key)
        assert before is not None  # noqa: S101  # it was in the way
    if before["body_sha256"] != body:
        raise ApplicationConflict(
            request_key=sent_key(draft.request_key), application=application_text(before["application_id"])
        )
    return before["application_id"], True


async def _insert(tx: Connection, draft: ApplicationDraft, body: bytes, at: datetime) -> int | None:
    values = (draft.city, draft.enterprise, draft.programme, draft.side, draft.provider, draft.contract)
    rest = (plain(draft.contract), draft.micro_yuan, draft.scale_milli_pflops, list(draft.workload_classes))
    try:
        number: int | None = await tx.fetchval(INSERT, *values, *rest, list(draft.papers), draft.request_key, body, at)
    except asyncpg.UniqueViolationError as error:
        raise ContractClaimed(contract=draft.contract, provider=draft.provider) from error
    return number


async def lock(tx: Connection, application: int, city: str = "") -> ApplicationRow | None:
    """Return an application, and let nobody else move it until the transaction ends."""
    row = await tx.fetchrow(LOCK, application, city)
    return None if row is None else _application(row)


async def move(tx: Connection, application: int, state: ApplicationState) -> None:
    """Let a locked application be in another state."""
    await tx.execute(MOVE, application, state)


async def applications(
    tx: Connection, city: str, programme: str, state: ApplicationState | None, after: int, limit: int
) -> list[ApplicationRow]:
    """Return a page of applications by number."""
    return [_application(r) for r in await tx.fetch(LIST, city, programme, state or "", after, limit)]


def _application(r: Any) -> ApplicationRow:
    draft = ApplicationDraft(
        request_key=r["request_key"],
        city=r["city"],
        enterprise=r["enterprise"],
        programme=r["programme"],
        side=ClaimSide(r["side"]),
        provider=r["provider"],
        contract=r["contract"],
        micro_yuan=r["micro_yuan"],
        scale_milli_pflops=r["scale_milli_pflops"],
        workload_classes=tuple(r["workload_classes"]),
        papers=tuple(r["papers"]),
    )
    return ApplicationRow(r["application_id"], draft, ApplicationState(r["state"]), r["applied_at"])
