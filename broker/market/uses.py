"""What cities, enterprises and owners see of the use of leases, and of what is held for them."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from broker.caller import Caller, Role
from broker.errors import RoleRefused
from broker.ids import HoldId, LeaseId
from broker.ledger.holds import Hold
from broker.ledger.usage import Usage, of_times
from broker.market import access
from broker.store import uses
from broker.store.database import Connection, Database
from broker.store.uses import UseRow, Wanted

_MILLI_CARD_SECONDS = 1000 * 3600
"""In a card-hour."""


@dataclass(frozen=True, slots=True)
class LeaseUse:
    """A lease with its use, by what was told or, where nobody tells, by its times."""

    row: UseRow
    usage: Usage

    @property
    def seconds(self) -> int:
        """How long it was used."""
        return self.usage.seconds(self.row.seconds_max)

    def micro_pflops_hours(self, milli_tflops: int) -> int:
        """Return what it has had of FP16, by a figure of its model; rounded down."""
        return milli_tflops * self.row.milli_cards * self.seconds // _MILLI_CARD_SECONDS


class Uses:
    """Use cases of those who look at use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(
        self, caller: Caller, wanted: Wanted, before: LeaseId | None, limit: int, now: datetime
    ) -> list[LeaseUse]:
        """Return a page of what leases have used that the caller may see, newest first. Raise RoleRefused.

        Owners see leases on their clusters; these are other cities' rows, so the query itself is bound to them.
        """
        if caller.role is Role.OWNER:
            wanted = replace(wanted, owner=caller.subject)
        if caller.enterprise and wanted.city in (None, caller.city):
            wanted = replace(wanted, city=caller.city, enterprise=caller.enterprise)
        async with self._seen_by(caller) as tx:
            rows = await uses.uses(tx, wanted, before, limit)
        return [LeaseUse(row, row.usage or _by_times(row, now)) for row in rows]

    async def holds(
        self, caller: Caller, city: str | None, before: HoldId | None, limit: int, *, open_only: bool
    ) -> list[Hold]:
        """Return a page of holds that the caller may see, newest first. Raise RoleRefused."""
        if caller.role is Role.OWNER:
            raise RoleRefused(role=caller.role, needed="holds are for the cities whose money they are")
        async with self._seen_by(caller) as tx:
            return await uses.hold_page(
                tx, city, before, limit, open_only=open_only, few_accounts=bool(caller.enterprise)
            )

    def _seen_by(self, caller: Caller) -> AbstractAsyncContextManager[Connection]:
        if caller.city:
            return access.own_rows(self._database, caller)
        if caller.role in (Role.OWNER, Role.OPERATOR, Role.AUDITOR):
            return self._database.hub()
        raise RoleRefused(role=caller.role, needed="use is for cities, enterprises, owners, auditors and operators")


def _by_times(row: UseRow, now: datetime) -> Usage:
    until = now if row.ended_at is None else row.ended_at
    return of_times(row.started_at, until, ended=row.ended_at is not None)
