"""The fast placer: no rule breaks whatever it places, nobody loses money, big gangs do not starve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from exhaustive import sealed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, random_world, snapshot

from scheduler.choices import Choices, choose
from scheduler.errors import BadSnapshot, UnknownJob
from scheduler.ground import DoesNotFit
from scheduler.limits import limits_of
from scheduler.placer import Decision, Placed, Placer, Queued, Refused, Waits, large_gangs, last_prices
from scheduler.plan import Placement, Plan
from scheduler.planner import plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.pricing import cost_split
from scheduler.reasons import Reason
from scheduler.snapshot import Snapshot
from scheduler.verify import Rule, violations

ROUND = Policy(effort=1)


def one_by_one(placer: Placer, world: Snapshot, jobs: Iterable[int]) -> list[Decision]:
    return [decision for job in jobs for decision in placer.place(world.of_jobs([job]))]


def started(decisions: Iterable[Decision]) -> list[Placement]:
    return [each.placement for each in decisions if isinstance(each, Placed)]


def in_order(world: Snapshot, placements: Iterable[Placement]) -> list[Placement]:
    position = {job_id: job for job, job_id in enumerate(world.job_id)}
    return sorted(placements, key=lambda each: position[each.job_id])


def after_a_round(seed: int, *, jobs: int = 16) -> tuple[Snapshot, Snapshot, Plan, Placer]:
    """Return a ruled world with all its jobs, the same with the first quarter, their plan, and the placer after it."""
    world = random_ruled_world(seed, jobs=jobs, nodes_per_pool=3)
    early = world.of_jobs(range(jobs // 4))
    made = plan(early, ROUND)
    return world, early, made, Placer.after(early, made, ROUND)


# what holds whatever comes


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.randoms(use_true_random=False))
def test_a_plan_with_fast_placements_breaks_no_rule(seed: int, order: Any) -> None:
    world, _, made, placer = after_a_round(seed)
    late = list(range(4, 16))
    order.shuffle(late)

    fast = started(one_by_one(placer, world, late[:5])) + started(placer.place(world.of_jobs(late[5:])))

    whole = sealed(world, ROUND, in_order(world, [*made.placements, *fast]))
    assert violations(world, whole) == []
    assert placer.placements == tuple(fast)


@settings(max_examples=60, deadline=None)
@example(seed=10371)
@given(seed=st.integers(0, 10**6))
def test_what_is_released_can_be_placed_again_and_breaks_no_rule(seed: int) -> None:
    world, _, made, placer = after_a_round(seed)
    first = one_by_one(placer, world, range(4, 16))
    placed = [each for each in first if isinstance(each, Placed)][::2]

    for each in placed:
        job_id = each.placement.job_id
        placer.release(job_id)
        (again,) = one_by_one(placer, world, [world.job_id.index(job_id)])
        # one that was placed within a guarantee alone may find it used by others who came later
        assert isinstance(again, Placed) or each.gain_micro_yuan_per_hour <= 0
    whole = sealed(world, ROUND, in_order(world, [*made.placements, *placer.placements]))
    # a card that was split and is whole again leaves a gap in the numbers of new split cards; none is lost
    assert [found for found in violations(world, whole) if found.rule is not Rule.SPLIT_NUMBERS] == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_arrivals_keep_to_times(seed: int) -> None:
    """Whatever is placed ends before its pool is needed and before it is of no use."""
    world = random_ruled_world(seed)
    ends = world.taken_at_s + world.job_walltime_seconds
    world = replace(world, pool_until_s=np.resize(ends, len(world.pool_names)), job_finish_by_s=ends + seed % 90)
    placer = Placer(world, ROUND)

    fast = started(one_by_one(placer, world, range(len(world.job_id))))

    assert violations(world, sealed(world, ROUND, in_order(world, fast))) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_room_set_aside_comes_back_whole(seed: int) -> None:
    world, early, made, placer = after_a_round(seed)
    plain = one_by_one(placer, world, range(4, 16))

    other = Placer.after(early, made, ROUND)
    other.set_aside(world.of_jobs(range(4)) if made.refusals else world.of_jobs([]), most=3)
    other.lift()

    assert one_by_one(other, world, range(4, 16)) == plain
    assert not other.held().any()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), younger_by=st.integers(0, 100_000))
def test_where_the_oldest_of_its_kind_finds_no_room_nobody_of_it_does(seed: int, younger_by: int) -> None:
    """So the broker looks at one of them while nobody finds room."""
    alone = random_ruled_world(seed, jobs=16, nodes_per_pool=3)
    twice: dict[str, Any] = {
        each.name: np.tile(getattr(alone, each.name), 2) for each in fields(alone) if each.name.startswith("job_")
    }
    twice["job_id"] = (*alone.job_id, *(f"{job_id}-too" for job_id in alone.job_id))
    twice["job_submitted_at_s"][16:] = np.minimum(alone.job_submitted_at_s + younger_by, alone.taken_at_s)
    world = replace(alone, **twice)
    early = world.of_jobs(range(4))
    placer = Placer.after(early, plan(early, ROUND), ROUND)

    for job in range(4, 16):
        if not started(one_by_one(placer, world, [job])):
            assert not started(one_by_one(placer, world, [16 + job]))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_first_with_room_is_whom_place_would_place_first(seed: int) -> None:
    world, _, _, placer = after_a_round(seed)
    left = list(range(4, 16))

    while left:
        found = placer.first_with_room(world.of_jobs(left))
        before = left if found is None else left[: left.index(world.job_id.index(found))]
        assert started(one_by_one(placer, world, before)) == []
        if found is None:
            break
        assert placer.first_with_room(world.of_jobs(left)) == found  # it has taken nothing
        assert [each.job_id for each in started(one_by_one(placer, world, [left[len(before)]]))] == [found]
        left = left[len(before) + 1 :]


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nobody_is_placed_at_a_loss(seed: int) -> None:
    """The gain is worth less the cost that explanations show; without gain only the tenant's own guarantee pays."""
    world, _, made, placer = after_a_round(seed)
    new = np.zeros(len(world.quota_names), dtype=np.int64)
    for each in made.placements:
        count_use(world, each, new)

    for decision in one_by_one(placer, world, range(4, 16)):
        if not isinstance(decision, Placed):
            continue
        placement = decision.placement
        assert placement.worth_micro_yuan_per_hour > 0
        assert decision.gain_micro_yuan_per_hour in gains_of(world, made, placement)
        leaf = leaf_of(world, placement)
        before = int(new[leaf])
        count_use(world, placement, new)
        if decision.gain_micro_yuan_per_hour <= 0:
            assert leaf >= 0
            headroom = world.quota_guaranteed_milli_tflops[leaf] - world.quota_used_milli_tflops[leaf]
            assert before < int(new[leaf]) <= headroom


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_queued_job_would_not_pay_or_not_fit(seed: int) -> None:
    """Without any prices a job is only queued when the planner could not place it beside the others either."""
    world, early, made, _ = after_a_round(seed)
    placer = Placer(early, ROUND)
    placer.take(early, made.placements)

    [decision] = placer.place(world.of_jobs([7]))

    alone = choose(world.of_jobs([7]), ROUND)
    if isinstance(decision, Refused):
        assert not alone.eligible[0]
    if not made.placements:
        assert isinstance(decision, Placed) == bool(alone.eligible[0])
    if isinstance(decision, Queued):
        assert decision.reason is Waits.NO_ROOM


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_equal_calls_decide_the_same(seed: int) -> None:
    world, early, made, placer = after_a_round(seed)

    assert one_by_one(placer, world, range(4, 16)) == one_by_one(Placer.after(early, made, ROUND), world, range(4, 16))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_after_a_round_on_its_own_world_the_placer_goes_on(seed: int) -> None:
    """The round did not know what was placed meanwhile: what still fits is started, and what comes then fits beside."""
    world, waiting, placer, meanwhile, made = beside_a_round(seed)

    fitting = that_fit(world, meanwhile, made.placements)
    placer.settle(waiting, made, fitting)
    later = started(one_by_one(placer, world, range(25, 40)))

    assert violations(world, sealed(world, ROUND, in_order(world, [*meanwhile, *fitting, *later]))) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_has_ended_when_a_round_is_settled_counts_as_taken_and_never_as_free_twice(seed: int) -> None:
    """All that was placed meanwhile has ended, and the round found its cards free: the placer hears of neither."""
    world, waiting, placer, _, made = beside_a_round(seed)

    whole = [each for each in made.placements if not each.cards]
    placer.settle(waiting, made, whole)
    later = started(one_by_one(placer, world, range(25, 40)))

    assert violations(world, sealed(world, ROUND, in_order(world, [*whole, *later]))) == []


