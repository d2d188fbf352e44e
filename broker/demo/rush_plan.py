"""What the enterprises of voucher-rush want. Pure: a seed in, bids and a programme out."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from broker.demo.funding import YUAN, document

BUDGET_YUAN_EACH: Final = 5_000
"""Of the budget for each enterprise: a third of what it asks for, so that about two of three come too late."""

ASK_YUAN: Final = (10_000, 20_000)
CARDS: Final = (1, 2, 4)
RUN_SECONDS: Final = (1.0, 2.0)
"""Whole seconds are charged, so each job costs something."""

WALLTIME_SECONDS: Final = 30 * 86_400
"""What the jobs ask for, and what is held for them: a month. They run for seconds, and that is what is charged."""


@dataclass(frozen=True, slots=True)
class Bid:
    """What one enterprise wants: a grant, and a job that it pays for with it.

    Attributes:
        micro_yuan: of the grant.
        cards: of the job, on one node.
        run_seconds: for which it really runs.
        workload_class: the sector, one that the programme pays for.
    """

    enterprise: str
    city: str
    micro_yuan: int
    cards: int
    run_seconds: float
    workload_class: str


def bids(cities: Sequence[str], enterprises: int, seed: int) -> list[Bid]:
    """Return what each enterprise wants; they are spread over the cities."""
    luck = random.Random(seed)  # noqa: S311 - a demo, not a secret
    low, high = ASK_YUAN
    return [
        Bid(
            enterprise=f"{cities[n % len(cities)]}-{n + 1:03d}",
            city=cities[n % len(cities)],
            micro_yuan=luck.randint(low * YUAN, high * YUAN),
            cards=luck.choice(CARDS),
            run_seconds=luck.uniform(*RUN_SECONDS),
            workload_class=luck.choice(("training", "research")),
        )
        for n in range(enterprises)
    ]


def programme(enterprises: int) -> str:
    """Return the programme's document with a budget for so many enterprises."""
    made = yaml.safe_load(document("rush"))
    made["programmes"][0]["budget"]["micro_yuan"] = BUDGET_YUAN_EACH * YUAN * enterprises
    return yaml.safe_dump(made, allow_unicode=True)
