"""What is free after a round, while single gangs are put on it and taken off again.

It lives longer than any instance: the jobs of today's gangs are not known when it is made. So what they take is told
each time, by the tables of `terrain.Land`, and nodes, split cards, power and quotas are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from scheduler.choices import choose
from scheduler.compiled import compiled
from scheduler.fields import MILLI_PER_CARD
from scheduler.forms import Kinds, granted_slices
from scheduler.ground import DoesNotFit, Ground
from scheduler.judging import Verdict
from scheduler.limits import NO_LIMIT, Limits, quota_room, quota_take
from scheduler.mix import BadMix, Mix
from scheduler.packing import open_card, take_share
from scheduler.picking import has_room, holds, put_each, put_first, put_without_cards
from scheduler.plan import Placement
from scheduler.policy import Policy
from scheduler.snapshot import Bools, Ints, Snapshot
from scheduler.steering import Known, Steering
from scheduler.terrain import (
    FIRST_SLOT,
    FIRST_SPLIT,
    HUB,
    MILLI_LEFT,
    NEW_SLOT,
    TASKS_LEFT,
    UNKNOWN_FIT,
    UNSPLIT,
    Free,
    Land,
    Terrain,
    kind_tables,
)

POOL, CARDS, CPU, MEMORY, SHARE_OF_CARD, LEAF, WATTS, USE, FIRST = range(9)
"""Columns of `Gangs.table`."""
_PPM: Final = 10**6


@dataclass(frozen=True, eq=False)
class Gangs:
    """Gangs that are placed: what they take where."""

    table: Ints  # [N, 9] pool; cards, CPU, memory and share of a task; quota or -1; watts; milli-TFLOPS; first entry
    entries: Ints  # [E, 3] node, tasks, card: -1 for whole cards; shares have one for each task, see `plan.Placement`

    @property
    def cards(self) -> Ints:
        """Whole cards that each entry takes, [E]; 0 for shares."""
        gang = np.searchsorted(self.table[:, FIRST], np.arange(len(self.entries)), side="right") - 1
        cards: Ints = self.entries[:, 1] * self.table[gang, CARDS]
        return cards


class Spare:
    """Free nodes, split cards, power and quotas of a world."""

    def __init__(self, world: Snapshot, limits: Limits, mix: Mix | None = None, tie_order: Ints | None = None) -> None:
        """With a `mix` there is the rule of `steering`; `tie_order` [N]: of nodes it finds equal the first is taken."""
        empty = choose(world.with_jobs(world.taken_at_s), Policy())
        terrain = Terrain(empty, shared=np.diff(world.slice_start)[world.pool_model] > 0)
        whole = np.stack([world.node_cards, world.node_cpu_milli, world.node_memory_mib], axis=1)
        self._world, self._limits = world, limits
        self._land = terrain.land
        self._free = Ground(terrain).free
        self._nothing_runs = self._free._replace(nodes=whole, widest=np.zeros_like(self._free.widest))
        order = np.arange(len(world.node_names)) if tie_order is None else tie_order
        self._steering = None if mix is None else Steering(mix, world, self._land, order)

    def land(self, jobs: Snapshot, kinds: Kinds, verdict: Verdict, meter: Ints, quota_use: Ints) -> Land:
        """Return the tables for these jobs: job j is group j."""
        of_kinds, needs = kind_tables(kinds)
        return self._land._replace(
            start=verdict.start,
            pool=verdict.pool,
            kind=verdict.kind,
            worth=verdict.worth,
            tenant=jobs.job_tenant.copy(),
            kinds=of_kinds,
            needs=needs,
            meter=meter,
            quota_use=quota_use,
        )

    def known(self, land: Land) -> Known | None:
        """Return the tables in which `put_each` keeps scores for the needs of these tables; None without a mix."""
        return None if self._steering is None else self._steering.known(land.needs)

    def put(self, land: Land, group: int, order: Ints, gain: Ints) -> tuple[int, Ints]:
        """Put the group's gang by the first of its pairs, in this order, that pays and has room.

        A pair pays when its gain is above 0, or when the tenant's own quota has guaranteed so much that is not in use.
        Return the pair and its entries [*, 3]; or TOO_DEAR or NO_ROOM, and no entries.
        """
        lines, entries, end = _book()
        pair, entries = put_first(land, self._of(land, self._free), group, order, gain, lines, entries, end)
        if self._steering is not None:
            self._steering.changed(entries[: end[1], 0])
        return int(pair), entries[: end[1]]

    def put_each(
        self, land: Land, first: int, milli: Ints, order: Ints, gain: Ints, known: Known | None
    ) -> list[tuple[int, Ints]]:
        """Put gangs as `put` does, from the first group on and one after the other; of one at least say what it said.

        It ends after one that is put nowhere, or earlier. Of pairs that gain the same and stay on one node, the rule
        chooses.

        Args:
            milli: [*] of cards that this group and those after it ask for; no more groups than these are put.
            order: [A] of each group its pairs in their order.
            known: for these tables; None without a mix, and so without a rule.
        """
        steering = self._steering
        if steering is None or known is None:
            return [self.put(land, first, order[land.start[first] : land.start[first + 1]], gain)]
        last = first + min(milli.size, steering.look(self._free))
        free, rule = self._of(land, self._free), steering.rule
        found, ends, entries = put_each(land, free, rule, known, steering.points, first, last, order, gain)
        steering.arrived(milli[: found.size])
        ending = ends.tolist()
        return [
            (pair, entries[start:end]) for pair, start, end in zip(found.tolist(), [0, *ending], ending, strict=False)
        ]

    def put_without_cards(self, cpu_milli: int, memory_mib: int, pools: Bools) -> int:
        """Take CPU and memory, and no card, of the node in these pools [P] where the rule says; return it, or -1.

        Raises: BadMix: it was made without a mix.
        """
        steering = self._steering
        if steering is None:
            raise BadMix("mix", "tasks without cards go where the rule says: give one when the placer is made")
        steering.look(self._free)
        steering.arrived(np.zeros(1, dtype=np.int64))
        need = np.array([0, cpu_milli, memory_mib, 0], dtype=np.int64)
        known = steering.known(need[None, :])
        return int(put_without_cards(self._land, self._free, steering.rule, known, steering.points, need, pools))

    def has_room(self, land: Land, group: int, order: Ints, gain: Ints) -> bool:
        """Return whether any of the group's pairs pays and has room now."""
        return bool(has_room(land, self._of(land, self._free), group, order, gain))

    def could_ever(self, land: Land, pairs: range) -> bool:
        """Return whether any of the pairs would have room if nothing ran and every node were open."""
        return bool(holds(land, self._of(land, self._nothing_runs), pairs.start, pairs.stop))

    def take(self, gangs: Gangs, *, apart: bool = False) -> None:
        """Count gangs as placed, on the nodes that they name.

        `apart`: by somebody else on the same nodes. Who named their new split cards does not know ours, so each is
        taken whole and shared with nobody; and they may have what had become free there, of which this ground does not
        know, so a node of which more is taken than is free has nothing left.
        Raises: DoesNotFit: something is taken that is not free; this ground must not be used any more.
        """
        short = int(_move(self._land, self._free, gangs.table, gangs.entries, 1, apart))
        self._changed(gangs)
        if short >= 0:
            raise DoesNotFit("placements", f"the one at {short} takes what is not free; make a new view of the world")

    def give_back(self, gangs: Gangs) -> None:
        """Undo `take` or `put`."""
        _move(self._land, self._free, gangs.table, gangs.entries, -1, False)
        self._changed(gangs)

    def within_limits(self, gangs: Gangs) -> Bools:
        """Return [N]: which of the gangs, one after the other, keep within power and quotas beside all that is taken.

        Nothing is taken, and nodes are not looked at.
        """
        return _within_limits(self._land, self._free.watts.copy(), self._free.account.copy(), gangs.table)

    def gangs(self, jobs: Snapshot, placements: Sequence[Placement]) -> Gangs:
        """Return what placements of these jobs take."""
        return taken(self._limits, jobs, placements)

    def _changed(self, gangs: Gangs) -> None:
        if self._steering is not None:
            self._steering.changed(gangs.entries[:, 0])

    def _of(self, land: Land, free: Free) -> Free:
        """Return what is free for one gang of each job of these tables."""
        fits = np.full((land.needs.shape[0], land.pools.shape[0] - 1), UNKNOWN_FIT)
        return free._replace(fits=fits, left=np.ones(land.tenant.size, dtype=np.int64))


