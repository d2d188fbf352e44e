"""Between the wire and the domain: quotes, with all checks of market_service.proto."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from broker.ids import QuoteId, job_text, parse_quote, quote_text
from broker.job import JobSpec
from broker.lifecycle import QuoteState
from broker.market.quotes import OPTIONS_MAX, StartWindow
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import REQUEST_KEY_CHARACTERS_MAX, Checks, shown
from broker.rpc.convert_enums import QUOTE_STATE
from broker.rpc.convert_market import PAGE_SIZE_MAX, PAGE_SIZE_STANDARD
from broker.rpc.convert_spec import read_spec
from broker.rpc.convert_when import START_AHEAD_MAX
from broker.store.quotes import Quote
from broker.wire.v1 import market_service_pb2 as pb

STATES_MAX: Final = 16
_PAST: Final = timedelta(minutes=5)
"""A window may begin so long ago: clocks differ, and now is not for ever. It then begins now."""


@dataclass(frozen=True, slots=True)
class AskedQuote:
    """What a quote is asked for."""

    city: str
    spec: JobSpec
    window: StartWindow
    options_max: int  # 0: as usual


@dataclass(frozen=True, slots=True)
class QuotesFilter:
    """Which page of which quotes."""

    city: str
    states: frozenset[QuoteState]
    before: QuoteId | None
    limit: int


def asked(request: pb.GetQuoteRequest, *, now: datetime) -> AskedQuote:
    """Return what a quote is asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    if not request.HasField("spec"):
        checks.wrong("spec", "is missing: say what is to run")
        checks.done()
    times: dict[str, datetime | None] = {"not_before": None, "starts_by": None}
    for name in times:
        if request.HasField(name):
            at, after = getattr(request, name), now - _PAST if name == "not_before" else now
            times[name] = checks.moment(name, at, after=after, until=now + 2 * START_AHEAD_MAX)
    found = AskedQuote(
        city=checks.slug_or_empty("city", request.city),
        spec=read_spec(checks, request.spec, now=now),
        window=StartWindow(times["not_before"], times["starts_by"]),
        options_max=checks.within("options_max", request.options_max, 0, OPTIONS_MAX),
    )
    checks.done()
    return found


def acceptance(request: pb.AcceptQuoteRequest) -> tuple[QuoteId, str]:
    """Return which quote is accepted, and the key. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    checks.printable_ascii("request_key", request.request_key, REQUEST_KEY_CHARACTERS_MAX)
    quote = parse_quote(request.quote_id)
    if quote is None:
        checks.wrong("quote_id", f'must be an id such as "quote-42", not {shown(request.quote_id)}')
        quote = QuoteId(0)
    checks.done()
    return quote, request.request_key


def quotes_filter(request: pb.ListQuotesRequest) -> QuotesFilter:
    """Return which quotes are asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    states = checks.count("states", request.states, 0, STATES_MAX)
    before = parse_quote(request.page_token)
    if request.page_token and before is None:
        checks.wrong("page_token", "must be the next_page_token of the page before, or empty for the first page")
    found = QuotesFilter(
        city=checks.slug_or_empty("city", request.city),
        states=frozenset(QUOTE_STATE.read(checks, f"states[{i}]", request.states[i]) for i in range(states)),
        before=before,
        limit=checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD,
    )
    checks.done()
    return found


def quotes_to_wire(found: Sequence[Quote], limit: int) -> pb.ListQuotesResponse:
    """Return a page of quotes. `found`: with one more than the page holds where there is a next one."""
    page = found[:limit]
    token = quote_text(page[-1].quote) if len(found) > limit else ""
    return pb.ListQuotesResponse(quotes=map(quote_to_wire, page), next_page_token=token)


def quote_to_wire(quote: Quote) -> pb.Quote:
    """Return a quote."""
    terms = quote.terms
    return pb.Quote(
        quote_id=quote_text(quote.quote),
        city=quote.city,
        job_name=quote.spec.name,
        hub=quote.hub,
        cluster=quote.cluster,
        pool=quote.pool,
        model=quote.model,
        build=terms.build,
        not_before=timestamp(terms.not_before),
        starts_by=timestamp(terms.starts_by),
        starts_at=timestamp(terms.starts_at),
        ask_micro_yuan_per_card_hour=terms.price.ask_micro_yuan_per_card_hour,
        scarcity_micro_yuan_per_card_hour=terms.price.scarcity_micro_yuan_per_card_hour,
        rate_card_version=terms.price.rate_card_version,
        total_micro_yuan=terms.total_micro_yuan,
        energy_micro_yuan=terms.energy_micro_yuan,
        transfer_micro_yuan=terms.transfer_micro_yuan,
        transfer_seconds=terms.transfer_seconds,
        within_ceiling=terms.within_ceiling,
        asked_at=timestamp(terms.asked_at),
        valid_until=timestamp(terms.valid_until),
        state=QUOTE_STATE.to_wire(quote.state),
        job_id="" if quote.job is None else job_text(quote.job),
        accepted_at=None if quote.accepted_at is None else timestamp(quote.accepted_at),
        decided_at=None if quote.decided_at is None else timestamp(quote.decided_at),
        credit_micro_yuan=quote.credit_micro_yuan or 0,
    )
