"""Charge leases of cities that pay in advance: hourly while they run, and when they end; in bulk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker.errors import BrokerError
from broker.ids import HoldId, lease_text
from broker.ledger.charging import ChargedLease, Step, step
from broker.ledger.holds import Hold
from broker.store import charging
from broker.store.charging import Due
from broker.store.database import Connection, Database

BATCH_LEASES: Final = 500
"""Leases that one transaction charges: it holds the balances of their payers."""

log = structlog.get_logger("charging")


@dataclass(frozen=True, slots=True)
class ChargingTerms:
    """How leases are charged.

    Attributes:
        interval: between two captures of a lease that runs.
        fee_ppm: of what is captured, in millionths: the exchange's fee.
        batch_leases: most leases in one transaction.
    """

    interval: timedelta = timedelta(hours=1)
    fee_ppm: int = 0
    batch_leases: int = BATCH_LEASES


class Charging:
    """Use cases of charging."""

    def __init__(
        self, database: Database, terms: ChargingTerms, *, released: Callable[[], None] = lambda: None
    ) -> None:
        """`released`: called when money is free again that waiting jobs may need."""
        self._database = database
        self._terms = terms
        self._released = released

    async def charge_due(self, now: datetime) -> int:
        """Look at all leases that are due at `now`, and return how many these were."""
        total = 0
        while True:
            looked_at = await self._charge_some(now)
            total += looked_at
            if looked_at < self._terms.batch_leases:
                return total

    async def _charge_some(self, now: datetime) -> int:
        try:
            async with self._database.hub() as tx:
                due = await charging.due(tx, now, self._terms.batch_leases)
                freed = await self._charge(tx, due, now)
        except BrokerError as error:  # one lease must not keep the others from being charged
            log.warning("leases are charged one by one", error=str(error))
            return await self._one_by_one(now)
        if freed:
            self._released()
        return len(due)

    async def _charge(self, tx: Connection, due: Sequence[Due], now: datetime) -> bool:
        """Charge leases whose rows are locked. Return whether money became free."""
        if not due:
            return False
        held = await charging.lock_holds(tx, sorted({each.hold for each in due}))
        done = _steps(due, held, now, self._terms)
        await charging.write(tx, done, now)
        return any(one.charged.settled and not lease.charged.settled for lease, _, one in done)

    async def _one_by_one(self, now: datetime) -> int:
        looked_at = 0
        while looked_at < self._terms.batch_leases:
            async with self._database.hub() as tx:
                due = await charging.due(tx, now, 1)
                if not due:
                    return looked_at
                try:
                    async with tx.transaction():
                        await self._charge(tx, due, now)
                except BrokerError as error:
                    log.error("lease cannot be charged", lease=lease_text(due[0].lease.lease), error=str(error))
                    await charging.postpone(tx, [due[0].lease.lease], now + self._terms.interval)
            looked_at += 1
        return looked_at


def _steps(
    due: Sequence[Due], held: dict[HoldId, Hold], now: datetime, terms: ChargingTerms
) -> list[tuple[ChargedLease, Hold, Step]]:
    """Return what is to be done, in order: what one lease takes of a hold the next one of that hold does not have."""
    done, holds = list[tuple[ChargedLease, Hold, Step]](), dict(held)
    for each in due:
        before = holds[each.hold]
        one = step(each.lease, before, now, interval=terms.interval, fee_ppm=terms.fee_ppm)
        holds[each.hold] = one.hold
        done.append((each.lease, before, one))
    return done
