"""Name the cards of a plan's placements, as far as they still fit: whole cards and shares, CPU and memory.

A plan names cards of shares by the snapshot: a card that was split then, or the first, second, ... free card of a node
that it splits. The same name means the same card in all placements of one commit, whatever became of its neighbours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from broker.market.snapshot import Prepared
from broker.store import rounds, rules, snapshots
from broker.store.database import Connection, planned_for
from broker.store.node_table import NodeRow, SplitCard
from broker.store.rounds import WHOLE_MILLI, LeaseDraft, WaitingJob
from scheduler.plan import Placement

CardName = tuple[int, int]
"""Node id, and the number by which a plan names a free card that it splits: -1, -2, ..."""


async def still_fitting(
    tx: Connection,
    prepared: Prepared,
    placements: Sequence[Placement],
    now: datetime,
    named: dict[CardName, int] | None = None,
) -> list[tuple[Placement, LeaseDraft]]:
    """Return the placements that still fit, each with its lease and cards; jobs and nodes are locked from now on.

    When operators have changed a limit since the snapshot, none does: the plan may exceed the new one. `named`: as in
    `Room`.
    """
    if not await rules.unchanged(tx, prepared.rules_version):
        return []
    node_ids = sorted({prepared.nodes[n].node_id for p in placements for n in p.nodes})
    async with planned_for(tx, max(len(placements), len(node_ids))):
        waiting = await rounds.lock_waiting(tx, sorted(prepared.job(p.job_id) for p in placements), now)
        await rounds.lock_nodes(tx, node_ids)
        nodes = await snapshots.read_nodes(tx, node_ids, now)
    room = Room(prepared, nodes, now, named)
    found = []
    for placement in placements:
        job = waiting.get(prepared.job(placement.job_id))
        draft = None if job is None else room.take(placement, job)
        if draft is not None:
            found.append((placement, draft))
    return found


class Need(NamedTuple):
    """What one task needs."""

    cards: int
    cpu_milli: int
    memory_mib: int
    share_milli: int  # the slice that is granted; 0: whole cards
    tasks_per_card_max: int  # of split cards


@dataclass(frozen=True, slots=True)
class _Part:
    """What a placement takes of one node: the node as it is left, the cards, task by task, and what they were named."""

    left: NodeRow
    cards: tuple[int, ...]
    named: dict[CardName, int]


class Room:
    """The nodes of a commit as they are now, and what the commit has taken of them so far."""

    def __init__(
        self,
        prepared: Prepared,
        nodes: dict[int, NodeRow],
        now: datetime,
        named: dict[CardName, int] | None = None,
    ) -> None:
        """`nodes` by id, read after they were locked; a node that is gone is missing. `now`: when leases begin.

        `named`: cards that commits before this one split of the same world, if their names stay the same; added to.
        """
        self._prepared = prepared
        self._nodes = dict(nodes)
        self._now = now
        self._named = {} if named is None else named
        self._needs: dict[tuple[int, int], Need] = {}

    def take(self, placement: Placement, job: WaitingJob) -> LeaseDraft | None:
        """Return the lease with its cards, taken out of the room; None, and nothing taken, if it does not fit whole."""
        pool = self._prepared.pools[placement.pool]
        need = self._need(placement)
        cards = iter(placement.cards)
        parts: list[_Part] = []
        for index, tasks in zip(placement.nodes, placement.tasks, strict=True):
            node = self._nodes.get(self._prepared.nodes[index].node_id)
            if node is None or not node.open or (node.pool_id, node.model) != (pool.pool_id, pool.model):
                return None
            if _runs_into_a_window(node, job, self._now):
                return None
            if node.free_cpu_milli < tasks * need.cpu_milli or node.free_memory_mib < tasks * need.memory_mib:
                return None
            part = self._share(node, need, tasks, cards) if need.share_milli else _whole(node, need, tasks)
            if part is None:
                return None
            parts.append(part)
        for part in parts:
            self._nodes[part.left.node_id] = part.left
            self._named |= part.named
        return LeaseDraft(
            job=job.job,
            city=job.city,
            cluster=pool.cluster,
            pool_id=pool.pool_id,
            build=placement.build,
            epoch=job.attempt + 1,
            if_lost=job.if_lost,
            nodes=tuple(
                (part.left.node_id, part.cards, tasks) for part, tasks in zip(parts, placement.tasks, strict=True)
            ),
            share_milli=need.share_milli,
            priority=job.priority,
            wanted_at=job.wanted_at,
        )

    def _need(self, placement: Placement) -> Need:
        """Return what a task of the placement needs there."""
        of = self._prepared.shape_of[placement.job_id], int(self._prepared.snapshot.pool_model[placement.pool])
        found = self._needs.get(of)
        if found is None:
            found = self._needs[of] = _need(self._prepared, *of)
        return found

    def _share(self, node: NodeRow, need: Need, tasks: int, names: Iterator[int]) -> _Part | None:
        """Give each task its share of the card that the plan names."""
        free, split = list(node.free_cards), dict(node.split)
        named: dict[CardName, int] = {}
        cards: list[int] = []
        for _ in range(tasks):
            card = self._card(node.node_id, next(names), free, named)
            if card in free:
                free.remove(card)
                split[card] = SplitCard(WHOLE_MILLI, 0)
            there = split.get(card)
            if there is None or there.free_milli < need.share_milli or there.tasks >= need.tasks_per_card_max:
                return None
            split[card] = SplitCard(there.free_milli - need.share_milli, there.tasks + 1)
            cards.append(card)
        return _Part(_left(node, need, tasks, tuple(free), split), tuple(sorted(cards)), named)

    def _card(self, node_id: int, name: int, free: list[int], named: dict[CardName, int]) -> int:
        """Return the card that a plan means by its name; -1 when it is new and no card is free."""
        if name >= 0:
            return self._prepared.splits[name][1]
        known = self._named.get((node_id, name), named.get((node_id, name)))
        if known is None:
            known = named[node_id, name] = free[0] if free else -1
        return known


def _runs_into_a_window(node: NodeRow, job: WaitingJob, now: datetime) -> bool:
    """Tell whether a job that may not be stopped would still run when the node is closed for maintenance."""
    if node.window is None or job.preemptible:
        return False
    return now + timedelta(seconds=job.walltime_seconds) > node.window[0]


def _whole(node: NodeRow, need: Need, tasks: int) -> _Part | None:
    count = tasks * need.cards
    if len(node.free_cards) < count:
        return None
    left = _left(node, need, tasks, node.free_cards[count:], node.split)
    return _Part(left, node.free_cards[:count], {})


def _left(node: NodeRow, need: Need, tasks: int, free: tuple[int, ...], split: Mapping[int, SplitCard]) -> NodeRow:
    return replace(
        node,
        free_cards=free,
        split=split,
        free_cpu_milli=node.free_cpu_milli - tasks * need.cpu_milli,
        free_memory_mib=node.free_memory_mib - tasks * need.memory_mib,
    )


def _need(prepared: Prepared, shape: int, model: int) -> Need:
    snapshot = prepared.snapshot
    most = int(snapshot.model_shares_per_card_max[model])
    return Need(
        cards=int(snapshot.shape_cards_per_task[shape]),
        cpu_milli=int(snapshot.shape_cpu_milli_per_task[shape]),
        memory_mib=int(snapshot.shape_memory_mib_per_task[shape]),
        share_milli=_granted(prepared, shape, model),
        tasks_per_card_max=WHOLE_MILLI if most < 0 else most,
    )


def _granted(prepared: Prepared, shape: int, model: int) -> int:
    """Return the model's smallest slice that is as large as the share asked for; 0 for whole cards."""
    snapshot = prepared.snapshot
    asked = int(snapshot.shape_share_milli[shape])
    if asked == 0:
        return 0
    slices = snapshot.slice_milli[int(snapshot.slice_start[model]) : int(snapshot.slice_start[model + 1])]
    return int(slices[slices >= asked][0])
