"""When which city submits what, drawn from a seed. Pure: the same arguments give the same arrivals.

A Poisson process whose rate follows the day of each city (by solar time, so Hami wakes up two hours after Shanghai)
and rises now and then to a multiple for some seconds, as when somebody's script sends a whole sweep. Sizes and run
times are of real jobs: rows of a trace, whole rows, so that both stay together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.worlds.trace import RealJobs
from scheduler.snapshot import Ints

SOLAR_HOURS_LATER: Final = {"hami": 1.8, "lanzhou": 1.1, "chengdu": 1.1, "chongqing": 0.9, "xian": 0.7}
"""How much later than on the east coast the day begins."""

NIGHT_SHARE: Final = 0.35  # of the rate at four in the morning, against the mean of about 1
BURSTS_PER_HOUR: Final = 6.0  # of a city
BURST_SECONDS_MEAN: Final = 8.0
BURST_FACTOR: Final = 6.0
NODE_CARDS: Final = 8
_BESIDE: Final = ("city", "tasks", "cards", "run_seconds", "walltime_seconds")


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Submissions in the order of time.

    Attributes:
        at_seconds: [N] after the start. city: [N] index of the city.
        tasks, cards: [N] the gang: tasks, and whole cards of each.
        run_seconds: [N] how long it will run. walltime_seconds: [N] what its owner asks for, more than that.
    """

    at_seconds: np.ndarray
    city: Ints
    tasks: Ints
    cards: Ints
    run_seconds: np.ndarray
    walltime_seconds: Ints

    def of(self, cities: Ints) -> Ints:
        """Return the positions of what these cities submit."""
        return np.flatnonzero(np.isin(self.city, cities))


def arrivals(
    seed: int,
    cities: tuple[str, ...],
    rate: float,
    seconds: float,
    real: RealJobs,
    *,
    hour: float = 10.0,
    run_seconds_max: float = 60.0,
    gang_cards_max: int = 1024,
) -> Arrivals:
    """Draw what is submitted.

    Args:
        seed: of everything. cities: those who submit.
        rate: submissions a second of all cities together, on the average of the run. seconds: how long.
        real: where sizes and run times come from.
        hour: time of the day (UTC+8) at which the run begins.
        run_seconds_max: real run times are compressed, by one factor, until nine of ten are at most that.
        gang_cards_max: no gang is larger.
    """
    draw = np.random.Generator(np.random.PCG64((seed, 2)))
    weight = draw.lognormal(0, 0.7, len(cities))
    later = np.array([SOLAR_HOURS_LATER.get(city, 0.0) for city in cities])
    grid = np.arange(0.0, seconds, 1.0)
    level = weight[:, None] * _day(hour - later[:, None] + grid[None, :] / 3600)
    for row in level:
        _add_bursts(draw, row, grid)
    level *= rate * seconds / level.sum()  # each second of each city: how many are expected
    count = draw.poisson(level)
    city, second = (np.repeat(index.ravel(), count.ravel()) for index in np.indices(count.shape))
    at = second + draw.random(second.size) * np.minimum(1.0, seconds - second)  # the last one may be a part
    order = np.argsort(at, kind="stable")
    at, city = at[order], city[order]
    row = draw.integers(0, real.cards.size, at.size)
    wanted = np.minimum(real.cards[row], gang_cards_max)
    cards = np.minimum(wanted, NODE_CARDS)
    tasks = -(-wanted // NODE_CARDS) * (wanted > 0)
    run = real.duration_seconds[row] * (run_seconds_max / np.quantile(real.duration_seconds, 0.9))
    run = np.clip(run, 0.5, 4 * run_seconds_max)
    walltime = np.ceil(run * draw.uniform(1.2, 4.0, at.size) / 30) * 30 + 60
    return Arrivals(at, city, np.maximum(tasks, 1), np.maximum(cards, 1), run, walltime.astype(np.int64))


def flooded(
    draw: Callable[..., Arrivals], seed: int, first: tuple[float, float], flood: tuple[float, float], sweep: int = 1
) -> tuple[Arrivals, float]:
    """Return what comes first and the flood after it, and the seconds of both.

    `draw` is `arrivals` with all but seed, rate and seconds; `first` and `flood` are rate and seconds of each. Of the
    flood each city sends `sweep` jobs at once.
    """
    rate, seconds = first
    before = draw(seed, rate=rate, seconds=seconds)
    rate, lasts = flood
    if not lasts:
        return before, seconds
    return followed_by(before, in_sweeps(draw(seed + 1, rate=rate, seconds=lasts), sweep), seconds), seconds + lasts


def in_sweeps(drawn: Arrivals, size: int) -> Arrivals:
    """Return the same jobs, of each city so many at once: when the last of them would have come by itself.

    What is left of a city for one more comes when the first of it would have: not all of it at the very end.
    """
    at = drawn.at_seconds.copy()
    for city in np.unique(drawn.city):
        mine = drawn.of(np.array([city]))
        for start in range(0, mine.size, size):
            whole = start + size <= mine.size
            at[mine[start : start + size]] = at[mine[start + size - 1 if whole else start]]
    order = np.argsort(at, kind="stable")
    return Arrivals(at[order], *(getattr(drawn, name)[order] for name in _BESIDE))


def followed_by(first: Arrivals, later: Arrivals, after_seconds: float) -> Arrivals:
    """Return both: the later ones begin so many seconds after the first ones, when all of those have come."""
    return Arrivals(
        np.concatenate([first.at_seconds, later.at_seconds + after_seconds]),
        *(np.concatenate([getattr(first, name), getattr(later, name)]) for name in _BESIDE),
    )


def _day(hour: np.ndarray) -> np.ndarray:
    """Return the rate at an hour of the day against its mean: least at four, most at four in the afternoon."""
    swing = 1 - NIGHT_SHARE
    return np.asarray(1 - swing * np.cos((hour - 4) * (2 * np.pi / 24)))


def _add_bursts(draw: np.random.Generator, level: np.ndarray, grid: np.ndarray) -> None:
    bursts = int(draw.poisson(BURSTS_PER_HOUR * grid.size / 3600))
    for start, length in zip(
        draw.random(bursts) * grid.size, draw.exponential(BURST_SECONDS_MEAN, bursts) + 1, strict=True
    ):
        level[(grid >= start) & (grid < start + length)] *= BURST_FACTOR
