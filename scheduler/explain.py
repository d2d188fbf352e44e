"""Why one job runs where it does, or does not run: for each pool a typed reason and the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.choices import choose
from scheduler.errors import UnknownJob
from scheduler.fits import fit_codes, tasks_that_fit
from scheduler.forms import Forms
from scheduler.judging import VALUE_MAX, Question, codes_of_one
from scheduler.limits import meters
from scheduler.plan import Placement, Plan
from scheduler.pricing import CostSplit, cost_split
from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import UNKNOWN, Ints, Snapshot

PRICED = (Reason.CHOSEN, Reason.BETTER_ELSEWHERE, Reason.OUTBID, Reason.PRICE_BELOW_ASK)
"""Reasons that leave only the price between the job and the pool, if the gang fits."""
_PPM = 10**6


@dataclass(frozen=True)
class PoolVerdict:
    """What stands between a job and one pool. -1 means that there is no such figure."""

    pool: int
    pool_name: str
    reason: Reason
    build: int  # position in the job's own list of builds
    tasks_short: int  # tasks of the full gang that the free nodes could not hold, if nothing else came
    cards_short: int  # the same in cards, rounded up
    round_trip_micros: int
    clearing_micro_yuan_per_pflops_hour: int  # least ceiling that pays all costs and what others would pay (the prices)
    price_short_micro_yuan_per_pflops_hour: int  # by how much the job's ceiling is below that; 0: it is not
    tasks: int  # size of the form that the clearing price speaks of
    cost: CostSplit | None  # what that form pays at the prices; None where no form could run

    @property
    def clearing(self) -> int:
        """Least ceiling that would win the pool, micro-yuan per PFLOPS-hour."""
        return self.clearing_micro_yuan_per_pflops_hour


def explain(snapshot: Snapshot, plan: Plan, job_id: str) -> tuple[PoolVerdict, ...]:
    """Return one verdict for each pool, in the order of the pools.

    A refused job whose price is not short anywhere fell into the gap between plan and bound: nothing outbid it for
    certain. Raises: UnknownJob: the snapshot holds no such job.
    """
    if job_id not in snapshot.job_id:
        raise UnknownJob("job_id", f"{job_id!r} was not in this round; ask again after the next one")
    case = _Case(snapshot.of_one_job(snapshot.job_id.index(job_id)), plan)
    placement = next((p for p in plan.placements if p.job_id == job_id), None)
    return tuple(case.verdict(pool, placement) for pool in range(len(snapshot.pool_names)))


def cheapest_clearing(verdicts: Iterable[PoolVerdict]) -> PoolVerdict | None:
    """Return the pool where the least ceiling would do, of those where only the price stands in the way."""
    priced = (v for v in verdicts if v.reason in PRICED and not v.tasks_short and v.clearing != UNKNOWN)
    return min(priced, key=lambda v: (v.clearing, v.pool), default=None)


class _Case:
    """One job alone in its world."""

    def __init__(self, alone: Snapshot, plan: Plan) -> None:
        self._alone = alone
        self._prices = plan.prices
        choices = choose(alone, plan.policy)
        self._choices = choices
        self._question = Question.of(alone, choices.groups, choices.forms, choices.limits)
        fit = fit_codes(alone, choices.kinds, choices.limits)
        self._codes = codes_of_one(self._question, fit)
        self._slots = tasks_that_fit(alone, choices.kinds)
        self._meters = meters(choices.limits, choices.kinds)

    def verdict(self, pool: int, placement: Placement | None) -> PoolVerdict:
        """Return what stands between the job and the pool."""
        alone, model = self._alone, int(self._alone.pool_model[pool])
        reason = REFUSALS[int(self._codes[pool])]
        if reason is Reason.OUTBID and placement is not None:
            reason = Reason.CHOSEN if placement.pool == pool else Reason.BETTER_ELSEWHERE
        clearing, form = min(((self._clearing(form, pool), form) for form in self._forms_in(model)), default=(0, -1))
        known = form >= 0 and clearing <= _most_useful(int(self._question.card[0, model]))
        full = self._full_kind(model)
        tasks_short = max(int(alone.shape_tasks[0]) - (int(self._slots[full, pool]) if full >= 0 else 0), 0)
        share = int(self._choices.kinds.share[full]) if full >= 0 else 0
        ceiling = int(self._choices.groups.ceiling[0])
        return PoolVerdict(
            pool=pool,
            pool_name=alone.pool_names[pool],
            reason=reason,
            build=int(self._choices.build[0, model]),
            tasks_short=tasks_short,
            cards_short=-(-tasks_short * share // 1000) if share else tasks_short * int(alone.shape_cards_per_task[0]),
            round_trip_micros=int(alone.round_trip_micros[alone.job_city[0], alone.pool_hub[pool]]),
            clearing_micro_yuan_per_pflops_hour=clearing if known else UNKNOWN,
            price_short_micro_yuan_per_pflops_hour=max(clearing - ceiling, 0) if known else UNKNOWN,
            tasks=int(self._choices.kinds.tasks[self._forms.kind[form]]) if form >= 0 else UNKNOWN,
            cost=self._cost(form, pool) if form >= 0 else None,
        )

    @property
    def _forms(self) -> Forms:
        return self._question.forms

    def _forms_in(self, model: int) -> list[int]:
        """Return the forms that may run on the model, the full size first."""
        if int(self._question.card[0, model]) <= 0:
            return []
        granted = int(self._forms.granted[0, model])
        shares: Ints = self._choices.kinds.share[self._forms.kind]
        return [form for form in range(self._forms.kind.size) if shares[form] == granted]

    def _full_kind(self, model: int) -> int:
        granted = int(self._forms.granted[0, model])
        for kind in self._forms.kind.tolist():
            if int(self._choices.kinds.share[kind]) == granted:
                return int(kind)
        return -1

    def _cost(self, form: int, pool: int) -> CostSplit:
        choices = self._choices
        kind = int(self._forms.kind[form])
        return cost_split(self._prices, choices.kinds, choices.limits, kind, pool, int(choices.groups.tenant[0]))

    def _clearing(self, form: int, pool: int) -> int:
        """Return the least ceiling at which the form's worth covers its cost: `choices.py` read backwards."""
        alone, kinds = self._alone, self._choices.kinds
        kind, hub = int(self._forms.kind[form]), int(alone.pool_hub[pool])
        tasks, cards, share = int(kinds.tasks[kind]), int(kinds.cards[kind]), int(kinds.share[kind])
        weight = int(self._choices.groups.weight_percent[0])
        ask = int(alone.pool_ask_micro_yuan_per_card_hour[pool])
        net = max(-(-self._cost(form, pool).total * 100 // weight), 1)
        asks = tasks * (-(-ask * share // 1000) if share else ask * cards)
        energy = -(-int(self._meters[kind, pool]) * int(alone.hub_micro_yuan_per_kwh[hub]) // 1000)
        gross = -(-(net + asks + energy + self._transfer(hub)) * _PPM // int(self._forms.speed_ppm[form]))
        by_task = -(-gross // int(alone.shape_tasks[0]))
        value = -(-by_task * 1000 // int(alone.shape_share_milli[0])) if share else -(-by_task // cards)
        fast = int(self._question.card[0, alone.pool_model[pool]])
        return -(-value * _PPM // fast) if value <= VALUE_MAX else 2**62

    def _transfer(self, hub: int) -> int:
        alone, city = self._alone, int(self._alone.job_city[0])
        gib = int(alone.shape_output_gib[0]) + (0 if alone.shape_staged[0, hub] else int(alone.shape_input_gib[0]))
        per_gib = int(alone.transfer_micro_yuan_per_gib[city, hub])
        return -(-gib * per_gib * 3600 // int(alone.job_walltime_seconds[0]))


def _most_useful(card_milli_tflops: int) -> int:
    """Return the ceiling above which nothing is valued higher."""
    return VALUE_MAX * _PPM // max(card_milli_tflops, 1) + 1
