"""The replay: rivals by hand-made schedules, figures by hand, the audit by planted faults, the reader by bad files."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.replay import engine, rivals
from benchmarks.replay.audit import findings
from benchmarks.replay.demand import ROUND_WALLTIMES_S
from benchmarks.replay.engine import NEVER, BrokenMove, Log, Moves, Start, State
from benchmarks.replay.metrics import deadline_value, figures, outcome
from benchmarks.replay.public import read_trace
from benchmarks.replay.trace import BadTrace
from benchmarks.replay.workload import Workload, in_world, split
from benchmarks.replay.world import read_world

# Small on purpose: every schedule below can be followed by hand.
HEADER = "submit_s,duration_s,cards,walltime_s\n"
WORLD = """
source: one node
models:
  - {name: v100, stack: cuda, origin: foreign, tflops: 112}
pools:
  - {name: a/p, model: v100, nodes: 1, cards: 4, cpu: 64, memory_gib: 512, domain_nodes: 1, ask_yuan_per_card_hour: 0.6}
"""


def workload(folder: Path, rows: str) -> Workload:
    """Return jobs on one node of four cards."""
    (folder / "jobs.csv").write_text(HEADER + rows)
    (folder / "world.yaml").write_text(WORLD)
    world = read_world(str(folder / "world.yaml"))
    return in_world(read_trace(folder / "jobs.csv", 0), world, seed=1)


def starts(log: Log) -> dict[int, int]:
    """Return when each job started."""
    return dict(zip(log.job, log.start_s, strict=True))


# a holds 3 of 4 cards until 100; b wants all 4; c fits beside a and ends in time; d would delay b
QUEUE = "0,100,3,100\n1,50,4,50\n2,20,1,90\n3,20,1,200\n"


def test_fifo_lets_nobody_pass(tmp_path: Path) -> None:
    """The head waits for its four cards, and everybody behind it too."""
    log = engine.replay(load := workload(tmp_path, QUEUE), rivals.first_come(load))

    assert starts(log) == {0: 0, 1: 100, 2: 150, 3: 150}


def test_easy_backfills_what_ends_before_the_head_starts(tmp_path: Path) -> None:
    """c ends by its walltime before 100; d would run until 203 and is not let in front; the head's promise is kept."""
    log = engine.replay(load := workload(tmp_path, QUEUE), rivals.Easy(load))

    assert starts(log) == {0: 0, 1: 100, 2: 2, 3: 150}
    assert log.promised[1][0] == 100
    assert findings(load, log, 0) == []


def test_shortest_first_goes_by_the_requested_walltime(tmp_path: Path) -> None:
    """True durations are the other way round, and nobody may know them."""
    load = workload(tmp_path, "0,10,4,10\n1,9,4,30\n2,20,4,20\n")

    assert starts(engine.replay(load, rivals.shortest_first(load))) == {0: 0, 1: 30, 2: 10}


def test_what_runs_over_its_walltime_is_killed(tmp_path: Path) -> None:
    """The user asked for 10 seconds."""
    load = workload(tmp_path, "0,500,1,10\n")

    assert engine.replay(load, rivals.first_come(load)).ended_s == [10]


