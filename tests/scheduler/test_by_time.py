"""When a gang could start, and what would start it by a time: each change is single, least of its kind, and proved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exhaustive import sealed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planning_worlds import gangs, snapshot
from timed_worlds import QUICK, ruled

from scheduler.by_time import StartBy, changes_by
from scheduler.changes import Change, Effect
from scheduler.decide import decide
from scheduler.errors import UnknownJob
from scheduler.fields import WITHIN_DOMAIN, WITHIN_POOL
from scheduler.horizon import NEVER, Fate, Horizon, News, Promise
from scheduler.levers import Lever, with_ceiling, with_changed
from scheduler.placer import last_prices
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.profile import Profile
from scheduler.promiser import Promiser
from scheduler.snapshot import Snapshot
from scheduler.verify import violations
from scheduler.verify_time import time_violations

NOW = 1_000_000
MARGIN = 60
POLICY = Policy(effort=1, lease_end_margin_seconds=MARGIN)
HOUR = 3_600


def one(**arrays: Any) -> Snapshot:
    """Return a world with one job for eight cards for an hour, and two nodes that are full."""
    full = {"node_free_cards": [0, 0], "node_free_cpu_milli": [0, 0], "node_free_memory_mib": [0, 0]}
    return snapshot(jobs=1, **{"shape_tasks": [1], "shape_cards_per_task": [8], **full, **arrays})


def leases(*ends_s: int, **more: Any) -> Horizon:
    """Return a lease of all of each node, with these ends after now."""
    count = len(ends_s)
    return Horizon(
        lease_id=tuple(f"lease-{at}" for at in range(count)),
        lease_ends_at_s=NOW + np.array(ends_s),
        held_lease=np.arange(count),
        held_node=np.arange(count),
        held_cards=np.full(count, 8),
        held_cpu_milli=np.full(count, 64_000),
        held_memory_mib=np.full(count, 512_000),
        **more,
    )


def promised(start_s: int, end_s: int, node: int = 0) -> Promise:
    """Return a promise of all eight cards of a node to another job, times after now."""
    return Promise("other", NOW + start_s, NOW + end_s, 0, 0, (node,), (1,), 1, 8, 1_000, 1_024, WITHIN_POOL)


def asked(world: Snapshot, horizon: Horizon, by_s: int, **more: Any) -> StartBy:
    """Ask for the first job, by a time after now; every change that is told is proved by the verifiers."""
    told = changes_by(world, horizon, POLICY, (), world.job_id[0], NOW + by_s, **more)
    for change in told.changes:
        assert_proved(change, horizon, POLICY, NOW + by_s)
    return told


def by_lever(told: StartBy) -> dict[Lever, Change]:
    return {change.lever: change for change in told.changes}


def assert_proved(change: Change, horizon: Horizon, policy: Policy, by_s: int) -> None:
    """With the promise in it the time to come breaks no rule; nor does its placement in the world once it is empty."""
    promise, world = change.promise, change.world
    assert promise is not None
    assert change.effect is Effect.STARTS_BY
    assert world.taken_at_s <= promise.start_s <= by_s
    others = tuple(each for each in horizon.promises if each.job_id != promise.job_id)
    beside = replace(horizon, promises=others)
    news = [News(each.job_id, Fate.KEPT, each.start_s, each.start_s) for each in others]
    margin = policy.lease_end_margin_seconds
    before = time_violations(world, beside, margin, (), others, news)
    assert time_violations(world, beside, margin, (), (*others, promise), news) == before
    finish_by = int(world.job_finish_by_s[0])
    assert finish_by < 0 or promise.end_s - margin <= finish_by
    none = np.zeros(0, dtype=np.int64)
    empty = replace(
        world,
        node_open=np.ones_like(world.node_open),
        **{f"node_free_{name}": getattr(world, f"node_{name}") for name in ("cards", "cpu_milli", "memory_mib")},
        **{f"split_{name}": none for name in ("node", "free_milli", "shares")},
        hub_used_watts=np.zeros_like(world.hub_used_watts),
        quota_used_milli_tflops=np.zeros_like(world.quota_used_milli_tflops),
    )
    assert violations(empty, sealed(empty, policy, [change.placement])) == []


def one_step_less(change: Change) -> Snapshot | None:
    """Return the changed job with a micro-yuan or a second less of the change; None for other levers."""
    job, after = change.world, change.after
    if change.lever is Lever.CEILING:
        return with_ceiling(job, after - 1).job
    if change.lever is Lever.WALLTIME:
        return with_changed(job, job_walltime_seconds=[after + 1])
    return with_changed(job, job_finish_by_s=[after - 1]) if change.lever is Lever.FINISH_BY else None


def test_as_it_is_it_starts_when_the_first_lease_has_ended_and_its_margin() -> None:
    told = asked(one(), leases(HOUR, 2 * HOUR), 3 * HOUR)

    assert told.as_it_is is not None
    assert (told.as_it_is.start_s, told.as_it_is.nodes) == (NOW + HOUR + MARGIN, (0,))
    assert told.changes == ()


def test_a_job_that_fits_now_starts_now() -> None:
    told = asked(
        one(node_free_cards=[8, 8], node_free_cpu_milli=[64_000] * 2, node_free_memory_mib=[10**5] * 2), Horizon(), 0
    )

    assert told.as_it_is is not None
    assert told.as_it_is.start_s == NOW


def test_where_nothing_ends_it_never_starts_and_nothing_helps() -> None:
    assert asked(one(), Horizon(), HOUR) == StartBy(None, ())


def test_a_gang_of_half_the_tasks_starts_when_half_is_free() -> None:
    """Both nodes are free after two hours, one after one."""
    told = asked(one(shape_tasks=[2]), leases(HOUR, 2 * HOUR), HOUR + MARGIN)

    assert told.as_it_is is not None
    assert told.as_it_is.start_s == NOW + 2 * HOUR + MARGIN
    assert (by_lever(told)[Lever.TASKS].after, by_lever(told).keys()) == (1, {Lever.TASKS})
    assert asked(one(shape_tasks=[2]), leases(HOUR, 2 * HOUR), HOUR + MARGIN - 1).changes == ()


def test_the_ceiling_is_raised_to_the_least_that_pays_what_the_owner_asks() -> None:
    """2 yuan for 0.32 PFLOPS are 6.25 yuan for a PFLOPS-hour; no money brings it before a lease ends."""
    world = one(job_ceiling_micro_yuan_per_pflops_hour=[6_000_000])
    horizon = leases(HOUR, 2 * HOUR)

    told = asked(world, horizon, HOUR + MARGIN)

    change = by_lever(told)[Lever.CEILING]
    assert told.as_it_is is None
    assert change.promise is not None
    assert change.promise.start_s == NOW + HOUR + MARGIN
    assert asked(with_ceiling(world, change.after).job, horizon, HOUR + MARGIN).changes == ()
    assert Lever.CEILING in by_lever(asked(with_ceiling(world, change.after - 1).job, horizon, HOUR + MARGIN))
    assert Lever.CEILING not in by_lever(asked(world, horizon, HOUR))


def test_the_walltime_is_cut_to_the_longest_that_ends_before_a_promise() -> None:
    """The node is free after an hour and promised after another half: the margin is the gang's own."""
    world, horizon = one(), replace(leases(HOUR), promises=(promised(HOUR + 1_800, 9 * HOUR),))

    told = asked(world, horizon, 2 * HOUR)

    change = by_lever(told)[Lever.WALLTIME]
    assert (change.before, change.after) == (HOUR, 1_800 - 2 * MARGIN)
    assert told.as_it_is is not None
    assert told.as_it_is.start_s == NOW + 9 * HOUR
    longer = with_changed(world, job_walltime_seconds=[change.after + 1])
    assert asked(longer, horizon, 2 * HOUR).as_it_is.start_s == NOW + 9 * HOUR  # type: ignore[union-attr]
    assert asked(world, replace(leases(HOUR), promises=(promised(HOUR + 900, 9 * HOUR),)), 2 * HOUR).changes == ()


