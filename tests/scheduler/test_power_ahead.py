"""Power that is promised is there when the promised gang starts, whatever comes meanwhile; and is used until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs
from preemption_worlds import Lease, running
from timed_worlds import QUICK, Days

from scheduler.decide import Decision, decide, within_power
from scheduler.horizon import NEVER, Cause, Fate, Horizon, News, Promise
from scheduler.limits import limits_of
from scheduler.placer import Placed, Placer
from scheduler.plan import Placement
from scheduler.policy import Policy
from scheduler.power_ahead import PowerAhead
from scheduler.preemption import preempt
from scheduler.profile import held_until_s
from scheduler.promises import own_time
from scheduler.rounds import Round, round_violations, run_round
from scheduler.snapshot import Snapshot
from scheduler.spare import WATTS, taken
from scheduler.verify_preemption import PreemptionRule, Terms, preemption_violations
from scheduler.verify_time import TimeRule, time_violations
from scheduler.zones import POWER_LEVELS_MAX, open_world

NOW = 1_000_000
HOUR = 3_600
EXACT = replace(QUICK, lease_end_margin_seconds=0)
CARD = 100
"""Watts of a card at the meter in these worlds, unless a test says so."""


def capped(*shapes: tuple[int, int], cap_cards: int, **changes: object) -> Snapshot:
    """Return a world with power for so many cards in its only hub."""
    power = {"model_card_watts": [CARD], "hub_power_cap_watts": [cap_cards * CARD], "hub_pue_ppm": [10**6]}
    return gangs(*shapes, **(power | changes))


def promise(job_id: str, start_s: int, end_s: int, nodes: Sequence[int], cards: int = 8, pool: int = 0) -> Promise:
    return Promise(job_id, start_s, end_s, pool, 0, tuple(nodes), (1,) * len(nodes), 1, cards, 0, 0, 0, 0, start_s)


def broken(world: Snapshot, horizon: Horizon, made: Decision, policy: Policy = EXACT) -> list[str]:
    return round_violations(world, horizon, policy, Round.stopping_nobody(made))


def started(made: Decision) -> list[str]:
    return sorted(each.job_id for each in made.placements)


# what is left over time


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_earliest_time_with_power_is_the_first_at_which_it_lasts(data: st.DataObject) -> None:
    """Against one look at every second."""
    draw = data.draw
    leases = draw(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 3)), max_size=4))
    spans = draw(st.lists(st.tuples(st.integers(0, 25), st.integers(1, 9), st.integers(1, 3)), max_size=4))
    cap, cards, seconds = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(1, 12))
    from_s, by_s = NOW + draw(st.integers(0, 8)), draw(st.sampled_from([NOW + 15, NEVER]))
    used = sum(count for _, count in leases)
    world = capped((1, 1), cap_cards=cap, nodes_per_pool=8, hub_used_watts=[used * CARD])
    horizon = running(*(Lease({at: count}, ends_s=NOW + end) for at, (end, count) in enumerate(leases)))
    power = PowerAhead(world, horizon, held_until_s(horizon, NOW, 0))
    promises = [promise("p", NOW + begin, NOW + begin + lasts, [0], count) for begin, lasts, count in spans]
    for each in promises:
        power.take(each)
    own = draw(st.sampled_from([None, *promises]))
    if own is not None:
        power.give_back(own)

    def left(at: int) -> int:
        runs = sum(count for end, count in leases if NOW + end > at)
        others = [each for each in promises if each is not own]
        return cap - runs - sum(each.cards for each in others if each.start_s <= at < each.end_s)

    def has(at: int) -> bool:
        return left(at) >= cards or (own is not None and own.start_s <= at < own.end_s)

    found = power.earliest(0, cards * CARD, seconds, from_s, by_s, own)

    times = range(from_s, min(by_s, NOW + 60) + 1)
    assert found == next((at for at in times if all(has(then) for then in range(at, at + seconds))), NEVER)


def test_what_no_lease_uses_is_used_for_good_and_shares_until_the_last_of_them_has_ended() -> None:
    world = capped((1, 8), cap_cards=16, nodes_per_pool=2, hub_used_watts=[12 * CARD], node_free_cards=[4, 0])
    held = running(Lease({0: 4}, ends_s=NOW + 10), Lease({1: 8}, ends_s=NOW + 20))

    def power(world: Snapshot, horizon: Horizon) -> PowerAhead:
        return PowerAhead(world, horizon, held_until_s(horizon, NOW, 0))

    assert power(world, held).earliest(0, 16 * CARD, 5, NOW) == NOW + 20
    assert power(world, running(Lease({1: 8}, ends_s=NOW + 20))).earliest(0, 16 * CARD, 5, NOW) == NEVER
    slices = {"slice_start": np.array([0, 1]), "slice_milli": np.array([500])}
    split = {"split_node": np.array([1]), "split_free_milli": np.array([500]), "split_shares": np.array([1])}
    shared = replace(world, **slices, **split)
    assert power(shared, held).earliest(0, 12 * CARD, 5, NOW) == NOW + 20
    assert power(shared, held).earliest(0, 8 * CARD, 5, NOW) == NOW + 10


# promises and what comes after them


def reserved(**changes: object) -> tuple[Snapshot, Horizon]:
    """Return four nodes with power for two of them, one of which is promised from an hour on."""
    world = capped((1, 8), (1, 8), (1, 8), (1, 8), cap_cards=16, nodes_per_pool=4, **changes)
    world = replace(world, job_walltime_seconds=np.array([2 * HOUR, 2 * HOUR, 2 * HOUR, HOUR - 60]))
    return world, Horizon(
        promises=(replace(promise("job-0", NOW + HOUR, NOW + 3 * HOUR, [0]), not_before_s=NOW + HOUR),)
    )


def test_no_later_work_takes_the_power_of_a_promise_and_what_ends_in_time_uses_it() -> None:
    """Of three nodes that are free one may run long: the promised node and it have all the power then."""
    world, horizon = reserved()

    made = decide(world, horizon, EXACT)

    assert broken(world, horizon, made) == []
    assert made.promises == horizon.promises
    ends = {each: int(world.job_walltime_seconds[world.job_id.index(each)]) for each in started(made)}
    assert sorted(ends.values()) == [HOUR - 60, 2 * HOUR]
    assert "job-1" in ends or "job-2" in ends


def test_without_a_cap_nothing_is_kept_back() -> None:
    world, horizon = reserved(hub_power_cap_watts=[-1])

    made = decide(world, horizon, EXACT)

    assert started(made) == ["job-1", "job-2", "job-3"]


def test_the_pace_of_the_year_is_kept_back_for_promises_too() -> None:
    world, horizon = reserved(hub_power_cap_watts=[-1], hub_pace_watts=[16 * CARD])

    made = decide(world, horizon, EXACT)

    assert len(started(made)) == 2
    assert broken(world, horizon, made) == []


def test_the_fast_lane_leaves_promised_power_alone() -> None:
    world, horizon = reserved()
    around = open_world(world, horizon, 0)
    placer = Placer(around.world, EXACT, ())

    placed = [placer.place(around.world.of_jobs([job]))[0] for job in (1, 2, 3)]

    assert [isinstance(each, Placed) for each in placed] == [True, False, True]


def test_what_the_fast_lane_leased_while_a_round_was_planned_leaves_the_round_less() -> None:
    """Both saw power for one long node: the round's is left out, and what ends in time stays."""
    world, horizon = reserved()
    made = decide(world, horizon, EXACT)
    [long] = [each for each in made.placements if each.job_id != "job-3"]
    other = {"job-1": "job-2", "job-2": "job-1"}[long.job_id]
    fast = Placement(other, 0, 0, (3,), (1,), 1)

    kept = within_power(world, horizon, made.promises, [(world, fast)], made.placements, 0)

    assert [each.job_id for each in kept] == ["job-3"]
    assert within_power(world, horizon, made.promises, [], made.placements, 0) == list(made.placements)
    assert within_power(world, horizon, (), [(world, fast)], made.placements, 0) == list(made.placements)


