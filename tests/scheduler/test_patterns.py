"""Card patterns: every packing keeps the rules, and no packing exceeds the bound, checked by exhaustive search."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import patterns
from scheduler.card_ground import CARD_MILLI, BadPacking, Ground, Kind, Node
from scheduler.patterns import Packing, groups_of, knapsack, pack

SEARCHED_TASKS_MOST = 4


def share(milli: int, count: int, cpu: int = 1_000, models: tuple[str, ...] = (), worth: int | None = None) -> Kind:
    return Kind(0, milli, cpu, 1_000, models, count, milli if worth is None else worth)


def whole(cards: int, count: int, cpu: int = 1_000, models: tuple[str, ...] = ()) -> Kind:
    return Kind(cards, 0, cpu * cards, 1_000 * cards, models, count, CARD_MILLI * cards)


def no_card(cpu: int, count: int, required: int = 0) -> Kind:
    return Kind(0, 0, cpu, 1_000, (), count, 0, required)


def node(*cards: int, cpu: int = 64_000, model: str = "G2") -> Node:
    return Node(model, cpu, 500_000, cards)


def broken_rules(kinds: Sequence[Kind], nodes: Sequence[Node], packing: Packing) -> list[str]:
    """Sum up every placement anew; it shares nothing with what packed."""
    broken = []
    cpu, memory = [n.cpu_milli for n in nodes], [n.memory_mib for n in nodes]
    cards, count = [list(n.cards) for n in nodes], [kind.count for kind in kinds]
    for c, n, on in packing.placed:
        kind = kinds[c]
        count[c] -= 1
        cpu[n] -= kind.cpu_milli
        memory[n] -= kind.memory_mib
        if kind.models and nodes[n].model not in kind.models:
            broken.append(f"kind {c} on model {nodes[n].model}")
        if len(set(on)) != len(on) or len(on) != (kind.cards or bool(kind.share_milli)):
            broken.append(f"kind {c} on cards {on}")
        for card in on:
            if kind.cards and cards[n][card] != CARD_MILLI:
                broken.append(f"card {card} of node {n} is not idle")
            cards[n][card] -= kind.share_milli or CARD_MILLI
    broken += [
        f"node {n} has {least} left" for n, some in enumerate(cards) for least in [min(some, default=0)] if least < 0
    ]
    broken += [f"{left} left" for left in (*cpu, *memory, *count) if left < 0]
    worth = sum(kinds[c].worth for c, _, _ in packing.placed)
    if worth != packing.worth or (packing.bound is not None and not packing.missing and worth > packing.bound):
        broken.append(f"worth {worth}, told {packing.worth}, bound {packing.bound}")
    for c, kind in enumerate(kinds):
        short = kind.required - (kind.count - count[c])
        if packing.missing.get(c, 0) != max(short, 0):
            broken.append(f"{short} of kind {c} are missing")
    return broken


def test_shares_that_complete_a_card_meet_on_it() -> None:
    kinds = [share(600, 4), share(400, 4), share(700, 4), share(300, 4)]

    packing = pack(kinds, [node(1000, 1000, 1000, 1000)])

    assert (packing.worth, packing.bound) == (4000, 4000)
    assert broken_rules(kinds, [node(1000, 1000, 1000, 1000)], packing) == []


def test_the_bound_knows_that_two_of_600_never_meet_on_a_card() -> None:
    packing = pack([share(600, 100)], [node(1000, 1000)])

    assert (packing.worth, packing.bound) == (1200, 1200)


def test_the_bound_knows_that_a_gang_of_eight_needs_one_node() -> None:
    assert pack([whole(8, 3)], [node(*[1000] * 7)] * 8).bound == 0
    assert pack([whole(4, 9)], [node(*[1000] * 7)] * 8).bound == 8 * 4000


def test_cards_that_are_split_already_take_what_fits_beside() -> None:
    kinds = [share(470, 5), whole(1, 5)]

    packing = pack(kinds, [node(470, 1000), node(469, 0)])

    assert (packing.worth, packing.bound) == (1470, 1470)


def test_a_confined_task_finds_its_model() -> None:
    kinds = [whole(1, 2), whole(1, 2, models=("T4",))]

    packing = pack(kinds, [node(1000, 1000, model="T4"), node(1000, 1000)])

    assert packing.worth == 4000


def test_required_tasks_come_first_even_where_they_cost_all_cards() -> None:
    kinds = [no_card(60_000, 2, required=1), share(500, 4, cpu=5_000)]

    packing = pack(kinds, [node(1000, 1000)])

    assert (packing.missing, packing.worth) == ({}, 0)
    assert broken_rules(kinds, [node(1000, 1000)], packing) == []


def test_a_required_task_without_a_place_is_told() -> None:
    packing = pack([no_card(65_000, 3, required=2), no_card(40_000, 2, required=2)], [node(1000)])

    assert packing.missing == {0: 2, 1: 1}


def test_cpu_moves_to_the_node_whose_card_is_idle() -> None:
    """Level by level both nodes look full; exchanging a heavy task for a light one lets the last card run."""
    heavy, light, last = share(900, 2, cpu=30_000), share(900, 2, cpu=2_000), share(900, 1, cpu=25_000)
    nodes = [node(1000, 1000, cpu=60_000), node(1000, 1000, 1000, cpu=60_000)]

    packing = pack([heavy, light, last], nodes)

    assert packing.worth == 5 * 900


def test_a_model_that_nobody_has_and_an_empty_world_are_values() -> None:
    assert pack([whole(1, 1, models=("A10",))], [node(1000)]).placed == ()
    for kinds, nodes in (([], []), ([share(500, 1)], []), ([], [node(1000)]), ([share(500, 0)], [node()])):
        packing = pack(kinds, nodes)
        assert (packing.placed, packing.worth, packing.bound) == ((), 0, 0)


def test_a_solver_that_finds_nothing_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a step of the program there is no bound, but cards are filled all the same."""
    monkeypatch.setattr(patterns, "ROUNDS_MAX", 0)

    packing = pack([share(600, 2), share(400, 2)], [node(1000, 1000)])

    assert (packing.bound, packing.worth) == (None, 2000)


