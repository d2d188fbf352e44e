"""Fill some pools again with the solver: which gangs run there, and on small parts also where.

Data        pairs i in question     held: gangs that run in the pools for certain     left[g]: jobs to hand out
            what hubs and quotas still give when everything but the pairs in question stays
Variables   run[i] in {0 .. left[g]}
            over[q] >= 0             what quota q takes beyond what it keeps for itself
            served[q] >= 0           what of the guarantee of quota q is served
            on[k, s] >= 0            units of kind k on spot s (a node, a split card, a free card to be split)
            split[s] in {0, 1}       whether a free card is split
            close[k, d] >= 0         gangs of kind k in domain d
Maximise    sum of served, then by tier, the highest first, sum of worth * run; what is reached becomes a row
Subject to  (1) sum of run <= left                                               for all groups
            (2) sum of use * (held + run) <= capacity                            for all rows of all pools
            (3) sum of meter * run <= watts                                      for all hubs with a cap or a pace
            (4) sum of use at or below the quota <= room                         for all quotas with a limit
            (5) use of the quota itself + sum of its children's over <= room     for all quotas with a limit
            (6) sum of on = units of (held + run)                                for all kinds in all pools
            (7) cards, CPU and memory of what is on a node, and cards split there <= what is free
            (8) shares on a card <= what is free of it, in thousandths and in number
            (9) sum of on in the domain = units * close                          for kinds that must be close together

(6) to (9) are in exact parts only. Without them the answer says how many gangs run where, and packing shows whether
the nodes agree. With them it names the spots: needed where sizes do not divide each other, where CPU or memory decide,
for shares and for gangs that must be close together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from ortools.sat.python import cp_model

from scheduler.choices import Choices
from scheduler.limits import KEPT, LEFT, LEND, NEW, NO_LIMIT
from scheduler.policy import Policy
from scheduler.rows import Rows
from scheduler.snapshot import Ints
from scheduler.spots import Gangs, Lines, Spots, Term, sum_of

_WORTH_BITS: Final = 50  # total worth handed to the solver: more loses precision in its arithmetic, not in ours
_WORK_MIN: Final = 0.001  # seconds of deterministic work: later goals get at least so much


class Found(StrEnum):
    """What a solver call ended with."""

    BEST = "best"  # no better filling of this part exists
    SOME = "some"  # a filling, perhaps not the best
    NOTHING = "nothing"  # none found within the work allowed; the caller keeps what it has


@dataclass(frozen=True, eq=False)
class Part:
    """The piece of the plan to be solved again. Whatever is not in `pools` stays as it is."""

    pools: tuple[int, ...]
    free: Ints  # [V] the pairs in question
    now: Ints  # [V] gangs that they have at present
    held: Ints  # [n, 2] pair and gangs of what else runs in the pools, and stays
    left: Ints  # [G] jobs to be handed out
    watts: Ints  # [H] left at each hub; NO_LIMIT: without end
    account: Ints  # [Q, 4] of each quota, as in `limits`
    exact: bool  # whether spots are part of the model


@dataclass(frozen=True, eq=False)
class Filling:
    """The solver's answer: gangs by pair and, for an exact part, where they are."""

    found: Found
    gangs: Ints  # [n, 2] pair and gangs of all that runs in the pools
    lines: Lines | None = None