def test_the_walltime_is_cut_to_the_longest_that_ends_before_a_window() -> None:
    closed = {"closed_node": [0], "closed_from_s": [NOW + HOUR + 1_800], "closed_until_s": [NOW + 20 * HOUR]}

    told = asked(one(), leases(HOUR, **closed), 2 * HOUR)

    assert by_lever(told)[Lever.WALLTIME].after == 1_800 - 2 * MARGIN


def test_a_later_end_is_the_least_with_which_it_starts_in_time() -> None:
    world, horizon = one(job_finish_by_s=[NOW + HOUR]), leases(HOUR, 3 * HOUR)

    told = asked(world, horizon, 2 * HOUR)

    change = by_lever(told)[Lever.FINISH_BY]
    assert (told.as_it_is, change.before, change.after) == (None, NOW + HOUR, NOW + 2 * HOUR + MARGIN)
    earlier = with_changed(world, job_finish_by_s=[change.after - 1])
    assert asked(earlier, horizon, 2 * HOUR).as_it_is is None


@pytest.mark.parametrize(
    ("arrays", "lever", "after"),
    [
        ({"shape_round_trip_micros_max": [10_000]}, Lever.ROUND_TRIP, 20_000),
        ({"shape_hub_allowed": [[False]]}, Lever.HUB, 1),
        ({"shape_owner_allowed": [[False]]}, Lever.OWNER, 1),
        ({"model_origin": ["foreign"], "shape_domestic_only": [True]}, Lever.FOREIGN_MODELS, 1),
        ({"shape_tasks": [2], "shape_within": [WITHIN_DOMAIN], "node_domain": [0, 1]}, Lever.WITHIN, WITHIN_POOL),
    ],
)
def test_what_bars_a_job_is_what_would_be_changed(arrays: dict[str, Any], lever: Lever, after: int) -> None:
    told = asked(one(**arrays), leases(HOUR, HOUR), 2 * HOUR)

    assert told.as_it_is is None
    assert by_lever(told)[lever].after == after
    assert Lever.CEILING not in by_lever(told)


