"""What the scheduler raises: bad input, and nothing else. A solver that finds nothing is a value, not an error."""

from __future__ import annotations


class SchedulerError(ValueError):
    """Root of everything this package raises. `field` names the input, `why` says what is wrong and the way out."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why

    def __reduce__(self) -> tuple[type[SchedulerError], tuple[str, str]]:
        # a round runs in a process of its own: the error must survive the way back
        return type(self), (self.field, self.why)


class BadSnapshot(SchedulerError):
    """An array of the snapshot is missing, has the wrong shape or type, or holds a value that cannot be."""


class BadPolicy(SchedulerError):
    """A setting of the policy is missing, unknown or out of range."""


class BadPlan(SchedulerError):
    """Stored bytes are not a plan."""


class UnknownJob(SchedulerError):
    """The snapshot holds no job of that id."""
