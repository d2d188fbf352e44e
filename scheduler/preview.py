"""What a change of the world would do to a round: the same policy plans both, and the two plans are compared.

Neither plan need be the best one, so what differs by less than the gaps may differ by chance: they stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.plan import Plan
from scheduler.planner import plan as make_plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Move:
    """A job that starts either way, in another pool."""

    job_id: str
    before: str  # names of pools
    after: str


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
    prices: tuple[PriceMove, ...]  # the largest difference first
    worth_before_micro_yuan_per_hour: int
    worth_after_micro_yuan_per_hour: int
    gap_before_ppm: int
    gap_after_ppm: int


def preview(world: Snapshot, changed: Snapshot, policy: Policy) -> Outlook:
    """Plan the world as it is and as it would be, and return the difference.

    Args:
        world: as it is.
        changed: with nodes closed, jobs left out, quotas or power changed. Pools are known by name, so there may be
            others.
        policy: of both plans; effort 0 compares two greedy plans, which have no prices.
    """
    return difference(world, make_plan(world, policy), changed, make_plan(changed, policy))


def difference(world: Snapshot, before: Plan, changed: Snapshot, after: Plan) -> Outlook:
    """Return how the plan of the changed world differs from that of the world as it is."""
    was = {placement.job_id: world.pool_names[placement.pool] for placement in before.placements}
    will = {placement.job_id: changed.pool_names[placement.pool] for placement in after.placements}
    return Outlook(
        starts=tuple(job for job in will if job not in was),
        waits=tuple(job for job in was if job not in will),
        moves=tuple(Move(job, was[job], will[job]) for job in was if will.get(job, was[job]) != was[job]),
        prices=_price_moves(_card_prices(world, before), _card_prices(changed, after)),
        worth_before_micro_yuan_per_hour=before.objective,
        worth_after_micro_yuan_per_hour=after.objective,
        gap_before_ppm=before.gap_ppm,
        gap_after_ppm=after.gap_ppm,
    )


def _card_prices(world: Snapshot, made: Plan) -> dict[str, int]:
    """Return the price of the smallest block in each pool, by the pool's name."""
    rows = made.prices.cards_micro_yuan_per_block_hour if made.prices.block_cards else ()
    return {name: row[0] for name, row in zip(world.pool_names, rows, strict=False)}


def _price_moves(before: dict[str, int], after: dict[str, int]) -> tuple[PriceMove, ...]:
    names = dict.fromkeys((*before, *after))
    moves = [PriceMove(name, before.get(name, 0), after.get(name, 0)) for name in names]
    return tuple(
        sorted((move for move in moves if move.before != move.after), key=lambda move: -abs(move.after - move.before))
    )