def beside_a_round(seed: int) -> tuple[Snapshot, Snapshot, Placer, list[Placement], Plan]:
    """Return a world of forty jobs, that of the first ten, a placer of it, what it placed of the next, and a plan."""
    world = random_world(seed, jobs=40, pools=4, nodes_per_pool=6)
    waiting = world.of_jobs(range(10))
    placer = Placer(waiting, ROUND)
    meanwhile = started(one_by_one(placer, world, range(10, 25)))
    return world, waiting, placer, meanwhile, plan(waiting, ROUND)


def that_fit(world: Snapshot, before: Iterable[Placement], wanted: Iterable[Placement]) -> list[Placement]:
    """Return those of the wanted placements that fit beside the others, in their order, whole cards only."""
    free = np.stack([world.node_free_cards, world.node_free_cpu_milli, world.node_free_memory_mib], axis=1)
    for each in before:
        for node, takes in taken(world, each):
            free[node] -= takes
    fitting = []
    for each in wanted:
        left = free.copy()
        for node, takes in taken(world, each):
            left[node] -= takes
        if (left >= 0).all():
            free = left
            fitting.append(each)
    return fitting


def taken(world: Snapshot, placement: Placement) -> list[tuple[int, np.ndarray]]:
    shape = int(world.job_shape[world.job_id.index(placement.job_id)])
    task = np.array(
        [
            world.shape_cards_per_task[shape],
            world.shape_cpu_milli_per_task[shape],
            world.shape_memory_mib_per_task[shape],
        ]
    )
    return [(node, tasks * task) for node, tasks in zip(placement.nodes, placement.tasks, strict=True)]


