"""How a round is planned: every knob that a plan depends on besides the snapshot. Equal input, equal plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple, get_type_hints

from scheduler.errors import BadPolicy
from scheduler.snapshot import PRIORITIES

WEIGHT_PERCENT_MAX: Final = 10_000
"""Priority, ageing and fair share together multiply a worth by at most this: what would be more counts as so much."""

_RANGES: Final[dict[str, tuple[int, int]]] = {
    "seed": (0, 2**31 - 1),
    "effort": (0, 100_000),
    "price_steps_max": (0, 10_000),
    "upper_tier_steps_max": (0, 10_000),
    "upper_tier_tolerance_ppm": (0, 100_000),
    "seats_from_pairs": (0, 2**40),
    "coarse_iterations": (1, 10_000),
    "price_iterations_per_step": (1, 10_000),
    "solver_work_ms_per_step": (1, 600_000),
    "solver_variables_max": (10, 200_000),
    "idle_steps_max": (1, 10_000),
    "fair_share_percent": (0, 90),
    "ageing_step_seconds": (1, 2**31),
    "ageing_percent_per_step": (0, 1_000),
    "ageing_steps_max": (0, 1_000),
    "ageing_steps_max_of_shares": (0, 1_000),
    "ageing_step_walltime_percent": (0, 10_000),
    "promises_max": (0, 10_000),
    "promises_overdue": (0, 10_000),
    "promises_cards_percent": (0, 100),
    "patience_seconds": (0, 2**31),
    "patience_walltime_percent": (0, 100_000),
    "lease_end_margin_seconds": (0, 86_400),
    "churn_card_seconds_max": (0, 2**50),
    "reclaim_seconds_max": (0, 86_400),
}


class OpeningPrice(NamedTuple):
    """The price of one row at the end of an earlier round, in the unit of the row."""

    tier: str  # name of the tier, see `plan.Tier`
    owner: str  # name of the pool, hub or quota
    row: str  # "block 8", "slice 250", "domain 4 x 8", "cpu", "memory", "power", "quota", "guarantee" or "tier"
    price: int


class OpeningSeat(NamedTuple):
    """Where an earlier round wanted a large gang to run that may still be waiting."""

    job: str
    pool: str  # name of the pool
    tasks: int  # the size it was to run with
    within: int  # how close together it was: as `fields.WITHIN_POOL` and its neighbours


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Settings of one round. Raises: BadPolicy: on construction, naming the setting.

    Effort is counted in steps, never in seconds: `Plan.effort_spent` steps with the same seed give the same plan again.
    """

    seed: int = 1
    effort: int = 100  # improvement steps at most, of all kinds; 0 gives the greedy plan
    price_steps_max: int = 16  # the first steps: tighten the prices, then construct a plan by them
    upper_tier_steps_max: int = 4  # price steps for each tier above the last
    upper_tier_tolerance_ppm: int = 5_000  # this much short of the best seen, a tier above still counts as reached
    price_iterations_per_step: int = 50
    seats_from_pairs: int = 300_000  # instances with so many pairs seat their large gangs before all else ...
    coarse_iterations: int = 150  # ... and find their first prices on a sample, in so many iterations for each tier
    solver_work_ms_per_step: int = 150  # deterministic work of one solver call; about as many ms of one core
    solver_variables_max: int = 1_500  # size of the part of the plan that one step solves again
    idle_steps_max: int = 20  # give up after so many solver steps in a row without a better plan
    priority_percent: tuple[int, int, int, int] = (25, 100, 400, 1_600)  # factor on worth, in the order of PRIORITIES
    fair_share_percent: int = 25  # a city's worth is raised or lowered by at most so much for its share of what runs
    ageing_step_seconds: int = 60  # a waiting job's worth grows by one step for each so many seconds ...
    ageing_step_walltime_percent: int = 5  # ... and at least so much of its walltime: short jobs age faster ...
    ageing_percent_per_step: int = 4  # ... by so much of its first worth ...
    ageing_steps_max: int = 60  # ... and for so many steps: an old job counts 3.4 times at most
    ageing_steps_max_of_shares: int = 400  # the same for shares of a card: they are promised nothing, ever
    promises_max: int = 8  # waiting gangs that are promised a start at a time ...
    promises_overdue: int = 2  # ... so many of them because they are overdue, the others because they gain most
    promises_cards_percent: int = 3  # ... within so much of the cards of a pool, or 64 cards where that is less
    patience_seconds: int = 86_400  # a job is overdue when it has waited so long ...
    patience_walltime_percent: int = 400  # ... and so much of its walltime on top of it
    lease_end_margin_seconds: int = 60  # how long after its end a lease may still hold its cards
    churn_card_seconds_max: int = 360_000  # work that preemption may cost in an hour; it would have to be done again
    reclaim_seconds_max: int = 900  # who may preempt has the cards by then: what needs more grace is not stopped
    opening_prices: tuple[OpeningPrice, ...] = ()  # of an earlier round, to start from; rows not named start at 0
    opening_seats: tuple[OpeningSeat, ...] = ()  # of an earlier round; those that do not fit any more are dropped

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise BadPolicy(name, f"is {value!r}, must be an integer between {low} and {high}")
        self._check_weights()
        if not _are_rows(self.opening_prices, OpeningPrice):
            raise BadPolicy("opening_prices", "must be what opening.prices_of() returns: names and prices of rows")
        if not _are_rows(self.opening_seats, OpeningSeat):
            raise BadPolicy("opening_seats", "must be what opening.seats_of() returns: jobs, pools, tasks, nearness")

    def _check_weights(self) -> None:
        percents = self.priority_percent
        if not isinstance(percents, tuple) or len(percents) != len(PRIORITIES):
            raise BadPolicy("priority_percent", f"must be {len(PRIORITIES)} integers, one for each of {PRIORITIES}")
        if any(isinstance(p, bool) or not isinstance(p, int) or not 1 <= p <= WEIGHT_PERCENT_MAX for p in percents):
            raise BadPolicy("priority_percent", f"every factor must be an integer from 1 to {WEIGHT_PERCENT_MAX}")
        if list(percents) != sorted(percents):
            raise BadPolicy("priority_percent", "must ascend: an urgent job is never worth less than a standard one")

    def to_json(self) -> str:
        """Return the policy as canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read what `to_json` wrote; settings left out keep their default. Raise BadPolicy for anything else."""
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadPolicy("policy", f"is not JSON ({error})") from error
        if not isinstance(given, dict):
            raise BadPolicy("policy", "must be a JSON object")
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                raise BadPolicy(name[:80], f"is no setting; there are {', '.join(sorted(known))}")
        if isinstance(given.get("priority_percent"), list):
            given["priority_percent"] = tuple(given["priority_percent"])
        for name, row in (("opening_prices", OpeningPrice), ("opening_seats", OpeningSeat)):
            if name in given:
                given[name] = _read_rows(name, given[name], row)
        return cls(**given)


def _read_rows(name: str, given: Any, row: Callable[..., Any]) -> tuple[Any, ...]:
    try:
        if not isinstance(given, list):
            raise TypeError("no list")
        return tuple(row(*item) for item in given)
    except TypeError as error:
        raise BadPolicy(name, "must be a list of rows, each with all its fields") from error


def _are_rows(given: object, row: type[OpeningPrice] | type[OpeningSeat]) -> bool:
    """Return whether these are such rows, with texts and with integers of at least 0 where they belong."""
    if not isinstance(given, tuple):
        return False
    texts = [kind is str for kind in get_type_hints(row).values()]
    for item in given:
        if not isinstance(item, row):
            return False
        for value, text in zip(item, texts, strict=True):
            if text != isinstance(value, str) or (not text and (type(value) is not int or value < 0)):
                return False
    return True
