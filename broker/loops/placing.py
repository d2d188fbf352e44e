"""The loop of the fast lane: what arrives is leased at once, between rounds and while one is planned."""

from asyncio import sleep
from datetime import datetime
from time import perf_counter
from typing import Final

from broker.market.placing import Placing

REST_SHARE: Final = 4.0
"""Of the time that the last look took, while nobody finds room."""

REST_SECONDS_MAX: Final = 0.05


class PlacingLoop:
    """Leases arriving jobs when woken. A broker that does not lead has nothing to look at and does nothing."""

    name = "placing"

    def __init__(self, placing: Placing) -> None:
        self._placing = placing

    async def run_once(self, now: datetime) -> int:
        """Lease what has arrived and may start at once; return how many jobs that was."""
        began = perf_counter()
        leased = await self._placing.place_arrived(now)
        if self._placing.full:
            await sleep(rest_seconds(perf_counter() - began))
        return leased


def rest_seconds(look_seconds: float) -> float:
    """Return how long nobody is looked at after a look in which nobody found room.

    Thousands that come then are looked at some hundred at a time, each time at the cost of a look; after a rest there
    are fewer looks at more of them. Who comes alone waits a few milliseconds.
    """
    return min(REST_SHARE * look_seconds, REST_SECONDS_MAX)
