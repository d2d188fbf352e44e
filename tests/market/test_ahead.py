"""Rows of a world view become the scheduler's horizon: leases, windows, promises, each where the snapshot has it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ids import JobId, RoundId
from broker.job import PriorityClass, Within
from broker.market.ahead import promise_row
from broker.market.snapshot import Prepared, prepare, zones
from broker.store.node_table import NodeRow
from broker.store.occupancy import Occupancy
from broker.store.promises import PromiseRow
from broker.store.rules import RulesView
from broker.store.snapshots import ModelRow, PoolRow, WaitingRow, WorldView
from scheduler.decide import decide
from scheduler.horizon import Cause, Fate
from scheduler.policy import Policy
from scheduler.verify_time import time_violations

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
S = int(NOW.timestamp())
HOUR = 3600
POLICY = Policy(effort=2, lease_end_margin_seconds=0)
REQUIREMENT: Any = {
    "tasks": 2,
    "cards_per_task": 8,
    "cpu_milli_per_task": 0,
    "memory_mib_per_task": 0,
    "round_trip_micros_max": 0,
    "allowed_hubs": [],
    "builds": [{"stack": "cann", "models": [], "speed_ppm": 1_000_000}],
}


def node(number: int, name: str, free: int = 8, pool: int = 5, **more: Any) -> NodeRow:
    """A node of eight cards; those that are free are its last ones."""
    cards = tuple(range(8 - free, 8))
    return replace(NodeRow(number, name, pool, "910b", True, 8, cards, 64, 64, 512, 512), **more)


def held(*entries: tuple[int, int, int, int], shared: tuple[tuple[int, int, int], ...] = ()) -> Occupancy:
    """Leases from 1 on; each entry is lease, node, cards, and seconds from now to the lease's end."""
    leases = sorted({lease for lease, _, _, _ in entries})
    ends = {lease: S + seconds for lease, _, _, seconds in entries}
    count = [sum(lease == each for each, _, _, _ in entries) for lease in leases]
    nothing = (0,) * len(entries)
    return Occupancy(
        lease=tuple(leases),
        ends_s=tuple(ends[lease] for lease in leases),
        offered_s=(S,) * len(leases),
        started_s=(S,) * len(leases),
        walltime_seconds=tuple(ends[lease] - S for lease in leases),
        first=tuple(accumulate(count, initial=0)),
        node_id=tuple(node_id for _, node_id, _, _ in entries),
        cards=tuple(cards for _, _, cards, _ in entries),
        milli=tuple(1000 * cards for _, _, cards, _ in entries),
        grace_seconds=(0,) * len(leases),
        pool_id=(5,) * len(leases),
        preemptible=(False,) * len(leases),
        checkpoint_interval_seconds=(0,) * len(leases),
        stop_ordered_s=(-1,) * len(leases),
        preempted=(False,) * len(leases),
        city=("ganzhou",) * len(leases),
        enterprise=("",) * len(leases),
        priority=("standard",) * len(leases),
        ceiling=(10**7,) * len(leases),
        cpu_milli=nothing,
        memory_mib=nothing,
        shared_lease=tuple(lease for lease, _, _ in shared),
        shared_node_id=tuple(node_id for _, node_id, _ in shared),
        shared_card=tuple(card for _, _, card in shared),
    )


def view(*nodes: NodeRow, **more: Any) -> WorldView:
    """One pool, and a gang that wants eight cards on two nodes for an hour."""
    gang = WaitingRow(JobId(7), NOW, "ganzhou", 1, PriorityClass.STANDARD, 10**7, HOUR, "")
    world = WorldView(
        models=(ModelRow("910b", "cann", "domestic", 320_000, 0, 0),),
        hubs=("qingyang",),
        cities=(("ganzhou", 1_000_000),),
        round_trips={},
        pools=(
            PoolRow(4, "east", "other", "qingyang", "910b", 0, "o"),
            PoolRow(5, "east", "p", "qingyang", "910b", 0, "o"),
        ),
        nodes=nodes,
        shapes={1: REQUIREMENT},
        waiting=(gang,),
        rules=RulesView(),
    )
    return replace(world, **more)


def promised(*nodes: tuple[str, int], **changes: Any) -> PromiseRow:
    """The gang, promised to start in two hours on these nodes."""
    row = PromiseRow(
        JobId(7), "ganzhou", 5, "east/p", nodes, 0, S + 2 * HOUR, S + 3 * HOUR, S + 2 * HOUR, 0, 10**9, 8, 0, 0,
        Within.POOL, NOW, RoundId(3),
    )  # fmt: skip
    return replace(row, **changes)


def made_of(world: WorldView) -> Prepared:
    return prepare(world, NOW, margin_seconds=0)