def gains_of(world: Snapshot, made: Plan, placement: Placement) -> set[int]:
    """Return worth less cost of the placement, for each pair that it may stand for."""
    choices: Choices = choose(world.of_jobs([world.job_id.index(placement.job_id)]), ROUND)
    kinds, tenant = choices.kinds, int(choices.groups.tenant[0])
    return {
        worth - cost_split(made.prices, kinds, choices.limits, kind, pool, tenant).total
        for pool, kind, worth in zip(
            choices.pairs.pool.tolist(), choices.pairs.kind.tolist(), choices.pairs.worth.tolist(), strict=True
        )
        if pool == placement.pool and worth == placement.worth_micro_yuan_per_hour
    }


def leaf_of(world: Snapshot, placement: Placement) -> int:
    tenant = int(world.job_tenant[world.job_id.index(placement.job_id)])
    return int(world.tenant_quota[tenant, world.pool_hub[placement.pool]]) if tenant >= 0 else -1


def count_use(world: Snapshot, placement: Placement, new: np.ndarray) -> None:
    """Add what the placement counts to its quota and those above."""
    choices = choose(world.of_jobs([world.job_id.index(placement.job_id)]), ROUND)
    [milli] = {
        int(choices.kinds.milli_cards[kind])
        for pool, kind in zip(choices.pairs.pool.tolist(), choices.pairs.kind.tolist(), strict=True)
        if pool == placement.pool and int(choices.kinds.tasks[kind]) == sum(placement.tasks)
    }
    leaf = leaf_of(world, placement)
    use = -(-milli * int(limits_of(world).pool_milli_tflops[placement.pool]) // 1000)
    while leaf >= 0:
        new[leaf] += use
        leaf = int(world.quota_parent[leaf])


# what is said to whom


def test_an_idle_world_takes_what_comes() -> None:
    world = snapshot(jobs=3)

    decisions = Placer(world, ROUND).place(world)

    assert [each.placement.job_id for each in decisions if isinstance(each, Placed)] == ["job-0", "job-1", "job-2"]


def test_a_job_below_the_clearing_price_is_queued() -> None:
    """One more job than cards: the price of a card keeps out who would pay less than those who run."""
    world = snapshot(
        jobs=17,
        nodes_per_pool=2,
        job_ceiling_micro_yuan_per_pflops_hour=[20_000_000 + j for j in range(16)] + [9_000_000],
    )
    prices = [OpeningPrice("worth-0", "cluster/pool-0", "block 1", 2_000_000)]

    [decision] = Placer(world, ROUND, prices).place(world.of_jobs([16]))

    assert decision == Queued("job-16", Waits.BELOW_CLEARING_PRICE)


def test_a_guarantee_pays_where_the_ceiling_does_not() -> None:
    quotas: dict[str, Any] = {
        "tenant_names": ("nanjing",),
        "tenant_quota": [[0]],
        "quota_names": ("nanjing",),
        "quota_parent": [-1],
        "quota_guaranteed_milli_tflops": [640_000],
        "quota_borrow_milli_tflops": [-1],
        "quota_lend_milli_tflops": [-1],
        "quota_used_milli_tflops": [0],
        "job_tenant": [0, 0, 0],
    }
    world = snapshot(jobs=3, **quotas)
    prices = [OpeningPrice("worth-0", "cluster/pool-0", "block 1", 10**12)]

    decisions = Placer(world, ROUND, prices).place(world)

    assert [type(each) for each in decisions] == [Placed, Placed, Queued]
    assert decisions[2] == Queued("job-2", Waits.BELOW_CLEARING_PRICE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"build_stack": ("cuda",)}, Reason.NO_MATCHING_MODEL),
        ({"model_fp16_programme_milli_tflops": [-1]}, Reason.MODEL_WITHOUT_FIGURE),
        ({"model_origin": ("foreign",), "shape_domestic_only": [True]}, Reason.DOMESTIC_ONLY),
        ({"shape_owner_allowed": [[False]]}, Reason.OWNER_NOT_ALLOWED),
        ({"shape_share_milli": [200]}, Reason.CARD_NOT_SHARED),
        ({"shape_hub_allowed": [[False]]}, Reason.HUB_NOT_ALLOWED),
        ({"shape_round_trip_micros_max": [10]}, Reason.ROUND_TRIP_TOO_LONG),
        ({"shape_input_gib": [1], "shape_transfer_seconds_max": [1]}, Reason.TRANSFER_TOO_LONG),
        ({"job_ceiling_micro_yuan_per_pflops_hour": [1_000_000]}, Reason.PRICE_BELOW_ASK),
        ({"shape_tasks": [17]}, Reason.GANG_TOO_LARGE),
        ({"shape_tasks": [9], "shape_within": [2]}, Reason.GANG_TOO_LARGE),
    ],
)
def test_what_can_never_run_is_refused_with_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    world = snapshot(jobs=1, **changes)

    [decision] = Placer(world, ROUND).place(world)

    assert isinstance(decision, Refused)
    assert decision.reason is reason


