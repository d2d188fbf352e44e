"""When a waiting job is likely to start: P50 and P90, corrected by how often they were right.

The estimate is that of a queue: the card-seconds that run or wait ahead, by requested walltimes and in the order of
what is offered for a card now, over the cards that there are. It is wrong by a factor that nobody knows: people ask for
more than they need, jobs end early, others overtake. So each quantile is the estimate times a factor that is learned as
it goes: a job that starts later than its P90 raises the factor of P90, one that does not lowers it by a ninth as much,
and in the long run one in ten is late, whatever the jobs are like (quantile tracking; Angelopoulos, Candes and
Tibshirani, "Conformal PID control for time series prediction", 2023). The first outcomes move a factor most, for nobody
knows at first how wrong the estimate is (Angelopoulos, Barber and Bates, "Online conformal prediction with decaying
step sizes", 2024).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from scheduler.choices import weights_percent
from scheduler.errors import BadPolicy
from scheduler.fields import MILLI_PER_CARD
from scheduler.horizon import TIME_MAX, Horizon
from scheduler.policy import Policy
from scheduler.snapshot import Ints, Snapshot

SIZES: Final = (1, 8, 63)
"""Cards up to which a job is in each class; the last class has no end. Each class has factors of its own."""
_CLASSES: Final = len(SIZES) + 1
_LATE: Final = {"p50": 0.5, "p90": 0.1}
"""How often a start may be later than each quantile."""
_STEP: Final = 0.05
"""How fast a factor follows, in its logarithm; the nth outcome moves it by 2 over the root of n, where that is more."""
_FIRST_STEP: Final = 2.0
_STEP_MOST: Final = 0.5
_SETTLED: Final = (_FIRST_STEP / _STEP) ** 2
"""So many outcomes, and a factor follows no slower."""
_TOGETHER_MAX: Final = 20
"""Outcomes of one call after which others of the same class and quantile add no weight."""
_LEAST_SECONDS: Final = 300
"""Added to every estimate: the next round, and what an empty queue still takes."""
_MOVE_MOST: Final = 1.0
"""What the outcomes of one call may move a factor by, in its logarithm: late ones come together."""
_MOST: Final = 12.0
_STRETCHED_SECONDS_MAX: Final = 180 * 86_400.0
"""No factor makes an estimate longer than this: who is told nothing because of a factor would never teach it better."""


@dataclass(frozen=True)
class Forecast:
    """What was learned so far: logarithms of the factors, by class of size, and from how many outcomes."""

    p50: tuple[float, ...] = (-1.0,) * _CLASSES
    p90: tuple[float, ...] = (0.5,) * _CLASSES
    p50_seen: tuple[float, ...] = (0.0,) * _CLASSES  # up to _SETTLED; of many that come together, what they weigh
    p90_seen: tuple[float, ...] = (0.0,) * _CLASSES

    def learned(self, outcomes: Iterable[Outcome]) -> Forecast:
        """Return the forecast after these outcomes, each job once for each quantile.

        Many of a class that come together were given by about the same factor, and none of them knew of the others: as
        many steps would overshoot, back and forth. They weigh as `_TOGETHER_MAX` do, so the share that is late stays.
        """
        outcomes = list(outcomes)
        together = Counter((each.quantile, each.size) for each in outcomes)
        found = {name: list(values) for name, values in self._by_name.items()}
        for each in outcomes:
            weight = min(1.0, _TOGETHER_MAX / together[each.quantile, each.size])
            factors, seen = found[each.quantile], found[f"{each.quantile}_seen"]
            follows = min(max(_STEP, _FIRST_STEP * (seen[each.size] + 1) ** -0.5), _STEP_MOST)
            step = weight * follows * ((1.0 if each.late else 0.0) - _LATE[each.quantile])
            before = getattr(self, each.quantile)[each.size]
            low, high = max(before - _MOVE_MOST, -_MOST), min(before + _MOVE_MOST, _MOST)
            factors[each.size] = min(max(factors[each.size] + step, low), high)
            seen[each.size] = min(seen[each.size] + weight, _SETTLED)
        return replace(self, **{name: tuple(values) for name, values in found.items()})

    @property
    def _by_name(self) -> dict[str, tuple[float, ...]]:
        return {"p50": self.p50, "p90": self.p90, "p50_seen": self.p50_seen, "p90_seen": self.p90_seen}

    def to_json(self) -> str:
        """Return it as JSON, to be kept from round to round."""
        return json.dumps(self._by_name)

    @classmethod
    def from_json(cls, text: str) -> Forecast:
        """Read what `to_json` wrote; older ones without counts have seen many. Raise BadPolicy for anything else."""
        try:
            given: Any = json.loads(text)
            found = {name: tuple(float(value) for value in given[name]) for name in _LATE}
            for name in (f"{quantile}_seen" for quantile in _LATE):
                found[name] = tuple(float(value) for value in given.get(name, (_SETTLED,) * _CLASSES))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise BadPolicy("forecast", f"is not what was stored ({error})") from error
        for name, each in found.items():
            low, high = (-_MOST, _MOST) if name in _LATE else (0, _SETTLED)
            if len(each) != _CLASSES or not all(low <= value <= high for value in each):
                raise BadPolicy("forecast", f"{name}: must be {_CLASSES} numbers from {low:g} to {high:g}")
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a job started later than a quantile said. Known when it starts, or when that time has passed."""

    size: int  # its class
    quantile: str  # "p50" or "p90"
    late: bool