def quotas(**arrays: Any) -> Snapshot:
    """Return a world whose tenant may use eight cards of 320 TFLOPS, and uses them all."""
    return one(
        **{
            "tenant_names": ["city"],
            "quota_names": ["hub", "hub/city"],
            "quota_parent": [-1, 0],
            "tenant_quota": [[1]],
            "quota_guaranteed_milli_tflops": [0, 0],
            "quota_borrow_milli_tflops": [-1, 8 * 320_000],
            "quota_lend_milli_tflops": [-1, -1],
            "quota_used_milli_tflops": [8 * 320_000, 8 * 320_000],
            "job_tenant": [0],
            **arrays,
        }
    )


def of_quota(horizon: Horizon, lease: int) -> Horizon:
    """Return the horizon with one of its two leases in the quota of the tenant."""
    count = len(horizon.lease_id)
    quota, use = np.full(count, -1), np.zeros(count, dtype=np.int64)
    quota[lease], use[lease] = 1, 8 * 320_000
    return replace(horizon, lease_quota=quota, lease_quota_use=use)


def test_it_waits_for_its_own_quota_and_the_quota_is_raised_by_what_is_short() -> None:
    """A node is free after one hour, and the tenant's own lease ends after two."""
    horizon = of_quota(leases(HOUR, 2 * HOUR), 1)

    told = asked(quotas(), horizon, HOUR + MARGIN)

    change = by_lever(told)[Lever.QUOTA]
    assert told.as_it_is is not None
    assert told.as_it_is.start_s == NOW + 2 * HOUR + MARGIN
    assert (change.name, change.before, change.after) == ("hub/city", 8 * 320_000, 16 * 320_000)


def test_leases_that_name_no_quota_give_none_back() -> None:
    told = asked(quotas(), leases(HOUR, 2 * HOUR), 3 * HOUR)

    assert told.as_it_is is None
    assert by_lever(told).keys() == {Lever.QUOTA}


def test_power_comes_back_with_the_leases_that_draw_it() -> None:
    """Sixteen cards of a kilowatt under a cap of twelve: eight must have ended before eight may begin."""
    power = {"model_card_watts": [1_000], "hub_power_cap_watts": [12_000], "hub_pue_ppm": [10**6]}
    free = {"node_free_cards": [0, 8], "node_free_cpu_milli": [0, 64_000], "node_free_memory_mib": [0, 512_000]}

    told = asked(one(**power, **free, hub_used_watts=[8_000]), leases(HOUR), HOUR)

    assert told.as_it_is is not None
    assert told.as_it_is.start_s == NOW + HOUR + MARGIN
    assert told.changes == ()


def test_it_does_not_start_before_its_own_time() -> None:
    told = asked(one(), leases(HOUR, 2 * HOUR), HOUR + MARGIN, not_before_s=NOW + 5 * HOUR)

    assert told.as_it_is is not None
    assert (told.as_it_is.start_s, told.changes) == (NOW + 5 * HOUR, ())


