"""Tasks with shares or whole cards, the nodes they go to, and what each node has left while they are put there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import SchedulerError

CARD_MILLI: Final = 1000
WORTH_MAX: Final = 10**9
COUNT_MAX: Final = 10**7
NEED_MAX: Final = 2**40

Array = NDArray[np.int64]


class BadPacking(SchedulerError):
    """A kind of task or a node has a figure that cannot be."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Equal tasks. A task takes `share_milli` of one card, or `cards` whole ones, or (both 0) no card.

    Attributes:
        cpu_milli, memory_mib: of one task.
        models: allowed ones; empty allows all.
        count: of tasks.
        worth: of one task, in any unit.
        required: so many of them come before anything else.
    """

    cards: int
    share_milli: int
    cpu_milli: int
    memory_mib: int
    models: tuple[str, ...]
    count: int
    worth: int
    required: int = 0


class Node(NamedTuple):
    """A node's model and what is free: CPU, memory, milli of each card."""

    model: str
    cpu_milli: int
    memory_mib: int
    cards: tuple[int, ...]


class Placed(NamedTuple):
    """One task: the index of its kind, of its node, and of its cards there."""

    kind: int
    node: int
    cards: tuple[int, ...]


def check(kinds: Sequence[Kind], nodes: Sequence[Node]) -> None:
    """Raise BadPacking for a figure out of range; the field names the entry."""
    for index, kind in enumerate(kinds):
        for name, low, high in (
            ("cards", 0, 2**20), ("share_milli", 0, CARD_MILLI - 1), ("cpu_milli", 0, NEED_MAX),
            ("memory_mib", 0, NEED_MAX), ("count", 0, COUNT_MAX), ("worth", 0, WORTH_MAX), ("required", 0, kind.count),
        ):  # fmt: skip
            _in_range(f"kinds[{index}].{name}", getattr(kind, name), low, high)
        if kind.cards and kind.share_milli:
            raise BadPacking(f"kinds[{index}].share_milli", "a task takes a share of one card or whole cards, not both")
    for index, node in enumerate(nodes):
        _in_range(f"nodes[{index}].cpu_milli", node.cpu_milli, 0, NEED_MAX)
        _in_range(f"nodes[{index}].memory_mib", node.memory_mib, 0, NEED_MAX)
        for card, milli in enumerate(node.cards):
            _in_range(f"nodes[{index}].cards[{card}]", milli, 0, CARD_MILLI)