def test_leases_hold_their_cards_where_the_snapshot_has_their_nodes() -> None:
    """Nodes stand in the snapshot by name, leases in the order of their ids."""
    world = view(
        node(1, "n2", free=2), node(2, "n1", free=4), leases=held((1, 1, 6, 600), (2, 1, 0, 60), (2, 2, 4, 60))
    )

    horizon = made_of(world).horizon

    assert horizon.lease_id == ("lease-1", "lease-2")
    assert horizon.lease_ends_at_s.tolist() == [S + 600, S + 60]
    assert horizon.held_lease.tolist() == [0, 1, 1]
    assert horizon.held_node.tolist() == [1, 1, 0]
    assert horizon.held_cards.tolist() == [6, 0, 4]


def test_a_split_card_is_free_when_the_last_of_its_shares_has_ended() -> None:
    """Card 0 is shared by all three, card 1 by the first two: each counts for the one that ends last."""
    shared = ((1, 1, 0), (1, 1, 1), (2, 1, 0), (2, 1, 1), (3, 1, 0))
    leases = held((1, 1, 2, 60), (2, 1, 2, 600), (3, 1, 1, 900), shared=shared)

    horizon = made_of(view(node(1, "n1", free=6), leases=leases)).horizon

    assert horizon.held_cards.tolist() == [0, 1, 1]


def test_of_two_shares_that_end_together_one_holds_the_card() -> None:
    leases = held((1, 1, 1, 60), (2, 1, 1, 60), shared=((1, 1, 0), (2, 1, 0)))

    assert made_of(view(node(1, "n1", free=7), leases=leases)).horizon.held_cards.sum() == 1


@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(0, 9), st.integers(0, 900)), max_size=9),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
def test_no_more_becomes_free_than_is_in_use(leases: list[tuple[int, int, int]], free: tuple[int, int]) -> None:
    """A node may have shrunk below what its leases hold: the first ends free nothing then, the last ones do."""
    entries = [(lease + 1, at, cards, seconds) for lease, (at, cards, seconds) in enumerate(leases)]
    horizon = made_of(view(node(1, "n1", free[0]), node(2, "n2", free[1]), leases=held(*entries))).horizon

    for at in (0, 1):
        here = horizon.held_node == at
        in_use, asked = 8 - free[at], sum(cards for _, where, cards, _ in entries if where == at + 1)
        assert horizon.held_cards[here].sum() == min(in_use, asked)
        ends = horizon.lease_ends_at_s[horizon.held_lease[here]]
        for entry, (_, _, cards, seconds) in zip(
            here.nonzero()[0], [e for e in entries if e[1] == at + 1], strict=True
        ):
            later = horizon.held_cards[here][ends >= S + seconds].sum()
            assert horizon.held_cards[entry] == cards or later == in_use


def test_windows_are_closed_times_and_no_pool_has_an_end() -> None:
    """Begins are rounded down and ends up: nothing runs into a part of a second."""
    begin, end = NOW + timedelta(seconds=90.5), NOW + timedelta(seconds=200.5)
    made = made_of(view(node(1, "n1", window=(begin, end))))

    assert made.horizon.closed_node.tolist() == [0]
    assert (made.horizon.closed_from_s - S).tolist() == [90]
    assert (made.horizon.closed_until_s - S).tolist() == [201]
    assert made.snapshot.pool_until_s.tolist() == [-1, -1]
    assert prepare(made.view, NOW).snapshot.pool_until_s.tolist() == [-1, S + 90]


def test_a_promise_is_read_as_it_was_written() -> None:
    row = promised(("n1", 1), ("n3", 1), within=Within.DOMAIN, not_before_s=S + 60, first_start_s=S + HOUR)
    made = made_of(view(node(3, "n3"), node(2, "n2"), node(1, "n1"), promises=(row,)))
    (promise,) = made.horizon.promises

    assert (promise.pool, promise.nodes, promise.tasks) == (1, (0, 2), (1, 1))
    assert promise_row(promise, made.waiting["job-7"], made.pools, made.nodes, NOW, RoundId(3)) == row


NODES_LEFT = {
    "on those that are left, as long as they have room": (("n1", "n2"), Fate.KEPT, None),
    "later, where there is less": (("n1",), Fate.BROKEN, Cause.NODES_GONE),
}


@pytest.mark.parametrize(("names", "fate", "cause"), NODES_LEFT.values(), ids=NODES_LEFT)
def test_a_promise_whose_node_is_gone_is_kept_elsewhere_or_broken(
    names: tuple[str, ...], fate: Fate, cause: Cause | None
) -> None:
    nodes = [node(at, name, free=0) for at, name in enumerate(names, 1)]
    leases = held(*((at, at, 8, HOUR) for at in range(1, len(names) + 1)))
    made = made_of(view(*nodes, leases=leases, promises=(promised(("n1", 1), ("n9", 1)),)))

    done = decide(made.snapshot, made.horizon, POLICY)

    assert [(each.fate, each.cause) for each in done.news] == [(fate, cause)]
    assert time_violations(made.snapshot, made.horizon, 0, done.placements, done.promises, done.news) == []


