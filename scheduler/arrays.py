"""Arrays and names from outside: checked, copied, and read-only from then on. Whatever is wrong is a BadSnapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import BadSnapshot
from scheduler.fields import NAME_LENGTH_MAX

Ints = NDArray[np.int64]

_SORTED_BELOW = 32
"""To sort one in so many or fewer is quicker than to look at all."""


def check_unique(name: str, values: tuple[str, ...]) -> None:
    """Refuse a name that stands there twice."""
    if len(set(values)) == len(values):
        return
    twice = next(value for value, times in Counter(values).items() if times > 1)
    raise BadSnapshot(name, f"{twice!r} stands there twice; names must be unique")


def check_starts(name: str, start: Ints, end: int) -> None:
    """Refuse starts of lists that do not ascend from 0 to the number of entries."""
    if start[0] != 0 or start[-1] != end or np.any(np.diff(start) < 0):
        raise BadSnapshot(name, f"must ascend from 0 to {end}, the number of entries")


def check_order(name: str, start: Ints, values: Ints, *, ascending: bool) -> None:
    """Refuse lists, one after the other, whose values do not rise, or fall, within each."""
    step = np.diff(values) if ascending else -np.diff(values)
    inside = np.ones(step.size, dtype=bool)
    borders = start[1:-1] - 1
    inside[borders[(borders >= 0) & (borders < step.size)]] = False
    if np.any(step[inside] <= 0):
        raise BadSnapshot(name, f"must {'ascend' if ascending else 'descend'} within each list")


def those_there(numbers: Ints, end: int) -> tuple[Ints, Ints]:
    """Return which numbers there are, ascending, and the place of each given one among them.

    As `numpy.unique` with its inverse, but of many in one pass: the numbers lie between 0 and `end` - 1.
    """
    if numbers.size * _SORTED_BELOW < end:
        few, among = np.unique(numbers, return_inverse=True)
        return few, among
    there = np.zeros(end, dtype=bool)
    there[numbers] = True
    place: Ints = np.cumsum(there) - 1
    return np.flatnonzero(there), place[numbers]


def frozen(name: str, kind: str, value: object) -> object:
    """Return the value of a field of this type, `int`, `tuple[str, ...]`, `Ints` or `Bools`, read-only."""
    if kind == "int":
        if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iu":
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise BadSnapshot(name, "must be one integer")
        return int(value)
    if kind.startswith("tuple"):
        return names(name, value)
    return array(name, value, np.dtype(np.bool_) if kind == "Bools" else np.dtype(np.int64))


def names(name: str, value: object) -> tuple[str, ...]:
    """Return printable names."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadSnapshot(name, "must be a sequence of names")
    found = tuple(value)
    if any(kind is not str for kind in set(map(type, found))):
        if not all(isinstance(item, str) for item in found):
            raise BadSnapshot(name, "must hold strings only")
        found = tuple(map(str, found))  # numpy's strings
    lengths = set(map(len, found))
    if lengths and not (min(lengths) > 0 and max(lengths) <= NAME_LENGTH_MAX and all(map(str.isprintable, found))):
        item = next(item for item in found if not 0 < len(item) <= NAME_LENGTH_MAX or not item.isprintable())
        raise BadSnapshot(name, f"{item[:40]!r} is not 1 to {NAME_LENGTH_MAX} printable characters")
    return found


def array(name: str, value: object, dtype: np.dtype[np.int64] | np.dtype[np.bool_]) -> NDArray[np.generic]:
    """Return a read-only copy as 64-bit integers or booleans, nothing else being taken for them."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise BadSnapshot(name, "rows have different lengths") from error
    if given.size and given.dtype.kind not in ("b" if dtype == np.bool_ else "iu"):
        wanted = "booleans" if dtype == np.bool_ else "integers"
        raise BadSnapshot(name, f"holds {given.dtype}, must hold {wanted}")
    if given.dtype == np.uint64 and given.size and given.max() > np.iinfo(np.int64).max:
        raise BadSnapshot(name, "holds a value beyond 2^63")
    frozen = np.array(given, dtype=dtype, order="C")  # a copy of our own: the caller may go on writing to theirs
    frozen.flags.writeable = False
    return frozen


def check_range(name: str, values: Ints, low: int, high: int) -> None:
    """Refuse a value outside [low, high]."""
    wrong = np.flatnonzero((values < low) | (values > high))
    if wrong.size:
        found = int(values.reshape(-1)[wrong[0]])
        raise BadSnapshot(name, f"entry {int(wrong[0])} is {found}, must be between {low} and {high}")
