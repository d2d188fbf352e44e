"""The earliest time at which a gang fits, against looking at every second that anything changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import gangs
from timed_worlds import ruled

from scheduler.errors import BadSnapshot
from scheduler.fields import UNKNOWN, WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.horizon import NEVER, TIME_MAX, Horizon, Promise
from scheduler.profile import Gang, Profile
from scheduler.snapshot import Ints, Snapshot

MARGIN = 60
LIMITS = ((1, 5), (1, 4), (0, 9_000), (60, 90_000))  # of tasks, cards, CPU, seconds
HELD = {"held_node": [0], "held_cards": [1], "held_cpu_milli": [0], "held_memory_mib": [0]}


def windows(horizon: Horizon, node: int) -> list[tuple[int, int]]:
    rows = zip(horizon.closed_node, horizon.closed_from_s, horizon.closed_until_s, strict=True)
    return [(int(begin), int(end)) for where, begin, end in rows if where == node]


def releases(horizon: Horizon, node: int, now: int) -> list[tuple[int, Ints]]:
    held = np.stack([horizon.held_cards, horizon.held_cpu_milli, horizon.held_memory_mib], axis=1)
    ends = np.maximum(horizon.lease_ends_at_s, now)[horizon.held_lease] + MARGIN
    return [(int(ends[entry]), held[entry]) for entry in np.flatnonzero(horizon.held_node == node)]


def rooms(world: Snapshot, horizon: Horizon, promises: list[Promise], gang: Gang, at: int) -> list[int]:
    """Return how many tasks fit on each node from this second on, by looking at every second of a change."""
    now, found = world.taken_at_s, []
    for node in range(len(world.node_names)):
        closed = windows(horizon, node)
        whole = np.array([world.node_cards[node], world.node_cpu_milli[node], world.node_memory_mib[node]])
        free = [world.node_free_cards[node], world.node_free_cpu_milli[node], world.node_free_memory_mib[node]]
        spans = [(begin, end, whole) for begin, end in closed if end > now]
        for promise in promises:
            of_node = zip(promise.nodes, promise.tasks, strict=True)
            spans += [
                (promise.start_s, promise.end_s, tasks * Gang.of(promise).need) for n, tasks in of_node if n == node
            ]
        opens = bool(world.node_open[node]) or any(begin <= now < end for begin, end in closed)
        fit = 10**9 if opens else 0
        for second in [at, *(span[0] for span in spans if at < span[0] < at + gang.seconds)]:
            left = np.array(free)
            for end, amount in releases(horizon, node, now):
                left = left + amount * (end <= second)
            for begin, end, amount in spans:
                left = left - amount * (begin <= second < end)
            fits = [max(int(each), 0) // int(need) for each, need in zip(left, gang.need, strict=True) if need > 0]
            fit = min([fit, *fits])
        found.append(fit)
    return found


def together(world: Snapshot, pool: int, room: list[int], level: int) -> int:
    """Return the most tasks that fit in the pool as close together as they must be."""
    mine = [node for node in range(len(room)) if world.node_pool[node] == pool]
    if level == WITHIN_NODE:
        return max(room[node] for node in mine)
    if level == WITHIN_POOL:
        return sum(room[node] for node in mine)
    domains = {int(world.node_domain[node]) for node in mine}
    return max(sum(room[node] for node in mine if world.node_domain[node] == domain) for domain in domains)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.sampled_from([WITHIN_POOL, WITHIN_DOMAIN, WITHIN_NODE]))
def test_the_earliest_start_is_the_first_second_at_which_it_fits(seed: int, level: int) -> None:
    world, horizon = ruled(seed)
    unlimited = np.full(len(world.hub_names), UNKNOWN)  # of power `test_power_ahead.py` tells
    world = replace(world, hub_power_cap_watts=unlimited, hub_pace_watts=unlimited)
    draw, now = np.random.default_rng((seed, 9)), world.taken_at_s
    profile, promised = Profile(world, horizon, MARGIN), list[Promise]()
    ends = (np.maximum(horizon.lease_ends_at_s, now) + MARGIN).tolist() + horizon.closed_until_s.tolist()
    for number in range(4):
        tasks, cards, cpu, seconds = (int(draw.integers(low, high)) for low, high in LIMITS)
        gang, pool = Gang(tasks, cards, cpu, 0, level, seconds), int(draw.integers(0, 2))

        found = profile.earliest(pool, gang, now + 1)

        changes = sorted({now + 1, *(end for end in ends if end > now), *(each.end_s for each in promised)})
        most = {at: together(world, pool, rooms(world, horizon, promised, gang, at), level) for at in changes}
        assert found == min((at for at in changes if most[at] >= gang.tasks), default=NEVER)
        if found == NEVER:
            assert profile.nodes_at(pool, gang, now + 1) == ((), ())
            continue
        nodes, on_each = profile.nodes_at(pool, gang, found)
        room = rooms(world, horizon, promised, gang, found)
        assert sum(on_each) == gang.tasks
        assert all(room[node] >= count for node, count in zip(nodes, on_each, strict=True))
        assert level != WITHIN_DOMAIN or len({int(world.node_domain[node]) for node in nodes}) == 1
        assert level != WITHIN_NODE or len(nodes) == 1
        promise = Promise(f"p{number}", found, found + seconds, pool, 0, nodes, on_each, 1, cards, cpu, 0, level)
        assert profile.fits_at(promise)
        profile.take(promise)
        if draw.random() < 0.3:
            profile.give_back(promise)
        else:
            promised.append(promise)


def test_work_that_starts_is_gone_until_it_ends() -> None:
    world = gangs((1, 8), nodes_per_pool=1)
    profile = Profile(world, Horizon(), MARGIN)
    whole = Gang(1, 8, 0, 0, WITHIN_POOL, 60)
    now = world.taken_at_s
    assert profile.earliest(0, whole) == now
    profile.start(np.array([0]), np.array([now + 500]), np.array([[1, 0, 0]]))
    assert profile.earliest(0, whole) == now + 500
    assert profile.earliest(0, whole, by_s=now + 499) == NEVER
    assert profile.earliest(0, whole, not_before_s=now + 700) == now + 700


def test_odd_times_are_safe() -> None:
    """A walltime of ages, a window over everything for ever, ends in the past: a late start or none, no crash."""
    world = gangs((1, 8), nodes_per_pool=2)
    now = world.taken_at_s
    held = {"held_lease": [0]} | HELD | {"held_cards": [0]}
    past = Horizon(lease_id=("old",), lease_ends_at_s=[0], **held)  # type: ignore[arg-type]
    assert Profile(world, past, MARGIN).earliest(0, Gang(2, 8, 0, 0, WITHIN_POOL, 2**40)) == now
    shut = Horizon(closed_node=[0, 1], closed_from_s=[0, 0], closed_until_s=[TIME_MAX] * 2)  # type: ignore[arg-type]
    assert Profile(world, shut, MARGIN).earliest(0, Gang(1, 8, 0, 0, WITHIN_POOL, 60)) == TIME_MAX
    gone = Horizon(closed_node=[0, 1], closed_from_s=[0, 0], closed_until_s=[now, now])  # type: ignore[arg-type]
    assert Profile(world, gone, MARGIN).earliest(0, Gang(1, 8, 0, 0, WITHIN_POOL, 60)) == now


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"closed_node": [0], "closed_from_s": [5], "closed_until_s": [5]}, "closed_until_s"),
        ({"closed_node": [9], "closed_from_s": [5], "closed_until_s": [6]}, "closed_node"),
        ({"lease_id": ("a", "a"), "lease_ends_at_s": [1, 1]}, "lease_id"),
        ({"lease_id": ("a",), "lease_ends_at_s": [-1]}, "lease_ends_at_s"),
        ({"lease_id": ("a",), "lease_ends_at_s": [1, 2]}, "lease_ends_at_s"),
        ({"held_lease": [0]} | HELD, "held_lease"),
        ({"promises": (Promise("a", 9, 8, 0, 0, (0,), (1,), 1, 1, 0, 0, 0),)}, "promises"),
        ({"promises": (Promise("a", 8, 9, 0, 0, (1, 0), (1, 1), 1, 1, 0, 0, 0),)}, "promises"),
        ({"promises": (Promise("a", 8, 9, 0, 0, (5,), (1,), 1, 1, 0, 0, 0),)}, "promises"),
        ({"promises": (Promise("a", 8, 9, 0, 0, (), (), 1, 1, 0, 0, 0),)}, "promises"),
    ],
)  # fmt: skip
def test_a_horizon_that_cannot_be_is_refused_by_name(change: dict[str, object], names: str) -> None:
    world = gangs((1, 8), nodes_per_pool=2)
    with pytest.raises(BadSnapshot, match=names):
        Profile(world, Horizon(**change), MARGIN)  # type: ignore[arg-type]
