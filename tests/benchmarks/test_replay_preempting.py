"""Emergencies get their cards from work with checkpoints; whatever is stopped is within the rules, and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.replay import engine
from benchmarks.replay.audit import findings
from benchmarks.replay.demand import emergencies
from benchmarks.replay.exchange import Exchange
from benchmarks.replay.metrics import figures, outcome
from benchmarks.replay.preempting import Preempting
from benchmarks.replay.public import read_trace
from benchmarks.replay.workload import Workload, in_world
from benchmarks.replay.world import read_world
from scheduler.decide import Decision
from scheduler.horizon import Horizon
from scheduler.policy import Policy
from scheduler.reclaim import Reclaim
from scheduler.snapshot import Snapshot
from scheduler.verify_preemption import PreemptionViolation, Terms, preemption_violations

POLICY = Policy(effort=2)
MARGIN = POLICY.lease_end_margin_seconds
WORLD = """
source: two nodes
models:
  - {name: v100, stack: cuda, origin: foreign, tflops: 112}
pools:
  - {name: a/p, model: v100, nodes: 2, cards: 4, cpu: 64, memory_gib: 512, domain_nodes: 1, ask_yuan_per_card_hour: 0.6}
"""


class Verified(Preempting):
    """The policy, every reclaim verified."""

    broken: tuple[PreemptionViolation, ...] = ()

    def reclaim(self, world: Snapshot, horizon: Horizon, made: Decision) -> Reclaim:
        found = super().reclaim(world, horizon, made)
        terms = Terms(MARGIN, self._policy.reclaim_seconds_max, self.budget(world.taken_at_s))
        self.broken += tuple(preemption_violations(world, horizon, terms, made.placements, made.promises, found))
        return found


def workload(folder: Path, rows: str) -> Workload:
    (folder / "jobs.csv").write_text("submit_s,duration_s,cards,walltime_s,priority,checkpoint_s\n" + rows)
    (folder / "world.yaml").write_text(WORLD)
    return in_world(read_trace(folder / "jobs.csv"), read_world(str(folder / "world.yaml")), seed=1)


def test_an_emergency_stops_what_loses_least_and_that_runs_again(tmp_path: Path) -> None:
    """Of two that fill the nodes the second wrote its checkpoint ten seconds ago; both are done in the end."""
    load = workload(tmp_path, "0,900,4,1000,standard,200\n50,900,4,1000,standard,100\n160,60,4,100,emergency,\n")
    policy = Verified(load, POLICY, 10)

    log = engine.replay(load, policy)

    assert policy.broken == ()
    assert findings(load, log, outcome(load, log).promises_broken) == []
    assert [job for job, stopped in zip(log.job, log.preempted, strict=True) if stopped] == [1]
    known = outcome(load, log)
    assert known.wait_s[2] <= MARGIN
    assert known.lost_card_hours == pytest.approx(4 * 10 / 3600)
    assert figures(load, log, known)["preempted"] == 1


def test_nobody_is_stopped_without_an_emergency_or_beyond_the_budget(tmp_path: Path) -> None:
    rows = "0,900,4,1000,standard,200\n0,900,4,1000,standard,200\n100,60,4,100,{},\n"
    load = workload(tmp_path, rows.format("urgent"))
    assert not any(engine.replay(load, Verified(load, POLICY, 10)).preempted)

    load = workload(tmp_path, rows.format("emergency"))
    assert any(engine.replay(load, Verified(load, POLICY, 10)).preempted)
    little = replace(POLICY, churn_card_seconds_max=399)  # four cards have run for a hundred seconds
    assert not any(engine.replay(load, Verified(load, little, 10)).preempted)


def test_generated_emergencies_wait_less_when_they_may_stop_others() -> None:
    world = read_world("philly-day")
    load = in_world(emergencies(world, 1, 150), world, 1)
    policy = Verified(load, POLICY, 60)

    stopping, plain = engine.replay(load, policy), engine.replay(load, Exchange(load, POLICY, 60))

    urgent = load.priority == 3
    waits = [outcome(load, log).wait_s[urgent].mean() for log in (stopping, plain)]
    assert policy.broken == ()
    assert findings(load, stopping, outcome(load, stopping).promises_broken) == []
    assert any(stopping.preempted)
    assert waits[0] < waits[1]


def test_the_audit_finds_work_that_is_stopped_twice_without_a_checkpoint(tmp_path: Path) -> None:
    """A job of a hundred seconds that writes one every thirty: stopped after ten, and after ten again."""
    load = workload(tmp_path, "0,100,4,500,standard,30\n")
    log = engine.Log(
        job=[0, 0, 0],
        pool=[0] * 3,
        start_s=[0, 10, 20],
        ended_s=[10, 20, 120],
        preempted=[True, True, False],
        nodes=[[0]] * 3,
        cards=[[4]] * 3,
    )

    assert findings(load, log, 0) == ["job 0 was preempted at 20, twice without a checkpoint between"]
    progress = replace(log, start_s=[0, 10, 45], ended_s=[10, 45, 115])
    assert findings(load, progress, 0) == []
    assert np.isclose(outcome(load, progress).lost_card_hours, 4 * 15 / 3600)