def test_figures_by_hand(tmp_path: Path) -> None:
    """Waits 0, 99, 148, 147; slowdown (end - submission) / run."""
    load = workload(tmp_path, QUEUE)
    log = engine.replay(load, rivals.first_come(load))
    found = figures(load, log, outcome(load, log))

    assert found["wait_mean_s"] == pytest.approx((0 + 99 + 148 + 147) / 4)
    assert found["slowdown_mean"] == pytest.approx((1 + 149 / 50 + 168 / 20 + 167 / 20) / 4)
    assert found["utilisation"] == pytest.approx(3 * 3 / (3 * 4))  # three cards in the three seconds of arrivals


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cards": [[3], [4], [2], [1]]}, "whole tasks"),
        ({"start_s": [0, 100, 1, 150]}, "before it is submitted"),
        ({"start_s": [0, 90, 150, 150]}, "cards in use"),
        ({"ended_s": [100, 150, 160, 170]}, "s of work were left"),
        ({"nodes": [[0], [7], [0], [0]]}, "not all of pool"),  # there is no such node
        ({"ended_s": [100, 150, 170, -1]}, "had not ended"),
        ({"preempted": [True, False, False, False]}, "does not allow"),
    ],
)
def test_the_audit_finds_what_is_planted(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    """Each fault is told in words."""
    load = workload(tmp_path, QUEUE)
    log = engine.replay(load, rivals.first_come(load))
    found = findings(load, replace(log, **changes), 0)

    assert any(word in one for one in found)


def test_a_missed_promise_is_accounted_for(tmp_path: Path) -> None:
    """The figures count it; an audit that is told another number says so."""
    load = workload(tmp_path, QUEUE)
    log = engine.replay(load, rivals.first_come(load))
    log.promised[1] = (50, 1)

    assert outcome(load, log).promises_broken == 1
    assert findings(load, log, 1) == []
    assert "1 promised starts were missed" in findings(load, log, 0)[0]


class OneMove:
    """A policy that makes the same starts whenever it is asked."""

    def __init__(self, *starts: Start) -> None:
        self._starts = starts

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:  # noqa: ARG002
        return Moves(self._starts)

    def wake_s(self, now_s: int) -> int:  # noqa: ARG002
        return NEVER


@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ((Start(0, 0, [0], [3]), Start(0, 0, [0], [1])), "does not wait"),
        ((Start(1, 0, [0], [4]),), "does not wait"),  # it arrives a second later
        ((Start(0, 0, [0], [5]),), "so many are not free"),
    ],
)
def test_a_move_that_cannot_be_stops_the_replay(tmp_path: Path, starts: tuple[Start, ...], words: str) -> None:
    """The policy is at fault, and nothing that follows would mean anything."""
    with pytest.raises(BrokenMove, match=words):
        engine.replay(workload(tmp_path, QUEUE), OneMove(*starts))


class StopOnce:
    """First come, but the first job is preempted at a second of its run and starts again at once."""

    def __init__(self, load: Workload, at_s: int) -> None:
        self._at_s, self._fifo, self._stopped = at_s, rivals.first_come(load), False

    def decide(self, now_s: int, arrived: Sequence[int], ended: Sequence[int], state: State) -> Moves:
        if now_s == self._at_s and not self._stopped:
            self._stopped = True
            return Moves(preempted=(0,))
        return self._fifo.decide(now_s, arrived, ended, state)

    def wake_s(self, now_s: int) -> int:
        return self._at_s if now_s < self._at_s else NEVER


@pytest.mark.parametrize(("checkpoint_s", "lost_s", "end_s"), [(0, 70, 170), (30, 10, 110)])
def test_preempted_work_is_lost_up_to_the_last_checkpoint(
    tmp_path: Path, checkpoint_s: int, lost_s: int, end_s: int
) -> None:
    """Of 70 seconds on 2 cards a job without checkpoints loses all, one that writes them every 30 seconds loses 10."""
    (tmp_path / "jobs.csv").write_text(
        f"submit_s,duration_s,cards,walltime_s,checkpoint_s\n0,100,2,500,{checkpoint_s}\n"
    )
    (tmp_path / "world.yaml").write_text(WORLD)
    load = in_world(read_trace(tmp_path / "jobs.csv"), read_world(str(tmp_path / "world.yaml")), seed=1)

    log = engine.replay(load, StopOnce(load, 70))
    known = outcome(load, log)

    assert log.ended_s == [70, end_s]
    assert known.lost_card_hours == pytest.approx(2 * lost_s / 3600)
    assert findings(load, log, 0) == []


@pytest.mark.parametrize(("end_s", "points"), [(10, 10), (11, 8), (20, 8), (21, 2), (30, 2), (31, 0)])
def test_the_first_step_that_is_met_is_earned(tmp_path: Path, end_s: int, points: int) -> None:
    """Steps 10, 20 and 30 seconds after submission, worth 10, 8 and 2 points."""
    rows = "submit_s,duration_s,cards,deadline_s,deadline_value\n5,1,1,10-20-30,10-8-2\n"
    (tmp_path / "jobs.csv").write_text(rows)
    (tmp_path / "world.yaml").write_text(WORLD)
    load = in_world(read_trace(tmp_path / "jobs.csv"), read_world(str(tmp_path / "world.yaml")), seed=1)

    assert deadline_value(load, np.array([end_s])) == points


