"""Time comes in as an argument; only the edge asks a clock."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present as aware UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present as aware UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that a test or a simulation moves."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be aware: give it a timezone, for example datetime(2026, 1, 1, tzinfo=UTC)")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the time that it was moved to."""
        return self._now

    def advance(self, *, seconds: float) -> datetime:
        """Move it on and return the new time. Raise ValueError for a negative step."""
        if seconds < 0:
            raise ValueError("a clock does not run backwards: seconds must be >= 0")
        self._now += timedelta(seconds=seconds)
        return self._now
