"""From a world to the options of a quote: for each pool the earliest sure start, and those in later, cheaper hours.

Pure: what the tables say comes in. An option's window begins where its price does: who starts earlier would pay what is
asked then. It ends a margin after the start that was found, and never before the quote can be accepted.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from broker.errors import NothingToQuote
from broker.ids import JobId, RoundId
from broker.job import JobSpec, LeasePrice
from broker.ledger.work import work_micro_yuan
from broker.market.snapshot import Prepared, arrived, prepare
from broker.store.promises import NO_ROUND
from broker.store.quotes import QuoteTerms
from broker.store.snapshots import PoolRow, WaitingRow, WorldView
from broker.worlds.rates import AskNow, RateCard, ask_of, in_force
from scheduler.horizon import Promise
from scheduler.options import Options, Priced, priced, with_asks
from scheduler.policy import OpeningPrice, Policy

NOBODY: Final = JobId(0)
"""Stands for the job of a quote that nobody has accepted."""

CHEAPER_HOURS: Final = 48
"""Hours of a window in which a lower ask is looked for; further ones are asked for with a window of their own."""

_MILLI_PER_CARD: Final = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a quote is asked for: the job, and the window in which it is to start."""

    city: str
    spec: JobSpec
    ceiling_micro_yuan_per_pflops_hour: int  # that counts: never 0
    not_before: datetime
    starts_by: datetime


