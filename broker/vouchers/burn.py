"""How fast a budget goes, and on which day it runs out.

Method: the mean of the last `WINDOW_DAYS` days (or of those since the programme's first day with any, if they are
fewer), as if it went on; the day is the one on which what is left is used, rounded up to whole days. No season, no
trend: with a year of data that is a line through the last weeks, and it says so. Grants draw on the budget, captures on
what is granted; each has its own rate and day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

WINDOW_DAYS: Final = 28
METHOD: Final = f"mean of the last {WINDOW_DAYS} days, carried on"
HORIZON_DAYS_MAX: Final = 36_600
"""Beyond a hundred years "never" is the better word."""


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast something goes.

    Attributes:
        left_micro_yuan: what is left today.
        micro_yuan_per_day: mean rate, rounded down.
        days_seen: how many days the mean is of.
        runs_out: the day (UTC+8) on which nothing will be left; None: never at this rate.
    """

    left_micro_yuan: int
    micro_yuan_per_day: int
    days_seen: int
    runs_out: date | None


def burn(left_micro_yuan: int, by_day: Mapping[date, int], today: date) -> Burn:
    """Return how fast something goes.

    Args:
        left_micro_yuan: what is left, >= 0.
        by_day: what went on each day of UTC+8, micro-yuan; days without any may be left out.
        today: the day that it is now, UTC+8; later days do not count.
    """
    seen = [day for day, micro_yuan in by_day.items() if micro_yuan and day <= today]
    if left_micro_yuan <= 0:
        return Burn(0, 0, 0, today)
    if not seen:
        return Burn(left_micro_yuan, 0, 0, None)
    days = min(WINDOW_DAYS, (today - min(seen)).days + 1)
    went = sum(by_day[day] for day in seen if day > today - timedelta(days=days))
    needed = -(-left_micro_yuan * days // went) if went > 0 else HORIZON_DAYS_MAX + 1
    runs_out = today + timedelta(days=needed) if needed <= HORIZON_DAYS_MAX else None
    return Burn(left_micro_yuan, max(0, went) // days, days, runs_out)