@pytest.mark.parametrize(
    "changes",
    [
        {"node_open": [False, False]},
        {"node_free_cards": [0, 0]},
        {"node_free_cpu_milli": [0, 0]},
        {"node_free_memory_mib": [0, 0]},
        {"model_card_watts": [500], "hub_power_cap_watts": [900], "hub_used_watts": [500]},
    ],
)
def test_what_could_run_at_another_time_is_queued(changes: dict[str, Any]) -> None:
    world = snapshot(jobs=1, **changes)

    assert Placer(world, ROUND).place(world) == (Queued("job-0", Waits.NO_ROOM),)


def test_a_smaller_size_is_taken_where_the_full_gang_has_no_room() -> None:
    world = snapshot(
        jobs=1, shape_tasks=[12], size_start=[0, 1], size_tasks=[6], size_speed_ppm=[700_000], node_free_cards=[4, 4]
    )

    [decision] = Placer(world, ROUND).place(world)

    assert isinstance(decision, Placed)
    assert sum(decision.placement.tasks) == 6


# bad calls


def test_jobs_of_another_world_are_not_judged() -> None:
    with pytest.raises(BadSnapshot, match="another world"):
        Placer(snapshot(), ROUND).place(snapshot())


def test_nobody_is_placed_twice() -> None:
    world = snapshot(jobs=1)
    placer = Placer(world, ROUND)
    placer.place(world)

    with pytest.raises(BadSnapshot, match="placed already"):
        placer.place(world)
    placer.release("job-0")
    assert isinstance(placer.place(world)[0], Placed)


