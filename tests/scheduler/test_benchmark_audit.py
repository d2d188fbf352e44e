"""`benchmarks allocate` ends with the verifier: a plan with any violation makes the run void and the command fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from test_verify import KINDER_WORLDS, PLANTED, sound, world

from benchmarks.allocate import Settings, finish, measured
from benchmarks.rounds import Round
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import real_jobs
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import Rule


class Spoilt:
    """A planner whose plans are not what they should be."""

    def __init__(self, plans: Callable[[Snapshot, Policy], Plan]) -> None:
        self._plans = plans

    def compile(self) -> float:
        return 0.0

    def round(self, world: Snapshot, policy: Policy, budget: float) -> Round:
        return Round(self._plans(world, policy), seconds=budget, cpu_seconds=budget, peak_mib=1.0)


def told(here: Snapshot, plans: Callable[[Snapshot, Policy], Plan], folder: Path) -> str:
    """Run the benchmark with these plans; return what it printed once it has failed."""
    paper = StringIO()
    console = Console(file=paper, width=200)
    settings = Settings(world=lambda: here, effort=0, one_model_seconds=0, rule_sets=True)
    with pytest.raises(typer.Exit) as ended:
        finish(measured(settings, Spoilt(plans), console), folder / "allocate.json", console)
    assert ended.value.exit_code == 1
    assert '"violations": 0' not in (folder / "allocate.json").read_text()
    return paper.getvalue()


@pytest.mark.parametrize(("rule", "broken"), PLANTED, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(PLANTED)])
def test_a_broken_plan_makes_the_run_void(rule: Rule, broken: Callable[[], Plan], tmp_path: Path) -> None:
    assert rule.value in told(world(), lambda _, __: broken(), tmp_path)


@pytest.mark.parametrize(
    ("rule", "changes"), KINDER_WORLDS, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(KINDER_WORLDS)]
)
def test_a_plan_for_a_kinder_world_makes_the_run_void(rule: Rule, changes: dict[str, Any], tmp_path: Path) -> None:
    assert rule.value in told(world(**changes), lambda _, __: sound(), tmp_path)


@pytest.mark.parametrize("which", range(1, 5))
def test_every_plan_of_a_run_is_audited(which: int, tmp_path: Path) -> None:
    """The warm one and those with fewer rules as well as the cold one."""
    made = 0

    def plans(here: Snapshot, policy: Policy) -> Plan:
        nonlocal made
        found = plan(here, policy)
        made += 1
        return replace(found, objective_micro_yuan_per_hour=found.objective + 1) if made == which + 1 else found

    here = national(2, 60, 12, 120, real_jobs(None))

    assert "WRONG_OBJECTIVE" in told(here, plans, tmp_path)
