"""What a change of the world would do to a round: the same policy decides both, and the two rounds are compared.

Promises stand, move and are made in both as in any round, and both may stop running work for guarantees and tiers
above. Neither plan need be the best one, so what differs by less than the gaps may differ by chance: they stand beside
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.horizon import Cause, Fate, Horizon
from scheduler.policy import Policy
from scheduler.rounds import Round, run_round
from scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Move:
    """A job that starts either way, in another pool."""

    job_id: str
    before: str  # names of pools
    after: str


@dataclass(frozen=True, slots=True)
class PromisedStart:
    """A start that is promised, or would be. Times are epoch seconds; that of the round for who starts in it."""

    job_id: str
    promised_s: int | None  # as it stands; None: nothing is promised yet
    before_s: int | None  # after a round as things are; None: no start is promised then
    after_s: int | None  # after the round with the change
    fate: Fate | None  # of one that stands, with the change
    cause: Cause | None  # of MOVED and BROKEN


@dataclass(frozen=True, slots=True)
class PriceMove:
    """A pool in which a card has another price, micro-yuan per card-hour in the smallest block."""

    pool: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a round differs once the world is changed. Jobs are in the order of the world as it is."""

    starts: tuple[str, ...]  # jobs that would start with the change and do not start without it
    waits: tuple[str, ...]  # the other way round
    moves: tuple[Move, ...]
    promises: tuple[PromisedStart, ...]  # all that stand, by start, and after them the new ones that differ
    stops: tuple[str, ...]  # leases that would be stopped for others with the change and are not without it
    spared: tuple[str, ...]  # the other way round
    prices: tuple[PriceMove, ...]  # the largest difference first
    worth_before_micro_yuan_per_hour: int
    worth_after_micro_yuan_per_hour: int
    gap_before_ppm: int
    gap_after_ppm: int


def preview(world: Snapshot, horizon: Horizon, changed: Snapshot, then: Horizon, policy: Policy) -> Outlook:
    """Decide a round of the world as it is and as it would be, and return the difference.

    Args:
        world, horizon: as they are.
        changed, then: with nodes closed, jobs left out, quotas or power changed; with the same pools and leases.
        policy: of both rounds; effort 0 compares two greedy plans, which have no prices.
    """
    return difference(world, horizon, run_round(world, horizon, policy), changed, run_round(changed, then, policy))


def difference(world: Snapshot, horizon: Horizon, before: Round, changed: Snapshot, after: Round) -> Outlook:
    """Return how the round of the changed world differs from that of the world as it is."""
    was = {placement.job_id: world.pool_names[placement.pool] for placement in before.decision.placements}
    will = {placement.job_id: changed.pool_names[placement.pool] for placement in after.decision.placements}
    stops, spared = (dict.fromkeys(each.lease_id for each in made.reclaim.preemptions) for made in (after, before))
    return Outlook(
        starts=tuple(job for job in will if job not in was),
        waits=tuple(job for job in was if job not in will),
        moves=tuple(Move(job, was[job], will[job]) for job in was if will.get(job, was[job]) != was[job]),
        promises=_promised(horizon, world, before, changed, after),
        stops=tuple(lease for lease in stops if lease not in spared),
        spared=tuple(lease for lease in spared if lease not in stops),
        prices=_price_moves(_card_prices(world, before), _card_prices(changed, after)),
        worth_before_micro_yuan_per_hour=_worth(before),
        worth_after_micro_yuan_per_hour=_worth(after),
        gap_before_ppm=before.decision.plan.gap_ppm,
        gap_after_ppm=after.decision.plan.gap_ppm,
    )


def _promised(
    horizon: Horizon, world: Snapshot, before: Round, changed: Snapshot, after: Round
) -> tuple[PromisedStart, ...]:
    was, will = _starts(before, world.taken_at_s), _starts(after, changed.taken_at_s)
    told = {each.job_id: each for each in after.decision.news}
    starts = {each.job_id for each in after.decision.placements}
    found = []
    stands = {each.job_id for each in horizon.promises}
    for promise in sorted(horizon.promises, key=lambda each: (each.start_s, each.job_id)):
        job_id = promise.job_id
        news, then = told[job_id], will.get(job_id)
        fate = news.fate
        if job_id in starts:
            fate = Fate.STARTED  # be it elsewhere: one that is broken waits like others, and may be promised anew
        elif then is not None:
            fate = Fate.MOVED if then > promise.start_s else Fate.KEPT
        cause = news.cause if fate in (Fate.MOVED, Fate.BROKEN) else None
        found.append(PromisedStart(job_id, promise.start_s, was.get(job_id), then, fate, cause))
    made = {each.job_id: None for each in (*before.reclaim.promises, *after.reclaim.promises)}
    for job_id in made:
        first, then = was.get(job_id), will.get(job_id)
        if job_id not in stands and first != then:
            found.append(PromisedStart(job_id, None, first, then, None, None))
    return tuple(found)


def _starts(made: Round, now_s: int) -> dict[str, int]:
    """Return when jobs start that start in the round or are promised a start after it."""
    promised = {each.job_id: each.start_s for each in made.reclaim.promises}
    return promised | {each.job_id: now_s for each in made.decision.placements}


def _worth(made: Round) -> int:
    """Return what starts in the round is worth: what was planned, and promised gangs that start."""
    decision = made.decision
    return decision.plan.objective + sum(each.worth_micro_yuan_per_hour for each in decision.starts)


def _card_prices(world: Snapshot, made: Round) -> dict[str, int]:
    """Return the price of the smallest block in each pool, by the pool's name; zones are left out."""
    plan, planned = made.decision.plan, made.decision.zoned.world
    rows = plan.prices.cards_micro_yuan_per_block_hour if plan.prices.block_cards else ()
    pools = set(world.pool_names)
    return {name: row[0] for name, row in zip(planned.pool_names, rows, strict=False) if name in pools}


def _price_moves(before: dict[str, int], after: dict[str, int]) -> tuple[PriceMove, ...]:
    names = dict.fromkeys((*before, *after))
    moves = [PriceMove(name, before.get(name, 0), after.get(name, 0)) for name in names]
    return tuple(
        sorted((move for move in moves if move.before != move.after), key=lambda move: -abs(move.after - move.before))
    )
