"""A whole round: what starts, what is promised, what is stopped for whom; and what the verifiers say of all that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from scheduler.decide import Decision, decide
from scheduler.defragmentation import make_room
from scheduler.horizon import Horizon
from scheduler.planner import Stop, never
from scheduler.policy import Policy
from scheduler.preemption import preempt
from scheduler.reclaim import Reclaim
from scheduler.snapshot import Snapshot
from scheduler.verify import violations
from scheduler.verify_preemption import Terms, preemption_violations
from scheduler.verify_time import time_violations


@dataclass(frozen=True, eq=False)
class Round:
    """What a round decided, and what it stops beyond that; the promises that stand are those of the reclaim."""

    decision: Decision
    reclaim: Reclaim

    @classmethod
    def stopping_nobody(cls, decision: Decision) -> Self:
        """Return the round that this decision alone is."""
        return cls(decision, Reclaim(promises=decision.promises))

    def without_stops(self) -> Self:
        """Return the round as a policy without a budget for stops decides it, with that policy in its plan."""
        policy = replace(self.decision.plan.policy, churn_card_seconds_max=0)
        return self.stopping_nobody(replace(self.decision, plan=replace(self.decision.plan, policy=policy)))


def run_round(world: Snapshot, horizon: Horizon, policy: Policy, stop: Stop = never) -> Round:
    """Decide a round.

    Args:
        policy: its `churn_card_seconds_max` is what is left of the hour's budget; at 0 nothing is stopped.
    Raises: BadSnapshot: the horizon is not one of this world.
    """
    made = decide(world, horizon, policy, stop)
    budget = policy.churn_card_seconds_max
    if budget <= 0 or not horizon.lease_preemptible.any():
        return Round.stopping_nobody(made)
    reclaim = preempt(world, horizon, made, policy, budget)
    if horizon.make_room_for and not reclaim.preemptions:  # one after the other: both look for room by themselves
        reclaim = make_room(world, horizon, made, policy, budget)
    return Round(made, reclaim)


def round_violations(world: Snapshot, horizon: Horizon, policy: Policy, made: Round) -> list[str]:
    """Return what a round breaks, as "RULE: where"; nothing for one that keeps all rules."""
    decision, margin = made.decision, policy.lease_end_margin_seconds
    placements, promises = decision.placements, decision.promises
    terms = Terms(margin, policy.reclaim_seconds_max, policy.churn_card_seconds_max)
    found = [f"{each.rule.value}: {each.detail}" for each in violations(decision.zoned.world, decision.plan)]
    of_time = time_violations(world, horizon, margin, placements, promises, decision.news)
    found += [f"{each.rule.value}: {each.detail}" for each in of_time]
    if made.reclaim.preemptions:
        stopped = preemption_violations(world, horizon, terms, placements, promises, made.reclaim)
        found += [f"{each.rule.value}: {each.detail}" for each in stopped]
    return found
