"""Nodes kept column by column are the rows that they were made of, whatever the order and the cards."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.store.node_table import CARDS_MAX, NodeRow, NodeTable, SplitCard

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@st.composite
def rows(draw: st.DrawFn) -> list[NodeRow]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        cards = draw(st.sampled_from([0, 1, 8, 63, CARDS_MAX]))
        free = draw(st.sets(st.integers(0, cards - 1))) if cards else set()
        split = draw(st.sets(st.integers(0, cards - 1), max_size=2)) if cards else set()
        pool = draw(st.integers(1, 3))
        more: dict[str, Any] = {"split": {card: SplitCard(250, 3) for card in sorted(split)}}
        if draw(st.booleans()):
            more["window"] = (NOON, NOON + timedelta(hours=number + 1))
        found.append(
            NodeRow(
                node_id=100 - number,
                node=f"n{number}",
                pool_id=pool,
                model=f"m{pool}",
                open=draw(st.booleans()),
                cards=cards,
                free_cards=tuple(sorted(free)),
                cpu_milli=64_000,
                free_cpu_milli=draw(st.integers(0, 64_000)),
                memory_mib=512,
                free_memory_mib=number,
                domain=draw(st.sampled_from(["", "leaf-1", "leaf-2"])),
                **more,
            )
        )
    return found


@given(rows())
def test_a_table_holds_the_rows_that_it_was_made_of(made: list[NodeRow]) -> None:
    table = NodeTable.of(made)

    assert list(table) == made
    assert table == made
    assert table.free_cards.tolist() == [len(row.free_cards) for row in made]
    assert NodeTable.of(table) is table


@given(rows(), st.randoms(use_true_random=False))
def test_taken_in_any_order_each_keeps_what_is_its_own(made: list[NodeRow], luck: Any) -> None:
    """Windows and split cards move with their nodes; what is not taken is gone."""
    order = [at for at in range(len(made)) if luck.random() < 0.8]
    luck.shuffle(order)

    taken = NodeTable.of(made).take(np.array(order, dtype=np.int64))

    assert list(taken) == [made[at] for at in order]
    assert list(taken.window) == sorted(taken.window)


def test_it_is_a_sequence() -> None:
    """Positions count from either end; beyond them is an IndexError."""
    made = [NodeRow(n, f"n{n}", 1, "m", True, 2, (1,), 1, 1, 1, 1) for n in range(3)]
    table = NodeTable.of(made)

    assert table[-1] == made[2]
    assert list(table[1:]) == made[1:]
    assert table != made[:2]
    with pytest.raises(IndexError):
        table[3]
