"""The program that seats large gangs, see `seating.py`: linear first, then what that leaves in question in integers.

Data        pairs i of large gangs and of upper tiers, those that the prices leave in question
            gain[i]: worth as it counts at the prices, less what everything but key blocks and power costs
            key blocks of a pool: those of the size whose free capacity is worth most
Variables   run[i] in {0 .. count of its group}
            left[r] in [0, what small jobs use at the prices]     of each shared row r: key blocks, power
            idle[r] >= 0                                          of it, what nobody pays the price for
            short >= 0                                            of the level of a tier, of the guarantee of a quota
Maximise    sum of gain * run + sum of price * (_LEFT_PERCENT * left + _IDLE_PERCENT * idle) / 100 - sum of fine * short
Subject to  (1) sum of run <= count                               for all groups
            (2) sum of use * run <= capacity                      for all rows of all pools
            (3) sum of key blocks * run + left + idle <= blocks   for all pools
            (4) sum of meter * run + left + idle <= free watts    for all hubs with a cap or a pace
            (5) sum of use * run <= room, and by lending          for all quotas with a limit, less what is guaranteed
                                                                  to small jobs
            (6) sum of worth * run + short >= level               for all tiers above
            (7) sum of use * run + short >= guarantee             for all quotas, less what small jobs will use

The answer counts, and names no nodes. Limits of the solver are its own work, never time: equal input, equal seats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

from scheduler.choices import Choices
from scheduler.limits import KEPT, LEFT, LEND, NO_LIMIT
from scheduler.linear import Floats, chain_uses, filled, solved
from scheduler.rows import PPM, PriceVector, Rows
from scheduler.snapshot import Ints

LARGE_BLOCKS: Final = 2
"""Gangs of fewer key blocks are small."""
_LEFT_PERCENT: Final = 120  # of the price: what small jobs lose on average when gangs take their part of a row
_IDLE_PERCENT: Final = 30  # of the price: what others would still pay for what nobody pays the price for
_FINE_ABOVE: Final = 20.0  # for each micro-yuan that is missing of a tier above
_FINE_UNITS_MAX: Final = 1e6  # a fine beyond the solver's range would hide everything else
_FINE_FOR_GUARANTEE: Final = 0.3  # of the median of what gangs gain for FP16; what is missing then small jobs can serve
_CORE_MAX: Final = 7_000  # large gangs of the last tier that are decided in whole numbers ...
_ABOVE_MAX: Final = 300  # ... and of tiers above it: more take longer and hardly change anything
_ITERATIONS_MAX: Final = 100_000
_NODES_MAX: Final = 20
_GAP: Final = 1e-3
_ZERO: Final = 1e-6
_WATTS: Final = 1000  # the solver wants figures of moderate size: kilowatts, PFLOPS ...
_LARGEST_GAIN: Final = 50.0  # ... and gains up to this
_NOT_ZERO: Final = mathopt.ModelSolveParameters(
    variable_values_filter=mathopt.VariableFilter(skip_zero_values=True),
    reduced_costs_filter=mathopt.VariableFilter(skip_zero_values=True),
)


@dataclass(frozen=True, eq=False)
class Small:
    """What small jobs are expected to do beside the gangs that are decided about."""

    pairs: Ints  # the best of each group that gains by it
    count: Ints  # jobs of each
    prices: PriceVector


class SeatProgram:
    """The solver's input, as arrays; one method for each numbered row."""

    def __init__(self, choices: Choices, rows: Rows, which: Ints, gain: Floats, key: int) -> None:
        self._choices, self._rows, self._which = choices, rows, which
        self._group = choices.pairs.group[which]
        self._pool = choices.pairs.pool[which].astype(np.int64)
        self._kind = choices.pairs.kind[which].astype(np.int64)
        self._size = rows.use[self._kind, key]
        self._unit = max(float(np.abs(gain).max(initial=0)) / _LARGEST_GAIN, 1.0)  # micro-yuan
        self._most: list[Floats] = [choices.groups.count[self._group].astype(np.float64)]
        self._gain: list[Floats] = [gain / self._unit]
        self._parts: list[tuple[Ints, Ints, Floats]] = []  # row, column, value
        self._sides: list[tuple[Floats, Floats]] = []
        self._rows_total = 0
        self.columns = which.size

    def add_rows_of(self, owner: Ints, column: Ints, value: Floats, lower: Floats, upper: Floats) -> None:
        """Add one row for each owner: sum of value * variable. Rows that nothing could break are left out."""
        most = np.bincount(owner, weights=np.where(value > 0, value * self._largest()[column], 0), minlength=upper.size)
        kept = (most > upper) | (lower > -np.inf) | (np.bincount(owner[value < 0], minlength=upper.size) > 0)
        at = np.cumsum(kept) - 1 + self._rows_total
        mine = kept[owner] & (value != 0)
        self._parts.append((at[owner[mine]], column[mine], value[mine]))
        self._sides.append((lower[kept], upper[kept]))
        self._rows_total += int(kept.sum())

    def add_groups(self) -> None:
        """(1) No job runs twice."""
        seen, owner = np.unique(self._group, return_inverse=True)
        count = self._choices.groups.count[seen].astype(np.float64)
        every = np.arange(owner.size)
        self.add_rows_of(owner, every, np.ones(owner.size), np.full(seen.size, -np.inf), count)

    def add_rows(self) -> None:
        """(2) Every capacity row of every pool holds."""
        rows = self._rows
        use = rows.use[self._kind]
        at, column = np.nonzero(use)
        owner = self._pool[at] * rows.columns + column
        value = use[at, column] / rows.divisor[column]
        capacity = (rows.capacity / rows.divisor).reshape(-1)
        self.add_rows_of(owner, at, value, np.full(capacity.size, -np.inf), capacity)

    def add_key_blocks(self, key: int, small: Small) -> None:
        """(3) Key blocks that no gang takes are left for small jobs, or idle."""
        rows, pairs = self._rows, self._choices.pairs
        left = rows.use[pairs.kind[small.pairs], key] * small.count
        self._add_shared(
            (self._pool, rows.use[self._kind, key].astype(np.float64)),
            np.bincount(pairs.pool[small.pairs], left, rows.capacity.shape[0]).astype(np.float64),
            rows.capacity[:, key].astype(np.float64),
            small.prices.pool[:, key].astype(np.float64),
        )

    def add_power(self, small: Small | None) -> None:
        """(4) No hub draws more than its cap and its pace allow; what gangs do not draw is left for small jobs."""
        free, meter = self._rows.hub_free_watts, self._rows.meter
        if not meter.size:
            return
        pairs, pool_hub = self._choices.pairs, self._choices.limits.pool_hub
        watts = meter[self._kind, self._pool] / _WATTS
        capacity = np.where(free < NO_LIMIT, free / _WATTS, np.inf)
        hub = pool_hub[self._pool]
        self.add_rows_of(hub, np.arange(hub.size), watts, np.full(free.size, -np.inf), capacity)
        if small is not None:
            kind, pool = pairs.kind[small.pairs], pairs.pool[small.pairs]
            watts_of = meter[kind, pool] / _WATTS * small.count
            left = np.bincount(pool_hub[pool], watts_of, free.size).astype(np.float64)
            self._add_shared((hub, watts), left, capacity, small.prices.power.astype(np.float64))

    def _add_shared(self, use: tuple[Ints, Floats], small: Floats, capacity: Floats, price: Floats) -> None:
        """Let gangs share a row with small jobs: these lose more than the price if all their part is taken."""
        priced = np.flatnonzero((price > 0) & (capacity < np.inf))
        at = np.full(price.size, -1)
        at[priced] = np.arange(priced.size)
        owner, value = use
        mine = np.flatnonzero((value > 0) & (at[owner] >= 0))
        left = self._add_columns(np.minimum(small, capacity)[priced], price[priced] * _LEFT_PERCENT / 100)
        idle = self._add_columns(capacity[priced], price[priced] * _IDLE_PERCENT / 100)
        owners = np.concatenate([at[owner[mine]], np.arange(priced.size), np.arange(priced.size)])
        values = np.concatenate([value[mine], np.ones(2 * priced.size)])
        columns = np.concatenate([mine, left, idle])
        self.add_rows_of(owners, columns, values, np.full(priced.size, -np.inf), capacity[priced])

    def add_level(self, mine: Ints, level: int) -> None:
        """(6) A tier above reaches its level."""
        worth = self._choices.pairs.worth[self._which[mine]].astype(np.float64)
        # a unit of its own: the tier may dwarf what is decided about
        unit = max(float(worth.max(initial=0)) / _LARGEST_GAIN, 1.0)
        fine = _FINE_ABOVE * min(unit, _FINE_UNITS_MAX * self._unit)
        short = self._add_columns(np.array([level / unit]), np.array([-fine]))
        value = np.append(worth / unit, 1.0)
        owner = np.zeros(value.size, dtype=np.int64)
        self.add_rows_of(owner, np.append(mine, short), value, np.array([level / unit]), np.array([np.inf]))

    def add_guarantees(self, small: Small) -> None:
        """(7) What is missing of a guarantee is fined, moderately: small jobs may still serve it after the seats.

        So a plan with seats may serve less of the guarantees than one without; the planner then drops the seats.
        """
        headroom = self._rows.headroom / PPM
        if not (headroom > 0).any():
            return
        choices = self._choices
        pair, quota, use = chain_uses(choices, small.pairs)
        open_ = headroom - np.bincount(quota, weights=use / PPM * small.count[pair], minlength=headroom.size)
        quotas = np.flatnonzero(open_ > 0)
        at = np.full(headroom.size, -1)
        at[quotas] = np.arange(quotas.size)
        pair, quota, use = chain_uses(choices, self._which)
        counted = self._gain[0][pair] * self._unit * PPM / np.maximum(use, 1)
        fine = _FINE_FOR_GUARANTEE * float(np.median(counted[counted > 0])) if (counted > 0).any() else self._unit
        short = self._add_columns(open_[quotas], np.full(quotas.size, -fine))
        mine = np.flatnonzero(at[quota] >= 0)
        owner = np.concatenate([at[quota[mine]], np.arange(quotas.size)])
        value = np.concatenate([use[mine] / PPM, np.ones(quotas.size)])
        self.add_rows_of(owner, np.concatenate([pair[mine], short]), value, open_[quotas], np.full(quotas.size, np.inf))

    def _add_columns(self, most: Floats, gain: Floats) -> Ints:
        """Add variables that need not be whole; return their numbers."""
        self._most.append(most)
        self._gain.append(gain / self._unit)
        self.columns += most.size
        return np.arange(self.columns - most.size, self.columns)

    def add_quotas(self, small: Small | None) -> None:
        """(5) No quota uses more than its limit, nor do its children with what they keep for themselves."""
        limits = self._choices.limits
        if not limits.parent.size:
            return
        pair, quota, use = chain_uses(self._choices, self._which)
        limited = limits.account[:, LEFT] < NO_LIMIT
        reserved = np.zeros(limited.size) if small is None else self._reserved(small)
        none = np.full(limited.size, -np.inf)
        room = np.where(limited, np.maximum(limits.account[:, LEFT] / PPM - reserved, 0), np.inf)
        self.add_rows_of(quota, pair, use / PPM, none, room)
        # over[c] = what child c uses beyond what it keeps
        child = np.flatnonzero((limits.parent >= 0) & limited[limits.parent])
        at = np.full(limited.size, -1)
        at[child] = np.arange(child.size)
        over = self._add_columns(np.full(child.size, np.inf), np.zeros(child.size))
        mine = np.flatnonzero(at[quota] >= 0)
        kept = np.maximum(limits.account[child, KEPT], 0) / PPM
        owner = np.concatenate([at[quota[mine]], np.arange(child.size)])
        value = np.concatenate([use[mine] / PPM, np.full(child.size, -1.0)])
        column = np.concatenate([pair[mine], over])
        self.add_rows_of(owner, column, value, np.full(child.size, -np.inf), kept - reserved[child])
        leaf = limits.tenant_quota[self._choices.groups.tenant[self._group[pair]], limits.pool_hub[self._pool[pair]]]
        direct = np.flatnonzero((quota == leaf) & limited[quota])
        owner = np.concatenate([quota[direct], limits.parent[child]])
        value = np.concatenate([use[direct] / PPM, np.ones(child.size)])
        lent = np.where(limited, np.maximum(limits.account[:, LEND], 0) / PPM, np.inf)
        self.add_rows_of(owner, np.concatenate([pair[direct], over]), value, none, lent)

    def _reserved(self, small: Small) -> Floats:
        """Return [Q]: what small jobs will use of the guarantees at and below each quota, PFLOPS."""
        limits = self._choices.limits
        pair, quota, use = chain_uses(self._choices, small.pairs)
        used = np.bincount(quota, weights=use / PPM * small.count[pair], minlength=limits.parent.size)
        own = np.minimum(used, self._rows.headroom / PPM)
        below = np.zeros_like(own)
        for each in range(own.size - 1, -1, -1):  # children come after their parents
            own[each] = max(own[each], below[each])
            if limits.parent[each] >= 0:
                below[limits.parent[each]] += own[each]
        return own

    def solve(self) -> Floats | None:
        """Return the value of every variable; None when none were found.

        First the linear relaxation; then, in whole numbers, what it leaves in question: variables that it has between
        two integers, and those that would cost least to change. All others stay as they are there.
        """
        work = mathopt.SolveParameters(threads=1, iteration_limit=_ITERATIONS_MAX)
        relaxed = solved(self._proto(None), mathopt.SolverType.GLOP, work, _NOT_ZERO)
        if relaxed is None or relaxed.termination.reason is not mathopt.TerminationReason.OPTIMAL:
            return None
        values = _by_id(relaxed.variable_values(), self.columns)
        slope = np.abs(_by_id(relaxed.reduced_costs(), self.columns))[: self._which.size]
        split = np.abs(values - np.rint(values))[: self._which.size] > _ZERO
        large = self._size >= LARGE_BLOCKS
        tier = self._choices.groups.tier[self._group]
        open_ = split.copy()
        for mine, most in ((large & (tier < tier.max()), _ABOVE_MAX), (large & (tier == tier.max()), _CORE_MAX)):
            at = np.flatnonzero(mine & ~split)
            open_[at[np.argsort(slope[at], kind="stable")[:most]]] = True
        sure = np.flatnonzero(~open_)
        work = mathopt.SolveParameters(node_limit=_NODES_MAX, relative_gap_tolerance=_GAP, random_seed=1)
        whole = solved(self._proto((sure, np.rint(values[sure]))), mathopt.SolverType.HIGHS, work, _NOT_ZERO)
        if whole is None or not whole.has_primal_feasible_solution():
            return None
        return _by_id(whole.variable_values(), self.columns)

    def _proto(self, fixed: tuple[Ints, Floats] | None) -> model_pb2.ModelProto:
        """Fill the solver's input: the relaxation, or the program in whole numbers with some variables fixed."""
        least, most = np.zeros(self.columns), self._largest()
        if fixed is not None:
            least[fixed[0]] = most[fixed[0]] = fixed[1]
        row, column, value = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        lower, upper = (np.concatenate(side) for side in zip(*self._sides, strict=True))
        return filled(
            least=least,
            most=most,
            gain=np.concatenate(self._gain),
            sides=(lower, upper),
            coefficients=(row, column, value),
            whole=0 if fixed is None else self._which.size,
        )

    def _largest(self) -> Floats:
        return np.concatenate(self._most)


def _by_id(values: Mapping[mathopt.Variable, float], size: int) -> Floats:
    found = np.zeros(size)
    for variable, value in values.items():
        found[variable.id] = value
    return found
