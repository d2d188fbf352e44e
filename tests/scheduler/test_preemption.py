"""Preemption stops what may be stopped, what costs least, and no more than it must; the audit sees what is planted."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs
from preemption_worlds import NOW, Lease, preempted, ruled_and_running, running
from timed_worlds import QUICK

from scheduler.decide import Decision, decide
from scheduler.errors import BadSnapshot
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE
from scheduler.horizon import Fate, Horizon
from scheduler.policy import Policy
from scheduler.preemption import preempt
from scheduler.reclaim import Claim, Reclaim, with_stops
from scheduler.snapshot import Snapshot
from scheduler.verify_preemption import PreemptionRule, Terms, preemption_violations

PLAIN = replace(QUICK, lease_end_margin_seconds=60, reclaim_seconds_max=600, promises_max=0)
PFLOPS = 320_000
"""Milli-TFLOPS of a card of the plain worlds."""


def after_a_round(
    world: Snapshot, horizon: Horizon, budget: int = 10**9, policy: Policy = PLAIN
) -> tuple[Decision, Reclaim]:
    """Return a round, and what is stopped after it; nothing that it does is against the rules."""
    made = decide(world, horizon, policy)
    reclaim, broken = preempted(world, horizon, made, policy, budget)
    assert broken == []
    return made, reclaim


def stopped(world: Snapshot, horizon: Horizon, budget: int = 10**9, policy: Policy = PLAIN) -> list[str]:
    return [each.lease_id for each in after_a_round(world, horizon, budget, policy)[1].preemptions]


def full(*shapes: tuple[int, int], nodes: int = 2, **changes: object) -> Snapshot:
    """Return a pool of nodes of 8 cards, nothing free, in which gangs of the highest tier wait."""
    return gangs(*shapes, nodes_per_pool=nodes, **{"node_free_cards": [0] * nodes} | changes)


# whatever comes


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), budget=st.integers(0, 40_000))
def test_preemption_among_all_rules_breaks_none(seed: int, budget: int) -> None:
    world, horizon = ruled_and_running(seed)

    _, first = after_a_round(world, horizon, budget, QUICK)
    _, second = after_a_round(world, horizon, budget, QUICK)

    assert first == second
    assert first.lost_card_seconds <= budget


LEASES = st.lists(
    st.builds(
        lambda nodes, cards, lost: Lease(dict.fromkeys(nodes, cards), lost=lost),
        st.sets(st.integers(0, 2), min_size=1, max_size=2),
        st.integers(1, 4),
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=7,
)


def cheapest(leases: list[Lease], free: list[int], tasks: int, cards: int, within: int) -> tuple[int, int] | None:
    """Return the least lost work, and of equals the fewest cards, over all sets of leases: everything is tried."""
    best = None
    for chosen in chain.from_iterable(combinations(leases, count) for count in range(len(leases) + 1)):
        room = [(free[node] + sum(each.cards.get(node, 0) for each in chosen)) // cards for node in range(len(free))]
        if (max(room) if within == WITHIN_NODE else sum(room)) >= tasks:
            cost = sum(each.lost for each in chosen), sum(sum(each.cards.values()) for each in chosen)
            best = cost if best is None or cost < best else best
    return best


@settings(max_examples=150, deadline=None)
@given(leases=LEASES, tasks=st.integers(1, 4), cards=st.integers(1, 6), spread=st.booleans())
def test_the_loss_is_the_least_on_one_node_and_near_it_on_several(
    leases: list[Lease], tasks: int, cards: int, spread: bool
) -> None:
    """On several nodes the search goes step by step: it finds room whenever there is any, and rarely pays more."""
    held = [sum(each.cards.get(node, 0) for each in leases) for node in range(3)]
    size = max(8, *held)
    within = 0 if spread else WITHIN_NODE
    free = [0] * 3
    world = gangs((tasks, cards), nodes_per_pool=3, cards=size, node_free_cards=free, shape_within=[within])

    _, reclaim = after_a_round(world, running(*leases))

    best = cheapest(leases, free, tasks, cards, within)
    assert (best is None) == (not reclaim.made)
    if best is not None:
        found = reclaim.lost_card_seconds, sum(each.cards for each in reclaim.preemptions)
        assert found == best if within == WITHIN_NODE or tasks == 1 else found >= best


# one thing at a time


@pytest.mark.parametrize(
    ("change", "victims"),
    [
        ({}, ["lease-0"]),
        ({"preemptible": False}, ["lease-1"]),
        ({"moved": True}, ["lease-1"]),
        ({"tier": 0}, ["lease-1"]),
        ({"grace": 601}, ["lease-1"]),
        ({"lost": 5_001}, ["lease-1"]),
        ({"ends_s": NOW}, []),  # its cards are free by then as things stand
    ],
)
def test_a_tier_above_stops_what_may_be_stopped_and_loses_least(change: dict[str, int], victims: list[str]) -> None:
    world = full((1, 8))
    cheap, dear = Lease({0: 8}, lost=1_000), Lease({1: 8}, lost=5_000)

    assert stopped(world, running(replace(cheap, **change), dear)) == victims  # type: ignore[arg-type]


def test_the_budget_of_the_hour_is_kept() -> None:
    world = full((1, 8), (1, 8))
    horizon = running(Lease({0: 8}, lost=1_000), Lease({1: 8}, lost=5_000))

    assert stopped(world, horizon, 999) == []
    assert stopped(world, horizon, 5_999) == ["lease-0"]
    assert stopped(world, horizon, 6_000) == ["lease-0", "lease-1"]


def test_a_lease_is_stopped_whole_and_what_it_frees_beside_is_used_first() -> None:
    """A lease of two nodes costs more than either of two others, and less than both."""
    wide = Lease({0: 8, 1: 8}, lost=1_500)
    horizon = running(wide, Lease({2: 8}, lost=1_000), Lease({3: 8}, lost=1_000))

    assert stopped(full((1, 8), nodes=4), horizon) == ["lease-1"]
    assert stopped(full((2, 8), nodes=4), horizon) == ["lease-0"]
    assert stopped(full((4, 8), nodes=4), horizon) == ["lease-0", "lease-1", "lease-2"]
    assert stopped(full((5, 8), nodes=4), horizon) == []


def test_a_gang_that_must_stay_within_a_domain_clears_one() -> None:
    world = full((2, 8), nodes=4, node_domain=[0, 0, 1, 1], shape_within=[WITHIN_DOMAIN])
    leases = [Lease({node: 8}, lost=lost) for node, lost in enumerate([100, 3_000, 1_000, 1_000])]

    assert stopped(world, running(*leases)) == ["lease-2", "lease-3"]


def test_a_gang_of_no_tier_above_and_no_guarantee_stops_nobody() -> None:
    assert stopped(full((1, 8)), running(Lease({0: 8}, tier=0), Lease({1: 8}, tier=0))) == []


def guaranteed(*, used: list[int], limit: int = 1_000, cards: int = 8, **changes: object) -> Snapshot:
    """Return a full pool of two nodes and a gang of the first of two cities, each guaranteed 12 cards of `limit`."""
    return full(
        (1, cards),
        tenant_names=("ours",),
        tenant_quota=[[1]],
        job_tenant=[0],
        quota_names=("all", "ours", "theirs"),
        quota_parent=[-1, 0, 0],
        quota_guaranteed_milli_tflops=[limit * PFLOPS, 12 * PFLOPS, 12 * PFLOPS],
        quota_borrow_milli_tflops=[0, -1, -1],
        quota_lend_milli_tflops=[-1, -1, -1],
        quota_used_milli_tflops=[each * PFLOPS for each in used],
        **changes,
    )


def of_quota(quota: int, node: int, cards: int, lost: int = 100) -> Lease:
    return Lease({node: cards}, lost=lost, tier=0, quota=quota, use=cards * PFLOPS)


def test_a_guarantee_is_reclaimed_from_what_others_borrowed() -> None:
    world = guaranteed(used=[16, 0, 16])
    horizon = running(*(of_quota(2, node, 4) for node in (0, 0, 1, 1)))

    _, reclaim = after_a_round(world, horizon)

    assert reclaim.preemptions == ()  # 8 cards of 16 would leave them less than the 12 that they are guaranteed
    small = guaranteed(used=[16, 0, 16], cards=4)
    _, reclaim = after_a_round(small, horizon)
    assert [(each.lease_id, each.claim) for each in reclaim.preemptions] == [("lease-0", Claim.GUARANTEE)]


def test_work_of_the_own_quota_or_beyond_the_guarantee_reclaims_nothing() -> None:
    own = guaranteed(used=[16, 16, 0], cards=4)
    assert stopped(own, running(*(of_quota(1, node, 4) for node in (0, 0, 1, 1)))) == []
    beyond = guaranteed(used=[28, 12, 16], cards=4)
    assert stopped(beyond, running(*(of_quota(2, node, 4) for node in (0, 0, 1, 1)))) == []


def test_work_without_a_quota_is_stopped_for_a_guarantee() -> None:
    world = guaranteed(used=[0, 0, 0])

    assert stopped(world, running(of_quota(-1, 0, 8, lost=5), of_quota(-1, 1, 8, lost=4))) == ["lease-1"]


def test_a_quota_that_is_short_is_freed_where_there_are_free_nodes() -> None:
    """The limit of all is used up by the other city: nodes are free, and its work still has to go."""
    world = guaranteed(used=[20, 0, 20], limit=20, node_free_cards=[8, 0])
    horizon = running(of_quota(2, 1, 8, lost=700), replace(of_quota(2, 1, 8), use=12 * PFLOPS))

    assert stopped(world, horizon) == ["lease-0"]  # the other one would leave them less than they are guaranteed


def test_power_that_is_short_is_freed_by_those_of_the_hub() -> None:
    limits = {"model_card_watts": [100], "hub_power_cap_watts": [1_700], "hub_used_watts": [1_600]}
    world = full((1, 8), nodes=3, node_free_cards=[0, 0, 8], **limits)
    horizon = running(Lease({0: 8}, lost=1_000), Lease({1: 8}, lost=500))

    assert stopped(world, horizon) == ["lease-1"]


def test_a_promise_is_brought_forward() -> None:
    world = full((1, 8), nodes=1)
    horizon = running(Lease({0: 8}, ends_s=NOW + 9_000, grace=30))
    policy = replace(PLAIN, promises_max=2)

    made, reclaim = after_a_round(world, horizon, policy=policy)

    assert [each.start_s for each in made.promises] == [NOW + 9_060]
    assert [each.start_s for each in reclaim.promises] == [NOW + 90]
    assert reclaim.promises[0].promised_s == NOW + 9_060


def test_the_start_is_kept_and_nobody_takes_the_room_meanwhile() -> None:
    """The next rounds: the lease is stopping, a job that would run too long on the free node is kept off it."""
    world = full((2, 8), (1, 8), nodes=2, node_free_cards=[8, 0], job_tier=[0, 1])
    world = replace(world, job_walltime_seconds=np.array([3_600, 7_200]))
    horizon = running(Lease({1: 8}, grace=120))
    (_, reclaim) = after_a_round(world.of_jobs([0]), horizon)
    assert [each.start_s for each in reclaim.made] == [NOW + 180]

    ordered = replace(with_stops(horizon, reclaim.preemptions, NOW), promises=reclaim.promises)
    meanwhile = decide(replace(world, taken_at_s=NOW + 10), ordered, PLAIN)

    assert meanwhile.placements == ()
    assert [(each.fate, each.start_s) for each in meanwhile.news] == [(Fate.KEPT, NOW + 180)]
    assert preempt(replace(world, taken_at_s=NOW + 10), ordered, meanwhile, PLAIN, 10**9).preemptions == ()
    later = replace(world, taken_at_s=NOW + 130, node_free_cards=np.array([8, 8]))
    then = decide(later, Horizon(promises=meanwhile.promises), PLAIN)
    assert [each.job_id for each in then.starts] == ["job-0"]


def test_two_gangs_do_not_count_on_the_same_room_that_ends_anyway() -> None:
    """One of them will have the node that is free in a minute; the other one stops somebody."""
    horizon = running(Lease({0: 8}, ends_s=NOW), Lease({1: 8}), Lease({2: 8}))

    assert stopped(full((1, 8), (1, 8), nodes=3), horizon) == ["lease-1"]


def test_a_deadline_that_the_reclaimed_start_would_miss_stops_nobody() -> None:
    horizon = running(Lease({0: 8}), Lease({1: 8}))

    assert stopped(full((1, 8), job_finish_by_s=[NOW + 3_659]), horizon) == []
    assert stopped(full((1, 8), job_finish_by_s=[NOW + 3_660]), horizon) == ["lease-0"]


def test_leases_beside_split_cards_are_let_run() -> None:
    """A split card is free when the last of its shares ends, whoever else is stopped."""
    shares = {"slice_start": [0, 1], "slice_milli": [500], "split_free_milli": [500], "split_shares": [1]}

    assert stopped(full((1, 4), split_node=[0], **shares), running(Lease({0: 7}), Lease({1: 8}))) == ["lease-1"]


def test_a_lease_of_a_quota_that_is_not_there_is_refused() -> None:
    world = full((1, 8))
    made = decide(world, Horizon(), PLAIN)

    with pytest.raises(BadSnapshot, match="lease_quota"):
        preempt(world, running(Lease({0: 8}, quota=0)), made, PLAIN, 0)


# the audit catches what is planted


def planted(change: str, horizon: Horizon, reclaim: Reclaim) -> tuple[Horizon, Reclaim, int]:
    """Return a horizon, a reclaim and a budget of which one thing is wrong."""
    (victim,), (made,) = reclaim.preemptions, reclaim.made
    extra = replace(victim, lease_id="lease-1", lost_card_seconds=5_000)
    late = replace(made, start_s=made.start_s + 700, end_s=made.end_s + 700)
    soon = replace(made, start_s=NOW + 59, end_s=made.end_s)
    moved = replace(made, nodes=(1,))
    no, yes = np.zeros(2, dtype=np.bool_), np.ones(2, dtype=np.bool_)
    reclaims = {
        "unknown": replace(reclaim, preemptions=(replace(victim, lease_id="nobody"),)),
        "twice": replace(reclaim, preemptions=(victim, victim)),
        "right": replace(reclaim, preemptions=(replace(victim, claim=Claim.GUARANTEE),)),
        "figures": replace(reclaim, preemptions=(replace(victim, cards=7),)),
        "needless": replace(reclaim, preemptions=(victim, extra)),
        "nothing": replace(reclaim, promises=(), made=()),
        "lost": replace(reclaim, promises=()),
        "late": replace(reclaim, promises=(late,), made=(late,)),
        "soon": replace(reclaim, promises=(soon,), made=(soon,)),
        "elsewhere": replace(reclaim, promises=(moved,), made=(moved,)),
        "stranger": replace(reclaim, preemptions=(replace(victim, job_id="nobody"),)),
    }
    horizons = {
        "guarded": replace(horizon, lease_preemptible=no),
        "again": replace(horizon, lease_moved=yes),
        "slow": replace(horizon, lease_grace_seconds=np.array([601, 0])),
        "equal": replace(horizon, lease_tier=np.zeros(2, dtype=np.int64)),
    }
    return horizons.get(change, horizon), reclaims.get(change, reclaim), 999 if change == "budget" else 10**6


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("unknown", PreemptionRule.NOT_PREEMPTIBLE),
        ("guarded", PreemptionRule.NOT_PREEMPTIBLE),
        ("slow", PreemptionRule.NOT_PREEMPTIBLE),
        ("twice", PreemptionRule.STOPPED_TWICE),
        ("again", PreemptionRule.STOPPED_TWICE),
        ("right", PreemptionRule.NO_CLAIM),
        ("equal", PreemptionRule.NO_CLAIM),
        ("stranger", PreemptionRule.NO_CLAIM),
        ("budget", PreemptionRule.OVER_BUDGET),
        ("figures", PreemptionRule.WRONG_FIGURES),
        ("needless", PreemptionRule.NEEDLESS),
        ("nothing", PreemptionRule.NO_PROMISE),
        ("lost", PreemptionRule.PROMISE_LOST),
        ("late", PreemptionRule.TOO_LATE),
        ("soon", PreemptionRule.TOO_LATE),
        ("elsewhere", PreemptionRule.NO_ROOM),
    ],
)
def test_the_audit_catches_planted(change: str, rule: PreemptionRule) -> None:
    world, horizon = full((1, 8)), running(Lease({0: 8}, lost=1_000), Lease({1: 8}, lost=5_000))
    made, reclaim = after_a_round(world, horizon)

    wrong_horizon, wrong, budget = planted(change, horizon, reclaim)
    terms = Terms(60, 600, budget)
    found = preemption_violations(world, wrong_horizon, terms, made.placements, made.promises, wrong)

    assert rule in {each.rule for each in found}


def test_the_audit_catches_power_quotas_and_guarantees() -> None:
    world = guaranteed(used=[16, 0, 16], cards=4)
    horizon = running(*(of_quota(2, node, 4) for node in (0, 0, 1, 1)))
    made, reclaim = after_a_round(world, horizon)

    def broken(**changes: list[int]) -> set[PreemptionRule]:
        other = replace(world, **{name: np.array(value) for name, value in changes.items()})
        terms = Terms(60, 600, 10**6)
        found = preemption_violations(other, horizon, terms, made.placements, made.promises, reclaim)
        return {each.rule for each in found}

    assert broken() == set()
    assert broken(quota_used_milli_tflops=[15 * PFLOPS, 0, 15 * PFLOPS]) == {PreemptionRule.GUARANTEE_TAKEN}
    assert broken(quota_used_milli_tflops=[25 * PFLOPS, 9 * PFLOPS, 16 * PFLOPS]) == {PreemptionRule.NO_CLAIM}
    short = {"quota_guaranteed_milli_tflops": [15 * PFLOPS, 12 * PFLOPS, 12 * PFLOPS]}
    assert broken(**short) == {PreemptionRule.NO_ROOM}
    watts = {"model_card_watts": [100], "hub_power_cap_watts": [1_500], "hub_used_watts": [1_600]}
    assert broken(**watts) == {PreemptionRule.NO_ROOM}
