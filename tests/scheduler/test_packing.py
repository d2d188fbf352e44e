"""Gangs on nodes: what is free is always what nobody took, against a slow book-keeping that knows no tricks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from books import Books
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, random_world, snapshot

from scheduler.choices import Choices, choose
from scheduler.greedy import construct, fill
from scheduler.ground import DoesNotFit, Ground, Terrain, deal
from scheduler.limits import LEFT, LEND
from scheduler.policy import Policy
from scheduler.rows import Costs, capacity_rows
from scheduler.snapshot import Snapshot
from scheduler.terrain import MILLI_LEFT, UNSPLIT

PLAIN = Policy()


def same(one: Ground, other: Ground) -> bool:
    """Judge whether two grounds have the same free (bounds on what fits apart, which only save work)."""
    return all(
        np.array_equal(getattr(one.free, name), getattr(other.free, name))
        for name in one.free._fields
        if name != "fits"
    )


def prepared(world: Snapshot) -> tuple[Choices, Terrain]:
    choices = choose(world, PLAIN)
    return choices, Terrain(choices)


def greedy_plan(world: Snapshot) -> tuple[Choices, Ground]:
    choices, terrain = prepared(world)
    return choices, construct(choices, terrain, capacity_rows(choices), Costs.none(choices))


def any_world(seed: int) -> Snapshot:
    """Every other world has all rules, the others have whole cards of many sizes."""
    if seed % 2:
        return random_ruled_world(seed, jobs=14, pools=3, nodes_per_pool=4, shapes=7)
    return random_world(seed, jobs=30, pools=3, nodes_per_pool=4, sizes=(1, 2, 3, 5, 8))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), data=st.data())
def test_whatever_is_placed_and_removed_the_books_agree(seed: int, data: st.DataObject) -> None:
    """Random orders of gangs, whole pools and single lines; at the end everything comes back, to the last unit."""
    choices, terrain = prepared(any_world(seed))
    draw = np.random.Generator(np.random.PCG64(seed))
    group, pairs, pools = choices.pairs.group, choices.pairs.pool.size, len(choices.snapshot.pool_names)
    ground = Ground(terrain)

    for action in data.draw(st.lists(st.sampled_from(["place", "pools", "lines", "move"]), max_size=8)):
        if action == "place" and pairs:
            chosen = draw.integers(0, pairs, 8)
            ground.place(group[chosen], chosen, draw.integers(1, 4, 8))
        elif action == "pools":
            ground.remove([int(draw.integers(0, pools))])
        elif action == "lines":
            ground.remove_lines(np.flatnonzero(draw.random(len(ground.lines)) < 0.5))
        else:
            lines, entries = ground.lines.copy(), ground.entries.copy()
            ground.remove(range(pools))
            ground.place_at(lines, entries)
        books = Books(choices, ground)
        books.agree(ground)
        assert books.within_limits()
    ground.remove(range(pools))

    assert same(ground, Ground(terrain))
    assert ground.objective == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_as_many_gangs_are_placed_as_fit(seed: int) -> None:
    """After every single request either all of it is placed, or one more gang would break a rule."""
    choices, terrain = prepared(any_world(seed))
    draw = np.random.Generator(np.random.PCG64(seed))
    group, ground = choices.pairs.group, Ground(terrain)

    for pair in draw.permutation(choices.pairs.pool.size)[:20].tolist():
        before, most = int(ground.left[group[pair]]), int(draw.integers(1, 4))
        fitted = Books(choices, ground).one_more(int(group[pair]), pair)
        ground.place(group[[pair]], np.array([pair]), np.array([most]))
        placed = before - int(ground.left[group[pair]])

        assert (placed > 0) == fitted
        assert placed == min(most, before) or not Books(choices, ground).one_more(int(group[pair]), pair)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_no_refused_gang_fits_by_itself(seed: int) -> None:
    """The last word of every construction, with and without costs and votes."""
    choices, terrain = prepared(any_world(seed))
    rows, draw = capacity_rows(choices), np.random.Generator(np.random.PCG64(seed))
    costs = Costs.none(choices)
    dear = replace(costs, kind_pool=draw.integers(0, 10**9, costs.kind_pool.shape))
    votes = draw.integers(0, 4, choices.pairs.pool.size).astype(np.int16)

    for ground in (construct(choices, terrain, rows, costs), construct(choices, terrain, rows, dear, votes)):
        books = Books(choices, ground)
        books.agree(ground)
        assert books.within_limits()
        for pair, group in enumerate(choices.pairs.group.tolist()):
            assert not books.one_more(group, pair)


def test_equal_input_gives_an_equal_plan() -> None:
    """And filling a plan that is full changes nothing."""
    world = random_ruled_world(5, jobs=60, pools=4, nodes_per_pool=6, shapes=12)

    choices, one = greedy_plan(world)
    _, other = greedy_plan(world)
    before = one.lines.copy()
    fill(one)

    assert np.array_equal(one.lines, other.lines)
    assert np.array_equal(one.entries, other.entries)
    assert np.array_equal(one.lines, before)
    assert deal(choices, one) == deal(choices, other)


def nodes_of(ground: Ground) -> list[int]:
    return ground.entries[:, 0].tolist()


def test_a_small_task_goes_where_the_least_is_free() -> None:
    """Large free blocks last: the 8-card gang still finds its node."""
    world = gangs((1, 2), (1, 8), nodes_per_pool=3, node_free_cards=[8, 3, 2])

    _, ground = greedy_plan(world)

    assert sorted(nodes_of(ground)) == [0, 2]


def test_a_gang_that_must_stay_close_takes_the_domain_it_fills() -> None:
    """The larger domain stays free for a larger gang."""
    world = gangs((2, 4), nodes_per_pool=4, node_free_cards=[8, 8, 4, 4], node_domain=[0, 0, 1, 1], shape_within=[1])

    _, ground = greedy_plan(world)

    assert sorted(nodes_of(ground)) == [2, 3]


def test_gangs_of_equal_jobs_may_use_unlike_domains_but_none_spans_two() -> None:
    """Three gangs of 8 cards in domains of 12 and 8 cards: two run, each in its own."""
    world = snapshot(
        jobs=3, nodes_per_pool=5, cards=4, node_domain=[0, 0, 0, 1, 1], shape_tasks=[2], shape_cards_per_task=[4],
        shape_within=[1],
    )  # fmt: skip

    _, ground = greedy_plan(world)

    assert ground.lines[:, 2].tolist() == [1, 1]
    assert sorted(nodes_of(ground)[:2]) == [3, 4]
    assert ground.left.tolist() == [1]


def test_a_gang_on_one_node_takes_the_tightest() -> None:
    """Its unit is the whole gang: six cards on a node with six."""
    world = gangs((3, 2), nodes_per_pool=3, node_free_cards=[8, 6, 5], shape_within=[2])

    _, ground = greedy_plan(world)

    assert ground.entries.tolist() == [[1, 3, -1]]


def shares(share: int, jobs: int, **changes: Any) -> Snapshot:
    """Return a world of two nodes in which equal jobs ask for a share of a card."""
    world: dict[str, Any] = {
        "slice_start": [0, 2],
        "slice_milli": [250, 500],
        "shape_share_milli": [share],
        "node_cards": [3, 3],
        "node_free_cards": [2, 1],
    }
    return snapshot(jobs=jobs, **(world | changes))


def test_a_share_goes_to_the_split_card_with_the_least_left() -> None:
    """Then to the other one, and only then a card is split: on the node with the fewest free."""
    world = shares(200, 5, split_node=[0, 1], split_free_milli=[750, 300], split_shares=[1, 1])

    _, ground = greedy_plan(world)

    assert ground.entries[:, [0, 2]].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [1, -2]]


def test_a_model_limits_the_tasks_on_a_card() -> None:
    """Two tasks to a card although four slices would fit."""
    world = shares(250, 9, model_shares_per_card_max=[2])

    _, ground = greedy_plan(world)

    assert ground.left.tolist() == [3]
    assert ground.free.nodes[:, 0].tolist() == [0, 0]


def test_a_card_that_nobody_shares_any_more_is_whole_again() -> None:
    """Its number is free too: the plan numbers its new cards without holes."""
    choices, terrain = prepared(shares(500, 6))
    ground = Ground(terrain)
    for _ in range(3):  # node 1 has one free card, node 0 two
        ground.place(np.array([0]), np.array([0]), np.array([2]))

    ground.remove_lines(np.array([1]))  # the first card of node 0

    assert ground.free.nodes[:, 0].tolist() == [1, 0]
    assert np.count_nonzero(ground.free.slots[:, MILLI_LEFT] != UNSPLIT) == 2
    assert [(each.nodes, each.cards) for each in deal(choices, ground)] == [((1,), (-1,))] * 2 + [((0,), (-1,))] * 2


def test_lines_that_do_not_fit_are_refused() -> None:
    """Whoever names nodes must have emptied them."""
    choices, terrain = prepared(gangs((1, 8), (1, 8), nodes_per_pool=1))
    ground = Ground(terrain)
    line = [[group, int(choices.pairs.start[group]), 1, group] for group in range(2)]

    with pytest.raises(DoesNotFit, match="line 1"):
        ground.place_at(np.array(line), np.array([[0, 1, -1], [0, 1, -1]]))


def test_power_and_quotas_limit_gangs_before_cards_do() -> None:
    """Eight free cards, but watts for three and a quota for two."""
    power = {"model_card_watts": [500], "hub_power_cap_watts": [2_000], "hub_used_watts": [400]}
    quota = {
        "tenant_names": ("nanjing",),
        "tenant_quota": [[0]],
        "quota_names": ("nanjing",),
        "quota_parent": [-1],
        "quota_guaranteed_milli_tflops": [320_000],
        "quota_borrow_milli_tflops": [640_000],
        "quota_lend_milli_tflops": [-1],
        "quota_used_milli_tflops": [320_000],
        "job_tenant": [0] * 8,
    }

    _, by_power = greedy_plan(snapshot(jobs=8, nodes_per_pool=1, **power))
    _, by_quota = greedy_plan(snapshot(jobs=8, nodes_per_pool=1, **power, **quota))

    assert (by_power.left.tolist(), by_power.watts.tolist()) == ([5], [100])
    assert (by_quota.left.tolist(), by_quota.account[0, [LEFT, LEND]].tolist()) == ([6], [0, 0])


def test_a_guarantee_is_served_before_a_better_ceiling() -> None:
    """As many gangs as the guarantee is short of, no more: the third job of the tenant must compete."""
    world = gangs(
        *[(1, 4)] * 5, nodes_per_pool=2, ceilings=[30_000_000, 29_000_000, 10_000_000, 9_000_000, 8_000_000],
        tenant_names=("nanjing",), tenant_quota=[[0]], quota_names=("nanjing",), quota_parent=[-1],
        quota_guaranteed_milli_tflops=[2_000_000], quota_borrow_milli_tflops=[-1], quota_lend_milli_tflops=[-1],
        quota_used_milli_tflops=[0], job_tenant=[-1, -1, 0, 0, 0], node_free_cards=[8, 4],
    )  # fmt: skip

    choices, ground = greedy_plan(world)

    assert sorted(each.job for each in deal(choices, ground)) == [0, 2, 3]
    assert ground.guaranteed == 2_000_000


def test_a_higher_tier_comes_first() -> None:
    """However little it pays."""
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[30_000_000, 9_000_000], job_tier=[1, 0])

    choices, ground = greedy_plan(world)

    assert [each.job for each in deal(choices, ground)] == [1]


def test_an_elastic_gang_runs_smaller_where_its_full_size_does_not_fit() -> None:
    """Three tasks of two cards do not fit into four cards; two do."""
    world = gangs(
        (3, 2), nodes_per_pool=2, node_cards=[8, 3], node_free_cards=[6, 0], size_start=[0, 1], size_tasks=[2],
        size_speed_ppm=[600_000],
    )  # fmt: skip
    choices, terrain = prepared(world)
    small, large = Ground(terrain), Ground(terrain)
    small.free.nodes[0, 0] = small.free.total[0] = 4  # as if something else had come

    fill(small)
    fill(large)

    assert [sum(deal(choices, ground)[0].tasks) for ground in (small, large)] == [2, 3]


def test_equal_jobs_are_dealt_by_waiting() -> None:
    """The longest waiting job runs, and every gang keeps its nodes in ascending order."""
    world = snapshot(
        jobs=4, nodes_per_pool=3, shape_tasks=[3], shape_cards_per_task=[3], job_submitted_at_s=[40, 10, 30, 20]
    )

    choices, ground = greedy_plan(world)
    dealt = deal(choices, ground)

    assert [each.job for each in dealt] == [1, 3]
    assert [sum(each.tasks) for each in dealt] == [3, 3]
    assert all(list(each.nodes) == sorted(each.nodes) for each in dealt)


def test_tables_grow_with_what_is_placed() -> None:
    """Hundreds of lines and entries, one of them with an entry for each of its shares."""
    choices, ground = greedy_plan(random_world(3, jobs=600, pools=3, nodes_per_pool=90, tasks=(1, 3, 9), empty=0.9))
    shared, many = greedy_plan(
        shares(100, 1, slice_milli=[100, 500], shape_tasks=[1_000], node_cards=[100] * 2, node_free_cards=[60] * 2,
               shape_cpu_milli_per_task=[0], shape_memory_mib_per_task=[0])
    )  # fmt: skip

    Books(choices, ground).agree(ground)
    Books(shared, many).agree(many)
    assert len(ground.lines) > 64
    assert many.end.tolist() == [1, 1_000]
