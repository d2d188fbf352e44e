"""What the demo's money does: prices and vouchers as they move, and the papers at the end; all asked by the API."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from broker.client.accounts import AccountClient
from broker.client.market import MarketClient
from broker.client.papers import PaperClient
from broker.client.vouchers import VoucherClient
from broker.demo.funding import office
from broker.demo.stage import PATIENT, Stage
from broker.papers.month import Month
from broker.papers.paper import Paper
from broker.wire.v1 import market_service_pb2 as market_pb
from broker.wire.v1 import voucher_service_pb2 as pb

SETTLE_SECONDS_MAX: Final = 45.0


@dataclass(frozen=True, slots=True)
class Money:
    """Prices and vouchers at a moment."""

    pools: Sequence[market_pb.PoolPrice] = ()
    vouchers: Sequence[pb.Voucher] = ()


@dataclass(frozen=True, slots=True)
class Closing:
    """What the money came to.

    Attributes:
        invoice: of the city for which vouchers paid most.
        programme, forecast: its budget and how fast it goes.
        vouchers: as they stand.
        open_holds: that are not settled yet; 0 when everything is charged.
    """

    invoice: Paper
    programme: pb.Programme
    forecast: pb.GetForecastResponse
    vouchers: Sequence[pb.Voucher]
    open_holds: int = 0


def used(voucher: pb.Voucher) -> int:
    """Return what a voucher has paid for good, in micro-yuan."""
    there = voucher.available_micro_yuan + voucher.held_micro_yuan + voucher.rest_micro_yuan
    return voucher.granted_micro_yuan - there


@dataclass(slots=True)
class Purses:
    """Asks for prices and vouchers, again and again, over connections that stay."""

    market: MarketClient
    office: VoucherClient
    programme: str
    latest: Money = field(default_factory=Money)

    async def look(self) -> Money:
        """Return prices and vouchers as they are now. Raise XisuanError."""
        pools = [pool async for pool in self.market.prices()]
        vouchers = [v async for v in self.office.vouchers(programme=self.programme)] if self.programme else []
        self.latest = Money(pools, vouchers)
        return self.latest


@asynccontextmanager
async def purses(stage: Stage, programme: str) -> AsyncIterator[Purses]:
    """Open the connections."""
    async with AsyncExitStack() as stack:
        market = MarketClient(stage.endpoint, stage.key("operator"), retry=PATIENT)
        yield Purses(await stack.enter_async_context(market), await stack.enter_async_context(office(stage)), programme)


async def settled(stage: Stage) -> int:
    """Wait until every lease of every city is charged; return how many holds are open still when patience ends."""
    clock = asyncio.get_running_loop()
    end = clock.time() + SETTLE_SECONDS_MAX
    async with AccountClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as books:
        while True:
            still = 0
            for city in stage.cities:
                still += len([hold async for hold in books.holds(city=city, open_only=True)])
            if not still or clock.time() > end:
                return still
            await asyncio.sleep(0.5)


async def close(stage: Stage, programme: str) -> Closing:
    """Wait until everything is charged and return what it came to. Raise XisuanError."""
    open_holds = await settled(stage)
    async with office(stage) as desk:
        vouchers = [v async for v in desk.vouchers(programme=programme)]
        budget = (await desk.programmes(programme))[0]
        forecast = await desk.forecast(programme)
    city = max(vouchers, key=used).city
    async with PaperClient(stage.endpoint, stage.key(f"city-{city}"), retry=PATIENT) as papers:
        invoice = await papers.invoice(Month.at(datetime.now(UTC)).text)
    return Closing(invoice, budget, forecast, vouchers, open_holds)