def taken(limits: Limits, jobs: Snapshot, placements: Sequence[Placement]) -> Gangs:
    """Return what placements of these jobs take."""
    job = np.array([jobs.job_index[each.job_id] for each in placements], dtype=np.int64)
    pool = np.array([each.pool for each in placements], dtype=np.int64)
    of, node, tasks, card = _entries(placements)
    size = np.zeros(job.size, dtype=np.int64)
    np.add.at(size, of, tasks)
    shape, hub = jobs.job_shape[job], jobs.pool_hub[pool]
    share = granted_slices(jobs)[shape, jobs.pool_model[pool]]
    cards = np.where(share > 0, 0, jobs.shape_cards_per_task[shape])
    milli = size * np.where(share > 0, share, cards * MILLI_PER_CARD)
    of_cards = -(-milli * limits.pool_watts[pool] // 1000)
    watts = -(-of_cards * limits.pool_pue_ppm[pool] // _PPM)
    use = -(-milli * limits.pool_milli_tflops[pool] // 1000)
    columns = [
        pool,
        cards,
        jobs.shape_cpu_milli_per_task[shape],
        jobs.shape_memory_mib_per_task[shape],
        share,
        _leaves(jobs, job, hub),
        watts,
        use,
        np.searchsorted(of, np.arange(job.size)),
    ]
    return Gangs(np.stack(columns, axis=1), np.stack([node, tasks, card], axis=1))


def named(entries: Ints) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return nodes, tasks and cards of a gang that `Spare.put` put, as in `plan.Placement`."""
    if len(entries) == 1:
        [(node, of_node, card)] = entries.tolist()
        return (node,), (of_node,), () if card == -1 else (card + 1 if card < 0 else card,)
    rows = entries[np.lexsort((-entries[:, 2], entries[:, 0]))]
    nodes, at = np.unique(rows[:, 0], return_inverse=True)
    tasks = np.bincount(at.reshape(-1), weights=rows[:, 1]).astype(np.int64)
    cards = rows[:, 2]
    if cards[0] == -1:
        return tuple(nodes.tolist()), tuple(tasks.tolist()), ()
    # entries name the first new card of a node -2, placements -1
    return tuple(nodes.tolist()), tuple(tasks.tolist()), tuple(np.where(cards < 0, cards + 1, cards).tolist())


def _book() -> tuple[Ints, Ints, Ints]:
    return np.empty((1, 4), dtype=np.int64), np.empty((16, 3), dtype=np.int64), np.zeros(2, dtype=np.int64)


def _entries(placements: Sequence[Placement]) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the gang, node, tasks and card of each entry."""
    count = [len(each.nodes) for each in placements]
    of = np.repeat(np.arange(len(placements)), np.array(count, dtype=np.int64))
    node = np.array(list(chain.from_iterable(each.nodes for each in placements)), dtype=np.int64)
    tasks = np.array(list(chain.from_iterable(each.tasks for each in placements)), dtype=np.int64)
    by_task = np.array([bool(each.cards) for each in placements], dtype=np.bool_)[of]
    times = np.where(by_task, tasks, 1)
    of, node, by_task = np.repeat(of, times), np.repeat(node, times), np.repeat(by_task, times)
    tasks = np.where(by_task, 1, np.repeat(tasks, times))
    card = np.full(node.size, -1, dtype=np.int64)
    card[by_task] = np.array(list(chain.from_iterable(each.cards for each in placements)), dtype=np.int64)
    return of, node, tasks, card


def _leaves(jobs: Snapshot, job: Ints, hub: Ints) -> Ints:
    """Return the quota that each job counts to in the hub; -1: none."""
    tenant = jobs.job_tenant[job]
    if not jobs.tenant_names:
        return np.full(job.size, -1)
    return np.where(tenant >= 0, jobs.tenant_quota[tenant, hub], -1)


@compiled
def _within_limits(land: Land, watts: Ints, account: Ints, table: Ints) -> Bools:
    kept = np.zeros(table.shape[0], dtype=np.bool_)
    for gang in range(table.shape[0]):
        hub, leaf = land.pools[table[gang, POOL], HUB], table[gang, LEAF]
        if watts[hub] < NO_LIMIT and table[gang, WATTS] > watts[hub]:
            continue
        if leaf >= 0 and table[gang, USE] > quota_room(leaf, land.parent, account):
            continue
        kept[gang] = True
        if watts[hub] < NO_LIMIT:
            watts[hub] -= table[gang, WATTS]
        if leaf >= 0:
            quota_take(leaf, table[gang, USE], land.parent, account)
    return kept


@compiled
def _move(land: Land, free: Free, table: Ints, entries: Ints, sign: int, apart: bool) -> int:
    """Take gangs (sign 1) or give them back (-1). Return the first that takes what is not free; -1: there is none."""
    opened = np.zeros(free.slots.shape[0] if apart else 0, dtype=np.bool_)  # new cards taken whole already
    for gang in range(table.shape[0]):
        pool, share = table[gang, POOL], table[gang, SHARE_OF_CARD]
        last = table[gang + 1, FIRST] if gang + 1 < table.shape[0] else entries.shape[0]
        for at in range(table[gang, FIRST], last):
            node, tasks = entries[at, 0], sign * entries[at, 1]
            for resource in range(3):
                free.nodes[node, resource] -= tasks * table[gang, CARDS + resource]
            free.total[pool] -= tasks * table[gang, CARDS]
            if share > 0 and not _move_share(land, free, pool, node, entries[at, 2], share, tasks, opened):
                return gang
            if min(free.nodes[node, 0], free.nodes[node, 1], free.nodes[node, 2]) < 0:
                if not apart:
                    return gang
                _leave_nothing(free, pool, node)
        hub, leaf = land.pools[pool, HUB], table[gang, LEAF]
        if free.watts[hub] < NO_LIMIT:
            free.watts[hub] -= sign * table[gang, WATTS]
        if leaf >= 0:
            quota_take(leaf, sign * table[gang, USE], land.parent, free.account)
    return -1


@compiled
def _leave_nothing(free: Free, pool: int, node: int) -> None:
    """Let a node have nothing free of which it has less than nothing."""
    free.total[pool] -= min(free.nodes[node, 0], 0)
    for resource in range(3):
        free.nodes[node, resource] = max(free.nodes[node, resource], 0)


@compiled
def _move_share(land: Land, free: Free, pool: int, node: int, card: int, share: int, tasks: int, opened: Bools) -> bool:
    """Take so many shares of a card, or give them back. Return False if there is no such card or not so much left."""
    slot = land.slots[node, FIRST_SLOT] + card - land.slots[node, FIRST_SPLIT]
    if card < 0:
        slot = land.slots[node, NEW_SLOT] - 1 - card
        if slot >= land.slots[node + 1, FIRST_SLOT]:
            return False
        if opened.size > 0:
            if not opened[slot]:
                opened[slot] = True
                free.nodes[node, 0] -= 1
                free.total[pool] -= 1
            return True
        if free.slots[slot, MILLI_LEFT] == UNSPLIT:
            open_card(land, free, pool, node, slot)
    take_share(land, free, pool, node, slot, share, tasks)
    return tasks < 0 or min(free.slots[slot, MILLI_LEFT], free.slots[slot, TASKS_LEFT]) >= 0
