"""Re-derive from the snapshot alone whether a plan may be committed, and whether its bounds are bounds.

Shares no code with the planner: what the planner believes about worths, eligibility and capacity is derived here a
second time. A plan may come from anywhere: whatever is in it, the answer is a list of violations and no exception.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from typing import Final

import numpy as np

from scheduler.plan import Placement, Plan, PlanStatus, Prices, Tier
from scheduler.reasons import REFUSALS, Reason
from scheduler.refusals import Refusal
from scheduler.snapshot import Snapshot
from scheduler.verify_bound import GUARANTEE, Bounds, Wanted, complaint
from scheduler.verify_limits import broken_before
from scheduler.verify_placed import all_together, direct_use, each_by_itself, placed, readable
from scheduler.verify_rules import Rule, Violation
from scheduler.verify_worth import Market

_BITS_MAX: Final = 4096

__all__ = ["Rule", "Violation", "violations"]


def violations(snapshot: Snapshot, plan: Plan) -> list[Violation]:
    """Return every rule that the plan breaks; an empty list means that it may be committed and its gap believed."""
    return list(_violations(snapshot, plan))


def _violations(snapshot: Snapshot, plan: Plan) -> Iterator[Violation]:
    if plan.snapshot_hash != snapshot.input_hash():
        yield Violation(Rule.OTHER_SNAPSHOT, "the hash is not the snapshot's")
    placements = [each for each in plan.placements if _is_placement(each)]
    refusals = [each for each in plan.refusals if _is_refusal(each)]
    tiers = [each for each in plan.tiers if _is_tier(each)]
    figures = (plan.objective_micro_yuan_per_hour, plan.bound_micro_yuan_per_hour, plan.effort_spent)
    yield from _malformed(plan, (placements, refusals, tiers), figures)
    position = {job_id: job for job, job_id in enumerate(snapshot.job_id)}
    yield from _every_job_once(snapshot, placements, refusals, position)

    market = Market(snapshot, plan.policy)
    found: list[tuple[int, Placement]] = []
    for each in readable(snapshot, position, placements):
        if isinstance(each, Violation):
            yield each
        else:
            found.append(each)
    sound = placed(market, found)
    yield from each_by_itself(market, sound)
    yield from all_together(market, sound)
    if plan.broken_before != broken_before(snapshot, market.quotas):
        yield Violation(Rule.WRONG_BROKEN_BEFORE, "it is not what the snapshot shows")

    worths = _worth_by_tier(snapshot, placements, position)
    wanted = _wanted(market, tiers, worths, market.quotas.new(direct_use(market, sound)))
    yield from _tiers(plan, tiers, wanted, worths)
    bounds = yield from _bounds(market, tiers, wanted)
    yield from _reasons(market, refusals, position, bounds)
    if plan.policy.effort != plan.effort_spent:
        yield Violation(Rule.WRONG_EFFORT, f"not what the policy says, {plan.policy.effort}")


def _are_integers(*values: object) -> bool:
    """Tell whether all are Python's integers (those of numpy would wrap around) that can be written in a message."""
    return all(type(value) is int and value.bit_length() <= _BITS_MAX for value in values)


def _is_row(value: object) -> bool:
    return type(value) is tuple and _are_integers(*value)


def _is_placement(given: object) -> bool:
    return (
        isinstance(given, Placement)
        and type(given.job_id) is str
        and _are_integers(given.build, given.pool, given.worth_micro_yuan_per_hour)
        and _is_row(given.nodes)
        and _is_row(given.tasks)
        and _is_row(given.cards)
    )


def _is_refusal(given: object) -> bool:
    return isinstance(given, Refusal) and type(given.job_id) is str and _are_integers(given.pool)


def _is_tier(given: object) -> bool:
    if not (isinstance(given, Tier) and type(given.name) is str and _are_integers(given.objective, given.bound)):
        return False
    if not isinstance(given.prices, Prices):
        return False
    nested = (
        "cards_micro_yuan_per_block_hour",
        "slices_micro_yuan_per_slice_hour",
        "domain_blocks",
        "domains_micro_yuan_per_hour",
    )
    for name, value in vars(given.prices).items():
        rows = value if name in nested else (value,)
        if type(rows) is not tuple or not all(_is_row(row) for row in rows):
            return False
    return True


def _malformed(
    plan: Plan, understood: tuple[list[Placement], list[Refusal], list[Tier]], figures: tuple[object, ...]
) -> Iterator[Violation]:
    placements, refusals, tiers = understood
    strange = {
        "placements": len(plan.placements) - len(placements),
        "refusals": len(plan.refusals) - len(refusals),
        "tiers": len(plan.tiers) - len(tiers),
    }
    for name, number in strange.items():
        if number:
            yield Violation(Rule.MALFORMED, f"{number} {name} cannot be read")
    if not _are_integers(*figures):
        yield Violation(Rule.MALFORMED, "objective, bound and effort must be integers")