def test_two_promises_are_not_given_the_same_power() -> None:
    """The second one waits until the first has ended, though its node is free before."""
    world = capped((1, 8), (1, 8), cap_cards=12, nodes_per_pool=2, job_submitted_at_s=[NOW - 9 * HOUR] * 2)
    busy = replace(world, node_free_cards=np.zeros(2, dtype=np.int64), hub_used_watts=np.array([12 * CARD]))
    horizon = running(Lease({0: 8}, ends_s=NOW + HOUR), Lease({1: 8}, ends_s=NOW + HOUR))

    made = decide(busy, horizon, EXACT)

    assert [each.start_s for each in made.made] == [NOW + HOUR, NOW + 2 * HOUR]
    assert broken(busy, horizon, made) == []


def test_who_is_brought_forward_takes_no_power_that_is_promised_to_others() -> None:
    world = capped((1, 8), (1, 8), cap_cards=8, nodes_per_pool=2)
    horizon = Horizon(
        promises=(
            replace(promise("job-0", NOW + 600, NOW + 600 + HOUR, [0]), not_before_s=NOW + 600),
            promise("job-1", NOW + 9 * HOUR, NOW + 10 * HOUR, [1]),
        )
    )

    made = decide(world, horizon, EXACT)

    assert {each.job_id: each.start_s for each in made.promises} == {"job-0": NOW + 600, "job-1": NOW + 600 + HOUR}
    assert broken(world, horizon, made) == []


