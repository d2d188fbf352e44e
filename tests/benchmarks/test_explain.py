"""`benchmarks explain` in small: its figures, and that it ends with the verifier."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks import explain as benchmark
from benchmarks.__main__ import app
from scheduler.changes import Change
from scheduler.horizon import Horizon

PROMISED = {
    "explain_p50_ms",
    "explain_p99_ms",
    "explain_cpu_p50_ms",
    "explain_cpu_p99_ms",
    "over_a_second",
    "jobs",
    "start_now",
    "would_be_planned",
    "nothing_found",
    "by_p50_ms",
    "by_p99_ms",
    "by_cpu_p50_ms",
    "by_cpu_p99_ms",
    "by_over_a_second",
    "by_as_it_is",
    "by_a_change",
    "by_nothing_found",
}


def run(*options: str) -> Result:
    small = ("--nodes", "60", "--pools", "12", "--jobs", "200", "--explained", "15", "--effort", "1")
    return CliRunner().invoke(app, ["explain", *small, *options])


def test_a_run_writes_every_promised_figure_and_explains_every_job(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"

    assert run("--json", str(file)).exit_code == 0

    written = json.loads(file.read_text())
    figures = written["figures"]
    assert (written["benchmark"], written["audit"], set(figures)) == ("explain", {"violations": 0}, PROMISED)
    assert figures["start_now"] + figures["would_be_planned"] + figures["nothing_found"] == figures["jobs"] == 15
    assert figures["start_now"] + figures["would_be_planned"] > 0
    assert figures["by_as_it_is"] + figures["by_a_change"] + figures["by_nothing_found"] == 15
    assert figures["by_a_change"] > 0


def test_a_proof_that_breaks_a_rule_makes_the_run_void(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = benchmark.broken_by

    def overrated(change: Change, horizon: Horizon) -> object:
        worth = change.placement.worth_micro_yuan_per_hour + 1
        placement = change.placement._replace(worth_micro_yuan_per_hour=worth)
        return checked(replace(change, again=None, promise=None, placement=placement), horizon)

    monkeypatch.setattr(benchmark, "broken_by", overrated)

    assert run().exit_code == 1


def test_a_promise_that_comes_too_early_makes_the_run_void(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = benchmark.broken_by

    def too_early(change: Change, horizon: Horizon) -> object:
        if change.promise is not None:
            change = replace(change, promise=replace(change.promise, start_s=change.world.taken_at_s - 1))
        return checked(change, horizon)

    monkeypatch.setattr(benchmark, "broken_by", too_early)

    assert run().exit_code == 1
