"""What of the use of leases is to be told, and when: level-triggered, so nothing is lost and repeats are harmless.

What runs is told at the broker's interval; what has ended is in every report until the broker knows it. A lease is not
forgotten before: the engine's record is the buffer. What the broker does not take is not told again.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from broker.agent.orders import LeaseKey, UsageAnswer, Used

REPORTS_MAX: Final = 10_000
"""Leases in one report; the next ones go out with the next report."""

_NS_PER_SECOND: Final = 1_000_000_000


class Meter:
    """Remembers what the broker knows. A new one knows nothing, and tells everything once more."""

    def __init__(self) -> None:
        self._known: dict[LeaseKey, int] = {}  # first minute behind those that the broker knows
        self._done: set[LeaseKey] = set()  # complete, or not taken
        self._told_ns: int | None = None  # when what runs was told last
        self._interval_ns = 0

    def begin(self, usage_interval_seconds: float) -> None:
        """Take over the broker's terms at the begin of a stream; 0: it takes no usage."""
        self._interval_ns = round(usage_interval_seconds * _NS_PER_SECOND)
        self._told_ns = None

    def is_due(self, ended: Iterable[LeaseKey], now_ns: int) -> bool:
        """Tell whether the engine has to be asked: what runs is due, or one that has ended is not settled."""
        if not self._interval_ns:
            return False
        running_due = self._told_ns is None or now_ns - self._told_ns >= self._interval_ns
        return running_due or any(key not in self._done for key in ended)

    def due(self, used: Sequence[Used], now_ns: int) -> list[Used]:
        """Return what is to be told of what the engine says, those that have ended first."""
        if not self._interval_ns:
            return []
        gone = (self._known.keys() | self._done) - {one.key for one in used}
        for key in gone:
            self._known.pop(key, None)
            self._done.discard(key)
        found = [one for one in used if one.complete and one.key not in self._done]
        if self._told_ns is None or now_ns - self._told_ns >= self._interval_ns:
            self._told_ns = now_ns
            running = (one for one in used if not one.complete and one.key not in self._done)
            found += [one for one in running if one.minutes > self._known.get(one.key, 0)]
        return found[:REPORTS_MAX]

    def answered(self, answers: Iterable[UsageAnswer]) -> list[UsageAnswer]:
        """Take note of what the broker knows. Return what it has refused."""
        refused = []
        for answer in answers:
            self._known[answer.key] = answer.minutes_end
            if answer.complete or answer.refused:
                self._done.add(answer.key)
            if answer.refused:
                refused.append(answer)
        return refused

    def is_settled(self, key: LeaseKey) -> bool:
        """Tell whether nothing of a lease's use is left to be told, as far as is known without asking the engine."""
        return not self._interval_ns or key in self._done
