"""What can be chosen of a demo."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Scenario(StrEnum):
    """What is played."""

    DAY = "day"  # a day of a real trace
    VOUCHER_RUSH = "voucher-rush"  # enterprises fight for the last of a budget


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What can be chosen.

    Attributes:
        scenario: what is played.
        enterprises: how many fight in voucher-rush.
        seconds: time to which the day of the trace is compressed.
        jobs: how many jobs of the trace to play; 0 means all of the day.
        seed: of everything that is drawn (cities, builds, walltimes, failures).
        chaos: kill broker, an agent and PostgreSQL in the middle.
        keep: leave broker and agents running at the end, and the folder in place.
        folder: where everything is kept; None takes a temporary folder that is removed when all went well.
    """

    seconds: float = 35.0
    jobs: int = 0
    seed: int = 1
    chaos: bool = False
    keep: bool = False
    folder: Path | None = None
    scenario: Scenario = Scenario.DAY
    enterprises: int = 200
