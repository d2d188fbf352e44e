"""Moves are proposed where a gang gains more by them than is lost, and what is moved has room elsewhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs
from preemption_worlds import NOW, Lease, ruled_and_running, running
from timed_worlds import QUICK

from scheduler.decide import decide
from scheduler.defragmentation import Proposal, proposals
from scheduler.fields import WITHIN_NODE
from scheduler.horizon import NEVER, Horizon, Promise
from scheduler.reclaim import Claim, Preemption
from scheduler.rounds import round_violations, run_round
from scheduler.snapshot import Snapshot
from scheduler.verify_time import TimeRule, time_violations

PLAIN = replace(QUICK, lease_end_margin_seconds=60, reclaim_seconds_max=600)
LATER = NOW + 50_000
RATE = 2_000_000
"""Micro-yuan that a card-hour of a lease is worth."""


def proposed(world: Snapshot, horizon: Horizon, *, rate: int = RATE, budget: int = 10**9) -> list[Proposal]:
    """Return what is proposed after a round; nothing of it overbooks a node, and figures add up."""
    horizon = replace(horizon, lease_micro_yuan_per_card_hour=np.full(len(horizon.lease_id), rate))
    made = decide(world, horizon, PLAIN)
    found = proposals(world, horizon, made, PLAIN, budget)
    for each in found:
        others = [promise for promise in made.promises if promise.job_id != each.promise.job_id]
        assert overbooked(world, horizon, made.placements, others, each) == []
        assert each.benefit_micro_yuan > 0
        assert each.loss_micro_yuan == sum(move.loss_micro_yuan for move in each.moves)
        sooner = min(each.instead_of_s, NEVER) - each.promise.start_s
        runs = each.promise.end_s - each.promise.start_s - PLAIN.lease_end_margin_seconds
        assert each.gain_micro_yuan == each.promise.worth_micro_yuan_per_hour * min(sooner, runs) // 3_600
    assert [each.benefit_micro_yuan for each in found] == sorted((e.benefit_micro_yuan for e in found), reverse=True)
    again = proposals(world, horizon, decide(world, horizon, PLAIN), PLAIN, budget)
    assert found == again
    return found


def overbooked(
    world: Snapshot, horizon: Horizon, placements: object, others: list[Promise], proposal: Proposal
) -> list[object]:
    """Return what nodes or closed times say against a proposal, by the audit of promises."""
    ends, start_s = horizon.lease_ends_at_s.copy(), proposal.promise.start_s
    parts = []
    for move in proposal.moves:
        lease = horizon.lease_id.index(move.lease_id)
        ends[lease] = world.taken_at_s + horizon.lease_grace_seconds[lease]
        left = max(int(horizon.lease_ends_at_s[lease]) - world.taken_at_s, 1)
        for number, (node, to) in enumerate(zip(move.nodes, move.to, strict=True)):
            entry = np.flatnonzero((horizon.held_lease == lease) & (horizon.held_node == node))
            cards, cpu, memory = (
                int(held[entry].sum()) for held in (horizon.held_cards, horizon.held_cpu_milli, horizon.held_memory_mib)
            )
            name = f"{move.lease_id}/{number}"
            parts.append(
                Promise(name, start_s, start_s + left, proposal.promise.pool, 0, (to,), (1,), 0, cards, cpu, memory, 0)
            )
    moved = replace(horizon, lease_ends_at_s=ends)
    promises = [*others, proposal.promise, *parts]
    found = time_violations(world, moved, PLAIN.lease_end_margin_seconds, placements, promises, ())  # type: ignore[arg-type]
    return [each for each in found if each.rule in (TimeRule.OVERBOOKED, TimeRule.INTO_CLOSED, TimeRule.OUTSIDE_POOL)]


# whatever comes


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_proposals_among_all_rules_overbook_nothing(seed: int) -> None:
    world, horizon = ruled_and_running(seed)

    for each in proposed(world, horizon, rate=200_000, budget=30_000):
        chosen = [horizon.lease_id.index(move.lease_id) for move in each.moves]
        assert all(horizon.lease_preemptible[chosen] & ~horizon.lease_moved[chosen])
        assert horizon.lease_lost_card_seconds[chosen].sum() <= 30_000


LEASES = st.lists(
    st.builds(
        lambda nodes, cards, lost: Lease(dict.fromkeys(nodes, cards), lost=lost, ends_s=LATER),
        st.sets(st.integers(0, 2), min_size=1, max_size=2),
        st.integers(1, 3),
        st.integers(0, 9_000),
    ),
    min_size=1,
    max_size=5,
)


def best_benefit(leases: list[Lease], free: list[int], cards: int, gain: int) -> int:
    """Return the most that moving leases of a node to any nodes can be worth for a gang there; everything is tried."""
    best = 0
    for chosen in chain.from_iterable(combinations(leases, count) for count in range(1, len(leases) + 1)):
        left = [free[node] + sum(each.cards.get(node, 0) for each in chosen) for node in range(3)]
        standing = [each.lost + 60 * sum(each.cards.values()) for each in chosen]
        benefit = gain - sum(-(-lost * RATE // 3_600) for lost in standing)
        parts = [part for each in chosen for part in each.cards.values()]
        for node in range(3):
            if benefit <= best or left[node] < cards or not all(node in each.cards for each in chosen):
                continue
            beside = [room - (cards if at == node else 0) for at, room in enumerate(left)]
            if any(
                all(
                    sum(part for part, to in zip(parts, places, strict=True) if to == at) <= beside[at]
                    for at in range(3)
                )
                for places in product(range(3), repeat=len(parts))
            ):
                best = benefit
    return best


@settings(max_examples=150, deadline=None)
@given(leases=LEASES, cards=st.integers(2, 8), spare=st.tuples(*[st.integers(0, 3)] * 3))
def test_the_best_moves_for_a_gang_on_one_node_are_found(
    leases: list[Lease], cards: int, spare: tuple[int, int, int]
) -> None:
    held = [sum(each.cards.get(node, 0) for each in leases) for node in range(3)]
    size = max(8, *held)
    free = [min(size - of_node, more) for of_node, more in zip(held, spare, strict=True)]
    world = gangs((1, cards), nodes_per_pool=3, cards=size, node_free_cards=free, shape_within=[WITHIN_NODE])

    found = proposed(world, running(*leases))

    if max(free) < cards:
        made = decide(world, running(*leases), PLAIN)
        worth = max((each.worth_micro_yuan_per_hour for each in made.promises), default=0)
        if worth:  # else nobody knows of any time: more is in use than the leases hold
            best = best_benefit(leases, free, cards, worth)
            assert [each.benefit_micro_yuan for each in found] == ([best] if best else [])
    else:
        assert found == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rounds_that_make_room_keep_all_rules(seed: int) -> None:
    """Whoever is named: the verifiers find nothing, and only what moving is proposed for is stopped for."""
    world, horizon = ruled_and_running(seed)
    named = world.job_id[:: 1 + seed % 2]
    policy = replace(PLAIN, churn_card_seconds_max=30_000)

    made = run_round(world, replace(horizon, make_room_for=named), policy)

    assert round_violations(world, replace(horizon, make_room_for=named), policy, made) == []
    moved = [each.job_id for each in made.reclaim.preemptions if each.claim is Claim.DEFRAGMENTATION]
    assert set(moved) <= set(named)
    if moved:
        unnamed = round_violations(world, horizon, policy, made)
        assert {text.split(":")[0] for text in unnamed} == {"NO_CLAIM"}


# one thing at a time


def fragmented(*leases: Lease, **changes: object) -> tuple[Snapshot, Horizon]:
    """Return two nodes of 8 cards, half of each taken, and a gang that wants one of them whole for an hour."""
    world = gangs((1, 8), nodes_per_pool=2, node_free_cards=[4, 4], **changes)
    return world, running(*leases or (Lease({0: 4}, lost=3_600, ends_s=LATER), Lease({1: 4}, lost=7_200, ends_s=LATER)))


def test_the_cheaper_half_is_moved_and_the_benefit_is_quoted() -> None:
    (found,) = proposed(*fragmented())

    assert (found.promise.start_s, found.promise.nodes, found.instead_of_s) == (NOW + 60, (0,), LATER + 60)
    (move,) = found.moves
    assert (move.lease_id, move.nodes, move.to) == ("lease-0", (0,), (1,))
    assert move.lost_card_seconds == 3_600 + 4 * 60  # a card-hour since the checkpoint, four cards stand for a minute
    assert found.loss_micro_yuan == -(-3_840 * RATE // 3_600)
    assert found.gain_micro_yuan == found.promise.worth_micro_yuan_per_hour  # it runs for an hour, however late


def test_the_gang_that_is_named_is_promised_the_nodes_that_are_cleared() -> None:
    world, horizon = fragmented(
        Lease({0: 4}, lost=3_600, tier=0, ends_s=LATER), Lease({1: 4}, lost=7_200, tier=0, ends_s=LATER)
    )
    rated = replace(horizon, lease_micro_yuan_per_card_hour=np.full(2, RATE), make_room_for=("job-0", "job-gone"))

    made = run_round(world, rated, PLAIN)

    assert made.reclaim.preemptions == (Preemption("lease-0", Claim.DEFRAGMENTATION, "job-0", 3_600, 4),)
    assert [(each.start_s, each.nodes) for each in made.reclaim.made] == [(NOW + 60, (0,))]
    assert made.reclaim.promises == made.reclaim.made
    assert round_violations(world, rated, PLAIN, made) == []
    assert run_round(world, replace(rated, make_room_for=()), PLAIN).reclaim.preemptions == ()


def test_what_would_start_soon_anyway_gains_little() -> None:
    soon = NOW + 600
    (found,) = proposed(*fragmented(Lease({0: 4}, ends_s=soon), Lease({1: 4}, ends_s=LATER)), rate=0)

    assert found.instead_of_s == soon + 60
    assert found.gain_micro_yuan == found.promise.worth_micro_yuan_per_hour * 600 // 3_600


def test_nothing_is_proposed_that_does_not_pay_or_may_not_be() -> None:
    halves = Lease({0: 4}, lost=3_600, ends_s=LATER), Lease({1: 4}, lost=7_200, ends_s=LATER)
    world, horizon = fragmented(*halves)

    assert proposed(world, horizon, rate=10**9) == []
    assert proposed(world, horizon, budget=3_599) == []
    for forbidden in ({"preemptible": False}, {"moved": True}, {"grace": 601}):
        assert proposed(world, running(*(replace(each, **forbidden) for each in halves))) == []  # type: ignore[arg-type]
    assert proposed(*fragmented(job_finish_by_s=[NOW + 3_659])) == []


def test_a_lease_that_fits_nowhere_else_stays() -> None:
    world, horizon = fragmented()
    full = replace(world, node_free_cards=np.array([3, 4]), node_cards=np.array([8, 7]))

    assert proposed(full, running(Lease({0: 5}, ends_s=LATER), Lease({1: 3}, ends_s=LATER))) == []
    closing = {"closed_node": [1], "closed_from_s": [NOW + 10_000], "closed_until_s": [NOW + 20_000]}
    (found,) = proposed(world, replace(horizon, **closing))  # type: ignore[arg-type]
    assert [move.to for move in found.moves] == [(0,)]  # not onto the node that will close, which the gang may have


def test_a_gang_of_several_nodes_moves_several_leases_and_the_best_come_first() -> None:
    world = gangs((2, 8), (1, 6), nodes_per_pool=4, node_free_cards=[4] * 4, job_priority=[2, 1])
    horizon = running(*(Lease({node: 4}, lost=100 * node, ends_s=LATER) for node in range(4)))

    found = proposed(world, horizon)

    assert [each.promise.job_id for each in found] == ["job-0", "job-1"]
    assert [move.lease_id for move in found[0].moves] == ["lease-0", "lease-1"]
    rated = replace(horizon, lease_micro_yuan_per_card_hour=np.full(4, RATE))
    assert proposals(world, rated, decide(world, rated, PLAIN), PLAIN, 10**9, most=1) == found[:1]
    assert proposals(world, rated, decide(world, rated, PLAIN), PLAIN, 10**9, only=["job-1"]) == found[1:]
