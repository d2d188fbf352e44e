"""Pack tasks with shares of a card on nodes, through card patterns; with a bound that no packing exceeds.

Data        kinds of task: share of one card, or whole cards, or none; CPU, memory, models; count, worth, required
            groups of equal nodes: model, CPU, memory, free milli of each card
Variables   run[c, g] >= 0      tasks of kind c on nodes of group g
            used[g, m, p] >= 0  cards of group g with m milli free that are filled by pattern p (a multiset of shares)
            short[c] >= 0       required tasks that find no place, at a price above everything else
Maximise    sum of worth * run - much * short
Subject to  (1) sum over g of run[c, g] <= count[c]                                                 for all c
            (2) sum over g of run[c, g] + short[c] >= required[c]                                   for all c
            (3) sum of run[c, g] over kinds of share s <= sum of times[p, s] * used[g, m, p]        for all g, s
            (4) sum of used[g, m, p], and of cards * run for whole cards where m = 1000 <= cards there   for all g, m
            (5) sum of run * (cards // b) <= nodes * (idle cards // b)               for all g, task sizes b > 1
            (6) CPU, (7) memory of the group                                                        for all g

Patterns are made as they are needed, by a knapsack at the current prices. The program's duals, rounded to integers,
give the bound exactly: nothing rests on the solver's tolerances. Its solution, rounded, is dealt out card by card with
CPU kept level (`card_fill`), which also fills what is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ortools.math_opt.python import mathopt

from scheduler.card_fill import Filling, deal, force, make_room, put_anywhere, refill, rework
from scheduler.card_ground import CARD_MILLI, Ground, Kind, Node, Placed, check

ROUNDS_MAX: Final = 60  # of making patterns; the openb traces need some 20
PASSES_MAX: Final = 2  # over the nodes that are not full; a third wins nothing that matters
PRICE_UNIT: Final = 10**6  # integer prices are in millionths of worth
_ITERATIONS_MAX: Final = 200_000
_SHORT_FACTOR: Final = 1000  # what a required task that finds no place costs, in the greatest worth of a task
_NEGLIGIBLE: Final = 1e-7
_CPU_KEPT: Final = 0.06  # the last part of the CPU, which packing node by node seldom gets to use
_CPU_COST: Final = 0.05  # of a core of that part, in the greatest worth of a task

Pattern = tuple[int, ...]  # share sizes in milli, largest first


@dataclass(frozen=True)
class Packing:
    """Where the tasks go, and what no packing exceeds.

    Attributes:
        placed: every task that has a place.
        worth: of all of them.
        bound: no packing that puts all required tasks is worth more; None when the solver had no prices to offer.
        missing: by kind, required tasks without a place.
        patterns: how many patterns of shares the program ended with.
    """

    placed: tuple[Placed, ...]
    worth: int
    bound: int | None
    missing: Mapping[int, int]
    patterns: int


@dataclass(frozen=True)
class Group:
    """Equal nodes.

    Attributes:
        nodes: their indices.
        levels: cards of each free milli above 0, over all its nodes.
        idle: whole cards free on one node.
        kinds: of task that fit on an empty node of it.
    """

    nodes: tuple[int, ...]
    like: Node
    levels: Mapping[int, int]
    idle: int
    kinds: tuple[int, ...]


def groups_of(kinds: Sequence[Kind], nodes: Sequence[Node]) -> list[Group]:
    """Return the groups of equal nodes, in the order of their first node."""
    members: dict[Node, list[int]] = {}
    for index, node in enumerate(nodes):
        members.setdefault(node._replace(cards=tuple(sorted(node.cards))), []).append(index)
    found = []
    for like, indices in members.items():
        levels = Counter({m: count * len(indices) for m, count in Counter(like.cards).items() if m})
        idle = like.cards.count(CARD_MILLI)
        fitting = tuple(c for c, kind in enumerate(kinds) if kind.count and _fits(kind, like, idle))
        found.append(Group(tuple(indices), like, levels, idle, fitting))
    return found


def _fits(kind: Kind, node: Node, idle: int) -> bool:
    if kind.models and node.model not in kind.models:
        return False
    if kind.cpu_milli > node.cpu_milli or kind.memory_mib > node.memory_mib or kind.cards > idle:
        return False
    return kind.share_milli <= max(node.cards, default=0)


class _Program:
    """The linear program, and the patterns that it has so far."""

    def __init__(self, kinds: Sequence[Kind], groups: Sequence[Group]) -> None:
        self.kinds, self.groups = kinds, groups
        self.unit = max((kind.worth for kind in kinds), default=1) or 1
        self.model = mathopt.Model(name="patterns")
        self.sizes = sorted({kind.share_milli for kind in kinds if kind.share_milli}, reverse=True)
        self.blocks = sorted({kind.cards for kind in kinds if kind.cards > 1})
        self.patterns: dict[Pattern, None] = {}
        self.run: dict[tuple[int, int], mathopt.Variable] = {}
        self.used: dict[tuple[int, int, Pattern], mathopt.Variable] = {}
        self._add_rows()
        self._add_runs()
        self._add_short()

    def _add_rows(self) -> None:
        add, groups = self.model.add_linear_constraint, self.groups
        self.count = [add(ub=float(kind.count), name=f"(1) {c}") for c, kind in enumerate(self.kinds)]
        self.required = {
            c: add(lb=float(kind.required), name=f"(2) {c}") for c, kind in enumerate(self.kinds) if kind.required
        }
        self.share = {(g, s): add(ub=0.0, name=f"(3) {g} {s}") for g in range(len(groups)) for s in self.sizes}
        self.level = {
            (g, m): add(ub=float(cards), name=f"(4) {g} {m}")
            for g, group in enumerate(groups)
            for m, cards in group.levels.items()
        }
        self.block = {
            (g, b): add(ub=float(len(group.nodes) * (group.idle // b)), name=f"(5) {g} {b}")
            for g, group in enumerate(groups)
            for b in self.blocks
        }
        scale = self._scale
        self.cpu = [add(ub=len(g.nodes) * g.like.cpu_milli / scale, name=f"(6) {i}") for i, g in enumerate(groups)]
        self.memory = [add(ub=len(g.nodes) * g.like.memory_mib / scale, name=f"(7) {i}") for i, g in enumerate(groups)]

    _scale: Final = 1000.0  # of CPU and memory: the solver wants figures of moderate size

    def _add_runs(self) -> None:
        for g, group in enumerate(self.groups):
            for c in group.kinds:
                kind = self.kinds[c]
                run = self.model.add_variable(lb=0.0)
                self.run[c, g] = run
                self.model.objective.set_linear_coefficient(run, kind.worth / self.unit)
                self.count[c].set_coefficient(run, 1.0)
                if c in self.required:
                    self.required[c].set_coefficient(run, 1.0)
                if kind.share_milli:
                    self.share[g, kind.share_milli].set_coefficient(run, 1.0)
                if kind.cards:
                    self.level[g, CARD_MILLI].set_coefficient(run, float(kind.cards))
                for b in self.blocks:
                    self.block[g, b].set_coefficient(run, float(kind.cards // b))
                self.cpu[g].set_coefficient(run, kind.cpu_milli / self._scale)
                self.memory[g].set_coefficient(run, kind.memory_mib / self._scale)
        self.model.objective.is_maximize = True

    def _add_short(self) -> None:
        for row in self.required.values():
            short = self.model.add_variable(lb=0.0)
            self.model.objective.set_linear_coefficient(short, -float(_SHORT_FACTOR))
            row.set_coefficient(short, 1.0)

    def spare_cpu(self) -> None:
        """Let the last part of each group's CPU cost a little: packing node by node cannot use it to the last core."""
        for row in self.cpu:
            kept = row.upper_bound * _CPU_KEPT
            last = self.model.add_variable(lb=0.0, ub=kept)
            row.upper_bound -= kept
            row.set_coefficient(last, -1.0)
            self.model.objective.set_linear_coefficient(last, -_CPU_COST)

    def add(self, pattern: Pattern) -> None:
        """Let every card that is large enough use the pattern."""
        self.patterns[pattern] = None
        times, milli = Counter(pattern), sum(pattern)
        for (g, m), level in self.level.items():
            if milli <= m:
                used = self.model.add_variable(lb=0.0)
                self.used[g, m, pattern] = used
                level.set_coefficient(used, 1.0)
                for size, count in times.items():
                    self.share[g, size].set_coefficient(used, -float(count))

    def wanted(self, prices: Prices) -> list[Pattern]:
        """Return patterns that are not there yet and earn more than the card costs."""
        found = []
        for g in range(len(self.groups)):
            worth, last = knapsack({s: prices.share[g, s] for s in self.sizes})
            for m in self.groups[g].levels:
                if worth[m] > prices.level[g, m] + PRICE_UNIT * self.unit * _NEGLIGIBLE:
                    pattern = _pattern(last, m)
                    if pattern not in self.patterns and pattern not in found:
                        found.append(pattern)
        return found

    def prices(self, result: mathopt.SolveResult) -> Prices:
        """Return the duals as integers, made so that the bound holds whatever the solver's tolerances were."""
        duals = result.dual_values()
        by = float(PRICE_UNIT * self.unit)

        def price(row: mathopt.LinearConstraint, scale: float = 1.0) -> int:
            return max(0, round(float(duals[row]) * by / scale))

        return Prices(
            required={c: max(0, round(-float(duals[row]) * by)) for c, row in self.required.items()},
            share={key: price(row) for key, row in self.share.items()},
            level={key: price(row) for key, row in self.level.items()},
            block={key: price(row) for key, row in self.block.items()},
            cpu=[price(row, self._scale) for row in self.cpu],
            memory=[price(row, self._scale) for row in self.memory],
        )