def refill(choices: Choices, rows: Rows, policy: Policy, part: Part, present: Lines) -> Filling:
    """Return the best filling found within the policy's work for one step. `present`: what runs in the pools now."""
    model = _Model(choices, rows, part)
    model.add_runs()  # (1)
    model.add_rows()  # (2)
    model.add_power()  # (3)
    model.add_quotas()  # (4) and (5)
    if part.exact:
        model.add_spots(present)  # (6) to (9)
    goals = model.goals()
    found, solver = Found.BEST, None
    work = policy.solver_work_ms_per_step / 1000
    for position, goal in enumerate(goals):
        attempt = cp_model.CpSolver()
        attempt.parameters.num_workers = 1
        attempt.parameters.cp_model_presolve = False  # measured: three times the steps for the same work, better plans
        attempt.parameters.random_seed = policy.seed
        attempt.parameters.max_deterministic_time = work / (len(goals) - position)
        model.solver_model.maximize(goal)
        status = attempt.solve(model.solver_model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            found = Found.SOME
            break
        solver = attempt
        found = found if status == cp_model.OPTIMAL else Found.SOME
        work = max(work - attempt.deterministic_time, _WORK_MIN)
        if position + 1 < len(goals):
            model.keep(goal, solver)
    return Filling(Found.NOTHING, part.held[:0]) if solver is None else model.filling(found, solver)


class _Model:
    """The solver's model of one part; one method for each numbered row."""

    def __init__(self, choices: Choices, rows: Rows, part: Part) -> None:
        self.solver_model = cp_model.CpModel()
        self._choices = choices
        self._rows = rows
        self._part = part
        self._spots = Spots(choices, self.solver_model)
        pairs, limits = choices.pairs, choices.limits
        self._run: list[cp_model.IntVar] = []
        self._group = (np.searchsorted(pairs.start, part.free, side="right") - 1).astype(np.int64)
        self._pool = pairs.pool[part.free].astype(np.int64)
        self._kind = pairs.kind[part.free].astype(np.int64)
        self._held_pool = pairs.pool[part.held[:, 0]].astype(np.int64)
        self._held_kind = pairs.kind[part.held[:, 0]].astype(np.int64)
        self._hub = limits.pool_hub[self._pool]
        milli = choices.kinds.milli_cards[self._kind]
        self._use: list[int] = (-(-milli * limits.pool_milli_tflops[self._pool] // 1000)).tolist()
        # by quota: what counts to it, and what of that is of jobs whose own quota it is
        self._below: dict[int, list[Term]] = {}
        self._direct: dict[int, list[Term]] = {}

    def add_runs(self) -> None:
        """(1) No job runs twice."""
        left = self._part.left[self._group].tolist()
        by_group: dict[int, list[cp_model.IntVar]] = {}
        for position, (group, most) in enumerate(zip(self._group.tolist(), left, strict=True)):
            variable = self.solver_model.new_int_var(0, most, f"run[{position}]")
            self._run.append(variable)
            self.solver_model.add_hint(variable, int(self._part.now[position]))
            by_group.setdefault(group, []).append(variable)
        for group, variables in by_group.items():
            if len(variables) > 1:
                row = sum(variables) <= int(self._part.left[group])
                self.solver_model.add(row).with_name(f"(1) group {group}")

    def add_rows(self) -> None:
        """(2) Every capacity row of every pool holds."""
        rows, gangs = self._rows, self._part.held[:, 1]
        for pool in self._part.pools:
            here = np.flatnonzero(self._pool == pool)
            held = self._held_pool == pool
            left = rows.capacity[pool] - (rows.use[self._held_kind[held]] * gangs[held, None]).sum(axis=0)
            use = rows.use[self._kind[here]]
            for row in range(rows.columns):
                terms = [(self._run[i], weight) for i, weight in zip(here, use[:, row].tolist(), strict=True) if weight]
                self._at_most(terms, int(left[row]), f"(2) {pool}/{row}")

    def add_power(self) -> None:
        """(3) No hub draws more than its cap and its pace allow."""
        for hub in np.unique(self._hub).tolist():
            watts = int(self._part.watts[hub])
            if watts < NO_LIMIT:
                here = np.flatnonzero(self._hub == hub)
                meter = self._rows.meter[self._kind[here], self._pool[here]].tolist()
                terms = [(self._run[i], weight) for i, weight in zip(here, meter, strict=True) if weight]
                self._at_most(terms, watts, f"(3) {hub}")

    def add_quotas(self) -> None:
        """(4) No quota uses more than its limit; (5) nor do its children with what they keep for themselves."""
        limits, account = self._choices.limits, self._part.account
        tenants = self._choices.groups.tenant[self._group].tolist()
        for variable, use, tenant, hub in zip(self._run, self._use, tenants, self._hub.tolist(), strict=True):
            quota = int(limits.tenant_quota[tenant, hub]) if tenant >= 0 else -1
            if quota >= 0 and use:
                self._direct.setdefault(quota, []).append((variable, use))
            while quota >= 0 and use:
                self._below.setdefault(quota, []).append((variable, use))
                quota = int(limits.parent[quota])
        for quota, terms in self._below.items():
            if account[quota, LEFT] >= NO_LIMIT:
                continue
            self._at_most(terms, max(int(account[quota, LEFT]), 0), f"(4) {quota}")
            counted = list(self._direct.get(quota, []))
            for child, inside in self._below.items():
                if limits.parent[child] == quota:
                    counted += self._over(child, inside)
            self._at_most(counted, max(int(account[quota, LEND]), 0), f"(5) {quota}")

    def _over(self, quota: int, terms: list[Term]) -> list[Term]:
        """Return what the quota takes beyond what it keeps for itself and does not use yet."""
        kept = int(self._part.account[quota, KEPT])
        if kept <= 0:
            return terms
        most = sum(use * int(variable.domain.max()) for variable, use in terms)
        over = self.solver_model.new_int_var(0, max(most - kept, 0), f"over[{quota}]")
        self.solver_model.add_hint(over, max(self._present(terms) - kept, 0))
        self.solver_model.add(over >= sum_of(terms) - kept).with_name(f"(5) {quota} keeps")
        return [(over, 1)]

    def _present(self, terms: list[Term]) -> int:
        """Return what these terms of variables `run` come to at present: those are numbered first."""
        return sum(weight * int(self._part.now[variable.index]) for variable, weight in terms)

    def add_spots(self, present: Lines) -> None:
        """(6) to (9) Every gang is somewhere."""
        for pool in self._part.pools:
            wanted: dict[int, Gangs] = {}
            held = self._held_pool == pool
            for kind, gangs in zip(self._held_kind[held].tolist(), self._part.held[held, 1].tolist(), strict=True):
                wanted.setdefault(kind, Gangs()).certain += gangs
            for position in np.flatnonzero(self._pool == pool).tolist():
                wanted.setdefault(int(self._kind[position]), Gangs()).open.append(self._run[position])
            self._spots.add(pool, wanted)
        self._spots.hint(present)

    def goals(self) -> list[cp_model.LinearExprT]:
        """Return what is to be maximised, the highest first."""
        goals: list[cp_model.LinearExprT] = []
        served = self._served()
        if served:
            goals.append(sum(served))
        tier = self._choices.groups.tier[self._group]
        worth = self._choices.pairs.worth[self._part.free].tolist()
        left = self._part.left[self._group].tolist()
        for level in np.unique(tier).tolist():
            here = np.flatnonzero(tier == level).tolist()
            unit = max(sum(worth[i] * left[i] for i in here) >> _WORTH_BITS, 1)
            goals.append(sum_of([(self._run[i], worth[i] // unit) for i in here]))
        return goals

    def _served(self) -> list[cp_model.IntVar]:
        """Return, for each quota whose guarantee is not served yet, a variable of what of it this part serves."""
        served = []
        for quota, terms in self._below.items():
            open_ = int(self._choices.limits.headroom[quota] - self._part.account[quota, NEW])
            if open_ > 0:
                variable = self.solver_model.new_int_var(0, open_, f"served[{quota}]")
                self.solver_model.add(variable <= sum_of(terms)).with_name(f"served {quota}")
                self.solver_model.add_hint(variable, min(self._present(terms), open_))
                served.append(variable)
        return served

    def keep(self, goal: cp_model.LinearExprT, solver: cp_model.CpSolver) -> None:
        """Make what was reached a row, and start from there."""
        self.solver_model.add(goal >= solver.value(goal))
        values = [solver.value(self.solver_model.get_int_var_from_proto_index(i)) for i in self._indices()]
        self.solver_model.proto.clear_solution_hint()
        for index, value in zip(self._indices(), values, strict=True):
            self.solver_model.add_hint(self.solver_model.get_int_var_from_proto_index(index), value)

    def filling(self, found: Found, solver: cp_model.CpSolver) -> Filling:
        """Return what the solver found."""
        gangs = np.array([solver.value(variable) for variable in self._run], dtype=np.int64)
        runs = np.concatenate([self._part.held, np.stack([self._part.free, gangs], axis=1)[gangs > 0]])
        runs = runs[np.argsort(runs[:, 0], kind="stable")]
        lines = self._spots.deal([(pair, count) for pair, count in runs.tolist()], solver) if self._part.exact else None
        return Filling(found, runs, lines)

    def _indices(self) -> range:
        return range(len(self.solver_model.proto.variables))

    def _at_most(self, terms: list[Term], most: int, name: str) -> None:
        if terms:
            self.solver_model.add(sum_of(terms) <= most).with_name(name)
