"""The loop that charges leases: what ended at once, what runs every hour. Safe to run in every broker process."""

from datetime import datetime

from broker.market.charging import Charging


class ChargingLoop:
    """Charges what is due. Rows that another process works on are left to it."""

    name = "charging"

    def __init__(self, charging: Charging) -> None:
        self._charging = charging

    async def run_once(self, now: datetime) -> int:
        """Look at every lease that is due and return how many these were."""
        return await self._charging.charge_due(now)
