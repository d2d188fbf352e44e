"""The benchmark of the ledger, as small as it can be: it kills the database, measures, and audits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_holds_survive_a_kill_and_overdraw_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    options = ["--clients", "8", "--seconds", "2", "--seed", "7", "--json", str(file)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "ledger", *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())
    figures = told["figures"]
    assert (told["benchmark"], told["seed"], told["audit"]) == ("ledger", 7, {"violations": 0})
    assert (figures["overdrawn"], figures["unbalanced"]) == (0, 0)
    assert figures["holds_per_second"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["outage_ms"]
    assert figures["sent_again"] > 0  # the kill was felt
    assert figures["single_holds_per_second"] > 0
    assert figures["rush_placed"] > 0
