"""What would start a waiting job: each change is single, least of its kind, and proved."""

from __future__ import annotations

from typing import Any

import pytest
from exhaustive import sealed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, random_ruled_world, snapshot

from scheduler.changes import Change, Effect, changes
from scheduler.errors import UnknownJob
from scheduler.fields import WITHIN_DOMAIN, WITHIN_POOL
from scheduler.levers import Lever, with_ceiling
from scheduler.placer import Placed, Placer, last_prices
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.replanning import at_stake, planned_changes
from scheduler.snapshot import Snapshot
from scheduler.verify import violations

POLICY = Policy(effort=10, solver_work_ms_per_step=20)


def found(world: Snapshot) -> dict[Lever, Change]:
    """Return the changes that start the world's first job, by lever."""
    return {change.lever: change for change in changes(world, POLICY, (), "job-0")}


def starts(world: Snapshot, prices: Any = ()) -> bool:
    [decision] = Placer(world, POLICY, prices).place(world)
    return isinstance(decision, Placed)


def one(**arrays: Any) -> Snapshot:
    """Return a world with one job that would take eight cards of the first of two nodes."""
    return snapshot(jobs=1, **{"shape_tasks": [1], "shape_cards_per_task": [8], **arrays})


def test_a_job_that_starts_as_it_is_needs_no_change() -> None:
    assert found(one()) == {}


def test_the_ceiling_is_raised_to_the_least_that_starts_it() -> None:
    """2 yuan for 0.32 PFLOPS are 6.25 yuan for a PFLOPS-hour, and worth must be above nothing."""
    world = one(job_ceiling_micro_yuan_per_pflops_hour=[6_000_000])

    change = found(world)[Lever.CEILING]

    assert (change.before, change.effect) == (6_000_000, Effect.STARTS_NOW)
    assert starts(with_ceiling(world, change.after).job)
    assert not starts(with_ceiling(world, change.after - 1).job)
    assert change.extra_micro_yuan_per_hour == -(-(change.after - 6_000_000) * 8 * 320_000 // 10**6)


@pytest.mark.parametrize(
    ("arrays", "lever", "after"),
    [
        ({"shape_round_trip_micros_max": [10_000]}, Lever.ROUND_TRIP, None),
        ({"shape_hub_allowed": [[False]]}, Lever.HUB, 1),
        ({"shape_owner_allowed": [[False]]}, Lever.OWNER, 1),
        ({"model_origin": ["foreign"], "shape_domestic_only": [True]}, Lever.FOREIGN_MODELS, 1),
        ({"shape_tasks": [4]}, Lever.TASKS, 2),
        ({"node_free_cards": [4, 4]}, Lever.CARDS_PER_TASK, 4),
        ({"pool_until_s": [1_100], "job_walltime_seconds": [200]}, Lever.WALLTIME, 100),
        ({"job_finish_by_s": [1_100], "job_walltime_seconds": [200]}, Lever.FINISH_BY, 1_200),
        (
            {"shape_tasks": [2], "shape_within": [WITHIN_DOMAIN], "node_domain": [0, 1]},
            Lever.WITHIN,
            WITHIN_POOL,
        ),
    ],
)
def test_what_bars_a_job_is_what_would_be_changed(arrays: dict[str, Any], lever: Lever, after: int | None) -> None:
    world = one(taken_at_s=1_000, job_submitted_at_s=[1_000], **arrays)

    told = found(world)

    assert lever in told
    if after is not None:
        assert told[lever].after == after
    assert Lever.CEILING not in told  # no money helps against a rule


def test_a_walltime_of_less_than_a_quarter_is_not_offered() -> None:
    world = one(taken_at_s=1_000, job_submitted_at_s=[1_000], pool_until_s=[1_049], job_walltime_seconds=[200])

    assert Lever.WALLTIME not in found(world)


def quotas(**arrays: Any) -> Snapshot:
    """Return a world in which a tenant may use one card of eight that its job asks for, 320 TFLOPS each."""
    return one(
        **{
            "tenant_names": ["city"],
            "quota_names": ["hub", "hub/city"],
            "quota_parent": [-1, 0],
            "tenant_quota": [[1]],
            "quota_guaranteed_milli_tflops": [0, 0],
            "quota_borrow_milli_tflops": [-1, 320_000],
            "quota_lend_milli_tflops": [-1, -1],
            "quota_used_milli_tflops": [0, 0],
            "job_tenant": [0],
            **arrays,
        }
    )


def test_the_quota_that_is_short_is_raised_by_what_is_short() -> None:
    change = found(quotas())[Lever.QUOTA]

    assert (change.name, change.before, change.after) == ("hub/city", 320_000, 8 * 320_000)


def test_two_quotas_that_are_short_are_no_single_change() -> None:
    assert Lever.QUOTA not in found(quotas(quota_borrow_milli_tflops=[320_000, 320_000]))


def test_a_job_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(UnknownJob):
        changes(one(), POLICY, (), "nobody")
    with pytest.raises(UnknownJob):
        planned_changes(one(), plan(one(), POLICY), "nobody")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_proof_keeps_every_rule(seed: int) -> None:
    """The placement that proves a change is one that the verifier takes, in the world with the changed job."""
    world = random_ruled_world(seed, jobs=12, nodes_per_pool=3)
    prices = last_prices(world, plan(world, Policy(effort=1)))

    for job in range(4):
        told = changes(world, POLICY, prices, world.job_id[job])

        assert [each.lever for each in told] == sorted({each.lever for each in told}, key=list(Lever).index)
        for each in told:
            assert violations(each.world, sealed(each.world, POLICY, [each.placement])) == []
            assert starts(each.world, prices)


def outbid() -> Snapshot:
    """Return a full world: of two jobs for the same eight cards the first one pays less."""
    return gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[9_000_000, 10_000_000])


