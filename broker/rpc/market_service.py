"""MarketService: who, what, one use case, answer. Roles are checked by the table of the identity interceptor."""
# ruff: noqa: ARG002 - gRPC hands request and context to every method

from broker.clock import Clock
from broker.market.capacity import Capacity
from broker.market.prices import Prices
from broker.market.quotes import Quotes
from broker.market.rates import Rates
from broker.rpc import convert_market as convert
from broker.rpc import convert_quotes
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.wire.v1 import market_service_pb2 as pb
from broker.wire.v1.market_service_pb2_grpc import MarketServiceServicer


class MarketService(MarketServiceServicer):
    """What the market shows, and where owners set what they ask.

    Args:
        rates: rate cards and bounds.
        prices: what cards cost now and before.
        capacity: what is free.
        quotes: what a start would cost, and when it is sure.
        clock: the edge's clock.
    """

    def __init__(self, rates: Rates, prices: Prices, capacity: Capacity, quotes: Quotes, clock: Clock) -> None:
        self._rates = rates
        self._prices = prices
        self._capacity = capacity
        self._quotes = quotes
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

    async def ListPrices(self, request: pb.ListPricesRequest, context: Context) -> pb.ListPricesResponse:
        """Return a page of pools with what their cards cost now."""
        wanted = convert.pools_filter(request)
        pools = await self._prices.page(
            wanted.hub, wanted.cluster, wanted.model, wanted.after, wanted.limit, now=self._clock.now()
        )
        return convert.prices_to_wire(pools, wanted.limit)

    async def ListPriceHistory(
        self, request: pb.ListPriceHistoryRequest, context: Context
    ) -> pb.ListPriceHistoryResponse:
        """Return a part of a pool's history."""
        wanted = convert.history_filter(request, now=self._clock.now())
        which = (wanted.cluster, wanted.pool, wanted.after, wanted.until, wanted.limit)
        if request.hourly:
            _, hours = await self._prices.hours(*which)
            return convert.hours_to_wire(hours, wanted.limit)
        place, changes = await self._prices.history(*which)
        return convert.changes_to_wire(place, changes, wanted.limit)

    async def GetCapacity(self, request: pb.GetCapacityRequest, context: Context) -> pb.GetCapacityResponse:
        """Return a page of pools with what is free of them."""
        wanted = convert.pools_filter(request)
        at, pools = await self._capacity.page(
            wanted.hub, wanted.cluster, wanted.model, wanted.after, wanted.limit, now=self._clock.now()
        )
        return convert.capacity_to_wire(at, pools, wanted.limit)

    async def GetQuote(self, request: pb.GetQuoteRequest, context: Context) -> pb.GetQuoteResponse:
        """Return where and when a job could be sure to start, and at which price."""
        now = self._clock.now()
        asked = convert_quotes.asked(request, now=now)
        found = await self._quotes.ask(caller_of(context), asked.city, asked.spec, asked.window, asked.options_max, now)
        return pb.GetQuoteResponse(options=map(convert_quotes.quote_to_wire, found))

    async def AcceptQuote(self, request: pb.AcceptQuoteRequest, context: Context) -> pb.AcceptQuoteResponse:
        """Bind a quote."""
        quote_id, request_key = convert_quotes.acceptance(request)
        done = await self._quotes.accept(caller_of(context), quote_id, request_key, self._clock.now())
        return pb.AcceptQuoteResponse(quote=convert_quotes.quote_to_wire(done.quote), duplicate=done.duplicate)

    async def ListQuotes(self, request: pb.ListQuotesRequest, context: Context) -> pb.ListQuotesResponse:
        """Return a page of quotes."""
        wanted = convert_quotes.quotes_filter(request)
        found = await self._quotes.list_page(
            caller_of(context), wanted.city, wanted.states, wanted.before, wanted.limit + 1
        )
        return convert_quotes.quotes_to_wire(found, wanted.limit)
