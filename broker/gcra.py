"""The generic cell rate algorithm: a token bucket that is one integer.

The integer is when the bucket would be full again (its "theoretical arrival time"), in nanoseconds. A call moves it on
by what it costs; a call that would move it further ahead than the bucket holds is refused, and changes nothing.
Source: ITU-T I.371, annex A. Pure: time comes in, a decision goes out.
"""

from dataclasses import dataclass
from typing import Final

NANOS_IN_SECOND: Final = 1_000_000_000
MILLIS_OF_CALL: Final = 1000
"""What one call costs: costs are in thousandths of a call, so that they stay integers."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one call.

    Attributes:
        allowed: whether it may be made.
        full_at_nanos: the new state of the bucket.
        retry_after_nanos: when it may be made if nothing else is; 0 when it may be made now.
    """

    allowed: bool
    full_at_nanos: int
    retry_after_nanos: int


def decide(full_at_nanos: int, now_nanos: int, *, cost_millis: int, calls_per_second: int, burst: int) -> Decision:
    """Decide on one call.

    Args:
        full_at_nanos: the bucket's state; 0 for a new one, which is full.
        now_nanos: now, on the same clock.
        cost_millis: what the call costs, in thousandths of a call; what is more than the bucket holds counts as that.
        calls_per_second: how fast the bucket fills, >= 1.
        burst: calls that a full bucket holds, >= 1.
    """
    call_nanos = NANOS_IN_SECOND / calls_per_second
    holds_nanos = round(burst * call_nanos)
    cost_nanos = min(round(cost_millis * call_nanos / MILLIS_OF_CALL), holds_nanos)
    # A state further ahead than an empty bucket comes from a clock that was set back: taken as empty.
    full_at = min(max(full_at_nanos, now_nanos), now_nanos + holds_nanos)
    moved = full_at + cost_nanos
    if moved - now_nanos > holds_nanos:
        return Decision(allowed=False, full_at_nanos=full_at, retry_after_nanos=moved - now_nanos - holds_nanos)
    return Decision(allowed=True, full_at_nanos=moved, retry_after_nanos=0)
