"""Dates of vouchers: overdue papers, validity that ends, money that goes back. Safe to run in every broker process."""

from datetime import datetime

from broker.market.vouchers import Vouchers


class VoucherCare:
    """Does what the clock asks for; payment judges by the clock itself, so nobody waits for it."""

    name = "voucher-care"

    def __init__(self, vouchers: Vouchers) -> None:
        self._vouchers = vouchers

    async def run_once(self, now: datetime) -> int:
        """Bring all vouchers up to `now`, and return how many steps that took."""
        return await self._vouchers.care(now)
