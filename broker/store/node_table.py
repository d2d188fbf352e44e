"""The nodes of a world, column by column: a national one has 45,000, and each round looks at them anew.

An object for each would take half a second to make, in which no call is served.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

CARDS_MAX: Final = 64
"""Cards of a node, by the wire: each has its bit in a mask."""

Ints = NDArray[np.int64]
Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class SplitCard:
    """A card that leases hold shares of: what is left of it, and how many tasks are on it."""

    free_milli: int
    tasks: int


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node with what is free on it now.

    `free_cards` are the indices that are neither held by a lease nor in foreign use, whether or not the node is open;
    `split` are cards that shares are held of and something is left of, by index. `window` is the next maintenance
    window, from and until, or the one that is now: then it is not open.
    """

    node_id: int
    node: str
    pool_id: int
    model: str
    open: bool
    cards: int
    free_cards: tuple[int, ...]
    cpu_milli: int
    free_cpu_milli: int
    memory_mib: int
    free_memory_mib: int
    split: Mapping[int, SplitCard] = field(default_factory=dict)
    window: Window | None = None
    domain: str = ""  # of the fabric, within its pool


@dataclass(frozen=True, slots=True, eq=False)
class NodeTable(Sequence[NodeRow]):
    """All nodes of a view. Arrays are [N]; a row is made when it is asked for.

    Attributes:
        node_id: ids.
        node: names.
        pool_id: pools.
        domain: names of fabric domains, each within its pool.
        model: by pool_id.
        open: whether new work may start there.
        cards, taken: cards, and a mask with a bit for each that is held by a lease or in foreign use.
        cpu_milli, free_cpu_milli, memory_mib, free_memory_mib: what there is and what is free.
        split: cards that shares are held of, by position of their node; nodes that have none are left out.
        window: the next maintenance window, by position of the node; nodes that have none are left out.
    """

    node_id: Ints
    node: tuple[str, ...]
    domain: tuple[str, ...]
    pool_id: Ints
    model: Mapping[int, str]
    open: NDArray[np.bool_]
    cards: Ints
    taken: NDArray[np.uint64]
    cpu_milli: Ints
    free_cpu_milli: Ints
    memory_mib: Ints
    free_memory_mib: Ints
    split: Mapping[int, Mapping[int, SplitCard]] = field(default_factory=dict)
    window: Mapping[int, Window] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[NodeRow]) -> "NodeTable":
        """Return the table of these rows; a table is its own."""
        if isinstance(rows, NodeTable):
            return rows
        return cls(
            node_id=_ints(r.node_id for r in rows),
            node=tuple(r.node for r in rows),
            domain=tuple(r.domain for r in rows),
            pool_id=_ints(r.pool_id for r in rows),
            model={r.pool_id: r.model for r in rows},
            open=np.array([r.open for r in rows], dtype=np.bool_),
            cards=_ints(r.cards for r in rows),
            taken=np.array([~_mask(r.free_cards) & _mask(range(r.cards)) for r in rows], dtype=np.uint64),
            cpu_milli=_ints(r.cpu_milli for r in rows),
            free_cpu_milli=_ints(r.free_cpu_milli for r in rows),
            memory_mib=_ints(r.memory_mib for r in rows),
            free_memory_mib=_ints(r.free_memory_mib for r in rows),
            split={at: r.split for at, r in enumerate(rows) if r.split},
            window={at: r.window for at, r in enumerate(rows) if r.window is not None},
        )

    @property
    def free_cards(self) -> Ints:
        """Return how many cards of each node are free."""
        held = np.bitwise_count(self.taken & _full(self.cards)).astype(np.int64)
        return np.asarray(self.cards - held, dtype=np.int64)

    def take(self, positions: Ints) -> "NodeTable":
        """Return the nodes at these positions, in this order."""
        order = positions.tolist()
        to = {at: new for new, at in enumerate(order)} if self.split or self.window else {}
        arrays: dict[str, Any] = {name: getattr(self, name)[positions] for name in _ARRAYS}
        return NodeTable(
            **arrays,
            node=tuple([self.node[at] for at in order]),
            domain=tuple([self.domain[at] for at in order]),
            model=self.model,
            split=_moved(self.split, to),
            window=_moved(self.window, to),
        )

    def __len__(self) -> int:
        return len(self.node)

    @overload
    def __getitem__(self, at: int) -> NodeRow: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[NodeRow]: ...
    def __getitem__(self, at: int | slice) -> NodeRow | Sequence[NodeRow]:
        if isinstance(at, slice):
            return self.take(np.arange(len(self), dtype=np.int64)[at])
        at = range(len(self))[at]
        cards, taken, pool_id = int(self.cards[at]), int(self.taken[at]), int(self.pool_id[at])
        return NodeRow(
            node_id=int(self.node_id[at]),
            node=self.node[at],
            pool_id=pool_id,
            model=self.model[pool_id],
            open=bool(self.open[at]),
            cards=cards,
            free_cards=tuple([card for card in range(cards) if not taken >> card & 1]),
            cpu_milli=int(self.cpu_milli[at]),
            free_cpu_milli=int(self.free_cpu_milli[at]),
            memory_mib=int(self.memory_mib[at]),
            free_memory_mib=int(self.free_memory_mib[at]),
            split=self.split.get(at, {}),
            window=self.window.get(at),
            domain=self.domain[at],
        )

    def __iter__(self) -> Iterator[NodeRow]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # compared by what is in it, row by row


_ARRAYS: Final = (
    "node_id",
    "pool_id",
    "open",
    "cards",
    "taken",
    "cpu_milli",
    "free_cpu_milli",
    "memory_mib",
    "free_memory_mib",
)


def _moved(values: Mapping[int, Any], to: Mapping[int, int]) -> dict[int, Any]:
    return dict(sorted((to[at], value) for at, value in values.items() if at in to))


def _mask(cards: Iterable[int]) -> int:
    return sum(1 << card for card in cards)


def _full(cards: Ints) -> NDArray[np.uint64]:
    """Return masks of all cards of nodes with so many."""
    shift = np.uint64(CARDS_MAX) - np.minimum(cards, CARDS_MAX).astype(np.uint64)
    full = np.uint64(2**CARDS_MAX - 1)
    return np.where(cards > 0, full >> np.minimum(shift, np.uint64(CARDS_MAX - 1)), np.uint64(0))


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
