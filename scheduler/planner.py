"""Plan one round: a greedy answer at once, better ones until the effort ends, and a bound that says how good it is.

    greedy      feasible by construction; the answer of last resort
    seats       of large instances: the solver decides which large gangs run, and where; see `seating.py`
    upper tiers some descent for each tier above the last, until it is known to be served as well as can be
    prices      descent of L for the last tier, then a plan constructed by the new prices; the better plan stays
    newcomers   instead of these, where an earlier round knew prices and seats: large gangs that wait take the place of
                what is worth less there
    improve     the solver plans the part again where prices say most is lost; taken only if the plan gets better

A step is one unit of effort. `stop` is asked between steps and never inside one, and what a step does depends on the
steps before it alone: the same snapshot, policy and number of steps give the same plan, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np

from scheduler import linear, opening
from scheduler.admission import wishes_at
from scheduler.choices import Choices, choose, of_upper_tiers
from scheduler.fields import MILLI_PER_CARD
from scheduler.greedy import built, construct
from scheduler.ground import Ground, Terrain, deal
from scheduler.improve import Improver
from scheduler.plan import Placement, Plan, PlanStatus, Tier
from scheduler.policy import Policy
from scheduler.refusals import Refusals
from scheduler.rows import PPM, Costs, PriceVector, Rows, capacity_rows, costs_at, to_prices
from scheduler.scan import coarse_shards_of, shards_of
from scheduler.search import GUARANTEE, Aim, Relaxation, Search
from scheduler.seating import Seating
from scheduler.snapshot import Bools, Ints, Snapshot, Votes
from scheduler.tiers import Order, aim_of, standing, tier_name, tiers_of
from scheduler.workers import Inline, Team, Workers

Stop = Callable[[], bool]
_INLINE = Inline()
_SETTLING_STEPS: Final = 3
_NEWCOMER_STEPS: Final = 4
_NEWCOMER_CARDS_MIN: Final = 9
"""Smaller gangs that wait are many and gain little; admission and exchange find their places."""
_NEWCOMER_ITERATIONS: Final = 20  # of the descent beside each of these steps: about as long as the construction


def never() -> bool:
    """Let the effort alone end the search."""
    return False


def plan(snapshot: Snapshot, policy: Policy, stop: Stop = never, workers: Workers = _INLINE) -> Plan:
    """Return the best plan found within `policy.effort` steps, or until `stop()` says True between two steps.

    There is always a plan: with no effort at all it is the greedy one, by `policy.opening_prices` when there are any.
    It is never worse than that one. `workers` decide how long it takes and nothing else.
    """
    choices = choose(snapshot, policy)
    rows = capacity_rows(choices)
    with workers.team(shards_of(choices, rows)) as team:
        work = _Work(choices, rows, policy, team)
        spent = 0
        steps = work.steps()
        while spent < policy.effort and not work.is_best() and not stop():
            if next(steps, None) is None:
                break
            spent += 1
        return work.plan(spent)


class _Work:
    """The steps of one round, in order. Each yields once when it is done."""

    def __init__(self, choices: Choices, rows: Rows, policy: Policy, team: Team) -> None:
        self._choices = choices
        self._rows = rows
        self._policy = policy
        self._terrain = Terrain(choices)
        self._relaxation = Relaxation(choices, rows, team)
        self._tiers = tiers_of(choices)
        self._votes: Votes = np.zeros(choices.pairs.pool.size, dtype=np.int16)
        self._seated = opening.known_seats(choices, policy)
        known = self._known(self._tiers[-1])
        # where prices are known, and most gangs that an earlier round seated still wait, it has decided about both
        self._settled = known is not None and self._seated.size * 2 > len(policy.opening_seats)
        self._wishes = wishes_at(choices, self._terrain, self._costs(known), self._votes)
        self.best = built(choices, self._terrain, rows, self._wishes, self._seated)
        self.reached = standing(choices, self._tiers, self.best)
        self._order = Order(self.reached, policy.upper_tier_tolerance_ppm)
        self._searches = {tier: self._search(tier) for tier in self._tiers}

    def steps(self) -> Iterator[bool]:
        """Do the work of one step for each item drawn."""
        *upper, last = self._tiers
        large = self._choices.pairs.pool.size >= self._policy.seats_from_pairs
        if large and not self._settled:
            yield from self._seat_steps()
        for tier in upper:
            if not (self._settled and self._is_near(tier)):
                yield from self._price_steps(tier, self._policy.upper_tier_steps_max)
        if self._settled:
            yield from self._newcomer_steps(self._searches[last])
        else:
            yield from self._price_steps(last, self._policy.price_steps_max)
        yield from self._improving_steps(self._searches[last])

    def _improving_steps(self, search: Search) -> Iterator[bool]:
        """Let the solver plan parts again, until it finds nothing better any more."""
        improver = Improver(self._choices, self._rows, self._terrain, self._policy)
        if improver.tighten(*self._searches.values()):
            self._keep(self._construct(search))
            yield True
        idle = 0
        while idle < self._policy.idle_steps_max:
            better = improver.step(self.best, search)
            if better is None:
                return
            kept = self._keep(better)
            if kept:
                improver.tighten(*self._searches.values())  # the bounds follow the levels that the step has changed
            idle = 0 if kept else idle + 1
            yield True

    def is_best(self) -> bool:
        """Return whether every tier has reached its bound."""
        return all(self._is_served(tier) for tier in self._tiers)

    def plan(self, spent: int) -> Plan:
        """Return the best plan so far, with its bounds."""
        self._aim_as_reached()  # a step may have been the last that looked for prices with other levels in view
        snapshot, choices = self._choices.snapshot, self._choices
        tiers = tuple(
            Tier(
                name=tier_name(tier),
                objective=self.reached.objective(tier),
                bound=search.best_scan.bound,
                prices=to_prices(choices, self._rows, search.best),
            )
            for tier, search in self._searches.items()
        )
        placements, placed = _placements(choices, self.best)
        worth = [tier for tier in tiers if tier.name != "guarantee"]
        best = all(tier.objective == tier.bound for tier in tiers)
        return Plan(
            snapshot_hash=snapshot.input_hash(),
            policy=replace(self._policy, effort=spent),
            placements=placements,
            refusals=_refusals(choices, placed),
            tiers=tiers,
            objective_micro_yuan_per_hour=sum(tier.objective for tier in worth),
            bound_micro_yuan_per_hour=sum(tier.bound for tier in worth),
            effort_spent=spent,
            status=PlanStatus.OPTIMAL if best else PlanStatus.FEASIBLE,
            broken_before=choices.limits.broken_before,
        )

    def _price_steps(self, tier: int, most: int) -> Iterator[bool]:
        search = self._searches[tier]
        for _ in range(most):
            if self._is_served(tier):
                return
            more = search.descend(self._policy.price_iterations_per_step)
            self._keep(self._construct(search))
            yield True
            if not more:
                return

    def _seat_steps(self) -> Iterator[bool]:
        """Seat the large gangs of a large instance, and build a plan around them.

        First the prices: of few jobs by the solver, of many on a sample, or as an earlier round knew them.
        """
        search = self._searches[self._tiers[-1]]
        worths = tuple(tier for tier in self._tiers if tier != GUARANTEE)
        seating = Seating(self._choices, self._rows, worths, self._policy.upper_tier_tolerance_ppm)
        self._first_prices(seating)
        yield True
        search.descend(self._policy.price_iterations_per_step)
        yield True
        with ThreadPoolExecutor(1) as beside:  # the bound settles while the solver works
            solving = beside.submit(seating.seats, search.best)
            for _ in range(_SETTLING_STEPS):
                search.descend(self._policy.price_iterations_per_step)
            seats = solving.result()
        if seats is not None:
            before, self._seated = self._seated, seats.pairs
            self._settled = self._keep(self._construct(search))
            if not self._settled:
                self._seated = before
        self._aim_as_reached()
        yield True

    def _newcomer_steps(self, search: Search) -> Iterator[bool]:
        """Let large gangs that wait, most of them new since the seats were given, take the place of what is worth less.

        First all of them that gain anything at the opening prices, then one at a time: a gang that displaces a larger
        one may leave cards behind that nobody can use. The bound settles meanwhile.
        """
        newcomers = self._newcomers()
        tries = [newcomers, *newcomers[:, None]] if len(newcomers) > 1 else [newcomers]
        for pairs in tries[:_NEWCOMER_STEPS]:
            if not pairs.size:
                return
            seated = np.concatenate([self._seated, pairs])
            with ThreadPoolExecutor(1) as beside:
                building = beside.submit(built, self._choices, self._terrain, self._rows, self._wishes, seated)
                search.descend(_NEWCOMER_ITERATIONS)
                kept = self._keep(building.result())
            if kept:
                self._seated = seated
            yield True
            if kept and pairs is newcomers:
                return

    def _newcomers(self) -> Ints:
        """Return the best pair of each group of large gangs that waits and gains by it, most gain first."""
        gains = self._wishes.gains
        pairs, kinds = self._choices.pairs, self._choices.kinds
        large = kinds.milli_cards[pairs.kind] >= _NEWCOMER_CARDS_MIN * MILLI_PER_CARD
        may = np.flatnonzero(large & (gains.of_pair > 0) & (np.repeat(self.best.left, np.diff(pairs.start)) > 0))
        group = np.searchsorted(pairs.start, may, side="right") - 1
        best = may[gains.of_pair[may] == gains.best[group]]
        group = np.searchsorted(pairs.start, best, side="right") - 1
        _, first = np.unique(group, return_index=True)
        best = best[first]
        most_first: Ints = best[np.argsort(-gains.of_pair[best], kind="stable")]
        return most_first

    def _first_prices(self, seating: Seating) -> None:
        """Find the first prices of each tier of worth; seats serve guarantees by themselves."""
        levels: dict[int, int] = {}
        with Inline().team(coarse_shards_of(self._choices, self._rows)) as team:
            coarse = Relaxation(self._choices, self._rows, team)
            for tier, search in self._searches.items():
                if tier == GUARANTEE or self._is_served(tier):
                    continue
                search.aim_at(search.aim.expecting(levels))
                if tier != self._tiers[-1] and (level := seating.level(tier)) is not None:
                    levels[tier] = level
                    self._offer_duals(tier, search)
                elif self._known(tier) is None:
                    sampled = Search(coarse, search.aim, search.best, None)
                    sampled.descend(self._policy.coarse_iterations)
                    search.settle_at(sampled.best)

    def _offer_duals(self, tier: int, search: Search) -> None:
        """Offer the best prices of a tier and those above it, as if nobody below were there."""
        alone = replace(search.aim, served=np.zeros_like(search.aim.served))
        found = linear.duals(of_upper_tiers(self._choices, tier), self._rows, alone)
        if found is not None:
            search.offer(found)

    def _is_served(self, tier: int) -> bool:
        return self.reached.objective(tier) >= self._searches[tier].best_scan.bound

    def _is_near(self, tier: int) -> bool:
        """Return whether a tier above is as good as served."""
        bound = self._searches[tier].best_scan.bound
        return self.reached.objective(tier) >= bound - bound * self._policy.upper_tier_tolerance_ppm // PPM

    def _construct(self, search: Search) -> Ground:
        costs = self._costs(search.best)
        return construct(self._choices, self._terrain, self._rows, costs, self._votes, self._seated)

    def _costs(self, prices: PriceVector | None) -> Costs:
        return Costs.none(self._choices) if prices is None else costs_at(self._choices, self._rows, prices)

    def _keep(self, answer: Ground) -> bool:
        reached = standing(self._choices, self._tiers, answer)
        if not self._order.prefers(reached):
            return False
        same_above = all(new == old for new, old in zip(reached.served, self.reached.served, strict=True))
        same_above = same_above and reached.key[:-1] == self.reached.key[:-1]
        self.best, self.reached = answer, reached
        if not same_above:
            self._aim_as_reached()
        return True

    def _aim_as_reached(self) -> None:
        """Bound every tier among the plans that are as good above as the best one known."""
        for tier, search in self._searches.items():
            search.aim_at(aim_of(self._tiers, tier, self.reached))

    def _known(self, tier: int) -> PriceVector | None:
        aim = Aim(tier, self._worth_tiers_above(tier), (), np.zeros(0, dtype=np.int64))
        zero = self._relaxation.zero(aim)
        known = opening.start(self._choices.snapshot, self._policy, self._rows, tier_name(tier), zero)
        return None if known is None else known.like(np.minimum(known.flat(), self._relaxation.largest(aim)))

    def _worth_tiers_above(self, tier: int) -> tuple[int, ...]:
        return tuple(t for t in self._tiers[: self._tiers.index(tier)] if t >= 0)

    def _search(self, tier: int) -> Search:
        aim = aim_of(self._tiers, tier, self.reached)
        zero = self._relaxation.zero(aim)
        known = self._known(tier)
        first = zero if known is None else known
        if known is None:
            first = replace(zero, tier_ppm=np.full_like(zero.tier_ppm, PPM))  # worth above counts as much as here
        if known is None and tier == self._tiers[-1]:
            first = replace(first, pool=_marginal_prices(self._choices, self._rows, self.best))
        search = Search(self._relaxation, aim, first, self._votes, settled=known is not None)
        search.offer(zero)
        return search


def _marginal_prices(choices: Choices, rows: Rows, answer: Ground) -> Ints:
    """Return prices [P, R] to start from: in a full pool, what the least worthy gang there pays for a card."""
    prices = np.zeros(rows.capacity.shape, dtype=np.int64)
    pair, gangs = answer.lines[:, 1], answer.lines[:, 2]
    pool = choices.pairs.pool[pair].astype(np.int64)
    milli = choices.kinds.milli_cards[choices.pairs.kind[pair]]
    pools = rows.capacity.shape[0]
    least = np.full(pools, 2**62, dtype=np.int64)
    np.minimum.at(least, pool, choices.pairs.worth[pair] // np.maximum(milli // 1000, 1))
    used = np.zeros(pools, dtype=np.int64)
    np.add.at(used, pool, milli * gangs)
    full = (used > 0) & (used * 20 >= rows.capacity[:, 0] * 19 * 1000)
    prices[full, 0] = least[full]
    return prices


def _placements(choices: Choices, answer: Ground) -> tuple[tuple[Placement, ...], Bools]:
    """Return the placements in the order of the jobs, and [J] which jobs they place."""
    snapshot, pairs = choices.snapshot, choices.pairs
    dealt = sorted(deal(choices, answer))  # by job: each stands there once
    placed = np.zeros(len(snapshot.job_id), dtype=bool)
    if not dealt:
        return (), placed
    jobs, of_jobs, nodes, tasks, cards = zip(*dealt, strict=True)
    job, pair = np.array(jobs), np.array(of_jobs)
    placed[job] = True
    pool = pairs.pool[pair]
    build = choices.build[snapshot.job_shape[job], snapshot.pool_model[pool]]
    names = [snapshot.job_id[at] for at in jobs]
    columns = (names, build.tolist(), pool.tolist(), nodes, tasks, pairs.worth[pair].tolist(), cards)
    return tuple(map(Placement._make, zip(*columns, strict=True))), placed


def _refusals(choices: Choices, placed: Bools) -> Refusals:
    groups = choices.groups
    job_group = np.empty(groups.members.size, dtype=np.int64)
    job_group[groups.members] = np.repeat(np.arange(groups.count.size), groups.count)
    waits = np.flatnonzero(~placed)
    group = job_group[waits]
    names = [choices.snapshot.job_id[at] for at in waits.tolist()]
    code, pool = choices.nearest_code[group], choices.nearest_pool[group]
    return Refusals(names, code.astype(np.int64), pool.astype(np.int64))
