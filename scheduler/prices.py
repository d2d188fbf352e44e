"""Shadow prices and the proven bound: the capacity rows of every pool, relaxed.

Rows of pool p (k: cards of a task; sums over the tasks placed there, and over its open nodes)

    (s) for each block size s   sum over tasks of k // s  <=  sum over nodes of free // s
    (c) CPU                     sum over tasks of cpu     <=  sum of free CPU of nodes with a free card
    (m) memory                  likewise

(s) holds for every plan and every s >= 1: on one node sum of k <= free, and floor(a/s) + floor(b/s) <= floor((a+b)/s).
For sizes that divide each other these rows are also enough to pack the pool; for other sizes they are a relaxation.
(c) leaves out nodes without a free card because every task needs at least one.

With prices lambda >= 0 every group takes its own best pool:

    L(lambda) = sum over groups of count * max(0, max over eligible pools of worth - cost)  +  sum of lambda * capacity

is at least the worth of every plan. Costs are integers rounded down and capacity terms rounded up, so L is an exact
integer, and a bound. The search runs in floating point; only integer prices evaluated exactly count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.choices import Choices
from scheduler.plan import Prices
from scheduler.snapshot import Ints, Snapshot, Votes

MILLI_PER_CORE: Final = 1000
MIB_PER_GIB: Final = 1024
BLOCK_SIZES_MAX: Final = 12
"""More distinct task sizes than this are priced by the most wanted ones: fewer rows, a looser bound, still a bound."""
_SAFE: Final = 2**56  # no single product of price and use exceeds this; sixteen of them still fit in 64 bits
_GROUPS_PER_SCAN: Final = 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The capacity rows: R columns, first the block sizes (ascending, from 1), then CPU, then memory."""

    blocks: Ints  # block sizes in cards
    capacity: Ints  # [P, R]
    use: Ints  # [S, R] of one gang
    divisor: Ints  # [R] units of use in one priced unit: 1 block, 1000 milli-CPU, 1024 MiB
    price_max: Ints  # [R] beyond this nothing could be bought anyway, or sums could overflow

    @property
    def columns(self) -> int:
        """Number of rows of one pool."""
        return int(self.divisor.size)


