"""What is asked in which hour, and which rate card holds: tables, and properties over any cards."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.worlds.rate_file import load_rates
from broker.worlds.rates import (
    ASK_MICRO_YUAN_MAX,
    NO_ASK,
    AskBounds,
    AskNow,
    Curve,
    RateCard,
    ask_of,
    hour_of,
    in_force,
    outside,
    overlapping,
    spans_text,
)

T = datetime(2026, 12, 1, tzinfo=UTC)
DAY = Curve(tuple(range(24)), tuple(range(100, 124)))


def card(begin: int, end: int | None = None, curve: Curve = DAY, version: int = 1) -> RateCard:
    """A card by hours from T on."""
    until = None if end is None else T + timedelta(hours=end)
    return RateCard("east", "a800", version, curve, T + timedelta(hours=begin), until, "test", T)


@pytest.mark.parametrize(
    ("at", "hour"),
    [
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), 8),
        (datetime(2026, 12, 1, 15, 59, 59, 999_999, tzinfo=UTC), 23),
        (datetime(2026, 12, 1, 16, 0, tzinfo=UTC), 0),
        (datetime.fromisoformat("2026-07-01T12:00+08:00"), 12),  # no summer time
        (datetime.fromisoformat("2026-07-01T12:00-05:00"), 1),
    ],
)
def test_hours_are_those_of_the_programme(at: datetime, hour: int) -> None:
    assert hour_of(at) == hour


def test_green_hours_have_asks_of_their_own() -> None:
    noon = datetime.fromisoformat("2026-12-01T12:30+08:00")

    assert ask_of(card(0), (11, 12), noon) == AskNow(112, 1)
    assert ask_of(card(0), (11,), noon) == AskNow(12, 1)
    assert ask_of(card(0, curve=Curve.flat(7)), (12,), noon) == AskNow(7, 1)
    assert ask_of(None, (12,), noon) == NO_ASK


@pytest.mark.parametrize(
    ("hours", "version"), [(-1, None), (0, 1), (9, 1), (10, 3), (19, 3), (20, 2), (29, 2), (30, 4), (40, 2)]
)
def test_a_dated_card_goes_before_the_standing_one_for_its_time(hours: int, version: int | None) -> None:
    cards = [card(0, version=1), card(20, version=2), card(10, 20, version=3), card(30, 40, version=4)]

    found = in_force(cards, T + timedelta(hours=hours))

    assert (found and found.version) == version


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (card(0), card(0), True),
        (card(0), card(1), False),
        (card(0), card(0, 5), False),  # the dated one goes before
        (card(0, 5), card(5, 9), False),
        (card(0, 5), card(4, 9), True),
        (card(0, 9), card(4, 5), True),
    ],
)
def test_overlaps(one: RateCard, other: RateCard, overlap: bool) -> None:
    assert (overlapping([one], other) is one) is overlap
    assert (overlapping([other], one) is other) is overlap


@given(
    st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(1, 10)), max_size=8),
    st.integers(-5, 60),
    st.sets(st.integers(0, 23)),
)
def test_of_cards_that_do_not_overlap_one_holds_at_most_and_asks_one_of_its_figures(
    spans: list[tuple[int, int | None]], hours: int, green: set[int]
) -> None:
    cards: list[RateCard] = []
    for version, (begin, length) in enumerate(spans, 1):
        new = card(begin, None if length is None else begin + length, version=version)
        if overlapping(cards, new) is None:
            cards.append(new)
    at = T + timedelta(hours=hours)

    found = in_force(cards, at)

    assert not [1 for a, b in combinations(cards, 2) if overlapping([a], b)]
    dated = [c for c in cards if c.valid_until and c.valid_from <= at < c.valid_until]
    begun = [c for c in cards if c.valid_until is None and c.valid_from <= at]
    assert len(dated) <= 1
    assert found == (dated[0] if dated else max(begun, key=lambda c: c.valid_from, default=None))
    asked = ask_of(found, tuple(sorted(green)), at)
    assert asked.micro_yuan_per_card_hour in (0, *DAY.asks, *DAY.green)


@given(st.lists(st.integers(0, 3), min_size=24, max_size=24))
def test_what_is_said_of_asks_is_read_as_the_same_asks(asks: list[int]) -> None:
    text = spans_text(asks)
    said = f"{{{text}}}" if ":" in text else text

    [read] = load_rates(f"rate_cards: [{{cluster: a, model: b, micro_yuan_per_card_hour: {said}}}]").rate_cards

    assert list(read.curve.asks) == asks


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (None, ""),
        (AskBounds("a800", 0, None), ""),
        (AskBounds("a800", 0, 123), ""),
        (AskBounds("a800", 1, None), "asks 0, below the floor of 1"),
        (AskBounds("a800", 0, 122), "asks 123, above the cap of 122"),
    ],
)
def test_bounds_hold_in_every_hour(bounds: AskBounds | None, why: str) -> None:
    assert outside(bounds, DAY) == why


WRONG: dict[str, tuple[str, str]] = {
    "negative": ("-1", "0 to 1000000000000"),
    "overflowing": (str(ASK_MICRO_YUAN_MAX + 1), "0 to 1000000000000"),
    "not whole": ("3.5", "whole number"),
    "a truth": ("true", "whole number"),
    "no span": ("{day: 1}", "is no span of hours"),
    "a span backwards": ("{8-8: 1}", "is no span of hours"),
    "a day too long": ("{0-25: 1}", "is no span of hours"),
    "an hour twice": ("{0-9: 1, 8-24: 1}", "hour 8 is named twice"),
    "an hour missing": ("{0-8: 1, 9-24: 1}", "hour 8 is not named"),
    "negative in a span": ("{0-24: -1}", "0-24: must be a whole number"),
    "a list": ("[1]", "whole number"),
}


@pytest.mark.parametrize(("ask", "why"), WRONG.values(), ids=WRONG.keys())
def test_wrong_asks_are_named(ask: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as refused:
        load_rates(f"rate_cards: [{{cluster: east, model: a800, micro_yuan_per_card_hour: {ask}}}]")

    assert refused.value.fields[0].field == "rate_cards[0].micro_yuan_per_card_hour"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("valid_from: yesterday", "rate_cards[0].valid_from"),
        ("valid_from: 2026-12-01T08:00", "rate_cards[0].valid_from"),  # whose eight o'clock?
        ("valid_from: 9999-12-31", "rate_cards[0].valid_from"),
        ("valid_until: 7", "rate_cards[0].valid_until"),
        ("ask: 7", "rate_cards[0].ask"),
    ],
)
def test_wrong_times_are_named(more: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        load_rates(f"rate_cards: [{{cluster: east, model: a800, micro_yuan_per_card_hour: 1, {more}}}]")

    assert [each.field for each in refused.value.fields] == [field]


def test_a_date_begins_at_midnight_of_the_programme() -> None:
    [read] = load_rates(
        "rate_cards: [{cluster: east, model: a800, micro_yuan_per_card_hour: 1, valid_from: 2026-12-01}]"
    ).rate_cards

    assert read.valid_from == datetime(2026, 11, 30, 16, tzinfo=UTC)


def test_a_floor_above_the_cap_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="floor 2 is above cap 1"):
        load_rates("bounds: [{model: a800, floor_micro_yuan_per_card_hour: 2, cap_micro_yuan_per_card_hour: 1}]")


def test_since_when_something_is_asked_is_when_card_or_hour_changed_it() -> None:
    """From a card's begin, or the end of the dated one before it, but for the hours of the day that asked the same."""
    steps = Curve((5,) * 20 + (3,) * 4, (2,) * 24)  # from 20:00 on less
    noon = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)  # half past twelve in the programme's time
    old, hour = datetime(2020, 1, 1, tzinfo=UTC), timedelta(hours=1)

    def since(
        at: datetime, begin: datetime = old, green: tuple[int, ...] = (), resumed: datetime | None = None
    ) -> float:
        found = ask_of(RateCard("a", "m", 1, steps, begin, None, "", old), green, at, resumed).since
        assert found is not None
        return (at - found) / hour

    assert since(noon) == 12.5  # midnight: the hour before asked less
    assert since(noon, green=(11,)) == 0.5
    assert since(noon, green=(11, 12)) == 1.5
    assert since(noon, begin=noon - hour) == 1
    assert since(noon, resumed=noon - 2 * hour) == 2
    assert since(noon + 9 * hour) == 1.5
    assert ask_of(None, (), noon).since is None
