"""What becomes of accepted quotes: kept, missed, or cancelled; what is owed for a miss, and what is held for nothing.

A quote is kept when its job was leased within the window, a moment after included: a round takes its time. It is missed
when that moment has passed without. Then a part of the price is given back to the accounts that it is held on, each its
share, at the platform's loss; the job still starts when it can, at the quoted price or a lower one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker import metrics
from broker.errors import BrokerError
from broker.ids import HoldId, QuoteId, quote_text
from broker.ledger.accounts import PLATFORM_LOSS, AccountKind, AccountName
from broker.ledger.holds import Capture, HoldState, Part
from broker.ledger.money import share_down
from broker.ledger.transactions import Move, credit_note
from broker.lifecycle import QuoteState
from broker.market.promising import LATE_AFTER_SECONDS
from broker.store import charging, holds, ledger, quote_ends
from broker.store.database import Connection, Database
from broker.store.quote_ends import AcceptedRow, UnusedRow

log = structlog.get_logger("quotes")

BATCH_QUOTES: Final = 200
FORGOTTEN_AFTER: Final = timedelta(days=1)
GRACE: Final = timedelta(seconds=LATE_AFTER_SECONDS)


@dataclass(frozen=True, slots=True)
class QuoteFees:
    """What is owed when a quote comes to nothing, in millionths of its total."""

    credit_ppm: int = 100_000  # to the city, for a miss
    cancel_fee_ppm: int = 0  # to the owner, when the city cancels before the start


class QuoteEnds:
    """Finds out what became of accepted quotes. Safe to run in every broker process."""

    def __init__(self, database: Database, fees: QuoteFees, *, batch_quotes: int = BATCH_QUOTES) -> None:
        self._database = database
        self._fees = fees
        self._batch_quotes = batch_quotes

    async def decide(self, now: datetime) -> int:
        """Tell of every accepted quote that has come to its end what it came to, and return how many those were.

        One that cannot be credited is told to the log and tried again; it does not keep the others waiting.
        """
        total = 0
        while True:
            async with self._database.hub() as tx:
                rows = await quote_ends.due(tx, now - GRACE, GRACE, self._batch_quotes)
                await _lock(tx, rows)
                decided = [row for row in rows if await self._decided(tx, row, now)]
            for row in decided:
                metrics.quote_told(row.state.value)
            total += len(decided)
            if len(rows) < self._batch_quotes or not decided:
                return total

    async def release(self, now: datetime) -> int:
        """Give back what is held for quotes whose job has ended without a start, and return how many those were.

        One that fails is told to the log and tried again; it does not keep the others waiting.
        """
        async with self._database.hub() as tx:
            found = await quote_ends.unused(tx, self._batch_quotes)
        done = 0
        for row in found:
            try:
                async with self._database.hub() as tx:
                    done += await self._release(tx, row, now)
            except BrokerError as error:
                log.error("hold_of_quote_not_released", quote=quote_text(row.quote), reason=error.reason)
        return done

    async def _decided(self, tx: Connection, row: AcceptedRow, now: datetime) -> bool:
        try:
            async with tx.transaction():
                await self._decide(tx, row, now)
        except BrokerError as error:
            log.error("quote_not_decided", quote=quote_text(row.quote), reason=error.reason)
            return False
        return True

    async def _decide(self, tx: Connection, row: AcceptedRow, now: datetime) -> None:
        credit = None
        if row.state is QuoteState.MISSED and row.hold is not None:
            credit = await self._give_back(tx, row.quote, row.hold, row.total_micro_yuan, now)
        await quote_ends.decide(tx, row.quote, row.state, credit, now)
        if row.state is QuoteState.MISSED:
            log.warning("quote_missed", quote=quote_text(row.quote), credit_micro_yuan=credit)

    async def _give_back(self, tx: Connection, quote: QuoteId, hold: HoldId, total: int, now: datetime) -> int:
        """Post the credit notes of a miss, to each account its share; return how much that is."""
        found = await holds.lock(tx, hold)
        credit = share_down(total, self._fees.credit_ppm)
        for part, micro_yuan in _shares(credit, found.parts):
            move = Move(
                f"{quote_text(quote)}-{part.account}",
                part.account,
                micro_yuan,
                quote_text(quote),
                payer=PLATFORM_LOSS.text,
                hold=hold,
            )
            await _post(tx, move, found.city, now)
        return credit

    async def _release(self, tx: Connection, row: UnusedRow, now: datetime) -> int:
        """Release one hold, less the fee if its city is to pay one. Return 1 if that had not been done."""
        if not await quote_ends.lock_unused(tx, row.quote):
            return 0
        found = await holds.lock(tx, row.hold)
        fee = share_down(row.total_micro_yuan, self._fees.cancel_fee_ppm) if row.state is QuoteState.CANCELLED else 0
        if found.state is HoldState.OPEN and fee:
            owner = AccountName(AccountKind.OWNER, (row.owner,)).text
            await holds.capture(tx, Capture(f"{quote_text(row.quote)}-cancelled", row.hold, owner, fee), now)
        if (await holds.lock(tx, row.hold)).state is HoldState.OPEN:  # a fee of all leaves nothing to release
            await holds.release(tx, row.hold, quote_text(row.quote), now)
        await quote_ends.released(tx, row.quote, now)
        return 1


async def _lock(tx: Connection, rows: Sequence[AcceptedRow]) -> None:
    """Lock all that the credits of these quotes are about: holds by number, then balances, as everybody does."""
    numbers = sorted(row.hold for row in rows if row.state is QuoteState.MISSED and row.hold is not None)
    if numbers:
        found = (await charging.lock_holds(tx, numbers)).values()
        cities = {AccountName(AccountKind.CITY, (hold.city,)).text for hold in found}
        await ledger.lock(tx, cities | {part.account for hold in found for part in hold.parts})


async def _post(tx: Connection, move: Move, city: str, now: datetime) -> None:
    """Post a credit note; to the city's own account where that of the enterprise or the voucher was closed since."""
    note = credit_note(move, now)
    accounts = await ledger.lock(tx, note.accounts())
    funds = accounts.funds.get(move.account)
    if funds is None or funds.closed:
        note = credit_note(replace(move, account=AccountName(AccountKind.CITY, (city,)).text), now)
        accounts = await ledger.lock(tx, note.accounts())
    await ledger.write(tx, accounts, note)


def _shares(credit: int, parts: tuple[Part, ...]) -> list[tuple[Part, int]]:
    """Return what each account gets of a credit: as it gave to the hold, the sum to the micro-yuan."""
    found, given, held, total = [], 0, 0, sum(part.held for part in parts)
    for part in parts:
        held += part.held
        upto = credit * held // total
        if upto > given:
            found.append((part, upto - given))
        given = upto
    return found