def capacity_rows(choices: Choices) -> Rows:
    """Derive the rows from the snapshot and from the sizes that eligible jobs ask for."""
    snapshot = choices.snapshot
    blocks = _block_sizes(choices)
    cards = snapshot.shape_cards_per_task
    tasks = snapshot.shape_tasks
    use = np.column_stack(
        [
            tasks[:, None] * (cards[:, None] // blocks),
            tasks * snapshot.shape_cpu_milli_per_task,
            tasks * snapshot.shape_memory_mib_per_task,
        ]
    )
    divisor = np.array([1] * blocks.size + [MILLI_PER_CORE, MIB_PER_GIB], dtype=np.int64)
    best = int((choices.worth // gang_cards(choices)[:, None]).max(initial=0)) + 1
    largest = np.maximum(use.max(axis=0, initial=1), 1)
    useful = np.append(blocks * best, [2**62, 2**62])
    return Rows(
        blocks=blocks,
        capacity=_capacity(snapshot, blocks),
        use=use,
        divisor=divisor,
        price_max=np.minimum(useful, _SAFE // largest),
    )


def gang_cards(choices: Choices) -> Ints:
    """Return the cards of one job of each group."""
    snapshot = choices.snapshot
    cards: Ints = (snapshot.shape_tasks * snapshot.shape_cards_per_task)[choices.shape]
    return cards


def gang_costs(rows: Rows, prices: Ints) -> Ints:
    """Return, for shape x pool, what one gang pays per hour at these prices [P, R], rounded down for each resource."""
    blocks = rows.blocks.size
    cost = rows.use[:, :blocks] @ prices[:, :blocks].T
    for column in (blocks, blocks + 1):
        if prices[:, column].any():
            cost += rows.use[:, column, None] * prices[None, :, column] // rows.divisor[column]
    return cost


@dataclass(frozen=True, eq=False)
class Scan:
    """What every group would choose at some prices."""

    bound: int  # L(lambda)
    pool: Ints  # [G] best pool; meaningless where the surplus is 0
    surplus: Ints  # [G] micro-yuan per hour of one job there, at least 0
    load: Floats  # [P, R] what the groups' own choices would use; it steers the search and decides nothing


def scan(choices: Choices, rows: Rows, prices: Ints) -> Scan:
    """Evaluate L exactly: one look at every group x pool."""
    if choices.large:
        return _scan_large(choices, rows, prices)
    groups = choices.shape.size
    pool = np.zeros(groups, dtype=np.int64)
    surplus = np.zeros(groups, dtype=np.int64)
    if choices.worth.shape[1]:
        cost = gang_costs(rows, prices)
        for low in range(0, groups, _GROUPS_PER_SCAN):
            part = slice(low, low + _GROUPS_PER_SCAN)
            gain = choices.worth[part] - cost[choices.shape[part]]
            pool[part] = np.argmax(gain, axis=1)
            surplus[part] = np.take_along_axis(gain, pool[part, None], axis=1)[:, 0]
        # a pool that is not eligible has worth 0, so its surplus is never positive
        surplus = np.maximum(surplus, 0)
    bound = _rent(rows, prices) + exact_dot(surplus, choices.count)
    return Scan(bound=bound, pool=pool, surplus=surplus, load=_load(choices, rows, pool, surplus))


def _scan_large(choices: Choices, rows: Rows, prices: Ints) -> Scan:
    from scheduler import kernels

    pairs = choices.pairs
    pool, surplus = np.empty_like(choices.shape), np.empty_like(choices.shape)
    load = np.zeros(rows.capacity.shape, dtype=np.float64)
    sums = np.zeros(2, dtype=np.int64)
    kernels.best_pools(
        pairs.start, pairs.pool, pairs.worth, choices.shape, choices.count, gang_costs(rows, prices), rows.use,
        pool, surplus, load, sums,
    )  # fmt: skip
    bound = _rent(rows, prices) + int(sums[0]) + (int(sums[1]) << 31)
    return Scan(bound=bound, pool=pool, surplus=surplus, load=load)


def _rent(rows: Rows, prices: Ints) -> int:
    """Return what all capacity costs at these prices, each row rounded up."""
    rent = 0
    for column, divisor in enumerate(rows.divisor.tolist()):
        for price, units in zip(prices[:, column].tolist(), rows.capacity[:, column].tolist(), strict=True):
            rent += -(-price * units // divisor)
    return rent


def _load(choices: Choices, rows: Rows, pool: Ints, surplus: Ints) -> Floats:
    takes = surplus > 0
    jobs = choices.count[takes]
    use = rows.use[choices.shape[takes]]
    load: Floats = np.empty(rows.capacity.shape, dtype=np.float64)
    pools = len(choices.snapshot.pool_names)
    for column in range(rows.columns):
        load[:, column] = np.bincount(pool[takes], weights=jobs * use[:, column], minlength=pools)
    return load


def exact_dot(values: Ints, counts: Ints) -> int:
    """Return the sum of values * counts without overflow; values in 0 .. 2^62, counts summing to at most 2^31."""
    low = int(np.dot(values & 0x7FFFFFFF, counts))
    return low + (int(np.dot(values >> 31, counts)) << 31)


def to_prices(rows: Rows, prices: Ints) -> Prices:
    """Return the prices as a plan carries them."""
    blocks = rows.blocks.size
    return Prices(
        block_cards=tuple(rows.blocks.tolist()),
        cards_micro_yuan_per_block_hour=tuple(tuple(row) for row in prices[:, :blocks].tolist()),
        cpu_micro_yuan_per_core_hour=tuple(prices[:, blocks].tolist()),
        memory_micro_yuan_per_gib_hour=tuple(prices[:, blocks + 1].tolist()),
    )


class Search:
    """Descent on L by scaled subgradients (Adam's rule); keeps the best integer prices seen. Deterministic.

    Every price has a step of its own: in proportion to the price, divided by the recent size of its subgradient, and
    shrinking with every iteration. Rows of unlike units and pools of unlike scarcity then settle equally fast.
    """

    _STEP: Final = 1.6
    _DECAY: Final = 0.98
    _STEP_MIN: Final = 1e-4
    _MOMENTUM: Final = 0.9
    _MEMORY: Final = 0.9
    _COOL: Final = 150  # where the steps begin that start from prices of an earlier round: small ones
    _SHARE_OF_TYPICAL: Final = 0.1  # a price of 0 moves as if it were this part of a typical one

    def __init__(self, choices: Choices, rows: Rows, start: Ints, *, settled: bool = False) -> None:
        self._choices = choices
        self._rows = rows
        self.best = np.minimum(start, rows.price_max)
        self.best_scan = scan(choices, rows, self.best)
        self._at = self.best.astype(np.float64)
        self._here = self.best_scan
        self._mean = np.zeros_like(self._at)
        self._square = np.zeros_like(self._at)
        self._iterations = 0
        self._cooled = self._COOL if settled else 0
        self.votes: Votes = np.zeros(choices.worth.shape, dtype=np.int16)
        self._least_move = self._typical_prices() * self._SHARE_OF_TYPICAL

    def descend(self, iterations: int) -> bool:
        """Take some steps; return whether there is any sense in taking more.

        `votes` [G, P] counts how often each group chose each pool, earlier calls at half weight: prices jump about,
        but the average of the choices comes close to the fractional optimum, and constructions follow it.
        """
        self.votes >>= 1
        for _ in range(iterations):
            self._iterations += 1
            slope = (self._rows.capacity - self._here.load) / np.maximum(self._rows.capacity, 1)
            self._mean += (1 - self._MOMENTUM) * (slope - self._mean)
            self._square += (1 - self._MEMORY) * (slope**2 - self._square)
            steady = self._mean / (1 - self._MOMENTUM**self._iterations)
            size = np.sqrt(self._square / (1 - self._MEMORY**self._iterations)) + 1e-3
            move = self._step() * np.maximum(self._at, self._least_move) * steady / size
            self._at = np.clip(self._at - move, 0, self._rows.price_max)
            prices = np.rint(self._at).astype(np.int64)
            self._here = scan(self._choices, self._rows, prices)
            takes = np.flatnonzero(self._here.surplus > 0)
            self.votes[takes, self._here.pool[takes]] += 1
            if self._here.bound < self.best_scan.bound:
                self.best, self.best_scan = prices, self._here
        return self._step() > self._STEP_MIN

    def _step(self) -> float:
        return self._STEP * float(self._DECAY ** (self._cooled + self._iterations))

    def offer(self, prices: Ints) -> None:
        """Take prices found elsewhere if L is lower there."""
        prices = np.clip(prices, 0, self._rows.price_max)
        found = scan(self._choices, self._rows, prices)
        if found.bound < self.best_scan.bound:
            self.best, self.best_scan = prices, found

    def _typical_prices(self) -> Floats:
        """Return [R]: about what one unit of each row is worth, so that one step suits rows of unlike units."""
        choices, rows = self._choices, self._rows
        worth = float(np.dot(choices.worth.max(axis=1, initial=0).astype(np.float64), choices.count))
        demand = (rows.use[choices.shape] * choices.count[:, None]).sum(axis=0, dtype=np.float64) / rows.divisor
        return np.where(demand > 0, worth / np.maximum(demand, 1), 0.0)


def _block_sizes(choices: Choices) -> Ints:
    cards = choices.snapshot.shape_cards_per_task[choices.shape]
    eligible = choices.worth.any(axis=1)
    wanted = (gang_cards(choices) * choices.count)[eligible]
    sizes, at = np.unique(cards[eligible], return_inverse=True)
    demand = np.bincount(at.reshape(-1), weights=wanted, minlength=sizes.size)
    most = sizes[np.argsort(-demand, kind="stable")[: BLOCK_SIZES_MAX - 1]]
    return np.union1d(most, np.ones(1, dtype=np.int64)).astype(np.int64)


def _capacity(snapshot: Snapshot, blocks: Ints) -> Ints:
    usable = snapshot.node_open & (snapshot.node_free_cards > 0)
    pool = snapshot.node_pool[usable]
    units = np.column_stack(
        [
            snapshot.node_free_cards[usable, None] // blocks,
            snapshot.node_free_cpu_milli[usable],
            snapshot.node_free_memory_mib[usable],
        ]
    )
    total = np.zeros((len(snapshot.pool_names), units.shape[1]), dtype=np.int64)
    np.add.at(total, pool, units)
    return total
