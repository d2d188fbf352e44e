"""Refusals as columns: whatever is done with them is what would be done with a tuple of each."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.reasons import REFUSALS, Reason
from scheduler.refusals import Refusal, Refusals

rows = st.lists(
    st.builds(Refusal, st.text("abc", min_size=1, max_size=2), st.sampled_from(REFUSALS), st.integers(-1, 3)),
    max_size=8,
).map(tuple)
some = st.frozensets(st.sampled_from(REFUSALS))


@given(rows, rows)
def test_they_read_like_a_tuple(one: tuple[Refusal, ...], other: tuple[Refusal, ...]) -> None:
    columns = Refusals.of(one)

    assert tuple(columns) == one
    assert len(columns) == len(one)
    assert [columns[at] for at in range(len(one))] == list(one)
    assert columns[1:3] == one[1:3]
    assert columns == one
    assert one == columns
    assert hash(columns) == hash(one)
    assert (columns == Refusals.of(other)) == (one == other)
    assert pickle.loads(pickle.dumps(columns)) == one  # noqa: S301
    assert Refusals.of(columns) is columns
    assert columns != list(one)


@given(rows, some, st.frozensets(st.text("abc", min_size=1, max_size=2), max_size=3))
def test_parts_are_those_of_a_tuple(
    one: tuple[Refusal, ...], reasons: frozenset[Reason], names: frozenset[str]
) -> None:
    columns = Refusals.of(one)

    assert columns.where(columns.having(reasons)) == tuple(each for each in one if each.reason in reasons)
    assert columns.without(names) == tuple(each for each in one if each.job_id not in names)
    assert columns.reasons == [each.reason for each in one]
    assert sum(columns.by_reason.values()) == len(one)
    assert list(columns.by_reason.values()) == sorted(columns.by_reason.values(), reverse=True)


@given(rows, st.dictionaries(st.text("abc", min_size=1, max_size=2), st.sampled_from(REFUSALS), max_size=3))
def test_pools_and_reasons_are_changed_as_in_a_tuple(one: tuple[Refusal, ...], known: dict[str, Reason]) -> None:
    columns, pool_of = Refusals.of(one), (7, 5, 0, 2)
    there = (each._replace(pool=pool_of[each.pool]) if each.pool >= 0 else each for each in one)

    changed = columns.in_pools(pool_of).with_reasons(known)

    assert changed == tuple(each._replace(reason=known.get(each.job_id, each.reason)) for each in there)
    assert columns == one


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"job_id": ["a"], "reason": ["OUTBID"], "pool": [-2]},
        {"job_id": ["a"], "reason": [[]], "pool": [0]},
        {"job_id": [1], "reason": [], "pool": []},
    ],
)
def test_what_was_not_written_is_not_read(given: Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        Refusals.from_json(given)
    with pytest.raises(OverflowError):
        Refusals.from_json({"job_id": ["a"], "reason": ["OUTBID"], "pool": [2**70]})


def test_what_is_no_refusal_is_not_taken() -> None:
    nothing = np.zeros(0, dtype=np.int64)

    with pytest.raises(KeyError):
        Refusals.of([Refusal("a", Reason.CHOSEN, 0)])
    with pytest.raises(ValueError, match="lengths"):
        Refusals(["a"], nothing, nothing)
    with pytest.raises(IndexError):
        Refusals.of([Refusal("a", Reason.OUTBID, 3)]).in_pools((0, 1))
