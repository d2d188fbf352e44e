"""CP-SAT in a process of its own: what it found, or why it found nothing."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cp_sat import End, Linear, Solved, solve
from scheduler.snapshot import Ints


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


# 5 a + 4 b + 3 c + 2 d is largest where 2 a + 3 b + c + d <= 5, only one of a and b, and d <= 3
SMALL = Linear(
    most=ints(1, 1, 1, 3),
    worth=ints(5, 4, 3, 2),
    group_start=ints(0, 2),
    row_start=ints(0, 4),
    term_variable=ints(0, 1, 2, 3),
    term_use=ints(2, 3, 1, 1),
    upper=ints(5),
)


def solved(model: Linear = SMALL, seconds_max: float = 30, memory_mib_max: float = 4_096) -> Solved:
    return solve(model, seconds_max, memory_mib_max, seed=1, workers=1)


@pytest.mark.parametrize("hint", [None, ints(0, 1, 1, 1)])
def test_the_best_is_found_and_proved(hint: Ints | None) -> None:
    found = solved(replace(SMALL, hint=hint))

    assert found.end is End.PROVEN
    assert found.values.tolist() == [1, 0, 1, 2]
    assert found.bound == 12
    assert found.peak_mib > found.model_mib
    assert found.build_seconds > 0


def test_a_group_has_one_yes_at_most() -> None:
    """Both would fit the row."""
    assert solved(replace(SMALL, upper=ints(100))).values.tolist() == [1, 0, 1, 3]


def test_no_time_finds_nothing() -> None:
    found = solved(seconds_max=0)

    assert found.end is End.NOTHING
    assert found.values.size == 0
    assert found.bound == np.inf


def test_a_solver_that_does_not_stop_is_killed() -> None:
    """Without any grace it is late before it has started."""
    assert solve(SMALL, 0, 4_096, seed=1, workers=1, grace_seconds=0).end is End.LATE


def test_too_much_memory_kills_it() -> None:
    """Its own libraries alone are more than this limit; whoever asked lives on."""
    found = solved(memory_mib_max=1)

    assert found.end is End.MEMORY
    assert found.peak_mib > 1


def test_a_model_that_the_solver_refuses_is_told_as_a_death(capfd: pytest.CaptureFixture[str]) -> None:
    """No answer of a rival, but a fault of ours: the traceback is on the error output."""
    found = solved(replace(SMALL, most=ints(1, 1, 1, -1)))

    assert found.end is End.DIED
    assert "ValueError" in capfd.readouterr().err
