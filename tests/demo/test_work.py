"""What the demo's jobs do is work: it takes its time, leaves checkpoints and ends as it is told."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from broker.demo.work import command

TASK = {"XISUAN_TASK": "0", "XISUAN_NODE": "n1", "XISUAN_CARDS": "0,1"}


def worked(place: Path, seconds: float, exit_code: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(seconds, exit_code=exit_code), cwd=place, env=TASK, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("exit_code", [0, 3])
def test_it_works_for_its_time_leaves_a_checkpoint_and_exits_with_its_code(tmp_path: Path, exit_code: int) -> None:
    began = time.monotonic()
    done = worked(tmp_path, 0.5, exit_code)
    took = time.monotonic() - began

    assert done.returncode == exit_code
    assert took >= 0.4  # the kernel counts its time in hundredths of a second
    assert done.stdout.startswith("task 0 on n1, cards 0,1\n")
    assert re.search(r"^done after [1-9]\d* steps$", done.stdout, re.MULTILINE)
    assert re.fullmatch(r"step \d+ sum \d+\n", (tmp_path / "checkpoint").read_text())
    assert not (tmp_path / "checkpoint.new").exists()


def test_a_checkpoint_that_cannot_be_written_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.new").mkdir()

    done = worked(tmp_path, 0.5, 0)

    assert done.returncode not in (0, 3)
    assert "cannot write a checkpoint" in done.stderr
