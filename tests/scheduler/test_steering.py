"""The placer with a mix: the rule decides among equals, and among equals only; nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from exhaustive import sealed
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, snapshot
from test_placer import after_a_round, in_order, one_by_one, started

from scheduler import card_ground, fragmentation, steering
from scheduler.limits import limits_of
from scheduler.mix import BadMix, Mix, UsualTask, mix_of, usual_tasks
from scheduler.placer import Placed, Placer, large_gangs, last_prices
from scheduler.plan import Plan
from scheduler.policy import Policy
from scheduler.pressure import Gauge, tell_points, usual_of
from scheduler.snapshot import Snapshot
from scheduler.spare import Spare
from scheduler.steering import NEW_CARD, TOLD_EVERY, WASTE_POINTS, Steering, nothing_known, unusable
from scheduler.terrain import MILLI_LEFT, TASKS_LEFT
from scheduler.verify import Rule, violations

ROUND = Policy(effort=1)


def whole(cards: int, *models: str, cpu: int = 0) -> UsualTask:
    return UsualTask(cpu, cards, 1000, models)


def share(milli: int, cpu: int = 0) -> UsualTask:
    return UsualTask(cpu, 1, milli, ())


def mix_for(world: Snapshot) -> Mix:
    """Return a mix of the world's own jobs, and some tasks so that there always is one."""
    return mix_of(usual_tasks(world) + Counter({whole(1, cpu=4_000): 3, share(250): 2, whole(4): 1}))


def with_mix(world: Snapshot, early: Snapshot, made: Plan) -> Placer:
    """Return the placer after a round, as `Placer.after`, but with a mix."""
    placer = Placer(early, ROUND, last_prices(early, made), mix_for(world))
    placer.take(early, made.placements)
    return placer


def shares_world(**changes: Any) -> Snapshot:
    """Return two nodes of two cards each that may be shared by the thousandth, and one job for each share asked for."""
    asked = changes.pop("shares")
    count = len(asked)
    return gangs(
        *[(1, 1)] * count,
        cards=2,
        shape_share_milli=asked,
        slice_start=[0, 999],
        slice_milli=list(range(1, 1000)),
        **changes,
    )


# what holds whatever comes


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.randoms(use_true_random=False))
def test_a_plan_with_fast_placements_breaks_no_rule(seed: int, order: Any) -> None:
    world, early, made, _ = after_a_round(seed)
    placer = with_mix(world, early, made)
    late = list(range(4, 16))
    order.shuffle(late)

    placer.set_aside(large_gangs(world.of_jobs(range(4)), 4), most=2)
    placer.lift()
    fast = started(one_by_one(placer, world, late[:5])) + started(placer.place(world.of_jobs(late[5:])))

    whole_plan = sealed(world, ROUND, in_order(world, [*made.placements, *fast]))
    assert violations(world, whole_plan) == []


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_released_can_be_placed_again_and_breaks_no_rule(seed: int) -> None:
    world, early, made, _ = after_a_round(seed)
    placer = with_mix(world, early, made)
    placed = [each for each in one_by_one(placer, world, range(4, 16)) if isinstance(each, Placed)]

    for each in placed[::2]:
        placer.release(each.placement.job_id)
        (again,) = one_by_one(placer, world, [world.job_id.index(each.placement.job_id)])
        assert isinstance(again, Placed) or each.gain_micro_yuan_per_hour <= 0

    whole_plan = sealed(world, ROUND, in_order(world, [*made.placements, *placer.placements]))
    assert [found for found in violations(world, whole_plan) if found.rule is not Rule.SPLIT_NUMBERS] == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), kept=st.sampled_from([1, 3, 256]), moves=st.randoms(use_true_random=False))
