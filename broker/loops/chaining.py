"""Put committed transactions of the ledger into the audit chain. Every broker process runs it; one works at a time."""

from datetime import datetime
from typing import Final

from broker.store import ledger_chain
from broker.store.database import Database

BATCH_TRANSACTIONS: Final = 2000


class Chaining:
    """Gives transactions their hashes, so that nobody waits for one."""

    name = "chaining"

    def __init__(self, database: Database, *, batch_transactions: int = BATCH_TRANSACTIONS) -> None:
        self._database = database
        self._batch_transactions = batch_transactions

    async def run_once(self, now: datetime) -> int:  # noqa: ARG002  a hash has no time
        """Chain all transactions that are committed now and return how many; none while another process does it."""
        total = 0
        while True:
            async with self._database.hub() as tx:
                chained = await ledger_chain.extend(tx, self._batch_transactions)
            total += chained
            if chained < self._batch_transactions:
                return total