def test_a_promise_in_a_pool_without_nodes_and_one_that_does_not_stand_are_left_out() -> None:
    assert made_of(view(promises=(promised(("n1", 2)),))).horizon.promises == ()
    assert made_of(view(node(1, "n1"), promises=(promised(("n1", 2), stands=False),))).horizon.promises == ()


def test_between_rounds_promised_nodes_are_open_to_what_ends_before() -> None:
    """Positions in the cut world are those of its own rows."""
    made = made_of(view(node(1, "n1"), node(2, "n2"), node(3, "n3"), promises=(promised(("n1", 1), ("n2", 1)),)))
    cut, zoned = zones(made, 60)

    until = {row.node: int(cut.snapshot.pool_until_s[cut.snapshot.node_pool[at]]) for at, row in enumerate(cut.nodes)}
    assert until == {"n1": S + 2 * HOUR - 60, "n2": S + 2 * HOUR - 60, "n3": -1}
    assert [pool.pool_id for pool in cut.pools] == [4, 5, 5]
    assert [made.nodes[at].node for at in zoned.node_of.tolist()] == [row.node for row in cut.nodes]


def test_without_promises_and_windows_the_world_stays_as_it_is() -> None:
    made = made_of(view(node(1, "n1")))

    assert zones(made, 60)[0] is made


@pytest.mark.parametrize("grace", [0, 7, 30, 31, 600])
@pytest.mark.parametrize(
    ("offered", "started", "now"),
    [(0, 0, 0), (15, None, 15), (15, None, 20), (15, None, 30), (15, 30, 30), (15, 30, 99)],
)
def test_what_was_decided_on_holds_its_cards_no_longer_as_a_lease(
    grace: int, offered: int, started: int | None, now: int
) -> None:
    """Of a margin of a minute a quarter is for the round, one for the start, and the rest for grace and report."""
    gang = view().waiting[0]._replace(grace_seconds=grace, finish_by=NOW + timedelta(hours=2))
    job = prepare(view(node(1, "n1"), waiting=(gang,)), NOW, margin_seconds=60).snapshot
    begin = now if started is None else started
    lease = replace(
        held((1, 1, 8, HOUR)),
        offered_s=(S + offered,),
        started_s=(-1 if started is None else S + started,),
        grace_seconds=(grace,),
    )
    then = prepare(view(node(1, "n1", free=0), leases=lease), NOW + timedelta(seconds=now), margin_seconds=60).horizon

    decided_until = S + int(job.job_walltime_seconds[0]) + 60
    held_until = int(then.lease_ends_at_s[0]) + 60

    assert held_until <= decided_until
    assert held_until >= S + begin + HOUR + grace
    assert job.job_finish_by_s[0] - job.job_walltime_seconds[0] == S + HOUR


def test_a_lease_that_its_agent_does_not_start_ends_later_and_later() -> None:
    late = replace(held((1, 1, 8, HOUR)), started_s=(-1,))
    horizon = prepare(view(node(1, "n1", free=0), leases=late), NOW + timedelta(seconds=100), margin_seconds=60).horizon

    assert horizon.lease_ends_at_s.tolist() == [S + 100 + HOUR - 30]


def test_a_lease_ends_when_it_should_until_that_time_has_passed() -> None:
    """Not a minute after now in its last minute: what is promised its end would move, and so at every round."""
    lease = held((1, 1, 8, 600))
    ends = [
        prepare(view(node(1, "n1", free=0), leases=lease), NOW + timedelta(seconds=now), margin_seconds=60)
        .horizon.lease_ends_at_s.tolist()
        for now in (0, 599, 700)
    ]  # fmt: skip

    assert ends == [[S + 570]] * 3


def test_nodes_stand_by_pool_domain_and_name() -> None:
    """Domains are numbered within their pool by name; nodes that name none are one domain, the first."""
    made = prepare(
        view(
            node(1, "n3", pool=5, domain="leaf-b"),
            node(2, "n1", pool=5, domain="leaf-b"),
            node(3, "n2", pool=5, domain="leaf-a"),
            node(4, "n9", pool=5),
            node(5, "m2", pool=4, domain="leaf-b"),
            node(6, "m1", pool=4, domain="leaf-b"),
        ),
        NOW,
    )

    assert made.snapshot.node_names == ("m1", "m2", "n9", "n2", "n1", "n3")
    assert made.snapshot.node_pool.tolist() == [0, 0, 1, 1, 1, 1]
    assert made.snapshot.node_domain.tolist() == [0, 0, 0, 1, 2, 2]
    assert [each.node_id for each in made.nodes] == [6, 5, 4, 3, 2, 1]
