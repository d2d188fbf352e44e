"""When the client tries again: a pure decision."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.client import NotFound, RetryPolicy, TooMuch, Unavailable
from broker.client.retry import Patience

AWAY = Unavailable("away")


def patience(**values: float) -> Patience:
    return Patience(RetryPolicy(**values), random.Random(1))


def test_what_may_not_be_repeated_is_not_repeated() -> None:
    """After UNAVAILABLE nobody knows whether it was done."""
    assert patience().delay_seconds(AWAY, repeatable=False, now_seconds=0) is None
    assert patience().delay_seconds(AWAY, repeatable=True, now_seconds=0) is not None


def test_a_limit_with_a_time_may_be_repeated_always() -> None:
    """The broker refused before it did anything."""
    limited = TooMuch("slow down", retry_after_seconds=1.5)

    delay = patience().delay_seconds(limited, repeatable=False, now_seconds=0)

    assert delay is not None
    assert delay >= 1.5


@pytest.mark.parametrize(
    "error", [TooMuch("message too large"), NotFound("no"), Unavailable("late", code="DEADLINE_EXCEEDED")]
)
def test_what_trying_again_does_not_mend_is_raised(error: Exception) -> None:
    assert patience().delay_seconds(error, repeatable=True, now_seconds=0) is None  # type: ignore[arg-type]


@given(st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=60), st.integers(0, 1000))
def test_it_gives_up_in_time_and_never_waits_too_long(pauses: list[float], seed: int) -> None:
    policy = RetryPolicy(first_delay_seconds=0.1, delay_seconds_max=2.0, give_up_after_seconds=10.0)
    left = Patience(policy, random.Random(seed))
    now = 100.0
    for pause in pauses:
        delay = left.delay_seconds(AWAY, repeatable=True, now_seconds=now)
        if delay is None:
            assert now + 2.0 > 110.0
            return
        assert 0.05 <= delay <= 2.0
        assert now + delay <= 110.0
        now += delay + pause


def test_success_in_between_renews_patience() -> None:
    left = patience(give_up_after_seconds=1.0)
    assert left.delay_seconds(AWAY, repeatable=True, now_seconds=0) is not None
    assert left.delay_seconds(AWAY, repeatable=True, now_seconds=5) is None

    left.renew()

    assert left.delay_seconds(AWAY, repeatable=True, now_seconds=5) is not None


def test_delays_grow_and_are_not_all_the_same() -> None:
    """A thousand clients must not come back in the same instant."""
    firsts = {Patience(RetryPolicy(), random.Random(seed)).delay_seconds(AWAY, repeatable=True, now_seconds=0)
              for seed in range(20)}  # fmt: skip
    left = patience(give_up_after_seconds=1000.0, delay_seconds_max=100.0)
    delays = [left.delay_seconds(AWAY, repeatable=True, now_seconds=0) or 0.0 for _ in range(8)]

    assert len(firsts) == 20
    assert delays[-1] > 10 * delays[0]


@pytest.mark.parametrize(
    "wrong", [{"first_delay_seconds": 0}, {"first_delay_seconds": 9.0}, {"give_up_after_seconds": -1}]
)
def test_a_senseless_policy_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        RetryPolicy(**wrong)
