"""Months of the programmes' time, UTC+8."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Self

PROGRAMME_TIME: Final = timezone(timedelta(hours=8))
"""Written down here a second time, so that papers need nothing of the broker; a test holds both together."""

SETTLES: Final = timedelta(hours=1)
"""How long after its end a month is still open: what was posted in its last moment may be committed a little later."""

_MONTH: Final = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month, such as 2026-11."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the month that a text names. Raise ValueError with the form that is wanted."""
        found = _MONTH.fullmatch(text)
        if found is None:
            raise ValueError(f'must be a month such as "2026-11", not {text[:40]!r}')
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def at(cls, now: datetime) -> Self:
        """Return the month that a moment lies in."""
        local = now.astimezone(PROGRAMME_TIME)
        return cls(local.year, local.month)

    @property
    def text(self) -> str:
        """The month as it is written."""
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def begins_at(self) -> datetime:
        """Its first moment, UTC."""
        return datetime(self.year, self.number, 1, tzinfo=PROGRAMME_TIME).astimezone(UTC)

    @property
    def ends_at(self) -> datetime:
        """The first moment that is not in it any more, UTC."""
        return datetime(self.year + self.number // 12, self.number % 12 + 1, 1, tzinfo=PROGRAMME_TIME).astimezone(UTC)

    def is_closed(self, now: datetime) -> bool:
        """Tell whether nothing can be added to it any more."""
        return now >= self.ends_at + SETTLES
