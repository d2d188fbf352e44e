"""What is in the tables when the run is over: what was stored, when it was placed, and what the rounds did."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

STORED: Final = "SELECT count(*) FROM jobs WHERE request_key LIKE $1 || '-%'"
FIRST_LEASES: Final = """
    SELECT extract(epoch FROM j.submitted_at)::float8, extract(epoch FROM l.offered_at)::float8,
           extract(epoch FROM l.started_at)::float8
      FROM leases l JOIN jobs j USING (job_id)
     WHERE l.epoch = 1 AND j.request_key LIKE $1 || '-%' ORDER BY l.offered_at
"""
ROUNDS: Final = """
    SELECT extract(epoch FROM at)::float8,
           (snapshot_millis + plan_millis + verify_millis + commit_millis)::float8 / 1000,
           jobs, placed, stale, gap_ppm, outcome = 'committed'
      FROM rounds ORDER BY round_id
"""
PRICES: Final = """
    SELECT extract(epoch FROM at)::float8, ask_micro_yuan_per_card_hour + scarcity_micro_yuan_per_card_hour[4]
      FROM pool_prices WHERE scarcity_micro_yuan_per_card_hour[4] IS NOT NULL ORDER BY at
"""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the tables say.

    Attributes:
        stored: jobs of this run.
        leases: [L, 3] of each job that was placed: seconds since 1970 at which it was submitted, first leased, and
            started (NaN: not yet).
        rounds: [R, 7] begin, seconds, jobs, placed, stale, gap in millionths, committed.
        prices: [P, 2] time, and micro-yuan per card-hour of eight cards, of pools whose price changed.
    """

    stored: int
    leases: np.ndarray
    rounds: np.ndarray
    prices: np.ndarray

    def during_rounds(self, at: np.ndarray) -> np.ndarray:
        """Tell which of these moments lie in a round."""
        start = self.rounds[:, 0]
        if not start.size:
            return np.zeros(at.size, dtype=np.bool_)
        index = np.searchsorted(start, at, side="right") - 1
        return np.asarray((index >= 0) & (at < start[index] + self.rounds[index, 1]))


async def read(hub: Any, run: str) -> Outcome:
    """Read the outcome of a run; `hub` is a connection with the hub's role."""
    return Outcome(
        stored=await hub.fetchval(STORED, run),
        leases=_table(await hub.fetch(FIRST_LEASES, run), 3),
        rounds=_table(await hub.fetch(ROUNDS), 7),
        prices=_table(await hub.fetch(PRICES), 2),
    )


def _table(rows: list[Any], columns: int) -> np.ndarray:
    values = [[np.nan if value is None else float(value) for value in row.values()] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), columns)