@dataclass(frozen=True)
class Prices:
    """Integer prices in 1 / PRICE_UNIT of worth: of rows (2) by kind, (3), (4), (5) by (group, size), (6), (7)."""

    required: Mapping[int, int]
    share: Mapping[tuple[int, int], int]
    level: Mapping[tuple[int, int], int]
    block: Mapping[tuple[int, int], int]
    cpu: Sequence[int]
    memory: Sequence[int]


def knapsack(earned: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Return, for 0..1000 milli, the most that shares earn there, and the share put last (0: a milli left unused).

    Args:
        earned: by size in milli, >= 0.
    """
    worth, last = [0] * (CARD_MILLI + 1), [0] * (CARD_MILLI + 1)
    for milli in range(1, CARD_MILLI + 1):
        worth[milli] = worth[milli - 1]
        for size, value in earned.items():
            if size <= milli and worth[milli - size] + value > worth[milli]:
                worth[milli], last[milli] = worth[milli - size] + value, size
    return worth, last


def _pattern(last: Sequence[int], milli: int) -> Pattern:
    sizes = []
    while milli > 0:
        if last[milli]:
            sizes.append(last[milli])
        milli -= last[milli] or 1
    return tuple(sorted(sizes, reverse=True))


def bound_of(kinds: Sequence[Kind], groups: Sequence[Group], prices: Prices) -> int:
    """Return what no packing exceeds that puts every required task: exact at any prices >= 0."""
    best: dict[int, int] = {}
    rent = -sum(price * kinds[c].required for c, price in prices.required.items())
    for g, group in enumerate(groups):
        sizes = [s for (at, s) in prices.share if at == g]
        worth, _ = knapsack({s: prices.share[g, s] for s in sizes})
        card = {m: max(prices.level[g, m], worth[m]) for m in group.levels}  # no pattern earns more than its card costs
        blocks = [b for (at, b) in prices.block if at == g]
        rent += sum(card[m] * count for m, count in group.levels.items())
        rent += len(group.nodes) * sum(prices.block[g, b] * (group.idle // b) for b in blocks)
        rent += len(group.nodes) * (group.like.cpu_milli * prices.cpu[g] + group.like.memory_mib * prices.memory[g])
        for c in group.kinds:
            kind = kinds[c]
            cost = kind.cpu_milli * prices.cpu[g] + kind.memory_mib * prices.memory[g]
            if kind.share_milli:
                cost += prices.share[g, kind.share_milli]
            elif kind.cards:
                cost += kind.cards * card[CARD_MILLI] + sum(kind.cards // b * prices.block[g, b] for b in blocks)
            best[c] = max(best.get(c, -cost + kind.worth * PRICE_UNIT), kind.worth * PRICE_UNIT - cost)
    surplus = sum(kinds[c].count * max(0, value + prices.required.get(c, 0)) for c, value in best.items())
    bound: int = (surplus + rent) // PRICE_UNIT
    return bound


@dataclass(frozen=True)
class _Solved:
    bound: int | None
    run: Mapping[tuple[int, int], float]
    used: Mapping[tuple[int, int, Pattern], float]
    patterns: int


def _solve(kinds: Sequence[Kind], groups: Sequence[Group]) -> _Solved:
    """Solve the linear program, making patterns until none is missing."""
    program = _Program(kinds, groups)
    for size in program.sizes:
        program.add((size,) * (CARD_MILLI // size))
    bound, result = None, None
    limits = mathopt.SolveParameters(iteration_limit=_ITERATIONS_MAX, threads=1)
    with mathopt.IncrementalSolver(program.model, mathopt.SolverType.GLOP) as solver:
        for _ in range(ROUNDS_MAX):
            solved = solver.solve(params=limits)
            if not solved.has_primal_feasible_solution() or not solved.has_dual_feasible_solution():
                break
            result = solved
            prices = program.prices(result)
            found = bound_of(kinds, groups, prices)
            bound = found if bound is None else min(bound, found)
            wanted = program.wanted(prices)
            if not wanted:
                break
            for pattern in wanted:
                program.add(pattern)
        program.spare_cpu()
        solved = solver.solve(params=limits)
        if solved.has_primal_feasible_solution():
            result = solved
    if result is None:
        return _Solved(None, {}, {}, len(program.patterns))
    values = result.variable_values()
    run = {key: values[variable] for key, variable in program.run.items() if values[variable] > _NEGLIGIBLE}
    used = {key: values[v] for key, v in program.used.items() if v in values and values[v] > _NEGLIGIBLE}
    return _Solved(bound, run, used, len(program.patterns))


def pack(kinds: Sequence[Kind], nodes: Sequence[Node]) -> Packing:
    """Return where the tasks go. Raise BadPacking for a figure out of range."""
    check(kinds, nodes)
    groups = groups_of(kinds, nodes)
    solved = _solve(kinds, groups)
    ground = Ground(kinds, nodes)
    for g, group in enumerate(groups):
        deal(ground, np.array(group.nodes, dtype=np.int64), _rounded(kinds, group, g, solved, ground.left))
    _fill(ground)
    return Packing(tuple(ground.placed()), ground.worth(), solved.bound, ground.missing(), solved.patterns)


def _rounded(kinds: Sequence[Kind], group: Group, g: int, solved: _Solved, left: Sequence[int]) -> Filling:
    """Round down; cards that this leaves over go to what was rounded down most."""
    run = {c: value for (c, at), value in solved.run.items() if at == g}
    used = {(m, p): value for (at, m, p), value in solved.used.items() if at == g}
    tasks = {c: min(int(value + _NEGLIGIBLE), left[c]) for c, value in run.items() if not kinds[c].share_milli}
    patterns = {key: int(value + _NEGLIGIBLE) for key, value in used.items()}
    for level, cards in group.levels.items():
        spare = cards - sum(count for (m, _), count in patterns.items() if m == level)
        if level == CARD_MILLI:
            spare -= sum(kinds[c].cards * count for c, count in tasks.items())
        rests: list[tuple[float, int, Pattern]] = [
            (patterns[m, p] - v, -1, p) for (m, p), v in used.items() if m == level
        ]
        if level == CARD_MILLI:
            rests += [(n - run[c], c, ()) for c, n in tasks.items() if kinds[c].cards == 1 and n < left[c]]
        for _, c, pattern in sorted(rests)[: max(spare, 0)]:
            if c >= 0:
                tasks[c] += 1
            else:
                patterns[level, pattern] += 1
    slots: Counter[int] = Counter()
    for (_, pattern), count in patterns.items():
        for size in pattern:
            slots[size] += count
    shares: Counter[int] = Counter()
    wanted = sorted((c for c in run if kinds[c].share_milli), key=lambda c: (int(run[c]) - run[c], c))
    for least in (False, True):  # whole parts first, then one more of what lost most
        for c in wanted:
            size = kinds[c].share_milli
            count = 1 if least else int(run[c] + _NEGLIGIBLE)
            count = max(min(count, slots[size], left[c] - shares[c]), 0)
            shares[c] += count
            slots[size] -= count
    return Filling(tasks, shares, patterns)


def _fill(ground: Ground) -> None:
    """Put what rounding left over: required tasks, gangs, then the best on every card that is not full."""
    everywhere = np.arange(len(ground.nodes))
    kinds = ground.kinds
    order = sorted(range(len(kinds)), key=lambda c: (-kinds[c].cards, -kinds[c].cpu_milli, c))
    for c in order:
        while ground.kinds[c].required > kinds[c].count - ground.left[c] and not kinds[c].share_milli:
            if not (put_anywhere(ground, c, everywhere) or (not kinds[c].cards and force(ground, c))):
                break
    for c in order:
        while kinds[c].cards > 1 and ground.left[c] and put_anywhere(ground, c, everywhere):
            pass
    cards = [(-milli, n, k) for n, free in enumerate(ground.milli) for k, milli in enumerate(free) if milli]
    for _, n, k in sorted(cards):
        refill(ground, n, k)
    for _ in range(PASSES_MAX):
        emptiest = [n for _, n in sorted((-sum(free), n) for n, free in enumerate(ground.milli) if any(free))]
        won = sum(make_room(ground, n) for n in emptiest)
        won += sum(rework(ground, n) for n in sorted(emptiest) if any(ground.milli[n]))
        if not won:
            break
    for c in order:
        while kinds[c].cards == kinds[c].share_milli == 0 and ground.left[c] and put_anywhere(ground, c, everywhere):
            pass
