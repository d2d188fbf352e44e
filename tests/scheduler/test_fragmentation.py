"""Fragmentation: what a typical task cannot use."""

import pytest

from scheduler.card_ground import BadPacking, Kind, Node
from scheduler.fragmentation import fragmentation


def node(*cards: int, cpu: int = 64_000, model: str = "G2") -> Node:
    return Node(model, cpu, 0, cards)


def share(milli: int, count: int = 1, *models: str) -> Kind:
    return Kind(0, milli, 4_000, 0, models, count, 0)


def whole(cards: int, count: int = 1) -> Kind:
    return Kind(cards, 0, 4_000 * cards, 0, (), count, 0)


@pytest.mark.parametrize(
    ("free", "typical", "lost"),
    [
        (node(1000, 1000), whole(2), 0),
        (node(1000, 999), whole(2), 1999),  # one card too few: nothing is usable
        (node(1000, 400), whole(1), 400),
        (node(600, 500, 0), share(550), 500),
        (node(600, cpu=3_999), share(550), 600),
        (node(600), share(550, 1, "T4"), 600),
        (node(600), whole(0), 600),  # a task without cards uses none
        (node(), share(550), 0),
    ],
)
def test_one_node_and_one_task(free: Node, typical: Kind, lost: int) -> None:
    assert fragmentation([free], [typical]) == lost


def test_the_expectation_weighs_by_count_and_adds_up_nodes() -> None:
    typical = [share(600, count=3), whole(1, count=1)]

    assert fragmentation([node(700)] * 2, typical) == 2 * (0 * 3 + 700 * 1) // 4


def test_an_order_of_cards_does_not_matter() -> None:
    assert fragmentation([node(700, 200)], [share(300)]) == fragmentation([node(200, 700)], [share(300)]) == 200


@pytest.mark.parametrize(
    ("free", "typical", "field"),
    [
        ([node(1001)], [share(1)], r"nodes\[0\].cards\[0\]"),
        ([node(1)], [share(1, count=-1)], r"kinds\[0\].count"),
        ([node(1)], [], "typical"),
        ([node(1)], [share(1, count=0)], "typical"),
    ],
)
def test_wrong_figures_are_refused_by_name(free: list[Node], typical: list[Kind], field: str) -> None:
    with pytest.raises(BadPacking, match=field):
        fragmentation(free, typical)
