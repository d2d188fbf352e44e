"""Evidence packs: what auditors, the voucher office and whose voucher it is are handed about a voucher."""

from contextlib import AbstractAsyncContextManager
from dataclasses import asdict

from broker.caller import Caller, Role
from broker.errors import RoleRefused, VoucherNotFound
from broker.market import access
from broker.store import voucher_story, voucher_use, vouchers
from broker.store.database import Connection, Database
from broker.store.voucher_story import StoryOf
from broker.store.vouchers import VoucherRow
from broker.vouchers.evidence import Document, packs
from broker.vouchers.evidence import Evidence as VoucherEvidence

STORY_MAX = 10_000


class Evidence:
    """Use cases of evidence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_voucher(self, caller: Caller, voucher: str) -> tuple[Document, ...]:
        """Return the pack of a voucher, all of one moment. Raise VoucherNotFound or RoleRefused."""
        async with self._seen_by(caller) as tx:
            found = await vouchers.one(tx, voucher)
            if found is None:
                raise VoucherNotFound(voucher=voucher)
            evidence = await _read(tx, found)
        return evidence.documents()

    async def of_enterprise(self, caller: Caller, city: str, enterprise: str, year: int) -> tuple[Document, ...]:
        """Return the packs of all vouchers that an enterprise has of a year's programmes, all of one moment.

        An empty city: of the enterprises of that name in all cities. Raise VoucherNotFound: it has none.
        """
        async with self._seen_by(caller) as tx:
            rows = await vouchers.of_year(tx, city, enterprise, year)
            if not rows:
                raise VoucherNotFound(voucher=f"of {enterprise} of {city or 'any city'} from {year}")
            found = [await _read(tx, row) for row in rows]
        return packs(enterprise, year, found)

    def _seen_by(self, caller: Caller) -> AbstractAsyncContextManager[Connection]:
        if caller.city:  # all that a pack tells is about its own voucher, so the fence takes nothing from it
            return access.own_rows(self._database, caller)
        if caller.role in (Role.VOUCHER_OFFICE, Role.OPERATOR, Role.AUDITOR):
            return self._database.hub()
        raise RoleRefused(
            role=caller.role, needed="evidence is for whose voucher it is, the voucher office, auditors and operators"
        )


async def _read(tx: Connection, found: VoucherRow) -> VoucherEvidence:
    uses = await voucher_use.use(tx, found.terms.account)
    steps = await voucher_story.story(tx, StoryOf(voucher=found.terms.voucher), 0, STORY_MAX)
    terms = asdict(found.terms) | {
        "workload_classes": sorted(found.terms.workload_classes),
        "related_owners": sorted(found.terms.related_owners),
        "granted_micro_yuan": found.granted_micro_yuan,
        "granted_at": found.granted_at,
        "papers_missing": found.papers_missing,
    }
    told = [
        {
            "at": s.at,
            "event": s.event.value,
            "officer": s.officer.name,
            "key_id": s.officer.key_id,
            "note": s.note,
            "detail": dict(s.detail),
        }
        for s in steps
    ]
    return VoucherEvidence(terms, uses, told)
