"""A change of the world is previewed by planning it beside the world as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, random_world
from timed_worlds import QUICK, ruled

from scheduler.horizon import Cause, Fate, Horizon
from scheduler.policy import Policy
from scheduler.preview import Move, Outlook, difference
from scheduler.preview import preview as preview_ahead
from scheduler.rounds import run_round
from scheduler.snapshot import Snapshot

POLICY = Policy(effort=10, solver_work_ms_per_step=20)


def preview(world: Snapshot, changed: Snapshot, policy: Policy) -> Outlook:
    """Return the outlook where nothing runs and nothing is promised."""
    return preview_ahead(world, Horizon(), changed, Horizon(), policy)


def closed(world: Snapshot, *nodes: int) -> Snapshot:
    still_open = world.node_open.copy()
    still_open[list(nodes)] = False
    return replace(world, node_open=still_open)


def test_a_world_that_does_not_change_looks_the_same() -> None:
    world = random_world(5, jobs=30, pools=3, nodes_per_pool=3)

    found = preview(world, world, POLICY)

    assert (found.starts, found.waits, found.moves, found.prices) == ((), (), (), ())
    assert found.worth_before_micro_yuan_per_hour == found.worth_after_micro_yuan_per_hour


def test_who_loses_the_cards_that_are_closed_waits() -> None:
    """Two nodes for two gangs; without the second node the one that pays less waits, and cards have a price."""
    world = gangs((1, 8), (1, 8), ceilings=[9_000_000, 10_000_000])

    found = preview(world, closed(world, 1), POLICY)

    assert (found.waits, found.starts, found.moves) == (("job-0",), (), ())
    assert found.worth_after_micro_yuan_per_hour < found.worth_before_micro_yuan_per_hour
    assert [price.pool for price in found.prices] == [world.pool_names[0]]
    assert found.prices[0].after > found.prices[0].before


def test_without_those_who_pay_more_others_start() -> None:
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[9_000_000, 10_000_000])

    found = preview(world, world.of_jobs([0]), POLICY)

    assert (found.starts, found.waits) == (("job-0",), ("job-1",))


def test_a_job_that_finds_another_pool_moves() -> None:
    world = gangs((1, 8), pools=2, nodes_per_pool=1, pool_ask_micro_yuan_per_card_hour=[1_000_000, 2_000_000])

    found = preview(world, closed(world, 0), POLICY)

    assert found.moves == (Move("job-0", *world.pool_names),)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_job_is_told_once_and_the_numbers_add_up(seed: int) -> None:
    world = random_ruled_world(seed, jobs=14, nodes_per_pool=3)
    changed = closed(world, *np.flatnonzero(world.node_pool == 0).tolist())
    before, after = (run_round(each, Horizon(), Policy(effort=1)) for each in (world, changed))

    found = difference(world, Horizon(), before, changed, after)

    told = [*found.starts, *found.waits, *(move.job_id for move in found.moves)]
    assert len(told) == len(set(told))
    assert len(after.decision.placements) - len(before.decision.placements) == len(found.starts) - len(found.waits)
    assert all(move.before != move.after for move in found.moves)
    assert all(move.after != world.pool_names[0] for move in found.moves)


# With a time to come


def two_pools() -> tuple[Snapshot, Horizon]:
    """Two pools of one node of eight cards, taken until an hour and two hours from now; a gang waits for the first."""
    full = {"node_free_cards": [0, 0], "node_free_cpu_milli": [0, 0], "node_free_memory_mib": [0, 0]}
    world = gangs((1, 8), pools=2, nodes_per_pool=1, **full)
    horizon = Horizon(
        lease_id=("lease-0", "lease-1"),
        lease_ends_at_s=world.taken_at_s + np.array([3_600, 7_200]),
        held_lease=np.array([0, 1]),
        held_node=np.array([0, 1]),
        held_cards=np.array([8, 8]),
        held_cpu_milli=np.zeros(2, np.int64),
        held_memory_mib=np.zeros(2, np.int64),
    )
    return world, horizon


PROMISING = replace(POLICY, promises_max=2, lease_end_margin_seconds=60)


def standing(world: Snapshot, horizon: Horizon) -> Horizon:
    """Return the horizon with the promises of a round."""
    made = run_round(world, horizon, PROMISING).reclaim.promises
    assert [each.start_s - world.taken_at_s for each in made] == [3_660]
    return replace(horizon, promises=made)


def test_a_promise_whose_node_is_closed_is_broken_and_made_anew_elsewhere_and_later() -> None:
    """A promise stays in its pool; its job, which waits like others then, is promised a start in the other one."""
    world, horizon = two_pools()
    stands, now = standing(world, horizon), world.taken_at_s

    found = preview_ahead(world, stands, closed(world, 0), stands, PROMISING)

    [told] = found.promises
    assert (told.job_id, told.promised_s) == ("job-0", now + 3_660)
    assert (told.before_s, told.after_s) == (now + 3_660, now + 7_260)
    assert (told.fate, told.cause) == (Fate.MOVED, Cause.NODES_GONE)
    assert (found.starts, found.waits) == ((), ())


def test_a_promise_without_any_place_left_is_broken() -> None:
    world, horizon = two_pools()
    stands = standing(world, horizon)

    [told] = preview_ahead(world, stands, closed(world, 0, 1), stands, PROMISING).promises

    assert (told.after_s, told.fate, told.cause) == (None, Fate.BROKEN, Cause.NODES_GONE)


def test_a_promise_that_the_change_does_not_touch_is_kept() -> None:
    world, horizon = two_pools()
    stands = standing(world, horizon)

    [told] = preview_ahead(world, stands, closed(world, 1), stands, PROMISING).promises

    assert (told.before_s, told.fate, told.cause) == (told.after_s, Fate.KEPT, None)


def test_a_promise_goes_with_the_jobs_that_are_left_out_and_others_are_promised_its_place() -> None:
    """Two gangs want the node that is free first; without the one that pays more the other is promised it."""
    world, horizon = two_pools()
    world = gangs(
        (1, 8),
        (1, 8),
        pools=1,
        nodes_per_pool=2,
        ceilings=[9_000_000, 10_000_000],
        **{f"node_free_{name}": [0, 0] for name in ("cards", "cpu_milli", "memory_mib")},
    )
    stands, now = replace(horizon, promises=run_round(world, horizon, PROMISING).reclaim.promises), world.taken_at_s
    rich = next(each for each in stands.promises if each.job_id == "job-1")
    stands = replace(stands, promises=(rich,))

    found = preview_ahead(world, stands, world.of_jobs([0]), stands, PROMISING)

    gone, sooner = found.promises
    assert (gone.job_id, gone.before_s, gone.after_s, gone.fate) == ("job-1", now + 3_660, None, Fate.GONE)
    assert (sooner.job_id, sooner.promised_s, sooner.before_s, sooner.after_s, sooner.fate) == (
        *("job-0", None, now + 7_260, now + 3_660),
        None,
    )


def test_a_job_that_a_promise_keeps_out_waits_longer() -> None:
    """Cards that are free until a promised start are open to what ends by then; closing the pool moves none."""
    world, horizon = two_pools()
    free = {"node_free_cards": [0, 8], "node_free_cpu_milli": [0, 64_000], "node_free_memory_mib": [0, 512_000]}
    world = gangs((1, 8), pools=2, nodes_per_pool=1, **free)

    found = preview_ahead(world, horizon_of_first(horizon), closed(world, 1), horizon_of_first(horizon), PROMISING)

    assert found.waits == ("job-0",)
    [told] = found.promises
    assert (told.promised_s, told.before_s, told.after_s) == (None, world.taken_at_s, world.taken_at_s + 3_660)


def horizon_of_first(horizon: Horizon) -> Horizon:
    """Return the horizon with its first lease alone."""
    first = {name: getattr(horizon, name)[:1] for name in vars(horizon) if name.startswith(("lease_", "held_"))}
    return Horizon(**first)


def test_leases_that_only_the_change_would_stop_are_told() -> None:
    """A quota that is guaranteed the node's cards has preemptible work of another one stopped."""
    world, horizon = two_pools()
    world = replace(
        world,
        tenant_names=("rich", "poor"),
        quota_names=("hub", "hub/poor", "hub/rich"),
        quota_parent=np.array([-1, 0, 0]),
        tenant_quota=np.array([[2], [1]]),
        quota_guaranteed_milli_tflops=np.array([0, 0, 0]),
        quota_borrow_milli_tflops=np.array([-1, -1, -1]),
        quota_lend_milli_tflops=np.array([-1, -1, -1]),
        quota_used_milli_tflops=np.array([16 * 320_000, 16 * 320_000, 0]),
        job_tenant=np.array([0]),
    )
    horizon = replace(
        horizon,
        lease_preemptible=np.array([True, False]),
        lease_lost_card_seconds=np.array([80, 80]),
        lease_quota=np.array([1, 1]),
        lease_quota_use=np.array([8 * 320_000] * 2),
        lease_tier=np.array([0, 0]),
        lease_grace_seconds=np.array([30, 30]),
    )
    raised = replace(world, quota_guaranteed_milli_tflops=np.array([8 * 320_000, 0, 8 * 320_000]))

    more = preview_ahead(world, horizon, raised, horizon, PROMISING)
    less = preview_ahead(raised, horizon, world, horizon, PROMISING)

    assert (more.stops, more.spared) == (("lease-0",), ())
    assert (less.stops, less.spared) == ((), ("lease-0",))
    assert more.promises[0].after_s == world.taken_at_s + 90


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_promise_that_stands_is_told_once_with_its_fate(seed: int) -> None:
    world, horizon = ruled(seed)
    stands = replace(horizon, promises=run_round(world, horizon, QUICK).reclaim.promises)
    changed = closed(world, *np.flatnonzero(world.node_pool == 0).tolist())

    found = preview_ahead(world, stands, changed, stands, QUICK).promises

    told = [each.job_id for each in found]
    assert len(told) == len(set(told))
    assert {each.job_id for each in stands.promises} == {each.job_id for each in found if each.fate is not None}
    for each in found:
        assert (each.fate is None) == (each.promised_s is None)
        assert (each.after_s is None) >= (each.fate in (Fate.BROKEN, Fate.GONE))
        assert each.fate is not Fate.MOVED or (each.after_s or 0) > (each.promised_s or 0)
        assert each.fate is not Fate.KEPT or world.taken_at_s < (each.after_s or 0) <= (each.promised_s or 0)
