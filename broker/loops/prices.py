"""The loop that keeps prices: what rounds have left, what owners ask at a new hour, and hours that are over."""

from datetime import datetime

from broker.market.prices import Prices


class PriceKeeping:
    """Writes prices beside the rounds."""

    name = "prices"

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    async def run_once(self, now: datetime) -> int:
        """Write what has changed. Return in how many pools, and how many hours were summed up, together."""
        return await self._prices.record(now) + await self._prices.roll_up(now)
