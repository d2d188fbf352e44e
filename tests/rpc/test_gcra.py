"""The rate limiter, without time: any calls, any clock, and never more than it promises."""

from hypothesis import given
from hypothesis import strategies as st

from broker.gcra import MILLIS_OF_CALL, NANOS_IN_SECOND, decide

START = 1_700_000_000 * NANOS_IN_SECOND


def test_a_full_bucket_holds_a_burst_and_then_fills_at_its_rate() -> None:
    state, passed = 0, 0
    for _ in range(20):
        decision = decide(state, START, cost_millis=MILLIS_OF_CALL, calls_per_second=10, burst=10)
        state, passed = decision.full_at_nanos, passed + decision.allowed

    soon = decide(state, START, cost_millis=MILLIS_OF_CALL, calls_per_second=10, burst=10)
    later = decide(state, START + soon.retry_after_nanos, cost_millis=MILLIS_OF_CALL, calls_per_second=10, burst=10)

    assert passed == 10
    assert (soon.allowed, soon.retry_after_nanos) == (False, NANOS_IN_SECOND // 10)
    assert later.allowed


def test_a_call_dearer_than_the_bucket_passes_when_it_is_full() -> None:
    """Otherwise it could never be made."""
    first = decide(0, START, cost_millis=50_000, calls_per_second=2, burst=4)
    second = decide(first.full_at_nanos, START, cost_millis=50_000, calls_per_second=2, burst=4)

    assert first.allowed
    assert (second.allowed, second.retry_after_nanos) == (False, 2 * NANOS_IN_SECOND)


def test_a_clock_that_was_set_back_blocks_nobody_for_long() -> None:
    """An hour back is no hour of refusals."""
    ahead = decide(0, START + 3600 * NANOS_IN_SECOND, cost_millis=1000, calls_per_second=1, burst=5)

    after = decide(ahead.full_at_nanos, START, cost_millis=1000, calls_per_second=1, burst=5)

    assert after.retry_after_nanos <= NANOS_IN_SECOND


calls = st.lists(st.tuples(st.integers(0, NANOS_IN_SECOND), st.integers(1, 3000)), max_size=60)


@given(calls, st.integers(1, 200), st.integers(1, 50))
def test_no_span_of_time_sees_more_than_a_burst_and_what_has_dripped_in(
    calls: list[tuple[int, int]], rate: int, burst: int
) -> None:
    """And a refused call may be made exactly when it was told to be."""
    now, state = START, 0
    passed: list[tuple[int, int]] = []
    for pause, cost_millis in calls:
        now += pause
        decision = decide(state, now, cost_millis=cost_millis, calls_per_second=rate, burst=burst)
        state = decision.full_at_nanos
        if decision.allowed:
            passed.append((now, min(cost_millis, burst * MILLIS_OF_CALL)))
        else:
            then = now + decision.retry_after_nanos
            assert decide(state, then, cost_millis=cost_millis, calls_per_second=rate, burst=burst).allowed

    for i, (start, _) in enumerate(passed):
        for j in range(i, len(passed)):
            spent = sum(cost for _, cost in passed[i : j + 1])
            dripped = (passed[j][0] - start) * rate * MILLIS_OF_CALL / NANOS_IN_SECOND
            assert spent <= burst * MILLIS_OF_CALL + dripped + 1
