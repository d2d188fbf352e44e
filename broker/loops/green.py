"""Look again at jobs that wait for a green hour: a new rate card may have made that useless. Safe in every broker."""

from collections.abc import Callable
from datetime import datetime

from broker.market.green import GreenWaits


class GreenLoop:
    """Moves, or lets in, jobs that need not wait for their green hour any more."""

    name = "green"

    def __init__(self, waits: GreenWaits, *, wake: Callable[[], None]) -> None:
        """`wake` is called after something has changed."""
        self._waits = waits
        self._wake = wake

    async def run_once(self, now: datetime) -> int:
        """Look at all of them, and return how many changed."""
        changed = await self._waits.look_again(now)
        if changed:
            self._wake()
        return changed