def test_scores_that_are_kept_are_those_that_are_made_anew(seed: int, kept: int, moves: Any) -> None:
    """Whatever is placed, released, set aside and lifted meanwhile, and when there are more needs than are kept."""
    world, early, made, _ = after_a_round(seed)
    keeps, forgets = with_mix(world, early, made), with_mix(world, early, made)
    late, began = list(range(4, 16)), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steering, "NEEDS_KEPT", kept)
        while began < len(late):
            jobs = late[began : began + moves.randint(1, 5)]
            began += len(jobs)
            forget_scores(forgets)
            decisions = keeps.place(world.of_jobs(jobs))
            assert decisions == tuple(one_by_one(forgets, world, jobs))
            assert len(scores_of(keeps)._row_of) <= kept
            released = [
                each.placement.job_id for each in decisions if isinstance(each, Placed) and moves.random() < 0.3
            ]
            aside = large_gangs(world.of_jobs(range(4)), 4) if moves.random() < 0.3 else None
            for placer in (keeps, forgets):
                for job_id in released:
                    placer.release(job_id)
                placer.lift() if aside is None else placer.set_aside(aside, most=2)


def forget_scores(placer: Placer) -> None:
    """Let the placer know no score of before."""
    found = scores_of(placer)
    found._row_of.clear()
    found._kept = nothing_known(0, len(found.rule.rank), len(found.points))


def scores_of(placer: Placer) -> Steering:
    assert placer._spare._steering is not None
    return placer._spare._steering


def test_jobs_that_come_together_are_decided_on_as_one_after_the_other_past_a_look_at_what_is_left() -> None:
    count = TOLD_EVERY + 50
    world = gangs(*[(1, 1)] * count, nodes_per_pool=30, pools=2)
    mix = mix_of(usual_tasks(world))
    together, alone = Placer(world, ROUND, mix=mix), Placer(world, ROUND, mix=mix)

    assert together.place(world) == tuple(alone.place_each(world))
    assert 0 < len(together.placements) <= count


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_gain_comes_before_the_rule(seed: int) -> None:
    """The first job to come gains the same with a mix and without, and is placed with one when it is without."""
    world, early, made, _ = after_a_round(seed)

    for job in range(4, 16):
        plain, steered = Placer.after(early, made, ROUND), with_mix(world, early, made)
        (one,), (other,) = one_by_one(plain, world, [job]), one_by_one(steered, world, [job])
        assert type(one) is type(other)
        if isinstance(one, Placed) and isinstance(other, Placed):
            assert one.gain_micro_yuan_per_hour == other.gain_micro_yuan_per_hour


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_unusable_is_the_published_measure(seed: int) -> None:
    """The compiled F is that of `fragmentation.py`, which shares no code with it."""
    world = random_ruled_world(seed)
    mix = mix_for(world)
    spare = Spare(world, limits_of(world), mix)
    land, free, usual = spare._land, spare._free, usual_of(mix, world)

    for node, pool in enumerate(world.node_pool.tolist()):
        slots = range(land.slots[node, 0], land.slots[node + 1, 0])
        split = [int(free.slots[slot, MILLI_LEFT]) for slot in slots if free.slots[slot, TASKS_LEFT] > 0]
        full = [int(free.slots[slot, MILLI_LEFT]) for slot in slots if free.slots[slot, TASKS_LEFT] == 0]
        stuck = sum(milli for milli in full if milli > 0)  # on cards that take no more tasks, however small
        cards = (1000,) * int(free.nodes[node, 0]) + tuple(split)
        idle = card_ground.Node(world.model_names[world.pool_model[pool]], int(free.nodes[node, 1]), 0, cards)
        wanted = sum(part * fragmentation.unusable(idle, kind_of(task)) for task, part in mix.typical) + stuck
        found = unusable(land, free, usual, pool, node, idle.cpu_milli, int(free.nodes[node, 0]), NEW_CARD, 0)
        assert found == pytest.approx(wanted)