def _in_range(field: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadPacking(field, f"{value!r:.40} is not a whole number from {low} to {high}")


class Ground:
    """What is left and what was put where. `left[c]` tasks of kind c are not put yet."""

    def __init__(self, kinds: Sequence[Kind], nodes: Sequence[Node]) -> None:
        self.kinds, self.nodes = kinds, nodes
        self.left = [kind.count for kind in kinds]
        self.cpu = np.array([node.cpu_milli for node in nodes], dtype=np.int64)
        self.memory = np.array([node.memory_mib for node in nodes], dtype=np.int64)
        self.idle = np.array([node.cards.count(CARD_MILLI) for node in nodes], dtype=np.int64)
        self.milli = [list(node.cards) for node in nodes]
        self.on_card: list[list[list[int]]] = [[[] for _ in node.cards] for node in nodes]
        self.others: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in nodes]
        width = max((len(node.cards) for node in nodes), default=0)
        self.level = np.array([[*node.cards, *[0] * (width - len(node.cards))] for node in nodes], dtype=np.int64)
        self.level = self.level.reshape(len(nodes), width)
        self.card_cpu, self.card_memory = np.zeros_like(self.level), np.zeros_like(self.level)
        self.need_by_card = _need_by_card(kinds)
        models = sorted({node.model for node in nodes})
        model = np.array([models.index(node.model) for node in nodes], dtype=np.int64)
        may = np.array([[not k.models or name in k.models for name in models] for k in kinds], dtype=bool)
        self.allowed = may.reshape(len(kinds), len(models))[:, model]

    def placed(self) -> list[Placed]:
        """Return every task that was put, node by node."""
        found = []
        for n in range(len(self.nodes)):
            found += [Placed(c, n, cards) for c, cards in self.others[n]]
            found += [Placed(c, n, (k,)) for k, held in enumerate(self.on_card[n]) for c in held]
        return found

    def worth(self) -> int:
        """Return the worth of what was put."""
        return sum(kind.worth * (kind.count - left) for kind, left in zip(self.kinds, self.left, strict=True))

    def _charge(self, c: int, n: int, sign: int) -> None:
        self.left[c] -= sign
        self.cpu[n] -= sign * self.kinds[c].cpu_milli
        self.memory[n] -= sign * self.kinds[c].memory_mib

    def put_shares(self, n: int, card: int, shares: Iterable[int]) -> None:
        """Put tasks (kinds with a share, or one whole card) on one card."""
        for c in shares:
            self._charge(c, n, 1)
            self.idle[n] -= self.milli[n][card] == CARD_MILLI
            self.milli[n][card] -= self.kinds[c].share_milli or CARD_MILLI
            self.on_card[n][card].append(c)
            self.card_cpu[n, card] += self.kinds[c].cpu_milli
            self.card_memory[n, card] += self.kinds[c].memory_mib

    def clear(self, n: int, card: int) -> list[int]:
        """Take back all tasks on the card that are there alone; return their kinds."""
        taken, self.on_card[n][card] = self.on_card[n][card], []
        for c in taken:
            self._charge(c, n, -1)
            self.milli[n][card] += self.kinds[c].share_milli or CARD_MILLI
        self.card_cpu[n, card] = self.card_memory[n, card] = 0
        self.idle[n] += bool(taken) and self.milli[n][card] == CARD_MILLI
        return taken

    def missing(self) -> dict[int, int]:
        """Return by kind how many required tasks were not put."""
        short = {c: kind.required - (kind.count - self.left[c]) for c, kind in enumerate(self.kinds)}
        return {c: count for c, count in short.items() if count > 0}

    def take_out(self, n: int, number: int) -> None:
        """Take back entry `number` of `others[n]`, a task without cards."""
        c, _ = self.others[n].pop(number)
        self._charge(c, n, -1)

    def put(self, c: int, n: int) -> None:
        """Put a task with whole cards, or none, where `rooms` said that it fits."""
        kind = self.kinds[c]
        if kind.cards == 1:
            self.put_shares(n, self.milli[n].index(CARD_MILLI), [c])
            return
        cards = tuple(k for k, milli in enumerate(self.milli[n]) if milli == CARD_MILLI)[: kind.cards]
        self._charge(c, n, 1)
        self.idle[n] -= len(cards)
        for k in cards:
            self.milli[n][k] = 0
        self.others[n].append((c, cards))

    def rooms(self, c: int, among: Array) -> Array:
        """Return those of the nodes that can take a task with whole cards, or none."""
        kind = self.kinds[c]
        fits = self.allowed[c, among] & (self.cpu[among] >= kind.cpu_milli) & (self.memory[among] >= kind.memory_mib)
        found: Array = among[fits & (self.idle[among] >= kind.cards)]
        return found


def _need_by_card(kinds: Sequence[Kind]) -> tuple[float, float]:
    """Return the mean CPU and memory that tasks on one card need for each card's worth of milli."""
    some = [kind for kind in kinds if kind.share_milli or kind.cards == 1]
    milli = sum(kind.count * (kind.share_milli or CARD_MILLI) for kind in some) or 1
    cpu, memory = (sum(kind.count * getattr(kind, what) for kind in some) for what in ("cpu_milli", "memory_mib"))
    return cpu * CARD_MILLI / milli, memory * CARD_MILLI / milli
