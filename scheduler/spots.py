"""Where gangs run: spots on named nodes as part of the solver's model. Numbers (6) to (9) are those of `refill.py`.

A spot holds units of a kind: a node holds tasks with whole cards, or whole gangs that must stay on one node; a split
card, or a free card that may be split, holds tasks with shares. Free cards of a node are alike, so they are numbered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from ortools.sat.python import cp_model

from scheduler.choices import Choices
from scheduler.fields import GANG_CARDS_MAX, MILLI_PER_CARD, UNKNOWN, WITHIN_DOMAIN, WITHIN_NODE
from scheduler.snapshot import Ints

NO_CARD: Final = -1
"""As card of an entry: whole cards."""
FIRST_FREE: Final = -2
"""As card of an entry: the first free card of the node that is split; the second is one less, and so on."""


Term = tuple[cp_model.IntVar, int]


class Spot(NamedTuple):
    """A node, or one card of it."""

    node: int
    card: int  # NO_CARD, a split card of the snapshot from 0 on, or FIRST_FREE and below


class _Held(NamedTuple):
    """Units of a kind on a spot, and how many it could hold if nothing else were there."""

    kind: int
    spot: Spot
    units: cp_model.IntVar
    room: int


class Lines(NamedTuple):
    """Gangs and where they are, as `Ground` has them."""

    lines: Ints  # [L, 4] group, pair, gangs, first entry
    entries: Ints  # [E, 3] node, tasks, card


@dataclass
class Gangs:
    """Gangs of one kind in one pool: a number that is certain, and variables."""

    certain: int = 0
    open: list[cp_model.IntVar] = field(default_factory=list)


class Spots:
    """The variables and rows of spots in some pools."""

    def __init__(self, choices: Choices, model: cp_model.CpModel) -> None:
        self._choices = choices
        self._snapshot = choices.snapshot
        self._model = model
        self._on: dict[tuple[int, Spot], cp_model.IntVar] = {}
        self._close: dict[tuple[int, int, int], cp_model.IntVar] = {}  # kind, pool, domain
        self._split: dict[Spot, cp_model.IntVar] = {}
        kinds = choices.kinds
        self._unit_cards: list[int] = kinds.of_unit(kinds.cards).tolist()
        self._unit_cpu: list[int] = kinds.of_unit(kinds.cpu).tolist()
        self._unit_memory: list[int] = kinds.of_unit(kinds.memory).tolist()
        self._units: list[int] = kinds.units.tolist()
        self._share: list[int] = kinds.share.tolist()
        self._level: list[int] = kinds.level.tolist()

    def add(self, pool: int, wanted: Mapping[int, Gangs]) -> None:
        """Give every gang of these kinds in the pool its spots."""
        by_node: dict[int, list[_Held]] = {node: [] for node in open_nodes(self._choices, pool)}
        for kind, gangs in wanted.items():
            here = [held for node in by_node for held in self._spots(kind, pool, node)]
            for held in here:
                by_node[held.spot.node].append(held)
                self._on[kind, held.spot] = held.units
            self._add_units(kind, pool, here, gangs)
        for node, here in by_node.items():
            self._add_node(node, here)
            self._add_cards(pool, here)

    def hint(self, present: Lines) -> None:
        """Let the solver start where gangs are at present."""
        tasks = self._choices.kinds.tasks
        kind_of, pool_of = self._choices.pairs.kind, self._choices.pairs.pool
        numbers: dict[Spot, Spot] = {}
        used: Counter[int] = Counter()
        on: dict[tuple[int, Spot], int] = {}
        close: dict[tuple[int, int, int], int] = {}
        borders = pairwise([*present.lines[:, 3].tolist(), len(present.entries)])
        for pair, (first, end) in zip(present.lines[:, 1].tolist(), borders, strict=True):
            kind, pool = int(kind_of[pair]), int(pool_of[pair])
            for node, count, card in present.entries[first:end].tolist():
                spot = Spot(node, card)
                if card < NO_CARD:
                    if spot not in numbers:
                        numbers[spot] = Spot(node, FIRST_FREE - used[node])
                        used[node] += 1
                    spot = numbers[spot]
                on[kind, spot] = on.get((kind, spot), 0) + count
                domain = (kind, pool, int(self._snapshot.node_domain[node]))
                close[domain] = close.get(domain, 0) + count
        for (kind, spot), variable in self._on.items():
            size = int(tasks[kind]) if self._level[kind] == WITHIN_NODE else 1
            self._model.add_hint(variable, on.get((kind, spot), 0) // size)
        for key, variable in self._close.items():
            self._model.add_hint(variable, close.get(key, 0) // int(tasks[key[0]]))
        split = set(numbers.values())
        for spot, variable in self._split.items():
            self._model.add_hint(variable, spot in split)

    def deal(self, gangs: Iterable[tuple[int, int]], solver: cp_model.CpSolver) -> Lines:
        """Hand the units that the solver put on spots to the gangs (pair, number) of their kind."""
        shelves = self._shelves(solver)
        pairs = self._choices.pairs
        lines: list[tuple[int, int, int, int]] = []
        entries: list[tuple[int, int, int]] = []
        group_of = pairs.group
        for pair, count in gangs:
            kind, pool = int(pairs.kind[pair]), int(pairs.pool[pair])
            group = int(group_of[pair])
            if self._level[kind] == WITHIN_DOMAIN:  # one line for each gang, whose tasks are all in one domain
                for _ in range(count):
                    domain = next(d for (k, p, d), shelf in shelves.items() if (k, p) == (kind, pool) and shelf)
                    lines.append((group, pair, 1, len(entries)))
                    entries += self._take(shelves[kind, pool, domain], kind, 1)
            else:
                lines.append((group, pair, count, len(entries)))
                entries += self._take(shelves[kind, pool, 0], kind, count)
        return Lines(np.array(lines, dtype=np.int64).reshape(-1, 4), np.array(entries, dtype=np.int64).reshape(-1, 3))

    def _shelves(self, solver: cp_model.CpSolver) -> dict[tuple[int, int, int], list[list[int]]]:
        """Return node, units and card of all that is to be dealt, by kind, pool and, where it matters, domain."""
        shelves: dict[tuple[int, int, int], list[list[int]]] = {}
        numbers: dict[Spot, int] = {}  # cards that are split are numbered anew, without holes
        used: Counter[int] = Counter()
        for (kind, spot), variable in sorted(self._on.items(), key=lambda item: item[0]):
            units = solver.value(variable)
            if not units:
                continue
            card = spot.card
            if card < NO_CARD:
                if spot not in numbers:
                    numbers[spot] = FIRST_FREE - used[spot.node]
                    used[spot.node] += 1
                card = numbers[spot]
            domain = int(self._snapshot.node_domain[spot.node]) if self._level[kind] == WITHIN_DOMAIN else 0
            key = (kind, int(self._snapshot.node_pool[spot.node]), domain)
            shelves.setdefault(key, []).append([spot.node, units, card])
        return shelves

    def _take(self, shelf: list[list[int]], kind: int, gangs: int) -> list[tuple[int, int, int]]:
        missing = gangs * self._units[kind]
        size = int(self._choices.kinds.tasks[kind]) // self._units[kind]  # tasks of a unit
        taken = []
        while missing:
            node, there, card = shelf[0]
            used = min(there, missing)
            if self._share[kind]:
                taken += [(node, 1, card)] * used  # each task has a card of its own
            else:
                taken.append((node, used * size, card))
            missing -= used
            shelf[0][1] -= used
            if not shelf[0][1]:
                shelf.pop(0)
        return taken

    def _spots(self, kind: int, pool: int, node: int) -> Iterator[_Held]:
        """Make the variables `on` of one kind on one node, where it has room for any."""
        snapshot, share = self._snapshot, self._share[kind]
        free = int(snapshot.node_free_cards[node])
        beside = min(
            int(left[node]) // need if need else GANG_CARDS_MAX
            for need, left in (
                (self._unit_cpu[kind], snapshot.node_free_cpu_milli),
                (self._unit_memory[kind], snapshot.node_free_memory_mib),
            )
        )
        cards: Iterable[int] = (NO_CARD,)
        if share:
            low, high = np.searchsorted(snapshot.split_node, [node, node + 1]).tolist()
            cards = (*range(low, high), *range(FIRST_FREE, FIRST_FREE - free, -1))
        for card in cards:
            spot = Spot(node, card)
            room = free // self._unit_cards[kind]
            if share:
                milli, number = self._card_room(pool, spot)
                room = min(milli // share, number)
            room = min(room, beside)
            if room > 0:
                yield _Held(kind, spot, self._model.new_int_var(0, room, f"on[{kind},{node},{card}]"), room)

    def _card_room(self, pool: int, spot: Spot) -> tuple[int, int]:
        """Return thousandths and number of tasks that a card can take."""
        snapshot = self._snapshot
        most = int(snapshot.model_shares_per_card_max[snapshot.pool_model[pool]])
        most = MILLI_PER_CARD if most == UNKNOWN else most
        if spot.card < NO_CARD:
            return MILLI_PER_CARD, most
        return int(snapshot.split_free_milli[spot.card]), max(most - int(snapshot.split_shares[spot.card]), 0)

    def _add_units(self, kind: int, pool: int, here: list[_Held], gangs: Gangs) -> None:
        """(6) Every unit that runs is on a spot; (9) in the domain of its gang."""
        units = self._units[kind]
        terms: list[Term] = [(held.units, 1) for held in here]
        if self._level[kind] == WITHIN_DOMAIN:
            by_domain: dict[int, list[_Held]] = {}
            for held in here:
                by_domain.setdefault(int(self._snapshot.node_domain[held.spot.node]), []).append(held)
            terms = []
            for domain, inside in by_domain.items():
                room = sum(held.room for held in inside) // units
                close = self._model.new_int_var(0, room, f"close[{kind},{pool},{domain}]")
                self._close[kind, pool, domain] = close
                on = sum(held.units for held in inside)
                self._model.add(on == units * close).with_name(f"(9) {kind} {pool}/{domain}")
                terms.append((close, units))
        terms += [(variable, -units) for variable in gangs.open]
        self._model.add(sum_of(terms) == gangs.certain * units).with_name(f"(6) {kind} {pool}")

    def _add_node(self, node: int, here: list[_Held]) -> None:
        """(7) No node gives more than it has free, and no card is both split and taken whole."""
        snapshot = self._snapshot
        sharing = sorted({held.spot for held in here if held.spot.card < NO_CARD}, reverse=True)
        for spot in sharing:
            self._split[spot] = self._model.new_bool_var(f"split[{spot.node},{spot.card}]")
        for first, second in pairwise(sharing):
            self._model.add_implication(self._split[second], self._split[first])  # they are alike
        cards = [(held.units, self._unit_cards[held.kind]) for held in here if held.spot.card == NO_CARD]
        cards += [(self._split[spot], 1) for spot in sharing]
        for terms, free in (
            (cards, snapshot.node_free_cards),
            ([(held.units, self._unit_cpu[held.kind]) for held in here], snapshot.node_free_cpu_milli),
            ([(held.units, self._unit_memory[held.kind]) for held in here], snapshot.node_free_memory_mib),
        ):
            if any(need for _, need in terms):
                self._model.add(sum_of(terms) <= int(free[node])).with_name(f"(7) {node}")

    def _add_cards(self, pool: int, here: list[_Held]) -> None:
        """(8) Shares on a card fit into it."""
        by_card: dict[Spot, list[_Held]] = {}
        for held in here:
            if held.spot.card != NO_CARD:
                by_card.setdefault(held.spot, []).append(held)
        for spot, shares in by_card.items():
            milli, number = self._card_room(pool, spot)
            split = self._split.get(spot, 1)
            load = sum_of([(held.units, self._share[held.kind]) for held in shares])
            self._model.add(load <= milli * split).with_name(f"(8) {spot.node}/{spot.card}")
            tasks = sum(held.units for held in shares)
            self._model.add(tasks <= number * split).with_name(f"(8) {spot.node}/{spot.card} tasks")


def sum_of(terms: list[Term]) -> cp_model.LinearExprT:
    """Return the sum of variables times weights."""
    return cp_model.LinearExpr.weighted_sum([variable for variable, _ in terms], [weight for _, weight in terms])


def open_nodes(choices: Choices, pool: int) -> list[int]:
    """Return the nodes of a pool that take new work and have a free or a split card."""
    snapshot = choices.snapshot
    low, high = np.searchsorted(snapshot.node_pool, [pool, pool + 1]).tolist()
    some = snapshot.node_free_cards[low:high] > 0
    split = snapshot.split_node[(snapshot.split_node >= low) & (snapshot.split_node < high)]
    some[split - low] = True
    return [int(node) for node in low + np.flatnonzero(some & snapshot.node_open[low:high])]


def spot_variables(choices: Choices, pool: int, kinds: Iterable[int]) -> int:
    """Return about how many variables `Spots.add` would make."""
    snapshot, nodes = choices.snapshot, open_nodes(choices, pool)
    cards = int(snapshot.node_free_cards[nodes].sum()) + int(np.isin(snapshot.split_node, nodes).sum())
    return sum(cards if choices.kinds.share[kind] else len(nodes) for kind in kinds)
