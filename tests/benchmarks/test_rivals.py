"""Real rivals beside ours: the evidence that tasks ran, the ceilings, the table, and a small run with all of them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.real_rivals import ceilings, interpreters, slurm
from benchmarks.real_rivals.command import COLUMNS, LINES, table
from benchmarks.real_rivals.tasks import NotMeasured, Size, Tasks, per_second, probe, starts

SMALL = Size(jobs=20, tasks=16, probes=2, nodes=1, seconds_max=60)


def run(command: list[str]) -> None:
    subprocess.run(command, check=True)


def test_a_task_leaves_its_file_and_when_it_ran(tmp_path: Path) -> None:
    tasks, before = Tasks(tmp_path / "tasks"), time.time()
    for number in range(3):
        run(tasks.command(number))

    rate = tasks.rate(3, before, 1)

    assert rate > 0
    assert before - 0.1 < tasks.ran_at(2) < time.time() + 0.1
    assert tasks.folder.stat().st_mode & 0o7777 == 0o1777


def test_tasks_that_did_not_run_are_not_measured(tmp_path: Path) -> None:
    """A scheduler that says that all is done and left a file out gets no figure."""
    tasks = Tasks(tmp_path / "tasks")
    run(tasks.command(0))

    with pytest.raises(NotMeasured, match="1 of 2 tasks ran in 0 s"):
        tasks.wait(2, 0)
    with pytest.raises(FileNotFoundError):
        tasks.ran_at(1)


def test_waiting_ends_when_who_should_run_them_has_died(tmp_path: Path) -> None:
    def dead() -> None:
        raise NotMeasured("it ended")

    with pytest.raises(NotMeasured, match="it ended"):
        Tasks(tmp_path / "tasks").wait(1, 60, dead)


@pytest.mark.parametrize(
    ("seconds", "p50", "longest"), [([0.1], 100, 100), ([0.3, 0.1], 100, 300), ([0.2, 0.9, 0.1], 200, 900)]
)
def test_starts_have_a_median_and_a_longest(seconds: list[float], p50: float, longest: float) -> None:
    assert starts(seconds) == pytest.approx({"start_p50_ms": p50, "start_max_ms": longest})


def test_probes_come_one_after_the_other(tmp_path: Path) -> None:
    figures = probe(tmp_path / "probes", 3, 5, run)

    assert 0 <= figures["start_p50_ms"] <= figures["start_max_ms"] < 5000
    assert per_second(10, lambda: None) > 10


def test_what_is_not_here_says_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(NotMeasured, match="apt-get install slurmctld slurmd slurm-client"):
        slurm.measured(tmp_path / "slurm", SMALL)
    with pytest.raises(NotMeasured, match="--install"):
        interpreters.hyperqueue(tmp_path, SMALL)


def test_a_rival_that_fails_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that is there, but has no HyperQueue: what it said is the reason."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    python = interpreters.environments() / "hyperqueue" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())

    with pytest.raises(NotMeasured, match="hyperqueue"):
        interpreters.hyperqueue(tmp_path, SMALL)


async def test_an_echo_gives_back_as_many_as_it_got() -> None:
    figures = await ceilings.echo([b"x" * 300] * 40)

    assert set(figures) == {
        "unary_one_per_second", "unary_many_per_second", "stream_per_second", "stream_of_batches_per_second",
    }  # fmt: skip
    assert min(figures.values()) > 0


def test_the_table_knows_times_ours_and_leaves_out_what_was_not_measured() -> None:
    made = table({"xisuan.tasks_per_second": 40.0, "slurm.tasks_per_second": 50.0, "ray.calls_per_second": 9.0})

    cells = [list(column.cells) for column in made.columns]
    assert cells[1] == ["xisuan", "slurm", "ray"]
    assert cells[3] == ["", "1.25", ""]
    assert {name for line in LINES for name in line.figures} == set(COLUMNS)


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_a_small_run_measures_what_is_here_and_says_what_is_not(tmp_path: Path) -> None:
    """Slurm and HyperQueue are measured where they are installed; where not, the run says so and has no figure."""
    file = tmp_path / "rivals.json"
    options = [
        "--jobs",
        "20",
        "--tasks",
        "10",
        "--probes",
        "2",
        "--nodes",
        "1",
        "--only",
        "slurm",
        "--only",
        "hyperqueue",
    ]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "rivals", *options, "--json", str(file)],
        capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())
    figures = told["figures"]
    assert (told["benchmark"], told["audit"]) == ("rivals", {"violations": 0})
    ours = {name.partition(".")[2] for name in figures if name.startswith("xisuan.")}
    assert {line.figures["xisuan"] for line in LINES if "xisuan" in line.figures} <= ours
    assert min(figures[name] for name in figures if name.endswith("per_second")) > 0
    there = {"slurm": shutil.which("slurmctld"), "hyperqueue": (interpreters.environments() / "hyperqueue").exists()}
    for name, found in there.items():
        assert (f"{name}.tasks_per_second" in figures) == bool(found), done.stdout
        assert (f"{name}: not measured" in done.stdout) != bool(found)