def kind_of(task: UsualTask) -> card_ground.Kind:
    part = task.card_milli if task.card_milli < 1000 else 0
    return card_ground.Kind(0 if part else task.cards, part, task.cpu_milli, 0, task.models, 1, 0)


# the rule, once more in plain Python


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_job_goes_where_the_formula_says(seed: int) -> None:
    draw = np.random.default_rng(seed)
    world = unlike_nodes(draw)
    mix, order = mix_for(world), draw.permutation(len(world.node_names))
    here = Plain(world, mix, order.tolist())

    for decision in Placer(world, ROUND, mix=mix, tie_order=order).place(world):
        job = world.job_id.index(job_of(decision))
        expected = here.choose(job)
        assert (decision.placement.nodes[0] if isinstance(decision, Placed) else None) == expected
        if expected is not None:
            here.take(job, expected)


def job_of(decision: Any) -> str:
    return str(decision.placement.job_id if isinstance(decision, Placed) else decision.job_id)


def unlike_nodes(draw: np.random.Generator) -> Snapshot:
    """Return three pools that cost the same, of unlike nodes, and jobs for whole cards and for shares."""
    cpu = np.repeat(draw.choice([16_000, 32_000, 64_000], 3), 3)
    kinds = [(1, 0), (2, 0), (1, 470), (1, 320), (1, 650), (1, 810)]
    count = len(kinds)
    return snapshot(
        pools=3,
        nodes_per_pool=3,
        cards=4,
        jobs=40,
        node_cpu_milli=cpu,
        node_free_cpu_milli=cpu,
        slice_start=[0, 999],
        slice_milli=list(range(1, 1000)),
        shape_tasks=[1] * count,
        shape_cards_per_task=[cards for cards, _ in kinds],
        shape_share_milli=[milli for _, milli in kinds],
        shape_cpu_milli_per_task=draw.integers(0, 9, count) * 1_000,
        shape_memory_mib_per_task=[0] * count,
        shape_round_trip_micros_max=[-1] * count,
        shape_hub_allowed=[[True]] * count,
        build_start=list(range(count + 1)),
        build_stack=("cann",) * count,
        build_models=[[True]] * count,
        build_speed_ppm=[10**6] * count,
        job_shape=draw.integers(0, count, 40),
    )


class Plain:
    """The rule over lists. Pressures are those of the empty world: fewer jobs come than lie between two looks."""

    def __init__(self, world: Snapshot, mix: Mix, order: Sequence[int]) -> None:
        self.world, self.mix, self.order = world, mix, order
        self.cpu = world.node_free_cpu_milli.tolist()
        self.cards = [[1000] * cards for cards in world.node_free_cards.tolist()]
        self.gauge = Gauge(mix, world)
        by_pool = [np.bincount(world.node_pool, weights=each) for each in (1000 * world.node_cards, self.cpu)]
        self.gauge.tell(by_pool[0].astype(np.int64), by_pool[1].astype(np.int64), 0)

    def choose(self, job: int) -> int | None:
        best = [(self.score(job, node), -at, node) for at, node in enumerate(self.order)]
        score, _, node = max(best)
        return None if score < -1000 else node

    def asked(self, job: int) -> tuple[int, int, int]:
        shape = self.world.job_shape[job]
        world = self.world
        return tuple(
            int(each[shape])
            for each in (world.shape_cards_per_task, world.shape_share_milli, world.shape_cpu_milli_per_task)
        )  # type: ignore[return-value]

    def score(self, job: int, node: int) -> int:
        return max((value for value, _ in self.ways(job, node)), default=-(10**6))

    def ways(self, job: int, node: int) -> list[tuple[int, list[int]]]:
        """Return the score of each card that the job may have there, and the cards that are left then."""
        cards, part, cpu = self.asked(job)
        here = self.cards[node]
        if self.cpu[node] < cpu:
            return []
        points = np.zeros(len(self.world.pool_names), dtype=np.int64)
        tell_points(self.gauge.pressure, cpu, part or 1000 * cards, points)
        add = WASTE_POINTS + int(points[self.world.node_pool[node]])
        if not part:
            idle = [at for at, left in enumerate(here) if left == 1000][:cards]
            after = [left for at, left in enumerate(here) if at not in idle]
            return [(add + self.gained(node, cpu, after), after)] if len(idle) == cards else []
        found = []
        for at, left in enumerate(here):
            if left >= part:
                after = [*here[:at], left - part, *here[at + 1 :]]
                waste = self.mix.worth[left] - self.mix.worth[left - part] - self.mix.price[part]
                lost = int(WASTE_POINTS * min(max(waste, 0.0), 1.0) + 0.5)
                found.append((add + self.gained(node, cpu, after) - lost, after))
        return found

    def gained(self, node: int, cpu: int, after: Sequence[int]) -> int:
        drop = self.lost(self.cpu[node], self.cards[node]) - self.lost(self.cpu[node] - cpu, after)
        return int(100.0 / (1.0 + np.exp(-drop / 1000.0)))

    def lost(self, cpu: int, cards: Sequence[int]) -> float:
        idle = card_ground.Node("ascend-910b", cpu, 0, tuple(cards))
        return sum(part * fragmentation.unusable(idle, kind_of(task)) for task, part in self.mix.typical)

    def take(self, job: int, node: int) -> None:
        value = self.score(job, node)
        self.cards[node] = next(after for found, after in self.ways(job, node) if found == value)
        self.cpu[node] -= self.asked(job)[2]


