"""The benchmark of metering, as small as it can be: leases run, are charged and settled, and the audit is clean."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_leases_are_metered_charged_and_settled(tmp_path: Path) -> None:
    file = tmp_path / "metering.json"
    options = ["--leases", "130", "--hours", "1", "--json", str(file)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "metering", *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())
    figures = told["figures"]
    assert (told["benchmark"], told["audit"]) == ("metering", {"violations": 0})
    assert (figures["leases"], figures["open_holds_at_the_end"]) == (130, 0)
    assert figures["postings_per_lease_hour"] == 3
    assert figures["cpu_percent_of_one_core"] > 0
