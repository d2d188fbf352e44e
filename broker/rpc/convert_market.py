"""Between the wire and the domain: MarketService, with all checks of market_service.proto."""

from dataclasses import dataclass
from typing import Final

from broker.ids import SLUG
from broker.market.rates import RatesPage
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import Checks, shown
from broker.wire.v1 import market_service_pb2 as pb
from broker.worlds.rates import AskBounds, RateCard

PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_STANDARD: Final = 100
VERSION_DIGITS_MAX: Final = 9


@dataclass(frozen=True, slots=True)
class RatesFilter:
    """Which page of which rate cards."""

    cluster: str
    model: str
    after: tuple[str, str, int]  # cluster, model and version
    limit: int


def rates_filter(request: pb.ListRatesRequest) -> RatesFilter:
    """Return which rate cards are asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = RatesFilter(
        cluster=checks.slug_or_empty("cluster", request.cluster),
        model=checks.slug_or_empty("model", request.model),
        after=_after_card(checks, request.page_token),
        limit=checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD,
    )
    checks.done()
    return found


def _after_card(checks: Checks, token: str) -> tuple[str, str, int]:
    cluster, model, version = (*token.split("/"), "", "", "")[:3]
    if not token:
        return "", "", 0
    right = token.count("/") == 2 and SLUG.fullmatch(cluster) and SLUG.fullmatch(model)
    if not (right and version.isascii() and version.isdigit() and len(version) <= VERSION_DIGITS_MAX):
        wrong_token(checks, token)
        return "", "", 0
    return cluster, model, int(version)


def wrong_token(checks: Checks, token: str) -> None:
    """Note that a page token is none of ours."""
    checks.wrong("page_token", f"must be the next_page_token of the page before, not {shown(token)}")


def rates_to_wire(page: RatesPage, limit: int) -> pb.ListRatesResponse:
    """Return a page of rate cards with the bounds."""
    last = page.cards[-1] if len(page.cards) == limit else None
    return pb.ListRatesResponse(
        rate_cards=[_card(card, (card.cluster, card.model, card.version) in page.in_force) for card in page.cards],
        bounds=map(_bounds, page.bounds),
        next_page_token="" if last is None else f"{last.cluster}/{last.model}/{last.version}",
    )


def _card(card: RateCard, in_force: bool) -> pb.RateCard:
    return pb.RateCard(
        cluster=card.cluster,
        model=card.model,
        version=card.version,
        asks_micro_yuan_per_card_hour=card.curve.asks,
        green_asks_micro_yuan_per_card_hour=card.curve.green,
        valid_from=timestamp(card.valid_from),
        valid_until=None if card.valid_until is None else timestamp(card.valid_until),
        source=card.source,
        set_at=timestamp(card.set_at),
        in_force=in_force,
    )


def _bounds(bounds: AskBounds) -> pb.AskBounds:
    return pb.AskBounds(
        model=bounds.model,
        floor_micro_yuan_per_card_hour=bounds.floor_micro_yuan_per_card_hour,
        cap_micro_yuan_per_card_hour=bounds.cap_micro_yuan_per_card_hour,
    )
