"""Find out what became of accepted quotes, and forget those that nobody wanted. Safe to run in every broker process."""

from datetime import datetime
from typing import Final

from broker.market.quote_ends import FORGOTTEN_AFTER, QuoteEnds
from broker.store import quotes
from broker.store.database import Database

BATCH_QUOTES: Final = 1000


class QuoteKeeping:
    """Tells kept, missed and cancelled quotes apart, credits misses, releases what is held for nothing."""

    name = "quotes"

    def __init__(self, database: Database, ends: QuoteEnds, *, batch_quotes: int = BATCH_QUOTES) -> None:
        self._database = database
        self._ends = ends
        self._batch_quotes = batch_quotes

    async def run_once(self, now: datetime) -> int:
        """Decide what is due at `now`; return how many quotes came to their end or were forgotten."""
        total = await self._ends.decide(now) + await self._ends.release(now)
        while True:
            async with self._database.hub() as tx:
                forgotten = await quotes.forget(tx, now - FORGOTTEN_AFTER, self._batch_quotes)
            total += forgotten
            if forgotten < self._batch_quotes:
                return total
