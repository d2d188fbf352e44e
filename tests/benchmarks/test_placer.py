"""`benchmarks placer` in small: its figures, and that it ends with the verifier."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks import placer as benchmark
from benchmarks.__main__ import app
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import real_jobs
from scheduler.placer import Placer
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot

ABOUT_TIME = {"per_second", "p50_ms", "p99_ms", "p999_ms"}
PROMISED = {
    "round_worth",
    *(prefix + name for prefix in ("", "first_fit_") for name in (*ABOUT_TIME, "placed", "worth")),
}


def run(*options: str) -> Result:
    small = ("--nodes", "60", "--pools", "12", "--jobs", "200", "--arrivals", "120", "--effort", "1")
    return CliRunner().invoke(app, ["placer", *small, *options])


def figures(path: Path) -> dict[str, float]:
    written = json.loads(path.read_text())
    assert written["benchmark"] == "placer"
    assert written["audit"] == {"violations": 0}
    found: dict[str, float] = written["figures"]
    return found


def test_a_run_writes_every_promised_figure_and_repeats_what_it_placed(tmp_path: Path) -> None:
    first, again = tmp_path / "first.json", tmp_path / "again.json"

    assert run("--json", str(first)).exit_code == 0
    assert run("--json", str(again)).exit_code == 0

    assert set(figures(first)) == PROMISED
    decided = PROMISED - {prefix + name for prefix in ("", "first_fit_") for name in ABOUT_TIME}
    assert all(figures(first)[name] == figures(again)[name] for name in decided)
    assert figures(first)["placed"] > 0
    assert figures(first)["first_fit_placed"] > 0


def test_a_broken_placement_makes_the_run_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(world: Snapshot, policy: Policy, prices: object) -> tuple[benchmark.Run, tuple[()]]:
        made, _ = placed(world, policy, ())
        return benchmark.Run(made.placements * 2, made.seconds), ()

    placed = benchmark.placed
    monkeypatch.setattr(benchmark, "placed", greedy)

    ended = run("--json", str(tmp_path / "void.json"))

    assert ended.exit_code == 1
    assert json.loads((tmp_path / "void.json").read_text())["audit"]["violations"] > 0


def test_more_arrivals_than_jobs_are_refused() -> None:
    ended = run("--arrivals", "201")

    assert ended.exit_code == 2
    assert "no more than those" in " ".join(ended.output.split())


def test_every_arrival_is_decided_and_timed() -> None:
    world = national(3, 60, 12, 150, real_jobs(None))

    made, decisions = benchmark.placed(world, Policy(), ())

    assert len(decisions) == len(made.seconds) == len(world.job_id)
    whole = Placer(world, Policy()).place(world)
    assert sum(1 for each in whole if each in decisions) == len(decisions)
