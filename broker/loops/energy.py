"""Count the energy that hubs draw, so that a round has little left to count. Safe to run in every broker process."""

from datetime import datetime

from broker.store import energy, energy_counts
from broker.store.database import Database


class EnergyCount:
    """Brings the energy accounts of the hubs up to now, and the counts by month up to what is settled."""

    name = "energy"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run_once(self, now: datetime) -> int:
        """Count what was drawn up to `now`, and return how many accounts changed."""
        async with self._database.hub() as tx:
            changed = await energy.count(tx, now)
        async with self._database.hub() as tx:
            await energy_counts.count(tx, now)
        return changed