@dataclass(frozen=True, slots=True)
class Asks:
    """What owners ask at any time."""

    cards: Mapping[tuple[str, str], Sequence[RateCard]]  # by cluster and model
    green_hours: Mapping[str, Sequence[int]]  # by hub

    def at(self, pool: PoolRow, at: datetime) -> AskNow:
        """Return what is asked for a card of the pool at a time."""
        card = in_force(self.cards.get((pool.cluster, pool.model), ()), at)
        return ask_of(card, self.green_hours.get(pool.hub, ()), at)

    def cheaper(self, pool: PoolRow, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the begin of the window, and of each hour in it in which less is asked than in all before."""
        yield begin
        least = self.at(pool, begin).micro_yuan_per_card_hour
        hour = begin.replace(minute=0, second=0, microsecond=0)
        for _ in range(CHEAPER_HOURS):
            hour += timedelta(hours=1)
            if hour >= end:
                return
            ask = self.at(pool, hour).micro_yuan_per_card_hour
            if ask < least:
                least = ask
                yield hour


@dataclass(frozen=True, slots=True)
class Scarcity:
    """What others would pay, by the last round; 0: there was none."""

    round: RoundId = NO_ROUND
    prices: tuple[OpeningPrice, ...] = ()


def world_with(view: WorldView, asked: Asked, policy: Policy, now: datetime) -> Prepared:
    """Return the world with the job of the quote as the only one that waits. `view`: with leases and promises."""
    spec = asked.spec
    row = WaitingRow(
        NOBODY,
        now,
        asked.city,
        0,
        spec.priority,
        asked.ceiling_micro_yuan_per_pflops_hour,
        spec.walltime_seconds,
        spec.enterprise,
        spec.finish_by,
        spec.grace_seconds,
        spec.ceiling_micro_yuan_per_job or None,
    )
    whole = prepare(view, now, margin_seconds=policy.lease_end_margin_seconds)
    return arrived(whole, [row], {0: spec.requirement()}, now)


def options(
    world: Prepared, asked: Asked, asks: Asks, scarcity: Scarcity, policy: Policy, *, now: datetime, valid: timedelta
) -> list[QuoteTerms]:
    """Return what the job could be sure of, the best first: see `_best_first`. `valid`: for how long.

    Raises: NothingToQuote: in no pool it is sure to start within the window.
    """
    finder = Options(world.snapshot, world.horizon, policy, scarcity.prices, any_price=True)
    if not finder.pools:
        raise NothingToQuote(why="no pool may hold it, see what `xisuan explain` says of such a job")
    begin, end = max(asked.not_before, now), latest_start(asked)
    starts: list[tuple[datetime, Promise]] = []
    for pool in finder.pools:
        seen: set[int] = set()
        for hour in asks.cheaper(world.pools[pool], begin, end):
            start = finder.earliest(pool, math.ceil(hour.timestamp()), math.floor(end.timestamp()))
            if start is None:
                break
            if start.start_s not in seen:
                seen.add(start.start_s)
                starts.append((hour, start))
    if not starts:
        raise NothingToQuote(why=f"all that may hold it is taken or promised until after {_text(end)}")
    asked_then = [asks.at(world.pools[start.pool], _time(start.start_s)) for _, start in starts]
    costs = priced(
        world.snapshot,
        scarcity.prices,
        [start for _, start in starts],
        [each.micro_yuan_per_card_hour for each in asked_then],
    )
    slack, until = timedelta(seconds=policy.lease_end_margin_seconds), min(now + valid, end)
    return _best_first(
        _terms(world, asked, hour, start, cost, ask.version, scarcity.round, slack, end, now, until)
        for (hour, start), cost, ask in zip(starts, costs, asked_then, strict=True)
    )


def start_of(
    world: Prepared, terms: QuoteTerms, scarcity: Scarcity, policy: Policy, *, now: datetime
) -> Promise | None:
    """Return the earliest start that keeps the terms as the world is now; None: others have taken it.

    It is looked for a little ahead, so that it has not passed when a round comes to look at it; a round that can starts
    it at once.
    """
    pool = next((at for at, row in enumerate(world.pools) if row.pool_id == terms.pool_id), None)
    if pool is None:
        return None
    then = with_asks(world.snapshot, {pool: terms.price.ask_micro_yuan_per_card_hour})
    finder = Options(then, world.horizon, policy, scarcity.prices, any_price=False)
    soon = math.floor(now.timestamp()) + 1 + policy.lease_end_margin_seconds // 4
    last = math.floor(terms.starts_by.timestamp())
    found = finder.earliest(pool, max(math.ceil(terms.not_before.timestamp()), min(soon, last)), last)
    if found is None or found.build != terms.build:
        return None
    later = terms.not_before > now
    return replace(found, not_before_s=math.ceil(terms.not_before.timestamp()) if later else 0)


def latest_start(asked: Asked) -> datetime:
    """Return the last start that the window and the job itself allow."""
    own = asked.spec.latest_start
    return asked.starts_by if own is None else min(asked.starts_by, own)


def _terms(
    world: Prepared,
    asked: Asked,
    hour: datetime,
    start: Promise,
    cost: Priced,
    version: int,
    of: RoundId,
    slack: timedelta,
    end: datetime,
    now: datetime,
    until: datetime,
) -> QuoteTerms:
    spec, price = asked.spec, cost.price
    at = _time(start.start_s)
    per_card_hour = price.ask_micro_yuan_per_card_hour + price.scarcity_micro_yuan_per_card_hour
    return QuoteTerms(
        pool_id=world.pools[start.pool].pool_id,
        build=start.build,
        not_before=min(hour, at),
        starts_by=max(at, min(end, max(at, until) + slack)),
        starts_at=at,
        price=LeasePrice(price.ask_micro_yuan_per_card_hour, price.scarcity_micro_yuan_per_card_hour, version),
        round=of,
        total_micro_yuan=work_micro_yuan(per_card_hour, start.cards * _MILLI_PER_CARD, spec.walltime_seconds),
        energy_micro_yuan=cost.energy_micro_yuan,
        transfer_micro_yuan=cost.transfer_micro_yuan,
        transfer_seconds=cost.transfer_seconds,
        within_ceiling=cost.within_ceiling,
        asked_at=now,
        valid_until=until,
    )


def _best_first(found: Iterable[QuoteTerms]) -> list[QuoteTerms]:
    """Return what the ceilings allow first; of that what nothing beats in start and price; of that by start."""
    allowed_first = sorted(found, key=lambda t: (not t.within_ceiling, t.starts_at, t.total_micro_yuan, t.pool_id))
    best: list[QuoteTerms] = []
    others: list[QuoteTerms] = []
    least: int | None = None
    for terms in allowed_first:
        beaten = not terms.within_ceiling or (least is not None and terms.total_micro_yuan >= least)
        (others if beaten else best).append(terms)
        least = terms.total_micro_yuan if not beaten else least
    return best + others


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
