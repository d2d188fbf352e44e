"""MarketService over a real socket and a real database: every call, every wrong field."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from broker.caller import Role
from broker.clock import ManualClock
from broker.errors import InvalidRequest
from broker.market.capacity import Capacity
from broker.market.catalogue import Catalogues
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.prices import Prices
from broker.market.quotes import QuoteRules, Quotes
from broker.market.rates import Rates
from broker.rpc import convert_market as convert
from broker.rpc.market_service import MarketService
from broker.rpc.server import build_server
from broker.store import prices as store
from broker.store.database import Database
from broker.store.prices import PriceRow
from broker.wire.v1 import market_service_pb2 as pb
from broker.wire.v1.market_service_pb2_grpc import MarketServiceStub
from scheduler.policy import Policy
from tests.rpc.refusals import refusal
from tests.rpc.wire_strategies import messages
from tests.small_world import T0, asked, lay_out

ASK = "rate_cards: [{cluster: longdong, model: ascend-910b, micro_yuan_per_card_hour: %s}]"
CALLERS = {"operator": "", "observer": "", "owner": "longdong", "city": "ganzhou"}


@dataclass
class Market:
    """The service, and a key for everyone."""

    database: Database
    clock: ManualClock
    stub: Any
    keys: dict[str, str]
    port: int
    prices: Prices

    async def __call__(self, request: Any, who: str = "operator") -> Any:
        """Make the unary call that takes this request."""
        name = type(request).__name__.removesuffix("Request")
        metadata = (("authorization", f"Bearer {self.keys[who]}"),)
        return await getattr(self.stub, name)(request, metadata=metadata, timeout=30)


@asynccontextmanager
async def open_market(database: Database) -> AsyncIterator[Market]:
    """The market of the small world."""
    await lay_out(database)
    clock, identity = ManualClock(T0), Identity(database)
    keys = {r: (await identity.create(Role(r), subject, "test", T0)).text for r, subject in CALLERS.items()}
    prices = Prices(database, changes_days=7, hours_days=70)
    jobs = Jobs(database, Catalogues(database, fresh_seconds=0.0), wake=lambda: None, stop_wanted=lambda _: None)
    quotes = Quotes(database, jobs, Policy(), QuoteRules(), last_round=_no_round, wake=lambda: None)
    service = MarketService(Rates(database, wake=lambda: None), prices, Capacity(database), quotes, clock)
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=_unlimited, clock=clock
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Market(database, clock, MarketServiceStub(channel), keys, server.port, prices)
    finally:
        await server.stop(0)


async def _no_round() -> None:
    return None


async def _unlimited(_: str) -> int:
    return 1_000_000


@pytest.fixture
async def market(database: Database) -> AsyncIterator[Market]:
    async with open_market(database) as market:
        yield market


async def test_rates_are_tried_set_and_listed(market: Market) -> None:
    document = ASK % "{0-8: 2, 8-24: 3}" + "\nbounds: [{model: ascend-910b, cap_micro_yuan_per_card_hour: 9}]"

    tried = await market(pb.SetRatesRequest(document=document, dry_run=True))
    made = await market(pb.SetRatesRequest(document=document))
    again = await market(pb.SetRatesRequest(document=document))
    await market(pb.SetRatesRequest(document=ASK % "4, valid_from: '2026-03-02T00:00Z'"), "owner")
    listed = await market(pb.ListRatesRequest(model="ascend-910b"), "observer")

    assert list(tried.changes) == list(made.changes)
    assert (len(made.changes), list(again.changes)) == (2, [])
    [first, second] = listed.rate_cards
    assert list(first.asks_micro_yuan_per_card_hour) == [2] * 8 + [3] * 16
    assert (first.cluster, first.version, first.in_force, first.source) == ("longdong", 1, True, "its owner")
    assert (second.version, second.in_force, second.HasField("valid_until")) == (2, False, False)
    assert [(b.model, b.floor_micro_yuan_per_card_hour, b.cap_micro_yuan_per_card_hour) for b in listed.bounds] == [
        ("ascend-910b", 0, 9)
    ]


async def test_rates_come_in_pages(market: Market) -> None:
    for day in (2, 3, 4):
        await market(pb.SetRatesRequest(document=ASK % f"4, valid_from: 2026-03-0{day}"))

    first = await market(pb.ListRatesRequest(page_size=2))
    rest = await market(pb.ListRatesRequest(page_size=2, page_token=first.next_page_token))

    assert [card.version for card in [*first.rate_cards, *rest.rate_cards]] == [1, 2, 3]
    assert (first.next_page_token, rest.next_page_token) == ("longdong/ascend-910b/2", "")


REFUSED: dict[str, tuple[Any, str, str, str]] = {
    "an overlap": (ASK % 7, "ALREADY_EXISTS", "RATE_CARD_OVERLAPS", "rate_cards[0].valid_from"),
    "beyond the cap": (ASK % 10, "FAILED_PRECONDITION", "ASK_OUT_OF_BOUNDS", "rate_cards[0]"),
    "negative": (ASK % -1, "INVALID_ARGUMENT", "INVALID_REQUEST", "rate_cards[0].micro_yuan_per_card_hour"),
    "no document": ("rates: 1", "INVALID_ARGUMENT", "INVALID_REQUEST", "rates"),
    "floor above cap": (
        "bounds: [{model: h20, floor_micro_yuan_per_card_hour: 2, cap_micro_yuan_per_card_hour: 1}]",
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "bounds[0]",
    ),
    "an unknown model": (
        "bounds: [{model: h21}]", "INVALID_ARGUMENT", "INVALID_REQUEST", "bounds[0].model",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("document", "code", "reason", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_wrong_rates_are_refused_by_kind_and_field(
    market: Market, document: str, code: str, reason: str, field: str
) -> None:
    await market(
        pb.SetRatesRequest(document=ASK % 5 + "\nbounds: [{model: ascend-910b, cap_micro_yuan_per_card_hour: 9}]")
    )

    refused = await refusal(market(pb.SetRatesRequest(document=document)))

    assert (refused.code, refused.reason, list(refused.fields)) == (code, reason, [field])
    assert len((await market(pb.ListRatesRequest())).rate_cards) == 1


# Prices and capacity


async def with_prices(market: Market) -> None:
    """A live cluster that asks 3.2 yuan, and prices of two rounds, ten minutes apart."""
    async with market.database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", T0)
        await asked(tx, "longdong", "ascend-910b", 3_200_000)
        for minutes, scarcity in ((0, [0, 0, 0, 0, 0, None]), (10, [0, 0, 0, 160_001, 160_001, None])):
            at = T0 + timedelta(minutes=minutes)
            await store.add(tx, [PriceRow(1, at, None, 8, 3_200_000, tuple(scarcity))])


async def test_a_city_sees_what_cards_cost(market: Market) -> None:
    await with_prices(market)

    listed = await market(pb.ListPricesRequest(model="ascend-910b"), "city")
    none = await market(pb.ListPricesRequest(hub="guian"), "owner")

    [pool] = listed.pools
    assert (pool.hub, pool.cluster, pool.pool, pool.rate_card_version) == ("qingyang", "longdong", "ascend", 1)
    assert pool.changed_at.ToDatetime(T0.tzinfo) == T0 + timedelta(minutes=10)
    assert [(s.size, s.cards, s.spot_micro_yuan_per_card_hour) for s in pool.sizes] == [
        (pb.PRICE_SIZE_1, 1, 3_200_000),
        (pb.PRICE_SIZE_2, 2, 3_200_000),
        (pb.PRICE_SIZE_4, 4, 3_200_000),
        (pb.PRICE_SIZE_8, 8, 3_360_001),
        (pb.PRICE_SIZE_NODE, 8, 3_360_001),
    ]
    # 320 TFLOPS: 3.2 yuan are 10 yuan for a PFLOPS
    assert pool.sizes[0].spot_micro_yuan_per_pflops_hour == 10_000_000
    assert pool.sizes[3].spot_micro_yuan_per_pflops_hour == 10_500_004  # rounded up
    assert not none.pools


async def test_a_pool_without_prices_has_its_ask(market: Market) -> None:
    [pool] = (await market(pb.ListPricesRequest(), "city")).pools

    assert (pool.ask_micro_yuan_per_card_hour, pool.rate_card_version, list(pool.sizes)) == (0, 0, [])
    assert not pool.HasField("changed_at")


async def test_prices_and_capacity_come_in_pages(market: Market) -> None:
    async with market.database.hub() as tx:
        await tx.execute("INSERT INTO pools (cluster, pool, model) VALUES ('longdong', 'b', 'h20')")

    for kind in (pb.ListPricesRequest, pb.GetCapacityRequest):
        first = await market(kind(page_size=1), "city")
        second = await market(kind(page_size=1, page_token=first.next_page_token), "city")
        last = await market(kind(page_size=1, page_token=second.next_page_token), "city")

        assert [pool.pool for pool in [*first.pools, *second.pools, *last.pools]] == ["ascend", "b"]
        assert last.next_page_token == ""


async def test_the_history_comes_in_parts(market: Market) -> None:
    await with_prices(market)
    market.clock.advance(seconds=3600)
    await market.prices.roll_up(market.clock.now())
    which = {"cluster": "longdong", "pool": "ascend"}

    first = await market(pb.ListPriceHistoryRequest(**which, page_size=1), "city")
    rest = await market(pb.ListPriceHistoryRequest(**which, after=first.changes[-1].at), "city")
    hours = await market(pb.ListPriceHistoryRequest(**which, hourly=True), "city")
    unknown = await refusal(market(pb.ListPriceHistoryRequest(cluster="longdong", pool="b"), "city"))

    assert (first.more, rest.more) == (True, False)
    assert [change.sizes[3].scarcity_micro_yuan_per_card_hour for change in rest.changes] == [160_001]
    [hour] = hours.hours
    eight = hour.sizes[3]
    assert (eight.least_micro_yuan_per_card_hour, eight.most_micro_yuan_per_card_hour) == (3_200_000, 3_360_001)
    assert eight.mean_micro_yuan_per_card_hour == 3_200_000 + 160_001 * 5 // 6
    assert (unknown.code, unknown.reason) == ("NOT_FOUND", "POOL_NOT_FOUND")


async def test_a_city_sees_what_is_free(market: Market) -> None:
    await with_prices(market)

    answer = await market(pb.GetCapacityRequest(cluster="longdong"), "city")

    [pool] = answer.pools
    assert (pool.nodes, pool.cards, pool.cards_free, pool.free_fp16_milli_pflops) == (4, 32, 32, 10_240)
    assert [(fit.cards_per_task, fit.tasks) for fit in pool.fits] == [(1, 32), (2, 16), (4, 8), (8, 4)]
    assert answer.at.ToDatetime(T0.tzinfo) == T0


WRONG: dict[str, tuple[Any, str]] = {
    "rates of no cluster": (pb.ListRatesRequest(cluster="A b"), "cluster"),
    "rates of no model": (pb.ListRatesRequest(model="A b"), "model"),
    "rates on too long a page": (pb.ListRatesRequest(page_size=1001), "page_size"),
    "rates on no page": (pb.ListRatesRequest(page_size=-1), "page_size"),
    "rates after nothing of ours": (pb.ListRatesRequest(page_token="a/b/c"), "page_token"),
    "prices of no hub": (pb.ListPricesRequest(hub="A b"), "hub"),
    "prices after nothing of ours": (pb.ListPricesRequest(page_token="a"), "page_token"),
    "capacity of no model": (pb.GetCapacityRequest(model="-"), "model"),
    "capacity on no page": (pb.GetCapacityRequest(page_size=-1), "page_size"),
    "history of no cluster": (pb.ListPriceHistoryRequest(pool="main"), "cluster"),
    "history of no pool": (pb.ListPriceHistoryRequest(cluster="main"), "pool"),
    "history after the end of time": (
        pb.ListPriceHistoryRequest(cluster="a", pool="b", after=Timestamp(seconds=2**50)),
        "after",
    ),
    "history until before the beginning": (
        pb.ListPriceHistoryRequest(cluster="a", pool="b", until=Timestamp(seconds=-9)),
        "until",
    ),
    "rates after too much": (pb.ListRatesRequest(page_token="a/b/1/2"), "page_token"),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_field_is_named(market: Market, request_: Any, field: str) -> None:
    refused = await refusal(market(request_))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", [field])


READERS: list[tuple[type[Any], Callable[[Any], object]]] = [
    (pb.ListRatesRequest, convert.rates_filter),
    (pb.ListPricesRequest, convert.pools_filter),
    (pb.GetCapacityRequest, convert.pools_filter),
    (pb.ListPriceHistoryRequest, lambda request: convert.history_filter(request, now=T0)),
]


@given(st.data(), st.sampled_from(READERS))
def test_any_message_is_read_or_refused(data: st.DataObject, reader: tuple[type[Any], Callable[[Any], object]]) -> None:
    kind, read = reader
    try:
        read(data.draw(messages(kind)))
    except InvalidRequest:
        return
