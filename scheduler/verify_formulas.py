"""The quantities of the model, one formula each, element by element on arrays of integers or on single ones.

Arguments are within `fields.LIMITS`, and no product here leaves 64 bits then. `//` rounds down, `up` rounds up.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.fields import MILLI_PER_CARD
from scheduler.snapshot import Ints

PPM: Final = 10**6
VALUE_MAX: Final = 10**10
"""Micro-yuan: no card-hour is valued above it."""
Numbers = NDArray[Any]
"""Integers of 64 bits, or Python's own where prices are so large that 64 bits might not do."""


def up(amount: Any, divisor: Any) -> Any:
    """Return the quotient rounded up."""
    return -(-amount // divisor)


def scaled(amount: Any, factor: Any, divisor: int) -> Any:
    """Return `amount * factor // divisor`, exactly, without the large product."""
    return amount // divisor * factor + amount % divisor * factor // divisor


def scaled_up(amount: Any, factor: Any, divisor: int) -> Any:
    """Return `amount * factor / divisor` rounded up, exactly, without the large product."""
    return amount // divisor * factor + up(amount % divisor * factor, divisor)


def milli_cards(tasks: Ints, cards_per_task: Ints, granted_milli: Ints) -> Ints:
    """Return the thousandths of a card that a gang holds."""
    held: Ints = tasks * np.where(granted_milli > 0, granted_milli, cards_per_task * MILLI_PER_CARD)
    return held


def meter_watts(milli: Ints, card_watts: Any, pue_ppm: Any) -> Ints:
    """Return what a gang draws at the hub's meter: rounded up at the cards, and again with cooling."""
    watts: Ints = up(up(milli * card_watts, MILLI_PER_CARD) * pue_ppm, PPM)
    return watts


def quota_use(milli: Ints, programme_milli_tflops: Any) -> Ints:
    """Return what a gang counts to quotas, milli-TFLOPS; a model without a figure counts nothing."""
    use: Ints = up(milli * np.maximum(programme_milli_tflops, 0), MILLI_PER_CARD)
    return use


def card_value(ceiling: Ints, card_milli_tflops: Any) -> Ints:
    """Return what the city would pay for a card-hour, micro-yuan, at most VALUE_MAX."""
    speed = np.maximum(card_milli_tflops, 0)
    dearest = VALUE_MAX * PPM // np.maximum(speed, 1) + 1  # any higher ceiling gives the same value
    value: Ints = np.minimum(np.minimum(ceiling, dearest) * speed // PPM, VALUE_MAX)
    return value


def task_value(value: Ints, cards_per_task: Ints, asked_milli: Ints) -> Ints:
    """Return what it would pay for one task: for the share that was asked, not for the slice that is granted."""
    of_task: Ints = np.where(asked_milli > 0, value * asked_milli // MILLI_PER_CARD, value * cards_per_task)
    return of_task


def asks(tasks: Ints, cards_per_task: Ints, granted_milli: Ints, ask: Any) -> Ints:
    """Return what the owner wants for the gang, micro-yuan per hour; a slice is paid in full, rounded up."""
    of_task = np.where(granted_milli > 0, up(ask * granted_milli, MILLI_PER_CARD), ask * cards_per_task)
    wanted: Ints = tasks * of_task
    return wanted


def energy(watts: Ints, micro_yuan_per_kwh: Any) -> Ints:
    """Return what the gang's power costs in an hour, micro-yuan."""
    cost: Ints = up(watts * micro_yuan_per_kwh, 1000)
    return cost


def transfer(gib: Ints, micro_yuan_per_gib: Ints, walltime_seconds: Ints) -> Ints:
    """Return what moving the data costs, spread over the walltime, micro-yuan per hour."""
    cost: Ints = up(gib * micro_yuan_per_gib * 3600, walltime_seconds)
    return cost


def arrives_in_time(limit: Ints, input_gib: Ints, staged: Any, mib_per_second: Ints) -> NDArray[np.bool_]:
    """Return where the input is there already, does not matter, or comes within its limit in seconds."""
    takes = up(input_gib * 1024, np.maximum(mib_per_second, 1))
    fine: NDArray[np.bool_] = (limit < 0) | (input_gib == 0) | staged | ((mib_per_second > 0) & (takes <= limit))
    return fine


def transfer_seconds(input_gib: Ints, staged: Any, mib_per_second: Ints) -> Ints:
    """Return how long the input is on its way; by a way that nobody measured longer than any time to keep to."""
    known = up(input_gib * 1024, np.maximum(mib_per_second, 1))
    seconds: Ints = np.where(staged | (input_gib == 0), 0, np.where(mib_per_second > 0, known, 2**59))
    return seconds


def weighted(net: Ints, weight_percent: Ints) -> Ints:
    """Return the worth of a net rate: at least 1 where it is positive, 0 where it is not."""
    whole = net // 100 * weight_percent + net % 100 * weight_percent // 100
    worth: Ints = np.where(net > 0, np.maximum(whole, 1), 0)
    return worth


def exact_sums(index: Ints, amounts: Ints, size: int) -> list[int]:
    """Return the sum of the amounts (>= 0) at each index. In two halves: their sum may leave 64 bits."""
    low, high = np.zeros((2, size), dtype=np.int64)
    np.add.at(low, index, amounts & 0x7FFFFFFF)
    np.add.at(high, index, amounts >> 31)
    return [(h << 31) + lo for h, lo in zip(high.tolist(), low.tolist(), strict=True)]
