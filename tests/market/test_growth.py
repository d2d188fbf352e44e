"""Shadow prices summed over hours: exact on steps, additive over spans, and nothing where nothing is known."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from broker.market.growth import Worth, by_cards, by_model, worth
from broker.store.prices import HOUR, BySize, HourRow

BEGIN = datetime(2026, 3, 1, 16, tzinfo=UTC)
NONE: BySize = (None,) * 6


def row(hour: int, node: int | None, *, ask: int = 100, one: int | None = 0, known: bool = True) -> HourRow:
    scarcity: BySize = (one, None, None, None, node, None)
    spot = tuple(None if each is None else ask + each for each in scarcity)
    beyond = scarcity if known else None
    return HourRow(1, BEGIN + hour * HOUR, spot, spot, spot, spot, beyond, beyond)


def of(*rows: HourRow, hours: int = 10) -> Worth:
    return worth(rows, BEGIN, BEGIN + hours * HOUR)


def test_what_an_hour_closed_with_holds_until_the_next_one() -> None:
    assert of(row(2, 5, one=1), row(6, 0)) == Worth(8 * 3600, 4 * 3600, 4 * 5, 4 * 1, 4 * 105)


def test_what_held_before_the_month_holds_into_it() -> None:
    assert of(row(-100, 7)) == Worth(10 * 3600, 10 * 3600, 70, 0, 10 * 107)


def test_an_hour_counts_by_its_mean_and_the_hours_behind_it_by_its_close() -> None:
    first = row(0, 4)
    rising = HourRow(1, BEGIN, first.least, first.mean, first.most, first.closing, first.mean_scarcity, (0,) * 6)

    assert of(rising).card_micro_yuan == 4


def test_of_hours_of_a_release_before_nothing_is_known() -> None:
    assert of(row(0, 5, known=False), row(4, 5)) == Worth(6 * 3600, 6 * 3600, 30, 0, 6 * 105)
    assert of() == Worth()


def test_without_whole_nodes_the_largest_size_that_was_dealt_in_counts() -> None:
    assert of(row(0, None, one=3)).card_micro_yuan == 30
    assert of(row(0, None, one=None)) == Worth()


@given(
    st.lists(st.tuples(st.integers(-5, 30), st.integers(0, 10**9)), unique_by=lambda each: each[0], max_size=12),
    st.integers(0, 30),
)
def test_a_span_is_the_sum_of_its_parts(told: list[tuple[int, int]], cut: int) -> None:
    rows = [row(hour, beyond) for hour, beyond in sorted(told)]
    middle, end = BEGIN + cut * HOUR, BEGIN + 30 * HOUR
    before = [r for r in rows if r.hour < middle]
    at_cut = max((i for i, r in enumerate(rows) if r.hour < middle), default=0)

    whole = worth([r for r in rows if r.hour < end], BEGIN, end)
    parts = worth(before, BEGIN, middle) + worth([r for r in rows[at_cut:] if r.hour < end], middle, end)

    assert parts == whole


def test_pools_of_a_model_weigh_by_their_cards() -> None:
    dear, cheap = Worth(card_micro_yuan=90), Worth(card_micro_yuan=10)

    assert by_cards([(1, dear), (3, cheap)]).card_micro_yuan == 30
    assert by_cards([(0, dear), (0, cheap)]).card_micro_yuan == 50
    assert by_model({1: ("a", "x"), 2: ("a", "x"), 3: ("b", "x")}, {1: 1, 2: 3}, {1: dear, 2: cheap}) == {
        ("a", "x"): Worth(card_micro_yuan=30)
    }
