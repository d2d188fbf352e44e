"""The loop of the fast lane: what arrives is leased at once, between rounds and while one is planned."""

from datetime import datetime

from broker.market.placing import Placing


class PlacingLoop:
    """Leases arriving jobs when woken. A broker that does not lead has nothing to look at and does nothing."""

    name = "placing"

    def __init__(self, placing: Placing) -> None:
        self._placing = placing

    async def run_once(self, now: datetime) -> int:
        """Lease what has arrived and may start at once; return how many jobs that was."""
        return await self._placing.place_arrived(now)