@dataclass(frozen=True, eq=False)
class Expected:
    """When each job of a snapshot is likely to start. [J], epoch seconds."""

    size: Ints  # class of size
    p50_s: Ints  # as likely earlier as later
    p90_s: Ints  # in nine of ten cases by then; what was promised, where something was


def expected(world: Snapshot, horizon: Horizon, policy: Policy, forecast: Forecast) -> Expected:
    """Return when the jobs of a snapshot are likely to start, as far as its queue and what runs tell."""
    now = world.taken_at_s
    cards, size = cards_of(world), size_of(world)
    ahead = _ahead(world, policy, cards) + _running(horizon, now)
    there = max(int(world.node_cards[world.node_open].sum()), 1)
    queue = ahead / there + _LEAST_SECONDS
    most = np.minimum(np.maximum(queue, _STRETCHED_SECONDS_MAX), TIME_MAX)
    p50, p90 = (now + np.minimum(queue * np.exp(np.array(each)[size]), most) for each in (forecast.p50, forecast.p90))
    p50_s, p90_s = p50.astype(np.int64), np.maximum(p50, p90).astype(np.int64)
    promised = {promise.job_id: promise.start_s for promise in horizon.promises}
    for job, job_id in enumerate(world.job_id):
        if job_id in promised:
            p90_s[job] = max(promised[job_id], now)
            p50_s[job] = min(p50_s[job], p90_s[job])
    return Expected(size, p50_s, p90_s)


def size_of(world: Snapshot) -> Ints:
    """Return the class of size of each job, [J]."""
    of: Ints = np.searchsorted(np.array(SIZES), cards_of(world))
    return of


def cards_of(world: Snapshot) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the cards of each job, shares as parts of one, [J]."""
    share = world.shape_share_milli / MILLI_PER_CARD
    each = world.shape_tasks * np.where(share > 0, share, world.shape_cards_per_task)
    return np.asarray(each[world.job_shape], dtype=np.float64)


def _ahead(world: Snapshot, policy: Policy, cards: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Return [J]: card-seconds of those waiting jobs that offer more for a card."""
    offer = world.job_ceiling_micro_yuan_per_pflops_hour.astype(np.float64) * weights_percent(world, policy)
    order = np.lexsort((world.job_submitted_at_s, -offer, world.job_tier))
    work = (cards * world.job_walltime_seconds)[order]
    ahead = np.empty(order.size)
    ahead[order] = np.cumsum(work) - work
    return ahead


def _running(horizon: Horizon, now_s: int) -> float:
    """Return the card-seconds that leases may still run."""
    left = np.maximum(horizon.lease_ends_at_s - now_s, 0)[horizon.held_lease]
    return float((left * horizon.held_cards.astype(np.float64)).sum())