@pytest.mark.parametrize(
    ("cards", "tasks", "each"), [(3, 1, 3), (5, 1, 5), (8, 1, 8), (12, 2, 6), (20, 4, 5), (32, 4, 8), (13, 13, 1)]
)
def test_gangs_become_equal_tasks_that_a_node_holds(cards: int, tasks: int, each: int) -> None:
    """On nodes of eight."""
    found = split(np.array([cards]), 8)

    assert [int(part[0]) for part in found] == [tasks, each]


def test_walltimes_are_over_estimates_and_the_same_for_a_seed(tmp_path: Path) -> None:
    """Never below the true time, at most five times it before rounding, and drawn anew by another seed."""
    (tmp_path / "jobs.csv").write_text(
        "submit_s,duration_s,cards\n" + "".join(f"{n},{97 * n + 5},1\n" for n in range(200))
    )
    (tmp_path / "world.yaml").write_text(WORLD)
    trace, world = read_trace(tmp_path / "jobs.csv"), read_world(str(tmp_path / "world.yaml"))
    one, again, other = (in_world(trace, world, seed).walltime_s for seed in (1, 1, 2))

    assert (one >= trace.duration_s).all()
    assert set(one.tolist()) <= set(ROUND_WALLTIMES_S.tolist())
    assert (one == again).all()
    assert (one != other).any()


def test_easy_keeps_every_promise_on_real_jobs(tmp_path: Path) -> None:
    """A reservation by requested walltimes only ever gets earlier: backfill that delayed it would show here."""
    with resources.as_file(resources.files("broker.demo") / "philly_day.csv.gz") as bundled:
        load = in_world(read_trace(bundled), read_world("philly-day"), seed=3)

    log = engine.replay(load, rivals.Easy(load))

    assert len(log.promised) > 5
    assert outcome(load, log).promises_broken == 0
    assert findings(load, log, 0) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0,x,1,1\n", "duration_s"),
        ("0,10,0,1\n", "cards"),
        ("nan,10,1,1\n", "submit_s"),
        ("0,10,1,-5\n", "walltime_s"),
        ("0,1000000000000,1,5\n", "duration_s"),  # 30,000 years
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: str, words: str) -> None:
    """File, line and column."""
    with pytest.raises(BadTrace, match=rf"jobs\.csv.*2.*{words}"):
        workload(tmp_path, rows)


def test_jobs_that_all_come_at_once_are_replayed(tmp_path: Path) -> None:
    """The time until the last arrival is none, so nothing is earned in it, and nobody divides by it."""
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,cards\n0,10,7\n0,10,13\n0,0,1\n")
    command = [sys.executable, "-m", "benchmarks", "replay", "--jobs", str(tmp_path / "jobs.csv")]
    done = subprocess.run([*command, "--policy", "fifo,easy"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "audit: clean" in done.stdout


def test_the_command_replays_the_bundled_day(tmp_path: Path) -> None:
    """Ours beside EASY, audited; the JSON has the figures by policy."""
    file = tmp_path / "replay.json"
    command = [sys.executable, "-m", "benchmarks", "replay", "--limit", "60", "--policy", "easy,xisuan"]
    command += ["--set", "promises_max=2"]
    done = subprocess.run([*command, "--json", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(file.read_text())
    assert written["audit"] == {"violations": 0}
    for policy in ("easy", "xisuan"):
        assert {
            f"{policy}.{name}" for name in ("slowdown_mean", "wait_p50_s", "wait_p99_s", "utilisation", "worth")
        } <= set(written["figures"])


@pytest.mark.parametrize(("text", "words"), [("promises_max", "NAME=N"), ("effort=-1", "NAME=N"), ("nope=1", "nope")])
def test_a_setting_that_is_none_is_named(text: str, words: str) -> None:
    told = CliRunner().invoke(app, ["replay", "--limit", "5", "--set", text])

    assert told.exit_code == 2
    assert words in told.output
