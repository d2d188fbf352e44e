"""Which leases to stop so that a gang has room: those whose end costs least.

A lease is stopped whole or not at all, and frees all its nodes. The cost of a set is the work that it loses, and then
the cards that it stops.

    one node       the cheapest set on any node, exactly
    several nodes  step by step what loses least for each task that it makes room for; then whoever is not needed is
                   let go, the dearest first
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from scheduler.clearing import NOTHING, Clearing, Rooms, filled
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE
from scheduler.profile import Gang

EXACT_MAX: Final = 14
"""Leases of one node of which all sets are looked at; of more, only so many that lose least for their cards."""


NODES_MIN: Final = 256
NODES_BY_TASK: Final = 4
"""Of a gang on several nodes, so many nodes are looked at, and so many more for each task; all if those do not do."""


class Cost(NamedTuple):
    """What stopping a set of leases costs; sets are compared by what is lost first."""

    lost: int
    cards: int


@dataclass(frozen=True)
class Choice:
    """Leases to stop, and where the gang goes then."""

    victims: frozenset[int]
    cost: Cost
    places: dict[int, int]  # node -> tasks


Allowed = Callable[[frozenset[int]], bool]
"""Whether so many may be stopped together; what is not allowed for some is not allowed for more."""


class Chooser:
    """Chooses among these leases.

    `lost` [R]: what is lost by stopping each lease, in any unit. `accepts`: asked of a choice before it counts.
    """

    def __init__(
        self,
        clearing: Clearing,
        candidates: Iterable[int],
        lost: Sequence[int],
        allowed: Allowed,
        accepts: Callable[[Choice], bool] = lambda _: True,
    ) -> None:
        self._clearing, self._allowed, self._accepts = clearing, allowed, accepts
        self._lost, self._cards = lost, clearing.cards.tolist()
        self._on_node: dict[int, list[int]] = {}
        for lease in sorted(set(candidates)):
            for node in sorted(set(clearing.nodes(lease))):
                self._on_node.setdefault(node, []).append(lease)

    def cost(self, victims: Iterable[int]) -> Cost:
        """Return what it costs to stop these."""
        chosen = list(victims)
        return Cost(sum(self._lost[lease] for lease in chosen), sum(self._cards[lease] for lease in chosen))

    def choose(self, rooms: Rooms, gang: Gang) -> Choice | None:
        """Return the cheapest choice found for a gang in the pool of these rooms; None if nothing makes room."""
        standing = self._as_things_stand(rooms, gang)
        if standing:
            return Choice(NOTHING, Cost(0, 0), standing)
        nodes = [node for node in self._on_node if rooms.low <= node < rooms.low + rooms.base.size]
        if gang.level == WITHIN_NODE or gang.tasks == 1:
            return self._one_node(rooms, gang, sorted(nodes))
        if gang.level != WITHIN_DOMAIN:
            return self._several(rooms, gang, range(rooms.low, rooms.low + rooms.base.size), sorted(nodes))
        domain = self._clearing.world.node_domain
        best: Choice | None = None
        members: dict[int, list[int]] = {}
        for node in range(rooms.low, rooms.low + rooms.base.size):
            members.setdefault(int(domain[node]), []).append(node)
        for number in sorted({int(domain[node]) for node in nodes}):
            inside = members[number]
            found = self._several(rooms, gang, inside, [node for node in inside if node in self._on_node])
            if found is not None and (best is None or found.cost < best.cost):
                best = found
        return best

    def _as_things_stand(self, rooms: Rooms, gang: Gang) -> dict[int, int]:
        """Return places for the gang if nobody is stopped; empty if there are none."""
        base = rooms.base
        if gang.level == WITHIN_NODE:
            inside = np.flatnonzero(base >= gang.tasks)[:1]
        elif gang.level == WITHIN_DOMAIN:
            domain = self._clearing.world.node_domain[rooms.low : rooms.low + base.size]
            names, of = np.unique(domain, return_inverse=True)
            total = np.bincount(of.reshape(-1), weights=np.minimum(base, gang.tasks), minlength=names.size)
            inside = np.flatnonzero(of.reshape(-1) == np.argmax(total))
        else:
            inside = np.arange(base.size)
        return filled({rooms.low + at: int(base[at]) for at in inside.tolist()}, gang.tasks)

    def _one_node(self, rooms: Rooms, gang: Gang, nodes: Sequence[int]) -> Choice | None:
        best: Choice | None = None
        order = sorted((min(self._lost[lease] for lease in self._on_node[node]), node) for node in nodes)
        for least, node in order:
            if best is not None and least > best.cost.lost:
                break
            below = None if best is None else best.cost
            best = self._cheapest(rooms, node, gang.tasks, NOTHING, below, self._accepts) or best
        return best

    def _cheapest(
        self,
        rooms: Rooms,
        node: int,
        tasks: int,
        beside: frozenset[int],
        below: Cost | None,
        accepts: Callable[[Choice], bool] = lambda _: True,
    ) -> Choice | None:
        """Return the cheapest set of leases of the node that, beside others, makes room for the tasks; by all sets.

        `below`: only a set that costs less.
        """
        free = [lease for lease in self._on_node.get(node, ()) if lease not in beside]
        if rooms.of(node, beside.union(free)) < tasks:
            return None
        free.sort(key=lambda lease: (self._lost[lease] / max(self._cards[lease], 1), lease))
        free = sorted(free[:EXACT_MAX], key=lambda lease: (self._lost[lease], self._cards[lease], lease))
        found: Choice | None = None

        def look(at: int, chosen: frozenset[int], cost: Cost) -> None:
            nonlocal found, below
            if below is not None and cost >= below:
                return
            together = beside | chosen
            if rooms.of(node, together) >= tasks:
                choice = Choice(chosen, cost, {node: tasks})
                if self._allowed(together) and accepts(choice):
                    found, below = choice, cost
                    return
            if at == len(free) or (chosen and not self._allowed(together)):
                return
            lease = free[at]
            dearer = Cost(cost.lost + self._lost[lease], cost.cards + self._cards[lease])
            look(at + 1, chosen | {lease}, dearer)
            if rooms.of(node, together.union(free[at + 1 :])) >= tasks:
                look(at + 1, chosen, cost)

        look(0, NOTHING, Cost(0, 0))
        return found

    def _several(self, rooms: Rooms, gang: Gang, inside: Iterable[int], nodes: Sequence[int]) -> Choice | None:
        """Return a choice for a gang on several nodes, `inside` which it must be; `nodes`: those with candidates."""
        room = {node: int(rooms.base[node - rooms.low]) for node in inside}
        most = {node: rooms.of(node, frozenset(self._on_node[node])) for node in nodes}
        if sum((room | most).values()) < gang.tasks:
            return None
        gain = {node: most[node] - room[node] for node in nodes if most[node] > room[node]}
        first = self._least_first(gain)
        few = NODES_MIN + NODES_BY_TASK * gang.tasks
        victims = self._grown(rooms, gang.tasks, room, first[:few])
        if victims is None and len(first) > few:
            victims = self._grown(rooms, gang.tasks, room, first)
        if victims is None:
            return None

        touched = {node for lease in victims for node in self._clearing.nodes(lease) if node in room}
        elsewhere = sum(tasks for node, tasks in room.items() if node not in touched)

        def holds(chosen: frozenset[int]) -> bool:
            return elsewhere + sum(rooms.of(node, chosen) for node in touched) >= gang.tasks

        victims = self.pruned(victims, holds)
        room |= {node: rooms.of(node, victims) for node in touched}
        choice = Choice(victims, self.cost(victims), filled(room, gang.tasks))
        return choice if self._accepts(choice) else None

    def _least_first(self, gain: dict[int, int]) -> list[int]:
        """Return the nodes, those first that lose least for their room: all their candidates, or the cheapest one."""
        dear = {}
        for node, tasks in gain.items():
            leases = self._on_node[node]
            all_of_them = sum(self._lost[lease] / len(self._clearing.nodes(lease)) for lease in leases) / tasks
            dear[node] = min(all_of_them, min(self._lost[lease] for lease in leases))
        return sorted(gain, key=lambda node: (dear[node], node))

    def pruned(self, victims: frozenset[int], holds: Callable[[frozenset[int]], bool]) -> frozenset[int]:
        """Return the victims without those that are not needed, the dearest let go first."""
        kept = victims
        for lease in sorted(victims, key=lambda lease: (-self._lost[lease], -self._cards[lease], lease)):
            if holds(kept - {lease}):
                kept -= {lease}
        return kept

    def _grown(self, rooms: Rooms, tasks: int, room: dict[int, int], nodes: Sequence[int]) -> frozenset[int] | None:
        """Return victims that make room for the tasks: always next what loses least for each task; None if none do."""
        room = dict(room)
        victims, total = NOTHING, sum(room.values())
        queue: list[tuple[tuple[float, float], int, frozenset[int]]] = []

        def offer(node: int) -> None:
            """Put the steps that the node offers in the queue: room for one task more, or all its candidates."""
            next_task = self._cheapest(rooms, node, room[node] + 1, victims, None)
            steps = {frozenset(self._on_node[node]) - victims} | ({next_task.victims} if next_task else set())
            for step in sorted(steps - {NOTHING}, key=sorted):
                heapq.heappush(queue, (score(step), node, step))

        def gains(step: frozenset[int]) -> dict[int, int]:
            touched = {node for lease in step for node in self._clearing.nodes(lease) if node in room}
            return {node: rooms.of(node, victims | step) for node in touched}

        def score(step: frozenset[int]) -> tuple[float, float]:
            more = min(sum(now - room[node] for node, now in gains(step).items()), tasks - total)
            cost = self.cost(step)
            return (cost.lost / more, cost.cards / more) if more > 0 else (float("inf"), float("inf"))

        for node in nodes:
            offer(node)
        while total < tasks and queue:
            before, node, step = heapq.heappop(queue)
            now = score(step - victims)
            if step & victims or now == (float("inf"), float("inf")):
                continue  # the nodes that it touches have been offered anew
            if now > before:
                heapq.heappush(queue, (now, node, step))
                continue
            if not self._allowed(victims | step):
                continue
            after = gains(step)
            victims |= step
            room |= after
            total = sum(room.values())
            for touched in sorted(after.keys() & self._on_node.keys()):
                offer(touched)
        return victims if total >= tasks else None
