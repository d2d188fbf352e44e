"""Fill some pools again with the solver: which gangs run there, and on small parts also on which nodes.

Data        pairs (g, p) in question     held[g, p]: gangs that run there for certain     left[g]: jobs to hand out
Variables   run[g, p] in {0 .. left[g]}
            on[q, n] >= 0                tasks of kind q (equal cards, CPU and memory) on node n; exact parts only
Maximise    sum of worth * run
Subject to  (1) sum over p of run[g, p] <= left[g]                                   for all g
            (2) sum over g of use * (held + run) <= capacity                         for all rows of all pools
            (3) sum over nodes n of p of on[q, n] = sum over g of kind q of tasks * (held + run)       exact parts only
            (4) sum over q of need[q] * on[q, n] <= free[n]     cards, CPU, memory   exact parts only

Without (3) and (4) the answer says how many gangs run where, and packing shows whether the nodes agree. With them
it names the nodes: needed where sizes do not divide each other, or where CPU or memory decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from ortools.sat.python import cp_model

from scheduler.choices import Choices
from scheduler.ground import Batch
from scheduler.policy import Policy
from scheduler.prices import Rows
from scheduler.snapshot import Ints

Pair = tuple[int, int]  # group, pool
_WORTH_BITS: Final = 50  # total worth handed to the solver: more loses precision in its arithmetic, not in ours


class Found(StrEnum):
    """What a solver call ended with."""

    BEST = "best"  # no better filling of this part exists
    SOME = "some"  # a filling, perhaps not the best
    NOTHING = "nothing"  # none found within the work allowed; the caller keeps what it has


@dataclass(frozen=True)
class Part:
    """The piece of the plan to be solved again. Whatever is not in `pools` stays as it is."""

    pools: tuple[int, ...]
    free_pairs: tuple[Pair, ...]  # the pairs in question
    now: Mapping[Pair, int]  # gangs that run in `pools` at present, all pairs
    left: Mapping[int, int]  # jobs of each group in question that run nowhere outside `pools`
    exact: bool  # whether nodes are part of the model


@dataclass
class Filling:
    """The solver's answer: gangs by pair and, for an exact part, the tasks of each kind on each node."""

    found: Found
    gangs: dict[Pair, int] = field(default_factory=dict)
    batches: list[Batch] | None = None


@dataclass
class _Tasks:
    """Tasks of one kind in one pool: a number that is certain, and variables with the tasks of one gang each."""

    certain: int = 0
    open: list[tuple[cp_model.IntVar, int]] = field(default_factory=list)


@dataclass(eq=False)
class _Model:
    solver_model: cp_model.CpModel
    run: dict[Pair, cp_model.IntVar]
    on: dict[tuple[int, int], cp_model.IntVar]  # kind, node


