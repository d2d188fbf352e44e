"""What traces do not say, drawn by the seed and the same for every policy: walltimes, prices, priorities; and gangs."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.replay.trace import NEVER_PREEMPTED, NOT_GIVEN, Row, Trace, trace_of
from benchmarks.replay.world import World
from scheduler.fields import PRIORITIES
from scheduler.snapshot import Ints

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
OVERESTIMATE: Final = (1.0, 5.0)
ROUND_WALLTIMES_S: Final = np.array(
    [600, 1800, HOUR_S, 2 * HOUR_S, 4 * HOUR_S, 8 * HOUR_S, 12 * HOUR_S]
    + [days * DAY_S for days in (1, 2, 3, 5, 7, 10, 14, 21, 30, 60, 90, 180, 365)],
    dtype=np.int64,
)
"""What people write."""
PRIORITY_SHARES: Final = (0.2, 0.7, 0.1, 0.0)  # in the order of PRIORITIES; emergencies are a tier, not a price
CEILING_OVER_ASK: Final = (1.1, 0.9, 0.8)
"""A ceiling is the dearest ask times (1.1 + log-normal of median 0.9, sigma 0.8): nobody is priced out everywhere."""
CEILING_STEP_MICRO_YUAN: Final = 100_000

GANG_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
GANG_SHARES: Final = (0.25, 0.10, 0.10, 0.20, 0.10, 0.09, 0.07, 0.05, 0.025, 0.01, 0.005)
GANG_HOURS: Final = (1.0, 1.2, 72.0)  # median and sigma of a log-normal, longest
GANG_JOBS: Final = 20_000
GANG_LOAD: Final = 1.1
GANG_CITIES: Final = 34

EMERGENCY_SHARE: Final = 0.05
CHECKPOINT_SHARE: Final = 0.6  # of the others
CHECKPOINT_S: Final = 1800


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What the trace says or the seed draws. Arrays [J]."""

    walltime_s: Ints
    priority: Ints
    ceiling_micro_yuan: Ints


def draw(trace: Trace, world: World, slowest_s: Ints, seed: int) -> Drawn:
    """Fill in what the trace leaves out.

    Walltimes: people over-estimate and write round numbers (Mu'alem and Feitelson 2001; Tsafrir's modal estimates): the
    true time on the slowest model that the job may have, times a factor uniform in [1, 5], rounded up to one of
    `ROUND_WALLTIMES_S`; so never below the true time.

    Args: slowest_s: [J] true run time on that model.
    """
    luck = np.random.default_rng((seed, 7))
    count = trace.cards.size
    guessed = np.ceil(slowest_s * luck.uniform(*OVERESTIMATE, count)).astype(np.int64)
    at = np.searchsorted(ROUND_WALLTIMES_S, guessed)
    rounded = np.where(
        at < ROUND_WALLTIMES_S.size, ROUND_WALLTIMES_S[np.minimum(at, ROUND_WALLTIMES_S.size - 1)], guessed
    )
    priority = luck.choice(len(PRIORITIES), count, p=PRIORITY_SHARES)
    flops = world.milli_tflops[world.pool_model]
    dearest = float((world.ask_micro_yuan / flops).max()) * 10**6
    base, median, sigma = CEILING_OVER_ASK
    steps = np.ceil(dearest * (base + luck.lognormal(np.log(median), sigma, count)) / CEILING_STEP_MICRO_YUAN)
    ceiling = np.maximum(steps, 1).astype(np.int64) * CEILING_STEP_MICRO_YUAN
    return Drawn(
        walltime_s=np.where(trace.walltime_s == NOT_GIVEN, rounded, trace.walltime_s),
        priority=np.where(trace.priority == NOT_GIVEN, priority, trace.priority),
        ceiling_micro_yuan=np.where(trace.ceiling_micro_yuan == NOT_GIVEN, ceiling, trace.ceiling_micro_yuan),
    )


def gangs(world: World, seed: int, limit: int = 0) -> Trace:
    """Return generated gangs of up to 1,024 cards: Poisson arrivals that ask for 1.1 times the world's cards.

    Sizes that no pool could hold are left out.
    """
    luck = np.random.default_rng((seed, 11))
    count = limit or GANG_JOBS
    largest = int((np.diff(world.pool_first) * world.pool_cards).max())
    possible = [(size, share) for size, share in zip(GANG_SIZES, GANG_SHARES, strict=True) if size <= largest]
    sizes, shares = np.array(possible).T
    cards = luck.choice(sizes.astype(np.int64), count, p=shares / shares.sum())
    median, sigma, longest = GANG_HOURS
    hours = np.minimum(luck.lognormal(np.log(median), sigma, count), longest)
    seconds = np.maximum((HOUR_S * hours).astype(np.int64), 60)
    span = float((cards * seconds).sum()) / (GANG_LOAD * world.cards)
    submit = np.sort(luck.uniform(0, span, count))
    city = luck.integers(0, GANG_CITIES, count)
    rows = [
        Row(when, lasts, size, f"city-{number:02}", checkpoint_s=NEVER_PREEMPTED)
        for when, lasts, size, number in zip(
            submit.tolist(), seconds.tolist(), cards.tolist(), city.tolist(), strict=True
        )
    ]
    return trace_of(rows, f"generated gangs, {count:,} jobs of 1 to {int(cards.max()):,} cards, load {GANG_LOAD}")


def emergencies(world: World, seed: int, limit: int = 0) -> Trace:
    """Generate the same gangs, some of them emergencies; of the others most write a checkpoint every half an hour."""
    trace = gangs(world, seed, limit)
    luck = np.random.default_rng((seed, 13))
    drawn = luck.random((2, trace.cards.size))
    urgent = drawn[0] < EMERGENCY_SHARE
    stops = ~urgent & (drawn[1] < CHECKPOINT_SHARE)
    return replace(
        trace,
        source=f"{trace.source}; {int(urgent.sum()):,} emergencies, {int(stops.sum()):,} with checkpoints",
        priority=np.where(urgent, PRIORITIES.index("emergency"), NOT_GIVEN),
        checkpoint_s=np.where(stops, CHECKPOINT_S, NEVER_PREEMPTED),
    )