# levels that are set lower


def test_a_lower_cap_moves_nobody_before_time_and_then_those_whose_power_is_gone() -> None:
    """Two were promised together; when they are due one starts, and the other one when there is power again."""
    world = capped((1, 8), (1, 8), cap_cards=8, nodes_per_pool=2)
    both = Horizon(promises=tuple(promise(f"job-{at}", NOW + 9, NOW + 9 + HOUR, [at]) for at in range(2)))
    booked = replace(both, promises=tuple(replace(each, not_before_s=NOW + 9) for each in both.promises))

    before = decide(world, booked, EXACT)
    due = replace(world, taken_at_s=NOW + 12)
    then = decide(due, booked, EXACT)

    assert before.promises == booked.promises
    assert broken(world, booked, before) == []
    assert [(each.fate, each.cause) for each in then.news] == [(Fate.STARTED, None), (Fate.MOVED, Cause.POWER_SHORT)]
    assert [each.start_s for each in then.promises] == [NOW + 12 + HOUR]
    assert broken(due, booked, then) == []


def test_a_promise_that_is_late_keeps_its_power() -> None:
    late = promise("job-0", NOW - 5, NOW + HOUR - 5, [0])

    assert (own_time(late, NOW).start_s, own_time(late, NOW).end_s) == (NOW - 5, NOW + HOUR + 1)
    assert own_time(late, NOW - 9) == late


# what the verifier sees


def test_work_that_takes_promised_power_is_seen() -> None:
    world, horizon = reserved()
    long = [Placement("job-1", 0, 0, (1,), (1,), 1), Placement("job-2", 0, 0, (2,), (1,), 1)]
    news = [News("job-0", Fate.KEPT, NOW + HOUR, NOW + HOUR)]

    def found(placements: list[Placement], world: Snapshot = world) -> set[TimeRule]:
        return {each.rule for each in time_violations(world, horizon, 0, placements, horizon.promises, news)}

    assert found(long) == {TimeRule.OVERDRAWN}
    assert found(long[:1]) == set()
    assert found(long, replace(world, job_walltime_seconds=np.array([HOUR] * 4))) == set()
    assert found([], replace(world, hub_power_cap_watts=np.array([0]))) == set()  # it was set lower since: no more so
    assert found(long[:1], replace(world, hub_power_cap_watts=np.array([0]))) == {TimeRule.OVERDRAWN}


@pytest.mark.parametrize(("used", "delayed"), [(8, True), (9, False)])
def test_power_is_no_excuse_while_there_is_some(used: int, delayed: bool) -> None:
    world = capped((1, 8), cap_cards=16, nodes_per_pool=2, hub_used_watts=[used * CARD])
    horizon = Horizon(promises=(promise("job-0", NOW, NOW + HOUR, [0]),))
    moved = promise("job-0", NOW + HOUR, NOW + 2 * HOUR, [0])
    news = [News("job-0", Fate.MOVED, NOW, NOW + HOUR, Cause.POWER_SHORT)]

    found = time_violations(world, horizon, 0, [], [moved], news)

    assert (TimeRule.PROMISE_DELAYED in {each.rule for each in found}) == delayed


def test_nobody_is_stopped_for_a_gang_that_would_take_promised_power() -> None:
    """Its victim has power enough for it now; from the promised time on there is none for both."""
    world = capped((1, 8), (1, 8), cap_cards=16, nodes_per_pool=2, job_tier=[0, 0])
    world = replace(world, node_free_cards=np.array([8, 0]), hub_used_watts=np.array([8 * CARD]))
    preemptible = running(Lease({1: 8}, tier=1, ends_s=NOW + HOUR))
    other = replace(promise("job-1", NOW + HOUR, NOW + 2 * HOUR, [1], 8), not_before_s=NOW + HOUR)
    full = replace(world, node_free_cards=np.array([0, 0]), hub_used_watts=np.array([16 * CARD]))
    busy = running(Lease({0: 8}, preemptible=False, ends_s=NOW + 9 * HOUR), *[Lease({1: 8}, tier=1, ends_s=NOW + HOUR)])
    policy = replace(EXACT, promises_max=1, churn_card_seconds_max=10**6, reclaim_seconds_max=600)

    for here, leases in ((world, preemptible), (full, busy)):
        horizon = replace(leases, promises=(other,))
        made = run_round(here, horizon, policy)
        assert round_violations(here, horizon, policy, made) == []
        assert made.reclaim.promises[0] == other