def refill(choices: Choices, rows: Rows, policy: Policy, part: Part, kinds: Ints, hint: Sequence[Batch]) -> Filling:
    """Return the best filling found within the policy's work for one step. `kinds` numbers the shapes' task kinds."""
    model = _Model(cp_model.CpModel(), {}, {})
    _add_runs(part, model)  # (1)
    _add_rows(choices, rows, part, model)  # (2)
    if part.exact:
        _add_nodes(choices, part, kinds, model)  # (3) and (4)
        _hint_nodes(choices, kinds, model, hint)
    _add_objective(choices, model)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.cp_model_presolve = False  # measured: three times the steps for the same work, and better plans
    solver.parameters.random_seed = policy.seed
    solver.parameters.max_deterministic_time = policy.solver_work_ms_per_step / 1000
    status = solver.solve(model.solver_model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Filling(Found.NOTHING)
    free = set(part.free_pairs)
    gangs = {pair: count for pair, count in part.now.items() if pair not in free and count}
    gangs |= {pair: count for pair, variable in model.run.items() if (count := solver.value(variable))}
    filling = Filling(Found.BEST if status == cp_model.OPTIMAL else Found.SOME, gangs)
    if part.exact:
        tasks = {key: count for key, variable in model.on.items() if (count := solver.value(variable))}
        filling.batches = _deal(choices, kinds, gangs, tasks)
    return filling


def _add_runs(part: Part, model: _Model) -> None:
    """(1) No job runs twice."""
    by_group: dict[int, list[cp_model.IntVar]] = {}
    for group, pool in part.free_pairs:
        variable = model.solver_model.new_int_var(0, part.left[group], f"run[{group},{pool}]")
        model.run[group, pool] = variable
        model.solver_model.add_hint(variable, part.now.get((group, pool), 0))
        by_group.setdefault(group, []).append(variable)
    for group, variables in by_group.items():
        if len(variables) > 1:
            model.solver_model.add(sum(variables) <= part.left[group]).with_name(f"(1) group {group}")


def _add_rows(choices: Choices, rows: Rows, part: Part, model: _Model) -> None:
    """(2) Every capacity row of every pool holds."""
    use = rows.use
    for pool in part.pools:
        here = [(group, variable) for (group, at), variable in model.run.items() if at == pool]
        held = _held(choices, part, model, pool)
        for row in range(rows.columns):
            taken = sum(count * int(use[shape, row]) for shape, count in held)
            terms = [(variable, int(use[choices.shape[group], row])) for group, variable in here]
            terms = [(variable, weight) for variable, weight in terms if weight]
            if terms:
                load = cp_model.LinearExpr.weighted_sum([v for v, _ in terms], [w for _, w in terms])
                model.solver_model.add(load <= int(rows.capacity[pool, row]) - taken).with_name(f"(2) {pool}/{row}")


def _held(choices: Choices, part: Part, model: _Model, pool: int) -> list[tuple[int, int]]:
    """Return (shape, gangs) of what runs in the pool for certain."""
    return [
        (int(choices.shape[group]), count)
        for (group, at), count in part.now.items()
        if at == pool and (group, at) not in model.run
    ]


def _add_nodes(choices: Choices, part: Part, kinds: Ints, model: _Model) -> None:
    """(3) Every task that runs is on a node; (4) no node gives more than it has free."""
    snapshot = choices.snapshot
    first_shape = {int(kind): shape for shape, kind in reversed(list(enumerate(kinds.tolist())))}
    resources = (
        (snapshot.shape_cards_per_task, snapshot.node_free_cards),
        (snapshot.shape_cpu_milli_per_task, snapshot.node_free_cpu_milli),
        (snapshot.shape_memory_mib_per_task, snapshot.node_free_memory_mib),
    )
    for pool in part.pools:
        wanted = _tasks_wanted(choices, part, kinds, model, pool)
        nodes = np.flatnonzero((snapshot.node_pool == pool) & snapshot.node_open & (snapshot.node_free_cards > 0))
        for kind in wanted:
            for node in nodes.tolist():
                room = min(
                    int(free[node]) // int(need[first_shape[kind]])
                    for need, free in resources
                    if need[first_shape[kind]]
                )
                if room:
                    model.on[kind, node] = model.solver_model.new_int_var(0, room, f"on[{kind},{node}]")
        for kind, tasks in wanted.items():
            placed = [(model.on[kind, node], 1) for node in nodes.tolist() if (kind, node) in model.on]
            taken = [(variable, -count) for variable, count in tasks.open]
            balance = cp_model.LinearExpr.weighted_sum(*zip(*(placed + taken), strict=True))
            model.solver_model.add(balance == tasks.certain).with_name(f"(3) {pool}/{kind}")
        for node in nodes.tolist():
            here = [(kind, model.on[kind, node]) for kind in wanted if (kind, node) in model.on]
            for need, free in resources:
                weights = [int(need[first_shape[kind]]) for kind, _ in here]
                if any(weights):
                    load = cp_model.LinearExpr.weighted_sum([v for _, v in here], weights)
                    model.solver_model.add(load <= int(free[node])).with_name(f"(4) {node}")


def _tasks_wanted(choices: Choices, part: Part, kinds: Ints, model: _Model, pool: int) -> dict[int, _Tasks]:
    """Return, for each task kind, how many tasks run in the pool."""
    tasks = choices.snapshot.shape_tasks
    wanted: dict[int, _Tasks] = {}
    for shape, count in _held(choices, part, model, pool):
        wanted.setdefault(int(kinds[shape]), _Tasks()).certain += count * int(tasks[shape])
    for (group, at), variable in model.run.items():
        if at == pool:
            shape = int(choices.shape[group])
            wanted.setdefault(int(kinds[shape]), _Tasks()).open.append((variable, int(tasks[shape])))
    return wanted


def _hint_nodes(choices: Choices, kinds: Ints, model: _Model, hint: Sequence[Batch]) -> None:
    tasks: dict[tuple[int, int], int] = {}
    for batch in hint:
        kind = int(kinds[choices.shape[batch.group]])
        for node, count in zip(batch.nodes, batch.tasks, strict=True):
            tasks[kind, node] = tasks.get((kind, node), 0) + count
    for key, variable in model.on.items():
        model.solver_model.add_hint(variable, tasks.get(key, 0))


def _add_objective(choices: Choices, model: _Model) -> None:
    worth = [int(choices.worth[pair]) for pair in model.run]
    most = sum(value * int(choices.count[group]) for value, (group, _) in zip(worth, model.run, strict=True))
    unit = max(most >> _WORTH_BITS, 1)
    weights = [value // unit for value in worth]
    model.solver_model.maximize(cp_model.LinearExpr.weighted_sum(list(model.run.values()), weights))


def _deal(
    choices: Choices, kinds: Ints, gangs: Mapping[Pair, int], tasks: Mapping[tuple[int, int], int]
) -> list[Batch]:
    """Hand the tasks that the solver put on nodes to the gangs of their kind."""
    snapshot = choices.snapshot
    stock: dict[tuple[int, int], list[list[int]]] = {}
    for (kind, node), count in sorted(tasks.items()):
        stock.setdefault((kind, int(snapshot.node_pool[node])), []).append([node, count])
    batches = []
    for (group, pool), count in sorted(gangs.items()):
        shape = int(choices.shape[group])
        missing = count * int(snapshot.shape_tasks[shape])
        shelf = stock[int(kinds[shape]), pool]
        nodes, taken = [], []
        while missing:
            node, there = shelf[0]
            used = min(there, missing)
            nodes.append(node)
            taken.append(used)
            missing -= used
            shelf[0][1] -= used
            if not shelf[0][1]:
                shelf.pop(0)
        batches.append(Batch(group, pool, count, tuple(nodes), tuple(taken)))
    return batches
