"""Power and energy of a hub, from what cards draw to the level that keeps within the year's quota. Pure."""

from typing import Final

from broker.store.rules import Energy

WATTS_MAX: Final = 10**12
"""A level above this never binds: no park draws as much."""


def meter_watts(card_watts: int, pue_milli: int) -> int:
    """Return what a hub's meter shows for cards that draw so much, rounded up; a PUE of 0 (not known) counts as 1."""
    return -(-card_watts * (pue_milli or 1000) // 1000)


def pace_watts(energy: Energy, used_watts: int, seconds_left: int) -> int:
    """Return the level of power that uses up the year's energy quota at the end of the year and not before.

    What is left of the quota is spread over the rest of the year. What running work will still use lies within that
    level, so it is not taken off once more. Only when running work draws more than the level it is left to end as
    it may, and what it leaves is spread over the time after it.

    Args:
        energy: quota, what was used so far, and what running work will still use.
        used_watts: what running work draws now, at the meter.
        seconds_left: up to the end of the year.
    Returns: watts at the meter; no new work fits under it where running work draws more.
    """
    left = max(0, energy.quota_joules - energy.used_joules)
    level = left // max(1, seconds_left)
    if used_watts > level:
        running_seconds = energy.committed_joules // used_watts
        level = max(0, left - energy.committed_joules) // max(1, seconds_left - running_seconds)
    return min(level, WATTS_MAX)