def test_only_what_was_placed_can_be_released() -> None:
    with pytest.raises(UnknownJob, match="was not placed here"):
        Placer(snapshot(), ROUND).release("job-0")


def test_what_does_not_fit_cannot_be_taken() -> None:
    world = gangs((1, 8), (1, 8), nodes_per_pool=1)
    placer = Placer(world, ROUND)
    placer.place(world.of_jobs([0]))

    with pytest.raises(DoesNotFit, match="not free"):
        placer.take(world, [Placement("job-1", 0, 0, (0,), (1,), 1)])


def test_only_prices_of_the_last_tier_count() -> None:
    _, early, made, _ = after_a_round(4)

    assert {price.tier for price in last_prices(early, made)} <= {made.tiers[-1].name}


# room set aside


def test_room_is_set_aside_for_the_gangs_that_gain_most() -> None:
    world = gangs((2, 8), (2, 8), (1, 8), (1, 1), nodes_per_pool=3, ceilings=[9_000_000, 12_000_000, 50_000_000, 10**7])
    placer = Placer(world, ROUND)

    kept = placer.set_aside(world.of_jobs([0, 1, 2]), most=3)

    assert kept == ("job-1",)  # job-2 fits on one node; beside job-1 there is no room for job-0
    assert placer.held().sum() == 16
    assert isinstance(placer.place(world.of_jobs([2]))[0], Placed)
    assert placer.place(world.of_jobs([3])) == (Queued("job-3", Waits.SET_ASIDE),)
    placer.lift()
    assert isinstance(placer.place(world.of_jobs([3]))[0], Placed)


def test_room_is_set_aside_for_so_many_gangs_at_most() -> None:
    world = gangs((2, 8), (2, 8), nodes_per_pool=4)

    assert Placer(world, ROUND).set_aside(world, most=1) == ("job-0",)


def test_only_gangs_that_are_large_or_may_spread_are_looked_at_and_the_best_offers_first() -> None:
    world = gangs((1, 8), (2, 1), (1, 1), (2, 8), (4, 8), nodes_per_pool=4)

    assert large_gangs(world, 10).job_id == ("job-1", "job-3", "job-4")
    assert large_gangs(world, 1).job_id == ("job-4",)


# a round and the placer at the same time


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_power_and_quotas_hold_when_a_round_ends_beside_fast_placements(seed: int) -> None:
    """Each knew nothing of the other; the cards are the commit's matter, so here every node has plenty of them."""
    world = roomy(random_ruled_world(seed, jobs=16, nodes_per_pool=3))
    waiting = world.of_jobs(range(8))
    placer = Placer(waiting, ROUND)
    placer.set_aside(large_gangs(waiting, 4), most=2)
    meanwhile = started(one_by_one(placer, world, range(8, 16)))
    made = plan(waiting, ROUND)

    kept = placer.within_limits(waiting, made.placements)

    both = sealed(world, ROUND, in_order(world, [*meanwhile, *kept]))
    assert limits_broken(world, both) == []
    alone = Placer(waiting, ROUND).within_limits(waiting, made.placements)
    assert alone == list(made.placements)
    left_out = [each for each in made.placements if each not in kept]
    for each in left_out:
        with_it = sealed(world, ROUND, in_order(world, [*meanwhile, *kept, each]))
        assert limits_broken(world, with_it)


def limits_broken(world: Snapshot, made: Plan) -> list[Rule]:
    limits = (Rule.POWER_OVER, Rule.QUOTA_OVER, Rule.LENT_OVER)
    return [each.rule for each in violations(world, made) if each.rule in limits]


def roomy(world: Snapshot) -> Snapshot:
    many = {"node_cards": [64] * 6, "node_free_cards": [48] * 6}
    return replace(world, **many)
