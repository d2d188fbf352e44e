"""What a round knows beyond now: the rows of a world view as the scheduler's horizon, by the snapshot's positions.

Names become positions here and nowhere else. A promise some of whose nodes are gone keeps its tasks: those of the nodes
that are gone are put on one that is left, where they may or may not fit; the round finds out, and moves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broker.ids import LeaseId, RoundId, job_text, lease_text
from broker.job import Within
from broker.market.stoppable import of_leases
from broker.store.node_table import NodeTable
from broker.store.occupancy import Occupancy
from broker.store.promises import PromiseRow
from broker.store.snapshots import PoolRow, WaitingRow, WorldView
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.horizon import Horizon, Promise
from scheduler.snapshot import Snapshot

Ints = NDArray[np.int64]

LEVEL = {Within.POOL: WITHIN_POOL, Within.DOMAIN: WITHIN_DOMAIN, Within.NODE: WITHIN_NODE}
WITHIN = {level: within for within, level in LEVEL.items()}


@dataclass(frozen=True, eq=False)
class Places:
    """Where pools and nodes stand in a snapshot: `pools` and `nodes` are in its order.

    Made when they are asked for: names are only where something is promised, and a national world has 45,000 nodes.
    """

    pools: Sequence[PoolRow]
    nodes: NodeTable

    @cached_property
    def pool(self) -> Mapping[int, int]:
        """Positions by pool_id."""
        return {pool.pool_id: at for at, pool in enumerate(self.pools)}

    @cached_property
    def node(self) -> Mapping[int, int]:
        """Positions by node_id."""
        return {node_id: at for at, node_id in enumerate(self.nodes.node_id.tolist())}

    @cached_property
    def named(self) -> Mapping[tuple[int, str], int]:
        """Positions by pool_id and name."""
        return {name: at for at, name in enumerate(zip(self.nodes.pool_id.tolist(), self.nodes.node, strict=True))}


@dataclass(frozen=True, slots=True)
class Margin:
    """What the policy's margin is for: how long after its walltime, as a round has counted it, a lease may hold cards.

    A lease that was decided on with a margin must not be seen to end later than that: promises would move only because
    time passes between snapshot, commit and start.
    """

    seconds: int

    @property
    def planning(self) -> int:
        """From a round's snapshot to its commit."""
        return self.seconds // 4

    @property
    def begin(self) -> int:
        """From a round's snapshot to the start of what it leased."""
        return self.seconds // 2

    @property
    def end(self) -> int:
        """From the end of the walltime until the agent has told of the end, and a round has seen it; grace included."""
        return self.seconds - self.begin

    def excess(self, grace_seconds: int) -> int:
        """Return by how much a job's grace is longer than there is room for: its work may end so much later."""
        return max(0, grace_seconds - self.end)


