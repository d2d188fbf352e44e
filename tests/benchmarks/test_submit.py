"""The benchmark of submissions, as small as it can be: it measures, it audits, and programs can read it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.result import Result
from tests.deadlines import eventually_now

pytestmark = pytest.mark.e2e

JOBS, UNARY = 300, 30


def test_a_run_writes_its_figures_with_seed_machine_commit_and_audit(tmp_path: Path) -> None:
    file = tmp_path / "submit.json"
    options = ["--jobs", str(JOBS), "--unary", str(UNARY), "--batch", "50", "--seed", "7", "--json", str(file)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "submit", *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())
    assert set(told) == {"benchmark", "seed", "machine", "commit", "figures", "audit"}
    assert (told["benchmark"], told["seed"], told["audit"]) == ("submit", 7, {"violations": 0})
    assert "cores" in told["machine"]
    figures = told["figures"]
    assert figures["stored"] == JOBS + JOBS // 4 // 4 * 4 + JOBS + UNARY  # in batches, streamed, typed, alone
    assert min(figures[f"{way}_per_second"] for way in ("batched", "streamed", "bulk", "unary")) > 0
    assert min(figures[f"{way}_broker_cpu_us"] for way in ("batched", "streamed", "unary")) >= 0
    assert 0 < figures["unary_p50_ms"] <= figures["unary_p99_ms"]
    assert figures["bare_copy_per_second"] > 0
    assert "clean" in done.stdout


def test_a_run_that_is_ended_from_outside_leaves_nothing_behind(tmp_path: Path) -> None:
    """As `timeout` or a machine that goes down ends it: neither broker, nor database, nor folder stays."""
    command = [sys.executable, "-m", "benchmarks", "submit", "--jobs", "200000"]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL) as running:
        started = psutil.Process(running.pid)
        eventually_now(lambda: bool(list(tmp_path.glob("xisuan-bench-*/home/client.json"))), seconds=60)
        below = started.children(recursive=True)

        running.terminate()

        assert running.wait(60) == 130
    assert below
    assert not psutil.wait_procs(below, timeout=20)[1]
    assert not list(tmp_path.glob("xisuan-bench-*"))


def test_violations_are_written_down(tmp_path: Path) -> None:
    Result("submit", 1, {"bulk_seconds": 2.0}, violations=3).write(tmp_path / "void.json")

    assert json.loads((tmp_path / "void.json").read_text())["audit"] == {"violations": 3}
