"""When to try again, and after how long: pure decisions, told the time."""

import random
from dataclasses import dataclass

from broker.client.errors import TooMuch, Unavailable, XisuanError


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How patient the client is. Delays double from the first to the longest one, each with jitter.

    Attributes:
        first_delay_seconds: before the first repetition, > 0.
        delay_seconds_max: the longest delay that the client chooses by itself.
        give_up_after_seconds: after so long without success the error is raised; 0 never tries again.
    """

    first_delay_seconds: float = 0.1
    delay_seconds_max: float = 5.0
    give_up_after_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.first_delay_seconds <= self.delay_seconds_max:
            raise ValueError("first_delay_seconds must be above 0 and at most delay_seconds_max")
        if self.give_up_after_seconds < 0:
            raise ValueError("give_up_after_seconds must be 0 or more")


class Patience:
    """The patience left for one call or stream."""

    def __init__(self, policy: RetryPolicy, luck: random.Random) -> None:
        self._policy = policy
        self._luck = luck
        self._failures = 0
        self._failing_since_seconds = 0.0

    def renew(self) -> None:
        """Something went well: the next failure is the first one again."""
        self._failures = 0

    def delay_seconds(self, error: XisuanError, *, repeatable: bool, now_seconds: float) -> float | None:
        """Return how long to wait before trying again; None when the error should be raised.

        A call that is not repeatable is tried again only when the broker refused it before doing anything
        (RESOURCE_EXHAUSTED with a time), since after UNAVAILABLE nobody knows whether it was done.
        """
        if self._failures == 0:
            self._failing_since_seconds = now_seconds
        self._failures += 1
        limited = isinstance(error, TooMuch) and error.retry_after_seconds is not None
        unreachable = isinstance(error, Unavailable) and error.code == "UNAVAILABLE" and repeatable
        if not limited and not unreachable:
            return None
        own = min(self._policy.first_delay_seconds * 2 ** min(self._failures - 1, 30), self._policy.delay_seconds_max)
        delay = max(self._luck.uniform(own / 2, own), error.retry_after_seconds or 0.0)
        if now_seconds + delay - self._failing_since_seconds > self._policy.give_up_after_seconds:
            return None
        return delay
