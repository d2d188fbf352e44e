"""Whoever scans the shards, the answer is the same to the last bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ray_answers import Instance, an_instance, answers, same

from scheduler.ray_workers import RayWorkers
from scheduler.workers import Inline, Threads


@pytest.fixture(scope="module")
def instance() -> Instance:
    return an_instance()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_answer_as_one_thread_does(instance: Instance, threads: int) -> None:
    assert same(answers(Inline(), instance), answers(Threads(threads), instance))


def test_ray_actors_answer_as_one_thread_does() -> None:
    """A real Ray on this machine, with one actor, two, and more than there are shards.

    In a process of its own: Ray forks when it starts, and a process that has used gRPC before may not survive that.
    """
    script = Path(__file__).with_name("ray_answers.py")

    done = subprocess.run([sys.executable, str(script), "1", "2", "100"], capture_output=True, text=True, timeout=150)

    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.split() == ["1", "equal", "2", "equal", "100", "equal"]


@pytest.mark.parametrize("kind", [Threads, RayWorkers])
def test_no_workers_at_all_are_refused(kind: type[Threads] | type[RayWorkers]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        kind(0)
