"""The exponent of a curve, and whether it is worse than n log n. Pure.

A cost that does not grow (a process that starts, a call) bends the small end of a curve and hides how it grows later:
so besides the exponent of the whole the one of its end is told, and judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

TOLERANCE: Final = 0.15
"""By how much the exponent at the end may exceed that of n log n: the times of one run vary."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The exponents of a curve: 1 means that twice the size costs twice as much.

    Attributes:
        whole: by least squares over all sizes. end: between the largest size and the one before.
        n_log_n: what n log n has between those two.
    """

    whole: float
    end: float
    n_log_n: float

    @property
    def steep(self) -> bool:
        """Whether the end is worse than n log n, beyond the tolerance."""
        return self.end > self.n_log_n + TOLERANCE


def fit(sizes: Sequence[int], costs: Sequence[float]) -> Fit:
    """Return the exponents of `costs` over `sizes`.

    Args: sizes: ascending, at least two, all > 1. costs: as many, all > 0, in any unit.
    Raises: ValueError: an argument is not as it must be.
    """
    if len(sizes) < 2 or len(sizes) != len(costs):
        raise ValueError(f"{len(sizes)} sizes and {len(costs)} costs: as many of both are needed, and at least two")
    if min(sizes) <= 1 or any(b <= a for a, b in pairwise(sizes)):
        raise ValueError(f"sizes {list(sizes)}: must ascend and be greater than 1")
    if min(costs) <= 0:
        raise ValueError(f"costs {list(costs)}: must be greater than 0")
    n = np.array(sizes, dtype=np.float64)
    growth = (n * np.log(n)).tolist()
    return Fit(exponent(sizes, costs), exponent(sizes[-2:], costs[-2:]), exponent(sizes[-2:], growth[-2:]))


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return the slope of costs over sizes, both in logarithms; 0 for a single size."""
    if len(sizes) < 2:
        return 0.0
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)
