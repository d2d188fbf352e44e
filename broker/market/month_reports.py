"""What lists and reports tell over many parties: use of a month by city and sector, and credit notes."""

from dataclasses import replace
from datetime import datetime

from broker.caller import Caller, Role
from broker.errors import CityNotFound, RoleRefused, invalid
from broker.ids import TransactionId
from broker.ledger.accounts import AccountKind, AccountName
from broker.market import access
from broker.papers.month import Month
from broker.papers.use import UseReport
from broker.store import credit_notes, ledger, use_report
from broker.store.credit_notes import ListedNote, NotesWanted
from broker.store.database import Database


class MonthReports:
    """Use cases of reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def use(self, caller: Caller, month: Month, city: str, *, now: datetime) -> UseReport:
        """Return what was used in a month; an empty city: all that the caller may see. A city sees its own.

        Raises: InvalidRequest: the month has not begun. CityNotFound, RoleRefused.
        """
        if month.begins_at > now:
            raise invalid("month", f"{month.text} has not begun: it begins at {month.begins_at.isoformat()}")
        if caller.role is Role.CITY:
            if city not in ("", caller.subject):
                raise CityNotFound(city=city)
            city = caller.subject
            async with self._database.city(city) as tx:
                rows = await use_report.use_rows(tx, month, city, now)
        elif caller.role in (Role.OPERATOR, Role.AUDITOR):
            async with self._database.hub() as tx:
                if city:
                    await ledger.check_holder(tx, AccountName(AccountKind.CITY, (city,)))
                rows = await use_report.use_rows(tx, month, city or None, now)
        else:
            raise RoleRefused(role=caller.role, needed="reports of use are for cities, auditors and operators")
        if city:  # what the exchange paid is not the city's business, and its report is the same for all
            rows = [replace(row, borne_micro_yuan=0) for row in rows]
        return UseReport(month.text, city, None if month.is_closed(now) else now, tuple(rows))

    async def credit_notes(
        self, caller: Caller, wanted: NotesWanted, before: TransactionId | None, limit: int
    ) -> list[ListedNote]:
        """Return a page of credit notes that the caller may see, newest first. Raise CityNotFound or RoleRefused.

        Cities and enterprises see those to their accounts. Owners see those out of theirs: these are other cities'
        rows, so the query itself is bound to them.
        """
        if caller.city:
            if wanted.city not in (None, caller.city):
                raise CityNotFound(city=str(wanted.city))
            async with access.own_rows(self._database, caller) as tx:
                found = await credit_notes.page(tx, replace(wanted, city=caller.city), before, limit)
            return [replace(each, note=replace(each.note, payer="")) for each in found]
        if caller.role not in (Role.OWNER, Role.OPERATOR, Role.AUDITOR):
            raise RoleRefused(
                role=caller.role, needed="credit notes are for cities, enterprises, owners, auditors and operators"
            )
        if caller.role is Role.OWNER:
            wanted = replace(wanted, owner=caller.subject)
        async with self._database.hub() as tx:
            return await credit_notes.page(tx, wanted, before, limit)
