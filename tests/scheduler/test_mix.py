"""The usual mix: what is typical, what a rest of a card is worth, and what a queue says of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import random_ruled_world, snapshot

from scheduler.card_worth import card_worth
from scheduler.mix import BadMix, UsualTask, mix_of, typical, usual_tasks


def share(milli: int) -> UsualTask:
    return UsualTask(2_000, 1, milli, ())


def whole(cards: int) -> UsualTask:
    return UsualTask(4_000 * cards, cards, 1000, ())


def test_the_mix_knows_the_typical_tasks_only() -> None:
    mix = mix_of({share(500): 96, share(310): 4})

    assert (mix.milli_mean, mix.price[500]) == (500, pytest.approx(0.5))
    assert mix.worth[499] == 0  # 310 is too rare to be counted on


def test_typical_tasks_are_the_most_popular_ones() -> None:
    assert typical({whole(1): 96, whole(2): 4}) == [(whole(1), 1.0)]
    assert typical({whole(1): 60, whole(2): 40}) == [(whole(1), 0.6), (whole(2), 0.4)]


def test_a_card_is_worth_what_the_usual_shares_can_still_earn() -> None:
    worth, price = card_worth({600: 10, 300: 5})

    assert (worth[1000], worth[299], worth[0]) == (1, 0, 0)
    assert price[600] == pytest.approx(1)  # a card each, and enough of them have no 300 beside
    assert price[300] == pytest.approx(0)


@settings(max_examples=60, deadline=None)
@given(count=st.dictionaries(st.integers(1, 999), st.integers(1, 10**6), max_size=8))
def test_no_set_of_shares_earns_more_than_the_card_that_it_fills(count: dict[int, int]) -> None:
    worth, price = card_worth(count)

    assert worth[1000] == pytest.approx(1, abs=1e-5)
    assert (np.diff(worth) >= -1e-9).all()
    for size in count:
        assert price[size] <= worth[size] + 1e-5
        assert 1000 // size * price[size] <= 1 + 1e-5


@pytest.mark.parametrize(
    ("task", "times", "field"),
    [
        (whole(1), 0, "count"),
        (UsualTask(-1, 1, 1000, ()), 1, "cpu_milli"),
        (UsualTask(0, -1, 1000, ()), 1, "cards"),
        (UsualTask(0, 2, 500, ()), 1, "card_milli"),
        (UsualTask(0, 1, 0, ()), 1, "card_milli"),
        (UsualTask(0, 0, 500, ()), 1, "card_milli"),
    ],
)
def test_figures_that_cannot_be_are_named(task: UsualTask, times: int, field: str) -> None:
    with pytest.raises(BadMix) as refused:
        mix_of({task: times})

    assert refused.value.field == field


@pytest.mark.parametrize("count", [{}, {UsualTask(1_000, 0, 0, ()): 5}])
def test_without_a_task_that_takes_a_card_there_is_no_mix(count: dict[UsualTask, int]) -> None:
    with pytest.raises(BadMix, match="place without a mix"):
        mix_of(count)


def test_the_tasks_of_a_queue_are_counted_one_by_one_by_the_slice_they_get() -> None:
    world = snapshot(jobs=3, shape_tasks=[2], shape_share_milli=[200], slice_start=[0, 2], slice_milli=[250, 500])

    assert usual_tasks(world) == {UsualTask(1_000, 1, 250, ()): 6}


def test_models_are_named_where_not_all_may_be_had() -> None:
    world = snapshot(
        jobs=1,
        model_names=("a", "b"),
        model_stack=("cann", "cuda"),
        model_origin=("domestic", "foreign"),
        model_fp16_programme_milli_tflops=[1, 1],
        model_fp16_nameplate_milli_tflops=[1, 1],
        model_fp16_measured_milli_tflops=[1, 1],
        build_models=[[True, False]],
    )

    assert usual_tasks(world) == {UsualTask(1_000, 1, 1000, ("a",)): 1}
    assert usual_tasks(replace(world, build_models=[[False, False]])) == {}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_queue_gives_a_mix(seed: int) -> None:
    found = usual_tasks(random_ruled_world(seed))

    if found:
        assert sum(part for _, part in mix_of(found).typical) == pytest.approx(1)
