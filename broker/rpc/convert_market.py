"""Between the wire and the domain: MarketService, with all checks of market_service.proto."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from broker.ids import SLUG
from broker.market.prices import PoolPrice
from broker.market.rates import RatesPage
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import EPOCH, Checks, shown
from broker.store.capacity import PoolCapacity
from broker.store.prices import BySize, HourRow, PoolPlace, PriceRow
from broker.wire.v1 import market_service_pb2 as pb
from broker.worlds.rates import AskBounds, RateCard
from scheduler.spot import CARDS, Size

PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_STANDARD: Final = 100
VERSION_DIGITS_MAX: Final = 9
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)

SIZES: Final = {
    Size.ONE: pb.PRICE_SIZE_1,
    Size.TWO: pb.PRICE_SIZE_2,
    Size.FOUR: pb.PRICE_SIZE_4,
    Size.EIGHT: pb.PRICE_SIZE_8,
    Size.NODE: pb.PRICE_SIZE_NODE,
    Size.LARGER: pb.PRICE_SIZE_LARGER,
}


@dataclass(frozen=True, slots=True)
class RatesFilter:
    """Which page of which rate cards."""

    cluster: str
    model: str
    after: tuple[str, str, int]  # cluster, model and version
    limit: int


@dataclass(frozen=True, slots=True)
class PoolsFilter:
    """Which page of which pools."""

    hub: str
    cluster: str
    model: str
    after: tuple[str, str]  # cluster and pool
    limit: int


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which part of whose history."""

    cluster: str
    pool: str
    after: datetime
    until: datetime
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


def pools_filter(request: pb.ListPricesRequest | pb.GetCapacityRequest) -> PoolsFilter:
    """Return which pools are asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = PoolsFilter(
        hub=checks.slug_or_empty("hub", request.hub),
        cluster=checks.slug_or_empty("cluster", request.cluster),
        model=checks.slug_or_empty("model", request.model),
        after=_after_pool(checks, request.page_token),
        limit=checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD,
    )
    checks.done()
    return found


def _after_pool(checks: Checks, token: str) -> tuple[str, str]:
    cluster, _, pool = token.partition("/")
    if token and not (SLUG.fullmatch(cluster) and SLUG.fullmatch(pool)):
        wrong_token(checks, token)
    return cluster, pool


def history_filter(request: pb.ListPriceHistoryRequest, *, now: datetime) -> HistoryFilter:
    """Return which part of whose history is asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    after: datetime | None = EPOCH
    until: datetime | None = now
    if request.HasField("after"):
        after = checks.moment("after", request.after, after=EPOCH - timedelta(seconds=1), until=_LAST)
    if request.HasField("until"):
        until = checks.moment("until", request.until, after=EPOCH, until=_LAST)
    found = HistoryFilter(
        cluster=checks.slug("cluster", request.cluster),
        pool=checks.slug("pool", request.pool),
        after=after or EPOCH,
        until=until or now,
        limit=checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD,
    )
    checks.done()
    return found


def prices_to_wire(pools: Sequence[PoolPrice], limit: int) -> pb.ListPricesResponse:
    """Return a page of pools with what their cards cost now."""
    last = pools[-1].place if len(pools) == limit else None
    return pb.ListPricesResponse(
        pools=map(_pool_price, pools), next_page_token="" if last is None else f"{last.cluster}/{last.pool}"
    )


def _pool_price(pool: PoolPrice) -> pb.PoolPrice:
    place, changed = pool.place, pool.changed
    wire = pb.PoolPrice(
        hub=place.hub,
        cluster=place.cluster,
        pool=place.pool,
        model=place.model,
        ask_micro_yuan_per_card_hour=pool.ask.micro_yuan_per_card_hour,
        rate_card_version=pool.ask.version,
    )
    if changed is not None:
        wire.round = changed.round or 0
        wire.changed_at.CopyFrom(timestamp(changed.at))
        wire.sizes.extend(_sizes(place, changed.node_cards, pool.ask.micro_yuan_per_card_hour, pool.scarcity))
    return wire


def _sizes(place: PoolPlace, node_cards: int, ask: int, scarcity: BySize) -> list[pb.SizePrice]:
    return [
        pb.SizePrice(
            size=wire,
            cards=CARDS[size] if size < len(CARDS) else node_cards,
            scarcity_micro_yuan_per_card_hour=beyond,
            spot_micro_yuan_per_card_hour=ask + beyond,
            # a card is so many thousandths of a TFLOPS: 10^6 of them are a PFLOPS
            spot_micro_yuan_per_pflops_hour=-(-(ask + beyond) * 1_000_000 // place.programme_milli_tflops),
        )
        for size, wire in SIZES.items()
        if (beyond := scarcity[size]) is not None
    ]


def changes_to_wire(place: PoolPlace, changes: Sequence[PriceRow], limit: int) -> pb.ListPriceHistoryResponse:
    """Return changes of a pool's prices."""
    return pb.ListPriceHistoryResponse(
        changes=[
            pb.PriceChange(
                at=timestamp(row.at),
                round=row.round or 0,
                ask_micro_yuan_per_card_hour=row.ask_micro_yuan_per_card_hour,
                sizes=_sizes(
                    place, row.node_cards, row.ask_micro_yuan_per_card_hour, row.scarcity_micro_yuan_per_card_hour
                ),
            )
            for row in changes
        ],
        more=len(changes) == limit,
    )


def hours_to_wire(hours: Sequence[HourRow], limit: int) -> pb.ListPriceHistoryResponse:
    """Return hours of a pool's prices."""
    return pb.ListPriceHistoryResponse(
        hours=[pb.PriceHour(at=timestamp(row.hour), sizes=_size_hours(row)) for row in hours],
        more=len(hours) == limit,
    )


def _size_hours(row: HourRow) -> list[pb.SizeHour]:
    return [
        pb.SizeHour(
            size=wire,
            least_micro_yuan_per_card_hour=row.least[size],
            mean_micro_yuan_per_card_hour=row.mean[size],
            most_micro_yuan_per_card_hour=row.most[size],
            closing_micro_yuan_per_card_hour=row.closing[size],
        )
        for size, wire in SIZES.items()
        if row.closing[size] is not None
    ]


def capacity_to_wire(at: datetime, pools: Sequence[PoolCapacity], limit: int) -> pb.GetCapacityResponse:
    """Return a page of pools with what is free of them."""
    last = pools[-1] if len(pools) == limit else None
    return pb.GetCapacityResponse(
        pools=map(_capacity, pools),
        at=timestamp(at),
        next_page_token="" if last is None else f"{last.cluster}/{last.pool}",
    )


def _capacity(pool: PoolCapacity) -> pb.PoolCapacity:
    most = pool.largest_node_cards
    return pb.PoolCapacity(
        hub=pool.hub,
        cluster=pool.cluster,
        pool=pool.pool,
        model=pool.model,
        nodes=pool.nodes,
        cards=pool.cards,
        cards_free=pool.cards_free,
        free_fp16_milli_pflops=pool.cards_free * pool.programme_milli_tflops // 1000,
        fits=[
            pb.FreeTasks(cards_per_task=cards, tasks=pool.tasks(cards))
            for cards in sorted({*CARDS, most})
            if 0 < cards <= most
        ],
        split_free_milli=pool.split_free_milli,
    )
