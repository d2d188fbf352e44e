"""The work that everybody is given: tasks of one card, each of which leaves a file.

The file is the evidence that the task ran, whatever its scheduler says, and its time is when. Files' times are those of
the kernel's clock tick, good to some 4 ms. Only the standard library: rivals' own interpreters import this.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

CARDS_PER_NODE: Final = 8
WARM_SECONDS_MAX: Final = 180.0
"""Everybody first runs a task for each card, which counts for nothing; this is how long that may take."""

_LOOK_SECONDS: Final = 0.02


class NotMeasured(Exception):
    """A rival cannot be had here, or did not do its work; the message says why, and the way out if there is one."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much everybody is given.

    Attributes:
        jobs: that are only submitted. tasks: of one card that run. probes: single tasks on idle nodes.
        nodes: of eight emulated cards. seconds_max: until all tasks must have run.
    """

    jobs: int
    tasks: int
    probes: int
    nodes: int
    seconds_max: float

    @property
    def cards(self) -> int:
        """Tasks that can run at the same time."""
        return self.nodes * CARDS_PER_NODE

    def as_values(self) -> dict[str, Any]:
        """Return it for another process."""
        return asdict(self)


class Tasks:
    """Numbered tasks that leave their files in a new folder, into which any user may write."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
        self.folder = folder

    def file(self, number: int | str) -> Path:
        """Return the file that the task leaves."""
        return self.folder / str(number)

    def command(self, number: int | str) -> list[str]:
        """Return the task's program and its arguments."""
        return ["/usr/bin/touch", str(self.file(number))]

    def ran_at(self, number: int) -> float:
        """Return when it ran, in seconds since 1970. Raise FileNotFoundError: it has not."""
        return self.file(number).stat().st_mtime

    def wait(self, count: int, seconds_max: float, alive: Callable[[], object] = lambda: None) -> float:
        """Wait until so many have run; return when the last of them did, in seconds since 1970.

        Args: alive: called now and then; raises when waiting is of no use.
        Raises: NotMeasured: not all ran in time.
        """
        end = time.monotonic() + seconds_max
        while (done := sum(1 for _ in os.scandir(self.folder))) < count:
            if time.monotonic() > end:
                raise NotMeasured(f"{done} of {count} tasks ran in {seconds_max:g} s: give it --seconds")
            alive()
            time.sleep(_LOOK_SECONDS)
        return max(entry.stat().st_mtime for entry in os.scandir(self.folder))

    def rate(self, count: int, began: float, seconds_max: float, alive: Callable[[], object] = lambda: None) -> float:
        """Wait for all; return tasks a second, from `began` (seconds since 1970) until the last one ran."""
        return count / max(self.wait(count, seconds_max, alive) - began, 1e-3)


def probe(folder: Path, count: int, seconds_max: float, submit: Callable[[list[str]], object]) -> dict[str, float]:
    """Submit single tasks, each when the one before has run; return the time from the call to the task's file, in ms.

    Raises: NotMeasured: one did not run in time.
    """
    tasks, took = Tasks(folder), []
    for number in range(count):
        began = time.time()
        submit(tasks.command(number))
        tasks.wait(number + 1, seconds_max)
        took.append(max(tasks.ran_at(number) - began, 0.0))
    return starts(took)


def warmed(folder: Path, size: Size, submit: Callable[[list[str]], object]) -> None:
    """Run a task for each card. Raise NotMeasured: they did not run."""
    tasks = Tasks(folder / "warm")
    for number in range(size.cards):
        submit(tasks.command(number))
    tasks.wait(size.cards, max(size.seconds_max, WARM_SECONDS_MAX))


def starts(seconds: Sequence[float]) -> dict[str, float]:
    """Return the figures of times to start."""
    ordered = sorted(seconds)
    return {
        "start_p50_ms": 1000 * ordered[math.ceil(len(ordered) / 2) - 1],
        "start_max_ms": 1000 * ordered[-1],
    }


def per_second(count: int, work: Callable[[], object]) -> float:
    """Do the work; return how many of `count` there were a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)