def horizon_of(view: WorldView, world: Snapshot, nodes: NodeTable, margin_seconds: int) -> Horizon:
    """Return what a view tells of the time to come; `nodes` in the order of the snapshot that was made of it.

    `margin_seconds`: of the policy; how long after its end a lease is taken to hold its cards.
    """
    places = Places(view.pools, nodes)
    windows = sorted(nodes.window.items())
    promises = (promise_of(row, places) for row in view.promises if row.stands)
    return Horizon(
        **_leases(view.leases, world, places, Margin(margin_seconds)),
        closed_node=_ints([at for at, _ in windows]),
        closed_from_s=_ints([int(window[0].timestamp() // 1) for _, window in windows]),
        closed_until_s=_ints([-int(-window[1].timestamp() // 1) for _, window in windows]),
        promises=tuple(each for each in promises if each is not None),
        make_room_for=tuple(map(job_text, view.make_room_for)),
    )


def promise_row(
    promise: Promise,
    job: WaitingRow,
    pools: Sequence[PoolRow],
    nodes: NodeTable,
    made_at: datetime,
    by: RoundId,
) -> PromiseRow:
    """Return the row of a promise as it stands now; pools and nodes in the order of its snapshot.

    `made_at`, `by`: when, and by which round, it was promised first.
    """
    pool = pools[promise.pool]
    return PromiseRow(
        job=job.job,
        city=job.city,
        pool_id=pool.pool_id,
        pool=f"{pool.cluster}/{pool.pool}",
        nodes=tuple((nodes.node[at], tasks) for at, tasks in zip(promise.nodes, promise.tasks, strict=True)),
        build=promise.build,
        start_s=promise.start_s,
        end_s=promise.end_s,
        first_start_s=promise.promised_s,
        not_before_s=promise.not_before_s,
        worth_micro_yuan_per_hour=promise.worth_micro_yuan_per_hour,
        cards_per_task=promise.cards_per_task,
        cpu_milli_per_task=promise.cpu_milli_per_task,
        memory_mib_per_task=promise.memory_mib_per_task,
        within=WITHIN[promise.level],
        made_at=made_at,
        round=by,
    )


def promise_of(row: PromiseRow, places: Places) -> Promise | None:
    """Return the promise of a row; None when its pool has no node any more, so that it cannot be kept at any time."""
    tasks: dict[int, int] = {}
    homeless = 0
    for name, count in row.nodes:
        at = places.named.get((row.pool_id, name))
        if at is None:
            homeless += count
        else:
            tasks[at] = count
    if homeless:
        others = (at for (pool_id, _), at in places.named.items() if pool_id == row.pool_id)
        at = min(tasks or others, default=None)
        if at is None:
            return None
        tasks[at] = tasks.get(at, 0) + homeless
    return Promise(
        job_id=job_text(row.job),
        start_s=row.start_s,
        end_s=row.end_s,
        pool=places.pool[row.pool_id],
        build=row.build,
        nodes=tuple(sorted(tasks)),
        tasks=tuple(tasks[at] for at in sorted(tasks)),
        worth_micro_yuan_per_hour=row.worth_micro_yuan_per_hour,
        cards_per_task=row.cards_per_task,
        cpu_milli_per_task=row.cpu_milli_per_task,
        memory_mib_per_task=row.memory_mib_per_task,
        level=LEVEL[row.within],
        not_before_s=row.not_before_s,
        promised_s=row.first_start_s,
    )


def _leases(held: Occupancy, world: Snapshot, places: Places, margin: Margin) -> dict[str, Any]:
    """Return leases and what they hold. Whole cards count for their lease, a split card for the last that shares it."""
    lease = np.repeat(np.arange(len(held.lease)), np.diff(_ints(held.first)))
    node = _ints([places.node[node_id] for node_id in held.node_id])
    ends = _ends(held, world.taken_at_s, margin)
    cards = _ints(held.cards)
    if held.shared_lease:
        cards = _with_shared(held, cards, lease, node, ends, places)
    entries = {"cards": cards, "cpu_milli": _ints(held.cpu_milli), "memory_mib": _ints(held.memory_mib)}
    last_first = np.lexsort((-ends[lease], node))
    for name, amount in entries.items():
        in_use = getattr(world, f"node_{name}") - getattr(world, f"node_free_{name}")
        entries[name] = _within(amount, node, last_first, in_use)
    return {
        "lease_id": tuple(lease_text(LeaseId(each)) for each in held.lease),
        "lease_ends_at_s": ends,
        "held_lease": lease,
        "held_node": node,
        **{f"held_{name}": amount for name, amount in entries.items()},
        **of_leases(held, world, _ints([places.pool[pool_id] for pool_id in held.pool_id])),
    }


def _ends(held: Occupancy, now_s: int, margin: Margin) -> Ints:
    """Return when leases end but for the margin: at the walltime, as the round counted it that decided on them.

    One that was ordered to stop ends after its grace, counted from the world of the round that ordered it.

    One that its agent has not started yet is taken to start in time; when it is late already, now. What should have
    ended is for the profile to put off, not before its time has come.
    """
    offered, started = np.minimum(_ints(held.offered_s), now_s), np.minimum(_ints(held.started_s), now_s)
    waiting = np.maximum(offered - margin.planning, now_s - margin.begin)
    begin = np.where(started < 0, waiting, started - margin.begin)
    excess = np.maximum(_ints(held.grace_seconds) - margin.end, 0)
    ends = np.maximum(begin + _ints(held.walltime_seconds) + excess, 0)
    ordered = _ints(held.stop_ordered_s)
    stopped = np.minimum(ordered, now_s) + _ints(held.grace_seconds)
    return np.where(ordered < 0, ends, np.minimum(ends, stopped))


def _with_shared(held: Occupancy, cards: Ints, lease: Ints, node: Ints, ends: Ints, places: Places) -> Ints:
    """Return the cards of each entry with those that shares hold: each counts where the last of its shares ends."""
    position = {lease_id: at for at, lease_id in enumerate(held.lease)}
    entry = {(of, at): number for number, (of, at) in enumerate(zip(lease.tolist(), node.tolist(), strict=True))}
    last: dict[tuple[int, int], int] = {}
    counted = cards.copy()
    counted[np.isin(lease, [position[each] for each in set(held.shared_lease)])] = 0
    for lease_id, node_id, card in zip(held.shared_lease, held.shared_node_id, held.shared_card, strict=True):
        of, key = position[lease_id], (places.node[node_id], card)
        if key not in last or (ends[of], of) > (ends[last[key]], last[key]):
            last[key] = of
    for (at, _), of in last.items():
        counted[entry[of, at]] += 1
    return counted


def _within(amount: Ints, node: Ints, last_first: Ints, in_use: Ints) -> Ints:
    """Return the amounts, the last to end first, as far as they are in use together on their node.

    More is held than is there where a node has shrunk: what ends first frees nothing then.
    """
    ordered, at = amount[last_first], node[last_first]
    total = np.cumsum(ordered)
    first = np.searchsorted(at, at)
    before = total - ordered - (total - ordered)[first]
    found = np.empty_like(amount)
    found[last_first] = np.clip(in_use[at] - before, 0, ordered)
    return found


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
