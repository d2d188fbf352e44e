"""Prices, capacity and quotes. Answers are the messages of `broker/wire/v1/market_service.proto`, documented there."""

from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from typing import Final

from broker.client.bulk import new_key
from broker.client.connection import KeyedConnection
from broker.client.spec import JobSpec, timestamp
from broker.wire.v1 import market_service_pb2 as pb

PAGE_SIZE: Final = 500


class MarketClient(KeyedConnection):
    """Calls the broker about the market, as a city, an owner, an operator or an observer."""

    async def set_rates(self, document: str, *, dry_run: bool = False) -> list[str]:
        """Add rate cards and set bounds (YAML or JSON); return one line for each change. `dry_run`: only compare."""
        request = pb.SetRatesRequest(document=document, dry_run=dry_run)
        answer = await self.unary("MarketService/SetRates", request, pb.SetRatesResponse, repeatable=dry_run)
        return list(answer.changes)

    async def rates(
        self, *, cluster: str = "", model: str = "", page_size: int = PAGE_SIZE
    ) -> tuple[list[pb.RateCard], list[pb.AskBounds]]:
        """Return rate cards by cluster, model and version, and the bounds of asks; "" lets everything pass."""
        request = pb.ListRatesRequest(cluster=cluster, model=model, page_size=page_size)
        cards: list[pb.RateCard] = []
        while True:
            page = await self.unary("MarketService/ListRates", request, pb.ListRatesResponse)
            cards += page.rate_cards
            if not page.next_page_token:
                return cards, list(page.bounds)
            request.page_token = page.next_page_token

    async def prices(
        self, *, hub: str = "", cluster: str = "", model: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.PoolPrice, None]:
        """Yield what whole cards cost now, pool by pool; "" lets everything pass."""
        request = pb.ListPricesRequest(hub=hub, cluster=cluster, model=model, page_size=page_size)
        while True:
            page = await self.unary("MarketService/ListPrices", request, pb.ListPricesResponse)
            for pool in page.pools:
                yield pool
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def price_changes(
        self, cluster: str, pool: str, *, after: datetime | None = None, until: datetime | None = None
    ) -> AsyncGenerator[pb.PriceChange, None]:
        """Yield every change of a pool's prices, oldest first; times are aware, None: from the first to the last."""
        request = _history(cluster, pool, after, until)
        while True:
            page = await self.unary("MarketService/ListPriceHistory", request, pb.ListPriceHistoryResponse)
            for change in page.changes:
                yield change
            if not page.more:
                return
            request.after.CopyFrom(page.changes[-1].at)

    async def price_hours(
        self, cluster: str, pool: str, *, after: datetime | None = None, until: datetime | None = None
    ) -> AsyncGenerator[pb.PriceHour, None]:
        """Yield hours of a pool's prices, oldest first; an hour in which nothing changed is left out."""
        request = _history(cluster, pool, after, until)
        request.hourly = True
        while True:
            page = await self.unary("MarketService/ListPriceHistory", request, pb.ListPriceHistoryResponse)
            for hour in page.hours:
                yield hour
            if not page.more:
                return
            request.after.CopyFrom(page.hours[-1].at)

    async def capacity(
        self, *, hub: str = "", cluster: str = "", model: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.PoolCapacity, None]:
        """Yield what is free now, pool by pool; "" lets everything pass."""
        request = pb.GetCapacityRequest(hub=hub, cluster=cluster, model=model, page_size=page_size)
        while True:
            page = await self.unary("MarketService/GetCapacity", request, pb.GetCapacityResponse)
            for pool in page.pools:
                yield pool
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def quote(
        self,
        spec: JobSpec,
        *,
        not_before: datetime | None = None,
        starts_by: datetime | None = None,
        options_max: int = 0,
        city: str = "",
    ) -> list[pb.Quote]:
        """Return where the job could be sure to start and at which price, the best first; nothing is held.

        Args:
            not_before, starts_by: the start window, aware; None: from now on, for a day.
            options_max: 0 for the broker's standard.
            city: for operators only.
        """
        request = pb.GetQuoteRequest(
            spec=spec.to_wire(),
            city=city,
            not_before=timestamp(not_before),
            starts_by=timestamp(starts_by),
            options_max=options_max,
        )
        answer = await self.unary("MarketService/GetQuote", request, pb.GetQuoteResponse)
        return list(answer.options)

    async def accept_quote(self, quote_id: str, *, request_key: str | None = None) -> pb.AcceptQuoteResponse:
        """Bind a quote. Safe to repeat with the same `request_key`; None makes a new one.

        Raise NotPossibleNow, with reason CAPACITY_GONE and the fact `fresh_quote`, when others were faster.
        """
        request = pb.AcceptQuoteRequest(quote_id=quote_id, request_key=request_key or new_key())
        return await self.unary("MarketService/AcceptQuote", request, pb.AcceptQuoteResponse)

    async def quotes(
        self, *, city: str = "", states: Iterable[str] = (), page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.Quote, None]:
        """Yield quotes and what became of them, newest first; nothing named lets everything pass.

        `states`: open, accepted, kept, missed or cancelled. Raise ValueError for any other.
        """
        wanted = [f"QUOTE_STATE_{state.upper()}" for state in states]
        request = pb.ListQuotesRequest(city=city, page_size=page_size, states=wanted)
        while True:
            page = await self.unary("MarketService/ListQuotes", request, pb.ListQuotesResponse)
            for quote in page.quotes:
                yield quote
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _history(cluster: str, pool: str, after: datetime | None, until: datetime | None) -> pb.ListPriceHistoryRequest:
    return pb.ListPriceHistoryRequest(
        cluster=cluster, pool=pool, after=timestamp(after), until=timestamp(until), page_size=PAGE_SIZE
    )