def _every_job_once(
    snapshot: Snapshot, placements: list[Placement], refusals: list[Refusal], position: dict[str, int]
) -> Iterator[Violation]:
    decided = Counter(p.job_id for p in placements) + Counter(r.job_id for r in refusals)
    for job_id, times in decided.items():
        if job_id not in position:
            yield Violation(Rule.UNKNOWN_JOB, f"{job_id:.80}")
        elif times > 1:
            yield Violation(Rule.JOB_TWICE, f"{job_id} is decided {times} times")
    for job_id in snapshot.job_id:
        if job_id not in decided:
            yield Violation(Rule.JOB_UNDECIDED, job_id)
    for refusal in refusals:
        if refusal.reason not in REFUSALS:
            yield Violation(Rule.REFUSED_WITHOUT_REASON, f"{refusal.job_id:.80}")
        if not -1 <= refusal.pool < len(snapshot.pool_names):
            yield Violation(Rule.DANGLING_INDEX, f"{refusal.job_id:.80} refused by pool {refusal.pool}")


def _worth_by_tier(snapshot: Snapshot, placements: list[Placement], position: dict[str, int]) -> dict[int, int]:
    """Return the worth that the placements of each tier of jobs claim; `WRONG_WORTH` is about the claims."""
    numbers = np.unique(snapshot.job_tier).tolist() or [0]
    worths = dict.fromkeys(numbers, 0)
    tier = snapshot.job_tier.tolist()
    for placement in placements:
        job = position.get(placement.job_id)
        if job is not None:
            worths[tier[job]] += placement.worth_micro_yuan_per_hour
    return worths


def _wanted(market: Market, tiers: list[Tier], worths: dict[int, int], new: list[int]) -> list[tuple[Wanted, int]]:
    """Return the tiers that there must be, with the prices that the plan gives to them, and each one's objective."""
    level = tuple(min(headroom, use) for headroom, use in zip(market.quotas.headroom, new, strict=True))
    wanted: list[tuple[str, int, tuple[tuple[int, int], ...], int]] = []
    if market.snapshot.job_id and any(market.quotas.headroom):
        wanted.append((GUARANTEE, -1, (), sum(level)))
    above = tuple(worths.items())
    wanted += [(f"worth-{number}", number, above[:at], worth) for at, (number, worth) in enumerate(above)]
    if [tier.name for tier in tiers] != [name for name, *_ in wanted]:
        return []
    return [
        (Wanted(name, number, above, level, tier.prices), objective)
        for (name, number, above, objective), tier in zip(wanted, tiers, strict=True)
    ]


def _tiers(
    plan: Plan, tiers: list[Tier], wanted: list[tuple[Wanted, int]], worths: dict[int, int]
) -> Iterator[Violation]:
    """Check names, objectives and sums."""
    if not wanted:
        yield Violation(Rule.WRONG_TIERS, f"{[tier.name for tier in tiers]!s:.200}")
    for tier, (_, objective) in zip(tiers, wanted, strict=False):
        if tier.objective != objective:
            yield Violation(Rule.WRONG_OBJECTIVE, f"{tier.name}: {tier.objective}, the placements give {objective}")
    claimed = sum(worths.values())
    if plan.objective_micro_yuan_per_hour != claimed:
        yield Violation(Rule.WRONG_OBJECTIVE, f"the plan's is not {claimed}, what the placements give")
    bound = sum(tier.bound for tier in tiers if tier.name != GUARANTEE)
    if plan.bound_micro_yuan_per_hour != bound:
        yield Violation(Rule.WRONG_BOUND, f"the plan's is not {bound}, the sum of its tiers'")
    proven = all(tier.objective == tier.bound for tier in tiers)
    if proven != (plan.status is PlanStatus.OPTIMAL):
        yield Violation(Rule.WRONG_STATUS, "every tier is proven" if proven else "not every tier is proven")


def _bounds(market: Market, tiers: list[Tier], wanted: list[tuple[Wanted, int]]) -> Generator[Violation, None, Bounds]:
    """Check prices and bounds of all tiers, and return what was derived on the way."""
    sound: list[tuple[Tier, Wanted]] = []
    for tier, (each, _) in zip(tiers, wanted, strict=False):
        wrong = complaint(market, each)
        if wrong:
            yield Violation(Rule.BAD_PRICES, f"{tier.name}: {wrong}")
        else:
            sound.append((tier, each))
    bounds = Bounds(market, [each for _, each in sound])
    for (tier, _), bound in zip(sound, bounds.values, strict=True):
        if bound != tier.bound:
            yield Violation(Rule.WRONG_BOUND, f"{tier.name}: {tier.bound}, the prices give {bound}")
        if min(bound, tier.bound) < tier.objective:
            yield Violation(Rule.BOUND_BELOW_OBJECTIVE, f"{tier.name}: {bound} is less than {tier.objective}")
    return bounds


def _reasons(market: Market, refusals: list[Refusal], position: dict[str, int], bounds: Bounds) -> Iterator[Violation]:
    """Check that a refused job is outbid if some pool would take it alone, and has another reason if none would."""
    eligible = bounds.eligible[market.groups.of_job].tolist()
    for refusal in refusals:
        job = position.get(refusal.job_id)
        if job is not None and eligible[job] != (refusal.reason is Reason.OUTBID):
            yield Violation(
                Rule.WRONG_REASON, f"{refusal.job_id}: {'some' if eligible[job] else 'no'} pool would take it alone"
            )
