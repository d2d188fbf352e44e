"""Epochs survive whatever happens to the agent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from broker.agent.memory import EpochMemory
from broker.ids import JobId

NOW = datetime(2026, 11, 22, tzinfo=UTC)
JOB = JobId(5)


def test_the_latest_epoch_is_remembered(tmp_path: Path) -> None:
    """Over restarts, and a lower one changes nothing."""
    memory = EpochMemory(tmp_path / "epochs.jsonl", now=NOW)
    memory.remember(JOB, 3, now=NOW)
    memory.remember(JOB, 2, now=NOW)

    again = EpochMemory(tmp_path / "epochs.jsonl", now=NOW)

    assert (memory.latest(JOB), again.latest(JOB), again.latest(JobId(6))) == (3, 3, 0)


def test_a_line_that_was_cut_off_is_ignored(tmp_path: Path) -> None:
    """The whole ones before it count, and the file is sound again."""
    path = tmp_path / "epochs.jsonl"
    EpochMemory(path, now=NOW).remember(JOB, 3, now=NOW)
    with path.open("a") as file:
        file.write('{"job":5,"epo')

    memory = EpochMemory(path, now=NOW)
    memory.remember(JOB, 4, now=NOW)

    assert EpochMemory(path, now=NOW).latest(JOB) == 4


def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    """The file does not grow for ever."""
    path = tmp_path / "epochs.jsonl"
    EpochMemory(path, now=NOW).remember(JOB, 3, now=NOW)

    later = EpochMemory(path, now=NOW + timedelta(days=31))

    assert later.latest(JOB) == 0
    assert path.read_text() == ""


def test_an_agent_that_works_for_months_forgets_old_jobs_without_a_restart(tmp_path: Path) -> None:
    """Neither its memory nor the file grows with every job that there ever was."""
    path = tmp_path / "epochs.jsonl"
    memory = EpochMemory(path, now=NOW)
    for number in range(1, 25_001):
        memory.remember(JobId(number), 1, now=NOW + timedelta(days=number // 100))

    assert (memory.latest(JobId(1)), memory.latest(JobId(25_000))) == (0, 1)
    assert len(path.read_text().splitlines()) < 20_000