# what it is good for


def test_a_pair_of_cards_that_pairs_need_is_not_broken() -> None:
    world = gangs((1, 1), nodes_per_pool=2, cards=2, node_free_cards=[2, 1])

    (done,) = Placer(world, ROUND, mix=mix_of({whole(2): 5, whole(1): 5})).place(world)

    assert isinstance(done, Placed)
    assert done.placement.nodes == (1,)


def test_a_share_goes_where_it_leaves_room_for_the_one_that_completes_the_card() -> None:
    """470 beside 320 would leave 210 that nobody wants; two of 470 waste 60, and 650 still fits beside 320."""
    world = shares_world(shares=[320, 470, 470, 650])
    mix = mix_of({share(650): 1, share(320): 1, share(470): 2})

    first, second, third, fourth = started(Placer(world, ROUND, mix=mix).place(world))

    assert (second.nodes, second.cards) == (third.nodes, third.cards) != (first.nodes, first.cards)
    assert (first.nodes, first.cards) == (fourth.nodes, fourth.cards)


def test_a_pool_that_gains_more_is_taken_whatever_the_rule_says() -> None:
    world = gangs((1, 1), pools=2, nodes_per_pool=1, cards=2, node_free_cards=[2, 1])
    dearer = replace(world, pool_ask_micro_yuan_per_card_hour=[1_000_000, 2_000_000])
    mix = mix_of({whole(2): 5, whole(1): 5})

    (equal,), (unlike,) = (started(Placer(each, ROUND, mix=mix).place(each)) for each in (world, dearer))

    assert (equal.pool, unlike.pool) == (1, 0)


def test_equal_nodes_are_taken_in_the_order_given_or_in_one_of_the_seed() -> None:
    world = gangs(*[(1, 8)] * 4, nodes_per_pool=4)
    mix = mix_of({whole(8): 1})

    given_order = started(Placer(world, ROUND, mix=mix, tie_order=np.array([2, 0, 3, 1])).place(world))
    drawn = [
        [each.nodes for each in started(Placer(world, Policy(seed=seed), mix=mix).place(world))] for seed in range(8)
    ]

    assert [each.nodes for each in given_order] == [(2,), (0,), (3,), (1,)]
    assert any(one != other for one, other in pairwise(drawn))