def test_a_million_tasks_of_one_shape_cost_no_more_than_the_cards() -> None:
    packing = pack([share(300, 10**6)], [node(*[1000] * 8)] * 50)

    assert packing.worth == packing.bound == 50 * 8 * 900


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (replace(share(500, 1), share_milli=1000), "share_milli"),
        (replace(share(500, 1), share_milli=-1), "share_milli"),
        (replace(share(500, 1), cards=1), "share_milli"),
        (replace(whole(1, 1), cards=-1), "cards"),
        (replace(whole(1, 1), cpu_milli=2**41), "cpu_milli"),
        (replace(whole(1, 1), memory_mib=0.5), "memory_mib"),  # type: ignore[arg-type]
        (replace(whole(1, 1), count=10**8), "count"),
        (replace(whole(1, 1), worth=float("nan")), "worth"),  # type: ignore[arg-type]
        (replace(whole(1, 1), worth=-1), "worth"),
        (replace(whole(1, 1), required=2), "required"),
    ],
)
def test_a_figure_that_cannot_be_is_refused_by_name(kind: Kind, field: str) -> None:
    with pytest.raises(BadPacking, match=rf"kinds\[1\]\.{field}"):
        pack([share(500, 1), kind], [node(1000)])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [(node(1001), r"cards\[0\]"), (node(-1), r"cards\[0\]"), (node(cpu=-1), "cpu_milli")],
)
def test_a_node_that_cannot_be_is_refused_by_name(wrong: Node, field: str) -> None:
    with pytest.raises(BadPacking, match=rf"nodes\[1\]\.{field}"):
        pack([share(500, 1)], [node(1000), wrong])


def test_nodes_are_alike_whatever_the_order_of_their_cards() -> None:
    groups = groups_of([share(200, 1)], [node(1000, 300), node(300, 1000), node(1000)])

    assert [group.nodes for group in groups] == [(0, 1), (2,)]
    assert groups[0].levels == {1000: 2, 300: 2}


