"""The cheapest single changes that would start a waiting job, each proved by deciding the changed job.

    STARTS_NOW   the placer puts the changed job into the world as it is: it takes free room alone, displaces nobody,
                 keeps every rule, and pays the last round's prices. The placement that proves it comes with it.
    PLANNED      nothing is free for it, but the last round planned again with the changed job starts it, instead of
                 others (`replanning.py`): what runs since then is not ended by it.
    STARTS_BY    the changed job could be promised a start by a time, beside all that runs, closes and is promised
                 (`by_time.py`). The promise that proves it comes with it.

What is in neither list was tried and does not help. Of what starts the job now, each lever offers the least change that
does; `Lever` has the order among them. There a raise of the ceiling is exact: one micro-yuan less does not start it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

import numpy as np

from scheduler.errors import UnknownJob
from scheduler.fields import LIMITS, MILLI_PER_CARD, UNKNOWN
from scheduler.horizon import Promise
from scheduler.judging import VALUE_MAX, fastest_builds
from scheduler.levers import Lever, Step, steps, with_ceiling, with_hubs, with_owners
from scheduler.limits import KEPT, LEFT, LEND, NO_LIMIT, limits_of
from scheduler.placer import Placed, Placer
from scheduler.plan import Placement, Plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Ints, Snapshot

PPM: Final = 10**6
_ORDER: Final = tuple(Lever)
_CEILING_MAX: Final = LIMITS["job_ceiling_micro_yuan_per_pflops_hour"][1]


class Effect(StrEnum):
    """How much is proved of a change."""

    STARTS_NOW = "STARTS_NOW"
    PLANNED = "PLANNED"
    STARTS_BY = "STARTS_BY"


@dataclass(frozen=True, slots=True)
class Change:
    """One change that helps, and what proves it."""

    lever: Lever
    effect: Effect
    before: int  # in the unit of the lever
    after: int
    name: str  # the hub, owner or quota that it is about; empty for other levers
    extra_micro_yuan_per_hour: int  # what the city may have to pay more at most; of CEILING only
    pool_name: str
    world: Snapshot  # that the changed job was decided in; but for PLANNED it is alone there
    placement: Placement  # where it starts in that world
    again: Plan | None = None  # of PLANNED: the plan of that world
    instead: tuple[str, ...] = ()  # of PLANNED: jobs that the round started and would not start then
    promise: Promise | None = None  # of STARTS_BY: what could be promised


def changes(world: Snapshot, policy: Policy, prices: Iterable[OpeningPrice], job_id: str) -> tuple[Change, ...]:
    """Return the single changes that would start the job now, in the order of `Lever`; none if it starts as it is.

    Args:
        world: as it is now; of its jobs only this one counts.
        policy: of the rounds.
        prices: of the last round's last tier, `placer.last_prices`.
        job_id: a job of the world that waits.
    Raises: UnknownJob: the world holds no such job.
    """
    if job_id not in world.job_id:
        raise UnknownJob("job_id", f"{job_id!r} is not in this world")
    alone, prices = world.of_one_job(world.job_id.index(job_id)), tuple(prices)
    proof = _Now(alone, policy, prices)
    if proof.start(alone) is not None:
        return ()
    found = [proof.first(each) for each in steps(alone)]
    found += [least_ceiling(alone, proof), one_hub(alone, proof), one_owner(alone, proof)]
    return by_lever([*found, _quota(alone, policy, prices)])


def by_lever(found: Iterable[Change | None]) -> tuple[Change, ...]:
    """Return the changes that there are, in the order of `Lever`."""
    return tuple(sorted(filter(None, found), key=lambda change: _ORDER.index(change.lever)))


class Proof(Protocol):
    """Decides whether a changed job starts, in time."""

    def start(self, job: Snapshot) -> Placement | None:
        """Return where the only job of this snapshot would start; None: it would not."""

    def first(self, candidates: Iterable[Step]) -> Change | None:
        """Return the first of these steps that starts the job."""


def change_of(
    step: Step,
    placement: Placement,
    effect: Effect,
    again: Plan | None = None,
    instead: Sequence[str] = (),
    promise: Promise | None = None,
) -> Change:
    """Return the change that this placement of the changed job proves."""
    return Change(
        lever=step.lever,
        effect=effect,
        before=step.before,
        after=step.after,
        name=step.name,
        extra_micro_yuan_per_hour=_extra(step, placement) if step.lever is Lever.CEILING else 0,
        pool_name=step.job.pool_names[placement.pool],
        world=step.job,
        placement=placement,
        again=again,
        instead=tuple(instead),
        promise=promise,
    )


class _Now:
    """Decides changed jobs, one at a time, in the same world."""

    def __init__(self, world: Snapshot, policy: Policy, prices: Sequence[OpeningPrice]) -> None:
        self._placer = Placer(world, policy, prices)

    def start(self, job: Snapshot) -> Placement | None:
        """Return where the only job of this snapshot would start now; the world stays as it is."""
        [decision] = self._placer.place(job)
        if not isinstance(decision, Placed):
            return None
        self._placer.release(job.job_id[0])
        return _numbered(decision.placement)

    def first(self, candidates: Iterable[Step]) -> Change | None:
        """Return the first of these steps that starts the job."""
        for step in candidates:
            placement = self.start(step.job)
            if placement is not None:
                return change_of(step, placement, Effect.STARTS_NOW)
        return None


def _numbered(placement: Placement) -> Placement:
    """Return the placement with the cards that it splits numbered from the first on, node by node.

    Those that a placement before split, and gave back, keep their numbers in the placer.
    """
    cards: list[int] = []
    for tasks in placement.tasks if placement.cards else ():
        here = placement.cards[len(cards) : len(cards) + tasks]
        new = sorted({card for card in here if card < 0}, reverse=True)
        cards += [card if card >= 0 else -1 - new.index(card) for card in here]
    return placement._replace(cards=tuple(cards))


def least_ceiling(alone: Snapshot, proof: Proof) -> Change | None:
    """Return the least higher ceiling that starts the job: with it, whatever pays and has room goes on to do so."""
    fails, helps = int(alone.job_ceiling_micro_yuan_per_pflops_hour[0]), _most_useful_ceiling(alone)
    if helps <= fails or proof.start(with_ceiling(alone, helps).job) is None:
        return None
    while helps - fails > 1:
        middle = (fails + helps) // 2
        if proof.start(with_ceiling(alone, middle).job) is None:
            fails = middle
        else:
            helps = middle
    return proof.first([with_ceiling(alone, helps)])


def one_hub(alone: Snapshot, proof: Proof) -> Change | None:
    """Return the one more hub that starts the job: of all that are barred the one where it goes."""
    barred = [hub for hub, allowed in enumerate(alone.shape_hub_allowed[0].tolist()) if not allowed]
    if not barred or (best := proof.start(with_hubs(alone, barred).job)) is None:
        return None
    hub = int(alone.pool_hub[best.pool])
    return proof.first([with_hubs(alone, [hub], alone.hub_names[hub])])


def one_owner(alone: Snapshot, proof: Proof) -> Change | None:
    """Return the one more owner that starts the job, found as the hub is."""
    barred = [owner for owner, allowed in enumerate(alone.shape_owner_allowed[0].tolist()) if not allowed]
    if not barred or (best := proof.start(with_owners(alone, barred).job)) is None:
        return None
    owner = int(alone.pool_owner[best.pool])
    return proof.first([with_owners(alone, [owner], alone.owner_names[owner])])


def _quota(alone: Snapshot, policy: Policy, prices: Sequence[OpeningPrice]) -> Change | None:
    """Return the one quota that keeps the job out, raised by what is short; None where none or several do."""
    if (free := without_quotas(alone)) is None or (best := _Now(free, policy, prices).start(free)) is None:
        return None
    step = raised_quota(alone, best, limits_of(alone).account)
    return None if step is None else _Now(step.job, policy, prices).first([step])


def without_quotas(alone: Snapshot) -> Snapshot | None:
    """Return the world in which no quota limits anybody; None where none limits the job."""
    tenant = int(alone.job_tenant[0])
    if tenant == UNKNOWN or not (alone.tenant_quota[tenant] >= 0).any():
        return None
    borrow = np.full_like(alone.quota_borrow_milli_tflops, UNKNOWN)
    return replace(alone, quota_borrow_milli_tflops=borrow)


def raised_quota(alone: Snapshot, placement: Placement, account: Ints) -> Step | None:
    """Return the world with the one quota that is short for this placement raised by that; None: not exactly one is.

    `account`: of quotas when it starts, as `Limits.account`.
    """
    short = _quotas_short(alone, placement, account)
    if len(short) != 1:
        return None
    [(quota, amount)] = short.items()
    borrow = alone.quota_borrow_milli_tflops
    raised = borrow.copy()
    raised[quota] += amount
    world = replace(alone, quota_borrow_milli_tflops=raised)
    return Step(Lever.QUOTA, int(borrow[quota]), int(raised[quota]), world, alone.quota_names[quota])


def _quotas_short(alone: Snapshot, placement: Placement, account: Ints) -> dict[int, int]:
    """Return how much each quota of the job's chain lacks for this placement, milli-TFLOPS; only those that do."""
    limits = limits_of(alone)
    amount = -(-_granted_milli(alone, placement) * int(limits.pool_milli_tflops[placement.pool]) // 1000)
    quota = int(alone.tenant_quota[alone.job_tenant[0], alone.pool_hub[placement.pool]])
    short: dict[int, int] = {}
    grown = amount  # what the quota counts more by the second rule of `limits.py`
    while quota >= 0:
        left, lend, kept = (int(account[quota, column]) for column in (LEFT, LEND, KEPT))
        if left < NO_LIMIT and (lacking := max(amount - left, grown - lend)) > 0:
            short[quota] = lacking
        grown = amount - (max(kept, 0) - max(kept - amount, 0))
        quota = int(limits.parent[quota])
    return short


def _granted_milli(alone: Snapshot, placement: Placement) -> int:
    """Return thousandths of cards that the placement takes."""
    tasks, asked = sum(placement.tasks), int(alone.shape_share_milli[0])
    if not asked:
        return tasks * int(alone.shape_cards_per_task[0]) * MILLI_PER_CARD
    model = int(alone.pool_model[placement.pool])
    slices = alone.slice_milli[alone.slice_start[model] : alone.slice_start[model + 1]].tolist()
    return tasks * int(min(each for each in slices if each >= asked))


def _extra(step: Step, placement: Placement) -> int:
    """Return what the full gang at full speed pays more per hour at the new ceiling, rounded up."""
    job = step.job
    card = int(fastest_builds(job)[0][0, job.pool_model[placement.pool]])
    share = int(job.shape_share_milli[0])
    milli = int(job.shape_tasks[0]) * (share or int(job.shape_cards_per_task[0]) * MILLI_PER_CARD)
    return -(-(step.after - step.before) * card * milli // (PPM * MILLI_PER_CARD))


def _most_useful_ceiling(alone: Snapshot) -> int:
    """Return the ceiling above which nothing that the job may run on is valued higher."""
    cards = fastest_builds(alone)[0]
    slowest = int(min(cards[cards > 0].tolist(), default=1))
    return min(VALUE_MAX * PPM // slowest + 1, _CEILING_MAX)