def test_the_model_that_confined_tasks_will_need_is_spared() -> None:
    world = snapshot(
        pools=2,
        nodes_per_pool=4,
        cards=1,
        jobs=8,
        model_names=("a", "b"),
        model_stack=("cann", "cann"),
        model_origin=("domestic", "domestic"),
        model_fp16_programme_milli_tflops=[320_000] * 2,
        model_fp16_nameplate_milli_tflops=[-1] * 2,
        model_fp16_measured_milli_tflops=[-1] * 2,
        pool_model=[0, 1],
        shape_tasks=[1, 1],
        shape_cards_per_task=[1, 1],
        shape_cpu_milli_per_task=[0, 0],
        shape_memory_mib_per_task=[0, 0],
        shape_round_trip_micros_max=[-1, -1],
        shape_hub_allowed=[[True]] * 2,
        build_start=[0, 1, 2],
        build_stack=("cann", "cann"),
        build_models=[[True, True], [True, False]],
        build_speed_ppm=[10**6] * 2,
        job_shape=[0] * 4 + [1] * 4,
    )

    done = started(Placer(world, ROUND, mix=mix_of(usual_tasks(world))).place(world))

    assert [each.pool for each in done] == [1] * 4 + [0] * 4


# tasks without cards


def test_a_task_without_cards_takes_cpu_and_memory_until_there_is_none() -> None:
    world = snapshot(jobs=1, nodes_per_pool=1, node_free_cpu_milli=[2_000], shape_cpu_milli_per_task=[2_000])
    placer = Placer(world, ROUND, mix=mix_of({whole(1): 1}))

    assert placer.place_without_cards(1_000, 1) == 0
    assert started(placer.place(world)) == []
    assert placer.place_without_cards(1_000, 10**9) is None
    assert placer.place_without_cards(1_000, 1) == 0
    assert placer.place_without_cards(1, 1) is None


def test_a_task_without_cards_keeps_to_open_nodes_and_to_its_models() -> None:
    world = gangs((1, 1), nodes_per_pool=2, node_open=[False, True])
    placer = Placer(world, ROUND, mix=mix_of({whole(1): 1}))

    assert placer.place_without_cards(1_000, 1) == 1
    assert placer.place_without_cards(1_000, 1, ["ascend-910b"]) == 1
    assert placer.place_without_cards(1_000, 1, ["ascend-910c"]) is None


def test_without_a_mix_there_is_no_place_for_tasks_without_cards() -> None:
    with pytest.raises(BadMix, match="give one when the placer is made"):
        Placer(snapshot(), ROUND).place_without_cards(1_000, 1)


def test_tasks_without_cards_may_come_between_two_decisions() -> None:
    world = snapshot(jobs=2, nodes_per_pool=2, shape_cards_per_task=[8], shape_cpu_milli_per_task=[64_000])
    placer = Placer(world, ROUND, mix=mix_of({whole(8): 1}))

    decisions = placer.place_each(world)
    first = next(decisions)
    beside = placer.place_without_cards(1_000, 1)
    second = next(decisions)

    assert isinstance(first, Placed)
    assert beside == 1 - first.placement.nodes[0]
    assert not isinstance(second, Placed)


def test_a_placer_with_a_mix_can_be_warmed_without_a_trace() -> None:
    world = gangs((1, 8), nodes_per_pool=1)
    placer = Placer(world, ROUND, mix=mix_of({whole(1): 1}))

    placer.warm()

    assert len(started(placer.place(world))) == 1


def test_gangs_on_more_nodes_than_jobs_came_together_are_put_whole() -> None:
    world = gangs((20, 8), (1, 8), (20, 8), (1, 8), nodes_per_pool=45)
    mix = mix_of({whole(8): 1})
    together, alone = Placer(world, ROUND, mix=mix), Placer(world, ROUND, mix=mix)

    found = together.place(world)

    assert found == tuple(alone.place_each(world))
    assert [len(each.nodes) for each in started(found)] == [20, 1, 20, 1]
