"""Quotes over a real socket: asked for, accepted, listed; every wrong field, and the refusal that names a new quote."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.rpc import convert_quotes as convert
from broker.store.database import Database
from broker.wire.v1 import market_service_pb2 as pb
from tests.rpc.refusals import refusal
from tests.rpc.requests import spec
from tests.rpc.test_market_service import Market, open_market, with_prices
from tests.rpc.wire_strategies import messages
from tests.small_world import T0


@pytest.fixture
async def market(database: Database) -> AsyncIterator[Market]:
    async with open_market(database) as market:
        await with_prices(market)
        yield market


async def quoted(market: Market, **changes: Any) -> list[pb.Quote]:
    return list((await market(pb.GetQuoteRequest(spec=spec(**changes)), "city")).options)


async def test_a_quote_is_asked_for_accepted_and_listed(market: Market) -> None:
    """16 cards for an hour at 3.2 yuan each are 51.2 yuan."""
    [offer] = await quoted(market)

    bound = await market(pb.AcceptQuoteRequest(quote_id=offer.quote_id, request_key="k"), "city")
    again = await market(pb.AcceptQuoteRequest(quote_id=offer.quote_id, request_key="k"), "city")
    listed = await market(pb.ListQuotesRequest(states=[pb.QUOTE_STATE_ACCEPTED]), "observer")
    none = await market(pb.ListQuotesRequest(states=[pb.QUOTE_STATE_MISSED]), "city")

    assert (offer.cluster, offer.pool, offer.model, offer.job_name) == ("longdong", "ascend", "ascend-910b", "pretrain")
    assert (offer.ask_micro_yuan_per_card_hour, offer.total_micro_yuan) == (3_200_000, 51_200_000)
    assert (offer.state, offer.within_ceiling, offer.job_id) == (pb.QUOTE_STATE_OPEN, True, "")
    assert (bound.duplicate, again.duplicate, bound.quote == again.quote) == (False, True, True)
    assert bound.quote.job_id.startswith("job-")
    assert listed.quotes[0] == bound.quote
    assert not none.quotes


async def test_quotes_come_in_pages(market: Market) -> None:
    for _ in range(3):
        await quoted(market)

    first = await market(pb.ListQuotesRequest(page_size=2), "city")
    rest = await market(pb.ListQuotesRequest(page_size=2, page_token=first.next_page_token), "city")

    numbers = [int(each.quote_id.removeprefix("quote-")) for each in [*first.quotes, *rest.quotes]]
    assert numbers == sorted(numbers, reverse=True)
    assert (len(numbers), rest.next_page_token) == (3, "")


async def test_who_comes_second_is_told_of_a_new_quote_that_can_be_accepted(market: Market) -> None:
    """Each wants all 32 cards."""
    [first], [second] = await quoted(market, tasks=4), await quoted(market, tasks=4)
    await market(pb.AcceptQuoteRequest(quote_id=first.quote_id, request_key="a"), "city")

    refused = await refusal(market(pb.AcceptQuoteRequest(quote_id=second.quote_id, request_key="b"), "city"))

    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "CAPACITY_GONE")
    fresh = refused.facts["fresh_quote"]
    bound = await market(pb.AcceptQuoteRequest(quote_id=fresh, request_key="c"), "city")
    assert bound.quote.starts_at.ToDatetime(T0.tzinfo) > T0 + timedelta(hours=1)


async def test_an_operator_asks_for_a_city_and_must_name_it(market: Market) -> None:
    found = await market(pb.GetQuoteRequest(spec=spec(), city="ganzhou"))
    refused = await refusal(market(pb.GetQuoteRequest(spec=spec())))

    assert found.options[0].city == "ganzhou"
    assert list(refused.fields) == ["city"]


def at(seconds: int) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(T0 + timedelta(seconds=seconds))
    return found


WRONG: dict[str, tuple[Any, str]] = {
    "no job": (pb.GetQuoteRequest(), "spec"),
    "a bad job": (pb.GetQuoteRequest(spec=spec(tasks=0)), "spec.tasks"),
    "a share": (pb.GetQuoteRequest(spec=spec(cards_per_task=1, share_milli=500)), "spec.share_milli"),
    "after others": (pb.GetQuoteRequest(spec=spec(after_request_keys=["k"])), "spec.after"),
    "a window that is over": (pb.GetQuoteRequest(spec=spec(), starts_by=at(-1)), "starts_by"),
    "a begin long ago": (pb.GetQuoteRequest(spec=spec(), not_before=at(-301)), "not_before"),
    "a begin too far ahead": (pb.GetQuoteRequest(spec=spec(), not_before=at(32 * 86_400)), "not_before"),
    "an end before the begin": (pb.GetQuoteRequest(spec=spec(), not_before=at(60), starts_by=at(60)), "starts_by"),
    "too many options": (pb.GetQuoteRequest(spec=spec(), options_max=33), "options_max"),
    "a foreign name": (pb.GetQuoteRequest(spec=spec(), city="No"), "city"),
    "no quote": (pb.AcceptQuoteRequest(request_key="k"), "quote_id"),
    "no key": (pb.AcceptQuoteRequest(quote_id="quote-1"), "request_key"),
    "a bad page": (pb.ListQuotesRequest(page_size=1001), "page_size"),
    "a bad token": (pb.ListQuotesRequest(page_token="7"), "page_token"),
    "no state": (pb.ListQuotesRequest(states=[0]), "states[0]"),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_named(market: Market, request_: Any, field: str) -> None:
    refused = await refusal(market(request_, "city"))

    assert (refused.code, refused.reason, list(refused.fields)) == ("INVALID_ARGUMENT", "INVALID_REQUEST", [field])


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (pb.GetQuoteRequest, lambda request: convert.asked(request, now=T0)),
        (pb.AcceptQuoteRequest, convert.acceptance),
        (pb.ListQuotesRequest, convert.quotes_filter),
    ],
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_request_breaks_the_checks(kind: type[Any], read: Any, data: st.DataObject) -> None:
    try:
        read(data.draw(messages(kind)))
    except InvalidRequest:
        return