def test_what_is_promised_to_the_job_itself_does_not_stand_in_its_way() -> None:
    world = one()
    own = replace(promised(5 * HOUR, 9 * HOUR), job_id=world.job_id[0])

    told = asked(world, replace(leases(HOUR), promises=(own,)), HOUR + MARGIN)

    assert told.as_it_is is not None
    assert told.as_it_is.start_s == NOW + HOUR + MARGIN


def test_a_job_that_others_outbid_is_told_the_price_unless_it_is_overdue() -> None:
    """A round in which another job pays twice as much sets the price of the only node."""
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[9_000_000, 20_000_000])
    prices = last_prices(world, plan(world, Policy(effort=5)))
    poor = replace(world.of_jobs([0]), node_free_cards=np.array([0]))
    horizon = replace(leases(HOUR), held_cpu_milli=np.zeros(1, np.int64), held_memory_mib=np.zeros(1, np.int64))

    told = changes_by(poor, horizon, POLICY, prices, "job-0", NOW + 2 * HOUR)
    overdue = changes_by(
        poor, horizon, replace(POLICY, patience_seconds=0, patience_walltime_percent=0), prices, "job-0", NOW + 2 * HOUR
    )

    assert told.as_it_is is None
    assert by_lever(told)[Lever.CEILING].after > 9_000_000
    assert overdue.as_it_is is not None


def test_a_job_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(UnknownJob):
        changes_by(one(), Horizon(), POLICY, (), "nobody", NOW)


def test_shares_are_promised_nothing() -> None:
    world = snapshot(jobs=1, shape_share_milli=[500], shape_cards_per_task=[1], slice_start=[0, 1], slice_milli=[500])

    assert asked(world, Horizon(), HOUR) == StartBy(None, ())


@settings(max_examples=60, deadline=None)
@example(seed=1201, by_s=81_454)  # leases that are said to draw more than is in use
@given(seed=st.integers(0, 10**6), by_s=st.integers(0, 90_000))
def test_every_proof_keeps_every_rule_and_every_promise(seed: int, by_s: int) -> None:
    """In worlds with every rule, after a round that made promises of its own."""
    world, horizon = ruled(seed)
    made = decide(world, horizon, QUICK)
    later = replace(horizon, promises=tuple(each for each in made.promises if each.start_s > world.taken_at_s))
    prices = last_prices(made.zoned.world, made.plan)
    profile = Profile(world, later, QUICK.lease_end_margin_seconds)
    if not all(profile.fits_at(each) for each in later.promises):
        return  # beside what the round started; here nothing of that runs

    for job in range(3):
        told = changes_by(world, later, QUICK, prices, world.job_id[job], world.taken_at_s + by_s)

        order = [each.lever for each in told.changes]
        assert order == sorted(set(order), key=list(Lever).index)
        in_time = told.as_it_is is not None and told.as_it_is.start_s <= world.taken_at_s + by_s
        assert not (in_time and told.changes)
        for change in told.changes:
            assert_proved(change, later, QUICK, world.taken_at_s + by_s)
            if (almost := one_step_less(change)) is not None:
                less = changes_by(almost, later, QUICK, prices, world.job_id[job], world.taken_at_s + by_s).as_it_is
                assert less is None or less.start_s > world.taken_at_s + by_s


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_earliest_start_is_the_one_that_a_round_would_promise(seed: int) -> None:
    """Without limits, and when it is overdue, by the search of `Promiser`; that one begins a second after now."""
    world, horizon = ruled(seed)
    world = replace(
        world,
        hub_power_cap_watts=np.full_like(world.hub_power_cap_watts, -1),
        hub_pace_watts=np.full_like(world.hub_pace_watts, -1),
        job_tenant=np.full_like(world.job_tenant, -1),
    )
    policy = replace(QUICK, patience_seconds=0, patience_walltime_percent=0)
    promiser = Promiser(world, Profile(world, horizon, policy.lease_end_margin_seconds), policy, ())

    for job in range(4):
        told = changes_by(world, horizon, policy, (), world.job_id[job], NEVER, world.taken_at_s + 1).as_it_is

        found = promiser.earliest(promiser.offers([job]), 0)
        assert (told and told.start_s) == (found and found.start_s)