def test_the_knapsack_earns_the_most() -> None:
    worth, _ = knapsack({600: 10, 300: 6, 1: 0})

    assert [worth[milli] for milli in (299, 300, 600, 900, 1000)] == [0, 6, 12, 18, 18]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Kind], list[Node]]:
    """Small worlds with tight CPU, split cards, two models, odd sizes."""
    models = st.sampled_from(["G2", "T4"])
    card = st.sampled_from([1000, 1000, 470, 0])
    nodes = draw(
        st.lists(
            st.builds(Node, models, st.integers(0, 30).map(lambda c: c * 1000), st.just(9_000), st.tuples(card, card)),
            max_size=2,
        )
    )
    sizes = st.sampled_from([(0, 100), (0, 470), (0, 600), (0, 999), (1, 0), (2, 0), (0, 0)])
    kinds = []
    for cards, milli in draw(st.lists(sizes, max_size=4)):
        count = draw(st.integers(0, 2))
        confined = draw(st.sampled_from([(), (), ("T4",), ("G2", "T4")]))
        cpu, worth = draw(st.integers(0, 12)) * 1000, draw(st.integers(0, 3000))
        required = draw(st.integers(0, count)) if cards == milli == 0 else 0
        kinds.append(Kind(cards, milli, cpu, draw(st.integers(0, 4)) * 1000, confined, count, worth, required))
    return kinds, nodes


def best_worth(kinds: Sequence[Kind], nodes: Sequence[Node]) -> int | None:
    """Search every packing; None when the required tasks have no place."""
    tasks = [c for c, kind in enumerate(kinds) for _ in range(kind.count)]
    best: int | None = None

    def go(at: int, ground: Ground, worth: int) -> None:
        nonlocal best
        if at == len(tasks):
            if not ground.missing() and (best is None or worth > best):
                best = worth
            return
        c = tasks[at]
        go(at + 1, ground, worth)
        for n, card in itertools.product(range(len(nodes)), range(2)):
            kind = kinds[c]
            if len(ground.rooms(c, np.array([n]))) and (kind.share_milli or card == 0):
                if kind.share_milli and ground.milli[n][card] < kind.share_milli:
                    continue
                after = Ground(kinds, nodes)
                for placed in ground.placed():
                    put_again(after, placed.kind, placed.node, placed.cards)
                if kind.share_milli:
                    after.put_shares(n, card, [c])
                else:
                    after.put(c, n)
                go(at + 1, after, worth + kind.worth)

    go(0, Ground(kinds, nodes), 0)
    return best


def put_again(ground: Ground, c: int, n: int, cards: tuple[int, ...]) -> None:
    if len(cards) == 1:
        ground.put_shares(n, cards[0], [c])
    else:
        ground.put(c, n)


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_small_worlds_keep_the_rules_and_the_bound_is_above_the_best(world: tuple[list[Kind], list[Node]]) -> None:
    kinds, nodes = world

    packing = pack(kinds, nodes)

    assert broken_rules(kinds, nodes, packing) == []
    best = best_worth(kinds, nodes) if sum(kind.count for kind in kinds) <= SEARCHED_TASKS_MOST else None
    if best is not None and packing.bound is not None:
        assert best <= packing.bound
        assert packing.missing or packing.worth <= best


def test_work_that_needs_no_cpu_but_more_memory_than_there_is() -> None:
    """Two shares fill either card best, and both cards so filled want more memory than the node has."""
    kinds = [Kind(0, 100, 0, 3_000, (), 2, 1, 0)]
    nodes = [Node("G2", 0, 9_000, (1000, 1000))]

    packing = pack(kinds, nodes)

    assert broken_rules(kinds, nodes, packing) == []
    assert packing.worth == 2


def test_equal_input_packs_equally_and_near_the_bound() -> None:
    luck = np.random.default_rng(4)
    kinds = [
        share(int(milli), int(count), cpu=int(cpu) * 1000)
        for milli, count, cpu in zip(
            luck.choice([160, 230, 320, 470, 650, 810], 20),
            luck.integers(5, 40, 20),
            luck.integers(2, 12, 20),
            strict=True,
        )
    ] + [whole(8, 4, cpu=8_000), whole(2, 10, cpu=8_000), whole(1, 60, cpu=10_000), no_card(16_000, 10, required=10)]
    nodes = [node(*[1000] * 8, cpu=96_000)] * 20 + [node(1000, 1000, cpu=104_000, model="T4")] * 10

    packing, again = pack(kinds, nodes), pack(kinds, nodes)

    assert packing == again
    assert broken_rules(kinds, nodes, packing) == []
    assert packing.missing == {}
    assert packing.bound is not None
    assert packing.worth >= 0.98 * packing.bound


def test_tasks_larger_than_any_node_do_not_lift_the_bound() -> None:
    assert pack([whole(2, 5, cpu=40_000)], [node(1000, 1000)]).bound == 0
