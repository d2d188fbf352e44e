"""What people see."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from broker.cli import jobs
from broker.cli.clusters import _ranges
from broker.cli.output import clean, clock_time, duration, milli, percent, table, word, yuan
from broker.client import JobState, PriorityClass
from broker.wire.v1 import job_pb2


def drawn(*rows: tuple[object, ...]) -> list[str]:
    out = StringIO()
    Console(file=out, width=200, markup=False).print(table(["city", "cards>"], rows))
    return out.getvalue().splitlines()


def test_chinese_titles_align() -> None:
    lines = drawn(("赣州 Ganzhou", 8), ("南京", 1024), ("Beijing", 16))

    assert len({cell_len(line) for line in lines}) == 1
    assert {
        cell_len(line[: line.rindex(n)]) + len(n) for line, n in zip(lines[1:], ["8", "1024", "16"], strict=True)
    } == {cell_len(lines[0])}


def test_nothing_that_came_from_outside_steers_the_terminal() -> None:
    """A job's name or an error's text may hold escape sequences, or what looks like our markup."""
    lines = drawn(("\x1b[2J\x07[red]x", "\x9b31m"))

    assert lines[1].split() == [r"\x1b[2J\x07[red]x", r"\x9b31m"]


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert clean(text).isprintable()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0s"), (59.96, "60.0s"), (60, "1m"), (9000, "2h30m"), (90_061, "1d1h"), (86_400, "1d"), (None, "")],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("micro_yuan", "told"),
    [(0, "¥0.0000"), (9_000_000, "¥9.0000"), (1_234_567_890_123, "¥1,234,567.8901"), (-1_999_999, "-¥1.9999")],
)
def test_money_is_cut_never_rounded_up(micro_yuan: int, told: str) -> None:
    assert yuan(micro_yuan) == told


def test_thousandths_and_millionths() -> None:
    assert [milli(value) for value in (0, 500, 8000, 1_234_567, 1_500)] == ["0", "0.5", "8", "1,234.567", "1.5"]
    assert [milli(value) for value in (10_000, 100_000)] == ["10", "100"]
    assert percent(12_345) == "1.23 %"


def test_a_time_of_another_day_has_its_date() -> None:
    now = datetime.now(UTC)

    assert len(clock_time(now)) == len("08:00:00")
    assert len(clock_time(now - timedelta(days=2))) == len("2026-01-01 08:00:00")


def test_words_of_the_wire() -> None:
    assert word(job_pb2.JobState, job_pb2.JOB_STATE_RUNNING, "JOB_STATE_") == "running"
    assert word(job_pb2.JobState, 99, "JOB_STATE_") == "unknown (99)"


@pytest.mark.parametrize(("indices", "told"), [([], ""), ([0], "0"), ([0, 1, 2, 3], "0-3"), ([7, 0, 1, 3], "0-1,3,7")])
def test_cards_are_told_in_ranges(indices: list[int], told: str) -> None:
    assert _ranges(indices) == told


def test_words_to_choose_from_are_the_clients() -> None:
    """They are written down twice so that `--help` need not import the client."""
    assert [state.value for state in jobs.State] == [s.value for s in JobState if s is not JobState.UNKNOWN]
    assert [c.value for c in jobs.Priority] == [c.value for c in PriorityClass]
