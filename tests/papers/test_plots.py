"""Plots: what is drawn is as high as what it stands for, text is escaped, and an axis holds what is on it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.papers.plots import Curve, Policy, Series, columns, curves, meter, round_up

AMOUNT = st.floats(0, 1e15, allow_nan=False)


def rects(svg: str, kind: str) -> list[tuple[float, float]]:
    """Return y and height of the rectangles of a kind."""
    found = re.findall(rf'class="part-{kind}" x="[^"]*" y="([^"]*)" width="[^"]*" height="([^"]*)"', svg)
    return [(float(y), float(height)) for y, height in found]


def test_parts_of_a_column_stand_on_each_other_in_proportion() -> None:
    svg = columns(["1"], [Series("a", "A", [10.0]), Series("b", "B", [30.0])], label="two")

    [(a_y, a_height)], [(b_y, b_height)] = rects(svg, "a"), rects(svg, "b")

    assert b_height == pytest.approx(3 * a_height, abs=0.05)
    assert b_y + b_height == pytest.approx(a_y, abs=0.11)


@given(st.lists(AMOUNT, min_size=1, max_size=40), st.none() | AMOUNT)
def test_columns_stay_within_the_drawing(amounts: list[float], line: float | None) -> None:
    policy = None if line is None else Policy(line, "line")

    svg = columns([str(i) for i in range(len(amounts))], [Series("a", "A", amounts)], label="x", policy=policy)

    assert all(y >= 0 and y + height <= 200 for y, height in rects(svg, "a"))
    assert all(0 <= float(y) <= 200 for y in re.findall(r'y1="([^"]*)"', svg))


@given(st.lists(st.tuples(st.floats(0, 365), AMOUNT), max_size=30))
def test_curves_stay_within_the_drawing(points: list[tuple[float, float]]) -> None:
    svg = curves([Curve("a", "A", sorted(points))], label="x", x_labels=[(0.0, "a"), (365.0, "b")])

    assert all(0 <= float(x) <= 500 and 0 <= float(y) <= 200 for x, y in re.findall(r"[ML]([0-9.-]+) ([0-9.-]+)", svg))


def test_a_plot_of_nothing_is_an_axis() -> None:
    assert "<rect" not in columns([], [], label="x")
    assert "<path" not in curves([], label="x", x_labels=[])
    assert 'class="part-rest"' in meter([("a", 0.0)], 0.0, label="x", line=1.0)


def test_text_is_escaped() -> None:
    nasty = "<script>\"'&"
    svg = columns([nasty], [Series(nasty, nasty, [1.0])], label=nasty, policy=Policy(1.0, nasty))
    svg += curves([Curve(nasty, nasty, [(0.0, 1.0)])], label=nasty, x_labels=[(0.0, nasty)])
    svg += meter([(nasty, 1.0)], 1.0, label=nasty)

    assert "<script" not in svg


@given(st.floats(1e-9, 1e18))
def test_an_axis_ends_at_a_number_not_below_and_not_far_above(value: float) -> None:
    assert value * 0.999999 <= round_up(value) <= value * 1.34


@pytest.mark.parametrize(("low", "high", "told"), [(1.0, 1.4, "1.10"), (0.0, 100.0, "25")])
def test_an_axis_may_begin_and_end_where_it_is_told(low: float, high: float, told: str) -> None:
    svg = curves([Curve("a", "A", [(0.0, low)])], label="x", x_labels=[], low=low, high=high, digits=2 if low else 0)

    assert f">{told}<" in svg
