"""The best prices there are, for instances small enough: the duals of the linear relaxation.

Data        worth[i] of pair i where its tier is the aim     use[i, q]: what it counts to quota q, milli-TFLOPS
            level of the guarantees and of each tier above the aim: what the plan has reached there
Variables   run[i] in [0, count of its group]          for every eligible pair
            served[q] in [0, headroom[q]]               when the aim is the guarantees
Maximise    sum of worth * run, or sum of served
Subject to  (1) sum over the group's pairs of run <= count           for all groups
            (2) sum of use * run <= capacity                         for all rows of all pools
            (3) sum of meter * run <= free watts                     for all hubs with a cap or a pace
            (4) sum of use * run <= room                             for all quotas with a limit
            (5) sum of use * run >= level, or >= served              for all quotas with a guarantee
            (6) sum of worth * run >= level                          for all tiers above
Prices      the duals of (2) to (6), rounded; a guarantee and a tier above have theirs with the sign turned

The caller evaluates the bound at the rounded prices exactly, so nothing rests on the solver's tolerances.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

from scheduler.choices import Choices
from scheduler.limits import NO_LIMIT
from scheduler.rows import PPM, PriceVector, Rows
from scheduler.search import GUARANTEE, Aim
from scheduler.snapshot import Ints

_ITERATIONS_MAX: Final = 100_000
_WATTS_PER_KILOWATT: Final = 1000
_PRICE_MAX: Final = 2.0**60  # whoever evaluates prices knows a lower end; this one is that of the numbers

Floats = NDArray[np.float64]


def solved(
    model: model_pb2.ModelProto,
    solver: mathopt.SolverType,
    params: mathopt.SolveParameters,
    wanted: mathopt.ModelSolveParameters | None = None,
) -> mathopt.SolveResult | None:
    """Return what the solver says; None where it refuses the model, for numbers beyond its range for example."""
    try:
        return mathopt.solve(mathopt.Model.from_model_proto(model), solver, params=params, model_params=wanted)
    except (ValueError, RuntimeError, AttributeError):  # the last: OR-Tools 9.15 trips over its own error status
        return None


def filled(
    *,
    least: Floats,
    most: Floats,
    gain: Floats,
    sides: tuple[Floats, Floats],
    coefficients: tuple[Ints, Ints, Floats],
    whole: int = 0,
) -> model_pb2.ModelProto:
    """Return a program to be maximised, from arrays: adding terms one by one takes longer than solving.

    Args:
        least, most, gain: [V] of each variable.
        sides: [C] what each row must at least and at most come to.
        coefficients: row, column and value of each; in any order.
        whole: so many variables, the first ones, are integers.
    """
    row, column, value = coefficients
    order = np.lexsort((column, row))
    model = model_pb2.ModelProto()
    model.variables.ids.extend(range(least.size))
    model.variables.lower_bounds.extend(least.tolist())
    model.variables.upper_bounds.extend(most.tolist())
    model.variables.integers.extend([True] * whole + [False] * (least.size - whole))
    model.objective.maximize = True
    model.objective.linear_coefficients.ids.extend(np.flatnonzero(gain).tolist())
    model.objective.linear_coefficients.values.extend(gain[gain != 0].tolist())
    model.linear_constraints.ids.extend(range(sides[0].size))
    model.linear_constraints.lower_bounds.extend(sides[0].tolist())
    model.linear_constraints.upper_bounds.extend(sides[1].tolist())
    model.linear_constraint_matrix.row_ids.extend(row[order].tolist())
    model.linear_constraint_matrix.column_ids.extend(column[order].tolist())
    model.linear_constraint_matrix.coefficients.extend(value[order].tolist())
    return model


def duals(choices: Choices, rows: Rows, aim: Aim) -> PriceVector | None:
    """Return the best prices for this tier, or None when the solver has none to offer."""
    program = _Program(choices, rows, aim)
    limits = mathopt.SolveParameters(iteration_limit=_ITERATIONS_MAX, threads=1)
    result = solved(program.proto(), mathopt.SolverType.GLOP, limits)
    if result is None or result.termination.reason is not mathopt.TerminationReason.OPTIMAL:
        return None
    if not result.has_dual_feasible_solution():
        return None
    by_row = np.zeros(program.rows_total)
    for constraint, value in result.dual_values().items():
        by_row[constraint.id] = value
    return program.prices(by_row)


def chain_uses(choices: Choices, which: Ints) -> tuple[Ints, Ints, Ints]:
    """Return position in `which`, quota and milli-TFLOPS of each use of these pairs that counts to a quota.

    A pair counts to the tenant's quota and to all above it.
    """
    pairs, limits = choices.pairs, choices.limits
    pool = pairs.pool[which]
    hub = limits.pool_hub[pool]
    tenant = choices.groups.tenant[pairs.group[which]]
    milli = choices.kinds.milli_cards[pairs.kind[which]]
    use = -(-milli * limits.pool_milli_tflops[pool] // 1000)
    if not limits.parent.size:
        tenant = np.full_like(tenant, -1)
    pair = np.flatnonzero(tenant >= 0)
    quota = limits.tenant_quota[tenant[pair], hub[pair]]
    found = [np.zeros((2, 0), dtype=np.int64)]
    while pair.size:
        pair, quota = pair[quota >= 0], quota[quota >= 0]
        found.append(np.stack([pair, quota]))
        quota = limits.parent[quota]
    at, of = np.concatenate(found, axis=1)
    return at, of, use[at]


class _Program:
    """The linear program as arrays: its rows one after the other, in the order of their numbers above."""

    def __init__(self, choices: Choices, rows: Rows, aim: Aim) -> None:
        self._choices = choices
        self._rows = rows
        self._aim = aim
        self._tier = choices.groups.tier[choices.pairs.group]
        # the solver wants figures of moderate size: worth in thousandths of the largest, quota use in PFLOPS
        self._unit = PPM if aim.tier == GUARANTEE else max(int(choices.pairs.worth.max(initial=1)) // 1000, 1)
        sizes = (
            choices.groups.count.size,  # (1)
            rows.capacity.size,  # (2)
            rows.hub_free_watts.size,  # (3)
            rows.quota_room.size,  # (4)
            rows.headroom.size,  # (5)
            len(aim.above),  # (6)
        )
        self._first = np.concatenate([[0], np.cumsum(sizes)])
        self.rows_total = int(self._first[-1])

    def proto(self) -> model_pb2.ModelProto:
        """Fill the solver's input."""
        count, served = self._choices.pairs.worth.size, self._served()
        row, column, value = self._coefficients()
        lower, upper = self._sides()
        largest = np.concatenate([self._choices.groups.count[self._choices.pairs.group], served / PPM])
        variables = count + served.size
        wanted = np.where(self._tier == self._aim.tier, self._choices.pairs.worth / self._unit, 0.0)
        return filled(
            most=largest.astype(np.float64),
            gain=np.concatenate([wanted, np.ones(served.size)]),
            sides=(lower, upper),
            coefficients=(row, column, value),
            least=np.zeros(variables),
        )

    def prices(self, by_row: Floats) -> PriceVector:
        """Return the duals of all rows as prices."""
        rows, unit = self._rows, self._unit
        _, pool, power, quota, guarantee, above = np.split(by_row, self._first[1:-1])

        def rounded(values: Floats) -> Ints:
            return np.rint(np.clip(values, 0, _PRICE_MAX)).astype(np.int64)

        return PriceVector(
            pool=rounded(pool * unit).reshape(rows.capacity.shape),
            power=rounded(power * unit),
            quota=rounded(quota * unit),
            guarantee=rounded(-guarantee * unit),
            tier_ppm=rounded(-above * PPM),
        )

    def _served(self) -> Ints:
        """Return the headroom of each quota that has a variable `served`, all of them or none."""
        return self._rows.headroom if self._aim.tier == GUARANTEE else self._rows.headroom[:0]

    def _sides(self) -> tuple[Floats, Floats]:
        """Return what each row must at least and at most come to."""
        rows, aim = self._rows, self._aim
        lower, upper = np.full(self.rows_total, -np.inf), np.full(self.rows_total, np.inf)
        at = self._first
        upper[at[0] : at[1]] = self._choices.groups.count
        upper[at[1] : at[2]] = (rows.capacity / rows.divisor).reshape(-1)
        limited = rows.hub_free_watts < NO_LIMIT
        upper[at[2] : at[3]][limited] = rows.hub_free_watts[limited] / _WATTS_PER_KILOWATT
        limited = rows.quota_room < NO_LIMIT
        upper[at[3] : at[4]][limited] = rows.quota_room[limited] / PPM
        if aim.tier == GUARANTEE:
            lower[at[4] : at[5]] = 0
        else:
            lower[at[4] : at[5]][aim.served > 0] = aim.served[aim.served > 0] / PPM
        lower[at[5] : at[6]] = [worth / self._unit for worth in aim.worth_above]
        return lower, upper

    def _coefficients(self) -> tuple[Ints, Ints, Floats]:
        """Return row, column and value of everything that is not 0."""
        choices, rows, first = self._choices, self._rows, self._first
        pairs = choices.pairs
        every = np.arange(pairs.worth.size)
        use = rows.use[pairs.kind]
        at, column = np.nonzero(use)
        parts = [
            (pairs.group, every, np.ones(every.size)),  # (1)
            (first[1] + pairs.pool[at] * rows.columns + column, at, use[at, column] / rows.divisor[column]),  # (2)
        ]
        if rows.meter.size:
            meter = rows.meter[pairs.kind, pairs.pool] / _WATTS_PER_KILOWATT
            parts.append((first[2] + choices.limits.pool_hub[pairs.pool], every, meter))  # (3)
        pair, quota, taken = chain_uses(choices, every)
        parts += [(first[3] + quota, pair, taken / PPM), (first[4] + quota, pair, taken / PPM)]  # (4) and (5)
        served = np.arange(self._served().size)
        parts.append((first[4] + served, every.size + served, np.full(served.size, -1.0)))
        for position, tier in enumerate(self._aim.above):  # (6)
            mine = np.flatnonzero(self._tier == tier)
            parts.append((np.full(mine.size, first[5] + position), mine, pairs.worth[mine] / self._unit))
        row, variable, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        return row[value != 0], variable[value != 0], value[value != 0]
