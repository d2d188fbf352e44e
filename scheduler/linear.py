"""The best prices there are, for instances small enough: the duals of the linear relaxation.

Variables   run[g, p] in [0, count[g]]                                  for every eligible pair
Maximise    sum of worth * run
Subject to  (1) sum over p of run[g, p] <= count[g]                     for all g
            (2) sum over g of use[g, r] * run[g, p] <= capacity[p, r]   for all p, r
Prices      the duals of (2), rounded

The caller evaluates the bound at the rounded prices exactly, so nothing rests on the solver's tolerances.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

from scheduler.choices import Choices
from scheduler.prices import Rows
from scheduler.snapshot import Ints

_ITERATIONS_MAX: Final = 100_000


def duals(choices: Choices, rows: Rows) -> Ints | None:
    """Return prices [P, R], or None when the solver has none to offer."""
    model = _model(choices, rows)
    limits = mathopt.SolveParameters(iteration_limit=_ITERATIONS_MAX, threads=1)
    result = mathopt.solve(mathopt.Model.from_model_proto(model), mathopt.SolverType.GLOP, params=limits)
    if result.termination.reason is not mathopt.TerminationReason.OPTIMAL or not result.has_dual_feasible_solution():
        return None
    by_row = np.zeros(len(model.linear_constraints.ids))
    for constraint, value in result.dual_values().items():
        by_row[constraint.id] = value
    found = by_row[choices.shape.size :].reshape(rows.capacity.shape) * _unit_worth(choices)
    return np.rint(np.clip(found, 0, rows.price_max)).astype(np.int64)


def _unit_worth(choices: Choices) -> int:
    """Return the worth that counts as 1 in the program: the solver wants figures of moderate size."""
    return max(int(choices.worth.max(initial=1)) // 1000, 1)


def _model(choices: Choices, rows: Rows) -> model_pb2.ModelProto:
    """Fill the solver's input from arrays: rows (1) first, then (2) pool by pool."""
    group, pool = np.nonzero(choices.worth)
    groups, count = choices.shape.size, group.size
    use = rows.use[choices.shape[group]]
    column, kind = np.nonzero(use)
    row_ids = np.concatenate([group, groups + pool[column] * rows.columns + kind])
    column_ids = np.concatenate([np.arange(count), column])
    values = np.concatenate([np.ones(count), use[column, kind] / rows.divisor[kind]])
    order = np.lexsort((column_ids, row_ids))
    total = groups + rows.capacity.size

    model = model_pb2.ModelProto()
    model.variables.ids.extend(range(count))
    model.variables.lower_bounds.extend([0.0] * count)
    model.variables.upper_bounds.extend(choices.count[group].astype(float).tolist())
    model.variables.integers.extend([False] * count)
    model.objective.maximize = True
    model.objective.linear_coefficients.ids.extend(range(count))
    worth = choices.worth[group, pool] / _unit_worth(choices)
    model.objective.linear_coefficients.values.extend(worth.tolist())
    model.linear_constraints.ids.extend(range(total))
    model.linear_constraints.lower_bounds.extend([-np.inf] * total)
    limits = np.concatenate([choices.count.astype(float), (rows.capacity / rows.divisor).reshape(-1)])
    model.linear_constraints.upper_bounds.extend(limits.tolist())
    model.linear_constraint_matrix.row_ids.extend(row_ids[order].tolist())
    model.linear_constraint_matrix.column_ids.extend(column_ids[order].tolist())
    model.linear_constraint_matrix.coefficients.extend(values[order].tolist())
    return model
