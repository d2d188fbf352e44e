"""Who does not start in a round, and why: as columns, because a long queue is a hundred thousand of them each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, overload

import numpy as np

from scheduler.reasons import REFUSALS, Reason
from scheduler.snapshot import UNKNOWN, Bools, Ints

_CODE: Final[Mapping[str, int]] = {reason.value: code for code, reason in enumerate(REFUSALS)}
_COLUMNS: Final = ("job_id", "reason", "pool")


class Refusal(NamedTuple):
    """A job that does not start now, with the reason of the pool that came nearest."""

    job_id: str
    reason: Reason
    pool: int  # the pool that the reason speaks of; -1 when there is no pool at all


class Refusals(Sequence[Refusal]):
    """Refusals that read like a tuple of `Refusal`, and are equal to one of the same; never changed.

    Attributes:
        names: [R] of the jobs.
        code: [R] of the reasons, indices into `REFUSALS`.
        pool: [R] the pools that the reasons speak of, -1 for none.
    """

    __slots__ = ("code", "names", "pool")

    def __init__(self, names: Sequence[str], code: Ints, pool: Ints) -> None:
        if not len(names) == code.size == pool.size:
            raise ValueError("columns have different lengths")
        self.names, self.code, self.pool = tuple(names), code, pool

    @classmethod
    def of(cls, given: Iterable[Refusal]) -> Refusals:
        """Return these as columns. Raises: KeyError: a reason that refuses nobody."""
        if isinstance(given, Refusals):
            return given
        rows = list(given)
        code = np.array([_CODE[each.reason] for each in rows], dtype=np.int64)
        pool = np.array([each.pool for each in rows], dtype=np.int64)
        return cls([each.job_id for each in rows], code, pool)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Refusals:
        """Read what `to_json` made. Raises: LookupError, TypeError, ValueError: it is something else."""
        names, reasons, pools = (given[name] for name in _COLUMNS)
        if not all(type(each) is str for each in names) or not all(type(each) is int for each in pools):
            raise TypeError("names are not texts, or pools no integers")
        if min(pools, default=0) < UNKNOWN:
            raise ValueError("a pool is below -1")
        code = np.array([_CODE[reason] for reason in reasons], dtype=np.int64)
        return cls(names, code, np.array(pools, dtype=np.int64))

    def to_json(self) -> dict[str, Sequence[str] | Sequence[int]]:
        """Return the columns, for JSON."""
        reasons = [reason.value for reason in self.reasons]
        return dict(zip(_COLUMNS, (self.names, reasons, self.pool.tolist()), strict=True))

    @property
    def reasons(self) -> list[Reason]:
        """Of each its reason."""
        return [REFUSALS[code] for code in self.code.tolist()]

    @property
    def by_reason(self) -> dict[Reason, int]:
        """How many there are of each reason, the most first, ties as they come."""
        return dict(Counter(self.reasons).most_common())

    def having(self, reasons: Collection[Reason]) -> Bools:
        """Return [R]: whether each has one of these reasons."""
        wanted: Bools = np.isin(self.code, [_CODE[reason] for reason in reasons])
        return wanted

    def where(self, stays: Bools) -> Refusals:
        """Return those that are marked."""
        at = np.flatnonzero(stays)
        return Refusals(tuple(map(self.names.__getitem__, at.tolist())), self.code[at], self.pool[at])

    def without(self, names: Collection[str]) -> Refusals:
        """Return all but those of these jobs."""
        if not names:
            return self
        return self.where(np.array([name not in names for name in self.names], dtype=bool))

    def in_pools(self, pool_of: Sequence[int] | Ints) -> Refusals:
        """Return the same with other numbers for the pools. Raises: IndexError: a pool has none."""
        there: Ints = np.append(np.asarray(pool_of, dtype=np.int64), UNKNOWN)  # no pool at all: the last one
        return Refusals(self.names, self.code, there[self.pool])

    def with_reasons(self, known: Mapping[str, Reason]) -> Refusals:
        """Return the same with these reasons for these jobs."""
        if not known:
            return self
        code = self.code.copy()
        for at, name in enumerate(self.names):
            if name in known:
                code[at] = _CODE[known[name]]
        return Refusals(self.names, code, self.pool)

    def rows(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Return of each the job, with code and pool."""
        return zip(self.names, zip(self.code.tolist(), self.pool.tolist(), strict=True), strict=True)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, at: int) -> Refusal: ...
    @overload
    def __getitem__(self, at: slice) -> Refusals: ...
    def __getitem__(self, at: int | slice) -> Refusal | Refusals:
        if isinstance(at, slice):
            return Refusals(self.names[at], self.code[at], self.pool[at])
        return Refusal(self.names[at], REFUSALS[int(self.code[at])], int(self.pool[at]))

    def __iter__(self) -> Iterator[Refusal]:
        return map(Refusal._make, zip(self.names, self.reasons, self.pool.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Refusals):
            same = np.array_equal(self.code, other.code) and np.array_equal(self.pool, other.pool)
            return same and self.names == other.names
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Refusals.of({list(self)!r})"