def test_a_reclaim_that_takes_promised_power_is_seen() -> None:
    world = capped((1, 8), (1, 8), cap_cards=8, nodes_per_pool=2, job_tier=[0, 0])
    world = replace(world, node_free_cards=np.array([8, 0]), hub_used_watts=np.array([8 * CARD]))
    horizon = running(Lease({1: 8}, tier=1, ends_s=NOW + 600))
    policy = replace(EXACT, promises_max=0, churn_card_seconds_max=10**6, reclaim_seconds_max=600)
    first = decide(world, horizon, policy)
    reclaim = preempt(world, horizon, first, policy, 10**6)
    assert len(reclaim.made) == 1
    [made] = reclaim.made
    other = next(job for job in world.job_id if job != made.job_id)
    beside = promise(other, NOW + 700, NOW + HOUR, [1 - made.nodes[0]])
    terms = Terms(0, 600, 10**6)

    def found(promises: tuple[Promise, ...]) -> set[PreemptionRule]:
        after = replace(reclaim, promises=(*promises, made))
        return {each.rule for each in preemption_violations(world, horizon, terms, first.placements, promises, after)}

    assert found(()) == set()
    assert found((beside,)) == {PreemptionRule.NO_ROOM}


# whatever comes


class PoweredDays(Days):
    """Rounds that follow one another in hubs with a cap."""

    def __init__(self, seed: int, policy: Policy) -> None:
        super().__init__(seed, policy)
        count, hubs = len(self.all.model_names), len(self.all.hub_names)
        self.caps = np.array([int(self.draw.integers(17, 34)) * CARD * 13 // 10 for _ in range(hubs)])
        self.all = replace(
            self.all,
            model_card_watts=np.full(count, CARD),
            hub_pue_ppm=np.full(hubs, 1_300_000),
            hub_power_cap_watts=self.caps,
        )
        self.pool: dict[int, int] = {}

    def world(self, now: int) -> Snapshot:
        world = super().world(now)
        used = np.zeros(len(world.hub_names), dtype=np.int64)
        for each in self.running.values():
            hub = int(world.pool_hub[world.node_pool[each.nodes[0]]])
            used[hub] += sum(each.tasks) * each.takes[0] * CARD * 13 // 10 + 1
        return replace(world, hub_used_watts=used)


@pytest.mark.parametrize("policy", [EXACT, QUICK], ids=["exact", "margin"])
@pytest.mark.parametrize("seed", range(8))
def test_promises_among_caps_are_kept_and_everybody_starts(seed: int, policy: Policy) -> None:
    days = PoweredDays(seed, policy)
    promised = 0
    for world, horizon, made in days.rounds():
        assert broken(world, horizon, made, policy) == []
        moved = [each for each in made.news if each.fate in (Fate.MOVED, Fate.BROKEN)]
        assert moved == []
        promised += len(made.made)
        drawn = world.hub_used_watts.copy()
        if made.placements:
            table = taken(limits_of(world), world, made.placements).table
            np.add.at(drawn, world.pool_hub[table[:, 0]], table[:, WATTS])
        assert (drawn <= days.caps).all()
    assert promised > 0


def test_many_levels_are_taken_together_and_leave_no_more() -> None:
    count = 3 * POWER_LEVELS_MAX
    world = capped(*[(1, 8)] * count, cap_cards=8 * count, nodes_per_pool=2 * count)
    promises = tuple(
        replace(promise(f"job-{at}", NOW + HOUR * (at + 1), NOW + 99 * HOUR, [at]), not_before_s=NOW + HOUR * (at + 1))
        for at in range(count)
    )
    horizon = Horizon(promises=promises)

    around = open_world(world, horizon, 0)

    times = {int(time) for time in around.world.pool_until_s.tolist() if time >= 0}
    ours = around.world.pool_until_s[around.world.node_pool[np.flatnonzero(around.node_of >= count)]]
    assert len(set(ours.tolist())) <= POWER_LEVELS_MAX
    assert times <= {NOW // 60 * 60 + HOUR * (at + 1) for at in range(count)} | {
        (NOW + HOUR * (at + 1)) // 60 * 60 for at in range(count)
    }
    for at in range(count):
        begin = NOW + HOUR * (at + 1)
        until = around.world.pool_until_s[around.world.node_pool]
        stays = int((((until < 0) | (until > begin)) & (around.node_of >= count)).sum())
        assert stays * 8 <= 8 * count - 8 * (at + 1)
