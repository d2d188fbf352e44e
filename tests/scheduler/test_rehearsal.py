"""After the rehearsal no round and no call pays for machine code: every loop was run, with what all worlds hand it."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

CALLED = """
import sys
import scheduler.compiled as compiled

loops = []

def plain(function, **_options):
    loops.append(function)
    return function

compiled._made = plain
from scheduler.rehearsal import rehearse

seen = set()
sys.setprofile(lambda frame, event, _: seen.add(frame.f_code) if event == "call" else None)
rehearse()
sys.setprofile(None)
reached = {each for each in loops if each.__code__ in seen}
count = 0
while len(reached) > count:  # machine code of a loop has that of all loops that it names
    count = len(reached)
    named = {name for each in reached for name in each.__code__.co_names}
    reached |= {each for each in loops if each.__name__ in named}
print(len(loops) > 80, [f"{each.__module__}.{each.__name__}" for each in loops if each not in reached])
"""

NOTHING_NEW = """
import importlib, pkgutil
from dataclasses import replace

import scheduler
from scheduler.rehearsal import rehearse

rehearse()
modules = [importlib.import_module(f"scheduler.{each.name}") for each in pkgutil.iter_modules(scheduler.__path__)]
loops = {f"{m.__name__}.{name}": each for m in modules for name, each in vars(m).items() if hasattr(each, "signatures")}
before = {name: list(each.signatures) for name, each in loops.items()}

from planning_worlds import gangs, random_world
from preemption_worlds import ruled_and_running
from scheduler.mix import mix_of, usual_tasks
from scheduler.placer import Placer
from scheduler.policy import Policy
from scheduler.rounds import run_round
from scheduler.horizon import Horizon

policy = Policy(effort=30, promises_max=4, churn_card_seconds_max=10**6)
for world, horizon in (
    ruled_and_running(1), ruled_and_running(2), (random_world(3, jobs=200, pools=4, nodes_per_pool=8), Horizon()),
    (gangs((1, 1), (40, 8)), Horizon()),
):
    run_round(world, horizon, policy)
    for mix in (None, mix_of(usual_tasks(world))):
        Placer(world, policy, mix=mix).place(world)
print({name: each.signatures for name, each in loops.items() if list(each.signatures) != before[name]})
"""


def told(program: str) -> str:
    """Return what the program prints in a process of its own, for others compile in this one."""
    done = subprocess.run([sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_rehearsal_runs_every_compiled_loop() -> None:
    assert told(CALLED) == "True []"


def test_worlds_of_every_kind_need_no_other_machine_code_than_the_rehearsal() -> None:
    assert told(NOTHING_NEW) == "{}"
