"""MarketService: who, what, one use case, answer. Roles are checked by the table of the identity interceptor."""

from broker.clock import Clock
from broker.market.rates import Rates
from broker.rpc import convert_market as convert
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.wire.v1 import market_service_pb2 as pb
from broker.wire.v1.market_service_pb2_grpc import MarketServiceServicer


class MarketService(MarketServiceServicer):
    """What the market shows, and where owners set what they ask.

    Args:
        rates: rate cards and bounds.
        clock: the edge's clock.
    """

    def __init__(self, rates: Rates, clock: Clock) -> None:
        self._rates = rates
        self._clock = clock

    async def SetRates(self, request: pb.SetRatesRequest, context: Context) -> pb.SetRatesResponse:
        """Add rate cards and set bounds, or only say what would change."""
        changes = await self._rates.set(
            caller_of(context), request.document, now=self._clock.now(), dry_run=request.dry_run
        )
        return pb.SetRatesResponse(changes=changes)

    async def ListRates(self, request: pb.ListRatesRequest, context: Context) -> pb.ListRatesResponse:
        """Return a page of rate cards."""
        wanted = convert.rates_filter(request)
        page = await self._rates.page(
            caller_of(context), wanted.cluster, wanted.model, wanted.after, wanted.limit, now=self._clock.now()
        )
        return convert.rates_to_wire(page, wanted.limit)