def test_an_outbid_job_hears_the_ceiling_at_which_the_round_would_start_it() -> None:
    world = outbid()

    [change] = planned_changes(world, plan(world, POLICY), "job-0")

    assert change.again is not None
    assert violations(change.world, change.again) == []
    assert (change.lever, change.effect, change.instead) == (Lever.CEILING, Effect.PLANNED, ("job-1",))
    again = plan(gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[change.after, 10_000_000]), POLICY)
    assert [placement.job_id for placement in again.placements] == ["job-0"]


def test_a_job_that_the_round_started_needs_no_change() -> None:
    assert planned_changes(outbid(), plan(outbid(), POLICY), "job-1") == ()


@settings(max_examples=25, deadline=None)
@example(seed=201647)  # a quota that is said to use less than its children
@given(seed=st.integers(0, 10**6))
def test_the_part_at_stake_keeps_power_and_quotas_beside_the_rest(seed: int) -> None:
    """Whatever one pool's part is planned to be, with what the round placed elsewhere it breaks no rule."""
    world = random_ruled_world(seed, jobs=16, nodes_per_pool=3)
    made = plan(world, Policy(effort=1))
    for refusal in made.refusals[:3]:
        pool = max(refusal.pool, 0)
        stake = at_stake(world, made, refusal.job_id, pool, small_nodes=0)

        part = plan(stake.world, Policy(effort=1))

        first = int((world.node_pool < pool).sum())
        before = int((world.split_node < first).sum())
        here = [
            each._replace(
                nodes=tuple(node + first for node in each.nodes),
                cards=tuple(card + before if card >= 0 else card for card in each.cards),
            )
            for each in part.placements
        ]
        elsewhere = [each for each in made.placements if each.pool != pool]
        position = {name: at for at, name in enumerate(world.job_id)}
        together = sorted([*elsewhere, *here], key=lambda each: position[each.job_id])
        assert {each.pool for each in part.placements} <= {pool}
        assert violations(world, sealed(world, POLICY, together)) == []
